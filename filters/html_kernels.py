"""The compiled loop that counts the visible text of HTML.

It knows no elements but scripts and styles and builds no tree, so it takes a few lines, and its time is linear in the
bytes. Pages on which a browser would repair the markup can come out a little differently.
"""

import numpy as np
from numba import njit

from filters.hashing import I64, Bytes, Ints, inlined, kernel

_LESS, _MORE, _SLASH, _BANG, _QUESTION, _HYPHEN, _EQUALS, _QUOTE, _APOSTROPHE, _AND, _SHARP, _SEMICOLON = (
    b"<>/!?-=\"'&#;"
)
_HIDDEN = (np.frombuffer(b"script", np.uint8), np.frombuffer(b"style", np.uint8))
_LONGEST_NAME = 32


@njit(cache=True, nogil=True)
def visible(data: Bytes, offsets: Ints) -> Ints:
    """Count the characters of HTML that are text: outside of tags, comments, scripts and styles, white space included.

    An entity such as `&amp;` counts as one.

    Args:
        data, offsets: UTF-8 of all documents; document d is `data[offsets[d]:offsets[d + 1]]`.

    Returns:
        shape [documents].
    """
    out = np.zeros(len(offsets) - 1, I64)
    for document in range(len(out)):
        out[document] = _visible(data, offsets[document], offsets[document + 1])
    return out


@kernel
def _visible(data: Bytes, at: int, last: int) -> int:
    found = 0
    while at < last:
        byte = data[at]
        if byte == _LESS and at + 1 < last:
            end = _markup(data, at, last)
            if end > at:
                at = end
                continue
        elif byte == _AND:
            at = _entity_end(data, at, last)
        found += I64(byte & 0xC0 != 0x80)
        at += 1
    return found


@kernel
def _entity_end(data: Bytes, at: int, last: int) -> int:
    """Return where the semicolon of an entity is that starts at a byte; that byte if none does."""
    i = at + 1
    if i < last and data[i] == _SHARP:
        i += 1
    first = i
    while i < last and i - first < _LONGEST_NAME and (_letter(data[i]) or 0x30 <= data[i] <= 0x39):
        i += 1
    return i if i > first and i < last and data[i] == _SEMICOLON else at


@inlined
def _letter(byte: int) -> bool:
    return 0x61 <= byte | 0x20 <= 0x7A


@kernel
def _markup(data: Bytes, at: int, last: int) -> int:
    """Return the end of a tag, comment or declaration that starts at `<`, with a script or style behind it; or `at`."""
    mark = data[at + 1]
    if mark == _BANG and at + 3 < last and data[at + 2] == _HYPHEN and data[at + 3] == _HYPHEN:
        i = at + 4
        while i < last and not (data[i] == _MORE and data[i - 1] == _HYPHEN and data[i - 2] == _HYPHEN):
            i += 1
        return min(i + 1, last)
    if mark == _BANG or mark == _QUESTION or (mark == _SLASH and at + 2 < last and not _letter(data[at + 2])):
        return _after(data, at, last, _MORE)
    name = at + 2 if mark == _SLASH else at + 1
    if name >= last or not _letter(data[name]):
        return at
    end = _tag_end(data, name, last)
    if mark != _SLASH:
        for hidden in _HIDDEN:
            if _named(data, name, last, hidden):
                while end < last and not (
                    data[end] == _LESS
                    and end + 1 < last
                    and data[end + 1] == _SLASH
                    and _named(data, end + 2, last, hidden)
                ):
                    end += 1
                return end
    return end


@kernel
def _after(data: Bytes, at: int, last: int, byte: int) -> int:
    """Return the place behind the next such byte, or the end."""
    while at < last and data[at] != byte:
        at += 1
    return min(at + 1, last)


@kernel
def _tag_end(data: Bytes, at: int, last: int) -> int:
    """Return the place behind the `>` that ends a tag: one in a quoted value does not."""
    while at < last and data[at] != _MORE:
        at += 1
        if data[at - 1] != _EQUALS:
            continue
        while at < last and (data[at] == 0x20 or 0x09 <= data[at] <= 0x0D):
            at += 1
        if at < last and (data[at] == _QUOTE or data[at] == _APOSTROPHE):
            at = _after(data, at + 1, last, data[at])
    return min(at + 1, last)


@kernel
def _named(data: Bytes, at: int, last: int, name: Bytes) -> bool:
    """Whether the name of a tag stands at a byte, in capitals or small letters."""
    if at + len(name) > last:
        return False
    for i in range(len(name)):
        if data[at + i] | 0x20 != name[i]:
            return False
    end = at + len(name)
    return end == last or data[end] == _MORE or data[end] == _SLASH or data[end] <= 0x20
