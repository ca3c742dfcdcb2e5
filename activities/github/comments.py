"""The sticky comment, short new comments, and reactions.

A comment of ours is known by its author **and** by a hidden marker: anybody may paste the marker, nobody else writes as our bot. But
anybody with write access may edit our comment, and REST does not tell who did. So the sticky's marker carries a seal over its text, its
pull request and GitHub's time of writing, made with a key of ours: other words, or old words put back later, do not fit it. The key is
not the App's: that one is rotated, and then every comment would look edited and void the approvals.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from pydantic import Field
from temporalio import activity

from activities.github.client import GitHubClient, Shown, iso
from activities.github.deliveries import STICKY_MARKER
from activities.github.render import COMMENT_LIMIT as BODY_LIMIT
from activities.github.render import render_say, render_sticky
from activities.pulse import missed_when_dead
from workflows.messages import CommentPublished, PublishComment, React, Say
from workflows.rules.markdown import truncate_bytes
from workflows.rules.names import PullRequestRef, same_login

COMMENT_LIMIT: Final = 65_536
"""Characters of a comment (FACTS, GitHub)."""
MARKER_ROOM: Final = COMMENT_LIMIT - BODY_LIMIT
"""Characters that render leaves for a marker."""
WRITING_TIME: Final = timedelta(seconds=120)
"""Between GitHub's clock when a text was sealed and its `updated_at`: one request, once repeated. Later means another hand."""

_STICKY = re.compile(r"\A\s*" + re.escape(STICKY_MARKER) + r"at=([0-9TZ:-]{20}) sha256=([0-9a-f]{64}) -->\r?\n?")
_SAID: Final = "<!-- skeebot:say key="


class _User(Shown):
    login: str


class Comment(Shown):
    """One comment of the conversation. user: None when the account is gone. Times: ISO 8601 UTC, GitHub's clock."""

    id: int
    node_id: str
    created_at: str
    updated_at: str
    user: _User | None = None
    body: str | None = None

    @property
    def author(self) -> str:
        return self.user.login if self.user is not None else ""

    @property
    def text(self) -> str:
        return self.body or ""


_EDITED: Final = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on IssueComment { id lastEditedAt } } }"


class _EditedComment(Shown):
    last_edited_at: str | None = Field(default=None, alias="lastEditedAt")


class _EditedComments(Shown):
    """In the order in which they were asked for; None for one that is gone."""

    nodes: tuple[_EditedComment | None, ...]


@dataclass(frozen=True)
class Sticky:
    """Our sticky comment as it is shown. body: without its marker. genuine: nobody else changed it."""

    comment_id: int
    body: str
    updated_at: str
    genuine: bool


class Comments:
    """publish_comment, say and react."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github
        self._bot = github.settings.bot_login
        self._key = hashlib.sha256(b"skeebot sticky comment\n" + github.seal_key.encode()).digest()

    @activity.defn
    @missed_when_dead
    async def publish_comment(self, ask: PublishComment) -> CommentPublished:
        return await self.write_sticky(ask.view.ref, render_sticky(ask.view))

    @activity.defn
    @missed_when_dead
    async def say(self, ask: Say) -> None:
        """A key that was said is found again by marker and author, so a POST that landed unseen is not repeated."""
        marker = said_marker(ask.key)
        for one in await self.all_of(ask.ref):
            if same_login(one.author, self._bot) and one.text.startswith(marker):
                return
        await self._create(ask.ref, f"{marker}\n{_fitting(render_say(ask))}")

    @activity.defn
    @missed_when_dead
    async def react(self, ask: React) -> None:
        """The same reaction twice is one; a comment that was deleted meanwhile needs none."""
        path = f"/repos/{quote(ask.ref.repository)}/issues/comments/{ask.comment_id}/reactions"
        body = {"content": "+1" if ask.done else "confused"}
        await self._github.call("POST", path, ask.ref.repository, body=body, expected={404, 410})

    async def never_edited(self, ref: PullRequestRef, comments: Sequence[Comment]) -> set[int]:
        """Ids of those that stand as they were written. REST cannot tell: its two times may be a second apart from the beginning, and
        are the same after an edit within that second.
        """
        if not comments:
            return set()
        asked = [one.node_id for one in comments]
        found = await self._github.graphql(_EDITED, ref.repository, _EditedComments, ids=asked)
        return {one.id for one, edited in zip(comments, found.nodes, strict=True) if edited is not None and edited.last_edited_at is None}

    async def write_sticky(self, ref: PullRequestRef, body: str) -> CommentPublished:
        """Make the one sticky comment say body (without marker), writing only where it differs or is not genuine.

        Errors: those of GitHubClient.call.
        """
        wanted = _fitting(body)
        comments, clock = await self._read(ref)
        shown = self.sticky_among(ref, comments)
        await self._remove_doubles(ref, comments, shown)
        if shown is not None and shown.genuine and shown.body == wanted:
            return CommentPublished(comment_id=shown.comment_id, at=shown.updated_at)
        text = self._sealed(ref, iso(clock), wanted)
        if shown is None:
            written = await self._create(ref, text)
        else:
            path = f"/repos/{quote(ref.repository)}/issues/comments/{shown.comment_id}"
            written = (await self._github.call("PATCH", path, ref.repository, body={"body": text})).read(Comment)
        return CommentPublished(comment_id=written.id, at=written.updated_at)

    def sticky_among(self, ref: PullRequestRef, comments: Sequence[Comment]) -> Sticky | None:
        """Our sticky comment: the first of the bot's with the marker, else its first without any marker (somebody took it off)."""
        ours = [one for one in comments if same_login(one.author, self._bot)]
        marked = next((one for one in ours if _is_marked(one)), None)
        found = marked or next((one for one in ours if not one.text.startswith(_SAID)), None)
        if found is None:
            return None
        seal = _STICKY.match(found.text)
        if seal is None:
            return Sticky(found.id, _plain(found.text), found.updated_at, genuine=False)
        at, body = seal[1], _plain(found.text[seal.end() :])
        genuine = hmac.compare_digest(seal[2], self._seal(ref, at, body)) and _soon_after(at, found.updated_at)
        return Sticky(found.id, body, found.updated_at, genuine=genuine)

    async def all_of(self, ref: PullRequestRef) -> list[Comment]:
        """The conversation, oldest first."""
        return (await self._read(ref))[0]

    async def _read(self, ref: PullRequestRef) -> tuple[list[Comment], datetime]:
        """The comments, and GitHub's clock after they were read."""
        path = f"/repos/{quote(ref.repository)}/issues/{ref.number}/comments"
        pages = self._github.pages(path, ref.repository, Comment)
        found = [one async for one in pages]
        return sorted(found, key=lambda one: one.id), self._github.clock

    async def _remove_doubles(self, ref: PullRequestRef, comments: Sequence[Comment], shown: Sticky | None) -> None:
        """A POST may land long after its answer was given up. Two stickies, of which one is never kept true again, mislead."""
        for one in comments:
            if shown is not None and one.id != shown.comment_id and same_login(one.author, self._bot) and _is_marked(one):
                path = f"/repos/{quote(ref.repository)}/issues/comments/{one.id}"
                await self._github.call("DELETE", path, ref.repository, expected={404, 410})

    async def _create(self, ref: PullRequestRef, text: str) -> Comment:
        path = f"/repos/{quote(ref.repository)}/issues/{ref.number}/comments"
        return (await self._github.call("POST", path, ref.repository, body={"body": text})).read(Comment)

    def _sealed(self, ref: PullRequestRef, at: str, body: str) -> str:
        return f"{STICKY_MARKER}at={at} sha256={self._seal(ref, at, body)} -->\n{body}"

    def _seal(self, ref: PullRequestRef, at: str, body: str) -> str:
        return hmac.new(self._key, f"{str(ref).casefold()}\n{at}\n{body}".encode(), hashlib.sha256).hexdigest()


def _fitting(body: str) -> str:
    """What was rendered, as it is compared and sealed, leaving room for the marker."""
    return _plain(truncate_bytes(_plain(body), BODY_LIMIT))


def said_marker(key: str) -> str:
    """Hidden in a short comment; the key is written so that it cannot end the HTML comment."""
    spelled = quote(key, safe="").replace("-", "%2D")
    if len(spelled) > MARKER_ROOM - len(_SAID) - len(" -->"):
        spelled = hashlib.sha256(key.encode()).hexdigest()
    return f"{_SAID}{spelled} -->"


def _is_marked(comment: Comment) -> bool:
    return comment.text.lstrip().startswith(STICKY_MARKER)


def _plain(body: str) -> str:
    """Line ends and outer blanks may change on the way through a browser or a server; they say nothing."""
    return body.replace("\r\n", "\n").strip()


def _soon_after(sealed_at: str, updated_at: str) -> bool:
    try:
        waited = datetime.fromisoformat(updated_at) - datetime.fromisoformat(sealed_at)
    except (ValueError, TypeError):
        return False
    return abs(waited) <= WRITING_TIME
