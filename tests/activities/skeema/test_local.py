"""What `starter.py diff` prints turns one side into the other on a real MySQL, or it refuses with the reason and what to do."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from activities.skeema.local import LocalDiff, LocalWorkspace, run_local_diff
from embedded.mysql import MySQLServer
from embedded.tools import Tools
from tests.activities.skeema.pairs import REFUSED as REFUSED_PAIRS
from tests.activities.skeema.pairs import TOGETHER, Pair
from tests.activities.skeema.real import definitions_after, fresh_definitions, without_counters
from tests.activities.skeema.workspace import workspace_of


@pytest.fixture
def workspace(workspace_server: MySQLServer, tools: Tools) -> LocalWorkspace:
    opened, account = workspace_of(workspace_server)
    return LocalWorkspace(opened.address, account, str(tools.skeema))


def written(folder: Path, tables: Mapping[str, str]) -> Path:
    """One file per table; the value is the whole statement."""
    for name, text in tables.items():
        file = folder / f"{name}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text};\n")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def compared(folder: Path, workspace: LocalWorkspace, base: Mapping[str, str], head: Mapping[str, str]) -> LocalDiff:
    return await run_local_diff(written(folder / "base", base), written(folder / "head", head), workspace)


@pytest.mark.parametrize("pairs", TOGETHER.values(), ids=TOGETHER.keys())
async def test_what_is_printed_makes_the_one_the_other(
    pairs: tuple[Pair, ...], workspace: LocalWorkspace, workspace_server: MySQLServer, tmp_path: Path
) -> None:
    tables = {f"t{number}": pair for number, pair in enumerate(pairs)}
    base = {table: pair.create("base", table) for table, pair in tables.items()}
    head = {table: pair.create("head", table) for table, pair in tables.items()}
    found = await compared(tmp_path, workspace, base, head)
    assert None is found.refusal
    wanted, got = fresh_definitions(workspace_server, head), definitions_after(workspace_server, base, found.statements)
    assert {} == {tables[table].name: (got[table], wanted[table]) for table in tables if got[table] != wanted[table]}
    touched = {table for table in tables if any(f" `{table}` " in statement for statement in found.statements)}
    assert {table for table, pair in tables.items() if pair.status == "changes"} == touched


@pytest.mark.parametrize("pair", REFUSED_PAIRS.values(), ids=REFUSED_PAIRS.keys())
async def test_what_one_alter_cannot_do_is_refused_with_what_to_do(pair: Pair, workspace: LocalWorkspace, tmp_path: Path) -> None:
    found = await compared(tmp_path, workspace, {"t": pair.create("base")}, {"t": pair.create("head")})
    assert found.refusal is not None, found
    assert pair.code in ("", found.refusal.code)
    assert found.refusal.what
    assert found.refusal.next


PAIRS_OF_SCHEMAS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "a foreign key between two new tables": (
        {"x": "CREATE TABLE x (id int PRIMARY KEY)"},
        {
            "x": "CREATE TABLE x (id int PRIMARY KEY)",
            "z": "CREATE TABLE z (id int PRIMARY KEY)",
            "a": "CREATE TABLE a (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES z (id))",
        },
    ),
    "two new tables that refer to each other": (
        {"x": "CREATE TABLE x (id int PRIMARY KEY)"},
        {
            "x": "CREATE TABLE x (id int PRIMARY KEY)",
            "a": "CREATE TABLE a (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES z (id))",
            "z": "CREATE TABLE z (id int PRIMARY KEY, CONSTRAINT g FOREIGN KEY (id) REFERENCES a (id))",
        },
    ),
    "a parent and its child dropped": (
        {
            "x": "CREATE TABLE x (id int PRIMARY KEY)",
            "a": "CREATE TABLE a (id int PRIMARY KEY)",
            "z": "CREATE TABLE z (id int PRIMARY KEY, CONSTRAINT g FOREIGN KEY (id) REFERENCES a (id))",
        },
        {"x": "CREATE TABLE x (id int PRIMARY KEY)"},
    ),
    "a foreign key on a key that comes with it": (
        {"p": "CREATE TABLE p (id int PRIMARY KEY, n int NOT NULL)", "c": "CREATE TABLE c (id int PRIMARY KEY, n int)"},
        {
            "p": "CREATE TABLE p (id int PRIMARY KEY, n int NOT NULL, UNIQUE KEY n (n))",
            "c": "CREATE TABLE c (id int PRIMARY KEY, n int, CONSTRAINT f FOREIGN KEY (n) REFERENCES p (n) ON DELETE SET NULL)",
        },
    ),
    "a foreign key of another rule": (
        {
            "p": "CREATE TABLE p (id int PRIMARY KEY)",
            "c": "CREATE TABLE c (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES p (id))",
        },
        {
            "p": "CREATE TABLE p (id int PRIMARY KEY)",
            "c": "CREATE TABLE c (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES p (id) ON DELETE CASCADE)",
        },
    ),
    "a foreign key of another name": (
        {
            "p": "CREATE TABLE p (id int PRIMARY KEY)",
            "c": "CREATE TABLE c (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES p (id))",
        },
        {
            "p": "CREATE TABLE p (id int PRIMARY KEY)",
            "c": "CREATE TABLE c (id int PRIMARY KEY, CONSTRAINT g FOREIGN KEY (id) REFERENCES p (id))",
        },
    ),
    "a key dropped and the column that it held fast changed": (
        {
            "a_parent": "CREATE TABLE a_parent (id int PRIMARY KEY)",
            "child": "CREATE TABLE child (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES a_parent (id))",
        },
        {"a_parent": "CREATE TABLE a_parent (id bigint PRIMARY KEY)", "child": "CREATE TABLE child (id int PRIMARY KEY)"},
    ),
    "a table whose parent has a parent": (
        {
            "a": "CREATE TABLE a (id int PRIMARY KEY, CONSTRAINT ab FOREIGN KEY (id) REFERENCES b (id))",
            "b": "CREATE TABLE b (id int PRIMARY KEY, CONSTRAINT bc FOREIGN KEY (id) REFERENCES c (id))",
            "c": "CREATE TABLE c (id int PRIMARY KEY)",
        },
        {
            "a": "CREATE TABLE a (id int PRIMARY KEY, n int, CONSTRAINT ab FOREIGN KEY (id) REFERENCES b (id))",
            "b": "CREATE TABLE b (id int PRIMARY KEY, CONSTRAINT bc FOREIGN KEY (id) REFERENCES c (id))",
            "c": "CREATE TABLE c (id int PRIMARY KEY)",
        },
    ),
    "a table renamed": ({"old": "CREATE TABLE old (id int PRIMARY KEY)"}, {"new": "CREATE TABLE new (id int PRIMARY KEY)"}),
    "tables with names to quote": (
        {"a": "CREATE TABLE `order` (`key` int PRIMARY KEY)"},
        {"a": "CREATE TABLE `order` (`key` int PRIMARY KEY, `group` int)", "b": "CREATE TABLE `a b-c$ü` (id int PRIMARY KEY)"},
    ),
}


@pytest.mark.parametrize("name", PAIRS_OF_SCHEMAS)
async def test_a_pair_of_schemas(name: str, workspace: LocalWorkspace, workspace_server: MySQLServer, tmp_path: Path) -> None:
    base, head = PAIRS_OF_SCHEMAS[name]
    found = await compared(tmp_path, workspace, base, head)
    assert "changes" == found.status, found
    assert fresh_definitions(workspace_server, head) == definitions_after(workspace_server, base, found.statements)


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = "CREATE TABLE t (id int PRIMARY KEY)"

REFUSED: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "a file that does not parse": ({"t": GOOD}, {"t": "CREATE TABEL t (id int)"}, "not-understood"),
    "a type that does not exist": ({"t": GOOD}, {"t": "CREATE TABLE t (id integre PRIMARY KEY)"}, "does-not-load"),
    "two files of one table": ({"t": GOOD}, {"t": GOOD, "u": GOOD}, "duplicate-table"),
    "two statements": ({"t": GOOD}, {"t": f"{GOOD}; DROP TABLE t"}, "not-understood"),
    "an empty file": ({"t": GOOD}, {"t": ""}, "not-understood"),
    "a view": ({"t": GOOD}, {"t": GOOD, "v": "CREATE VIEW v AS SELECT * FROM t"}, "not-understood"),
    "a column that is not there": ({"t": GOOD}, {"t": "CREATE TABLE t (id int PRIMARY KEY, KEY k (nope))"}, "does-not-load"),
    "a parent that is not there": (
        {"t": GOOD},
        {"t": "CREATE TABLE t (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES nope (id))"},
        "no-parent",
    ),
    "a parent of another type": (
        {"t": GOOD, "p": "CREATE TABLE p (id bigint PRIMARY KEY)"},
        {
            "t": "CREATE TABLE t (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES p (id))",
            "p": "CREATE TABLE p (id bigint PRIMARY KEY)",
        },
        "does-not-load",
    ),
    "a parent taken away from a table that stays": (
        {"t": GOOD, "c": "CREATE TABLE c (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES t (id))"},
        {"c": "CREATE TABLE c (id int PRIMARY KEY, CONSTRAINT f FOREIGN KEY (id) REFERENCES t (id))"},
        "no-parent",
    ),
    "another schema": ({"t": GOOD}, {"t": "CREATE TABLE other.t (id int PRIMARY KEY)"}, "not-understood"),
    "every table gone": ({"t": GOOD}, {}, "directory-emptied"),
    "a row that is too long": (
        {"t": GOOD},
        {"t": "CREATE TABLE t (id int PRIMARY KEY, a varchar(16000), b varchar(16000))"},
        "does-not-load",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_done_is_refused_with_what_to_do(name: str, workspace: LocalWorkspace, tmp_path: Path) -> None:
    base, head, code = REFUSED[name]
    found = await compared(tmp_path, workspace, base, head)
    assert found.refusal is not None, found
    assert code == found.refusal.code
    assert found.refusal.next
    assert "_skeebot_" not in found.refusal.what
    assert [] == found.statements
    assert {"status": "refused", "statements": []}.items() <= found.to_json().items()


async def test_a_removed_file_that_nobody_can_read_is_refused(workspace: LocalWorkspace, tmp_path: Path) -> None:
    found = await compared(tmp_path, workspace, {"t": GOOD, "x": "CREATE PROCEDURE x() SELECT 1"}, {"t": GOOD})
    assert found.refusal is not None
    assert "`x.sql`" in found.refusal.what


async def test_a_file_that_both_sides_share_and_nobody_can_read_is_a_note(workspace: LocalWorkspace, tmp_path: Path) -> None:
    routine = "CREATE PROCEDURE x() SELECT 1"
    found = await compared(tmp_path, workspace, {"t": GOOD, "x": routine}, {"t": "CREATE TABLE t (id bigint PRIMARY KEY)", "x": routine})
    assert "changes" == found.status
    assert any("x.sql" in note for note in found.schemas[0].notes)


async def test_each_directory_below_the_roots_is_a_schema(workspace: LocalWorkspace, tmp_path: Path) -> None:
    wide = "CREATE TABLE t (id bigint PRIMARY KEY)"
    base = {"one/t": GOOD, "two/deep/t": GOOD, ".hidden/t": "nonsense", "same/t": GOOD}
    head = {"one/t": wide, "two/deep/t": GOOD, "three/t": GOOD, ".hidden/t": "other nonsense", "same/t": GOOD}
    found = await compared(tmp_path, workspace, base, head)
    assert ["one", "three"] == [one.path for one in found.schemas]
    assert 2 == len(found.statements)
    assert found.statements[0].startswith("ALTER TABLE `t`")


async def test_options_are_bases_and_nothing_in_them_is_run(workspace: LocalWorkspace, tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    base, head = (
        written(tmp_path / "base", {"s/t": "CREATE TABLE t (a text)"}),
        written(tmp_path / "head", {"s/t": "CREATE TABLE t (b text)"}),
    )
    (base / ".skeema").write_text(
        f"default-character-set=latin1\nalter-wrapper=/usr/bin/touch {trap}\nhost-wrapper=/usr/bin/touch {trap}\n"
    )
    (head / "s/.skeema").write_text(f"schema=`touch {trap}`\n")
    found = await run_local_diff(base, head, workspace)
    assert "changes" == found.status
    assert "utf8mb4" not in found.statements[0]
    assert not trap.exists()
    assert any("alter-wrapper" in note for note in found.schemas[0].notes)


async def test_what_loses_data_is_said(workspace: LocalWorkspace, tmp_path: Path) -> None:
    base = {"t": "CREATE TABLE t (id int PRIMARY KEY, a int, KEY k (a))", "u": GOOD.replace(" t ", " u ")}
    found = await compared(tmp_path, workspace, base, {"t": "CREATE TABLE t (id smallint PRIMARY KEY, b int)"})
    said = {risk.code for risk in found.schemas[0].risks if risk.unsafe}
    assert {"drop-column", "ambiguous-rename", "narrowing", "drop-index", "drop-table"} <= said


async def test_a_symbolic_link_is_not_followed(workspace: LocalWorkspace, tmp_path: Path) -> None:
    base, head = written(tmp_path / "base", {"t": GOOD}), written(tmp_path / "head", {})
    (head / "t.sql").symlink_to(base / "t.sql")
    found = await run_local_diff(base, head, workspace)
    assert found.refusal is not None
    assert "not-a-file" == found.refusal.code


async def test_a_directory_that_is_not_there_is_refused(workspace: LocalWorkspace, tmp_path: Path) -> None:
    found = await run_local_diff(tmp_path / "nowhere", tmp_path, workspace)
    assert found.refusal is not None
    assert "nowhere" in found.refusal.what


async def test_a_workspace_that_is_away_is_refused_with_its_address(workspace: LocalWorkspace, tmp_path: Path) -> None:
    away = LocalWorkspace(workspace.address.__class__("127.0.0.1", 1), workspace.account, workspace.skeema)
    found = await compared(tmp_path, away, {"t": GOOD}, {"t": "CREATE TABLE t (id bigint PRIMARY KEY)"})
    assert found.refusal is not None
    assert "127.0.0.1:1" in found.refusal.what


async def test_no_difference_needs_no_server(workspace: LocalWorkspace, tmp_path: Path) -> None:
    away = LocalWorkspace(workspace.address.__class__("127.0.0.1", 1), workspace.account, workspace.skeema)
    assert "same" == (await compared(tmp_path, away, {"t": GOOD}, {"t": GOOD})).status


def test_counters_of_rows_are_no_part_of_a_definition() -> None:
    assert "CREATE TABLE `t` (\n  `id` int\n) ENGINE=InnoDB COMMENT='AUTO_INCREMENT=7'" == without_counters(
        "CREATE TABLE `t` (\n  `id` int\n) ENGINE=InnoDB AUTO_INCREMENT=5 COMMENT='AUTO_INCREMENT=7'"
    )
