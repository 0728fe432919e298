"""The words of `pipeline.dedup.alphabet` with their places in the text: what spans are compared and cut by.

Words are found one at a time, so that no list of them is needed; they are those of MinHash where every letter of a
script without spaces is one. Which words a dictionary would find there depends on what stands around them, and a copy
in another place would not be the same.
"""

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import I64, SEED, STEP, U64, Bytes, Hashes, Ints, finish, kernel
from filters.tokens import decode
from pipeline.dedup.alphabet import ALONE, ASSIGNED, DIGIT, POINT, SEPARATOR, SLOW, WORD, Alphabet

_ZERO, _SPACE, _FULL = U64(ord("0")), ord(" "), 64


@kernel
def kind_of(table: Bytes, point: int) -> int:
    """What a code point is to deduplication."""
    return I64(table[point]) if point < ASSIGNED else SEPARATOR


@kernel
def _digits_end(data: Bytes, at: int, end: int, table: Bytes) -> int:
    while at < end:
        point, width = decode(data, at)
        if kind_of(table, point) != DIGIT:
            break
        at += width
    return at


@kernel
def next_word(data: Bytes, at: int, end: int, letters: Alphabet) -> tuple[np.uint64, int, int]:
    """Return the hash, begin and end of the first word in `data[at:end]`; without one, begin and end are `end`.

    The next word is looked for from the end of this one.
    """
    table, starts, folded, quick = letters.kind, letters.starts, letters.folded, letters.quick
    begin = last = -1
    state, chunk, bits, size = SEED, U64(0), 0, 0
    while at < end:
        byte = quick[data[at]]
        if byte != SLOW:
            if byte == _SPACE:
                if begin >= 0:
                    break
                at += 1
                continue
            if begin < 0:
                begin = at
            chunk |= U64(byte) << U64(bits)
            bits += 8
            size += 1
            if bits == _FULL:
                state, chunk, bits = finish(state ^ chunk), U64(0), 0
            at += 1
            last = at
            continue
        point, width = decode(data, at)
        kind = kind_of(table, point)
        if kind == DIGIT:
            if begin < 0:
                begin = at
            at = _digits_end(data, at, end, table)
            if at < end:
                point, width = decode(data, at)
                if kind_of(table, point) == POINT:
                    after = _digits_end(data, at + width, end, table)
                    if after > at + width:
                        at = after
            chunk |= _ZERO << U64(bits)
            bits += 8
            size += 1
            if bits == _FULL:
                state, chunk, bits = finish(state ^ chunk), U64(0), 0
            last = at
            continue
        if begin >= 0 and kind != WORD:
            break
        if kind == WORD or kind == ALONE:
            for k in range(starts[point], starts[point + 1]):
                if begin < 0:
                    begin = at
                chunk |= U64(folded[k]) << U64(bits)
                bits += 8
                size += 1
                if bits == _FULL:
                    state, chunk, bits = finish(state ^ chunk), U64(0), 0
        at += width
        if begin >= 0:
            last = at
            if kind == ALONE:
                break
    if begin < 0:
        return U64(0), end, end
    return finish(finish(state ^ chunk) ^ (U64(size) * STEP)), begin, last


@kernel
def join(state: np.uint64, value: np.uint64) -> np.uint64:
    """The hash of a sequence with one value more."""
    return finish(state * STEP + value)


@kernel
def span_hash(data: Bytes, first: int, last: int, letters: Alphabet) -> tuple[np.uint64, int]:
    """Return the hash of the words in a slice of bytes, and their number."""
    state, count, at = SEED, 0, first
    while at < last:
        value, begin, at = next_word(data, at, last, letters)
        if begin == last:
            break
        state = join(state, value)
        count += 1
    return state, count


@kernel
def words_of(data: Bytes, first: int, last: int, letters: Alphabet, hashes: Hashes, begins: Ints, ends: Ints) -> int:
    """Write hash, begin and end of each word in a slice of bytes; return their number."""
    count, at = 0, first
    while at < last:
        value, begin, at = next_word(data, at, last, letters)
        if begin == last:
            break
        hashes[count], begins[count], ends[count] = value, begin, at
        count += 1
    return count


@compiled
def most_words(offsets: Ints) -> int:
    """The most words that one of the documents can have: one in two bytes, and one more."""
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    return longest // 2 + 1


@compiled
def count_words(data: Bytes, offsets: Ints, letters: Alphabet) -> NDArray[np.int64]:
    """The number of words of each document."""
    counts = np.zeros(len(offsets) - 1, I64)
    for document in range(len(counts)):
        _, counts[document] = span_hash(data, offsets[document], offsets[document + 1], letters)
    return counts
