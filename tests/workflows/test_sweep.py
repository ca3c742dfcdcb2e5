"""What lost webhooks would have said is found out by looking now and then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from activities.errors import NeedsHuman
from activities.github.intake import temporal_acceptor
from tests.workflows.desk import FIRST, QUICK, Desk, working
from workflows import addresses
from workflows.messages import OpenPullRequest, Woke
from workflows.rules.names import PullRequestRef
from workflows.sweep import ENROLMENT_CHANGED, PUSH_TO_BASE, Round, RoundDone, Sweep, SweepOrder


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


async def one_round(desk: Desk) -> RoundDone:
    return await desk.client.execute_workflow(Round.run, id=f"{addresses.ROUND}-{desk.ref.number}", task_queue=addresses.CONTROL)


async def test_a_round_wakes_who_changed_and_lets_the_rest_sleep(desk: Desk) -> None:
    desk.repositories = ["acme/shop"]
    desk.listed = {1: ago(minutes=1), 2: ago(days=3)}
    assert 1 == (await one_round(desk)).woken
    assert [(1, f"{desk.head_sha} main")] == [(one.ref.number, one.shows) for one in desk.woken]


async def test_a_round_wakes_a_story_whose_pull_request_is_open_no_more(desk: Desk) -> None:
    desk.repositories = ["acme/shop"]
    desk.listed = {1: ago(days=3)}
    desk.stories = [1, 7]
    await one_round(desk)
    assert [7] == [one.ref.number for one in desk.woken]


async def test_a_round_spells_a_repository_as_github_does_whatever_was_typed(desk: Desk) -> None:
    desk.repositories = ["ACME/Shop"]
    desk.listed = {1: ago(minutes=1)}
    await one_round(desk)
    assert ["acme/shop#1"] == [str(one.ref) for one in desk.woken]


async def test_a_date_that_cannot_be_read_is_looked_at(desk: Desk) -> None:
    desk.repositories = ["acme/shop"]
    desk.listed = {1: "yesterday"}
    assert 1 == (await one_round(desk)).woken


async def test_a_round_asks_for_what_failed_since_a_little_before(desk: Desk) -> None:
    began = datetime.fromisoformat((await one_round(desk)).began)
    assert [began - timedelta(hours=1)] == [datetime.fromisoformat(one) for one in desk.redelivered_since]


async def test_a_repository_that_cannot_be_read_keeps_nobody_else_waiting(temporal: Client) -> None:
    class Uninstalled(Desk):
        @activity.defn
        async def list_open_pull_requests(self, repository: str, base: str) -> list[OpenPullRequest]:
            if repository == "acme/gone":
                raise NeedsHuman("The App is not installed there.")
            return await super().list_open_pull_requests(repository, base)

    desk = Uninstalled(client=temporal, ref=PullRequestRef("acme", "shop", 815))
    desk.repositories = ["acme/gone", "acme/shop"]
    desk.listed = {1: ago(minutes=1)}
    async with working(desk):
        assert 1 == (await one_round(desk)).woken


async def swept(desk: Desk, **order: Any) -> int:
    return await desk.client.execute_workflow(
        Sweep.run, SweepOrder("acme/shop", **order), id=f"sweep-{desk.ref.number}", task_queue=addresses.CONTROL
    )


async def test_a_push_to_an_enrolled_branch_is_told_to_every_open_pull_request(desk: Desk) -> None:
    desk.listed = {1: ago(days=3), 2: ago(days=3)}
    assert 2 == await swept(desk, base="main")
    assert {PUSH_TO_BASE} == {one.reason for one in desk.woken}


async def test_a_push_to_a_branch_that_no_enrolment_names_wakes_nobody(desk: Desk) -> None:
    assert 0 == await swept(desk, base="feature")


async def test_a_push_to_a_repository_that_is_not_enrolled_wakes_nobody(desk: Desk) -> None:
    desk.enrolment = None
    assert 0 == await swept(desk, base="main")


async def test_a_changed_enrolment_is_told_to_the_pull_requests_of_every_branch(desk: Desk) -> None:
    desk.base_ref = "feature"
    assert 1 == await swept(desk, reason=ENROLMENT_CHANGED)
    assert [ENROLMENT_CHANGED] == [one.reason for one in desk.woken]


# ── Who is worth another story ──


async def ended_without_changes(desk: Desk) -> str:
    """Returns the run that ended."""
    desk.push(FIRST)
    await desk.wake()
    await desk.story().result()
    return await run_of(desk)


async def run_of(desk: Desk) -> str:
    return (await desk.story().describe()).run_id


async def tell(desk: Desk, reason: str) -> None:
    await temporal_acceptor(desk.client, QUICK)(Woke(ref=desk.ref, reason=reason))


async def test_a_push_to_the_base_begins_no_story_that_ended_with_its_verdict(desk: Desk) -> None:
    ended = await ended_without_changes(desk)
    await tell(desk, PUSH_TO_BASE)
    assert ended == await run_of(desk)


async def test_a_changed_enrolment_begins_a_story_that_ended_with_its_verdict(desk: Desk) -> None:
    ended = await ended_without_changes(desk)
    await tell(desk, ENROLMENT_CHANGED)
    assert ended != await run_of(desk)


async def test_a_push_to_the_base_begins_a_story_that_broke_off(desk: Desk) -> None:
    await desk.wake()
    broken = await run_of(desk)
    await desk.story().terminate()
    await tell(desk, PUSH_TO_BASE)
    assert broken != await run_of(desk)


async def test_a_push_to_the_base_begins_no_story_that_never_was(desk: Desk) -> None:
    await tell(desk, PUSH_TO_BASE)
    with pytest.raises(RPCError, match="not found"):
        await desk.story().describe()
