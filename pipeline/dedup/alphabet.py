"""What each Unicode character is to deduplication: part of a word, a word of its own, a digit, or a separator.

The rules are FineWeb's (Penedo et al. 2024, arXiv:2406.17557; `simplify_text` of datatrove): lower case, a number
becomes `0`, punctuation becomes a space, accents are stripped (canonical decomposition without nonspacing marks).
They are tabulated for every code point, so that text is normalised while its words are being read, without
intermediate strings. Three rules are wider than FineWeb's, which all make near-duplicates easier to find:

- whatever is no letter, number or mark separates, not only a list of punctuation; invisible format characters vanish;
- a final sigma is a sigma, because a table sees one character at a time;
- in scripts that are written without spaces every character is a word. FineWeb reaches much the same through spaCy,
  which splits Chinese into characters.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.tables import kept

SEPARATOR, POINT, DIGIT, WORD, ALONE = range(5)
"""Kinds of characters. POINT separates too, except between the digits of one number."""

SLOW = 0xFF

ASSIGNED = 0x40000
"""The tables end here. Above it there are no letters, only tags, variation selectors and private use: separators."""

_ALONE = r"^[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]$"
_POINTS = ".,\u060c\u066b\u2396\u2397\u2398"


class Alphabet(NamedTuple):
    """For code point c: `kind[c]`, and what it becomes in a word, `folded[starts[c]:starts[c + 1]]` as UTF-8."""

    kind: NDArray[np.uint8]
    starts: NDArray[np.int64]
    folded: NDArray[np.uint8]
    quick: NDArray[np.uint8]
    """For a byte: the letter, or a space, that an ASCII letter or separator becomes; SLOW where it takes more."""
    growth: int
    """No text becomes longer than this many times its bytes, the spaces between words included."""


@kept
def alphabet() -> Alphabet:
    """The tables. A surrogate half never occurs in UTF-8."""
    points = [chr(c) if not 0xD800 <= c < 0xE000 else "" for c in range(ASSIGNED)]
    frame = pl.select(char=pl.lit(pl.Series(points, dtype=pl.String)))
    char = pl.col("char")
    folded = char.str.to_lowercase().str.normalize("NFD").str.replace_all(r"[\p{Mn}\p{Cf}]", "").str.replace("ς", "σ")
    kind = (
        pl.when(char.str.contains(r"^\p{Nd}$"))
        .then(DIGIT)
        .when(char.is_in(list(_POINTS)))
        .then(POINT)
        .when(~char.str.contains(r"^[\p{L}\p{N}\p{M}\p{Cf}]$"))
        .then(SEPARATOR)
        .when(char.str.contains(_ALONE))
        .then(ALONE)
        .otherwise(WORD)
    )
    table = frame.select(kind=kind.cast(pl.UInt8), folded=folded, width=char.str.len_bytes())
    ratio = pl.col("folded").str.len_bytes() + 2 * (pl.col("kind") == ALONE)
    growth = table.filter(pl.col("width") > 0).select((ratio / pl.col("width")).max().ceil()).item()
    kinds = table["kind"].to_numpy()
    _, offsets, data = table["folded"].rechunk().to_arrow().buffers()
    starts, letters = np.frombuffer(offsets, np.int64)[: ASSIGNED + 1], np.frombuffer(data, np.uint8)
    plain = kinds[:128]
    quick = np.full(256, SLOW, np.uint8)
    quick[:128][(plain == SEPARATOR) | (plain == POINT)] = ord(" ")
    quick[:128][plain == WORD] = letters[starts[:128][plain == WORD]]
    return Alphabet(kinds, starts, letters, quick, int(growth))
