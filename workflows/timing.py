"""Named waiting: every time-out, back-off and retry policy, so that no number stands at a call."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.common import RetryPolicy

TRY_AGAIN: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=1),
    non_retryable_error_types=["NeedsHuman", "OurBug"],
)
"""GitHub, Temporal and MySQL come back; a person's business is never retried."""

A_FEW_TIMES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=5,
    non_retryable_error_types=["NeedsHuman", "OurBug"],
)
"""Where a person is better told than kept waiting."""

QUEUE_PATIENCE: Final = timedelta(seconds=1)
"""How long a queue waits for a table's workflow that it did not start to close, before it asks again."""

LOOK_AFTER: Final = timedelta(minutes=15)
"""How often a queue asks whether what it has running still runs, where no word of its end could reach it."""

ONCE: Final = RetryPolicy(maximum_attempts=1)
"""A release: a second attempt takes a second look."""

ONE_LOOK: Final = timedelta(minutes=2)
"""One attempt at a look at a server, a runner or a long list of GitHub's."""

ONE_SNAPSHOT: Final = timedelta(seconds=60)
"""One attempt at reading a pull request whole: a dozen requests, most of them at once. A worker killed at it is missed after this."""

ONE_WRITE: Final = timedelta(seconds=45)
"""One attempt at writing one thing to GitHub: at most a token, a look at what is there, and the write, of ten seconds each."""

GITHUB_PATIENCE: Final = timedelta(minutes=5)
"""How long a publication is retried before the loop looks again with fresh eyes."""

ONE_PLAN: Final = timedelta(minutes=10)
"""One attempt at planning one database; its own ceilings are shorter."""

ORDER_PATIENCE: Final = timedelta(minutes=5)
"""How long a requester may be unable to answer for its order (a worker or a workflow in trouble) before its migration goes on without."""

ONE_QUERY: Final = timedelta(seconds=30)
"""One short statement or one query of a workflow."""

DIRECT_RUN: Final = timedelta(minutes=15)
"""Direct DDL: each try waits seconds for its lock; the jittered tries together end long before this."""

VERIFICATION: Final = timedelta(hours=48)
"""Comparing the largest tables; heartbeats guard it."""

HEARTBEAT: Final = timedelta(seconds=20)
"""No heartbeat for this long: the worker is gone, another attempt starts (the gh-ost process lives on)."""

NARRATOR_HEARTBEAT: Final = timedelta(seconds=20)
"""The narrator heartbeats every second. Until a dead worker's is given up, nothing of the pull request is published or released."""

GHOST_RUN: Final = timedelta(days=60)
"""The longest copy and hold; heartbeats guard it."""

RUNNER_PATIENCE: Final = timedelta(minutes=10)
"""How long a runner host may be away before its run is fenced at the database instead."""

FIRST_ROUND_LOOKS_BACK: Final = timedelta(hours=1)
"""What the first round for lost webhooks takes for changed."""

ROUNDS_OVERLAP: Final = timedelta(minutes=5)
"""How far each round looks back beyond the last one's beginning: for clocks that differ, and lists that lag."""

SPAWN_PATIENCE: Final = timedelta(hours=24)
"""How long a migration waits for any runner to take it."""


@dataclass(frozen=True)
class Timing:
    """What tests and the demo may shorten; carried in each workflow's input, in seconds."""

    snapshot_spacing: float = 3.0
    look_again: float = 6 * 3600.0
    look_again_after_trouble: float = 120.0
    look_for_news: tuple[float, ...] = (5.0, 15.0, 60.0)
    plan_again_after: float = 60.0  # a refusal that may pass by itself; each further wait is twice as long
    plan_again_at_most: float = 3600.0
    narrate_every: float = 30.0
    release_back_off: float = 15.0
    retry_preflight: float = 30.0
    retry_preflight_limit: float = 24 * 3600.0
    verification_is_fresh_for: float = 300.0
    look_is_fresh_for: float = 30.0
    ask_for_requester: float = 900.0
    turn_is_idle_after: float = 600.0
    supersede_in_progress_after: float = 10 * 86400.0
