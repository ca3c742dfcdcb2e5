"""MySQL's words, names, strings and comments, told apart the way the server tells them apart. Pure: no I/O.

sqlglot's tokenizer is only asked for a second opinion (sources.py): it takes `/*! … */`, which MySQL executes, for a comment, nests
comments, which MySQL does not, and begins a comment at every `--`, where MySQL wants white space after it. Each of these would let a pull
request show one statement to us and another to the server. Where readers of MySQL's SQL are known to differ, the text is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Kind(Enum):
    WORD = auto()
    NAME = auto()
    STRING = auto()
    SYMBOL = auto()
    OPENS_EXECUTABLE = auto()
    CLOSES_EXECUTABLE = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """text: a name without its back-ticks, everything else as written. start, end: character positions. after_comment: one was left out."""

    kind: Kind
    text: str
    start: int
    end: int
    after_comment: bool = False

    def says(self, *words: str) -> bool:
        """Whether this is one of these keywords (upper case); a name in back-ticks never is."""
        return self.kind is Kind.WORD and self.text.upper() in words

    def is_symbol(self, symbol: str) -> bool:
        return self.kind is Kind.SYMBOL and self.text == symbol

    @property
    def can_name(self) -> bool:
        return self.kind is Kind.NAME or (self.kind is Kind.WORD and not self.text.isdigit())


class NotRead(Exception):  # noqa: N818 - it is an answer that unwinds one file, not an error of the program
    """The text cannot be read with certainty. what: a clause for people; at: character position."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


_SYMBOLS: Final = frozenset("(),.;=+-*/%<>!&|^~")
_UNWANTED: Final = re.compile(
    "\x00"  # some readers take it for the end
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # they make a reviewer read another text than the server
    "|[\u200b\u2028\u2029\u2060-\u2064\ufeff\ufffe\uffff]"  # nobody sees them at all
)
_LONE_CARRIAGE_RETURN: Final = re.compile("\r(?!\n)")
_TOKEN: Final = re.compile(
    r"""
      (?P<space>[ \t\r\n]++)
    | (?P<line_comment>(?:--(?=[ \t\r\n]|\Z)|\#)[^\n]*+)
    | (?P<minus>--)
    | (?P<opens>/\*!)
    | (?P<mariadb>/\*M!)
    | (?P<comment>/\*)
    | (?P<closes>\*/)
    | (?P<name>`(?:[^`]++|``)*+`)
    | (?P<string>'(?:[^'\\]++|\\.|'')*+'|"(?:[^"\\]++|\\.|"")*+")
    | (?P<word>[0-9A-Za-z_$\u0080-\U0010ffff]++)
    | (?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_VERSION: Final = re.compile(r"([5-8][0-9]{4})(?=[ \t\r\n])")


def tokens_of(text: str) -> Iterator[Token]:
    """Every token of a text, comments left out. Errors: NotRead at the first place that cannot be read with certainty."""
    _refuse_unwanted(text)
    at, after_comment, executable = 0, False, False
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None  # noqa: S101 - the last alternative matches any character
        kind = found.lastgroup or ""
        end = found.end()
        if kind == "space":
            at = end
            continue
        if kind in ("line_comment", "comment"):
            if executable:
                raise NotRead("a comment stands inside an executable comment", at)
            at, after_comment = (end if kind == "line_comment" else _end_of_comment(text, at)), True
            continue
        if kind == "opens":
            if executable:
                raise NotRead("an executable comment stands inside another", at)
            executable, end = True, _end_of_version(text, end)
            _end_of_comment(text, at)
        elif kind == "closes":
            if not executable:
                raise NotRead("a comment ends that never began", at)
            if text[end : end + 1] == "*":
                raise NotRead("where this comment ends, another may begin", at)
            executable = False
        elif executable and kind in ("string", "name") and "*/" in found.group():
            raise NotRead("`*/` stands in a string inside an executable comment", at)
        yield Token(_kind(kind, found.group(), at), _text(kind, text[at:end]), at, end, after_comment)
        at, after_comment = end, False
    if executable:
        raise NotRead("an executable comment never ends", len(text))


def _refuse_unwanted(text: str) -> None:
    """Other control characters are fine in strings, where MySQL itself writes them for binary defaults, and nowhere else."""
    if unwanted := _UNWANTED.search(text):
        raise NotRead(f"the invisible character U+{ord(unwanted.group()):04X} stands here", unwanted.start())
    if lone := _LONE_CARRIAGE_RETURN.search(text):
        raise NotRead("a carriage return without a line feed stands here", lone.start())


def _end_of_comment(text: str, at: int) -> int:
    end = text.find("*/", at + 2)
    if end < 0:
        raise NotRead("a comment never ends", at)
    if text.find("/*", at + 2, end) >= 0:
        raise NotRead("a comment begins inside a comment", at)
    return end + 2


def _end_of_version(text: str, at: int) -> int:
    """Only versions that every server since 8.0 executes, so that nobody takes for a comment what another runs."""
    version = _VERSION.match(text, at)
    if version is None or int(version.group(1)) > 80099:
        raise NotRead("an executable comment names no version that every supported server executes", at)
    return version.end()


def _kind(group: str, written: str, at: int) -> Kind:
    match group:
        case "name":
            return Kind.NAME
        case "string":
            return Kind.STRING
        case "word":
            return Kind.WORD
        case "opens":
            return Kind.OPENS_EXECUTABLE
        case "closes":
            return Kind.CLOSES_EXECUTABLE
        case "minus":
            raise NotRead("`--` without a space after it is a comment to some and two minus signs to others", at)
        case "mariadb":
            raise NotRead("an executable comment for MariaDB stands here", at)
        case _ if written in _SYMBOLS:
            return Kind.SYMBOL
        case _ if written in "'\"`":
            raise NotRead(f"the quotation mark {written} is never closed", at)
        case _:
            raise NotRead("a character that has no place in CREATE TABLE stands here", at)


def _text(group: str, written: str) -> str:
    return written[1:-1].replace("``", "`") if group == "name" else written
