"""One git process, whatever becomes of who asked for it."""

import asyncio
import os
from pathlib import Path

import pytest

from activities.git.command import Finished, clean_environment, run_git


def asked(home: Path, script: str) -> "asyncio.Task[Finished]":
    """A shell in git's place."""
    environment = clean_environment(home, "https", {})
    return asyncio.create_task(run_git("/bin/sh", ["-c", script], environment=environment, output_limit=1_000))


async def test_cancelled_again_and_again_it_still_ends_with_everything_that_it_started(tmp_path: Path) -> None:
    asking = asked(tmp_path, f"echo $$ > {tmp_path}/started; mv {tmp_path}/started {tmp_path}/pid; sleep 600 & sleep 600")
    async with asyncio.timeout(30):
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
    group = int((tmp_path / "pid").read_text())
    async with asyncio.timeout(30):
        while not asking.done():
            asking.cancel()
            await asyncio.sleep(0)
    assert asking.cancelled()
    assert not is_known(group), "waited for, not even a zombie"
    async with asyncio.timeout(30):
        while is_there(group):
            await asyncio.sleep(0.01)


def is_known(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def is_there(group: int) -> bool:
    """Any process of that group, which is no zombie that only waits to be counted."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            return True
    return False


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="git is not there"):
        await run_git("/nowhere/git", ["version"], environment=dict(os.environ), output_limit=1_000)
