"""What a planned change makes of rows through a real gh-ost, against what MySQL's own ALTER makes of the same rows.

Some rows are copied and some are written afterwards: those gh-ost takes from the binary log and stores by itself.
"""

import asyncio
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.ghost.run import GhostActivities
from activities.mysql.discovery import Discovery
from activities.mysql.verify import Patience, Verifications
from activities.settings import RunnerSettings
from embedded.mysql import Schema, Topology
from embedded.processes import TemporaryFolder
from embedded.tools import Tools
from tests.activities.ghost.scene import RunnerScene, end_every_run
from tests.activities.mysql.house import an_order, eventually, identity_of
from tests.activities.mysql.planning import Planner, planner_on
from tests.activities.skeema.pairs import COLUMNS, GENERATED, INDEXES, OPTIONS, Pair
from workflows.messages import Comparison, GhostEvent, GhostRun, MigrationOrder, Verification, Verify
from workflows.rules.plan import PlannedMigration, Strategy

TOGETHER = 3
"""gh-osts at a time."""

BY_NAME = {pair.name: pair for pair in (*COLUMNS, *GENERATED, *INDEXES, *OPTIONS)}
ROWS = {
    "moved and changed": "(id, a, b, c) VALUES ({n}, 'é {n}', {n}, {n})",
    "virtual to stored between others": "(id, x, y) VALUES ({n}, {n}, NULL)",
    "ordinary to stored": "(id, g) VALUES ({n}, 7)",
    "charset": "(id, a, b) VALUES ({n}, 'é {n}', NULL)",
    "other primary key": "(id, a, b) VALUES ({n}, 'a', {n})",
}
"""Pairs that gh-ost carries, by name, and a row of each: its number is n."""

CARRIED = (
    ("int", "bigint unsigned", "1", "2"),
    ("int", "varchar(20)", "17", "-18"),
    ("varchar(9) CHARACTER SET latin1", "varchar(19) CHARACTER SET utf8mb4", "'é'", "'ü€'"),
    ("varchar(9) CHARACTER SET gbk", "varchar(9) CHARACTER SET utf8mb4", "'中'", "'文'"),
    ("varchar(9) CHARACTER SET utf8mb4", "varchar(9) CHARACTER SET latin2", "'é'", "'ü'"),
    ("varchar(9) CHARACTER SET utf8mb4", "varbinary(36)", "'é'", "'ü'"),
    ("varchar(9) CHARACTER SET ucs2", "varchar(19) CHARACTER SET ucs2", "'é'", "'ü'"),
    ("varbinary(9)", "varchar(9) CHARACTER SET utf8mb4", "'é'", "'ü'"),
    ("varchar(9)", "int", "'12.5'", "'1e2'"),
    ("binary(5)", "varbinary(9)", "'ab'", "'cd'"),
    ("char(5)", "binary(20)", "'ab'", "'cd  '"),
    ("enum('a','b')", "enum('b','a')", "'a'", "'b'"),
    ("enum('a','b')", "varchar(9)", "'a'", "'b'"),
    ("set('a','b')", "set('a','b','c')", "'a,b'", "'b'"),
    ("bit(8)", "bit(16)", "b'1000010'", "b'11'"),
    ("datetime(6)", "datetime", "'2020-01-01 00:00:00.6'", "'2021-01-01 00:00:00.5'"),
    ("time(2)", "varchar(30)", "'-01:00:00.5'", "'-100:00:00.25'"),
)
"""Type before, type after, a value that is copied, a value that is written later."""

MISCARRIED = (
    ("set('a','b')", "set('b','a')", "'a'", "'b'"),
    ("set('a','b')", "varchar(9)", "'a,b'", "'b'"),
    ("enum('a','b')", "varbinary(9)", "'a'", "'b'"),
    ("decimal(10,2)", "varchar(20)", "1.50", "2.00"),
    ("year", "varchar(20)", "2020", "0"),
    ("int(5) unsigned zerofill", "varchar(20)", "17", "18"),
    ("varchar(9) CHARACTER SET latin1", "varbinary(9)", "'é'", "'ü'"),
    ("varchar(9) CHARACTER SET ucs2", "varchar(9) CHARACTER SET utf8mb4", "'a'", "'b'"),
)

_numbers = itertools.count(1)


@pytest.fixture
def planner(mysql_topology: Topology, tools: Tools, tmp_path: Path) -> Iterator[Planner]:
    name = f"native_{os.getpid()}_{next(_numbers)}"
    mysql_topology.staging.create_schema(name)
    yield planner_on(mysql_topology, name, tools, tmp_path, (mysql_topology.staging,))
    mysql_topology.staging.drop_schema(name)


@pytest.fixture
def scene(planner: Planner, tools: Tools) -> Iterator[RunnerScene]:
    folder = TemporaryFolder("native")
    runner = RunnerSettings(run_directory=folder.path / "runs", gh_ost=str(tools.gh_ost), host="runner-1")
    settings = planner.settings.mysql
    yield RunnerScene(GhostActivities(runner, settings, Discovery(settings)), runner, settings, planner.topology.staging)
    end_every_run(folder.path / "runs")
    folder.close()


class Table:
    """A planned table: its gh-ost holds before the swap while rows change, and its native twin is altered as it then is."""

    def __init__(self, scene: RunnerScene, schema: Schema, migration: PlannedMigration) -> None:
        self.scene, self.schema, self.migration = scene, schema, migration
        self.name = migration.target.table

    async def held(self) -> tuple[GhostRun, MigrationOrder]:
        order = replace(an_order(self.schema, self.name, self.migration.statement), migration=self.migration)
        run = await self.scene.spawn(order, run_id=f"run-{self.name}")
        seen = await self.scene.watch(run, order)
        assert GhostEvent.HOLDING is seen.event, (self.migration.statement, seen.detail)
        return run, order

    def rows(self, table: str) -> list[tuple[tuple[str, Any], ...]]:
        return [tuple(row.items()) for row in self.schema.run(f"SELECT * FROM `{table}` ORDER BY id")]

    def natively(self) -> list[tuple[tuple[str, Any], ...]]:
        twin = f"{self.name}_twin"
        self.schema.run(f"CREATE TABLE `{twin}` LIKE `{self.name}`")
        names = ", ".join(
            f"`{row['Field']}`" for row in self.schema.run(f"SHOW COLUMNS FROM `{self.name}`") if "GENERATED" not in row["Extra"]
        )
        self.schema.run(f"INSERT INTO `{twin}` ({names}) SELECT {names} FROM `{self.name}`")
        self.schema.run(self.migration.statement.replace(f"ALTER TABLE `{self.name}` ", f"ALTER TABLE `{twin}` ", 1))
        return self.rows(twin)

    async def applied(self, run: GhostRun) -> None:
        """Until gh-ost has applied what was written: the last write is a row of its own."""

        async def there() -> bool:
            return bool(self.schema.run(f"SELECT 1 FROM `{run.ghost_table}` WHERE id = 99"))

        await eventually(there, seconds=30)

    async def verified(self, run: GhostRun, order: MigrationOrder) -> Verification:
        settings = self.scene.settings
        ask = Verify(order=order, primary=identity_of(self.scene.server), ghost_table=run.ghost_table)
        return await ActivityEnvironment().run(Verifications(settings, Discovery(settings), Patience(apart=0.3, settled=2)).verify, ask)


def wide(cases: tuple[tuple[str, str, str, str], ...]) -> Pair:
    """One table with a column for each case."""
    before, after = (", ".join(f"`c{at}` {case[side]}" for at, case in enumerate(cases)) for side in (0, 1))
    return Pair("wide", f"(`id` int NOT NULL, {before}, PRIMARY KEY (`id`))", f"(`id` int NOT NULL, {after}, PRIMARY KEY (`id`))")


def fill(schema: Schema, table: str, cases: tuple[tuple[str, str, str, str], ...]) -> None:
    values = ", ".join(case[2] for case in cases)
    schema.run(f"INSERT INTO {table} VALUES (1, {values}), (2, {values}), (3{', NULL' * len(cases)})")


def write(schema: Schema, table: str, cases: tuple[tuple[str, str, str, str], ...]) -> None:
    schema.run(f"UPDATE {table} SET {', '.join(f'c{at} = {case[3]}' for at, case in enumerate(cases))} WHERE id = 2")
    schema.run(f"INSERT INTO {table} VALUES (99, {', '.join(case[3] for case in cases)})")


async def test_what_is_planned_for_gh_ost_becomes_what_an_alter_makes_of_it(planner: Planner, scene: RunnerScene) -> None:
    schema = Schema(planner.schema, planner.topology.staging)
    pairs = {f"t{at}": BY_NAME[name] for at, name in enumerate(ROWS)}
    rows = dict(zip(pairs, ROWS.values(), strict=True))
    pairs["wide"] = wide(CARRIED)
    for table, pair in pairs.items():
        planner.run(pair.create("base", table))
    for table, row in rows.items():
        planner.run(*(f"INSERT INTO {table} {row.format(n=n)}" for n in (1, 2, 3)))
    fill(schema, "wide", CARRIED)

    plan = await planner.plan(*({table: pair.create(side, table) for table, pair in pairs.items()} for side in ("base", "head")))
    assert [] == [one.why for one in plan.migrations if one.strategy is not Strategy.GH_OST]
    assert set(pairs) == {one.target.table for one in plan.migrations}
    gate = asyncio.Semaphore(TOGETHER)

    async def carried(migration: PlannedMigration) -> tuple[object, object, Verification]:
        table = Table(scene, schema, migration)
        async with gate:
            run, order = await table.held()
            if table.name == "wide":
                write(schema, "wide", CARRIED)
            else:
                schema.run(f"DELETE FROM {table.name} WHERE id = 2")
                schema.run(f"UPDATE {table.name} SET id = 30 WHERE id = 3")
                schema.run(f"INSERT INTO {table.name} {rows[table.name].format(n=99)}")
            await table.applied(run)
            found = table.natively(), table.rows(run.ghost_table), await table.verified(run, order)
            await scene.abort(run, order)
            return found

    for native, ghost, verified in await asyncio.gather(*map(carried, plan.migrations)):
        assert native == ghost
        assert Comparison.DIFFERENT is not verified.outcome, verified.detail


async def test_what_is_kept_from_gh_ost_it_would_store_otherwise(planner: Planner, scene: RunnerScene) -> None:
    schema = Schema(planner.schema, planner.topology.staging)
    pair = wide(MISCARRIED)
    planner.run(pair.create("base", "wide"))
    fill(schema, "wide", MISCARRIED)

    [kept] = (await planner.plan({"wide": pair.create("base", "wide")}, {"wide": pair.create("head", "wide")})).migrations
    table = Table(scene, schema, replace(kept, strategy=Strategy.GH_OST))
    run, order = await table.held()
    write(schema, "wide", MISCARRIED)
    await table.applied(run)
    native, ghost = table.natively()[-1], table.rows(run.ghost_table)[-1]
    await scene.abort(run, order)

    assert (Strategy.MANUAL, True) == (kept.strategy, "gh-ost would not carry" in kept.why and "mark-complete" in kept.why)
    assert [("id", 99)] == [value for value in native if value in ghost]
