"""The compiled loops of normalisation: one finds what each text needs and writes nothing, one writes texts anew.

Most texts need nothing, so that reading them eight bytes at a time is all they cost.
"""

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, inlined, kernel, load, trailing_zeros
from filters.tokens import decode
from pipeline.normalize.characters import (
    BLANK,
    CLASS_SHIFT,
    FIRST_LIGATURE,
    INVISIBLE,
    LAST_SHIFT,
    LIGATURE,
    LIGATURES,
    LINE_END,
    SECOND,
    SIZE,
    TELLTALE,
    UNSETTLED,
    UNSPACED,
    WORD_BREAK,
)
from pipeline.normalize.mojibake import ALONE

Kinds = NDArray[np.uint32]

CLEAN, COMPOSE, REPAIR, RECHECK = 1, 2, 4, 8
"""What a text needs: to be written anew, to be composed, to be looked at for wrong encodings now, or once written."""

COUNTS = ("line_ends", "invisible", "blanks", "ligatures")
_LINE_ENDS, _INVISIBLE, _BLANKS, _LIGATURES = range(4)

_SPACE, _NEWLINE, _RETURN, _WORD_BREAK = 0x20, 0x0A, 0x0D, 0x200B
_BEYOND = 0xFFFF  # stands for every character that the tables of pairs do not have
_ALONE, _NONE = U64(ALONE), U64(0)
_EACH = U64(0x0101010101010101)
_SPACES, _HIGH = _EACH * U64(0x20), _EACH * U64(0x80)

_LETTERS = np.frombuffer("".join(LIGATURES).encode(), U8)
_LETTER_BOUNDS = np.cumsum([0, *(len(letters) for letters in LIGATURES)])


@inlined
def _special(word: np.uint64) -> np.uint64:
    """Whether any of eight bytes is a control or beyond ASCII; the lowest bit that is set belongs to the first."""
    return ((word - _SPACES) | (word + _EACH) | word) & _HIGH


@kernel
def _plain_end(data: Bytes, at: int, end: int) -> int:
    """Return the end of the run of ASCII characters without controls that starts at a byte."""
    while at + 8 <= len(data) and at < end:
        special = _special(load(data, at))
        if special:
            return min(at + (trailing_zeros(special) >> 3), end)
        at += 8
    while at < end and 0x20 <= data[at] < 0x7F:
        at += 1
    return min(at, end)


@inlined
def _kind(point: int, table: Kinds) -> int:
    return I64(table[point]) if point < SIZE else INVISIBLE if point & 0xFFFE == 0xFFFE else 0


@compiled
def look(
    data: Bytes, offsets: Ints, table: Kinds, compositions: Ints, first: Hashes, second: Hashes, ligatures: bool
) -> Bytes:
    """Find what each text needs.

    Args:
        data, offsets: UTF-8 of all texts; text d is `data[offsets[d]:offsets[d + 1]]`.
        table: by code point, `characters.table()`.
        compositions: `characters.compositions()`.
        first, second: `mojibake.pairs()`.
        ligatures: whether they are to be taken apart.

    Returns:
        shape [texts]: sums of `CLEAN`, `COMPOSE`, `REPAIR` and `RECHECK`.
    """
    out = np.empty(len(offsets) - 1, U8)
    dirt = LINE_END | INVISIBLE | WORD_BREAK | (LIGATURE if ligatures else 0)
    for text in range(len(out)):
        out[text] = _needs(data, offsets[text], offsets[text + 1], table, compositions, first, second, dirt)
    return out


@kernel
def _needs(
    data: Bytes, begin: int, end: int, table: Kinds, compositions: Ints, first: Hashes, second: Hashes, dirt: int
) -> int:
    needs = 0
    before = _NONE  # the pairs that the last character begins
    last_class = 0
    starter = 0  # the last character that others are composed with
    line, run = begin, 2  # where the line starts, and line feeds just before it: none may stand at the beginning
    blank_end = begin - 1  # the end of the last blank that is not a space
    at = begin
    while at < end:
        if before == _NONE:
            plain = _plain_end(data, at, end)
            if plain > at:
                last_class, starter, at = 0, I64(data[plain - 1]), plain
                continue
        if data[at] == _NEWLINE:
            if second[_NEWLINE] & before:
                needs |= REPAIR
            before, last_class, starter = _NONE, 0, _NEWLINE
            run = run + 1 if at == line else 1
            if run > 2 or (at > line and (data[at - 1] == _SPACE or blank_end == at)):
                needs |= CLEAN
            at += 1
            line = at
            continue
        point, width = decode(data, at)
        at += width
        kind = _kind(point, table)
        if before != _NONE:
            if second[min(point, _BEYOND)] & before:
                needs |= REPAIR
            before = _NONE
        if kind == 0:
            last_class, starter = 0, point
            continue
        if kind & TELLTALE:
            before = first[point]
            needs |= REPAIR | RECHECK if before & _ALONE else RECHECK
        if kind & BLANK:
            blank_end = at
        if kind & dirt:
            needs |= CLEAN
        if not kind & (INVISIBLE | WORD_BREAK):  # these go, and what they part comes together
            order = kind >> CLASS_SHIFT & 0xFF
            if (
                kind & UNSETTLED
                or 0 < order < last_class
                or (kind & SECOND and _composed(starter << 32 | point, compositions))
            ):
                needs |= COMPOSE
            last_class = kind >> LAST_SHIFT
            if order == 0:
                starter = point
                if kind & dirt & LIGATURE:  # marks come to stand behind its last letter
                    starter = I64(_LETTERS[_LETTER_BOUNDS[point - FIRST_LIGATURE + 1] - 1])
    if end > begin and (data[end - 1] == _SPACE or data[end - 1] == _NEWLINE or blank_end == end):
        needs |= CLEAN
    return needs


@kernel
def _composed(pair: int, compositions: Ints) -> bool:
    low, high = 0, len(compositions)
    while low < high:
        middle = (low + high) >> 1
        if compositions[middle] < pair:
            low = middle + 1
        else:
            high = middle
    return low < len(compositions) and compositions[low] == pair


@compiled
def clean(data: Bytes, offsets: Ints, table: Kinds, ligatures: bool) -> tuple[Bytes, Ints, Ints]:
    """Write texts with line feeds for line ends, without invisible characters, and without blanks that mean nothing:
    at the ends of lines, more than one empty line in a row, empty lines at the beginning and at the end.

    Args: as in `look`.

    Returns:
        the texts as data and offsets, and counts `[texts, 4]`, columns as in `COUNTS`: line ends replaced, characters
        removed that are invisible, and that are blank, and ligatures taken apart.
    """
    texts = len(offsets) - 1
    out = np.empty(offsets[texts] - offsets[0], U8)
    bounds = np.zeros(texts + 1, I64)
    counts = np.zeros((texts, len(COUNTS)), I64)
    for text in range(texts):
        bounds[text + 1] = _write(
            data, offsets[text], offsets[text + 1], table, ligatures, out, bounds[text], counts[text]
        )
    return out[: bounds[texts]], bounds, counts


@kernel
def _write(data: Bytes, begin: int, end: int, table: Kinds, ligatures: bool, out: Bytes, base: int, count: Ints) -> int:
    """Write one text to `out` from byte `base` on; return where it ends."""
    used = base
    run = 2  # line feeds written in a row, as if two stood before the text
    breaks = -1  # whether U+200B ends words here; unknown
    at = begin
    while at < end:
        plain = _plain_end(data, at, end)
        if plain > at:
            for i in range(plain - at):
                out[used + i] = data[at + i]
            used += plain - at
            at = plain
            run = 0
            continue
        point, width = decode(data, at)
        kind = _kind(point, table)
        if point == _NEWLINE or kind & LINE_END:
            if point != _NEWLINE:
                count[_LINE_ENDS] += 1
                if point == _RETURN and at + 1 < end and data[at + 1] == _NEWLINE:
                    width = 2
            solid = _solid_end(out, base, used, table, count)
            if solid < used and (solid == base or out[solid - 1] == _NEWLINE):
                run = _run(out, base, solid)  # there were only blanks
            used = solid
            if run < 2:
                out[used] = _NEWLINE
                used += 1
                run += 1
            else:
                count[_BLANKS] += 1
            at += width
            continue
        if kind & WORD_BREAK and breaks < 0:
            breaks = I64(_unspaced(data, begin, end, table))
        if kind & INVISIBLE or (kind & WORD_BREAK and not breaks):
            count[_INVISIBLE] += 1
            at += width
            continue
        run = 0
        if kind & LIGATURE and ligatures:
            count[_LIGATURES] += 1
            for i in range(_LETTER_BOUNDS[point - FIRST_LIGATURE], _LETTER_BOUNDS[point - FIRST_LIGATURE + 1]):
                out[used] = _LETTERS[i]
                used += 1
        else:
            for i in range(width):
                out[used + i] = data[at + i]
            used += width
        at += width
    used = _solid_end(out, base, used, table, count)
    while used > base and out[used - 1] == _NEWLINE:
        used -= 1
        count[_BLANKS] += 1
    return used


@kernel
def _solid_end(out: Bytes, base: int, used: int, table: Kinds, count: Ints) -> int:
    """Return where the last line ends without the blanks at its end, which are counted as removed."""
    while used > base:
        start = used - 1
        while out[start] & 0xC0 == 0x80:
            start -= 1
        point, _ = decode(out, start)
        if not _kind(point, table) & BLANK:
            break
        used = start
        count[_BLANKS] += 1
    return used


@inlined
def _run(out: Bytes, base: int, used: int) -> int:
    """Return how many line feeds, two at most, end what was written; two stand before the text, as it were."""
    return 1 if used - 2 >= base and out[used - 2] != _NEWLINE else 2


@kernel
def _unspaced(data: Bytes, at: int, end: int, table: Kinds) -> bool:
    while at < end:
        at = _plain_end(data, at, end)
        if at < end:
            point, width = decode(data, at)
            if _kind(point, table) & UNSPACED:
                return True
            at += width
    return False
