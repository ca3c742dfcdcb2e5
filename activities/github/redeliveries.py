"""Deliveries that failed: GitHub lists them, and never sends one again by itself (FACTS)."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from temporalio import activity

from activities.github.client import GitHubClient, Shown

ATTEMPTS: Final = 3
"""Of one delivery: what our own door refuses every time is not asked for without end."""


class _Delivery(Shown):
    """Newest first in GitHub's list; the attempts of one delivery share its guid. delivered_at: ISO 8601."""

    id: int
    guid: str
    delivered_at: datetime
    status_code: int

    @property
    def arrived(self) -> bool:
        return 200 <= self.status_code < 300


class Redeliveries:
    """redeliver_failed."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    @activity.defn
    async def redeliver_failed(self, since: str) -> int:
        """Errors: those of GitHubClient.pages_as_app."""
        attempts: defaultdict[str, list[_Delivery]] = defaultdict(list)
        async for one in self._since(datetime.fromisoformat(since)):
            attempts[one.guid].append(one)
        lost = [of[0] for of in attempts.values() if len(of) < ATTEMPTS and not any(one.arrived for one in of)]
        for one in reversed(lost):  # oldest first
            await self._github.call_as_app("POST", f"/app/hook/deliveries/{one.id}/attempts", expected={404})
        return len(lost)

    async def _since(self, since: datetime) -> AsyncIterator[_Delivery]:
        async for one in self._github.pages_as_app("/app/hook/deliveries", _Delivery):
            if one.delivered_at < since:
                return
            yield one
