"""Which tables a schema directory describes: one CREATE TABLE per `*.sql` file, by our own strict reading. Pure: no I/O.

Everything here came out of a pull request and is hostile until shown otherwise. What passes is one CREATE TABLE with a parenthesised
definition, rebuilt from its tokens without comments, that reads nothing, names no other schema and no place outside the data directory.
Whether its columns make sense is for MySQL to judge: an unknown column type is no reason to refuse here.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final

import sqlglot
from sqlglot import TokenType
from sqlglot.errors import TokenError

from activities.settings import Ceilings
from activities.skeema.lexer import Kind, NotRead, Token, tokens_of
from activities.skeema.options import OptionFiles
from workflows.rules.names import MYSQL_NAME_LIMIT
from workflows.rules.plan import Refusal


@dataclass(frozen=True)
class TableSource:
    """One table as a file describes it.

    name: as written, without back-ticks. file: the file's name inside its directory. sql: exactly one CREATE TABLE without comments (those
    that MySQL executes stay), IF NOT EXISTS or a final semicolon. references: the tables that its foreign keys point at.
    """

    name: str
    file: str
    sql: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotUnderstood:
    """Why a file is not one CREATE TABLE. line: counted from 1."""

    file: str
    line: int
    what: str

    @property
    def sentence(self) -> str:
        return f"`{shown(self.file)}` line {self.line}: {self.what}."


@dataclass(frozen=True)
class Sources:
    """The tables of one directory at one commit.

    options: the base branch's option files. unread: unchanged files that are not one CREATE TABLE (routines, say) and why; they take no
    part. notes: for the plan. refusal: a changed file cannot be trusted; tables then holds what could be read.
    """

    tables: dict[str, TableSource] = field(default_factory=dict)
    options: OptionFiles = field(default_factory=OptionFiles)
    unread: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refusal: Refusal | None = None

    def in_files(self, files: Collection[str]) -> set[str]:
        """Names of the tables that these files define."""
        return {one.name for one in self.tables.values() if one.file in files}


def read_sources(
    files: Mapping[str, bytes],
    *,
    changed: Collection[str] | None = None,
    place: str = "",
    ceilings: Ceilings | None = None,
    until: float | None = None,
) -> Sources:
    """Read the `*.sql` files of one directory.

    files: name inside the directory → content. changed: the files that the pull request changes; a file that cannot be read refuses only
    if it is one of these (None: any file). place: the directory, as messages name it. until: time.monotonic() after which reading is given
    up as too slow.
    """
    ceilings = ceilings or Ceilings()
    until = time.monotonic() + ceilings.seconds if until is None else until
    mine = frozenset(files if changed is None else changed)
    if changed is not None and (refusal := too_many(len(mine), ceilings)):
        return Sources(refusal=refusal)
    tables: dict[str, TableSource] = {}
    by_folded: dict[str, TableSource] = {}
    unread: dict[str, str] = {}
    refusals: list[Refusal] = []
    for name in sorted(files):
        if time.monotonic() > until:
            refusals.append(_too_slow(_path(place, name), ceilings))
            break
        one = read_table(name, files[name], place=place, ceilings=ceilings, strict=name in mine)
        if one is None:
            continue
        if isinstance(one, Refusal):
            if name in mine:
                refusals.append(one)
            else:
                unread[name] = one.what
            continue
        other = by_folded.setdefault(one.name.casefold(), one)
        if other is not one:
            if {one.file, other.file} & mine:
                refusals.append(_duplicate(place, one, other))
            else:
                unread[name] = f"`{shown(_path(place, name))}` defines `{one.name}`, and so does `{shown(other.file)}`."
            continue
        tables[one.name] = one
    return Sources(tables=tables, unread=unread, notes=tuple(_unread_notes(unread)), refusal=together(refusals))


def read_table(
    file: str, content: bytes, *, place: str = "", ceilings: Ceilings | None = None, strict: bool = True
) -> TableSource | Refusal | None:
    """The one table of a file; None for a file without any statement in a directory where that does no harm (strict: it is refused).

    strict also asks sqlglot whether it sees the same single statement.
    """
    ceilings = ceilings or Ceilings()
    path = _path(place, file)
    if len(content) > ceilings.bytes_per_file:
        return too_large(path, ceilings, len(content))
    # A schema of a thousand tables is read several times per plan, and nearly all of it is as it was.
    reading = _remembered if len(content) <= _REMEMBERED_BYTES else _read_anew
    return reading(file, content, path, strict)


def _read_anew(file: str, content: bytes, path: str, strict: bool) -> TableSource | Refusal | None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return Refusal(
            code="not-utf-8",
            what=f"`{shown(path)}` is not UTF-8: byte {wrong.start + 1} cannot be read.",
            next="Save the file as UTF-8 (without a byte order mark) and push again.",
        )
    try:
        table = _table(file, text)
        if table is not None and strict:
            _second_opinion(table)
    except NotRead as stop:
        return _not_understood(NotUnderstood(path, text.count("\n", 0, stop.at) + 1, stop.what))
    if table is None and strict:
        return Refusal(
            code="not-understood",
            what=f"`{shown(path)}` holds no statement at all; a CREATE TABLE was expected.",
            next="To drop the table, delete the file; otherwise write its CREATE TABLE, then push again.",
        )
    return table


_REMEMBERED_BYTES: Final = 8192
_remembered = lru_cache(maxsize=4096)(_read_anew)
"""At most 64 MB of files and their statements, all of which came from enrolled repositories; a pure function's answers never age."""


def together(refusals: Sequence[Refusal]) -> Refusal | None:
    """One refusal that says everything: the code of the first, up to ten findings, each next step once."""
    if len(refusals) <= 1:
        return refusals[0] if refusals else None
    what = list(dict.fromkeys(one.what for one in refusals))
    if len(what) > 10:
        what = [*what[:10], f"… and {len(what) - 10} more."]
    following = list(dict.fromkeys(one.next for one in refusals))[:5]
    return replace(refusals[0], what="\n".join(what), next="\n".join(following))


def shown(text: str) -> str:
    """A name from a pull request as it may stand between back-ticks in a sentence."""
    cut = text if len(text) <= 200 else text[:199] + "…"
    return "".join(char if char.isprintable() and char != "`" else "?" for char in cut)


def too_large(file: str, ceilings: Ceilings, size: int | None = None) -> Refusal:
    has = f"has {size:,} bytes" if size else "is larger"
    return Refusal(
        code="too-large",
        what=f"`{shown(file)}` {has}; a schema file may have {ceilings.bytes_per_file:,} bytes at most.",
        next="Keep one CREATE TABLE per file and data out of schema files, then push again.",
    )


def too_many(count: int, ceilings: Ceilings) -> Refusal | None:
    """count: changed schema files, one statement each."""
    if count > ceilings.files:
        return Refusal(
            code="too-many-files",
            what=f"{count:,} schema files change; {ceilings.files:,} at most are read.",
            next="Split the change into several pull requests.",
        )
    if count > ceilings.statements:
        return Refusal(
            code="too-many-statements",
            what=f"{count:,} tables change; {ceilings.statements:,} at most are planned at once.",
            next="Split the change into several pull requests.",
        )
    return None


def _too_slow(file: str, ceilings: Ceilings) -> Refusal:
    return Refusal(
        code="too-slow",
        what=f"The schema files could not be read within {ceilings.seconds} seconds; reading stopped before `{shown(file)}`.",
        next="Make the files smaller or split the change into several pull requests.",
    )


def _duplicate(place: str, one: TableSource, other: TableSource) -> Refusal:
    first, second = sorted((shown(_path(place, one.file)), shown(_path(place, other.file))))
    spelled = "" if one.name == other.name else " (names that differ only in case are one table on some servers)"
    return Refusal(
        code="duplicate-table",
        what=f"`{first}` and `{second}` both define the table `{one.name}`{spelled}.",
        next="Keep one of the two files and push again.",
    )


def _unread_notes(unread: Mapping[str, str]) -> Iterator[str]:
    """At most a handful: a directory with a hundred routines is no reason for a hundred lines."""
    for file in sorted(unread)[:5]:
        yield f"Not looked at, because this pull request does not change it: {unread[file]}"
    if len(unread) > 5:
        yield f"… and {len(unread) - 5} more files that are not one CREATE TABLE each."


def _not_understood(where: NotUnderstood) -> Refusal:
    return Refusal(
        code="not-understood",
        what=where.sentence,
        next="Write exactly one CREATE TABLE per file and nothing else, then push again. Routines, views, triggers, data: by hand.",
    )


def _path(place: str, file: str) -> str:
    return f"{place}/{file}" if place else file


# ── One file ────────────────────────────────────────────────────────────────────────────────────────────────────────


_TOKEN_LIMIT: Final = 200_000
"""Twice what the most partitions that a table can have come to; it keeps a file that was made to be slow from being so."""


def _table(file: str, text: str) -> TableSource | None:
    tokens: list[Token] = []
    try:
        tokens.extend(islice(tokens_of(text), _TOKEN_LIMIT + 1))
    except NotRead:
        if len(tokens) > 2:
            _read_head(tokens)  # "this is CREATE TRIGGER" says more than what stands in its body
        raise
    if len(tokens) > _TOKEN_LIMIT:
        raise NotRead(f"the statement has more than {_TOKEN_LIMIT:,} words and symbols", tokens[-1].start)
    while tokens and tokens[-1].is_symbol(";"):
        tokens.pop()
    if not tokens:
        return None
    name_at, dropped = _read_head(tokens)
    name = _checked_name(tokens[name_at])
    body_end = _read_shape(tokens, name_at)
    _refuse_hidden(tokens, body_end)
    _refuse_qualified(tokens, name_at)
    _refuse_queries(tokens, name_at, body_end)
    _refuse_directories(tokens[name_at + 1 :])
    _refuse_options(tokens[body_end + 1 :])
    kept = [token for at, token in enumerate(tokens) if at not in dropped]
    return TableSource(name=name, file=file, sql=_rebuilt(text, kept), references=_references(tokens))


def _read_head(tokens: Sequence[Token]) -> tuple[int, range]:
    """Where the table's name is, and the place of IF NOT EXISTS, which says nothing in a declaration."""
    first = tokens[0]
    if not first.says("CREATE"):
        raise NotRead(f"the statement begins with {_quote(first)}, not with CREATE TABLE", first.start)
    _wanted(tokens, 1)
    if tokens[1].says("TEMPORARY"):
        raise NotRead("a temporary table is no part of a schema", tokens[1].start)
    if not tokens[1].says("TABLE"):
        raise NotRead(f"this is CREATE {_quote(tokens[1])}, not CREATE TABLE", tokens[1].start)
    _wanted(tokens, 2)
    if tokens[2].says("IF"):
        _wanted(tokens, 5)
        if not (tokens[3].says("NOT") and tokens[4].says("EXISTS")):
            raise NotRead("after CREATE TABLE comes IF, but not IF NOT EXISTS", tokens[2].start)
        return 5, range(2, 5)
    return 2, range(0)


def _checked_name(token: Token) -> str:
    if not token.can_name:
        raise NotRead(f"{_quote(token)} is no table name; write it plainly or in back-ticks", token.start)
    name = token.text
    if len(name) > MYSQL_NAME_LIMIT or name != name.strip():
        raise NotRead(
            f"the table name {_quote(token)} is longer than {MYSQL_NAME_LIMIT} characters or begins or ends with a space", token.start
        )
    if not name or not all(char.isalnum() or char in "_$- " for char in name):
        raise NotRead(f"the table name {_quote(token)} holds more than letters, digits, `_`, `$`, `-` and spaces", token.start)
    return name


def _read_shape(tokens: Sequence[Token], name_at: int) -> int:
    """Where the definition's closing parenthesis is. Every parenthesis is closed and nothing comes after a semicolon."""
    _wanted(tokens, name_at + 1)
    opening = tokens[name_at + 1]
    if opening.is_symbol("."):
        raise NotRead("the table name is qualified with a schema; the mapping says where the table lives", opening.start)
    if opening.says("LIKE"):
        raise NotRead("CREATE TABLE … LIKE copies another table; write the columns", opening.start)
    if not opening.is_symbol("("):
        raise NotRead(f"after the table name comes {_quote(opening)}, not the list of columns", opening.start)
    depth, body_end = 0, 0
    for at in range(name_at + 1, len(tokens)):
        token = tokens[at]
        if token.is_symbol(";"):
            following = f": {_quote(tokens[at + 1])} …" if at + 1 < len(tokens) else ""
            raise NotRead(f"a second statement follows{following}", tokens[min(at + 1, len(tokens) - 1)].start)
        if token.is_symbol("("):
            depth += 1
        elif token.is_symbol(")"):
            depth -= 1
            if depth < 0:
                raise NotRead("a parenthesis is closed that was never opened", token.start)
            if depth == 0 and not body_end:
                body_end = at
    if depth:
        raise NotRead("a parenthesis is never closed", opening.start)
    return body_end


_EXECUTABLE_IN_BODY: Final = frozenset(
    {"INVISIBLE", "VISIBLE", "SRID", "NOT", "WITH", "COLUMN_FORMAT", "STORAGE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"}
)
_EXECUTABLE_AFTER: Final = frozenset({"PARTITION", "ENCRYPTION", "AUTOEXTEND_SIZE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"})
"""What SHOW CREATE TABLE writes into comments that only newer servers execute, inside the definition and after it."""


def _refuse_hidden(tokens: Sequence[Token], body_end: int) -> None:
    """An executable comment may say what SHOW CREATE TABLE says there, with its parentheses closed, and nothing else."""
    opened, depth = -1, 0
    for at, token in enumerate(tokens):
        if token.kind is Kind.OPENS_EXECUTABLE:
            opened, depth = at, 0
            allowed = _EXECUTABLE_IN_BODY if at < body_end else _EXECUTABLE_AFTER
            said, then = tokens[at + 1], tokens[at + 2] if at + 2 < len(tokens) else tokens[at + 1]
            cut_short = (said.says("NOT") and not then.says("ENFORCED")) or (said.says("WITH") and not then.says("PARSER"))
            if cut_short or not said.says(*allowed):
                raise NotRead(f"an executable comment hides {_quote(said)}; write it in the open", token.start)
        elif token.kind is Kind.CLOSES_EXECUTABLE:
            if depth:
                raise NotRead("an executable comment ends inside parentheses", token.start)
            opened = -1
        elif opened >= 0 and token.kind is Kind.SYMBOL:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth < 0 or (token.text == "," and depth == 0):
                raise NotRead("an executable comment hides more than one thing; write it in the open", token.start)


def _refuse_qualified(tokens: Sequence[Token], name_at: int) -> None:
    """A dot belongs to a number; beside a name it reaches into another table or schema."""
    for at in range(name_at + 1, len(tokens)):
        dot = tokens[at]
        if not dot.is_symbol("."):
            continue
        before = tokens[at - 1]
        after = tokens[at + 1] if at + 1 < len(tokens) else dot
        touches = before.end == dot.start and before.kind in (Kind.WORD, Kind.NAME)
        if touches:
            number = before.kind is Kind.WORD and before.text.isdigit()
        else:
            number = after.kind is Kind.WORD and after.start == dot.end and after.text[0].isdigit()
        if not number:
            raise NotRead("a name is qualified with another name; tables of other schemas are out of reach here", dot.start)


def _refuse_queries(tokens: Sequence[Token], name_at: int, body_end: int) -> None:
    """No SELECT, TABLE, VALUES or WITH that would fill the table or read another one, no LIKE, no UNION of other tables."""
    like = tokens[name_at + 2]
    if like.says("LIKE"):
        raise NotRead("CREATE TABLE … (LIKE …) copies another table; write the columns", like.start)
    for before, token in pairwise(tokens[name_at + 1 :]):
        if token.says("SELECT", "TABLE", "UNION") or (token.says("VALUES", "WITH") and before.is_symbol("(")):
            raise NotRead(f"{_quote(token)} would read other tables", token.start)
    depth = 0
    for token in tokens[body_end + 1 :]:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind is Kind.SYMBOL else 0
        if token.says("WITH", "AS", "REPLACE", "IGNORE") or (depth == 0 and token.says("VALUES", "START", "LIKE")):
            raise NotRead(f"{_quote(token)} after the definition would fill the table from a query", token.start)


_PLACES: Final = frozenset({"TABLESPACE", "CONNECTION", "DIRECTORY"})
_ENGINES_ELSEWHERE: Final = frozenset({"federated", "connect", "spider", "s3", "merge", "mrg_myisam"})


def _refuse_directories(tokens: Sequence[Token]) -> None:
    """DATA DIRECTORY and INDEX DIRECTORY wherever a path follows; an index may be called `directory`."""
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if before.says("DATA", "INDEX") and token.says("DIRECTORY") and (after.kind is Kind.STRING or after.is_symbol("=")):
            raise NotRead(f"{before.text.upper()} DIRECTORY names a place outside the schema", before.start)


def _refuse_options(options: Sequence[Token]) -> None:
    """Nothing after the definition, partitions included, may lead out of the schema's own files or off the server."""
    for at, token in enumerate(options):
        if token.says(*_PLACES):
            said = f"{options[at - 1].text.upper()} DIRECTORY" if at and token.says("DIRECTORY") else token.text.upper()
            raise NotRead(f"{said} names a place outside the schema", token.start)
        if token.says("ENGINE", "TYPE"):
            value = options[at + 2] if at + 2 < len(options) and options[at + 1].is_symbol("=") else options[min(at + 1, len(options) - 1)]
            if value.text.strip("'\"").replace("\\", "").casefold() in _ENGINES_ELSEWHERE:
                raise NotRead(f"the engine {_quote(value)} keeps no table of its own", value.start)


def _references(tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(after.text for before, after in pairwise(tokens) if before.says("REFERENCES") and after.can_name))


def _rebuilt(text: str, tokens: Sequence[Token]) -> str:
    """The statement with its white space, and one space or line break where a comment was."""
    parts = [text[tokens[0].start : tokens[0].end]]
    for before, token in pairwise(tokens):
        gap = text[before.end : token.start]
        if token.after_comment or not gap.isspace():
            gap = ("\n" if "\n" in gap else " ") if gap else ""
        parts += [gap, text[token.start : token.end]]
    return "".join(parts)


def _second_opinion(table: TableSource) -> None:
    """Errors: NotRead when sqlglot, reading what we rebuilt, sees anything but one CREATE TABLE of this name."""
    try:
        tokens = sqlglot.tokenize(table.sql, dialect="mysql")
    except TokenError as wrong:
        raise NotRead("two readers of MySQL's SQL do not agree about its strings or comments", 0) from wrong
    seen = [token.token_type for token in tokens]
    same_start = seen[:2] == [TokenType.CREATE, TokenType.TABLE] and len(tokens) > 3 and tokens[2].text == table.name
    if not same_start or TokenType.SEMICOLON in seen:
        raise NotRead("two readers of MySQL's SQL do not agree that this is one CREATE TABLE", 0)


def _wanted(tokens: Sequence[Token], at: int) -> None:
    if at >= len(tokens):
        raise NotRead("the statement ends too early", tokens[-1].end)


def _quote(token: Token) -> str:
    return f"`{shown(token.text[:40])}`"
