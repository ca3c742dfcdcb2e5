"""What a worker needs to start, and what it refuses to start with."""

import asyncio
from pathlib import Path

import pytest

from activities.errors import NeedsHuman
from activities.settings import Settings
from embedded.temporal import TemporalServer
from tests.activities.github.test_intake import all_settings
from tests.fakes.github.fixtures import Acme, acme, github  # noqa: F401  (fixtures)
from worker import Role, serve


def settings_for(temporal: TemporalServer, folder: Path, **github: object) -> Settings:  # noqa: F811  (GitHub's section)
    found = all_settings(folder)
    changes = {
        "temporal": found.temporal.model_copy(update={"address": temporal.address}),
        "github": found.github.model_copy(update=github),
    }
    return found.model_copy(update=changes)


async def test_a_runner_needs_nothing_of_github(temporal_server: TemporalServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="skeebot")
    serving = asyncio.create_task(serve(settings_for(temporal_server, tmp_path), Role.RUNNER))
    try:
        async with asyncio.timeout(20):
            while "skeebot works: runner" not in caplog.text and not serving.done():
                await asyncio.sleep(0.05)
        assert not serving.done(), serving.exception()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_worker_does_not_start_under_a_name_that_is_not_the_apps(
    temporal_server: TemporalServer,
    tmp_path: Path,
    acme: Acme,  # noqa: F811  (the fixture, by pytest's own manner)
) -> None:
    key = tmp_path / "app.pem"
    key.write_text(acme.github.private_key)
    names = {"api_url": acme.github.base_url, "app_id": acme.github.app_id, "app_slug": "acme-skeebot", "private_key_file": key}
    with pytest.raises(NeedsHuman, match=r'Set github\.app_slug = "skeebot"'):
        await serve(settings_for(temporal_server, tmp_path, **names), Role.CONTROL)
