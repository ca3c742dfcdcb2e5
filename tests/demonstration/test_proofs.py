"""Each proof holds for what should have been seen, and for nothing less."""

from dataclasses import replace

import pytest

from demonstration import proofs
from demonstration.proofs import CheckSeen, Gate, Withdrawn
from embedded.seed import Reconciliation

FIRST, MERGED = "a" * 40, "b" * 40
WAITING = ("in_progress", "action_required")


def run(head: str, generation: int, *states: str, name: str = "SchemaBot") -> CheckSeen:
    return CheckSeen(name=name, head_sha=head, external_id=f"skeebot/1/{head}/{generation}", states=states)


STORY = [run(FIRST, 1, *WAITING), run(MERGED, 1, *WAITING), run(MERGED, 2, "in_progress", "success")]
ROW = run(MERGED, 1, "success", name="SchemaBot: staging/mysql/orders")


# ── Checks ──


def test_the_story_as_it_should_be_proves_every_claim_about_checks() -> None:
    assert proofs.one_current_run_per_head(STORY).ok
    assert proofs.no_run_is_doubled(STORY).ok
    assert proofs.states_come_in_order(STORY, merged_head=MERGED).ok


def test_the_sequence_of_states_is_told_per_head() -> None:
    text = proofs.states_come_in_order(STORY, merged_head=MERGED).text
    assert "SchemaBot: aaaaaaa in progress → action required; bbbbbbb in progress → action required → in progress → success" == text


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [ROW],
        [*STORY, run(MERGED, 2, "success")],
        [run(FIRST, 2, *WAITING)],
        [run(FIRST, 1, *WAITING), run(FIRST, 3, "success")],
        [run(FIRST, 2, "success"), run(FIRST, 1, *WAITING)],
        [run(FIRST, 1, "in_progress")],
        [run(FIRST, 1, "in_progress"), run(FIRST, 2, "success")],
        [replace(run(FIRST, 1, *WAITING), external_id="somebody else's")],
    ],
    ids=["nothing", "rows alone", "a generation twice", "begins at 2", "a gap", "backwards", "left running", "overtaken", "not ours"],
)
def test_anything_but_one_current_run_per_head_is_seen(runs: list[CheckSeen]) -> None:
    assert not proofs.one_current_run_per_head(runs).ok


def test_a_run_posted_twice_is_seen_also_on_a_row() -> None:
    assert proofs.no_run_is_doubled([*STORY, ROW]).ok
    doubled = proofs.no_run_is_doubled([*STORY, ROW, ROW])
    assert not doubled.ok
    assert ROW.name in doubled.text


def test_an_attempt_to_move_a_completed_run_is_seen() -> None:
    moved = replace(STORY[0], ignored=("the run had completed: {'conclusion': 'success'} was not taken",))
    assert not proofs.no_run_is_doubled([moved, *STORY[1:]]).ok


@pytest.mark.parametrize(
    "runs",
    [
        [],
        STORY[:2],
        [run(FIRST, 1, "success"), *STORY[1:]],
        [run(FIRST, 1, "neutral"), *STORY[1:]],
        [run(MERGED, 1, "in_progress", "success")],
        [*STORY, run(MERGED, 3, "action_required")],
        [*STORY[:2], run(MERGED, 2, "in_progress", "failure"), run(MERGED, 3, "in_progress", "success")],
        [*STORY, run(MERGED, 3, *WAITING), run(MERGED, 4, "in_progress", "success")],
    ],
    ids=["nothing", "not yet", "an old head passed", "neutral passes too", "never waited", "taken back", "failed between", "green twice"],
)
def test_any_other_sequence_of_states_is_seen(runs: list[CheckSeen]) -> None:
    assert not proofs.states_come_in_order(runs, merged_head=MERGED).ok


# ── Merging ──


def gate(**changes: object) -> Gate:
    told = Gate(looks={("", False): 2, ("action_required", False): 40, ("success", True): 3}, refusals=["SchemaBot"], merged_as=MERGED)
    for name, value in changes.items():
        setattr(told, name, value)
    return told


def test_a_gate_that_opened_with_success_is_proven() -> None:
    proof = proofs.merge_waited_for_success(gate())
    assert (True, True) == (proof.ok, "42 looks" in proof.text)


@pytest.mark.parametrize(
    "changes",
    [
        {"looks": {("action_required", False): 40, ("in_progress", True): 1}},
        {"looks": {("action_required", False): 40, ("success", False): 1}},
        {"looks": {("success", True): 1}},
        {"refusals": []},
        {"merged_as": ""},
    ],
    ids=["open early", "closed late", "nobody looked", "nobody refused", "never merged"],
)
def test_any_other_gate_is_seen(changes: dict[str, object]) -> None:
    assert not proofs.merge_waited_for_success(gate(**changes)).ok


def test_looks_are_counted() -> None:
    seen = Gate(looks={}, refusals=[])
    seen.look("success", is_open=True)
    seen.look("success", is_open=True)
    assert {("success", True): 2} == seen.looks


# ── Approvals ──

OUTRUN = Withdrawn(by="oscar", counted_before="oscar", counted_after="", reason="not the head", started=0)


def test_an_approval_that_was_outrun_is_proven() -> None:
    assert proofs.early_approval_stopped_counting(OUTRUN).ok


@pytest.mark.parametrize(
    "seen",
    [None, replace(OUTRUN, counted_before=""), replace(OUTRUN, counted_after="oscar"), replace(OUTRUN, started=1)],
    ids=["not seen", "never counted", "still counts", "something began"],
)
def test_any_other_fate_of_an_early_approval_is_seen(seen: Withdrawn | None) -> None:
    assert not proofs.early_approval_stopped_counting(seen).ok


# ── Data ──

RECONCILED = Reconciliation(
    table="shop_orders.orders",
    expected_rows=300_000,
    found_rows=300_000,
    expected_checksum="ab" * 32,
    found_checksum="ab" * 32,
    missing=(),
    unexpected=(),
    different=(),
    writes={"inserts": 3},
)


def test_rows_must_agree_and_be_many() -> None:
    assert proofs.rows_are_what_was_written("staging/main", RECONCILED, at_least=300_000).ok
    assert not proofs.rows_are_what_was_written("staging/main", RECONCILED, at_least=300_001).ok
    assert not proofs.rows_are_what_was_written("staging/main", replace(RECONCILED, different=(7,)), at_least=1).ok
    assert not proofs.rows_are_what_was_written("staging/main", replace(RECONCILED, found_checksum=""), at_least=1).ok


def test_a_write_that_waited_too_long_is_named() -> None:
    assert proofs.writers_never_stood_still({"staging/main": 0.4, "production/a": 9.0}, limit=10.0).ok
    slow = proofs.writers_never_stood_still({"staging/main": 0.4, "production/a": 11.0}, limit=10.0)
    assert (False, True) == (slow.ok, "production/a 11.0 s" in slow.text)
    assert not proofs.writers_never_stood_still({}, limit=10.0).ok


EXPECTED = {"shop": ["orders"], "catalog": ["products"]}
KEPT = {"shop": ["_20261122_carts_DRP"]}
FOUND = {"shop": ["orders", "_20261122_carts_DRP"], "catalog": ["products"]}


def test_only_what_is_on_record_may_be_left() -> None:
    proof = proofs.nothing_is_left_behind("staging", FOUND, expected=EXPECTED, kept=KEPT)
    assert (True, "staging: 2 tables and nothing left behind; kept on record shop._20261122_carts_DRP") == proof


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (FOUND | {"shop": [*FOUND["shop"], "_orders_gho"]}, "left over shop._orders_gho"),
        (FOUND | {"catalog": ["products", "_20261122_carts_DRP"]}, "left over catalog._20261122_carts_DRP"),
        (FOUND | {"shop": ["orders"]}, "missing shop._20261122_carts_DRP"),
        (FOUND | {"catalog": []}, "missing catalog.products"),
    ],
    ids=["a ghost table", "kept elsewhere", "a kept one gone", "an expected one gone"],
)
def test_what_is_left_behind_or_missing_is_named(found: dict[str, list[str]], fault: str) -> None:
    proof = proofs.nothing_is_left_behind("staging", found, expected=EXPECTED, kept=KEPT)
    assert (False, f"staging: {fault}") == proof


def test_expecting_nothing_proves_nothing() -> None:
    assert not proofs.nothing_is_left_behind("staging", {}, expected={}, kept={}).ok
    assert not proofs.live_is_what_was_merged("staging", {}, merged={}).ok
    assert not proofs.replica_agrees("staging", {}, {}).ok


def test_the_live_schema_must_be_that_of_the_files() -> None:
    merged = {"shop": {"orders": "CREATE TABLE `orders` (…)"}}
    assert proofs.live_is_what_was_merged("staging", {"shop": merged["shop"] | {"_old": "anything"}}, merged=merged).ok
    wrong: list[dict[str, dict[str, str]]] = [
        {"shop": {"orders": "CREATE TABLE `orders` (other)"}},
        {"shop": {}},
        {"catalog": merged["shop"]},
    ]
    for live in wrong:
        proof = proofs.live_is_what_was_merged("staging", live, merged=merged)
        assert (False, True) == (proof.ok, "shop.orders" in proof.text)


def test_a_replica_must_hold_the_same_rows() -> None:
    assert proofs.replica_agrees("production/a", {"shop.orders": 7}, {"shop.orders": 7}).ok
    assert "shop.orders" in proofs.replica_agrees("production/a", {"shop.orders": 7}, {"shop.orders": 8}).text
    assert not proofs.replica_agrees("production/a", {"shop.orders": 7}, {}).ok


def test_the_story_ends_with_one_line_about_the_merge() -> None:
    line = "acme/shop#1 merged: 9 of 9 migrations complete at bbbbbbbbbbbb"
    assert proofs.story_ended_in_one_line("COMPLETED", line).ok
    assert not proofs.story_ended_in_one_line("FAILED", line).ok
    assert not proofs.story_ended_in_one_line("COMPLETED", "acme/shop#1 closed: 0 of 9 migrations complete").ok
    assert not proofs.story_ended_in_one_line("COMPLETED", f"{line}\nand more").ok
