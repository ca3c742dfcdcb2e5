"""A GitHub of one's own: stateful, strict, in memory, on loopback. Start with `GitHubStandIn`; the state is `World`."""

from tests.fakes.github.bare_git import Gitlink, Symlink
from tests.fakes.github.chaos import Chaos, Failure
from tests.fakes.github.objects import (
    CheckRun,
    Comment,
    MergeRefused,
    PullRequest,
    Refused,
    Repository,
    RequiredCheck,
    Review,
    User,
)
from tests.fakes.github.outbox import signature
from tests.fakes.github.server import GitHubStandIn
from tests.fakes.github.world import World

__all__ = [
    "Chaos",
    "CheckRun",
    "Comment",
    "Failure",
    "GitHubStandIn",
    "Gitlink",
    "MergeRefused",
    "PullRequest",
    "Refused",
    "Repository",
    "RequiredCheck",
    "Review",
    "Symlink",
    "User",
    "World",
    "signature",
]
