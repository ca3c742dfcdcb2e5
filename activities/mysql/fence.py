"""Cutting a lost gh-ost off at the database, when its host does not answer (SAFETY §S2).

Its account is locked, its connections are killed and seen gone, its GET_LOCK is seen free, its tables are dropped, and only then is the
account unlocked. A zombie that wakes up later can connect again, for all runs on a topology share the one account, but it finds none of its
tables: it can neither replay old rows into a table that anybody will use, nor swap. For the same reason nothing is ever resumed after
this fence: what starts next starts clean under fresh names. One gh-ost at a time runs on a topology (ClusterQueue), so the lock stops
nobody else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pymysql.err
from temporalio import activity

from activities.errors import NeedsHuman
from activities.mysql import predicates
from activities.mysql.connect import Address, Connection, mysql_errors, open_connection, quoted, table_name
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import list_tables
from activities.mysql.preflight import address_of, ghost_lock
from activities.settings import MySQLSettings
from workflows.messages import Fence, FenceVerdict

_DEATH_SECONDS: Final = 30.0


class DatabaseFences:
    def __init__(self, settings: MySQLSettings, discovery: Discovery) -> None:
        self._settings = settings
        self._discovery = discovery

    @activity.defn(name="fence_at_database")
    async def fence_at_database(self, ask: Fence) -> FenceVerdict:
        """Never resumable. Not fenced: the account stays locked, and detail says what a person does.

        Errors: TryAgain when the primary cannot be reached; NeedsHuman when an account lacks its grants.
        """
        address = address_of(ask.primary)
        target = ask.order.migration.target
        now = (await self._discovery.shard(target.cluster, target.shard)).primary
        if now != address:
            # The old process has the old address; what it may still do there cannot be seen from the new one.
            return FenceVerdict(
                fenced=False,
                detail=f"The primary moved from {address} to {now} since the run started; it cannot be cut off where it was."
                f" See that gh-ost (pid {ask.run.pid}) is dead on {ask.run.host}, then: runner-dead {ask.run.host}.",
            )
        async with await open_connection(address, self._settings.fence, self._settings) as connection:
            with mysql_errors(address, f"cutting gh-ost of {target} off"):
                return await self._cut_off(connection, address, ask)

    async def _cut_off(self, connection: Connection, address: Address, ask: Fence) -> FenceVerdict:
        user = self._settings.ghost.user
        await _lock(connection, user, locked=True)
        if not await _until(lambda: self._kill_all(connection, user)):
            return _still_locked(user, f"connections of {user} on {address} were killed and have not ended")
        target = ask.order.migration.target
        name = ghost_lock(target.schema, target.table)
        if not await _until(lambda: _is_free(connection, name)):
            holder = await connection.value("SELECT IS_USED_LOCK(%s)", (name,))
            return _still_locked(user, f"connection {holder} still holds gh-ost's lock on {target.schema}.{target.table}")
        dropped = await self._drop_artefacts(address, ask)
        await _lock(connection, user, locked=False)
        tables = f" Dropped: {', '.join(dropped)}." if dropped else ""
        return FenceVerdict(fenced=True, resumable=False, detail=f"Cut off at {address}: no connection of {user} was left.{tables}")

    async def _kill_all(self, connection: Connection, user: str) -> bool:
        """True when none is left. A connection that was being made while the account was locked shows up in the next look."""
        rows = await connection.rows("SELECT processlist_id FROM performance_schema.threads WHERE processlist_user = %s", (user,))
        for (identity,) in rows:
            try:
                await connection.run(f"KILL {int(identity)}")
            except pymysql.err.MySQLError as wrong:
                if not predicates.is_no_such_thread(wrong):
                    raise
        return not rows

    async def _drop_artefacts(self, address: Address, ask: Fence) -> list[str]:
        """The tables that this run recorded as its own: the copy, the changelog, the checkpoint. Never the old table."""
        schema = ask.order.migration.target.schema
        async with await open_connection(address, self._settings.direct, self._settings) as connection:
            with mysql_errors(address, f"dropping what gh-ost run {ask.run.run_id} left in {schema}"):
                await connection.run("SET SESSION lock_wait_timeout = 3")
                there = set(await list_tables(connection, schema))
                ours = [one for one in (ask.run.ghost_table, ask.run.changelog_table, ask.run.checkpoint_table) if one in there]
                for one in ours:
                    await connection.run(f"DROP TABLE {table_name(schema, one)}")
                return ours


async def _lock(connection: Connection, user: str, *, locked: bool) -> None:
    """Of every host that the user is known from."""
    hosts = await connection.rows("SELECT host FROM information_schema.user_attributes WHERE user = %s", (user,))
    if not hosts:
        raise NeedsHuman(f"There is no account {user} on {connection.address}, or the fence account may not see it: grant it CREATE USER.")
    accounts = ", ".join(f"{quoted(user)}@{quoted(str(host))}" for (host,) in hosts)
    await connection.run(f"ALTER USER {accounts} ACCOUNT {'LOCK' if locked else 'UNLOCK'}")


async def _is_free(connection: Connection, name: str) -> bool:
    return bool(await connection.value("SELECT IS_FREE_LOCK(%s)", (name,)))


async def _until(what: Callable[[], Awaitable[bool]]) -> bool:
    """True twice in a row, a moment apart: what was under way when the account was locked has had time to show up."""
    deadline = time.monotonic() + _DEATH_SECONDS
    in_a_row = 0
    while time.monotonic() < deadline:
        in_a_row = in_a_row + 1 if await what() else 0
        if in_a_row == 2:
            return True
        await asyncio.sleep(0.3)
    return False


def _still_locked(user: str, what: str) -> FenceVerdict:
    return FenceVerdict(
        fenced=False,
        detail=f"{what[0].upper()}{what[1:]}. The account stays locked; when gh-ost is surely dead: ALTER USER {user} ACCOUNT UNLOCK.",
    )
