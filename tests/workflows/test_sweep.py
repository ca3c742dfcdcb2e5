"""What lost webhooks would have said is found out by looking now and then."""

from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client

from activities.errors import NeedsHuman
from tests.workflows.desk import Desk, working
from workflows import addresses
from workflows.messages import OpenPullRequest
from workflows.rules.names import PullRequestRef
from workflows.sweep import Round, RoundDone


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
