"""Some blocks of a page as text: what is left of lists, tables, quotations and code when parts of them are cut out."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.extract import page as pages
from pipeline.extract.blocks import Blocks
from pipeline.extract.page import blocks_of, whole_text
from pipeline.extract.render import render


def texts(page: Blocks) -> list[str]:
    data = page.text.tobytes()
    return [data[first:last].decode() for first, last in page.blocks[:, :2].tolist()]


def chosen(html: str, words: str, markdown: bool = False) -> str:
    """The text of the blocks that are any of some words."""
    page = blocks_of(html)
    some = np.array([text in words.split() for text in texts(page)], np.bool_)
    return render(page, some, markdown, False).tobytes().decode()


NESTED = "<ul><li>a<ul><li>b<li>c</ul><li><p>d</p><p>e</p></ul>"
TABLE = "<table><tr><th>name<th>size<tr><td>anton<td>1<tr><td>b<td>20000</table>"


@pytest.mark.parametrize(
    "html, words, text",
    [
        (NESTED, "a b c d e", "- a\n  - b\n  - c\n\n- d\n\n  e"),
        (NESTED, "b c", "- b\n- c"),  # the outer item has nothing left, and is no level
        (NESTED, "a c e", "- a\n  - c\n\n- e"),  # a mark though the item's first block was cut out
        (NESTED, "c d", "- c\n\n- d"),
        ("<ol><li>a<li>b<li>c</ol>", "b c", "2. b\n3. c"),
        ("<ol reversed><li>a<li>b<li>c</ol>", "c", "1. c"),
        ("<ul><li>a<ul><li>b<ol><li>c</ol></ul></ul>", "a c", "- a\n  1. c"),
        ("<p>a</p><div>b</div><div>c</div>", "a c", "a\n\nc"),  # what ended between them still parts them
        ("<div>a</div><p>b</p><div>c</div>", "a c", "a\n\nc"),
        ("<div>a</div><div>b</div><div>c</div>", "a c", "a\nc"),
        (TABLE, "anton", "anton | 1"),  # most of the row
        (TABLE, "1", "| 1"),  # the lesser part of the row
        (TABLE, "20000", "b | 20000"),
        (TABLE, "name anton b", "name | size\nanton | 1\nb"),
        ("<table><tr><td>a<td hidden>b<td>c</table>", "a", "a | c"),
        ("<pre>a<div>b</div><div>c</div></pre>", "a c", "a\nc"),
        ("<p>a</p>", "", ""),
    ],
)
def test_plain_text_of_a_choice(html: str, words: str, text: str) -> None:
    assert chosen(html, words) == text


@pytest.mark.parametrize(
    "html, words, text",
    [
        (TABLE, "name size 20000", "| name | size |\n| --- | --- |\n| b | 20000 |"),
        (TABLE, "anton 20000", "anton | 1\nb | 20000"),  # without its header it is no table
        ("<p>a</p><hr><p>b</p><hr><p>c</p>", "a b", "a\n\n---\n\nb"),
        ("<p>a</p><hr><p>b</p><hr><p>c</p>", "a c", "a\n\nc"),  # a line is drawn between two blocks that it parts
        ("<blockquote><p>a</p><p>b</p></blockquote><p>c</p>", "b c", "> b\n\nc"),
        ("<blockquote>a</blockquote><blockquote>b</blockquote>", "a b", "> a\n\n> b"),
        ("<ul><li>a<blockquote>b</blockquote></ul>", "b", "- > b"),
        ("<pre class=language-c>a<div>b</div><div>c</div></pre>", "a c", "```c\na\nc\n```"),
        ("<dl><dt>a<dd>b<dd>c<p>d</p></dl>", "a c d", "a\n: c\n\n  d"),
        ("<dl><dt>a<dd>b<dd>c<p>d</p></dl>", "d", ": d"),
    ],
)
def test_markdown_of_a_choice(html: str, words: str, text: str) -> None:
    assert chosen(html, words, markdown=True) == text


def test_emphasis_only_where_it_is_wanted() -> None:
    html = "<p>a <em> b</em> <strong>c<code>*d*</code></strong> <b><i></i></b><i>e<p>f</i></p>"
    assert whole_text(html, "markdown") == "a b c`*d*` e\n\nf"
    assert whole_text(html, "markdown", emphasis=True) == "a *b* **c`*d*`** *e*\n\nf"
    assert whole_text(html, emphasis=True) == "a b c*d* e\n\nf"


def test_items_in_a_hundred_lists_are_indented_only_so_far() -> None:
    lines = whole_text("<ul><li>x" * 100).split("\n")
    assert lines[:16] == ["  " * level + "- x" for level in range(16)]
    assert set(lines[16:]) == {"  " * 15 + "- x"} and len(lines) == 100


def test_items_with_long_numbers_are_indented_only_so_far() -> None:
    text = whole_text("<ol start=12345678><li>x" * 9, "markdown")
    assert text.split("\n") == [" " * min(10 * level, 20) + "12345678. x" for level in range(9)]


LISTS: st.SearchStrategy[Any] = st.recursive(
    st.just(()), lambda inner: st.tuples(st.sampled_from([0, 1, 9, 99, 1234]), st.lists(inner, min_size=1, max_size=3))
)
"""Of a list, its first number, 0 for bullets, and what lists are in its items."""


def page_of_lists(nested: Any) -> str:
    if not nested:
        return ""
    items = "".join(f"<li><p>x</p><pre>y</pre><p>z</p>{page_of_lists(inner)}</li>" for inner in nested[1])
    return f"<ol start={nested[0]}>{items}</ol>" if nested[0] else f"<ul>{items}</ul>"


def depth(nested: Any) -> int:
    return 1 + max(map(depth, nested[1])) if nested else 0


@given(LISTS.filter(lambda nested: nested and depth(nested) <= 5))
def test_a_parser_of_commonmark_finds_what_is_in_items(nested: Any) -> None:
    """Paragraphs, code and lists, each in the item that has it."""
    page = page_of_lists(nested)
    expected = re.sub("</?p>|</?pre>", "", page).replace(" start=1>", ">")
    found = MarkdownIt("commonmark").render(whole_text(page, "markdown"))
    assert re.sub(r"\s*\n\s*|</?p>|</?pre>|</?code>", "", found.replace('"', "")) == expected


def test_wide_tables_are_lines_in_markdown_too() -> None:
    row = "<tr>" + "<th>x" * 65
    assert whole_text(f"<table>{row}</table>", "markdown") == " | ".join("x" * 65)


@pytest.mark.parametrize(
    "page, encoding, text",
    [
        ("<p>é".encode(), "utf-8", "é"),
        ("<p>é".encode(), "latin-1", "é"),  # valid UTF-8 is UTF-8
        ("<p>caf\xe9".encode("latin-1"), "utf-8", "caf\ufffd"),
        ("<p>caf\xe9".encode("latin-1"), "latin-1", "café"),
        ("<meta charset=windows-1251><p>Привет, мир".encode("cp1251"), None, "Привет, мир"),
        ("\ufeff<p>é".encode("utf-16"), None, "é"),
        ("<p>é😀", "utf-8", "é😀"),
        ("<p>a\ud83d b\ud83d\ude00", "utf-8", "a\ufffd b😀"),
    ],
)
def test_encodings(page: bytes | str, encoding: str | None, text: str) -> None:
    assert whole_text(page, encoding=encoding) == text


def test_a_page_too_long_for_its_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LONGEST_PAGE", 8)
    assert whole_text(b"<p>\xff2") == "\ufffd2"  # seven
    with pytest.raises(ValueError, match="a page of 10 bytes"):
        whole_text(b"<p>\xff2345")


LIMITED = """
import resource, sys
from pipeline.extract.page import whole_text

assert whole_text("<pre>x", "markdown") == "```\\nx\\n```"
page = sys.argv[1] + "x" + sys.argv[2] * 1_000_000 + "x"
taken = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (taken + 80 * len(page),) * 2)
print(len(whole_text(page, "markdown")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded as Linux does it")
@pytest.mark.parametrize(
    "before, unit, length",
    [("<pre>", "\n" * 8, 8_000_010), ("<table><tr>", "<td>x", 4_000_001), ("<ol>", "<li>x", 9_888_898)],
)
def test_memory_is_so_many_times_the_page(before: str, unit: str, length: int) -> None:
    """Eighty bytes of addresses a byte: of what is asked for in case it is needed, most is never touched."""
    done = subprocess.run([sys.executable, "-c", LIMITED, before, unit], capture_output=True, text=True, timeout=300)
    assert done.stdout == f"{length}\n", done.stderr
