"""Compiled loops over what is repeated in a text: n-grams of tokens, lines, paragraphs.

Every function takes the documents of a batch as flat arrays with bounds, needs time linear in their length whatever
they hold, and runs without the interpreter's lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.characters import BREAK, SIZE, SPACE, TERMINAL
from filters.hashing import I64, STEP, U8, U64, Bytes, Hashes, Ints, finish, hash_bytes, inlined, kernel
from filters.tokens import Kinds, Points, decode

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
def distinct_listed(hashes: Hashes, bounds: Ints, which: Ints, lists: Ints, words: Ints, wanted: Hashes) -> Ints:
    """Count how many different words of a short list each document has.

    Args:
        hashes, bounds: of the tokens of all documents.
        which: the list of each document, -1 for none.
        lists: list k has the words `lists[k]:lists[k + 1]`.
        words: word j has the tokens `wanted[words[j]:words[j + 1]]`, and stands where they do in a row.

    Returns:
        shape [documents]; -1 where there is no list.
    """
    out = np.full(len(bounds) - 1, -1, I64)
    seen = np.full(len(words), -1, I64)
    for document in range(len(out)):
        if which[document] < 0:
            continue
        out[document] = 0
        first, last = lists[which[document]], lists[which[document] + 1]
        sieve = _sieve(first, last, document, seen, words, wanted)
        i, end = bounds[document], bounds[document + 1]
        while i < end and sieve:  # most documents have every word of a list of stop words soon
            if sieve >> (hashes[i] & U64(63)) & _ONE:
                for j in range(first, last):
                    if wanted[words[j]] != hashes[i] or seen[j] == document or i + words[j + 1] - words[j] > end:
                        continue
                    at = words[j] + 1
                    while at < words[j + 1] and wanted[at] == hashes[i + at - words[j]]:
                        at += 1
                    if at == words[j + 1]:
                        seen[j] = document
                        out[document] += 1
                        sieve = _sieve(first, last, document, seen, words, wanted)
            i += 1
    return out


@kernel
def _sieve(first: int, last: int, document: int, seen: Ints, words: Ints, wanted: Hashes) -> np.uint64:
    """Return a bit for what the first tokens of the words not seen yet end with."""
    sieve = U64(0)
    for j in range(first, last):
        if seen[j] != document:
            sieve |= _ONE << (wanted[words[j]] & U64(63))
    return sieve


@inlined
def slots_for(entries: int) -> int:
    """Return a size of hash table, a power of two, that `entries` fill to a half at most."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@inlined
def number_of(slots: NDArray[np.int32], mask: int, keys: Hashes, entries: int, key: np.uint64) -> int:
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
def repeated_ngrams(hashes: Hashes, lengths: Points, bounds: Ints) -> Ints:
    """Count the characters of repeated n-grams, as in the Gopher repetition rules.

    An n-gram that occurs twice begins with an (n-1)-gram that occurs twice, and ends with one. So each level only looks
    at places that the level before found repeated, and from the triples on it names an n-gram by the pair of names of
    those two; after the pairs there is little left to do in a text that does not repeat itself. Most tokens and pairs
    that occur once are found out by small counters, which several hashes share, before any table is asked.

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
def repeated_pairs(hashes: Hashes, first: int, total: int, seen: Bytes, pairs: Hashes, places: Ints) -> int:
    """Write the hashes and places of pairs of tokens that may occur twice; return how many they are."""
    size = 2 * slots_for(total)
    mask = U64(size - 1)
    for i in range(size):
        seen[i] = 0
    for i in range(first, first + total):
        seen[hashes[i] & mask] = seen[hashes[i] & mask] << U8(1) | U8(1)
    found = 0
    again = seen[hashes[first] & mask] & U8(2)
    for i in range(total - 1):
        before, again = again, seen[hashes[first + i + 1] & mask] & U8(2)
        pairs[found] = hashes[first + i] * STEP + hashes[first + i + 1]
        places[found] = i
        found += I64(before & again != 0)
    for i in range(size):
        seen[i] = 0
    for i in range(found):
        seen[pairs[i] & mask] = seen[pairs[i] & mask] << U8(1) | U8(1)
    left = 0
    for i in range(found):
        pairs[left] = pairs[i]
        places[left] = places[i]
        left += I64(seen[pairs[left] & mask] & U8(2) != 0)
    return left


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
            out[n - 2] = (ends[best + n] - ends[best] + n - 1) * count
        left = 0
        for i in range(found):
            if counts[names[i]] > 1:
                places[left] = places[i]
                names[left] = names[i]
                left += 1
        if n >= 5:
            free = 0
            for number in range(entries):
                counts[number] = 0
            for i in range(left):
                place = places[i]
                if place < free:
                    continue
                if counts[names[i]]:
                    out[n - 2] += ends[place + n] - ends[place]
                    free = place + n
                counts[names[i]] = 1
        if left < 2 and n >= 4:
            break


@njit(cache=True, nogil=True)
def lines(data: Bytes, offsets: Ints, table: Kinds, short: int) -> Ints:
    """Count what the rules about lines and paragraphs need.

    Three notions of a line are in use: runs of text between newlines, as in `re.split("\\n+", text)` (`runs`, Gopher's
    repetition), lines between single newlines that are not blank (`full_lines`, FineWeb), and `str.splitlines`
    (`lines`, Gopher's quality). A paragraph is what `re.split("\\n{2,}", text.strip())` gives.

    One look at every byte finds the newlines; what else is asked of a line shows at its ends.

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
    ends = np.empty(32, I64)
    chars = np.empty(32, I64)
    marked = _marked_bytes()
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        newlines = 0
        for i in range(begin, end):
            newlines += I64(data[i] == _NEWLINE)
        size = slots_for(newlines + 1)
        if size > len(slots):
            slots = np.zeros(size, I32)
            keys = np.empty(size // 2, U64)
            ends = np.empty(size // 2, I64)
            chars = np.empty(size // 2, I64)
        count = out[document]
        count[_NEWLINES] = newlines
        _scan(data, begin, end, table, marked, ends, chars, count)
        slots[:size] = 0
        _newline_lines(data, begin, table, short, ends, chars, newlines, slots, size - 1, keys, count)
        if newlines:
            slots[:size] = 0
        _paragraphs(data, begin, end, table, ends, chars, newlines, slots, size - 1, keys, count)
    return out


@njit(cache=True, nogil=True)
def _marked_bytes() -> Bytes:
    """Return 1 for each byte that begins something to count: a line break, `#`, a dot or an ellipsis."""
    marked = np.zeros(256, U8)
    for byte in (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x23, 0x2E, 0xC2, 0xE2):
        marked[byte] = 1
    return marked


@kernel
def _scan(data: Bytes, begin: int, end: int, table: Kinds, marked: Bytes, ends: Ints, chars: Ints, count: Ints) -> None:
    """Count symbols and the lines of `str.splitlines`; write where newlines are, in bytes and in characters.

    The end of the document stands after the last newline.
    """
    found = later = 0
    start = at = begin
    while at < end:
        byte = data[at]
        later += I64(byte & 0xC0 == 0x80)
        if not marked[byte]:
            at += 1
            continue
        if byte == _SHARP:
            count[_HASHES] += 1
            at += 1
        elif byte == _DOT:
            first = at
            while at < end and data[at] == _DOT:
                at += 1
            count[_ELLIPSES] += (at - first) // 3
        elif byte == _NEWLINE:
            ends[found] = at
            chars[found] = at - begin - later
            found += 1
            if not (at == start and at > begin and data[at - 1] == _RETURN):
                _line(data, start, at, table, count)
            at += 1
            start = at
        else:
            point, width = decode(data, at)
            if point == _ELLIPSIS:
                count[_ELLIPSES] += 1
            elif point < SIZE and table[point] & BREAK:
                _line(data, start, at, table, count)
                start = at + width
            later += width - 1
            at += width
    if start < end:
        _line(data, start, end, table, count)
    ends[found] = end
    chars[found] = end - begin - later


@kernel
def _line(data: Bytes, first: int, last: int, table: Kinds, count: Ints) -> None:
    """Count one line of `str.splitlines`: whether it begins with a bullet, and ends with an ellipsis."""
    count[_LINES] += 1
    first, last = strip(data, first, last, table)
    if first == last:
        return
    point, _ = decode(data, first)
    count[_BULLET_LINES] += I64(point == _HYPHEN or point == _BULLET)
    if data[last - 1] == _DOT:
        count[_ELLIPSIS_LINES] += I64(last - first > 2 and data[last - 2] == _DOT and data[last - 3] == _DOT)
    elif last - first > 2 and data[last - 1] == 0xA6:
        count[_ELLIPSIS_LINES] += I64(data[last - 2] == 0x80 and data[last - 3] == 0xE2)


@kernel
def strip(data: Bytes, first: int, last: int, table: Kinds) -> tuple[int, int]:
    """Return the bounds of a text without the white space at its ends."""
    while first < last:
        point, width = decode(data, first)
        if point >= SIZE or not table[point] & SPACE:
            break
        first += width
    while first < last:
        start = last_character(data, last)
        point, _ = decode(data, start)
        if point >= SIZE or not table[point] & SPACE:
            break
        last = start
    return first, last


@inlined
def last_character(data: Bytes, last: int) -> int:
    """Return where the character starts that ends right before a byte."""
    last -= 1
    while data[last] & 0xC0 == 0x80:
        last -= 1
    return last


@kernel
def _newline_lines(
    data: Bytes,
    begin: int,
    table: Kinds,
    short: int,
    ends: Ints,
    chars: Ints,
    newlines: int,
    slots: NDArray[np.int32],
    mask: int,
    keys: Hashes,
    count: Ints,
) -> None:
    """Count lines between newlines and those that occurred before."""
    entries, start, chars_before = 0, begin, 0
    # re.split gives an empty first and last line to a text that begins and ends with a newline.
    edges = I64(newlines > 0 and ends[0] == begin) + I64(newlines > 0 and ends[newlines] == ends[newlines - 1] + 1)
    count[_RUNS] = max(edges, I64(ends[newlines] == begin))
    count[_DUPLICATE_RUNS] = I64(edges == 2)
    for i in range(newlines + 1):
        end, length = ends[i], chars[i] - chars_before
        if end > start:
            first, last = strip(data, start, end, table)
            count[_RUNS] += 1
            number = number_of(slots, mask, keys, entries, hash_bytes(data, start, end))
            if number == entries:
                entries += 1
            else:
                count[_DUPLICATE_RUNS] += 1
                count[_DUPLICATE_CHARS] += length
                count[_BLANK_DUPLICATE_CHARS] += length if first == last else 0
            if first < last:
                count[_FULL_LINES] += 1
                point, _ = decode(data, last_character(data, end))
                count[_TERMINAL_LINES] += I64(point < SIZE and table[point] & TERMINAL != 0)
                count[_SHORT_LINES] += I64(length <= short)
        start, chars_before = end + 1, chars[i] + 1


@kernel
def _paragraphs(
    data: Bytes,
    begin: int,
    end: int,
    table: Kinds,
    ends: Ints,
    chars: Ints,
    newlines: int,
    slots: NDArray[np.int32],
    mask: int,
    keys: Hashes,
    count: Ints,
) -> None:
    """Count paragraphs, and those that occurred before."""
    start, last = strip(data, begin, end, table)
    before = _count_characters(data, begin, start)
    entries = i = 0
    while i < newlines and ends[i] < start:
        i += 1
    while True:
        while i < newlines and ends[i] < last and data[ends[i] + 1] != _NEWLINE:
            i += 1
        final = i == newlines or ends[i] >= last
        stop = last if final else ends[i]
        count[_PARAGRAPHS] += 1
        number = number_of(slots, mask, keys, entries, hash_bytes(data, start, stop))
        if number == entries:
            entries += 1
        else:
            count[_DUPLICATE_PARAGRAPHS] += 1
            count[_DUPLICATE_PARAGRAPH_CHARS] += _count_characters(data, start, stop) if final else chars[i] - before
        if final:
            return
        while data[ends[i] + 1] == _NEWLINE:
            i += 1
        start, before = ends[i] + 1, chars[i] + 1
        i += 1


@kernel
def _count_characters(data: Bytes, first: int, last: int) -> int:
    found = 0
    for i in range(first, last):
        found += I64(data[i] & 0xC0 != 0x80)
    return found
