"""How a migration would run, and why: gh-ost's refusals are predicted here, with what to do instead. Pure: no I/O."""

from dataclasses import dataclass
from typing import Final

from activities.ghost.command import read_alter, unreadable_under
from activities.mysql.carriage import miscarried, must_be_given
from activities.mysql.introspect import LiveTable
from activities.mysql.shapes import Index, Shape, folded
from activities.skeema.change import Step
from workflows.rules.names import MYSQL_NAME_LIMIT
from workflows.rules.plan import ChangeKind, Refusal, Strategy

_SECONDS_AT_LEAST: Final = 1.2
_SECONDS_PER_ROW: Final = 25.5e-6
"""gh-ost on the machine of FACTS: 1.17 s for an empty table, 13.9 s for 500,000 rows."""

_BYTES_PER_SECOND: Final = 50_000_000
"""Where rows are wide, bytes decide; a cautious figure for reading, writing and replicating a row, not a measured one."""


@dataclass(frozen=True)
class Choice:
    """why: in words, with the next action where a person must act."""

    strategy: Strategy
    why: str


def choose(
    step: Step,
    live: LiveTable | None,
    before: Shape | None,
    after: Shape | None,
    *,
    instant: bool = False,
    ghost: str = "",
    prefix: str = ".skeefree",
) -> Choice:
    """before, after: the table on both sides of the change. instant: allowed, accepted with ALGORITHM=INSTANT, and room for it live.

    ghost: what MySQL objected to on a copy made as gh-ost makes its own ("" for nothing). prefix: of commands in comments.
    """
    by_hand = f"A DBA runs it by hand at a quiet time, then comments `{prefix} mark-complete`"
    match step.kind:
        case ChangeKind.CREATE_TABLE:
            return Choice(Strategy.DIRECT, "CREATE TABLE touches no existing rows.")
        case ChangeKind.DROP_TABLE:
            return Choice(Strategy.DIRECT, "DROP TABLE is a RENAME out of the way; the rows are kept until the quarantine ends.")
        case ChangeKind.ALTER_TABLE if live is not None and before is not None and after is not None:
            return _of_alter(step, live, before, after, instant=instant, ghost=ghost, by_hand=by_hand)
        case _:
            return Choice(Strategy.MANUAL, f"It is not known how to run this safely. {by_hand}.")


def _of_alter(step: Step, live: LiveTable, before: Shape, after: Shape, *, instant: bool, ghost: str, by_hand: str) -> Choice:
    if step.maintenance:
        return Choice(Strategy.MANUAL, f"It changes the list of partitions, which gh-ost would do by copying the table. {by_hand}.")
    if instant:
        return Choice(Strategy.INSTANT, "MySQL makes it without touching rows (ALGORITHM=INSTANT), and the repository allows that.")
    if why := why_not_gh_ost(step.statement, live, before, after, by_hand):
        return Choice(Strategy.MANUAL, why)
    if ghost:
        return Choice(
            Strategy.MANUAL,
            f"gh-ost would make the change on a copy of the table, whose CHECK constraints have other names; there MySQL says: {ghost}."
            f" {by_hand}.",
        )
    return Choice(Strategy.GH_OST, "ALTER TABLE goes through gh-ost: the table is copied while it is in use, then swapped.")


def why_not_gh_ost(statement: str, live: LiveTable, before: Shape, after: Shape, by_hand: str) -> str:
    """What gh-ost would stop at and what to do instead, "" where it would go through."""
    if before.engine != "InnoDB" or after.engine != "InnoDB":
        return f"gh-ost works on InnoDB tables, and this is about {before.engine} and {after.engine}. {by_hand}."
    keys = [str(key) for key in (*live.outbound, *live.inbound)]
    keys += [f"new: {key.name} → {key.parent}" for key in after.foreign_keys if key not in before.foreign_keys]
    if keys:
        return (
            f"gh-ost does not alter tables with foreign keys ({'; '.join(keys[:5])}). {by_hand};"
            " or drop the keys in a pull request before this one, where the application can do without."
        )
    if live.triggers:
        names = ", ".join(trigger.name for trigger in live.triggers)
        return f"gh-ost does not alter tables with triggers ({names}). {by_hand}; or drop the triggers first and create them again after."
    if not _shared_key(before, after):
        return (
            "gh-ost needs a primary key, or a unique key without NULL, whose columns are in a unique key before and after;"
            f" this table has none. {by_hand}; or add such a key first."
        )
    if why := _why_not_its_columns(before, after, by_hand) or _why_not_its_checks(before, after, by_hand):
        return why
    read = read_alter(statement, schema=live.schema, table=live.table)
    if isinstance(read, Refusal):
        return f"{read.what} {read.next} {by_hand}."
    if (refusal := unreadable_under(read.clause, live.facts.server.sql_mode)) is not None:
        return f"{refusal.what} {refusal.next} Or: {by_hand}."
    return ""


def _why_not_its_columns(before: Shape, after: Shape, by_hand: str) -> str:
    pairs = [(old, new) for new in after.columns if (old := before.column(new.name)) is not None]
    if respelled := [f"`{old.name}` → `{new.name}`" for old, new in pairs if old.name != new.name]:
        return (
            f"Only the case of a column's name changes ({', '.join(respelled)}); MySQL does that at once, without touching rows, and gh-ost"
            f" would copy the table for it. {by_hand} (ALGORITHM=INSTANT makes sure); what else is to change comes in a pull request of its"
            " own, before or after."
        )
    for old, new in pairs:
        if lost := miscarried(old, new):
            return f"gh-ost would not carry the values of the column `{new.name}` over: {lost}. {by_hand}."
    if empty := [f"`{column.name}`" for column in after.columns if before.column(column.name) is None and must_be_given(column)]:
        return (
            f"gh-ost cannot fill {', '.join(empty)} in the rows that live: NOT NULL without a DEFAULT. Give it a DEFAULT (a later pull"
            f" request may take that away again), or let it be NULL, fill it, and make it NOT NULL later. Or: {by_hand}, and MySQL puts"
            " 0, '' or the like into the rows that live."
        )
    return ""


def _why_not_its_checks(before: Shape, after: Shape, by_hand: str) -> str:
    """CREATE TABLE … LIKE gives every CHECK a generated name, and that follows the table through the swap."""
    longest = f"{after.table}_chk_{len(before.checks)}"
    if not before.checks or len(longest) <= MYSQL_NAME_LIMIT:
        return ""
    return (
        f"The name of the table is too long for gh-ost: the copy's CHECK constraints would be called {longest} and the like at the swap,"
        f" and MySQL allows {MYSQL_NAME_LIMIT} characters. {by_hand}."
    )


def _shared_key(before: Shape, after: Shape) -> bool:
    old = [index for index in before.indexes if _walkable(index, before)]
    new = [set(map(folded, index.columns)) for index in after.indexes if index.unique and index.plain]
    return any(set(map(folded, index.columns)) <= columns for index in old for columns in new)


def _walkable(index: Index, shape: Shape) -> bool:
    columns = [shape.column(name) for name in index.columns]
    types = {column.data_type for column in columns if column is not None}
    return index.unique and index.plain and index.visible and not index.nullable and not types & {"float", "json"}


def seconds_of(strategy: Strategy, rows: int, size: int) -> float:
    """1.2 s and 25.5 µs a row (FACTS), or a second for every 50 MB where that is longer; nothing to speak of for all but gh-ost."""
    if strategy is not Strategy.GH_OST:
        return 0.1
    return round(_SECONDS_AT_LEAST + max(rows * _SECONDS_PER_ROW, size / _BYTES_PER_SECOND), 1)


def revert_until(step: Step, strategy: Strategy, quarantine_days: int) -> str:
    """In words: whether and until when the change can be taken back."""
    if step.kind is ChangeKind.CREATE_TABLE:
        return "any time, by a pull request that drops the new table"
    if step.kind is ChangeKind.DROP_TABLE:
        return f"`restore` brings the table and its rows back for {quarantine_days} days"
    match strategy:
        case Strategy.GH_OST:
            return f"for {quarantine_days} days the table as it was is kept; rows written since would have to be carried over"
        case Strategy.INSTANT:
            return "by a pull request that undoes it; values of dropped columns do not come back"
        case _:
            return "as far as the person who runs it provides for it"
