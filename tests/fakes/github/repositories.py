"""Repositories, branches, pushes and what protects them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from tests.fakes.github.bare_git import ZERO, BareRepository, Files
from tests.fakes.github.foundation import RepositoryRef, UserRef, atomic
from tests.fakes.github.objects import Protection, Refused, Repository, RequiredCheck, Ruleset, User
from tests.fakes.github.people import People

CODEOWNERS_PATHS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")


class Repositories(People):
    @atomic
    def create_repository(
        self,
        owner: UserRef,
        name: str,
        *,
        files: Files | None = None,
        private: bool = True,
        description: str | None = None,
        default_branch: str = "main",
        author: UserRef | None = None,
    ) -> Repository:
        """A repository whose default branch holds one commit with `files` (a README where none are given)."""
        account = self.user(owner)
        git = BareRepository.create(self.folder / account.login.lower() / f"{name.lower()}.git", default_branch)
        now = self.now()
        repository = Repository(self.next_id(), account, name, git, now, now, description, private, default_branch)
        self.repositories[repository.full_name.lower()] = repository
        by = self._known(author) if author else self._somebody_of(account)
        first: Files = files if files is not None else {"README.md": f"# {name}\n"}
        self.push(repository, default_branch, first, author=by, message="First commit")
        return repository

    @atomic
    def fork(self, repository: RepositoryRef, owner: UserRef) -> Repository:
        """Somebody's own copy of a repository, branches and all."""
        source, account = self.repository(repository), self._known(owner)
        git = BareRepository.create(self.folder / account.login.lower() / f"{source.name.lower()}.git", source.default_branch)
        for branch, sha in source.branches.items():
            git.fetch_from(source.git, sha, f"refs/heads/{branch}")
        fork = Repository(
            self.next_id(),
            account,
            source.name,
            git,
            self.now(),
            self.now(),
            source.description,
            source.private,
            source.default_branch,
            source,
            dict(source.branches),
        )
        self.repositories[fork.full_name.lower()] = fork
        return fork

    @atomic
    def rename_repository(self, repository: RepositoryRef, name: str) -> None:
        """Another name of the same account's. Requests for the old one are led on to the new."""
        repo = self.repository(repository)
        old = repo.full_name.lower()
        repo.name = name
        self.repositories[repo.full_name.lower()] = self.repositories.pop(old)
        self.renamed[old] = repo

    # --- branches and pushes ---

    @atomic
    def push(
        self,
        repository: RepositoryRef,
        branch: str,
        files: Files,
        *,
        author: UserRef,
        message: str = "Change",
        onto: str | None = None,
    ) -> str:
        """Push one commit to a branch and return its SHA.

        `files` maps paths to new contents; None removes a path. The commit stands on the branch's tip, on the default
        branch's where the branch is new, or on `onto` (a branch or SHA), which replaces what the branch held: a force push.
        """
        repo, by = self.repository(repository), self._known(author)
        before = repo.branches.get(branch)
        parent = before or repo.branches.get(repo.default_branch)
        if onto is not None:
            parent = repo.branches.get(onto) or repo.git.resolve(onto)
            if parent is None:
                raise LookupError(f"{repo} has neither a branch nor a commit {onto!r} to push onto")
        sha = repo.git.commit(
            branch,
            files,
            parent=parent,
            name=by.name or by.login,
            email=by.email or "",
            # Without a number of its own, the same push to two branches within a second would be one commit.
            message=f"{message}\n\nPush: {self.next_id()}\n",
            at=self.exactly_now(),
            force=onto is not None,
        )
        self._branch_moved(repo, branch, before, sha, by)
        return sha

    @atomic
    def create_branch(self, repository: RepositoryRef, branch: str, at: str | None = None, *, by: UserRef) -> str:
        """A new branch at a SHA or at another branch's tip (the default branch's where `at` is left out)."""
        repo = self.repository(repository)
        sha = repo.branches.get(at or repo.default_branch) or repo.git.resolve(at or repo.default_branch)
        if sha is None or branch in repo.branches:
            raise Refused(422, "Reference already exists" if branch in repo.branches else "Object does not exist")
        self._move(repo, branch, sha, by)
        return sha

    @atomic
    def force_push(self, repository: RepositoryRef, branch: str, sha: str, *, by: UserRef) -> None:
        """Point a branch at any commit that the repository holds."""
        self._move(self.repository(repository), branch, sha, by)

    @atomic
    def delete_branch(self, repository: RepositoryRef, branch: str, *, by: UserRef) -> None:
        self._move(self.repository(repository), branch, None, by)

    def tip(self, repository: RepositoryRef, branch: str) -> str:
        return self.repository(repository).branches[branch]

    def _move(self, repo: Repository, branch: str, sha: str | None, by: UserRef) -> None:
        before = repo.branches.get(branch)
        repo.git.update_ref(f"refs/heads/{branch}", sha)
        self._branch_moved(repo, branch, before, sha, self.user(by))

    @atomic
    def refs_changed(self, repository: Repository, by: User) -> None:
        """Somebody pushed with git itself: compare what was seen last with what is there now, and tell."""
        now = {ref.removeprefix("refs/heads/"): sha for ref, sha in repository.git.refs().items()}
        before = dict(repository.branches)
        for branch in sorted(before.keys() | now.keys()):
            if before.get(branch) != now.get(branch):
                self._branch_moved(repository, branch, before.get(branch), now.get(branch), by)

    def _branch_moved(self, repo: Repository, branch: str, before: str | None, after: str | None, by: User) -> None:
        """Note the new tip and tell whoever listens. `Pulls` adds what follows for pull requests."""
        if before == after:
            return
        if after is None:
            repo.branches.pop(branch, None)
        else:
            repo.branches[branch] = after
            repo.pushed_at = self.now()
        self.emit("push", None, by, self._push_event(repo, branch, before, after, by), repository=repo)

    def _push_event(self, repo: Repository, branch: str, before: str | None, after: str | None, by: User) -> dict[str, object]:
        new: list[str] = []
        if after:
            start = before or (repo.branches.get(repo.default_branch, "") if branch != repo.default_branch else "")
            new = repo.git.commits_between(start, after, limit=20)
        commits = [self.shapes.push_commit(repo, sha) for sha in new]
        return {
            "ref": f"refs/heads/{branch}",
            "before": before or ZERO,
            "after": after or ZERO,
            "created": before is None,
            "deleted": after is None,
            "forced": bool(before and after and not repo.git.is_ancestor(before, after)),
            "base_ref": None,
            "compare": f"{self.html_url}/{repo}/compare/{(before or ZERO)[:12]}...{(after or ZERO)[:12]}",
            "commits": commits,
            "head_commit": self.shapes.push_commit(repo, after) if after else None,
            "pusher": {"name": by.login, "email": by.email},
        }

    # --- protection ---

    @atomic
    def protect_branch(
        self,
        repository: RepositoryRef,
        branch: str = "main",
        *,
        required_check: str | None = None,
        app_id: int | None = None,
        also_required: Iterable[RequiredCheck] = (),
        strict: bool = False,
        required_approvals: int = 0,
        dismiss_stale_reviews: bool = False,
        require_code_owner_reviews: bool = False,
    ) -> Protection:
        """Classic branch protection. `app_id` pins the required check to one App; without it anybody's run counts."""
        checks = [RequiredCheck(required_check, app_id)] if required_check else []
        protection = Protection(
            required_checks=[*checks, *also_required],
            strict=strict,
            required_approvals=required_approvals,
            dismiss_stale_reviews=dismiss_stale_reviews,
            require_code_owner_reviews=require_code_owner_reviews,
        )
        self.repository(repository).protections[branch] = protection
        return protection

    @atomic
    def unprotect_branch(self, repository: RepositoryRef, branch: str) -> None:
        self.repository(repository).protections.pop(branch, None)

    @atomic
    def add_ruleset(
        self,
        repository: RepositoryRef,
        *patterns: str,
        required_check: str | None = None,
        app_id: int | None = None,
        strict: bool = False,
        required_approvals: int = 0,
        require_code_owner_reviews: bool = False,
        merge_queue: bool = False,
    ) -> Ruleset:
        """A ruleset on the branches that match `patterns` ("main", "release/*")."""
        ruleset = Ruleset(
            id=self.next_id(),
            name=f"rules for {', '.join(patterns)}",
            patterns=list(patterns),
            required_checks=[RequiredCheck(required_check, app_id)] if required_check else [],
            strict=strict,
            required_approvals=required_approvals,
            require_code_owner_reviews=require_code_owner_reviews,
            merge_queue=merge_queue,
        )
        self.repository(repository).rulesets.append(ruleset)
        return ruleset

    def rules_for(self, repo: Repository, branch: str) -> list[Ruleset]:
        return [rs for rs in repo.rulesets if any(fnmatch.fnmatchcase(branch, pattern) for pattern in rs.patterns)]

    def is_protected(self, repo: Repository, branch: str) -> bool:
        return branch in repo.protections or bool(self.rules_for(repo, branch))

    def code_owners(self, repo: Repository, branch: str, path: str) -> list[str]:
        """The owners of one file by the branch's CODEOWNERS: `@login` and `@org/team`; the last match wins."""
        owners: list[str] = []
        for pattern, named in self._owner_lines(repo, repo.branches.get(branch)):
            if _owns(pattern, path):
                owners = named
        return owners

    def _owner_lines(self, repo: Repository, tip: str | None) -> list[tuple[str, list[str]]]:
        """The lines of the CODEOWNERS file of a commit, read once for each commit."""
        if tip is None:
            return []
        if tip not in repo.owner_lines:
            entry = next((e for p in CODEOWNERS_PATHS if (e := repo.git.entry(tip, p))), None)
            text = repo.git.blob(entry.sha).decode(errors="replace") if entry else ""
            lines = [line.split("#", 1)[0].split() for line in text.splitlines()]
            repo.owner_lines[tip] = [(words[0], words[1:]) for words in lines if words]
        return repo.owner_lines[tip]


def _owns(pattern: str, path: str) -> bool:
    """Whether one CODEOWNERS pattern covers a path, by the rules of gitignore that GitHub keeps."""
    anchored = "/" in pattern.rstrip("/")
    if pattern.startswith("/") and "/" not in pattern.strip("/") and "*" in pattern:
        return "/" not in path and fnmatch.fnmatchcase(path, pattern.strip("/"))
    bare = pattern.strip("/")
    candidates = [path.split("/")[:n] for n in range(1, path.count("/") + 2)]
    if pattern.endswith("/") or "." not in bare.rpartition("/")[2]:
        inside = candidates if not pattern.endswith("/") else candidates[:-1]
    else:
        inside = candidates[-1:]
    if bare.endswith("/*"):  # one level only
        inside = candidates[-1:] if bare.count("/") == path.count("/") else []
    return any(fnmatch.fnmatchcase("/".join(parts), bare) or (not anchored and fnmatch.fnmatchcase(parts[-1], bare)) for parts in inside)
