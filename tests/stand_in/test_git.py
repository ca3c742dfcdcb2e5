"""Repositories are real: git itself clones, fetches and pushes, and finds the refs of pull requests where GitHub has them."""

from __future__ import annotations

import math
import subprocess
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.fakes.github import Symlink
from tests.fakes.github.bare_git import FileContent, environment
from tests.fakes.github.fixtures import ORDERS_WITH_NOTE, Acme
from tests.fakes.github.outbox import NO_AUTHORITIES


def git(*arguments: str, cwd: Path | None = None, token: str | None = None) -> subprocess.CompletedProcess[str]:
    settings = environment()
    if token:
        settings |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": "!f() { echo username=x-access-token; echo password=$TOKEN; }; f",
            "TOKEN": token,
        }
    identity = ["-c", "user.name=Dave", "-c", "user.email=dave@users.example"]
    return subprocess.run(["git", *identity, *arguments], cwd=cwd, env=settings, capture_output=True, text=True, check=False, timeout=60)


def refs(acme: Acme) -> dict[str, str]:
    token = acme.world.issue_token(acme.installation).value
    answer = git("ls-remote", acme.github.clone_url("acme/shop"), token=token)
    assert 0 == answer.returncode, answer.stderr
    return {ref: sha for sha, ref in (line.split("\t") for line in answer.stdout.splitlines())}


def test_a_pull_request_has_its_head_and_its_test_merge(acme: Acme) -> None:
    pull = acme.open_change()
    seen = refs(acme)
    assert pull.head_sha == seen["refs/pull/1/head"]
    merge = acme.repository.git.read_commit(seen["refs/pull/1/merge"])
    assert (acme.world.tip("acme/shop", "main"), pull.head_sha) == merge.parents


def test_the_test_merge_follows_the_head(acme: Acme) -> None:
    pull = acme.open_change()
    before = refs(acme)["refs/pull/1/merge"]
    head = acme.world.push("acme/shop", "add-note", {"more.sql": "x"}, author="dave")
    seen = refs(acme)
    assert head == seen["refs/pull/1/head"] == pull.head_sha
    assert before != seen["refs/pull/1/merge"]
    assert head == acme.repository.git.read_commit(seen["refs/pull/1/merge"]).parents[1]


def test_a_moved_base_leaves_the_test_merge_behind_although_somebody_looks(acme: Acme) -> None:
    pull = acme.open_change()
    before = refs(acme)["refs/pull/1/merge"]
    base = acme.world.push("acme/shop", "main", {"other.sql": "x"}, author="olga")
    acme.world.look_at(pull)
    assert before == refs(acme)["refs/pull/1/merge"]
    assert base != pull.base_sha
    assert acme.world.mergeable(pull)


def test_another_merge_base_makes_a_new_test_merge(acme: Acme) -> None:
    world = acme.world
    first = world.push("acme/shop", "add-note", {"first.sql": "x"}, author="dave")
    world.push("acme/shop", "add-note", {"second.sql": "x"}, author="dave")
    pull = world.open_pull_request("acme/shop", "add-note", author="dave")
    world.create_branch("acme/shop", "part", by="dave", at=first)
    part = world.open_pull_request("acme/shop", "part", author="dave")
    base = world.merge(part, by="olga")
    assert (base, pull.head_sha) == acme.repository.git.read_commit(refs(acme)["refs/pull/1/merge"]).parents


def test_a_test_merge_of_more_than_twelve_hours_is_made_anew_when_somebody_looks(acme: Acme) -> None:
    pull = acme.open_change()
    before = refs(acme)["refs/pull/1/merge"]
    base = acme.world.push("acme/shop", "main", {"other.sql": "x"}, author="olga")
    opened = acme.world.now()
    acme.world.clock = lambda: opened + timedelta(hours=11)
    acme.world.look_at(pull)
    assert before == refs(acme)["refs/pull/1/merge"]
    acme.world.clock = lambda: opened + timedelta(hours=13)
    acme.world.look_at(pull)
    assert (base, pull.head_sha) == acme.repository.git.read_commit(refs(acme)["refs/pull/1/merge"]).parents


def test_an_older_enterprise_server_makes_the_test_merge_anew_when_somebody_looks(acme: Acme) -> None:
    acme.world.test_merge_follows_base = True
    pull = acme.open_change()
    before = refs(acme)["refs/pull/1/merge"]
    base = acme.world.push("acme/shop", "main", {"other.sql": "x"}, author="olga")
    assert before == refs(acme)["refs/pull/1/merge"]
    acme.world.look_at(pull)
    assert (base, pull.head_sha) == acme.repository.git.read_commit(refs(acme)["refs/pull/1/merge"]).parents


def test_a_closed_pull_request_keeps_its_last_test_merge_and_a_merged_one_has_none(acme: Acme) -> None:
    closed, merged = acme.open_change("one"), acme.open_change("two")
    last = refs(acme)["refs/pull/1/merge"]
    acme.world.close_pull_request(closed, by="dave")
    acme.world.merge(merged, by="olga")
    acme.world.look_at(closed)
    seen = refs(acme)
    assert last == seen["refs/pull/1/merge"]
    assert "refs/pull/2/merge" not in seen
    assert merged.head_sha == seen["refs/pull/2/head"]


def test_the_test_merge_may_be_late(acme: Acme) -> None:
    acme.world.mergeability_delay = math.inf
    pull = acme.open_change()
    assert "refs/pull/1/merge" not in refs(acme)
    assert acme.world.mergeable(acme.world.look_at(pull)) is None
    acme.world.compute_mergeability(pull)
    assert "refs/pull/1/merge" in refs(acme)
    assert acme.world.mergeable(pull)


def test_a_late_test_merge_lands_by_itself(acme: Acme) -> None:
    now = 0.0
    acme.world.monotonic = lambda: now  # type: ignore[method-assign]  # the test's own clock: no waiting
    acme.world.mergeability_delay = 5.0
    acme.open_change()
    now = 4.0
    assert "refs/pull/1/merge" not in refs(acme)
    now = 5.0
    assert "refs/pull/1/merge" in refs(acme)


def test_a_conflict_leaves_the_last_good_test_merge(acme: Acme) -> None:
    pull = acme.open_change()
    good = refs(acme)["refs/pull/1/merge"]
    acme.world.push("acme/shop", "main", {"schema/orders.sql": "CREATE TABLE orders (x int);\n"}, author="olga")
    acme.world.look_at(pull)
    assert good == refs(acme)["refs/pull/1/merge"]
    assert acme.world.mergeable(pull) is False
    assert "dirty" == acme.world.mergeable_state(pull)


def test_a_conflict_from_the_start_has_no_test_merge(acme: Acme) -> None:
    acme.world.push("acme/shop", "add-note", {"schema/orders.sql": ORDERS_WITH_NOTE}, author="dave")
    acme.world.push("acme/shop", "main", {"schema/orders.sql": "CREATE TABLE orders (x int);\n"}, author="olga")
    pull = acme.world.open_pull_request("acme/shop", "add-note", author="dave")
    assert "refs/pull/1/merge" not in refs(acme)
    assert acme.world.mergeable(pull) is False


def test_one_commit_can_be_fetched_shallow_and_without_contents(acme: Acme, tmp_path: Path) -> None:
    pull = acme.open_change()
    merge = refs(acme)["refs/pull/1/merge"]
    token = acme.world.issue_token(acme.installation).value
    git("init", "--quiet", "--bare", str(tmp_path))
    fetched = git("fetch", "--depth=2", "--filter=blob:none", acme.github.clone_url("acme/shop"), merge, cwd=tmp_path, token=token)
    assert 0 == fetched.returncode, fetched.stderr
    parents = git("rev-list", "--parents", "-1", merge, cwd=tmp_path).stdout.split()[1:]
    assert [acme.world.tip("acme/shop", "main"), pull.head_sha] == parents
    missing = git("rev-list", "--objects", "--missing=print", merge, cwd=tmp_path).stdout
    assert "?" in missing


def test_a_private_repository_wants_a_token_that_is_still_good(acme: Acme) -> None:
    url = acme.github.clone_url("acme/shop")
    token = acme.world.issue_token(acme.installation).value
    assert 0 != git("ls-remote", url).returncode
    assert 0 == git("ls-remote", url, token=token).returncode
    acme.world.expire_tokens()
    assert "Authentication failed" in git("ls-remote", url, token=token).stderr


def test_a_token_without_contents_may_not_fetch(acme: Acme) -> None:
    token = acme.world.issue_token(acme.installation, permissions={"checks": "write"}).value
    assert "403" in git("ls-remote", acme.github.clone_url("acme/shop"), token=token).stderr


def test_a_push_with_git_itself_moves_the_pull_request(acme: Acme, tmp_path: Path) -> None:
    pull = acme.open_change()
    token = acme.world.user_token("dave")
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--branch=add-note", acme.github.clone_url("acme/shop"), str(clone), token=token)
    (clone / "new.sql").write_text("CREATE TABLE n (id int);\n")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "--message=More", cwd=clone)
    pushed = git("push", "--quiet", "origin", "HEAD", cwd=clone, token=token)
    assert 0 == pushed.returncode, pushed.stderr
    assert git("rev-parse", "HEAD", cwd=clone).stdout.strip() == pull.head_sha
    assert ("pull_request", "synchronize") == (acme.world.events[-1].name, acme.world.events[-1].action)


def test_a_stranger_and_a_reading_app_may_not_push(acme: Acme, tmp_path: Path) -> None:
    token = acme.world.issue_token(acme.installation).value
    git("clone", "--quiet", acme.github.clone_url("acme/shop"), str(tmp_path / "c"), token=token)
    git("commit", "--quiet", "--allow-empty", "--message=x", cwd=tmp_path / "c")
    for who in (token, acme.world.user_token("mallory")):
        assert 0 != git("push", "--quiet", "origin", "HEAD", cwd=tmp_path / "c", token=who).returncode


def test_nobody_pushes_over_the_refs_of_pull_requests(acme: Acme, tmp_path: Path) -> None:
    acme.open_change()
    token = acme.world.user_token("olga")
    git("clone", "--quiet", acme.github.clone_url("acme/shop"), str(tmp_path / "c"), token=token)
    answer = git("push", "--force", "origin", "HEAD:refs/pull/1/head", cwd=tmp_path / "c", token=token)
    assert 0 != answer.returncode
    assert "hidden ref" in answer.stderr


def test_a_fork_brings_its_head_along(acme: Acme) -> None:
    world = acme.world
    fork = world.fork("acme/shop", "mallory")
    head = world.push(fork, "theirs", {"schema/orders.sql": ORDERS_WITH_NOTE}, author="mallory")
    pull = world.open_pull_request("acme/shop", "theirs", author="mallory", head_repository=fork)
    assert head == refs(acme)["refs/pull/1/head"]
    head = world.push(fork, "theirs", {"b.sql": "x"}, author="mallory")
    assert head == refs(acme)["refs/pull/1/head"] == pull.head_sha
    assert world.mergeable(pull)


def test_odd_paths_and_links_can_be_pushed(acme: Acme) -> None:
    files: dict[bytes, FileContent] = {b"caf\xe9.sql": b"x", b'a "b"\n.sql': b"y", b"l": Symlink("/etc/passwd")}
    sha = acme.world.push("acme/shop", "odd", files, author="dave")
    names = acme.repository.git.git("ls-tree", "-z", "--name-only", sha).split(b"\0")
    assert {b"caf\xe9.sql", b'a "b"\n.sql', b"l"} < set(names)


def test_a_directory_can_be_removed_whole(acme: Acme) -> None:
    sha = acme.world.push("acme/shop", "bare", {"schema": None}, author="dave")
    assert acme.repository.git.entries(sha, "schema") is None


def test_a_force_push_replaces_what_was_there(acme: Acme) -> None:
    pull = acme.open_change()
    first = pull.head_sha
    acme.world.push("acme/shop", "add-note", {"z.sql": "z"}, author="dave", onto="main")
    assert not acme.repository.git.is_ancestor(first, pull.head_sha)
    push = next(e for e in reversed(acme.world.events) if e.name == "push")
    assert push.payload["forced"]


def test_two_pushes_of_the_same_thing_in_the_same_second_are_two_commits(acme: Acme) -> None:
    assert acme.open_change("one").head_sha != acme.open_change("two").head_sha


@pytest.mark.parametrize("path", ["config", "objects/info/packs", "hooks/x"])
def test_only_the_smart_protocol_is_served(acme: Acme, path: str) -> None:
    token = acme.world.issue_token(acme.installation).value
    url = f"{acme.github.clone_url('acme/shop')}/{path}"
    assert 404 == httpx.get(url, auth=("x-access-token", token), trust_env=False, verify=NO_AUTHORITIES).status_code
