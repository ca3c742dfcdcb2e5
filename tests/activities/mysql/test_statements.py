"""What a statement given by hand is read as: never less than what was written."""

import pytest

from activities.mysql.statements import ByHand, read_by_hand, replaced_columns
from workflows.rules.plan import Refusal


def read(statement: str) -> ByHand:
    found = read_by_hand(statement, "shop")
    assert isinstance(found, ByHand), found
    return found


@pytest.mark.parametrize("comment", ["-- why\n", "# why\n", "/* why */"])
def test_what_follows_a_comment_is_run_as_well(comment: str) -> None:
    statement = f"ALTER TABLE orders\n  ADD COLUMN a INT {comment}  , DROP COLUMN b -- done"
    assert "ALTER TABLE `orders` ADD COLUMN a INT , DROP COLUMN b" == read(statement).statement


def test_what_stands_in_a_string_is_no_comment_and_stays_as_it_is() -> None:
    statement = "ALTER TABLE orders COMMENT  'no -- comment,  # nor /* this */', ADD  KEY `a  b` (a)"
    assert "ALTER TABLE `orders` COMMENT 'no -- comment,  # nor /* this */', ADD KEY `a  b` (a)" == read(statement).statement


def test_a_string_with_a_line_break_is_refused_not_changed() -> None:
    stop = read_by_hand("ALTER TABLE orders COMMENT 'one\ntwo'", "shop")
    assert isinstance(stop, Refusal)
    assert "line-break" == stop.code
    assert "write it as \\n" in stop.what


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ("DROP COLUMN note, ADD COLUMN note varchar(200)", ("note",)),
        ("DROP note, ADD note varchar(200) AFTER id", ("note",)),
        ("ADD COLUMN `Note` decimal(10,2), DROP `note`", ("Note",)),
        ("DROP note, ADD COLUMN (a decimal(10,2), note int)", ("note",)),
        ("DROP `key`, ADD `key` int", ("key",)),
        ("DROP KEY k, ADD KEY k (note)", ()),
        ("DROP PRIMARY KEY, ADD PRIMARY KEY (id, note)", ()),
        ("DROP CHECK note, ADD CONSTRAINT note CHECK (note > 0)", ()),
        ("DROP note, ADD CHECK (note > 0), ADD remark int DEFAULT 0", ()),
        ("ALTER COLUMN note DROP DEFAULT, ADD COLUMN a int", ()),
    ],
)
def test_a_column_that_is_dropped_and_added_again_is_seen(clauses: str, expected: tuple[str, ...]) -> None:
    assert expected == replaced_columns(f"ALTER TABLE `orders` {clauses}")
