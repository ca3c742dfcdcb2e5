"""What exists in the stand-in's world, as plain records. Only `World` changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from tests.fakes.github.bare_git import BareRepository

JSON = dict[str, Any]
"""A JSON object as GitHub would send it."""

AccountType = Literal["User", "Bot", "Organization"]
Role = Literal["admin", "maintain", "write", "triage", "read", "none"]
ReviewState = Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED", "PENDING"]
CheckStatus = Literal["queued", "in_progress", "completed", "waiting", "requested", "pending"]

ROLE_ORDER: tuple[Role, ...] = ("none", "read", "triage", "write", "maintain", "admin")
PASSING_CONCLUSIONS = frozenset({"success", "neutral", "skipped"})
REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


class Refused(Exception):  # noqa: N818  (it is an answer that GitHub would give, not a failure of ours)
    """GitHub would refuse this: an HTTP status, its message and its `errors` list."""

    def __init__(self, status: int, message: str, errors: list[JSON] | list[str] | None = None) -> None:
        super().__init__(f"{status}: {message}" + (f" {errors}" if errors else ""))
        self.status = status
        self.message = message
        self.errors = errors


class MergeRefused(Refused):
    """The pull request may not be merged; `reasons` says exactly why, one sentence each."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(405, "; ".join(reasons))
        self.reasons = reasons


@dataclass(eq=False)
class User:
    """A person, a bot or (see `Organization`) an organisation."""

    id: int
    login: str
    created_at: datetime
    name: str | None = None
    email: str | None = None
    type: AccountType = "User"

    def __str__(self) -> str:
        return self.login


@dataclass(eq=False)
class Organization(User):
    type: AccountType = "Organization"
    owners: set[str] = field(default_factory=set)
    """Logins of the people who own the organisation and so are admins of all its repositories."""
    members: set[str] = field(default_factory=set)
    """Logins; pending invitations are not in it."""


@dataclass(eq=False)
class Team:
    id: int
    organization: Organization
    name: str
    slug: str
    created_at: datetime
    members: dict[str, Literal["active", "pending"]] = field(default_factory=dict)
    repositories: dict[int, Role] = field(default_factory=dict)
    """Repository id to the role that the team gives its active members there."""
    role_everywhere: Role = "none"
    """The role on every repository of the organisation, also on those made later."""

    def role_on(self, repository: Repository) -> Role:
        return self.repositories.get(repository.id, self.role_everywhere if repository.owner is self.organization else "none")

    def has_active(self, login: str) -> bool:
        return "active" == self.members.get(login)


@dataclass(eq=False)
class App:
    id: int
    slug: str
    name: str
    owner: User
    bot: User
    client_id: str
    private_key_pem: str = field(repr=False)
    public_key: RSAPublicKey = field(repr=False)
    webhook_secret: str = field(repr=False)
    permissions: dict[str, str]
    events: list[str]
    created_at: datetime
    webhook_url: str | None = None


@dataclass(eq=False)
class Installation:
    id: int
    app: App
    account: User
    permissions: dict[str, str]
    created_at: datetime
    repository_ids: set[int] | None = None
    """None: all repositories of the account."""
    suspended_at: datetime | None = None


@dataclass(eq=False)
class Token:
    value: str = field(repr=False)
    installation: Installation
    permissions: dict[str, str]
    repository_ids: set[int] | None
    expires_at: datetime
    used: int = 0


@dataclass(eq=False)
class Label:
    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(frozen=True)
class RequiredCheck:
    context: str
    app_id: int | None = None
    """The App whose runs count; None: anybody's."""


@dataclass
class Protection:
    """A classic branch protection."""

    required_checks: list[RequiredCheck] = field(default_factory=list)
    strict: bool = False
    """The branch must be up to date with its base before merging."""
    required_approvals: int = 0
    dismiss_stale_reviews: bool = False
    require_code_owner_reviews: bool = False
    enforce_admins: bool = True


@dataclass
class Ruleset:
    """A repository ruleset that applies to branches matching `patterns` (fnmatch on the branch name)."""

    id: int
    name: str
    patterns: list[str]
    required_checks: list[RequiredCheck] = field(default_factory=list)
    strict: bool = False
    required_approvals: int = 0
    require_code_owner_reviews: bool = False
    merge_queue: bool = False


@dataclass(eq=False)
class Repository:
    id: int
    owner: User
    name: str
    git: BareRepository
    created_at: datetime
    pushed_at: datetime
    description: str | None = None
    private: bool = True
    default_branch: str = "main"
    parent: Repository | None = None
    branches: dict[str, str] = field(default_factory=dict)
    """Branch name to the SHA of its tip; the truth is in `git`, this is what was last seen there."""
    labels: dict[str, Label] = field(default_factory=dict)
    """Lower-cased name to label: GitHub compares label names without case."""
    protections: dict[str, Protection] = field(default_factory=dict)
    rulesets: list[Ruleset] = field(default_factory=list)
    collaborators: dict[str, Role] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    check_runs: list[CheckRun] = field(default_factory=list)
    next_number: int = 1
    owner_lines: dict[str, list[tuple[str, list[str]]]] = field(default_factory=dict)
    """What CODEOWNERS said at each commit that was asked about: pattern and owners, in the file's order."""

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def __str__(self) -> str:
        return self.full_name


@dataclass(frozen=True)
class MergeTest:
    """One answer to whether the two can be merged."""

    base: str
    head: str
    clean: bool


@dataclass(frozen=True)
class TestMergeCommit:
    """What `refs/pull/N/merge` was made of, and when."""

    __test__ = False  # pytest takes every Test… for its own

    base: str
    head: str
    merge_base: str | None
    at: datetime


@dataclass
class TimelineEvent:
    """One line of the conversation that is neither a comment nor a review."""

    id: int
    at: datetime
    actor: User
    kind: str
    text: str
    label: Label | None = None
    sha: str | None = None


@dataclass(eq=False)
class PullRequest:
    id: int
    number: int
    repository: Repository
    title: str
    body: str | None
    user: User
    head_repository: Repository
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    """The base's tip when the head was last synchronised; GitHub does not move it when the base moves."""
    created_at: datetime
    updated_at: datetime
    state: Literal["open", "closed"] = "open"
    draft: bool = False
    closed_at: datetime | None = None
    merged_at: datetime | None = None
    merged_by: User | None = None
    merge_commit_sha: str | None = None
    labels: list[Label] = field(default_factory=list)
    requested_users: list[User] = field(default_factory=list)
    requested_teams: list[Team] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    timeline: list[TimelineEvent] = field(default_factory=list)
    merge_test: MergeTest | None = None
    test_merge: TestMergeCommit | None = None
    merge_due: float | None = None
    """Monotonic time at which the background computation lands; None: none is under way."""

    @property
    def merged(self) -> bool:
        return self.merged_at is not None

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def __str__(self) -> str:
        return f"{self.repository.full_name}#{self.number}"


@dataclass(eq=False)
class Review:
    id: int
    pull: PullRequest
    user: User
    state: ReviewState
    body: str
    commit_id: str | None
    submitted_at: datetime
    dismissal: Dismissal | None = None


@dataclass(eq=False)
class Dismissal:
    """How a review lost its say. pushed: the commit whose push did it, where the base branch asks for new reviews after each."""

    id: int
    actor: User
    state: str
    message: str | None
    at: datetime
    pushed: str | None = None


@dataclass(eq=False)
class Reaction:
    id: int
    user: User
    content: str
    created_at: datetime


@dataclass
class CommentEdit:
    at: datetime
    by: User
    before: str


@dataclass(eq=False)
class Comment:
    id: int
    pull: PullRequest
    user: User
    body: str
    created_at: datetime
    updated_at: datetime
    via_app: App | None = None
    edits: list[CommentEdit] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)


@dataclass(frozen=True)
class CheckRunState:
    """One state that a run went through, when, and by whose hand."""

    at: datetime
    by: str
    status: str
    conclusion: str | None
    title: str | None
    ignored: str | None = None
    """What a request asked for and did not get, because the run had completed."""


@dataclass(eq=False)
class CheckRun:
    id: int
    repository: Repository
    app: App
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    external_id: str
    details_url: str | None
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[JSON] = field(default_factory=list)
    actions: list[JSON] = field(default_factory=list)
    history: list[CheckRunState] = field(default_factory=list)


@dataclass(eq=False)
class Delivery:
    """One attempt to hand one webhook to one App."""

    id: int
    guid: str
    app: App
    event: str
    action: str | None
    body: bytes = field(repr=False)
    created_at: datetime
    installation_id: int | None = None
    repository_id: int | None = None
    redelivery: bool = False
    delivered_at: datetime | None = None
    """None: not tried yet, or lost."""
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened, whether or not anybody was told."""

    at: datetime
    name: str
    action: str | None
    repository: str | None
    payload: JSON = field(repr=False)


@dataclass(frozen=True)
class RequestRecord:
    """One request that the REST API answered."""

    at: datetime
    method: str
    path: str
    operation: str
    status: int
    """0: the connection was cut."""
    actor: str
    seconds: float
    chaos: str | None = None
    body: JSON | None = field(default=None, repr=False)
