"""Which directories and tables a pull request changes, as git over HTTP tells it."""

import pytest
from temporalio.testing import ActivityEnvironment

from activities.errors import NeedsHuman, TryAgain
from activities.git import GitActivities
from tests.activities.git.conftest import DIRECTORIES, OPTIONS, Looking, table
from tests.fakes.github.bare_git import Files
from workflows.messages import Changes
from workflows.rules.names import DatabaseRow
from workflows.rules.plan import Directory


def tables_of(changes: Changes) -> dict[str, tuple[str, ...]]:
    """ "environment/database" → tables."""
    return {f"{one.row.environment}/{one.row.database}": one.tables for one in changes.directories}


async def test_a_changed_file_is_a_changed_table_in_every_environment_that_maps_its_directory(looking: Looking) -> None:
    changes = await looking.find(looking.change({"schemas/orders/orders.sql": table("orders", "total", "note")}))

    assert changes.refusal is None
    assert {"staging/orders": ("orders",), "production/orders": ("orders",)} == tables_of(changes)
    assert DatabaseRow("staging", "orders") == changes.directories[0].row


async def test_added_removed_and_renamed_files_name_the_tables_on_both_sides(looking: Looking) -> None:
    files: Files = {
        "schemas/orders/orders.sql": None,
        "schemas/orders/orders_v2.sql": table("orders", "total"),
        "schemas/orders/customers.sql": table("clients"),
        "schemas/catalog/prices.sql": table("prices"),
    }
    changes = await looking.find(looking.change(files))

    assert changes.refusal is None
    assert ("clients", "customers", "orders") == tables_of(changes)["staging/orders"]
    assert ("prices",) == tables_of(changes)["staging/catalog"]


async def test_a_removed_file_is_a_removed_table_although_its_name_is_another(looking: Looking) -> None:
    looking.push_to_main({"schemas/orders/odd.sql": table("even")})
    changes = await looking.find(looking.change({"schemas/orders/odd.sql": None}))

    assert ("even",) == tables_of(changes)["staging/orders"]


async def test_what_is_no_schema_file_is_no_schema_change(looking: Looking) -> None:
    files: Files = {
        "src/app.py": "print(1)\n",
        "src/report.sql": "SELECT 1;\n",
        "schemas/orders/README.md": "about\n",
        "schemas/orders/.skeema": OPTIONS + "alter-wrapper=touch /tmp/x\n",
        "schemas/orders/seeds/data.sql": "INSERT INTO orders VALUES (1);\n",
    }
    changes = await looking.find(looking.change(files))

    assert ((), None) == (changes.directories, changes.refusal)
    assert changes.merge_sha


async def test_a_stale_branch_undoes_nobody_elses_column(looking: Looking) -> None:
    start = looking.acme.world.tip(looking.repository, "main")
    looking.push_to_main({"schemas/orders/customers.sql": table("customers", "email")})
    pull = looking.change({"schemas/orders/orders.sql": table("orders", "total", "note")}, onto=start)

    changes = await looking.find(pull)

    assert ("orders",) == tables_of(changes)["staging/orders"]
    merged = await looking.activities.sources_of("acme/store", changes, "schemas/orders", at="merge")
    assert "email" in merged.tables["customers"].sql
    assert "note" in merged.tables["orders"].sql


async def test_a_push_after_the_question_does_not_answer_for_the_old_head(looking: Looking) -> None:
    pull = looking.change({"schemas/orders/orders.sql": table("orders", "total", "note")})
    asked = looking.question(pull)
    looking.acme.world.push(looking.repository, "change", {"schemas/catalog/items.sql": table("items", "other")}, author="dave")

    changes = await looking.activities.find_changes(asked)

    assert (asked.base_sha, asked.head_sha) == (changes.base_sha, changes.head_sha)
    assert {"staging/orders": ("orders",), "production/orders": ("orders",)} == tables_of(changes)


async def test_an_unmapped_schema_directory_is_named_with_the_command_and_other_rows_are_still_listed(looking: Looking) -> None:
    files: Files = {
        "schemas/billing/.skeema": "[production]\nschema=billing\n",
        "schemas/billing/invoices.sql": table("invoices"),
        "schemas/orders/orders.sql": table("orders", "note"),
    }
    changes = await looking.find(looking.change(files))

    assert changes.refusal is not None
    assert "unmapped" == changes.refusal.code
    assert "`schemas/billing`" in changes.refusal.what
    assert "starter.py repo-map acme/store schemas/billing " in changes.refusal.next
    assert ("orders",) == tables_of(changes)["production/orders"]


async def test_sql_beside_an_option_file_that_names_no_schema_is_no_schema_directory(looking: Looking) -> None:
    changes = await looking.find(looking.change({".skeema": "default-collation=utf8mb4_bin\n", "setup.sql": "SELECT 1;"}))

    assert ((), None) == (changes.directories, changes.refusal)


async def test_a_schema_directory_removed_whole_drops_nothing(looking: Looking) -> None:
    changes = await looking.find(looking.change({"schemas/orders": None}))

    assert changes.refusal is not None
    assert "directory-removed" == changes.refusal.code
    assert "`schemas/orders`" in changes.refusal.what
    assert ("customers", "orders") == tables_of(changes)["production/orders"]


async def test_all_files_of_a_directory_that_stays_may_be_removed(looking: Looking) -> None:
    changes = await looking.find(looking.change({"schemas/catalog/items.sql": None}))

    assert changes.refusal is None
    assert ("items",) == tables_of(changes)["staging/catalog"]


async def test_a_new_directory_that_is_mapped_already_is_read(looking: Looking) -> None:
    looking.map(*DIRECTORIES, Directory("/schemas/new/", "new", "staging", "staging-main", "new"))
    changes = await looking.find(looking.change({"schemas/new/.skeema": "schema=new\n", "schemas/new/first.sql": table("first")}))

    assert changes.refusal is None
    assert {"staging/new": ("first",)} == tables_of(changes)
    sources = await looking.activities.sources_of("acme/store", changes, "/schemas/new/", at="base")
    assert {} == sources.tables
    assert any("takes effect once merged" in note for note in sources.notes)


async def test_the_root_of_the_repository_may_be_a_schema_directory(looking: Looking) -> None:
    looking.map(Directory(".", "root", "staging", "staging-main", "root"))
    changes = await looking.find(looking.change({"first.sql": table("first"), "src/other.sql": table("other")}))

    assert {"staging/root": ("first",)} == tables_of(changes)


async def test_a_forks_files_are_not_read_until_a_member_asks(looking: Looking) -> None:
    world = looking.acme.world
    public = world.create_repository("acme", "open", files={"schemas/orders/orders.sql": table("orders")}, private=False, author="olga")
    fork = world.fork(public, "mallory")
    world.push(fork, "evil", {"schemas/orders/orders.sql": table("orders", "mine")}, author="mallory")
    pull = world.open_pull_request(public, "evil", "main", author="mallory", head_repository=fork)
    looking.repository = public

    refused = await looking.activities.find_changes(looking.question(pull, from_fork=True))
    asked_for_trees_only = len(looking.git_requests())
    allowed = await looking.activities.find_changes(looking.question(pull, from_fork=True, allow_fork=True))

    assert refused.refusal is not None
    assert "fork" == refused.refusal.code
    assert ".skeefree retry-migration" in refused.refusal.next
    assert {"staging/orders": (), "production/orders": ()} == tables_of(refused)
    assert 3 == asked_for_trees_only
    assert (None, ("orders",)) == (allowed.refusal, tables_of(allowed)["staging/orders"])


async def test_a_fork_without_schema_changes_needs_nobodys_word(looking: Looking) -> None:
    pull = looking.change({"README.md": "# typo\n"})

    changes = await looking.activities.find_changes(looking.question(pull, from_fork=True))

    assert ((), None) == (changes.directories, changes.refusal)


async def test_one_look_takes_five_requests_and_the_next_look_takes_none(looking: Looking) -> None:
    many = {f"schemas/orders/t{number}.sql": table(f"t{number}") for number in range(60)}
    looking.push_to_main(many)
    pull = looking.change({f"schemas/orders/t{number}.sql": table(f"t{number}", "new") for number in range(40)})

    changes = await looking.find(pull)

    first = looking.git_requests()
    assert 40 == len(tables_of(changes)["staging/orders"])
    # A ref: capabilities, refs, one pack of commits and trees. Blobs by name: capabilities, one pack.
    assert ["GET /info/refs", "POST /git-upload-pack", "POST /git-upload-pack", "GET /info/refs", "POST /git-upload-pack"] == first

    again = await looking.find(pull)
    await looking.activities.sources_of("acme/store", again, "schemas/orders", at="merge")
    base = await looking.activities.sources_of("acme/store", again, "schemas/orders", at="base")

    assert changes == again
    assert 62 == len(base.tables)
    assert first == looking.git_requests()


async def test_the_next_push_costs_no_more_than_the_first_look(looking: Looking) -> None:
    pull = looking.change({"schemas/orders/orders.sql": table("orders", "a")})
    await looking.find(pull)
    before = len(looking.git_requests())
    looking.push_to_main({"schemas/orders/customers.sql": table("customers", "b")})
    looking.acme.world.push(looking.repository, "change", {"schemas/orders/orders.sql": table("orders", "c")}, author="dave")

    assert (await looking.find(pull)).refusal is None
    assert 6 >= len(looking.git_requests()) - before


async def test_the_files_are_found_on_a_worker_that_never_saw_the_pull_request(looking: Looking) -> None:
    pull = looking.change({"schemas/orders/orders.sql": table("orders", "total", "note")})
    changes = await looking.find(pull)
    (other := looking.settings.diff.cache_directory.parent / "other").mkdir()
    settings = looking.settings.model_copy(update={"diff": looking.settings.diff.model_copy(update={"cache_directory": other})})
    elsewhere = GitActivities(settings, looking.activities._cache.token_for)

    merged = await elsewhere.sources_of("acme/store", changes, "schemas/orders", at="merge")
    base = await elsewhere.sources_of("acme/store", changes, "schemas/orders", at="base")

    assert "note" in merged.tables["orders"].sql
    assert "note" not in base.tables["orders"].sql
    assert ("utf8mb4", ("orders",)) == (
        merged.options.for_environment("production").default_character_set,
        merged.options.for_environment("production").schemas,
    )


async def test_options_come_from_the_base_branch_and_its_parents_only(looking: Looking) -> None:
    looking.push_to_main({".skeema": "default-collation=utf8mb4_bin\nddl-wrapper=touch x\n"})
    files: Files = {
        "schemas/orders/.skeema": "schema=elsewhere\nalter-wrapper=touch x\n",
        "schemas/orders/orders.sql": table("orders", "note"),
    }
    pull = looking.change(files, onto=looking.acme.world.tip(looking.repository, "main"))
    changes = await looking.find(pull)

    sources = await looking.activities.sources_of("acme/store", changes, "schemas/orders", at="merge")
    options = sources.options.for_environment("production")

    assert ("utf8mb4", "utf8mb4_bin", ("orders",)) == (options.default_character_set, options.default_collation, options.schemas)
    assert ["`schemas/orders/.skeema` differs in this pull request; it takes effect once merged, until then the base branch's counts."] == [
        *sources.notes
    ]
    assert ["`ddl-wrapper` in .skeema is not applied: it can run commands or reach elsewhere."] == [*options.notes]


async def test_a_repository_that_may_not_be_read_needs_a_person(looking: Looking) -> None:
    async def no_token(_: str) -> str:
        return ""

    pull = looking.change({"schemas/orders/orders.sql": table("orders", "note")})
    with pytest.raises(NeedsHuman, match="Install the GitHub App"):
        await GitActivities(looking.settings, no_token).find_changes(looking.question(pull))


async def test_a_server_in_trouble_is_asked_again(looking: Looking) -> None:
    pull = looking.change({"schemas/orders/orders.sql": table("orders", "note")})
    looking.acme.world.chaos.fail_next("git/upload-pack", status=502, times=1)

    with pytest.raises(TryAgain, match="502"):
        await looking.find(pull)
    assert (await looking.find(pull)).refusal is None


def _attempt(number: int) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = ActivityEnvironment.default_info().__class__(**{**environment.info.__dict__, "attempt": number})
    return environment
