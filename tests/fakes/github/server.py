"""The stand-in as a server: the REST API, git over HTTP, the pages, and the postman for webhooks."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.fakes.github import git_http, pages
from tests.fakes.github.gateway import ConnectionCut, Gateway
from tests.fakes.github.objects import App, Installation
from tests.fakes.github.world import World

API_ROOT = "/api/v3"
"""Where a GitHub Enterprise server keeps its API; that of github.com is a host of its own."""
GRAPHQL_PATH = "/api/graphql"
_GIT = re.compile(r"/([^/]+/[^/]+)\.git(/.*)")
START_PATIENCE = 20.0
"""Seconds."""


class GitHubStandIn:
    """A GitHub of one's own on a free loopback port, in a thread of its own.

    `with GitHubStandIn() as github:` or `async with …`; inside, `github.world` is the world (plain methods, any thread),
    `github.base_url` the REST API's root, `github.html_url` the site's, and `app_id`, `app_slug`, `private_key` and
    `webhook_secret` are the credentials of the one App that is there from the start.
    """

    def __init__(self, *, app_slug: str = "skeebot", webhook_url: str | None = None, folder: Path | None = None, port: int = 0) -> None:
        self.world = World(folder)
        self.app: App = self.world.add_app(app_slug, webhook_url=webhook_url)
        self._gateway = Gateway(self.world)
        self._connections: dict[tuple[str, int], asyncio.Transport] = {}
        # Named as TCP, or asyncio leaves Nagle's algorithm on and every answer waits 40 ms for an acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.html_url = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.html_url}{API_ROOT}"
        self.world.html_url, self.world.api_url = self.html_url, self.base_url
        self._thread: threading.Thread | None = None
        self._server: _ServerThatTells | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    # --- credentials ---

    @property
    def app_id(self) -> int:
        return self.app.id

    @property
    def app_slug(self) -> str:
        return self.app.slug

    @property
    def private_key(self) -> str:
        """PEM."""
        return self.app.private_key_pem

    @property
    def webhook_secret(self) -> str:
        return self.app.webhook_secret

    def send_webhooks_to(self, url: str) -> None:
        """From now on the App's webhooks go to this URL; before, nothing was sent."""
        self.app.webhook_url = url

    def install(self, account: str, **options: Any) -> Installation:
        """Install the App on an account: `github.install("acme")`; options as of `World.install`."""
        return self.world.install(self.app, account, **options)

    def clone_url(self, repository: str) -> str:
        return f"{self.html_url}/{repository}.git"

    # --- running ---

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="github-stand-in", daemon=True)
        self._thread.start()
        if not self._started.wait(START_PATIENCE) or self._failure:
            raise RuntimeError(f"the GitHub stand-in did not start: {self._failure or 'no answer in time'}")
        return self

    def stop(self) -> None:
        if self._server is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._server.leave)
        if self._thread is not None:
            self._thread.join(START_PATIENCE)
        self._socket.close()
        self.world.dispose()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.stop)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._started.set()

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self._asgi,
            http=_protocol_that_remembers(self._connections),
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            log_level="error",
            access_log=False,
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _ServerThatTells(config, self._started)
        self._loop = asyncio.get_running_loop()
        self.world.outbox.attach(self._loop)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            await git_http.ended()
            await self.world.outbox.detach()

    # --- answering ---

    async def _asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request, scope["path"])
        except ConnectionCut:
            connection = self._connections.get(tuple(scope["client"]))
            if connection is not None:
                connection.abort()
                while tuple(scope["client"]) in self._connections:  # else uvicorn believes that we forgot to answer
                    await asyncio.sleep(0)
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request, path: str) -> Response:
        if path == API_ROOT or path.startswith(f"{API_ROOT}/"):
            return await self._gateway.answer(request, path.removeprefix(API_ROOT) or "/")
        if path == GRAPHQL_PATH:
            return await self._gateway.answer(request, "/graphql")
        git = _GIT.fullmatch(path)
        if git:
            return await git_http.answer(self.world, request, git[1], git[2])
        if request.method == "GET":
            return await asyncio.to_thread(pages.answer, self.world, path)
        if request.method == "POST":
            body = await request.body()
            return await asyncio.to_thread(pages.act, self.world, path, body, request.headers.get("origin"))
        return PlainTextResponse("Not Found\n", 404)


class _ServerThatTells(uvicorn.Server):
    """Says when it listens, and leaves at once when asked."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._tell = started
        self._leave = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell.set()

    async def main_loop(self) -> None:
        """Wait to be told to leave: without ticking, a world of tests stops sooner and idles for free."""
        await self._leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Go at once: whoever still waits for an answer of a world that ends has a test to fix, not time to be given."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def leave(self) -> None:
        self._leave.set()


def _protocol_that_remembers(connections: dict[tuple[str, int], asyncio.Transport]) -> type[H11Protocol]:
    """uvicorn's HTTP protocol that also notes each connection by its client's address, so that one can be cut."""

    class Remembering(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            connections[tuple(transport.get_extra_info("peername")[:2])] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(tuple(self.transport.get_extra_info("peername")[:2]), None)
            super().connection_lost(exc)

    return Remembering
