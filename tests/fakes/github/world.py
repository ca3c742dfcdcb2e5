"""The stand-in's whole world in one object. See `foundation` for how threads use it."""

from __future__ import annotations

from tests.fakes.github.checks import Checks


class World(Checks):
    """People, repositories, pull requests, conversation and checks: everything that GitHub would know.

    >>> world.add_org("acme", owners=["olga"])
    >>> world.create_repository("acme", "shop", files={"schema/orders.sql": "CREATE TABLE …"})
    >>> world.push("acme/shop", "add-column", {"schema/orders.sql": "…"}, author="dave")
    >>> pull = world.open_pull_request("acme/shop", "add-column", title="Add a column", author="dave")
    >>> world.review(pull, "dana", "APPROVED")
    """

    def wait_until_delivered(self, timeout: float = 15.0) -> None:
        """Block until no webhook is under way; raises TimeoutError after `timeout` seconds. Not for an event loop: use
        `await asyncio.to_thread(world.wait_until_delivered)` there."""
        if not self.outbox.wait_until_empty(timeout):
            raise TimeoutError(f"webhooks were still under way after {timeout} s")
