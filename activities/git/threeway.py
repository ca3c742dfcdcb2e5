"""A merge of three trees without a checkout: where GitHub has no fitting test merge, this is the one that it would make.

What only one side changed is taken from that side, file by file, by git's own `read-tree`. Contents are merged only where both sides
changed the same file of an enrolled directory, by git's own `merge-tree`, on trees that hold nothing else: no attribute, driver or rename
of the pull request has a say. What both changed elsewhere stays as the base has it: nothing here reads it, and GitHub asks for it to be
resolved. The same three commits always come to the same tree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from activities.git.cache import Clone, Damaged, oid
from activities.git.tree import FILES, below, bring
from activities.settings import Ceilings
from activities.skeema.sources import shown, together, too_large, too_many
from workflows.rules.plan import Refusal

_NO_ONE: Final = "skeebot <skeebot> 0 +0000"
"""Who makes the merges, and when: a commit made again must be the same."""


@dataclass(frozen=True)
class Scope:
    """of: whose merge it is, for people. directories: the enrolled ones, as git spells them.

    read: whether contents may be fetched and merged (not those of strangers).
    """

    of: str
    directories: tuple[str, ...]
    ceilings: Ceilings
    read: bool = True

    def is_schema_file(self, path: bytes) -> bool:
        """Whether its content counts: a `*.sql` directly in an enrolled directory."""
        return path.endswith(b".sql") and path.rpartition(b"/")[0].decode("utf-8", errors="replace") in self.directories

    def covers(self, path: bytes) -> bool:
        return any(below(one, path) for one in self.directories)


@dataclass(frozen=True)
class MergedTree:
    """unmerged: `*.sql` files outside the scope that both sides changed: they are as the base has them."""

    tree: str
    unmerged: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class _Version:
    mode: str
    blob: str


@dataclass(frozen=True)
class _Three:
    """One path that git leaves to us. None: not there."""

    start: _Version | None = None
    ours: _Version | None = None
    theirs: _Version | None = None

    @property
    def is_contested(self) -> bool:
        """Otherwise git left it only because a file stands where the other side has a directory."""
        return self.ours != self.theirs and self.start not in (self.ours, self.theirs)

    @property
    def plain(self) -> _Version | None:
        """What it comes to when it is not contested."""
        return self.ours if self.theirs == self.start else self.theirs

    @property
    def texts(self) -> tuple[_Version, _Version, _Version] | None:
        """All three, where all are ordinary files."""
        start, ours, theirs = self.start, self.ours, self.theirs
        if start is None or ours is None or theirs is None or not {start.mode, ours.mode, theirs.mode} <= FILES:
            return None
        return start, ours, theirs


async def merge_trees(clone: Clone, start: str, ours: str, theirs: str, scope: Scope) -> MergedTree | Refusal:
    """The tree of ours with what theirs changed since start. All three commits and their trees are here.

    Errors: TryAgain, NeedsHuman, Damaged.
    """
    index = clone.folder / "merge.index"
    index.unlink(missing_ok=True)  # what a killed worker left
    try:
        read = await clone.attempt("read-tree", "-m", "-i", "--aggressive", oid(start), oid(ours), oid(theirs), index=index)
        if read.code != 0:
            if "invalid path" in read.error:
                return _bad_name(scope.of, read.error)
            raise Damaged(read.error or f"git read-tree ended with {read.code}")
        left = _stages(await clone.output_of("ls-files", "--unmerged", "-z", index=index))
        resolved = await _resolved(clone, left, scope)
        if isinstance(resolved, Refusal):
            return resolved
        contested = {path for path, one in left.items() if one.is_contested}
        unmerged = sorted(path for path in contested - resolved.keys() if path.endswith(b".sql"))
        final = {path: one.ours if path in contested else one.plain for path, one in left.items()} | resolved
        if refusal := _in_each_others_way(final, left, scope):
            return refusal
        await clone.output_of("update-index", "-z", "--index-info", stdin=_instructions(final), index=index)
        tree = (await clone.output_of("write-tree", "--missing-ok", index=index)).decode().strip()
        return MergedTree(tree, tuple(unmerged))
    finally:
        index.unlink(missing_ok=True)


async def write_commit(clone: Clone, tree: str, parents: Sequence[str], message: str) -> str:
    """A commit whose name follows from what it holds and nothing else."""
    lines = [f"tree {oid(tree)}", *(f"parent {oid(one)}" for one in parents), f"author {_NO_ONE}", f"committer {_NO_ONE}", "", message, ""]
    return (await clone.output_of("hash-object", "-t", "commit", "-w", "--stdin", stdin="\n".join(lines).encode())).decode().strip()


def _stages(listing: bytes) -> dict[bytes, _Three]:
    """`mode oid stage TAB path NUL`, git's form of `ls-files --unmerged -z`."""
    found: dict[bytes, dict[str, _Version]] = {}
    for line in listing.split(b"\0"):
        if line:
            facts, _, path = line.partition(b"\t")
            mode, blob, stage = facts.decode().split()
            found.setdefault(path, {})[stage] = _Version(mode, blob)
    return {path: _Three(stages.get("1"), stages.get("2"), stages.get("3")) for path, stages in found.items()}


async def _resolved(clone: Clone, left: Mapping[bytes, _Three], scope: Scope) -> dict[bytes, _Version | None] | Refusal:
    """What each schema file that both sides changed comes to."""
    contested = {path: three for path, three in left.items() if three.is_contested and scope.is_schema_file(path)}
    if not scope.read:
        # Nobody reads it; that it changes is all that is said.
        return {path: three.theirs for path, three in contested.items()}
    if refusal := too_many(len(contested), scope.ceilings):
        return refusal
    texts = {path: three.texts for path, three in contested.items()}
    if impossible := sorted(path for path, three in texts.items() if three is None):
        return conflict(impossible)
    together_with = {path: three for path, three in texts.items() if three is not None}
    return await _contents(clone, together_with, scope.ceilings) if together_with else {}


async def _contents(
    clone: Clone, texts: Mapping[bytes, tuple[_Version, _Version, _Version]], ceilings: Ceilings
) -> dict[bytes, _Version | None] | Refusal:
    blobs = {one.blob: path.decode("utf-8", errors="replace") for path, three in texts.items() for one in three}
    if refusal := await bring(clone, blobs, ceilings):
        return refusal
    sizes = await clone.sizes_of(blobs)
    if absent := set(blobs) - set(sizes):
        raise Damaged(f"{len(absent)} blobs did not arrive")
    if large := [too_large(blobs[one], ceilings, size) for one, size in sorted(sizes.items()) if size > ceilings.bytes_per_file]:
        return together(large) or large[0]
    names = {b"%d" % number: path for number, path in enumerate(sorted(texts))}
    records = (
        b"".join(b"100644 blob %s\t%s\0" % (texts[path][side].blob.encode(), name) for name, path in names.items()) for side in range(3)
    )
    trees = (await clone.output_of("mktree", "-z", "--batch", stdin=b"\0".join(records))).decode().split()
    start = await write_commit(clone, trees[0], (), "start")
    ours, theirs = [await write_commit(clone, tree, (start,), "side") for tree in trees[1:]]
    merged = await clone.attempt("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    if merged.code not in (0, 1):
        raise Damaged(merged.error or f"git merge-tree ended with {merged.code}")
    tree, *clashes = (part for part in merged.output.split(b"\0") if part)
    if clashes or merged.code == 1:
        return conflict(sorted(names[one] for one in set(clashes)))
    listing = (line.partition(b"\t") for line in (await clone.output_of("ls-tree", "-z", tree)).split(b"\0") if line)
    return {names[name]: _Version(_mode(*texts[names[name]]), facts.decode().split()[2]) for facts, _, name in listing}


def _mode(start: _Version, ours: _Version, theirs: _Version) -> str:
    return theirs.mode if ours.mode == start.mode else ours.mode


def _in_each_others_way(final: dict[bytes, _Version | None], left: Mapping[bytes, _Three], scope: Scope) -> Refusal | None:
    """A file where another one needs a directory: a conflict in an enrolled directory; elsewhere the base's stays (final is changed)."""
    there = {path for path, version in final.items() if version is not None}
    clashing = [(above, path) for path in sorted(there) for above in _above(path) if above in there]
    if of_schemas := sorted({path for pair in clashing if any(map(scope.covers, pair)) for path in pair}):
        return conflict(of_schemas)
    for pair in clashing:
        final.update({path: left[path].ours for path in pair})
    return None


def _above(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _instructions(final: Mapping[bytes, _Version | None]) -> bytes:
    """For `update-index -z --index-info`: everything goes first, then what stays comes back."""
    gone = [b"0 %s\t%s\0" % (b"0" * 40, path) for path in sorted(final)]
    back = [b"%s %s 0\t%s\0" % (one.mode.encode(), one.blob.encode(), path) for path, one in sorted(final.items()) if one is not None]
    return b"".join([*gone, *back])


def conflict(paths: Sequence[bytes]) -> Refusal:
    """The branch and its base both changed these schema files, and not alike."""
    names = ", ".join(f"`{shown(path.decode('utf-8', errors='replace'))}`" for path in paths[:10]) + (" …" if len(paths) > 10 else "")
    return Refusal(
        code="conflict",
        what=f"The branch conflicts with its base branch: both changed {names}.",
        next="Update the branch: merge or rebase the base branch, resolve the conflict and push.",
    )


def _bad_name(of: str, said: str) -> Refusal:
    return Refusal(
        code="bad-name",
        what=f"The files of {of} cannot be merged: git says `{shown(said.splitlines()[-1])}`.",
        next="Rename the file and push again.",
    )
