"""What every HTML element is to the scanner, by the name of its tag; and the named characters of HTML.

The groups are those of the HTML standard (WHATWG, section 13.2, parsing, and section 15, rendering): which elements
begin a line, which end an open paragraph, whose content is no text. Numbers of tags are those of `NAMES`.
"""

from functools import cache
from html.entities import html5
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK, CLOSES_P, RAW, VOID, SKIPPED, HEADING, BARRIER, IN_HEAD = (1 << bit for bit in range(8))
"""Begins a line; ends an open paragraph; its content is not parsed; it has no content; its content is not shown; is a
heading; no end tag reaches through it from inside; may stand in `head`."""

_GROUPS = {
    BLOCK: "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup "
    "option p plaintext pre search section summary table tbody td tfoot th thead tr ul xmp",
    CLOSES_P: "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr listing main menu nav ol p plaintext pre search section summary table ul "
    "xmp li dd dt",
    RAW: "iframe noembed noframes script style textarea title xmp plaintext",
    VOID: "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr",
    SKIPPED: "audio button canvas datalist head iframe noembed noframes noscript object script select style svg "
    "template textarea title video meter progress annotation annotation-xml",
    HEADING: "h1 h2 h3 h4 h5 h6",
    BARRIER: "applet caption html marquee object table td template th",
    IN_HEAD: "base basefont bgsound link meta noframes noscript script style template title",
}
_OTHERS = (
    "a abbr math rp b bdi bdo big cite code del dfn em font i ins kbd label "
    "mark q rb rt rtc ruby s samp small span strike strong sub sup time tt u var colgroup"
)

NAMES: tuple[str, ...] = ("", *sorted({name for names in (*_GROUPS.values(), _OTHERS) for name in names.split()}))
"""Every element that is known; the first is any other."""
NUMBER = {name: number for number, name in enumerate(NAMES)}


class Tags(NamedTuple):
    """Tables for the scanner."""

    names: NDArray[np.uint64]
    """Open-addressing table of hashes of names; 0 where free."""
    numbers: NDArray[np.int64]
    """The number of the tag in each place."""
    flags: NDArray[np.int64]
    """Groups by number."""
    entities: NDArray[np.uint64]
    """The same kind of table, of the names of characters with the semicolon that they have."""
    texts: NDArray[np.uint64]
    """In each place up to eight bytes of UTF-8, the first in the lowest bits."""
    latin: NDArray[np.uint16]
    """What `&#128;` to `&#159;` mean: characters of windows-1252."""


SEED, FACTOR = 0xCBF29CE484222325, 0x100000001B3


def name_hash(name: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = SEED
    for byte in name:
        value = ((value ^ byte) * FACTOR) & (2**64 - 1)
    return value


def _table(names: dict[bytes, int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    size = 1 << (4 * len(names)).bit_length()
    keys, values = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    for name, value in sorted(names.items()):
        key = name_hash(name)
        at = (key ^ key >> 32) & (size - 1)
        while keys[at]:
            at = (at + 1) & (size - 1)
        keys[at], values[at] = key, value
    return keys, values


@cache
def tables() -> Tags:
    """Return the tables; made once per process, in some milliseconds."""
    names, numbers = _table({name.encode(): number for name, number in NUMBER.items() if name})
    flags = np.zeros(len(NAMES), np.int64)
    for flag, group in _GROUPS.items():
        flags[[NUMBER[name] for name in group.split()]] |= flag
    entities, texts = _table({name.encode(): int.from_bytes(text.encode(), "little") for name, text in html5.items()})
    latin = [ord(bytes([code]).decode("cp1252", "replace")) for code in range(0x80, 0xA0)]
    latin = [code if code == 0xFFFD else code for code in latin]
    for place, code in enumerate(latin):
        if code == 0xFFFD:  # five codes that windows-1252 leaves free stand for the control characters
            latin[place] = 0x80 + place
    return Tags(names, numbers.astype(np.int64), flags, entities, texts, np.array(latin, np.uint16))
