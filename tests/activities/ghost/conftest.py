"""A runner on a temporary folder, with the lone server or the topology as its cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.ghost.run import GhostActivities
from activities.mysql.discovery import Discovery
from activities.settings import RunnerSettings
from embedded.mysql import MySQLServer, Topology
from embedded.processes import TemporaryFolder
from embedded.tools import gh_ost
from tests.activities.ghost.scene import RunnerScene, end_every_run
from tests.activities.mysql.house import lone_inventory, settings_for


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """The runner's directory. Whatever still runs there at the end of a test is ended."""
    folder = TemporaryFolder("ghost")
    runs = folder.path / "runs-with-a-name-so-long-that-no-unix-socket-address-could-ever-hold-the-whole-of-it-and-then-some-more"
    yield runs
    end_every_run(runs)
    folder.close()


@pytest.fixture
def runner(run_folder: Path) -> RunnerSettings:
    return RunnerSettings(run_directory=run_folder, gh_ost=str(gh_ost()), host="runner-1", chunk_size=1000)


@pytest.fixture
def lone(mysql_server: MySQLServer, tmp_path: Path, runner: RunnerSettings) -> RunnerScene:
    """Cluster "lone", shard "main": a primary without a replica."""
    settings = settings_for(mysql_server.passwords, lone_inventory(mysql_server, tmp_path))
    return RunnerScene(GhostActivities(runner, settings, Discovery(settings)), runner, settings, mysql_server)


@pytest.fixture
def replicated(mysql_topology: Topology, tmp_path: Path, runner: RunnerSettings) -> RunnerScene:
    """Cluster "production", shard "a": gh-ost reads through the replica."""
    settings = settings_for(mysql_topology.passwords, mysql_topology.write_inventory(tmp_path / "inventory.toml"))
    return RunnerScene(GhostActivities(runner, settings, Discovery(settings)), runner, settings, mysql_topology.production_a)
