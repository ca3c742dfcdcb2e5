"""What must stop although everybody means well: each says why on the pull request, and undoes nothing that nobody asked to undo."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.end_to_end.company import ORDERS, Change, Company, Shop, with_column
from tests.fakes.github.bare_git import Files
from tests.fakes.github.objects import MergeRefused, Review

NOTE = "`note` varchar(200) DEFAULT NULL"
FLAG = "`flag` tinyint NOT NULL DEFAULT '0'"
REFUNDS = ORDERS.replace("`orders`", "`refunds`")


@pytest.fixture
def shop(company: Company) -> Iterator[Shop]:
    """On one server: what has to stop stops there. In the end its turn in the queue is given back."""
    shop = company.shop({"orders": ORDERS}, rows=200, environments={"staging": "staging"})
    yield shop
    for pull in shop.pulls:
        if pull.is_open:
            shop.world.close_pull_request(pull, by="dave")
            company.until_ended(pull)


def columns(shop: Shop) -> list[str]:
    return shop.columns(shop.servers[0], "orders")


def adds_a_column(shop: Shop, branch: str = "add-note", column: str = NOTE) -> Change:
    return shop.open(branch, {"orders/orders.sql": with_column(ORDERS, column)})


def adds_a_table(shop: Shop, branch: str = "add-refunds") -> Change:
    """The quickest change there is: a CREATE TABLE runs by itself, without gh-ost."""
    return shop.open(branch, {"orders/refunds.sql": REFUNDS})


# ── Other people's changes to the same table ────────────────────────────────────────────────────────────────────────


def test_an_applied_change_that_is_not_merged_holds_up_others_on_its_table_until_it_is(shop: Shop) -> None:
    first = adds_a_column(shop)
    first.approved_by_both()
    first.until_conclusion("success")
    second = adds_a_column(shop, "add-flag", FLAG)
    second.until_says(f"Waiting for {first.pull}")
    assert "DROP" not in second.sticky
    second.ready()
    second.approve("oscar")
    second.approve("dana")
    second.disobeyed("dirk", ".skeefree acknowledge-drift")
    assert "action_required" == second.conclusion()
    assert ["id", "customer", "note"] == columns(shop)

    shop.world.merge(first.pull, by="dave")
    both = with_column(with_column(ORDERS, NOTE), FLAG)
    shop.world.push(shop.repository, second.branch, {"orders/orders.sql": both}, author="dave", message="Update", onto="main")
    second.until_says("ADD COLUMN `flag`")
    second.until_conclusion("action_required")
    second.approve("oscar")
    second.until(lambda: "migration:skeefree:detected" in second.labels, "the plan to be detected")
    second.approve("dana")
    second.until_conclusion("success")
    assert ["id", "customer", "note", "flag"] == columns(shop)


def moves_main(shop: Shop, files: Files) -> None:
    """Somebody else's work is merged, and skeebot has looked at what that makes of the open pull request."""
    path = f"/{shop.repository.full_name}.git/git-upload-pack"
    before = [one.path for one in shop.world.requests].count(path)
    shop.merged(files)
    shop.company.until(lambda: [one.path for one in shop.world.requests].count(path) > before, "a look at the new main branch")


def shown_plan(change: Change) -> str:
    """The beginning of the digest in the comment's last line."""
    found = re.search(r"Plan `([0-9a-f]+)` for commit", change.sticky)
    return found[1] if found else ""


def test_a_main_branch_that_moves_on_costs_nobody_an_approval(shop: Shop) -> None:
    change = adds_a_table(shop)
    change.until_conclusion("action_required")
    change.ready()
    change.until(lambda: "migration:skeema:diff" in change.labels, "the diff label")
    change.approve("oscar")
    change.until(lambda: "migration:skeefree:detected" in change.labels, "the plan to be detected")
    stale = shop.repository.git.refs("refs/pull/")
    moves_main(shop, {"README.md": "# moved on\n"})
    moves_main(shop, {"README.md": "# and on\n"})
    assert stale == shop.repository.git.refs("refs/pull/")
    change.approve("dana")
    change.until_conclusion("success")
    assert ["orders", "refunds"] == shop.tables(shop.servers[0])
    assert not [body for body in change.comments if "Update the branch" in body]


def test_a_column_that_others_merge_while_a_change_of_its_table_waits_is_not_dropped(shop: Shop) -> None:
    change = adds_a_column(shop)
    change.until_conclusion("action_required")
    change.until(lambda: shown_plan(change), "the plan to be shown")
    before = shown_plan(change)
    shop.run("ALTER TABLE orders ADD COLUMN vip tinyint NOT NULL DEFAULT '0' AFTER id")
    moves_main(shop, {"orders/orders.sql": ORDERS.replace("AUTO_INCREMENT,\n", "AUTO_INCREMENT,\n  `vip` tinyint NOT NULL DEFAULT '0',\n")})
    change.until(lambda: shown_plan(change) not in {"", before}, "the new plan to be shown")
    change.approved_by_both()
    change.until_conclusion("success")
    assert ["id", "vip", "customer", "note"] == columns(shop)


def test_a_table_that_changed_between_approval_and_start_is_left_as_it_is_now(shop: Shop) -> None:
    change = adds_a_column(shop)
    with shop.kept_waiting("orders"):
        change.approved_by_both()
        change.until_says("Another gh-ost is already migrating")
        shop.run("ALTER TABLE orders ADD KEY by_customer (customer)")
        changed = shop.live()
        change.until_conclusion("failure")
    change.until_says("is not what was approved")
    assert "look at the new plan and approve that" in change.sticky
    assert changed == shop.live()


def test_after_a_table_changed_the_next_step_that_is_named_leads_on(shop: Shop) -> None:
    change = adds_a_column(shop)
    with shop.kept_waiting("orders"):
        change.approved_by_both()
        change.until_says("Another gh-ost is already migrating")
        shop.run("ALTER TABLE orders ADD KEY by_customer (customer)")
        change.until_conclusion("failure")
    change.obeyed("dave", ".skeefree retry-migration")
    change.until_says("the live schema differs from the base branch")
    assert "by_customer" in change.sticky
    assert "action_required" == change.conclusion()


def test_a_table_that_changed_while_gh_ost_copied_is_not_swapped(shop: Shop) -> None:
    change = held_before_cut_over(shop)
    shop.run("ALTER TABLE orders ADD KEY by_customer (customer)")
    change.obeyed("dana", ".skeefree cut-over")
    change.until_conclusion("failure")
    change.until_says("is not what was approved")
    assert ["orders"] == shop.tables(shop.servers[0])
    assert ["id", "customer"] == columns(shop)
    assert "by_customer" in "".join(shop.live().values())


def test_acknowledged_drift_is_not_undone(shop: Shop) -> None:
    shop.run("ALTER TABLE orders ADD KEY by_hand (customer)")
    change = adds_a_column(shop)
    change.until_says("the live schema differs from the base branch")
    assert "by_hand" in change.sticky
    assert "action_required" == change.conclusion()
    change.disobeyed("dave", ".skeefree acknowledge-drift")
    change.obeyed("dana", ".skeefree acknowledge-drift")
    change.until_says("Waiting for `dave`")
    assert "DROP" not in change.sticky
    change.approved_by_both()
    change.until_conclusion("success")
    assert ["id", "customer", "note"] == columns(shop)
    assert "by_hand" in "".join(shop.live().values())


# ── A check belongs to a commit ─────────────────────────────────────────────────────────────────────────────────────


def test_two_pull_requests_with_one_head_stay_shut_until_one_of_them_gets_a_commit(shop: Shop) -> None:
    shop.run(f"ALTER TABLE orders ADD COLUMN {NOTE}")  # live already: each by itself would be green at once
    one = adds_a_column(shop, "one")
    shop.world.create_branch(shop.repository, "two", at=one.head, by="dave")
    two = Change(shop, shop.world.open_pull_request(shop.repository, "two", "main", author="dave"), "two")
    one.until_says(f"shares its head with #{two.pull.number}")
    two.until_says(f"shares its head with #{one.pull.number}")
    assert "push a commit" in one.sticky.casefold()
    assert "push a commit" in two.sticky.casefold()
    assert "action_required" == two.conclusion()
    two.push({"README.md": "# Two\n"})
    one.until_conclusion("success")
    two.until_conclusion("success")


def test_a_pull_request_without_schema_changes_is_green_where_the_base_requires_the_check(shop: Shop) -> None:
    change = shop.open("readme", {"README.md": "# Orders\n"})
    change.until_conclusion("success")
    assert [] == change.comments
    assert [] == shop.world.merge_blockers(change.pull)


def test_a_pull_request_without_schema_changes_gets_no_check_where_none_is_required(shop: Shop) -> None:
    shop.world.protect_branch(shop.repository, "main", required_approvals=1)
    change = shop.open("readme", {"README.md": "# Orders\n"})
    assert "no-changes" in shop.company.until_ended(change.pull)
    assert change.check() is None


def test_merging_is_blocked_until_the_schema_is_live_and_allowed_then(shop: Shop) -> None:
    change = adds_a_table(shop)
    change.until_conclusion("action_required")
    with pytest.raises(MergeRefused, match="SchemaBot"):
        shop.world.merge(change.pull, by="dave")
    change.approved_by_both()
    change.until_conclusion("success")
    shop.world.merge(change.pull, by="dave")
    assert ["orders", "refunds"] == shop.tables(shop.servers[0])
    assert "merged: 1 of 1 migrations complete" in shop.company.until_ended(change.pull)


# ── Approvals ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_runs_on_an_approval_that_was_given_before_a_push(shop: Shop) -> None:
    change = adds_a_table(shop)
    change.until_conclusion("action_required")
    change.ready()
    change.approve("oscar")
    change.until_says("Owner: ✓ `oscar`")
    head = change.push({"orders/refunds.sql": with_column(REFUNDS, NOTE)})
    change.until_says("`note`")
    change.until_conclusion("action_required")
    change.approve("dana")
    change.until_says("DBA: ✓ `dana`")
    assert "Owner: waiting" in change.sticky
    assert "which is not the head. Approve again" in change.sticky
    assert ["orders"] == shop.tables(shop.servers[0])
    change.approve("oscar")
    change.until_conclusion("success")
    assert head == change.head
    assert ["id", "customer", "note"] == shop.columns(shop.servers[0], "refunds")


def test_an_approval_of_an_old_head_never_counts_however_late_it_comes(shop: Shop) -> None:
    change = adds_a_table(shop)
    old = change.head
    change.until_conclusion("action_required")
    change.push({"orders/refunds.sql": with_column(REFUNDS, NOTE)})
    change.until_says("`note`")
    change.until_conclusion("action_required")
    change.ready()
    change.approve("oscar")
    change.approve("dana", commit=old)
    change.until_says(f"it is about {old[:8]}, which is not the head")
    assert "DBA: waiting" in change.sticky
    assert ["orders"] == shop.tables(shop.servers[0])


def test_an_approval_given_before_the_plan_was_shown_never_counts(shop: Shop) -> None:
    change = adds_a_table(shop)
    for who in ("oscar", "dana"):
        shop.world.review(change.pull, who, "APPROVED")
    change.ready()
    change.until_says("it was given before the current plan was shown")
    assert "Owner: waiting · DBA: waiting" in change.sticky
    assert ["orders"] == shop.tables(shop.servers[0])


def test_approvals_of_the_author_of_pending_members_and_of_strangers_never_count(shop: Shop) -> None:
    change = shop.open("add-refunds", {"orders/refunds.sql": REFUNDS}, author="dana")
    change.until_conclusion("action_required")
    change.ready()
    change.approve("oscar")
    change.next_second()
    for who in ("dana", "paula", "mallory", "dora"):
        shop.world.review(change.pull, who, "APPROVED", even_if_refused=True)
    change.until_says("The approval of `dora` does not count")
    assert "The approval of `dana` does not count: the author of a change never counts" in change.sticky
    assert "The approval of `paula` does not count" in change.sticky
    assert "The approval of `mallory` does not count" in change.sticky
    assert "Owner: ✓ `oscar` · DBA: waiting" in change.sticky
    assert ["orders"] == shop.tables(shop.servers[0])


def test_one_person_never_counts_for_both_gates(shop: Shop) -> None:
    shop.world.add_member("acme/orders-owners", "dana")
    try:
        change = adds_a_table(shop)
        change.until_conclusion("action_required")
        change.ready()
        change.approve("dana")
        change.until_says("Owner: ✓ `dana` · DBA: waiting")
        assert ["orders"] == shop.tables(shop.servers[0])
    finally:
        shop.world.remove_member("acme/orders-owners", "dana")


def test_nothing_begins_once_an_approval_was_dismissed(shop: Shop) -> None:
    change = adds_a_column(shop)
    with shop.kept_waiting("orders"):
        change.approved_by_both()
        change.until_says("Another gh-ost is already migrating")
        shop.world.dismiss_review(given_by(change, "oscar"), by="olga")
        change.until_says("**Waiting for the owner team:** an approval no longer counts. Approve again.")
    change.obeyed("dora", ".skeefree status")
    assert ["orders"] == shop.tables(shop.servers[0])
    change.approve("olive")
    change.until_conclusion("success")
    assert ["id", "customer", "note"] == columns(shop)


def test_nothing_begins_once_a_member_who_approved_has_left_the_team(shop: Shop) -> None:
    change = adds_a_column(shop)
    with shop.kept_waiting("orders"):
        change.approved_by_both()
        change.until_says("Another gh-ost is already migrating")
        shop.world.remove_member("acme/databases", "dana")
        try:
            change.until_says("**Waiting for the databases team:** an approval no longer counts. Approve again.")
        finally:
            shop.world.add_member("acme/databases", "dana")
    assert ["orders"] == shop.tables(shop.servers[0])


def test_an_approval_that_is_dismissed_while_gh_ost_copies_holds_the_cut_over(shop: Shop) -> None:
    change = adds_a_column(shop)
    with kept_copying(shop):
        change.approved_by_both()
        change.until(lambda: len(shop.tables(shop.servers[0])) > 1, "gh-ost to begin")
        shop.world.dismiss_review(given_by(change, "oscar"), by="olga")
        change.until_says("**Waiting for the owner team:** an approval no longer counts. Approve again.")
    change.until_says("the cut-over is held because an approval no longer counts")
    assert ["id", "customer"] == columns(shop)
    change.approve("olive")
    change.until_conclusion("success")
    assert ["id", "customer", "note"] == columns(shop)


def test_a_push_that_dismisses_approvals_leaves_what_runs_alone_and_keeps_the_new_head_shut(shop: Shop) -> None:
    app_id = shop.company.github.app_id
    shop.world.protect_branch(shop.repository, "main", required_check="SchemaBot", app_id=app_id, dismiss_stale_reviews=True)
    change = adds_a_column(shop)
    with kept_copying(shop):
        change.approved_by_both()
        change.until(lambda: len(shop.tables(shop.servers[0])) > 1, "gh-ost to begin")
        first = change.head
        change.push({"orders/refunds.sql": REFUNDS})
        change.until(lambda: "migration:late:commits" in change.labels, "late commits to be seen")
        assert {"DISMISSED"} == {review.state for review in change.pull.reviews}
    change.until(lambda: columns(shop) == ["id", "customer", "note"], "the commit that was approved to be live")
    change.until(lambda: "migration:late:commits" not in change.labels, "the new head to be planned")
    assert first != change.head
    change.until_says("Owner: waiting · DBA: waiting")
    assert "refunds" not in shop.tables(shop.servers[0])


def test_an_objection_while_gh_ost_copies_holds_the_cut_over_until_it_is_answered(shop: Shop) -> None:
    change = held_before_cut_over(shop)
    change.next_second()
    shop.world.review(change.pull, "dirk", "CHANGES_REQUESTED", "Not today.")
    change.until_says("**Waiting for `dirk`**, who asked for changes")
    change.disobeyed("dana", ".skeefree cut-over")
    assert ["id", "customer"] == columns(shop)


def given_by(change: Change, who: str) -> Review:
    return next(review for review in change.pull.reviews if review.user.login == who)


@contextmanager
def kept_copying(shop: Shop) -> Iterator[None]:
    """Somebody's transaction has a row that gh-ost wants to copy."""
    with shop.servers[0].admin(database=shop.schema, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM orders WHERE id = 150 FOR UPDATE")
        yield
        connection.rollback()


def held_before_cut_over(shop: Shop) -> Change:
    """A column whose copy is ready and held, for its author said so before it began."""
    change = adds_a_column(shop)
    with shop.kept_waiting("orders"):
        change.approved_by_both()
        change.until_says("Another gh-ost is already migrating")
        change.obeyed("dave", ".skeefree hold-cut-over")
    change.until_says("asked to hold the cut-over")
    return change


# ── What loses data ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dropped_table_waits_for_allow_unsafe_and_is_then_kept_in_quarantine(shop: Shop) -> None:
    shop.run(REFUNDS)
    shop.merged({"orders/refunds.sql": REFUNDS})  # a directory without any table would be refused
    change = shop.open("drop", {"orders/orders.sql": None})
    change.until_says("allow-unsafe")
    rows = shop.servers[0].run("SELECT * FROM orders ORDER BY id", schema=shop.schema)
    change.ready()
    change.approve("oscar")
    change.approve("dana")
    change.until_says("DBA: ✓ `dana`")
    assert "action_required" == change.conclusion()
    assert ["orders", "refunds"] == shop.tables(shop.servers[0])
    command = next(line for line in change.sticky.splitlines() if line.startswith(".skeefree allow-unsafe"))
    change.disobeyed("dana", ".skeefree allow-unsafe 0123456789ab")
    change.obeyed("dana", command)
    change.until_conclusion("success")
    kept, other = shop.tables(shop.servers[0])
    assert "refunds" == other
    assert re.fullmatch(r"_\d{14}_orders_DRP", kept)
    assert rows == shop.servers[0].run(f"SELECT * FROM `{kept}` ORDER BY id", schema=shop.schema)


def test_closing_takes_a_waiting_change_out_of_its_queue(shop: Shop) -> None:
    first, second = adds_a_column(shop), adds_a_table(shop)
    with shop.kept_waiting("orders"):
        first.approved_by_both()
        first.until_says("Another gh-ost is already migrating")
        second.approved_by_both()
        second.close()
        assert "closed: 0 of 1 migrations complete" in shop.company.until_ended(second.pull)
    first.until_conclusion("success")
    assert ["orders"] == [table for table in shop.tables(shop.servers[0]) if not table.startswith("_")]


def test_closing_while_gh_ost_copies_leaves_the_original_and_nothing_else(shop: Shop) -> None:
    before = shop.live()
    change = adds_a_column(shop)
    with kept_copying(shop):
        change.approved_by_both()
        change.until(lambda: len(shop.tables(shop.servers[0])) > 1, "gh-ost to begin")
        change.close()
    assert "closed: 0 of 1 migrations complete" in shop.company.until_ended(change.pull)
    assert before == shop.live()

    shop.world.reopen_pull_request(change.pull, by="dave")
    change.until_says("Waiting for the owner team")
    assert "ADD COLUMN `note`" in change.sticky
    assert "action_required" == change.conclusion()
    assert before == shop.live()


# ── Our own words ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_our_comment_is_rewritten_where_somebody_else_has_edited_it(shop: Shop) -> None:
    change = adds_a_table(shop)
    change.until_says("Waiting for `dave`")
    edited(change, by="dora")
    change.until(lambda: "refunds" in change.sticky and "gifts" not in change.sticky, "the comment to be rewritten", seconds=15)


def test_an_approval_given_while_our_comment_said_something_else_never_counts(shop: Shop) -> None:
    change = adds_a_table(shop)
    change.until_conclusion("action_required")
    change.ready()
    change.approve("oscar")
    change.until_says("Owner: ✓ `oscar`")
    edited(change, by="dora")
    shop.world.review(change.pull, "dana", "APPROVED")
    change.until_says("Owner: waiting · DBA: waiting", seconds=15)
    assert "Approve again" in change.sticky
    change.approve("oscar")
    change.until_says("Owner: ✓ `oscar` · DBA: waiting")
    assert ["orders"] == shop.tables(shop.servers[0])


def edited(change: Change, *, by: str) -> None:
    """Somebody with write access puts other words into skeebot's mouth."""
    ours = next(comment for comment in change.pull.comments if comment.body == change.sticky)
    change.world.edit_comment(ours, ours.body.replace("refunds", "gifts"), by=by)
