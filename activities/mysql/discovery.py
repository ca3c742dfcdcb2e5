"""Which servers hold a cluster: what the inventory says, and what the servers themselves say to that.

Two inventories, one shape. TOML (`mysql.inventory`):

    [[cluster]]
    name = "production"
    environment = "production"
    state = "active"
    [[cluster.shard]]
    name = "a"
    rw_host = "db-a.example"
    rw_port = 3306
    ro_host = "db-a-ro.example"
    ro_port = 3306
    [workspace]
    host = "scratch.example"
    port = 3306

HTTP (`mysql.inventory_url`): GET {inventory_url}/cluster/{name} answers one JSON object: name, environment, state, and either
shards (a list with name, rw_name, ro_name, port) or rw_name, ro_name and port of its only shard, which then is called "main".
A name may carry its own port ("db-a.example:3307"). The workspace stays in the TOML file.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.errors import NeedsHuman, TryAgain
from activities.mysql.connect import Address, Connection, mysql_errors, open_connection
from activities.settings import MySQLSettings
from workflows.messages import PrimaryIdentity

ACTIVE: Final = "active"
ONLY_SHARD: Final = "main"


@dataclass(frozen=True)
class Shard:
    """One topology: where writes go, and the replica that gh-ost reads from, where there is one."""

    name: str
    primary: Address
    replica: Address | None = None


@dataclass(frozen=True)
class Cluster:
    name: str
    environment: str
    shards: tuple[Shard, ...]
    state: str = ACTIVE


@dataclass(frozen=True)
class ReplicaState:
    """What a replica says of itself. problem: "" or what its threads complain of. lag_seconds: None when it does not know."""

    server_uuid: str
    source_uuid: str
    running: bool
    lag_seconds: float | None
    problem: str = ""


@dataclass(frozen=True)
class VerifiedShard:
    """A shard whose servers were asked just now."""

    cluster: Cluster
    shard: Shard
    primary: PrimaryIdentity
    version: str
    replica: ReplicaState | None = None


class Discovery:
    """Reads the inventory afresh for each question, so that a failover written there is seen at once."""

    def __init__(self, settings: MySQLSettings) -> None:
        self._settings = settings

    async def cluster(self, name: str) -> Cluster:
        """Errors: NeedsHuman when the inventory does not know it or says something unusable; TryAgain when it cannot be asked."""
        if self._settings.inventory_url is not None:
            return await _ask_http(self._settings.inventory_url, name)
        known = _read_toml(_inventory_file(self._settings)).cluster
        for one in known:
            if one.name == name:
                return _cluster(one)
        raise NeedsHuman(
            f"The inventory {self._settings.inventory} has no cluster {name!r}; it knows {_listed(one.name for one in known)}."
            " Add it there, or correct the cluster's name in the enrolment (repo-map)."
        )

    async def shard(self, cluster: str, shard: str) -> Shard:
        """Errors: as of cluster."""
        return _shard_of(await self.cluster(cluster), shard)

    async def known(self) -> tuple[str, ...]:
        """Names of the clusters; empty where the inventory is asked by HTTP, for that has no listing."""
        if self._settings.inventory_url is not None or self._settings.inventory is None:
            return ()
        return tuple(one.name for one in _read_toml(self._settings.inventory).cluster)

    async def workspace(self) -> Address:
        """The scratch server for diffs. Errors: NeedsHuman when the inventory names none."""
        file = _inventory_file(self._settings)
        found = _read_toml(file).workspace
        if found is None:
            raise NeedsHuman(f"The inventory {file} names no workspace server: add [workspace] with host and port of a scratch MySQL.")
        return Address(found.host, found.port)

    async def verified(self, cluster: str, shard: str) -> VerifiedShard:
        """The shard, after its primary said that it takes writes and its replica that it replicates from that primary.

        Errors: NeedsHuman when the servers contradict the inventory; TryAgain when one is away or the replica has stopped.
        """
        asked = await self.cluster(cluster)
        if asked.state != ACTIVE:
            raise NeedsHuman(f"Cluster {cluster} is {asked.state!r} in the inventory, so nothing runs on it. Set it to {ACTIVE!r} first.")
        seen = await self._primary_of(asked, shard)
        if seen.shard.replica is None:
            return seen
        return replace(seen, replica=await self._verified_replica(seen.shard.replica, seen.primary, f"{cluster}/{shard}"))

    async def verified_primary(self, cluster: str, shard: str) -> VerifiedShard:
        """The shard, after its primary said that it takes writes; the replica is not asked. Errors: as of verified."""
        return await self._primary_of(await self.cluster(cluster), shard)

    async def _primary_of(self, cluster: Cluster, shard: str) -> VerifiedShard:
        found = _shard_of(cluster, shard)
        where = f"{cluster.name}/{shard}"
        async with await open_connection(found.primary, self._settings.read, self._settings) as connection:
            with mysql_errors(found.primary, f"asking whether it is the primary of {where}"):
                primary, version = await identify_primary(connection, where)
        return VerifiedShard(cluster=cluster, shard=found, primary=primary, version=version)

    async def _verified_replica(self, address: Address, primary: PrimaryIdentity, where: str) -> ReplicaState:
        async with await open_connection(address, self._settings.read, self._settings) as connection:
            with mysql_errors(address, f"asking whether it is a replica of {where}"):
                state = await replica_state(connection)
        if state is None:
            raise NeedsHuman(
                f"{address} is the replica of {where} in the inventory, but it does not replicate from anywhere."
                " Correct the inventory (ro_host), or start replication there."
            )
        if state.source_uuid != primary.server_uuid:
            raise NeedsHuman(
                f"{address} is the replica of {where} in the inventory, but it replicates from server {state.source_uuid or '(none yet)'},"
                f" not from the primary {primary.address} ({primary.server_uuid}). Correct the inventory or the replication."
            )
        if not state.running:
            raise TryAgain(f"Replica {address} of {where} has stopped: {state.problem or 'no error is shown'}. Start it again there.")
        return state


async def identify_primary(connection: Connection, where: str) -> tuple[PrimaryIdentity, str]:
    """The server at the other end and its version, if it takes writes. Errors: TryAgain when it is read-only."""
    row = await connection.row("SELECT @@server_uuid, @@version, @@global.read_only, @@global.super_read_only")
    assert row is not None  # noqa: S101 - a SELECT without a table has one row
    uuid, version, read_only, super_read_only = row
    if read_only or super_read_only:
        raise TryAgain(
            f"{connection.address} is the primary of {where} in the inventory, but it is read-only. If a failover is under way, wait for"
            " it; else correct rw_host in the inventory."
        )
    return PrimaryIdentity(address=str(connection.address), server_uuid=str(uuid)), str(version)


async def replica_state(connection: Connection) -> ReplicaState | None:
    """None where the server replicates from nowhere. With several channels: the first that is not group replication's own."""
    own = str(await connection.value("SELECT @@server_uuid"))
    channels = [one for one in await connection.records("SHOW REPLICA STATUS") if not str(one["channel_name"]).startswith("group_")]
    if not channels:
        return None
    channel = channels[0]
    running = channel["replica_io_running"] == "Yes" and channel["replica_sql_running"] == "Yes"
    lag = channel["seconds_behind_source"]
    problem = " ".join(str(channel[name]) for name in ("last_io_error", "last_sql_error") if channel[name])
    return ReplicaState(
        server_uuid=own,
        source_uuid=str(channel["source_uuid"] or ""),
        running=running,
        lag_seconds=None if lag is None else float(lag),
        problem=problem,
    )


# ── The inventories' own words ──────────────────────────────────────────────────────────────────────────────────────


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TomlShard(_Said):
    name: str = Field(min_length=1)
    rw_host: str = Field(min_length=1)
    rw_port: int = 3306
    ro_host: str | None = None
    ro_port: int = 3306


class _TomlCluster(_Said):
    name: str = Field(min_length=1)
    environment: str
    state: str = ACTIVE
    shard: tuple[_TomlShard, ...] = Field(min_length=1)


class _TomlWorkspace(_Said):
    host: str
    port: int = 3306


class _TomlInventory(_Said):
    cluster: tuple[_TomlCluster, ...] = ()
    workspace: _TomlWorkspace | None = None


class _HttpShard(BaseModel):
    """Other people's service: what we do not use may be there."""

    name: str = ONLY_SHARD
    rw_name: str = Field(min_length=1)
    ro_name: str | None = None
    port: int = 3306


class _HttpCluster(BaseModel):
    name: str
    environment: str = ""
    state: str = ACTIVE
    rw_name: str | None = None
    ro_name: str | None = None
    port: int = 3306
    shards: tuple[_HttpShard, ...] = ()


def _inventory_file(settings: MySQLSettings) -> Path:
    if settings.inventory is None:
        raise NeedsHuman(
            "The settings name no inventory of MySQL clusters: set mysql.inventory (a TOML file), see activities/mysql/discovery.py."
        )
    return settings.inventory


def _read_toml(file: Path) -> _TomlInventory:
    try:
        said = _TomlInventory.model_validate(tomllib.loads(file.read_text()))
    except OSError as wrong:
        raise NeedsHuman(f"Cannot read the inventory {file}: {wrong.strerror}. Correct mysql.inventory in the settings.") from wrong
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise NeedsHuman(f"The inventory {file} is not TOML: {wrong}. Correct it.") from wrong
    except ValidationError as wrong:
        raise NeedsHuman(f"The inventory {file} is not complete:\n{_each(wrong)}") from wrong
    names = [one.name for one in said.cluster]
    if len(names) != len(set(names)):
        raise NeedsHuman(f"The inventory {file} has two clusters of one name ({_listed(names)}). Names must differ.")
    return said


def _cluster(said: _TomlCluster) -> Cluster:
    shards = tuple(
        Shard(
            name=one.name,
            primary=Address(one.rw_host, one.rw_port),
            replica=Address(one.ro_host, one.ro_port) if one.ro_host else None,
        )
        for one in said.shard
    )
    return Cluster(name=said.name, environment=said.environment, shards=_distinct(said.name, shards), state=said.state)


async def _ask_http(url: str, name: str) -> Cluster:
    where = f"{url.rstrip('/')}/cluster/{quote(name, safe='')}"
    try:
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(where)
    except httpx.HTTPError as wrong:
        raise TryAgain(f"The inventory at {where} cannot be asked: {wrong!r}. Is it up, and is mysql.inventory_url right?") from wrong
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NeedsHuman(
            f"The inventory at {url} knows no cluster {name!r}. Add it there, or correct its name in the enrolment (repo-map)."
        )
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
        raise TryAgain(f"The inventory at {where} answered {answer.status_code}. It will be asked again.")
    if not answer.is_success:
        raise NeedsHuman(f"The inventory at {where} answered {answer.status_code}. Look at that service and at mysql.inventory_url.")
    try:
        said = _HttpCluster.model_validate_json(answer.content)
    except ValidationError as wrong:
        raise NeedsHuman(f"The inventory at {where} answered something that is not a cluster:\n{_each(wrong)}") from wrong
    return _http_cluster(said, name, where)


def _http_cluster(said: _HttpCluster, name: str, where: str) -> Cluster:
    shards: tuple[_HttpShard, ...] = said.shards
    if not shards and said.rw_name:
        shards = (_HttpShard(rw_name=said.rw_name, ro_name=said.ro_name, port=said.port),)
    if said.name != name or not shards:
        raise NeedsHuman(
            f"The inventory at {where} answered about {said.name!r} with {len(shards)} shards; {name!r} with at least one is needed."
        )
    return Cluster(
        name=said.name,
        environment=said.environment,
        state=said.state,
        shards=_distinct(
            said.name,
            tuple(
                Shard(
                    name=one.name,
                    primary=_address(one.rw_name, one.port),
                    # Some inventories give the primary's own name where there is no replica.
                    replica=_address(one.ro_name, one.port) if one.ro_name and one.ro_name != one.rw_name else None,
                )
                for one in shards
            ),
        ),
    )


def _address(name: str, port: int) -> Address:
    host, colon, own_port = name.rpartition(":")
    if colon and own_port.isdigit() and ":" not in host:
        return Address(host, int(own_port))
    return Address(name, port)


def _distinct(cluster: str, shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
    names = [one.name for one in shards]
    if len(names) != len(set(names)):
        raise NeedsHuman(f"Cluster {cluster} has two shards of one name in the inventory ({_listed(names)}). Names must differ.")
    return shards


def _shard_of(cluster: Cluster, name: str) -> Shard:
    for one in cluster.shards:
        if one.name == name:
            return one
    raise NeedsHuman(
        f"Cluster {cluster.name} has no shard {name!r} in the inventory; it has {_listed(one.name for one in cluster.shards)}."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _each(wrong: ValidationError) -> str:
    return "\n".join(f"  {'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in wrong.errors())
