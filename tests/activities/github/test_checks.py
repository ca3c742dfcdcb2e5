"""Check runs against the stand-in: found before made, never re-opened, never doubled."""

import asyncio
from dataclasses import replace

import pytest

from activities.errors import OurBug, TryAgain
from activities.github.checks import Checks
from activities.github.client import GitHubClient
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import CheckRun as RunThere
from tests.fakes.github.objects import PullRequest
from workflows.messages import PublishCheck, PullRequestView
from workflows.rules.checks import CheckRun, CheckState
from workflows.rules.names import DatabaseRow, HeadSha, PullRequestRef
from workflows.rules.stages import Stage


@pytest.fixture
def checks(client: GitHubClient) -> Checks:
    return Checks(client)


def ask(
    view: PullRequestView, state: CheckState, *, generation: int = 1, name: str = "SchemaBot", row: DatabaseRow | None = None
) -> PublishCheck:
    run = CheckRun(name=name, head_sha=view.head_sha, generation=generation, state=state)
    return PublishCheck(ref=view.ref, run=run, row=row, view=view)


def runs(acme: Acme, name: str | None = None) -> list[RunThere]:
    return acme.world.check_run_history(acme.repository, name=name)


def states(run: RunThere) -> list[str]:
    return [one.conclusion or one.status for one in run.history]


def writes(acme: Acme) -> list[str]:
    return [one.operation for one in acme.world.requests if one.method in {"POST", "PATCH"} and one.operation.startswith("checks/")]


async def test_a_new_run_carries_its_generation_and_our_words(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    published = await checks.publish_check(ask(view, CheckState.ACTION_REQUIRED))
    (run,) = runs(acme)
    assert f"skeebot/1/{view.head_sha}/1" == run.external_id
    assert ("completed", "action_required") == (run.status, run.conclusion)
    assert run.title
    assert run.summary
    assert run.id == published.run_id
    assert published.at.endswith("Z")


async def test_publishing_twice_equals_once(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    first = await checks.publish_check(ask(view, CheckState.ACTION_REQUIRED))
    second = await checks.publish_check(ask(view, CheckState.ACTION_REQUIRED))
    assert first.run_id == second.run_id
    assert ["checks/create"] == writes(acme)


async def test_work_that_goes_on_is_completed_in_place(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    await checks.publish_check(ask(view, CheckState.IN_PROGRESS))
    await checks.publish_check(ask(view, CheckState.SUCCESS))
    (run,) = runs(acme)
    assert ["in_progress", "success"] == states(run)


async def test_new_words_on_a_completed_run_are_only_words(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    await checks.publish_check(ask(view, CheckState.ACTION_REQUIRED))
    await checks.publish_check(ask(replace(view, stage=Stage.AWAITING_DBA), CheckState.ACTION_REQUIRED))
    (run,) = runs(acme)
    assert 2 == len(run.history)
    assert {None} == {one.ignored for one in run.history}
    assert run.history[0].title != run.history[1].title


async def test_another_conclusion_in_the_same_generation_is_our_bug(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    await checks.publish_check(ask(view, CheckState.FAILURE))
    for state in (CheckState.SUCCESS, CheckState.IN_PROGRESS):
        with pytest.raises(OurBug, match="needs a new generation"):
            await checks.publish_check(ask(view, state))
    assert ["failure"] == states(runs(acme)[0])


async def test_the_next_generation_supersedes(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    await checks.publish_check(ask(view, CheckState.FAILURE))
    await checks.publish_check(ask(view, CheckState.SUCCESS, generation=2))
    current = acme.world.current_check(acme.repository, view.head_sha, "SchemaBot")
    assert current is not None
    assert "success" == current.conclusion
    assert 2 == len(runs(acme))


async def test_a_late_attempt_at_an_older_generation_never_becomes_the_newest(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    await checks.publish_check(ask(view, CheckState.FAILURE, generation=2))
    with pytest.raises(OurBug, match="comes too late"):
        await checks.publish_check(ask(view, CheckState.SUCCESS, generation=1))
    assert 1 == len(runs(acme))


@pytest.mark.parametrize("status", [502, 0])
async def test_a_post_that_landed_but_lost_its_answer_is_found_not_doubled(
    acme: Acme, checks: Checks, view: PullRequestView, status: int
) -> None:
    acme.world.chaos.fail_next("checks/create", status=status, after_effect=True)
    wanted = ask(view, CheckState.ACTION_REQUIRED)
    with pytest.raises(TryAgain):
        await checks.publish_check(wanted)
    published = await checks.publish_check(wanted)
    (run,) = runs(acme)
    assert run.id == published.run_id


async def test_a_completion_that_landed_but_lost_its_answer_is_not_repeated(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    await checks.publish_check(ask(view, CheckState.IN_PROGRESS))
    acme.world.chaos.fail_next("checks/update", status=502, after_effect=True)
    with pytest.raises(TryAgain):
        await checks.publish_check(ask(view, CheckState.SUCCESS))
    await checks.publish_check(ask(view, CheckState.SUCCESS))
    assert ["in_progress", "success"] == states(runs(acme)[0])


async def test_a_run_of_that_name_by_another_app_is_not_ours(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    other = acme.world.add_app("impostor")
    fields = {"name": "SchemaBot", "head_sha": view.head_sha, "external_id": f"skeebot/1/{view.head_sha}/7", "status": "in_progress"}
    acme.world.create_check_run(other, acme.repository, fields)
    await checks.publish_check(ask(view, CheckState.SUCCESS))
    assert ["in_progress"] == states(runs(acme)[0])
    assert ["success"] == states(runs(acme)[1])


async def test_a_pull_request_with_the_same_head_has_runs_of_its_own(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    twin = replace(view, ref=PullRequestRef("acme", "shop", 2))
    await checks.publish_check(ask(view, CheckState.ACTION_REQUIRED, generation=5))
    await checks.publish_check(ask(twin, CheckState.ACTION_REQUIRED, generation=1))
    assert [f"skeebot/1/{view.head_sha}/5", f"skeebot/2/{view.head_sha}/1"] == [one.external_id for one in runs(acme)]


async def test_twenty_checks_at_once_with_random_latency_and_lost_answers_make_twenty_runs(
    acme: Acme, checks: Checks, view: PullRequestView
) -> None:
    acme.world.chaos.latency = (0.0, 0.1)
    acme.world.chaos.fail_share(0.2, operations={"checks/create", "checks/update"}, seed=7)
    rows = [DatabaseRow("staging", f"db{number:02}") for number in range(20)]

    async def publish_until_it_holds(row: DatabaseRow, state: CheckState) -> None:
        wanted = ask(view, state, name=row.check_name("SchemaBot"), row=row)
        for _ in range(50):
            try:
                await checks.publish_check(wanted)
            except TryAgain:
                continue
            return
        raise AssertionError(f"{row} was never published")

    for state in (CheckState.IN_PROGRESS, CheckState.SUCCESS):
        await asyncio.gather(*(publish_until_it_holds(row, state) for row in rows))
    assert sorted(row.check_name("SchemaBot") for row in rows) == sorted(one.name for one in runs(acme))
    assert {"success"} == {one.conclusion for one in runs(acme)}
    assert {None} == {state.ignored for one in runs(acme) for state in one.history}


async def test_more_runs_than_a_page_holds_are_all_seen(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    for generation in range(1, 131):
        fields = {"name": "SchemaBot", "head_sha": view.head_sha, "external_id": f"skeebot/1/{view.head_sha}/{generation}"}
        acme.world.create_check_run(acme.app, acme.repository, fields | {"status": "completed", "conclusion": "failure"})
    assert 130 == len(await checks.runs_on("acme/shop", HeadSha(view.head_sha)))
    await checks.publish_check(ask(view, CheckState.FAILURE, generation=130))
    assert 130 == len(runs(acme))


async def test_a_secondary_limit_waits_at_least_a_minute(acme: Acme, checks: Checks, view: PullRequestView) -> None:
    acme.world.chaos.fail_next("checks/create", status=403, kind="secondary")
    with pytest.raises(TryAgain) as caught:
        await checks.publish_check(ask(view, CheckState.SUCCESS))
    assert caught.value.next_retry_delay is not None
    assert 60 <= caught.value.next_retry_delay.total_seconds()


async def test_a_commit_that_github_does_not_have_is_no_retry(checks: Checks, view: PullRequestView, pull: PullRequest) -> None:
    with pytest.raises(OurBug):
        await checks.publish_check(ask(replace(view, head_sha=HeadSha("0" * 40)), CheckState.SUCCESS))
