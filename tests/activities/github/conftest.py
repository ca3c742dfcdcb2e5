"""The adapters against the stateful stand-in: our own parts are never mocked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.github.client import GitHubClient
from activities.settings import GitHubSettings
from tests.fakes.github.fixtures import Acme, acme, github  # noqa: F401  (fixtures)
from tests.fakes.github.objects import PullRequest
from workflows.messages import PullRequestView
from workflows.rules.names import HeadSha, Login, PullRequestRef
from workflows.rules.stages import Stage


@pytest.fixture
def settings(acme: Acme, tmp_path: Path) -> GitHubSettings:  # noqa: F811  (the fixture, by pytest's own manner)
    key, secret = tmp_path / "app.pem", tmp_path / "webhook-secret"
    key.write_text(acme.github.private_key)
    secret.write_text(acme.github.webhook_secret + "\n")
    return GitHubSettings(
        api_url=acme.github.base_url,
        html_url=acme.github.html_url,
        app_id=acme.github.app_id,
        app_slug=acme.github.app_slug,
        private_key_file=key,
        webhook_secret_file=secret,
        timeout_seconds=5,
    )


@pytest.fixture
async def client(settings: GitHubSettings) -> AsyncIterator[GitHubClient]:
    async with GitHubClient(settings) as entered:
        yield entered


@pytest.fixture
def pull(acme: Acme) -> PullRequest:  # noqa: F811  (the fixture, by pytest's own manner)
    """Dave's pull request acme/shop#1 adds a column to schema/orders.sql."""
    return acme.open_change()


@pytest.fixture
def ref(pull: PullRequest) -> PullRequestRef:
    return PullRequestRef(owner="acme", repo="shop", number=pull.number)


@pytest.fixture
def view(pull: PullRequest, ref: PullRequestRef) -> PullRequestView:
    return PullRequestView(ref=ref, author=Login("dave"), head_sha=HeadSha(pull.head_sha), stage=Stage.AWAITING_OWNER)
