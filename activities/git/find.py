"""Which enrolled directories and tables a pull request changes, and what their files say: the activity, and what the planner asks."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal, TypeVar

from temporalio import activity

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.git.cache import Clone, Damaged, GitCache, NotThere, TokenFor, TooLargeToFetch, TooMuchOutput
from activities.git.merge import ChangedFile, TestMerge, changed_files, find_merge, make_merge
from activities.git.threeway import Scope
from activities.git.tree import (
    OPTION_FILE,
    DirectoryContent,
    Entry,
    Listing,
    below,
    bring,
    clean_path,
    hostile,
    hostile_below,
    list_directory,
    option_blobs,
    oversized,
    read_directory,
)
from activities.pulse import heartbeating
from activities.settings import Settings
from activities.skeema.options import OptionFiles, read_option_files
from activities.skeema.sources import Sources, TableSource, read_sources, read_table, shown, together, too_large, too_many
from workflows.messages import ChangedDirectory, Changes, FindChanges
from workflows.rules.names import HeadSha
from workflows.rules.plan import Directory, Refusal

PATIENCE: Final = 3
"""Attempts at what is too slow or cannot be fetched before it is said on the pull request."""

_AFTER: Final = timedelta(seconds=2)
_UNMAPPED_LIMIT: Final = 2000
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Sides:
    """One directory before and after. changed: the `*.sql` files directly in it that differ, removed ones included."""

    path: str
    base: Listing
    merge: Listing
    changed: frozenset[str]


@dataclass(frozen=True)
class _Looked:
    """What one directory came to. tables: names that its changed files define on either side."""

    tables: tuple[str, ...] = ()
    refusal: Refusal | None = None


class GitActivities:
    """Everything that git is asked. token_for: see activities.git.cache.TokenFor."""

    def __init__(self, settings: Settings, token_for: TokenFor) -> None:
        self._ceilings = settings.diff.ceilings
        self._prefix = settings.protocol.command_prefix
        self._cache = GitCache(settings.diff, settings.github, token_for)

    # ── The activity ────────────────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def find_changes(self, ask: FindChanges) -> Changes:
        """Fetch the test merge or make it, and say which enrolled directories and tables it changes.

        Errors: TryAgain while it cannot be fetched and read in time (PATIENCE attempts, then it is a refusal that passes by itself);
        NeedsHuman when the repository cannot be read.
        """
        try:
            async with heartbeating(lambda: ()):
                return await self._with_clone(ask.ref.repository, lambda clone: self._find(clone, ask))
        except TimeoutError as late:
            slow = _too_slow(ask, self._ceilings.seconds, self._prefix)
            if activity.in_activity() and activity.info().attempt <= PATIENCE:
                raise TryAgain(f"{slow.what} Looking again shortly.", after=_AFTER) from late
            return Changes(refusal=slow)
        except TryAgain as trouble:
            if not activity.in_activity() or activity.info().attempt <= PATIENCE:
                raise
            return Changes(refusal=_not_fetched(ask, trouble, self._prefix))

    async def _find(self, clone: Clone, ask: FindChanges) -> Changes:
        stranger = ask.from_fork and not ask.allow_fork
        paths = sorted({clean_path(one.path) for one in ask.enrolment.directories})
        scope = Scope(str(ask.ref), tuple(paths), self._ceilings, read=not stranger)
        merge = await find_merge(clone, ask.ref, ask.head_sha, ask.base_sha, scope)
        if isinstance(merge, Refusal):
            return Changes(base_sha=ask.base_sha, head_sha=ask.head_sha, refusal=merge)
        known = Changes(merge_sha=merge.sha, base_sha=merge.base, head_sha=ask.head_sha)
        files = await changed_files(clone, merge, paths)
        if files is None:
            return replace(known, refusal=_beyond_counting(ask))
        elsewhere = await self._unmapped(clone, merge, paths, files, fetch=not stranger)
        if elsewhere is None:
            return replace(known, refusal=_beyond_counting(ask))
        sides = [side for path in paths if (side := await _sides(clone, merge, path, files)) is not None]
        if stranger:
            if not sides and not elsewhere:
                return known
            looked = {side.path: _Looked() for side in sides}
            return replace(known, directories=_rows(ask, looked), refusal=_fork(ask, self._prefix))
        refusals = [_unmapped(ask, directory, self._prefix) for directory in elsewhere]
        if refusal := too_many(sum(len(side.changed) for side in sides), self._ceilings):
            looked = {side.path: _Looked() for side in sides}
            return replace(known, directories=_rows(ask, looked), refusal=together([refusal, *refusals]))
        looked = await self._look(clone, merge, sides, files)
        refusals += [one.refusal for one in looked.values() if one.refusal is not None]
        return replace(known, directories=_rows(ask, looked), refusal=together(refusals))

    async def _look(self, clone: Clone, merge: TestMerge, sides: Sequence[_Sides], files: Sequence[ChangedFile]) -> dict[str, _Looked]:
        looked: dict[str, _Looked] = {}
        refused = {side.path: refusal for side in sides if (refusal := _wrong_directory(side, files)) is not None}
        wanted = {blob: name for side in sides for blob, name in _blobs(side, merge_too=side.path not in refused).items()}
        for side in sides:
            # Planning asks for these next: they may as well come in the same batch.
            found = await option_blobs(clone, merge.base, _chain(side.path))
            wanted |= {blob: _option_path(directory) for directory, blob in found.items()}
        cut_off = await bring(clone, wanted, self._ceilings)
        until = time.monotonic() + self._ceilings.seconds
        for side in sides:
            if cut_off is not None:
                looked[side.path] = _Looked(refusal=together([one for one in (refused.get(side.path), cut_off) if one is not None]))
                continue
            before = await read_directory(clone, side.path, side.base, self._ceilings)
            after = DirectoryContent() if side.path in refused else await read_directory(clone, side.path, side.merge, self._ceilings)
            one = await asyncio.to_thread(self._compare, side, before, after, until)
            looked[side.path] = replace(one, refusal=refused.get(side.path) or one.refusal)
        return looked

    def _compare(self, side: _Sides, before: DirectoryContent, after: DirectoryContent, until: float) -> _Looked:
        """Runs in a thread: reading hundreds of files must not keep the event loop."""
        present = side.changed & (after.files.keys() | after.too_large.keys())
        mine = present & after.files.keys()
        sources = read_sources(after.files, changed=mine, place=side.path, ceilings=self._ceilings, until=until)
        refusals = [one for one in (oversized(side.path, after, present, self._ceilings), sources.refusal) if one is not None]
        if before.refusal is not None:
            refusals.append(before.refusal)
        tables = sources.in_files(side.changed)
        still = set(sources.tables)
        for name in sorted(side.changed & (before.files.keys() | before.too_large.keys())):
            if name in before.too_large:
                was: TableSource | Refusal | None = too_large(name, self._ceilings, before.too_large[name])
            else:
                was = read_table(name, before.files[name], place=side.path, ceilings=self._ceilings, strict=False)
            if isinstance(was, TableSource):
                tables.add(was.name)
            elif was is not None and name not in present:
                refusals.append(_removed_unread(side.path, name, was))
        refusals += _perhaps_still_there(side.path, tables - still, after, {*sources.unread, *after.too_large} - present)
        return _Looked(tables=tuple(sorted(tables)), refusal=together(refusals))

    async def _unmapped(
        self, clone: Clone, merge: TestMerge, paths: Sequence[str], files: Sequence[ChangedFile], *, fetch: bool
    ) -> list[bytes] | None:
        """Directories outside the enrolment with changed `*.sql` files whose `.skeema`, before or after, names a schema.

        fetch: whether `.skeema` may be read; otherwise its presence decides. None: too many to look at.
        """
        mapped = {path.encode() for path in paths}
        changed = {one.path for one in files if one.name.endswith(b".sql")} | set(merge.unmerged)
        candidates = sorted({path.rpartition(b"/")[0] for path in changed} - mapped)
        if not candidates:
            return []
        if len(candidates) > _UNMAPPED_LIMIT:
            return None
        found = [await option_blobs(clone, commit, candidates) for commit in (merge.sha, merge.base)]
        if not fetch:
            return sorted({directory for one in found for directory in one})
        blobs = {blob: OPTION_FILE for one in found for blob in one.values()}
        if await bring(clone, blobs, self._ceilings) is not None:
            return sorted({directory for one in found for directory in one})
        sizes = await clone.sizes_of(blobs)
        small = [blob for blob in blobs if sizes.get(blob, self._ceilings.bytes_per_file + 1) <= self._ceilings.bytes_per_file]
        contents = await clone.read_blobs(small, limit=sum(sizes[blob] for blob in small))
        schemas = {blob for blob in blobs if blob not in contents or read_option_files([(OPTION_FILE, contents[blob])]).names_schema()}
        return sorted({directory for one in found for directory, blob in one.items() if blob in schemas})

    # ── What the planner asks ───────────────────────────────────────────────────────────────────────────────────────

    async def sources_of(self, repository: str, changes: Changes, path: str, *, at: Literal["merge", "base"]) -> Sources:
        """The tables of one enrolled directory in the test merge or on the base branch, with the base branch's options.

        A directory that is not there has no tables. at="base" never refuses: what could not be read is in notes.
        A merge that is neither here nor at GitHub any more is made again. Errors: TryAgain when the network fails, base or head is gone or
        time runs out; NeedsHuman when the repository cannot be read.
        """
        try:
            return await self._with_clone(repository, lambda clone: self._sources(clone, repository, changes, clean_path(path), at))
        except TimeoutError as late:
            raise TryAgain(f"The files of {shown(path)} could not be read in time. It will be tried again.") from late

    async def _sources(self, clone: Clone, repository: str, changes: Changes, path: str, at: Literal["merge", "base"]) -> Sources:
        merge = await self._merge_again(clone, repository, changes)
        if isinstance(merge, Refusal):
            return Sources(refusal=merge)
        base, after = await list_directory(clone, merge.base, path), await list_directory(clone, merge.sha, path)
        options, notes, option_refusal = await self._options(clone, merge, path)
        if option_refusal is not None:
            return Sources(notes=notes, refusal=option_refusal)
        listing = after if at == "merge" else base
        refusal = hostile(path, listing.entries or ()) if at == "merge" else None
        if refusal is None:
            refusal = await bring(clone, {blob: name for name, blob in listing.schema_files().items()}, self._ceilings)
        if refusal is not None:
            return Sources(options=options, notes=notes, refusal=refusal)
        content = await read_directory(clone, path, listing, self._ceilings)
        before = base.schema_files()
        changed = {name for name, blob in listing.schema_files().items() if before.get(name) != blob} if at == "merge" else set()
        until = time.monotonic() + self._ceilings.seconds
        sources = await asyncio.to_thread(
            read_sources, content.files, changed=changed & content.files.keys(), place=path, ceilings=self._ceilings, until=until
        )
        refusals = [one for one in (oversized(path, content, changed, self._ceilings), sources.refusal) if one is not None]
        large = (
            f"Not looked at for its size: {shown(path)}/{shown(name)}." for name in sorted(content.too_large)[:5] if name not in changed
        )
        return replace(sources, options=options, notes=(*notes, *sources.notes, *large), refusal=together(refusals))

    async def _merge_again(self, clone: Clone, repository: str, changes: Changes) -> TestMerge | Refusal:
        """The merge that the changes were found in, on a worker that may never have seen it."""
        merge = TestMerge(sha=changes.merge_sha, base=changes.base_sha)
        if await clone.parents_of(merge.sha) != ():
            return merge
        instead = f"refs/skeebot/instead/{merge.sha}"
        if there := await clone.commit_of(instead):
            return TestMerge(sha=there, base=merge.base)
        try:
            await clone.fetch_commit(merge.sha)
        except NotThere as gone:
            if not changes.head_sha:
                raise TryAgain(f"GitHub no longer has the test merge {merge.sha[:10]}: the branch moved on and is planned again.") from gone
            paths = tuple(sorted({clean_path(one.path) for one in changes.directories}))
            scope = Scope(f"{repository} at {changes.head_sha[:10]}", paths, self._ceilings)
            made = await make_merge(clone, HeadSha(changes.head_sha), changes.base_sha, scope)
            if isinstance(made, TestMerge):
                await clone.point(instead, made.sha)
            return made
        return merge

    async def _options(self, clone: Clone, merge: TestMerge, path: str) -> tuple[OptionFiles, tuple[str, ...], Refusal | None]:
        """Every `.skeema` from the root to the directory, on the base branch; notes say where the merge has another."""
        chain = _chain(path)
        before = await option_blobs(clone, merge.base, chain)
        after = await option_blobs(clone, merge.sha, chain)
        notes = tuple(
            f"`{_option_path(directory)}` differs in this pull request; it takes effect once merged, until then the base branch's counts."
            for directory in chain
            if before.get(directory) != after.get(directory)
        )
        blobs = {blob: _option_path(directory) for directory, blob in before.items()}
        if refusal := await bring(clone, blobs, self._ceilings):
            return OptionFiles(), notes, refusal
        sizes = await clone.sizes_of(blobs)
        contents = await clone.read_blobs(
            [blob for blob in blobs if sizes[blob] <= self._ceilings.bytes_per_file], limit=sum(sizes[blob] for blob in blobs)
        )
        # One that is too large is read as no text, which refuses when its options are asked for.
        files = [(_option_path(one), contents.get(before[one], b"\xff")) for one in chain if one in before]
        return read_option_files(files), notes, None

    # ── The clone, within the time limit, once more after damage ────────────────────────────────────────────────────

    async def _with_clone(self, repository: str, work: Callable[[Clone], Awaitable[_T]]) -> _T:
        # The clock starts once the clone is ours: whoever waits for its turn is not slow.
        async with self._cache.clone_of(repository) as clone, asyncio.timeout(self._ceilings.seconds):
            for last in (False, True):
                try:
                    return await work(clone)
                except Damaged as damaged:
                    await clone.throw_away()
                    if last:
                        raise TryAgain(f"The git cache of {repository} was thrown away twice: {str(damaged)[:300]}") from damaged
                except NotThere as gone:
                    raise TryAgain(f"{repository} no longer has what a branch had a moment ago: {str(gone)[:300]}") from gone
                except (TooLargeToFetch, TooMuchOutput) as much:
                    raise NeedsHuman(f"The list of files of {repository} is too large for skeebot; keep schemas in another one.") from much
        raise OurBug(f"Looking into the clone of {repository} ended without an answer.")


async def _sides(clone: Clone, merge: TestMerge, path: str, files: Sequence[ChangedFile]) -> _Sides | None:
    """None where nothing that matters changed: only `*.sql` directly in the directory counts, and what is refused by its mode or name."""
    inside = [one for one in files if below(path, one.path)]
    direct = [one for one in inside if one.directory == path.encode()]
    schema_files = frozenset(one.name.decode("utf-8", errors="replace") for one in direct if one.name.endswith(b".sql"))
    odd = any(hostile(path, [Entry(one.mode, one.blob, one.name)]) for one in direct if not one.removed)
    if not schema_files and not odd and hostile_below(_deeper(path, inside)) is None:
        return None
    base, after = await list_directory(clone, merge.base, path), await list_directory(clone, merge.sha, path)
    return _Sides(path=path, base=base, merge=after, changed=schema_files)


def _wrong_directory(side: _Sides, files: Sequence[ChangedFile]) -> Refusal | None:
    had = side.base.schema_files()
    if had and not side.merge.schema_files() and not side.merge.option_file():
        place = f"`{shown(side.path) or 'the root'}`"
        return Refusal(
            code="directory-removed",
            what=f"The whole schema directory {place} is removed, or is no directory any more.",
            next="To drop its tables, delete their files but keep the directory's `.skeema`. To give the directory up, ask an operator"
            " to take its mapping away first.",
        )
    direct, deeper = hostile(side.path, side.merge.entries or ()), hostile_below(_deeper(side.path, files))
    return together([one for one in (direct, deeper) if one is not None])


def _deeper(path: str, files: Sequence[ChangedFile]) -> list[Entry]:
    """What changes below a directory, but not directly in it, by whole paths."""
    deep = (one for one in files if not one.removed and below(path, one.path) and one.directory != path.encode())
    return [Entry(one.mode, one.blob, one.path) for one in deep]


def _blobs(side: _Sides, *, merge_too: bool) -> dict[str, str]:
    """Blob → file name, of both sides."""
    listings = (side.base, side.merge) if merge_too else (side.base,)
    return {blob: name for listing in listings for name, blob in listing.schema_files().items()}


def _rows(ask: FindChanges, looked: Mapping[str, _Looked]) -> tuple[ChangedDirectory, ...]:
    """Each enrolled row whose directory changes; a directory may be mapped in several environments."""

    def changed(one: Directory) -> ChangedDirectory:
        return ChangedDirectory(row=one.row, path=one.path, tables=looked[clean_path(one.path)].tables)

    return tuple(changed(one) for one in ask.enrolment.directories if clean_path(one.path) in looked)


def _chain(path: str) -> list[bytes]:
    """The directories from the root down to this one."""
    parts = path.split("/") if path else []
    return ["/".join(parts[:depth]).encode() for depth in range(len(parts) + 1)]


def _option_path(directory: bytes) -> str:
    inside = shown(directory.decode("utf-8", errors="replace"))
    return f"{inside}/{OPTION_FILE}" if inside else OPTION_FILE


def _too_slow(ask: FindChanges, seconds: int, prefix: str) -> Refusal:
    return Refusal(
        code="too-slow",
        what=f"The schema files of {ask.ref} could not be fetched and read within {seconds} seconds.",
        next=f"This is looked at again by itself; `{prefix} retry-migration` looks at once. If it stays so, make the change smaller.",
        passing=True,
    )


def _not_fetched(ask: FindChanges, trouble: TryAgain, prefix: str) -> Refusal:
    return Refusal(
        code="not-fetched",
        what=f"The schema files of {ask.ref} could not be fetched: {trouble}",
        next=f"This is looked at again by itself; `{prefix} retry-migration` looks at once.",
        passing=True,
    )


def _fork(ask: FindChanges, prefix: str) -> Refusal:
    return Refusal(
        code="fork",
        what=f"{ask.ref} comes from a fork and changes schema files; what a stranger wrote is planned only when a member asks for it.",
        next=f"A member of the owner team or the databases team reads the files and comments `{prefix} retry-migration`.",
    )


def _unmapped(ask: FindChanges, directory: bytes, prefix: str) -> Refusal:
    path = shown(directory.decode("utf-8", errors="replace")) or "."
    return Refusal(
        code="unmapped",
        what=f"`{path}` is a schema directory (its `.skeema` names a schema), but no mapping says in which database it lives.",
        next=f"An operator types `starter.py repo-map {ask.ref.repository} {path} --database NAME --environment NAME --cluster NAME"
        f" --schema NAME`, then `{prefix} retry-migration` is commented here.",
    )


def _beyond_counting(ask: FindChanges) -> Refusal:
    return Refusal(
        code="too-many-files",
        what=f"{ask.ref} changes more schema files than can be listed.",
        next="Split the change into several pull requests.",
    )


def _perhaps_still_there(path: str, gone: Collection[str], after: DirectoryContent, unread: Collection[str]) -> Iterator[Refusal]:
    """A table whose file went may be described in another one that is not one CREATE TABLE: then it is not dropped on a guess."""
    for table in sorted(gone):
        creates = re.compile(
            rb"\bcreate\s+(?:\w+\s+)*table\b[^(;]{0,200}?(?<![\w$])" + re.escape(table.encode()) + rb"(?![\w$])", re.IGNORECASE
        )
        for name in sorted(unread):
            if name not in after.files or creates.search(after.files[name]):
                yield Refusal(
                    code="not-understood",
                    what=f"The file of the table `{shown(table)}` is removed, but `{shown(path)}/{shown(name)}` may still describe it:"
                    " that one is not one CREATE TABLE, or is too large to be read.",
                    next=f"Make `{shown(name)}` one CREATE TABLE or take it out of the schema directory, then push again.",
                )


def _removed_unread(path: str, name: str, why: Refusal) -> Refusal:
    return Refusal(
        code="not-understood",
        what=f"`{shown(path)}/{shown(name)}` is removed, but it was not one CREATE TABLE, so nobody knows what goes with it: {why.what}",
        next="Leave the file, or have a DBA change by hand what it described and merge its removal outside of skeebot.",
    )
