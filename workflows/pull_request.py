"""One pull request's story: plan, owner, DBA, migrate, prove, tell.

The only writer of the pull request's labels, sticky comment and checks. Handlers append; the loop decides, and it decides from what
GitHub says now.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows import orders, timing
from workflows.commanding import obey
from workflows.messages import (
    Announcement,
    CommandAnswer,
    CommandGiven,
    Door,
    MigrationMoved,
    MigrationOrder,
    PullRequestView,
    ReadPullRequest,
    Rerequested,
    Woke,
)
from workflows.needs import read_pull_request, wake_pull_request
from workflows.planning import Planning
from workflows.publishing import Publishing
from workflows.rules import commands
from workflows.rules.plan import Refusal
from workflows.rules.stages import MigrationState, Stage
from workflows.story import HANDLED_KEPT, Message, Story
from workflows.trouble import in_words, is_for_people


@workflow.defn
class PullRequest:
    @workflow.init
    def __init__(self, story: Story) -> None:
        self.story = story
        if not story.born:
            story.born = workflow.info().run_id[:8]
            story.born_at = workflow.now().isoformat()
        self.commands: list[CommandGiven] = []
        self.reruns: list[Rerequested] = []
        self.planning = Planning(story)
        self.publishing = Publishing(story)
        self.last_look = 0.0
        self.nothing_was_heard = False

    @workflow.run
    async def run(self, _story: Story) -> str:
        while True:
            await self.look()  # a delivery only wakes us; what GitHub says now is the truth
            await self.obey_commands()  # comments, command line and buttons: one vocabulary, one path
            self.plan()  # live → test merge, for every expected database
            await self.begin_campaign()  # the owner's and the DBA's approval, of this very plan
            await self.migrate()  # environments in order, clusters in parallel, one gh-ost per topology
            await self.give_word()  # to begin, and to swap, while approvals still hold
            self.prove()  # the live schema is diffed again and must be clean
            await self.publishing.publish()  # labels, comment and checks follow from the story
            if self.over and await self.tell_the_end():
                return self.story.one_line()
            await self.news()

    # ── What may arrive ──

    @workflow.signal
    def hear(self, message: Message) -> None:
        self.story.inbox.append(message)

    @workflow.update
    def command(self, given: CommandGiven) -> str:
        """Accepted means: it will be decided upon; ask the query `answer` for the verdict."""
        if given.id not in self.story.handled:
            self.story.inbox.append(given)
        return given.id

    @command.validator
    def _command_is_understood(self, given: CommandGiven) -> None:
        if isinstance(parsed := commands.parse(given.line), Refusal):
            raise ApplicationError(f"{parsed.what} {parsed.next}", type=parsed.code)

    @workflow.query
    def answer(self, command_id: str) -> CommandAnswer | None:
        return next((one for one in self.story.answers if one.id == command_id), None)

    @workflow.query
    def order(self, migration_id: str) -> MigrationOrder:
        return self.story.order(migration_id, workflow.info().workflow_id)

    @workflow.query
    def view(self) -> PullRequestView | None:
        return self.story.view() if self.story.snapshot else None

    # ── The steps ──

    async def look(self) -> None:
        """Take in what was heard, then read the pull request as GitHub shows it now."""
        story = self.story
        if story.snapshot is not None and not story.inbox and not self._look_is_due:
            return
        await self._space_looks()
        delivered = self._drain_inbox()
        people = (*(given.actor for given in self.commands), *(pressed.actor for pressed in self.reruns))
        known = story.head_sha if story.generations_are_known else ""
        ask = ReadPullRequest(ref=story.ref, comment_cursor=story.comment_cursor, people=people, generations_known_of=known)
        try:
            snapshot = await workflow.execute_activity(
                read_pull_request,
                ask,
                start_to_close_timeout=timing.ONE_SNAPSHOT,
                schedule_to_close_timeout=timing.GITHUB_PATIENCE,
                heartbeat_timeout=timing.HEARTBEAT,
                retry_policy=timing.TRY_AGAIN,
            )
        except ActivityError as trouble:
            self.last_look = workflow.time()
            story.trouble = in_words(trouble)
            story.note_refused(story.trouble if is_for_people(trouble) else "")
            return
        self.last_look = workflow.time()
        story.trouble = ""
        story.note_refused("")
        before = story.snapshot
        twins_before = before.twins if before else ()
        voided = story.take(snapshot)
        story.note_whether_too_early(before, delivered=delivered)
        if voided:
            await self.publishing.announce(Announcement.APPROVALS_VOID, key=f"void/{snapshot.head_sha}/{snapshot.base_ref}", text=voided)
        reruns, self.reruns = self.reruns, []
        self.commands += [given for pressed in reruns if (given := story.rerun(pressed)) is not None]
        self.commands += [one for one in snapshot.commands if one.id not in story.handled and not story.was_for_an_earlier_story(one)]
        for number in sorted(set(snapshot.twins) ^ set(twins_before)):
            await self._wake_twin(number)

    async def obey_commands(self) -> None:
        """Oldest first; each is answered once, whatever door it came through."""
        if self.story.open:
            self.story.forget_abandoned_campaign()
        todo, self.commands = self.commands, []
        if self.story.trouble:  # nobody's authority could be asked: keep them for the next look
            self.commands = todo
            return
        for given in todo:
            if given.id in self.story.handled:
                continue
            self.story.handled = [*self.story.handled, given.id][-HANDLED_KEPT:]
            answer = await obey(self.story, given)
            self.story.remember(answer)
            await self.publishing.answer(given, answer)

    def plan(self) -> None:
        """A new head, base, enrolment or request makes a new plan; running work is not disturbed."""
        story = self.story
        if story.trouble or not story.open:
            return
        if story.planned_for == story.plan_key() and not self.planning.is_due_again:
            return
        if story.campaign is not None and not story.retire_campaign():
            return
        self.planning.start()

    async def begin_campaign(self) -> None:
        """Everything that was asked for is there: fix what runs, in which order, and who approved it."""
        if self.story.trouble or self.story.campaign is not None or self.story.stage() is not Stage.QUEUED:
            return
        self.story.begin_campaign()

    async def migrate(self) -> None:
        """Hand the current environment's migrations to their queues; take them back when the pull request was closed."""
        story, campaign = self.story, self.story.campaign
        if story.trouble or campaign is None:
            return
        if story.snapshot is not None and story.snapshot.state == "closed":
            campaign.abandoned = True
            await orders.cancel(campaign, reason="the pull request was closed")
            return
        if campaign.enqueued and self.nothing_was_heard:
            await orders.enqueue_again(campaign, requester=workflow.info().workflow_id)
        if campaign.environment is None or campaign.enqueued or campaign.failed or campaign.proving:
            return
        if not story.campaign_approvals().both:
            await self.publishing.announce(Announcement.HELD, key=f"held/{story.born}.{campaign.serial}/{campaign.attempt}")
        elif not (story.snapshot and story.snapshot.twins):
            campaign.enqueued = True
            await orders.enqueue(campaign, requester=workflow.info().workflow_id)

    async def give_word(self) -> None:
        """Whose turn it is begins, and who holds its cut-over swaps unless somebody asked to wait, while both approvals hold."""
        story, campaign = self.story, self.story.campaign
        if story.trouble or campaign is None or not campaign.under_way:
            return
        if story.snapshot is None or story.snapshot.state == "closed":
            return
        if story.campaign_approvals().both:
            await orders.give_word(campaign, held=bool(story.held_by))
        else:
            await orders.hold(campaign, by="a withdrawn approval")
            if campaign.has(MigrationState.HOLDING) or campaign.has(MigrationState.READY):
                await self.publishing.announce(Announcement.HELD, key=f"held/{story.born}.{campaign.serial}/{campaign.attempt}")

    def prove(self) -> None:
        """An environment that ran is diffed again; only a clean diff lets the next one start."""
        campaign = self.story.campaign
        if campaign is not None and campaign.environment_ran and not campaign.proving and not campaign.proved_at:
            self.planning.prove()

    @property
    def over(self) -> bool:
        """Nothing is left to happen to this pull request, as far as GitHub has told."""
        if self.story.inbox or self.commands or self.reruns or self.planning.busy or self.story.trouble:
            return False
        if self.story.open and self.story.snapshot is not None and self.story.snapshot.twins:
            return False  # the other pull request with this head will move, and must not find nobody here
        if self.story.open and self.story.completed_targets:
            return False  # what it applied is live and not merged: others wait for it until it tells them how it ended
        return self.story.stage() in {Stage.MERGED, Stage.CLOSED, Stage.NO_CHANGES, Stage.NOT_ENROLLED}

    async def tell_the_end(self) -> bool:
        """Returns whether it still is the end: who speaks up meanwhile (reopened!) is heard."""
        if self.story.stage() in {Stage.MERGED, Stage.CLOSED}:
            await orders.tell_ended(self.story)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.over

    async def news(self) -> None:
        """Sleep until something was heard, planned or proven, or the next look is due by itself."""
        self.nothing_was_heard = False
        try:
            await workflow.wait_condition(lambda: self._has_heard or self.planning.has_news or self._should_renew, timeout=self._patience)
        except TimeoutError:
            self.last_look = 0.0
            self.nothing_was_heard = self.story.looks_for_news == 0
        self.planning.take_news()
        if self._should_renew and not self.planning.busy:
            await self.publishing.stop_narrating()
            await workflow.wait_condition(workflow.all_handlers_finished)
            self.story.inbox += [*self.commands, *self.reruns]
            workflow.continue_as_new(self.story)

    # ── Small mechanics ──

    @property
    def _has_heard(self) -> bool:
        """Commands that nobody's authority could be asked for are kept for the next look; they do not hurry it."""
        return bool(self.story.inbox or (self.commands and not self.story.trouble))

    @property
    def _should_renew(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() and not self.planning.busy

    @property
    def _patience(self) -> float:
        """Seconds until the next look by itself."""
        story = self.story
        if story.trouble:
            return story.timing.look_again_after_trouble
        if story.plan_again_at and story.open and story.campaign is None:
            return min(story.wait_for_news, max(story.plan_again_at - workflow.time(), 0.0))
        return story.wait_for_news

    @property
    def _look_is_due(self) -> bool:
        return bool(self.story.trouble) or self.last_look == 0.0

    async def _space_looks(self) -> None:
        """The first wake-up acts at once; after that one snapshot every few seconds, however many deliveries there are."""
        wait = self.last_look + self.story.timing.snapshot_spacing - workflow.time()
        if self.last_look and wait > 0:
            await workflow.sleep(wait)

    def _drain_inbox(self) -> bool:
        """Returns whether a delivery of GitHub's was among it."""
        heard, self.story.inbox[:] = list(self.story.inbox), []
        for message in heard:
            match message:
                case MigrationMoved():
                    self.story.moved(message)
                case CommandGiven():
                    self.commands.append(message)
                case Rerequested(identifier=line, actor=actor, guid=guid) if line:
                    self.commands.append(CommandGiven(id=f"button/{guid}", actor=actor, line=line, door=Door.BUTTON, pressed=message))
                case Rerequested():
                    self.reruns.append(message)
                case Woke():
                    pass
        return any(isinstance(message, Woke) and message.guid for message in heard)

    async def _wake_twin(self, number: int) -> None:
        """The other pull request with this head must learn of it (or of its end) too; a failure only delays that."""
        other = Woke(ref=self.story.ref.sibling(number), reason="shared head")
        try:
            await asyncio.wait_for(
                workflow.execute_activity(
                    wake_pull_request, other, start_to_close_timeout=timing.ONE_QUERY, retry_policy=timing.A_FEW_TIMES
                ),
                timeout=timing.ONE_LOOK.total_seconds(),
            )
        except (ActivityError, TimeoutError):
            workflow.logger.warning("could not wake %s, which shares this head", other.ref)
