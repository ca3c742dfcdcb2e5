"""The REST operations, one function each, named as GitHub's own description names them.

Each says which permission it needs; who asks, limits, chaos, ETags and the log are the business of `gateway`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from tests.fakes.github.access import Actor, AppActor, InstallationActor, Needs, UserActor, reaches, sees
from tests.fakes.github.objects import (
    JSON,
    App,
    CheckRun,
    Comment,
    Installation,
    Organization,
    PullRequest,
    Refused,
    Repository,
    Role,
    Team,
    User,
)
from tests.fakes.github.world import World

MOST_PER_PAGE = 100
MOST_FILES = 3000
LARGE_FILE = 1_000_000
"""Bytes above which `contents` leaves the content out."""
T = TypeVar("T")


@dataclass
class Answer:
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One request, understood: who, what, with which parameters."""

    world: World
    actor: Actor
    url: str
    parameters: dict[str, str]
    query: dict[str, str]
    body: Any
    accept: str = ""

    @property
    def repository(self) -> Repository:
        """The repository of the path; 404 where the actor cannot see it."""
        name = f"{self.parameters['owner']}/{self.parameters['repo']}".lower()
        found = self.world.repositories.get(name)
        if found is None or not sees(self.world, self.actor, found):
            raise Refused(404, "Not Found")
        return found

    @property
    def pull(self) -> PullRequest:
        number = self.parameters["number"]
        found = self.repository.pulls.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise Refused(404, "Not Found")
        return found

    @property
    def comment(self) -> Comment:
        number = self.parameters["comment_id"]
        found = self.world.find_comment(self.repository, int(number)) if number.isdecimal() else None
        if found is None:
            raise Refused(404, "Not Found")
        return found

    @property
    def check_run(self) -> CheckRun:
        number = self.parameters["check_run_id"]
        found = self.world.find_check_run(int(number)) if number.isdecimal() else None
        if found is None or found.repository is not self.repository:
            raise Refused(404, "Not Found")
        return found

    @property
    def app(self) -> App:
        """The App behind the request, by JWT or by installation token."""
        if isinstance(self.actor, AppActor | InstallationActor):
            return self.actor.app
        raise Refused(403, "You must authenticate via a GitHub App.")

    @property
    def user(self) -> User:
        """Whoever does it: the person, or the App's bot."""
        if isinstance(self.actor, InstallationActor | UserActor):
            return self.actor.user
        raise Refused(401, "Requires authentication")

    @property
    def installation(self) -> Installation:
        number = self.parameters["installation_id"]
        found = self.world.installations.get(int(number)) if number.isdecimal() else None
        if found is None or found.app is not self.app:
            raise Refused(404, "Not Found")
        return found

    @property
    def team(self) -> Team:
        found = self.world.teams.get((self.parameters["org"].lower(), self.parameters["slug"].lower()))
        if found is None or not self._inside(found.organization):
            raise Refused(404, "Not Found")
        return found

    def _inside(self, organization: Organization) -> bool:
        match self.actor:
            case InstallationActor(token):
                return token.installation.account is organization
            case UserActor(user):
                return user.login in organization.members
            case _:
                return False

    def object_body(self) -> JSON:
        if not isinstance(self.body, dict):
            raise Refused(400, "Body should be a JSON object")
        return self.body

    def text(self, name: str) -> str:
        """A required string of the body."""
        value = self.object_body().get(name)
        if not isinstance(value, str):
            raise Refused(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return value

    def page(self, items: Sequence[T], shape: Callable[[T], Any], wrap: str | None = None) -> Answer:
        """One page of a list, with the Link header that leads to the others."""
        per_page = min(max(_number(self.query.get("per_page"), 30), 1), MOST_PER_PAGE)
        page = max(_number(self.query.get("page"), 1), 1)
        last = max((len(items) + per_page - 1) // per_page, 1)
        some = [shape(item) for item in items[(page - 1) * per_page : page * per_page]]
        links: dict[str, int] = {}
        if page > 1:
            links |= {"prev": min(page - 1, last), "first": 1}
        if page < last:
            links |= {"next": page + 1, "last": last}
        headers = {"Link": self._links(links)} if links else {}
        return Answer({"total_count": len(items), wrap: some} if wrap else some, headers=headers)

    def _links(self, pages: dict[str, int]) -> str:
        return ", ".join(
            f'<{self.url}?{urlencode(self.query | {"page": str(page)})}>; rel="{rel}"'
            for rel, page in sorted(pages.items(), key=lambda link: ("prev", "next", "last", "first").index(link[0]))
        )


def _number(value: str | None, default: int) -> int:
    return int(value) if value and value.isdecimal() else default


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    pattern: re.Pattern[str]
    handler: Callable[[Call], Answer]
    needs: Needs
    role: Role
    as_app: bool
    creates_content: bool


OPERATIONS: list[Operation] = []
"""In the order in which they are tried."""


def operation(
    name: str,
    method: str,
    path: str,
    *,
    needs: Needs = (("metadata", "read"),),
    role: Role = "read",
    as_app: bool = False,
    creates_content: bool = False,
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Register an operation. `{name}` in the path matches one segment, `{name:path}` any number.

    `needs`: any of these permissions lets an installation in; `role`: what a person needs on the repository;
    `as_app`: asked with the App's JWT; `creates_content`: counts towards the secondary limit.
    """
    expression = re.sub(r"\\\{(\w+)(:path)?\\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", re.escape(path))

    def register(handler: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        OPERATIONS.append(Operation(name, method, re.compile(expression), handler, needs, role, as_app, creates_content))
        return handler

    return register


REPO = "/repos/{owner}/{repo}"
CONTENTS_READ: Needs = (("contents", "read"),)
PULLS_READ: Needs = (("pull_requests", "read"),)
PULLS_WRITE: Needs = (("pull_requests", "write"),)
TALK_READ: Needs = (("issues", "read"), ("pull_requests", "read"))
TALK_WRITE: Needs = (("issues", "write"), ("pull_requests", "write"))
CHECKS_READ: Needs = (("checks", "read"),)
CHECKS_WRITE: Needs = (("checks", "write"),)
MEMBERS_READ: Needs = (("members", "read"),)

# --- the App itself ---


@operation("apps/get-authenticated", "GET", "/app", as_app=True)
def get_app(call: Call) -> Answer:
    count = sum(1 for i in call.world.installations.values() if i.app is call.app)
    return Answer(call.world.shapes.app(call.app) | {"installations_count": count})


@operation("apps/list-installations", "GET", "/app/installations", as_app=True)
def list_installations(call: Call) -> Answer:
    found = [i for i in call.world.installations.values() if i.app is call.app]
    return call.page(found, call.world.shapes.installation)


@operation("apps/get-installation", "GET", "/app/installations/{installation_id}", as_app=True)
def get_installation(call: Call) -> Answer:
    return Answer(call.world.shapes.installation(call.installation))


@operation("apps/create-installation-access-token", "POST", "/app/installations/{installation_id}/access_tokens", as_app=True)
def create_token(call: Call) -> Answer:
    asked: JSON = call.body if isinstance(call.body, dict) else {}
    token = call.world.issue_token(
        call.installation,
        permissions=asked.get("permissions") or None,
        repositories=asked.get("repositories"),
        repository_ids=asked.get("repository_ids"),
    )
    return Answer(call.world.shapes.token(token), status=201)


@operation("apps/get-repo-installation", "GET", f"{REPO}/installation", as_app=True)
def get_repo_installation(call: Call) -> Answer:
    repository = call.world.repositories.get(f"{call.parameters['owner']}/{call.parameters['repo']}".lower())
    found = call.world.installation_for(call.app, repository) if repository else None
    if found is None:
        raise Refused(404, "Not Found")
    return Answer(call.world.shapes.installation(found))


@operation("apps/get-org-installation", "GET", "/orgs/{org}/installation", as_app=True)
def get_org_installation(call: Call) -> Answer:
    org = call.parameters["org"].lower()
    for installation in call.world.installations.values():
        if installation.app is call.app and installation.account.login.lower() == org:
            return Answer(call.world.shapes.installation(installation))
    raise Refused(404, "Not Found")


@operation("apps/list-webhook-deliveries", "GET", "/app/hook/deliveries", as_app=True)
def list_deliveries(call: Call) -> Answer:
    """Newest first; paged by cursor, which is the id of the first delivery of the page."""
    mine = [d for d in reversed(call.world.outbox.deliveries) if d.app is call.app and d.delivered_at is not None]
    if call.query.get("status") in ("success", "failure"):
        mine = [d for d in mine if (200 <= d.status_code < 300) == (call.query["status"] == "success")]
    if call.query.get("cursor"):
        mine = [d for d in mine if d.id <= _number(call.query["cursor"].removeprefix("v1_"), 0)]
    per_page = min(max(_number(call.query.get("per_page"), 30), 1), MOST_PER_PAGE)
    headers = {}
    if len(mine) > per_page:
        query = urlencode(call.query | {"cursor": f"v1_{mine[per_page].id}"})
        headers["Link"] = f'<{call.url}?{query}>; rel="next"'
    return Answer([call.world.shapes.delivery(d) for d in mine[:per_page]], headers=headers)


@operation("apps/redeliver-webhook-delivery", "POST", "/app/hook/deliveries/{delivery_id}/attempts", as_app=True)
def redeliver(call: Call) -> Answer:
    for delivery in call.world.outbox.deliveries:
        if str(delivery.id) == call.parameters["delivery_id"] and delivery.app is call.app:
            call.world.outbox.resend(delivery, call.world.next_id(), call.world.exactly_now())
            return Answer({}, status=202)
    raise Refused(404, "Not Found")


@operation("apps/get-webhook-delivery", "GET", "/app/hook/deliveries/{delivery_id}", as_app=True)
def get_delivery(call: Call) -> Answer:
    for delivery in call.world.outbox.deliveries:
        if str(delivery.id) == call.parameters["delivery_id"] and delivery.app is call.app and delivery.delivered_at:
            return Answer(call.world.shapes.delivery_full(delivery))
    raise Refused(404, "Not Found")


@operation("apps/list-repos-accessible-to-installation", "GET", "/installation/repositories")
def list_installation_repositories(call: Call) -> Answer:
    if not isinstance(call.actor, InstallationActor):
        raise Refused(403, "You must authenticate with an installation access token in order to list repositories.")
    token = call.actor.token
    found = [r for r in call.world.repositories.values() if reaches(call.world, token, r)]
    return call.page(found, call.world.shapes.repository, wrap="repositories")


# --- repositories ---


@operation("repos/get", "GET", REPO)
def get_repository(call: Call) -> Answer:
    return Answer(call.world.shapes.repository_full(call.repository))


@operation("repos/list-branches", "GET", f"{REPO}/branches", needs=CONTENTS_READ)
def list_branches(call: Call) -> Answer:
    return call.page(sorted(call.repository.branches), lambda b: call.world.shapes.branch_short(call.repository, b))


@operation(
    "repos/get-branch-protection", "GET", f"{REPO}/branches/{{branch:path}}/protection",
    needs=(("administration", "read"),), role="admin",
)  # fmt: skip
def get_branch_protection(call: Call) -> Answer:
    if call.parameters["branch"] not in call.repository.protections:
        raise Refused(404, "Branch not protected")
    return Answer(call.world.shapes.protection(call.repository, call.parameters["branch"]))


@operation("repos/get-branch", "GET", f"{REPO}/branches/{{branch:path}}", needs=CONTENTS_READ)
def get_branch(call: Call) -> Answer:
    if call.parameters["branch"] not in call.repository.branches:
        raise Refused(404, "Branch not found")
    return Answer(call.world.shapes.branch(call.repository, call.parameters["branch"]))


@operation("repos/get-branch-rules", "GET", f"{REPO}/rules/branches/{{branch:path}}")
def get_branch_rules(call: Call) -> Answer:
    rulesets = call.world.rules_for(call.repository, call.parameters["branch"])
    rules = [rule for ruleset in rulesets for rule in call.world.shapes.rules(call.repository, ruleset)]
    return call.page(rules, lambda rule: rule)


@operation("repos/get-collaborator-permission-level", "GET", f"{REPO}/collaborators/{{username}}/permission")
def get_permission(call: Call) -> Answer:
    user = call.world.users.get(call.parameters["username"].lower())
    if user is None:
        raise Refused(404, f"{call.parameters['username']} is not a user")
    return Answer(call.world.shapes.permission(user, call.repository))


@operation("git/get-ref", "GET", f"{REPO}/git/ref/{{ref:path}}", needs=CONTENTS_READ)
def get_ref(call: Call) -> Answer:
    ref = f"refs/{call.parameters['ref']}"
    call.world.settle_merges(call.repository)
    sha = call.repository.git.refs(ref).get(ref)
    if sha is None:
        raise Refused(404, "Not Found")
    return Answer(call.world.shapes.ref(call.repository, ref, sha))


@operation("repos/get-content", "GET", f"{REPO}/contents/{{path:path}}", needs=CONTENTS_READ)
@operation("repos/get-content", "GET", f"{REPO}/contents", needs=CONTENTS_READ)
@operation("repos/get-content", "GET", f"{REPO}/contents/", needs=CONTENTS_READ)
def get_content(call: Call) -> Answer:
    repository, path = call.repository, call.parameters.get("path", "").strip("/")
    ref = call.query.get("ref") or repository.default_branch
    sha = repository.branches.get(ref) or repository.git.resolve(ref)
    if sha is None:
        raise Refused(404, f"No commit found for the ref {ref}")
    entry = repository.git.entry(sha, path) if path else None
    if path and entry is None:
        raise Refused(404, "Not Found")
    if entry is None or entry.type == "tree":
        return Answer([call.world.shapes.entry(repository, e, ref) for e in repository.git.entries(sha, path) or []])
    shape = call.world.shapes.entry(repository, entry, ref)
    if shape["type"] == "submodule":
        return Answer(shape | {"submodule_git_url": f"{call.world.html_url}/unknown.git"})
    content = repository.git.blob(entry.sha)
    if ".raw" in call.accept:
        return Answer(content, headers={"Content-Type": "application/vnd.github.raw+json; charset=utf-8"})
    if shape["type"] == "symlink":
        return Answer(shape | {"target": content.decode(errors="replace")})
    if len(content) > LARGE_FILE:
        return Answer(shape | {"encoding": "none", "content": ""})
    return Answer(shape | {"encoding": "base64", "content": base64.encodebytes(content).decode()})


@operation("repos/list-pull-requests-associated-with-commit", "GET", f"{REPO}/commits/{{sha}}/pulls", needs=PULLS_READ)
def list_pulls_of_commit(call: Call) -> Answer:
    """Open pull requests that contain the commit, and merged ones that brought it."""
    git, sha = call.repository.git, call.parameters["sha"]
    if git.resolve(sha) is None:
        raise Refused(422, f"No commit found for SHA: {sha}")
    found = [
        pull
        for pull in call.repository.pulls.values()
        if sha in (pull.head_sha, pull.merge_commit_sha if pull.merged else None)
        or sha in git.commits_between(pull.base_sha, pull.head_sha)
    ]
    return call.page(found, call.world.shapes.pull_request_simple)


@operation("checks/list-for-ref", "GET", f"{REPO}/commits/{{ref:path}}/check-runs", needs=CHECKS_READ)
def list_check_runs(call: Call) -> Answer:
    """Newest first. `filter=latest` (the default) keeps the newest run of each (App, name)."""
    repository, ref = call.repository, call.parameters["ref"]
    sha = repository.branches.get(ref.removeprefix("heads/")) or repository.git.resolve(ref)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {ref}")
    if call.query.get("filter", "latest") == "latest":
        runs = call.world.current_runs(repository, sha)
    else:
        runs = [run for run in repository.check_runs if run.head_sha == sha]
    wanted = call.query
    runs = [
        run
        for run in reversed(runs)
        if wanted.get("check_name", run.name) == run.name
        and wanted.get("status", run.status) == run.status
        and _number(wanted.get("app_id"), run.app.id) == run.app.id
    ]
    return call.page(runs, call.world.shapes.check_run, wrap="check_runs")


@operation("repos/get-commit", "GET", f"{REPO}/commits/{{ref:path}}", needs=CONTENTS_READ)
def get_commit(call: Call) -> Answer:
    repository, ref = call.repository, call.parameters["ref"]
    sha = repository.branches.get(ref.removeprefix("heads/")) or repository.git.resolve(ref)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {ref}")
    return Answer(call.world.shapes.commit(repository, sha, files=True))


@operation("repos/list-commits", "GET", f"{REPO}/commits", needs=CONTENTS_READ)
def list_commits(call: Call) -> Answer:
    repository = call.repository
    start = call.query.get("sha") or repository.default_branch
    sha = repository.branches.get(start) or repository.git.resolve(start)
    if sha is None:
        raise Refused(404, "Not Found")
    shas = list(reversed(repository.git.commits_between("", sha)))
    return call.page(shas, lambda one: call.world.shapes.commit(repository, one))


@operation("repos/compare-commits", "GET", f"{REPO}/compare/{{basehead:path}}", needs=CONTENTS_READ)
def compare(call: Call) -> Answer:
    repository = call.repository
    git, shapes = repository.git, call.world.shapes
    names = call.parameters["basehead"].split("...")
    shas = [repository.branches.get(name) or git.resolve(name) for name in names]
    if len(shas) != 2 or shas[0] is None or shas[1] is None:
        raise Refused(404, "Not Found")
    base, head = shas[0], shas[1]
    fork_point = git.merge_base(base, head)
    if fork_point is None:
        raise Refused(404, f"No common ancestor between {names[0]} and {names[1]}.")
    ahead, behind = git.commits_between(base, head), git.commits_between(head, base)
    status = ("diverged" if behind else "ahead") if ahead else ("behind" if behind else "identical")
    html = f"{call.world.html_url}/{repository}/compare/{names[0]}...{names[1]}"
    return Answer(
        {
            "url": call.url,
            "html_url": html,
            "permalink_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "base_commit": shapes.commit(repository, base),
            "merge_base_commit": shapes.commit(repository, fork_point),
            "status": status,
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [shapes.commit(repository, sha) for sha in ahead],
            "files": [shapes.file_change(repository, head, c) for c in git.changes(fork_point, head)[:300]],
        }
    )


# --- pull requests ---

_SORT_KEYS: dict[str, Callable[[PullRequest], Any]] = {
    "created": lambda pull: (pull.created_at, pull.number),
    "updated": lambda pull: (pull.updated_at, pull.number),
    "popularity": lambda pull: (len(pull.comments), pull.number),
    "long-running": lambda pull: (pull.created_at, pull.number),
}


@operation("pulls/list", "GET", f"{REPO}/pulls", needs=PULLS_READ)
def list_pulls(call: Call) -> Answer:
    state, wanted = call.query.get("state", "open"), call.query
    sort = wanted.get("sort", "created")
    if state not in ("open", "closed", "all") or sort not in _SORT_KEYS:
        raise Refused(422, "Validation Failed", [{"resource": "PullRequest", "code": "invalid", "field": "state"}])
    descending = wanted.get("direction", "desc" if sort == "created" else "asc") == "desc"
    found = [
        pull
        for pull in call.repository.pulls.values()
        if state in ("all", pull.state) and wanted.get("base", pull.base_ref) == pull.base_ref and _head_matches(pull, wanted.get("head"))
    ]
    found.sort(key=_SORT_KEYS[sort], reverse=descending)
    return call.page(found, call.world.shapes.pull_request_simple)


def _head_matches(pull: PullRequest, wanted: str | None) -> bool:
    """`owner:branch`. GitHub leaves out of account a filter that is not in this form."""
    if not wanted or ":" not in wanted:
        return True
    return wanted.lower() == f"{pull.head_repository.owner.login}:{pull.head_ref}".lower()


@operation("pulls/get", "GET", f"{REPO}/pulls/{{number}}", needs=PULLS_READ)
def get_pull(call: Call) -> Answer:
    return Answer(call.world.shapes.pull_request(call.world.look_at(call.pull)))


@operation("pulls/create", "POST", f"{REPO}/pulls", needs=PULLS_WRITE, creates_content=True)
def create_pull(call: Call) -> Answer:
    body = call.object_body()
    owner, _, branch = call.text("head").rpartition(":")
    source = call.repository
    if owner and owner.lower() != source.owner.login.lower():
        forks = [r for r in call.world.repositories.values() if r.parent is source and r.owner.login.lower() == owner.lower()]
        if not forks:
            raise Refused(422, "Validation Failed", [{"resource": "PullRequest", "field": "head", "code": "invalid"}])
        source = forks[0]
    pull = call.world.open_pull_request(
        call.repository, branch, call.text("base"), title=call.text("title"), body=body.get("body"), author=call.user,
        draft=bool(body.get("draft")), head_repository=source,
    )  # fmt: skip
    return Answer(call.world.shapes.pull_request(pull), status=201)


@operation("pulls/update", "PATCH", f"{REPO}/pulls/{{number}}", needs=PULLS_WRITE, role="write")
def update_pull(call: Call) -> Answer:
    body, pull = call.object_body(), call.pull
    call.world.edit_pull_request(pull, by=call.user, title=body.get("title"), body=body.get("body"), base=body.get("base"))
    if body.get("state") == "closed" and pull.is_open:
        call.world.close_pull_request(pull, by=call.user)
    elif body.get("state") == "open" and not pull.is_open:
        call.world.reopen_pull_request(pull, by=call.user)
    return Answer(call.world.shapes.pull_request(pull))


@operation("pulls/list-files", "GET", f"{REPO}/pulls/{{number}}/files", needs=PULLS_READ)
def list_pull_files(call: Call) -> Answer:
    pull = call.pull
    changes = call.world.changed_files(pull)[:MOST_FILES]
    return call.page(changes, lambda change: call.world.shapes.file_change(call.repository, pull.head_sha, change))


@operation("pulls/list-commits", "GET", f"{REPO}/pulls/{{number}}/commits", needs=PULLS_READ)
def list_pull_commits(call: Call) -> Answer:
    pull = call.pull
    shas = pull.repository.git.commits_between(pull.base_sha, pull.head_sha)
    return call.page(shas, lambda sha: call.world.shapes.commit(call.repository, sha))


@operation("pulls/merge", "PUT", f"{REPO}/pulls/{{number}}/merge", needs=(("contents", "write"),), role="write")
def merge_pull(call: Call) -> Answer:
    asked: JSON = call.body if isinstance(call.body, dict) else {}
    method = asked.get("merge_method", "merge")
    if method not in ("merge", "squash", "rebase"):
        raise Refused(422, "Invalid merge method")
    sha = call.world.merge(call.pull, by=call.user, method=method, expected_head=asked.get("sha"))
    return Answer({"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


@operation("pulls/list-reviews", "GET", f"{REPO}/pulls/{{number}}/reviews", needs=PULLS_READ)
def list_reviews(call: Call) -> Answer:
    return call.page([r for r in call.pull.reviews if r.state != "PENDING"], call.world.shapes.review)


_REVIEW_EVENTS: dict[str, Any] = {
    "APPROVE": "APPROVED",
    "REQUEST_CHANGES": "CHANGES_REQUESTED",
    "COMMENT": "COMMENTED",
}


@operation("pulls/create-review", "POST", f"{REPO}/pulls/{{number}}/reviews", needs=PULLS_WRITE, creates_content=True)
def create_review(call: Call) -> Answer:
    body = call.object_body()
    state = _REVIEW_EVENTS.get(str(body.get("event")), "PENDING")
    commit = body.get("commit_id") or call.pull.head_sha
    review = call.world.review(call.pull, call.user, state, body.get("body") or "", commit_id=commit)
    return Answer(call.world.shapes.review(review))


@operation("pulls/list-requested-reviewers", "GET", f"{REPO}/pulls/{{number}}/requested_reviewers", needs=PULLS_READ)
def list_requested(call: Call) -> Answer:
    return Answer(call.world.shapes.review_requests(call.pull))


@operation(
    "pulls/request-reviewers", "POST", f"{REPO}/pulls/{{number}}/requested_reviewers",
    needs=PULLS_WRITE, role="triage", creates_content=True,
)  # fmt: skip
def request_reviewers(call: Call) -> Answer:
    users, teams = _asked_reviewers(call)
    call.world.request_reviews(call.pull, users=users, teams=teams, by=call.user)
    return Answer(call.world.shapes.pull_request_simple(call.pull), status=201)


@operation(
    "pulls/remove-requested-reviewers", "DELETE", f"{REPO}/pulls/{{number}}/requested_reviewers",
    needs=PULLS_WRITE, role="triage",
)  # fmt: skip
def remove_requested(call: Call) -> Answer:
    users, teams = _asked_reviewers(call)
    call.world.remove_review_requests(call.pull, users=users, teams=teams, by=call.user)
    return Answer(call.world.shapes.pull_request_simple(call.pull))


def _asked_reviewers(call: Call) -> tuple[list[str], list[str]]:
    body = call.object_body()
    users, teams = list(body.get("reviewers") or []), list(body.get("team_reviewers") or [])
    org = call.repository.owner.login.lower()
    unknown = [u for u in users if u.lower() not in call.world.users]
    unknown += [t for t in teams if (org, t.lower()) not in call.world.teams]
    if unknown:
        raise Refused(
            422,
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a"
            f" collaborator of the {call.repository} repository.",
        )
    return users, teams


# --- labels ---


@operation("issues/list-labels-for-repo", "GET", f"{REPO}/labels", needs=TALK_READ)
def list_labels(call: Call) -> Answer:
    return call.page(list(call.repository.labels.values()), lambda lb: call.world.shapes.label(call.repository, lb))


@operation("issues/create-label", "POST", f"{REPO}/labels", needs=TALK_WRITE, role="write")
def create_label(call: Call) -> Answer:
    body = call.object_body()
    label = call.world.create_label(
        call.repository,
        call.text("name"),
        color=body.get("color") or "ededed",
        description=body.get("description"),
    )
    return Answer(call.world.shapes.label(call.repository, label), status=201)


@operation("issues/get-label", "GET", f"{REPO}/labels/{{name:path}}", needs=TALK_READ)
def get_label(call: Call) -> Answer:
    label = call.repository.labels.get(call.parameters["name"].lower())
    if label is None:
        raise Refused(404, "Not Found")
    return Answer(call.world.shapes.label(call.repository, label))


def _labels_of(call: Call) -> Answer:
    return call.page(call.pull.labels, lambda label: call.world.shapes.label(call.repository, label))


@operation("issues/list-labels-on-issue", "GET", f"{REPO}/issues/{{number}}/labels", needs=TALK_READ)
def list_issue_labels(call: Call) -> Answer:
    return _labels_of(call)


def _asked_labels(call: Call) -> list[str]:
    asked = call.body.get("labels", []) if isinstance(call.body, dict) else call.body
    names: list[Any] = [label.get("name") if isinstance(label, dict) else label for label in asked or []]
    if not all(isinstance(name, str) and name for name in names):
        raise Refused(422, "Validation Failed", [{"resource": "Label", "code": "invalid", "field": "name"}])
    return names


@operation("issues/add-labels", "POST", f"{REPO}/issues/{{number}}/labels", needs=TALK_WRITE, role="triage")
def add_labels(call: Call) -> Answer:
    call.world.add_label(call.pull, *_asked_labels(call), by=call.user)
    return _labels_of(call)


@operation("issues/set-labels", "PUT", f"{REPO}/issues/{{number}}/labels", needs=TALK_WRITE, role="triage")
def set_labels(call: Call) -> Answer:
    call.world.set_labels(call.pull, *_asked_labels(call), by=call.user)
    return _labels_of(call)


@operation("issues/remove-label", "DELETE", f"{REPO}/issues/{{number}}/labels/{{name:path}}", needs=TALK_WRITE, role="triage")
def remove_label(call: Call) -> Answer:
    call.world.remove_label(call.pull, call.parameters["name"], by=call.user)
    return _labels_of(call)


# --- conversation ---


@operation("issues/list-events", "GET", f"{REPO}/issues/{{number}}/events", needs=TALK_READ)
def list_events(call: Call) -> Answer:
    """Of the many kinds of events, only the dismissals of reviews."""
    return call.page([review for review in call.pull.reviews if review.dismissal is not None], call.world.shapes.dismissal)


@operation("issues/get", "GET", f"{REPO}/issues/{{number}}", needs=TALK_READ)
def get_issue(call: Call) -> Answer:
    return Answer(call.world.shapes.issue(call.pull))


def _since(call: Call) -> datetime:
    since = call.query.get("since")
    if not since:
        return datetime.fromtimestamp(0, tz=UTC)
    try:
        moment = datetime.fromisoformat(since.replace("Z", "+00:00"))
    except ValueError:
        raise Refused(422, "Validation Failed", [{"resource": "IssueComment", "code": "invalid", "field": "since"}]) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@operation("issues/list-comments", "GET", f"{REPO}/issues/{{number}}/comments", needs=TALK_READ)
def list_comments(call: Call) -> Answer:
    since = _since(call)
    return call.page([c for c in call.pull.comments if c.updated_at >= since], call.world.shapes.comment)


@operation("issues/create-comment", "POST", f"{REPO}/issues/{{number}}/comments", needs=TALK_WRITE, creates_content=True)
def create_comment(call: Call) -> Answer:
    via = call.actor.app if isinstance(call.actor, InstallationActor) else None
    comment = call.world.comment(call.pull, call.user, call.text("body"), via_app=via)
    return Answer(call.world.shapes.comment(comment), status=201)


@operation("issues/get-comment", "GET", f"{REPO}/issues/comments/{{comment_id}}", needs=TALK_READ)
def get_comment(call: Call) -> Answer:
    return Answer(call.world.shapes.comment(call.comment))


@operation("issues/update-comment", "PATCH", f"{REPO}/issues/comments/{{comment_id}}", needs=TALK_WRITE)
def update_comment(call: Call) -> Answer:
    comment = call.comment
    call.world.edit_comment(comment, call.text("body"), by=call.user)
    return Answer(call.world.shapes.comment(comment))


@operation("issues/delete-comment", "DELETE", f"{REPO}/issues/comments/{{comment_id}}", needs=TALK_WRITE)
def delete_comment(call: Call) -> Answer:
    call.world.delete_comment(call.comment, by=call.user)
    return Answer(status=204)


@operation("reactions/list-for-issue-comment", "GET", f"{REPO}/issues/comments/{{comment_id}}/reactions", needs=TALK_READ)
def list_reactions(call: Call) -> Answer:
    content = call.query.get("content")
    return call.page([r for r in call.comment.reactions if content in (None, r.content)], call.world.shapes.reaction)


@operation("reactions/create-for-issue-comment", "POST", f"{REPO}/issues/comments/{{comment_id}}/reactions", needs=TALK_WRITE)
def create_reaction(call: Call) -> Answer:
    reaction, new = call.world.react(call.comment, call.user, call.text("content"))
    return Answer(call.world.shapes.reaction(reaction), status=201 if new else 200)


# --- checks ---


@operation("checks/create", "POST", f"{REPO}/check-runs", needs=CHECKS_WRITE)
def create_check_run(call: Call) -> Answer:
    repository = call.repository
    if not isinstance(call.actor, InstallationActor):
        raise Refused(403, "You must authenticate via a GitHub App.")
    run = call.world.create_check_run(call.actor.app, repository, call.object_body())
    return Answer(call.world.shapes.check_run(run), status=201)


@operation("checks/get", "GET", f"{REPO}/check-runs/{{check_run_id}}", needs=CHECKS_READ)
def get_check_run(call: Call) -> Answer:
    return Answer(call.world.shapes.check_run(call.check_run))


@operation("checks/update", "PATCH", f"{REPO}/check-runs/{{check_run_id}}", needs=CHECKS_WRITE)
def update_check_run(call: Call) -> Answer:
    run = call.check_run
    if not isinstance(call.actor, InstallationActor):
        raise Refused(403, "You must authenticate via a GitHub App.")
    if call.actor.app is not run.app:
        raise Refused(403, "Invalid app_id `{run.app.id}` - check run can only be modified by the GitHub App that created it.")
    return Answer(call.world.shapes.check_run(call.world.update_check_run(run, call.object_body())))


@operation("checks/list-annotations", "GET", f"{REPO}/check-runs/{{check_run_id}}/annotations", needs=CHECKS_READ)
def list_annotations(call: Call) -> Answer:
    run = call.check_run
    return call.page(run.annotations, lambda annotation: call.world.shapes.annotation(run, annotation))


@operation("checks/rerequest-run", "POST", f"{REPO}/check-runs/{{check_run_id}}/rerequest", needs=CHECKS_WRITE, role="write")
def rerequest_run(call: Call) -> Answer:
    call.world.rerequest(call.check_run, by=call.user)
    return Answer({}, status=201)


# --- people ---


@operation("users/get-by-username", "GET", "/users/{username}", needs=())
def get_user(call: Call) -> Answer:
    user = call.world.users.get(call.parameters["username"].lower())
    if user is None:
        raise Refused(404, "Not Found")
    return Answer(call.world.shapes.public_user(user))


@operation("teams/get-by-name", "GET", "/orgs/{org}/teams/{slug}", needs=MEMBERS_READ)
def get_team(call: Call) -> Answer:
    return Answer(call.world.shapes.team_full(call.team))


@operation("teams/list-members-in-org", "GET", "/orgs/{org}/teams/{slug}/members", needs=MEMBERS_READ)
def list_team_members(call: Call) -> Answer:
    team = call.team
    members = [call.world.user(login) for login in team.members if team.has_active(login)]
    return call.page(members, call.world.shapes.user)


@operation("teams/get-membership-for-user-in-org", "GET", "/orgs/{org}/teams/{slug}/memberships/{username}", needs=MEMBERS_READ)
def get_membership(call: Call) -> Answer:
    team = call.team
    user = call.world.users.get(call.parameters["username"].lower())
    if user is None or user.login not in team.members:
        raise Refused(404, "Not Found")
    return Answer(call.world.shapes.team_membership(team, user, team.members[user.login]))
