"""The story, act by act: what each person does, and what is waited for before the next one acts."""

import asyncio
from datetime import timedelta
from typing import Final

from demonstration import acme
from demonstration.acme import DBA, DEVELOPER, OWNER, REPOSITORY
from demonstration.pictures import plan_picture
from demonstration.proofs import Withdrawn
from demonstration.stage import Missed, Theatre
from tests.fakes.github import Comment, MergeRefused, PullRequest
from workflows.rules.checks import CheckState
from workflows.rules.names import Labels
from workflows.rules.stages import Stage

PLAN_SECONDS: Final = 60.0
REACTION_SECONDS: Final = 30.0
RUN_SECONDS: Final = 240.0
A_LATER_SECOND: Final = timedelta(seconds=1.3)
"""After the last check was written: whatever second GitHub's answer named, it is over."""
REFUSED, DONE = "confused", "+1"


class Script:
    """Steps in order. What the proofs need later is kept: `withdrawn`, `status`, `result`."""

    def __init__(self, theatre: Theatre) -> None:
        self.theatre = theatre
        self.world = theatre.world
        self.screen = theatre.screen
        self.shown: set[str] = set()
        self.withdrawn: Withdrawn | None = None
        self.result = ""
        self.status = ""

    async def play(self) -> None:
        await self.play_until_approved()
        await self.tables_are_migrated()
        await self.it_is_merged()

    async def play_until_approved(self) -> None:
        await self.a_change_is_proposed()
        await self.an_approval_is_outrun()
        await self.a_loss_is_allowed()
        await self.two_people_approve()

    async def play_until_half_way(self) -> None:
        """For a picture: staging is done, and both shards of production are being copied."""
        await self.play_until_approved()
        self.screen.act(6, "Staging first, then both shards of production")
        await self.theatre.until("staging to be migrated and proven", lambda: self.row_succeeds("staging"), seconds=RUN_SECONDS)
        await self.theatre.until("both shards of production to be half-way", self._both_shards_are_half_way, seconds=RUN_SECONDS)

    # ── The acts

    async def a_change_is_proposed(self) -> None:
        theatre, world = self.theatre, self.world
        self.screen.act(2, "A developer opens a pull request")
        acme.push(world, acme.first_commit())
        theatre.pull = world.open_pull_request(REPOSITORY, acme.BRANCH, title=acme.TITLE, body=acme.DESCRIPTION, author=DEVELOPER)
        await self.plan_of(theatre.pull.head_sha)
        assert theatre.view is not None
        self.shown = {one.statement for plan in theatre.view.plans for one in plan.migrations}
        self.screen.show(plan_picture(theatre.view), title="The plan, proven on an empty copy")
        await self.merge_is_refused()

    async def an_approval_is_outrun(self) -> None:
        theatre, world = self.theatre, self.world
        self.screen.act(3, "Approved, and then there is one more commit")
        await self.a_later_second()
        world.review(self.pull, OWNER, "APPROVED", "Good, finance has been asking for this.")
        world.add_label(self.pull, Labels.for_review, by=DEVELOPER)
        await theatre.until("the owner's approval to count", lambda: self.owner == OWNER, seconds=REACTION_SECONDS)
        self.screen.says("skeebot", f"{OWNER}'s approval counts", "good")
        acme.push(world, acme.late_commit())
        await self.plan_of(self.pull.head_sha)
        await theatre.until("the approval to stop counting", lambda: not self.owner, seconds=REACTION_SECONDS)
        assert theatre.view is not None
        reason = next((why for login, why in theatre.view.approvals.not_counted.items() if login == OWNER), "")
        self.withdrawn = Withdrawn(by=OWNER, counted_before=OWNER, counted_after=self.owner, reason=reason, started=len(theatre.view.runs))
        self.screen.says("skeebot", f"{OWNER}'s approval does not count any more: {reason}", "waiting")
        self.screen.show(plan_picture(theatre.view, but=self.shown), title="What is new in the plan")

    async def a_loss_is_allowed(self) -> None:
        theatre = self.theatre
        self.screen.act(4, "Dropping a table takes a DBA's word")
        assert theatre.view is not None
        assert theatre.view.digest is not None
        command = f".skeefree allow-unsafe {theatre.view.digest[:12]}"
        refused = self.world.comment(self.pull, DEVELOPER, command)
        await theatre.until("the developer to be refused", lambda: self.reaction(refused), seconds=REACTION_SECONDS)
        self.expect(refused, REFUSED)
        allowed = self.world.comment(self.pull, DBA, command)
        await theatre.until("the DBA's word to be taken", lambda: self.reaction(allowed), seconds=REACTION_SECONDS)
        self.expect(allowed, DONE)
        await theatre.until(
            "the drop to be allowed", lambda: bool(theatre.view and theatre.view.allowed_unsafe_by), seconds=REACTION_SECONDS
        )

    async def two_people_approve(self) -> None:
        theatre, world = self.theatre, self.world
        self.screen.act(5, "The owner again, and a DBA")
        await self.a_later_second()
        world.review(self.pull, OWNER, "APPROVED", "Still good, with the index.")
        await theatre.until("the migrations to be detected", lambda: theatre.stage is Stage.AWAITING_DBA, seconds=REACTION_SECONDS)
        detected = Labels.detected
        await theatre.until(f"label {detected}", lambda: detected in world.label_names(self.pull), seconds=REACTION_SECONDS)
        await self.merge_is_refused()
        world.review(self.pull, DBA, "APPROVED", "Copy, compare, swap: go.")
        await theatre.until("the migrations to be queued", lambda: Labels.queued in world.label_names(self.pull), seconds=REACTION_SECONDS)

    async def tables_are_migrated(self) -> None:
        theatre = self.theatre
        self.screen.act(6, "Staging first, then both shards of production")
        await theatre.until("staging to be migrated and proven", lambda: self.row_succeeds("staging"), seconds=RUN_SECONDS)
        await self.merge_is_refused()
        await theatre.until("production to be migrated and proven", lambda: self.row_succeeds("production"), seconds=RUN_SECONDS)

    async def it_is_merged(self) -> None:
        theatre, world = self.theatre, self.world
        self.screen.act(7, "Green: deploy and merge")
        await theatre.until("SchemaBot to succeed", lambda: theatre.aggregate() == "success", seconds=REACTION_SECONDS)
        told = f"@{DEVELOPER}"
        await theatre.until(
            "the last word to the author", lambda: any(told in one.body for one in self.bot_comments), seconds=REACTION_SECONDS
        )
        theatre.gate.merged_as = world.merge(self.pull, by=DEVELOPER)
        await self.the_workflow_ends()

    # ── Steps that come more than once

    async def plan_of(self, head: str) -> None:
        """The plan of this head is shown everywhere: view, checks, comment and label."""
        theatre = self.theatre

        def shown() -> bool:
            view = theatre.view
            planned = view is not None and view.head_sha == head and view.digest is not None and bool(view.expected)
            return planned and theatre.aggregate() == "action_required" and Labels.diff in self.world.label_names(self.pull)

        await theatre.until(f"the plan of {head[:7]}", shown, seconds=PLAN_SECONDS)
        await theatre.until("the comment", lambda: any(head[:8] in one.body for one in self.bot_comments), seconds=REACTION_SECONDS)

    async def a_later_second(self) -> None:
        """GitHub writes times in whole seconds, and an approval counts only if it is later than the plan that it approves."""
        await self.theatre.until("a later second on GitHub's clock", lambda: self.since_checks_changed() > A_LATER_SECOND, seconds=15)

    def since_checks_changed(self) -> timedelta:
        with self.world.lock:
            runs = self.world.check_run_history(REPOSITORY, self.pull.head_sha)
            return self.world.exactly_now() - max(state.at for run in runs for state in run.history)

    async def merge_is_refused(self) -> None:
        try:
            self.world.merge(self.pull, by=DEVELOPER)
        except MergeRefused as refused:
            self.theatre.gate.refusals.append(refused.reasons[0])
            self.screen.says(DEVELOPER, "presses “Merge”")
            self.screen.says("github", f"refuses: {' '.join(refused.reasons)}", "waiting")
        else:
            raise Missed(f"GitHub merged while SchemaBot said {self.theatre.aggregate() or 'nothing'}.")

    async def the_workflow_ends(self) -> None:
        theatre = self.theatre
        ending = asyncio.ensure_future(theatre.workflow.result())
        try:
            await theatre.until("the workflow to end", lambda: ending.done() and theatre.stage is Stage.MERGED, seconds=REACTION_SECONDS)
        finally:
            ending.cancel()
        self.result = await ending
        status = (await theatre.workflow.describe()).status
        self.status = status.name if status else ""
        self.screen.says("temporal", f"{theatre.workflow.id} has ended: {self.result}", "good")

    # ── Looking

    @property
    def pull(self) -> PullRequest:
        assert self.theatre.pull is not None, "nobody has opened it yet"
        return self.theatre.pull

    @property
    def owner(self) -> str:
        """Whose approval counts as the owner's now, "" while nobody's does."""
        view = self.theatre.view
        return (view.approvals.owner or "") if view else ""

    @property
    def bot_comments(self) -> list[Comment]:
        return [one for one in self.pull.comments if one.user.type == "Bot"]

    def row_succeeds(self, environment: str) -> bool:
        view = self.theatre.view
        states = [state for key, state in view.row_states.items() if key.startswith(f"{environment}/")] if view else []
        return bool(states) and all(state is CheckState.SUCCESS for state in states)

    def _both_shards_are_half_way(self) -> bool:
        bars = self.theatre.screen.bars
        return len([bar for bar in bars if bar.place.startswith("production/") and bar.percent >= 30]) == 2

    def reaction(self, comment: Comment) -> str:
        """The bot's, "" while there is none."""
        return next((one.content for one in comment.reactions if one.user.type == "Bot"), "")

    def expect(self, comment: Comment, content: str) -> None:
        found = self.reaction(comment)
        face = {DONE: "👍", REFUSED: "😕"}.get(found, found)
        self.screen.says("skeebot", f"reacts with {face} to {comment.user.login}'s command", "good" if found == DONE else "waiting")
        if found != content:
            raise Missed(f"“{comment.body}” by {comment.user.login} got the reaction {found}, not {content}.")
