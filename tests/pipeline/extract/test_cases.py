"""All visible text of hand-written pages, by the rules of the HTML standard: what a browser parses, and what it shows.

`cases/*.yaml` has the pages. `markdown` is the plain text where it is left out. `taste` says what was chosen where the
standard leaves it open or means something else; otherwise only the marks of lists, tables and Markdown are ours.
"""

import re
from html import unescape
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from markdown_it import MarkdownIt

FOLDER = Path(__file__).with_name("cases")


class Case(NamedTuple):
    name: str
    html: bytes
    text: str
    markdown: str
    taste: str


def read(name, html, text, markdown=None, taste=""):
    page = html.encode("utf-8", "surrogateescape")  # \udcXX in a page stands for the byte XX
    return Case(name, page, text, text if markdown is None else markdown, taste)


CASES = [read(**entry) for file in sorted(FOLDER.glob("*.yaml")) for entry in yaml.safe_load(file.read_text("utf-8"))]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def whole_text():
    page = pytest.importorskip("pipeline.extract.page", reason="there is nothing yet that renders whole pages")
    return page.whole_text


@EACH
def test_plain_text(whole_text, case):
    assert whole_text(case.html, format="text") == case.text


@EACH
def test_markdown(whole_text, case):
    assert whole_text(case.html, format="markdown") == case.markdown


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES) > 200


def words(text):
    return re.findall(r"\w+", text)


@EACH
def test_what_is_expected_as_markdown_reads_as_the_plain_text(case):
    """A parser of CommonMark finds in the expected Markdown the words of the expected text, and no others."""
    # What is not escaped on purpose stays as it is.
    unescaped = (
        ["entity", "escape", "emphasis", "link", "heading"] if "Markdown in the text" in case.name else ["entity"]
    )
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(unescaped)
    rendered = re.sub(rf"</?(?:{'|'.join(TAGS)})\b[^>]*>", " ", parser.render(case.markdown))
    rendered = re.sub(r"</?code\b[^>]*>", "", rendered)
    marks = re.compile(r"^(?:\s*(?:\d+\.|-) )+", re.MULTILINE)
    assert words(unescape(rendered)) == words(marks.sub("", case.text))


TAGS = "p h1 h2 h3 h4 h5 h6 ul ol li pre blockquote hr br table thead tbody tr th td".split()
