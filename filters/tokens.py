"""The compiled tokeniser: words, punctuation marks and sentences of UTF-8 text, with 64-bit hashes.

Its rules are those of spaCy's English tokeniser in effect (white space, then punctuation peeled off both ends, then
splits between letters), stated anew over Unicode categories, because datatrove's filters count spaCy's tokens. Scripts
written without spaces (Han, kana, Thai and others) get one token for a letter. Time is linear in the bytes.

Numba freezes the flags of `filters.characters` into the code it keeps on disk and only watches this file: a changed
flag there needs a change here.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.characters import (
    ALPHA,
    BREAK,
    LOWER,
    MARK,
    NUMBER,
    PEEL,
    PICTURE,
    PUNCT,
    SINGLE,
    SIZE,
    SPACE,
    TERMINAL,
    UPPER,
    WORD,
)

U8, U16, U32, U64 = np.uint8, np.uint16, np.uint32, np.uint64
I64: Any = np.int64  # typed loosely: compiled code makes no difference between int64 and int
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

COUNTS = ("chars", "tokens", "words", "word_chars", "alpha_words", "sentences")
_CHARS, _TOKENS, _WORDS, _WORD_CHARS, _ALPHA_WORDS, _SENTENCES = range(6)
SEED = U64(0x9E3779B97F4A7C15)
STEP = U64(0xD6E8FEB86659FD93)
_MIX = U64(0xFF51AFD7ED558CCD)
_HALF = U64(32)

_DOT, _HYPHEN, _COMMA, _SLASH, _COLON, _AT, _PLUS = 0x2E, 0x2D, 0x2C, 0x2F, 0x3A, 0x40, 0x2B
_APOSTROPHE, _QUOTE, _ELLIPSIS = 0x27, 0x2019, 0x2026
_CASED = ALPHA | LOWER | UPPER | WORD


@njit(cache=True, nogil=True)
def decode(data: Bytes, at: int) -> tuple[int, int]:
    """Return the code point at a byte and its width in bytes; the text is valid UTF-8."""
    first = I64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | I64(data[at + 1]) & 0x3F, 2
    if first < 0xF0:
        return (first & 0xF) << 12 | (I64(data[at + 1]) & 0x3F) << 6 | I64(data[at + 2]) & 0x3F, 3
    high = (first & 7) << 18 | (I64(data[at + 1]) & 0x3F) << 12
    return high | (I64(data[at + 2]) & 0x3F) << 6 | I64(data[at + 3]) & 0x3F, 4


@njit(cache=True, nogil=True)
def finish(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> _HALF)) * _MIX
    return state ^ (state >> _HALF)


@njit(cache=True, nogil=True)
def _hash(points: NDArray[np.uint32], first: int, last: int) -> np.uint64:
    state = SEED
    for i in range(first, last):
        state = (state ^ U64(points[i])) * STEP
    return finish(state)


@njit(cache=True, nogil=True)
def _listed(wanted: Hashes, value: np.uint64) -> bool:
    at = np.searchsorted(wanted, value)
    if at == len(wanted):
        return False
    return bool(wanted[at] == value)


@njit(cache=True, nogil=True)
def _address(points: NDArray[np.uint32], kinds: NDArray[np.uint16], first: int, last: int) -> bool:
    """Whether a word is a web or mail address: [scheme://][user@]host.tld[:port][/path]."""
    start = first
    for i in range(first, last):
        if points[i] == _AT:
            start = i + 1
        elif points[i] == _COLON and i + 2 < last and points[i + 1] == _SLASH and points[i + 2] == _SLASH:
            start = i + 3
        elif points[i] == _SLASH and not (i > first and (points[i - 1] == _COLON or points[i - 1] == _SLASH)):
            break
    dot, i = -1, start
    while i < last:
        if points[i] == _DOT:
            if dot == i - 1 and i > start:
                return False
            dot = i
        elif not (kinds[i] & (ALPHA | NUMBER) or points[i] == _HYPHEN or points[i] == 0x5F):
            break
        i += 1
    if dot <= start or i - dot < 3:
        return False
    for j in range(dot + 1, i):
        if not (kinds[j] & ALPHA and kinds[j] & LOWER):
            return False
    if i == last or points[i] == _SLASH or points[i] == 0x3F or points[i] == 0x23:
        return True
    return points[i] == _COLON and i + 1 < last and kinds[i + 1] & NUMBER != 0


@njit(cache=True, nogil=True)
def _trim(
    points: NDArray[np.uint32],
    kinds: NDArray[np.uint16],
    cut: Bytes,
    size: int,
    whole: Hashes,
    units: Hashes,
) -> tuple[int, int]:
    """Mark the tokens at both ends of a run without white space; return the middle, if it may be split further."""
    first, last = 0, size
    moved = True
    while moved and last - first > 1:
        if last - first <= 8 and points[last - 1] == _DOT and _listed(whole, _hash(points, first, last)):
            return last, last
        moved = False
        start = first
        if points[first] == _DOT and points[first + 1] == _DOT:
            while first < last and points[first] == _DOT:
                first += 1
        elif kinds[first] & PEEL or (points[first] == _PLUS and not kinds[first + 1] & NUMBER):
            first += 1
        if first > start:
            cut[first] = 1
            moved = True
        if last - first < 2:
            continue
        point, before, end = points[last - 1], points[last - 2], last
        kind = kinds[last - 2]
        if point == _DOT:
            if before == _DOT:
                while last > first and points[last - 1] == _DOT:
                    last -= 1
            elif last - first <= 8 and _listed(whole, _hash(points, first, last)):
                pass
            elif kind & UPPER and not kind & LOWER:
                last -= I64(last - first > 2 and kinds[last - 3] & UPPER != 0)
            elif kind & (LOWER | NUMBER | PUNCT | PEEL) or before == _PLUS:
                last -= 1
        elif kinds[last - 1] & PEEL or (point == _PLUS and kind & NUMBER):
            last -= 1
        elif kinds[last - 1] & ALPHA:
            small = point | 0x20 if point < 0x80 else point
            if before == _APOSTROPHE or before == _QUOTE:
                if small == 0x73 or ((small == 0x6D or small == 0x64) and last - first > 2):
                    last -= 2
                elif small == 0x74 and last - first > 3 and points[last - 3] | 0x20 == 0x6E:
                    last -= 3
            elif last - first > 3 and (points[last - 3] == _APOSTROPHE or points[last - 3] == _QUOTE):
                pair = (before | 0x20) << 8 | small
                if pair == 0x6C6C or pair == 0x7265 or pair == 0x7665:
                    last -= 3
            else:
                digit = last - 2
                while digit > first and digit > last - 5 and not kinds[digit] & NUMBER:
                    digit -= 1
                # A time of day parts like a unit, but only after a bare hour: 9 am, but 9:15am.
                hour = point == 0x6D and (before == 0x61 or before == 0x70)
                if (
                    kinds[digit] & NUMBER
                    and (not hour or digit - first < 2)
                    and _listed(units, _hash(points, digit + 1, last))
                ):
                    last = digit + 1
        if last < end:
            cut[last] = 1
            moved = True
    return first, last


@njit(cache=True, nogil=True)
def _split(points: NDArray[np.uint32], kinds: NDArray[np.uint16], cut: Bytes, first: int, last: int) -> None:
    """Mark the tokens inside a word: what stands between letters and is neither apostrophe nor decimal point."""
    i = first + 1
    while i < last - 1:
        point, before, after = points[i], kinds[i - 1], kinds[i + 1]
        width = 0
        if kinds[i] & _CASED or kinds[i] & NUMBER:
            i += 1
            continue
        if point == _DOT:
            if points[i + 1] == _DOT:
                width = 2
                while i + width < last and points[i + width] == _DOT:
                    width += 1
            elif (before & LOWER or before & PUNCT and before & PEEL) and (
                after & UPPER or after & PUNCT and after & PEEL
            ):
                width = 1
        elif point == _ELLIPSIS or kinds[i] & PICTURE:
            width = 1
        elif point == _COMMA:
            width = I64(before & ALPHA and after & ALPHA)
        elif point == _HYPHEN or point == 0x2013 or point == 0x2014 or point == 0x7E:
            if before & (ALPHA | NUMBER):
                width = 1
                while width < 3 and i + width < last and points[i + width] == point:
                    width += 1
                if i + width >= last or not kinds[i + width] & ALPHA:
                    width = I64(before & NUMBER and after & NUMBER and point == _HYPHEN)
        elif point == _COLON or point == _SLASH or 0x3C <= point <= 0x3E:
            width = I64(before & (ALPHA | NUMBER) and after & ALPHA)
        elif point == _PLUS or point == 0x2A or point == 0x5E:
            width = I64(before & NUMBER and (after & NUMBER or points[i + 1] == _HYPHEN))
        if width:
            cut[i] = 1
            cut[i + width] = 1
            i += width
        else:
            i += 1


@njit(cache=True, nogil=True)
def _split_single(kinds: NDArray[np.uint16], cut: Bytes, size: int) -> None:
    """Mark every letter of a script without spaces, with the marks on it, and every punctuation mark beside them."""
    for i in range(size):
        if kinds[i] & (SINGLE | PEEL) and not kinds[i] & MARK:
            cut[i] = 1
            after = i + 1
            while after < size and kinds[after] & MARK:
                cut[after] = 0
                after += 1
            cut[after] = 1


@njit(cache=True, nogil=True)
def _longest_run(data: Bytes) -> int:
    """Return the most bytes without a space or newline between them."""
    longest = run = 0
    for byte in data:
        run = 0 if byte == 0x20 or byte == 0x0A else run + 1
        longest = max(longest, run)
    return longest


@njit(cache=True, nogil=True)
def tokenise(
    data: Bytes, offsets: Ints, table: NDArray[np.uint16], whole: Hashes, units: Hashes
) -> tuple[Hashes, NDArray[np.uint32], NDArray[np.uint32], Ints, Ints]:
    """Split documents into tokens.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        table: flags by code point, `characters.table()`.
        whole, units: sorted hashes of the abbreviations that keep their full stop, and of the units that part from a
            number before them.

    Returns:
        hashes, lengths and starts (both in characters, starts from the start of the document) of all tokens; bounds:
        document d has the tokens `bounds[d]:bounds[d + 1]`; and counts `[documents, 6]`, columns as in `COUNTS`.
    """
    documents = len(offsets) - 1
    capacity = (offsets[documents] - offsets[0]) // 4
    hashes = np.empty(capacity, U64)
    lengths = np.empty(capacity, U32)
    starts = np.empty(capacity, U32)
    bounds = np.zeros(documents + 1, I64)
    counts = np.zeros((documents, 6), I64)
    room = _longest_run(data)
    points = np.empty(room, U32)
    kinds = np.empty(room, U16)
    cut = np.zeros(room + 1, U8)
    used = 0
    for document in range(documents):
        first, last = offsets[document], offsets[document + 1]
        # A token has a byte at least. Room is made here and not in the loop, where it would cost most of the time.
        if capacity < used + last - first:
            capacity = max(2 * capacity, used + last - first)
            hashes, old_hashes = np.empty(capacity, U64), hashes
            lengths, old_lengths = np.empty(capacity, U32), lengths
            starts, old_starts = np.empty(capacity, U32), starts
            hashes[:used] = old_hashes[:used]
            lengths[:used] = old_lengths[:used]
            starts[:used] = old_starts[:used]
        used += _document(
            data[first:last],
            table,
            whole,
            units,
            points,
            kinds,
            cut,
            hashes[used:],
            lengths[used:],
            starts[used:],
            counts[document],
        )
        bounds[document + 1] = used
    return hashes[:used].copy(), lengths[:used].copy(), starts[:used].copy(), bounds, counts


@njit(cache=True, nogil=True)
def _document(
    data: Bytes,
    table: NDArray[np.uint16],
    whole: Hashes,
    units: Hashes,
    points: NDArray[np.uint32],
    kinds: NDArray[np.uint16],
    cut: Bytes,
    hashes: Hashes,
    lengths: NDArray[np.uint32],
    starts: NDArray[np.uint32],
    count: Ints,
) -> int:
    """Split one document, whose runs without white space go through the scratch arrays; return the number of tokens."""
    at = used = chars = words = word_chars = alpha_words = sentences = 0
    fresh, stopped = True, False
    while at < len(data):
        size, union, kind = 0, 0, 0
        while at < len(data):
            point, width = decode(data, at)
            at += width
            kind = I64(table[point]) if point < SIZE else 0
            if kind & SPACE:
                break
            points[size] = point
            kinds[size] = kind
            union |= kind
            size += 1
        plain = union | _CASED == _CASED
        if not plain:
            first, last = _trim(points, kinds, cut, size, whole, units)
            if union & SINGLE:
                _split_single(kinds, cut, size)
            elif not _address(points, kinds, first, last):
                _split(points, kinds, cut, first, last)
        start = 0
        while start < size:
            stop = start + 1
            seen = common = I64(kinds[start])
            while stop < size and not cut[stop]:
                seen |= I64(kinds[stop])
                common &= I64(kinds[stop])
                stop += 1
            hashes[used] = _hash(points, start, stop)
            lengths[used] = stop - start
            starts[used] = chars + start
            used += 1
            if seen & WORD:
                words += 1
                word_chars += stop - start
                alpha_words += I64(seen & ALPHA != 0)
            if fresh:
                sentences += 1
                fresh = stopped = False
            if stop - start == 1 and seen & TERMINAL:
                stopped = True
            elif stopped and not common & PUNCT:
                sentences += 1
                stopped = False
            start = stop
        if not plain:
            cut[: size + 1] = 0
        chars += size
        if kind & SPACE:
            chars += 1
            fresh |= kind & BREAK != 0
    count[_CHARS] = chars
    count[_TOKENS] = used
    count[_WORDS] = words
    count[_WORD_CHARS] = word_chars
    count[_ALPHA_WORDS] = alpha_words
    count[_SENTENCES] = sentences
    return used


@njit(cache=True, nogil=True)
def hash_points(points: NDArray[np.uint32]) -> np.uint64:
    """Return the hash of a token given as code points."""
    return _hash(points, 0, len(points))
