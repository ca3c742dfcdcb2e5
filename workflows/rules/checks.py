"""Checks as GitHub shows them (DESIGN §2): the roll-up, generations, and what may be sent."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from workflows.rules.markdown import code, table, truncate_bytes
from workflows.rules.names import DatabaseRow, HeadSha

__all__ = ["OUTPUT_LIMIT", "CheckRun", "CheckState", "RowState", "next_run", "roll_up", "status_table", "truncate_bytes"]

OUTPUT_LIMIT: Final = 65_535
"""Bytes in a check's summary, and in its text (FACTS)."""


class CheckState(StrEnum):
    """What a check says. Waiting for a person is ACTION_REQUIRED; IN_PROGRESS is for work that is going on now."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ACTION_REQUIRED = "action_required"

    @property
    def completed(self) -> bool:
        return self is not CheckState.IN_PROGRESS


@dataclass(frozen=True)
class CheckRun:
    """One run that we own: name on a head at a generation. external_id carries all three, so a landed POST is found again."""

    name: str
    head_sha: HeadSha
    generation: int
    state: CheckState

    def external_id(self, pull_request: int) -> str:
        return f"skeebot/{pull_request}/{self.head_sha}/{self.generation}"


@dataclass(frozen=True)
class RowState:
    """What is known of one expected row, and about which commit."""

    head_sha: HeadSha
    state: CheckState


def roll_up(expected: Collection[DatabaseRow], states: Mapping[DatabaseRow, RowState], head_sha: HeadSha) -> CheckState:
    """The aggregate check. SUCCESS if and only if there are expected rows and every one succeeds on head_sha.

    First match wins: in progress, failure, action required, success. A row without a state, or with one about another commit, counts as
    action required; a state of a row that nobody expects counts for nothing.
    """
    now = [_on_head(states.get(row), head_sha) for row in expected]
    for first in (CheckState.IN_PROGRESS, CheckState.FAILURE, CheckState.ACTION_REQUIRED):
        if first in now:
            return first
    return CheckState.SUCCESS if now and all(state is CheckState.SUCCESS for state in now) else CheckState.ACTION_REQUIRED


def _on_head(known: RowState | None, head_sha: HeadSha) -> CheckState:
    if known is None or known.head_sha != head_sha:
        return CheckState.ACTION_REQUIRED
    return known.state


def next_run(
    shown: CheckRun | None, name: str, head_sha: HeadSha, wanted: CheckState, seeded_generation: int, *, supersede: bool = False
) -> CheckRun:
    """The run that GitHub shall show next; equal to shown where nothing changes.

    seeded_generation: the highest generation of ours that GitHub shows for this name on this head (0: none). The generation moves on a new
    head and when a completed run must change: a completed run is never re-opened (FACTS). supersede: the shown run has been in progress
    so long that a fresh one must take its place before GitHub calls it stale.
    """
    if shown is None or shown.name != name or shown.head_sha != head_sha:
        return CheckRun(name=name, head_sha=head_sha, generation=seeded_generation + 1, state=wanted)
    if seeded_generation > shown.generation:  # GitHub shows one that we know nothing of: a story that was reset
        return replace(shown, generation=seeded_generation + 1, state=wanted)
    if shown.state.completed:
        if shown.state is wanted:
            return shown
    elif not (supersede and wanted is CheckState.IN_PROGRESS):
        return replace(shown, state=wanted)
    return replace(shown, generation=max(shown.generation, seeded_generation) + 1, state=wanted)


def status_table(rows: Sequence[tuple[DatabaseRow, str]], limit: int = OUTPUT_LIMIT) -> str:
    """| Database | Environment | Status |, cut by rows to limit bytes. The status is inert words (markdown.prose or our own)."""
    cells = [(code(row.database), code(row.environment), status) for row, status in rows]
    return table(("Database", "Environment", "Status"), cells, limit)
