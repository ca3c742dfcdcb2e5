"""What a webhook delivery means for us: a message, or Ignored with the reason. Pure, total, and never the source of a decision.

A delivery is a hint: whoever it wakes reads GitHub itself. So the models here are small and lenient (GitHub's own published examples
break strict ones), and whatever they cannot read is ignored; the sweep repairs what that may cost.
"""

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflows.messages import BaseMoved, Delivery, Ignored, Rerequested, Woke
from workflows.rules import commands
from workflows.rules.names import HeadSha, Login, Protocol, PullRequestRef, pull_request_ref, same_login

STICKY_MARKER: Final = "<!-- skeebot:sticky "
"""How our sticky comment begins; comments.py writes the rest of it."""

PULL_REQUEST_ACTIONS: Final = frozenset(
    {"opened", "synchronize", "reopened", "closed", "edited", "labeled", "unlabeled", "ready_for_review", "converted_to_draft"}
)
REVIEW_ACTIONS: Final = frozenset({"submitted", "dismissed", "edited"})
CHECK_RUN_ACTIONS: Final = frozenset({"rerequested", "requested_action"})

_OUR_RUN = re.compile(r"skeebot/(?P<number>[1-9][0-9]{0,9})/[0-9a-f]+/(?P<generation>[0-9]{1,18})")
"""`skeebot/<pull request>/<sha>/<generation>`, as checks.CheckRun writes it."""
_SHA = re.compile(r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")

Number = Annotated[int, Field(gt=0, lt=2**31, strict=True)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Account(_Lenient):
    login: str = ""


class _Repository(_Lenient):
    full_name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$")


class _Envelope(_Lenient):
    """What every event that concerns us carries."""

    action: str = ""
    repository: _Repository
    sender: _Account = _Account()


class _Anything(_Lenient):
    action: str | None = None
    sender: _Account | None = None


class _Label(_Lenient):
    name: str = ""


class _PullRequest(_Lenient):
    number: Number


class _PullRequestEvent(_Envelope):
    pull_request: _PullRequest
    label: _Label = _Label()


class _Issue(_Lenient):
    number: Number
    pull_request: object | None = None


class _Comment(_Lenient):
    body: str | None = ""
    user: _Account | None = None


class _IssueCommentEvent(_Envelope):
    issue: _Issue
    comment: _Comment


class _App(_Lenient):
    slug: str | None = ""


class _CheckRun(_Lenient):
    name: str | None = ""
    head_sha: str
    external_id: str | None = ""
    app: _App | None = None


class _Button(_Lenient):
    identifier: str = ""


class _CheckRunEvent(_Envelope):
    check_run: _CheckRun
    requested_action: _Button | None = None


class _Tip(_Lenient):
    sha: str = ""


class _SuitePullRequest(_Lenient):
    number: Number
    head: _Tip = _Tip()


class _CheckSuite(_Lenient):
    head_sha: str
    app: _App | None = None
    pull_requests: list[_SuitePullRequest] = []


class _CheckSuiteEvent(_Envelope):
    check_suite: _CheckSuite


class _PushEvent(_Envelope):
    ref: str
    after: str
    deleted: bool = False


def read_delivery(
    event: str, guid: str, body: bytes, *, bot_login: str = "skeebot[bot]", protocol: Protocol | None = None
) -> Delivery | Ignored:
    """What this delivery means.

    event, guid: the X-GitHub-Event and X-GitHub-Delivery headers. body: as it came. bot_login: our App's own, whose doings are ignored.
    Never raises.
    """
    reader = _READERS.get(event)
    if reader is None:
        return Ignored(f"{_clean(event) or 'a nameless event'}: not an event that concerns us")
    try:
        sender = _Anything.model_validate_json(body).sender
        if sender is not None and same_login(sender.login, bot_login):
            return Ignored(f"{event}: our own doing")
        return reader(body, guid, bot_login, protocol or Protocol())
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        return Ignored(f"{event}: cannot be read at {_clean(where)}: {_clean(first['msg'])}")
    except (ValueError, RecursionError) as wrong:
        return Ignored(f"{event}: cannot be read: {type(wrong).__name__}")


# ── One reader per event ────────────────────────────────────────────────────────────────────────────────────────────


def _read_pull_request(body: bytes, guid: str, _bot_login: str, protocol: Protocol) -> Delivery | Ignored:
    found = _PullRequestEvent.model_validate_json(body)
    if found.action not in PULL_REQUEST_ACTIONS:
        return _not_ours("pull_request", found.action)
    if found.action in {"labeled", "unlabeled"}:
        known = {name.casefold() for name in protocol.labels.ours() | {protocol.labels.for_review}}
        if found.label.name.casefold() not in known:
            return Ignored(f"pull_request.{found.action}: not a label of ours")
    return Woke(_ref(found.repository, found.pull_request.number), f"pull_request.{found.action}", guid)


def _read_review(body: bytes, guid: str, _bot_login: str, _protocol: Protocol) -> Delivery | Ignored:
    found = _PullRequestEvent.model_validate_json(body)
    if found.action not in REVIEW_ACTIONS:
        return _not_ours("pull_request_review", found.action)
    return Woke(_ref(found.repository, found.pull_request.number), f"pull_request_review.{found.action}", guid)


def _read_issue_comment(body: bytes, guid: str, bot_login: str, protocol: Protocol) -> Delivery | Ignored:
    """A command, or somebody's hand on our sticky comment. What the comment says is read again from GitHub."""
    found = _IssueCommentEvent.model_validate_json(body)
    if found.issue.pull_request is None:
        return Ignored("issue_comment: on an issue, not on a pull request")
    text = found.comment.body or ""
    wake = Woke(_ref(found.repository, found.issue.number), f"issue_comment.{_clean(found.action)}", guid)
    if found.action == "created":
        if commands.lines_in(text, prefix=protocol.command_prefix):
            return wake
        return Ignored("issue_comment.created: no command in it")
    if found.action in {"edited", "deleted"}:
        # Any edit of our own comment counts: the edit may have taken the marker away. Whoever edits a command into another is told
        # that it is none.
        is_command = found.action == "edited" and commands.lines_in(text, prefix=protocol.command_prefix)
        if is_command or (found.comment.user is not None and same_login(found.comment.user.login, bot_login)):
            return wake
        return Ignored(f"issue_comment.{found.action}: not a comment of ours, and no command in it")
    return _not_ours("issue_comment", found.action)


def _read_check_run(body: bytes, guid: str, bot_login: str, _protocol: Protocol) -> Delivery | Ignored:
    """The run's external_id names the one pull request it was made for; GitHub's own list is empty for forks and long for twins."""
    found = _CheckRunEvent.model_validate_json(body)
    if found.action not in CHECK_RUN_ACTIONS:
        return _not_ours("check_run", found.action)
    if not _is_ours(found.check_run.app, bot_login):
        return Ignored(f"check_run.{found.action}: another App's run")
    run = _OUR_RUN.fullmatch(found.check_run.external_id or "")
    if run is None or not _SHA.match(found.check_run.head_sha):
        return Ignored(f"check_run.{found.action}: not a run that names its pull request")
    return Rerequested(
        ref=_ref(found.repository, int(run["number"])),
        head_sha=HeadSha(found.check_run.head_sha),
        actor=Login(found.sender.login),
        identifier=found.requested_action.identifier if found.requested_action is not None else "",
        guid=guid,
        check=found.check_run.name or "",
        generation=int(run["generation"]),
    )


def _read_check_suite(body: bytes, guid: str, bot_login: str, _protocol: Protocol) -> Delivery | Ignored:
    """ "Re-run all checks". It names pull requests by their head; where two share one, neither can turn green, so the first will do."""
    found = _CheckSuiteEvent.model_validate_json(body)
    if found.action != "rerequested":
        return _not_ours("check_suite", found.action)
    suite = found.check_suite
    if not _is_ours(suite.app, bot_login):
        return Ignored("check_suite.rerequested: another App's checks")
    numbers = [one.number for one in suite.pull_requests if one.head.sha == suite.head_sha]
    if not numbers or not _SHA.match(suite.head_sha):
        return Ignored("check_suite.rerequested: names no pull request (a fork?); Re-run on a single check does")
    return Rerequested(ref=_ref(found.repository, numbers[0]), head_sha=HeadSha(suite.head_sha), actor=Login(found.sender.login), guid=guid)


def _read_push(body: bytes, guid: str, _bot_login: str, _protocol: Protocol) -> Delivery | Ignored:
    found = _PushEvent.model_validate_json(body)
    kind, _, branch = found.ref.partition("refs/heads/")
    if kind or not branch:
        return Ignored("push: not to a branch")
    if found.deleted or not _SHA.match(found.after) or not found.after.strip("0"):
        return Ignored("push: the branch is gone")
    return BaseMoved(repository=found.repository.full_name, branch=branch, after=found.after, guid=guid)


_READERS: Final[dict[str, Callable[[bytes, str, str, Protocol], Delivery | Ignored]]] = {
    "pull_request": _read_pull_request,
    "pull_request_review": _read_review,
    "issue_comment": _read_issue_comment,
    "check_run": _read_check_run,
    "check_suite": _read_check_suite,
    "push": _read_push,
}


def _ref(repository: _Repository, number: int) -> PullRequestRef:
    return pull_request_ref(repository.full_name, number)


def _is_ours(app: _App | None, bot_login: str) -> bool:
    return app is not None and same_login(f"{app.slug}[bot]", bot_login)


def _not_ours(event: str, action: str) -> Ignored:
    return Ignored(f"{event}.{_clean(action)}: changes nothing for us")


def _clean(text: str) -> str:
    """Fit for a log line: printable and short."""
    return "".join(one if one.isprintable() else "?" for one in text[:120])
