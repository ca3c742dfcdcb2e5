"""Which columns gh-ost would carry over wrongly, or not at all. Pure: no I/O.

Rows that lie still are copied by INSERT … SELECT, so MySQL converts them as its own ALTER would. A row that is written meanwhile gh-ost
takes from the binary log and stores by itself: SET and ENUM come as numbers, numbers without the zeros around them, strings in the bytes of
their own character set (v1.1.10; measured in tests/activities/mysql/test_as_native.py). Where that gives another value no comparison helps:
what is written after it would be stored wrongly, and nobody would see it.
"""

from typing import Final

from activities.mysql.narrowing import members
from activities.mysql.shapes import Column

_NUMBERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"})
_BINARIES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_READ_AS_TEXT: Final = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii", "latin1", "gbk"})
"""Character sets whose strings gh-ost can turn into others: those that are UTF-8 as they are, and the two that it decodes."""

_DECODED: Final = frozenset({"latin1", "gbk"})


def miscarried(old: Column, new: Column) -> str:
    """Why gh-ost must not carry this column over, as the end of a sentence; "" where it does it as an ALTER would."""
    if new.generated:
        return ""  # computed on either side, never carried
    if old.generated:
        return "it does not copy computed columns, so the column would be NULL or its default in every row"
    if old.type == new.type and old.charset == new.charset:
        return ""
    return _members(old, new) or _numbers(old, new) or _strings(old, new)


def must_be_given(new: Column) -> bool:
    """An INSERT that leaves the column out fails, and gh-ost's leaves every new column out."""
    return not new.nullable and new.default is None and not new.generated and not new.auto_increment


def _members(old: Column, new: Column) -> str:
    if old.data_type == "set":
        listed = members(old.type)
        fits = new.data_type == "set" and members(new.type)[: len(listed)] == listed
    else:
        fits = old.data_type != "enum" or bool(new.charset) or new.data_type in _NUMBERS
    return "" if fits else f"it writes the values of {old.data_type.upper()} by their numbers, which mean something else there"


def _numbers(old: Column, new: Column) -> str:
    """DECIMAL 2.00 comes as 2, YEAR 0000 as 0."""
    padded = old.data_type in {"decimal", "year"} or "zerofill" in old.type
    return "it writes the numbers without the zeros around them" if padded and new.data_type not in _NUMBERS | {"year"} else ""


def _strings(old: Column, new: Column) -> str:
    if not old.charset or old.charset == new.charset or old.data_type in {"enum", "set"}:
        return ""
    if new.data_type in _BINARIES:
        return f"it writes UTF-8 instead of the bytes that they are in {old.charset}" if old.charset in _DECODED else ""
    return "" if old.charset in _READ_AS_TEXT else f"it cannot read {old.charset}"
