"""One place derives what GitHub shows from the story; doing it twice equals once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from workflows import addresses, timing
from workflows.dismissal import dismiss
from workflows.messages import (
    Announcement,
    CommandAnswer,
    CommandGiven,
    Door,
    Narrate,
    Notice,
    PublishCheck,
    PublishComment,
    PullRequestView,
    React,
    RequestReview,
    Say,
    SetLabels,
    shows,
)
from workflows.needs import narrate, notify, publish_check, publish_comment, react, read_enrolment, request_review, say, set_labels
from workflows.rules import checks
from workflows.rules.approvals import Publication
from workflows.rules.checks import CheckRun, CheckState
from workflows.rules.names import DatabaseRow, HeadSha, Login
from workflows.rules.stages import MigrationState, Stage
from workflows.story import HANDLED_KEPT, PublishedCheck, Story, Unsaid, row_key
from workflows.trouble import in_words, is_for_people

Ask = TypeVar("Ask")
Done = TypeVar("Done")


class Outcome(StrEnum):
    """What became of a call. TROUBLE may pass by itself, REFUSED is for people."""

    DONE = "done"
    TROUBLE = "trouble"
    REFUSED = "refused"


ANY = frozenset({Outcome.TROUBLE, Outcome.REFUSED})
PASSING = frozenset({Outcome.TROUBLE})
NOTHING: frozenset[Outcome] = frozenset()
"""Which outcomes make the loop come back soon."""

OF_A_MOMENT = frozenset({Announcement.APPROVALS_VOID, Announcement.COMMAND_REFUSED})
"""What is said of something that happened; everything else is said of how things stand, as long as they do."""

LOOKS_REFUSED = 2
"""In a row: GitHub may not know a pull request yet that it tells of."""

UNREADABLE_TOLD = 3
"""Reasons in one story: nobody is told for ever."""

MOVING = frozenset({MigrationState.READY, MigrationState.RUNNING, MigrationState.HOLDING})


class Publishing:
    def __init__(self, story: Story) -> None:
        self.story = story
        self._narrator: workflow.ActivityHandle[None] | None = None
        self._narrated = ""
        self._shown: dict[str, str] = {}

    async def publish(self) -> None:
        """Checks first (the plan of record), the roll-up after its rows; then comment and labels."""
        story = self.story
        if story.snapshot is None or story.trouble:
            await self._tell_who_could_mend_it()
            self._describe()
            return
        view = story.view()
        await self._checks(view)
        if self._has_something_to_say(view):
            await self._comment(view)
        await self._labels()
        await self._announcements(view)
        if (after := story.view()).review_refused != view.review_refused:
            await self._comment(after)
        self._describe()
        await self._keep_narrating(view)

    def _has_something_to_say(self, view: PullRequestView) -> bool:
        """A pull request without schema changes gets no comment, unless it has one already."""
        silent = {Stage.NO_CHANGES, Stage.NOT_ENROLLED, Stage.LOOKING}
        if view.stage is Stage.PLANNING and not view.expected and not self.story.view_shown:
            return False
        if view.stage in {Stage.CLOSED, Stage.MERGED} and not self.story.view_shown:
            return False
        if view.stage is Stage.NOT_ENROLLED and self.story.enrolment is not None and view.expected:
            return True  # the branch is enrolled, but nothing protects it: somebody waits here
        return view.stage not in silent or bool(self.story.view_shown)

    # ── Checks ──

    async def _checks(self, view: PullRequestView) -> None:
        story = self.story
        plan_was_open = story.campaign is None
        aggregate = story.aggregate()
        states = story.row_states()
        name = view.protocol.checks.aggregate
        wanted = {row.check_name(name): (row, states[row].state) for row in view.expected} if aggregate is not None else {}
        ended = await asyncio.gather(*(self._end(run, view) for run in self._left_behind(view, {*wanted, name})))
        if aggregate is None or not all(ended):
            return
        shown = await asyncio.gather(*(self._check(check, state, row, _only(view, row)) for check, (row, state) in wanted.items()))
        at = await self._check(name, aggregate, None, view)
        if None in shown:
            self._shown.pop(name, None)  # the roll-up is shown again when they are there: GitHub's clock tells then since when all were
        elif plan_was_open and at:
            self._note_publication(view, max([at, *(one for one in shown if one)]))

    async def _check(self, name: str, wanted: CheckState, row: DatabaseRow | None, view: PullRequestView) -> str | None:
        """Make GitHub show this check in this state. Returns GitHub's clock, "" where that was not needed, None where it failed."""
        story = self.story
        shown = story.checks.get(name)
        seeded = story.snapshot.shown_generations.get(name, 0) if story.snapshot else 0
        unfinished = shown is not None and not shown.run.state.completed
        stale = unfinished and shown is not None and workflow.time() - shown.since > story.timing.supersede_in_progress_after
        run = checks.next_run(
            shown.run if shown else None, name=name, head_sha=view.head_sha, wanted=wanted, seeded_generation=seeded, supersede=stale
        )
        ask = PublishCheck(ref=story.ref, run=run, row=row, view=view)
        face = _hash(replace(ask, view=_still(view)))
        show_again = row is None and story.void_publication and story.campaign is None and view.digest is not None
        if shown is not None and shown.run == run and self._shown.get(name) == face and not show_again:
            return ""
        # The generation is fixed before the activity: an attempt that timed out but landed is found, not doubled.
        same = shown is not None and shown.run == run
        story.checks[name] = PublishedCheck(run=run, since=shown.since if shown is not None and same else workflow.time())
        try:
            published = await _write(publish_check, ask)
        except ActivityError as trouble:
            story.trouble = f"check {name}: {trouble.cause}"
            story.generations_are_known = False  # perhaps it shows one that we know nothing of
            self._shown.pop(name, None)
            return None
        self._shown[name] = face
        return published.at

    def _left_behind(self, view: PullRequestView, wanted: Collection[str]) -> list[CheckRun]:
        """What is in progress on a head that was pushed away, or for a database that is expected no more, would stay so for ever."""
        unfinished = [one.run for one in self.story.checks.values() if not one.run.state.completed]
        closed = self.story.aggregate() is None
        return [run for run in unfinished if run.head_sha != view.head_sha or closed or run.name not in wanted]

    async def _end(self, run: CheckRun, view: PullRequestView) -> bool:
        """End it where it is, never green. Returns whether that is done with; else the next round tries again.

        One that GitHub refuses to end (an old head is gone) stays as it is: the checks of the new head do not wait for it.
        """
        ended = replace(run, state=CheckState.ACTION_REQUIRED)
        outcome = await self._try(
            _write(publish_check, PublishCheck(ref=self.story.ref, run=ended, row=None, view=view)),
            f"the end of {run.name} on {run.head_sha[:12]}",
            troubled_by=PASSING,
        )
        if outcome is Outcome.TROUBLE:
            return False
        self.story.checks[run.name] = PublishedCheck(run=ended, since=workflow.time())
        return True

    def _note_publication(self, view: PullRequestView, at: str) -> None:
        """A digest counts as shown from GitHub's own timestamp of its first publication on this head, every database's check included.

        It is the digest of the view that was published: the story may have moved on meanwhile.
        """
        story, digest = self.story, view.digest
        if digest is None:
            return
        current = story.publication
        if current is None or (current.digest, current.head_sha) != (digest, view.head_sha) or story.void_publication:
            story.void_publication = False
            story.publish_digest(Publication(digest=digest, head_sha=view.head_sha, at=at))

    # ── Comment, labels, announcements ──

    async def _comment(self, view: PullRequestView) -> None:
        story = self.story
        face = _hash(_still(view))
        if story.view_shown == face and not story.rewrite_comment:
            return
        await self.stop_narrating()
        outcome = await self._try(
            _write(publish_comment, PublishComment(view=view)),
            "the comment",
        )
        if outcome is Outcome.DONE:
            story.view_shown, story.rewrite_comment = face, False

    async def _labels(self) -> None:
        story, snapshot = self.story, self.story.snapshot
        if snapshot is None or snapshot.state == "closed":
            return
        wanted = story.labels()
        there = sorted(set(snapshot.labels) & snapshot.protocol.labels.ours())
        if wanted in (there, story.labels_shown) and (story.labels_shown is None or wanted == story.labels_shown):
            return
        outcome = await self._try(
            _write(set_labels, SetLabels(ref=story.ref, wanted=tuple(wanted), protocol=snapshot.protocol)),
            "the labels",
        )
        if outcome is Outcome.DONE:
            story.labels_shown = wanted

    async def _announcements(self, view: PullRequestView) -> None:
        """New comments only where a person must act, and at the end."""
        await self._make_up()
        story, campaign = self.story, self.story.campaign
        match view.stage:
            case Stage.AWAITING_DBA:
                await self._ask_databases_team(view)
                await self.announce(Announcement.DETECTED, key=f"detected/{view.digest}/{view.head_sha}")
            case Stage.FAILED | Stage.AWAITING_MANUAL if campaign is not None and self.story.merged:
                key = f"unfinished/{self.story.born}/{campaign.serial}/{campaign.attempt}/{len(campaign.unproven)}"
                await self.announce(Announcement.FAILED, key=key, text=self.story.unfinished(view.protocol.command_prefix))
            case Stage.FAILED if campaign is not None:
                which = f"{story.born}.{campaign.serial}/{campaign.attempt}/{len(campaign.unproven)}"
                await self.announce(Announcement.FAILED, key=f"failed/{campaign.digest}/{which}")
            case Stage.COMPLETE if view.runs:
                await self.announce(Announcement.COMPLETE, key=f"complete/{view.head_sha}/{story.born}.{story.campaigns}")
            case Stage.HOLDING if campaign is not None:
                for run in campaign.runs.values():
                    if run.state is MigrationState.HOLDING and run.unproven:  # its id names story, campaign and attempt
                        await self.announce(Announcement.HELD, key=f"unproven/{run.migration_id}")
            case _:
                pass

    async def _tell_who_could_mend_it(self) -> None:
        """While looks are refused, the checks say what they said, or nothing: a comment tells why, where somebody waits for us."""
        story, trouble = self.story, self.story.trouble
        told = sum(key.startswith("unreadable/") for key in story.said)
        if story.refused_looks < LOOKS_REFUSED or told >= UNREADABLE_TOLD or not await self._is_waited_for():
            return
        key = f"unreadable/{story.born}/{_hash(story.unreadable)[:12]}"
        await self.announce(Announcement.UNREADABLE, key=key, text=story.unreadable)
        story.trouble = trouble

    async def _is_waited_for(self) -> bool:
        """A pull request that is not known yet is waited for where its repository is enrolled: its check may be required."""
        story = self.story
        if story.snapshot is not None:
            return story.enrolment is not None and (story.snapshot.base_requires_check or bool(story.view_shown))
        asked = workflow.execute_activity(
            read_enrolment, story.ref.repository, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
        )
        try:
            return await asked is not None
        except ActivityError:
            return False

    async def _make_up(self) -> None:
        """For what GitHub did not take in the rounds before, and nothing that stands would bring again."""
        story = self.story
        unsaid, story.unsaid = story.unsaid, []
        for one in unsaid:
            await self.announce(one.announcement, key=one.key, text=one.text)
        unmarked, story.unmarked = story.unmarked, []
        for mark in unmarked:
            await self._mark(mark)

    async def _ask_databases_team(self, view: PullRequestView) -> None:
        key = f"review/{view.digest}/{view.head_sha}"
        if key in self.story.said or not view.databases_team:
            self.story.review_refused = ""
            return
        try:
            await _write(request_review, RequestReview(ref=view.ref, team=view.databases_team), retry_policy=timing.A_FEW_TIMES)
        except ActivityError as trouble:
            workflow.logger.warning("%s: the databases team was not asked for a review: %s", view.ref, trouble.cause)
            self.story.review_refused = in_words(trouble) if is_for_people(trouble) else ""
        else:
            self.story.review_refused = ""
            self.story.note_said(key)

    async def announce(self, announcement: Announcement, *, key: str, text: str = "") -> None:
        """Say it once per key. What GitHub does not take is said in a later round: editing the sticky comment notifies nobody."""
        story = self.story
        if key in story.said:
            return
        view = story.view() if story.snapshot is not None else _view_of_nothing(story)
        said = await self._try(
            _write(say, Say(ref=story.ref, announcement=announcement, key=key, view=view, text=text)),
            "an announcement",
            troubled_by=PASSING,
        )
        if said is not Outcome.DONE:
            if announcement in OF_A_MOMENT and key not in {one.key for one in story.unsaid}:
                story.unsaid = [*story.unsaid, Unsaid(announcement, key, text)][-HANDLED_KEPT:]
            return
        story.note_said(key)
        if announcement in {Announcement.FAILED, Announcement.COMPLETE} or key.startswith("unproven/"):
            await self._try(
                workflow.execute_activity(
                    notify,
                    Notice(subject=f"{story.ref}: {announcement.value}", body=story.one_line()),
                    start_to_close_timeout=timing.ONE_WRITE,
                    retry_policy=timing.A_FEW_TIMES,
                ),
                "a notice for the chat",
                troubled_by=NOTHING,
            )

    async def answer(self, given: CommandGiven, answer: CommandAnswer) -> None:
        """A reaction marks a comment's command as handled; a refusal also says why: in a comment of its own to those who are involved, to
        strangers in the sticky one alone, or anybody could make us write without end.
        """
        is_comment = given.door is Door.COMMENT and bool(given.comment_id)
        if is_comment:
            await self._mark(React(ref=self.story.ref, comment_id=given.comment_id, done=answer.done))
        if not answer.done and (not is_comment or self.story.involves(given.actor)):
            await self.announce(Announcement.COMMAND_REFUSED, key=f"command/{given.id}", text=answer.text)

    async def _mark(self, mark: React) -> None:
        marked = await self._try(
            _write(react, mark, retry_policy=timing.A_FEW_TIMES),
            "a reaction",
            troubled_by=PASSING,
        )
        if marked is Outcome.TROUBLE:  # refused: the comment is gone, say, and there is nothing left to mark
            self.story.unmarked = [*self.story.unmarked, mark][-HANDLED_KEPT:]

    async def _try(self, call: Awaitable[object], what: str, *, troubled_by: Collection[Outcome] = ANY) -> Outcome:
        try:
            await call
        except ActivityError as trouble:
            outcome = Outcome.REFUSED if is_for_people(trouble) else Outcome.TROUBLE
            workflow.logger.warning("%s: could not publish %s: %s", self.story.ref, what, trouble.cause)
            if outcome in troubled_by:
                self.story.trouble = f"{what}: {trouble.cause}"
            return outcome
        return Outcome.DONE

    # ── Progress and description ──

    async def _keep_narrating(self, view: PullRequestView) -> None:
        moving = tuple(run.migration_id for run in view.runs if run.state in MOVING)
        if not moving:
            await self.stop_narrating()
        elif self._narrator is None or self._narrator.done():
            self._narrator = workflow.start_activity(
                narrate,
                Narrate(view=view, every_seconds=self.story.timing.narrate_every),
                start_to_close_timeout=timing.GHOST_RUN,
                heartbeat_timeout=timing.NARRATOR_HEARTBEAT,
                retry_policy=timing.TRY_AGAIN,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )

    async def stop_narrating(self) -> None:
        """Only one hand writes the comment: the narrator is cancelled and awaited before we write."""
        narrator, self._narrator = self._narrator, None
        if narrator is not None and not narrator.done():
            await dismiss(narrator)

    def _describe(self) -> None:
        """What `temporal workflow describe` and `list --query` show."""
        story = self.story
        stage = story.stage()
        clusters = sorted({one.target.cluster for one in story.migrations()} | {target.cluster for target in story.completed_targets})
        workflow.upsert_search_attributes(
            [
                addresses.SCHEMA_STATE.value_set(stage.value),
                addresses.REPOSITORY.value_set(story.ref.repository),
                addresses.PULL_REQUEST.value_set(str(story.ref)),
                addresses.CLUSTERS.value_set(clusters),
            ]
        ) if self._shown.get("") != f"{stage} {clusters}" else None
        self._shown[""] = f"{stage} {clusters}"
        if story.snapshot is not None and not story.trouble:
            about = shows(story.head_sha, story.snapshot.base_ref)
            if self._shown.get(addresses.SHOWS) != about:
                workflow.upsert_memo({addresses.SHOWS: about})
                self._shown[addresses.SHOWS] = about
        workflow.set_current_details(story.in_words())


async def _write(does: Callable[[Ask], Awaitable[Done]], ask: Ask, *, retry_policy: RetryPolicy = timing.TRY_AGAIN) -> Done:
    """One thing at GitHub, found before it is made."""
    return await workflow.execute_activity(
        does,
        ask,
        start_to_close_timeout=timing.ONE_WRITE,
        schedule_to_close_timeout=timing.GITHUB_PATIENCE,
        heartbeat_timeout=timing.HEARTBEAT,
        retry_policy=retry_policy,
    )


def _view_of_nothing(story: Story) -> PullRequestView:
    """Of a pull request that could not be read yet."""
    return PullRequestView(ref=story.ref, author=Login(""), head_sha=HeadSha(""), stage=Stage.LOOKING)


def _only(view: PullRequestView, row: DatabaseRow) -> PullRequestView:
    """What the check of one database needs to know."""
    return replace(
        view,
        plans=tuple(plan for plan in view.plans if plan.row == row),
        runs=tuple(run for run in view.runs if run.migration.target.row == row),
        row_states={row_key(row): view.row_states[row_key(row)]} if row_key(row) in view.row_states else {},
        answers=(),
    )


def _still(view: PullRequestView) -> PullRequestView:
    """The view without what moves by itself (progress), so that only news is published."""
    return replace(view, runs=tuple(replace(run, progress=type(run.progress)()) for run in view.runs))


def _hash(thing: object) -> str:
    return hashlib.sha256(repr(thing).encode()).hexdigest()
