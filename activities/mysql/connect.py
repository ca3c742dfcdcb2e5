"""Connections to MySQL: opened the same way everywhere, never blocking the event loop, never leaving a statement behind.

Each connection owns one thread, on which all its work happens; a pool shared with others could be used up by statements that wait
for locks. Works with MySQL 8.0.30 and later.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import pymysql
import pymysql.err
from pymysql.cursors import Cursor

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.mysql import predicates
from activities.settings import Account, MySQLSettings

T = TypeVar("T")

READING_MODE: Final = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"
"""The session's sql_mode, whatever the server's is: ANSI_QUOTES alone changes what SHOW CREATE TABLE prints (SAFETY §S8)."""

_SPEAKS_OTHERWISE: Final = frozenset(
    {
        "ANSI",
        "ANSI_QUOTES",
        "HIGH_NOT_PRECEDENCE",
        "IGNORE_SPACE",
        "NO_BACKSLASH_ESCAPES",
        "PIPES_AS_CONCAT",
        "REAL_AS_FLOAT",
        "TRADITIONAL",
    }
)

_SESSION: Final = (
    f"SET SESSION sql_mode = '{READING_MODE}', time_zone = '+00:00', lock_wait_timeout = 10, innodb_lock_wait_timeout = 10,"
    " information_schema_stats_expiry = 0, sql_quote_show_create = 1, show_gipk_in_create_table_and_information_schema = 1,"
    " show_create_table_verbosity = 0, show_create_table_skip_secondary_engine = 0"
)
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, order=True)
class Address:
    host: str
    port: int = 3306

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def of(cls, text: str) -> "Address":
        """What str() wrote. Errors: OurBug for anything else."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit():
            raise OurBug(f"{text!r} is not the address of a server (host:port).")
        return cls(host, int(port))


def quoted(name: str) -> str:
    """A name as an identifier in a statement."""
    return f"`{name.replace('`', '``')}`"


def table_name(schema: str, table: str) -> str:
    return f"{quoted(schema)}.{quoted(table)}"


def storing_mode(server_mode: str, *added: str) -> str:
    """The server's sql_mode for what decides which values are legal, without what changes how a statement is read."""
    modes = [one for one in server_mode.split(",") if one and one not in _SPEAKS_OTHERWISE]
    return ",".join(dict.fromkeys([*modes, *added]))


class Connection:
    """One session on one server; see open_connection for what is fixed in it.

    What MySQL objects to comes as pymysql.err.MySQLError, judged with predicates.py. Cancelling a task that awaits a statement
    kills the statement on the server, too. args are for `%s` only, and with args a literal % is written %%.
    """

    def __init__(self, raw: "pymysql.Connection[Cursor]", address: Address, again: "Door", lane: ThreadPoolExecutor) -> None:
        self.address = address
        self.id = int(raw.thread_id())  # type: ignore[no-untyped-call]  # the stubs leave it out
        self._raw = raw
        self._again = again
        self._lane = lane
        self._closed = False

    async def run(self, sql: str, args: Sequence[Any] = ()) -> int:
        """The number of affected rows."""
        return (await self._ask(sql, args))[0]

    async def rows(self, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return (await self._ask(sql, args))[2]

    async def row(self, sql: str, args: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, None if there is none."""
        rows = await self.rows(sql, args)
        return rows[0] if rows else None

    async def value(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """The first column of the first row, None if there is none."""
        row = await self.row(sql, args)
        return row[0] if row else None

    async def records(self, sql: str, args: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows as dicts; the names of columns in lower case."""
        _, names, rows = await self._ask(sql, args)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def literal(self, value: Any) -> str:
        """A value as it is written in a statement."""
        return str(self._raw.escape(value))

    async def use(self, schema: str) -> None:
        await self._in_lane(lambda: self._raw.select_db(schema))

    async def kill(self) -> None:
        """End this session on the server, from a second connection. Fine if it is gone."""
        await asyncio.get_running_loop().run_in_executor(None, self._again.kill, self.id, "CONNECTION")

    async def close(self) -> None:
        """Doing it twice is fine."""
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().run_in_executor(self._lane, _close_quietly, self._raw)
            self._lane.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _ask(self, sql: str, args: Sequence[Any]) -> tuple[int, tuple[str, ...], list[tuple[Any, ...]]]:
        def work() -> tuple[int, tuple[str, ...], list[tuple[Any, ...]]]:
            with self._raw.cursor() as cursor:
                count = cursor.execute(sql, tuple(args) or None)
                names = tuple(str(column[0]).lower() for column in cursor.description or ())
                return count, names, list(cursor.fetchall()) if names else []

        return await self._in_lane(work)

    async def _in_lane(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise OurBug(f"The connection to {self.address} was used after it was closed.")
        doing = asyncio.get_running_loop().run_in_executor(self._lane, work)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            if not doing.done():
                await self._stop(doing)
            raise

    async def _stop(self, doing: "asyncio.Future[T]") -> None:
        """A statement whose asker is gone must not run on: a DDL would still change the table (SAFETY §S6)."""
        loop = asyncio.get_running_loop()
        for how in ("QUERY", "CONNECTION"):
            with contextlib.suppress(pymysql.err.MySQLError, OSError):
                await asyncio.shield(loop.run_in_executor(None, self._again.kill, self.id, how))
            done, _ = await asyncio.wait([doing], timeout=_STOP_SECONDS)
            if done:
                doing.exception()  # looked at, so that nobody reports it as never retrieved
                return


if TYPE_CHECKING:
    _Base = pymysql.connections.Connection[Cursor]
else:
    _Base = pymysql.connections.Connection


class _Session(_Base):
    """PyMySQL's, but for the context of its TLS without a CA: it makes one for each connection and loads the machine's authorities into it,
    to verify nothing by them. Should PyMySQL name the method otherwise one day, that waste is all that comes back.
    """

    def _create_ssl_ctx(self, options: "Mapping[str, Any] | ssl.SSLContext") -> ssl.SSLContext:
        return options if isinstance(options, ssl.SSLContext) else UNVERIFIED


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


UNVERIFIED: Final = _unverified()
"""One for all connections."""


class Door:
    """What it takes to connect once more."""

    def __init__(self, address: Address, account: Account, settings: MySQLSettings, database: str | None, program: str) -> None:
        self._address = address
        self._account = account
        self._settings = settings
        self._database = database
        self._program = program

    def enter(self, *, autocommit: bool, read_timeout: float) -> "pymysql.Connection[Cursor]":
        """Blocking. The handshake is bounded by the connect time-out, too: a server that accepts and then says nothing is away."""
        patience = float(self._settings.connect_timeout_seconds)
        raw: pymysql.Connection[Cursor] = _Session(
            host=self._address.host,
            port=self._address.port,
            user=self._account.user,
            password=self._account.secret(),
            database=self._database,
            charset="utf8mb4",
            autocommit=autocommit,
            init_command=_SESSION,
            connect_timeout=patience,
            read_timeout=patience,
            write_timeout=max(read_timeout, patience),
            program_name=self._program,
            **self._tls(),
        )
        raw._read_timeout = read_timeout  # type: ignore[attr-defined]  # PyMySQL has one number for handshake and statements
        return raw

    def kill(self, connection_id: int, how: str) -> None:
        """Blocking. how: QUERY or CONNECTION. An account may always kill its own sessions."""
        raw = self.enter(autocommit=True, read_timeout=_STOP_SECONDS)
        try:
            with raw.cursor() as cursor:
                cursor.execute(f"KILL {how} {int(connection_id)}")
        except pymysql.err.MySQLError as wrong:
            if not predicates.is_no_such_thread(wrong):
                raise
        finally:
            _close_quietly(raw)

    def _tls(self) -> dict[str, Any]:
        """With a CA: TLS or nothing, the certificate verified. Without: TLS wherever the server offers it (PyMySQL's own way)."""
        authority = self._settings.tls_ca_file
        if authority is None:
            return {}
        try:
            context = ssl.create_default_context(cafile=str(authority))
        except OSError as wrong:
            raise NeedsHuman(f"Cannot read the certificate authority {authority} (tls_ca_file): {wrong}. Correct the setting.") from wrong
        context.check_hostname = False  # a MySQL server's own certificate names no host
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # nor does it have the extensions that Python 3.13 asks for
        return {"ssl": context}


async def open_connection(
    address: Address,
    account: Account,
    settings: MySQLSettings,
    *,
    database: str | None = None,
    autocommit: bool = True,
    read_timeout: float = 60.0,
    program: str = "skeebot",
) -> Connection:
    """A session with a fixed sql_mode (READING_MODE), time zone UTC and utf8mb4, bounded waits for locks, fresh table statistics and
    generated invisible keys shown. read_timeout: seconds that one statement may take. program: shown in the server's process list.

    Errors: TryAgain when the server cannot be reached or is full; NeedsHuman when it does not let this account in.
    """
    door = Door(address, account, settings, database, program)
    lane = ThreadPoolExecutor(1, thread_name_prefix=f"mysql {address}")
    opening = asyncio.get_running_loop().run_in_executor(lane, lambda: door.enter(autocommit=autocommit, read_timeout=read_timeout))
    try:
        raw = await asyncio.shield(opening)
    except pymysql.err.MySQLError as wrong:
        lane.shutdown(wait=False)
        raise in_our_words(wrong, address, f"connecting as {account.user}") from wrong
    except asyncio.CancelledError:
        opening.add_done_callback(_close_what_came)
        lane.shutdown(wait=False)
        raise
    except BaseException:
        lane.shutdown(wait=False)
        raise
    return Connection(raw, address, door, lane)


def in_our_words(wrong: pymysql.err.MySQLError, address: Address, doing: str) -> TryAgain | NeedsHuman | OurBug:
    """MySQL's objection, sorted by what to do. doing: what was tried, "reading shop.orders"."""
    said = f"MySQL at {address}, {doing}: {predicates.error_text(wrong)} (error {predicates.error_number(wrong)})."
    if predicates.is_unreachable(wrong):
        return TryAgain(f"Cannot reach MySQL at {address} ({doing}): {predicates.error_text(wrong)}. Is the server up, and are host"
                        " and port in the inventory right? Can this machine reach it?")  # fmt: skip
    if predicates.is_without_tls(wrong):
        return NeedsHuman(f"{said} Give the server a certificate, or take tls_ca_file out of the settings.")
    if predicates.is_account_locked(wrong):
        return NeedsHuman(
            f"{said} The account is locked, as a fence leaves it; once the old run is surely dead: ALTER USER … ACCOUNT UNLOCK."
        )
    if predicates.is_access_denied(wrong):
        return NeedsHuman(f"{said} Check the account's password and grants, and whether it is locked.")
    if predicates.is_unknown_database(wrong):
        return NeedsHuman(f"{said} Create the schema, or correct the schema's name in the enrolment (repo-map).")
    if predicates.is_unknown_variable(wrong):
        return NeedsHuman(f"{said} skeebot needs MySQL 8.0.30 or later.")
    if predicates.is_too_many_connections(wrong):
        return TryAgain(f"{said} It will be tried again; look at max_connections and the account's limits if this goes on.")
    if predicates.is_statement_wrong(wrong) or predicates.is_unknown_column(wrong):
        return OurBug(f"{said} skeebot wrote a statement that this server does not understand.")
    if _is_passing(wrong):
        return TryAgain(f"{said} It will be tried again.")
    return NeedsHuman(f"{said} Look at the server, then retry-migration.")


def _is_passing(wrong: pymysql.err.MySQLError) -> bool:
    passing = (
        predicates.is_connection_lost,
        predicates.is_lock_wait_timeout,
        predicates.is_deadlock,
        predicates.is_interrupted,
        predicates.is_read_only,
        predicates.is_unknown_table,
    )
    return any(one(wrong) for one in passing)


@contextmanager
def mysql_errors(address: Address, doing: str) -> Iterator[None]:
    """What MySQL objects to inside comes out as TryAgain, NeedsHuman or OurBug."""
    try:
        yield
    except pymysql.err.MySQLError as wrong:
        raise in_our_words(wrong, address, doing) from wrong


def _close_quietly(raw: "pymysql.Connection[Cursor]") -> None:
    with contextlib.suppress(pymysql.err.Error, OSError):
        raw.close()


def _close_what_came(opening: "asyncio.Future[pymysql.Connection[Cursor]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()._force_close()  # type: ignore[attr-defined]  # without a farewell: this is the event loop's thread
