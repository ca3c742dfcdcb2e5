"""Pull requests: their refs as GitHub keeps them, their reviews, and whether they may be merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tests.fakes.github.bare_git import FileChange
from tests.fakes.github.foundation import PullRef, RepositoryRef, UserRef, atomic
from tests.fakes.github.objects import (
    JSON,
    PASSING_CONCLUSIONS,
    CheckRun,
    Dismissal,
    MergeRefused,
    MergeTest,
    PullRequest,
    Refused,
    Repository,
    RequiredCheck,
    Review,
    ReviewState,
    Team,
    TestMergeCommit,
    TimelineEvent,
    User,
)
from tests.fakes.github.repositories import Repositories

HEAD = "the pull request's head"
"""Stands for whatever the head is when the review is submitted."""
TEST_MERGE_LASTS = timedelta(hours=12)
WEB_FLOW = ("GitHub", "noreply@github.example")
MergeMethod = Literal["merge", "squash", "rebase"]


@dataclass(frozen=True)
class Blocker:
    """One reason why the merge button is grey."""

    kind: Literal["closed", "draft", "conflict", "behind", "check", "review"]
    text: str


class Pulls(Repositories):
    # --- opening and closing ---

    @atomic
    def open_pull_request(
        self,
        repository: RepositoryRef,
        head: str,
        base: str | None = None,
        *,
        title: str = "A change",
        body: str | None = "",
        author: UserRef,
        draft: bool = False,
        head_repository: RepositoryRef | None = None,
    ) -> PullRequest:
        """Open a pull request from branch `head` (of a fork where `head_repository` is given) to `base`."""
        repo, by = self.repository(repository), self.user(author)
        source = self.repository(head_repository) if head_repository else repo
        base = base or repo.default_branch
        self._refuse_bad_opening(repo, source, head, base)
        now = self.now()
        pull = PullRequest(
            id=self.next_id(),
            number=repo.next_number,
            repository=repo,
            title=title,
            body=body,
            user=by,
            head_repository=source,
            head_ref=head,
            head_sha=source.branches[head],
            base_ref=base,
            base_sha=repo.branches[base],
            created_at=now,
            updated_at=now,
            draft=draft,
        )
        repo.next_number += 1
        repo.pulls[pull.number] = pull
        self._sync_head_ref(pull)
        self._ask_for_merge_test(pull)
        self._pull_event(pull, "opened", by)
        if not draft:
            self._request_code_owners(pull, by)
        return pull

    def _refuse_bad_opening(self, repo: Repository, source: Repository, head: str, base: str) -> None:
        for where, branch, field in ((source, head, "head"), (repo, base, "base")):
            if branch not in where.branches:
                raise Refused(422, "Validation Failed", [{"resource": "PullRequest", "field": field, "code": "invalid"}])
        if source is not repo:
            source_tip = source.branches[head]
            repo.git.fetch_from(source.git, source_tip, f"refs/forks/{source.id}/{head}")
        message = None
        if not repo.git.commits_between(repo.branches[base], source.branches[head], limit=1):
            message = f"No commits between {base} and {head}"
        if any(p.is_open and (p.head_repository, p.head_ref, p.base_ref) == (source, head, base) for p in repo.pulls.values()):
            message = f"A pull request already exists for {source.owner.login}:{head}."
        if message:
            raise Refused(422, "Validation Failed", [{"resource": "PullRequest", "code": "custom", "message": message}])

    @atomic
    def close_pull_request(self, pull: PullRef, *, by: UserRef) -> None:
        """Close without merging."""
        pr, who = self.pull(pull), self.user(by)
        if not pr.is_open:
            raise Refused(422, f"{pr} is already closed")
        self._close(pr, who)
        self._note(pr, who, "closed", "closed this")
        self._pull_event(pr, "closed", who)

    def _close(self, pr: PullRequest, who: User, *, merged: bool = False) -> None:
        pr.state, pr.closed_at, pr.merge_due = "closed", self.now(), None
        if merged:
            pr.merged_at, pr.merged_by = pr.closed_at, who
            pr.repository.git.update_ref(f"refs/pull/{pr.number}/merge", None)

    @atomic
    def reopen_pull_request(self, pull: PullRef, *, by: UserRef) -> None:
        """Open a closed pull request again, with whatever its branch holds by now."""
        pr, who = self.pull(pull), self.user(by)
        tip = pr.head_repository.branches.get(pr.head_ref)
        if pr.merged or pr.is_open or tip is None:
            raise Refused(422, f"{pr} cannot be reopened")
        pr.state, pr.closed_at, pr.head_sha = "open", None, tip
        pr.base_sha = pr.repository.branches[pr.base_ref]
        self._sync_head_ref(pr)
        self._ask_for_merge_test(pr)
        self._note(pr, who, "reopened", "reopened this")
        self._pull_event(pr, "reopened", who)

    @atomic
    def edit_pull_request(
        self, pull: PullRef, *, by: UserRef, title: str | None = None, body: str | None = None, base: str | None = None
    ) -> None:
        """Change title, body or base branch; one `edited` event says what was there before."""
        pr, who = self.pull(pull), self.user(by)
        changes: JSON = {}
        if title is not None and title != pr.title:
            changes["title"] = {"from": pr.title}
            pr.title = title
        if body is not None and body != pr.body:
            changes["body"] = {"from": pr.body}
            pr.body = body
        if base is not None and base != pr.base_ref:
            if base not in pr.repository.branches:
                raise Refused(422, "Validation Failed", [{"resource": "PullRequest", "field": "base", "code": "invalid"}])
            changes["base"] = {"ref": {"from": pr.base_ref}, "sha": {"from": pr.base_sha}}
            pr.base_ref, pr.base_sha = base, pr.repository.branches[base]
            self._note(pr, who, "base", f"changed the base branch to {base}")
        if changes:
            self._ask_for_merge_test(pr)
            self._pull_event(pr, "edited", who, changes=changes)

    @atomic
    def set_draft(self, pull: PullRef, draft: bool, *, by: UserRef) -> None:
        pr, who = self.pull(pull), self.user(by)
        if pr.draft != draft:
            pr.draft = draft
            self._note(pr, who, "draft", "marked this as a draft" if draft else "marked this as ready for review")
            self._pull_event(pr, "converted_to_draft" if draft else "ready_for_review", who)
            if not draft:
                self._request_code_owners(pr, who)

    def _pull_event(self, pr: PullRequest, action: str, by: User, **extra: object) -> None:
        pr.updated_at = self.now()
        body: JSON = {"number": pr.number, "pull_request": self.shapes.pull_request(pr)} | extra
        self.emit("pull_request", action, by, body, repository=pr.repository)

    def _note(self, pr: PullRequest, by: User, kind: str, text: str, sha: str | None = None) -> TimelineEvent:
        event = TimelineEvent(self.next_id(), self.now(), by, kind, text, sha=sha)
        pr.timeline.append(event)
        return event

    # --- what a push does to pull requests ---

    def _branch_moved(self, repo: Repository, branch: str, before: str | None, after: str | None, by: User) -> None:
        super()._branch_moved(repo, branch, before, after, by)
        if before == after:
            return
        for other in self.repositories.values():
            for pr in [p for p in other.pulls.values() if p.is_open]:
                if pr.head_repository is repo and pr.head_ref == branch:
                    self._head_moved(pr, before, after, by)
                elif pr.repository is repo and pr.base_ref == branch:
                    self._base_moved(pr, after, by)

    def _head_moved(self, pr: PullRequest, before: str | None, after: str | None, by: User) -> None:
        if after is None:
            self._close(pr, by)
            self._note(pr, by, "deleted", f"deleted the {pr.head_ref} branch")
            self._pull_event(pr, "closed", by)
            return
        pr.head_sha, pr.base_sha = after, pr.repository.branches[pr.base_ref]
        self._sync_head_ref(pr)
        forced = before is not None and not pr.head_repository.git.is_ancestor(before, after)
        message = pr.head_repository.git.read_commit(after).message.split("\n", 1)[0]
        self._note(pr, by, "pushed", "force-pushed to" if forced else message, sha=after)
        protection = pr.repository.protections.get(pr.base_ref)
        if protection and protection.dismiss_stale_reviews:
            for review in [r for r in pr.reviews if r.state == "APPROVED"]:
                self._dismiss(review, by, "The base branch asks for a new review after every push.", pushed=after)
        self._ask_for_merge_test(pr)
        self._pull_event(pr, "synchronize", by, before=before, after=after)

    def _base_moved(self, pr: PullRequest, after: str | None, by: User) -> None:
        """A base that moves makes no new test merge, unless it moves the merge base."""
        if after is None:
            self._close(pr, by)
            self._pull_event(pr, "closed", by)
        elif pr.repository.git.is_ancestor(pr.head_sha, after):
            pr.merge_commit_sha = after
            self._close(pr, by, merged=True)
            self._note(pr, by, "merged", f"merged this into {pr.base_ref}", sha=after)
            self._pull_event(pr, "closed", by)
        elif pr.test_merge is not None and pr.test_merge.merge_base != pr.repository.git.merge_base(after, pr.head_sha):
            self._ask_for_merge_test(pr)

    def _sync_head_ref(self, pr: PullRequest) -> None:
        ref = f"refs/pull/{pr.number}/head"
        if pr.head_repository is pr.repository:
            pr.repository.git.update_ref(ref, pr.head_sha)
        else:
            pr.repository.git.fetch_from(pr.head_repository.git, pr.head_sha, ref)

    # --- the test merge ---

    def _ask_for_merge_test(self, pr: PullRequest) -> None:
        """What makes GitHub start its background job: opening, editing, a push to the head, another merge base, or looking at it."""
        if not pr.is_open or (self._merge_test_is_fresh(pr) and not self._wants_test_merge(pr)):
            pr.merge_due = None
        elif self.mergeability_delay <= 0:
            self.compute_mergeability(pr)
        elif pr.merge_due is None:
            pr.merge_due = self.monotonic() + self.mergeability_delay

    def _merge_test_is_fresh(self, pr: PullRequest) -> bool:
        tip = pr.repository.branches.get(pr.base_ref)
        return pr.merge_test is not None and (pr.merge_test.base, pr.merge_test.head) == (tip, pr.head_sha)

    def _wants_test_merge(self, pr: PullRequest) -> bool:
        """GitHub's rules since 19 February 2026: the head was pushed, the merge base is another, or the present one is twelve hours old."""
        tip, present = pr.repository.branches[pr.base_ref], pr.test_merge
        if self._merge_test_is_fresh(pr) and pr.merge_test is not None and not pr.merge_test.clean:
            return False
        if present is None or present.head != pr.head_sha or self.now() - present.at > TEST_MERGE_LASTS:
            return True
        if present.base == tip:
            return False
        return self.test_merge_follows_base or present.merge_base != pr.repository.git.merge_base(tip, pr.head_sha)

    @atomic
    def compute_mergeability(self, pull: PullRef) -> bool:
        """Find out now whether the base's tip and the head can be merged; where GitHub would, also make `refs/pull/N/merge` of the two.

        On a conflict the ref stays at the last good one, or absent, and the answer is False.
        """
        pr = self.pull(pull)
        repo, base = pr.repository, pr.repository.branches[pr.base_ref]
        pr.merge_due = None
        tree = repo.git.merge_tree(base, pr.head_sha)
        if tree is not None and self._wants_test_merge(pr):
            commit = repo.git.commit_tree(
                tree,
                (base, pr.head_sha),
                name=WEB_FLOW[0],
                email=WEB_FLOW[1],
                message=f"Merge {pr.head_sha} into {base}",
                at=self.exactly_now(),
            )
            repo.git.update_ref(f"refs/pull/{pr.number}/merge", commit)
            pr.merge_commit_sha = commit
            pr.test_merge = TestMergeCommit(base, pr.head_sha, repo.git.merge_base(base, pr.head_sha), self.now())
        pr.merge_test = MergeTest(base, pr.head_sha, clean=tree is not None)
        return tree is not None

    @atomic
    def settle_merges(self, repo: Repository) -> None:
        """Land the background computations whose time has come."""
        for pr in repo.pulls.values():
            if pr.is_open and pr.merge_due is not None and pr.merge_due <= self.monotonic():
                self.compute_mergeability(pr)

    @atomic
    def look_at(self, pull: PullRef) -> PullRequest:
        """What `GET /pulls/N` does before it answers: find out whether it can be merged where nobody knows."""
        pr = self.pull(pull)
        self.settle_merges(pr.repository)
        self._ask_for_merge_test(pr)
        return pr

    def mergeable(self, pr: PullRequest) -> bool | None:
        """None while nobody has computed it for the present base and head."""
        if not pr.is_open or pr.merge_test is None or not self._merge_test_is_fresh(pr):
            return None
        return pr.merge_test.clean

    def mergeable_state(self, pr: PullRequest) -> str:
        mergeable = self.mergeable(pr)
        if mergeable is None:
            return "unknown"
        if not mergeable:
            return "dirty"
        if pr.draft:
            return "draft"
        kinds = {blocker.kind for blocker in self._gates(pr)}
        if kinds:
            return "behind" if kinds == {"behind"} else "blocked"
        runs = self.current_runs(pr.repository, pr.head_sha)
        passing = all(run.status == "completed" and run.conclusion in PASSING_CONCLUSIONS for run in runs)
        return "clean" if passing else "unstable"

    # --- merging ---

    @atomic
    def merge_blockers(self, pull: PullRef) -> list[Blocker]:
        """Every reason why this may not be merged now; empty means that the button is green."""
        pr = self.pull(pull)
        if not pr.is_open:
            return [Blocker("closed", "This pull request is " + ("already merged." if pr.merged else "closed."))]
        if not self._merge_test_is_fresh(pr):
            self.compute_mergeability(pr)
        blockers = []
        if pr.draft:
            blockers.append(Blocker("draft", "This pull request is still a draft."))
        if not self.mergeable(pr):
            blockers.append(Blocker("conflict", f"This branch has conflicts with {pr.base_ref} that must be resolved."))
        return blockers + self._gates(pr)

    def _gates(self, pr: PullRequest) -> list[Blocker]:
        """What branch protection and rulesets ask for and is not there."""
        repo = pr.repository
        guards = [g for g in (repo.protections.get(pr.base_ref), *self.rules_for(repo, pr.base_ref)) if g]
        blockers: list[Blocker] = []
        for required in {check: None for guard in guards for check in guard.required_checks}:
            reason = self._missing_check(pr, required)
            if reason:
                blockers.append(Blocker("check", reason))
        needed = max((guard.required_approvals for guard in guards), default=0)
        owners_too = any(guard.require_code_owner_reviews for guard in guards)
        blockers += [Blocker("review", text) for text in self._missing_reviews(pr, needed, owners_too=owners_too)]
        if any(guard.strict for guard in guards) and not repo.git.is_ancestor(repo.branches[pr.base_ref], pr.head_sha):
            blockers.append(Blocker("behind", f"This branch is out of date with {pr.base_ref}."))
        return blockers

    def _missing_check(self, pr: PullRequest, required: RequiredCheck) -> str | None:
        name = f"Required check “{required.context}”"
        runs = [r for r in self.current_runs(pr.repository, pr.head_sha) if r.name == required.context]
        counting = [r for r in runs if required.app_id in (None, r.app.id)]
        if not counting:
            if runs:
                return f"{name} is expected from another App than {runs[-1].app.slug}, which reported it."
            return f"{name} is expected: waiting for it to be reported."
        run = counting[-1]
        if run.status != "completed":
            return f"{name} is {run.status.replace('_', ' ')}."
        if run.conclusion not in PASSING_CONCLUSIONS:
            return f"{name} ended with {str(run.conclusion).replace('_', ' ')}."
        return None

    def _missing_reviews(self, pr: PullRequest, needed: int, *, owners_too: bool) -> list[str]:
        latest = {review.user.login: review for review in pr.reviews if review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")}
        counting = [r for r in latest.values() if r.user is not pr.user and self.may(r.user, pr.repository, "write")]
        approvals = {r.user.login for r in counting if r.state == "APPROVED"}
        reasons = []
        objectors = sorted(r.user.login for r in counting if r.state == "CHANGES_REQUESTED")
        if objectors and (needed or owners_too):
            reasons.append(f"Changes were requested by {', '.join(objectors)}.")
        if len(approvals) < needed:
            reasons.append(f"At least {needed} approving review(s) by people with write access are required: {len(approvals)} so far.")
        if owners_too:
            reasons += self._missing_owners(pr, approvals)
        return reasons

    def _missing_owners(self, pr: PullRequest, approvals: set[str]) -> list[str]:
        missing: dict[str, None] = {}
        for change in self.changed_files(pr):
            owners = self.code_owners(pr.repository, pr.base_ref, change.path)
            if owners and not any(self._speaks_for(owner, login) for owner in owners for login in approvals):
                missing[" or ".join(owners)] = None
        return [f"A review by the code owner {who} is required." for who in missing]

    def _speaks_for(self, owner: str, login: str) -> bool:
        name = owner.lstrip("@")
        if "/" in name:
            org, slug = name.lower().split("/", 1)
            team = self.teams.get((org, slug))
            return team is not None and team.has_active(login)
        return name.lower() == login.lower()

    def changed_files(self, pr: PullRequest) -> list[FileChange]:
        git = pr.repository.git
        start = git.merge_base(pr.base_sha, pr.head_sha) or pr.base_sha
        return git.changes(start, pr.head_sha)

    @atomic
    def merge(
        self,
        pull: PullRef,
        *,
        by: UserRef,
        method: MergeMethod = "merge",
        expected_head: str | None = None,
        delete_branch: bool = False,
    ) -> str:
        """Merge and return the new tip of the base. Refused (`MergeRefused.reasons`) where the protections say no."""
        pr, who = self.pull(pull), self.user(by)
        if expected_head not in (None, pr.head_sha):
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        blockers = self.merge_blockers(pr)
        if blockers:
            raise MergeRefused([b.text for b in blockers])
        if not self.may(who, pr.repository, "write"):
            raise Refused(403, "Must have push access to merge")
        repo, base = pr.repository, pr.repository.branches[pr.base_ref]
        tree = repo.git.merge_tree(base, pr.head_sha)
        if tree is None:
            raise MergeRefused(["The branches conflict."])
        title = f"Merge pull request #{pr.number} from {pr.head_repository.owner.login}/{pr.head_ref}\n\n{pr.title}"
        sha = repo.git.commit_tree(
            tree,
            (base, pr.head_sha) if method == "merge" else (base,),
            name=who.name or who.login,
            email=who.email or "",
            message=title if method == "merge" else f"{pr.title} (#{pr.number})",
            at=self.exactly_now(),
        )
        pr.merge_commit_sha = sha
        self._close(pr, who, merged=True)
        self._note(pr, who, "merged", f"merged this into {pr.base_ref}", sha=sha)
        repo.git.update_ref(f"refs/heads/{pr.base_ref}", sha)
        self._branch_moved(repo, pr.base_ref, base, sha, who)
        self._pull_event(pr, "closed", who)
        if delete_branch:
            self.delete_branch(pr.head_repository, pr.head_ref, by=who)
        return sha

    # --- reviews ---

    @atomic
    def review(
        self,
        pull: PullRef,
        reviewer: UserRef,
        state: ReviewState = "APPROVED",
        body: str = "",
        *,
        commit_id: str | None = HEAD,
        even_if_refused: bool = False,
    ) -> Review:
        """Submit a review of the head, or of the commit named (None: a review that names none, as GitHub sometimes shows).

        GitHub refuses that authors approve their own work; `even_if_refused` writes such a review all the same.
        """
        pr, who = self.pull(pull), self.user(reviewer)
        if who is pr.user and state in ("APPROVED", "CHANGES_REQUESTED") and not even_if_refused:
            raise Refused(422, "Unprocessable Entity", ["Can not approve your own pull request"])
        if not even_if_refused and not self.may(who, pr.repository, "read"):
            raise Refused(404, "Not Found")
        commit = pr.head_sha if commit_id == HEAD else commit_id
        review = Review(self.next_id(), pr, who, state, body, commit, self.now())
        pr.reviews.append(review)
        if state != "PENDING":
            pr.requested_users = [u for u in pr.requested_users if u is not who]
            pr.requested_teams = [t for t in pr.requested_teams if not t.has_active(who.login)]
            self._review_event(review, "submitted", who)
        return review

    @atomic
    def dismiss_review(self, review: Review, *, by: UserRef, message: str = "") -> None:
        self._dismiss(review, self.user(by), message)

    def _dismiss(self, review: Review, by: User, message: str, *, pushed: str | None = None) -> None:
        if review.state not in ("APPROVED", "CHANGES_REQUESTED"):
            raise Refused(422, "Can not dismiss a commented pull request review")
        review.dismissal = Dismissal(self.next_id(), by, review.state.lower(), message or None, self.now(), pushed)
        review.state = "DISMISSED"
        self._note(review.pull, by, "dismissed", f"dismissed {review.user.login}’s review" + (f": {message}" if message else ""))
        self._review_event(review, "dismissed", by)

    @atomic
    def edit_review(self, review: Review, body: str, *, by: UserRef) -> None:
        before, review.body = review.body, body
        self._review_event(review, "edited", self.user(by), changes={"body": {"from": before}})

    def _review_event(self, review: Review, action: str, by: User, **extra: object) -> None:
        pr = review.pull
        pr.updated_at = self.now()
        body: JSON = {
            "review": self.shapes.review_in_webhook(review),
            "pull_request": self.shapes.pull_request_simple(pr),
        } | extra
        self.emit("pull_request_review", action, by, body, repository=pr.repository)

    @atomic
    def request_reviews(self, pull: PullRef, *, users: Iterable[UserRef] = (), teams: Iterable[Team | str] = (), by: UserRef) -> None:
        """Ask people and teams (by slug of the repository's organisation, `org/slug`, or the team itself) for a review."""
        pr, who = self.pull(pull), self.user(by)
        people = [self.user(u) for u in users]
        groups = [self.team(t if not isinstance(t, str) or "/" in t else f"{pr.repository.owner.login}/{t}") for t in teams]
        if any(person is pr.user for person in people):
            raise Refused(422, "Review cannot be requested from pull request author.")
        if not all(self.may(person, pr.repository, "read") for person in people):
            raise Refused(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is"
                f" not a collaborator of the {pr.repository} repository.",
            )
        if any(group.role_on(pr.repository) == "none" for group in groups):
            raise Refused(
                422,
                "Reviews may only be requested from collaborators. One or more of the teams you specified is not a"
                f" collaborator of the {pr.repository} repository.",
            )
        for person in people:
            if person not in pr.requested_users:
                pr.requested_users.append(person)
                self._note(pr, who, "review_requested", f"requested a review from {person.login}")
                self._pull_event(pr, "review_requested", who, requested_reviewer=self.shapes.user(person))
        for group in groups:
            if group not in pr.requested_teams:
                pr.requested_teams.append(group)
                name = f"{group.organization.login}/{group.slug}"
                self._note(pr, who, "review_requested", f"requested a review from {name}")
                self._pull_event(pr, "review_requested", who, requested_team=self.shapes.team(group))

    @atomic
    def remove_review_requests(
        self, pull: PullRef, *, users: Iterable[UserRef] = (), teams: Iterable[Team | str] = (), by: UserRef
    ) -> None:
        pr, who = self.pull(pull), self.user(by)
        for person in [self.user(u) for u in users]:
            if person in pr.requested_users:
                pr.requested_users.remove(person)
                self._pull_event(pr, "review_request_removed", who, requested_reviewer=self.shapes.user(person))
        names = {t if isinstance(t, str) else t.slug for t in teams}
        for group in [t for t in pr.requested_teams if t.slug in names or f"{t.organization.login}/{t.slug}" in names]:
            pr.requested_teams.remove(group)
            self._pull_event(pr, "review_request_removed", who, requested_team=self.shapes.team(group))

    def _request_code_owners(self, pr: PullRequest, by: User) -> None:
        """GitHub asks the owners of the changed files by itself."""
        users, teams = [], []
        for owner in {o: None for change in self.changed_files(pr) for o in self.code_owners(pr.repository, pr.base_ref, change.path)}:
            name = owner.lstrip("@").lower()
            if "/" in name:
                team = self.teams.get((name.split("/")[0], name.split("/")[1]))
                if team and team.role_on(pr.repository) not in ("none", "read", "triage"):
                    teams.append(team)
            elif name in self.users and self.users[name] is not pr.user and self.may(self.users[name], pr.repository, "write"):
                users.append(self.users[name])
        self.request_reviews(pr, users=users, teams=teams, by=by)

    # --- the merge queue, as much of it as an App sees ---

    @atomic
    def queue_for_merge(self, pull: PullRef, *, by: UserRef) -> str:
        """Make a merge group of one pull request; its SHA wants the required checks at once. Returns that SHA."""
        pr, who = self.pull(pull), self.user(by)
        repo, base = pr.repository, pr.repository.branches[pr.base_ref]
        tree = repo.git.merge_tree(base, pr.head_sha)
        if tree is None:
            raise MergeRefused(["The branches conflict."])
        sha = repo.git.commit_tree(
            tree,
            (base, pr.head_sha),
            name=WEB_FLOW[0],
            email=WEB_FLOW[1],
            message=f"Merge pull request #{pr.number}",
            at=self.exactly_now(),
        )
        branch = f"gh-readonly-queue/{pr.base_ref}/pr-{pr.number}-{base}"
        repo.git.update_ref(f"refs/heads/{branch}", sha)
        self._branch_moved(repo, branch, repo.branches.get(branch), sha, who)
        self.emit("merge_group", "checks_requested", who, {"merge_group": self._group(pr, branch, sha, base)}, repository=repo)
        return sha

    @atomic
    def destroy_merge_group(
        self, repository: RepositoryRef, sha: str, *, by: UserRef, reason: Literal["merged", "invalidated", "dequeued"]
    ) -> None:
        """End a merge group; with "merged" the base moves to its commit."""
        repo, who = self.repository(repository), self.user(by)
        branch = next(b for b, tip in repo.branches.items() if tip == sha and b.startswith("gh-readonly-queue/"))
        base_ref, _, rest = branch.removeprefix("gh-readonly-queue/").rpartition("/")
        pr = repo.pulls[int(rest.split("-")[1])]
        group = self._group(pr, branch, sha, rest.split("-")[2])
        self.emit("merge_group", "destroyed", who, {"merge_group": group, "reason": reason}, repository=repo)
        repo.git.update_ref(f"refs/heads/{branch}", None)
        self._branch_moved(repo, branch, sha, None, who)
        if reason == "merged":
            before = repo.branches[base_ref]
            repo.git.update_ref(f"refs/heads/{base_ref}", sha)
            self._branch_moved(repo, base_ref, before, sha, who)

    def _group(self, pr: PullRequest, branch: str, sha: str, base_sha: str) -> JSON:
        return {
            "head_sha": sha,
            "head_ref": f"refs/heads/{branch}",
            "base_sha": base_sha,
            "base_ref": f"refs/heads/{pr.base_ref}",
            "head_commit": self.shapes.git_commit(pr.repository, sha),
        }

    # --- told by `Checks` ---

    def current_runs(self, repo: Repository, sha: str) -> list[CheckRun]:
        """The newest run of each (App, name) on a commit, oldest first."""
        newest = {(r.app.id, r.name): r for r in repo.check_runs if r.head_sha == sha}
        return sorted(newest.values(), key=lambda r: r.id)
