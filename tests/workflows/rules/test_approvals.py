"""Two gates, two people: what counts, what does not, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workflows.rules.approvals import Approvals, Members, Publication, Review, ReviewState, for_earlier_commit, judge, moment
from workflows.rules.names import HeadSha, Login, PlanDigest

HEAD = HeadSha("b" * 40)
OLD_HEAD = HeadSha("a" * 40)
DIGEST = PlanDigest("d" * 64)
OTHER_DIGEST = PlanDigest("e" * 64)
AUTHOR = Login("ada")
MEMBERS = Members(owners=frozenset({"grace", "both"}), dbas=frozenset({"dora", "both"}))
SHOWN = Publication(digest=DIGEST, head_sha=HEAD, at="2026-11-22T10:00:00Z")


def at(seconds: int) -> str:
    """A time that many seconds after the plan was shown."""
    return (datetime(2026, 11, 22, 10, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def review(login: str, state: ReviewState = ReviewState.APPROVED, *, seconds: int = 60, commit: str = HEAD, number: int = 0) -> Review:
    return Review(id=number or seconds + 10_000, login=Login(login), state=state, commit_id=commit, submitted_at=at(seconds))


def judged(
    *reviews: Review, publication: Publication | None = SHOWN, members: Members = MEMBERS, earlier: tuple[Publication, ...] = ()
) -> Approvals:
    return judge(reviews, author=AUTHOR, head_sha=HEAD, publication=publication, members=members, earlier_publications=earlier)


def test_an_owner_and_a_dba_open_both_gates() -> None:
    verdict = judged(review("grace"), review("dora"))
    assert (Login("grace"), Login("dora")) == (verdict.owner, verdict.dba)
    assert verdict.both


def test_approval_of_an_old_head_does_not_count() -> None:
    verdict = judged(review("grace", commit=OLD_HEAD), review("dora"))
    assert verdict.owner is None
    assert "it is about aaaaaaaa, which is not the head. Approve again" == verdict.not_counted["grace"]


def test_approval_without_a_commit_does_not_count() -> None:
    verdict = judged(review("grace", commit=""))
    assert verdict.owner is None
    assert "GitHub does not say which commit" in verdict.not_counted["grace"]


def pushed_away(login: str) -> Review:
    return replace(review(login, ReviewState.DISMISSED), pushed_away=True)


def test_an_approval_that_newer_commits_pushed_away_still_counts_for_the_commit_that_runs() -> None:
    assert judged(*for_earlier_commit([pushed_away("grace"), review("dora")], HEAD)).both


def test_an_approval_that_a_push_dismissed_does_not_count_for_a_plan_that_is_yet_to_run() -> None:
    assert judged(pushed_away("grace"), review("dora")).owner is None


def test_an_approval_that_a_person_dismissed_counts_for_nothing_any_more() -> None:
    assert judged(*for_earlier_commit([review("grace", ReviewState.DISMISSED), review("dora")], HEAD)).owner is None


def test_an_objection_after_the_push_holds_what_runs() -> None:
    objection = review("grace", ReviewState.CHANGES_REQUESTED, seconds=90, commit="c" * 40)
    assert not judged(*for_earlier_commit([pushed_away("grace"), review("dora"), objection], HEAD)).both


def test_approval_before_the_plan_was_shown_does_not_count() -> None:
    assert judged(review("grace", seconds=-1)).owner is None


def test_approval_in_the_very_second_of_the_publication_does_not_count() -> None:
    assert judged(review("grace", seconds=0)).owner is None
    assert Login("grace") == judged(review("grace", seconds=1)).owner


def test_nothing_counts_while_no_plan_is_shown() -> None:
    verdict = judged(review("grace"), review("dora"), publication=None)
    assert (None, None) == (verdict.owner, verdict.dba)
    assert {"grace", "dora"} == set(verdict.not_counted)


def test_nothing_counts_while_the_plan_of_this_head_is_not_shown() -> None:
    assert judged(review("grace"), publication=replace(SHOWN, head_sha=OLD_HEAD)).owner is None


def test_a_publication_without_a_readable_time_counts_for_nothing() -> None:
    assert judged(review("grace"), publication=replace(SHOWN, at="yesterday")).owner is None


def test_the_author_never_counts_even_as_a_member_of_both_teams() -> None:
    members = Members(owners=frozenset({"ADA"}), dbas=frozenset({"ada"}))
    verdict = judged(review("Ada"), members=members)
    assert (None, None) == (verdict.owner, verdict.dba)
    assert "the author of a change never counts" == verdict.not_counted["Ada"]


def test_a_person_of_neither_team_does_not_count() -> None:
    verdict = judged(review("mallory"))
    assert (None, None) == (verdict.owner, verdict.dba)
    assert "nobody in the owner team" in verdict.not_counted["mallory"]


def test_one_person_never_counts_for_both() -> None:
    verdict = judged(review("both"))
    assert (Login("both"), None) == (verdict.owner, verdict.dba)
    assert not verdict.both


def test_a_person_of_both_teams_leaves_the_gate_that_somebody_else_can_fill() -> None:
    verdict = judged(review("both", seconds=10), review("grace", seconds=20))
    assert (Login("grace"), Login("both")) == (verdict.owner, verdict.dba)
    verdict = judged(review("both", seconds=10), review("dora", seconds=20))
    assert (Login("both"), Login("dora")) == (verdict.owner, verdict.dba)


def test_a_later_approval_does_not_change_whose_approvals_count() -> None:
    members = Members(owners=frozenset({"both", "grace"}), dbas=frozenset({"both", "dora"}))
    first = [review("both", seconds=10), review("grace", seconds=20)]
    before = judged(*first, members=members)
    after = judged(*first, review("dora", seconds=30), members=members)
    assert (before.owner, before.dba) == (after.owner, after.dba)


def test_logins_are_compared_without_case() -> None:
    members = Members(owners=frozenset({"Grace"}), dbas=frozenset({"DORA"}))
    assert judged(review("GRACE"), review("dora"), members=members).both


def test_requested_changes_withdraw_an_approval_and_object() -> None:
    verdict = judged(review("grace", seconds=10), review("Grace", ReviewState.CHANGES_REQUESTED, seconds=20), review("dora"))
    assert verdict.owner is None
    assert (Login("Grace"),) == verdict.objections


def test_an_objection_stands_even_if_somebody_else_fills_the_gate() -> None:
    verdict = judged(review("grace"), review("dora"), review("both", ReviewState.CHANGES_REQUESTED))
    assert (Login("grace"), Login("dora")) == (verdict.owner, verdict.dba)
    assert not verdict.both


def test_an_objection_to_an_old_head_still_stands() -> None:
    assert (Login("dora"),) == judged(review("dora", ReviewState.CHANGES_REQUESTED, commit=OLD_HEAD, seconds=-500)).objections


def test_objections_of_strangers_and_of_the_author_hold_nothing() -> None:
    objections = [review(name, ReviewState.CHANGES_REQUESTED) for name in ("mallory", "ada")]
    assert judged(review("grace"), review("dora"), *objections).both


def test_a_dismissed_approval_does_not_count_and_objects_to_nothing() -> None:
    verdict = judged(review("grace", ReviewState.DISMISSED), review("dora"))
    assert verdict.owner is None
    assert () == verdict.objections


def test_an_approval_after_an_objection_takes_it_back() -> None:
    assert judged(review("grace", ReviewState.CHANGES_REQUESTED, seconds=10), review("grace", seconds=20), review("dora")).both


def test_a_comment_and_an_unsent_review_change_nothing() -> None:
    later = [review("grace", ReviewState.COMMENTED, seconds=90, commit=OLD_HEAD), review("dora", ReviewState.PENDING, seconds=90)]
    assert judged(review("grace"), review("dora"), *later).both


def test_of_two_reviews_in_one_second_the_higher_id_decides() -> None:
    first, second = review("grace", number=1), review("grace", ReviewState.CHANGES_REQUESTED, number=2)
    assert judged(second, first).owner is None
    assert Login("grace") == judged(replace(first, id=3), second).owner


def test_an_approval_without_a_readable_time_neither_counts_nor_takes_an_objection_back() -> None:
    undated = replace(review("grace"), submitted_at="")
    assert judged(undated).owner is None
    assert (Login("grace"),) == judged(review("grace", ReviewState.CHANGES_REQUESTED, seconds=-90), undated).objections


def test_a_review_of_a_deleted_account_counts_for_nothing() -> None:
    assert Approvals() == judged(review(""), members=Members(owners=frozenset({""}), dbas=frozenset({""})))


# ── Keeping the owner's approval where a push leaves the digest unchanged ───────────────────────────────────────────

EARLIER = Publication(digest=DIGEST, head_sha=OLD_HEAD, at=at(-600))


def test_the_owners_approval_of_the_same_digest_is_kept_where_settings_say_so() -> None:
    approved = review("grace", commit=OLD_HEAD, seconds=-300)
    assert judged(approved).owner is None
    assert Login("grace") == judged(approved, earlier=(EARLIER,)).owner


def test_a_dbas_approval_is_never_kept() -> None:
    assert judged(review("dora", commit=OLD_HEAD, seconds=-300), earlier=(EARLIER,)).dba is None


def test_an_approval_from_before_the_earlier_publication_is_not_kept() -> None:
    assert judged(review("grace", commit=OLD_HEAD, seconds=-700), earlier=(EARLIER,)).owner is None


def test_an_approval_of_another_digest_is_not_kept() -> None:
    assert judged(review("grace", commit=OLD_HEAD, seconds=-300), earlier=(replace(EARLIER, digest=OTHER_DIGEST),)).owner is None


def test_a_digest_that_came_back_after_another_was_shown_is_asked_for_again() -> None:
    between = Publication(digest=OTHER_DIGEST, head_sha=HeadSha("c" * 40), at=at(-200))
    assert judged(review("grace", commit=OLD_HEAD, seconds=-300), earlier=(EARLIER, between)).owner is None


# ── Over random histories ───────────────────────────────────────────────────────────────────────────────────────────

PEOPLE = ["ada", "grace", "both", "dora", "mallory", "GRACE"]
reviews = st.lists(
    st.builds(
        Review,
        id=st.integers(1, 50),
        login=st.sampled_from(PEOPLE).map(Login),
        state=st.sampled_from(list(ReviewState)),
        commit_id=st.sampled_from([HEAD, OLD_HEAD, ""]),
        submitted_at=st.one_of(st.integers(-5, 20).map(at), st.just("never")),
    ),
    max_size=12,
)
publications = st.one_of(st.none(), st.just(SHOWN), st.just(replace(SHOWN, head_sha=OLD_HEAD)), st.just(replace(SHOWN, at="")))


@given(reviews=reviews, publication=publications, keep=st.booleans())
def test_whoever_counts_is_a_member_other_than_the_author_who_last_approved(
    reviews: list[Review], publication: Publication | None, keep: bool
) -> None:
    verdict = judged(*reviews, publication=publication, earlier=(EARLIER,) if keep else ())
    for person, team in ((verdict.owner, MEMBERS.owners), (verdict.dba, MEMBERS.dbas)):
        if person is None:
            continue
        assert person.casefold() in team
        assert person.casefold() != AUTHOR
        said = [one for one in reviews if one.login.casefold() == person.casefold()]
        spoken = [one for one in said if one.state not in {ReviewState.COMMENTED, ReviewState.PENDING} and moment(one.submitted_at)]
        assert ReviewState.APPROVED is max(spoken, key=lambda one: (one.submitted_at, one.id, one.state is ReviewState.APPROVED)).state
    if verdict.owner and verdict.dba:
        assert verdict.owner.casefold() != verdict.dba.casefold()


@given(reviews=reviews)
def test_nobody_counts_who_did_not_approve_the_head_after_the_plan_was_shown(reviews: list[Review]) -> None:
    verdict = judged(*reviews)
    good = {
        one.login.casefold()
        for one in reviews
        if one.state is ReviewState.APPROVED and one.commit_id == HEAD and at(0) < one.submitted_at < "n"
    }
    assert {person.casefold() for person in (verdict.owner, verdict.dba) if person} <= good


@given(reviews=reviews)
def test_a_push_shuts_both_gates(reviews: list[Review]) -> None:
    pushed = HeadSha("f" * 40)
    verdict = judge(reviews, author=AUTHOR, head_sha=pushed, publication=replace(SHOWN, head_sha=pushed, at=at(30)), members=MEMBERS)
    assert (None, None) == (verdict.owner, verdict.dba)


@given(
    reviews=st.permutations([review("grace", seconds=5), review("both", seconds=9), review("dora", seconds=7), review("grace", seconds=8)])
)
def test_the_order_in_which_reviews_are_listed_does_not_matter(reviews: list[Review]) -> None:
    verdict = judged(*reviews)
    assert (Login("grace"), Login("dora")) == (verdict.owner, verdict.dba)


@given(st.text(max_size=30))
def test_a_time_is_read_or_is_none(text: str) -> None:
    read = moment(text)
    assert read is None or read.tzinfo is UTC
