"""Bare, partial, shallow clones on this worker's disk: one per repository, one user at a time.

Only trees and the few blobs that somebody asked for ever arrive. The clone's own configuration names no remote, so that reading a missing
object says "missing" instead of fetching it behind our back (a git that fetches lazily does so one request per object).
"""

import asyncio
import base64
import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from activities.errors import NeedsHuman, TryAgain
from activities.git.command import Finished, TooMuchOutput, clean_environment, run_git
from activities.settings import DiffSettings, GitHubSettings

TokenFor = Callable[[str], Awaitable[str]]
"""repository ("owner/name") → an installation token that may read its contents; "" to ask without one."""

PACKS_BEFORE_A_FRESH_START: Final = 400
"""Each fetch leaves a pack; a clone with this many is thrown away. Fetching again is cheaper than repacking, and cannot go wrong."""

OLDEST_GIT: Final = (2, 38)
"""The first whose merge-tree merges without a checkout; GIT_CONFIG_COUNT is older."""

HISTORY_DEPTHS: Final = (100, 2_000, 2_147_483_647)
"""How far below both tips their common ancestor is looked for, step by step; git takes the last for "all of it"."""

_LOCK_POLL_SECONDS: Final = 0.02
_LISTING_BYTES: Final = 64_000_000
_TREES_BYTES: Final = 1_000_000_000
"""What a pack of trees may have: a repository of a million files comes to about a tenth."""

_REPOSITORY: Final = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}/(?!\.\.?$)[A-Za-z0-9._-]{1,100}")
_OID: Final = re.compile(r"[0-9a-f]{40}")
_REMOTE: Final = "skeebot"


class TooLargeToFetch(Exception):  # noqa: N818 - what it says is what happened
    """The server sent more than the file limit; the transfer was cut off."""


class NotThere(Exception):  # noqa: N818 - what it says is what happened
    """The server has no such ref or commit."""


class Damaged(Exception):  # noqa: N818 - what it says is what happened
    """The clone cannot be read."""


@dataclass
class GitCache:
    """Where the clones are. Make one per worker."""

    diff: DiffSettings
    github: GitHubSettings
    token_for: TokenFor
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _git_is_known: bool = False

    @contextlib.asynccontextmanager
    async def clone_of(self, repository: str) -> AsyncIterator["Clone"]:
        """The clone of "owner/name", for this caller alone, across all processes that share the folder.

        The lock is held by git's processes too: a git that outlives its worker keeps others out until it has ended. Waiting for it has no
        limit of its own: each who holds it has one. Errors: NeedsHuman, TimeoutError when making the clone ready takes too long.
        """
        self.protocol()
        if not _REPOSITORY.fullmatch(repository):
            raise NeedsHuman(f"{repository!r} is no repository name; enrol repositories as owner/name.")
        folder = self.diff.cache_directory.expanduser().absolute() / f"{repository.lower()}.git"
        async with self._locks.setdefault(repository.lower(), asyncio.Lock()), _locked(folder.with_suffix(".lock")) as lock:
            clone = Clone(cache=self, repository=repository, folder=folder, lock=lock)
            async with asyncio.timeout(self.diff.ceilings.seconds):
                if not self._git_is_known:
                    await clone.require_git()
                    self._git_is_known = True
                await clone.prepare()
            yield clone

    def protocol(self) -> str:
        """The one transport that git may use. Errors: NeedsHuman unless it is HTTP."""
        scheme = urlsplit(self.github.html_url).scheme
        if scheme not in ("https", "http"):
            raise NeedsHuman(f"github.html_url is {self.github.html_url!r}; skeebot's git speaks only https (or http) with GitHub.")
        return scheme

    def url(self, repository: str) -> str:
        return f"{self.github.html_url.rstrip('/')}/{repository}.git"


@dataclass
class Clone:
    """One repository's clone while it is ours."""

    cache: GitCache
    repository: str
    folder: Path
    lock: int

    async def require_git(self) -> None:
        """Errors: NeedsHuman when git is too old to take its configuration from the environment: it would ignore what keeps it safe."""
        said = (await self._git("version", inside=False)).output.decode(errors="replace")
        version = re.search(r"(\d+)\.(\d+)", said)
        if version is None or (int(version.group(1)), int(version.group(2))) < OLDEST_GIT:
            raise NeedsHuman(f"{said.strip() or 'git'} is too old: skeebot needs git {'.'.join(map(str, OLDEST_GIT))} or newer.")

    async def prepare(self) -> None:
        """Make the clone where there is none; clear away what a killed git left. Errors: NeedsHuman when the folder cannot be written."""
        try:
            if await asyncio.to_thread(_is_worn, self.folder):
                await asyncio.to_thread(shutil.rmtree, self.folder)
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as wrong:
            raise NeedsHuman(f"The git cache {self.folder} cannot be written: {wrong.strerror}. Correct diff.cache_directory.") from wrong
        if not (self.folder / "HEAD").exists():
            await self._must("init", "--quiet", "--bare", "--template=", "--", str(self.folder), inside=False)
            (self.folder / "HEAD").write_text("ref: refs/heads/none\n")

    @property
    def home(self) -> Path:
        return self.folder.parent / ".home"

    async def throw_away(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        await self.prepare()

    # ── Reading: never touches the network ──────────────────────────────────────────────────────────────────────────

    async def commit_of(self, ref: str) -> str:
        """The commit that a local ref names, "" for none."""
        found = await self._git("rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        return found.output.decode().strip() if found.code == 0 else ""

    async def parents_of(self, commit: str) -> tuple[str, ...]:
        """As the commit object itself says (a shallow clone's history says less). Empty where the commit is not here."""
        found = await self._git("cat-file", "commit", oid(commit))
        if found.code != 0:
            return ()
        head = found.output.partition(b"\n\n")[0].decode(errors="replace")
        return tuple(line.split()[1] for line in head.splitlines() if line.startswith("parent "))

    async def output_of(self, *arguments: str | bytes, stdin: bytes = b"", limit: int = _LISTING_BYTES, index: Path | None = None) -> bytes:
        """What a command prints that works on what is here. index: the clone itself has none.

        Errors: Damaged, TooMuchOutput.
        """
        return (await self._must(*arguments, stdin=stdin, limit=limit, index=index)).output

    async def attempt(self, *arguments: str | bytes, index: Path | None = None) -> Finished:
        """The same where a failure is an answer. Errors: TooMuchOutput."""
        return await self._git(*arguments, index=index)

    async def sizes_of(self, oids: Iterable[str]) -> dict[str, int]:
        """Bytes of each blob that is here; those that are not are left out."""
        wanted = sorted(set(oids))
        listing = await self._must("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", stdin=_lines(wanted))
        found = (line.split() for line in listing.output.decode().splitlines())
        return {parts[0]: int(parts[2]) for parts in found if len(parts) == 3 and parts[1] == "blob"}

    async def read_blobs(self, oids: Iterable[str], *, limit: int) -> dict[str, bytes]:
        """Contents of blobs that are here. limit: bytes altogether."""
        wanted = sorted(set(oids))
        finished = await self._must("cat-file", "--batch", stdin=_lines(wanted), limit=limit + 100 * len(wanted))
        contents: dict[str, bytes] = {}
        at = 0
        while at < len(finished.output):
            end = finished.output.index(b"\n", at)
            name, kind, size = finished.output[at:end].decode().split()
            if kind != "blob":
                raise Damaged(f"{name} is a {kind}")
            contents[name] = finished.output[end + 1 : end + 1 + int(size)]
            at = end + 2 + int(size)
        return contents

    async def point(self, ref: str, commit: str) -> None:
        """Remember a commit that is here by a local ref."""
        await self._must("update-ref", ref, oid(commit))

    # ── Fetching: three requests for a ref, two for objects by name ─────────────────────────────────────────────────

    async def fetch_ref(self, ref: str, into: str) -> None:
        """Bring one ref's commit, its parents and all their trees, but no contents. Errors: NotThere, TryAgain, NeedsHuman."""
        await self._fetch(["--depth=2", "--filter=blob:none"], [f"+{ref}:{into}"], file_limit=_TREES_BYTES)

    async def fetch_commit(self, commit: str) -> None:
        """The same for a commit by its name. Errors: as fetch_ref."""
        await self._fetch(["--depth=2", "--filter=blob:none"], [oid(commit)], file_limit=_TREES_BYTES)

    async def fetch_commits(self, commits: Iterable[str]) -> None:
        """Those that are not here, with their trees but without their parents, in one batch. Errors: as fetch_ref."""
        missing = [one for one in sorted(set(commits)) if not await self.commit_of(oid(one))]
        if missing:
            await self._fetch(["--depth=1", "--filter=blob:none"], missing, file_limit=_TREES_BYTES)

    async def merge_bases(self, base: str, head: str) -> tuple[str, ...]:
        """The best common ancestors of two commits: one, as a rule; none where their histories have nothing in common.

        Commits alone are fetched, into a repository that goes again: here they would look like commits whose trees are here too. As deep
        as it takes: an ancestor found while a line of history that only one of the two has is cut off may not be the best.
        Errors: as fetch_ref.
        """
        history = replace(self, folder=self.folder.with_suffix(".history"))
        try:
            await history.throw_away()  # what a killed worker left
            for depth in HISTORY_DEPTHS:
                tips = [f"+{oid(base)}:refs/skeebot/base", f"+{oid(head)}:refs/skeebot/head"]
                await history._fetch([f"--depth={depth}", "--filter=tree:0"], tips, file_limit=_TREES_BYTES)
                cut_off = set((await asyncio.to_thread(_text_of, history.folder / "shallow")).split())
                found = await history._git("merge-base", "--all", base, head)
                best = tuple(sorted(found.output.decode().split()))
                if not cut_off or (len(best) == 1 and cut_off.isdisjoint(await history._only_one_has(base, head))):
                    return best
        finally:
            await asyncio.to_thread(shutil.rmtree, history.folder, ignore_errors=True)
        raise Damaged(f"the history of {base} and {head} is cut off although all of it was asked for")

    async def _only_one_has(self, base: str, head: str) -> set[str]:
        return set((await self.output_of("rev-list", f"{base}...{head}")).decode().split())

    async def fetch_blobs(self, oids: Iterable[str], *, limit: int) -> None:
        """Bring blobs by name in one batch. limit: bytes of the (compressed) transfer. Errors: as fetch_ref, TooLargeToFetch."""
        wanted = sorted({oid(one) for one in oids})
        if wanted:
            await self._fetch(["--filter=blob:none", "--stdin"], [], stdin=_lines(wanted), file_limit=limit, negotiate=False)

    async def _fetch(
        self, options: Sequence[str], refspecs: Sequence[str], *, file_limit: int, stdin: bytes = b"", negotiate: bool = True
    ) -> None:
        url = self.cache.url(self.repository)
        config = {
            f"remote.{_REMOTE}.url": url,
            f"remote.{_REMOTE}.promisor": "true",
            f"remote.{_REMOTE}.partialCloneFilter": "blob:none",
        }
        if not negotiate:
            config["fetch.negotiationAlgorithm"] = "noop"
        if token := await self.cache.token_for(self.repository):
            basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
            config["http.extraHeader"] = f"Authorization: Basic {basic}"
        silent = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"]
        finished = await self._git(
            "fetch", *silent, *options, "--", _REMOTE, *refspecs, config=config, stdin=stdin, file_limit=file_limit, inside=True
        )
        if finished.code != 0:
            raise _fetch_trouble(self.repository, finished)

    # ── git itself ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _must(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        limit: int = _LISTING_BYTES,
        index: Path | None = None,
        inside: bool = True,
    ) -> Finished:
        finished = await self._git(*arguments, stdin=stdin, limit=limit, index=index, inside=inside)
        if finished.code != 0:
            raise Damaged(finished.error or f"git {arguments[0]!r} ended with {finished.code}")
        return finished

    async def _git(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        limit: int = _LISTING_BYTES,
        file_limit: int | None = None,
        config: dict[str, str] | None = None,
        index: Path | None = None,
        inside: bool = True,
    ) -> Finished:
        place = [f"--git-dir={self.folder}"] if inside else []
        environment = clean_environment(self.home, self.cache.protocol(), config or {})
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        return await run_git(
            self.cache.diff.git,
            [*place, *arguments],
            environment=environment,
            stdin=stdin,
            output_limit=limit,
            file_limit=file_limit,
            inherit=[self.lock],
        )


def oid(text: str) -> str:
    """text, if it is a full object name. Errors: NeedsHuman, because GitHub and git never send anything else."""
    if not _OID.fullmatch(text):
        raise NeedsHuman(f"{text!r} is no full SHA-1 of a git object; repositories that use SHA-256 are not supported.")
    return text


@contextlib.asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[int]:
    """An exclusive flock; waiting for it can be cancelled."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise NeedsHuman(f"The git cache's lock {file} cannot be opened: {wrong.strerror}. Correct diff.cache_directory.") from wrong
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield handle
    finally:
        os.close(handle)


def _is_worn(folder: Path) -> bool:
    """Whether the clone should be made anew. Clears git's own lock files: while the flock is ours, no git works here."""
    if not folder.exists():
        return False
    for leftover in (*folder.glob("*.lock"), *folder.glob("refs/**/*.lock"), *folder.glob("objects/pack/tmp_*")):
        leftover.unlink(missing_ok=True)
    packs = sum(1 for _ in folder.glob("objects/pack/*.pack"))
    return packs > PACKS_BEFORE_A_FRESH_START or not (folder / "HEAD").exists()


def _text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _lines(oids: Sequence[str]) -> bytes:
    return "".join(f"{one}\n" for one in oids).encode()


_NOT_THERE: Final = re.compile(r"couldn't find remote ref|not our ref|no such remote ref")
_NOT_ALLOWED: Final = re.compile(
    r"Authentication failed|could not read Username|could not read Password|returned error: (?:401|404|30\d)|[Nn]ot found"
)
_CUT_OFF: Final = re.compile(r"signal 25|File too large|signal: 25")
_NETWORK: Final = re.compile(
    r"unable to access|returned error: [45]|RPC failed|early EOF|hung up|unexpected disconnect|expected flush|Could not resolve|timed out"
)


def _fetch_trouble(repository: str, finished: Finished) -> Exception:
    said = finished.error
    if _CUT_OFF.search(said):
        return TooLargeToFetch(said)
    if _NOT_THERE.search(said):
        return NotThere(said)
    if _NOT_ALLOWED.search(said):
        return NeedsHuman(
            f"git may not read {repository}: {_last_line(said)}. Install the GitHub App on it with permission to read contents, "
            "or correct the enrolment if the repository was renamed."
        )
    if _NETWORK.search(said):
        return TryAgain(f"git could not fetch from {repository}: {_last_line(said)}. It will be tried again.")
    # Not the other side's fault: a clone made anew is the cure for whatever ails this one.
    return Damaged(said or f"git fetch ended with {finished.code}")


def _last_line(text: str) -> str:
    return text.splitlines()[-1][:300] if text else ""


__all__ = ["Clone", "Damaged", "GitCache", "NotThere", "TokenFor", "TooLargeToFetch", "TooMuchOutput", "oid"]
