"""How a migration ends early, and how long it waits before it tries again."""

from workflows.messages import PreflightVerdict
from workflows.rules.stages import MigrationState


class Stopped(Exception):  # noqa: N818  (not an error: a verdict that ends the run early)
    """The run ends without the change. changed: the live table is not what was approved."""

    def __init__(self, detail: str, *, state: MigrationState = MigrationState.FAILED, changed: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.state = state
        self.changed = changed


class LostWrites(Stopped):
    """The copy of a resumed gh-ost differs. gh-ost 1.1.10 can lose writes as it resumes (docs/decisions/0003): a clean copy decides."""


def growing(first: float, times: int, *, at_most: float = 600.0) -> float:
    """Seconds: twice as long each time, up to ten minutes (an hour after a hundred times): a history holds 51,200 events."""
    return min(first * float(2 ** min(times, 20)), at_most if times < 100 else 3600.0)


def in_words(verdict: PreflightVerdict) -> str:
    refusal = verdict.refusal
    return f"{refusal.what} {refusal.next}" if refusal else "The pre-flight gave no primary."
