"""Many things at once: each check has one run per generation, each table has one writer, and every delivery is only a hint."""

import collections
import contextlib
import random
import time
from collections.abc import Iterator

from embedded.product import IN_A_HURRY
from tests.end_to_end.company import ORDERS, Change, Company, Shop, with_column
from tests.fakes.github.objects import CheckRun
from workflows.rules.checks import CheckState, RowState, roll_up
from workflows.rules.names import DatabaseRow, HeadSha

NOTES = "CREATE TABLE `notes` (\n  `id` int NOT NULL,\n  `note` varchar({width}) NOT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\n"


@contextlib.contextmanager
def rough(company: Company, *, seed: int, wrong: float = 0.02, lost: float = 0.0, latency: float = 0.05) -> Iterator[None]:
    """GitHub is slow, and webhooks come twice, late, in another order.

    wrong: the share of answers that are errors or get lost. lost: the share of webhooks that never come.
    """
    chaos = company.world.chaos
    chaos.fail_share(wrong, seed=seed)
    chaos.latency = (0.0, latency)
    chaos.deliveries(duplicate=0.3, drop=lost / 2, lose=lost / 2, reorder=0.4, delay=(0.0, 0.5))
    try:
        yield
    finally:
        chaos.calm()


def each_check_has_one_run_per_generation(change: Change) -> None:
    runs = history(change)
    assert runs
    doubled = [key for key, count in collections.Counter((run.name, run.head_sha, run.external_id) for run in runs).items() if count > 1]
    assert [] == doubled
    for run in runs:
        concluded = [state.conclusion for state in run.history if state.status == "completed"]
        assert len(set(concluded)) <= 1, f"{run.name} changed from {concluded} after it had completed"
        assert not any(state.ignored for state in run.history), f"{run.name} was asked to change after it had completed"


def nothing_is_left_in_progress(change: Change) -> None:
    newest = {(run.name, run.head_sha): run for run in history(change)}
    assert [] == [f"{run.name} on {run.head_sha[:12]}" for run in newest.values() if run.status != "completed"]


def history(change: Change) -> list[CheckRun]:
    return change.world.check_run_history(change.shop.repository)


def rolled_up(change: Change, rows: list[DatabaseRow]) -> str:
    """What the aggregate must say, from what GitHub shows of each database."""
    head = HeadSha(change.head)
    states = {}
    for row in rows:
        run = change.check(row.check_name("SchemaBot"))
        if run is not None:
            states[row] = RowState(head_sha=head, state=CheckState(run.conclusion or run.status))
    return roll_up(rows, states, head).value


def test_twenty_databases_at_once_have_one_run_each_whatever_github_does(company: Company) -> None:
    databases = [f"d{number:02}" for number in range(20)]
    shop = company.shop({"orders": ORDERS}, databases=databases, environments={"staging": "staging"})
    rows = [DatabaseRow(environment="staging", database=one) for one in databases]
    with rough(company, seed=20, wrong=0.05, lost=0.2, latency=0.3):
        change = shop.open("notes", {f"{one}/notes.sql": NOTES.format(width=100) for one in databases})
        first = change.head
        change.until(lambda: change.conclusion() == "in_progress", "the planning to begin")
        change.push({f"{one}/notes.sql": NOTES.format(width=200) for one in databases[:10]})
        assert first != change.head
        change.until_conclusion("action_required", seconds=200)
    assert rolled_up(change, rows) == change.conclusion()
    with rough(company, seed=21, wrong=0.05, latency=0.3):
        again = change.check()
        assert again is not None
        company.world.rerequest(again, by="dave")
        change.until_conclusion("in_progress")
        change.until_conclusion("action_required", seconds=200)
    assert rolled_up(change, rows) == change.conclusion()
    assert "action_required" == change.conclusion()
    each_check_has_one_run_per_generation(change)
    nothing_is_left_in_progress(change)
    assert 2 * 21 == sum(run.head_sha == change.head for run in history(change)), "planned twice: twenty databases and their roll-up"


WIDE = with_column(ORDERS, "`city` varchar(50) NOT NULL DEFAULT ''")
WITH_NOTE = with_column(WIDE, "`note` varchar(200) DEFAULT NULL")
WIDER = WIDE.replace("`customer` varchar(100)", "`customer` varchar(120)")


def test_two_changes_of_one_table_run_one_after_the_other_while_another_shop_goes_its_way(company: Company) -> None:
    shop = company.shop({"orders": WIDE}, rows=50, environments={"staging": "staging"})
    elsewhere = company.shop({"orders": ORDERS}, rows=50, environments={"production": "production"})
    first = shop.open("note", {"orders/orders.sql": WITH_NOTE})
    second = shop.open("wider", {"orders/orders.sql": WIDER})
    third = elsewhere.open("code", {"orders/orders.sql": with_column(ORDERS, "`code` int DEFAULT NULL")})
    with rough(company, seed=2):
        for change in (first, third, second):
            change.approved_by_both()
    first.until_conclusion("success", seconds=120)
    third.until_conclusion("success", seconds=120)
    second.until_conclusion("failure", seconds=120)  # its approval was of another table
    second.until_says("retry-migration")
    (server,) = shop.servers
    assert ["id", "customer", "city", "note"] == shop.columns(server, "orders")
    assert 100 == width_of_customer(shop)

    second.obeyed("dave", ".skeefree retry-migration")
    second.until_says(f"Waiting for acme/{shop.repository.name}#{first.pull.number}")  # nothing else helps
    shop.world.merge(first.pull, by="dave")
    second.until_says("Waiting for the owner team")
    second.approved_by_both()
    second.until_conclusion("success", seconds=120)
    assert 120 == width_of_customer(shop)
    assert ["id", "customer", "city", "note"] == shop.columns(server, "orders"), "nobody's column was undone"
    for change in (second, third):
        change.world.merge(change.pull, by="dave")
        each_check_has_one_run_per_generation(change)


def width_of_customer(shop: Shop) -> int:
    (server,) = shop.servers
    query = "SELECT character_maximum_length AS n FROM information_schema.columns WHERE table_schema = %s AND column_name = 'customer'"
    return int(server.run(f"{query} AND table_name = 'orders'", (shop.schema,))[0]["n"])


def test_a_storm_of_old_and_doubled_deliveries_changes_nothing_and_is_looked_at_a_few_times(company: Company) -> None:
    world = company.world
    shop = company.shop({"orders": ORDERS}, rows=10, environments={"staging": "staging"})
    change = shop.open("note", {"orders/orders.sql": with_column(ORDERS, "`note` int DEFAULT NULL")})
    change.until_conclusion("action_required")
    change.push({"orders/orders.sql": with_column(ORDERS, "`note` bigint DEFAULT NULL")})
    change.until_conclusion("action_required")
    change.ready()
    change.approve("oscar")
    change.until(lambda: "migration:skeefree:detected" in change.labels, "the plan to be detected")
    change.until(lambda: is_quiet(change), "skeebot to have nothing more to say")
    before = shown(change)

    told = [one for one in world.outbox.deliveries if one.repository_id == shop.repository.id]
    looks, began = looked(change), time.monotonic()
    for one in random.Random(3).choices(told, k=200):
        world.outbox.resend(one, world.next_id(), world.exactly_now())
    world.wait_until_delivered()
    change.until(lambda: is_quiet(change), "skeebot to have nothing more to say")
    seconds = time.monotonic() - began
    spacing = float(str(IN_A_HURRY["timing"]["snapshot_spacing"]))
    assert looked(change) - looks <= seconds / spacing + 2
    assert before == shown(change)

    change.approve("dana")
    change.until_conclusion("success", seconds=120)
    each_check_has_one_run_per_generation(change)


def looked(change: Change) -> int:
    """How often the pull request was read."""
    path = f"/repos/acme/{change.shop.repository.name}/pulls/{change.pull.number}"
    return sum(one.method == "GET" and one.path.endswith(path) for one in change.world.requests)


def is_quiet(change: Change) -> bool:
    """GitHub was asked nothing for a second, which is as long as five looks are apart."""
    requests = change.world.requests
    return bool(requests) and (change.world.exactly_now() - requests[-1].at).total_seconds() > 1


def shown(change: Change) -> object:
    """Everything that a person sees of skeebot on the pull request."""
    runs = [(run.name, run.head_sha, run.external_id, run.status, run.conclusion, run.title) for run in history(change)]
    return runs, change.labels, change.comments
