"""A program that sends mutated pages through scanner and rendering: `mutated_pages.py SEED COUNT [PAGES.jsonl.zst]`.

It is a program because numba decides at its start whether compiled code checks the bounds of arrays.
"""

import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import yaml
import zstandard

from pipeline.extract.blocks import MARKS
from pipeline.extract.page import blocks_of, whole_text
from pipeline.extract.render import render

CASES = [
    case["html"].encode("utf-8", "surrogateescape")
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text("utf-8"))
]
PIECES = [bytes([byte]) for byte in range(256)] + [
    piece.replace(b"~", b" ")
    for piece in (
        b"<p> </p> <div> </div> <div <a <a> </a> <!-- --> --!> <![CDATA[ ]]> <script> </script> <script><!-- <table> "
        b"<tr> <td> <td~colspan=9 </table> <svg> </svg> <li> <ul> <ol~reversed> </ul> <pre> <q> </q> <code> </code> "
        b"<br> <hr> <plaintext> <xmp> <ruby> <rt> <math> <annotation~encoding=tex> <template> <select> <frameset> "
        b"<head> <body> <form> <dd> <h1> </h2> hidden &# &am &#x110000; &lt =' \" > /> <b><i></b> \xe2\x80 "
        b"\xe3\x80\x80 \xef\xbb\xbf"
    ).split()
]


def mutated(page: bytes, chance: random.Random) -> bytes:
    """Return a page of which slices were taken out, doubled, moved, or had pieces of markup put between them."""
    for _ in range(chance.choice((1, 2, 4, 16, 64))):
        first = chance.randrange(len(page) + 1)
        last = min(len(page), first + int(chance.expovariate(1 / chance.choice((1, 10, 100, 1000)))))
        kind = chance.randrange(5)
        if kind == 0:
            page = page[:first] + page[last:]
        elif kind == 1:
            page = page[:last] + page[first:]
        elif kind == 2:
            place = chance.randrange(len(page) + 1)
            page = page[:place] + page[first:last] + page[place:]
        elif kind == 3:
            page = page[:first] + chance.choice(PIECES) * chance.choice((1, 1, 1, 2, 700)) + page[first:]
        else:
            page = page[:first]
            page += chance.choice(PIECES) if page else b""
    return page


def pages(source: Path | None) -> list[bytes]:
    """Return what is mutated: the hand-written cases, and some real pages, of which long ones are cut."""
    found = list(CASES)
    if source is not None:
        stream = zstandard.ZstdDecompressor().stream_reader(source.open("rb"))
        for number, line in enumerate(io.TextIOWrapper(stream, encoding="utf-8")):
            if number % 8 == 0:
                found.append(json.loads(line)["html"].encode("utf-8", "replace")[:200_000])
    return found


def results(seed: int, count: int, source: Path | None) -> Iterator[tuple[bytes, str]]:
    chance = random.Random(seed)
    known = pages(source)
    for _ in range(count):
        page = mutated(chance.choice(known), chance)
        yield page, check(page, chance)


def check(page: bytes, chance: random.Random) -> str:
    """Assert what holds for every page, and return its text."""
    found = blocks_of(page)
    data = found.text.tobytes()
    for first, last in found.blocks[:, :2].tolist():
        assert data[first:last].translate(None, bytes(MARKS)).decode().strip()
    some = np.array([chance.random() < 0.5 for _ in found.blocks], np.bool_)
    for markdown in (False, True):
        render(found, some, markdown, True).tobytes().decode()
        whole_text(page, "markdown" if markdown else "text")
    return whole_text(page)


if __name__ == "__main__":
    source = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    size = sum(len(page) for page, _ in results(int(sys.argv[1]), int(sys.argv[2]), source))
    print(f"{sys.argv[2]} pages of {size:,} bytes, bounds {'checked' if numba.config.BOUNDSCHECK else 'not checked'}")
