"""The compiled loop that takes lines out of documents, or phrases out of lines, by the rules of RefinedWeb."""

import numpy as np
from numba import njit

from filters.character_classes import ALPHANUMERIC, DECIMAL, DIGIT, SPACE, UPPER
from filters.hashing import I64, U8, Bytes, Ints, inlined, kernel
from filters.kernels import strip
from filters.spaced_kernels import kind_of, lower, reads
from filters.tokens import Kinds

COUNTS = ("uppercase", "numeric", "counter", "few_words", "phrase", "edited", "words", "words_left")
_UPPERCASE, _NUMERIC, _COUNTER, _FEW_WORDS, _PHRASE, _EDITED, _WORDS, _WORDS_LEFT = range(8)

ANYWHERE, AT_END, AT_START = 0, 1, 2

_NEWLINE, _COMMA, _DOT, _UNDERSCORE = 0x0A, 0x2C, 0x2E, 0x5F
_K, _M, _B = 0x6B, 0x6D, 0x62


@njit(cache=True, nogil=True)
def clean(
    data: Bytes,
    offsets: Ints,
    classes: Bytes,
    table: Kinds,
    max_uppercase: float,
    max_numeric: float,
    min_words: int,
    short_words: int,
    counters: Bytes,
    counter_bounds: Ints,
    phrases: Bytes,
    phrase_bounds: Ints,
    places: Ints,
) -> tuple[Bytes, Ints, Ints]:
    """Remove lines, and phrases from short lines.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        classes, table: by code point, `character_classes.classes()` and `characters.table()`.
        max_uppercase, max_numeric: shares of a line's characters.
        min_words: of a line that has any; words are what white space parts.
        short_words: the most words of a line that phrases are taken from.
        counters, counter_bounds: what is counted, in small letters; word c is
            `counters[counter_bounds[c]:counter_bounds[c + 1]]`.
        phrases, phrase_bounds, places: phrases in small letters, and where they stand in a line: `ANYWHERE` and so on.

    Returns:
        the documents as they are then, as data and offsets, and counts `[documents, 8]`, columns as in `COUNTS`: lines
        removed, by reason; lines that lost a phrase and stayed; words that begin with a letter or number before, and
        after.
    """
    documents = len(offsets) - 1
    out = np.empty(offsets[documents] - offsets[0], U8)
    bounds = np.zeros(documents + 1, I64)
    counts = np.zeros((documents, 8), I64)
    for document in range(documents):
        base = used = bounds[document]
        count = counts[document]
        start, end = offsets[document], offsets[document + 1]
        kept = 0
        for at in range(start, end + 1):
            if at < end and data[at] != _NEWLINE:
                continue
            chars, upper, digits, words, spoken = _look(data, start, at, classes)
            count[_WORDS] += spoken
            reason = -1
            if words:
                if upper / chars > max_uppercase:
                    reason = _UPPERCASE
                elif digits / chars > max_numeric:
                    reason = _NUMERIC
                elif _is_counter(data, start, at, classes, counters, counter_bounds):
                    reason = _COUNTER
                elif words < min_words:
                    reason = _FEW_WORDS
            if reason < 0:
                first = used
                if kept:
                    out[first] = _NEWLINE
                    first += 1
                for i in range(at - start):
                    out[first + i] = data[start + i]
                last = first + at - start
                if 0 < words <= short_words:
                    size = last - first
                    last = _without_phrases(out, first, last, classes, phrases, phrase_bounds, places)
                    if last - first < size:
                        _, _, _, words, spoken = _look(out, first, last, classes)
                        reason = _EDITED if words else _PHRASE
                if reason != _PHRASE:
                    used = last
                    kept += 1
                    count[_WORDS_LEFT] += spoken
            if reason >= 0:
                count[reason] += 1
            start = at + 1
        if used - base < end - offsets[document]:  # what stood beside removed lines is not left over at the ends
            first, last = strip(out, base, used, table)
            if first > base:
                for i in range(last - first):
                    out[base + i] = out[first + i]
            used = base + last - first
        bounds[document + 1] = used
    return out[: bounds[documents]], bounds, counts


@kernel
def _look(data: Bytes, first: int, last: int, classes: Bytes) -> tuple[int, int, int, int, int]:
    """Count the characters of a line, capitals and digits among them, its words, and those that begin with a letter or
    number."""
    chars = upper = digits = words = spoken = 0
    space = True
    at = first
    while at < last:
        kind, width = kind_of(data, at, classes)
        chars += 1
        upper += I64(kind & UPPER != 0)
        digits += I64(kind & DIGIT != 0)
        begins = space and not kind & SPACE
        words += I64(begins)
        spoken += I64(begins and kind & ALPHANUMERIC != 0)
        space = kind & SPACE != 0
        at += width
    return chars, upper, digits, words, spoken


@kernel
def _is_counter(data: Bytes, first: int, last: int, classes: Bytes, counters: Bytes, bounds: Ints) -> bool:
    """Whether a line is a number, maybe in thousands, millions or billions, and what it is the number of."""
    at = _past_marks(data, first, last, classes)
    digits = at
    while at < last:
        kind, width = kind_of(data, at, classes)
        if not (kind & DECIMAL or at > digits and (data[at] == _COMMA or data[at] == _DOT)):
            break
        at += width
    if at == digits or at == last:
        return False
    letter = lower(data[at])
    at += I64(letter == _K or letter == _M or letter == _B)
    spaces = at
    while at < last:
        kind, width = kind_of(data, at, classes)
        if not kind & SPACE:
            break
        at += width
    if at == spaces:
        return False
    for counter in range(len(bounds) - 1):
        size = bounds[counter + 1] - bounds[counter]
        if size <= last - at and reads(data, at, counters, bounds[counter], bounds[counter + 1]):
            if _past_marks(data, at + size, last, classes) == last:
                return True
    return False


@kernel
def _past_marks(data: Bytes, at: int, last: int, classes: Bytes) -> int:
    """Return the first byte from which on a letter, a number or an underscore stands."""
    while at < last:
        kind, width = kind_of(data, at, classes)
        if kind & ALPHANUMERIC or data[at] == _UNDERSCORE:
            break
        at += width
    return at


@kernel
def _without_phrases(
    data: Bytes, first: int, last: int, classes: Bytes, phrases: Bytes, bounds: Ints, places: Ints
) -> int:
    """Take phrases out of a line where it stands, each with the white space beside it; return its new end."""
    for phrase in range(len(places)):
        size = bounds[phrase + 1] - bounds[phrase]
        if size > last - first:
            continue
        if places[phrase] == ANYWHERE:
            last = _without(data, first, last, classes, phrases, bounds[phrase], bounds[phrase + 1])
        elif places[phrase] == AT_END:
            if reads(data, last - size, phrases, bounds[phrase], bounds[phrase + 1]):
                last = _before_space(data, first, last - size, classes)
        elif reads(data, first, phrases, bounds[phrase], bounds[phrase + 1]):
            rest = first + size
            if rest < last:
                kind, width = kind_of(data, rest, classes)
                rest += width if kind & SPACE else 0
            for i in range(last - rest):
                data[first + i] = data[rest + i]
            last = first + last - rest
    return last


@kernel
def _without(data: Bytes, first: int, last: int, classes: Bytes, phrases: Bytes, begin: int, end: int) -> int:
    """Take every occurrence of a phrase out of a line, with the white space before it; return its new end."""
    used = at = first
    size = end - begin
    while at < last:
        kind, width = kind_of(data, at, classes)
        skipped = width if kind & SPACE else 0
        if at + skipped + size <= last and reads(data, at + skipped, phrases, begin, end):
            at += skipped + size
            continue
        if at + size <= last and reads(data, at, phrases, begin, end):
            at += size
            continue
        for i in range(width):
            data[used + i] = data[at + i]
        used += width
        at += width
    return used


@inlined
def _before_space(data: Bytes, first: int, last: int, classes: Bytes) -> int:
    """Return where a line ends without the one white space at its end, if there is one."""
    if last == first:
        return last
    at = last - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    kind, _ = kind_of(data, at, classes)
    return at if kind & SPACE else last
