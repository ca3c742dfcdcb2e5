"""Progress in the sticky comment, without a word of it in anybody's history: heartbeats are read where Temporal keeps them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.github.render import render_sticky
from activities.pulse import heartbeating
from workflows import addresses
from workflows.messages import Narrate, Progress, PullRequestView
from workflows.rules.names import Target
from workflows.rules.stages import MigrationState

HEARTBEAT_SECONDS: Final = 1.0
"""A cancellation arrives with a heartbeat's answer, so this is how soon the narrator can hear of it."""
LONGEST_PAUSE: Final = timedelta(minutes=15)
_TOLD_BY: Final = ("verify", "watch_ghost")
"""The activities whose heartbeats carry Progress; what is further along comes first."""
_MOVING: Final = frozenset({MigrationState.READY, MigrationState.RUNNING, MigrationState.HOLDING})
"""A run in another state has no migration of its own under the table's id: what runs there may be another pull request's."""


class Narrator:
    """write: makes the sticky comment say the view; may raise TryAgain with the delay that GitHub asks for."""

    def __init__(self, client: Client, write: Callable[[PullRequestView], Awaitable[object]]) -> None:
        self._client = client
        self._write = write

    @activity.defn
    async def narrate(self, ask: Narrate) -> None:
        """Returns when no run moves any more; otherwise only by cancellation. A write that was begun is ended first."""
        shown = ask.view
        pause = patience = ask.every_seconds
        async with heartbeating(lambda: (), every=HEARTBEAT_SECONDS):
            while any(run.state in _MOVING for run in shown.runs):
                await asyncio.sleep(pause)
                view = await self.with_progress(shown)
                pause = ask.every_seconds
                if render_sticky(view) == render_sticky(shown):
                    continue
                try:
                    await _to_the_end(self._write(view))
                    shown, patience = view, ask.every_seconds
                except ApplicationError as trouble:
                    patience = min(patience * 2, LONGEST_PAUSE.total_seconds())
                    asked = trouble.next_retry_delay.total_seconds() if trouble.next_retry_delay else 0.0
                    pause = max(patience, asked)
                    activity.logger.warning("%s: progress could not be written, next try in %.0f s: %s", view.ref, pause, trouble)

    async def with_progress(self, view: PullRequestView) -> PullRequestView:
        """The view with what each moving run's heartbeats say now. What cannot be read stays as it was."""
        moving = [run for run in view.runs if run.state in _MOVING]
        read = await asyncio.gather(*(progress_of(self._client, run.migration.target) for run in moving))
        news: Mapping[str, Progress | None] = {run.migration_id: progress for run, progress in zip(moving, read, strict=True)}
        return replace(view, runs=tuple(replace(run, progress=news.get(run.migration_id) or run.progress) for run in view.runs))


async def progress_of(client: Client, target: Target) -> Progress | None:
    """What the migration that runs on this table says of itself now; None where none runs, or where it says nothing."""
    try:
        described = await client.get_workflow_handle(addresses.table_migration(target)).describe()
    except RPCError:
        return None  # it has just ended, or the server is busy: the next look will tell
    pending = {one.activity_type.name: one for one in described.raw_description.pending_activities}
    for name in _TOLD_BY:
        told = await _told(client, pending[name]) if name in pending else None
        if told is not None:
            return told
    return None


async def _told(client: Client, pending: PendingActivityInfo) -> Progress | None:
    payloads = pending.heartbeat_details.payloads
    if not payloads:
        return None
    try:
        (raw,) = await client.data_converter.decode(payloads[:1], [dict])
        if "percent" not in raw:
            return None
        (progress,) = await client.data_converter.decode(payloads[:1], [Progress])
    except (TypeError, ValueError, RuntimeError):
        return None  # an older or newer worker's heartbeat
    return progress if isinstance(progress, Progress) else None


async def _to_the_end(write: Awaitable[object]) -> None:
    """A write that is under way is awaited even when we are cancelled: the workflow writes next, and must not be overtaken by ours."""
    writing = asyncio.ensure_future(write)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        if not writing.cancelled():
            writing.exception()
        raise
