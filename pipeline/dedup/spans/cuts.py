"""Compiled work on stretches of documents: which are one, which marks go with them, and the text without them.

Stretches are three arrays, document, start and end in bytes of the document, sorted by document and start.
"""

import numpy as np

from filters.characters import SIZE, SPACE
from filters.compiled import compiled
from filters.hashing import I64, U8, Bytes, Ints, kernel
from filters.kernels import last_character
from filters.tokens import Kinds, decode
from pipeline.dedup.alphabet import ALONE, DIGIT, POINT, WORD, Alphabet
from pipeline.dedup.spans.words import kind_of, next_word

_NEWLINE, _CR, _BLANK = ord("\n"), ord("\r"), ord(" ")

Stretches = tuple[Ints, Ints, Ints]


@compiled
def unite(docs: Ints, starts: Ints, ends: Ints) -> Stretches:
    """Join stretches that overlap or touch."""
    out_docs, out_starts, out_ends = np.empty_like(docs), np.empty_like(docs), np.empty_like(docs)
    found = 0
    for i in range(len(docs)):
        if found and out_docs[found - 1] == docs[i] and starts[i] <= out_ends[found - 1]:
            out_ends[found - 1] = max(out_ends[found - 1], ends[i])
            continue
        out_docs[found], out_starts[found], out_ends[found] = docs[i], starts[i], ends[i]
        found += 1
    return out_docs[:found], out_starts[:found], out_ends[:found]


@kernel
def _copy(data: Bytes, first: int, last: int, out: Bytes, used: int) -> int:
    for i in range(first, last):
        out[used + i - first] = data[i]
    return used + max(0, last - first)


@compiled
def slices(data: Bytes, offsets: Ints, docs: Ints, starts: Ints, ends: Ints) -> tuple[Bytes, Ints]:
    """The bytes of stretches one behind another, and their bounds."""
    bounds = np.zeros(len(docs) + 1, I64)
    for i in range(len(docs)):
        bounds[i + 1] = bounds[i] + ends[i] - starts[i]
    out = np.empty(bounds[-1], U8)
    for i in range(len(docs)):
        _copy(data, offsets[docs[i]] + starts[i], offsets[docs[i]] + ends[i], out, bounds[i])
    return out, bounds


@compiled
def unite_near(
    data: Bytes, offsets: Ints, letters: Alphabet, docs: Ints, starts: Ints, ends: Ints, most: int
) -> Stretches:
    """Join stretches with up to `most` words between them."""
    out_docs, out_starts, out_ends = np.empty_like(docs), np.empty_like(docs), np.empty_like(docs)
    found = 0
    for i in range(len(docs)):
        if found and out_docs[found - 1] == docs[i]:
            at, last, words = offsets[docs[i]] + out_ends[found - 1], offsets[docs[i]] + starts[i], 0
            while words <= most and at < last:
                _, begin, at = next_word(data, at, last, letters)
                words += I64(begin < last)
            if words <= most:
                out_ends[found - 1] = ends[i]
                continue
        out_docs[found], out_starts[found], out_ends[found] = docs[i], starts[i], ends[i]
        found += 1
    return out_docs[:found], out_starts[:found], out_ends[:found]


@compiled
def without(docs: Ints, starts: Ints, ends: Ints, taken: Stretches) -> tuple[Ints, Ints, Ints]:
    """What is left of stretches when other ones, disjoint, and all stretches before are taken away.

    Returns for each piece that is left: the number of its stretch, start and end.
    """
    taken_docs, taken_starts, taken_ends = taken
    room = len(docs) + len(taken_docs)
    which, lefts, rights = np.empty(room, I64), np.empty(room, I64), np.empty(room, I64)
    found = first = covered = 0
    for i in range(len(docs)):
        if i and docs[i] != docs[i - 1]:
            covered = 0
        at, end = max(starts[i], covered), ends[i]
        covered = max(covered, end)
        while first < len(taken_docs) and (
            taken_docs[first] < docs[i] or (taken_docs[first] == docs[i] and taken_ends[first] <= at)
        ):
            first += 1
        k = first
        while at < end:
            inside = k < len(taken_docs) and taken_docs[k] == docs[i] and taken_starts[k] < end
            stop = max(at, taken_starts[k]) if inside else end
            if stop > at:
                which[found], lefts[found], rights[found] = i, at, stop
                found += 1
            at = max(at, taken_ends[k]) if inside else end
            k += 1
    return which[:found], lefts[:found], rights[:found]


@compiled
def with_marks(
    data: Bytes, offsets: Ints, letters: Alphabet, table: Kinds, docs: Ints, starts: Ints, ends: Ints
) -> Stretches:
    """Stretches from word to word, with the marks that hang on their first and their last word.

    Between two words these are what stands up to the first white space, and from behind the last one; where a line
    ends between them, what stands up to its end, and from the beginning of the line; and where there is no white space,
    all, with the word before it.

    Args:
        table: flags by code point, `characters.table()`.
    """
    lefts, rights = np.empty_like(starts), np.empty_like(ends)
    for i in range(len(docs)):
        begin, end = offsets[docs[i]], offsets[docs[i] + 1]
        lefts[i] = _marks_before(data, letters.kind, table, begin, begin + starts[i]) - begin
        rights[i] = _marks_after(data, letters, table, begin + ends[i], end) - begin
    return docs, lefts, rights


@kernel
def _marks_before(data: Bytes, kinds: Bytes, table: Kinds, begin: int, at: int) -> int:
    first, place, spaced = at, at, False
    while at > begin:
        at = last_character(data, at)
        point, width = decode(data, at)
        if point == _NEWLINE:
            return at + 1
        kind = kind_of(kinds, point)
        if kind == WORD or kind == ALONE or kind == DIGIT:
            return place if spaced else first
        if not spaced and point < SIZE and table[point] & SPACE:
            place, spaced = at + width, True
    return begin


@kernel
def _marks_after(data: Bytes, letters: Alphabet, table: Kinds, at: int, end: int) -> int:
    place, spaced = at, False
    while at < end:
        point, width = decode(data, at)
        if point == _NEWLINE:
            return at - 1 if data[at - 1] == _CR else at
        kind = kind_of(letters.kind, point)
        # accents and the like, of which nothing is left in a word, hang on the letter before
        if kind == DIGIT or ((kind == WORD or kind == ALONE) and letters.starts[point] < letters.starts[point + 1]):
            return place if spaced else at
        if not spaced and point < SIZE and table[point] & SPACE:
            place, spaced = at, True
        at += width
    return end


@compiled
def strike(data: Bytes, offsets: Ints, kinds: Bytes, table: Kinds, cuts: Stretches) -> tuple[Bytes, Ints]:
    """Return documents without some stretches, as data and offsets.

    Of the white space before and after a stretch one is kept: that with more newlines. At the beginning of a document
    neither is, but for the indentation of the line that follows; at its end that which ends the document. A space comes
    between two letters or digits that nothing parts any more, unless one is of a script without spaces.

    Args:
        kinds, table: of the alphabet, and `characters.table()`, by code point.
    """
    docs, starts, ends = cuts
    out, bounds = np.empty(offsets[-1] - offsets[0], U8), np.zeros(len(offsets), I64)
    used = cut = 0
    for document in range(len(offsets) - 1):
        base, end, at = offsets[document], offsets[document + 1], offsets[document]
        first = used
        while cut < len(docs) and docs[cut] == document:
            left, right = base + starts[cut], base + ends[cut]
            cut += 1
            used = _copy(data, at, left, out, used)
            at = _space_end(data, right, end, table)
            while cut < len(docs) and docs[cut] == document and base + starts[cut] <= at:
                right = max(right, base + ends[cut])
                at = _space_end(data, right, end, table)
                cut += 1
            before = _space_start(out, first, used, table)
            if before == first:
                used = first
                at = _after_newlines(data, right, at)
            elif at == end:
                used, at = before, right
            elif right < at and _newlines(data, right, at) >= _newlines(out, before, used):
                used, at = before, right
            else:
                # where the line before ended, the next one begins with its indentation; elsewhere words were parted
                if before < used:
                    at = _after_newlines(data, right, at)
                elif _in_word(out, last_character(out, used), kinds) and _in_word(data, at, kinds):
                    out[used] = _BLANK
                    used += 1
        used = _copy(data, at, end, out, used)
        bounds[document + 1] = used
    return out[:used], bounds


@kernel
def _in_word(data: Bytes, at: int, kinds: Bytes) -> bool:
    point, _ = decode(data, at)
    kind = kind_of(kinds, point)
    return kind == WORD or kind == DIGIT or kind == POINT


@kernel
def _space_end(data: Bytes, at: int, end: int, table: Kinds) -> int:
    while at < end:
        point, width = decode(data, at)
        if point >= SIZE or not table[point] & SPACE:
            break
        at += width
    return at


@kernel
def _space_start(data: Bytes, begin: int, at: int, table: Kinds) -> int:
    while at > begin:
        start = last_character(data, at)
        point, _ = decode(data, start)
        if point >= SIZE or not table[point] & SPACE:
            break
        at = start
    return at


@kernel
def _newlines(data: Bytes, first: int, last: int) -> int:
    count = 0
    for i in range(first, last):
        count += I64(data[i] == _NEWLINE)
    return count


@kernel
def _after_newlines(data: Bytes, first: int, last: int) -> int:
    """Where white space goes on after its last newline; its end, if it has none."""
    for i in range(last - 1, first - 1, -1):
        if data[i] == _NEWLINE:
            return i + 1
    return last


@compiled
def characters_before(data: Bytes, offsets: Ints, docs: Ints, places: Ints) -> Ints:
    """For bytes of documents, in order, the number of characters before each in its document."""
    out = np.empty(len(places), I64)
    at = count = 0
    for i in range(len(places)):
        if i == 0 or docs[i] != docs[i - 1] or places[i] < at:
            at = count = 0
        base = offsets[docs[i]]
        while at < places[i]:
            count += I64(data[base + at] & 0xC0 != 0x80)
            at += 1
        out[i] = count
    return out
