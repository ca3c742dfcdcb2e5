"""What may arrive and what is handed over. Every message has a kind, so that a union survives the data converter (SAFETY §S11).

Facts travel through history; words are made at the edge (activities/github/render.py). Fields only ever gain defaults.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from workflows.rules.approvals import Approvals, Members, Review
from workflows.rules.checks import CheckRun, CheckState
from workflows.rules.commands import AddRepository as AddRepository
from workflows.rules.commands import MapRepository as MapRepository
from workflows.rules.commands import RegistryChange as RegistryChange
from workflows.rules.commands import SetAutorun as SetAutorun
from workflows.rules.commands import UnmapRepository as UnmapRepository
from workflows.rules.names import (
    DatabaseRow,
    HeadSha,
    Login,
    MigrationId,
    PlanDigest,
    Protocol,
    PullRequestRef,
    Target,
)
from workflows.rules.plan import DatabasePlan, Drift, Enrolment, PlannedMigration, Refusal
from workflows.rules.stages import MigrationState as MigrationState
from workflows.rules.stages import Stage as Stage

# ── Intake: what a webhook delivery becomes ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Woke:
    """Something happened around a pull request; GitHub itself will say what.

    reason: "event.action" of a delivery, or who else knocks. guid: the delivery's.

    shows: what a listing showed of it (OpenPullRequest.shows), where that is what woke: a story that ended knowing the same stays ended.
    """

    ref: PullRequestRef
    reason: str
    guid: str = ""
    shows: str = ""
    kind: Literal["woke"] = "woke"


@dataclass(frozen=True)
class OpenPullRequest:
    """One line of GitHub's list. changed_at: ISO 8601 by GitHub's clock. repository: "owner/name" as GitHub spells it."""

    number: int
    head_sha: HeadSha
    base_ref: str
    changed_at: str
    repository: str = ""

    @property
    def shows(self) -> str:
        return shows(self.head_sha, self.base_ref)


def shows(head_sha: HeadSha, base_ref: str) -> str:
    """What makes a pull request worth another story: its head and its base."""
    return f"{head_sha} {base_ref}"


@dataclass(frozen=True)
class Rerequested:
    """A person pressed "Re-run" or one of our buttons on a check run; identifier is the button's ("" for Re-run).

    check, generation: which run of ours it was; "" and 0 for "Re-run all checks", which is of all that this head shows.
    """

    ref: PullRequestRef
    head_sha: HeadSha
    actor: Login
    identifier: str = ""
    guid: str = ""
    check: str = ""
    generation: int = 0
    kind: Literal["rerequested"] = "rerequested"


@dataclass(frozen=True)
class BaseMoved:
    """A push to a branch that pull requests may target: those are looked at again."""

    repository: str
    branch: str
    after: str
    guid: str = ""
    kind: Literal["base_moved"] = "base_moved"


@dataclass(frozen=True)
class Ignored:
    """A delivery that changes nothing for us, with the reason."""

    reason: str
    kind: Literal["ignored"] = "ignored"


Delivery = Woke | Rerequested | BaseMoved
"""What read_delivery answers besides Ignored."""

# ── Commands: one vocabulary, three doors ───────────────────────────────────────────────────────────────────────────


class Door(StrEnum):
    COMMENT = "comment"
    COMMAND_LINE = "command line"
    BUTTON = "button"


@dataclass(frozen=True)
class CommandGiven:
    """One command line from one door.

    id: unique ("comment/<id>/<line number>", "cli/<uuid>"). line: without the `.skeefree` prefix. pressed: the button that said it.
    """

    id: str
    actor: Login
    line: str
    door: Door
    comment_id: int = 0
    at: str = ""
    pressed: Rerequested | None = None
    kind: Literal["command"] = "command"


@dataclass(frozen=True)
class CommandAnswer:
    """What became of a command. done: it was carried out; text says what was done, or why not and what to type instead."""

    id: str
    line: str
    actor: Login
    done: bool
    text: str


# ── A pull request as GitHub shows it ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ReadPullRequest:
    """comment_cursor: id of the last comment whose commands were dealt with (0: none).

    people: further logins whose team memberships are asked (those who gave a command through another door). generations_known_of: the
    head whose check runs are known already; while it is the head they are not listed, of which there may be thousands.
    """

    ref: PullRequestRef
    comment_cursor: int = 0
    people: tuple[Login, ...] = ()
    generations_known_of: str = ""


@dataclass(frozen=True)
class PullRequestSnapshot:
    """The truth, read at once after a wake-up. Everything the pull request's workflow decides, it decides from this.

    reviews: chronological, all people. members: who of the reviewers and commanders is an active member of which team, asked of GitHub
    in this very read. commands: unedited command lines of comments after the cursor, oldest first. comment_cursor: the highest comment
    id read. twins: numbers of other open pull requests with the same head SHA. shown_generations: check name → highest generation of
    ours on the head, where it was asked for. base_protected: the base branch is protected or under a ruleset. base_requires_check: it
    requires the aggregate check. enrolment: as it was read from the Registry; None where the repository is not enrolled. tampered:
    somebody else edited our sticky comment. comment_shown: our sticky comment is there. unknown_teams: teams of the enrolment that the
    organisation does not have.
    codeowners_gap: what CODEOWNERS lacks, where owners come from it. now: GitHub's clock (Date header), ISO 8601 UTC.
    """

    ref: PullRequestRef
    state: Literal["open", "closed", "merged"]
    title: str
    author: Login
    head_sha: HeadSha
    base_ref: str
    base_sha: str
    now: str
    draft: bool = False
    from_fork: bool = False
    url: str = ""
    base_protected: bool = False
    base_requires_check: bool = False
    labels: tuple[str, ...] = ()
    reviews: tuple[Review, ...] = ()
    members: Members = field(default_factory=Members)
    commands: tuple[CommandGiven, ...] = ()
    comment_cursor: int = 0
    twins: tuple[int, ...] = ()
    shown_generations: dict[str, int] = field(default_factory=dict)
    tampered: bool = False
    comment_shown: bool = False
    unknown_teams: tuple[str, ...] = ()
    codeowners_gap: str = ""
    enrolment: Enrolment | None = None
    protocol: Protocol = field(default_factory=Protocol)


# ── Diff and plan ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class FindChanges:
    """Ask git which enrolled directories a pull request touches. allow_fork: a member asked for a plan of a fork."""

    ref: PullRequestRef
    head_sha: HeadSha
    base_sha: str
    enrolment: Enrolment
    from_fork: bool = False
    allow_fork: bool = False


@dataclass(frozen=True)
class ChangedDirectory:
    """One enrolled directory with schema changes. tables: names of the tables whose files differ between merge and first parent."""

    row: DatabaseRow
    path: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """The test merge and what it changes. head_sha: what was merged into base_sha; of these two the merge can be made again.

    refusal: nothing can be planned (conflict, hostile content, a changed schema directory that no enrolment maps); the
    directories may still be known, so that each expected row fails by name.
    """

    merge_sha: str = ""
    base_sha: str = ""
    directories: tuple[ChangedDirectory, ...] = ()
    refusal: Refusal | None = None
    head_sha: str = ""
    kind: Literal["changes"] = "changes"


@dataclass(frozen=True)
class PlanDatabase:
    """Plan one expected row: live → desired on every shard of its cluster.

    completed: the pull request's own completed migrations (their live effect is not drift). acknowledged: drift that a DBA has accepted,
    so that it stays.
    """

    ref: PullRequestRef
    head_sha: HeadSha
    changes: Changes
    directory: ChangedDirectory
    enrolment: Enrolment
    completed: tuple[Target, ...] = ()
    acknowledged: tuple[Drift, ...] = ()


# ── What is published ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Progress:
    """What a run says of itself. percent: 0–100. eta_seconds: None when unknown. phase: gh-ost's own word (migrating, throttled, …)."""

    percent: float = 0.0
    rows_copied: int = 0
    rows_total: int = 0
    eta_seconds: float | None = None
    elapsed_seconds: float = 0.0
    lag_seconds: float | None = None
    phase: str = ""


@dataclass(frozen=True)
class MigrationRun:
    """One migration of this pull request and where it stands. detail: why it failed or is held, in words, with the next action."""

    migration_id: MigrationId
    migration: PlannedMigration
    state: MigrationState = MigrationState.PROPOSED
    detail: str = ""
    progress: Progress = field(default_factory=Progress)
    rows_compared: int = 0
    seconds: float = 0.0
    quarantined_as: str = ""
    changed: bool = False
    unproven: bool = False


@dataclass(frozen=True)
class PullRequestView:
    """Everything that the sticky comment and the checks say, as facts. waiting_for is derived from stage by render.

    head_sha: the head that this is about. plans: by expected row. runs: this pull request's migrations (any head).
    allowed_unsafe_by, drift_acknowledged_by: logins, "" while missing. answers: the last commands and what became of them.
    review_refused: why GitHub would not ask the databases team.
    """

    ref: PullRequestRef
    author: Login
    head_sha: HeadSha
    stage: Stage
    digest: PlanDigest | None = None
    expected: tuple[DatabaseRow, ...] = ()
    row_states: dict[str, CheckState] = field(default_factory=dict)
    plans: tuple[DatabasePlan, ...] = ()
    runs: tuple[MigrationRun, ...] = ()
    approvals: Approvals = field(default_factory=Approvals)
    owner_team: str = ""
    databases_team: str = ""
    allowed_unsafe_by: str = ""
    drift_acknowledged_by: str = ""
    autorun_approved_by: str = ""
    held_by: str = ""
    twins: tuple[int, ...] = ()
    late_commits: bool = False
    refusal: Refusal | None = None
    answers: tuple[CommandAnswer, ...] = ()
    changed_since_approval: tuple[str, ...] = ()
    unknown_teams: tuple[str, ...] = ()
    codeowners_gap: str = ""
    review_refused: str = ""
    protocol: Protocol = field(default_factory=Protocol)


@dataclass(frozen=True)
class SetLabels:
    """The labels of ours that shall be on the pull request; other labels are left alone."""

    ref: PullRequestRef
    wanted: tuple[str, ...]
    protocol: Protocol = field(default_factory=Protocol)


@dataclass(frozen=True)
class PublishComment:
    view: PullRequestView


@dataclass(frozen=True)
class CommentPublished:
    """at: GitHub's clock when the comment carried this content (updated_at), ISO 8601 UTC."""

    comment_id: int
    at: str


@dataclass(frozen=True)
class PublishCheck:
    """Make GitHub show this run. row: the database it is about, None for the aggregate. view gives the words.

    Found by external_id and head SHA before anything is created; a completed run only ever gets new output.
    """

    ref: PullRequestRef
    run: CheckRun
    row: DatabaseRow | None
    view: PullRequestView


@dataclass(frozen=True)
class CheckPublished:
    run_id: int
    at: str


class Announcement(StrEnum):
    """Why a new short comment is written: only where a person must act, and at the end."""

    DETECTED = "detected"
    FAILED = "failed"
    COMPLETE = "complete"
    APPROVALS_VOID = "approvals void"
    COMMAND_REFUSED = "command refused"
    HELD = "held"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Say:
    """A new short comment. key: the same key is said once (hidden in the comment, found again by marker and author)."""

    ref: PullRequestRef
    announcement: Announcement
    key: str
    view: PullRequestView
    text: str = ""


@dataclass(frozen=True)
class RequestReview:
    """team: the databases team's slug. Asking twice is harmless."""

    ref: PullRequestRef
    team: str


@dataclass(frozen=True)
class React:
    """done: +1, else confused. Marks a command comment as handled."""

    ref: PullRequestRef
    comment_id: int
    done: bool


@dataclass(frozen=True)
class Narrate:
    """Keep the sticky comment's progress true while migrations run, until cancelled."""

    view: PullRequestView
    every_seconds: float = 30.0


# ── Running ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MigrationOrder:
    """One migration as it was approved. requester: workflow id that answers for approvals and hears the verdict.

    approved_by: the two people, or the operator. hold: stay before the cut-over until a person says cut-over.
    """

    migration_id: MigrationId
    requester: str
    migration: PlannedMigration
    digest: PlanDigest
    repository: str = ""
    pull_request: int = 0
    head_sha: str = ""
    approved_by: tuple[Login, ...] = ()
    quarantine_days: int = 7
    url: str = ""


@dataclass(frozen=True)
class OrderRef:
    """Where an order can be read (a query on the requester): queue entries are references, statements travel once."""

    migration_id: MigrationId
    requester: str


class Priority(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True)
class QueueEntry:
    """< 300 B. arrived: a number that the queue gives. turns: how often it had its turn and gave it back."""

    order: OrderRef
    cluster: str
    shard: str
    schema: str
    table: str
    priority: Priority = Priority.NORMAL
    arrived: int = 0
    turns: int = 0
    kind: Literal["entry"] = "entry"


@dataclass(frozen=True)
class Enqueue:
    """Put an entry into its cluster's queue, starting the queue if it has never run (signal-with-start by the client)."""

    entry: QueueEntry


@dataclass(frozen=True)
class CancelOrder:
    migration_id: MigrationId
    reason: str
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True)
class MigrationMoved:
    """A migration tells its requester (and its queue) where it stands.

    changed: the live table is not what was approved, so trying again needs a new plan and new approvals. unproven: it holds because
    the comparison could not prove every row, and a DBA decides.
    """

    migration_id: MigrationId
    state: MigrationState
    detail: str = ""
    rows_compared: int = 0
    seconds: float = 0.0
    quarantined_as: str = ""
    changed: bool = False
    unproven: bool = False
    kind: Literal["moved"] = "moved"


@dataclass(frozen=True)
class Applied:
    """A change that is live but not merged yet (or not known to be): who drifts past it is told whose it is."""

    target: Target
    repository: str
    pull_request: int
    head_sha: HeadSha
    statement: str
    kind: Literal["applied"] = "applied"


@dataclass(frozen=True)
class Quarantined:
    """A table that was renamed away and when it may be dropped; the reaper acts only on these records."""

    target: Target
    name: str
    created_at: str
    drop_after: str
    kind: Literal["quarantined"] = "quarantined"


@dataclass(frozen=True)
class ChangeMerged:
    """The pull request was merged: its applied changes are the base branch now."""

    repository: str
    pull_request: int
    kind: Literal["merged"] = "merged"


@dataclass(frozen=True)
class Release:
    """The requester's word that approvals hold now; the migration re-checks the data before it begins, or lets go.

    accept_unproven: a DBA decided to swap although the comparison could not prove every row.
    """

    migration_id: MigrationId
    digest: PlanDigest
    by: str = ""
    accept_unproven: bool = False
    phase: Literal["start", "cut-over"] = "cut-over"
    kind: Literal["release"] = "release"


@dataclass(frozen=True)
class Hold:
    migration_id: MigrationId
    by: str
    kind: Literal["hold"] = "hold"


@dataclass(frozen=True)
class Abort:
    migration_id: MigrationId
    by: str
    reason: str
    kind: Literal["abort"] = "abort"


@dataclass(frozen=True)
class TurnIdle:
    """A migration tells its queue that it has had its turn for long and nothing could begin: another may go first."""

    migration_id: MigrationId
    kind: Literal["turn idle"] = "turn idle"


@dataclass(frozen=True)
class TurnWanted:
    """A queue tells a migration whose turn is idle that another waits. One that has begun meanwhile goes on."""

    migration_id: MigrationId
    kind: Literal["turn wanted"] = "turn wanted"


@dataclass(frozen=True)
class PrimaryIdentity:
    """host:port and server_uuid of the primary a run is pinned to (SAFETY §S9)."""

    address: str
    server_uuid: str


@dataclass(frozen=True)
class Preflight:
    order: MigrationOrder


@dataclass(frozen=True)
class PreflightVerdict:
    """go: primary identity is set. Otherwise refusal says why; changed: the live table is not what was approved (plan again);
    retry: only the moment is bad (long transaction, lag), try later."""

    primary: PrimaryIdentity | None = None
    refusal: Refusal | None = None
    changed: bool = False
    retry: bool = False


@dataclass(frozen=True)
class RunDirect:
    """CREATE TABLE, quarantining RENAME, or INSTANT ALTER with short lock waits. quarantine_as: the new name for a DROP."""

    order: MigrationOrder
    primary: PrimaryIdentity
    quarantine_as: str = ""


@dataclass(frozen=True)
class DirectDone:
    """restore: statements that bring back what a quarantining RENAME took off (foreign keys, triggers), in order."""

    seconds: float
    gtid_executed: str = ""
    restore: tuple[str, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True)
class SpawnGhost:
    """run_id: fixed by the workflow, so that a retried spawn adopts instead of starting twice.

    resume: from the checkpoint; only after fencing (SAFETY §S2).
    """

    run_id: str
    order: MigrationOrder
    primary: PrimaryIdentity
    resume: bool = False


@dataclass(frozen=True)
class GhostRun:
    """A detached gh-ost: where it is and how it is known again (pid and process start time), and the names it owns."""

    run_id: str
    host: str
    pid: int
    started: str
    ghost_table: str
    changelog_table: str
    checkpoint_table: str
    old_table: str


@dataclass(frozen=True)
class WatchGhost:
    """Watch until something happens after event number after_event. Heartbeats carry Progress."""

    run: GhostRun
    order: MigrationOrder
    after_event: int = 0


class GhostEvent(StrEnum):
    """holding: the copy is done and the cut-over is held. succeeded, failed: it ended with that exit.

    vanished: the process is gone without a word.
    """

    HOLDING = "holding"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    VANISHED = "vanished"


@dataclass(frozen=True)
class GhostSeen:
    """event_number: pass it as after_event to see the next. detail: gh-ost's last words where it failed."""

    event: GhostEvent
    event_number: int
    detail: str = ""
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class LetGo:
    """Release the held cut-over: one attempt, under a grant of this run.

    token: new for each release; a used one releases nothing again, so a retried activity is harmless.
    looked_at: when the primary was looked at before it (seconds since 1970, by Temporal's clock); 0: right when this was asked.
    """

    run: GhostRun
    order: MigrationOrder
    token: str
    looked_at: float = 0.0


@dataclass(frozen=True)
class AbortGhost:
    """Stop this run before its swap. Afterwards the process is dead and its artefacts (recorded as ours) are gone.

    keep: leave the ghost table for a DBA to look at.
    """

    run: GhostRun
    order: MigrationOrder
    reason: str
    keep: bool = False


@dataclass(frozen=True)
class GhostStopped:
    """swapped: the abort came too late; the table had been swapped."""

    dead: bool
    swapped: bool = False
    detail: str = ""


class Comparison(StrEnum):
    EQUAL = "equal"
    DIFFERENT = "different"
    UNPROVEN = "unproven"


@dataclass(frozen=True)
class Verify:
    """Compare original and ghost while gh-ost holds (SAFETY §S5)."""

    order: MigrationOrder
    primary: PrimaryIdentity
    ghost_table: str


@dataclass(frozen=True)
class Verification:
    """rows: compared. at: ISO 8601 UTC; it ages. detail: which keys differ, or why nothing can be proven and what a DBA can do."""

    outcome: Comparison
    rows: int = 0
    chunks: int = 0
    seconds: float = 0.0
    at: str = ""
    detail: str = ""


@dataclass(frozen=True)
class CheckRelease:
    """May the cut-over go now, as far as the data is concerned?

    The primary is still the same and writable, the fingerprint is unchanged, no long transaction is open.
    """

    order: MigrationOrder
    primary: PrimaryIdentity


@dataclass(frozen=True)
class Prove:
    """After the run: is the live table what was approved?

    old_table: the name under which gh-ost or the quarantine left the original ("" if none).
    """

    order: MigrationOrder
    primary: PrimaryIdentity
    old_table: str = ""


@dataclass(frozen=True)
class Proof:
    """done: the live schema is as expected. gtid_executed: of the primary afterwards."""

    done: bool
    detail: str = ""
    gtid_executed: str = ""


@dataclass(frozen=True)
class Fence:
    """Cut a run off before anything is resumed or started again (SAFETY §S2)."""

    run: GhostRun
    order: MigrationOrder
    primary: PrimaryIdentity


@dataclass(frozen=True)
class FenceVerdict:
    """fenced: the old process is proven dead on its host, or cut off at the database.

    resumable: a checkpoint exists and the death is proven.
    """

    fenced: bool
    resumable: bool = False
    detail: str = ""


@dataclass(frozen=True)
class AuditRecord:
    """One line of the append-only record that outlives Temporal's retention. facts: what happened, ready for JSON."""

    at: str
    what: str
    migration_id: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Notice:
    """For chat. subject and body are plain text."""

    subject: str
    body: str


# ── By hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class PlanStatement:
    """Plan one statement given by hand on every shard of a cluster, by the same rules as a pull request's."""

    cluster: str
    schema: str
    statement: str
    environment: str = "by-hand"
    shards: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunByHand:
    """name: unique, part of the workflow's id. actor: who typed it. allow_unsafe: the operator accepts what the plan says is lost."""

    name: str
    ask: PlanStatement
    actor: Login
    allow_unsafe: bool = False


@dataclass(frozen=True)
class ByHandResult:
    """outcome as the command line exits: complete 0, failed 1, refused 2."""

    outcome: Literal["complete", "failed", "refused"]
    text: str
    runs: tuple[MigrationRun, ...] = ()


@dataclass(frozen=True)
class QueueStanding:
    """What a cluster's queue carries, for people to look at."""

    cluster: str
    shard: str
    running: tuple[QueueEntry, ...] = ()
    waiting: tuple[QueueEntry, ...] = ()
    applied: tuple[Applied, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
