"""What others did to a live table stays when a pull request changes it: acknowledged drift, and other pull requests' applied changes."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.mysql import Topology
from embedded.tools import Tools
from tests.activities.mysql.planning import Planner, planner_on
from workflows.messages import Applied
from workflows.rules.names import HeadSha
from workflows.rules.plan import Drift

ORDERS = "CREATE TABLE `orders` (`id` int NOT NULL, `note` varchar(40), PRIMARY KEY (`id`))"
WIDER = ORDERS.replace("varchar(40)", "varchar(60)")
WIDENS = "ALTER TABLE `orders` MODIFY COLUMN `note` varchar(60) DEFAULT NULL"
KEYED = "ALTER TABLE `orders` ADD KEY `by_note` (`note`)"
FLAG = ORDERS.replace("`note`", "`flag` int, `note`")
FLAGS = "ALTER TABLE `orders` ADD COLUMN `flag` int DEFAULT NULL AFTER `id`"
FLAG_AND_SIZE = FLAG.replace("`note`", "`size` int, `note`")
SIZES = "ALTER TABLE `orders` ADD COLUMN `size` int DEFAULT NULL AFTER `flag`"

_numbers = itertools.count(1)


@pytest.fixture
def planner(mysql_topology: Topology, tools: Tools, tmp_path: Path) -> Iterator[Planner]:
    """A schema of its own in staging, with the orders of the base branch."""
    name = f"drift_{os.getpid()}_{next(_numbers)}"
    mysql_topology.staging.create_schema(name)
    planner = planner_on(mysql_topology, name, tools, tmp_path, (mysql_topology.staging,))
    planner.run(ORDERS)
    yield planner
    mysql_topology.staging.drop_schema(name)


async def acknowledged(planner: Planner, merge: str) -> list[Drift]:
    plan = await planner.plan({"orders": ORDERS}, {"orders": merge})
    return list(plan.unexplained_drift)


async def statements(planner: Planner, merge: str, drift: list[Drift]) -> list[str]:
    plan = await planner.plan({"orders": ORDERS}, {"orders": merge}, acknowledged=drift)
    assert plan.refusal is None
    return [one.statement for one in plan.migrations]


async def test_an_acknowledged_index_stays(planner: Planner) -> None:
    planner.run(KEYED)
    drift = await acknowledged(planner, WIDER)
    assert [WIDENS] == await statements(planner, WIDER, drift)


async def test_the_plan_around_acknowledged_drift_leaves_nothing_to_plan_once_it_ran(planner: Planner) -> None:
    planner.run("ALTER TABLE `orders` ADD COLUMN `by_hand` int FIRST, ADD COLUMN `too` int")
    added = ORDERS.replace("`note`", "`flag` int, `note`")
    drift = await acknowledged(planner, added)
    planner.run(*await statements(planner, added, drift))
    plan = await planner.plan({"orders": ORDERS}, {"orders": added}, acknowledged=drift, completed=[planner.target("orders")])
    assert ((), ()) == (plan.migrations, plan.drift)


async def test_other_drift_than_the_acknowledged_is_shown_again(planner: Planner) -> None:
    planner.run(KEYED)
    drift = await acknowledged(planner, WIDER)
    planner.run("ALTER TABLE `orders` COMMENT 'by hand'")
    plan = await planner.plan({"orders": ORDERS}, {"orders": WIDER}, acknowledged=drift)
    assert drift != list(plan.unexplained_drift)
    assert 1 == len(plan.unexplained_drift)


async def test_acknowledged_drift_that_is_gone_is_not_made_again(planner: Planner) -> None:
    planner.run(KEYED)
    drift = await acknowledged(planner, WIDER)
    planner.run("ALTER TABLE `orders` DROP KEY `by_note`")
    assert [WIDENS] == await statements(planner, WIDER, drift)


async def test_drift_that_cannot_stay_beside_the_change_is_said_to_be_undone(planner: Planner) -> None:
    planner.run(KEYED)
    without = ORDERS.replace("`note` varchar(40), ", "`text` int, ")
    drift = await acknowledged(planner, without)
    plan = await planner.plan({"orders": ORDERS}, {"orders": without}, acknowledged=drift)
    assert "cannot all stay beside this change" in "".join(plan.notes)
    assert "DROP KEY" in plan.migrations[0].statement


async def test_the_plan_of_a_pull_request_that_waits_for_another_shows_its_own_change_only(planner: Planner) -> None:
    planner.run(KEYED)
    planner.applied.append(Applied(planner.target("orders"), "acme/shop", 5, HeadSha("d" * 40), KEYED))
    assert [WIDENS] == await statements(planner, WIDER, [])


async def test_what_a_dba_did_after_this_pull_requests_own_change_is_drift_as_well(planner: Planner) -> None:
    applies(planner, FLAGS)
    planner.run("ALTER TABLE `orders` ALTER `note` SET DEFAULT 'none', MODIFY `flag` int COMMENT 'set at night'")
    plan = await planner.plan({"orders": ORDERS}, {"orders": FLAG_AND_SIZE}, completed=[planner.target("orders")])
    [drift] = plan.unexplained_drift
    assert "set at night" in drift.statement
    assert "ADD COLUMN" not in drift.statement, "its own change is no drift"


async def test_a_late_commit_leaves_acknowledged_drift_in_place_whenever_it_came(planner: Planner) -> None:
    planner.run(KEYED)
    before = await acknowledged(planner, FLAG)
    applies(planner, *await statements(planner, FLAG, before))
    assert ([SIZES], []) == await after_completion(planner, before)
    planner.run("ALTER TABLE `orders` COMMENT 'by night'")
    _, both = await after_completion(planner, before)
    assert [True] == ["by night" in drift.statement and "ADD KEY" in drift.statement for drift in both]
    assert ([SIZES], []) == await after_completion(planner, both)


async def test_a_table_migrated_by_statements_that_nobody_remembers_is_taken_as_it_is(planner: Planner) -> None:
    planner.run(FLAGS)
    assert ([SIZES], []) == await after_completion(planner, [])


def applies(planner: Planner, *statements: str) -> None:
    """This pull request's own change has run, and its cluster's queue knows."""
    planner.run(*statements)
    planner.applied += [Applied(planner.target("orders"), "acme/shop", 7, HeadSha("a" * 40), one) for one in statements]


async def after_completion(planner: Planner, drift: list[Drift]) -> tuple[list[str], list[Drift]]:
    """The plan of a late commit: its statements and the drift that is left to acknowledge."""
    completed = [planner.target("orders")]
    plan = await planner.plan({"orders": ORDERS}, {"orders": FLAG_AND_SIZE}, completed=completed, acknowledged=drift)
    assert plan.refusal is None
    return [one.statement for one in plan.migrations], list(plan.unexplained_drift)
