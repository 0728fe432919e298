"""trafilatura's expressions find the same elements when they ask only about attributes that are there."""

import pytest
from lxml import html
from lxml.etree import XPath
from trafilatura import extract, xpaths

from pipeline.extract.sandbox import ask_less

TAGS = "div section aside p span li ul ol list item details header footer nav article figure".split()
WORDS = "comment comments share nav menu footer sidebar teaser hidden message author byline tags cookie widget".split()


def lists():
    return {name: list(found) for name, found in vars(xpaths).items() if isinstance(found, list)}


def pairs():
    before, after = lists(), lists()
    ask_less(after)
    for name, expressions in before.items():
        for old, new in zip(expressions, after[name], strict=True):
            if isinstance(old, XPath) and old.path != new.path:
                yield old, new


def places(expression, page):
    numbers = {element: number for number, element in enumerate(page.iter())}
    return [numbers[element] for element in expression(page)]


def test_most_expressions_with_patterns_are_rewritten():
    assert len(list(pairs())) >= 10


def test_the_same_elements_of_pages_of_all_kinds_of_attributes():
    parts = []
    for tag in TAGS:
        parts.append(f"<{tag}>without</{tag}>")
        for word in WORDS:
            for name in ("id", "class", "style", "role"):
                for value in (word, f"x-{word}", f"{word.title()} y", ""):
                    parts.append(f'<{tag} {name}="{value}">text</{tag}>')
            parts.append(f'<{tag} id="{word}" class="other">text</{tag}><{tag} class="other" id="{word}">text</{tag}>')
    page = html.fromstring(f"<html><body>{''.join(parts)}</body></html>")
    found = 0
    for old, new in pairs():
        here = places(old, page)
        assert places(new, page) == here, old.path
        found += len(here)
    assert found > 500


def test_a_pattern_that_an_absent_attribute_would_match_is_left():
    expressions = {
        "some": [XPath(".//*[re:test(@id, 'a|^$')]", namespaces={"re": "http://exslt.org/regular-expressions"})]
    }
    before = expressions["some"][0]
    ask_less(expressions)
    assert expressions["some"][0] is before


def test_the_same_texts_of_real_pages(test_data, monkeypatch):
    fastwarc = pytest.importorskip("fastwarc")
    archive = test_data("B-trafilatura-dev/trafilatura-dev.warc.gz")
    pages = []
    with archive.open("rb") as file:
        for number, record in enumerate(fastwarc.ArchiveIterator(file, record_types=fastwarc.WarcRecordType.response)):
            if number % 8 == 0:
                pages.append(record.reader.read().decode("utf-8", "replace"))
    options = {"fast": True, "include_comments": False}
    before = [extract(page, **options) for page in pages]
    kept = lists()
    ask_less(vars(xpaths))
    try:
        assert [extract(page, **options) for page in pages] == before and sum(map(bool, before)) > 30
    finally:
        for name, expressions in kept.items():
            vars(xpaths)[name][:] = expressions
