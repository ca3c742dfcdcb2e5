"""The test merge: what the base branch would be with the pull request merged, and what it changes.

A comparison of the base's tip with the head would undo what others merged meanwhile (SAFETY §S1); the merge never does. It counts only if
its parents are exactly the base tip and the head that the decision is about. GitHub's own is taken where it is that one. Since February
2026 GitHub makes none because the base moved: then it is made here (docs/decisions/0004-test-merge.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from activities.git.cache import Clone, NotThere, TooMuchOutput, oid
from activities.git.threeway import MergedTree, Scope, merge_trees, write_commit
from workflows.rules.names import HeadSha, PullRequestRef
from workflows.rules.plan import Refusal

_CHANGES_BYTES: Final = 16_000_000
"""Names of changed schema files; far beyond what the ceilings let through."""


@dataclass(frozen=True)
class TestMerge:
    """sha: the merge commit. base: its first parent, the base branch's tip.

    unmerged: `*.sql` files outside the enrolled directories that base and head both changed; the merge has the base's.
    """

    __test__ = False  # pytest takes every Test… for its own

    sha: str
    base: str
    unmerged: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class ChangedFile:
    """One path that differs between the base and the merge. mode, blob: in the merge; base_blob: in the base ("" where it is not there)."""

    path: bytes
    mode: str
    blob: str
    base_blob: str

    @property
    def removed(self) -> bool:
        return not self.blob

    @property
    def directory(self) -> bytes:
        return self.path.rpartition(b"/")[0]

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]


async def find_merge(clone: Clone, ref: PullRequestRef, head: HeadSha, base: str, scope: Scope) -> TestMerge | Refusal:
    """The merge of head into base: what is here already, GitHub's, or our own. Errors: TryAgain, NeedsHuman, Damaged, NotThere."""
    wanted = (oid(base), oid(head))
    local = f"refs/skeebot/pull/{ref.number}/merge"
    merge = await clone.commit_of(local)
    if not merge or await clone.parents_of(merge) != wanted:
        try:
            await clone.fetch_ref(f"refs/pull/{ref.number}/merge", local)
            merge = await clone.commit_of(local)
        except NotThere:
            merge = ""  # GitHub makes none where anything conflicts, and drops it after the real merge
    if merge and await clone.parents_of(merge) == wanted:
        return TestMerge(sha=merge, base=base)
    made = await make_merge(clone, head, base, scope)
    if isinstance(made, TestMerge) and scope.read and not made.unmerged:
        # One that left something out says less to a scope that holds it: it is made again each time.
        await clone.point(local, made.sha)
    return made


async def make_merge(clone: Clone, head: HeadSha, base: str, scope: Scope) -> TestMerge | Refusal:
    """The merge as git would make it, its commit the same wherever and whenever it is made.

    Errors: TryAgain, NeedsHuman, Damaged, NotThere where GitHub has one of the two commits no longer.
    """
    starts = await clone.merge_bases(base, head)
    if not starts:
        return _unrelated(scope.of)
    await clone.fetch_commits([*starts, base, head])
    merged: MergedTree | None = None
    for start in starts:
        found = await merge_trees(clone, start, base, head, scope)
        if isinstance(found, Refusal):
            return found
        if merged is not None and await changed_files(clone, TestMerge(found.tree, merged.tree), scope.directories) != ():
            return _criss_cross(scope.of)
        merged = merged or found
    assert merged is not None  # noqa: S101 - there is at least one start
    sha = await write_commit(clone, merged.tree, (base, head), f"Merge {head} into {base}")
    return TestMerge(sha=sha, base=base, unmerged=merged.unmerged)


async def changed_files(clone: Clone, merge: TestMerge, directories: Sequence[str]) -> tuple[ChangedFile, ...] | None:
    """What differs between the merge's first parent and the merge: everything in directories, and `*.sql` and `.skeema` anywhere.

    None where there is more than anybody could read. A rename is a removal and an addition. Of the root, only what is directly in it.
    """
    within = [f":(top,literal){one}" if one else ":(top,glob)*" for one in directories]
    anywhere = [":(top,glob,icase)**/*.sql", ":(top,glob)**/.skeema"]
    compare = ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv"]
    try:
        listing = await clone.output_of(*compare, merge.base, merge.sha, "--", *within, *anywhere, limit=_CHANGES_BYTES)
    except TooMuchOutput:
        return None
    parts = listing.split(b"\0")
    return tuple(_changed(facts, path) for facts, path in zip(parts[0:-1:2], parts[1::2], strict=True))


def _changed(facts: bytes, path: bytes) -> ChangedFile:
    """`:old-mode new-mode old-oid new-oid status`, git's raw form; an oid of zeros is no file."""
    _, mode, before, after, _ = facts.decode().split()
    return ChangedFile(path=path, mode=mode, blob=after.strip("0") and after, base_blob=before.strip("0") and before)


def _unrelated(of: str) -> Refusal:
    return Refusal(
        code="unrelated",
        what=f"The branch of {of} and its base branch have no commit in common, so nobody can tell what it changes.",
        next="Make the change again on a branch of the base branch and push that.",
    )


def _criss_cross(of: str) -> Refusal:
    return Refusal(
        code="criss-cross",
        what=f"The branch of {of} and its base branch were merged into each other; what it changes depends on where one begins.",
        next="Update the branch: merge the base branch into it and push.",
    )
