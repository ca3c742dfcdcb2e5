"""Questions that are asked of a pull request's story, without a workflow."""

from dataclasses import replace

from tests.workflows.desk import AUTHOR, DBA, FIRST, directory, migration
from workflows.messages import ChangedDirectory, Changes, PullRequestSnapshot
from workflows.rules.checks import CheckState
from workflows.rules.names import DatabaseRow, PullRequestRef
from workflows.rules.plan import DatabasePlan, Drift, Enrolment, Refusal
from workflows.rules.stages import Stage
from workflows.story import Story, row_key

REF = PullRequestRef("acme", "shop", 1)
STAGING, PRODUCTION = DatabaseRow("staging", "orders"), DatabaseRow("production", "orders")
PASSING = Refusal(code="away", what="No answer.", next="Wait.", passing=True)


def planned(*plans: DatabasePlan) -> Story:
    """An open pull request whose databases these are."""
    story = Story(ref=REF)
    story.snapshot = PullRequestSnapshot(
        ref=REF,
        state="open",
        title="",
        author=AUTHOR,
        head_sha=FIRST,
        base_ref="main",
        base_sha="0" * 40,
        now="",
        base_protected=True,
        base_requires_check=True,
        enrolment=Enrolment("acme/shop", "owners", "dbas", directories=(directory("staging"), directory("production"))),
    )
    story.planned_for = story.plan_key()
    story.changes = Changes(directories=tuple(ChangedDirectory(plan.row, "orders", ("orders",)) for plan in plans))
    story.plans = {row_key(plan.row): plan for plan in plans}
    return story


def drift(environment: str, key: str = "x", *, by: str = "") -> Drift:
    return Drift(migration(environment).target, f"ALTER TABLE `orders` ADD KEY `{key}`", by_pull_request=by)


def test_each_wait_for_a_passing_refusal_is_twice_as_long_up_to_an_hour() -> None:
    story = planned(DatabasePlan(STAGING, refusal=PASSING))
    waits = []
    for _ in range(40):
        story.note_planned(1000.0)
        waits.append(story.plan_again_at - 1000.0)
    assert [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0] == waits[:7]
    assert {3600.0} == set(waits[6:])


def test_a_plan_without_passing_refusals_is_waited_for_no_more() -> None:
    story = planned(DatabasePlan(STAGING, refusal=PASSING))
    story.note_planned(1000.0)
    story.plans = {row_key(STAGING): DatabasePlan(STAGING, refusal=replace(PASSING, passing=False))}
    story.note_planned(2000.0)
    assert (0.0, 0) == (story.plan_again_at, story.planned_in_vain)


def test_drift_that_was_accepted_in_one_place_is_open_in_another() -> None:
    story = planned(DatabasePlan(STAGING, drift=(drift("staging"),)))
    story.acknowledge_drift(DBA)
    story.planned_for = story.plan_key()
    assert (Stage.COMPLETE, CheckState.SUCCESS) == (story.stage(), story.aggregate())
    both = planned(DatabasePlan(STAGING, drift=(drift("staging"),)), DatabasePlan(PRODUCTION, drift=(drift("production"),)))
    both.drift_kept, both.drift_acknowledged = story.drift_kept, story.drift_acknowledged
    assert (Stage.AWAITING_DRIFT, CheckState.ACTION_REQUIRED) == (both.stage(), both.aggregate())
    assert CheckState.SUCCESS is both.row_states()[STAGING].state
    assert "" == both.drift_acknowledged_by


def test_accepted_drift_stays_accepted_where_some_of_it_was_mended() -> None:
    story = planned(DatabasePlan(STAGING, drift=(drift("staging"),)), DatabasePlan(PRODUCTION, drift=(drift("production"),)))
    story.acknowledge_drift(DBA)
    story.planned_for = story.plan_key()
    story.plans[row_key(PRODUCTION)] = DatabasePlan(PRODUCTION)
    assert Stage.COMPLETE is story.stage()
    assert DBA == story.drift_acknowledged_by


def test_drift_that_changed_since_it_was_accepted_is_open() -> None:
    story = planned(DatabasePlan(STAGING, drift=(drift("staging"),)))
    story.acknowledge_drift(DBA)
    story.planned_for = story.plan_key()
    story.plans[row_key(STAGING)] = DatabasePlan(STAGING, drift=(drift("staging", "y"),))
    assert (Stage.AWAITING_DRIFT, CheckState.ACTION_REQUIRED) == (story.stage(), story.aggregate())


def test_another_pull_requests_drift_is_never_accepted_by_word() -> None:
    story = planned(DatabasePlan(STAGING, drift=(drift("staging", by="acme/shop#77"),)))
    assert (Stage.AWAITING_OTHER, CheckState.ACTION_REQUIRED) == (story.stage(), story.aggregate())
