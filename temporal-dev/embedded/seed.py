"""The sample shop's rows, a writer that keeps changing them, and the writer's own account of what must be there.

Seeded rows follow from their id, so the ledger has to remember only what the writer touched.
"""

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self, cast

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import DictCursor, SSCursor

from embedded.grants import APPLICATION
from embedded.mysql import MySQLServer

SHOP: Final = Path(__file__).resolve().parents[1] / "shop"
SCHEMA_OF: Final[Mapping[str, str]] = {"orders": "shop_orders", "catalog": "shop_catalog"}
COLUMNS: Final = ("id", "customer_id", "status", "total_cents", "note", "placed_at")

_STATUSES: Final = ("new", "paid", "shipped", "returned")
_FIRST_ORDER: Final = datetime(2026, 1, 1)  # noqa: DTZ001 - a DATETIME column knows no time zone
_AT_ONCE: Final = 50_000

OrderRow = tuple[int, int, str, int, str | None, datetime]
"""One row of `orders`, in the order of COLUMNS."""


def seeded_order(number: int) -> OrderRow:
    """The row that the seeder writes under that id; the INSERT in `seed_shop` says the same in SQL."""
    return (
        number,
        number % 9973 + 1,
        _STATUSES[number % 4],
        number * 7919 % 100_000,
        None if number % 7 == 0 else f"order {number}: naïve café №{number % 13}",
        _FIRST_ORDER + timedelta(seconds=number),
    )


def create_tables(server: MySQLServer, *, shop: Path = SHOP) -> None:
    """The sample repository's tables, in the schemas they belong to; those that exist stay as they are."""
    for folder, schema in SCHEMA_OF.items():
        for path in sorted((shop / folder).glob("*.sql")):
            statement = path.read_text(encoding="utf-8").replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
            server.run(statement.rstrip().rstrip(";"), schema=schema)


def seed_shop(server: MySQLServer, *, orders: int = 300_000) -> None:
    """Tables and rows of the sample shop: `orders` orders (ids 1…orders), two thousand items, a few of the rest."""
    create_tables(server)
    with server.admin(database="shop_orders") as connection, connection.cursor() as cursor:
        cursor.execute("SET cte_max_recursion_depth = %s", (_AT_ONCE + 1,))
        for first in range(1, orders + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, orders)
            cursor.execute(
                "INSERT INTO orders (id, customer_id, status, total_cents, note, placed_at)"
                " WITH RECURSIVE n (i) AS (SELECT %(first)s UNION ALL SELECT i + 1 FROM n WHERE i < %(last)s)"
                " SELECT i, i %% 9973 + 1, ELT(i %% 4 + 1, %(s0)s, %(s1)s, %(s2)s, %(s3)s), i * 7919 %% 100000,"
                " IF(i %% 7 = 0, NULL, CONCAT('order ', i, ': naïve café №', i %% 13)),"
                " %(begin)s + INTERVAL i SECOND FROM n",
                {"first": first, "last": last, "begin": _FIRST_ORDER} | {f"s{i}": _STATUSES[i] for i in range(4)},
            )
        cursor.execute(
            "INSERT INTO order_items SELECT id, 1, id %% 500 + 1, id %% 5 + 1, total_cents FROM orders WHERE id <= %s",
            (2_000,),
        )
        cursor.execute(
            "INSERT INTO legacy_carts (customer_id, contents) SELECT customer_id, JSON_OBJECT('order', id) FROM orders WHERE id <= %s",
            (500,),
        )
        cursor.execute("ANALYZE TABLE orders, order_items, legacy_carts")
    with server.admin(database="shop_catalog") as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO products (sku, name, price_cents, attributes) VALUES (%s, %s, %s, JSON_OBJECT('weight', %s))",
            [(f"SKU-{i:05}", f"Product {i}", i * 37 % 10_000, i % 90) for i in range(1, 501)],
        )
        cursor.executemany(
            "INSERT INTO categories (name, parent_id) VALUES (%s, %s)",
            [(f"Category {i}", None if i < 5 else i % 4 + 1) for i in range(1, 41)],
        )
        cursor.execute("ANALYZE TABLE products, categories")


@dataclass
class Ledger:
    """What must be in the table: seeded rows 1…`seeded`, except where `touched` says otherwise (None: deleted).

    `in_doubt` holds rows whose last write got no answer: what was there before, and what was to be there.
    """

    seeded: int
    touched: dict[int, OrderRow | None] = field(default_factory=dict)
    in_doubt: dict[int, tuple[OrderRow | None, OrderRow | None]] = field(default_factory=dict)

    def expected(self, number: int) -> OrderRow | None:
        """The row that must stand under that id, None if none may."""
        if number in self.touched:
            return self.touched[number]
        return seeded_order(number) if 1 <= number <= self.seeded else None

    def rows(self) -> Iterator[OrderRow]:
        """Every row that must be there, by ascending id."""
        beyond = sorted(number for number in self.touched if number > self.seeded)
        for number in (*range(1, self.seeded + 1), *beyond):
            row = self.expected(number)
            if row is not None:
                yield row


@dataclass(frozen=True)
class Reconciliation:
    """A table compared with a ledger, row by row. Checksums are SHA-256 over all rows in key order."""

    table: str
    expected_rows: int
    found_rows: int
    expected_checksum: str
    found_checksum: str
    missing: tuple[int, ...]
    unexpected: tuple[int, ...]
    different: tuple[int, ...]
    writes: Mapping[str, int]

    @property
    def ok(self) -> bool:
        return self.expected_checksum == self.found_checksum and not (self.missing or self.unexpected or self.different)

    def __str__(self) -> str:
        done = ", ".join(f"{count:,} {kind}" for kind, count in self.writes.items() if count) or "no writes"
        if self.ok:
            return f"{self.table}: {self.found_rows:,} rows as the ledger says ({done}); checksum {self.found_checksum[:16]} on both sides"
        faults = [
            f"{len(ids):,} {fault} (ids {', '.join(map(str, ids[:5]))}{', …' if len(ids) > 5 else ''})"
            for fault, ids in (
                ("missing", self.missing),
                ("that must not be there", self.unexpected),
                ("different", self.different),
            )
            if ids
        ]
        return (
            f"{self.table}: DIFFERS from the ledger: {self.expected_rows:,} rows expected, {self.found_rows:,} found"
            f" ({done}): {'; '.join(faults)}"
        )


class Writer:
    """An application at work: a thread that inserts, updates and deletes orders and remembers each in its ledger.

    Use it as a context manager, or `start` and `stop`. It reconnects after a lost connection; a write that got no
    answer is looked up before the next write to that row.
    """

    def __init__(
        self,
        server: MySQLServer,
        *,
        seeded: int,
        schema: str = "shop_orders",
        table: str = "orders",
        per_second: float = 50.0,
        seed: int = 2026,
    ) -> None:
        self.server = server
        self.schema = schema
        self.table = table
        self.ledger = Ledger(seeded)
        self.writes: Counter[str] = Counter()
        self.longest_wait_seconds = 0.0
        self.last_error = ""
        self._pause = 1.0 / per_second
        self._random = random.Random(seed)
        self._next_id = seeded + 1
        self._alive: list[int] = []  # ids the writer itself inserted: popular, as fresh orders are
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, name=f"writer {self.server.name}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish the current write and end. Doing it twice is fine."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=60)
            self._thread = None

    @property
    def total(self) -> int:
        """Writes that were answered with success."""
        return self.writes.total()

    def reconcile(self, connection: "Connection[DictCursor] | None" = None) -> Reconciliation:
        """Compare the table with the ledger; stop the writer first.

        Reads through `connection` (a replica's, say), by default as the application on the writer's own server.
        """
        ledger = self.settle()
        with self._connect() as own:
            through = connection or own
            return reconcile(ledger, through, schema=self.schema, table=self.table, writes=dict(self.writes))

    def settle(self) -> Ledger:
        """The ledger, with every write that got no answer looked up; stop the writer first."""
        if self._thread is not None:
            raise RuntimeError("the writer still writes: stop it before reconciling")
        with self._connect() as own:
            self._settle_all(own)
        return self.ledger

    # -- the thread

    def _connect(self) -> "Connection[DictCursor]":
        # Whatever happens to the table, an application gives up at some point; this one is patient.
        return self.server.connect(APPLICATION, database=self.schema, read_timeout=120, write_timeout=120)

    def _work(self) -> None:
        connection: Connection[DictCursor] | None = None
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                if connection is None:
                    connection = self._connect()
                    self._settle_all(connection)
                self._write(connection)
            except pymysql.MySQLError as problem:
                self.last_error = str(problem)
                self.writes["refused or unanswered"] += 1
                if connection is not None and connection.open:
                    connection.close()
                connection = None
            took = time.monotonic() - began
            self.longest_wait_seconds = max(self.longest_wait_seconds, took)
            self._stop.wait(max(0.0, self._pause - took))
        if connection is not None:
            connection.close()

    def _write(self, connection: "Connection[DictCursor]") -> None:
        choice = self._random.random()
        if choice < 0.45:
            number, kind = self._next_id, "inserts"
            self._next_id += 1
            row: OrderRow | None = self._new_row(number)
        else:
            number = self._some_id()
            before = self.ledger.expected(number)
            if choice < 0.80 or before is None:
                kind = "updates" if before is not None else "inserts"
                row = self._new_row(number)
            elif choice < 0.88:
                kind, row = "upserts", self._new_row(number)
            else:
                kind, row = "deletes", None
        self._apply(connection, kind, number, row)

    def _apply(self, connection: "Connection[DictCursor]", kind: str, number: int, row: OrderRow | None) -> None:
        columns = ", ".join(COLUMNS)
        statement, values = {
            "inserts": (f"INSERT INTO {self.table} ({columns}) VALUES (%s, %s, %s, %s, %s, %s)", row),
            "upserts": (f"REPLACE INTO {self.table} ({columns}) VALUES (%s, %s, %s, %s, %s, %s)", row),
            "updates": (
                f"UPDATE {self.table} SET customer_id = %s, status = %s, total_cents = %s, note = %s, placed_at = %s WHERE id = %s",
                (*row[1:], number) if row else (),
            ),
            "deletes": (f"DELETE FROM {self.table} WHERE id = %s", (number,)),
        }[kind]
        self.ledger.in_doubt[number] = (self.ledger.expected(number), row)
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
        del self.ledger.in_doubt[number]
        self.ledger.touched[number] = row
        self.writes[kind] += 1
        if kind == "inserts":
            self._alive.append(number)

    def _settle_all(self, connection: "Connection[DictCursor]") -> None:
        """Look up the rows whose last write got no answer. What is neither before nor after counts as different."""
        for number, (before, after) in list(self.ledger.in_doubt.items()):
            found = _read(connection, self.table, number)
            self.ledger.touched[number] = found if found in {before, after} else after
            del self.ledger.in_doubt[number]

    def _some_id(self) -> int:
        if self._alive and self._random.random() < 0.3:
            return self._random.choice(self._alive[-200:])
        return self._random.randint(1, max(1, self.ledger.seeded))

    def _new_row(self, number: int) -> OrderRow:
        pick = self._random
        note = pick.choice((None, "", 'O\'Neil \\ "quoted"', f"edited {pick.randrange(10**6)}", "日本語 ☕ 🛒"))
        moment = _FIRST_ORDER + timedelta(milliseconds=pick.randrange(10**10))
        return (number, pick.randint(1, 9999), pick.choice(_STATUSES), pick.randrange(-500, 10**6), note, moment)


def reconcile(
    ledger: Ledger,
    connection: "Connection[DictCursor]",
    *,
    schema: str,
    table: str,
    writes: Mapping[str, int] | None = None,
) -> Reconciliation:
    """Compare `schema.table`, its columns COLUMNS, with the ledger. Reads 300,000 rows in a few seconds."""
    expected_hash, found_hash = hashlib.sha256(), hashlib.sha256()
    missing: list[int] = []
    unexpected: list[int] = []
    different: list[int] = []
    counts = [0, 0]

    def count_expected(row: OrderRow) -> OrderRow:
        counts[0] += 1
        expected_hash.update(repr(row).encode())
        return row

    expectations = ledger.rows()
    wanted = next(expectations, None)
    with connection.cursor(SSCursor) as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM `{schema}`.`{table}` ORDER BY id")
        for found in cast("Iterator[OrderRow]", cursor):
            counts[1] += 1
            found_hash.update(repr(found).encode())
            while wanted is not None and wanted[0] < found[0]:
                missing.append(count_expected(wanted)[0])
                wanted = next(expectations, None)
            if wanted is None or wanted[0] > found[0]:
                unexpected.append(found[0])
                continue
            if count_expected(wanted) != found:
                different.append(found[0])
            wanted = next(expectations, None)
    while wanted is not None:
        missing.append(count_expected(wanted)[0])
        wanted = next(expectations, None)
    return Reconciliation(
        table=f"{schema}.{table}",
        expected_rows=counts[0],
        found_rows=counts[1],
        expected_checksum=expected_hash.hexdigest(),
        found_checksum=found_hash.hexdigest(),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        different=tuple(different),
        writes=writes or {},
    )


def _read(connection: "Connection[DictCursor]", table: str, number: int) -> OrderRow | None:
    with connection.cursor() as cursor:
        # FOR UPDATE waits for a write that the server is still busy with; a plain read would look past it.
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE id = %s FOR UPDATE", (number,))
        found = cursor.fetchone()
    return cast("OrderRow", tuple(found[name] for name in COLUMNS)) if found is not None else None
