"""Whose turn it is on a cluster's shard: by priority, then arrival; one migration at a time on a topology. Lives for years.

A turn that cannot be used (no word, or one bad moment after the other) is given back when somebody else waits.

It also carries what must outlive histories: applied-but-unmerged changes and quarantined tables with their deadlines.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

from workflows import addresses, needs, timing
from workflows.messages import (
    Abort,
    Applied,
    CancelOrder,
    ChangeMerged,
    MigrationMoved,
    Priority,
    Quarantined,
    QueueEntry,
    QueueStanding,
    TurnIdle,
    TurnWanted,
)
from workflows.orders import signal
from workflows.rules.names import MigrationId
from workflows.rules.stages import MigrationState
from workflows.table_migration import MigrationWork, TableMigration
from workflows.timing import Timing

QueueMessage = QueueEntry | CancelOrder | MigrationMoved | TurnIdle | Applied | Quarantined | ChangeMerged

RANK = {Priority.URGENT: 0, Priority.HIGH: 1, Priority.NORMAL: 2, Priority.LOW: 3}
SETTLED_KEPT = 200
QUARANTINED_KEPT = 2000
"""Some 300 B each, of the 2 MB that go through continue-as-new. What is older is in the audit record only."""
QUARANTINED_DESCRIBED = 50


@dataclass
class QueueState:
    cluster: str
    shard: str
    timing: Timing = field(default_factory=Timing)
    inbox: list[QueueMessage] = field(default_factory=list)
    waiting: list[QueueEntry] = field(default_factory=list)
    running: list[QueueEntry] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    arrivals: int = 0
    strangers: list[str] | None = None
    """Migrations on this shard that a queue before this one left behind, by the ids of their workflows; None: not looked for yet."""


@workflow.defn
class ClusterQueue:
    @workflow.init
    def __init__(self, state: QueueState) -> None:
        self.state = state
        self.watchers: dict[str, asyncio.Task[None]] = {}
        self.a_stranger_spoke = False

    @workflow.run
    async def run(self, _state: QueueState) -> None:
        await self.look_after_what_runs()
        while True:
            await self.hear_all()
            await self.want_turns()
            await self.start_next()
            self.describe()
            await self.news()
            if not self.state.inbox and workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self.state)

    @workflow.signal
    def hear(self, message: QueueMessage) -> None:
        self.state.inbox.append(message)

    @workflow.query
    def standing(self) -> QueueStanding:
        state = self.state
        return QueueStanding(
            cluster=state.cluster,
            shard=state.shard,
            running=tuple(state.running),
            waiting=tuple(sorted(state.waiting, key=_turn)),
            applied=tuple(state.applied),
            quarantined=tuple(state.quarantined),
        )

    # ── The steps ──

    async def look_after_what_runs(self) -> None:
        """What this queue carries may have ended while nobody listened: after continue-as-new its end is not delivered."""
        for entry in list(self.state.running):
            if _workflow_of(entry) not in self.watchers and not await workflow.execute_activity(
                needs.is_running, _workflow_of(entry), start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.TRY_AGAIN
            ):
                await self.lost(entry)

    async def hear_all(self) -> None:
        while self.state.inbox:
            message = self.state.inbox.pop(0)
            match message:
                case QueueEntry():
                    await self.take(message)
                case CancelOrder():
                    await self.cancel(message)
                case MigrationMoved(state=MigrationState.QUEUED):
                    self.take_back(message)
                case MigrationMoved():
                    self.settle(message)
                case TurnIdle(migration_id=name):
                    self.state.idle = [*(one for one in self.state.idle if one != name), name]
                case Applied():
                    others = [one for one in self.state.applied if one.target != message.target]
                    self.state.applied = [*others, message]
                case Quarantined():
                    self.state.quarantined = [*self.state.quarantined, message][-QUARANTINED_KEPT:]
                case ChangeMerged(repository=repository, pull_request=number):
                    gone = (repository.casefold(), number)
                    self.state.applied = [one for one in self.state.applied if (one.repository.casefold(), one.pull_request) != gone]

    async def news(self) -> None:
        """Sleep until something was heard; meanwhile ask now and then whether what runs still does."""
        patience, self.a_stranger_spoke = self.patience, False
        try:
            await workflow.wait_condition(
                lambda: bool(self.state.inbox) or workflow.info().is_continue_as_new_suggested(), timeout=patience
            )
        except TimeoutError:
            await self.look_after_what_runs()

    async def want_turns(self) -> None:
        """Who has a turn that he cannot use is asked for it, once somebody waits."""
        state = self.state
        for entry in list(state.running) if state.waiting else []:
            name = entry.order.migration_id
            if name in state.idle:
                state.idle.remove(name)
                await signal(_workflow_of(entry), TurnWanted(name))

    async def start_next(self) -> None:
        """One gh-ost at a time on a topology."""
        state = self.state
        if state.running or not state.waiting or await self.strangers_run():
            return
        entry = min(state.waiting, key=_turn)
        await self.ended_whole(entry)
        if state.inbox:
            return  # what it said with its last breath comes first
        state.waiting.remove(entry)
        state.running.append(entry)
        work = MigrationWork(order=entry.order, queue=workflow.info().workflow_id, timing=state.timing)
        try:
            child = await workflow.start_child_workflow(
                TableMigration.run,
                work,
                id=_workflow_of(entry),
                task_queue=addresses.CONTROL,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            # Somebody else's, or our last one whose end we could not watch: its turn first, then ours.
            workflow.logger.warning("%s already runs", _workflow_of(entry))
            state.running.remove(entry)
            state.waiting.append(entry)
            await workflow.sleep(timing.QUEUE_PATIENCE)
            state.inbox.append(entry)
            return
        self.watchers[_workflow_of(entry)] = asyncio.create_task(self.watch(entry, child))

    async def strangers_run(self) -> bool:
        """Whoever terminated the queue before this one left its migrations running: one gh-ost at a time holds for them, too."""
        state = self.state
        if state.strangers != []:
            state.strangers = await workflow.execute_activity(
                needs.list_running_migrations,
                args=[state.cluster, state.shard],
                start_to_close_timeout=timing.ONE_QUERY,
                retry_policy=timing.TRY_AGAIN,
            )
        return bool(state.strangers)

    async def ended_whole(self, entry: QueueEntry) -> None:
        """A migration says its verdict before its workflow closes; the next on the same table begins when it has."""
        before = self.watchers.pop(_workflow_of(entry), None)
        if before is not None:
            await before

    # ── Small mechanics ──

    @property
    def patience(self) -> timedelta | None:
        """How long nothing may be heard before it looks by itself."""
        if self.state.strangers and self.state.waiting:
            return timing.QUEUE_PATIENCE if self.a_stranger_spoke else timing.ONE_LOOK
        return timing.LOOK_AFTER if self.state.running else None

    async def take(self, entry: QueueEntry) -> None:
        """An entry that is known already (a signal sent twice) changes nothing; one that has ended is told so."""
        state, name = self.state, entry.order.migration_id
        if name in {one.order.migration_id for one in (*state.waiting, *state.running)}:
            return
        if name in state.settled:
            await self.tell(entry, MigrationState.FAILED, "This order has ended before. Comment `.skeefree retry-migration`.")
            return
        state.arrivals += 1
        state.waiting.append(replace(entry, arrived=state.arrivals))

    async def cancel(self, message: CancelOrder) -> None:
        """What waits leaves the queue; what runs is aborted and settles itself; the unknown changes nothing."""
        state, name = self.state, message.migration_id
        for entry in state.waiting:
            if entry.order.migration_id == name:
                state.waiting.remove(entry)
                state.settled = [*state.settled, name][-SETTLED_KEPT:]
                await self.tell(entry, MigrationState.CANCELLED, message.reason)
                return
        for entry in state.running:
            if entry.order.migration_id == name:
                abort = Abort(migration_id=name, by="skeebot", reason=message.reason)
                if await signal(_workflow_of(entry), abort):
                    return
                if any(isinstance(one, MigrationMoved) and one.migration_id == name for one in state.inbox):
                    state.inbox.append(message)  # it has ended with a word that is not heard yet
                else:
                    await self.lost(entry)
                return

    def take_back(self, news: MigrationMoved) -> None:
        """It could not begin, so it waits again: behind everybody who had fewer turns."""
        state = self.state
        for entry in [one for one in state.running if one.order.migration_id == news.migration_id]:
            state.running.remove(entry)
            state.arrivals += 1
            state.waiting.append(replace(entry, arrived=state.arrivals, turns=entry.turns + 1))
        state.idle = [one for one in state.idle if one != news.migration_id]

    def settle(self, news: MigrationMoved) -> None:
        if not news.state.settled:
            return
        state = self.state
        self.a_stranger_spoke |= news.migration_id not in {one.order.migration_id for one in state.running}
        state.running = [one for one in state.running if one.order.migration_id != news.migration_id]
        state.waiting = [one for one in state.waiting if one.order.migration_id != news.migration_id]
        state.idle = [one for one in state.idle if one != news.migration_id]
        state.settled = [*state.settled, news.migration_id][-SETTLED_KEPT:]

    async def watch(self, entry: QueueEntry, child: workflow.ChildWorkflowHandle[TableMigration, MigrationMoved]) -> None:
        """A migration settles itself by signal; only one that was terminated or timed out needs its parent for that."""
        try:
            await child
        except ChildWorkflowError as ended:
            if entry in self.state.running:
                await self.lost(entry, f"{ended.cause or ended}")

    async def lost(self, entry: QueueEntry, why: str = "") -> None:
        detail = (
            f"The workflow {_workflow_of(entry)} ended without a verdict. {why} Look at the table and at gh-ost on the runner, then "
            "comment `.skeefree retry-migration`."
        )
        await self.tell(entry, MigrationState.FAILED, detail)
        self.state.inbox.append(MigrationMoved(migration_id=entry.order.migration_id, state=MigrationState.FAILED, detail=detail))

    async def tell(self, entry: QueueEntry, state: MigrationState, detail: str) -> None:
        await signal(entry.order.requester, MigrationMoved(migration_id=MigrationId(entry.order.migration_id), state=state, detail=detail))

    def describe(self) -> None:
        state = self.state
        lines = [f"**{state.cluster}/{state.shard}**: {len(state.running)} running, {len(state.waiting)} waiting"]
        lines += [f"- runs, left behind by a queue that was terminated: {one}" for one in state.strangers or ()]
        lines += [f"- runs: {one.schema}.{one.table} for {one.order.requester}" for one in state.running]
        lines += [f"- waits: {one.schema}.{one.table} for {one.order.requester}" for one in sorted(state.waiting, key=_turn)]
        lines += [f"- quarantined: {one.name} until {one.drop_after}" for one in state.quarantined[-QUARANTINED_DESCRIBED:]]
        workflow.set_current_details("\n".join(lines))


def _turn(entry: QueueEntry) -> tuple[int, int, int]:
    return (entry.turns, RANK[entry.priority], entry.arrived)


def _workflow_of(entry: QueueEntry) -> str:
    return f"migration/{entry.cluster}/{entry.shard}/{entry.schema}/{entry.table}"
