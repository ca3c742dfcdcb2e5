"""A worker with every workflow and the desk's activities, on a real Temporal server."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from embedded.temporal import TemporalServer
from tests.workflows.desk import WORKFLOWS, Desk
from workflows import addresses
from workflows.rules.names import PullRequestRef

_numbers = itertools.count(1)


@pytest.fixture
async def temporal(temporal_server: TemporalServer) -> AsyncIterator[Client]:
    """A client; every workflow that the test leaves open is ended afterwards."""
    client = await Client.connect(temporal_server.address)
    yield client
    async for one in client.list_workflows("ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(one.id).terminate("the test is over")


@pytest.fixture
async def desk(temporal: Client) -> AsyncIterator[Desk]:
    desk = Desk(client=temporal, ref=PullRequestRef("acme", "shop", next(_numbers)))
    queues = (addresses.CONTROL, addresses.RUNNER, addresses.runner_watch("desk"), addresses.runner_control("desk"))
    activities = desk.activities()
    workers = [
        Worker(
            temporal,
            task_queue=queue,
            workflows=WORKFLOWS if queue == addresses.CONTROL else [],
            activities=activities,
            max_heartbeat_throttle_interval=timedelta(milliseconds=50),  # a cancellation arrives with a heartbeat's answer
        )
        for queue in queues
    ]
    async with workers[0], workers[1], workers[2], workers[3]:
        yield desk
