"""Nothing from outside breaks out, and no cut splits a character, a fence, a fold or a row."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from workflows.rules.markdown import code, cut, details, fence, mention, prose, size, table, truncate_bytes, visible

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")

# ── Code, words, mentions ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("`orders`", "orders"),
        ("`a b`", " a\n b "),
        ("(empty)", " \n"),
        ("<code>a&#124;b</code>", "a|b"),
        ("<code>a&#96;b</code>", "a`b"),
        ("<code>&#95;&#96;&#95;</code>", "_`_"),
        ("`<b>@x</b>`", "<b>@x</b>"),
        ("<code>&#92;u202ex</code>", "\u202ex"),
    ],
)
def test_a_name_as_code(expected: str, text: str) -> None:
    assert expected == code(text)


@given(st.text(min_size=1))
def test_code_in_a_table_cell_is_shown_as_it_is(text: str) -> None:
    shown = " ".join(visible(text).split())
    if not shown:
        return
    document = f"| a | b |\n| --- | --- |\n| {code(text)} | end |"
    cells = [token for token in MARKDOWN.parse(document) if token.type == "inline"]
    assert ["a", "b", "end"] == [cells[0].content, cells[1].content, cells[3].content]
    inner = [token for token in cells[2].children or () if token.type in {"code_inline", "text", "text_special"}]
    assert shown == "".join(token.content for token in inner)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("Type `.skeefree help` now.", "Type `.skeefree help` now."),
        ("&#60;b&#62; &#38; c", "<b> & c"),
        ("@&#8203;everyone", "@everyone"),
        ("a &#124; b", "a | b"),
        ("&#96;never closed", "`never closed"),
        ("one two", "one\n\ntwo"),
    ],
)
def test_words_keep_their_code_and_lose_their_markup(expected: str, text: str) -> None:
    assert expected == prose(text)


@pytest.mark.parametrize(("expected", "login"), [("@ada", "ada"), ("@a-b_acme", "a-b_acme"), ("`ada @x`", "ada @x"), ("`-x`", "-x")])
def test_only_a_login_is_mentioned(expected: str, login: str) -> None:
    assert expected == mention(login)


# ── Fences ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(st.sampled_from("`~ab \n>"), max_size=60))
def test_a_fence_holds_exactly_its_content(text: str) -> None:
    parsed = MARKDOWN.parse(f"before\n\n{fence(text, 'sql')}\n\nafter")
    assert ["paragraph_open", "inline", "paragraph_close", "fence", "paragraph_open", "inline", "paragraph_close"] == [
        one.type for one in parsed
    ]
    assert text.strip("\n") == parsed[3].content.removesuffix("\n")


def test_a_long_fence_says_what_is_missing() -> None:
    assert f"```\n{'ä' * 50}\n… and 100 more bytes\n```" == fence("ä" * 100, limit=100)


# ── Cuts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(), st.integers(-1, 50))
def test_a_cut_splits_no_character(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert size(kept) <= max(0, limit)
    assert text.startswith(kept)


def test_what_fits_is_left_alone() -> None:
    assert "as it is\n" == truncate_bytes("as it is\n", 9)


def test_whole_lines_are_kept_and_the_rest_is_counted() -> None:
    assert "one\ntwo\n\n… and 3 more lines" == truncate_bytes("one\ntwo\nthree is longer\nfour is longer\nfive is longer", 34)


def test_an_open_fence_is_closed() -> None:
    text = "```sql\n" + "SELECT 1;\n" * 20 + "```\nend"
    shown = truncate_bytes(text, 80)
    assert re.fullmatch(r"```sql\n(SELECT 1;\n)+```\n\n… and \d+ more lines", shown)


def test_an_open_fold_is_closed() -> None:
    assert truncate_bytes(details("x", "line\n" * 100), 120).endswith("line\n\n</details>\n\n… and 93 more lines")


def test_a_single_long_line_of_words_is_cut_between_characters() -> None:
    assert "äää\n\n… and 1 more line" == truncate_bytes("ä" * 100, 28)


def test_a_single_long_row_is_left_out_whole() -> None:
    assert "… and 1 more line" == truncate_bytes("| " + "ä" * 100 + " |", 40)


def test_where_only_the_mark_fits_it_stands_alone() -> None:
    assert "… and 1 more line" == truncate_bytes("😀" * 9, 19)


lines = st.sampled_from(
    [
        "words",
        "wörter → €",
        "",
        "| a | b |",
        "| --- | --- |",
        "| 1 | äöü |",
        "```",
        "```sql",
        "````",
        "~~~",
        "  ```",
        "``` a`b",
        "<details>",
        "</details>",
        "> quote",
        "\ud800",
        "a\rb",
        "😀" * 9,
    ]
)


@settings(max_examples=400)
@given(st.lists(lines, max_size=30), st.integers(0, 200))
def test_a_cut_text_is_valid_fits_and_closes_what_it_opened(parts: list[str], limit: int) -> None:
    text = "\n".join(parts)
    shown = truncate_bytes(text, limit)
    assert len(shown.encode("utf-8")) <= limit
    clean = text.encode("utf-8", "replace").decode().replace("\r", "\n")
    if shown == clean:
        return
    mark = re.search(r"… and [0-9,]+ more lines?\Z", shown)
    if mark is None:
        assert shown in {"", "…"}
        return
    last = MARKDOWN.parse(shown)[-2:]
    assert ["inline", "paragraph_close"] == [token.type for token in last]
    assert not any(token.type == "fence" and mark[0] in token.content for token in MARKDOWN.parse(shown))
    rows = [line for line in shown.split("\n") if line.startswith("|")]
    assert all(row in clean.split("\n") for row in rows)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=5)), max_size=30), st.integers(0, 600))
def test_a_table_is_cut_by_rows(rows: list[tuple[str, str]], limit: int) -> None:
    shown = table(("A", "B"), [(code(a), prose(b)) for a, b in rows], limit)
    assert size(shown) <= limit
    whole = table(("A", "B"), [(code(a), prose(b)) for a, b in rows], 10**6)
    assert all(line in whole.split("\n") for line in shown.split("\n") if line.startswith("|"))
