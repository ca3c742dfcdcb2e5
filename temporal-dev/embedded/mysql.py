"""MySQL servers on loopback ports, and the sample installation's topology made of them."""

import os
import secrets
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import DictCursor

from embedded.cache import cached, machine
from embedded.grants import (
    APPLICATION,
    CLUSTER_ACCOUNTS,
    REPLICATION,
    WORKSPACE_ACCOUNTS,
    Account,
    global_grants,
    schema_grants,
)
from embedded.processes import Process, ProcessFailedError, free_port
from embedded.tools import MySQLProgram

Row = dict[str, Any]

_START_SECONDS = 60.0
_INITIAL = (  # keeps the template, and so every copy, small
    "--innodb-redo-log-capacity=8M",
    "--innodb-data-file-path=ibdata1:12M:autoextend",
    "--innodb-autoextend-increment=8",
    "--innodb-doublewrite=OFF",
)
SAMPLE_SCHEMAS = ("shop_orders", "shop_catalog")

# What gh-ost and skeebot need, and nothing a laptop would notice.
_OPTIONS = (
    *_INITIAL[1:],
    "--bind-address=127.0.0.1",
    "--mysqlx=OFF",
    "--skip-name-resolve",
    "--explain-format=TRADITIONAL",  # 9.x defaults to TREE, which makes gh-ost estimate 0 rows
    "--performance-schema=ON",
    "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON",
    "--innodb-buffer-pool-size=64M",
    "--innodb-redo-log-capacity=48M",
    "--innodb-use-native-aio=OFF",  # several servers on one machine soon use up the kernel's share
    "--innodb-flush-log-at-trx-commit=2",  # a killed server loses nothing, only a lost machine would
    "--sync-binlog=0",
    "--innodb-flush-method=nosync",  # a CREATE costs half; what the kernel was given survives the server's death
    "--max-connections=120",
    "--table-open-cache=400",
    # Memory that a small server never uses, and that would be multiplied by five.
    "--innodb-log-buffer-size=4M",
    "--key-buffer-size=1M",
    "--performance-schema-digests-size=500",
    "--performance-schema-accounts-size=20",
    "--performance-schema-users-size=20",
    "--performance-schema-hosts-size=5",
    "--performance-schema-max-thread-instances=200",
    "--performance-schema-error-size=0",
)
_BINARY_LOG = (
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--log-replica-updates=ON",
)


def new_passwords(accounts: Iterable[Account]) -> dict[str, str]:
    """One generated password per account."""
    return {account.user: secrets.token_urlsafe(18) for account in accounts}


class MySQLServer:
    """One mysqld in `folder`, from a copy of the cached data directory; starts in about two seconds.

    `passwords` holds one per account and is shared by the servers of a topology. The administrator (`root`) can only
    come through the socket.
    """

    def __init__(
        self,
        program: MySQLProgram,
        folder: Path,
        name: str,
        *,
        accounts: Sequence[Account] = (*CLUSTER_ACCOUNTS, REPLICATION, APPLICATION),
        passwords: Mapping[str, str] | None = None,
        binary_log: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        self.program = program
        self.name = name
        self.folder = folder / name
        self.accounts = tuple(accounts)
        self.passwords = dict(passwords or new_passwords(accounts))
        self.host = "127.0.0.1"
        self.port = 0
        self.server_id = 1 + secrets.randbelow(2**31)
        self.read_only = False  # as of the next start; what is persisted in the server is not read with --no-defaults
        self._binary_log = binary_log
        self._options = tuple(options)
        self._root_password = secrets.token_urlsafe(18)
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"MySQLServer({self.name}, 127.0.0.1:{self.port})"

    # -- life

    def start(self) -> "MySQLServer":
        """Start, or start again after `stop` or `kill` on the same port with the same data."""
        data = self.folder / "data"
        fresh = not data.exists()
        if fresh:
            self.folder.mkdir(parents=True, exist_ok=True)
            _copy(_template(self.program), data)
            self._write_first_words()
        for attempt in range(4):
            if fresh:
                self.port = free_port()
            try:
                return self._start_on_port(data, fresh=fresh)
            except ProcessFailedError as failed:
                taken = "Address already in use" in str(failed) or "bind on TCP/IP port" in str(failed)
                if not (taken and fresh) or attempt == 3:
                    raise
        raise AssertionError("the loop returns or raises")

    def _start_on_port(self, data: Path, *, fresh: bool) -> "MySQLServer":
        options = [
            f"--datadir={data}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            f"--server-id={self.server_id}",
            f"--report-host={self.host}",
            f"--report-port={self.port}",
            *_OPTIONS,
            *(_BINARY_LOG if self._binary_log else ("--disable-log-bin",)),
            *([f"--init-file={self._first_words}"] if fresh else []),
            *(["--super-read-only=ON"] if self.read_only else []),
            *self._options,
        ]
        # Whatever the laptop's zone is: skeebot refuses some TIMESTAMP defaults where the server's is not UTC.
        process = Process(f"mysqld ({self.name})", self.program.argv(*options), log=self.log, env={**os.environ, "TZ": "UTC"})
        try:
            process.wait_until(self._ready, seconds=_START_SECONDS)
        except ProcessFailedError:
            process.stop()
            raise
        self._process = process
        self._first_words.unlink(missing_ok=True)
        return self

    def stop(self) -> None:
        """End it in order. Doing it twice is fine."""
        if self._process is not None:
            self._process.stop(seconds=20)
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProcessFailedError(f"mysqld ({self.name}) is not running")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "mysqld.log"

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def ca_file(self) -> Path:
        """The authority that signed the server's own certificate; all servers share it (they share a template)."""
        return self.folder / "data" / "ca.pem"

    # -- access

    def admin(self, **options: Any) -> "Connection[DictCursor]":
        """A connection that may do everything; rows come as dicts, each statement commits by itself."""
        return _connect(user="root", password=self._root_password, unix_socket=str(self.socket), ssl_disabled=True, **options)

    def connect(self, account: Account | str, **options: Any) -> "Connection[DictCursor]":
        """A connection of one of the accounts, over TCP as skeebot would come."""
        user = account if isinstance(account, str) else account.user
        return _connect(host=self.host, port=self.port, user=user, password=self.passwords[user], ssl=_UNVERIFIED, **options)

    def run(self, statement: str, args: Sequence[Any] = (), *, schema: str | None = None) -> list[Row]:
        """One statement as the administrator on a connection of its own; answers its rows."""
        with self.admin(database=schema) as connection, connection.cursor() as cursor:
            cursor.execute(statement, tuple(args) or None)
            return list(cursor.fetchall())

    @property
    def uuid(self) -> str:
        return str(self.run("SELECT @@server_uuid AS uuid")[0]["uuid"])

    # -- content

    def create_schema(self, name: str) -> None:
        """A new schema, with every account's rights on it."""
        self.run(f"CREATE DATABASE `{name.replace('`', '``')}`")
        self.grant_schema(name)

    def grant_schema(self, name: str) -> None:
        """Every account's rights on that schema; goes to the replicas through the binary log."""
        with self.admin() as connection, connection.cursor() as cursor:
            for account in self.accounts:
                for statement in schema_grants(account, name):
                    cursor.execute(statement)

    def drop_schema(self, name: str) -> None:
        """The schema and every account's rights on it; missing is fine."""
        with self.admin() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name.replace('`', '``')}`")
            for account in self.accounts:
                for statement in schema_grants(account, name):
                    with suppress(pymysql.MySQLError):
                        cursor.execute(statement.replace("GRANT ", "REVOKE ", 1).replace(" TO ", " FROM ", 1))

    # -- inside

    @property
    def _first_words(self) -> Path:
        return self.folder / "first-words.sql"

    def _write_first_words(self) -> None:
        """The accounts, before anybody can connect. Not in the binary log: every server is told by itself."""
        words = ["SET sql_log_bin = 0", f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{self._root_password}'"]
        for account in self.accounts:
            words.append(f"CREATE USER '{account.user}'@'%' IDENTIFIED BY '{self.passwords[account.user]}'")
            words.extend(global_grants(account))
        self._first_words.touch(mode=0o600)
        self._first_words.write_text(";\n".join(words) + ";\n")  # no comments: mysqld reads line by line

    def _ready(self) -> bool:
        try:
            with self.admin():
                return True
        except pymysql.MySQLError:
            return False


def _unverified() -> ssl.SSLContext:
    """One for all connections: PyMySQL's own loads the machine's authorities each time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_UNVERIFIED = _unverified()


def _connect(**options: Any) -> "Connection[DictCursor]":
    settings: dict[str, Any] = {"autocommit": True, "charset": "utf8mb4", "connect_timeout": 10}
    return pymysql.connect(cursorclass=DictCursor, **(settings | options))


def _template(program: MySQLProgram) -> Path:
    """An initialised data directory of this version, made once (three seconds) and copied from then on."""

    def initialise(folder: Path) -> None:
        argv = program.argv("--initialize-insecure", f"--datadir={folder / 'data'}", *_INITIAL)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise ProcessFailedError(f"mysqld --initialize-insecure failed:\n{done.stderr[-2000:]}")
        (folder / "data" / "auto.cnf").unlink(missing_ok=True)  # holds the server's UUID: each copy makes its own

    return cached(f"mysql-data-{program.version}-2-{machine()}", initialise) / "data"


def _copy(source: Path, target: Path) -> None:
    # cp knows reflinks and holes, which make the copy nearly free where the file system has them.
    copier = shutil.which("cp")
    assert copier, "cp is not on PATH"
    subprocess.run([copier, "-R", str(source), str(target)], check=True, stdin=subprocess.DEVNULL)


@dataclass(frozen=True)
class Schema:
    """One schema on one server, for a test of its own."""

    name: str
    server: MySQLServer

    def run(self, statement: str, *args: object) -> list[Row]:
        """One statement in the schema as the administrator; answers its rows."""
        return self.server.run(statement, args, schema=self.name)


@dataclass(frozen=True)
class Shard:
    """One shard of a cluster: writes go to `primary`; gh-ost reads through `replica` where there is one."""

    name: str
    primary: MySQLServer
    replica: MySQLServer | None = None


@dataclass(frozen=True)
class Cluster:
    """The servers that hold one environment's schemas."""

    name: str
    environment: str
    shards: tuple[Shard, ...]


@dataclass
class Topology:
    """The sample installation: a staging primary, a production cluster of two shards, and the workspace server."""

    staging: MySQLServer
    production_a: MySQLServer
    production_a_replica: MySQLServer
    production_b: MySQLServer
    workspace: MySQLServer
    passwords: dict[str, str] = field(repr=False)

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        return (
            Cluster("staging", "staging", (Shard("main", self.staging),)),
            Cluster(
                "production",
                "production",
                (Shard("a", self.production_a, self.production_a_replica), Shard("b", self.production_b)),
            ),
        )

    @property
    def primaries(self) -> tuple[MySQLServer, ...]:
        return (self.staging, self.production_a, self.production_b)

    @property
    def servers(self) -> tuple[MySQLServer, ...]:
        return (*self.primaries, self.production_a_replica, self.workspace)

    def start(self, schemas: Sequence[str] = SAMPLE_SCHEMAS) -> "Topology":
        """All five servers side by side, replication running, `schemas` created (empty) on the primaries."""
        _template(self.staging.program)
        try:
            with ThreadPoolExecutor(len(self.servers)) as lanes:
                list(lanes.map(MySQLServer.start, self.servers))
            replicate(self.production_a, self.production_a_replica)
            for primary in self.primaries:
                for schema in schemas:
                    primary.create_schema(schema)
            wait_for_replica(self.production_a, self.production_a_replica)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        with ThreadPoolExecutor(len(self.servers)) as lanes:
            list(lanes.map(MySQLServer.stop, self.servers))

    def kill(self) -> None:
        """Stop without tidying up: right where the folder goes with the servers."""
        for server in self.servers:
            server.kill()

    def write_inventory(self, path: Path) -> Path:
        """The TOML inventory that skeebot's discovery reads."""
        path.write_text(inventory(self.clusters, self.workspace))
        return path


def new_topology(program: MySQLProgram, folder: Path) -> Topology:
    """The sample installation in `folder`, not yet started."""
    cluster_accounts = (*CLUSTER_ACCOUNTS, REPLICATION, APPLICATION)
    passwords = new_passwords((*cluster_accounts, *WORKSPACE_ACCOUNTS))

    def server(name: str, *options: str) -> MySQLServer:
        return MySQLServer(program, folder, name, accounts=cluster_accounts, passwords=passwords, options=options)

    return Topology(
        staging=server("staging"),
        production_a=server("production-a"),
        production_a_replica=server("production-a-replica"),
        production_b=server("production-b"),
        workspace=new_workspace(program, folder, passwords=passwords),
        passwords=passwords,
    )


def new_workspace(program: MySQLProgram, folder: Path, *, passwords: Mapping[str, str] | None = None) -> MySQLServer:
    """A disposable server for diffs: no data, no binary log, one account that can touch scratch schemas only."""
    return MySQLServer(program, folder, "workspace", accounts=WORKSPACE_ACCOUNTS, passwords=passwords, binary_log=False)


def replicate(primary: MySQLServer, replica: MySQLServer) -> None:
    """Make `replica` follow `primary` by GTID, and read-only to everybody else."""
    with replica.admin() as connection, connection.cursor() as cursor:
        cursor.execute(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = %s, SOURCE_PASSWORD = %s,"
            " SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1, SOURCE_CONNECT_RETRY = 1, SOURCE_HEARTBEAT_PERIOD = 2",
            (primary.host, primary.port, REPLICATION.user, primary.passwords[REPLICATION.user]),
        )
        cursor.execute("START REPLICA")
        cursor.execute("SET GLOBAL super_read_only = ON")
    replica.read_only = True


def wait_for_replica(primary: MySQLServer, replica: MySQLServer, *, seconds: float = 30.0) -> None:
    """Until the replica has applied all that the primary has now. Raises ProcessFailedError with its last error."""
    executed = primary.run("SELECT @@global.gtid_executed AS gtids")[0]["gtids"]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        waited = replica.run("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 1) AS late", (executed,))[0]["late"]
        if waited == 0:
            return
    status = replica.run("SHOW REPLICA STATUS")[0]
    errors = " ".join(str(status[name]) for name in ("Last_IO_Error", "Last_SQL_Error") if status[name])
    raise ProcessFailedError(f"{replica!r} did not catch up with {primary!r} within {seconds:.0f} s. {errors}")


def inventory(clusters: Iterable[Cluster], workspace: MySQLServer) -> str:
    """The inventory's TOML text: clusters with their shards, and the workspace."""
    return "\n".join([*_inventory_lines(clusters), "[workspace]", *_address("", workspace), ""])


def _inventory_lines(clusters: Iterable[Cluster]) -> Iterator[str]:
    for cluster in clusters:
        yield from ("[[cluster]]", f'name = "{cluster.name}"', f'environment = "{cluster.environment}"', 'state = "active"')
        for shard in cluster.shards:
            yield from ("[[cluster.shard]]", f'name = "{shard.name}"', *_address("rw_", shard.primary))
            if shard.replica is not None:
                yield from _address("ro_", shard.replica)
        yield ""


def _address(prefix: str, server: MySQLServer) -> Iterator[str]:
    yield f'{prefix}host = "{server.host}"'
    yield f"{prefix}port = {server.port}"


@contextmanager
def running(server: MySQLServer) -> Iterator[MySQLServer]:
    """The server for the length of a `with` block."""
    try:
        yield server.start()
    finally:
        server.stop()
