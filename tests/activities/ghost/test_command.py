"""What gh-ost is told, and what it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ghost.command import (
    CLAUSE_LIMIT,
    Alter,
    Command,
    Connecting,
    GhostTables,
    Throttling,
    build,
    ghost_tables,
    read_alter,
    replica_server_id,
    unreadable_under,
)
from workflows.rules.plan import Refusal

NEVER = (
    "--skip-metadata-lock-check",
    "--skip-renamed-columns",
    "--serve-tcp-port",
    "--ok-to-drop-table",
    "--discard-foreign-keys",
    "--skip-strict-mode",
    "--password",
    "--master-password",
    "--attempt-instant-ddl",
    "--initially-drop-ghost-table",
    "--initially-drop-old-table",
)
NAMES = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=64)


def a_command(**changes: object) -> Command:
    told: dict[str, object] = {
        "program": "/opt/gh-ost",
        "schema": "shop",
        "table": "orders",
        "alter": Alter("ADD COLUMN a int"),
        "tables": ghost_tables("orders", "run-1"),
        "hint": "f00d",
        "folder": "/var/lib/skeebot/runs/1",
        "brake_file": "/var/lib/skeebot/runs/pause-all",
        "connecting": Connecting(("db-1", 3306)),
        "throttling": Throttling(chunk_size=500, max_lag_millis=1500, cut_over_lock_timeout_seconds=3),
        "user": "the-ghost",
        "password": "the-secret",
    }
    return build(**{**told, **changes})  # type: ignore[arg-type]  # the defaults above have the right types


def clause_of(statement: str) -> str:
    alter = read_alter(statement, schema="shop", table="orders")
    assert isinstance(alter, Alter), alter
    return alter.clause


def refusal_of(statement: str) -> str:
    refusal = read_alter(statement, schema="shop", table="orders")
    assert isinstance(refusal, Refusal), refusal
    assert refusal.what
    assert refusal.next
    return refusal.code.removeprefix("gh-ost-")


@pytest.mark.parametrize(
    ("statement", "clause"),
    [
        ("ALTER TABLE `orders` ADD COLUMN `a` int", "ADD COLUMN `a` int"),
        ("alter  table\n orders\n add a int ; ", "add a int"),
        ("/* why */ ALTER TABLE shop.`orders` ENGINE=InnoDB -- done", "ENGINE=InnoDB"),
        ("ALTER TABLE orders ADD a varchar(9) DEFAULT ';' COMMENT 'a; b -- c'", "ADD a varchar(9) DEFAULT ';' COMMENT 'a; b -- c'"),
        ("ALTER TABLE orders DROP KEY k, ADD UNIQUE KEY k (a, b(7))", "DROP KEY k, ADD UNIQUE KEY k (a, b(7))"),
        ("ALTER TABLE orders RENAME INDEX a TO b", "RENAME INDEX a TO b"),
        ("ALTER TABLE orders ALTER COLUMN a DROP DEFAULT", "ALTER COLUMN a DROP DEFAULT"),
        ("ALTER TABLE orders DROP COLUMN a, ADD COLUMN a int", "DROP COLUMN a, ADD COLUMN a int"),
    ],
)
def test_the_clause_is_the_statement_without_its_table(statement: str, clause: str) -> None:
    assert clause == clause_of(statement)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("ALTER TABLE orders ADD a int; DROP TABLE orders", "several-statements"),
        ("DROP TABLE orders", "not-an-alter"),
        ("ALTER DATABASE orders CHARACTER SET utf8mb4", "not-an-alter"),
        ("", "not-an-alter"),
        ("ALTER TABLE orders", "nothing-to-do"),
        ("ALTER TABLE other ADD a int", "other-table"),
        ("ALTER TABLE elsewhere.orders ADD a int", "other-table"),
        ("ALTER TABLE Orders ADD a int", "other-table"),
        ("ALTER TABLE orders RENAME COLUMN a TO b", "renames"),
        ("ALTER TABLE orders RENAME TO old_orders", "renames"),
        ("ALTER TABLE orders ADD a int, RENAME old_orders", "renames"),
        ("ALTER TABLE orders ADD a int /*!80023 INVISIBLE */", "executable-comment"),
        ("ALTER TABLE orders ADD a int COMMENT 'alter table orders drop column b'", "misread"),
        (r"ALTER TABLE orders ADD a int COMMENT 'it\'s a change b c of plan'", "misread"),
        ("ALTER TABLE orders ADD a int COMMENT 'no, never drop city', ADD b int", ""),
        (f"ALTER TABLE orders ADD a int COMMENT '{'x' * CLAUSE_LIMIT}'", "too-long"),
        ("ALTER TABLE orders ADD a int COMMENT 'open", "not-readable"),
    ],
)
def test_what_gh_ost_must_not_get_is_refused(statement: str, code: str) -> None:
    if code:
        assert code == refusal_of(statement)
    else:
        clause_of(statement)


def test_renamed_columns_are_seen_and_need_the_plans_word() -> None:
    alter = read_alter("ALTER TABLE orders CHANGE COLUMN a b int, CHANGE `c` `c` bigint", schema="shop", table="orders")
    assert isinstance(alter, Alter)
    assert (("a", "b"),) == alter.renames
    assert "--approve-renamed-columns" not in a_command(alter=alter).argv
    assert "--approve-renamed-columns" in a_command(alter=alter, approve_renames=True).argv
    assert "--approve-renamed-columns" not in a_command(approve_renames=True).argv


def test_a_string_that_the_servers_sql_mode_reads_differently_is_refused() -> None:
    assert unreadable_under(r"ADD a int COMMENT 'it\'s'", "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES") is not None
    assert unreadable_under(r"ADD a int COMMENT 'it\'s'", "STRICT_ALL_TABLES") is None
    assert unreadable_under("ADD a int COMMENT 'x'", "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES") is None


def test_under_ansi_quotes_gh_ost_would_not_see_its_privileges() -> None:
    refusal = unreadable_under("ADD a int", "ANSI_QUOTES,STRICT_ALL_TABLES")
    assert refusal is not None
    assert "privileges" in refusal.what
    assert "ANSI_QUOTES out of" in refusal.next


@given(NAMES, NAMES)
def test_the_clause_survives_any_comment_or_is_refused(column: str, comment: str) -> None:
    quoted = "`" + column.replace("`", "``") + "`"
    said = "'" + comment.replace("\\", "\\\\").replace("'", "''") + "'"
    clause = f"ADD COLUMN {quoted} int COMMENT {said}"
    alter = read_alter(f"ALTER TABLE `orders` {clause}", schema="shop", table="orders")
    if isinstance(alter, Alter):
        assert clause == alter.clause
        assert () == alter.renames


def test_no_secret_and_no_forbidden_flag_is_in_the_arguments() -> None:
    command = a_command(connecting=Connecting(("replica-1", 3307), primary="db-1:3306", tls=True), resume=True)
    said = " ".join((*command.argv, command.conf, repr(command)))
    assert "the-secret" not in said
    assert "the-ghost" not in said
    assert {"the-ghost", "the-secret"} == set(command.environment.values())
    assert "[client]\nuser=${SKEEBOT_GHOST_USER}\npassword=${SKEEBOT_GHOST_PASSWORD}\n" == command.conf
    assert not [flag for flag in command.argv if flag.split("=")[0] in NEVER]
    assert len(command.argv) == len({flag.split("=")[0] for flag in command.argv})


def test_a_primary_is_read_and_written_directly_and_a_replica_only_read() -> None:
    direct = a_command(connecting=Connecting(("db-1", 3306))).argv
    assert "--allow-on-master" in direct
    assert not [flag for flag in direct if flag.startswith("--assume-master-host")]
    through = a_command(connecting=Connecting(("replica-1", 3307), primary="db-1:3306")).argv
    assert "--allow-on-master" not in through
    for flag in ("--host=replica-1", "--port=3307", "--assume-master-host=db-1:3306", "--throttle-control-replicas=replica-1:3307"):
        assert flag in through


def test_tls_is_verified_where_an_authority_is_known() -> None:
    plain, encrypted, verified = (
        a_command(connecting=Connecting(("db-1", 3306), tls=tls, tls_ca_file=ca)).argv
        for tls, ca in ((False, ""), (True, ""), (True, "/etc/ca.pem"))
    )
    assert not [flag for flag in plain if flag.startswith("--ssl")]
    assert ["--ssl", "--ssl-allow-insecure"] == [flag for flag in encrypted if flag.startswith("--ssl")]
    assert ["--ssl", "--ssl-ca=/etc/ca.pem"] == [flag for flag in verified if flag.startswith("--ssl")]


@given(NAMES, st.text(min_size=1, max_size=80))
def test_the_tables_names_fit_and_are_plain_whatever_the_table_is_called(table: str, run_id: str) -> None:
    names = ghost_tables(table, run_id)
    for name in (names.ghost, names.changelog, names.checkpoint, names.old):
        assert len(name.encode()) <= 64
        assert name.isascii()
        assert name == name.lower()
        assert not set(name) & set("%'`\\ ")
    assert names == ghost_tables(table, run_id) == GhostTables.of(names.ghost)
    assert names != ghost_tables(table, f"{run_id}+")
    assert 2**31 <= replica_server_id(names.base) < 2**32
