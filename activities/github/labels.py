"""The label protocol on a pull request: ours are set as wanted, everybody else's are left alone."""

from typing import Final
from urllib.parse import quote

from temporalio import activity

from activities.errors import OurBug
from activities.github.client import GitHubClient, Shown
from activities.pulse import missed_when_dead
from workflows.messages import SetLabels
from workflows.rules.names import Labels as LabelNames

_COLOUR: Final = "5319e7"
_WARNING_COLOUR: Final = "d93f0b"


class _Label(Shown):
    name: str


class Labels:
    """set_labels."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    @activity.defn
    @missed_when_dead
    async def set_labels(self, ask: SetLabels) -> None:
        """Idempotent. GitHub compares label names without case. Errors: OurBug when a label that is not ours is wanted."""
        ours = {name.casefold(): name for name in ask.protocol.labels.ours()}
        wanted = {name.casefold() for name in ask.wanted}
        if foreign := wanted - ours.keys():
            raise OurBug(f"The label {min(foreign)} is not one that skeebot sets; wanted on {ask.ref}.")
        repository = ask.ref.repository
        path = f"/repos/{quote(repository)}/issues/{ask.ref.number}/labels"
        there = {one.name.casefold(): one.name async for one in self._github.pages(path, repository, _Label)}
        missing = sorted(ours[name] for name in wanted - there.keys())
        for name in missing:
            await self._make_known(repository, name, ask.protocol.labels)
        if ask.protocol.labels.diff in missing:
            # The author is asked for it next, may not be allowed to create labels, and is offered only those that are there.
            await self._make_known(repository, ask.protocol.labels.for_review, ask.protocol.labels)
        if missing:
            await self._github.call("POST", path, repository, body={"labels": missing})
        for name in sorted((there.keys() & ours.keys()) - wanted):
            # 404: somebody was faster.
            await self._github.call("DELETE", f"{path}/{quote(there[name], safe='')}", repository, expected={404})

    async def _make_known(self, repository: str, name: str, names: LabelNames) -> None:
        """Create the repository's label where it is missing: added to an issue right away, it would come without words and colour."""
        path = f"/repos/{quote(repository)}/labels"
        known = await self._github.call("GET", f"{path}/{quote(name, safe='')}", repository, expected={404})
        if known.status == 404:
            colour, description = _face(name, names)
            # 422: somebody was faster.
            body = {"name": name, "color": colour, "description": description}
            await self._github.call("POST", path, repository, body=body, expected={422})


def _face(name: str, names: LabelNames) -> tuple[str, str]:
    """Colour (six hex digits) and description (at most 100 characters)."""
    faces = {
        names.diff: (_COLOUR, "skeebot: this pull request changes a schema that is not migrated yet"),
        names.for_review: (_COLOUR, "skeebot: its author says that this schema change is ready for the owners and a DBA"),
        names.detected: (_COLOUR, "skeebot: the plan is published and waits for a DBA"),
        names.queued: (_COLOUR, "skeebot: approved, its migrations are queued or have run"),
        names.late_commits: (_WARNING_COLOUR, "skeebot: commits came after the migrations were queued; they are planned anew"),
    }
    return faces[name]
