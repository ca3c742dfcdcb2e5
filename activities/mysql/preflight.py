"""Right before a start and right before a release, on the primary: is the table still what was approved, and is the moment good?"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from temporalio import activity

from activities.errors import NeedsHuman, TryAgain
from activities.mysql.connect import Address, Connection, mysql_errors, open_connection
from activities.mysql.discovery import Discovery, VerifiedShard
from activities.mysql.introspect import (
    ABSENT,
    Index,
    LiveTable,
    changed_parts,
    definition_hash,
    fingerprint_of,
    list_tables,
    read_facts,
    read_table,
)
from activities.settings import MySQLSettings
from workflows.messages import CheckRelease, Preflight, PreflightVerdict, PrimaryIdentity
from workflows.rules.plan import ChangeKind, PlannedMigration, Refusal, Strategy

MOST_LAG_SECONDS: Final = 30.0
"""A replica further behind than this is catching up from something: gh-ost would start throttled."""

_LOOK_AGAIN: Final = "It is looked at again by itself; `.skeefree abort` gives up."
_PLAN_AGAIN: Final = "Push a commit or press Re-run on the check so that it is planned again, look at the new plan and approve that."


class Preflights:
    """Both activities answer verdicts; what cannot be asked just now is a bad moment, not an error."""

    def __init__(self, settings: MySQLSettings, discovery: Discovery) -> None:
        self._settings = settings
        self._discovery = discovery

    @activity.defn(name="preflight")
    async def preflight(self, ask: Preflight) -> PreflightVerdict:
        return await self._look(ask.order.migration, pinned=None)

    @activity.defn(name="check_release")
    async def check_release(self, ask: CheckRelease) -> PreflightVerdict:
        return await self._look(ask.order.migration, pinned=ask.primary)

    async def _look(self, migration: PlannedMigration, *, pinned: PrimaryIdentity | None) -> PreflightVerdict:
        """pinned: the run's primary before a release; None before a start."""
        try:
            shard = await self._discovery.verified(migration.target.cluster, migration.target.shard)
            if pinned is not None and shard.primary != pinned:
                return _refused(_other_primary(pinned, shard.primary))
            async with await open_connection(shard.shard.primary, self._settings.read, self._settings) as connection:
                with mysql_errors(shard.shard.primary, f"looking at {migration.target}"):
                    if pinned is None:
                        return await self._before_start(connection, migration, shard)
                    return await self._before_release(connection, migration, shard)
        except NeedsHuman as wrong:
            return _refused(Refusal(code="servers", what=str(wrong.message), next=""))
        except TryAgain as wrong:
            return _bad_moment(Refusal(code="servers", what=str(wrong.message), next=_LOOK_AGAIN))

    async def _before_start(self, connection: Connection, migration: PlannedMigration, shard: VerifiedShard) -> PreflightVerdict:
        table = await read_table(connection, migration.target.schema, migration.target.table)
        refused = (
            await _not_as_approved(connection, migration)
            or await self._by_strategy(connection, migration, table, shard)
            or await self._long_transaction(connection, migration)
        )
        return refused or PreflightVerdict(primary=shard.primary)

    async def _before_release(self, connection: Connection, migration: PlannedMigration, shard: VerifiedShard) -> PreflightVerdict:
        refused = await _not_as_approved(connection, migration) or await self._long_transaction(connection, migration)
        return refused or PreflightVerdict(primary=shard.primary)

    async def _by_strategy(
        self, connection: Connection, migration: PlannedMigration, table: LiveTable | None, shard: VerifiedShard
    ) -> PreflightVerdict | None:
        match migration.strategy:
            case Strategy.GH_OST if table is not None:
                return await self._ghost_would_refuse(connection, table, shard)
            case Strategy.INSTANT if table is not None:
                return instant_would_refuse(table)
            case Strategy.DIRECT if table is not None and migration.kind is ChangeKind.DROP_TABLE:
                refusal = referenced(table.schema, table.table, [str(key) for key in table.inbound if key.child != key.parent])
                return _refused(refusal) if refusal else None
            case Strategy.MANUAL:
                return _refused(
                    Refusal(
                        code="manual", what=f"{migration.statement} is for a person to run.", next="Run it by hand, then mark-complete."
                    )
                )
            case _:
                return None

    async def _ghost_would_refuse(self, connection: Connection, table: LiveTable, shard: VerifiedShard) -> PreflightVerdict | None:
        refusal = (
            _keys_refused(table)
            or await _binary_log_refused(connection)
            or (await self._replica_refused(shard) if shard.shard.replica else None)
            or await _leftovers_refused(connection, table)
        )
        if refusal is not None:
            return _refused(refusal)
        holder = await connection.value("SELECT IS_USED_LOCK(%s)", (ghost_lock(table.schema, table.table),))
        if holder is not None:
            return _bad_moment(
                Refusal(
                    code="ghost-runs",
                    what=f"Another gh-ost is already migrating {table.schema}.{table.table} (connection {holder} holds its lock).",
                    next=f"If it is not skeebot's, let it finish or stop it. {_LOOK_AGAIN}",
                )
            )
        return lagging(shard)

    async def _replica_refused(self, shard: VerifiedShard) -> Refusal | None:
        """gh-ost reads the binary log where it connects."""
        address = shard.shard.replica
        if address is None:
            return None
        async with await open_connection(address, self._settings.read, self._settings) as connection:
            with mysql_errors(address, "reading how its binary log is written"):
                return await _binary_log_refused(connection, replica=True)

    async def _long_transaction(self, connection: Connection, migration: PlannedMigration) -> PreflightVerdict | None:
        """A table that does not exist yet, nobody holds."""
        seconds = self._settings.long_transaction_seconds
        holders = await holders_of(connection, migration.target.schema, migration.target.table, older_than=seconds)
        return _bad_moment(held(migration.target.schema, migration.target.table, holders)) if holders else None


# ── Is it what was approved? ────────────────────────────────────────────────────────────────────────────────────────


async def _not_as_approved(connection: Connection, migration: PlannedMigration) -> PreflightVerdict | None:
    target = migration.target
    facts = await read_facts(connection, target.schema, target.table)
    if migration.kind is not ChangeKind.CREATE_TABLE and migration.fingerprint in {"", ABSENT}:
        return PreflightVerdict(
            refusal=Refusal(code="changed", what=f"{target} was never seen when this was planned.", next=_PLAN_AGAIN), changed=True
        )
    changes = changed_parts(migration.fingerprint, fingerprint_of(facts, migration.statement))
    if not changes:
        return None
    where = f"{target.schema}.{target.table} on {target.cluster}/{target.shard}"
    if _is_applied(migration, facts.show_create):
        what = f"{where} is already as this change would leave it: somebody, or an earlier run, made it."
        return PreflightVerdict(refusal=Refusal(code="already-applied", what=what, next=_PLAN_AGAIN), changed=True)
    shown = f" Now it is:\n{facts.show_create[:2500]}" if facts.present else ""
    what = f"{where} is not what was approved. Changed since: {', '.join(changes)}.{shown}"
    return PreflightVerdict(refusal=Refusal(code="changed", what=what, next=_PLAN_AGAIN), changed=True)


def _is_applied(migration: PlannedMigration, show_create: str) -> bool:
    if migration.kind is ChangeKind.DROP_TABLE:
        return not show_create
    return bool(show_create and migration.expected) and definition_hash(show_create) == migration.expected


# ── Will the strategy work? ─────────────────────────────────────────────────────────────────────────────────────────


def referenced(schema: str, table: str, keys: Sequence[str]) -> Refusal | None:
    """Renaming a table that others refer to re-points their foreign keys at the quarantined one (SAFETY §S7)."""
    if not keys:
        return None
    return Refusal(
        code="referenced",
        what=f"{schema}.{table} cannot be dropped while other tables refer to it: {'; '.join(keys)}.",
        next="Drop those foreign keys (or their tables) first, in a pull request of its own, then plan this one again.",
    )


def row_version_limit(version: tuple[int, ...]) -> int:
    """How many INSTANT changes of columns a table takes between two rebuilds: 64, from MySQL 9.1 on 255 (SAFETY §S6)."""
    return 255 if version >= (9, 1) else 64


def instant_would_refuse(table: LiveTable) -> PreflightVerdict | None:
    limit = row_version_limit(table.facts.server.version_numbers)
    if table.row_versions is None or table.row_versions < limit:
        return None
    what = f"{table.schema}.{table.table} has {table.row_versions} row versions and takes no more INSTANT changes (limit {limit})."
    return PreflightVerdict(refusal=Refusal(code="row-versions", what=what, next=_PLAN_AGAIN), changed=True)


def _keys_refused(table: LiveTable) -> Refusal | None:
    where = f"{table.schema}.{table.table}"
    if table.outbound or table.inbound:
        keys = "; ".join(str(key) for key in (*table.outbound, *table.inbound))
        return Refusal(
            code="foreign-keys",
            what=f"gh-ost does not migrate {where}, for it has foreign keys: {keys}.",
            next="Drop them in a pull request of its own, or have a DBA run this change by hand and mark-complete.",
        )
    if not any(usable_key(one) for one in table.indexes):
        return Refusal(
            code="no-unique-key",
            what=f"gh-ost does not migrate {where}, for it has no primary key and no unique key without NULL.",
            next="Add a primary key first, by hand.",
        )
    return None


def usable_key(index: Index) -> bool:
    """gh-ost, and our comparison, can walk along it."""
    return index.unique and not index.nullable and not index.prefixed and "" not in index.columns and index.visible


async def _binary_log_refused(connection: Connection, *, replica: bool = False) -> Refusal | None:
    row = await connection.row("SELECT @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, @@global.log_replica_updates")
    if row is None:
        return None
    log_bin, log_format, image, updates = row
    wrong = [
        words
        for words, is_wrong in (
            ("log_bin is off", not log_bin),
            (f"binlog_format is {log_format}, not ROW", log_format != "ROW" and not replica),
            (f"binlog_row_image is {image}, not FULL", image != "FULL"),
            ("log_replica_updates is off", replica and not updates),
        )
        if is_wrong
    ]
    if not wrong:
        return None
    return Refusal(
        code="binary-log",
        what=f"gh-ost cannot follow the binary log of {connection.address}: {', '.join(wrong)}.",
        next="Change that on the server, then retry-migration.",
    )


async def _leftovers_refused(connection: Connection, table: LiveTable) -> Refusal | None:
    """skeebot's own artefacts carry a hash in their names; plain ones were left, or are being filled, by somebody else."""
    ghostly = {f"_{table.table}_{end}" for end in ("gho", "ghc", "ghk")}
    found = sorted(ghostly & set(await list_tables(connection, table.schema)))
    if not found:
        return None
    return Refusal(
        code="leftovers",
        what=f"{table.schema} has tables that a gh-ost not of skeebot's left, or is using: {', '.join(found)}.",
        next="See that no gh-ost runs there, drop them by hand, then retry-migration.",
    )


def lagging(shard: VerifiedShard) -> PreflightVerdict | None:
    replica = shard.replica
    if replica is None or (replica.lag_seconds is not None and replica.lag_seconds <= MOST_LAG_SECONDS):
        return None
    lag = "an unknown time" if replica.lag_seconds is None else f"{replica.lag_seconds:.0f} s"
    return _bad_moment(
        Refusal(
            code="lag", what=f"The replica {shard.shard.replica} is {lag} behind its primary {shard.primary.address}.", next=_LOOK_AGAIN
        )
    )


def ghost_lock(schema: str, table: str) -> str:
    """The name that gh-ost 1.1.10 gives its GET_LOCK for a table (read in its source)."""
    name = f"gh-ost::{schema}.{table}"
    return name if len(name.encode()) <= 64 else f"gh-ost::{hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()}"


# ── Is the moment good? ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Holder:
    """A session that holds a metadata lock on a table. seconds: since its transaction, or its last statement, began."""

    connection_id: int
    user: str
    host: str
    seconds: int

    def __str__(self) -> str:
        return f"connection {self.connection_id} ({self.user}@{self.host}) for {self.seconds} s"


async def holders_of(connection: Connection, schema: str, table: str, *, older_than: float) -> tuple[Holder, ...]:
    """Who has held the table for longer than so many seconds, longest first; every DDL waits for them, and readers behind it.

    Needs PROCESS and SELECT on performance_schema.
    """
    rows = await connection.rows(
        # INNODB_TRX writes the time of the system's zone, whatever the session's is.
        "SELECT /*+ SET_VAR(time_zone = 'SYSTEM') */ threads.processlist_id, threads.processlist_user, threads.processlist_host,"
        " MAX(GREATEST(COALESCE(TIMESTAMPDIFF(SECOND, trx.trx_started, NOW()), 0), COALESCE(threads.processlist_time, 0))) AS seconds"
        " FROM performance_schema.metadata_locks AS locks"
        " JOIN performance_schema.threads AS threads ON threads.thread_id = locks.owner_thread_id"
        " LEFT JOIN information_schema.innodb_trx AS trx ON trx.trx_mysql_thread_id = threads.processlist_id"
        " WHERE locks.object_type = 'TABLE' AND locks.object_schema = %s AND locks.object_name = %s AND locks.lock_status = 'GRANTED'"
        " AND threads.processlist_id <> CONNECTION_ID() GROUP BY 1, 2, 3 HAVING seconds >= %s ORDER BY seconds DESC LIMIT 10",
        (schema, table, older_than),
    )
    return tuple(Holder(int(identity), str(user or "?"), str(host or "?"), int(seconds)) for identity, user, host, seconds in rows)


def held(schema: str, table: str, holders: Sequence[Holder]) -> Refusal:
    return Refusal(
        code="long-transaction",
        what=f"Open transactions hold {schema}.{table}: {', '.join(str(one) for one in holders)}.",
        next=f"They should commit, or be killed by somebody who knows them. {_LOOK_AGAIN}",
    )


# ── Verdicts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _refused(refusal: Refusal) -> PreflightVerdict:
    return PreflightVerdict(refusal=refusal)


def _bad_moment(refusal: Refusal) -> PreflightVerdict:
    return PreflightVerdict(refusal=refusal, retry=True)


def _other_primary(pinned: PrimaryIdentity, now: PrimaryIdentity) -> Refusal:
    return Refusal(
        code="primary-changed",
        what=f"The run belongs to primary {pinned.address} ({pinned.server_uuid}); now it is {now.address} ({now.server_uuid}).",
        next="`.skeefree abort`, then retry-migration: it starts clean on the new primary.",
    )


async def not_pinned(connection: Connection, pinned: PrimaryIdentity) -> Refusal | None:
    """The server at the other end must be the one that the run was started for, and take writes (SAFETY §S9)."""
    row = await connection.row("SELECT @@server_uuid, @@global.read_only, @@global.super_read_only")
    uuid, read_only, super_read_only = row or ("", 1, 1)
    if str(uuid) != pinned.server_uuid:
        return _other_primary(pinned, PrimaryIdentity(address=str(connection.address), server_uuid=str(uuid)))
    if read_only or super_read_only:
        return Refusal(
            code="read-only",
            what=f"The primary {pinned.address} has become read-only.",
            next="If a failover is under way, wait for it, then retry-migration.",
        )
    return None


def address_of(primary: PrimaryIdentity) -> Address:
    return Address.of(primary.address)
