"""The settings file and the environment: what is taken, and what is said where something is wrong."""

from pathlib import Path

import pytest

from activities.errors import NeedsHuman
from activities.settings import load_door_settings, load_settings

ACCOUNTS = ("read", "direct", "ghost", "verify", "fence", "workspace")
MYSQL = "\n".join(f'{name} = {{ user = "skeebot_{name}", password_file = "/run/{name}" }}' for name in ACCOUNTS)
WHOLE = f"""
github = {{ app_id = 1, private_key_file = "/run/key", webhook_secret_file = "/run/secret" }}
diff = {{ cache_directory = "/var/clones" }}
runner = {{ run_directory = "/var/runs" }}
audit = {{ file = "/var/audit" }}
[mysql]
{MYSQL}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "skeebot.toml"
    file.write_text(WHOLE)
    monkeypatch.setenv("SKEEBOT_SETTINGS", str(file))
    return file


def test_a_whole_file_is_taken(file: Path) -> None:
    assert "skeebot_read" == load_settings().mysql.read.user


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEEBOT_TEMPORAL__ADDRESS", "temporal.example:7233")
    monkeypatch.setenv("SKEEBOT_MYSQL__READ__PASSWORD", "hunter2")
    settings = load_settings()
    assert "temporal.example:7233" == settings.temporal.address
    assert ("skeebot_read", "hunter2") == (settings.mysql.read.user, settings.mysql.read.secret())


@pytest.mark.parametrize(
    "spelled", ['{ user = "x", password = "hunter2" }', '{ user = "x", password = "hunter2", password_file = "/run/x" }']
)
def test_a_password_in_the_file_is_refused_and_not_repeated(file: Path, spelled: str) -> None:
    file.write_text(WHOLE.replace('{ user = "skeebot_read", password_file = "/run/read" }', spelled))
    with pytest.raises(NeedsHuman, match=r"holds the password of mysql\.read.*SKEEBOT_MYSQL__READ__PASSWORD") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_slip_in_the_file_is_named_with_its_line(file: Path) -> None:
    file.write_text(WHOLE.replace('"/var/clones" }', '"/var/clones"'))
    with pytest.raises(NeedsHuman, match=r"skeebot\.toml is not TOML: .*line \d+"):
        load_settings()


def test_a_file_in_another_encoding_is_named(file: Path) -> None:
    file.write_bytes('audit = { file = "/var/prüfung" }'.encode("latin-1"))
    with pytest.raises(NeedsHuman, match="not in UTF-8"):
        load_settings()


def test_a_file_that_is_not_there_is_named_first(file: Path) -> None:
    file.unlink()
    with pytest.raises(NeedsHuman, match=r"NeedsHuman: There is no .*skeebot\.toml: set SKEEBOT_SETTINGS"):
        load_settings()


def test_every_wrong_and_missing_value_is_named_at_once(file: Path) -> None:
    file.write_text(WHOLE.replace("app_id = 1", 'app_id = "one"').replace('audit = { file = "/var/audit" }', ""))
    with pytest.raises(NeedsHuman) as caught:
        load_settings()
    assert all(f"\n  {where}: " in str(caught.value) for where in ("github.app_id", "audit"))
    assert "There is no" not in str(caught.value)


def test_a_variable_that_cannot_be_read_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEEBOT_NAMES", "{check")
    with pytest.raises(NeedsHuman, match=r"A SKEEBOT_… variable cannot be read: .*names"):
        load_settings()


def test_a_door_needs_no_database(file: Path) -> None:
    file.write_text(WHOLE.partition("diff =")[0])
    assert 1 == load_door_settings().github.app_id
    with pytest.raises(NeedsHuman, match="mysql"):
        load_settings()


def test_a_door_leaves_a_workers_sections_unread_but_not_misspelt_ones(file: Path) -> None:
    assert 8080 == load_door_settings().webhooks.port
    file.write_text("webhook = { port = 1 }\n" + WHOLE)
    with pytest.raises(NeedsHuman, match=r"unknown: webhook\. Known are: .*webhooks"):
        load_door_settings()
