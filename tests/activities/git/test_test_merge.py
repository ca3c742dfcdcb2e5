"""The test merge where GitHub has none that fits: what it joins, what conflicts, and that everybody makes the same one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.errors import TryAgain
from activities.git import GitActivities
from activities.git.find import PATIENCE
from tests.activities.git.conftest import OPTIONS, Looking, table
from tests.fakes.github.bare_git import FileContent, Files, Symlink
from workflows.messages import Changes
from workflows.rules.plan import Directory

ORDERS = "schemas/orders/orders.sql"


def long_table(*, first: str = "first", last: str = "last") -> str:
    """A table whose first and last columns are far enough apart for two people to change one each."""
    return table("orders", first, *(f"c{number}" for number in range(20)), last)


def tables_of(changes: Changes) -> dict[str, tuple[str, ...]]:
    """ "database" → tables, in staging."""
    return {one.row.database: one.tables for one in changes.directories if one.row.environment == "staging"}


async def sql_of(looking: Looking, changes: Changes, name: str, *, path: str = "schemas/orders") -> str:
    return (await looking.activities.sources_of("acme/store", changes, path, at="merge")).tables[name].sql


def elsewhere(looking: Looking, name: str = "other") -> GitActivities:
    """Another worker, whose disk is empty."""
    (folder := looking.settings.diff.cache_directory.parent / name).mkdir()
    settings = looking.settings.model_copy(update={"diff": looking.settings.diff.model_copy(update={"cache_directory": folder})})
    return GitActivities(settings, looking.activities._cache.token_for)


def refs(looking: Looking) -> dict[str, str]:
    return looking.repository.git.refs("refs/pull/")


# ── A base that moves ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unrelated_push_to_main_changes_nothing_of_what_is_planned(looking: Looking) -> None:
    pull = looking.change({ORDERS: table("orders", "total", "note")})
    before = await looking.find(pull)
    stale = refs(looking)
    base = looking.push_to_main({"README.md": "# more\n"})

    after = await looking.find(pull)

    assert stale == refs(looking)
    assert (None, before.directories, base) == (after.refusal, after.directories, after.base_sha)
    assert await sql_of(looking, before, "orders") == await sql_of(looking, after, "orders")


async def test_somebody_elses_column_on_the_same_table_is_in_what_is_desired(looking: Looking) -> None:
    looking.push_to_main({ORDERS: long_table()})
    pull = looking.change({ORDERS: long_table(last="mine")})
    await looking.find(pull)
    looking.push_to_main({ORDERS: long_table(first="theirs"), "schemas/orders/customers.sql": table("customers", "email")})

    changes = await looking.find(pull)

    assert (None, {"orders": ("orders",)}) == (changes.refusal, tables_of(changes))
    assert long_table(first="theirs", last="mine").rstrip(";\n") == (await sql_of(looking, changes, "orders")).rstrip(";\n")
    assert "email" in await sql_of(looking, changes, "customers")


async def test_our_own_merge_is_the_one_that_github_makes_of_the_same_two(looking: Looking) -> None:
    looking.push_to_main({ORDERS: long_table()})
    pull = looking.change({ORDERS: long_table(last="mine"), "schemas/catalog/prices.sql": table("prices"), "src/app.py": None})
    looking.push_to_main({ORDERS: long_table(first="theirs"), "docs/new/page.md": "x\n", "schemas/catalog/items.sql": None})

    changes = await looking.find(pull)
    async with looking.activities._cache.clone_of("acme/store") as clone:
        ours = (await clone.output_of("rev-parse", f"{changes.merge_sha}^{{tree}}")).decode().strip()

    assert looking.repository.git.merge_tree(changes.base_sha, pull.head_sha) == ours


async def test_a_change_that_main_has_already_is_no_change(looking: Looking) -> None:
    start = looking.acme.world.tip(looking.repository, "main")
    looking.push_to_main({ORDERS: table("orders", "total", "note")})
    pull = looking.change({ORDERS: table("orders", "total", "note"), "src/app.py": "print(2)\n"}, onto=start)

    changes = await looking.find(pull)

    assert ((), None) == (changes.directories, changes.refusal)


async def test_a_removal_that_main_undid_by_changing_the_file_is_a_conflict(looking: Looking) -> None:
    pull = looking.change({ORDERS: None})
    looking.push_to_main({ORDERS: table("orders", "total", "theirs")})

    assert "conflict" == await code_of(looking, pull)


# ── Conflicts ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def code_of(looking: Looking, pull) -> str:  # type: ignore[no-untyped-def]  # a pull request
    refusal = (await looking.find(pull)).refusal
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({ORDERS: table("orders", "theirs")}, {ORDERS: table("orders", "ours")}),
        ({ORDERS: None}, {ORDERS: table("orders", "ours")}),
        ({"schemas/orders/new.sql": table("new", "theirs")}, {"schemas/orders/new.sql": table("new", "ours")}),
        ({ORDERS: table("orders", "theirs")}, {ORDERS: Symlink("customers.sql")}),
        ({"schemas/orders/new.sql": table("new")}, {"schemas/orders": Symlink("elsewhere")}),
        ({"schemas/orders/new.sql": table("new")}, {"schemas/orders/new.sql/deeper": "x\n"}),
    ],
    ids=["a line", "a removal", "a new file", "a link", "a directory that is a link", "a file that is a directory"],
)
async def test_a_conflict_in_a_schema_file_is_named_with_what_to_do(
    looking: Looking, theirs: Mapping[str, FileContent], ours: Mapping[str, FileContent]
) -> None:
    pull = looking.change(ours)
    looking.push_to_main(theirs)

    changes = await looking.find(pull)

    assert changes.refusal is not None
    assert ("conflict", False) == (changes.refusal.code, changes.refusal.passing)
    assert f"`{next(iter(theirs))}`" in changes.refusal.what
    assert "merge or rebase the base branch" in changes.refusal.next


async def test_a_conflict_elsewhere_keeps_no_plan_from_being_made(looking: Looking) -> None:
    ours: dict[str, FileContent] = {"src/app.py": "print(1)\n", "README.md": None, "src/lib": "file\n", ORDERS: table("orders", "note")}
    pull = looking.change(ours | {"schemas/orders/.skeema": OPTIONS + "a=1\n"})
    theirs: Files = {"src/app.py": "print(2)\n", "README.md": "# 2\n", "schemas/orders/.skeema": OPTIONS + "a=2\n", "src/lib/x.py": "x\n"}
    looking.push_to_main(theirs)

    changes = await looking.find(pull)

    assert not looking.acme.world.mergeable(looking.acme.world.look_at(pull))
    assert (None, {"orders": ("orders",)}) == (changes.refusal, tables_of(changes))


async def test_an_unmapped_schema_file_that_both_changed_is_still_unmapped(looking: Looking) -> None:
    looking.push_to_main({"schemas/billing/.skeema": "schema=billing\n", "schemas/billing/bills.sql": table("bills")})
    pull = looking.change({"schemas/billing/bills.sql": table("bills", "ours")})
    looking.push_to_main({"schemas/billing/bills.sql": table("bills", "theirs")})

    assert ["unmapped", "unmapped"] == [await code_of(looking, pull) for _ in range(2)]


async def test_a_directory_that_is_mapped_later_is_merged_then(looking: Looking) -> None:
    looking.push_to_main({"schemas/billing/.skeema": "a=1\n", "schemas/billing/orders.sql": long_table()})
    pull = looking.change({"schemas/billing/orders.sql": long_table(last="mine")})
    looking.push_to_main({"schemas/billing/orders.sql": long_table(first="theirs")})
    await looking.find(pull)
    looking.map(Directory("schemas/billing", "billing", "staging", "staging-main", "billing"))

    changes = await looking.find(pull)

    assert {"billing": ("orders",)} == tables_of(changes)
    assert "theirs" in (sql := await sql_of(looking, changes, "orders", path="schemas/billing"))
    assert "mine" in sql


async def test_a_strangers_files_are_not_merged_before_a_member_asks(looking: Looking) -> None:
    looking.push_to_main({ORDERS: long_table()})
    pull = looking.change({ORDERS: long_table(last="mine")})
    looking.push_to_main({ORDERS: long_table(first="theirs")})

    refused = await looking.activities.find_changes(looking.question(pull, from_fork=True))
    async with looking.activities._cache.clone_of("acme/store") as clone:
        blobs = [looking.repository.git.git("rev-parse", f"{one}:{ORDERS}").decode().strip() for one in ("main", pull.head_sha)]
        assert {} == await clone.sizes_of(blobs)
    allowed = await looking.activities.find_changes(looking.question(pull, from_fork=True, allow_fork=True))

    assert refused.refusal is not None
    assert ("fork", {"orders": ()}) == (refused.refusal.code, tables_of(refused))
    assert "theirs" in await sql_of(looking, allowed, "orders")


async def test_a_file_that_both_changed_is_read_only_within_its_ceiling(looking: Looking) -> None:
    pull = looking.change({ORDERS: table("orders", "total") + "-- " + "x" * 5_000_000 + "\n"})
    looking.push_to_main({ORDERS: table("orders", "total", "theirs")})

    refusal = (await looking.find(pull)).refusal

    assert refusal is not None
    assert "too-large" == refusal.code
    assert f"`{ORDERS}`" in refusal.what


async def test_a_driver_named_by_the_pull_request_is_not_asked(looking: Looking, tmp_path: Path) -> None:
    pull = looking.change({".gitattributes": "*.sql merge=ours -merge\n", ORDERS: table("orders", "ours")})
    looking.push_to_main({ORDERS: table("orders", "theirs")})

    assert "conflict" == await code_of(looking, pull)


async def test_a_name_that_git_itself_refuses_is_refused_and_costs_nobody_the_clone(looking: Looking) -> None:
    pull = looking.change({ORDERS: table("orders", "total", "note")})
    await looking.find(pull)
    clone = looking.settings.diff.cache_directory / "acme/store.git"
    made = clone.stat().st_ino
    git = looking.repository.git
    blob = git.git("hash-object", "-w", "--stdin", stdin=b"x")
    inside = git.git("mktree", stdin=b"100644 blob %s\thooks\n" % blob.strip()).strip()
    tree = git.git("mktree", stdin=git.git("ls-tree", pull.head_sha) + b"040000 tree %s\t.git\n" % inside).decode().strip()
    commit = git.commit_tree(tree, (pull.head_sha,), name="M", email="m@x", message="x", at=looking.acme.world.exactly_now())
    looking.acme.world.mergeability_delay = float("inf")
    looking.acme.world.force_push(looking.repository, "change", commit, by="dave")

    refusal = (await looking.find(pull)).refusal

    assert refusal is not None
    assert "bad-name" == refusal.code
    assert ".git/hooks" in refusal.what
    assert made == clone.stat().st_ino


# ── Where the branch began ──────────────────────────────────────────────────────────────────────────────────────────


def joined(looking: Looking, branch: str, files: Files, *others: str) -> str:
    """A merge commit on a branch: its own tip and others, with the files of the branch's tip and these."""
    git = looking.repository.git
    own = looking.acme.world.push(looking.repository, branch, files, author="dave")
    tree = git.read_commit(own).tree
    commit = git.commit_tree(tree, (own, *others), name="Dave", email="d@x", message="join", at=looking.acme.world.exactly_now())
    looking.acme.world.force_push(looking.repository, branch, commit, by="dave")
    return commit


async def test_a_branch_that_took_main_in_begins_where_it_took_it(looking: Looking) -> None:
    """It took in that a column was removed; main has put it back since, and there it stays."""
    start = looking.acme.world.tip(looking.repository, "main")
    looking.acme.world.push(looking.repository, "change", {"src/app.py": "print(3)\n"}, author="dave", onto=start)
    taken = looking.push_to_main({ORDERS: table("orders")})
    joined(looking, "change", {ORDERS: table("orders"), "schemas/orders/new.sql": table("new")}, taken)
    looking.push_to_main({ORDERS: table("orders", "total")})
    pull = looking.acme.world.open_pull_request(looking.repository, "change", "main", author="dave")
    looking.push_to_main({"README.md": "# more\n"})

    changes = await looking.find(pull)

    assert {"orders": ("new",)} == tables_of(changes)
    assert "total" in await sql_of(looking, changes, "orders")


async def test_however_far_back_the_branch_began_it_is_found(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.git.cache.HISTORY_DEPTHS", (2, 4, 2_147_483_647))
    pull = looking.change({ORDERS: table("orders", "total", "note")})
    for number in range(12):
        looking.push_to_main({f"docs/{number}.md": "x\n"})
    looking.push_to_main({"schemas/orders/customers.sql": table("customers", "email")})

    changes = await looking.find(pull)

    assert {"orders": ("orders",)} == tables_of(changes)
    assert "email" in await sql_of(looking, changes, "customers")
    assert [] == list(looking.settings.diff.cache_directory.glob("*/*.history"))


async def test_an_older_common_ancestor_is_not_taken_for_the_beginning_because_it_is_nearer(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four commits down, all that both seem to have is where main was at first; from there the branch seems to drop a column."""
    monkeypatch.setattr("activities.git.cache.HISTORY_DEPTHS", (4, 2_147_483_647))
    world, start = looking.acme.world, looking.acme.world.tip(looking.repository, "main")
    old = world.push(looking.repository, "old", {"docs/old.md": "x\n"}, author="dora", onto=start)
    world.push(looking.repository, "change", {"src/app.py": "print(3)\n"}, author="dave", onto=start)
    taken = looking.push_to_main({ORDERS: table("orders")})
    joined(looking, "change", {ORDERS: table("orders")}, taken)
    looking.push_to_main({ORDERS: table("orders", "total")})
    for number in range(6):
        looking.push_to_main({f"docs/{number}.md": "x\n"})
    joined(looking, "main", {"docs/old.md": "x\n"}, old)
    pull = world.open_pull_request(looking.repository, "change", "main", author="dave")
    looking.push_to_main({"README.md": "# more\n"})

    assert ((), None) == ((changes := await looking.find(pull)).directories, changes.refusal)


async def criss_crossed(looking: Looking, ours: Files, theirs: Files):  # type: ignore[no-untyped-def]  # a pull request
    """Main and the branch each took the other's work in, at the same time."""
    start = looking.acme.world.tip(looking.repository, "main")
    mine = looking.acme.world.push(looking.repository, "change", ours, author="dave", onto=start)
    main = looking.push_to_main(theirs)
    joined(looking, "change", theirs, main)
    joined(looking, "main", ours, mine)
    looking.acme.world.push(looking.repository, "change", {"schemas/orders/new.sql": table("new")}, author="dave")
    looking.acme.world.mergeability_delay = float("inf")
    return looking.acme.world.open_pull_request(looking.repository, "change", "main", author="dave")


async def test_branches_that_took_each_other_in_are_merged_where_every_beginning_comes_to_the_same(looking: Looking) -> None:
    pull = await criss_crossed(looking, {ORDERS: table("orders", "total", "note")}, {"schemas/catalog/items.sql": table("items", "x")})

    changes = await looking.find(pull)

    assert (None, {"orders": ("new",)}) == (changes.refusal, tables_of(changes))
    assert "note" in await sql_of(looking, changes, "orders")


async def test_branches_that_took_each_other_in_are_refused_where_it_depends_on_the_beginning(looking: Looking) -> None:
    pull = await criss_crossed(looking, {ORDERS: table("orders", "total", "note")}, {"schemas/catalog/items.sql": table("items", "x")})
    looking.acme.world.push(looking.repository, "change", {"schemas/catalog/items.sql": table("items")}, author="dave")

    changes = await looking.find(pull)

    assert changes.refusal is not None
    assert "criss-cross" == changes.refusal.code
    assert "merge the base branch into it and push" in changes.refusal.next


async def test_branches_without_a_common_beginning_are_refused(looking: Looking) -> None:
    pull = looking.change({ORDERS: table("orders", "total", "note")})
    git = looking.repository.git
    tree = git.read_commit(pull.head_sha).tree
    alone = git.commit_tree(tree, (), name="Dave", email="d@x", message="alone", at=looking.acme.world.exactly_now())
    looking.acme.world.force_push(looking.repository, "change", alone, by="dave")

    changes = await looking.find(pull)

    assert changes.refusal is not None
    assert "unrelated" == changes.refusal.code
    assert "Make the change again on a branch of the base branch" in changes.refusal.next


# ── The same everywhere ─────────────────────────────────────────────────────────────────────────────────────────────


async def moved(looking: Looking):  # type: ignore[no-untyped-def]  # a pull request
    """Both changed the same table, and GitHub's test merge stayed behind."""
    looking.push_to_main({ORDERS: long_table()})
    pull = looking.change({ORDERS: long_table(last="mine")})
    looking.push_to_main({ORDERS: long_table(first="theirs"), "schemas/catalog/items.sql": table("items", "x")})
    return pull


async def test_two_workers_make_the_same_merge(looking: Looking) -> None:
    pull = await moved(looking)

    here, there = await looking.find(pull), await elsewhere(looking).find_changes(looking.question(pull))

    assert here == there
    assert here.merge_sha not in refs(looking).values()


async def test_a_worker_that_never_saw_the_merge_makes_it_again_after_the_pull_request_was_merged(looking: Looking) -> None:
    pull = await moved(looking)
    changes = await looking.find(pull)
    looking.acme.world.merge(pull, by="olga", delete_branch=True)

    there = elsewhere(looking)
    merged = await there.sources_of("acme/store", changes, "schemas/orders", at="merge")
    base = await there.sources_of("acme/store", changes, "schemas/orders", at="base")

    assert merged == await looking.activities.sources_of("acme/store", changes, "schemas/orders", at="merge")
    assert "mine" in merged.tables["orders"].sql
    assert "mine" not in base.tables["orders"].sql
    async with there._cache.clone_of("acme/store") as clone:
        assert await clone.commit_of(changes.merge_sha)


async def test_githubs_own_merge_that_is_gone_is_made_again(looking: Looking) -> None:
    pull = looking.change({ORDERS: table("orders", "total", "note")})
    changes = await looking.find(pull)
    assert changes.merge_sha in refs(looking).values()
    looking.acme.world.merge(pull, by="olga", delete_branch=True)
    looking.repository.git.git("reflog", "expire", "--expire=now", "--all")
    looking.repository.git.git("prune", "--expire=now")

    there = elsewhere(looking)
    merged = await there.sources_of("acme/store", changes, "schemas/orders", at="merge")
    before = len(looking.git_requests())
    again = await there.sources_of("acme/store", changes, "schemas/orders", at="merge")

    assert "note" in merged.tables["orders"].sql
    assert (merged, before) == (again, len(looking.git_requests()))


async def test_a_merge_of_our_own_takes_eleven_requests_and_the_next_look_none(looking: Looking) -> None:
    many = {f"schemas/orders/t{number}.sql": long_table().replace("orders", f"t{number}") for number in range(60)}
    looking.push_to_main(many)
    pull = looking.change({name: sql.replace("`last`", "`mine`") for name, sql in many.items()})
    looking.push_to_main({name: sql.replace("`first`", "`theirs`") for name, sql in many.items()})

    changes = await looking.find(pull)

    first = looking.git_requests()
    assert 60 == len(tables_of(changes)["orders"])
    # GitHub's own: 3. Histories: 2. Trees of base and head: 2. Contents to merge: 2. Contents to read: 2.
    assert 11 == len(first)
    assert changes == await looking.find(pull)
    await looking.activities.sources_of("acme/store", changes, "schemas/orders", at="merge")
    assert first == looking.git_requests()


async def test_what_cannot_be_fetched_is_tried_again_and_then_passes_by_itself(looking: Looking) -> None:
    pull = looking.change({ORDERS: table("orders", "total", "note")})
    looking.acme.world.chaos.fail_next("git/upload-pack", status=502, times=PATIENCE + 1)

    for attempt in range(1, PATIENCE + 1):
        with pytest.raises(TryAgain, match="502"):
            await _attempt(attempt).run(looking.activities.find_changes, looking.question(pull))
    changes = await _attempt(PATIENCE + 1).run(looking.activities.find_changes, looking.question(pull))

    assert changes.refusal is not None
    assert ("not-fetched", True) == (changes.refusal.code, changes.refusal.passing)
    assert (await looking.find(pull)).refusal is None


def _attempt(number: int) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=number)
    return environment
