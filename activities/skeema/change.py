"""What turns some tables into others: proposed by skeema, proven by MySQL.

Both sides are loaded into scratch schemas, so that MySQL and nobody else reads the SQL; skeema is only shown what SHOW CREATE TABLE
prints, and only for tables that exist on both sides: a DROP can never come from a file that it failed to read. Then everything is run on a
copy of the first side and the result compared with the second: equal, or refused.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pymysql.err

from activities.mysql.connect import READING_MODE, quoted
from activities.mysql.definitions import added_anew, alike, auto_increment, dressed_like, inheriting, loadable, plain, respelled
from activities.mysql.introspect import without_auto_increment
from activities.mysql.predicates import error_number, error_text, is_connection_lost, is_interrupted
from activities.mysql.shapes import Shape, read_shapes
from activities.mysql.workspace import NotLoaded, Reading, Scratch, ScratchSchema
from activities.skeema.diff import Proposal, Skeema
from activities.skeema.partitions import maintenance, with_partitions_of
from workflows.rules.plan import ChangeKind, Refusal

_ONE_FULLTEXT_AT_A_TIME: Final = 1795
_BY_COPY: Final = "ALGORITHM=COPY, "
_DENIED: Final = frozenset({1044, 1142})
_SHOWN: Final = 2_000
_BY_HAND: Final = "or have a DBA run it by hand (starter.py run-migration, in steps) and push the files that then match"


@dataclass(frozen=True)
class Side:
    """Definitions of one side. live: by table, printed by SHOW CREATE TABLE. files: by table, written by people. names: table → file.

    beside: tables that this side has, too, and that are not looked at.
    """

    live: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()

    def file_of(self, table: str) -> str:
        return f"`{self.names.get(table, '')}`" if table in self.names else f"the definition of `{table}`"


@dataclass(frozen=True)
class Step:
    """One statement on one table. maintenance: it changes the list of partitions and nothing else."""

    kind: ChangeKind
    table: str
    statement: str
    maintenance: bool = False


@dataclass(frozen=True)
class Change:
    """Proven: the steps, in this order, turn before into after. before, after: by table. definitions: SHOW CREATE afterwards."""

    steps: tuple[Step, ...]
    before: Mapping[str, Shape]
    after: Mapping[str, Shape]
    definitions: Mapping[str, str]


@dataclass(frozen=True)
class Defaults:
    """Of the schema that is planned: what a definition without a character set gets. "": the workspace server's own."""

    charset: str = ""
    collation: str = ""


class ChangeFinder:
    """exactly: cosmetics count, too (between files); on live tables they are left as they are."""

    def __init__(self, scratch: Scratch, skeema: Skeema, *, defaults: Defaults, reading: Reading, exactly: bool) -> None:
        self._scratch = scratch
        self._skeema = skeema
        self._defaults = defaults
        self._reading = reading
        self._exactly = exactly

    async def between(self, before: Side, after: Side) -> Change | Refusal:
        """The proven change, or why there is none. Errors: pymysql's when the workspace itself fails."""
        first, second = await self._loaded(before), await self._loaded(after)
        if isinstance(first, Refusal):
            return first
        if isinstance(second, Refusal):
            return second
        old, new = await first.definitions(), await second.definitions()
        strange = [table for table, create in before.live.items() if not alike(old.get(table), create)]
        if strange:
            return _read_otherwise(strange[0], old.get(strange[0], ""), before.live[strange[0]])
        shapes_before = await read_shapes(self._scratch.connection, first.name, old)
        shapes_after = await read_shapes(self._scratch.connection, second.name, new)
        if missing := _missing_parent(shapes_after, after):
            return missing
        changed = [table for table in new if table in old and self._differ(old[table], new[table])]
        anew = {table: _generated_anew(shapes_before[table], shapes_after[table]) for table in changed}
        altered = await self._altered(first, old, new, anew)
        if isinstance(altered, Refusal):
            return altered
        creates = [Step(ChangeKind.CREATE_TABLE, table, new[table]) for table in _parents_first(set(new) - set(old), shapes_after)]
        drops = [
            Step(ChangeKind.DROP_TABLE, table, f"DROP TABLE {quoted(table)}")
            for table in reversed(_parents_first(set(old) - set(new), shapes_before))
        ]
        alters = _in_order(altered, shapes_before, shapes_after)
        proven = await self._proven(_Task(old, new, creates, alters, altered, drops))
        if isinstance(proven, Refusal):
            return proven
        steps, definitions = proven
        return Change(tuple(steps), shapes_before, shapes_after, definitions)

    async def described(self, before: Side, after: Side) -> dict[str, list[Step]] | Refusal:
        """What skeema would do, by table and unproven: words for people, never to be run. Creates and drops included."""
        first, second = await self._loaded(before), await self._loaded(after)
        if isinstance(first, Refusal):
            return first
        if isinstance(second, Refusal):
            return second
        old, new = await first.definitions(), await second.definitions()
        changed = [table for table in new if table in old and not self._same(old[table], new[table])]
        altered = await self._altered(first, old, new, dict.fromkeys(changed, ()))
        if isinstance(altered, Refusal):
            return altered
        creates = {table: [Step(ChangeKind.CREATE_TABLE, table, new[table])] for table in set(new) - set(old)}
        drops = {table: [Step(ChangeKind.DROP_TABLE, table, f"DROP TABLE {quoted(table)}")] for table in set(old) - set(new)}
        return {**altered, **creates, **drops}

    async def definitions(self, side: Side, statements: Sequence[str] = ()) -> dict[str, str] | Refusal:
        """SHOW CREATE of one side, after these statements; one that MySQL does not take is left out (its effect is there already)."""
        schema = await self._loaded(side)
        if isinstance(schema, Refusal):
            return schema
        for statement in statements:
            with contextlib.suppress(pymysql.err.MySQLError):
                await schema.apply(statement, foreign_key_checks=False)
        return await schema.definitions()

    async def accepts(self, side: Mapping[str, str], statement: str) -> bool:
        """MySQL takes this statement on an empty copy."""
        copy = await self._scratch.schema(self._defaults.charset, self._defaults.collation)
        if await copy.load(side) is not None:
            return False
        try:
            await copy.apply(statement, reading=self._reading)
        except pymysql.err.MySQLError as wrong:
            if is_connection_lost(wrong) or is_interrupted(wrong):
                raise
            return False
        return True

    # ── Loading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _loaded(self, side: Side) -> ScratchSchema | Refusal:
        schema = await self._scratch.schema(self._defaults.charset, self._defaults.collation)
        trouble = await schema.load(side.live)
        if trouble is not None:
            return _live_not_loaded(trouble)
        trouble = await schema.load(side.files, reading=self._reading)
        return schema if trouble is None else _file_not_loaded(trouble, side)

    # ── Proposing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _differ(self, old: str, new: str) -> bool:
        return not self._same(old, new) or auto_increment(new) > auto_increment(old)

    def _same(self, one: str, other: str) -> bool:
        if self._exactly:
            return without_auto_increment(one) == without_auto_increment(other)
        return alike(one, other)

    async def _altered(
        self, first: ScratchSchema, old: Mapping[str, str], new: Mapping[str, str], changed: Mapping[str, Sequence[str]]
    ) -> dict[str, list[Step]] | Refusal:
        """By table, the statements that skeema would run, its partition maintenance last. changed: tables, each with the columns that must
        be dropped and added anew."""
        renamed = {table: respelled(old[table], new[table]) for table in changed}
        if trouble := await self._respell(first, renamed):
            return trouble
        old = {**old, **await first.definitions()} if any(renamed.values()) else old
        upkeep = {table: maintenance(table, old[table], new[table]) for table in changed}
        shown = dict(old)
        for table in changed:
            wanted = new[table] if self._exactly else dressed_like(table, new[table], old[table])
            shown[table] = with_partitions_of(wanted, old[table]) if upkeep[table] else wanted
        texts = {table: loadable(create) for table, create in shown.items()}
        proposals: tuple[Proposal, ...] | Refusal = ()
        if shown != old:
            charset, collation = await self._actual_defaults(first)
            proposals = await self._skeema.diff(first.name, texts, scratch=self._scratch.name(), charset=charset, collation=collation)
        if isinstance(proposals, Refusal):
            return proposals
        steps = {table: [_renaming(table, names)] if names else [] for table, names in renamed.items()}
        for one in proposals:
            if one.kind is not ChangeKind.ALTER_TABLE or one.table not in steps:
                return Refusal(
                    code="skeema-strayed",
                    what=f"skeema proposed `{one.statement[:200]}`, which nobody asked for.",
                    next="Report this with the two definitions; until then write the ALTER by hand (starter.py run-migration).",
                )
            statement = added_anew(one.statement, shown[one.table], changed[one.table])
            steps[one.table].append(Step(one.kind, one.table, plain(inheriting(statement, shown[one.table]))))
        for table, statement in upkeep.items():
            if statement:
                steps[table].append(Step(ChangeKind.ALTER_TABLE, table, plain(statement), maintenance=True))
        silent = [table for table, found in steps.items() if not found]
        return _cannot_express(silent[0]) if silent else steps

    async def _respell(self, first: ScratchSchema, renamed: Mapping[str, Sequence[tuple[str, str]]]) -> Refusal | None:
        """Rename columns in what skeema compares with: to it names that differ in case are two columns, one to drop and one to add."""
        for table, names in renamed.items():
            try:
                if names:
                    await first.apply(_renaming(table, names).statement, foreign_key_checks=False)
            except pymysql.err.MySQLError as wrong:
                if is_connection_lost(wrong) or is_interrupted(wrong):
                    raise
                return _not_respelled(table, names, wrong)
        return None

    async def _actual_defaults(self, schema: ScratchSchema) -> tuple[str, str]:
        row = await self._scratch.connection.row(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = %s",
            (schema.name,),
        )
        return (str(row[0]), str(row[1])) if row else ("", "")

    # ── Proving ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _proven(self, task: "_Task") -> tuple[list[Step], dict[str, str]] | Refusal:
        """One ALTER per table where MySQL takes it so; else that table's statements one by one. With the definitions they lead to."""
        forms = {table: _Forms.of(table, steps) for table, steps in task.altered.items()}
        while True:
            copy = await self._scratch.schema(self._defaults.charset, self._defaults.collation)
            trouble = await self._run(copy, task, forms)
            if trouble is not None:
                return _not_proven(trouble)
            result = await copy.definitions()
            missed = [table for table in sorted(set(result) | set(task.new)) if not self._arrived(task, result, table)]
            steps = [*task.creates, *(step for table in task.order for step in forms[table].now), *task.drops]
            if not missed:
                return steps, result
            for table in missed:
                if table not in forms or not forms[table].next(copy_helps=True):
                    statement = next((step.statement for step in steps if step.table == table), "")
                    return _not_proven(_Trouble(table, statement, 0, _first_difference(result.get(table, ""), task.new.get(table, ""))))

    async def _run(self, copy: ScratchSchema, task: "_Task", forms: Mapping[str, "_Forms"]) -> "_Trouble | None":
        """Run everything on a fresh copy. A DDL that fails leaves its table as it was, so the table's next form is tried on the spot."""
        loaded = await copy.load(task.old)
        if loaded is not None:
            return _Trouble(loaded.table, "", loaded.number, loaded.text)
        for step in task.creates:
            if (trouble := await self._applied(copy, step)) is not None:
                return trouble
        for table in task.order:
            done = 0
            while done < len(forms[table].now):
                trouble = await self._applied(copy, forms[table].now[done])
                if trouble is None:
                    done += 1
                elif done or not forms[table].next(copy_helps=trouble.number == _ONE_FULLTEXT_AT_A_TIME):
                    return trouble
        for step in task.drops:
            if (trouble := await self._applied(copy, step)) is not None:
                return trouble
        return None

    async def _applied(self, copy: ScratchSchema, step: Step) -> "_Trouble | None":
        """gh-ost runs ALTERs under the server's own sql_mode, skeebot everything else under a fixed one."""
        creates = step.kind is ChangeKind.CREATE_TABLE
        mode = self._reading.sql_mode if step.kind is ChangeKind.ALTER_TABLE else READING_MODE
        try:
            await copy.apply(step.statement, foreign_key_checks=not creates, sql_mode=mode)
        except pymysql.err.MySQLError as wrong:
            if is_connection_lost(wrong) or is_interrupted(wrong):
                raise
            return _Trouble(step.table, step.statement, error_number(wrong), error_text(wrong))
        return None

    def _arrived(self, task: "_Task", result: Mapping[str, str], table: str) -> bool:
        if table not in result or table not in task.new:
            return False
        got, wanted = result[table], task.new[table]
        raised = auto_increment(wanted) > auto_increment(task.old.get(table, ""))
        return self._same(got, wanted) and (not raised or auto_increment(got) == auto_increment(wanted))


@dataclass
class _Forms:
    """The ways to write one table's change, best first: one ALTER, the same by copying, skeema's statements one by one."""

    now: list[Step]
    by_copy: list[Step] | None
    one_by_one: list[Step] | None

    @classmethod
    def of(cls, table: str, steps: Sequence[Step]) -> "_Forms":
        start = f"ALTER TABLE {quoted(table)} "
        ordinary = [step for step in steps if not step.maintenance]
        upkeep = [step for step in steps if step.maintenance]
        if not ordinary:
            return cls(upkeep, None, None)
        clauses = ", ".join(step.statement.removeprefix(start) for step in ordinary)
        joined = Step(ChangeKind.ALTER_TABLE, table, start + clauses)
        by_copy = replace(joined, statement=start + _BY_COPY + clauses)
        return cls([joined, *upkeep], [by_copy, *upkeep], list(steps) if len(ordinary) > 1 else None)

    def next(self, *, copy_helps: bool) -> bool:
        """Go on to the next way; False where there is none. copy_helps: what went wrong is what ALGORITHM=COPY is for."""
        if copy_helps and self.by_copy is not None:
            self.now, self.by_copy = self.by_copy, None
            return True
        if self.one_by_one is not None:
            self.now, self.by_copy, self.one_by_one = self.one_by_one, None, None
            return True
        return False


@dataclass(frozen=True)
class _Task:
    """Definitions by table, old and new; what to do around the ALTERs; the tables that are altered, in order, each with its statements."""

    old: Mapping[str, str]
    new: Mapping[str, str]
    creates: Sequence[Step]
    order: Sequence[str]
    altered: Mapping[str, list[Step]]
    drops: Sequence[Step]


@dataclass(frozen=True)
class _Trouble:
    """Why the proof failed. number 0: every statement ran, but the result is another table; text then says how."""

    table: str
    statement: str
    number: int
    text: str


def _renaming(table: str, names: Sequence[tuple[str, str]]) -> Step:
    """names: quoted, old and new."""
    clauses = ", ".join(f"RENAME COLUMN {old} TO {new}" for old, new in names)
    return Step(ChangeKind.ALTER_TABLE, table, f"ALTER TABLE {quoted(table)} {clauses}")


def _generated_anew(before: Shape, after: Shape) -> list[str]:
    """Columns that MODIFY cannot make what they shall be (error 3106) and that lose nothing by being dropped: they are computed."""
    pairs = [(before.column(column.name), column) for column in after.columns if column.generated]
    return [
        new.name
        for old, new in pairs
        if old is not None and old.generated != new.generated and (old.generated or new.generated == "VIRTUAL")
    ]


# ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parents_first(tables: Iterable[str], shapes: Mapping[str, Shape]) -> list[str]:
    """Alphabetical, but a table comes after those that it refers to; circles are broken where they are met."""
    wanted, found, visiting = sorted(tables), list[str](), set[str]()

    def visit(table: str) -> None:
        if table in found or table in visiting or table not in wanted:
            return
        visiting.add(table)
        for key in shapes[table].foreign_keys:
            visit(key.parent)
        found.append(table)

    for table in wanted:
        visit(table)
    return found


def _in_order(altered: Mapping[str, list[Step]], before: Mapping[str, Shape], after: Mapping[str, Shape]) -> list[str]:
    """Tables that only lose foreign keys first, those that get some last: keys need indexes on both sides, and hold columns fast."""

    def rank(table: str) -> int:
        old, new = set(before[table].foreign_keys), set(after[table].foreign_keys)
        return 2 if new - old else 0 if old - new else 1

    return sorted(altered, key=rank)


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _file_not_loaded(trouble: NotLoaded, side: Side) -> Refusal:
    if trouble.number in _DENIED:
        return Refusal(
            code="reaches-elsewhere",
            what=f"{side.file_of(trouble.table)} reaches outside its own schema: {_clean(trouble.text)}.",
            next="Keep to tables of the same schema; a foreign key to another schema is a DBA's to make by hand.",
        )
    return Refusal(
        code="does-not-load",
        what=f"MySQL does not take {side.file_of(trouble.table)}: {_clean(trouble.text)}"
        + (f" (error {trouble.number})." if trouble.number else "."),
        next="Correct the CREATE TABLE and push again.",
    )


def _live_not_loaded(trouble: NotLoaded) -> Refusal:
    if trouble.number in _DENIED:
        return Refusal(
            code="reaches-elsewhere",
            what=f"The table `{trouble.table}` has a foreign key to another schema, which the workspace does not hold.",
            next="Have a DBA run this change by hand (starter.py run-migration does not take it either).",
        )
    return Refusal(
        code="live-does-not-load",
        what=f"The workspace server does not take the definition that `{trouble.table}` has on the live server: "
        f"{_clean(trouble.text)} (error {trouble.number}).",
        next="Ask the people who run skeebot whether the workspace is set up like the cluster (storage engines, plugins).",
    )


def _read_otherwise(table: str, got: str, wanted: str) -> Refusal:
    return Refusal(
        code="live-reads-otherwise",
        what=f"The workspace server does not make of `{table}` what it is on the live server: {_first_difference(got, wanted)}.",
        next="Ask the people who run skeebot whether the workspace is set up like the cluster (version, defaults, plugins).",
    )


def _not_respelled(table: str, names: Sequence[tuple[str, str]], wrong: pymysql.err.MySQLError) -> Refusal:
    shown = ", ".join(f"{old} → {new}" for old, new in names)
    return Refusal(
        code="case-of-a-column",
        what=f"In `{table}` the case of a column's name changes ({shown}), and MySQL does not rename it so: {_clean(error_text(wrong))}"
        f" (error {error_number(wrong)}).",
        next="Keep the spelling that it has: MySQL finds a column under any.",
    )


def _missing_parent(shapes: Mapping[str, Shape], side: Side) -> Refusal | None:
    folded = {table.casefold() for table in (*shapes, *side.beside)}
    for table, shape in shapes.items():
        if table not in side.files:
            continue
        for key in shape.foreign_keys:
            if key.parent.casefold() not in folded:
                return Refusal(
                    code="no-parent",
                    what=f"{side.file_of(table)}: the foreign key `{key.name}` refers to a table `{key.parent}` that does not exist.",
                    next="Add the file of the table that it refers to, or correct the name, and push again.",
                )
    return None


def _cannot_express(table: str) -> Refusal:
    return Refusal(
        code="cannot-express",
        what=f"The two definitions of `{table}` differ in something that neither skeema nor skeebot can write as an ALTER.",
        next=f"Make the change in smaller steps, {_BY_HAND}.",
    )


def _not_proven(trouble: _Trouble) -> Refusal:
    if trouble.number == 0:
        return Refusal(
            code="not-proven",
            what=f"The change of `{trouble.table}` did not end at the definition in the file when it was tried on an empty copy"
            f" ({_cut(trouble.statement)}): {trouble.text}.",
            next=f"Make the change in smaller steps, {_BY_HAND}.",
        )
    return Refusal(
        code="not-possible",
        what=f"MySQL does not take the change of `{trouble.table}` on an empty copy: {_clean(trouble.text)} (error {trouble.number});"
        f" tried: {_cut(trouble.statement)}",
        next=_NEXT_BY_NUMBER.get(trouble.number, f"Make the change in smaller steps, {_BY_HAND}."),
    )


_NEXT_BY_NUMBER: Final = {
    3106: "A generated column cannot become what it is not (VIRTUAL, STORED, ordinary) while keys or others hold it: drop it in one pull"
    " request and add it again in the next.",
    3730: "Other tables refer to it: drop their foreign keys in a pull request before this one.",
    1833: "A foreign key of another table holds this column: drop the key in a pull request before this one and add it again after.",
    3780: "The columns of the foreign key must have the same type on both sides: drop the key in one pull request, change both columns, and"
    " add it again in the next.",
    1826: "A foreign key's name is used once per schema: give the changed key a new name.",
    3822: "A CHECK's name is used once per schema: give the changed one a new name.",
}


def _first_difference(got: str, wanted: str) -> str:
    if not got:
        return "the table is not there"
    if not wanted:
        return "the table is still there"
    pairs = zip(got.splitlines(), wanted.splitlines(), strict=False)
    for one, other in pairs:
        if one != other:
            return f"it has `{one.strip()[:200]}` where it should be `{other.strip()[:200]}`"
    return "one has lines that the other has not"


def _cut(statement: str) -> str:
    return statement if len(statement) <= _SHOWN else f"{statement[:_SHOWN]} …"


def _clean(text: str) -> str:
    """Without the names of scratch schemas, which mean nothing to people, and without a full stop."""
    return _SCRATCH.sub("", text).rstrip(".")


_SCRATCH: Final = re.compile(r"[`']?_skeebot_[0-9a-f_]+[`']?[./]")
