"""Two gates, two people (DESIGN §3). Claims come in, verdicts go out; nobody is asked anything here."""

from dataclasses import dataclass, field
from enum import StrEnum

from workflows.rules.names import HeadSha, Login, PlanDigest


class ReviewState(StrEnum):
    """As REST spells them."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True)
class Review:
    """A claim. submitted_at: ISO 8601 UTC with whole seconds, GitHub's clock. commit_id may be missing ("")."""

    id: int
    login: Login
    state: ReviewState
    commit_id: str
    submitted_at: str


@dataclass(frozen=True)
class Members:
    """Facts: which of the people who spoke are active members. Anyone not listed is not."""

    owners: frozenset[str] = frozenset()
    dbas: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Publication:
    """When GitHub says that a plan digest became visible; a review counts only if it came later."""

    digest: PlanDigest
    head_sha: HeadSha
    at: str


@dataclass(frozen=True)
class Approvals:
    """The verdict. owner and dba are two different people, or None; reasons say of each approving person why it does not count."""

    owner: Login | None = None
    dba: Login | None = None
    not_counted: dict[str, str] = field(default_factory=dict)
    objections: tuple[Login, ...] = ()

    @property
    def both(self) -> bool:
        return self.owner is not None and self.dba is not None and not self.objections
