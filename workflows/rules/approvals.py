"""Two gates, two people (DESIGN §3). Claims come in, verdicts go out; nobody is asked anything here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from workflows.rules.names import HeadSha, Login, PlanDigest, same_login


class ReviewState(StrEnum):
    """As REST spells them."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True)
class Review:
    """A claim. submitted_at: ISO 8601 UTC with whole seconds, GitHub's clock. commit_id may be missing ("").

    pushed_away: an approval that no person dismissed, but the push of newer commits where the base branch asks for that.
    """

    id: int
    login: Login
    state: ReviewState
    commit_id: str
    submitted_at: str
    pushed_away: bool = False


@dataclass(frozen=True)
class Members:
    """Facts: which of the people who spoke are active members. Anyone not listed is not."""

    owners: frozenset[str] = frozenset()
    dbas: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Publication:
    """When GitHub says that a plan digest became visible; a review counts only if it came later."""

    digest: PlanDigest
    head_sha: HeadSha
    at: str


@dataclass(frozen=True)
class Approvals:
    """The verdict. owner and dba are two different people, or None; reasons say of each approving person why it does not count."""

    owner: Login | None = None
    dba: Login | None = None
    not_counted: dict[str, str] = field(default_factory=dict)
    objections: tuple[Login, ...] = ()

    @property
    def both(self) -> bool:
        return self.owner is not None and self.dba is not None and not self.objections


def judge(
    reviews: Iterable[Review],
    *,
    author: Login,
    head_sha: HeadSha,
    publication: Publication | None,
    members: Members,
    earlier_publications: Sequence[Publication] = (),
) -> Approvals:
    """Who has approved the plan that `publication` showed, as owner and as DBA.

    publication: of the *current* digest; None while GitHub has not shown it. earlier_publications: what was shown before it, oldest first;
    given only where settings keep an owner's approval over a push that leaves the digest unchanged. Only those that carry the same digest
    with no other in between are used, and never for a DBA. Reviews may come in any order and case of login.

    The pair is the one that was complete first, so that a later approval never changes whose approvals a migration runs under.
    """
    latest = _latest_of_each(reviews)
    owners, dbas = _folded(members.owners), _folded(members.dbas)
    kept = _unbroken_run(publication, earlier_publications)
    owner_approvals: list[Review] = []
    dba_approvals: list[Review] = []
    not_counted: dict[str, str] = {}
    objections: list[Login] = []
    for review in latest:
        person = review.login.casefold()
        is_author = person == author.casefold()
        if review.state is ReviewState.CHANGES_REQUESTED and not is_author and person in owners | dbas:
            objections.append(review.login)
        if review.state is not ReviewState.APPROVED:
            continue
        reason = _why_it_does_not_count(review, head_sha=head_sha, publication=publication)
        if is_author:
            not_counted[review.login] = "the author of a change never counts"
            continue
        if person not in owners | dbas:
            not_counted[review.login] = "it comes from nobody in the owner team or the databases team"
            continue
        as_owner = person in owners and (not reason or _was_kept(review, kept))
        as_dba = person in dbas and not reason
        if as_owner:
            owner_approvals.append(review)
        if as_dba:
            dba_approvals.append(review)
        if not as_owner and not as_dba:
            not_counted[review.login] = reason
    owner, dba = _two_different_people(owner_approvals, dba_approvals)
    return Approvals(owner=owner, dba=dba, not_counted=not_counted, objections=tuple(objections))


def for_earlier_commit(reviews: Iterable[Review], head_sha: HeadSha) -> list[Review]:
    """The reviews as they stand for what was approved at head_sha while newer commits are reviewed too.

    A later approval of newer commits takes nothing back (and lifts that person's own objections), and neither does the push that brought
    them, where the base branch asks for new approvals after each; a later objection does.
    """
    given = sorted(before_the_push(reviews), key=_order)
    moved_on = {one.login.casefold() for one in _latest_of_each(given) if one.state is ReviewState.APPROVED and one.commit_id != head_sha}
    about_it = [one for one in given if one.state is not ReviewState.APPROVED or one.commit_id == head_sha]
    return [one for one in about_it if one.state is ReviewState.APPROVED or one.login.casefold() not in moved_on]


def before_the_push(reviews: Iterable[Review]) -> list[Review]:
    """Approvals that a push dismissed, as they were given: what runs is the commit that they are about."""
    return [replace(one, state=ReviewState.APPROVED) if one.pushed_away and one.state is ReviewState.DISMISSED else one for one in reviews]


def moment(at: str) -> datetime | None:
    """An ISO 8601 time as GitHub writes it, or None where it cannot be read. A time without a zone is taken as UTC."""
    try:
        read = datetime.fromisoformat(at)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)


def _order(review: Review) -> tuple[datetime, int]:
    """Chronological. Without a readable time an approval comes first and anything else last: doubt never approves, and never overrules."""
    undated = _BEGINNING if review.state is ReviewState.APPROVED else _END
    return (moment(review.submitted_at) or undated, review.id)


def _latest_of_each(reviews: Iterable[Review]) -> list[Review]:
    """The deciding review of each person, in chronological order. COMMENTED cancels nothing; PENDING has not been submitted."""
    deciding: dict[str, Review] = {}
    for review in sorted(reviews, key=_order):
        if review.login and review.state not in {ReviewState.COMMENTED, ReviewState.PENDING}:
            deciding[review.login.casefold()] = review
    return sorted(deciding.values(), key=_order)


def _why_it_does_not_count(review: Review, *, head_sha: HeadSha, publication: Publication | None) -> str:
    """Empty when the review approves what `publication` shows on the head."""
    submitted = moment(review.submitted_at)
    if not review.commit_id:
        return "GitHub does not say which commit it is about. Approve again"
    if review.commit_id != head_sha:
        return f"it is about {review.commit_id[:8]}, which is not the head. Approve again"
    if publication is None or publication.head_sha != head_sha:
        return "it was given before the current plan was shown. Approve again when it is"
    shown = moment(publication.at)
    if submitted is None or shown is None or submitted <= shown:
        return "it was given before the current plan was shown. Approve again"
    return ""


def _unbroken_run(publication: Publication | None, earlier: Sequence[Publication]) -> list[Publication]:
    """The publications directly before the current one that showed the same digest."""
    run: list[Publication] = []
    for one in reversed(earlier):
        if publication is None or one.digest != publication.digest:
            break
        run.append(one)
    return run


def _was_kept(review: Review, kept: Sequence[Publication]) -> bool:
    return any(not _why_it_does_not_count(review, head_sha=one.head_sha, publication=one) for one in kept)


def _two_different_people(owners: Sequence[Review], dbas: Sequence[Review]) -> tuple[Login | None, Login | None]:
    """The pair that was complete first. Without a pair, whoever there is, the owner's gate first."""
    pairs = [(owner, dba) for owner in owners for dba in dbas if not same_login(owner.login, dba.login)]
    if pairs:
        owner, dba = min(pairs, key=lambda pair: (max(_order(pair[0]), _order(pair[1])), _order(pair[0]), _order(pair[1])))
        return owner.login, dba.login
    if owners:
        return owners[0].login, None
    return None, dbas[0].login if dbas else None


def _folded(logins: Iterable[str]) -> frozenset[str]:
    return frozenset(login.casefold() for login in logins if login)
