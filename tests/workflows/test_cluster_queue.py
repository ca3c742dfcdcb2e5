"""Whose turn it is, and what a queue never loses."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from temporalio.client import Client

from embedded.temporal import TemporalServer
from embedded.tools import temporal as temporal_program
from tests.workflows.desk import DBA, FIRST, QUICK, Desk, migration, working
from tests.workflows.test_pull_request import approved_by_both
from workflows import addresses
from workflows.cluster_queue import QUARANTINED_KEPT, ClusterQueue, QueueState
from workflows.messages import (
    Applied,
    CancelOrder,
    ChangeMerged,
    MigrationState,
    OrderRef,
    PreflightVerdict,
    PrimaryIdentity,
    Priority,
    Quarantined,
    QueueEntry,
)
from workflows.pull_request import PullRequest
from workflows.rules.approvals import ReviewState
from workflows.rules.names import HeadSha, MigrationId, PullRequestRef, Target
from workflows.rules.plan import Refusal, Strategy


def target(table: str) -> Target:
    return Target(environment="staging", database="orders", cluster="staging", shard="a", schema="shop_orders", table=table)


def entry(name: str, *, table: str, requester: str = "nobody", priority: Priority = Priority.NORMAL) -> QueueEntry:
    order = OrderRef(migration_id=MigrationId(name), requester=requester)
    return QueueEntry(order=order, cluster="staging", shard="a", schema="shop_orders", table=table, priority=priority)


async def test_two_pull_requests_that_touch_the_same_table_run_one_after_the_other(desk: Desk) -> None:
    first, second = (
        desk.by_hand(migration(table="orders")),
        desk.by_hand(migration(table="orders", statement="ALTER TABLE `orders` ADD COLUMN `b` int")),
    )
    desk.copying.clear()
    one = await first.start("first")
    await desk.until(lambda: len(desk.spawned) == 1)
    two = await second.start("second")
    queue = desk.queue()
    await desk.until_standing(queue, running=1, waiting=1)
    assert 1 == len(desk.spawned)
    desk.copying.set()
    assert "complete" == (await one.result()).outcome
    assert "complete" == (await two.result()).outcome
    assert 2 == len(desk.spawned)


async def test_urgent_goes_before_what_came_earlier(desk: Desk) -> None:
    queue = await desk.client.start_workflow(
        ClusterQueue.run,
        QueueState(cluster="staging", shard="a", timing=QUICK, running=[entry("running", table="busy")]),
        id=addresses.cluster_queue("staging", "a"),
        task_queue=addresses.CONTROL,
    )
    await queue.signal(ClusterQueue.hear, entry("early", table="one"))
    await queue.signal(ClusterQueue.hear, entry("urgent", table="two", priority=Priority.URGENT))
    await queue.signal(ClusterQueue.hear, entry("early", table="one"))  # told twice: counts once
    await desk.until_standing(queue, running=1, waiting=2)
    standing = await queue.query(ClusterQueue.standing)
    assert ["urgent", "early"] == [one.order.migration_id for one in standing.waiting]


async def test_a_cancelled_entry_leaves_the_queue_and_its_requester_hears_of_it(desk: Desk) -> None:
    desk.copying.clear()
    one = await desk.by_hand(migration(table="orders")).start("first")
    await desk.until(lambda: len(desk.spawned) == 1)
    two = await desk.by_hand(migration(table="items")).start("second")
    queue = desk.queue()
    await desk.until_standing(queue, running=1, waiting=1)
    waiting = (await queue.query(ClusterQueue.standing)).waiting[0]
    await queue.signal(ClusterQueue.hear, CancelOrder(waiting.order.migration_id, "changed our mind"))
    result = await two.result()
    assert "failed" == result.outcome
    assert MigrationState.CANCELLED is result.runs[0].state
    desk.copying.set()
    assert "complete" == (await one.result()).outcome


async def a_turn_without_a_word(desk: Desk) -> None:
    """The pull request's orders had to wait, its DBA objected meanwhile, and now its turn has come."""
    desk.timing = replace(desk.timing, turn_is_idle_after=0.3)
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.copying.clear()
    busy = await desk.by_hand(migration(table="busy")).start("busy")
    await desk.until(lambda: len(desk.spawned) == 1)
    await approved_by_both(desk)
    await desk.until_standing(desk.queue(), running=1, waiting=1)
    desk.approve(DBA, state=ReviewState.CHANGES_REQUESTED)
    await desk.wake()
    await desk.until(lambda: bool(desk.comments[-1].view.approvals.objections))
    desk.copying.set()
    assert "complete" == (await busy.result()).outcome
    await desk.until(lambda: MigrationState.READY is desk.comments[-1].view.runs[0].state)


async def test_a_turn_without_a_word_is_given_back_to_who_waits(desk: Desk) -> None:
    await a_turn_without_a_word(desk)
    items = await desk.by_hand(migration(table="items")).start("items")
    assert "complete" == (await items.result()).outcome
    assert ["busy", "items"] == [one.order.migration.target.table for one in desk.spawned]
    desk.approve(DBA)
    await desk.wake()
    await desk.until_stage("complete")
    assert {"busy", "items", "orders"} == {one.table for one in desk.live}


async def test_a_turn_without_a_word_is_kept_while_nobody_waits(desk: Desk) -> None:
    desk.timing = replace(desk.timing, turn_is_idle_after=0.1)
    desk.preflight_answer = lambda _: PreflightVerdict(refusal=Refusal(code="no", what="Busy.", next="Wait."), retry=True)
    one = await desk.by_hand(migration()).start("one")
    await desk.until_run(one, MigrationState.READY)
    table = desk.client.get_workflow_handle(addresses.table_migration(target("orders")))
    began = (await table.describe()).run_id
    await desk.until(lambda: desk.preflights > 5)
    assert began == (await table.describe()).run_id
    desk.preflight_answer = None
    assert "complete" == (await one.result()).outcome


async def test_one_bad_moment_after_the_other_gives_the_turn_back_to_who_waits(desk: Desk) -> None:
    desk.timing = replace(desk.timing, turn_is_idle_after=0.1)
    busy = PreflightVerdict(refusal=Refusal(code="no", what="A long transaction is open.", next="Wait."), retry=True)
    good = PreflightVerdict(primary=PrimaryIdentity(address="127.0.0.1:1", server_uuid="u"))
    bad = {"orders"}
    desk.preflight_answer = lambda ask: busy if ask.order.migration.target.table in bad else good
    orders = await desk.by_hand(migration()).start("orders")
    await desk.until_run(orders, MigrationState.READY)
    items = await desk.by_hand(migration(table="items")).start("items")
    assert "complete" == (await items.result()).outcome
    bad.clear()
    assert "complete" == (await orders.result()).outcome
    assert ["items", "orders"] == [one.order.migration.target.table for one in desk.spawned]


async def test_what_gave_its_turn_back_can_be_cancelled(desk: Desk) -> None:
    await a_turn_without_a_word(desk)
    desk.copying.clear()
    items = await desk.by_hand(migration(table="items")).start("items")
    await desk.until(lambda: len(desk.spawned) == 2)
    await desk.until(lambda: MigrationState.QUEUED is desk.comments[-1].view.runs[0].state)
    assert "Another table goes first" in desk.comments[-1].view.runs[0].detail
    desk.state = "closed"
    await desk.wake()
    assert "closed: 0 of 1" in await desk.story().result()
    desk.copying.set()
    assert "complete" == (await items.result()).outcome
    await desk.until_standing(desk.queue(), running=0, waiting=0)


async def test_an_applied_change_is_remembered_until_its_pull_request_is_merged(desk: Desk) -> None:
    queue = await desk.client.start_workflow(
        ClusterQueue.run,
        QueueState(cluster="staging", shard="a", timing=QUICK),
        id=addresses.cluster_queue("staging", "a"),
        task_queue=addresses.CONTROL,
    )
    applied = Applied(target=target("orders"), repository="acme/shop", pull_request=7, head_sha=HeadSha("a" * 40), statement="ALTER …")
    await queue.signal(ClusterQueue.hear, applied)
    assert (applied,) == (await queue.query(ClusterQueue.standing)).applied
    await queue.signal(ClusterQueue.hear, ChangeMerged(repository="Acme/Shop", pull_request=7))
    assert () == (await queue.query(ClusterQueue.standing)).applied


async def test_the_record_of_quarantined_tables_does_not_grow_until_the_queue_wedges(desk: Desk) -> None:
    kept = [
        Quarantined(target=target("t"), name=f"_q{n}", created_at="2026-11-22", drop_after="2026-11-29") for n in range(QUARANTINED_KEPT)
    ]
    queue = await desk.client.start_workflow(
        ClusterQueue.run,
        QueueState(cluster="staging", shard="a", timing=QUICK, quarantined=kept),
        id=addresses.cluster_queue("staging", "a"),
        task_queue=addresses.CONTROL,
    )
    await queue.signal(ClusterQueue.hear, replace(kept[0], name="_newest"))
    standing = await queue.query(ClusterQueue.standing)
    assert (QUARANTINED_KEPT, "_q1", "_newest") == (len(standing.quarantined), standing.quarantined[0].name, standing.quarantined[-1].name)


async def test_a_terminated_migration_frees_its_turn_and_tells_its_requester(desk: Desk) -> None:
    desk.copying.clear()
    one = await desk.by_hand(migration(table="orders")).start("first")
    await desk.until(lambda: len(desk.spawned) == 1)
    await desk.client.get_workflow_handle(addresses.table_migration(target("orders"))).terminate("an operator's slip")
    result = await one.result()
    assert "failed" == result.outcome
    assert "ended without a verdict" in result.text
    await desk.until_standing(desk.queue(), running=0, waiting=0)


async def test_what_waits_is_queued_again_when_its_queue_was_terminated(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again=0.5)
    desk.plan = {(desk.head_sha, "staging"): (migration(),)}
    desk.copying.clear()
    await desk.by_hand(migration(table="busy")).start("first")
    await desk.until(lambda: len(desk.spawned) == 1)
    await approved_by_both(desk)
    await desk.until_standing(desk.queue(), running=1, waiting=1)
    await desk.queue().terminate("an operator's slip")
    await desk.until_standing(desk.queue(), running=0, waiting=1)
    assert 1 == len(desk.spawned), "what the terminated queue had begun goes on, and has the shard to itself"
    desk.copying.set()
    await desk.until_stage("complete")


@pytest.fixture
async def eager(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A server that suggests continue-as-new after a handful of events."""
    server = TemporalServer(temporal_program(), tmp_path_factory.mktemp("t"), dynamic={"limit.historyCount.suggestContinueAsNew": "20"})
    await asyncio.to_thread(server.start)
    yield await server.client()
    server.kill()


async def test_the_largest_queue_goes_through_continue_as_new_whole(eager: Client) -> None:
    desk = Desk(client=eager)
    async with working(desk):
        waiting = [replace(entry(f"migration-{n}" + "x" * 150, table=f"table_{n}"), arrived=n) for n in range(400)]
        applied = [
            Applied(
                target=target(f"t{n}"), repository="acme/shop", pull_request=n, head_sha=HeadSha("a" * 40), statement="ALTER " + "x" * 200
            )
            for n in range(200)
        ]
        kept = [Quarantined(target=target(f"q{n}"), name=f"_q{n}", created_at="2026-11-22", drop_after="2026-11-29") for n in range(100)]
        state = QueueState(
            cluster="staging",
            shard="a",
            timing=QUICK,
            waiting=waiting,
            running=[entry("busy", table="busy")],
            applied=applied,
            quarantined=kept,
        )
        queue = await eager.start_workflow(
            ClusterQueue.run, state, id=addresses.cluster_queue("staging", "a"), task_queue=addresses.CONTROL
        )
        for number in range(10):
            await queue.signal(ClusterQueue.hear, entry(f"late-{number}", table=f"late_{number}"))
            await queue.query(ClusterQueue.standing)
        described = await queue.describe()
        assert queue.first_execution_run_id != described.run_id, "it never continued as new"
        await desk.until_standing(queue, running=1, waiting=410)
        standing = await queue.query(ClusterQueue.standing)
        assert 200 == len(standing.applied)
        assert 100 == len(standing.quarantined)


async def test_a_pull_requests_story_goes_through_continue_as_new_with_its_inbox(eager: Client) -> None:
    desk = Desk(client=eager, ref=PullRequestRef("acme", "shop", 5))
    long = "ALTER TABLE `orders` ADD COLUMN `note` varchar(20) COMMENT '" + "x" * 900 + "'"
    many = tuple(migration(table=f"orders_{n}", statement=long, strategy=Strategy.DIRECT) for n in range(150))
    desk.plan = {(desk.head_sha, "staging"): many}
    async with working(desk):
        await desk.wake()
        await desk.until_stage("awaiting-label")
        handle = desk.story()
        first = (await handle.describe()).run_id
        await desk.until_looked(8)
        assert first != (await handle.describe()).run_id, "it never continued as new"
        view = await handle.query(PullRequest.view)
        assert view is not None
        assert 150 == len(view.plans[0].migrations)
        assert "awaiting-label" == view.stage
        generations = [generation for name, generation, _, _ in desk.checks if name == "SchemaBot"]
        assert 1 == max(generations), "continue-as-new must not make new runs"
