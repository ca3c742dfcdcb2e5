"""The whole demo with few rows: everything is proven, and what goes wrong is said."""

import asyncio
import io
import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from activities.ghost.directory import ProcessIdentity, RunRecord, boot_id
from demonstration.evidence import gather
from demonstration.keep import tell_where, to_try
from demonstration.proofs import Proof
from demonstration.screen import Screen
from demonstration.script import Script
from demonstration.stage import Missed, Theatre, keep_logs
from embedded.processes import answers
from embedded.product import end_ghosts

ORDERS = 2_000


@dataclass
class Played:
    """What a demo left behind. commands: what could be typed → what was answered."""

    terminal: str = ""
    proofs: list[Proof] = field(default_factory=list)
    commands: dict[str, "subprocess.CompletedProcess[str]"] = field(default_factory=dict)
    missed: str = ""
    died: str = ""
    logs: list[str] = field(default_factory=list)
    folder: Path = Path()
    ports: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return asyncio.run(play(tmp_path_factory.mktemp("logs")))


async def play(logs: Path) -> Played:
    seen = Played()
    paper = io.StringIO()
    with Screen(Console(file=paper, width=200, highlight=False)) as screen:
        async with Theatre(screen, orders=ORDERS, ui=True) as theatre:
            seen.folder, seen.ports = theatre.stack.folder, [theatre.stack.temporal.port, theatre.github.port, theatre.product.port]
            script = Script(theatre)
            await script.play()
            seen.proofs = list(gather(script))
            tell_where(theatre)
            for command in (one for several in to_try(theatre).values() for one in several):
                seen.commands[command] = await asyncio.to_thread(typed, command)
            seen.missed = await what_is_missed(theatre, "the moon")
            assert theatre.product.worker is not None
            theatre.product.worker.kill()
            seen.died = await what_is_missed(theatre, "the sun")
            seen.logs = sorted(log.name for log in keep_logs(theatre, logs / "kept").iterdir())
    seen.terminal = paper.getvalue()
    return seen


def typed(command: str) -> "subprocess.CompletedProcess[str]":
    words = shlex.split(command)
    return subprocess.run(["env", *words], capture_output=True, text=True, timeout=60, check=False)


async def what_is_missed(theatre: Theatre, what: str) -> str:
    try:
        await theatre.until(what, lambda: False, seconds=1)
    except Missed as missed:
        return str(missed)
    return ""


def test_every_line_is_proven(played: Played) -> None:
    assert [] == [proof.text for proof in played.proofs if not proof.ok]
    assert len(played.proofs) > 15


@pytest.mark.parametrize(
    "line",
    [
        "dave developer opens #1 “Remember where orders come from”",
        "dave developer adds label + migration:for:review",
        "oscar's approval counts",
        "oscar's approval does not count any more",
        "reacts with 😕 to dave's command",
        "reacts with 👍 to dana's command",
        "dana DBA approves",
        "gh-ost staging/main orders is copied and follows the writes; the cut-over is held",
        "gh-ost production/a orders has swapped the tables",
        "finds production/b legacy_carts as it was approved",
        "github refuses: Required check “SchemaBot” is in progress.",
        "SchemaBot → success",
        "dave developer merges #1",
    ],
)
def test_the_terminal_tells_who_did_what(played: Played, line: str) -> None:
    assert line in " ".join(played.terminal.split())


def test_the_commands_to_try_work_as_they_are_printed(played: Played) -> None:
    assert {} == {command: done.stderr for command, done in played.commands.items() if done.returncode}
    lists = [done.stdout for command, done in played.commands.items() if "PullRequest = " in command or "SchemaState = " in command]
    assert ["pull-request/acme/shop/1" in text for text in lists] == [True, True]
    assert all(command in played.terminal for command in played.commands)


def test_a_missed_deadline_says_what_was_waited_for_and_shows_the_state(played: Played) -> None:
    assert "waited 1 s for the moon, in vain. Stage: merged." in played.missed
    assert "labels: migration:for:review" in played.missed


def test_a_worker_that_dies_is_noticed_at_once(played: Played) -> None:
    assert "skeebot worker ended with exit code" in played.died


def test_logs_are_kept_for_after_the_stack_is_gone(played: Played) -> None:
    assert {"audit.jsonl", "serve.log", "worker-1.log"} <= set(played.logs)
    assert 3 == len([name for name in played.logs if name.startswith("ghost-")])


def test_nothing_of_the_stage_outlives_it(played: Played) -> None:
    assert not played.folder.exists()
    assert [] == [port for port in played.ports if answers(port)]


# ── A gh-ost whose worker is gone ──


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def run_directory(runs: Path, identity: ProcessIdentity) -> None:
    folder = runs / "run"
    folder.mkdir(parents=True)
    record = RunRecord("run", "m", "r", "b", "staging", "main", "shop", "orders", "ALTER …", "127.0.0.1:1", "uuid", "127.0.0.1:1", "hint")
    (folder / "run.json").write_text(json.dumps(asdict(record)))
    (folder / "process").write_text(f"{identity.pid} {identity.started} {identity.boot}\n")


def test_a_ghost_whose_worker_is_gone_ends_with_the_product(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    run_directory(tmp_path, ProcessIdentity(sleeper.pid, started(sleeper.pid), boot_id()))
    end_ghosts(tmp_path)
    assert -9 == sleeper.wait(timeout=10)


def test_another_process_with_the_pid_of_an_old_ghost_is_left_in_peace(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    run_directory(tmp_path, ProcessIdentity(sleeper.pid, "1", boot_id()))
    end_ghosts(tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(timeout=0.5)
