"""The test merge: what the base branch would be with the pull request merged, as GitHub made it, and what it changes.

A comparison of the base's tip with the head would undo what others merged meanwhile (SAFETY §S1); the merge never does. It counts only if
its parents are exactly the base tip and the head that the decision is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from activities.git.cache import Clone, NotThere, TooMuchOutput, oid
from workflows.rules.names import HeadSha, PullRequestRef
from workflows.rules.plan import Refusal

_CHANGES_BYTES: Final = 16_000_000
"""Names of changed schema files; far beyond what the ceilings let through."""


@dataclass(frozen=True)
class TestMerge:
    """sha: the merge commit. base: its first parent, the base branch's tip."""

    __test__ = False  # pytest takes every Test… for its own

    sha: str
    base: str


@dataclass(frozen=True)
class NotYet:
    """GitHub has no fitting test merge now; it makes one a while after a push. refusal: what to say if it stays so."""

    refusal: Refusal


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


async def find_merge(clone: Clone, ref: PullRequestRef, head: HeadSha, base: str, *, prefix: str) -> TestMerge | NotYet:
    """Fetch `refs/pull/N/merge` unless the fitting merge is here already. prefix: of commands, for what to type next.

    Errors: TryAgain, NeedsHuman, Damaged.
    """
    wanted = (oid(base), oid(head))
    local = f"refs/skeebot/pull/{ref.number}/merge"
    merge = await clone.commit_of(local)
    if not merge or await clone.parents_of(merge) != wanted:
        try:
            await clone.fetch_ref(f"refs/pull/{ref.number}/merge", local)
        except NotThere:
            return NotYet(_conflict(ref, prefix))
        merge = await clone.commit_of(local)
    parents = await clone.parents_of(merge) if merge else ()
    if parents != wanted:
        return NotYet(_stale(ref, wanted, parents, prefix))
    return TestMerge(sha=merge, base=base)


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


def _conflict(ref: PullRequestRef, prefix: str) -> Refusal:
    return Refusal(
        code="conflict",
        what=f"GitHub has no test merge of {ref}: most likely it conflicts with the base branch.",
        next="Update the branch: merge or rebase the base branch, resolve the conflicts and push."
        f" If GitHub shows no conflict, comment `{prefix} retry-migration`.",
    )


def _stale(ref: PullRequestRef, wanted: tuple[str, str], parents: tuple[str, ...], prefix: str) -> Refusal:
    joins = " and ".join(one[:10] for one in parents) or "nothing"
    return Refusal(
        code="stale-merge",
        what=f"GitHub's test merge of {ref} joins {joins}, but the base branch is at {wanted[0][:10]} and the head at {wanted[1][:10]}."
        " Either GitHub has not caught up or the branch conflicts with its base.",
        next="Update the branch: merge or rebase the base branch, resolve any conflict and push."
        f" If GitHub shows no conflict, comment `{prefix} retry-migration`.",
    )
