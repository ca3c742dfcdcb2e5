"""One table on one shard: what stops a swap, what survives a death."""

from tests.workflows.desk import Desk, migration
from workflows import addresses
from workflows.messages import Abort, Comparison, GhostEvent, PreflightVerdict, PrimaryIdentity
from workflows.rules.names import MigrationId
from workflows.rules.plan import Refusal
from workflows.table_migration import TableMigration


def refused(*, changed: bool = False, retry: bool = False) -> PreflightVerdict:
    return PreflightVerdict(refusal=Refusal(code="no", what="The table is busy.", next="Wait."), changed=changed, retry=retry)


async def test_a_copy_that_differs_is_never_swapped_and_both_tables_are_kept(desk: Desk) -> None:
    desk.verification = Comparison.DIFFERENT
    result = await (await desk.by_hand(migration()).start("one")).result()
    assert "failed" == result.outcome
    assert "differs from the original" in result.text
    assert [True] == [one.keep for one in desk.aborted]
    assert set() == desk.live


async def test_an_unproven_comparison_by_hand_stops_before_the_swap(desk: Desk) -> None:
    desk.verification = Comparison.UNPROVEN
    result = await (await desk.by_hand(migration()).start("one")).result()
    assert "failed" == result.outcome
    assert "could not prove every row" in result.text
    assert set() == desk.live


async def test_a_bad_moment_is_waited_out(desk: Desk) -> None:
    answers = [refused(retry=True), refused(retry=True)]
    good = PreflightVerdict(primary=PrimaryIdentity(address="127.0.0.1:1", server_uuid="u"))
    desk.preflight_answer = lambda _: answers.pop() if answers else good
    assert "complete" == (await (await desk.by_hand(migration()).start("one")).result()).outcome
    assert [] == answers


async def test_a_table_changed_during_the_copy_is_not_swapped(desk: Desk) -> None:
    desk.release_answer = lambda _: refused(changed=True)
    result = await (await desk.by_hand(migration()).start("one")).result()
    assert "failed" == result.outcome
    assert 1 == len(desk.aborted)
    assert set() == desk.live


async def test_a_gh_ost_that_vanished_is_fenced_and_resumed(desk: Desk) -> None:
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.ghost_events[desk.spawned[0].run_id].append(GhostEvent.VANISHED)
    await desk.until(lambda: len(desk.spawned) == 2)
    assert desk.spawned[1].resume
    desk.copying.set()
    assert "complete" == (await handle.result()).outcome


async def test_a_crash_after_the_swap_is_not_a_failure(desk: Desk) -> None:
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.live.add(desk.spawned[0].order.migration.target)
    desk.ghost_events[desk.spawned[0].run_id].append(GhostEvent.FAILED)
    assert "complete" == (await handle.result()).outcome


async def test_a_workflow_that_is_cancelled_in_temporal_is_an_abort(desk: Desk) -> None:
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: len(desk.spawned) == 1)
    await desk.client.get_workflow_handle(addresses.table_migration(migration().target)).cancel()
    result = await handle.result()
    assert ("failed", 1) == (result.outcome, len(desk.aborted))
    assert "cancelled in Temporal" in result.text
    assert set() == desk.live


async def test_words_for_another_migration_change_nothing(desk: Desk) -> None:
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: len(desk.spawned) == 1)
    other = MigrationId("somebody else's")
    swap = desk.client.get_workflow_handle(addresses.table_migration(migration().target))
    await swap.signal(TableMigration.hear, Abort(migration_id=other, by="mallory", reason="fun"))
    desk.copying.set()
    assert "complete" == (await handle.result()).outcome


async def test_everything_that_happened_to_the_data_is_recorded(desk: Desk) -> None:
    await (await desk.by_hand(migration()).start("one")).result()
    assert ["cut-over released", "proven", "complete"] == [one.what for one in desk.records]
    assert migration().statement == desk.records[-1].facts["statement"]
