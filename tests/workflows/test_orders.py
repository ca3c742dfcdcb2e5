"""What a pull request's workflow tells queues and migrations, whatever has become of them."""

from tests.workflows.desk import DBA, FIRST, Desk, migration
from tests.workflows.test_pull_request import approved_by_both


async def test_an_abort_reaches_the_gh_ost_although_its_queue_was_terminated(desk: Desk) -> None:
    desk.plan = {(FIRST, "staging"): (migration(),)}
    desk.copying.clear()
    await approved_by_both(desk)
    await desk.until(lambda: len(desk.spawned) == 1)
    await desk.until_stage("running")
    await desk.queue().terminate("an operator's slip")
    desk.comment(DBA, "abort")
    await desk.wake()
    await desk.until_stage("failed")
    assert [f"aborted by {DBA}"] == [one.reason for one in desk.aborted]
    assert set() == desk.live
