"""What may go wrong, told in advance and repeatable by its seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

FailureKind = Literal["plain", "secondary", "primary", "reset"]


@dataclass
class Failure:
    """One way to answer an operation wrongly.

    `status`: the HTTP status; 0 means that the connection is cut. `after_effect`: the work is done first and only the
    answer is lost. `kind` shapes a 403 or 429: "secondary" limit, "primary" limit, or "plain".
    """

    status: int = 502
    after_effect: bool = False
    kind: FailureKind = "plain"
    retry_after: int | None = None
    times: int = 1

    def __str__(self) -> str:
        when = "after" if self.after_effect else "instead of"
        return f"{'reset' if self.status == 0 else self.status} {self.kind} {when} the work"


@dataclass
class Share:
    share: float
    failures: list[Failure]
    operations: frozenset[str]


@dataclass
class DeliveryFate:
    """What becomes of one delivery: seconds of waiting for each copy that is sent; none is sent when it is dropped."""

    delays: list[float] = field(default_factory=lambda: [0.0])
    dropped: bool = False
    """Failed where `GET /app/hook/deliveries` shows it."""
    lost: bool = False
    """Gone without a trace."""


class Chaos:
    """Everything is calm until told otherwise. Shares are between 0 and 1."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self.seed(seed)
        self._next: dict[str, list[Failure]] = {}
        self._shares: list[Share] = []
        self.duplicate = 0.0
        self.drop = 0.0
        self.lose = 0.0
        self.reorder = 0.0
        self.reorder_window = 0.5
        """Seconds by which a reordered delivery may be late."""
        self.delay: tuple[float, float] = (0.0, 0.0)
        """Seconds that every delivery waits, at least and at most."""
        self.latency: tuple[float, float] = (0.0, 0.0)
        """Seconds that every API answer takes longer, at least and at most; spent before or after the effect."""

    def seed(self, seed: int) -> None:
        """Answers and deliveries draw from luck of their own: one question more must not turn an arrival into a loss."""
        self._answers, self._deliveries = random.Random(seed), random.Random(seed)

    def calm(self) -> None:
        """Stop everything that was asked for."""
        with self._lock:
            self._next.clear()
            self._shares.clear()
            self.duplicate = self.drop = self.lose = self.reorder = 0.0
            self.delay = self.latency = (0.0, 0.0)

    def deliveries(
        self,
        *,
        duplicate: float = 0.0,
        drop: float = 0.0,
        lose: float = 0.0,
        reorder: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Set what happens to webhooks: shares that arrive twice, fail, vanish or come late, and a delay for all."""
        self.duplicate, self.drop, self.lose, self.reorder, self.delay = duplicate, drop, lose, reorder, delay

    def fail_next(
        self,
        operation: str,
        *,
        status: int = 502,
        times: int = 1,
        after_effect: bool = False,
        kind: FailureKind | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next `times` calls of an operation ("checks/create"; "*" for any) with `status`.

        `status=0` cuts the connection; with `after_effect=True` the work is done before (the POST landed, the client saw a
        reset). 403 and 429 are a secondary limit unless `kind` says otherwise; `retry_after` in seconds adds the header.
        """
        shape: FailureKind = kind or ("reset" if status == 0 else "secondary" if status in (403, 429) else "plain")
        with self._lock:
            self._next.setdefault(operation, []).append(Failure(status, after_effect, shape, retry_after, times))

    def fail_share(self, share: float, *failures: Failure, operations: Collection[str] = (), seed: int | None = None) -> None:
        """Let a share of all calls (of the named operations, or of all) fail in one of the given ways, at random."""
        if seed is not None:
            self.seed(seed)
        chosen = list(failures) or [Failure(502), Failure(502, after_effect=True), Failure(0, after_effect=True)]
        with self._lock:
            self._shares.append(Share(share, chosen, frozenset(operations)))

    # --- asked by the server ---

    def failure_for(self, operation: str) -> Failure | None:
        with self._lock:
            for name in (operation, "*"):
                waiting = self._next.get(name)
                if waiting:
                    failure = waiting[0]
                    failure.times -= 1
                    if failure.times <= 0:
                        waiting.pop(0)
                    return failure
            for share in self._shares:
                if (not share.operations or operation in share.operations) and self._answers.random() < share.share:
                    return self._answers.choice(share.failures)
        return None

    def latencies(self) -> tuple[float, float]:
        """Seconds to wait before the work and after it."""
        low, high = self.latency
        if high <= 0:
            return 0.0, 0.0
        with self._lock:
            total, before = self._answers.uniform(low, high), self._answers.random()
        return total * before, total * (1 - before)

    def fate(self) -> DeliveryFate:
        with self._lock:
            if self._deliveries.random() < self.lose:
                return DeliveryFate([], lost=True)
            if self._deliveries.random() < self.drop:
                return DeliveryFate([], dropped=True)
            copies = 2 if self._deliveries.random() < self.duplicate else 1
            return DeliveryFate([self._wait() for _ in range(copies)])

    def _wait(self) -> float:
        wait = self._deliveries.uniform(*self.delay)
        if self._deliveries.random() < self.reorder:
            wait += self._deliveries.uniform(0.0, self.reorder_window)
        return wait
