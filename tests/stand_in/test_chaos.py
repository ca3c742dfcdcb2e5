"""What may go wrong on the way to the API and back."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.fakes.github import Failure
from tests.fakes.github.fixtures import Acme


@pytest.fixture
def comments(acme: Acme) -> str:
    return f"/repos/acme/shop/issues/{acme.open_change().number}/comments"


def test_a_post_may_land_and_its_answer_be_lost(acme: Acme, api: httpx.Client, comments: str) -> None:
    acme.world.chaos.fail_next("issues/create-comment", status=0, after_effect=True)
    with pytest.raises(httpx.TransportError):
        api.post(comments, json={"body": "landed"})
    assert ["landed"] == [comment["body"] for comment in api.get(comments).json()]
    assert 0 == next(r for r in acme.world.requests if r.operation == "issues/create-comment").status


def test_a_post_may_fail_before_it_lands(acme: Acme, api: httpx.Client, comments: str) -> None:
    acme.world.chaos.fail_next("issues/create-comment", status=502, times=2)
    assert [502, 502, 201] == [api.post(comments, json={"body": "x"}).status_code for _ in range(3)]
    assert 1 == len(acme.repository.pulls[1].comments)


def test_a_502_may_hide_a_success(acme: Acme, api: httpx.Client, comments: str) -> None:
    acme.world.chaos.fail_next("issues/create-comment", status=502, after_effect=True)
    assert 502 == api.post(comments, json={"body": "x"}).status_code
    assert 1 == len(acme.repository.pulls[1].comments)


@pytest.mark.parametrize(
    ("failure", "words", "header"),
    [
        ({"status": 403, "retry_after": 60}, "secondary rate limit", "60"),
        ({"status": 403}, "secondary rate limit", None),
        ({"status": 403, "kind": "plain"}, "Resource not accessible", None),
        ({"status": 429, "retry_after": 7}, "secondary rate limit", "7"),
        ({"status": 403, "kind": "primary"}, "API rate limit exceeded", None),
    ],
)
def test_limits_look_as_github_shows_them(acme: Acme, api: httpx.Client, failure: dict[str, int], words: str, header: str | None) -> None:
    acme.world.chaos.fail_next("*", **failure)  # type: ignore[arg-type]  # the parameters are the keywords' own
    answer = api.get("/repos/acme/shop")
    assert failure["status"] == answer.status_code
    assert words in answer.json()["message"]
    assert header == answer.headers.get("Retry-After")


def test_a_share_of_the_calls_fails_and_the_same_seed_fails_the_same(acme: Acme, api: httpx.Client) -> None:
    def statuses() -> list[int]:
        acme.world.chaos.calm()
        acme.world.chaos.fail_share(0.4, Failure(502), operations={"repos/get"}, seed=11)
        return [api.get("/repos/acme/shop").status_code for _ in range(20)]

    first = statuses()
    assert {200, 502} == set(first)
    assert first == statuses()
    assert {200} == {api.get("/repos/acme/shop/labels").status_code for _ in range(5)}


def test_answers_may_be_slow(acme: Acme, api: httpx.Client) -> None:
    acme.world.chaos.latency = (0.15, 0.2)
    started = time.monotonic()
    api.get("/repos/acme/shop")
    assert time.monotonic() - started >= 0.15
