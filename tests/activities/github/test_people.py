"""CODEOWNERS as GitHub reads it, and memberships as they are now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import NeedsHuman, TryAgain
from activities.github.client import GitHubClient
from activities.github.people import CODEOWNERS_PLACES, People, owners_of, parse_codeowners
from tests.fakes.github.fixtures import Acme
from tests.fakes.github.objects import PullRequest
from workflows.rules.approvals import Members
from workflows.rules.names import Login, PullRequestRef
from workflows.rules.plan import Directory, Enrolment

EVERYBODY = [Login(name) for name in ("dave", "dora", "oscar", "olive", "dana", "dirk", "paula", "mallory", "nobody-at-all")]


def enrolled(owner_team: str = "orders-owners", path: str = "schema") -> Enrolment:
    directory = Directory(path=path, database="orders", environment="staging", cluster="main", schema="orders")
    return Enrolment(repository="acme/shop", owner_team=owner_team, databases_team="databases", directories=(directory,))


@pytest.fixture
def people(client: GitHubClient) -> People:
    return People(client)


async def ask(acme: Acme, people: People, ref: PullRequestRef, enrolment: Enrolment) -> Members:
    return await people.members(ref, acme.world.tip("acme/shop", "main"), enrolment, EVERYBODY)


# ── Teams ──


async def test_active_members_of_both_teams_are_known(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert Members(owners=frozenset({"oscar", "olive"}), dbas=frozenset({"dana", "dirk"})) == await ask(acme, people, ref, enrolled())


async def test_an_invitation_that_was_not_accepted_is_no_membership(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert "paula" not in (await ask(acme, people, ref, enrolled())).dbas
    acme.world.add_member("acme/databases", "paula")
    assert "paula" in (await ask(acme, people, ref, enrolled())).dbas


async def test_who_left_the_team_is_no_member_any_more(acme: Acme, people: People, ref: PullRequestRef) -> None:
    acme.world.remove_member("acme/databases", "dana")
    assert {"dirk"} == (await ask(acme, people, ref, enrolled())).dbas


async def test_a_team_that_does_not_exist_has_no_members(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert frozenset() == (await ask(acme, people, ref, enrolled("no-such-team"))).owners


async def test_a_team_may_be_named_with_its_organisation(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert {"oscar", "olive"} == (await ask(acme, people, ref, enrolled("acme/orders-owners"))).owners


async def unknown(acme: Acme, people: People, ref: PullRequestRef, enrolment: Enrolment, *logins: Login) -> tuple[str, ...]:
    members = await people.members(ref, acme.world.tip("acme/shop", "main"), enrolment, logins)
    return await people.unknown_teams(ref, enrolment, members, logins)


async def test_a_team_that_does_not_exist_is_named(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert ("no-such-team",) == await unknown(acme, people, ref, enrolled("no-such-team"))
    assert ("no-such-team",) == await unknown(acme, people, ref, enrolled("no-such-team"), *EVERYBODY)


async def test_a_team_of_another_organisation_is_named_and_not_asked(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert ("umbrella/owners",) == await unknown(acme, people, ref, enrolled("umbrella/owners"), *EVERYBODY)


async def test_teams_that_are_there_are_asked_for_once_while_nobody_speaks(acme: Acme, people: People, ref: PullRequestRef) -> None:
    for _ in range(3):
        assert () == await unknown(acme, people, ref, enrolled())
    assert 2 == [one.operation for one in acme.world.requests].count("teams/get-by-name")


async def test_a_team_that_was_renamed_is_missed_when_somebody_speaks(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert () == await unknown(acme, people, ref, enrolled())
    acme.world.teams[("acme", "dbas")] = acme.world.teams.pop(("acme", "databases"))
    assert ("databases",) == await unknown(acme, people, ref, enrolled(), Login("olive"))


async def test_a_failing_question_keeps_the_gate_shut(acme: Acme, people: People, ref: PullRequestRef) -> None:
    acme.world.chaos.fail_next("teams/get-membership-for-user-in-org", status=502)
    with pytest.raises(TryAgain):
        await ask(acme, people, ref, enrolled())


async def test_an_app_that_may_not_read_members_says_which_permission_it_lacks(acme: Acme, people: People, ref: PullRequestRef) -> None:
    acme.installation.permissions.pop("members")
    with pytest.raises(NeedsHuman, match=r"(?i)members"):
        await ask(acme, people, ref, enrolled())


# ── CODEOWNERS of the base branch ──

OWNED = "* @olga\n/schema/ @acme/orders-owners\n/.github/ @olga\n"


def write(acme: Acme, text: str | None, place: str = ".github/CODEOWNERS", branch: str = "main") -> None:
    acme.world.push("acme/shop", branch, {place: text}, author="olga", message="owners")


async def test_code_owners_of_the_changed_files_are_the_owners(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, OWNED)
    assert {"oscar", "olive"} == (await ask(acme, people, ref, enrolled(""))).owners


async def test_without_codeowners_nobody_is_an_owner(acme: Acme, people: People, ref: PullRequestRef) -> None:
    assert frozenset() == (await ask(acme, people, ref, enrolled(""))).owners


async def test_codeowners_that_does_not_cover_itself_names_nobody(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, "/schema/ @acme/orders-owners\n")
    assert frozenset() == (await ask(acme, people, ref, enrolled(""))).owners


async def test_codeowners_that_leaves_the_option_files_open_names_nobody(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, OWNED + "/schema/.skeema\n")
    assert frozenset() == (await ask(acme, people, ref, enrolled(""))).owners


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no CODEOWNERS that GitHub hands out: add .github/CODEOWNERS"),
        ("/schema/ @acme/orders-owners\n", ".github/CODEOWNERS on the base branch names no owner of .github/CODEOWNERS,"),
        (OWNED + "/schema/.skeema\n", "names no owner of schema/.skeema,"),
    ],
)
async def test_what_codeowners_lacks_is_named(acme: Acme, people: People, ref: PullRequestRef, text: str | None, said: str) -> None:
    if text is not None:
        write(acme, text)
    assert said in await gap(acme, people, ref)


async def test_codeowners_that_lacks_nothing_leaves_nothing_to_say(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, OWNED)
    assert "" == await gap(acme, people, ref)


async def gap(acme: Acme, people: People, ref: PullRequestRef) -> str:
    """While nobody who spoke is an owner."""
    return await people.codeowners_gap(ref, acme.world.tip("acme/shop", "main"), enrolled(""), Members())


async def test_the_pull_requests_own_codeowners_counts_for_nothing(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, OWNED)
    write(acme, OWNED + "* @mallory\n", branch="add-note")
    assert {"oscar", "olive"} == (await ask(acme, people, ref, enrolled(""))).owners


async def test_who_owns_only_some_of_the_changed_files_is_no_owner(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, OWNED + "/schema/secret.sql @oscar\n")
    acme.world.push("acme/shop", "add-note", {"schema/secret.sql": "CREATE TABLE secret (id int)"}, author="dave", message="two")
    assert {"oscar"} == (await ask(acme, people, ref, enrolled(""))).owners


async def test_a_person_named_in_codeowners_is_an_owner_in_any_case(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, "* @olga\n/schema/ @Dora\n")
    assert {"dora"} == (await ask(acme, people, ref, enrolled(""))).owners


async def test_a_team_of_another_organisation_owns_nothing(acme: Acme, people: People, ref: PullRequestRef) -> None:
    acme.world.add_org("evil", owners=["mallory"])
    acme.world.add_team("evil", "orders-owners", members=["mallory"])
    write(acme, "* @olga\n/schema/ @evil/orders-owners\n")
    assert frozenset() == (await ask(acme, people, ref, enrolled(""))).owners


@pytest.mark.parametrize("place", CODEOWNERS_PLACES)
async def test_codeowners_is_found_in_each_of_githubs_places(
    acme: Acme, people: People, pull: PullRequest, ref: PullRequestRef, place: str
) -> None:
    write(acme, OWNED, place)
    assert {"oscar", "olive"} == (await ask(acme, people, ref, enrolled(""))).owners


async def test_the_first_place_wins(acme: Acme, people: People, ref: PullRequestRef) -> None:
    write(acme, "* @mallory\n", "CODEOWNERS")
    write(acme, OWNED, ".github/CODEOWNERS")
    assert {"oscar", "olive"} == (await ask(acme, people, ref, enrolled(""))).owners


@pytest.mark.parametrize(
    ("pattern", "path", "owned"),
    [
        ("*", "anything/at/all.sql", True),
        ("*.sql", "schema/orders.sql", True),
        ("*.sql", "schema/orders.txt", False),
        ("/*.sql", "schema/orders.sql", False),
        ("/schema/", "schema/orders.sql", True),
        ("/schema/", "schema", False),
        ("/schema", "schema/deep/orders.sql", True),
        ("/schema", "schematics/orders.sql", False),
        ("schema/", "db/schema/orders.sql", True),
        ("db/schema", "other/db/schema/orders.sql", False),
        ("docs/*", "docs/one.md", True),
        ("docs/*", "docs/deep/one.md", False),
        ("**/logs", "build/logs/one", True),
        ("db/**/orders.sql", "db/orders.sql", True),
        ("db/**/orders.sql", "db/a/b/orders.sql", True),
        ("db/**", "db/a/b.sql", True),
        ("db/**", "db", False),
        ("or?ers.sql", "schema/orders.sql", True),
        ("or?ers.sql", "schema/or/ers.sql", False),
        ("/Schema/", "schema/orders.sql", False),
        ("my\\ folder/", "my folder/orders.sql", True),
        ("a.b", "axb", False),
        ("!schema/", "schema/orders.sql", False),
        ("[ab].sql", "a.sql", False),
        ("#schema", "#schema", False),
    ],
)
def test_patterns_match_as_github_says(pattern: str, path: str, owned: bool) -> None:
    assert owned == bool(owners_of(parse_codeowners(f"{pattern} @somebody\n"), path))


def test_the_last_match_wins_even_where_it_names_nobody() -> None:
    rules = parse_codeowners("* @a\n/schema/ @b @acme/c # with a word\n\n/schema/open.sql\n/schema/mail.sql dba@example.com\n")
    assert ("b", "acme/c") == owners_of(rules, "schema/orders.sql")
    assert () == owners_of(rules, "schema/open.sql")
    assert () == owners_of(rules, "schema/mail.sql")
    assert ("a",) == owners_of(rules, "README.md")


def test_a_line_that_is_not_understood_is_left_out() -> None:
    assert ("a",) == owners_of(parse_codeowners("* @a\n/schema/ somebody\n"), "schema/orders.sql")


@given(st.text(alphabet="*?/ab@# \\\n[]!.", max_size=60), st.text(alphabet="ab/.*", max_size=20))
def test_any_codeowners_gets_an_answer(text: str, path: str) -> None:
    assert isinstance(owners_of(parse_codeowners(text), path), tuple)
