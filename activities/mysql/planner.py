"""The plan of one database: live → desired on every shard of its cluster, and the drift that stops it (DESIGN §4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, Protocol

from temporalio import activity

from activities.errors import NeedsHuman, TryAgain
from activities.mysql.answers import INSTANT, Answer, Asker, Wanted
from activities.mysql.connect import mysql_errors, open_connection
from activities.mysql.discovery import ACTIVE, Cluster, Discovery, Shard
from activities.mysql.introspect import LiveTable, fingerprint_of
from activities.mysql.judge import Judgement, ask_rows, judge_alter, judge_create, judge_drop, same_shape, table_rename
from activities.mysql.live import LiveShard, read_shard
from activities.mysql.preflight import referenced, row_version_limit
from activities.mysql.statements import ByHand, read_by_hand
from activities.mysql.strategy import Choice, choose, revert_until, seconds_of
from activities.mysql.workspace import Scratch, Workspace, differs_from
from activities.pulse import heartbeating
from activities.settings import Settings
from activities.skeema.change import Change, Step
from activities.skeema.diff import Skeema
from activities.skeema.sources import Sources
from workflows.messages import Applied, Changes, PlanDatabase, PlanStatement
from workflows.rules.names import DatabaseRow, Fingerprint, Target
from workflows.rules.plan import ChangeKind, DatabasePlan, Directory, Drift, PlannedMigration, Refusal, Risk, Strategy

PATIENCE: Final = 3
"""Attempts to reach a server before a person is told."""

PLAN_LIMIT: Final = 200_000
"""Bytes of a plan: it travels through several events of a workflow's history."""

_PLANS_AT_ONCE: Final = 4
"""In the workspace, of one worker: skeema opens several connections for each, and all work on one server."""

_DISK_TO_MENTION: Final = 1_000_000_000
_SECONDS_TO_MENTION: Final = 3600.0
_THEN_AGAIN: Final = "Once that is put right, re-run the check (or push a commit)."


class SourceReader(Protocol):
    """activities.git.GitActivities, as far as a plan needs it."""

    async def sources_of(self, repository: str, changes: Changes, path: str, *, at: Literal["merge", "base"]) -> Sources: ...


AppliedUnmerged = Callable[[str, str], Awaitable[Sequence[Applied]]]
"""(cluster, shard) → changes that are live there and not merged yet, oldest first: what the cluster's queue carries."""


class Refused(Exception):  # noqa: N818 - not an error: an answer that ends a plan from wherever it is found
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal


Asking = Callable[[Asker, LiveShard], Awaitable[Answer | Refusal]]


@dataclass(frozen=True)
class _Planned:
    """One shard with what the workspace said about it. prefix: of commands. keep_statement: a person wrote it, so it runs as written."""

    wanted: Wanted
    live: LiveShard
    answer: Answer
    prefix: str
    keep_statement: bool = False


class PlanActivities:
    """git: reads the test merge. applied_unmerged: asks the cluster's queue."""

    def __init__(self, settings: Settings, discovery: Discovery, git: SourceReader, applied_unmerged: AppliedUnmerged) -> None:
        self._settings = settings
        self._discovery = discovery
        self._git = git
        self._applied_unmerged = applied_unmerged
        self._in_workspace = asyncio.Semaphore(_PLANS_AT_ONCE)

    @activity.defn(name="plan_database")
    async def plan_database(self, ask: PlanDatabase) -> DatabasePlan:
        """live → desired for one expected row. Whatever stands in the way is DatabasePlan.refusal.

        Errors: TryAgain in the first attempts, when a server or the network is away.
        """
        return await _answered(ask.directory.row, self._plan(ask))

    @activity.defn(name="plan_statement")
    async def plan_statement(self, ask: PlanStatement) -> DatabasePlan:
        """The plan of one statement given by hand, by the same rules; refusals and errors as plan_database."""
        return await _answered(DatabaseRow(environment=ask.environment, database=ask.schema), self._plan_by_hand(ask))

    async def _plan(self, ask: PlanDatabase) -> DatabasePlan:
        directory = _mapping(ask)
        if ask.changes.refusal is not None:
            raise Refused(ask.changes.refusal)
        wanted, notes = await self._wanted(ask, directory)
        cluster = await self._discovery.cluster(directory.cluster)
        _check_cluster(cluster, directory)
        shards = [await self._read(shard, wanted) for shard in cluster.shards]
        applied = {shard.name: await self._applied(cluster, shard, wanted) for shard in cluster.shards}
        completed = {
            shard.name: frozenset(
                one.table for one in ask.completed if (one.cluster, one.shard, one.schema) == (cluster.name, shard.name, wanted.schema)
            )
            for shard in cluster.shards
        }
        acknowledged = {
            shard.name: {
                one.target.table: one.statement for one in ask.acknowledged if one.target == wanted.target_on(shard, one.target.table)
            }
            for shard in cluster.shards
        }

        async def about(asker: Asker, live: LiveShard) -> Answer | Refusal:
            name = live.shard.name
            return await asker.about_files(applied[name], str(ask.ref), completed[name], acknowledged[name])

        def likeness(live: LiveShard) -> Hashable:
            history = tuple(replace(one, target=replace(one.target, shard="")) for one in applied[live.shard.name])
            accepted = tuple(sorted(acknowledged[live.shard.name].items()))
            return live.likeness(exactly=wanted.exactly), history, completed[live.shard.name], accepted

        planned = await self._worked_out(wanted, shards, about, likeness)
        drift = [Drift(wanted.target(one.live, it.table), it.statement, it.by) for one in planned for it in one.answer.drifted]
        return DatabasePlan(
            row=wanted.row,
            migrations=tuple([migration for one in planned for migration in await self._migrations(one)]),
            drift=tuple(drift),
            notes=(*notes, *_notes_on_shards(planned)),
        )

    async def _plan_by_hand(self, ask: PlanStatement) -> DatabasePlan:
        step = read_by_hand(ask.statement, ask.schema)
        if isinstance(step, Refusal):
            raise Refused(step)
        cluster = await self._discovery.cluster(ask.cluster)
        row = DatabaseRow(environment=ask.environment, database=ask.schema)
        wanted = Wanted(row=row, cluster=cluster.name, schema=ask.schema, mine=(step.table,), references=frozenset(step.references))
        chosen = _chosen(cluster, ask.shards)
        shards = [await self._read(shard, wanted) for shard in chosen]
        for live in shards:
            _check_presence(step, wanted, live)

        async def about(asker: Asker, live: LiveShard) -> Answer | Refusal:
            table = live.tables.get(step.table)
            spelled = table.table if table is not None else step.table
            return await asker.about_statement(Step(step.kind, spelled, step.statement, maintenance=step.maintenance), rebuild=step.rebuild)

        planned = await self._worked_out(wanted, shards, about, LiveShard.likeness)
        planned = [replace(one, keep_statement=True) for one in planned]
        return DatabasePlan(
            row=row,
            migrations=tuple([migration for one in planned for migration in await self._migrations(one)]),
            notes=_notes_on_shards(planned),
        )

    # ── What is wanted, what is live ────────────────────────────────────────────────────────────────────────────────

    async def _wanted(self, ask: PlanDatabase, directory: Directory) -> tuple[Wanted, tuple[str, ...]]:
        repository, path = ask.ref.repository, ask.directory.path
        merge = await self._git.sources_of(repository, ask.changes, path, at="merge")
        if merge.refusal is not None:
            raise Refused(merge.refusal)
        base = await self._git.sources_of(repository, ask.changes, path, at="base")
        options = merge.options.for_environment(directory.environment)
        if (disagreement := options.disagreement_with(directory.schema)) is not None:
            raise Refused(disagreement)
        mine = ask.directory.tables
        if base.tables and not merge.tables:
            raise Refused(_directory_emptied(path))
        files = {table: merge.tables[table] for table in mine if table in merge.tables}
        _refuse_unread(mine, merge)
        wanted = Wanted(
            row=ask.directory.row,
            cluster=directory.cluster,
            schema=directory.schema,
            mine=mine,
            files={table: source.sql for table, source in files.items()},
            base={table: base.tables[table].sql for table in mine if table in base.tables},
            names={table: source.file for table, source in files.items()},
            references=frozenset(name for source in files.values() for name in source.references),
            charset=options.default_character_set,
            collation=options.default_collation,
            options=ask.enrolment.options,
        )
        return wanted, (*merge.notes, *options.notes)

    async def _read(self, shard: Shard, wanted: Wanted) -> LiveShard:
        async with await open_connection(shard.primary, self._settings.mysql.read, self._settings.mysql) as connection:
            with mysql_errors(shard.primary, f"reading {wanted.schema}"):
                return await read_shard(connection, shard, wanted.schema, wanted.mine, wanted.references)

    async def _applied(self, cluster: Cluster, shard: Shard, wanted: Wanted) -> tuple[Applied, ...]:
        """What is applied and not merged on the tables of this plan; what was run by hand explains nothing."""
        known = await self._applied_unmerged(cluster.name, shard.name)
        return tuple(one for one in known if one.target.schema == wanted.schema and one.target.table in wanted.mine and one.pull_request)

    # ── What the workspace says ─────────────────────────────────────────────────────────────────────────────────────

    async def _worked_out(
        self, wanted: Wanted, shards: Sequence[LiveShard], about: Asking, likeness: Callable[[LiveShard], Hashable]
    ) -> list[_Planned]:
        """Shards that are alike share one answer."""
        known: dict[Hashable, Answer] = {}
        planned: list[_Planned] = []
        async with self._workspace() as (scratch, skeema):
            for live in shards:
                refusal = differs_from(scratch.reading, live.reading, f"{wanted.cluster}/{live.shard.name}")
                if refusal is not None:
                    raise Refused(refusal)
                _check_case(wanted, live)
                key = likeness(live)
                if key not in known:
                    answer = await about(Asker(wanted, live, scratch, skeema), live)
                    if isinstance(answer, Refusal):
                        raise Refused(answer)
                    known[key] = answer
                planned.append(_Planned(wanted, live, known[key], self._settings.protocol.command_prefix))
        return planned

    @asynccontextmanager
    async def _workspace(self) -> AsyncIterator[tuple[Scratch, Skeema]]:
        address = await self._discovery.workspace()
        seconds = float(self._settings.diff.ceilings.seconds)
        mysql = self._settings.mysql
        skeema = Skeema(self._settings.diff.skeema, address, mysql.workspace, seconds=seconds, tls=mysql.tls_ca_file is not None)
        try:
            async with self._in_workspace, asyncio.timeout(2 * seconds), Workspace(address, mysql).open() as scratch:
                yield scratch, skeema
        except TimeoutError:
            raise Refused(_too_slow(2 * seconds)) from None

    # ── Migrations ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _migrations(self, planned: _Planned) -> list[PlannedMigration]:
        steps = planned.answer.change.steps
        if not steps:
            return []
        _refuse_referenced(planned)
        judgements = [_judged(planned.answer.change, step, _live_table(planned.live, step.table)) for step in steps]
        confirmed = await self._confirmed(planned, judgements)
        migrations = [
            _migration(planned, step, position, (*judged.risks, *found))
            for position, (step, judged, found) in enumerate(zip(steps, judgements, confirmed, strict=True))
        ]
        _refuse_in_steps(migrations)
        return migrations

    async def _confirmed(self, planned: _Planned, judgements: Sequence[Judgement]) -> list[tuple[Risk, ...]]:
        """For each step, the risks that the live rows confirm. Asked where writes do not go, for looking may cost."""
        if not any(judged.questions for judged in judgements):
            return [() for _ in judgements]
        address = planned.live.shard.replica or planned.live.shard.primary
        schema, steps = planned.wanted.schema, planned.answer.change.steps
        async with await open_connection(address, self._settings.mysql.read, self._settings.mysql) as connection:
            with mysql_errors(address, f"looking at the rows of {schema}"):
                return [
                    await ask_rows(connection, schema, step.table, judged.questions) for step, judged in zip(steps, judgements, strict=True)
                ]


async def _answered(row: DatabaseRow, planning: Awaitable[DatabasePlan]) -> DatabasePlan:
    try:
        async with heartbeating(lambda: ()):
            plan = await planning
    except Refused as stop:
        return DatabasePlan(row=row, refusal=stop.refusal)
    except NeedsHuman as wrong:
        return DatabasePlan(row=row, refusal=Refusal(code="servers", what=wrong.message, next=_THEN_AGAIN))
    except TryAgain as wrong:
        if activity.in_activity() and activity.info().attempt < PATIENCE:
            raise
        return DatabasePlan(row=row, refusal=Refusal(code="unreachable", what=wrong.message, next=_THEN_AGAIN, passing=True))
    size = len(json.dumps(asdict(plan)).encode())
    return plan if size <= PLAN_LIMIT else DatabasePlan(row=row, refusal=_too_large(size))


def _migration(planned: _Planned, step: Step, position: int, risks: tuple[Risk, ...]) -> PlannedMigration:
    wanted, live, answer = planned.wanted, planned.live, planned.answer
    table = _live_table(live, step.table)
    choice = _choice(planned, step, table)
    statement = step.statement
    if choice.strategy is Strategy.INSTANT and not planned.keep_statement:
        statement += INSTANT
    rows, size = (table.rows, table.bytes) if table is not None else (0, 0)
    seconds = seconds_of(choice.strategy, rows, size)
    return PlannedMigration(
        target=wanted.target(live, step.table),
        kind=step.kind,
        statement=statement,
        strategy=choice.strategy,
        why=choice.why,
        fingerprint=fingerprint_of(table.facts, statement) if table is not None else Fingerprint(""),
        expected=answer.expected(step, choice.strategy),
        rows=rows,
        bytes=size,
        seconds=seconds,
        position=position,
        risks=(*risks, *_of_running(choice.strategy, size, seconds)),
        dependents=table.dependents if table is not None else (),
        revert_until=revert_until(step, choice.strategy, wanted.options.quarantine_days),
    )


def _choice(planned: _Planned, step: Step, table: LiveTable | None) -> Choice:
    change = planned.answer.change
    instant = table is not None and step.statement in planned.answer.instant and _has_room(table)
    ghost = planned.answer.ghosts.get(step.statement)
    return choose(
        step,
        table,
        change.before.get(step.table),
        change.after.get(step.table),
        instant=instant,
        ghost=ghost.trouble if ghost is not None else "",
        prefix=planned.prefix,
    )


def _judged(change: Change, step: Step, table: LiveTable | None) -> Judgement:
    before, after = change.before.get(step.table), change.after.get(step.table)
    if step.kind is ChangeKind.ALTER_TABLE and before is not None and after is not None:
        return judge_alter(before, after, [step.statement])
    if step.kind is ChangeKind.CREATE_TABLE and after is not None:
        return Judgement(judge_create(after), ())
    if step.kind is ChangeKind.DROP_TABLE and before is not None:
        created = [one.table for one in change.steps if one.kind is ChangeKind.CREATE_TABLE]
        alike = [name for name in created if same_shape(before, change.after[name])]
        risks = judge_drop(step.table, table.rows if table is not None else 0)
        return Judgement((*risks, *(table_rename(step.table, name) for name in alike)), ())
    return Judgement((), ())


def _has_room(table: LiveTable) -> bool:
    """For one more row version; unknown counts as none (SAFETY §S6)."""
    return table.row_versions is not None and table.row_versions < row_version_limit(table.facts.server.version_numbers)


def _live_table(live: LiveShard, table: str) -> LiveTable | None:
    return next((one for one in live.tables.values() if one.table == table), None)


def _of_running(strategy: Strategy, size: int, seconds: float) -> tuple[Risk, ...]:
    """What people should know although nothing is lost."""
    if strategy is not Strategy.GH_OST:
        return ()
    risks = [Risk("lock", "The swap at the end locks the table for a moment; it waits for transactions that hold it.")]
    if size >= _DISK_TO_MENTION:
        risks.append(Risk("disk", f"The copy needs about {size / 1e9:,.0f} GB of disk on the primary and on every replica."))
    if seconds >= _SECONDS_TO_MENTION:
        risks.append(Risk("long-copy", f"The copy takes about {seconds / 3600:,.0f} hours; binary logs must be kept as long."))
    return tuple(risks)


# ── Notes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _notes_on_shards(planned: Sequence[_Planned]) -> tuple[str, ...]:
    notes: list[str] = []
    for table in dict.fromkeys(table for one in planned for table in one.answer.done):
        where = [one.live.shard.name for one in planned if table in one.answer.done]
        everywhere = len(where) == len(planned)
        notes.append(f"`{table}` is as the file says already{'' if everywhere else ' on shard ' + ', '.join(where)}: nothing to run there.")
    notes += [
        f"What others did to the live `{table}` cannot all stay beside this change: see what its statement undoes."
        for table in dict.fromkeys(table for one in planned for table in one.answer.undone)
    ]
    if len(planned) > 1:
        for table in planned[0].wanted.mine:
            notes += _unlike(table, planned)
    return tuple(notes)


def _unlike(table: str, planned: Sequence[_Planned]) -> list[str]:
    by_definition: dict[str, list[str]] = {}
    for one in planned:
        live = one.live.tables.get(table)
        by_definition.setdefault(live.definition_hash if live is not None else "", []).append(one.live.shard.name)
    if len(by_definition) == 1:
        return []
    groups = [f"{', '.join(names)}{' (no such table)' if not known else ''}" for known, names in by_definition.items()]
    return [f"`{table}` is not the same on every shard. Alike are: {'; '.join(groups)}."]


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _mapping(ask: PlanDatabase) -> Directory:
    for directory in ask.enrolment.directories:
        if directory.row == ask.directory.row and directory.path.strip("/") == ask.directory.path.strip("/"):
            return directory
    raise Refused(
        Refusal(
            code="unmapped",
            what=f"The directory `{ask.directory.path}` is not mapped to a database {ask.directory.row.database}"
            f" in {ask.directory.row.environment}.",
            next=f"Map it: repo-map {ask.ref.repository} {ask.directory.path} … (an administrator); then re-run the check.",
        )
    )


def _check_cluster(cluster: Cluster, directory: Directory) -> None:
    if cluster.environment != directory.environment:
        raise Refused(
            Refusal(
                code="wrong-environment",
                what=f"`{directory.path}` is mapped to the cluster {cluster.name} for {directory.environment},"
                f" but the inventory says that this cluster is {cluster.environment}.",
                next="Correct the mapping (repo-map) or the inventory; then re-run the check.",
            )
        )
    if cluster.state != ACTIVE:
        raise Refused(
            Refusal(
                code="cluster-state",
                what=f"The cluster {cluster.name} is {cluster.state} in the inventory, not {ACTIVE}.",
                next="Wait until it is active again, then re-run the check.",
            )
        )


def _check_case(wanted: Wanted, live: LiveShard) -> None:
    """A server that stores names in lower case would print others than the files have."""
    strange = [name for name in wanted.mine if name != name.lower()]
    if live.reading.folds_names and strange:
        raise Refused(
            Refusal(
                code="upper-case",
                what=f"{wanted.cluster}/{live.shard.name} knows no upper case in table names (lower_case_table_names), but the files say"
                f" {', '.join(f'`{name}`' for name in strange[:5])}.",
                next="Write the tables' names in lower case.",
            )
        )


def _chosen(cluster: Cluster, names: Sequence[str]) -> list[Shard]:
    known = {shard.name: shard for shard in cluster.shards}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Refused(
            Refusal(
                code="unknown-shard",
                what=f"The cluster {cluster.name} has no shard {', '.join(unknown)}.",
                next=f"Its shards are {', '.join(known)}.",
            )
        )
    return [known[name] for name in names] if names else list(cluster.shards)


def _check_presence(step: ByHand, wanted: Wanted, live: LiveShard) -> None:
    present = step.table in live.tables
    if present == (step.kind is not ChangeKind.CREATE_TABLE):
        return
    where = f"{wanted.cluster}/{live.shard.name}/{wanted.schema}"
    raise Refused(
        Refusal(
            code="table-exists" if present else "no-such-table",
            what=f"{where} {'already has' if present else 'has no'} table {step.table}.",
            next="Correct the name, or say which shards are meant (--shard).",
        )
    )


def _refuse_referenced(planned: _Planned) -> None:
    """Tables that a DROP leaves pointing nowhere; those that this plan drops as well go before it."""
    schema = planned.wanted.schema
    dropped = {(schema, step.table) for step in planned.answer.change.steps if step.kind is ChangeKind.DROP_TABLE}
    for step in planned.answer.change.steps:
        table = _live_table(planned.live, step.table)
        if step.kind is ChangeKind.DROP_TABLE and table is not None:
            keys = [str(key) for key in table.inbound if key.child not in dropped]
            if (refusal := referenced(schema, step.table, keys)) is not None:
                raise Refused(refusal)


def _refuse_in_steps(migrations: Sequence[PlannedMigration]) -> None:
    """One table, one migration at a time: what needs several statements is done in several pull requests, or by hand."""
    seen: dict[Target, PlannedMigration] = {}
    for one in migrations:
        other = seen.setdefault(one.target, one)
        if other is not one and {one.strategy, other.strategy} != {Strategy.MANUAL}:
            raise Refused(
                Refusal(
                    code="several-steps",
                    what=f"The change of `{one.target.table}` takes more than one statement: {other.statement}; {one.statement}",
                    next="Make it in two pull requests, one after the other.",
                )
            )


def _refuse_unread(mine: Sequence[str], merge: Sources) -> None:
    """A table whose file is there and cannot be read is not a table to drop."""
    unread = {file.removesuffix(".sql").casefold(): reason for file, reason in merge.unread.items()}
    for table in mine:
        if table not in merge.tables and table.casefold() in unread:
            raise Refused(
                Refusal(
                    code="not-understood",
                    what=f"Whether `{table}` is to be dropped is not clear: {unread[table.casefold()]}",
                    next="Write exactly one CREATE TABLE into that file, or remove it too.",
                )
            )


def _directory_emptied(path: str) -> Refusal:
    return Refusal(
        code="directory-emptied",
        what=f"This would drop every table of `{path}`: no table is left in it.",
        next="If the whole schema is to go, have a DBA remove it and its mapping by hand; otherwise bring the files back.",
    )


def _too_slow(seconds: float) -> Refusal:
    return Refusal(
        code="too-slow",
        what=f"Working out the statements took longer than {seconds:.0f} seconds.",
        next="Split the change into smaller pull requests, or ask for a higher limit (diff.ceilings.seconds).",
    )


def _too_large(size: int) -> Refusal:
    return Refusal(
        code="too-large",
        what=f"The plan has {size:,} bytes; {PLAN_LIMIT:,} at most can be carried.",
        next="Split the change into smaller pull requests.",
    )
