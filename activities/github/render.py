"""Facts become the comment, the checks and the short comments that people read on GitHub.

Everything that comes from a pull request or a server goes through code(), prose() or fence() of workflows.rules.markdown; the wording is in
words.py. Nothing here asks anybody anything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from activities.github import words
from activities.github.words import headline, refusal
from workflows.messages import Announcement, CommandAnswer, MigrationRun, PublishCheck, PullRequestView, Say
from workflows.rules import commands
from workflows.rules.checks import OUTPUT_LIMIT, CheckState, status_table, truncate_bytes
from workflows.rules.markdown import code, code_html, cut, details, fence, mention, prose, size, table, visible
from workflows.rules.names import DatabaseRow, Target
from workflows.rules.plan import DatabasePlan, PlannedMigration, Strategy
from workflows.rules.stages import MigrationState, Stage

COMMENT_LIMIT: Final = 65_536 - 256
"""GitHub counts characters; we count bytes, which are never fewer. What is left is for the marker that comments.py puts in front."""
TITLE_LIMIT: Final = 250

_TABLE_LIMIT: Final = 20_000
_LIST_LIMIT: Final = 20
_STATEMENT_LIMIT: Final = 16_000


@dataclass(frozen=True)
class Action:
    """A button on a completed check: ≤20, ≤40 and ≤20 characters (FACTS). identifier: the command line that it stands for."""

    label: str
    description: str
    identifier: str


@dataclass(frozen=True)
class CheckOutput:
    """title: plain text. summary, text: Markdown of at most 65,535 bytes each; text may be empty."""

    title: str
    summary: str
    text: str
    actions: tuple[Action, ...] = ()


# ── The sticky comment ──────────────────────────────────────────────────────────────────────────────────────────────


def render_sticky(view: PullRequestView) -> str:
    """The one comment that is kept true: what is waited for, where every table stands, the plan, and answers to commands.

    At most COMMENT_LIMIT bytes, without the hidden marker by which it is found again.
    """
    parts = [
        *_first_lines(view),
        _late_commits(view),
        _migration_table(view, _TABLE_LIMIT),
        _gates(view),
        _changed(view),
        _risks(view),
        _drift(view),
        _refusals(view),
        _notes(view),
        _answers(view.answers),
    ]
    ending = f"\n\n{_footer(view)}"
    top = truncate_bytes(_as_typed(_paragraphs(parts), view), COMMENT_LIMIT - size(ending))
    room = COMMENT_LIMIT - size(ending) - size(top)
    return top + _folded_plans(view, room) + ending


def _first_lines(view: PullRequestView) -> list[str]:
    first = headline(view)
    return [first.sentence, fence(first.command) if first.command else ""]


def _late_commits(view: PullRequestView) -> str:
    if not view.late_commits:
        return ""
    return (
        "New commits arrived after the migrations were queued. What runs is not disturbed; the new head is planned, and has to be approved,"
        " when it has settled."
    )


def _footer(view: PullRequestView) -> str:
    plan = f"Plan {code(words.digest(view))} for" if view.digest and words.migrations(view) else "About"
    return f"<sub>{plan} commit {code(view.head_sha[:8])}. Type `{view.protocol.command_prefix} help` for what can be typed here.</sub>"


def _as_typed(text: str, view: PullRequestView) -> str:
    """Reasons name commands with the usual prefix; people here may have to type another."""
    return text.replace(f"`{commands.PREFIX} ", f"`{view.protocol.command_prefix} ")


def _paragraphs(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)


# ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _migration_table(view: PullRequestView, limit: int) -> str:
    """Environment × database × table × state; a database without migrations has a line of its own."""
    rows = list(_table_rows(view))
    if not rows:
        return ""
    return table(("Environment", "Database", "Table", "Change", "State"), rows, limit)


def _table_rows(view: PullRequestView) -> Iterator[tuple[str, str, str, str, str]]:
    runs = words.current(view.runs)
    by_place = {(run.migration.target, run.migration.statement): run for run in runs}
    plans = {plan.row: plan for plan in view.plans}
    for row in _all_rows(view):
        plan = plans.get(row)
        planned = plan.migrations if plan else ()
        keys = {(one.target, one.statement) for one in planned}
        earlier = [run for run in runs if _row_of(run.migration) == row and (run.migration.target, run.migration.statement) not in keys]
        lines = [(run.migration, words.state_in_words(run)) for run in earlier]
        for one in planned:
            run = by_place.get((one.target, one.statement))
            lines.append((one, words.state_in_words(run) if run else _proposed(one)))
        sharded = len({one.target.shard for one, _ in lines}) > 1
        for one, state in lines:
            place = f"{code(one.target.table)} on {code(one.target.shard)}" if sharded else code(one.target.table)
            yield code(row.environment), code(row.database), place, f"{one.kind.value}, {one.strategy.value}", state
        if not lines:
            yield code(row.environment), code(row.database), "", "", _without_migrations(plan)


def _all_rows(view: PullRequestView) -> list[DatabaseRow]:
    """The expected rows in their order, then whatever else is known."""
    others = [plan.row for plan in view.plans] + [_row_of(run.migration) for run in view.runs]
    return list(dict.fromkeys([*view.expected, *others]))


def _row_of(migration: PlannedMigration) -> DatabaseRow:
    return migration.target.row


def _proposed(migration: PlannedMigration) -> str:
    return "by hand" if migration.strategy is Strategy.MANUAL else "proposed"


def _without_migrations(plan: DatabasePlan | None) -> str:
    if plan is None:
        return "not planned yet"
    return "✗ cannot be planned" if plan.refusal else "nothing to run"


# ── Gates, risks, drift, refusals ───────────────────────────────────────────────────────────────────────────────────

_BEFORE_ANY_GATE: Final = frozenset(
    {Stage.LOOKING, Stage.PLANNING, Stage.NO_CHANGES, Stage.NOT_ENROLLED, Stage.REFUSED, Stage.SHARED_HEAD, Stage.CLOSED, Stage.MERGED}
)


def _gates(view: PullRequestView) -> str:
    """Who has approved and allowed what, and whose approval does not count and why."""
    approvals = view.approvals
    if view.stage in _BEFORE_ANY_GATE or (view.stage is Stage.COMPLETE and not approvals.both):
        return ""
    facts = [
        f"Owner: {_person(approvals.owner)}",
        f"DBA: {_person(approvals.dba)}",
        f"losses allowed by {code(view.allowed_unsafe_by)}" if view.allowed_unsafe_by else "",
        f"drift accepted by {code(view.drift_acknowledged_by)}" if view.drift_acknowledged_by else "",
        f"run allowed by {code(view.autorun_approved_by)}" if view.autorun_approved_by else "",
        f"cut-over held by {code(view.held_by)}" if view.held_by else "",
    ]
    line = " · ".join(fact for fact in facts if fact)
    objections = [f"{code(login)} asked for changes." for login in approvals.objections]
    ignored = [f"The approval of {code(login)} does not count: {words.sentence(why)}" for login, why in approvals.not_counted.items()]
    unknown = [
        f"GitHub knows no team {code(name)} in {code(view.ref.owner)}, so nobody's approval can come from it. An operator corrects the"
        " enrolment with `starter.py add-repo`."
        for name in view.unknown_teams
    ]
    unknown += [f"Nobody can be an owner: {words.sentence(view.codeowners_gap)}"] if view.codeowners_gap else []
    unasked = [f"{words.team('The databases team', view.databases_team)} was not asked: {words.sentence(view.review_refused)}"]
    return _paragraphs([f"**Approvals.** {line}", _list([*unknown, *(unasked if view.review_refused else []), *objections, *ignored])])


def _person(login: str | None) -> str:
    return f"✓ {code(login)}" if login else "waiting"


def _changed(view: PullRequestView) -> str:
    if not view.changed_since_approval:
        return ""
    return _paragraphs(["**Changed since it was approved**", _list([words.sentence(one) for one in view.changed_since_approval])])


def _risks(view: PullRequestView) -> str:
    """What a reviewer should know, losses first; the same risk in several environments or on several shards is said once."""
    if view.stage in {Stage.COMPLETE, Stage.CLOSED, Stage.MERGED}:
        return ""
    found: dict[tuple[bool, str, str], dict[str, None]] = {}
    for one in words.migrations(view):
        for risk in one.risks:
            found.setdefault((not risk.unsafe, one.target.table, risk.text), {})[f"{one.target.environment}/{one.target.database}"] = None
    lines = [_risk(key, tuple(places)) for key, places in sorted(found.items(), key=lambda item: item[0][0])]
    return _paragraphs(["**Risks**", _list(lines)]) if lines else ""


def _risk(key: tuple[bool, str, str], places: Sequence[str]) -> str:
    harmless, name, text = key
    loses = "" if harmless else "**Loses data or protection:** "
    return f"{loses}{code(name)} in {', '.join(code(place) for place in places)}: {words.sentence(text)}"


def _drift(view: PullRequestView) -> str:
    found = [one for plan in view.plans for one in plan.drift]
    if not found:
        return ""
    lines: list[str] = []
    blocks: list[str] = []
    for one in found:
        if one.by_pull_request:
            where = f"{code(one.target.environment)} {code(str(one.target))}"
            lines.append(f"{where}: changed by {words.pull_request(one.by_pull_request)}, which is live and not merged yet.")
        else:
            blocks.append(_paragraphs([f"{code(one.target.environment)} {code(str(one.target))}:", fence(one.statement, "sql", 2_000)]))
    more = [f"… and {len(blocks) - _LIST_LIMIT:,} more"] if len(blocks) > _LIST_LIMIT else []
    shown = ["**The live schema differs from the base branch** by:", *blocks[:_LIST_LIMIT], *more] if blocks else []
    return _paragraphs([*shown, _list(lines)])


def _refusals(view: PullRequestView) -> str:
    plans = [plan for plan in view.plans if plan.refusal]
    if not plans:
        return ""
    lines = [f"{code(_name(plan.row))}: {refusal(plan.refusal)}" for plan in plans if plan.refusal]
    return _paragraphs(["**Cannot be planned**", _list(lines)])


def _notes(view: PullRequestView) -> str:
    ran = {_row_of(run.migration) for run in words.current(view.runs) if run.state is MigrationState.COMPLETE}
    told = [plan for plan in view.plans if plan.row not in ran]  # what ran says so in the table
    lines = [f"{code(_name(plan.row))}: {words.sentence(note)}" for plan in told for note in plan.notes]
    return _paragraphs(["**Notes**", _list(lines)]) if lines else ""


def _list(lines: Sequence[str]) -> str:
    shown = [f"- {line}" for line in lines[:_LIST_LIMIT]]
    return "\n".join([*shown, *([f"- … and {len(lines) - _LIST_LIMIT:,} more"] if len(lines) > _LIST_LIMIT else [])])


def _answers(answers: Sequence[CommandAnswer]) -> str:
    """The last three; an answer of several lines keeps them."""
    if not answers:
        return ""
    return _paragraphs(["**Commands**", "\n".join(_answer(one) for one in answers[-3:])])


def _answer(answer: CommandAnswer) -> str:
    first, *rest = [line.removeprefix("- ") for line in answer.text.split("\n") if line.strip()] or [
        "done." if answer.done else "not done."
    ]
    mark = "✓" if answer.done else "✗"
    below = [f"  - {prose(line)}" for line in rest[:_LIST_LIMIT]]
    return "\n".join([f"- {mark} {code(answer.line)} from {code(answer.actor)}: {prose(first)}", *below])


# ── Statements and how they run ─────────────────────────────────────────────────────────────────────────────────────


def _sections(view: PullRequestView) -> list[tuple[DatabaseRow, list[PlannedMigration]]]:
    """By database: what ran and is no longer in the plan, then what the plan holds."""
    sections: dict[DatabaseRow, dict[tuple[Target, str], PlannedMigration]] = {row: {} for row in _all_rows(view)}
    for one in [*(run.migration for run in words.current(view.runs)), *words.migrations(view)]:
        sections[_row_of(one)][one.target, one.statement] = one
    return [(row, list(found.values())) for row, found in sections.items() if found]


def _folded_plans(view: PullRequestView, room: int) -> str:
    """One fold a database, as many as fit into room bytes; the rest is named and is in the checks."""
    sections = _sections(view)
    text = ""
    for at, (row, migrations) in enumerate(sections):
        left = len(sections) - at
        more = f"\n\n… and {words.count(left, 'more database')}; see {'its check' if left == 1 else 'their checks'}."
        fold = f"\n\n{details(_fold_title(row, migrations), _statements(migrations))}"
        if size(text) + size(fold) + (size(more) if left > 1 else 0) > room:
            return text + (more if size(text) + size(more) <= room else "")
        text += fold
    return text


def _fold_title(row: DatabaseRow, migrations: Sequence[PlannedMigration]) -> str:
    return f"{code_html(_name(row))}: {words.count(len(_alike(migrations)), 'statement')}"


def _statements(migrations: Sequence[PlannedMigration]) -> str:
    return _paragraphs([_statement(group) for group in _alike(migrations)])


def _titled_statements(view: PullRequestView) -> list[str]:
    return [_paragraphs([f"### {code(_name(row))}", _statements(migrations)]) for row, migrations in _sections(view)]


def _alike(migrations: Sequence[PlannedMigration]) -> list[list[PlannedMigration]]:
    """The same statement run the same way on several shards is shown once."""
    groups: dict[tuple[str, str, str, str, str], list[PlannedMigration]] = {}
    for one in migrations:
        key = (one.target.schema, one.target.table, one.statement, one.strategy.value, one.why)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _statement(group: Sequence[PlannedMigration]) -> str:
    first = group[0]
    shards = [f"{one.target.cluster}/{one.target.shard}" for one in group]
    where = ", ".join(code(shard) for shard in shards[:_LIST_LIMIT]) + (
        f" and {len(shards) - _LIST_LIMIT:,} more" if shards[_LIST_LIMIT:] else ""
    )
    rows, data, seconds = sum(one.rows for one in group), sum(one.bytes for one in group), max(one.seconds for one in group)
    estimates = [
        f"about {rows:,} rows" if rows else "",
        words.data_size(data) if data else "",
        f"{'about ' if seconds >= 1 else ''}{words.duration(seconds)}" if seconds else "",
    ]
    estimate = ", ".join(part for part in estimates if part)
    dependents = sorted({name for one in group for name in one.dependents})
    facts = [
        f"Strategy: {how(first.strategy)}. {words.sentence(first.why)}".strip(),
        f"Where: {where}",
        f"Estimate: {estimate}" if estimate else "",
        f"Depends on it: {', '.join(code(name) for name in dependents)}" if dependents else "",
        f"Going back: {words.sentence(first.revert_until)}" if first.revert_until else "",
    ]
    facts += [f"Risk: {words.sentence(risk.text)}" for risk in first.risks]
    title = f"{first.kind.value.capitalize()} {code(f'{first.target.schema}.{first.target.table}')}"
    return _paragraphs([f"**{title}**", fence(first.statement, "sql", _STATEMENT_LIMIT), _list([fact for fact in facts if fact])])


def how(strategy: Strategy) -> str:
    match strategy:
        case Strategy.DIRECT:
            return "direct DDL with a short lock wait"
        case Strategy.GH_OST:
            return "gh-ost: a copy that follows the live table, compared before the swap"
        case Strategy.INSTANT:
            return "instant DDL: only the table's definition changes"
        case Strategy.MANUAL:
            return "by hand: skeebot does not run it"
        case _:
            assert_never(strategy)


def _name(row: DatabaseRow) -> str:
    return f"{row.environment}/{row.type}/{row.database}"


# ── Checks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def render_check(ask: PublishCheck) -> CheckOutput:
    """What one check run says. The plan of record is its text."""
    view, state = ask.view, ask.run.state
    if ask.run.head_sha != view.head_sha:
        return _left_behind(view)
    if ask.row is None:
        title, sentence = _aggregate_words(view, state)
        head = _as_typed(_paragraphs([sentence, _command(view, state)]), view)
        rows = [(row, _status(view, row)) for row in view.expected]
        below = status_table(rows, OUTPUT_LIMIT - size(head) - 2) if rows else ""
    else:
        title, sentence = _row_words(view, ask.row, state)
        title, view = f"{_name(ask.row)}: {title}", _about(view, ask.row)
        head = _as_typed(_paragraphs([sentence, _command(view, state)]), view)
        below = _migration_table(view, OUTPUT_LIMIT - size(head) - 2)
    return CheckOutput(
        title=cut(" ".join(visible(title).split()), TITLE_LIMIT),
        summary=truncate_bytes(_paragraphs([head, below]), OUTPUT_LIMIT),
        text=truncate_bytes(_plan_of_record(view), OUTPUT_LIMIT),
        actions=_actions(ask.view) if state in _OPEN else (),
    )


def _left_behind(view: PullRequestView) -> CheckOutput:
    """On a commit that the pull request has moved on from."""
    sentence = f"**Superseded:** the pull request is at {code(view.head_sha[:12])} now, and its checks are there."
    return CheckOutput(title="superseded by newer commits", summary=sentence, text="")


_OPEN: Final = frozenset({CheckState.FAILURE, CheckState.ACTION_REQUIRED})


def _command(view: PullRequestView, state: CheckState) -> str:
    command = headline(view).command
    return fence(command) if command and state in _OPEN else ""


def _aggregate_words(view: PullRequestView, state: CheckState) -> tuple[str, str]:
    """Title and first sentence; a commit that waits for another's migrations says so."""
    if view.late_commits:
        return "waiting for the migrations of an earlier commit", _late_commits(view)
    first = headline(view)
    if state is CheckState.SUCCESS and view.stage not in {Stage.COMPLETE, Stage.NO_CHANGES, Stage.MERGED}:
        return "complete", "**Complete:** every database is as this pull request asks."
    return first.title, first.sentence


def _row_words(view: PullRequestView, row: DatabaseRow, state: CheckState) -> tuple[str, str]:
    plan = next((plan for plan in view.plans if plan.row == row), None)
    runs = [run for run in words.current(view.runs) if run.migration.target.row == row]
    first = headline(view)
    match state:
        case CheckState.SUCCESS:
            if any(run.state is MigrationState.COMPLETE for run in runs):
                return (
                    "complete",
                    "**Complete:** this database is as the pull request asks, and its live schema was compared after the run.",
                )
            return "nothing to run", "**Nothing to run:** this database already is as the pull request asks."
        case CheckState.FAILURE:
            if plan is not None and plan.refusal is not None:
                return "cannot be planned", f"**Cannot be planned:** {refusal(plan.refusal)}"
            return (first.title, first.sentence) if view.stage in {Stage.FAILED, Stage.REFUSED} else ("failed", "**Failed.** See below.")
        case CheckState.IN_PROGRESS:
            if not runs and (view.stage in {Stage.PLANNING, Stage.LOOKING} or plan is None):
                return "planning", "**Planning** this database against its live schema."
            return _work_words(runs)
        case CheckState.ACTION_REQUIRED:
            if view.late_commits:
                return "waiting for the migrations of an earlier commit", _late_commits(view)
            if view.stage is Stage.FAILED and not any(run.state in {MigrationState.FAILED, MigrationState.CANCELLED} for run in runs):
                return "waiting: another database failed", "**Waiting:** another database failed, and this one continues after it."
            if view.stage in {Stage.QUEUED, Stage.RUNNING, Stage.PROVING} and not runs:
                return "waiting for the other databases", "**Waiting** for the migrations of the other databases."
            return first.title, first.sentence
        case _:
            assert_never(state)


def _work_words(runs: Sequence[MigrationRun]) -> tuple[str, str]:
    states = {run.state for run in runs}
    if MigrationState.HOLDING in states:
        return "at the cut-over", "**At the cut-over:** a copy is ready, and the pull request's comment says what it waits for."
    if states & {MigrationState.RUNNING, MigrationState.READY}:
        return "running", "**Running:** the pull request's comment shows the progress."
    if states and all(state.settled or state is MigrationState.MANUAL for state in states):
        return "proving", "**Proving** that the live schema is what was approved."
    return "queued", "**Queued:** this database starts when its turn comes."


def _status(view: PullRequestView, row: DatabaseRow) -> str:
    state = view.row_states.get(_name(row))
    if state is None:
        return "not known yet"
    return _row_words(view, row, state)[0]


def _plan_of_record(view: PullRequestView) -> str:
    digest = f"Plan digest: {code(view.digest)}" if view.digest and words.migrations(view) else ""
    return _paragraphs([digest, _drift(view), *_titled_statements(view)])


def _about(view: PullRequestView, row: DatabaseRow) -> PullRequestView:
    """The view of one database."""
    return replace(
        view,
        expected=(row,),
        plans=tuple(plan for plan in view.plans if plan.row == row),
        runs=tuple(run for run in view.runs if _row_of(run.migration) == row),
    )


def _actions(view: PullRequestView) -> tuple[Action, ...]:
    """At most three buttons: what may be done next without reading a digest."""
    retry = Action("Retry migration", "Continue with what remains", "retry-migration")
    again = Action("Look again", "Plan again against the live schema", "retry-migration")
    match view.stage:
        case Stage.FAILED:
            return (retry,)
        case Stage.REFUSED | Stage.AWAITING_MANUAL:
            return (again,)
        case Stage.AWAITING_DRIFT:
            return (Action("Acknowledge drift", "Accept the live schema as shown", "acknowledge-drift"), again)
        case Stage.AWAITING_AUTORUN:
            return (Action("Approve autorun", "Let this plan run", "approve-autorun"),)
        case Stage.HOLDING if view.held_by:
            return (
                Action("Cut over", "End the hold and swap the tables", "cut-over"),
                Action("Abort", "Leave the table as it is", "abort"),
            )
        case Stage.HOLDING:
            return (Action("Abort", "Leave the table as it is", "abort"),)
        case _:
            # Losses are accepted by typing the digest that was read, never by a button; everything else is a review, a label or waiting.
            return ()


# ── Short comments ──────────────────────────────────────────────────────────────────────────────────────────────────


def render_say(ask: Say) -> str:
    """A new comment of at most COMMENT_LIMIT bytes: only where a person must act, and at the end."""
    return truncate_bytes(_as_typed(_paragraphs(_said(ask)), ask.view), COMMENT_LIMIT)


def _said(ask: Say) -> list[str]:
    view, text = ask.view, "\n\n".join(prose(line) for line in ask.text.split("\n") if line.strip())
    first = headline(view)
    author = mention(view.author)
    match ask.announcement:
        case Announcement.DETECTED:
            team = words.team("the databases team", view.databases_team)
            plan = f"The owner has approved plan {code(words.digest(view))}."
            return [
                f"{plan} It waits for {team}: read how each migration will run, and approve this pull request.",
                text,
                _risks(view),
                *_titled_statements(view),
            ]
        case Announcement.FAILED:
            return [f"{author}: {first.sentence}", text, fence(first.command) if first.command else "", _failures(view)]
        case Announcement.COMPLETE:
            return [
                f"{author}: the schema change is live everywhere and was compared with the plan. Deploy, and merge.",
                text,
                _summary(view),
            ]
        case Announcement.APPROVALS_VOID:
            return [
                "Approvals given until now no longer count. Please review the plan as it is now, and approve again.",
                text,
                "" if text else _changed(view),
            ]
        case Announcement.COMMAND_REFUSED:
            return [_to_whom(ask) + (text or "That command was not carried out.")]
        case Announcement.HELD:
            return [_who_decides(view) + first.sentence, text, fence(first.command) if first.command else ""]
        case Announcement.UNREADABLE:
            return [
                "skeebot cannot read this pull request. Until that is mended nothing more is planned, begun or swapped here:",
                text,
                "It looks again every few minutes, and goes on by itself.",
            ]
        case _:
            assert_never(ask.announcement)


def _who_decides(view: PullRequestView) -> str:
    """The databases team, where a comparison could not prove every row."""
    if not any(run.state is MigrationState.HOLDING and run.unproven for run in words.current(view.runs)):
        return ""
    owner, _, name = view.databases_team.rpartition("/")
    team = (mention(owner or view.ref.owner), mention(name))
    known = all(one.startswith("@") for one in team)
    return f"@{team[0][1:]}/{team[1][1:]}: " if known else f"{words.team('the databases team', view.databases_team)}: "


def _to_whom(ask: Say) -> str:
    """Who typed the command that is answered, and what it was."""
    answered = next((one for one in ask.view.answers if ask.key == f"command/{one.id}"), None)
    return f"{mention(answered.actor)}: {code(answered.line)} was not carried out. " if answered else ""


def _failures(view: PullRequestView) -> str:
    stopped = [run for run in words.current(view.runs) if run.state in {MigrationState.FAILED, MigrationState.CANCELLED}]
    return _list(
        [f"{code(run.migration.target.environment)} {code(str(run.migration.target))}: {words.state_in_words(run)}" for run in stopped]
    )


def _summary(view: PullRequestView) -> str:
    return _migration_table(view, _TABLE_LIMIT)
