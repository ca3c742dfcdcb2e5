"""The digest covers what people approve and nothing that moves by itself."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.rules.names import DatabaseRow, Fingerprint, Target
from workflows.rules.plan import ChangeKind, DatabasePlan, Drift, PlannedMigration, Risk, Strategy, by_environment, digest_of

TARGET = Target("staging", "shop", "shop-staging", "only", "shop", "orders")
ALTER = PlannedMigration(
    target=TARGET,
    kind=ChangeKind.ALTER_TABLE,
    statement="ALTER TABLE `orders` ADD `x` int",
    strategy=Strategy.GH_OST,
    why="An ALTER.",
    fingerprint=Fingerprint("1" * 64),
)
OTHER = replace(ALTER, target=replace(TARGET, table="users"), position=1)


def plan(*migrations: PlannedMigration, environment: str = "staging", database: str = "shop") -> DatabasePlan:
    return DatabasePlan(row=DatabaseRow(environment, database), migrations=migrations)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ALTER, statement="ALTER TABLE `orders` ADD `y` int"),
        replace(ALTER, strategy=Strategy.INSTANT),
        replace(ALTER, fingerprint=Fingerprint("2" * 64)),
        replace(ALTER, position=3),
        *(
            replace(ALTER, target=replace(TARGET, **{part: "else"}))
            for part in ("environment", "database", "cluster", "shard", "schema", "table")
        ),
    ],
)
def test_whatever_a_person_approves_changes_the_digest(changed: PlannedMigration) -> None:
    assert digest_of([plan(ALTER)]) != digest_of([plan(changed)])


@pytest.mark.parametrize(
    "changed",
    [
        replace(ALTER, rows=10**9, bytes=10**12, seconds=3_600.0),
        replace(ALTER, why="Otherwise said.", revert_until="tomorrow", risks=(Risk("x", "y"),), dependents=("view x",)),
    ],
)
def test_estimates_and_words_do_not_change_the_digest(changed: PlannedMigration) -> None:
    assert digest_of([plan(ALTER)]) == digest_of([plan(changed)])


def test_drift_elsewhere_does_not_change_the_digest() -> None:
    drifted = replace(plan(ALTER), drift=(Drift(target=OTHER.target, statement="x"),), notes=("a note",))
    assert digest_of([plan(ALTER)]) == digest_of([drifted])


def test_a_migration_more_changes_the_digest() -> None:
    assert digest_of([plan(ALTER)]) != digest_of([plan(ALTER, OTHER)])


@given(st.permutations([plan(ALTER, environment=name) for name in ("staging", "production", "test")]))
def test_the_order_of_plans_does_not_change_the_digest(plans: list[DatabasePlan]) -> None:
    assert digest_of(sorted(plans, key=lambda one: one.row)) == digest_of(plans)


@given(st.lists(st.text(max_size=10), min_size=2, max_size=2))
def test_two_statements_never_share_a_digest(statements: list[str]) -> None:
    one, other = (digest_of([plan(replace(ALTER, statement=statement))]) for statement in statements)
    assert (statements[0] == statements[1]) == (one == other)


def test_environments_come_in_their_order_and_strangers_last() -> None:
    plans = {str(at): plan(environment=name) for at, name in enumerate(["production", "zoo", "staging", "attic"])}
    assert ["staging", "production", "attic", "zoo"] == [
        group[0].row.environment for group in by_environment(plans, ("staging", "production"))
    ]


def test_drift_that_another_pull_request_explains_is_not_unexplained() -> None:
    theirs, nobodys = Drift(TARGET, "a", by_pull_request="acme/shop#7"), Drift(TARGET, "b")
    drifted = replace(plan(ALTER), drift=(theirs, nobodys, theirs))
    assert (nobodys,) == drifted.unexplained_drift
    assert ("acme/shop#7",) == drifted.blocking_pull_requests


def test_a_migration_is_unsafe_if_one_of_its_risks_is() -> None:
    assert not replace(ALTER, risks=(Risk("a", "b"),)).unsafe
    assert replace(ALTER, risks=(Risk("a", "b"), Risk("c", "d", unsafe=True))).unsafe
