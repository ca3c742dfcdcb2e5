"""What the stand-in's own tests share: Acme, a githubkit client, and somebody who receives webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from githubkit import AppAuthStrategy, AppInstallationAuthStrategy, GitHub
from githubkit.cache import MemCacheStrategy

from tests.fakes.github.fixtures import Acme, acme, github
from tests.fakes.github.outbox import NO_AUTHORITIES

__all__ = ["acme", "github"]


def client_for(acme: Acme, **options: Any) -> GitHub[AppInstallationAuthStrategy]:
    """githubkit as skeebot uses it: as the installation, without its HTTP cache and without its retries."""
    auth = AppInstallationAuthStrategy(acme.github.app_id, acme.github.private_key, acme.installation.id, **options)
    return GitHub(
        auth,
        base_url=acme.github.base_url,
        http_cache=False,
        auto_retry=False,
        timeout=20.0,
        ssl_verify=NO_AUTHORITIES,
        cache_strategy=MemCacheStrategy(),
    )


def app_client_for(acme: Acme) -> GitHub[AppAuthStrategy]:
    """githubkit as the App itself."""
    auth = AppAuthStrategy(acme.github.app_id, acme.github.private_key)
    return GitHub(
        auth,
        base_url=acme.github.base_url,
        http_cache=False,
        auto_retry=False,
        timeout=20.0,
        ssl_verify=NO_AUTHORITIES,
        cache_strategy=MemCacheStrategy(),
    )


@pytest.fixture
async def client(acme: Acme) -> AsyncIterator[GitHub[AppInstallationAuthStrategy]]:
    async with client_for(acme) as opened:
        yield opened


@pytest.fixture
def api(acme: Acme) -> Iterator[httpx.Client]:
    """Plain HTTP with an installation token, for what githubkit would hide."""
    token = acme.world.issue_token(acme.installation).value
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=acme.github.base_url, headers=headers, trust_env=False, verify=NO_AUTHORITIES) as opened:
        yield opened


@dataclass
class Letter:
    event: str
    guid: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A web server that keeps every webhook it gets and answers with `status`."""

    url: str
    letters: list[Letter] = field(default_factory=list)
    status: int = 202

    def named(self, event: str, action: str | None = None) -> list[Letter]:
        return [x for x in self.letters if x.event == event and action in (None, x.payload.get("action"))]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = dict(self.headers)
            inbox.letters.append(Letter(headers["X-GitHub-Event"], headers["X-GitHub-Delivery"], headers, body))
            self.send_response(inbox.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class names it so)
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inbox = Receiver(f"http://127.0.0.1:{server.server_address[1]}/webhooks")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield inbox
    server.shutdown()
    server.server_close()
    thread.join(5)
