"""The webhook's front door: who may come in, and what is said when. One test goes through real sockets and a real Temporal."""

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from temporalio.client import Client, WorkflowHandle

from activities.errors import NeedsHuman, TryAgain
from activities.github.intake import (
    HEALTH_PATH,
    WEBHOOK_PATH,
    Doorbell,
    signature_is_good,
    temporal_acceptor,
    temporal_health,
    webhook_app,
)
from activities.orders import OrderActivities
from activities.settings import Settings
from embedded.temporal import TemporalServer
from tests.fakes.github.fixtures import Acme, found_acme
from tests.fakes.github.server import GitHubStandIn
from workflows import addresses
from workflows.messages import BaseMoved, Delivery, Rerequested, Woke
from workflows.rules.names import HeadSha, Login, PullRequestRef
from workflows.timing import Timing

SECRET = b"It's a Secret to Everybody"
LIMIT = 10_000
ONE = PullRequestRef("acme", "shop", 1)
QUICK = Timing(snapshot_spacing=0.1)
OPENED = {"action": "opened", "pull_request": {"number": 1}, "repository": {"full_name": "acme/shop"}, "sender": {"login": "dave"}}


def all_settings(folder: Path, *, secret: str = SECRET.decode(), max_bytes: int = LIMIT) -> Settings:
    secret_file = folder / "secret"
    secret_file.write_text(f"{secret}\n")
    account = {"user": "nobody", "password": "nothing"}
    names = ("read", "direct", "ghost", "verify", "fence", "workspace")
    given: dict[str, Any] = {
        "github": {"app_id": 1, "private_key_file": folder / "key", "webhook_secret_file": secret_file},
        "mysql": dict.fromkeys(names, account),
        "diff": {"cache_directory": folder},
        "runner": {"run_directory": folder},
        "audit": {"file": folder / "audit"},
        "webhooks": {"max_bytes": max_bytes},
    }
    return Settings(**given)


class Accepted(list[Delivery]):
    """What was handed over; refuses while trouble is set."""

    trouble: Exception | None = None

    async def __call__(self, delivery: Delivery) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.append(delivery)


@pytest.fixture
def accepted() -> Accepted:
    return Accepted()


@pytest.fixture
async def door(tmp_path: Path, accepted: Accepted) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=webhook_app(all_settings(tmp_path), accepted))
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield client


def headers(body: bytes, *, event: str = "pull_request", secret: bytes = SECRET, **more: str) -> dict[str, str]:
    signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": event, "X-GitHub-Delivery": "guid-1", "X-Hub-Signature-256": signature} | more


async def deliver(door: httpx.AsyncClient, payload: object = OPENED, **options: Any) -> httpx.Response:
    body = json.dumps(payload).encode()
    return await door.post(WEBHOOK_PATH, content=body, headers=headers(body, **options))


# ── Who may come in ──


async def test_a_signed_delivery_is_accepted_after_it_was_handed_over(door: httpx.AsyncClient, accepted: Accepted) -> None:
    answer = await deliver(door)
    assert (202, {"accepted": "woke"}) == (answer.status_code, answer.json())
    assert [Woke(ref=ONE, reason="pull_request.opened", guid="guid-1")] == accepted


def test_githubs_own_example_of_a_signature_is_good() -> None:
    """Secret, body and signature as GitHub's documentation gives them for checking an implementation."""
    wanted = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature_is_good(SECRET, b"Hello, World!", wanted)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + hmac.new(SECRET, json.dumps(OPENED).encode(), hashlib.sha1).hexdigest(),
        "x" * 5000,
        "sha256=é",
    ],
)
async def test_a_wrong_signature_is_turned_away(door: httpx.AsyncClient, accepted: Accepted, signature: str) -> None:
    body = json.dumps(OPENED).encode()
    sent = {name.encode(): value.encode() for name, value in (headers(body) | {"X-Hub-Signature-256": signature}).items()}
    answer = await door.post(WEBHOOK_PATH, content=body, headers=sent)
    assert 401 == answer.status_code
    assert [] == accepted


async def test_a_sha1_signature_alone_is_turned_away(door: httpx.AsyncClient, accepted: Accepted) -> None:
    body = json.dumps(OPENED).encode()
    sent = headers(body) | {"X-Hub-Signature": "sha1=" + hmac.new(SECRET, body, hashlib.sha1).hexdigest()}
    del sent["X-Hub-Signature-256"]
    assert 401 == (await door.post(WEBHOOK_PATH, content=body, headers=sent)).status_code
    assert [] == accepted


async def test_another_secret_is_turned_away(door: httpx.AsyncClient, accepted: Accepted) -> None:
    assert 401 == (await deliver(door, secret=b"guessed")).status_code
    assert [] == accepted


@given(body=st.binary(max_size=200), flip=st.integers(min_value=0))
def test_one_changed_bit_breaks_the_signature(body: bytes, flip: int) -> None:
    signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    assert signature_is_good(SECRET, body, signature)
    if body:
        changed = bytearray(body)
        changed[flip % len(body)] ^= 1 << (flip % 8)
        assert not signature_is_good(SECRET, bytes(changed), signature)


@pytest.mark.parametrize("missing", ["X-GitHub-Event", "X-GitHub-Delivery"])
async def test_a_delivery_without_a_name_is_turned_away(door: httpx.AsyncClient, missing: str) -> None:
    body = json.dumps(OPENED).encode()
    sent = {name: value for name, value in headers(body).items() if name != missing}
    assert 400 == (await door.post(WEBHOOK_PATH, content=body, headers=sent)).status_code


async def test_a_body_that_promises_to_be_too_large_is_not_read(door: httpx.AsyncClient, accepted: Accepted) -> None:
    body = b"x" * (LIMIT + 1)
    assert 413 == (await door.post(WEBHOOK_PATH, content=body, headers=headers(body))).status_code


async def test_an_endless_body_without_a_length_is_cut(door: httpx.AsyncClient, accepted: Accepted) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000

    answer = await door.post(WEBHOOK_PATH, content=endless(), headers=headers(b""))
    assert 413 == answer.status_code
    assert sent <= LIMIT + 2000


async def test_the_largest_body_that_may_come_comes(door: httpx.AsyncClient, accepted: Accepted) -> None:
    body = json.dumps(OPENED | {"padding": ""}).encode()
    body = json.dumps(OPENED | {"padding": "x" * (LIMIT - len(body))}).encode()
    assert LIMIT == len(body)
    assert 202 == (await door.post(WEBHOOK_PATH, content=body, headers=headers(body))).status_code


async def test_a_webhook_that_is_set_to_forms_says_how_to_mend_it(door: httpx.AsyncClient, accepted: Accepted) -> None:
    body = b"payload=%7B%7D"
    answer = await door.post(WEBHOOK_PATH, content=body, headers=headers(body) | {"Content-Type": "application/x-www-form-urlencoded"})
    assert 415 == answer.status_code
    assert "application/json" in answer.text


def test_an_empty_secret_opens_to_nobody(tmp_path: Path, accepted: Accepted) -> None:
    with pytest.raises(NeedsHuman, match="is empty"):
        webhook_app(all_settings(tmp_path, secret=""), accepted)


# ── What is said ──


async def test_what_changes_nothing_is_ignored_with_the_reason(door: httpx.AsyncClient, accepted: Accepted) -> None:
    answer = await deliver(door, {"zen": "Design for failure."}, event="ping")
    assert (200, {"ignored": "ping: not an event that concerns us"}) == (answer.status_code, answer.json())
    assert [] == accepted


async def test_our_own_doings_are_ignored(door: httpx.AsyncClient, accepted: Accepted) -> None:
    assert 200 == (await deliver(door, OPENED | {"sender": {"login": "skeebot[bot]"}})).status_code
    assert [] == accepted


async def test_a_delivery_that_temporal_did_not_take_is_not_said_to_be_taken(door: httpx.AsyncClient, accepted: Accepted) -> None:
    accepted.trouble = TryAgain("Temporal is away")
    answer = await deliver(door)
    assert 503 == answer.status_code
    assert "Temporal is away" in answer.text


async def test_signed_rubbish_is_ignored_and_does_no_harm(door: httpx.AsyncClient, accepted: Accepted) -> None:
    body = b'{"action": [[[['
    answer = await door.post(WEBHOOK_PATH, content=body, headers=headers(body))
    assert 200 == answer.status_code
    assert "cannot be read" in answer.json()["ignored"]


async def test_who_runs_the_door_hears_what_github_is_told(
    door: httpx.AsyncClient, accepted: Accepted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="skeebot")
    accepted.trouble = TryAgain("Temporal is away")
    await deliver(door)
    await deliver(door, {"zen": "Design for failure."}, event="ping")
    await deliver(door, secret=b"guessed")
    assert [("WARNING", "503"), ("INFO", "200"), ("WARNING", "401")] == [
        (one.levelname, one.getMessage().split(": ", 1)[1].split()[0]) for one in caplog.records
    ]
    assert "Temporal is away" in caplog.text


async def test_a_door_that_nobody_stands_behind_is_not_well(temporal_server: TemporalServer, tmp_path: Path, accepted: Accepted) -> None:
    other = TemporalServer(temporal_server.program, tmp_path / "other")
    await asyncio.to_thread(other.start)
    app = webhook_app(all_settings(tmp_path), accepted, temporal_health(await other.client()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://door") as client:
        assert 200 == (await client.get(HEALTH_PATH)).status_code
        await asyncio.to_thread(other.kill)
        assert 503 == (await client.get(HEALTH_PATH)).status_code


async def test_the_door_says_that_it_is_well(door: httpx.AsyncClient) -> None:
    assert 200 == (await door.get(HEALTH_PATH)).status_code


@pytest.mark.parametrize(("method", "path", "status"), [("GET", WEBHOOK_PATH, 405), ("POST", "/", 404), ("POST", HEALTH_PATH, 405)])
async def test_nothing_else_is_there(door: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert status == (await door.request(method, path)).status_code


# ── To Temporal ──


@pytest.fixture
async def temporal(temporal_server: TemporalServer) -> Client:
    return await temporal_server.client()


async def signals(handle: WorkflowHandle[Any, Any]) -> list[tuple[str, dict[str, Any]]]:
    history = await handle.fetch_history()
    found = [
        event.workflow_execution_signaled_event_attributes
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    return [(one.signal_name, json.loads(one.input.payloads[0].data)) for one in found]


async def test_a_wake_up_starts_the_story_once_and_signals_it_each_time(temporal: Client) -> None:
    ref = PullRequestRef("acme", "shop", 4711)
    accept = temporal_acceptor(temporal, QUICK)
    await accept(Woke(ref=ref, reason="pull_request.opened", guid="a"))
    await accept(Rerequested(ref=ref, head_sha=HeadSha("a" * 40), actor=Login("dave"), guid="b"))
    await Doorbell(temporal, QUICK).wake_pull_request(Woke(ref=ref, reason="shared head", guid="c"))
    handle = temporal.get_workflow_handle(addresses.pull_request(ref))
    described = await handle.describe()
    assert ("PullRequest", addresses.CONTROL) == (described.workflow_type, described.task_queue)
    assert "acme/shop" == described.typed_search_attributes[addresses.REPOSITORY]
    assert "acme/shop#4711" == described.typed_search_attributes[addresses.PULL_REQUEST]
    assert [("hear", "woke", "a"), ("hear", "rerequested", "b"), ("hear", "woke", "c")] == [
        (name, message["kind"], message["guid"]) for name, message in await signals(handle)
    ]
    await handle.terminate()


async def test_another_spelling_of_the_repository_wakes_the_same_story(temporal: Client) -> None:
    accept = temporal_acceptor(temporal, QUICK)
    await accept(Woke(ref=PullRequestRef("acme", "shop", 4712), reason="pull_request.opened", guid="a"))
    await accept(Woke(ref=PullRequestRef("Acme", "SHOP", 4712), reason="round", guid="b"))
    handle = temporal.get_workflow_handle(addresses.pull_request(PullRequestRef("ACME", "shop", 4712)))
    assert ["a", "b"] == [message["guid"] for _, message in await signals(handle)]
    async with asyncio.timeout(20):  # what is listed lags a little behind what is
        while 4712 not in await OrderActivities(temporal, QUICK).list_stories("ACME/Shop"):
            await asyncio.sleep(0.05)
    await handle.terminate()


async def test_a_push_starts_one_sweep_of_its_branch(temporal: Client) -> None:
    accept = temporal_acceptor(temporal, QUICK)
    for guid in ("a", "b"):
        await accept(BaseMoved(repository="acme/shop", branch="main", after="a" * 40, guid=guid))
    handle = temporal.get_workflow_handle(addresses.sweep("acme/shop", "main"))
    described = await handle.describe()
    assert "Sweep" == described.workflow_type
    assert "acme/shop" == described.typed_search_attributes[addresses.REPOSITORY]
    assert ["a", "b"] == [message["guid"] for name, message in await signals(handle) if name == "again"]
    await handle.terminate()


async def test_a_temporal_that_is_away_is_told_as_try_again(temporal_server: TemporalServer, tmp_path: Path) -> None:
    other = TemporalServer(temporal_server.program, tmp_path)
    await asyncio.to_thread(other.start)
    client = await other.client()
    await asyncio.to_thread(other.kill)
    with pytest.raises(TryAgain, match="Temporal did not accept woke"):
        await temporal_acceptor(client, QUICK)(Woke(ref=ONE, reason="pull_request.opened"))


# ── Through real sockets ──


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}{WEBHOOK_PATH}"
    finally:
        server.should_exit = True
        await task
        listening.close()


async def test_what_happens_on_github_reaches_temporal_however_it_is_delivered(
    github: GitHubStandIn, tmp_path: Path, temporal: Client
) -> None:
    acme: Acme = found_acme(github)
    settings = all_settings(tmp_path, secret=github.webhook_secret, max_bytes=1_000_000)
    async with served(webhook_app(settings, temporal_acceptor(temporal, QUICK))) as url:
        github.send_webhooks_to(url)
        github.world.chaos.deliveries(duplicate=0.5, reorder=0.5, delay=(0, 0.05))
        pull = acme.open_change()
        github.world.add_label(pull, "migration:for:review", by="dave")
        github.world.comment(pull, "dave", ".skeefree help")
        await asyncio.to_thread(github.world.wait_until_delivered)
    outcomes = {(one.event, one.action): one.status_code for one in github.world.outbox.deliveries}
    assert {202} == {
        outcomes["pull_request", "opened"],
        outcomes["pull_request", "labeled"],
        outcomes["issue_comment", "created"],
        outcomes["push", None],
    }
    handle = temporal.get_workflow_handle(addresses.pull_request(ONE))
    heard = {message["reason"] for _, message in await signals(handle)}
    assert {"pull_request.opened", "pull_request.labeled", "issue_comment.created"} == heard
    await handle.terminate()
    await temporal.get_workflow_handle(addresses.sweep("acme/shop", "add-note")).terminate()
