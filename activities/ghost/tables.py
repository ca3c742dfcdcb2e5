"""What of a run's tables is on the primary, and what of its sessions; removing what is ours."""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Final

import pymysql.err

from activities.errors import NeedsHuman, TryAgain
from activities.ghost.command import GhostTables
from activities.mysql import predicates
from activities.mysql.connect import Connection, table_name

SENTRY_COMMENT: Final = "ghost-cut-over-sentry"
"""gh-ost's comment on the empty table that stands in for the old one during a cut-over attempt."""

QUIET_PATIENCE_SECONDS: Final = 30.0
KILL_AFTER_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Standing:
    """Which of a run's tables exist. old: the former original; sentry: only the stand-in for it."""

    original: bool = False
    ghost: bool = False
    changelog: bool = False
    checkpoint: bool = False
    old: bool = False
    sentry: bool = False

    @property
    def swapped(self) -> bool:
        return self.original and self.old and not self.ghost


async def look(connection: Connection, schema: str, table: str, names: GhostTables) -> Standing:
    five = (table, names.ghost, names.changelog, names.checkpoint, names.old)
    rows = await connection.rows(
        "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME IN (%s, %s, %s, %s, %s)",
        (schema, *five),
    )
    comments = {str(name).casefold(): str(comment) for name, comment in rows}
    there = [name.casefold() in comments for name in five]
    sentry = there[4] and comments[names.old.casefold()] == SENTRY_COMMENT
    return Standing(there[0], there[1], there[2], there[3], there[4] and not sentry, sentry)


async def has_checkpoint(connection: Connection, schema: str, names: GhostTables) -> str | None:
    """The GTID set up to which the newest checkpoint is complete; None: there is none to resume from."""
    try:
        row = await connection.row(
            f"SELECT gh_ost_chk_coords, gh_ost_is_cutover FROM {table_name(schema, names.checkpoint)}"  # noqa: S608 - a quoted name
            " ORDER BY gh_ost_chk_id DESC LIMIT 1"
        )
    except pymysql.err.MySQLError as wrong:
        if predicates.is_unknown_table(wrong):
            return None
        raise
    return None if row is None or row[1] else str(row[0])


async def await_quiet(connection: Connection, pid: int, schema: str, names: GhostTables) -> None:
    """Until nothing of a dead gh-ost is left in the server: a statement may outlive its client (SAFETY §S6).

    Its sessions are known by the pid that they gave when they connected (from this host, into this schema), and by the run's own table
    names in their statements; those that stay are killed, for which an account needs no right but to be their own.
    Errors: TryAgain when some still stay.
    """
    began = time.monotonic()
    while sessions := await _sessions(connection, pid, schema, names):
        waited = time.monotonic() - began
        if waited > QUIET_PATIENCE_SECONDS:
            raise TryAgain(f"gh-ost (pid {pid}) is dead, but its sessions {sessions} on {connection.address} are not. Kill them there.")
        if waited > KILL_AFTER_SECONDS:
            for session in sessions:
                await _kill(connection, session)
        await asyncio.sleep(0.1)


async def _sessions(connection: Connection, pid: int, schema: str, names: GhostTables) -> list[int]:
    rows = await connection.rows(
        "SELECT PROCESSLIST_ID FROM performance_schema.threads"
        " WHERE PROCESSLIST_USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AND PROCESSLIST_ID <> CONNECTION_ID()"
        " AND (LOCATE(%s, PROCESSLIST_INFO) > 0 OR (PROCESSLIST_DB = %s AND PROCESSLIST_HOST ="
        " (SELECT PROCESSLIST_HOST FROM performance_schema.threads WHERE PROCESSLIST_ID = CONNECTION_ID())"
        " AND PROCESSLIST_ID IN (SELECT p.PROCESSLIST_ID FROM performance_schema.session_account_connect_attrs p"
        " JOIN performance_schema.session_account_connect_attrs c USING (PROCESSLIST_ID) WHERE p.ATTR_NAME = '_pid' AND p.ATTR_VALUE = %s"
        " AND c.ATTR_NAME = '_client_name' AND c.ATTR_VALUE = 'Go-MySQL-Driver')))",
        (names.base, schema, str(pid)),
    )
    return [int(row[0]) for row in rows]


async def _kill(connection: Connection, session: int) -> None:
    try:
        await connection.run(f"KILL CONNECTION {session}")
    except pymysql.err.MySQLError as wrong:
        if not predicates.is_no_such_thread(wrong):
            raise


async def drop_ours(connection: Connection, schema: str, table: str, names: GhostTables, *, keep_ghost: bool = False) -> tuple[str, ...]:
    """Drop what this run left: ghost, changelog and checkpoint tables, and a stand-in for the old one; never an old table with rows.

    keep_ghost: for a person to look at. Answers what was dropped.
    Errors: NeedsHuman when another gh-ost is at work on the table; TryAgain when something holds a lock on one of these.
    """
    holder = await connection.value("SELECT IS_USED_LOCK(%s)", (_lock_name(schema, table),))
    if holder is not None:
        raise NeedsHuman(
            f"Another gh-ost works on {schema}.{table} (session {holder} on {connection.address}), so the tables _{names.base}_… stay."
            " Let it end, or abort it, then abort this one again."
        )
    standing = await look(connection, schema, table, names)
    doomed = [
        name
        for name, there in (
            (names.ghost, standing.ghost and not keep_ghost),
            (names.changelog, standing.changelog),
            (names.checkpoint, standing.checkpoint),
            (names.old, standing.sentry),
        )
        if there
    ]
    for name in doomed:
        await connection.run(f"DROP TABLE IF EXISTS {table_name(schema, name)}")
    return tuple(doomed)


def _lock_name(schema: str, table: str) -> str:
    """gh-ost's GET_LOCK (v1.1.10): at most 64 bytes."""
    name = f"gh-ost::{schema}.{table}"
    return name if len(name.encode()) <= 64 else "gh-ost::" + hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
