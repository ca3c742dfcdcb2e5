"""One table on one shard: pre-flight, run, verify, release, prove, record.

The schema is the truth: exit codes and events are hints, what the table looks like on its primary decides. The cut-over is always held,
and released here after the data was looked at, on the requester's word that the approvals still hold.
"""

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as TimedOut

from workflows import addresses, needs, timing
from workflows.dismissal import dismiss
from workflows.messages import (
    Abort,
    AbortGhost,
    Applied,
    AuditRecord,
    CheckRelease,
    Comparison,
    DirectDone,
    Fence,
    FenceVerdict,
    GhostEvent,
    GhostRun,
    GhostSeen,
    GhostStopped,
    Hold,
    LetGo,
    MigrationMoved,
    MigrationOrder,
    OrderRef,
    Preflight,
    PreflightVerdict,
    PrimaryIdentity,
    Proof,
    Prove,
    Quarantined,
    Release,
    RunDirect,
    SpawnGhost,
    TurnIdle,
    TurnWanted,
    Verification,
    Verify,
    WatchGhost,
)
from workflows.orders import signal
from workflows.rules.names import HeadSha, quarantine_name
from workflows.rules.plan import ChangeKind, Strategy
from workflows.rules.stages import MigrationState
from workflows.timing import Timing
from workflows.trouble import is_for_people

DEATHS_ALLOWED = 5
"""So many in a row, each before anything more was copied or a comparison allowed the swap."""

MigrationMessage = Release | Hold | Abort | TurnWanted


@dataclass(frozen=True)
class MigrationWork:
    """The input: where the order can be read, and for which queue this runs."""

    order: OrderRef
    queue: str
    timing: Timing = field(default_factory=Timing)


class Stopped(Exception):  # noqa: N818  (not an error: a verdict that ends the run early)
    """The run ends without the change. changed: the live table is not what was approved."""

    def __init__(self, detail: str, *, state: MigrationState = MigrationState.FAILED, changed: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.state = state
        self.changed = changed


class LostWrites(Stopped):
    """The copy of a resumed gh-ost differs. gh-ost 1.1.10 can lose writes as it resumes (docs/decisions/0003): a clean copy decides."""


@workflow.defn
class TableMigration:
    @workflow.init
    def __init__(self, work: MigrationWork) -> None:
        self.work = work
        self.timing = work.timing
        self.may_start: Release | None = None
        self.released: Release | None = None
        self.aborted: Abort | None = None
        self.turn_is_offered = self.turn_is_wanted = False
        self.verification: Verification | None = None
        self.state = MigrationState.READY
        self.detail = ""
        self.quarantined_as = ""
        self.order: MigrationOrder | None = None
        self.started_at = workflow.time()

    @workflow.run
    async def run(self, work: MigrationWork) -> MigrationMoved:
        """An operator who cancels the workflow in Temporal aborts the migration: gh-ost is stopped before its swap, everybody is told."""
        migrating = asyncio.create_task(self.migrate(work))
        try:
            return await asyncio.shield(migrating)
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise  # a worker that forgets it, not an operator
            self.aborted = self.aborted or Abort(work.order.migration_id, by="an operator", reason="cancelled in Temporal")
            return await migrating

    async def migrate(self, work: MigrationWork) -> MigrationMoved:
        try:
            order = self.order = await self.read_order(work.order)
        except ActivityError as trouble:
            nothing = MigrationMoved(work.order.migration_id, MigrationState.FAILED, detail=f"Nothing was run: {trouble.cause or trouble}")
            await signal(work.order.requester, nothing)
            await signal(work.queue, nothing)
            return nothing
        await self.tell(order, MigrationState.READY)
        asking = asyncio.create_task(self.ask_for_requester())
        verdict = await self.carry_out(order)
        asking.cancel()
        await workflow.wait([asking])
        if verdict.state is MigrationState.QUEUED:
            await signal(order.requester, verdict)
            await signal(self.work.queue, verdict)
            if self.aborted is None:
                return verdict
            verdict = self.moved(order, MigrationState.CANCELLED, detail=self.why_aborted)
        await self.record(order, verdict)
        await self.settle(order, verdict)
        return verdict

    async def carry_out(self, order: MigrationOrder) -> MigrationMoved:
        try:
            primary = await self.preflight(order)
            await self.tell(order, MigrationState.RUNNING)
            old_table = await self.run_by_strategy(order, primary)
            await self.prove(order, primary, old_table)
            self.quarantined_as = old_table
        except Stopped as stop:
            return self.moved(order, stop.state, detail=stop.detail, changed=stop.changed)
        except ActivityError as trouble:
            return self.moved(order, MigrationState.FAILED, detail=f"{trouble.cause or trouble}")
        return self.moved(order, MigrationState.COMPLETE)

    async def run_by_strategy(self, order: MigrationOrder, primary: PrimaryIdentity) -> str:
        """Returns the name under which the original is kept, "" where there is none."""
        match order.migration.strategy:
            case Strategy.GH_OST:
                return await GhostStory(self, order, primary).run()
            case Strategy.DIRECT | Strategy.INSTANT:
                return await self.run_direct(order, primary)
            case Strategy.MANUAL:
                raise Stopped("This statement is for a person to run: skeebot does not know it to be safe.")
            case _:
                assert_never(order.migration.strategy)

    # ── What may arrive ──

    @workflow.signal
    def hear(self, message: MigrationMessage) -> None:
        """Only words for this very migration and plan count; a hold takes them back, an abort is final."""
        if message.migration_id != self.work.order.migration_id:
            return
        match message:
            case Release(digest=digest) if self.order is not None and digest != self.order.digest:
                pass
            case Release(phase="start"):
                self.may_start = message
            case Release():
                accepted = self.released is not None and self.released.accept_unproven
                self.released = replace(message, accept_unproven=accepted or message.accept_unproven)
            case Hold():
                self.may_start = self.released = None
            case Abort():
                self.aborted = self.aborted or message
            case TurnWanted():
                self.turn_is_wanted = True

    @workflow.query
    def standing(self) -> MigrationMoved:
        order = self.order
        name = self.work.order.migration_id
        return self.moved(order, self.state, detail=self.detail) if order else MigrationMoved(migration_id=name, state=self.state)

    # ── The steps ──

    async def read_order(self, ref: OrderRef) -> MigrationOrder:
        return await workflow.execute_activity(
            needs.read_order,
            ref,
            start_to_close_timeout=timing.ONE_QUERY,
            schedule_to_close_timeout=timing.ORDER_PATIENCE,
            retry_policy=timing.TRY_AGAIN,
        )

    async def ask_for_requester(self) -> None:
        """Does anybody answer for this order still? Else no word would ever come, and a whole shard would wait behind it."""
        for times in itertools.count():
            await asyncio.sleep(_growing(self.timing.ask_for_requester, times, at_most=3600.0))
            try:
                await self.read_order(self.work.order)
            except ActivityError as gone:
                if is_cancelled_exception(gone):
                    return
                if is_for_people(gone):
                    by, reason = "skeebot", f"who ordered it is gone ({gone.cause})"
                    self.aborted = self.aborted or Abort(self.work.order.migration_id, by=by, reason=reason)

    async def preflight(self, order: MigrationOrder) -> PrimaryIdentity:
        """Right before the start, on the primary. A bad moment is waited out; a changed table stops."""
        give_up_at = workflow.time() + self.timing.retry_preflight_limit
        for attempt in itertools.count():
            await self.wait_for_its_word(order)
            verdict = await workflow.execute_activity(
                needs.preflight, Preflight(order=order), start_to_close_timeout=timing.ONE_LOOK, retry_policy=timing.A_FEW_TIMES
            )
            if verdict.primary is not None and verdict.refusal is None:
                return verdict.primary
            reason = _words(verdict)
            if not verdict.retry or workflow.time() >= give_up_at:
                raise Stopped(reason, changed=verdict.changed)
            self.may_start = None  # the next try needs a fresh word: approvals are asked for again
            await self.offer_turn(order, reason)
            await self.until(lambda: self.must_stop or self.turn_is_wanted, seconds=_growing(self.timing.retry_preflight, attempt))
            await self.offer_turn(order, reason)
            await self.tell(order, MigrationState.READY, detail=reason)
        raise AssertionError("the loop returns or raises")

    async def wait_for_its_word(self, order: MigrationOrder) -> None:
        """Its turn has come; its requester looks at the approvals once more before anything touches the table."""
        while self.may_start is None:
            patience = None if self.turn_is_offered else self.started_at + self.timing.turn_is_idle_after - workflow.time()
            await self.until(lambda: self.may_start is not None or self.must_stop or self.turn_is_wanted, seconds=patience)
            self.stop_if_aborted()
            if self.may_start is None:
                await self.offer_turn(order, self.detail or "its turn came, and nobody let it begin: are both approvals there?")
        self.stop_if_aborted()

    async def offer_turn(self, order: MigrationOrder, why: str) -> None:
        """Nothing was begun: after a while another table may go first. Where none waits, the turn is kept."""
        if self.turn_is_wanted and not self.must_stop:
            raise Stopped(f"Another table goes first, for {why[:1].lower()}{why[1:]}", state=MigrationState.QUEUED)
        if not self.turn_is_offered and workflow.time() >= self.started_at + self.timing.turn_is_idle_after:
            self.turn_is_offered = True
            await signal(self.work.queue, TurnIdle(order.migration_id))

    async def run_direct(self, order: MigrationOrder, primary: PrimaryIdentity) -> str:
        """Returns the name under which a dropped table is kept ("" where nothing was renamed)."""
        quarantine = ""
        if order.migration.kind is ChangeKind.DROP_TABLE:
            quarantine = quarantine_name(order.migration.target.table, workflow.now().strftime("%Y%m%d%H%M%S"))
        try:
            done: DirectDone = await workflow.execute_activity(
                needs.run_direct,
                RunDirect(order=order, primary=primary, quarantine_as=quarantine),
                start_to_close_timeout=timing.DIRECT_RUN,
                heartbeat_timeout=timing.HEARTBEAT,
                retry_policy=timing.A_FEW_TIMES,
            )
        except ActivityError:
            # A statement whose client is gone may still have run (SAFETY §S6): the schema itself decides.
            if (await self.proof(order, primary, quarantine)).done:
                return quarantine
            raise
        if done.refusal is not None:
            raise Stopped(f"{done.refusal.what} {done.refusal.next}", changed=done.refusal.code == "changed")
        self.quarantined_as = quarantine
        await self.audit(
            order,
            "direct ddl ran",
            {"gtid_executed": done.gtid_executed, "quarantined_as": quarantine, "restore": ";\n".join(done.restore)},
        )
        return quarantine

    async def prove(self, order: MigrationOrder, primary: PrimaryIdentity, old_table: str) -> None:
        proof = await self.proof(order, primary, old_table)
        if not proof.done:
            raise Stopped(f"The statement ran, but the live table is not what was approved: {proof.detail}")
        await self.audit(order, "proven", {"gtid_executed": proof.gtid_executed, "detail": proof.detail})

    async def proof(self, order: MigrationOrder, primary: PrimaryIdentity, old_table: str) -> Proof:
        return await workflow.execute_activity(
            needs.prove,
            Prove(order=order, primary=primary, old_table=old_table),
            start_to_close_timeout=timing.ONE_LOOK,
            retry_policy=timing.TRY_AGAIN,
        )

    async def record(self, order: MigrationOrder, verdict: MigrationMoved) -> None:
        facts = {
            "target": str(order.migration.target),
            "statement": order.migration.statement,
            "digest": order.digest,
            "approved_by": ", ".join(order.approved_by),
            "pull_request": f"{order.repository}#{order.pull_request}" if order.repository else "by hand",
            "detail": verdict.detail,
            "rows_compared": str(verdict.rows_compared),
            "quarantined_as": verdict.quarantined_as,
        }
        await self.audit(order, verdict.state.value, facts)

    async def settle(self, order: MigrationOrder, verdict: MigrationMoved) -> None:
        """The queue hears what outlives this history before it hears that its turn is free."""
        target = order.migration.target
        if verdict.state is MigrationState.COMPLETE:
            if order.repository:
                applied = Applied(
                    target=target,
                    repository=order.repository,
                    pull_request=order.pull_request,
                    head_sha=HeadSha(order.head_sha),
                    statement=order.migration.statement,
                )
                await signal(self.work.queue, applied)
            if self.quarantined_as:
                now = workflow.now()
                kept = Quarantined(
                    target=target,
                    name=self.quarantined_as,
                    created_at=now.isoformat(),
                    drop_after=(now + timedelta(days=order.quarantine_days)).isoformat(),
                )
                await signal(self.work.queue, kept)
        await signal(order.requester, verdict)
        await signal(self.work.queue, verdict)

    # ── Small mechanics ──

    def moved(
        self, order: MigrationOrder, state: MigrationState, *, detail: str = "", changed: bool = False, unproven: bool = False
    ) -> MigrationMoved:
        return MigrationMoved(
            migration_id=order.migration_id,
            state=state,
            detail=detail[:4000],
            rows_compared=self.verification.rows if self.verification else 0,
            seconds=workflow.time() - self.started_at,
            quarantined_as=self.quarantined_as,
            changed=changed,
            unproven=unproven,
        )

    async def tell(self, order: MigrationOrder, state: MigrationState, *, detail: str = "", unproven: bool = False) -> None:
        """The requester hears of every change once, and each time when its word is waited for."""
        waits = state in {MigrationState.READY, MigrationState.HOLDING} and self.released is None
        if (state, detail) == (self.state, self.detail) and not waits:
            return
        self.state, self.detail = state, detail
        workflow.set_current_details(f"{order.migration.target}: {state.value} {detail}\n\n{order.migration.statement}")
        await signal(order.requester, self.moved(order, state, detail=detail, unproven=unproven))

    def forget_release(self) -> None:
        """A release counts for one look at the data in the hold in which it was given; a DBA's acceptance likewise."""
        self.released = None

    @property
    def must_stop(self) -> bool:
        return self.aborted is not None

    def stop_if_aborted(self) -> None:
        if self.aborted is not None:
            raise Stopped(self.why_aborted, state=MigrationState.CANCELLED)

    @property
    def why_aborted(self) -> str:
        return f"Aborted by {self.aborted.by}: {self.aborted.reason}" if self.aborted is not None else ""

    async def wait(self, seconds: float) -> None:
        """Wait, but not through an abort."""
        await self.until(lambda: self.must_stop, seconds=seconds)

    async def until(self, condition: Callable[[], bool], *, seconds: float | None) -> None:
        """None: however long it takes."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(condition, timeout=max(seconds, 0.0) if seconds is not None else None)

    async def audit(self, order: MigrationOrder, what: str, facts: dict[str, str]) -> None:
        await workflow.execute_activity(
            needs.record,
            AuditRecord(at=workflow.now().isoformat(), what=what, migration_id=order.migration_id, facts=facts),
            start_to_close_timeout=timing.ONE_QUERY,
            retry_policy=timing.TRY_AGAIN,
        )


class GhostStory:
    """One gh-ost from its start to its swap: copy, hold, verify, release; whatever dies in between is fenced before anything goes on."""

    def __init__(self, migration: TableMigration, order: MigrationOrder, primary: PrimaryIdentity) -> None:
        self.migration = migration
        self.timing = migration.timing
        self.order = order
        self.primary = primary
        self.starts = 0
        self.attempts = 0
        self.grants = 0
        self.bad_moments = 0
        self.verified_at = self.looked_at = 0.0
        self.resumed = False
        self.deaths = 0
        self.furthest = 0
        self.current: GhostRun | None = None

    async def run(self) -> str:
        """Returns the name under which gh-ost left the original. An activity that gave up is no verdict: gh-ost is stopped first."""
        try:
            return await self.copy_hold_swap()
        except ActivityError as trouble:
            run = self.current
            if run is None:
                raise
            if await self.abort(run):
                return run.old_table
            raise Stopped(f"gh-ost was stopped before its swap, because skeebot could not go on: {trouble.cause or trouble}") from trouble

    async def copy_hold_swap(self) -> str:
        run = await self.spawn()
        seen = await self.watch(run, after_event=0)
        while True:
            match seen.event:
                case GhostEvent.HOLDING:
                    try:
                        await self.release_when_allowed(run, seen.event_number)
                    except LostWrites as lost:
                        run = await self.start_over(run, lost)
                        seen = await self.watch(run, after_event=0)
                    else:
                        seen = await self.watch(run, after_event=seen.event_number)
                case GhostEvent.SUCCEEDED:
                    return run.old_table
                case GhostEvent.FAILED:
                    if await self.swapped(run):
                        return run.old_table
                    raise Stopped(f"gh-ost stopped: {seen.detail}")
                case GhostEvent.VANISHED:
                    if await self.swapped(run):
                        return run.old_table
                    await self.count_death(run, seen)
                    run = await self.recover(run)
                    seen = await self.watch(run, after_event=0)

    async def spawn(self, *, resume_on: str = "") -> GhostRun:
        """resume_on: the host whose checkpointed run is continued; only it has the run's record."""
        self.starts += 1
        self.resumed = bool(resume_on)
        mark = hashlib.sha256(self.order.migration_id.encode()).hexdigest()[:16]
        ask = SpawnGhost(run_id=f"{mark}-{self.starts}", order=self.order, primary=self.primary, resume=bool(resume_on))
        self.current = await workflow.execute_activity(
            needs.spawn_ghost,
            ask,
            task_queue=addresses.runner_control(resume_on) if resume_on else addresses.RUNNER,
            start_to_close_timeout=timing.ONE_LOOK,
            schedule_to_start_timeout=timing.SPAWN_PATIENCE,
            retry_policy=timing.TRY_AGAIN,
        )
        return self.current

    def watching(self, run: GhostRun, after_event: int) -> workflow.ActivityHandle[GhostSeen]:
        return workflow.start_activity(
            needs.watch_ghost,
            WatchGhost(run=run, order=self.order, after_event=after_event),
            task_queue=addresses.runner_watch(run.host),
            start_to_close_timeout=timing.GHOST_RUN,
            schedule_to_start_timeout=timing.RUNNER_PATIENCE,
            heartbeat_timeout=timing.HEARTBEAT,
            retry_policy=timing.TRY_AGAIN,
        )

    async def watch(self, run: GhostRun, *, after_event: int) -> GhostSeen:
        """The next event, unless somebody aborts first."""
        watching = self.watching(run, after_event)
        await workflow.wait_condition(lambda: watching.done() or self.migration.must_stop)
        if self.migration.must_stop and not watching.done() and not await self.abort(run):
            await dismiss(watching)
            self.migration.stop_if_aborted()
        try:
            return await watching
        except ActivityError:
            return GhostSeen(event=GhostEvent.VANISHED, event_number=after_event, detail=f"the runner {run.host} does not answer")

    async def release_when_allowed(self, run: GhostRun, event_number: int) -> None:
        """gh-ost holds: compare the tables, wait for the requester's word, look at the primary once more, let go."""
        migration = self.migration
        migration.forget_release()
        self.attempts += 1
        if self.attempts > 1:
            await migration.wait(_growing(self.timing.release_back_off, self.attempts - 2))
        watching = self.watching(run, event_number)
        try:
            await self.compare_and_release(run, watching)
        except (Stopped, ActivityError) as stop:
            swapped = isinstance(stop, Stopped) and await self.abort(run, keep=self.differs and not self.resumed)
            await dismiss(watching)
            if not swapped:
                raise
        else:
            await dismiss(watching)  # what it saw, the next watch sees again

    async def compare_and_release(self, run: GhostRun, watching: workflow.ActivityHandle[GhostSeen]) -> None:
        """Until gh-ost was told to let go, or has news."""
        migration, order = self.migration, self.order
        while not watching.done():
            if not self.verified_lately and not await self.verify(run, watching):
                continue
            migration.stop_if_aborted()
            await migration.tell(order, MigrationState.HOLDING, detail=self.why_held, unproven=self.is_unproven)
            await self.wait_for_release(watching)
            if migration.released is None or not self.verified_lately:
                continue
            if await self.data_allows_release() and await self.let_go(run):
                return

    @property
    def verified_lately(self) -> bool:
        """A comparison ages: the writes after it are not covered (SAFETY §S5)."""
        verification = self.migration.verification
        return verification is not None and workflow.time() - self.verified_at < self.timing.verification_is_fresh_for

    @property
    def is_unproven(self) -> bool:
        verification = self.migration.verification
        return verification is not None and verification.outcome is Comparison.UNPROVEN

    @property
    def differs(self) -> bool:
        verification = self.migration.verification
        return verification is not None and verification.outcome is Comparison.DIFFERENT

    @property
    def why_held(self) -> str:
        verification = self.migration.verification
        if verification is None:
            return ""
        if verification.outcome is Comparison.UNPROVEN:
            resumed = " gh-ost was resumed after a death, which can lose writes: prefer `.skeefree abort`." if self.resumed else ""
            return f"The comparison could not prove every row: {verification.detail}{resumed} A DBA decides: `.skeefree cut-over`."
        return ""

    async def verify(self, run: GhostRun, watching: workflow.ActivityHandle[GhostSeen]) -> bool:
        """Returns whether there is a verdict that lets the run go on; False when gh-ost had news meanwhile."""
        comparing = workflow.start_activity(
            needs.verify,
            Verify(order=self.order, primary=self.primary, ghost_table=run.ghost_table),
            start_to_close_timeout=timing.VERIFICATION,
            heartbeat_timeout=timing.HEARTBEAT,
            retry_policy=timing.TRY_AGAIN,
        )
        await workflow.wait_condition(lambda: comparing.done() or watching.done() or self.migration.must_stop)
        if not comparing.done():
            await dismiss(comparing)
            self.migration.stop_if_aborted()
            return False
        verification = self.migration.verification = await comparing
        self.verified_at = workflow.time()
        if verification.outcome is Comparison.DIFFERENT and self.resumed:
            raise LostWrites(verification.detail)
        if verification.outcome is Comparison.DIFFERENT:
            raise Stopped(
                f"The copy differs from the original, so nothing was swapped: {verification.detail} "
                f"Both tables are kept; look at {run.ghost_table} before it is dropped."
            )
        self.deaths = 0
        return True

    async def wait_for_release(self, watching: workflow.ActivityHandle[GhostSeen]) -> None:
        migration = self.migration
        await workflow.wait_condition(lambda: self.word_is_given or watching.done() or migration.must_stop)
        migration.stop_if_aborted()

    @property
    def word_is_given(self) -> bool:
        """An unproven comparison takes a DBA's own word."""
        released, verification = self.migration.released, self.migration.verification
        if released is None or verification is None:
            return False
        if verification.outcome is Comparison.UNPROVEN and not released.accept_unproven:
            self.migration.released = None
            return False
        return True

    async def data_allows_release(self) -> bool:
        migration = self.migration
        self.looked_at = workflow.time()
        verdict: PreflightVerdict = await workflow.execute_activity(
            needs.check_release,
            CheckRelease(order=self.order, primary=self.primary),
            start_to_close_timeout=timing.ONE_LOOK,
            retry_policy=timing.TRY_AGAIN,
        )
        if verdict.refusal is None and verdict.primary is not None:
            self.bad_moments = 0
            return migration.released is not None and not migration.must_stop
        if verdict.changed:
            raise Stopped(_words(verdict), changed=True)
        await self.not_now(_words(verdict))
        return False

    async def not_now(self, why: str) -> None:
        """Hold on, longer each time; the next try needs a fresh word, for approvals may have changed meanwhile."""
        migration = self.migration
        migration.forget_release()
        await migration.wait(_growing(self.timing.release_back_off, self.bad_moments))
        self.bad_moments += 1
        await migration.tell(self.order, MigrationState.HOLDING, detail=why, unproven=self.is_unproven)

    async def let_go(self, run: GhostRun) -> bool:
        """Returns whether gh-ost was told. Where it could not be (it lags, its host is away), it holds on; the watch sees what it did."""
        migration, released = self.migration, self.migration.released
        self.grants += 1
        token = hashlib.sha256(f"{self.order.migration_id}/{run.run_id}/{self.grants}".encode()).hexdigest()
        facts = {"by": released.by if released else "", "rows_compared": self._rows(), "attempt": str(self.grants)}
        await migration.audit(self.order, "cut-over released", facts)
        if migration.released is None or migration.must_stop:
            return False  # taken back while it was written down
        if workflow.time() - self.looked_at > self.timing.look_is_fresh_for:
            return False  # writing it down took long: look at the primary again
        try:
            await workflow.execute_activity(
                needs.let_go,
                LetGo(run=run, order=self.order, token=token, looked_at=self.looked_at),
                task_queue=addresses.runner_control(run.host),
                start_to_close_timeout=timing.ONE_QUERY,
                schedule_to_start_timeout=timedelta(seconds=self.timing.look_is_fresh_for),
                retry_policy=timing.ONCE,
            )
        except ActivityError as trouble:
            await self.not_now(f"The release was not taken: {trouble.cause or trouble}")
            return False
        migration.forget_release()
        await migration.tell(self.order, MigrationState.RUNNING, detail="cutting over")
        return True

    def _rows(self) -> str:
        return str(self.migration.verification.rows) if self.migration.verification else "0"

    async def swapped(self, run: GhostRun) -> bool:
        """A crash after the swap looks like a failure: the schema itself decides."""
        proof = await self.migration.proof(self.order, self.primary, run.old_table)
        return proof.done

    async def abort(self, run: GhostRun, *, keep: bool = False) -> bool:
        """Stop gh-ost before its swap. True: the swap was faster, so the change is live and the run goes on to be proven."""
        aborted = self.migration.aborted
        reason = aborted.reason if aborted else "the comparison or the primary forbids the swap"
        try:
            stopped: GhostStopped = await workflow.execute_activity(
                needs.abort_ghost,
                AbortGhost(run=run, order=self.order, reason=reason, keep=keep),
                task_queue=addresses.runner_control(run.host),
                start_to_close_timeout=timing.ONE_LOOK,
                schedule_to_start_timeout=timing.RUNNER_PATIENCE,
                retry_policy=timing.TRY_AGAIN,
            )
        except ActivityError as trouble:
            if not isinstance(trouble.cause, TimedOut):  # it answers, and what it says is for people: nothing is cut off over it
                raise Stopped(f"gh-ost on {run.host} (pid {run.pid}) was to be stopped: {trouble.cause or trouble}") from trouble
            stopped = await self.cut_off(run)
        if not stopped.dead:
            raise Stopped(f"gh-ost on {run.host} (pid {run.pid}) could not be stopped: {stopped.detail} Stop it there by hand.")
        if stopped.swapped:
            self.migration.aborted = None
        return stopped.swapped

    async def cut_off(self, run: GhostRun) -> GhostStopped:
        """Its host does not answer: stop it at the database."""
        verdict: FenceVerdict = await workflow.execute_activity(
            needs.fence_at_database,
            Fence(run=run, order=self.order, primary=self.primary),
            start_to_close_timeout=timing.ONE_LOOK,
            retry_policy=timing.TRY_AGAIN,
        )
        return GhostStopped(dead=verdict.fenced, swapped=await self.swapped(run), detail=verdict.detail)

    async def start_over(self, run: GhostRun, lost: LostWrites) -> GhostRun:
        """The resumed copy was taken away; a new one, under a new ghost name, has nothing to lose writes with."""
        migration = self.migration
        facts = {"run": run.run_id, "ghost_table": run.ghost_table, "detail": lost.detail}
        await migration.audit(self.order, "resumed copy differed", facts)
        migration.stop_if_aborted()
        migration.verification = None
        why = "the resumed copy had lost writes, which gh-ost 1.1.10 can do; it starts again from nothing"
        await migration.tell(self.order, MigrationState.RUNNING, detail=why)
        return await self.spawn()

    async def count_death(self, run: GhostRun, seen: GhostSeen) -> None:
        """A gh-ost that dies again and again without getting further than any before it is not started for ever."""
        migration, copied = self.migration, seen.progress.rows_copied
        self.deaths = 1 if copied > self.furthest else self.deaths + 1
        self.furthest = max(self.furthest, copied)
        if self.deaths >= DEATHS_ALLOWED:
            await self.abort(run)
            migration.stop_if_aborted()
            raise Stopped(
                f"gh-ost died {self.deaths} times without getting any further; the last time: {seen.detail} "
                f"Nothing is left of its copy. Look at the runner {run.host} (memory, disk, gh-ost's log), then comment "
                "`.skeefree retry-migration`."
            )
        if self.deaths > 1:
            await migration.wait(_growing(self.timing.release_back_off, self.deaths - 2))
        if migration.must_stop and not await self.abort(run):
            migration.stop_if_aborted()

    async def recover(self, run: GhostRun) -> GhostRun:
        """Fence first (SAFETY §S2): resume only what is proven dead, start clean what is cut off, else a person decides."""
        ask = Fence(run=run, order=self.order, primary=self.primary)
        try:
            verdict: FenceVerdict = await workflow.execute_activity(
                needs.fence,
                ask,
                task_queue=addresses.runner_control(run.host),
                start_to_close_timeout=timing.ONE_LOOK,
                schedule_to_start_timeout=timing.RUNNER_PATIENCE,
                retry_policy=timing.A_FEW_TIMES,
            )
        except ActivityError:
            verdict = await workflow.execute_activity(
                needs.fence_at_database, ask, start_to_close_timeout=timing.ONE_LOOK, retry_policy=timing.A_FEW_TIMES
            )
        if not verdict.fenced:
            raise Stopped(
                f"gh-ost on {run.host} (pid {run.pid}) is gone without a word and could not be proven dead: {verdict.detail} "
                "See that it is stopped there, then comment `.skeefree retry-migration`."
            )
        self.migration.verification = None
        return await self.spawn(resume_on=run.host if verdict.resumable else "")


def _growing(first: float, times: int, *, at_most: float = 600.0) -> float:
    """Seconds: twice as long each time, up to ten minutes (an hour after a hundred times): a history holds 51,200 events."""
    return min(first * float(2 ** min(times, 20)), at_most if times < 100 else 3600.0)


def _words(verdict: PreflightVerdict) -> str:
    refusal = verdict.refusal
    return f"{refusal.what} {refusal.next}" if refusal else "The pre-flight gave no primary."
