"""The label protocol against the stand-in."""

import pytest

from activities.errors import OurBug, TryAgain
from activities.github.client import GitHubClient
from activities.github.labels import Labels
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import PullRequest
from workflows.messages import SetLabels
from workflows.rules.names import Labels as Names
from workflows.rules.names import PullRequestRef

NAMES = Names()


@pytest.fixture
def labels(client: GitHubClient) -> Labels:
    return Labels(client)


async def test_ours_are_set_as_wanted_and_the_others_left_alone(acme: Acme, labels: Labels, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.add_label(pull, "bug", NAMES.for_review, NAMES.diff, by="dave")
    await labels.set_labels(SetLabels(ref=ref, wanted=(NAMES.detected, NAMES.queued)))
    assert {"bug", NAMES.for_review, NAMES.detected, NAMES.queued} == acme.world.label_names(pull)


async def test_a_label_that_the_repository_lacks_comes_with_colour_and_words(
    acme: Acme, labels: Labels, pull: PullRequest, ref: PullRequestRef
) -> None:
    await labels.set_labels(SetLabels(ref=ref, wanted=tuple(sorted(NAMES.ours()))))
    made = [acme.repository.labels[name] for name in sorted(NAMES.ours())]
    assert {"5319e7", "d93f0b"} == {one.color for one in made}
    assert all(0 < len(one.description or "") <= 100 for one in made)


async def test_the_label_that_the_author_must_set_is_there_to_be_chosen(acme: Acme, labels: Labels, ref: PullRequestRef) -> None:
    await labels.set_labels(SetLabels(ref=ref, wanted=(NAMES.diff,)))
    assert {NAMES.diff, NAMES.for_review} == set(acme.repository.labels)
    assert {NAMES.diff} == acme.world.label_names(acme.repository.pulls[1])


async def test_setting_twice_writes_once(acme: Acme, labels: Labels, ref: PullRequestRef) -> None:
    ask = SetLabels(ref=ref, wanted=(NAMES.diff,))
    await labels.set_labels(ask)
    before = len(acme.world.events)
    await labels.set_labels(ask)
    assert before == len(acme.world.events)
    assert 1 == [one.operation for one in acme.world.requests].count("issues/add-labels")


async def test_nothing_wanted_takes_all_of_ours_off(acme: Acme, labels: Labels, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.add_label(pull, *NAMES.ours(), "bug", by="dave")
    await labels.set_labels(SetLabels(ref=ref, wanted=()))
    assert {"bug"} == acme.world.label_names(pull)


async def test_case_makes_no_other_label(acme: Acme, labels: Labels, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.create_label(acme.repository, NAMES.diff.upper())
    acme.world.add_label(pull, NAMES.diff.upper(), by="dave")
    await labels.set_labels(SetLabels(ref=ref, wanted=(NAMES.diff,)))
    assert {NAMES.diff.upper()} == acme.world.label_names(pull)


async def test_the_developers_label_is_never_ours_to_set(labels: Labels, ref: PullRequestRef) -> None:
    with pytest.raises(OurBug, match="migration:for:review"):
        await labels.set_labels(SetLabels(ref=ref, wanted=(NAMES.for_review,)))


async def test_a_lost_answer_is_repaired_by_the_retry(acme: Acme, labels: Labels, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.chaos.fail_next("issues/create-label", status=502, after_effect=True)
    acme.world.chaos.fail_next("issues/add-labels", status=0, after_effect=True)
    ask = SetLabels(ref=ref, wanted=(NAMES.diff,))
    for _ in range(2):
        with pytest.raises(TryAgain):
            await labels.set_labels(ask)
    await labels.set_labels(ask)
    assert {NAMES.diff} == acme.world.label_names(pull)
