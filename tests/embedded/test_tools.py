"""How tools are found, and what is said when one cannot be had."""

import os
import re
import stat
import threading
import time
from pathlib import Path

import pytest

from embedded import debian, tools
from embedded.cache import cache_root, cached
from embedded.tools import ToolMissingError, Tools


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH is one empty folder and the cache is empty: a fresh machine with nothing on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("SKEEBOT_CACHE", str(tmp_path / "cache"))
    return folder


def program(folder: Path, name: str, says: str, *, exit_code: int = 0) -> Path:
    """A program that only says its version."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {exit_code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_every_tool_is_there_in_the_pinned_version(tools: Tools) -> None:
    for path in (tools.temporal, tools.gh_ost, tools.skeema):
        assert os.access(path, os.X_OK), path
    assert tools.mysqld.version.split(".")[0] in {"8", "9", "10"}


def test_a_fitting_tool_on_path_is_preferred(bare_path: Path) -> None:
    there = program(bare_path, "gh-ost", "1.1.11 (git commit: abc)")
    assert there == tools.gh_ost()


def test_a_gh_ost_that_loses_rows_is_not_used_and_the_error_says_what_to_do(bare_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare_path, "gh-ost", "1.1.9 (git commit: abc)")
    program(bare_path, "go", "go version go1.19 linux/amd64")
    monkeypatch.setattr("sys.executable", str(program(bare_path, "python", "no network", exit_code=1)))
    with pytest.raises(ToolMissingError) as missing:
        tools.gh_ost()
    text = str(missing.value)
    assert "gh-ost" == missing.value.tool
    assert "1.1.9 (git commit: abc); 1.1.10 is needed" in text
    assert re.search(r"go version go1\.19 linux/amd64; 1\.\d+\.\d+ or later is needed", text)
    assert "no network" in text
    assert "by hand: put gh-ost 1.1.10 from its GitHub releases page" in text


def test_mariadb_is_refused_by_name(bare_path: Path) -> None:
    program(bare_path, "mysqld", "mysqld  Ver 11.4.2-MariaDB for Linux on x86_64")
    with pytest.raises(ToolMissingError) as missing:
        tools.mysqld()
    text = str(missing.value)
    assert "gh-ost does not run on MariaDB" in text
    assert "apt-get is not on PATH" in text
    assert "install MySQL 9" in text


def test_a_mysql_that_is_too_old_is_refused_with_its_own_words(bare_path: Path) -> None:
    program(bare_path, "mysqld", "/usr/sbin/mysqld  Ver 5.7.44 for Linux on x86_64 (MySQL Community Server (GPL))")
    with pytest.raises(ToolMissingError, match=r"Ver 5\.7\.44.*8\.4 or later is needed"):
        tools.mysqld()


def test_a_new_enough_mysql_on_path_is_used_as_it_is(bare_path: Path) -> None:
    there = program(bare_path, "mysqld", "/usr/sbin/mysqld  Ver 9.6.0 for Linux on x86_64 (MySQL Community Server (GPL))")
    found = tools.mysqld()
    assert ((str(there),), (), "9.6.0") == (found.command, found.options, found.version)
    assert [str(there), "--no-defaults"] == found.argv()[:2]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("1.1.10 (git commit: unknown)", (1, 1, 10)),
        ("skeema version 1.14.1, community edition, built from source", (1, 14, 1)),
        ("temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)", (1, 9, 1)),
        ("/opt/mysql-8.0.1/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))", (9, 7, 4)),
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("Segmentation fault", ()),
        ("", ()),
    ],
)
def test_versions_are_read_as_programs_print_them(tmp_path: Path, said: str, version: tuple[int, ...]) -> None:
    assert version == tools._ask(program(tmp_path, "it", said))[0]


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SKEEBOT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path / "home/.cache/skeebot" == cache_root()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert tmp_path / "xdg/skeebot" == cache_root()
    monkeypatch.setenv("SKEEBOT_CACHE", str(tmp_path / "ours"))
    assert tmp_path / "ours" == cache_root()


def test_two_that_want_the_same_entry_make_it_once(bare_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        deadline = time.monotonic() + 5
        while threading.active_count() < before + 2 and time.monotonic() < deadline:  # the other is on its way
            time.sleep(0.01)
        (folder / "it").write_text("whole")

    before = threading.active_count()
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(cached("thing-1", make))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 == len(made)
    assert [cache_root() / "thing-1"] * 2 == found
    assert "whole" == (found[0] / "it").read_text()


def test_a_failed_entry_leaves_nothing_and_can_be_made_again(bare_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("the network went away")

    with pytest.raises(OSError, match="the network went away"):
        cached("thing-1", fail)
    assert [] == [path.name for path in cache_root().iterdir() if path.name != "locks"]
    assert cached("thing-1", lambda folder: (folder / "it").touch()).is_dir()


def test_what_a_killed_maker_left_is_cleared_away(bare_path: Path) -> None:
    left = cache_root() / ".being-made-thing-1-abc"
    left.mkdir()
    cached("thing-1", lambda folder: (folder / "it").touch())
    assert not left.exists()


ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb http://packages.example/apt cloud-sdk-bookworm main
deb http://security.example/debian-security bookworm-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/ours.gpg] http://mirror.example/debian bookworm main contrib # ours
"""

DEB822 = """\
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

# our own mirror
Types: deb deb-src
URIs: http://mirror.example/debian
 http://second.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/ours.gpg
"""


def sources(tmp_path: Path, **files: str) -> list[Path]:
    paths = []
    for name, text in files.items():
        path = tmp_path / name.replace("_", ".")
        path.write_text(text)
        paths.append(path)
    return paths


def test_the_mirror_is_read_from_one_line_sources(tmp_path: Path) -> None:
    expected = debian.Mirror("http://mirror.example/debian", "/usr/share/keyrings/ours.gpg")
    assert expected == debian.mirror_of(sources(tmp_path, some_list=ONE_LINE))


def test_the_mirror_is_read_from_deb822_sources(tmp_path: Path) -> None:
    expected = debian.Mirror("http://mirror.example/debian", "/usr/share/keyrings/ours.gpg")
    assert expected == debian.mirror_of(sources(tmp_path, some_sources=DEB822))


@pytest.mark.parametrize(
    "stanza",
    [
        DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb"),
        DEB822.replace("Types: deb deb-src", "Types: deb-src"),
        DEB822.replace("trixie trixie-updates", "noble"),
        "nonsense without a colon\n\n\n",
    ],
    ids=["disabled", "sources only", "another distribution", "nonsense"],
)
def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path: Path, stanza: str) -> None:
    with pytest.raises(debian.NotFromDebianError, match=r"no Debian mirror .*some\.sources"):
        debian.mirror_of(sources(tmp_path, some_sources=stanza))


def test_a_key_written_into_the_stanza_is_left_to_apt(tmp_path: Path) -> None:
    text = DEB822.replace("Signed-By: /usr/share/keyrings/ours.gpg", "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert debian.mirror_of(sources(tmp_path, some_sources=text)).signed_by is None
