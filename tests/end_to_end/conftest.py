"""One company for all end-to-end tests of a session: real parts, skeebot as its own processes, GitHub stood in for."""

from collections.abc import Iterator

import pytest

from embedded.product import Product
from embedded.stack import Stack
from tests.end_to_end.company import Company
from tests.fakes.github import GitHubStandIn


@pytest.fixture(scope="session")
def company() -> Iterator[Company]:
    with Stack() as stack, GitHubStandIn() as github:
        world = github.world
        # Dozens of pull requests a quarter of an hour: no company of people meets GitHub's limits as fast as its tests do.
        world.rate_limit = world.content_per_minute = world.content_per_hour = 100_000
        world.add_org("acme", owners=["olga"], members=["dave", "dora"])
        world.add_user("mallory")
        world.add_team("acme", "developers", members=["dave", "dora"])
        world.add_team("acme", "orders-owners", members=["oscar", "olive"])
        world.add_team("acme", "databases", members=["dana", "dirk"], pending=["paula"])
        github.install("acme")
        # Rounds for lost webhooks are made when a test asks for one: they would make up for what a test must see go wrong.
        with Product(stack, github, overrides={"sweep": {"every_seconds": 86_400.0}}) as product:
            yield Company(product, github)
