"""The whole stack together, and the settings skeebot gets for it."""

import stat
import tomllib
from pathlib import Path

import pytest

from activities.settings import load_settings
from embedded.mysql import Topology
from embedded.settings_file import GitHubApp, write_settings
from embedded.stack import Stack
from embedded.tools import Tools

APP = GitHubApp(
    api_url="http://127.0.0.1:1/api",
    html_url="http://127.0.0.1:1",
    app_id=7,
    private_key='-----BEGIN PRIVATE KEY-----\n"quoted" \\ and odd\n-----END PRIVATE KEY-----\n',
    webhook_secret="the webhook's secret",
)


async def test_chosen_parts_start_together_and_leave_nothing_behind() -> None:
    async with Stack(mysql=False) as stack:
        folder = stack.folder
        client = await stack.temporal.client()
        assert await client.service_client.check_health()
        with pytest.raises(RuntimeError, match="MySQL was not started"):
            _ = stack.mysql
    assert not folder.exists()


def test_skeebot_reads_the_settings_written_for_the_stack(
    mysql_topology: Topology, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_settings(
        tmp_path / "etc",
        github=APP,
        topology=mysql_topology,
        tools=tools,
        temporal_address="127.0.0.1:7233",
        webhook_port=8099,
        overrides={"runner": {"chunk_size": 500}, "names": {"check": "SchemaBot (test)"}},
    )
    monkeypatch.setenv("SKEEBOT_SETTINGS", str(path))
    settings = load_settings()
    assert APP.api_url == settings.github.api_url
    assert APP.private_key == settings.github.private_key_file.read_text()
    assert 500 == settings.runner.chunk_size
    assert "SchemaBot (test)" == settings.names.check
    assert str(tools.gh_ost) == settings.runner.gh_ost
    for name in ("read", "direct", "ghost", "verify", "fence", "workspace"):
        account = getattr(settings.mysql, name)
        assert mysql_topology.passwords[account.user] == account.secret()


def test_every_secret_is_readable_by_its_owner_alone_and_none_is_in_the_settings(
    mysql_topology: Topology, tools: Tools, tmp_path: Path
) -> None:
    path = write_settings(tmp_path / "etc", github=APP, topology=mysql_topology, tools=tools, temporal_address="x:1")
    files = list((tmp_path / "etc" / "secrets").iterdir())
    assert 8 == len(files)
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in files}
    text = path.read_text() + (tmp_path / "etc" / "inventory.toml").read_text()
    for secret in (*mysql_topology.passwords.values(), APP.webhook_secret, "PRIVATE KEY"):
        assert secret not in text
    assert str(tmp_path / "etc" / "inventory.toml") == tomllib.loads(path.read_text())["mysql"]["inventory"]
    assert 0o700 == stat.S_IMODE((tmp_path / "etc" / "runs").stat().st_mode)
