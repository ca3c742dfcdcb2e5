"""The clones on disk: whose turn it is, what is left behind, and what never gets there."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from activities.errors import NeedsHuman, TryAgain
from activities.git import GitActivities
from activities.git.cache import GitCache
from tests.activities.git.conftest import Looking, settings_for, table


def a_change(looking: Looking, *columns: str):  # type: ignore[no-untyped-def]  # a pull request
    return looking.change({"schemas/orders/orders.sql": table("orders", *columns)})


def cache_of(looking: Looking) -> GitCache:
    return looking.activities._cache


async def test_the_token_is_in_no_argument_and_in_no_file(looking: Looking, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    spy = tmp_path / "git-spy"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {seen}\nexec git "$@"\n')
    spy.chmod(0o700)
    tokens: list[str] = []
    issue = cache_of(looking).token_for

    async def remembered(repository: str) -> str:
        tokens.append(await issue(repository))
        return tokens[-1]

    settings = looking.settings.model_copy(update={"diff": looking.settings.diff.model_copy(update={"git": str(spy)})})
    changes = await GitActivities(settings, remembered).find_changes(looking.question(a_change(looking, "note")))

    assert changes.refusal is None
    assert tokens
    assert not [content for content in _all_files(tmp_path) if any(token.encode() in content for token in tokens)]
    assert b"fetch" in seen.read_bytes()
    assert 0o700 == stat.S_IMODE((looking.settings.diff.cache_directory / "acme").stat().st_mode)


async def test_the_clone_knows_no_remote_and_a_missing_blob_is_missing(looking: Looking) -> None:
    await looking.find(a_change(looking, "note"))
    before = len(looking.git_requests())
    blob = looking.repository.git.git("rev-parse", "main:README.md").decode().strip()

    async with cache_of(looking).clone_of("acme/store") as clone:
        sizes = await clone.sizes_of([blob])

    assert {} == sizes
    assert before == len(looking.git_requests())
    assert "remote" not in (looking.settings.diff.cache_directory / "acme/store.git/config").read_text()


async def test_many_at_once_take_turns_and_fetch_once(looking: Looking) -> None:
    pull = a_change(looking, "note")
    answers = await asyncio.gather(*(looking.find(pull) for _ in range(8)))

    assert 1 == len(set(answers))
    assert 5 == len(looking.git_requests())


async def test_another_process_waits_for_its_turn(looking: Looking, tmp_path: Path) -> None:
    await looking.find(a_change(looking, "note"))
    script = textwrap.dedent("""
        import fcntl, os, sys
        handle = os.open(sys.argv[1], os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("free")
        except BlockingIOError:
            print("taken")
    """)
    lock = looking.settings.diff.cache_directory / "acme/store.lock"

    async def others_view() -> str:
        run = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(lock)], capture_output=True, text=True, check=True)
        return run.stdout.strip()

    async with cache_of(looking).clone_of("acme/store"):
        assert "taken" == await others_view()
    assert "free" == await others_view()


async def test_a_look_that_is_cancelled_leaves_no_git_behind(looking: Looking, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    slow = tmp_path / "git-slow"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *" fetch "*) sleep 600 & echo $$ $! > {pids}; wait;; esac\nexec git "$@"\n')
    slow.chmod(0o700)
    settings = looking.settings.model_copy(update={"diff": looking.settings.diff.model_copy(update={"git": str(slow)})})
    asked = looking.question(a_change(looking, "note"))
    task = asyncio.create_task(GitActivities(settings, cache_of(looking).token_for).find_changes(asked))
    await _until(lambda: pids.exists() and len(pids.read_text().split()) == 2)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    for pid in (int(one) for one in pids.read_text().split()):
        await _until(lambda pid=pid: not _alive(pid))
    assert (await looking.activities.find_changes(asked)).refusal is None


async def test_a_git_that_hangs_is_given_up_after_the_ceiling(looking: Looking, tmp_path: Path) -> None:
    hanging = tmp_path / "git-hangs"
    hanging.write_text('#!/bin/sh\ncase "$*" in *" fetch "*) exec sleep 600;; esac\nexec git "$@"\n')
    hanging.chmod(0o700)
    settings = settings_for(looking.acme.github.html_url, tmp_path, seconds=1)
    settings = settings.model_copy(update={"diff": settings.diff.model_copy(update={"git": str(hanging)})})

    changes = await GitActivities(settings, cache_of(looking).token_for).find_changes(looking.question(a_change(looking, "note")))

    assert changes.refusal is not None
    assert ("too-slow", True) == (changes.refusal.code, changes.refusal.passing)


async def test_waiting_for_the_clone_is_not_being_slow(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = looking.question(a_change(looking, "note"))
    enough = looking.settings.diff.ceilings
    monkeypatch.setattr(looking.activities, "_ceilings", enough.model_copy(update={"seconds": 1}))
    async with cache_of(looking).clone_of("acme/store"):
        waiting = asyncio.create_task(looking.activities.find_changes(asked))
        done, _ = await asyncio.wait([waiting], timeout=1.5)  # longer than the ceiling
        monkeypatch.setattr(looking.activities, "_ceilings", enough)

    assert set() == done
    assert (await waiting).refusal is None


async def test_what_a_killed_git_left_is_cleared_away(looking: Looking) -> None:
    await looking.find(a_change(looking, "note"))
    clone = looking.settings.diff.cache_directory / "acme/store.git"
    (clone / "shallow.lock").touch()
    (clone / "objects/pack/tmp_pack_x").write_bytes(b"half")
    pull = looking.change({"schemas/orders/customers.sql": table("customers", "x")}, branch="next")

    assert (await looking.find(pull)).refusal is None
    assert not (clone / "objects/pack/tmp_pack_x").exists()


async def test_a_damaged_clone_is_made_anew(looking: Looking) -> None:
    pull = a_change(looking, "note")
    good = await looking.find(pull)
    for pack in (looking.settings.diff.cache_directory / "acme/store.git/objects/pack").glob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"PACK" + os.urandom(200))

    assert good == await looking.find(pull)


async def test_a_clone_with_too_many_packs_is_made_anew(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.git.cache.PACKS_BEFORE_A_FRESH_START", 2)
    for number in range(3):
        pull = looking.change({"schemas/orders/orders.sql": table("orders", f"c{number}")}, branch=f"b{number}")
        assert (await looking.find(pull)).refusal is None
    packs = list((looking.settings.diff.cache_directory / "acme/store.git/objects/pack").glob("*.pack"))

    assert 4 >= len(packs)


@pytest.mark.parametrize("name", ["acme", "../x/y", "acme/..", "acme/.", "acme/a b", "-x/y\n", "a/b/c", ""])
async def test_what_is_no_repository_name_reaches_no_disk(looking: Looking, name: str) -> None:
    with pytest.raises(NeedsHuman, match="owner/name"):
        async with cache_of(looking).clone_of(name):
            pass


async def test_only_the_settings_transport_is_spoken(looking: Looking, tmp_path: Path) -> None:
    settings = settings_for("ext::sh -c touch% " + str(tmp_path / "witness") + "% #", tmp_path)
    activities = GitActivities(settings, cache_of(looking).token_for)

    with pytest.raises((TryAgain, NeedsHuman)):
        await activities.find_changes(looking.question(a_change(looking, "note")))
    assert not (tmp_path / "witness").exists()


async def test_a_git_that_would_ignore_its_safety_settings_is_not_used(looking: Looking, tmp_path: Path) -> None:
    old = tmp_path / "git-old"
    old.write_text("#!/bin/sh\necho git version 2.37.9\n")
    old.chmod(0o700)
    settings = looking.settings.model_copy(update={"diff": looking.settings.diff.model_copy(update={"git": str(old)})})

    with pytest.raises(NeedsHuman, match=r"2\.37\.9 is too old: skeebot needs git 2\.38"):
        await GitActivities(settings, cache_of(looking).token_for).find_changes(looking.question(a_change(looking, "note")))


async def test_git_that_is_not_there_needs_a_person(looking: Looking) -> None:
    settings = looking.settings.model_copy(update={"diff": looking.settings.diff.model_copy(update={"git": "no-such-git"})})
    with pytest.raises(NeedsHuman, match="install it"):
        await GitActivities(settings, cache_of(looking).token_for).find_changes(looking.question(a_change(looking, "note")))


def _all_files(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return "Z" != Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] if Path(f"/proc/{pid}/stat").exists() else True


async def _until(condition, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]  # a function of nothing
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
