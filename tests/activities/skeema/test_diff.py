"""skeema as a subprocess: what it says becomes proposals, and whatever it could not do becomes a refusal."""

from pathlib import Path

import pytest

from activities.mysql.connect import Address
from activities.mysql.workspace import Workspace
from activities.settings import Account
from activities.skeema.diff import Proposal, Skeema, read_answer
from embedded.mysql import MySQLServer
from embedded.tools import Tools
from tests.activities.skeema.workspace import workspace_of
from workflows.rules.plan import ChangeKind, Refusal

_HEADER = "-- instance: 127.0.0.1:3306\nUSE `_skeebot_x`;\n"


def test_a_statement_with_quotes_semicolons_and_line_breaks_comes_out_whole() -> None:
    said = _HEADER + "\\! skeebot ALTER TABLE t 'ALTER TABLE `t` COMMENT '\"'\"'a;b\n-- c'\"'\"''\n"
    assert (Proposal(ChangeKind.ALTER_TABLE, "t", "ALTER TABLE `t` COMMENT 'a;b\n-- c'"),) == read_answer(1, said, "")


def test_no_difference_is_no_proposal() -> None:
    assert () == read_answer(0, "", "2026-11-22 05:54:58 [INFO]  127.0.0.1:1 x: No differences found\n")


@pytest.mark.parametrize(
    "line",
    [
        "[WARN]  Ignoring 1 unsupported or unparseable statements found in this directory's *.sql files; run `skeema lint` for more info",
        "[WARN]  Skipping table `t`: Skeema does not support generating a diff of this table.",
        "[ERROR] Skipping 127.0.0.1:3306 for /tmp/x: Error 1045",
        "[FATAL] anything",
    ],
)
def test_every_warning_is_a_refusal(line: str) -> None:
    answer = read_answer(1, _HEADER + "\\! skeebot DROP TABLE t 'DROP TABLE `t`'\n", f"2026-11-22 05:54:58 {line}\n")
    assert isinstance(answer, Refusal)
    assert "skeema-refused" == answer.code
    assert line.partition("]")[2].strip().partition(" for /")[0] in answer.what


def test_what_skeema_thinks_of_the_servers_version_is_no_refusal() -> None:
    said = "[WARN]  Database server 127.0.0.1:1 flavor MySQL 9.9 is newer than this release of Skeema. To ensure correct behavior, upgrade."
    assert () == read_answer(0, "", f"2026-11-22 05:54:58 {said}\n")


def test_an_exit_code_of_failure_is_a_refusal_even_without_a_word() -> None:
    answer = read_answer(2, "", "")
    assert isinstance(answer, Refusal)
    assert "exit code 2" in answer.what


def test_a_statement_about_anything_but_a_table_is_a_refusal() -> None:
    answer = read_answer(1, _HEADER + "\\! skeebot ALTER DATABASE x 'ALTER DATABASE `x` CHARACTER SET latin1'\n", "")
    assert isinstance(answer, Refusal)


async def test_option_files_of_the_user_are_not_read_and_the_password_is_in_no_argument(
    workspace_server: MySQLServer, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trapped"
    for name in (".skeema", ".my.cnf"):
        (tmp_path / name).write_text(f"[skeema]\nalter-wrapper=/usr/bin/touch {trap}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = tmp_path / "seen"
    spy = tmp_path / "skeema"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "$HOME" > {seen}\nexec {tools.skeema} "$@"\n')
    spy.chmod(0o700)
    workspace, account = workspace_of(workspace_server)
    proposals = await _widened(workspace, Skeema(str(spy), workspace.address, account))
    assert ("ALTER TABLE `t` MODIFY COLUMN `a` varchar(50) DEFAULT NULL",) == proposals
    assert not trap.exists()
    assert account.secret() not in seen.read_text()
    assert str(tmp_path) not in seen.read_text().splitlines()


async def test_a_server_that_is_away_is_a_refusal_that_says_so(workspace_server: MySQLServer, tools: Tools) -> None:
    account = Account(user="nobody", password="wrong")  # type: ignore[arg-type]
    answer = await Skeema(str(tools.skeema), Address("127.0.0.1", workspace_server.port), account).diff(
        "_skeebot_a", {}, scratch="_skeebot_b", charset="utf8mb4", collation="utf8mb4_0900_ai_ci"
    )
    assert isinstance(answer, Refusal)


async def _widened(workspace: Workspace, skeema: Skeema) -> tuple[str, ...]:
    async with workspace.open() as scratch:
        one = await scratch.schema()
        assert None is await one.load({"t": "CREATE TABLE t (id int primary key, a varchar(40))"})
        desired = {"t": (await one.definition("t")).replace("varchar(40)", "varchar(50)")}
        answer = await skeema.diff(one.name, desired, scratch=scratch.name(), charset="utf8mb4", collation="utf8mb4_0900_ai_ci")
        assert not isinstance(answer, Refusal)
        return tuple(proposal.statement for proposal in answer)
