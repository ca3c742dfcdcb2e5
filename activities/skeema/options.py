"""`.skeema` option files, read from the base branch only and through an allow-list. Pure: no I/O.

A `.skeema` file can run commands (`alter-wrapper`, `host-wrapper`, `schema` in back-ticks), so skeema itself never reads one that came
out of a repository. skeebot reads them, takes over what ALLOWED names and writes the only file that skeema sees (skeema_file).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from activities.errors import OurBug
from workflows.rules.plan import Refusal

ALLOWED: Final = frozenset({"default-character-set", "default-collation", "schema"})
"""What an option file may say. `schema` is only compared: the enrolment says where a directory lives."""

QUIET: Final = frozenset(
    {"generator", "host", "port", "socket", "user", "flavor", "ignore-table", "ignore-proc", "ignore-func", "ignore-schema", "ssl-mode"}
)
"""Ordinary options that are left out without a word: the inventory says where servers are, the workspace is of their version, and only
the tables of the pull request are looked at, so that ignore-table and its like have nothing to do."""

_HARMLESS: Final = re.compile(r"lint(-.*)?|allow-.*|errors|warnings|format|verify|brief|write|normalize")
"""Options of skeema's other commands; they change no statement that skeebot plans."""

_RUNS_COMMANDS: Final = re.compile(r".*-wrapper(-.*)?|password|connect-options|workspace|temp-schema.*|docker-.*|my-cnf|dir")
"""Options that run a command, reach another server or read another file."""

_COLLATION: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_LITERAL_SCHEMA: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class SchemaOptions:
    """What the option files say for one environment.

    schemas: the literal schema names they give; empty where they give none or something that only skeema could work out.
    notes: options that were left out, in words for the plan. refusal: an option that matters could not be read.
    """

    default_character_set: str = ""
    default_collation: str = ""
    schemas: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: Refusal | None = None

    def disagreement_with(self, schema: str) -> Refusal | None:
        """Why a directory with these options cannot be planned as schema; None where nothing contradicts."""
        if self.refusal is not None:
            return self.refusal
        if not self.schemas or schema in self.schemas:
            return None
        said = " or ".join(f"`{one}`" for one in self.schemas)
        return Refusal(
            code="schema-mismatch",
            what=f"The `.skeema` file on the base branch says that this directory is {said}, but it is mapped to the schema `{schema}`.",
            next=f"Correct the mapping with repo-map, or merge a change of `.skeema` that says `schema={schema}` for this environment.",
        )


@dataclass(frozen=True)
class _Line:
    file: str
    section: str
    name: str
    value: str


@dataclass(frozen=True)
class OptionFiles:
    """The option files that hold for a directory, outermost first. unreadable: paths of those that are no text."""

    lines: tuple[_Line, ...] = ()
    unreadable: tuple[str, ...] = ()

    def for_environment(self, environment: str) -> SchemaOptions:
        """Inner files win over outer ones; within a file, `[environment]` wins over the lines before any section."""
        values: dict[str, str] = {}
        for line in self._in_force(environment):
            values[line.name] = line.value
        refusal = self._trouble(values)
        return SchemaOptions(
            default_character_set=values.get("default-character-set", ""),
            default_collation=values.get("default-collation", ""),
            schemas=_literal_schemas(values.get("schema", "")),
            notes=tuple(self._notes(environment)),
            refusal=refusal,
        )

    def names_schema(self) -> bool:
        """Whether any environment's options make this a schema directory; doubt says yes."""
        return bool(self.unreadable) or any(line.name == "schema" for line in self.lines)

    def _in_force(self, environment: str) -> Iterable[_Line]:
        files = dict.fromkeys(line.file for line in self.lines)
        for file in files:
            for section in ("", environment):
                yield from (line for line in self.lines if line.file == file and line.section == section)

    def _trouble(self, values: dict[str, str]) -> Refusal | None:
        if self.unreadable:
            return Refusal(
                code="options",
                what=f"`{self.unreadable[0]}` on the base branch is not UTF-8 text.",
                next="Merge a change that saves it as UTF-8, then push again.",
            )
        for name in ("default-character-set", "default-collation"):
            value = values.get(name, "")
            if value and not _COLLATION.fullmatch(value):
                return Refusal(
                    code="options",
                    what=f"`.skeema` on the base branch sets {name} to something that is no name of MySQL's.",
                    next=f"Merge a change that gives {name} a plain name such as utf8mb4, then push again.",
                )
        return None

    def _notes(self, environment: str) -> Iterable[str]:
        for line in self._in_force(environment):
            if line.name == "schema" and line.value and not _literal_schemas(line.value):
                yield f"`schema` in {line.file} is a pattern, a variable or a command, which is not evaluated: the mapping counts."
            if line.name in ALLOWED | QUIET or _HARMLESS.fullmatch(line.name):
                continue
            why = "it can run commands or reach elsewhere" if _RUNS_COMMANDS.fullmatch(line.name) else "skeebot does not use it"
            yield f"`{_shown(line.name)}` in {line.file} is not applied: {why}."


def read_option_files(files: Sequence[tuple[str, bytes]]) -> OptionFiles:
    """files: (path as people know it, content), outermost first. Never fails: what cannot be read refuses later, by name."""
    lines: list[_Line] = []
    unreadable: list[str] = []
    for path, content in files:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            unreadable.append(path)
            continue
        lines += _lines(path, text)
    return OptionFiles(lines=tuple(lines), unreadable=tuple(unreadable))


def skeema_file(options: SchemaOptions, *, schema: str) -> str:
    """The text of the only `.skeema` that skeema may read: the allow-listed options, nothing else.

    Errors: OurBug when a value could mean more to skeema than a name.
    """
    if not _LITERAL_SCHEMA.fullmatch(schema):
        raise OurBug(f"The scratch schema {schema!r} cannot be written into an option file: use letters, digits, `_` and `-`.")
    lines = [f"schema={schema}"]
    for name, value in (("default-character-set", options.default_character_set), ("default-collation", options.default_collation)):
        if not value:
            continue
        if not _COLLATION.fullmatch(value):
            raise OurBug(f"{name} is {value!r}, which should have been refused when `.skeema` was read.")
        lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


def _lines(path: str, text: str) -> Iterable[_Line]:
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            section = line[1:].partition("]")[0]
            continue
        name, _, value = _without_comment(line).partition("=")
        yield _Line(path, section, _option_name(name), _unquoted(value.strip()))


def _option_name(written: str) -> str:
    """skeema takes `_` for `-` and any case, and lets `loose-` say that an unknown option is no error."""
    return written.strip().lower().replace("_", "-").removeprefix("loose-")


def _without_comment(line: str) -> str:
    quote = ""
    for at, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"`":
            quote = char
        elif char == "#":
            return line[:at]
    return line


def _unquoted(value: str) -> str:
    """Back-ticks stay: in `schema` they mark a command."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _literal_schemas(value: str) -> tuple[str, ...]:
    names = [_unquoted(one.strip()) for one in value.split(",")]
    return tuple(names) if all(_LITERAL_SCHEMA.fullmatch(one) for one in names) else ()


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() and char != "`" else "?" for char in name[:60])
