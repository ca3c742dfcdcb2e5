"""Tables compared with their writers' ledgers, each in a process of its own: comparing a row is all Python, and there are many.

Imports little, so that those processes start at once.
"""

import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import DictCursor

from embedded.grants import APPLICATION
from embedded.seed import Ledger, Reconciliation, Writer, reconcile

LANES = 2
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Account:
    """What another process needs to read the writer's table and to know what it must find there. Carries a password: never in argv."""

    ledger: Ledger
    schema: str
    table: str
    writes: Mapping[str, int]
    connection: Mapping[str, Any]

    @classmethod
    def of(cls, writer: Writer) -> "Account":
        """The writer has been stopped."""
        server, user = writer.server, APPLICATION.user
        connection = {"host": server.host, "port": server.port, "user": user, "password": server.passwords[user]}
        return cls(writer.settle(), writer.schema, writer.table, dict(writer.writes), connection)


def compared(writers: Iterable[Writer]) -> Iterator[Reconciliation]:
    """One for each writer, in order."""
    with ThreadPoolExecutor(LANES) as lanes:
        yield from lanes.map(_in_a_process, [Account.of(writer) for writer in writers])


def _in_a_process(account: Account) -> Reconciliation:
    done = subprocess.run(
        [sys.executable, "-c", "from demonstration.ledgers import serve; serve()"],
        input=pickle.dumps(account),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        cwd=Path(__file__).resolve().parents[1],  # where both packages are found
    )
    if done.returncode:
        raise RuntimeError(f"{account.schema}.{account.table} could not be compared with its ledger: {done.stderr.decode()[-2000:]}")
    report = pickle.loads(done.stdout)  # noqa: S301 - our own process wrote it
    assert isinstance(report, Reconciliation)
    return report


def _compare(account: Account) -> Reconciliation:
    with pymysql.connect(cursorclass=DictCursor, charset="utf8mb4", **account.connection) as connection:
        return reconcile(account.ledger, connection, schema=account.schema, table=account.table, writes=account.writes)


def serve() -> None:
    """The other process: an `Account` on standard input, its `Reconciliation` on standard output, both pickled."""
    sys.stdout.buffer.write(pickle.dumps(_compare(pickle.load(sys.stdin.buffer))))  # noqa: S301 - our own parent wrote it
