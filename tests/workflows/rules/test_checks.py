"""The roll-up is total and never green in doubt; a completed run is never re-opened."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.rules.checks import OUTPUT_LIMIT, CheckRun, CheckState, RowState, next_run, roll_up, status_table
from workflows.rules.names import DatabaseRow, HeadSha

HEAD = HeadSha("b" * 40)
OLD_HEAD = HeadSha("a" * 40)
ROWS = [DatabaseRow(environment=environment, database=name) for environment in ("staging", "production") for name in ("orders", "users")]
SUCCESS, FAILURE, WAITING, RUNNING = CheckState.SUCCESS, CheckState.FAILURE, CheckState.ACTION_REQUIRED, CheckState.IN_PROGRESS


def on_head(*states: CheckState) -> dict[DatabaseRow, RowState]:
    return {row: RowState(head_sha=HEAD, state=state) for row, state in zip(ROWS, states, strict=False)}


# ── The roll-up ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "states"),
    [
        (SUCCESS, (SUCCESS, SUCCESS)),
        (WAITING, (SUCCESS, WAITING)),
        (FAILURE, (WAITING, FAILURE)),
        (RUNNING, (FAILURE, RUNNING)),
        (RUNNING, (SUCCESS, RUNNING)),
        (FAILURE, (SUCCESS, FAILURE)),
    ],
)
def test_the_first_match_wins(expected: CheckState, states: tuple[CheckState, ...]) -> None:
    assert expected is roll_up(ROWS[: len(states)], on_head(*states), HEAD)


def test_nothing_expected_is_not_green() -> None:
    assert WAITING is roll_up([], {}, HEAD)


def test_a_missing_row_is_not_green() -> None:
    assert WAITING is roll_up(ROWS[:2], on_head(SUCCESS), HEAD)


def test_a_success_of_another_commit_is_not_green() -> None:
    assert WAITING is roll_up(ROWS[:1], {ROWS[0]: RowState(head_sha=OLD_HEAD, state=SUCCESS)}, HEAD)


def test_work_on_another_commit_is_not_work_on_this_one() -> None:
    assert WAITING is roll_up(ROWS[:1], {ROWS[0]: RowState(head_sha=OLD_HEAD, state=RUNNING)}, HEAD)


def test_a_row_that_nobody_expects_counts_for_nothing() -> None:
    assert SUCCESS is roll_up(ROWS[:1], on_head(SUCCESS, FAILURE), HEAD)


row_states = st.builds(RowState, head_sha=st.sampled_from([HEAD, OLD_HEAD]), state=st.sampled_from(list(CheckState)))


@given(expected=st.lists(st.sampled_from(ROWS), unique=True), states=st.dictionaries(st.sampled_from(ROWS), row_states))
def test_success_if_and_only_if_every_expected_row_succeeds_on_the_head(
    expected: list[DatabaseRow], states: dict[DatabaseRow, RowState]
) -> None:
    all_succeed = bool(expected) and all(states.get(row) == RowState(head_sha=HEAD, state=SUCCESS) for row in expected)
    assert all_succeed == (roll_up(expected, states, HEAD) is SUCCESS)


@given(expected=st.lists(st.sampled_from(ROWS), unique=True), states=st.dictionaries(st.sampled_from(ROWS), row_states))
def test_the_order_of_rows_does_not_matter(expected: list[DatabaseRow], states: dict[DatabaseRow, RowState]) -> None:
    assert roll_up(expected, states, HEAD) is roll_up(list(reversed(expected)), states, HEAD)


# ── Generations ─────────────────────────────────────────────────────────────────────────────────────────────────────

NAME = "SchemaBot"


def run(generation: int, state: CheckState, head_sha: HeadSha = HEAD) -> CheckRun:
    return CheckRun(name=NAME, head_sha=head_sha, generation=generation, state=state)


def test_the_first_run_on_a_head_comes_after_what_github_already_shows() -> None:
    assert run(1, RUNNING) == next_run(None, NAME, HEAD, RUNNING, 0)
    assert run(4, RUNNING) == next_run(None, NAME, HEAD, RUNNING, 3)


def test_a_new_head_begins_after_what_github_shows_there() -> None:
    assert run(1, WAITING) == next_run(run(7, SUCCESS, OLD_HEAD), NAME, HEAD, WAITING, 0)


def test_a_run_in_progress_is_completed_in_its_generation() -> None:
    assert run(2, SUCCESS) == next_run(run(2, RUNNING), NAME, HEAD, SUCCESS, 1)


def test_a_completed_run_that_must_change_gets_a_successor() -> None:
    assert run(3, RUNNING) == next_run(run(2, WAITING), NAME, HEAD, RUNNING, 2)
    assert run(3, FAILURE) == next_run(run(2, SUCCESS), NAME, HEAD, FAILURE, 0)


def test_a_successor_comes_after_everything_that_github_shows() -> None:
    assert run(6, RUNNING) == next_run(run(2, WAITING), NAME, HEAD, RUNNING, 5)


@pytest.mark.parametrize("state", list(CheckState))
def test_nothing_moves_where_nothing_changes(state: CheckState) -> None:
    assert run(2, state) == next_run(run(2, state), NAME, HEAD, state, 2)


@pytest.mark.parametrize("state", list(CheckState))
def test_a_generation_that_github_shows_and_we_know_nothing_of_is_passed(state: CheckState) -> None:
    assert run(10, state) == next_run(run(2, state), NAME, HEAD, state, 9)


def test_a_run_that_is_long_in_progress_is_superseded_by_a_fresh_one() -> None:
    assert run(3, RUNNING) == next_run(run(2, RUNNING), NAME, HEAD, RUNNING, 2, supersede=True)


def test_a_run_that_is_long_in_progress_and_done_is_simply_completed() -> None:
    assert run(2, SUCCESS) == next_run(run(2, RUNNING), NAME, HEAD, SUCCESS, 2, supersede=True)


wishes = st.tuples(st.sampled_from([HEAD, OLD_HEAD]), st.sampled_from(list(CheckState)), st.booleans())


@given(st.lists(wishes, max_size=30))
def test_no_completed_run_is_ever_reopened_and_no_generation_used_twice(history: list[tuple[HeadSha, CheckState, bool]]) -> None:
    shown: CheckRun | None = None
    newest: dict[HeadSha, int] = {}
    states: dict[str, CheckState] = {}
    for head, wanted, supersede in history:
        shown = next_run(shown, NAME, head, wanted, newest.get(head, 0), supersede=supersede)
        assert wanted is shown.state
        assert head == shown.head_sha
        assert shown.generation >= newest.get(head, 0)
        before = states.get(shown.external_id(1))
        assert before is None or before is RUNNING or before is wanted
        newest[head] = shown.generation
        states[shown.external_id(1)] = wanted


# ── The table of the aggregate ──────────────────────────────────────────────────────────────────────────────────────


def test_the_table_lists_database_environment_and_status() -> None:
    assert "| Database | Environment | Status |\n| --- | --- | --- |\n| `orders` | `staging` | running |" == status_table(
        [(ROWS[0], "running")]
    )


@settings(deadline=None, max_examples=30)
@given(number=st.integers(0, 3_000), length=st.integers(1, 60))
def test_the_table_is_cut_by_rows_to_githubs_bytes(number: int, length: int) -> None:
    rows = [(DatabaseRow(environment="staging", database=f"{at}" + "ö" * length), "waiting") for at in range(number)]
    table = status_table(rows)
    assert len(table.encode()) <= OUTPUT_LIMIT
    shown = sum(1 for line in table.split("\n") if line.endswith("| waiting |"))
    assert shown == number or table.endswith(f"\n\n… and {number - shown:,} more")
