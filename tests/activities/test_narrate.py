"""The narrator against a real Temporal server: what heartbeats say is in the comment, and nothing else writes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.errors import TryAgain
from activities.narrate import Narrator
from embedded.temporal import TemporalServer
from tests.golden import samples
from workflows import addresses
from workflows.messages import MigrationRun, Narrate, Progress, PullRequestView
from workflows.rules.plan import PlannedMigration
from workflows.rules.stages import MigrationState, Stage

HALFWAY = Progress(percent=50.0, rows_copied=5, rows_total=10, eta_seconds=7.0, phase="migrating")
FURTHER = replace(HALFWAY, percent=80.0, rows_copied=8)
COMPARING = Progress(percent=10.0, rows_copied=1, rows_total=10, phase="comparing")
SOON = 20.0
"""Seconds that anything here may take on a busy machine."""


@dataclass
class Running:
    """A stand-in for one table's migration: an activity of the watcher's name that heartbeats what it is told to."""

    told: dict[str, object] = field(default_factory=dict)

    @activity.defn(name="watch_ghost")
    async def watch(self) -> None:
        await self._beat("watch_ghost")

    @activity.defn(name="verify")
    async def compare(self) -> None:
        await self._beat("verify")

    async def _beat(self, name: str) -> None:
        while True:
            activity.heartbeat(*([self.told[name]] if name in self.told else []))
            await asyncio.sleep(0.05)


@workflow.defn
class OneTable:
    @workflow.run
    async def run(self, names: list[str]) -> None:
        waits = [
            workflow.execute_activity(name, start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=30))
            for name in names
        ]
        await asyncio.gather(*waits)


@dataclass
class Comment:
    """Where the narrator writes."""

    written: list[PullRequestView] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    begun: int = 0
    ended: int = 0

    async def write(self, view: PullRequestView) -> None:
        self.begun += 1
        if self.gate:
            await self.gate.wait()
        if self.trouble:
            raise self.trouble.pop(0)
        self.written.append(view)
        self.ended += 1


class CountingNarrator(Narrator):
    looks = 0

    async def with_progress(self, view: PullRequestView) -> PullRequestView:
        seen = await super().with_progress(view)
        self.looks += 1
        return seen


@dataclass
class Scene:
    client: Client
    comment: Comment
    running: Running
    migration: PlannedMigration
    heartbeats: int = 0

    def __post_init__(self) -> None:
        self.narrator = CountingNarrator(self.client, self.comment.write)

    def view(self, state: MigrationState = MigrationState.RUNNING, progress: Progress | None = None) -> PullRequestView:
        run: MigrationRun = samples.run(self.migration, state, progress=progress or Progress())
        return samples.view(Stage.RUNNING, expected=(samples.STAGING,), plans=(), runs=(run,))

    @asynccontextmanager
    async def narrated(self, view: PullRequestView, every: float = 0.1) -> AsyncIterator["asyncio.Task[None]"]:
        here = ActivityEnvironment()
        here.on_heartbeat = self._heard
        # As under a worker: the cancellation of the task is what the activity sees.
        task = asyncio.create_task(here.run(self.narrator.narrate, Narrate(view=view, every_seconds=every)))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    def _heard(self, *_details: object) -> None:
        self.heartbeats += 1

    async def on_the_server(self, name: str) -> bytes:
        """What Temporal keeps of that activity's last heartbeat."""
        described = await self.client.get_workflow_handle(addresses.table_migration(self.migration.target)).describe()
        found = [one for one in described.raw_description.pending_activities if one.activity_type.name == name]
        return found[0].heartbeat_details.payloads[0].data if found and found[0].heartbeat_details.payloads else b""


@pytest.fixture
async def scene(temporal_server: TemporalServer) -> AsyncIterator[Scene]:
    client = await Client.connect(temporal_server.address)
    running = Running(told={"watch_ghost": HALFWAY})
    queue = f"narrate-{uuid4()}"
    base = samples.alter(samples.STAGING)
    migration = replace(base, target=replace(base.target, table=f"orders_{uuid4().hex[:8]}"))
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[OneTable],
        activities=[running.watch, running.compare],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
        default_heartbeat_throttle_interval=timedelta(milliseconds=50),
    )
    async with worker:
        handle = await client.start_workflow(
            OneTable.run, ["watch_ghost", "verify"], id=addresses.table_migration(migration.target), task_queue=queue
        )
        yield Scene(client, Comment(), running, migration)
        await handle.terminate("the test is over")


async def until(there: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON):
        while True:
            now = there()
            if now if isinstance(now, bool) else await now:
                return
            await asyncio.sleep(0.02)


def percents(comment: Comment) -> list[float]:
    return [view.runs[0].progress.percent for view in comment.written]


async def test_what_a_migration_heartbeats_is_written_into_the_comment(scene: Scene) -> None:
    async with scene.narrated(scene.view()):
        await until(lambda: 50.0 in percents(scene.comment))
        assert HALFWAY == scene.comment.written[-1].runs[0].progress
        scene.running.told["watch_ghost"] = FURTHER
        await until(lambda: 80.0 in percents(scene.comment))


async def test_nothing_is_written_while_nothing_changes(scene: Scene) -> None:
    async with scene.narrated(scene.view()):
        await until(lambda: bool(scene.comment.written))
        written = len(scene.comment.written)
        scene.running.told["watch_ghost"] = replace(HALFWAY, elapsed_seconds=1.0)  # said nowhere in the comment

        async def seen() -> bool:
            return (await Narrator(scene.client, scene.comment.write).with_progress(scene.view())).runs[0].progress.elapsed_seconds == 1.0

        await until(seen)
        looks = scene.narrator.looks
        await until(lambda: scene.narrator.looks >= looks + 2)
        assert written == len(scene.comment.written)


async def test_the_comparison_is_told_before_the_copy(scene: Scene) -> None:
    scene.running.told["verify"] = COMPARING
    async with scene.narrated(scene.view()):
        await until(lambda: 10.0 in percents(scene.comment))


async def test_a_heartbeat_that_says_nothing_of_progress_changes_nothing(scene: Scene) -> None:
    scene.running.told |= {"verify": {"chunk": 7}, "watch_ghost": ["what is this"]}
    shown = scene.view(progress=FURTHER)

    async def arrived() -> bool:
        return b"chunk" in await scene.on_the_server("verify") and b"what" in await scene.on_the_server("watch_ghost")

    await until(arrived)
    assert shown == await scene.narrator.with_progress(shown)


@pytest.mark.parametrize("state", [MigrationState.QUEUED, MigrationState.COMPLETE, MigrationState.PROPOSED])
async def test_a_run_that_does_not_move_takes_nobody_elses_progress(scene: Scene, state: MigrationState) -> None:
    shown = scene.view(state)
    assert shown == await scene.narrator.with_progress(shown)


async def test_a_migration_that_has_no_workflow_keeps_what_was_known(scene: Scene) -> None:
    scene.migration = replace(scene.migration, target=replace(scene.migration.target, table="never_ran"))
    shown = scene.view(progress=HALFWAY)
    assert shown == await scene.narrator.with_progress(shown)


async def test_the_narrator_ends_when_nothing_moves(scene: Scene) -> None:
    async with scene.narrated(scene.view(MigrationState.COMPLETE)) as task:
        await asyncio.wait_for(task, SOON)
        assert [] == scene.comment.written


async def test_trouble_with_github_is_waited_out(scene: Scene) -> None:
    scene.comment.trouble = [TryAgain("a rate limit", after=timedelta(seconds=0.2)), TryAgain("and again")]
    async with scene.narrated(scene.view()) as task:
        await until(lambda: bool(scene.comment.written))
        assert 3 == scene.comment.begun
        assert not task.done()


async def test_it_stops_at_once_when_it_is_cancelled(scene: Scene) -> None:
    async with scene.narrated(scene.view(), every=3_600.0) as task:
        await until(lambda: scene.heartbeats > 0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=SOON)
        assert {task} == done
        assert task.cancelled()


async def test_a_write_that_was_begun_is_ended_before_the_narrator_is_gone(scene: Scene) -> None:
    scene.comment.gate = asyncio.Event()
    async with scene.narrated(scene.view()) as task:
        await until(lambda: scene.comment.begun == 1)
        task.cancel()
        for _ in range(50):
            await asyncio.sleep(0)
        assert not task.done()
        scene.comment.gate.set()
        await asyncio.wait([task], timeout=SOON)
        assert (1, True) == (scene.comment.ended, task.cancelled())
