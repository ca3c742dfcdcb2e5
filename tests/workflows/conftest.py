"""A worker with every workflow and the desk's activities, on a real Temporal server."""

import itertools
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from embedded.temporal import TemporalServer
from tests.workflows.desk import Desk, working
from workflows.rules.names import PullRequestRef

_numbers = itertools.count(1)


@pytest.fixture
async def temporal(temporal_server: TemporalServer) -> AsyncIterator[Client]:
    """A client; every workflow that the test leaves open is ended afterwards."""
    client = await Client.connect(temporal_server.address)
    yield client
    async for one in client.list_workflows("ExecutionStatus = 'Running'"):
        try:
            await client.get_workflow_handle(one.id).terminate("the test is over")
        except RPCError as ended:  # by itself, meanwhile
            if ended.status is not RPCStatusCode.NOT_FOUND:
                raise


@pytest.fixture
async def desk(temporal: Client) -> AsyncIterator[Desk]:
    desk = Desk(client=temporal, ref=PullRequestRef("acme", "shop", next(_numbers)))
    async with working(desk):
        yield desk
