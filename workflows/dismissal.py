"""An activity that is not wanted any more: cancelled on purpose, and its end awaited."""

from typing import Any

from temporalio import workflow


async def dismiss(activity: workflow.ActivityHandle[Any]) -> None:
    """Cancel it and wait until it is over, whatever it came to.

    It is not awaited itself: one that completes in the very activation in which it is cancelled raises asyncio.CancelledError
    instead of ActivityError, which looks like the end of the workflow that asked. A workflow's own cancellation is still raised.
    """
    activity.cancel()
    await workflow.wait_condition(activity.done)
    if not activity.cancelled():
        activity.exception()  # looked at, so that nobody warns that it never was
