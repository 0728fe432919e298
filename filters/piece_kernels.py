"""Compiled loops over lines and paragraphs, as several recipes mark and repeat them.

The marks come as arguments, so that what a recipe holds to be a bullet or an ellipsis stands in its own file. Time is
linear in the bytes.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, hash_bytes, kernel
from filters.kernels import number_of, slots_for, strip
from filters.spaced_kernels import reads
from filters.tokens import Kinds

I32 = np.int32

PIECE_COUNTS = ("pieces", "chars", "later_copies", "later_copies_chars", "copies", "copies_chars")
_PIECES, _CHARS, _LATER_COPIES, _LATER_COPIES_CHARS, _COPIES, _COPIES_CHARS = range(6)

_NEWLINE = 0x0A


@njit(cache=True, nogil=True)
def marked_lines(
    data: Bytes, offsets: Ints, table: Kinds, stripped: bool, marks: Bytes, bounds: Ints, groups: Ints, count: int
) -> Ints:
    """Count the lines between newlines that begin or end with one of some marks.

    Args:
        data, offsets: UTF-8 of all documents.
        table: flags by code point, `characters.table()`.
        stripped: whether white space at both ends is left away, and lines with nothing else.
        marks, bounds: the marks, in small letters; mark m is `marks[bounds[m]:bounds[m + 1]]`.
        groups: the group of each mark; those of group 0 count at the beginning of lines, all others at the end.
        count: number of groups.

    Returns:
        `[documents, 1 + count]`: the lines, and those with a mark of each group.
    """
    out = np.zeros((len(offsets) - 1, 1 + count), I64)
    for document in range(len(out)):
        start, end = offsets[document], offsets[document + 1]
        for at in range(start, end + 1):
            if at < end and data[at] != _NEWLINE:
                continue
            first, last = strip(data, start, at, table) if stripped else (start, at)
            start = at + 1
            if stripped and first == last:
                continue
            out[document, 0] += 1
            seen = 0
            for mark in range(len(groups)):
                size = bounds[mark + 1] - bounds[mark]
                place = last - size if groups[mark] else first
                if size <= last - first and reads(data, place, marks, bounds[mark], bounds[mark + 1]):
                    seen |= 1 << groups[mark]
            for group in range(count):
                out[document, 1 + group] += seen >> group & 1
    return out


@njit(cache=True, nogil=True)
def repeated_pieces(data: Bytes, offsets: Ints, table: Kinds, newlines: int, blank: bool) -> Ints:
    """Count the pieces of each document that occur in it more than once.

    Args:
        data, offsets: UTF-8 of all documents.
        table: flags by code point, `characters.table()`.
        newlines: how many part two pieces: one for lines, two for paragraphs.
        blank: whether pieces of white space alone count.

    Returns:
        counts `[documents, 6]`, columns as in `PIECE_COUNTS`: pieces and their characters; of these what occurred
        before; and what occurs more than once, first copies among them.
    """
    documents = len(offsets) - 1
    out = np.zeros((documents, 6), I64)
    slots = np.zeros(64, I32)
    keys = np.empty(32, U64)
    again = np.empty(32, U8)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        most = 1
        for at in range(begin, end):
            most += I64(data[at] == _NEWLINE)
        size = slots_for(most)
        if size > len(slots):
            slots = np.zeros(size, I32)
            keys = np.empty(size // 2, U64)
            again = np.empty(size // 2, U8)
        slots[:size] = 0
        _pieces(data, begin, end, table, newlines, blank, slots, size - 1, keys, again, out[document])
    return out


@kernel
def _pieces(
    data: Bytes,
    begin: int,
    end: int,
    table: Kinds,
    newlines: int,
    blank: bool,
    slots: NDArray[np.int32],
    mask: int,
    keys: Hashes,
    again: Bytes,
    count: Ints,
) -> None:
    """Count the pieces of one document."""
    entries, start, at, chars = 0, begin, begin, 0
    while at <= end:
        if at < end and not (data[at] == _NEWLINE and (newlines == 1 or at + 1 < end and data[at + 1] == _NEWLINE)):
            chars += I64(data[at] & 0xC0 != 0x80)
            at += 1
            continue
        first, last = (start, at) if blank else strip(data, start, at, table)
        if blank or first < last:
            count[_PIECES] += 1
            count[_CHARS] += chars
            number = number_of(slots, mask, keys, entries, hash_bytes(data, start, at))
            if number == entries:
                again[entries] = 0
                entries += 1
            else:
                copies = 1 if again[number] else 2
                again[number] = 1
                count[_LATER_COPIES] += 1
                count[_LATER_COPIES_CHARS] += chars
                count[_COPIES] += copies
                count[_COPIES_CHARS] += copies * chars
        at += newlines
        start, chars = at, 0
