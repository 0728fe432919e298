"""What pages say about themselves: hand-written ones, arbitrary bytes, and pages whose title and author are known."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extract.metadata import Metadata, metadata

URL = "https://www.example.org/2024/05/06/a-page"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<title>A page &amp; more</title>", {"title": "A page & more"}),
        ("<title>A page | The Site</title><meta property=og:site_name content='The Site'>", {"title": "A page"}),
        ('<meta property="og:title" content="Caf&eacute;"><title>x</title>', {"title": "Café"}),
        ('<meta name=author content="Ann Example">', {"author": "Ann Example"}),
        ('<html lang="pt-br"><p>', {"language": "pt-BR"}),
        ("<link rel=canonical href='/b'>", {"canonical_url": "https://www.example.org/b"}),
        (
            "<a rel=license href='https://creativecommons.org/licenses/by/4.0/'>CC</a>",
            {"licenses": "https://creativecommons.org/licenses/by/4.0/"},
        ),
        ('<meta property="article:published_time" content="2023-02-01T10:00:00Z">', {"date": "2023-02-01"}),
        (
            '<script type="application/ld+json">{"@type": "NewsArticle", "headline": "H", "datePublished":'
            ' "2022-12-31", "author": {"@type": "Person", "name": "Bo Li"}}</script>',
            {"title": "H", "author": "Bo Li", "date": "2022-12-31", "page_type": "article"},
        ),
        ('<script type="application/ld+json">{"headline": </script><title>T</title>', {"title": "T", "broken_json": 1}),
        ("<!-- <title>no</title> --><title>yes</title>", {"title": "yes"}),
        ("<script>'<title>no</title>'</script><title>yes</title>", {"title": "yes"}),
    ],
)
def test_what_a_page_says(html: str, expected: dict[str, Any]) -> None:
    found = metadata(html, URL)._asdict()
    assert {name: found[name] for name in expected} == expected


def test_a_page_that_says_nothing() -> None:
    assert metadata("<p>text", None) == Metadata()


TAGS = st.sampled_from(
    [
        *(
            "<title>",
            "</title>",
            "<meta name=author content=",
            "<meta property='og:title' content=\"",
            "&eacute",
            "<h1>",
        ),
        *(
            '<script type="application/ld+json">',
            "</script>",
            '{"@graph": [',
            '{"name": 1}',
            "<time datetime=",
            ">",
            '"',
        ),
        *("<html lang=", "<link rel=canonical href=", "http://[", "//x", "2024-02-30", "<a rel=license href=", "<!--"),
    ]
)


@given(
    st.lists(st.one_of(TAGS, st.text(max_size=8)), max_size=20).map("".join), st.sampled_from([None, URL, "http://["])
)
def test_any_page_is_read(page: str, url: str | None) -> None:
    found = metadata(page, url)
    assert metadata(page.encode("utf-8", "replace"), url) == found
    assert all(value is None or len(value) <= 4096 for value in found[:6] if not isinstance(value, int))


def same(one: str | None, other: str | None) -> bool:
    return re.sub(r"\W+", " ", one or "").strip().lower() == re.sub(r"\W+", " ", other or "").strip().lower()


def test_titles_authors_and_dates_that_people_noted(test_data: Callable[[str], Path]) -> None:
    import io
    import json

    import zstandard

    hits, known = (
        dict.fromkeys(("title", "author", "publish_date"), 0),
        dict.fromkeys(("title", "author", "publish_date"), 0),
    )
    with (test_data("B-wcxb-train") / "pages.jsonl.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file)
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            page = json.loads(line)
            found = metadata(page["html"], page["url"])
            for name, value in zip(known, (found.title, found.author, found.date), strict=True):
                if truth := page["ground_truth"].get(name):
                    known[name] += 1
                    hits[name] += same(truth[:10] if name == "publish_date" else truth, value)
    assert min(known.values()) > 600
    # The rest is mostly text of the page that nobody marked, which only people find.
    assert hits["title"] >= 0.78 * known["title"]
    assert hits["author"] >= 0.68 * known["author"]
    assert hits["publish_date"] >= 0.68 * known["publish_date"]
