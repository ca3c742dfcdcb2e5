"""The sticky comment, short comments and reactions against the stand-in."""

from datetime import timedelta

import pytest

from activities.errors import TryAgain
from activities.github.client import GitHubClient
from activities.github.comments import COMMENT_LIMIT, MARKER_ROOM, Comments, said_marker
from activities.github.deliveries import STICKY_MARKER
from activities.settings import GitHubSettings
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import Comment, PullRequest
from workflows.messages import Announcement, PublishComment, PullRequestView, React, Say
from workflows.rules.names import PullRequestRef


@pytest.fixture
def comments(client: GitHubClient) -> Comments:
    return Comments(client)


def ours(acme: Acme, pull: PullRequest) -> list[Comment]:
    return [one for one in pull.comments if one.user is acme.app.bot]


async def is_genuine(comments: Comments, ref: PullRequestRef) -> bool | None:
    sticky = comments.sticky_among(ref, await comments.all_of(ref))
    return sticky.genuine if sticky is not None else None


async def test_the_sticky_comment_is_written_once_and_then_edited(
    acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef
) -> None:
    first = await comments.write_sticky(ref, "first")
    second = await comments.write_sticky(ref, "second")
    (one,) = ours(acme, pull)
    assert first.comment_id == second.comment_id == one.id
    assert one.body.startswith(STICKY_MARKER)
    assert one.body.endswith("-->\nsecond")


async def test_the_same_words_are_not_written_again(acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef) -> None:
    first = await comments.write_sticky(ref, "# The plan\r\n\r\nwords\n")
    acme.world.clock = lambda: pull.created_at + timedelta(hours=1)
    second = await comments.write_sticky(ref, "# The plan\n\nwords")
    assert first == second
    assert [] == ours(acme, pull)[0].edits


async def test_the_rendered_view_is_published(acme: Acme, comments: Comments, pull: PullRequest, view: PullRequestView) -> None:
    published = await comments.publish_comment(PublishComment(view=view))
    (one,) = ours(acme, pull)
    assert published.comment_id == one.id
    assert 1 == one.body.count("skeebot:sticky")


async def test_somebody_elses_comment_with_our_marker_is_not_ours(
    acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef
) -> None:
    await comments.write_sticky(ref, "words")
    copied = ours(acme, pull)[0].body
    acme.world.delete_comment(ours(acme, pull)[0], by="olga")
    theirs = acme.world.comment(pull, "mallory", copied)
    assert await is_genuine(comments, ref) is None
    await comments.write_sticky(ref, "words")
    assert copied == theirs.body
    assert 1 == len(ours(acme, pull))


async def test_a_comment_of_ours_that_nobody_touched_is_genuine(comments: Comments, ref: PullRequestRef) -> None:
    await comments.write_sticky(ref, "words")
    assert await is_genuine(comments, ref) is True


async def test_a_rotated_key_of_the_app_makes_no_comment_look_edited(acme: Acme, settings: GitHubSettings, ref: PullRequestRef) -> None:
    async with GitHubClient(settings, seal_key="kept") as before:
        await Comments(before).write_sticky(ref, "the plan")
    other = acme.world.add_app("other")
    acme.app.public_key = other.public_key
    settings.private_key_file.write_text(other.private_key_pem)
    async with GitHubClient(settings, seal_key="kept") as after:
        assert await is_genuine(Comments(after), ref) is True


async def test_other_words_under_our_name_are_noticed_and_rewritten(
    acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef
) -> None:
    await comments.write_sticky(ref, "DROP nothing")
    one = ours(acme, pull)[0]
    acme.world.edit_comment(one, one.body.replace("nothing", "everything"), by="dave")
    assert await is_genuine(comments, ref) is False
    await comments.write_sticky(ref, "DROP nothing")
    assert one.body.endswith("DROP nothing")
    assert await is_genuine(comments, ref) is True


async def test_a_comment_without_its_marker_is_still_ours(acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef) -> None:
    await comments.write_sticky(ref, "words")
    one = ours(acme, pull)[0]
    acme.world.edit_comment(one, "something else entirely", by="dave")
    assert await is_genuine(comments, ref) is False
    await comments.write_sticky(ref, "words")
    assert [one] == ours(acme, pull)
    assert await is_genuine(comments, ref) is True


async def test_old_words_of_ours_put_back_later_are_noticed(acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef) -> None:
    await comments.write_sticky(ref, "the old plan")
    one = ours(acme, pull)[0]
    old = one.body
    await comments.write_sticky(ref, "the new plan")
    acme.world.clock = lambda: pull.created_at + timedelta(hours=1)
    acme.world.edit_comment(one, old, by="dave")
    assert await is_genuine(comments, ref) is False


async def test_our_words_from_another_pull_request_are_noticed(
    acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef
) -> None:
    other = acme.open_change("other")
    await comments.write_sticky(PullRequestRef("acme", "shop", other.number), "harmless")
    await comments.write_sticky(ref, "dangerous")
    acme.world.edit_comment(ours(acme, pull)[0], ours(acme, other)[0].body, by="dave")
    assert await is_genuine(comments, ref) is False


async def test_a_comment_that_landed_but_lost_its_answer_is_found(
    acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef
) -> None:
    acme.world.chaos.fail_next("issues/create-comment", status=0, after_effect=True)
    with pytest.raises(TryAgain):
        await comments.write_sticky(ref, "words")
    await comments.write_sticky(ref, "words")
    assert 1 == len(ours(acme, pull))


async def test_a_second_sticky_that_landed_late_is_taken_away(
    acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef
) -> None:
    await comments.write_sticky(ref, "words")
    first = ours(acme, pull)[0]
    acme.world.comment(pull, acme.app.bot, first.body)
    theirs = acme.world.comment(pull, "mallory", first.body)
    await comments.write_sticky(ref, "words")
    assert [first] == ours(acme, pull)
    assert theirs in pull.comments


async def test_the_largest_comment_fits_with_its_marker(acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef) -> None:
    await comments.write_sticky(ref, "```\n" + "words\n" * 20_000 + "```\n")
    (one,) = ours(acme, pull)
    assert len(one.body) <= COMMENT_LIMIT
    assert await is_genuine(comments, ref) is True
    await comments.write_sticky(ref, "```\n" + "words\n" * 20_000 + "```\n")
    assert [] == one.edits


# ── Short comments and reactions ──


def announcement(view: PullRequestView, key: str) -> Say:
    return Say(ref=view.ref, announcement=Announcement.FAILED, key=key, view=view, text="it failed")


async def test_a_key_is_said_once(acme: Acme, comments: Comments, pull: PullRequest, view: PullRequestView) -> None:
    acme.world.chaos.fail_next("issues/create-comment", status=502, after_effect=True)
    with pytest.raises(TryAgain):
        await comments.say(announcement(view, "failed/1"))
    for key in ("failed/1", "failed/10", "failed/1"):
        await comments.say(announcement(view, key))
    assert 2 == len(ours(acme, pull))


async def test_a_short_comment_is_never_taken_for_the_sticky_one(
    acme: Acme, comments: Comments, pull: PullRequest, view: PullRequestView
) -> None:
    await comments.say(announcement(view, "failed/1"))
    said = ours(acme, pull)[0].body
    await comments.write_sticky(view.ref, "words")
    assert [said] == [one.body for one in ours(acme, pull) if "skeebot:sticky" not in one.body]
    assert await is_genuine(comments, view.ref) is True


def test_a_key_cannot_end_its_marker() -> None:
    for key in ("a-->b", "x" * 5000, "é\n\0", "command/comment/5/1"):
        marker = said_marker(key)
        assert 1 == marker.count("-->")
        assert "\n" not in marker
        assert len(marker) <= MARKER_ROOM


async def test_a_handled_command_gets_one_reaction(acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef) -> None:
    done, refused = (acme.world.comment(pull, "dave", ".skeefree help") for _ in range(2))
    for _ in range(2):
        await comments.react(React(ref=ref, comment_id=done.id, done=True))
        await comments.react(React(ref=ref, comment_id=refused.id, done=False))
    assert [["+1"], ["confused"]] == [[one.content for one in comment.reactions] for comment in (done, refused)]


async def test_a_comment_that_is_gone_needs_no_reaction(acme: Acme, comments: Comments, pull: PullRequest, ref: PullRequestRef) -> None:
    gone = acme.world.comment(pull, "dave", ".skeefree help")
    acme.world.delete_comment(gone, by="dave")
    await comments.react(React(ref=ref, comment_id=gone.id, done=True))
