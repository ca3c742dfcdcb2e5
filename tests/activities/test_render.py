"""What people read on GitHub: compared with the golden files, and held against GitHub's limits and hostile content."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from activities.github.render import COMMENT_LIMIT, CheckOutput, render_check, render_say, render_sticky
from activities.github.words import data_size, duration, headline, progress_in_words, state_in_words
from tests.golden import samples
from workflows.messages import Announcement, CommandAnswer, MigrationRun, Progress, PullRequestView, Say
from workflows.rules import commands
from workflows.rules.approvals import Approvals
from workflows.rules.checks import OUTPUT_LIMIT, CheckState
from workflows.rules.names import DatabaseRow, Login
from workflows.rules.plan import DatabasePlan, Drift, Refusal, Risk
from workflows.rules.stages import MigrationState, Stage

GOLDEN = Path(samples.__file__).parent
RENDERED = samples.rendered()


@pytest.mark.parametrize("name", sorted(RENDERED))
def test_what_is_rendered_is_what_the_golden_file_holds(name: str) -> None:
    wanted = GOLDEN / name
    assert wanted.exists(), "A new sample: run `PYTHONPATH=. .venv/bin/python -m tests.golden.write`, and read what it wrote."
    assert wanted.read_text(encoding="utf-8") == RENDERED[name], (
        "The words changed. If that is meant, run `PYTHONPATH=. .venv/bin/python -m tests.golden.write` and read the diff."
    )


def test_no_golden_file_is_left_over() -> None:
    assert sorted(RENDERED) == sorted(path.name for path in GOLDEN.glob("*.md"))


def test_every_stage_has_a_golden_file() -> None:
    assert set(Stage) == {view.stage for view in samples.STICKY.values()}


def test_every_announcement_has_a_golden_file() -> None:
    assert set(Announcement) == {ask.announcement for ask in samples.SAID.values()}


# ── The first line ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage.value.startswith("awaiting")])
def test_the_first_line_says_what_is_waited_for(stage: Stage) -> None:
    assert render_sticky(samples.view(stage)).startswith("**Waiting for ")


def test_a_team_that_github_does_not_know_is_named_where_approvals_are_waited_for() -> None:
    view = replace(samples.view(Stage.AWAITING_OWNER), unknown_teams=("dba",))
    assert "GitHub knows no team `dba` in `acme`" in render_sticky(view)


def test_losses_are_accepted_by_a_line_that_can_be_copied_and_that_skeebot_understands() -> None:
    shown = render_sticky(samples.view(Stage.AWAITING_UNSAFE))
    line = shown.split("```\n")[1].strip()
    assert ".skeefree allow-unsafe c0ffee12ab34" == line
    parsed = commands.parse(line.removeprefix(".skeefree"))
    assert isinstance(parsed, commands.AllowUnsafe)
    assert parsed.allows(samples.DIGEST)


@pytest.mark.parametrize("stage", list(Stage))
def test_every_line_that_people_are_asked_to_type_is_understood(stage: Stage) -> None:
    command = headline(samples.view(stage)).command
    assert not command or not isinstance(commands.parse(command.removeprefix(".skeefree")), Refusal)


def test_another_command_prefix_is_used_wherever_something_is_to_be_typed() -> None:
    protocol = replace(samples.view(Stage.FAILED).protocol, command_prefix="/schema")
    shown = render_sticky(samples.view(Stage.FAILED, protocol=protocol))
    assert "/schema retry-migration" in shown
    assert ".skeefree" not in shown


def test_what_codeowners_lacks_is_told_where_approvals_are_waited_for() -> None:
    view = replace(samples.view(Stage.AWAITING_OWNER), owner_team="", codeowners_gap="CODEOWNERS names no owner of itself. Name one.")
    assert "Nobody can be an owner: CODEOWNERS names no owner of itself. Name one." in render_sticky(view)


def test_a_review_that_github_would_not_ask_for_is_told_with_the_approvals() -> None:
    view = replace(samples.view(Stage.AWAITING_DBA), review_refused="GitHub will not ask the team dbas. Give it read access.")
    assert "was not asked: GitHub will not ask the team dbas. Give it read access." in render_sticky(view)


def test_reasons_name_commands_with_the_prefix_that_was_set() -> None:
    view = samples.view(Stage.REFUSED)
    reason = Refusal(code="trouble", what="MySQL is away.", next="Comment `.skeefree retry-migration`.")
    plan = DatabasePlan(row=view.expected[0], refusal=reason)
    view = replace(view, plans=(plan,), protocol=replace(view.protocol, command_prefix="/schema"))
    said = Say(ref=view.ref, announcement=Announcement.FAILED, key="k", view=view, text="Type `.skeefree abort`.")
    shown = render_sticky(view) + render_say(said)
    assert "`/schema retry-migration`" in shown
    assert "`/schema abort`" in shown
    assert ".skeefree" not in shown


# ── Checks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_title_of_a_databases_check_names_the_database_and_what_it_waits_for() -> None:
    output = render_check(samples.CHECKS["database-waiting"])
    assert "production/mysql/shop: waiting for the databases team" == output.title


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("state", list(CheckState))
def test_buttons_fit_githubs_limits_and_are_commands(stage: Stage, state: CheckState) -> None:
    actions = render_check(samples.check(samples.view(stage), state)).actions
    assert len(actions) <= 3
    for one in actions:
        assert len(one.label) <= 20
        assert len(one.description) <= 40
        assert len(one.identifier) <= 20
        assert not isinstance(commands.parse(one.identifier), Refusal)
    assert state in {CheckState.FAILURE, CheckState.ACTION_REQUIRED} or not actions


def test_losses_are_never_accepted_by_a_button() -> None:
    assert () == render_check(samples.check(samples.view(Stage.AWAITING_UNSAFE), CheckState.ACTION_REQUIRED)).actions


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in {Stage.COMPLETE, Stage.MERGED}])
@pytest.mark.parametrize("state", [CheckState.FAILURE, CheckState.ACTION_REQUIRED, CheckState.IN_PROGRESS])
def test_a_check_that_is_not_green_never_says_complete(stage: Stage, state: CheckState) -> None:
    for row in (None, samples.STAGING, samples.PRODUCTION):
        assert "complete" not in render_check(samples.check(samples.view(stage), state, row)).title


def test_the_check_of_one_database_says_nothing_of_the_others() -> None:
    output = render_check(samples.CHECKS["database-failed"])
    assert "staging" not in output.title + output.summary + output.text


def test_the_plan_of_record_holds_the_whole_digest_and_every_statement() -> None:
    text = render_check(samples.CHECKS["aggregate-waiting"]).text
    assert all(part in text for part in (samples.DIGEST, samples.ORDERS, samples.GIFTS, samples.COUPONS))


# ── Limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

HUGE = samples.view(Stage.RUNNING, plans=(samples.many_tables(2_000),), expected=(samples.STAGING,))


def test_a_plan_of_thousands_of_tables_is_cut_by_rows_and_says_so() -> None:
    shown = render_sticky(HUGE)
    assert len(shown.encode()) <= COMMENT_LIMIT
    assert re.search(r"^… and [0-9,]+ more$", shown, re.MULTILINE)
    assert all(row.endswith(" |") for row in shown.split("\n") if row.startswith("|"))


def test_a_check_of_thousands_of_tables_fits_githubs_bytes() -> None:
    output = render_check(samples.check(HUGE, CheckState.IN_PROGRESS, samples.STAGING))
    assert len(output.summary.encode()) <= OUTPUT_LIMIT
    assert len(output.text.encode()) <= OUTPUT_LIMIT
    assert re.search(r"… and [0-9,]+ more", output.text)


def test_the_aggregate_of_thousands_of_databases_is_cut_by_rows() -> None:
    rows = tuple(DatabaseRow(environment="staging", database=f"größe_{at:05d}") for at in range(5_000))
    output = render_check(samples.check(samples.view(Stage.PLANNING, expected=rows, plans=()), CheckState.IN_PROGRESS))
    assert len(output.summary.encode()) <= OUTPUT_LIMIT
    assert re.search(r"\n\n… and [0-9,]+ more$", output.summary)


def test_a_statement_of_a_hundred_kilobytes_is_cut_inside_its_fence() -> None:
    long = replace(samples.alter(samples.STAGING), statement="ALTER TABLE `orders` " + "ADD `ä` int, " * 8_000)
    shown = render_sticky(samples.view(Stage.AWAITING_OWNER, plans=(DatabasePlan(row=samples.STAGING, migrations=(long,)),)))
    assert len(shown.encode()) <= COMMENT_LIMIT
    assert "more bytes" in shown
    assert shown.endswith("can be typed here.</sub>")


# ── Hostile content ─────────────────────────────────────────────────────────────────────────────────────────────────

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
OUR_HTML = re.compile(r"</?(details|summary|code|sub)>")


OUR_MENTIONS = re.compile("@ada: |^@acme/databases: ")


def tokens(text: str) -> Iterable[Token]:
    for block in MARKDOWN.parse(text):
        yield block
        yield from block.children or ()


def assert_harmless(text: str) -> None:
    """No HTML but ours, no link, no image, nobody mentioned but by us, and every fold closed outside of code."""
    folds = 0
    in_code = False
    for token in tokens(text):
        assert token.type not in {"link_open", "image"}, token
        if token.type in {"html_block", "html_inline"}:
            left = OUR_HTML.sub("", token.content)
            assert "<" not in left, token.content
            folds += token.content.count("<details>") - token.content.count("</details>")
            in_code = (in_code or "<code>" in token.content) and not token.content.rstrip().endswith("</code>")
            assert "@" not in left, token.content
        if token.type == "text" and not in_code:
            assert not re.search(r"@[A-Za-z0-9]", OUR_MENTIONS.sub("", token.content)), token.content
    assert 0 == folds


@pytest.mark.parametrize("name", sorted(name for name in RENDERED if not name.startswith("check-")))
def test_no_comment_holds_html_links_or_mentions_that_are_not_ours(name: str) -> None:
    assert_harmless(RENDERED[name])


@pytest.mark.parametrize("name", sorted(samples.CHECKS))
def test_no_check_holds_html_links_or_mentions_that_are_not_ours(name: str) -> None:
    output = render_check(samples.CHECKS[name])
    assert_harmless(output.summary)
    assert_harmless(output.text)


def test_only_the_author_is_mentioned_at_the_end() -> None:
    assert render_say(samples.SAID["complete"]).startswith("@ada: ")
    assert "@" not in render_sticky(samples.STICKY["complete"])


def test_the_databases_team_is_mentioned_where_it_decides_and_only_there() -> None:
    assert render_say(samples.SAID["held-unproven"]).startswith("@acme/databases: ")
    assert "@" not in render_say(samples.SAID["held"])
    assert "@" not in render_sticky(samples.STICKY["holding-cut-over-unproven"])
    elsewhere = replace(
        samples.SAID["held-unproven"], view=replace(samples.STICKY["holding-cut-over-unproven"], databases_team="corp/dbas")
    )
    assert render_say(elsewhere).startswith("@corp/dbas: ")


def test_an_author_whose_name_is_no_login_is_not_mentioned() -> None:
    ask = Say(samples.REF, Announcement.COMPLETE, "complete", replace(samples.STICKY["complete"], author=Login("a b @everyone")))
    assert render_say(ask).startswith("`a b @everyone`: ")


def test_direction_changing_characters_are_spelled_out() -> None:
    assert "\u202e" not in RENDERED["sticky-hostile.md"]
    assert "\\u202e" in RENDERED["sticky-hostile.md"]


nasty = st.text(
    st.one_of(st.sampled_from("`~|<>@\\\n\r[]()!*_#&-: ab1\u202e"), st.characters(exclude_categories=["Cs"])), max_size=40
) | st.sampled_from(["```", "</details>", "<!--", "-->", "@everyone", "\n\n# x", "| --- |", "<script>", "`a|b`", "\\`", "``x`"])


@settings(max_examples=60, deadline=None)
@given(st.lists(nasty, min_size=13, max_size=13))
def test_no_text_from_outside_breaks_out(texts: list[str]) -> None:
    table, statement, why, risk, dependent, drift, by, note, what, detail, line, text, login = texts
    migration = replace(
        samples.alter(samples.STAGING),
        target=samples.target(samples.STAGING, table),
        statement=statement,
        why=why,
        risks=(Risk(code="x", text=risk, unsafe=True),),
        dependents=(dependent,),
    )
    plan = DatabasePlan(
        row=samples.STAGING,
        migrations=(migration,),
        drift=(Drift(target=migration.target, statement=drift), Drift(target=migration.target, statement="x", by_pull_request=by)),
        refusal=Refusal(code="x", what=what, next="Then do it."),
        notes=(note,),
    )
    shown = samples.view(
        Stage.FAILED,
        expected=(samples.STAGING,),
        plans=(plan,),
        runs=(samples.run(migration, MigrationState.FAILED, detail=detail),),
        approvals=Approvals(not_counted={login: text}, objections=(Login(login),)),
        answers=(CommandAnswer(id="1", line=line, actor=Login("bob"), done=False, text=text),),
    )
    sticky = render_sticky(shown)
    assert_harmless(sticky)
    assert sticky.endswith("can be typed here.</sub>")
    rows = [row for token in MARKDOWN.parse(sticky) if token.type == "tr_open" for row in [token]]
    assert 2 == len(rows)
    output = render_check(samples.check(shown, CheckState.FAILURE, samples.STAGING))
    assert_harmless(output.summary)
    assert_harmless(output.text)
    assert "\n" not in output.title
    assert_harmless(render_say(Say(samples.REF, Announcement.HELD, text, shown, text=text)))


# ── Small words ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "under 1 s"), (14.4, "14 s"), (119, "119 s"), (180, "3 min"), (7_800, "2 h 10 min"), (7_200, "2 h"), (352_800, "4 d 2 h")],
)
def test_a_duration_in_words(seconds: float, expected: str) -> None:
    assert expected == duration(seconds)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0 B"), (999, "999 B"), (1_400_000_000, "1.4 GB"), (67_200_000, "67.2 MB"), (3e15, "3,000.0 TB")]
)
def test_a_size_in_words(size: float, expected: str) -> None:
    assert expected == data_size(size)


def test_progress_shows_a_bar_the_rows_and_the_time_left() -> None:
    assert "`██████░░░░` 62 % · 199,680 of 320,000 rows · 19 s left" == progress_in_words(samples.HALFWAY)


def test_progress_out_of_range_stays_a_bar() -> None:
    assert progress_in_words(Progress(percent=180.0)).startswith("`██████████` 100 %")
    assert progress_in_words(Progress(percent=-4.0, rows_total=5)).startswith("`░░░░░░░░░░` 0 %")


@pytest.mark.parametrize("state", list(MigrationState))
def test_every_state_of_a_migration_has_words(state: MigrationState) -> None:
    assert state_in_words(samples.run(samples.alter(samples.STAGING), state))


def test_what_ran_is_still_shown_when_the_plan_has_become_empty() -> None:
    assert samples.ORDERS in render_sticky(samples.STICKY["complete"])


def test_of_two_attempts_the_last_is_shown() -> None:
    migration = samples.alter(samples.STAGING)
    runs: tuple[MigrationRun, ...] = (samples.run(migration, MigrationState.FAILED), samples.run(migration, MigrationState.RUNNING))
    shown: PullRequestView = samples.view(Stage.RUNNING, runs=runs, expected=(samples.STAGING,), plans=())
    output: CheckOutput = render_check(samples.check(shown, CheckState.IN_PROGRESS, samples.STAGING))
    assert "staging/mysql/shop: running" == output.title
    assert "failed" not in output.summary
