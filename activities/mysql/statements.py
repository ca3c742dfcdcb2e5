"""One statement given by hand: what it is about. Pure: no I/O. What it does, MySQL says on a copy."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from activities.mysql.connect import quoted
from activities.skeema.lexer import Kind, NotRead, Token, tokens_of
from activities.skeema.sources import read_table
from workflows.rules.plan import ChangeKind, Refusal

_ALLOWED: Final = "ALTER TABLE, CREATE TABLE or DROP TABLE"
_PARTITION_WORK: Final = frozenset({"PARTITION", "PARTITIONS", "PARTITIONING"})
_BEYOND: Final = frozenset({"DISCARD", "IMPORT", "TRUNCATE", "EXCHANGE", "SECONDARY_LOAD", "SECONDARY_UNLOAD"})

_OTHER_THINGS: Final = frozenset(
    {"INDEX", "KEY", "PRIMARY", "UNIQUE", "FULLTEXT", "SPATIAL", "FOREIGN", "CONSTRAINT", "CHECK", "PARTITION"}
)


@dataclass(frozen=True)
class ByHand:
    """statement: without a schema's name. maintenance: of partitions. rebuild: it changes no definition and is meant so.

    references: tables that its foreign keys name.
    """

    kind: ChangeKind
    table: str
    statement: str
    maintenance: bool = False
    rebuild: bool = False
    references: tuple[str, ...] = ()


def read_by_hand(statement: str, schema: str) -> ByHand | Refusal:
    """Exactly one statement about one table of schema, or why it is not taken."""
    try:
        tokens = [*tokens_of(statement)]
    except NotRead as stop:
        return _refuse("not-understood", f"The statement cannot be read: {stop.what}.")
    while tokens and tokens[-1].is_symbol(";"):
        tokens.pop()
    if any(token.is_symbol(";") for token in tokens):
        return _refuse("several-statements", "There is more than one statement.")
    if any(token.kind in {Kind.OPENS_EXECUTABLE, Kind.CLOSES_EXECUTABLE} for token in tokens):
        return _refuse("executable-comment", "The statement has an executable comment (/*! … */).")
    if len(tokens) < 3 or not tokens[1].says("TABLE"):
        return _refuse("not-understood", f"The statement is not {_ALLOWED}.")
    if tokens[0].says("CREATE"):
        return _create(statement)
    if tokens[0].says("DROP"):
        return _drop(tokens[2:], schema)
    if tokens[0].says("ALTER"):
        return _alter(statement, tokens[2:], schema)
    return _refuse("not-understood", f"The statement is not {_ALLOWED}.")


def _create(statement: str) -> ByHand | Refusal:
    source = read_table("the statement", statement.encode())
    if source is None or isinstance(source, Refusal):
        return source or _refuse("not-understood", "There is no statement.")
    return ByHand(ChangeKind.CREATE_TABLE, source.name, source.sql, references=source.references)


def _drop(tokens: Sequence[Token], schema: str) -> ByHand | Refusal:
    if tokens[0].says("IF") and len(tokens) > 2:
        tokens = tokens[2:]
    found = _name(tokens, schema)
    if isinstance(found, Refusal):
        return found
    table, rest = found
    if rest:
        return _refuse("several-tables", "The statement drops more than one table, or says more than the table's name.")
    return ByHand(ChangeKind.DROP_TABLE, table, f"DROP TABLE {quoted(table)}")


def _alter(statement: str, tokens: Sequence[Token], schema: str) -> ByHand | Refusal:
    found = _name(tokens, schema)
    if isinstance(found, Refusal):
        return found
    table, rest = found
    if not rest:
        return _refuse("nothing-to-do", f"The statement changes nothing on {table}.")
    first = _top_level(rest)
    if any(token.says(*_BEYOND) for token in first):
        return _refuse("not-known-safe", f"skeebot does not know {first[0].text.upper()} to be safe.")
    if renamed := _renames(first):
        return _refuse("renames", renamed)
    if any("\n" in token.text for token in rest):
        return _refuse("line-break", "A string of the statement holds a line break, which gh-ost would not pass on; write it as \\n.")
    return ByHand(
        ChangeKind.ALTER_TABLE,
        table,
        f"ALTER TABLE {quoted(table)} {_on_one_line(statement, rest)}",
        maintenance=any(token.says(*_PARTITION_WORK) for token in first[:2]) and not first[0].says("PARTITION"),
        rebuild=_rebuilds(rest),
        references=tuple(after.text for before, after in pairwise(rest) if before.says("REFERENCES") and after.can_name),
    )


def _on_one_line(statement: str, tokens: Sequence[Token]) -> str:
    """Rebuilt without comments: on one line, `-- why` would swallow all that follows it."""
    parts = [statement[tokens[0].start : tokens[0].end]]
    for before, token in pairwise(tokens):
        parts += [" " if token.start > before.end else "", statement[token.start : token.end]]
    return "".join(parts)


def _renames(tokens: Sequence[Token]) -> str:
    """gh-ost would not carry a renamed column's values, nor follow a renamed table."""
    for at, token in enumerate(tokens):
        following = tokens[at + 1 :]
        if token.says("RENAME") and following and not following[0].says("INDEX", "KEY"):
            return "RENAME of a table or a column is not carried out: applications and gh-ost would lose track of it."
        if token.says("CHANGE"):
            names = [one for one in following[:3] if not one.says("COLUMN")]
            if len(names) > 1 and names[0].text.casefold() != names[1].text.casefold():
                return f"CHANGE renames the column {names[0].text} to {names[1].text}."
    return ""


def replaced_columns(statement: str) -> tuple[str, ...]:
    """Columns that one ALTER TABLE drops and adds again, as it names the new ones: the structure before and after does not tell this.

    Errors: NotRead, where read_by_hand refuses.
    """
    dropped, added = set[str](), list[str]()
    for spec in _specs([*tokens_of(statement)][3:]):
        names = [token for token in spec[1:] if not token.says("COLUMN")]
        if spec[0].says("DROP"):
            dropped |= {token.text.casefold() for token in names[:1] if _names_column(token)}
        elif spec[0].says("ADD"):
            listed = bool(names) and names[0].is_symbol("(")
            firsts = [one[0] for one in _specs(names[1:-1])] if listed else names[:1]
            added += [token.text for token in firsts if _names_column(token)]
    return tuple(name for name in added if name.casefold() in dropped)


def redefines(statement: str, column: str) -> bool:
    """Whether one ALTER TABLE writes this column's definition, or its default, anew. Errors: NotRead."""
    for spec in _specs([*tokens_of(statement)][3:]):
        names = [token for token in spec[1:] if not token.says("COLUMN")][:2]
        written = names[:1] if spec[0].says("MODIFY", "ALTER") else names if spec[0].says("CHANGE") else []
        if any(token.text.casefold() == column.casefold() for token in written):
            return True
    return False


def _names_column(token: Token) -> bool:
    """Other things that are dropped and added begin with a reserved word, which names no column without back-ticks."""
    return token.can_name and not token.says(*_OTHER_THINGS)


def _specs(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The parts between the commas that stand outside parentheses."""
    depth, start, found = 0, 0, list[Sequence[Token]]()
    for at, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind is Kind.SYMBOL else 0
        if depth == 0 and token.is_symbol(","):
            found.append(tokens[start:at])
            start = at + 1
    return [one for one in (*found, tokens[start:]) if one]


def _rebuilds(tokens: Sequence[Token]) -> bool:
    words = [token.text.upper() for token in tokens if not token.is_symbol("=")]
    return words in (["FORCE"], ["ENGINE", "INNODB"])


def _top_level(tokens: Sequence[Token]) -> list[Token]:
    depth, found = 0, list[Token]()
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind is Kind.SYMBOL else 0
        if depth == 0:
            found.append(token)
    return found


def _name(tokens: Sequence[Token], schema: str) -> tuple[str, Sequence[Token]] | Refusal:
    if not tokens or not tokens[0].can_name:
        return _refuse("not-understood", "The table's name cannot be read.")
    if len(tokens) > 2 and tokens[1].is_symbol("."):
        if tokens[0].text != schema:
            return _refuse("other-schema", f"The statement is about the schema {tokens[0].text}, not {schema}.")
        return tokens[2].text, tokens[3:]
    return tokens[0].text, tokens[1:]


def _refuse(code: str, what: str) -> Refusal:
    return Refusal(code=code, what=what, next=f"Give one {_ALLOWED} about one table, without tricks; anything else a DBA runs by hand.")
