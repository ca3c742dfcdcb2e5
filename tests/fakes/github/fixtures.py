"""Fixtures for whoever tests against the stand-in.

In a `conftest.py`: `from tests.fakes.github.fixtures import acme, github  # noqa: F401  (fixtures)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.github.objects import App, Installation, PullRequest, Repository
from tests.fakes.github.server import GitHubStandIn
from tests.fakes.github.world import World

ORDERS = """CREATE TABLE `orders` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `customer` varchar(100) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
"""
ORDERS_WITH_NOTE = ORDERS.replace("  PRIMARY KEY", "  `note` varchar(200) DEFAULT NULL,\n  PRIMARY KEY")


@dataclass
class Acme:
    """A small company with one repository, `acme/shop`, on which the App is installed.

    Olga owns the organisation. Dave and Dora develop. Oscar and Olive are the owner team `acme/orders-owners`. Dana and
    Dirk are the `acme/databases` team; Paula was invited into it and has not accepted. Mallory is a stranger.
    """

    github: GitHubStandIn
    repository: Repository
    installation: Installation

    @property
    def world(self) -> World:
        return self.github.world

    @property
    def app(self) -> App:
        return self.github.app

    def open_change(
        self, branch: str = "add-note", *, author: str = "dave", title: str = "Add a note to orders", base: str = "main"
    ) -> PullRequest:
        """A pull request that adds a column to `schema/orders.sql`."""
        self.world.push(self.repository, branch, {"schema/orders.sql": ORDERS_WITH_NOTE}, author=author, message=title)
        return self.world.open_pull_request(self.repository, branch, base, title=title, author=author)


def found_acme(github: GitHubStandIn) -> Acme:
    """Fill a stand-in's world with Acme."""
    world = github.world
    world.add_org("acme", owners=["olga"], members=["dave", "dora"])
    world.add_user("mallory")
    world.add_team("acme", "developers", members=["dave", "dora"])
    world.add_team("acme", "orders-owners", members=["oscar", "olive"])
    world.add_team("acme", "databases", members=["dana", "dirk"], pending=["paula"])
    repository = world.create_repository("acme", "shop", files={"README.md": "# shop\n", "schema/orders.sql": ORDERS}, author="olga")
    return Acme(github, repository, github.install("acme"))


@pytest.fixture
def github() -> Iterator[GitHubStandIn]:
    """A running stand-in with an empty world; its App is there and not installed anywhere."""
    with GitHubStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def acme(github: GitHubStandIn) -> Acme:
    """A running stand-in with `Acme` in it. No webhook is sent until `github.send_webhooks_to(url)`."""
    return found_acme(github)
