"""GitHub never sends a delivery again by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.github import client as client_module
from activities.github.client import GitHubClient
from activities.github.redeliveries import ATTEMPTS, Redeliveries
from tests.fakes.github.fixtures import Acme

NOWHERE = "http://127.0.0.1:9/"


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


@pytest.fixture
def redeliveries(client: GitHubClient) -> Redeliveries:
    return Redeliveries(client)


def failed(acme: Acme) -> int:
    """Something happens while nobody is at the door. Returns how many deliveries that made."""
    acme.github.send_webhooks_to(NOWHERE)
    acme.open_change()
    acme.world.wait_until_delivered()
    return len(acme.world.outbox.deliveries)


async def test_what_failed_is_asked_for_again_under_the_same_guid(acme: Acme, redeliveries: Redeliveries) -> None:
    many = failed(acme)
    assert many == await redeliveries.redeliver_failed(ago(hours=1))
    first, again = acme.world.outbox.deliveries[:many], acme.world.outbox.deliveries[many:]
    assert sorted(one.guid for one in first) == sorted(one.guid for one in again)
    assert all(one.redelivery for one in again)


async def test_what_is_refused_every_time_is_not_asked_for_without_end(acme: Acme, redeliveries: Redeliveries) -> None:
    many = failed(acme)
    asked = []
    for _ in range(ATTEMPTS):
        asked.append(await redeliveries.redeliver_failed(ago(hours=1)))
        acme.world.wait_until_delivered()
    assert [many] * (ATTEMPTS - 1) + [0] == asked


async def test_what_failed_long_ago_is_left(acme: Acme, redeliveries: Redeliveries) -> None:
    failed(acme)
    assert 0 == await redeliveries.redeliver_failed(ago(hours=-1))


async def test_what_arrived_in_the_end_is_left(acme: Acme, redeliveries: Redeliveries) -> None:
    failed(acme)
    for one in acme.world.outbox.deliveries:
        one.status_code = 502
    await redeliveries.redeliver_failed(ago(hours=1))
    acme.world.wait_until_delivered()
    for one in acme.world.outbox.deliveries:
        one.status_code = 202 if one.redelivery else 502
    assert 0 == await redeliveries.redeliver_failed(ago(hours=1))


async def test_where_nothing_failed_the_many_that_arrived_are_not_read(acme: Acme, redeliveries: Redeliveries) -> None:
    failed(acme)
    for one in acme.world.outbox.deliveries:
        one.status_code = 202
    assert 0 == await redeliveries.redeliver_failed(ago(hours=1))
    assert 1 == [one.operation for one in acme.world.requests].count("apps/list-webhook-deliveries")


async def test_of_more_than_are_read_the_newest_are_asked_for_again(
    acme: Acme, redeliveries: Redeliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = failed(acme)
    monkeypatch.setattr(client_module, "PAGES", 1)
    monkeypatch.setattr(client_module, "PER_PAGE", many - 1)
    assert many - 1 == await redeliveries.redeliver_failed(ago(hours=1))
