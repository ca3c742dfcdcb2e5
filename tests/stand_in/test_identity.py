"""Who may ask for what: JWTs, installation tokens, permissions."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.github.fixtures import Acme
from tests.fakes.github.outbox import NO_AUTHORITIES


def app_get(acme: Acme, token: str, path: str = "/app") -> httpx.Response:
    return httpx.get(f"{acme.github.base_url}{path}", headers={"Authorization": f"Bearer {token}"}, trust_env=False, verify=NO_AUTHORITIES)


def signed(acme: Acme, key: str | None = None, algorithm: str = "RS256", **claims: Any) -> str:
    now = int(time.time())
    facts = {"iss": str(acme.github.app_id), "iat": now - 60, "exp": now + 540} | claims
    return jwt.encode(facts, key or acme.github.private_key, algorithm=algorithm)


def test_a_jwt_of_the_app_is_accepted_by_id_and_by_client_id(acme: Acme) -> None:
    assert "skeebot" == app_get(acme, signed(acme)).json()["slug"]
    assert "skeebot" == app_get(acme, signed(acme, iss=acme.app.client_id)).json()["slug"]


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 3600}, "too far in the future"),
        ({"exp": -5}, "must be a numeric value representing the future"),
        ({"iat": 600}, "'Issued at' claim"),
        ({"iat": None}, "could not be decoded"),
    ],
)
def test_a_jwt_with_wrong_times_is_refused(acme: Acme, claims: dict[str, int | None], words: str) -> None:
    """claims: seconds from now; None leaves the claim out."""
    off: dict[str, Any] = {name: None if seconds is None else time.time() + seconds for name, seconds in claims.items()}
    answer = app_get(acme, signed(acme, **off))
    assert 401 == answer.status_code
    assert words in answer.json()["message"]


def test_a_jwt_signed_by_another_key_or_by_a_shared_secret_is_refused(acme: Acme) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert 401 == app_get(acme, signed(acme, key=other.decode())).status_code
    assert 401 == app_get(acme, signed(acme, key="x" * 64, algorithm="HS256")).status_code


def test_a_jwt_does_not_open_a_repository_and_a_token_does_not_open_the_app(acme: Acme) -> None:
    token = acme.world.issue_token(acme.installation).value
    assert 401 == app_get(acme, signed(acme), "/repos/acme/shop").status_code
    assert 401 == app_get(acme, token, "/app/installations").status_code
    assert 200 == app_get(acme, token, "/repos/acme/shop").status_code


def test_an_expired_token_is_bad_credentials(acme: Acme) -> None:
    token = acme.world.issue_token(acme.installation).value
    assert 200 == app_get(acme, token, "/repos/acme/shop").status_code
    acme.world.expire_tokens()
    answer = app_get(acme, token, "/repos/acme/shop")
    assert (401, "Bad credentials") == (answer.status_code, answer.json()["message"])


def test_the_lifetime_of_a_token_can_be_set(acme: Acme) -> None:
    acme.world.token_lifetime = -1
    assert 401 == app_get(acme, acme.world.issue_token(acme.installation).value, "/repos/acme/shop").status_code


def test_a_token_narrowed_to_reading_cannot_write(acme: Acme) -> None:
    pull = acme.open_change()
    token = acme.world.issue_token(acme.installation, permissions={"issues": "read", "metadata": "read"}).value
    answer = httpx.post(
        f"{acme.github.base_url}/repos/acme/shop/issues/{pull.number}/comments",
        json={"body": "x"},
        headers={"Authorization": f"token {token}"},
        trust_env=False,
        verify=NO_AUTHORITIES,
    )
    assert (403, "Resource not accessible by integration") == (answer.status_code, answer.json()["message"])


def test_a_permission_that_was_not_granted_cannot_be_asked_for(acme: Acme) -> None:
    answer = httpx.post(
        f"{acme.github.base_url}/app/installations/{acme.installation.id}/access_tokens",
        json={"permissions": {"administration": "write"}},
        headers={"Authorization": f"Bearer {signed(acme)}"},
        trust_env=False,
        verify=NO_AUTHORITIES,
    )
    assert 422 == answer.status_code


def test_a_private_repository_that_is_not_installed_on_does_not_exist(acme: Acme, api: httpx.Client) -> None:
    acme.world.add_org("other", owners=["olga"])
    acme.world.create_repository("other", "secret")
    acme.world.create_repository("other", "open", private=False)
    assert 404 == api.get("/repos/other/secret").status_code
    assert 200 == api.get("/repos/other/open").status_code
    assert 403 == api.post("/repos/other/open/labels", json={"name": "x"}).status_code


def test_a_repository_taken_from_the_installation_disappears(acme: Acme, api: httpx.Client) -> None:
    acme.world.create_repository("acme", "till")
    acme.world.change_installation(acme.installation, remove=["acme/till"])
    assert 404 == api.get("/repos/acme/till").status_code
    assert 200 == api.get("/repos/acme/shop").status_code


def test_only_an_app_may_write_checks(acme: Acme) -> None:
    token = acme.world.user_token("olga")
    answer = httpx.post(
        f"{acme.github.base_url}/repos/acme/shop/check-runs",
        json={"name": "SchemaBot", "head_sha": acme.world.tip("acme/shop", "main")},
        headers={"Authorization": f"token {token}"},
        trust_env=False,
        verify=NO_AUTHORITIES,
    )
    assert 403 == answer.status_code


def test_every_answer_says_how_much_is_left_and_what_time_it_is(acme: Acme, api: httpx.Client) -> None:
    headers = api.get("/repos/acme/shop").headers
    assert "14999" == headers["X-RateLimit-Remaining"]
    assert headers["Date"].endswith("GMT")


def test_above_the_hourly_limit_everything_is_refused(acme: Acme, api: httpx.Client) -> None:
    acme.world.rate_limit = 2
    assert [200, 200, 403] == [api.get("/repos/acme/shop").status_code for _ in range(3)]
    assert "0" == api.get("/repos/acme/shop").headers["X-RateLimit-Remaining"]


def test_comments_come_at_a_limited_pace(acme: Acme, api: httpx.Client) -> None:
    acme.world.content_per_minute = 2
    path = f"/repos/acme/shop/issues/{acme.open_change().number}/comments"
    answers = [api.post(path, json={"body": str(n)}) for n in range(3)]
    assert [201, 201, 403] == [answer.status_code for answer in answers]
    assert "secondary rate limit" in answers[-1].json()["message"]
    assert "60" == answers[-1].headers["Retry-After"]


def test_an_unchanged_answer_is_not_sent_twice(acme: Acme, api: httpx.Client) -> None:
    path = "/repos/acme/shop/branches"
    first = api.get(path)
    again = api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (304, b"") == (again.status_code, again.content)
    acme.world.push("acme/shop", "main", {"a": "b"}, author="olga")
    assert 200 == api.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code


def test_long_lists_come_in_pages_that_lead_to_each_other(acme: Acme, api: httpx.Client) -> None:
    pull = acme.open_change()
    for number in range(7):
        acme.world.comment(pull, "dave", f"comment {number}")
    url, seen = f"/repos/acme/shop/issues/{pull.number}/comments?per_page=3", []
    while url:
        answer = api.get(url)
        seen += [comment["body"] for comment in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    assert [f"comment {number}" for number in range(7)] == seen
    assert {"prev", "first"} == set(answer.links)


def test_a_page_holds_no_more_than_a_hundred(acme: Acme, api: httpx.Client) -> None:
    pull = acme.open_change()
    for number in range(101):
        acme.world.comment(pull, "dave", f"comment {number}")
    assert 100 == len(api.get(f"/repos/acme/shop/issues/{pull.number}/comments?per_page=500").json())
