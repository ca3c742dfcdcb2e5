"""The settings file with which skeebot runs on the embedded stack: TOML, and one 0600 file per secret."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.mysql import Topology
from embedded.tools import Tools

_ACCOUNTS = ("read", "direct", "ghost", "verify", "fence", "workspace")


@dataclass(frozen=True)
class GitHubApp:
    """What skeebot needs to know of GitHub, or of its stand-in. `private_key` is PEM text."""

    api_url: str
    html_url: str
    app_id: int
    private_key: str
    webhook_secret: str
    app_slug: str = "skeebot"


def write_settings(
    folder: Path,
    *,
    github: GitHubApp,
    topology: Topology,
    tools: Tools,
    temporal_address: str,
    webhook_port: int = 8080,
    overrides: Mapping[str, Mapping[str, object]] | None = None,
) -> Path:
    """Write `folder/skeebot.toml`, its secrets, and the inventory beside it; answers the file's path.

    `overrides` adds or replaces values by section: `{"runner": {"chunk_size": 500}}`. The folders for runs, bare clones
    and the audit are made in `folder`, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vault = folder / "secrets"
    vault.mkdir(mode=0o700, exist_ok=True)
    runs = folder / "runs"
    runs.mkdir(mode=0o700, exist_ok=True)
    clones = folder / "clones"
    clones.mkdir(exist_ok=True)

    sections: dict[str, dict[str, object]] = {
        "github": {
            "api_url": github.api_url,
            "html_url": github.html_url,
            "app_id": github.app_id,
            "app_slug": github.app_slug,
            "private_key_file": write_secret(vault / "github-app.pem", github.private_key),
            "webhook_secret_file": write_secret(vault / "webhook-secret", github.webhook_secret),
        },
        "temporal": {"address": temporal_address},
        "mysql": {"inventory": topology.write_inventory(folder / "inventory.toml")},
        "diff": {"cache_directory": clones, "skeema": tools.skeema},
        "runner": {"run_directory": runs, "gh_ost": tools.gh_ost},
        "webhooks": {"port": webhook_port},
        "audit": {"file": folder / "audit.jsonl"},
    }
    for name in _ACCOUNTS:
        user = f"skeebot_{name}"
        password_file = write_secret(vault / f"mysql-{name}", topology.passwords[user])
        sections[f"mysql.{name}"] = {"user": user, "password_file": password_file}
    for name, values in (overrides or {}).items():
        sections.setdefault(name, {}).update(values)

    path = folder / "skeebot.toml"
    path.write_text(_toml(sections), encoding="utf-8")
    return path


def write_secret(path: Path, text: str) -> Path:
    """A file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    return path


def new_webhook_secret() -> str:
    return secrets.token_hex(32)


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _toml_value(value: object) -> str:
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)  # TOML writes these as JSON does
    if isinstance(value, Path):
        return json.dumps(str(value), ensure_ascii=False)
    raise TypeError(f"{value!r} has no place in a settings file")
