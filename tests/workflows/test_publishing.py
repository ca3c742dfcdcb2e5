"""What people are told although GitHub was away for a moment, and told once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from activities.errors import NeedsHuman, OurBug, TryAgain
from tests.workflows.desk import AUTHOR, DBA, FIRST, OWNER, SECOND, Desk, migration
from tests.workflows.test_pull_request import LABELS, approved_by_both
from workflows.messages import Announcement, Comparison, PreflightVerdict, PublishCheck, React, ReadPullRequest, RequestReview, Say
from workflows.rules.checks import CheckState
from workflows.rules.plan import Refusal

FOR_AN_HOUR = TryAgain("the installation's hour is used up", after=timedelta(hours=1))


def once(is_it: Callable[[object], bool], what: Exception = FOR_AN_HOUR) -> Callable[[object], Exception | None]:
    """Trouble with the first of such asks."""
    left = [what]
    return lambda ask: left.pop() if left and is_it(ask) else None


def said(desk: Desk, announcement: Announcement) -> int:
    return [one.announcement for one in desk.said].count(announcement)


async def looked_again(desk: Desk) -> None:
    """Two whole rounds."""
    for _ in range(2):
        looks = desk.looks
        await desk.wake()
        await desk.until(lambda looks=looks: desk.looks > looks)  # type: ignore[misc]  # bound now, not at the end of the loop


async def test_that_it_is_complete_is_said_when_github_is_there_again(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    desk.trouble = once(lambda ask: isinstance(ask, Say) and ask.announcement is Announcement.COMPLETE)
    await approved_by_both(desk)
    await desk.until(lambda: said(desk, Announcement.COMPLETE) == 1)
    await looked_again(desk)
    assert 1 == said(desk, Announcement.COMPLETE)
    assert 1 == len(desk.notices)


async def test_that_approvals_are_void_is_said_when_github_is_there_again(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    desk.trouble = once(lambda ask: isinstance(ask, Say) and ask.announcement is Announcement.APPROVALS_VOID)
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")
    desk.push(SECOND, migration())
    await desk.wake()
    await desk.until(lambda: said(desk, Announcement.APPROVALS_VOID) == 1)
    await looked_again(desk)
    assert 1 == said(desk, Announcement.APPROVALS_VOID)
    assert "new commits were pushed" in next(one.text for one in desk.said if one.announcement is Announcement.APPROVALS_VOID)


async def test_a_command_is_marked_and_answered_when_github_is_there_again(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    away = [once(lambda ask: isinstance(ask, React)), once(lambda ask: isinstance(ask, Say))]
    desk.trouble = lambda ask: next((wrong for one in away if (wrong := one(ask)) is not None), None)
    desk.comment(AUTHOR, "abort")
    await desk.wake()
    await desk.until(lambda: bool(desk.reactions) and said(desk, Announcement.COMMAND_REFUSED) == 1)
    await looked_again(desk)
    assert (1, 1) == (len(desk.reactions), said(desk, Announcement.COMMAND_REFUSED))


async def test_a_plan_counts_as_shown_once_the_last_of_its_checks_is(desk: Desk) -> None:
    desk.trouble = once(
        lambda ask: (
            isinstance(ask, PublishCheck)
            and ask.row is not None
            and ask.row.environment == "production"
            and ask.run.state is CheckState.ACTION_REQUIRED
        )
    )
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until(lambda: desk.current() is CheckState.ACTION_REQUIRED)
    await looked_again(desk)
    await desk.until_stage("awaiting-owner")
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")


async def test_the_second_failure_of_one_plan_is_announced_like_the_first(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.preflight_answer = lambda _: PreflightVerdict(refusal=Refusal(code="x", what="no", next="do"))
    await approved_by_both(desk)
    await desk.until(lambda: said(desk, Announcement.FAILED) == 1)
    desk.push(SECOND, migration())
    await desk.wake()
    await desk.until(lambda: desk.comments[-1].view.head_sha == SECOND and desk.comments[-1].view.stage == "awaiting-owner")
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")
    desk.approve(DBA)
    await desk.wake()
    await desk.until(lambda: said(desk, Announcement.FAILED) == 2)
    await desk.until(lambda: len(desk.notices) == 2)


async def test_a_dba_is_told_that_a_comparison_could_not_prove_every_row(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.verification = Comparison.UNPROVEN
    await approved_by_both(desk)
    await desk.until(lambda: said(desk, Announcement.HELD) == 1)
    await looked_again(desk)
    (held,) = [one for one in desk.said if one.announcement is Announcement.HELD]
    assert "could not prove every row" in held.view.runs[0].detail
    assert 1 == len(desk.notices)
    desk.comment(DBA, "cut-over")
    await desk.wake()
    await desk.until_stage("complete")


async def test_a_check_that_can_never_be_ended_on_an_old_head_does_not_keep_the_new_one_without(desk: Desk) -> None:
    desk.planning.clear()
    desk.trouble = lambda ask: (
        OurBug("no such commit")
        if isinstance(ask, PublishCheck) and ask.run.head_sha == FIRST and ask.run.state is not CheckState.IN_PROGRESS
        else None
    )
    await desk.wake()
    await desk.until(lambda: desk.current(head=FIRST) is CheckState.IN_PROGRESS)
    desk.push(SECOND, migration())
    desk.planning.set()
    await desk.wake()
    await desk.until(lambda: desk.current(head=SECOND) is CheckState.ACTION_REQUIRED)


async def test_the_runs_of_a_head_are_listed_once_and_again_after_trouble_with_one(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    await desk.wake()
    await desk.until_stage("awaiting-label")
    await desk.until_looked()
    assert ["", FIRST] == [desk.asked[0].generations_known_of, desk.asked[-1].generations_known_of]
    desk.trouble = once(lambda ask: isinstance(ask, PublishCheck), OurBug("generation 7 is shown already"))
    desk.labels.add(LABELS.for_review)
    looks = desk.looks
    await desk.wake()
    await desk.until(lambda: desk.looks >= looks + 2)
    assert [FIRST, ""] == [one.generations_known_of for one in desk.asked[looks : looks + 2]]


NOT_ALLOWED = NeedsHuman("Give the App the permission Members: read.")


async def test_a_pull_request_that_cannot_be_read_is_told_so_once(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    desk.trouble = lambda ask: NOT_ALLOWED if isinstance(ask, ReadPullRequest) else None
    await desk.wake()
    await desk.until(lambda: desk.looks >= 3)
    assert [(Announcement.UNREADABLE, NOT_ALLOWED.message)] == [(one.announcement, one.text) for one in desk.said]
    desk.trouble = lambda _: None
    await desk.until_stage("awaiting-label")
    assert 1 == len(desk.said)


async def test_a_pull_request_that_cannot_be_read_any_more_is_told_so(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    await desk.wake()
    await desk.until_stage("awaiting-label")
    desk.trouble = lambda ask: NOT_ALLOWED if isinstance(ask, ReadPullRequest) else None
    await desk.wake()
    await desk.until(lambda: said(desk, Announcement.UNREADABLE) == 1)


async def test_in_a_repository_that_nobody_enrolled_nothing_is_said_of_it(desk: Desk) -> None:
    desk.timing = replace(desk.timing, look_again_after_trouble=0.1)
    desk.enrolment = None
    desk.trouble = lambda ask: NOT_ALLOWED if isinstance(ask, ReadPullRequest) else None
    await desk.wake()
    await desk.until(lambda: desk.looks >= 3)
    assert [] == desk.said


async def test_a_databases_team_that_github_will_not_ask_is_named_in_the_comment(desk: Desk) -> None:
    desk.trouble = once(lambda ask: isinstance(ask, RequestReview), NeedsHuman("Give the team read access to acme/shop."))
    desk.labels.add(LABELS.for_review)
    await desk.wake()
    await desk.until_stage("awaiting-owner")
    desk.approve(OWNER)
    await desk.wake()
    await desk.until(lambda: desk.comments[-1].view.review_refused == "Give the team read access to acme/shop.")
    await desk.wake()  # somebody gave it
    await desk.until(lambda: desk.comments[-1].view.review_refused == "")
