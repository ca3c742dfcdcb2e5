"""What a lost or broad webhook would have said: look again at the open pull requests of a branch."""

from dataclasses import dataclass

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import needs, timing
from workflows.messages import BaseMoved, Woke
from workflows.rules.names import PullRequestRef


@dataclass
class SweepOrder:
    """base "" means every base branch."""

    repository: str
    base: str = ""


@workflow.defn
class Sweep:
    @workflow.init
    def __init__(self, order: SweepOrder) -> None:
        self.order = order
        self.asked = 1

    @workflow.run
    async def run(self, order: SweepOrder) -> int:
        """Returns how many pull requests were woken. A push that comes meanwhile makes another round."""
        woken = 0
        while self.asked:
            self.asked = 0
            numbers = await workflow.execute_activity(
                needs.list_open_pull_requests,
                args=[order.repository, order.base],
                start_to_close_timeout=timing.ONE_LOOK,
                schedule_to_close_timeout=timing.GITHUB_PATIENCE,
                retry_policy=timing.TRY_AGAIN,
            )
            for number in numbers:
                woken += await self._wake(number)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return woken

    @workflow.signal
    def again(self, _moved: BaseMoved) -> None:
        self.asked += 1

    async def _wake(self, number: int) -> int:
        owner, _, repo = self.order.repository.partition("/")
        message = Woke(ref=PullRequestRef(owner=owner, repo=repo, number=number), reason="push to the base branch")
        try:
            await workflow.execute_activity(
                needs.wake_pull_request, message, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
            )
        except ActivityError:
            workflow.logger.warning("could not wake %s", message.ref)
            return 0
        return 1
