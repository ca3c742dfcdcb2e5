"""The names of things: typed strings, identifiers on GitHub and in MySQL, and how they are spelled."""

import hashlib
from dataclasses import dataclass, field
from typing import Final, NewType

HeadSha = NewType("HeadSha", str)
"""40 hex digits: the commit at the tip of a pull request."""
Login = NewType("Login", str)
"""A GitHub login, compared case-insensitively (see same_login)."""
PlanDigest = NewType("PlanDigest", str)
"""64 hex digits over everything a person approves; see plan.digest_of."""
Fingerprint = NewType("Fingerprint", str)
"""64 hex digits over what a live table looks like; see activities.mysql.introspect."""
MigrationId = NewType("MigrationId", str)
"""One order to run one statement once; see migration_id."""

MYSQL_NAME_LIMIT: Final = 64
"""Characters in a table name (MySQL reference manual, "Identifier Length Limits")."""


@dataclass(frozen=True)
class Labels:
    """The label protocol of a pull request (DESIGN §1)."""

    diff: str = "migration:skeema:diff"
    for_review: str = "migration:for:review"
    detected: str = "migration:skeefree:detected"
    queued: str = "migration:skeefree:queued"
    late_commits: str = "migration:late:commits"

    def ours(self) -> frozenset[str]:
        """The labels that only skeebot adds and removes; for_review belongs to the developer."""
        return frozenset({self.diff, self.detected, self.queued, self.late_commits})


@dataclass(frozen=True)
class PullRequestRef:
    owner: str
    repo: str
    number: int

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.repo}"

    @property
    def key(self) -> str:
        """One spelling for whatever was typed: GitHub's names are not case-sensitive."""
        return f"{self.owner}/{self.repo}/{self.number}".casefold()

    def sibling(self, number: int) -> "PullRequestRef":
        return PullRequestRef(owner=self.owner, repo=self.repo, number=number)

    def __str__(self) -> str:
        return f"{self.owner}/{self.repo}#{self.number}"


@dataclass(frozen=True, order=True)
class DatabaseRow:
    """One row that the aggregate check waits for: a database in an environment."""

    environment: str
    database: str
    type: str = "mysql"

    def check_name(self, aggregate: str) -> str:
        return f"{aggregate}: {self.environment}/{self.type}/{self.database}"


@dataclass(frozen=True, order=True)
class Target:
    """One table on one shard: where one migration runs."""

    environment: str
    database: str
    cluster: str
    shard: str
    schema: str
    table: str

    @property
    def row(self) -> DatabaseRow:
        return DatabaseRow(environment=self.environment, database=self.database)

    @property
    def queue(self) -> tuple[str, str]:
        """The topology on which one gh-ost runs at a time."""
        return (self.cluster, self.shard)

    def __str__(self) -> str:
        return f"{self.cluster}/{self.shard}/{self.schema}/{self.table}"


@dataclass(frozen=True)
class CheckNames:
    """aggregate is the only name that branch protection requires."""

    aggregate: str = "SchemaBot"


@dataclass(frozen=True)
class Protocol:
    """What people see and depend on; each part is a setting."""

    labels: Labels = field(default_factory=Labels)
    checks: CheckNames = field(default_factory=CheckNames)
    command_prefix: str = ".skeefree"


def same_login(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def same_repository(one: str, other: str) -> bool:
    """Of names as "owner/name"."""
    return one.casefold() == other.casefold()


def pull_request_ref(repository: str, number: int) -> PullRequestRef:
    owner, _, repo = repository.partition("/")
    return PullRequestRef(owner=owner, repo=repo, number=number)


def short(text: str, limit: int) -> str:
    """text, or its beginning and a hash of the whole where it would pass limit characters."""
    if len(text) <= limit:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: limit - 9]}_{mark}"


def quarantine_name(table: str, at: str) -> str:
    """`_<yyyymmddhhmmss>_<table>_DRP`, cut and hashed to fit MySQL's 64 characters (SAFETY §S7).

    So do the names that MySQL makes from it: an unnamed CHECK follows the rename as `<table>_chk_<n>`. at: 14 digits, UTC.
    """
    room = MYSQL_NAME_LIMIT - len(f"_{at}__DRP") - len("_chk_999")
    return f"_{at}_{short(table, room)}_DRP"


def ghost_base_name(table: str, migration: MigrationId) -> str:
    """A unique base for gh-ost's --force-table-names: gh-ost's own names are cut to 64 and can collide.

    gh-ost adds `_<base>_gho`, `_ghc`, `_del`, `_ghk` (5 characters), so the base stays under 59 with room for a timestamp.
    """
    mark = hashlib.sha256(migration.encode()).hexdigest()[:8]
    return f"{short(table, 30)}_{mark}"
