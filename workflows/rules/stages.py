"""Where a schema change stands: derived from facts, never stored."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Stage(StrEnum):
    """Where a schema change stands; the search attribute SchemaState holds the value."""

    LOOKING = "looking"
    PLANNING = "planning"
    NO_CHANGES = "no-changes"
    NOT_ENROLLED = "not-enrolled"
    REFUSED = "refused"
    SHARED_HEAD = "shared-head"
    AWAITING_DRIFT = "awaiting-drift-acknowledgement"
    AWAITING_OTHER = "awaiting-other-pull-request"
    AWAITING_UNSAFE = "awaiting-allow-unsafe"
    AWAITING_LABEL = "awaiting-label"
    AWAITING_OWNER = "awaiting-owner"
    AWAITING_DBA = "awaiting-dba"
    AWAITING_AUTORUN = "awaiting-autorun"
    AWAITING_MANUAL = "awaiting-manual"
    QUEUED = "queued"
    RUNNING = "running"
    HOLDING = "holding-cut-over"
    PROVING = "proving"
    COMPLETE = "complete"
    FAILED = "failed"
    CLOSED = "closed"
    MERGED = "merged"


class MigrationState(StrEnum):
    """DESIGN §1."""

    PROPOSED = "proposed"
    QUEUED = "queued"
    READY = "ready"
    RUNNING = "running"
    HOLDING = "holding cut-over"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MANUAL = "manual"

    @property
    def settled(self) -> bool:
        return self in {MigrationState.COMPLETE, MigrationState.FAILED, MigrationState.CANCELLED}

    @property
    def under_way(self) -> bool:
        """A queue or a runner has it: something may still happen to a table."""
        return self in {MigrationState.QUEUED, MigrationState.READY, MigrationState.RUNNING, MigrationState.HOLDING}


@dataclass(frozen=True)
class Facts:
    """What is known of a pull request when its stage is asked for.

    has_plan: every expected row of the current head has an answer. pending: it holds migrations that skeebot would run.
    manual: it holds migrations that a person must run. campaign: the states of the migrations that were approved and queued (empty
    when nothing was); proving: their live schema is being diffed again; waiting_for_manual: what is left of it a person must run;
    given_up: the pull request is merged or closed, and what is left of it will not run. unexplained_drift, other_pull_request: a live table
    differs from the base branch, and nobody has accepted that; it is another pull request's change, which must be merged first.
    """

    state: Literal["open", "closed", "merged"] = "open"
    looked: bool = True
    enrolled: bool = True
    base_protected: bool = True
    has_changes: bool = True
    has_plan: bool = True
    refused: bool = False
    shared_head: bool = False
    unexplained_drift: bool = False
    other_pull_request: bool = False
    unsafe: bool = False
    pending: bool = True
    manual: bool = False
    label: bool = False
    owner: bool = False
    dba: bool = False
    objection: bool = False
    autorun: bool = True
    campaign: tuple[MigrationState, ...] = ()
    proving: bool = False
    proof_failed: bool = False
    waiting_for_manual: bool = False
    given_up: bool = False


def stage_of(facts: Facts) -> Stage:
    """First match wins; doubt falls on the side of waiting."""
    if not facts.looked:
        return Stage.LOOKING
    running = _stage_of_campaign(facts)
    if running is not None:
        return running
    if facts.state == "merged":
        return Stage.MERGED
    if facts.state == "closed":
        return Stage.CLOSED
    if not (facts.enrolled and facts.base_protected):
        return Stage.NOT_ENROLLED
    if not facts.has_plan:
        return Stage.PLANNING
    if facts.refused:
        return Stage.REFUSED
    if facts.shared_head and facts.has_changes:
        return Stage.SHARED_HEAD
    if not facts.has_changes:
        return Stage.NO_CHANGES
    return _stage_of_plan(facts)


def _stage_of_campaign(facts: Facts) -> Stage | None:
    """None when nothing is under way and nothing failed: the plan decides then."""
    states: Collection[MigrationState] = facts.campaign
    if any(one.under_way for one in states):
        if MigrationState.HOLDING in states:
            return Stage.HOLDING
        if states_started(facts.campaign):
            return Stage.RUNNING
        return Stage.QUEUED
    dropped = facts.state == "closed" or facts.given_up  # a merged change that is not everywhere yet is unfinished, not over
    if facts.proof_failed or MigrationState.FAILED in states or MigrationState.CANCELLED in states:
        return None if dropped else Stage.FAILED
    if facts.proving:
        return Stage.PROVING
    if facts.waiting_for_manual:
        return None if dropped else Stage.AWAITING_MANUAL
    if MigrationState.PROPOSED in states and facts.state != "closed":
        return Stage.QUEUED
    return None


def states_started(states: Sequence[MigrationState]) -> bool:
    """Some migration of the campaign has begun."""
    return any(one not in {MigrationState.PROPOSED, MigrationState.QUEUED, MigrationState.MANUAL} for one in states)


def _stage_of_plan(facts: Facts) -> Stage:
    gates: tuple[tuple[bool, Stage], ...] = (
        (facts.other_pull_request, Stage.AWAITING_OTHER),
        (facts.unexplained_drift, Stage.AWAITING_DRIFT),
        (not facts.pending and not facts.manual, Stage.COMPLETE),
        (facts.unsafe, Stage.AWAITING_UNSAFE),
        (not facts.label, Stage.AWAITING_LABEL),
        (not facts.owner, Stage.AWAITING_OWNER),
        (not facts.dba or facts.objection, Stage.AWAITING_DBA),
        (not facts.autorun, Stage.AWAITING_AUTORUN),
        (facts.manual and not facts.pending, Stage.AWAITING_MANUAL),
    )
    return next((stage for closed, stage in gates if closed), Stage.QUEUED)
