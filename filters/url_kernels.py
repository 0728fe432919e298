"""Compiled loops over addresses in small letters: their parts as hashes, their words, and look-ups in sorted hashes.

An address whose host is in plain characters is taken apart here, as `urls.parse` does it; others are left to that.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, hash_bytes, hash_token, inlined, kernel
from filters.suffixes import domain_start, slot
from filters.urls import LONGEST_HOST

Flags = NDArray[np.bool_]

_HASH, _PLUS, _HYPHEN, _DOT, _SLASH, _COLON, _QUESTION, _BACKSLASH, _UNDERSCORE, _W = b"#+-./:?\\_w"
_LEAPS = 3  # after which about the square root of the square root of the square root of the length is left to go


@inlined
def _plain(byte: int) -> bool:
    """Whether a byte is one of a-z and 0-9."""
    return 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39


@inlined
def _space(byte: int) -> bool:
    """Whether a byte is white space in the sense of `str.isspace`."""
    return 0x09 <= byte <= 0x0D or 0x1C <= byte <= 0x20


@njit(cache=True, nogil=True)
def take_apart(
    data: Bytes, offsets: Ints, names: Hashes, parents: Hashes, exceptions: Hashes, labels: int
) -> tuple[Hashes, Hashes, Hashes, Ints, Flags]:
    """Hash the parts of addresses that lists can name; see `urls.Page`.

    Args:
        data, offsets: UTF-8 of all addresses in small letters; address i is `data[offsets[i]:offsets[i + 1]]`.
        names, parents, exceptions, labels: `suffixes.rules()`.

    Returns:
        `domain` and `url` of each address; all names `between` and the address of each; which addresses are not taken
        apart, because something but letters, digits, `.`, `-`, `_` and a port is in their host.
    """
    rows = len(offsets) - 1
    longest = dots = 0
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    for i in range(offsets[0], offsets[rows]):
        dots += I64(data[i] == _DOT)
    domains, pages = np.empty(rows, U64), np.empty(rows, U64)
    between, owners = np.empty(dots, U64), np.empty(dots, I64)
    scratch = np.empty(longest, U8)
    odd = np.zeros(rows, np.bool_)
    found = 0
    for row in range(rows):
        found = _address(
            data, offsets, row, names, parents, exceptions, labels, scratch, domains, pages, between, owners, found, odd
        )
    return domains, pages, between[:found], owners[:found], odd


@kernel
def _address(
    data: Bytes,
    offsets: Ints,
    row: int,
    names: Hashes,
    parents: Hashes,
    exceptions: Hashes,
    labels: int,
    scratch: Bytes,
    domains: Hashes,
    pages: Hashes,
    between: Hashes,
    owners: Ints,
    found: int,
    odd: Flags,
) -> int:
    """Take one address apart; returns how many names `between` there are by now."""
    first, last = offsets[row], offsets[row + 1]
    while first < last and _space(data[first]):
        first += 1
    while first < last and _space(data[last - 1]):
        last -= 1
    first = _after_scheme(data, first, last)
    end = first
    while end < last and (_plain(data[end]) or data[end] == _DOT or data[end] == _HYPHEN or data[end] == _UNDERSCORE):
        end += 1
    tail = end
    if tail < last and data[tail] == _COLON:
        tail += 1
        while tail < last and 0x30 <= data[tail] <= 0x39:
            tail += 1
    ends = tail == last or data[tail] == _SLASH or data[tail] == _QUESTION
    ends = ends or data[tail] == _HASH or data[tail] == _BACKSLASH
    # White space that is not ASCII may be at the end, and is for Python to see.
    if not ends or (last > first and data[last - 1] >= 0x80):
        odd[row] = True
        return found
    while end > first and data[end - 1] == _DOT:
        end -= 1
    start = domain_start(data, first, end, names, parents, exceptions, labels)
    domains[row] = hash_bytes(data, start, end)
    at = first
    while at < start:
        between[found], owners[found] = hash_token(data, at, end), row
        found += 1
        if end - first > LONGEST_HOST:
            break
        while data[at] != _DOT:
            at += 1
        at += 1
    for i in range(tail, last):
        if data[i] == _HASH:
            last = i
            break
    while last > tail and data[last - 1] == _SLASH:
        last -= 1
    if last == tail:
        pages[row] = hash_bytes(data, tail, tail)
        return found
    if end - first >= 4 and data[first] == data[first + 1] == data[first + 2] == _W and data[first + 3] == _DOT:
        first += 4
    if end == tail:
        pages[row] = hash_bytes(data, first, last)
        return found
    size = 0
    for i in range(first, last):
        if i < end or i >= tail:
            scratch[size] = data[i]
            size += 1
    pages[row] = hash_bytes(scratch, 0, size)
    return found


@kernel
def _after_scheme(data: Bytes, first: int, last: int) -> int:
    """Return where an address starts behind `scheme://` and `//`."""
    at = first
    while at < last and (_plain(data[at]) or data[at] == _PLUS or data[at] == _DOT or data[at] == _HYPHEN):
        at += 1
    if at + 2 < last and data[at] == _COLON and data[at + 1] == data[at + 2] == _SLASH:
        first = at + 3
    if first + 1 < last and data[first] == data[first + 1] == _SLASH:
        first += 2
    return first


@njit(cache=True, nogil=True)
def listed_words(data: Bytes, offsets: Ints, wanted: Hashes) -> Ints:
    """Count the different words of each address, runs of a-z and 0-9, that are in a table of `hashing.table`."""
    out = np.zeros(len(offsets) - 1, I64)
    seen = np.full(len(wanted), -1, I64)
    for row in range(len(out)):
        at, last = offsets[row], offsets[row + 1]
        while at < last:
            if not _plain(data[at]):
                at += 1
                continue
            start = at
            while at < last and _plain(data[at]):
                at += 1
            place = slot(wanted, hash_token(data, start, at))
            if place >= 0 and seen[place] != row:
                seen[place] = row
                out[row] += 1
    return out


@njit(cache=True, nogil=True)
def squeeze(data: Bytes, offsets: Ints) -> tuple[Bytes, Ints]:
    """Return the letters a-z and digits of addresses, everything else left out, as data and offsets."""
    out = np.empty(offsets[-1] - offsets[0], U8)
    bounds = np.zeros(len(offsets), I64)
    size = 0
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            if _plain(data[i]):
                out[size] = data[i]
                size += 1
        bounds[row + 1] = size
    return out[:size], bounds


@njit(cache=True, nogil=True)
def among(hashes: Hashes, listed: Hashes) -> Flags:
    """Return which hashes are in a sorted array of hashes.

    Hashes lie evenly, so where one would stand is worked out, not halved for: some four looks at four million hashes
    where halving needs 22, each of them perhaps at memory that is not in the processor's cache.
    """
    out = np.zeros(len(hashes), np.bool_)
    last = len(listed) - 1
    if last < 0:
        return out
    density = np.float64(len(listed)) / 2.0**64
    for i in range(len(hashes)):
        key = hashes[i]
        at = min(I64(np.float64(key) * density), last)
        for _ in range(_LEAPS):
            found = listed[at]
            if key >= found:
                at = min(at + I64(np.float64(key - found) * density), last)
            else:
                at = max(at - I64(np.float64(found - key) * density), 0)
        while at < last and listed[at] < key:
            at += 1
        while at > 0 and listed[at] > key:
            at -= 1
        out[i] = listed[at] == key
    return out
