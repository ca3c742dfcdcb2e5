"""The servers of a run as gh-ost's own account sees them: what a start depends on, what a resumption needs, what is dropped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from activities.errors import NeedsHuman
from activities.ghost import tables
from activities.ghost.command import Alter, Connecting, GhostTables, unreadable_under
from activities.ghost.tables import Standing
from activities.mysql.connect import Address, Connection, mysql_errors, open_connection
from activities.mysql.discovery import Discovery
from activities.settings import MySQLSettings
from workflows.messages import GhostRun, MigrationOrder, PrimaryIdentity
from workflows.rules.names import Target


class GhostServers:
    def __init__(self, mysql: MySQLSettings, discovery: Discovery) -> None:
        self._mysql = mysql
        self._discovery = discovery

    @property
    def account(self) -> tuple[str, str]:
        """User and password. Errors: NeedsHuman when the settings have none."""
        return self._mysql.ghost.user, self._mysql.ghost.secret()

    async def look(self, target: Target, pinned: PrimaryIdentity, alter: Alter) -> Connecting:
        """The pinned primary (SAFETY §S9), and what gh-ost is not asked to find out by itself.

        Errors: NeedsHuman when the primary is another one now, or a server is not fit for gh-ost; TryAgain when one is away.
        """
        verified = await self._discovery.verified(target.cluster, target.shard)
        if verified.primary != pinned:
            raise NeedsHuman(
                f"The primary of {target.cluster}/{target.shard} is {verified.primary.address} ({verified.primary.server_uuid}) now, not"
                f" {pinned.address} ({pinned.server_uuid}) as before the start. retry-migration looks again."
            )
        async with self.as_ghost(verified.shard.primary) as connection:
            primary = await _read_manner(connection)
        inspected, manner = verified.shard.replica, primary
        if inspected is not None:
            async with self.as_ghost(inspected) as connection:
                manner = await _read_manner(connection)
        where = inspected or verified.shard.primary
        if manner.binlog != "ROW/FULL":
            raise NeedsHuman(f"{where} writes binary logs as {manner.binlog}; gh-ost needs ROW/FULL (binlog_format, binlog_row_image).")
        if (refusal := unreadable_under(alter.clause, primary.sql_mode)) is not None:
            raise NeedsHuman(f"{refusal.what} {refusal.next}")
        authority = self._mysql.tls_ca_file
        return Connecting(
            inspect=(where.host, where.port),
            primary=str(verified.shard.primary) if inspected is not None else "",
            gtid=manner.gtid,
            tls=authority is not None or (primary.tls and manner.tls),
            tls_ca_file=str(authority.absolute()) if authority is not None else "",
        )

    async def primary_changed(self, address: str, server_uuid: str) -> str:
        """What the server at this address is by now, in words; "" while it is the same and takes writes. Errors: TryAgain, NeedsHuman."""
        async with self.as_ghost(parsed(address)) as connection:
            row = await connection.row("SELECT @@server_uuid, @@global.read_only")
        if row is None or (str(row[0]) == server_uuid and not row[1]):
            return ""
        return f"{address} is server {row[0]} ({'read-only' if row[1] else 'writable'}) now, not {server_uuid}"

    async def standing(self, order: MigrationOrder, names: GhostTables) -> Standing:
        target = order.migration.target
        async with self.on_primary(order) as connection:
            return await tables.look(connection, target.schema, target.table, names)

    async def await_quiet(self, run: GhostRun, order: MigrationOrder) -> None:
        """Until no session of a dead gh-ost is left. Errors: TryAgain when the primary is away or some stay."""
        async with self.on_primary(order) as connection:
            await tables.await_quiet(connection, run.pid, order.migration.target.schema, GhostTables.of(run.ghost_table))

    async def tidy(self, run: GhostRun, order: MigrationOrder, *, keep_ghost: bool = False) -> tuple[Standing, tuple[str, ...]]:
        """After a process's death: wait for its last sessions, look, drop what is the run's. Answers what stood and what was dropped.

        Errors: TryAgain when the primary is away or something of the run still works there; NeedsHuman while another gh-ost does.
        """
        target = order.migration.target
        names = GhostTables.of(run.ghost_table)
        async with self.on_primary(order) as connection:
            await tables.await_quiet(connection, run.pid, target.schema, names)
            standing = await tables.look(connection, target.schema, target.table, names)
            return standing, await tables.drop_ours(connection, target.schema, target.table, names, keep_ghost=keep_ghost)

    async def drop(self, order: MigrationOrder, names: GhostTables, *, keep_ghost: bool = False) -> None:
        """Errors: NeedsHuman while another gh-ost works on the table."""
        target = order.migration.target
        async with self.on_primary(order) as connection:
            await tables.drop_ours(connection, target.schema, target.table, names, keep_ghost=keep_ghost)

    async def why_not_resumable(self, run: GhostRun, order: MigrationOrder, server_uuid: str, inspected: str) -> str:
        """ "" when it is: same primary, not swapped, a checkpoint, and no binary log purged since. inspected: where gh-ost read them.

        Errors: TryAgain when a server is away.
        """
        target = order.migration.target
        names = GhostTables.of(run.ghost_table)
        async with self.on_primary(order) as connection:
            uuid = await connection.value("SELECT @@server_uuid")
            standing = await tables.look(connection, target.schema, target.table, names)
            checkpoint = await tables.has_checkpoint(connection, target.schema, names)
        if uuid != server_uuid:
            return f"The primary is another server now ({uuid}): start clean."
        if standing.swapped:
            return "The table had been swapped already: look at the schema."
        if not (standing.ghost and standing.changelog and checkpoint):
            return "It left no checkpoint: start clean."
        return await self._why_logs_do_not_reach(parsed(inspected), checkpoint)

    async def _why_logs_do_not_reach(self, inspected: Address, checkpoint: str) -> str:
        """gh-ost skips purged binary logs in silence (FACTS)."""
        async with self.as_ghost(inspected) as connection:
            if await connection.value("SELECT @@global.gtid_mode") != "ON":
                return "Without GTIDs nobody can tell whether binary logs are missing: start clean."
            reaches = await connection.value("SELECT GTID_SUBSET(@@global.gtid_purged, %s)", (checkpoint,))
        return "" if reaches else f"Binary logs since its checkpoint are purged on {inspected}: start clean."

    @asynccontextmanager
    async def on_primary(self, order: MigrationOrder) -> AsyncIterator[Connection]:
        """A session on whatever the inventory calls the primary now."""
        target = order.migration.target
        shard = await self._discovery.shard(target.cluster, target.shard)
        async with self.as_ghost(shard.primary, f"looking after gh-ost's tables of {target.schema}.{target.table}") as connection:
            yield connection

    @asynccontextmanager
    async def as_ghost(self, address: Address, doing: str = "looking at it for gh-ost") -> AsyncIterator[Connection]:
        """read_timeout: a DROP of a large table takes its time."""
        session = await open_connection(address, self._mysql.ghost, self._mysql, read_timeout=600.0, program="skeebot gh-ost")
        async with session as connection:
            with mysql_errors(address, doing):
                yield connection


def parsed(address: str) -> Address:
    host, _, port = address.rpartition(":")
    return Address(host, int(port))


@dataclass(frozen=True)
class _Manner:
    """How a server does what gh-ost depends on. binlog: "format/row image"."""

    binlog: str
    gtid: bool
    sql_mode: str
    tls: bool


async def _read_manner(connection: Connection) -> _Manner:
    row = await connection.row(
        "SELECT @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, @@global.gtid_mode, @@global.enforce_gtid_consistency,"
        " @@global.sql_mode"
    )
    cipher = await connection.row("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    assert row is not None  # noqa: S101 - a SELECT without a table has one row
    on, form, image, gtid, consistent, sql_mode = row
    return _Manner(
        binlog=f"{form}/{image}".upper() if on else "none",
        gtid=gtid == "ON" and str(consistent) in ("ON", "1"),
        sql_mode=str(sql_mode),
        tls=bool(cipher and cipher[1]),
    )
