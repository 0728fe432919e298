"""Text of a page: white space, characters and their references, and the marks of code and emphasis.

White space is written when the next character is, so that none stands at the edges of a line; marks that begin come
between the two.
"""

from typing import Any

import numpy as np

from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, inlined, kernel
from pipeline.extract.blocks import STRONG_END
from pipeline.extract.state import ACTIVE, BREAKS, FRESH, LINKS, PENDING, S_LINK, S_PRE, SPACE, TOP, USED, Work
from pipeline.extract.tags import CHARACTERS, FACTOR, SEED

_TEXT, _WHITE, _LESS, _AMP, _CONTROL, _C2, _E2, _EF = range(8)
_LONGEST_OLD_NAME = 6  # of those that need no semicolon
_LONGEST_NAME = 32
_BOX = 2
"""As white space: some only between letters and digits."""


def _classes() -> Bytes:
    classes = np.zeros(256, np.uint8)
    classes[:0x20] = _CONTROL
    classes[0x7F] = _CONTROL
    classes[[0x09, 0x0A, 0x0C, 0x0D, 0x20]] = _WHITE
    classes[0x3C], classes[0x26] = _LESS, _AMP
    classes[0xC2], classes[0xE2], classes[0xEF] = _C2, _E2, _EF
    return classes


_CLASSES = _classes()


@kernel
def text(page: Bytes, at: int, end: int, literal: bool, named: Hashes, work: Work) -> int:
    """Take text over up to the next less-than sign and return its place; `literal` text ends at `end` only."""
    memory, out = work.memory, work.text
    top = memory[TOP]
    pre = memory[top + S_PRE]
    while at < end:
        byte = page[at]
        kind = _CLASSES[byte]
        if kind == _TEXT:
            _before(work, byte)
            begin = used = memory[USED]
            while True:
                out[used] = page[at]
                used += 1
                at += 1
                if at == end:
                    break
                kind = _CLASSES[page[at]]
                if kind != _TEXT and not (page[at] == 0x20 and at + 1 < end and _CLASSES[page[at + 1]] == _TEXT):
                    break
            memory[USED] = used
            if memory[top + S_LINK]:
                memory[LINKS] += used - begin
        elif kind == _WHITE:
            if not pre:
                memory[SPACE] = 1
            elif byte == 0x0D:
                if not (at + 1 < end and page[at + 1] == 0x0A):
                    put_white(work, U8(0x0A))
            else:
                put_white(work, byte)
            at += 1
        elif kind == _LESS:
            if not literal:
                return at
            put(work, byte)
            at += 1
        elif kind == _AMP:
            if literal:
                put(work, byte)
                at += 1
            else:
                at = reference(page, at, end, named, work)
        elif kind == _CONTROL:
            at += 1
        else:
            after = page[at + 1] if at + 1 < end else U8(0)
            third = page[at + 2] if at + 2 < end else U8(0)
            if kind == _C2 and 0x80 <= after < 0xA0:
                put_point(work, I64(named[2 * CHARACTERS + after - 0x80]))
                at += 2
            elif kind == _C2 and after == 0xA0:
                put_white(work, U8(0x20))
                at += 2
            elif kind == _C2 and after == 0xAD:  # a soft hyphen
                at += 2
            elif kind == _E2 and after == 0x80 and third == 0x8B:  # a space of no width
                at += 3
            elif kind == _EF and after == 0xBB and third == 0xBF:  # a byte order mark
                at += 3
            else:
                put(work, byte)
                at += 1
    return min(at, end)


@inlined
def _before(work: Work, byte: Any) -> None:
    """Write the white space and the marks that stand before what comes now."""
    memory = work.memory
    if memory[FRESH] == 0 and (memory[SPACE] or memory[BREAKS]):
        if memory[BREAKS] or memory[SPACE] != _BOX or _parts_words(work, byte):
            work.text[memory[USED]] = 0x0A if memory[BREAKS] else 0x20
            memory[USED] += 1
    memory[SPACE] = memory[BREAKS] = memory[FRESH] = 0
    if memory[PENDING]:
        _begin_marks(work)


@kernel
def _parts_words(work: Work, byte: Any) -> Any:
    """Whether a box stands between letters or digits, which would be one word without it."""
    at = work.memory[USED] - 1
    while at > 0 and work.text[at] <= STRONG_END:
        at -= 1
    return _is_word(work.text[at]) and _is_word(byte)


@inlined
def _is_word(byte: Any) -> Any:
    """Whether a byte is of a letter or a digit; of all that is not ASCII, every one counts."""
    return byte >= 0x80 or 0x30 <= byte <= 0x39 or 0x61 <= byte | 0x20 <= 0x7A


@kernel
def put_box(memory: Ints) -> None:
    """Note that there is something without text in the line; preformatted text has white space of its own."""
    if not memory[SPACE] and not memory[memory[TOP] + S_PRE]:
        memory[SPACE] = _BOX


@kernel
def _begin_marks(work: Work) -> None:
    """Begin the marks that are due; preformatted text has none."""
    memory = work.memory
    if memory[memory[TOP] + S_PRE]:
        return
    for kind in range(3):
        if memory[PENDING] >> kind & 1:
            work.text[memory[USED]] = 1 + 2 * kind
            memory[USED] += 1
    memory[ACTIVE] |= memory[PENDING]
    memory[PENDING] = 0


@kernel
def end_mark(work: Work, kind: int) -> None:
    """End a kind of mark if it has begun, without one around nothing."""
    memory = work.memory
    if memory[ACTIVE] >> kind & 1:
        work.text[memory[USED]] = 2 + 2 * kind
        memory[USED] += 1
    memory[ACTIVE] &= ~(1 << kind)
    memory[PENDING] &= ~(1 << kind)


@kernel
def put(work: Work, byte: Any) -> None:
    """Write a byte of text."""
    _before(work, byte)
    memory = work.memory
    work.text[memory[USED]] = byte
    memory[USED] += 1
    if memory[memory[TOP] + S_LINK]:
        memory[LINKS] += 1


@kernel
def put_white(work: Work, byte: Any) -> None:
    """Write white space, as it is where it counts."""
    memory = work.memory
    if not memory[memory[TOP] + S_PRE]:
        memory[SPACE] = 1
        return
    if memory[SPACE] or memory[BREAKS]:
        _before(work, byte)
    memory[FRESH] = 0
    work.text[memory[USED]] = byte
    memory[USED] += 1


@kernel
def put_point(work: Work, point: int) -> None:
    """Write a character given by its number."""
    if point == 0x09 or point == 0x0A or point == 0x0C or point == 0x0D or point == 0x20:
        put_white(work, U8(point))
    elif 0x80 <= point <= 0xA0:
        put_white(work, U8(0x20))
    elif point < 0x20 or point == 0x7F or point == 0xAD or point == 0x200B or point == 0xFEFF:
        pass
    elif point < 0x80:
        put(work, U8(point))
    elif point < 0x800:
        put(work, U8(0xC0 | point >> 6))
        put(work, U8(0x80 | point & 0x3F))
    elif point < 0x10000:
        put(work, U8(0xE0 | point >> 12))
        put(work, U8(0x80 | point >> 6 & 0x3F))
        put(work, U8(0x80 | point & 0x3F))
    else:
        put(work, U8(0xF0 | point >> 18))
        put(work, U8(0x80 | point >> 12 & 0x3F))
        put(work, U8(0x80 | point >> 6 & 0x3F))
        put(work, U8(0x80 | point & 0x3F))


@inlined
def find_name(names: Hashes, key: np.uint64) -> int:
    """Return the place of a name in a table, -1 if it is not there."""
    mask = U64(len(names) - 1)
    at = (key ^ key >> U64(32)) & mask
    while names[at] != 0 and names[at] != key:
        at = (at + U64(1)) & mask
    return I64(at) if names[at] == key else -1


@kernel
def reference(page: Bytes, at: int, end: int, named: Hashes, work: Work) -> int:
    """Write the character that a reference means, or the ampersand; return what follows."""
    if at + 1 < end and page[at + 1] == 0x23:
        return _numbered(page, at, end, named, work)
    key, best, after = U64(SEED), -1, at + 1
    i = at + 1
    while i < end and i - at <= _LONGEST_NAME:
        byte = page[i]
        if byte == 0x3B:
            place = find_name(named[:CHARACTERS], (key ^ U64(byte)) * U64(FACTOR))
            if place >= 0:
                best, after = place, i + 1
            break
        if not (0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39):
            break
        key = (key ^ U64(byte)) * U64(FACTOR)
        i += 1
        if i - at - 1 <= _LONGEST_OLD_NAME:
            place = find_name(named[:CHARACTERS], key)
            if place >= 0:
                best, after = place, i
    if best < 0:
        put(work, U8(0x26))
        return at + 1
    packed = named[CHARACTERS + best]
    if packed == 0xA0C2 or packed == 0x0A or packed == 0x09:
        put_white(work, U8(0x20 if packed == 0xA0C2 else packed))
    elif packed != 0xADC2 and packed != 0x8B80E2:
        while packed:
            put(work, U8(packed & U64(0xFF)))
            packed >>= U64(8)
    return after


@kernel
def _numbered(page: Bytes, at: int, end: int, named: Hashes, work: Work) -> int:
    """The same for a reference by number."""
    i = at + 2
    hexadecimal = i < end and page[i] | 0x20 == 0x78
    if hexadecimal:
        i += 1
    first, point = i, 0
    while i < end:
        byte = page[i]
        if 0x30 <= byte <= 0x39:
            digit = byte - 0x30
        elif hexadecimal and 0x61 <= byte | 0x20 <= 0x66:
            digit = (byte | 0x20) - 0x57
        else:
            break
        point = min(point * (16 if hexadecimal else 10) + I64(digit), 0x110000)
        i += 1
    if i == first:
        put(work, U8(0x26))
        return at + 1
    if i < end and page[i] == 0x3B:
        i += 1
    if 0x80 <= point < 0xA0:
        point = I64(named[2 * CHARACTERS + point - 0x80])
    elif point == 0 or point > 0x10FFFF or 0xD800 <= point < 0xE000:
        point = 0xFFFD
    put_point(work, point)
    return i


@inlined
def is_white(page: Bytes, at: int, last: int) -> int:
    """Return the length of the character that looks like white space there, or of a mark; 0 if it is another."""
    byte = page[at]
    if byte <= 0x20:
        return 1
    if byte < 0xE1 or byte > 0xE3 or at + 2 >= last:
        return 0
    after, third = page[at + 1], page[at + 2]
    if byte == 0xE2 and after == 0x80:
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    if byte == 0xE2:
        return 3 if after == 0x81 and third == 0x9F else 0
    if byte == 0xE3:
        return 3 if after == 0x80 and third == 0x80 else 0
    return 3 if after == 0x9A and third == 0x80 else 0
