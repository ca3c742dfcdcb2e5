"""What a lost or broad webhook would have said: look again at the open pull requests of a branch, and now and then at all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import needs, timing
from workflows.messages import BaseMoved, OpenPullRequest, Woke
from workflows.rules.names import PullRequestRef, pull_request_ref

PUSH_TO_BASE: Final = "push to the base branch"
ENROLMENT_CHANGED: Final = "enrolment changed"
ASKED_FOR: Final = "sweep asked for by hand"


@dataclass
class SweepOrder:
    """base "" means every base branch. reason: what each pull request is told. settles: seconds to wait for more of the same."""

    repository: str
    base: str = ""
    reason: str = PUSH_TO_BASE
    settles: float = 0.0


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
            if order.settles:
                await workflow.sleep(order.settles)
            self.asked = 0
            if not await self._is_enrolled():
                break
            listed = await _open(order.repository, order.base)
            woken += await _wake(Woke(ref=_ref(order.repository, one), reason=order.reason) for one in listed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return woken

    async def _is_enrolled(self) -> bool:
        """An App may be installed on more than is enrolled, and most pushes go to branches that are no base. In doubt it is."""
        try:
            enrolment = await workflow.execute_activity(
                needs.read_enrolment, self.order.repository, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
            )
        except ActivityError as trouble:
            workflow.logger.warning("the enrolment of %s is not known: %s", self.order.repository, trouble.cause)
            return True
        return enrolment is not None and (not self.order.base or self.order.base in enrolment.base_branches)

    @workflow.signal
    def again(self, _moved: BaseMoved) -> None:
        self.asked += 1


@dataclass(frozen=True)
class RoundDone:
    """What the next round begins with. began: ISO 8601."""

    began: str
    woken: int = 0
    redelivered: int = 0


@workflow.defn
class Round:
    """One round of the schedule: deliveries that failed are asked for again, and whoever changed since the last round is woken."""

    @workflow.run
    async def run(self) -> RoundDone:
        began = workflow.now()
        since = self._since(began)
        redelivered = await self._redeliver(since)
        woken = 0
        for repository in await workflow.execute_activity(
            needs.list_repositories, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
        ):
            woken += await self._look_at(repository, since)
        return RoundDone(began=began.isoformat(), woken=woken, redelivered=redelivered)

    def _since(self, began: datetime) -> datetime:
        """A little before the last round began: GitHub's clock is not ours, and waking somebody twice changes nothing."""
        last = workflow.get_last_completion_result(RoundDone)
        return began - timing.FIRST_ROUND_LOOKS_BACK if last is None else datetime.fromisoformat(last.began) - timing.ROUNDS_OVERLAP

    async def _redeliver(self, since: datetime) -> int:
        try:
            return await workflow.execute_activity(
                needs.redeliver_failed,
                since.isoformat(),
                start_to_close_timeout=timing.ONE_LOOK,
                schedule_to_close_timeout=timing.GITHUB_PATIENCE,
                heartbeat_timeout=timing.HEARTBEAT,
                retry_policy=timing.TRY_AGAIN,
            )
        except ActivityError as trouble:
            workflow.logger.warning("failed deliveries were not asked for again: %s", trouble.cause)
            return 0

    async def _look_at(self, repository: str, since: datetime) -> int:
        """One repository that cannot be read keeps nobody else waiting."""
        try:
            listed = await _open(repository, "")
            stories = await workflow.execute_activity(
                needs.list_stories, repository, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
            )
        except ActivityError as trouble:
            workflow.logger.warning("%s was not looked at: %s", repository, trouble.cause)
            return 0
        changed = [one for one in listed if _changed(one, since)]
        closed = sorted(set(stories) - {one.number for one in listed})
        return await _wake(
            [
                *(Woke(ref=_ref(repository, one), reason="round", shows=one.shows) for one in changed),
                *(Woke(ref=pull_request_ref(repository, number), reason="round") for number in closed),
            ]
        )


def _changed(one: OpenPullRequest, since: datetime) -> bool:
    try:
        return datetime.fromisoformat(one.changed_at) >= since
    except ValueError:
        return True  # in doubt we look


async def _open(repository: str, base: str) -> list[OpenPullRequest]:
    return await workflow.execute_activity(
        needs.list_open_pull_requests,
        args=[repository, base],
        start_to_close_timeout=timing.ONE_LOOK,
        schedule_to_close_timeout=timing.GITHUB_PATIENCE,
        heartbeat_timeout=timing.HEARTBEAT,
        retry_policy=timing.TRY_AGAIN,
    )


async def _wake(messages: Iterable[Woke]) -> int:
    """Returns how many could be woken."""
    woken = 0
    for message in messages:
        try:
            await workflow.execute_activity(
                needs.wake_pull_request, message, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
            )
        except ActivityError:
            workflow.logger.warning("could not wake %s", message.ref)
        else:
            woken += 1
    return woken


def _ref(asked: str, one: OpenPullRequest) -> PullRequestRef:
    """As GitHub spells it; the repository's name may have been typed otherwise when it was enrolled."""
    return pull_request_ref(one.repository or asked, one.number)
