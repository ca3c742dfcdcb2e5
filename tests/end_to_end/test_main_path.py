"""A pull request becomes an altered table: everything real but GitHub."""

from tests.end_to_end.company import ORDERS, Company, with_column


def test_a_pull_request_becomes_an_altered_table_everywhere(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, rows=2000)
    change = shop.open("add-note", {"orders/orders.sql": with_column(ORDERS, "`note` varchar(200) DEFAULT NULL")})
    change.approved_by_both()
    change.until_conclusion("success", seconds=120)
    for server in shop.servers:
        assert ["id", "customer", "note"] == shop.columns(server, "orders")
        assert 2000 == server.run("SELECT COUNT(*) AS n FROM orders", schema=shop.schema)[0]["n"]
    assert [] == shop.world.merge_blockers(change.pull)
