"""What happened to a run, from its events, its log and its process."""

import time
from typing import Final

from activities.ghost.directory import ABORTS, Event, ProcessIdentity, RunDirectory
from activities.ghost.progress import ended_badly, ended_well, last_status, last_words
from workflows.messages import GhostEvent, GhostSeen, Progress, WatchGhost

STALE_STATUS_SECONDS: Final = 5.0
PRIMARY_EVERY_SECONDS: Final = 10.0
LINGER_SECONDS: Final = 30.0
"""How long a gh-ost may take to end after it said that it did."""

LOG_TAIL_BYTES: Final = 16_384

_VERDICTS: Final = {"success": GhostEvent.SUCCEEDED, "failure": GhostEvent.FAILED, "vanished": GhostEvent.VANISHED}


class Watch:
    """What one watcher knows of its run. progress: the newest; wrong_primary: how often in a row the primary was another one."""

    def __init__(self, directory: RunDirectory, ask: WatchGhost) -> None:
        self.directory = directory
        self.ask = ask
        self.process = ProcessIdentity.of_run(ask.run.pid, ask.run.started)
        self.progress = Progress()
        self.wrong_primary = 0
        self._asked_at = time.monotonic()
        self._primary_at = time.monotonic()
        self._ended_at: float | None = None

    def _events(self) -> list[Event]:
        return [event for event in self.directory.events() if event.pid == self.process.pid]

    def holding(self) -> GhostSeen | None:
        """It holds, and no release is under way."""
        newest = [event for event in self._events() if event.name in ("begin-postponed", "released", *_VERDICTS)][-1:]
        for event in newest:
            if event.name == "begin-postponed" and event.number > self.ask.after_event:
                return GhostSeen(GhostEvent.HOLDING, event.number, progress=self.last_progress())
        return None

    def verdict(self) -> GhostSeen:
        """How it ended: by its own word, by its log, or without a word (then that is noted, so that it has a number)."""
        log = self.directory.log()
        if not self.directory.path.exists():
            detail = f"{_without_a_word(self.process.pid)} So is its run directory."
            return GhostSeen(GhostEvent.VANISHED, self.ask.after_event + 1, detail=detail)
        if not any(event.name in _VERDICTS for event in self._events()):
            ended = "success" if ended_well(log) else "failure" if ended_badly(log) else "vanished"
            self.directory.note(ended, pid=self.process.pid)
        event = next(event for event in reversed(self._events()) if event.name in _VERDICTS)
        verdict = _VERDICTS[event.name]
        detail = "" if verdict == GhostEvent.SUCCEEDED else event.detail or self._why(verdict, last_words(log))
        return GhostSeen(verdict, event.number, detail=detail, progress=self.last_progress())

    def _why(self, verdict: GhostEvent, said: str) -> str:
        """What somebody said who then vanished need not be why: a killed gh-ost may have complained of something that passed."""
        if verdict != GhostEvent.VANISHED:
            return said or self._why_silent()
        return f"{self._why_silent()} It said last: {said}" if said else self._why_silent()

    def _why_silent(self) -> str:
        withdrawn = [event.detail for event in self._events() if event.name == "withdrawn"]
        return withdrawn[-1] if withdrawn else _without_a_word(self.process.pid)

    def overstays(self) -> bool:
        """It said long ago that it was through, and is still there."""
        if self._ended_at is None and any(event.name in _VERDICTS for event in self._events()):
            self._ended_at = time.monotonic()
        return self._ended_at is not None and time.monotonic() - self._ended_at > LINGER_SECONDS

    def is_being_aborted(self) -> bool:
        return any(event.name in ABORTS for event in self._events())

    def is_stale(self) -> bool:
        """The log has no news, and it is time to ask (asking adds a status to the log and a row to the changelog table)."""
        due = min(self.directory.log_age_seconds(), time.monotonic() - self._asked_at) > STALE_STATUS_SECONDS
        self._asked_at = time.monotonic() if due else self._asked_at
        return due

    def primary_is_due(self) -> bool:
        due = time.monotonic() - self._primary_at > PRIMARY_EVERY_SECONDS
        self._primary_at = time.monotonic() if due else self._primary_at
        return due

    def last_progress(self) -> Progress:
        return last_status(self.directory.log(last_bytes=LOG_TAIL_BYTES)) or self.progress


def _without_a_word(pid: int) -> str:
    return f"gh-ost (pid {pid}) is gone without a word: killed, out of memory, or its host went down."
