"""An activity whose worker was killed is missed by its heartbeats; one that is over at once sends none."""

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import pulse
from activities.pulse import missed_when_dead
from workflows import timing


async def test_what_takes_long_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LATE_SECONDS", 0.01)
    beaten = asyncio.Event()
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beaten.set()

    @missed_when_dead
    async def until_it_beats(answer: int) -> int:
        await asyncio.wait_for(beaten.wait(), 30)
        return answer

    assert 7 == await environment.run(until_it_beats, 7)


async def test_what_is_over_at_once_does_not() -> None:
    beats: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)

    @missed_when_dead
    async def at_once() -> None:
        pass

    await environment.run(at_once)
    assert [] == beats


def test_a_heartbeat_comes_well_before_the_workflows_miss_it() -> None:
    assert 2 * pulse.LATE_SECONDS < timing.HEARTBEAT.total_seconds()
