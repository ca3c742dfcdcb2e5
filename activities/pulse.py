"""Heartbeats beside the work: Temporal learns that the worker lives, and the work learns that it is cancelled."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, ParamSpec, TypeVar

from temporalio import activity

P = ParamSpec("P")
R = TypeVar("R")

EVERY_SECONDS: Final = 2.0

LATE_SECONDS: Final = 5.0
"""What is over sooner needs no heartbeat; the workflows miss one after 20 s."""


@asynccontextmanager
async def heartbeating(details: Callable[[], Sequence[Any]], *, every: float = EVERY_SECONDS, at_once: bool = True) -> AsyncIterator[None]:
    """Heartbeats with details(), at once and then every so many seconds, for the length of the block. Outside an activity: nothing."""
    if not activity.in_activity():
        yield
        return

    async def beat() -> None:
        while True:
            await asyncio.sleep(every)
            activity.heartbeat(*details())

    if at_once:
        activity.heartbeat(*details())
    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


def missed_when_dead(work: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """An activity that is nearly always over at once: it heartbeats when it is not, so that a killed worker is not waited for longer."""

    @functools.wraps(work)
    async def beating(*args: P.args, **kwargs: P.kwargs) -> R:
        async with heartbeating(lambda: (), every=LATE_SECONDS, at_once=False):
            return await work(*args, **kwargs)

    return beating
