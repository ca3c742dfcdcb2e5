"""What people read on GitHub: compared with the golden files, and held against GitHub's limits and hostile content."""

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tests.golden import samples

from activities.github.render import STICKY_MARKER, render_check, render_say, render_sticky, say_marker
from activities.github.words import data_size, duration, headline
from workflows.messages import Announcement, CommandAnswer, Say
from workflows.rules.checks import CheckState
from workflows.rules.names import Login
from workflows.rules.plan import DatabasePlan
from workflows.rules.stages import Stage

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
