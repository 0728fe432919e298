"""Compiled steps through the bytes of tags: to the next mark, over comments, to end tags; and names as numbers."""

import numpy as np

from filters.hashing import U64, Bytes, inlined, kernel, load, trailing_zeros

_LESS, _MORE, _SLASH, _BANG, _HYPHEN = b"<>/!-"
_ONES, _TOPS, _CASE, _ALL = (
    U64(0x0101010101010101),
    U64(0x8080808080808080),
    U64(0x2020202020202020),
    U64(0xFFFFFFFFFFFFFFFF),
)


def word(name: str) -> np.uint64:
    """The first eight bytes of a name in small letters, as `packed` gives them."""
    return U64(int.from_bytes(name.encode()[:8], "little"))


@kernel
def packed(data: Bytes, first: int, last: int, size: int) -> np.uint64:
    """Return up to eight bytes, the first in the lowest bits, capitals as small letters."""
    if first + 8 <= last:
        found = load(data, first) | _CASE
        return found if size == 8 else found & ~(_ALL << U64(8 * size))
    found = U64(0)
    for i in range(min(size, last - first)):
        found |= U64(data[first + i] | 0x20) << U64(8 * i)
    return found


@inlined
def is_letter(byte: int) -> bool:
    return bool(0x61 <= byte | 0x20 <= 0x7A)


@inlined
def is_space(byte: int) -> bool:
    return byte == 0x20 or 0x09 <= byte <= 0x0D


@inlined
def ends_name(byte: int) -> bool:
    return byte == _MORE or byte == _SLASH or byte == 0x20 or 0x09 <= byte <= 0x0D


@kernel
def next_byte(data: Bytes, at: int, last: int, byte: int) -> int:
    """Return the place of the next such byte, or the end."""
    sought = _ONES * U64(byte)
    while at + 8 <= last:
        eight = load(data, at) ^ sought
        zeros = (eight - _ONES) & ~eight & _TOPS
        if zeros:
            return at + (trailing_zeros(zeros) >> 3)
        at += 8
    while at < last and data[at] != byte:
        at += 1
    return at


@kernel
def comment_end(data: Bytes, at: int, last: int) -> int:
    """Return the place behind a comment whose text starts at a byte: `>` or `->` end it at once, or `-->`, `--!>`."""
    first = at
    if at < last and data[at] == _MORE:
        return at + 1
    if at + 1 < last and data[at] == _HYPHEN and data[at + 1] == _MORE:
        return at + 2
    while True:
        at = next_byte(data, at, last, _MORE)
        if at >= last:
            return last
        back = at - 1 if data[at - 1] != _BANG else at - 2
        at += 1
        if back > first and data[back] == data[back - 1] == _HYPHEN:
            return at


@kernel
def end_tag(data: Bytes, at: int, last: int, name: np.uint64, size: int) -> int:
    """Return where the next end tag of a name of up to eight letters starts, or the end."""
    while True:
        at = next_byte(data, at, last, _LESS)
        if at + 2 + size > last:
            return last
        if data[at + 1] == _SLASH and packed(data, at + 2, last, size) == name:
            end = at + 2 + size
            if end == last or ends_name(data[end]):
                return at
        at += 1


@kernel
def contains(data: Bytes, first: int, end: int, word: Bytes) -> bool:
    """Whether a word in small letters stands anywhere in a slice, in letters of any case."""
    for at in range(first, end - len(word) + 1):
        i = 0
        while i < len(word) and data[at + i] | 0x20 == word[i]:
            i += 1
        if i == len(word):
            return True
    return False
