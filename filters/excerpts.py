"""What is looked at where a whole text would cost too much: a bounded excerpt of it, and lines spread over it.

Excerpts are places in the text, so nothing is copied or decoded. Finding one takes time that depends on its length
alone, for which the middle of a text is that of its bytes.
"""

import numpy as np
from numba import njit

from filters.fasttext_kernels import space
from filters.hashing import I64, U64, Bytes, Ints, kernel, load, trailing_zeros

_NEWLINE = 0x0A
_EACH, _HIGH, _ONE = U64(0x0101010101010101), U64(0x8080808080808080), U64(1)
_NEWLINES = _EACH * U64(_NEWLINE)

REACH = 64
"""How many bytes an end of a piece may move so that it does not cut a word in two, in pieces of at least twice that."""


@kernel
def _after(data: Bytes, at: int, last: int, chars: int) -> int:
    """Return the byte after so many characters, or `last` if there are fewer."""
    while chars > 0 and at < last:
        if chars >= 8 and at + 8 <= last and load(data, at) & _HIGH == U64(0):
            at += 8
            chars -= 8
            continue
        at += 1
        while at < last and data[at] & 0xC0 == 0x80:
            at += 1
        chars -= 1
    return at


@kernel
def _before(data: Bytes, first: int, at: int, chars: int) -> int:
    """Return the byte so many characters before, or `first` if there are fewer."""
    while chars > 0 and at > first:
        at -= 1
        while at > first and data[at] & 0xC0 == 0x80:
            at -= 1
        chars -= 1
    return at


@kernel
def _word_start(data: Bytes, at: int, last: int, reach: int) -> int:
    """Return the white space after a byte inside of a word, or that byte if none is within reach."""
    if not space(data[at - 1]):
        for i in range(at, min(at + reach, last)):
            if space(data[i]):
                return i
    return at


@kernel
def _word_end(data: Bytes, first: int, at: int, reach: int) -> int:
    """Return the white space before a byte inside of a word, or that byte if none is within reach."""
    if not space(data[at]):
        for i in range(at - 1, max(at - reach, first) - 1, -1):
            if space(data[i]):
                return i
    return at


@kernel
def _put(places: Ints, used: int, first: int, last: int) -> int:
    """Write a place after the `used` ones that are there; return how many there are then."""
    places[used, 0], places[used, 1] = first, last
    return used + 1


@njit(cache=True, nogil=True)
def excerpts(data: Bytes, places: Ints, size: int) -> tuple[Ints, Ints]:
    """Find what stands for each text: all of up to `3 * size` characters, or `size` each of start, middle and end.

    No piece begins or ends within a word if there is white space within `REACH` bytes. Pieces do not overlap; one
    can be empty.

    Args:
        data: UTF-8.
        places: `[texts, 2]`, first byte and byte after the last of each text.

    Returns:
        pieces `[pieces, 2]`, like places; and bounds: those of text t are `pieces[bounds[t]:bounds[t + 1]]`.
    """
    texts = len(places)
    reach = min(REACH, size // 2)
    pieces = np.empty((3 * texts, 2), I64)
    bounds = np.zeros(texts + 1, I64)
    used = 0
    for text in range(texts):
        first, last = places[text, 0], places[text, 1]
        if last - first <= 12 * size and _after(data, first, last, 3 * size) == last:
            used = _put(pieces, used, first, last)
        else:
            start_end = _word_end(data, first, _after(data, first, last, size), reach)
            end_start = _word_start(data, _before(data, first, last, size), last, reach)
            middle = first + (last - first) // 2
            while data[middle] & 0xC0 == 0x80:
                middle -= 1
            middle_start = _word_start(data, _before(data, first, middle, size // 2), last, reach)
            middle_end = _word_end(data, first, _after(data, middle, last, size - size // 2), reach)
            middle_start = max(middle_start, start_end)  # where bytes and characters are far apart, they could overlap
            used = _put(pieces, used, first, start_end)
            used = _put(pieces, used, middle_start, max(middle_start, min(middle_end, end_start)))
            used = _put(pieces, used, end_start, last)
        bounds[text + 1] = used
    return pieces[:used], bounds


@kernel
def _line_end(data: Bytes, at: int, last: int) -> tuple[int, int]:
    """Return the end of the line that starts at a byte, and how many characters it has."""
    chars = 0
    while at + 8 <= last:
        word = load(data, at)
        other = word ^ _NEWLINES
        size = trailing_zeros((other - _EACH) & ~other & _HIGH) >> 3  # 8 if there is no newline among them
        later = word & ~(word << _ONE) & _HIGH  # the bytes of a character after its first are 0b10......
        if size < 8:
            later &= (_ONE << U64(8 * size)) - _ONE
        chars += size - I64(((later >> U64(7)) * _EACH) >> U64(56))
        at += size
        if size < 8:
            return at, chars
    while at < last and data[at] != _NEWLINE:
        chars += I64(data[at] & 0xC0 != 0x80)
        at += 1
    return at, chars


@kernel
def _long_lines(
    data: Bytes, first: int, last: int, min_chars: int, most: int, found: int, places: Ints, chars: Ints, used: int
) -> int:
    """Write lines of at least `min_chars` characters after the `used` ones; return how many such lines there are.

    If `found` is 0 these are the first `most`, else `most` spread over the `found` ones that there are.
    """
    count = picked = 0
    at = first
    while at < last:
        end, size = _line_end(data, at, last)
        begin, after = at, end + 1
        while begin < end and space(data[begin]):
            begin += 1
            size -= 1
        while begin < end and space(data[end - 1]):
            end -= 1
            size -= 1
        if size >= min_chars:
            wanted = count if found == 0 else (2 * picked + 1) * found // (2 * most)
            if picked < most and count == wanted:
                _put(places, used + picked, begin, end)
                chars[used + picked] = size
                picked += 1
            count += 1
        at = after
    return count


@njit(cache=True, nogil=True)
def lines(data: Bytes, offsets: Ints, min_chars: int, most: int) -> tuple[Ints, Ints, Ints]:
    """Find lines of each document, up to `most` spread evenly over those of at least `min_chars` characters.

    White space at the ends of a line does not belong to it.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.

    Returns:
        places `[lines, 2]`, first byte and byte after the last; their characters; and bounds: the lines of document d
        are `places[bounds[d]:bounds[d + 1]]`.
    """
    documents = len(offsets) - 1
    room = min(documents * most, (offsets[documents] - offsets[0]) // min_chars)
    places = np.empty((room, 2), I64)
    chars = np.empty(room, I64)
    bounds = np.zeros(documents + 1, I64)
    for document in range(documents):
        first, last, used = offsets[document], offsets[document + 1], bounds[document]
        count = _long_lines(data, first, last, min_chars, most, 0, places, chars, used)
        if count > most:
            _long_lines(data, first, last, min_chars, most, count, places, chars, used)
        bounds[document + 1] = used + min(count, most)
    return places[: bounds[documents]], chars[: bounds[documents]], bounds
