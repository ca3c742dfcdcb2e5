"""Random CREATE TABLEs for Hypothesis: two drawn from one small pool of names differ in many ways at once."""

from hypothesis import strategies as st

_TYPES = (
    ("int", "1"), ("int unsigned", "1"), ("bigint", "1"), ("tinyint(1)", "1"), ("decimal(10,2)", "1.50"), ("double", "1"),
    ("date", "2020-01-01"), ("datetime(3)", "2020-01-01"), ("timestamp", "2020-01-01"), ("time", "01:00"), ("year", "2020"),
    ("varchar(40)", "it''s"), ("varchar(300)", ""), ("varchar(40) CHARACTER SET latin1", "x"), ("varchar(40) COLLATE utf8mb4_bin", "X"),
    ("char(5)", "x"), ("varbinary(20)", "x"), ("enum('a','b')", "a"), ("enum('b','a','c''d')", "a"), ("set('x','y')", "x"), ("bit(3)", "1"),
)  # fmt: skip
_UNINDEXED = ("text", "json", "blob", "longtext CHARACTER SET latin1", "point", "geometry SRID 4326")
_ATTRIBUTES = ("NULL", "NOT NULL", "NULL COMMENT 'it''s; drop column a'", "NULL INVISIBLE", "NOT NULL COMMENT '\\\\ /* x */'")
_OPTIONS = (
    "", "COMMENT='x'", "COMMENT='a ''b'' , change c d'", "CHARSET=latin1", "COLLATE=utf8mb4_bin", "CHARSET=utf8mb3", "ROW_FORMAT=COMPACT",
    "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8", "STATS_PERSISTENT=1", "AUTO_INCREMENT=7",
)  # fmt: skip
_PARTITIONS = (
    "PARTITION BY HASH (`id`) PARTITIONS 2", "PARTITION BY HASH (`id`) PARTITIONS 3", "PARTITION BY KEY (`id`) PARTITIONS 2",
    "PARTITION BY RANGE (`id`) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
    "PARTITION BY RANGE (`id`) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "PARTITION BY RANGE (`id`) (PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30))",
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
    (kind, value), attributes = draw(st.sampled_from(_TYPES)), draw(st.sampled_from(_ATTRIBUTES))
    default = f" DEFAULT '{value}'" if draw(st.booleans()) else ""
    return f"`{name}` {kind}{default} {attributes}", True


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
