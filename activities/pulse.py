"""Heartbeats beside the work: Temporal learns that the worker lives, and the work learns that it is cancelled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from temporalio import activity

EVERY_SECONDS: Final = 2.0


@asynccontextmanager
async def heartbeating(details: Callable[[], Sequence[Any]], *, every: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """Heartbeats with details(), at once and then every so many seconds, for the length of the block. Outside an activity: nothing."""
    if not activity.in_activity():
        yield
        return

    async def beat() -> None:
        while True:
            await asyncio.sleep(every)
            activity.heartbeat(*details())

    activity.heartbeat(*details())
    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
