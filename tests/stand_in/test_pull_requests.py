"""Pull requests, reviews, the conversation, and what keeps the merge button grey."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.github import MergeRefused, Refused
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.outbox import NO_AUTHORITIES


def reasons(acme: Acme, number: int = 1) -> list[str]:
    return [blocker.text for blocker in acme.world.merge_blockers(f"acme/shop#{number}")]


def finish(acme: Acme, conclusion: str = "success", **fields: object) -> None:
    acme.world.create_check_run(
        acme.app,
        "acme/shop",
        {"name": "SchemaBot", "head_sha": acme.repository.pulls[1].head_sha, "conclusion": conclusion} | fields,
    )


# --- merging ---


def test_a_required_check_that_never_reports_blocks(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id)
    pull = acme.open_change()
    assert ["Required check “SchemaBot” is expected: waiting for it to be reported."] == reasons(acme)
    assert "blocked" == acme.world.mergeable_state(pull)
    with pytest.raises(MergeRefused) as refused:
        acme.world.merge(pull, by="dave")
    assert reasons(acme) == refused.value.reasons


@pytest.mark.parametrize("conclusion", ["failure", "action_required", "cancelled", "timed_out"])
def test_a_required_check_that_did_not_pass_blocks(acme: Acme, conclusion: str) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id)
    acme.open_change()
    finish(acme, conclusion)
    assert [f"Required check “SchemaBot” ended with {conclusion.replace('_', ' ')}."] == reasons(acme)


@pytest.mark.parametrize("conclusion", ["success", "neutral", "skipped"])
def test_a_required_check_passes_by_success_and_also_by_neutral_and_skipped(acme: Acme, conclusion: str) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id)
    pull = acme.open_change()
    finish(acme, conclusion)
    assert [] == reasons(acme)
    assert "clean" == acme.world.mergeable_state(pull)


def test_a_newer_run_in_progress_shuts_the_gate_again(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id)
    acme.open_change()
    finish(acme)
    acme.world.create_check_run(
        acme.app,
        "acme/shop",
        {"name": "SchemaBot", "head_sha": acme.repository.pulls[1].head_sha, "status": "in_progress"},
    )
    assert ["Required check “SchemaBot” is in progress."] == reasons(acme)


def test_a_push_shuts_the_gate_again(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id)
    acme.open_change()
    finish(acme)
    acme.world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave")
    assert 1 == len(reasons(acme))


def test_a_check_pinned_to_an_app_is_not_satisfied_by_another(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id)
    pull = acme.open_change()
    impostor = acme.world.add_app("impostor")
    acme.world.create_check_run(impostor, "acme/shop", {"name": "SchemaBot", "head_sha": pull.head_sha, "conclusion": "success"})
    assert "expected from another App than impostor" in reasons(acme)[0]


def test_a_ruleset_blocks_like_a_protection(acme: Acme) -> None:
    acme.world.add_ruleset("acme/shop", "main", required_check="SchemaBot", app_id=acme.app.id)
    acme.open_change()
    assert 1 == len(reasons(acme))
    finish(acme)
    assert [] == reasons(acme)


def test_required_approvals_count_writers_and_neither_the_author_nor_strangers(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_approvals=1)
    pull = acme.open_change()
    acme.world.set_role("acme/shop", "mallory", "read")
    acme.world.review(pull, "mallory")
    acme.world.review(pull, "dave", even_if_refused=True)
    assert "0 so far" in reasons(acme)[0]
    acme.world.review(pull, "olive")
    assert [] == reasons(acme)


def test_requested_changes_block_until_withdrawn(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_approvals=1)
    pull = acme.open_change()
    acme.world.review(pull, "olive")
    objection = acme.world.review(pull, "oscar", "CHANGES_REQUESTED")
    acme.world.review(pull, "oscar", "COMMENTED")
    assert ["Changes were requested by oscar."] == reasons(acme)
    acme.world.dismiss_review(objection, by="olga")
    assert [] == reasons(acme)


def test_code_owners_must_approve_where_that_is_required(acme: Acme) -> None:
    acme.world.push("acme/shop", "main", {".github/CODEOWNERS": "* @olga\n/schema/ @acme/orders-owners\n"}, author="olga")
    acme.world.protect_branch("acme/shop", require_code_owner_reviews=True)
    pull = acme.open_change()
    assert ["orders-owners"] == [team.slug for team in pull.requested_teams]
    assert ["A review by the code owner @acme/orders-owners is required."] == reasons(acme)
    acme.world.review(pull, "olive")
    assert [] == reasons(acme)


@pytest.mark.parametrize(
    ("pattern", "path", "owned"),
    [
        ("*", "a/b.sql", True),
        ("*.sql", "a/b.sql", True),
        ("/*.sql", "a/b.sql", False),
        ("schema/", "x/schema/b.sql", True),
        ("/schema/", "x/schema/b.sql", False),
        ("schema/*", "schema/b.sql", True),
        ("schema/*", "schema/deep/b.sql", False),
        ("/schema/orders.sql", "schema/orders.sql", True),
        ("docs", "docs/a.md", True),
    ],
)
def test_codeowners_patterns_cover_what_github_covers(acme: Acme, pattern: str, path: str, owned: bool) -> None:
    acme.world.push("acme/shop", "main", {"CODEOWNERS": f"{pattern} @olga\n"}, author="olga")
    assert (["@olga"] if owned else []) == acme.world.code_owners(acme.repository, "main", path)


def test_an_outdated_branch_blocks_where_strictness_is_asked(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", strict=True)
    pull = acme.open_change()
    assert [] == reasons(acme)
    acme.world.push("acme/shop", "main", {"b.sql": "x"}, author="olga")
    assert ["This branch is out of date with main."] == reasons(acme)
    assert "behind" == acme.world.mergeable_state(acme.world.look_at(pull))


def test_a_draft_and_a_conflict_block(acme: Acme) -> None:
    pull = acme.open_change()
    acme.world.set_draft(pull, True, by="dave")
    acme.world.push("acme/shop", "main", {"schema/orders.sql": "x\n"}, author="olga")
    assert [
        "This pull request is still a draft.",
        "This branch has conflicts with main that must be resolved.",
    ] == reasons(acme)


def test_a_merge_moves_the_base_and_closes_the_pull_request(acme: Acme) -> None:
    pull = acme.open_change()
    head = pull.head_sha
    sha = acme.world.merge(pull, by="dave")
    assert sha == acme.world.tip("acme/shop", "main")
    assert head == acme.repository.git.read_commit(sha).parents[1]
    assert (True, "closed") == (pull.merged, pull.state)
    closed = acme.world.events[-1]
    assert ("closed", True) == (closed.action, closed.payload["pull_request"]["merged"])


def test_a_head_that_was_pushed_to_the_base_counts_as_merged(acme: Acme) -> None:
    pull = acme.open_change()
    acme.world.force_push("acme/shop", "main", pull.head_sha, by="olga")
    assert pull.merged


def test_the_merge_button_over_the_api_says_why_not(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot")
    acme.open_change()
    answer = httpx.put(
        f"{acme.github.base_url}/repos/acme/shop/pulls/1/merge",
        headers={"Authorization": f"token {acme.world.user_token('dave')}"},
        trust_env=False,
        verify=NO_AUTHORITIES,
    )
    assert 405 == answer.status_code
    assert "SchemaBot" in answer.json()["message"]


def test_a_merge_group_wants_checks_on_its_own_commit_and_ends(acme: Acme) -> None:
    pull = acme.open_change()
    group = acme.world.queue_for_merge(pull, by="dave")
    asked = next(e for e in acme.world.events if e.name == "merge_group")
    assert ("checks_requested", group) == (asked.action, asked.payload["merge_group"]["head_sha"])
    acme.world.destroy_merge_group("acme/shop", group, by="dave", reason="merged")
    assert group == acme.world.tip("acme/shop", "main")
    assert pull.merged


# --- opening, closing, editing ---


def test_a_second_pull_request_of_the_same_branches_is_refused(acme: Acme) -> None:
    acme.open_change()
    with pytest.raises(Refused, match="already exists"):
        acme.world.open_pull_request("acme/shop", "add-note", author="dora")


def test_nothing_to_merge_is_refused(acme: Acme) -> None:
    acme.world.create_branch("acme/shop", "same", by="dave")
    with pytest.raises(Refused, match="No commits between"):
        acme.world.open_pull_request("acme/shop", "same", author="dave")


def test_reopening_takes_up_what_was_pushed_meanwhile(acme: Acme) -> None:
    pull = acme.open_change()
    acme.world.close_pull_request(pull, by="dave")
    head = acme.world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave")
    assert head != pull.head_sha
    acme.world.reopen_pull_request(pull, by="dave")
    assert head == pull.head_sha
    assert "reopened" == acme.world.events[-1].action


def test_deleting_the_head_closes(acme: Acme) -> None:
    pull = acme.open_change()
    acme.world.delete_branch("acme/shop", "add-note", by="dave")
    assert "closed" == pull.state


def test_another_base_is_told_with_what_it_was(acme: Acme) -> None:
    acme.world.create_branch("acme/shop", "release", by="olga")
    pull = acme.open_change()
    acme.world.edit_pull_request(pull, by="dave", base="release")
    changes = acme.world.events[-1].payload["changes"]
    assert {"ref": {"from": "main"}, "sha": {"from": pull.base_sha}} == changes["base"]


def test_pull_requests_are_found_by_head_state_and_commit(acme: Acme, api: httpx.Client) -> None:
    pull = acme.open_change()
    acme.world.close_pull_request(acme.open_change("other"), by="dave")

    def numbers(query: str) -> list[int]:
        return [found["number"] for found in api.get(f"/repos/acme/shop/{query}").json()]

    assert [1] == numbers("pulls")
    assert [2, 1] == numbers("pulls?state=all")
    assert [1] == numbers("pulls?head=acme:add-note")
    assert [] == numbers("pulls?head=acme:nothing")
    assert [1] == numbers(f"commits/{pull.head_sha}/pulls")
    assert [2, 1] == numbers("pulls?state=all&sort=updated&direction=desc")


# --- reviews and conversation ---


def test_authors_cannot_approve_their_own_work(acme: Acme) -> None:
    with pytest.raises(Refused, match="own pull request"):
        acme.world.review(acme.open_change(), "dave")


def test_a_review_names_the_head_at_its_time(acme: Acme, api: httpx.Client) -> None:
    pull = acme.open_change()
    old = pull.head_sha
    acme.world.review(pull, "olive")
    acme.world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave")
    acme.world.review(pull, "oscar", commit_id=None)
    reviews = api.get("/repos/acme/shop/pulls/1/reviews").json()
    assert [("olive", "APPROVED", old), ("oscar", "APPROVED", None)] == [
        (review["user"]["login"], review["state"], review["commit_id"]) for review in reviews
    ]


def test_stale_reviews_are_dismissed_where_the_branch_says_so(acme: Acme) -> None:
    acme.world.protect_branch("acme/shop", required_approvals=1, dismiss_stale_reviews=True)
    pull = acme.open_change()
    review = acme.world.review(pull, "olive")
    acme.world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave")
    assert "DISMISSED" == review.state


def test_a_review_can_be_asked_of_a_team_that_has_access(acme: Acme, api: httpx.Client) -> None:
    acme.open_change()
    path = "/repos/acme/shop/pulls/1/requested_reviewers"
    assert 201 == api.post(path, json={"team_reviewers": ["databases"]}).status_code
    assert ["databases"] == [team["slug"] for team in api.get(path).json()["teams"]]
    acme.world.add_team("acme", "outsiders", repositories=[])
    assert 422 == api.post(path, json={"team_reviewers": ["outsiders"]}).status_code
    assert 422 == api.post(path, json={"reviewers": ["dave"]}).status_code
    assert 422 == api.post(path, json={"reviewers": ["nobody"]}).status_code


def test_a_review_answers_the_request(acme: Acme) -> None:
    pull = acme.open_change()
    acme.world.request_reviews(pull, users=["dana"], teams=["databases"], by="dave")
    acme.world.review(pull, "dana")
    assert ([], []) == (pull.requested_users, pull.requested_teams)


def test_an_invited_member_is_pending_and_a_stranger_is_none(acme: Acme, api: httpx.Client) -> None:
    team = "/orgs/acme/teams/databases/memberships"
    assert "active" == api.get(f"{team}/dana").json()["state"]
    assert "pending" == api.get(f"{team}/paula").json()["state"]
    assert 404 == api.get(f"{team}/mallory").status_code


@pytest.mark.parametrize(
    ("login", "permission", "role"),
    [("olga", "admin", "admin"), ("dave", "write", "write"), ("mallory", "none", "none"), ("paula", "none", "none")],
)
def test_a_persons_permission_is_the_strongest_that_they_have(
    acme: Acme, api: httpx.Client, login: str, permission: str, role: str
) -> None:
    answer = api.get(f"/repos/acme/shop/collaborators/{login}/permission").json()
    assert (permission, role) == (answer["permission"], answer["role_name"])


def test_labels_are_created_when_they_are_used_and_compared_without_case(acme: Acme, api: httpx.Client) -> None:
    acme.open_change()
    path = "/repos/acme/shop/issues/1/labels"
    api.post(path, json={"labels": ["migration:skeema:diff"]})
    api.post(path, json={"labels": ["Migration:Skeema:Diff"]})
    assert {"migration:skeema:diff"} == acme.world.label_names("acme/shop#1")
    assert 422 == api.post("/repos/acme/shop/labels", json={"name": "MIGRATION:skeema:diff"}).status_code
    assert 200 == api.delete(f"{path}/migration:skeema:diff").status_code
    assert 404 == api.delete(f"{path}/migration:skeema:diff").status_code


def test_a_comment_has_a_longest_length_in_characters(acme: Acme, api: httpx.Client) -> None:
    acme.open_change()
    path = "/repos/acme/shop/issues/1/comments"
    assert 201 == api.post(path, json={"body": "€" * 65_536}).status_code
    assert 422 == api.post(path, json={"body": "x" * 65_537}).status_code
    assert 422 == api.post(path, json={"body": "  "}).status_code


def test_a_writer_may_edit_anothers_comment_and_a_reader_may_not(acme: Acme) -> None:
    comment = acme.world.comment(acme.open_change(), "dana", "I see")
    acme.world.edit_comment(comment, ".skeefree cut-over", by="dave")
    assert ("dave", "I see") == (comment.edits[0].by.login, comment.edits[0].before)
    acme.world.set_role("acme/shop", "mallory", "read")
    with pytest.raises(Refused):
        acme.world.edit_comment(comment, "mine", by="mallory")


def test_comments_since_a_moment_are_those_changed_since(acme: Acme, api: httpx.Client) -> None:
    pull = acme.open_change()
    comment = acme.world.comment(pull, "dana", "now")
    path = "/repos/acme/shop/issues/1/comments"
    assert 1 == len(api.get(path, params={"since": comment.updated_at.isoformat()}).json())
    assert 0 == len(api.get(path, params={"since": "2999-01-01T00:00:00Z"}).json())
    assert 422 == api.get(path, params={"since": "yesterday"}).status_code


def test_one_person_reacts_once_with_one_content(acme: Acme, api: httpx.Client) -> None:
    comment = acme.world.comment(acme.open_change(), "dana", ".skeefree help")
    path = f"/repos/acme/shop/issues/comments/{comment.id}/reactions"
    assert [201, 200] == [api.post(path, json={"content": "eyes"}).status_code for _ in range(2)]
    assert 422 == api.post(path, json={"content": "shrug"}).status_code
    assert [("skeebot[bot]", "eyes")] == [(r["user"]["login"], r["content"]) for r in api.get(path).json()]
