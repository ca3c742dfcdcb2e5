"""The command line against a real Temporal, with and without a worker."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities import command_line
from activities.command_line import DONE, FAILED, REFUSED, read_pull_request_url
from activities.errors import NeedsHuman
from activities.orders import QUERY_PATIENCE
from activities.settings import Settings
from embedded.temporal import TemporalServer
from tests.activities.github.test_intake import all_settings
from tests.workflows.desk import Desk, working
from workflows import addresses
from workflows.messages import PullRequestSnapshot, ReadPullRequest
from workflows.rules.names import PullRequestRef
from workflows.sweep import ENROLMENT_CHANGED

ADD = "add-repo Acme/Shop --owner-team owners --databases-team dbas"
NO_WORKER = "No worker answers on skeebot-control: start worker.py"


@pytest.fixture
def settings(temporal_server: TemporalServer, tmp_path: Path) -> Settings:
    found = all_settings(tmp_path)
    return found.model_copy(update={"temporal": found.temporal.model_copy(update={"address": temporal_server.address})})


@pytest.fixture
async def temporal(temporal_server: TemporalServer) -> AsyncIterator[Client]:
    """Every workflow that the test leaves open is ended afterwards."""
    client = await temporal_server.client()
    yield client
    async for one in client.list_workflows("ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(one.id).terminate("the test is over")


# ── What may be typed ──


@pytest.mark.parametrize(
    "typed",
    [
        "acme/shop#7",
        "https://github.com/acme/shop/pull/7",
        "https://github.com/acme/shop/pull/7/",
        "https://github.com/acme/shop/pull/7/files",
        "https://github.com/acme/shop/pull/7#issuecomment-1",
        "https://github.com/acme/shop/pull/7/commits?page=2",
    ],
)
def test_a_pull_request_is_named_as_a_browser_shows_it(typed: str) -> None:
    assert PullRequestRef("acme", "shop", 7) == read_pull_request_url(typed)


@pytest.mark.parametrize("typed", ["", "acme/shop", "acme/shop/issues/7", "https://github.com/acme/shop/pull/seven", "acme/shop#7a"])
def test_what_is_no_pull_request_says_what_to_write(typed: str) -> None:
    with pytest.raises(NeedsHuman, match="is not a pull request: write https"):
        read_pull_request_url(typed)


# ── With a worker ──


async def test_a_changed_enrolment_is_told_to_every_open_pull_request(
    temporal: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "ENROLMENT_SETTLES", 0.0)
    desk = Desk(client=temporal, ref=PullRequestRef("acme", "shop", 1))
    async with working(desk):
        assert DONE == await command_line.change_registry(settings, ADD)
        await desk.until(lambda: [("acme/shop#1", ENROLMENT_CHANGED)] == [(str(one.ref), one.reason) for one in desk.woken])


async def test_status_shows_why_nothing_is_said_on_a_pull_request(
    temporal: Client, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    class Forbidden(Desk):
        @activity.defn
        async def read_pull_request(self, ask: ReadPullRequest) -> PullRequestSnapshot:
            raise NeedsHuman("Give the App the permission Members: read.")

    desk = Forbidden(client=temporal, ref=PullRequestRef("acme", "shop", 5001))
    async with working(desk):
        await desk.wake()
        async with asyncio.timeout(20):
            while "Give the App the permission" not in capsys.readouterr().out:
                await command_line.show_status(settings, as_json=True)


# ── Without one ──


async def test_an_enrolment_that_no_worker_hears_is_refused_in_time(
    temporal: Client, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert REFUSED == await command_line.change_registry(settings, ADD, patience=0.5)
    assert NO_WORKER in " ".join(capsys.readouterr().err.split())


async def test_a_command_that_no_worker_hears_is_refused_in_time(
    temporal: Client, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await command_line.start_pull_request(settings, "acme/shop#5002")
    assert REFUSED == await command_line.tell_pull_request(settings, "acme/shop#5002", "help", "dana", patience=0.5)
    assert NO_WORKER in " ".join(capsys.readouterr().err.split())


async def test_status_without_a_worker_shows_what_temporal_knows(
    temporal: Client, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "QUERY_PATIENCE", QUERY_PATIENCE / 10)
    await command_line.start_pull_request(settings, "acme/shop#5003")
    shown = ""
    async with asyncio.timeout(20):  # what is listed lags a little behind what is
        while "acme/shop#5003" not in shown:
            assert await command_line.show_status(settings, as_json=True) in {DONE, FAILED}
            shown = capsys.readouterr().out
    assert FAILED == await command_line.show_status(settings)
    assert NO_WORKER in " ".join(capsys.readouterr().err.split())


def test_what_temporal_refuses_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def refused() -> Any:
        raise RPCError("Namespace skeebot is not found.", RPCStatusCode.NOT_FOUND, b"")

    assert REFUSED == command_line.run(refused())
    assert "Namespace skeebot is not found." in capsys.readouterr().err


async def test_a_story_that_was_started_by_hand_is_found_by_its_search_attributes(temporal: Client, settings: Settings) -> None:
    await command_line.start_pull_request(settings, "Acme/Shop#5004")
    described = await temporal.get_workflow_handle(addresses.pull_request(PullRequestRef("acme", "shop", 5004))).describe()
    assert "Acme/Shop#5004" == described.typed_search_attributes[addresses.PULL_REQUEST]


def test_a_program_is_left_with_its_exit_code_after_all_that_it_said() -> None:
    program = "import sys; from activities.command_line import leave_with; leave_with(lambda: (print('said'), sys.exit(2)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (2, "said\n", "") == (ended.returncode, ended.stdout, ended.stderr)
