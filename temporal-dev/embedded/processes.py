"""Start programs, wait until they answer, and stop them by their own id; nothing outlives the Python that began it."""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from embedded import guardian

_POLL_SECONDS = 0.03


class ProcessFailedError(Exception):
    """A program that did not start, or ended by itself. The text names it and shows the end of its log."""


class Process:
    """One running program, leader of its own session, its output in `log`.

    Start it by constructing; `stop` ends it and everything it started in its group.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                self._popen = subprocess.Popen(
                    list(argv),
                    env=dict(env) if env is not None else None,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as problem:
                raise ProcessFailedError(f"{name} could not be started ({argv[0]}): {problem}") from problem
        _running[self.pid] = self
        _tell_guardian(f"watch {self.pid}")

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until `ready()`; raises ProcessFailedError if the program ends first or the deadline passes."""
        deadline = time.monotonic() + seconds
        while not ready():
            if (code := self.returncode) is not None:
                self.stop()
                raise ProcessFailedError(f"{self.name} ended with exit code {code} while starting:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailedError(f"{self.name} was not ready within {seconds:.0f} s; its log ends:\n{self.tail()}")
            time.sleep(_POLL_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone; a program that has ended is left in peace."""
        self._popen.send_signal(number)

    def stop(self, *, seconds: float = 10.0) -> None:
        """TERM, and KILL to its whole group after `seconds`. Doing it twice is fine."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """KILL its whole group at once, as a crash would."""
        if self.pid in _running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)  # the leader may be gone and its children not
            self._popen.wait()
            _running.pop(self.pid, None)
            _tell_guardian(f"forget {self.pid}")


def free_port() -> int:
    """A TCP port nobody listens on at 127.0.0.1 just now. Never the same twice from one process.

    Another process may still take it before you do: a server that finds its port in use is started again on another.
    """
    with _ports_lock:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in _ports_given:
                _ports_given.add(port)
                return port


def answers(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TemporaryFolder:
    """A folder with a short path (sockets allow about 100 bytes) that goes when closed, or when this Python dies."""

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"skeebot-{name}-", dir=_short_root()))
        _tell_guardian(f"folder {self.path}")

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        _tell_guardian(f"kept {self.path}")

    def keep(self) -> None:
        """Leave the folder where it is, whatever happens."""
        _tell_guardian(f"kept {self.path}")


def _short_root() -> Path:
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= 20 else Path("/tmp")  # noqa: S108 - mkdtemp makes the folder ours alone


_ports_lock = threading.Lock()
_ports_given: set[int] = set()
_running: dict[int, Process] = {}
_guardian_lock = threading.Lock()
_guardian: subprocess.Popen[str] | None = None
_guardian_of: int | None = None


def _tell_guardian(line: str) -> None:
    global _guardian, _guardian_of  # noqa: PLW0603 - one guardian per process, for the life of the process
    with _guardian_lock:
        if _guardian is None or _guardian_of != os.getpid():
            _guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            _guardian_of = os.getpid()
        assert _guardian.stdin is not None
        _guardian.stdin.write(line + "\n")
        _guardian.stdin.flush()


@atexit.register
def _stop_what_still_runs() -> None:
    if _guardian_of != os.getpid():
        return  # a fork of the process that started them: they are not ours to stop
    for process in list(_running.values()):
        process.signal(signal.SIGTERM)  # all at once, so that they end side by side
    for process in list(_running.values()):
        process.stop()
