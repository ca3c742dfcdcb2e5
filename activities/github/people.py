"""Who is who: team memberships as GitHub knows them now, and owners by the CODEOWNERS of the base branch. Claims are not answered here."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from activities.github.client import GitHubClient, Shown, Together
from workflows.rules.approvals import Members
from workflows.rules.names import Login, PullRequestRef, same_login
from workflows.rules.plan import Enrolment

CODEOWNERS_PLACES: Final = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks, in this order; the first that exists is the only one that counts."""
OPTION_FILE: Final = ".skeema"


class _Membership(Shown):
    state: str


class _Content(Shown):
    encoding: str = ""
    content: str = ""


class _File(Shown):
    filename: str
    previous_filename: str | None = None


class People:
    def __init__(self, github: GitHubClient) -> None:
        self._github = github
        self._seen: set[tuple[str, str]] = set()
        """Organisation and slug of teams that were there once."""

    async def members(self, ref: PullRequestRef, base_sha: str, enrolment: Enrolment, logins: Sequence[Login]) -> Members:
        """Which of logins are owners and DBAs, asked now. Nobody is either by default: an error is raised, never swallowed.

        owner_team "" means: by CODEOWNERS at base_sha. Errors: those of GitHubClient.call.
        """
        if not logins:
            return Members()
        dbas = await self.active_members(ref, enrolment.databases_team, logins)
        if enrolment.owner_team:
            owners = await self.active_members(ref, enrolment.owner_team, logins)
        else:
            owners = await self._code_owners(ref, base_sha, enrolment, logins)
        return Members(owners=owners, dbas=dbas)

    async def codeowners_gap(self, ref: PullRequestRef, base_sha: str, enrolment: Enrolment, members: Members) -> str:
        """What CODEOWNERS lacks, where owners come from it and nobody who spoke is one; "" where it lacks nothing.

        Errors: those of GitHubClient.call.
        """
        if enrolment.owner_team or members.owners:
            return ""
        found = await self._read_codeowners(ref.repository, base_sha)
        if found is None:
            return f"The base branch has no CODEOWNERS that GitHub hands out: add {CODEOWNERS_PLACES[0]}, which names the owners."
        place, rules = found
        open_to_all = [guard for guard in _guards(place, enrolment) if not owners_of(rules, guard)]
        if not open_to_all:
            return ""
        return (
            f"{place} on the base branch names no owner of {' and '.join(open_to_all[:3])}, so whoever changes that could make anybody an"
            " owner. Name owners there."
        )

    async def unknown_teams(self, ref: PullRequestRef, enrolment: Enrolment, members: Members, logins: Sequence[Login]) -> tuple[str, ...]:
        """Which of the enrolled teams the repository's organisation does not have: a slip, or renamed since.

        Asked where nobody who spoke is in the team; where nobody spoke, until it was seen once. Errors: those of GitHubClient.call.
        """
        found = {enrolment.owner_team: members.owners, enrolment.databases_team: members.dbas}
        doubtful = sorted(team for team, some in found.items() if team and not some)
        return tuple([team for team in doubtful if not await self._is_team(ref, team, again=bool(logins))])

    async def _is_team(self, ref: PullRequestRef, team: str, *, again: bool) -> bool:
        org, _, slug = team.rpartition("/")
        if org and not same_login(org, ref.owner):
            return False
        key = (ref.owner.casefold(), slug.casefold())
        if key in self._seen and not again:
            return True
        path = f"/orgs/{quote(ref.owner, safe='')}/teams/{quote(slug, safe='')}"
        answer = await self._github.call("GET", path, ref.repository, expected={404})
        if answer.status == 404:
            return False
        self._seen.add(key)
        return True

    async def active_members(self, ref: PullRequestRef, team: str, logins: Sequence[Login]) -> frozenset[str]:
        """team: a slug of the repository's organisation, or "organisation/slug"; of another one nobody is known here. A pending invitation
        is no membership.
        """
        org, _, slug = team.rpartition("/")
        if org and not same_login(org, ref.owner):
            return frozenset()
        path = f"/orgs/{quote(ref.owner, safe='')}/teams/{quote(slug, safe='')}/memberships"

        async def is_active(login: Login) -> bool:
            # 404: not a member, or no such team; either way not a member.
            answer = await self._github.call("GET", f"{path}/{quote(login, safe='')}", ref.repository, expected={404})
            return answer.status == 200 and answer.read(_Membership).state == "active"

        async with Together() as together:
            answers = {login: together.start(is_active(login)) for login in logins}
        return frozenset(login for login, active in answers.items() if active.result())

    async def _code_owners(self, ref: PullRequestRef, base_sha: str, enrolment: Enrolment, logins: Sequence[Login]) -> frozenset[str]:
        """Those who own every changed file of the enrolled directories. Nobody, where anybody could make themselves an owner."""
        found = await self._read_codeowners(ref.repository, base_sha)
        if found is None:
            return frozenset()
        place, rules = found
        directories = [one.path for one in enrolment.directories]
        if not all(owners_of(rules, guard) for guard in _guards(place, enrolment)):
            return frozenset()
        changed = await self._changed_files(ref, directories)
        needed = {owners_of(rules, path) for path in changed}
        if not needed:
            return frozenset()
        teams = {name for owners in needed for name in owners if "/" in name}
        members = {team: await self._members_of_owning_team(ref, team, logins) for team in sorted(teams)}

        def owns(login: Login, owners: tuple[str, ...]) -> bool:
            return any(login in members[name] if "/" in name else same_login(name, login) for name in owners)

        return frozenset(login for login in logins if all(owns(login, owners) for owners in needed))

    async def _members_of_owning_team(self, ref: PullRequestRef, team: str, logins: Sequence[Login]) -> frozenset[str]:
        """GitHub lets only teams of the repository's own organisation own code."""
        return await self.active_members(ref, team, logins) if same_login(team.partition("/")[0], ref.owner) else frozenset()

    async def _read_codeowners(self, repository: str, sha: str) -> "tuple[str, tuple[Rule, ...]] | None":
        for place in CODEOWNERS_PLACES:
            path = f"/repos/{quote(repository)}/contents/{quote(place)}"
            answer = await self._github.call("GET", path, repository, params={"ref": sha}, expected={404})
            if answer.status == 404:
                continue
            found = answer.read(_Content)
            if found.encoding != "base64":
                return None  # Too large for GitHub to hand out, or no file: nothing can be known from it.
            return place, parse_codeowners(base64.b64decode(found.content).decode("utf-8", "replace"))
        return None

    async def _changed_files(self, ref: PullRequestRef, directories: Sequence[str]) -> frozenset[str]:
        """Paths inside the directories, old names of renamed files too."""
        path = f"/repos/{quote(ref.repository)}/pulls/{ref.number}/files"
        found: set[str] = set()
        async for one in self._github.pages(path, ref.repository, _File):
            names = (one.filename, one.previous_filename)
            found |= {name for name in names if name is not None and any(_is_inside(name, directory) for directory in directories)}
        return frozenset(found)


def _guards(place: str, enrolment: Enrolment) -> list[str]:
    """Who may change these files decides who decides: without owners of their own, any approval could be made up."""
    return [place, *dict.fromkeys(_inside(one.path, OPTION_FILE) for one in enrolment.directories)]


def _inside(directory: str, name: str) -> str:
    """The path of name in directory, where "" and "." are the repository's root."""
    folder = directory.strip("/")
    return name if folder in {"", "."} else f"{folder}/{name}"


def _is_inside(path: str, directory: str) -> bool:
    return path.startswith(_inside(directory, ""))


# ── CODEOWNERS ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Rule:
    """owners: logins, and teams as "organisation/slug", without "@"; () where the line takes ownership away."""

    pattern: str
    owners: tuple[str, ...]


def parse_codeowners(text: str) -> tuple[Rule, ...]:
    """The rules from top to bottom. As on GitHub, a line that is not understood is left out, and an e-mail address names nobody here."""
    rules: list[Rule] = []
    for raw in text.splitlines():
        words = _words(raw)
        if not words or words[0].startswith("!") or any(sign in words[0] for sign in "[]"):
            continue
        names = words[1:]
        if all(name.startswith("@") or "@" in name for name in names):
            rules.append(Rule(pattern=words[0], owners=tuple(name[1:] for name in names if name.startswith("@"))))
    return tuple(rules)


def _words(line: str) -> list[str]:
    """Split at blanks, except those after a backslash; a word that begins with # ends the line."""
    words: list[str] = []
    for word in re.findall(r"(?:\\.|[^\s\\]|\\$)+", line):
        if word.startswith("#"):
            break
        words.append(re.sub(r"\\(.)", r"\1", word))
    return words


def owners_of(rules: Iterable[Rule], path: str) -> tuple[str, ...]:
    """The last rule that matches wins, also when it names nobody. path: from the repository's root, without a leading slash."""
    owners: tuple[str, ...] = ()
    for rule in rules:
        if _expression(rule.pattern).fullmatch(path):
            owners = rule.owners
    return owners


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """GitHub's dialect of gitignore patterns: a slash at the start or inside ties them to the root; a folder stands for all that is in
    it; but `folder/*` reaches only what lies directly there.
    """
    body = re.sub(r"(?:\*\*/)+", "**/", pattern.strip("/"))
    tied = pattern.startswith("/") or "/" in body
    parts: list[str] = ["" if tied else "(?:.*/)?"]
    for piece in re.findall(r"\*\*/|/\*\*$|\*+|\?|[^*?]", body):
        if piece == "**/":
            parts.append("(?:.*/)?")
        elif piece == "/**":
            parts.append("/.*")
        elif piece.startswith("**"):
            parts.append(".*")
        elif piece == "*":
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        else:
            parts.append(re.escape(piece))
    if pattern.endswith("/"):
        parts.append("/.*" if body else ".*")
    elif body.rpartition("/")[2] != "*":
        parts.append("(?:/.*)?")
    return re.compile("".join(parts), re.DOTALL)
