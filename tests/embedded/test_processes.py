"""Nothing that the stack starts outlives it, however it ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded import processes
from embedded.processes import Process, ProcessFailedError, TemporaryFolder, answers, free_port

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def soon(condition: Callable[[], bool], *, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or "Z" != stat.read_text().rpartition(")")[2].split()[0]


def test_stop_ends_a_process_and_what_it_started(tmp_path: Path) -> None:
    program = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); input()"
    parent = Process("parent", [sys.executable, "-c", f"{program}; import time; time.sleep(600)", *SLEEP], log=tmp_path / "log")
    assert soon(lambda: parent.log.read_text().split() != [])
    child = int(parent.log.read_text().split()[0])
    parent.stop()
    assert soon(lambda: not runs(parent.pid))
    assert soon(lambda: not runs(child))
    parent.stop()  # once more does no harm


def test_one_that_ignores_term_is_killed_after_the_deadline(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    process = Process("stubborn", [sys.executable, "-c", stubborn], log=tmp_path / "log")
    process.wait_until(lambda: "deaf" in process.tail(), seconds=15)
    process.stop(seconds=0.2)
    assert -signal.SIGKILL == process.returncode


def test_one_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = Process("brief", [sys.executable, "-c", "raise SystemExit('no such table space')"], log=tmp_path / "log")
    with pytest.raises(ProcessFailedError, match=r"(?s)brief ended with exit code 1 while starting.*no such table space"):
        process.wait_until(lambda: False, seconds=15)


def test_one_that_never_gets_ready_is_reported(tmp_path: Path) -> None:
    process = Process("slow", SLEEP, log=tmp_path / "log")
    with pytest.raises(ProcessFailedError, match="slow was not ready within 0 s"):
        process.wait_until(lambda: False, seconds=0.1)
    process.stop()


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match="ghost could not be started"):
        Process("ghost", [str(tmp_path / "nowhere")], log=tmp_path / "log")


def test_a_process_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(Process("sleeper", SLEEP, log=tmp_path / "log")))
    thread.start()
    thread.join()
    assert started[0].returncode is None
    started[0].stop()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_when_python_dies_its_processes_and_folders_go_too(tmp_path: Path, end: signal.Signals) -> None:
    program = f"""
import signal, sys, time
from pathlib import Path
from embedded.processes import Process, TemporaryFolder
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would its children
folder = TemporaryFolder("orphan")
sleeper = Process("sleeper", {SLEEP!r}, log=folder.path / "log")
print(sleeper.pid, folder.path, flush=True)
time.sleep(600)
"""
    python_path = str(Path(processes.__file__).parents[1])
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": python_path}, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert runs(int(pid))
    assert Path(folder).is_dir()
    parent.send_signal(end)
    parent.wait(15)
    parent.stdout.close()
    assert soon(lambda: not runs(int(pid)))
    assert soon(lambda: not Path(folder).exists())


def test_a_temporary_folder_is_short_enough_for_sockets_and_goes_when_closed() -> None:
    folder = TemporaryFolder("test")
    assert len(str(folder.path)) < 50
    folder.close()
    assert not folder.path.exists()


def test_free_ports_are_never_given_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(ports) == len(set(ports))
    assert not answers(ports[0])
