"""One table on one shard: pre-flight, run, verify, release, prove, record.

The schema is the truth: exit codes and events are hints, what the table looks like on its primary decides. The cut-over is always held,
and released here after the data was looked at, on the requester's word that the approvals still hold.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import needs, timing
from workflows.ghost_story import GhostStory
from workflows.messages import (
    Abort,
    Applied,
    AuditRecord,
    DirectDone,
    Hold,
    MigrationMoved,
    MigrationOrder,
    OrderRef,
    Preflight,
    PrimaryIdentity,
    Proof,
    Prove,
    Quarantined,
    Release,
    RunDirect,
    TurnIdle,
    TurnWanted,
    Verification,
)
from workflows.orders import signal
from workflows.rules.names import HeadSha, quarantine_name
from workflows.rules.plan import ChangeKind, Strategy
from workflows.rules.stages import MigrationState
from workflows.stopping import Stopped, growing, in_words
from workflows.timing import Timing
from workflows.trouble import is_for_people

MigrationMessage = Release | Hold | Abort | TurnWanted


@dataclass(frozen=True)
class MigrationWork:
    """The input: where the order can be read, and for which queue this runs."""

    order: OrderRef
    queue: str
    timing: Timing = field(default_factory=Timing)


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
            await asyncio.sleep(growing(self.timing.ask_for_requester, times, at_most=3600.0))
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
            reason = in_words(verdict)
            if not verdict.retry or workflow.time() >= give_up_at:
                raise Stopped(reason, changed=verdict.changed)
            self.may_start = None  # the next try needs a fresh word: approvals are asked for again
            await self.offer_turn(order, reason)
            await self.until(lambda: self.must_stop or self.turn_is_wanted, seconds=growing(self.timing.retry_preflight, attempt))
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
