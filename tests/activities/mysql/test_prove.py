"""After a run, the schema decides."""

from dataclasses import replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.errors import NeedsHuman, TryAgain
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import definition_hash, fingerprint
from activities.mysql.prove import Proofs
from activities.settings import MySQLSettings
from embedded.mysql import Schema
from tests.activities.mysql.house import an_order, identity_of, reading
from workflows.messages import MigrationOrder, Proof, Prove
from workflows.rules.plan import ChangeKind, Strategy

ORDERS = "CREATE TABLE orders (id int NOT NULL PRIMARY KEY, total int, CHECK (total > 0))"


@pytest.fixture
def proofs(lone_settings: MySQLSettings, lone_discovery: Discovery) -> Proofs:
    return Proofs(lone_settings, lone_discovery)


def looks(schema: Schema, table: str = "orders") -> str:
    return definition_hash(schema.run(f"SHOW CREATE TABLE `{table}`")[0]["Create Table"])


async def proof(proofs: Proofs, schema: Schema, order: MigrationOrder, old_table: str = "") -> Proof:
    return await ActivityEnvironment().run(proofs.prove, Prove(order=order, primary=identity_of(schema.server), old_table=old_table))


async def altering(schema: Schema, settings: MySQLSettings, statement: str) -> MigrationOrder:
    """An order approved for the table as it is, expecting what the statement makes of it."""
    async with await reading(schema.server, settings) as connection:
        seen = await fingerprint(connection, schema.name, "orders")
    schema.run("CREATE TABLE copied LIKE orders")
    schema.run(statement.replace("`orders`", "copied"))
    expected = looks(schema, "copied")
    schema.run("DROP TABLE copied")
    return an_order(schema, "orders", statement, fingerprint=seen, expected=expected)


async def test_a_swapped_table_is_proven_with_the_position_it_was_seen_at(
    fresh_schema: Schema, proofs: Proofs, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    order = await altering(fresh_schema, lone_settings, "ALTER TABLE `orders` ADD COLUMN note int")
    before = await proof(proofs, fresh_schema, order, "_orders_del")
    fresh_schema.run("CREATE TABLE _orders_gho LIKE orders")  # its CHECK is named anew, as gh-ost's copy's is
    fresh_schema.run("ALTER TABLE _orders_gho ADD COLUMN note int")
    fresh_schema.run("RENAME TABLE orders TO _orders_del, _orders_gho TO orders")
    after = await proof(proofs, fresh_schema, order, "_orders_del")

    assert not before.done
    assert "does not look as planned" in before.detail
    assert after.done, after.detail
    assert fresh_schema.server.uuid in after.gtid_executed


async def test_a_rebuild_is_proven_by_the_old_table_and_not_by_the_sentry(
    fresh_schema: Schema, proofs: Proofs, lone_settings: MySQLSettings
) -> None:
    """The definition is the same before and after, and until the swap gh-ost keeps the old table's name with a sentry."""
    fresh_schema.run(ORDERS)
    order = await altering(fresh_schema, lone_settings, "ALTER TABLE `orders` ENGINE=InnoDB")

    assert not (await proof(proofs, fresh_schema, order, "_orders_del")).done
    fresh_schema.run("CREATE TABLE _orders_del (id int PRIMARY KEY) COMMENT='ghost-cut-over-sentry'")
    assert not (await proof(proofs, fresh_schema, order, "_orders_del")).done
    fresh_schema.run("DROP TABLE _orders_del")
    fresh_schema.run("CREATE TABLE _orders_del LIKE orders")
    assert (await proof(proofs, fresh_schema, order, "_orders_del")).done


async def test_a_created_table_is_proven(fresh_schema: Schema, proofs: Proofs) -> None:
    fresh_schema.run(ORDERS)
    order = an_order(fresh_schema, "orders", ORDERS, kind=ChangeKind.CREATE_TABLE, strategy=Strategy.DIRECT, expected=looks(fresh_schema))
    assert (await proof(proofs, fresh_schema, order)).done
    fresh_schema.run("ALTER TABLE orders ADD INDEX (total)")
    assert not (await proof(proofs, fresh_schema, order)).done
    fresh_schema.run("DROP TABLE orders")
    assert not (await proof(proofs, fresh_schema, order)).done


async def test_a_drop_is_proven_by_what_holds_the_table_now(fresh_schema: Schema, proofs: Proofs) -> None:
    order = an_order(fresh_schema, "orders", "DROP TABLE `orders`", kind=ChangeKind.DROP_TABLE, strategy=Strategy.DIRECT)
    name = "_20260101000000_orders_DRP"
    fresh_schema.run(ORDERS)
    still = await proof(proofs, fresh_schema, order, name)
    fresh_schema.run(f"RENAME TABLE orders TO {name}")
    done = await proof(proofs, fresh_schema, order, name)
    fresh_schema.run(f"CREATE TRIGGER late BEFORE INSERT ON {name} FOR EACH ROW SET NEW.total = 1")
    half = await proof(proofs, fresh_schema, order, name)
    fresh_schema.run(f"DROP TABLE {name}")
    lost = await proof(proofs, fresh_schema, order, name)

    assert (False, True, False, False) == (still.done, done.done, half.done, lost.done)
    assert "somebody else dropped it" in lost.detail


async def test_what_is_not_known_is_not_proven(fresh_schema: Schema, proofs: Proofs) -> None:
    fresh_schema.run(ORDERS)

    found = await proof(proofs, fresh_schema, an_order(fresh_schema, "orders", "ALTER TABLE `orders` ADD c int"))

    assert not found.done
    assert "mark-complete" in found.detail


async def test_the_primary_of_now_is_asked_and_a_move_is_told(fresh_schema: Schema, proofs: Proofs) -> None:
    fresh_schema.run(ORDERS)
    order = an_order(fresh_schema, "orders", ORDERS, kind=ChangeKind.CREATE_TABLE, strategy=Strategy.DIRECT, expected=looks(fresh_schema))
    ask = Prove(order=order, primary=replace(identity_of(fresh_schema.server), server_uuid="the one before"))

    found = await ActivityEnvironment().run(proofs.prove, ask)

    assert found.done
    assert "The primary is now" in found.detail


async def test_a_primary_that_cannot_be_asked_is_an_error_and_no_verdict(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    order = an_order(fresh_schema, "orders", ORDERS)
    assert lone_settings.inventory is not None
    text = lone_settings.inventory.read_text()
    lone_settings.inventory.write_text(text.replace(f"rw_port = {fresh_schema.server.port}", "rw_port = 1"))

    with pytest.raises((TryAgain, NeedsHuman)):
        await proof(Proofs(lone_settings, Discovery(lone_settings)), fresh_schema, order)
