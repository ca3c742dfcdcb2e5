"""Which lines of a comment a reader sees as the writer's own words: not quoted, not code, not hidden.

A small, cautious reading of GitHub's Markdown (CommonMark 0.31). Where two readings are possible, the rest of the paragraph, or of the
comment, is left unread: a command that was not obeyed can be typed again.
"""

import re
from collections.abc import Iterator
from typing import Final

_FENCE: Final = re.compile(r"(?P<indent> *)(?P<run>`{3,}|~{3,})(?P<info>.*)")
_FENCE_IN_LIST: Final = re.compile(r"\s*(?:[-+*]|[0-9]{1,9}[.)])\s.*(?:`{3}|~{3})")
_HTML: Final = re.compile(r" {0,3}<(!--|\?|!\[CDATA\[|![A-Z]|(?:pre|script|style|textarea)(?=[\s>]|$)|/?[A-Z])", re.IGNORECASE)
_HIDES_UNTIL: Final = {
    "!--": "-->",
    "?": "?>",
    "![cdata[": "]]>",
    "pre": "</pre>",
    "script": "</script>",
    "style": "</style>",
    "textarea": "</textarea>",
}
_MAY_GO_ON: Final = re.compile(r"[`<\[$]")
"""What may begin a code span, a tag, a link's title or a formula that ends on a later line of the paragraph."""


def own_lines(body: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of each line at the margin that is certainly shown as the writer's own words."""
    numbered = iter(enumerate(body.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1))
    doubtful = raw = False
    for number, line in numbered:
        if not line.strip():
            doubtful = raw = False
        elif line.lstrip().startswith(">"):
            doubtful = True  # a quote goes on over lines that do not say ">"
        elif fence := _opening(line):
            if raw or not _skip_fence(numbered, fence):
                return
            doubtful = False
        elif html := _HTML.match(line):
            ending = _HIDES_UNTIL.get(html[1].lower(), ">" if html[1].startswith("!") else "")
            if ending and ending not in line[html.end() :].lower():
                if raw or line.startswith(" ") or not any(ending in hidden.lower() for _, hidden in numbered):
                    return
                doubtful = False
            else:
                doubtful = raw = True
        elif _FENCE_IN_LIST.match(line):
            return
        else:
            if not doubtful:
                yield number, line
            doubtful = doubtful or bool(_MAY_GO_ON.search(line))


def _opening(line: str) -> re.Match[str] | None:
    found = _FENCE.fullmatch(line)
    if found is None or len(found["indent"]) > 3 or (found["run"].startswith("`") and "`" in found["info"]):
        return None
    return found


def _skip_fence(numbered: Iterator[tuple[int, str]], opening: re.Match[str]) -> bool:
    """Go behind the closing fence. False where an indented fence, which may belong to a list, may have ended with the list's item."""
    indent = opening["indent"]
    for _, line in numbered:
        found = _FENCE.fullmatch(line)
        closes = found is not None and found["run"].startswith(opening["run"]) and not found["info"].strip()
        if indent and line.strip() and (not line.startswith(indent) or (closes and found is not None and found["indent"] != indent)):
            return False
        if closes and found is not None and len(found["indent"]) <= 3:
            return True
    return False
