"""Weeks of waiting, skipped: what a pull request does while nobody does anything.

Each workflow has a clock of its own here, so only single workflows are fast-forwarded, and only while nothing else of theirs runs.
The server takes a second for each timer that it skips, so these pull requests look again by themselves every five days, not four times a
day.
"""

from dataclasses import replace
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.testing import TimeSkipper

from activities.errors import NeedsHuman
from tests.workflows.desk import DBA, OWNER, QUICK, Desk, migration, working
from workflows import addresses
from workflows.messages import PullRequestSnapshot, ReadPullRequest, Woke
from workflows.pull_request import PullRequest
from workflows.rules.checks import CheckState
from workflows.rules.names import Labels, PullRequestRef
from workflows.story import Story

LABELS = Labels()
PATIENT = replace(QUICK, look_again=timedelta(days=5).total_seconds())


async def opened(desk: Desk) -> None:
    """Planned, and waiting for the owner's approval."""
    desk.labels.add(LABELS.for_review)
    await desk.client.start_workflow(
        PullRequest.run,
        Story(ref=desk.ref, timing=PATIENT),
        id=addresses.pull_request(desk.ref),
        task_queue=addresses.CONTROL,
        start_signal="hear",
        start_signal_args=[Woke(ref=desk.ref, reason="pull_request.opened")],
    )
    await desk.until_stage("awaiting-owner")


async def fast_forward(desk: Desk, time: timedelta) -> None:
    assert await TimeSkipper(desk.client).fast_forward(desk.story(), time)


async def test_a_pull_request_that_waited_a_month_answers_the_first_approval(desk: Desk) -> None:
    await opened(desk)
    before = len(desk.checks)
    await fast_forward(desk, timedelta(days=30))
    assert before == len(desk.checks), "waiting says nothing new"
    desk.approve(OWNER)
    await desk.wake("pull_request_review.submitted")
    await desk.until_stage("awaiting-dba")


async def test_a_lost_delivery_is_made_up_for_by_the_next_look(desk: Desk) -> None:
    await opened(desk)
    desk.approve(OWNER)  # and nobody tells
    await fast_forward(desk, timedelta(seconds=PATIENT.look_again + 1))
    await desk.until_stage("awaiting-dba")


async def test_a_check_in_progress_for_ten_days_is_superseded_before_github_calls_it_stale(desk: Desk) -> None:
    desk.copying.clear()
    await desk.by_hand(migration(table="large")).start("long")  # somebody else's table has the turn for days
    await desk.until(lambda: len(desk.spawned) == 1)
    await opened(desk)
    desk.approve(OWNER)
    await desk.wake()
    await desk.until_stage("awaiting-dba")
    desk.approve(DBA)
    await desk.wake()
    await desk.until_stage("queued")
    await desk.until(lambda: CheckState.IN_PROGRESS is desk.current())
    shown = generations(desk)
    await fast_forward(desk, timedelta(days=9))
    assert shown == generations(desk)
    await fast_forward(desk, timedelta(days=6))
    await desk.until(lambda: generations(desk) == shown + 1)
    assert CheckState.IN_PROGRESS is desk.current()
    desk.copying.set()
    await desk.until_stage("complete")
    await desk.until(lambda: CheckState.SUCCESS is desk.current())
    assert shown + 1 == generations(desk), "a fresh run in progress is completed, not superseded once more"


def generations(desk: Desk) -> int:
    return max(generation for name, generation, _, _ in desk.checks if name == "SchemaBot")


class TroubledDesk(Desk):
    """Whose GitHub may refuse to be read."""

    refuses = False

    @activity.defn
    async def read_pull_request(self, ask: ReadPullRequest) -> PullRequestSnapshot:
        if self.refuses:
            raise NeedsHuman("The App may not read pull requests. Grant it the permission.")
        return await super().read_pull_request(ask)


async def test_what_cannot_be_read_keeps_the_gate_shut_and_heals_by_itself(temporal: Client) -> None:
    troubled = TroubledDesk(client=temporal, ref=PullRequestRef("acme", "trouble", 1))
    async with working(troubled):
        await opened(troubled)
        troubled.refuses = True
        troubled.approve(OWNER)
        troubled.approve(DBA)
        await troubled.wake("pull_request_review.submitted")
        await fast_forward(troubled, timedelta(minutes=5))
        assert CheckState.ACTION_REQUIRED is troubled.current()
        assert [] == troubled.spawned
        troubled.refuses = False
        await fast_forward(troubled, timedelta(seconds=PATIENT.look_again_after_trouble + 1))
        await troubled.until_stage("complete")
