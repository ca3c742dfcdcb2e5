"""Whatever dies meanwhile comes back, and the table is altered once."""

import contextlib
import signal
from collections.abc import Iterator

from tests.end_to_end.company import ORDERS, Company, with_column
from tests.end_to_end.copying import altered_once, copying, runs_of, started_over

BEFORE_IT_LOOKS = 20.0
"""Seconds: less than after which a story looks by itself here (IN_A_HURRY)."""


def test_a_killed_worker_adopts_the_gh_ost_that_went_on_without_it_and_hears_what_was_said_meanwhile(company: Company) -> None:
    product = company.product
    with copying(company) as scene:
        assert product.worker is not None
        product.worker.kill()
        try:
            scene.write()
            scene.change.say("dana", ".skeefree hold-cut-over")
            assert scene.process.lives()
        finally:
            product.start_worker()
        assert scene.process == scene.directory.process()
        scene.change.until_says("cut-over held by `dana`")
        scene.hurry()
        scene.change.until_conclusion("action_required")
        scene.change.obeyed("dana", ".skeefree cut-over")
        altered_once(scene)
    assert scene.process == scene.directory.process(), "the same process, from before the kill to the swap"


def test_a_worker_that_was_killed_while_it_planned_is_soon_missed(company: Company) -> None:
    databases = [f"d{number}" for number in range(8)]
    shop = company.shop({"orders": ORDERS}, databases=databases, environments={"staging": "staging"})
    company.world.chaos.latency = (0.5, 1.0)  # the planning takes longer than the killing
    try:
        change = shop.open("add-note", {f"{one}/orders.sql": with_column(ORDERS, "`note` int DEFAULT NULL") for one in databases})
        change.until_conclusion("in_progress")
        assert company.product.worker is not None
        company.product.worker.kill()
    finally:
        company.world.chaos.calm()
    company.product.start_worker()
    assert "in_progress" == change.conclusion()
    change.until_conclusion("action_required")


def test_a_gh_ost_that_was_killed_is_fenced_and_resumed_from_its_checkpoint(company: Company) -> None:
    with copying(company) as scene:
        scene.change.until(lambda: scene.has_checkpoint, "a checkpoint")
        scene.write()
        scene.process.signal(signal.SIGKILL)
        scene.change.until(lambda: len(runs_of(scene.shop)) == 2, "gh-ost to be resumed")
        altered_once(scene, runs=2)
    assert started_over(scene.shop) <= 1, "only a resumed copy may differ, never the clean one after it"
    resumed = runs_of(scene.shop)[1]
    assert "Resuming from checkpoint" in resumed.log()
    assert scene.directory.record().base == resumed.record().base  # type: ignore[union-attr]  # run directories with a record were asked for


def test_a_temporal_server_that_was_killed_goes_on_where_it_was(company: Company) -> None:
    temporal = company.product.stack.temporal
    with copying(company) as scene:
        temporal.kill()
        try:
            scene.write()
            assert scene.process.lives()
        finally:
            temporal.start()
        scene.hurry()
        altered_once(scene)
    assert scene.process == scene.directory.process()


def test_deliveries_that_found_the_door_shut_are_made_up_for(company: Company) -> None:
    product = company.product
    shop = company.shop({"orders": ORDERS}, rows=10, environments={"staging": "staging"})
    with door_shut(company):
        change = shop.open("add-note", {"orders/orders.sql": with_column(ORDERS, "`note` int DEFAULT NULL")})
    assert "" == change.conclusion()
    said = product.starter("start", f"{company.github.html_url}/acme/{shop.repository.name}/pull/{change.pull.number}")
    assert 0 == said.code, said.err
    change.until_conclusion("action_required")
    with door_shut(company):
        change.ready()
        change.approve("oscar")
    assert "migration:skeefree:queued" not in change.labels
    change.approve("dana")  # one delivery that arrives tells of all that did not
    change.until_conclusion("success", seconds=120)


def test_what_lost_webhooks_would_have_said_is_found_out_by_a_round(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, rows=10, environments={"staging": "staging"})
    company.world.chaos.deliveries(lose=1.0)
    try:
        change = shop.open("add-note", {"orders/orders.sql": with_column(ORDERS, "`note` int DEFAULT NULL")})
        company.go_round()
        change.until_conclusion("action_required")
        change.ready()
        change.approve("oscar")
        company.go_round()
        change.until(lambda: "migration:skeefree:detected" in change.labels, "the plan to be detected", seconds=BEFORE_IT_LOOKS)
        change.close()
        company.go_round()
    finally:
        company.world.chaos.calm()
    assert "closed" in company.until_ended(change.pull, seconds=BEFORE_IT_LOOKS)


def test_a_button_whose_delivery_failed_is_pressed_again_by_a_round(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, rows=10, environments={"staging": "staging"})
    change = shop.open("add-note", {"orders/orders.sql": with_column(ORDERS, "`note` int DEFAULT NULL, SYNTAX")})
    change.until_conclusion("failure")
    first = change.check()
    assert first is not None
    with door_shut(company):
        company.world.rerequest(first, by="dave")
    company.go_round()
    change.until(lambda: change.check() is not first and change.conclusion() == "failure", "the plan to be made again")


@contextlib.contextmanager
def door_shut(company: Company) -> Iterator[None]:
    """Killed; everything that is delivered meanwhile fails."""
    assert company.product.door is not None
    company.product.door.kill()
    try:
        yield
        company.world.wait_until_delivered()
    finally:
        company.product.start_door()
