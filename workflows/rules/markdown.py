"""Markdown that nothing from outside can break out of, and cuts that never split a character, a code fence or a table row.

Names, statements and messages come from pull requests and servers: all of it may be hostile. GitHub looks for mentions after Markdown has
become HTML, so an entity does not hide an "@"; only a code element or a character in between does.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

_PLAIN: Final = re.compile(r"[^`|\\]+")
_CODE_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_ACTIVE: Final = re.compile(r"[&<>|\\`*_~\[\]#]")
_FENCE: Final = re.compile(r" {0,3}(?P<run>`{3,}|~{3,})(?P<info>.*)")
_HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
_LOGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})")


def size(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def visible(text: str) -> str:
    r"""text with its control, direction-changing and zero-width characters spelled out (`\u202e`): what is read is what is there."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


def code(text: str) -> str:
    """One line of code for prose and table cells alike."""
    line = " ".join(visible(text).split())
    if not line:
        return "(empty)"
    # A backtick, or a pipe after a backslash, cannot be escaped inside a code span of a table; entities can.
    return f"`{line}`" if _PLAIN.fullmatch(line) else code_html(line).replace("_", "&#95;")  # between tags it would be emphasis


def code_html(text: str) -> str:
    """code() as HTML, also for where Markdown is not read (a summary element)."""
    line = " ".join(visible(text).split())
    return "<code>" + re.sub(r"[^A-Za-z0-9_$.,/() -]", lambda found: f"&#{ord(found[0])};", line) + "</code>"


def prose(text: str) -> str:
    """One line of words, for prose and table cells. Code spans stay code; nothing else is markup, and nobody is mentioned."""
    words = " ".join(visible(text).split())
    parts: list[str] = []
    at = 0
    for span in _CODE_SPAN.finditer(words):
        parts += [_inert(words[at : span.start()]), code(span[2])]
        at = span.end()
    return "".join([*parts, _inert(words[at:])])


def _inert(text: str) -> str:
    return _ACTIVE.sub(lambda found: f"&#{ord(found[0])};", text).replace("@", "@&#8203;")


def mention(login: str) -> str:
    """@login, which notifies that person; anything that is no login becomes code."""
    return f"@{login}" if _LOGIN.fullmatch(login) else code(login)


def fence(text: str, info: str = "", limit: int = 16_000) -> str:
    """A code block that its content cannot close. limit: bytes of content; what is beyond is said to be missing."""
    shown = visible(text).strip("\n")
    if size(shown) > limit:
        kept = cut(shown, limit)
        shown = f"{kept}\n… and {size(shown) - size(kept):,} more bytes"
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    bars = "`" * max(3, longest + 1)
    return f"{bars}{info}\n{shown}\n{bars}"


def details(summary: str, body: str) -> str:
    """A folded part. summary: trusted or already inert."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> str:
    """A table of at most limit bytes, cut by rows. Cells: trusted, or made by code() or prose()."""
    lines = [_row(header), _row(["---"] * len(header)), *(_row(cells) for cells in rows)]
    whole = "\n".join(lines)
    if size(whole) <= limit:
        return whole
    kept = [lines[0], lines[1]]
    used = size("\n".join(kept))
    fits: tuple[int, str] | None = None
    for count in range(len(rows) + 1):
        if count:
            used += 1 + size(lines[count + 1])
        mark = f"… and {len(rows) - count:,} more"
        if used + 2 + size(mark) > limit:
            break
        fits = (count, mark)
    if fits is None:
        return cut(f"… and {len(rows):,} more", limit)
    count, mark = fits
    return "\n".join([*lines[: count + 2], "", mark])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()) for cell in cells) + " |"


def cut(text: str, limit: int) -> str:
    """The longest beginning of text within limit bytes that splits no character."""
    return text.encode("utf-8", "replace")[: max(0, limit)].decode("utf-8", "ignore")


def truncate_bytes(text: str, limit: int) -> str:
    """text within limit bytes of UTF-8: whole lines, open fences and folds closed, then `… and N more lines`."""
    clean = text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    if size(clean) <= limit:
        return clean
    lines = clean.split("\n")
    open_parts = _OpenParts()
    used = 0
    best = _mark(len(lines))
    if size(best) > limit:
        return cut("…", limit)
    for count, line in enumerate(lines, start=1):
        used += size(line) + (count > 1)
        if used > limit:
            if count == 1:
                best = _beginning_of(line, len(lines), limit) or best
            break
        open_parts.read(line)
        ending = f"{open_parts.closing()}\n\n{_mark(len(lines) - count)}"
        if count < len(lines) and used + size(ending) <= limit:
            best = "\n".join(lines[:count]) + ending
    return best


def _mark(lines: int) -> str:
    return f"… and {lines:,} more line{'' if lines == 1 else 's'}"


def _beginning_of(line: str, lines: int, limit: int) -> str:
    """Part of a first line that is too long by itself, unless a part of it could mean something else than the whole."""
    if line.lstrip()[:1] in {"`", "~", "|", "<"}:
        return ""
    ending = f"\n\n{_mark(lines)}"
    kept = cut(line, limit - size(ending))
    return kept + ending if kept else ""


class _OpenParts:
    """Reads Markdown line by line and knows which fence and which folds are still open (CommonMark 0.31)."""

    def __init__(self) -> None:
        self.fence = ""
        self.folds = 0
        self.raw = False

    def read(self, line: str) -> None:
        found = _FENCE.fullmatch(line)
        if self.fence:
            if found and found["run"].startswith(self.fence) and not found["info"].strip():
                self.fence = ""
        elif line.startswith(("<details", "<summary", "</details>")):
            # From here to the next blank line everything is HTML, and three backticks are three backticks.
            self.raw = True
            self.folds = max(0, self.folds + line.count("<details") - line.count("</details>"))
        elif not line.strip():
            self.raw = False
        elif found and not self.raw and not (found["run"].startswith("`") and "`" in found["info"]):
            self.fence = found["run"]

    def closing(self) -> str:
        """What must follow, beginning with a line break."""
        return (f"\n{self.fence}" if self.fence else "") + "\n\n</details>" * self.folds
