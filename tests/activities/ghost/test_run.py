"""Real gh-ost on real MySQL: what it does under our hand, and what it never does without."""

import shutil

from embedded.mysql import Schema
from tests.activities.ghost.scene import RunnerScene, checksum, columns_of, parcels, tables_of
from workflows.messages import GhostEvent


async def test_it_holds_until_it_is_let_go_and_leaves_only_the_old_table(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 10_000)
    before = checksum(fresh_schema, "parcels")
    order = lone.order(fresh_schema)
    run = await lone.spawn(order)
    held = await lone.watch(run, order)
    assert GhostEvent.HOLDING == held.event
    assert ["id", "weight", "city"] == columns_of(fresh_schema)
    await lone.let_go(run, order)
    done = await lone.watch(run, order, after=held.event_number)
    assert GhostEvent.SUCCEEDED == done.event
    assert ["id", "weight", "city", "note"] == columns_of(fresh_schema)
    assert before == checksum(fresh_schema, "parcels")
    assert {"parcels", run.old_table} == tables_of(fresh_schema)
    assert shutil
