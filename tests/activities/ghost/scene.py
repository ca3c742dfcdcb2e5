"""What the tests of gh-ost act with: a table with rows, runs of it, and looks at what is left."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.ghost.directory import RunDirectory
from activities.ghost.run import GhostActivities
from activities.mysql.discovery import Discovery
from activities.settings import MySQLSettings, RunnerSettings
from embedded.mysql import MySQLServer, Schema
from tests.activities.mysql.house import an_order, identity_of
from workflows.messages import (
    AbortGhost,
    Fence,
    FenceVerdict,
    GhostRun,
    GhostSeen,
    GhostStopped,
    LetGo,
    MigrationOrder,
    Progress,
    SpawnGhost,
    WatchGhost,
)

ADD_NOTE = "ALTER TABLE `parcels` ADD COLUMN `note` varchar(40) NOT NULL DEFAULT 'none'"


@dataclass
class RunnerScene:
    """One runner and the server that it works on."""

    ghosts: GhostActivities
    runner: RunnerSettings
    settings: MySQLSettings
    server: MySQLServer

    def order(self, schema: Schema, statement: str = ADD_NOTE, **changes: Any) -> MigrationOrder:
        return an_order(schema, "parcels", statement, **changes)

    async def spawn(self, order: MigrationOrder, *, run_id: str = "run-1", resume: bool = False) -> GhostRun:
        ask = SpawnGhost(run_id=run_id, order=order, primary=identity_of(self.server), resume=resume)
        return await ActivityEnvironment().run(self.ghosts.spawn_ghost, ask)

    async def watch(self, run: GhostRun, order: MigrationOrder, *, after: int = 0, seconds: float = 60) -> GhostSeen:
        async with asyncio.timeout(seconds):
            return await ActivityEnvironment().run(self.ghosts.watch_ghost, WatchGhost(run, order, after))

    async def let_go(
        self, run: GhostRun, order: MigrationOrder, release: str = "release-1", *, looked_at: float = 0.0, waited: float = 0.0
    ) -> None:
        """waited: seconds in which no runner took it up."""
        environment = ActivityEnvironment()
        asked_at = datetime.now(UTC)
        environment.info = replace(environment.info, scheduled_time=asked_at, started_time=asked_at + timedelta(seconds=waited))
        await environment.run(self.ghosts.let_go, LetGo(run, order, release, looked_at))

    async def abort(self, run: GhostRun, order: MigrationOrder, *, keep: bool = False) -> GhostStopped:
        return await ActivityEnvironment().run(self.ghosts.abort_ghost, AbortGhost(run, order, "a test says so", keep))

    async def fence(self, run: GhostRun, order: MigrationOrder) -> FenceVerdict:
        return await ActivityEnvironment().run(self.ghosts.fence, Fence(run, order, identity_of(self.server)))

    def directory(self, run: GhostRun) -> RunDirectory:
        return RunDirectory.of(self.runner.run_directory, run.run_id)

    def with_settings(self, **changes: Any) -> "RunnerScene":
        runner = self.runner.model_copy(update=changes)
        return replace(self, runner=runner, ghosts=GhostActivities(runner, self.settings, Discovery(self.settings)))

    def on_another_host(self, folder: Path) -> "RunnerScene":
        return self.with_settings(host="runner-2", run_directory=folder)

    def events(self, run: GhostRun) -> list[str]:
        return [event.name for event in self.directory(run).events()]


@dataclass
class Heard:
    """A watcher in the background, and what it heartbeats."""

    environment: ActivityEnvironment = field(default_factory=ActivityEnvironment)
    progress: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment.on_heartbeat = lambda *details: self.progress.append(details[0])

    def start(self, scene: RunnerScene, run: GhostRun, order: MigrationOrder, *, after: int = 0) -> "asyncio.Task[GhostSeen]":
        return asyncio.create_task(self.environment.run(scene.ghosts.watch_ghost, WatchGhost(run, order, after)))


def parcels(schema: Schema, rows: int) -> None:
    """A table with this many rows (rounded up to a power of two times a hundred)."""
    schema.run("CREATE TABLE parcels (id bigint NOT NULL AUTO_INCREMENT, weight int NOT NULL, city varchar(30) NULL, PRIMARY KEY (id))")
    schema.run("INSERT INTO parcels (weight, city) VALUES " + ", ".join(f"({n}, 'city {n % 7}')" for n in range(100)))
    filled = 100
    while filled < rows:
        schema.run("INSERT INTO parcels (weight, city) SELECT weight + %s, city FROM parcels", filled)
        filled *= 2


def tables_of(schema: Schema) -> set[str]:
    return {
        str(row["TABLE_NAME"]) for row in schema.run("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    }


def columns_of(schema: Schema, table: str = "parcels") -> list[str]:
    return [str(row["Field"]) for row in schema.run(f"SHOW COLUMNS FROM `{table}`")]


def checksum(schema: Schema, table: str) -> tuple[int, int]:
    """Count and an order-free sum over the columns that both tables have."""
    row = schema.run(f"SELECT COUNT(*) AS n, COALESCE(SUM(CRC32(CONCAT_WS('#', id, weight, city))), 0) AS s FROM `{table}`")[0]
    return int(row["n"]), int(row["s"])


async def until(what: Callable[[], Any], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        await asyncio.sleep(0.05)


def end_every_run(folder: Path) -> None:
    """By what each process wrote down itself: a test may have spoilt the record."""
    for path in folder.glob("*/process"):
        process = RunDirectory(path.parent).process()
        if process is not None:
            process.signal(signal.SIGKILL)
            deadline = time.monotonic() + 10
            while process.lives() and time.monotonic() < deadline:
                time.sleep(0.02)


def slowly(scene: RunnerScene) -> RunnerScene:
    """So slow that a test can act while it copies."""
    return scene.with_settings(chunk_size=10, nice_ratio=20.0)
