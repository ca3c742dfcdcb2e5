# ruff: noqa: S608 - writing statements is what this module is for; every name in them is quoted and every value escaped by the driver
"""How the rows of an original and its ghost are told apart: which columns can be compared, and the SQL that does it. No I/O.

Each column is written as a NULL flag, a length and its bytes, so that no two different rows read alike ((1, 'a', NULL) and
(1, NULL, 'a') do under CONCAT_WS); a row is the SHA-256 of that, and a chunk the XOR of its rows and their number (SAFETY §S5).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from activities.mysql.connect import quoted
from activities.mysql.introspect import Column, Index

Key = tuple[Any, ...]

_INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_FLOATS: Final = frozenset({"float", "double"})
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BINARIES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_MEMBERS: Final = frozenset({"enum", "set"})
_TIMES: Final = frozenset({"date", "time", "datetime", "timestamp"})
_SHAPES: Final = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection"}
)
_BIG: Final = frozenset({"text", "mediumtext", "longtext", "blob", "mediumblob", "longblob", "json", "vector"}) | _SHAPES


# ── Which columns ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Pair:
    """A column of the original and what it is in the ghost."""

    original: Column
    ghost: Column


@dataclass(frozen=True)
class Columns:
    """same: compared as they are. converted: compared with what MySQL makes of the original's value when a ghost-shaped table stores it.
    unproven: nothing here can tell. left_out: names, in words, that the change drops, adds or computes."""

    same: tuple[Pair, ...]
    converted: tuple[Pair, ...]
    unproven: tuple[Pair, ...]
    left_out: tuple[str, ...]


def match_columns(original: Sequence[Column], ghost: Sequence[Column], renamed: Mapping[str, str]) -> Columns:
    """renamed: old name → new name, both as written in the statement."""
    new_names = {old.lower(): new.lower() for old, new in renamed.items()}
    there = {column.name.lower(): column for column in ghost}
    same: list[Pair] = []
    converted: list[Pair] = []
    unproven: list[Pair] = []
    left_out: list[str] = []
    for column in original:
        found = there.pop(new_names.get(column.name.lower(), column.name.lower()), None)
        if found is None:
            left_out.append(f"{column.name} (dropped)")
        elif found.generated:
            _place_generated(Pair(column, found), same, left_out)
        else:
            {"same": same, "converted": converted, "unproven": unproven}[_kind(column, found)].append(Pair(column, found))
    left_out += [f"{column.name} (added)" for column in there.values()]
    return Columns(tuple(same), tuple(converted), tuple(unproven), tuple(left_out))


def _place_generated(pair: Pair, same: list[Pair], left_out: list[str]) -> None:
    """What the ghost computes in the same way from the same values is the same; anything else follows from columns compared by themselves.

    A column that is computed no longer is none of these: its values are stored now and must have been copied.
    """
    one, other = pair.original, pair.ghost
    if bool(one.generated) == bool(other.generated) and (one.expression, one.type, one.charset) == (
        other.expression,
        other.type,
        other.charset,
    ):
        same.append(pair)
    else:
        left_out.append(f"{one.name} (computed)")


def _kind(one: Column, other: Column) -> str:
    if _reads_alike(one, other):
        return "same"
    pair = {one.data_type, other.data_type}
    # gh-ost copies such values by INSERT … SELECT and applies them as text from the binary log: the two need not agree to the last digit.
    if pair & (_FLOATS | {"json"} | _SHAPES | {"vector"}):
        return "unproven"
    # What is stored depends on the time zone of the session that stores.
    if "timestamp" in pair and len(pair) > 1:
        return "unproven"
    return "converted"


def _reads_alike(one: Column, other: Column) -> bool:
    """Storing the one's value in the other leaves its written form as it is, or fails."""
    old, new = one.data_type, other.data_type
    if (one.type, one.charset) == (other.type, other.charset):
        return True
    both = {old, new}
    if both <= _INTEGERS or both == {"bit"}:
        return True
    if both == {"decimal"}:
        return _scale(one) == _scale(other)
    if both <= _TEXTS:
        return both == {"char"} or "char" not in both  # CHAR loses its trailing blanks
    if both <= _BINARIES:
        return "binary" not in both  # BINARY is filled up with zeros
    return old == new and old in _MEMBERS


def _scale(column: Column) -> str:
    found = re.search(r",(\d+)\)", column.type)
    return found[1] if found else "0"


# ── Renames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_TOKEN: Final = re.compile(r"`((?:[^`]|``)*)`|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|/\*.*?\*/|([\w$]+)|(\S)", re.DOTALL)


def renamed_columns(statement: str) -> dict[str, str]:
    """Old name → new name, of RENAME COLUMN and CHANGE in an ALTER TABLE."""
    words: list[tuple[str, bool]] = []
    for match in _TOKEN.finditer(statement):
        if match[1] is not None:
            words.append((match[1].replace("``", "`"), True))
        elif match[2] is not None or match[3] is not None:
            words.append((match[2] or match[3], False))
    found: dict[str, str] = {}
    for at, (word, is_name) in enumerate(words):
        rest = [one for one, _ in words[at + 1 : at + 5]]
        if is_name or len(rest) < 2:
            continue
        if word.upper() == "RENAME" and rest[0].upper() == "COLUMN" and len(rest) == 4 and rest[2].upper() == "TO":
            found[rest[1]] = rest[3]
        elif word.upper() == "CHANGE":
            names = rest[1:3] if rest[0].upper() == "COLUMN" and not words[at + 1][1] else rest[0:2]
            if len(names) == 2 and names[0].lower() != names[1].lower():
                found[names[0]] = names[1]
    return found


# ── Along which key ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SharedKey:
    """A unique key that both tables have over the same columns in the same order of values; the names on either side."""

    original_index: str
    ghost_index: str
    pairs: tuple[Pair, ...]


def shared_key(original: Sequence[Index], ghost: Sequence[Index], columns: Columns, usable: Callable[[Index], bool]) -> SharedKey | str:
    """The primary key where it can be, else another; or why there is none, in words."""
    known = {pair.original.name.lower(): pair for pair in (*columns.same, *columns.converted, *columns.unproven)}
    there = {tuple(name.lower() for name in index.columns): index for index in reversed(ghost) if usable(index)}
    reasons: list[str] = []
    for index in original:
        if not usable(index):
            continue
        pairs = [known.get(name.lower()) for name in index.columns]
        found = tuple(pair for pair in pairs if pair is not None)
        partner = there.get(tuple(pair.ghost.name.lower() for pair in found))
        wrong = [pair.original.name for pair in found if not _orders_alike(pair)]
        if len(found) < len(pairs) or partner is None:
            reasons.append(f"the ghost has no such key as {index.name}")
        elif wrong:
            reasons.append(f"{', '.join(wrong)} of {index.name} cannot be walked along in both (type or collation)")
        else:
            return SharedKey(index.name, partner.name, found)
    return "; ".join(reasons) or "the original has no unique key without NULL"


def _orders_alike(pair: Pair) -> bool:
    """A range of this column holds the same values in both tables, and a literal finds them."""
    one, other = pair.original, pair.ghost
    both = {one.data_type, other.data_type}
    if both <= _INTEGERS:
        return True
    if both <= {"char", "varchar"} and len(both) == 1:
        return (one.charset, one.collation) == (other.charset, other.collation)
    if both == {"decimal"}:
        return _scale(one) == _scale(other)
    return one.type == other.type and both <= _TIMES | {"binary", "varbinary", "year"}


# ── SQL ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Side:
    """One of the two tables as the statements see it. table: quoted, with its schema. index: its name, "" for none.

    digested: names of columns that can be large (here or on the other side): their own SHA-256 is written instead of them.
    """

    table: str
    index: str
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    digested: frozenset[str] = frozenset()

    @property
    def source(self) -> str:
        return f"{self.table} FORCE INDEX ({quoted(self.index)})" if self.index else self.table

    @property
    def key_list(self) -> str:
        return ", ".join(quoted(column.name) for column in self.key)

    @property
    def row_hash(self) -> str:
        """The SHA-256 of the key and the columns, as 32 bytes; NULL only for a row that is too long to be written in one."""
        pieces = ", ".join(self.piece(column) for column in dict.fromkeys((*self.key, *self.columns)))
        return f"UNHEX(SHA2(CONCAT({pieces}), 256))"

    @property
    def unhashable(self) -> str:
        """How many rows were too long; counted only where columns are large enough, for it hashes each row twice."""
        return f"COUNT(*) - COUNT({self.row_hash})" if self.digested else "0"

    def piece(self, column: Column) -> str:
        """A column as it goes into the hash: NULL flag, length, bytes."""
        name, written = quoted(column.name), _written(column)
        if column.name in self.digested:
            return f"IF({name} IS NULL, '0', CONCAT('1', SHA2({written}, 256)))"
        return f"IF({name} IS NULL, '0', CONCAT('1', LENGTH({written}), ':', {written}))"


def sides_of(original: tuple[str, str], ghost: tuple[str, str], key: Sequence[Pair], columns: Sequence[Pair]) -> tuple[Side, Side]:
    """original, ghost: (table, index). Both write each pair of columns in the same form."""
    big = [pair for pair in columns if {pair.original.data_type, pair.ghost.data_type} & _BIG]
    return (
        Side(
            *original,
            key=tuple(pair.original for pair in key),
            columns=tuple(pair.original for pair in columns),
            digested=frozenset(pair.original.name for pair in big),
        ),
        Side(
            *ghost,
            key=tuple(pair.ghost for pair in key),
            columns=tuple(pair.ghost for pair in columns),
            digested=frozenset(pair.ghost.name for pair in big),
        ),
    )


def _written(column: Column) -> str:
    name, kind = quoted(column.name), column.data_type
    if kind in _INTEGERS or kind in {"decimal", "year"}:
        return f"CAST({name} + 0 AS CHAR)"  # without ZEROFILL
    if kind in _FLOATS:
        return f"CAST({name} + 0e0 AS CHAR)"  # all digits; a FLOAT by itself prints six
    if kind == "bit":
        return f"HEX({name})"
    if kind in _TIMES:
        return f"CAST({name} AS CHAR)"
    if kind == "json" or (kind in _TEXTS | _MEMBERS and column.charset != "utf8mb4"):
        return f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)"
    return f"CAST({name} AS BINARY)"


Literal = Callable[[Any], str]


def between(side: Side, low: Key | None, high: Key | None, literal: Literal) -> str:
    """low < key <= high as a condition; None is open."""
    conditions = []
    if low is not None:
        conditions.append(_beyond(side, low, literal, ">", inclusive=False))
    if high is not None:
        conditions.append(_beyond(side, high, literal, "<", inclusive=True))
    return " AND ".join(conditions) or "TRUE"


def _beyond(side: Side, key: Key, literal: Literal, sign: str, *, inclusive: bool) -> str:
    """Written out, for MySQL does not walk an index along (a, b) > (x, y)."""
    names = [quoted(column.name) for column in side.key]
    values = [literal(value) for value in key]
    last = len(names) - 1
    cases = []
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        equal = [f"{names[before]} = {values[before]}" for before in range(at)]
        cases.append(" AND ".join([*equal, f"{name} {sign}{'=' if inclusive and at == last else ''} {value}"]))
    # The first column by itself bounds the range; the rest sorts out its edge.
    edge = f"{names[0]} {sign}= {values[0]} AND " if last else ""
    return f"({edge}({' OR '.join(f'({case})' for case in cases)}))"


def among(side: Side, keys: Sequence[Key], literal: Literal) -> str:
    """The key is one of these."""
    if len(side.key) == 1:
        return f"{side.key_list} IN ({', '.join(literal(key[0]) for key in keys)})"
    return f"({side.key_list}) IN ({', '.join('(' + ', '.join(literal(value) for value in key) + ')' for key in keys)})"


def boundary_statement(sides: Sequence[Side], low: Key | None, size: int, literal: Literal) -> str:
    """The size-th key after low, of whichever table reaches it first: a chunk is small in both, even if one lacks the other's rows."""
    names = [f"k{at}" for at in range(len(sides[0].key))]
    looks = [
        f"(SELECT {', '.join(f'{quoted(column.name)} AS {name}' for column, name in zip(side.key, names, strict=True))} FROM {side.source}"
        f" WHERE {between(side, low, None, literal)} ORDER BY {side.key_list} LIMIT 1 OFFSET {size - 1})"
        for side in sides
    ]
    order = ", ".join(names)
    return f"SELECT {order} FROM ({' UNION ALL '.join(looks)}) AS reached ORDER BY {order} LIMIT 1"


def fold_statement(sides: Sequence[Side], wheres: Sequence[str]) -> str:
    """One row per side: its number, how many rows, their fold, how many were too long. One statement, hence one snapshot."""
    return " UNION ALL ".join(
        f"(SELECT {number}, COUNT(*), BIT_XOR({side.row_hash}), {side.unhashable} FROM {side.source} WHERE {where})"
        for number, (side, where) in enumerate(zip(sides, wheres, strict=True))
    )


def narrow_statement(sides: Sequence[Side], wheres: Sequence[str]) -> str:
    """The rows that only one side has as they are: side, hash in hex, key. One statement, hence one snapshot."""
    names = [f"k{at}" for at in range(len(sides[0].key))]
    keys = ", ".join(names)
    rows = " UNION ALL ".join(
        f"SELECT {number} AS side, {side.row_hash} AS h, "
        f"{', '.join(f'{quoted(column.name)} AS {name}' for column, name in zip(side.key, names, strict=True))}"
        f" FROM {side.source} WHERE {where}"
        for number, (side, where) in enumerate(zip(sides, wheres, strict=True))
    )
    return f"SELECT MIN(side), HEX(h), {keys} FROM ({rows}) AS both_sides GROUP BY h, {keys} HAVING COUNT(*) = 1"


def columns_statement(side: Side, key: Key, literal: Literal) -> str:
    """The hash of each column of one row, to say which of them differ."""
    pieces = ", ".join(f"SHA2({side.piece(column)}, 256)" for column in side.columns)
    return f"SELECT {pieces or '1'} FROM {side.source} WHERE {among(side, [key], literal)}"
