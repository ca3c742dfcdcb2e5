"""What stops a start and what stops a release, each with what to do next."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.mysql.discovery import Discovery
from activities.mysql.introspect import definition_hash, fingerprint, read_table
from activities.mysql.preflight import Preflights, ghost_lock, holders_of, instant_would_refuse, lagging, row_version_limit
from activities.settings import MySQLSettings
from embedded.mysql import MySQLServer, Schema, Topology, wait_for_replica
from tests.activities.mysql.house import an_order, identity_of, reading, settings_for
from workflows.messages import CheckRelease, MigrationOrder, Preflight, PreflightVerdict
from workflows.rules.plan import ChangeKind, Strategy

ORDERS = "CREATE TABLE orders (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, total int)"


@pytest.fixture
def preflights(lone_settings: MySQLSettings, lone_discovery: Discovery) -> Preflights:
    return Preflights(lone_settings, lone_discovery)


async def approved(
    schema: Schema,
    settings: MySQLSettings,
    *,
    statement: str = "ALTER TABLE `orders` ADD COLUMN note int",
    kind: ChangeKind = ChangeKind.ALTER_TABLE,
    strategy: Strategy = Strategy.GH_OST,
    expected: str = "",
) -> MigrationOrder:
    """An order that fits the table as it is now."""
    async with await reading(schema.server, settings) as connection:
        seen = await fingerprint(connection, schema.name, "orders", statement=statement)
    return an_order(schema, "orders", statement, kind=kind, strategy=strategy, fingerprint=seen, expected=expected)


async def verdict(preflights: Preflights, order: MigrationOrder) -> PreflightVerdict:
    return await ActivityEnvironment().run(preflights.preflight, Preflight(order=order))


async def release(preflights: Preflights, order: MigrationOrder, server: MySQLServer) -> PreflightVerdict:
    return await ActivityEnvironment().run(preflights.check_release, CheckRelease(order=order, primary=identity_of(server)))


def code(verdict: PreflightVerdict) -> str:
    return verdict.refusal.code if verdict.refusal else ""


async def test_what_is_as_it_was_approved_may_start_on_the_primary_that_is_named(
    fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    fresh_schema.run("INSERT INTO orders (total) VALUES (1)")

    assert PreflightVerdict(primary=identity_of(fresh_schema.server)) == await verdict(preflights, order)
    assert PreflightVerdict(primary=identity_of(fresh_schema.server)) == await release(preflights, order, fresh_schema.server)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE orders ADD INDEX late (total)", "its definition"),
        ("CREATE TRIGGER late BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = 1", "its triggers"),
        ("CREATE TABLE line (o int, FOREIGN KEY (o) REFERENCES orders (id))", "the foreign keys that refer to it"),
        ("DROP TABLE orders", "the table is gone"),
    ],
)
async def test_a_table_changed_after_the_approval_neither_starts_nor_is_released(
    change: str, words: str, fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings
) -> None:
    """SAFETY §S4: what was changed on the original during the copy would vanish at the swap."""
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    fresh_schema.run(change)

    for found in (await verdict(preflights, order), await release(preflights, order, fresh_schema.server)):
        assert ("changed", True, False, None) == (code(found), found.changed, found.retry, found.primary)
        assert found.refusal is not None
        assert words in found.refusal.what


async def test_a_planned_creation_must_find_nothing(fresh_schema: Schema, preflights: Preflights) -> None:
    order = an_order(fresh_schema, "orders", ORDERS, kind=ChangeKind.CREATE_TABLE, strategy=Strategy.DIRECT)

    assert None is (await verdict(preflights, order)).refusal
    fresh_schema.run("CREATE TABLE orders (id int)")
    found = await verdict(preflights, order)

    assert ("changed", True) == (code(found), found.changed)


async def test_a_change_that_is_there_already_is_named_so(
    fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    fresh_schema.run(order.migration.statement)
    expected = definition_hash(fresh_schema.run("SHOW CREATE TABLE orders")[0]["Create Table"])

    found = await verdict(preflights, replace(order, migration=replace(order.migration, expected=expected)))

    assert ("already-applied", True) == (code(found), found.changed)


@contextmanager
def an_open_transaction(schema: Schema) -> Iterator[None]:
    with schema.server.admin(database=schema.name, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM orders")
        cursor.fetchall()
        yield


async def test_a_long_transaction_is_waited_for(fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    with an_open_transaction(fresh_schema):
        assert None is (await verdict(preflights, order)).refusal, "a short one is everyday"
        deadline = time.monotonic() + 10
        while code(found := await verdict(preflights, order)) == "":
            assert time.monotonic() < deadline
        at_release = await release(preflights, order, fresh_schema.server)

    assert ("long-transaction", True, False) == (code(found), found.retry, found.changed)
    assert ("long-transaction", True) == (code(at_release), at_release.retry)
    assert None is (await verdict(preflights, order)).refusal


async def test_the_age_of_a_transaction_does_not_depend_on_time_zones(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    async with await reading(fresh_schema.server, lone_settings) as connection:
        with an_open_transaction(fresh_schema):
            await connection.run("SET SESSION time_zone = '+13:00'")
            (holder,) = await holders_of(connection, fresh_schema.name, "orders", older_than=0)

    assert 0 <= holder.seconds < 60
    assert "root" in str(holder)


async def test_a_referenced_table_is_not_dropped(fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    fresh_schema.run("CREATE TABLE line (o int, CONSTRAINT of_order FOREIGN KEY (o) REFERENCES orders (id))")
    order = await approved(
        fresh_schema, lone_settings, statement="DROP TABLE `orders`", kind=ChangeKind.DROP_TABLE, strategy=Strategy.DIRECT
    )

    found = await verdict(preflights, order)

    assert ("referenced", False, False) == (code(found), found.retry, found.changed)
    assert found.refusal is not None
    assert "line.of_order" in found.refusal.what


@pytest.mark.parametrize(
    ("definition", "wanted"),
    [
        ("CREATE TABLE orders (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES orders (id))", "foreign-keys"),
        ("CREATE TABLE orders (id int, KEY (id))", "no-unique-key"),
        ("CREATE TABLE orders (id int, UNIQUE KEY (id))", "no-unique-key"),
        ("CREATE TABLE orders (id varchar(9) NOT NULL, UNIQUE KEY (id(3)))", "no-unique-key"),
    ],
)
async def test_what_gh_ost_would_refuse_is_said_before_it_starts(
    definition: str, wanted: str, fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(definition)

    found = await verdict(preflights, await approved(fresh_schema, lone_settings))

    assert wanted == code(found)
    assert found.refusal is not None
    assert found.refusal.next


async def test_what_another_gh_ost_left_is_named(fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    fresh_schema.run("CREATE TABLE _orders_gho LIKE orders")
    fresh_schema.run("CREATE TABLE _orders_1a2b3c4d_ghc LIKE orders")

    found = await verdict(preflights, await approved(fresh_schema, lone_settings))

    assert "leftovers" == code(found)
    assert found.refusal is not None
    assert "_orders_gho" in found.refusal.what
    assert "_orders_1a2b3c4d_ghc" not in found.refusal.what, "skeebot's own"


async def test_another_gh_ost_that_runs_is_waited_for(fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    with fresh_schema.server.admin() as other, other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (ghost_lock(fresh_schema.name, "orders"),))
        found = await verdict(preflights, order)

    assert ("ghost-runs", True) == (code(found), found.retry)


def test_long_names_have_the_lock_that_gh_ost_gives_them() -> None:
    assert "gh-ost::shop.orders" == ghost_lock("shop", "orders")
    assert "gh-ost::5b64b95f7d194c0a8bd16b3c8ed88f0b01912c51" == ghost_lock("s" * 40, "t" * 40)


async def test_a_server_without_whole_row_images_is_refused(
    fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    fresh_schema.server.run("SET GLOBAL binlog_row_image = 'MINIMAL'")
    try:
        found = await verdict(preflights, order)
    finally:
        fresh_schema.server.run("SET GLOBAL binlog_row_image = 'FULL'")

    assert "binary-log" == code(found)


async def test_a_table_with_too_many_row_versions_is_planned_again(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    fresh_schema.run("ALTER TABLE orders ADD COLUMN c int, ALGORITHM=INSTANT")
    async with await reading(fresh_schema.server, lone_settings) as connection:
        table = await read_table(connection, fresh_schema.name, "orders")
    assert table is not None
    full = instant_would_refuse(replace(table, row_versions=255))

    assert (1, None) == (table.row_versions, instant_would_refuse(table))
    assert full is not None
    assert ("row-versions", True) == (code(full), full.changed)
    assert (64, 64, 255, 255) == tuple(row_version_limit(version) for version in ((8, 4, 3), (9, 0, 1), (9, 1, 0), (9, 7, 4)))


async def test_what_a_person_must_run_is_not_started(fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)

    assert "manual" == code(await verdict(preflights, await approved(fresh_schema, lone_settings, strategy=Strategy.MANUAL)))


# ── Servers ──


async def test_a_release_is_refused_on_another_primary(fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    pinned = replace(identity_of(fresh_schema.server), server_uuid="another")

    found = await ActivityEnvironment().run(preflights.check_release, CheckRelease(order=order, primary=pinned))

    assert ("primary-changed", None) == (code(found), found.primary)


async def test_a_primary_that_is_read_only_is_waited_for(
    fresh_schema: Schema, preflights: Preflights, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    order = await approved(fresh_schema, lone_settings)
    fresh_schema.server.run("SET GLOBAL read_only = ON")
    try:
        found = await verdict(preflights, order)
    finally:
        fresh_schema.server.run("SET GLOBAL read_only = OFF")

    assert ("servers", True, None) == (code(found), found.retry, found.primary)


async def test_an_unknown_cluster_is_a_refusal(fresh_schema: Schema, preflights: Preflights) -> None:
    found = await verdict(preflights, an_order(fresh_schema, "orders", "x", cluster="elsewhere"))

    assert ("servers", False) == (code(found), found.retry)
    assert found.refusal is not None
    assert "it knows lone" in found.refusal.what


async def test_a_replica_that_stopped_is_waited_for(mysql_topology: Topology, tmp_path: Path) -> None:
    settings = settings_for(mysql_topology.passwords, mysql_topology.write_inventory(tmp_path / "inventory.toml"))
    preflights = Preflights(settings, Discovery(settings))
    primary, replica = mysql_topology.production_a, mysql_topology.production_a_replica
    schema = Schema("shop_orders", primary)
    schema.run("CREATE TABLE lagging (id int PRIMARY KEY)")
    try:
        wait_for_replica(primary, replica)
        async with await reading(primary, settings) as connection:
            seen = await fingerprint(connection, schema.name, "lagging")
        order = an_order(schema, "lagging", "ALTER TABLE `lagging` ADD c int", fingerprint=seen, cluster="production", shard="a")
        assert None is (await verdict(preflights, order)).refusal
        shard = await Discovery(settings).verified("production", "a")
        replica.run("STOP REPLICA SQL_THREAD")
        stopped = await verdict(preflights, order)
    finally:
        replica.run("START REPLICA SQL_THREAD")
        schema.run("DROP TABLE lagging")

    assert ("servers", True) == (code(stopped), stopped.retry)
    assert shard.replica is not None
    for lag in (31.0, None):
        late = lagging(replace(shard, replica=replace(shard.replica, lag_seconds=lag)))
        assert late is not None
        assert ("lag", True) == (code(late), late.retry)
    assert None is lagging(replace(shard, replica=replace(shard.replica, lag_seconds=29.0)))
