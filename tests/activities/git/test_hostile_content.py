"""What a pull request may try, and the refusal that it gets: never a plan, always a reason and a next step."""

import os
import random
from collections.abc import Mapping

import pytest

from activities.git import GitActivities
from tests.activities.git.conftest import Looking, settings_for, table, token_for
from tests.fakes.github.bare_git import FileContent, Gitlink, Symlink
from workflows.rules.plan import Refusal

ORDERS = b"schemas/orders/"


async def refusal_of(looking: Looking, files: Mapping[bytes, FileContent]) -> Refusal:
    changes = await looking.find(looking.change(files))
    assert changes.refusal is not None
    assert changes.refusal.next
    assert {"staging", "production"} == {one.row.environment for one in changes.directories}
    return changes.refusal


@pytest.mark.parametrize(
    ("code", "named", "files"),
    [
        ("symlink", "schemas/orders/orders.sql", {ORDERS + b"orders.sql": Symlink("/etc/passwd")}),
        ("symlink", "schemas/orders/link.txt", {ORDERS + b"link.txt": Symlink("orders.sql")}),
        ("symlink", "schemas/orders/deep/link.sql", {ORDERS + b"deep/link.sql": Symlink("../orders.sql")}),
        ("gitlink", "schemas/orders/module", {ORDERS + b"module": Gitlink("1" * 40)}),
        ("case-collision", "schemas/orders/Orders.sql", {ORDERS + b"Orders.sql": table("orders2")}),
        ("bad-name", "not UTF-8", {ORDERS + b"caf\xe9.sql": table("cafe")}),
        ("bad-name", "control or invisible", {ORDERS + b"two\nlines.sql": table("lines")}),
        ("bad-name", "control or invisible", {ORDERS + "evil\u202elqs.sql".encode(): table("evil")}),
        ("bad-name", "schemas/orders/BIG.SQL", {ORDERS + b"BIG.SQL": table("big")}),
        ("not-utf-8", "schemas/orders/latin.sql", {ORDERS + b"latin.sql": b"CREATE TABLE latin (a int COMMENT 'caf\xe9');\n"}),
        ("duplicate-table", "both define the table `orders`", {ORDERS + b"copy.sql": table("orders", "total")}),
        ("duplicate-table", "differ only in case", {ORDERS + b"copy.sql": table("ORDERS", "total")}),
        ("not-understood", "schemas/orders/orders.sql` line 2", {ORDERS + b"orders.sql": "-- gone\nDROP TABLE orders;\n"}),
        ("not-understood", "no statement at all", {ORDERS + b"orders.sql": "-- gone\n"}),
        (
            "not-understood",
            "CREATE `TRIGGER`",
            {ORDERS + b"trigger.sql": "CREATE TRIGGER x BEFORE INSERT ON orders FOR EACH ROW SET @a = 1"},
        ),
        ("directory-removed", "schemas/orders", {b"schemas/orders": Symlink("../elsewhere")}),
    ],
)
async def test_hostile_content_is_refused_by_name(looking: Looking, code: str, named: str, files: Mapping[bytes, FileContent]) -> None:
    refusal = await refusal_of(looking, files)

    assert code == refusal.code
    assert named in refusal.what


async def test_a_file_of_several_megabytes_is_refused_without_being_read(looking: Looking) -> None:
    big = "CREATE TABLE big (id int COMMENT '" + "x" * 5_000_000 + "');\n"
    refusal = await refusal_of(looking, {ORDERS + b"big.sql": big})

    assert "too-large" == refusal.code
    assert "`schemas/orders/big.sql` has 5,000,038 bytes" in refusal.what


async def test_a_transfer_that_is_far_too_large_is_cut_off_and_leaves_nothing(looking: Looking) -> None:
    settings = settings_for(looking.acme.github.html_url, looking.settings.diff.cache_directory.parent, bytes_per_file=20_000)
    looking.activities = GitActivities(settings, token_for(looking.acme))
    noise = random.Random(1).randbytes(3_000_000)

    refusal = await refusal_of(looking, {ORDERS + b"noise.sql": noise})

    assert "too-large" == refusal.code
    assert "`noise.sql`" in refusal.what
    kept = sum(file.stat().st_size for file in settings.diff.cache_directory.rglob("*.pack"))
    assert 640_000 > kept
    looking.acme.world.push(looking.repository, "change", {"schemas/orders/noise.sql": table("noise")}, author="dave")
    pull = next(iter(looking.repository.pulls.values()))
    assert (await looking.find(pull)).refusal is None


async def test_too_many_changed_files_are_refused_before_any_content_is_fetched(looking: Looking) -> None:
    settings = settings_for(looking.acme.github.html_url, looking.settings.diff.cache_directory.parent, files=5)
    looking.activities = GitActivities(settings, token_for(looking.acme))

    refusal = await refusal_of(looking, {ORDERS + f"t{number}.sql".encode(): table(f"t{number}") for number in range(6)})

    assert "too-many-files" == refusal.code
    assert 3 == len(looking.git_requests())


async def test_too_many_statements_are_refused(looking: Looking) -> None:
    settings = settings_for(looking.acme.github.html_url, looking.settings.diff.cache_directory.parent, statements=2)
    looking.activities = GitActivities(settings, token_for(looking.acme))

    assert "too-many-statements" == (await refusal_of(looking, {ORDERS + f"t{n}.sql".encode(): table(f"t{n}") for n in range(3)})).code


async def test_every_finding_is_told_at_once(looking: Looking) -> None:
    refusal = await refusal_of(
        looking,
        {
            ORDERS + b"orders.sql": "DROP TABLE orders",
            ORDERS + b"customers.sql": "USE mysql",
            b"schemas/catalog/items.sql": Symlink("/dev/zero"),
        },
    )

    assert all(name in refusal.what for name in ("orders.sql", "customers.sql", "items.sql"))


async def test_files_that_nobody_changed_may_be_anything_and_are_noted(looking: Looking) -> None:
    routine = "CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;\n"
    looking.push_to_main({"schemas/orders/one.sql": routine})
    changes = await looking.find(looking.change({"schemas/orders/orders.sql": table("orders", "note")}))

    assert changes.refusal is None
    sources = await looking.activities.sources_of("acme/store", changes, "schemas/orders", at="merge")
    assert {"orders", "customers"} == set(sources.tables)
    assert ["one.sql"] == list(sources.unread)
    assert any("schemas/orders/one.sql" in note for note in sources.notes)


async def test_removing_a_file_that_was_no_table_is_not_taken_for_nothing(looking: Looking) -> None:
    looking.push_to_main({"schemas/orders/one.sql": "CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;\n"})

    refusal = await refusal_of(looking, {ORDERS + b"one.sql": None})

    assert "not-understood" == refusal.code
    assert "is removed" in refusal.what


@pytest.mark.parametrize("other", ["-- two\nCREATE TABLE customers (id int); CREATE TABLE  `old` (id int);", "-- " + "x" * 1_000_000])
async def test_a_table_that_an_unreadable_file_may_describe_is_not_dropped_on_a_guess(looking: Looking, other: str) -> None:
    looking.push_to_main({"schemas/orders/old.sql": table("old"), "schemas/orders/all.sql": other})

    refusal = await refusal_of(looking, {ORDERS + b"old.sql": None})

    assert "not-understood" == refusal.code
    assert "`schemas/orders/all.sql`" in refusal.what


async def test_a_routine_that_uses_a_table_does_not_keep_it(looking: Looking) -> None:
    looking.push_to_main(
        {"schemas/orders/old.sql": table("old"), "schemas/orders/f.sql": "CREATE FUNCTION f() RETURNS int RETURN (SELECT 1 FROM old)"}
    )
    changes = await looking.find(looking.change({"schemas/orders/old.sql": None}))

    assert (None, ("old",)) == (changes.refusal, changes.directories[0].tables)


async def test_nothing_of_a_pull_request_is_ever_checked_out_or_run(looking: Looking) -> None:
    witness = looking.settings.diff.cache_directory.parent / "witness"
    files: dict[bytes, FileContent] = {
        ORDERS + b".skeema": f"schema=orders\nalter-wrapper=touch {witness}\nddl-wrapper=touch {witness}\nschema=`touch {witness}`\n",
        ORDERS + b"orders.sql": table("orders", "note"),
        b".gitattributes": "*.sql filter=evil diff=evil\n",
        b".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% witness\n',
        b".githooks/post-checkout": f"#!/bin/sh\ntouch {witness}\n",
        b".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:9/\n",
    }
    changes = await looking.find(looking.change(files))
    await looking.activities.sources_of("acme/store", changes, "schemas/orders", at="merge")

    assert changes.refusal is None
    assert not witness.exists()
    assert not [name for _, _, names in os.walk(looking.settings.diff.cache_directory) for name in names if name.endswith(".sql")]
