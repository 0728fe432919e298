"""Compiled loops over what is repeated in a text: n-grams of tokens, lines, paragraphs.

Every function takes the documents of a batch as flat arrays with bounds, needs time linear in their length whatever
they hold, and runs without the interpreter's lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.characters import BREAK, SIZE, SPACE, TERMINAL
from filters.tokens import I64, SEED, STEP, U16, U64, Bytes, Hashes, Ints, decode, finish

I32 = np.int32

LINE_COUNTS = (
    "hashes",
    "ellipses",
    "newlines",
    "lines",
    "bullet_lines",
    "ellipsis_lines",
    "runs",
    "duplicate_runs",
    "duplicate_chars",
    "blank_duplicate_chars",
    "full_lines",
    "terminal_lines",
    "short_lines",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_chars",
)
(
    _HASHES,
    _ELLIPSES,
    _NEWLINES,
    _LINES,
    _BULLET_LINES,
    _ELLIPSIS_LINES,
    _RUNS,
    _DUPLICATE_RUNS,
    _DUPLICATE_CHARS,
    _BLANK_DUPLICATE_CHARS,
    _FULL_LINES,
    _TERMINAL_LINES,
    _SHORT_LINES,
    _PARAGRAPHS,
    _DUPLICATE_PARAGRAPHS,
    _DUPLICATE_PARAGRAPH_CHARS,
) = range(16)

_NEWLINE, _RETURN, _SHARP, _DOT, _HYPHEN, _BULLET, _ELLIPSIS = 0x0A, 0x0D, 0x23, 0x2E, 0x2D, 0x2022, 0x2026
_HALF, _ONE = U64(32), U64(1)


@njit(cache=True, nogil=True)
def hash_bytes(data: Bytes, first: int, last: int) -> np.uint64:
    """Return a 64-bit hash of a slice of bytes; the same on every machine."""
    state = SEED
    for i in range(first, last):
        state = (state ^ U64(data[i])) * STEP
    return finish(state)


@njit(cache=True, nogil=True)
def hash_slices(data: Bytes, offsets: Ints) -> Hashes:
    """Return `hash_bytes` of every slice `data[offsets[i]:offsets[i + 1]]`."""
    out = np.empty(len(offsets) - 1, U64)
    for i in range(len(out)):
        out[i] = hash_bytes(data, offsets[i], offsets[i + 1])
    return out


@njit(cache=True, nogil=True)
def distinct_listed(hashes: Hashes, bounds: Ints, wanted: Hashes) -> Ints:
    """Count how many different hashes of a short list each document has; the answer has shape [documents]."""
    out = np.zeros(len(bounds) - 1, I64)
    seen = np.full(len(wanted), -1, I64)
    sieve = U64(0)
    for value in wanted:
        sieve |= _ONE << (value & U64(63))
    for document in range(len(out)):
        for i in range(bounds[document], bounds[document + 1]):
            if sieve >> (hashes[i] & U64(63)) & _ONE:
                for j in range(len(wanted)):
                    if wanted[j] == hashes[i] and seen[j] != document:
                        seen[j] = document
                        out[document] += 1
    return out


@njit(cache=True, nogil=True)
def _slots(entries: int) -> int:
    """Return a size of hash table, a power of two, that `entries` fill to a half at most."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def _place(slots: NDArray[np.int32], mask: int, keys: Hashes, entries: int, key: np.uint64) -> int:
    """Return the number of a key in the table; `entries`, the next free number, if it is new, and enter it."""
    at = I64(finish(key)) & mask
    while slots[at] != 0:
        number = slots[at] - 1
        if keys[number] == key:
            return int(number)
        at = (at + 1) & mask
    slots[at] = entries + 1
    keys[entries] = key
    return entries


@njit(cache=True, nogil=True)
def repeated_ngrams(hashes: Hashes, lengths: NDArray[np.uint32], bounds: Ints) -> Ints:
    """Count the characters of repeated n-grams, as in the Gopher repetition rules.

    An n-gram that occurs twice begins with an (n-1)-gram that occurs twice, and ends with one. So each level only looks
    at places that the level before found repeated, and names an n-gram by the pair of names of those two: exact, given
    the hashes of single tokens, and after the pairs there is little left to do in a text that does not repeat itself.

    Returns:
        [documents, 9]: for n = 2, 3, 4 the length of the most frequent n-gram, with a space between tokens, times its
        count (the earliest of those equally frequent; it counts even if it occurs once); for n = 5 to 10 the length,
        without spaces, of the n-grams that occurred before, none counted over another that was counted.
    """
    documents = len(bounds) - 1
    out = np.zeros((documents, 9), I64)
    most = 0
    for document in range(documents):
        most = max(most, bounds[document + 1] - bounds[document])
    slots = np.zeros(_slots(most), I32)
    keys = np.empty(most + 1, U64)
    counts = np.empty(most + 1, I32)
    firsts = np.empty(most + 1, I64)
    places = np.empty(most + 1, I64)
    names = np.empty(most + 1, I32)
    ends = np.empty(most + 1, I64)
    for document in range(documents):
        base = bounds[document]
        total = bounds[document + 1] - base
        if total < 2:
            continue
        ends[0] = 0
        for i in range(total):
            ends[i + 1] = ends[i] + I64(lengths[base + i])
            places[i] = i
        left = total
        for n in range(1, 11):
            if total < n:
                break
            candidates = left if n == 1 else left - 1
            size = _slots(candidates)
            slots[:size] = 0
            entries, found = 0, 0
            for i in range(candidates):
                if n == 1:
                    key = hashes[base + i]
                elif places[i + 1] == places[i] + 1:
                    key = U64(names[i]) << _HALF | U64(names[i + 1])
                else:
                    continue
                number = _place(slots, size - 1, keys, entries, key)
                if number == entries:
                    counts[number] = 1
                    firsts[number] = places[i]
                    entries += 1
                else:
                    counts[number] += 1
                places[found] = places[i]
                names[found] = number
                found += 1
            if 2 <= n <= 4:
                best, count = 0, 1
                for number in range(entries):
                    if counts[number] > count:
                        best, count = firsts[number], counts[number]
                out[document, n - 2] = (ends[best + n] - ends[best] + n - 1) * count
            left = 0
            for i in range(found):
                if counts[names[i]] > 1:
                    places[left] = places[i]
                    names[left] = names[i]
                    left += 1
            if n >= 5:
                free = 0
                counts[:entries] = 0
                for i in range(left):
                    place = places[i]
                    if place < free:
                        continue
                    if counts[names[i]]:
                        out[document, n - 2] += ends[place + n] - ends[place]
                        free = place + n
                    counts[names[i]] = 1
            if left < 2 and n >= 4:
                break
    return out


@njit(cache=True, nogil=True)
def lines(data: Bytes, offsets: Ints, table: NDArray[np.uint16], short: int) -> Ints:
    """Count what the rules about lines and paragraphs need.

    Three notions of a line are in use: runs of text between newlines, as in `re.split("\\n+", text)` (`runs`, Gopher's
    repetition), lines between single newlines that are not blank (`full_lines`, FineWeb), and `str.splitlines`
    (`lines`, Gopher's quality). A paragraph is what `re.split("\\n{2,}", text.strip())` gives.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        table: flags by code point, `characters.table()`.
        short: a FineWeb line of up to so many characters is short.

    Returns:
        counts `[documents, 16]`, columns as in `LINE_COUNTS`.
    """
    documents = len(offsets) - 1
    out = np.zeros((documents, 16), I64)
    slots = np.zeros(64, I32)
    keys = np.empty(32, U64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        newlines = 0
        for i in range(begin, end):
            newlines += I64(data[i] == _NEWLINE)
        size = _slots(newlines + 1)
        if size > len(slots):
            slots = np.zeros(size, I32)
            keys = np.empty(size // 2, U64)
        else:
            slots[:size] = 0
        count = out[document]
        count[_NEWLINES] = newlines
        _characters(data, begin, end, table, count)
        core, core_end = _newline_lines(data, begin, end, table, short, slots, size - 1, keys, count)
        slots[:size] = 0
        _paragraphs(data, core, core_end, slots, size - 1, keys, count)
    return out


@njit(cache=True, nogil=True)
def _characters(data: Bytes, begin: int, end: int, table: NDArray[np.uint16], count: Ints) -> None:
    """Count symbols, and the lines of `str.splitlines` that begin with a bullet or end with an ellipsis."""
    dots = ending = 0
    first, before, open_line = 0, 0, False
    at = begin
    while at < end:
        point, width = decode(data, at)
        at += width
        kind = table[point] if point < SIZE else U16(0)
        if kind & BREAK:
            if not (point == _NEWLINE and before == _RETURN):
                count[_LINES] += 1
                count[_ELLIPSIS_LINES] += I64(ending >= 3)
            first = ending = dots = 0
            open_line = False
        else:
            open_line = True
            if kind & SPACE:
                dots = 0
            else:
                if not first:
                    first = point
                    count[_BULLET_LINES] += I64(point == _HYPHEN or point == _BULLET)
                dots = dots + 1 if point == _DOT else 0
                count[_ELLIPSES] += I64(dots > 0 and dots % 3 == 0) + I64(point == _ELLIPSIS)
                count[_HASHES] += I64(point == _SHARP)
                ending = 3 if point == _ELLIPSIS else dots
        before = point
    if open_line:
        count[_LINES] += 1
        count[_ELLIPSIS_LINES] += I64(ending >= 3)


@njit(cache=True, nogil=True)
def _newline_lines(
    data: Bytes,
    begin: int,
    end: int,
    table: NDArray[np.uint16],
    short: int,
    slots: NDArray[np.int32],
    mask: int,
    keys: Hashes,
    count: Ints,
) -> tuple[int, int]:
    """Count lines between newlines and those that occurred before; return the text without white space at its ends."""
    core, core_end, entries = end, begin, 0
    start = at = begin
    # re.split gives an empty first and last line to a text that begins and ends with a newline.
    edges = I64(end > begin and data[begin] == _NEWLINE) + I64(end > begin and data[end - 1] == _NEWLINE)
    count[_RUNS] = max(edges, I64(end == begin))
    count[_DUPLICATE_RUNS] = I64(edges == 2)
    while start < end:
        chars, blank, kind = 0, True, U16(0)
        while at < end and data[at] != _NEWLINE:
            point, width = decode(data, at)
            kind = table[point] if point < SIZE else U16(0)
            chars += 1
            if not kind & SPACE:
                blank = False
                core = min(core, at)
                core_end = at + width
            at += width
        if at > start:
            count[_RUNS] += 1
            number = _place(slots, mask, keys, entries, hash_bytes(data, start, at))
            if number == entries:
                entries += 1
            else:
                count[_DUPLICATE_RUNS] += 1
                count[_DUPLICATE_CHARS] += chars
                count[_BLANK_DUPLICATE_CHARS] += chars if blank else 0
            if not blank:
                count[_FULL_LINES] += 1
                count[_TERMINAL_LINES] += I64(kind & TERMINAL != 0)
                count[_SHORT_LINES] += I64(chars <= short)
        at += 1
        start = at
    return core, max(core, core_end)


@njit(cache=True, nogil=True)
def _paragraphs(
    data: Bytes, begin: int, end: int, slots: NDArray[np.int32], mask: int, keys: Hashes, count: Ints
) -> None:
    """Count paragraphs, and those that occurred before."""
    entries, start = 0, begin
    while True:
        stop, chars = start, 0
        while stop < end and not (data[stop] == _NEWLINE and data[stop + 1] == _NEWLINE):
            chars += I64(data[stop] & 0xC0 != 0x80)
            stop += 1
        count[_PARAGRAPHS] += 1
        number = _place(slots, mask, keys, entries, hash_bytes(data, start, stop))
        if number == entries:
            entries += 1
        else:
            count[_DUPLICATE_PARAGRAPHS] += 1
            count[_DUPLICATE_PARAGRAPH_CHARS] += chars
        start = stop
        while start < end and data[start] == _NEWLINE:
            start += 1
        if start >= end:
            break
