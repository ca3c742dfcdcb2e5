"""What gh-ost says of itself, read from its status lines. No I/O."""

import re
from typing import Final

from workflows.messages import Progress

POSTPONING: Final = "postponing cut-over"
"""gh-ost's own word for holding."""

_STATUS: Final = re.compile(
    r"Copy: (?P<copied>\d+)/(?P<total>-?\d+) (?P<percent>-?[\d.]+|NaN|[+-]Inf)%; Applied: (?P<applied>\d+); Backlog: \d+/\d+; "
    r"Time: (?P<elapsed>[\dhms]+)\(total\), [\dhms]+\(copy\); streamer: .*?; "
    r"Lag: -?[\d.]+s, HeartbeatLag: (?P<lag>-?[\d.]+)s, State: (?P<state>.*); ETA: (?P<eta>\S+)(?: \[\])?\s*$"
)


def read_status(line: str) -> Progress | None:
    """One status line (of the log or of the socket's answer); None for any other line.

    lag_seconds is the age of the newest heartbeat that came back through the binary log. eta_seconds: 0 when due, None when unknown.
    """
    found = _STATUS.search(line)
    if found is None:
        return None
    copied, total = int(found["copied"]), max(int(found["total"]), 0)
    return Progress(
        percent=_percent(found["percent"]),
        rows_copied=copied,
        rows_total=max(total, copied),
        eta_seconds=0.0 if found["eta"] == "due" else seconds(found["eta"]),
        elapsed_seconds=seconds(found["elapsed"]) or 0.0,
        lag_seconds=max(float(found["lag"]), 0.0),
        phase=found["state"],
    )


def last_status(text: str) -> Progress | None:
    """The newest status in a piece of log; its first and last lines may be cut."""
    for line in reversed(text.splitlines()):
        progress = read_status(line)
        if progress is not None:
            return progress
    return None


def seconds(duration: str) -> float | None:
    """Go's spelling of a duration ("1h2m3s"); None for anything else ("N/A")."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", duration)
    if found is None or not duration:
        return None
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600.0 + minutes * 60.0 + rest


def last_words(log: str, *, lines: int = 4) -> str:
    """Why a run ended, from the end of its log: the fatal line, and the last errors before it, each once; "" if there are none.

    Errors alone are no failure (FACTS): ask only about a run that did fail.
    """
    fatal = [found[1].strip() for found in re.finditer(r"^\S+ \S+ FATAL (.*)$", log, re.MULTILINE)]
    errors = [found[1].strip() for found in re.finditer(r"^\S+ \S+ ERROR (.*)$", log, re.MULTILINE)]
    said = list(dict.fromkeys([*fatal[-1:], *reversed(errors)]))
    return "; ".join(said[:lines])


def ended_well(log: str) -> bool:
    """gh-ost's last line after success. It is there even where the success hook was left out: after a clean-up that failed, say."""
    return any(line.strip() == "# Done" for line in log.splitlines()[-20:])


def ended_badly(log: str) -> bool:
    return any(re.match(r"\S+ \S+ FATAL ", line) for line in log.splitlines()[-20:])


def _percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        return 0.0
    return min(percent, 100.0) if percent >= 0 else 0.0  # also False for NaN
