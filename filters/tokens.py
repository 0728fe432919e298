"""The compiled tokeniser: words, punctuation marks and sentences of UTF-8 text, with 64-bit hashes.

Its rules are those of spaCy's English tokeniser in effect (white space, then punctuation peeled off both ends, then
splits between letters), stated anew over Unicode categories, because datatrove's filters count spaCy's tokens. Scripts
written without spaces (Han, kana, Thai and others) get one token for a letter. Time is linear in the bytes.

Most runs between white space are letters alone: those are hashed as they stand, eight bytes at a time. Only the others
are taken apart, in scratch arrays of their code points.

Numba freezes the flags of `filters.characters` into the code it keeps on disk and only watches this file: a changed
flag there needs a change here.
"""

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
    QUOTE,
    SINGLE,
    SIZE,
    SPACE,
    TAIL,
    TERMINAL,
    UPPER,
    WORD,
)
from filters.hashing import (
    I64,
    U8,
    U16,
    U32,
    U64,
    Hashes,
    hash_bytes,
    hash_few,
    hash_token,
    inlined,
    kernel,
    leading_letters,
    letters_end,
    load,
)

Bytes = NDArray[np.uint8]
Kinds = NDArray[np.uint16]
Points = NDArray[np.uint32]
Ints = NDArray[np.int64]

COUNTS = ("chars", "tokens", "words", "word_chars", "alpha_words", "sentences")
_CHARS, _TOKENS, _WORDS, _WORD_CHARS, _ALPHA_WORDS, _SENTENCES = range(6)

_DOT, _HYPHEN, _COMMA, _SLASH, _COLON, _AT, _PLUS = 0x2E, 0x2D, 0x2C, 0x2F, 0x3A, 0x40, 0x2B
_APOSTROPHE, _QUOTE, _ELLIPSIS, _PERCENT, _EQUALS = 0x27, 0x2019, 0x2026, 0x25, 0x3D
_CASED = ALPHA | LOWER | UPPER | MARK | WORD

LONGEST = 1 << 16
"""Characters without white space between them, not all letters, are taken apart in pieces of this length."""


@kernel
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


@inlined
def _listed(wanted: Hashes, value: np.uint64) -> bool:
    """Whether a hash is in a table as `hashing.table` makes it."""
    mask = U64(len(wanted) - 1)
    at = value & mask
    while wanted[at] != value and wanted[at] != 0:
        at = (at + U64(1)) & mask
    return bool(wanted[at] == value)


@kernel
def _address(points: Points, kinds: Kinds, first: int, last: int) -> bool:
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


@kernel
def _trim(
    data: Bytes,
    spots: Ints,
    points: Points,
    kinds: Kinds,
    cut: Bytes,
    size: int,
    union: int,
    whole: Hashes,
    units: Hashes,
) -> tuple[int, int]:
    """Mark the tokens at both ends of a run without white space; return the middle, if it may be split further."""
    first, last = 0, size
    moved = True
    while moved and last - first > 1:
        quoted = points[first] == _APOSTROPHE or points[first] == _QUOTE
        if (
            last - first <= 8
            and (quoted or points[last - 1] == _DOT or last - first == 2)
            and _listed(whole, hash_bytes(data, spots[first], spots[last]))
        ):
            return last, last
        moved = False
        start = first
        if (
            quoted
            and last - first <= 9
            and (kinds[last - 1] & TAIL or points[last - 1] == _DOT)
            and _listed(whole, hash_bytes(data, spots[first], spots[last - 1]))
        ):
            pass
        elif points[first] == _DOT and points[first + 1] == _DOT:
            while first < last and points[first] == _DOT:
                first += 1
        elif kinds[first] & PEEL or (points[first] == _PLUS and not kinds[first + 1] & NUMBER):
            pair = kinds[first + 1] & PEEL and _listed(whole, hash_bytes(data, spots[first], spots[first + 2]))
            first += 1 + I64(pair)
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
            elif last - first <= 8 and _listed(whole, hash_bytes(data, spots[first], spots[last])):
                pass
            elif kind & UPPER and not kind & LOWER:
                degrees = last > 2 and points[last - 3] == 0xB0 and (before == 0x43 or before == 0x46 or before == 0x4B)
                last -= I64(degrees or (last - first > 2 and kinds[last - 3] & UPPER != 0))
            elif kind & (LOWER | NUMBER | TAIL) or before == _PLUS or before == _HYPHEN or before == _PERCENT:
                last -= 1
        elif kinds[last - 1] & TAIL:
            last -= 1
            if kind & TAIL and _listed(whole, hash_bytes(data, spots[last - 1], spots[last + 1])):
                last -= 1
        elif kind & NUMBER and (point == _PLUS or kinds[last - 1] & PEEL and point != _EQUALS):
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
            elif union & NUMBER:
                digit = last - 2
                while digit > first and digit > last - 5 and not kinds[digit] & NUMBER:
                    digit -= 1
                # A time of day parts like a unit, but only after a bare hour: 9 am, but 9:15am.
                hour = point == 0x6D and (before == 0x61 or before == 0x70)
                if (
                    kinds[digit] & NUMBER
                    and (not hour or digit - first < 2)
                    and _listed(units, hash_bytes(data, spots[digit + 1], spots[last]))
                ):
                    last = digit + 1
        if last < end:
            cut[last] = 1
            moved = True
    return first, last


@kernel
def _split(points: Points, kinds: Kinds, cut: Bytes, first: int, last: int) -> None:
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
            elif before & (LOWER | QUOTE) and after & (UPPER | QUOTE):
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


@kernel
def _split_single(kinds: Kinds, cut: Bytes, size: int, spots: Ints, starts: Bytes) -> None:
    """Mark the words of a script without spaces, and every punctuation mark beside them.

    A word is a letter with the marks on it; where `starts` tells the bytes at which words start, it is what it says.
    """
    for i in range(size):
        if kinds[i] & (SINGLE | PEEL) and not kinds[i] & MARK:
            inside = len(starts) > 0 and i > 0 and kinds[i] & SINGLE and kinds[i - 1] & (SINGLE | MARK)
            if not inside or starts[spots[i]]:
                cut[i] = 1
            after = i + 1
            while after < size and kinds[after] & MARK:
                cut[after] = 0
                after += 1
            if not len(starts) or after == size or not kinds[after] & SINGLE:
                cut[after] = 1


@njit(cache=True, nogil=True)
def tokenise(
    data: Bytes,
    offsets: Ints,
    table: Kinds,
    whole: Hashes,
    units: Hashes,
    starts: Bytes,
    hashes: Hashes,
    lengths: Points,
    begins: Points,
) -> tuple[Ints, Ints]:
    """Split documents into tokens.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        table: flags by code point, `characters.table()`.
        whole, units: hashes, in tables as `hashing.table` makes them, of the abbreviations that keep their full stop,
            and of the units that part from a number before them.
        starts: 1 for each byte of `data` at which a word of a script without spaces starts; if empty, each of its
            letters is a word.
        hashes, lengths, begins: written here: hash, length and place (both in characters, the place from the start of
            the document) of all tokens. There must be room for a token for every byte.

    Returns:
        bounds: document d has the tokens `bounds[d]:bounds[d + 1]`; and counts `[documents, 6]`, columns as in
        `COUNTS`.
    """
    documents = len(offsets) - 1
    bounds = np.zeros(documents + 1, I64)
    counts = np.zeros((documents, 6), I64)
    points = np.empty(LONGEST, U32)
    kinds = np.empty(LONGEST, U16)
    spots = np.empty(LONGEST + 1, I64)
    cut = np.zeros(LONGEST + 1, U8)
    used = 0
    for document in range(documents):
        first, last = offsets[document], offsets[document + 1]
        used = _document(
            data,
            first,
            last,
            table,
            whole,
            units,
            starts,
            points,
            kinds,
            spots,
            cut,
            hashes,
            lengths,
            begins,
            used,
            counts[document],
        )
        bounds[document + 1] = used
    return bounds, counts


@kernel
def _document(
    data: Bytes,
    first: int,
    last: int,
    table: Kinds,
    whole: Hashes,
    units: Hashes,
    starts: Bytes,
    points: Points,
    kinds: Kinds,
    spots: Ints,
    cut: Bytes,
    hashes: Hashes,
    lengths: Points,
    begins: Points,
    used: int,
    count: Ints,
) -> int:
    """Split one document and write its tokens after the `used` ones that are there; return how many there are then."""
    at, before = first, used
    chars = words = word_chars = alpha_words = sentences = 0
    fresh, stopped = True, False
    safe = len(data) - 8
    while at < last:
        if at <= safe:
            word = load(data, at)
            size = leading_letters(word)
            value = hash_few(word, size)
            end = at + size
            if size == 8:
                end = letters_end(data, end, last)
                size = end - at
                value = hash_bytes(data, at, end)
            if size and end < last:
                after = data[end]
                tail = 0
                if after != 0x20 and after != 0x0A and after < 0x80 and end + 1 < last:
                    further = data[end + 1]
                    if further == 0x20 or further == 0x0A:
                        if after == _DOT:
                            name = size < 8 and _listed(whole, hash_token(data, at, end + 1))
                            tail = I64(data[end - 1] >= 0x61 and not name)
                        else:
                            tail = I64(table[after] & TAIL != 0)
                        if tail:
                            after = further
                if after == 0x20 or after == 0x0A:
                    hashes[used] = value
                    lengths[used] = size
                    begins[used] = chars
                    used += 1
                    words += 1
                    word_chars += size
                    alpha_words += 1
                    sentences += I64(fresh | stopped)
                    fresh = after == 0x0A
                    stopped = False
                    if tail:
                        hashes[used] = hash_few(U64(data[end]), 1)
                        lengths[used] = 1
                        begins[used] = chars + size
                        used += 1
                        stopped = table[data[end]] & TERMINAL != 0
                    chars += size + tail + 1
                    at = end + tail + 1
                    continue
        begin, union, kind, width, more = at, 0, 0, 1, 0
        while at < last:
            byte = I64(data[at])
            if byte < 0x80:
                kind, width = I64(table[byte]), 1
            else:
                point, width = decode(data, at)
                kind = I64(table[point]) if point < SIZE else 0
            if kind & SPACE or (at - begin - more >= LONGEST and (union | kind) & ~_CASED):
                break
            more += width - 1
            union |= kind
            at += width
        size = at - begin - more
        if union | _CASED == _CASED or union | NUMBER | WORD == NUMBER | WORD:
            if size:
                hashes[used] = hash_token(data, begin, at)
                lengths[used] = size
                begins[used] = chars
                used += 1
                if union & WORD:
                    words += 1
                    word_chars += size
                    alpha_words += I64(union & ALPHA != 0)
                sentences += I64(fresh or stopped)
                fresh = stopped = False
        else:
            spot = begin
            for i in range(size):
                point, step = decode(data, spot)
                points[i] = point
                kinds[i] = table[point] if point < SIZE else U16(0)
                spots[i] = spot
                spot += step
            spots[size] = at
            middle, end = _trim(data, spots, points, kinds, cut, size, union, whole, units)
            if union & SINGLE:
                _split_single(kinds, cut, size, spots, starts)
            elif end - middle > 2 and not _address(points, kinds, middle, end):
                _split(points, kinds, cut, middle, end)
            start = 0
            while start < size:
                stop = start + 1
                seen = common = I64(kinds[start])
                while stop < size and not cut[stop]:
                    seen |= I64(kinds[stop])
                    common &= I64(kinds[stop])
                    stop += 1
                hashes[used] = hash_token(data, spots[start], spots[stop])
                lengths[used] = stop - start
                begins[used] = chars + start
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
            for i in range(size + 1):
                cut[i] = 0
        chars += size
        if at < last and kind & SPACE:
            chars += 1
            fresh |= kind & BREAK != 0
            at += width
    count[_CHARS] = chars
    count[_TOKENS] = used - before
    count[_WORDS] = words
    count[_WORD_CHARS] = word_chars
    count[_ALPHA_WORDS] = alpha_words
    count[_SENTENCES] = sentences
    return used
