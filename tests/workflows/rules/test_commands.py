"""One vocabulary: what is read, what is refused with a way on, and who may say what."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.rules import commands
from workflows.rules.approvals import Members
from workflows.rules.commands import (
    AbortMigration,
    AcknowledgeDrift,
    AddRepository,
    AllowUnsafe,
    ApproveAutorun,
    Command,
    CutOver,
    HoldCutOver,
    MapRepository,
    RetryMigration,
    SetAutorun,
    ShowHelp,
    ShowStatus,
    UnmapRepository,
    help_text,
    judge_actor,
    lines_in,
    parse,
    who_may,
)
from workflows.rules.names import Login, PlanDigest
from workflows.rules.plan import Refusal

ENROL = AddRepository(repository="acme/shop", owner_team="shop-owners", databases_team="databases")
MAP = MapRepository(
    repository="acme/shop", path="schema/shop", database="shop", environment="staging", cluster="shop-staging", schema="shop"
)
UNMAP = UnmapRepository(repository="acme/shop", path="schema/shop", environment="staging")


def refused(line: str) -> Refusal:
    read = parse(line)
    assert isinstance(read, Refusal), read
    return read


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        (RetryMigration(), "retry-migration"),
        (RetryMigration(), "  Retry-Migration  "),
        (AllowUnsafe(digest_prefix="c0ffee12"), "allow-unsafe C0FFEE12"),
        (AllowUnsafe(digest_prefix="c" * 64), f"allow-unsafe {'c' * 64}"),
        (AcknowledgeDrift(), "acknowledge-drift"),
        (HoldCutOver(), "hold-cut-over"),
        (CutOver(), "cut-over"),
        (AbortMigration(), "abort"),
        (ApproveAutorun(), "approve-autorun"),
        (ShowStatus(), "status"),
        (ShowHelp(), "help"),
        (ENROL, "add-repo acme/shop --owner-team shop-owners --databases-team databases"),
        (ENROL, "add-repo --databases-team=@databases --owner-team='shop-owners' acme/shop"),
        (
            AddRepository("acme/shop", "a", "acme/b", ("test", "live"), ("m", "rel/1"), autorun=False, allow_instant=True),
            "add-repo acme/shop --owner-team=a --databases-team=acme/b --environments=test,live --base=m,rel/1 --autorun off --instant on",
        ),
        (
            AddRepository("acme/shop", "", "b", quarantine_days=30),
            "add-repo acme/shop --codeowners on --databases-team b --quarantine-days 30",
        ),
        (MAP, "repo-map acme/shop ./schema/shop/ --database shop --environment staging --cluster shop-staging --schema shop"),
        (UNMAP, "repo-unmap acme/shop ./schema/shop/ --environment staging"),
        (SetAutorun(repository="acme/shop", on=False), "repo-autorun acme/shop off"),
    ],
)
def test_a_line_that_says_a_command(expected: Command, line: str) -> None:
    assert expected == parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "allow-unsafe",
        "allow-unsafe c0ffee1",
        "allow-unsafe c0ffee12 c0ffee13",
        "allow-unsafe everything",
        f"allow-unsafe {'c' * 65}",
        "cut-over now",
        "add-repo acme",
        "add-repo acme/shop",
        "add-repo acme/.. --owner-team a --databases-team b",
        "add-repo acme/shop --owner-team a --databases-team b --environments a,a",
        "add-repo acme/shop --owner-team a --databases-team b --environments a,,b",
        "add-repo acme/shop --owner-team a --databases-team b --base ../x",
        "add-repo acme/shop --owner-team a --databases-team b --autorun maybe",
        "add-repo acme/shop --owner-team a --owner-team b --databases-team b",
        "add-repo acme/shop other/shop --owner-team a --databases-team b",
        "add-repo acme/shop --owner-team a --databases-team",
        "add-repo acme/shop --owner-team a --databases-team b --colour red",
        "add-repo acme/shop --owner-team a --codeowners on --databases-team b",
        "add-repo acme/shop --codeowners off --databases-team b",
        "add-repo acme/shop --owner-team a --databases-team b --quarantine-days 0",
        "add-repo acme/shop --owner-team a --databases-team b --quarantine-days week",
        "add-repo acme/shop --owner-team a --databases-team b --codeowners perhaps",
        "repo-map acme/shop ../x --database d --environment e --cluster c --schema s",
        "repo-map acme/shop /x --database d --environment e --cluster c --schema s",
        "repo-map acme/shop x/../../y --database d --environment e --cluster c --schema s",
        f"repo-map acme/shop x --database d --environment e --cluster c --schema {'s' * 65}",
        "repo-map acme/shop x --database d --environment e --cluster c/d --schema s",
        "repo-unmap acme/shop x",
        "repo-unmap acme/shop ../x --environment e",
        "repo-unmap acme/shop x --environment e --database d",
        "repo-autorun acme/shop",
        "repo-autorun acme/shop perhaps",
    ],
)
def test_wrong_arguments_are_refused_with_the_usage(line: str) -> None:
    read = refused(line)
    assert "wrong-arguments" == read.code
    assert f"Type `.skeefree {line.split(maxsplit=1)[0]}" in read.next


def test_a_typing_error_gets_the_nearest_command() -> None:
    assert "Did you mean `.skeefree retry-migration`?" == refused("retry-migratoin").next
    assert "Did you mean `.skeefree cut-over`?" == refused("cutover").next


def test_a_word_that_resembles_nothing_is_answered_with_help() -> None:
    assert "Type `.skeefree help` to see what can be typed." == refused("xyzzy").next


@pytest.mark.parametrize("word", sorted(commands.COMES_LATER))
def test_a_word_of_the_design_that_comes_later_says_so(word: str) -> None:
    assert "comes-later" == refused(f"{word} 1 2 3").code


def test_a_refusal_speaks_of_the_prefix_of_its_door() -> None:
    read = parse("statsu", prefix="starter.py")
    assert isinstance(read, Refusal)
    assert "Did you mean `starter.py status`?" == read.next


def test_a_word_that_could_carry_markup_is_not_repeated() -> None:
    assert "That is not a command." == refused("<img/src=x>").what


@pytest.mark.parametrize("line", ["", "   ", '"', "'never closed", "a" * 2_000, "\x00", "\\"])
def test_a_line_that_cannot_be_read_is_refused(line: str) -> None:
    assert refused(line).code in {"no-command", "unreadable-command", "unknown-command"}


words = st.sampled_from(
    [*commands.VOCABULARY, *commands.COMES_LATER, "--owner-team", "--database=x", "acme/shop", "c0ffee12", "''", '"', "on"]
)


@given(st.one_of(st.text(), st.lists(st.one_of(words, st.text(max_size=8)), max_size=8).map(" ".join)))
def test_reading_never_raises_and_answers_in_one_line(line: str) -> None:
    read = parse(line)
    if isinstance(read, Refusal):
        assert read.what
        assert read.next
        assert "\n" not in read.what + read.next


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


@given(owner=names, repository=names, team=names, environments=st.lists(names, min_size=1, max_size=4, unique=True))
def test_what_enrolment_was_given_is_what_it_reads(owner: str, repository: str, team: str, environments: list[str]) -> None:
    line = shlex.join(
        ["add-repo", f"{owner}/{repository}", "--owner-team", team, "--databases-team", team, "--environments", ",".join(environments)]
    )
    assert AddRepository(f"{owner}/{repository}", team, team, tuple(environments)) == parse(line)


def test_every_command_has_words_and_help_lists_those_of_a_pull_request() -> None:
    kinds = {name for name in commands.VOCABULARY if f".skeefree {name}" in help_text()}
    assert set(commands.VOCABULARY) - {"add-repo", "repo-map", "repo-unmap", "repo-autorun"} == kinds
    assert not commands.COMES_LATER & set(commands.VOCABULARY)


def test_a_digest_prefix_allows_only_the_plan_that_it_begins() -> None:
    digest = PlanDigest("c0ffee12" + "0" * 56)
    assert AllowUnsafe("c0ffee12").allows(digest)
    assert not AllowUnsafe("c0ffee13").allows(digest)
    assert not AllowUnsafe("c0ff").allows(digest)


# ── Finding commands in a comment ───────────────────────────────────────────────────────────────────────────────────


def test_whole_lines_that_begin_with_the_prefix_are_commands() -> None:
    assert [(1, "status"), (3, "allow-unsafe  x"), (4, "")] == lines_in(".skeefree status\r\ntext\n.skeefree\tallow-unsafe  x \n.skeefree")


@pytest.mark.parametrize("body", ["please .skeefree cut-over", " .skeefree cut-over", ".skeefreee cut-over", "skeefree cut-over"])
def test_a_line_that_does_not_begin_with_the_prefix_is_no_command(body: str) -> None:
    assert [] == lines_in(body)


def test_another_prefix_is_another_vocabulary() -> None:
    assert [(2, "status")] == lines_in(".skeefree help\n/schema status", prefix="/schema")


# ── Who may say what ────────────────────────────────────────────────────────────────────────────────────────────────

AUTHOR = Login("ada")
MEMBERS = Members(owners=frozenset({"Grace"}), dbas=frozenset({"dora"}))
BOTH_DBAS = Members(dbas=frozenset({"dora", "ada"}))
EVERY: list[Command] = [
    RetryMigration(),
    AllowUnsafe("c0ffee12"),
    AcknowledgeDrift(),
    HoldCutOver(),
    CutOver(),
    AbortMigration(),
    ApproveAutorun(),
    ShowStatus(),
    ShowHelp(),
    ENROL,
    MAP,
    UNMAP,
    SetAutorun("acme/shop", on=True),
]


def may(command: Command, actor: str, members: Members = MEMBERS) -> bool:
    return judge_actor(command, Login(actor), AUTHOR, members) is None


@pytest.mark.parametrize("command", [ShowStatus(), ShowHelp()])
def test_anybody_may_ask(command: Command) -> None:
    assert may(command, "mallory")


@pytest.mark.parametrize("command", [RetryMigration(), HoldCutOver(), AbortMigration()])
def test_those_involved_may_stop_and_retry(command: Command) -> None:
    assert [True, True, True, False] == [may(command, actor) for actor in ("ADA", "grace", "Dora", "mallory")]


@pytest.mark.parametrize("command", [AllowUnsafe("c0ffee12"), AcknowledgeDrift(), ApproveAutorun(), CutOver()])
def test_judgements_need_a_dba_who_did_not_write_the_change(command: Command) -> None:
    assert [False, False, True, False] == [may(command, actor) for actor in ("ada", "grace", "DORA", "mallory")]
    assert not may(command, "Ada", BOTH_DBAS)


@pytest.mark.parametrize("command", [ENROL, MAP, UNMAP, SetAutorun("acme/shop", on=True)])
def test_enrolment_is_refused_on_a_pull_request_to_everybody(command: Command) -> None:
    assert not any(may(command, actor) for actor in ("ada", "grace", "dora"))


@pytest.mark.parametrize("command", EVERY)
def test_nobody_at_all_is_nobody(command: Command) -> None:
    empty = Members(owners=frozenset({""}), dbas=frozenset({""}))
    assert (who_may(command) is commands.Role.ANYONE) == (judge_actor(command, Login(""), Login(""), empty) is None)


@pytest.mark.parametrize("command", EVERY)
def test_a_refusal_says_who_can(command: Command) -> None:
    reason = judge_actor(command, Login("mallory"), AUTHOR, MEMBERS)
    assert reason is None or any(who in reason for who in ("databases team", "operators"))
