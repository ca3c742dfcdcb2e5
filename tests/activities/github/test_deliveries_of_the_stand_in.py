"""Deliveries as a GitHub sends them, whole: each becomes what it should, and nothing that we do ourselves wakes anybody."""

import json

from activities.github.deliveries import read_delivery
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import PullRequest
from workflows.messages import BaseMoved, Ignored, Rerequested, Woke
from workflows.rules.names import PullRequestRef


def heard(acme: Acme, since: int = 0) -> list[str]:
    """What our reader makes of everything that happened, ignored ones left out."""
    found = []
    for event in acme.world.events[since:]:
        answer = read_delivery(event.name, "guid", json.dumps(event.payload).encode())
        match answer:
            case Woke(reason=reason):
                found.append(reason)
            case Rerequested(identifier=identifier):
                found.append(f"rerequested {identifier}".strip())
            case BaseMoved(branch=branch):
                found.append(f"push {branch}")
            case Ignored():
                pass
    return found


def test_the_life_of_a_pull_request_wakes_at_each_step(acme: Acme) -> None:
    pull = acme.open_change()
    start = len(acme.world.events)
    world = acme.world
    world.push(acme.repository, "add-note", {"README.md": "more"}, author="dave", message="more")
    world.add_label(pull, "migration:for:review", by="dave")
    world.add_label(pull, "bug", by="dave")
    review = world.review(pull, "oscar", "APPROVED", "fine")
    world.dismiss_review(review, by="olga")
    world.comment(pull, "dave", "nice weather")
    world.comment(pull, "dave", ".skeefree help")
    world.close_pull_request(pull, by="dave")
    world.reopen_pull_request(pull, by="dave")
    assert [
        "push add-note",
        "pull_request.synchronize",
        "pull_request.labeled",
        "pull_request_review.submitted",
        "pull_request_review.dismissed",
        "issue_comment.created",
        "pull_request.closed",
        "pull_request.reopened",
    ] == heard(acme, start)


def test_what_we_do_ourselves_wakes_nobody(acme: Acme, pull: PullRequest) -> None:
    start, world, bot = len(acme.world.events), acme.world, acme.app.bot
    world.add_label(pull, "migration:skeema:diff", by=bot)
    comment = world.comment(pull, bot, "the plan")
    world.edit_comment(comment, "the newer plan", by=bot)
    world.create_check_run(acme.app, acme.repository, {"name": "SchemaBot", "head_sha": pull.head_sha, "status": "in_progress"})
    assert [] == heard(acme, start)


def test_a_writers_hand_on_our_comment_wakes(acme: Acme, pull: PullRequest) -> None:
    comment = acme.world.comment(pull, acme.app.bot, "the plan")
    start = len(acme.world.events)
    acme.world.edit_comment(comment, "another plan", by="dave")
    acme.world.delete_comment(comment, by="dave")
    assert ["issue_comment.edited", "issue_comment.deleted"] == heard(acme, start)


def test_re_run_and_buttons_on_our_check_reach_its_pull_request(acme: Acme, pull: PullRequest, ref: PullRequestRef) -> None:
    fields = {
        "name": "SchemaBot",
        "head_sha": pull.head_sha,
        "external_id": f"skeebot/{ref.number}/{pull.head_sha}/1",
        "status": "completed",
        "conclusion": "failure",
        "actions": [{"label": "Retry", "description": "Again", "identifier": "retry-migration"}],
    }
    run = acme.world.create_check_run(acme.app, acme.repository, fields)
    start = len(acme.world.events)
    acme.world.rerequest(run, by="dave")
    acme.world.click_check_action(run, "retry-migration", by="dave")
    assert ["rerequested", "rerequested retry-migration"] == heard(acme, start)
