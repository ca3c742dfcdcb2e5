"""The story of one pull request, decision by decision."""

from tests.workflows.desk import AUTHOR, DBA, FIRST, OWNER, SECOND, STRANGER, Desk, migration
from workflows import addresses
from workflows.messages import Announcement, Comparison, PreflightVerdict, PrimaryIdentity, Release, Woke
from workflows.pull_request import PullRequest
from workflows.rules.approvals import ReviewState
from workflows.rules.checks import CheckState
from workflows.rules.names import Labels, PlanDigest
from workflows.rules.plan import ChangeKind, Refusal, Risk, Strategy
from workflows.table_migration import TableMigration

LABELS = Labels()


async def approved_by_both(desk: Desk) -> None:
    """Up to the moment when everything runs."""
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")
    desk.approve(DBA)
    await desk.wake()


async def test_a_pull_request_goes_from_opened_to_safely_merged(desk: Desk) -> None:
    await desk.wake("pull_request.opened")
    await desk.until_stage("awaiting-label")
    assert {LABELS.diff} == desk.labels
    assert CheckState.ACTION_REQUIRED is desk.current()

    await approved_by_both(desk)
    await desk.until_stage("complete")

    await desk.until(lambda: desk.current() is CheckState.SUCCESS)
    assert CheckState.SUCCESS is desk.current("SchemaBot: production/mysql/orders")
    assert {"staging", "production"} == {target.environment for target in desk.live}
    await desk.until(lambda: desk.said[-1].announcement is Announcement.COMPLETE)
    assert LABELS.diff not in desk.labels
    assert LABELS.queued in desk.labels

    desk.state = "merged"
    await desk.wake("pull_request.closed")
    result = await desk.story().result()
    assert "merged: 2 of 2 migrations complete" in result


async def test_staging_is_proven_before_production_starts(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    assert "staging" == desk.spawned[0].order.migration.target.environment
    desk.copying.set()
    await desk.until_stage("complete")
    assert ["staging", "production"] == [one.order.migration.target.environment for one in desk.spawned]


async def test_approve_push_approve_runs_nothing_on_the_first_approval(desk: Desk) -> None:
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")
    desk.push(SECOND, migration(statement="ALTER TABLE `orders` ADD COLUMN `other` int"))
    desk.approve(DBA)
    await desk.wake()
    await desk.until(lambda: desk.comments[-1].view.head_sha == SECOND and desk.comments[-1].view.stage == "awaiting-owner")
    assert [] == desk.spawned
    assert Announcement.APPROVALS_VOID in [one.announcement for one in desk.said]


async def test_approving_an_old_head_never_counts(desk: Desk) -> None:
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    desk.push(SECOND, migration())
    await desk.wake()
    await desk.until(lambda: desk.comments[-1].view.head_sha == SECOND and desk.comments[-1].view.stage == "awaiting-owner")
    desk.approve(OWNER, head=FIRST)
    desk.approve(DBA, head=FIRST)
    looks = desk.looks
    await desk.wake()
    await desk.until(lambda: desk.looks > looks)
    await desk.until(lambda: bool(desk.comments[-1].view.approvals.not_counted))
    assert "awaiting-owner" == desk.comments[-1].view.stage
    assert [] == desk.spawned


async def test_the_authors_and_a_strangers_approval_never_count(desk: Desk) -> None:
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    desk.approve(AUTHOR)
    desk.approve(STRANGER)
    await desk.wake()
    await desk.until(lambda: bool(desk.comments[-1].view.approvals.not_counted))
    assert "awaiting-owner" == desk.comments[-1].view.stage


async def test_two_pull_requests_with_one_head_stay_shut(desk: Desk) -> None:
    desk.twins = (99,)
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("shared-head")
    assert CheckState.ACTION_REQUIRED is desk.current()
    await desk.until(lambda: [99] == [one.ref.number for one in desk.woken])


async def test_a_pull_request_without_schema_changes_is_green_only_where_the_base_requires_it(desk: Desk) -> None:
    desk.plan = {}
    await desk.wake()
    handle = desk.story()
    assert "no-changes" in await handle.result()
    assert CheckState.SUCCESS is desk.current()

    desk.checks.clear()
    desk.base_requires_check = False
    await desk.wake()
    handle = desk.story()
    assert "no-changes" in await handle.result()
    assert [] == desk.checks
    assert [] == desk.comments


async def test_a_table_changed_after_the_approval_stops_the_run_and_retry_plans_again(desk: Desk) -> None:
    refusal = Refusal(code="changed", what="orders is not what was approved.", next="Comment `.skeefree retry-migration`.")
    desk.preflight_answer = lambda ask: PreflightVerdict(refusal=refusal, changed=True)
    await approved_by_both(desk)
    await desk.until_stage("failed")
    assert CheckState.FAILURE is desk.current()
    assert [] == desk.spawned
    desk.preflight_answer = None
    desk.plan[(FIRST, "staging")] = (migration(rows=7, statement="ALTER TABLE `orders` ADD COLUMN `note` varchar(30)"),)
    desk.comment(AUTHOR, "retry-migration")
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    assert [] == desk.spawned


async def test_retry_continues_with_what_remains_without_new_approvals(desk: Desk) -> None:
    failing = PreflightVerdict(refusal=Refusal(code="x", what="no", next="do"), changed=False)
    desk.preflight_answer = lambda ask: (
        failing if ask.order.migration.target.environment == "production" else PreflightVerdict(primary=desk_primary())
    )
    await approved_by_both(desk)
    await desk.until_stage("failed")
    desk.preflight_answer = None
    desk.comment(AUTHOR, "retry-migration")
    await desk.wake()
    await desk.until_stage("complete")
    assert ["staging", "production"] == [one.order.migration.target.environment for one in desk.spawned]
    assert desk.reactions[0].done


async def test_closing_aborts_a_running_copy_and_cancels_what_waits(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.state = "closed"
    await desk.wake("pull_request.closed")
    handle = desk.story()
    assert "closed: 0 of 2" in await handle.result()
    assert 1 == len(desk.aborted)
    assert set() == desk.live
    assert CheckState.IN_PROGRESS is not desk.current()


async def test_a_cut_over_waits_while_an_approval_is_withdrawn(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.approve(DBA, state=ReviewState.CHANGES_REQUESTED)
    desk.copying.set()
    await desk.wake()
    await desk.until_stage("holding-cut-over")
    await desk.until(lambda: Announcement.HELD in [one.announcement for one in desk.said])
    assert set() == desk.live
    desk.approve(DBA)
    await desk.wake()
    await desk.until_stage("complete")


async def test_a_held_cut_over_is_let_go_by_a_dbas_command(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.comment(AUTHOR, "hold-cut-over")
    await desk.wake()
    await desk.until(lambda: len(desk.reactions) == 1)
    desk.copying.set()
    await desk.until_stage("holding-cut-over")
    desk.comment(STRANGER, "cut-over")
    await desk.wake()
    await desk.until(lambda: len(desk.reactions) == 2)
    assert not desk.reactions[1].done
    assert set() == desk.live
    desk.comment(DBA, "cut-over")
    await desk.wake()
    await desk.until_stage("complete")


async def test_commits_after_queueing_do_not_disturb_the_run_and_the_new_head_stays_shut(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.push(SECOND, migration(), migration("production"))
    await desk.wake("pull_request.synchronize")
    await desk.until(lambda: LABELS.late_commits in desk.labels)
    assert CheckState.SUCCESS is not desk.current(head=SECOND)
    assert CheckState.ACTION_REQUIRED is desk.current(head=FIRST), "nobody is in progress any more on a head that was left behind"
    desk.copying.set()
    await desk.until(lambda: len(desk.live) == 2)
    await desk.until(lambda: desk.current(head=SECOND) is CheckState.SUCCESS)
    await desk.until(lambda: LABELS.late_commits not in desk.labels)


async def test_an_unsafe_plan_waits_for_a_dba_to_allow_this_very_digest(desk: Desk) -> None:
    lossy = migration(risks=(Risk(code="drop-column", text="The column's data is lost.", unsafe=True),))
    desk.plan = {(FIRST, "staging"): (lossy,)}
    await desk.wake()
    await desk.until_stage("awaiting-allow-unsafe")
    digest = desk.comments[-1].view.digest
    assert digest is not None
    desk.comment(AUTHOR, f"allow-unsafe {digest[:12]}")
    await desk.wake()
    await desk.until(lambda: len(desk.reactions) == 1)
    assert not desk.reactions[0].done
    desk.comment(DBA, f"allow-unsafe {digest[:12]}")
    await desk.wake()
    await desk.until_stage("awaiting-label")


async def test_a_failed_cut_over_attempt_holds_again_and_is_released_again(desk: Desk) -> None:
    desk.cut_over_failures = 2
    await approved_by_both(desk)
    await desk.until_stage("complete")
    released = [one for one in desk.records if one.what == "cut-over released"]
    assert 4 == len(released)  # three attempts in staging, one in production


def desk_primary() -> PrimaryIdentity:
    return PrimaryIdentity(address="127.0.0.1:1", server_uuid="u")


async def test_closing_never_releases_a_held_cut_over(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.state = "closed"
    desk.copying.set()  # the copy ends just as somebody closes
    await desk.wake("pull_request.closed")
    handle = desk.story()
    assert "closed" in await handle.result()
    assert set() == desk.live


async def test_a_word_does_not_outlive_the_approval_it_stood_for(desk: Desk) -> None:
    busy = PreflightVerdict(refusal=Refusal(code="busy", what="A transaction is open.", next="Wait."), retry=True)
    moments = [busy]
    desk.release_answer = lambda ask: moments[0] if moments else PreflightVerdict(primary=ask.primary)
    await approved_by_both(desk)
    await desk.until(lambda: "A transaction is open" in str(desk.comments[-1].view.runs))
    desk.approve(DBA, state=ReviewState.CHANGES_REQUESTED)
    looks = desk.looks
    await desk.wake()
    await desk.until(lambda: desk.looks > looks and Announcement.HELD in [one.announcement for one in desk.said])
    moments.clear()
    asked = desk.looks
    await desk.wake()
    await desk.until(lambda: desk.looks > asked)
    assert set() == desk.live
    desk.approve(DBA)
    await desk.wake()
    await desk.until_stage("complete")


async def test_an_abort_stops_what_runs_and_takes_what_waits_out_of_the_queue(desk: Desk) -> None:
    create = migration(kind=ChangeKind.DROP_TABLE, strategy=Strategy.DIRECT, table="carts", statement="DROP TABLE `carts`", position=1)
    desk.plan = {(FIRST, "staging"): (migration(), create)}
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.comment(DBA, "abort")
    desk.approve(OWNER, state=ReviewState.CHANGES_REQUESTED)
    await desk.wake()
    await desk.until_stage("failed")
    assert set() == desk.live


async def test_a_base_changed_while_it_runs_lets_nothing_swap(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.base_ref = "elsewhere"
    desk.copying.set()
    await desk.wake("pull_request.edited")
    await desk.until_stage("holding-cut-over")
    await desk.until(lambda: Announcement.HELD in [one.announcement for one in desk.said])
    assert set() == desk.live


async def test_an_unproven_comparison_is_swapped_only_on_a_dbas_own_word(desk: Desk) -> None:
    desk.verification = Comparison.UNPROVEN
    desk.plan = {(FIRST, "staging"): (migration(),)}
    await approved_by_both(desk)
    await desk.until(lambda: "could not prove every row" in str(desk.comments[-1].view.runs))
    await desk.wake()
    assert set() == desk.live
    desk.comment(DBA, "cut-over")
    await desk.wake()
    await desk.until_stage("complete")


async def test_a_pull_request_closed_and_reopened_asks_for_everything_again(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.state = "closed"
    await desk.wake("pull_request.closed")
    handle = desk.story()
    assert "closed" in await handle.result()
    desk.state = "open"
    desk.copying.set()
    await desk.wake("pull_request.reopened")
    await desk.until_stage("awaiting-owner")
    desk.approve(OWNER)
    desk.approve(DBA)
    await desk.wake()
    await desk.until_stage("complete")
    assert 2 == len({one.order.migration_id for one in desk.spawned if one.order.migration.target.environment == "staging"})


async def test_a_push_while_planning_leaves_nothing_in_progress_on_the_old_head(desk: Desk) -> None:
    desk.planning.clear()
    await desk.wake()
    await desk.until(lambda: desk.current() is CheckState.IN_PROGRESS)
    desk.push(SECOND, migration())
    desk.planning.set()
    await desk.wake("pull_request.synchronize")
    await desk.until(lambda: desk.current(head=SECOND) is CheckState.ACTION_REQUIRED)
    for name in ("SchemaBot", "SchemaBot: staging/mysql/orders", "SchemaBot: production/mysql/orders"):
        assert CheckState.IN_PROGRESS is not desk.current(name, head=FIRST)


async def test_a_merged_pull_request_without_schema_changes_is_left_alone(desk: Desk) -> None:
    desk.plan = {}
    desk.state = "merged"
    await desk.wake("pull_request.closed")
    handle = desk.story()
    assert "merged" in await handle.result()
    assert [] == desk.checks


async def test_a_word_for_another_plan_lets_nothing_go(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.comment(AUTHOR, "hold-cut-over")
    await desk.wake()
    await desk.until(lambda: len(desk.reactions) == 1)
    desk.copying.set()
    await desk.until_stage("holding-cut-over")
    order = desk.spawned[0].order
    swap = desk.client.get_workflow_handle(addresses.table_migration(order.migration.target))
    await swap.signal(TableMigration.hear, Release(order.migration_id, digest=PlanDigest("0" * 64)))
    await swap.query(TableMigration.standing)
    assert "cut-over released" not in [one.what for one in desk.records]
    await swap.signal(TableMigration.hear, Release(order.migration_id, digest=order.digest))
    await desk.until_stage("complete")


async def test_a_look_that_came_before_github_shows_the_push_is_made_again(desk: Desk) -> None:
    await desk.wake("pull_request.opened")
    await desk.until_stage("awaiting-label")
    await desk.story().signal(PullRequest.hear, Woke(ref=desk.ref, reason="pull_request.synchronize", guid="early"))
    looks = desk.looks
    await desk.until(lambda: desk.looks > looks)
    desk.push(SECOND, migration(), migration("production"))  # only now can it be seen, and nobody tells of it again
    await desk.until(lambda: desk.current(head=SECOND) is CheckState.ACTION_REQUIRED)


async def test_a_stranger_is_refused_with_a_reaction_and_not_with_a_comment_of_its_own(desk: Desk) -> None:
    await desk.wake()
    await desk.until_stage("awaiting-label")
    desk.comment(STRANGER, "abort")
    desk.comment(AUTHOR, "abort")
    await desk.wake()
    await desk.until(lambda: len(desk.reactions) == 2)
    await desk.until(lambda: Announcement.COMMAND_REFUSED in [one.announcement for one in desk.said])
    assert ["command/comment/2/1"] == [one.key for one in desk.said if one.announcement is Announcement.COMMAND_REFUSED]
    assert [False, False] == [one.done for one in desk.reactions]
