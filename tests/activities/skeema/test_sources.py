"""One CREATE TABLE per file: what is read, what is refused and why, and that nothing hostile gets through."""

import re
import time
from collections.abc import Callable

import pymysql
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from activities.settings import Ceilings
from activities.skeema.lexer import Kind, tokens_of
from activities.skeema.sources import Sources, TableSource, read_sources, read_table
from embedded.mysql import Schema
from workflows.rules.plan import Refusal


def read(sql: str) -> TableSource:
    one = read_table("t.sql", sql.encode())
    assert isinstance(one, TableSource), one
    return one


def why_not(sql: str) -> str:
    one = read_table("t.sql", sql.encode())
    assert isinstance(one, Refusal), one
    assert "not-understood" == one.code
    assert "`t.sql`" in one.what
    return one.what


# ── What is read ────────────────────────────────────────────────────────────────────────────────────────────────────

SHOWN_BY_MYSQL = [
    "CREATE TABLE plain (id int)",
    "CREATE TABLE `order by` (`select` int, `a;b` int, `it``s` int, PRIMARY KEY (`select`))",
    "CREATE TABLE words (a varchar(90) DEFAULT 'it''s; -- no /* comment */' COMMENT 'DATA DIRECTORY=''/x''; DROP TABLE y')",
    r"CREATE TABLE slashes (a varchar(90) DEFAULT 'a\\b\'c\nd', b char(1) DEFAULT '\\')",
    "CREATE TABLE hidden (id int NOT NULL, secret int DEFAULT 1 INVISIBLE, KEY k (id) INVISIBLE)",
    "CREATE TABLE shapes (g geometry NOT NULL SRID 4326, p point NOT NULL, SPATIAL KEY (g))",
    "CREATE TABLE checked (a int, b int, CHECK (a > 1), CONSTRAINT `loose` CHECK (b < 2) NOT ENFORCED)",
    "CREATE TABLE made (j json, a int GENERATED ALWAYS AS (json_extract(j, '$.a.b')) STORED, b int AS (j->>'$.x') VIRTUAL, KEY (a))",
    "CREATE TABLE function_keys (a int, b varchar(20), KEY f ((lower(b)), a DESC), KEY g ((cast(b AS char(5)))))",
    (
        "CREATE TABLE numbers (a decimal(10,2) DEFAULT 1.5, b double DEFAULT .5, c double DEFAULT 1.e3, d bit(3) DEFAULT b'101', "
        "e binary(2) DEFAULT x'0102', f int DEFAULT (1 + -1), g double DEFAULT -1.5e-3)"
    ),
    (
        "CREATE TABLE letters (a varchar(9) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT _latin1'x', b enum('a;b'), c set('x','y'), "
        "d text, FULLTEXT KEY (d) WITH PARSER ngram) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Größe – 大小'"
    ),
    (
        "CREATE TABLE times (a timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), b datetime DEFAULT (now()), "
        "c year, d date DEFAULT '2020-01-01')"
    ),
    (
        "CREATE TABLE ranged (id int NOT NULL, d date NOT NULL, PRIMARY KEY (id, d)) PARTITION BY RANGE (to_days(d)) "
        "(PARTITION p0 VALUES LESS THAN (738000) ENGINE = InnoDB, PARTITION p1 VALUES LESS THAN MAXVALUE ENGINE = InnoDB)"
    ),
    (
        "CREATE TABLE ranged_columns (a int NOT NULL, b varchar(5) NOT NULL) PARTITION BY RANGE COLUMNS(a, b) "
        "(PARTITION p0 VALUES LESS THAN (1, 'a)'), PARTITION p1 VALUES LESS THAN (MAXVALUE, MAXVALUE))"
    ),
    "CREATE TABLE listed (a int) PARTITION BY LIST (a) SUBPARTITION BY HASH (a) SUBPARTITIONS 2 (PARTITION p0 VALUES IN (1, 2, NULL))",
    "CREATE TABLE keyed (a int PRIMARY KEY) PARTITION BY KEY (a) PARTITIONS 4",
    (
        "CREATE TABLE sized (a int, b text) ENGINE=InnoDB AUTO_INCREMENT=5 ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8 STATS_PERSISTENT=1 "
        "STATS_SAMPLE_PAGES=20 MAX_ROWS=9 MIN_ROWS=1 AVG_ROW_LENGTH=9 PACK_KEYS=1 CHECKSUM=1 DELAY_KEY_WRITE=1"
    ),
    "CREATE TABLE attributed (b int COLUMN_FORMAT DYNAMIC STORAGE DISK) AUTOEXTEND_SIZE=4M ENCRYPTION='N'",
    "CREATE TABLE child (id int PRIMARY KEY, parent int, CONSTRAINT c FOREIGN KEY (parent) REFERENCES child (id) ON DELETE CASCADE)",
    "CREATE TABLE unreserved (directory int, tablespace int, connection int, start int, data int, INDEX directory (directory), `1st` int)",
    "CREATE TABLE 2nd$ (a$b int, _c int, größe int)",
]


@pytest.mark.parametrize("written", SHOWN_BY_MYSQL, ids=lambda sql: sql.split()[2].strip("`"))
def test_what_mysql_shows_is_read_and_means_the_same(written: str, fresh_schema: Schema) -> None:
    """The real server is the judge: what it prints must be read, and what we make of it must make the same table."""

    def makes(name: str, sql: str) -> str:
        fresh_schema.run(sql)
        shown = str(fresh_schema.run(f"SHOW CREATE TABLE `{name}`")[0]["Create Table"])
        fresh_schema.run(f"DROP TABLE `{name}`")
        return shown

    by_hand = read(written)
    printed = makes(by_hand.name, written)
    again = read(printed)

    assert printed == makes(by_hand.name, by_hand.sql)
    assert makes(again.name, printed) == makes(again.name, again.sql)
    assert by_hand.name == again.name


def test_comments_and_if_not_exists_and_semicolons_are_left_out() -> None:
    table = read("-- orders\n# old\nCREATE /* x */ TABLE\tIF NOT EXISTS orders -- y\n(id/**/int, -- the key\r\n b int);;\n/* end */;\n")

    assert "CREATE TABLE orders\n(id int,\nb int)" == table.sql
    assert "orders" == table.name


def test_foreign_keys_say_what_else_is_needed() -> None:
    table = read(
        "CREATE TABLE a (x int REFERENCES b (id), CONSTRAINT c FOREIGN KEY (x) REFERENCES `c d` (id), FOREIGN KEY (x) REFERENCES b (y))"
    )

    assert ("b", "c d") == table.references


# ── What is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "sql"),
    [
        ("no statement at all", ""),
        ("no statement at all", "-- only\n/* comments */;;"),
        ("begins with `drop`", "drop table t"),
        ("begins with `delimiter`", "delimiter $$\ncreate table t (a int)$$"),
        ("begins with `USE`", "USE mysql; CREATE TABLE t (a int)"),
        ("begins with `source`", "source /etc/passwd"),
        ("a second statement follows: `drop`", "create table t (a int); drop table t"),
        ("a second statement follows: `drop`", "create table t (a int) /*!50100 PARTITION BY HASH (a) */; drop table t"),
        ("CREATE `PROCEDURE`", "CREATE PROCEDURE p() BEGIN SELECT 1; END"),
        ("CREATE `VIEW`", "CREATE VIEW v AS SELECT 1"),
        ("CREATE `or`", "create or replace table t (a int)"),
        ("temporary table", "CREATE TEMPORARY TABLE t (a int)"),
        ("not IF NOT EXISTS", "create table if exists t (a int)"),
        ("copies another table", "create table t like mysql.user"),
        ("copies another table", "create table t (like user)"),
        ("not the list of columns", "create table t select * from mysql.user"),
        ("not the list of columns", "create table t as select 1"),
        ("would read other tables", "create table t (a int) select 1"),
        ("would read other tables", "create table t (a int) as (values row(1))"),
        ("would read other tables", "create table t (a int) ignore table x"),
        ("would read other tables", "create table t (a int) (select 1)"),
        ("would read other tables", "create table t (a int) (table x)"),
        ("would read other tables", "create table t (a int) (values row(1))"),
        ("would fill the table", "create table t (a int) values row(1)"),
        ("would read other tables", "create table t (a int) with x as (table y) table x"),
        ("would fill the table", "create table t (a int) start transaction"),
        ("would read other tables", "create table t (a int) engine=merge union=(x, y)"),
        ("qualified", "create table mysql.t (a int)"),
        ("qualified", "create table `mysql` . `t` (a int)"),
        ("qualified", "create table t (a int, foreign key (a) references mysql.p (id))"),
        ("qualified", "create table t (a int, foreign key (a) references `mysql`.`p` (id))"),
        ("no table name", 'create table "t" (a int)'),
        ("no table name", "create table 12 (a int)"),
        ("letters, digits", "create table `a/b` (a int)"),
        ("letters, digits", "create table `..` (a int)"),
        ("letters, digits", "create table `a``b` (a int)"),
        ("longer than 64", f"create table {'x' * 65} (a int)"),
        ("begins or ends with a space", "create table ` t` (a int)"),
        ("DATA DIRECTORY", "create table t (a int) data directory='/x'"),
        ("INDEX DIRECTORY", "create table t (a int) partition by hash(a) (partition p0 index directory='/x')"),
        ("DATA DIRECTORY", "create table t (a int) data /* x */ directory '/x'"),
        ("TABLESPACE", "create table t (a int) tablespace `innodb_system`"),
        ("CONNECTION", "create table t (a int) connection='mysql://x'"),
        ("keeps no table of its own", "create table t (a int) engine=FEDERATED"),
        ("keeps no table of its own", "create table t (a int) engine 'feder\\ated'"),
        ("keeps no table of its own", "create table t (a int) engine = `federated`"),
        ("hides `data`", "create table t (a int) /*!50100 data directory='/x' */"),
        ("DATA DIRECTORY", "create table t (a int) /*!50100 PARTITION BY HASH (a) (PARTITION p0 DATA DIRECTORY '/x') */"),
        ("no version", "create table t (a int) /*! engine=federated */"),
        ("no version", "create table t (a int) /*!99999 PARTITION BY HASH (a) */"),
        ("no version", "create table t (a int) /*!501000 PARTITION BY HASH (a) */"),
        ("hides more than one thing", "create table t (a int /*!80023 INVISIBLE, b int */)"),
        ("hides more than one thing", "create table t (a int /*!80023 INVISIBLE) engine=x */"),
        ("ends inside parentheses", "create table t (a int /*!80003 SRID ( */ ))"),
        ("never ends", "create table t (a int) /*!50100 PARTITION BY HASH (a)"),
        ("begins inside a comment", "create table t (a int) /*!50100 PARTITION BY /* x */ HASH (a) */"),
        ("inside an executable comment", "create table t (a int) /*!50100 PARTITION BY -- x\n HASH (a) */"),
        ("inside an executable comment", "create table t (a int) /*!50100 PARTITION BY HASH (a) COMMENT '*/' */"),
        ("for MariaDB", "create table t (a int /*M!100300 INVISIBLE */)"),
        ("two minus signs", "create table t (a int default (1--1\n))"),
        ("begins inside a comment", "create table t (a int /* /* */ */ )"),
        ("never ends", "create table t (a int) /* "),
        ("never began", "create table t (a int) */ "),
        ("another may begin", "create table t (a int) /*!50100 PARTITION BY HASH (a) */*x/"),
        ("never closed", "create table t (a int comment 'x)"),
        ("never closed", "create table t (`a int)"),
        ("has no place", "create table t (a int)\\! touch x"),
        ("has no place", "create table t (a int default @@version)"),
        ("has no place", "create table t (a int\f)"),
        ("has no place", "create table t (a\x1b[2K int)"),
        ("invisible character U+0000", "create table t (a int)\0"),
        ("invisible character U+202E", "create table t (a int comment '\u202e')"),
        ("invisible character U+FEFF", "\ufeffcreate table t (a int)"),
        ("carriage return", "create table t (a int) -- x\r; drop table t"),
        ("parenthesis is never closed", "create table t ((a int)"),
        ("never opened", "create table t (a int))"),
        ("ends too early", "create table t"),
        ("ends too early", "create"),
    ],
)
def test_anything_but_one_create_table_is_refused_with_its_reason(reason: str, sql: str) -> None:
    assert reason in why_not(sql)


def test_the_line_is_named() -> None:
    assert "line 4: a second statement follows" in why_not("-- a\nCREATE TABLE t (\n a int);\nDROP TABLE t")


# ── Nothing hostile gets through ────────────────────────────────────────────────────────────────────────────────────

PIECES = [
    *(
        "CREATE",
        "TABLE",
        "t",
        "`x`",
        "(",
        ")",
        "a int",
        ",",
        ";",
        "--",
        "-- ",
        "\n",
        " ",
        "#",
        "/*",
        "*/",
        "/*!",
        "/*!50100 ",
        "/*!80023 INVISIBLE",
    ),
    *("'", '"', "`", "\\", "''", "'a'", "\\'", ".", "1.5", "d.", "SELECT 1", "LIKE x", "AS", "PARTITION BY HASH (a)", "IF NOT EXISTS"),
    *("TEMPORARY", "DATA DIRECTORY '/x'", "DATA", "DIRECTORY", "ENGINE=", "FEDERATED", "CONNECTION='x'", "TABLESPACE x", "DROP TABLE y"),
    *("REFERENCES p (id)", "DEFAULT (1)", "COMMENT 'x'", "WITH", "VALUES", "UNION=(x)", "\r", "\0", "\u202e", "DELIMITER $$", "USE x", "é"),
]
WHOLE = "CREATE TABLE t (a int DEFAULT 1 COMMENT 'x;y', KEY `k` (a)) ENGINE=InnoDB /*!50100 PARTITION BY HASH (a) */"
_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`", re.DOTALL)


def soups() -> st.SearchStrategy[str]:
    """Pieces in any order; and a good statement with pieces put somewhere."""
    anything = st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join) | st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
    inside = st.tuples(st.integers(0, len(WHOLE)), st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join))
    return anything | inside.map(lambda put: WHOLE[: put[0]] + put[1] + WHOLE[put[0] :])


@settings(max_examples=500, deadline=None)
@given(soups())
@example(WHOLE)
def test_what_passes_is_one_statement_and_stays_the_same_when_read_again(text: str) -> None:
    one = read_table("t.sql", text.encode())
    if not isinstance(one, TableSource):
        return

    bare = _QUOTED.sub("''", one.sql)
    assert re.match(r"CREATE\s+TABLE\b", bare)
    assert not re.search(r";|--|#|\\|(?<![\w$])(?:SELECT|UNION)(?![\w$])|(?<![\w$])DATA\s+DIRECTORY(?![\w$])|/\*(?!!)", bare)
    assert one.sql == read(one.sql).sql
    assert one.name == read(one.sql).name
    assert [*_meaning(text)] == [*_meaning(one.sql)]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_content_makes_the_reader_fail(content: bytes) -> None:
    assert isinstance(read_table("t.sql", content), TableSource | Refusal)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(soups())
@example(WHOLE)
def test_what_passes_makes_this_table_or_nothing_on_a_real_server(fresh_schema: Schema, text: str) -> None:
    one = read_table("t.sql", text.encode())
    if not isinstance(one, TableSource):
        return
    try:
        fresh_schema.run(one.sql)
    except pymysql.MySQLError:
        return  # MySQL judges what is well-formed
    assert [[one.name]] == [[*row.values()] for row in fresh_schema.run("SHOW TABLES")]
    fresh_schema.run(f"DROP TABLE `{one.name}`")


def _meaning(text: str) -> list[tuple[Kind, str]]:
    """The tokens without final semicolons and without IF NOT EXISTS."""
    tokens = [(token.kind, token.text) for token in tokens_of(text)]
    while tokens and tokens[-1] == (Kind.SYMBOL, ";"):
        tokens.pop()
    if [word.upper() for _, word in tokens[2:5]] == ["IF", "NOT", "EXISTS"]:
        del tokens[2:5]
    return tokens


# ── A whole directory ───────────────────────────────────────────────────────────────────────────────────────────────


def directory(files: dict[str, str], changed: set[str] | None = None, ceilings: Ceilings | None = None) -> Sources:
    return read_sources({name: sql.encode() for name, sql in files.items()}, changed=changed, ceilings=ceilings)


def test_two_files_for_one_table_are_refused_by_both_names() -> None:
    sources = directory({"a.sql": "create table t (a int)", "b.sql": "create table t (b int)"}, changed={"b.sql"})

    assert sources.refusal is not None
    assert ("duplicate-table", "`a.sql` and `b.sql` both define the table `t`.") == (sources.refusal.code, sources.refusal.what)


def test_files_that_nobody_changes_never_refuse_but_never_count_either() -> None:
    files = {
        "a.sql": "create table t (a int)",
        "b.sql": "create function f() returns int return 1",
        "c.sql": "create table t (c int)",
        "d.sql": "",
    }
    sources = directory(files, changed={"a.sql"})
    assert sources.refusal is not None, "the changed file is one of the two that define t"

    sources = directory(files, changed=set())
    assert (None, ["t"], {"b.sql", "c.sql"}) == (sources.refusal, [*sources.tables], set(sources.unread))
    assert "a.sql" == sources.tables["t"].file


@pytest.mark.parametrize(
    ("code", "ceilings", "files"),
    [
        ("too-large", Ceilings(bytes_per_file=30), {"a.sql": "create table t (a int) -- and something more"}),
        ("too-many-files", Ceilings(files=1), {"a.sql": "create table a (a int)", "b.sql": "create table b (a int)"}),
        ("too-many-statements", Ceilings(statements=1), {"a.sql": "create table a (a int)", "b.sql": "create table b (a int)"}),
        ("too-slow", Ceilings(seconds=-1), {"a.sql": "create table a (a int)"}),
    ],
)
def test_the_ceilings_hold(code: str, ceilings: Ceilings, files: dict[str, str]) -> None:
    refusal = directory(files, changed=set(files), ceilings=ceilings).refusal

    assert refusal is not None
    assert code == refusal.code


@pytest.mark.parametrize(
    "made",
    [
        lambda: "create table t (a int comment '" + "\\'" * 300_000 + "')",
        lambda: "create table t (a int default " + "1," * 400_000 + "1)",
        lambda: "create table t (" + "(" * 400_000 + ")" * 400_000 + ")",
        lambda: "create table t (a int) " + "/* x */" * 130_000,
        lambda: "create table t (a int) " + "/*!50100 " * 100_000,
        lambda: "'" * 999_999,
        lambda: "/*" * 499_999,
    ],
)
def test_a_megabyte_made_to_be_slow_is_not(made: Callable[[], str]) -> None:
    content = made().encode()
    before = time.process_time()
    read_table("t.sql", content)

    assert 20 > time.process_time() - before
