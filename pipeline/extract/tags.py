"""What every HTML element is to the scanner, by the name of its tag; and the named characters of HTML.

The groups are those of the HTML standard (WHATWG, section 13.2, parsing, and section 15, rendering): which elements
begin a line, which end an open paragraph, whose content is no text. Numbers of tags are those of `NAMES`.
"""

from functools import cache
from html.entities import html5

import numpy as np
from numpy.typing import NDArray

from filters.hashing import I64, Hashes

(
    BLOCK,
    CLOSES_P,
    RAW,
    VOID,
    SKIPPED,
    HEADING,
    BARRIER,
    IN_HEAD,
    MARGIN,
    LIST,
    TABLE_PART,
    IN_TABLE,
    FORMATTING,
    BREAKS_OUT,
    INTEGRATION,
    PREFORMATTED,
    RUBY_PART,
    BOX,
) = (1 << bit for bit in range(18))
"""Begins a line; ends an open paragraph; its content is not parsed; it has no content; its content is not shown; is a
heading; no end tag reaches through it from inside; may stand in `head`; has an empty line before and after it; is a
list; means nothing outside of a table; has only parts of a table in it; ends alone if it was misnested; ends a drawing
or formula; has HTML in it inside of one; keeps white space; is a part of ruby; parts words, as a box in the line."""

_GROUPS = {
    BLOCK: "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p "
    "plaintext pre search section summary table tbody td tfoot th thead tr ul xmp",
    CLOSES_P: "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr listing main menu nav ol p plaintext pre search section summary table ul "
    "xmp li dd dt",
    RAW: "iframe noembed noframes noscript script style textarea title xmp plaintext",
    VOID: "area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr",
    SKIPPED: "audio button canvas datalist head iframe noembed noframes noscript object script select style svg "
    "template textarea title video meter progress",
    HEADING: "h1 h2 h3 h4 h5 h6",
    BARRIER: "applet caption html marquee object table td template th foreignobject desc title mi mo mn ms mtext",
    IN_HEAD: "base basefont bgsound link meta noframes noscript script style template title",
    MARGIN: "p h1 h2 h3 h4 h5 h6 ul ol menu dir dl blockquote figure pre listing xmp plaintext hr table",
    LIST: "ul ol menu dir",
    TABLE_PART: "caption col colgroup tbody td tfoot th thead tr",
    IN_TABLE: "table tbody tfoot thead tr",
    FORMATTING: "a b big code em font i nobr s small strike strong tt u",
    BREAKS_OUT: "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing "
    "menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var",
    INTEGRATION: "foreignobject desc title mi mo mn ms mtext",
    PREFORMATTED: "pre listing xmp plaintext",
    RUBY_PART: "rb rp rt rtc",
    BOX: "button canvas embed iframe image img input label meter object progress select svg textarea video",
}
_OTHERS = "abbr annotation annotation-xml math bdi bdo cite del dfn frameset ins kbd mark q samp time"

NAMES: tuple[str, ...] = ("", *sorted({name for names in (*_GROUPS.values(), _OTHERS) for name in names.split()}))
"""Every element that is known; the first is any other."""
NUMBER: dict[str, int] = {name: I64(number) for number, name in enumerate(NAMES)}
"""Of type int64, since numba compiles a function again for every Python integer that it is called with by name."""

ATTRIBUTES = (
    "",
    *("class", "id", "role", "itemprop", "hidden", "style", "aria-hidden", "open", "start", "reversed", "value"),
    *("alttext", "encoding", "colspan", "rowspan", "type"),
)
"""Those that are read."""

SEED, FACTOR = 0xCBF29CE484222325, 0x100000001B3


def _name_hash(name: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = SEED
    for byte in name:
        value = ((value ^ byte) * FACTOR) & (2**64 - 1)
    return value


def _size(names: int) -> int:
    """Return the places of a table, of which three quarters are free at least."""
    return 1 << (4 * names).bit_length()


def _table(names: dict[bytes, int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return an open-addressing table: hashes of names, 0 where free, and in the same places what they stand for."""
    size = _size(len(names))
    keys, values = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    for name, value in sorted(names.items()):
        key = _name_hash(name)
        at = (key ^ key >> 32) & (size - 1)
        while keys[at]:
            at = (at + 1) & (size - 1)
        keys[at], values[at] = key, value
    return keys, values


def _numbers(names: tuple[str, ...]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    keys, values = _table({name.encode(): number for number, name in enumerate(names) if name})
    return keys, values.astype(np.int64)


def _flags() -> NDArray[np.int64]:
    flags = np.zeros(len(NAMES), np.int64)
    for flag, group in _GROUPS.items():
        flags[[NUMBER[name] for name in group.split()]] |= flag
    return flags


# Compiled code has these small ones in it.
TAG_KEYS, TAG_NUMBERS = _numbers(NAMES)
ATTRIBUTE_KEYS, ATTRIBUTE_NUMBERS = _numbers(ATTRIBUTES)
GROUPS_OF = _flags()
"""The groups of each tag, by its number."""


CHARACTERS = _size(len(html5))


@cache
def characters() -> Hashes:
    """Return the characters that references mean, as one array; made once per process, in some milliseconds.

    First an open-addressing table of `CHARACTERS` hashes of names, with the semicolon if they have it; then what is in
    each of its places, up to eight bytes of UTF-8, the first in the lowest bits; then what `&#128;` to `&#159;` mean:
    characters of windows-1252, or control characters where it has none.
    """
    names, texts = _table({name.encode(): int.from_bytes(text.encode(), "little") for name, text in html5.items()})
    latin = [ord(bytes([code]).decode("cp1252", "replace")) for code in range(0x80, 0xA0)]
    latin = [0x80 + place if code == 0xFFFD else code for place, code in enumerate(latin)]
    return np.concatenate([names, texts, np.array(latin, np.uint64)])
