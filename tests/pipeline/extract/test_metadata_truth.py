"""Metadata of real and of generated pages, beside what a parser of the standard, trafilatura and people see there."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree
from trafilatura.metadata import extract_metadata

from pipeline.extract.metadata import metadata
from pipeline.extract.notes import Notes, plain

ATTRIBUTES = st.sampled_from(
    [
        "name=author",
        'name="author"',
        "NAME='author'",
        "content=a",
        'content="b>c"',
        "content='&amp;&eacute;'",
        "content",
    ]
    + ["content=d/", "/", "x", "=y", "content = e", "rel=canonical", "href=/f", "\n", "'", '"', "content=&copy=1"]
)
ELEMENT = st.tuples(st.sampled_from(["meta", "META", "link", "metal", "p", "b"]), st.lists(ATTRIBUTES, max_size=6)).map(
    lambda parts: f"<{parts[0]} {' '.join(parts[1])}>"
)
OTHERS = st.sampled_from(
    ["<!-- <meta name=author content=x> -->", "<!-->", "<!--", "-->", "<!x>", "<?y>", "</p>", "< meta", "text", "<"]
    + ["<script>'<meta name=author content=x>'</script>", "<style></style>", "<textarea><meta></textarea>", "<title>"]
    + ["</title>", "<script></scripts></script >", "--!>", "</script>", "<iframe><meta name=author content=y></iframe>"]
)


@given(st.lists(ELEMENT | OTHERS, max_size=12).map("".join))
def test_tags_are_read_as_a_parser_of_the_standard_reads_them(page: str) -> None:
    expected = seen(page)
    assert noted(page, expected) == expected


MANY = "author description keywords viewport robots generator og:title og:type og:url og:image twitter:card".split()


def seen(page: str) -> dict[str, list[str]]:
    """Meta tags and links as the tree of lexbor has them."""
    document = HTMLTree.parse(page).document
    found: dict[str, list[str]] = {key: [] for key in MANY}
    for element in document.query_selector_all("meta[content]"):
        for attribute in ("name", "property", "http-equiv"):
            key = (element.getattr(attribute) or "").strip().lower()
            if 0 < len(key) <= 64 and not key.startswith("dc"):
                found.setdefault(key, []).append(element.getattr("content"))
    links = document.query_selector_all("link[rel][href]")
    found["<link>"] = [link.getattr("href") for link in links if "canonical" in link.getattr("rel").lower().split()]
    found["<time>"] = [time.getattr("datetime") for time in document.query_selector_all("time[datetime]")[:4]]
    found["<html>"] = [document.query_selector("html").getattr("lang") or ""]
    return {key: [text[:2000] for value in values if (text := plain(value))] for key, values in found.items()}


def noted(page: str, keys: Iterable[str]) -> dict[str, list[str]]:
    notes = Notes(page.encode())
    found = {key: list(notes.meta(key)) for key in keys if key[0] != "<"}
    found |= {"<link>": list(notes.links("canonical")), "<time>": list(notes.times), "<html>": list(notes.languages)}
    return {key: [text[:2000] for value in values if (text := plain(value))] for key, values in found.items()}


class Truth(NamedTuple):
    html: str
    url: str
    title: str
    author: str
    date: str
    type: str


@pytest.fixture(scope="module")
def annotated(test_data: Callable[[str], Path]) -> list[Truth]:
    """Pages of WCXB, with what people noted of them."""
    pages = []
    with (test_data("B-wcxb-train") / "pages.jsonl.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file)
        for text in io.TextIOWrapper(stream, encoding="utf-8"):
            page = json.loads(text)
            truth = page["ground_truth"]
            date = (truth["publish_date"] or "")[:10]
            kind = page["_internal"]["page_type"]["primary"].replace("service", "other")
            pages.append(Truth(page["html"], page["url"], truth["title"] or "", truth["author"] or "", date, kind))
    return pages


def test_real_pages_are_read_as_a_parser_of_the_standard_reads_them(annotated: list[Truth]) -> None:
    for page in annotated[::5]:
        expected = seen(page.html)
        assert noted(page.html, expected) == expected, page.url


def simplified(text: str | None) -> str:
    return " ".join(re.findall(r"\w+", (text or "").casefold()))


def hits(pages: Iterable[Truth], found: Iterable[Any]) -> dict[str, float]:
    """Share of what people noted that was found, letter for letter but for case and punctuation."""
    pairs = list(zip(pages, found, strict=True))
    shares = {}
    for name in ("title", "author", "date"):
        known = [(getattr(page, name), getattr(one, name)) for page, one in pairs if getattr(page, name)]
        shares[name] = sum(simplified(truth) == simplified(said) for truth, said in known) / len(known)
    return shares


def test_titles_authors_and_dates_that_people_noted(annotated: list[Truth]) -> None:
    found = hits(annotated, [metadata(page.html, page.url) for page in annotated])
    # The rest is mostly text of the page that nobody marked, which only people find.
    assert found["title"] > 0.78 and found["author"] > 0.69 and found["date"] > 0.70


def test_at_least_what_trafilatura_finds(annotated: list[Truth]) -> None:
    """With the search through the page; trafilatura has htmldate's search too."""
    some = annotated[::8]
    ours = hits(some, [metadata(page.html, page.url, "full") for page in some])
    options = {"original_date": True, "extensive_search": False, "max_date": "2099-12-31"}
    theirs = hits(some, [extract_metadata(page.html, page.url, options) for page in some])
    assert ours["title"] > theirs["title"] + 0.1
    assert ours["author"] > theirs["author"]
    assert ours["date"] >= theirs["date"]


def test_types_that_people_gave(annotated: list[Truth]) -> None:
    """WCXB has seven types, of which services are among our others."""
    right: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for page in annotated:
        found = metadata(page.html, page.url).page_type
        if found is not None:
            said[found] += 1
            right[found] += found == page.type
    assert sum(said.values()) > 0.8 * len(annotated)
    assert sum(right.values()) > 0.84 * sum(said.values())
    for kind in ("article", "forum", "documentation"):
        assert right[kind] > 0.88 * said[kind], kind
