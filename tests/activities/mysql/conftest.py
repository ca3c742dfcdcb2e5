"""Settings for the lone server."""

from pathlib import Path

import pytest

from activities.mysql.discovery import Discovery
from activities.settings import MySQLSettings
from embedded.mysql import MySQLServer
from tests.activities.mysql.house import lone_inventory, settings_for


@pytest.fixture
def lone_settings(mysql_server: MySQLServer, tmp_path: Path) -> MySQLSettings:
    """The lone server as cluster "lone", shard "main"."""
    return settings_for(mysql_server.passwords, lone_inventory(mysql_server, tmp_path))


@pytest.fixture
def lone_discovery(lone_settings: MySQLSettings) -> Discovery:
    return Discovery(lone_settings)
