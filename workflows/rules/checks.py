"""Checks as GitHub shows them (DESIGN §2): the roll-up, generations, and what may be sent."""

from dataclasses import dataclass
from enum import StrEnum

from workflows.rules.names import HeadSha


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
