"""What GitHub knows of a pull request, read at once after a wake-up; and the few things that are asked of the request itself."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import quote

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.errors import NeedsHuman
from activities.github.checks import Checks
from activities.github.client import GitHubClient, Shown, Together, TooLong, iso
from activities.github.comments import Comment, Comments
from activities.github.people import People
from activities.pulse import missed_when_dead
from workflows.messages import CommandGiven, Door, OpenPullRequest, PullRequestSnapshot, React, ReadPullRequest, RequestReview
from workflows.rules import commands
from workflows.rules.approvals import Members, Review, ReviewState
from workflows.rules.names import HeadSha, Labels, Login, Protocol, PullRequestRef, same_login, same_repository
from workflows.rules.plan import Enrolment

COMMANDS_A_COMMENT: Final = 10
COMMANDS_A_LOOK: Final = 50
"""At most so many at once; a flood waits for the next look, since the cursor stays before it."""
GUARDING_RULES: Final = frozenset({"pull_request", "required_status_checks", "update", "merge_queue"})
"""Kinds of ruleset rules that keep a writer from simply pushing; the rest (names of commits, signatures, …) protects no gate."""

EnrolmentOf = Callable[[str], Awaitable[Enrolment | None]]
"""Asks the Registry for a repository ("owner/name"). Errors: TryAgain when it does not answer."""


class _User(Shown):
    login: str


class _Repository(Shown):
    full_name: str


class _Head(Shown):
    sha: str
    repo: _Repository | None = None


class _Base(Shown):
    ref: str
    sha: str
    repo: _Repository


class _Label(Shown):
    name: str


class _PullRequest(Shown):
    """user, head.repo: None when the account or the fork is gone."""

    number: int
    state: str
    title: str
    head: _Head
    base: _Base
    html_url: str = ""
    user: _User | None = None
    draft: bool = False
    merged: bool = False
    labels: tuple[_Label, ...] = ()


class _Listed(Shown):
    number: int
    head: _Head
    base: _Base
    updated_at: str = ""


class _RequiredCheck(Shown):
    """app_id: None or −1 for anybody's."""

    context: str
    app_id: int | None = None


class _RequiredChecks(Shown):
    contexts: tuple[str, ...] = ()
    checks: tuple[_RequiredCheck, ...] = ()


class _Protection(Shown):
    required_status_checks: _RequiredChecks | None = None


class _Commit(Shown):
    sha: str


class _Branch(Shown):
    commit: _Commit
    protected: bool = False
    protection: _Protection | None = None


class _RuleCheck(Shown):
    context: str
    integration_id: int | None = None


class _Parameters(Shown):
    required_status_checks: tuple[_RuleCheck, ...] = ()


class _Rule(Shown):
    type: str
    parameters: _Parameters | None = None


class _Review(Shown):
    id: int
    state: str
    user: _User | None = None
    commit_id: str | None = None
    submitted_at: str | None = None


class _DismissedReview(Shown):
    """dismissal_commit_id: the commit whose push dismissed it; missing where a person did."""

    review_id: int
    state: str
    dismissal_commit_id: str | None = None


class _Event(Shown):
    event: str
    dismissed_review: _DismissedReview | None = None


@dataclass(frozen=True)
class _BaseBranch:
    """sha: its tip; "" when the branch is gone."""

    sha: str = ""
    protected: bool = False
    requires_check: bool = False


class PullRequests:
    """read_pull_request, request_review and list_open_pull_requests."""

    def __init__(self, github: GitHubClient, *, protocol: Protocol, enrolment_of: EnrolmentOf) -> None:
        self._github = github
        self._protocol = protocol
        self._enrolment_of = enrolment_of
        self._comments = Comments(github)
        self._checks = Checks(github)
        self._people = People(github)

    @activity.defn
    @missed_when_dead
    async def read_pull_request(self, ask: ReadPullRequest) -> PullRequestSnapshot:
        """Errors: those of GitHubClient.call and of enrolment_of. Half a truth is none: any failure fails the whole."""
        ref = ask.ref
        pull = await self._github.get(self._path(ref), ref.repository, _PullRequest)
        _refuse_new_name(ref, pull.base.repo.full_name)
        now = iso(self._github.clock)
        is_open = pull.state == "open"
        async with Together() as together:
            base = together.start(self._base_branch(ref, pull.base.ref))
            reviews = together.start(self._reviews(ref))
            comments = together.start(self._comments.all_of(ref))
            known = pull.head.sha == ask.generations_known_of
            generations = together.start(self._checks.generations_on(ref, pull.head.sha)) if not known else None
            twins = together.start(self._twins(ref, pull.head.sha)) if is_open else None
            enrolment = together.start(self._ask_enrolment(ref.repository))
        given, cursor = await self._commands(ref, comments.result(), ask.comment_cursor)
        people = _speakers(reviews.result(), (*(one.actor for one in given), *ask.people))
        base_sha = base.result().sha or pull.base.sha
        sticky = self._comments.sticky_among(ref, comments.result())
        enrolled = enrolment.result()
        members = await self._people.members(ref, base_sha, enrolled, people) if enrolled is not None else Members()
        unknown = await self._people.unknown_teams(ref, enrolled, members, people) if enrolled is not None else ()
        gap = await self._people.codeowners_gap(ref, base_sha, enrolled, members) if enrolled is not None else ""
        return PullRequestSnapshot(
            ref=ref,
            state=_state(pull),
            title=pull.title,
            author=_login(pull.user),
            head_sha=HeadSha(pull.head.sha),
            base_ref=pull.base.ref,
            base_sha=base_sha,
            now=now,
            draft=pull.draft,
            from_fork=pull.head.repo is None or not same_login(pull.head.repo.full_name, pull.base.repo.full_name),
            url=pull.html_url,
            base_protected=base.result().protected,
            base_requires_check=base.result().requires_check,
            labels=tuple(_as_we_spell(one.name, self._protocol.labels) for one in pull.labels),
            reviews=tuple(reviews.result()),
            members=members,
            commands=given,
            comment_cursor=cursor,
            twins=twins.result() if twins is not None else (),
            shown_generations=generations.result() if generations is not None else {},
            tampered=sticky is not None and not sticky.genuine,
            comment_shown=sticky is not None,
            unknown_teams=unknown,
            codeowners_gap=gap,
            enrolment=enrolled,
            protocol=self._protocol,
        )

    @activity.defn
    @missed_when_dead
    async def list_open_pull_requests(self, repository: str, base: str) -> list[OpenPullRequest]:
        return [
            OpenPullRequest(
                number=one.number,
                head_sha=HeadSha(one.head.sha),
                base_ref=one.base.ref,
                changed_at=one.updated_at,
                repository=one.base.repo.full_name,
            )
            async for one in self._open(repository, base)
        ]

    @activity.defn
    @missed_when_dead
    async def request_review(self, ask: RequestReview) -> None:
        """Errors: NeedsHuman when the team cannot review here."""
        slug = ask.team.rpartition("/")[2]
        path = f"{self._path(ask.ref)}/requested_reviewers"
        body = {"team_reviewers": [slug]}
        answer = await self._github.call("POST", path, ask.ref.repository, body=body, expected={422})
        if answer.status == 422:
            raise NeedsHuman(
                f"GitHub will not ask the team {slug} to review {ask.ref}: {answer.message}. Check the team's name in the enrolment and"
                f" give the team read access to {ask.ref.repository}."
            )

    # ── Parts of the snapshot ──

    async def _base_branch(self, ref: PullRequestRef, name: str) -> _BaseBranch:
        """From branch protection and rulesets alike; both may be read without admin rights."""
        path = f"/repos/{quote(ref.repository)}/branches/{quote(name, safe='')}"
        answer = await self._github.call("GET", path, ref.repository, expected={404})
        if answer.status == 404:
            return _BaseBranch()
        branch = answer.read(_Branch)
        rules_path = f"/repos/{quote(ref.repository)}/rules/branches/{quote(name, safe='')}"
        # 404: an older GitHub Enterprise Server without rulesets.
        rules = [one async for one in self._github.pages(rules_path, ref.repository, _Rule, expected={404})]
        return _BaseBranch(
            sha=branch.commit.sha,
            protected=branch.protected or any(one.type in GUARDING_RULES for one in rules),
            requires_check=any(self._is_aggregate(context, app) for context, app in _required(branch, rules)),
        )

    def _is_aggregate(self, context: str, app_id: int | None) -> bool:
        """A check that is pinned to another App is not ours to report."""
        return context == self._protocol.checks.aggregate and app_id in {None, -1, self._github.settings.app_id}

    async def _reviews(self, ref: PullRequestRef) -> list[Review]:
        """In GitHub's order, which is chronological. A state that we do not know withdraws: doubt never approves."""
        found: list[Review] = []
        async for one in self._github.pages(f"{self._path(ref)}/reviews", ref.repository, _Review):
            if one.user is None:
                continue  # Whoever it was is no member of anything any more.
            known = one.state in ReviewState.__members__
            found.append(
                Review(
                    id=one.id,
                    login=Login(one.user.login),
                    state=ReviewState(one.state) if known else ReviewState.DISMISSED,
                    commit_id=one.commit_id or "",
                    submitted_at=one.submitted_at or "",
                )
            )
        if any(one.state is ReviewState.DISMISSED for one in found):
            pushed_away = await self._pushed_away(ref)
            found = [replace(one, pushed_away=one.id in pushed_away) for one in found]
        return found

    async def _pushed_away(self, ref: PullRequestRef) -> set[int]:
        """Ids of approvals that a push dismissed. Whom a person dismissed stays dismissed, whatever was pushed before or after; so nobody's
        where there are more events than are read.
        """
        by_push: set[int] = set()
        by_person: set[int] = set()
        path = f"/repos/{quote(ref.repository)}/issues/{ref.number}/events"
        try:
            async for one in self._github.pages(path, ref.repository, _Event):
                if one.event != "review_dismissed" or one.dismissed_review is None:
                    continue
                is_pushed = bool(one.dismissed_review.dismissal_commit_id) and one.dismissed_review.state == "approved"
                (by_push if is_pushed else by_person).add(one.dismissed_review.review_id)
        except TooLong:
            return set()
        return by_push - by_person

    async def _twins(self, ref: PullRequestRef, head_sha: str) -> tuple[int, ...]:
        """By listing the open ones: GitHub's list of a commit's pull requests leaves out those from forks."""
        return tuple(
            sorted([one.number async for one in self._open(ref.repository, "") if one.head.sha == head_sha and one.number != ref.number])
        )

    async def _ask_enrolment(self, repository: str) -> Enrolment | None:
        return await self._enrolment_of(repository)

    def _open(self, repository: str, base: str) -> AsyncIterator[_Listed]:
        params: dict[str, str | int] = {"state": "open"}
        if base:
            params["base"] = base
        return self._github.pages(f"/repos/{quote(repository)}/pulls", repository, _Listed, params=params)

    async def _commands(self, ref: PullRequestRef, comments: Sequence[Comment], cursor: int) -> tuple[tuple[CommandGiven, ...], int]:
        """Commands of comments after the cursor, and the cursor after them.

        A comment that was ever edited gives none: somebody else with write access may have put words into it (SAFETY §S12). It gets a
        confused face, so that nobody waits for it.
        """
        saying: list[tuple[Comment, list[CommandGiven]]] = []
        for one in comments:
            if one.id <= cursor:
                continue
            if one.author and not same_login(one.author, self._github.settings.bot_login):
                lines = commands.lines_in(one.text, prefix=self._protocol.command_prefix)[:COMMANDS_A_COMMENT]
                if sum(len(said) for _, said in saying) + len(lines) > COMMANDS_A_LOOK:
                    break
                if lines:
                    saying.append((one, [_command(one, number, line) for number, line in lines]))
            cursor = one.id
        good = await self._comments.never_edited(ref, [one for one, _ in saying])
        for one, _ in saying:
            if one.id not in good:
                await self._show_confusion(ref, one)
        return tuple(given for one, said in saying if one.id in good for given in said), cursor

    async def _show_confusion(self, ref: PullRequestRef, comment: Comment) -> None:
        """Once or twice is the same; that it fails changes nothing of what is true."""
        try:
            await self._comments.react(React(ref=ref, comment_id=comment.id, done=False))
        except ApplicationError as wrong:
            activity.logger.warning("no reaction to the edited comment %s of %s: %s", comment.id, ref, wrong.message)

    def _path(self, ref: PullRequestRef) -> str:
        return f"/repos/{quote(ref.repository)}/pulls/{ref.number}"


def _refuse_new_name(ref: PullRequestRef, shown: str) -> None:
    """GitHub leads an old name on to the new one, under which webhooks begin another story. Errors: NeedsHuman where it does."""
    if not same_repository(ref.repository, shown):
        raise NeedsHuman(
            f"{ref.repository} is {shown} now, so nothing is decided under the old name any more. Enrol it (starter.py add-repo {shown} …),"
            f" let what still runs for {ref} end, then end this story: temporal workflow terminate --workflow-id pull-request/{ref.key}"
        )


def _state(pull: _PullRequest) -> Literal["open", "closed", "merged"]:
    if pull.merged:
        return "merged"
    return "open" if pull.state == "open" else "closed"


def _as_we_spell(label: str, names: Labels) -> str:
    """GitHub's labels are not case-sensitive."""
    return next((name for name in (*names.ours(), names.for_review) if name.casefold() == label.casefold()), label)


def _login(user: _User | None) -> Login:
    """GitHub shows people whose account is gone as "ghost"."""
    return Login(user.login if user is not None else "ghost")


def _required(branch: _Branch, rules: Iterable[_Rule]) -> list[tuple[str, int | None]]:
    """Contexts that must succeed before merging, and the App each is pinned to. `contexts` repeats `checks` without Apps."""
    classic = branch.protection.required_status_checks if branch.protection is not None else None
    found: list[tuple[str, int | None]] = []
    if classic is not None:
        found = [(one.context, one.app_id) for one in classic.checks] or [(context, None) for context in classic.contexts]
    for rule in rules:
        if rule.type == "required_status_checks" and rule.parameters is not None:
            found += [(one.context, one.integration_id) for one in rule.parameters.required_status_checks]
    return found


def _speakers(reviews: Iterable[Review], others: Iterable[Login]) -> list[Login]:
    """Everyone whose word may count, once, as first spelled. A mere comment opens no gate and closes none."""
    silent = {ReviewState.COMMENTED, ReviewState.PENDING}
    spoke = [*(one.login for one in reviews if one.state not in silent), *others]
    return list({login.casefold(): login for login in reversed(spoke) if login}.values())[::-1]


def _command(comment: Comment, number: int, line: str) -> CommandGiven:
    return CommandGiven(
        id=f"comment/{comment.id}/{number}",
        actor=Login(comment.author),
        line=line,
        door=Door.COMMENT,
        comment_id=comment.id,
        at=comment.created_at,
    )
