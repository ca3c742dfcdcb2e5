"""Records histories of today's workflows: `PYTHONPATH=.:temporal-dev .venv/bin/python -m tests.replay.record` (half a minute).

What it writes, histories/unreleased/, is replaced each time. With a release that folder is renamed to the release's name, and from then on
it stays: it is what running workflows have lived through. A change of workflow code that test_replay.py refuses for a released history
needs `workflow.patched`, never another recording; histories are only added to.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from embedded.processes import TemporaryFolder
from embedded.temporal import TemporalServer
from embedded.tools import temporal as temporal_program
from tests.workflows.desk import DBA, OWNER, QUICK, SECOND, Desk, migration, working
from workflows import addresses
from workflows.cluster_queue import ClusterQueue, QueueState
from workflows.messages import (
    Applied,
    BaseMoved,
    CancelOrder,
    ChangeMerged,
    GhostEvent,
    MigrationMoved,
    OrderRef,
    PreflightVerdict,
    QueueEntry,
)
from workflows.registry import Registry, RegistryState
from workflows.rules.commands import AddRepository, MapRepository, SetAutorun
from workflows.rules.names import HeadSha, Labels, MigrationId, PullRequestRef
from workflows.rules.plan import ChangeKind, Refusal, Strategy
from workflows.rules.stages import MigrationState
from workflows.sweep import Round, Sweep, SweepOrder

HISTORIES: Final = Path(__file__).parent / "histories"
UNRELEASED: Final = HISTORIES / "unreleased"
IDENTITY: Final = "recorder"
"""Instead of this machine's name and a process id."""


@dataclass
class Recorder:
    client: Client
    folder: Path

    async def keep(self, name: str, workflow_id: str, *, run_id: str | None = None) -> None:
        """Write one workflow's history, an event a line."""
        history = await self.client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        events = [_without_what_replay_ignores(event) for event in json.loads(history.to_json())["events"]]
        lines = ",\n".join(json.dumps(event, sort_keys=True, separators=(",", ":")) for event in events)
        (self.folder / f"{name}.json").write_text(f'{{"events":[\n{lines}\n]}}\n', encoding="utf-8")
        print(f"{name}: {len(events)} events")


def _without_what_replay_ignores(event: dict[str, Any]) -> dict[str, Any]:
    """What activities were asked is most of a history's size, and replay compares only which activity was asked, and when."""
    scheduled = event.get("activityTaskScheduledEventAttributes")
    if scheduled is not None:
        scheduled.pop("input", None)
    return event


# ── What is recorded ────────────────────────────────────────────────────────────────────────────────────────────────


async def a_pull_request_with_everything(recorder: Recorder) -> None:
    """Approved, pushed over, approved again, failed, retried, a cut-over that fails once, held and let go, complete, merged."""
    desk = Desk(client=recorder.client, ref=PullRequestRef("acme", "shop", 1))
    async with working(desk):
        await desk.wake("pull_request.opened")
        await desk.until_stage("awaiting-label")
        desk.labels.add(Labels().for_review)
        await desk.wake("pull_request.labeled")
        await desk.until_stage("awaiting-owner")
        desk.approve(OWNER)
        await desk.wake("pull_request_review.submitted")
        await desk.until_stage("awaiting-dba")
        desk.push(SECOND, migration(statement="ALTER TABLE `orders` ADD COLUMN `other` int"), migration("production"))
        await desk.wake("pull_request.synchronize")
        await desk.until(lambda: desk.comments[-1].view.head_sha == SECOND and desk.comments[-1].view.stage == "awaiting-owner")
        refusal = Refusal(code="no", what="The table is busy.", next="Wait.")
        desk.preflight_answer = lambda _: PreflightVerdict(refusal=refusal)
        desk.approve(OWNER)
        desk.approve(DBA)
        await desk.wake("pull_request_review.submitted")
        await desk.until_stage("failed")
        desk.preflight_answer, desk.cut_over_failures = None, 1
        desk.copying.clear()
        desk.comment(OWNER, "retry-migration")
        await desk.wake("issue_comment.created")
        await desk.until(lambda: len(desk.spawned) == 1)
        desk.comment(DBA, "hold-cut-over")
        await desk.wake("issue_comment.created")
        await desk.until(lambda: len(desk.reactions) == 2)
        desk.copying.set()
        await desk.until_stage("holding-cut-over")
        desk.comment(DBA, "cut-over")
        await desk.wake("issue_comment.created")
        await desk.until_stage("complete")
        staging = addresses.table_migration(migration().target)
        await recorder.keep("table-migration-cut-over-failed-once", staging)
        desk.state = "merged"
        await desk.wake("pull_request.closed")
        story = addresses.pull_request(desk.ref)
        await recorder.client.get_workflow_handle(story).result()
        await recorder.keep("pull-request-from-opened-to-merged", story)


async def a_pull_request_closed_while_it_runs(recorder: Recorder) -> None:
    desk = Desk(client=recorder.client, ref=PullRequestRef("acme", "shop", 2))
    async with working(desk):
        desk.copying.clear()
        desk.labels.add(Labels().for_review)
        await desk.wake()
        await desk.until_stage("awaiting-owner")
        desk.approve(OWNER)
        desk.approve(DBA)
        await desk.wake()
        await desk.until(lambda: len(desk.spawned) == 1)
        desk.state = "closed"
        await desk.wake("pull_request.closed")
        story = addresses.pull_request(desk.ref)
        await recorder.client.get_workflow_handle(story).result()
        await recorder.keep("pull-request-closed-while-it-runs", story)
        await recorder.keep("table-migration-aborted", addresses.table_migration(migration().target))


async def statements_by_hand(recorder: Recorder) -> None:
    desk = Desk(client=recorder.client, ref=PullRequestRef("acme", "shop", 3))
    async with working(desk):
        dropped = migration(table="old", strategy=Strategy.DIRECT, kind=ChangeKind.DROP_TABLE, statement="DROP TABLE `old`")
        done = await desk.by_hand(dropped).start("drop")
        await done.result()
        await recorder.keep("by-hand-complete", done.id)
        await recorder.keep("table-migration-direct", addresses.table_migration(dropped.target))

        desk.copying.clear()
        altered = migration(table="large")
        resumed = await desk.by_hand(altered).start("resumed")
        await desk.until(lambda: len(desk.spawned) == 1)
        desk.ghost_events[desk.spawned[0].run_id].append(GhostEvent.VANISHED)
        await desk.until(lambda: len(desk.spawned) == 2)
        desk.copying.set()
        await resumed.result()
        await recorder.keep("table-migration-resumed", addresses.table_migration(altered.target))

        desk.hand_plans["SELECT 1"] = ()
        refused = await desk.by_hand(migration(strategy=Strategy.MANUAL)).start("refused")
        await refused.result()
        await recorder.keep("by-hand-refused", refused.id)


async def a_registry(recorder: Recorder) -> None:
    desk = Desk(client=recorder.client)
    async with working(desk):
        registry: WorkflowHandle[Registry, None] = await recorder.client.start_workflow(
            Registry.run, RegistryState(), id=addresses.REGISTRY, task_queue=addresses.CONTROL
        )
        for change in (
            AddRepository("acme/shop", owner_team="owners", databases_team="dbas"),
            MapRepository("acme/shop", path="orders", database="orders", environment="staging", cluster="staging", schema="shop_orders"),
            SetAutorun("acme/shop", on=False),
        ):
            await registry.execute_update(Registry.change, change)
        with contextlib.suppress(Exception):  # refused by the validator: leaves no event
            await registry.execute_update(Registry.change, SetAutorun("acme/unknown", on=True))
        await recorder.keep("registry", registry.id)


async def a_sweep(recorder: Recorder) -> None:
    desk = Desk(client=recorder.client, ref=PullRequestRef("acme", "shop", 4))
    async with working(desk):
        sweep: WorkflowHandle[Sweep, int] = await recorder.client.start_workflow(
            Sweep.run,
            SweepOrder(repository="acme/shop", base="main"),
            id=addresses.sweep("acme/shop", "main"),
            task_queue=addresses.CONTROL,
            start_signal="again",
            start_signal_args=[BaseMoved(repository="acme/shop", branch="main", after="b" * 40)],
        )
        await sweep.result()
        await recorder.keep("sweep", sweep.id)


async def a_round(recorder: Recorder) -> None:
    """One pull request has changed, another's was closed and nobody said so."""
    desk = Desk(client=recorder.client, ref=PullRequestRef("acme", "shop", 4), repositories=["acme/shop"], stories=[7])
    desk.listed = {4: datetime.now(UTC).isoformat()}
    async with working(desk):
        handle = await recorder.client.start_workflow(Round.run, id=addresses.ROUND, task_queue=addresses.CONTROL)
        await handle.result()
        await recorder.keep("round", handle.id)


async def a_queue_that_continues_as_new(recorder: Recorder) -> None:
    """Its client's server suggests that after twenty events."""
    desk = Desk(client=recorder.client)
    target = migration().target
    async with working(desk):
        queue: WorkflowHandle[ClusterQueue, None] = await recorder.client.start_workflow(
            ClusterQueue.run,
            QueueState(cluster="staging", shard="a", timing=QUICK, running=[_entry("lost", table="lost")]),
            id=addresses.cluster_queue("staging", "a"),
            task_queue=addresses.CONTROL,
        )
        applied = Applied(target=target, repository="acme/shop", pull_request=7, head_sha=HeadSha("a" * 40), statement="ALTER …")
        heard: list[Any] = [
            applied,
            ChangeMerged(repository="acme/shop", pull_request=7),
            _entry("first", table="orders"),
            CancelOrder(MigrationId("nobody's"), "unknown"),
            MigrationMoved(migration_id=MigrationId("nobody's"), state=MigrationState.COMPLETE),
        ]
        for message in heard * 4:
            await queue.signal(ClusterQueue.hear, message)
            await queue.query(ClusterQueue.standing)
        described = await queue.describe()
        assert queue.first_execution_run_id != described.run_id, "it never continued as new"
        await queue.signal(ClusterQueue.hear, applied)
        await queue.query(ClusterQueue.standing)
        await recorder.keep("cluster-queue-until-continue-as-new", queue.id, run_id=queue.first_execution_run_id)
        await recorder.keep("cluster-queue-after-continue-as-new", queue.id, run_id=described.run_id)
        await queue.terminate("recorded")


def _entry(name: str, *, table: str) -> QueueEntry:
    order = OrderRef(migration_id=MigrationId(name), requester="nobody")
    return QueueEntry(order=order, cluster="staging", shard="a", schema="shop_orders", table=table)


# ── How ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def _server(**dynamic: str) -> AsyncIterator[Client]:
    folder = TemporaryFolder("record")
    server = TemporalServer(temporal_program(), folder.path, dynamic={name.replace("__", "."): value for name, value in dynamic.items()})
    await asyncio.to_thread(server.start)
    try:
        yield await Client.connect(server.address, identity=IDENTITY)
    finally:
        server.kill()
        folder.close()


async def record(folder: Path) -> None:
    async with _server() as client:
        recorder = Recorder(client, folder)
        await a_pull_request_with_everything(recorder)
        await a_pull_request_closed_while_it_runs(recorder)
        await statements_by_hand(recorder)
        await a_registry(recorder)
        await a_sweep(recorder)
        await a_round(recorder)
    async with _server(limit__historyCount__suggestContinueAsNew="20") as client:
        await a_queue_that_continues_as_new(Recorder(client, folder))


def main() -> None:
    shutil.rmtree(UNRELEASED, ignore_errors=True)
    UNRELEASED.mkdir(parents=True)
    asyncio.run(record(UNRELEASED))


if __name__ == "__main__":
    main()
