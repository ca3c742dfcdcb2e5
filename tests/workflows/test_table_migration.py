"""One table on one shard: what stops a swap, what survives a death."""

from dataclasses import replace

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.errors import OurBug
from tests.workflows.desk import QUICK, Desk, migration, working
from workflows import addresses
from workflows.messages import Abort, AbortGhost, AuditRecord, Comparison, GhostEvent, PreflightVerdict, PrimaryIdentity
from workflows.rules.names import MigrationId, PullRequestRef
from workflows.rules.plan import Refusal
from workflows.rules.stages import MigrationState
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


async def test_a_release_that_took_long_to_write_down_looks_at_the_primary_again(temporal: Client) -> None:
    class SlowToWrite(Desk):
        full = True

        @activity.defn
        async def record(self, entry: AuditRecord) -> None:
            if entry.what == "cut-over released" and self.full:
                self.full = False
                self.release_answer = lambda _: refused(changed=True)  # somebody adds an index meanwhile
                raise ApplicationError("The disk of the audit file is full.")  # tried again a second later
            await super().record(entry)

    desk = SlowToWrite(client=temporal, ref=PullRequestRef("acme", "audit", 1), timing=replace(QUICK, look_is_fresh_for=0.5))
    async with working(desk):
        result = await (await desk.by_hand(migration()).start("one")).result()
    assert ("failed", []) == (result.outcome, desk.grants)
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


async def kill(desk: Desk, *, starts: int, seconds: float = 20.0) -> None:
    """The newest gh-ost, once so many were started."""
    await desk.until(lambda: len(desk.spawned) == starts, seconds=seconds)
    desk.ghost_events[desk.spawned[-1].run_id].append(GhostEvent.VANISHED)


async def test_a_resumed_copy_that_differs_is_thrown_away_and_made_anew(desk: Desk) -> None:
    desk.copying.clear()
    desk.verifications = [Comparison.DIFFERENT]
    handle = await desk.by_hand(migration()).start("one")
    await kill(desk, starts=1)
    await desk.until(lambda: len(desk.spawned) == 2)
    desk.copying.set()
    assert "complete" == (await handle.result()).outcome
    assert [False, True, False] == [one.resume for one in desk.spawned]
    assert 3 == len({one.run_id for one in desk.spawned})
    assert [(desk.spawned[1].run_id, False)] == [(one.run.run_id, one.keep) for one in desk.aborted]
    assert "resumed copy differed" == desk.records[0].what
    assert "key 7" == desk.records[0].facts["detail"]


async def test_people_see_why_a_resumed_copy_starts_again(desk: Desk) -> None:
    desk.copying.clear()
    desk.verifications = [Comparison.DIFFERENT]
    handle = await desk.by_hand(migration()).start("one")
    await kill(desk, starts=1)
    await desk.until(lambda: len(desk.spawned) == 2)
    desk.ghost_events[desk.spawned[1].run_id].append(GhostEvent.HOLDING)
    await desk.until(lambda: len(desk.spawned) == 3)
    (run,) = await desk.runs_of(handle)
    assert (MigrationState.RUNNING, True) == (run.state, "it starts again from nothing" in run.detail)
    desk.copying.set()
    assert "complete" == (await handle.result()).outcome


async def test_a_clean_copy_that_differs_after_a_resumed_one_did_is_final(desk: Desk) -> None:
    desk.copying.clear()
    desk.verification = Comparison.DIFFERENT
    handle = await desk.by_hand(migration()).start("one")
    await kill(desk, starts=1)
    await desk.until(lambda: len(desk.spawned) == 2)
    desk.copying.set()
    result = await handle.result()
    assert ("failed", 3) == (result.outcome, len(desk.spawned))
    assert "differs from the original" in result.text
    assert [False, True] == [one.keep for one in desk.aborted]
    assert set() == desk.live


async def test_an_unproven_comparison_of_a_resumed_run_warns_and_is_not_started_over(desk: Desk) -> None:
    desk.copying.clear()
    desk.verification = Comparison.UNPROVEN
    handle = await desk.by_hand(migration()).start("one")
    await kill(desk, starts=1)
    await desk.until(lambda: len(desk.spawned) == 2)
    desk.copying.set()
    result = await handle.result()
    assert ("failed", 2) == (result.outcome, len(desk.spawned))
    assert "resumed after a death, which can lose writes" in result.text


async def test_a_gh_ost_that_dies_again_and_again_without_getting_further_is_given_up(desk: Desk) -> None:
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    for starts in range(1, 6):
        await kill(desk, starts=starts)
    result = await handle.result()
    assert ("failed", 5) == (result.outcome, len(desk.spawned))
    assert "died 5 times without getting any further" in result.text
    assert [False] == [one.keep for one in desk.aborted], "nothing of it is left"


async def test_deaths_between_which_a_gh_ost_got_further_are_not_held_against_it(desk: Desk) -> None:
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    for starts in range(1, 8):
        await desk.until(lambda starts=starts: len(desk.spawned) == starts)  # type: ignore[misc]  # bound now, not at the end of the loop
        desk.rows_copied += 100
        desk.ghost_events[desk.spawned[-1].run_id].append(GhostEvent.VANISHED)
    await desk.until(lambda: len(desk.spawned) == 8)
    desk.copying.set()
    assert "complete" == (await handle.result()).outcome


async def test_a_copy_whose_requester_was_terminated_is_aborted_and_the_next_has_its_turn(desk: Desk) -> None:
    desk.timing = replace(desk.timing, ask_for_requester=0.2)
    desk.copying.clear()
    orphaned = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: len(desk.spawned) == 1)
    await orphaned.terminate("an operator's slip")
    other = await desk.by_hand(migration(table="items")).start("other")
    await desk.until(lambda: len(desk.aborted) == 1)
    assert "who ordered it is gone" in desk.aborted[0].reason
    await desk.until(lambda: len(desk.spawned) == 2)
    desk.copying.set()
    assert "complete" == (await other.result()).outcome
    assert {"items"} == {one.table for one in desk.live}


async def test_a_copy_whose_requester_lives_is_left_alone_however_often_it_is_asked(desk: Desk) -> None:
    desk.timing = replace(desk.timing, ask_for_requester=0.05)
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: desk.orders_read > 3)
    desk.copying.set()
    assert "complete" == (await handle.result()).outcome
    assert [] == desk.aborted


async def test_a_missing_original_is_never_taken_for_a_host_that_is_away(desk: Desk) -> None:
    missing = OurBug("shop_orders.orders is missing after the abort. Look at once.")
    desk.trouble = lambda ask: missing if isinstance(ask, AbortGhost) else None
    desk.copying.clear()
    handle = await desk.by_hand(migration()).start("one")
    await desk.until(lambda: len(desk.spawned) == 1)
    await desk.client.get_workflow_handle(addresses.table_migration(migration().target)).cancel()
    result = await handle.result()
    assert MigrationState.FAILED is result.runs[0].state
    assert "is missing after the abort. Look at once." in result.text
    assert 0 == desk.cut_off


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
