"""Chat: told where it works, and never in the way where it does not."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.notify import Notifier
from activities.settings import NotifySettings
from workflows.messages import Notice

NOTICE = Notice(subject="acme/shop#42 is complete", body="Deploy and merge.")


class Channel(BaseHTTPRequestHandler):
    """A webhook that takes what Apprise's json:// sends."""

    def do_POST(self) -> None:
        got = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(got))  # type: ignore[attr-defined]  # put there by the fixture
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name that http.server gives it)
        """Quiet."""


@pytest.fixture
def channel() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Channel)
    server.got = []  # type: ignore[attr-defined]  # read by the tests
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def got(channel: HTTPServer) -> list[dict[str, str]]:
    return list(channel.got)  # type: ignore[attr-defined]  # put there by the fixture


async def tell(urls_file: Path | None) -> None:
    await ActivityEnvironment().run(Notifier(NotifySettings(urls_file=urls_file)).notify, NOTICE)


async def test_a_channel_is_told_subject_and_body(channel: HTTPServer, tmp_path: Path) -> None:
    urls = tmp_path / "urls"
    urls.write_text(f"# our room\n\njson://127.0.0.1:{channel.server_port}/token\n")
    await tell(urls)
    assert [("acme/shop#42 is complete", "Deploy and merge.")] == [(one["title"], one["message"]) for one in got(channel)]


async def test_one_bad_channel_does_not_silence_the_others(channel: HTTPServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    urls = tmp_path / "urls"
    urls.write_text(f"nonsense://secret-token@\njson://127.0.0.1:1/secret-token\njson://127.0.0.1:{channel.server_port}/token\n")
    with caplog.at_level(logging.WARNING, logger="temporalio.activity"):
        await tell(urls)
    assert 1 == len(got(channel))
    ours = [record.getMessage() for record in caplog.records if record.name == "temporalio.activity"]
    assert any("not every chat channel took this" in line for line in ours)
    assert not any("secret-token" in line for line in ours)


async def test_no_channel_is_nothing_to_do(tmp_path: Path) -> None:
    await tell(None)
    (tmp_path / "urls").write_text("# none yet\n")
    await tell(tmp_path / "urls")


async def test_a_file_that_is_not_there_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="temporalio.activity"):
        await tell(tmp_path / "urls")
    assert "cannot read the chat channels" in caplog.text


async def test_a_file_that_is_not_text_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "urls").write_bytes(b"\xff\xfe\x00json://")
    await tell(tmp_path / "urls")
