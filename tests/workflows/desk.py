"""A desk-top world for workflow tests: GitHub, databases and gh-ost as plain state behind the declared activities.

Only the workflows are under test here, and only their decisions: the real parts have their own tests, and tests/end_to_end has them all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import _Definition as Definition

from activities.orders import OrderActivities
from activities.temporal import workflow_runner
from workflows import addresses
from workflows.by_hand import ByHand
from workflows.cluster_queue import ClusterQueue, QueueState
from workflows.messages import (
    AbortGhost,
    AuditRecord,
    ByHandResult,
    ChangedDirectory,
    Changes,
    CheckPublished,
    CheckRelease,
    CommandGiven,
    CommentPublished,
    Comparison,
    DirectDone,
    Door,
    Enqueue,
    Fence,
    FenceVerdict,
    FindChanges,
    GhostEvent,
    GhostRun,
    GhostSeen,
    GhostStopped,
    LetGo,
    MigrationOrder,
    MigrationRun,
    MigrationState,
    Narrate,
    Notice,
    OpenPullRequest,
    OrderRef,
    PlanDatabase,
    PlanStatement,
    Preflight,
    PreflightVerdict,
    PrimaryIdentity,
    Progress,
    Proof,
    Prove,
    PublishCheck,
    PublishComment,
    PullRequestSnapshot,
    React,
    ReadPullRequest,
    RequestReview,
    Rerequested,
    RunByHand,
    RunDirect,
    Say,
    SetLabels,
    SpawnGhost,
    Verification,
    Verify,
    WatchGhost,
    Woke,
)
from workflows.pull_request import PullRequest
from workflows.registry import Registry
from workflows.rules.approvals import Members, Review, ReviewState
from workflows.rules.checks import CheckState
from workflows.rules.names import DatabaseRow, Fingerprint, HeadSha, Login, PullRequestRef, Target
from workflows.rules.plan import ChangeKind, DatabasePlan, Directory, Drift, Enrolment, PlannedMigration, Refusal, Strategy
from workflows.story import Story
from workflows.sweep import Round, Sweep
from workflows.table_migration import TableMigration
from workflows.timing import Timing

_prepared: set[str] = set()


class SandboxPreparedOnce(SandboxedWorkflowRunner):
    """The product's sandbox. It tries each workflow once a test process instead of once a worker, of which every test has four."""

    def prepare_workflow(self, defn: Definition) -> None:
        if (name := defn.name or "") not in _prepared:
            super().prepare_workflow(defn)
            _prepared.add(name)


WORKFLOWS = [PullRequest, ClusterQueue, TableMigration, Registry, Sweep, Round, ByHand]

QUICK = Timing(
    snapshot_spacing=0.02,
    look_for_news=(0.3, 0.3, 0.3),
    narrate_every=0.2,
    release_back_off=0.05,
    retry_preflight=0.05,
    plan_again_after=0.2,
    plan_again_at_most=0.4,
)

AUTHOR, OWNER, DBA, STRANGER = Login("ada"), Login("olga"), Login("dirk"), Login("mallory")
FIRST, SECOND, THIRD = HeadSha("a" * 40), HeadSha("b" * 40), HeadSha("c" * 40)


def directory(environment: str, database: str = "orders") -> Directory:
    return Directory(path=database, database=database, environment=environment, cluster=environment, schema=f"shop_{database}")


def migration(
    environment: str = "staging",
    database: str = "orders",
    *,
    table: str = "orders",
    strategy: Strategy = Strategy.GH_OST,
    kind: ChangeKind = ChangeKind.ALTER_TABLE,
    shard: str = "a",
    statement: str = "ALTER TABLE `orders` ADD COLUMN `note` varchar(20)",
    **more: Any,
) -> PlannedMigration:
    target = Target(environment=environment, database=database, cluster=environment, shard=shard, schema=f"shop_{database}", table=table)
    return PlannedMigration(
        target=target,
        kind=kind,
        statement=statement,
        strategy=strategy,
        why="",
        fingerprint=Fingerprint("f" * 64),
        expected="e" * 64,
        **more,
    )


@dataclass
class Desk:
    """Everything that the activities see. Change it, then wake the workflow."""

    client: Client
    ref: PullRequestRef = field(default_factory=lambda: PullRequestRef("acme", "shop", 1))
    head_sha: HeadSha = FIRST
    base_ref: str = "main"
    base_sha: str = "0" * 40
    state: str = "open"
    labels: set[str] = field(default_factory=set)
    reviews: list[Review] = field(default_factory=list)
    members: Members = field(default_factory=lambda: Members(owners=frozenset({OWNER, AUTHOR}), dbas=frozenset({DBA})))
    commands: list[CommandGiven] = field(default_factory=list)
    twins: tuple[int, ...] = ()
    base_requires_check: bool = True
    base_protected: bool = True
    enrolment: Enrolment | None = None
    plan: dict[tuple[HeadSha, str], tuple[PlannedMigration, ...]] = field(default_factory=dict)
    """(head, environment) → what the diff would say while nothing was applied."""
    merge_refusals: list[Refusal] = field(default_factory=list)
    """What the next questions for the test merge are answered with, one each."""
    plan_refusals: list[Refusal] = field(default_factory=list)
    """The same for plans."""
    drift: tuple[Drift, ...] = ()
    places: tuple[ChangedDirectory, ...] = ()
    """Directories that the pull request changes as well."""
    live: set[Target] = field(default_factory=set)
    """Targets whose migration was applied."""
    clock: int = 0
    checks: list[tuple[str, int, CheckState, HeadSha]] = field(default_factory=list)
    """What was published, in order."""
    comments: list[PublishComment] = field(default_factory=list)
    said: list[Say] = field(default_factory=list)
    reactions: list[React] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    looks: int = 0
    asked: list[ReadPullRequest] = field(default_factory=list)
    spawned: list[SpawnGhost] = field(default_factory=list)
    aborted: list[AbortGhost] = field(default_factory=list)
    grants: list[LetGo] = field(default_factory=list)
    woken: list[Woke] = field(default_factory=list)
    ghost_events: dict[str, list[GhostEvent]] = field(default_factory=dict)
    copying: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: gh-ost's copies finish at once."""
    preflight_answer: Callable[[Preflight], PreflightVerdict] | None = None
    release_answer: Callable[[CheckRelease], PreflightVerdict] | None = None
    verification: Comparison = Comparison.EQUAL
    verifications: list[Comparison] = field(default_factory=list)
    """What the next comparisons say; `verification` when there are none left."""
    trouble: Callable[[object], Exception | None] = lambda _: None
    """What GitHub or a runner answers instead, by what it is asked."""
    timing: Timing = QUICK
    """Of the workflows that are started from now on."""
    cut_over_failures: int = 0
    rows_copied: int = 0
    orders_read: int = 0
    preflights: int = 0
    cut_off: int = 0
    """How often a gh-ost was stopped at the database."""
    repositories: list[str] = field(default_factory=list)
    listed: dict[int, str] = field(default_factory=dict)
    """Open pull requests of every repository → when each changed. Empty: this one, just now."""
    stories: list[int] = field(default_factory=list)
    redelivered_since: list[str] = field(default_factory=list)
    hand_plans: dict[str, tuple[PlannedMigration, ...]] = field(default_factory=dict)

    planning: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: plans take for ever."""

    def __post_init__(self) -> None:
        self.copying.set()
        self.planning.set()
        if self.enrolment is None:
            self.enrolment = Enrolment(
                repository=self.ref.repository,
                owner_team="owners",
                databases_team="dbas",
                directories=(directory("staging"), directory("production")),
            )
        if not self.plan:
            for environment in ("staging", "production"):
                self.plan[(FIRST, environment)] = (migration(environment),)

    # ── What people do ──

    def now(self) -> str:
        """GitHub's clock moves on with every question, so that no two moments are the same."""
        self.clock += 1
        return f"2026-11-22T{self.clock // 3600:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}Z"

    def approve(self, login: Login, *, head: HeadSha | None = None, state: ReviewState = ReviewState.APPROVED) -> None:
        self.reviews.append(
            Review(id=len(self.reviews) + 1, login=login, state=state, commit_id=head or self.head_sha, submitted_at=self.now())
        )

    def push(self, head: HeadSha, *migrations: PlannedMigration) -> None:
        self.head_sha = head
        for environment in ("staging", "production"):
            self.plan[(head, environment)] = tuple(one for one in migrations if one.target.environment == environment)

    def comment(self, login: Login, line: str) -> None:
        number = len(self.commands) + 1
        self.commands.append(CommandGiven(id=f"comment/{number}/1", actor=login, line=line, door=Door.COMMENT, comment_id=number))

    async def press(self, login: Login, line: str = "", *, head: HeadSha | None = None, generation: int | None = None) -> None:
        """A button of the aggregate check that this head showed last, or "Re-run"."""
        sha = head or self.head_sha
        shown = generation or max((number for name, number, _, at in self.checks if (name, at) == ("SchemaBot", sha)), default=0)
        guid = f"guid-{self.now()}"
        pressed = Rerequested(self.ref, head_sha=sha, actor=login, identifier=line, guid=guid, check="SchemaBot", generation=shown)
        await self.story().signal(PullRequest.hear, pressed)

    async def until_looked(self, times: int = 1) -> None:
        """Wake it, and wait until it has looked and dealt with what it saw."""
        for _ in range(times):
            looks = self.looks
            await self.wake()
            await self.until(lambda looks=looks: self.looks > looks)  # type: ignore[misc]  # bound in this round
        await self.story().query(PullRequest.view)

    async def wake(self, reason: str = "test") -> None:
        await self.client.start_workflow(
            PullRequest.run,
            Story(ref=self.ref, timing=self.timing),
            id=addresses.pull_request(self.ref),
            task_queue=addresses.CONTROL,
            start_signal="hear",
            start_signal_args=[Woke(ref=self.ref, reason=reason)],
        )

    # ── What can be seen ──

    def current(self, name: str = "SchemaBot", head: HeadSha | None = None) -> CheckState | None:
        """The newest run's state on a head."""
        found = [state for one, _, state, sha in self.checks if one == name and sha == (head or self.head_sha)]
        return found[-1] if found else None

    async def until(self, condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Poll; a failure shows what was seen."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(
                f"{await self._what_runs()}\nit never came to that: checks {self.checks[-6:]}, labels {self.labels}, "
                f"stage {self.comments[-1].view.stage if self.comments else None}, said {[one.announcement for one in self.said]}"
            ) from None

    def by_hand(self, *migrations: PlannedMigration) -> "Operator":
        return Operator(self, migrations)

    def story(self) -> WorkflowHandle[PullRequest, str]:
        return self.client.get_workflow_handle_for(PullRequest.run, addresses.pull_request(self.ref))

    def queue(self) -> WorkflowHandle[ClusterQueue, None]:
        return self.client.get_workflow_handle_for(ClusterQueue.run, addresses.cluster_queue("staging", "a"))

    async def until_standing(self, queue: WorkflowHandle[Any, Any], *, running: int, waiting: int) -> None:
        async with asyncio.timeout(20):
            while True:
                standing = await queue.query(ClusterQueue.standing)
                if (running, waiting) == (len(standing.running), len(standing.waiting)):
                    return
                await asyncio.sleep(0.02)

    async def runs_of(self, handle: WorkflowHandle[Any, Any]) -> list[MigrationRun]:
        return await handle.query(ByHand.standing)

    async def until_run(self, handle: WorkflowHandle[Any, Any], state: MigrationState) -> None:
        async with asyncio.timeout(20):
            while not any(run.state is state for run in await self.runs_of(handle)):
                await asyncio.sleep(0.02)

    async def _what_runs(self) -> str:
        lines = []
        async for one in self.client.list_workflows("ExecutionStatus = 'Running'"):
            handle = self.client.get_workflow_handle(one.id)
            events = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") async for event in handle.fetch_history_events()]
            description = await handle.describe()
            pending = [
                f"{task.activity_type.name} attempt {task.attempt} {task.last_failure.message}"
                for task in description.raw_description.pending_activities
            ]
            lines.append(f"{one.id}: {', '.join(events[-6:])}; pending: {pending}")
        return "\n".join(lines)

    async def until_stage(self, stage: str, *, seconds: float = 20.0) -> None:
        await self.until(lambda: bool(self.comments) and self.comments[-1].view.stage == stage, seconds=seconds)

    # ── The activities ──

    def _be_in_trouble(self, ask: object) -> None:
        if (wrong := self.trouble(ask)) is not None:
            raise wrong

    def activities(self) -> list[Callable[..., Any]]:
        return [getattr(self, name) for name in dir(type(self)) if hasattr(getattr(type(self), name), "__temporal_activity_definition")]

    @activity.defn
    async def read_pull_request(self, ask: ReadPullRequest) -> PullRequestSnapshot:
        self.looks += 1
        self.asked.append(ask)
        self._be_in_trouble(ask)
        fresh = tuple(one for one in self.commands if one.comment_id > ask.comment_cursor)
        return PullRequestSnapshot(
            ref=self.ref,
            state=self.state,  # type: ignore[arg-type]  # the test's own words
            title="Add a note",
            author=AUTHOR,
            head_sha=self.head_sha,
            base_ref=self.base_ref,
            base_sha=self.base_sha,
            now=self.now(),
            labels=tuple(sorted(self.labels)),
            reviews=tuple(self.reviews),
            members=self.members,
            commands=fresh,
            comment_cursor=max([ask.comment_cursor, *(one.comment_id for one in fresh)]),
            twins=self.twins,
            base_protected=self.base_protected,
            base_requires_check=self.base_requires_check,
            enrolment=self.enrolment,
            comment_shown=bool(self.comments),
        )

    @activity.defn
    async def set_labels(self, ask: SetLabels) -> None:
        self.labels = (self.labels - ask.protocol.labels.ours()) | set(ask.wanted)

    @activity.defn
    async def publish_comment(self, ask: PublishComment) -> CommentPublished:
        self.comments.append(ask)
        return CommentPublished(comment_id=1, at=self.now())

    @activity.defn
    async def publish_check(self, ask: PublishCheck) -> CheckPublished:
        self._be_in_trouble(ask)
        self.checks.append((ask.run.name, ask.run.generation, ask.run.state, ask.run.head_sha))
        return CheckPublished(run_id=len(self.checks), at=self.now())

    @activity.defn
    async def say(self, ask: Say) -> None:
        self._be_in_trouble(ask)
        self.said.append(ask)

    @activity.defn
    async def request_review(self, ask: RequestReview) -> None:
        self._be_in_trouble(ask)

    @activity.defn
    async def react(self, ask: React) -> None:
        self._be_in_trouble(ask)
        self.reactions.append(ask)

    @activity.defn
    async def narrate(self, ask: Narrate) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    @activity.defn
    async def wake_pull_request(self, message: Woke) -> None:
        self.woken.append(message)

    @activity.defn
    async def list_open_pull_requests(self, repository: str, base: str) -> list[OpenPullRequest]:
        return [
            OpenPullRequest(number=number, head_sha=self.head_sha, base_ref=self.base_ref, changed_at=at, repository=self.ref.repository)
            for number, at in (self.listed or {self.ref.number: self.now()}).items()
        ]

    @activity.defn
    async def redeliver_failed(self, since: str) -> int:
        self.redelivered_since.append(since)
        return 0

    @activity.defn
    async def list_repositories(self) -> list[str]:
        return self.repositories

    @activity.defn
    async def list_stories(self, repository: str) -> list[int]:
        return self.stories

    @activity.defn
    async def read_enrolment(self, repository: str) -> Enrolment | None:
        return self.enrolment

    @activity.defn
    async def find_changes(self, ask: FindChanges) -> Changes:
        if self.merge_refusals:
            return Changes(refusal=self.merge_refusals.pop(0))
        directories = tuple(
            ChangedDirectory(row=DatabaseRow(environment=environment, database="orders"), path="orders", tables=("orders",))
            for (head, environment), migrations in sorted(self.plan.items())
            if head == ask.head_sha and migrations
        )
        return Changes(merge_sha=ask.head_sha, base_sha=ask.base_sha, directories=(*directories, *self.places))

    @activity.defn
    async def plan_database(self, ask: PlanDatabase) -> DatabasePlan:
        await self.planning.wait()
        if self.plan_refusals:
            return DatabasePlan(row=ask.directory.row, refusal=self.plan_refusals.pop(0))
        planned = self.plan.get((HeadSha(ask.changes.merge_sha), ask.directory.row.environment), ())
        left = tuple(one for one in planned if one.target not in self.live)
        drift = tuple(one for one in self.drift if one.target.row == ask.directory.row)
        return DatabasePlan(row=ask.directory.row, migrations=left, drift=drift)

    @activity.defn
    async def plan_statement(self, ask: PlanStatement) -> DatabasePlan:
        return DatabasePlan(row=DatabaseRow(environment=ask.environment, database=ask.schema), migrations=self.hand_plans[ask.statement])

    @activity.defn
    async def enqueue(self, ask: Enqueue) -> None:
        entry = ask.entry
        await self.client.start_workflow(
            ClusterQueue.run,
            QueueState(cluster=entry.cluster, shard=entry.shard, timing=self.timing),
            id=addresses.cluster_queue(entry.cluster, entry.shard),
            task_queue=addresses.CONTROL,
            start_signal="hear",
            start_signal_args=[entry],
        )

    @activity.defn
    async def read_order(self, ref: OrderRef) -> MigrationOrder:
        self.orders_read += 1
        return await OrderActivities(self.client, self.timing).read_order(ref)

    @activity.defn
    async def list_running_migrations(self, cluster: str, shard: str) -> list[str]:
        return await OrderActivities(self.client, self.timing).list_running_migrations(cluster, shard)

    @activity.defn
    async def is_running(self, workflow_id: str) -> bool:
        return True

    @activity.defn
    async def preflight(self, ask: Preflight) -> PreflightVerdict:
        self.preflights += 1
        if self.preflight_answer is not None:
            return self.preflight_answer(ask)
        return PreflightVerdict(primary=PrimaryIdentity(address="127.0.0.1:1", server_uuid="u"))

    @activity.defn
    async def run_direct(self, ask: RunDirect) -> DirectDone:
        self.live.add(ask.order.migration.target)
        return DirectDone(seconds=0.1)

    @activity.defn
    async def spawn_ghost(self, ask: SpawnGhost) -> GhostRun:
        self.spawned.append(ask)
        self.ghost_events.setdefault(ask.run_id, [])
        table = ask.order.migration.target.table
        return GhostRun(
            run_id=ask.run_id,
            host="desk",
            pid=1,
            started="1",
            ghost_table=f"_{table}_gho",
            changelog_table=f"_{table}_ghc",
            checkpoint_table=f"_{table}_ghk",
            old_table=f"_{table}_del",
        )

    @activity.defn
    async def watch_ghost(self, ask: WatchGhost) -> GhostSeen:
        events = self.ghost_events[ask.run.run_id]
        while True:
            activity.heartbeat()
            if not events and self.copying.is_set():
                events.append(GhostEvent.HOLDING)
            if len(events) > ask.after_event:
                progress = Progress(rows_copied=self.rows_copied)
                return GhostSeen(event=events[ask.after_event], event_number=ask.after_event + 1, progress=progress)
            await asyncio.sleep(0.02)

    @activity.defn
    async def let_go(self, ask: LetGo) -> None:
        self.grants.append(ask)
        events = self.ghost_events[ask.run.run_id]
        if self.cut_over_failures:
            self.cut_over_failures -= 1
            events.append(GhostEvent.HOLDING)
            return
        self.live.add(ask.order.migration.target)
        events.append(GhostEvent.SUCCEEDED)

    @activity.defn
    async def abort_ghost(self, ask: AbortGhost) -> GhostStopped:
        self._be_in_trouble(ask)
        self.aborted.append(ask)
        return GhostStopped(dead=True, swapped=ask.order.migration.target in self.live)

    @activity.defn
    async def fence(self, ask: Fence) -> FenceVerdict:
        return FenceVerdict(fenced=True, resumable=True)

    @activity.defn
    async def fence_at_database(self, ask: Fence) -> FenceVerdict:
        self.cut_off += 1
        return FenceVerdict(fenced=True)

    @activity.defn
    async def verify(self, ask: Verify) -> Verification:
        outcome = self.verifications.pop(0) if self.verifications else self.verification
        return Verification(outcome=outcome, rows=500, at=self.now(), detail="key 7")

    @activity.defn
    async def check_release(self, ask: CheckRelease) -> PreflightVerdict:
        if self.release_answer is not None:
            return self.release_answer(ask)
        return PreflightVerdict(primary=ask.primary)

    @activity.defn
    async def prove(self, ask: Prove) -> Proof:
        return Proof(done=ask.order.migration.target in self.live)

    @activity.defn
    async def notify(self, notice: Notice) -> None:
        self.notices.append(notice)

    @activity.defn
    async def record(self, entry: AuditRecord) -> None:
        self.records.append(entry)


@dataclass
class Operator:
    """Somebody who sends statements by hand."""

    desk: Desk
    migrations: tuple[PlannedMigration, ...]

    async def start(self, name: str) -> WorkflowHandle[ByHand, ByHandResult]:
        statement = self.migrations[0].statement
        self.desk.hand_plans[statement] = self.migrations
        ask = RunByHand(name=name, ask=PlanStatement(cluster="staging", schema="shop_orders", statement=statement), actor=OWNER)
        return await self.desk.client.start_workflow(
            ByHand.run, ask, id=addresses.by_hand(f"{self.desk.ref.number}-{name}"), task_queue=addresses.CONTROL
        )


@asynccontextmanager
async def working(desk: Desk) -> AsyncIterator[None]:
    """Workers for every queue."""
    queues = (addresses.CONTROL, addresses.RUNNER, addresses.runner_watch("desk"), addresses.runner_control("desk"))
    async with AsyncExitStack() as stack:
        for queue in queues:
            worker = Worker(
                desk.client,
                task_queue=queue,
                workflows=WORKFLOWS if queue == addresses.CONTROL else [],
                activities=desk.activities(),
                workflow_runner=SandboxPreparedOnce(restrictions=workflow_runner().restrictions),
                max_heartbeat_throttle_interval=timedelta(milliseconds=50),  # a cancellation arrives with a heartbeat's answer
            )
            await stack.enter_async_context(worker)
        yield
