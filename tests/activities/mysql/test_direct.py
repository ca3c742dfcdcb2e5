"""Direct DDL: bounded waits, a truth that survives dead clients, and a DROP that can be taken back."""

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.errors import NeedsHuman
from activities.mysql.connect import open_connection
from activities.mysql.direct import DirectRuns, instant_statement, mark_of
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import definition_hash, fingerprint
from activities.settings import MySQLSettings
from embedded.mysql import MySQLServer, Schema
from tests.activities.mysql.house import address_of, an_order, eventually, identity_of, reading
from workflows.messages import DirectDone, RunDirect
from workflows.rules.plan import ChangeKind, Strategy

ORDERS = "CREATE TABLE orders (id int NOT NULL PRIMARY KEY, total int)"


@pytest.fixture
def runs(lone_settings: MySQLSettings, lone_discovery: Discovery) -> DirectRuns:
    return DirectRuns(lone_settings, lone_discovery, tries=3, pause=(0.05, 0.1))


def hash_of(schema: Schema, statements: str, table: str) -> str:
    """What the table would look like: made in passing in a schema of its own."""
    name = f"{schema.name}_as_wanted"
    schema.server.run(f"CREATE DATABASE `{name}`")
    try:
        for one in statements.split(";"):
            schema.server.run(one, schema=name)
        return definition_hash(schema.server.run(f"SHOW CREATE TABLE `{table}`", schema=name)[0]["Create Table"])
    finally:
        schema.server.run(f"DROP DATABASE `{name}`")


def creation(schema: Schema, table: str, statement: str) -> RunDirect:
    expected = hash_of(schema, f"SET foreign_key_checks=0;{statement}" if "FOREIGN" not in statement else ORDERS + ";" + statement, table)
    order = an_order(schema, table, statement, kind=ChangeKind.CREATE_TABLE, strategy=Strategy.DIRECT, expected=expected)
    return RunDirect(order=order, primary=identity_of(schema.server))


def drop(schema: Schema, table: str, quarantine: str = "_20260101000000_orders_DRP") -> RunDirect:
    order = an_order(schema, table, f"DROP TABLE `{table}`", kind=ChangeKind.DROP_TABLE, strategy=Strategy.DIRECT)
    return RunDirect(order=order, primary=identity_of(schema.server), quarantine_as=quarantine)


def instant(schema: Schema, clause: str = "ADD COLUMN note varchar(20)") -> RunDirect:
    statement = f"ALTER TABLE `orders` {clause}"
    order = an_order(schema, "orders", statement, strategy=Strategy.INSTANT, expected=hash_of(schema, f"{ORDERS};{statement}", "orders"))
    return RunDirect(order=order, primary=identity_of(schema.server))


async def run(runs: DirectRuns, ask: RunDirect) -> DirectDone:
    return await ActivityEnvironment().run(runs.run_direct, ask)


def tables(schema: Schema) -> set[str]:
    return {str(one) for row in schema.run("SHOW TABLES") for one in row.values()}


def columns(schema: Schema, table: str = "orders") -> list[str]:
    return [row["Field"] for row in schema.run(f"SHOW COLUMNS FROM `{table}`")]


# ── CREATE ──


async def test_a_table_is_created_before_the_table_it_refers_to(fresh_schema: Schema, runs: DirectRuns) -> None:
    statement = "CREATE TABLE `line` (id int PRIMARY KEY, o int, KEY (o), CONSTRAINT of_order FOREIGN KEY (o) REFERENCES orders (id))"

    done = await run(runs, creation(fresh_schema, "line", statement))

    assert None is done.refusal
    assert fresh_schema.server.uuid in done.gtid_executed
    assert {"line"} == tables(fresh_schema)


async def test_creating_twice_is_done_once(fresh_schema: Schema, runs: DirectRuns) -> None:
    ask = creation(fresh_schema, "orders", ORDERS)

    await run(runs, ask)
    again = await run(runs, ask)

    assert None is again.refusal
    assert {"orders"} == tables(fresh_schema)


async def test_a_table_of_that_name_that_looks_different_is_not_taken_for_ours(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run("CREATE TABLE orders (id bigint PRIMARY KEY)")

    done = await run(runs, creation(fresh_schema, "orders", ORDERS))

    assert done.refusal is not None
    assert "exists" == done.refusal.code


async def test_mysqls_refusal_is_handed_on(fresh_schema: Schema, runs: DirectRuns) -> None:
    ask = creation(fresh_schema, "orders", ORDERS)
    migration = dataclasses.replace(ask.order.migration, statement="CREATE TABLE orders (id int PRIMARY KEY, id int)")

    done = await run(runs, dataclasses.replace(ask, order=dataclasses.replace(ask.order, migration=migration)))

    assert done.refusal is not None
    assert "Duplicate column name" in done.refusal.what


async def test_the_servers_quoting_does_not_reach_the_statement_and_its_zero_dates_do(fresh_schema: Schema, runs: DirectRuns) -> None:
    server = fresh_schema.server
    usual = server.run("SELECT @@global.sql_mode AS mode")[0]["mode"]
    ask = creation(fresh_schema, "orders", 'CREATE TABLE orders (id int PRIMARY KEY, name varchar(9) DEFAULT "a")')
    dated = "CREATE TABLE dated (id int PRIMARY KEY, at date NOT NULL DEFAULT '0000-00-00')"
    server.run("SET GLOBAL sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'")
    try:
        assert None is (await run(runs, ask)).refusal
        order = an_order(fresh_schema, "dated", dated, kind=ChangeKind.CREATE_TABLE, strategy=Strategy.DIRECT)
        assert None is (await run(runs, RunDirect(order=order, primary=identity_of(server)))).refusal
    finally:
        server.run("SET GLOBAL sql_mode = %s", (usual,))


# ── DROP ──


async def make_a_table_with_everything(schema: Schema) -> None:
    schema.run("CREATE TABLE customer (id int NOT NULL PRIMARY KEY)")
    schema.run(
        "CREATE TABLE orders (id int NOT NULL PRIMARY KEY, c int, parent int, total int, CONSTRAINT of_customer FOREIGN KEY (c)"
        " REFERENCES customer (id) ON DELETE CASCADE, CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES orders (id),"
        " CONSTRAINT total_fits CHECK (total < 1000), CHECK (total > 0))"
    )
    schema.run("CREATE TRIGGER orders_bi BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = NEW.total + 1")
    schema.run("CREATE TRIGGER orders_ai AFTER INSERT ON orders FOR EACH ROW SET @seen = NEW.id")
    schema.run("INSERT INTO customer VALUES (1)")
    schema.run("INSERT INTO orders VALUES (1, 1, NULL, 5)")


async def test_a_dropped_table_is_put_aside_and_lets_go_of_everything(fresh_schema: Schema, runs: DirectRuns) -> None:
    await make_a_table_with_everything(fresh_schema)

    done = await run(runs, drop(fresh_schema, "orders"))

    assert None is done.refusal
    assert {"customer", "_20260101000000_orders_DRP"} == tables(fresh_schema)
    assert [] == fresh_schema.run("SHOW TRIGGERS")
    fresh_schema.run("DELETE FROM customer")  # no child forbids it, none is cascaded into
    assert 1 == fresh_schema.run("SELECT COUNT(*) AS n FROM _20260101000000_orders_DRP")[0]["n"]
    await make_a_table_with_everything_again(fresh_schema)


async def make_a_table_with_everything_again(schema: Schema) -> None:
    """Its constraints' and triggers' names are free."""
    schema.run("DROP TABLE customer")
    await make_a_table_with_everything(schema)


async def test_what_was_taken_off_can_be_restored(
    fresh_schema: Schema, runs: DirectRuns, mysql_server: MySQLServer, lone_settings: MySQLSettings
) -> None:
    await make_a_table_with_everything(fresh_schema)
    async with await reading(mysql_server, lone_settings) as connection:
        before = await fingerprint(connection, fresh_schema.name, "orders")
        done = await run(runs, drop(fresh_schema, "orders"))
        with mysql_server.admin(database=fresh_schema.name) as admin, admin.cursor() as cursor:
            for statement in done.restore:
                cursor.execute(statement)
        after = await fingerprint(connection, fresh_schema.name, "orders")

    assert before == after


async def test_a_table_that_others_refer_to_is_not_dropped(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)
    fresh_schema.run("CREATE TABLE line (id int PRIMARY KEY, o int, CONSTRAINT of_order FOREIGN KEY (o) REFERENCES orders (id))")

    done = await run(runs, drop(fresh_schema, "orders"))

    assert done.refusal is not None
    assert "line.of_order" in done.refusal.what
    assert {"line", "orders"} == tables(fresh_schema)


async def test_dropping_twice_is_done_once(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)
    await run(runs, drop(fresh_schema, "orders"))

    again = await run(runs, drop(fresh_schema, "orders"))

    assert None is again.refusal
    assert {"_20260101000000_orders_DRP"} == tables(fresh_schema)


async def test_a_drop_that_died_after_the_rename_is_finished(fresh_schema: Schema, runs: DirectRuns, mysql_server: MySQLServer) -> None:
    await make_a_table_with_everything(fresh_schema)
    triggers = [row["Trigger"] for row in fresh_schema.run("SHOW TRIGGERS")]
    fresh_schema.run("ALTER TABLE orders DROP FOREIGN KEY of_customer, DROP FOREIGN KEY of_parent, RENAME TO _20260101000000_orders_DRP")

    done = await run(runs, drop(fresh_schema, "orders"))

    assert None is done.refusal
    assert {"orders_bi", "orders_ai"} == set(triggers)
    assert [] == fresh_schema.run("SHOW TRIGGERS")
    with mysql_server.admin(database=fresh_schema.name) as admin, admin.cursor() as cursor:
        for statement in done.restore:
            cursor.execute(statement)
    assert {"orders"} == {row["Table"] for row in fresh_schema.run("SHOW TRIGGERS")}


async def test_a_table_that_somebody_else_dropped_is_not_called_done(fresh_schema: Schema, runs: DirectRuns) -> None:
    done = await run(runs, drop(fresh_schema, "orders"))

    assert done.refusal is not None
    assert "gone" == done.refusal.code


# ── INSTANT ──


async def test_an_instant_change_is_made_once(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)

    first = await run(runs, instant(fresh_schema))
    second = await run(runs, instant(fresh_schema))

    assert (None, None) == (first.refusal, second.refusal)
    assert ["id", "total", "note"] == columns(fresh_schema)


async def test_what_is_not_instant_is_refused_and_not_copied(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)

    done = await run(runs, instant(fresh_schema, "MODIFY total bigint"))

    assert done.refusal is not None
    assert "not-instant" == done.refusal.code


def test_the_algorithm_is_named_and_no_other_is_accepted() -> None:
    assert "ALTER TABLE t ADD c int, ALGORITHM=INSTANT" == instant_statement("ALTER TABLE t ADD c int;")
    assert "ALTER TABLE t ADD c int, algorithm = instant" == instant_statement("ALTER TABLE t ADD c int, algorithm = instant")
    assert "ALTER TABLE t COMMENT 'ALGORITHM=COPY', ALGORITHM=INSTANT" == instant_statement("ALTER TABLE t COMMENT 'ALGORITHM=COPY'")
    with pytest.raises(NeedsHuman):
        instant_statement("ALTER TABLE t ADD c int, ALGORITHM=COPY")


# ── The last moment ──


async def approved(ask: RunDirect, settings: MySQLSettings, schema: Schema) -> RunDirect:
    """With the fingerprint that its table has now."""
    migration = ask.order.migration
    async with await reading(schema.server, settings) as connection:
        seen = await fingerprint(connection, schema.name, migration.target.table, statement=migration.statement)
    order = dataclasses.replace(ask.order, migration=dataclasses.replace(migration, fingerprint=seen))
    return dataclasses.replace(ask, order=order)


@pytest.mark.parametrize("asked", [drop, instant])
async def test_a_table_that_was_changed_since_its_approval_is_left_alone(
    fresh_schema: Schema, runs: DirectRuns, lone_settings: MySQLSettings, asked: Callable[..., RunDirect]
) -> None:
    fresh_schema.run(ORDERS)
    ask = await approved(asked(fresh_schema, *(["orders"] if asked is drop else [])), lone_settings, fresh_schema)
    fresh_schema.run("ALTER TABLE orders ADD KEY by_total (total)")

    done = await run(runs, ask)

    assert done.refusal is not None
    assert ("changed", True) == (done.refusal.code, "its definition" in done.refusal.what)
    assert (["id", "total"], {"orders"}) == (columns(fresh_schema), tables(fresh_schema))


async def test_what_was_approved_is_run_and_run_twice_is_done_once(
    fresh_schema: Schema, runs: DirectRuns, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    ask = await approved(instant(fresh_schema), lone_settings, fresh_schema)

    assert [None, None] == [(await run(runs, ask)).refusal, (await run(runs, ask)).refusal]


# ── Bounds ──


@contextmanager
def an_open_transaction(schema: Schema) -> Iterator[int]:
    """Of the connection with that number."""
    with schema.server.admin(database=schema.name, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM orders")
        cursor.fetchall()
        yield connection.thread_id()  # type: ignore[no-untyped-call]  # the stubs leave it out


async def test_an_open_transaction_makes_it_give_up_in_time_while_readers_wait_no_longer_than_the_lock_wait(
    fresh_schema: Schema, patient: MySQLSettings, lone_discovery: Discovery
) -> None:
    fresh_schema.run(ORDERS)
    longest: list[float] = [0.0]
    stop = threading.Event()

    def read_all_the_time() -> None:
        with fresh_schema.server.admin(database=fresh_schema.name) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                began = time.monotonic()
                cursor.execute("SELECT COUNT(*) FROM orders")
                cursor.fetchall()
                longest[0] = max(longest[0], time.monotonic() - began)

    reader = threading.Thread(target=read_all_the_time)
    ask = instant(fresh_schema)
    with an_open_transaction(fresh_schema):
        reader.start()
        try:
            running = asyncio.create_task(run(DirectRuns(patient, lone_discovery, tries=3, pause=(0.05, 0.1)), ask))
            lock_wait = lock_wait_of(fresh_schema, await waiting_ddl(fresh_schema))
            done = await running
        finally:
            stop.set()
            reader.join()

    assert done.refusal is not None
    assert "long-transaction" == done.refusal.code
    assert "connection" in done.refusal.what
    assert 1 == lock_wait, "seconds that whoever comes after the waiting DDL waits with it"
    assert 0.5 < longest[0], "a reader did wait behind it"
    assert ["id", "total"] == columns(fresh_schema)


@pytest.fixture
def patient(lone_settings: MySQLSettings) -> MySQLSettings:
    """No transaction of a test is a long one."""
    return lone_settings.model_copy(update={"long_transaction_seconds": 600})


def lock_wait_of(schema: Schema, connection: int) -> int:
    """Seconds."""
    query = """SELECT variable_value AS value FROM performance_schema.variables_by_thread JOIN performance_schema.threads USING (thread_id)
        WHERE processlist_id = %s AND variable_name = 'lock_wait_timeout'"""
    return int(schema.run(query, connection)[0]["value"])


async def test_a_transaction_that_is_long_already_is_not_even_queued_behind(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)
    with an_open_transaction(fresh_schema) as holder:
        await a_long_transaction(fresh_schema, holder, seconds=2)  # that long is long here (long_transaction_seconds)
        before = alters_sent(fresh_schema)
        done = await run(runs, ask)

    assert done.refusal is not None
    assert before == alters_sent(fresh_schema), "no try waited for its lock"


async def a_long_transaction(schema: Schema, connection: int, *, seconds: int) -> None:
    """Wait until the connection's transaction has been open that long."""
    query = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = %s AND trx_started <= NOW() - INTERVAL %s SECOND"
    async with asyncio.timeout(30):
        while not schema.run(query, connection, seconds):
            await asyncio.sleep(0.15)  # asked again within 0.1 s, InnoDB answers what it answered before


def alters_sent(schema: Schema) -> int:
    """To this server since it started; one that waits for its lock is counted already."""
    return int(schema.run("SHOW GLOBAL STATUS LIKE 'Com_alter_table'")[0]["Value"])


async def test_it_gets_through_when_the_transaction_ends(fresh_schema: Schema, patient: MySQLSettings, lone_discovery: Discovery) -> None:
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)
    with an_open_transaction(fresh_schema):
        running = asyncio.create_task(run(DirectRuns(patient, lone_discovery, tries=30, pause=(0.05, 0.1)), ask))
        await waiting_ddl(fresh_schema)
    done = await running

    assert None is done.refusal
    assert ["id", "total", "note"] == columns(fresh_schema)


async def waiting_ddl(schema: Schema) -> int:
    """The connection that waits for its metadata lock on the schema's table."""

    async def waiting() -> list[dict[str, Any]]:
        return schema.run(
            "SELECT id AS id FROM information_schema.processlist"
            " WHERE db = %s AND info LIKE 'ALTER%%' AND state = 'Waiting for table metadata lock'",
            schema.name,
        )

    return int((await eventually(waiting))[0]["id"])


# ── Dead clients ──


async def test_a_client_killed_while_its_ddl_waits_leaves_no_second_ddl_behind(
    fresh_schema: Schema, patient: MySQLSettings, lone_discovery: Discovery, mysql_server: MySQLServer
) -> None:
    """SAFETY §S6: the client is gone, its ALTER waits on; the retry ends it, and then makes the change itself."""
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)
    with an_open_transaction(fresh_schema):
        dead = await open_connection(address_of(mysql_server), patient.direct, patient, database=fresh_schema.name, program=mark_of(ask))
        await dead.run("SET SESSION lock_wait_timeout = 100")
        orphan = asyncio.create_task(dead.run("ALTER TABLE orders ADD COLUMN note varchar(20), ALGORITHM=INSTANT"))
        assert dead.id == await waiting_ddl(fresh_schema)
        retry = asyncio.create_task(run(DirectRuns(patient, lone_discovery, tries=30, pause=(0.05, 0.1)), ask))

        async def ended() -> bool:
            return not mysql_server.run("SELECT 1 FROM information_schema.processlist WHERE id = %s", (dead.id,))

        await eventually(ended)
    done = await retry
    with pytest.raises(Exception, match=r"2013|1317|2006|1053"):
        await orphan
    await dead.close()

    assert None is done.refusal
    assert ["id", "total", "note"] == columns(fresh_schema)


async def test_a_retry_after_the_ddl_ran_although_its_client_was_gone_finds_it_done(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)
    fresh_schema.run("ALTER TABLE orders ADD COLUMN note varchar(20), ALGORITHM=INSTANT")

    done = await run(runs, ask)

    assert None is done.refusal
    assert ["id", "total", "note"] == columns(fresh_schema)


async def test_what_an_earlier_attempt_wrote_down_is_not_lost(fresh_schema: Schema, runs: DirectRuns) -> None:
    await make_a_table_with_everything(fresh_schema)
    seen: list[Any] = []
    first = ActivityEnvironment()
    first.on_heartbeat = lambda *details: seen.append(details)
    before = await first.run(runs.run_direct, drop(fresh_schema, "orders"))
    second = ActivityEnvironment()
    second.info = dataclasses.replace(second.info, heartbeat_details=seen[-1], attempt=2)

    after = await second.run(runs.run_direct, drop(fresh_schema, "orders"))

    assert before.restore == after.restore
    assert 4 < len(after.restore)


async def test_cancelled_while_it_waits_it_changes_nothing(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)
    environment = ActivityEnvironment()
    with an_open_transaction(fresh_schema):
        running = asyncio.create_task(environment.run(runs.run_direct, ask))
        await waiting_ddl(fresh_schema)
        environment.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert ["id", "total"] == columns(fresh_schema)


# ── The primary ──


async def test_another_server_than_the_pinned_one_is_refused(fresh_schema: Schema, runs: DirectRuns) -> None:
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)

    done = await run(runs, dataclasses.replace(ask, primary=dataclasses.replace(ask.primary, server_uuid="another")))

    assert done.refusal is not None
    assert "primary-changed" == done.refusal.code
    assert ["id", "total"] == columns(fresh_schema)


async def test_a_primary_that_the_inventory_moved_is_refused(fresh_schema: Schema, runs: DirectRuns, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    ask = instant(fresh_schema)
    assert lone_settings.inventory is not None
    text = lone_settings.inventory.read_text()
    lone_settings.inventory.write_text(text.replace(f"rw_port = {fresh_schema.server.port}", "rw_port = 1"))

    done = await run(runs, ask)

    assert done.refusal is not None
    assert "primary-changed" == done.refusal.code
