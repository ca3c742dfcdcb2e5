"""Markdown as people see it on the site: tables, folded details, mentions, alerts; and nothing that could run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

ALLOWED_TAGS = {
    *("a", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4"),
    *("h5", "h6", "hr", "i", "ins", "kbd", "li", "ol", "p", "pre", "q", "s", "samp", "span", "strike", "strong", "sub"),
    *("summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "ul", "var"),
}
ALLOWED_ATTRIBUTES = {
    "a": {"href", "title"},
    "details": {"open"},
    "ol": {"start"},
    "td": {"align", "style"},
    "th": {"align", "style"},
}
ALLOWED_CLASSES = {
    "span": {"line-added", "line-removed", "line-hunk", "mention", "sql-word", "sql-text", "sql-name", "sql-note"},
    "code": {"language-sql", "language-diff", "language-text", "language-json", "language-sh"},
}
_MENTION = re.compile(r"(?<![\w/`@])@([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:/[A-Za-z0-9][A-Za-z0-9_-]*)?)")
_ISSUE = re.compile(r"(?<![\w&/])#(\d+)\b")
_ALERT = re.compile(r"<blockquote>\s*<p>\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\](?:<br>)?\s*")
_TASK = re.compile(r"<li>(<p>)?\[([ xX])\] ")
_LANGUAGE = re.compile(r"[\w+-]{1,30}")


def _text(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    text = escape(tokens[index].content, quote=False)
    text = _MENTION.sub(r'<span class="mention">@\1</span>', text)
    base = env.get("pulls_url")
    return _ISSUE.sub(rf'<a href="{escape(base)}/\1">#\1</a>', text) if base else text


def _fence(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    language = token.info.strip().split(" ")[0]
    body = escape(token.content, quote=False)
    if language == "diff":
        body = "".join(_diff_line(line) for line in body.splitlines(keepends=True))
    elif language == "sql":
        body = _SQL.sub(_sql_part, token.content)
    named = f' class="language-{language}"' if _LANGUAGE.fullmatch(language) else ""
    return f"<pre><code{named}>{body}</code></pre>\n"


_SQL_WORDS = (
    "add after algorithm all alter and as asc auto_increment begin between bigint binary blob bool boolean by cascade case"
    " change char character charset check collate column comment commit constraint create cross current_timestamp"
    " database date datetime decimal default delete desc distinct double drop else end engine enum exists false first"
    " float foreign from fulltext generated group having if in index inner insert instant int integer into invisible is"
    " join json key left like limit lock longblob longtext mediumint mediumtext modify not null on or order partition"
    " primary references rename replace restrict right row_format select set smallint spatial stored table text then"
    " time timestamp tinyint tinytext to trigger true union unique unsigned update using values varbinary varchar view"
    " virtual when where with"
)
_SQL = re.compile(
    r"(?P<note>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^'\\]|\\.|'')*')|(?P<name>`(?:[^`]|``)*`)"
    rf"|(?P<word>\b(?:{_SQL_WORDS.replace(' ', '|')})\b)|(?P<other>[&<>])",
    re.IGNORECASE | re.DOTALL,
)


def _sql_part(match: re.Match[str]) -> str:
    text = escape(match[0], quote=False)
    return text if match.lastgroup == "other" else f'<span class="sql-{match.lastgroup}">{text}</span>'


def _diff_line(line: str) -> str:
    kind = {"+": "line-added", "-": "line-removed", "@": "line-hunk"}.get(line[:1])
    return f'<span class="{kind}">{line}</span>' if kind else line


def _parser(*, breaks: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "breaks": breaks}).enable(["table", "strikethrough"])
    parser.add_render_rule("text", _text)
    parser.add_render_rule("fence", _fence)
    return parser


_COMMENTS, _DOCUMENTS = _parser(breaks=True), _parser(breaks=False)


def render(text: str | None, *, breaks: bool = True, pulls_url: str = "") -> str:
    """Safe HTML. `breaks`: a line break is a line break, as in comments; `pulls_url`: where `#12` leads."""
    env: dict[str, Any] = {"pulls_url": pulls_url}
    html = (_COMMENTS if breaks else _DOCUMENTS).render(text or "", env)
    safe = nh3.clean(
        html,
        tags=ALLOWED_TAGS,
        attributes=ALLOWED_ATTRIBUTES,
        allowed_classes=ALLOWED_CLASSES,
        filter_style_properties={"text-align"},
        url_schemes={"http", "https", "mailto"},
        strip_comments=True,
        link_rel="nofollow noopener",
    )
    safe = _ALERT.sub(_alert, safe)
    return _TASK.sub(lambda m: f'<li class="task">{m[1] or ""}{"☑" if m[2] in "xX" else "☐"} ', safe)


def _alert(match: re.Match[str]) -> str:
    kind = match[1].lower()
    return f'<blockquote class="alert {kind}"><p class="alert-title">{kind.title()}</p><p>'
