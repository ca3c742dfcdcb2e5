"""What a change of a column's type may lose. Pure: no I/O.

Said of types, not of rows: a smaller type is unsafe although today's rows might fit, because nobody knows tomorrow's. Doubt counts as loss.
"""

from collections.abc import Callable, Mapping
from typing import Final

from activities.mysql.shapes import Column

_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_CHARS: Final = frozenset({"char", "varchar"})
_TEXTS: Final = frozenset({"tinytext", "text", "mediumtext", "longtext"})
_BINARIES: Final = frozenset({"binary", "varbinary"})
_BLOBS: Final = frozenset({"tinyblob", "blob", "mediumblob", "longblob"})
_TEMPORAL: Final = frozenset({"date", "time", "datetime", "timestamp", "year"})
_SPATIAL: Final = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection"}
)
_ALL_OF_UNICODE: Final = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_BYTES_PER_CHARACTER: Final = {"ascii": 1, "latin1": 1, "utf8mb3": 3, "utf8": 3, "ucs2": 2}
_LONGEST_TEMPORAL: Final = 26
_YEARS: Final = 2155
_EXACT_BITS: Final = {"float": 24, "double": 53}


def loss(before: Column, after: Column) -> str:
    """What may be lost, as the end of a sentence; "" where every value that fits before fits after, unchanged."""
    if before.type == after.type and before.charset == after.charset and before.srid == after.srid:
        return ""
    old, new = _family(before), _family(after)
    judge = _JUDGES.get((old, new))
    if judge is None:
        return f"`{before.type}` does not always convert into `{after.type}`"
    return judge(before, after)


def members(enum: str) -> list[str]:
    """The values of `enum('a','b')` or `set(…)`, as information_schema prints the type."""
    found: list[str] = []
    at = enum.find("'")
    while 0 <= at < len(enum):
        end = at + 1
        while enum[end : end + 1] != "'" or enum[end : end + 2] == "''":
            if end >= len(enum):
                return found
            end += 2 if enum[end : end + 2] == "''" else 1
        found.append(enum[at + 1 : end].replace("''", "'"))
        at = enum.find("'", end + 1)
    return found


def _family(column: Column) -> str:
    kind = column.data_type
    if kind in _BITS:
        return "integer"
    if kind in _CHARS or kind in _TEXTS:
        return "string"
    if kind in _BINARIES or kind in _BLOBS:
        return "bytes"
    if kind in {"float", "double"}:
        return "float"
    if kind in _TEMPORAL:
        return "temporal"
    if kind in _SPATIAL:
        return "spatial"
    return kind


def _integer_range(column: Column) -> tuple[int, int]:
    bits = _BITS[column.data_type]
    return (0, 2**bits - 1) if column.unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _integers(before: Column, after: Column) -> str:
    (low, high), (new_low, new_high) = _integer_range(before), _integer_range(after)
    if low < new_low:
        return "negative numbers do not fit" if new_low == 0 else f"numbers below {new_low:,} do not fit"
    return f"numbers above {new_high:,} do not fit" if high > new_high else ""


def _decimals(before: Column, after: Column) -> str:
    if before.unsigned < after.unsigned:
        return "negative numbers do not fit"
    if (before.scale or 0) > (after.scale or 0):
        return f"digits after the {after.scale or 0} behind the point are rounded away"
    whole, new_whole = _whole_digits(before), _whole_digits(after)
    return f"numbers of more than {new_whole} digits before the point do not fit" if whole > new_whole else ""


def _whole_digits(column: Column) -> int:
    return (column.precision or 0) - (column.scale or 0)


def _integer_to_decimal(before: Column, after: Column) -> str:
    low, high = _integer_range(before)
    if low < 0 and after.unsigned:
        return "negative numbers do not fit"
    return "" if len(str(high)) <= _whole_digits(after) else f"numbers of more than {_whole_digits(after)} digits do not fit"


def _decimal_to_integer(before: Column, after: Column) -> str:
    if before.scale:
        return "digits behind the point are rounded away"
    low, high = _integer_range(after)
    largest = 10 ** _whole_digits(before) - 1
    return "" if largest <= high and (before.unsigned or -largest >= low) else f"numbers above {high:,} or below {low:,} do not fit"


def _integer_to_float(before: Column, after: Column) -> str:
    return "" if _BITS[before.data_type] <= _EXACT_BITS[after.data_type] and after.scale is None else "large numbers become inexact"


def _floats(before: Column, after: Column) -> str:
    if before.data_type == "double" and after.data_type == "float":
        return "digits beyond about seven are lost"
    if before.unsigned < after.unsigned:
        return "negative numbers do not fit"
    if after.scale is not None and (before.scale is None or before.scale > after.scale or _whole_digits(before) > _whole_digits(after)):
        return "digits that the new precision has no room for are lost"
    return ""


def _strings(before: Column, after: Column) -> str:
    if lost := _charset_loss(before, after):
        return lost
    if before.data_type != "char" and after.data_type == "char":
        return "spaces at the end of values are lost"
    return _room(before, after)


def _charset_loss(before: Column, after: Column) -> str:
    old, new = before.charset or "", after.charset or ""
    if old in {new, "ascii"} or new in _ALL_OF_UNICODE or {old, new} <= {"utf8mb3", "utf8", "ucs2"}:
        return ""
    return f"characters that {new} does not have are replaced or refused"


def _room(before: Column, after: Column) -> str:
    most = (before.characters or 0) if before.data_type in _CHARS else (before.octets or 0)
    if after.data_type in _CHARS:
        return "" if most <= (after.characters or 0) else f"values longer than {after.characters or 0:,} characters do not fit"
    most_bytes = (before.octets or 0) if before.charset == after.charset else most * _BYTES_PER_CHARACTER.get(after.charset or "", 4)
    return "" if min(most_bytes, 2**32 - 1) <= (after.octets or 0) else f"values longer than {after.octets or 0:,} bytes do not fit"


def _bytes(before: Column, after: Column) -> str:
    if (before.octets or 0) > (after.octets or 0):
        return f"values longer than {after.octets or 0:,} bytes do not fit"
    return "zero bytes are added to values" if after.data_type == "binary" and before.type != after.type else ""


def _string_to_bytes(before: Column, after: Column) -> str:
    if after.data_type == "binary":
        return "zero bytes are added to values"
    return "" if (before.octets or 0) <= (after.octets or 0) else f"values longer than {after.octets or 0:,} bytes do not fit"


def _enums(before: Column, after: Column) -> str:
    if lost := _charset_loss(before, after):
        return lost
    old, new = members(before.type), members(after.type)
    gone = [f"'{one}'" for one in old if one not in new]
    if gone:
        return f"the value{'s' if len(gone) > 1 else ''} {', '.join(gone[:5])}{' …' if len(gone) > 5 else ''} can no longer be stored"
    if old != new[: len(old)]:
        return "the order of its values changes, and with it sorting, comparisons and their numbers"
    return ""


def _enum_to_string(before: Column, after: Column) -> str:
    if lost := _charset_loss(before, after):
        return lost
    longest = max((len(one) for one in members(before.type)), default=0)
    if before.data_type == "set":
        longest = before.characters or 0
    room = (after.characters or 0) if after.data_type in _CHARS else (after.octets or 0) // 4
    return "" if longest <= room else f"values longer than {room:,} characters do not fit"


def _integer_to_string(before: Column, after: Column) -> str:
    needed = max(len(str(one)) for one in _integer_range(before))
    return "" if needed <= (after.characters or 0) else f"numbers longer than {after.characters or 0} digits do not fit"


def _decimal_to_string(before: Column, after: Column) -> str:
    return "" if (before.precision or 0) + 2 <= (after.characters or 0) else "long numbers do not fit"


def _temporals(before: Column, after: Column) -> str:
    old, new = before.data_type, after.data_type
    if old == new or (old, new) == ("timestamp", "datetime"):
        return "fractions of seconds are rounded away" if (before.fsp or 0) > (after.fsp or 0) else ""
    if (old, new) == ("date", "datetime"):
        return ""
    if new == "timestamp":
        return "moments before 1970 or after 2038 do not fit, and the rest depends on the session's time zone"
    if new == "date":
        return "the time of day is lost"
    return f"`{before.type}` does not always convert into `{after.type}`"


def _temporal_to_string(before: Column, after: Column) -> str:
    return "" if (after.characters or 0) >= _LONGEST_TEMPORAL else "values may be cut"


def _temporal_to_integer(before: Column, after: Column) -> str:
    if before.data_type == "year" and _integer_range(after)[1] >= _YEARS:
        return ""
    return f"`{before.type}` does not always convert into `{after.type}`"


def _bits(before: Column, after: Column) -> str:
    return "" if (before.precision or 0) <= (after.precision or 0) else f"bits beyond {after.precision} do not fit"


def _json_to_string(before: Column, after: Column) -> str:
    return "" if after.data_type == "longtext" and after.charset == "utf8mb4" else "long documents do not fit"


def _spatials(before: Column, after: Column) -> str:
    if before.srid != after.srid:
        return "values of another spatial reference system do not fit"
    return "" if after.data_type in {before.data_type, "geometry"} else "geometries of another kind do not fit"


_JUDGES: Final[Mapping[tuple[str, str], Callable[[Column, Column], str]]] = {
    ("integer", "integer"): _integers,
    ("integer", "decimal"): _integer_to_decimal,
    ("integer", "float"): _integer_to_float,
    ("integer", "string"): _integer_to_string,
    ("decimal", "decimal"): _decimals,
    ("decimal", "integer"): _decimal_to_integer,
    ("decimal", "string"): _decimal_to_string,
    ("float", "float"): _floats,
    ("string", "string"): _strings,
    ("string", "bytes"): _string_to_bytes,
    ("bytes", "bytes"): _bytes,
    ("enum", "enum"): _enums,
    ("set", "set"): _enums,
    ("enum", "string"): _enum_to_string,
    ("set", "string"): _enum_to_string,
    ("temporal", "temporal"): _temporals,
    ("temporal", "string"): _temporal_to_string,
    ("temporal", "integer"): _temporal_to_integer,
    ("bit", "bit"): _bits,
    ("json", "string"): _json_to_string,
    ("spatial", "spatial"): _spatials,
}
