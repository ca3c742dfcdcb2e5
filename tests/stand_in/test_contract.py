"""Every answer that the stand-in can give is parsed by githubkit's model of that operation.

githubkit's models are generated from GitHub's own description of its API, so a field that we forgot fails here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from githubkit import GitHub
from githubkit.exception import RequestFailed

from tests.fakes.github import Gitlink, PullRequest, Symlink
from tests.fakes.github.bare_git import FileContent
from tests.fakes.github.fixtures import Acme, found_acme
from tests.fakes.github.rest import OPERATIONS
from tests.fakes.github.server import GitHubStandIn
from tests.stand_in.conftest import app_client_for, client_for

Client = GitHub[Any]
HERE = ("acme", "shop")
OUTPUT: Any = {"title": "Waiting for the owners", "summary": "| Database | Environment | Status |", "text": "…"}


@pytest.fixture(scope="module")
def full_acme() -> Iterator[Acme]:
    """Acme with one of everything: a fork's pull request, labels, reviews, comments, checks, rules and odd files."""
    with GitHubStandIn() as github:
        acme = found_acme(github)
        world = github.world
        pull = acme.open_change()
        world.request_reviews(pull, users=["dora"], teams=["databases"], by="dave")
        world.review(pull, "olive", "APPROVED", "Good.")
        world.review(pull, "dirk", "COMMENTED", "Hm.", commit_id=None)
        world.dismiss_review(world.review(pull, "dirk", "APPROVED", ""), by="olga")
        world.add_label(pull, "migration:skeema:diff", by="skeebot[bot]")
        world.react(world.comment(pull, "dana", "Looks good"), "olive", "rocket")
        world.protect_branch(acme.repository, required_check="SchemaBot", app_id=github.app_id, required_approvals=1)
        world.add_ruleset(acme.repository, "main", required_check="SchemaBot", app_id=github.app_id, required_approvals=1, merge_queue=True)
        world.create_check_run(
            github.app,
            acme.repository,
            {
                "name": "SchemaBot",
                "head_sha": pull.head_sha,
                "conclusion": "failure",
                "external_id": "1",
                "output": OUTPUT
                | {
                    "annotations": [
                        {
                            "path": "schema/orders.sql",
                            "start_line": 1,
                            "end_line": 2,
                            "annotation_level": "failure",
                            "message": "no",
                        }
                    ]
                },
                "actions": [{"label": "Retry", "description": "Try it again", "identifier": "retry"}],
            },
        )
        odd: dict[str, FileContent] = {"link.sql": Symlink("/etc/passwd"), "module": Gitlink(pull.head_sha), "big.sql": b"-" * 1_100_000}
        world.push(acme.repository, "odd", odd, author="dave")
        fork = world.fork(acme.repository, "mallory")
        world.set_role(acme.repository, "mallory", "read")
        world.push(fork, "theirs", {"schema/orders.sql": "CREATE TABLE o (id int);\n"}, author="mallory")
        world.open_pull_request(acme.repository, "theirs", author="mallory", head_repository=fork, draft=True, body=None)
        github.send_webhooks_to("http://127.0.0.1:9/nobody-listens")
        world.comment(pull, "dave", "Is it my turn?")
        world.wait_until_delivered()
        github.app.webhook_url = None
        yield acme


def first_pull(acme: Acme) -> PullRequest:
    return acme.repository.pulls[1]


def bot_comment(acme: Acme) -> int:
    return acme.world.comment(first_pull(acme), "skeebot[bot]", "Plan", via_app=acme.app).id


def a_run(acme: Acme, **fields: Any) -> int:
    made = {"name": "SchemaBot", "head_sha": first_pull(acme).head_sha, "status": "in_progress"} | fields
    return acme.world.create_check_run(acme.app, acme.repository, made).id


def another_pull(acme: Acme, branch: str) -> int:
    return acme.open_change(branch).number


Ask = Callable[[Client, Acme], Awaitable[Any]]

AS_APP: dict[str, Ask] = {
    "apps/get-authenticated": lambda c, a: c.rest.apps.async_get_authenticated(),
    "apps/list-installations": lambda c, a: c.rest.apps.async_list_installations(),
    "apps/get-installation": lambda c, a: c.rest.apps.async_get_installation(a.installation.id),
    "apps/create-installation-access-token": lambda c, a: c.rest.apps.async_create_installation_access_token(
        a.installation.id, repositories=["shop"], permissions={"checks": "write"}
    ),
    "apps/get-repo-installation": lambda c, a: c.rest.apps.async_get_repo_installation(*HERE),
    "apps/get-org-installation": lambda c, a: c.rest.apps.async_get_org_installation("acme"),
    "apps/list-webhook-deliveries": lambda c, a: c.rest.apps.async_list_webhook_deliveries(),
    "apps/get-webhook-delivery": lambda c, a: c.rest.apps.async_get_webhook_delivery(a.world.outbox.deliveries[0].id),
    "apps/redeliver-webhook-delivery": lambda c, a: c.rest.apps.async_redeliver_webhook_delivery(a.world.outbox.deliveries[0].id),
}

AS_INSTALLATION: dict[str, Ask] = {
    "apps/list-repos-accessible-to-installation": lambda c, a: c.rest.apps.async_list_repos_accessible_to_installation(),
    "repos/get": lambda c, a: c.rest.repos.async_get(*HERE),
    "repos/list-branches": lambda c, a: c.rest.repos.async_list_branches(*HERE),
    "repos/get-branch": lambda c, a: c.rest.repos.async_get_branch(*HERE, "main"),
    "issues/list-events": lambda c, a: c.rest.issues.async_list_events(*HERE, first_pull(a).number),
    "repos/get-branch-rules": lambda c, a: c.rest.repos.async_get_branch_rules(*HERE, "main"),
    "repos/get-collaborator-permission-level": lambda c, a: c.rest.repos.async_get_collaborator_permission_level(*HERE, "dana"),
    "git/get-ref": lambda c, a: c.rest.git.async_get_ref(*HERE, "pull/1/merge"),
    "repos/get-content": lambda c, a: c.rest.repos.async_get_content(*HERE, "schema/orders.sql"),
    "repos/get-commit": lambda c, a: c.rest.repos.async_get_commit(*HERE, first_pull(a).head_sha),
    "repos/list-commits": lambda c, a: c.rest.repos.async_list_commits(*HERE, sha="add-note"),
    "repos/compare-commits": lambda c, a: c.rest.repos.async_compare_commits(*HERE, "main...add-note"),
    "repos/list-pull-requests-associated-with-commit": lambda c, a: c.rest.repos.async_list_pull_requests_associated_with_commit(
        *HERE, first_pull(a).head_sha
    ),
    "pulls/list": lambda c, a: c.rest.pulls.async_list(*HERE, state="all"),
    "pulls/get": lambda c, a: c.rest.pulls.async_get(*HERE, 1),
    "pulls/create": lambda c, a: c.rest.pulls.async_create(*HERE, title="Odd", head="odd", base="main"),
    "pulls/update": lambda c, a: c.rest.pulls.async_update(*HERE, 1, title="Add a note to every order"),
    "pulls/list-files": lambda c, a: c.rest.pulls.async_list_files(*HERE, 1),
    "pulls/list-commits": lambda c, a: c.rest.pulls.async_list_commits(*HERE, 1),
    "pulls/list-reviews": lambda c, a: c.rest.pulls.async_list_reviews(*HERE, 1),
    "pulls/create-review": lambda c, a: c.rest.pulls.async_create_review(*HERE, 1, event="COMMENT", body="Seen"),
    "pulls/list-requested-reviewers": lambda c, a: c.rest.pulls.async_list_requested_reviewers(*HERE, 1),
    "pulls/request-reviewers": lambda c, a: c.rest.pulls.async_request_reviewers(*HERE, 1, reviewers=["dana"]),
    "pulls/remove-requested-reviewers": lambda c, a: c.rest.pulls.async_remove_requested_reviewers(*HERE, 1, reviewers=["dora"]),
    "issues/list-labels-for-repo": lambda c, a: c.rest.issues.async_list_labels_for_repo(*HERE),
    "issues/create-label": lambda c, a: c.rest.issues.async_create_label(*HERE, name="new", color="00ff00"),
    "issues/get-label": lambda c, a: c.rest.issues.async_get_label(*HERE, "migration:skeema:diff"),
    "issues/list-labels-on-issue": lambda c, a: c.rest.issues.async_list_labels_on_issue(*HERE, 1),
    "issues/add-labels": lambda c, a: c.rest.issues.async_add_labels(*HERE, 1, labels=["one", "two"]),
    "issues/set-labels": lambda c, a: c.rest.issues.async_set_labels(*HERE, 2, labels=["only"]),
    "issues/remove-label": lambda c, a: c.rest.issues.async_remove_label(*HERE, 1, "migration:skeema:diff"),
    "issues/get": lambda c, a: c.rest.issues.async_get(*HERE, 1),
    "issues/list-comments": lambda c, a: c.rest.issues.async_list_comments(*HERE, 1),
    "issues/create-comment": lambda c, a: c.rest.issues.async_create_comment(*HERE, 1, body="Hello"),
    "issues/get-comment": lambda c, a: c.rest.issues.async_get_comment(*HERE, bot_comment(a)),
    "issues/update-comment": lambda c, a: c.rest.issues.async_update_comment(*HERE, bot_comment(a), body="New"),
    "issues/delete-comment": lambda c, a: c.rest.issues.async_delete_comment(*HERE, bot_comment(a)),
    "reactions/list-for-issue-comment": lambda c, a: c.rest.reactions.async_list_for_issue_comment(*HERE, first_pull(a).comments[0].id),
    "reactions/create-for-issue-comment": lambda c, a: c.rest.reactions.async_create_for_issue_comment(
        *HERE, first_pull(a).comments[0].id, content="+1"
    ),
    "checks/list-for-ref": lambda c, a: c.rest.checks.async_list_for_ref(*HERE, first_pull(a).head_sha, filter_="all"),
    "checks/create": lambda c, a: c.rest.checks.async_create(
        *HERE, name="SchemaBot", head_sha=first_pull(a).head_sha, status="in_progress", output=OUTPUT
    ),
    "checks/get": lambda c, a: c.rest.checks.async_get(*HERE, a_run(a)),
    "checks/update": lambda c, a: c.rest.checks.async_update(*HERE, a_run(a), conclusion="success", output=OUTPUT),
    "checks/list-annotations": lambda c, a: c.rest.checks.async_list_annotations(*HERE, a.repository.check_runs[0].id),
    "checks/rerequest-run": lambda c, a: c.rest.checks.async_rerequest_run(*HERE, a_run(a)),
    "users/get-by-username": lambda c, a: c.rest.users.async_get_by_username("dana"),
    "teams/get-by-name": lambda c, a: c.rest.teams.async_get_by_name("acme", "databases"),
    "teams/list-members-in-org": lambda c, a: c.rest.teams.async_list_members_in_org("acme", "databases"),
    "teams/get-membership-for-user-in-org": lambda c, a: c.rest.teams.async_get_membership_for_user_in_org("acme", "databases", "paula"),
}

NEEDS_MORE: dict[str, tuple[dict[str, str], Ask]] = {
    "repos/get-branch-protection": (
        {"administration": "read"},
        lambda c, a: c.rest.repos.async_get_branch_protection(*HERE, "main"),
    ),
    "pulls/merge": ({"contents": "write"}, lambda c, a: c.rest.pulls.async_merge(*HERE, mergeable_pull(a))),
}


def mergeable_pull(acme: Acme) -> int:
    acme.world.create_branch(acme.repository, "calm", by="olga")
    acme.world.push(acme.repository, "quiet", {"q.sql": "CREATE TABLE q (id int);\n"}, author="dave")
    return acme.world.open_pull_request(acme.repository, "quiet", "calm", author="dave").number


@pytest.mark.parametrize("operation", AS_INSTALLATION)
async def test_what_an_installation_is_answered_is_what_githubkit_expects(full_acme: Acme, operation: str) -> None:
    async with client_for(full_acme) as client:
        answer = await AS_INSTALLATION[operation](client, full_acme)
    if answer.status_code != 204:
        assert answer.parsed_data is not None
    assert operation == full_acme.world.requests[-1].operation


@pytest.mark.parametrize("operation", AS_APP)
async def test_what_an_app_is_answered_is_what_githubkit_expects(full_acme: Acme, operation: str) -> None:
    async with app_client_for(full_acme) as client:
        answer = await AS_APP[operation](client, full_acme)
    assert answer.parsed_data is not None
    assert operation == full_acme.world.requests[-1].operation


@pytest.mark.parametrize("operation", NEEDS_MORE)
async def test_what_more_permissions_open_is_what_githubkit_expects(full_acme: Acme, operation: str) -> None:
    more, ask = NEEDS_MORE[operation]
    full_acme.installation.permissions |= more
    try:
        async with client_for(full_acme) as client:
            answer = await ask(client, full_acme)
    finally:
        for name in more:
            full_acme.installation.permissions[name] = "read"
    assert answer.parsed_data is not None
    assert operation == full_acme.world.requests[-1].operation


def test_every_operation_of_the_stand_in_is_held_against_githubkit() -> None:
    assert {operation.id for operation in OPERATIONS} == AS_APP.keys() | AS_INSTALLATION.keys() | NEEDS_MORE.keys()


@pytest.mark.parametrize("path", ["", "schema", "link.sql", "module", "big.sql", "README.md"])
async def test_every_kind_of_content_is_what_githubkit_expects(full_acme: Acme, path: str) -> None:
    async with client_for(full_acme) as client:
        answer = await client.rest.repos.async_get_content(*HERE, path, ref="odd")
    assert answer.parsed_data is not None


@pytest.mark.parametrize("conclusion", ["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"])
async def test_every_conclusion_is_what_githubkit_expects(full_acme: Acme, conclusion: Any) -> None:
    run = a_run(full_acme, conclusion=conclusion)
    async with client_for(full_acme) as client:
        assert conclusion == (await client.rest.checks.async_get(*HERE, run)).parsed_data.conclusion


async def test_a_closed_a_merged_and_a_conflicting_pull_request_are_what_githubkit_expects(full_acme: Acme) -> None:
    world, shop = full_acme.world, full_acme.repository
    world.push(shop, "clash-a", {"clash.sql": "one\n"}, author="dave")
    world.push(shop, "clash-b", {"clash.sql": "two\n"}, author="dave")
    world.create_branch(shop, "clash-base", by="olga")
    merged = world.open_pull_request(shop, "clash-a", "clash-base", author="dave")
    world.merge(merged, by="olga")
    clashing = world.open_pull_request(shop, "clash-b", "clash-base", author="dave")
    closed = world.open_pull_request(shop, "clash-b", "calm" if "calm" in shop.branches else "main", author="dave")
    world.close_pull_request(closed, by="dave")
    async with client_for(full_acme) as client:
        shapes = [(await client.rest.pulls.async_get(*HERE, pull.number)).parsed_data for pull in (merged, clashing, closed)]
    assert [(True, None), (False, False), (False, None)] == [(shape.merged, shape.mergeable) for shape in shapes]
    assert "dirty" == shapes[1].mergeable_state


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda c: c.rest.pulls.async_get(*HERE, 999), 404),
        (lambda c: c.rest.repos.async_get("acme", "nothing"), 404),
        (lambda c: c.rest.repos.async_get_branch_protection("acme", "shop", "odd"), 403),
        (lambda c: c.rest.issues.async_create_comment(*HERE, 1, body="x" * 65_537), 422),
        (lambda c: c.rest.pulls.async_list(*HERE, state="nonsense"), 422),
        (lambda c: c.rest.repos.async_get_commit(*HERE, "0" * 40), 422),
    ],
)
async def test_refusals_are_what_githubkit_expects(full_acme: Acme, ask: Callable[[Client], Any], status: int) -> None:
    full_acme.installation.permissions.pop("administration", None)
    async with client_for(full_acme) as client:
        with pytest.raises(RequestFailed) as refused:
            await ask(client)
    assert status == refused.value.response.status_code
    assert refused.value.response.parsed_data is not None
    assert refused.value.response.json()["message"]
