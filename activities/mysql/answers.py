"""What the workspace says about one shard: the proven statements, and where live and the base branch disagree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import pymysql.err

from activities.mysql.connect import READING_MODE, quoted
from activities.mysql.definitions import alike
from activities.mysql.discovery import Shard
from activities.mysql.introspect import about_auto_increment, definition_hash
from activities.mysql.live import LiveShard
from activities.mysql.predicates import error_number, error_text, is_connection_lost, is_interrupted
from activities.mysql.shapes import Column, Shape, read_shapes
from activities.mysql.statements import redefines, replaced_columns
from activities.mysql.workspace import Scratch
from activities.skeema.change import Change, ChangeFinder, Defaults, Side, Step
from activities.skeema.diff import Skeema
from activities.skeema.lexer import NotRead, tokens_of
from workflows.messages import Applied
from workflows.rules.names import DatabaseRow, Target
from workflows.rules.plan import ChangeKind, PlanOptions, Refusal, Strategy

INSTANT: Final = ", ALGORITHM=INSTANT"
_GHOST: Final = "_skeebot_ghost_gho"


@dataclass(frozen=True)
class Wanted:
    """What one plan is about.

    mine: the tables that may be touched, and no others (SAFETY §S1). files: their desired CREATE TABLEs. base: the same on the base
    branch. names: table → file. references: tables that the files' foreign keys name. charset, collation: of the option files ("": the
    live schema's).
    """

    row: DatabaseRow
    cluster: str
    schema: str
    mine: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    references: frozenset[str] = frozenset()
    charset: str = ""
    collation: str = ""
    options: PlanOptions = field(default_factory=PlanOptions)

    @property
    def exactly(self) -> frozenset[str]:
        """Tables whose files say where AUTO_INCREMENT stands."""
        return frozenset(table for table, create in self.files.items() if about_auto_increment(create))

    def target(self, live: LiveShard, table: str) -> Target:
        return self.target_on(live.shard, table)

    def target_on(self, shard: Shard, table: str) -> Target:
        return Target(
            environment=self.row.environment,
            database=self.row.database,
            cluster=self.cluster,
            shard=shard.name,
            schema=self.schema,
            table=table,
        )


@dataclass(frozen=True)
class Drifted:
    """One table on which live and the base branch disagree. by: the pull request that explains it ("owner/repo#N"), or ""."""

    table: str
    statement: str
    by: str = ""


@dataclass(frozen=True)
class Answer:
    """instant: statements that MySQL takes with ALGORITHM=INSTANT on an empty copy. ghosts: by statement, what became of it on a table
    made as gh-ost makes its own. done: tables that are as desired already. undone: tables whose known drift cannot stay beside the change,
    so that the change undoes it.
    """

    change: Change
    drifted: tuple[Drifted, ...] = ()
    instant: frozenset[str] = frozenset()
    ghosts: Mapping[str, "Ghost"] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()

    def expected(self, step: Step, strategy: Strategy) -> str:
        """The hash that the live table must have afterwards, "" where it must be gone."""
        ghost = self.ghosts.get(step.statement)
        create = ghost.definition if ghost and strategy is Strategy.GH_OST else self.change.definitions.get(step.table)
        return definition_hash(create) if create is not None else ""


@dataclass(frozen=True)
class Ghost:
    """A table made LIKE the live one and altered, as gh-ost does it. trouble: what MySQL objected to, "" if nothing."""

    definition: str
    trouble: str = ""


class Asker:
    """Asks the workspace about one shard."""

    def __init__(self, wanted: Wanted, live: LiveShard, scratch: Scratch, skeema: Skeema) -> None:
        self._wanted = wanted
        self._live = live
        self._scratch = scratch
        defaults = Defaults(wanted.charset or live.charset, wanted.collation or ("" if wanted.charset else live.collation))
        self._finder = ChangeFinder(scratch, skeema, defaults=defaults, reading=live.reading, exactly=False)
        self._now = live.definitions(exactly=wanted.exactly)

    # ── A pull request ──────────────────────────────────────────────────────────────────────────────────────────────

    async def about_files(
        self, applied: Sequence[Applied], own: str, completed: frozenset[str], acknowledged: Mapping[str, str]
    ) -> Answer | Refusal:
        """live → desired, and base → live on the same tables. What is live of others' doing stays: nobody asked to undo it.

        applied: live and not merged, oldest first. own: this pull request ("owner/repo#N"); completed: tables it has migrated, where its
        own statements are no drift. acknowledged: by table, the drift that a DBA has accepted.
        """
        now = Side(live={**self._live.related, **self._now})
        desired = Side(live=self._live.related, files=self._wanted.files, names=self._wanted.names)
        change = await self._finder.between(now, desired)
        if isinstance(change, Refusal):
            return change
        if (refusal := self._in_another_zone(change)) is not None:
            return refusal
        touched = {step.table for step in change.steps}
        # Without its own statements, a table that it has migrated cannot be told from one that somebody else has changed.
        unknown = completed - {one.target.table for one in applied if f"{one.repository}#{one.pull_request}" == own}
        accepted = {table: acknowledged[table] for table in sorted(touched & completed & acknowledged.keys())}
        drifted = await self._drift(applied, own, touched - unknown, accepted)
        if isinstance(drifted, Refusal):
            return drifted
        known = [one for one in drifted if one.by or acknowledged.get(one.table) == one.statement]
        shown = {one.table for one in drifted if not one.by}
        known += [Drifted(table, statement) for table, statement in accepted.items() if table not in shown]
        kept = await self._keeping(now, desired, known) if known else (change, ())
        if isinstance(kept, Refusal):
            return kept
        change, undone = kept
        still = {step.table for step in change.steps}
        return Answer(change, drifted, await self._instant(change), await self._ghosts(change), await self._done(still), undone)

    async def _keeping(self, now: Side, desired: Side, known: Sequence[Drifted]) -> tuple[Change, tuple[str, ...]] | Refusal:
        """The change that leaves this drift in place, and the tables where that cannot be: the files want something else there."""
        wanted = dict(self._wanted.files)
        before = await self._definitions(wanted)
        if isinstance(before, Refusal):
            return before
        kept, undone = dict(before), list[str]()
        for table in dict.fromkeys(one.table for one in known if one.table in before and one.table in self._now):
            statements = [statement for one in known if one.table == table for statement in _single(one.statement)]
            after = await self._definitions(wanted, statements)
            if isinstance(after, Refusal) or table not in after or alike(after[table], before[table]):
                undone.append(table)
            else:
                kept[table] = after[table]
        change = await self._finder.between(now, replace(desired, live={**desired.live, **kept}, files={}))
        return change if isinstance(change, Refusal) else (change, tuple(undone))

    async def _drift(
        self, applied: Sequence[Applied], own: str, tables: set[str], accepted: Mapping[str, str]
    ) -> tuple[Drifted, ...] | Refusal:
        """Only on tables that would be touched: where live is as desired, nothing is left to disagree about.

        accepted: of migrated tables, the drift that a DBA has accepted; it may be older or younger than what was applied.
        """
        base = {table: create for table, create in self._wanted.base.items() if table in tables}
        live = {table: create for table, create in self._now.items() if table in tables}
        if not tables:
            return ()
        as_is = await self._definitions(base)
        if isinstance(as_is, Refusal):
            return Refusal(as_is.code, f"The base branch's files: {as_is.what}", as_is.next)
        explained = as_is
        named: list[Drifted] = []
        for one in applied:
            table = one.target.table
            if table not in tables or alike(explained.get(table), live.get(table)):
                continue
            after = await self._definitions(base, [two.statement for two in applied[: applied.index(one) + 1]])
            if isinstance(after, Refusal) or alike(explained.get(table), after.get(table)):
                continue
            explained = after
            if (by := f"{one.repository}#{one.pull_request}").casefold() != own.casefold():
                named.append(Drifted(table, one.statement, by))
        rest = [table for table in sorted(tables) if not alike(explained.get(table), live.get(table))]
        rest = [table for table in rest if not await self._accounts_for(table, accepted.get(table, ""), applied, live)]
        return (*named, *[Drifted(table, await self._shown(table, explained, live)) for table in rest])

    async def _accounts_for(self, table: str, accepted: str, applied: Sequence[Applied], live: Mapping[str, str]) -> bool:
        """Whether the accepted drift, at some moment among what was applied, makes the base branch's table the live one."""
        statements = [one.statement for one in applied if one.target.table == table]
        for at in range(len(statements) + 1) if accepted else ():
            chain = [*statements[:at], *_single(accepted), *statements[at:]]
            found = await self._definitions({table: self._wanted.base[table]} if table in self._wanted.base else {}, chain)
            if not isinstance(found, Refusal) and alike(found.get(table), live.get(table)):
                return True
        return False

    async def _definitions(self, files: Mapping[str, str], statements: Sequence[str] = ()) -> dict[str, str] | Refusal:
        side = Side(live=self._live.related, files=files, names=self._wanted.names)
        found = await self._finder.definitions(side, statements)
        if isinstance(found, Refusal):
            return found
        return {table: create for table, create in found.items() if table not in self._live.related}

    async def _shown(self, table: str, before: Mapping[str, str], live: Mapping[str, str]) -> str:
        """The statement that would make the base branch's table the live one."""
        one = Side(live={**self._live.related, **({table: before[table]} if table in before else {})})
        two = Side(live={**self._live.related, **({table: live[table]} if table in live else {})})
        found = await self._finder.described(one, two)
        if isinstance(found, Refusal):
            return f"-- {table} differs: {found.what}"
        return ";\n".join(step.statement for step in found.get(table, ())) or f"-- {table} differs"

    async def _done(self, touched: set[str]) -> tuple[str, ...]:
        """Tables of the pull request that need nothing although the base branch's files say something else."""
        still = {table for table in self._wanted.mine if table not in touched}
        base = await self._definitions({table: create for table, create in self._wanted.base.items() if table in still})
        if isinstance(base, Refusal):
            return ()
        return tuple(sorted(table for table in still if not alike(base.get(table), self._now.get(table))))

    async def _instant(self, change: Change) -> frozenset[str]:
        if not self._wanted.options.allow_instant:
            return frozenset()
        found = set[str]()
        for step in change.steps:
            alters = step.kind is ChangeKind.ALTER_TABLE and not step.maintenance
            if alters and await self._finder.accepts({**self._live.related, **self._now}, step.statement + INSTANT):
                found.add(step.statement)
        return frozenset(found)

    async def _ghosts(self, change: Change) -> dict[str, Ghost]:
        """CREATE TABLE … LIKE gives CHECK constraints other names, so what the live table takes the copy may not."""
        found: dict[str, Ghost] = {}
        for step in change.steps:
            if step.kind is ChangeKind.ALTER_TABLE and not step.maintenance and not change.before[step.table].foreign_keys:
                found[step.statement] = await self._ghost(step, change.definitions[step.table])
        return found

    async def _ghost(self, step: Step, desired: str) -> Ghost:
        schema = await self._scratch.schema(self._live.charset, self._live.collation)
        live = next(create for name, create in self._now.items() if self._live.tables[name].table == step.table)
        if (trouble := await schema.load({step.table: live})) is not None:
            return Ghost(desired, trouble.text)
        clauses = step.statement.removeprefix(f"ALTER TABLE {quoted(step.table)} ")
        try:
            await schema.apply(f"CREATE TABLE {quoted(_GHOST)} LIKE {quoted(step.table)}")
            reading = self._live.reading
            await schema.apply(f"ALTER TABLE {quoted(_GHOST)} {clauses}", sql_mode=reading.sql_mode, reading=reading)
        except pymysql.err.MySQLError as wrong:
            if is_connection_lost(wrong) or is_interrupted(wrong):
                raise
            return Ghost(desired, error_text(wrong))
        definition = await schema.definition(_GHOST)
        return Ghost(definition, "" if alike(definition, desired) else "the copy does not become what the table should be")

    def _in_another_zone(self, change: Change, *, by_hand: bool = False) -> Refusal | None:
        """skeebot's sessions are in UTC, gh-ost's in the server's zone: where these differ, a moment written into a definition does, too.

        A column that stays as it is does no harm. by_hand: nor does one that loses such a default, which is the way out.
        """
        reading = self._live.reading
        if reading.is_utc:
            return None
        for step in change.steps:
            after, before = change.after.get(step.table), change.before.get(step.table)
            for column in after.columns if after is not None else ():
                was = before.column(column.name) if before is not None else None
                moments = [one for one in (column, was) if one is not None and _holds_a_moment(one)]
                counts = _holds_a_moment(column) if by_hand else bool(moments)
                if counts and (was != column or _redefined(step, column.name)):
                    where = f"{self._wanted.cluster}/{self._live.shard.name}"
                    return _another_zone(step.table, moments[0], where, reading.time_zone)
        return None

    # ── One statement by hand ───────────────────────────────────────────────────────────────────────────────────────

    async def about_statement(self, step: Step, *, rebuild: bool = False) -> Answer | Refusal:
        """What one statement makes of the live definition; MySQL alone says whether it can. rebuild: it is meant to change nothing."""
        before = await self._scratch.schema(self._live.charset, self._live.collation)
        after = await self._scratch.schema(self._live.charset, self._live.collation)
        now = {**self._live.related, **self._now}
        for schema in (before, after):
            if (trouble := await schema.load(now)) is not None:
                return Refusal(
                    code="live-does-not-load",
                    what=f"The workspace server does not take the live definition of {trouble.table}: {trouble.text}.",
                    next="Ask the people who run skeebot whether the workspace is set up like the cluster.",
                )
        try:
            creates = step.kind is ChangeKind.CREATE_TABLE
            mode = self._live.reading.sql_mode if step.kind is ChangeKind.ALTER_TABLE else READING_MODE
            await after.apply(step.statement, foreign_key_checks=not creates, sql_mode=mode, reading=self._live.reading)
        except pymysql.err.MySQLError as wrong:
            return Refusal(
                code="not-possible",
                what=f"MySQL does not take the statement on an empty copy: {error_text(wrong)} (error {error_number(wrong)}).",
                next="Correct the statement.",
            )
        old, new = await before.definitions(), await after.definitions()
        strays = [table for table in set(old) | set(new) if table != step.table and old.get(table) != new.get(table)]
        if strays:
            return Refusal(
                code="several-tables",
                what=f"The statement also changes {', '.join(sorted(strays))}.",
                next="Give one statement about one table.",
            )
        connection = self._scratch.connection
        shapes = await read_shapes(connection, before.name, old), await read_shapes(connection, after.name, new)
        change = Change((step,), *shapes, new)
        if refusal := _replaces(step, change.after) or self._in_another_zone(change, by_hand=True):
            return refusal
        if old.get(step.table) == new.get(step.table) and not rebuild:
            return Answer(Change((), *shapes, new), done=(step.table,))
        instant = await self._finder.accepts(now, step.statement) if _says_instant(step.statement) else False
        return Answer(change, instant=frozenset({step.statement} if instant else ()), ghosts=await self._ghosts(change))


def _replaces(step: Step, after: Mapping[str, Shape]) -> Refusal | None:
    """Values lost in a way that no structure shows. A column that becomes computed is another matter: nothing else makes some of them."""
    if step.kind is not ChangeKind.ALTER_TABLE:
        return None
    for name in replaced_columns(step.statement):
        column = after[step.table].column(name) if step.table in after else None
        if column is not None and not column.generated:
            return Refusal(
                code="replaces-a-column",
                what=f"The statement drops the column `{name}` and adds another of that name: every value in it would be lost.",
                next=f"To keep the values: MODIFY COLUMN {quoted(name)} …. To lose them, give two statements, one after the other:"
                " first the DROP, then the ADD.",
            )
    return None


def _holds_a_moment(column: Column) -> bool:
    """A TIMESTAMP with a default that names a point in time, which the session's zone decides; zero is zero everywhere."""
    literal = column.default is not None and "DEFAULT_GENERATED" not in column.extra.upper() and not column.generated
    return column.data_type == "timestamp" and literal and not str(column.default).startswith("0000-00-00")


def _redefined(step: Step, column: str) -> bool:
    try:
        return step.kind is not ChangeKind.ALTER_TABLE or redefines(step.statement, column)
    except NotRead:
        return True


def _another_zone(table: str, column: Column, where: str, zone: str) -> Refusal:
    take_off = f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(column.name)} DROP DEFAULT"
    return Refusal(
        code="time-zone",
        what=f"The TIMESTAMP column `{table}`.`{column.name}` has the default '{column.default}', and {where} runs in the time zone {zone},"
        " not in UTC: the plan and the server would take that default for two different moments.",
        next="Make it a DATETIME, or give it CURRENT_TIMESTAMP or no default. If the live table has such a default already, a DBA takes it"
        f" off first (starter.py run-migration --statement '{take_off}'). Or let the server run with default_time_zone='+00:00'.",
    )


def _single(statements: str) -> list[str]:
    """The ALTERs of a drift, one by one; a drift of another kind cannot be kept."""
    ends = [token.start for token in tokens_of(statements) if token.is_symbol(";")]
    found = [statements[start:end].strip(" \n;") for start, end in pairwise([0, *ends, len(statements)])]
    return [one for one in found if one.upper().startswith("ALTER TABLE")]


def _says_instant(statement: str) -> bool:
    words = [token.text.upper() for token in tokens_of(statement) if not token.is_symbol("=")]
    return any(one == "ALGORITHM" and two == "INSTANT" for one, two in pairwise(words))
