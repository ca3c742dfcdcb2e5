"""gh-ost's own lines, read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ghost.progress import ended_badly, ended_well, last_status, last_words, read_status, seconds
from workflows.messages import Progress

LINE = (
    "Copy: 97500/504545 19.3%; Applied: 11616; Backlog: 4/1000; Time: 16s(total), 15s(copy); "
    "streamer: 51bb35a0-e63b-11f1-9b0f-02fc00000001:1-105; Lag: 0.03s, HeartbeatLag: 0.06s, State: migrating; ETA: 58s"
)


def test_a_line_of_a_copy_is_read() -> None:
    expected = Progress(19.3, 97_500, 504_545, eta_seconds=58.0, elapsed_seconds=16.0, lag_seconds=0.06, phase="migrating")
    assert expected == read_status(LINE)
    assert expected == read_status(f"2026-11-22 06:09:55 INFO {LINE} []")


@pytest.mark.parametrize(
    ("state", "eta", "phase", "eta_seconds"),
    [
        ("postponing cut-over", "due", "postponing cut-over", 0.0),
        ("throttled, commanded by user", "N/A", "throttled, commanded by user", None),
        ("throttled, lag=3.520000s", "1h2m3s", "throttled, lag=3.520000s", 3723.0),
        ("throttled, db-2:3306 replica-lag=9.1s; ETA: never", "2m0s", "throttled, db-2:3306 replica-lag=9.1s; ETA: never", 120.0),
        ("counting rows", "N/A", "counting rows", None),
    ],
)
def test_states_and_times_are_read(state: str, eta: str, phase: str, eta_seconds: float | None) -> None:
    progress = read_status(LINE.replace("State: migrating; ETA: 58s", f"State: {state}; ETA: {eta}"))
    assert progress is not None
    assert (phase, eta_seconds) == (progress.phase, progress.eta_seconds)


@pytest.mark.parametrize(
    ("copied", "percent", "total"),
    [
        ("Copy: 9000/0 100.0%", 100.0, 9000),
        ("Copy: 120/100 120.0%", 100.0, 120),
        ("Copy: 0/0 NaN%", 0.0, 0),
        ("Copy: 5/-1 -500.0%", 0.0, 5),
    ],
)
def test_estimates_that_were_wrong_stay_within_bounds(copied: str, percent: float, total: int) -> None:
    progress = read_status(LINE.replace("Copy: 97500/504545 19.3%", copied))
    assert progress is not None
    assert (percent, total) == (progress.percent, progress.rows_total)


def test_several_servers_gtids_do_not_confuse() -> None:
    several = LINE.replace("51bb35a0-e63b-11f1-9b0f-02fc00000001:1-105", "51bb35a0-e63b-11f1-9b0f-02fc00000001:1-105:110-200,a:1; Lag: ")
    assert read_status(several) is not None


@given(
    copied=st.integers(0, 10**12),
    total=st.integers(-(10**12), 10**12),
    elapsed=st.integers(0, 10**6),
    lag=st.floats(-1, 10**6),
    state=st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60),
    eta=st.one_of(st.just("due"), st.just("N/A"), st.integers(1, 10**6)),
)
def test_every_line_that_gh_ost_can_write_is_read(*, copied: int, total: int, elapsed: int, lag: float, state: str, eta: int | str) -> None:
    percent = 100.0 * copied / total if total > 0 else 100.0
    line = (
        f"Copy: {copied}/{total} {percent:.1f}%; Applied: 3; Backlog: 0/1000; Time: {go_spells(elapsed)}(total), 0s(copy); "
        f"streamer: binlog.000002:1234; Lag: {lag:.2f}s, HeartbeatLag: {lag:.2f}s, State: {state}; ETA: "
        f"{eta if isinstance(eta, str) else go_spells(eta)}"
    )
    progress = read_status(line)
    assert progress is not None, line
    assert copied == progress.rows_copied
    assert copied <= progress.rows_total
    assert 0 <= progress.percent <= 100
    assert elapsed == progress.elapsed_seconds
    assert {"due": 0, "N/A": None}.get(str(eta), eta) == progress.eta_seconds
    assert state == progress.phase


@given(st.text(max_size=300))
def test_no_line_makes_it_fail(text: str) -> None:
    read_status(text)
    last_status(text)
    last_words(text)
    ended_well(text)
    ended_badly(text)
    seconds(text)


def test_the_newest_whole_line_counts() -> None:
    newer = LINE.replace("Copy: 97500/504545 19.3%", "Copy: 98500/504545 19.5%")
    found = last_status(f"{LINE}\n# a hint\n{newer}\n{LINE[:60]}")
    assert found is not None
    assert 98_500 == found.rows_copied


def test_the_fatal_line_comes_first_and_nothing_twice() -> None:
    log = "\n".join(
        [
            "2026-11-22 06:09:50 ERROR cannot find PENDING metadata lock",
            "2026-11-22 06:09:55 ERROR Duplicate column name 'a'",
            "2026-11-22 06:09:55 INFO Tearing down applier",
            "2026-11-22 06:09:55 FATAL Duplicate column name 'a'",
        ]
    )
    assert "Duplicate column name 'a'; cannot find PENDING metadata lock" == last_words(log)
    assert ended_badly(log)
    assert not ended_well(log)
    assert ended_well(f"{LINE}\n# Done\n")
    assert "" == last_words(LINE)


def go_spells(whole: int) -> str:
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}h{minutes}m{left}s" if hours else f"{minutes}m{left}s" if minutes else f"{left}s"
