"""What a requester answers for its order, and what it means that it does not."""

from collections.abc import AsyncIterator

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from activities.errors import NeedsHuman, TryAgain
from activities.orders import OrderActivities
from embedded.temporal import TemporalServer
from workflows.messages import OrderRef
from workflows.rules.names import MigrationId
from workflows.timing import Timing

QUEUE = "requesters"


@workflow.defn(sandboxed=False)
class Requester:
    """One that knows no order, or that something has wedged."""

    @workflow.run
    async def run(self, wedged: bool) -> None:
        self.wedged = wedged
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def order(self, migration_id: str) -> None:
        raise RuntimeError("nondeterminism error") if self.wedged else KeyError(migration_id)


@pytest.fixture
async def client(temporal_server: TemporalServer) -> AsyncIterator[Client]:
    client = await temporal_server.client()
    async with Worker(client, task_queue=QUEUE, workflows=[Requester]):
        yield client


async def asked(client: Client, requester: str) -> str:
    """The words with which a person is told that nobody answers for the order."""
    with pytest.raises(NeedsHuman) as told:
        await OrderActivities(client, Timing()).read_order(OrderRef(MigrationId("orders:1"), requester))
    return told.value.message


async def test_a_requester_that_was_terminated_does_not_answer_from_its_history(client: Client) -> None:
    handle = await client.start_workflow(Requester.run, False, id="terminated", task_queue=QUEUE)
    await handle.terminate()
    assert "terminated, which ordered orders:1, has ended." == await asked(client, "terminated")


async def test_a_requester_that_never_was_is_gone(client: Client) -> None:
    assert "nobody, which ordered orders:1, is gone." == await asked(client, "nobody")


async def test_a_requester_that_began_anew_does_not_know_the_order(client: Client) -> None:
    handle = await client.start_workflow(Requester.run, False, id="anew", task_queue=QUEUE)
    assert "anew does not know the order orders:1 any more." == await asked(client, "anew")
    await handle.terminate()


async def test_a_requester_that_a_deployment_has_wedged_may_answer_later(client: Client) -> None:
    handle = await client.start_workflow(Requester.run, True, id="wedged", task_queue=QUEUE)
    with pytest.raises(TryAgain, match="wedged cannot answer for orders:1: nondeterminism error"):
        await OrderActivities(client, Timing()).read_order(OrderRef(MigrationId("orders:1"), "wedged"))
    await handle.terminate()
