"""Between workflows, through the client: entries into queues, orders out of requesters (signal-with-start is the client's alone)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import NeedsHuman, TryAgain
from workflows import addresses
from workflows.by_hand import ByHand
from workflows.cluster_queue import ClusterQueue, QueueState
from workflows.messages import Applied, Enqueue, MigrationOrder, OrderRef, QueueStanding
from workflows.registry import Registry
from workflows.rules.plan import Enrolment
from workflows.timing import Timing

QUERY_PATIENCE = timedelta(seconds=10)
"""A query needs a worker; without one it must not hang."""


class OrderActivities:
    """timing: given to each queue that is started here."""

    def __init__(self, client: Client, timing: Timing) -> None:
        self._client = client
        self._timing = timing

    @activity.defn
    async def enqueue(self, ask: Enqueue) -> None:
        entry = ask.entry
        await self._client.start_workflow(
            ClusterQueue.run,
            QueueState(cluster=entry.cluster, shard=entry.shard, timing=self._timing),
            id=addresses.cluster_queue(entry.cluster, entry.shard),
            task_queue=addresses.CONTROL,
            start_signal="hear",
            start_signal_args=[entry],
        )

    @activity.defn
    async def read_order(self, ref: OrderRef) -> MigrationOrder:
        """Errors: NeedsHuman when the requester is gone, has ended or knows nothing of it; TryAgain when it cannot answer just now."""
        try:
            # Every requester answers this query; ByHand's signature stands for all of them.
            return await self._client.get_workflow_handle(ref.requester).query(
                ByHand.order, ref.migration_id, reject_condition=QueryRejectCondition.NOT_OPEN
            )
        except WorkflowQueryRejectedError as ended:  # Temporal would ask its history, but nobody is there to give a word
            raise NeedsHuman(f"{ref.requester}, which ordered {ref.migration_id}, has ended.") from ended
        except WorkflowQueryFailedError as wrong:
            if ref.migration_id in str(wrong):  # its own KeyError
                raise NeedsHuman(f"{ref.requester} does not know the order {ref.migration_id} any more.") from wrong
            # A workflow that a deployment has wedged answers any query with what wedged it.
            raise TryAgain(f"{ref.requester} cannot answer for {ref.migration_id}: {wrong}. Look at it in Temporal.") from wrong
        except RPCError as wrong:
            if wrong.status is RPCStatusCode.NOT_FOUND:
                raise NeedsHuman(f"{ref.requester}, which ordered {ref.migration_id}, is gone.") from wrong
            raise

    @activity.defn
    async def list_repositories(self) -> list[str]:
        try:
            known = await self._client.get_workflow_handle(addresses.REGISTRY).query(Registry.enrolments, rpc_timeout=QUERY_PATIENCE)
        except RPCError as wrong:
            if wrong.status is RPCStatusCode.NOT_FOUND:
                return []
            raise
        return [one.repository for one in known]

    @activity.defn
    async def list_stories(self, repository: str) -> list[int]:
        """By their ids, which know one spelling only."""
        ids = addresses.pull_requests_of(repository)
        query = f"WorkflowType = 'PullRequest' AND ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{ids}'"
        return sorted([int(one.id.rpartition("/")[2]) async for one in self._client.list_workflows(query)])

    @activity.defn
    async def read_enrolment(self, repository: str) -> Enrolment | None:
        return await enrolment_of(self._client)(repository)

    @activity.defn
    async def list_running_migrations(self, cluster: str, shard: str) -> list[str]:
        ids = addresses.migrations_on(cluster, shard)
        query = f"WorkflowType = 'TableMigration' AND ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{ids}'"
        return sorted([one.id async for one in self._client.list_workflows(query)])

    @activity.defn
    async def is_running(self, workflow_id: str) -> bool:
        try:
            described = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as wrong:
            if wrong.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return described.status is WorkflowExecutionStatus.RUNNING


def applied_unmerged(client: Client) -> Callable[[str, str], Awaitable[list[Applied]]]:
    """Ask a cluster's queue which applied changes are not merged yet; none where no queue has ever run."""

    async def ask(cluster: str, shard: str) -> list[Applied]:
        standing = await queue_standing(client, cluster, shard)
        return list(standing.applied) if standing else []

    return ask


async def queue_standing(client: Client, cluster: str, shard: str) -> QueueStanding | None:
    """None where no queue has ever run."""
    try:
        return await client.get_workflow_handle(addresses.cluster_queue(cluster, shard)).query(
            ClusterQueue.standing, rpc_timeout=QUERY_PATIENCE
        )
    except RPCError as wrong:
        if wrong.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def enrolment_of(client: Client) -> Callable[[str], Awaitable[Enrolment | None]]:
    """Ask the Registry; None where the repository is not enrolled, or nothing ever was."""

    async def ask(repository: str) -> Enrolment | None:
        try:
            return await client.get_workflow_handle(addresses.REGISTRY).query(Registry.enrolment, repository, rpc_timeout=QUERY_PATIENCE)
        except RPCError as wrong:
            if wrong.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    return ask
