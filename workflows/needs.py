"""Typed declarations of every activity, so that imports point one way.

Workflows call these; activities/ implements them under the same names and types, and tests/test_needs.py holds the two together. The
bodies here never run.
"""

from temporalio import activity

from workflows.messages import (
    AbortGhost,
    AuditRecord,
    Changes,
    CheckPublished,
    CheckRelease,
    CommentPublished,
    DirectDone,
    Enqueue,
    Fence,
    FenceVerdict,
    FindChanges,
    GhostRun,
    GhostSeen,
    GhostStopped,
    LetGo,
    MigrationOrder,
    Narrate,
    Notice,
    OpenPullRequest,
    OrderRef,
    PlanDatabase,
    PlanStatement,
    Preflight,
    PreflightVerdict,
    Proof,
    Prove,
    PublishCheck,
    PublishComment,
    PullRequestSnapshot,
    React,
    ReadPullRequest,
    RequestReview,
    RunDirect,
    Say,
    SetLabels,
    SpawnGhost,
    Verification,
    Verify,
    WatchGhost,
    Woke,
)
from workflows.rules.plan import DatabasePlan, Enrolment

# ── GitHub (control queue) ──────────────────────────────────────────────────────────────────────────────────────────


@activity.defn
async def read_pull_request(ask: ReadPullRequest) -> PullRequestSnapshot:
    """Everything about a pull request that decisions need, read now."""
    raise NotImplementedError


@activity.defn
async def set_labels(ask: SetLabels) -> None:
    """Add what is wanted of our labels, remove the rest of ours."""
    raise NotImplementedError


@activity.defn
async def publish_comment(ask: PublishComment) -> CommentPublished:
    """Write the one sticky comment (found by marker and author), only if it differs."""
    raise NotImplementedError


@activity.defn
async def publish_check(ask: PublishCheck) -> CheckPublished:
    """Create, complete or refresh one check run."""
    raise NotImplementedError


@activity.defn
async def say(ask: Say) -> None:
    """A new short comment, once per key."""
    raise NotImplementedError


@activity.defn
async def request_review(ask: RequestReview) -> None:
    """Ask a team for its review."""
    raise NotImplementedError


@activity.defn
async def react(ask: React) -> None:
    """Mark a command comment as handled."""
    raise NotImplementedError


@activity.defn
async def narrate(ask: Narrate) -> None:
    """Heartbeats; reads the pending activities of running migrations and PATCHes the sticky comment until cancelled."""
    raise NotImplementedError


@activity.defn
async def wake_pull_request(message: Woke) -> None:
    """Signal-with-start another pull request's workflow."""
    raise NotImplementedError


@activity.defn
async def list_open_pull_requests(repository: str, base: str) -> list[OpenPullRequest]:
    """The open pull requests against base ("" for any base)."""
    raise NotImplementedError


@activity.defn
async def redeliver_failed(since: str) -> int:
    """Ask GitHub to send again what it could not deliver since then (ISO 8601). Returns how many."""
    raise NotImplementedError


# ── git, skeema, MySQL: diff and plan (control queue) ───────────────────────────────────────────────────────────────


@activity.defn
async def find_changes(ask: FindChanges) -> Changes:
    """Fetch the test merge, verify it, and say which enrolled directories and tables it changes."""
    raise NotImplementedError


@activity.defn
async def plan_database(ask: PlanDatabase) -> DatabasePlan:
    """live → desired for one expected row, judged by MySQL in the workspace. Refusals are values, not errors."""
    raise NotImplementedError


@activity.defn
async def plan_statement(ask: PlanStatement) -> DatabasePlan:
    """The plan of one statement given by hand."""
    raise NotImplementedError


# ── Queue and orders (control queue) ────────────────────────────────────────────────────────────────────────────────


@activity.defn
async def enqueue(ask: Enqueue) -> None:
    """Signal-with-start the cluster's queue."""
    raise NotImplementedError


@activity.defn
async def read_order(ref: OrderRef) -> MigrationOrder:
    """Query the requester for the whole order."""
    raise NotImplementedError


@activity.defn
async def list_repositories() -> list[str]:
    """owner/name of each enrolled repository."""
    raise NotImplementedError


@activity.defn
async def list_stories(repository: str) -> list[int]:
    """Numbers of the repository's pull requests whose workflow is open."""
    raise NotImplementedError


@activity.defn
async def read_enrolment(repository: str) -> Enrolment | None:
    """As the Registry has it, however the repository's name is spelled; None where it is not enrolled."""
    raise NotImplementedError


@activity.defn
async def list_running_migrations(cluster: str, shard: str) -> list[str]:
    """The ids of the workflows that migrate a table on that shard now."""
    raise NotImplementedError


@activity.defn
async def is_running(workflow_id: str) -> bool:
    """Whether a workflow of this id is open: what a queue asks after continue-as-new of what it carries."""
    raise NotImplementedError


# ── Running (control queue unless said otherwise) ───────────────────────────────────────────────────────────────────


@activity.defn
async def preflight(ask: Preflight) -> PreflightVerdict:
    """Right before the start, on the primary: is the table still what was approved, and will the strategy work?"""
    raise NotImplementedError


@activity.defn
async def run_direct(ask: RunDirect) -> DirectDone:
    """Run direct or instant DDL with bounded lock waits."""
    raise NotImplementedError


@activity.defn
async def spawn_ghost(ask: SpawnGhost) -> GhostRun:
    """Start a detached gh-ost, or find the one already started under this run id. Runs on the shared runner queue."""
    raise NotImplementedError


@activity.defn
async def watch_ghost(ask: WatchGhost) -> GhostSeen:
    """Heartbeats Progress until the next event. Runs on runner-watch/<host>."""
    raise NotImplementedError


@activity.defn
async def let_go(ask: LetGo) -> None:
    """Release the held cut-over. Runs on runner-ctl/<host>."""
    raise NotImplementedError


@activity.defn
async def abort_ghost(ask: AbortGhost) -> GhostStopped:
    """Stop a run before its swap and remove its artefacts. Runs on runner-ctl/<host>."""
    raise NotImplementedError


@activity.defn
async def fence(ask: Fence) -> FenceVerdict:
    """Prove the old process dead on its host. Runs on runner-ctl/<host>."""
    raise NotImplementedError


@activity.defn
async def fence_at_database(ask: Fence) -> FenceVerdict:
    """Cut a run off at the primary when its host does not answer: lock its account, kill its connections, see none left."""
    raise NotImplementedError


@activity.defn
async def verify(ask: Verify) -> Verification:
    """Compare original and ghost in chunks; heartbeats."""
    raise NotImplementedError


@activity.defn
async def check_release(ask: CheckRelease) -> PreflightVerdict:
    """Right before the release, on the primary."""
    raise NotImplementedError


@activity.defn
async def prove(ask: Prove) -> Proof:
    """What the table looks like on its primary decides."""
    raise NotImplementedError


@activity.defn
async def record(entry: AuditRecord) -> None:
    """Append one line to the audit record."""
    raise NotImplementedError


@activity.defn
async def notify(notice: Notice) -> None:
    """Tell the chat channels; a channel that fails never fails the migration."""
    raise NotImplementedError
