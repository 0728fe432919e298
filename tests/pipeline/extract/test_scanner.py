"""The scanner against a parser with a tree on real pages, on arbitrary bytes, and on pages made to be hard."""

import hashlib
import html
import io
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import page_checks
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from mutated_pages import CASES, mutated, page_of
from resiliparse.parse.html import HTMLTree, NodeType

from filters import hashing
from pipeline.extract import blocks, keywords, tags
from pipeline.extract.page import MOST_BLOCKS, blocks_of, whole_text


def texts(found: blocks.Blocks) -> list[str]:
    data = found.text.tobytes()
    bounds = found.blocks[:, [blocks.START, blocks.END]].tolist()
    return [data[first:last].translate(None, bytes(blocks.MARKS)).decode() for first, last in bounds]


RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ⁿⁱ₀₁₂₃₄₅₆₇₈₉", "0123456789ni0123456789", strict=True))
WINDOWS = {chr(code): bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
NORMAL = str.maketrans(RAISED | WINDOWS)


def letters(text: str) -> str:
    """Letters and digits, raised and lowered ones as others, control characters as those of windows-1252."""
    return "".join(re.findall(r"[^\W_]", text.translate(NORMAL)))


def test_blocks_know_what_they_stand_in() -> None:
    found = blocks_of(
        "<body><h2>T</h2><ol start=3><li>a<ul><li>b</ul><li>c</ol><table><tr><th>d<td>e<tr><td>f</table>"
        '<blockquote><p class="byline">g <a href=x>hh</a></blockquote><pre>\n i\n  j</pre><dl><dt>k<dd>l</dl>'
    )
    rows = dict(zip(texts(found), found.blocks.tolist(), strict=True))
    assert rows["T"][blocks.HEAD] == 2
    assert [rows[x][blocks.LIST] for x in "abc"] == [1, 2, 1]
    assert [rows[x][blocks.ITEM] for x in "abcd"] == [1, 1, 1, 0]
    numbers = [found.nodes[rows[x][blocks.NODE], blocks.VALUE] for x in "abc"]
    assert numbers == [3, blocks.BULLET, 4]
    assert [(rows[x][blocks.ROW], rows[x][blocks.CELL]) for x in "def"] == [(1, 1), (1, 2), (2, 1)]
    assert rows["d"][blocks.FLAGS] & blocks.HEADER_CELL and not rows["e"][blocks.FLAGS] & blocks.HEADER_CELL
    quoted = rows["g hh"]
    assert (quoted[blocks.QUOTES], quoted[blocks.LINKED]) == (1, 2)
    assert tags.NAMES[found.nodes[quoted[blocks.NODE], blocks.TAG]] == "p"
    author = 1 << keywords.NAMES.index("author")
    assert int(found.masks[quoted[blocks.NODE], 0]) & author
    assert found.nodes[rows[" i\n  j"][blocks.PRE], blocks.TAG] == tags.NUMBER["pre"]
    assert rows["k"][blocks.FLAGS] & blocks.TERM and rows["l"][blocks.FLAGS] & blocks.DESCRIPTION


NOT_SHOWN = set(
    "audio button canvas datalist head iframe noembed noframes object script select style svg template textarea title "
    "video meter progress rt rtc".split()
)
HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\s*(?:;|!|$)", re.IGNORECASE)
IN_LINE = set("a abbr b bdi cite code em font i label mark q s small span strong sub sup time u".split())


def shown(page: bytes) -> str:
    """The text of a page by lexbor's tree. Of hidden elements, the scanner leaves out those in a line."""
    page = re.sub(rb"(?is)<noscript\b.*?</noscript\s*>", b"", page)  # a browser that runs scripts parses none of it
    body = HTMLTree.parse(page.decode("utf-8", "replace")).body
    parts, stack = [], [body] if body is not None else []
    while stack:
        node = stack.pop()
        if node.type == NodeType.TEXT:
            parts.append(node.text)
        elif node.type == NodeType.ELEMENT and node.tag not in NOT_SHOWN:
            found = "hidden" in node.attrs and (node.getattr("hidden") or "").strip().lower() != "until-found"
            hidden = found or HIDDEN.search(node.getattr("style") or "")
            hidden = hidden or (node.getattr("aria-hidden") or "").strip().lower() == "true"
            if not (hidden and (node.tag in IN_LINE or tags.NUMBER.get(node.tag, 0) == 0)):
                stack.extend(reversed(node.child_nodes))
    return letters("".join(parts))


@pytest.fixture(scope="module")
def real_pages(request: pytest.FixtureRequest) -> list[bytes]:
    path = request.getfixturevalue("test_data")("B-wcxb-train/pages.jsonl.zst")
    stream = zstandard.ZstdDecompressor().stream_reader(path.open("rb"))
    lines = list(io.TextIOWrapper(stream, encoding="utf-8"))[::24]
    return [json.loads(line)["html"].encode("utf-8", "replace") for line in lines]


def test_real_pages_have_the_text_that_a_tree_has(real_pages: list[bytes]) -> None:
    assert len(real_pages) > 50
    for page in real_pages:
        assert letters("".join(texts(blocks_of(page)))) == shown(page)


def test_mutated_real_pages_mostly_have_it(real_pages: list[bytes]) -> None:
    """Not all do: lexbor reads fields of forms by an older version of the standard."""
    chance = random.Random(1)
    pages = [mutated(page, chance) for page in real_pages]
    same = [letters("".join(texts(blocks_of(page)))) == shown(page) for page in pages]
    assert sum(same) > 0.96 * len(same)


MARKUP = [
    piece.replace(b"~", b" ")
    for piece in (
        b"<p> </p> <div~ <a~ <!-- --> <![CDATA[ ]]> <script> </script <table> <tr> <td> </table> <svg> </svg> <li> "
        b"</ul> &# &am &#x110000; &lt = ' \" > < / ~ <pre> <br> \x00 \xe2\x80 \xe3\x80\x80 <plaintext> <b> </b> <ruby> "
        b"<rt> <q> <math~alttext=&amp;> <annotation~encoding=tex> <a~hidden> </a> <td~rowspan=0~colspan=99> "
        b"<ol~reversed> <code> <sup> </sup> <sub> </sub> 2 <input> \xc2\x80"
    ).split()
]
PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(CASES),
    st.sampled_from(MARKUP),
)


@given(st.lists(PIECES, max_size=12).map(b"".join), st.integers(0, 2**32))
def test_any_bytes_give_blocks_features_and_text(page: bytes, seed: int) -> None:
    page_checks.check(page, random.Random(seed))


@given(st.integers(0, 2**32))
def test_so_does_any_hostile_page(seed: int) -> None:
    page_checks.check(page_of(seed, 0, CASES), random.Random(seed))


@given(st.lists(PIECES, max_size=12).map(b"".join), st.integers(0, 2**32))
def test_text_is_part_of_the_page_in_its_order(page: bytes, seed: int) -> None:
    """Without references, lists with numbers, formulas and tables, whose text may be moved, nothing is made up."""
    page = mutated(page, random.Random(seed))
    page = re.sub(rb"(?i)&|<ol|<math|<table", b"", page)
    rest = iter(page.decode("utf-8", "replace").translate(NORMAL))
    assert all(letter in rest for letter in letters(whole_text(page)))


@given(st.lists(st.text("abc<>&\"'é中 ", min_size=1).map(str.strip).filter(bool), min_size=1))
def test_escaped_text_comes_back(paragraphs: list[str]) -> None:
    page = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    assert whole_text(page) == "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


@pytest.mark.parametrize(
    "unit, text, shows",
    [
        ("<", "<", None),
        ("<a ", "", None),
        ("<div>", "", None),
        ("</", "", None),
        ("&", "&", None),
        ("&a", "&a", None),
        ("<!--", "", None),
        ("<p>", "", None),
        ("<td>", "", None),
        ('<a href="', "", None),
        ("<x y=z ", "", None),
        ("</p>", "", None),
        ("<b>x", "x", None),
        ("<q>", "", lambda text, _: set(text) == set("start “‘’”")),
        ("x<br>", "x\n", None),
        ("<p>x", "\n\nx", None),
        ("<li>x", "\n- x", None),
        ("<ul><li>x", "", lambda text, count: text.count("- x") == count),
        ("<blockquote>x", "", lambda text, count: text.count("x") == count),
        ("<tr><td>x", "x", None),
        ("<table><td>x", "", lambda text, count: text.count("x") == count),
        ("<table>x<td>y", "", lambda text, count: text.count("x") == text.count("y") == count),
        ("<div id='a b'>", "", None),
        ("x<sup>4</sup>,", "x⁴,", None),
        ("x<sup>", "", lambda text, count: text == "start " + "x" * count),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pages_of_millions_of_bytes(unit: str, text: str, shows: Callable[[str, int], bool] | None) -> None:
    count = 10_000_000 // len(unit)
    if ">" in unit:  # so that there are not too many elements, with those that are implied
        count = min(count, MOST_BLOCKS // (2 * unit.count("<")))
    found = whole_text("start " + unit * count, "markdown")
    if shows is not None:
        assert shows(found, count)
    else:
        joined = "start" + (" " if text and text[0] != "\n" else "") + text * count
        expected = joined.rstrip("\n")
        assert len(found) == len(expected) and found == expected


def test_elements_nested_a_hundred_thousand_deep() -> None:
    page = "<div>x" * 100_000 + "</div>" * 100_000 + "<h1>end</h1>"
    assert whole_text(page, "markdown").split() == ["x"] * 100_000 + ["#", "end"]


def test_a_million_attributes() -> None:
    page = "<p " + "".join(f"a{number}='b>' " for number in range(1_000_000)) + ">end"
    assert whole_text(page) == "end"


def test_no_access_is_out_of_bounds(request: pytest.FixtureRequest) -> None:
    """Compiled anew with checks of every access, which takes a minute; kept for the next run with the same sources."""
    folders = (Path(module.__file__).parent for module in (blocks, hashing))
    sources = sorted(path for folder in folders for path in folder.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = request.config.cache.mkdir(f"bounds_checked_{digest[:16]}")
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, page_checks.__file__, "--seed", "3", "--last", "1500"]
    if "GRISTMILL_TEST_DATA" in environment:
        command += ["--data", environment["GRISTMILL_TEST_DATA"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch("1500 pages of .* bytes, bounds checked, 0 failed\n", done.stdout)
