"""What the inventory says, and what the servers say to that."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from activities.errors import NeedsHuman, TryAgain
from activities.mysql.connect import Address
from activities.mysql.discovery import Discovery, Shard
from activities.settings import MySQLSettings
from embedded.mysql import MySQLServer, Topology, wait_for_replica
from embedded.processes import free_port
from tests.activities.mysql.house import eventually, settings_for

INVENTORY = """
[[cluster]]
name = "production"
environment = "production"
[[cluster.shard]]
name = "a"
rw_host = "db-a"
ro_host = "db-a-ro"
ro_port = 3307
[[cluster.shard]]
name = "b"
rw_host = "db-b"
rw_port = 3308
[[cluster]]
name = "staging"
environment = "staging"
[[cluster.shard]]
name = "main"
rw_host = "db-s"
[workspace]
host = "scratch"
port = 3309
"""


def discovery_of(text: str, folder: Path) -> Discovery:
    file = folder / "inventory.toml"
    file.write_text(text)
    return Discovery(settings_for({}, file))


async def test_the_toml_inventory_names_shards_and_the_workspace(tmp_path: Path) -> None:
    discovery = discovery_of(INVENTORY, tmp_path)

    cluster = await discovery.cluster("production")

    assert (Shard("a", Address("db-a"), Address("db-a-ro", 3307)), Shard("b", Address("db-b", 3308))) == cluster.shards
    assert Address("scratch", 3309) == await discovery.workspace()
    assert ("production", "staging") == await discovery.known()


async def test_an_unknown_cluster_needs_a_person_who_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NeedsHuman, match="'elsewhere'; it knows production, staging"):
        await discovery_of(INVENTORY, tmp_path).cluster("elsewhere")


async def test_an_unknown_shard_needs_a_person_who_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NeedsHuman, match="it has a, b"):
        await discovery_of(INVENTORY, tmp_path).shard("production", "c")


@pytest.mark.parametrize(
    "text",
    [
        "[[cluster]",
        '[[cluster]]\nname = "x"',
        INVENTORY + INVENTORY,
        INVENTORY.replace('name = "b"', 'name = "a"'),
        INVENTORY + "colour = 1",
    ],
)
async def test_an_unusable_inventory_needs_a_person(text: str, tmp_path: Path) -> None:
    with pytest.raises(NeedsHuman):
        await discovery_of(text, tmp_path).cluster("production")


async def test_a_missing_inventory_needs_a_person_who_is_told_its_name(tmp_path: Path) -> None:
    with pytest.raises(NeedsHuman, match=r"nowhere\.toml"):
        await Discovery(settings_for({}, tmp_path / "nowhere.toml")).cluster("production")


# ── HTTP ──


@contextmanager
def http_inventory(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/inventory"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def http_discovery(url: str) -> Discovery:
    return Discovery(settings_for({}, Path("unused"), inventory=None, inventory_url=url))


async def test_the_http_inventory_names_shards(tmp_path: Path) -> None:
    body = {
        "name": "production",
        "environment": "production",
        "state": "active",
        "shards": [
            {"name": "a", "rw_name": "db-a", "ro_name": "db-a-ro:3310", "port": 3307},
            {"name": "b", "rw_name": "db-b", "ro_name": "db-b"},
        ],
        "owner": "somebody",
    }
    with http_inventory({"/inventory/cluster/production": (200, body)}) as url:
        cluster = await http_discovery(url).cluster("production")

    assert (Shard("a", Address("db-a", 3307), Address("db-a-ro", 3310)), Shard("b", Address("db-b"))) == cluster.shards


async def test_an_http_cluster_without_shards_is_one_shard() -> None:
    body = {"name": "small", "rw_name": "db", "ro_name": "db-ro", "port": 3307, "state": "active"}
    with http_inventory({"/inventory/cluster/small": (200, body)}) as url:
        cluster = await http_discovery(url).cluster("small")

    assert (Shard("main", Address("db", 3307), Address("db-ro", 3307)),) == cluster.shards


async def test_the_http_inventorys_refusals_are_sorted() -> None:
    answers = {
        "/inventory/cluster/ill": (503, {}),
        "/inventory/cluster/odd": (200, {"name": "another"}),
        "/inventory/cluster/shut": (403, {}),
    }
    with http_inventory(answers) as url:
        discovery = http_discovery(url)
        with pytest.raises(NeedsHuman, match="knows no cluster"):
            await discovery.cluster("elsewhere")
        with pytest.raises(TryAgain, match="503"):
            await discovery.cluster("ill")
        with pytest.raises(NeedsHuman, match="another"):
            await discovery.cluster("odd")
        with pytest.raises(NeedsHuman, match="403"):
            await discovery.cluster("shut")
    with pytest.raises(TryAgain, match="inventory_url"):
        await http_discovery(f"http://127.0.0.1:{free_port()}").cluster("production")


# ── On the servers ──


@pytest.fixture
def topology_settings(mysql_topology: Topology, tmp_path: Path) -> MySQLSettings:
    return settings_for(mysql_topology.passwords, mysql_topology.write_inventory(tmp_path / "inventory.toml"))


async def test_a_shard_with_a_replica_is_verified_on_both(mysql_topology: Topology, topology_settings: MySQLSettings) -> None:
    wait_for_replica(mysql_topology.production_a, mysql_topology.production_a_replica)

    found = await Discovery(topology_settings).verified("production", "a")

    assert mysql_topology.production_a.uuid == found.primary.server_uuid
    assert f"127.0.0.1:{mysql_topology.production_a.port}" == found.primary.address
    assert found.replica is not None
    assert mysql_topology.production_a.uuid == found.replica.source_uuid
    assert mysql_topology.production_a_replica.uuid == found.replica.server_uuid


def swapped(settings: MySQLSettings, folder: Path, one: MySQLServer, other: MySQLServer) -> MySQLSettings:
    assert settings.inventory is not None
    file = folder / "swapped.toml"
    text = settings.inventory.read_text()
    file.write_text(
        text.replace(f"port = {one.port}", "port = 0")
        .replace(f"port = {other.port}", f"port = {one.port}")
        .replace("port = 0", f"port = {other.port}")
    )
    return settings.model_copy(update={"inventory": file})


async def test_a_replica_is_not_taken_for_a_primary(mysql_topology: Topology, topology_settings: MySQLSettings, tmp_path: Path) -> None:
    turned = swapped(topology_settings, tmp_path, mysql_topology.production_a, mysql_topology.production_a_replica)

    with pytest.raises(TryAgain, match="read-only"):
        await Discovery(turned).verified("production", "a")


async def test_a_replica_of_another_primary_is_refused(mysql_topology: Topology, topology_settings: MySQLSettings, tmp_path: Path) -> None:
    crossed = swapped(topology_settings, tmp_path, mysql_topology.production_a, mysql_topology.production_b)

    with pytest.raises(NeedsHuman, match="replicates from server"):
        await Discovery(crossed).verified("production", "a")


async def test_a_server_that_replicates_from_nowhere_is_no_replica(
    mysql_topology: Topology, topology_settings: MySQLSettings, tmp_path: Path
) -> None:
    crossed = swapped(topology_settings, tmp_path, mysql_topology.production_a_replica, mysql_topology.staging)

    with pytest.raises(NeedsHuman, match="does not replicate from anywhere"):
        await Discovery(crossed).verified("production", "a")


async def test_a_stopped_replica_is_waited_for(mysql_topology: Topology, topology_settings: MySQLSettings) -> None:
    replica = mysql_topology.production_a_replica
    replica.run("STOP REPLICA SQL_THREAD")
    try:
        with pytest.raises(TryAgain, match="has stopped"):
            await Discovery(topology_settings).verified("production", "a")
    finally:
        replica.run("START REPLICA SQL_THREAD")

    async def verified() -> bool:
        try:
            await Discovery(topology_settings).verified("production", "a")
        except TryAgain:
            return False
        return True

    assert await eventually(verified)


async def test_a_cluster_that_is_not_active_is_left_alone(
    mysql_topology: Topology, topology_settings: MySQLSettings, tmp_path: Path
) -> None:
    assert topology_settings.inventory is not None
    file = tmp_path / "retired.toml"
    file.write_text(topology_settings.inventory.read_text().replace('"active"', '"retired"'))

    with pytest.raises(NeedsHuman, match="'retired'"):
        await Discovery(topology_settings.model_copy(update={"inventory": file})).verified("staging", "main")
