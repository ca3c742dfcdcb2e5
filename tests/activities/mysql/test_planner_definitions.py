"""SHOW CREATE TABLE read as text: what is cosmetic, what loads back into the same."""

import pytest

from activities.mysql.definitions import added_anew, alike, auto_increment, dressed_like, inheriting, loadable, plain
from activities.skeema.partitions import maintenance, partitioned, with_partitions_of

HEAD = "CREATE TABLE `t (x)` (\n  `id` int NOT NULL,\n  `a` varchar(9) COLLATE utf8mb4_bin DEFAULT 'COLLATE x',\n"
TAIL = ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"


def table(*parts: str, tail: str = TAIL) -> str:
    return HEAD + ",\n".join(f"  {part}" for part in ("PRIMARY KEY (`id`)", *parts)) + f"\n{tail}"


def test_an_inherited_collation_is_not_loaded_as_an_own_one() -> None:
    assert table().replace("varchar(9) COLLATE utf8mb4_bin", "varchar(9)") == loadable(table())


def test_an_own_collation_stays_and_strings_are_left_alone() -> None:
    own = table().replace("varchar(9) COLLATE", "varchar(9) CHARACTER SET utf8mb4 COLLATE")
    assert own == loadable(own)
    listed = table().replace("varchar(9) COLLATE utf8mb4_bin", "enum('x COLLATE y','it''s )') COLLATE utf8mb4_bin")
    assert "enum('x COLLATE y','it''s )') DEFAULT" in loadable(listed)


def test_an_alter_lets_a_column_inherit_what_it_inherits_in_the_file() -> None:
    part = "`a` varchar(9) COLLATE utf8mb4_bin DEFAULT 'COLLATE x'"
    statement = f"ALTER TABLE `t (x)` MODIFY COLUMN {part} AFTER `id`"
    assert "ALTER TABLE `t (x)` MODIFY COLUMN `a` varchar(9) DEFAULT 'COLLATE x' AFTER `id`" == inheriting(statement, table())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (table("KEY `k` (`a`)", "KEY `l` (`id`)"), table("KEY `l` (`id`)", "KEY `k` (`a`)")),
        (table("CONSTRAINT `c` CHECK ((`id` > 0))"), table("CONSTRAINT `t_chk_1` CHECK ((`id` > 0))")),
        (table(), table(tail=TAIL.replace("InnoDB", "InnoDB AUTO_INCREMENT=7"))),
        (table(), table().replace("varchar(9) COLLATE", "varchar(9) CHARACTER SET utf8mb4 COLLATE")),
        (table("KEY `k` (`a`)"), table("KEY `k` (`a`) KEY_BLOCK_SIZE=8")),
    ],
)
def test_cosmetic_differences(one: str, other: str) -> None:
    assert one != other
    assert alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (table("KEY `k` (`a`)"), table()),
        (table("KEY `k` (`a`)"), table("KEY `l` (`a`)")),
        (table("CONSTRAINT `c` CHECK ((`id` > 0))"), table("CONSTRAINT `c` CHECK ((`id` > 0)) /*!80016 NOT ENFORCED */")),
        (table(), table().replace("utf8mb4_bin DEFAULT", "utf8mb4_general_ci DEFAULT").replace("(9) COL", "(9) CHARACTER SET utf8mb4 COL")),
        (table(), table(tail=f"{TAIL} COMMENT='x'")),
        (table(), None),
    ],
)
def test_real_differences(one: str, other: str | None) -> None:
    assert not alike(one, other)


def test_a_definition_takes_on_the_cosmetics_of_another_and_keeps_what_is_its_own() -> None:
    live = table("KEY `k` (`a`)", "KEY `l` (`id`)", "CONSTRAINT `t_chk_1` CHECK ((`id` > 0))")
    file = table(
        "KEY `l` (`id`)", "KEY `new` (`id`,`a`)", "KEY `k` (`a`)", "CONSTRAINT `c` CHECK ((`id` > 0))", "CONSTRAINT `d` CHECK ((1 = 1))"
    )
    wanted = table(
        "KEY `k` (`a`)",
        "KEY `l` (`id`)",
        "KEY `new` (`id`,`a`)",
        "CONSTRAINT `t_chk_1` CHECK ((`id` > 0))",
        "CONSTRAINT `d` CHECK ((1 = 1))",
    )
    assert wanted == dressed_like("t (x)", file, live)


def test_a_renamed_key_stays_where_it_is() -> None:
    live, file = table("KEY `k` (`a`)", "KEY `l` (`id`)"), table("KEY `l` (`id`)", "KEY `k2` (`a`)")
    assert table("KEY `k2` (`a`)", "KEY `l` (`id`)") == dressed_like("t (x)", file, live)


def test_a_column_is_dropped_and_added_in_its_place() -> None:
    create = table().replace("  PRIMARY", "  `g` int GENERATED ALWAYS AS ((`id` + 1)) STORED,\n  PRIMARY")
    part = "`g` int GENERATED ALWAYS AS ((`id` + 1)) STORED"
    assert f"ALTER TABLE `t` DROP COLUMN `g`, ADD COLUMN {part} AFTER `a`, ADD KEY `k` (`a`)" == added_anew(
        f"ALTER TABLE `t` MODIFY COLUMN {part}, ADD KEY `k` (`a`)", create, ["g"]
    )
    assert f"ALTER TABLE `t` DROP COLUMN `g`, ADD COLUMN {part} FIRST" == added_anew(
        f"ALTER TABLE `t` MODIFY COLUMN {part} FIRST", create, ["g"]
    )


def test_an_alter_is_one_line_without_executable_comments_and_its_strings_stay() -> None:
    said = (
        "ALTER TABLE `a /*!80000 b */` ADD CHECK (1) /*!80016 NOT ENFORCED */, COMMENT 'x /*!80000 y */\\'\n' /*!50100 PARTITION BY\n(p) */"
    )
    assert "ALTER TABLE `a /*!80000 b */` ADD CHECK (1) NOT ENFORCED, COMMENT 'x /*!80000 y */\\'\n' PARTITION BY (p)" == plain(said)


def test_where_auto_increment_stands() -> None:
    assert 1 == auto_increment("")
    assert 1 == auto_increment(table(tail=f"{TAIL} COMMENT=' AUTO_INCREMENT=5'"))
    assert 7 == auto_increment(table(tail=TAIL.replace("InnoDB", "InnoDB AUTO_INCREMENT=7")))


# ── Partitions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def parted(*lines: str, by: str = "RANGE (`id`)") -> str:
    return table() + f"\n/*!50100 PARTITION BY {by}\n(" + ",\n ".join(lines) + ") */"


P0, P1, P2 = (f"PARTITION p{number} VALUES LESS THAN ({number + 1}0) ENGINE = InnoDB" for number in range(3))


@pytest.mark.parametrize(
    ("before", "after", "statement"),
    [
        ((P0,), (P0, P1, P2), f"ADD PARTITION ({P1}, {P2})"),
        ((P0, P1, P2), (P1, P2), "DROP PARTITION p0"),
        ((P0, P2), (P0, P1, P2), f"REORGANIZE PARTITION p2 INTO ({P1}, {P2})"),
        ((P0, P1), (P0, P2), f"REORGANIZE PARTITION p1 INTO ({P2})"),
        ((P0, P1), (P1, P2), f"REORGANIZE PARTITION p0, p1 INTO ({P1}, {P2})"),
    ],
)
def test_the_list_of_partitions(before: tuple[str, ...], after: tuple[str, ...], statement: str) -> None:
    assert f"ALTER TABLE `t` {statement}" == maintenance("t", parted(*before), parted(*after))


def test_the_number_of_partitions() -> None:
    four, two = (f"{table()}\n/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS {number} */" for number in (4, 2))
    assert "ALTER TABLE `t` COALESCE PARTITION 2" == maintenance("t", four, two)
    assert "ALTER TABLE `t` ADD PARTITION PARTITIONS 2" == maintenance("t", two, four)


def test_what_is_more_than_maintenance_is_left_to_skeema() -> None:
    assert "" == maintenance("t", table(), parted(P0))
    assert "" == maintenance("t", parted(P0), parted(P0, by="RANGE (`a`)"))
    assert "" == maintenance("t", parted(P0), parted(P0))


def test_partitions_are_lent_for_the_rest_of_the_comparison() -> None:
    one, other = parted(P0), parted(P0, P1).replace("`id` int", "`id` bigint")
    assert one.replace("`id` int", "`id` bigint") == with_partitions_of(other, one)
    assert None is partitioned(table())
