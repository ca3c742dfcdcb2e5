"""The activities as a workflow meets them: by their declarations, through the data converter, with errors that Temporal understands."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from activities.github.checks import Checks
from activities.github.client import GitHubClient
from activities.github.comments import Comments
from activities.github.labels import Labels
from activities.github.pull_request import PullRequests
from embedded.temporal import TemporalServer
from tests.activities.github.errands import Look, Publish
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import PullRequest
from workflows.messages import PullRequestView, ReadPullRequest
from workflows.rules.names import Login, Protocol, PullRequestRef
from workflows.rules.plan import Enrolment

ENROLLED = Enrolment(repository="acme/shop", owner_team="orders-owners", databases_team="databases")

Activities = list[Callable[..., Any]]


async def enrolment_of(_repository: str) -> Enrolment | None:
    return ENROLLED


@pytest.fixture
def activities(client: GitHubClient) -> Activities:
    pulls = PullRequests(client, protocol=Protocol(), enrolment_of=enrolment_of)
    comments = Comments(client)
    return [pulls.read_pull_request, Checks(client).publish_check, comments.publish_comment, Labels(client).set_labels]


async def test_a_snapshot_survives_the_way_through_history(
    acme: Acme, temporal_server: TemporalServer, activities: Activities, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.world.review(pull, "oscar", "APPROVED", "")
    acme.world.comment(pull, "dana", ".skeefree help")
    temporal = await temporal_server.client()
    async with Worker(temporal, task_queue="github-look", workflows=[Look], activities=activities):
        found = await temporal.execute_workflow(Look.run, ref, id=f"look/{acme.github.port}", task_queue="github-look")
    direct = await activities[0](ReadPullRequest(ref=ref, people=(Login("dirk"),)))
    assert {"oscar"} == found.members.owners
    assert {"dana", "dirk"} == found.members.dbas
    assert direct.commands == found.commands
    assert direct.reviews == found.reviews
    assert ENROLLED == found.enrolment


async def test_twenty_databases_published_at_once_by_a_workflow_make_one_run_each(
    acme: Acme, temporal_server: TemporalServer, activities: Activities, pull: PullRequest, view: PullRequestView
) -> None:
    acme.world.chaos.latency = (0.0, 0.1)
    acme.world.chaos.fail_share(0.1, operations={"checks/create"}, seed=11)
    temporal = await temporal_server.client()
    async with Worker(temporal, task_queue="github-publish", workflows=[Publish], activities=activities):
        made = await temporal.execute_workflow(Publish.run, view, id=f"publish/{acme.github.port}", task_queue="github-publish")
    assert 21 == made == len(acme.world.check_run_history(acme.repository))
    assert {"migration:skeema:diff"} == acme.world.label_names(pull)
    assert 1 == len([one for one in pull.comments if one.user is acme.app.bot])
    assert 1 == [one.operation for one in acme.world.requests].count("apps/create-installation-access-token")


async def test_a_persons_business_is_not_retried(
    acme: Acme, temporal_server: TemporalServer, activities: Activities, ref: PullRequestRef
) -> None:
    acme.world.uninstall(acme.installation)
    temporal = await temporal_server.client()
    async with Worker(temporal, task_queue="github-human", workflows=[Look], activities=activities):
        with pytest.raises(WorkflowFailureError) as caught:
            await temporal.execute_workflow(
                Look.run, ref, id=f"human/{acme.github.port}", task_queue="github-human", execution_timeout=timedelta(seconds=60)
            )
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, ApplicationError)
    assert "NeedsHuman" == caught.value.cause.cause.type
    assert "Install it at" in caught.value.cause.cause.message
