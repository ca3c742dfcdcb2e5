"""Comparing an original with its ghost while it changes: what is equal, what is not, and what nobody can tell."""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from pymysql.cursors import Cursor
from temporalio.testing import ActivityEnvironment

from activities.mysql.comparison import match_columns, renamed_columns
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import read_columns
from activities.mysql.verify import Patience, Verifications
from activities.settings import MySQLSettings
from embedded.mysql import Schema
from tests.activities.mysql.house import an_order, identity_of, reading
from workflows.messages import Comparison, Progress, Verification, Verify

QUICK = Patience(apart=0.15, settled=0.9, changes=5, hold=3.0, chunk_rows=500)


@pytest.fixture
def verifications(lone_settings: MySQLSettings, lone_discovery: Discovery) -> Verifications:
    return Verifications(lone_settings, lone_discovery, QUICK)


def asking(schema: Schema, statement: str = "ALTER TABLE orders ENGINE=InnoDB") -> Verify:
    return Verify(order=an_order(schema, "orders", statement), primary=identity_of(schema.server), ghost_table="_orders_gho")


async def verdict(verifications: Verifications, ask: Verify) -> Verification:
    return await ActivityEnvironment().run(verifications.verify, ask)


def make(schema: Schema, *, rows: int = 3000, ghost: str = "", columns: str = "customer varchar(40), total int, note varchar(40)") -> None:
    """An original with rows, and its ghost with the same rows, shaped by a further ALTER."""
    schema.run(f"CREATE TABLE orders (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, {columns})")
    schema.run("SET SESSION cte_max_recursion_depth = 1000000")
    names = "customer, total, note"
    schema.run(
        f"INSERT INTO orders ({names}) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {min(rows, 1000)})"
        " SELECT CONCAT('c', i), i, IF(i % 3 = 0, NULL, CONCAT('note ', i)) FROM n"
    )
    for _ in range(rows // 1000 - 1):
        schema.run(f"INSERT INTO orders ({names}) SELECT {names} FROM orders LIMIT 1000")
    schema.run("CREATE TABLE _orders_gho LIKE orders")
    if ghost:
        schema.run(f"ALTER TABLE _orders_gho {ghost}")
    fill(schema)


def fill(schema: Schema) -> None:
    old = [row["Field"] for row in schema.run("SHOW COLUMNS FROM orders")]
    new = [row["Field"] for row in schema.run("SHOW COLUMNS FROM _orders_gho")]
    names = ", ".join(f"`{name}`" for name in old if name in new)
    schema.run(f"INSERT INTO _orders_gho ({names}) SELECT {names} FROM orders")


async def test_a_faithful_copy_is_equal(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema, ghost="ADD COLUMN extra int NOT NULL DEFAULT 7, DROP COLUMN customer, ADD INDEX (total), COMMENT 'new'")

    found = await verdict(verifications, asking(fresh_schema))

    assert (Comparison.EQUAL, 3000) == (found.outcome, found.rows)
    assert "customer (dropped), extra (added)" in found.detail
    assert found.chunks >= 3
    assert found.at.endswith("+00:00")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM _orders_gho WHERE id = 1500", "id=1500 is missing in the copy"),
        ("DELETE FROM orders WHERE id = 1", "id=1 is only in the copy"),
        ("INSERT INTO _orders_gho (id) VALUES (999999)", "id=999999 is only in the copy"),
        ("UPDATE _orders_gho SET customer = note, note = NULL WHERE id = 2", "id=2 differs in customer, note"),
        ("UPDATE _orders_gho SET total = total + 1 WHERE id = 3", "id=3 differs in total"),
        ("UPDATE _orders_gho SET customer = UPPER(customer) WHERE id = 4", "id=4 differs in customer"),
        ("UPDATE _orders_gho SET customer = CONCAT(customer, ' ') WHERE id = 5", "id=5 differs in customer"),
        ("UPDATE _orders_gho SET note = '' WHERE id = 3", "id=3 differs in note"),
    ],
)
async def test_a_planted_difference_is_found(damage: str, words: str, fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema)
    fresh_schema.run(damage)

    found = await verdict(verifications, asking(fresh_schema))

    assert (Comparison.DIFFERENT, True) == (found.outcome, words in found.detail), found.detail


async def test_two_rows_with_their_values_exchanged_differ(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema)
    fresh_schema.run("UPDATE _orders_gho SET total = IF(total = 1, 2, 1) WHERE id IN (1, 2)")

    found = await verdict(verifications, asking(fresh_schema))

    assert Comparison.DIFFERENT is found.outcome
    assert found.detail.startswith("2 row(s) differ")


async def test_empty_tables_are_equal(fresh_schema: Schema, verifications: Verifications) -> None:
    fresh_schema.run("CREATE TABLE orders (id int PRIMARY KEY)")
    fresh_schema.run("CREATE TABLE _orders_gho LIKE orders")

    assert Comparison.EQUAL is (await verdict(verifications, asking(fresh_schema))).outcome
    fresh_schema.run("INSERT INTO _orders_gho VALUES (1)")
    assert Comparison.DIFFERENT is (await verdict(verifications, asking(fresh_schema))).outcome


async def test_a_copy_with_nothing_in_it_is_not_looked_at_row_by_row(
    fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery
) -> None:
    make(fresh_schema)
    fresh_schema.run("DELETE FROM _orders_gho")
    few = Verifications(lone_settings, lone_discovery, replace(QUICK, most_suspects=1000, sample=20))

    found = await verdict(few, asking(fresh_schema))

    assert Comparison.DIFFERENT is found.outcome
    assert "At least 20 row(s) differ" in found.detail
    assert found.rows < 3000


# ── How far gh-ost is ──


def checkpoint(schema: Schema, coordinates: str) -> None:
    """As gh-ost writes it: everything up to there is applied."""
    schema.run("CREATE TABLE IF NOT EXISTS _orders_ghk (gh_ost_chk_id bigint AUTO_INCREMENT PRIMARY KEY, gh_ost_chk_coords text)")
    schema.run("INSERT INTO _orders_ghk (gh_ost_chk_coords) VALUES (%s)", coordinates)


def executed(schema: Schema) -> str:
    return str(schema.run("SELECT @@global.gtid_executed AS gtids")[0]["gtids"])


async def test_a_difference_is_one_as_soon_as_gh_ost_has_applied_what_was_written(
    fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery
) -> None:
    make(fresh_schema, rows=1000)
    fresh_schema.run("DELETE FROM _orders_gho WHERE id = 7")
    patient = Verifications(lone_settings, lone_discovery, replace(QUICK, settled=1000.0, stuck=1000.0))
    checkpoint(fresh_schema, f"{fresh_schema.server.uuid}:1")
    comparing = asyncio.create_task(verdict(patient, asking(fresh_schema)))
    await asyncio.wait([comparing], timeout=1.5)
    waited = not comparing.done()
    checkpoint(fresh_schema, f"{fresh_schema.server.uuid}:1-999999")
    found = await asyncio.wait_for(comparing, 20)

    assert waited
    assert (Comparison.DIFFERENT, True) == (found.outcome, "id=7 is missing in the copy" in found.detail)


async def test_while_gh_ost_is_throttled_a_difference_is_unproven(
    fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery
) -> None:
    make(fresh_schema, rows=1000)
    checkpoint(fresh_schema, executed(fresh_schema))
    fresh_schema.run("UPDATE orders SET total = -1 WHERE id = 7")  # and gh-ost does not apply it

    found = await verdict(Verifications(lone_settings, lone_discovery, replace(QUICK, settled=0.1, stuck=1.0)), asking(fresh_schema))

    assert (Comparison.UNPROVEN, True) == (found.outcome, "throttled" in found.detail), found.detail
    assert "id=7" in found.detail


async def test_a_position_in_a_file_is_not_taken_for_gtids(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema, rows=1000)
    fresh_schema.run("DELETE FROM _orders_gho WHERE id = 7")
    checkpoint(fresh_schema, "binlog.000007:4711")

    assert Comparison.DIFFERENT is (await verdict(verifications, asking(fresh_schema))).outcome


ALL_TYPES = (
    "CREATE TABLE orders (id bigint unsigned NOT NULL PRIMARY KEY, f float, d double, b bit(9), g geometry, j json, t time(3),"
    " ts timestamp(6) NULL, dt datetime(2), y year, e enum('a','b'), s set('x','y'), bl longblob, bi binary(4),"
    " c char(4) CHARACTER SET latin1, de decimal(10,3) unsigned zerofill, `odd name %s ``'` text, me mediumtext CHARACTER SET utf16,"
    " up varchar(10) AS (UPPER(e)) STORED)"
)


async def test_every_type_of_column_is_compared(fresh_schema: Schema, verifications: Verifications) -> None:
    fresh_schema.run(ALL_TYPES)
    fresh_schema.run(
        "INSERT INTO orders (id, f, d, b, g, j, t, ts, dt, y, e, s, bl, bi, c, de, `odd name %s ``'`, me) VALUES (1, 0.1, 0.1, b'101',"
        " ST_GeomFromText('POINT(1 2)'), '{\"b\":1.0,\"a\":2}', '-01:02:03.5', '2020-01-01 00:00:00.123', '2020-01-01 00:00:00.12', 2020,"
        " 'b', 'x,y', x'00ff', 'ab', 'é', 1.5, '%s', 'ü')"
    )
    fresh_schema.run("INSERT INTO orders (id) VALUES (18446744073709551615)")
    fresh_schema.run("CREATE TABLE _orders_gho LIKE orders")
    columns = [row["Field"] for row in fresh_schema.run("SHOW COLUMNS FROM orders") if row["Field"] != "up"]
    names = ", ".join("`" + name.replace("`", "``") + "`" for name in columns)
    fresh_schema.run(f"INSERT INTO _orders_gho ({names}) SELECT {names} FROM orders")

    assert Comparison.EQUAL is (await verdict(verifications, asking(fresh_schema))).outcome

    for number, name in enumerate(columns[1:]):
        quoted = "`" + name.replace("`", "``") + "`"
        row = 1 if number % 2 else 18446744073709551615
        other = 18446744073709551615 if row == 1 else 1
        fresh_schema.run(f"UPDATE _orders_gho a JOIN orders b ON b.id = {other} SET a.{quoted} = b.{quoted} WHERE a.id = {row}")
    found = await verdict(verifications, asking(fresh_schema))

    assert Comparison.DIFFERENT is found.outcome
    for name in columns[1:]:
        assert name in found.detail


# ── Keys ──


@pytest.mark.parametrize(
    "key",
    [
        "a varchar(20) NOT NULL, b int NOT NULL, PRIMARY KEY (a, b)",
        "a varbinary(20) NOT NULL, b datetime(3) NOT NULL, PRIMARY KEY (b, a)",
        "a varchar(20) CHARACTER SET latin1 NOT NULL, b decimal(10,2) NOT NULL, PRIMARY KEY (a, b DESC)",
        "a varchar(20) NOT NULL, b int NOT NULL, UNIQUE KEY (b, a)",
    ],
)
async def test_it_walks_along_keys_of_several_columns(key: str, fresh_schema: Schema, verifications: Verifications) -> None:
    fresh_schema.run(f"CREATE TABLE orders ({key}, total int)")
    moments = "'2020-01-01' + INTERVAL i SECOND" if "datetime" in key else "i DIV 7"
    fresh_schema.run(
        "INSERT INTO orders (a, b, total) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        f" SELECT CONCAT('ä''%', i % 50, '-', i DIV 50), {moments}, i FROM n"
    )
    fresh_schema.run("CREATE TABLE _orders_gho LIKE orders")
    fill(fresh_schema)
    quick = Verifications(verifications._settings, verifications._discovery, replace(QUICK, chunk_rows=100, chunk_target=0.0))

    equal = await verdict(quick, asking(fresh_schema))
    fresh_schema.run("UPDATE _orders_gho SET total = -1 WHERE total IN (1, 500, 1000)")
    different = await verdict(quick, asking(fresh_schema))

    assert (Comparison.EQUAL, 1000) == (equal.outcome, equal.rows)
    assert equal.chunks >= 10
    assert different.detail.startswith("3 row(s) differ"), different.detail


@pytest.mark.parametrize(
    ("original", "change", "words"),
    [
        ("id int, total int", "ENGINE=InnoDB", "no unique key without NULL"),
        ("id varchar(9) NOT NULL PRIMARY KEY, total int", "MODIFY id varchar(9) COLLATE utf8mb4_bin NOT NULL", "collation"),
        ("id int NOT NULL PRIMARY KEY, total int", "DROP PRIMARY KEY", "no such key"),
        ("id enum('b','a') NOT NULL PRIMARY KEY, total int", "ENGINE=InnoDB", "cannot be walked along"),
        ("id float NOT NULL PRIMARY KEY, total int", "ENGINE=InnoDB", "cannot be walked along"),
    ],
)
async def test_without_a_key_to_walk_along_nothing_is_claimed(
    original: str, change: str, words: str, fresh_schema: Schema, verifications: Verifications
) -> None:
    fresh_schema.run(f"CREATE TABLE orders ({original})")
    fresh_schema.run("CREATE TABLE _orders_gho LIKE orders")
    fresh_schema.run(f"ALTER TABLE _orders_gho {change}")

    found = await verdict(verifications, asking(fresh_schema))

    assert Comparison.UNPROVEN is found.outcome
    assert words in found.detail


async def test_a_wider_key_is_still_the_key(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema, ghost="MODIFY id bigint unsigned NOT NULL AUTO_INCREMENT")

    assert Comparison.EQUAL is (await verdict(verifications, asking(fresh_schema))).outcome


# ── Changed columns ──


async def test_a_converted_column_is_compared_with_what_storing_makes_of_it(fresh_schema: Schema, verifications: Verifications) -> None:
    """CAST is not storage: '12.5' is stored in INT as 13 and cast as 12, '1e2' stored as 100 and cast as 1."""
    fresh_schema.run("CREATE TABLE orders (id int PRIMARY KEY, total varchar(20))")
    fresh_schema.run("INSERT INTO orders VALUES (1, '12.5'), (2, '1e2'), (3, NULL), (4, '7')")
    fresh_schema.run("CREATE TABLE _orders_gho (id int PRIMARY KEY, total int)")
    fill(fresh_schema)

    equal = await verdict(verifications, asking(fresh_schema))
    fresh_schema.run("UPDATE _orders_gho SET total = 12 WHERE id = 1")
    different = await verdict(verifications, asking(fresh_schema))

    assert [{"total": 13}, {"total": 100}] == fresh_schema.run(
        "SELECT CASE id WHEN 1 THEN 13 ELSE total END AS total FROM _orders_gho LIMIT 2"
    )
    assert Comparison.EQUAL is equal.outcome, equal.detail
    assert (Comparison.DIFFERENT, True) == (different.outcome, "id=1 differs in total" in different.detail)


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("varchar(20) CHARACTER SET latin1", "varchar(30) CHARACTER SET utf8mb4", "'é '"),
        ("varchar(20)", "char(20)", "'a  '"),
        ("datetime(3)", "datetime", "'2020-01-01 00:00:00.6'"),
        ("decimal(10,3)", "decimal(10,1)", "1.25"),
        ("int", "varchar(20)", "17"),
        ("int zerofill", "bigint", "17"),
        ("enum('a','b')", "enum('b','a','c')", "'a'"),
        ("varchar(20)", "varbinary(20)", "'ü'"),
        ("binary(3)", "varbinary(9)", "'a'"),
        ("varchar(20) COLLATE utf8mb4_bin", "text COLLATE utf8mb4_0900_ai_ci", "'A '"),
    ],
)
async def test_changed_columns_of_a_faithful_copy_are_equal(
    old: str, new: str, value: str, fresh_schema: Schema, verifications: Verifications
) -> None:
    fresh_schema.run(f"CREATE TABLE orders (id int PRIMARY KEY, v {old})")
    fresh_schema.run(f"INSERT INTO orders VALUES (1, {value}), (2, NULL)")
    fresh_schema.run(f"CREATE TABLE _orders_gho (id int PRIMARY KEY, v {new})")
    fill(fresh_schema)

    equal = await verdict(verifications, asking(fresh_schema))
    fresh_schema.run("UPDATE _orders_gho SET v = NULL")
    different = await verdict(verifications, asking(fresh_schema))

    assert Comparison.EQUAL is equal.outcome, equal.detail
    assert (Comparison.DIFFERENT, True) == (different.outcome, "id=1 differs in v" in different.detail)


@pytest.mark.parametrize(("old", "new"), [("float", "double"), ("datetime", "timestamp NULL"), ("json", "text"), ("varchar(20)", "json")])
async def test_what_storing_may_do_in_two_ways_is_unproven_by_name(
    old: str, new: str, fresh_schema: Schema, verifications: Verifications
) -> None:
    fresh_schema.run(f"CREATE TABLE orders (id int PRIMARY KEY, v {old}, w int)")
    fresh_schema.run("INSERT INTO orders VALUES (1, NULL, 1)")
    fresh_schema.run(f"CREATE TABLE _orders_gho (id int PRIMARY KEY, v {new}, w int)")
    fill(fresh_schema)

    found = await verdict(verifications, asking(fresh_schema))
    fresh_schema.run("UPDATE _orders_gho SET w = 2")
    worse = await verdict(verifications, asking(fresh_schema))

    assert Comparison.UNPROVEN is found.outcome
    assert "column v (" in found.detail
    assert Comparison.DIFFERENT is worse.outcome, "what can be compared still is"


async def test_a_value_that_cannot_be_stored_is_unproven_by_name(fresh_schema: Schema, verifications: Verifications) -> None:
    fresh_schema.run("CREATE TABLE orders (id int PRIMARY KEY, total varchar(20))")
    fresh_schema.run("INSERT INTO orders VALUES (1, 'many')")
    fresh_schema.run("CREATE TABLE _orders_gho (id int PRIMARY KEY, total int)")
    fresh_schema.run("INSERT INTO _orders_gho VALUES (1, 0)")

    found = await verdict(verifications, asking(fresh_schema))

    assert Comparison.UNPROVEN is found.outcome
    assert "converted columns (total)" in found.detail


async def test_a_renamed_column_is_compared_under_its_new_name(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema, ghost="RENAME COLUMN total TO amount")
    fresh_schema.run("UPDATE _orders_gho JOIN orders USING (id) SET amount = orders.total")
    ask = asking(fresh_schema, "ALTER TABLE `orders` RENAME COLUMN `total` TO `amount`")

    equal = await verdict(verifications, ask)
    fresh_schema.run("UPDATE _orders_gho SET amount = 0 WHERE id = 5")
    different = await verdict(verifications, ask)

    assert (Comparison.EQUAL, "Every row is equal.") == (equal.outcome, equal.detail)
    assert Comparison.DIFFERENT is different.outcome


def test_renames_are_read_from_the_statement() -> None:
    assert {"a b": "c`d", "e": "f"} == renamed_columns("ALTER TABLE t RENAME COLUMN `a b` TO `c``d`, CHANGE COLUMN e f int")
    assert {"e": "f"} == renamed_columns("ALTER TABLE t change `e` f int DEFAULT 'CHANGE x y', CHANGE same same bigint")
    assert {} == renamed_columns("ALTER TABLE t RENAME INDEX a TO b, COMMENT 'RENAME COLUMN a TO b', ADD `change` int, RENAME TO u")


async def test_a_column_computed_in_another_way_is_left_out(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run("CREATE TABLE one (id int PRIMARY KEY, a int, same int AS (a + 1), other int AS (a + 1), plain int)")
    fresh_schema.run("CREATE TABLE two (id int PRIMARY KEY, a int, same int AS (a + 1), other int AS (a + 2), plain int AS (a))")
    async with await reading(fresh_schema.server, lone_settings) as connection:
        columns = match_columns(
            await read_columns(connection, fresh_schema.name, "one"), await read_columns(connection, fresh_schema.name, "two"), {}
        )

    assert ["id", "a", "same"] == [pair.original.name for pair in columns.same]
    assert ("other (computed)", "plain (computed)") == columns.left_out


async def test_a_column_that_is_computed_no_longer_must_have_been_copied(fresh_schema: Schema, verifications: Verifications) -> None:
    """gh-ost leaves it out, and the values were there: no "computed" may excuse that."""
    fresh_schema.run("CREATE TABLE orders (id int PRIMARY KEY, net int, gross int AS (net * 2) STORED, tax decimal(9,1) AS (net) STORED)")
    fresh_schema.run("INSERT INTO orders (id, net) VALUES (1, 10), (2, 20)")
    fresh_schema.run("CREATE TABLE _orders_gho (id int PRIMARY KEY, net int, gross int, tax decimal(9,2))")
    fresh_schema.run("INSERT INTO _orders_gho SELECT * FROM orders")

    equal = await verdict(verifications, asking(fresh_schema))
    fresh_schema.run("UPDATE _orders_gho SET gross = NULL WHERE id = 1")
    fresh_schema.run("UPDATE _orders_gho SET tax = NULL WHERE id = 2")
    different = await verdict(verifications, asking(fresh_schema))

    assert (Comparison.EQUAL, "Every row is equal.") == (equal.outcome, equal.detail)
    assert Comparison.DIFFERENT is different.outcome
    assert "id=1 differs in gross" in different.detail
    assert "id=2 differs in tax" in different.detail


async def test_a_converted_column_is_compared_where_every_table_must_have_a_key(fresh_schema: Schema, verifications: Verifications) -> None:
    fresh_schema.run("CREATE TABLE orders (id int PRIMARY KEY, total int)")
    fresh_schema.run("INSERT INTO orders VALUES (1, 10), (2, 20)")
    fresh_schema.run("CREATE TABLE _orders_gho (id int PRIMARY KEY, total varchar(20))")
    fill(fresh_schema)
    fresh_schema.server.run("SET GLOBAL sql_require_primary_key = ON")
    try:
        found = await verdict(verifications, asking(fresh_schema))
    finally:
        fresh_schema.server.run("SET GLOBAL sql_require_primary_key = DEFAULT")

    assert (Comparison.EQUAL, "Every row is equal.") == (found.outcome, found.detail)


# ── While it changes ──


Image = tuple[int, tuple[Any, ...] | None]


class Application:
    """Writes to the original; what each write left of its row is applied to the ghost with lag, as gh-ost does."""

    def __init__(self, schema: Schema, *, ids: int, lag: float, hot: int = 0) -> None:
        self.schema, self.ids, self.lag, self.hot = schema, ids, lag, hot
        self.stop = threading.Event()
        self.writes = 0
        self._images: deque[tuple[float, Image]] = deque()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._apply)]

    def _write(self) -> None:
        with self.schema.server.admin(database=self.schema.name) as connection, connection.cursor() as cursor:
            while not self.stop.is_set():
                cursor.execute("BEGIN")
                image = self._change(cursor, self.hot or random.randint(1, self.ids))
                cursor.execute("COMMIT")
                self.writes += 1
                self._images.append((time.monotonic(), image))
                time.sleep(0.004)

    def _change(self, cursor: "Cursor", one: int) -> Image:
        kind = random.random()
        if self.hot or kind < 0.7:
            cursor.execute("UPDATE orders SET total = total + 1, note = IF(RAND() < 0.3, NULL, 'changed') WHERE id = %s", (one,))
        elif kind < 0.85:
            cursor.execute("INSERT INTO orders (customer, total) VALUES ('new', 1)")
            one = int(cursor.lastrowid)
        else:
            cursor.execute("DELETE FROM orders WHERE id = %s", (one,))
        cursor.execute("SELECT id, customer, total, note FROM orders WHERE id = %s", (one,))
        row: Any = cursor.fetchone()
        return one, tuple(row.values()) if row else None

    def _apply(self) -> None:
        with self.schema.server.admin(database=self.schema.name) as connection, connection.cursor() as cursor:
            while not self.stop.is_set() or self._images:
                if not self._images or (not self.stop.is_set() and time.monotonic() - self._images[0][0] < self.lag):
                    time.sleep(0.003)
                    continue
                _, (one, row) = self._images.popleft()
                if row is None:
                    cursor.execute("DELETE FROM _orders_gho WHERE id = %s", (one,))
                else:
                    cursor.execute("REPLACE INTO _orders_gho (id, customer, total, note) VALUES (%s, %s, %s, %s)", row)


@contextmanager
def running(application: Application) -> Iterator[Application]:
    for thread in application._threads:
        thread.start()
    try:
        yield application
    finally:
        application.stop.set()
        for thread in application._threads:
            thread.join()


async def written(application: Application) -> None:
    """The copy lags behind something by now."""
    async with asyncio.timeout(30):
        while application.writes <= 50:
            await asyncio.sleep(0.02)


async def test_a_faithful_copy_is_equal_while_it_lags_behind(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema, rows=10_000, ghost="ADD COLUMN extra int")
    with running(Application(fresh_schema, ids=10_000, lag=0.5)) as application:
        await written(application)
        found = await verdict(verifications, asking(fresh_schema))

    assert Comparison.EQUAL is found.outcome, found.detail
    assert abs(10_000 - found.rows) < 1000


async def test_a_lost_row_is_found_while_the_rest_changes(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema, rows=10_000)
    fresh_schema.run("DELETE FROM _orders_gho WHERE id = 9999")
    with running(Application(fresh_schema, ids=9_000, lag=0.5)):
        found = await verdict(verifications, asking(fresh_schema))

    assert (Comparison.DIFFERENT, True) == (found.outcome, "id=9999 is missing in the copy" in found.detail), found.detail


async def test_a_row_that_never_rests_is_unproven_unless_it_may_be_held(
    fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery, verifications: Verifications
) -> None:
    make(fresh_schema, rows=1000)
    holding = Verifications(lone_settings.model_copy(update={"verify_hold_rows": 5}), lone_discovery, QUICK)
    with running(Application(fresh_schema, ids=1000, lag=0.5, hot=77)) as application:
        await written(application)
        unproven = await verdict(verifications, asking(fresh_schema))
        held = await verdict(holding, asking(fresh_schema))

    assert Comparison.UNPROVEN is unproven.outcome, unproven.detail
    assert "id=77" in unproven.detail
    assert Comparison.EQUAL is held.outcome, held.detail


async def test_it_tells_how_far_it_is_and_leaves_nothing_open(
    fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery
) -> None:
    make(fresh_schema)
    seen: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: seen.extend(details)

    await environment.run(Verifications(lone_settings, lone_discovery, QUICK).verify, asking(fresh_schema))

    assert all(isinstance(one, Progress) for one in seen)
    assert seen
    await nobody_verifies(fresh_schema)


async def nobody_verifies(schema: Schema) -> None:
    """MySQL takes a moment to see that a connection was closed."""
    async with asyncio.timeout(30):
        while schema.run("SELECT * FROM information_schema.processlist WHERE user = 'skeebot_verify'"):
            await asyncio.sleep(0.02)


async def test_cancelled_it_leaves_nothing_running(fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery) -> None:
    make(fresh_schema)
    fresh_schema.run("DELETE FROM _orders_gho WHERE id = 1")
    environment = ActivityEnvironment()
    patient = Verifications(lone_settings, lone_discovery, replace(QUICK, settled=100.0))
    running_one = asyncio.create_task(environment.run(patient.verify, asking(fresh_schema)))
    async with asyncio.timeout(30):
        while not fresh_schema.run("SELECT * FROM information_schema.processlist WHERE user = 'skeebot_verify'"):
            await asyncio.sleep(0.02)
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_one
    await nobody_verifies(fresh_schema)


async def test_on_another_server_nothing_is_claimed(fresh_schema: Schema, verifications: Verifications) -> None:
    make(fresh_schema)
    ask = asking(fresh_schema)

    found = await verdict(verifications, replace(ask, primary=replace(ask.primary, server_uuid="another")))

    assert Comparison.UNPROVEN is found.outcome
