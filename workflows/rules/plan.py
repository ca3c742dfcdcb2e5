"""What a pull request would do, and the digest of it that people approve."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from workflows.rules.names import DatabaseRow, Fingerprint, PlanDigest, Target


class Strategy(StrEnum):
    """How a migration runs (DESIGN §1)."""

    DIRECT = "direct"
    GH_OST = "gh-ost"
    INSTANT = "instant"
    MANUAL = "manual"


class ChangeKind(StrEnum):
    CREATE_TABLE = "create table"
    DROP_TABLE = "drop table"
    ALTER_TABLE = "alter table"
    OTHER = "other"


@dataclass(frozen=True)
class Refusal:
    """Why something is not done. what: what happened, to what; next: what the person does now.

    passing: nobody has to do anything; looked at again later, it may be gone.
    """

    code: str
    what: str
    next: str
    passing: bool = False


@dataclass(frozen=True)
class Risk:
    """One thing a reviewer should know. unsafe: data or protection is lost, so a DBA must allow it by digest."""

    code: str
    text: str
    unsafe: bool = False


@dataclass(frozen=True)
class Drift:
    """The live table differs from the base branch.

    by_pull_request: the one whose applied-but-unmerged change explains it ("owner/repo#N"), or "".
    """

    target: Target
    statement: str
    by_pull_request: str = ""


@dataclass(frozen=True)
class PlannedMigration:
    """One statement on one table on one shard.

    fingerprint: the live table when planned ("" for a table to be created).
    expected: hash of the definition that the live table must have afterwards ("" when it must be gone or is not known), by
    activities.mysql.introspect.definition_hash.
    rows, bytes: estimates of the live table. seconds: estimate of the run.
    position: order among the migrations of one shard of one pull request.
    revert_until: words about whether and until when it can be reverted.
    """

    target: Target
    kind: ChangeKind
    statement: str
    strategy: Strategy
    why: str
    fingerprint: Fingerprint
    expected: str = ""
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    position: int = 0
    risks: tuple[Risk, ...] = ()
    dependents: tuple[str, ...] = ()
    revert_until: str = ""

    @property
    def unsafe(self) -> bool:
        return any(risk.unsafe for risk in self.risks)


@dataclass(frozen=True)
class DatabasePlan:
    """The plan of one expected row: migrations in the order in which they would run, or the reason why there is none."""

    row: DatabaseRow
    migrations: tuple[PlannedMigration, ...] = ()
    drift: tuple[Drift, ...] = ()
    refusal: Refusal | None = None
    notes: tuple[str, ...] = ()

    @property
    def unexplained_drift(self) -> tuple[Drift, ...]:
        return tuple(one for one in self.drift if not one.by_pull_request)

    @property
    def blocking_pull_requests(self) -> tuple[str, ...]:
        return tuple(sorted({one.by_pull_request for one in self.drift if one.by_pull_request}))


def digest_of(plans: Iterable[DatabasePlan]) -> PlanDigest:
    """Over statements, targets, strategies and each table's live fingerprint; the order of the plans does not matter."""
    facts = sorted(
        [
            [
                one.target.environment,
                one.target.database,
                one.target.cluster,
                one.target.shard,
                one.target.schema,
                one.target.table,
                one.position,
                one.statement,
                one.strategy.value,
                one.fingerprint,
            ]
            for plan in plans
            for one in plan.migrations
        ]
    )
    return PlanDigest(hashlib.sha256(json.dumps(facts, ensure_ascii=True).encode()).hexdigest())


@dataclass(frozen=True)
class Directory:
    """One enrolled schema directory of a repository and where it lives, per environment.

    schemas are literal names on the server; shards empty means all shards that discovery lists.
    """

    path: str
    database: str
    environment: str
    cluster: str
    schema: str
    type: str = "mysql"

    @property
    def row(self) -> DatabaseRow:
        return DatabaseRow(environment=self.environment, database=self.database, type=self.type)


@dataclass(frozen=True)
class PlanOptions:
    """What a repository allows. Each changes what may run, so each is part of the enrolment, never of a pull request."""

    allow_instant: bool = False
    keep_owner_approval_on_same_digest: bool = False
    quarantine_days: int = 7
    soak_seconds: int = 0


@dataclass(frozen=True)
class Enrolment:
    """A repository that skeebot serves. environments: in the order in which they are migrated."""

    repository: str
    owner_team: str
    databases_team: str
    environments: tuple[str, ...] = ("staging", "production")
    base_branches: tuple[str, ...] = ("main",)
    autorun: bool = True
    directories: tuple[Directory, ...] = ()
    options: PlanOptions = PlanOptions()


def by_environment(plans: Mapping[str, DatabasePlan], environments: tuple[str, ...]) -> list[list[DatabasePlan]]:
    """The plans grouped in the order in which environments run; an environment not listed comes last, alphabetically."""
    known = {name: at for at, name in enumerate(environments)}
    groups: dict[tuple[int, str], list[DatabasePlan]] = {}
    for plan in plans.values():
        name = plan.row.environment
        groups.setdefault((known.get(name, len(known)), name), []).append(plan)
    return [sorted(groups[key], key=lambda plan: plan.row) for key in sorted(groups)]
