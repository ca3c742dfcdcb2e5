"""The workspace: a disposable server on which MySQL itself judges SQL, in scratch schemas that go when the plan is made.

Nothing here ever touches a server that holds data. A plan's scratch schemas carry the time of their birth in their name
(`_skeebot_<seconds in hex>_<random>_<n>`) and are guarded by a GET_LOCK of the connection that made them: whoever comes later drops
those that are older than an hour and whose lock is free, so a dead worker's schemas go and a living one's never do.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import pymysql.err

from activities.errors import OurBug, TryAgain
from activities.mysql.connect import READING_MODE, Address, Connection, in_our_words, open_connection, quoted
from activities.mysql.definitions import loadable
from activities.mysql.predicates import error_number, error_text
from activities.settings import MySQLSettings
from workflows.rules.plan import Refusal

PREFIX: Final = "_skeebot_"
"""What every scratch schema's name begins with; the workspace account has rights on such schemas and on nothing else."""

ABANDONED_AFTER_SECONDS: Final = 3600

_LIKE: Final = PREFIX.replace("_", r"\_") + "%"

_MUST_EQUAL: Final = (
    "lower_case_table_names",
    "innodb_default_row_format",
    "innodb_strict_mode",
    "innodb_page_size",
    "sql_generate_invisible_primary_key",
    "sql_require_primary_key",
    "default_table_encryption",
)
"""Variables that change how a definition is read and that an account without rights cannot set for its session: a difference refuses."""

_SET_FOR_SESSION: Final = (
    "explicit_defaults_for_timestamp",
    "default_collation_for_utf8mb4",
    "restrict_fk_on_non_standard_key",
    "default_storage_engine",
    "sql_mode",
)
"""Variables that any account may set for its own session: files are read under the cluster's values. sql_mode comes last."""

_ZONE: Final = ("time_zone", "system_time_zone")
_UTC: Final = frozenset({"+00:00", "-00:00", "UTC", "Etc/UTC"})
"""By name, not by what the clock says: London is at +00:00 in winter only."""

_ALWAYS_STRICT: Final = ("STRICT_TRANS_TABLES", "NO_ENGINE_SUBSTITUTION")
"""Added to the cluster's sql_mode when files are read: a definition that MySQL would only take after changing it is an error."""

_LIVE_MODE: Final = "NO_ENGINE_SUBSTITUTION"
"""What SHOW CREATE printed is loaded under this: a table that lives may hold a default (zero dates) that today's mode forbids."""


@dataclass(frozen=True)
class Reading:
    """How a server reads SQL: its version and the variables that matter, as it prints them; variables it does not know are absent."""

    version: str
    variables: Mapping[str, str]

    @property
    def series(self) -> str:
        """`9.7` of `9.7.4-2`."""
        return ".".join(self.version.split("-")[0].split(".")[:2])

    @property
    def sql_mode(self) -> str:
        """For reading files: the server's, and never lenient."""
        modes = [mode for mode in self.variables.get("sql_mode", "").split(",") if mode]
        return ",".join([*modes, *(mode for mode in _ALWAYS_STRICT if mode not in modes)])

    @property
    def time_zone(self) -> str:
        """In which the server reads moments that a session without a zone of its own writes down."""
        zone = self.variables.get("time_zone", "SYSTEM")
        return self.variables.get("system_time_zone", "UTC") if zone == "SYSTEM" else zone

    @property
    def is_utc(self) -> bool:
        return self.time_zone in _UTC

    @property
    def folds_names(self) -> bool:
        """Table names are compared without regard to case."""
        return self.variables.get("lower_case_table_names", "0") != "0"


async def read_reading(connection: Connection) -> Reading:
    """How the server at the other end reads SQL. Errors: pymysql's."""
    names = (*_MUST_EQUAL, *_SET_FOR_SESSION, *_ZONE)
    wanted = ", ".join(f"'{name}'" for name in names)
    rows = await connection.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})")  # names of our own, nothing from outside
    version = str(await connection.value("SELECT VERSION()"))
    return Reading(version=version, variables=MappingProxyType({str(name): str(value) for name, value in rows}))


def differs_from(workspace: Reading, live: Reading, where: str) -> Refusal | None:
    """Why SQL judged on the workspace would not hold on the live server, by name; where: "production/a"."""
    if workspace.series != live.series:
        return Refusal(
            code="workspace-version",
            what=f"The workspace server is MySQL {workspace.version}, but {where} is {live.version}.",
            next=f"Ask the people who run skeebot for a workspace of MySQL {live.series}; then push or re-run the check.",
        )
    for name in _MUST_EQUAL:
        ours, theirs = workspace.variables.get(name), live.variables.get(name)
        if ours != theirs:
            return Refusal(
                code="workspace-variable",
                what=f"On the workspace server {name} is {ours or 'not known'}, but on {where} it is {theirs or 'not known'}.",
                next=f"Start the workspace server with --{name.replace('_', '-')}={theirs}; then re-run the check.",
            )
    return None


@dataclass(frozen=True)
class NotLoaded:
    """A definition that MySQL does not take. number: MySQL's error, 0 when the statement made something else than its table."""

    table: str
    number: int
    text: str


class ScratchSchema:
    """One scratch schema. Its name must not reach people or statements."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection

    async def load(self, creates: Mapping[str, str], *, reading: Reading | None = None) -> NotLoaded | None:
        """Run one CREATE TABLE per table, in any order (foreign keys are not checked meanwhile).

        reading: read the statements as that server would (files); None: they are what SHOW CREATE printed.
        """
        before = set(await self.tables())
        mode = _LIVE_MODE if reading is None else reading.sql_mode
        await self._connection.use(self.name)
        async with self._under(reading, mode, foreign_key_checks=False):
            for table, create in creates.items():
                try:
                    await self._connection.run(create if reading is not None else loadable(create))
                except pymysql.err.MySQLError as wrong:
                    return NotLoaded(table, error_number(wrong), error_text(wrong))
        have = set(await self.tables()) - before
        folded = {table.casefold() for table in have}
        for table in creates:
            if table not in have and table.casefold() not in folded:
                return NotLoaded(table, 0, f"the statement did not make a table named {table}")
        if len(have) > len(creates):
            extra = ", ".join(sorted(have - set(creates)))
            return NotLoaded(extra, 0, f"a statement made another table than the one it should define: {extra}")
        return None

    async def apply(
        self, statement: str, *, foreign_key_checks: bool = True, sql_mode: str = READING_MODE, reading: Reading | None = None
    ) -> None:
        """Run one statement as it would run on the live server. sql_mode: of the session that would run it. Errors: pymysql's.

        reading: that server's other variables count, too: what a person wrote leaves more to them than what SHOW CREATE printed.
        """
        await self._connection.use(self.name)
        async with self._under(reading, sql_mode, foreign_key_checks=foreign_key_checks):
            await self._connection.run(statement)

    async def tables(self) -> list[str]:
        await self._connection.use(self.name)
        rows = await self._connection.rows("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
        return [str(row[0]) for row in rows]

    async def definitions(self) -> dict[str, str]:
        """What SHOW CREATE TABLE prints, by table."""
        return {table: await self.definition(table) for table in await self.tables()}

    async def definition(self, table: str) -> str:
        """Errors: pymysql's, when there is no such table."""
        await self._connection.use(self.name)
        row = await self._connection.row(f"SHOW CREATE TABLE {quoted(table)}")
        if row is None:
            raise OurBug(f"SHOW CREATE TABLE {table} answered nothing")
        return str(row[1])

    @asynccontextmanager
    async def _under(self, reading: Reading | None, sql_mode: str, *, foreign_key_checks: bool) -> AsyncIterator[None]:
        names = [name for name in _SET_FOR_SESSION[:-1] if reading is not None and name in reading.variables]
        ours = await self._session_variables(names) if names else {}
        values = {name: reading.variables[name] for name in names} if reading is not None else {}
        await self._set(values, sql_mode, foreign_key_checks=foreign_key_checks)
        try:
            yield
        except BaseException:
            with contextlib.suppress(pymysql.err.MySQLError):  # what went wrong inside says more
                await self._set(ours, READING_MODE)
            raise
        await self._set(ours, READING_MODE)

    async def _session_variables(self, names: Sequence[str]) -> dict[str, str]:
        wanted = ", ".join(f"'{name}'" for name in names)  # names of our own, nothing from outside
        rows = await self._connection.rows(f"SHOW SESSION VARIABLES WHERE Variable_name IN ({wanted})")
        return {str(name): str(value) for name, value in rows}

    async def _set(self, values: Mapping[str, str], sql_mode: str, *, foreign_key_checks: bool = True) -> None:
        settings = [*values.items(), ("foreign_key_checks", str(int(foreign_key_checks))), ("sql_mode", sql_mode)]
        await self._connection.run("SET SESSION " + ", ".join(f"{name} = {_literal(value)}" for name, value in settings))


@dataclass
class Scratch:
    """The scratch schemas of one plan, on one connection; not to be used by two tasks at once."""

    connection: Connection
    reading: Reading
    token: str
    _made: list[str] = field(default_factory=list)

    async def schema(self, charset: str = "", collation: str = "") -> ScratchSchema:
        """A new, empty one with these defaults ("": the server's)."""
        name = self.name()
        defaults = (f" CHARACTER SET {_word(charset)}" if charset else "") + (f" COLLATE {_word(collation)}" if collation else "")
        await self.connection.run(f"CREATE DATABASE {quoted(name)}{defaults}")
        return ScratchSchema(self.connection, name)

    def name(self) -> str:
        """The name of a scratch schema that somebody else makes (skeema its own); it is dropped with the others."""
        name = f"{self.token}_{len(self._made)}"
        self._made.append(name)
        return name

    async def drop(self) -> None:
        for name in self._made:
            await self.connection.run(f"DROP DATABASE IF EXISTS {quoted(name)}")


class Workspace:
    """Where the workspace server is and who comes in."""

    def __init__(self, address: Address, settings: MySQLSettings, *, read_timeout: float = 60.0) -> None:
        self.address = address
        self.account = settings.workspace
        self._settings = settings
        self._read_timeout = read_timeout

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Scratch]:
        """Scratch schemas that are dropped at the end, whatever happens.

        Errors: TryAgain when the server is away or goes away; NeedsHuman when it does not let us in.
        """
        async with await open_connection(
            self.address, self.account, self._settings, read_timeout=self._read_timeout, program="skeebot workspace"
        ) as connection:
            with self._errors("judging SQL"):
                reading = await read_reading(connection)
                now = int(await connection.value("SELECT UNIX_TIMESTAMP()"))
                await _sweep(connection, now)
                scratch = Scratch(connection, reading, f"{PREFIX}{now:x}_{secrets.token_hex(6)}")
                await connection.value("SELECT GET_LOCK(%s, 0)", (scratch.token,))
                try:
                    yield scratch
                finally:
                    await asyncio.shield(self._clean(scratch))

    async def _clean(self, scratch: Scratch) -> None:
        """On a connection of its own where the plan's was lost; what cannot be dropped now is dropped by a later plan."""
        with contextlib.suppress(pymysql.err.MySQLError, OurBug):
            await scratch.drop()
            return
        with contextlib.suppress(pymysql.err.MySQLError, TryAgain):
            async with await open_connection(self.address, self.account, self._settings) as another:
                scratch.connection = another
                await scratch.drop()

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except pymysql.err.MySQLError as wrong:
            raise in_our_words(wrong, self.address, f"{doing} in the workspace") from wrong


async def _sweep(connection: Connection, now: int) -> None:
    rows = await connection.rows("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s", (_LIKE,))
    for name in _abandoned([str(row[0]) for row in rows], now):
        token = name.rpartition("_")[0]
        if await connection.value("SELECT GET_LOCK(%s, 0)", (token,)) != 1:
            continue
        await connection.run(f"DROP DATABASE IF EXISTS {quoted(name)}")
        await connection.value("SELECT RELEASE_LOCK(%s)", (token,))


def _abandoned(names: Sequence[str], now: int) -> Iterator[str]:
    for name in names:
        born, _, rest = name.removeprefix(PREFIX).partition("_")
        with contextlib.suppress(ValueError):
            if rest.count("_") == 1 and now - int(born, 16) > ABANDONED_AFTER_SECONDS:
                yield name


def _literal(value: str) -> str:
    """A value of a system variable, as SHOW VARIABLES printed it."""
    if value.isdecimal() or value in {"ON", "OFF"}:
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _word(name: str) -> str:
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise OurBug(f"{name!r} is no name of a character set or collation")
    return name
