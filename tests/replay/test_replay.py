"""Running workflows must survive an upgrade: histories that were lived through replay on today's workflows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activities.temporal import workflow_runner
from tests.replay.record import HISTORIES
from worker import WORKFLOWS
from workflows.registry import RegistryState


@dataclass(frozen=True)
class Recorded:
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def started(self) -> dict[str, Any]:
        first: dict[str, dict[str, Any]] = json.loads(self.text)["events"][0]
        return first["workflowExecutionStartedEventAttributes"]

    @property
    def workflow(self) -> str:
        return str(self.started["workflowType"]["name"])

    @property
    def history(self) -> WorkflowHistory:
        return WorkflowHistory.from_json(self.started["workflowId"], self.text)

    def __str__(self) -> str:
        return str(self.path.relative_to(HISTORIES).with_suffix(""))


RECORDED = [Recorded(path) for path in sorted(HISTORIES.rglob("*.json"))]
TODAY = {one.__name__: one for one in WORKFLOWS}


@pytest.mark.parametrize("recorded", RECORDED, ids=str)
async def test_a_recorded_history_replays(recorded: Recorded) -> None:
    await Replayer(workflows=[TODAY[recorded.workflow]], workflow_runner=workflow_runner()).replay_workflow(recorded.history)


def test_every_kind_of_workflow_was_recorded() -> None:
    assert set(TODAY) == {one.workflow for one in RECORDED}


@workflow.defn(name="Registry")
class AnotherRegistry:
    """A change that running registries could not survive."""

    @workflow.run
    async def run(self, _state: RegistryState) -> None:
        await workflow.sleep(1)


async def test_a_change_that_running_workflows_would_not_survive_is_seen() -> None:
    recorded = next(one for one in RECORDED if one.workflow == "Registry")
    replayer = Replayer(workflows=[AnotherRegistry], workflow_runner=UnsandboxedWorkflowRunner())  # this file is no workflow's
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(recorded.history)
