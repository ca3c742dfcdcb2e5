"""An activity that nobody wants any more, in the very moment in which it ends by itself."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.temporal import workflow_runner
from workflows.dismissal import dismiss

DECIDES, WORKS = "dismissal-decides", "dismissal-works"


@activity.defn
async def work() -> None:
    """Ends at once."""


@activity.defn
async def wait() -> None:
    """Ends when it is cancelled."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.02)


@workflow.defn
class DismissesAfterATimer:
    @workflow.run
    async def run(self) -> str:
        worked = _start("work")
        await workflow.sleep(2)
        await dismiss(worked)
        return "went on"


@workflow.defn
class DismissesWhatRuns:
    @workflow.run
    async def run(self) -> str:
        waiting = _start("wait")
        await _start("work")
        await dismiss(waiting)
        return "went on"


def _start(what: str) -> workflow.ActivityHandle[None]:
    patience = timedelta(seconds=30)
    return workflow.start_activity(what, task_queue=WORKS, start_to_close_timeout=patience, heartbeat_timeout=patience)


def deciding(client: Client) -> Worker:
    return Worker(client, task_queue=DECIDES, workflows=[DismissesAfterATimer, DismissesWhatRuns], workflow_runner=workflow_runner())


async def until(handle: WorkflowHandle[DismissesAfterATimer, str], event: EventType.ValueType) -> list[EventType.ValueType]:
    """The kinds of events so far, the wanted one among them."""
    async with asyncio.timeout(20):
        while True:
            seen = [one.event_type async for one in handle.fetch_history_events()]
            if event in seen:
                return seen
            await asyncio.sleep(0.02)


async def test_what_ends_in_the_moment_it_is_dismissed_does_not_end_the_workflow(temporal: Client) -> None:
    async with deciding(temporal):
        handle = await temporal.start_workflow(DismissesAfterATimer.run, id="dismissal-1", task_queue=DECIDES)
        await until(handle, EventType.EVENT_TYPE_TIMER_STARTED)
    await until(handle, EventType.EVENT_TYPE_TIMER_FIRED)
    async with Worker(temporal, task_queue=WORKS, activities=[work]):
        seen = await until(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    assert 1 == seen.count(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED), "the workflow hears of both at once"
    async with deciding(temporal):
        assert "went on" == await handle.result()


async def test_what_runs_is_cancelled_and_the_workflow_goes_on(temporal: Client) -> None:
    async with deciding(temporal), Worker(temporal, task_queue=WORKS, activities=[work, wait]):
        handle = await temporal.start_workflow(DismissesWhatRuns.run, id="dismissal-2", task_queue=DECIDES)
        assert "went on" == await handle.result()
