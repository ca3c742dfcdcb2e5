"""What people can tell skeebot: one vocabulary, one parser and one judgement for every door (DESIGN §6).

Who may say what, and why:
- Anyone: `status` and `help` change nothing.
- Those involved (the author, an owner, a DBA): `hold-cut-over` and `abort` only ever stop, and closing the pull request aborts as well;
  `retry-migration` repeats what two people approved, and the same approvals are asked for again.
- A DBA who did not write the change: `allow-unsafe`, `acknowledge-drift` and `approve-autorun` stand for a judgement, so the author never
  gives it; nor does the author let a table be swapped with `cut-over`.
- Enrolment is for operators, on the command line.
"""

import difflib
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, assert_never

from workflows.rules.approvals import Members
from workflows.rules.comments import own_lines
from workflows.rules.names import Login, PlanDigest, same_login
from workflows.rules.plan import Refusal

# ── On a pull request ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class RetryMigration:
    """Continue with what remains: plan again, or run again what failed."""

    kind: Literal["retry-migration"] = "retry-migration"


@dataclass(frozen=True)
class AllowUnsafe:
    """Accept the losses that the plan names. digest_prefix: 8–64 hex digits, lower case."""

    digest_prefix: str
    kind: Literal["allow-unsafe"] = "allow-unsafe"

    def allows(self, digest: PlanDigest) -> bool:
        return len(self.digest_prefix) >= DIGEST_PREFIX and digest.startswith(self.digest_prefix)


@dataclass(frozen=True)
class AcknowledgeDrift:
    """The live tables may differ from the base branch as shown."""

    kind: Literal["acknowledge-drift"] = "acknowledge-drift"


@dataclass(frozen=True)
class HoldCutOver:
    """Stay before the swap until somebody says `cut-over`."""

    kind: Literal["hold-cut-over"] = "hold-cut-over"


@dataclass(frozen=True)
class CutOver:
    """End the hold."""

    kind: Literal["cut-over"] = "cut-over"


@dataclass(frozen=True)
class AbortMigration:
    """Stop what runs before its swap and take what waits out of its queue."""

    kind: Literal["abort"] = "abort"


@dataclass(frozen=True)
class ApproveAutorun:
    """Let skeebot run this plan although the repository's autorun is off."""

    kind: Literal["approve-autorun"] = "approve-autorun"


@dataclass(frozen=True)
class ShowStatus:
    kind: Literal["status"] = "status"


@dataclass(frozen=True)
class ShowHelp:
    kind: Literal["help"] = "help"


# ── For the Registry ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class AddRepository:
    """owner_team: "" for the owners that the base branch's CODEOWNERS names. quarantine_days: how long dropped tables are kept."""

    repository: str
    owner_team: str
    databases_team: str
    environments: tuple[str, ...] = ("staging", "production")
    base_branches: tuple[str, ...] = ("main",)
    autorun: bool = True
    allow_instant: bool = False
    quarantine_days: int = 7
    kind: Literal["add-repo"] = "add-repo"


@dataclass(frozen=True)
class MapRepository:
    """path: the schema directory in the repository."""

    repository: str
    path: str
    database: str
    environment: str
    cluster: str
    schema: str
    kind: Literal["repo-map"] = "repo-map"


@dataclass(frozen=True)
class UnmapRepository:
    """Takes a mapping back."""

    repository: str
    path: str
    environment: str
    kind: Literal["repo-unmap"] = "repo-unmap"


@dataclass(frozen=True)
class SetAutorun:
    repository: str
    on: bool
    kind: Literal["repo-autorun"] = "repo-autorun"


PullRequestCommand = (
    RetryMigration | AllowUnsafe | AcknowledgeDrift | HoldCutOver | CutOver | AbortMigration | ApproveAutorun | ShowStatus | ShowHelp
)
RegistryChange = AddRepository | MapRepository | UnmapRepository | SetAutorun
Command = PullRequestCommand | RegistryChange

# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DIGEST_PREFIX: Final = 8
"""Hex digits that a person must at least type: enough that no other plan is meant by accident."""
LONGEST_LINE: Final = 1000
"""Characters; no command is longer."""
PREFIX: Final = ".skeefree"


@dataclass(frozen=True)
class Word:
    """One command as people see it. usage: what to type after the prefix. meaning: one line for `help`."""

    usage: str
    meaning: str
    read: Callable[[Sequence[str]], Command | str]


def parse(line: str, *, prefix: str = PREFIX) -> Command | Refusal:
    """The command that a line says (without its prefix), or why it says none. Never raises, whatever the line holds.

    prefix: how this door begins a command, for the words of the refusal.
    """
    if len(line) > LONGEST_LINE:
        return _refused("unreadable-command", "A command line is at most 1,000 characters long.", prefix)
    try:
        words = shlex.split(line)
    except ValueError:
        return _refused("unreadable-command", "A quotation mark in this command is never closed.", prefix)
    if not words:
        return _refused("no-command", "No command follows.", prefix)
    name, arguments = words[0].lower(), words[1:]
    word = VOCABULARY.get(name)
    if word is None:
        return _unknown(name, prefix)
    command = word.read(arguments)
    if isinstance(command, str):
        return Refusal(code="wrong-arguments", what=command, next=f"Type `{prefix} {word.usage}`.")
    return command


def lines_in(body: str, *, prefix: str = PREFIX) -> list[tuple[int, str]]:
    """(line number from 1, line without the prefix) of each command in a comment.

    A command is a whole line at the margin that begins with the prefix, outside quotes, fences and whatever is hidden (see comments.py).
    """
    beginnings = (f"{prefix} ", f"{prefix}\t")
    return [
        (number, line[len(prefix) :].strip()) for number, line in own_lines(body) if line.startswith(beginnings) or line.rstrip() == prefix
    ]


def help_text(*, prefix: str = PREFIX) -> str:
    """What can be typed on a pull request, as a Markdown list."""
    words = (word for name, word in VOCABULARY.items() if name not in _REGISTRY)
    return "\n".join(f"- `{prefix} {word.usage}`: {word.meaning}" for word in words)


# ── Judging ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Role(StrEnum):
    """Who a command needs; the reasons are at the top of this file."""

    ANYONE = "anyone"
    INVOLVED = "the author, an owner or a DBA"
    OTHER_DBA = "a DBA who did not write the change"
    OPERATOR = "an operator on the command line"


def who_may(command: Command) -> Role:
    match command:
        case ShowStatus() | ShowHelp():
            return Role.ANYONE
        case RetryMigration() | HoldCutOver() | AbortMigration():
            return Role.INVOLVED
        case AllowUnsafe() | AcknowledgeDrift() | ApproveAutorun() | CutOver():
            return Role.OTHER_DBA
        case AddRepository() | MapRepository() | UnmapRepository() | SetAutorun():
            return Role.OPERATOR
        case _:
            assert_never(command)


def judge_actor(command: Command, actor: Login, author: Login, members: Members) -> str | None:
    """None when this person may say this on a pull request; otherwise why not, and who can. The same for every door."""
    is_author = bool(actor) and same_login(actor, author)
    is_dba = _is_in(actor, members.dbas)
    role = who_may(command)
    match role:
        case Role.ANYONE:
            return None
        case Role.INVOLVED:
            if is_author or is_dba or _is_in(actor, members.owners):
                return None
            return f"`{command.kind}` needs the author, a member of the owner team or a member of the databases team."
        case Role.OTHER_DBA:
            if is_author:
                return f"`{command.kind}` is a second person's word, and you wrote this change. Ask a member of the databases team."
            return None if is_dba else f"`{command.kind}` needs a member of the databases team. Ask one of them to type it."
        case Role.OPERATOR:
            return f"`{command.kind}` is for operators, on skeebot's command line: `starter.py {VOCABULARY[command.kind].usage}`."
        case _:
            assert_never(role)


def _is_in(actor: str, logins: frozenset[str]) -> bool:
    return bool(actor) and any(same_login(actor, login) for login in logins)


# ── The words ───────────────────────────────────────────────────────────────────────────────────────────────────────

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}")
_TEAM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,99})?")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_SCHEMA: Final = re.compile(r"[\w$][\w$-]{0,63}")
_BRANCH: Final = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$|[/.]$))[A-Za-z0-9_][\w./+@#=-]{0,199}")
_PATH: Final = re.compile(r"(?!.*(^|/)\.{0,2}(/|$))[\w.+@=-][\w./+@=, -]{0,499}")
_DAYS: Final = re.compile(r"[1-9][0-9]{0,2}")
_DIGEST: Final = re.compile(r"[0-9a-f]{8,64}")


def _alone(command: Command) -> Callable[[Sequence[str]], Command | str]:
    def read(arguments: Sequence[str]) -> Command | str:
        return f"`{command.kind}` stands alone; something follows it." if arguments else command

    return read


def _allow_unsafe(arguments: Sequence[str]) -> Command | str:
    if len(arguments) != 1:
        return "`allow-unsafe` takes the beginning of the plan digest, and nothing else."
    prefix = arguments[0].lower()
    if not _DIGEST.fullmatch(prefix):
        return "The beginning of a plan digest is 8 to 64 hexadecimal digits, as the comment shows them."
    return AllowUnsafe(digest_prefix=prefix)


def _add_repository(arguments: Sequence[str]) -> Command | str:
    known = {"owner-team", "codeowners", "databases-team", "environments", "base", "autorun", "instant", "quarantine-days"}
    options = _options(arguments, places=1, known=known)
    if isinstance(options, str):
        return options
    repository, days = options.get("0", ""), options.get("quarantine-days", "7")
    owner_team, databases_team = options.get("owner-team", "").removeprefix("@"), options.get("databases-team", "").removeprefix("@")
    environments = _list(options.get("environments", "staging,production"))
    branches = _list(options.get("base", "main"))
    defaults = {"autorun": "on", "instant": "off", "codeowners": "off"}
    switches = {name: _on_off(options.get(name, default)) for name, default in defaults.items()}
    by_codeowners = bool(switches["codeowners"])
    wrong = (
        (not _REPOSITORY.fullmatch(repository), "The repository is written owner/name."),
        (by_codeowners and bool(owner_team), "Owners come from `--owner-team` or, with `--codeowners on`, from CODEOWNERS: not from both."),
        (
            not by_codeowners and not _TEAM.fullmatch(owner_team),
            "`--owner-team` needs the slug of a GitHub team (or, instead, `--codeowners on`: who the base branch's CODEOWNERS names).",
        ),
        (not _TEAM.fullmatch(databases_team), "`--databases-team` needs the slug of a GitHub team."),
        (not _all(_NAME, environments), "`--environments` needs different names with commas between them, in the order in which they run."),
        (not _all(_BRANCH, branches), "`--base` needs names of branches with commas between them."),
        (not _DAYS.fullmatch(days), "`--quarantine-days` is a number of days from 1 to 999: dropped tables are kept that long."),
        *((value is None, f"`--{name}` is on or off.") for name, value in switches.items()),
    )
    return _first(wrong) or AddRepository(
        repository=repository,
        owner_team=owner_team,
        databases_team=databases_team,
        environments=environments,
        base_branches=branches,
        autorun=bool(switches["autorun"]),
        allow_instant=bool(switches["instant"]),
        quarantine_days=int(days),
    )


def _map_repository(arguments: Sequence[str]) -> Command | str:
    options = _options(arguments, places=2, known={"database", "environment", "cluster", "schema"})
    if isinstance(options, str):
        return options
    repository, path = options.get("0", ""), options.get("1", "").removeprefix("./").rstrip("/")
    database, environment = options.get("database", ""), options.get("environment", "")
    cluster, schema = options.get("cluster", ""), options.get("schema", "")
    wrong = (
        (not _REPOSITORY.fullmatch(repository), "The repository is written owner/name."),
        (not _PATH.fullmatch(path), "The path is a directory inside the repository, without `..`."),
        (not _NAME.fullmatch(database), "`--database` needs the name that checks show, of letters, digits, `_`, `-` and `.`."),
        (not _NAME.fullmatch(environment), "`--environment` needs the name of an environment."),
        (not _NAME.fullmatch(cluster), "`--cluster` needs the name of a cluster, as discovery lists it."),
        (not _SCHEMA.fullmatch(schema), "`--schema` needs the name of a schema on the server, of at most 64 characters."),
    )
    return _first(wrong) or MapRepository(
        repository=repository, path=path, database=database, environment=environment, cluster=cluster, schema=schema
    )


def _unmap_repository(arguments: Sequence[str]) -> Command | str:
    options = _options(arguments, places=2, known={"environment"})
    if isinstance(options, str):
        return options
    repository, path = options.get("0", ""), options.get("1", "").removeprefix("./").rstrip("/")
    environment = options.get("environment", "")
    wrong = (
        (not _REPOSITORY.fullmatch(repository), "The repository is written owner/name."),
        (not _PATH.fullmatch(path), "The path is a directory inside the repository, without `..`."),
        (not _NAME.fullmatch(environment), "`--environment` needs the name of an environment."),
    )
    return _first(wrong) or UnmapRepository(repository=repository, path=path, environment=environment)


def _set_autorun(arguments: Sequence[str]) -> Command | str:
    options = _options(arguments, places=2, known=set())
    if isinstance(options, str):
        return options
    repository, on = options.get("0", ""), _on_off(options.get("1", ""))
    if not _REPOSITORY.fullmatch(repository):
        return "The repository is written owner/name."
    return "Autorun is on or off." if on is None else SetAutorun(repository=repository, on=on)


def _options(arguments: Sequence[str], *, places: int, known: set[str]) -> dict[str, str] | str:
    """`--name value` and `--name=value` under their names, the rest under "0", "1", …; or what is wrong with them."""
    options: dict[str, str] = {}
    left = list(arguments)
    place = 0
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            name, value = str(place), word
            place += 1
            if place > places:
                return "There is a word too many."
        else:
            name, equals, value = word.removeprefix("--").partition("=")
            if name not in known:
                return "There is an option that this command does not have."
            if not equals:
                if not left:
                    return f"`--{name}` has no value."
                value = left.pop(0)
        if name in options:
            return f"`--{name}` is given twice."
        options[name] = value
    return options


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _all(shape: re.Pattern[str], parts: tuple[str, ...]) -> bool:
    return len(set(parts)) == len(parts) and all(shape.fullmatch(part) for part in parts)


def _on_off(text: str) -> bool | None:
    return {"on": True, "off": False}.get(text.lower())


def _first(wrong: Sequence[tuple[bool, str]]) -> str:
    return next((text for is_wrong, text in wrong if is_wrong), "")


VOCABULARY: Final[dict[str, Word]] = {
    "retry-migration": Word("retry-migration", "continue after a failure with what remains", _alone(RetryMigration())),
    "allow-unsafe": Word("allow-unsafe <plan digest>", "accept the losses that the plan names (databases team)", _allow_unsafe),
    "acknowledge-drift": Word(
        "acknowledge-drift", "accept that live tables differ from the base branch (databases team)", _alone(AcknowledgeDrift())
    ),
    "approve-autorun": Word("approve-autorun", "let this plan run although autorun is off (databases team)", _alone(ApproveAutorun())),
    "hold-cut-over": Word("hold-cut-over", "copy, but do not swap tables until somebody says cut-over", _alone(HoldCutOver())),
    "cut-over": Word("cut-over", "end the hold and swap (databases team)", _alone(CutOver())),
    "abort": Word("abort", "stop before the swap; the table stays as it is", _alone(AbortMigration())),
    "status": Word("status", "say where this change stands", _alone(ShowStatus())),
    "help": Word("help", "this list", _alone(ShowHelp())),
    "add-repo": Word(
        "add-repo owner/name (--owner-team TEAM | --codeowners on) --databases-team TEAM [--environments staging,production] [--base main]"
        " [--autorun on|off] [--instant on|off] [--quarantine-days 7]",
        "enrol a repository",
        _add_repository,
    ),
    "repo-map": Word(
        "repo-map owner/name PATH --database NAME --environment NAME --cluster NAME --schema NAME",
        "say where a schema directory lives",
        _map_repository,
    ),
    "repo-unmap": Word("repo-unmap owner/name PATH --environment NAME", "take such a mapping back", _unmap_repository),
    "repo-autorun": Word("repo-autorun owner/name on|off", "let approved plans run by themselves, or not", _set_autorun),
}
"""Every command that works, in the order of `help`."""

_REGISTRY: Final = frozenset({"add-repo", "repo-map", "repo-unmap", "repo-autorun"})

COMES_LATER: Final = frozenset(
    [
        "remove-repo",
        "update-repo",
        "show-repo",
        "show-repos",
        "which-repos",
        "show-pr",
        "prioritize-pr",
        "forget-pr",
        "cancel-pr",
        "sup",
        "mark-complete",
        "pause",
        "resume",
        "speed",
        "revert",
        "restore",
        "runner-dead",
    ]
)
"""Words of DESIGN §6 that are kept for what they will mean."""


def _unknown(name: str, prefix: str) -> Refusal:
    # Only a word that cannot carry markup is repeated: the answer is shown on the pull request.
    said = f"`{name}`" if re.fullmatch(r"[a-z0-9-]{1,40}", name) else "That"
    if name in COMES_LATER:
        return _refused("comes-later", f"{said} is not there yet.", prefix)
    near = difflib.get_close_matches(name[:60], VOCABULARY, n=1, cutoff=0.6)
    if near:
        usage = VOCABULARY[near[0]].usage
        return Refusal(code="unknown-command", what=f"{said} is not a command.", next=f"Did you mean `{prefix} {usage}`?")
    return _refused("unknown-command", f"{said} is not a command.", prefix)


def _refused(code: str, what: str, prefix: str) -> Refusal:
    return Refusal(code=code, what=what, next=f"Type `{prefix} help` to see what can be typed.")
