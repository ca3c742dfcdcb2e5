"""Run directories, processes and hooks, with a stand-in program where gh-ost itself is not the point."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.ghost.command import Command
from activities.ghost.directory import ProcessIdentity, RunDirectory, RunRecord, boot_id, prepare_root, run_directories
from tests.activities.ghost.scene import end_every_run

SLEEPER = ("/bin/sh", "-c", "echo up; while :; do sleep 0.1; done")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    prepare_root(tmp_path / "runs")
    yield tmp_path / "runs"
    end_every_run(tmp_path / "runs")


def a_record(run_id: str = "run-1", **changes: object) -> RunRecord:
    told: dict[str, object] = {
        **dict.fromkeys(("migration_id", "requester", "cluster", "shard", "schema", "table", "statement"), "x"),
        "run_id": run_id,
        "base": "x_1",
        "primary_address": "db:1",
        "primary_uuid": "u",
        "inspected": "db:1",
        "hint": "f00d",
        **changes,
    }
    return RunRecord(**told)  # type: ignore[arg-type]  # the names above have the right types


def launched(root: Path, argv: tuple[str, ...] = SLEEPER, **changes: object) -> tuple[RunDirectory, ProcessIdentity]:
    record = a_record(**changes)  # type: ignore[arg-type]
    directory = RunDirectory.of(root, record.run_id)
    with directory.alone() as lock:
        assert lock is not None
        return directory, directory.launch(record, Command(argv, "[client]\n", {"SECRET": "s"}), lock)


def wait_for_death(process: ProcessIdentity) -> None:
    deadline = time.monotonic() + 10
    while process.lives():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_launched_process_is_known_again_by_another_reader(root: Path) -> None:
    directory, process = launched(root)
    again = RunDirectory(directory.path)
    assert process == again.process()
    assert again.lives()
    assert process == ProcessIdentity.of_run(process.pid, process.mark)
    record = again.record()
    assert record is not None
    assert (1, SLEEPER) == (record.attempt, record.argv)
    assert ["run-1"] == [record.run_id for one in run_directories(root) if (record := one.record())]


def test_while_it_lives_nobody_else_gets_the_lock_and_after_a_kill_somebody_does(root: Path) -> None:
    directory, process = launched(root)
    with directory.alone() as lock:
        assert lock is None
    os.kill(process.pid, signal.SIGKILL)
    wait_for_death(process)
    with directory.alone() as lock:
        assert lock is not None


def test_a_reused_pid_or_another_boot_is_not_our_process(root: Path) -> None:
    _, process = launched(root)
    assert not ProcessIdentity(process.pid, "1", process.boot).lives()
    assert not ProcessIdentity(process.pid, process.started, "another-boot").lives()
    stranger = ProcessIdentity(os.getpid(), "1", boot_id())
    stranger.signal(signal.SIGKILL)  # and we are still here
    assert not stranger.lives()


def test_one_that_is_just_being_reaped_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry(_: int) -> int:
        raise FileNotFoundError  # seen once in a whole run of the tests

    monkeypatch.setattr(os, "pidfd_open", no_entry)
    ProcessIdentity(os.getpid(), "1", boot_id()).signal(signal.SIGKILL)


def test_a_program_that_cannot_be_executed_leaves_its_reason(root: Path) -> None:
    directory, process = launched(root, ("/nowhere/gh-ost",))
    wait_for_death(process)
    assert "/nowhere/gh-ost" in directory.log()


def test_the_log_of_a_new_attempt_begins_where_the_last_one_ended(root: Path) -> None:
    directory, process = launched(root, ("/bin/echo", "first"))
    wait_for_death(process)
    with directory.alone() as lock:
        assert lock is not None
        record = directory.record()
        assert record is not None
        wait_for_death(directory.launch(record, Command(("/bin/echo", "second"), "", {}), lock))
    assert "second\n" == directory.log()
    assert "first\nsecond\n" == (directory.path / "ghost.log").read_text()


def test_a_log_that_grew_too_long_keeps_its_end_and_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.ghost.directory.LOG_LIMIT_BYTES", 1_000)
    monkeypatch.setattr("activities.ghost.directory.LOG_KEPT_BYTES", 100)
    directory, writer = launched(root, ("/bin/sh", "-c", "while :; do echo 0123456789; sleep 0.01; done"))
    log = directory.path / "ghost.log"
    deadline = time.monotonic() + 10
    while log.stat().st_size < 1_500:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGSTOP)  # a line that comes in the middle of it may stand before the rest, which harms nobody
    while Path(f"/proc/{writer.pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < deadline
    directory.trim_log()
    assert log.stat().st_size < 1_000
    os.kill(writer.pid, signal.SIGCONT)
    while log.stat().st_size < 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert {"0123456789"} == set(directory.log().splitlines()[1:-1])


def test_a_directory_that_others_can_enter_is_closed_and_a_strangers_is_refused(tmp_path: Path) -> None:
    prepare_root(tmp_path / "open")
    (tmp_path / "open").chmod(0o755)
    prepare_root(tmp_path / "open")
    assert 0o700 == (tmp_path / "open").stat().st_mode & 0o777
    if os.getuid() == 0:
        os.chown(tmp_path / "open", 12345, -1)
        with pytest.raises(ApplicationError, match="belongs to user 12345"):
            prepare_root(tmp_path / "open")


def test_half_a_record_is_none_and_half_an_event_keeps_its_number(root: Path) -> None:
    directory, _ = launched(root)
    (directory.path / "run.json").write_text('{"run_id": "x"')
    assert directory.record() is None
    assert [] == run_directories(root)
    (directory.path / "events.jsonl").write_text(
        '{"event":"startup","at":1,"pid":7}\n{"event":"begin-pos\n{"event":"success","at":2,"pid":7}\n'
    )
    assert [(1, "startup"), (3, "success")] == [(event.number, event.name) for event in directory.events()]


# ── Hooks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def run_hook(directory: RunDirectory, name: str, **facts: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [directory.path / "hooks" / f"gh-ost-on-{name}"],
        env={"PATH": os.defpath, "GH_OST_HOOKS_HINT_TOKEN": "f00d", **facts},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_a_hook_adds_one_line_of_json_and_never_fails(root: Path) -> None:
    directory, _ = launched(root)
    assert 0 == run_hook(directory, "begin-postponed", GH_OST_COPIED_ROWS="12", GH_OST_ESTIMATED_ROWS="34").returncode
    line = json.loads((directory.path / "events.jsonl").read_text())
    assert ("begin-postponed", 12, 34, os.getpid()) == (line["event"], line["copied"], line["rows"], line["pid"])
    (directory.path / "events.jsonl").unlink()
    (directory.path / "events.jsonl").mkdir()  # as if the disk were full
    assert 0 == run_hook(directory, "begin-postponed").returncode


def test_a_hook_between_streaming_and_listening_would_lose_rows_so_there_is_none(root: Path) -> None:
    directory, _ = launched(root)
    assert not list((directory.path / "hooks").glob("gh-ost-on-validated*"))


@pytest.mark.parametrize("command", ["status", "sup", "throttle", "panic", "chunk-size"])
def test_other_commands_need_no_grant(root: Path, command: str) -> None:
    directory, _ = launched(root)
    assert 0 == run_hook(directory, "interactive-command", GH_OST_COMMAND=f"'{command}'").returncode


@pytest.mark.parametrize("command", ["unpostpone", "no-postpone", "cut-over"])
def test_a_grant_allows_one_release(root: Path, command: str) -> None:
    directory, _ = launched(root)
    directory.grant("f00d", "release; $(reboot)", seconds=30)
    assert not directory.was_used("release; $(reboot)")
    assert 0 == run_hook(directory, "interactive-command", GH_OST_COMMAND=f"'{command}'").returncode
    assert directory.was_used("release; $(reboot)")
    assert ["released"] == [event.name for event in directory.events()]
    assert 1 == run_hook(directory, "interactive-command", GH_OST_COMMAND=f"'{command}'").returncode


@pytest.mark.parametrize("grant", [None, "", "\n", "f00d", "f00d abc", "f00d abc soon", "f00d abc 1", "beef abc 99999999999", " "])
def test_without_a_valid_grant_there_is_no_release(root: Path, grant: str | None) -> None:
    directory, _ = launched(root)
    if grant is not None:
        (directory.path / "grant").write_text(grant)
    refused = run_hook(directory, "interactive-command", GH_OST_COMMAND="'unpostpone'")
    assert 1 == refused.returncode
    assert "refused" in refused.stdout
    assert [] == directory.events()


def test_a_lost_run_directory_releases_nothing(root: Path) -> None:
    directory, _ = launched(root)
    directory.grant("f00d", "release-1", seconds=30)
    hook = (directory.path / "hooks" / "gh-ost-on-interactive-command").read_text()
    alone = root / "hooks"
    alone.mkdir()
    (alone / "gh-ost-on-interactive-command").write_text(hook)
    (alone / "gh-ost-on-interactive-command").chmod(0o700)
    environment = {"PATH": os.defpath, "GH_OST_COMMAND": "'unpostpone'"}
    asked = subprocess.run([alone / "gh-ost-on-interactive-command"], env=environment, check=False, capture_output=True)
    assert 1 == asked.returncode


def test_the_flag_file_of_a_run_cannot_be_changed(root: Path) -> None:
    directory, _ = launched(root)
    directory.grant("f00d", "release-1", seconds=30)
    assert 1 == run_hook(directory, "interactive-command", GH_OST_COMMAND="'postpone-cut-over-flag-file'").returncode


def test_many_hooks_at_once_write_whole_lines(root: Path) -> None:
    directory, _ = launched(root)
    hook = directory.path / "hooks" / "gh-ost-on-startup"
    running = [subprocess.Popen([hook], env={"PATH": os.defpath}) for _ in range(20)]
    for number in range(20):
        directory.note("withdrawn", pid=number)
    assert [0] * 20 == [one.wait() for one in running]
    assert list(range(1, 41)) == [event.number for event in directory.events()]
