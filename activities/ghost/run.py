"""gh-ost on this host: start it detached, watch it, release it, stop it, prove it dead. The cut-over is always held until `let_go`."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from temporalio import activity

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.ghost import driver
from activities.ghost.directory import Event, ProcessIdentity, RunDirectory, RunRecord, prepare_root, run_directories
from activities.ghost.driver import GhostSilentError
from activities.ghost.progress import POSTPONING
from activities.ghost.servers import GhostServers
from activities.ghost.starting import find_predecessor, prepare
from activities.ghost.watching import Watch
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
    SpawnGhost,
    WatchGhost,
)

T = TypeVar("T")

LOOK_EVERY_SECONDS: Final = 1.0
GRANT_SECONDS: Final = 20.0
RELEASE_PATIENCE_SECONDS: Final = 12.0
"""gh-ost looks at a release within a second or two. One that it does not take in this time would be taken at some later moment, when
nothing of what was checked need be true any more; it cannot be taken back but by ending the process, which then resumes."""

LOOK_IS_FRESH_SECONDS: Final = 30.0
"""How old the look at the primary may be when the cut-over is let go; the runner may have been away in between."""

PANIC_SECONDS: Final = 10.0
TERM_SECONDS: Final = 5.0
KILL_SECONDS: Final = 10.0
UNWATCHED_SECONDS: Final = 600.0
CARE_EVERY_SECONDS: Final = 60.0
KEEP_RUNS_SECONDS: Final = 30 * 86_400.0


class GhostActivities:
    def __init__(self, runner: RunnerSettings, mysql: MySQLSettings, discovery: Discovery) -> None:
        self._runner = runner
        self._servers = GhostServers(mysql, discovery)

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
            before = await asyncio.to_thread(find_predecessor, ask, self._root, directory, self._runner.host)
            resumed = before if ask.resume else None
            launch = await prepare(ask, resumed, directory, runner=self._runner, servers=self._servers)
            if before is not None and not ask.resume:
                await self._clear_away(before, ask.order)
            started = await _to_the_end(asyncio.to_thread(directory.launch, launch.record, launch.command, lock))
            directory.touch_watched()
            return self._run_of(launch.record, started)

    async def _clear_away(self, before: RunRecord, order: MigrationOrder) -> None:
        """Before a clean start: what the dead predecessor left. Errors: NeedsHuman when it had got as far as the swap."""
        if (await self._servers.standing(order, before.tables)).swapped:
            raise NeedsHuman(
                f"Run {before.run_id} had swapped {before.schema}.{before.table} before it ended, so the change is there already and is"
                " not made again. retry-migration looks at the live table."
            )
        kept = RunDirectory.of(self._root, before.run_id).is_kept()
        await self._servers.drop(order, before.tables, keep_ghost=kept)

    # ── watch

    @activity.defn
    async def watch_ghost(self, ask: WatchGhost) -> GhostSeen:
        """Heartbeats Progress every second until the newest event after after_event; an event that a later one made void is left out.

        Cancelled: leaves at once, and gh-ost alone. After SUCCEEDED only the old table is left of the run's tables, after FAILED none.
        Errors: TryAgain when the primary is away as tables are to be dropped after success.
        """
        watch = Watch(self._directory(ask.run), ask)
        async with _heartbeats(watch):
            await self._own(watch.directory)
            while True:
                seen = await self._look(watch)
                if seen is not None:
                    return seen
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _look(self, watch: Watch) -> GhostSeen | None:
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

    async def _update_progress(self, watch: Watch) -> None:
        watch.progress = watch.last_progress()
        if watch.is_stale():
            try:
                watch.progress = await driver.status(watch.directory.path) or watch.progress
            except GhostSilentError:
                activity.logger.info("gh-ost of run %s says nothing just now", watch.ask.run.run_id)

    async def _guard_primary(self, watch: Watch) -> None:
        """gh-ost looks at neither server_uuid nor read_only (SAFETY §S9): behind a name it may find itself on another server.

        Twice a wrong answer ends the process; a server that is away proves nothing.
        """
        record = watch.directory.record()
        if record is None or not watch.primary_is_due():
            return
        watch.directory.trim_log()
        try:
            changed = await self._servers.primary_changed(record.primary_address, record.primary_uuid)
        except (TryAgain, NeedsHuman) as away:
            activity.logger.info("the primary of run %s cannot be asked: %s", record.run_id, away)
            return
        watch.wrong_primary = watch.wrong_primary + 1 if changed else 0
        if watch.wrong_primary > 1:
            detail = f"The primary has changed: {changed}. gh-ost was ended before the swap."
            watch.directory.note("failure", pid=watch.process.pid, detail=detail)
            watch.process.signal(signal.SIGKILL)

    async def _tidied(self, watch: Watch, seen: GhostSeen) -> GhostSeen:
        """A run that ended by itself leaves nothing but the old table; one that vanished may be resumed, an aborted one is abort's."""
        if seen.event == GhostEvent.VANISHED or watch.is_being_aborted():
            return seen
        if seen.event == GhostEvent.FAILED:
            return replace(seen, detail=seen.detail + await self._drop_what_nobody_needs(watch.ask.run, watch.ask.order))
        await self._servers.tidy(watch.ask.run, watch.ask.order)
        return seen

    async def _drop_what_nobody_needs(self, run: GhostRun, order: MigrationOrder) -> str:
        """ "" or why it could not be done."""
        try:
            await self._servers.tidy(run, order)
        except (TryAgain, NeedsHuman) as wrong:
            return f" (Its tables could not be dropped: {wrong})"
        return ""

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
        as it is: watching tells how. Errors: TryAgain while gh-ost does not hold, lags or does not answer, and where the last look at the
        primary is too long ago.
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
        _see_that_the_look_is_fresh(ask)
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
        if directory.path.exists():
            directory.revoke()
            directory.note("kept" if ask.keep else "abort", pid=process.pid, detail=ask.reason)
        how = await self._end(directory, process, target.table)
        standing, dropped = await self._servers.tidy(ask.run, ask.order, keep_ghost=ask.keep)
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
        await self._servers.await_quiet(ask.run, ask.order)
        problem = await self._why_not_resumable(ask, directory.record())
        if problem and not directory.is_kept():
            problem += await self._drop_what_nobody_needs(ask.run, ask.order)
        return FenceVerdict(fenced=True, resumable=not problem, detail=f"gh-ost (pid {process.pid}) {how}. {problem}".strip())

    async def _why_not_resumable(self, ask: Fence, record: RunRecord | None) -> str:
        """ "" when it is."""
        if record is None:
            return f"Its run directory is gone from {self._runner.host}: start clean."
        if record.primary_uuid != ask.primary.server_uuid:
            return f"It ran with another primary ({record.primary_uuid}): start clean."
        return await self._servers.why_not_resumable(ask.run, ask.order, record.primary_uuid, record.inspected)

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
async def _heartbeats(watch: Watch) -> AsyncIterator[None]:
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


async def _to_the_end(starting: Coroutine[Any, Any, T]) -> T:
    """Its result, or after a cancellation its end: the lock must not be given back while a thread still starts a process with it."""
    doing = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _see_that_the_look_is_fresh(ask: LetGo) -> None:
    """Whoever changes the original after the look loses that change at the swap (SAFETY §S4). Both times are the Temporal server's."""
    info = activity.info()
    age = info.started_time.timestamp() - (ask.looked_at or info.scheduled_time.timestamp())
    if age > LOOK_IS_FRESH_SECONDS:
        raise TryAgain(
            f"The last look at {ask.order.migration.target} is {age:.0f} s old, and a release needs one of the last"
            f" {LOOK_IS_FRESH_SECONDS:.0f} s: nothing was released, and the table is looked at again."
        )


async def _gone(process: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.lives():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


def _newest(events: list[Event], pid: int, names: tuple[str, ...]) -> str:
    return next((event.name for event in reversed(events) if event.pid == pid and event.name in names), "")
