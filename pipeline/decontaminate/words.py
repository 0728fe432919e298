"""Text to hashes of its words and to where these stand: a document is read once, without intermediate strings.

Words are those of deduplication (`pipeline.dedup.alphabet`): without case, accents and punctuation, each letter by
itself in scripts without spaces. Numbers keep their digits, since the same problem with other numbers is another one.
A hash has 32 bits, which is enough because words are only ever compared five at a time and more.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import (
    I64,
    U8,
    U32,
    U64,
    finish,
    hash_bytes,
    hash_few,
    inlined,
    kernel,
    load,
    trailing_zeros,
)
from filters.hashing import SEED as _SEED
from filters.hashing import STEP as _STEP
from filters.words import buffers
from pipeline.dedup.alphabet import ALONE, ASSIGNED, DIGIT, SEPARATOR, WORD, alphabet

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint32]

END_OF_ITEM, END_OF_TEXT = U32(0), U32(1)
"""What stands between items and after a document; no word has these hashes, and they differ."""

_EACH = U64(0x0101010101010101)
_CASE, _LOW, _HIGH = _EACH * U64(0x20), _EACH * U64(0x7F), _EACH * U64(0x80)
_FROM_A, _PAST_Z = _EACH * U64(0x80 - 0x61), _EACH * U64(0x80 - 0x7B)
_FROM_0, _PAST_9 = _EACH * U64(0x80 - 0x30), _EACH * U64(0x80 - 0x3A)
_ALL, _EIGHT = U64(0xFFFFFFFFFFFFFFFF), U64(8)


class Letters(NamedTuple):
    """For code point c: its kind, and what it becomes, `folded[starts[c]:starts[c + 1]]` as UTF-8."""

    kind: Bytes
    starts: Ints
    folded: Bytes
    growth: int
    """No word becomes longer than this many times its bytes."""


@lru_cache(maxsize=1)
def letters() -> Letters:
    """The tables of deduplication, where digits are letters."""
    found = alphabet()
    return Letters(np.where(found.kind == DIGIT, U8(WORD), found.kind), found.starts, found.folded, found.growth)


@inlined
def _leading(word: np.uint64) -> int:
    """How many of eight bytes, from the first one on, are ASCII letters or digits."""
    plain = word & _LOW
    small = (word | _CASE) & _LOW
    found = ((small + _FROM_A) & ~(small + _PAST_Z)) | ((plain + _FROM_0) & ~(plain + _PAST_9))
    return trailing_zeros((~found | word) & _HIGH) >> 3


@kernel
def _hash_long(data: Bytes, first: int, last: int) -> np.uint64:
    """`hash_bytes` of ASCII letters and digits in lower case, of more than eight that eight bytes follow or end."""
    state = _SEED + U64(last - first) * _STEP
    while last - first > 8:
        state = finish(state ^ (load(data, first) | _CASE))
        first += 8
    # Of the last bytes only those of the word count; they are read so that nothing behind the data is.
    rest = (load(data, last - 8) | _CASE) >> (U64(64) - _EIGHT * U64(last - first))
    return finish(state ^ rest)


@inlined
def _word(value: np.uint64) -> np.uint32:
    short = U32(value >> U64(32))
    return short if short > END_OF_TEXT else short + U32(2)


@kernel
def _decode(data: Bytes, i: int) -> tuple[int, int]:
    """The code point at byte i of valid UTF-8, and the number of its bytes."""
    first = I64(data[i])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | I64(data[i + 1]) & 0x3F, 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (I64(data[i + 1]) & 0x3F) << 6 | I64(data[i + 2]) & 0x3F, 3
    high = (first & 0x07) << 18 | (I64(data[i + 1]) & 0x3F) << 12
    return high | (I64(data[i + 2]) & 0x3F) << 6 | I64(data[i + 3]) & 0x3F, 4


@kernel
def _any_word(
    data: Bytes, i: int, end: int, kind: Bytes, starts: Ints, folded: Bytes, scratch: Bytes
) -> tuple[int, int, int, int]:
    """Read one word of any letters from byte i on, if there is one before the next separator.

    Returns the number of its bytes in `scratch`, where it begins and ends, and where to go on.
    """
    used, begin, stop = 0, i, i
    while i < end:
        point, width = _decode(data, i)
        what = kind[point] if point < ASSIGNED else U8(SEPARATOR)
        if what != WORD and what != ALONE:
            return used, begin, stop, i if used else i + width
        if what == ALONE and used:
            break
        before = used
        for k in range(starts[point], starts[point + 1]):
            scratch[used] = folded[k]
            used += 1
        if used > before:
            begin = begin if before else i
            stop = i + width
        i += width
        if what == ALONE:
            break
    return used, begin, stop, i


@kernel
def read_words(
    data: Bytes,
    start: int,
    end: int,
    kind: Bytes,
    starts: Ints,
    folded: Bytes,
    scratch: Bytes,
    hashes: Hashes,
    begins: Ints,
    ends: Ints,
) -> int:
    """Write the hash of each word of `data[start:end]`, and at which bytes it begins and ends; return their number.

    There must be room for half as many words as bytes, and in `scratch` for the text as it may grow.
    """
    count, i, last = 0, start, len(data) - 8
    while i < end:
        if i <= last:
            piece = load(data, i)
            size = _leading(piece)
            stop = i + size
            while size == 8 and stop <= last and stop < end:
                size = _leading(load(data, stop))
                stop += size
            stop = min(stop, end)
            following = U8(32) if stop == end else data[stop]
            if following < 0x80 and (size < 8 or stop == end):
                if stop > i:
                    if stop - i <= 8:
                        hashes[count] = _word(hash_few(piece | _CASE, stop - i))
                    else:
                        hashes[count] = _word(_hash_long(data, i, stop))
                    begins[count], ends[count] = i, stop
                    count += 1
                i = stop + 1
                continue
        used, begin, stop, i = _any_word(data, i, end, kind, starts, folded, scratch)
        if used:
            hashes[count] = _word(hash_bytes(scratch, 0, used))
            begins[count], ends[count] = begin, stop
            count += 1
    return count


@compiled
def _all_words(data: Bytes, offsets: Ints, letters: Letters) -> tuple[Hashes, Ints]:
    """The words of all texts, and where those of each text end."""
    longest = 0
    for k in range(len(offsets) - 1):
        longest = max(longest, offsets[k + 1] - offsets[k])
    scratch = np.empty(longest * letters.growth + 8, np.uint8)
    begins, ends = np.empty(longest // 2 + 1, np.int64), np.empty(longest // 2 + 1, np.int64)
    out = np.empty((offsets[-1] - offsets[0]) // 2 + len(offsets), np.uint32)
    bounds = np.zeros(len(offsets), np.int64)
    for k in range(len(offsets) - 1):
        used = bounds[k]
        bounds[k + 1] = used + read_words(
            data,
            offsets[k],
            offsets[k + 1],
            letters.kind,
            letters.starts,
            letters.folded,
            scratch,
            out[used:],
            begins,
            ends,
        )
    return out[: bounds[-1]].copy(), bounds


def word_hashes(texts: pl.Series) -> tuple[Hashes, Ints]:
    """The hashes of the words of all texts in order, and n + 1 bounds: those of text k are `[bounds[k]:bounds[k + 1]]`.

    A null has no words.
    """
    data, offsets = buffers(texts)
    return _all_words(data, offsets, letters())
