"""The Temporal client: connected by settings and the usual environment, with what skeebot needs of the server verified."""

import secrets
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.errors import NeedsHuman, TryAgain
from activities.settings import TemporalSettings
from workflows import addresses
from workflows.registry import Registry, RegistryState
from workflows.sweep import Round


async def connect(settings: TemporalSettings) -> Client:
    """TLS, API key and profile come from Temporal's own environment variables (temporalio.envconfig); address and namespace from ours.

    Errors: TryAgain when the server does not answer.
    """
    profile: dict[str, Any] = dict(ClientConfig.load_client_connect_config(disable_file=_no_file()))
    profile["target_host"] = settings.address
    profile["namespace"] = settings.namespace
    try:
        return await Client.connect(**profile)
    except (RuntimeError, RPCError) as wrong:
        raise TryAgain(
            f"Temporal at {settings.address} does not answer: {wrong}. Start it, or correct temporal.address in the settings."
        ) from wrong


def _no_file() -> bool:
    """Temporal's own configuration file counts only where there is one."""
    return not (Path.home() / ".config" / "temporalio" / "temporal.toml").exists()


PURE_MODULES = ("workflows.rules", "workflows.messages", "workflows.timing", "workflows.addresses", "workflows.needs", "workflows.story")
"""Shared by all workflows of a worker instead of imported anew for each. They hold dataclasses, constants and pure functions only; an
import contract keeps rules to the standard library."""


def workflow_runner() -> SandboxedWorkflowRunner:
    """Temporal's sandbox, which holds workflow code to be deterministic."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE_MODULES))


async def verify_search_attributes(client: Client) -> None:
    """Errors: NeedsHuman naming what is missing and the command that adds it."""
    answer = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    missing = []
    for attribute in addresses.SEARCH_ATTRIBUTES:
        wanted = attribute.indexed_value_type.value
        if answer.custom_attributes.get(attribute.name) != wanted:
            kind = IndexedValueType.Name(IndexedValueType.ValueType(wanted)).removeprefix("INDEXED_VALUE_TYPE_")
            missing.append(f"--name {attribute.name} --type {_CAMEL[kind]}")
    if missing:
        commands = "\n".join(f"  temporal operator search-attribute create --namespace {client.namespace} {one}" for one in missing)
        raise NeedsHuman(f"Temporal's namespace {client.namespace} lacks search attributes that skeebot sets. Add them:\n{commands}")


_CAMEL = {"KEYWORD": "Keyword", "KEYWORD_LIST": "KeywordList", "TEXT": "Text", "INT": "Int", "BOOL": "Bool", "DATETIME": "Datetime"}


async def ensure_rounds(client: Client, every: timedelta) -> None:
    """There is one schedule for lost webhooks; a paused one stays paused, another interval replaces the old."""
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)])
    action = ScheduleActionStartWorkflow(Round.run, id=addresses.ROUND, task_queue=addresses.CONTROL)
    schedule = Schedule(action=action, spec=spec, policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=every))
    try:
        await client.create_schedule(addresses.ROUND, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(addresses.ROUND).update(
            lambda found: ScheduleUpdate(replace(found.description.schedule, action=action, spec=spec, policy=schedule.policy))
        )


async def ensure_registry(client: Client) -> None:
    """There is one Registry; starting it twice is once. The first start makes the key of the seals, which lives as long as it does."""
    await client.start_workflow(
        Registry.run,
        RegistryState(),
        id=addresses.REGISTRY,
        memo={addresses.SEAL_KEY: secrets.token_hex(32)},
        task_queue=addresses.CONTROL,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def seal_key(client: Client) -> str:
    """The same for all workers, and after each rotation of the App's private key. "" for a Registry that was begun without one."""
    described = await client.get_workflow_handle(addresses.REGISTRY).describe()
    return await described.memo_value(addresses.SEAL_KEY, "", type_hint=str)
