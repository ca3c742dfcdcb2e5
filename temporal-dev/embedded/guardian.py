"""Outlives its parent by a moment, and ends what the parent left running. Run as a program; standard library only.

A child process cannot be told reliably to die with its parent: the kernel's parent-death signal follows the *thread*
that started it, and exit handlers do not run on SIGKILL. So one guardian per Python process reads this from a pipe:

    watch PID       that process group is to end when the pipe does
    forget PID      it has ended already
    folder PATH     that temporary folder is to go, too
    kept PATH       that one has gone already, or is to stay

and the kernel closes the pipe however the parent ends.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 5.0


def main() -> None:
    groups: dict[int, None] = {}
    folders: dict[str, None] = {}
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "watch":
            groups[int(rest)] = None
        elif word == "forget":
            groups.pop(int(rest), None)
        elif word == "folder":
            folders[rest] = None
        elif word == "kept":
            folders.pop(rest, None)
    _end(list(groups))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(groups: list[int]) -> None:
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(_alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(groups, signal.SIGKILL)


def _signal(groups: list[int], number: signal.Signals) -> None:
    for group in groups:
        try:
            os.killpg(group, number)
        except OSError:
            continue


def _alive(group: int) -> bool:
    stat = Path(f"/proc/{group}/stat")
    try:
        os.killpg(group, 0)
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the pipe ends us
    main()
