"""After a run: what the table looks like on its primary decides, not what anybody said about it."""

from temporalio import activity

from activities.mysql.connect import Connection, mysql_errors, open_connection
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import TableFacts, changed_parts, definition_hash, fingerprint_of, read_facts
from activities.settings import MySQLSettings
from workflows.messages import Proof, Prove
from workflows.rules.plan import ChangeKind

_SENTRY = "ghost-cut-over-sentry"
"""The comment of the table that gh-ost puts in the old table's place until the very moment of the swap."""


class Proofs:
    def __init__(self, settings: MySQLSettings, discovery: Discovery) -> None:
        self._settings = settings
        self._discovery = discovery

    @activity.defn(name="prove")
    async def prove(self, ask: Prove) -> Proof:
        """On whichever server is the primary now: what is replicated there came in the order in which it happened.

        Errors: TryAgain, NeedsHuman when that primary cannot be asked.
        """
        target = ask.order.migration.target
        shard = await self._discovery.verified_primary(target.cluster, target.shard)
        moved = "" if shard.primary == ask.primary else f" The primary is now {shard.primary.address} ({shard.primary.server_uuid})."
        async with await open_connection(shard.shard.primary, self._settings.read, self._settings) as connection:
            with mysql_errors(shard.shard.primary, f"proving {target}"):
                done, detail = await _look(connection, ask)
                gtids = str(await connection.value("SELECT @@global.gtid_executed") or "").replace("\n", "")
        return Proof(done=done, detail=detail + moved, gtid_executed=gtids)


async def _look(connection: Connection, ask: Prove) -> tuple[bool, str]:
    migration = ask.order.migration
    target = migration.target
    where = f"{target.schema}.{target.table}"
    live = await read_facts(connection, target.schema, target.table)
    kept = await read_facts(connection, target.schema, ask.old_table) if ask.old_table else None
    if migration.kind is ChangeKind.DROP_TABLE:
        return _gone(where, live, kept, ask.old_table)
    if not live.present:
        return False, f"{where} is not there."
    if not migration.expected:
        return False, f"It is not known what {where} should look like. Look at SHOW CREATE TABLE, then mark-complete."
    if definition_hash(live.show_create) != migration.expected:
        return False, f"{where} does not look as planned. It is:\n{live.show_create[:2500]}"
    if migration.kind is ChangeKind.ALTER_TABLE and ask.old_table:
        return _swapped(where, live, kept, ask)
    return True, f"{where} looks as planned."


def _gone(where: str, live: TableFacts, kept: TableFacts | None, old_table: str) -> tuple[bool, str]:
    if live.present:
        return False, f"{where} is still there."
    if kept is None or not kept.present:
        return False, f"{where} is gone, but {old_table or 'no name'} does not hold it: somebody else dropped it."
    if kept.outbound or kept.inbound or kept.triggers:
        return False, f"{where} was put aside as {old_table}, but that still has foreign keys or triggers."
    return True, f"{where} is put aside as {old_table}."


def _swapped(where: str, live: TableFacts, kept: TableFacts | None, ask: Prove) -> tuple[bool, str]:
    """A change that leaves the definition as it was (a rebuild) is proven by the old table alone."""
    is_kept = kept is not None and kept.present and _SENTRY not in kept.show_create
    migration = ask.order.migration
    before = changed_parts(migration.fingerprint, fingerprint_of(live, migration.statement))
    if is_kept:
        return True, f"{where} looks as planned; the original is kept as {ask.old_table}."
    if "its definition" in before:
        return True, f"{where} looks as planned; the original is not kept ({ask.old_table} is not there)."
    return False, f"{where} looks as planned, but so it did before, and the original is not kept as {ask.old_table}: it was not swapped."
