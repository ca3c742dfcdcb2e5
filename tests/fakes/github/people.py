"""Users, organisations, teams, Apps, installations and their tokens."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.github.foundation import Foundation, RepositoryRef, UserRef, atomic
from tests.fakes.github.objects import (
    ROLE_ORDER,
    App,
    Installation,
    Organization,
    Refused,
    Repository,
    Role,
    Team,
    Token,
    User,
)

DEFAULT_PERMISSIONS = {
    "metadata": "read",
    "contents": "read",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "members": "read",
    "merge_queues": "read",
}
"""What skeebot asks for when it is installed; everything else answers 403."""

DEFAULT_EVENTS = (
    "pull_request",
    "pull_request_review",
    "issue_comment",
    "check_run",
    "push",
    "merge_group",
    "membership",
    "team",
)


@functools.cache
def _key(slug: str) -> rsa.RSAPrivateKey:
    """One key per App and process: making one costs a test more than all the rest of its world."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class People(Foundation):
    @atomic
    def add_user(self, login: str, *, name: str | None = None, email: str | None = None) -> User:
        """A person. Adding one that exists returns the one that exists."""
        if login.lower() not in self.users:
            self.users[login.lower()] = User(self.next_id(), login, self.now(), name or login.title(), email or f"{login}@users.example")
        return self.users[login.lower()]

    @atomic
    def add_org(self, login: str, *, owners: Iterable[UserRef] = (), members: Iterable[UserRef] = ()) -> Organization:
        org = Organization(self.next_id(), login, self.now(), login.title())
        org.owners = {self._known(o).login for o in owners}
        org.members = {self._known(m).login for m in members} | org.owners
        self.users[login.lower()] = org
        return org

    def organization(self, login: str) -> Organization:
        found = self.users.get(login.lower())
        if isinstance(found, Organization):
            return found
        raise LookupError(f"no organisation {login!r} in this world: add it with world.add_org({login!r})")

    def _known(self, ref: UserRef) -> User:
        return ref if isinstance(ref, User) else self.add_user(ref)

    # --- teams ---

    @atomic
    def add_team(
        self,
        org: str,
        slug: str,
        *,
        members: Iterable[UserRef] = (),
        pending: Iterable[UserRef] = (),
        repositories: Iterable[RepositoryRef] | Literal["all"] = "all",
        role: Role = "write",
    ) -> Team:
        """A team whose members have `role` on `repositories` ("all": those that the organisation has now or gets later)."""
        organization = self.organization(org)
        team = Team(self.next_id(), organization, slug.replace("-", " ").title(), slug, self.now())
        self.teams[org.lower(), slug.lower()] = team
        if repositories == "all":
            team.role_everywhere = role
        else:
            team.repositories = {self.repository(ref).id: role for ref in repositories}
        self.emit("team", "created", self._somebody_of(organization), {"team": self.shapes.team(team)}, organization=organization)
        for member in members:
            self.add_member(team, member)
        for member in pending:
            self.add_member(team, member, state="pending")
        return team

    def team(self, ref: Team | str) -> Team:
        """A team itself or its name, `acme/databases`."""
        if isinstance(ref, Team):
            return ref
        org, _, slug = ref.lower().partition("/")
        if (org, slug) not in self.teams:
            raise LookupError(f"no team {ref!r} in this world; there are {sorted(self.teams)}")
        return self.teams[org, slug]

    @atomic
    def add_member(
        self, team: Team | str, user: UserRef, *, state: Literal["active", "pending"] = "active", by: UserRef | None = None
    ) -> None:
        team, user = self.team(team), self._known(user)
        team.members[user.login] = state
        if state == "active":
            team.organization.members.add(user.login)
            self._membership_event(team, user, "added", by)

    @atomic
    def remove_member(self, team: Team | str, user: UserRef, *, by: UserRef | None = None) -> None:
        team, user = self.team(team), self.user(user)
        if team.members.pop(user.login, None):
            self._membership_event(team, user, "removed", by)

    def _membership_event(self, team: Team, user: User, action: str, by: UserRef | None) -> None:
        sender = self.user(by) if by else next((self.user(o) for o in sorted(team.organization.owners)), user)
        body = {"scope": "team", "member": self.shapes.user(user), "team": self.shapes.team(team)}
        self.emit("membership", action, sender, body, organization=team.organization)

    # --- who may do what ---

    @atomic
    def set_role(self, repository: RepositoryRef, user: UserRef, role: Role) -> None:
        """Make somebody a direct collaborator; "none" ends it."""
        self.repository(repository).collaborators[self._known(user).login] = role

    def role_of(self, user: User, repository: Repository) -> Role:
        """The strongest role that a person has on a repository, from all its sources."""
        owner = repository.owner
        roles: list[Role] = [repository.collaborators.get(user.login, "none"), "none" if repository.private else "read"]
        if owner is user or (isinstance(owner, Organization) and user.login in owner.owners):
            roles.append("admin")
        if isinstance(owner, Organization) and user.login in owner.members:
            roles.append("read")
        roles += [team.role_on(repository) for team in self.teams.values() if team.has_active(user.login)]
        for installation in self.installations.values():
            if installation.app.bot is user and self.covers(installation, repository):
                roles.append("write" if "write" in installation.permissions.values() else "read")
        return max(roles, key=ROLE_ORDER.index)

    def may(self, user: User, repository: Repository, role: Role) -> bool:
        return ROLE_ORDER.index(self.role_of(user, repository)) >= ROLE_ORDER.index(role)

    # --- Apps ---

    @atomic
    def add_app(
        self,
        slug: str,
        *,
        owner: UserRef | None = None,
        permissions: dict[str, str] | None = None,
        events: Iterable[str] = DEFAULT_EVENTS,
        webhook_url: str | None = None,
    ) -> App:
        """A GitHub App with its bot user, a private key made now and a webhook secret."""
        key = _key(slug)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        bot = User(self.next_id(), f"{slug}[bot]", self.now(), None, f"{slug}[bot]@users.example", "Bot")
        self.users[bot.login.lower()] = bot
        app = App(
            id=self.next_id(),
            slug=slug,
            name=slug,
            owner=self._known(owner) if owner else self.add_user(f"{slug}-author"),
            bot=bot,
            client_id=f"Iv23{secrets.token_hex(8)}",
            private_key_pem=pem.decode(),
            public_key=key.public_key(),
            webhook_secret=secrets.token_urlsafe(24),
            permissions=dict(DEFAULT_PERMISSIONS if permissions is None else permissions),
            events=list(events),
            created_at=self.now(),
            webhook_url=webhook_url,
        )
        self.apps[app.id] = app
        return app

    @atomic
    def install(
        self,
        app: App,
        account: UserRef,
        *,
        repositories: Iterable[RepositoryRef] | None = None,
        permissions: dict[str, str] | None = None,
        by: UserRef | None = None,
    ) -> Installation:
        """Install an App on an account, on all its repositories or on those named; its owner is told by webhook."""
        account = self.user(account)
        chosen = None if repositories is None else {self.repository(r).id for r in repositories}
        installation = Installation(self.next_id(), app, account, dict(permissions or app.permissions), self.now(), chosen)
        self.installations[installation.id] = installation
        self._installation_event(installation, "created", by)
        return installation

    @atomic
    def uninstall(self, installation: Installation, *, by: UserRef | None = None) -> None:
        del self.installations[installation.id]
        for value in [t.value for t in self.tokens.values() if t.installation is installation]:
            del self.tokens[value]
        self._installation_event(installation, "deleted", by)

    @atomic
    def suspend(self, installation: Installation, *, by: UserRef | None = None) -> None:
        installation.suspended_at = self.now()
        self._installation_event(installation, "suspend", by)

    @atomic
    def unsuspend(self, installation: Installation, *, by: UserRef | None = None) -> None:
        installation.suspended_at = None
        self._installation_event(installation, "unsuspend", by)

    @atomic
    def change_installation(
        self,
        installation: Installation,
        *,
        add: Iterable[RepositoryRef] = (),
        remove: Iterable[RepositoryRef] = (),
        by: UserRef | None = None,
    ) -> None:
        """Give an installation more repositories, or fewer (one that had all of them then has the rest)."""
        added, removed = [self.repository(r) for r in add], [self.repository(r) for r in remove]
        if installation.repository_ids is None:
            installation.repository_ids = {r.id for r in self.repositories.values() if r.owner is installation.account}
        installation.repository_ids |= {r.id for r in added}
        installation.repository_ids -= {r.id for r in removed}
        for action, some in (("added", added), ("removed", removed)):
            if some:
                body = {
                    "installation": self.shapes.installation(installation),
                    "repository_selection": "selected",
                    "repositories_added": [self.shapes.repository_named(r) for r in some if action == "added"],
                    "repositories_removed": [self.shapes.repository_named(r) for r in some if action == "removed"],
                    "requester": None,
                }
                sender = self.user(by) if by else self._somebody_of(installation.account)
                self.emit("installation_repositories", action, sender, body, installation=installation)

    def _installation_event(self, installation: Installation, action: str, by: UserRef | None) -> None:
        body = {
            "installation": self.shapes.installation(installation),
            "repositories": [self.shapes.repository_named(r) for r in self.repositories.values() if self.covers(installation, r)],
            "requester": None,
        }
        sender = self.user(by) if by else self._somebody_of(installation.account)
        self.emit("installation", action, sender, body, installation=installation)

    def _somebody_of(self, account: User) -> User:
        if isinstance(account, Organization) and account.owners:
            return self.user(min(account.owners))
        return account

    def installation_for(self, app: App, repository: Repository) -> Installation | None:
        return next(
            (i for i in self.installations.values() if i.app is app and self.covers(i, repository)),
            None,
        )

    # --- tokens ---

    @atomic
    def issue_token(
        self,
        installation: Installation,
        *,
        permissions: dict[str, str] | None = None,
        repositories: Iterable[str] | None = None,
        repository_ids: Iterable[int] | None = None,
    ) -> Token:
        """An installation token, narrowed to what is named. Asking for more than was granted is refused with 422."""
        if installation.suspended_at:
            raise Refused(403, "This installation has been suspended")
        levels = ("none", "read", "write", "admin")
        for name, level in (permissions or {}).items():
            if levels.index(level) > levels.index(installation.permissions.get(name, "none")):
                raise Refused(422, "The permissions requested are not granted to this installation.")
        ids = None if repository_ids is None else set(repository_ids)
        if repositories is not None:
            names = {r.name: r.id for r in self.repositories.values() if self.covers(installation, r)}
            missing = [name for name in repositories if name not in names]
            if missing:
                raise Refused(
                    422,
                    "There is at least one repository that does not exist or is not accessible to the parent installation.",
                )
            ids = (ids or set()) | {names[name] for name in repositories}
        token = Token(
            value=f"ghs_{secrets.token_hex(18)}",
            installation=installation,
            permissions=dict(permissions) if permissions else dict(installation.permissions),
            repository_ids=ids,
            expires_at=self.now() + timedelta(seconds=self.token_lifetime),
        )
        self.tokens[token.value] = token
        return token

    @atomic
    def expire_tokens(self) -> None:
        """Every installation token given out so far stops working now, without its holder being told."""
        past = datetime.fromtimestamp(0, tz=self.now().tzinfo)
        for token in self.tokens.values():
            token.expires_at = past

    @atomic
    def user_token(self, user: UserRef) -> str:
        """A personal token with which somebody may push with git and use the REST API as themselves."""
        value = f"ghp_{secrets.token_hex(18)}"
        self.user_tokens[value] = self._known(user)
        return value
