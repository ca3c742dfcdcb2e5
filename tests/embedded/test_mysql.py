"""The MySQL servers of the embedded stack."""

import time
import tomllib
from pathlib import Path

import pymysql
import pytest

from embedded.mysql import MySQLServer, Schema, Topology, running, wait_for_replica
from embedded.tools import mysqld


def test_a_server_comes_back_on_its_port_with_its_rows_after_a_crash(stack_folder: Path) -> None:
    with running(MySQLServer(mysqld(), stack_folder, "crash")) as server:
        server.create_schema("kept")
        server.run("CREATE TABLE t (id INT PRIMARY KEY)", schema="kept")
        server.run("INSERT INTO t VALUES (1), (2)", schema="kept")
        before = (server.port, server.uuid)
        server.kill()
        server.start()
        assert before == (server.port, server.uuid)
        assert [{"n": 2}] == server.run("SELECT COUNT(*) AS n FROM t", schema="kept")


def test_the_administrator_comes_through_the_socket_only(mysql_server: MySQLServer) -> None:
    with pytest.raises(pymysql.OperationalError):
        pymysql.connect(host=mysql_server.host, port=mysql_server.port, user="root", password=mysql_server._root_password)


def test_nothing_listens_beyond_the_loopback_address(mysql_server: MySQLServer) -> None:
    assert [{"bound": "127.0.0.1"}] == mysql_server.run("SELECT @@bind_address AS bound")
    x_protocol = "SELECT PLUGIN_STATUS AS x FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'mysqlx'"
    assert [{"x": "DISABLED"}] == mysql_server.run(x_protocol)


def test_the_settings_are_those_that_gh_ost_needs(mysql_server: MySQLServer) -> None:
    row = mysql_server.run(
        "SELECT @@log_bin AS log_bin, @@binlog_format AS format, @@binlog_row_image AS image, @@gtid_mode AS gtid,"
        " @@log_replica_updates AS updates, @@explain_format AS explained, @@performance_schema AS ps"
    )[0]
    expected = {"log_bin": 1, "format": "ROW", "image": "FULL", "gtid": "ON", "updates": 1, "explained": "TRADITIONAL", "ps": 1}
    assert expected == row
    instrument = mysql_server.run("SELECT ENABLED FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl'")
    assert [{"ENABLED": "YES"}] == instrument


def test_a_fresh_schema_can_be_used_and_is_empty(fresh_schema: Schema) -> None:
    fresh_schema.run("CREATE TABLE t (id INT PRIMARY KEY)")
    with fresh_schema.server.connect("skeebot_read", database=fresh_schema.name) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        assert 1 == len(cursor.fetchall())


def test_every_server_has_its_own_identity(mysql_topology: Topology) -> None:
    servers = mysql_topology.servers
    assert len(servers) == len({server.uuid for server in servers})
    assert len(servers) == len({server.server_id for server in servers})
    assert len(servers) == len({server.port for server in servers})


def test_the_replica_follows_its_primary_and_takes_no_writes_even_after_a_restart(mysql_topology: Topology) -> None:
    primary, replica = mysql_topology.production_a, mysql_topology.production_a_replica
    primary.create_schema("followed")
    primary.run("CREATE TABLE t (id INT PRIMARY KEY)", schema="followed")
    wait_for_replica(primary, replica)
    replica.stop()
    primary.run("INSERT INTO t VALUES (1)", schema="followed")
    replica.start()
    wait_for_replica(primary, replica)
    assert [{"id": 1}] == replica.run("SELECT id FROM t", schema="followed")
    with pytest.raises(pymysql.MySQLError, match="super-read-only"):
        replica.run("INSERT INTO t VALUES (2)", schema="followed")
    primary.drop_schema("followed")


def test_the_primaries_are_independent_of_each_other(mysql_topology: Topology) -> None:
    mysql_topology.production_b.run("CREATE TABLE only_b (id INT PRIMARY KEY)", schema="shop_orders")
    wait_for_replica(mysql_topology.production_a, mysql_topology.production_a_replica)
    for other in (mysql_topology.staging, mysql_topology.production_a, mysql_topology.production_a_replica):
        assert [] == other.run("SHOW TABLES LIKE 'only_b'", schema="shop_orders")
    mysql_topology.production_b.run("DROP TABLE only_b", schema="shop_orders")


def test_the_inventory_names_every_server_with_its_role(mysql_topology: Topology, tmp_path: Path) -> None:
    topology = mysql_topology
    found = tomllib.loads(topology.write_inventory(tmp_path / "inventory.toml").read_text())
    staging, production = found["cluster"]
    assert ("staging", "staging", "active") == (staging["name"], staging["environment"], staging["state"])
    assert [{"name": "main", "rw_host": "127.0.0.1", "rw_port": topology.staging.port}] == staging["shard"]
    first, second = production["shard"]
    assert {
        "name": "a",
        "rw_host": "127.0.0.1",
        "rw_port": topology.production_a.port,
        "ro_host": "127.0.0.1",
        "ro_port": topology.production_a_replica.port,
    } == first
    assert {"name": "b", "rw_host": "127.0.0.1", "rw_port": topology.production_b.port} == second
    assert {"host": "127.0.0.1", "port": topology.workspace.port} == found["workspace"]


def test_a_server_starts_quickly_once_the_template_is_cached(mysql_server: MySQLServer, stack_folder: Path) -> None:
    began = time.monotonic()
    with running(MySQLServer(mysql_server.program, stack_folder, "quick")):
        took = time.monotonic() - began
    assert took < 15  # two seconds on an idle machine
