"""Is the ghost what the original is? Compared in chunks while gh-ost applies and the application writes (SAFETY §S5).

Every look is one autocommit statement over both tables: no transaction stays open, for its metadata lock would block the cut-over. A chunk
that differs is narrowed to keys; these are looked at again, at least two seconds apart, for gh-ost applies with lag.

A key is called different when its rows stay as they are although gh-ost has applied everything that was written before: its checkpoint
table holds the position up to which it has. Without a checkpoint, time decides. One that has changed at look after look is too hot to tell:
with verify_hold_rows, the original's row is held FOR SHARE for a moment until the ghost's matches; else it is unproven and a DBA decides.
Writes after a chunk's look are not covered: a verification ages.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import pymysql.err
from temporalio import activity

from activities.mysql import predicates
from activities.mysql.comparison import (
    Columns,
    Key,
    Pair,
    SharedKey,
    Side,
    among,
    between,
    boundary_statement,
    columns_statement,
    fold_statement,
    match_columns,
    narrow_statement,
    renamed_columns,
    shared_key,
    sides_of,
)
from activities.mysql.connect import Connection, mysql_errors, open_connection, quoted, storing_mode, table_name
from activities.mysql.discovery import Discovery
from activities.mysql.introspect import read_columns, read_indexes
from activities.mysql.preflight import address_of, not_pinned, usable_key
from activities.pulse import heartbeating
from activities.settings import MySQLSettings
from workflows.messages import Comparison, Progress, Verification, Verify

_SCRATCH: Final = "_skeebot_scratch"
_BATCH: Final = 200
_GTIDS: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-")


@dataclass(frozen=True)
class Patience:
    """All in seconds unless named otherwise.

    apart: between two looks at one key. settled: how long a difference must stand still before it is called one where gh-ost's position is
    not known. stuck: how long gh-ost may take to come as far as a difference. changes: of a key that is never found equal, before it is
    called hot. hold: the longest that a hot row is held. most_suspects: keys; with more, sample of them are settled and the rest is not
    looked at.
    """

    apart: float = 2.0
    settled: float = 60.0
    stuck: float = 600.0
    changes: int = 8
    hold: float = 3.0
    statement: float = 15.0
    chunk_rows: int = 5000
    chunk_target: float = 0.4
    most_suspects: int = 10_000
    sample: int = 500


@dataclass
class _Suspect:
    """A key that differed. hashes: of the original's and the ghost's row ("" where missing), since when they are these.

    position: the GTIDs executed when they were first seen; the write that made the original's row so is among them. "" if not known.
    """

    hashes: tuple[str, str]
    since: float
    looked: float
    position: str
    changes: int = 0


@dataclass
class _Pass:
    """One walk along the key: the columns that are the same, or the converted ones, whose left side then is the scratch table."""

    sides: tuple[Side, Side]
    fill: Side | None = None
    suspects: dict[Key, _Suspect] = field(default_factory=dict)
    proven: dict[Key, _Suspect] = field(default_factory=dict)
    hot: dict[Key, _Suspect] = field(default_factory=dict)
    stuck: dict[Key, _Suspect] = field(default_factory=dict)


@dataclass
class _State:
    """What heartbeats and the verdict are made of."""

    began: float = field(default_factory=time.monotonic)
    rows: int = 0
    chunks: int = 0
    rows_total: int = 0
    phase: str = "comparing"
    unproven: list[str] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    overflow: bool = False

    def progress(self) -> Progress:
        elapsed = time.monotonic() - self.began
        share = min(1.0, self.rows / self.rows_total) if self.rows_total else 0.0
        eta = elapsed / share - elapsed if share > 0.01 else None
        return Progress(
            percent=round(100 * share, 1),
            rows_copied=self.rows,
            rows_total=max(self.rows_total, self.rows),
            eta_seconds=eta,
            elapsed_seconds=elapsed,
            phase=self.phase,
        )


class _Unprovable(Exception):  # noqa: N818  (not an error: a verdict that ends the comparison early)
    pass


class Verifications:
    def __init__(self, settings: MySQLSettings, discovery: Discovery, patience: Patience = Patience()) -> None:
        self._settings = settings
        self._discovery = discovery
        self._patience = patience

    @activity.defn(name="verify")
    async def verify(self, ask: Verify) -> Verification:
        """Heartbeats Progress. Equal: every compared column of every row, at some moment of this run.

        Errors: TryAgain, NeedsHuman when the primary cannot be asked.
        """
        target = ask.order.migration.target
        address = address_of(ask.primary)
        state = _State()
        async with await open_connection(
            address, self._settings.verify, self._settings, database=target.schema, read_timeout=4 * self._patience.statement
        ) as connection:
            with mysql_errors(address, f"comparing {target.schema}.{target.table} with {ask.ghost_table}"):
                if refusal := await not_pinned(connection, ask.primary):
                    return _verdict(state, Comparison.UNPROVEN, f"{refusal.what} {refusal.next}")
                async with heartbeating(lambda: [state.progress()]):
                    return await _Walk(connection, ask, state, self._patience, hold_rows=self._settings.verify_hold_rows).run()


def _verdict(state: _State, outcome: Comparison, detail: str) -> Verification:
    return Verification(
        outcome=outcome,
        rows=state.rows,
        chunks=state.chunks,
        seconds=time.monotonic() - state.began,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        detail=detail,
    )


class _Walk:
    """One comparison from the first key to the last, and then of the keys that differed."""

    def __init__(self, connection: Connection, ask: Verify, state: _State, patience: Patience, *, hold_rows: int) -> None:
        self._connection = connection
        self._ask = ask
        self._state = state
        self._patience = patience
        self._hold_rows = hold_rows
        self._passes: list[_Pass] = []

    async def run(self) -> Verification:
        try:
            await self._prepare()
            await self._along_the_key()
            await self._settle()
        except _Unprovable as why:
            return _verdict(self._state, Comparison.UNPROVEN, str(why))
        return await self._judge()

    # ── Before ──

    async def _prepare(self) -> None:
        connection, target = self._connection, self._ask.order.migration.target
        schema, ghost = target.schema, self._ask.ghost_table
        columns = match_columns(
            await read_columns(connection, schema, target.table),
            await read_columns(connection, schema, ghost),
            renamed_columns(self._ask.order.migration.statement),
        )
        if not columns.same:
            raise _Unprovable(f"{target.table} and {ghost} have no column in common, or one of them is gone.")
        key = shared_key(
            await read_indexes(connection, schema, target.table), await read_indexes(connection, schema, ghost), columns, usable_key
        )
        if isinstance(key, str):
            raise _Unprovable(f"There is no key to compare {target.table} and {ghost} along: {key}.")
        self._state.left_out = columns.left_out
        self._state.unproven += [f"column {pair.original.name} ({pair.original.type} → {pair.ghost.type})" for pair in columns.unproven]
        self._state.rows_total = int(
            await connection.value(
                "SELECT COALESCE(table_rows, 0) FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
                (schema, target.table),
            )
            or 0
        )
        await self._set_session()
        self._passes = [_Pass(sides=self._sides(columns, key))]
        if columns.converted:
            self._passes.append(await self._scratch_pass(columns, key))

    async def _set_session(self) -> None:
        """READ COMMITTED: each statement its own snapshot, and INSERT … SELECT locks none of the original's rows. sql_mode as gh-ost's."""
        mode = storing_mode(str(await self._connection.value("SELECT @@global.sql_mode")), "NO_AUTO_VALUE_ON_ZERO", "STRICT_ALL_TABLES")
        await self._connection.run(
            "SET SESSION transaction_isolation = 'READ-COMMITTED', sql_mode = %s, max_execution_time = %s, lock_wait_timeout = 5",
            (mode, int(self._patience.statement * 1000)),
        )

    def _sides(self, columns: Columns, key: SharedKey) -> tuple[Side, Side]:
        target = self._ask.order.migration.target
        original = (table_name(target.schema, target.table), key.original_index)
        ghost = (table_name(target.schema, self._ask.ghost_table), key.ghost_index)
        return sides_of(original, ghost, key.pairs, columns.same)

    async def _scratch_pass(self, columns: Columns, key: SharedKey) -> _Pass:
        """A temporary table with the ghost's columns: nobody else sees it, and no replica hears of it.

        With its key from the first: under sql_require_primary_key not even a temporary table may be without.
        """
        original, ghost = self._sides(columns, key)
        new = tuple(pair.ghost for pair in columns.converted)
        names = ", ".join(quoted(column.name) for column in (*ghost.key, *new))
        scratch = table_name(self._ask.order.migration.target.schema, _SCRATCH)
        await self._connection.run(
            f"CREATE TEMPORARY TABLE {scratch} (PRIMARY KEY ({ghost.key_list})) AS SELECT {names} FROM {ghost.table} LIMIT 0"  # noqa: S608
        )
        stored = [Pair(pair.ghost, pair.ghost) for pair in columns.converted]
        keys = [Pair(pair.ghost, pair.ghost) for pair in key.pairs]
        return _Pass(
            sides=sides_of((scratch, ""), (ghost.table, ghost.index), keys, stored),
            fill=replace(original, columns=tuple(pair.original for pair in columns.converted), digested=frozenset()),
        )

    # ── Along the key ──

    async def _along_the_key(self) -> None:
        state, patience = self._state, self._patience
        low: Key | None = None
        size = patience.chunk_rows
        while True:
            began = time.monotonic()
            try:
                high = await self._boundary(low, size)
                rows = await self._chunk(low, high)
            except pymysql.err.MySQLError as wrong:
                if not predicates.is_out_of_time(wrong):
                    raise
                if size <= 50:
                    raise _Unprovable(f"Even {size} rows cannot be compared within {patience.statement:.0f} s.") from wrong
                size //= 4
                continue
            state.rows += rows
            state.chunks += 1
            if high is None or state.overflow:
                return
            low = high
            size = self._next_size(size, time.monotonic() - began)
            await self._look_at_those_due(at_least=_BATCH)

    def _next_size(self, size: int, took: float) -> int:
        wanted = int(size * min(2.0, max(0.5, self._patience.chunk_target / max(took, 0.001))))
        return max(100, min(wanted, 10 * self._patience.chunk_rows))

    async def _boundary(self, low: Key | None, size: int) -> Key | None:
        sides = self._passes[0].sides
        return await self._connection.row(boundary_statement(sides, low, size, self._connection.literal))

    async def _chunk(self, low: Key | None, high: Key | None) -> int:
        """The number of rows that the original has there."""
        rows = 0
        for number, one in enumerate(list(self._passes)):
            if one.fill is not None and not await self._fill(one, between(one.fill, low, high, self._connection.literal)):
                continue
            wheres = [between(side, low, high, self._connection.literal) for side in one.sides]
            count, equal = await self._fold(one.sides, wheres)
            if number == 0:
                rows = count
            if not equal:
                await self._note(one, await self._narrow(one, wheres))
        return rows

    async def _fold(self, sides: Sequence[Side], wheres: Sequence[str]) -> tuple[int, bool]:
        left, right = sorted(await self._connection.rows(fold_statement(sides, wheres)), key=lambda row: int(row[0]))
        if int(left[3] or 0) or int(right[3] or 0):
            raise _Unprovable("There are rows too long to be compared (max_allowed_packet).")
        count, fold = int(left[1]), bytes(left[2] or b"")
        return count, (count, fold) == (int(right[1]), bytes(right[2] or b""))

    async def _fill(self, one: _Pass, where: str) -> bool:
        """The scratch table holds what storing makes of the original's values. False: they cannot be stored, so nothing can be told."""
        if one.fill is None:
            return True
        scratch, ghost_columns = one.sides[0], (*one.sides[0].key, *one.sides[0].columns)
        names = ", ".join(quoted(column.name) for column in ghost_columns)
        values = ", ".join(quoted(column.name) for column in (*one.fill.key, *one.fill.columns))
        await self._connection.run(f"DELETE FROM {scratch.table}")  # noqa: S608
        try:
            await self._connection.run(f"INSERT INTO {scratch.table} ({names}) SELECT {values} FROM {one.fill.source} WHERE {where}")  # noqa: S608
        except pymysql.err.MySQLError as wrong:
            if not predicates.is_bad_value(wrong):
                raise
            columns = ", ".join(column.name for column in one.fill.columns)
            self._state.unproven.append(f"converted columns ({columns}): {predicates.error_text(wrong)}")
            self._passes.remove(one)
            return False
        return True

    # ── Keys that differ ──

    async def _narrow(self, one: _Pass, wheres: Sequence[str]) -> dict[Key, tuple[str, str]]:
        """Key → the hashes of the original's and the ghost's row, "" where it has none."""
        found: dict[Key, tuple[str, str]] = {}
        for side, row_hash, *key in await self._connection.rows(narrow_statement(one.sides, wheres)):
            if row_hash is None:
                raise _Unprovable("There are rows too long to be compared (max_allowed_packet).")
            left, right = found.get(tuple(key), ("", ""))
            found[tuple(key)] = (str(row_hash), right) if int(side) == 0 else (left, str(row_hash))
        return found

    async def _note(self, one: _Pass, found: dict[Key, tuple[str, str]]) -> None:
        now, position = time.monotonic(), await self._position()
        for key, hashes in found.items():
            one.suspects.setdefault(key, _Suspect(hashes=hashes, since=now, looked=now, position=position))
        if len(one.suspects) > self._patience.most_suspects:
            self._state.overflow = True
            one.suspects = dict(list(one.suspects.items())[: self._patience.sample])

    async def _settle(self) -> None:
        self._state.phase = "looking again at rows that differ"
        while any(one.suspects for one in self._passes):
            if not await self._look_at_those_due(at_least=1):
                await asyncio.sleep(min(0.25, self._patience.apart))
        if self._hold_rows:
            await self._hold_the_hot()

    async def _look_at_those_due(self, *, at_least: int) -> bool:
        """Whether anything was looked at."""
        looked = False
        for one in list(self._passes):
            now = time.monotonic()
            due = [key for key, suspect in one.suspects.items() if now - suspect.looked >= self._patience.apart]
            if len(due) < at_least:
                continue
            for start in range(0, len(due), _BATCH):
                await self._look_again(one, due[start : start + _BATCH])
            looked = True
        return looked

    async def _look_again(self, one: _Pass, keys: Sequence[Key]) -> None:
        literal = self._connection.literal
        applied = await self._applied()
        if one.fill is not None and not await self._fill(one, among(one.fill, keys, literal)):
            return
        found = await self._narrow(one, [among(side, keys, literal) for side in one.sides])
        now, position = time.monotonic(), await self._position()
        reached = await self._reached(applied, {one.suspects[key].position for key in keys})
        for key in keys:
            suspect = one.suspects[key]
            suspect.looked = now
            if key not in found:
                del one.suspects[key]
            elif found[key] != suspect.hashes:
                suspect.hashes, suspect.since, suspect.position = found[key], now, position
                suspect.changes += 1
                if suspect.changes >= self._patience.changes:
                    one.hot[key] = one.suspects.pop(key)
            elif suspect.position in reached or (not applied and now - suspect.since >= self._patience.settled):
                one.proven[key] = one.suspects.pop(key)
            elif now - suspect.since >= self._patience.stuck:
                one.stuck[key] = one.suspects.pop(key)

    # ── How far gh-ost is ──

    async def _position(self) -> str:
        """What the primary has executed; "" where it does not count GTIDs."""
        return str(await self._connection.value("SELECT @@global.gtid_executed") or "").replace("\n", "")

    async def _applied(self) -> str:
        """The GTIDs up to which gh-ost has applied everything, from its checkpoint table; "" where it does not say.

        gh-ost (1.1.10, read) writes a checkpoint every few seconds, once it has applied as far as it had read.
        """
        ghost = self._ask.ghost_table
        if not ghost.endswith("_gho"):
            return ""
        checkpoints = table_name(self._ask.order.migration.target.schema, f"{ghost.removesuffix('_gho')}_ghk")
        try:
            coordinates = await self._connection.value(f"SELECT gh_ost_chk_coords FROM {checkpoints} ORDER BY gh_ost_chk_id DESC LIMIT 1")  # noqa: S608
        except pymysql.err.MySQLError as wrong:
            if predicates.is_unknown_table(wrong):
                return ""
            raise
        return str(coordinates) if coordinates and _GTIDS.match(str(coordinates)) else ""

    async def _reached(self, applied: str, positions: set[str]) -> set[str]:
        """Those of the positions that gh-ost has applied. Read before the look that they judge."""
        if not applied:
            return set()
        return {one for one in positions if one and await self._connection.value("SELECT GTID_SUBSET(%s, %s)", (one, applied))}

    async def _hold_the_hot(self) -> None:
        """SAFETY §S5: hold the original's row FOR SHARE until gh-ost has caught up with it; its writers wait for that moment."""
        self._state.phase = "holding hot rows"
        for one in self._passes:
            for key in list(one.hot)[: self._hold_rows]:
                if await self._equal_while_held(one, key):
                    del one.hot[key]

    async def _equal_while_held(self, one: _Pass, key: Key) -> bool:
        connection, literal = self._connection, self._connection.literal
        held = one.fill or one.sides[0]
        deadline = time.monotonic() + self._patience.hold
        await connection.run("START TRANSACTION")
        try:
            await connection.rows(f"SELECT 1 FROM {held.source} WHERE {among(held, [key], literal)} FOR SHARE")  # noqa: S608
            while time.monotonic() < deadline:
                if one.fill is not None and not await self._fill(one, among(one.fill, [key], literal)):
                    return False
                if not await self._narrow(one, [among(side, [key], literal) for side in one.sides]):
                    return True
                await asyncio.sleep(0.05)
            return False
        finally:
            await connection.run("ROLLBACK")

    # ── The verdict ──

    async def _judge(self) -> Verification:
        state = self._state
        proven = {key: None for one in self._passes for key in one.proven}
        if proven:
            words = [await self._differences(key) for key in list(proven)[:10]]
            more = f" … and {len(proven) - 10} more" if len(proven) > 10 else ""
            return _verdict(
                state,
                Comparison.DIFFERENT,
                f"{'At least ' if state.overflow else ''}{len(proven)} row(s) differ: {'; '.join(words)}{more}.",
            )
        reasons = list(state.unproven)
        reasons += self._listed("rows that changed at every look (mysql.verify_hold_rows lets them be held)", "hot")
        reasons += self._listed("rows that differ where gh-ost has not applied what was written (is it throttled?)", "stuck")
        if state.overflow:
            reasons.append(
                f"more than {self._patience.most_suspects} rows differed at once, so the rest was not looked at (is it throttled?)"
            )
        left_out = f" Left out: {', '.join(state.left_out)}." if state.left_out else ""
        if reasons:
            return _verdict(state, Comparison.UNPROVEN, f"All else is equal, but this cannot be proven: {'; '.join(reasons)}.{left_out}")
        return _verdict(state, Comparison.EQUAL, f"Every row is equal.{left_out}")

    def _listed(self, what: str, which: str) -> list[str]:
        keys = list(dict.fromkeys(_words(one.sides[0], key) for one in self._passes for key in getattr(one, which)))
        return [f"{what}: {', '.join(keys[:10])}{f' … and {len(keys) - 10} more' if len(keys) > 10 else ''}"] if keys else []

    async def _differences(self, key: Key) -> str:
        """What each walk found at this key; a missing row is found by both."""
        found = [await self._difference(one, key, one.proven[key]) for one in list(self._passes) if key in one.proven]
        return ", and ".join(dict.fromkeys(found))

    async def _difference(self, one: _Pass, key: Key, suspect: _Suspect) -> str:
        original, ghost = suspect.hashes
        words = _words(one.sides[0], key)
        if not ghost:
            return f"{words} is missing in the copy"
        if not original:
            return f"{words} is only in the copy"
        if one.fill is not None and not await self._fill(one, among(one.fill, [key], self._connection.literal)):
            return f"{words} differs"
        left, right = [await self._connection.row(columns_statement(side, key, self._connection.literal)) for side in one.sides]
        pairs = zip(left or (), right or (), one.sides[0].columns, strict=False)
        names = [column.name for mine, other, column in pairs if mine != other]
        return f"{words} differs in {', '.join(names)}" if names else f"{words} differs"


def _words(side: Side, key: Iterable[object]) -> str:
    """A key for people; values cut, for they can be long."""
    values = (f"0x{one.hex()}" if isinstance(one, bytes) else str(one) for one in key)
    return ", ".join(f"{column.name}={value[:80]}" for column, value in zip(side.key, values, strict=True))
