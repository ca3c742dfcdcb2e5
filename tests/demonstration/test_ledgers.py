"""Ledgers are compared in processes of their own, with the same result as here."""

from collections.abc import Iterator

import pytest

from demonstration.ledgers import compared
from embedded.mysql import MySQLServer
from embedded.seed import SCHEMA_OF, Writer, seed_shop

SEEDED = 500


@pytest.fixture
def shop(mysql_server: MySQLServer) -> Iterator[MySQLServer]:
    for schema in SCHEMA_OF.values():
        mysql_server.create_schema(schema)
    seed_shop(mysql_server, orders=SEEDED)
    yield mysql_server
    for schema in SCHEMA_OF.values():
        mysql_server.drop_schema(schema)


def test_another_process_finds_what_the_writer_finds(shop: MySQLServer) -> None:
    writer = Writer(shop, seeded=SEEDED)
    (report,) = compared([writer])
    assert (True, SEEDED) == (report.ok, report.found_rows)
    assert writer.reconcile() == report


def test_another_process_sees_a_row_that_is_wrong(shop: MySQLServer) -> None:
    shop.run("UPDATE orders SET total_cents = -1 WHERE id = 7", schema="shop_orders")
    (report,) = compared([Writer(shop, seeded=SEEDED)])
    assert (7,) == report.different


def test_a_comparison_that_cannot_be_made_says_of_what(shop: MySQLServer) -> None:
    with pytest.raises(RuntimeError, match=r"shop_orders\.elsewhere could not be compared"):
        list(compared([Writer(shop, seeded=SEEDED, table="elsewhere")]))
