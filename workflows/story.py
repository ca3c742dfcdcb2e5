"""The state of one pull request's workflow, and the pure questions that are asked of it. Fields only ever gain defaults."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta

from workflows.messages import (
    Announcement,
    Changes,
    CommandAnswer,
    CommandGiven,
    Door,
    MigrationMoved,
    MigrationOrder,
    MigrationRun,
    PullRequestSnapshot,
    PullRequestView,
    React,
    Rerequested,
    Woke,
)
from workflows.rules import approvals, checks, stages
from workflows.rules.approvals import Approvals, Publication
from workflows.rules.checks import CheckRun, CheckState, RowState
from workflows.rules.commands import RetryMigration
from workflows.rules.names import DatabaseRow, HeadSha, Login, MigrationId, PlanDigest, PullRequestRef, Target, same_login
from workflows.rules.plan import DatabasePlan, Drift, Enrolment, PlannedMigration, Refusal, Strategy, digest_of
from workflows.rules.stages import MigrationState, Stage
from workflows.timing import Timing

Message = Woke | Rerequested | CommandGiven | MigrationMoved
"""What a pull request's workflow hears."""

ANSWERS_KEPT = 10
EARLIER = timedelta(minutes=2)
"""A story begins with the first delivery; what was said in its own first moments is its own."""
HANDLED_KEPT = 500


@dataclass
class PublishedCheck:
    """A check run as GitHub shows it, and since when (epoch seconds) it has been in this state."""

    run: CheckRun
    since: float = 0.0


@dataclass(frozen=True)
class Unsaid:
    """An announcement of a moment that GitHub did not take; a later round makes up for it."""

    announcement: Announcement
    key: str
    text: str


@dataclass
class Campaign:
    """What was approved and is being carried out: it is not disturbed by later commits.

    environments: their names, in order. at: which of them runs now; enqueued: its migrations are with their queues; proved_at: it was
    diffed again after its run. proven: keys of the rows whose live schema was clean then. unproven: row key → what the diff still showed.
    """

    digest: PlanDigest
    head_sha: HeadSha
    publication: Publication
    base_ref: str
    serial: int
    environments: list[str]
    runs: dict[str, MigrationRun]
    changes: Changes
    approved_by: tuple[Login, ...] = ()
    at: int = 0
    attempt: int = 1
    abandoned: bool = False
    enqueued: bool = False
    proving: bool = False
    proved_at: bool = False
    proven: list[str] = field(default_factory=list)
    unproven: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> str | None:
        """The environment that runs now; None after the last."""
        return self.environments[self.at] if self.at < len(self.environments) else None

    def runs_of(self, environment: str) -> list[MigrationRun]:
        return [run for run in self.runs.values() if run.migration.target.environment == environment]

    @property
    def under_way(self) -> bool:
        return any(run.state.under_way for run in self.runs.values())

    def has(self, state: MigrationState) -> bool:
        return any(run.state is state for run in self.runs.values())

    def next_environment(self) -> None:
        """Move on past every environment whose rows are all proven."""
        while self.environment is not None and all(key in self.proven for key in self._rows_of(self.environment)):
            self.at += 1
            self.enqueued = False
            self.proved_at = False

    def _rows_of(self, environment: str) -> list[str]:
        return [row_key(one.row) for one in self.changes.directories if one.row.environment == environment]

    @property
    def environment_ran(self) -> bool:
        """Everything that skeebot runs in the current environment is complete (what is left there is manual)."""
        ran = {MigrationState.COMPLETE, MigrationState.MANUAL}
        return self.environment is not None and self.enqueued and all(run.state in ran for run in self.runs_of(self.environment))

    @property
    def waiting_for_manual(self) -> bool:
        """The current environment was diffed again and only statements for a person are left."""
        if self.environment is None or not self.environment_ran or self.proving or not self.proved_at:
            return False
        return any(run.state is MigrationState.MANUAL for run in self.runs_of(self.environment))

    def waits_for_a_person(self, run: MigrationRun) -> bool:
        """A statement that a person must run, and has not run (as far as the live schema shows)."""
        return run.state is MigrationState.MANUAL and row_key(run.migration.target.row) not in self.proven

    def is_about(self, snapshot: PullRequestSnapshot | None) -> bool:
        """What was approved is what the pull request asks for now: these commits, into this branch."""
        return snapshot is not None and (self.head_sha, self.base_ref) == (snapshot.head_sha, snapshot.base_ref)

    @property
    def failed(self) -> bool:
        stopped = {MigrationState.FAILED, MigrationState.CANCELLED}
        return bool(self.unproven) or any(run.state in stopped for run in self.runs.values())

    @property
    def over(self) -> bool:
        """Nothing of it is under way and nothing more will start by itself."""
        return not self.under_way and not self.proving and (self.failed or self.environment is None)

    @property
    def done(self) -> bool:
        return self.over and not self.failed


@dataclass
class Story:
    ref: PullRequestRef
    timing: Timing = field(default_factory=Timing)
    born: str = ""
    born_at: str = ""
    campaigns: int = 0
    snapshot: PullRequestSnapshot | None = None
    inbox: list[Message] = field(default_factory=list)
    # planning
    planned_for: str = ""
    plan_generation: int = 0
    changes: Changes | None = None
    plans: dict[str, DatabasePlan] = field(default_factory=dict)
    fork_allowed_for: str = ""
    planned_in_vain: int = 0
    plan_again_at: float = 0.0
    # approvals
    publication: Publication | None = None
    earlier_publications: list[Publication] = field(default_factory=list)
    unsafe_allowed: dict[str, str] = field(default_factory=dict)
    drift_acknowledged: dict[str, str] = field(default_factory=dict)
    drift_kept: list[Drift] = field(default_factory=list)
    autorun_approved: dict[str, str] = field(default_factory=dict)
    changed_since_approval: list[str] = field(default_factory=list)
    # running
    campaign: Campaign | None = None
    past_runs: list[MigrationRun] = field(default_factory=list)
    held_by: str = ""
    # what GitHub shows
    checks: dict[str, PublishedCheck] = field(default_factory=dict)
    generations_are_known: bool = False
    labels_shown: list[str] | None = None
    view_shown: str = ""
    said: list[str] = field(default_factory=list)
    unsaid: list[Unsaid] = field(default_factory=list)
    unmarked: list[React] = field(default_factory=list)
    # commands
    rewrite_comment: bool = False
    void_publication: bool = False
    had_a_comment: bool = False
    comment_cursor: int = 0
    handled: list[str] = field(default_factory=list)
    answers: list[CommandAnswer] = field(default_factory=list)
    review_refused: str = ""
    trouble: str = ""
    unreadable: str = ""
    refused_looks: int = 0
    looks_for_news: int = 0

    # ── What GitHub says ──

    @property
    def enrolment(self) -> Enrolment | None:
        snapshot = self.snapshot
        if snapshot is None or snapshot.enrolment is None or snapshot.base_ref not in snapshot.enrolment.base_branches:
            return None
        return snapshot.enrolment

    @property
    def head_sha(self) -> HeadSha:
        return self.snapshot.head_sha if self.snapshot else HeadSha("")

    @property
    def open(self) -> bool:
        return self.snapshot is not None and self.snapshot.state == "open"

    @property
    def merged(self) -> bool:
        return self.snapshot is not None and self.snapshot.state == "merged"

    def take(self, snapshot: PullRequestSnapshot) -> str:
        """Take a snapshot in. Returns what made given approvals void, "" where nothing did."""
        before, verdict = self.snapshot, self.approvals()
        if before is not None and self.generations_are_known and before.head_sha == snapshot.head_sha:
            snapshot = replace(snapshot, shown_generations=before.shown_generations)
        self.snapshot, self.generations_are_known = snapshot, True
        self.comment_cursor = max(self.comment_cursor, snapshot.comment_cursor)
        if snapshot.tampered:
            self.rewrite_comment = self.void_publication = True
        if self.view_shown and not snapshot.comment_shown:
            self.rewrite_comment = True  # somebody deleted it
        if before is None:
            self.had_a_comment = snapshot.comment_shown
            return ""
        changes: list[str] = []
        if before.head_sha != snapshot.head_sha:
            changes.append(f"new commits were pushed ({before.head_sha[:12]} → {snapshot.head_sha[:12]})")
        if before.base_ref != snapshot.base_ref:
            changes.append(f"the base branch was changed from {before.base_ref} to {snapshot.base_ref}")
            self.earlier_publications, self.publication = [], None
        if snapshot.tampered:
            changes.append("somebody else edited skeebot's comment, which was rewritten")
        given = [login for login in (verdict.owner, verdict.dba) if login]
        self.changed_since_approval = changes if given else (self.changed_since_approval if not changes else [])
        if not changes or not given or (self.campaign is not None and not self.campaign.over):
            return ""
        return f"The approval given by {' and '.join(given)} no longer counts: {'; '.join(changes)}."

    def note_refused(self, text: str) -> None:
        """text: why GitHub, or skeebot itself, refused a look; "" where it did not, or where that may pass."""
        self.refused_looks = self.refused_looks + 1 if text and text == self.unreadable else int(bool(text))
        self.unreadable = text

    def note_whether_too_early(self, before: PullRequestSnapshot | None, *, delivered: bool) -> None:
        """GitHub's API lags behind its own webhooks: a look that shows nothing of what a delivery tells of is made again, a few times."""
        now = self.snapshot
        if before is None or now is None or now.commands or _what_people_did(before) != _what_people_did(now):
            self.looks_for_news = 0
        elif delivered:
            self.looks_for_news = 1
        elif self.looks_for_news:
            self.looks_for_news = (self.looks_for_news + 1) % (len(self.timing.look_for_news) + 1)

    @property
    def wait_for_news(self) -> float:
        """Seconds until the next look without any news."""
        return self.timing.look_for_news[self.looks_for_news - 1] if self.looks_for_news else self.timing.look_again

    def involves(self, person: Login) -> bool:
        """The author, an owner or a DBA."""
        snapshot = self.snapshot
        if snapshot is None:
            return False
        known = (snapshot.author, *snapshot.members.owners, *snapshot.members.dbas)
        return any(same_login(person, one) for one in known)

    # ── Plan ──

    def plan_key(self) -> str:
        """What a plan is about: another head, base, enrolment or request makes another plan."""
        snapshot = self.snapshot
        if snapshot is None:
            return ""
        facts = (snapshot.head_sha, snapshot.base_ref, snapshot.base_sha, repr(self.enrolment), self.fork_allowed_for, self.plan_generation)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def expected(self) -> list[DatabaseRow]:
        """The rows that must all succeed, fixed before planning."""
        return sorted({one.row for one in self.changes.directories}) if self.changes else []

    @property
    def has_plan(self) -> bool:
        if self.changes is None or self.planned_for != self.plan_key():
            return False
        return self.changes.refusal is not None or all(row_key(row) in self.plans for row in self.expected)

    @property
    def digest(self) -> PlanDigest | None:
        return digest_of(self.plans.values()) if self.has_plan and self.plans else None

    def migrations(self) -> list[PlannedMigration]:
        return [one for plan in self.plans.values() for one in plan.migrations]

    @property
    def runnable(self) -> list[PlannedMigration]:
        return [one for one in self.migrations() if one.strategy is not Strategy.MANUAL]

    @property
    def drift_digest(self) -> str:
        """Over the drift that nobody explains; "" when there is none."""
        lines = sorted(f"{one.target} {one.statement}" for plan in self.plans.values() for one in plan.unexplained_drift)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""

    def _open_drift(self, plan: DatabasePlan) -> list[Drift]:
        """What still stands in the way: neither accepted as it is shown, nor of a database that was migrated and proven since."""
        campaign = self.campaign
        if campaign is not None and campaign.is_about(self.snapshot) and row_key(plan.row) in campaign.proven:
            return []
        return [one for one in plan.drift if one.by_pull_request or one not in self.drift_kept]

    @property
    def drift_is_open(self) -> bool:
        """Live tables differ from the base branch, nobody's change explains it, and no DBA has accepted it."""
        return any(not one.by_pull_request for plan in self.plans.values() for one in self._open_drift(plan))

    @property
    def completed_targets(self) -> tuple[Target, ...]:
        runs = [*self.past_runs, *(self.campaign.runs.values() if self.campaign else ())]
        return tuple(run.migration.target for run in runs if run.state is MigrationState.COMPLETE)

    @property
    def drift_acknowledged_by(self) -> str:
        """Who accepted the drift that is shown; "" while some of it is open."""
        if not self.drift_digest or self.drift_is_open:
            return ""
        last = next(reversed(self.drift_acknowledged.values()), "")
        return self.drift_acknowledged.get(self.drift_digest, last)

    def plan_again(self) -> None:
        """Somebody asked for a new plan of the same commits."""
        self.plan_generation += 1

    @property
    def refusals(self) -> list[Refusal]:
        """Why there is no plan of the whole change."""
        everywhere = self.changes.refusal if self.changes is not None else None
        return [one for one in (everywhere, *(plan.refusal for plan in self.plans.values())) if one is not None]

    def note_planned(self, now: float) -> None:
        """Where a refusal may pass by itself it is planned again then, each time after twice as long. now: seconds since the epoch."""
        if any(one.passing for one in self.refusals):
            wait = self.timing.plan_again_after * 2.0 ** min(self.planned_in_vain, 30)
            self.plan_again_at = now + min(wait, self.timing.plan_again_at_most)
            self.planned_in_vain += 1
        else:
            self.plan_again_at, self.planned_in_vain = 0.0, 0

    def acknowledge_drift(self, by: Login) -> None:
        """What is shown now is accepted and stays: the plan is made again around it."""
        self.drift_acknowledged[self.drift_digest] = by
        shown = [one for plan in self.plans.values() for one in plan.unexplained_drift]
        places = {one.target for one in shown}
        self.drift_kept = [*(one for one in self.drift_kept if one.target not in places), *shown]
        self.plan_again()

    # ── Approvals ──

    def publish_digest(self, publication: Publication) -> None:
        if self.publication is not None:
            self.earlier_publications = [*self.earlier_publications, self.publication][-20:]
        self.publication = publication

    def approvals(self) -> Approvals:
        """For the current head and plan: a review of a plan that was shown earlier says nothing of this one."""
        if self.snapshot is None:
            return Approvals()
        shown = self.publication if self.publication is not None and self.publication.digest == self.digest else None
        if self.void_publication:
            shown = None  # somebody else's words stood there: nobody has approved ours until they were shown again
        keep = self.enrolment is not None and self.enrolment.options.keep_owner_approval_on_same_digest
        earlier = self.earlier_publications if keep else []
        return approvals.judge(
            self.snapshot.reviews,
            author=self.snapshot.author,
            head_sha=self.snapshot.head_sha,
            publication=shown,
            members=self.snapshot.members,
            earlier_publications=earlier,
        )

    def campaign_approvals(self) -> Approvals:
        """For what is being carried out: a later approval of newer commits takes nothing back, an objection does."""
        snapshot, campaign = self.snapshot, self.campaign
        if snapshot is None or campaign is None or self.enrolment is None:
            return Approvals()
        if not snapshot.base_protected or snapshot.base_ref != campaign.base_ref:
            return Approvals()  # gates are those of the base branch that was approved for, or none
        keep = self.enrolment is not None and self.enrolment.options.keep_owner_approval_on_same_digest
        return approvals.judge(
            approvals.before_the_push(snapshot.reviews) if keep else approvals.for_earlier_commit(snapshot.reviews, campaign.head_sha),
            author=snapshot.author,
            head_sha=campaign.head_sha,
            publication=campaign.publication,
            members=snapshot.members,
            earlier_publications=self.earlier_publications if keep else [],
        )

    # ── Stage and checks ──

    def stage(self) -> Stage:
        snapshot = self.snapshot
        if snapshot is None:
            return Stage.LOOKING
        verdict = self.approvals()
        digest = self.digest or ""
        enrolment = self.enrolment
        campaign = self.campaign
        return stages.stage_of(
            stages.Facts(
                state=snapshot.state,
                enrolled=enrolment is not None,
                base_protected=snapshot.base_protected,
                has_changes=bool(self.expected) or (self.changes is not None and self.changes.refusal is not None),
                has_plan=self.has_plan,
                refused=self.refused,
                shared_head=bool(snapshot.twins),
                unexplained_drift=self.drift_is_open,
                other_pull_request=any(one.by_pull_request for plan in self.plans.values() for one in self._open_drift(plan)),
                unsafe=any(one.unsafe for one in self.migrations()) and digest not in self.unsafe_allowed,
                pending=bool(self.runnable),
                manual=len(self.runnable) < len(self.migrations()),
                label=snapshot.protocol.labels.for_review in snapshot.labels,
                owner=verdict.owner is not None,
                dba=verdict.dba is not None,
                objection=bool(verdict.objections),
                autorun=enrolment is not None and (enrolment.autorun or digest in self.autorun_approved),
                campaign=tuple(run.state for run in campaign.runs.values()) if campaign else (),
                proving=campaign is not None and campaign.proving,
                proof_failed=campaign is not None and bool(campaign.unproven),
                waiting_for_manual=campaign is not None and campaign.waiting_for_manual,
                given_up=campaign is not None and campaign.abandoned,
            )
        )

    @property
    def refused(self) -> bool:
        return bool(self.refusals)

    def row_states(self) -> dict[DatabaseRow, RowState]:
        """What each expected row's check says of the current head."""
        return {row: RowState(head_sha=self.head_sha, state=self._row_state(row)) for row in self.expected}

    def _row_state(self, row: DatabaseRow) -> CheckState:
        snapshot, campaign = self.snapshot, self.campaign
        plan = self.plans.get(row_key(row))
        shared = bool(snapshot and snapshot.twins)
        if campaign is not None and campaign.is_about(snapshot):
            state = self._row_state_of_campaign(row, campaign)
        elif campaign is not None and not campaign.over:
            state = CheckState.ACTION_REQUIRED
        elif self.changes is not None and self.changes.refusal is not None:
            state = CheckState.FAILURE
        elif plan is None or self.planned_for != self.plan_key():
            state = CheckState.IN_PROGRESS if self.open else CheckState.ACTION_REQUIRED
        elif plan.refusal is not None:
            state = CheckState.FAILURE
        else:
            state = CheckState.ACTION_REQUIRED if plan.migrations or self._open_drift(plan) else CheckState.SUCCESS
        return CheckState.ACTION_REQUIRED if shared and state is CheckState.SUCCESS else state

    def _row_state_of_campaign(self, row: DatabaseRow, campaign: Campaign) -> CheckState:
        runs = [run for run in campaign.runs.values() if run.migration.target.row == row]
        if row_key(row) in campaign.unproven or any(run.state in {MigrationState.FAILED, MigrationState.CANCELLED} for run in runs):
            return CheckState.FAILURE
        if row_key(row) in campaign.proven:
            return CheckState.SUCCESS
        if any(run.state is MigrationState.MANUAL for run in runs) and all(
            run.state.settled or run.state is MigrationState.MANUAL for run in runs
        ):
            return CheckState.ACTION_REQUIRED
        if self._waits_for_a_person(runs, campaign):
            return CheckState.ACTION_REQUIRED
        if not runs:
            plan = self.plans.get(row_key(row))
            clean = plan is not None and not plan.migrations and not self._open_drift(plan)
            return CheckState.SUCCESS if clean else CheckState.ACTION_REQUIRED
        if campaign.failed and not any(run.state.under_way for run in runs):
            return CheckState.ACTION_REQUIRED
        return CheckState.IN_PROGRESS

    def _waits_for_a_person(self, runs: list[MigrationRun], campaign: Campaign) -> bool:
        """A swap does: somebody asked to hold it, a DBA must judge what could not be proven, or an approval was withdrawn.

        What has not begun waits with the ones before it.
        """
        approved = self.campaign_approvals().both
        begun = [run for run in runs if run.state is not MigrationState.PROPOSED]
        if not begun and (campaign.waiting_for_manual or not approved):
            return True
        holding = [run for run in begun or campaign.runs.values() if run.state is MigrationState.HOLDING]
        return any(self.held_by or run.unproven or not approved for run in holding)

    def aggregate(self) -> CheckState | None:
        """The roll-up on the current head; None where it is not ours to report."""
        snapshot = self.snapshot
        if snapshot is None:
            return None
        if snapshot.state != "open" and self.campaign is None:
            return None  # what is in progress is ended; nothing new is said of a head that may be another pull request's by now
        if snapshot.state == "closed":
            return None
        stage = self.stage()
        if stage is Stage.NOT_ENROLLED:
            return CheckState.ACTION_REQUIRED if snapshot.base_requires_check else None
        if stage is Stage.NO_CHANGES:
            if not snapshot.base_requires_check and not self.checks:
                return None
            return CheckState.ACTION_REQUIRED if snapshot.twins else CheckState.SUCCESS
        if not self.expected:
            if self.changes is not None and self.changes.refusal is not None:
                return CheckState.FAILURE
            return CheckState.IN_PROGRESS if snapshot.base_requires_check or self.checks else None
        return checks.roll_up(self.expected, self.row_states(), self.head_sha)

    def labels(self) -> list[str]:
        """The labels of ours that belong on the pull request now."""
        snapshot = self.snapshot
        if snapshot is None:
            return []
        names, campaign, stage = snapshot.protocol.labels, self.campaign, self.stage()
        wanted: list[str] = []
        if self.refused or (self.has_plan and self.migrations() and stage is not Stage.COMPLETE and not (campaign and campaign.done)):
            wanted.append(names.diff)
        if campaign is not None and campaign.head_sha == self.head_sha:
            wanted += [names.detected, names.queued]
        elif stage in {Stage.AWAITING_DBA, Stage.AWAITING_AUTORUN, Stage.QUEUED} and self.publication is not None:
            wanted.append(names.detected)
        if campaign is not None and not campaign.over and campaign.head_sha != self.head_sha:
            wanted += [names.queued, names.late_commits]
        return sorted(set(wanted))

    def view(self) -> PullRequestView:
        """Everything that GitHub shall show, as facts."""
        snapshot = self.snapshot
        assert snapshot is not None, "a view is only asked for after a look"  # noqa: S101  (our own loop's order, not input)
        campaign, enrolment, stage = self.campaign, self.enrolment, self.stage()
        runs = [*self.past_runs, *(campaign.runs.values() if campaign else ())]
        order = {name: at for at, name in enumerate(enrolment.environments if enrolment else ())}

        def turn(row: DatabaseRow) -> tuple[int, DatabaseRow]:
            """People read environments in the order in which they run."""
            return (order.get(row.environment, len(order)), row)

        return PullRequestView(
            ref=self.ref,
            author=snapshot.author,
            head_sha=snapshot.head_sha,
            stage=stage,
            digest=campaign.digest if campaign and not campaign.over else self.digest,
            expected=tuple(sorted(self.expected, key=turn)),
            row_states={row_key(row): one.state for row, one in sorted(self.row_states().items(), key=lambda item: turn(item[0]))},
            plans=tuple(sorted(self.plans.values(), key=lambda plan: turn(plan.row))),
            runs=tuple(sorted(runs, key=lambda run: (turn(run.migration.target.row), run.migration.target.shard, run.migration.position))),
            approvals=self.campaign_approvals() if campaign and not campaign.over else self.approvals(),
            owner_team=enrolment.owner_team if enrolment else "",
            databases_team=enrolment.databases_team if enrolment else "",
            allowed_unsafe_by=self.unsafe_allowed.get(self.digest or "", ""),
            drift_acknowledged_by=self.drift_acknowledged_by,
            autorun_approved_by=self.autorun_approved.get(self.digest or "", ""),
            held_by=self.held_by,
            twins=snapshot.twins,
            late_commits=campaign is not None and not campaign.over and campaign.head_sha != snapshot.head_sha,
            refusal=self.changes.refusal if self.changes else None,
            answers=tuple(self.answers),
            changed_since_approval=tuple(self.changed_since_approval),
            review_refused=self.review_refused if stage is Stage.AWAITING_DBA else "",
            unknown_teams=snapshot.unknown_teams,
            codeowners_gap=snapshot.codeowners_gap,
            protocol=snapshot.protocol,
        )

    # ── The campaign ──

    def begin_campaign(self) -> None:
        """Fix what was approved: statements, order, people. Nothing of it follows later commits."""
        enrolment, digest, verdict = self.enrolment, self.digest, self.approvals()
        if self.snapshot is None or enrolment is None or digest is None or self.changes is None or self.publication is None:
            return
        if not verdict.both:
            return
        self.campaigns += 1
        runs: dict[str, MigrationRun] = {}
        for one in self.migrations():
            name = self.migration_id(digest, one, attempt=1)
            runs[name] = _fresh(name, one)
        rows = {one.row.environment for one in self.changes.directories}
        listed = [name for name in enrolment.environments if name in rows]
        self.campaign = Campaign(
            digest=digest,
            head_sha=self.head_sha,
            publication=self.publication,
            base_ref=self.snapshot.base_ref,
            serial=self.campaigns,
            environments=[*listed, *sorted(rows - set(listed))],
            runs=runs,
            changes=self.changes,
            approved_by=tuple(login for login in (verdict.owner, verdict.dba) if login),
            proven=[row_key(row) for row in self.expected if not self.plans[row_key(row)].migrations],
        )
        self.campaign.next_environment()
        self.changed_since_approval = []

    def retire_campaign(self, *, even_failed: bool = False) -> bool:
        """Close the book on a campaign that is over, so that the current commits can be planned. Returns whether none is left.

        A failed one of the same commits and base stays for retry-migration. One that waits for a person's statement is over once the
        commits or the base are others.
        """
        campaign = self.campaign
        if campaign is None:
            return True
        outdated = not campaign.is_about(self.snapshot)
        left_alone = campaign.waiting_for_manual and outdated
        stays = campaign.failed and not outdated and not even_failed
        if not left_alone and (stays or not campaign.over):
            return False
        self.past_runs += [run for run in campaign.runs.values() if run.state is MigrationState.COMPLETE]
        self.campaign, self.held_by = None, ""
        return True

    def forget_abandoned_campaign(self) -> None:
        """The pull request was closed and is open again: once what ran has ended, everything is planned and asked for anew."""
        campaign = self.campaign
        if campaign is None or not campaign.abandoned or not self.retire_campaign(even_failed=True):
            return
        self.publication, self.earlier_publications = None, []
        self.unsafe_allowed, self.autorun_approved, self.drift_acknowledged, self.drift_kept = {}, {}, {}, []
        self.plan_again()

    def was_for_an_earlier_story(self, given: CommandGiven) -> bool:
        """A command given well before this story began, on a pull request that had a story before: it was dealt with then."""
        said, began = approvals.moment(given.at), approvals.moment(self.born_at)
        if said is None or began is None or self.snapshot is None or not self.had_a_comment:
            return False
        return said < began - EARLIER

    def shows_now(self, pressed: Rerequested) -> bool:
        """The check that somebody pressed is the one that GitHub shows now: of this head, and no newer run of its name came since."""
        if self.snapshot is None or pressed.head_sha != self.head_sha:
            return False
        shown = self.checks.get(pressed.check)
        known = shown.run.generation if shown is not None and shown.run.head_sha == self.head_sha else 0
        return pressed.generation in {0, known or self.snapshot.shown_generations.get(pressed.check, 0)}

    def rerun(self, pressed: Rerequested) -> CommandGiven | None:
        """What "Re-run" asks for: a plan is made again for anybody; to continue with what was begun is a command like any other.

        What is under way is left alone, and a check that GitHub shows no more only woke us.
        """
        campaign = self.campaign
        if not self.shows_now(pressed):
            return None
        if campaign is None:
            self.plan_again()
            return None
        if not campaign.over and not campaign.waiting_for_manual:
            return None
        line = RetryMigration().kind
        return CommandGiven(id=f"button/{pressed.guid}", actor=pressed.actor, line=line, door=Door.BUTTON, pressed=pressed)

    def retry(self) -> None:
        """Continue with what remains; where the data, the commits or the base are no longer what was approved, plan again."""
        campaign = self.campaign
        if campaign is None:
            self.plan_again()
            return
        if campaign.done:
            # What was approved was carried out. What is missing now, somebody took back: that is for people to approve again.
            self.retire_campaign()
            self.publication = None
            self.plan_again()
            return
        if self.open and not self._can_go_on(campaign):
            self.retire_campaign(even_failed=True)
            self.plan_again()
            return
        if not campaign.failed:  # it waits for a person's statement
            campaign.proved_at = False
            return
        campaign.attempt += 1
        campaign.enqueued = campaign.proved_at = False
        campaign.unproven = {}
        runs: dict[str, MigrationRun] = {}
        for name, run in campaign.runs.items():
            if run.state in {MigrationState.FAILED, MigrationState.CANCELLED}:
                again = self.migration_id(campaign.digest, run.migration, campaign.attempt)
                runs[again] = _fresh(again, run.migration)
            else:
                runs[name] = run
        campaign.runs = runs

    def _can_go_on(self, campaign: Campaign) -> bool:
        """What is left of it is still what was approved. (Of a merged pull request nothing can be planned anew: what is left goes on.)"""
        changed = any(run.changed for run in campaign.runs.values())
        return campaign.is_about(self.snapshot) and not campaign.unproven and not changed

    def migration_id(self, digest: PlanDigest, migration: PlannedMigration, attempt: int) -> MigrationId:
        """Names one attempt of one campaign of one story, so that nobody ever takes another's result."""
        when = f"{self.born}.{self.campaigns}.{attempt}"
        return MigrationId(f"{self.ref}:{digest[:12]}:{migration.target}:{migration.position}:{when}")

    # ── Orders ──

    def order(self, migration_id: str, requester: str) -> MigrationOrder:
        """Errors: KeyError for an id that is not of the current campaign."""
        campaign, snapshot = self.campaign, self.snapshot
        if campaign is None or snapshot is None or migration_id not in campaign.runs:
            raise KeyError(migration_id)
        enrolment = self.enrolment
        return MigrationOrder(
            migration_id=MigrationId(migration_id),
            requester=requester,
            migration=campaign.runs[migration_id].migration,
            digest=campaign.digest,
            repository=self.ref.repository,
            pull_request=self.ref.number,
            head_sha=campaign.head_sha,
            approved_by=campaign.approved_by,
            quarantine_days=enrolment.options.quarantine_days if enrolment else 7,
            url=snapshot.url,
        )

    def moved(self, news: MigrationMoved) -> None:
        """Take in where a migration stands; news about one that is settled or not ours changes nothing."""
        campaign = self.campaign
        if campaign is None:
            return
        run = campaign.runs.get(news.migration_id)
        if run is None or run.state.settled:
            return
        campaign.runs[news.migration_id] = replace(
            run,
            state=news.state,
            detail=news.detail,
            rows_compared=news.rows_compared or run.rows_compared,
            seconds=news.seconds or run.seconds,
            quarantined_as=news.quarantined_as or run.quarantined_as,
            changed=news.changed,
            unproven=news.unproven,
        )

    def note_said(self, key: str) -> None:
        self.said = [*self.said, key][-HANDLED_KEPT:]

    def one_line(self) -> str:
        """The workflow's result."""
        runs = [*self.past_runs, *(self.campaign.runs.values() if self.campaign else ())]
        complete = sum(run.state is MigrationState.COMPLETE for run in runs)
        return f"{self.ref} {self.stage().value}: {complete} of {len(runs)} migrations complete at {self.head_sha[:12]}"

    def in_words(self) -> str:
        """The story so far, a line a fact, for `temporal workflow describe`."""
        stage = self.stage()
        lines = [f"**{self.ref}** at `{self.head_sha[:12]}`: {stage.value.replace('-', ' ')}"]
        if self.trouble:
            lines.append(f"trouble: {self.trouble}")
        lines += [f"- {row_key(row)}: {one.state.value}" for row, one in self.row_states().items()]
        campaign = self.campaign
        if campaign is not None:
            lines.append(f"approved by {', '.join(campaign.approved_by)}; plan {campaign.digest[:12]}")
            lines += [f"- {run.migration.target}: {run.state.value} {run.detail}".rstrip() for run in campaign.runs.values()]
        return "\n".join(lines)

    def unfinished(self, prefix: str) -> str:
        """What a merge left undone, and what can be typed. prefix: how a command begins."""
        left = " and ".join(self.campaign.environments[self.campaign.at :]) if self.campaign else ""
        return (
            f"This pull request is merged, but its schema change is not live in {left}: what needs it must not be deployed there."
            f" `{prefix} retry-migration` goes on with what is left, `{prefix} abort` gives it up."
        )

    def remember(self, answer: CommandAnswer) -> None:
        self.answers = [*self.answers, answer][-ANSWERS_KEPT:]


def _fresh(name: MigrationId, migration: PlannedMigration) -> MigrationRun:
    """Not begun: skeebot never runs what a person must."""
    state = MigrationState.MANUAL if migration.strategy is Strategy.MANUAL else MigrationState.PROPOSED
    return MigrationRun(migration_id=name, migration=migration, state=state)


def row_key(row: DatabaseRow) -> str:
    return f"{row.environment}/{row.type}/{row.database}"


def _what_people_did(snapshot: PullRequestSnapshot) -> tuple[object, ...]:
    """The part of a snapshot that deliveries tell of; our own labels and comments are no news."""
    ready = snapshot.protocol.labels.for_review in snapshot.labels
    return (snapshot.state, snapshot.head_sha, snapshot.base_ref, snapshot.reviews, ready, snapshot.tampered)
