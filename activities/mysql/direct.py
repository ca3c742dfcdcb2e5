"""Direct DDL with bounds (SAFETY §S6, §S7): CREATE TABLE, DROP TABLE as a quarantining RENAME, and ALTER TABLE … ALGORITHM=INSTANT.

A statement whose client is gone may still run. So before every try the connections of earlier tries are killed and seen gone, and then the
schema itself is asked whether there is anything left to do.
"""

import asyncio
import hashlib
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pymysql.err
from temporalio import activity

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.mysql import predicates
from activities.mysql.connect import Connection, in_our_words, mysql_errors, open_connection, quoted, storing_mode
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import TableFacts, blanked, changed_parts, definition_hash, elements, fingerprint_of, read_facts
from activities.mysql.preflight import address_of, held, holders_of, not_pinned, referenced
from activities.pulse import heartbeating
from activities.settings import MySQLSettings
from workflows.messages import DirectDone, RunDirect
from workflows.rules.plan import ChangeKind, PlannedMigration, Refusal, Strategy

_LOCK_WAIT: Final = (1, 3)
"""Seconds that a DDL may wait for its lock, and readers behind it, whatever the settings say (SAFETY §S6)."""

_DEATH_SECONDS: Final = 30.0
_STATEMENT_SECONDS: Final = 120.0

Standing = Literal["done", "to do"] | Refusal


@dataclass
class _Run:
    """What is carried from try to try; heartbeats tell the next attempt of the activity."""

    ask: RunDirect
    mark: str
    restore: tuple[str, ...] = ()
    connection_id: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def migration(self) -> PlannedMigration:
        return self.ask.order.migration

    @property
    def schema(self) -> str:
        return self.migration.target.schema

    @property
    def table(self) -> str:
        return self.migration.target.table

    def told(self) -> list[Any]:
        return [{"connection_id": self.connection_id, "restore": list(self.restore)}]


class DirectRuns:
    """tries: how often the lock is asked for. pause: seconds between two tries, drawn between the two so that runs do not march in step."""

    def __init__(self, settings: MySQLSettings, discovery: Discovery, *, tries: int = 12, pause: tuple[float, float] = (1.0, 6.0)) -> None:
        self._settings = settings
        self._discovery = discovery
        self._tries = tries
        self._pause = pause

    @activity.defn(name="run_direct")
    async def run_direct(self, ask: RunDirect) -> DirectDone:
        """Idempotent: done is done, whoever did it. Errors: TryAgain when the server is away or an earlier try does not die."""
        run = _Run(ask=ask, mark=mark_of(ask))
        _check(run)
        for told in activity.info().heartbeat_details:
            run.restore = run.restore or tuple(told.get("restore", ()))
            run.connection_id = run.connection_id or int(told.get("connection_id", 0))
        earlier = run.connection_id
        address = address_of(ask.primary)
        async with (
            await open_connection(address, self._settings.read, self._settings) as reader,
            await open_connection(
                address, self._settings.direct, self._settings, database=run.schema, read_timeout=_STATEMENT_SECONDS, program=run.mark
            ) as connection,
        ):
            with mysql_errors(address, f"running {run.migration.statement[:200]}"):
                if refusal := await self._not_its_primary(connection, ask):
                    return _done(run, refusal=refusal)
                await end_earlier(connection, run.mark, earlier)
                run.connection_id = connection.id
                async with heartbeating(run.told):
                    return await self._until_done(run, reader, connection)

    async def _not_its_primary(self, connection: Connection, ask: RunDirect) -> Refusal | None:
        """Both the inventory and the server must still mean the primary that pre-flight saw."""
        target = ask.order.migration.target
        shard = await self._discovery.shard(target.cluster, target.shard)
        if str(shard.primary) != ask.primary.address:
            return Refusal(
                code="primary-changed",
                what=f"The inventory moved the primary of {target.cluster}/{target.shard} from {ask.primary.address} to {shard.primary}.",
                next="retry-migration: it starts anew on that one.",
            )
        return await not_pinned(connection, ask.primary)

    async def _until_done(self, run: _Run, reader: Connection, connection: Connection) -> DirectDone:
        await _prepare(run, connection, lock_wait=self._settings.lock_wait_seconds)
        why: Refusal | None = None
        for number in range(self._tries):
            if number:
                await asyncio.sleep(random.uniform(*self._pause))  # noqa: S311 - not a secret
            holders = await holders_of(reader, run.schema, run.table, older_than=self._settings.long_transaction_seconds)
            if holders:
                why = held(run.schema, run.table, holders)
                continue
            try:
                standing = await _one_try(run, reader, connection)
            except asyncio.CancelledError:
                # The statement was killed; whether it was quicker, only the schema knows.
                if await self._look(run, reader) != "done":
                    raise
                standing = "done"
            except pymysql.err.MySQLError as wrong:
                if not predicates.is_lock_wait_timeout(wrong):
                    return _done(run, refusal=_objection(run, wrong))
                now = await holders_of(reader, run.schema, run.table, older_than=0)
                why = held(run.schema, run.table, now) if now else _somebody(run)
                continue
            if isinstance(standing, Refusal):
                return _done(run, refusal=standing)
            return await _finish(run, reader, connection)
        return _done(run, refusal=why or _somebody(run))

    async def _look(self, run: _Run, reader: Connection) -> Standing:
        return await _standing(run, await read_facts(reader, run.schema, run.table), reader)


async def _one_try(run: _Run, reader: Connection, connection: Connection) -> Standing:
    facts = await read_facts(reader, run.schema, run.table)
    standing = await _standing(run, facts, reader)
    if standing != "to do":
        return standing
    if (changed := _changed(run, facts)) is not None:
        return changed
    if run.migration.kind is ChangeKind.DROP_TABLE:
        run.restore = restore_statements(facts, run.ask.quarantine_as)
        activity.heartbeat(*run.told())  # after the rename nobody could read this any more
    await connection.run(_statement(run, facts))
    return "done"


async def _finish(run: _Run, reader: Connection, connection: Connection) -> DirectDone:
    refusal = await _take_triggers_off(run, reader, connection) if run.migration.kind is ChangeKind.DROP_TABLE else None
    gtids = str(await connection.value("SELECT @@global.gtid_executed") or "").replace("\n", "")
    return _done(run, gtids=gtids, refusal=refusal)


def _done(run: _Run, *, gtids: str = "", refusal: Refusal | None = None) -> DirectDone:
    return DirectDone(seconds=time.monotonic() - run.began, gtid_executed=gtids, restore=run.restore, refusal=refusal)


# ── What there is to do ─────────────────────────────────────────────────────────────────────────────────────────────


def _check(run: _Run) -> None:
    migration = run.migration
    kind, strategy = migration.kind, migration.strategy
    fits = (kind in {ChangeKind.CREATE_TABLE, ChangeKind.DROP_TABLE} and strategy is Strategy.DIRECT) or (
        kind is ChangeKind.ALTER_TABLE and strategy is Strategy.INSTANT
    )
    if not fits:
        raise NeedsHuman(f"{kind.value} is not run directly with strategy {strategy.value}: {migration.statement[:200]}. Plan it again.")
    if kind is ChangeKind.DROP_TABLE and not run.ask.quarantine_as:
        raise OurBug(f"Dropping {migration.target} was asked for without a name to keep it under.")


async def _standing(run: _Run, facts: TableFacts, reader: Connection) -> Standing:
    match run.migration.kind:
        case ChangeKind.CREATE_TABLE:
            return _created(run, facts)
        case ChangeKind.DROP_TABLE:
            return await _dropped(run, facts, reader)
        case _:
            return _altered(run, facts)


def _created(run: _Run, facts: TableFacts) -> Standing:
    if not facts.present:
        return "to do"
    if definition_hash(facts.show_create) == run.migration.expected:
        return "done"
    return Refusal(
        code="exists",
        what=f"{run.schema}.{run.table} exists already, and not as planned:\n{facts.show_create[:2500]}",
        next="Plan again; an ALTER is needed now.",
    )


def _altered(run: _Run, facts: TableFacts) -> Standing:
    if not facts.present:
        return Refusal(code="gone", what=f"{run.schema}.{run.table} is not there any more.", next="Plan again.")
    return "done" if definition_hash(facts.show_create) == run.migration.expected else "to do"


def _changed(run: _Run, facts: TableFacts) -> Refusal | None:
    """Pre-flight may be long ago: this run waited for its turn, its worker and its lock since."""
    approved = run.migration.fingerprint
    if run.migration.kind is ChangeKind.CREATE_TABLE or not approved:
        return None
    changes = changed_parts(approved, fingerprint_of(facts, run.migration.statement))
    if not changes:
        return None
    return Refusal(
        code="changed",
        what=f"{run.schema}.{run.table} was changed right before its turn: {', '.join(changes)}. Now it is:\n{facts.show_create[:2500]}",
        next="Push a commit or press Re-run on the check so that it is planned again, look at the new plan and approve that.",
    )


async def _dropped(run: _Run, facts: TableFacts, reader: Connection) -> Standing:
    kept = await read_facts(reader, run.schema, run.ask.quarantine_as)
    if not facts.present:
        if kept.present:
            return "done"
        return Refusal(
            code="gone",
            what=f"{run.schema}.{run.table} is gone, and not by skeebot: there is no {run.ask.quarantine_as}.",
            next="Plan again; if that shows no change, nothing is left to do.",
        )
    if kept.present:
        return Refusal(
            code="both",
            what=f"{run.schema} has both {run.table} and {run.ask.quarantine_as}: the table was made anew after it was put aside.",
            next="Plan again.",
        )
    others = [str(key) for key in facts.inbound if key.child != key.parent]
    return referenced(run.schema, run.table, others) or "to do"


def _statement(run: _Run, facts: TableFacts) -> str:
    match run.migration.kind:
        case ChangeKind.DROP_TABLE:
            return quarantine_statement(facts, run.ask.quarantine_as)
        case ChangeKind.ALTER_TABLE:
            return instant_statement(run.migration.statement)
        case _:
            return _single(run.migration.statement)


def instant_statement(statement: str) -> str:
    """With ALGORITHM=INSTANT by name, so that MySQL refuses rather than copies. Errors: NeedsHuman where it names another."""
    single = _single(statement)
    named = re.findall(r"\bALGORITHM\s*=?\s*(\w+)", blanked(single), re.IGNORECASE)
    if not named:
        return f"{single}, ALGORITHM=INSTANT"
    if {one.upper() for one in named} == {"INSTANT"}:
        return single
    raise NeedsHuman(f"{single[:200]} names another algorithm than INSTANT. Plan it again.")


def quarantine_statement(facts: TableFacts, quarantine: str) -> str:
    """One atomic ALTER: the rename, and off with the foreign keys and the CHECKs that have names of their own.

    A renamed child would still block deletes in its parent, and its constraints' names would stay taken (SAFETY §S7); names that MySQL
    generated (t_chk_1) follow the rename by themselves. The triggers follow the table and are dropped after it: dropped before, a table
    still in use would do without them if anything then went wrong.
    """
    keys = [f"DROP FOREIGN KEY {quoted(name)}" for name, _ in _own_foreign_keys(facts)]
    checks = [f"DROP CHECK {quoted(name)}" for name, _ in _named_checks(facts)]
    return f"ALTER TABLE {quoted(facts.table)} {', '.join([*keys, *checks, f'RENAME TO {quoted(quarantine)}'])}"


def restore_statements(facts: TableFacts, quarantine: str) -> tuple[str, ...]:
    """What brings the dropped table back as it was, in order, on a session whose schema is the table's."""
    table = quoted(facts.table)
    constraints = [f"ADD {clause}" for _, clause in (*_own_foreign_keys(facts), *_named_checks(facts))]
    statements = [f"RENAME TABLE {quoted(quarantine)} TO {table}"]
    if constraints:
        statements.append(f"ALTER TABLE {table} {', '.join(constraints)}")
    return (*statements, *_trigger_statements(facts))


def _trigger_statements(facts: TableFacts) -> Iterator[str]:
    for trigger in facts.triggers:
        yield f"SET SESSION sql_mode = '{trigger.sql_mode}'"
        yield trigger.statement


def _own_foreign_keys(facts: TableFacts) -> list[tuple[str, str]]:
    return _constraints(facts, "FOREIGN KEY ")


def _named_checks(facts: TableFacts) -> list[tuple[str, str]]:
    generated = re.compile(rf"{re.escape(facts.table)}_chk_\d+", re.IGNORECASE)
    return [(name, clause) for name, clause in _constraints(facts, "CHECK ") if not generated.fullmatch(name)]


def _constraints(facts: TableFacts, kind: str) -> list[tuple[str, str]]:
    """Name and whole clause of each constraint of a kind, as SHOW CREATE TABLE has them."""
    found = (re.match(rf"CONSTRAINT `((?:[^`]|``)+)` {kind}", part) for part in elements(facts.show_create)[0])
    return [(match[1].replace("``", "`"), match.string) for match in found if match]


def _single(statement: str) -> str:
    return statement.strip().rstrip(";").rstrip()


# ── On the server ───────────────────────────────────────────────────────────────────────────────────────────────────


def mark_of(ask: RunDirect) -> str:
    """The program name of this migration's connections: how a later try finds an earlier one's, even if no heartbeat arrived."""
    return f"skeebot/{hashlib.sha256(ask.order.migration_id.encode()).hexdigest()[:16]}"


async def end_earlier(connection: Connection, mark: str, known: int = 0) -> None:
    """Kill every other connection of this account that carries the mark, and the known one, and see them gone.

    Errors: TryAgain where one does not die: a DDL may be rolling back.
    """
    deadline = time.monotonic() + _DEATH_SECONDS
    while found := await _earlier(connection, mark, known):
        for identity in found:
            try:
                await connection.run(f"KILL {identity}")
            except pymysql.err.MySQLError as wrong:
                if not predicates.is_no_such_thread(wrong):
                    raise
        if time.monotonic() > deadline:
            raise TryAgain(
                f"An earlier try's connection ({', '.join(str(one) for one in found)}) on {connection.address} was killed and has not ended"
                " yet. Nothing is tried again before it has."
            )
        await asyncio.sleep(0.1)


async def _earlier(connection: Connection, mark: str, known: int) -> list[int]:
    rows = await connection.rows(
        "SELECT processlist_id FROM performance_schema.session_account_connect_attrs"
        " WHERE attr_name = 'program_name' AND attr_value = %s AND processlist_id <> CONNECTION_ID()"
        " UNION SELECT id FROM information_schema.processlist"  # without PROCESS: this account's own
        " WHERE id = %s AND id <> CONNECTION_ID() AND user = SUBSTRING_INDEX(USER(), '@', 1)",
        (mark, known),
    )
    return [int(identity) for (identity,) in rows]


async def _prepare(run: _Run, connection: Connection, *, lock_wait: int) -> None:
    least, most = _LOCK_WAIT
    # Planned statements are written the usual way; which values are legal stays the server's choice.
    mode = storing_mode(str(await connection.value("SELECT @@global.sql_mode")))
    await connection.run(f"SET SESSION lock_wait_timeout = {max(least, min(lock_wait, most))}, sql_mode = %s", (mode,))
    if run.migration.kind is ChangeKind.CREATE_TABLE:
        # Tables of one pull request may refer to each other in any order. Anything else must see that its keys hold.
        await connection.run("SET SESSION foreign_key_checks = 0")


async def _take_triggers_off(run: _Run, reader: Connection, connection: Connection) -> Refusal | None:
    kept = await read_facts(reader, run.schema, run.ask.quarantine_as)
    if kept.triggers and not run.restore:
        # An earlier attempt renamed and its last words were lost. The triggers still tell of themselves; they follow the table back, too.
        run.restore = (*_trigger_statements(kept), f"RENAME TABLE {quoted(run.ask.quarantine_as)} TO {quoted(run.table)}")
    for trigger in kept.triggers:
        activity.heartbeat(*run.told())
        try:
            await connection.run(f"DROP TRIGGER {quoted(trigger.name)}")
        except pymysql.err.MySQLError as wrong:
            if not predicates.is_unknown_trigger(wrong):
                raise
    others = [str(key) for key in kept.inbound if key.child != key.parent]
    if not others:
        return None
    return Refusal(
        code="referenced",
        what=f"While {run.schema}.{run.table} became {run.ask.quarantine_as}, another table came to refer to it: {'; '.join(others)}.",
        next=f"Put it back with: {'; '.join(run.restore)}.",
    )


def _objection(run: _Run, wrong: pymysql.err.MySQLError) -> Refusal:
    """Errors: TryAgain where it is not known what became of the statement; the next attempt looks."""
    said = f"{predicates.error_text(wrong)} (error {predicates.error_number(wrong)})"
    if predicates.is_connection_lost(wrong):
        address = address_of(run.ask.primary)
        raise TryAgain(
            f"The connection to {address} was lost while it ran {run.migration.statement[:200]}. What became of it is looked at."
        )
    if predicates.is_instant_refused(wrong):
        return Refusal(
            code="not-instant",
            what=f"{run.schema}.{run.table} does not take this change INSTANT: {said}.",
            next="Push a commit or press Re-run on the check: the new plan will use gh-ost.",
        )
    if predicates.is_interrupted(wrong):
        return Refusal(
            code="killed",
            what=f"Somebody killed the statement on {run.schema}.{run.table}: {said}.",
            next="Find out why, then retry-migration.",
        )
    if predicates.is_access_denied(wrong):
        return Refusal(code="denied", what=str(in_our_words(wrong, address_of(run.ask.primary), "running direct DDL").message), next="")
    return Refusal(
        code="mysql",
        what=f"MySQL refused {run.migration.statement[:500]}: {said}.",
        next="Correct the change in the pull request, or the server, then plan again.",
    )


def _somebody(run: _Run) -> Refusal:
    return Refusal(
        code="locked",
        what=f"{run.schema}.{run.table} could not be locked: each time somebody else held it.",
        next="retry-migration at a quieter time.",
    )
