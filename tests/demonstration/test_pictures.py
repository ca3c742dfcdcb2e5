"""The plan, the bars and the lines, as they are read on a narrow terminal."""

import io
import time

import pytest
from rich.console import Console, RenderableType

from demonstration.feed import Line
from demonstration.pictures import Bar, alike, bar_in_words, bars_of, bars_picture, plan_picture
from demonstration.proofs import Proof
from demonstration.screen import WIDEST, Screen
from tests.golden import samples
from workflows.rules.stages import MigrationState, Stage


def console(*, terminal: bool = False, width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def text_of(picture: RenderableType) -> str:
    narrow = console()
    narrow.print(picture)
    return printed(narrow)


# ── The plan ──


def test_a_statement_on_several_shards_is_shown_once_with_each_of_its_places() -> None:
    groups = alike(one for plan in samples.PLANS for one in plan.migrations)
    assert [3, 3, 3] == [len(group) for group in groups]
    shown = text_of(plan_picture(samples.view(Stage.AWAITING_DBA)))
    assert 1 == shown.count("CREATE TABLE `gifts`")
    assert 3 == shown.count("320,000")


@pytest.mark.parametrize("words", ["gh-ost", "67.2 MB", "29 s", "✗ unsafe: `coupons` and its 1,200 rows go.", "· The swap waits up to 3 s"])
def test_the_plan_shows_strategy_size_time_and_risks(words: str) -> None:
    assert words in text_of(plan_picture(samples.view(Stage.AWAITING_DBA)))


def test_staging_comes_before_production() -> None:
    shown = text_of(plan_picture(samples.view(Stage.AWAITING_DBA)))
    assert shown.index("staging") < shown.index("production")


def test_statements_that_were_shown_already_can_be_left_out() -> None:
    shown = text_of(plan_picture(samples.view(Stage.AWAITING_DBA), but={samples.GIFTS, samples.COUPONS}))
    assert (0, 1) == (shown.count("gifts"), shown.count("ALTER TABLE"))


# ── Progress ──


def test_each_moving_table_has_a_bar_and_what_waits_or_is_over_has_none() -> None:
    view = samples.view(Stage.RUNNING, runs=(*samples.STAGING_DONE, *samples.PRODUCTION_RUNNING))
    assert [
        Bar("shop-production/-80 orders", "copying", 62.4, "199,680 rows, 19 s left"),
        Bar("shop-production/80- orders", "throttled, lag=4.2s", 12.0, "38,400 rows"),
    ] == bars_of(view)


def test_a_table_that_holds_its_cut_over_has_a_full_bar() -> None:
    (bar,) = bars_of(samples.view(Stage.HOLDING, runs=samples.PRODUCTION_HOLDING))
    assert Bar("shop-production/-80 orders", MigrationState.HOLDING.value, 100.0) == bar


def test_bars_fit_a_narrow_terminal() -> None:
    shown = text_of(bars_picture([Bar("production/a orders", "copying", 62.4, "199,680 rows, 19 s left")]))
    assert 1 == len(shown.rstrip().splitlines())
    assert "62 %" in shown


def test_a_bar_in_words_has_ten_steps() -> None:
    assert "production/a orders ██████░░░░ 62 % copying, 19 s left" == bar_in_words(
        Bar("production/a orders", "copying", 62.4, "19 s left")
    )
    assert "production/a orders ░░░░░░░░░░ 0 % starting" == bar_in_words(Bar("production/a orders", "starting", 0.0))


# ── The screen ──


def test_without_a_terminal_a_bar_becomes_a_line_at_each_quarter() -> None:
    paper = console()
    with Screen(paper) as screen:
        for percent in (3.0, 26.0, 31.0, 49.0, 76.0, 77.0, 100.0):
            screen.draw([Bar("staging/main orders", "copying", percent)])
        screen.draw([Bar("staging/main orders", "comparing", 30.0)])
    assert ["26 % copying", "76 % copying", "30 % comparing"] == [line.split("░ ")[1] for line in printed(paper).splitlines()]


def test_a_line_names_the_person_with_the_role() -> None:
    paper = console()
    with Screen(paper) as screen:
        screen.line(Line("oscar", "approves c0ffee1", "good"))
    assert "oscar shop owner approves c0ffee1" in " ".join(printed(paper).split())


def test_the_verdict_is_a_line_of_its_own_and_is_never_wrapped() -> None:
    paper = console()
    failure = "demo: FAILED  " + "a very long reason, " * 10
    with Screen(paper) as screen:
        screen.proof(Proof(True, "something was proven"))
        screen.verdict(failure, ok=False)
        screen.verdict("demo: passed", ok=True)
    lines = printed(paper).splitlines()
    assert failure in lines
    assert "demo: passed" == lines[-1]


def test_a_wide_terminal_is_not_filled() -> None:
    assert Screen(console(width=300)).console.width == WIDEST


def test_what_is_waited_for_is_shown_at_the_bottom_of_a_terminal() -> None:
    terminal = console(terminal=True)
    with Screen(terminal) as screen:
        screen.wait_for("the plan")
        screen.draw([Bar("staging/main orders", "copying", 40.0)])
        deadline = time.monotonic() + 10
        while not ("waiting for the plan" in printed(terminal) and "staging/main orders" in printed(terminal)):
            assert time.monotonic() < deadline, printed(terminal)
            time.sleep(0.02)
