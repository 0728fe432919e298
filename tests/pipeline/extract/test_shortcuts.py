"""With its shortcuts, trafilatura finds the same elements and the same texts."""

import json
import subprocess
import sys
from types import ModuleType

import pytest
from lxml import html
from lxml.etree import XPath
from trafilatura import settings, xpaths

from pipeline.extract.shortcuts import ask_less

TAGS = "div section aside p span li ul ol list item details header footer nav article figure".split()
WORDS = "comment comments share nav menu footer sidebar teaser hidden message author byline tags cookie widget".split()


def module(**contents):
    made = ModuleType("made")
    vars(made).update(contents)
    return made


def pairs():
    found = {name: list(value) for name, value in vars(xpaths).items() if isinstance(value, list)}
    before = module(**found, clean=settings.BASIC_CLEAN_XPATH)
    after = module(**{name: list(value) for name, value in found.items()}, clean=settings.BASIC_CLEAN_XPATH)
    ask_less([after])
    yield before.clean, after.clean
    for name, expressions in found.items():
        for old, new in zip(expressions, vars(after)[name], strict=True):
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


def test_expressions_outside_lists_are_rewritten_too():
    old, new = next(pairs())
    assert old.path != new.path and "string(@class)" in new.path and "'i')" in new.path


def test_a_pattern_that_an_absent_attribute_would_match_is_left():
    some = [XPath(".//*[re:test(@id, 'a|^$')]", namespaces={"re": "http://exslt.org/regular-expressions"})]
    before = some[0]
    ask_less([module(some=some)])
    assert some[0] is before


TEXTS = """
import json, sys
from trafilatura import extract
if sys.argv[1] == "with":
    from pipeline.extract.shortcuts import ask_less, plain_elements
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "trafilatura"]
    ask_less(modules)
    plain_elements(modules)
modes = [{"fast": True}, {"favor_precision": True}, {"favor_recall": True, "include_comments": True}]
pages = json.load(sys.stdin)
print(json.dumps([extract(page, **mode) for mode in modes for page in pages]))
"""


def test_the_same_texts_of_real_pages(test_data):
    fastwarc = pytest.importorskip("fastwarc")
    archive = test_data("B-trafilatura-dev/trafilatura-dev.warc.gz")
    pages = []
    with archive.open("rb") as file:
        for number, record in enumerate(fastwarc.ArchiveIterator(file, record_types=fastwarc.WarcRecordType.response)):
            if number % 8 == 0:
                pages.append(record.reader.read().decode("utf-8", "replace"))

    def texts(how):
        # Both in processes of their own, since what is changed is changed for good.
        done = subprocess.run(
            [sys.executable, "-c", TEXTS, how], input=json.dumps(pages), capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    before = texts("without")
    assert texts("with") == before and sum(map(bool, before)) > 90
