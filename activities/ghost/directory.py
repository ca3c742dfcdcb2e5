"""One run on this host: its directory, its process, and how both are found again.

A run directory is 0700 and holds: run.json (what was ordered, the names owned), process (pid, start time, boot: written by the
process itself before it becomes gh-ost), lock (held by gh-ost for as long as it lives), ghost.log, events.jsonl (by the hooks),
gh-ost.conf, hooks/, s (the socket), grant and used/ (releases), watched (touched by whoever watches), unowned (we throttled it
because nobody watched).
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from activities.errors import NeedsHuman, TryAgain
from activities.ghost.command import Command, GhostTables
from activities.ghost.hooks import EVENTS, GRANT, hook_scripts

BRAKE: Final = "pause-all"
"""In the runner's directory: while this file exists, every gh-ost of the host pauses."""

ABORTS: Final = ("abort", "kept")
"""Events of an abort; kept: the ghost table stays for a person to look at."""

LAUNCH_PATIENCE_SECONDS: Final = 10.0
LOG_LIMIT_BYTES: Final = 32 * 2**20
LOG_KEPT_BYTES: Final = 256 * 2**10

_LAUNCH: Final = """
umask 077
read -r stat <"/proc/$$/stat" && read -r boot </proc/sys/kernel/random/boot_id || exit 111
pid=$$
set -- "${stat##*) }" "$@"
words=$1
shift
set -f
n=0
for word in $words; do
  n=$((n + 1))
  if [ $n -eq 20 ]; then started=$word; fi
done
echo "$pid $started $boot" >process.new && mv -f process.new process || exit 112
exec "$@"
"""
"""The process writes down who it is, then becomes gh-ost: same pid, same start time, no wrapper that could be killed instead."""


@dataclass(frozen=True)
class ProcessIdentity:
    """started: clock ticks since boot (field 22 of /proc/<pid>/stat). boot: the kernel's boot id. Together they are never given twice."""

    pid: int
    started: str
    boot: str

    @property
    def mark(self) -> str:
        """For GhostRun.started."""
        return f"{self.boot}/{self.started}"

    @classmethod
    def of_run(cls, pid: int, mark: str) -> "ProcessIdentity":
        boot, _, started = mark.rpartition("/")
        return cls(pid, started, boot)

    def lives(self) -> bool:
        """This very process, and not as a zombie: a zombie can do nothing any more."""
        if self.boot != boot_id():
            return False
        _reap(self.pid)
        fields = _stat(self.pid)
        return fields is not None and fields[19] == self.started and fields[0] not in ("Z", "X")

    def signal(self, number: signal.Signals) -> None:
        """To this very process: through a descriptor that cannot come to mean another. A dead one is left in peace."""
        try:
            handle = os.pidfd_open(self.pid)
        except (ProcessLookupError, FileNotFoundError):  # ENOENT: Linux says so of one that is just being reaped
            return
        try:
            if self.lives():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


@dataclass(frozen=True)
class RunRecord:
    """run.json: enough to find, judge and clean up a run without asking anybody.

    base: of the names of its tables; a resumption under a run id of its own keeps its predecessor's.
    hint: the run's own word, which grants repeat. log_from: where this attempt begins in ghost.log. attempt: one more per resumption.
    """

    run_id: str
    migration_id: str
    requester: str
    base: str
    cluster: str
    shard: str
    schema: str
    table: str
    statement: str
    primary_address: str
    primary_uuid: str
    inspected: str
    hint: str
    argv: tuple[str, ...] = ()
    attempt: int = 0
    log_from: int = 0
    created_at: float = 0.0

    @property
    def tables(self) -> GhostTables:
        return GhostTables(self.base)


@dataclass(frozen=True)
class Event:
    """number: its line in events.jsonl, from 1. pid: of the gh-ost that it is about (0: nobody's)."""

    number: int
    name: str
    at: float
    pid: int
    detail: str = ""


class RunDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, root: Path, run_id: str) -> "RunDirectory":
        """Named by a hash: a run id has characters and a length that a path may not have."""
        return cls(root / hashlib.sha256(run_id.encode()).hexdigest()[:16])

    # ── what is written down

    def record(self) -> RunRecord | None:
        """None when there is none, or half of one."""
        try:
            facts: dict[str, Any] = json.loads((self.path / "run.json").read_text())
            return RunRecord(**{**facts, "argv": tuple(facts["argv"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def process(self) -> ProcessIdentity | None:
        """The newest process of this run, dead or alive."""
        try:
            pid, started, boot = (self.path / "process").read_text().split()
            return ProcessIdentity(int(pid), started, boot)
        except (OSError, ValueError):
            return None

    def lives(self) -> bool:
        process = self.process()
        return process is not None and process.lives()

    def events(self) -> list[Event]:
        try:
            lines = (self.path / EVENTS).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return list(_read_events(lines))

    def note(self, event: str, *, pid: int = 0, detail: str = "") -> None:
        """Add an event that no hook could write. One write, so that lines never mix."""
        line = json.dumps({"event": event, "at": int(time.time()), "pid": pid, "detail": detail})
        with _append(self.path / EVENTS) as file:
            file.write(f"{line}\n".encode())

    def is_kept(self) -> bool:
        """An abort left the ghost table for a person to look at, and only a person may drop it."""
        return any(event.name == "kept" for event in self.events())

    def log(self, *, last_bytes: int | None = None) -> str:
        """This attempt's log, or the end of it."""
        record = self.record()
        start = record.log_from if record else 0
        try:
            with (self.path / "ghost.log").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = start if start <= size else 0  # trimmed since
                file.seek(max(start, size - last_bytes) if last_bytes is not None else start)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def trim_log(self) -> None:
        """gh-ost writes two lines a second while it holds, for days: where the log has grown too long, its end is kept."""
        with contextlib.suppress(FileNotFoundError), (self.path / "ghost.log").open("r+b") as file:
            if file.seek(0, os.SEEK_END) > LOG_LIMIT_BYTES:
                file.seek(-LOG_KEPT_BYTES, os.SEEK_END)
                kept = file.read()
                file.truncate(0)  # gh-ost appends, so it goes on at the new end
                with _append(self.path / "ghost.log") as again:
                    again.write(kept)

    def log_age_seconds(self) -> float:
        try:
            return max(time.time() - (self.path / "ghost.log").stat().st_mtime, 0.0)
        except FileNotFoundError:
            return 0.0

    # ── releases

    def grant(self, hint: str, token: str, *, seconds: float) -> None:
        """Allow one `unpostpone` from now for this long."""
        self._write(GRANT, f"{hint} {_hashed(token)} {int(time.time() + seconds)}\n")

    def revoke(self) -> None:
        (self.path / GRANT).unlink(missing_ok=True)

    def was_used(self, token: str) -> bool:
        return (self.path / "used" / _hashed(token)).exists()

    def give_back(self, token: str) -> None:
        """gh-ost did not take the release after all: the token is unused again."""
        (self.path / "used" / _hashed(token)).unlink(missing_ok=True)

    # ── who cares for it

    def touch_watched(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # a lost directory ends no watch
            (self.path / "watched").touch(mode=0o600)

    def unwatched_seconds(self) -> float:
        """Since somebody last watched, or since the run began."""
        for name in ("watched", "process", "run.json"):
            with contextlib.suppress(FileNotFoundError):
                return max(time.time() - (self.path / name).stat().st_mtime, 0.0)
        return 0.0

    @property
    def unowned(self) -> bool:
        return (self.path / "unowned").exists()

    def set_unowned(self, unowned: bool) -> None:
        if unowned:
            (self.path / "unowned").touch(mode=0o600)
        else:
            (self.path / "unowned").unlink(missing_ok=True)

    # ── the process

    def launch(self, record: RunRecord, command: Command, lock: int) -> ProcessIdentity:
        """Start gh-ost, detached, and say who it is. lock: the descriptor from `alone`, which gh-ost keeps for life.

        Errors: TryAgain when the process did not come up; nothing is left running then.
        """
        for name in ("hooks", "used"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        for name, script in hook_scripts().items():
            self._write(f"hooks/{name}", script, mode=0o700)
        self._write("gh-ost.conf", command.conf)
        self.revoke()
        (self.path / "process").unlink(missing_ok=True)
        with _append(self.path / "ghost.log") as log:
            attempt = replace(
                record, argv=command.argv, attempt=record.attempt + 1, log_from=log.seek(0, os.SEEK_END), created_at=time.time()
            )
            self._write("run.json", json.dumps(asdict(attempt), indent=1))
            try:
                child = subprocess.Popen(
                    ["/bin/sh", "-c", _LAUNCH, "sh", *command.argv],
                    cwd=self.path,
                    env={**_plain_environment(), **command.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
            except OSError as wrong:
                raise TryAgain(f"gh-ost could not be started in {self.path}: {wrong}. Look at the runner host.") from wrong
        _children[child.pid] = child
        return self._await_identity(child)

    def _await_identity(self, child: "subprocess.Popen[bytes]") -> ProcessIdentity:
        deadline = time.monotonic() + LAUNCH_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            process = self.process()
            if process is not None:
                return process
            if child.poll() is not None:
                break
            time.sleep(0.01)
        child.kill()
        child.wait()
        said = self.log(last_bytes=500).strip()
        raise TryAgain(f"gh-ost did not come up in {self.path} (exit {child.returncode}): {said or 'no word'}. Look at the runner host.")

    @contextlib.contextmanager
    def alone(self) -> Iterator[int | None]:
        """The run's lock as a descriptor, or None while a gh-ost of this run lives (it inherited the lock, and the kernel takes it back).

        Two spawns at once: the second waits for the first. Errors: TryAgain when the first does not get anywhere.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield lock if self._locked(lock) else None
        finally:
            os.close(lock)

    def _locked(self, lock: int) -> bool:
        deadline = time.monotonic() + LAUNCH_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as wrong:
                if wrong.errno != errno.EWOULDBLOCK:
                    raise
            else:
                return True
            if self.lives():
                return False
            if time.monotonic() > deadline:
                raise TryAgain(
                    f"Somebody holds {self.path / 'lock'} and no gh-ost of that run is to be seen. Wait for the other spawn to end."
                )
            time.sleep(0.05)

    def _write(self, name: str, text: str, *, mode: int = 0o600) -> None:
        """Whole or not at all, and never readable for others, not even for a moment."""
        target = self.path / name
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.replace(target)


def run_directories(root: Path) -> list[RunDirectory]:
    """Every run of this host that has a record, oldest first."""
    try:
        found = [RunDirectory(path) for path in root.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
    records = [(record.created_at, directory) for directory in found if (record := directory.record()) is not None]
    return [directory for _, directory in sorted(records, key=lambda one: one[0])]


def prepare_root(root: Path) -> None:
    """Ours alone. Errors: NeedsHuman when somebody else owns it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = root.stat()
    if facts.st_uid != os.getuid():
        raise NeedsHuman(f"{root} belongs to user {facts.st_uid}, not to us ({os.getuid()}): set runner.run_directory to a folder of ours.")
    if facts.st_mode & 0o077:
        root.chmod(0o700)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Those that this very process started: the kernel keeps them as zombies until we ask."""


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on (index 0 is field 3); None: no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _plain_environment() -> dict[str, str]:
    """As little as gh-ost and its hooks need: none of the worker's own secrets."""
    wanted = ("PATH", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return {"PATH": os.defpath, "LANG": "C", **{name: os.environ[name] for name in wanted if name in os.environ}}


def _append(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab", buffering=0)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _read_events(lines: list[str]) -> Iterator[Event]:
    for number, line in enumerate(lines, start=1):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # a line cut by a full disk still counts as a number
            facts = json.loads(line)
            yield Event(number, str(facts["event"]), float(facts["at"]), int(facts["pid"]), str(facts.get("detail", "")))
