"""What was proven, line by line. Every proof is a pure function of evidence: it answers whether it holds, and in words what was seen."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from embedded.seed import Reconciliation

AGGREGATE = "SchemaBot"


class Proof(NamedTuple):
    ok: bool
    text: str


# ── Checks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class CheckSeen:
    """One check run as GitHub kept it. states: those it went through (the conclusion once completed), repeats left out.

    ignored: what was asked of it after it had completed, and not taken.
    """

    name: str
    head_sha: str
    external_id: str
    states: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        return bool(self.states) and self.states[-1] not in {"queued", "in_progress"}


def one_current_run_per_head(runs: Sequence[CheckSeen]) -> Proof:
    """Generations of the aggregate count up by one on each head, and only the newest was left to count. runs: oldest first."""
    wrong, right = [], []
    for head, mine in _by_head(runs, AGGREGATE).items():
        generations = [_generation(run) for run in mine]
        if generations != list(range(1, len(mine) + 1)):
            wrong.append(f"{head[:7]} shows generations {_listed(generations)}")
        elif unfinished := [run for run in mine if not run.completed]:
            wrong.append(f"{head[:7]} has {len(unfinished)} run(s) left {unfinished[0].states[-1]}")
        else:
            right.append(f"{head[:7]} generation {generations[-1]}")
    if wrong or not right:
        return Proof(False, f"one current {AGGREGATE} run per head: {'; '.join(wrong) or 'there is none at all'}")
    return Proof(True, f"one current {AGGREGATE} run on each of {len(right)} heads: {', '.join(right)}")


def no_run_is_doubled(runs: Sequence[CheckSeen]) -> Proof:
    """(name, head, generation) is unique, and nobody tried to move a completed run."""
    keys = [(run.name, run.external_id) for run in runs]
    doubled = sorted({f"{name} {external_id}" for name, external_id in keys if keys.count((name, external_id)) > 1})
    moved = [f"{run.name}: {what}" for run in runs for what in run.ignored]
    if not runs or doubled or moved:
        return Proof(False, f"no check run doubled: {'; '.join([*doubled, *moved]) or 'there is none at all'}")
    names = len({run.name for run in runs})
    return Proof(True, f"{len(runs)} check runs of {names} names, none doubled, none re-opened after it had completed")


def states_come_in_order(runs: Sequence[CheckSeen], *, merged_head: str) -> Proof:
    """The merged head waits, runs, succeeds; no other head ever succeeds."""
    ok, told = merged_head in _by_head(runs, AGGREGATE), []
    for head, mine in _by_head(runs, AGGREGATE).items():
        states = [state for state, _ in groupby(state for run in mine for state in run.states)]
        told.append(f"{head[:7]} {' → '.join(state.replace('_', ' ') for state in states)}")
        if head == merged_head:
            ok = ok and states[-3:] == ["action_required", "in_progress", "success"] and states.count("success") == 1
        else:
            ok = ok and not {"success", "neutral", "skipped"} & set(states)
    return Proof(ok, f"{AGGREGATE}: {'; '.join(told) or 'never seen'}")


def _by_head(runs: Iterable[CheckSeen], name: str) -> dict[str, list[CheckSeen]]:
    heads: dict[str, list[CheckSeen]] = {}
    for run in runs:
        if run.name == name:
            heads.setdefault(run.head_sha, []).append(run)
    return heads


def _generation(run: CheckSeen) -> int:
    """−1 where the external id is not one of ours."""
    last = run.external_id.rpartition("/")[2]
    return int(last) if last.isdigit() else -1


# ── Merging ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Gate:
    """The merge button, as it was found whenever somebody looked or pressed it.

    looks: (what the aggregate said, whether merging was open) → how often. refusals: GitHub's words when it was pressed too early.
    """

    looks: dict[tuple[str, bool], int]
    refusals: list[str]
    merged_as: str = ""

    def look(self, state: str, *, is_open: bool) -> None:
        self.looks[state, is_open] = self.looks.get((state, is_open), 0) + 1


def merge_waited_for_success(gate: Gate) -> Proof:
    early = sorted({state or "missing" for state, is_open in gate.looks if is_open and state != "success"})
    late = gate.looks.get(("success", False), 0)
    looks = sum(count for (state, _), count in gate.looks.items() if state != "success")
    if early or late or not gate.refusals or not gate.merged_as or not looks:
        faults = [
            f"open while {AGGREGATE} was {', '.join(early)}" if early else "",
            f"closed {late} time(s) in spite of success" if late else "",
            "" if gate.refusals else "nobody was refused",
            "" if looks else "nobody looked before success",
            "" if gate.merged_as else "it was never merged",
        ]
        return Proof(False, f"merge blocked until success: {'; '.join(fault for fault in faults if fault)}")
    return Proof(
        True,
        f"merge refused {_times(len(gate.refusals))} (“{gate.refusals[0]}”), shut at each of {looks:,} looks until success,"
        f" then merged as {gate.merged_as[:7]}",
    )


# ── Approvals ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Withdrawn:
    """An approval before a push and what became of it.

    by: who gave it; counted_before, counted_after: who counted as owner before and after the push. started: migrations begun before
    somebody approved the new head.
    """

    by: str
    counted_before: str
    counted_after: str
    reason: str
    started: int


def early_approval_stopped_counting(seen: Withdrawn | None) -> Proof:
    if seen is None:
        return Proof(False, "an approval before a push stops counting: it was not seen")
    if seen.counted_before != seen.by or seen.counted_after or seen.started:
        return Proof(
            False,
            f"an approval before a push stops counting: {seen.by}’s counted as {seen.counted_before or 'nothing'} before and as"
            f" {seen.counted_after or 'nothing'} after; {_count(seen.started, 'migration')} began on it",
        )
    why = f" ({seen.reason})" if seen.reason else ""
    return Proof(True, f"{seen.by}’s approval counted until the push and not after{why}; nothing had begun")


# ── Data ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rows_are_what_was_written(place: str, report: Reconciliation, *, at_least: int) -> Proof:
    """at_least: as many rows as must be there for the proof to mean anything."""
    few = "" if report.found_rows >= at_least else f"; at least {at_least:,} rows were expected"
    return Proof(report.ok and not few, f"{place}: {report}{few}")


def writers_never_stood_still(longest: Mapping[str, float], *, limit: float) -> Proof:
    """longest: place → the longest that one write waited, in seconds."""
    slow = [f"{place} {seconds:.1f} s" for place, seconds in longest.items() if seconds > limit]
    if slow or not longest:
        return Proof(False, f"writes went on through every cut-over: waited longer than {limit:.0f} s: {', '.join(slow) or 'no writers'}")
    worst = max(longest.values())
    return Proof(True, f"writes went on through every cut-over; none waited longer than {worst:.2f} s")


Names = Mapping[str, Collection[str]]
"""schema → names of tables."""


def nothing_is_left_behind(place: str, found: Names, *, expected: Names, kept: Names) -> Proof:
    """found: every table there is. kept: the names that skeebot recorded, of tables that wait for their deadline."""
    here, ours, waiting = _qualified(found), _qualified(expected), _qualified(kept)
    strays, missing = sorted(here - ours - waiting), sorted((ours | waiting) - here)
    if strays or missing or not ours:
        faults = [f"left over {_listed(strays)}" if strays else "", f"missing {_listed(missing)}" if missing else ""]
        return Proof(False, f"{place}: {'; '.join(fault for fault in faults if fault) or 'no tables are expected'}")
    on_record = f"; kept on record {_listed(sorted(waiting))}" if waiting else ""
    return Proof(True, f"{place}: {_count(len(ours), 'table')} and nothing left behind{on_record}")


def live_is_what_was_merged(place: str, live: Mapping[str, Mapping[str, str]], *, merged: Mapping[str, Mapping[str, str]]) -> Proof:
    """Both: schema → table → its definition as MySQL writes it."""
    there = {(schema, table): text for schema, tables in live.items() for table, text in tables.items()}
    wanted = {(schema, table): text for schema, tables in merged.items() for table, text in tables.items()}
    differ = sorted(f"{schema}.{table}" for (schema, table), text in wanted.items() if there.get((schema, table)) != text)
    if differ or not wanted:
        return Proof(False, f"{place}: the live schema differs from the merged files in {_listed(differ) or 'everything: no files'}")
    return Proof(True, f"{place}: each of {_count(len(wanted), 'table')} is, word for word, what the merged files say")


def replica_agrees(place: str, primary: Mapping[str, int], replica: Mapping[str, int]) -> Proof:
    """Both: table → CHECKSUM TABLE."""
    differ = sorted(table for table in primary.keys() | replica.keys() if primary.get(table) != replica.get(table))
    if differ or not primary:
        return Proof(False, f"{place}: the replica differs from its primary in {_listed(differ) or 'everything: no tables'}")
    return Proof(True, f"{place}: the replica holds the same rows ({_count(len(primary), 'table')} by CHECKSUM TABLE)")


def _qualified(names: Names) -> set[str]:
    return {f"{schema}.{table}" for schema, tables in names.items() for table in tables}


# ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def story_ended_in_one_line(status: str, result: str) -> Proof:
    """status: Temporal's, e.g. COMPLETED."""
    ok = status == "COMPLETED" and " merged: " in result and "\n" not in result
    return Proof(ok, f"the workflow ended {status.lower()}: {result or 'without a word'}")


def _listed(things: Iterable[object]) -> str:
    return ", ".join(str(thing) for thing in things)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
