"""A program that sends hostile pages through everything compiled, and asserts what holds for every page there is.

It is a program because numba decides at its start whether compiled code checks the bounds of arrays. What reads eight
bytes at once is not checked by it, so every page is scanned once more where the memory ends behind it. A page depends
on the seed and its number alone. It is written into a folder if it fails, and goes through again with `--replay`; that
of a process that died is known by its number, which stands in a file.

`tests/benchmarks/hostile_pages.py` sends a million.
"""

import argparse
import ctypes
import itertools
import math
import mmap
import os
import random
import re
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import numba
import numpy as np
import yaml

from pipeline.extract import blocks, features, keywords, lines, render, tags, trees
from pipeline.extract import metadata_kernels as kernels
from pipeline.extract.blocks import Blocks
from pipeline.extract.choice import choose
from pipeline.extract.content import BETA, PRESETS, content
from pipeline.extract.learn import gold
from pipeline.extract.metadata import LONGEST_NAME, LONGEST_URL, Metadata, metadata, table
from pipeline.extract.page import blocks_of
from pipeline.extract.page_type import TYPES
from pipeline.extract.scanner import scan

CASES = [
    case["html"].encode("utf-8", "surrogateescape")
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text("utf-8"))
]
LONGEST = 200_000
"""Bytes of a real page that are taken."""
MEDIAN, SPREAD = 1500, 1.5
"""Bytes of slices: a lognormal distribution, with 5 kB as its mean and a long tail."""
CPU_SECONDS = 20
"""After which a page counts as one that never ends. The longest take half of one."""
MOST_BYTES = 36, 2000
"""Of text that a byte of a page may become, and bytes of text for any page. Line ends of preformatted text become most:
in sixteen quotations, Markdown has two bytes for each before every line."""

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
    *"https://schema.org/Article http://[ //x/y javascript:x og:title article:published_time headline datePublished".split(),
    *("&amp;&#1;&notit;&#xD800;", "x" * 70, "<b>", "é中\U0001f600", " ", ""),
]
WORDS = [
    *"a word Title, by: 1. 中文。 ไทย عربي، é \U0001f600 e\u0301 \u200b \u3000 \xa0 \xad | `` \\ * # - > [x](y) 😀".split(" "),
    *"&amp; &lt &nGt; &#x1F600; &#0; &#128; &#xFFFFFFFFF; &nbsp; &#10; &NewLine; &CounterClockwiseContourIntegral; &".split(),
    *"\n \r \t \f \x00 \x0b \x7f \x85 \u2028 \ufeff".split(" "),
    "A sentence that is long enough to be one of a paragraph, with commas, and a full stop at its end. ",
    *(f"<script type=application/ld+json>{said}</script>" for said in (
        '{"@type": ["Article"], "headline": "x\\ud83d", "author": {"@id": "#a"}, "datePublished": "2020-01-01"}',
        '{"@graph": [{"@id": "#a", "@type": "Person", "name": ["A", {"@value": "B"}]}, 1, null, "\\udc00"]}',
        '{"@type": "NewsArticle", "license": {"url": "//x\\ud800"}, "publisher": {"name": 1e999}, "author": {}}',
        "[" * 5000,
    )),
    *("<script type=application/ld+json>", "</script>", '<meta property=og:title content="', "<h1>", "<title>"),
    *("<link rel=canonical href=", "<a rel='license author' href=/x/", "<time datetime=2020-02-", "<html lang=en_us_x>"),
    *("<b itemprop=author>", "<span itemprop='name'>", "<div itemscope itemtype=https://schema.org/Product>"),
]  # fmt: skip
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


def _spliced(known: Sequence[bytes], chance: random.Random) -> bytes:
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
    """Few tags many times: deep nesting, long lists, tables in tables."""
    page = b""
    for _ in range(chance.randrange(1, 4)):
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
    (_piece, 50, True), (_cut, 10, False), (_spliced, 10, True), (_soup, 12, False),
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


class Guarded:
    """Memory behind whose end nothing may be read: whoever does dies of it."""

    def __init__(self, size: int) -> None:
        self._size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._size + mmap.PAGESIZE)
        everything = np.frombuffer(self._map, np.uint8)
        end = ctypes.c_void_p(everything.ctypes.data + self._size)
        if ctypes.CDLL(None, use_errno=True).mprotect(end, ctypes.c_size_t(mmap.PAGESIZE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self._bytes = everything[: self._size]

    def copy(self, page: bytes) -> np.ndarray:
        place = self._bytes[self._size - len(page) :]
        place[:] = np.frombuffer(page, np.uint8)
        return place


_GUARDED: list[Guarded] = []


def guarded(page: bytes) -> np.ndarray:
    """Return the bytes of a page that end where memory does."""
    if not _GUARDED or _GUARDED[0]._size < len(page):
        _GUARDED[:] = [Guarded(max(1 << 20, 2 * len(page)))]
    return _GUARDED[0].copy(page)


def _parts(found: Blocks) -> list[np.ndarray | int]:
    return [
        found.text,
        found.blocks[:, : blocks.BLOCK_COLUMNS],
        found.inline,
        found.nodes[:, : blocks.NODE_COLUMNS],
        found.masks,
        found.tables[:, : blocks.TABLE_COLUMNS],
        found.noscript,
    ]


def _same(one: Blocks, other: Blocks) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(_parts(one), _parts(other), strict=True))


def check_blocks(found: Blocks) -> None:
    """Assert that blocks are of whole characters, apart from each other, and stand in elements that exist."""
    text, rows, nodes = found.text, found.blocks, found.nodes
    text.tobytes().decode()
    bounds = rows[:, [blocks.START, blocks.END]]
    bounds = bounds[np.argsort(bounds[:, 0])]
    assert (bounds[:, 0] < bounds[:, 1]).all(), "an empty block"
    assert (bounds[1:, 0] >= bounds[:-1, 1]).all(), "blocks overlap"
    assert not len(rows) or (bounds[0, 0] >= 0 and bounds[-1, 1] <= len(text)), "a block outside of the text"
    edges = bounds[bounds < len(text)]
    assert (text[edges] & 0xC0 != 0x80).all(), "a block begins or ends within a character"
    marks = np.concatenate([[0], np.cumsum(text > 0x20)])
    assert (marks[bounds[:, 1]] > marks[bounds[:, 0]]).all(), "a block without text"
    for column, most in ((blocks.NODE, len(nodes)), (blocks.PRE, len(nodes)), (blocks.TABLE, len(found.tables))):
        assert ((rows[:, column] >= 0) & (rows[:, column] < most)).all(), "a block in nothing"
    assert ((rows[:, blocks.LINKED] >= 0) & (rows[:, blocks.LINKED] <= rows[:, 1] - rows[:, 0])).all(), "links"
    assert ((rows[:, blocks.HEAD] >= 0) & (rows[:, blocks.HEAD] <= 6)).all(), "levels of headings"
    assert (rows[:, [blocks.LIST, blocks.QUOTES, blocks.ROW, blocks.CELL]] >= 0).all(), "depths"
    parents = nodes[:, blocks.PARENT]
    assert parents[0] == -1 and (parents[1:] >= 0).all(), "an element without a parent"
    assert (parents[1:] < np.arange(1, len(nodes))).all(), "a parent behind its child"
    assert len(found.masks) == len(nodes) and len(found.inline) == len(rows)


def _choices(count: int, chance: random.Random) -> list[np.ndarray]:
    """Nothing, everything and a random choice of as many blocks."""
    coin = np.frombuffer(chance.randbytes(count), np.uint8)
    return [np.zeros(count, np.bool_), np.ones(count, np.bool_), coin < chance.choice((16, 128, 240))]


def _texts(found: Blocks, choices: Sequence[np.ndarray], emphasis: bool) -> list[bytes]:
    every = itertools.product(choices, (False, True))
    return [render.render(found, some, markdown, emphasis).tobytes() for some, markdown in every]


def _tight(found: Blocks, chosen: np.ndarray, markdown: bool, emphasis: bool) -> bytes:
    """Render with no byte more than the blocks to come ask for, so that one written too much is out of bounds."""
    boxes = np.zeros((len(found.nodes), lines.BOX_COLUMNS), np.int32)
    lines.contain(found, chosen, markdown, boxes)
    memory, out = np.zeros(lines.MEMORY, np.int64), np.empty(0, np.uint8)
    memory[lines.LAST] = -1
    while room := render._run(found, chosen, markdown, emphasis, boxes, out, memory):
        out = np.concatenate([out[: memory[lines.USED]], np.empty(room, np.uint8)])
    return out[: memory[lines.USED]].tobytes()


def check_metadata(said: Metadata) -> None:
    for value in said[:-1]:
        assert value is None or (value and value.encode() and len(value) <= 8 * LONGEST_URL + 8), "a value"
    names = (said.title, said.author, said.site)
    assert all(name is None or (len(name) <= LONGEST_NAME and name.isprintable) for name in names), "a long name"
    assert said.page_type is None or said.page_type in TYPES, "a type"
    assert said.date is None or re.fullmatch(r"(19|20)\d\d-\d\d-\d\d", said.date), "a date"


def check(page: bytes, chance: random.Random) -> None:
    """Assert what holds for every page."""
    found = blocks_of(page)
    utf8 = page.decode("utf-8", "replace").encode()
    named, words = tags.characters(), keywords.automaton()
    scans = [scan(guarded(utf8), named, words, scripting) for scripting in (True, False)]
    assert any(_same(found, other) for other in scans), "two scans differ"
    for other in scans:
        check_blocks(other)
    if chance.randrange(32) == 0:  # other ways into the same
        check_blocks(blocks_of(page, None))
        check_blocks(blocks_of(page.decode("utf-8", "surrogateescape")))

    rows = features.matrix(found)
    assert rows.shape == (len(found.blocks), len(features.NAMES)) and np.isfinite(rows).all(), "features"
    preset, favor = chance.choice(list(PRESETS)), chance.choice(list(BETA))
    chosen, confidence = choose(found, trees.model().trees, PRESETS[preset], BETA[favor])
    assert 0 <= confidence <= 1 and chosen.shape == (len(rows),), "a choice"

    choices, emphasis = [*_choices(len(rows), chance), chosen], chance.randrange(2) == 0
    texts = _texts(found, choices, emphasis)
    assert texts[0] == texts[1] == b"", "text of nothing"
    assert not len(rows) or texts[2].strip(), "no text of all"
    for text in texts:
        text.decode()
        assert len(text) <= MOST_BYTES[0] * len(utf8) + MOST_BYTES[1], "a text much longer than its page"
    if len(rows) < 1000:
        assert texts[5] == _tight(found, choices[2], True, emphasis), "texts differ"

    url = chance.choice(URLS)
    room = np.empty((int(kernels.ROOM.sum()), kernels.COLUMNS), np.int64)
    kernels.find(guarded(page), kernels.ROOM, np.empty(kernels.SCRATCH, np.int64), room)
    said = metadata(page, url, "full" if chance.randrange(256) == 0 else "said")
    check_metadata(said)
    if chance.randrange(32) == 0:  # the same again
        assert np.array_equal(rows, features.matrix(found)), "features differ"
        assert texts == _texts(found, choices, emphasis), "texts differ"
        expected = texts[7].decode(), confidence
        found = content(page, preset=preset, favor=favor, format="markdown", emphasis=emphasis)
        assert found == expected, "texts differ"
        values = table([page, None, page], [url] * 3)
        assert values.rows()[0] == values.rows()[2] == tuple(metadata(page, url)) and not any(values.rows()[1])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="hostile pages through everything that is compiled")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first page")
    parser.add_argument("--step", type=int, default=1, help="from one page to the next")
    parser.add_argument("--last", type=int, default=1000, help="number after the last page")
    parser.add_argument("--data", type=Path, help="folder of the real test data")
    parser.add_argument("--failures", type=Path, help="folder into which pages that fail are written")
    parser.add_argument("--state", type=Path, help="file for number, pages and bytes done so far")
    parser.add_argument("--replay", type=Path, nargs="+", help="send these pages instead")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    checked = "checked" if numba.config.BOUNDSCHECK else "not checked"
    if options.replay:
        for path in options.replay:
            for seed in range(64):
                check(path.read_bytes(), random.Random(seed))
        print(f"{len(options.replay)} pages, bounds {checked}")
        return 0
    known = known_pages(options.data)
    state = mmap.mmap(-1, 24)
    if options.state:
        with options.state.open("wb+") as file:
            file.truncate(24)
            state = mmap.mmap(file.fileno(), 24)
    pages = size = failed = 0
    check(CASES[0], random.Random(0))  # compiles
    for number in range(options.first, options.last, options.step):
        state[:] = struct.pack("<3q", number, pages, size)
        page = page_of(options.seed, number, known)
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        try:
            check(page, random.Random(number))
        except Exception:
            failed += 1
            sys.stderr.write(f"page {number} of seed {options.seed}: {traceback.format_exc()}\n")
            if options.failures:
                options.failures.joinpath(f"{options.seed}-{number}.html").write_bytes(page)
        pages += 1
        size += len(page)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    state[:] = struct.pack("<3q", options.last, pages, size)
    print(f"{pages} pages of {size:,} bytes, bounds {checked}, {failed} failed")
    return os.EX_OK if not failed else 1


if __name__ == "__main__":
    sys.exit(main())
