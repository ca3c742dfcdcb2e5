"""What every test of the MySQL adapters needs: settings for the embedded servers, an order, and a reading connection."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from activities.mysql.connect import Address, Connection, open_connection
from activities.settings import Account, MySQLSettings
from embedded.mysql import Cluster, MySQLServer, Schema, Shard, inventory
from workflows.messages import MigrationOrder, PrimaryIdentity
from workflows.rules.names import Fingerprint, Login, MigrationId, PlanDigest, Target
from workflows.rules.plan import ChangeKind, PlannedMigration, Strategy

T = TypeVar("T")


def settings_for(passwords: Mapping[str, str], inventory_file: Path, **changes: object) -> MySQLSettings:
    """Quick time-outs; the accounts of the embedded servers."""

    def account(job: str) -> Account:
        user = f"skeebot_{job}"
        return Account(user=user, password=SecretStr(passwords.get(user, "none")))

    values: dict[str, object] = {
        "inventory": inventory_file,
        "connect_timeout_seconds": 3,
        "lock_wait_seconds": 1,
        "long_transaction_seconds": 2,
        **{job: account(job) for job in ("read", "direct", "ghost", "verify", "fence", "workspace")},
    }
    return MySQLSettings.model_validate(values | changes)


def lone_inventory(server: MySQLServer, folder: Path) -> Path:
    """Cluster "lone" with one shard, "main"."""
    file = folder / "inventory.toml"
    file.write_text(inventory([Cluster("lone", "test", (Shard("main", server),))], server))
    return file


def address_of(server: MySQLServer) -> Address:
    return Address(server.host, server.port)


def identity_of(server: MySQLServer) -> PrimaryIdentity:
    return PrimaryIdentity(address=str(address_of(server)), server_uuid=server.uuid)


async def reading(server: MySQLServer, settings: MySQLSettings) -> Connection:
    return await open_connection(address_of(server), settings.read, settings)


def an_order(
    schema: Schema,
    table: str,
    statement: str,
    *,
    kind: ChangeKind = ChangeKind.ALTER_TABLE,
    strategy: Strategy = Strategy.GH_OST,
    fingerprint: str = "",
    expected: str = "",
    cluster: str = "lone",
    shard: str = "main",
) -> MigrationOrder:
    identity = hashlib.sha256(f"{schema.name}/{table}/{statement}".encode()).hexdigest()[:16]
    return MigrationOrder(
        migration_id=MigrationId(identity),
        requester="pull-request/acme/shop/1",
        migration=PlannedMigration(
            target=Target("test", "orders", cluster, shard, schema.name, table),
            kind=kind,
            statement=statement,
            strategy=strategy,
            why="a test",
            fingerprint=Fingerprint(fingerprint),
            expected=expected,
        ),
        digest=PlanDigest("0" * 64),
        approved_by=(Login("olga"), Login("dana")),
    )


async def eventually(what: Callable[[], Awaitable[T]], *, seconds: float = 15.0) -> T:
    """Poll until it answers something true; fails with its last answer."""
    deadline = time.monotonic() + seconds
    while not (found := await what()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(0.05)
    return found
