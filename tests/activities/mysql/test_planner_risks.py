"""What a change may lose, judged on structure alone: no server."""

from dataclasses import replace

import pytest

from activities.mysql.judge import Judgement, judge_alter, judge_create, same_shape
from activities.mysql.narrowing import loss, members
from activities.mysql.shapes import Check, Column, ForeignKey, Index, Part, Partition, Shape


def number(kind: str, *, unsigned: bool = False, precision: int | None = None, scale: int | None = None) -> Column:
    return Column("c", kind + (" unsigned" if unsigned else ""), kind.partition("(")[0], precision=precision, scale=scale)


def text(kind: str, characters: int, *, charset: str = "utf8mb4", collation: str = "utf8mb4_0900_ai_ci", width: int = 4) -> Column:
    """characters: of CHAR and VARCHAR; bytes of TEXT types."""
    data_type = kind.partition("(")[0]
    octets = characters * width if data_type in {"char", "varchar"} else characters
    return Column("c", kind, data_type, charset=charset, collation=collation, characters=characters, octets=octets)


def raw(kind: str, octets: int) -> Column:
    return Column("c", kind, kind.partition("(")[0], characters=octets, octets=octets)


def moment(kind: str, fsp: int = 0) -> Column:
    return Column("c", f"{kind}({fsp})" if fsp else kind, kind, fsp=fsp)


def enum(values: str, *, charset: str = "utf8mb4") -> Column:
    return Column("c", f"enum({values})", "enum", charset=charset, collation=f"{charset}_bin", characters=5)


SAFE = {
    "wider integer": (number("int"), number("bigint")),
    "unsigned into a wider signed": (number("int", unsigned=True), number("bigint")),
    "integer into decimal": (number("int"), number("decimal(12,2)", precision=12, scale=2)),
    "integer into text": (number("int"), text("varchar(11)", 11)),
    "small integer into double": (number("int"), number("double")),
    "wider decimal": (number("decimal(10,2)", precision=10, scale=2), number("decimal(12,3)", precision=12, scale=3)),
    "decimal into integer": (number("decimal(9,0)", precision=9, scale=0), number("int")),
    "float into double": (number("float"), number("double")),
    "longer varchar": (text("varchar(10)", 10), text("varchar(20)", 20)),
    "varchar into text": (text("varchar(100)", 100), text("text", 65535)),
    "latin1 into utf8mb4": (text("varchar(10)", 10, charset="latin1", width=1), text("varchar(10)", 10)),
    "ascii into latin1": (text("varchar(10)", 10, charset="ascii", width=1), text("varchar(10)", 10, charset="latin1", width=1)),
    "utf8mb3 into utf8mb4": (text("varchar(10)", 10, charset="utf8mb3", width=3), text("varchar(10)", 10)),
    "another collation": (text("varchar(10)", 10), text("varchar(10)", 10, collation="utf8mb4_bin")),
    "char into varchar": (text("char(10)", 10), text("varchar(10)", 10)),
    "longer varbinary": (raw("varbinary(10)", 10), raw("varbinary(20)", 20)),
    "text into blob": (text("varchar(10)", 10), raw("blob", 65535)),
    "values added at the end": (enum("'a','b'"), enum("'a','b','c'")),
    "enum into varchar": (enum("'a','bb'"), text("varchar(2)", 2)),
    "more digits": (moment("datetime"), moment("datetime", 6)),
    "timestamp into datetime": (moment("timestamp"), moment("datetime")),
    "date into datetime": (moment("date"), moment("datetime", 3)),
    "date into text": (moment("date"), text("varchar(26)", 26)),
    "year into int": (moment("year"), number("smallint")),
    "more bits": (Column("c", "bit(1)", "bit", precision=1), Column("c", "bit(8)", "bit", precision=8)),
    "json into longtext": (Column("c", "json", "json"), text("longtext", 2**32 - 1)),
    "point into geometry": (Column("c", "point", "point", srid=0), Column("c", "geometry", "geometry", srid=0)),
}
LOSSY = {
    "smaller integer": (number("int"), number("smallint")),
    "unsigned": (number("int"), number("int", unsigned=True)),
    "signed of the same width": (number("int", unsigned=True), number("int")),
    "integer into a short decimal": (number("int"), number("decimal(10,2)", precision=10, scale=2)),
    "integer into float": (number("int"), number("float")),
    "fewer digits": (number("decimal(10,2)", precision=10, scale=2), number("decimal(10,1)", precision=10, scale=1)),
    "fewer digits before the point": (number("decimal(10,2)", precision=10, scale=2), number("decimal(10,4)", precision=10, scale=4)),
    "decimal into integer": (number("decimal(10,2)", precision=10, scale=2), number("bigint")),
    "double into float": (number("double"), number("float")),
    "double into decimal": (number("double"), number("decimal(20,10)", precision=20, scale=10)),
    "float with digits": (number("float", precision=12), number("float(7,3)", precision=7, scale=3)),
    "shorter varchar": (text("varchar(20)", 20), text("varchar(10)", 10)),
    "text into varchar": (text("text", 65535), text("varchar(1000)", 1000)),
    "varchar into char": (text("varchar(10)", 10), text("char(10)", 10)),
    "utf8mb4 into latin1": (text("varchar(10)", 10), text("varchar(10)", 10, charset="latin1", width=1)),
    "utf8mb4 into utf8mb3": (text("varchar(10)", 10), text("varchar(10)", 10, charset="utf8mb3", width=3)),
    "latin1 text into utf8mb4 text": (text("text", 65535, charset="latin1"), text("text", 65535)),
    "longer binary is padded": (raw("binary(4)", 4), raw("binary(8)", 8)),
    "shorter blob": (raw("blob", 65535), raw("tinyblob", 255)),
    "bytes into text": (raw("varbinary(10)", 10), text("varchar(10)", 10)),
    "text into json": (text("text", 65535), Column("c", "json", "json")),
    "text into number": (text("varchar(10)", 10), number("int")),
    "a value removed": (enum("'a','b'"), enum("'a'")),
    "values reordered": (enum("'a','b'"), enum("'b','a'")),
    "a value put in between": (enum("'a','b'"), enum("'a','x','b'")),
    "text into enum": (text("varchar(10)", 10), enum("'a'")),
    "enum into short varchar": (enum("'a','bb'"), text("varchar(1)", 1)),
    "fewer digits of seconds": (moment("datetime", 6), moment("datetime")),
    "datetime into timestamp": (moment("datetime"), moment("timestamp")),
    "datetime into date": (moment("datetime"), moment("date")),
    "time into datetime": (moment("time"), moment("datetime")),
    "fewer bits": (Column("c", "bit(8)", "bit", precision=8), Column("c", "bit(1)", "bit", precision=1)),
    "json into text": (Column("c", "json", "json"), text("text", 65535)),
    "geometry into point": (Column("c", "geometry", "geometry", srid=0), Column("c", "point", "point", srid=0)),
    "another reference system": (Column("c", "point", "point", srid=0), Column("c", "point", "point", srid=4326)),
    "a type nobody knows": (Column("c", "vector(3)", "vector"), Column("c", "vector(4)", "vector")),
}


@pytest.mark.parametrize("name", SAFE)
def test_nothing_is_lost(name: str) -> None:
    assert "" == loss(*SAFE[name])


@pytest.mark.parametrize("name", LOSSY)
def test_something_may_be_lost(name: str) -> None:
    assert "" != loss(*LOSSY[name])


def test_values_of_an_enum_are_read_with_their_quotes_and_commas() -> None:
    assert ["a", "b'c", "d,e", ""] == members("enum('a','b''c','d,e','')")
    assert [] == members("enum('never closed")


# ── Whole tables ────────────────────────────────────────────────────────────────────────────────────────────────────

ID = Column("id", "int", "int", nullable=False)
NOTE = replace(text("varchar(40)", 40), name="note")
PRIMARY = Index("PRIMARY", unique=True, parts=(Part("id"),))
TABLE = Shape("t", "InnoDB", "Dynamic", "utf8mb4_0900_ai_ci", (ID, NOTE), (PRIMARY,))


def unsafe(judgement: Judgement) -> list[str]:
    return [risk.code for risk in judgement.risks if risk.unsafe]


def with_index(*indexes: Index) -> Shape:
    return replace(TABLE, indexes=(PRIMARY, *indexes))


def key(name: str, *columns: str, unique: bool = False, visible: bool = True) -> Index:
    return Index(name, unique, tuple(Part(column) for column in columns), visible=visible)


def test_nothing_changed_is_no_risk() -> None:
    assert Judgement((), ()) == judge_alter(TABLE, TABLE)


def test_a_dropped_column_is_unsafe() -> None:
    assert ["drop-column"] == unsafe(judge_alter(TABLE, replace(TABLE, columns=(ID,))))


def test_a_dropped_and_an_added_column_of_one_type_may_be_a_rename() -> None:
    renamed = replace(TABLE, columns=(ID, replace(NOTE, name="remark")))
    assert ["drop-column", "ambiguous-rename"] == unsafe(judge_alter(TABLE, renamed))


def test_a_column_that_becomes_not_null_is_a_question_to_the_rows() -> None:
    [question] = judge_alter(TABLE, replace(TABLE, columns=(ID, replace(NOTE, nullable=False)))).questions
    assert "WHERE `note` IS NULL" == question.condition
    assert (True, True) == (question.real.unsafe, question.possible.unsafe)


def test_a_stored_column_that_becomes_computed_loses_its_values() -> None:
    assert ["overwritten"] == unsafe(judge_alter(TABLE, replace(TABLE, columns=(ID, replace(NOTE, generated="STORED", expression="1")))))


def test_a_dropped_key_is_unsafe_and_a_renamed_one_is_not() -> None:
    assert ["drop-index"] == unsafe(judge_alter(with_index(key("k", "note")), TABLE))
    assert [] == unsafe(judge_alter(with_index(key("k", "note")), with_index(key("l", "note"))))


def test_a_key_that_grows_at_its_end_is_safe_and_one_that_shrinks_is_not() -> None:
    assert [] == unsafe(judge_alter(with_index(key("k", "note")), with_index(key("k", "note", "id"))))
    assert ["drop-index"] == unsafe(judge_alter(with_index(key("k", "note", "id")), with_index(key("k", "note"))))


def test_a_unique_key_that_becomes_ordinary_is_unsafe_unless_another_says_as_much() -> None:
    before = with_index(key("u", "note", unique=True))
    assert ["drop-index"] == unsafe(judge_alter(before, with_index(key("u", "note"))))
    assert [] == unsafe(judge_alter(with_index(key("u", "note", "id", unique=True)), with_index(key("u", "note", "id"))))


def test_a_new_unique_key_is_a_question_unless_a_living_key_answers_it() -> None:
    [question] = judge_alter(TABLE, with_index(key("u", "note", unique=True))).questions
    assert "WHERE `note` IS NOT NULL GROUP BY `note` HAVING COUNT(*) > 1" == question.condition
    assert () == judge_alter(TABLE, with_index(key("u", "note", "id", unique=True))).questions


def test_a_unique_key_under_a_new_collation_is_asked_under_that_collation() -> None:
    before = with_index(key("u", "note", unique=True))
    after = replace(before, columns=(ID, replace(NOTE, collation="utf8mb4_bin")))
    [question] = judge_alter(before, after).questions
    assert "CONVERT(`note` USING utf8mb4) COLLATE utf8mb4_bin" in question.condition


def test_a_unique_key_on_a_new_column_cannot_be_asked_and_counts_as_possible() -> None:
    after = replace(with_index(key("u", "new", unique=True)), columns=(ID, NOTE, replace(NOTE, name="new")))
    [question] = judge_alter(TABLE, after).questions
    assert ("", True) == (question.condition, question.possible.unsafe)


def test_a_check_that_no_longer_holds_is_unsafe_under_whatever_name() -> None:
    checked = replace(TABLE, checks=(Check("c", "(`id` > 0)", enforced=True),))
    assert ["drop-check"] == unsafe(judge_alter(checked, TABLE))
    assert ["drop-check"] == unsafe(judge_alter(checked, replace(TABLE, checks=(Check("c", "(`id` > 0)", enforced=False),))))
    assert [] == unsafe(judge_alter(checked, replace(TABLE, checks=(Check("d", "(`id` > 0)", enforced=True),))))


def test_a_new_check_is_a_question_to_the_rows() -> None:
    [question] = judge_alter(TABLE, replace(TABLE, checks=(Check("c", "(`id` > 0)", enforced=True),))).questions
    assert "WHERE NOT (`id` > 0)" == question.condition
    assert () == judge_alter(TABLE, replace(TABLE, checks=(Check("c", "(`id` > 0)", enforced=False),))).questions


def test_a_dropped_foreign_key_is_unsafe_and_another_rule_is_told() -> None:
    tied = replace(TABLE, foreign_keys=(ForeignKey("f", ("id",), "", "p", ("id",), "NO ACTION", "NO ACTION"),))
    assert ["drop-foreign-key"] == unsafe(judge_alter(tied, TABLE))
    other = replace(tied, foreign_keys=(replace(tied.foreign_keys[0], name="g", on_delete="CASCADE"),))
    assert ["foreign-key-rule"] == [risk.code for risk in judge_alter(tied, other).risks]


def test_only_drop_partition_loses_what_a_partition_holds() -> None:
    parted = replace(TABLE, method="RANGE", expression="`id`", partitions=(Partition("p0", "10"), Partition("p1", "20")))
    fewer = replace(parted, partitions=parted.partitions[1:])
    assert ["drop-partition"] == unsafe(judge_alter(parted, fewer, ["ALTER TABLE `t` DROP PARTITION p0"]))
    assert [] == unsafe(judge_alter(parted, fewer, ["ALTER TABLE `t` REORGANIZE PARTITION p0, p1 INTO (…)"]))


def test_another_engine_is_unsafe() -> None:
    assert ["engine"] == unsafe(judge_alter(TABLE, replace(TABLE, engine="MyISAM")))


def test_what_changes_behaviour_without_losing_data_is_told() -> None:
    after = replace(TABLE, columns=(ID, replace(NOTE, collation="utf8mb4_bin", extra="INVISIBLE"), replace(ID, name="n")))
    assert {"collation", "invisible", "implicit-default"} == {risk.code for risk in judge_alter(TABLE, after).risks}


def test_a_new_table_without_a_key_is_told() -> None:
    assert () == judge_create(TABLE)
    assert ["no-key"] == [risk.code for risk in judge_create(replace(TABLE, indexes=()))]


def test_tables_of_the_same_columns_have_the_same_shape_whatever_their_order() -> None:
    assert same_shape(TABLE, replace(TABLE, table="u", columns=(NOTE, ID)))
    assert not same_shape(TABLE, replace(TABLE, columns=(ID,)))
