"""Where a schema change stands follows from facts; doubt falls on the side of waiting."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.rules.stages import Facts, MigrationState, Stage, stage_of

READY = Facts(label=True, owner=True, dba=True)
"""Everything that was asked for is there."""


def test_an_approved_plan_is_queued() -> None:
    assert Stage.QUEUED is stage_of(READY)


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        (Stage.LOOKING, replace(READY, looked=False)),
        (Stage.NOT_ENROLLED, replace(READY, enrolled=False)),
        (Stage.NOT_ENROLLED, replace(READY, base_protected=False)),
        (Stage.PLANNING, replace(READY, has_plan=False)),
        (Stage.REFUSED, replace(READY, refused=True)),
        (Stage.SHARED_HEAD, replace(READY, shared_head=True)),
        (Stage.NO_CHANGES, replace(READY, has_changes=False)),
        (Stage.COMPLETE, replace(READY, pending=False)),
        (Stage.AWAITING_OTHER, replace(READY, other_pull_request=True)),
        (Stage.AWAITING_OTHER, replace(READY, other_pull_request=True, pending=False)),
        (Stage.AWAITING_DRIFT, replace(READY, unexplained_drift=True, pending=False)),
        (Stage.AWAITING_DRIFT, replace(READY, unexplained_drift=True)),
        (Stage.AWAITING_UNSAFE, replace(READY, unsafe=True)),
        (Stage.AWAITING_LABEL, replace(READY, label=False)),
        (Stage.AWAITING_OWNER, replace(READY, owner=False)),
        (Stage.AWAITING_DBA, replace(READY, dba=False)),
        (Stage.AWAITING_DBA, replace(READY, objection=True)),
        (Stage.AWAITING_AUTORUN, replace(READY, autorun=False)),
        (Stage.AWAITING_MANUAL, replace(READY, pending=False, manual=True)),
        (Stage.CLOSED, replace(READY, state="closed")),
        (Stage.MERGED, replace(READY, state="merged")),
        (Stage.RUNNING, replace(READY, campaign=(MigrationState.COMPLETE, MigrationState.QUEUED))),
        (Stage.QUEUED, replace(READY, campaign=(MigrationState.QUEUED, MigrationState.PROPOSED))),
        (Stage.HOLDING, replace(READY, campaign=(MigrationState.HOLDING, MigrationState.RUNNING))),
        (Stage.FAILED, replace(READY, campaign=(MigrationState.COMPLETE, MigrationState.FAILED))),
        (Stage.PROVING, replace(READY, campaign=(MigrationState.COMPLETE,), proving=True)),
        (Stage.FAILED, replace(READY, campaign=(MigrationState.COMPLETE,), proof_failed=True)),
        (Stage.FAILED, replace(READY, campaign=(MigrationState.FAILED,), state="merged")),
        (Stage.MERGED, replace(READY, campaign=(MigrationState.FAILED,), state="merged", given_up=True)),
        (Stage.CLOSED, replace(READY, campaign=(MigrationState.FAILED,), state="closed")),
        (Stage.AWAITING_MANUAL, replace(READY, campaign=(MigrationState.MANUAL,), waiting_for_manual=True, state="merged")),
    ],
)
def test_one_fact_decides(expected: Stage, facts: Facts) -> None:
    assert expected is stage_of(facts)


states: st.SearchStrategy[Literal["open", "closed", "merged"]] = st.sampled_from(["open", "closed", "merged"])
anything = st.builds(
    Facts,
    state=states,
    campaign=st.lists(st.sampled_from(list(MigrationState)), max_size=4).map(tuple),
    **{name: st.booleans() for name, kind in Facts.__annotations__.items() if kind in (bool, "bool")},
)


@given(anything)
def test_nothing_is_queued_for_the_first_time_before_everything_asked_for_is_there(facts: Facts) -> None:
    if stage_of(facts) is not Stage.QUEUED or facts.campaign:
        return
    assert all((facts.looked, facts.enrolled, facts.base_protected, facts.has_plan, facts.label, facts.owner, facts.dba, facts.autorun))
    refusals = (facts.refused, facts.shared_head, facts.unexplained_drift, facts.other_pull_request, facts.unsafe, facts.objection)
    assert not any(refusals)
    assert "open" == facts.state


@given(anything)
def test_nothing_is_complete_while_something_is_under_way_refused_or_pending(facts: Facts) -> None:
    if stage_of(facts) is not Stage.COMPLETE:
        return
    assert facts.has_plan
    assert not any((facts.pending, facts.manual, facts.refused, facts.shared_head, facts.unexplained_drift, facts.other_pull_request))
    assert not any(state.under_way or state is MigrationState.FAILED for state in facts.campaign)


@given(anything)
def test_work_that_is_under_way_is_always_said(facts: Facts) -> None:
    if facts.looked and any(state.under_way for state in facts.campaign):
        assert stage_of(facts) in {Stage.QUEUED, Stage.RUNNING, Stage.HOLDING}
