"""The socket of a running gh-ost: one line in, an answer, end of file."""

import asyncio
import os
from pathlib import Path
from typing import Final

from activities.ghost.command import SOCKET
from activities.ghost.progress import last_status
from workflows.messages import Progress

PATIENCE_SECONDS: Final = 5.0


class GhostSilentError(Exception):
    """Nobody answers at the socket: gh-ost has not opened it yet, has ended, or hangs."""


async def ask(folder: Path, command: str, *, patience_seconds: float = PATIENCE_SECONDS) -> str:
    """gh-ost's answer to one command ("" for silence before end of file). folder: the run directory. Errors: GhostSilentError."""
    if "\n" in command or "\r" in command:
        raise ValueError(f"A gh-ost command is one line, and this is not: {command!r}")
    try:
        async with asyncio.timeout(patience_seconds):
            return await _ask(folder, command)
    except (OSError, TimeoutError) as wrong:
        raise GhostSilentError(
            f"gh-ost does not answer {command.partition('=')[0]!r} at {folder / SOCKET}: {wrong or 'timed out'}"
        ) from wrong


async def _ask(folder: Path, command: str) -> str:
    # Through the directory's descriptor: the path proper may be longer than a socket address has room for.
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{directory}/{SOCKET}")
    finally:
        os.close(directory)
    try:
        writer.write(f"{command}\n".encode())
        await writer.drain()
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()


async def status(folder: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> Progress | None:
    """What it says of itself now; None if that cannot be read.

    gh-ost writes its status into the changelog table first, so it is silent while the primary is. Errors: GhostSilentError.
    """
    return last_status(await ask(folder, "sup", patience_seconds=patience_seconds))


async def throttle(folder: Path) -> None:
    """Pause until no_throttle. Binary logs must last as long. Errors: GhostSilentError."""
    await ask(folder, "throttle")


async def no_throttle(folder: Path) -> None:
    """Errors: GhostSilentError."""
    await ask(folder, "no-throttle")


async def unpostpone(folder: Path, table: str) -> tuple[bool, str]:
    """Release the held cut-over for one attempt: whether gh-ost took it, and its words.

    It takes it only while it holds, and the run's hook only with a valid grant. Errors: GhostSilentError.
    """
    answer = await ask(folder, f"unpostpone={table}")
    return answer.startswith("Unpostponed"), answer.strip()


async def panic(folder: Path, table: str) -> None:
    """End at once, leaving the tables behind. Errors: GhostSilentError."""
    await ask(folder, f"panic={table}")
