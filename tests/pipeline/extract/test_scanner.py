"""The scanner: the words of hand-written pages in their order, arbitrary bytes, and pages made to be hard."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract import features, keywords, scanner, tags

CASES: list[dict[str, Any]] = [
    case
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text("utf-8"))
]
# What only a parser with a tree gets right: text that is moved, or that leaves a drawing or a formula.
OTHERWISE = {
    "HTML breaks out of vector graphics",
    "formula without source",
    "text in a table outside of cells comes before it",
}


def scan(page: str | bytes) -> scanner.Blocks:
    data = page.encode("utf-8", "surrogateescape") if isinstance(page, str) else page
    valid = data.decode("utf-8", "replace").encode()
    return scanner.scan(np.frombuffer(valid, np.uint8), tags.tables(), keywords.automaton())


def texts(found: scanner.Blocks, hidden: bool = True) -> list[str]:
    data = found.text.tobytes()
    return [
        data[block[scanner.START] : block[scanner.END]].translate(None, bytes(scanner.MARKS)).decode()
        for block in found.blocks
        if hidden or not block[scanner.FLAGS] & scanner.HIDDEN
    ]


def letters(text: str) -> str:
    return "".join(re.findall(r"\w", text))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_text_of_a_page_is_all_there_and_in_order(case: dict[str, Any]) -> None:
    without_marks = re.sub(r"(?m)^\s*(- |\d+\. )+", "", case["text"])
    same = letters("\n".join(texts(scan(case["html"]), hidden=False))) == letters(without_marks)
    assert same == (case["name"] not in OTHERWISE)


def test_blocks_know_what_they_stand_in() -> None:
    found = scan(
        "<body><h2>T</h2><ol start=3><li>a<ul><li>b</ul><li>c</ol><table><tr><th>d<td>e<tr><td>f</table>"
        '<blockquote><p class="byline">g <a href=x>hh</a></blockquote><pre>\n i\n  j</pre><dl><dt>k<dd>l</dl>'
    )
    rows = dict(zip(texts(found), found.blocks.tolist(), strict=True))
    assert rows["T"][scanner.HEAD] == 2
    assert [(rows[x][scanner.LIST], rows[x][scanner.ITEM]) for x in "abc"] == [(1, 3), (2, -1), (1, 4)]
    assert [(rows[x][scanner.ROW], rows[x][scanner.CELL]) for x in "def"] == [(1, 1), (1, 2), (2, 1)]
    assert rows["d"][scanner.FLAGS] & scanner.HEADER_CELL and not rows["e"][scanner.FLAGS] & scanner.HEADER_CELL
    quoted = rows["g hh"]
    assert (quoted[scanner.QUOTES], quoted[scanner.LINKED]) == (1, 2)
    assert tags.NAMES[found.nodes[quoted[scanner.NODE], scanner.TAG]] == "p"
    author = 1 << keywords.NAMES.index("author")
    assert int(found.masks[quoted[scanner.NODE], 0]) & author
    assert rows[" i\n  j"][scanner.FLAGS] & scanner.PRE
    assert rows["k"][scanner.FLAGS] & scanner.TERM and rows["l"][scanner.FLAGS] & scanner.DESCRIPTION


PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([case["html"].encode("utf-8", "surrogateescape") for case in CASES]),
    st.sampled_from(  # pieces of markup, whole and broken
        b"<p> </p> <div <a <!-- --> <![CDATA[ ]]> <script> </script <table> <td> </table> <svg> </svg> <li> "
        b"</ul> &# &am"
        b" &#x110000; &lt = ' \" > < / <pre> <br> \x00 \xe2\x80 <plaintext> <b> </b> <ruby> <rt> "
        b"<math alttext=&amp;>".split()
    ),
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_any_bytes_give_text_and_finite_features(page: bytes) -> None:
    found = scan(page)
    bounds = found.blocks[:, :2]
    assert (bounds[:, 0] < bounds[:, 1]).all() and (bounds[1:, 0] >= bounds[:-1, 1]).all()
    assert all(text.strip() for text in texts(found))
    assert (found.nodes[1:, scanner.PARENT] < np.arange(1, len(found.nodes))).all()
    matrix = features.matrix(found)
    assert matrix.shape == (len(found.blocks), len(features.NAMES))
    assert np.isfinite(matrix).all()


@given(st.lists(st.sampled_from([case["html"] for case in CASES]), min_size=1, max_size=3), st.data())
def test_pages_cut_anywhere(pages: list[str], data: st.DataObject) -> None:
    page = "".join(pages).encode("utf-8", "surrogateescape")
    first, last = sorted(data.draw(st.integers(0, len(page))) for _ in range(2))
    assert "\0" not in "".join(texts(scan(page[:first] + page[last:])))


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "<a ",
        "<div>",
        "</",
        "&",
        "&a",
        "<!--",
        "<p>",
        "<td>",
        '<a href="',
        "<b>x",
        "<li>x",
        "x<br>",
        "<x y=z ",
        "</p>",
    ],
)
def test_pages_of_five_million_bytes(unit: str) -> None:
    page = "start " + unit * (5_000_000 // len(unit))
    shown = "".join(texts(scan(page)))
    assert shown.startswith("start")
    assert shown.count("x") == (5_000_000 // len(unit) if unit in ("<b>x", "<li>x", "x<br>") else 0)
