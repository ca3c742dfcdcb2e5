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

_KNOWN = {"not-possible", "not-proven", "skeema-refused", "several-steps"}
_numbers = itertools.count(1)


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
                    planner.run(one.statement)
                if plan.migrations:
                    [shown] = staging.run(f"SHOW CREATE TABLE {table}", schema=schema)
                    assert plan.migrations[-1].expected == definition_hash(shown["Create Table"]), (live, file)
                assert () == (await planner.plan({table: live}, {table: file})).migrations
    finally:
        staging.drop_schema(schema)
