"""Clusters that are not set up like the workspace: the plan says what their servers will make of it, or refuses."""

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from activities.mysql.introspect import definition_hash
from embedded.mysql import MySQLServer, Topology
from embedded.tools import Tools
from tests.activities.mysql.planning import Planner, planner_on
from workflows.rules.plan import DatabasePlan, PlannedMigration, Refusal

EVENTS = "CREATE TABLE `events` (`id` int NOT NULL, PRIMARY KEY (`id`))"
KEYED = EVENTS.replace("PRIMARY", "`size` int, PRIMARY")
STARTING = EVENTS.replace("PRIMARY", "`starts` timestamp NOT NULL DEFAULT '2020-01-01 00:00:00', PRIMARY")

_numbers = itertools.count(1)


@pytest.fixture
def planner(mysql_topology: Topology, tools: Tools, tmp_path: Path) -> Iterator[Planner]:
    name = f"servers_{os.getpid()}_{next(_numbers)}"
    mysql_topology.staging.create_schema(name)
    yield planner_on(mysql_topology, name, tools, tmp_path, (mysql_topology.staging,))
    mysql_topology.staging.drop_schema(name)


@contextmanager
def having(server: MySQLServer, **variables: object) -> Iterator[None]:
    """With these global variables, of the sessions that are opened from now on."""
    before: Mapping[str, object] = {name: server.run(f"SELECT @@global.{name} AS value")[0]["value"] for name in variables}
    for name, value in variables.items():
        server.run(f"SET GLOBAL {name} = %s", (value,))
    try:
        yield
    finally:
        for name, old in before.items():
            server.run(f"SET GLOBAL {name} = %s", (old,))


def only(plan: DatabasePlan) -> PlannedMigration:
    assert None is plan.refusal
    assert 1 == len(plan.migrations)
    return plan.migrations[0]


def refusal(plan: DatabasePlan) -> Refusal:
    assert plan.refusal is not None
    return plan.refusal


def live_hash(planner: Planner, table: str) -> str:
    [shown] = planner.topology.staging.run(f"SHOW CREATE TABLE {table}", schema=planner.schema)
    return definition_hash(str(shown["Create Table"]))


# ── Another time zone than UTC ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_moment_as_a_default_is_refused_where_the_server_would_take_it_for_another(planner: Planner) -> None:
    planner.run(EVENTS)
    with having(planner.topology.staging, time_zone="+02:00"):
        stop = refusal(await planner.plan({"events": EVENTS}, {"events": STARTING}))
    assert "time-zone" == stop.code
    assert "`events`.`starts` has the default '2020-01-01 00:00:00', and staging/main runs in the time zone +02:00" in stop.what
    assert "default_time_zone='+00:00'" in stop.next


async def test_a_new_table_with_such_a_default_is_refused_as_well(planner: Planner) -> None:
    with having(planner.topology.staging, time_zone="+02:00"):
        assert "time-zone" == refusal(await planner.plan({}, {"events": STARTING})).code


async def test_a_default_as_the_server_itself_wrote_it_is_no_drift_and_no_change_but_a_refusal(planner: Planner) -> None:
    with having(planner.topology.staging, time_zone="+02:00"):
        planner.run(STARTING)
        plan = await planner.plan({"events": STARTING}, {"events": STARTING.replace("PRIMARY", "`size` int, PRIMARY")})
    assert ("time-zone", (), ()) == (refusal(plan).code, plan.migrations, plan.drift)


async def test_other_columns_are_planned_there_as_anywhere(planner: Planner) -> None:
    stamped = EVENTS.replace("PRIMARY", "`at` timestamp NULL DEFAULT CURRENT_TIMESTAMP, `zero` datetime DEFAULT '2020-01-01', PRIMARY")
    planner.run(EVENTS)
    with having(planner.topology.staging, time_zone="+02:00"):
        assert "ADD COLUMN `at`" in only(await planner.plan({"events": EVENTS}, {"events": stamped})).statement


async def test_by_hand_such_a_default_can_be_left_alone_or_taken_off_but_not_made(planner: Planner) -> None:
    with having(planner.topology.staging, time_zone="+02:00"):
        planner.run(STARTING)
        only(await planner.by_hand("ALTER TABLE events ADD COLUMN size int"))
        only(await planner.by_hand("ALTER TABLE `events` ALTER COLUMN `starts` DROP DEFAULT"))
        same = "timestamp NOT NULL DEFAULT '2019-12-31 22:00:00' COMMENT 'the same moment to the plan only'"
        assert "time-zone" == refusal(await planner.by_hand(f"ALTER TABLE events MODIFY starts {same}")).code
        assert "time-zone" == refusal(await planner.by_hand("ALTER TABLE events ADD ends timestamp NULL DEFAULT '2020-01-01'")).code


async def test_the_workspaces_own_zone_and_verbosity_change_nothing(planner: Planner) -> None:
    planner.run(STARTING)
    with having(planner.topology.workspace, time_zone="+05:00", show_create_table_verbosity=1):
        one = only(await planner.plan({"events": STARTING}, {"events": STARTING.replace("PRIMARY", "`size` int, PRIMARY")}))
    assert "ALTER TABLE `events` ADD COLUMN `size` int DEFAULT NULL" == one.statement


# ── Other defaults ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_server_that_prints_more_of_a_definition_has_no_drift(planner: Planner) -> None:
    planner.run(EVENTS)
    with having(planner.topology.staging, show_create_table_verbosity=1):
        plan = await planner.plan({"events": EVENTS}, {"events": KEYED})
    assert ("ALTER TABLE `events` ADD COLUMN `size` int DEFAULT NULL", ()) == (only(plan).statement, plan.drift)


@pytest.mark.parametrize(
    ("statement", "variables"),
    [
        ("ALTER TABLE events ADD COLUMN at TIMESTAMP", {"explicit_defaults_for_timestamp": 0}),
        ("CREATE TABLE stamps (id int primary key, at TIMESTAMP)", {"explicit_defaults_for_timestamp": 0}),
        (
            "CREATE TABLE words (id int primary key, word varchar(9)) DEFAULT CHARSET=utf8mb4",
            {"default_collation_for_utf8mb4": "utf8mb4_general_ci"},
        ),
    ],
)
async def test_a_statement_by_hand_is_judged_as_its_server_will_read_it(
    planner: Planner, statement: str, variables: dict[str, object]
) -> None:
    planner.run(EVENTS)
    with having(planner.topology.staging, **variables):
        one = only(await planner.by_hand(statement))
        planner.run(one.statement)
    assert live_hash(planner, one.target.table) == one.expected
