"""Connections: a fixed session, errors that say what to do, nothing left behind."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql.err
import pytest
from pydantic import SecretStr

from activities.errors import NeedsHuman, TryAgain
from activities.mysql import predicates
from activities.mysql.connect import Address, mysql_errors, open_connection, quoted
from activities.settings import Account, MySQLSettings
from embedded.mysql import MySQLServer, Schema
from embedded.processes import free_port
from tests.activities.mysql.house import address_of, eventually, reading


@contextmanager
def server_variable(server: MySQLServer, name: str, value: str) -> Iterator[None]:
    before = server.run(f"SELECT @@global.{name} AS was")[0]["was"]
    server.run(f"SET GLOBAL {name} = %s", (value,))
    try:
        yield
    finally:
        server.run(f"SET GLOBAL {name} = %s", (before,))


async def test_the_session_does_not_take_over_the_servers_mode_or_time_zone(
    mysql_server: MySQLServer, lone_settings: MySQLSettings
) -> None:
    with server_variable(mysql_server, "sql_mode", "ANSI_QUOTES"), server_variable(mysql_server, "time_zone", "+05:30"):
        async with await reading(mysql_server, lone_settings) as connection:
            row = await connection.row("SELECT @@sql_mode, @@time_zone, @@character_set_connection, @@autocommit, 'a' = \"a\"")

    assert ("STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", "+00:00", "utf8mb4", 1, 1) == row


async def test_it_is_encrypted_where_the_server_offers_it(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    async with await reading(mysql_server, lone_settings) as connection:
        (status,) = await connection.records("SHOW SESSION STATUS LIKE 'Ssl_cipher'")

    assert "TLS" in status["value"]


async def test_one_tls_context_serves_all_connections(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    async with await reading(mysql_server, lone_settings) as one, await reading(mysql_server, lone_settings) as other:
        assert one._raw.ctx is other._raw.ctx  # type: ignore[attr-defined]  # the stubs leave it out


async def test_a_certificate_of_another_authority_is_refused(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    own = mysql_server.folder / "data" / "ca.pem"
    foreign = mysql_server.folder / "data" / "private_key.pem"
    async with await open_connection(
        address_of(mysql_server), lone_settings.read, lone_settings.model_copy(update={"tls_ca_file": own})
    ) as fine:
        assert 1 == await fine.value("SELECT 1")
    with pytest.raises(NeedsHuman, match="tls_ca_file"):
        await open_connection(address_of(mysql_server), lone_settings.read, lone_settings.model_copy(update={"tls_ca_file": foreign}))


async def test_it_is_seen_under_its_programs_name(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    async with await open_connection(address_of(mysql_server), lone_settings.direct, lone_settings, program="skeebot/abc") as connection:
        name = await connection.value(
            "SELECT attr_value FROM performance_schema.session_account_connect_attrs WHERE attr_name = 'program_name'"
            " AND processlist_id = %s",
            (connection.id,),
        )

    assert "skeebot/abc" == name


async def test_an_unreachable_server_is_tried_again_and_named(lone_settings: MySQLSettings) -> None:
    address = Address("127.0.0.1", free_port())

    with pytest.raises(TryAgain, match=f"127.0.0.1:{address.port}.*inventory"):
        await open_connection(address, lone_settings.read, lone_settings)


async def test_a_server_that_accepts_and_says_nothing_is_given_up_on(lone_settings: MySQLSettings) -> None:
    quick = lone_settings.model_copy(update={"connect_timeout_seconds": 1})
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(TryAgain):
            await open_connection(Address("127.0.0.1", mute.getsockname()[1]), quick.read, quick, read_timeout=600)

    assert 5 > time.monotonic() - began


async def test_a_wrong_password_needs_a_person(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    wrong = Account(user="skeebot_read", password=SecretStr("wrong"))

    with pytest.raises(NeedsHuman, match="password and grants"):
        await open_connection(address_of(mysql_server), wrong, lone_settings)


async def test_a_missing_schema_needs_a_person(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    with pytest.raises(NeedsHuman, match="no_such_schema"):
        await open_connection(address_of(mysql_server), lone_settings.ghost, lone_settings, database="no_such_schema")


async def test_a_wait_for_a_lock_does_not_block_the_event_loop(
    fresh_schema: Schema, mysql_server: MySQLServer, lone_settings: MySQLSettings
) -> None:
    async with await reading(mysql_server, lone_settings) as one, await reading(mysql_server, lone_settings) as other:
        sleeping = asyncio.create_task(one.value("SELECT SLEEP(0.5)"))
        began = time.monotonic()
        answers = [await other.value("SELECT 1") for _ in range(10)]
        quick = time.monotonic() - began

        assert [1] * 10 == answers
        assert 0.4 > quick
        assert 0 == await sleeping


async def test_a_cancelled_statement_does_not_run_on(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    async with await reading(mysql_server, lone_settings) as connection:
        asking = asyncio.create_task(connection.value("SELECT SLEEP(100)"))

        async def seen() -> list[Any]:
            return mysql_server.run(
                "SELECT id FROM information_schema.processlist WHERE id = %s AND info LIKE '%%SLEEP(100)%%'", (connection.id,)
            )

        await eventually(seen)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert [] == await seen()
        assert 1 == await connection.value("SELECT 1"), "only the statement was killed"


async def test_errors_inside_are_sorted_by_what_to_do(mysql_server: MySQLServer, lone_settings: MySQLSettings) -> None:
    async with await reading(mysql_server, lone_settings) as connection:
        with pytest.raises(pymysql.err.MySQLError) as raw:
            await connection.run("SELECT * FROM mysql.user")
        assert predicates.is_access_denied(raw.value)
        with pytest.raises(NeedsHuman, match="reading accounts"), mysql_errors(connection.address, "reading accounts"):
            await connection.run("SELECT * FROM mysql.user")


def test_names_are_quoted() -> None:
    assert "`a``b`" == quoted("a`b")
