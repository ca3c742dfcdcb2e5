"""What a change may cost: the risks that a plan shows before anybody approves it.

Judged on the structure of the two scratch copies, never on the text of a statement. What only the rows can tell becomes a Question, asked
of the live table with a bound on time; no answer in time counts as "possible".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pymysql.err

from activities.mysql.connect import Connection, quoted, table_name
from activities.mysql.narrowing import loss
from activities.mysql.predicates import is_connection_lost
from activities.mysql.shapes import Check, Column, ForeignKey, Index, Part, Shape, folded
from workflows.rules.plan import Risk

QUESTION_MILLISECONDS: Final = 2_000
"""How long the live server may look for one row that answers a question."""


@dataclass(frozen=True)
class Question:
    """condition: what follows SELECT 1 FROM <table>, so that a row comes back if the risk is real. "" : the rows cannot be asked.

    real, possible: the risk where there is such a row, and where nobody knows. A table without such a row has no risk of this kind.
    """

    condition: str
    real: Risk
    possible: Risk


@dataclass(frozen=True)
class Judgement:
    risks: tuple[Risk, ...]
    questions: tuple[Question, ...]


def judge_alter(before: Shape, after: Shape, statements: Sequence[str] = ()) -> Judgement:
    """before, after: the table on both sides. statements: only looked at for DROP PARTITION, which no structure tells from a rebuild."""
    risks = (
        *_dropped_columns(before, after),
        *_renames(before, after),
        *_changed_columns(before, after),
        *_added_columns(before, after),
        *_dropped_indexes(before, after),
        *_dropped_checks(before, after),
        *_dropped_foreign_keys(before, after),
        *_dropped_partitions(before, after, statements),
        *_of_the_whole(before, after),
    )
    return Judgement(risks, (*_null_questions(before, after), *_unique_questions(before, after), *_check_questions(before, after)))


def judge_drop(table: str, rows: int | None = None) -> tuple[Risk, ...]:
    """rows: about how many; None where nobody asked."""
    having = "" if rows is None else f" with about {rows:,} rows"
    return (
        Risk(
            code="drop-table",
            text=f"The table `{table}`{having} is renamed away and later dropped; applications that still use it fail at once.",
            unsafe=True,
        ),
    )


def judge_create(after: Shape) -> tuple[Risk, ...]:
    if any(index.unique and not index.nullable for index in after.indexes):
        return ()
    return (Risk("no-key", "The new table has no key that is unique and NOT NULL: gh-ost will never be able to alter it."),)


def same_shape(one: Shape, other: Shape) -> bool:
    """So alike that dropping one and creating the other may have been meant as a rename."""
    return {(column.name, column.type) for column in one.columns} == {(column.name, column.type) for column in other.columns}


def table_rename(dropped: str, created: str) -> Risk:
    return Risk(
        code="ambiguous-rename",
        text=f"`{dropped}` is dropped and `{created}` with the same columns is created empty. If this was meant as a rename, all rows are"
        f" lost with `{dropped}`: a DBA renames it by hand instead.",
        unsafe=True,
    )


async def ask_rows(connection: Connection, schema: str, table: str, questions: Sequence[Question]) -> tuple[Risk, ...]:
    """The risks that the live rows confirm or cannot rule out. Errors: pymysql's when the connection is lost."""
    return tuple([risk for question in questions if (risk := await _answer(connection, schema, table, question)) is not None])


async def _answer(connection: Connection, schema: str, table: str, question: Question) -> Risk | None:
    if not question.condition:
        return question.possible
    hint = f"/*+ MAX_EXECUTION_TIME({QUESTION_MILLISECONDS}) */"
    try:
        found = await connection.row(f"SELECT {hint} 1 FROM {table_name(schema, table)} {question.condition} LIMIT 1")  # noqa: S608 - MySQL's own print of names and expressions
    except pymysql.err.MySQLError as wrong:
        if is_connection_lost(wrong):
            raise
        return question.possible
    return question.real if found else None


# ── Columns ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _gone(before: Shape, after: Shape) -> list[Column]:
    return [column for column in before.columns if after.column(column.name) is None]


def _new(before: Shape, after: Shape) -> list[Column]:
    return [column for column in after.columns if before.column(column.name) is None]


def _both(before: Shape, after: Shape) -> Iterator[tuple[Column, Column]]:
    for column in before.columns:
        if (other := after.column(column.name)) is not None:
            yield column, other


def _dropped_columns(before: Shape, after: Shape) -> Iterator[Risk]:
    for column in _gone(before, after):
        lost = "it is computed, no stored value is lost" if column.generated else "every value in it is lost"
        yield Risk("drop-column", f"The column `{column.name}` is dropped: {lost}.", unsafe=True)


def _renames(before: Shape, after: Shape) -> Iterator[Risk]:
    added = [column for column in _new(before, after) if not column.generated]
    for column in _gone(before, after):
        alike = [one.name for one in added if one.data_type == column.data_type and not column.generated]
        if alike:
            yield Risk(
                code="ambiguous-rename",
                text=f"The column `{column.name}` is dropped and {_names(alike)} of the same type is added. If this was meant as a rename,"
                " the values are lost: add the new column first, copy the values, and drop the old one in a later pull request.",
                unsafe=True,
            )


def _changed_columns(before: Shape, after: Shape) -> Iterator[Risk]:
    for old, new in _both(before, after):
        name = f"The column `{old.name}`"
        if old.name != new.name:
            yield Risk("respelled", f"{name} is spelled `{new.name}`: statements find it under either name, results show the new one.")
        if lost := loss(old, new):
            yield Risk("narrowing", f"{name} goes from `{_typed(old)}` to `{_typed(new)}`: {lost}.", unsafe=True)
        elif old.collation != new.collation and old.collation and new.collation:
            yield Risk("collation", f"{name} goes from {old.collation} to {new.collation}: sorting and comparisons change.")
        if new.generated and not old.generated:
            yield Risk("overwritten", f"{name} becomes computed: the values stored in it are replaced.", unsafe=True)
        elif new.generated and old.expression != new.expression:
            yield Risk("recomputed", f"{name} is computed anew by another expression.")
        if old.auto_increment and not new.auto_increment:
            yield Risk("auto-increment", f"{name} no longer numbers new rows: an INSERT without it fails or stores its default.")
        if new.invisible and not old.invisible:
            yield Risk("invisible", f"{name} becomes invisible: SELECT * and INSERT without a list of columns leave it out.")


def _added_columns(before: Shape, after: Shape) -> Iterator[Risk]:
    for column in _new(before, after):
        if not column.nullable and column.default is None and not column.generated and not column.auto_increment:
            yield Risk("implicit-default", f"The new column `{column.name}` is NOT NULL without a default: old rows get 0, '' or the like.")


def _null_questions(before: Shape, after: Shape) -> Iterator[Question]:
    for old, new in _both(before, after):
        if not old.nullable or new.nullable or new.generated:
            continue
        name = f"`{old.name}` becomes NOT NULL"
        yield Question(
            condition=f"WHERE {quoted(old.name)} IS NULL",
            real=Risk("null-values", f"{name}, but rows hold NULL in it: give them a value first, or the run will fail.", unsafe=True),
            possible=Risk("null-values", f"{name}; whether rows hold NULL in it could not be found out in time.", unsafe=True),
        )


# ── Indexes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _dropped_indexes(before: Shape, after: Shape) -> Iterator[Risk]:
    for old in before.indexes:
        what = "The primary key" if old.name == "PRIMARY" else f"The index `{old.name}`"
        new = after.index(old.name)
        if any((_parts(one), one.unique, one.kind) == (_parts(old), old.unique, old.kind) for one in after.indexes):
            if new is not None and old.visible and not new.visible:
                yield Risk("invisible", f"{what} becomes invisible: queries no longer use it.")
            continue
        if old.unique and not _still_unique(old, after):
            yield Risk("drop-index", f"{what} goes, and with it the guarantee that {_columns(old)} is unique.", unsafe=True)
        elif new is None:
            yield Risk("drop-index", f"{what} on {_columns(old)} is dropped: queries that use it slow down.", unsafe=True)
        elif _parts(old) != _parts(new)[: len(old.parts)]:
            yield Risk("drop-index", f"{what} no longer begins with {_columns(old)}: queries that use it slow down.", unsafe=True)


def _still_unique(old: Index, after: Shape) -> bool:
    columns = set(map(folded, old.columns))
    return any(one.unique and one.plain and set(map(folded, one.columns)) <= columns for one in after.indexes)


def _parts(index: Index) -> tuple[Part, ...]:
    return tuple(replace(part, column=folded(part.column)) for part in index.parts)


def _unique_questions(before: Shape, after: Shape) -> Iterator[Question]:
    changed = {folded(old.name) for old, new in _both(before, after) if (old.type, old.collation) != (new.type, new.collation)}
    for index in after.indexes:
        if not index.unique or _known_unique(index, before, changed):
            continue
        name = f"The {'primary key' if index.name == 'PRIMARY' else f'unique index `{index.name}`'} on {_columns(index)}"
        yield Question(
            condition=_duplicates(index, before, after),
            real=Risk("duplicates", f"{name} does not hold: rows have equal values there. Clean them up first.", unsafe=True),
            possible=Risk("duplicates", f"{name} may not hold: whether rows have equal values there could not be found out.", unsafe=True),
        )


def _known_unique(index: Index, before: Shape, changed: set[str]) -> bool:
    """Some key that lives already, on whole columns that do not change, says as much."""
    if any(column and folded(column) in changed for column in index.columns):
        return False
    columns = {folded(part.column) for part in index.parts if part.prefix is None and part.column}
    for old in before.indexes:
        if old.unique and _parts(old) == _parts(index):
            return True
        if old.unique and old.plain and {folded(column) for column in old.columns} <= columns:
            return True
    return False


def _duplicates(index: Index, before: Shape, after: Shape) -> str:
    parts: list[str] = []
    for part in index.parts:
        value = _value(part, before, after)
        if not value:
            return ""
        parts.append(value)
    present = " AND ".join(f"{part} IS NOT NULL" for part in parts)
    return f"WHERE {present} GROUP BY {', '.join(parts)} HAVING COUNT(*) > 1"


def _value(part: Part, before: Shape, after: Shape) -> str:
    """The part as the new index would see a row that lives now, "" where that is not known."""
    if part.expression:
        return ""  # information_schema's print of it is not SQL
    old, new = before.column(part.column), after.column(part.column)
    if old is None or new is None or new.generated != old.generated:
        return ""
    value = quoted(old.name)
    if old.type != new.type and loss(old, new):
        return ""
    if old.collation != new.collation:
        if not new.charset or not new.collation:
            return ""
        value = f"CONVERT({value} USING {new.charset}) COLLATE {new.collation}"
    return f"LEFT({value}, {part.prefix})" if part.prefix is not None else value


# ── Constraints ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _enforced(shape: Shape) -> list[Check]:
    return [check for check in shape.checks if check.enforced]


def _dropped_checks(before: Shape, after: Shape) -> Iterator[Risk]:
    kept = {check.clause for check in _enforced(after)}
    for check in _enforced(before):
        if check.clause not in kept:
            yield Risk(
                code="drop-check",
                text=f"The CHECK `{check.name}` no longer holds: {check.clause} is not enforced any more.",
                unsafe=True,
            )


def _check_questions(before: Shape, after: Shape) -> Iterator[Question]:
    known = {check.clause for check in _enforced(before)}
    for check in _enforced(after):
        if check.clause in known:
            continue
        name = f"The CHECK `{check.name}`"
        yield Question(
            condition=f"WHERE NOT {check.clause}",
            real=Risk("check-violated", f"{name} does not hold: rows violate it. Correct them first, or the run will fail.", unsafe=True),
            possible=Risk("check-violated", f"{name} is new; whether rows violate it could not be found out: then the run fails."),
        )


def _dropped_foreign_keys(before: Shape, after: Shape) -> Iterator[Risk]:
    kept = {_meaning(key): key for key in after.foreign_keys}
    for key in before.foreign_keys:
        new = kept.get(_meaning(key))
        if new is None:
            yield Risk(
                code="drop-foreign-key",
                text=f"The foreign key `{key.name}` to `{key.parent}` is dropped: nothing keeps rows from pointing nowhere any more.",
                unsafe=True,
            )
        elif (new.on_delete, new.on_update) != (key.on_delete, key.on_update):
            yield Risk(
                code="foreign-key-rule",
                text=f"The foreign key `{key.name}` goes from ON DELETE {key.on_delete} ON UPDATE {key.on_update}"
                f" to ON DELETE {new.on_delete} ON UPDATE {new.on_update}.",
            )


def _meaning(key: ForeignKey) -> tuple[tuple[str, ...], str, str, tuple[str, ...]]:
    return tuple(map(folded, key.columns)), key.parent_schema, key.parent, tuple(map(folded, key.parent_columns))


# ── The rest ────────────────────────────────────────────────────────────────────────────────────────────────────────


_DROPS_PARTITIONS: Final = re.compile(r"^ALTER TABLE `(?:[^`]|``)+` DROP PARTITION ")


def _dropped_partitions(before: Shape, after: Shape, statements: Sequence[str]) -> Iterator[Risk]:
    if not any(_DROPS_PARTITIONS.match(statement) for statement in statements):
        return
    kept = {partition.name for partition in after.partitions}
    gone = [partition.name for partition in before.partitions if partition.name not in kept]
    yield Risk("drop-partition", f"{_names(gone)} {'is' if len(gone) == 1 else 'are'} dropped with every row in it.", unsafe=True)


def _of_the_whole(before: Shape, after: Shape) -> Iterator[Risk]:
    if before.engine != after.engine:
        yield Risk(
            code="engine",
            text=f"The storage engine goes from {before.engine} to {after.engine}: transactions and crash safety may be lost.",
            unsafe=True,
        )


def _columns(index: Index) -> str:
    return "(" + ", ".join(part.column or "an expression" for part in index.parts) + ")"


def _typed(column: Column) -> str:
    return f"{column.type} {column.charset}" if column.charset and column.data_type != "enum" else column.type


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
