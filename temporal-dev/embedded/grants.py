"""Who may do what on the embedded MySQL servers: the one place where every right stands, with its reason.

These are the rights skeebot asks a real installation for, too: one account per job, each with the least that was seen
to work on MySQL 9.7. `{schema}` becomes the name of a schema.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Right:
    """Privileges on one object. `on`: `*.*`, `performance_schema.threads`, or something with `{schema}` in it.

    `_` and `%` in a schema's name are wildcards in a GRANT and are escaped, unless `as_written` says not to.
    """

    privileges: tuple[str, ...]
    on: str
    reason: str
    as_written: bool = False

    @property
    def per_schema(self) -> bool:
        return "{schema}" in self.on


@dataclass(frozen=True)
class Account:
    """A MySQL account of any host; servers listen on the loopback address only."""

    user: str
    purpose: str
    rights: tuple[Right, ...]


_SCHEMA = "`{schema}`.*"

READ = Account(
    "skeebot_read",
    "reads: definitions, sizes, what runs; never a change",
    (
        Right(("SELECT", "SHOW VIEW"), _SCHEMA, "SHOW CREATE of tables and views, row counts for the plan's risks"),
        Right(
            ("TRIGGER",),
            _SCHEMA,
            "triggers are invisible without it; creating one is still refused, for with binary logs that takes SUPER",
        ),
        Right(("EVENT",), _SCHEMA, "events are invisible without it, and they are dependents a plan must list"),
        Right(
            ("PROCESS",),
            "*.*",
            "information_schema.INNODB_TRX (long transactions), INNODB_TABLES.TOTAL_ROW_VERSIONS (instant DDL), and"
            " INNODB_FOREIGN (foreign keys of all schemas, readable or not)",
        ),
        Right(("REPLICATION CLIENT",), "*.*", "replica status, binary log and GTID positions"),
        Right(("SHOW_ROUTINE",), "*.*", "routines that mention a table, without the right to change any"),
        Right(("SELECT",), "performance_schema.*", "who holds metadata locks, and for how long"),
    ),
)

DIRECT = Account(
    "skeebot_direct",
    "runs direct and instant DDL: CREATE, ALTER, and DROP as a quarantining RENAME",
    (
        Right(("CREATE", "ALTER", "INDEX", "REFERENCES"), _SCHEMA, "CREATE TABLE and instant ALTER TABLE, foreign keys included"),
        Right(
            ("INSERT", "DROP"),
            _SCHEMA,
            "RENAME TABLE asks for ALTER and DROP on the old name and CREATE and INSERT on the new one",
        ),
        Right(("TRIGGER",), _SCHEMA, "a quarantined table's triggers are dropped first, and put back by `restore`"),
        Right(("SELECT",), _SCHEMA, "looks at the table on its own connection before and after the statement"),
        Right(("SELECT",), "performance_schema.threads", "finds its own connection again before it tries a second time"),
    ),
)

GHOST = Account(
    "skeebot_ghost",
    "gh-ost",
    (
        Right(
            (
                "ALTER",
                "CREATE",
                "DELETE",
                "DROP",
                "INDEX",
                "INSERT",
                "LOCK TABLES",
                "SELECT",
                "TRIGGER",
                "UPDATE",
            ),
            _SCHEMA,
            "gh-ost's own list; it looks for these very words in SHOW GRANTS, and for the schema's name unescaped",
            as_written=True,
        ),
        Right(
            ("REPLICATION CLIENT", "REPLICATION SLAVE"),
            "*.*",
            "reads the binary log as a replica does; with --assume-rbr it need not restart replication, which would take more",
        ),
        Right(
            ("SELECT",),
            "performance_schema.setup_instruments",
            "without it gh-ost stops: 'metadata lock instrument not enabled'",
        ),
        Right(("SELECT",), "performance_schema.metadata_locks", "sees that its RENAME waits before it lets go of its lock"),
        Right(("SELECT",), "performance_schema.threads", "as above: whose metadata lock it is"),
    ),
)

VERIFY = Account(
    "skeebot_verify",
    "compares the original table with the ghost table before the swap",
    (
        Right(("SELECT",), _SCHEMA, "reads both; FOR SHARE asks for nothing more"),
        Right(
            ("CREATE TEMPORARY TABLES",),
            _SCHEMA,
            "a ghost-shaped scratch table converts values as storage does; a temporary one touches nobody and never reaches the replicas",
        ),
        Right(("PROCESS",), "*.*", "sees transactions that would make a comparison wait"),
    ),
)

FENCE = Account(
    "skeebot_fence",
    "cuts a lost gh-ost off at the database: locks its account, kills its connections",
    (
        Right(
            ("CREATE USER",),
            "*.*",
            "ALTER USER … ACCOUNT LOCK knows no narrower right; accounts with SYSTEM_USER stay out of its reach",
        ),
        Right(("CONNECTION_ADMIN",), "*.*", "KILL of another account's connections"),
        Right(("PROCESS",), "*.*", "finds these connections"),
        Right(("SELECT",), "performance_schema.threads", "proves that none is left"),
        Right(("SELECT",), "performance_schema.metadata_locks", "proves that the table's GET_LOCK is free"),
    ),
)

REAPER = Account(
    "skeebot_reaper",
    "drops what was quarantined, when its time has come",
    (
        Right(("SELECT",), _SCHEMA, "makes sure that it is the recorded table (name and creation time)"),
        Right(("DELETE", "DROP"), _SCHEMA, "drops in small steps: rows first, then the table"),
    ),
)

CLUSTER_ACCOUNTS = (READ, DIRECT, GHOST, VERIFY, FENCE, REAPER)

REPLICATION = Account(
    "skeebot_replica",
    "the embedded replica's own connection to its primary; skeebot knows nothing of it",
    (Right(("REPLICATION SLAVE",), "*.*", "reads the binary log"),),
)

APPLICATION = Account(
    "shop_app",
    "the sample application: seeds, writes and reads the shop's rows, and can change no table",
    (Right(("SELECT", "INSERT", "UPDATE", "DELETE"), _SCHEMA, "an application's everyday rights"),),
)

WORKSPACE = Account(
    "skeebot_workspace",
    "judges SQL in scratch schemas of a disposable server that holds no data",
    (
        Right(
            (
                "CREATE",
                "ALTER",
                "DROP",
                "INDEX",
                "REFERENCES",
                "SELECT",
                "INSERT",
                "UPDATE",
                "DELETE",
                "LOCK TABLES",
                "TRIGGER",
                "CREATE VIEW",
                "SHOW VIEW",
                "CREATE ROUTINE",
                "ALTER ROUTINE",
                "EXECUTE",
            ),
            r"`\_skeebot\_%`.*",
            "whatever a pull request may define, and nowhere else",
        ),
    ),
)

WORKSPACE_ACCOUNTS = (WORKSPACE,)


def global_grants(account: Account) -> Iterator[str]:
    """The GRANT statements that hold whatever the schemas are."""
    return (_grant(account, right, right.on) for right in account.rights if not right.per_schema)


def schema_grants(account: Account, schema: str) -> Iterator[str]:
    """The GRANT statements for one schema and no other."""
    quoted = schema.replace("`", "``")
    escaped = quoted.replace("\\", "\\\\").replace("_", r"\_").replace("%", r"\%")
    for right in account.rights:
        if right.per_schema:
            yield _grant(account, right, right.on.replace("{schema}", quoted if right.as_written else escaped))


def _grant(account: Account, right: Right, on: str) -> str:
    return f"GRANT {', '.join(right.privileges)} ON {on} TO '{account.user}'@'%'"
