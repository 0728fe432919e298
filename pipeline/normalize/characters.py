"""What normalisation does with each character, in one table for compiled loops: remove, replace, compose, look closer.

The table is made of Python's Unicode data, and only says which texts need a change: composition itself is polars'. What
Python's version of Unicode does not know is therefore left for polars to decide.
"""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from filters.tables import kept

BLANK = 1
"""White space that ends no line."""
LINE_END = 2
"""Ends a line, and is not the line feed."""
INVISIBLE = 4
"""Removed wherever it stands."""
WORD_BREAK = 8
"""U+200B: removed, except from texts in which it says where a word ends."""
UNSPACED = 16
"""A letter or mark of a script in which words have no spaces between them, and U+200B does."""
UNSETTLED = 32
"""May change under normalization form C whatever stands before it."""
TELLTALE = 64
"""May begin what looks like a wrong encoding; `mojibake.pairs` says what must follow."""
LIGATURE = 128
"""One of U+FB00 to U+FB06, which fonts have for `ff`, `fi`, `fl`, `ffi`, `ffl` and `st`."""
SECOND = 256
"""Is composed with some characters that may stand before it; `compositions` has the pairs."""
CLASS_SHIFT, LAST_SHIFT = 16, 24
"""Above the flags stand the canonical combining class, and that of the last character of the decomposition: é followed
by a mark below is as little in order as e followed by the two marks the wrong way round."""

SIZE = 0x30000
"""Code points from here on are ideographs, tags, variation selectors and private use: none of the above."""

FIRST_LIGATURE = 0xFB00
LIGATURES = tuple(unicodedata.normalize("NFKC", chr(point)) for point in range(FIRST_LIGATURE, 0xFB07))

_BLANKS = "\t \xa0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"
# Kept on purpose: the joiners U+200C and U+200D (Persian and Indic spelling, emoji) and the marks of direction U+200E
# and U+200F. Removed: controls, soft hyphen, word joiner and invisible operators, byte order mark, overrides and
# isolates of direction, interlinear annotation, and code points that are no characters.
_INVISIBLE = (
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x202A, 0x202E), (0x2060, 0x206F),
    (0xFDD0, 0xFDEF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB),
    *((point, point + 1) for point in range(0xFFFE, SIZE, 0x10000)),
)  # fmt: skip
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1B00, 0x1B7F),  # Balinese
    (0xA980, 0xA9FF),  # Javanese, Myanmar extended
    (0xAA60, 0xAA7F),  # Myanmar extended
)
_JAMO = ((0x1161, 0x1175), (0x11A8, 0x11C2))
"""Vowels and final consonants of Hangul, whose compositions are computed and in no list."""


@kept
def compositions() -> NDArray[np.int64]:
    """Return the pairs of code points that are composed into one, as `first << 32 | second`, in order."""
    found = []
    for point in range(SIZE):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<") and unicodedata.is_normalized("NFC", chr(point)):
            found.append(int(parts[0], 16) << 32 | int(parts[1], 16))
    return np.array(sorted(found), np.int64)


@cache
def table() -> NDArray[np.uint32]:
    """Return flags and combining classes of every code point below `SIZE`."""
    from pipeline.normalize.mojibake import pairs

    flags = _unicode().copy()
    flags[: len(pairs()[0])][pairs()[0] != 0] |= TELLTALE
    flags.flags.writeable = False
    return flags


@kept
def _unicode() -> NDArray[np.uint32]:
    """The same without `TELLTALE`, which follows from the version of ftfy."""
    flags = np.zeros(SIZE, np.uint32)
    for point in range(SIZE):
        char = chr(point)
        end = unicodedata.normalize("NFD", char)[-1]
        flags[point] |= unicodedata.combining(char) << CLASS_SHIFT | unicodedata.combining(end) << LAST_SHIFT
        if unicodedata.category(char) == "Cn" or not unicodedata.is_normalized("NFC", char):
            flags[point] |= UNSETTLED
    for first, last in _JAMO:
        flags[first : last + 1] |= UNSETTLED
    flags[compositions() & 0xFFFFFFFF] |= SECOND
    flags[[ord(char) for char in _BLANKS]] |= BLANK
    flags[[ord(char) for char in _LINE_ENDS]] |= LINE_END
    for first, last in _INVISIBLE:
        flags[first : last + 1] |= INVISIBLE
    flags[0x200B] |= WORD_BREAK
    for first, last in _UNSPACED:
        flags[[point for point in range(first, last + 1) if unicodedata.category(chr(point))[0] in "LM"]] |= UNSPACED
    flags[FIRST_LIGATURE : FIRST_LIGATURE + len(LIGATURES)] |= LIGATURE
    return flags
