"""What the command line does, once its words are read: every answer ends in an exit code (0 done, 1 failed or changes, 2 refused)."""

import asyncio
import getpass
import json
import logging
import os
import re
import shlex
import sys
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import (
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import NeedsHuman, TryAgain
from activities.github.intake import start_sweep, temporal_acceptor
from activities.mysql.discovery import Discovery
from activities.narrate import progress_of
from activities.orders import QUERY_PATIENCE, queue_standing
from activities.settings import DoorSettings, Settings, Some, settings_file
from activities.skeema.local import LocalWorkspace, run_local_diff
from activities.temporal import connect, ensure_registry
from workflows import addresses
from workflows.by_hand import ByHand
from workflows.messages import CommandGiven, Door, PlanStatement, RunByHand, Woke
from workflows.pull_request import PullRequest
from workflows.registry import Registry
from workflows.rules import commands
from workflows.rules.commands import AddRepository, MapRepository, SetAutorun, UnmapRepository
from workflows.rules.names import Login, PullRequestRef
from workflows.rules.plan import Refusal
from workflows.rules.stages import MigrationState
from workflows.sweep import ASKED_FOR, ENROLMENT_CHANGED, SweepOrder

DONE, FAILED, REFUSED = 0, 1, 2
TROUBLE = "trouble: "
"""How a story's description begins the line about it (story.in_words)."""
NO_WORKER = f"No worker answers on {addresses.CONTROL}: start worker.py, or look into its log."
ENROLMENT_SETTLES = 5.0
"""Seconds: a repository is enrolled with several commands, and its pull requests are looked at once."""

out = Console()
err = Console(stderr=True)

_PULL_REQUEST_URL = re.compile(r"(?:https?://[^/]+/)?(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+)(?:/pull/|#)(?P<number>\d+)(?:[/?#].*)?")


def read_pull_request_url(text: str) -> PullRequestRef:
    """`https://github.com/o/r/pull/1`, also of a page or comment inside it, or `o/r#1`. Errors: NeedsHuman."""
    found = _PULL_REQUEST_URL.fullmatch(text.strip())
    if found is None:
        raise NeedsHuman(f"{text!r} is not a pull request: write https://github.com/owner/name/pull/1 or owner/name#1.")
    return PullRequestRef(owner=found["owner"], repo=found["repo"], number=int(found["number"]))


async def start_pull_request(settings: DoorSettings, url: str) -> int:
    """What a webhook would have done."""
    ref = read_pull_request_url(url)
    client = await connect(settings.temporal)
    await temporal_acceptor(client, settings.timing)(Woke(ref=ref, reason="started by hand"))
    out.print(f"{ref} is looked at: workflow {addresses.pull_request(ref)}")
    return DONE


async def change_registry(settings: DoorSettings, line: str, patience: float = 30.0) -> int:
    """add-repo, repo-map, repo-unmap, repo-autorun; what is open in the repository is looked at again. patience: seconds."""
    parsed = commands.parse(line, prefix="starter.py")
    if isinstance(parsed, Refusal):
        return _refuse(f"{parsed.what} {parsed.next}")
    if not isinstance(parsed, AddRepository | MapRepository | UnmapRepository | SetAutorun):
        return _refuse(f"`{parsed.kind}` is for a pull request: starter.py command <pull request> {line}")
    client = await connect(settings.temporal)
    await ensure_registry(client)
    try:
        async with asyncio.timeout(patience):
            enrolment = await client.get_workflow_handle(addresses.REGISTRY).execute_update(Registry.change, parsed)
    except WorkflowUpdateFailedError as wrong:
        return _refuse(str(wrong.cause))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return _refuse(f"The Registry did not answer within {patience:.0f} s. {NO_WORKER} Then type this again.")
    owners = f"@{enrolment.owner_team}" if enrolment.owner_team else "by CODEOWNERS"
    table = Table("Directory", "Environment", "Database", "Cluster", "Schema", title=f"{enrolment.repository}: owners {owners}")
    for one in enrolment.directories:
        table.add_row(one.path, one.environment, one.database, one.cluster, one.schema)
    out.print(table)
    # What was open before it was enrolled, or was found to change no schema, is looked at anew.
    await start_sweep(client, SweepOrder(enrolment.repository, reason=ENROLMENT_CHANGED, settles=ENROLMENT_SETTLES))
    return DONE


async def sweep_repository(settings: DoorSettings, repository: str) -> int:
    """Every open pull request of an enrolled repository is looked at."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return _refuse(f"{repository!r} is not a repository: write owner/name.")
    await start_sweep(await connect(settings.temporal), SweepOrder(repository, reason=ASKED_FOR))
    out.print(f"The open pull requests of {repository} are looked at: workflow {addresses.sweep(repository, '')}")
    return DONE


async def tell_pull_request(settings: DoorSettings, url: str, line: str, login: str, patience: float = 60.0) -> int:
    """One command to a pull request's workflow, decided on the same path as a comment; waits for the verdict and shows it."""
    ref = read_pull_request_url(url)
    parsed = commands.parse(line, prefix=f"starter.py command {url}")
    if isinstance(parsed, Refusal):
        return _refuse(f"{parsed.what} {parsed.next}")
    client = await connect(settings.temporal)
    handle: WorkflowHandle[PullRequest, str] = client.get_workflow_handle_for(PullRequest.run, addresses.pull_request(ref))
    given = CommandGiven(id=f"cli/{uuid.uuid4()}", actor=Login(login), line=line, door=Door.COMMAND_LINE)
    accepted = False
    try:
        async with asyncio.timeout(patience):
            await handle.execute_update(PullRequest.command, given, id=given.id)
            accepted = True
            while (answer := await handle.query(PullRequest.answer, given.id)) is None:
                await asyncio.sleep(0.3)
    except RPCError as wrong:
        if wrong.status is RPCStatusCode.NOT_FOUND:
            return _refuse(f"Nothing is known of {ref}. Type `starter.py start {url}` first.")
        raise
    except WorkflowUpdateFailedError as wrong:
        return _refuse(str(wrong.cause))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        if not accepted:
            return _refuse(f"The story of {ref} did not answer within {patience:.0f} s. {NO_WORKER} Then type this again.")
        return _refuse(f"Accepted as {given.id}, but not decided within {patience:.0f} s; `starter.py status` shows what goes on.")
    (out if answer.done else err).print(answer.text, markup=False)
    return DONE if answer.done else REFUSED


async def run_migration(settings: DoorSettings, ask: PlanStatement, *, allow_unsafe: bool) -> int:
    """One statement by hand, through the same queue; progress as it happens."""
    client = await connect(settings.temporal)
    name = str(uuid.uuid4())
    handle = await client.start_workflow(
        ByHand.run,
        RunByHand(name=name, ask=ask, actor=Login(getpass.getuser()), allow_unsafe=allow_unsafe),
        id=addresses.by_hand(name),
        task_queue=addresses.CONTROL,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    err.print(
        f"It runs as {handle.id}, whether this waits for it or not: temporal workflow describe --workflow-id {handle.id}", markup=False
    )
    waiting = asyncio.create_task(handle.result())
    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), console=err) as bars:
        tasks: dict[str, TaskID] = {}
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=0.5)
            try:
                standing = await handle.query(ByHand.standing)
            except (WorkflowQueryFailedError, RPCError):
                continue
            for run in standing:
                target = run.migration.target
                if run.migration_id not in tasks:
                    tasks[run.migration_id] = bars.add_task(str(target), total=100, state=run.state.value)
                percent = 100.0 if run.state is MigrationState.COMPLETE else 0.0
                if run.state is MigrationState.RUNNING:
                    progress = await progress_of(client, target)
                    percent = progress.percent if progress else 0.0
                state = f"{run.state.value} {run.detail}".strip()
                bars.update(tasks[run.migration_id], completed=percent, state=state)
    try:
        result = await waiting
    except WorkflowFailureError as wrong:
        err.print(f"The workflow {addresses.by_hand(name)} failed: {wrong.cause}", markup=False)
        return FAILED
    (out if result.outcome == "complete" else err).print(f"{result.outcome}: {result.text}", markup=False)
    return {"complete": DONE, "failed": FAILED, "refused": REFUSED}[result.outcome]


async def show_status(settings: DoorSettings, *, as_json: bool = False) -> int:
    """What runs and waits: pull requests, then queues. Where no worker answers, what Temporal itself knows."""
    client = await connect(settings.temporal)
    stories = [one async for one in client.list_workflows("WorkflowType = 'PullRequest' AND ExecutionStatus = 'Running'")]
    queues = [one async for one in client.list_workflows("WorkflowType = 'ClusterQueue' AND ExecutionStatus = 'Running'")]
    troubles = await asyncio.gather(*(_trouble(client.get_workflow_handle(story.id)) for story in stories))
    silent = any(trouble is None for trouble in troubles)
    rows = [
        {
            "pull_request": story.typed_search_attributes.get(addresses.PULL_REQUEST) or story.id,
            "state": story.typed_search_attributes.get(addresses.SCHEMA_STATE) or "starting",
            "workflow": story.id,
            "trouble": trouble or "",
        }
        for story, trouble in zip(stories, troubles, strict=True)
    ]
    standings = []
    for queue in [] if silent else queues:
        cluster, shard = queue.id.removeprefix("cluster-queue/").rsplit("/", 1)
        try:
            standing = await queue_standing(client, cluster, shard)
        except RPCError as wrong:
            if not _is_silence(wrong):
                raise
            silent = True
            break
        if standing is not None:
            standings.append(standing)
    if silent:
        err.print(f"Queues and troubles are not known. {NO_WORKER}", markup=False, style="bold red")
    code = FAILED if silent else DONE
    if as_json:
        sys.stdout.write(json.dumps({"pull_requests": rows, "queues": [asdict(one) for one in standings]}, indent=2) + "\n")
        return code
    table = Table("Pull request", "State", "Trouble", title="Schema changes")
    for row in rows:
        table.add_row(row["pull_request"], row["state"], Text(row["trouble"]))
    out.print(table)
    table = Table("Queue", "Table", "State", "For", title="Queues")
    for standing in standings:
        where = f"{standing.cluster}/{standing.shard}"
        for state, entries in (("running", standing.running), ("waiting", standing.waiting)):
            for entry in entries:
                table.add_row(where, f"{entry.schema}.{entry.table}", state, entry.order.requester)
        for kept in standing.quarantined:
            table.add_row(where, f"{kept.target.schema}.{kept.name}", f"quarantined until {kept.drop_after[:10]}", "")
    out.print(table)
    return code


async def _trouble(story: WorkflowHandle[Any, Any]) -> str | None:
    """Why its last look or publication failed, as its own description says it; "" where it did not, None where no worker answers."""
    try:
        said = await story.query("__temporal_workflow_metadata", result_type=WorkflowMetadata, rpc_timeout=QUERY_PATIENCE)
    except WorkflowQueryFailedError:
        return ""
    except RPCError as wrong:
        if wrong.status is RPCStatusCode.NOT_FOUND:
            return ""
        if _is_silence(wrong):
            return None
        raise
    return next((line.removeprefix(TROUBLE) for line in said.current_details.splitlines() if line.startswith(TROUBLE)), "")


async def show_local_diff(workspace: LocalWorkspace, base: Path, head: Path, *, as_json: bool) -> int:
    """SQL on standard output in the order in which it would run; risks, notes and the reason of a refusal on standard error.

    With as_json everything is in one object on standard output (and a refusal on standard error too).
    """
    found = await run_local_diff(base, head, workspace)
    if as_json:
        sys.stdout.write(json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        for statement in found.statements:
            sys.stdout.write(f"{statement};\n")
        for schema in found.schemas:
            for text in (*(risk.text for risk in schema.risks), *schema.notes):
                err.print(f"{schema.path}: {text}", markup=False)
    if found.refusal is not None:
        return _refuse(f"{found.refusal.what} {found.refusal.next}")
    return FAILED if found.status == "changes" else DONE


async def workspace_of(settings: Settings) -> LocalWorkspace:
    """The workspace server that the settings' inventory names."""
    address = await Discovery(settings.mysql).workspace()
    mysql = settings.mysql
    return LocalWorkspace(address=address, account=mysql.workspace, skeema=settings.diff.skeema, tls_ca_file=mysql.tls_ca_file)


def settings_or_exit(load: Callable[[], Some]) -> Some:
    """Errors: SystemExit with the refusal's exit code, when the settings are not complete."""
    try:
        return load()
    except NeedsHuman as wrong:
        raise SystemExit(_refuse(wrong.message)) from None


def refuse_without_settings() -> int:
    return _refuse(f"There is no {settings_file()}: set SKEEBOT_SETTINGS to the settings file, whose inventory names a workspace server.")


def as_line(words: Sequence[str]) -> str:
    """The words of a command as one line that the parser reads back."""
    return shlex.join(words)


Work = Coroutine[Any, Any, int]


def run(work: Work) -> int:
    """Run one command; a clear error instead of a traceback where a person must act."""
    try:
        return asyncio.run(work)
    except (NeedsHuman, TryAgain) as wrong:
        return _refuse(wrong.message)
    except RPCError as wrong:
        return _refuse(f"Temporal refused: {wrong.message} ({wrong.status.name}). {NO_WORKER if _is_silence(wrong) else ''}".rstrip())


def leave_with(program: Callable[[], object]) -> NoReturn:
    """Run a whole program, and leave with its exit code without Python's tear-down.

    Temporal's threads may still be handing an answer over, and one that does so while the interpreter ends aborts the process ("Fatal
    Python error: PyGILState_Release", exit −6) after everything was done.
    """
    try:
        program()
        code: object = DONE
    except SystemExit as ended:
        code = ended.code
    if code is not None and not isinstance(code, int):
        err.print(str(code), markup=False)
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or DONE)


def _is_silence(wrong: RPCError) -> bool:
    """The server's own deadline, or the client's, which it calls cancelled."""
    return wrong.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}


def _refuse(text: str) -> int:
    err.print(text, markup=False, style="bold red")
    return REFUSED
