"""What gh-ost is told: arguments, configuration file and environment. No I/O.

gh-ost reads the ALTER with regular expressions and sends it on a connection that allows several statements (v1.1.10), so what
it would misread is refused here, by MySQL's own tokens, before a process exists.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlglot
from sqlglot import Token, TokenType
from sqlglot.errors import SqlglotError

from workflows.rules.names import MigrationId, ghost_base_name
from workflows.rules.plan import Refusal

ALWAYS_THERE: Final = "/"
"""The postponing flag file. gh-ost takes every error of stat for "gone", and gone means release (SAFETY §S3), so the flag is a path
whose stat cannot fail. Nothing of ours ever touches it: only `unpostpone` through the guarded socket releases, for one attempt."""

SOCKET: Final = "s"
"""Relative to gh-ost's working directory: a unix socket's path has room for 107 bytes, run directories may be longer."""

USER_VARIABLE: Final = "SKEEBOT_GHOST_USER"
PASSWORD_VARIABLE: Final = "SKEEBOT_GHOST_PASSWORD"  # noqa: S105 - the name of the variable, not what is in it

CLAUSE_LIMIT: Final = 120_000
"""Bytes. Linux allows 131,072 for one argument, and the hooks get the same text in one environment variable."""

CHECKPOINT_SECONDS: Final = 10
"""The shortest interval that gh-ost accepts."""


# ── The ALTER clause ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Alter:
    """clause: what follows the table's name. renames: (old, new) columns of CHANGE, where they differ."""

    clause: str
    renames: tuple[tuple[str, str], ...] = ()


def read_alter(statement: str, *, schema: str, table: str) -> Alter | Refusal:
    """The clause of one ALTER TABLE on `table`, or why gh-ost must not get it."""
    try:
        tokens = sqlglot.tokenize(statement, dialect="mysql")
    except SqlglotError as wrong:
        return _refuse("not-readable", f"The statement cannot be read as MySQL: {wrong}.", "Correct its quotes and comments.")
    if any(comment.startswith(("!", "+")) for token in tokens for comment in token.comments):
        return _refuse(
            "executable-comment", "The statement has an executable comment (/*! or /*+).", "Write its content without the comment."
        )
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        return _refuse("several-statements", "There is more than one statement.", "Give each statement by itself.")
    if [_word(token) for token in tokens[:2]] != ["ALTER", "TABLE"]:
        return _refuse("not-an-alter", "gh-ost runs ALTER TABLE only, and this is something else.", "Run it with another strategy.")
    names, rest = _split_name(tokens[2:])
    if names not in ([table], [schema, table]):
        return _refuse(
            "other-table",
            f"The statement is about {'.'.join(names) or 'no table'}, the migration about {schema}.{table}.",
            "Plan it again.",
        )
    if not rest:
        return _refuse("nothing-to-do", f"The statement changes nothing on {table}.", "Say what to change.")
    clause = statement[rest[0].start : rest[-1].end + 1]
    if len(clause.encode()) > CLAUSE_LIMIT:
        return _refuse("too-long", f"The ALTER clause is longer than {CLAUSE_LIMIT} bytes.", "Split it into several statements.")
    return _judge(clause, [_Spec.of(part) for part in _split_specs(rest)])


def unreadable_under(clause: str, sql_mode: str) -> Refusal | None:
    """Why gh-ost cannot work under the server's global sql_mode: it reads its privileges wrongly, or we the statement."""
    modes = sql_mode.upper().split(",")
    if "ANSI_QUOTES" in modes:  # SHOW GRANTS then quotes the schema's name as gh-ost does not expect it
        return _refuse(
            "sql-mode",
            "The server's global sql_mode has ANSI_QUOTES, under which gh-ost does not recognise its own privileges and stops.",
            "Take ANSI_QUOTES out of the server's global sql_mode, then plan again.",
        )
    if "NO_BACKSLASH_ESCAPES" in modes and "\\" in clause:
        return _refuse(
            "sql-mode",
            "The server's sql_mode has NO_BACKSLASH_ESCAPES and the statement has a \\.",
            "Write the statement without \\.",
        )
    return None


def _judge(clause: str, specs: "Sequence[_Spec]") -> Alter | Refusal:
    if any(spec.kind == "rename" for spec in specs):
        return _refuse(
            "renames",
            "RENAME of a table or a column is lost on gh-ost: it would copy none of the column's values.",
            "Write CHANGE COLUMN with the column's definition, or rename the table without gh-ost.",
        )
    if re.search(r"\balter\s+table\s", clause, re.IGNORECASE):
        return _misread("the words ALTER TABLE inside the clause, where gh-ost would begin to read")
    renames = {spec.name: spec.to for spec in specs if spec.kind == "change" and spec.name != spec.to}
    dropped = {spec.name.casefold() for spec in specs if spec.kind == "drop"}
    added = {spec.name.casefold() for spec in specs if spec.kind == "add"}
    seen = _as_gh_ost_reads(clause)
    if seen.renames != renames:
        return _misread(f"renamed columns {seen.renames or 'none'} where the statement renames {renames or 'none'}")
    if extra := seen.dropped - dropped - {"default"}:  # ALTER COLUMN … DROP DEFAULT
        return _misread(f"dropped columns that the statement keeps: {', '.join(sorted(extra))}")
    if missed := (dropped - seen.dropped) & added:
        return _misread(f"no drop of {', '.join(sorted(missed))}, which the statement drops and adds anew")
    return Alter(clause=clause, renames=tuple(sorted(renames.items())))


def _misread(what: str) -> Refusal:
    return _refuse(
        "misread", f"gh-ost would misread the statement: it would see {what}.", "Reword comments, or change one thing at a time."
    )


def _refuse(code: str, what: str, then: str) -> Refusal:
    return Refusal(code=f"gh-ost-{code}", what=what, next=then)


def _word(token: Token) -> str:
    """A bare word in upper case; "" for what is quoted."""
    return "" if token.token_type in (TokenType.IDENTIFIER, TokenType.STRING) else token.text.upper()


def _split_name(tokens: Sequence[Token]) -> tuple[list[str], list[Token]]:
    if len(tokens) > 2 and tokens[1].token_type == TokenType.DOT:
        return [tokens[0].text, tokens[2].text], list(tokens[3:])
    return [token.text for token in tokens[:1]], list(tokens[1:])


def _split_specs(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The parts between top-level commas."""
    depth, part = 0, list[Token]()
    for token in tokens:
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if token.token_type == TokenType.COMMA and depth == 0:
            yield part
            part = []
        else:
            part.append(token)
    yield part


_NOT_COLUMNS: Final = {
    "INDEX",
    "KEY",
    "PRIMARY",
    "PRIMARY KEY",  # sqlglot makes one token of the two words, unless a comment parts them
    "FOREIGN",
    "FOREIGN KEY",
    "CHECK",
    "CONSTRAINT",
    "PARTITION",
    "UNIQUE",
    "FULLTEXT",
    "SPATIAL",
}


@dataclass(frozen=True)
class _Spec:
    """One part of the clause, as far as gh-ost's reading of it matters. kind: rename, change, drop, add (of columns), or other."""

    kind: str
    name: str = ""
    to: str = ""

    @classmethod
    def of(cls, tokens: Sequence[Token]) -> "_Spec":
        words = [_word(token) for token in tokens]
        if not words:
            return cls("other")
        if words[0] == "RENAME":
            return cls("other" if words[1:2] in (["INDEX"], ["KEY"]) else "rename")
        if words[0] not in ("CHANGE", "DROP", "ADD") or set(words[1:2]) & _NOT_COLUMNS:
            return cls("other")
        names = [token.text for token in tokens[2 if words[1:2] == ["COLUMN"] else 1 :]]
        return cls(words[0].lower(), *(names[:2] if words[0] == "CHANGE" else names[:1]))


@dataclass(frozen=True)
class _Reading:
    renames: dict[str, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)


def _as_gh_ost_reads(clause: str) -> _Reading:
    """Which renamed and dropped columns gh-ost v1.1.10 believes to see (its sql.AlterTableParser).

    Commas outside '…' and (…) part the clause; the first ) ends (…).
    """
    reading = _Reading()
    for part in _gh_ost_parts(clause):
        plain = re.sub(r"'[^']*'", "''", part.strip())
        for old, new in re.findall(r"\bchange\s+(?:column\s+|)(\S+)\s+(\S+)\s+", plain, re.IGNORECASE | re.ASCII):
            if _bare(old) != _bare(new):
                reading.renames[_bare(old)] = _bare(new)
        reading.dropped.update(
            _bare(name).casefold() for name in re.findall(r"\bdrop\s+(?:column\s+|)(\S+)\Z", plain, re.IGNORECASE | re.ASCII)
        )
    return reading


def _gh_ost_parts(clause: str) -> Iterator[str]:
    closing, part = "", ""
    for character in clause:
        if closing:
            closing = "" if character == closing else closing
        elif character == ",":
            yield part
            part = ""
            continue
        else:
            closing = {"'": "'", "(": ")"}.get(character, "")
        part += character
    yield part


def _bare(name: str) -> str:
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in '`"' and name[0] not in name[1:-1]
    return name[1:-1] if quoted else name


# ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class GhostTables:
    """The tables that a run owns. old: where the original stays after the swap."""

    base: str

    @classmethod
    def of(cls, ghost_table: str) -> "GhostTables":
        return cls(ghost_table.removeprefix("_").removesuffix("_gho"))

    @property
    def ghost(self) -> str:
        return f"_{self.base}_gho"

    @property
    def changelog(self) -> str:
        return f"_{self.base}_ghc"

    @property
    def checkpoint(self) -> str:
        return f"_{self.base}_ghk"

    @property
    def old(self) -> str:
        return f"_{self.base}_del"


def ghost_tables(table: str, run_id: str) -> GhostTables:
    """One set of names per run: known before the start, the same for its resumption, never met by another run.

    No timestamp in the old table's name: it would be that of the process's start, unknown to whoever cleans up after a crash. ASCII
    and lower case: gh-ost cuts at 64 *bytes*, looks tables up with LIKE, and lower_case_table_names must make no difference.
    """
    plain = re.sub(r"[^0-9a-z_]", "_", table.lower())
    return GhostTables(ghost_base_name(plain, MigrationId(f"{table}\0{run_id}")))


def replica_server_id(base: str) -> int:
    """gh-ost poses as a replica: 2³¹ … 2³²−1, the upper half, where few number their servers. The default (99999) would collide.

    A resumption has its predecessor's: should that one still read from the server, the server cuts it off.
    """
    return 2**31 + int.from_bytes(hashlib.sha256(base.encode()).digest()[:4]) % 2**31


# ── The whole command ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Throttling:
    """How gently a run behaves; RunnerSettings has the meanings."""

    chunk_size: int
    max_lag_millis: int
    cut_over_lock_timeout_seconds: int
    nice_ratio: float = 0.0
    max_load: str = ""
    critical_load: str = ""


@dataclass(frozen=True)
class Connecting:
    """Where gh-ost reads and writes.

    inspect: host and port of the server that it reads; the primary itself or a replica. primary: host:port; "" when inspect is the primary.
    tls: the server offers it; tls_ca_file: "" for encryption without verification.
    """

    inspect: tuple[str, int]
    primary: str = ""
    gtid: bool = True
    tls: bool = False
    tls_ca_file: str = ""


@dataclass(frozen=True)
class Command:
    """argv names no secret; environment has them."""

    argv: tuple[str, ...]
    conf: str
    environment: dict[str, str] = field(repr=False)


def build(
    *,
    program: str,
    schema: str,
    table: str,
    alter: Alter,
    tables: GhostTables,
    hint: str,
    folder: str,
    brake_file: str,
    connecting: Connecting,
    throttling: Throttling,
    user: str,
    password: str,
    approve_renames: bool = False,
    resume: bool = False,
) -> Command:
    """hint: the run's own word, which a grant must repeat. folder: the run directory. brake_file: while it exists, all runs pause.

    approve_renames: the plan says that columns are renamed; without it gh-ost refuses such a clause.
    """
    argv = [
        program,
        f"--conf={folder}/gh-ost.conf",
        f"--host={connecting.inspect[0]}",
        f"--port={connecting.inspect[1]}",
        f"--database={schema}",
        f"--table={table}",
        f"--alter={alter.clause}",
        f"--force-table-names={tables.base}",
        "--assume-rbr",  # spawn has looked: ROW. Without it gh-ost would restart replication to make sure
        "--exact-rowcount",
        "--panic-on-warnings",
        "--checkpoint",
        f"--checkpoint-seconds={CHECKPOINT_SECONDS}",
        f"--replica-server-id={replica_server_id(tables.base)}",
        f"--postpone-cut-over-flag-file={ALWAYS_THERE}",
        "--cut-over-exponential-backoff",
        f"--cut-over-lock-timeout-seconds={throttling.cut_over_lock_timeout_seconds}",
        "--force-named-cut-over",
        "--force-named-panic",
        f"--serve-socket-file={SOCKET}",
        "--initially-drop-socket-file",  # whoever starts it holds the run's lock, so no living process owns the socket
        f"--hooks-path={folder}/hooks",
        f"--hooks-hint-token={hint}",
        f"--throttle-additional-flag-file={brake_file}",  # the default lies in /tmp, where everybody can make it
        f"--chunk-size={throttling.chunk_size}",
        f"--max-lag-millis={throttling.max_lag_millis}",
        f"--nice-ratio={throttling.nice_ratio}",
        *_where(connecting),
        "--verbose",
        "--execute",
    ]
    if throttling.max_load:
        argv.append(f"--max-load={throttling.max_load}")
    if throttling.critical_load:
        argv.append(f"--critical-load={throttling.critical_load}")
    if alter.renames and approve_renames:
        argv.append("--approve-renamed-columns")
    if resume:
        argv.append("--resume")
    conf = f"[client]\nuser=${{{USER_VARIABLE}}}\npassword=${{{PASSWORD_VARIABLE}}}\n"
    return Command(argv=tuple(argv), conf=conf, environment={USER_VARIABLE: user, PASSWORD_VARIABLE: password})


def _where(connecting: Connecting) -> Iterator[str]:
    if connecting.primary:
        yield f"--assume-master-host={connecting.primary}"  # the pinned one, not what the replica calls its source (SAFETY §S9)
        yield f"--throttle-control-replicas={connecting.inspect[0]}:{connecting.inspect[1]}"
    else:
        yield "--allow-on-master"
    if connecting.gtid:
        yield "--gtid"
    if connecting.tls:
        yield "--ssl"
        yield f"--ssl-ca={connecting.tls_ca_file}" if connecting.tls_ca_file else "--ssl-allow-insecure"
