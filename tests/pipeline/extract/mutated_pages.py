"""Pages made to break extraction: real ones that were cut, spliced and mutated, soups of tags, plain bytes.

A page depends on the seed, its number and the known pages alone. `page_checks.py` sends them through what is compiled.
"""

import math
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from pipeline.extract import keywords, tags
from pipeline.extract.learn import gold

CASES = [
    case["html"].encode("utf-8", "surrogateescape")
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text("utf-8"))
]
LONGEST = 200_000
"""Bytes of a real page that are taken."""
MEDIAN, SPREAD = 1500, 1.5
"""Bytes of slices: a lognormal distribution, with 5 kB as its mean and a long tail."""
ATTRIBUTES = [
    *filter(None, tags.ATTRIBUTES),
    *"name property itemprop http-equiv content rel href lang type datetime itemtype src xml:lang data-x".split(),
]
NUMBERS = "0 1 2 -1 3 63 64 65 999 65534 99999999 123456789012345678901234567890 +7 1e9 ２".split()
VALUES = [
    *NUMBERS,
    *(word for words in keywords.GROUPS.values() for word in words.split()),
    *"display:none;visibility:hidden;DISPLAY:\tNONE !important;true;presentation;none;language-c++;lang-".split(";"),
    *"application/x-tex application/ld+json author license canonical 2020-02-30 2020-02-28T10:00Z".split(),
    *"https://schema.org/Article http://[ //x/y javascript:x og:title article:published_time datePublished".split(),
    *("&amp;&#1;&notit;&#xD800;", "x" * 70, "<b>", "é中\U0001f600", " ", ""),
]
WORDS = [
    *"a word Title, by: 1. 中文。 ไทย عربي، é \U0001f600 e\u0301 \u200b \u3000 \xa0 \xad | `` \\ * # - >".split(" "),
    *"&amp; &lt &nGt; &#x1F600; &#0; &#128; &#xFFFFFFFFF; &nbsp; &#10; &CounterClockwiseContourIntegral; &".split(),
    *"\n \r \t \f \x00 \x0b \x7f \x85 \u2028 \ufeff".split(" "),
    "A sentence that is long enough to be one of a paragraph, with commas, and a full stop at its end. ",
    *(f"<script type=application/ld+json>{said}</script>" for said in (
        '{"@type": ["Article"], "headline": "x\\ud83d", "author": {"@id": "#a"}, "datePublished": "2020-01-01"}',
        '{"@graph": [{"@id": "#a", "@type": "Person", "name": ["A", {"@value": "B"}]}, 1, null, "\\udc00"]}',
        '{"@type": "NewsArticle", "license": {"url": "//x\\ud800"}, "publisher": {"name": 1e999}, "author": {}}',
        "[" * 5000,
    )),
    *("<script type=application/ld+json>", "</script>", '<meta property=og:title content="', "<h1>", "<title>"),
    *("<link rel=canonical href=", "<a rel='license author' href=/x/", "<time datetime=2020-02-", "<html lang=en_us>"),
    *("<b itemprop=author>", "<span itemprop='name'>", "<div itemscope itemtype=https://schema.org/Product>"),
]  # fmt: skip
AROUND = b"<blockquote> <ul><li> <ol/start=-99999999><li> <dl><dd> <table><td> <table><th> <pre> <code> <q> <b>".split()
PIECES = [bytes([byte]) for byte in range(256)] + [
    piece.replace(b"~", b" ")
    for piece in (
        b"<p> </p> <div> </div> <div <a <a> </a> <!-- --> --!> <![CDATA[ ]]> <script> </script> <script><!-- <table> "
        b"<tr> <td> <td~colspan=9 </table> <svg> </svg> <li> <ul> <ol~reversed> </ul> <pre> <q> </q> <code> </code> "
        b"<br> <hr> <plaintext> <xmp> <ruby> <rt> <math> <annotation~encoding=tex> <template> <select> <frameset> "
        b"<head> <body> <form> <dd> <h1> </h2> hidden &# &am &#x110000; &lt =' \" > /> <b><i></b> \xe2\x80 "
        b"\xe3\x80\x80 \xef\xbb\xbf <noscript>"
    ).split()
]
URLS: list[str | None] = [
    *(None, "https://example.org/blog/2020/02/30/a-title-it-has", "http://[::1/x", "", "http://\ud800/é?q#f", "x:y"),
    *("https://docs.example.org:99999/", "//a/b/../c", "http://a b/", "HTTPS://EXAMPLE.ORG/t/x/1"),
]


def mutated(page: bytes, chance: random.Random) -> bytes:
    """Return a page of which slices were taken out, doubled, moved, or had pieces of markup put between them."""
    for _ in range(chance.choice((1, 2, 4, 16, 64))):
        first = chance.randrange(len(page) + 1)
        last = min(len(page), first + int(chance.expovariate(1 / chance.choice((1, 10, 100, 1000)))))
        kind = chance.randrange(6)
        if kind == 0:
            page = page[:first] + page[last:]
        elif kind == 1:
            page = page[:last] + page[first:]
        elif kind == 2:
            place = chance.randrange(len(page) + 1)
            page = page[:place] + page[first:last] + page[place:]
        elif kind == 3:
            page = page[:first] + chance.choice(PIECES) * chance.choice((1, 1, 1, 2, 700)) + page[first:]
        elif kind == 4:
            flipped = bytes(byte ^ 1 << chance.randrange(8) for byte in page[first : min(last, first + 8)])
            page = page[:first] + flipped + page[first + len(flipped) :]
        elif chance.randrange(8) == 0:
            page = page[:first] + (chance.choice(PIECES) if page else b"")
    return page


def _size(chance: random.Random) -> int:
    return min(LONGEST, 100 + int(chance.lognormvariate(math.log(MEDIAN), SPREAD)))


def _piece(known: Sequence[bytes], chance: random.Random) -> bytes:
    """A slice of a page, or the whole."""
    page = chance.choice(known)
    first = chance.randrange(len(page) + 1) if chance.randrange(4) else 0
    return page[first : first + _size(chance)]


def _cut(known: Sequence[bytes], chance: random.Random) -> bytes:
    """A slice that ends in the midst of a tag, a reference, a comment or a character."""
    page = _piece(known, chance)
    marks = [found.start() for found in re.finditer(rb"[<&\x80-\xff]|<!--|=[\"']", page)]
    return page[: chance.choice(marks) + chance.randrange(1, 12)] if marks else page


def _several(known: Sequence[bytes], chance: random.Random) -> bytes:
    return b"".join(_piece(known, chance) for _ in range(chance.randrange(2, 5)))


def _tag(chance: random.Random) -> str:
    name = chance.choice(tags.NAMES) or chance.choice(("x-y", "x" * 300, "o:p", "P", "TaBlE"))
    if chance.randrange(5) < 2:
        return f"</{name}>"
    said = ""
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 5))):
        value, quote = chance.choice(VALUES), chance.choice(("", '"', '"', "'"))
        said += f" {chance.choice(ATTRIBUTES)}{chance.choice(('=', '=', ' = ', ''))}{quote}{value}{quote}"
    return f"<{name}{said}{chance.choice(('>', '>', '>', '/>', ' ', ''))}"


def _tokens(chance: random.Random, count: int) -> bytes:
    parts = (_tag(chance) if chance.randrange(3) else chance.choice(WORDS) for _ in range(count))
    return "".join(parts).encode("utf-8", "surrogatepass")


def _soup(known: Sequence[bytes], chance: random.Random) -> bytes:
    return _tokens(chance, 1 + _size(chance) // 30)


def _repeated(known: Sequence[bytes], chance: random.Random) -> bytes:
    """Few tags many times, in others: deep nesting, long lists, tables in tables, lines in quotations."""
    page = b"".join(chance.choice(AROUND) * chance.choice((1, 1, 3, 16, 600)) for _ in range(chance.randrange(3)))
    for _ in range(chance.randrange(1, 4)):
        unit = chance.choice((b"\n", b"x\n\n", b"`"))
        if chance.randrange(4):
            unit = _tokens(chance, chance.randrange(1, 5)) or b"<"
        page += unit * (1 + 4 * _size(chance) // len(unit))
    return page


def _bytes(known: Sequence[bytes], chance: random.Random) -> bytes:
    size = _size(chance)
    if chance.randrange(2):
        return chance.randbytes(size)
    letters = chance.choice((b"<>/= '\"!-[]&#;xpa\n", b"<a>&/ \x00", b"\xe2\x80\x8b<p>", b"<tdr/>x "))
    return bytes(chance.choices(letters, k=size))


_MAKERS: tuple[tuple[Callable[[Sequence[bytes], random.Random], bytes], int, bool], ...] = (
    (_piece, 50, True), (_cut, 10, False), (_several, 10, True), (_soup, 12, False),
    (_repeated, 5, False), (_bytes, 8, False), (lambda known, chance: chance.choice(CASES), 5, True),
)  # fmt: skip


def page_of(seed: int, number: int, known: Sequence[bytes]) -> bytes:
    """Return the page of a number; the same for the same seed and the same known pages."""
    chance = random.Random(seed << 40 | number)
    make, _, mutates = chance.choices(_MAKERS, [weight for _, weight, _ in _MAKERS])[0]
    page = make(known, chance)
    return mutated(page, chance) if mutates else page


def known_pages(data: Path | None) -> list[bytes]:
    """Return the hand-written cases, and real pages if the folder of the test data is given."""
    found = list(CASES)
    if data is not None:
        found += [page.html[:LONGEST] for source in (gold.wcxb, gold.trafilatura_dev) for page in source(data)]
    return found
