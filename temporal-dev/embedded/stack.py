"""Everything that skeebot needs around it, started side by side and gone without a trace."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from embedded import tools as embedded_tools
from embedded.mysql import SAMPLE_SCHEMAS, Topology, new_topology, wait_for_replica
from embedded.processes import TemporaryFolder
from embedded.seed import seed_shop
from embedded.temporal import TemporalServer
from embedded.tools import Say, Tools, quiet

Part = TypeVar("Part")


class Stack:
    """The MySQL topology and the Temporal server in one temporary folder; a context manager, sync and async alike.

    Choose the parts by `mysql` and `temporal`. `orders` > 0 also creates the sample tables on every primary and seeds
    so many orders. `ui` is Temporal's web interface. About four seconds without seeding, once the tools are cached.
    """

    def __init__(
        self,
        *,
        mysql: bool = True,
        temporal: bool = True,
        ui: bool = False,
        orders: int = 0,
        say: Say = quiet,
    ) -> None:
        self._wants_mysql = mysql
        self._wants_temporal = temporal
        self._ui = ui
        self._orders = orders
        self._say = say
        self._folder: TemporaryFolder | None = None
        self._tools: Tools | None = None
        self._topology: Topology | None = None
        self._temporal: TemporalServer | None = None

    @property
    def folder(self) -> Path:
        """Where everything lives; it goes with the stack."""
        return _started(self._folder, "the stack").path

    @property
    def tools(self) -> Tools:
        return _started(self._tools, "the stack")

    @property
    def mysql(self) -> Topology:
        return _started(self._topology, "MySQL")

    @property
    def temporal(self) -> TemporalServer:
        return _started(self._temporal, "Temporal")

    @property
    def inventory(self) -> Path:
        """The TOML inventory of the clusters, for skeebot's discovery."""
        return self.folder / "inventory.toml"

    def start(self) -> Self:
        """Start what was chosen, side by side. If one part fails the others are stopped and its error is raised."""
        self._tools = embedded_tools.all_tools(self._say)
        self._folder = TemporaryFolder("stack")
        try:
            with ThreadPoolExecutor(2) as lanes:
                parts: list[Future[None]] = []
                if self._wants_mysql:
                    parts.append(lanes.submit(self._start_mysql, self._tools, self._folder.path))
                if self._wants_temporal:
                    parts.append(lanes.submit(self._start_temporal, self._tools, self._folder.path))
            for part in parts:
                part.result()
        except BaseException:
            self.stop()
            raise
        return self

    def _start_mysql(self, tools: Tools, folder: Path) -> None:
        self._topology = new_topology(tools.mysqld, folder / "mysql")
        self._topology.start(SAMPLE_SCHEMAS)
        self._topology.write_inventory(self.inventory)
        self._say(f"MySQL {tools.mysqld.version}: staging, production a (with a replica) and b, workspace")
        if self._orders:
            with ThreadPoolExecutor(2) as lanes:
                list(lanes.map(lambda server: seed_shop(server, orders=self._orders), self._topology.primaries))
            wait_for_replica(self._topology.production_a, self._topology.production_a_replica, seconds=120)
            self._say(f"seeded {self._orders:,} orders on each primary")

    def _start_temporal(self, tools: Tools, folder: Path) -> None:
        self._temporal = TemporalServer(tools.temporal, folder, ui=self._ui)
        self._temporal.start()
        self._say(f"Temporal: {self._temporal.address}" + (f", UI {self._temporal.ui_url}" if self._ui else ""))

    def stop(self) -> None:
        """Stop everything and remove the folder. Doing it twice is fine."""
        if self._temporal is not None:
            self._temporal.kill()  # nothing of it is kept, so there is nothing to tidy up
        if self._topology is not None:
            self._topology.kill()
        if self._folder is not None:
            self._folder.close()
        self._temporal = self._topology = self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.shield(asyncio.to_thread(self.stop))


def _started(part: Part | None, name: str) -> Part:
    if part is None:
        raise RuntimeError(f"{name} was not started")
    return part
