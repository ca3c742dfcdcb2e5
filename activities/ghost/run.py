"""gh-ost on this host: start it detached, watch it, release it, stop it, prove it dead. The cut-over is always held until `let_go`."""

import asyncio
import os
import re
import secrets
import shutil
import signal
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from temporalio import activity

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.ghost import driver, tables
from activities.ghost.command import Alter, Command, Connecting, GhostTables, Throttling, build, ghost_tables, read_alter, unreadable_under
from activities.ghost.directory import ABORTS, BRAKE, Event, ProcessIdentity, RunDirectory, RunRecord, prepare_root, run_directories
from activities.ghost.driver import GhostSilentError
from activities.ghost.progress import POSTPONING, ended_badly, ended_well, last_status, last_words
from activities.mysql.connect import Address, Connection, mysql_errors, open_connection
from activities.mysql.discovery import Discovery
from activities.settings import MySQLSettings, RunnerSettings
from workflows.messages import (
    AbortGhost,
    Fence,
    FenceVerdict,
    GhostEvent,
    GhostRun,
    GhostSeen,
    GhostStopped,
    LetGo,
    MigrationOrder,
    Progress,
    SpawnGhost,
    WatchGhost,
)
from workflows.rules.plan import PlannedMigration, Refusal

LOOK_EVERY_SECONDS: Final = 1.0
STALE_STATUS_SECONDS: Final = 5.0
PRIMARY_EVERY_SECONDS: Final = 10.0
LINGER_SECONDS: Final = 30.0
"""How long a gh-ost may take to end after it said that it did."""

GRANT_SECONDS: Final = 20.0
RELEASE_PATIENCE_SECONDS: Final = 12.0
"""gh-ost looks at a release within a second or two. One that it does not take in this time would be taken at some later moment, when
nothing of what was checked need be true any more; it cannot be taken back but by ending the process, which then resumes."""

PANIC_SECONDS: Final = 10.0
TERM_SECONDS: Final = 5.0
KILL_SECONDS: Final = 10.0
UNWATCHED_SECONDS: Final = 600.0
LOG_TAIL_BYTES: Final = 16_384

RENAME_RISK: Final = "renames-column"
"""The code of the risk by which a plan says that it renames a column; without it gh-ost is not told that it may."""

OLDEST_GHOST: Final = (1, 1, 10)
"""Older ones lose rows (FACTS): below 1.1.8 on unique keys, 1.1.9 on --resume."""

CARE_EVERY_SECONDS: Final = 60.0
KEEP_RUNS_SECONDS: Final = 30 * 86_400.0

_VERDICTS: Final = {"success": GhostEvent.SUCCEEDED, "failure": GhostEvent.FAILED, "vanished": GhostEvent.VANISHED}


class GhostActivities:
    def __init__(self, runner: RunnerSettings, mysql: MySQLSettings, discovery: Discovery) -> None:
        self._runner = runner
        self._mysql = mysql
        self._discovery = discovery

    # ── start

    @activity.defn
    async def spawn_ghost(self, ask: SpawnGhost) -> GhostRun:
        """Start a detached gh-ost, or find the one already started under this run id.

        resume: from the checkpoint of this migration's newest run on this host, whose table names it keeps; the run id may be new.
        A clean start after another run of the same migration drops what that one left.
        Errors: NeedsHuman for a statement or a server that gh-ost must not get; TryAgain when a server is away.
        """
        await asyncio.to_thread(prepare_root, self._root)
        directory = RunDirectory.of(self._root, ask.run_id)
        async with _alone(directory) as lock:
            record, process = directory.record(), directory.process()
            if record is not None and process is not None and (lock is None or not ask.resume):
                return self._run_of(record, process)
            if lock is None:
                raise TryAgain(f"gh-ost of run {ask.run_id} lives, but {directory.path} cannot be read. Look at the runner host.")
            before = await self._predecessor(ask, directory)
            launch = await self._prepare(ask, before if ask.resume else None, directory)
            if before is not None and not ask.resume:
                await self._clear_away(before, ask.order)
            started = await asyncio.to_thread(directory.launch, launch.record, launch.command, lock)
            directory.touch_watched()
            return self._run_of(launch.record, started)

    async def _predecessor(self, ask: SpawnGhost, directory: RunDirectory) -> RunRecord | None:
        """The newest earlier run of the same migration on this host; the fence has been before us, and we look again (SAFETY §S2).

        Errors: NeedsHuman when one lives, or when there is none to resume.
        """
        found = directory.record()
        for other in await asyncio.to_thread(run_directories, self._root):
            record = other.record()
            if other.path == directory.path or record is None or record.migration_id != ask.order.migration_id:
                continue
            if other.lives():
                raise NeedsHuman(f"Run {record.run_id} of the same migration lives on {self._runner.host}. Abort it before another starts.")
            found = record if found is None or record.created_at > found.created_at else found
        if ask.resume and found is None:
            raise NeedsHuman(f"{self._runner.host} knows no run of this migration, so nothing can be resumed here. retry-migration.")
        return found

    async def _clear_away(self, before: RunRecord, order: MigrationOrder) -> None:
        """Before a clean start: what the dead predecessor left. Errors: NeedsHuman when it had got as far as the swap."""
        async with self._on_primary(order) as connection:
            standing = await tables.look(connection, before.schema, before.table, before.tables)
            if standing.swapped:
                raise NeedsHuman(
                    f"Run {before.run_id} had swapped {before.schema}.{before.table} before it ended, so the change is there already and is"
                    " not made again. retry-migration looks at the live table."
                )
            kept = RunDirectory.of(self._root, before.run_id).is_kept()
            await tables.drop_ours(connection, before.schema, before.table, before.tables, keep_ghost=kept)

    async def _prepare(self, ask: SpawnGhost, before: RunRecord | None, directory: RunDirectory) -> "_Launch":
        migration = ask.order.migration
        target = migration.target
        program = await self._program()
        alter = _judged(read_alter(migration.statement, schema=target.schema, table=target.table))
        connecting = await self._look_at_servers(ask, alter)
        names = before.tables if before is not None else ghost_tables(target.table, ask.run_id)
        own = directory.record()
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
            brake_file=str(self._root / BRAKE),
            connecting=connecting,
            throttling=Throttling(
                chunk_size=self._runner.chunk_size,
                max_lag_millis=self._runner.max_lag_millis,
                cut_over_lock_timeout_seconds=self._runner.cut_over_lock_timeout_seconds,
                nice_ratio=self._runner.nice_ratio,
                max_load=self._runner.max_load,
                critical_load=self._runner.critical_load,
            ),
            user=self._mysql.ghost.user,
            password=self._mysql.ghost.secret(),
            approve_renames=_renames_are_planned(migration),
            resume=ask.resume,
        )
        return _Launch(record, command)

    async def _program(self) -> str:
        program = shutil.which(self._runner.gh_ost)
        if program is None:
            raise NeedsHuman(f"gh-ost is not at {self._runner.gh_ost!r} on {self._runner.host}. Install it, or correct runner.gh_ost.")
        asked = await asyncio.create_subprocess_exec(program, "--version", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        said = (await asked.communicate())[0].decode(errors="replace").strip()
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said)
        if found is None or tuple(map(int, found.groups())) < OLDEST_GHOST:
            wanted = ".".join(map(str, OLDEST_GHOST))
            raise NeedsHuman(f"{program} on {self._runner.host} says that it is {said or 'nothing'!r}; gh-ost {wanted} or later is needed.")
        return program

    async def _look_at_servers(self, ask: SpawnGhost, alter: Alter) -> Connecting:
        """The pinned primary (SAFETY §S9), and what gh-ost is not asked to find out by itself."""
        target = ask.order.migration.target
        verified = await self._discovery.verified(target.cluster, target.shard)
        if verified.primary != ask.primary:
            raise NeedsHuman(
                f"The primary of {target.cluster}/{target.shard} is {verified.primary.address} ({verified.primary.server_uuid}) now, not"
                f" {ask.primary.address} ({ask.primary.server_uuid}) as before the start. retry-migration looks again."
            )
        async with self._as_ghost(verified.shard.primary) as connection:
            primary = await _read_manner(connection)
        inspected, manner = verified.shard.replica, primary
        if inspected is not None:
            async with self._as_ghost(inspected) as connection:
                manner = await _read_manner(connection)
        where = inspected or verified.shard.primary
        if manner.binlog != "ROW/FULL":
            raise NeedsHuman(f"{where} writes binary logs as {manner.binlog}; gh-ost needs ROW/FULL (binlog_format, binlog_row_image).")
        _judged(unreadable_under(alter.clause, primary.sql_mode) or alter)
        authority = self._mysql.tls_ca_file
        return Connecting(
            inspect=(where.host, where.port),
            primary=str(verified.shard.primary) if inspected is not None else "",
            gtid=manner.gtid,
            tls=authority is not None or (primary.tls and manner.tls),
            tls_ca_file=str(authority.absolute()) if authority is not None else "",
        )

    # ── watch

    @activity.defn
    async def watch_ghost(self, ask: WatchGhost) -> GhostSeen:
        """Heartbeats Progress every second until the newest event after after_event; an event that a later one made void is left out.

        Cancelled: leaves at once, and gh-ost alone. After SUCCEEDED only the old table is left of the run's tables, after FAILED none.
        Errors: TryAgain when the primary is away as tables are to be dropped after success.
        """
        watch = _Watch(self._directory(ask.run), ask)
        async with _heartbeats(watch):
            await self._own(watch.directory)
            while True:
                seen = await self._look(watch)
                if seen is not None:
                    return seen
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _look(self, watch: "_Watch") -> GhostSeen | None:
        watch.directory.touch_watched()
        lives = watch.process.lives()  # before the events: what a dead process said, it has said
        if not lives:
            return await self._tidied(watch, watch.verdict())
        holding = watch.holding()
        if holding is not None:
            return holding
        if watch.overstays():
            watch.process.signal(signal.SIGKILL)
        await self._update_progress(watch)
        await self._guard_primary(watch)
        return None

    async def _update_progress(self, watch: "_Watch") -> None:
        said = last_status(watch.directory.log(last_bytes=LOG_TAIL_BYTES))
        if watch.directory.log_age_seconds() > STALE_STATUS_SECONDS and watch.may_ask():
            try:
                said = await driver.status(watch.directory.path) or said
            except GhostSilentError:
                activity.logger.info("gh-ost of run %s says nothing just now", watch.ask.run.run_id)
        watch.progress = said or watch.progress

    async def _guard_primary(self, watch: "_Watch") -> None:
        """gh-ost looks at neither server_uuid nor read_only (SAFETY §S9): behind a name it may find itself on another server.

        Twice a wrong answer ends the process; a server that is away proves nothing.
        """
        record = watch.directory.record()
        if record is None or not watch.primary_is_due():
            return
        watch.directory.trim_log()
        try:
            async with self._as_ghost(_address(record.primary_address)) as connection:
                row = await connection.row("SELECT @@server_uuid, @@global.read_only")
        except (TryAgain, NeedsHuman) as away:
            activity.logger.info("the primary of run %s cannot be asked: %s", record.run_id, away)
            return
        if row is None or (str(row[0]) == record.primary_uuid and not row[1]):
            watch.wrong_primary = 0
            return
        watch.wrong_primary += 1
        if watch.wrong_primary > 1:
            said = f"{record.primary_address} is server {row[0]} ({'read-only' if row[1] else 'writable'}) now, not {record.primary_uuid}"
            watch.directory.note(
                "failure", pid=watch.process.pid, detail=f"The primary has changed: {said}. gh-ost was ended before the swap."
            )
            watch.process.signal(signal.SIGKILL)

    async def _tidied(self, watch: "_Watch", seen: GhostSeen) -> GhostSeen:
        """A run that ended by itself leaves nothing but the old table; one that vanished may be resumed, an aborted one is abort's."""
        if seen.event == GhostEvent.VANISHED or watch.is_being_aborted():
            return seen
        if seen.event == GhostEvent.FAILED:
            return replace(seen, detail=seen.detail + await self._drop_what_nobody_needs(watch.ask.run, watch.ask.order))
        await self._drop_what_is_left(watch.ask.run, watch.ask.order)
        return seen

    async def _drop_what_is_left(self, run: GhostRun, order: MigrationOrder) -> None:
        target = order.migration.target
        names = GhostTables.of(run.ghost_table)
        async with self._on_primary(order) as connection:
            await tables.await_quiet(connection, run.pid, target.schema, names)
            await tables.drop_ours(connection, target.schema, target.table, names)

    async def _own(self, directory: RunDirectory) -> None:
        """Somebody watches again: let it go on where scan_runs had paused it."""
        directory.touch_watched()
        if directory.unowned:
            try:
                await driver.no_throttle(directory.path)
            except GhostSilentError as silent:
                activity.logger.warning("gh-ost was paused because nobody watched, and cannot be told to go on: %s", silent)
            directory.set_unowned(False)

    # ── release

    @activity.defn
    async def let_go(self, ask: LetGo) -> None:
        """Allow one attempt at the cut-over; a failed attempt holds again, and the next one needs a new token.

        token: unique per release; one that was used before changes nothing, so a retry never releases twice. A run that has ended is left
        as it is: watching tells how. Errors: TryAgain while gh-ost does not hold, lags or does not answer.
        """
        directory = self._directory(ask.run)
        process = ProcessIdentity.of_run(ask.run.pid, ask.run.started)
        record = directory.record()
        if record is None:
            raise NeedsHuman(
                f"The run directory of {ask.run.run_id} is gone from {self._runner.host}: the cut-over cannot be released. Abort."
            )
        if not process.lives():
            return
        if directory.was_used(ask.token):
            await self._see_it_taken(directory, process, record)
            return
        await self._await_readiness(directory)
        directory.grant(record.hint, ask.token, seconds=GRANT_SECONDS)
        try:
            taken, answer = await driver.unpostpone(directory.path, record.table)
        except GhostSilentError as silent:
            if not directory.was_used(ask.token):
                raise TryAgain(f"{silent}. The release will be tried again.") from silent
            taken, answer = True, ""  # it obeyed, and then could not write its status
        finally:
            directory.revoke()
        if not taken:
            directory.give_back(ask.token)
            raise TryAgain(f"gh-ost did not take the release of {record.schema}.{record.table}: {answer[-300:]}. It will be tried again.")
        await self._see_it_taken(directory, process, record)

    async def _await_readiness(self, directory: RunDirectory) -> None:
        """A release is remembered by gh-ost until its lag allows the attempt, so it is given only when there is no lag."""
        try:
            said = await driver.status(directory.path)
        except GhostSilentError as silent:
            raise TryAgain(f"{silent}. The release will be tried again.") from silent
        limit = min(self._runner.max_lag_millis / 1000, float(self._runner.cut_over_lock_timeout_seconds))
        if said is None or said.phase != POSTPONING:
            raise TryAgain(
                f"gh-ost does not hold its cut-over now ({said.phase if said else 'no status'}). The release will be tried again."
            )
        if said.lag_seconds is None or said.lag_seconds > limit:
            raise TryAgain(f"gh-ost lags {said.lag_seconds} s behind; a release needs less than {limit} s. It will be tried again.")

    async def _see_it_taken(self, directory: RunDirectory, process: ProcessIdentity, record: RunRecord) -> None:
        deadline = time.monotonic() + RELEASE_PATIENCE_SECONDS
        while time.monotonic() < deadline and process.lives():
            try:
                said = await driver.status(directory.path, patience_seconds=2.0)
            except GhostSilentError:
                said = None
            if said is not None and said.phase != POSTPONING:
                return
            if _newest(directory.events(), process.pid, ("released", "begin-postponed")) == "begin-postponed":
                return  # tried, failed, and it holds again
            await asyncio.sleep(0.2)
        if process.lives():
            directory.note("withdrawn", pid=process.pid, detail=f"not taken within {RELEASE_PATIENCE_SECONDS:.0f} s")
            process.signal(signal.SIGKILL)
            await _gone(process, KILL_SECONDS)
            activity.logger.warning("gh-ost of run %s was ended: it did not take its release in time, and might later", record.run_id)

    # ── stop

    @activity.defn
    async def abort_ghost(self, ask: AbortGhost) -> GhostStopped:
        """Stop a run before its swap: process dead, its tables gone, the original as it was; for a dead run, the tables alone.

        keep: the ghost table stays for a person to look at. swapped: too late, the table had been swapped; the old one stays.
        Errors: TryAgain when the primary is away.
        """
        directory = self._directory(ask.run)
        process = ProcessIdentity.of_run(ask.run.pid, ask.run.started)
        target = ask.order.migration.target
        names = GhostTables.of(ask.run.ghost_table)
        if directory.path.exists():
            directory.revoke()
            directory.note("kept" if ask.keep else "abort", pid=process.pid, detail=ask.reason)
        how = await self._end(directory, process, target.table)
        async with self._on_primary(ask.order) as connection:
            await tables.await_quiet(connection, ask.run.pid, target.schema, names)
            standing = await tables.look(connection, target.schema, target.table, names)
            dropped = await tables.drop_ours(connection, target.schema, target.table, names, keep_ghost=ask.keep)
        if not standing.original:
            raise OurBug(f"{target.schema}.{target.table} is missing after the abort of run {ask.run.run_id}; {standing}. Look at once.")
        return GhostStopped(dead=True, swapped=standing.swapped, detail=f"{how}; dropped {', '.join(dropped) or 'nothing'}")

    async def _end(self, directory: RunDirectory, process: ProcessIdentity, table: str) -> str:
        """Politely, firmly, surely. Errors: TryAgain when even KILL does not end it (it hangs in the kernel)."""
        if not process.lives():
            return "gh-ost had ended"
        try:
            await driver.panic(directory.path, table)
            if await _gone(process, PANIC_SECONDS):
                return "gh-ost ended when asked"
        except GhostSilentError as silent:
            activity.logger.info("no panic over the socket: %s", silent)
        for number, patience in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            process.signal(number)
            if await _gone(process, patience):
                return f"gh-ost ended by {number.name}"
        raise TryAgain(f"gh-ost (pid {process.pid} on {self._runner.host}) does not end, not even by SIGKILL. Look at that host.")

    @activity.defn
    async def fence(self, ask: Fence) -> FenceVerdict:
        """Prove the old process dead on its host, ending it if it lives, and its sessions gone from the primary (SAFETY §S2).

        resumable: same primary, not swapped, a checkpoint, and no binary log purged since. What cannot be resumed is dropped.
        Errors: TryAgain when the primary is away.
        """
        directory = self._directory(ask.run)
        process = ProcessIdentity.of_run(ask.run.pid, ask.run.started)
        if directory.path.exists():
            directory.revoke()
        how = "was dead"
        if process.lives():
            process.signal(signal.SIGKILL)
            if not await _gone(process, KILL_SECONDS):
                return FenceVerdict(
                    fenced=False, detail=f"gh-ost (pid {process.pid} on {self._runner.host}) does not end, not even by SIGKILL."
                )
            how = "was killed"
        problem = await self._why_not_resumable(ask, directory.record())
        if problem and not directory.is_kept():
            problem += await self._drop_what_nobody_needs(ask.run, ask.order)
        return FenceVerdict(fenced=True, resumable=not problem, detail=f"gh-ost (pid {process.pid}) {how}. {problem}".strip())

    async def _drop_what_nobody_needs(self, run: GhostRun, order: MigrationOrder) -> str:
        """ "" or why it could not be done."""
        try:
            await self._drop_what_is_left(run, order)
        except (TryAgain, NeedsHuman) as wrong:
            return f" (Its tables could not be dropped: {wrong})"
        return ""

    async def _why_not_resumable(self, ask: Fence, record: RunRecord | None) -> str:
        """ "" when it is."""
        target = ask.order.migration.target
        names = GhostTables.of(ask.run.ghost_table)
        async with self._on_primary(ask.order) as connection:
            await tables.await_quiet(connection, ask.run.pid, target.schema, names)
            with mysql_errors(connection.address, f"looking for a checkpoint of {target.schema}.{target.table}"):
                uuid = await connection.value("SELECT @@server_uuid")
                standing = await tables.look(connection, target.schema, target.table, names)
                checkpoint = await tables.has_checkpoint(connection, target.schema, names)
        if uuid != ask.primary.server_uuid or (record is not None and uuid != record.primary_uuid):
            return f"The primary is another server now ({uuid}): start clean."
        if standing.swapped:
            return "The table had been swapped already: look at the schema."
        if not (standing.ghost and standing.changelog and checkpoint):
            return "It left no checkpoint: start clean."
        if record is None:
            return f"Its run directory is gone from {self._runner.host}: start clean."
        return await self._why_logs_do_not_reach(_address(record.inspected), checkpoint)

    async def _why_logs_do_not_reach(self, inspected: Address, checkpoint: str) -> str:
        """gh-ost skips purged binary logs in silence (FACTS)."""
        async with self._as_ghost(inspected) as connection:
            with mysql_errors(inspected, "comparing the checkpoint with the purged binary logs"):
                if await connection.value("SELECT @@global.gtid_mode") != "ON":
                    return "Without GTIDs nobody can tell whether binary logs are missing: start clean."
                reaches = await connection.value("SELECT GTID_SUBSET(@@global.gtid_purged, %s)", (checkpoint,))
        return "" if reaches else f"Binary logs since its checkpoint are purged on {inspected}: start clean."

    # ── together

    async def care_for_runs(self) -> None:
        """Never ends: scan_runs every minute, and forgetting the directories of runs that ended a month ago. A task beside the workers."""
        while True:
            await self.scan_runs()
            await asyncio.to_thread(self._forget_old_runs)
            await asyncio.sleep(CARE_EVERY_SECONDS)

    def _forget_old_runs(self) -> None:
        for directory in run_directories(self._root):
            if not directory.lives() and directory.unwatched_seconds() > KEEP_RUNS_SECONDS:
                shutil.rmtree(directory.path, ignore_errors=True)

    async def scan_runs(self, *, unwatched_seconds: float = UNWATCHED_SECONDS) -> tuple[str, ...]:
        """Pause every gh-ost of this host that nobody has watched for so long; the next watcher lets it go on. Answers their run ids.

        For the start of a runner's worker, and now and then after it.
        """
        paused = []
        for directory in await asyncio.to_thread(run_directories, self._root):
            record = directory.record()
            if record is None or not directory.lives() or directory.unowned or directory.unwatched_seconds() < unwatched_seconds:
                continue
            try:
                await driver.throttle(directory.path)
            except GhostSilentError:
                continue  # not far enough to be paused, or past it
            directory.set_unowned(True)
            paused.append(record.run_id)
        return tuple(paused)

    @property
    def _root(self) -> Path:
        return Path(os.path.abspath(self._runner.run_directory))  # noqa: PTH100 - absolute without following links

    def _directory(self, run: GhostRun) -> RunDirectory:
        if run.host != self._runner.host:
            raise OurBug(f"Run {run.run_id} is on {run.host}, and this is {self._runner.host}: the activity went to a wrong queue.")
        return RunDirectory.of(self._root, run.run_id)

    def _run_of(self, record: RunRecord, process: ProcessIdentity) -> GhostRun:
        return GhostRun(
            run_id=record.run_id,
            host=self._runner.host,
            pid=process.pid,
            started=process.mark,
            ghost_table=record.tables.ghost,
            changelog_table=record.tables.changelog,
            checkpoint_table=record.tables.checkpoint,
            old_table=record.tables.old,
        )

    @asynccontextmanager
    async def _on_primary(self, order: MigrationOrder) -> AsyncIterator[Connection]:
        target = order.migration.target
        shard = await self._discovery.shard(target.cluster, target.shard)
        async with self._as_ghost(shard.primary) as connection:
            with mysql_errors(shard.primary, f"looking after gh-ost's tables of {target.schema}.{target.table}"):
                yield connection

    @asynccontextmanager
    async def _as_ghost(self, address: Address) -> AsyncIterator[Connection]:
        async with await open_connection(
            address, self._mysql.ghost, self._mysql, read_timeout=600.0, program="skeebot gh-ost"
        ) as connection:
            with mysql_errors(address, "as the gh-ost account"):
                yield connection


@dataclass(frozen=True)
class _Launch:
    record: RunRecord
    command: Command


class _Watch:
    """What one watcher knows of its run."""

    def __init__(self, directory: RunDirectory, ask: WatchGhost) -> None:
        self.directory = directory
        self.ask = ask
        self.process = ProcessIdentity.of_run(ask.run.pid, ask.run.started)
        self.progress = Progress()
        self.wrong_primary = 0
        self._asked_at = time.monotonic()
        self._primary_at = time.monotonic()
        self._ended_at: float | None = None

    def _events(self) -> list[Event]:
        return [event for event in self.directory.events() if event.pid == self.process.pid]

    def holding(self) -> GhostSeen | None:
        """It holds, and no release is under way."""
        newest = [event for event in self._events() if event.name in ("begin-postponed", "released", *_VERDICTS)][-1:]
        for event in newest:
            if event.name == "begin-postponed" and event.number > self.ask.after_event:
                return GhostSeen(GhostEvent.HOLDING, event.number, progress=self._last_progress())
        return None

    def verdict(self) -> GhostSeen:
        """How it ended: by its own word, by its log, or without a word (then that is noted, so that it has a number)."""
        log = self.directory.log()
        if not self.directory.path.exists():
            return GhostSeen(
                GhostEvent.VANISHED, self.ask.after_event + 1, detail=f"{_without_a_word(self.process.pid)} So is its directory."
            )
        if not any(event.name in _VERDICTS for event in self._events()):
            ended = "success" if ended_well(log) else "failure" if ended_badly(log) else "vanished"
            self.directory.note(ended, pid=self.process.pid)
        event = next(event for event in reversed(self._events()) if event.name in _VERDICTS)
        verdict = _VERDICTS[event.name]
        detail = "" if verdict == GhostEvent.SUCCEEDED else event.detail or last_words(log) or _without_a_word(self.process.pid)
        return GhostSeen(verdict, event.number, detail=detail, progress=self._last_progress())

    def overstays(self) -> bool:
        """It said long ago that it was through, and is still there."""
        if self._ended_at is None and any(event.name in _VERDICTS for event in self._events()):
            self._ended_at = time.monotonic()
        return self._ended_at is not None and time.monotonic() - self._ended_at > LINGER_SECONDS

    def is_being_aborted(self) -> bool:
        return any(event.name in ABORTS for event in self._events())

    def may_ask(self) -> bool:
        due = time.monotonic() - self._asked_at > STALE_STATUS_SECONDS
        self._asked_at = time.monotonic() if due else self._asked_at
        return due

    def primary_is_due(self) -> bool:
        due = time.monotonic() - self._primary_at > PRIMARY_EVERY_SECONDS
        self._primary_at = time.monotonic() if due else self._primary_at
        return due

    def _last_progress(self) -> Progress:
        return last_status(self.directory.log(last_bytes=LOG_TAIL_BYTES)) or self.progress


@dataclass(frozen=True)
class _Manner:
    """How a server does what gh-ost depends on. binlog: "format/row image"."""

    binlog: str
    gtid: bool
    sql_mode: str
    tls: bool


async def _read_manner(connection: Connection) -> _Manner:
    row = await connection.row(
        "SELECT @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, @@global.gtid_mode, @@global.enforce_gtid_consistency,"
        " @@global.sql_mode"
    )
    cipher = await connection.row("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    assert row is not None  # noqa: S101 - a SELECT without a table has one row
    on, form, image, gtid, consistent, sql_mode = row
    return _Manner(
        binlog=f"{form}/{image}".upper() if on else "none",
        gtid=gtid == "ON" and str(consistent) in ("ON", "1"),
        sql_mode=str(sql_mode),
        tls=bool(cipher and cipher[1]),
    )


@asynccontextmanager
async def _heartbeats(watch: _Watch) -> AsyncIterator[None]:
    """While other things may take their time."""

    async def beat() -> None:
        while True:
            activity.heartbeat(watch.progress)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


@asynccontextmanager
async def _alone(directory: RunDirectory) -> AsyncIterator[int | None]:
    """RunDirectory.alone, waiting in a thread."""
    held = directory.alone()
    lock = await asyncio.to_thread(held.__enter__)
    try:
        yield lock
    finally:
        held.__exit__(None, None, None)


async def _gone(process: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.lives():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


def _judged(answer: Alter | Refusal) -> Alter:
    if isinstance(answer, Refusal):
        raise NeedsHuman(f"{answer.what} {answer.next}")
    return answer


def _renames_are_planned(migration: PlannedMigration) -> bool:
    return any(risk.code == RENAME_RISK for risk in migration.risks)


def _newest(events: list[Event], pid: int, names: tuple[str, ...]) -> str:
    return next((event.name for event in reversed(events) if event.pid == pid and event.name in names), "")


def _without_a_word(pid: int) -> str:
    return f"gh-ost (pid {pid}) is gone without a word: killed, out of memory, or its host went down."


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))
