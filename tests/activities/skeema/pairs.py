"""Pairs of one table each: what stands between its brackets, and after. Many go into one schema, so that skeema is asked once for all."""

from collections.abc import Iterator
from dataclasses import dataclass

T = "`id` int NOT NULL, `a` varchar(40) DEFAULT NULL, `b` int DEFAULT NULL, PRIMARY KEY (`id`)"
PLAIN = "`id` int NOT NULL, `a` varchar(40) DEFAULT NULL, `b` int DEFAULT NULL"


@dataclass(frozen=True)
class Pair:
    """base, head: everything after CREATE TABLE `t`. status: what the local diff shall say; code: of the refusal."""

    name: str
    base: str
    head: str
    status: str = "changes"
    code: str = ""

    def create(self, side: str, table: str = "t") -> str:
        """side: "base" or "head". Names of constraints are used once per schema, so they carry the table's."""
        rest = self.base if side == "base" else self.head
        rest = rest.replace("CONSTRAINT `", f"CONSTRAINT `{table}_").replace("REFERENCES `t`", f"REFERENCES `{table}`")
        return f"CREATE TABLE `{table}` {rest}"


def _column(name: str, before: str, after: str, *, status: str = "changes", code: str = "") -> Pair:
    """One column besides the key; "" where it is not there."""
    old, new = (f"(`id` int NOT NULL, {text + ', ' if text else ''}PRIMARY KEY (`id`))" for text in (before, after))
    return Pair(name, old, new, status, code)


def _part(name: str, before: str, after: str, *, status: str = "changes", code: str = "") -> Pair:
    """Something after three plain columns and the key."""
    old, new = (f"({T}{', ' + text if text else ''})" for text in (before, after))
    return Pair(name, old, new, status, code)


def _option(name: str, before: str, after: str, *, status: str = "changes", code: str = "") -> Pair:
    return Pair(name, f"({T}) {before}", f"({T}) {after}", status, code)


COLUMN_TYPES = (
    "bit(1)", "bit(64)", "tinyint", "tinyint(1)", "tinyint unsigned", "smallint", "mediumint", "int", "int unsigned zerofill", "bigint",
    "bigint unsigned", "decimal(10,2)", "decimal(65,30)", "decimal(5,0) unsigned", "float", "float(7,3)", "double", "double unsigned",
    "date",
    "time", "time(6)", "datetime", "datetime(3)", "timestamp NULL", "timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)", "year", "char(1)",
    "char(255) CHARACTER SET latin1", "varchar(1)", "varchar(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "binary(16)",
    "varbinary(300)",
    "tinyblob", "blob", "mediumblob", "longblob", "tinytext", "text", "mediumtext", "longtext CHARACTER SET latin1",
    "enum('a','b''c','d\\\\e','')", "set('x','y;z')", "json", "geometry", "point NOT NULL SRID 4326",
    "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "vector(3)", "bool", "serial",
)  # fmt: skip

COLUMNS = (
    *(_column(f"add {kind}", "", f"`c` {kind}" if kind != "serial" else "`c` bigint unsigned") for kind in COLUMN_TYPES),
    *(_column(f"{one} to {two}", f"`c` {one}", f"`c` {two}") for one, two in (
        ("int", "bigint"), ("int", "int unsigned"), ("bigint", "varchar(20)"), ("varchar(10)", "varchar(300)"), ("varchar(10)", "text"),
        ("varchar(10)", "varchar(10) CHARACTER SET latin1"), ("varchar(10)", "varchar(10) COLLATE utf8mb4_bin"), ("text", "json"),
        ("enum('a','b')", "enum('a','b','c')"), ("enum('a','b')", "enum('b','a')"), ("set('a')", "set('a','b')"), ("datetime",
        "datetime(6)"),
        ("datetime", "timestamp NULL"), ("float", "double"), ("decimal(10,2)", "decimal(12,4)"), ("bit(1)", "bit(8)"),
        ("char(5)", "binary(5)"), ("blob", "varbinary(100)"), ("json", "longtext"), ("point", "geometry"),
        ("point SRID 0", "point SRID 4326"), ("int", "int NOT NULL"), ("int NOT NULL", "int"), ("int", "int DEFAULT 0"),
        ("int DEFAULT 0", "int DEFAULT NULL"), ("int DEFAULT 1", "int DEFAULT '2'"), ("tinyint", "tinyint(1)"),
        ("varchar(40) DEFAULT ''", "varchar(40) DEFAULT 'it''s \\\\ \"q\" `b` ; -- x'"), ("datetime", "datetime DEFAULT CURRENT_TIMESTAMP"),
        ("datetime DEFAULT CURRENT_TIMESTAMP", "datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"),
        ("datetime(2) DEFAULT CURRENT_TIMESTAMP(2) ON UPDATE CURRENT_TIMESTAMP(2)", "datetime(2)"), ("json", "json DEFAULT (json_array())"),
        ("varchar(40) DEFAULT (uuid())", "varchar(40) DEFAULT (concat('a;b', 'c'))"), ("int", "int COMMENT 'a ''quoted''; /* comment */'"),
        ("int COMMENT 'one'", "int"), ("int", "int INVISIBLE"), ("int INVISIBLE", "int VISIBLE"), ("bool", "int"),
        ("int", "int unsigned zerofill"), ("float(7,3)", "float"), ("tinyint(1)", "tinyint(1) unsigned"), ("vector(3)", "vector(4)"),
    )),
    _column("drop", "`c` int", ""),
    _column("rename", "`c` int", "`d` int"),
    _column("case of a name", "`c` int", "`C` int"),
    _column("a name to quote", "`c` int", "`c` int, `select ``from`` ü` int COMMENT 'drop column a, change b c'"),
    Pair("first", f"({PLAIN}, PRIMARY KEY (`id`))", f"(`z` int DEFAULT NULL, {PLAIN}, PRIMARY KEY (`id`))"),
    Pair("moved", f"({PLAIN}, PRIMARY KEY (`id`))",
         "(`b` int DEFAULT NULL, `a` varchar(40) DEFAULT NULL, `id` int NOT NULL, PRIMARY KEY (`id`))"),
    Pair("moved and changed", f"({PLAIN}, `c` int, PRIMARY KEY (`id`))",
         "(`c` bigint, `id` bigint NOT NULL, `d` int, `a` text, PRIMARY KEY (`id`))"),
)  # fmt: skip

GENERATED = (
    _column("add virtual", "", "`g` int GENERATED ALWAYS AS (`id` * 2) VIRTUAL"),
    _column("add stored", "", "`g` int GENERATED ALWAYS AS (`id` * 2) STORED NOT NULL"),
    _column("drop virtual", "`g` int AS (`id` * 2) VIRTUAL", ""),
    _column("virtual expression", "`g` int AS (`id` * 2) VIRTUAL", "`g` int AS (`id` * 3) VIRTUAL"),
    _column("stored expression", "`g` int AS (`id` * 2) STORED", "`g` int AS (`id` * 3) STORED"),
    _column("virtual type", "`g` int AS (`id` * 2) VIRTUAL", "`g` bigint AS (`id` * 2) VIRTUAL COMMENT 'wide'"),
    _column("virtual to stored", "`g` int AS (`id` * 2) VIRTUAL", "`g` int AS (`id` * 2) STORED"),
    _column("stored to virtual", "`g` int AS (`id` * 2) STORED", "`g` int AS (`id` * 2) VIRTUAL"),
    _column(
        "virtual to stored between others",
        "`x` int, `g` int AS (`id` * 2) VIRTUAL COMMENT 'g', `y` int, `h` int AS (1) STORED",
        "`h` int AS (1) VIRTUAL, `x` bigint, `g` int AS (`id` * 3) STORED COMMENT 'g', `n` int, `y` int",
    ),
    _column(
        "virtual to stored under a key",
        "`g` int AS (`id` * 2) VIRTUAL, KEY `k` (`g`)",
        "`g` int AS (`id` * 2) STORED, KEY `k` (`g`)",
    ),
    _column("stored to ordinary", "`g` int AS (`id` * 2) STORED", "`g` int"),
    _column("ordinary to stored", "`g` int", "`g` int AS (`id` * 2) STORED"),
    _column("virtual to ordinary", "`g` int AS (`id` * 2) VIRTUAL", "`g` int", status="refused", code="not-possible"),
    _column("ordinary to virtual", "`g` int", "`g` int AS (`id` * 2) VIRTUAL"),
    _column("a string in an expression", "", "`g` varchar(20) AS (concat('it''s;', `id`, '\\\\')) VIRTUAL"),
    _column("json path", "`j` json", "`j` json, `g` varchar(20) AS (json_unquote(json_extract(`j`, '$.a'))) VIRTUAL, KEY `g` (`g`)"),
)

INDEXES = (
    _part("add key", "", "KEY `k` (`a`)"),
    _part("add unique", "", "UNIQUE KEY `k` (`a`,`b`)"),
    _part("drop key", "KEY `k` (`a`)", ""),
    _part("prefix", "KEY `k` (`a`)", "KEY `k` (`a`(10))"),
    _part("other prefix", "KEY `k` (`a`(5))", "KEY `k` (`a`(10))"),
    _part("functional", "", "KEY `k` ((lower(`a`)))"),
    _part("functional changed", "KEY `k` ((lower(`a`)))", "KEY `k` ((upper(`a`)),`b`)"),
    _part("functional with a string", "", "KEY `k` ((concat(`a`, 'it''s;')))"),
    _part("unique functional", "", "UNIQUE KEY `k` ((`b` + 1))"),
    _part("multi-valued", "", "`j` json, KEY `k` ((cast(`j`->'$.x' as unsigned array)))"),
    _part("descending", "KEY `k` (`a`,`b`)", "KEY `k` (`a` DESC,`b`)"),
    _part("invisible", "KEY `k` (`a`)", "KEY `k` (`a`) INVISIBLE"),
    _part("visible", "KEY `k` (`a`) INVISIBLE", "KEY `k` (`a`)"),
    _part("renamed", "KEY `k` (`a`)", "KEY `k2` (`a`)"),
    _part("renamed and invisible", "KEY `k` (`a`)", "KEY `k2` (`a`) INVISIBLE"),
    _part("swapped names", "KEY `k` (`a`), KEY `l` (`b`)", "KEY `l` (`a`), KEY `k` (`b`)"),
    _part("order of keys", "KEY `k` (`a`), KEY `l` (`b`)", "KEY `l` (`b`), KEY `k` (`a`)"),
    _part("comment of a key", "KEY `k` (`a`)", "KEY `k` (`a`) COMMENT 'why; not'"),
    _part("kind of a key", "KEY `k` (`a`)", "UNIQUE KEY `k` (`a`)"),
    _part("block size of a key", "KEY `k` (`a`)", "KEY `k` (`a`) KEY_BLOCK_SIZE=4", status="same"),
    _part("fulltext", "", "FULLTEXT KEY `f` (`a`)"),
    _part("two fulltexts", "`c` text", "`c` text, FULLTEXT KEY `f` (`a`), FULLTEXT KEY `g` (`c`)"),
    _part("fulltext parser", "FULLTEXT KEY `f` (`a`)", "FULLTEXT KEY `f` (`a`) WITH PARSER `ngram`"),
    _part("drop fulltext", "FULLTEXT KEY `f` (`a`)", ""),
    _part("spatial", "`p` point NOT NULL SRID 4326", "`p` point NOT NULL SRID 4326, SPATIAL KEY `s` (`p`)"),
    _part("drop spatial", "`p` point NOT NULL SRID 4326, SPATIAL KEY `s` (`p`)", "`p` point NOT NULL SRID 4326"),
    Pair("add primary key", f"({PLAIN})", f"({PLAIN}, PRIMARY KEY (`id`))"),
    Pair("drop primary key", f"({PLAIN}, PRIMARY KEY (`id`))", f"({PLAIN})"),
    Pair("other primary key", f"({PLAIN}, PRIMARY KEY (`id`))",
         "(`id` int NOT NULL, `a` varchar(40) DEFAULT NULL, `b` int NOT NULL, PRIMARY KEY (`id`,`b`))"),
    Pair("add auto_increment", f"({PLAIN}, PRIMARY KEY (`id`))",
         f"({PLAIN.replace('NOT NULL', 'NOT NULL AUTO_INCREMENT')}, PRIMARY KEY (`id`))"),
    Pair("key and column at once", f"({PLAIN}, PRIMARY KEY (`id`), KEY `k` (`b`))",
         "(`id` int NOT NULL, `a` varchar(40), PRIMARY KEY (`id`))"),
)  # fmt: skip

CONSTRAINTS = (
    _part("add check", "", "CONSTRAINT `c` CHECK (`b` > 0)"),
    _part("drop check", "CONSTRAINT `c` CHECK (`b` > 0)", ""),
    _part("rename check", "CONSTRAINT `c` CHECK (`b` > 0)", "CONSTRAINT `d` CHECK (`b` > 0)"),
    _part("change check", "CONSTRAINT `c` CHECK (`b` > 0)", "CONSTRAINT `c` CHECK (`b` > 1)"),
    _part("unenforce check", "CONSTRAINT `c` CHECK (`b` > 0)", "CONSTRAINT `c` CHECK (`b` > 0) NOT ENFORCED"),
    _part("enforce check", "CONSTRAINT `c` CHECK (`b` > 0) NOT ENFORCED", "CONSTRAINT `c` CHECK (`b` > 0)"),
    _part("add unenforced check", "", "CONSTRAINT `c` CHECK (`b` > 0) NOT ENFORCED"),
    _part("named by mysql", "", "CHECK (`a` <> 'it''s; \\\\ -- x')"),
    _part("swapped checks", "CONSTRAINT `c` CHECK (`b` > 0), CONSTRAINT `d` CHECK (`b` < 9)",
          "CONSTRAINT `d` CHECK (`b` > 0), CONSTRAINT `c` CHECK (`b` < 9)"),
    _part("check on a new column", "", "`c` int, CONSTRAINT `k` CHECK (`c` > `b`)"),
    _part("check of a dropped column", "`c` int, CONSTRAINT `k` CHECK (`c` > `b`)", ""),
    _part("foreign key to itself", "", "KEY `k` (`b`), CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `t` (`id`)"),
)  # fmt: skip

OPTIONS = (
    _option("charset", "CHARSET=utf8mb4", "CHARSET=latin1"),
    _option("collation", "COLLATE=utf8mb4_0900_ai_ci", "COLLATE=utf8mb4_bin"),
    Pair("an inherited collation becomes the column's own", "(`id` int PRIMARY KEY, `a` varchar(9)) COLLATE=utf8mb4_bin",
         "(`id` int PRIMARY KEY, `a` varchar(9) COLLATE utf8mb4_bin) COLLATE=utf8mb4_bin"),
    Pair("a column's own collation becomes inherited", "(`id` int PRIMARY KEY, `a` varchar(9) COLLATE utf8mb4_bin) COLLATE=utf8mb4_bin",
         "(`id` int PRIMARY KEY, `a` varchar(9)) COLLATE=utf8mb4_bin"),
    Pair("a column that inherits its collation", "(`id` int PRIMARY KEY) COLLATE=utf8mb4_bin",
         "(`id` int PRIMARY KEY, `a` enum('x COLLATE utf8mb4_bin','y'), `g` varchar(9) AS (lower(`a`)) VIRTUAL) COLLATE=utf8mb4_bin"),
    Pair("a change beside a column that inherits its collation", "(`id` int PRIMARY KEY, `a` varchar(9)) COLLATE=utf8mb4_bin",
         "(`id` bigint PRIMARY KEY, `a` varchar(9), `b` char(3) CHARACTER SET utf8mb4) COLLATE=utf8mb4_bin"),
    Pair("another collation of the table, the column keeps its own", "(`id` int PRIMARY KEY, `a` varchar(9)) COLLATE=utf8mb4_bin",
         "(`id` int PRIMARY KEY, `a` varchar(9) COLLATE utf8mb4_bin)"),
    _option("comment", "", "COMMENT='it''s; a \\\\ \"comment\"'"),
    _option("drop comment", "COMMENT='x'", ""),
    _option("row format", "", "ROW_FORMAT=COMPACT"),
    _option("back to the default row format", "ROW_FORMAT=COMPACT", ""),
    _option("compressed", "", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8"),
    _option("no longer compressed", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8", ""),
    _option("page compression", "", "COMPRESSION='zlib'"),
    _option("stats", "", "STATS_PERSISTENT=1 STATS_AUTO_RECALC=0 STATS_SAMPLE_PAGES=20"),
    _option("no stats", "STATS_PERSISTENT=1", ""),
    _option("engine", "ENGINE=InnoDB", "ENGINE=MyISAM"),
    _option("rows", "MAX_ROWS=100", "MAX_ROWS=200"),
    Pair("auto_increment up", "(`id` int NOT NULL AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=10",
         "(`id` int NOT NULL AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=1000"),
    Pair("= auto_increment down", "(`id` int NOT NULL AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=1000",
         "(`id` int NOT NULL AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=10", "same"),
    Pair("= spelling", f"({T}) ENGINE=InnoDB", f"({T.lower().replace('varchar', 'VARCHAR')}) engine = innodb", "same"),
    Pair("= comment", f"({T})", f"({T}) -- nothing", "same"),
)  # fmt: skip

_KEY = "(`id` int NOT NULL, `d` date NOT NULL, `s` varchar(9) NOT NULL, PRIMARY KEY (`id`,`d`,`s`)) "
_RANGE = _KEY + "PARTITION BY RANGE (`id`) (PARTITION `p0` VALUES LESS THAN (10), {})"
_LIST = _KEY + "PARTITION BY LIST COLUMNS(`s`) (PARTITION `p0` VALUES IN ('a','b;'), {})"

PARTITIONS = (
    Pair("add range", _KEY, _RANGE.format("PARTITION p1 VALUES LESS THAN MAXVALUE")),
    Pair("remove range", _RANGE.format("PARTITION p1 VALUES LESS THAN MAXVALUE"), _KEY),
    Pair("add hash", _KEY, _KEY + "PARTITION BY HASH (`id`) PARTITIONS 4"),
    Pair("add linear hash", _KEY, _KEY + "PARTITION BY LINEAR HASH (`id`) PARTITIONS 4"),
    Pair("add key", _KEY, _KEY + "PARTITION BY KEY (`id`) PARTITIONS 3"),
    Pair("add list", _KEY, _KEY + "PARTITION BY LIST (`id`) (PARTITION p0 VALUES IN (1,2), PARTITION p1 VALUES IN (3,NULL))"),
    Pair("add list columns", _KEY, _LIST.format("PARTITION p1 VALUES IN ('c')")),
    Pair("add range columns", _KEY, _KEY + "PARTITION BY RANGE COLUMNS(`d`,`s`) (PARTITION p0 VALUES LESS THAN ('2020-01-01','m'))"),
    Pair("add a partition", _RANGE.format("PARTITION p1 VALUES LESS THAN (20)"),
         _RANGE.format("PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30) COMMENT = 'x;y'")),
    Pair("drop a partition", _RANGE.format("PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30)"),
         _RANGE.format("PARTITION p2 VALUES LESS THAN (30)")),
    Pair("split a partition", _RANGE.format("PARTITION p1 VALUES LESS THAN (30)"),
         _RANGE.format("PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30)")),
    Pair("merge partitions", _RANGE.format("PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30)"),
         _RANGE.format("PARTITION p1 VALUES LESS THAN (30)")),
    Pair("rename a partition", _RANGE.format("PARTITION p1 VALUES LESS THAN (30)"), _RANGE.format("PARTITION px VALUES LESS THAN (30)")),
    Pair("roll on", _RANGE.format("PARTITION p1 VALUES LESS THAN (20)"),
         _KEY + "PARTITION BY RANGE (`id`) (PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30))"),
    Pair("add to a list",
         _LIST.format("PARTITION p1 VALUES IN ('c')"), _LIST.format("PARTITION p1 VALUES IN ('c'), PARTITION p2 VALUES IN ('d')")),
    Pair("more values in a list", _LIST.format("PARTITION p1 VALUES IN ('c')"), _LIST.format("PARTITION p1 VALUES IN ('c','d')")),
    Pair("fewer hash partitions", _KEY + "PARTITION BY HASH (`id`) PARTITIONS 4", _KEY + "PARTITION BY HASH (`id`) PARTITIONS 3"),
    Pair("more key partitions", _KEY + "PARTITION BY KEY (`id`) PARTITIONS 3", _KEY + "PARTITION BY KEY (`id`) PARTITIONS 5"),
    Pair("other expression", _KEY + "PARTITION BY HASH (`id`) PARTITIONS 4", _KEY + "PARTITION BY HASH (year(`d`)) PARTITIONS 4"),
    Pair("other method", _KEY + "PARTITION BY HASH (`id`) PARTITIONS 4", _RANGE.format("PARTITION p1 VALUES LESS THAN (20)")),
    Pair("a column and a partition", _RANGE.format("PARTITION p1 VALUES LESS THAN (20)"),
         _RANGE.format("PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30)").replace("`d` date NOT NULL",
         "`d` date NOT NULL, `e` int")),
    Pair("a column of a partitioned table", _RANGE.format("PARTITION p1 VALUES LESS THAN (20)"),
         _RANGE.format("PARTITION p1 VALUES LESS THAN (20)").replace("`d` date NOT NULL", "`d` date NOT NULL, `e` int")),
    Pair("subpartitions", _KEY,
         _KEY + "PARTITION BY RANGE (`id`) SUBPARTITION BY HASH (`id`) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (10))", "refused"),
)  # fmt: skip

_GROUPS = {
    "column": COLUMNS,
    "generated": GENERATED,
    "index": INDEXES,
    "constraint": CONSTRAINTS,
    "option": OPTIONS,
    "partition": PARTITIONS,
}
_TOGETHER = 16

REFUSED = {f"{group}: {pair.name}": pair for group, pairs in _GROUPS.items() for pair in pairs if pair.status == "refused"}


def _chunks() -> Iterator[tuple[str, tuple[Pair, ...]]]:
    for group, pairs in _GROUPS.items():
        possible = [pair for pair in pairs if pair.status != "refused"]
        for start in range(0, len(possible), _TOGETHER):
            yield f"{group} {start}", tuple(possible[start : start + _TOGETHER])


TOGETHER = dict(_chunks())
"""Pairs that can be carried out, some in one schema; Pair.create gives each table and its constraints names of their own."""
