"""Names fit where they are used, and different things have different names."""

from hypothesis import given
from hypothesis import strategies as st

from workflows.rules.names import (
    MYSQL_NAME_LIMIT,
    DatabaseRow,
    Labels,
    MigrationId,
    PullRequestRef,
    Target,
    ghost_base_name,
    quarantine_name,
    same_login,
    short,
)

AT = "20261122054100"
tables = st.text(min_size=1, max_size=64)


def test_a_quarantined_table_says_when_and_which() -> None:
    assert "_20261122054100_orders_DRP" == quarantine_name("orders", AT)


@given(tables)
def test_a_quarantined_table_fits_mysqls_limit(table: str) -> None:
    name = quarantine_name(table, AT)
    assert len(name) <= MYSQL_NAME_LIMIT
    assert name.startswith(f"_{AT}_")
    assert name.endswith("_DRP")


def test_the_generated_names_of_a_quarantined_tables_checks_fit_too() -> None:
    assert MYSQL_NAME_LIMIT == len(f"{quarantine_name('t' * 64, AT)}_chk_999")
    assert f"_{AT}_{'t' * 36}_DRP" == quarantine_name("t" * 36, AT)


@given(st.text(max_size=14), st.text(max_size=14))
def test_two_long_tables_are_quarantined_under_two_names(one: str, other: str) -> None:
    names = {quarantine_name("t" * 50 + end, AT) for end in (one, other)}
    assert len({one, other}) == len(names)


@given(tables, st.text(min_size=1, max_size=200))
def test_gh_osts_names_fit_mysqls_limit_with_a_timestamp(table: str, migration: str) -> None:
    base = ghost_base_name(table, MigrationId(migration))
    assert len(f"_{base}_{AT}_del") <= MYSQL_NAME_LIMIT


def test_two_migrations_of_one_table_have_two_ghost_names() -> None:
    assert ghost_base_name("orders", MigrationId("1")) != ghost_base_name("orders", MigrationId("2"))


@given(st.text(max_size=80), st.integers(10, 64))
def test_a_short_text_is_left_alone_and_a_long_one_fits(text: str, limit: int) -> None:
    assert len(short(text, limit)) <= limit
    assert text == short(text, limit) or len(text) > limit


def test_a_check_is_named_by_environment_type_and_database() -> None:
    assert "SchemaBot: staging/mysql/orders" == DatabaseRow("staging", "orders").check_name("SchemaBot")


def test_the_developers_label_is_not_ours_to_take_off() -> None:
    assert Labels().for_review not in Labels().ours()


def test_names_in_words() -> None:
    assert "acme/shop#42" == str(PullRequestRef("acme", "shop", 42))
    assert "shop-production/-80/shop/orders" == str(Target("production", "shop", "shop-production", "-80", "shop", "orders"))


def test_logins_are_the_same_whatever_their_case() -> None:
    assert same_login("Ada", "aDA")
    assert not same_login("ada", "grace")
