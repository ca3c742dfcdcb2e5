"""Records as the JSON that GitHub sends. Every field that githubkit's models require is here."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.fakes.github.bare_git import FileChange, TreeEntry
from tests.fakes.github.objects import (
    JSON,
    PASSING_CONCLUSIONS,
    REACTIONS,
    App,
    CheckRun,
    Comment,
    Delivery,
    Installation,
    Label,
    Organization,
    PullRequest,
    Reaction,
    Repository,
    RequiredCheck,
    Review,
    Ruleset,
    Team,
    Token,
    User,
)

if TYPE_CHECKING:
    from tests.fakes.github.foundation import Foundation
    from tests.fakes.github.world import World

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

_USER_URLS = {
    "followers_url": "followers",
    "following_url": "following{/other_user}",
    "gists_url": "gists{/gist_id}",
    "starred_url": "starred{/owner}{/repo}",
    "subscriptions_url": "subscriptions",
    "organizations_url": "orgs",
    "repos_url": "repos",
    "events_url": "events{/privacy}",
    "received_events_url": "received_events",
}
_REPOSITORY_URLS = {
    "archive_url": "{archive_format}{/ref}",
    "assignees_url": "assignees{/user}",
    "blobs_url": "git/blobs{/sha}",
    "branches_url": "branches{/branch}",
    "collaborators_url": "collaborators{/collaborator}",
    "comments_url": "comments{/number}",
    "commits_url": "commits{/sha}",
    "compare_url": "compare/{base}...{head}",
    "contents_url": "contents/{+path}",
    "contributors_url": "contributors",
    "deployments_url": "deployments",
    "downloads_url": "downloads",
    "events_url": "events",
    "forks_url": "forks",
    "git_commits_url": "git/commits{/sha}",
    "git_refs_url": "git/refs{/sha}",
    "git_tags_url": "git/tags{/sha}",
    "issue_comment_url": "issues/comments{/number}",
    "issue_events_url": "issues/events{/number}",
    "issues_url": "issues{/number}",
    "keys_url": "keys{/key_id}",
    "labels_url": "labels{/name}",
    "languages_url": "languages",
    "merges_url": "merges",
    "milestones_url": "milestones{/number}",
    "notifications_url": "notifications{?since,all,participating}",
    "pulls_url": "pulls{/number}",
    "releases_url": "releases{/id}",
    "stargazers_url": "stargazers",
    "statuses_url": "statuses/{sha}",
    "subscribers_url": "subscribers",
    "subscription_url": "subscription",
    "tags_url": "tags",
    "teams_url": "teams",
    "trees_url": "git/trees{/sha}",
    "hooks_url": "hooks",
}
_LEGACY_PERMISSION = {"maintain": "write", "triage": "read"}


def when(moment: datetime | None) -> str | None:
    """A time as GitHub writes it."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


class Shapes:
    def __init__(self, world: Foundation) -> None:
        # The world builds its shapes before it is whole; by the time that one is asked for, it is.
        self._world: World = world  # type: ignore[assignment]

    # --- people ---

    def user(self, user: User) -> JSON:
        api, html = f"{self._world.api_url}/users/{user.login}", f"{self._world.html_url}/{user.login}"
        return {
            "login": user.login,
            "id": user.id,
            "node_id": node_id("User", user.id),
            "avatar_url": f"{self._world.html_url}/avatars/{user.id}",
            "gravatar_id": "",
            "url": api,
            "html_url": html,
            **{field: f"{api}/{rest}" for field, rest in _USER_URLS.items()},
            "type": user.type,
            "site_admin": False,
            "user_view_type": "public",
        }

    def public_user(self, user: User) -> JSON:
        return self.user(user) | {
            "name": user.name,
            "company": None,
            "blog": "",
            "location": None,
            "email": None,
            "hireable": None,
            "bio": None,
            "twitter_username": None,
            "public_repos": sum(1 for r in self._world.repositories.values() if r.owner is user and not r.private),
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": when(user.created_at),
            "updated_at": when(user.created_at),
        }

    def organization_simple(self, org: Organization) -> JSON:
        api = f"{self._world.api_url}/orgs/{org.login}"
        return {
            "login": org.login,
            "id": org.id,
            "node_id": node_id("Organization", org.id),
            "url": api,
            "repos_url": f"{api}/repos",
            "events_url": f"{api}/events",
            "hooks_url": f"{api}/hooks",
            "issues_url": f"{api}/issues",
            "members_url": f"{api}/members{{/member}}",
            "public_members_url": f"{api}/public_members{{/member}}",
            "avatar_url": f"{self._world.html_url}/avatars/{org.id}",
            "description": None,
        }

    def organization(self, org: Organization) -> JSON:
        return self.organization_simple(org) | {
            "name": org.name,
            "html_url": f"{self._world.html_url}/{org.login}",
            "has_organization_projects": True,
            "has_repository_projects": True,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": when(org.created_at),
            "updated_at": when(org.created_at),
            "archived_at": None,
            "type": "Organization",
        }

    def team(self, team: Team) -> JSON:
        org = team.organization
        api = f"{self._world.api_url}/organizations/{org.id}/team/{team.id}"
        return {
            "id": team.id,
            "node_id": node_id("Team", team.id),
            "url": api,
            "html_url": f"{self._world.html_url}/orgs/{org.login}/teams/{team.slug}",
            "name": team.name,
            "slug": team.slug,
            "description": None,
            "privacy": "closed",
            "notification_setting": "notifications_enabled",
            "permission": "push",
            "members_url": f"{api}/members{{/member}}",
            "repositories_url": f"{api}/repos",
            "type": "organization",
            "organization_id": org.id,
            "parent": None,
        }

    def team_full(self, team: Team) -> JSON:
        repositories = [r for r in self._world.repositories.values() if team.role_on(r) != "none"]
        return self.team(team) | {
            "members_count": sum(1 for state in team.members.values() if state == "active"),
            "repos_count": len(repositories),
            "created_at": when(team.created_at),
            "updated_at": when(team.created_at),
            "organization": self.organization(team.organization),
        }

    def team_membership(self, team: Team, user: User, state: str) -> JSON:
        api = f"{self._world.api_url}/organizations/{team.organization.id}/team/{team.id}"
        return {"url": f"{api}/memberships/{user.login}", "role": "member", "state": state}

    def permission(self, user: User, repository: Repository) -> JSON:
        role = self._world.role_of(user, repository)
        known = self._world.may
        return {
            "permission": _LEGACY_PERMISSION.get(role, role),
            "role_name": role,
            "user": self.user(user)
            | {
                "role_name": role,
                "permissions": {
                    "admin": known(user, repository, "admin"),
                    "maintain": known(user, repository, "maintain"),
                    "push": known(user, repository, "write"),
                    "triage": known(user, repository, "triage"),
                    "pull": known(user, repository, "read"),
                },
            },
        }

    def association(self, user: User, repository: Repository) -> str:
        owner = repository.owner
        if owner is user:
            return "OWNER"
        if isinstance(owner, Organization) and user.login in owner.members:
            return "MEMBER"
        if repository.collaborators.get(user.login, "none") != "none":
            return "COLLABORATOR"
        return "CONTRIBUTOR" if any(p.merged and p.user is user for p in repository.pulls.values()) else "NONE"

    # --- Apps ---

    def app(self, app: App) -> JSON:
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": node_id("App", app.id),
            "client_id": app.client_id,
            "owner": self.user(app.owner),
            "name": app.name,
            "description": "",
            "external_url": f"{self._world.html_url}/apps/{app.slug}",
            "html_url": f"{self._world.html_url}/apps/{app.slug}",
            "created_at": when(app.created_at),
            "updated_at": when(app.created_at),
            "permissions": app.permissions,
            "events": app.events,
        }

    def installation_simple(self, installation: Installation) -> JSON:
        return {"id": installation.id, "node_id": node_id("Installation", installation.id)}

    def installation(self, installation: Installation) -> JSON:
        api = self._world.api_url
        return {
            "id": installation.id,
            "client_id": installation.app.client_id,
            "account": self.user(installation.account),
            "repository_selection": "all" if installation.repository_ids is None else "selected",
            "access_tokens_url": f"{api}/app/installations/{installation.id}/access_tokens",
            "repositories_url": f"{api}/installation/repositories",
            "html_url": f"{self._world.html_url}/settings/installations/{installation.id}",
            "app_id": installation.app.id,
            "app_slug": installation.app.slug,
            "target_id": installation.account.id,
            "target_type": "Organization" if installation.account.type == "Organization" else "User",
            "permissions": installation.permissions,
            "events": installation.app.events,
            "created_at": when(installation.created_at),
            "updated_at": when(installation.created_at),
            "single_file_name": None,
            "has_multiple_single_files": False,
            "single_file_paths": [],
            "suspended_by": None,
            "suspended_at": when(installation.suspended_at),
        }

    def token(self, token: Token) -> JSON:
        chosen = token.repository_ids if token.repository_ids is not None else token.installation.repository_ids
        shape: JSON = {
            "token": token.value,
            "expires_at": when(token.expires_at),
            "permissions": token.permissions,
            "repository_selection": "all" if chosen is None else "selected",
        }
        if token.repository_ids is not None:
            shape["repositories"] = [self.repository(r) for r in self._world.repositories.values() if r.id in token.repository_ids]
        return shape

    def delivery(self, delivery: Delivery) -> JSON:
        return {
            "id": delivery.id,
            "guid": delivery.guid,
            "delivered_at": when(delivery.delivered_at),
            "redelivery": delivery.redelivery,
            "duration": delivery.duration,
            "status": delivery.status,
            "status_code": delivery.status_code,
            "event": delivery.event,
            "action": delivery.action,
            "installation_id": delivery.installation_id,
            "repository_id": delivery.repository_id,
            "throttled_at": None,
        }

    def delivery_full(self, delivery: Delivery) -> JSON:
        return self.delivery(delivery) | {
            "url": delivery.app.webhook_url,
            "request": {"headers": delivery.request_headers, "payload": json.loads(delivery.body)},
            "response": {"headers": delivery.response_headers, "payload": delivery.response_body},
        }

    def dismissal(self, review: Review) -> JSON:
        how = review.dismissal
        assert how is not None, "only of a dismissed review"
        said = {"state": how.state, "review_id": review.id, "dismissal_message": how.message}
        return {
            "id": how.id,
            "node_id": node_id("ReviewDismissedEvent", how.id),
            "url": f"{self._world.api_url}/repos/{review.pull.repository}/issues/events/{how.id}",
            "actor": self.user(how.actor),
            "event": "review_dismissed",
            "commit_id": None,
            "commit_url": None,
            "created_at": when(how.at),
            "performed_via_github_app": None,
            "dismissed_review": said | ({"dismissal_commit_id": how.pushed} if how.pushed else {}),
        }

    # --- repositories ---

    def repository_named(self, repository: Repository) -> JSON:
        return {
            "id": repository.id,
            "node_id": node_id("Repository", repository.id),
            "name": repository.name,
            "full_name": repository.full_name,
            "private": repository.private,
        }

    def repository(self, repository: Repository) -> JSON:
        api = f"{self._world.api_url}/repos/{repository}"
        html = f"{self._world.html_url}/{repository}"
        open_pulls = sum(1 for p in repository.pulls.values() if p.is_open)
        return self.repository_named(repository) | {
            "owner": self.user(repository.owner),
            "html_url": html,
            "description": repository.description,
            "fork": repository.parent is not None,
            "url": api,
            **{field: f"{api}/{rest}" for field, rest in _REPOSITORY_URLS.items()},
            "git_url": f"git://{html.partition('://')[2]}.git",
            "ssh_url": f"git@{html.partition('://')[2]}.git",
            "clone_url": f"{html}.git",
            "svn_url": html,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            "forks_count": 0,
            "stargazers_count": 0,
            "watchers_count": 0,
            "size": 0,
            "default_branch": repository.default_branch,
            "open_issues_count": open_pulls,
            "is_template": False,
            "topics": [],
            "has_issues": True,
            "has_projects": False,
            "has_wiki": False,
            "has_pages": False,
            "has_downloads": True,
            "has_discussions": False,
            "archived": False,
            "disabled": False,
            "visibility": "private" if repository.private else "public",
            "pushed_at": when(repository.pushed_at),
            "created_at": when(repository.created_at),
            "updated_at": when(repository.pushed_at),
            "forks": 0,
            "open_issues": open_pulls,
            "watchers": 0,
            "allow_forking": True,
            "web_commit_signoff_required": False,
        }

    def repository_full(self, repository: Repository) -> JSON:
        shape = self.repository(repository) | {
            "subscribers_count": 0,
            "network_count": 0,
            "allow_merge_commit": True,
            "allow_squash_merge": True,
            "allow_rebase_merge": True,
            "delete_branch_on_merge": False,
        }
        if isinstance(repository.owner, Organization):
            shape["organization"] = self.user(repository.owner)
        if repository.parent is not None:
            shape["parent"] = shape["source"] = self.repository(repository.parent)
        return shape

    def branch_short(self, repository: Repository, branch: str) -> JSON:
        sha = repository.branches[branch]
        api = f"{self._world.api_url}/repos/{repository}"
        return {
            "name": branch,
            "commit": {"sha": sha, "url": f"{api}/commits/{sha}"},
            "protected": self._world.is_protected(repository, branch),
        }

    def branch(self, repository: Repository, branch: str) -> JSON:
        api = f"{self._world.api_url}/repos/{repository}/branches/{branch}"
        protection = repository.protections.get(branch)
        required = protection.required_checks if protection else []
        return {
            "name": branch,
            "commit": self.commit(repository, repository.branches[branch]),
            "_links": {"self": api, "html": f"{self._world.html_url}/{repository}/tree/{branch}"},
            "protected": self._world.is_protected(repository, branch),
            "protection": {
                "enabled": protection is not None,
                "required_status_checks": {
                    "enforcement_level": "everyone" if required else "off",
                    "contexts": [check.context for check in required],
                    "checks": [_required(check) for check in required],
                },
            },
            "protection_url": f"{api}/protection",
        }

    def protection(self, repository: Repository, branch: str) -> JSON:
        api = f"{self._world.api_url}/repos/{repository}/branches/{branch}/protection"
        protection = repository.protections[branch]
        return {
            "url": api,
            "required_status_checks": {
                "url": f"{api}/required_status_checks",
                "strict": protection.strict,
                "contexts": [check.context for check in protection.required_checks],
                "contexts_url": f"{api}/required_status_checks/contexts",
                "checks": [_required(check) for check in protection.required_checks],
            },
            "required_pull_request_reviews": {
                "url": f"{api}/required_pull_request_reviews",
                "dismiss_stale_reviews": protection.dismiss_stale_reviews,
                "require_code_owner_reviews": protection.require_code_owner_reviews,
                "required_approving_review_count": protection.required_approvals,
            },
            "enforce_admins": {"url": f"{api}/enforce_admins", "enabled": protection.enforce_admins},
        }

    def rules(self, repository: Repository, ruleset: Ruleset) -> list[JSON]:
        source = {
            "ruleset_source_type": "Repository",
            "ruleset_source": repository.full_name,
            "ruleset_id": ruleset.id,
        }
        rules: list[JSON] = []
        if ruleset.required_checks:
            checks = [
                {"context": check.context} | ({"integration_id": check.app_id} if check.app_id else {}) for check in ruleset.required_checks
            ]
            parameters: JSON = {
                "required_status_checks": checks,
                "strict_required_status_checks_policy": ruleset.strict,
                "do_not_enforce_on_create": False,
            }
            rules.append({"type": "required_status_checks", "parameters": parameters})
        if ruleset.required_approvals or ruleset.require_code_owner_reviews:
            parameters = {
                "dismiss_stale_reviews_on_push": False,
                "require_code_owner_review": ruleset.require_code_owner_reviews,
                "require_last_push_approval": False,
                "required_approving_review_count": ruleset.required_approvals,
                "required_review_thread_resolution": False,
                "allowed_merge_methods": ["merge", "squash", "rebase"],
            }
            rules.append({"type": "pull_request", "parameters": parameters})
        if ruleset.merge_queue:
            parameters = {
                "check_response_timeout_minutes": 60,
                "grouping_strategy": "ALLGREEN",
                "max_entries_to_build": 5,
                "max_entries_to_merge": 5,
                "merge_method": "MERGE",
                "min_entries_to_merge": 1,
                "min_entries_to_merge_wait_minutes": 5,
            }
            rules.append({"type": "merge_queue", "parameters": parameters})
        return [rule | source for rule in rules]

    # --- commits and contents ---

    def git_commit(self, repository: Repository, sha: str) -> JSON:
        commit = repository.git.read_commit(sha)
        return {
            "id": sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": commit.committed_at,
            "author": {"name": commit.author_name, "email": commit.author_email},
            "committer": {"name": commit.committer_name, "email": commit.committer_email},
        }

    def push_commit(self, repository: Repository, sha: str) -> JSON:
        changes = self._own_changes(repository, sha)
        return self.git_commit(repository, sha) | {
            "distinct": True,
            "url": f"{self._world.html_url}/{repository}/commit/{sha}",
            "added": [c.path for c in changes if c.status == "added"],
            "removed": [c.path for c in changes if c.status == "removed"],
            "modified": [c.path for c in changes if c.status not in ("added", "removed")],
        }

    @staticmethod
    def _own_changes(repository: Repository, sha: str) -> list[FileChange]:
        parents = repository.git.read_commit(sha).parents
        return repository.git.changes(parents[0] if parents else EMPTY_TREE, sha)

    def commit(self, repository: Repository, sha: str, *, files: bool = False) -> JSON:
        commit = repository.git.read_commit(sha)
        api = f"{self._world.api_url}/repos/{repository}"
        html = f"{self._world.html_url}/{repository}/commit/{sha}"
        shape: JSON = {
            "sha": sha,
            "node_id": base64.b64encode(f"Commit:{sha}".encode()).decode(),
            "url": f"{api}/commits/{sha}",
            "html_url": html,
            "comments_url": f"{api}/commits/{sha}/comments",
            "commit": {
                "url": f"{api}/git/commits/{sha}",
                "author": {"name": commit.author_name, "email": commit.author_email, "date": commit.authored_at},
                "committer": {
                    "name": commit.committer_name,
                    "email": commit.committer_email,
                    "date": commit.committed_at,
                },
                "message": commit.message,
                "comment_count": 0,
                "tree": {"sha": commit.tree, "url": f"{api}/git/trees/{commit.tree}"},
                "verification": {
                    "verified": False,
                    "reason": "unsigned",
                    "signature": None,
                    "payload": None,
                    "verified_at": None,
                },
            },
            "author": self._by_email(commit.author_email),
            "committer": self._by_email(commit.committer_email),
            "parents": [
                {
                    "sha": parent,
                    "url": f"{api}/commits/{parent}",
                    "html_url": f"{self._world.html_url}/{repository}/commit/{parent}",
                }
                for parent in commit.parents
            ],
        }
        if files:
            changes = self._own_changes(repository, sha)
            added, removed = sum(c.additions for c in changes), sum(c.deletions for c in changes)
            shape["stats"] = {"total": added + removed, "additions": added, "deletions": removed}
            shape["files"] = [self.file_change(repository, sha, change) for change in changes]
        return shape

    def _by_email(self, email: str) -> JSON | None:
        user = next((u for u in self._world.users.values() if u.email == email), None)
        return self.user(user) if user else None

    def file_change(self, repository: Repository, sha: str, change: FileChange) -> JSON:
        path = quote(change.path)
        html = f"{self._world.html_url}/{repository}"
        shape: JSON = {
            "sha": change.sha if change.status != "removed" else sha,
            "filename": change.path,
            "status": change.status,
            "additions": change.additions,
            "deletions": change.deletions,
            "changes": change.additions + change.deletions,
            "blob_url": f"{html}/blob/{sha}/{path}",
            "raw_url": f"{html}/raw/{sha}/{path}",
            "contents_url": f"{self._world.api_url}/repos/{repository}/contents/{path}?ref={sha}",
        }
        if change.patch is not None:
            shape["patch"] = change.patch
        if change.previous_path is not None:
            shape["previous_filename"] = change.previous_path
        return shape

    def entry(self, repository: Repository, entry: TreeEntry, ref: str) -> JSON:
        api, html = f"{self._world.api_url}/repos/{repository}", f"{self._world.html_url}/{repository}"
        kind = {"120000": "symlink", "160000": "submodule", "040000": "dir"}.get(entry.mode, "file")
        path = quote(entry.path)
        here = f"{api}/contents/{path}?ref={ref}"
        git = f"{api}/git/{'trees' if kind == 'dir' else 'blobs'}/{entry.sha}"
        page = f"{html}/{'tree' if kind == 'dir' else 'blob'}/{ref}/{path}"
        return {
            "type": kind,
            "size": entry.size,
            "name": entry.path.rpartition("/")[2],
            "path": entry.path,
            "sha": entry.sha,
            "url": here,
            "git_url": git,
            "html_url": page,
            "download_url": f"{html}/raw/{ref}/{path}" if kind in ("file", "symlink") else None,
            "_links": {"self": here, "git": git, "html": page},
        }

    def ref(self, repository: Repository, ref: str, sha: str) -> JSON:
        api = f"{self._world.api_url}/repos/{repository}"
        return {
            "ref": ref,
            "node_id": base64.b64encode(f"Ref:{repository.id}:{ref}".encode()).decode(),
            "url": f"{api}/git/{ref}",
            "object": {"type": "commit", "sha": sha, "url": f"{api}/git/commits/{sha}"},
        }

    # --- pull requests ---

    def label(self, repository: Repository, label: Label) -> JSON:
        return {
            "id": label.id,
            "node_id": node_id("Label", label.id),
            "url": f"{self._world.api_url}/repos/{repository}/labels/{quote(label.name)}",
            "name": label.name,
            "color": label.color,
            "default": False,
            "description": label.description,
            "archived_at": None,
            "archived_by": None,
        }

    def _side(self, repository: Repository, ref: str, sha: str) -> JSON:
        return {
            "label": f"{repository.owner.login}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": self.user(repository.owner),
            "repo": self.repository(repository),
        }

    def pull_request_simple(self, pull: PullRequest) -> JSON:
        repository = pull.repository
        api = f"{self._world.api_url}/repos/{repository}"
        here, issue = f"{api}/pulls/{pull.number}", f"{api}/issues/{pull.number}"
        html = f"{self._world.html_url}/{repository}/pull/{pull.number}"
        links = {
            "self": here,
            "html": html,
            "issue": issue,
            "comments": f"{issue}/comments",
            "review_comments": f"{here}/comments",
            "review_comment": f"{api}/pulls/comments{{/number}}",
            "commits": f"{here}/commits",
            "statuses": f"{api}/statuses/{pull.head_sha}",
        }
        return {
            "id": pull.id,
            "node_id": node_id("PullRequest", pull.id),
            "url": here,
            "html_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "issue_url": issue,
            **{f"{name}_url": links[name] for name in ("commits", "review_comments", "review_comment", "comments")},
            "statuses_url": links["statuses"],
            "number": pull.number,
            "state": pull.state,
            "locked": False,
            "active_lock_reason": None,
            "title": pull.title,
            "user": self.user(pull.user),
            "body": pull.body,
            "labels": [self.label(repository, label) for label in pull.labels],
            "milestone": None,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [self.user(u) for u in pull.requested_users],
            "requested_teams": [self.team(t) for t in pull.requested_teams],
            "created_at": when(pull.created_at),
            "updated_at": when(pull.updated_at),
            "closed_at": when(pull.closed_at),
            "merged_at": when(pull.merged_at),
            "merge_commit_sha": pull.merge_commit_sha,
            "draft": pull.draft,
            "head": self._side(pull.head_repository, pull.head_ref, pull.head_sha),
            "base": self._side(repository, pull.base_ref, pull.base_sha),
            "_links": {name: {"href": url} for name, url in links.items()},
            "author_association": self.association(pull.user, repository),
            "auto_merge": None,
        }

    def pull_request(self, pull: PullRequest) -> JSON:
        changes = self._world.changed_files(pull)
        mergeable = self._world.mergeable(pull)
        return self.pull_request_simple(pull) | {
            "merged": pull.merged,
            "mergeable": mergeable,
            "rebaseable": mergeable,
            "mergeable_state": self._world.mergeable_state(pull),
            "merged_by": self.user(pull.merged_by) if pull.merged_by else None,
            "comments": len(pull.comments),
            "review_comments": 0,
            "maintainer_can_modify": False,
            "commits": len(pull.repository.git.commits_between(pull.base_sha, pull.head_sha)),
            "additions": sum(c.additions for c in changes),
            "deletions": sum(c.deletions for c in changes),
            "changed_files": len(changes),
        }

    def review(self, review: Review) -> JSON:
        pull = review.pull
        html = f"{self._world.html_url}/{pull.repository}/pull/{pull.number}#pullrequestreview-{review.id}"
        here = f"{self._world.api_url}/repos/{pull.repository}/pulls/{pull.number}"
        return {
            "id": review.id,
            "node_id": node_id("PullRequestReview", review.id),
            "user": self.user(review.user),
            "body": review.body,
            "state": review.state,
            "html_url": html,
            "pull_request_url": here,
            "_links": {"html": {"href": html}, "pull_request": {"href": here}},
            "submitted_at": when(review.submitted_at),
            "commit_id": review.commit_id,
            "author_association": self.association(review.user, pull.repository),
        }

    def review_in_webhook(self, review: Review) -> JSON:
        """Webhooks write the state in lower case, and no text as null; the REST API does neither."""
        return self.review(review) | {"state": review.state.lower(), "body": review.body or None}

    def review_requests(self, pull: PullRequest) -> JSON:
        return {
            "users": [self.user(u) for u in pull.requested_users],
            "teams": [self.team(t) for t in pull.requested_teams],
        }

    def issue(self, pull: PullRequest) -> JSON:
        api = f"{self._world.api_url}/repos/{pull.repository}"
        here = f"{api}/issues/{pull.number}"
        html = f"{self._world.html_url}/{pull.repository}/pull/{pull.number}"
        return {
            "id": pull.id + 1_000_000,
            "node_id": node_id("PullRequest", pull.id),
            "url": here,
            "repository_url": api,
            "labels_url": f"{here}/labels{{/name}}",
            "comments_url": f"{here}/comments",
            "events_url": f"{here}/events",
            "timeline_url": f"{here}/timeline",
            "html_url": html,
            "number": pull.number,
            "state": pull.state,
            "state_reason": None,
            "title": pull.title,
            "body": pull.body,
            "user": self.user(pull.user),
            "labels": [self.label(pull.repository, label) for label in pull.labels],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "active_lock_reason": None,
            "comments": len(pull.comments),
            "created_at": when(pull.created_at),
            "updated_at": when(pull.updated_at),
            "closed_at": when(pull.closed_at),
            "author_association": self.association(pull.user, pull.repository),
            "draft": pull.draft,
            "pull_request": {
                "url": f"{api}/pulls/{pull.number}",
                "html_url": html,
                "diff_url": f"{html}.diff",
                "patch_url": f"{html}.patch",
                "merged_at": when(pull.merged_at),
            },
            "reactions": self._rollup(f"{here}/reactions", []),
        }

    def comment(self, comment: Comment) -> JSON:
        pull = comment.pull
        api = f"{self._world.api_url}/repos/{pull.repository}/issues"
        return {
            "id": comment.id,
            "node_id": node_id("IssueComment", comment.id),
            "url": f"{api}/comments/{comment.id}",
            "html_url": f"{self._world.html_url}/{pull.repository}/pull/{pull.number}#issuecomment-{comment.id}",
            "issue_url": f"{api}/{pull.number}",
            "body": comment.body,
            "user": self.user(comment.user),
            "created_at": when(comment.created_at),
            "updated_at": when(comment.updated_at),
            "author_association": self.association(comment.user, pull.repository),
            "performed_via_github_app": self.app(comment.via_app) if comment.via_app else None,
            "reactions": self._rollup(f"{api}/comments/{comment.id}/reactions", comment.reactions),
        }

    @staticmethod
    def _rollup(url: str, reactions: list[Reaction]) -> JSON:
        counts = {content: sum(1 for r in reactions if r.content == content) for content in REACTIONS}
        return {"url": url, "total_count": len(reactions), **counts}

    def reaction(self, reaction: Reaction) -> JSON:
        return {
            "id": reaction.id,
            "node_id": node_id("Reaction", reaction.id),
            "user": self.user(reaction.user),
            "content": reaction.content,
            "created_at": when(reaction.created_at),
        }

    # --- checks ---

    def check_run(self, run: CheckRun) -> JSON:
        api = f"{self._world.api_url}/repos/{run.repository}/check-runs/{run.id}"
        html = f"{self._world.html_url}/{run.repository}/runs/{run.id}"
        return {
            "id": run.id,
            "name": run.name,
            "node_id": node_id("CheckRun", run.id),
            "head_sha": run.head_sha,
            "external_id": run.external_id,
            "url": api,
            "html_url": html,
            "details_url": run.details_url or html,
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": when(run.started_at),
            "completed_at": when(run.completed_at),
            "output": {
                "title": run.title,
                "summary": run.summary,
                "text": run.text,
                "annotations_count": len(run.annotations),
                "annotations_url": f"{api}/annotations",
            },
            "check_suite": {"id": self._suite_id(run)},
            "app": self.app(run.app),
            "pull_requests": self._pulls_of(run),
        }

    @staticmethod
    def _suite_id(run: CheckRun) -> int:
        """One suite for each App and commit."""
        return int(run.head_sha[:8], 16) * 1000 + run.app.id % 1000

    def _pulls_of(self, run: CheckRun) -> list[JSON]:
        """The open pull requests whose head this is, from branches of the same repository."""
        repository = run.repository

        def side(ref: str, sha: str) -> JSON:
            url = f"{self._world.api_url}/repos/{repository}"
            return {"ref": ref, "sha": sha, "repo": {"id": repository.id, "url": url, "name": repository.name}}

        return [
            {
                "id": pull.id,
                "number": pull.number,
                "url": f"{self._world.api_url}/repos/{repository}/pulls/{pull.number}",
                "head": side(pull.head_ref, pull.head_sha),
                "base": side(pull.base_ref, pull.base_sha),
            }
            for pull in repository.pulls.values()
            if pull.is_open and pull.head_sha == run.head_sha and pull.head_repository is repository
        ]

    def check_run_in_webhook(self, run: CheckRun) -> JSON:
        api = f"{self._world.api_url}/repos/{run.repository}/check-suites/{self._suite_id(run)}"
        pulls = self._pulls_of(run)
        runs = [r for r in self._world.current_runs(run.repository, run.head_sha) if r.app is run.app]
        done = all(r.status == "completed" for r in runs)
        passing = all(r.conclusion in PASSING_CONCLUSIONS for r in runs)
        suite = {
            "id": self._suite_id(run),
            "node_id": node_id("CheckSuite", self._suite_id(run)),
            "head_branch": pulls[0]["head"]["ref"] if pulls else None,
            "head_sha": run.head_sha,
            "status": "completed" if done else "in_progress",
            "conclusion": ("success" if passing else "failure") if done else None,
            "url": api,
            "before": None,
            "after": run.head_sha,
            "pull_requests": pulls,
            "app": self.app(run.app),
            "created_at": when(run.created_at),
            "updated_at": when(run.created_at),
        }
        return self.check_run(run) | {"check_suite": suite}

    def annotation(self, run: CheckRun, annotation: JSON) -> JSON:
        path = annotation["path"]
        return {
            "start_column": None,
            "end_column": None,
            "title": None,
            "raw_details": None,
            "blob_href": f"{self._world.html_url}/{run.repository}/blob/{run.head_sha}/{quote(path)}",
        } | annotation


def _required(check: RequiredCheck) -> JSON:
    return {"context": check.context, "app_id": check.app_id}
