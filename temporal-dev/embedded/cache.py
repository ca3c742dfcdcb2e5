"""The per-user cache: what was fetched or built once, keyed by tool and version.

Two processes may want the same entry at once. Whoever holds the entry's lock makes it in a folder of its own and moves
it into place in one rename, so an entry either exists and is whole, or does not exist.
"""

import fcntl
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BEING_MADE = ".being-made-"


def cache_root() -> Path:
    """`$SKEEBOT_CACHE`, else `$XDG_CACHE_HOME/skeebot`, else `~/.cache/skeebot`; created where it is missing."""
    if chosen := os.environ.get("SKEEBOT_CACHE"):
        root = Path(chosen)
    elif xdg := os.environ.get("XDG_CACHE_HOME"):
        root = Path(xdg) / "skeebot"
    else:
        root = Path.home() / ".cache" / "skeebot"
    root = root.expanduser().absolute()
    root.mkdir(parents=True, exist_ok=True)
    return root


def machine() -> str:
    """The platform part of a key, such as `linux-x86_64`: a home folder may be shared between machines."""
    return f"{sys.platform}-{platform.machine()}"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock of that name; waits for whoever has it. The kernel frees it when its holder dies."""
    locks = cache_root() / "locks"
    locks.mkdir(exist_ok=True)
    with (locks / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(key: str, make: Callable[[Path], None]) -> Path:
    """The folder of `key`, made by `make(empty_folder)` if it is not there yet.

    What `make` raises is passed on and leaves no entry behind, so the next call tries again.
    """
    root = cache_root()
    entry = root / key
    if entry.is_dir():
        return entry
    with locked(key):
        if entry.is_dir():
            return entry
        prefix = f"{_BEING_MADE}{key}-"
        for abandoned in root.glob(f"{prefix}*"):  # by a maker that was killed: we hold its lock, so it is gone
            remove(abandoned)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        try:
            make(folder)
            folder.chmod(0o755)
            folder.rename(entry)
        finally:
            remove(folder)
    return entry


def remove(folder: Path) -> None:
    """Remove a folder of ours and all in it, read-only folders (Go makes some) included; missing is fine."""
    if not folder.exists():
        return
    for inner, _, _ in os.walk(folder):
        os.chmod(inner, 0o700)  # noqa: PTH101 - os.walk hands out strings
    shutil.rmtree(folder, ignore_errors=True)
