"""What a test merge of our own costs in a large repository, as docs/decisions/0004 tells it: `python -m tests.activities.git.measure`."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from activities.git.cache import HISTORY_DEPTHS
from tests.fakes.github.bare_git import environment

COMMITS, FILES, BEHIND = 20_000, 200_000, 2_000


def history() -> Iterator[str]:
    """A main branch, and a branch that began BEHIND commits ago."""
    yield "blob\nmark :1\ndata 2\nx\n\n"
    for number in range(COMMITS):
        yield f"commit refs/heads/main\nmark :{number + 2}\ncommitter A <a@b> {10**9 + 600 * number} +0000\ndata 60\n{number:<60}\n"
        yield f"from :{number + 1}\n" if number else ""
        if not number:
            yield from (f"M 100644 :1 d{one % 50}/e{one // 50 % 80}/f{one}.txt\n" for one in range(FILES))
        yield f"M 100644 inline d{number % 50}/n{number % 300}.sql\ndata {len(str(number))}\n{number}\n"
    start = COMMITS + 1 - BEHIND
    yield f"reset refs/heads/start\nfrom :{start}\n"
    yield f"commit refs/heads/head\ncommitter A <a@b> {2 * 10**9} +0000\ndata 2\nh\n"
    yield f"from :{start}\nM 100644 inline d3/mine.sql\ndata 2\nz\n\n"


def timed(*command: str, **more: str) -> float:
    begun = time.monotonic()
    subprocess.run(["git", *command], check=True, env=environment() | more, capture_output=True)
    return time.monotonic() - begun


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, here, index = folder / "server.git", folder / "here.git", folder / "index"
        timed("init", "--quiet", "--bare", str(server))
        stream = "".join(history()).encode()
        subprocess.run(["git", "-C", str(server), "fast-import", "--quiet"], input=stream, check=True, env=environment())
        timed("-C", str(server), "config", "uploadpack.allowFilter", "true")
        for depth in HISTORY_DEPTHS:
            fresh = folder / f"{depth}.git"
            timed("init", "--quiet", "--bare", "--template=", str(fresh))
            took = timed("-C", str(fresh), "fetch", f"--depth={depth}", "--filter=tree:0", f"file://{server}", "main:b", "head:h")
            print(f"commits, {depth} deep: {took:.2f} s, {size(fresh / 'objects'):,} bytes")
        timed("init", "--quiet", "--bare", str(here))
        # As the product's clone: the remote is named for this one command, so that nothing missing is fetched behind our back.
        remote = ("-c", f"remote.m.url=file://{server}", "-c", "remote.m.promisor=true", "-c", "remote.m.partialCloneFilter=blob:none")
        took = timed("-C", str(here), *remote, "fetch", "--depth=1", "--filter=blob:none", "m", "main:b", "head:h", "start:s")
        print(f"trees of base, head and merge base: {took:.2f} s, {size(here / 'objects'):,} bytes")
        took = timed("-C", str(here), "read-tree", "-m", "-i", "--aggressive", "s", "b", "h", GIT_INDEX_FILE=str(index))
        took += timed("-C", str(here), "write-tree", "--missing-ok", GIT_INDEX_FILE=str(index))
        print(f"the merge of {FILES:,} files: {took:.2f} s, an index of {index.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
