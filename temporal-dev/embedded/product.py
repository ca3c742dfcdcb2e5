"""skeebot itself on the embedded stack: its worker and its webhook door as the processes that an operator would start."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from activities.ghost.directory import run_directories
from embedded.processes import Process, answers, free_port
from embedded.settings_file import GitHubApp, write_settings
from embedded.stack import Stack
from tests.fakes.github import GitHubStandIn

ROOT = Path(__file__).resolve().parents[2]

IN_A_HURRY: Mapping[str, Mapping[str, object]] = {
    "timing": {"snapshot_spacing": 0.2, "narrate_every": 2.0, "release_back_off": 1.0, "retry_preflight": 1.0, "look_again": 30.0},
}
"""Waits fit for people who watch: an operator's defaults are in workflows/timing.py."""


@dataclass(frozen=True)
class Said:
    """What a command line answered."""

    code: int
    out: str
    err: str


class EnrolmentFailedError(Exception):
    """starter.py refused or failed; the text holds the command and its words."""


class Product:
    """Start with `with`; `worker` and `door` are the processes."""

    def __init__(
        self,
        stack: Stack,
        github: GitHubStandIn,
        *,
        overrides: Mapping[str, Mapping[str, object]] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.stack = stack
        self.github = github
        self.folder = folder or stack.folder / "skeebot"
        self.port = free_port()
        self.settings = write_settings(
            self.folder,
            github=GitHubApp(
                api_url=github.base_url,
                html_url=github.html_url,
                app_id=github.app_id,
                private_key=github.private_key,
                webhook_secret=github.webhook_secret,
                app_slug=github.app_slug,
            ),
            topology=stack.mysql,
            tools=stack.tools,
            temporal_address=stack.temporal.address,
            webhook_port=self.port,
            overrides={**IN_A_HURRY, **(overrides or {})},
        )
        self.worker: Process | None = None
        self.door: Process | None = None
        self._starts = 0

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SKEEBOT_SETTINGS": str(self.settings), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def start(self) -> Self:
        self.start_door()
        self.start_worker()
        self.github.send_webhooks_to(f"http://127.0.0.1:{self.port}/webhooks/github")
        return self

    def start_worker(self) -> Process:
        """Returns when it polls."""
        self._starts += 1
        log = self.folder / f"worker-{self._starts}.log"
        self.worker = Process("skeebot worker", [sys.executable, str(ROOT / "worker.py")], log=log, env=self.environment)
        self.worker.wait_until(lambda: log.exists() and "skeebot works" in log.read_text(), seconds=60)
        return self.worker

    def start_door(self) -> Process:
        self.door = Process(
            "skeebot serve", [sys.executable, str(ROOT / "starter.py"), "serve"], log=self.folder / "serve.log", env=self.environment
        )
        self.door.wait_until(lambda: answers(self.port), seconds=60)
        return self.door

    def starter(self, *words: str, seconds: float = 120) -> Said:
        """Type a command of starter.py."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "starter.py"), *words],
            env={**self.environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def enrol(
        self,
        repository: str,
        *,
        owner_team: str,
        databases_team: str,
        directories: Sequence[tuple[str, str, str]],
        environments: Mapping[str, str] | None = None,
    ) -> None:
        """directories: (path, database, schema). environments: name → cluster."""
        places = environments or {"staging": "staging", "production": "production"}
        self._must(
            "add-repo", repository, "--owner-team", owner_team, "--databases-team", databases_team, "--environments", ",".join(places)
        )
        mappings = [
            (path, "--database", database, "--environment", environment, "--cluster", cluster, "--schema", schema)
            for path, database, schema in directories
            for environment, cluster in places.items()
        ]
        with ThreadPoolExecutor(2) as lanes:  # each is a Python of its own, which takes a second to wake up
            list(lanes.map(lambda mapping: self._must("repo-map", repository, *mapping), mappings))

    def _must(self, *words: str) -> None:
        said = self.starter(*words)
        if said.code:
            raise EnrolmentFailedError(f"starter.py {' '.join(words)} answered {said.code}: {said.err or said.out}")

    def worker_log(self) -> str:
        """Of the worker started last; "" before there is one."""
        return self.worker.log.read_text(errors="replace") if self.worker is not None else ""

    def logs(self) -> str:
        """The last lines of every log, for a failure's sake."""
        parts = []
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-60:]
            parts.append(f"── {log.name}\n" + "\n".join(lines))
        return "\n".join(parts)

    def stop(self) -> None:
        for process in (self.door, self.worker):
            if process is not None:
                process.stop()
        self.door = self.worker = None
        end_ghosts(self.folder / "runs")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def end_ghosts(runs: Path) -> None:
    """A gh-ost outlives its worker by design; here nothing may outlive the stack. Each is ended by its own pid and start time."""
    for directory in run_directories(runs):
        process = directory.process()
        if process is not None:
            process.signal(signal.SIGKILL)
