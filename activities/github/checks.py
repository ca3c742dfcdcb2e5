"""Check runs: each is found before it is made, and a completed one is never re-opened (DESIGN §2)."""

from collections.abc import Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

from temporalio import activity

from activities.errors import OurBug
from activities.github.client import GitHubClient, Shown, TooLong, iso
from activities.github.render import CheckOutput, render_check
from activities.pulse import missed_when_dead
from workflows.messages import CheckPublished, PublishCheck
from workflows.rules.checks import CheckRun
from workflows.rules.names import PullRequestRef

OUTPUT_BYTES: Final = 65_535
"""Of summary and of text, each (FACTS, GitHub)."""
ACTIONS: Final = 3
ACTION_LABEL: Final = 20
ACTION_DESCRIPTION: Final = 40
ACTION_IDENTIFIER: Final = 20
"""Characters."""


class _App(Shown):
    id: int


class _Output(Shown):
    title: str | None = None
    summary: str | None = None
    text: str | None = None


class ShownRun(Shown):
    """A check run as GitHub lists it. status: queued, in_progress, completed, …"""

    id: int
    name: str
    status: str
    conclusion: str | None = None
    external_id: str | None = ""
    app: _App | None = None
    output: _Output = _Output()

    def generation_of(self, pull_request: int, head_sha: str) -> int | None:
        """The generation, where this run was made for that pull request and head; None for every other run."""
        start = f"skeebot/{pull_request}/{head_sha}/"
        rest = (self.external_id or "").removeprefix(start)
        return int(rest) if (self.external_id or "").startswith(start) and rest.isascii() and rest.isdigit() and len(rest) < 10 else None


class Checks:
    """publish_check."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    @activity.defn
    @missed_when_dead
    async def publish_check(self, ask: PublishCheck) -> CheckPublished:
        """Errors: those of GitHubClient.call; OurBug where only a new generation could show what is wanted."""
        output = render_check(ask)
        _check_sizes(ask.run.name, output)
        runs = await self.runs_on(ask.ref.repository, ask.run.head_sha, name=ask.run.name)
        _refuse_older(ask, runs)
        wanted_id = ask.run.external_id(ask.ref.number)
        shown = max((one for one in runs if one.external_id == wanted_id), key=lambda one: one.id, default=None)
        if shown is None:
            return await self._create(ask, wanted_id, output)
        return await self._refresh(ask, shown, output)

    async def generations_on(self, ref: PullRequestRef, head_sha: str) -> dict[str, int]:
        """Check name → highest generation that was made for that pull request and head. Errors: as runs_on."""
        try:
            runs = await self.runs_on(ref.repository, head_sha)
        except TooLong:  # the newest of each name hold the highest generations, too
            runs = await self.runs_on(ref.repository, head_sha, only="latest")
        found: dict[str, int] = {}
        for one in runs:
            generation = one.generation_of(ref.number, head_sha)
            if generation is not None:
                found[one.name] = max(generation, found.get(one.name, generation))
        return found

    async def runs_on(
        self, repository: str, head_sha: str, *, name: str | None = None, only: Literal["all", "latest"] = "all"
    ) -> list[ShownRun]:
        """All runs of our App on a commit, superseded ones too. Errors: those of GitHubClient.pages."""
        path = f"/repos/{quote(repository)}/commits/{quote(head_sha, safe='')}/check-runs"
        ours = self._github.settings.app_id
        params: dict[str, str | int] = {"filter": only, "app_id": ours}
        if name is not None:
            params["check_name"] = name
        pages = self._github.pages(path, repository, ShownRun, params=params, key="check_runs")
        return [one async for one in pages if one.app is not None and one.app.id == ours and name in (None, one.name)]

    async def _create(self, ask: PublishCheck, external_id: str, output: CheckOutput) -> CheckPublished:
        body = {"name": ask.run.name, "head_sha": ask.run.head_sha, "external_id": external_id, **_state(ask.run, output), **_words(output)}
        answer = await self._github.call("POST", f"/repos/{quote(ask.ref.repository)}/check-runs", ask.ref.repository, body=body)
        return CheckPublished(run_id=answer.read(ShownRun).id, at=iso(answer.date))

    async def _refresh(self, ask: PublishCheck, shown: ShownRun, output: CheckOutput) -> CheckPublished:
        wanted = ask.run.state
        if shown.status == "completed" and shown.conclusion != wanted.value:
            raise OurBug(
                f"{ask.run.name} on {ask.run.head_sha[:12]} is already completed as {shown.conclusion}; showing {wanted.value} needs a new"
                f" generation, but {ask.run.generation} was asked for again."
            )
        body: dict[str, Any] = {}
        if not _same_words(shown, output):
            # Buttons are not listed back to us; they follow from the same facts as the words.
            body = _words(output) | _buttons(output, completed=wanted.completed)
        if shown.status != "completed" and (wanted.completed or shown.status != wanted.value):
            body |= _words(output) | _state(ask.run, output)
        if not body:
            return CheckPublished(run_id=shown.id, at=iso(self._github.clock))
        path = f"/repos/{quote(ask.ref.repository)}/check-runs/{shown.id}"
        answer = await self._github.call("PATCH", path, ask.ref.repository, body=body)
        return CheckPublished(run_id=shown.id, at=iso(answer.date))


def _refuse_older(ask: PublishCheck, runs: Sequence[ShownRun]) -> None:
    """An attempt that was given up and woke late must not make yesterday's state the newest run."""
    numbers = [one.generation_of(ask.ref.number, ask.run.head_sha) for one in runs]
    newest = max((one for one in numbers if one is not None), default=ask.run.generation)
    if newest > ask.run.generation:
        raise OurBug(
            f"{ask.run.name} on {ask.run.head_sha[:12]} already shows generation {newest}; generation {ask.run.generation} comes too late."
        )


def _state(run: CheckRun, output: CheckOutput) -> dict[str, Any]:
    if not run.state.completed:
        return {"status": run.state.value}
    return {"status": "completed", "conclusion": run.state.value, **_buttons(output, completed=True)}


def _words(output: CheckOutput) -> dict[str, Any]:
    return {"output": {"title": output.title, "summary": output.summary, "text": output.text or ""}}


def _buttons(output: CheckOutput, *, completed: bool) -> dict[str, Any]:
    """GitHub shows buttons on completed runs only."""
    if not completed:
        return {}
    return {"actions": [{"label": one.label, "description": one.description, "identifier": one.identifier} for one in output.actions]}


def _same_words(shown: ShownRun, output: CheckOutput) -> bool:
    there = shown.output
    return (there.title or "", there.summary or "", there.text or "") == (output.title, output.summary, output.text or "")


def _check_sizes(name: str, output: CheckOutput) -> None:
    """Errors: OurBug. render.py cuts; what GitHub would refuse is not sent."""
    for part, text in (("summary", output.summary), ("text", output.text or "")):
        size = len(text.encode())
        if size > OUTPUT_BYTES:
            raise OurBug(f"The {part} of {name} has {size} bytes; GitHub takes {OUTPUT_BYTES}. render.py must cut it.")
    if not output.title or not output.summary:
        raise OurBug(f"{name} has no title or no summary; GitHub wants both.")
    limits = ((len(one.label), len(one.description), len(one.identifier)) for one in output.actions)
    fits = all(a <= ACTION_LABEL and b <= ACTION_DESCRIPTION and c <= ACTION_IDENTIFIER for a, b, c in limits)
    if len(output.actions) > ACTIONS or not fits:
        raise OurBug(f"The buttons of {name} pass GitHub's limits: {output.actions}.")
