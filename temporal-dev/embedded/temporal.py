"""The Temporal development server, on a file, with skeebot's search attributes registered."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.service import RPCError

from embedded.processes import Process, ProcessFailedError, answers, free_port
from workflows.addresses import SEARCH_ATTRIBUTES

NAMESPACE: Final = "default"
_START_SECONDS = 60.0
_DYNAMIC: Final = {
    "frontend.WorkflowTimeSkippingEnabled": "true",
    # A shard's queues read what is new at most 20 times a second, and a development server has one shard: each step of each workflow would
    # wait for the next of those 50 ms.
    "history.transferProcessorMaxPollRPS": "1000",
    "history.timerProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "1000",
}
_KINDS: Final[dict[SearchAttributeIndexedValueType, str]] = {
    SearchAttributeIndexedValueType.KEYWORD: "Keyword",
    SearchAttributeIndexedValueType.KEYWORD_LIST: "KeywordList",
}


class TemporalServer:
    """`temporal server start-dev` in `folder`; what it knows survives `stop`, `kill` and `start`.

    `ui` serves the web interface on `ui_port`. Time skipping is allowed (it happens only where a test asks for it).
    `dynamic` are dynamic configuration values in the server's own spelling (key → JSON).
    """

    def __init__(self, program: Path, folder: Path, *, ui: bool = False, dynamic: Mapping[str, str] | None = None) -> None:
        self.program = program
        self.folder = folder / "temporal"
        self.namespace = NAMESPACE
        self.port = 0
        self.ui_port = 0
        self._ui = ui
        self._dynamic = _DYNAMIC | dict(dynamic or {})
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """`host:port`, as clients and the `temporal` command line want it."""
        return f"127.0.0.1:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.ui_port}"

    def start(self) -> "TemporalServer":
        """Start, or start again on the same ports with the same data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(4):
            if self.port == 0 or attempt:
                self.port, self.ui_port = free_port(), free_port()
            process = Process("the Temporal server", self._argv(), log=self.folder / "server.log")
            try:
                process.wait_until(self._ready, seconds=_START_SECONDS)
            except ProcessFailedError as failed:
                process.stop()
                if "in use" not in str(failed) or attempt == 3:
                    raise
            else:
                self._process = process
                return self
        raise AssertionError("the loop returns or raises")

    def _argv(self) -> list[str]:
        argv = [
            *(str(self.program), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port)),
            *("--db-filename", str(self.folder / "temporal.db")),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=1"),  # twice the throughput
            *(word for key, value in self._dynamic.items() for word in ("--dynamic-config-value", f"{key}={value}")),
            *("--log-level", "warn"),
            *(("--ui-port", str(self.ui_port)) if self._ui else ("--headless",)),
        ]
        for key in SEARCH_ATTRIBUTES:
            argv += ["--search-attribute", f"{key.name}={_KINDS[key.indexed_value_type]}"]
        return argv

    def _ready(self) -> bool:
        return answers(self.port) and asyncio.run(self._serves_our_namespace())

    async def _serves_our_namespace(self) -> bool:
        """A port that answers is not enough: the namespace and the search attributes come a moment later."""
        try:
            client = await asyncio.wait_for(self.client(), timeout=5)
            listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=NAMESPACE))
        except (RPCError, RuntimeError, TimeoutError):
            return False
        return all(key.name in listed.custom_attributes for key in SEARCH_ATTRIBUTES)

    async def client(self) -> Client:
        """A new client of the default namespace, with the SDK's default data converter."""
        return await Client.connect(self.address, namespace=self.namespace)

    def stop(self) -> None:
        """End it in order. Doing it twice is fine."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None
