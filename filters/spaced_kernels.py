"""Compiled loops over words between white space, and over their n-grams.

What is a word here is what `str.split` gives: punctuation stays on it, and a script without spaces has few. It is all
that Dolma, DCLM and NeMo Curator look at. Time is linear in the bytes.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.character_classes import ALPHA, ALPHANUMERIC, SIZE, SPACE, SYMBOL
from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, hash_bytes, hash_token, inlined, kernel, letters_end
from filters.kernels import number_of, repeated_pairs, slots_for
from filters.tokens import Points, decode

I32 = np.int32

WORD_COUNTS = (
    "words",
    "word_chars",
    "longest_word",
    "twice_median",
    "alpha_words",
    "spoken_words",
    "symbol_words",
    "hash_words",
)
(
    _WORDS,
    _WORD_CHARS,
    _LONGEST_WORD,
    _TWICE_MEDIAN,
    _ALPHA_WORDS,
    _SPOKEN_WORDS,
    _SYMBOL_WORDS,
    _HASH_WORDS,
) = range(8)

NGRAM_COUNTS = (
    *(f"top_{n}_gram_chars" for n in (2, 3, 4)),
    *(f"top_{n}_gram_place" for n in (2, 3, 4)),
    *(f"copies_{n}_gram_chars" for n in range(5, 11)),
    *(f"all_{n}_gram_chars" for n in range(5, 11)),
    *(f"covered_{n}_gram_chars" for n in range(5, 11)),
)
_TOP, _TOP_PLACE, _COPIES_OF, _ALL, _COVERED = 0, 3, 6, 12, 18

_SHARP = 0x23
_HALF, _ONE = U64(32), U64(1)


@inlined
def kind_of(data: Bytes, at: int, classes: Bytes) -> tuple[int, int]:
    """Return the class of the character at a byte, and its width in bytes."""
    if data[at] < 0x80:
        return I64(classes[data[at]]), 1
    point, width = decode(data, at)
    return I64(classes[point]) if point < SIZE else I64(0), width


@njit(cache=True, nogil=True)
def words(
    data: Bytes, offsets: Ints, classes: Bytes, hashes: Hashes, lengths: Points, starts: Points, ends: Points
) -> tuple[Ints, Ints]:
    """Split documents at white space.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        classes: by code point, `character_classes.classes()`.
        hashes, lengths, starts, ends: written here: hash, length in characters and place in bytes, from the start of
            the document, of all words. There must be room for a word for every second byte of a document.

    Returns:
        bounds: document d has the words `bounds[d]:bounds[d + 1]`; and counts `[documents, 8]`, columns as in
        `WORD_COUNTS`: spoken words begin with a letter or a number, symbol words have `#` or `…` in them, hash words
        more runs of `#` than half their characters.
    """
    documents = len(offsets) - 1
    bounds = np.zeros(documents + 1, I64)
    counts = np.zeros((documents, 8), I64)
    for document in range(documents):
        bounds[document + 1] = _split(
            data,
            offsets[document],
            offsets[document + 1],
            classes,
            hashes,
            lengths,
            starts,
            ends,
            bounds[document],
            counts[document],
        )
    return bounds, counts


@kernel
def _split(
    data: Bytes,
    first: int,
    last: int,
    classes: Bytes,
    hashes: Hashes,
    lengths: Points,
    starts: Points,
    ends: Points,
    used: int,
    count: Ints,
) -> int:
    """Write the words of one document behind the `used` ones; return how many there are then."""
    before, at = used, first
    while at < last:
        kind, width = kind_of(data, at, classes)
        if kind & SPACE:
            at += width
            continue
        start, chars, seen, runs = at, 0, 0, 0
        spoken = kind & (ALPHA | ALPHANUMERIC)
        while at < last:
            if kind & ALPHA and width == 1:
                end = letters_end(data, at, last)
                chars += end - at
                at = end
                seen |= ALPHA
            else:
                seen |= kind
                if kind & SYMBOL and width == 1:
                    runs += I64(at == start or data[at - 1] != _SHARP)
                chars += 1
                at += width
            if at < last:
                kind, width = kind_of(data, at, classes)
                if kind & SPACE:
                    break
        hashes[used] = hash_token(data, start, at)
        lengths[used] = chars
        starts[used] = start - first
        ends[used] = at - first
        used += 1
        count[_WORD_CHARS] += chars
        count[_LONGEST_WORD] = max(count[_LONGEST_WORD], chars)
        count[_ALPHA_WORDS] += I64(seen & ALPHA != 0)
        count[_SPOKEN_WORDS] += I64(spoken != 0)
        count[_SYMBOL_WORDS] += I64(seen & SYMBOL != 0)
        count[_HASH_WORDS] += I64(2 * runs > chars)
    total = used - before
    count[_WORDS] = total
    if total:
        middle = _ranked(lengths, before, used, total // 2, count[_LONGEST_WORD])
        other = middle if total & 1 else _ranked(lengths, before, used, total // 2 - 1, middle)
        count[_TWICE_MEDIAN] = middle + other
    return used


@kernel
def _ranked(lengths: Points, first: int, last: int, rank: int, most: int) -> int:
    """Return the length that stands at a place, from 0, when lengths of up to `most` are in order: found by halving."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        below = 0
        for i in range(first, last):
            below += I64(I64(lengths[i]) <= middle)
        if below > rank:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True)
def listed(
    data: Bytes,
    offsets: Ints,
    hashes: Hashes,
    starts: Points,
    ends: Points,
    bounds: Ints,
    wanted: Hashes,
    longest: int,
    fold: bool,
) -> Ints:
    """Count the words of each document that are in a short list, every time they occur.

    Args:
        data, offsets, hashes, starts, ends, bounds: the words, as `words` takes and gives them.
        wanted: hashes of the listed words.
        longest: bytes of the longest of them.
        fold: whether capitals of ASCII count as small letters.

    Returns:
        counts `[documents]`.
    """
    out = np.zeros(len(bounds) - 1, I64)
    small = np.zeros(longest + 8, U8)
    sieve = U64(0)
    for value in wanted:
        sieve |= _ONE << (value & U64(63))
    for document in range(len(out)):
        for i in range(bounds[document], bounds[document + 1]):
            size = I64(ends[i]) - I64(starts[i])
            if size > longest:
                continue
            value = hashes[i]
            if fold:
                begin = offsets[document] + I64(starts[i])
                for j in range(size):
                    small[j] = lower(data[begin + j])
                value = hash_bytes(small, 0, size)
            if sieve >> (value & U64(63)) & _ONE:
                for other in wanted:
                    if other == value:
                        out[document] += 1
                        break
    return out


@inlined
def lower(byte: np.uint8) -> np.uint8:
    """Return the small letter for a capital of ASCII, and any other byte as it is."""
    return U8(byte | 0x20 if 0x41 <= byte <= 0x5A else byte)


@inlined
def reads(data: Bytes, at: int, marks: Bytes, first: int, last: int) -> bool:
    """Whether `marks[first:last]`, in small letters, stands at a byte; the caller sees to it that there is room."""
    i = first
    while i < last and lower(data[at + i - first]) == marks[i]:
        i += 1
    return i == last


@njit(cache=True, nogil=True)
def ngrams(hashes: Hashes, lengths: Points, bounds: Ints) -> Ints:
    """Count the characters of repeated n-grams of words, as Dolma and as NeMo Curator do.

    The way is that of `filters.kernels.repeated_ngrams`: each level only looks at places that the level before found
    repeated.

    Returns:
        counts `[documents, 24]`, columns as in `NGRAM_COUNTS`. For n = 2, 3, 4, of the most frequent n-gram (the
        earliest of those equally frequent, even if it occurs once): the characters of its words times its count, and
        the word at which it first stands. For n = 5 to 10: the characters of the words of all n-grams that occur more
        than once; the same of all n-grams; and the characters of the words of n-grams that occurred before, with the
        spaces inside these n-grams, nothing counted twice.
    """
    documents = len(bounds) - 1
    out = np.zeros((documents, 24), I64)
    most = 0
    for document in range(documents):
        most = max(most, bounds[document + 1] - bounds[document])
    seen = np.empty(2 * slots_for(most), U8)
    slots = np.empty(slots_for(most), I32)
    keys = np.empty(most + 1, U64)
    pairs = np.empty(most + 1, U64)
    counts = np.empty(most + 1, I32)
    firsts = np.empty(most + 1, I64)
    places = np.empty(most + 1, I64)
    names = np.empty(most + 1, I32)
    ends = np.empty(most + 1, I64)
    for document in range(documents):
        first, total = bounds[document], bounds[document + 1] - bounds[document]
        if total < 2:
            continue
        ends[0] = 0
        for i in range(total):
            ends[i + 1] = ends[i] + I64(lengths[first + i])
        left = repeated_pairs(hashes, first, total, seen, pairs, places)
        _levels(total, left, slots, keys, pairs, counts, firsts, places, names, ends, out[document])
    return out


@kernel
def _levels(
    total: int,
    left: int,
    slots: NDArray[np.int32],
    keys: Hashes,
    pairs: Hashes,
    counts: NDArray[np.int32],
    firsts: Ints,
    places: Ints,
    names: NDArray[np.int32],
    ends: Ints,
    out: Ints,
) -> None:
    """Count n-grams from the pairs on, of which `left` may occur twice."""
    for n in range(5, min(total, 10) + 1):
        for i in range(total - n + 1):
            out[_ALL + n - 5] += ends[i + n] - ends[i]
    for n in range(2, min(total, 10) + 1):
        candidates = left if n == 2 else left - 1
        size = slots_for(candidates)
        for i in range(size):
            slots[i] = 0
        entries, found = 0, 0
        for i in range(candidates):
            if n == 2:
                key = pairs[i]
            elif places[i + 1] == places[i] + 1:
                key = U64(names[i]) << _HALF | U64(names[i + 1])
            else:
                continue
            number = number_of(slots, size - 1, keys, entries, key)
            if number == entries:
                counts[number] = 1
                firsts[number] = places[i]
                entries += 1
            else:
                counts[number] += 1
            places[found] = places[i]
            names[found] = number
            found += 1
        if n <= 4:
            best, count = 0, 1
            for number in range(entries):
                if counts[number] > count:
                    best, count = firsts[number], counts[number]
            out[_TOP + n - 2] = (ends[best + n] - ends[best]) * count
            out[_TOP_PLACE + n - 2] = best
        left = 0
        for i in range(found):
            if counts[names[i]] > 1:
                places[left] = places[i]
                names[left] = names[i]
                left += 1
        if n >= 5:
            for number in range(entries):
                counts[number] = 0
            covered = 0
            for i in range(left):
                place = places[i]
                out[_COPIES_OF + n - 5] += ends[place + n] - ends[place]
                if counts[names[i]]:
                    spaces = n - 1 if covered <= place else place + n - covered
                    out[_COVERED + n - 5] += ends[place + n] - ends[max(place, covered)] + spaces
                    covered = place + n
                counts[names[i]] = 1
        if left < 2 and n >= 4:
            break


@njit(cache=True, nogil=True)
def bytes_of(data: Bytes, offsets: Ints, groups: Bytes) -> Ints:
    """Count bytes by group: bit g of `groups[byte]` says whether a byte counts in group g.

    Returns:
        counts `[documents, 8]`.
    """
    out = np.zeros((len(offsets) - 1, 8), I64)
    found = np.zeros(256, I64)
    for document in range(len(out)):
        found[:] = 0
        for i in range(offsets[document], offsets[document + 1]):
            found[data[i]] += 1
        for byte in range(256):
            if found[byte]:
                for group in range(8):
                    out[document, group] += found[byte] * (groups[byte] >> group & 1)
    return out
