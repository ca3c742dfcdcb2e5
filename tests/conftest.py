"""Real parts for the tests, each started at most once per test process and only if a test asks for it.

Servers listen on free loopback ports, live in a temporary folder and go when the test process does, however it ends.
Under xdist each worker has its own: that costs a second or two, and nobody waits for anybody.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

from embedded import tools as embedded_tools
from embedded.mysql import MySQLServer, Schema, Topology, new_topology, new_workspace
from embedded.processes import TemporaryFolder
from embedded.temporal import TemporalServer
from embedded.tools import Tools

# The same examples everywhere, and no clock: a busy machine is no counterexample. Search for others with more examples and a seed.
settings.register_profile("skeebot", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("skeebot")

TOGETHER = {
    "tests/demonstration/test_demo.py": "the demo",
    "tests/end_to_end/test_safety.py": "a company",
    "tests/end_to_end/test_main_path.py": "a company",
    "tests/end_to_end/": "another company",
}
"""Tests of one process each, by the start of their names: the demo is played once, and two companies serve all end-to-end tests."""

_numbers = itertools.count(1)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # a class without types
    """Whoever is free takes the next test. (xdist 3.8 has a mark for groups, which pytest 9.2 does not hand on.)"""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for place, group in TOGETHER.items() if nodeid.startswith(place)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Every program, ready to run. The first use ever downloads and builds."""
    return embedded_tools.all_tools()


@pytest.fixture(scope="session")
def stack_folder() -> Iterator[Path]:
    """A folder with a short path for everything that the session's servers keep."""
    folder = TemporaryFolder("tests")
    yield folder.path
    folder.close()


@pytest.fixture(scope="session")
def mysql_server(stack_folder: Path) -> Iterator[MySQLServer]:
    """A lone primary with every account of a cluster and no schema."""
    server = MySQLServer(embedded_tools.mysqld(), stack_folder, "lone")
    yield server.start()
    server.kill()


@pytest.fixture(scope="session")
def workspace_server(stack_folder: Path) -> Iterator[MySQLServer]:
    """A disposable server for diffs; its one account is `skeebot_workspace`."""
    server = new_workspace(embedded_tools.mysqld(), stack_folder / "scratch")
    yield server.start()
    server.kill()


@pytest.fixture(scope="session")
def mysql_topology(stack_folder: Path) -> Iterator[Topology]:
    """Staging, production a (primary and replica) and b, and a workspace; `shop_orders` and `shop_catalog` are empty."""
    topology = new_topology(embedded_tools.mysqld(), stack_folder / "topology")
    yield topology.start()
    topology.kill()


@pytest.fixture(scope="session")
def temporal_server(stack_folder: Path) -> Iterator[TemporalServer]:
    """A Temporal development server with our search attributes and without its web interface."""
    server = TemporalServer(embedded_tools.temporal(), stack_folder)
    yield server.start()
    server.kill()


@pytest.fixture
def fresh_schema(mysql_server: MySQLServer) -> Iterator[Schema]:
    """A new, empty schema on `mysql_server`, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    mysql_server.create_schema(name)
    yield Schema(name, mysql_server)
    mysql_server.drop_schema(name)
