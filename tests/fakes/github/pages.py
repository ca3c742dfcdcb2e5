"""The site's pages: what a person would see on GitHub, from the same world that the API answers from.

Pages are open to whoever reaches the port, which is this machine alone. Everything that people wrote is escaped by
Jinja, or rendered by `markdown`, which lets nothing through that could run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from tests.fakes.github import markdown
from tests.fakes.github.objects import (
    PASSING_CONCLUSIONS,
    ROLE_ORDER,
    CheckRun,
    PullRequest,
    Reaction,
    Refused,
    Repository,
    User,
)
from tests.fakes.github.pulls import Blocker
from tests.fakes.github.world import World

TEMPLATES = Path(__file__).parent / "templates"
STATIC = {"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"}
POLICY = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'"
"""No page can load or run anything but the stand-in's own files, whatever a pull request says."""
_REACTION_ICONS = {"+1": "thumb", "eyes": "eye", "heart": "heart", "hooray": "star", "rocket": "up", "laugh": "smile"}
_ROUTES = (
    (re.compile(r"/([^/]+)/([^/]+)/pull/(\d+)(?:/(commits|checks|files))?/?"), "pull"),
    (re.compile(r"/([^/]+)/([^/]+)/runs/(\d+)/?"), "run"),
    (re.compile(r"/([^/]+)/([^/]+)(?:/pulls)?/?"), "pulls"),
)


@dataclass(frozen=True)
class Look:
    """How a check run is drawn."""

    icon: str
    colour: str
    words: str


_LOOKS = {
    "success": Look("check", "green", "Successful"),
    "failure": Look("cross", "red", "Failed"),
    "timed_out": Look("cross", "red", "Timed out"),
    "cancelled": Look("skip", "grey", "Cancelled"),
    "action_required": Look("bang", "amber", "Action required"),
    "neutral": Look("square", "grey", "Neutral"),
    "skipped": Look("skip", "grey", "Skipped"),
    "stale": Look("bang", "grey", "Stale: GitHub gave up waiting"),
    "in_progress": Look("spin", "amber", "In progress"),
    "queued": Look("wait", "amber", "Queued"),
}


def answer(world: World, path: str) -> Response:
    """The page at a path of the site, or 404."""
    name = path.removeprefix("/static/")
    if path.startswith("/static/") and name in STATIC:
        return Response((TEMPLATES / name).read_bytes(), media_type=STATIC[name])
    if path.startswith("/avatars/"):
        return Response(_avatar(world, path.removeprefix("/avatars/")), media_type="image/svg+xml")
    with world.lock:
        html = _page(world, path)
    if html is None:
        return PlainTextResponse("Not Found\n", 404)
    return HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})


def pull_request_page(world: World, pull: PullRequest | str) -> str:
    """The HTML of a pull request's page, without a server."""
    with world.lock:
        return _pull(world, world.pull(pull), "conversation")


def _page(world: World, path: str) -> str | None:
    if path == "/":
        return _render(world, "home.html", repository=None, repositories=list(world.repositories.values()))
    for pattern, kind in _ROUTES:
        match = pattern.fullmatch(path)
        repository = world.repositories.get(f"{match[1]}/{match[2]}".lower()) if match else None
        if match is None or repository is None:
            continue
        if kind == "pulls":
            return _pulls(world, repository)
        if kind == "run":
            run = next((r for r in repository.check_runs if r.id == int(match[3])), None)
            return _run(world, run) if run else None
        pull = repository.pulls.get(int(match[3]))
        return _pull(world, pull, match[4] or "conversation") if pull else None
    return None


# --- acting, as anybody one likes ---

_PULL_ACT = re.compile(r"/([^/]+/[^/]+)/pull/(\d+)/act")
_RUN_ACT = re.compile(r"/([^/]+/[^/]+)/runs/(\d+)/act")


def act(world: World, path: str, body: bytes, origin: str | None) -> Response:
    """What a form on a page does: `do` it `as` somebody. Other sites' pages cannot send one."""
    if origin not in (None, world.html_url):
        return PlainTextResponse("A page of another site may not act here.\n", 403)
    form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
    pull, run = _PULL_ACT.fullmatch(path), _RUN_ACT.fullmatch(path)
    back = path.removesuffix("/act")
    try:
        if pull:
            _act_on_pull(world, world.pull(f"{pull[1]}#{pull[2]}"), form)
        elif run:
            _act_on_run(world, int(run[2]), form)
        else:
            return PlainTextResponse("Not Found\n", 404)
    except Refused as refusal:
        html = _render(world, "refused.html", repository=None, message=str(refusal), back=back)
        return HTMLResponse(html, refusal.status, {"Content-Security-Policy": POLICY})
    except LookupError:
        return PlainTextResponse("Not Found\n", 404)
    return RedirectResponse(back, 303)


def _act_on_pull(world: World, pull: PullRequest, form: dict[str, str]) -> None:
    who, text, label = world.user(form.get("as", "")), form.get("body", ""), form.get("label", "")
    match form.get("do"):
        case "comment":
            world.comment(pull, who, text)
        case "approve":
            world.review(pull, who, "APPROVED", text)
        case "request_changes":
            world.review(pull, who, "CHANGES_REQUESTED", text)
        case "label":
            if label.lower() not in pull.repository.labels:  # the picker offers those that are there
                raise Refused(422, f"{pull.repository} has no label {label!r}.")
            world.add_label(pull, label, by=who)
        case "unlabel":
            world.remove_label(pull, label, by=who)
        case "close":
            world.close_pull_request(pull, by=who)
        case "reopen":
            world.reopen_pull_request(pull, by=who)
        case "merge":
            world.merge(pull, by=who)
        case other:
            raise Refused(422, f"Nobody knows how to {other!r} a pull request.")


def _act_on_run(world: World, run_id: int, form: dict[str, str]) -> None:
    what, who = form.get("do", ""), world.user(form.get("as", ""))
    if what == "rerequest":
        world.rerequest(run_id, by=who)
    else:
        world.click_check_action(run_id, what.removeprefix("action:"), by=who)


# --- the pages ---


def _pulls(world: World, repository: Repository) -> str:
    pulls = sorted(repository.pulls.values(), key=lambda p: (not p.is_open, -p.number))
    lines = [{"pull": pull, "runs": _main_runs(world, pull)} for pull in pulls]
    return _render(world, "pulls.html", repository=repository, pulls=lines, clone_url=f"{world.html_url}/{repository}.git")


def _main_runs(world: World, pull: PullRequest) -> list[CheckRun]:
    """The required runs of a pull request, or all of them where none is required."""
    required = _required_names(world, pull)
    runs = world.current_runs(pull.repository, pull.head_sha)
    return [run for run in runs if run.name in required] or runs[:3]


def _run(world: World, run: CheckRun) -> str:
    repository = run.repository
    return _render(
        world,
        "run.html",
        repository=repository,
        run=run,
        pulls=[pull for pull in repository.pulls.values() if pull.head_sha == run.head_sha],
        siblings=world.check_run_history(repository, run.head_sha, run.name, app=run.app),
    )


def _pull(world: World, pull: PullRequest, tab: str) -> str:
    if pull.is_open:
        world.look_at(pull)
    git = pull.repository.git
    commits = git.commits_between(pull.base_sha, pull.head_sha)
    changes = world.changed_files(pull)
    runs = sorted(world.current_runs(pull.repository, pull.head_sha), key=lambda run: run.name)
    facts: dict[str, Any] = {
        "repository": pull.repository,
        "pull": pull,
        "counts": {
            "conversation": len(pull.comments) + len(pull.reviews),
            "commits": len(commits),
            "checks": len(runs),
            "files": len(changes),
            "added": sum(change.additions for change in changes),
            "removed": sum(change.deletions for change in changes),
        },
    }
    if tab == "files":
        return _render(world, "files.html", changes=changes, **facts)
    if tab == "commits":
        return _render(world, "commits.html", commits=[git.read_commit(sha) for sha in commits], **facts)
    if tab == "checks":
        return _render(world, "checks.html", runs=runs, **facts)
    return _render(
        world,
        "pull.html",
        timeline=_timeline(pull),
        merge=_merge_box(world, pull, runs),
        reviewers=_reviewers(pull),
        participants=_participants(pull),
        protection=_protection(world, pull),
        association=lambda user: world.shapes.association(user, pull.repository).capitalize().replace("None", ""),
        **facts,
    )


def _timeline(pull: PullRequest) -> list[dict[str, Any]]:
    entries: list[tuple[tuple[datetime, int], dict[str, Any]]] = []
    entries += [((c.created_at, c.id), {"kind": "comment", "comment": c}) for c in pull.comments]
    entries += [((r.submitted_at, r.id), {"kind": "review", "review": r}) for r in pull.reviews if r.state != "PENDING"]
    entries += [((e.at, e.id), {"kind": "event", "event": e}) for e in pull.timeline]
    return [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]


@dataclass
class MergeBox:
    """What the box at the foot of the conversation says."""

    blockers: list[Blocker]
    mood: str
    reviews_missing: list[str]
    approvals: list[str]
    required: set[str]
    missing_checks: list[str]
    runs: list[CheckRun]
    checks_icon: str = "check"
    checks_colour: str = "green"
    checks_words: str = "All checks have passed"
    checks_counts: str = ""
    branch_icon: str = "check"
    branch_colour: str = "green"
    branch_words: str = ""
    branch_note: str = ""
    kinds: set[str] = field(default_factory=set)


def _merge_box(world: World, pull: PullRequest, runs: list[CheckRun]) -> MergeBox:
    blockers = world.merge_blockers(pull) if pull.is_open else []
    required = _required_names(world, pull)
    names = {run.name for run in runs}
    box = MergeBox(
        blockers=blockers,
        mood="done" if pull.merged else ("bad" if blockers else "good") if pull.is_open else "closed",
        reviews_missing=[b.text for b in blockers if b.kind == "review"],
        approvals=_approvers(pull),
        required=required,
        missing_checks=sorted(required - names),
        runs=sorted(runs, key=lambda run: (run.name not in required, run.name)),
        kinds={b.kind for b in blockers},
    )
    _say_checks(box)
    _say_branch(box, pull)
    return box


def _say_checks(box: MergeBox) -> None:
    looks = [_look(run) for run in box.runs]
    counts: dict[str, int] = {}
    for look in looks:
        counts[look.words.lower()] = counts.get(look.words.lower(), 0) + 1
    if box.missing_checks:
        counts["expected"] = len(box.missing_checks)
    box.checks_counts = ", ".join(f"{number} {words}" for words, number in counts.items()) or "No check has reported."
    failing = [run for run in box.runs if run.status == "completed" and run.conclusion not in PASSING_CONCLUSIONS]
    waiting = [run for run in box.runs if run.status != "completed"]
    if waiting or box.missing_checks:
        box.checks_icon, box.checks_colour = ("spin" if waiting else "wait"), "amber"
        box.checks_words = "Some checks have not completed yet"
    elif any(run.conclusion != "action_required" for run in failing):
        box.checks_icon, box.checks_colour, box.checks_words = "cross", "red", "Some checks were not successful"
    elif failing:
        box.checks_icon, box.checks_colour, box.checks_words = "bang", "amber", "Some checks ask for an action"
    elif not box.runs:
        box.checks_icon, box.checks_colour, box.checks_words = "skip", "grey", "No checks"


def _say_branch(box: MergeBox, pull: PullRequest) -> None:
    box.branch_words = f"No conflicts with {pull.base_ref}"
    box.branch_note = "Merging can be performed automatically."
    if "conflict" in box.kinds:
        box.branch_icon, box.branch_colour = "bang", "grey"
        box.branch_words = f"This branch has conflicts with {pull.base_ref}"
        box.branch_note = "They must be resolved before it can be merged."
    elif "behind" in box.kinds:
        box.branch_icon, box.branch_colour = "bang", "amber"
        box.branch_words = f"This branch is out of date with {pull.base_ref}"
        box.branch_note = "Merge the latest changes into it."
    elif "draft" in box.kinds:
        box.branch_note = "This is still a draft."


def _required_names(world: World, pull: PullRequest) -> set[str]:
    repository, base = pull.repository, pull.base_ref
    guards = [g for g in (repository.protections.get(base), *world.rules_for(repository, base)) if g]
    return {check.context for guard in guards for check in guard.required_checks}


def _approvers(pull: PullRequest) -> list[str]:
    latest = {r.user.login: r.state for r in pull.reviews if r.state not in ("COMMENTED", "PENDING")}
    return [login for login, state in latest.items() if state == "APPROVED"]


def _reviewers(pull: PullRequest) -> list[dict[str, Any]]:
    marks = {
        "APPROVED": ("check", "green", "approved"),
        "CHANGES_REQUESTED": ("cross", "red", "requested changes"),
        "DISMISSED": ("skip", "grey", "dismissed"),
        "COMMENTED": ("eye", "grey", "commented"),
    }
    latest: dict[str, tuple[User, str]] = {}
    for review in pull.reviews:
        if review.state != "PENDING" and (review.state != "COMMENTED" or review.user.login not in latest):
            latest[review.user.login] = (review.user, review.state)
    lines: list[dict[str, Any]] = [
        {"user": user, "name": user.login, "icon": marks[state][0], "colour": marks[state][1], "words": marks[state][2]}
        for user, state in latest.values()
    ]
    waiting = {"icon": "wait", "colour": "amber", "words": "awaiting review"}
    lines += [{"user": user, "name": user.login} | waiting for user in pull.requested_users]
    lines += [{"user": None, "name": f"{t.organization.login}/{t.slug}"} | waiting for t in pull.requested_teams]
    return lines


def _participants(pull: PullRequest) -> list[User]:
    people = [pull.user, *(c.user for c in pull.comments), *(r.user for r in pull.reviews)]
    people += [event.actor for event in pull.timeline]
    return list({user.id: user for user in people}.values())


def _protection(world: World, pull: PullRequest) -> list[str]:
    repository, base = pull.repository, pull.base_ref
    lines = []
    for guard in [g for g in (repository.protections.get(base), *world.rules_for(repository, base)) if g]:
        for check in guard.required_checks:
            pinned = world.apps.get(check.app_id or 0)
            lines.append(f"Requires {check.context}" + (f" from {pinned.slug}" if pinned else ""))
        if guard.required_approvals:
            lines.append(f"Requires {guard.required_approvals} approving review(s)")
        if guard.require_code_owner_reviews:
            lines.append("Requires a review by code owners")
        if guard.strict:
            lines.append("Requires the branch to be up to date")
    return lines


# --- drawing ---


def _look(run: CheckRun) -> Look:
    return _LOOKS.get(run.conclusion or run.status, Look("wait", "amber", run.status.replace("_", " ")))


def _state_word(pull: PullRequest) -> str:
    if pull.merged:
        return "merged"
    if not pull.is_open:
        return "closed"
    return "draft" if pull.draft else "open"


def _ink(colour: str) -> str:
    """Black or white, whichever is easier to read on a label's colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    return "#1c2430" if (red * 299 + green * 587 + blue * 114) / 1000 > 145 else "#ffffff"


def _grouped(reactions: list[Reaction]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for reaction in reactions:
        groups.setdefault(reaction.content, []).append(reaction.user.login)
    return list(groups.items())


def _ago(world: World) -> Callable[[datetime], str]:
    def ago(moment: datetime) -> str:
        seconds = max(int((world.exactly_now() - moment).total_seconds()), 0)
        for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
            if seconds >= size:
                number = seconds // size
                return f"{number} {unit}{'' if number == 1 else 's'} ago"
        return "just now"

    return ago


def _avatar(world: World, user_id: str) -> str:
    """A coloured square with the first letter: everybody's is their own, and none is fetched from anywhere."""
    user = next((u for u in world.users.values() if str(u.id) == user_id), None)
    name = user.login if user else "?"
    hue = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 360
    letter = Markup.escape(name[0].upper())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" fill="hsl({hue} 45% 52%)"/>'
        '<text x="20" y="27" text-anchor="middle" font-family="sans-serif" font-size="20" fill="#fff">'
        f"{letter}</text></svg>"
    )


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def _render(world: World, template: str, **facts: Any) -> str:
    def markdown_filter(*, breaks: bool) -> Callable[[str | None, Repository], Markup]:
        # Markup is earned: `markdown.render` has sanitised what it returns.
        return lambda text, repository: Markup(  # noqa: S704
            markdown.render(text, breaks=breaks, pulls_url=f"/{repository.full_name}/pull")
        )

    environment = _ENVIRONMENT.overlay()
    environment.filters = _ENVIRONMENT.filters | {
        "comment": markdown_filter(breaks=True),
        "document": markdown_filter(breaks=False),
        "ago": _ago(world),
        "exact": lambda moment: moment.astimezone(UTC).strftime("%d %b %Y, %H:%M:%S UTC"),
        "iso": lambda moment: moment.isoformat(),
        "ink": _ink,
        "reaction_icon": lambda content: _REACTION_ICONS.get(content, "face"),
        "reactions": _grouped,
        "run_look": _look,
        "state_word": _state_word,
    }
    page = environment.get_template(template)
    icon = environment.get_template("macros.html").module.icon  # type: ignore[attr-defined]  # a macro of that file
    return page.render(icon=icon, actors=_actors(world, facts["repository"]), **facts)


def _actors(world: World, repository: Repository | None) -> list[User]:
    """People whom a form may act as: those who can see the repository, the mightiest first."""
    people = [user for user in world.users.values() if user.type == "User"]
    if repository is None:
        return people
    able = [user for user in people if world.may(user, repository, "read")]
    return sorted(able, key=lambda user: -ROLE_ORDER.index(world.role_of(user, repository)))
