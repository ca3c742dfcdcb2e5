"""Partition maintenance: what skeema leaves out when only the list of partitions changes. Pure: no I/O.

skeema says nothing about added or dropped partitions of RANGE and LIST, and refuses another number of HASH or KEY partitions. So the
partitions are compared here, skeema is shown both tables with the same ones, and the maintenance is a statement of its own (MySQL takes
no other clause beside it).
"""

import re
from dataclasses import dataclass
from typing import Final

from activities.mysql.connect import quoted

_CLAUSE: Final = re.compile(r"\n/\*!50\d00 PARTITION BY ")
_NAME: Final = re.compile(r"PARTITION (`(?:[^`]|``)+`|\S+)")
_COUNT: Final = re.compile(r"^PARTITIONS (\d+)$")


@dataclass(frozen=True)
class Partitioned:
    """A definition taken apart. plain: without its partitioning. clause: the partitioning as SHOW CREATE prints it, comment and all.

    by: its first line ("RANGE (`id`)"). definitions: each partition's own text, of RANGE and LIST. count: of HASH and KEY.
    """

    plain: str
    clause: str
    by: str
    definitions: tuple[str, ...] = ()
    count: int = 0


def partitioned(create: str) -> Partitioned | None:
    """None where the table has no partitions, or some that are not understood (subpartitions): skeema and the proof judge those."""
    found = list(_CLAUSE.finditer(create))
    if not found:
        return None
    plain, clause = create[: found[-1].start()], create[found[-1].start() :]
    lines = clause.strip().removesuffix("*/").strip().splitlines()
    by = lines[0].partition("PARTITION BY ")[2]
    if len(lines) == 2 and (count := _COUNT.match(lines[1])):
        return Partitioned(plain, clause, by, count=int(count[1]))
    definitions = tuple(line.strip().removeprefix("(").removesuffix(",").strip() for line in lines[1:])
    if not definitions or not all(one.startswith("PARTITION ") for one in definitions):
        return None
    return Partitioned(plain, clause, by, (*definitions[:-1], definitions[-1].removesuffix(")")))


def maintenance(table: str, before: str, after: str) -> str:
    """One ALTER that turns before's list of partitions into after's, "" where they do not differ or in more than their list."""
    old, new = partitioned(before), partitioned(after)
    if old is None or new is None or old.by != new.by or old.clause == new.clause:
        return ""
    alter = f"ALTER TABLE {quoted(table)} "
    if old.count and new.count:
        more = new.count - old.count
        return alter + (f"ADD PARTITION PARTITIONS {more}" if more > 0 else f"COALESCE PARTITION {-more}")
    return alter + _of_lists(old.definitions, new.definitions)


def with_partitions_of(create: str, other: str) -> str:
    """create with the partitioning of other."""
    one, two = partitioned(create), partitioned(other)
    return create if one is None or two is None else one.plain + two.clause


def _of_lists(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    if new[: len(old)] == old:
        return f"ADD PARTITION ({', '.join(new[len(old) :])})"
    if set(new) < set(old) and [one for one in old if one in new] == list(new):
        return f"DROP PARTITION {', '.join(_name(one) for one in old if one not in new)}"
    first = next((at for at, (one, two) in enumerate(zip(old, new, strict=False)) if one != two), min(len(old), len(new)))
    last = next(
        (at for at, (one, two) in enumerate(zip(old[first:][::-1], new[first:][::-1], strict=False)) if one != two),
        min(len(old), len(new)) - first,
    )
    gone, come = old[first : len(old) - last], new[first : len(new) - last]
    if not gone:  # something between two that stay: reorganise the one behind it
        gone, come = old[first : first + 1], new[first : len(new) - last + 1]
    return f"REORGANIZE PARTITION {', '.join(_name(one) for one in gone)} INTO ({', '.join(come)})"


def _name(definition: str) -> str:
    found = _NAME.match(definition)
    return found[1] if found else ""
