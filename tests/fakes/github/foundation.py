"""What every part of the world stands on: one lock, one clock, ids, names, and the outbox of things that happened.

**Threads.** Every public method of the world is plain and synchronous and takes the world's one re-entrant lock, so each
is atomic and may be called from any thread, with or without an event loop. A call costs a few milliseconds (git).
The server runs in a thread of its own and calls the same methods.
"""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from tests.fakes.github.chaos import Chaos
from tests.fakes.github.objects import (
    JSON,
    App,
    Event,
    Installation,
    Organization,
    PullRequest,
    Repository,
    RequestRecord,
    Team,
    Token,
    User,
)
from tests.fakes.github.outbox import Outbox
from tests.fakes.github.shapes import Shapes

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Foundation")

UserRef = User | str
RepositoryRef = Repository | str
PullRef = PullRequest | str
"""A pull request itself, or its name: `acme/shop#1`."""


def atomic(method: Callable[Concatenate[F, P], R]) -> Callable[Concatenate[F, P], R]:
    """Hold the world's lock for the whole call."""

    def locked(self: F, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    functools.update_wrapper(locked, method)
    return locked


class Foundation:
    """Owns the records and the folder of git repositories; `dispose()` removes the folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.lock = threading.RLock()
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="github-stand-in-"))
        self._ids = itertools.count(1001)
        self.users: dict[str, User] = {}
        self.teams: dict[tuple[str, str], Team] = {}
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, Repository] = {}
        """Old names, lower case."""
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, Token] = {}
        self.user_tokens: dict[str, User] = {}
        self.html_url = "http://127.0.0.1"
        self.api_url = "http://127.0.0.1/api/v3"
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.chaos = Chaos()
        self.outbox = Outbox(self.chaos)
        self.shapes = Shapes(self)
        self.events: list[Event] = []
        """Everything that happened, in order, delivered or not."""
        self.requests: list[RequestRecord] = []
        """Every REST request answered, in order of its answer."""
        self.token_lifetime = 3600.0
        """Seconds that an installation token lives."""
        self.rate_limit = 15_000
        """Requests per token and hour."""
        self.content_per_minute = 80
        self.content_per_hour = 500
        self.written_for = timedelta(0)
        """By how much a new comment's `updated_at` may be later than its `created_at`: GitHub's own are now and then a second apart."""
        self.mergeability_delay = 0.0
        """Seconds for which a test merge stays stale after it was asked for; `math.inf` holds it until
        `compute_mergeability` is called."""
        self.test_merge_follows_base = False
        """As before 19 February 2026 and on older GitHub Enterprise Servers: whoever looks at a pull request whose base moved gets a new
        test merge."""

    def dispose(self) -> None:
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- small things ---

    def next_id(self) -> int:
        return next(self._ids)

    def exactly_now(self) -> datetime:
        return self.clock()

    def now(self) -> datetime:
        """The time as GitHub writes it: UTC, whole seconds."""
        return self.clock().replace(microsecond=0)

    def monotonic(self) -> float:
        return time.monotonic()

    # --- names to things ---

    def user(self, ref: UserRef) -> User:
        if isinstance(ref, User):
            return ref
        found = self.users.get(ref.lower())
        if found is None:
            raise LookupError(f"no user {ref!r} in this world: add it with world.add_user({ref!r})")
        return found

    def repository(self, ref: RepositoryRef) -> Repository:
        if isinstance(ref, Repository):
            return ref
        found = self.repositories.get(ref.lower())
        if found is None:
            raise LookupError(f"no repository {ref!r} in this world; there are {sorted(self.repositories)}")
        return found

    def pull(self, ref: PullRef) -> PullRequest:
        if isinstance(ref, PullRequest):
            return ref
        name, _, number = ref.rpartition("#")
        pulls = self.repository(name).pulls
        if int(number) not in pulls:
            raise LookupError(f"no pull request {ref!r} in this world; {name} has {sorted(pulls)}")
        return pulls[int(number)]

    # --- telling ---

    def emit(
        self,
        name: str,
        action: str | None,
        sender: User,
        body: JSON,
        *,
        repository: Repository | None = None,
        organization: User | None = None,
        only: App | None = None,
        installation: Installation | None = None,
    ) -> None:
        """Note an event and post it to every App that is installed, allowed and subscribed.

        `only`: events that go to one App alone. `installation`: events about an installation, sent whatever is subscribed.
        """
        account = repository.owner if repository else organization
        payload: JSON = {"action": action} if action else {}
        payload |= body
        if repository:
            payload["repository"] = self.shapes.repository(repository)
        if isinstance(account, Organization):
            payload["organization"] = self.shapes.organization_simple(account)
        payload["sender"] = self.shapes.user(sender)
        self.events.append(Event(self.exactly_now(), name, action, repository.full_name if repository else None, payload))
        for target in [installation] if installation else self._listeners(name, account, repository, only):
            letter = payload if installation else payload | {"installation": self.shapes.installation_simple(target)}
            self.outbox.post(
                app=target.app,
                event=name,
                action=action,
                body=_compact(letter),
                installation_id=target.id,
                repository_id=repository.id if repository else None,
                delivery_id=self.next_id(),
                at=self.exactly_now(),
            )

    def _listeners(self, event: str, account: User | None, repository: Repository | None, only: App | None) -> list[Installation]:
        return [
            installation
            for installation in self.installations.values()
            if installation.account is account
            and installation.suspended_at is None
            and (only is None or installation.app is only)
            and event in installation.app.events
            and (repository is None or self.covers(installation, repository))
        ]

    @staticmethod
    def covers(installation: Installation, repository: Repository) -> bool:
        return installation.account is repository.owner and (
            installation.repository_ids is None or repository.id in installation.repository_ids
        )


def _compact(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
