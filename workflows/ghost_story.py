"""One table under gh-ost: copy, hold, compare, release, swap.

Whatever dies in between is fenced before anything goes on, and the table's definition on its primary decides what happened.
"""

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow
from temporalio.exceptions import ActivityError
from temporalio.exceptions import TimeoutError as TimedOut

from workflows import addresses, needs, timing
from workflows.dismissal import dismiss
from workflows.messages import (
    AbortGhost,
    CheckRelease,
    Comparison,
    Fence,
    FenceVerdict,
    GhostEvent,
    GhostRun,
    GhostSeen,
    GhostStopped,
    LetGo,
    MigrationOrder,
    PreflightVerdict,
    PrimaryIdentity,
    SpawnGhost,
    Verify,
    WatchGhost,
)
from workflows.rules.stages import MigrationState
from workflows.stopping import LostWrites, Stopped, growing, in_words

if TYPE_CHECKING:
    from workflows.table_migration import TableMigration

DEATHS_ALLOWED = 5
"""So many in a row, each before anything more was copied or a comparison allowed the swap."""


class GhostStory:
    """One gh-ost from its start to its swap: copy, hold, verify, release; whatever dies in between is fenced before anything goes on."""

    def __init__(self, migration: "TableMigration", order: MigrationOrder, primary: PrimaryIdentity) -> None:
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
            await migration.wait(growing(self.timing.release_back_off, self.attempts - 2))
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
            raise Stopped(in_words(verdict), changed=True)
        await self.not_now(in_words(verdict))
        return False

    async def not_now(self, why: str) -> None:
        """Hold on, longer each time; the next try needs a fresh word, for approvals may have changed meanwhile."""
        migration = self.migration
        migration.forget_release()
        await migration.wait(growing(self.timing.release_back_off, self.bad_moments))
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
            await migration.wait(growing(self.timing.release_back_off, self.deaths - 2))
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
