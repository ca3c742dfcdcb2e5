"""What SHOW CREATE TABLE prints, read as text where text is all there is. Pure: no I/O.

Two things make that necessary. Its print does not load back into the same print: a column that takes its collation from its table is
printed with COLLATE, and loaded back it counts as having one of its own. And some differences are only cosmetic on a live table: the
names of CHECK constraints (gh-ost gives new ones), the order of keys, a collation that is spelled out although it is the table's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from activities.mysql.connect import quoted
from activities.mysql.introspect import elements, without_auto_increment
from activities.mysql.shapes import check_of

_STRING: Final = r"'(?:[^'\\]|\\.|'')*'"
_TYPED: Final = rf"`(?:[^`]|``)*` [a-z0-9]+(?:\((?:{_STRING}|[^')])*\))?"
_LONE_COLLATE: Final = re.compile(rf"^({_TYPED}) COLLATE (\w+)")
_OWN_COLLATION: Final = re.compile(rf"^({_TYPED}) CHARACTER SET (\w+) COLLATE (\w+)")
_KEY: Final = re.compile(r"^((?:UNIQUE |FULLTEXT |SPATIAL )?KEY )(`(?:[^`]|``)*`) ?(.*)$", re.DOTALL)
_BLOCK_SIZE: Final = re.compile(r" KEY_BLOCK_SIZE=\d+$")
"""InnoDB does not heed it on a key, and leaves it there when the table's own is taken away."""

_AUTO_INCREMENT: Final = re.compile(r" AUTO_INCREMENT=(\d+)")
_TABLE_COLLATION: Final = re.compile(r" DEFAULT CHARSET=(\w+)(?: COLLATE=(\w+))?")
_DEFAULT_COLLATION: Final = {"latin1": "latin1_swedish_ci"}
_QUOTED_OR_COMMENT: Final = re.compile(
    rf"(?P<quoted>{_STRING}|`(?:[^`]|``)*`)|(?P<comment>/\*!\d{{5,6}} ?| ?\*/)|(?P<gap>\s*\n\s*)", re.DOTALL
)


def auto_increment(create: str) -> int:
    """The table option AUTO_INCREMENT=N, 1 where there is none (or no table)."""
    if not create:
        return 1
    options = elements(create)[1].partition("'")[0]  # a comment may say AUTO_INCREMENT=7, too; it stands behind
    found = _AUTO_INCREMENT.search(options)
    return int(found[1]) if found else 1


def plain(statement: str) -> str:
    """On one line and without executable comments, whose content every server that skeebot serves executes: gh-ost's reader knows
    neither. What is quoted stays as it is."""

    def rewritten(found: re.Match[str]) -> str:
        return found["quoted"] or (" " if found["gap"] else "")

    return _QUOTED_OR_COMMENT.sub(rewritten, statement).strip()


def loadable(create: str) -> str:
    """So that SHOW CREATE TABLE prints the same again once it is loaded: columns inherit their collation instead of having it."""
    parts, options = elements(create)
    return _rebuilt(create, [_LONE_COLLATE.sub(r"\1", part) for part in parts], options)


def inheriting(statement: str, create: str) -> str:
    """The ALTER with those columns inheriting their collation that inherit it in create, for the same reason."""
    for part in elements(create)[0]:
        bare = _LONE_COLLATE.sub(r"\1", part)
        if bare != part:
            statement = statement.replace(f" COLUMN {part}", f" COLUMN {bare}")
    return statement


def added_anew(statement: str, create: str, columns: Sequence[str]) -> str:
    """The ALTER with these columns of create dropped and added in their place instead of modified."""
    parts = [part for part in elements(create)[0] if _is_column(part)]
    for at, part in enumerate(parts):
        name = _name_of(part)
        modify = f"MODIFY COLUMN {part}"
        if name not in map(quoted, columns) or modify not in statement:
            continue
        start = statement.index(modify)
        rest = statement[start + len(modify) :]
        place = "" if rest.startswith((" FIRST", " AFTER `")) else f" AFTER {_name_of(parts[at - 1])}" if at else " FIRST"
        statement = f"{statement[:start]}DROP COLUMN {name}, ADD COLUMN {part}{place}{rest}"
    return statement


def respelled(one: str, other: str) -> list[tuple[str, str]]:
    """Columns whose names differ in case only, quoted, as either table has them: to MySQL one column, to skeema two."""
    there = {name.lower(): name for part in elements(other)[0] if (name := _name_of(part))}
    names = [name for part in elements(one)[0] if (name := _name_of(part))]
    return [(name, there[name.lower()]) for name in names if there.get(name.lower(), name) != name]


def alike(one: str | None, other: str | None) -> bool:
    """Whether two tables differ in nothing but cosmetics; None: there is no table."""
    if one is None or other is None:
        return one is other
    return _meaning(one) == _meaning(other)


def dressed_like(table: str, create: str, other: str) -> str:
    """create with the cosmetics of other, so that only real differences are left between the two."""
    parts, options = elements(create)
    look = _Look.of(other)
    collation = _collation(options)
    columns = [look.column(part, collation) for part in parts if _is_column(part)]
    keys = look.in_order([part for part in parts if _KEY.match(part)])
    checks = look.checks([part for part in parts if check_of(part) is not None])
    primary = [part for part in parts if part.startswith("PRIMARY KEY ")]
    rest = [part for part in parts if part.startswith("CONSTRAINT ") and check_of(part) is None]
    return _rebuilt(f"CREATE TABLE {quoted(table)} (", [*columns, *primary, *keys, *rest, *checks], options)


@dataclass(frozen=True)
class _Look:
    """The cosmetics of a table. columns: meaning → print. keys: prints in their order. rules: (quoted name, rule) of its CHECKs."""

    columns: dict[str, str]
    keys: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, create: str) -> "_Look":
        parts, options = elements(create)
        collation = _collation(options)
        return cls(
            columns={_column_meaning(part, collation): part for part in parts if _is_column(part)},
            keys=tuple(part for part in parts if _KEY.match(part)),
            rules=tuple(found for part in parts if (found := check_of(part)) is not None),
        )

    def column(self, part: str, collation: str) -> str:
        return self.columns.get(_column_meaning(part, collation), part)

    def in_order(self, keys: Sequence[str]) -> list[str]:
        """Keys that stay, in this table's order, a renamed one in the place of the old; then the new ones as they are listed."""
        names = {_key(one)[0] for one in keys}
        staying: list[str] = []
        for old in self.keys:
            name, what = _key(old)
            stays = next((one for one in keys if one == old), None)
            if stays is None and name not in names:
                stays = next((one for one in keys if _key(one)[1] == what and one not in staying and one not in self.keys), None)
            if stays is not None:
                staying.append(stays)
        return [*staying, *(one for one in keys if one not in staying)]

    def checks(self, parts: Sequence[str]) -> list[str]:
        ours = [found for part in parts if (found := check_of(part)) is not None]
        free: dict[str, list[str]] = {}
        for name, rule in self.rules:
            if (name, rule) not in ours:
                free.setdefault(rule, []).append(name)

        def named(name: str, rule: str) -> str:
            kept = (name, rule) in self.rules or not free.get(rule)
            return f"CONSTRAINT {name if kept else free[rule].pop(0)} {rule}"

        return [named(name, rule) for name, rule in ours]


def _meaning(create: str) -> tuple[list[str], list[str], list[str], str]:
    """Columns in their order; keys and constraints in any; options without the counter."""
    parts, options = elements(without_auto_increment(create))
    collation = _collation(options)
    columns = [_column_meaning(part, collation) for part in parts if _is_column(part)]
    checks = sorted(found[1] for part in parts if (found := check_of(part)) is not None)
    others = sorted(_BLOCK_SIZE.sub("", part) for part in parts if not _is_column(part) and check_of(part) is None)
    return columns, checks, others, options


def _column_meaning(part: str, collation: str) -> str:
    """With the collation only where it is another than the table's."""
    if _LONE_COLLATE.match(part):
        return _LONE_COLLATE.sub(r"\1", part)
    found = _OWN_COLLATION.match(part)
    return found[1] + part[found.end() :] if found and found[3] == collation else part


def _collation(options: str) -> str:
    found = _TABLE_COLLATION.search(options.partition("'")[0])
    if not found:
        return ""
    return found[2] or _DEFAULT_COLLATION.get(found[1], f"{found[1]}_general_ci")


def _is_column(part: str) -> bool:
    return part.startswith("`")


def _name_of(column: str) -> str:
    """Quoted, as it is printed."""
    found = re.match(r"`(?:[^`]|``)*`", column)
    return found[0] if found else ""


def _key(part: str) -> tuple[str, str]:
    """The quoted name, and everything else."""
    found = _KEY.match(part)
    return (found[2], found[1] + found[3]) if found else ("", part)


def _rebuilt(create: str, parts: Sequence[str], options: str) -> str:
    """create: its beginning, down to the first bracket outside the table's name, is kept."""
    head = re.match(r"^CREATE TABLE `(?:[^`]|``)*` \(", create)
    start = head[0] if head else create[: create.index("(") + 1]
    return f"{start}\n" + ",\n".join(f"  {part}" for part in parts) + f"\n) {options}"
