"""What leads on from where nothing moves: Re-run and buttons, retry-migration, abort, a push; and what heals by itself."""

from dataclasses import replace

from tests.workflows.desk import AUTHOR, DBA, FIRST, OWNER, SECOND, STRANGER, Desk, migration
from workflows.cluster_queue import ClusterQueue
from workflows.messages import Announcement, ChangedDirectory, Comparison, GhostEvent, PreflightVerdict, Rerequested
from workflows.pull_request import PullRequest
from workflows.rules.approvals import ReviewState
from workflows.rules.checks import CheckState
from workflows.rules.names import DatabaseRow, Labels
from workflows.rules.plan import ChangeKind, Drift, PlannedMigration, Refusal, Strategy

LABELS = Labels()
FAILING = PreflightVerdict(refusal=Refusal(code="x", what="The disk is full.", next="Make room."))
OTHER = "ALTER TABLE `orders` ADD COLUMN `other` int"


async def approved_by_both(desk: Desk) -> None:
    """Up to the moment when everything runs."""
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    await approved_again(desk)


async def approved_again(desk: Desk) -> None:
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")
    desk.approve(DBA)
    await desk.wake()


async def failed(desk: Desk) -> None:
    """Approved, and stopped before anything began, in the only environment."""
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.preflight_answer = lambda ask: FAILING
    await approved_by_both(desk)
    await desk.until_stage("failed")
    await desk.until(lambda: desk.current() is CheckState.FAILURE)
    desk.preflight_answer = None


async def told(desk: Desk, login: str, line: str) -> str:
    """The answer to a command."""
    desk.comment(login, line)  # type: ignore[arg-type]  # the test's own people
    number = len(desk.commands)
    await desk.wake()
    await desk.until(lambda: len(desk.reactions) == number)
    answer = await desk.story().query(PullRequest.answer, f"comment/{number}/1")
    assert answer is not None
    return answer.text


# ── Re-run and buttons ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_re_run_of_a_head_that_was_pushed_away_starts_nothing(desk: Desk) -> None:
    await failed(desk)
    desk.push(SECOND, migration(statement=OTHER))  # and its delivery is lost
    await desk.press(DBA, head=FIRST)
    await desk.until_stage("awaiting-owner")
    assert SECOND == desk.comments[-1].view.head_sha
    assert [] == desk.spawned


async def test_re_run_continues_for_those_involved_and_for_nobody_else(desk: Desk) -> None:
    await failed(desk)
    await desk.press(STRANGER)
    await desk.until(lambda: Announcement.COMMAND_REFUSED in [one.announcement for one in desk.said])
    assert [] == desk.spawned
    await desk.press(AUTHOR)
    await desk.until_stage("complete")


async def test_re_run_before_anything_began_plans_again_for_anybody(desk: Desk) -> None:
    desk.plan_refusals = [Refusal(code="x", what="orders cannot be read.", next="Grant it.")] * 2
    await desk.wake()
    await desk.until_stage("refused")
    await desk.until(lambda: desk.current() is CheckState.FAILURE)
    await desk.press(STRANGER)
    await desk.until_stage("awaiting-label")


async def test_a_button_of_a_head_that_was_pushed_away_accepts_nothing_of_the_new_plan(desk: Desk) -> None:
    desk.drift = (drift("`x`"),)
    await desk.wake()
    await desk.until_stage("awaiting-drift-acknowledgement")
    desk.push(SECOND, migration(statement=OTHER))
    desk.drift = (drift("`y`"),)
    await desk.wake()
    await desk.until(lambda: desk.current(head=SECOND) is CheckState.ACTION_REQUIRED)
    await desk.press(DBA, "acknowledge-drift", head=FIRST)
    await desk.until(lambda: Announcement.COMMAND_REFUSED in [one.announcement for one in desk.said])
    assert "belongs to an earlier check" in desk.said[-1].text
    assert "awaiting-drift-acknowledgement" == desk.comments[-1].view.stage
    await desk.press(DBA, "acknowledge-drift")
    await desk.until_stage("awaiting-label")


async def test_a_button_of_an_earlier_check_of_the_same_head_accepts_nothing_either(desk: Desk) -> None:
    desk.drift = (drift("`x`"),)
    await desk.wake()
    await desk.until_stage("awaiting-drift-acknowledgement")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    earlier = newest(desk)
    desk.drift = (drift("`y`"),)
    await desk.press(STRANGER)
    await desk.until(lambda: newest(desk) > earlier and desk.current() is CheckState.ACTION_REQUIRED)
    await desk.press(DBA, "acknowledge-drift", generation=earlier)
    await desk.until(lambda: Announcement.COMMAND_REFUSED in [one.announcement for one in desk.said])
    assert "awaiting-drift-acknowledgement" == desk.comments[-1].view.stage


async def test_re_run_all_checks_names_no_run_and_is_of_the_head_that_is_shown(desk: Desk) -> None:
    await failed(desk)
    await desk.story().signal(PullRequest.hear, Rerequested(desk.ref, head_sha=FIRST, actor=AUTHOR, guid="all"))
    await desk.until_stage("complete")


def newest(desk: Desk) -> int:
    return max(generation for name, generation, _, _ in desk.checks if name == "SchemaBot")


def drift(column: str, *, by: str = "") -> Drift:
    return Drift(target=migration().target, statement=f"ALTER TABLE `orders` ADD KEY {column}", by_pull_request=by)


# ── Drift with nothing left to run ──────────────────────────────────────────────────────────────────────────────────


async def test_accepted_drift_with_nothing_left_to_run_opens_the_gate(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.live = {migration().target}
    desk.drift = (drift("`x`"),)
    await desk.wake()
    await desk.until_stage("awaiting-drift-acknowledgement")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    await told(desk, DBA, "acknowledge-drift")
    await desk.until_stage("complete")
    await desk.until(lambda: desk.current() is CheckState.SUCCESS)


async def test_another_pull_requests_drift_with_nothing_left_to_run_waits_for_it(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.live = {migration().target}
    desk.drift = (drift("`x`", by="acme/shop#77"),)
    await desk.wake()
    await desk.until_stage("awaiting-other-pull-request")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)


# ── Statements for a person ─────────────────────────────────────────────────────────────────────────────────────────


def by_hand() -> PlannedMigration:
    return migration(strategy=Strategy.MANUAL, kind=ChangeKind.OTHER, table="shop", statement="ALTER DATABASE x", position=1)


async def waiting_for_a_person(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(), by_hand()), (FIRST, "production"): (migration("production"),)}
    await approved_by_both(desk)
    await desk.until_stage("awaiting-manual")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)


async def test_a_push_without_the_statement_for_a_person_is_planned(desk: Desk) -> None:
    await waiting_for_a_person(desk)
    desk.push(SECOND, migration())
    await desk.wake("pull_request.synchronize")
    await desk.until_stage("complete")
    await desk.until(lambda: desk.current(head=SECOND) is CheckState.SUCCESS)
    assert 1 == len(desk.spawned)


async def test_a_statement_for_a_person_can_be_aborted_and_is_never_run(desk: Desk) -> None:
    await waiting_for_a_person(desk)
    await told(desk, DBA, "abort")
    await desk.until_stage("failed")
    await told(desk, AUTHOR, "retry-migration")
    await desk.until_stage("awaiting-manual")
    assert {migration().target} == desk.live
    desk.live.add(by_hand().target)
    assert "compared with what is live" in await told(desk, AUTHOR, "retry-migration")
    await desk.until_stage("complete")
    assert {migration().target, by_hand().target, migration("production").target} == desk.live


# ── Another base, nothing to do, or what is complete ────────────────────────────────────────────────────────────────


async def test_a_base_changed_while_it_ran_is_planned_after_the_abort(desk: Desk) -> None:
    assert desk.enrolment is not None
    desk.enrolment = replace(desk.enrolment, base_branches=("main", "release"))
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.base_ref = "release"
    await desk.wake("pull_request.edited")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    await told(desk, DBA, "abort")
    await desk.until_stage("awaiting-owner")
    desk.copying.set()
    await approved_again(desk)
    await desk.until_stage("complete")


async def test_what_was_applied_and_taken_back_by_a_commit_is_remembered_until_the_pull_request_ends(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    await approved_by_both(desk)
    await desk.until_stage("complete")
    desk.push(SECOND)
    await desk.wake("pull_request.synchronize")
    await desk.until_stage("no-changes")
    assert [desk.ref.number] == [one.pull_request for one in (await desk.queue().query(ClusterQueue.standing)).applied]
    desk.state = "closed"
    await desk.wake("pull_request.closed")
    assert "closed: 1 of 1" in await desk.story().result()
    assert () == (await desk.queue().query(ClusterQueue.standing)).applied


async def test_what_was_complete_and_is_live_no_more_is_approved_and_run_again(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    await approved_by_both(desk)
    await desk.until_stage("complete")
    desk.live.clear()  # somebody took it back on the server
    assert "made again" in await told(desk, AUTHOR, "retry-migration")
    await desk.until_stage("awaiting-owner")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    assert 1 == len(desk.spawned), "the approvals were for what was carried out"
    await approved_again(desk)
    await desk.until_stage("complete")
    assert 2 == len(desk.spawned)


# ── Merged before it was everywhere ─────────────────────────────────────────────────────────────────────────────────


async def merged_and_failed(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.state = "merged"
    await desk.until_looked()
    desk.ghost_events[desk.spawned[0].run_id].append(GhostEvent.FAILED)
    await desk.until(lambda: Announcement.FAILED in [one.announcement for one in desk.said])
    await desk.until(lambda: bool(desk.notices))
    assert "merged, but its schema change is not live in staging and production" in desk.said[-1].text


async def test_a_failure_after_the_merge_is_told_and_can_be_retried(desk: Desk) -> None:
    await merged_and_failed(desk)
    desk.copying.set()
    await told(desk, AUTHOR, "retry-migration")
    assert "merged: 2 of 2" in await desk.story().result()


async def test_a_failure_after_the_merge_can_be_given_up(desk: Desk) -> None:
    await merged_and_failed(desk)
    assert "given up" in await told(desk, DBA, "abort")
    assert "merged: 0 of 2" in await desk.story().result()


async def test_a_merge_of_what_had_failed_is_told(desk: Desk) -> None:
    await failed(desk)
    await desk.until(lambda: len(desk.notices) == 1)
    desk.state = "merged"
    await desk.wake("pull_request.closed")
    await desk.until(lambda: len(desk.notices) == 2)
    await told(desk, AUTHOR, "retry-migration")
    assert "merged: 1 of 1" in await desk.story().result()


# ── What heals by itself ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_that_passes_is_planned_again_without_a_word(desk: Desk) -> None:
    desk.merge_refusals = [Refusal(code="stale-merge", what="The test merge is old.", next="Wait.", passing=True)] * 3
    await desk.wake()
    await desk.until_stage("awaiting-label")
    assert [] == desk.commands


async def test_a_database_that_could_not_be_reached_is_planned_again_without_a_word(desk: Desk) -> None:
    desk.plan_refusals = [Refusal(code="unreachable", what="No answer.", next="Look.", passing=True)] * 3
    await desk.wake()
    await desk.until_stage("refused")
    assert "Look. It is also looked at again by itself." in str(desk.comments[-1].view.plans)
    await desk.until_stage("awaiting-label")


async def test_a_check_that_is_looked_at_again_by_itself_says_nothing_until_there_is_news(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.plan_refusals = [Refusal(code="unreachable", what="No answer.", next="Look.", passing=True)] * 4
    await desk.wake()
    await desk.until_stage("awaiting-label")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    assert [CheckState.IN_PROGRESS, CheckState.FAILURE, CheckState.ACTION_REQUIRED] == steps(desk)


async def test_a_refusal_that_a_person_must_answer_is_left_alone(desk: Desk) -> None:
    desk.merge_refusals = [Refusal(code="hostile", what="A symlink.", next="Remove it.")]
    await desk.wake()
    await desk.until_stage("refused")
    looks = desk.looks
    await desk.until_looked(3)
    assert "refused" == desk.comments[-1].view.stage
    assert looks + 4 >= desk.looks


def steps(desk: Desk) -> list[CheckState]:
    """What the aggregate said, each once in a row."""
    states = [state for name, _, state, _ in desk.checks if name == "SchemaBot"]
    return [state for at, state in enumerate(states) if at == 0 or states[at - 1] is not state]


# ── What must not happen ────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_directories_of_one_row_are_refused_not_planned_over_each_other(desk: Desk) -> None:
    row = DatabaseRow(environment="staging", database="orders")
    desk.places = (ChangedDirectory(row=row, path="archive", tables=("old",)),)
    await desk.wake()
    await desk.until_stage("refused")
    await desk.until(lambda: desk.current() is CheckState.FAILURE)
    refusal = next(plan.refusal for plan in desk.comments[-1].view.plans if plan.row == row)
    assert refusal is not None
    assert "`orders` and `archive` are both mapped to staging/mysql/orders." == refusal.what


async def test_a_check_asks_for_somebody_while_a_swap_waits_for_a_person(desk: Desk) -> None:
    desk.verification = Comparison.UNPROVEN
    desk.plan = {(FIRST, "staging"): (migration(),)}
    await approved_by_both(desk)
    await desk.until_stage("holding-cut-over")
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    await told(desk, DBA, "cut-over")
    await desk.until_stage("complete")


async def test_a_check_asks_for_somebody_while_a_withdrawn_approval_holds_a_swap(desk: Desk) -> None:
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    desk.approve(DBA, state=ReviewState.CHANGES_REQUESTED)
    await desk.until_looked()
    desk.copying.set()
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    desk.approve(DBA)
    await desk.wake()
    await desk.until_stage("complete")
