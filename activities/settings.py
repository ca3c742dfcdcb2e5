"""Settings: a TOML file plus environment variables. Secrets only ever come from files or from the environment, never from the TOML itself.

`SKEEBOT_SETTINGS` names the file (default: skeebot.toml in the working directory). Each value can be overridden by an environment variable,
e.g. `SKEEBOT_TEMPORAL__ADDRESS`.
"""

import os
import socket
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError, TomlConfigSettingsSource

from activities.errors import NeedsHuman
from workflows.rules.names import CheckNames, Labels, Protocol
from workflows.timing import Timing


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GitHubSettings(Section):
    """api_url and html_url: another base for GitHub Enterprise Server or the stand-in. timeout_seconds: of each request."""

    api_url: str = "https://api.github.com"
    html_url: str = "https://github.com"
    app_id: int
    app_slug: str = "skeebot"
    private_key_file: Path
    webhook_secret_file: Path
    timeout_seconds: float = 10.0

    @property
    def bot_login(self) -> str:
        return f"{self.app_slug}[bot]"


class TemporalSettings(Section):
    address: str = "127.0.0.1:7233"
    namespace: str = "default"


class Account(Section):
    """A MySQL account. The password is in a file (mode 0600), or in SKEEBOT_MYSQL__<NAME>__PASSWORD."""

    user: str
    password_file: Path | None = None
    password: SecretStr | None = None

    def secret(self) -> str:
        """Errors: NeedsHuman when neither is there."""
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is not None:
            return read_secret(self.password_file, f"the password of the MySQL account {self.user}")
        raise NeedsHuman(f"The MySQL account {self.user} has no password: set password_file in the settings.")


class MySQLSettings(Section):
    """inventory: the TOML file of clusters (activities/mysql/discovery.py). One account per job, each with the least grants.

    verify_hold_rows: how many rows that change all the time a verification may hold FOR SHARE, each for three seconds at most; 0: none.
    """

    inventory: Path | None = None
    inventory_url: str | None = None
    tls_ca_file: Path | None = None
    read: Account
    direct: Account
    ghost: Account
    verify: Account
    fence: Account
    workspace: Account
    connect_timeout_seconds: int = 5
    lock_wait_seconds: int = 2
    long_transaction_seconds: int = 20
    verify_hold_rows: int = 0


class Ceilings(Section):
    """Fixed before anything of a pull request is fetched or parsed."""

    files: int = 500
    bytes_per_file: int = 1_000_000
    statements: int = 200
    seconds: int = 120


class DiffSettings(Section):
    """cache: bare clones, one per repository. skeema: the binary."""

    cache_directory: Path
    skeema: str = "skeema"
    git: str = "git"
    ceilings: Ceilings = Ceilings()


class RunnerSettings(Section):
    """run_directory: durable local disk (0700); never a tmp folder that a cleaner visits (SAFETY §S3). host: this runner's name."""

    run_directory: Path
    gh_ost: str = "gh-ost"
    host: str = Field(default_factory=socket.gethostname)
    chunk_size: int = 1000
    max_lag_millis: int = 1500
    max_load: str = ""
    critical_load: str = ""
    cut_over_lock_timeout_seconds: int = 3
    nice_ratio: float = 0.0


class WebhookSettings(Section):
    host: str = "127.0.0.1"
    port: int = 8080
    max_bytes: int = 26_214_400


class SweepSettings(Section):
    """every_seconds: how often lost webhooks are looked for."""

    every_seconds: float = Field(default=600.0, ge=10.0)


class Names(Section):
    """The protocol that people see (DESIGN §1): labels, the aggregate check's name, the command prefix."""

    label_diff: str = Labels.diff
    label_for_review: str = Labels.for_review
    label_detected: str = Labels.detected
    label_queued: str = Labels.queued
    label_late_commits: str = Labels.late_commits
    check: str = CheckNames.aggregate
    command_prefix: str = Protocol.command_prefix

    def protocol(self) -> Protocol:
        return Protocol(
            labels=Labels(
                diff=self.label_diff,
                for_review=self.label_for_review,
                detected=self.label_detected,
                queued=self.label_queued,
                late_commits=self.label_late_commits,
            ),
            checks=CheckNames(aggregate=self.check),
            command_prefix=self.command_prefix,
        )


class NotifySettings(Section):
    """Apprise URLs, one a line, in a file (they carry tokens)."""

    urls_file: Path | None = None


class AuditSettings(Section):
    """file: append-only JSON lines on durable disk."""

    file: Path


class _WithoutSecrets(TomlConfigSettingsSource):
    """The settings file, which people read, copy and commit."""

    def __call__(self) -> dict[str, Any]:
        """Errors: NeedsHuman where a password is in it."""
        found = super().__call__()
        accounts = found.get("mysql")
        for name, account in accounts.items() if isinstance(accounts, dict) else ():
            if isinstance(account, dict) and "password" in account:
                raise NeedsHuman(
                    f"{settings_file()} holds the password of mysql.{name}. Put it into a file (mode 0600) and name that as password_file,"
                    f" or into SKEEBOT_MYSQL__{name.upper()}__PASSWORD; then change the password, which others may have read."
                )
        return found


class DoorSettings(BaseSettings):
    """What the front doors need (starter.py): no database, and no account of one. The rest of the file is left unread."""

    model_config = SettingsConfigDict(env_prefix="SKEEBOT_", env_nested_delimiter="__", extra="ignore", frozen=True)

    github: GitHubSettings
    temporal: TemporalSettings = TemporalSettings()
    webhooks: WebhookSettings = WebhookSettings()
    names: Names = Names()
    timing: Timing = Timing()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, _WithoutSecrets(settings_cls, toml_file=settings_file()))

    @model_validator(mode="before")
    @classmethod
    def _every_section_is_known(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A door leaves a worker's sections unread, not misspelt ones of its own."""
        unknown = sorted(set(values) - set(Settings.model_fields))
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}. Known are: {', '.join(Settings.model_fields)}")
        return values

    @cached_property
    def protocol(self) -> Protocol:
        return self.names.protocol()


class Settings(DoorSettings):
    """Everything: a worker's."""

    model_config = SettingsConfigDict(extra="forbid")

    mysql: MySQLSettings
    diff: DiffSettings
    runner: RunnerSettings
    sweep: SweepSettings = SweepSettings()
    notify: NotifySettings = NotifySettings()
    audit: AuditSettings


Some = TypeVar("Some", bound=DoorSettings)


def settings_file() -> Path:
    return Path(os.environ.get("SKEEBOT_SETTINGS", "skeebot.toml"))


def load_settings(**overrides: Any) -> Settings:
    """Errors: NeedsHuman with one line per wrong or missing value; before that, where the file is missing or no TOML."""
    return _loaded(Settings, overrides)


def load_door_settings() -> DoorSettings:
    """Errors: as load_settings."""
    return _loaded(DoorSettings, {})


def _loaded(kind: type[Some], overrides: dict[str, Any]) -> Some:
    file = settings_file()
    try:
        return kind(**overrides)
    except ValidationError as wrong:
        lines = "\n".join(f"  {'.'.join(str(part) for part in one['loc']) or 'sections'}: {one['msg']}" for one in wrong.errors())
        missing = "" if file.is_file() else f"There is no {file}: set SKEEBOT_SETTINGS to the settings file. "
        raise NeedsHuman(f"{missing}The settings in {file} (or SKEEBOT_… variables) are not complete:\n{lines}") from wrong
    except tomllib.TOMLDecodeError as wrong:
        raise NeedsHuman(f"{file} is not TOML: {wrong}. Correct that line.") from wrong
    except UnicodeDecodeError as wrong:
        raise NeedsHuman(f"{file} is not TOML: it is not in UTF-8 ({wrong.reason} at byte {wrong.start}). Save it as UTF-8.") from wrong
    except SettingsError as wrong:
        raise NeedsHuman(f"A SKEEBOT_… variable cannot be read: {wrong}. Correct or unset it.") from wrong
    except OSError as wrong:
        raise NeedsHuman(f"Cannot read the settings from {file}: {wrong.strerror}. Correct its permissions or SKEEBOT_SETTINGS.") from wrong


def read_secret(path: Path, what: str) -> str:
    """The content of a secret file without its final line break. Errors: NeedsHuman when it cannot be read."""
    try:
        return path.read_text().rstrip("\n")
    except OSError as wrong:
        raise NeedsHuman(
            f"Cannot read {what} from {path}: {wrong.strerror}. Create the file (mode 0600) or correct the setting."
        ) from wrong
