"""The structure of tables in a scratch schema, as information_schema tells it: what judging compares, instead of reading SQL."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from activities.mysql.connect import Connection
from activities.mysql.introspect import elements


def folded(name: str) -> str:
    """Names of columns and indexes are one to MySQL where these are equal. Not casefold(): `straße` and `strasse` are two columns."""
    return name.lower()


@dataclass(frozen=True)
class Column:
    """type: as in SHOW CREATE ("decimal(10,2) unsigned"). characters, octets: of strings. precision, scale: of numbers (bits for bit).

    fsp: digits of fractional seconds. generated: "", "VIRTUAL" or "STORED". extra: information_schema's own words.
    """

    name: str
    type: str
    data_type: str
    nullable: bool = True
    default: str | None = None
    extra: str = ""
    charset: str | None = None
    collation: str | None = None
    characters: int | None = None
    octets: int | None = None
    precision: int | None = None
    scale: int | None = None
    fsp: int | None = None
    srid: int | None = None
    generated: str = ""
    expression: str = ""

    @property
    def unsigned(self) -> bool:
        return "unsigned" in self.type.split(")")[-1].split() or "unsigned" in self.type.split()

    @property
    def auto_increment(self) -> bool:
        return "auto_increment" in self.extra.lower()

    @property
    def invisible(self) -> bool:
        return "INVISIBLE" in self.extra.upper()


@dataclass(frozen=True)
class Part:
    """One part of an index. column: "" for an expression. prefix: characters (or bytes) of the column's beginning, None for all of it."""

    column: str
    prefix: int | None = None
    expression: str = ""
    descending: bool = False


@dataclass(frozen=True)
class Index:
    """kind: BTREE, FULLTEXT, SPATIAL, …. nullable: a part may be NULL."""

    name: str
    unique: bool
    parts: tuple[Part, ...]
    kind: str = "BTREE"
    visible: bool = True
    nullable: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(part.column for part in self.parts)

    @property
    def plain(self) -> bool:
        """Whole columns only: no prefix, no expression."""
        return all(part.column and part.prefix is None for part in self.parts)


@dataclass(frozen=True)
class Check:
    """clause: as SHOW CREATE TABLE prints it, in parentheses; information_schema's print has backslashes that SQL has not."""

    name: str
    clause: str
    enforced: bool


@dataclass(frozen=True)
class ForeignKey:
    """parent: "" schema where it is the table's own."""

    name: str
    columns: tuple[str, ...]
    parent_schema: str
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(frozen=True)
class Partition:
    """values: the description of RANGE and LIST."""

    name: str
    values: str


@dataclass(frozen=True)
class Shape:
    """One table. method: of partitioning ("" without): RANGE, LIST COLUMNS, …; expression: what it partitions by."""

    table: str
    engine: str
    row_format: str
    collation: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    method: str = ""
    expression: str = ""
    partitions: tuple[Partition, ...] = ()

    def column(self, name: str) -> Column | None:
        return next((one for one in self.columns if folded(one.name) == folded(name)), None)

    def index(self, name: str) -> Index | None:
        return next((one for one in self.indexes if folded(one.name) == folded(name)), None)


_COLUMNS: Final = (
    "SELECT table_name, column_name, column_type, data_type, is_nullable, column_default, extra, character_set_name, collation_name,"
    " character_maximum_length, character_octet_length, numeric_precision, numeric_scale, datetime_precision, srs_id,"
    " generation_expression FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position"
)
_INDEXES: Final = (
    "SELECT table_name, index_name, non_unique, column_name, sub_part, expression, collation, nullable, index_type, is_visible"
    " FROM information_schema.statistics WHERE table_schema = %s ORDER BY table_name, index_name <> 'PRIMARY', index_name, seq_in_index"
)
_FOREIGN_KEYS: Final = (
    "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema, k.referenced_table_name, k.referenced_column_name,"
    " r.delete_rule, r.update_rule FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r"
    " ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name"
    " WHERE k.table_schema = %s AND k.referenced_table_name IS NOT NULL ORDER BY k.table_name, k.constraint_name, k.ordinal_position"
)
_PARTITIONS: Final = (
    "SELECT table_name, partition_name, partition_description, partition_method, partition_expression FROM information_schema.partitions"
    " WHERE table_schema = %s AND partition_name IS NOT NULL ORDER BY table_name, partition_ordinal_position, subpartition_ordinal_position"
)
_TABLES: Final = (
    "SELECT table_name, engine, row_format, table_collation FROM information_schema.tables"
    " WHERE table_schema = %s AND table_type = 'BASE TABLE'"
)


async def read_shapes(connection: Connection, schema: str, definitions: Mapping[str, str]) -> dict[str, Shape]:
    """Every base table of a (small) schema, by name. definitions: what SHOW CREATE TABLE prints, by table. Errors: pymysql's."""
    rows = {
        what: _by_table(await connection.rows(query, (schema,)))
        for what, query in {
            "columns": _COLUMNS,
            "indexes": _INDEXES,
            "foreign_keys": _FOREIGN_KEYS,
            "partitions": _PARTITIONS,
        }.items()
    }
    return {
        str(table): replace(
            _shape(schema, str(table), (engine, row_format, collation), {what: found[str(table)] for what, found in rows.items()}),
            checks=tuple(_checks(definitions[str(table)])),
        )
        for table, engine, row_format, collation in await connection.rows(_TABLES, (schema,))
    }


def check_of(part: str) -> tuple[str, str] | None:
    """The quoted name and the rule ("CHECK (…)" and what follows) of a CHECK constraint; part: one element of SHOW CREATE TABLE."""
    found = _CHECK.match(part)
    return (found[1], found[2]) if found else None


_CHECK: Final = re.compile(r"^CONSTRAINT (`(?:[^`]|``)*`) (CHECK .*)$", re.DOTALL)
_NOT_ENFORCED: Final = " /*!80016 NOT ENFORCED */"


def _checks(create: str) -> Iterator[Check]:
    for part in elements(create)[0]:
        if (found := check_of(part)) is not None:
            name, rule = found
            clause = rule.removeprefix("CHECK ").removesuffix(_NOT_ENFORCED)
            yield Check(name[1:-1].replace("``", "`"), clause, enforced=not rule.endswith(_NOT_ENFORCED))


def _by_table(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for table, *rest in rows:
        found[str(table)].append(tuple(rest))
    return found


def _shape(schema: str, table: str, of_table: tuple[Any, ...], rows: Mapping[str, list[tuple[Any, ...]]]) -> Shape:
    engine, row_format, collation = of_table
    partitions = rows["partitions"]
    return Shape(
        table=table,
        engine=_text(engine),
        row_format=_text(row_format),
        collation=_text(collation),
        columns=tuple(_column(row) for row in rows["columns"]),
        indexes=_indexes(rows["indexes"]),
        foreign_keys=_foreign_keys(schema, rows["foreign_keys"]),
        method=_text(partitions[0][2]) if partitions else "",
        expression=_text(partitions[0][3]) if partitions else "",
        partitions=tuple(dict.fromkeys(Partition(_text(name), _text(values)) for name, values, _, _ in partitions)),
    )


def _column(row: tuple[Any, ...]) -> Column:
    name, kind, data_type, nullable, default, extra, charset, collation, characters, octets, precision, scale, fsp, srid, expression = row
    words = _text(extra)
    return Column(
        name=_text(name),
        type=_text(kind),
        data_type=_text(data_type).lower(),
        nullable=_text(nullable) == "YES",
        default=None if default is None else _text(default),
        extra=words,
        charset=None if charset is None else _text(charset),
        collation=None if collation is None else _text(collation),
        characters=_number(characters),
        octets=_number(octets),
        precision=_number(precision),
        scale=_number(scale),
        fsp=_number(fsp),
        srid=_number(srid),
        generated="VIRTUAL" if "VIRTUAL GENERATED" in words else "STORED" if "STORED GENERATED" in words else "",
        expression=_text(expression),
    )


def _indexes(rows: list[tuple[Any, ...]]) -> tuple[Index, ...]:
    found: dict[str, Index] = {}
    for name, non_unique, column, prefix, expression, collation, nullable, kind, visible in rows:
        known = found.get(_text(name))
        part = Part(_text(column), _number(prefix), _text(expression), _text(collation) == "D")
        found[_text(name)] = Index(
            name=_text(name),
            unique=not int(non_unique),
            parts=(*(known.parts if known else ()), part),
            kind=_text(kind),
            visible=_text(visible) == "YES",
            nullable=(known.nullable if known else False) or _text(nullable) == "YES",
        )
    return tuple(found.values())


def _foreign_keys(schema: str, rows: list[tuple[Any, ...]]) -> tuple[ForeignKey, ...]:
    found: dict[str, ForeignKey] = {}
    for name, column, parent_schema, parent, parent_column, on_delete, on_update in rows:
        known = found.get(_text(name))
        found[_text(name)] = ForeignKey(
            name=_text(name),
            columns=(*(known.columns if known else ()), _text(column)),
            parent_schema="" if _text(parent_schema) == schema else _text(parent_schema),
            parent=_text(parent),
            parent_columns=(*(known.parent_columns if known else ()), _text(parent_column)),
            on_delete=_text(on_delete),
            on_update=_text(on_update),
        )
    return tuple(found.values())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
