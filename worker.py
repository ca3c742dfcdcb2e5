"""Settings → clients → activities → Workers. One process serves every role by default; no logic here."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from temporalio.client import Client
from temporalio.worker import Worker

from activities import command_line
from activities.audit import Audit
from activities.ghost.run import GhostActivities
from activities.git import GitActivities
from activities.github.checks import Checks
from activities.github.client import GitHubClient
from activities.github.comments import Comments
from activities.github.intake import Doorbell
from activities.github.labels import Labels
from activities.github.pull_request import PullRequests
from activities.github.redeliveries import Redeliveries
from activities.github.render import render_sticky
from activities.mysql.direct import DirectRuns
from activities.mysql.discovery import Discovery
from activities.mysql.fence import DatabaseFences
from activities.mysql.planner import PlanActivities
from activities.mysql.preflight import Preflights
from activities.mysql.prove import Proofs
from activities.mysql.verify import Verifications
from activities.narrate import Narrator
from activities.notify import Notifier
from activities.orders import OrderActivities, applied_unmerged, enrolment_of
from activities.settings import Settings, load_settings
from activities.temporal import connect, ensure_registry, ensure_rounds, seal_key, verify_search_attributes, workflow_runner
from workflows import addresses
from workflows.by_hand import ByHand
from workflows.cluster_queue import ClusterQueue
from workflows.messages import PullRequestView
from workflows.pull_request import PullRequest
from workflows.registry import Registry
from workflows.sweep import Round, Sweep
from workflows.table_migration import TableMigration

WORKFLOWS = (PullRequest, TableMigration, ClusterQueue, Registry, Sweep, Round, ByHand)
GRACE = timedelta(seconds=10)
"""What activities get to finish when the worker is told to stop. A gh-ost outlives its worker anyway."""
HEARTBEATS = timedelta(seconds=1)
"""Sent at most this often; a cancellation arrives with a heartbeat's answer."""

Activities = Sequence[Callable[..., Any]]


class Role(StrEnum):
    CONTROL = "control"
    RUNNER = "runner"
    BOTH = "both"


def main(*, role: Annotated[Role, typer.Option(help="what this process serves")] = Role.BOTH) -> None:
    """Serve skeebot's workflows and activities until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = command_line.settings_or_exit(load_settings)
    raise typer.Exit(command_line.run(serve(settings, role)))


async def serve(settings: Settings, role: Role) -> int:
    client = await connect(settings.temporal)
    await verify_search_attributes(client)
    async with AsyncExitStack() as stack:
        ghosts = GhostActivities(settings.runner, settings.mysql, Discovery(settings.mysql))
        workers: list[Worker] = []
        if role is not Role.RUNNER:  # a runner needs nothing of GitHub, not the App's key either
            await ensure_registry(client)
            github = await stack.enter_async_context(GitHubClient(settings.github, seal_key=await seal_key(client)))
            await github.verify_app()
            workers.append(_worker(client, addresses.CONTROL, control(settings, client, github), workflows=WORKFLOWS))
        if role is not Role.CONTROL:
            host = settings.runner.host
            workers.append(_worker(client, addresses.RUNNER, [ghosts.spawn_ghost]))
            # Separate Workers: long watches must not starve an abort.
            workers.append(_worker(client, addresses.runner_watch(host), [ghosts.watch_ghost]))
            workers.append(
                _worker(client, addresses.runner_control(host), [ghosts.spawn_ghost, ghosts.let_go, ghosts.abort_ghost, ghosts.fence])
            )
        for worker in workers:
            await stack.enter_async_context(worker)
        if role is not Role.RUNNER:
            await ensure_rounds(client, timedelta(seconds=settings.sweep.every_seconds))
        if role is not Role.CONTROL:
            caring = asyncio.create_task(ghosts.care_for_runs())  # throttles a gh-ost that nobody watches any more
            stack.callback(caring.cancel)
        logging.getLogger("skeebot").info("skeebot works: %s", role)
        await _told_to_stop()
    return command_line.DONE


def control(settings: Settings, client: Client, github: GitHubClient) -> Activities:
    """Everything that needs no runner host."""
    discovery = Discovery(settings.mysql)
    comments = Comments(github)
    git = GitActivities(settings, github.installation_token)
    pull_requests = PullRequests(github, protocol=settings.protocol, enrolment_of=enrolment_of(client))
    orders = OrderActivities(client, settings.timing)
    plans = PlanActivities(settings, discovery, git, applied_unmerged(client))
    preflights = Preflights(settings.mysql, discovery)

    async def write_comment(view: PullRequestView) -> None:
        await comments.write_sticky(view.ref, render_sticky(view))

    return [
        pull_requests.read_pull_request,
        pull_requests.list_open_pull_requests,
        Labels(github).set_labels,
        comments.publish_comment,
        comments.say,
        comments.react,
        Checks(github).publish_check,
        pull_requests.request_review,
        Narrator(client, write_comment).narrate,
        Doorbell(client, settings.timing).wake_pull_request,
        Redeliveries(github).redeliver_failed,
        git.find_changes,
        plans.plan_database,
        plans.plan_statement,
        orders.enqueue,
        orders.read_order,
        orders.list_repositories,
        orders.list_stories,
        orders.read_enrolment,
        orders.is_running,
        orders.list_running_migrations,
        preflights.preflight,
        preflights.check_release,
        DirectRuns(settings.mysql, discovery).run_direct,
        Verifications(settings.mysql, discovery).verify,
        Proofs(settings.mysql, discovery).prove,
        DatabaseFences(settings.mysql, discovery).fence_at_database,
        Audit(settings.audit).record,
        Notifier(settings.notify).notify,
    ]


def _worker(client: Client, queue: str, activities: Activities, *, workflows: Sequence[type] = ()) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        workflows=workflows,
        workflow_runner=workflow_runner(),
        graceful_shutdown_timeout=GRACE,
        max_heartbeat_throttle_interval=HEARTBEATS,
        default_heartbeat_throttle_interval=HEARTBEATS,
        max_concurrent_activities=200,
    )


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


if __name__ == "__main__":
    command_line.leave_with(lambda: typer.run(main))
