"""The compiled loop over the characters of a text that counts them by kind."""

import unicodedata

import numpy as np
from numba import njit

from filters.hashing import I64, Bytes, Ints, kernel
from filters.tables import kept
from filters.tokens import decode

SIZE = 0x34000
"""Code points from here on are of the kind `other`: private use, variation selectors, unassigned."""

KINDS = (
    "other",
    "capitals",
    "small_letters",
    "uncased_letters",
    "marks",
    "digits",
    "numerals",
    "punctuation",
    "symbols",
    "white_space",
)
COUNTS = (*KINDS, "non_ascii", "longest_run")
OTHER, CAPITAL, SMALL, UNCASED, MARK, DIGIT, NUMERAL, PUNCTUATION, SYMBOL, SPACE = range(10)
_NON_ASCII, _LONGEST_RUN = 10, 11

_OF_CATEGORY = {
    "Lu": CAPITAL,
    "Lt": CAPITAL,
    "Ll": SMALL,
    "Lo": UNCASED,
    "Lm": UNCASED,
    "Mn": MARK,
    "Mc": MARK,
    "Me": MARK,
    "Nd": DIGIT,
    "Nl": NUMERAL,
    "No": NUMERAL,
    **{f"P{kind}": PUNCTUATION for kind in "cdefios"},
    **{f"S{kind}": SYMBOL for kind in "ckmo"},
}


@kept
def kinds() -> Bytes:
    """Return the kind of every code point below `SIZE`, the place of its name in `KINDS`."""
    chars = [chr(point) for point in range(SIZE)]
    of = [SPACE if char.isspace() else _OF_CATEGORY.get(unicodedata.category(char), OTHER) for char in chars]
    return np.array(of, np.uint8)


@njit(cache=True, nogil=True)
def count(data: Bytes, offsets: Ints, kinds: Bytes) -> Ints:
    """Count characters by kind.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        kinds: `kinds()`.

    Returns:
        counts `[documents, 12]`, columns as in `COUNTS`; the last is the length of the longest run of one character.
    """
    out = np.zeros((len(offsets) - 1, 12), I64)
    for document in range(len(out)):
        _document(data, offsets[document], offsets[document + 1], kinds, out[document])
    return out


@kernel
def _document(data: Bytes, at: int, last: int, kinds: Bytes, out: Ints) -> None:
    before, length = -1, 0
    while at < last:
        point, width = I64(data[at]), 1
        if point < 0x80:
            out[kinds[point]] += 1
        else:
            point, width = decode(data, at)
            out[kinds[point] if point < SIZE else OTHER] += 1
            out[_NON_ASCII] += 1
        if point != before:
            out[_LONGEST_RUN] = max(out[_LONGEST_RUN], length)
            before, length = point, 0
        length += 1
        at += width
    out[_LONGEST_RUN] = max(out[_LONGEST_RUN], length)
