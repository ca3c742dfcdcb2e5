"""The client: tokens, errors sorted by what to do, pages."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.github.client import PAGES, Answer, GitHubClient, Shown
from activities.settings import GitHubSettings
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import PullRequest
from workflows.rules.names import PullRequestRef

SHOP = "acme/shop"
REPOSITORY = "/repos/acme/shop"


class Named(Shown):
    full_name: str


class Comment(Shown):
    id: int


def operations(acme: Acme) -> list[str]:
    return [one.operation for one in acme.world.requests]


async def test_a_request_speaks_as_the_installation_of_its_repository(acme: Acme, client: GitHubClient) -> None:
    assert "acme/shop" == (await client.get(REPOSITORY, SHOP, Named)).full_name
    assert 1 == operations(acme).count("apps/create-installation-access-token")


async def test_twenty_requests_at_once_ask_for_one_token(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.latency = (0.0, 0.05)
    await asyncio.gather(*(client.get(REPOSITORY, SHOP, Named) for _ in range(20)))
    assert 1 == operations(acme).count("apps/create-installation-access-token")
    assert 20 == operations(acme).count("repos/get")


async def test_a_token_that_stopped_working_is_renewed_and_the_request_repeated_once(acme: Acme, client: GitHubClient) -> None:
    await client.get(REPOSITORY, SHOP, Named)
    acme.world.expire_tokens()
    assert "acme/shop" == (await client.get(REPOSITORY, SHOP, Named)).full_name
    assert 2 == operations(acme).count("apps/create-installation-access-token")


async def test_a_token_near_its_end_is_renewed_before_it_is_refused(acme: Acme, client: GitHubClient) -> None:
    acme.world.token_lifetime = 3.0
    deadline = time.monotonic() + 20
    while operations(acme).count("apps/create-installation-access-token") < 2:
        assert time.monotonic() < deadline
        await client.get(REPOSITORY, SHOP, Named)
        await asyncio.sleep(0.05)
    assert [] == [one for one in acme.world.requests if one.status == 401]


async def test_a_new_installation_of_the_app_is_found_after_the_old_one_is_gone(acme: Acme, client: GitHubClient) -> None:
    await client.get(REPOSITORY, SHOP, Named)
    acme.world.uninstall(acme.installation)
    acme.github.install("acme")
    assert "acme/shop" == (await client.get(REPOSITORY, SHOP, Named)).full_name


async def test_git_gets_a_token_that_opens_the_repository(acme: Acme, client: GitHubClient) -> None:
    token = await client.installation_token(SHOP)
    url = f"{acme.github.html_url}/acme/shop.git".replace("://", f"://x-access-token:{token}@")
    listed = await asyncio.create_subprocess_exec(
        "git", "ls-remote", url, "refs/heads/main", stdout=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"}
    )
    out, _ = await listed.communicate()
    assert acme.world.tip("acme/shop", "main") == out.decode().split()[0]


# ── Try again ──


async def test_a_bad_gateway_is_tried_again(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=502)
    with pytest.raises(TryAgain, match="502"):
        await client.get(REPOSITORY, SHOP, Named)


async def test_a_cut_connection_is_tried_again(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=0)
    with pytest.raises(TryAgain, match="could not be reached for GET"):
        await client.get(REPOSITORY, SHOP, Named)


async def test_a_server_that_does_not_answer_in_time_is_tried_again(acme: Acme, settings: GitHubSettings) -> None:
    async with GitHubClient(settings.model_copy(update={"timeout_seconds": 0.3})) as hasty:
        await hasty.get(REPOSITORY, SHOP, Named)
        acme.world.chaos.latency = (1.0, 1.0)
        with pytest.raises(TryAgain, match=r"did not answer GET .* within 0\.3 s"):
            await hasty.get(REPOSITORY, SHOP, Named)


async def test_a_secondary_limit_without_a_header_waits_at_least_a_minute(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=403, kind="secondary")
    with pytest.raises(TryAgain) as caught:
        await client.get(REPOSITORY, SHOP, Named)
    assert caught.value.next_retry_delay is not None
    assert timedelta(seconds=60) <= caught.value.next_retry_delay


async def test_retry_after_is_obeyed(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=429, retry_after=97)
    with pytest.raises(TryAgain) as caught:
        await client.get(REPOSITORY, SHOP, Named)
    assert timedelta(seconds=97) == caught.value.next_retry_delay


async def test_a_used_up_hour_waits_for_its_end(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=403, kind="primary")
    with pytest.raises(TryAgain) as caught:
        await client.get(REPOSITORY, SHOP, Named)
    assert caught.value.next_retry_delay is not None
    assert timedelta(0) < caught.value.next_retry_delay <= timedelta(seconds=3700)


async def test_who_is_limited_is_not_asked_again_until_the_limit_ends(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=429, retry_after=97)
    with pytest.raises(TryAgain):
        await client.get(REPOSITORY, SHOP, Named)
    asked = len(acme.world.requests)
    with pytest.raises(TryAgain, match="was not asked") as caught:
        await client.call("GET", "/repos/acme/shop/pulls", SHOP)
    assert asked == len(acme.world.requests)
    assert caught.value.next_retry_delay is not None
    assert timedelta(seconds=90) < caught.value.next_retry_delay <= timedelta(seconds=97)
    client._limited_until = {installation: until - 98 for installation, until in client._limited_until.items()}  # 98 s later
    assert SHOP == (await client.get(REPOSITORY, SHOP, Named)).full_name


def refused(status: int, message: str) -> Answer:
    return Answer(method="POST", path="/x", status=status, headers={}, content=json.dumps({"message": message}).encode())


def test_content_that_comes_too_quickly_is_tried_again(settings: GitHubSettings) -> None:
    wrong = GitHubClient(settings)._error(refused(422, "Validation Failed: was submitted too quickly"), SHOP)
    assert isinstance(wrong, TryAgain)
    assert wrong.next_retry_delay is not None
    assert timedelta(seconds=60) <= wrong.next_retry_delay


# ── A person's business ──


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("Repository was archived so is read-only.", "Unarchive it"),
        (
            "The `acme` organization has an IP allow list enabled",
            "adds it",
        ),
    ],
)
def test_a_refusal_that_no_permission_mends_says_what_does(settings: GitHubSettings, message: str, advice: str) -> None:
    wrong = GitHubClient(settings)._error(refused(403, message), SHOP)
    assert isinstance(wrong, NeedsHuman)
    assert advice in wrong.message
    assert "permission" not in wrong.message


async def test_a_missing_permission_is_named_and_never_retried(acme: Acme, client: GitHubClient, ref: PullRequestRef) -> None:
    acme.installation.permissions["issues"] = acme.installation.permissions["pull_requests"] = "read"
    with pytest.raises(NeedsHuman) as caught:
        await client.call("POST", f"/repos/acme/shop/issues/{ref.number}/comments", SHOP, body={"body": "hello"})
    assert "permission" in str(caught.value)
    assert any(word in str(caught.value).casefold() for word in ("issues", "pull_requests", "pull requests"))
    assert caught.value.non_retryable


async def test_a_repository_without_the_app_says_where_to_install_it(acme: Acme, client: GitHubClient) -> None:
    acme.world.uninstall(acme.installation)
    with pytest.raises(NeedsHuman, match=r"not installed on acme/shop.*Install it at .*/apps/skeebot"):
        await client.get(REPOSITORY, SHOP, Named)


async def test_a_suspended_installation_says_who_unsuspends_it(acme: Acme, client: GitHubClient) -> None:
    acme.world.suspend(acme.installation)
    with pytest.raises(NeedsHuman, match=r"owner of acme.*unsuspends"):
        await client.get(REPOSITORY, SHOP, Named)


async def test_a_key_of_another_app_is_named_as_such(acme: Acme, settings: GitHubSettings) -> None:
    other = acme.world.add_app("other")
    settings.private_key_file.write_text(other.private_key_pem)
    async with GitHubClient(settings) as wrong:
        with pytest.raises(NeedsHuman, match=r"Check github\.app_id .* private key"):
            await wrong.get(REPOSITORY, SHOP, Named)


async def test_what_is_not_there_says_so(client: GitHubClient) -> None:
    with pytest.raises(NeedsHuman, match="knows nothing under GET /repos/acme/shop/pulls/77"):
        await client.call("GET", "/repos/acme/shop/pulls/77", SHOP)


async def test_an_expected_status_comes_back_as_an_answer(client: GitHubClient) -> None:
    answer = await client.call("GET", "/repos/acme/shop/pulls/77", SHOP, expected={404})
    assert 404 == answer.status


async def test_a_limit_is_a_limit_even_where_its_status_is_expected(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("repos/get", status=403, kind="secondary")
    with pytest.raises(TryAgain):
        await client.call("GET", REPOSITORY, SHOP, expected={403, 404})


async def test_what_github_does_not_understand_is_our_bug(client: GitHubClient) -> None:
    with pytest.raises(OurBug, match="422"):
        await client.call("POST", "/repos/acme/shop/check-runs", SHOP, body={"name": "SchemaBot", "head_sha": "0" * 40})


async def test_an_answer_without_what_we_need_names_what_is_missing(client: GitHubClient) -> None:
    class Impossible(Shown):
        weather: str

    with pytest.raises(OurBug, match="weather"):
        await client.get(REPOSITORY, SHOP, Impossible)


async def test_an_app_that_github_calls_otherwise_says_which_name_to_write(acme: Acme, settings: GitHubSettings) -> None:
    async with GitHubClient(settings.model_copy(update={"app_slug": "acme-skeebot"})) as misnamed:
        with pytest.raises(NeedsHuman, match=r'"skeebot", the settings "acme-skeebot".*Set github\.app_slug = "skeebot"'):
            await misnamed.verify_app()


async def test_an_app_that_is_called_as_the_settings_say_may_work(client: GitHubClient) -> None:
    await client.verify_app()


async def test_an_app_cannot_be_verified_while_github_is_away_and_may_work(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("apps/get-authenticated", status=502)
    await client.verify_app()


async def test_a_key_that_is_none_is_named(settings: GitHubSettings) -> None:
    settings.private_key_file.write_text("-----BEGIN RSA PRIVATE KEY-----\nnonsense\n-----END RSA PRIVATE KEY-----\n")
    with pytest.raises(NeedsHuman, match=r"app\.pem holds no RSA private key"):
        GitHubClient(settings)


async def test_permissions_of_an_organisations_app_are_where_it_keeps_them(acme: Acme, settings: GitHubSettings) -> None:
    acme.app.owner = acme.repository.owner
    acme.installation.permissions["issues"] = acme.installation.permissions["pull_requests"] = "read"
    async with GitHubClient(settings) as client:
        await client.verify_app()
        with pytest.raises(NeedsHuman, match=r"/organizations/acme/settings/apps/skeebot/permissions"):
            await client.call("POST", "/repos/acme/shop/labels", SHOP, body={"name": "x"})


# ── Pages ──


async def test_every_page_of_a_list_is_read(acme: Acme, client: GitHubClient, pull: PullRequest) -> None:
    written = [acme.world.comment(pull, "dora", f"comment {number}").id for number in range(205)]
    path = f"/repos/acme/shop/issues/{pull.number}/comments"
    assert written == [one.id async for one in client.pages(path, SHOP, Comment)]


async def test_half_a_list_is_no_truth(acme: Acme, client: GitHubClient, pull: PullRequest) -> None:
    for number in range(PAGES + 1):
        acme.world.comment(pull, "dora", f"comment {number}")
    path = f"/repos/acme/shop/issues/{pull.number}/comments"
    with pytest.raises(NeedsHuman, match="more than is read"):
        _ = [one async for one in client.pages(path, SHOP, Comment, params={"per_page": 1})]


async def test_a_link_to_another_server_is_not_followed(client: GitHubClient) -> None:
    with pytest.raises(NeedsHuman, match=r"leads to evil\.example"):
        client._same_server("https://evil.example/repos/acme/shop/pulls?page=2")


def test_the_next_page_is_found_in_the_link_header() -> None:
    link = (
        '<https://api.example/x?page=1>; rel="prev", <https://api.example/x?page=3>; rel="next", <https://api.example/x?page=9>; rel="last"'
    )
    answer = Answer(method="GET", path="/x", status=200, headers={"link": link}, content=b"[]")
    assert "https://api.example/x?page=3" == answer.next_url


# ── Small things ──


async def test_the_clock_is_githubs(acme: Acme, client: GitHubClient) -> None:
    acme.world.clock = lambda: acme.repository.created_at + timedelta(days=400)
    await client._token(SHOP)
    answer = await client.call("GET", REPOSITORY, SHOP)
    assert answer.date == client.clock


def test_a_proxys_page_is_tried_again() -> None:
    with pytest.raises(TryAgain, match="not JSON"):
        Answer(method="GET", path="/x", status=200, headers={}, content=b"<html>busy</html>").json()


def test_the_private_key_that_is_not_there_is_named(settings: GitHubSettings, tmp_path: Path) -> None:
    missing = settings.model_copy(update={"private_key_file": tmp_path / "gone.pem"})
    with pytest.raises(NeedsHuman, match=r"gone\.pem"):
        GitHubClient(missing)


def test_importing_the_client_does_not_load_the_generated_models() -> None:
    """They cost seconds and hundreds of megabytes in every worker."""
    code = "import sys, json, activities.github.client; print(json.dumps([m for m in sys.modules if m.startswith('githubkit_schemas')]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parents[3])
    loaded = json.loads(out.stdout)
    assert [] == [name for name in loaded if ".models" in name]


# ── GraphQL ──


async def test_a_question_that_github_does_not_understand_is_our_bug(client: GitHubClient) -> None:
    with pytest.raises(OurBug, match="does not understand"):
        await client.graphql("{ weather }", SHOP, Shown)


async def test_a_question_without_an_answer_is_asked_again(acme: Acme, client: GitHubClient) -> None:
    acme.world.chaos.fail_next("graphql", status=502)
    with pytest.raises(TryAgain, match="502"):
        await client.graphql("{ weather }", SHOP, Shown)


@pytest.mark.parametrize(
    ("rest", "graphql"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://ghe.example/api/v3", "https://ghe.example/api/graphql"),
        ("https://api.acme.ghe.com/", "https://api.acme.ghe.com/graphql"),
    ],
)
def test_graphql_lives_beside_rest(settings: GitHubSettings, rest: str, graphql: str) -> None:
    assert graphql == GitHubClient(settings.model_copy(update={"api_url": rest}))._graphql_url
