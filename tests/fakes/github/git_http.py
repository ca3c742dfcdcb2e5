"""git over smart HTTP: each request becomes one `git http-backend` (CGI), after the asker's right was checked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.fakes.github.access import (
    Actor,
    Anonymous,
    AppActor,
    InstallationActor,
    UserActor,
    granted,
    identify,
    reaches,
    sees,
)
from tests.fakes.github.bare_git import environment
from tests.fakes.github.chaos import Failure
from tests.fakes.github.objects import Refused, Repository, RequestRecord, User
from tests.fakes.github.world import World

CHUNK = 1 << 16
Service = Literal["git/upload-pack", "git/receive-pack"]
_PATHS = ("/info/refs", "/git-upload-pack", "/git-receive-pack", "/HEAD")


async def answer(world: World, request: Request, name: str, rest: str) -> Response:
    """Serve `/{owner}/{repo}.git{rest}`; `name` is `owner/repo`."""
    started = time.monotonic()
    pushes = rest == "/git-receive-pack" or "git-receive-pack" == request.query_params.get("service")
    service: Service = "git/receive-pack" if pushes else "git/upload-pack"
    failure = world.chaos.failure_for(service)
    actor_name = "nobody"
    try:
        actor, repository = _admit(world, request, name, service, failure)
        actor_name = actor.name
        await asyncio.to_thread(world.settle_merges, repository)
        response = await _run_backend(world, request, repository, rest, actor)
    except Refused as refusal:
        headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if refusal.status == 401 else {}
        response = Response(f"{refusal.message}\n", refusal.status, headers, "text/plain")
    world.requests.append(
        RequestRecord(
            at=world.exactly_now(),
            method=request.method,
            path=f"/{name}.git{rest}",
            operation=service,
            status=response.status_code,
            actor=actor_name,
            seconds=time.monotonic() - started,
            chaos=str(failure) if failure else None,
        )
    )
    return response


def _admit(world: World, request: Request, name: str, service: Service, failure: Failure | None) -> tuple[Actor, Repository]:
    """Who asks, and the repository, if they may do this to it."""
    if not request.url.path.endswith(_PATHS):
        raise Refused(404, "Not Found")
    if failure is not None:
        raise Refused(failure.status or 502, f"chaos: {failure}")
    writes = service == "git/receive-pack"
    with world.lock:
        actor = identify(world, request.headers.get("authorization"), jwt_expected=False)
        repository = world.repositories.get(name.lower())
        visible = repository is not None and sees(world, actor, repository)
        if isinstance(actor, Anonymous | AppActor) and (writes or not visible):
            raise Refused(401, "Authentication required")
        if repository is None or not visible:
            raise Refused(404, "Repository not found.")
        _require_right(world, actor, repository, writes=writes)
        return actor, repository


def _require_right(world: World, actor: Actor, repository: Repository, *, writes: bool) -> None:
    match actor:
        case InstallationActor(token):
            allowed = granted(token.permissions, (("contents", "write" if writes else "read"),))
            if not allowed or (writes and not reaches(world, token, repository)):
                raise Refused(403, f"Access to {repository}.git denied to {actor.name}.")
        case UserActor(user):
            if writes and not world.may(user, repository, "write"):
                raise Refused(403, f"Permission to {repository}.git denied to {user.login}.")
        case Anonymous() | AppActor():
            pass  # a public repository, for reading


async def _run_backend(world: World, request: Request, repository: Repository, rest: str, actor: Actor) -> Response:
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        env=environment()
        | {
            "GIT_PROJECT_ROOT": str(repository.git.path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
            "PATH_INFO": f"/{repository.git.path.name}{rest}",
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.url.query,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": request.headers.get("content-length", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "REMOTE_USER": actor.name,
            "REMOTE_ADDR": "127.0.0.1",
        },
    )
    feeding = asyncio.create_task(_feed(request, process))
    status, headers = await _read_head(process)
    pusher = actor.user if isinstance(actor, InstallationActor | UserActor) else None
    pushed = pusher if rest == "/git-receive-pack" else None
    return StreamingResponse(_body(world, repository, process, feeding, pushed), status, headers)


async def _feed(request: Request, process: asyncio.subprocess.Process) -> None:
    if process.stdin is None:
        return
    try:
        async for chunk in request.stream():
            process.stdin.write(chunk)
            await process.stdin.drain()
    except ConnectionError:
        pass  # git had read enough and left: its answer says why
    finally:
        process.stdin.close()


async def _read_head(process: asyncio.subprocess.Process) -> tuple[int, dict[str, str]]:
    status, headers = 200, {}
    if process.stdout is not None:
        while line := (await process.stdout.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers[name] = value.strip()
    return status, headers


async def _body(
    world: World,
    repository: Repository,
    process: asyncio.subprocess.Process,
    feeding: asyncio.Task[None],
    pusher: User | None,
) -> AsyncIterator[bytes]:
    try:
        if process.stdout is not None:
            while chunk := await process.stdout.read(CHUNK):
                yield chunk
        await process.wait()
        if pusher is not None:
            # Before the last byte is sent: who has pushed may count on the pull request having moved.
            await asyncio.to_thread(world.refs_changed, repository, pusher)
    finally:
        feeding.cancel()
        if process.returncode is None:
            # In a task of its own: whoever hung up has this one cancelled at every further wait.
            ending = asyncio.create_task(_end(process))
            _endings.add(ending)
            ending.add_done_callback(_endings.discard)


_endings: set[asyncio.Task[None]] = set()


async def _end(process: asyncio.subprocess.Process) -> None:
    """With git's own children, which hold the pipe too; and read to its end, or the pipe outlives the loop."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        while await process.stdout.read(CHUNK):
            pass
    await process.wait()


async def ended() -> None:
    """Everything that was cut off on this loop."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(one for one in _endings if one.get_loop() is loop), return_exceptions=True)
