"""What a fingerprint notices and what it does not; definitions that are the same although they read differently."""

import pytest

from activities.errors import NeedsHuman
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import (
    ABSENT,
    TableFacts,
    about_auto_increment,
    changed_parts,
    definition_hash,
    describe_change,
    elements,
    fingerprint,
    fingerprint_of,
    list_tables,
    normalised,
    read_facts,
    read_table,
    sees_triggers,
    without_auto_increment,
)
from activities.settings import MySQLSettings
from embedded.mysql import MySQLServer, Schema
from tests.activities.mysql.house import reading

ORDERS = """CREATE TABLE orders (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer varchar(40) NOT NULL DEFAULT 'it''s, (fine)' COMMENT 'AUTO_INCREMENT=1',
  total decimal(10,2) NOT NULL,
  CONSTRAINT total_is_not_negative CHECK (total >= 0)
) COMMENT='AUTO_INCREMENT=7, )'"""


async def facts_of(schema: Schema, settings: MySQLSettings, table: str = "orders") -> TableFacts:
    async with await reading(schema.server, settings) as connection:
        return await read_facts(connection, schema.name, table)


async def test_an_insert_does_not_change_the_fingerprint(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run(ORDERS)
    before = await facts_of(fresh_schema, lone_settings)
    fresh_schema.run("INSERT INTO orders (total) VALUES (1), (2)")
    after = await facts_of(fresh_schema, lone_settings)

    assert before.show_create != after.show_create, "MySQL shows the next number"
    assert fingerprint_of(before) == fingerprint_of(after)
    assert () == describe_change(before, after)


async def test_an_insert_changes_the_fingerprint_where_the_change_is_about_auto_increment(
    fresh_schema: Schema, lone_settings: MySQLSettings
) -> None:
    statement = "ALTER TABLE `orders` AUTO_INCREMENT=1000"
    fresh_schema.run(ORDERS)
    before = await facts_of(fresh_schema, lone_settings)
    fresh_schema.run("INSERT INTO orders (total) VALUES (1), (2)")
    after = await facts_of(fresh_schema, lone_settings)

    assert fingerprint_of(before, statement) != fingerprint_of(after, statement)


def test_only_the_table_option_is_about_auto_increment() -> None:
    assert about_auto_increment("ALTER TABLE t AUTO_INCREMENT = 5")
    assert about_auto_increment("alter table t auto_increment 5")
    assert not about_auto_increment("ALTER TABLE t MODIFY id int NOT NULL AUTO_INCREMENT")
    assert not about_auto_increment("ALTER TABLE t COMMENT 'AUTO_INCREMENT=5'")


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI"])
async def test_the_servers_sql_mode_does_not_change_how_the_definition_is_read(
    mode: str, fresh_schema: Schema, mysql_server: MySQLServer, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    before = await facts_of(fresh_schema, lone_settings)
    usual = mysql_server.run("SELECT @@global.sql_mode AS mode")[0]["mode"]
    mysql_server.run("SET GLOBAL sql_mode = %s", (mode,))
    try:
        after = await facts_of(fresh_schema, lone_settings)
    finally:
        mysql_server.run("SET GLOBAL sql_mode = %s", (usual,))

    assert before.show_create == after.show_create
    assert ("the server's sql_mode or defaults",) == changed_parts(fingerprint_of(before), fingerprint_of(after))


@pytest.mark.parametrize(
    ("change", "part", "words"),
    [
        ("ALTER TABLE orders ADD INDEX by_customer (customer)", "its definition", "new: KEY `by_customer` (`customer`)"),
        ("ALTER TABLE orders MODIFY id bigint unsigned NOT NULL AUTO_INCREMENT AFTER total", "its definition", "the order changed"),
        ("ALTER TABLE orders COMMENT 'x'", "its definition", "its options were"),
        ("CREATE TRIGGER orders_bi BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = 1", "its triggers", "new: trigger orders_bi"),
        (
            "CREATE TABLE line (id int PRIMARY KEY, o bigint unsigned, CONSTRAINT of_order FOREIGN KEY (o) REFERENCES orders (id))",
            "the foreign keys that refer to it",
            "of_order (o) →",
        ),
    ],
)
async def test_what_changes_a_table_changes_its_fingerprint_and_is_named(
    change: str, part: str, words: str, fresh_schema: Schema, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    before = await facts_of(fresh_schema, lone_settings)
    fresh_schema.run(change)
    after = await facts_of(fresh_schema, lone_settings)

    assert (part,) == changed_parts(fingerprint_of(before), fingerprint_of(after))
    assert words in "\n".join(describe_change(before, after))


async def test_foreign_keys_of_schemas_that_the_account_cannot_read_count(
    fresh_schema: Schema, mysql_server: MySQLServer, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    before = await facts_of(fresh_schema, lone_settings)
    hidden = f"{fresh_schema.name}-hidden"
    mysql_server.run(f"CREATE DATABASE `{hidden}`")  # nobody is granted anything on it
    try:
        mysql_server.run(
            f"CREATE TABLE `{hidden}`.`far/away` (id int PRIMARY KEY, o bigint unsigned, CONSTRAINT `f k` FOREIGN KEY (o)"
            f" REFERENCES `{fresh_schema.name}`.orders (id) ON DELETE CASCADE ON UPDATE SET NULL)"
        )
        after = await facts_of(fresh_schema, lone_settings)
    finally:
        mysql_server.run(f"DROP DATABASE `{hidden}`")

    (key,) = after.inbound
    assert ((hidden, "far/away"), "f k", "CASCADE", "SET NULL", ("o",)) == (key.child, key.name, key.on_delete, key.on_update, key.columns)
    assert fingerprint_of(before) != fingerprint_of(after)


async def test_a_table_that_is_not_there_has_a_fingerprint_of_its_own(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run("CREATE VIEW looks_like_one AS SELECT 1")
    async with await reading(fresh_schema.server, lone_settings) as connection:
        assert ABSENT == await fingerprint(connection, fresh_schema.name, "orders")
        assert ABSENT == await fingerprint(connection, fresh_schema.name, "looks_like_one")
        assert None is await read_table(connection, fresh_schema.name, "orders")
        assert () == await list_tables(connection, fresh_schema.name)
    assert ("the table exists now",) == changed_parts("", "0" * 64)
    assert ("the table is gone",) == changed_parts("0" * 64, ABSENT)
    assert () == changed_parts("", ABSENT)


async def test_a_table_is_read_with_what_hangs_on_it(fresh_schema: Schema, lone_settings: MySQLSettings, lone_discovery: Discovery) -> None:
    fresh_schema.run("CREATE TABLE customer (id int NOT NULL PRIMARY KEY)")
    fresh_schema.run(
        "CREATE TABLE `we-ird` (id int NOT NULL, c int, name varchar(20) COLLATE utf8mb4_bin, up varchar(20) AS (UPPER(name)) STORED,"
        " UNIQUE KEY u (name(3)), UNIQUE KEY v (id), KEY e ((LOWER(name))), PRIMARY KEY (id),"
        " CONSTRAINT of_customer FOREIGN KEY (c) REFERENCES customer (id))"
    )
    fresh_schema.run("INSERT INTO `we-ird` (id, name) VALUES (1, 'a'), (2, 'b')")
    fresh_schema.run("ALTER TABLE `we-ird` ADD COLUMN later int, ALGORITHM=INSTANT")
    fresh_schema.run("ANALYZE TABLE `we-ird`")
    fresh_schema.run("CREATE VIEW seen AS SELECT id FROM `we-ird`")
    fresh_schema.run("CREATE TRIGGER ai AFTER INSERT ON `we-ird` FOR EACH ROW SET @x = 1")
    fresh_schema.run("CREATE PROCEDURE counts() SELECT COUNT(*) FROM `we-ird`")
    fresh_schema.run("CREATE PROCEDURE other() SELECT COUNT(*) FROM `we-irder`")
    fresh_schema.run("CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2100-01-01' DO DELETE FROM `we-ird`")
    name = fresh_schema.name
    async with await reading(fresh_schema.server, lone_settings) as connection:
        table = await read_table(connection, name, "we-ird")

    assert table is not None
    assert 2 == table.rows
    assert 0 < table.bytes
    assert 1 == table.row_versions
    assert [("PRIMARY", True, ("id",), False, False), ("e", False, ("",), True, False)] == [
        (one.name, one.unique, one.columns, one.nullable, one.prefixed) for one in table.indexes[:2]
    ]
    assert {"u": True, "v": False} == {one.name: one.prefixed for one in table.indexes if one.name in {"u", "v"}}
    assert ("STORED", "utf8mb4_bin") == (table.columns[3].generated, table.columns[2].collation)
    assert [
        f"trigger {name}.ai",
        f"foreign key {name}.we-ird.of_customer (c) → {name}.customer (id)",
        f"view {name}.seen",
        f"procedure {name}.counts",
        f"event {name}.nightly",
    ] == list(table.dependents)


async def test_triggers_of_other_tables_that_use_a_table_are_its_dependents(fresh_schema: Schema, lone_settings: MySQLSettings) -> None:
    fresh_schema.run("CREATE TABLE log (id int PRIMARY KEY)")
    fresh_schema.run("CREATE TABLE src (id int PRIMARY KEY)")
    fresh_schema.run("CREATE TRIGGER keeps AFTER INSERT ON src FOR EACH ROW INSERT INTO log VALUES (NEW.id)")
    fresh_schema.run("CREATE TRIGGER other AFTER DELETE ON src FOR EACH ROW SET @logs = 1")
    fresh_schema.run("CREATE TRIGGER own BEFORE INSERT ON log FOR EACH ROW SET @log = NEW.id")
    async with await reading(fresh_schema.server, lone_settings) as connection:
        table = await read_table(connection, fresh_schema.name, "log")

    assert table is not None
    assert (f"trigger {fresh_schema.name}.own", f"trigger {fresh_schema.name}.keeps") == table.dependents


async def test_a_generated_invisible_key_is_shown(fresh_schema: Schema, lone_settings: MySQLSettings, mysql_server: MySQLServer) -> None:
    with mysql_server.admin(database=fresh_schema.name) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_generate_invisible_primary_key = 1")
        cursor.execute("CREATE TABLE orders (a int)")

    assert "my_row_id" in (await facts_of(fresh_schema, lone_settings)).show_create


async def test_an_account_that_would_be_shown_no_triggers_is_sent_to_a_person(
    fresh_schema: Schema, mysql_server: MySQLServer, lone_settings: MySQLSettings
) -> None:
    fresh_schema.run(ORDERS)
    name = fresh_schema.name.replace("_", r"\_")
    mysql_server.run(f"REVOKE TRIGGER ON `{name}`.* FROM skeebot_read")
    try:
        with pytest.raises(NeedsHuman, match="GRANT TRIGGER"):
            await facts_of(fresh_schema, lone_settings)
    finally:
        mysql_server.run(f"GRANT TRIGGER ON `{name}`.* TO skeebot_read")


def test_the_right_to_see_triggers_is_read_from_the_grants() -> None:
    assert sees_triggers([r"GRANT SELECT, TRIGGER ON `shop\_orders`.* TO `r`@`%`"], "shop_orders")
    assert sees_triggers(["GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION"], "shop")
    assert sees_triggers(["GRANT TRIGGER ON `shop_%`.* TO `r`@`%`"], "shop_orders")
    assert not sees_triggers([r"GRANT TRIGGER ON `shop\_orders`.* TO `r`@`%`", "GRANT SELECT ON `shop`.* TO `r`@`%`"], "shopXorders")
    assert not sees_triggers(["GRANT TRIGGER ON `shop`.`orders` TO `r`@`%`"], "shop")
    assert not sees_triggers(["GRANT TRIGGER ON *.* TO `r`@`%`", "REVOKE TRIGGER ON `shop`.* FROM `r`@`%`"], "shop")


# ── Definitions ──


async def test_definitions_are_equal_whatever_the_table_its_checks_and_its_next_number_are_called(fresh_schema: Schema) -> None:
    fresh_schema.run(ORDERS.replace("CONSTRAINT total", "CONSTRAINT a_last CHECK (total < 90), CONSTRAINT total"))
    fresh_schema.run("CREATE TABLE copied LIKE orders")  # as gh-ost makes its copy
    fresh_schema.run("INSERT INTO orders (total) VALUES (1), (2)")
    orders = fresh_schema.run("SHOW CREATE TABLE orders")[0]["Create Table"]
    copied = fresh_schema.run("SHOW CREATE TABLE copied")[0]["Create Table"]

    assert normalised(orders) == normalised(copied)
    assert definition_hash(orders) == definition_hash(copied)
    fresh_schema.run("ALTER TABLE copied ADD CONSTRAINT one_more CHECK (total < 10)")
    assert definition_hash(orders) != definition_hash(fresh_schema.run("SHOW CREATE TABLE copied")[0]["Create Table"])


async def test_what_looks_like_syntax_inside_quotes_is_left_alone(fresh_schema: Schema) -> None:
    fresh_schema.run(
        "CREATE TABLE `a``(,` (`x,)` int PRIMARY KEY, s varchar(9) DEFAULT '\\'),(' COMMENT 'a \\\\',"
        " g varchar(40) AS (CONCAT(s, '\n)''')),"
        " CONSTRAINT `c``k` CHECK (s <> '),\\'(')) AUTO_INCREMENT=5 COMMENT=') AUTO_INCREMENT=9'"
    )
    shown = fresh_schema.run("SHOW CREATE TABLE `a``(,`")[0]["Create Table"]

    parts, options = elements(shown)

    assert ["`x,)`", "`s`", "`g`", "PRIMARY", "CONSTRAINT"] == [part.split()[0] for part in parts]
    assert options.endswith("COMMENT=') AUTO_INCREMENT=9'")
    assert without_auto_increment(shown).endswith("COMMENT=') AUTO_INCREMENT=9'")
    assert "c``k" not in normalised(shown)


async def test_partitions_belong_to_the_definition(fresh_schema: Schema) -> None:
    fresh_schema.run("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2")
    two = fresh_schema.run("SHOW CREATE TABLE p")[0]["Create Table"]
    fresh_schema.run("ALTER TABLE p ADD PARTITION PARTITIONS 1")

    assert definition_hash(two) != definition_hash(fresh_schema.run("SHOW CREATE TABLE p")[0]["Create Table"])
