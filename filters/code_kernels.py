"""Compiled loops over source code: its lines, and data written in letters and digits.

The patterns that the paper gives as regular expressions are followed by hand: no text fits them in two ways, so there
is nothing to go back for, and each loop sees a byte twice at most.
"""

import numpy as np
from numba import njit

from filters.composition_kernels import CAPITAL, DIGIT, NUMERAL, SIZE, SMALL, SPACE, UNCASED
from filters.hashing import I64, U8, Bytes, Ints, inlined, kernel
from filters.tokens import decode

LONG = 64
"""Characters of base64 that make a run of encoded data."""
UNITS = 8
"""Bytes in hexadecimal, or `\\u` escapes, that make one."""

_NEWLINE, _RETURN, _COMMA, _ZERO, _BACKSLASH, _UNDERSCORE, _U, _X = b"\n\r,0\\_ux"
_HEX, _BASE64, _BREAK = 1, 2, 4


@njit(cache=True, nogil=True)
def _byte_kinds() -> Bytes:
    """Return what a byte may be part of."""
    kinds = np.zeros(256, U8)
    for byte in b"0123456789abcdefABCDEF":
        kinds[byte] |= _HEX
    for byte in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=\n":
        kinds[byte] |= _BASE64
    for byte in (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0xC2, 0xE2):
        kinds[byte] |= _BREAK
    return kinds


@njit(cache=True, nogil=True)
def lines(data: Bytes, offsets: Ints) -> Ints:
    """Measure the lines of documents, which are those of `str.splitlines`.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.

    Returns:
        shape [documents, 3]: number of lines, characters in the longest, characters in all, without line ends.
    """
    out = np.zeros((len(offsets) - 1, 3), I64)
    kinds = _byte_kinds()
    for document in range(len(out)):
        _lines(data, offsets[document], offsets[document + 1], kinds, out[document])
    return out


@kernel
def _lines(data: Bytes, at: int, last: int, kinds: Bytes, out: Ints) -> None:
    start, later = at, 0  # bytes of the line that do not begin a character
    while at < last:
        byte = data[at]
        later += I64(byte & 0xC0 == 0x80)
        width = 0
        if kinds[byte] & _BREAK:
            if byte < 0x80:
                width = 2 if byte == _RETURN and at + 1 < last and data[at + 1] == _NEWLINE else 1
            elif byte == 0xC2:
                width = 2 if data[at + 1] == 0x85 else 0
            elif data[at + 1] == 0x80:
                width = 3 if data[at + 2] == 0xA8 or data[at + 2] == 0xA9 else 0
        if width:
            _line(at - start - later, out)
            at += width
            start, later = at, 0
        else:
            at += 1
    if start < last:
        _line(last - start - later, out)


@inlined
def _line(length: int, out: Ints) -> None:
    out[0] += 1
    out[1] = max(out[1], length)
    out[2] += length


@njit(cache=True, nogil=True)
def encoded(data: Bytes, offsets: Ints, kinds: Bytes) -> Ints:
    """Find runs of encoded data: base64, bytes in hexadecimal, and `\\u` escapes.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.
        kinds: `composition_kernels.kinds()`.

    Returns:
        shape [documents, 2]: characters in such runs, none counted twice, and in the longest of them.
    """
    out = np.zeros((len(offsets) - 1, 2), I64)
    bytes_ = _byte_kinds()
    longest = 0
    for document in range(len(out)):
        longest = max(longest, offsets[document + 1] - offsets[document])
    runs = np.empty((longest // LONG + 1, 2), I64)
    for document in range(len(out)):
        first, last = offsets[document], offsets[document + 1]
        found = _base64(data, first, last, bytes_, runs, out[document])
        _escapes(data, first, last, bytes_, kinds, runs, found, out[document])
    return out


@kernel
def _base64(data: Bytes, at: int, last: int, bytes_: Bytes, runs: Ints, out: Ints) -> int:
    """Write the bounds of all runs of `[a-zA-Z0-9+/\\n=]{64,}`; return how many there are."""
    found = 0
    while at + LONG <= last:
        i = at + LONG - 1
        while i >= at and bytes_[data[i]] & _BASE64:
            i -= 1
        if i >= at:  # no run of that length begins before this byte
            at = i + 1
            continue
        end = at + LONG
        while end < last and bytes_[data[end]] & _BASE64:
            end += 1
        runs[found, 0], runs[found, 1] = at, end
        found += 1
        out[0] += end - at
        out[1] = max(out[1], end - at)
        at = end + 1
    return found


@kernel
def _escapes(data: Bytes, at: int, last: int, bytes_: Bytes, kinds: Bytes, runs: Ints, found: int, out: Ints) -> None:
    """Add runs of `(?:\\b(?:0x|\\\\x)?[0-9a-fA-F]{2}(?:,|\\b\\s*)){8,}` and `(?:\\\\u[0-9a-fA-F]{4}){8,}`."""
    first, run = at, 0
    while at < last:
        if not (bytes_[data[at]] & _HEX or data[at] == _BACKSLASH):
            at += 1
            continue
        units, end = 0, at
        if data[at] == _BACKSLASH and at + 1 < last and data[at + 1] == _U:
            while _is_escape(data, end, last, bytes_):
                end += 6
                units += 1
        else:
            after = _unit(data, first, end, last, bytes_, kinds)
            while after > end:
                end = after
                units += 1
                after = _unit(data, first, end, last, bytes_, kinds)
        if units >= UNITS:
            length = 0
            for i in range(at, end):
                length += I64(data[i] & 0xC0 != 0x80)
            out[1] = max(out[1], length)
            while run < found and runs[run, 1] <= at:
                run += 1
            overlap = run
            while overlap < found and runs[overlap, 0] < end:
                length -= min(end, runs[overlap, 1]) - max(at, runs[overlap, 0])
                overlap += 1
            out[0] += length
        at = max(at + 1, end)


@inlined
def _is_escape(data: Bytes, at: int, last: int, bytes_: Bytes) -> bool:
    if at + 6 > last or data[at] != _BACKSLASH or data[at + 1] != _U:
        return False
    digits = bytes_[data[at + 2]] & bytes_[data[at + 3]] & bytes_[data[at + 4]] & bytes_[data[at + 5]]
    return bool(digits & _HEX)


@kernel
def _unit(data: Bytes, first: int, at: int, last: int, bytes_: Bytes, kinds: Bytes) -> int:
    """Return the end of one byte in hexadecimal, with the comma or the white space behind it; `at` if there is none."""
    digits = at
    if at + 1 < last and data[at + 1] == _X and (data[at] == _ZERO or data[at] == _BACKSLASH):
        digits += 2
    if digits + 2 > last or not bytes_[data[digits]] & bytes_[data[digits + 1]] & _HEX:
        return at
    # `\\b`: of the characters on both sides one belongs to a word; a backslash does not, a digit does
    inside = False
    if at > first:
        before = at - 1
        while data[before] & 0xC0 == 0x80:
            before -= 1
        inside = _word(data, before, kinds)
    if inside != (data[at] == _BACKSLASH):
        return at
    end = digits + 2
    if end < last and data[end] == _COMMA:
        return end + 1
    if end < last and _word(data, end, kinds):
        return at
    while end < last:
        point, width = decode(data, end)
        if point >= SIZE or kinds[point] != SPACE:
            break
        end += width
    return end


@inlined
def _word(data: Bytes, at: int, kinds: Bytes) -> bool:
    """Whether a character belongs to words in the sense of Python's `\\w`."""
    point, _ = decode(data, at)
    kind = I64(kinds[point]) if point < SIZE else 0
    letter = kind == CAPITAL or kind == SMALL or kind == UNCASED
    return bool(letter or kind == DIGIT or kind == NUMERAL or point == _UNDERSCORE)
