"""A program that sends hostile pages through everything compiled, and asserts what holds for every page there is.

It is a program because numba decides at its start whether compiled code checks the bounds of arrays. What reads eight
bytes at once is not checked by it, so every page is scanned once more where the memory ends behind it. Rendering is
given no byte more than it asks for. A page that fails is written into a folder, and goes through again with `--replay`;
of a process that dies, the page is in the file of its state.

`tests/benchmarks/hostile_pages.py` runs it for a million pages.
"""

import argparse
import ctypes
import itertools
import mmap
import random
import re
import signal
import struct
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from mutated_pages import CASES, URLS, known_pages, page_of
from numpy.typing import NDArray

from pipeline.extract import blocks, features, keywords, lines, render, tags
from pipeline.extract import metadata_kernels as kernels
from pipeline.extract.blocks import Blocks
from pipeline.extract.content import BETA, PRESETS, content
from pipeline.extract.metadata import LONGEST_NAME, LONGEST_URL, Metadata, metadata, table
from pipeline.extract.page import blocks_of
from pipeline.extract.page_type import TYPES
from pipeline.extract.scanner import scan

CPU_SECONDS = 20
"""After which a page counts as one that never ends. The longest take half of one."""
MOST_BYTES = 36, 2000
"""Of text that a byte of a page may become, and bytes of text for any page. Line ends of preformatted text become most:
in sixteen quotations, Markdown has two bytes for each before every line."""
MOST_KEPT = 16 << 20
"""Bytes of the file of the state; few pages are longer."""

LONGEST_VALUE = 8 * LONGEST_URL + 7
"""Characters: addresses of licences, of which there are eight at most, with spaces between them."""
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Array = NDArray[Any]


class Guarded:
    """Memory behind whose end nothing may be read: whoever does dies of it."""

    def __init__(self, size: int) -> None:
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        everything = np.frombuffer(mmap.mmap(-1, size + mmap.PAGESIZE), np.uint8)
        end = ctypes.c_void_p(everything.ctypes.data + size)
        if ctypes.CDLL(None, use_errno=True).mprotect(end, ctypes.c_size_t(mmap.PAGESIZE), 0):
            raise OSError(ctypes.get_errno(), "memory could not be guarded")
        self.bytes = everything[:size]

    def copy(self, page: bytes) -> Array:
        """Return the bytes of a page, which end where the memory does."""
        place = self.bytes[len(self.bytes) - len(page) :]
        place[:] = np.frombuffer(page, np.uint8)
        place.flags.writeable = False  # or numba compiles everything for a second kind of array
        return place


@cache
def _guarded(size: int) -> Guarded:
    return Guarded(size)


def guarded(page: bytes) -> Array:
    return _guarded(1 << max(len(page), 1 << 20).bit_length()).copy(page)


def _parts(found: Blocks) -> list[Array | int]:
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


def _choices(count: int, chance: random.Random) -> list[Array]:
    """Nothing, everything and a random choice of as many blocks."""
    coin = np.frombuffer(chance.randbytes(count), np.uint8)
    return [np.zeros(count, np.bool_), np.ones(count, np.bool_), coin < chance.choice((16, 128, 240))]


def _texts(found: Blocks, choices: Sequence[Array], emphasis: bool) -> list[bytes]:
    every = itertools.product(choices, (False, True))
    return [render.render(found, some, markdown, emphasis).tobytes() for some, markdown in every]


def _tight(found: Blocks, chosen: Array, markdown: bool, emphasis: bool) -> bytes:
    """Render with no byte more than the blocks to come ask for, so that one written too much is out of bounds."""
    boxes = np.zeros((len(found.nodes), lines.BOX_COLUMNS), np.int32)
    lines.contain(found, chosen, markdown, boxes)
    memory, out = np.zeros(lines.MEMORY, np.int64), np.empty(0, np.uint8)
    memory[lines.LAST] = -1
    while room := render._run(found, chosen, markdown, emphasis, boxes, out, memory):
        out = np.concatenate([out[: memory[lines.USED]], np.empty(room, np.uint8)])
    return out[: memory[lines.USED]].tobytes()


def check_metadata(said: Metadata) -> None:
    values = [value for value in said[:-1] if value is not None]
    assert all(value.encode() and len(value) <= LONGEST_VALUE for value in values), "a value"
    names = (said.title, said.author, said.site)
    assert all(len(name) <= LONGEST_NAME and not CONTROLS.search(name) for name in names if name), "a name"
    assert said.page_type is None or said.page_type in TYPES, "a type"
    assert said.date is None or re.fullmatch(r"(19|20)\d\d-\d\d-\d\d", said.date), "a date"


def check(page: bytes, chance: random.Random) -> None:
    """Assert what holds for every page."""
    found = blocks_of(page)
    utf8 = page.decode("utf-8", "replace").encode()
    named, words = tags.characters(), keywords.automaton()
    scans = [scan(guarded(utf8), named, words, scripting, 1 << 40) for scripting in (True, False)]
    assert any(_same(found, other) for other in scans), "two scans differ"
    for other in scans:
        check_blocks(other)
    if chance.randrange(32) == 0:  # other ways into the same
        check_blocks(blocks_of(page, None))
        check_blocks(blocks_of(page.decode("utf-8", "surrogateescape")))

    rows = features.matrix(found)
    assert rows.shape == (len(found.blocks), len(features.NAMES)) and np.isfinite(rows).all(), "features"
    preset, favor = chance.choice(list(PRESETS)), chance.choice(list(BETA))
    main = content(page, preset=preset, favor=favor)
    assert 0 <= main.confidence <= 1 and (main.confidence > 0 or not main.text), "a choice"

    choices, emphasis = _choices(len(rows), chance), chance.randrange(2) == 0
    texts = _texts(found, choices, emphasis)
    assert texts[0] == texts[1] == b"", "text of nothing"
    assert not len(rows) or texts[2].strip(), "no text of all"
    for text in (*texts, main.text.encode()):
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
        assert main == content(page.decode("utf-8", "replace"), preset=preset, favor=favor), "choices differ"
        content(page, preset=preset, favor=favor, format="markdown", emphasis=emphasis, encoding=None)
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
    parser.add_argument("--state", type=Path, help="file for what was done so far, and the page in work")
    parser.add_argument("--replay", type=Path, nargs="+", help="send these pages instead")
    return parser.parse_args()


STATE = struct.Struct("<4q")
"""Number of the page in work, its bytes, and pages and bytes done; the page follows."""


def send(options: argparse.Namespace, state: mmap.mmap) -> tuple[int, int, int]:
    """Check the pages of some numbers; return how many there were, their bytes, and how many failed."""
    known = known_pages(options.data)
    pages = size = failed = 0
    for number in range(options.first, options.last, options.step):
        page = page_of(options.seed, number, known)
        kept = page[: len(state) - STATE.size]
        state[: STATE.size + len(kept)] = STATE.pack(number, len(kept), pages, size) + kept
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)  # whose signal ends the process, even in compiled code
        try:
            check(page, random.Random(number))
        except Exception:  # whatever a page leads to is what is looked for: saved, counted, and the run goes on
            failed += 1
            said = traceback.format_exc()
            sys.stderr.write(f"page {number} of seed {options.seed}: {said}\n")
            if options.failures:
                file = options.failures / f"{options.seed}-{number}.html"
                file.write_bytes(page)
                file.with_suffix(".txt").write_text(said, encoding="utf-8")
        pages += 1
        size += len(page)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return pages, size, failed


def main() -> int:
    options = arguments()
    checked = "checked" if numba.config.BOUNDSCHECK else "not checked"
    for seed in range(200):  # compiles all there is, whose time is no page's
        check(CASES[0], random.Random(seed))
    if options.replay:
        for page, seed in itertools.product(options.replay, range(64)):
            check(page.read_bytes(), random.Random(seed))
        print(f"{len(options.replay)} pages again, bounds {checked}")
        return 0
    state = mmap.mmap(-1, MOST_KEPT)
    if options.state:
        options.state.touch()
        with options.state.open("rb+") as file:
            file.truncate(MOST_KEPT)
            state = mmap.mmap(file.fileno(), MOST_KEPT)
    pages, size, failed = send(options, state)
    state[: STATE.size] = STATE.pack(options.last, 0, pages, size)
    print(f"{pages} pages of {size:,} bytes, bounds {checked}, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
