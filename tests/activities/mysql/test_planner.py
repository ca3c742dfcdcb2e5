"""Plans on the embedded topology: real servers, real skeema; only git is left out."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from activities.mysql.introspect import definition_hash
from embedded.mysql import MySQLServer, Topology, wait_for_replica
from embedded.tools import Tools
from tests.activities.mysql.planning import REF, Planner, planner_on
from workflows.messages import Applied
from workflows.rules.names import HeadSha
from workflows.rules.plan import ChangeKind, DatabasePlan, PlannedMigration, Refusal, Strategy

ORDERS = "CREATE TABLE `orders` (`id` int NOT NULL AUTO_INCREMENT, `note` varchar(40), PRIMARY KEY (`id`))"
WIDER = ORDERS.replace("varchar(40)", "varchar(60)")
LINES = "CREATE TABLE `lines` (`id` int NOT NULL, `order_id` int, PRIMARY KEY (`id`), KEY `order_id` (`order_id`))"

_numbers = itertools.count(1)


@pytest.fixture
def planner(mysql_topology: Topology, tools: Tools, tmp_path: Path) -> Iterator[Planner]:
    """A schema of its own in staging."""
    yield from _on(mysql_topology, tools, tmp_path, (mysql_topology.staging,))


@pytest.fixture
def sharded(mysql_topology: Topology, tools: Tools, tmp_path: Path) -> Iterator[Planner]:
    """A schema of its own on both shards of production."""
    yield from _on(mysql_topology, tools, tmp_path, (mysql_topology.production_a, mysql_topology.production_b))


def _on(topology: Topology, tools: Tools, folder: Path, servers: tuple[MySQLServer, ...]) -> Iterator[Planner]:
    name = f"plan_{os.getpid()}_{next(_numbers)}"
    for server in servers:
        server.create_schema(name)
    if topology.production_a in servers:
        wait_for_replica(topology.production_a, topology.production_a_replica)
    yield planner_on(topology, name, tools, folder, servers)
    for server in servers:
        server.drop_schema(name)


def only(plan: DatabasePlan) -> PlannedMigration:
    assert None is plan.refusal
    assert 1 == len(plan.migrations)
    return plan.migrations[0]


def refusal(plan: DatabasePlan) -> Refusal:
    assert plan.refusal is not None
    assert () == plan.migrations
    return plan.refusal


def codes(migration: PlannedMigration, *, unsafe: bool) -> list[str]:
    return [risk.code for risk in migration.risks if risk.unsafe == unsafe]


# ── What is planned ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_alter_goes_through_gh_ost_with_everything_a_reviewer_needs(planner: Planner) -> None:
    planner.run(ORDERS, "INSERT INTO orders (note) VALUES ('a'), ('b')", "ANALYZE TABLE orders")
    one = only(await planner.plan({"orders": ORDERS}, {"orders": WIDER}))
    assert "ALTER TABLE `orders` MODIFY COLUMN `note` varchar(60) DEFAULT NULL" == one.statement
    assert (ChangeKind.ALTER_TABLE, Strategy.GH_OST) == (one.kind, one.strategy)
    assert planner.target("orders") == one.target
    assert 2 == one.rows
    assert one.bytes > 0
    assert one.seconds > 0
    assert one.fingerprint
    assert "" != one.why != one.revert_until != ""
    assert [] == codes(one, unsafe=True)
    planner.run(one.statement)
    [shown] = planner.topology.staging.run("SHOW CREATE TABLE orders", schema=planner.schema)
    assert definition_hash(shown["Create Table"]) == one.expected


async def test_a_create_is_direct_and_expects_no_table(planner: Planner) -> None:
    one = only(await planner.plan({}, {"orders": ORDERS}))
    assert (ChangeKind.CREATE_TABLE, Strategy.DIRECT, "") == (one.kind, one.strategy, one.fingerprint)
    planner.run(one.statement)
    assert () == (await planner.plan({}, {"orders": ORDERS})).migrations


async def test_a_drop_is_direct_and_needs_a_dba(planner: Planner) -> None:
    planner.run(ORDERS)
    one = only(await planner.plan({"orders": ORDERS, "lines": LINES}, {"lines": LINES}))
    assert (ChangeKind.DROP_TABLE, Strategy.DIRECT, "DROP TABLE `orders`") == (one.kind, one.strategy, one.statement)
    assert "" == one.expected
    assert ["drop-table"] == codes(one, unsafe=True)


async def test_creates_come_first_with_parents_before_children_and_drops_last(planner: Planner) -> None:
    planner.run(ORDERS, LINES)
    parent = "CREATE TABLE `z_parent` (`id` int NOT NULL, PRIMARY KEY (`id`))"
    child = (
        "CREATE TABLE `a_child` (`id` int NOT NULL, PRIMARY KEY (`id`), CONSTRAINT `up` FOREIGN KEY (`id`) REFERENCES `z_parent` (`id`))"
    )
    plan = await planner.plan({"orders": ORDERS, "lines": LINES}, {"orders": WIDER, "z_parent": parent, "a_child": child})
    assert ["z_parent", "a_child", "orders", "lines"] == [one.target.table for one in plan.migrations]
    assert [0, 1, 2, 3] == [one.position for one in plan.migrations]


async def test_only_the_pull_requests_tables_are_touched_whatever_else_differs(planner: Planner) -> None:
    planner.run(ORDERS, LINES.replace("int,", "bigint,"), "CREATE TABLE nobody_knows (id int primary key)")
    plan = await planner.plan({"orders": ORDERS, "lines": LINES}, {"orders": WIDER, "lines": LINES})
    assert "orders" == only(plan).target.table
    assert () == plan.drift


async def test_what_is_live_already_needs_nothing_and_is_said(planner: Planner) -> None:
    planner.run(WIDER)
    plan = await planner.plan({"orders": ORDERS}, {"orders": WIDER})
    assert ((), ()) == (plan.migrations, plan.drift)
    assert ("`orders` is as the file says already: nothing to run there.",) == plan.notes


async def test_rows_written_meanwhile_change_neither_the_plan_nor_the_fingerprint(planner: Planner) -> None:
    planner.run(ORDERS)
    before = only(await planner.plan({"orders": ORDERS}, {"orders": WIDER}))
    planner.run("INSERT INTO orders (note) VALUES ('a'), ('b')")
    after = only(await planner.plan({"orders": ORDERS}, {"orders": WIDER}))
    assert (before.statement, before.fingerprint, before.expected) == (after.statement, after.fingerprint, after.expected)


async def test_the_order_of_keys_and_a_spelled_out_collation_are_no_reason_to_copy_a_table(planner: Planner) -> None:
    live = "CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(9), KEY `k` (`a`), KEY `l` (`a`,`id`)) COLLATE=utf8mb4_bin"
    file = (
        "CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,"
        " KEY `l` (`a`,`id`), KEY `k` (`a`)) COLLATE=utf8mb4_bin"
    )
    planner.run(live)
    assert () == (await planner.plan({}, {"t": file})).migrations
    one = only(await planner.plan({"t": live}, {"t": file.replace("`id` int ", "`id` bigint ")}))
    assert "ALTER TABLE `t` MODIFY COLUMN `id` bigint NOT NULL" == one.statement
    planner.run(one.statement)
    [shown] = planner.topology.staging.run("SHOW CREATE TABLE t", schema=planner.schema)
    assert definition_hash(shown["Create Table"]) == one.expected


async def test_names_that_gh_ost_gave_to_checks_are_no_difference(planner: Planner) -> None:
    checked = ORDERS[:-1] + ", CONSTRAINT `in_file` CHECK (`note` <> ''))"
    planner.run(checked.replace("in_file", "_orders_gho_chk_1"))
    assert () == (await planner.plan({}, {"orders": checked})).migrations
    wider = checked.replace("varchar(40)", "varchar(60)")
    plan = await planner.plan({"orders": checked}, {"orders": wider})
    assert "ALTER TABLE `orders` MODIFY COLUMN `note` varchar(60) DEFAULT NULL" == only(plan).statement
    assert () == plan.drift


# ── Drift ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_drift_on_a_table_of_the_pull_request_is_shown_as_the_statement_that_made_it(planner: Planner) -> None:
    planner.run(ORDERS[:-1] + ", KEY `by_note` (`note`))")
    plan = await planner.plan({"orders": ORDERS}, {"orders": WIDER})
    assert ["ALTER TABLE `orders` ADD KEY `by_note` (`note`)"] == [one.statement for one in plan.unexplained_drift]
    assert ["drop-index"] == codes(only(plan), unsafe=True)


async def test_another_pull_requests_applied_change_is_named_instead_of_undone(planner: Planner) -> None:
    planner.run(ORDERS)
    statement = "ALTER TABLE `orders` ADD KEY `by_note` (`note`)"
    planner.run(statement)
    planner.applied.append(Applied(planner.target("orders"), "acme/shop", 5, HeadSha("d" * 40), statement))
    plan = await planner.plan({"orders": ORDERS}, {"orders": WIDER})
    assert ("acme/shop#5",) == plan.blocking_pull_requests
    assert () == plan.unexplained_drift


async def test_drift_beside_another_pull_requests_change_is_still_shown(planner: Planner) -> None:
    planner.run(ORDERS)
    statement = "ALTER TABLE `orders` ADD KEY `by_note` (`note`)"
    planner.run(statement, "ALTER TABLE orders COMMENT 'by hand'")
    planner.applied.append(Applied(planner.target("orders"), "acme/shop", 5, HeadSha("d" * 40), statement))
    plan = await planner.plan({"orders": ORDERS}, {"orders": WIDER})
    assert ("acme/shop#5",) == plan.blocking_pull_requests
    assert ["ALTER TABLE `orders` COMMENT 'by hand'"] == [one.statement for one in plan.unexplained_drift]


async def test_an_applied_change_that_is_merged_by_now_blocks_nobody(planner: Planner) -> None:
    statement = "ALTER TABLE `orders` ADD KEY `by_note` (`note`)"
    keyed = ORDERS[:-1] + ", KEY `by_note` (`note`))"
    planner.run(keyed)
    planner.applied.append(Applied(planner.target("orders"), "acme/shop", 5, HeadSha("d" * 40), statement))
    plan = await planner.plan({"orders": keyed}, {"orders": keyed.replace("varchar(40)", "varchar(60)")})
    assert () == plan.drift


async def test_the_pull_requests_own_applied_change_is_no_drift(planner: Planner) -> None:
    planner.run(WIDER)
    desired = WIDER[:-1] + ", KEY `by_note` (`note`))"
    own = Applied(planner.target("orders"), REF.repository, REF.number, HeadSha("d" * 40), "ALTER TABLE `orders` MODIFY `note` varchar(60)")
    planner.applied.append(own)
    assert () == (await planner.plan({"orders": ORDERS}, {"orders": desired})).drift
    planner.applied.clear()
    assert () == (await planner.plan({"orders": ORDERS}, {"orders": desired}, completed=[planner.target("orders")])).drift
    assert 1 == len((await planner.plan({"orders": ORDERS}, {"orders": desired})).drift)


async def test_a_stale_branch_cannot_drop_what_live_has_and_the_merge_keeps(planner: Planner) -> None:
    """The files are the test merge's: a column that somebody else merged is in them (SAFETY §S1)."""
    merged = ORDERS[:-1] + ", KEY `theirs` (`note`))"
    planner.run(merged)
    plan = await planner.plan({"orders": merged}, {"orders": merged.replace("varchar(40)", "varchar(60)")})
    assert "KEY" not in only(plan).statement
    assert () == plan.drift


# ── Shards ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_shard_gets_its_migration_and_likeness_is_silent(sharded: Planner) -> None:
    sharded.run(ORDERS)
    plan = await sharded.plan({"orders": ORDERS}, {"orders": WIDER}, environment="production")
    assert [("a", 0), ("b", 0)] == [(one.target.shard, one.position) for one in plan.migrations]
    assert 1 == len({one.statement for one in plan.migrations})
    assert 2 == len({one.fingerprint for one in plan.migrations})
    assert () == plan.notes


async def test_shards_that_differ_are_named(sharded: Planner) -> None:
    sharded.run(ORDERS)
    sharded.run("ALTER TABLE orders MODIFY note varchar(60)", on=sharded.topology.production_b)
    plan = await sharded.plan({"orders": ORDERS}, {"orders": WIDER}, environment="production")
    assert ["a"] == [one.target.shard for one in plan.migrations]
    assert "`orders` is as the file says already on shard b: nothing to run there." in plan.notes
    assert "`orders` is not the same on every shard. Alike are: a; b." in plan.notes


# ── Strategies ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_instant_change_is_instant_only_where_the_repository_allows_it(planner: Planner) -> None:
    planner.run(ORDERS)
    desired = ORDERS.replace(", PRIMARY KEY", ", `extra` int, PRIMARY KEY")
    assert Strategy.GH_OST is only(await planner.plan({"orders": ORDERS}, {"orders": desired})).strategy
    one = only(await planner.plan({"orders": ORDERS}, {"orders": desired}, allow_instant=True))
    assert Strategy.INSTANT is one.strategy
    assert one.statement.endswith(", ALGORITHM=INSTANT")
    planner.run(one.statement)
    assert () == (await planner.plan({"orders": ORDERS}, {"orders": desired}, allow_instant=True)).migrations


async def test_a_change_that_mysql_would_not_make_instantly_goes_through_gh_ost(planner: Planner) -> None:
    planner.run(ORDERS)
    desired = ORDERS[:-1] + ", KEY `by_note` (`note`))"
    assert Strategy.GH_OST is only(await planner.plan({"orders": ORDERS}, {"orders": desired}, allow_instant=True)).strategy


@pytest.mark.parametrize(
    ("prepare", "because"),
    [
        ("CREATE TABLE kid (id int primary key, CONSTRAINT up FOREIGN KEY (id) REFERENCES orders (id))", "foreign keys"),
        ("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'x'", "triggers"),
    ],
)
async def test_what_gh_ost_refuses_is_for_a_person_and_says_why(planner: Planner, prepare: str, because: str) -> None:
    planner.run(ORDERS)
    planner.run(prepare)
    one = only(await planner.plan({"orders": ORDERS}, {"orders": WIDER}))
    assert Strategy.MANUAL is one.strategy
    assert because in one.why
    assert "mark-complete" in one.why
    assert 1 == len(one.dependents)


async def test_a_table_without_a_usable_key_is_for_a_person(planner: Planner) -> None:
    loose = "CREATE TABLE `loose` (`a` int, UNIQUE KEY `a` (`a`))"
    planner.run(loose)
    one = only(await planner.plan({"loose": loose}, {"loose": loose.replace("`a` int,", "`a` int, `b` int,")}))
    assert Strategy.MANUAL is one.strategy
    assert "primary key" in one.why


async def test_a_dropped_check_is_for_a_person_because_gh_osts_copy_has_another_name_for_it(planner: Planner) -> None:
    checked = ORDERS[:-1] + ", CONSTRAINT `c` CHECK (`note` <> ''))"
    planner.run(checked)
    one = only(await planner.plan({"orders": checked}, {"orders": ORDERS}))
    assert (Strategy.MANUAL, "ALTER TABLE `orders` DROP CHECK `c`") == (one.strategy, one.statement)
    assert "CHECK" in one.why
    assert ["drop-check"] == codes(one, unsafe=True)
    assert Strategy.GH_OST is only(await planner.plan({"orders": checked}, {"orders": checked.replace("(40)", "(60)")})).strategy


@pytest.mark.parametrize(
    ("before", "after", "because"),
    [
        ("`b` int, `c` int AS (`b` * 2) STORED", "`b` int, `c` int", "`c` over: it does not copy computed columns"),
        ("`c` set('a','b')", "`c` set('b','a')", "`c` over: it writes the values of SET by their numbers"),
        ("`c` decimal(5,2)", "`c` varchar(20)", "`c` over: it writes the numbers without"),
        ("`c` varchar(9) CHARACTER SET ucs2", "`c` varchar(9)", "`c` over: it cannot read ucs2"),
        ("`c` int", "`c` int, `qty` int NOT NULL", "cannot fill `qty` in the rows that live: NOT NULL without a DEFAULT"),
    ],
)
async def test_columns_that_gh_ost_would_not_carry_over_are_for_a_person(planner: Planner, before: str, after: str, because: str) -> None:
    live, file = (ORDERS.replace("`note` varchar(40)", columns) for columns in (before, after))
    planner.run(live)
    one = only(await planner.plan({"orders": live}, {"orders": file}))
    assert Strategy.MANUAL is one.strategy
    assert because in one.why
    assert "A DBA runs it by hand at a quiet time, then comments `.skeefree mark-complete`" in one.why


async def test_a_new_column_that_every_row_can_get_goes_through_gh_ost(planner: Planner) -> None:
    planner.run(ORDERS)
    columns = "`a` int NOT NULL DEFAULT 7, `b` json NOT NULL DEFAULT (json_array()), `c` int AS (`a`) STORED NOT NULL, PRIMARY"
    assert Strategy.GH_OST is only(await planner.plan({"orders": ORDERS}, {"orders": ORDERS.replace("PRIMARY", columns)})).strategy


async def test_a_name_spelled_in_another_case_is_a_rename_and_keeps_its_values(planner: Planner) -> None:
    live = ORDERS.replace("`note`", "`Note`")[:-1] + ", KEY `by_note` (`Note`))"
    file = live.replace("`Note`", "`note`")
    planner.run(live, "INSERT INTO orders (Note) VALUES ('kept')")

    kept = only(await planner.plan({"orders": live}, {"orders": file}))
    assert (Strategy.MANUAL, "ALTER TABLE `orders` RENAME COLUMN `Note` TO `note`") == (kept.strategy, kept.statement)
    assert "`Note` → `note`" in kept.why
    assert "mark-complete" in kept.why
    assert ([], ["respelled"]) == (codes(kept, unsafe=True), codes(kept, unsafe=False))

    instant = only(await planner.plan({"orders": live}, {"orders": file}, allow_instant=True))
    assert Strategy.INSTANT is instant.strategy
    planner.run(instant.statement)
    assert [{"id": 1, "note": "kept"}] == planner.topology.staging.run("SELECT * FROM orders", schema=planner.schema)
    assert () == (await planner.plan({"orders": live}, {"orders": file})).migrations


async def test_a_name_in_another_case_beside_another_change_of_the_column_loses_nothing_either(planner: Planner) -> None:
    live = ORDERS.replace("`note`", "`Note`")
    file = ORDERS.replace("`note` varchar(40)", "`extra` int, `note` varchar(60)")
    planner.run(live, "INSERT INTO orders (Note) VALUES ('kept')")

    plan = await planner.plan({"orders": live}, {"orders": file})
    assert None is plan.refusal
    assert {Strategy.MANUAL} == {one.strategy for one in plan.migrations}
    planner.run(*(one.statement for one in plan.migrations))
    assert [{"id": 1, "extra": None, "note": "kept"}] == planner.topology.staging.run("SELECT * FROM orders", schema=planner.schema)


async def test_a_name_in_another_case_that_mysql_cannot_rename_is_refused(planner: Planner) -> None:
    live = ORDERS.replace("`note` varchar(40)", "`Note` varchar(40), `g` varchar(40) AS (lower(`Note`)) VIRTUAL")
    planner.run(live)
    stop = refusal(await planner.plan({"orders": live}, {"orders": live.replace("`Note`", "`note`")}))
    assert "case-of-a-column" == stop.code
    assert "`Note` → `note`" in stop.what
    assert "Keep the spelling" in stop.next


async def test_two_columns_that_only_look_alike_are_two(planner: Planner) -> None:
    live, file = (ORDERS.replace("`note`", name) for name in ("`straße`", "`strasse`"))
    planner.run(live)
    assert "drop-column" in codes(only(await planner.plan({"orders": live}, {"orders": file})), unsafe=True)


async def test_a_table_whose_name_is_too_long_for_its_copys_checks_is_for_a_person(planner: Planner) -> None:
    name = "t" * 59
    live = f"CREATE TABLE `{name}` (`id` int NOT NULL, PRIMARY KEY (`id`), CONSTRAINT `c` CHECK (`id` > 0))"
    planner.run(live)
    one = only(await planner.plan({name: live}, {name: live.replace("PRIMARY", "`a` int, PRIMARY")}))
    assert Strategy.MANUAL is one.strategy
    assert f"{name}_chk_1" in one.why
    assert "mark-complete" in one.why


async def test_a_primary_key_is_replaced_through_gh_ost(planner: Planner) -> None:
    planner.run(LINES)
    file = LINES.replace("`order_id` int", "`order_id` int NOT NULL").replace("PRIMARY KEY (`id`)", "PRIMARY KEY (`id`,`order_id`)")
    one = only(await planner.plan({"lines": LINES}, {"lines": file}))
    assert "DROP PRIMARY KEY, ADD PRIMARY KEY" in one.statement
    assert Strategy.GH_OST is one.strategy, one.why


async def test_partition_maintenance_is_for_a_person(planner: Planner) -> None:
    parted = "CREATE TABLE `p` (`id` int NOT NULL, PRIMARY KEY (`id`)) PARTITION BY RANGE (`id`) (PARTITION p0 VALUES LESS THAN (10){})"
    before, after = parted.format(""), parted.format(", PARTITION p1 VALUES LESS THAN (20)")
    planner.run(before)
    one = only(await planner.plan({"p": before}, {"p": after}))
    assert (Strategy.MANUAL, True) == (one.strategy, "ADD PARTITION" in one.statement)
    planner.run(after.replace("`p`", "`q`"))
    fewer = only(await planner.plan({"q": after.replace("`p`", "`q`")}, {"q": before.replace("`p`", "`q`")}))
    assert ["drop-partition"] == codes(fewer, unsafe=True)


# ── Risks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_not_null_over_nulls_is_unsafe_and_without_them_it_is_not(planner: Planner) -> None:
    planner.run(ORDERS, "INSERT INTO orders (note) VALUES ('a')")
    desired = ORDERS.replace("varchar(40)", "varchar(40) NOT NULL")
    assert [] == codes(only(await planner.plan({"orders": ORDERS}, {"orders": desired})), unsafe=True)
    planner.run("INSERT INTO orders (note) VALUES (NULL)")
    assert ["null-values"] == codes(only(await planner.plan({"orders": ORDERS}, {"orders": desired})), unsafe=True)


async def test_a_unique_key_over_duplicates_is_unsafe_also_when_only_the_new_collation_makes_them(planner: Planner) -> None:
    exact = ORDERS.replace("varchar(40)", "varchar(40) COLLATE utf8mb4_bin")[:-1] + ", UNIQUE KEY `u` (`note`))"
    planner.run(exact, "INSERT INTO orders (note) VALUES ('a'), ('b')")
    folded = exact.replace("utf8mb4_bin", "utf8mb4_0900_ai_ci")
    assert [] == codes(only(await planner.plan({"orders": exact}, {"orders": folded})), unsafe=True)
    planner.run("INSERT INTO orders (note) VALUES ('A')")
    assert ["duplicates"] == codes(only(await planner.plan({"orders": exact}, {"orders": folded})), unsafe=True)


async def test_rows_that_violate_a_new_check_are_found(planner: Planner) -> None:
    planner.run(ORDERS, "INSERT INTO orders (note) VALUES ('it''s')")
    desired = ORDERS[:-1] + ", CONSTRAINT `c` CHECK (`note` <> 'it''s \\\\'))"
    assert [] == codes(only(await planner.plan({"orders": ORDERS}, {"orders": desired})), unsafe=True)
    planner.run("INSERT INTO orders (note) VALUES ('it''s \\\\')")
    assert ["check-violated"] == codes(only(await planner.plan({"orders": ORDERS}, {"orders": desired})), unsafe=True)


async def test_a_table_dropped_beside_a_created_one_of_the_same_shape_may_be_a_rename(planner: Planner) -> None:
    planner.run(ORDERS)
    plan = await planner.plan({"orders": ORDERS}, {"purchases": ORDERS.replace("orders", "purchases")})
    [dropped] = [one for one in plan.migrations if one.kind is ChangeKind.DROP_TABLE]
    assert ["drop-table", "ambiguous-rename"] == codes(dropped, unsafe=True)


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_table_that_others_refer_to_is_not_dropped(planner: Planner) -> None:
    planner.run(ORDERS, "CREATE TABLE kid (id int primary key, CONSTRAINT up FOREIGN KEY (id) REFERENCES orders (id))")
    stop = refusal(await planner.plan({"orders": ORDERS, "lines": LINES}, {"lines": LINES}))
    assert "drop their foreign keys" in stop.next or "Drop those foreign keys" in stop.next


async def test_a_file_that_mysql_does_not_take_refuses_with_its_name_and_mysqls_words(planner: Planner) -> None:
    planner.run(ORDERS)
    stop = refusal(await planner.plan({"orders": ORDERS}, {"orders": ORDERS.replace("varchar(40)", "varchar(40) DEFAULT 7 UNIQ")}))
    assert "does-not-load" == stop.code
    assert "`orders.sql`" in stop.what
    assert "_skeebot_" not in stop.what


async def test_a_file_that_cannot_be_read_is_never_planned_as_a_drop(planner: Planner) -> None:
    planner.run(ORDERS)
    stop = refusal(await planner.plan({"orders": ORDERS}, {"orders": ORDERS + "; DROP TABLE `lines`"}))
    assert "not-understood" == stop.code


async def test_a_computed_column_that_becomes_ordinary_is_refused_with_what_to_do(planner: Planner) -> None:
    virtual = ORDERS.replace(", PRIMARY", ", `g` varchar(50) AS (lower(`note`)) VIRTUAL, PRIMARY")
    planner.run(virtual)
    stop = refusal(await planner.plan({"orders": virtual}, {"orders": virtual.replace("AS (lower(`note`)) VIRTUAL", "")}))
    assert "not-possible" == stop.code
    assert "drop it in one pull" in stop.next


async def test_a_computed_column_becomes_stored_by_being_dropped_and_added(planner: Planner) -> None:
    virtual = ORDERS.replace(", PRIMARY", ", `g` varchar(50) AS (lower(`note`)) VIRTUAL, PRIMARY")
    planner.run(virtual)
    one = only(await planner.plan({"orders": virtual}, {"orders": virtual.replace("VIRTUAL", "STORED")}))
    assert Strategy.GH_OST is one.strategy
    assert [] == codes(one, unsafe=True)


async def test_an_unmapped_directory_is_refused_by_name(planner: Planner) -> None:
    plan = await planner.plan({}, {"orders": ORDERS}, environment="moon")
    assert plan.refusal is not None
    assert "moon" in plan.refusal.what


async def test_a_cluster_that_is_away_is_a_refusal_not_an_exception(planner: Planner, tmp_path: Path) -> None:
    inventory = planner.settings.mysql.inventory
    assert inventory is not None
    port = planner.topology.staging.port
    inventory.write_text(inventory.read_text().replace(f"rw_port = {port}", "rw_port = 1"))
    stop = refusal(await planner.plan({"orders": ORDERS}, {"orders": WIDER}))
    assert "unreachable" == stop.code
    assert "127.0.0.1:1" in stop.what


async def test_a_program_that_is_not_there_is_refused_by_name(planner: Planner) -> None:
    planner.run(ORDERS)
    diff = planner.settings.diff.model_copy(update={"skeema": "no-such-skeema"})
    planner.settings = planner.settings.model_copy(update={"diff": diff})
    assert "no-such-skeema" in refusal(await planner.plan({"orders": ORDERS}, {"orders": WIDER})).what


async def test_a_workspace_of_other_defaults_is_refused_by_name(planner: Planner) -> None:
    planner.run(ORDERS)
    staging = planner.topology.staging
    staging.run("SET GLOBAL innodb_default_row_format = compact")
    try:
        stop = refusal(await planner.plan({"orders": ORDERS}, {"orders": WIDER}))
    finally:
        staging.run("SET GLOBAL innodb_default_row_format = DEFAULT")
    assert "workspace-variable" == stop.code
    assert "staging/main" in stop.what


async def test_files_are_read_and_proven_under_the_clusters_own_sql_mode(planner: Planner) -> None:
    zero = ORDERS.replace("`note` varchar(40)", "`at` date DEFAULT '0000-00-00'")
    staging = planner.topology.staging
    staging.run("SET GLOBAL sql_mode = 'ANSI_QUOTES'")
    try:
        planner.run(zero)
        one = only(await planner.plan({"orders": zero}, {"orders": zero.replace("PRIMARY", "`x` int, PRIMARY")}))
    finally:
        staging.run("SET GLOBAL sql_mode = DEFAULT")
    assert "ALTER TABLE `orders` ADD COLUMN `x` int DEFAULT NULL" == one.statement
    assert (Strategy.MANUAL, True) == (one.strategy, "Take ANSI_QUOTES out of" in one.why)
    stop = refusal(await planner.plan({"orders": zero}, {"orders": zero.replace("PRIMARY", "`x` int, PRIMARY")}))
    assert "1067" in stop.what


async def test_a_schema_that_is_not_there_is_refused(planner: Planner) -> None:
    planner.schema = "nowhere"
    stop = refusal(await planner.plan({}, {"orders": ORDERS}))
    assert "no schema nowhere" in stop.what


async def test_a_view_of_the_tables_name_is_refused(planner: Planner) -> None:
    planner.run("CREATE VIEW orders AS SELECT 1")
    assert "view" in refusal(await planner.plan({}, {"orders": ORDERS})).what


async def test_a_foreign_key_to_another_schema_is_beyond_the_workspace_and_says_so(planner: Planner) -> None:
    other = f"{planner.schema}_other"
    planner.run(ORDERS)
    planner.topology.staging.create_schema(other)
    try:
        planner.run(
            f"CREATE TABLE `{other}`.p (id int PRIMARY KEY)",
            f"ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES `{other}`.p (id)",
        )
        assert "reaches-elsewhere" == refusal(await planner.plan({"orders": ORDERS}, {"orders": WIDER})).code
    finally:
        planner.run("DROP TABLE orders")
        planner.topology.staging.drop_schema(other)


async def test_options_of_the_base_branch_that_name_another_schema_are_refused(planner: Planner) -> None:
    stop = refusal(await planner.plan({}, {"orders": ORDERS}, options="schema=elsewhere\n"))
    assert "elsewhere" in stop.what


async def test_the_last_table_of_a_directory_is_not_dropped_by_removing_its_file(planner: Planner) -> None:
    planner.run(ORDERS)
    assert "directory-emptied" == refusal(await planner.plan({"orders": ORDERS}, {})).code


async def test_a_plan_that_is_too_large_is_refused_by_name(planner: Planner) -> None:
    tables = {
        f"t{number}": f"CREATE TABLE `t{number}` (`id` int NOT NULL PRIMARY KEY, "
        + ", ".join(f"`c{one}` int COMMENT '{'x' * 1000}'" for one in range(60))
        + ")"
        for number in range(4)
    }
    assert "too-large" == refusal(await planner.plan({}, tables)).code


# ── By hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_statement_by_hand_is_planned_like_any_other(planner: Planner) -> None:
    planner.run(ORDERS)
    one = only(await planner.by_hand("alter table orders add column extra int not null default 7;"))
    assert ("ALTER TABLE `orders` add column extra int not null default 7", Strategy.GH_OST) == (one.statement, one.strategy)
    planner.run(one.statement)
    [shown] = planner.topology.staging.run("SHOW CREATE TABLE orders", schema=planner.schema)
    assert definition_hash(shown["Create Table"]) == one.expected


async def test_a_statement_by_hand_runs_on_the_shards_that_were_named(sharded: Planner) -> None:
    sharded.run(ORDERS)
    plan = await sharded.by_hand("ALTER TABLE orders ADD KEY k (note)", cluster="production", shards=["b"])
    assert ["b"] == [one.target.shard for one in plan.migrations]
    plan = await sharded.by_hand("ALTER TABLE orders ADD KEY k (note)", cluster="production")
    assert ["a", "b"] == [one.target.shard for one in plan.migrations]


async def test_a_rebuild_by_hand_is_no_empty_change(planner: Planner) -> None:
    planner.run(ORDERS)
    assert Strategy.GH_OST is only(await planner.by_hand("ALTER TABLE orders ENGINE=InnoDB")).strategy
    assert () == (await planner.by_hand("ALTER TABLE orders MODIFY note varchar(40)")).migrations


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE orders RENAME TO sold",
        "ALTER TABLE orders RENAME COLUMN note TO remark",
        "ALTER TABLE orders CHANGE note remark varchar(40)",
        "ALTER TABLE orders ADD x int; DROP TABLE orders",
        "ALTER TABLE elsewhere.orders ADD x int",
        "ALTER TABLE orders ADD x nonsense",
        "ALTER TABLE nowhere ADD x int",
        "ALTER TABLE orders DISCARD TABLESPACE",
        "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES mysql.user (host)",
        "/*!80000 ALTER TABLE orders ADD x int */",
        "TRUNCATE TABLE orders",
        "CREATE TABLE orders (id int primary key)",
        "DROP TABLE orders, nowhere",
        "ALTER TABLE orders COMMENT 'never closed",
    ],
)
async def test_a_statement_by_hand_that_is_not_known_to_be_safe_is_refused(planner: Planner, statement: str) -> None:
    planner.run(ORDERS)
    stop = refusal(await planner.by_hand(statement))
    assert stop.what
    assert stop.next


async def test_a_statement_by_hand_that_would_put_an_empty_column_in_the_place_of_a_full_one_is_refused(planner: Planner) -> None:
    planner.run(ORDERS)
    stop = refusal(await planner.by_hand("ALTER TABLE orders DROP COLUMN note, ADD COLUMN note varchar(200), ALGORITHM=INSTANT"))
    assert ("replaces-a-column", True) == (stop.code, "MODIFY COLUMN `note`" in stop.next)


async def test_a_computed_column_may_be_dropped_and_added_again_by_hand(planner: Planner) -> None:
    planner.run("CREATE TABLE orders (id int primary key, twice int AS (id * 2) VIRTUAL)")
    one = only(await planner.by_hand("ALTER TABLE orders DROP COLUMN twice, ADD COLUMN twice int AS (id + id) VIRTUAL"))
    assert [] == [risk for risk in one.risks if risk.unsafe]


def test_the_administrators_errors_are_not_hidden(planner: Planner) -> None:
    with pytest.raises(pymysql.MySQLError):
        planner.run("ALTER TABLE nowhere ADD x int")
