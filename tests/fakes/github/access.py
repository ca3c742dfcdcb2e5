"""Who is asking, and may they: JWTs of Apps, installation tokens, personal tokens."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import jwt

from tests.fakes.github.objects import App, Refused, Repository, Role, Token, User

if TYPE_CHECKING:
    from tests.fakes.github.world import World

MOST_JWT_SECONDS = 600
CLOCK_LEEWAY = 60
"""Seconds by which a client's clock may be ahead of ours."""
_LEVELS = ("none", "read", "write", "admin")

Needs = tuple[tuple[str, str], ...]
"""Any one of these (permission, level) pairs is enough; empty: none is needed."""


@dataclass(frozen=True)
class Anonymous:
    name: str = "anonymous"


@dataclass(frozen=True)
class AppActor:
    """An App as itself, by JWT."""

    app: App

    @property
    def name(self) -> str:
        return f"app:{self.app.slug}"


@dataclass(frozen=True)
class InstallationActor:
    """An App in one account, by installation token. What it does is done by its bot user."""

    token: Token

    @property
    def app(self) -> App:
        return self.token.installation.app

    @property
    def user(self) -> User:
        return self.app.bot

    @property
    def name(self) -> str:
        return self.user.login


@dataclass(frozen=True)
class UserActor:
    """A person, by personal token."""

    user: User

    @property
    def name(self) -> str:
        return self.user.login


Actor = Anonymous | AppActor | InstallationActor | UserActor


def identify(world: World, authorization: str | None, *, jwt_expected: bool) -> Actor:
    """The actor behind an `Authorization` header; refuses with 401 as GitHub words it."""
    if not authorization:
        return Anonymous()
    scheme, _, credential = authorization.partition(" ")
    credential = credential.strip()
    if scheme.lower() == "basic":
        credential = _password(credential)
    elif scheme.lower() not in ("bearer", "token"):
        raise Refused(401, "Bad credentials")
    if credential.count(".") == 2:
        if not jwt_expected:
            raise Refused(401, "Bad credentials")
        return AppActor(verify_jwt(world, credential))
    return by_token(world, credential)


def by_token(world: World, value: str) -> InstallationActor | UserActor:
    token = world.tokens.get(value)
    if token is not None and token.expires_at > datetime.now(UTC):
        if token.installation.suspended_at:
            raise Refused(403, "This installation has been suspended")
        return InstallationActor(token)
    if value in world.user_tokens:
        return UserActor(world.user_tokens[value])
    raise Refused(401, "Bad credentials")


def _password(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        raise Refused(401, "Bad credentials") from None


def verify_jwt(world: World, value: str) -> App:
    """The App that signed a JWT: RS256, `iss` its id or client id, `iat` not in the future, `exp` ≤ 10 minutes ahead."""
    try:
        claims = jwt.decode(value, options={"verify_signature": False})
        issuer = str(claims.get("iss", ""))
        app = next((a for a in world.apps.values() if issuer in (str(a.id), a.client_id)), None)
        if app is None:
            raise Refused(404, "Integration not found")
        claims = jwt.decode(
            value,
            app.public_key,
            algorithms=["RS256"],
            options={"require": ["iss", "iat", "exp"], "verify_iat": False, "verify_exp": False},
        )
    except jwt.PyJWTError:
        raise Refused(401, "A JSON web token could not be decoded") from None
    now = datetime.now(UTC).timestamp()
    issued, expires = claims["iat"], claims["exp"]
    if not isinstance(issued, int | float) or issued > now + CLOCK_LEEWAY:
        raise Refused(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
    if not isinstance(expires, int | float) or expires <= now:
        raise Refused(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        )
    if expires > now + MOST_JWT_SECONDS + CLOCK_LEEWAY:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def sees(world: World, actor: Actor, repository: Repository) -> bool:
    """Whether the repository exists as far as this actor can tell."""
    if not repository.private:
        return True
    match actor:
        case InstallationActor(token):
            return reaches(world, token, repository)
        case UserActor(user):
            return world.may(user, repository, "read")
        case AppActor() | Anonymous():
            return False


def reaches(world: World, token: Token, repository: Repository) -> bool:
    chosen = token.repository_ids
    return world.covers(token.installation, repository) and (chosen is None or repository.id in chosen)


def granted(permissions: dict[str, str], needs: Needs) -> bool:
    return not needs or any(_LEVELS.index(permissions.get(name, "none")) >= _LEVELS.index(level) for name, level in needs)


def require(world: World, actor: Actor, repository: Repository | None, needs: Needs, role: Role) -> None:
    """Refuse unless the actor may: an installation by its permissions, a person by their role."""
    match actor:
        case InstallationActor(token):
            outside = repository is not None and not reaches(world, token, repository)
            only_reads = all(level == "read" for _, level in needs)
            if not granted(token.permissions, needs) or (outside and not only_reads):
                raise Refused(403, "Resource not accessible by integration")
        case UserActor(user):
            if repository is not None and not world.may(user, repository, role):
                raise Refused(403, "Must have admin rights to Repository.")
        case Anonymous():
            if repository is None or any(level != "read" for _, level in needs):
                raise Refused(401, "Requires authentication")
        case AppActor():
            raise Refused(401, "Bad credentials")
