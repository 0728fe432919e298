"""Where words start in scripts written without spaces, by ICU's dictionaries: `pip install 'gristmill[icu]'`.

ICU is asked about runs of such letters alone, many runs in one call, because it takes a hundred times longer than the
tokeniser over text that needs no dictionary. It sees every run by itself and no more than `LONGEST` letters of it, so
the words of a document do not depend on what else is in the batch, and memory does not depend on the document.
"""

from functools import cache
from itertools import chain

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters import characters
from filters.hashing import I64, U8, Bytes, Ints
from filters.tokens import decode

LONGEST = 4096
"""Letters without anything between them are cut into pieces of this length, and a word at the cut with them."""

_ROOM = 1 << 20
"""Bytes of text that ICU gets in one call."""

_OTHER, _LETTER, _MARK, _ALONE = range(4)

_DICTIONARIES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x303C),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Myanmar, extensions
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # kana of half width
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3347F),  # Han, extensions
)
"""Letters that ICU has words of. Other scripts without spaces, such as Yi and Tai Lue, keep a word for each letter."""


@cache
def _kinds() -> Bytes:
    """What each code point below `characters.SIZE` is to the search for runs."""
    flags = characters.table()
    kinds = np.full(len(flags), _OTHER, np.uint8)
    kinds[(flags & characters.SINGLE) != 0] = _ALONE
    for first, last in _DICTIONARIES:
        block = kinds[first : last + 1]
        block[block == _ALONE] = _LETTER
    kinds[(flags & characters.MARK) != 0] = _MARK
    return kinds


def starts(data: Bytes, offsets: Ints) -> Bytes:
    """Return 1 for each byte at which a word of a script without spaces starts, in an array as long as the data.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
    """
    from icu4py.breakers import WordBreaker

    found = np.zeros(len(data), np.uint8)
    room = np.empty(_ROOM, np.uint8)
    places = np.empty((_ROOM // 7, 2), np.int64)  # two letters and a newline, or more
    document, at = 0, int(offsets[0])
    while document < len(offsets) - 1:
        document, at, runs, used = _gather(data, offsets, document, at, _kinds(), found, room, places)
        if used:
            # Dictionaries go by script, not by locale: the root locale has all of them.
            segments = WordBreaker(room[:used].tobytes().decode(), "root").segments()
            ends = np.fromiter(chain.from_iterable(segments), np.int32)
            _mark(room, places[:runs], ends[::2], found)
    return found


@njit(cache=True, nogil=True)
def _gather(
    data: Bytes, offsets: Ints, document: int, at: int, kinds: Bytes, found: Bytes, room: Bytes, places: Ints
) -> tuple[int, int, int, int]:
    """Copy runs of two letters and more to `room`, a newline after each, until it is full or the text ends.

    A letter that stands alone is a word without asking. `places` gets where each run is in `data`, from byte to byte.

    Returns:
        the document and the byte to go on from, the number of runs, and of bytes in `room`.
    """
    runs = used = 0
    while document < len(offsets) - 1:
        last = offsets[document + 1]
        while at < last:
            if data[at] < 0xE0:  # no such letter comes before U+0E00
                at += 1
                continue
            if runs == len(places) or used + 4 * LONGEST + 1 > len(room):
                return document, at, runs, used
            point, width = decode(data, at)
            kind = kinds[point] if point < len(kinds) else U8(_OTHER)
            found[at] = kind == _ALONE or kind == _LETTER
            first = at
            at += width
            if kind != _LETTER:
                continue
            letters, length = 1, 1
            while at < last and length < LONGEST:
                point, width = decode(data, at)
                kind = kinds[point] if point < len(kinds) else U8(_OTHER)
                if kind != _LETTER and kind != _MARK:
                    break
                letters += I64(kind == _LETTER)
                length += 1
                at += width
            if letters > 1:
                room[used : used + at - first] = data[first:at]
                used += at - first
                room[used] = 0x0A
                used += 1
                places[runs] = first, at
                runs += 1
        document += 1
    return document, at, runs, used


@njit(cache=True, nogil=True)
def _mark(room: Bytes, places: Ints, words: NDArray[np.int32], found: Bytes) -> None:
    """Mark where words start, of which ICU says the place in UTF-16 code units, in order."""
    at = units = word = 0
    for first, last in places:
        for byte in range(first, last):
            if room[at] & 0xC0 != 0x80:
                if word < len(words) and words[word] == units:
                    found[byte] = 1
                    word += 1
                units += 2 if room[at] >= 0xF0 else 1
            at += 1
        word += 1  # the newline is a segment too
        at += 1
        units += 1
