"""Deliveries that failed: GitHub lists them, and never sends one again by itself (FACTS)."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from temporalio import activity

from activities.github.client import GitHubClient, Shown, TooLong
from activities.pulse import missed_when_dead

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
    @missed_when_dead
    async def redeliver_failed(self, since: str) -> int:
        """Errors: those of GitHubClient.pages_as_app, but for the length of the list: what is left comes with the next round."""
        attempts: defaultdict[str, list[_Delivery]] = defaultdict(list)
        async for one in self._those_that("failure", datetime.fromisoformat(since)):
            attempts[one.guid].append(one)
        if not attempts:  # nearly always, and the others are many: an App hears of every check of every repository
            return 0
        oldest = min(one.delivered_at for of in attempts.values() for one in of)
        arrived = {one.guid async for one in self._those_that("success", oldest) if one.arrived}
        lost = [of[0] for guid, of in attempts.items() if len(of) < ATTEMPTS and guid not in arrived]
        for one in reversed(lost):  # oldest first
            await self._github.call_as_app("POST", f"/app/hook/deliveries/{one.id}/attempts", expected={404})
        return len(lost)

    async def _those_that(self, outcome: str, since: datetime) -> AsyncIterator[_Delivery]:
        """outcome: as GitHub classifies it, "success" or "failure"; an old Enterprise Server lists both."""
        try:
            async for one in self._github.pages_as_app("/app/hook/deliveries", _Delivery, params={"status": outcome}):
                if one.delivered_at < since:
                    return
                if one.arrived == (outcome == "success"):
                    yield one
        except TooLong:
            return
