"""What happens, as lines for the terminal: from GitHub's events, skeebot's audit record and gh-ost's own events."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activities.ghost.directory import run_directories
from tests.fakes.github import World
from tests.fakes.github.objects import Event

SKEEBOT, CHECKS, GHOST = "skeebot", "checks", "gh-ost"
_FENCED = re.compile(r"^```\w*\n(.*?)$", re.MULTILINE)
_ALL_CLEAR = "Nothing is needed from anybody."
_NUMBERS = re.compile(r"\d+")
_MARKER = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """actor: a login, or SKEEBOT, CHECKS, GHOST. text: plain, one line. tone: how it is painted ("", good, bad, waiting)."""

    actor: str
    text: str
    tone: str = ""


class Feed:
    """Each `news()` answers what has happened since the last, oldest first within each source."""

    def __init__(self, world: World, *, audit: Path, runs: Path) -> None:
        self._world = world
        self._audit = audit
        self._runs = runs
        self._events_read = len(world.events)
        self._audit_read = 0
        self._ghost_read: dict[Path, int] = {}
        self._checks_shown: dict[tuple[str, str], str] = {}
        self._told: set[str] = set()

    def news(self) -> list[Line]:
        return [*self._github(), *self._record(), *self._ghosts()]

    def _github(self) -> Iterator[Line]:
        events = self._world.events[self._events_read :]
        self._events_read += len(events)
        checks: dict[str, list[str]] = {}
        for event in events:
            if event.name == "check_run":
                self._note_check(event.payload["check_run"], checks)
                continue
            if event.action == "synchronize":
                self._told.clear()  # said of another head, it is news again
            line = line_of(event)
            if line is not None and not (event.action == "edited" and self._is_old(line)):
                yield line
        for state, names in checks.items():
            if names:
                yield check_line(state, names)

    def _is_old(self, line: Line) -> bool:
        """It differs from what was told before in numbers at most."""
        gist = _NUMBERS.sub("", line.text)
        known = gist in self._told
        self._told.add(gist)
        return known

    def _note_check(self, run: Mapping[str, Any], changed: dict[str, list[str]]) -> None:
        """Only what is new is said; of several states within one look the last."""
        name, state = str(run["name"]), str(run["conclusion"] or run["status"])
        if self._checks_shown.get((run["head_sha"], name)) == state:
            return
        self._checks_shown[run["head_sha"], name] = state
        for names in changed.values():
            if name in names:
                names.remove(name)
        changed.setdefault(state, []).append(name)

    def _ghosts(self) -> Iterator[Line]:
        for directory in run_directories(self._runs):
            record = directory.record()
            if record is None:
                continue
            events = directory.events()
            read = self._ghost_read.get(directory.path, 0)
            self._ghost_read[directory.path] = len(events)
            place = f"{record.cluster}/{record.shard} {record.table}"
            for event in events[read:]:
                if (line := ghost_line(event.name, place)) is not None:
                    yield line

    def _record(self) -> Iterator[Line]:
        entries = read_audit(self._audit)
        for entry in entries[self._audit_read :]:
            if (line := audit_line(entry)) is not None:
                yield line
        self._audit_read = len(entries)


def line_of(event: Event) -> Line | None:
    """One line about one of GitHub's events; None where there is nothing that people would call news."""
    payload = event.payload
    who = actor_of(payload)
    match event.name, event.action:
        case "pull_request", _:
            return _pull_request_line(who, event.action or "", payload)
        case "pull_request_review", "submitted":
            review = payload["review"]
            verb = {"approved": "approves", "changes_requested": "asks for changes of"}.get(review["state"].lower(), "comments on")
            return Line(who, f"{verb} {str(review['commit_id'])[:7]}", "good" if verb == "approves" else "")
        case "issue_comment", "created" if who == SKEEBOT:
            return Line(who, f"comments: {first_line(payload['comment']['body'])}")
        case "issue_comment", "created":
            return Line(who, f"types  {first_line(payload['comment']['body'])}")
        case "issue_comment", "edited":
            before, now = first_line(payload["changes"]["body"]["from"]), first_line(payload["comment"]["body"])
            return Line(who, f"its comment now says: {now}") if before != now else None
        case _:
            return None


def _pull_request_line(who: str, action: str, payload: Mapping[str, Any]) -> Line | None:
    pull = payload["pull_request"]
    head = pull["head"]["sha"][:7]
    match action:
        case "opened":
            return Line(who, f"opens #{pull['number']} “{pull['title']}” at {head}")
        case "synchronize":
            return Line(who, f"pushes {head}")
        case "labeled" | "unlabeled":
            verb, name = ("adds", "+") if action == "labeled" else ("removes", "−")
            return Line(who, f"{verb} label {name} {payload['label']['name']}")
        case "review_requested" if "requested_team" in payload:
            return Line(who, f"asks @{payload['requested_team']['slug']} for a review")
        case "closed" if pull.get("merged"):
            return Line(who, f"merges #{pull['number']}", "good")
        case "closed" | "reopened":
            return Line(who, f"{action} #{pull['number']}")
        case _:
            return None


def check_line(state: str, names: Iterable[str]) -> Line:
    tone = {"success": "good", "failure": "bad", "action_required": "waiting"}.get(state, "")
    short = [name.removeprefix("SchemaBot: ") for name in sorted(names, key=lambda name: (":" not in name, name))]
    return Line(CHECKS, f"{', '.join(short)} → {state.replace('_', ' ')}", tone)


def ghost_line(event: str, place: str) -> Line | None:
    """gh-ost's own words, by its hooks."""
    said = {
        "startup": ("starts to copy", ""),
        "begin-postponed": ("is copied and follows the writes; the cut-over is held", "waiting"),
        "success": ("has swapped the tables", "good"),
        "failure": ("failed", "bad"),
    }.get(event)
    return Line(GHOST, f"{place} {said[0]}", said[1]) if said else None


def audit_line(entry: Mapping[str, Any]) -> Line | None:
    facts = entry.get("facts", {})
    place = place_of(str(facts.get("target") or str(entry.get("migration_id", "")).split(":")[2:3] or ""))
    match entry.get("what"):
        case "cut-over released":
            rows = int(facts.get("rows_compared") or 0)
            return Line(SKEEBOT, f"lets {place} go: {rows:,} rows compared, approved by {facts.get('by', '')}")
        case "direct ddl ran":
            kept = f", kept as {facts['quarantined_as']}" if facts.get("quarantined_as") else ""
            return Line(SKEEBOT, f"runs direct DDL on {place}{kept}")
        case "complete":
            return Line(SKEEBOT, f"finds {place} as it was approved", "good")
        case "failed" | "cancelled" as state:
            return Line(SKEEBOT, f"{place} {state}: {facts.get('detail', '')}", "bad")
        case _:
            return None


def read_audit(path: Path) -> list[dict[str, Any]]:
    """skeebot's append-only record, oldest first; a line that is being written is left for the next time."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def place_of(target: str) -> str:
    """`cluster/shard/schema/table` for people: `cluster/shard table`."""
    parts = target.strip("[]'").split("/")
    return f"{parts[0]}/{parts[1]} {parts[3]}" if len(parts) == 4 else target


def first_line(body: str) -> str:
    """The first words of a comment, without markers, emphasis and the all-clear; with the command that it asks for."""
    text = _MARKER.sub("", body).strip()
    words = text.split("\n", 1)[0].replace("**", "").replace("`", "").removesuffix(_ALL_CLEAR).strip()
    command = _FENCED.search(text) if words.endswith(":") else None
    return f"{words} {command[1]}" if command else words


def actor_of(payload: Mapping[str, Any]) -> str:
    login = str(payload["sender"]["login"])
    return SKEEBOT if login.endswith("[bot]") else login
