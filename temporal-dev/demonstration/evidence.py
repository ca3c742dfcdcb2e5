"""Gathers what the proofs look at, from GitHub, MySQL and skeebot's records, when the story is over."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from activities.ghost.directory import run_directories
from demonstration import proofs
from demonstration.acme import REPOSITORY, schema_files
from demonstration.feed import read_audit
from demonstration.ledgers import compared
from demonstration.proofs import CheckSeen, Proof
from demonstration.script import Script
from demonstration.stage import Theatre
from embedded.mysql import SAMPLE_SCHEMAS, MySQLServer, wait_for_replica
from tests.fakes.github.objects import CheckRun

LONGEST_WAIT_SECONDS: Final = 10.0
"""A write may wait for a cut-over's lock as long as gh-ost tries for it, and a little."""
_AUTO_INCREMENT = re.compile(r" AUTO_INCREMENT=\d+")
_SCRATCH: Final = "demo_merged_files"


def gather(script: Script) -> Iterator[Proof]:
    """Every proof, in the order in which it is shown. The writers are stopped first, so that nothing moves any more."""
    theatre = script.theatre
    for writer in theatre.writers.values():
        writer.stop()
    runs = checks_seen(theatre)
    yield proofs.one_current_run_per_head(runs)
    yield proofs.no_run_is_doubled(runs)
    yield proofs.states_come_in_order(runs, merged_head=script.pull.head_sha)
    yield proofs.merge_waited_for_success(theatre.gate)
    yield proofs.early_approval_stopped_counting(script.withdrawn)
    yield from _rows(theatre)
    yield proofs.writers_never_stood_still(
        {place: writer.longest_wait_seconds for place, writer in theatre.writers.items()}, limit=LONGEST_WAIT_SECONDS
    )
    yield from _schemas(theatre)
    yield proofs.story_ended_in_one_line(script.status, script.result)


def checks_seen(theatre: Theatre) -> list[CheckSeen]:
    """All check runs of the repository, oldest first."""
    with theatre.world.lock:
        return [_check_seen(run) for run in theatre.world.check_run_history(REPOSITORY)]


def _check_seen(run: CheckRun) -> CheckSeen:
    states = tuple(state for state, _ in groupby(str(state.conclusion or state.status) for state in run.history))
    ignored = tuple(state.ignored for state in run.history if state.ignored)
    return CheckSeen(name=run.name, head_sha=run.head_sha, external_id=run.external_id, states=states, ignored=ignored)


def _rows(theatre: Theatre) -> Iterator[Proof]:
    """Every primary against its own writer's ledger, and the replica against its primary."""
    theatre.screen.wait_for("every row to be compared with the writers' ledgers")
    for place, report in zip(theatre.writers, compared(theatre.writers.values()), strict=True):
        yield proofs.rows_are_what_was_written(place, report, at_least=theatre.orders)
    theatre.screen.wait_for("")
    mysql = theatre.stack.mysql
    wait_for_replica(mysql.production_a, mysql.production_a_replica)
    yield proofs.replica_agrees("production/a", _checksums(mysql.production_a), _checksums(mysql.production_a_replica))


def _checksums(server: MySQLServer) -> dict[str, int]:
    names = [f"{schema}.{table}" for schema in SAMPLE_SCHEMAS for table in sorted(definitions(server, schema))]
    return {row["Table"]: row["Checksum"] for row in server.run(f"CHECKSUM TABLE {', '.join(names)}")}


def _schemas(theatre: Theatre) -> Iterator[Proof]:
    merged = merged_schemas(theatre)
    kept = kept_tables(theatre)
    for place, server in theatre.primaries.items():
        live = {schema: definitions(server, schema) for schema in merged}
        yield proofs.live_is_what_was_merged(place, live, merged=merged)
        yield proofs.nothing_is_left_behind(place, live, expected=merged, kept=kept.get(place, {}))


def merged_schemas(theatre: Theatre) -> dict[str, dict[str, str]]:
    """schema → table → definition, of the merged files as a server writes them."""
    git = theatre.world.repository(REPOSITORY).git
    paths = git.git("ls-tree", "-r", "--name-only", "refs/heads/main").decode().splitlines()
    files = {path: git.git("show", f"refs/heads/main:{path}").decode() for path in paths}
    server = theatre.stack.mysql.workspace
    merged: dict[str, dict[str, str]] = {}
    for (schema, _), statement in schema_files(files).items():
        scratch = f"{_SCRATCH}_{schema}"
        server.run(f"CREATE DATABASE IF NOT EXISTS `{scratch}`")
        server.run(statement.rstrip().rstrip(";"), schema=scratch)
        merged.setdefault(schema, {})
    for schema in merged:
        merged[schema] = definitions(server, f"{_SCRATCH}_{schema}")
        server.run(f"DROP DATABASE `{_SCRATCH}_{schema}`")
    return merged


def definitions(server: MySQLServer, schema: str) -> dict[str, str]:
    """Table → SHOW CREATE TABLE without its AUTO_INCREMENT, which every INSERT moves."""
    names = [
        row["name"] for row in server.run("SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", (schema,))
    ]
    return {name: _AUTO_INCREMENT.sub("", server.run(f"SHOW CREATE TABLE `{name}`", schema=schema)[0]["Create Table"]) for name in names}


def kept_tables(theatre: Theatre) -> dict[str, dict[str, set[str]]]:
    """place → schema → the names that skeebot recorded of tables that wait for their deadline: quarantined, and gh-ost's old ones."""
    kept: dict[str, dict[str, set[str]]] = {}
    for entry in read_audit(theatre.product.folder / "audit.jsonl"):
        name = entry["facts"].get("quarantined_as")
        if name:
            cluster, shard, schema, _ = entry["migration_id"].split(":")[2].split("/")
            kept.setdefault(f"{cluster}/{shard}", {}).setdefault(schema, set()).add(name)
    for directory in run_directories(theatre.product.folder / "runs"):
        record = directory.record()
        if record is not None and any(event.name == "success" for event in directory.events()):
            kept.setdefault(f"{record.cluster}/{record.shard}", {}).setdefault(record.schema, set()).add(record.tables.old)
    return kept
