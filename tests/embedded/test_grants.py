"""The grants are enough for the work, and not for more: proven with the real gh-ost and the real skeema."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from embedded import grants, tools
from embedded.mysql import MySQLServer, Schema, Topology, wait_for_replica

REFUSED = (1044, 1142, 1227, 1370, 1419)
"""MySQL's error numbers for a right that is missing."""


def may(server: MySQLServer, account: grants.Account, statement: str, schema: str | None = None) -> bool:
    """Whether the account may run the statement. A statement that fails for any other reason fails the test."""
    with server.connect(account, database=schema) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as error:
            if error.args[0] in REFUSED:
                return False
            raise
    return True


@pytest.fixture
def people(fresh_schema: Schema) -> Schema:
    """A schema with one small table and a trigger."""
    fresh_schema.run("CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(20))")
    fresh_schema.run("INSERT INTO people VALUES (1, 'Ada'), (2, 'Grace')")
    return fresh_schema


@pytest.mark.parametrize("account", grants.CLUSTER_ACCOUNTS, ids=lambda account: account.user)
def test_no_account_reaches_a_schema_it_was_not_granted(people: Schema, account: grants.Account) -> None:
    people.server.run("CREATE DATABASE IF NOT EXISTS somebody_elses")
    people.server.run("CREATE TABLE IF NOT EXISTS somebody_elses.secrets (id INT PRIMARY KEY)")
    assert not may(people.server, account, "SELECT * FROM somebody_elses.secrets")
    assert not may(people.server, account, "DROP TABLE somebody_elses.secrets")
    assert not may(people.server, account, "CREATE TABLE somebody_elses.mine (id INT PRIMARY KEY)")


@pytest.mark.parametrize("account", grants.CLUSTER_ACCOUNTS, ids=lambda account: account.user)
def test_no_account_has_super_or_may_pass_its_rights_on(people: Schema, account: grants.Account) -> None:
    assert not may(people.server, account, "SET GLOBAL max_connections = 100")
    assert not may(people.server, account, f"GRANT SELECT ON {people.name}.* TO skeebot_read")


def test_an_underscore_in_a_granted_name_opens_no_other_schema(people: Schema) -> None:
    lookalike = people.name.replace("_", "x", 1)
    people.server.run(f"CREATE DATABASE {lookalike}")
    try:
        people.server.run(f"CREATE TABLE {lookalike}.t (id INT PRIMARY KEY)")
        assert [grants.GHOST] == [
            account for account in grants.CLUSTER_ACCOUNTS if may(people.server, account, f"SELECT * FROM {lookalike}.t")
        ]  # gh-ost insists on the unescaped name; nobody else gets it
    finally:
        people.server.run(f"DROP DATABASE {lookalike}")


def test_the_reader_sees_what_a_plan_needs_and_changes_nothing(people: Schema) -> None:
    people.run("CREATE TABLE children (id INT PRIMARY KEY, person INT, FOREIGN KEY (person) REFERENCES people (id))")
    people.run("CREATE TRIGGER shout BEFORE INSERT ON people FOR EACH ROW SET NEW.name = UPPER(NEW.name)")
    people.run("CREATE VIEW names AS SELECT name FROM people")
    people.run("CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM people WHERE id < 0")
    people.run("CREATE PROCEDURE count_people() SELECT COUNT(*) FROM people")
    with people.server.connect(grants.READ, database=people.name) as connection, connection.cursor() as cursor:

        def ask(question: str) -> list[str]:
            cursor.execute(question)
            return [str(next(iter(row.values()))) for row in cursor.fetchall()]

        where = f"= '{people.name}'"
        assert ["people"] == ask("SHOW CREATE TABLE people")
        assert ["names"] == ask("SHOW CREATE VIEW names")
        assert ["shout"] == ask(f"SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA {where}")
        assert ["tidy"] == ask(f"SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA {where}")
        assert ["count_people"] == ask(f"SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA {where}")
        assert [f"{people.name}/children"] == ask(
            f"SELECT FOR_NAME FROM information_schema.INNODB_FOREIGN WHERE REF_NAME = '{people.name}/people'"
        )
        assert ["0"] == ask(f"SELECT TOTAL_ROW_VERSIONS FROM information_schema.INNODB_TABLES WHERE NAME = '{people.name}/people'")
        ask("SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX")
        ask("SELECT OBJECT_NAME FROM performance_schema.metadata_locks")
        ask("SHOW BINARY LOG STATUS")
        ask("SHOW REPLICA STATUS")

    for change in (
        "INSERT INTO people VALUES (3, 'Eve')",
        "DROP TABLE people",
        "ALTER TABLE people ADD COLUMN age INT",
        "CREATE TRIGGER whisper AFTER INSERT ON people FOR EACH ROW SET @x = 1",
        "CALL count_people()",
    ):
        assert not may(people.server, grants.READ, change, people.name), change


def test_the_direct_account_creates_alters_and_quarantines_but_reads_no_other_account(people: Schema) -> None:
    for statement in (
        "CREATE TABLE pets (id INT PRIMARY KEY, owner INT, FOREIGN KEY (owner) REFERENCES people (id))",
        "ALTER TABLE people ADD COLUMN age INT, ALGORITHM=INSTANT",
        "ALTER TABLE pets DROP FOREIGN KEY pets_ibfk_1",
        "RENAME TABLE pets TO _20261122000000_pets_DRP",
        "RENAME TABLE _20261122000000_pets_DRP TO pets",
    ):
        assert may(people.server, grants.DIRECT, statement, people.name), statement
    assert not may(people.server, grants.DIRECT, "UPDATE people SET name = 'x'", people.name)
    assert not may(people.server, grants.DIRECT, "DELETE FROM people", people.name)


def test_a_rename_is_refused_without_the_right_to_drop(people: Schema) -> None:
    """Why skeebot_direct holds DROP although only the reaper drops: measured here, so that nobody has to wonder."""
    escaped = people.name.replace("_", r"\_")
    people.server.run(f"REVOKE DROP ON `{escaped}`.* FROM skeebot_direct")
    assert not may(people.server, grants.DIRECT, "RENAME TABLE people TO folk", people.name)


def test_the_verifier_builds_its_scratch_table_and_leaves_nothing_behind(people: Schema) -> None:
    with people.server.connect(grants.VERIFY, database=people.name) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE _scratch LIKE people")
        cursor.execute("INSERT INTO _scratch SELECT * FROM people")
        cursor.execute("SELECT COUNT(*) AS n FROM _scratch")
        assert {"n": 2} == cursor.fetchone()
        cursor.execute("SELECT name FROM people WHERE id = 1 FOR SHARE")
        assert {"name": "Ada"} == cursor.fetchone()
    assert [{"n": 1}] == people.run("SELECT COUNT(*) AS n FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", people.name)
    for change in ("UPDATE people SET name = 'x'", "CREATE TABLE mine (id INT)", "DROP TABLE people"):
        assert not may(people.server, grants.VERIFY, change, people.name), change


def test_the_fence_locks_gh_ost_out_and_kills_its_connection(people: Schema) -> None:
    server = people.server
    lost = server.connect(grants.GHOST, database=people.name)
    try:
        with server.connect(grants.FENCE) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER USER 'skeebot_ghost'@'%' ACCOUNT LOCK")
            cursor.execute("SELECT PROCESSLIST_ID AS id FROM performance_schema.threads WHERE PROCESSLIST_USER = 'skeebot_ghost'")
            for row in cursor.fetchall():
                cursor.execute(f"KILL {row['id']}")
        with pytest.raises(pymysql.OperationalError), lost.cursor() as cursor:
            cursor.execute("SELECT 1")
        with pytest.raises(pymysql.OperationalError, match="locked"):
            server.connect(grants.GHOST)
    finally:
        server.run("ALTER USER 'skeebot_ghost'@'%' ACCOUNT UNLOCK")


def test_the_fence_cannot_touch_the_administrator(people: Schema) -> None:
    assert not may(people.server, grants.FENCE, "ALTER USER 'root'@'localhost' ACCOUNT LOCK")
    assert not may(people.server, grants.FENCE, f"SELECT * FROM {people.name}.people")


def test_the_reaper_empties_and_drops(people: Schema) -> None:
    assert may(people.server, grants.REAPER, "DELETE FROM people LIMIT 1", people.name)
    assert may(people.server, grants.REAPER, "DROP TABLE people", people.name)
    assert not may(people.server, grants.REAPER, "CREATE TABLE people (id INT)", people.name)


@pytest.fixture
def desk(mysql_topology: Topology) -> Iterator[tuple[Topology, str]]:
    """A table of a thousand rows in a schema of its own on production's two shards."""
    schema = "ghost_grants"
    for primary in (mysql_topology.production_a, mysql_topology.production_b):
        primary.create_schema(schema)
        primary.run("CREATE TABLE desks (id INT PRIMARY KEY AUTO_INCREMENT, place VARCHAR(20))", schema=schema)
        primary.run("SET cte_max_recursion_depth = 2000", schema=schema)
        primary.run(
            "INSERT INTO desks (place) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
            " SELECT CONCAT('row ', i) FROM n",
            schema=schema,
        )
    yield mysql_topology, schema
    for primary in (mysql_topology.production_a, mysql_topology.production_b):
        primary.drop_schema(schema)


def run_gh_ost(server: MySQLServer, schema: str, folder: Path, *options: str) -> str:
    """gh-ost as its own account, to the end; answers its log. The password travels in the environment.

    Without --assume-rbr gh-ost restarts the replica's replication, which takes REPLICATION_SLAVE_ADMIN.
    """
    conf = folder / "gh-ost.cnf"
    conf.write_text("[client]\nuser = ${GHOST_USER}\npassword = ${GHOST_PASSWORD}\n")
    done = subprocess.run(
        [
            *(str(tools.gh_ost()), f"--conf={conf}", f"--host={server.host}", f"--port={server.port}"),
            *(f"--database={schema}", "--table=desks", "--alter=ADD COLUMN floor INT NOT NULL DEFAULT 1"),
            *(
                "--assume-rbr",
                "--gtid",
                "--checkpoint",
                "--exact-rowcount",
                "--panic-on-warnings",
                "--execute",
                "--initially-drop-old-table",
            ),
            *(f"--serve-socket-file={folder / 'gh-ost.sock'}", "--verbose", *options),
        ],
        env={**os.environ, "GHOST_USER": grants.GHOST.user, "GHOST_PASSWORD": server.passwords[grants.GHOST.user]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def columns(server: MySQLServer, schema: str) -> list[str]:
    return [str(row["Field"]) for row in server.run("SHOW COLUMNS FROM desks", schema=schema)]


def test_gh_ost_runs_through_the_replica_without_super(desk: tuple[Topology, str], stack_folder: Path) -> None:
    topology, schema = desk
    primary, replica = topology.production_a, topology.production_a_replica
    wait_for_replica(primary, replica)
    log = run_gh_ost(replica, schema, stack_folder, "--max-lag-millis=1500", "--replica-server-id=771001")
    assert f"applier connection validated on {primary.host}:{primary.port}" in log
    assert ["id", "place", "floor"] == columns(primary, schema)
    wait_for_replica(primary, replica)
    assert ["id", "place", "floor"] == columns(replica, schema)
    assert 999 == primary.run("SELECT COUNT(*) AS n FROM desks", schema=schema)[0]["n"]


def test_gh_ost_runs_on_a_primary_without_super(desk: tuple[Topology, str], stack_folder: Path) -> None:
    topology, schema = desk
    shard_b = topology.production_b
    log = run_gh_ost(shard_b, schema, stack_folder, "--allow-on-master", "--replica-server-id=771002")
    assert "Copy: 999/999 100.0%" in log
    assert ["id", "place", "floor"] == columns(shard_b, schema)


def test_skeema_diffs_in_scratch_schemas_as_the_workspace_account(workspace_server: MySQLServer, tmp_path: Path) -> None:
    live, scratch = "_skeebot_live", "_skeebot_tmp"
    account = grants.WORKSPACE
    home = tmp_path / "home"  # skeema reads ~/.skeema, and takes no host from there
    home.mkdir()
    with workspace_server.connect(account) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {live}")
        cursor.execute(f"CREATE TABLE {live}.people (id INT PRIMARY KEY, name VARCHAR(20))")
    (tmp_path / ".skeema").write_text(
        f"[production]\nflavor=mysql:{'.'.join(workspace_server.program.version.split('.')[:2])}\n"
        f"host={workspace_server.host}\nport={workspace_server.port}\nuser={account.user}\nschema={live}\n"
    )
    (tmp_path / "people.sql").write_text("CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40));\n")
    done = subprocess.run(
        [str(tools.skeema()), "diff", "production", "--workspace=temp-schema", f"--temp-schema={scratch}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "MYSQL_PWD": workspace_server.passwords[account.user]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    with workspace_server.connect(account) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {live}")
        cursor.execute("SHOW DATABASES LIKE '%skeebot%'")
        assert () == tuple(cursor.fetchall())
    assert (1, True) == (done.returncode, "MODIFY COLUMN `name` varchar(40)" in done.stdout), done.stderr


def test_the_workspace_account_has_nothing_outside_scratch_schemas(workspace_server: MySQLServer) -> None:
    account = grants.WORKSPACE
    assert not may(workspace_server, account, "CREATE DATABASE shop")
    assert not may(workspace_server, account, "CREATE DATABASE xskeebotx1")
    assert not may(workspace_server, account, "SELECT * FROM mysql.user")
    assert not may(workspace_server, account, "SET GLOBAL max_connections = 100")
    assert not may(workspace_server, account, "SELECT LOAD_FILE('/etc/hostname') INTO OUTFILE '/tmp/x'")


def test_every_right_gives_its_reason() -> None:
    accounts = (*grants.CLUSTER_ACCOUNTS, grants.REPLICATION, grants.APPLICATION, *grants.WORKSPACE_ACCOUNTS)
    assert [] == [(account.user, right.on) for account in accounts for right in account.rights if not right.reason]
