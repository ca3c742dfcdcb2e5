"""What a pull request's workflow tells queues and migrations. A receiver that is gone never fails the sender (SAFETY §S11)."""

from dataclasses import replace
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError, CancelledError, FailureError

from workflows import addresses, timing
from workflows.messages import Abort, CancelOrder, ChangeMerged, Enqueue, Hold, MigrationRun, OrderRef, QueueEntry, Release
from workflows.needs import enqueue as enqueue_activity
from workflows.rules.plan import Strategy
from workflows.rules.stages import MigrationState
from workflows.story import Campaign, Story


async def enqueue(campaign: Campaign, *, requester: str) -> None:
    """Put the current environment's migrations into their clusters' queues, in plan order."""
    if campaign.environment is None:
        return
    runs = sorted(campaign.runs_of(campaign.environment), key=lambda run: run.migration.position)
    for run in runs:
        if run.state is not MigrationState.PROPOSED:
            continue
        campaign.runs[run.migration_id] = replace(run, state=MigrationState.QUEUED)
        await _enqueue(run, requester)


async def enqueue_again(campaign: Campaign, *, requester: str) -> None:
    """What still waits, for a queue that was terminated and knows nothing of it; one that knows it takes no notice."""
    for run in sorted(campaign.runs.values(), key=lambda run: run.migration.position):
        if run.state is MigrationState.QUEUED:
            await _enqueue(run, requester)


async def _enqueue(run: MigrationRun, requester: str) -> None:
    await workflow.execute_activity(
        enqueue_activity,
        Enqueue(entry=entry_of(run, requester=requester)),
        start_to_close_timeout=timing.ONE_QUERY,
        retry_policy=timing.TRY_AGAIN,
    )


def entry_of(run: MigrationRun, *, requester: str) -> QueueEntry:
    target = run.migration.target
    return QueueEntry(
        order=OrderRef(migration_id=run.migration_id, requester=requester),
        cluster=target.cluster,
        shard=target.shard,
        schema=target.schema,
        table=target.table,
    )


async def give_word(campaign: Campaign, *, held: bool = False, accept_unproven_by: str = "") -> None:
    """Let every migration that waits for it begin, or swap; each re-checks the data first. Saying it twice is harmless.

    held: somebody asked to hold the cut-overs: a copy may begin, but no swap and nothing that is live at once. accept_unproven_by: the DBA
    who decided to swap although not every row could be proven; counts only where that is so.
    """
    for run in campaign.runs.values():
        copies = run.state is MigrationState.READY and run.migration.strategy is Strategy.GH_OST
        if run.state in {MigrationState.READY, MigrationState.HOLDING} and (copies or not held):
            accept = bool(accept_unproven_by) and run.unproven
            by = accept_unproven_by if accept else ", ".join(campaign.approved_by)
            phase: Literal["start", "cut-over"] = "start" if run.state is MigrationState.READY else "cut-over"
            message = Release(run.migration_id, digest=campaign.digest, by=by, accept_unproven=accept, phase=phase)
            await signal(addresses.table_migration(run.migration.target), message)


async def hold(campaign: Campaign, by: str) -> None:
    """Take releases back that were given and not used yet."""
    for run in campaign.runs.values():
        if run.state.under_way and run.state is not MigrationState.QUEUED:
            await signal(addresses.table_migration(run.migration.target), Hold(migration_id=run.migration_id, by=by))


async def cancel(campaign: Campaign, *, reason: str) -> None:
    """What waits is taken out of its queue; what runs is aborted before its swap, its queue or not. Their own words settle them."""
    for run in list(campaign.runs.values()):
        if run.state is MigrationState.PROPOSED or campaign.waits_for_a_person(run):
            campaign.runs[run.migration_id] = replace(run, state=MigrationState.CANCELLED, detail=reason)
        elif run.state.under_way:
            target = run.migration.target
            began = run.state is not MigrationState.QUEUED
            abort = Abort(run.migration_id, by="skeebot", reason=reason)
            aborted = began and await signal(addresses.table_migration(target), abort)
            queued = await signal(addresses.cluster_queue(target.cluster, target.shard), CancelOrder(run.migration_id, reason))
            if not aborted and not queued:
                campaign.runs[run.migration_id] = replace(run, state=MigrationState.CANCELLED, detail=f"{reason}; its queue is gone")


async def tell_ended(story: Story) -> None:
    """Nobody waits for this pull request any more: merged, its changes are the base branch; closed, what it applied is drift."""
    queues = {target.queue for target in story.completed_targets}
    for cluster, shard in sorted(queues):
        message = ChangeMerged(repository=story.ref.repository, pull_request=story.ref.number)
        await signal(addresses.cluster_queue(cluster, shard), message)


async def signal(workflow_id: str, message: object) -> bool:
    """Returns whether the receiver was there to hear it."""
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal("hear", message)
    except CancelledError:
        raise
    except (FailureError, ApplicationError) as gone:
        workflow.logger.warning("%s did not hear %s: %s", workflow_id, type(message).__name__, gone)
        return False
    return True
