"""What each stage and state is called, in one place: facts come in, sentences go out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from workflows.messages import MigrationRun, Progress, PullRequestView
from workflows.rules.markdown import code, prose
from workflows.rules.plan import PlannedMigration, Refusal, Strategy
from workflows.rules.stages import MigrationState, Stage

DIGEST_SHOWN: Final = 12
"""Hex digits of a plan digest that people see and type."""


@dataclass(frozen=True)
class Headline:
    """What is waited for. title: plain text for a check. sentence: one line of Markdown, the first that people read.

    command: what a person may type now, with its prefix; "" where nothing is to be typed.
    """

    title: str
    sentence: str
    command: str = ""


def headline(view: PullRequestView) -> Headline:  # noqa: C901, PLR0912  (one case per stage is the point of it)
    """The words for where this schema change stands."""
    prefix = view.protocol.command_prefix
    owners, dbas = team("the owner team", view.owner_team), team("the databases team", view.databases_team)
    stage = view.stage
    match stage:
        case Stage.LOOKING:
            return Headline("looking", "**Looking** at this pull request. Nothing is needed from anybody.")
        case Stage.PLANNING:
            what = count(len(view.expected), "database") if view.expected else "the schema change"
            return Headline("planning", f"**Planning** {what} against the live schema. Nothing is needed from anybody.")
        case Stage.NO_CHANGES:
            return Headline("no schema changes", "**No schema changes** in this pull request. Nothing to do here.")
        case Stage.NOT_ENROLLED:
            return Headline(
                "not enrolled",
                "**Waiting for an operator:** schema changes are not served here, because the repository is not enrolled or the base branch"
                " is not one of its enrolled, protected branches. An operator enrols it with `starter.py add-repo`, or an administrator"
                " protects the branch; then push a commit.",
            )
        case Stage.REFUSED:
            return _refused(view)
        case Stage.SHARED_HEAD:
            others = ", ".join(f"#{number}" for number in view.twins) or "another pull request"
            return Headline(
                f"shares its head with {others}; push a commit",
                f"**Waiting for {code(view.author)}:** this pull request shares its head with {others}, and a check belongs to a commit,"
                " not to a pull request. Push a commit, or close one of them.",
            )
        case Stage.AWAITING_DRIFT:
            return Headline(
                "waiting for the databases team: the live schema has drifted",
                f"**Waiting for {dbas}:** the live schema differs from the base branch, as shown below. Mend it, or accept it: then it"
                " stays, and the plan is made around it. Type:",
                f"{prefix} acknowledge-drift",
            )
        case Stage.AWAITING_OTHER:
            blocking = sorted({one for plan in view.plans for one in plan.blocking_pull_requests})
            named = ", ".join(map(pull_request, blocking)) or "another pull request"
            return Headline(
                f"waiting for {', '.join(blocking) or 'another pull request'} to be merged",
                f"**Waiting for {named}:** its change to these tables is live but not merged yet. When it is merged, update this branch.",
            )
        case Stage.AWAITING_UNSAFE:
            return Headline(
                "waiting for the databases team: data or protection would be lost",
                f"**Waiting for {dbas}:** this plan loses data or protection, as shown below. Somebody who accepts that types:",
                f"{prefix} allow-unsafe {digest(view)}",
            )
        case Stage.AWAITING_LABEL:
            label = code(view.protocol.labels.for_review)
            return Headline(
                "waiting for the author's label",
                f"**Waiting for {code(view.author)}:** read the plan below, and add the label {label} when it is ready for review.",
            )
        case Stage.AWAITING_OWNER:
            return Headline(
                "waiting for the owner team",
                f"**Waiting for {owners}:** review the plan below and approve this pull request.",
            )
        case Stage.AWAITING_DBA:
            if view.approvals.objections:
                who = people(view.approvals.objections)
                return Headline(
                    f"waiting for {_plain(view.approvals.objections)}, who asked for changes",
                    f"**Waiting for {who}**, who asked for changes: answer them, and ask for another review.",
                )
            return Headline(
                "waiting for the databases team",
                f"**Waiting for {dbas}:** review the plan below and approve this pull request. {_then_runs(view)}",
            )
        case Stage.AWAITING_AUTORUN:
            return Headline(
                "waiting for the databases team: autorun is off",
                f"**Waiting for {dbas}:** everything is approved, and this repository does not run plans by itself."
                " Somebody lets this one run by typing:",
                f"{prefix} approve-autorun",
            )
        case Stage.AWAITING_MANUAL:
            left = sum(1 for one in migrations(view) if one.strategy is Strategy.MANUAL)
            return Headline(
                "waiting for the databases team: statements to run by hand",
                f"**Waiting for {dbas}:** {count(left, 'statement')} must be run by hand, as shown below."
                " When that is done, have the live schema looked at again:",
                f"{prefix} retry-migration",
            )
        case Stage.QUEUED | Stage.RUNNING if not view.approvals.both:
            return _withdrawn(view)
        case Stage.QUEUED:
            return Headline(
                "queued", f"**Queued:** {_how_many(view)} will start when the clusters are free. Nothing is needed from anybody."
            )
        case Stage.RUNNING:
            return Headline("running", f"**Running:** {_so_far(view)}. Nothing is needed from anybody.")
        case Stage.HOLDING:
            return _holding(view, dbas)
        case Stage.PROVING:
            return Headline("proving", "**Proving** that the live schema is what was approved. Nothing is needed from anybody.")
        case Stage.COMPLETE:
            if not view.runs:
                return Headline(
                    "complete: nothing to run",
                    "**Complete:** the live schema already is what this pull request asks for. Deploy and merge.",
                )
            return Headline(
                "complete: deploy and merge",
                f"**Complete:** the live schema is what this pull request asks for. {code(view.author)}, deploy and merge.",
            )
        case Stage.FAILED:
            return Headline(
                "failed",
                f"**Failed:** {_first_failure(view)} When the cause is mended, continue with what remains by typing:",
                f"{prefix} retry-migration",
            )
        case Stage.CLOSED:
            return Headline("closed", "**Closed.** Nothing of this change is queued or running. Reopen the pull request to plan it again.")
        case Stage.MERGED:
            return Headline("merged", f"**Merged.** {_what_became(view)}")
        case _:
            assert_never(stage)


def _refused(view: PullRequestView) -> Headline:
    refusals = [view.refusal] if view.refusal else [plan.refusal for plan in view.plans if plan.refusal]
    if not refusals:
        return Headline("cannot be planned", "**Waiting for the author:** this change cannot be planned.")
    others = f" ({len(refusals) - 1:,} more below.)" if len(refusals) > 1 else ""
    return Headline("cannot be planned", f"**This change cannot be planned:** {refusal(refusals[0])}{others}")


def _withdrawn(view: PullRequestView) -> Headline:
    """Approved and queued once, but an approval no longer counts."""
    then = "Until then nothing begins and no table is swapped; what runs goes on copying."
    if view.approvals.objections:
        return Headline(
            f"held: {_plain(view.approvals.objections)} asked for changes",
            f"**Waiting for {people(view.approvals.objections)}**, who asked for changes: answer them, and ask for another review. {then}",
        )
    missing = _missing(view)
    return Headline(f"held: waiting for {missing}", f"**Waiting for {missing}:** an approval no longer counts. Approve again. {then}")


def _missing(view: PullRequestView) -> str:
    gates = (("the owner team", view.approvals.owner), ("the databases team", view.approvals.dba))
    return " and ".join(name for name, there in gates if there is None)


def _holding(view: PullRequestView, dbas: str) -> Headline:
    prefix = view.protocol.command_prefix
    if view.approvals.objections:
        who = people(view.approvals.objections)
        return Headline(
            f"cut-over held: {_plain(view.approvals.objections)} asked for changes",
            f"**Waiting for {who}**, who asked for changes: the copy is ready, and the cut-over is held until they approve.",
        )
    if not view.approvals.both:
        missing = _missing(view)
        return Headline(
            f"cut-over held: waiting for {missing}",
            f"**Waiting for {missing}:** the copy is ready, and the cut-over is held because an approval no longer counts. Approve again.",
        )
    if view.held_by:
        return Headline(
            "cut-over held: waiting for the databases team",
            f"**Waiting for {dbas}:** the copy is ready, and {code(view.held_by)} asked to hold the cut-over."
            " Somebody lets it go by typing:",
            f"{prefix} cut-over",
        )
    held = [run for run in current(view.runs) if run.state is MigrationState.HOLDING and run.detail]
    if held:
        others = f" ({len(held) - 1:,} more below.)" if len(held) > 1 else ""
        return Headline(
            "cut-over held", f"**The cut-over of {code(str(held[0].migration.target))} is held:** {sentence(held[0].detail)}{others}"
        )
    return Headline("cutting over", "**Cutting over:** the copy is ready and is being checked once more. Nothing is needed from anybody.")


def _then_runs(view: PullRequestView) -> str:
    automatic = [one for one in migrations(view) if one.strategy is not Strategy.MANUAL]
    return f"Then {count(len(automatic), 'migration')} will run." if automatic else "Then the statements below are run by hand."


def _how_many(view: PullRequestView) -> str:
    waiting = sum(1 for run in view.runs if not run.state.settled) or len(migrations(view))
    return count(waiting, "migration")


def _so_far(view: PullRequestView) -> str:
    runs = current(view.runs)
    done = sum(1 for run in runs if run.state is MigrationState.COMPLETE)
    return f"{done:,} of {count(len(runs), 'migration')} complete"


def _what_became(view: PullRequestView) -> str:
    runs = current(view.runs)
    done = sum(1 for run in runs if run.state is MigrationState.COMPLETE)
    if not runs:
        return "No migration of this pull request has run."
    return f"{done:,} of {count(len(runs), 'migration')} ran to the end."


def _first_failure(view: PullRequestView) -> str:
    failed = [run for run in current(view.runs) if run.state in {MigrationState.FAILED, MigrationState.CANCELLED}]
    if not failed:
        return "after the run the live schema was not what was approved."
    first = failed[0]
    others = f" ({len(failed) - 1:,} more below.)" if len(failed) > 1 else ""
    verb = "failed" if first.state is MigrationState.FAILED else "was cancelled"
    return f"{code(str(first.migration.target))} {verb}: {sentence(first.detail) or 'no reason was given.'}{others}"


# ── One migration ───────────────────────────────────────────────────────────────────────────────────────────────────


def migrations(view: PullRequestView) -> list[PlannedMigration]:
    return [one for plan in view.plans for one in plan.migrations]


def current(runs: Iterable[MigrationRun]) -> list[MigrationRun]:
    """The last run of each statement on each table: an earlier attempt is history."""
    last = {(run.migration.target, run.migration.statement): run for run in runs}
    return list(last.values())


def state_in_words(run: MigrationRun) -> str:
    """One table cell."""
    state = run.state
    match state:
        case MigrationState.PROPOSED:
            return "proposed"
        case MigrationState.QUEUED:
            return _joined("queued", sentence(run.detail))
        case MigrationState.READY:
            return _joined("starting", sentence(run.detail))
        case MigrationState.RUNNING:
            return _joined(progress_in_words(run.progress), sentence(run.detail))
        case MigrationState.HOLDING:
            return _joined("copied", _compared(run), "cut-over held", sentence(run.detail))
        case MigrationState.COMPLETE:
            kept = f"kept as {code(run.quarantined_as)}" if run.quarantined_as else ""
            return _joined("✓ complete", _compared(run), duration(run.seconds) if run.seconds else "", kept)
        case MigrationState.FAILED:
            return _joined("✗ failed", sentence(run.detail))
        case MigrationState.CANCELLED:
            return _joined("cancelled", sentence(run.detail))
        case MigrationState.MANUAL:
            return "by hand"
        case _:
            assert_never(state)


def progress_in_words(progress: Progress) -> str:
    """`██████░░░░ 62 %`, and what is worth knowing besides."""
    percent = min(100.0, max(0.0, progress.percent))
    if not progress.rows_total and not percent:
        return _joined("running", _phase(progress))
    full = int(percent // 10)
    left = f"{duration(progress.eta_seconds)} left" if progress.eta_seconds is not None and progress.eta_seconds > 0 else ""
    rows = f"{progress.rows_copied:,} of {progress.rows_total:,} rows" if progress.rows_total else ""
    return _joined(f"`{'█' * full}{'░' * (10 - full)}` {percent:.0f} %", rows, left, _phase(progress))


def _phase(progress: Progress) -> str:
    """gh-ost's own word, where it says more than that it copies."""
    if not progress.phase or progress.phase == "migrating":
        return ""
    return prose(progress.phase)


def _compared(run: MigrationRun) -> str:
    return f"{run.rows_compared:,} rows compared" if run.rows_compared else ""


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


# ── Small words ─────────────────────────────────────────────────────────────────────────────────────────────────────


def digest(view: PullRequestView) -> str:
    return (view.digest or "")[:DIGEST_SHOWN]


def team(name: str, slug: str) -> str:
    return f"{name} ({code(slug)})" if slug else name


def people(logins: Sequence[str]) -> str:
    return " and ".join(code(login) for login in logins)


def _plain(logins: Sequence[str]) -> str:
    return " and ".join(logins)


def pull_request(name: str) -> str:
    """owner/repo#N, which GitHub links; anything else becomes code."""
    return name if re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9_.-]+#[0-9]+", name) else code(name)


def refusal(why: Refusal) -> str:
    return f"{sentence(why.what)} {sentence(why.next)}".strip()


def sentence(text: str) -> str:
    """One line of inert words that ends like a sentence."""
    words = prose(text)
    return words if not words or words.endswith((".", "!", "?", "…", ":")) else f"{words}."


def count(number: int, thing: str) -> str:
    """3 migrations, 1 migration."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """under 1 s, 14 s, 3 min, 2 h 10 min, 4 d 2 h."""
    if seconds < 1:
        return "under 1 s"
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def data_size(size: float) -> str:
    """1.4 GB, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
