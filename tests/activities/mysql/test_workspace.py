"""Scratch schemas: never two plans in one, never one left behind, never judged under other rules than the cluster's."""

import asyncio
import time

import pytest

from activities.mysql.workspace import PREFIX, NotLoaded, Reading, differs_from
from embedded.mysql import MySQLServer
from tests.activities.skeema.workspace import workspace_of

_READING = Reading("9.7.4-2", {"lower_case_table_names": "0", "innodb_default_row_format": "dynamic", "sql_mode": "STRICT_TRANS_TABLES"})


def _schemas(server: MySQLServer) -> set[str]:
    rows = server.run("SELECT schema_name AS name FROM information_schema.schemata")
    return {str(row["name"]) for row in rows if str(row["name"]).startswith(PREFIX)}


async def test_scratch_schemas_are_gone_afterwards_even_after_a_failure(workspace_server: MySQLServer) -> None:
    workspace, _ = workspace_of(workspace_server)
    made: set[str] = set()

    async def failing_plan() -> None:
        async with workspace.open() as scratch:
            made.update({(await scratch.schema()).name, scratch.name()})
            assert made & _schemas(workspace_server)
            raise RuntimeError("a plan that fails")

    with pytest.raises(RuntimeError, match="a plan that fails"):
        await failing_plan()
    assert not made & _schemas(workspace_server)


async def test_two_plans_at_once_have_schemas_of_their_own(workspace_server: MySQLServer) -> None:
    workspace, _ = workspace_of(workspace_server)

    async def plan(create: str) -> dict[str, str]:
        async with workspace.open() as scratch:
            schema = await scratch.schema()
            assert None is await schema.load({"t": create})
            await asyncio.sleep(0)
            return await schema.definitions()

    one, two = await asyncio.gather(plan("CREATE TABLE t (a int primary key)"), plan("CREATE TABLE t (b int primary key)"))
    assert "`a` int" in one["t"]
    assert "`b` int" in two["t"]


async def test_schemas_of_a_dead_worker_are_dropped_after_an_hour_and_those_of_a_living_one_never(workspace_server: MySQLServer) -> None:
    workspace, account = workspace_of(workspace_server)
    old, young = int(time.time()) - 3700, int(time.time()) - 60
    dead, living, recent = f"{PREFIX}{old:x}_aaaa_0", f"{PREFIX}{old:x}_bbbb_0", f"{PREFIX}{young:x}_cccc_0"
    for name in (dead, living, recent):
        workspace_server.run(f"CREATE DATABASE {name}")
    with workspace_server.connect(account.user) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (living.rpartition("_")[0],))
        async with workspace.open():
            assert {living, recent} == {dead, living, recent} & _schemas(workspace_server)
    async with workspace.open():
        assert {recent} == {dead, living, recent} & _schemas(workspace_server)
    workspace_server.run(f"DROP DATABASE {recent}")


async def test_files_are_read_under_the_clusters_sql_mode(workspace_server: MySQLServer) -> None:
    workspace, _ = workspace_of(workspace_server)
    async with workspace.open() as scratch:
        schema = await scratch.schema()
        ansi = Reading(scratch.reading.version, {**scratch.reading.variables, "sql_mode": "ANSI_QUOTES"})
        assert None is await schema.load({"t": 'CREATE TABLE "t" ("id" int primary key)'}, reading=ansi)
        assert "CREATE TABLE `t`" in await schema.definition("t")
        trouble = await schema.load({"u": 'CREATE TABLE "u" ("id" int primary key)'}, reading=scratch.reading)
        assert isinstance(trouble, NotLoaded)
        assert ("u", 1064) == (trouble.table, trouble.number)


async def test_a_lenient_cluster_does_not_make_mysql_change_a_definition_silently(workspace_server: MySQLServer) -> None:
    workspace, _ = workspace_of(workspace_server)
    async with workspace.open() as scratch:
        schema = await scratch.schema()
        lenient = Reading(scratch.reading.version, {**scratch.reading.variables, "sql_mode": ""})
        trouble = await schema.load({"t": "CREATE TABLE t (id int primary key, a varchar(70000))"}, reading=lenient)
        assert isinstance(trouble, NotLoaded)


async def test_timestamps_are_read_under_the_clusters_own_rule(workspace_server: MySQLServer) -> None:
    workspace, _ = workspace_of(workspace_server)
    async with workspace.open() as scratch:
        old = Reading(scratch.reading.version, {**scratch.reading.variables, "explicit_defaults_for_timestamp": "OFF"})
        one, two = await scratch.schema(), await scratch.schema()
        create = "CREATE TABLE t (id int primary key, at timestamp)"
        assert None is await one.load({"t": create}, reading=old)
        assert None is await two.load({"t": create}, reading=scratch.reading)
        assert "`at` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP" in await one.definition("t")
        assert "`at` timestamp NULL DEFAULT NULL" in await two.definition("t")


async def test_the_workspace_account_reaches_nothing_but_scratch_schemas(workspace_server: MySQLServer) -> None:
    workspace, _ = workspace_of(workspace_server)
    workspace_server.run("CREATE DATABASE IF NOT EXISTS kept")
    async with workspace.open() as scratch:
        schema = await scratch.schema()
        trouble = await schema.load({"t": "CREATE TABLE kept.t (id int primary key)"})
        assert isinstance(trouble, NotLoaded)
        assert 1142 == trouble.number


def test_equal_rules_differ_in_nothing() -> None:
    assert None is differs_from(_READING, Reading("9.7.9", _READING.variables), "production/a")


def test_another_series_is_refused_by_name() -> None:
    refusal = differs_from(_READING, Reading("8.4.3", _READING.variables), "production/a")
    assert refusal is not None
    assert "production/a is 8.4.3" in refusal.what
    assert "MySQL 8.4" in refusal.next


@pytest.mark.parametrize("name", ["lower_case_table_names", "innodb_default_row_format"])
def test_a_variable_that_cannot_be_set_for_a_session_is_refused_by_name(name: str) -> None:
    refusal = differs_from(_READING, Reading(_READING.version, {**_READING.variables, name: "other"}), "production/a")
    assert refusal is not None
    assert name in refusal.what
    assert f"--{name.replace('_', '-')}=other" in refusal.next


def test_another_sql_mode_is_no_reason_to_refuse_because_the_session_takes_it_over() -> None:
    assert None is differs_from(_READING, Reading(_READING.version, {**_READING.variables, "sql_mode": "ANSI_QUOTES"}), "x")
