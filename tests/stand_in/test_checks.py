"""The rules that GitHub keeps about check runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.fakes.github.fixtures import Acme

RUNS = "/repos/acme/shop/check-runs"
OUTPUT = {"title": "Title", "summary": "Summary"}


@pytest.fixture
def head(acme: Acme) -> str:
    return acme.open_change().head_sha


def create(api: httpx.Client, head: str, **fields: Any) -> httpx.Response:
    return api.post(RUNS, json={"name": "SchemaBot", "head_sha": head} | fields)


def test_a_completed_run_is_never_reopened(api: httpx.Client, acme: Acme, head: str) -> None:
    run = create(api, head, conclusion="failure", output=OUTPUT).json()
    answer = api.patch(f"{RUNS}/{run['id']}", json={"status": "in_progress", "output": {"title": "New", "summary": "s"}})
    assert 200 == answer.status_code
    shape = answer.json()
    assert ("completed", "failure", "New") == (shape["status"], shape["conclusion"], shape["output"]["title"])
    assert "status" in str(acme.world.check_run_history("acme/shop", head)[0].history[-1].ignored)


def test_a_completed_runs_conclusion_does_not_change(api: httpx.Client, head: str) -> None:
    run = create(api, head, conclusion="action_required", output=OUTPUT).json()
    answer = api.patch(f"{RUNS}/{run['id']}", json={"conclusion": "success", "external_id": "other"})
    assert (200, "action_required", "") == (
        answer.status_code,
        answer.json()["conclusion"],
        answer.json()["external_id"],
    )


def test_a_conclusion_completes(api: httpx.Client, head: str) -> None:
    run = create(api, head, status="in_progress").json()
    assert ("in_progress", None) == (run["status"], run["completed_at"])
    done = api.patch(f"{RUNS}/{run['id']}", json={"conclusion": "success"}).json()
    assert "completed" == done["status"]
    assert done["completed_at"] is not None


def test_completed_without_a_conclusion_is_refused_and_leaves_nothing(api: httpx.Client, acme: Acme, head: str) -> None:
    assert 422 == create(api, head, status="completed").status_code
    assert [] == acme.world.check_run_history("acme/shop")


@pytest.mark.parametrize(
    "fields",
    [
        {"conclusion": "stale"},
        {"conclusion": "fine"},
        {"status": "done"},
        {"output": {"title": "no summary"}},
        {"output": {"summary": "no title"}},
        {"output": {"title": "t", "summary": "€" * 21_846}},
        {"output": {"title": "t", "summary": "s", "text": "x" * 65_536}},
        {"actions": [{"label": "a", "description": "b", "identifier": "c"}] * 4},
        {"actions": [{"label": "a" * 21, "description": "b", "identifier": "c"}]},
        {"actions": [{"label": "a", "description": "b" * 41, "identifier": "c"}]},
        {"actions": [{"label": "a", "description": "b", "identifier": "c" * 21}]},
        {"output": {"title": "t", "summary": "s", "annotations": [{"path": "a"}]}},
        {"output": {"title": "t", "summary": "s", "annotations": [{}] * 51}},
        {"head_sha": "0" * 40},
        {"name": ""},
    ],
)
def test_what_github_refuses_is_refused(api: httpx.Client, acme: Acme, head: str, fields: dict[str, Any]) -> None:
    answer = create(api, head, **fields)
    assert 422 == answer.status_code
    assert answer.json()["message"]
    assert [] == acme.world.check_run_history("acme/shop")


def test_a_summary_of_exactly_the_limit_in_bytes_is_accepted(api: httpx.Client, head: str) -> None:
    assert 201 == create(api, head, output={"title": "t", "summary": "€" * 21_845}).status_code


def test_the_newest_run_of_a_name_counts_for_each_app(api: httpx.Client, acme: Acme, head: str) -> None:
    create(api, head, conclusion="failure")
    newest = create(api, head, conclusion="success").json()["id"]
    other = acme.world.add_app("impostor")
    acme.world.create_check_run(other, "acme/shop", {"name": "SchemaBot", "head_sha": head, "conclusion": "failure"})
    found = api.get(f"/repos/acme/shop/commits/{head}/check-runs", params={"app_id": acme.app.id}).json()
    assert [newest] == [run["id"] for run in found["check_runs"]]
    assert 2 == api.get(f"/repos/acme/shop/commits/{head}/check-runs").json()["total_count"]
    assert 3 == api.get(f"/repos/acme/shop/commits/{head}/check-runs?filter=all").json()["total_count"]


def test_runs_are_filtered_by_name_and_found_by_branch(api: httpx.Client, head: str) -> None:
    create(api, head)
    create(api, head, name="SchemaBot: staging/mysql/orders")
    params = {"check_name": "SchemaBot: staging/mysql/orders"}
    found = api.get("/repos/acme/shop/commits/add-note/check-runs", params=params).json()
    assert ["SchemaBot: staging/mysql/orders"] == [run["name"] for run in found["check_runs"]]


def test_an_app_cannot_touch_the_run_of_another(api: httpx.Client, acme: Acme, head: str) -> None:
    other = acme.world.add_app("impostor")
    run = acme.world.create_check_run(other, "acme/shop", {"name": "SchemaBot", "head_sha": head})
    assert 403 == api.patch(f"{RUNS}/{run.id}", json={"conclusion": "success"}).status_code


def test_a_run_that_stays_incomplete_for_two_weeks_goes_stale(acme: Acme, head: str) -> None:
    run = acme.world.create_check_run(acme.app, "acme/shop", {"name": "SchemaBot", "head_sha": head})
    assert [] == acme.world.age_checks()
    assert [run] == acme.world.age_checks(timedelta(0))
    assert "stale" == run.conclusion


def test_a_run_names_the_open_pull_requests_of_its_head(api: httpx.Client, acme: Acme, head: str) -> None:
    acme.world.create_branch("acme/shop", "twin", head, by="dave")
    acme.world.open_pull_request("acme/shop", "twin", author="dave")
    assert [1, 2] == [pull["number"] for pull in create(api, head).json()["pull_requests"]]


def test_the_history_tells_every_state_and_who_made_it(api: httpx.Client, acme: Acme, head: str) -> None:
    run = create(api, head, status="queued").json()["id"]
    api.patch(f"{RUNS}/{run}", json={"status": "in_progress"})
    api.patch(f"{RUNS}/{run}", json={"conclusion": "success"})
    (only,) = acme.world.check_run_history("acme/shop", head, "SchemaBot")
    assert [("queued", None), ("in_progress", None), ("completed", "success")] == [
        (state.status, state.conclusion) for state in only.history
    ]
    assert {"skeebot[bot]"} == {state.by for state in only.history}
