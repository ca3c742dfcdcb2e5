"""Real gh-ost on real MySQL: what it does under our hand, and what it never does without."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.ghost import driver, watching
from activities.ghost import run as ghost_run
from activities.ghost.directory import ProcessIdentity
from activities.ghost.progress import last_status
from embedded.mysql import Schema, Topology
from tests.activities.ghost.scene import ADD_NOTE, Heard, RunnerScene, checksum, columns_of, parcels, slowly, tables_of, until
from tests.activities.mysql.house import identity_of
from workflows.messages import GhostEvent, GhostRun, MigrationOrder

REPOSITORY = Path(__file__).parents[3]


def process_of(run: GhostRun) -> ProcessIdentity:
    return ProcessIdentity.of_run(run.pid, run.started)


async def hold(scene: RunnerScene, order: MigrationOrder, *, run_id: str = "run-1") -> tuple[GhostRun, int]:
    """A run that holds, and the number of that event."""
    run = await scene.spawn(order, run_id=run_id)
    held = await scene.watch(run, order)
    assert (GhostEvent.HOLDING, "") == (held.event, held.detail)
    return run, held.event_number


# ── Holding and releasing ───────────────────────────────────────────────────────────────────────────────────────────


async def test_it_holds_until_it_is_let_go_and_leaves_only_the_old_table(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 10_000)
    before = checksum(fresh_schema, "parcels")
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    assert ["startup", "row-copy-complete", "before-cut-over", "begin-postponed"] == lone.events(run)  # that hook could guard no release
    assert ["id", "weight", "city"] == columns_of(fresh_schema)
    await lone.let_go(run, order)
    done = await lone.watch(run, order, after=held)
    assert GhostEvent.SUCCEEDED == done.event
    assert (100.0, before[0]) == (done.progress.percent, done.progress.rows_copied)
    assert ["id", "weight", "city", "note"] == columns_of(fresh_schema)
    assert before == checksum(fresh_schema, "parcels")
    assert {"parcels", run.old_table} == tables_of(fresh_schema)

    await lone.let_go(run, order, "release-2")  # after the end: nothing to release, nothing wrong
    assert done == await lone.watch(run, order, after=held)
    stopped = await lone.abort(run, order)
    assert (True, True) == (stopped.dead, stopped.swapped)
    assert {"parcels", run.old_table} == tables_of(fresh_schema)


async def test_nothing_that_vanishes_on_disk_releases_the_cut_over(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    shutil.rmtree(lone.directory(run).path)
    watcher = asyncio.create_task(lone.watch(run, order, after=held))
    watched_until = time.monotonic() + 4  # gh-ost looks at its flag every second
    while time.monotonic() < watched_until:
        assert process_of(run).lives()
        assert not watcher.done()
        assert ["id", "weight", "city"] == columns_of(fresh_schema)
        await asyncio.sleep(0.2)
    with pytest.raises(ApplicationError, match="cannot be released"):
        await lone.let_go(run, order)
    stopped = await lone.abort(run, order)
    assert (True, False) == (stopped.dead, stopped.swapped)
    assert {"parcels"} == tables_of(fresh_schema)
    assert GhostEvent.VANISHED == (await watcher).event


async def test_a_release_without_a_grant_is_refused_and_so_is_another_flag_file(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, _ = await hold(lone, order)
    directory = lone.directory(run)
    record = directory.record()
    assert record is not None
    for command in ("unpostpone=parcels", "cut-over=parcels", "no-postpone=parcels", "postpone-cut-over-flag-file=/nowhere"):
        assert "exit status 1" in await driver.ask(directory.path, command)
    directory.grant("another run's word", "release-1", seconds=60)
    assert "exit status 1" in await driver.ask(directory.path, "unpostpone=parcels")
    directory.grant(record.hint, "release-1", seconds=-1)
    assert "exit status 1" in await driver.ask(directory.path, "unpostpone=parcels")
    said = await driver.status(directory.path)
    assert said is not None
    assert "postponing cut-over" == said.phase
    assert "released" not in lone.events(run)


async def test_a_release_after_an_old_look_at_the_primary_is_not_given(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    with pytest.raises(ApplicationError, match="40 s old"):
        await lone.let_go(run, order, waited=40)
    with pytest.raises(ApplicationError, match="old, and a release needs one of the last 30 s"):
        await lone.let_go(run, order, looked_at=time.time() - 60)
    assert "released" not in lone.events(run)
    await lone.let_go(run, order, looked_at=time.time() - 10, waited=5)  # the token is as good as new
    assert GhostEvent.SUCCEEDED == (await lone.watch(run, order, after=held)).event


async def test_a_blocked_cut_over_holds_again_and_takes_a_new_release(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    with lone.server.admin(database=fresh_schema.name) as blocker, blocker.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT COUNT(*) FROM parcels")
        await lone.let_go(run, order, "release-1")
        again = await lone.watch(run, order, after=held)
        assert GhostEvent.HOLDING == again.event
        assert again.event_number > held
        assert process_of(run).lives()
        cursor.execute("ROLLBACK")
    await lone.let_go(run, order, "release-1")  # a retry of the first: used up
    assert 1 == lone.events(run).count("released")
    await lone.let_go(run, order, "release-2")
    assert GhostEvent.SUCCEEDED == (await lone.watch(run, order, after=again.event_number)).event
    assert "note" in columns_of(fresh_schema)
    assert {"parcels", run.old_table} == tables_of(fresh_schema)


async def test_a_release_that_is_not_taken_in_time_is_withdrawn_and_the_run_can_resume(
    lone: RunnerScene, fresh_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    with lone.server.admin() as freeze, freeze.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")  # no heartbeat gets through, so gh-ost would wait with its attempt
        with pytest.raises(ApplicationError, match="tried again"):
            await lone.let_go(run, order)
        assert "released" not in lone.events(run)
        monkeypatch.setattr(ghost_run, "RELEASE_PATIENCE_SECONDS", 2.0)
        monkeypatch.setattr(lone.ghosts, "_await_readiness", no_look)
        await lone.let_go(run, order)
        assert not process_of(run).lives()
        cursor.execute("UNLOCK TABLES")
    assert GhostEvent.VANISHED == (await lone.watch(run, order, after=held)).event
    assert "note" not in columns_of(fresh_schema)


async def no_look(*_: object) -> None:
    return None


# ── Who dies and who lives ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_killed_worker_leaves_its_gh_ost_to_the_next_one(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 2_000)
    order = lone.order(fresh_schema)
    told = {
        "passwords": dict(lone.server.passwords),
        "inventory": str(lone.settings.inventory),
        "runner": lone.runner.model_dump(mode="json"),
        "schema": fresh_schema.name,
        "statement": ADD_NOTE,
        "run_id": "run-1",
        "primary": asdict(identity_of(lone.server)),
    }
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.activities.ghost.doomed_worker",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "temporal-dev")])},
        start_new_session=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{json.dumps(told)}\n".encode())
    first = GhostRun(**json.loads(await worker.stdout.readline()))
    os.killpg(worker.pid, signal.SIGKILL)
    await worker.wait()

    adopted = await asyncio.gather(*(lone.spawn(order) for _ in range(3)))
    assert [first] * 3 == adopted
    assert process_of(first).lives()
    held = await lone.watch(first, order)
    assert GhostEvent.HOLDING == held.event
    await lone.let_go(first, order)
    assert GhostEvent.SUCCEEDED == (await lone.watch(first, order, after=held.event_number)).event
    assert 1 == lone.events(first).count("startup")


async def test_two_spawns_at_once_start_one_process(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    one, other = await asyncio.gather(lone.spawn(order), lone.spawn(order))
    assert one == other
    assert GhostEvent.HOLDING == (await lone.watch(one, order)).event
    assert 1 == lone.events(one).count("startup")


async def test_a_killed_gh_ost_resumes_from_its_checkpoint_and_loses_no_row(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 20_000)
    order = lone.order(fresh_schema)
    gentle = slowly(lone)
    run = await gentle.spawn(order)
    await until(lambda: fresh_schema.run("SHOW TABLES LIKE %s", run.checkpoint_table))
    await until(lambda: fresh_schema.run(f"SELECT 1 FROM `{run.checkpoint_table}`"), seconds=30)
    os.kill(run.pid, signal.SIGKILL)
    fresh_schema.run("UPDATE parcels SET weight = weight + 1 WHERE id % 3 = 0")
    fresh_schema.run("DELETE FROM parcels WHERE id % 10 = 1")
    fresh_schema.run("INSERT INTO parcels (weight, city) VALUES (1, NULL), (2, 'late')")

    seen = await lone.watch(run, order)
    assert GhostEvent.VANISHED == seen.event
    assert "without a word" in seen.detail
    verdict = await lone.fence(run, order)
    assert (True, True) == (verdict.fenced, verdict.resumable), verdict.detail
    resumed = await lone.spawn(order, run_id="run-2", resume=True)
    assert run.ghost_table == resumed.ghost_table
    assert run.pid != resumed.pid
    held = await lone.watch(resumed, order)
    assert GhostEvent.HOLDING == held.event, held.detail
    assert "Resuming from checkpoint" in lone.directory(resumed).log()
    before = checksum(fresh_schema, "parcels")
    await lone.let_go(resumed, order)
    assert GhostEvent.SUCCEEDED == (await lone.watch(resumed, order, after=held.event_number)).event
    assert before == checksum(fresh_schema, "parcels")
    assert {"parcels", run.old_table} == tables_of(fresh_schema)


async def test_without_a_checkpoint_nothing_is_resumed_and_a_clean_start_leaves_nothing_of_the_dead_run(
    lone: RunnerScene, fresh_schema: Schema
) -> None:
    parcels(fresh_schema, 5_000)
    order = lone.order(fresh_schema)
    run = await slowly(lone).spawn(order)
    await until(lambda: run.ghost_table in tables_of(fresh_schema))
    os.kill(run.pid, signal.SIGKILL)
    verdict = await lone.fence(run, order)
    assert (True, False) == (verdict.fenced, verdict.resumable)
    assert "start clean" in verdict.detail
    assert {"parcels"} == tables_of(fresh_schema)
    assert run == await lone.spawn(order)  # the same run id again: that run is over, and watching says so
    clean, _ = await hold(lone, order, run_id="run-2")
    assert run.ghost_table != clean.ghost_table
    os.kill(clean.pid, signal.SIGKILL)
    await until(lambda: not process_of(clean).lives())
    cleaner, _ = await hold(lone, order, run_id="run-3")  # though nobody had asked the fence
    assert {"parcels", cleaner.ghost_table, cleaner.changelog_table, cleaner.checkpoint_table} == tables_of(fresh_schema)


async def test_a_run_that_lives_is_never_joined_by_another_of_its_migration(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    await hold(lone, order)
    for resume in (False, True):
        with pytest.raises(ApplicationError, match="lives on runner-1"):
            await lone.spawn(order, run_id="run-2", resume=resume)


async def test_a_swap_that_outran_its_gh_ost_is_not_made_twice(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, _ = await hold(lone, order)
    os.kill(run.pid, signal.SIGKILL)
    await until(lambda: not process_of(run).lives())
    fresh_schema.run(f"RENAME TABLE parcels TO `{run.old_table}`, `{run.ghost_table}` TO parcels")  # as if it died right after
    verdict = await lone.fence(run, order)
    assert (True, False) == (verdict.fenced, verdict.resumable)
    assert "swapped already" in verdict.detail
    with pytest.raises(ApplicationError, match="had swapped"):
        await lone.spawn(order, run_id="run-2")
    stopped = await lone.abort(run, order)
    assert (True, True) == (stopped.dead, stopped.swapped)
    assert {"parcels", run.old_table} == tables_of(fresh_schema)


async def test_another_gh_ost_on_the_table_keeps_its_tables(lone: RunnerScene, fresh_schema: Schema, tmp_path: Path) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, _ = await hold(lone, order)
    elsewhere = lone.on_another_host(tmp_path / "elsewhere")
    other = await elsewhere.spawn(order)  # the same run id, as after a spawn whose answer was lost
    seen = await elsewhere.watch(other, order)
    assert GhostEvent.FAILED == seen.event
    assert "already migrating" in seen.detail
    with pytest.raises(ApplicationError, match="Another gh-ost works on"):
        await elsewhere.abort(other, order)
    assert process_of(run).lives()
    assert {"parcels", run.ghost_table, run.changelog_table, run.checkpoint_table} == tables_of(fresh_schema)


async def test_the_fence_ends_a_frozen_gh_ost(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, _ = await hold(lone, order)
    os.kill(run.pid, signal.SIGSTOP)
    verdict = await lone.fence(run, order)
    assert verdict.fenced
    assert "was killed" in verdict.detail
    assert not process_of(run).lives()


async def test_a_cancelled_watcher_leaves_gh_ost_alone_and_progress_is_heard(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 20_000)
    order = lone.order(fresh_schema)
    run = await slowly(lone).spawn(order)
    heard = Heard()
    watcher = heard.start(lone, run, order)
    await until(lambda: any(0 < said.percent < 100 and "migrating" == said.phase for said in heard.progress))
    began = time.monotonic()
    watcher.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watcher
    assert time.monotonic() - began < 2
    assert process_of(run).lives()
    assert [said.rows_copied for said in heard.progress] == sorted(said.rows_copied for said in heard.progress)


async def test_a_gh_ost_nobody_watches_is_paused_until_somebody_does(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 20_000)
    order = lone.order(fresh_schema)
    run = await slowly(lone).spawn(order)
    await until(lambda: "State: migrating" in lone.directory(run).log())
    assert () == await lone.ghosts.scan_runs()
    deadline = time.monotonic() + 10
    while not (paused := await lone.ghosts.scan_runs(unwatched_seconds=0)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert ("run-1",) == paused
    said = await driver.status(lone.directory(run).path)
    assert said is not None
    heard = Heard()
    watcher = heard.start(lone, run, order)
    await until(lambda: any("migrating" == said.phase for said in heard.progress))
    watcher.cancel()
    assert not lone.directory(run).unowned


async def test_only_ended_runs_are_forgotten_after_their_time(
    lone: RunnerScene, fresh_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels(fresh_schema, 100)
    living, _ = await hold(lone, lone.order(fresh_schema))
    failed = await lone.spawn(lone.order(fresh_schema, "ALTER TABLE `parcels` ADD COLUMN `weight` int"), run_id="run-2")
    await until(lambda: not process_of(failed).lives())
    caring = asyncio.create_task(lone.ghosts.care_for_runs())
    await asyncio.sleep(0)
    assert lone.directory(failed).path.exists()
    caring.cancel()
    monkeypatch.setattr(ghost_run, "KEEP_RUNS_SECONDS", 0.0)
    caring = asyncio.create_task(lone.ghosts.care_for_runs())
    await until(lambda: not lone.directory(failed).path.exists())
    caring.cancel()
    assert lone.directory(living).path.exists()


async def test_another_primary_behind_the_name_ends_the_run(
    lone: RunnerScene, fresh_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    record_file = lone.directory(run).path / "run.json"
    facts = json.loads(record_file.read_text())
    record_file.write_text(json.dumps({**facts, "primary_uuid": "00000000-0000-0000-0000-000000000000"}))
    monkeypatch.setattr(watching, "PRIMARY_EVERY_SECONDS", 0.5)
    seen = await lone.watch(run, order, after=held)
    assert GhostEvent.FAILED == seen.event
    assert "The primary has changed" in seen.detail
    assert not process_of(run).lives()
    assert {"parcels"} == tables_of(fresh_schema)


# ── Stopping ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_abort_while_copying_leaves_the_original_and_nothing_else(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 20_000)
    before = checksum(fresh_schema, "parcels")
    order = lone.order(fresh_schema)
    gentle = slowly(lone)
    run = await gentle.spawn(order)
    await until(lambda: "State: migrating" in gentle.directory(run).log())
    stopped = await lone.abort(run, order)
    assert (True, False) == (stopped.dead, stopped.swapped)
    assert not process_of(run).lives()
    assert {"parcels"} == tables_of(fresh_schema)
    assert before == checksum(fresh_schema, "parcels")
    assert ["id", "weight", "city"] == columns_of(fresh_schema)


async def test_an_abort_right_after_the_start_works_without_a_socket(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run = await lone.spawn(order)
    stopped = await lone.abort(run, order)
    assert (True, False) == (stopped.dead, stopped.swapped)
    assert {"parcels"} == tables_of(fresh_schema)


async def test_an_abort_while_holding_can_keep_the_ghost_for_a_person_to_look_at(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 1_000)
    order = lone.order(fresh_schema)
    run, held = await hold(lone, order)
    watcher = asyncio.create_task(lone.watch(run, order, after=held))
    stopped = await lone.abort(run, order, keep=True)
    assert (True, False) == (stopped.dead, stopped.swapped)
    assert GhostEvent.FAILED == (await watcher).event
    assert {"parcels", run.ghost_table} == tables_of(fresh_schema)
    await lone.abort(run, order)
    assert {"parcels"} == tables_of(fresh_schema)


# ── Failing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_alter_that_the_server_refuses_fails_with_its_words(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 100)
    order = lone.order(fresh_schema, "ALTER TABLE `parcels` ADD COLUMN `weight` int")
    run = await lone.spawn(order)
    seen = await lone.watch(run, order)
    assert GhostEvent.FAILED == seen.event
    assert "Duplicate column name 'weight'" in seen.detail
    assert {"parcels"} == tables_of(fresh_schema)


async def test_rows_that_a_new_unique_key_would_lose_stop_the_run(lone: RunnerScene, fresh_schema: Schema) -> None:
    parcels(fresh_schema, 100)
    order = lone.order(fresh_schema, "ALTER TABLE `parcels` ADD UNIQUE KEY `one_each` (`city`)")
    before = checksum(fresh_schema, "parcels")
    run = await lone.spawn(order)
    seen = await lone.watch(run, order)
    assert GhostEvent.FAILED == seen.event
    assert "Duplicate entry" in seen.detail
    assert before == checksum(fresh_schema, "parcels")
    assert {"parcels"} == tables_of(fresh_schema)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE `parcels` RENAME COLUMN `city` TO `town`", "copy none of the column's values"),
        ("ALTER TABLE `parcels` ADD COLUMN a int; DROP TABLE `parcels`", "more than one statement"),
        ("ALTER TABLE `others` ADD COLUMN a int", "is about others"),
        ("DROP TABLE `parcels`", "something else"),
    ],
)
async def test_a_statement_that_gh_ost_must_not_get_starts_nothing(
    lone: RunnerScene, fresh_schema: Schema, statement: str, words: str
) -> None:
    parcels(fresh_schema, 100)
    with pytest.raises(ApplicationError, match=words) as refused:
        await lone.spawn(lone.order(fresh_schema, statement))
    assert "NeedsHuman" == refused.value.type
    assert {"parcels"} == tables_of(fresh_schema)


@pytest.mark.parametrize("version", ["1.1.9 (git commit: x)", "unversioned (git commit: unknown)", ""])
async def test_a_gh_ost_that_loses_rows_is_not_started(lone: RunnerScene, fresh_schema: Schema, tmp_path: Path, version: str) -> None:
    parcels(fresh_schema, 100)
    program = tmp_path / "gh-ost"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o700)
    with pytest.raises(ApplicationError, match=r"1\.1\.10 or later"):
        await lone.with_settings(gh_ost=str(program)).spawn(lone.order(fresh_schema))
    with pytest.raises(ApplicationError, match="Install it"):
        await lone.with_settings(gh_ost=str(tmp_path / "nothing")).spawn(lone.order(fresh_schema))


# ── Through the replica ─────────────────────────────────────────────────────────────────────────────────────────────


def lags(log: str) -> bool:
    said = last_status(log)
    return said is not None and (said.lag_seconds or 0) > 2


async def test_it_reads_through_the_replica_and_writes_to_the_pinned_primary(replicated: RunnerScene, mysql_topology: Topology) -> None:
    replica = mysql_topology.production_a_replica
    schema = Schema("shop_orders", replicated.server)
    schema.run("DROP TABLE IF EXISTS parcels")
    parcels(schema, 5_000)
    order = replicated.order(schema, cluster="production", shard="a")
    run, held = await hold(replicated, order)
    schema.run("INSERT INTO parcels (weight, city) VALUES (7, 'late')")
    replica.run("STOP REPLICA SQL_THREAD")
    await until(lambda: lags(replicated.directory(run).log(last_bytes=2_000)))
    with pytest.raises(ApplicationError, match="lags"):
        await replicated.let_go(run, order)
    replica.run("START REPLICA SQL_THREAD")
    await until(lambda: not lags(replicated.directory(run).log(last_bytes=2_000)))
    before = checksum(schema, "parcels")
    await replicated.let_go(run, order)
    assert GhostEvent.SUCCEEDED == (await replicated.watch(run, order, after=held)).event
    assert before == checksum(schema, "parcels")
    assert "note" in columns_of(schema)
    record = replicated.directory(run).record()
    assert record is not None
    assert f"--assume-master-host={identity_of(replicated.server).address}" in record.argv
    assert {"parcels", run.old_table} <= tables_of(schema)
    assert not {run.ghost_table, run.changelog_table, run.checkpoint_table} & tables_of(schema)
    schema.run(f"DROP TABLE parcels, `{run.old_table}`")


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_secret_is_where_others_could_read_it(lone: RunnerScene, fresh_schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEEBOT_SECRET_OF_THE_WORKER", "the worker's own")
    parcels(fresh_schema, 100)
    order = lone.order(fresh_schema)
    run, _ = await hold(lone, order)
    password = lone.settings.ghost.secret()
    record = lone.directory(run).record()
    assert record is not None
    assert "--ssl" in record.argv
    look_for_secrets(run, lone.directory(run).path, password, "the worker's own")
    assert os.getsid(run.pid) != os.getsid(0)


def look_for_secrets(run: GhostRun, folder: Path, password: str, other: str) -> None:
    about = Path(f"/proc/{run.pid}")
    assert password not in (about / "cmdline").read_text()
    assert 0o400 == (about / "environ").stat().st_mode & 0o777
    assert other not in (about / "environ").read_text()
    for path in (folder.parent, folder, *folder.rglob("*")):
        assert 0 == path.stat().st_mode & 0o077, path
        if path.is_file():
            assert password not in path.read_text(errors="replace"), path
