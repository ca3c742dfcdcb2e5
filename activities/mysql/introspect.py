"""What a live table looks like: its definition, what hangs on it, and the fingerprint that people approve (DESIGN §3).

Every function reads through a connection of connect.open_connection, whose session is fixed: the same table always reads the same.
schema and table are literal names. The account needs PROCESS to see foreign keys of schemas that it may not read.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from activities.errors import NeedsHuman
from activities.mysql import predicates
from activities.mysql.connect import Connection, table_name
from workflows.rules.names import Fingerprint

# ── Parts of a table ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Column:
    """type: as in SHOW CREATE ("varchar(20)"). generated: "", "VIRTUAL" or "STORED". expression: of a generated column."""

    name: str
    type: str
    data_type: str
    nullable: bool
    default: str | None
    extra: str
    charset: str | None
    collation: str | None
    generated: str = ""
    expression: str = ""


@dataclass(frozen=True)
class Index:
    """columns: "" stands for an expression. nullable: a part may be NULL. prefixed: a part covers only a column's beginning."""

    name: str
    unique: bool
    columns: tuple[str, ...]
    nullable: bool = False
    visible: bool = True
    prefixed: bool = False
    kind: str = "BTREE"


@dataclass(frozen=True, order=True)
class ForeignKey:
    """child and parent: (schema, table). on_delete, on_update: RESTRICT, CASCADE, SET NULL or NO ACTION."""

    name: str
    child: tuple[str, str]
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"

    def __str__(self) -> str:
        columns = ", ".join(self.columns)
        return f"{'.'.join(self.child)}.{self.name} ({columns}) → {'.'.join(self.parent)} ({', '.join(self.parent_columns)})"


@dataclass(frozen=True, order=True)
class Trigger:
    """statement: SHOW CREATE TRIGGER's. sql_mode, client_charset, client_collation: what it was created under."""

    name: str
    timing: str
    event: str
    order: int
    statement: str
    sql_mode: str
    definer: str
    client_charset: str
    client_collation: str


@dataclass(frozen=True)
class ServerFacts:
    """What of a server decides how a statement is understood. sql_mode: the global one, in alphabetical order."""

    uuid: str
    version: str
    sql_mode: str
    charset: str
    collation: str
    explicit_defaults_for_timestamp: bool
    default_row_format: str
    lower_case_table_names: int

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """(9, 7, 4) for "9.7.4-debian"."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version.split("-")[0])[:3])


@dataclass(frozen=True)
class TableFacts:
    """Exactly what the live fingerprint is over. show_create: "" where there is no such table."""

    schema: str
    table: str
    server: ServerFacts
    show_create: str
    triggers: tuple[Trigger, ...] = ()
    outbound: tuple[ForeignKey, ...] = ()
    inbound: tuple[ForeignKey, ...] = ()

    @property
    def present(self) -> bool:
        return bool(self.show_create)


@dataclass(frozen=True)
class LiveTable:
    """A table as a plan needs it.

    rows: an estimate. bytes: data and indexes. row_versions: how often it was altered INSTANT since its last rebuild; None where
    that cannot be read. dependents: in words ("view shop.v_orders").
    """

    facts: TableFacts
    rows: int
    bytes: int
    row_versions: int | None
    engine: str
    row_format: str
    collation: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    dependents: tuple[str, ...]

    @property
    def schema(self) -> str:
        return self.facts.schema

    @property
    def table(self) -> str:
        return self.facts.table

    @property
    def show_create(self) -> str:
        return self.facts.show_create

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        return self.facts.triggers

    @property
    def outbound(self) -> tuple[ForeignKey, ...]:
        return self.facts.outbound

    @property
    def inbound(self) -> tuple[ForeignKey, ...]:
        return self.facts.inbound

    @property
    def definition(self) -> str:
        return normalised(self.show_create)

    @property
    def definition_hash(self) -> str:
        return definition_hash(self.show_create)


# ── Definitions ─────────────────────────────────────────────────────────────────────────────────────────────────────

_GRANT: Final = re.compile(r"(?P<verb>GRANT|REVOKE) (?P<rights>.+?) ON (?P<schema>\*|`(?:[^`]|``)*`)\.\* (?:TO|FROM) ", re.DOTALL)
_CHECK: Final = re.compile(r"^CONSTRAINT `(?:[^`]|``)*` (?=CHECK )")
_AUTO_INCREMENT: Final = re.compile(r" AUTO_INCREMENT=\d+")


def elements(show_create: str) -> tuple[tuple[str, ...], str]:
    """SHOW CREATE TABLE taken apart: the columns, keys and constraints in their order, and the options after the bracket.

    Errors: ValueError where it is not what SHOW CREATE TABLE prints for a base table.
    """
    found: list[str] = []
    depth = 0
    start = 0
    for at, sign in _outside_quotes(show_create):
        if sign == "(":
            depth += 1
            if depth == 1:
                start = at + 1
        elif sign == ")":
            depth -= 1
            if depth == 0:
                found.append(show_create[start:at].strip())
                return tuple(found), show_create[at + 1 :].strip()
        elif sign == "," and depth == 1:
            found.append(show_create[start:at].strip())
            start = at + 1
    raise ValueError(f"not a table's definition: {show_create[:200]}")


def without_auto_increment(show_create: str) -> str:
    """Without the table option AUTO_INCREMENT=N, which every INSERT changes; the column attribute stays."""
    _, options = elements(show_create)
    before, quote, after = options.partition("'")  # a comment may say AUTO_INCREMENT=7, too; it stands behind
    return show_create[: len(show_create) - len(options)] + _AUTO_INCREMENT.sub("", before, count=1) + quote + after


def normalised(show_create: str) -> str:
    """The definition without what two equal tables may differ in: the table's own name, the AUTO_INCREMENT option, the names of
    CHECK constraints (gh-ost's copy gets new ones) and hence their order."""
    parts, options = elements(without_auto_increment(show_create))
    checks = sorted(_CHECK.sub("", part) for part in parts if _CHECK.match(part))
    rest = [part for part in parts if not _CHECK.match(part)]
    kind = "CREATE TEMPORARY TABLE" if show_create.startswith("CREATE TEMPORARY") else "CREATE TABLE"
    return f"{kind} (\n" + ",\n".join(f"  {part}" for part in [*rest, *checks]) + f"\n) {options}"


def definition_hash(show_create: str) -> str:
    """64 hex digits over normalised(show_create): what PlannedMigration.expected holds, and the proof compares."""
    return hashlib.sha256(normalised(show_create).encode()).hexdigest()


def about_auto_increment(statement: str) -> bool:
    """The statement sets the table's AUTO_INCREMENT, so that its value belongs to what is approved."""
    return re.search(r"\bAUTO_INCREMENT\s*=?\s*\d", blanked(statement), re.IGNORECASE) is not None


def _outside_quotes(text: str) -> Iterator[tuple[int, str]]:
    """Each character that stands outside strings, quoted names and comments, with its place."""
    at = 0
    while at < len(text):
        sign = text[at]
        if sign in "'\"`":
            at = _after_quote(text, at)
            continue
        if text.startswith("/*", at) and not text.startswith("/*!", at):
            end = text.find("*/", at + 2)
            at = len(text) if end < 0 else end + 2
            continue
        yield at, sign
        at += 1


def _after_quote(text: str, start: int) -> int:
    """The place behind the string or name that begins at start; a doubled quote is part of it, so is what a backslash covers."""
    quote = text[start]
    at = start + 1
    while at < len(text):
        if text[at] == "\\" and quote != "`":
            at += 2
        elif text[at] != quote:
            at += 1
        elif text.startswith(quote * 2, at):
            at += 2
        else:
            return at + 1
    return len(text)


def blanked(statement: str) -> str:
    """The statement with each string, quoted name and comment as one blank."""
    kept: list[str] = []
    last = -1
    for at, sign in _outside_quotes(statement):
        if at != last + 1:
            kept.append(" ")
        kept.append(sign)
        last = at
    return "".join(kept)


# ── Fingerprint ─────────────────────────────────────────────────────────────────────────────────────────────────────

ABSENT: Final = Fingerprint(hashlib.sha256(b"skeebot: there is no such table").hexdigest())
"""Of a table that is not there: a planned CREATE must find it so. In a PlannedMigration "" means the same."""

_WHOLE: Final = 32
_HINT: Final = 4


def fingerprint_of(facts: TableFacts, statement: str = "") -> Fingerprint:
    """64 hex digits: 32 over everything, then 4 for each part by itself, so that two fingerprints alone tell which part changed.

    statement: the planned one; the AUTO_INCREMENT option counts only where the change is about it.
    """
    if not facts.present:
        return ABSENT
    parts = _parts(facts, statement)
    whole = _digest(list(parts.values()))[:_WHOLE]
    return Fingerprint(whole + "".join(_digest(part)[:_HINT] for part in parts.values()))


async def fingerprint(connection: Connection, schema: str, table: str, *, statement: str = "") -> Fingerprint:
    """Of the live table; see fingerprint_of."""
    return fingerprint_of(await read_facts(connection, schema, table), statement)


def changed_parts(approved: str, now: str) -> tuple[str, ...]:
    """In words, what differs between two fingerprints; () if they are equal."""
    if (approved or ABSENT) == (now or ABSENT):
        return ()
    if now == ABSENT:
        return ("the table is gone",)
    if approved in {"", ABSENT}:
        return ("the table exists now",)
    changed = [
        name for number, name in enumerate(_PARTS) if approved[_WHOLE + number * _HINT :][:_HINT] != now[_WHOLE + number * _HINT :][:_HINT]
    ]
    return tuple(changed) or ("something about the table",)


_PARTS: Final = (
    "its definition",
    "its triggers",
    "its own foreign keys",
    "the foreign keys that refer to it",
    "the server itself (server_uuid)",
    "the server's version",
    "the server's sql_mode or defaults",
    "the server's character set or collation",
)


def _parts(facts: TableFacts, statement: str) -> dict[str, Any]:
    server = facts.server
    definition = facts.show_create if about_auto_increment(statement) else without_auto_increment(facts.show_create)
    values: tuple[Any, ...] = (
        definition,
        [[one.name, one.timing, one.event, one.order, one.statement, one.sql_mode, one.definer] for one in facts.triggers],
        [_key(one) for one in facts.outbound],
        [_key(one) for one in facts.inbound],
        server.uuid,
        server.version,
        [server.sql_mode, server.explicit_defaults_for_timestamp, server.default_row_format, server.lower_case_table_names],
        [server.charset, server.collation],
    )
    return dict(zip(_PARTS, values, strict=True))


def _key(key: ForeignKey) -> list[Any]:
    return [key.name, key.child, key.columns, key.parent, key.parent_columns, key.on_delete, key.on_update]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()


def describe_change(before: TableFacts, after: TableFacts) -> tuple[str, ...]:
    """What changed, in words, one line each; () if the fingerprints would be equal."""
    if not before.present or not after.present:
        return changed_parts(fingerprint_of(before), fingerprint_of(after))
    lines: list[str] = []
    if without_auto_increment(before.show_create) != without_auto_increment(after.show_create):
        lines += _definition_changes(before.show_create, after.show_create)
    lines += _set_changes(
        "trigger", [f"{one.name}: {one.statement}" for one in before.triggers], [f"{one.name}: {one.statement}" for one in after.triggers]
    )
    lines += _set_changes("foreign key", [str(one) for one in before.outbound], [str(one) for one in after.outbound])
    lines += _set_changes("foreign key from elsewhere", [str(one) for one in before.inbound], [str(one) for one in after.inbound])
    for name in ServerFacts.__dataclass_fields__:
        old, new = getattr(before.server, name), getattr(after.server, name)
        if old != new:
            lines.append(f"the server's {name} was {old}, is {new}")
    return tuple(lines) or changed_parts(fingerprint_of(before), fingerprint_of(after))


def _definition_changes(before: str, after: str) -> list[str]:
    (old, old_options), (new, new_options) = elements(without_auto_increment(before)), elements(without_auto_increment(after))
    lines = _set_changes("", old, new)
    if old_options != new_options:
        lines.append(f"its options were {old_options}, are {new_options}")
    if not lines:
        moved = [line[2:] for line in difflib.ndiff(old, new) if line.startswith("+ ")]
        lines.append(f"the order changed around {', '.join(moved)}")
    return lines


def _set_changes(what: str, before: list[str] | tuple[str, ...], after: list[str] | tuple[str, ...]) -> list[str]:
    word = f"{what} " if what else ""
    return [f"gone: {word}{one}" for one in before if one not in after] + [f"new: {word}{one}" for one in after if one not in before]


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def read_server(connection: Connection) -> ServerFacts:
    row = await connection.row(
        "SELECT @@server_uuid, @@version, @@global.sql_mode, @@global.character_set_server, @@global.collation_server,"
        " @@global.explicit_defaults_for_timestamp, @@global.innodb_default_row_format, @@lower_case_table_names"
    )
    assert row is not None  # noqa: S101 - a SELECT without a table has one row
    return ServerFacts(
        uuid=str(row[0]),
        version=str(row[1]),
        sql_mode=",".join(sorted(str(row[2]).split(","))),
        charset=str(row[3]),
        collation=str(row[4]),
        explicit_defaults_for_timestamp=bool(row[5]),
        default_row_format=str(row[6]),
        lower_case_table_names=int(row[7]),
    )


async def read_facts(connection: Connection, schema: str, table: str) -> TableFacts:
    """Of a base table; a view of that name counts as absent.

    Errors: MySQLError as it comes; NeedsHuman where the account may not see triggers, for MySQL would show none without a word.
    """
    server = await read_server(connection)
    grants = [str(line) for (line,) in await connection.rows("SHOW GRANTS")]
    if not sees_triggers(grants, schema):
        raise NeedsHuman(
            f"The account that reads {schema} on {connection.address} may not see its triggers: GRANT TRIGGER ON `{schema}`.* to it."
        )
    show_create = await _show_create(connection, schema, table)
    if show_create is None:
        return TableFacts(schema=schema, table=table, server=server, show_create="")
    outbound, inbound = await _foreign_keys(connection, schema, table, server)
    return TableFacts(
        schema=schema,
        table=table,
        server=server,
        show_create=show_create,
        triggers=await _triggers(connection, schema, table),
        outbound=outbound,
        inbound=inbound,
    )


def sees_triggers(grants: Iterable[str], schema: str) -> bool:
    """grants: the lines of SHOW GRANTS. A right on single tables is not enough to be sure of all."""
    seen = False
    for line in grants:
        match = _GRANT.match(line)
        if not match or not _is_about(match["schema"], schema):
            continue
        rights = {right.strip().upper() for right in match["rights"].split(",")}
        if rights & {"TRIGGER", "ALL PRIVILEGES"}:
            if match["verb"] == "REVOKE":
                return False
            seen = True
    return seen


def _is_about(pattern: str, schema: str) -> bool:
    """A schema in a GRANT: * for all, else a pattern in which %, _ and \\ mean what they mean in LIKE."""
    if pattern == "*":
        return True
    unquoted = pattern.strip("`").replace("``", "`")
    pieces = re.findall(r"\\.|.", unquoted, re.DOTALL)
    regex = "".join(".*" if one == "%" else "." if one == "_" else re.escape(one[-1]) for one in pieces)
    return re.fullmatch(regex, schema, re.IGNORECASE | re.DOTALL) is not None


async def read_table(connection: Connection, schema: str, table: str) -> LiveTable | None:
    """None where there is no such base table."""
    facts = await read_facts(connection, schema, table)
    if not facts.present:
        return None
    size = await connection.row(
        "SELECT COALESCE(table_rows, 0), COALESCE(data_length, 0) + COALESCE(index_length, 0), engine, row_format, table_collation"
        " FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        (schema, table),
    )
    rows, size_bytes, engine, row_format, collation = size or (0, 0, "", "", "")
    return LiveTable(
        facts=facts,
        rows=int(rows),
        bytes=int(size_bytes),
        row_versions=await _row_versions(connection, schema, table),
        engine=str(engine or ""),
        row_format=str(row_format or ""),
        collation=str(collation or ""),
        columns=await read_columns(connection, schema, table),
        indexes=await read_indexes(connection, schema, table),
        dependents=await _dependents(connection, facts),
    )


async def list_tables(connection: Connection, schema: str) -> tuple[str, ...]:
    """Base tables, by name. Empty where there is no such schema."""
    rows = await connection.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY table_name",
        (schema,),
    )
    return tuple(str(name) for (name,) in rows)


async def read_columns(connection: Connection, schema: str, table: str) -> tuple[Column, ...]:
    rows = await connection.rows(
        "SELECT column_name, column_type, data_type, is_nullable, column_default, extra, character_set_name, collation_name,"
        " generation_expression FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (schema, table),
    )
    return tuple(
        Column(
            name=str(name),
            type=_text(column_type),
            data_type=_text(data_type),
            nullable=nullable == "YES",
            default=None if default is None else _text(default),
            extra=str(extra or ""),
            charset=charset,
            collation=collation,
            generated="VIRTUAL" if "VIRTUAL GENERATED" in extra else "STORED" if "STORED GENERATED" in extra else "",
            expression=_text(expression or ""),
        )
        for name, column_type, data_type, nullable, default, extra, charset, collation, expression in rows
    )


async def read_indexes(connection: Connection, schema: str, table: str) -> tuple[Index, ...]:
    """The primary key first, then by name."""
    rows = await connection.rows(
        "SELECT index_name, non_unique, column_name, nullable, is_visible, sub_part, index_type FROM information_schema.statistics"
        " WHERE table_schema = %s AND table_name = %s ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index",
        (schema, table),
    )
    found: dict[str, Index] = {}
    for name, non_unique, column, nullable, visible, sub_part, kind in rows:
        known = found.get(name)
        found[name] = Index(
            name=str(name),
            unique=not non_unique,
            columns=(*(known.columns if known else ()), str(column or "")),
            nullable=(known.nullable if known else False) or nullable == "YES",
            visible=visible == "YES",
            prefixed=(known.prefixed if known else False) or sub_part is not None,
            kind=str(kind),
        )
    return tuple(found.values())


async def _show_create(connection: Connection, schema: str, table: str) -> str | None:
    try:
        row = await connection.row(f"SHOW CREATE TABLE {table_name(schema, table)}")
    except Exception as wrong:
        if predicates.is_unknown_table(wrong) or predicates.is_unknown_database(wrong):
            return None
        raise
    return str(row[1]) if row and str(row[1]).startswith("CREATE TABLE") else None


async def _triggers(connection: Connection, schema: str, table: str) -> tuple[Trigger, ...]:
    rows = await connection.rows(
        "SELECT trigger_name, action_timing, event_manipulation, action_order, sql_mode, definer, character_set_client,"
        " collation_connection FROM information_schema.triggers WHERE event_object_schema = %s AND event_object_table = %s"
        " ORDER BY event_manipulation, action_timing, action_order",
        (schema, table),
    )
    found = []
    for name, timing, event, order, sql_mode, definer, charset, collation in rows:
        shown = await connection.row(f"SHOW CREATE TRIGGER {table_name(schema, str(name))}")
        found.append(
            Trigger(
                name=str(name),
                timing=str(timing),
                event=str(event),
                order=int(order),
                statement=str(shown[2]) if shown else "",
                sql_mode=str(sql_mode),
                definer=str(definer),
                client_charset=str(charset),
                client_collation=str(collation),
            )
        )
    return tuple(found)


async def _foreign_keys(
    connection: Connection, schema: str, table: str, server: ServerFacts
) -> tuple[tuple[ForeignKey, ...], tuple[ForeignKey, ...]]:
    """Own foreign keys and those that refer to the table, of all schemas, readable for this account or not.

    One that the table has to itself is in both.
    """
    name = f"{schema}/{table}" if server.lower_case_table_names == 0 else f"{schema}/{table}".lower()
    compared = ("for_name", "ref_name") if server.lower_case_table_names == 0 else ("LOWER(for_name)", "LOWER(ref_name)")
    rows = await connection.rows(
        f"SELECT id, for_name, ref_name, type FROM information_schema.innodb_foreign WHERE {compared[0]} = %s OR {compared[1]} = %s",  # noqa: S608 - the two are ours
        (name, name),
    )
    outbound: list[ForeignKey] = []
    inbound: list[ForeignKey] = []
    for identity, child, parent, kind in rows:
        columns = await connection.rows(
            "SELECT for_col_name, ref_col_name FROM information_schema.innodb_foreign_cols WHERE id = %s ORDER BY pos", (identity,)
        )
        child_name, parent_name = _split(str(child), schema), _split(str(parent), schema)
        key = ForeignKey(
            name=str(identity)[len(child_name[0]) + 1 :],
            child=child_name,
            columns=tuple(str(one) for one, _ in columns),
            parent=parent_name,
            parent_columns=tuple(str(one) for _, one in columns),
            on_delete=_action(int(kind), 0),
            on_update=_action(int(kind), 1),
        )
        if _same(str(child), name, server):
            outbound.append(key)
        if _same(str(parent), name, server):
            inbound.append(key)
    return tuple(sorted(outbound)), tuple(sorted(inbound))


def _split(name: str, schema: str) -> tuple[str, str]:
    """ "schema/table" taken apart. Either may hold a slash itself; the schema at hand is tried first."""
    if name.lower().startswith(f"{schema.lower()}/"):
        return name[: len(schema)], name[len(schema) + 1 :]
    first, _, rest = name.partition("/")
    return first, rest


def _same(one: str, other: str, server: ServerFacts) -> bool:
    return one == other if server.lower_case_table_names == 0 else one.lower() == other


def _action(kind: int, which: int) -> str:
    """InnoDB's bits: 1 and 2 (cascade, set null) and 16 (no action) for deletes, 4, 8 and 32 for updates."""
    bits = (kind & 1, kind & 2, kind & 16) if which == 0 else (kind & 4, kind & 8, kind & 32)
    for bit, word in zip(bits, ("CASCADE", "SET NULL", "NO ACTION"), strict=True):
        if bit:
            return word
    return "RESTRICT"


async def _row_versions(connection: Connection, schema: str, table: str) -> int | None:
    """The most of any partition. InnoDB writes these names as file names; what they make of letters outside ASCII is not read."""
    if not (schema + table).isascii():
        return None
    name = f"{_file_name(schema)}/{_file_name(table)}"
    value = await connection.value(
        "SELECT MAX(total_row_versions) FROM information_schema.innodb_tables WHERE name = %s OR LOWER(LEFT(name, %s)) = LOWER(%s)",
        (name, len(name) + 3, f"{name}#p#"),
    )
    return None if value is None else int(value)


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign == "_" else f"@{ord(sign):04x}" for sign in name)


async def _dependents(connection: Connection, facts: TableFacts) -> tuple[str, ...]:
    schema, table = facts.schema, facts.table
    views = await connection.rows(
        "SELECT view_schema, view_name FROM information_schema.view_table_usage WHERE table_schema = %s AND table_name = %s ORDER BY 1, 2",
        (schema, table),
    )
    routines = await connection.rows(
        "SELECT LOWER(routine_type), routine_schema, routine_name, routine_definition FROM information_schema.routines"
        " WHERE routine_schema <> 'sys' AND LOCATE(%s, routine_definition) > 0 ORDER BY 2, 3",
        (table,),
    )
    events = await connection.rows(
        "SELECT 'event', event_schema, event_name, event_definition FROM information_schema.events"
        " WHERE LOCATE(%s, event_definition) > 0 ORDER BY 2, 3",
        (table,),
    )
    triggers = await connection.rows(
        "SELECT 'trigger', trigger_schema, trigger_name, action_statement FROM information_schema.triggers"
        " WHERE NOT (event_object_schema = %s AND event_object_table = %s) AND trigger_schema <> 'sys'"
        " AND LOCATE(%s, action_statement) > 0 ORDER BY 2, 3",
        (schema, table, table),
    )
    mentions = re.compile(rf"(?<![\w$]){re.escape(table)}(?![\w$])", re.IGNORECASE)
    return (
        *(f"trigger {schema}.{one.name}" for one in facts.triggers),
        *(f"foreign key {one}" for one in facts.outbound),
        *(f"foreign key {one}" for one in facts.inbound if one not in facts.outbound),
        *(f"view {where}.{name}" for where, name in views),
        *(f"{kind} {where}.{name}" for kind, where, name, text in (*triggers, *routines, *events) if mentions.search(_text(text or ""))),
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
