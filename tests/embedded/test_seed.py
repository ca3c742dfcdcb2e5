"""The sample shop's rows, and a writer whose ledger can be believed."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.mysql import SAMPLE_SCHEMAS, MySQLServer, running
from embedded.seed import SCHEMA_OF, SHOP, Ledger, Writer, reconcile, seed_shop, seeded_order
from embedded.tools import mysqld

SEEDED = 3_000


@pytest.fixture(scope="module")
def shop_server(stack_folder: Path) -> Iterator[MySQLServer]:
    with running(MySQLServer(mysqld(), stack_folder, "shop")) as server:
        for schema in SAMPLE_SCHEMAS:
            server.create_schema(schema)
        yield server


@pytest.fixture
def shop(shop_server: MySQLServer) -> Iterator[MySQLServer]:
    seed_shop(shop_server, orders=SEEDED)
    yield shop_server
    for folder, schema in SCHEMA_OF.items():
        for path in (SHOP / folder).glob("*.sql"):
            shop_server.run(f"DROP TABLE IF EXISTS {path.stem}", schema=schema)


def written(writer: Writer, count: int) -> None:
    """Let the writer write so many times more."""
    target = writer.total + count
    deadline = time.monotonic() + 30
    while writer.total < target:
        assert time.monotonic() < deadline, f"{writer.total} of {target} writes; {writer.last_error}"
        time.sleep(0.01)


def test_the_files_say_exactly_what_mysql_says(shop: MySQLServer) -> None:
    for folder, schema in SCHEMA_OF.items():
        for path in sorted((SHOP / folder).glob("*.sql")):
            live = shop.run(f"SHOW CREATE TABLE {path.stem}", schema=schema)[0]["Create Table"]
            assert path.read_text() == re.sub(r" AUTO_INCREMENT=\d+", "", live) + ";\n"


def test_every_seeded_row_is_what_its_id_says(shop: MySQLServer) -> None:
    with shop.admin() as connection:
        report = reconcile(Ledger(SEEDED), connection, schema="shop_orders", table="orders")
    assert (True, SEEDED) == (report.ok, report.found_rows), str(report)
    assert seeded_order(7)[4] is None


def test_the_ledger_agrees_with_what_the_writer_did(shop: MySQLServer) -> None:
    with Writer(shop, seeded=SEEDED, per_second=500) as writer:
        written(writer, 200)
    report = writer.reconcile()
    assert report.ok, str(report)
    assert {"inserts", "updates", "deletes", "upserts"} == set(report.writes)
    assert "as the ledger says" in str(report)


def test_a_changed_a_lost_and_a_stray_row_are_each_named(shop: MySQLServer) -> None:
    with Writer(shop, seeded=SEEDED, per_second=500) as writer:
        written(writer, 50)
    for number in (11, 12):
        writer.ledger.touched.pop(number, None)
        shop.run("DELETE FROM orders WHERE id = %s", (number,), schema="shop_orders")
    writer.ledger.touched[13] = seeded_order(13)
    shop.run("REPLACE INTO orders SELECT 13, 1, 'new', 1, 'x', '2026-01-01'", schema="shop_orders")
    shop.run("INSERT INTO orders VALUES (999999, 1, 'new', 1, NULL, '2026-01-01')", schema="shop_orders")
    report = writer.reconcile()
    assert (False, (11, 12), (999999,), (13,)) == (report.ok, report.missing, report.unexpected, report.different)
    assert "2 missing (ids 11, 12); 1 that must not be there (ids 999999); 1 different (ids 13)" in str(report)
    assert report.expected_checksum != report.found_checksum


def test_two_columns_that_swap_their_values_do_not_go_unnoticed(shop: MySQLServer) -> None:
    shop.run("UPDATE orders SET customer_id = 5, total_cents = 6 WHERE id = 1", schema="shop_orders")
    ledger = Ledger(SEEDED, touched={1: (1, 6, *seeded_order(1)[2:3], 5, *seeded_order(1)[4:])})
    with shop.admin() as connection:
        assert (1,) == reconcile(ledger, connection, schema="shop_orders", table="orders").different


def test_a_writer_whose_server_crashes_still_knows_every_row(shop: MySQLServer) -> None:
    with Writer(shop, seeded=SEEDED, per_second=1000) as writer:
        written(writer, 50)
        shop.kill()
        shop.start()
        written(writer, 50)
    report = writer.reconcile()
    assert report.ok, str(report)
    assert writer.last_error


def test_reconciling_while_writing_is_refused(shop: MySQLServer) -> None:
    with Writer(shop, seeded=SEEDED) as writer, pytest.raises(RuntimeError, match="stop it before"):
        writer.reconcile()
