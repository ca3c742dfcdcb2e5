"""A gh-ost in the midst of its copy, slow enough that a test can act meanwhile, whatever the machine."""

import asyncio
import contextlib
import json
from collections.abc import Iterator

from activities.ghost import driver
from activities.ghost.directory import BRAKE, RunDirectory, run_directories
from activities.ghost.driver import GhostSilentError
from activities.ghost.progress import last_status
from tests.end_to_end.company import ORDERS, Change, Company, Shop, with_column

ROWS = 30_000
WITH_NOTE = with_column(ORDERS, "`note` varchar(200) DEFAULT NULL")


class Copying:
    """Staging's orders on their way; writes may go on."""

    def __init__(self, shop: Shop, change: Change) -> None:
        self.shop = shop
        self.change = change
        (self.server,) = shop.servers
        self.directory = runs_of(shop)[0]
        process = self.directory.process()
        assert process is not None
        self.process = process
        self.rows = self.content()

    @property
    def copied(self) -> int:
        status = last_status(self.asked("sup"))
        return status.rows_copied if status else 0

    def asked(self, command: str) -> str:
        return asyncio.run(driver.ask(self.directory.path, command))

    def hurry(self) -> None:
        self.asked("nice-ratio=0")
        self.asked("chunk-size=5000")

    def write(self) -> None:
        """What an application does behind and before the copy."""
        for statement in (
            "INSERT INTO orders (customer) SELECT CONCAT('late ', id) FROM orders WHERE id <= 100",
            "UPDATE orders SET customer = CONCAT(customer, '!') WHERE id % 97 = 0",
            "DELETE FROM orders WHERE id % 89 = 0",
        ):
            self.server.run(statement, schema=self.shop.schema)
        self.rows = self.content()

    def content(self) -> object:
        query = "SELECT COUNT(*) AS n, SUM(CRC32(CONCAT(id, '#', customer))) AS s FROM orders"
        return self.server.run(query, schema=self.shop.schema)

    @property
    def has_checkpoint(self) -> bool:
        record = self.directory.record()
        assert record is not None
        name = record.tables.checkpoint
        return name in self.shop.tables(self.server) and bool(self.server.run(f"SELECT 1 FROM `{name}`", schema=self.shop.schema))


def runs_of(shop: Shop) -> list[RunDirectory]:
    """Every gh-ost that was ever started on the shop's orders, oldest first."""
    found = run_directories(shop.company.product.folder / "runs")
    wanted = (shop.schema, "orders")
    return [one for one in found if (record := one.record()) is not None and (record.schema, record.table) == wanted]


@contextlib.contextmanager
def copying(company: Company) -> Iterator[Copying]:
    """A change approved by both, whose gh-ost copies staging's orders, ten rows at a time."""
    shop = company.shop({"orders": ORDERS}, rows=ROWS, environments={"staging": "staging"})
    change = shop.open("add-note", {"orders/orders.sql": WITH_NOTE})
    brake = company.product.folder / "runs" / BRAKE
    brake.touch()
    try:
        change.approved_by_both()
        change.until(lambda: any(one.process() for one in runs_of(shop)), "a gh-ost to start")
        scene = Copying(shop, change)
        change.until(lambda: answers(scene.directory), "gh-ost to answer at its socket")
        scene.asked("chunk-size=10")
        scene.asked("nice-ratio=20")
    finally:
        brake.unlink()
    before = scene.copied
    change.until(lambda: scene.copied > before, "gh-ost to copy")
    assert scene.copied < ROWS
    yield scene


def answers(directory: RunDirectory) -> bool:
    try:
        return asyncio.run(driver.status(directory.path)) is not None
    except GhostSilentError:
        return False


def started_over(shop: Shop) -> int:
    """How often the record says that a resumed copy had lost writes (docs/decisions/0003), so that a clean one was made."""
    ours = {record.run_id for one in runs_of(shop) if (record := one.record()) is not None}
    lines = (shop.company.product.folder / "audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return sum(one["what"] == "resumed copy differed" and one["facts"]["run"] in ours for one in entries)


def altered_once(scene: Copying, *, runs: int = 1) -> None:
    """Green, by so many gh-osts and one more for each resumed copy that differed, with the rows that were there."""
    scene.change.until_conclusion("success", seconds=150)
    assert ["id", "customer", "note"] == scene.shop.columns(scene.server, "orders")
    assert scene.rows == scene.content()
    assert runs + started_over(scene.shop) == len(runs_of(scene.shop))
    assert not any(one.lives() for one in runs_of(scene.shop))
