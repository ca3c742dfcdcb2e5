"""Random CREATE TABLEs for Hypothesis: two drawn from one small pool of names differ in many ways at once."""

from hypothesis import strategies as st

_TYPES = (
    "int", "int unsigned", "bigint", "tinyint(1)", "decimal(10,2)", "double", "date", "datetime(3)", "timestamp NULL", "time", "year",
    "varchar(40)", "varchar(300)", "varchar(40) CHARACTER SET latin1", "varchar(40) COLLATE utf8mb4_bin", "char(5)", "varbinary(20)",
    "enum('a','b')", "enum('b','a','c''d')", "set('x','y')", "bit(3)",
)  # fmt: skip
_UNINDEXED = ("text", "json", "blob", "longtext CHARACTER SET latin1", "point", "geometry SRID 4326")
_ATTRIBUTES = ("", "NOT NULL", "COMMENT 'it''s; drop column a'", "INVISIBLE", "NOT NULL COMMENT '\\\\ /* x */'")
_DEFAULTS = ("", "DEFAULT NULL", "DEFAULT (1)", "DEFAULT '1'")
_OPTIONS = (
    "", "COMMENT='x'", "COMMENT='a ''b'' , change c d'", "CHARSET=latin1", "COLLATE=utf8mb4_bin", "CHARSET=utf8mb3", "ROW_FORMAT=COMPACT",
    "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8", "STATS_PERSISTENT=1", "AUTO_INCREMENT=7",
)  # fmt: skip
_PARTITIONS = (
    "PARTITION BY HASH (`id`) PARTITIONS 2", "PARTITION BY HASH (`id`) PARTITIONS 3", "PARTITION BY KEY (`id`) PARTITIONS 2",
    "PARTITION BY RANGE (`id`) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
    "PARTITION BY RANGE (`id`) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "PARTITION BY RANGE (`id`) (PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30), PARTITION p3 VALUES LESS THAN (40))",
    "PARTITION BY LIST (`id`) (PARTITION l0 VALUES IN (1,2), PARTITION l1 VALUES IN (3))",
)  # fmt: skip


@st.composite
def _column(draw: st.DrawFn, name: str, earlier: list[str]) -> tuple[str, bool]:
    """The definition, and whether an ordinary key may hold it whole."""
    if earlier and draw(st.integers(0, 9)) == 0:
        kind = draw(st.sampled_from(("VIRTUAL", "STORED")))
        return f"`{name}` varchar(99) AS (concat(`{draw(st.sampled_from(earlier))}`, {draw(st.sampled_from(('1', '2')))})) {kind}", True
    if draw(st.integers(0, 5)) == 0:
        return f"`{name}` {draw(st.sampled_from(_UNINDEXED))}", False
    words = (draw(st.sampled_from(_TYPES)), draw(st.sampled_from(_DEFAULTS)), draw(st.sampled_from(_ATTRIBUTES)))
    return " ".join((f"`{name}`", *(word for word in words if word))), True


@st.composite
def tables(draw: st.DrawFn, table: str = "t") -> str:
    """A CREATE TABLE that MySQL may or may not take."""
    names = draw(st.permutations(("a", "b", "c", "d", "e f")))[: draw(st.integers(1, 5))]
    columns, keyed = ["`id` int NOT NULL" + draw(st.sampled_from(("", "", " AUTO_INCREMENT")))], list[str]()
    for name in names:
        definition, whole = draw(_column(name, keyed))
        columns.append(definition)
        keyed += [name] if whole else []
    draw(st.randoms(use_true_random=False)).shuffle(columns)
    keys = ["PRIMARY KEY (`id`)"]
    for name in draw(st.lists(st.sampled_from(("k1", "k2", "k3")), unique=True, max_size=3)):
        chosen = draw(st.lists(st.sampled_from(keyed or ["id"]), unique=True, min_size=1, max_size=2))
        unique = draw(st.sampled_from(("", "", "UNIQUE ")))
        order = draw(st.sampled_from(("", "", " DESC")))
        end = draw(st.sampled_from(("", "", " INVISIBLE", " COMMENT 'k;'")))
        keys.append(f"{unique}KEY `{name}` ({', '.join(f'`{column}`{order}' for column in chosen)}){end}")
    if draw(st.booleans()):
        rule = draw(st.sampled_from(("`id` > 0", "`id` <> 7", "`id` in (1,2,3)"))) if "AUTO" not in " ".join(columns) else "1 = 1"
        end = draw(st.sampled_from(("", " NOT ENFORCED")))
        keys.append(f"CONSTRAINT `{table}_{draw(st.sampled_from(('c1', 'c2')))}` CHECK ({rule}){end}")
    partitions = draw(st.sampled_from(("", "", "", "", *_PARTITIONS)))
    return f"CREATE TABLE `{table}` ({', '.join([*columns, *keys])}) {draw(st.sampled_from(_OPTIONS))} {partitions}".rstrip()
