"""One decision path for every command, whatever door it came through: understood, allowed, possible, done."""

from typing import assert_never

from workflows import orders
from workflows.messages import CommandAnswer, CommandGiven
from workflows.rules import approvals, commands
from workflows.rules.commands import (
    AbortMigration,
    AcknowledgeDrift,
    AddRepository,
    AllowUnsafe,
    ApproveAutorun,
    Command,
    CutOver,
    HoldCutOver,
    MapRepository,
    RetryMigration,
    SetAutorun,
    ShowHelp,
    ShowStatus,
    UnmapRepository,
)
from workflows.rules.plan import Refusal
from workflows.rules.stages import MigrationState
from workflows.story import Story

Verdict = tuple[bool, str]
"""Whether it was done, and the words: what was done, or why not and what to type instead."""


async def obey(story: Story, given: CommandGiven) -> CommandAnswer:
    snapshot = story.snapshot
    if snapshot is None:
        return _answer(given, (False, "skeebot has not seen this pull request yet; say it again in a moment."))
    if given.pressed is not None and not story.shows_now(given.pressed):
        return _answer(given, (False, "That button belongs to an earlier check. Look at what the newest one says, and press it there."))
    command = commands.parse(given.line, prefix=snapshot.protocol.command_prefix)
    if isinstance(command, Refusal):
        return _answer(given, (False, f"{command.what} {command.next}"))
    objection = commands.judge_actor(command, given.actor, snapshot.author, snapshot.members)
    if objection is not None:
        return _answer(given, (False, objection))
    return _answer(given, await _carry_out(story, given, command, snapshot.protocol.command_prefix))


async def _carry_out(story: Story, given: CommandGiven, command: Command, prefix: str) -> Verdict:
    match command:
        case RetryMigration():
            return _retry(story, given)
        case AllowUnsafe():
            return _allow_unsafe(story, given, command)
        case AcknowledgeDrift():
            return _acknowledge_drift(story, given)
        case ApproveAutorun():
            return _approve_autorun(story, given)
        case HoldCutOver():
            return await _hold(story, given)
        case CutOver():
            return await _cut_over(story, given)
        case AbortMigration():
            return await _abort(story, given)
        case ShowStatus():
            return True, story.one_line()
        case ShowHelp():
            return True, commands.help_text(prefix=prefix)
        case AddRepository() | MapRepository() | UnmapRepository() | SetAutorun():
            return False, "Enrolment is changed on skeebot's command line."
        case _:
            assert_never(command)


def _retry(story: Story, given: CommandGiven) -> Verdict:
    campaign = story.campaign
    if campaign is not None and not campaign.over and not campaign.waiting_for_manual:
        return False, "Its migrations are still under way; wait until they have ended, or type `.skeefree abort` first."
    if story.snapshot is not None and story.snapshot.from_fork and _is_member(story, given):
        story.fork_allowed_for = story.head_sha
    waited = campaign is not None and campaign.waiting_for_manual and not campaign.failed
    story.retry()
    if story.campaign is not None and waited:
        return True, "What is left for a person to run is compared with what is live now."
    if story.campaign is not None:
        return True, "What failed or was cancelled goes back into its queues; what is complete stays."
    return True, "The plan is made again from what is live now."


def _is_member(story: Story, given: CommandGiven) -> bool:
    members = story.snapshot.members if story.snapshot else None
    return members is not None and given.actor.casefold() in {login.casefold() for login in members.owners | members.dbas}


def _allow_unsafe(story: Story, given: CommandGiven, command: AllowUnsafe) -> Verdict:
    digest = story.digest
    if digest is None:
        return False, "There is no plan to allow anything of right now."
    if not command.allows(digest):
        return (
            False,
            f"The plan is {digest[:12]} now, not {command.digest_prefix}: read it again, then type `.skeefree allow-unsafe {digest[:12]}`.",
        )
    if not any(one.unsafe for one in story.migrations()):
        return False, "Nothing in this plan needs to be allowed."
    story.unsafe_allowed[digest] = given.actor
    return True, f"What plan {digest[:12]} loses is accepted by {given.actor}."


def _acknowledge_drift(story: Story, given: CommandGiven) -> Verdict:
    if (unseen := _not_shown_yet(story, given)) is not None:
        return False, unseen
    if not story.drift_digest:
        return False, "The live tables do not differ from the base branch; there is nothing to acknowledge."
    if not story.drift_is_open:
        return True, f"The drift shown was acknowledged by {story.drift_acknowledged_by} already."
    story.acknowledge_drift(given.actor)
    return True, f"The drift shown is acknowledged by {given.actor}: it stays, and the plan is made again around it."


def _approve_autorun(story: Story, given: CommandGiven) -> Verdict:
    digest, enrolment = story.digest, story.enrolment
    if digest is None or enrolment is None:
        return False, "There is no plan to run right now."
    if (unseen := _not_shown_yet(story, given)) is not None:
        return False, unseen
    if enrolment.autorun:
        return False, "Autorun is on for this repository: approved migrations run by themselves."
    story.autorun_approved[digest] = given.actor
    return True, f"Plan {digest[:12]} may run, says {given.actor}."


def _not_shown_yet(story: Story, given: CommandGiven) -> str | None:
    """A judgement is of what was shown: not of a plan that is still being made, or that came after the comment."""
    shown = story.publication
    if story.digest is None or shown is None or shown.digest != story.digest:
        return "The plan is being made; say it again when it is shown."
    said, at = approvals.moment(given.at), approvals.moment(shown.at)
    if said is not None and at is not None and said < at:
        return "The plan was made anew after you wrote this; read it again, then say it again."
    return None


async def _hold(story: Story, given: CommandGiven) -> Verdict:
    campaign = story.campaign
    if campaign is None or campaign.over:
        return False, "Nothing runs that could be held."
    story.held_by = given.actor
    await orders.hold(campaign, by=given.actor)
    return True, "Every table stays before its cut-over until somebody types `.skeefree cut-over`."


async def _cut_over(story: Story, given: CommandGiven) -> Verdict:
    campaign = story.campaign
    if campaign is None or campaign.over:
        return False, "Nothing runs that could be cut over."
    if not story.campaign_approvals().both:
        return False, (
            "The approvals do not hold any more, so nothing is swapped. Both are needed again for the commit that runs; or type "
            "`.skeefree abort`, and approve the plan of the newest commits."
        )
    was_held, story.held_by = bool(story.held_by), ""
    holding = campaign.has(MigrationState.HOLDING)
    if not was_held and not holding:
        return False, "Nothing is held: each table is swapped by itself once it was compared."
    await orders.give_word(campaign, accept_unproven_by=given.actor)
    return True, "Tables that hold are let go as soon as their data was looked at once more."


async def _abort(story: Story, given: CommandGiven) -> Verdict:
    campaign = story.campaign
    if campaign is not None and campaign.failed and campaign.over and story.merged:
        campaign.abandoned = True
        return True, "What is left of it is given up: it will not run, and live schemas stay behind what was merged."
    if campaign is None or campaign.over:
        return False, "Nothing runs or waits that could be aborted."
    await orders.cancel(campaign, reason=f"aborted by {given.actor}")
    return True, "What waits leaves its queue; what runs is stopped before its swap. `.skeefree retry-migration` continues."


def _answer(given: CommandGiven, verdict: Verdict) -> CommandAnswer:
    return CommandAnswer(id=given.id, line=given.line, actor=given.actor, done=verdict[0], text=verdict[1])
