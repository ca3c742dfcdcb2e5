"""The plan of a local change, without any GitHub and without a live server: two directories, the workspace server, nothing else.

Statements are worked out and proven as in a real plan (change.py): what is printed turns the one side into the other, or the answer is a
refusal with the reason and what to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.mysql.connect import Address
from activities.mysql.judge import judge_alter, judge_create, judge_drop, same_shape, table_rename
from activities.mysql.workspace import Scratch, Workspace
from activities.settings import Account, Ceilings, MySQLSettings
from activities.skeema.change import Change, ChangeFinder, Defaults, Side, Step
from activities.skeema.diff import Skeema
from activities.skeema.options import OptionFiles, read_option_files
from activities.skeema.sources import Sources, read_sources, shown, together, too_large
from workflows.rules.plan import ChangeKind, Refusal, Risk

_OPTION_FILE: Final = ".skeema"
_DIRECTORIES_AT_MOST: Final = 200


@dataclass(frozen=True)
class LocalWorkspace:
    """The workspace server and the skeema program. account: with rights on schemas `_skeebot_…` and nothing else."""

    address: Address
    account: Account
    skeema: str = "skeema"
    tls_ca_file: Path | None = None

    def settings(self) -> MySQLSettings:
        """Only the time-out and the certificate of these are looked at; there is no other account here."""
        one = self.account
        return MySQLSettings(read=one, direct=one, ghost=one, verify=one, fence=one, workspace=one, tls_ca_file=self.tls_ca_file)


@dataclass(frozen=True)
class SchemaDiff:
    """One schema directory. path: relative to both roots, "." for the roots themselves."""

    path: str
    statements: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalDiff:
    """schemas: those that were compared, in the order of their paths. refusal: why there is no answer; then nothing may be run."""

    schemas: tuple[SchemaDiff, ...] = ()
    refusal: Refusal | None = None

    @property
    def status(self) -> Literal["same", "changes", "refused"]:
        if self.refusal is not None:
            return "refused"
        return "changes" if self.statements else "same"

    @property
    def statements(self) -> list[str]:
        """In the order in which they would run."""
        return [] if self.refusal is not None else [statement for one in self.schemas for statement in one.statements]

    def to_json(self) -> dict[str, Any]:
        refusal = self.refusal
        return {
            "status": self.status,
            "statements": self.statements,
            "refusal": None if refusal is None else {"code": refusal.code, "what": refusal.what, "next": refusal.next},
            "schemas": [
                {
                    "path": one.path,
                    "statements": list(one.statements),
                    "risks": [{"code": risk.code, "text": risk.text, "unsafe": risk.unsafe} for risk in one.risks],
                    "notes": list(one.notes),
                }
                for one in self.schemas
            ],
        }


async def run_local_diff(
    base: Path, head: Path, workspace: LocalWorkspace, *, environment: str = "production", ceilings: Ceilings | None = None
) -> LocalDiff:
    """What turns base into head. Each directory below them that holds `*.sql` files is one schema; options (`.skeema`) are base's.

    environment: whose section of the option files counts. Never raises for what is in the directories or for a server that is away.
    """
    ceilings = ceilings or Ceilings()
    for root in (base, head):
        if not root.is_dir():
            return LocalDiff(
                refusal=Refusal("no-directory", f"`{shown(str(root))}` is not a directory.", "Give two directories: --base and --head.")
            )
    pairs = _pairs(base, head, ceilings)
    if isinstance(pairs, Refusal):
        return LocalDiff(refusal=pairs)
    changed = [pair for pair in pairs if pair.changed]
    if (refusal := together([one for pair in changed for one in pair.refusals()])) is not None:
        return LocalDiff(refusal=refusal)
    try:
        return await _compared(changed, workspace, environment, float(ceilings.seconds))
    except (NeedsHuman, TryAgain, OurBug) as wrong:
        return LocalDiff(refusal=Refusal("workspace", wrong.message, "Put the workspace server right, then run this again."))


# ── Directories ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Pair:
    """One schema directory on both sides. changed: files that differ."""

    path: str
    base: Sources
    head: Sources
    changed: frozenset[str]
    options: OptionFiles
    notes: tuple[str, ...] = ()

    def refusals(self) -> Iterator[Refusal]:
        for sources in (self.base, self.head):
            if sources.refusal is not None:
                yield sources.refusal
        if self.base.tables and not self.head.tables and self.head.refusal is None:
            yield Refusal(
                code="directory-emptied",
                what=f"This would drop every table of `{shown(self.path)}`: no table is left in it.",
                next="If the whole schema is to go, have a DBA remove it by hand; otherwise bring the files back.",
            )

    def mattering(self) -> set[str]:
        """Tables of changed files and those that foreign keys tie to them, on either side."""
        mine = self.base.in_files(self.changed) | self.head.in_files(self.changed)
        folded = {table.casefold() for table in mine}
        tied = set(mine)
        for sources in (self.base, self.head):
            for table, source in sources.tables.items():
                references = {name.casefold() for name in source.references}
                if table in mine:
                    tied |= {name for name in sources.tables if name.casefold() in references}
                elif references & folded:
                    tied.add(table)
        return tied


def _pairs(base: Path, head: Path, ceilings: Ceilings) -> list[_Pair] | Refusal:
    paths = sorted({*_schema_directories(base), *_schema_directories(head)})
    if len(paths) > _DIRECTORIES_AT_MOST:
        return Refusal(
            code="too-many-directories",
            what=f"{len(paths):,} directories hold *.sql files; {_DIRECTORIES_AT_MOST} at most are compared.",
            next="Give the directory of one schema instead of one above.",
        )
    found: list[_Pair] = []
    for path in paths:
        old, new = _files(base / path, ceilings), _files(head / path, ceilings)
        if isinstance(old, Refusal):
            return old
        if isinstance(new, Refusal):
            return new
        changed = frozenset(name for name in {*old, *new} if old.get(name) != new.get(name))
        place = "" if path == "." else path
        one = read_sources(old, changed=changed & old.keys(), place=place, ceilings=ceilings)
        two = read_sources(new, changed=changed & new.keys(), place=place, ceilings=ceilings)
        notes = [note for note in two.notes if note in one.notes]
        if _option_bytes(base, path) != _option_bytes(head, path) and _option_bytes(base, path):
            notes.append("`.skeema` differs; base's counts, as a change of options takes effect once it is merged.")
        options = read_option_files(_option_bytes(base, path) or _option_bytes(head, path))
        found.append(_Pair(path, one, two, changed, options, tuple(notes)))
    return found


def _schema_directories(root: Path) -> Iterator[str]:
    """Relative paths of directories with `*.sql` in them; hidden ones and symbolic links are left out."""
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        entries = sorted(directory.iterdir())
        if any(entry.name.endswith(".sql") and not entry.is_dir() for entry in entries):
            yield str(directory.relative_to(root))
        waiting += [entry for entry in entries if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith(".")]


def _files(directory: Path, ceilings: Ceilings) -> dict[str, bytes] | Refusal:
    found: dict[str, bytes] = {}
    if not directory.is_dir():
        return found
    for entry in sorted(directory.iterdir()):
        if not entry.name.endswith(".sql") or (entry.is_dir() and not entry.is_symlink()):
            continue
        if entry.is_symlink() or not entry.is_file():
            return Refusal("not-a-file", f"`{shown(entry.name)}` is not an ordinary file.", "Put the file itself there.")
        if (size := entry.stat().st_size) > ceilings.bytes_per_file:
            return too_large(entry.name, ceilings, size)
        found[entry.name] = entry.read_bytes()
    if len(found) > ceilings.files:
        return Refusal(
            code="too-many-files",
            what=f"`{shown(directory.name)}` has {len(found):,} schema files; {ceilings.files:,} at most are read.",
            next="Raise diff.ceilings.files in the settings.",
        )
    return found


def _option_bytes(root: Path, path: str) -> list[tuple[str, bytes]]:
    """The option files from the root to the directory, outermost first."""
    directory = root / path
    places = [root, *(root / parent for parent in reversed(Path(path).parents) if str(parent) != "."), directory]
    return [
        (str((place / _OPTION_FILE).relative_to(root)), (place / _OPTION_FILE).read_bytes())
        for place in dict.fromkeys(places)
        if (place / _OPTION_FILE).is_file()
    ]


# ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _compared(pairs: Sequence[_Pair], where: LocalWorkspace, environment: str, seconds: float) -> LocalDiff:
    if not pairs:
        return LocalDiff()
    skeema = Skeema(where.skeema, where.address, where.account, seconds=seconds, tls=where.tls_ca_file is not None)
    found: list[SchemaDiff] = []
    async with Workspace(where.address, where.settings()).open() as scratch:
        for pair in pairs:
            one = await _one(pair, scratch, skeema, environment)
            if isinstance(one, Refusal):
                return LocalDiff(refusal=one)
            found.append(one)
    return LocalDiff(tuple(found))


async def _one(pair: _Pair, scratch: Scratch, skeema: Skeema, environment: str) -> SchemaDiff | Refusal:
    options = pair.options.for_environment(environment)
    if options.refusal is not None:
        return options.refusal
    defaults = Defaults(options.default_character_set, options.default_collation)
    finder = ChangeFinder(scratch, skeema, defaults=defaults, reading=scratch.reading, exactly=True)
    tables = pair.mattering()
    change = await finder.between(_side(pair.base, tables), _side(pair.head, tables))
    if isinstance(change, Refusal):
        return change
    return SchemaDiff(
        path=pair.path,
        statements=tuple(step.statement for step in change.steps),
        risks=tuple(_risks(change)),
        notes=(*pair.notes, *options.notes),
    )


def _side(sources: Sources, tables: set[str]) -> Side:
    chosen = {table: source for table, source in sources.tables.items() if table in tables}
    return Side(
        files={table: source.sql for table, source in chosen.items()},
        names={table: source.file for table, source in chosen.items()},
        beside=frozenset(sources.tables.keys() - tables),
    )


def _risks(change: Change) -> Iterator[Risk]:
    """There are no rows here: what only rows can tell counts as possible."""
    statements = _by_table(change.steps)
    for table, steps in statements.items():
        before, after = change.before.get(table), change.after.get(table)
        if before is not None and after is not None:
            judgement = judge_alter(before, after, steps)
            yield from judgement.risks
            yield from (question.possible for question in judgement.questions)
        elif after is not None:
            yield from judge_create(after)
        elif before is not None:
            yield from judge_drop(table)
            created = [step.table for step in change.steps if step.kind is ChangeKind.CREATE_TABLE]
            yield from (table_rename(table, name) for name in created if same_shape(before, change.after[name]))


def _by_table(steps: Sequence[Step]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in steps:
        found.setdefault(step.table, []).append(step.statement)
    return found
