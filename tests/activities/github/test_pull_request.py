"""The snapshot: what the workflow decides from."""

from datetime import timedelta

import pytest

from activities.errors import NeedsHuman, TryAgain
from activities.github import client as client_module
from activities.github.checks import Checks
from activities.github.client import GitHubClient
from activities.github.comments import Comments
from activities.github.pull_request import COMMANDS_A_COMMENT, COMMANDS_A_LOOK, PullRequests
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import PullRequest
from workflows.messages import CommandGiven, Door, PublishCheck, PullRequestSnapshot, PullRequestView, ReadPullRequest, RequestReview
from workflows.rules.approvals import Members, Review, ReviewState
from workflows.rules.checks import CheckRun, CheckState
from workflows.rules.names import HeadSha, Login, Protocol, PullRequestRef
from workflows.rules.plan import Directory, Enrolment

SCHEMA = Directory(path="schema", database="orders", environment="staging", cluster="main", schema="orders")
ENROLLED = Enrolment(repository="acme/shop", owner_team="orders-owners", databases_team="databases", directories=(SCHEMA,))


async def enrolment_of(repository: str) -> Enrolment | None:
    return ENROLLED if repository == "acme/shop" else None


@pytest.fixture
def pulls(client: GitHubClient) -> PullRequests:
    return PullRequests(client, protocol=Protocol(), enrolment_of=enrolment_of)


async def look(pulls: PullRequests, ref: PullRequestRef, **more: object) -> PullRequestSnapshot:
    return await pulls.read_pull_request(ReadPullRequest(ref=ref, **more))  # type: ignore[arg-type]  # tests name the fields


# ── The pull request itself ──


async def test_a_fresh_pull_request_is_read_whole(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    found = await look(pulls, ref)
    assert (
        PullRequestSnapshot(
            ref=ref,
            state="open",
            title="Add a note to orders",
            author=Login("dave"),
            head_sha=HeadSha(pull.head_sha),
            base_ref="main",
            base_sha=acme.world.tip("acme/shop", "main"),
            now=found.now,
            url=f"{acme.github.html_url}/acme/shop/pull/1",
            enrolment=ENROLLED,
        )
        == found
    )
    assert found.now.endswith("Z")


async def test_a_repository_that_was_renamed_is_not_decided_about_under_its_old_name(
    acme: Acme, pulls: PullRequests, ref: PullRequestRef
) -> None:
    acme.world.rename_repository("acme/shop", "store")
    with pytest.raises(NeedsHuman, match=r"acme/shop is acme/store now.*add-repo acme/store"):
        await look(pulls, ref)


async def test_another_spelling_of_a_repository_is_the_same_repository(pulls: PullRequests, ref: PullRequestRef) -> None:
    assert "open" == (await look(pulls, PullRequestRef("ACME", "Shop", ref.number))).state


async def test_a_list_spells_the_repository_as_github_does(pulls: PullRequests, ref: PullRequestRef) -> None:
    assert [("acme/shop", ref.number)] == [(one.repository, one.number) for one in await pulls.list_open_pull_requests("Acme/SHOP", "")]


async def test_merged_closed_and_open_are_told_apart(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    assert "open" == (await look(pulls, ref)).state
    acme.world.close_pull_request(pull, by="dave")
    assert "closed" == (await look(pulls, ref)).state
    acme.world.reopen_pull_request(pull, by="dave")
    acme.world.merge(pull, by="olga")
    assert "merged" == (await look(pulls, ref)).state


async def test_the_base_is_its_branchs_tip_now(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    tip = acme.world.push("acme/shop", "main", {"README.md": "moved on"}, author="olga", message="on")
    assert tip != pull.base_sha
    assert tip == (await look(pulls, ref)).base_sha


async def test_a_fork_is_known_as_one(acme: Acme, pulls: PullRequests) -> None:
    fork = acme.world.fork("acme/shop", "mallory")
    acme.world.push(fork, "evil", {"schema/orders.sql": "DROP"}, author="mallory", message="x")
    pull = acme.world.open_pull_request("acme/shop", "evil", "main", title="x", author="mallory", head_repository=fork)
    assert (await look(pulls, PullRequestRef("acme", "shop", pull.number))).from_fork


async def test_labels_and_draft_are_read(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.add_label(pull, "bug", "migration:for:review", by="dave")
    acme.world.set_draft(pull, True, by="dave")
    found = await look(pulls, ref)
    assert {"bug", "migration:for:review"} == set(found.labels)
    assert found.draft


async def test_a_repository_that_is_not_enrolled_asks_nobodys_membership(
    acme: Acme, client: GitHubClient, pull: PullRequest, ref: PullRequestRef
) -> None:
    async def nothing(_repository: str) -> None:
        return None

    acme.world.review(pull, "oscar", "APPROVED", "")
    found = await look(PullRequests(client, protocol=Protocol(), enrolment_of=nothing), ref)
    assert found.enrolment is None
    assert Members() == found.members


async def test_githubs_clock_is_the_clock(acme: Acme, client: GitHubClient, pulls: PullRequests, ref: PullRequestRef) -> None:
    assert client.clock.strftime("%Y-%m-%dT%H") <= (await look(pulls, ref)).now
    assert 20 == len((await look(pulls, ref)).now)


@pytest.mark.parametrize(
    "operation", ["pulls/get", "pulls/list-reviews", "issues/list-comments", "repos/get-branch", "repos/get-branch-rules"]
)
async def test_half_a_truth_is_none(acme: Acme, pulls: PullRequests, ref: PullRequestRef, operation: str) -> None:
    acme.world.chaos.fail_next(operation, status=502)
    with pytest.raises(TryAgain):
        await look(pulls, ref)


# ── The base branch ──


async def test_an_open_branch_is_not_protected(pulls: PullRequests, ref: PullRequestRef) -> None:
    found = await look(pulls, ref)
    assert (False, False) == (found.base_protected, found.base_requires_check)


async def test_branch_protection_is_seen_without_admin_rights(acme: Acme, pulls: PullRequests, ref: PullRequestRef) -> None:
    acme.world.protect_branch("acme/shop", "main", required_check="SchemaBot", app_id=acme.github.app_id)
    found = await look(pulls, ref)
    assert (True, True) == (found.base_protected, found.base_requires_check)


async def test_a_ruleset_counts_like_a_protection(acme: Acme, pulls: PullRequests, ref: PullRequestRef) -> None:
    acme.world.add_ruleset("acme/shop", "main", required_check="SchemaBot", app_id=acme.github.app_id)
    found = await look(pulls, ref)
    assert (True, True) == (found.base_protected, found.base_requires_check)


async def test_protection_without_our_check_does_not_require_it(acme: Acme, pulls: PullRequests, ref: PullRequestRef) -> None:
    acme.world.protect_branch("acme/shop", "main", required_check="ci", required_approvals=1)
    found = await look(pulls, ref)
    assert (True, False) == (found.base_protected, found.base_requires_check)


async def test_a_check_pinned_to_another_app_is_not_ours_to_report(acme: Acme, pulls: PullRequests, ref: PullRequestRef) -> None:
    acme.world.protect_branch("acme/shop", "main", required_check="SchemaBot", app_id=acme.world.add_app("other").id)
    assert not (await look(pulls, ref)).base_requires_check


async def test_a_branch_with_a_slash_in_its_name_is_found(acme: Acme, pulls: PullRequests) -> None:
    acme.world.create_branch("acme/shop", "release/1.x", at="main", by="olga")
    acme.world.protect_branch("acme/shop", "release/1.x", required_check="SchemaBot")
    pull = acme.open_change("fix", base="release/1.x")
    assert (await look(pulls, PullRequestRef("acme", "shop", pull.number))).base_requires_check


async def test_a_base_that_is_gone_protects_nothing(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.create_branch("acme/shop", "feature", at="main", by="olga")
    acme.world.protect_branch("acme/shop", "main", required_check="SchemaBot")
    acme.world.edit_pull_request(pull, by="dave", base="feature")
    acme.world.delete_branch("acme/shop", "feature", by="olga")
    found = await look(pulls, ref)
    assert ("closed", False, pull.base_sha) == (found.state, found.base_protected, found.base_sha)


# ── People ──


async def test_reviews_come_in_order_and_members_are_asked(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.repository.private = False
    for who, state in [
        ("oscar", "APPROVED"),
        ("mallory", "APPROVED"),
        ("dana", "CHANGES_REQUESTED"),
        ("dora", "COMMENTED"),
        ("dana", "APPROVED"),
    ]:
        acme.world.review(pull, who, state, "")  # type: ignore[arg-type]  # the stand-in's Literal
    found = await look(pulls, ref)
    assert [
        ("oscar", ReviewState.APPROVED),
        ("mallory", ReviewState.APPROVED),
        ("dana", ReviewState.CHANGES_REQUESTED),
        ("dora", ReviewState.COMMENTED),
        ("dana", ReviewState.APPROVED),
    ] == [(one.login, one.state) for one in found.reviews]
    assert Members(owners=frozenset({"oscar"}), dbas=frozenset({"dana"})) == found.members
    there = pull.reviews[0]
    assert (
        Review(there.id, Login("oscar"), ReviewState.APPROVED, pull.head_sha, there.submitted_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        == found.reviews[0]
    )


async def test_a_dismissed_review_and_one_without_a_commit_are_read_as_such(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.world.dismiss_review(acme.world.review(pull, "oscar", "APPROVED", ""), by="olga")
    acme.world.review(pull, "olive", "APPROVED", "").commit_id = None
    found = await look(pulls, ref)
    assert [(ReviewState.DISMISSED, pull.head_sha), (ReviewState.APPROVED, "")] == [(one.state, one.commit_id) for one in found.reviews]


async def test_an_approval_that_a_push_dismissed_is_told_from_one_that_a_person_did(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.world.protect_branch(acme.repository, required_check="SchemaBot", app_id=acme.github.app_id, dismiss_stale_reviews=True)
    acme.world.dismiss_review(acme.world.review(pull, "dana", "APPROVED", ""), by="olga")
    acme.world.review(pull, "oscar", "APPROVED", "")
    acme.world.push(acme.repository, "add-note", {"README.md": "# the shop\n"}, author="dave")
    found = await look(pulls, ref)
    assert {"dana": False, "oscar": True} == {str(one.login): one.pushed_away for one in found.reviews}
    assert {ReviewState.DISMISSED} == {one.state for one in found.reviews}


async def test_more_events_than_are_read_push_nobody_away(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.world.protect_branch(acme.repository, required_check="SchemaBot", app_id=acme.github.app_id, dismiss_stale_reviews=True)
    for login in ("dana", "oscar"):
        acme.world.review(pull, login, "APPROVED", "")
    acme.world.push(acme.repository, "add-note", {"README.md": "# the shop\n"}, author="dave")
    monkeypatch.setattr(client_module, "PAGES", 1)
    monkeypatch.setattr(client_module, "PER_PAGE", 1)
    assert set() == await pulls._pushed_away(ref)


async def test_more_reviews_than_a_page_holds_are_all_read(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    for number in range(120):
        acme.world.review(pull, "dora", "COMMENTED", f"remark {number}")
    acme.world.review(pull, "dana", "APPROVED", "")
    found = await look(pulls, ref)
    assert 121 == len(found.reviews)
    assert {"dana"} == found.members.dbas


async def test_who_came_through_another_door_is_asked_too(pulls: PullRequests, ref: PullRequestRef) -> None:
    found = await look(pulls, ref, people=(Login("dirk"), Login("paula"), Login("mallory")))
    assert Members(dbas=frozenset({"dirk"})) == found.members


async def test_a_label_counts_however_it_is_spelled(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.add_label(pull, "Migration:For:REVIEW", "Bug", by="olga")
    assert ("migration:for:review", "Bug") == (await look(pulls, ref)).labels


# ── Commands ──


async def test_commands_are_read_once_and_in_order(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    first = acme.world.comment(pull, "dana", "Looks good.\n\n.skeefree allow-unsafe 0123abcd\n.skeefree cut-over\n")
    second = acme.world.comment(
        pull, "dave", "> .skeefree abort\n\n```\n.skeefree abort\n```\n    .skeefree abort\n.skeefreeish\nno .skeefree abort"
    )
    third = acme.world.comment(pull, "dave", ".skeefree retry-migration")
    found = await look(pulls, ref)
    assert [
        (f"comment/{first.id}/3", "dana", "allow-unsafe 0123abcd", first.id),
        (f"comment/{first.id}/4", "dana", "cut-over", first.id),
        (f"comment/{third.id}/1", "dave", "retry-migration", third.id),
    ] == [(one.id, one.actor, one.line, one.comment_id) for one in found.commands]
    assert {Door.COMMENT} == {one.door for one in found.commands}
    assert third.id == found.comment_cursor
    assert {"dana"} == found.members.dbas
    again = await look(pulls, ref, comment_cursor=second.id)
    assert [third.id] == [one.comment_id for one in again.commands]
    assert () == (await look(pulls, ref, comment_cursor=found.comment_cursor)).commands


async def test_a_comment_that_was_ever_edited_is_no_command(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    comment = acme.world.comment(pull, "dana", "thank you")
    acme.world.clock = lambda: comment.created_at + timedelta(minutes=1)
    acme.world.edit_comment(comment, ".skeefree allow-unsafe 0123abcd", by="dave")
    found = await look(pulls, ref)
    assert () == found.commands
    assert comment.id == found.comment_cursor
    assert [("skeebot[bot]", "confused")] == [(one.user.login, one.content) for one in comment.reactions]


async def test_an_edit_within_the_second_of_its_writing_is_an_edit(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    now = acme.world.exactly_now()
    acme.world.clock = lambda: now
    comment = acme.world.comment(pull, "dana", "thank you")
    acme.world.edit_comment(comment, ".skeefree allow-unsafe 0123abcd", by="dave")
    assert comment.created_at == comment.updated_at
    assert () == (await look(pulls, ref)).commands


async def test_a_comment_that_github_wrote_for_a_second_is_a_command(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.world.written_for = timedelta(seconds=1)
    comment = acme.world.comment(pull, "dana", ".skeefree abort")
    assert comment.created_at != comment.updated_at
    assert ["abort"] == [one.line for one in (await look(pulls, ref)).commands]
    assert [] == comment.reactions


async def test_all_commands_of_a_look_are_asked_about_at_once_and_mere_talk_is_not(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.world.comment(pull, "dana", "Looks good.")
    await look(pulls, ref)
    assert "graphql" not in [one.operation for one in acme.world.requests]
    for _ in range(3):
        acme.world.comment(pull, "dana", ".skeefree help")
    await look(pulls, ref)
    assert 1 == [one.operation for one in acme.world.requests].count("graphql")


async def test_a_reaction_that_is_not_allowed_spoils_no_look(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    comment = acme.world.comment(pull, "dana", "thank you")
    acme.world.edit_comment(comment, ".skeefree abort", by="dana")
    acme.installation.permissions["issues"] = acme.installation.permissions["pull_requests"] = "read"
    assert comment.id == (await look(pulls, ref)).comment_cursor


async def test_our_own_comments_command_nothing(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    acme.world.comment(pull, acme.app.bot, ".skeefree cut-over")
    assert () == (await look(pulls, ref)).commands


async def test_a_flood_of_commands_is_taken_in_portions(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    for _ in range(8):
        acme.world.comment(pull, "mallory", ".skeefree help\n" * 100)
    taken: list[CommandGiven] = []
    cursor = 0
    for _ in range(3):
        found = await look(pulls, ref, comment_cursor=cursor)
        assert len(found.commands) <= COMMANDS_A_LOOK
        taken, cursor = [*taken, *found.commands], found.comment_cursor
    assert 8 * COMMANDS_A_COMMENT == len({one.id for one in taken}) == len(taken)


# ── Twins, checks, tampering ──


async def test_another_open_pull_request_with_the_same_head_is_a_twin(
    acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.open_change("unrelated")
    acme.world.create_branch("acme/shop", "same-head", at=pull.head_sha, by="dora")
    acme.world.create_branch("acme/shop", "release", at="main", by="olga")
    twin = acme.world.open_pull_request("acme/shop", "same-head", "release", title="twin", author="dora")
    assert (twin.number,) == (await look(pulls, ref)).twins
    assert (1,) == (await look(pulls, PullRequestRef("acme", "shop", twin.number))).twins
    acme.world.close_pull_request(twin, by="dora")
    assert () == (await look(pulls, ref)).twins


async def test_a_twin_from_a_fork_is_a_twin(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    fork = acme.world.fork("acme/shop", "mallory")
    acme.world.create_branch(fork, "copied", at=pull.head_sha, by="mallory")
    twin = acme.world.open_pull_request("acme/shop", "copied", "main", title="copy", author="mallory", head_repository=fork)
    assert (twin.number,) == (await look(pulls, ref)).twins


async def test_shown_generations_are_ours_alone(
    acme: Acme, client: GitHubClient, pulls: PullRequests, view: PullRequestView, ref: PullRequestRef
) -> None:
    checks = Checks(client)
    for number, name, generation in [
        (1, "SchemaBot", 2),
        (1, "SchemaBot", 11),
        (1, "SchemaBot: staging/mysql/orders", 4),
        (2, "SchemaBot", 99),
    ]:
        run = CheckRun(name=name, head_sha=view.head_sha, generation=generation, state=CheckState.FAILURE)
        await checks.publish_check(PublishCheck(ref=PullRequestRef("acme", "shop", number), run=run, row=None, view=view))
    other = acme.world.add_app("impostor")
    fields = {"name": "SchemaBot", "head_sha": view.head_sha, "external_id": f"skeebot/1/{view.head_sha}/70"}
    acme.world.create_check_run(other, acme.repository, fields)
    acme.world.create_check_run(acme.app, acme.repository, {"name": "SchemaBot", "head_sha": view.head_sha, "external_id": "odd"})
    assert {"SchemaBot": 11, "SchemaBot: staging/mysql/orders": 4} == (await look(pulls, ref)).shown_generations


async def test_generations_that_are_known_are_not_asked_for_again(
    acme: Acme, client: GitHubClient, pulls: PullRequests, view: PullRequestView, ref: PullRequestRef
) -> None:
    run = CheckRun(name="SchemaBot", head_sha=view.head_sha, generation=3, state=CheckState.FAILURE)
    await Checks(client).publish_check(PublishCheck(ref=ref, run=run, row=None, view=view))
    acme.world.requests.clear()
    known = await pulls.read_pull_request(ReadPullRequest(ref=ref, generations_known_of=view.head_sha))
    assert {} == known.shown_generations
    assert [] == [one.path for one in acme.world.requests if "check-runs" in one.path]
    of_another_head = await pulls.read_pull_request(ReadPullRequest(ref=ref, generations_known_of="0" * 40))
    assert {"SchemaBot": 3} == of_another_head.shown_generations


async def test_a_head_with_more_runs_than_are_read_is_known_by_the_newest_of_each_name(
    client: GitHubClient, view: PullRequestView, ref: PullRequestRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.github.client.PAGES", 1)
    monkeypatch.setattr("activities.github.client.PER_PAGE", 2)
    checks = Checks(client)
    for generation in (1, 2, 3):
        run = CheckRun(name="SchemaBot", head_sha=view.head_sha, generation=generation, state=CheckState.FAILURE)
        await checks.publish_check(PublishCheck(ref=ref, run=run, row=None, view=view))
        monkeypatch.setattr("activities.github.client.PAGES", 2)  # of one name alone, it is found before it is made
    monkeypatch.setattr("activities.github.client.PAGES", 1)
    assert {"SchemaBot": 3} == await checks.generations_on(ref, view.head_sha)


async def test_somebody_elses_edit_of_our_comment_is_seen(
    acme: Acme, client: GitHubClient, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef
) -> None:
    comments = Comments(client)
    assert not (await look(pulls, ref)).comment_shown
    await comments.write_sticky(ref, "the plan")
    assert (await look(pulls, ref)).comment_shown
    assert not (await look(pulls, ref)).tampered
    comment = pull.comments[-1]
    acme.world.edit_comment(comment, comment.body + " and more", by="dave")
    assert (await look(pulls, ref)).tampered
    await comments.write_sticky(ref, "the plan")
    assert not (await look(pulls, ref)).tampered


# ── Asked of the pull request ──


async def test_a_team_is_asked_for_its_review(acme: Acme, pulls: PullRequests, pull: PullRequest, ref: PullRequestRef) -> None:
    for team in ("databases", "acme/databases"):
        await pulls.request_review(RequestReview(ref=ref, team=team))
    assert ["databases"] == [team.slug for team in pull.requested_teams]


async def test_a_team_that_cannot_review_is_named(pulls: PullRequests, ref: PullRequestRef) -> None:
    with pytest.raises(NeedsHuman, match=r"team no-such-team .* read access to acme/shop"):
        await pulls.request_review(RequestReview(ref=ref, team="no-such-team"))


async def test_open_pull_requests_are_listed_by_base(acme: Acme, pulls: PullRequests, pull: PullRequest) -> None:
    acme.world.create_branch("acme/shop", "release", at="main", by="olga")
    other = acme.open_change("other", base="release")
    closed = acme.open_change("closed")
    acme.world.close_pull_request(closed, by="dave")
    (on_main,) = await pulls.list_open_pull_requests("acme/shop", "main")
    assert (pull.number, f"{pull.head_sha} main") == (on_main.number, on_main.shows)
    assert {pull.number, other.number} == {one.number for one in await pulls.list_open_pull_requests("acme/shop", "")}
