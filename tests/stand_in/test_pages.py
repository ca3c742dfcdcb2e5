"""What a person sees: the pull request, its checks, and why the button is grey. And nothing hostile comes through."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from tests.fakes.github import markdown, screenshot
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.outbox import NO_AUTHORITIES

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)><a href="javascript:alert(1)">x</a>'


def dangers(html: str) -> list[tuple[str, str]]:
    """Everything in a page that could run: scripts, handlers, and addresses that are code."""
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("script", "iframe", "object", "embed", "base", "meta"):
                found.extend((tag, value or "") for name, value in attrs if name in ("src", "srcdoc", "data", "href"))
            found.extend((name, value or "") for name, value in attrs if name.startswith("on"))
            found.extend((name, value) for name, value in attrs if value and value.startswith("javascript:"))

    Reader().feed(html)
    return found


@pytest.fixture
def site(acme: Acme) -> httpx.Client:
    return httpx.Client(base_url=acme.github.html_url, trust_env=False, verify=NO_AUTHORITIES)


def words(html: str) -> str:
    """The text of a page, as far as these tests need it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_page_of_a_pull_request_tells_its_story(acme: Acme, site: httpx.Client) -> None:
    world, pull = acme.world, acme.open_change()
    world.add_label(pull, "migration:skeema:diff", by="skeebot[bot]")
    world.comment(pull, "skeebot[bot]", "| Table | State |\n|---|---|\n| orders | proposed |\n", via_app=acme.app)
    world.review(pull, "olive", "APPROVED", "Fine")
    world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave", message="One more commit")
    page = site.get("/acme/shop/pull/1").text
    text = words(page)
    for expected in (
        "Add a note to orders #1",
        "dave wants to merge 2 commits into main from add-note",
        "skeebot bot added the migration:skeema:diff label",
        "olive approved these changes",
        "not the latest commit",
        "dave pushed One more commit",
    ):
        assert expected in text
    assert "<td>proposed</td>" in page


def test_the_button_is_grey_for_the_reason_given_and_green_without_one(acme: Acme, site: httpx.Client) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot", app_id=acme.app.id, required_approvals=1)
    pull = acme.open_change()
    page = site.get("/acme/shop/pull/1").text
    assert "Merging is blocked Required check “SchemaBot” is expected: waiting for it to be reported." in words(page)
    assert "At least 1 approving review(s)" in page
    assert re.search(r"<button[^>]* disabled>[^<]*<svg.*?</svg> Merge pull request", page, re.DOTALL)
    acme.world.review(pull, "olive")
    acme.world.create_check_run(acme.app, "acme/shop", {"name": "SchemaBot", "head_sha": pull.head_sha, "conclusion": "success"})
    page = site.get("/acme/shop/pull/1").text
    assert "Nothing stands in the way." in page
    assert " disabled" not in page


def test_each_check_has_its_icon_title_and_page(acme: Acme, site: httpx.Client) -> None:
    pull = acme.open_change()
    output = {"title": "Waiting for the owners", "summary": "| Database |\n|---|\n| orders |\n", "text": "**More**"}
    run = acme.world.create_check_run(
        acme.app,
        "acme/shop",
        {
            "name": "SchemaBot",
            "head_sha": pull.head_sha,
            "conclusion": "action_required",
            "output": output,
            "external_id": "generation-3",
        },
    )
    page = site.get("/acme/shop/pull/1").text
    assert f'href="/acme/shop/runs/{run.id}"' in page
    assert "Waiting for the owners" in page
    assert "icon-bang" in page
    details = site.get(f"/acme/shop/runs/{run.id}").text
    for expected in ("<td>orders</td>", "<strong>More</strong>", "generation-3", "Action required"):
        assert expected in details


@pytest.mark.parametrize("tab", ["", "/commits", "/checks", "/files"])
def test_nothing_hostile_runs_on_any_page(acme: Acme, site: httpx.Client, tab: str) -> None:
    world = acme.world
    world.push("acme/shop", "x", {f"{HOSTILE.replace('/', '')}.sql": HOSTILE}, author="dave", message=HOSTILE)
    pull = world.open_pull_request("acme/shop", "x", title=HOSTILE, body=HOSTILE, author="dave")
    world.add_label(pull, HOSTILE[:49], by="dave")
    world.comment(pull, "dave", HOSTILE + "\n\n```" + HOSTILE + "\n" + HOSTILE + "\n```\n`" + HOSTILE + "`")
    world.review(pull, "olive", "APPROVED", HOSTILE)
    run = world.create_check_run(
        acme.app,
        "acme/shop",
        {
            "name": HOSTILE,
            "head_sha": pull.head_sha,
            "conclusion": "failure",
            "external_id": HOSTILE,
            "output": {"title": HOSTILE, "summary": HOSTILE, "text": HOSTILE},
            "actions": [{"label": "<b>x", "description": '"><script>', "identifier": '"><script>'}],
        },
    )
    for path in (f"/acme/shop/pull/{pull.number}{tab}", f"/acme/shop/runs/{run.id}", "/acme/shop", "/"):
        answer = site.get(path)
        assert 200 == answer.status_code
        assert [("script", "/static/live.js")] == dangers(answer.text)
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\nb", "<p>a<br>\nb</p>\n"),
        ("<!-- marker -->\nseen", "seen"),
        ("ask @acme/databases", '<p>ask <span class="mention">@acme/databases</span></p>\n'),
        ("mail@example.org and `@code`", "<p>mail@example.org and <code>@code</code></p>\n"),
        ("see #12", '<p>see <a href="/acme/shop/pull/12" rel="nofollow noopener">#12</a></p>\n'),
        ("~~gone~~", "<p><s>gone</s></p>\n"),
        ("```diff\n+a\n```", '<pre><code class="language-diff"><span class="line-added">+a\n</span></code></pre>\n'),
        ("<details><summary>S</summary>\n\n**in**\n</details>", "<details><summary>S</summary>"),
        ("> [!WARNING]\n> Careful", '<blockquote class="alert warning"><p class="alert-title">Warning</p><p>Careful</p>'),
        ("| a |\n|--:|\n| 1 |", '<td style="text-align:right">1</td>'),
    ],
)
def test_markdown_reads_as_it_does_on_github(text: str, html: str) -> None:
    assert html in markdown.render(text, pulls_url="/acme/shop/pull")


def test_sql_is_coloured_and_still_escaped() -> None:
    html = markdown.render("```sql\nALTER TABLE `a<b` COMMENT '</code><script>'\n```")
    assert '<span class="sql-word">ALTER</span>' in html
    assert "a&lt;b" in html
    assert "<script" not in html


def test_a_line_break_in_a_check_is_only_a_space() -> None:
    assert "<p>a\nb</p>\n" == markdown.render("a\nb", breaks=False)


def test_what_is_not_there_is_not_found(site: httpx.Client) -> None:
    for path in ("/acme/nothing", "/acme/shop/pull/9", "/acme/shop/runs/9", "/static/../server.py", "/static/pull.html"):
        assert 404 == site.get(path).status_code


def test_a_person_can_act_on_the_page_as_anybody(acme: Acme, site: httpx.Client) -> None:
    pull = acme.open_change()
    here = "/acme/shop/pull/1/act"
    assert 303 == site.post(here, data={"as": "dana", "do": "comment", "body": ".skeefree help"}).status_code
    site.post(here, data={"as": "olive", "do": "approve"})
    assert 422 == site.post(here, data={"as": "dave", "do": "label", "label": "migration:for:review"}).status_code
    acme.world.create_label(acme.repository, "migration:for:review")
    site.post(here, data={"as": "dave", "do": "label", "label": "migration:for:review"})
    assert (".skeefree help", "dana") == (pull.comments[0].body, pull.comments[0].user.login)
    assert ["olive"] == [review.user.login for review in pull.reviews]
    assert {"migration:for:review"} == acme.world.label_names(pull)
    site.post(here, data={"as": "dave", "do": "merge"})
    assert pull.merged


def test_the_page_says_why_an_act_is_refused(acme: Acme, site: httpx.Client) -> None:
    acme.world.protect_branch("acme/shop", required_check="SchemaBot")
    acme.open_change()
    answer = site.post("/acme/shop/pull/1/act", data={"as": "dave", "do": "merge"})
    assert 405 == answer.status_code
    assert "Required check “SchemaBot” is expected" in answer.text
    assert 422 == site.post("/acme/shop/pull/1/act", data={"as": "dave", "do": "approve"}).status_code
    assert 404 == site.post("/acme/shop/pull/1/act", data={"as": "nobody", "do": "approve"}).status_code


def test_a_page_of_another_site_cannot_act(acme: Acme, site: httpx.Client) -> None:
    pull = acme.open_change()
    for origin in ("http://evil.example", "null"):
        answer = site.post("/acme/shop/pull/1/act", data={"as": "olive", "do": "approve"}, headers={"Origin": origin})
        assert 403 == answer.status_code
    assert [] == pull.reviews


def test_a_button_of_a_check_can_be_pressed(acme: Acme, site: httpx.Client) -> None:
    run = acme.world.create_check_run(
        acme.app,
        "acme/shop",
        {
            "name": "SchemaBot",
            "head_sha": acme.open_change().head_sha,
            "conclusion": "failure",
            "output": {"title": "t", "summary": "s"},
            "actions": [{"label": "Retry", "description": "Again", "identifier": "retry"}],
        },
    )
    assert 'value="action:retry"' in site.get(f"/acme/shop/runs/{run.id}").text
    site.post(f"/acme/shop/runs/{run.id}/act", data={"as": "dave", "do": "action:retry"})
    assert "requested_action" == acme.world.events[-1].action
    site.post(f"/acme/shop/runs/{run.id}/act", data={"as": "dave", "do": "rerequest"})
    assert "rerequested" == acme.world.events[-1].action


def test_without_a_browser_the_picture_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(screenshot.NoBrowser, match="Install Chromium"):
        screenshot.take("http://127.0.0.1:9/", tmp_path / "page.png")
