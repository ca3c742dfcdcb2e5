"""What happens in the stand-in, in gh-ost and in skeebot's record becomes one line each, with the person who acts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demonstration import acme, feed
from demonstration.acme import DBA, DEVELOPER, OWNER, REPOSITORY
from demonstration.feed import Feed, Line
from tests.fakes.github import GitHubStandIn, PullRequest


@pytest.fixture
def github() -> Iterator[GitHubStandIn]:
    with GitHubStandIn() as stand_in:
        acme.found_acme(stand_in)
        yield stand_in


def opened(github: GitHubStandIn) -> PullRequest:
    acme.push(github.world, acme.first_commit())
    return github.world.open_pull_request(REPOSITORY, acme.BRANCH, title=acme.TITLE, author=DEVELOPER)


def feed_of(github: GitHubStandIn, folder: Path) -> Feed:
    return Feed(github.world, audit=folder / "audit.jsonl", runs=folder / "runs")


def test_people_are_named_with_what_they_do(github: GitHubStandIn, tmp_path: Path) -> None:
    lines = feed_of(github, tmp_path)
    pull = opened(github)
    first = pull.head_sha[:7]
    world = github.world
    world.add_label(pull, "migration:for:review", by=DEVELOPER)
    world.review(pull, OWNER, "APPROVED", "fine")
    late = acme.push(world, acme.late_commit())[:7]
    world.comment(pull, DBA, ".skeefree allow-unsafe c0ffee12\nplease")
    assert [
        Line("dave", f"opens #1 “{acme.TITLE}” at {first}"),
        Line("dave", "asks @shop-owners for a review"),
        Line("dave", "adds label + migration:for:review"),
        Line("oscar", f"approves {first}", "good"),
        Line("dave", f"pushes {late}"),
        Line("dana", "types  .skeefree allow-unsafe c0ffee12"),
    ] == lines.news()
    assert [] == lines.news()


def test_checks_that_change_together_share_a_line(github: GitHubStandIn, tmp_path: Path) -> None:
    pull = opened(github)
    lines = feed_of(github, tmp_path)
    world = github.world
    for name in ("SchemaBot: staging/mysql/orders", "SchemaBot: production/mysql/orders", "SchemaBot"):
        output = {"title": "…", "summary": "…"}
        run = world.create_check_run(
            github.app, pull.repository, {"name": name, "head_sha": pull.head_sha, "status": "in_progress", "output": output}
        )
        if ":" in name:
            world.update_check_run(run, {"status": "completed", "conclusion": "success"})
    assert [
        Line("checks", "SchemaBot → in progress"),
        Line("checks", "production/mysql/orders, staging/mysql/orders → success", "good"),
    ] == sorted(lines.news(), key=lambda line: line.text)


def test_a_comment_is_told_again_only_when_its_first_line_changes(github: GitHubStandIn, tmp_path: Path) -> None:
    pull = opened(github)
    lines = feed_of(github, tmp_path)
    bot = github.app.bot
    comment = github.world.comment(pull, bot, "<!-- skeebot:sticky -->\n**Waiting** for `oscar`.\n\n1 %")
    github.world.edit_comment(comment, "<!-- skeebot:sticky -->\n**Waiting** for `oscar`.\n\n2 %", by=bot)
    github.world.edit_comment(comment, "<!-- skeebot:sticky -->\n**Complete**", by=bot)
    assert [Line("skeebot", "comments: Waiting for oscar."), Line("skeebot", "its comment now says: Complete")] == lines.news()


def test_a_comment_that_counts_is_told_once_per_head(github: GitHubStandIn, tmp_path: Path) -> None:
    pull = opened(github)
    lines = feed_of(github, tmp_path)
    bot, world = github.app.bot, github.world
    comment = world.comment(pull, bot, "**Planning**")
    for done in range(3):
        world.edit_comment(comment, f"**Running:** {done} of 9. Nothing is needed from anybody.", by=bot)
    assert ["comments: Planning", "its comment now says: Running: 0 of 9."] == [line.text for line in lines.news()]
    acme.push(world, acme.late_commit())
    world.edit_comment(comment, "**Running:** 0 of 9. Nothing is needed from anybody.", by=bot)
    assert "its comment now says: Running: 0 of 9." in [line.text for line in lines.news()]


def test_a_command_that_is_asked_for_is_told_with_its_sentence() -> None:
    assert "Somebody types: .skeefree cut-over" == feed.first_line("**Somebody** types:\n\n```\n.skeefree cut-over\n```\n\nmore")


def test_the_merge_is_told(github: GitHubStandIn, tmp_path: Path) -> None:
    pull = opened(github)
    lines = feed_of(github, tmp_path)
    github.world.unprotect_branch(REPOSITORY, "main")
    github.world.merge(pull, by=DEVELOPER)
    assert Line("dave", "merges #1", "good") in lines.news()


def test_the_record_is_read_whole_lines_at_a_time(github: GitHubStandIn, tmp_path: Path) -> None:
    lines = feed_of(github, tmp_path)
    audit = tmp_path / "audit.jsonl"
    migration = "acme/shop#1:c0ffee123456:production/a/shop_orders/orders:1:1"
    released = {"what": "cut-over released", "migration_id": migration, "facts": {"rows_compared": "300123", "by": "oscar, dana"}}
    complete = {"what": "complete", "migration_id": migration, "facts": {"target": "production/a/shop_orders/orders"}}
    whole = json.dumps(released) + "\n" + json.dumps(complete) + "\n"
    audit.write_text(whole[:-20])
    assert [Line("skeebot", "lets production/a orders go: 300,123 rows compared, approved by oscar, dana")] == lines.news()
    audit.write_text(whole)
    assert [Line("skeebot", "finds production/a orders as it was approved", "good")] == lines.news()


def test_a_quarantined_table_is_named() -> None:
    entry = {
        "what": "direct ddl ran",
        "migration_id": "acme/shop#1:c0ffee123456:staging/main/shop_orders/legacy_carts:2:1",
        "facts": {"quarantined_as": "_20261122054100_legacy_carts_DRP"},
    }
    line = feed.audit_line(entry)
    assert Line("skeebot", "runs direct DDL on staging/main legacy_carts, kept as _20261122054100_legacy_carts_DRP") == line


def test_gh_ost_speaks_for_itself() -> None:
    held = feed.ghost_line("begin-postponed", "staging/main orders")
    assert Line("gh-ost", "staging/main orders is copied and follows the writes; the cut-over is held", "waiting") == held
    assert feed.ghost_line("validated", "staging/main orders") is None
