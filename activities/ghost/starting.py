"""From an order to a record and a command: everything that is settled before a process exists."""

import asyncio
import re
import secrets
import shutil
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from activities.errors import NeedsHuman
from activities.ghost.command import Alter, Command, Throttling, build, ghost_tables, read_alter
from activities.ghost.directory import BRAKE, RunDirectory, RunRecord, run_directories
from activities.ghost.servers import GhostServers
from activities.settings import RunnerSettings
from workflows.messages import SpawnGhost
from workflows.rules.plan import PlannedMigration, Refusal

RENAME_RISK: Final = "renames-column"
"""The code of the risk by which a plan says that it renames a column; without it gh-ost is not told that it may."""

OLDEST_GHOST: Final = (1, 1, 10)
"""Older ones lose rows (FACTS): below 1.1.8 on unique keys, 1.1.9 on --resume."""


@dataclass(frozen=True)
class Launch:
    record: RunRecord
    command: Command


async def prepare(
    ask: SpawnGhost, before: RunRecord | None, directory: RunDirectory, *, runner: RunnerSettings, servers: GhostServers
) -> Launch:
    """before: the run whose checkpoint is resumed, and whose tables are kept.

    Errors: NeedsHuman for a statement, a server or a gh-ost that will not do; TryAgain when a server is away.
    """
    migration = ask.order.migration
    target = migration.target
    program = await find_program(runner)
    alter = _judged(read_alter(migration.statement, schema=target.schema, table=target.table))
    connecting = await servers.look(target, ask.primary, alter)
    names = before.tables if before is not None else ghost_tables(target.table, ask.run_id)
    own = directory.record()
    user, password = servers.account
    record = RunRecord(
        run_id=ask.run_id,
        migration_id=ask.order.migration_id,
        requester=ask.order.requester,
        base=names.base,
        cluster=target.cluster,
        shard=target.shard,
        schema=target.schema,
        table=target.table,
        statement=migration.statement,
        primary_address=ask.primary.address,
        primary_uuid=ask.primary.server_uuid,
        inspected=f"{connecting.inspect[0]}:{connecting.inspect[1]}",
        hint=secrets.token_hex(16),
        attempt=own.attempt if own is not None else 0,
        created_at=time.time(),
    )
    command = build(
        program=program,
        schema=target.schema,
        table=target.table,
        alter=alter,
        tables=names,
        hint=record.hint,
        folder=str(directory.path),
        brake_file=str(directory.path.parent / BRAKE),
        connecting=connecting,
        throttling=Throttling(
            chunk_size=runner.chunk_size,
            max_lag_millis=runner.max_lag_millis,
            cut_over_lock_timeout_seconds=runner.cut_over_lock_timeout_seconds,
            nice_ratio=runner.nice_ratio,
            max_load=runner.max_load,
            critical_load=runner.critical_load,
        ),
        user=user,
        password=password,
        approve_renames=_renames_are_planned(migration),
        resume=ask.resume,
    )
    return Launch(record, command)


async def find_program(runner: RunnerSettings) -> str:
    """Errors: NeedsHuman when there is no gh-ost, or one that loses rows."""
    program = shutil.which(runner.gh_ost)
    if program is None:
        raise NeedsHuman(f"gh-ost is not at {runner.gh_ost!r} on {runner.host}. Install it, or correct runner.gh_ost.")
    asked = await asyncio.create_subprocess_exec(program, "--version", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    said = (await asked.communicate())[0].decode(errors="replace").strip()
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < OLDEST_GHOST:
        wanted = ".".join(map(str, OLDEST_GHOST))
        raise NeedsHuman(f"{program} on {runner.host} says that it is {said or 'nothing'!r}; gh-ost {wanted} or later is needed.")
    return program


def find_predecessor(ask: SpawnGhost, root: Path, directory: RunDirectory, host: str) -> RunRecord | None:
    """The newest earlier run of the same migration on this host; the fence has been before us, and we look again (SAFETY §S2).

    Errors: NeedsHuman when one lives, or when there is none to resume.
    """
    found = directory.record()
    for other in run_directories(root):
        record = other.record()
        if other.path == directory.path or record is None or record.migration_id != ask.order.migration_id:
            continue
        if other.lives():
            raise NeedsHuman(f"Run {record.run_id} of the same migration lives on {host}. Abort it before another starts.")
        found = record if found is None or record.created_at > found.created_at else found
    if ask.resume and found is None:
        raise NeedsHuman(f"{host} knows no run of this migration, so nothing can be resumed here. retry-migration.")
    return found


def _judged(answer: Alter | Refusal) -> Alter:
    if isinstance(answer, Refusal):
        raise NeedsHuman(f"{answer.what} {answer.next}")
    return answer


def _renames_are_planned(migration: PlannedMigration) -> bool:
    return any(risk.code == RENAME_RISK for risk in migration.risks)
