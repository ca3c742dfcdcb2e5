"""Only what is certainly shown as the writer's own words is read for commands; held against a whole CommonMark parser."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from workflows.rules.comments import own_lines

COMMAND = ".skeefree cut-over"


def commands(body: str) -> list[int]:
    return [number for number, line in own_lines(body) if line == COMMAND]


@pytest.mark.parametrize(
    "body",
    [
        COMMAND,
        f"I looked at it.\n{COMMAND}",
        f"{COMMAND}\n{COMMAND}",
        f"> quote\n\n{COMMAND}",
        f"```\nx\n```\n{COMMAND}",
        f"~~~ sql\n```\n~~~\n{COMMAND}",
        f"<!-- hidden -->\n\n{COMMAND}",
        f"<!--\nhidden\n-->\n{COMMAND}",
        f"<details>\n\n{COMMAND}\n\n</details>",
        f"see `code`\n\n{COMMAND}",
        f"1. first\n   ```\n   x\n   ```\n\n{COMMAND}",
        f"- item\n\n{COMMAND}",
        f"# Title\n{COMMAND}",
    ],
)
def test_the_writers_own_line_is_read(body: str) -> None:
    assert commands(body)


@pytest.mark.parametrize(
    "body",
    [
        f"> {COMMAND}",
        f"> a quote that goes on\n{COMMAND}",
        f"```\n{COMMAND}\n```",
        f"```\n\n{COMMAND}",
        f"~~~~\n{COMMAND}\n~~~\n{COMMAND}",
        f"> quote\n```\n\n{COMMAND}\n```",
        f"<!--\n{COMMAND}\n-->",
        f"<!-- never closed\n\n{COMMAND}",
        f"<pre>\n\n{COMMAND}\n</pre>",
        f"<div>\n```\n\n```\n{COMMAND}\n```",
        f"text <!--\n\n```\n-->\n{COMMAND}\n```",
        f"- ```\n  ```\n```\n{COMMAND}\n```",
        f"- a\n  ```\nx\n```\n{COMMAND}\n```",
        f"`code that\n{COMMAND}\ngoes on`",
        f'<a title="\n{COMMAND}\n">x</a>',
        f'[hidden]: /url "\n{COMMAND}\n"',
        f"$$\n{COMMAND}\n$$",
        f"    {COMMAND}",
    ],
)
def test_what_is_quoted_code_or_hidden_is_not_read(body: str) -> None:
    assert [] == commands(body)


MARKDOWN = MarkdownIt("commonmark", {"html": True})
LINES = [
    COMMAND,
    COMMAND,
    "text",
    "",
    "",
    "> quote",
    ">",
    "> ```",
    "```",
    "```sql",
    "~~~",
    "````",
    "  ```",
    "   ~~~",
    "    ```",
    "- ```",
    "- item",
    "1. item",
    "   more",
    "<!--",
    "-->",
    "text <!--",
    "  <!--",
    "<pre>",
    "</pre>",
    "<div>",
    "<b>",
    "<details>",
    "`a",
    "b`",
    '<a title="',
    '">',
    '[x]: /u "',
    '"',
    "<?",
    "?>",
    "<!X",
    ">",
    "<![CDATA[",
    "]]>",
    "# title",
    "===",
]


def shown_as_words(text: str) -> set[int]:
    """Numbers of the lines that the parser shows as plain text of a paragraph or heading that is in no quote."""
    shown: set[int] = set()
    quotes = 0
    for token in MARKDOWN.parse(text):
        quotes += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if token.type == "inline" and token.map and not quotes:
            shown |= {token.map[0] + 1 + at for at in range(_plain_lines(token))}
    return shown


def _plain_lines(inline: Token) -> int:
    """How many of its lines come before the first one with anything but text."""
    lines = 1
    for child in inline.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            lines += 1
        elif child.type not in {"text", "text_special"}:
            return lines - 1
    return lines


@settings(deadline=None, max_examples=1_000)
@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_every_command_that_is_read_is_shown_as_words_outside_quotes(body: list[str]) -> None:
    text = "\n".join(body)
    assert set(commands(text)) <= shown_as_words(text)
