"""Compiled loops of MinHash: UTF-8 text to words, words to shingles, shingles to a signature and its band keys.

All of them are integer arithmetic modulo 2^64 or 2^32, equal on every machine, and take time linear in the text.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.compiled import compiled
from pipeline.dedup.alphabet import ALONE, ASSIGNED, DIGIT, POINT, SEPARATOR, SLOW, WORD, Alphabet

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

_ROLL = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_1, _32, _33, _63 = np.uint64(1), np.uint64(32), np.uint64(33), np.uint64(63)
_ZERO, _SPACE, _SLOW = np.uint8(ord("0")), np.uint8(ord(" ")), np.uint8(SLOW)


@njit(inline="always")
def _mix64(x: np.uint64) -> np.uint64:
    """The finalizer of MurmurHash3 (Appleby 2011), a bijection in which every bit of x reaches every bit."""
    x = (x ^ (x >> _33)) * _MIX_1
    x = (x ^ (x >> _33)) * _MIX_2
    return x ^ (x >> _33)


@njit(inline="always")
def _mix32(x: np.uint32) -> np.uint32:
    """The same in 32 bits, as datasketch applies it to a hash before the permutations."""
    x = np.uint32((x ^ (x >> 16)) * np.uint32(0x85EBCA6B))
    x = np.uint32((x ^ (x >> 13)) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> 16))


@njit(inline="always")
def _decode(data: U8, i: int) -> tuple[int, int]:
    """The code point at byte i of valid UTF-8, and the number of its bytes."""
    first = int(data[i])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[i + 1] & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F), 3
    point = (first & 0x07) << 18 | (data[i + 1] & 0x3F) << 12 | (data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F)
    return point, 4


@njit(inline="always")
def _kind(table: U8, point: int) -> int:
    return table[point] if point < ASSIGNED else SEPARATOR


@njit(inline="always")
def _digits(data: U8, i: int, end: int, table: U8) -> int:
    """The end of the run of digits that begins at byte i; i itself where there is none."""
    while i < end:
        point, width = _decode(data, i)
        if _kind(table, point) != DIGIT:
            break
        i += width
    return i


@njit(inline="always")
def _goes_on(data: U8, i: int, end: int, letters: Alphabet, heads: U8) -> bool:
    """Whether a word of letters of the kind ALONE goes on at byte i, perhaps after marks that become nothing."""
    while i < end:
        point, width = _decode(data, i)
        kind = _kind(letters.kind, point)
        if kind == ALONE:
            return bool(heads[i] == 0)
        if kind != WORD or letters.starts[point] < letters.starts[point + 1]:
            return False
        i += width
    return False


@compiled
def split_words(data: U8, start: int, end: int, letters: Alphabet, heads: U8, out: U8, ends: I64) -> int:
    """Write the words of `data[start:end]`, normalised and with a space after each, to `out`; return their number.

    `ends[k]` becomes the end of word k in `out`. Both need room for one word more than there can be. `heads` is 1 for
    each byte of `data` at which a word of letters of the kind ALONE starts; if empty, each of them is a word.
    """
    table, starts, folded, quick = letters.kind, letters.starts, letters.folded, letters.quick
    used, words, opened, joined = 0, 0, False, False
    i = start
    while i < end:
        # Nothing predicts where words end, so the common case, ASCII letters and separators, has no branch on it.
        byte = quick[data[i]]
        if byte != _SLOW:
            inside = byte != _SPACE
            out[used] = byte
            ends[words] = used
            words += opened and not inside
            used += opened or inside
            opened = inside
            i += 1
            continue
        point, width = _decode(data, i)
        kind = _kind(table, point)
        if kind == DIGIT:
            i = _digits(data, i, end, table)
            if i < end:
                point, width = _decode(data, i)
                if _kind(table, point) == POINT:
                    after = _digits(data, i + width, end, table)
                    if after > i + width:
                        i = after
            out[used] = _ZERO
            used += 1
            opened = True
            continue
        i += width
        if opened and kind != WORD and not joined:
            out[used], ends[words], opened = _SPACE, used, False
            used += 1
            words += 1
        if kind == WORD or kind == ALONE:
            for k in range(starts[point], starts[point + 1]):
                out[used] = folded[k]
                used += 1
                opened = True
        if kind == ALONE:
            joined = len(heads) > 0 and _goes_on(data, i, end, letters, heads)
            if opened and not joined:
                out[used], ends[words], opened = _SPACE, used, False
                used += 1
                words += 1
    if opened:
        out[used], ends[words] = _SPACE, used
        words += 1
    return words


@compiled
def split_characters(text: U8, size: int, ends: I64, hashes: U64) -> int:
    """The same for code points of `text[:size]`: hash each, and write where it ends; return their number."""
    count, i = 0, 0
    while i < size:
        point, width = _decode(text, i)
        i += width
        hashes[count], ends[count] = _mix64(np.uint64(point) * _ROLL + _1), i
        count += 1
    return count


@compiled
def _hash_words(packed: U64, ends: I64, count: int, hashes: U64) -> None:
    """Hash each word of what `split_words` wrote, seen as 64-bit numbers, eight bytes at a time."""
    start = 0
    for k in range(count):
        end = ends[k]
        state = np.uint64(end - start) * _ROLL
        while start < end:
            shift = np.uint64(8 * (start & 7))
            chunk = (packed[start >> 3] >> shift) | (packed[(start >> 3) + 1] << _1 << (_63 - shift))
            if end - start < 8:
                chunk &= (_1 << np.uint64(8 * (end - start))) - _1
            state = _mix64(state ^ chunk)
            start += 8
        hashes[k] = state
        start = end + 1


@compiled
def _shingle_hashes(words: U64, count: int, size: int, out: U32) -> int:
    """Hash each run of `size` words by a rolling polynomial modulo 2^64; return the number of runs."""
    size = min(size, count)
    leading = np.uint64(1)
    for _ in range(size):
        leading *= _ROLL
    state = np.uint64(0)
    for k in range(count):
        state = state * _ROLL + words[k]
        if k >= size:
            state -= leading * words[k - size]
        if k >= size - 1:
            out[k - size + 1] = np.uint32(_mix64(state) >> _32)
    return count - size + 1


@njit(inline="always")
def _rotate(x: np.uint32, by: int) -> np.uint32:
    return np.uint32(np.uint32(x << by) | (x >> (32 - by)))


@compiled
def sha1_32(data: U8, start: int, end: int, schedule: U32) -> np.uint32:
    """The first four bytes of SHA-1 (FIPS 180-4, section 6.1) of `data[start:end]`, read as little-endian.

    `schedule` is scratch of 80 words.
    """
    size = end - start
    h0, h1, h2, h3, h4 = (
        np.uint32(0x67452301),
        np.uint32(0xEFCDAB89),
        np.uint32(0x98BADCFE),
        np.uint32(0x10325476),
        np.uint32(0xC3D2E1F0),
    )
    for block in range(0, size + 9, 64):
        for t in range(16):
            word = np.uint32(0)
            for k in range(block + 4 * t, block + 4 * t + 4):
                byte = np.uint32(data[start + k]) if k < size else np.uint32(0x80 if k == size else 0)
                word = np.uint32(np.uint32(word << 8) | byte)
            schedule[t] = word
        if block + 64 >= size + 9:
            schedule[14] = np.uint32(size >> 29)
            schedule[15] = np.uint32(size << 3)
        for t in range(16, 80):
            schedule[t] = _rotate(schedule[t - 3] ^ schedule[t - 8] ^ schedule[t - 14] ^ schedule[t - 16], 1)
        a, b, c, d, e = h0, h1, h2, h3, h4
        for t in range(80):
            if t < 20:
                f, constant = (b & c) | (~b & d), np.uint32(0x5A827999)
            elif t < 40:
                f, constant = b ^ c ^ d, np.uint32(0x6ED9EBA1)
            elif t < 60:
                f, constant = (b & c) | (b & d) | (c & d), np.uint32(0x8F1BBCDC)
            else:
                f, constant = b ^ c ^ d, np.uint32(0xCA62C1D6)
            mixed = np.uint32(_rotate(a, 5) + np.uint32(f) + e + constant + schedule[t])
            a, b, c, d, e = mixed, a, _rotate(b, 30), c, d
        h0, h1, h2, h3, h4 = (
            np.uint32(h0 + a),
            np.uint32(h1 + b),
            np.uint32(h2 + c),
            np.uint32(h3 + d),
            np.uint32(h4 + e),
        )
    return np.uint32((h0 >> 24) | ((h0 >> 8) & 0xFF00) | ((h0 & 0xFF00) << 8) | np.uint32(h0 << 24))


@compiled
def _shingle_sha1(out: U8, ends: I64, count: int, size: int, gap: int, hashes: U32) -> int:
    """Hash each run of `size` units, `gap` bytes apart, as datasketch would; return the number of runs."""
    size = min(size, count)
    schedule = np.empty(80, np.uint32)
    for k in range(count - size + 1):
        start = ends[k - 1] + gap if k else 0
        hashes[k] = _mix32(sha1_32(out, start, ends[k + size - 1], schedule))
    return count - size + 1


@compiled
def _minima(hashes: U32, count: int, factors: U32, terms: U32, out: U32) -> None:
    """The least value of each permutation h -> factor * h + term modulo 2^32 over the hashes of a document."""
    for p in range(len(factors)):
        factor, term = factors[p], terms[p]
        least = np.uint32(0xFFFFFFFF)
        for k in range(count):
            least = min(least, np.uint32(factor * hashes[k] + term))
        out[p] = least


class How(NamedTuple):
    """How documents become shingles: of how many units, those being code points or else words, hashed by SHA-1 or not;
    `heads` as in `split_words`."""

    letters: Alphabet
    heads: U8
    size: int
    characters: bool
    sha1: bool


@njit(inline="always")
def _longest(offsets: I64) -> int:
    longest = 0
    for k in range(len(offsets) - 1):
        longest = max(longest, offsets[k + 1] - offsets[k])
    return longest


@compiled
def _shingles(data: U8, start: int, end: int, how: How, packed: U64, ends: I64, units: U64, hashes: U32) -> int:
    """Write the hashes of the shingles of `data[start:end]`, in their order, to `hashes`; return their number."""
    text = packed.view(np.uint8)
    count = split_words(data, start, end, how.letters, how.heads, text, ends)
    if count == 0:
        return 0
    if how.characters:
        count = split_characters(text, ends[count - 1], ends, units)
    elif not how.sha1:
        _hash_words(packed, ends, count, units)
    if how.sha1:
        return int(_shingle_sha1(text, ends, count, how.size, 0 if how.characters else 1, hashes))
    return int(_shingle_hashes(units, count, how.size, hashes))


@njit(inline="always")
def _room(longest: int, how: How) -> tuple[U64, I64, U64, U32]:
    """Scratch for `_shingles` of documents of up to `longest` bytes."""
    size = longest * how.letters.growth
    units = size + 1 if how.characters else longest // 2 + 2
    packed = np.empty((size >> 3) + 2, np.uint64)
    return packed, np.empty(units, np.int64), np.empty(units, np.uint64), np.empty(units, np.uint32)


@compiled
def signatures(data: U8, offsets: I64, how: How, factors: U32, terms: U32, out: U32) -> NDArray[np.bool_]:
    """Write the signature of document k, `data[offsets[k]:offsets[k + 1]]`, to `out[k]`; return which have a word.

    A document without one gets the value that no permutation is above, 2^32 - 1, in every place.
    """
    found = np.ones(len(offsets) - 1, np.bool_)
    packed, ends, units, hashes = _room(_longest(offsets), how)
    for k in range(len(offsets) - 1):
        count = _shingles(data, offsets[k], offsets[k + 1], how, packed, ends, units, hashes)
        if count == 0:
            found[k], out[k] = False, np.uint32(0xFFFFFFFF)
        else:
            _minima(hashes, count, factors, terms, out[k])
    return found


@compiled
def shingle_sets(data: U8, offsets: I64, how: How) -> tuple[U32, I64]:
    """The hashes of each document's shingles, sorted and each once, one document after another, and where each ends."""
    packed, units_ends, units, hashes = _room(_longest(offsets), how)
    ends = np.empty(len(offsets) - 1, np.int64)
    values = np.empty(max(1024, offsets[-1] - offsets[0]), np.uint32)
    used = 0
    for k in range(len(offsets) - 1):
        count = _shingles(data, offsets[k], offsets[k + 1], how, packed, units_ends, units, hashes)
        mine = np.sort(hashes[:count])
        if used + count > len(values):
            values = np.concatenate((values, np.empty(used + count, np.uint32)))
        for i in range(count):
            if i == 0 or mine[i] != mine[i - 1]:
                values[used] = mine[i]
                used += 1
        ends[k] = used
    return values[:used].copy(), ends


@compiled
def band_hashes(signature: U32, bands: int, rows: int) -> U64:
    """One 64-bit hash for each band of `rows` values: shape (n, bands * rows) to (n, bands)."""
    out = np.empty((len(signature), bands), np.uint64)
    for k in range(len(signature)):
        for band in range(bands):
            state = _ROLL
            for row in range(band * rows, (band + 1) * rows):
                state = _mix64(state ^ np.uint64(signature[k, row])) * _ROLL
            out[k, band] = _mix64(state)
    return out


@compiled
def text_hashes(data: U8, offsets: I64, letters: Alphabet, normalize: bool) -> tuple[U64, NDArray[np.bool_]]:
    """One 64-bit hash of each whole document, of its words or of its bytes, and which documents have any."""
    out, found = np.zeros(len(offsets) - 1, np.uint64), np.zeros(len(offsets) - 1, np.bool_)
    longest = 0
    for k in range(len(offsets) - 1):
        longest = max(longest, offsets[k + 1] - offsets[k])
    packed = np.empty((longest * letters.growth >> 3) + 2, np.uint64)
    text = packed.view(np.uint8)
    ends, words = np.empty(longest // 2 + 2, np.int64), np.empty(longest // 2 + 1, np.uint64)
    heads = np.empty(0, np.uint8)  # where words end makes no difference here
    for k in range(len(offsets) - 1):
        start, end = offsets[k], offsets[k + 1]
        if normalize:
            count = split_words(data, start, end, letters, heads, text, ends)
        else:
            text[: end - start] = data[start:end]
            ends[0], count = end - start, min(1, end - start)
        _hash_words(packed, ends, count, words)
        state = _ROLL
        for word in words[:count]:
            state = _mix64(state * _ROLL + word)
        out[k], found[k] = state, count > 0
    return out, found
