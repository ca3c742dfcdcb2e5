"""The background work of a pull request: planning its databases, and proving them clean after they ran."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import timing
from workflows.messages import ChangedDirectory, Changes, FindChanges, PlanDatabase, Woke
from workflows.needs import find_changes, plan_database
from workflows.rules.names import DatabaseRow
from workflows.rules.plan import DatabasePlan, Refusal, Strategy
from workflows.rules.stages import MigrationState
from workflows.story import Campaign, Story, row_key


class Planning:
    """At most one task at a time; a new head cancels the planning of the old."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self._task: asyncio.Task[None] | None = None
        self._news = False

    @property
    def busy(self) -> bool:
        """Something is being planned or proven, or was and nobody has looked at it yet."""
        return self._news or (self._task is not None and not self._task.done())

    @property
    def has_news(self) -> bool:
        """Something was planned or proven that nobody has looked at yet."""
        return self._news

    def take_news(self) -> None:
        self._news = False

    @property
    def is_due_again(self) -> bool:
        """What was refused may have passed by now."""
        return bool(self.story.plan_again_at) and workflow.time() >= self.story.plan_again_at and not self.busy

    def start(self) -> None:
        """Of something new, or once more of what was refused: then what is shown stays until it is known how it went this time."""
        story, key = self.story, self.story.plan_key()
        if self._task is not None:
            self._task.cancel()
        once_more = story.planned_for == key
        if not once_more:
            story.planned_for, story.planned_in_vain = key, 0
            story.changes, story.plans = None, {}
        story.plan_again_at = 0.0
        self._task = asyncio.create_task(self._plan(key, once_more=once_more))

    def prove(self) -> None:
        campaign = self.story.campaign
        if campaign is not None and not self.busy:
            campaign.proving = True
            self._task = asyncio.create_task(self._prove(campaign))

    async def _plan(self, key: str, *, once_more: bool) -> None:
        story, plans = self.story, dict[str, DatabasePlan]()
        try:
            changes = await self._find_changes()
            if not once_more:
                story.changes, story.plans = changes, plans
                self._news = True
            if changes.refusal is None:
                await asyncio.gather(*(self._plan_row(row, places, changes, plans) for row, places in _by_row(changes).items()))
            story.changes, story.plans = changes, plans
            story.note_planned(workflow.time())
            # A plan that was approved before (the base moved, the digest did not) is carried out on a fresh look only.
            self.story.inbox.append(Woke(ref=self.story.ref, reason="planned"))
        except asyncio.CancelledError:
            if self.story.planned_for == key:
                self.story.planned_for = ""  # cancelled without a successor: plan again at the next look
            raise
        finally:
            self._news = True

    async def _find_changes(self) -> Changes:
        snapshot, enrolment = self.story.snapshot, self.story.enrolment
        if snapshot is None or enrolment is None:
            return Changes()
        ask = FindChanges(
            ref=self.story.ref,
            head_sha=snapshot.head_sha,
            base_sha=snapshot.base_sha,
            enrolment=enrolment,
            from_fork=snapshot.from_fork,
            allow_fork=self.story.fork_allowed_for == snapshot.head_sha,
        )
        try:
            return await workflow.execute_activity(
                find_changes,
                ask,
                start_to_close_timeout=timing.ONE_PLAN,
                heartbeat_timeout=timing.HEARTBEAT,
                retry_policy=timing.A_FEW_TIMES,
            )
        except ActivityError as trouble:
            if is_cancelled_exception(trouble):
                raise
            return Changes(refusal=_looked_at_again(_could_not("read the pull request's schema files", trouble)))

    async def _plan_row(self, row: DatabaseRow, places: list[ChangedDirectory], changes: Changes, plans: dict[str, DatabasePlan]) -> None:
        if len(places) > 1:
            plan = DatabasePlan(row=row, refusal=_one_row_for_several(row, places))
        else:
            plan = await self._plan_database(places[0], changes)
        if plan.refusal is not None and plan.refusal.passing:
            plan = replace(plan, refusal=_looked_at_again(plan.refusal))
        others = sum(len(repr(one)) for one in plans.values())
        if others + len(repr(plan)) > PLANS_TOGETHER:
            plan = DatabasePlan(row=row, refusal=_too_much(row))
        plans[row_key(row)] = plan
        self._news = True

    async def _plan_database(self, directory: ChangedDirectory, changes: Changes) -> DatabasePlan:
        snapshot, enrolment = self.story.snapshot, self.story.enrolment
        if snapshot is None or enrolment is None:
            return DatabasePlan(row=directory.row, refusal=_nothing_known(directory.row))
        ask = PlanDatabase(
            ref=self.story.ref,
            head_sha=snapshot.head_sha,
            changes=changes,
            directory=directory,
            enrolment=enrolment,
            completed=self.story.completed_targets,
            acknowledged=tuple(self.story.drift_kept),
        )
        try:
            return await workflow.execute_activity(
                plan_database,
                ask,
                start_to_close_timeout=timing.ONE_PLAN,
                heartbeat_timeout=timing.HEARTBEAT,
                retry_policy=timing.A_FEW_TIMES,
            )
        except ActivityError as trouble:
            if is_cancelled_exception(trouble):
                raise
            return DatabasePlan(row=directory.row, refusal=_could_not(f"plan {row_key(directory.row)}", trouble))

    async def _prove(self, campaign: Campaign) -> None:
        """Diff the environment that ran again, as it was approved; leave a verdict on each of its rows."""
        try:
            directories = [one for one in campaign.changes.directories if one.row.environment == campaign.environment]
            plans = await asyncio.gather(*(self._plan_database(one, campaign.changes) for one in directories))
            for plan in plans:
                self._judge(campaign, plan)
            campaign.proved_at = True
            if all(row_key(one.row) in campaign.proven for one in directories):
                campaign.next_environment()
        finally:
            campaign.proving = False
            # The next environment starts on a fresh look: memberships and approvals are asked again before its first table.
            self.story.inbox.append(Woke(ref=self.story.ref, reason="proven"))

    def _judge(self, campaign: Campaign, plan: DatabasePlan) -> None:
        key = row_key(plan.row)
        by_hand = {run.migration.target for run in campaign.runs.values() if run.state is MigrationState.MANUAL}
        left = [one for one in plan.migrations if one.strategy is not Strategy.MANUAL or one.target not in by_hand]
        if plan.refusal is not None:
            campaign.unproven[key] = f"{plan.refusal.what} {plan.refusal.next}"
        elif left:
            campaign.unproven[key] = "; ".join(f"{one.target}: {one.statement}" for one in left)[:2000]
        elif not plan.migrations:
            campaign.proven.append(key)
        if campaign.head_sha == self.story.head_sha and plan.refusal is None:
            self.story.plans[key] = plan


def _by_row(changes: Changes) -> dict[DatabaseRow, list[ChangedDirectory]]:
    rows: dict[DatabaseRow, list[ChangedDirectory]] = {}
    for one in changes.directories:
        rows.setdefault(one.row, []).append(one)
    return rows


def _could_not(what: str, trouble: ActivityError) -> Refusal:
    return Refusal(
        code="trouble",
        what=f"skeebot could not {what}: {trouble.cause or trouble}",
        next="When the cause is mended, comment `.skeefree retry-migration`.",
        passing=True,
    )


def _looked_at_again(refusal: Refusal) -> Refusal:
    """In words what `passing` means where a pull request is planned. A proof and a statement by hand are not repeated by themselves."""
    return replace(refusal, next=f"{refusal.next} It is also looked at again by itself.")


def _one_row_for_several(row: DatabaseRow, places: list[ChangedDirectory]) -> Refusal:
    """One plan, one approval and one check stand for one directory: with two, the second would pass for both."""
    paths = " and ".join(f"`{one.path}`" for one in places)
    return Refusal(
        code="shared-row",
        what=f"{paths} are both mapped to {row_key(row)}.",
        next=f"An operator gives one of them another --database: `starter.py repo-unmap owner/name PATH --environment {row.environment}`,"
        " then `starter.py repo-map …`.",
    )


PLANS_TOGETHER = 256_000
"""Characters of all plans of one pull request: they travel through histories and views together, and Temporal's limit is 2 MB."""


def _too_much(row: DatabaseRow) -> Refusal:
    return Refusal(
        code="plan-too-large",
        what=f"With {row_key(row)} the plans of this pull request are larger than 256 KB together.",
        next="Split the change into several pull requests.",
    )


def _nothing_known(row: DatabaseRow) -> Refusal:
    return Refusal(code="trouble", what=f"Nothing is known of {row_key(row)}.", next="Comment `.skeefree retry-migration`.")
