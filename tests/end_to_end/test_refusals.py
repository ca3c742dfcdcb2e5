"""Bad input on a pull request: each ends in a failure there that says what to do, and nothing on any server has changed."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.end_to_end.company import ORDERS, Change, Company, Shop, with_column
from tests.fakes.github.bare_git import Files, Symlink

NOTE = "`note` varchar(200) DEFAULT NULL"


@pytest.fixture(scope="module")
def shop(company: Company) -> Shop:
    """One for all: nothing here ever changes it."""
    return company.shop({"orders": ORDERS}, rows=5)


@pytest.fixture(autouse=True)
def _nothing_changes(shop: Shop) -> Iterator[None]:
    before = shop.live()
    yield
    assert before == shop.live()


def refused(shop: Shop, branch: str, files: Files) -> Change:
    """Open it and see it fail; it is closed again, so that it wakes no more."""
    change = shop.open(branch, files)
    change.until_conclusion("failure")
    change.until(lambda: change.sticky, "the comment")
    assert "DROP TABLE" not in change.sticky
    assert "ALTER TABLE" not in change.sticky
    return change


def assert_says(change: Change, *words: str) -> None:
    """The check and the comment both hold all of the words."""
    for word in words:
        change.until_says(word)
        assert word.casefold() in change.told.casefold()


# ── Files that are no schema ────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_does_not_parse_is_named_with_its_line(shop: Shop) -> None:
    change = refused(shop, "no-sql", {"orders/orders.sql": "CREATE TABLE `orders` (\n  `id` bigint unsigned NOT NULL,\n"})
    assert_says(change, "orders/orders.sql", "line 1", "never closed", "push again")


def test_a_file_that_only_mysql_does_not_understand_is_refused_with_its_words(shop: Shop) -> None:
    change = refused(shop, "no-type", {"orders/orders.sql": ORDERS.replace("varchar(100)", "vachar(100)")})
    assert_says(change, "orders.sql", "1064", "push again")


def test_two_files_that_define_one_table_are_both_named(shop: Shop) -> None:
    change = refused(shop, "twice", {"orders/more.sql": with_column(ORDERS, NOTE)})
    assert_says(change, "orders/more.sql", "orders/orders.sql", "both define the table", "Keep one of the two files")


@pytest.mark.parametrize(
    "content",
    [
        "CREATE VIEW `orders` AS SELECT 1 AS `id`;\n",
        "CREATE TABLE `orders` AS SELECT 1 AS `id`;\n",
        f"CREATE TRIGGER `t` BEFORE INSERT ON `orders` FOR EACH ROW SET @a = 1;\n{ORDERS}",
        f"{ORDERS}INSERT INTO `orders` (`customer`) VALUES ('nobody');\n",
        "-- CREATE TABLE `orders` (`id` int)\n",
    ],
    ids=["a view", "a copy", "a trigger first", "data after it", "a comment"],
)
def test_a_file_that_skeema_only_warns_about_never_drops_its_table(shop: Shop, content: str) -> None:
    change = refused(shop, f"unread-{len(content)}", {"orders/orders.sql": content})
    assert_says(change, "orders/orders.sql", "CREATE TABLE", "push again")


def test_a_file_of_several_megabytes_is_refused_with_its_size(shop: Shop) -> None:
    change = refused(shop, "large", {"orders/orders.sql": ORDERS.replace("(100)", f"(100) COMMENT '{'x' * 5_000_000}'")})
    assert_says(change, "orders/orders.sql", "1,000,000 bytes at most", "data out of schema files")


def test_a_file_that_is_not_utf_8_is_refused(shop: Shop) -> None:
    change = refused(shop, "latin-1", {"orders/orders.sql": with_column(ORDERS, "`note` int COMMENT 'déjà vu'").encode("latin-1")})
    assert_says(change, "orders/orders.sql", "not UTF-8", "Save the file as UTF-8")


# ── Trees that are no schema ────────────────────────────────────────────────────────────────────────────────────────


def test_a_schema_directory_that_is_removed_whole_drops_nothing(shop: Shop) -> None:
    change = refused(shop, "gone", {"orders": None})
    assert_says(change, "whole schema directory", "orders", "delete their files but keep the directory")


def test_a_symbolic_link_in_a_schema_directory_is_refused(shop: Shop) -> None:
    change = refused(shop, "link", {"orders/passwd.sql": Symlink("/etc/passwd")})
    assert_says(change, "orders/passwd.sql", "symbolic link", "Put the file itself")


def test_a_name_that_is_not_utf_8_is_refused(shop: Shop) -> None:
    change = refused(shop, "name", {b"orders/caf\xe9.sql": ORDERS.replace("`orders`", "`cafe`").encode()})
    assert_says(change, "is not UTF-8", "Rename the file")


def test_names_that_differ_only_in_case_are_refused(shop: Shop) -> None:
    change = refused(shop, "case", {"orders/Orders.sql": ORDERS.replace("`orders`", "`others`")})
    assert_says(change, "orders/Orders.sql", "where case does not count", "Rename one of the two")


def test_an_option_file_of_the_head_runs_nothing(shop: Shop, tmp_path: Path) -> None:
    trap = tmp_path / "created-by-a-pull-request"
    options = "\n".join(f"{name}=touch {trap}" for name in ("alter-wrapper", "ddl-wrapper", "host-wrapper", "linter"))
    files = {"orders/.skeema": f"default-character-set=utf8mb4\n{options}\n", "orders/orders.sql": with_column(ORDERS, NOTE)}
    change = shop.open("wrapper", files)
    change.until_says("takes effect once merged")
    change.until_conclusion("action_required")
    assert not trap.exists()


# ── Branches that do not fit their base ─────────────────────────────────────────────────────────────────────────────


def test_a_stale_branch_plans_only_its_own_change(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    old = shop.world.tip(shop.repository, "main")
    shop.run("ALTER TABLE orders ADD COLUMN vip tinyint NOT NULL DEFAULT '0' AFTER id, ADD KEY by_customer (customer)")
    live = shop.servers[0].run("SHOW CREATE TABLE orders", schema=shop.schema)[0]["Create Table"]
    shop.merged({"orders/orders.sql": f"{live};\n"})
    change = shop.open("stale", {"orders/refunds.sql": ORDERS.replace("`orders`", "`refunds`")}, onto=old)
    change.until_conclusion("action_required")
    change.until_says("CREATE TABLE")
    assert "refunds" in change.sticky
    assert "vip" not in change.sticky
    assert "by_customer" not in change.sticky


def test_a_stale_branch_drops_nobody_elses_column_of_the_table_that_it_changes(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    old = shop.world.tip(shop.repository, "main")
    shop.run("ALTER TABLE orders ADD COLUMN vip tinyint NOT NULL DEFAULT '0' AFTER id")
    shop.merged({"orders/orders.sql": ORDERS.replace("AUTO_INCREMENT,\n", "AUTO_INCREMENT,\n  `vip` tinyint NOT NULL DEFAULT '0',\n")})
    change = shop.open("stale", {"orders/orders.sql": with_column(ORDERS, NOTE)}, onto=old)
    change.until_conclusion("action_required")
    change.until_says("ADD COLUMN `note`")
    assert "DROP" not in change.sticky
    assert "`vip`" not in change.sticky


def test_a_conflict_with_the_base_asks_to_update_the_branch(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    old = shop.world.tip(shop.repository, "main")
    shop.merged({"orders/orders.sql": ORDERS.replace("(100)", "(120)")})
    change = shop.open("conflict", {"orders/orders.sql": ORDERS.replace("(100)", "(150)")}, onto=old)
    change.until_conclusion("failure")
    assert_says(change, "conflict", "Update the branch")


# ── Places that are not there ───────────────────────────────────────────────────────────────────────────────────────


def test_a_schema_directory_without_a_mapping_asks_for_repo_map(shop: Shop) -> None:
    change = refused(shop, "unmapped", {"billing/.skeema": "schema=billing\n", "billing/bills.sql": ORDERS.replace("`orders`", "`bills`")})
    assert_says(change, "billing", "no mapping says in which database it lives", f"repo-map acme/{shop.repository.name} billing")


def test_a_cluster_that_cannot_be_reached_is_named_with_its_address(company: Company) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]  # bound, but nobody listens
        company.add_cluster("nowhere", "nowhere", port)
        shop = company.shop({"orders": ORDERS}, environments={"nowhere": "nowhere"})
        change = refused(shop, "away", {"orders/orders.sql": with_column(ORDERS, NOTE)})
        assert_says(change, f"127.0.0.1:{port}", "re-run the check")


def test_a_cluster_that_the_inventory_does_not_know_is_refused_with_those_that_it_knows(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"elsewhere": "elsewhere"})
    change = refused(shop, "unknown", {"orders/orders.sql": with_column(ORDERS, NOTE)})
    assert_says(change, "elsewhere", "production", "repo-map")


def test_a_base_branch_that_is_not_enrolled_is_not_served(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    shop.world.create_branch(shop.repository, "release", by="olga")
    change = shop.open("to-release", {"orders/orders.sql": with_column(ORDERS, NOTE)}, base="release")
    assert "not-enrolled: 0 of 0 migrations" in company.until_ended(change.pull)
    assert [] == change.comments
    assert change.check() is None


def test_a_base_branch_that_requires_the_check_but_is_not_enrolled_says_who_can_help(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    shop.world.create_branch(shop.repository, "release", by="olga")
    shop.world.protect_branch(shop.repository, "release", required_check="SchemaBot", app_id=company.github.app_id)
    change = shop.open("to-release", {"orders/orders.sql": with_column(ORDERS, NOTE)}, base="release")
    change.until_conclusion("action_required")
    assert "add-repo" in change.told


def test_an_enrolled_base_branch_without_protection_runs_nothing_whoever_approves(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    shop.world.unprotect_branch(shop.repository, "main")
    change = shop.open("open-gate", {"orders/orders.sql": with_column(ORDERS, NOTE)})
    change.ready()
    change.approve("oscar")
    change.approve("dana")
    assert "not-enrolled: 0 of 0 migrations" in company.until_ended(change.pull)
    assert "protects the branch" in change.sticky
    assert ["id", "customer"] == shop.columns(shop.servers[0], "orders")


def test_a_strangers_fork_is_planned_only_once_a_member_asks(shop: Shop) -> None:
    fork = shop.world.fork(shop.repository, "mallory")
    shop.world.push(fork, "from-outside", {"orders/orders.sql": with_column(ORDERS, NOTE)}, author="mallory")
    pull = shop.world.open_pull_request(shop.repository, "from-outside", "main", author="mallory", head_repository=fork)
    change = Change(shop, pull, "from-outside")
    change.until_conclusion("failure")
    change.until_says("comes from a fork")
    change.say("mallory", ".skeefree retry-migration")
    change.disobeyed("dora", ".skeefree retry-migration")
    assert "ADD COLUMN" not in change.sticky
    change.obeyed("oscar", ".skeefree retry-migration")
    change.until_says("ADD COLUMN `note`")


# ── Words that are no words ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_table_says_of_itself_cannot_break_out_of_its_fence(shop: Shop) -> None:
    nasty = (
        "```\n</code></pre></details>\n# EVIL heading\n[EVIL](http://evil.example) @acme/databases EVIL <img src=x onerror=EVIL> | EVIL |"
    )
    table = with_column(ORDERS, f"`note` int DEFAULT NULL COMMENT '{nasty}'").replace("_ai_ci;", f"_ai_ci COMMENT='{nasty}';")
    change = shop.open("nasty", {"orders/orders.sql": table})
    change.until_says("EVIL")
    change.until_conclusion("action_required")
    for shown in (change.sticky, change.told):
        assert ["fence"] == sorted({token.type for token in _tokens(shown) if "EVIL" in token.content})


def _tokens(markdown: str) -> list[Token]:
    """All tokens that hold text, none of which holds another's."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    return [token for block in blocks for token in (block.children if block.children is not None else [block])]


def test_a_command_edited_into_somebodys_comment_is_no_command(shop: Shop) -> None:
    change = shop.open("edited", {"orders/orders.sql": ORDERS.replace("  `customer` varchar(100) NOT NULL,\n", "")})
    change.until_says("allow-unsafe")
    innocent = change.say("dana", "I shall look at this tomorrow.")
    shop.world.edit_comment(innocent, _command_in(change), by="dave")
    change.obeyed("dave", ".skeefree status")
    assert ["confused"] == [one.content for one in innocent.reactions]
    assert "losses allowed" not in change.sticky


def test_a_strangers_allow_unsafe_is_refused(shop: Shop) -> None:
    change = shop.open("stranger", {"orders/orders.sql": ORDERS.replace("  `customer` varchar(100) NOT NULL,\n", "")})
    change.until_says("allow-unsafe")
    change.disobeyed("mallory", _command_in(change))
    change.until(lambda: any("needs a member of the databases team" in one for one in change.comments), "the refusal")
    assert "losses allowed" not in change.sticky


def _command_in(change: Change) -> str:
    """The line that the comment says a DBA may type."""
    return next(line for line in change.sticky.splitlines() if line.startswith(".skeefree allow-unsafe"))
