"""Random live tables and random files: the plan, run on the live server, ends at what it promised, and the next plan is empty."""

import itertools
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.mysql.introspect import definition_hash
from embedded.mysql import Topology
from embedded.tools import Tools
from tests.activities.mysql.planning import planner_on
from tests.activities.skeema.random_tables import tables
from tests.activities.skeema.real import takes
from workflows.rules.plan import PlannedMigration, Strategy

_KNOWN = {"not-possible", "not-proven", "skeema-refused", "several-steps"}
_numbers = itertools.count(1)


def _as_gh_ost(one: PlannedMigration) -> tuple[str, ...]:
    """What gh-ost does to definitions: a table made LIKE the live one, altered, and swapped in."""
    table = one.target.table
    altered = one.statement.replace(f"ALTER TABLE `{table}` ", f"ALTER TABLE `_{table}_gho` ", 1)
    return (f"CREATE TABLE `_{table}_gho` LIKE `{table}`", altered, f"DROP TABLE `{table}`", f"RENAME TABLE `_{table}_gho` TO `{table}`")


@settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.tuples(*(st.tuples(tables(f"t{number}"), tables(f"t{number}")) for number in range(3))))
async def test_a_plan_that_was_run_leaves_nothing_to_plan(
    mysql_topology: Topology, tools: Tools, pairs: tuple[tuple[str, str], ...]
) -> None:
    staging = mysql_topology.staging
    possible = {f"t{number}": pair for number, pair in enumerate(pairs) if all(takes(staging, create) for create in pair)}
    schema = f"random_{os.getpid()}_{next(_numbers)}"
    staging.create_schema(schema)
    try:
        with tempfile.TemporaryDirectory() as folder:
            planner = planner_on(mysql_topology, schema, tools, Path(folder), (staging,))
            planner.run(*(live for live, _ in possible.values()))
            for table, (live, file) in possible.items():
                plan = await planner.plan({table: live}, {table: file})
                if plan.refusal is not None:
                    assert plan.refusal.code in _KNOWN, plan.refusal
                    continue
                assert () == plan.drift
                for one in plan.migrations:
                    planner.run(*(_as_gh_ost(one) if one.strategy is Strategy.GH_OST else (one.statement,)))
                if plan.migrations:
                    [shown] = staging.run(f"SHOW CREATE TABLE {table}", schema=schema)
                    assert plan.migrations[-1].expected == definition_hash(shown["Create Table"]), (live, file)
                assert () == (await planner.plan({table: live}, {table: file})).migrations
    finally:
        staging.drop_schema(schema)
