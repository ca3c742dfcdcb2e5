"""One git process: a clean environment, a time limit, bounded output, and nothing left running when it is cancelled."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from activities.errors import NeedsHuman

_OPERATORS_OWN: Final = (
    "PATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
)
"""How this machine reaches the network is the operator's business and nobody else's; everything else of the environment stays outside."""

_SAFE: Final = {
    "core.hooksPath": "/dev/null",
    "core.symlinks": "false",
    "core.protectNTFS": "false",  # nothing is checked out: names that only other systems cannot have are good names
    "core.protectHFS": "false",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.followRedirects": "false",  # a redirect must not carry the token to another host
    "http.lowSpeedLimit": "500",
    "http.lowSpeedTime": "20",
    "pack.threads": "1",
    "core.bigFileThreshold": "2m",  # larger blobs are streamed, never inflated in memory
}

_ERROR_BYTES: Final = 64_000
_SIZE_BLOCK: Final = 512
"""POSIX: the unit of `ulimit -f`."""


@dataclass(frozen=True)
class Finished:
    """code: the exit status, negative for a signal. error: the end of stderr."""

    code: int
    output: bytes
    error: str


class TooMuchOutput(Exception):  # noqa: N818 - what it says is what happened
    """git wrote more than the caller wants to look at; it was stopped."""


def clean_environment(home: Path, protocol: str, config: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a git process. config travels as GIT_CONFIG_* variables, so that secrets are in no argument and no file.

    protocol: the only transport that git may use.
    """
    environment = {name: os.environ[name] for name in _OPERATORS_OWN if name in os.environ}
    environment |= {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocol,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    settings = _SAFE | dict(config)
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for at, (key, value) in enumerate(settings.items()):
        environment[f"GIT_CONFIG_KEY_{at}"] = key
        environment[f"GIT_CONFIG_VALUE_{at}"] = value
    return environment


async def run_git(
    program: str,
    arguments: Sequence[str | bytes],
    *,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    output_limit: int,
    file_limit: int | None = None,
    inherit: Sequence[int] = (),
) -> Finished:
    """Run git to its end. The caller's time-out or cancellation kills git and everything that it started.

    output_limit: bytes of stdout before it is stopped. file_limit: bytes that any file it writes may have. inherit: file descriptors that
    stay open in git. Errors: TooMuchOutput, NeedsHuman when git is not there.
    """
    command: list[str | bytes] = [program, *arguments]
    if file_limit is not None:
        # The limit has to be there before git runs, and Python cannot set it safely between fork and exec of a process with threads.
        command = ["/bin/sh", "-c", 'ulimit -f "$0" && exec "$@"', str(-(-file_limit // _SIZE_BLOCK)), *command]
    async with _started(command, environment, inherit) as process:
        assert process.stdin is not None  # noqa: S101 - all three are pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        try:
            async with asyncio.TaskGroup() as talking:
                talking.create_task(_feed(process.stdin, stdin))
                output = talking.create_task(_read(process.stdout, output_limit))
                error = talking.create_task(_read_end(process.stderr, _ERROR_BYTES))
        except* TooMuchOutput:
            raise TooMuchOutput from None
        code = await process.wait()
    return Finished(code=code, output=output.result(), error=error.result().decode(errors="replace").strip())


@contextlib.asynccontextmanager
async def _started(
    command: Sequence[str | bytes], environment: Mapping[str, str], inherit: Sequence[int]
) -> AsyncIterator[asyncio.subprocess.Process]:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
            pass_fds=inherit,
        )
    )
    try:
        # Shielded: asyncio ends a start that is cancelled half-way by killing the parent alone, and its children would live on.
        process = await asyncio.shield(starting)
    except FileNotFoundError as wrong:
        raise NeedsHuman("git is not there: install it on the worker or correct diff.git in the settings.") from wrong
    except asyncio.CancelledError:
        await _surely(_end_when_started(starting))
        raise
    try:
        yield process
    finally:
        await _surely(_end(process))


async def _surely(ending: Coroutine[Any, Any, None]) -> None:
    """To its end, which is near, however often it is cancelled meanwhile: half an ending leaves pipes open."""
    doing = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError as again:
            cancelled = again
    if cancelled is not None:
        raise cancelled


async def _end_when_started(starting: "asyncio.Future[asyncio.subprocess.Process]") -> None:
    with contextlib.suppress(OSError):
        await _end(await starting)


async def _end(process: asyncio.subprocess.Process) -> None:
    """The whole group: git fetch works through children, and a killed parent leaves them at it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    with contextlib.suppress(TimeoutError):  # one that ended by itself may have left output that nobody wanted
        async with asyncio.timeout(1):
            await _close(process)


async def _close(process: asyncio.subprocess.Process) -> None:
    """Read the pipes to their end: until then asyncio keeps them open."""
    for pipe in (process.stdout, process.stderr):
        while pipe is not None and await pipe.read(65536):
            pass


async def _feed(pipe: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(content)
        await pipe.drain()
    pipe.close()


async def _read(pipe: asyncio.StreamReader, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await pipe.read(65536):
        size += len(part)
        if size > limit:
            raise TooMuchOutput
        parts.append(part)
    return b"".join(parts)


async def _read_end(pipe: asyncio.StreamReader, limit: int) -> bytes:
    kept = b""
    while part := await pipe.read(65536):
        kept = (kept + part)[-limit:]
    return kept
