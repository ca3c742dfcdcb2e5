"""One statement that an operator sends by hand, through the same plan, queue and migrations as a pull request's."""

from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import addresses, needs, timing
from workflows.messages import Abort, ByHandResult, Enqueue, MigrationMoved, MigrationOrder, MigrationRun, Release, RunByHand
from workflows.orders import entry_of, signal
from workflows.rules.names import MigrationId, PlanDigest
from workflows.rules.plan import DatabasePlan, Strategy, digest_of
from workflows.rules.stages import MigrationState


@workflow.defn
class ByHand:
    @workflow.init
    def __init__(self, ask: RunByHand) -> None:
        self.ask = ask
        self.runs: dict[str, MigrationRun] = {}
        self.digest = PlanDigest("")
        self.news: list[MigrationMoved] = []

    @workflow.run
    async def run(self, ask: RunByHand) -> ByHandResult:
        plan = await self.plan(ask)
        if isinstance(plan, ByHandResult):
            return plan
        self.digest = digest_of([plan])
        for one in plan.migrations:
            name = MigrationId(f"by-hand/{ask.name}:{one.target}:{one.position}")
            self.runs[name] = MigrationRun(migration_id=name, migration=one, state=MigrationState.QUEUED)
        for run in list(self.runs.values()):
            entry = entry_of(run, requester=workflow.info().workflow_id)
            await workflow.execute_activity(
                needs.enqueue, Enqueue(entry=entry), start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.TRY_AGAIN
            )
        while not all(run.state.settled for run in self.runs.values()):
            await workflow.wait_condition(lambda: bool(self.news))
            await self.follow()
        return self.result()

    @workflow.signal
    def hear(self, message: MigrationMoved) -> None:
        self.news.append(message)

    @workflow.query
    def order(self, migration_id: str) -> MigrationOrder:
        return MigrationOrder(
            migration_id=MigrationId(migration_id),
            requester=workflow.info().workflow_id,
            migration=self.runs[migration_id].migration,
            digest=self.digest,
            approved_by=(self.ask.actor,),
        )

    @workflow.query
    def standing(self) -> list[MigrationRun]:
        return list(self.runs.values())

    async def plan(self, ask: RunByHand) -> DatabasePlan | ByHandResult:
        """The plan, or the refusal in the words that the command line shows."""
        try:
            plan = await workflow.execute_activity(
                needs.plan_statement,
                ask.ask,
                start_to_close_timeout=timing.ONE_PLAN,
                heartbeat_timeout=timing.HEARTBEAT,
                retry_policy=timing.A_FEW_TIMES,
            )
        except ActivityError as trouble:
            return ByHandResult(outcome="refused", text=f"{trouble.cause or trouble}")
        if plan.refusal is not None:
            return ByHandResult(outcome="refused", text=f"{plan.refusal.what} {plan.refusal.next}")
        manual = [one for one in plan.migrations if one.strategy is Strategy.MANUAL]
        if manual or not plan.migrations:
            why = manual[0].why if manual else "It would change nothing."
            return ByHandResult(outcome="refused", text=f"skeebot does not run this statement: {why}")
        unsafe = [risk.text for one in plan.migrations for risk in one.risks if risk.unsafe]
        if unsafe and not ask.allow_unsafe:
            text = f"This loses data or protection: {' '.join(dict.fromkeys(unsafe))} If that is meant, add --allow-unsafe."
            return ByHandResult(outcome="refused", text=text)
        return plan

    async def follow(self) -> None:
        """The operator's word is the approval: a held cut-over is let go as soon as the data allows it."""
        heard, self.news = self.news, []
        for one in heard:
            run = self.runs.get(one.migration_id)
            if run is None or run.state.settled:
                continue
            self.runs[one.migration_id] = replace(
                run,
                state=one.state,
                detail=one.detail,
                rows_compared=one.rows_compared or run.rows_compared,
                seconds=one.seconds or run.seconds,
                quarantined_as=one.quarantined_as or run.quarantined_as,
            )
            where = addresses.table_migration(run.migration.target)
            if one.state is MigrationState.READY:
                await signal(where, Release(run.migration_id, digest=self.digest, by=self.ask.actor, phase="start"))
            elif one.state is MigrationState.HOLDING and one.unproven:
                reason = f"nobody is there to decide: {one.detail}"
                await signal(where, Abort(migration_id=run.migration_id, by=self.ask.actor, reason=reason))
            elif one.state is MigrationState.HOLDING:
                await signal(where, Release(run.migration_id, digest=self.digest, by=self.ask.actor))

    def result(self) -> ByHandResult:
        runs = tuple(self.runs.values())
        bad = [f"{run.migration.target}: {run.state.value}: {run.detail}" for run in runs if run.state is not MigrationState.COMPLETE]
        if bad:
            return ByHandResult(outcome="failed", text="\n".join(bad), runs=runs)
        return ByHandResult(outcome="complete", text=f"complete on {len(runs)} shard{'s' if len(runs) != 1 else ''}", runs=runs)
