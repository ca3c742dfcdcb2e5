"""Comparing with a real gh-ost's copy while it applies an application's writes."""

import asyncio
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.ghost.run import GhostActivities
from activities.mysql.discovery import Discovery
from activities.mysql.fence import DatabaseFences
from activities.mysql.preflight import Preflights
from activities.mysql.verify import Patience, Verifications
from activities.settings import MySQLSettings, RunnerSettings
from embedded.mysql import MySQLServer, Schema
from embedded.processes import TemporaryFolder
from embedded.tools import gh_ost
from tests.activities.ghost.scene import RunnerScene, end_every_run, parcels
from tests.activities.mysql.house import eventually, identity_of
from workflows.messages import Comparison, Fence, GhostEvent, GhostRun, MigrationOrder, Preflight, Verification, Verify

STATEMENT = (
    "ALTER TABLE `parcels` ADD COLUMN `note` varchar(40) NOT NULL DEFAULT 'none', MODIFY `weight` bigint NOT NULL, MODIFY `size` int"
)
PATIENCE = Patience(apart=0.5)


@pytest.fixture
def scene(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> Iterator[RunnerScene]:
    folder = TemporaryFolder("verify")
    runner = RunnerSettings(run_directory=folder.path / "runs", gh_ost=str(gh_ost()), host="runner-1")
    yield RunnerScene(GhostActivities(runner, lone_settings, Discovery(lone_settings)), runner, lone_settings, mysql_server)
    end_every_run(folder.path / "runs")
    folder.close()


class Writer(threading.Thread):
    """Some 200 writes a second on random rows."""

    def __init__(self, schema: Schema, ids: int) -> None:
        super().__init__()
        self.schema, self.ids, self.stop, self.writes = schema, ids, threading.Event(), 0

    def run(self) -> None:
        with self.schema.server.admin(database=self.schema.name) as connection, connection.cursor() as cursor:
            while not self.stop.wait(0.005):
                one = random.randint(1, self.ids)
                cursor.execute("UPDATE parcels SET weight = weight + 1, city = IF(RAND() < 0.2, NULL, city) WHERE id = %s", (one,))
                if self.writes % 10 == 0:
                    cursor.execute("INSERT INTO parcels (weight, city, size) VALUES (1, 'new', '12.5')")
                    cursor.execute("DELETE FROM parcels WHERE id = %s", (random.randint(1, self.ids),))
                self.writes += 1


async def holding(scene: RunnerScene, schema: Schema) -> tuple[GhostRun, MigrationOrder]:
    order = scene.order(schema, STATEMENT)
    run = await scene.spawn(order)
    seen = await scene.watch(run, order)
    assert GhostEvent.HOLDING is seen.event, seen.detail
    return run, order


async def compared(settings: MySQLSettings, order: MigrationOrder, run: GhostRun, server: MySQLServer) -> Verification:
    ask = Verify(order=order, primary=identity_of(server), ghost_table=run.ghost_table)
    return await ActivityEnvironment().run(Verifications(settings, Discovery(settings), PATIENCE).verify, ask)


def table(schema: Schema, rows: int) -> None:
    parcels(schema, rows)
    schema.run("ALTER TABLE parcels ADD COLUMN size varchar(20)")
    schema.run("UPDATE parcels SET size = CASE id % 4 WHEN 0 THEN '12.5' WHEN 1 THEN '1e2' WHEN 2 THEN NULL ELSE id END")


async def test_a_real_copy_is_equal_under_writes_and_a_lost_row_and_a_shifted_null_are_found(
    scene: RunnerScene, fresh_schema: Schema, lone_settings: MySQLSettings
) -> None:
    table(fresh_schema, 25_000)
    writer = Writer(fresh_schema, ids=20_000)
    writer.start()
    try:
        run, order = await holding(scene, fresh_schema)
        equal = await compared(lone_settings, order, run, fresh_schema.server)
        fresh_schema.run(f"DELETE FROM `{run.ghost_table}` WHERE id = 24000")
        fresh_schema.run(f"UPDATE `{run.ghost_table}` SET city = NULL, note = 'city 1' WHERE id = 24001")
        fresh_schema.run(f"UPDATE `{run.ghost_table}` SET size = 12 WHERE id = 24004")
        different = await compared(lone_settings, order, run, fresh_schema.server)
    finally:
        writer.stop.set()
        writer.join()
    await scene.abort(run, order)

    assert Comparison.EQUAL is equal.outcome, equal.detail
    assert 25_000 < equal.rows
    assert "note (added)" in equal.detail
    assert Comparison.DIFFERENT is different.outcome
    for words in ("3 row(s) differ", "id=24000 is missing in the copy", "id=24001 differs in city", "id=24004 differs in size"):
        assert words in different.detail
    assert 50 < writer.writes


async def test_a_lost_gh_ost_is_cut_off_at_the_database(
    scene: RunnerScene, fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery, tmp_path: Path
) -> None:
    """SAFETY §S2: it neither writes nor swaps any more, and another one may start clean."""
    table(fresh_schema, 3_000)
    run, order = await holding(scene, fresh_schema)
    process = scene.directory(run).process()
    assert process is not None
    preflight = Preflights(lone_settings, lone_discovery)
    before = await ActivityEnvironment().run(preflight.preflight, Preflight(order=order))

    fences = DatabaseFences(lone_settings, lone_discovery)
    verdict = await ActivityEnvironment().run(fences.fence_at_database, Fence(run, order, identity_of(fresh_schema.server)))
    fresh_schema.run("UPDATE parcels SET weight = 0 WHERE id = 1")

    async def ended() -> bool:
        return not process.lives()

    await eventually(ended, seconds=90)

    assert (True, False) == (verdict.fenced, verdict.resumable), verdict.detail
    assert before.refusal is not None
    tables = {str(next(iter(row.values()))) for row in fresh_schema.run("SHOW TABLES")}
    assert not tables & {run.ghost_table, run.changelog_table, run.checkpoint_table, run.old_table}
    assert "note" not in {row["Field"] for row in fresh_schema.run("SHOW COLUMNS FROM parcels")}
    again, _ = await asyncio.wait_for(second(scene, order), 60)
    assert again.ghost_table in {str(next(iter(row.values()))) for row in fresh_schema.run("SHOW TABLES")}


async def second(scene: RunnerScene, order: MigrationOrder) -> tuple[GhostRun, GhostEvent]:
    run = await scene.spawn(order, run_id="run-2")
    seen = await scene.watch(run, order)
    assert GhostEvent.HOLDING is seen.event, seen.detail
    return run, seen.event


async def test_a_fence_on_a_primary_that_moved_claims_nothing(
    fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery, scene: RunnerScene
) -> None:
    order = scene.order(fresh_schema, STATEMENT)
    run = GhostRun("run-1", "runner-1", 4711, "now", "a", "b", "c", "d")
    moved = replace(identity_of(fresh_schema.server), address="127.0.0.1:1")

    verdict = await ActivityEnvironment().run(DatabaseFences(lone_settings, lone_discovery).fence_at_database, Fence(run, order, moved))

    assert not verdict.fenced
    assert "runner-dead runner-1" in verdict.detail
