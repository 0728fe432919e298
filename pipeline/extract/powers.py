"""Raised and lowered text: 10⁶, x_i, H2O, where leaving out what shows it would give another number or another name.

It is one of these only if it stands right behind a letter, a digit or a closing bracket, its base, and neither begins
nor holds a link, which is the mark of a note. It is written

- in Unicode's own characters if it has nothing but digits, `+`, `-`, `=`, or raised n, i and commas: 10⁶, m², x⁻¹;
- but lowered digits as they are between an ASCII letter or bracket and no digit: H2O, Ca(OH)2;
- with a space before it if it is a raised fraction after a number: 1 1/2;
- as TeX does it if it begins with a letter, a digit or a sign, has no white space, and its base is a number, a bracket
  or a letter that stands alone: x^k, 2^{n/2}, x_i, V_max. Not so raised words, and letters that end ordinals or
  mark numbers of tables: 1st, 2e, Mlle, 0.5b.

All else is written as if nothing raised or lowered it: [1], 1), TM, *, pKa, NOx.
"""

from typing import Any

import numpy as np

from filters.hashing import U8, Bytes, inlined, kernel
from pipeline.extract import blocks, state
from pipeline.extract.state import TOP, USED, Work
from pipeline.extract.tags import NUMBER

_SUP = NUMBER["sup"]
_LONGEST = 32
"""Bytes of what is raised or lowered, with marks of code and emphasis."""
_CIRCUMFLEX, _UNDERSCORE, _OPEN, _CLOSE, _SPACE = (U8(byte) for byte in b"^_{} ")


def _small(characters: str, small: str) -> Bytes:
    """Return for each byte of ASCII three of the UTF-8 of the small character; zeros where there is none."""
    table = np.zeros((128, 3), np.uint8)
    for character, other in zip(characters, small, strict=True):
        code = other.encode()
        table[ord(character), : len(code)] = np.frombuffer(code, np.uint8)
    return table.reshape(-1)


_RAISED = _small("0123456789+-=,ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼,ⁿⁱ")
_LOWERED = _small("0123456789+-=", "₀₁₂₃₄₅₆₇₈₉₊₋₌")


@inlined
def _is_digit(byte: Any) -> Any:
    return 0x30 <= byte <= 0x39


@inlined
def _is_letter(byte: Any) -> Any:
    """Whether a byte is of a letter; of all that is not ASCII, every one counts."""
    return byte >= 0x80 or 0x61 <= byte | 0x20 <= 0x7A


@inlined
def _is_bracket(byte: Any) -> Any:
    return byte == 0x29 or byte == 0x5D or byte == 0x7D


@kernel
def _last_shown(text: Bytes, first: int, at: int) -> int:
    """Return the last place before another whose byte is no mark; what is before the first if there is none."""
    at -= 1
    while at >= first and text[at] <= blocks.STRONG_END:
        at -= 1
    return at


@kernel
def begin_small(work: Work) -> None:
    """Note where raised or lowered text begins, if it may have a base."""
    memory = work.memory
    parted = memory[state.FRESH] or memory[state.SPACE] or memory[state.BREAKS]
    memory[memory[TOP] + state.S_SMALL] = 0 if parted else memory[USED]


@kernel
def end_small(work: Work, tag: int, after: Any) -> None:
    """Rewrite raised or lowered text, the innermost element, where it ends; `after` is the byte behind its end tag."""
    memory, text = work.memory, work.text
    begin, first, last = memory[state.BEGIN], memory[memory[TOP] + state.S_SMALL], memory[USED]
    if not begin < first < last <= first + _LONGEST or memory[state.LINKED_FROM] >= first:
        return
    place = _last_shown(text, begin, first)
    if place < begin:
        return
    base = text[place]
    on_digit, on_letter = _is_digit(base), _is_letter(base)
    if not (on_digit or on_letter or _is_bracket(base)):
        return
    raised = tag == _SUP
    small = _RAISED if raised else _LOWERED
    letters = digits = others = slashes = brackets = size = 0
    leads = white = False  # whether it begins as what TeX writes does; whether it has white space
    simple = True  # whether there are small characters for all
    lead = U8(0)
    at = first
    while at < last:
        byte = text[at]
        minus = byte == 0xE2 and at + 2 < last and text[at + 1] == 0x88 and text[at + 2] == 0x92
        if byte <= blocks.STRONG_END:
            at += 1
            size += 1
            continue
        if not lead:
            lead = byte
            leads = byte < 0x80 and (_is_digit(byte) or _is_letter(byte) or byte == 0x2B or byte == 0x2D)
            leads |= minus or byte == 0xCE or byte == 0xCF  # Greek
        if minus:
            others += 1
            size += 3
            at += 3
            continue
        if byte >= 0x80 or small[3 * byte] == 0:
            simple = False
        else:
            size += 3 if small[3 * byte + 2] else (2 if small[3 * byte + 1] else 1)
        if byte <= 0x20:
            white = True
        elif _is_digit(byte):
            digits += 1
        elif byte == 0xC2 or byte == 0xE2:  # small characters, signs
            others += 1
        elif _is_letter(byte):
            letters += byte & 0xC0 != 0x80
        else:
            others += 1
            slashes += byte == 0x2F
            brackets += (byte == 0x28) - (byte == 0x29)
        at += 1
    if not lead or white:
        return
    if simple and lead != 0x2C:
        plain = not raised and not letters + others and not on_digit and base < 0x80 and not _is_digit(after)
        if not plain:
            _make_small(work, first, last, size, small, raised)
    elif raised and on_digit and slashes == 1 and others == 1 and not letters and digits > 1 and _is_digit(lead):
        _shift(work, first, last, 1)
        text[first] = _SPACE
    elif leads and not brackets and (not on_letter or _stands_alone(text, begin, place)):
        word = not digits + others
        if raised and word and (letters > 1 or _is_note(lead, on_letter)):
            return
        mark = _CIRCUMFLEX if raised else _UNDERSCORE
        if others:
            _shift(work, first, last, 2)
            text[first + 1] = _OPEN
            text[last + 2] = _CLOSE
            _grow(work, 1)
        else:
            _shift(work, first, last, 1)
        text[first] = mark


@inlined
def _is_note(byte: Any, on_letter: bool) -> Any:
    """Whether a raised letter ends ordinals and short titles (1a, 2d, 3e, no, Dr), or marks a number of a table."""
    ends = byte == 0x61 or byte == 0x64 or byte == 0x65 or byte == 0x6F or byte == 0x72
    return ends or (0x61 <= byte <= 0x68 and not on_letter)


@kernel
def _stands_alone(text: Bytes, first: int, at: int) -> Any:
    """Whether there is no other letter before the one that ends there."""
    while at > first and text[at] & 0xC0 == 0x80:
        at -= 1
    at = _last_shown(text, first, at)
    last = at
    while at > first and text[at] & 0xC0 == 0x80:
        at -= 1
    if at < first or text[at] == 0xC2 or text[at] == 0xE2:  # signs
        return True
    return not _is_letter(text[at]) or (text[at] == 0xC3 and (text[last] == 0x97 or text[last] == 0xB7))  # × ÷


@kernel
def _grow(work: Work, size: int) -> None:
    """Count bytes that were written."""
    memory = work.memory
    memory[USED] += size
    if memory[memory[TOP] + state.S_LINK]:
        memory[state.LINKS] += size


@kernel
def _shift(work: Work, first: int, last: int, size: int) -> None:
    """Move text to make room before it."""
    for at in range(last - 1, first - 1, -1):
        work.text[at + size] = work.text[at]
    _grow(work, size)


@kernel
def _make_small(work: Work, first: int, last: int, size: int, small: Bytes, raised: bool) -> None:
    """Replace every character by the small one, from the last to the first, since none is shorter."""
    text, to = work.text, first + size
    for at in range(last - 1, first - 1, -1):
        byte = text[at]
        if byte == 0x88:  # of the minus sign, U+2212, whose small ones are U+207B and U+208B
            byte = U8(0x81 if raised else 0x82)
        elif byte == 0x92:
            byte = U8(0xBB if raised else 0x8B)
        if byte >= 0x80 or small[3 * byte] == 0:
            to -= 1
            text[to] = byte
            continue
        for i in range(2, -1, -1):
            if small[3 * byte + i]:
                to -= 1
                text[to] = small[3 * byte + i]
    _grow(work, first + size - last)
