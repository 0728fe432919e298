"""One pass over the bytes of a page: blocks of text, and the elements that they stand in.

No tree is built. A stack of open elements is kept as the HTML standard wants it (WHATWG, section 13.2: implied end
tags, scopes, raw text), text goes to one buffer, and a block ends wherever a line would. What the standard does to
misnested formatting makes no difference to blocks, so an end tag of such an element closes it only if nothing else has
to be closed for that. Time and memory are linear in the page, whatever its bytes.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, inlined, kernel
from pipeline.extract.keywords import Keywords
from pipeline.extract.tags import (
    BARRIER,
    BLOCK,
    CLOSES_P,
    FACTOR,
    HEADING,
    IN_HEAD,
    NUMBER,
    RAW,
    SEED,
    SKIPPED,
    VOID,
    Tags,
)

I32 = np.int32
Masks = NDArray[np.uint64]
Table = NDArray[np.int32]

MARKS = (LINK, LINK_END, CODE, CODE_END, EMPHASIS, EMPHASIS_END, STRONG, STRONG_END) = (1, 2, 3, 4, 5, 6, 7, 8)
"""Bytes in the text of a block that are no characters: where links, code and emphasis begin and end."""

DEPTH = 1024
"""Elements beyond this depth are counted and not looked at; browsers stop at 512."""

# Columns of a block.
(
    START,
    END,
    NODE,
    LINKED,
    HEAD,
    LIST,
    ITEM,
    QUOTES,
    ROW,
    CELL,
    FLAGS,
) = range(11)
BLOCK_COLUMNS = 11
"""Of the text: first byte, byte after the last. The element that it stands in. Bytes in links. Level of the heading, 0
for none. Depth of lists. What stands before the first block of an item: its number, -1 for a bullet; 0 otherwise.
Depth of quotes. Number of the table's row in the page, 0 for none; of the cell in the row. And flags:"""
PRE, HEADER_CELL, TERM, DESCRIPTION, HIDDEN, CAPTION, QUOTED_FIRST = (1 << bit for bit in range(7))

# Columns of an element that begins a line.
PARENT, TAG, CHILD = range(3)

_HTML, _HEAD_TAG, _BODY, _P, _BR, _A = (NUMBER[name] for name in ("html", "head", "body", "p", "br", "a"))
_LI, _UL, _OL, _MENU, _DIR = (NUMBER[name] for name in ("li", "ul", "ol", "menu", "dir"))
_DD, _DT, _DL, _DIV, _ADDRESS = (NUMBER[name] for name in ("dd", "dt", "dl", "div", "address"))
_TABLE, _TR, _TD, _TH, _CAPTION = (NUMBER[name] for name in ("table", "tr", "td", "th", "caption"))
_THEAD, _TBODY, _TFOOT = (NUMBER[name] for name in ("thead", "tbody", "tfoot"))
_PRE_TAG, _LISTING, _CODE_TAG = (NUMBER[name] for name in ("pre", "listing", "code"))
_EM, _I, _STRONG_TAG, _B, _Q = (NUMBER[name] for name in ("em", "i", "strong", "b", "q"))
_BLOCKQUOTE, _OPTION, _OPTGROUP, _HR = (NUMBER[name] for name in ("blockquote", "option", "optgroup", "hr"))
_H1, _FIGCAPTION, _DIALOG = (NUMBER[name] for name in ("h1", "figcaption", "dialog"))
_RUBY, _RT, _RP, _PLAINTEXT, _SVG, _MATH = (NUMBER[name] for name in ("ruby", "rt", "rp", "plaintext", "svg", "math"))


class Blocks(NamedTuple):
    """A page as blocks of text, in its order."""

    text: Bytes
    """UTF-8 of all blocks, one behind another, with the `MARKS` in it."""
    blocks: Table
    """Shape [blocks, BLOCK_COLUMNS]."""
    inline: Masks
    """Shape [blocks]: keywords of elements inside of each block's line."""
    nodes: Table
    """Shape [elements, 3]: those that begin a line, in the order of their tags: parent, tag, number among the parent's
    children. Element 0 is the page."""
    masks: Masks
    """Shape [elements, 2]: keywords of the element itself; of everything that it stands in, itself too."""


class _Work(NamedTuple):
    """What the scanner writes."""

    text: Bytes
    blocks: Table
    inline: Masks
    nodes: Table
    masks: Masks
    children: Table
    """Shape [elements]: children so far."""
    stack: Table
    """Shape [DEPTH, _STACK_COLUMNS]."""
    inherited: Masks
    """Shape [DEPTH]."""
    opened: Ints
    """How many elements of each tag are open; then room for what was read of attributes."""
    state: Ints
    mask: Masks
    """Shape [1]: keywords of elements inside of the line."""


(
    _S_TAG,
    _S_NODE,
    _S_SKIP,
    _S_PRE,
    _S_LINK,
    _S_HEAD,
    _S_LIST,
    _S_NEXT,
    _S_STEP,
    _S_QUOTE,
    _S_ROW,
    _S_CELL,
    _S_FLAGS,
) = range(13)
_STACK_COLUMNS = 13
(
    _USED,
    _BEGIN,
    _BLOCK,
    _NODES,
    _TOP,
    _BEYOND,
    _SPACE,
    _BREAKS,
    _FRESH,
    _LINKS,
    _ROWS,
    _MARKER,
    _RUBY,
    _QUOTE_OPEN,
) = range(14)
_STATES = 14

_TEXT, _WHITE, _LESS, _AMP, _CONTROL, _C2, _E2, _EF = range(8)


def _classes() -> Bytes:
    classes = np.zeros(256, np.uint8)
    classes[:0x20] = _CONTROL
    classes[0x7F] = _CONTROL
    classes[[0x09, 0x0A, 0x0C, 0x0D, 0x20]] = _WHITE
    classes[0x3C], classes[0x26] = _LESS, _AMP
    classes[0xC2], classes[0xE2], classes[0xEF] = _C2, _E2, _EF
    return classes


_CLASSES = _classes()


@njit(cache=True, nogil=True)
def scan(page: Bytes, tags: Tags, keywords: Keywords) -> Blocks:
    """Scan a page in valid UTF-8."""
    room = 1024
    text = np.empty(len(page) * 5 // 4 + 256, U8)
    blocks = np.empty((room, BLOCK_COLUMNS), I32)
    inline = np.empty(room, U64)
    nodes = np.zeros((room, 3), I32)
    masks = np.zeros((room, 2), U64)
    children = np.zeros((room, 1), I32)
    stack = np.zeros((DEPTH, _STACK_COLUMNS), I32)
    inherited = np.zeros(DEPTH, U64)
    opened = np.zeros(len(tags.flags) + 8, I64)  # and what was read of attributes
    state = np.zeros(_STATES, I64)
    mask = np.zeros(1, U64)
    nodes[0, PARENT] = -1
    state[_NODES], state[_FRESH] = 1, 1
    at = 0
    while at < len(page):
        work = _Work(text, blocks, inline, nodes, masks, children, stack, inherited, opened, state, mask)
        at = _run(page, at, tags, keywords, work)
        if state[_BLOCK] + 4 > len(blocks):
            blocks = _grown(blocks)
            larger = np.empty(len(blocks), U64)
            larger[: len(inline)] = inline
            inline = larger
        if state[_NODES] + 4 > len(nodes):
            nodes, children = _grown(nodes), _grown(children)
            more = np.zeros((len(nodes), 2), U64)
            more[: len(masks)] = masks
            masks = more
    work = _Work(text, blocks, inline, nodes, masks, children, stack, inherited, opened, state, mask)
    _flush(work)
    count, elements = state[_BLOCK], state[_NODES]
    return Blocks(text[: state[_USED]], blocks[:count], inline[:count], nodes[:elements], masks[:elements])


@njit(cache=True, nogil=True)
def _grown(table: Table) -> Table:
    larger = np.zeros((2 * len(table), table.shape[1]), I32)
    larger[: len(table)] = table
    return larger


@kernel
def _run(page: Bytes, at: int, tags: Tags, keywords: Keywords, work: _Work) -> int:
    """Scan until the end, or until a table is nearly full; return where to go on."""
    state, stack = work.state, work.stack
    end = len(page)
    while at < end:
        top = state[_TOP]
        if stack[top, _S_SKIP]:
            while at < end and page[at] != 0x3C:
                at += 1
        else:
            at = _text(page, at, end, tags, work)
        if at >= end:
            break
        # A less-than sign.
        if state[_BLOCK] + 4 > len(work.blocks) or state[_NODES] + 4 > len(work.nodes):
            return at
        after = page[at + 1] if at + 1 < end else 0
        if 0x61 <= after | 0x20 <= 0x7A:
            at = _start_tag(page, at + 1, end, tags, keywords, work)
        elif after == 0x2F and at + 2 < end and 0x61 <= page[at + 2] | 0x20 <= 0x7A:
            at = _end_tag(page, at + 2, end, tags, work)
        elif after == 0x21 or after == 0x3F or after == 0x2F:
            at = _comment(page, at + 1, end)
        else:
            if not stack[top, _S_SKIP]:
                _put(work, U8(0x3C))
            at += 1
    return at


@kernel
def _comment(page: Bytes, at: int, end: int) -> int:
    """Return the end of a comment, a document type or anything else that begins with `<!`, `<?` or `</`."""
    if at + 2 < end and page[at] == 0x21 and page[at + 1] == 0x2D and page[at + 2] == 0x2D:
        at += 3
        if at < end and page[at] == 0x3E:
            return at + 1
        if at + 1 < end and page[at] == 0x2D and page[at + 1] == 0x3E:
            return at + 2
        while at + 2 < end:
            if page[at] == 0x2D and page[at + 1] == 0x2D:
                if page[at + 2] == 0x3E:
                    return at + 3
                if page[at + 2] == 0x21 and at + 3 < end and page[at + 3] == 0x3E:
                    return at + 4
            at += 1
        return end
    while at < end and page[at] != 0x3E:
        at += 1
    return min(at + 1, end)


@kernel
def _text(page: Bytes, at: int, end: int, tags: Tags, work: _Work) -> int:
    """Take text over up to the next less-than sign; return its place."""
    state, out = work.state, work.text
    top = state[_TOP]
    pre = work.stack[top, _S_PRE]
    while at < end:
        byte = page[at]
        kind = _CLASSES[byte]
        if kind == _TEXT:
            _before(work)
            begin = used = state[_USED]
            while at < end and _CLASSES[page[at]] == _TEXT:
                out[used] = page[at]
                used += 1
                at += 1
            state[_USED] = used
            if work.stack[top, _S_LINK]:
                state[_LINKS] += used - begin
        elif kind == _WHITE:
            if not pre:
                state[_SPACE] = 1
            elif byte == 0x0D:
                if not (at + 1 < end and page[at + 1] == 0x0A):
                    _put_raw(work, U8(0x0A))
            else:
                _put_raw(work, byte)
            at += 1
        elif kind == _LESS:
            return at
        elif kind == _AMP:
            at = _entity(page, at, end, tags, work)
        elif kind == _CONTROL:
            at += 1
        elif kind == _C2:
            after = page[at + 1] if at + 1 < end else U8(0)
            if after == 0xA0:
                _white(work)
                at += 2
            elif after == 0xAD or after < 0xA0:
                at += 2
            else:
                _put(work, byte)
                at += 1
        elif kind == _E2:
            if at + 2 < end and page[at + 1] == 0x80 and page[at + 2] == 0x8B:
                at += 3
            else:
                _put(work, byte)
                at += 1
        else:
            if at + 2 < end and page[at + 1] == 0xBB and page[at + 2] == 0xBF:
                at += 3
            else:
                _put(work, byte)
                at += 1
    return at


@inlined
def _before(work: _Work) -> None:
    """Write the white space that stands before what comes now."""
    state = work.state
    if state[_FRESH] == 0 and (state[_SPACE] or state[_BREAKS]):
        work.text[state[_USED]] = 0x0A if state[_BREAKS] else 0x20
        state[_USED] += 1
    state[_SPACE] = state[_BREAKS] = state[_FRESH] = 0


@kernel
def _put(work: _Work, byte: Any) -> None:
    """Write a byte of text."""
    _before(work)
    state = work.state
    work.text[state[_USED]] = byte
    state[_USED] += 1
    if work.stack[state[_TOP], _S_LINK]:
        state[_LINKS] += 1


@kernel
def _put_raw(work: _Work, byte: Any) -> None:
    """Write white space that stays as it is."""
    state = work.state
    if state[_BREAKS]:
        _before(work)
    state[_FRESH] = 0
    work.text[state[_USED]] = byte
    state[_USED] += 1


@kernel
def _white(work: _Work) -> None:
    if work.stack[work.state[_TOP], _S_PRE]:
        _put_raw(work, U8(0x20))
    else:
        work.state[_SPACE] = 1


@kernel
def _mark(work: _Work, mark: int, opens: bool) -> None:
    """Write a mark; the space before what is marked stands outside of it."""
    state = work.state
    if opens and state[_FRESH] == 0 and (state[_SPACE] or state[_BREAKS]):
        work.text[state[_USED]] = 0x0A if state[_BREAKS] else 0x20
        state[_USED] += 1
        state[_SPACE] = state[_BREAKS] = 0
        state[_FRESH] = 2  # a space more would be one too many
    work.text[state[_USED]] = mark
    state[_USED] += 1


@kernel
def _code_point(work: _Work, point: int) -> None:
    """Write a character given by its number."""
    if point == 0x09 or point == 0x0A or point == 0x0C or point == 0x0D or point == 0x20:
        if work.stack[work.state[_TOP], _S_PRE]:
            _put_raw(work, U8(point))
        else:
            work.state[_SPACE] = 1
    elif point == 0xA0:
        _white(work)
    elif point < 0x20 or 0x7F <= point < 0xA0 or point == 0xAD or point == 0x200B or point == 0xFEFF:
        pass
    elif point < 0x80:
        _put(work, U8(point))
    elif point < 0x800:
        _put(work, U8(0xC0 | point >> 6))
        _put(work, U8(0x80 | point & 0x3F))
    elif point < 0x10000:
        _put(work, U8(0xE0 | point >> 12))
        _put(work, U8(0x80 | point >> 6 & 0x3F))
        _put(work, U8(0x80 | point & 0x3F))
    else:
        _put(work, U8(0xF0 | point >> 18))
        _put(work, U8(0x80 | point >> 12 & 0x3F))
        _put(work, U8(0x80 | point >> 6 & 0x3F))
        _put(work, U8(0x80 | point & 0x3F))


@inlined
def _find(names: Hashes, key: np.uint64) -> int:
    """Return the place of a name in a table, -1 if it is not there."""
    mask = U64(len(names) - 1)
    at = (key ^ key >> U64(32)) & mask
    while names[at] != 0 and names[at] != key:
        at = (at + U64(1)) & mask
    return I64(at) if names[at] == key else -1


@kernel
def _entity(page: Bytes, at: int, end: int, tags: Tags, work: _Work) -> int:
    """Write the character that a reference means, or the ampersand; return what follows."""
    i = at + 1
    if i < end and page[i] == 0x23:
        i += 1
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
            _put(work, U8(0x26))
            return at + 1
        if i < end and page[i] == 0x3B:
            i += 1
        if 0x80 <= point < 0xA0:
            point = I64(tags.latin[point - 0x80])
        elif point == 0 or point > 0x10FFFF or 0xD800 <= point < 0xE000:
            point = 0xFFFD
        _code_point(work, point)
        return i
    key, best, after = U64(SEED), -1, at + 1
    while i < end and i - at <= 32:
        byte = page[i]
        if byte == 0x3B:
            key = (key ^ U64(byte)) * U64(FACTOR)
            place = _find(tags.entities, key)
            if place >= 0:
                best, after = place, i + 1
            break
        if not (0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39):
            break
        key = (key ^ U64(byte)) * U64(FACTOR)
        i += 1
        if i - at <= 7:
            place = _find(tags.entities, key)
            if place >= 0:
                best, after = place, i
    if best < 0:
        _put(work, U8(0x26))
        return at + 1
    packed = tags.texts[best]
    if packed == 0xA0C2:
        _white(work)
    elif packed == 0x0A or packed == 0x09:
        _code_point(work, I64(packed))
    elif packed != 0xADC2 and packed != 0x8B80E2:
        while packed:
            _put(work, U8(packed & U64(0xFF)))
            packed >>= U64(8)
    return after


@kernel
def _flush(work: _Work) -> None:
    """End the block, if it has any text."""
    state, text = work.state, work.text
    top = state[_TOP]
    stack = work.stack[top]
    first, last = state[_BEGIN], state[_USED]
    pre = stack[_S_PRE]
    shown = last
    while shown > first and (text[shown - 1] < 9 or text[shown - 1] <= 0x20):
        shown -= 1
    if shown > first:
        if pre:  # the first line break is not shown, and neither is what stands behind the text
            while last > first and text[last - 1] <= 0x20 and text[last - 1] >= 9:
                last -= 1
        else:
            while last > first and text[last - 1] <= 0x20 and text[last - 1] >= 9:
                last -= 1
        number = state[_BLOCK]
        block = work.blocks[number]
        block[START], block[END], block[NODE] = first, last, stack[_S_NODE]
        block[LINKED] = min(state[_LINKS], last - first)
        block[HEAD], block[LIST], block[ITEM] = stack[_S_HEAD], stack[_S_LIST], state[_MARKER]
        block[QUOTES], block[ROW], block[CELL] = stack[_S_QUOTE], stack[_S_ROW], stack[_S_CELL]
        block[FLAGS] = stack[_S_FLAGS] | (PRE if pre else 0)
        work.inline[number] = work.mask[0]
        state[_BLOCK] += 1
        state[_MARKER] = 0
        state[_BEGIN] = state[_USED] = last
    else:
        state[_USED] = first
    state[_SPACE] = state[_BREAKS] = state[_LINKS] = 0
    state[_FRESH] = 1
    work.mask[0] = U64(0)


@kernel
def _pop(work: _Work, tags: Tags, to: int) -> None:
    """Close elements until `to` of them are open."""
    state, stack = work.state, work.stack
    while state[_TOP] > to:
        entry = stack[state[_TOP]]
        tag = entry[_S_TAG]
        if tag >= 0:
            if tags.flags[tag] & BLOCK:
                _flush(work)
                if tag == _LI:
                    state[_MARKER] = 0
            elif not entry[_S_SKIP]:
                _marked(work, tag, False)
            work.opened[tag] -= 1
        state[_TOP] -= 1


@kernel
def _marked(work: _Work, tag: int, opens: bool) -> None:
    """Write the mark of an element in a line, if it has one."""
    mark = 0
    if tag == _A:
        mark = LINK
    elif tag == _CODE_TAG:
        mark = CODE
    elif tag == _EM or tag == _I:
        mark = EMPHASIS
    elif tag == _STRONG_TAG or tag == _B:
        mark = STRONG
    elif tag == _Q:
        _put(work, U8(0x22))
    if mark:
        _mark(work, mark if opens else mark + 1, opens)


@kernel
def _close(work: _Work, tags: Tags, tag: int, through: int) -> bool:
    """Close the nearest open element of a tag, unless a barrier but `through` is before it; say whether it was so."""
    if not work.opened[tag]:
        return False
    place = work.state[_TOP]
    while place > 0:
        here = work.stack[place, _S_TAG]
        if here == tag:
            _pop(work, tags, place - 1)
            return True
        if here > 0 and tags.flags[here] & BARRIER and not through:
            return False
        if through and here == through:
            return False
        place -= 1
    return False


@kernel
def _name(page: Bytes, at: int, end: int, tags: Tags) -> tuple[int, int]:
    """Return the number of a tag, 0 if it is not known, and the byte behind its name."""
    key = U64(SEED)
    while at < end:
        byte = page[at]
        if byte == 0x3E or byte == 0x2F or byte <= 0x20:
            break
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        key = (key ^ U64(byte)) * U64(FACTOR)
        at += 1
    place = _find(tags.names, key)
    return (tags.numbers[place] if place >= 0 else 0), at


@kernel
def _end_tag(page: Bytes, at: int, end: int, tags: Tags, work: _Work) -> int:
    tag, at = _name(page, at, end, tags)
    at = _past_attributes(page, at, end)
    state, stack = work.state, work.stack
    if state[_BEYOND]:
        if tag and not tags.flags[tag] & VOID:
            state[_BEYOND] -= 1
        return at
    if tag == _BR:
        _break(work)
        return at
    if tag == _HTML or tag == _BODY or tags.flags[tag] & VOID:
        return at
    flags = tags.flags[tag]
    if not work.opened[tag]:
        if tag == _P:
            _flush(work)
        return at
    if flags & BLOCK:
        if flags & HEADING and stack[state[_TOP], _S_HEAD]:
            place = state[_TOP]
            while place > 0 and not (stack[place, _S_TAG] > 0 and tags.flags[stack[place, _S_TAG]] & HEADING):
                place -= 1
            if place > 0:
                _pop(work, tags, place - 1)
        elif tag == _TABLE or tag == _TR or tag == _TBODY or tag == _THEAD or tag == _TFOOT or tag == _TD or tag == _TH:
            _close(work, tags, tag, _TABLE)
        else:
            _close(work, tags, tag, 0)
        return at
    # What stands in a line ends in it; if blocks were begun inside, only its meaning ends.
    place = state[_TOP]
    inside = True
    while place > 0:
        here = stack[place, _S_TAG]
        if here == tag:
            if inside or tags.flags[tag] & SKIPPED:
                _pop(work, tags, place - 1)
            else:
                stack[place, _S_TAG] = -1
                work.opened[tag] -= 1
                if tag == _A:
                    for above in range(place, state[_TOP] + 1):
                        stack[above, _S_LINK] = 0
            return at
        if here > 0 and tags.flags[here] & BARRIER and not tags.flags[tag] & SKIPPED:
            return at
        if here > 0 and tags.flags[here] & BLOCK:
            inside = False
        place -= 1
    return at


@kernel
def _break(work: _Work) -> None:
    """A line ends; two in a row end a block."""
    state = work.state
    if work.stack[state[_TOP], _S_SKIP]:
        return
    if work.stack[state[_TOP], _S_PRE]:
        _put_raw(work, U8(0x0A))
        return
    state[_BREAKS] += 1
    if state[_BREAKS] > 1:
        _flush(work)


@kernel
def _past_attributes(page: Bytes, at: int, end: int) -> int:
    """Return the byte behind a tag; a greater-than sign in a quoted value does not end it."""
    while at < end and page[at] != 0x3E:
        if page[at] == 0x3D:
            at += 1
            while at < end and page[at] <= 0x20:
                at += 1
            if at < end and (page[at] == 0x22 or page[at] == 0x27):
                quote = page[at]
                at += 1
                while at < end and page[at] != quote:
                    at += 1
                at = min(at + 1, end)
        else:
            at += 1
    return min(at + 1, end)


def _attribute(name: str) -> np.uint64:
    from pipeline.extract.tags import name_hash

    return np.uint64(name_hash(name.encode()))


_CLASS, _ID, _ROLE, _ITEMPROP = (_attribute(name) for name in ("class", "id", "role", "itemprop"))
_HIDDEN_NAME, _STYLE, _ARIA_HIDDEN, _OPEN_NAME = (
    _attribute(name) for name in ("hidden", "style", "aria-hidden", "open")
)
_START_NAME, _REVERSED, _VALUE, _ALTTEXT = (_attribute(name) for name in ("start", "reversed", "value", "alttext"))
_NONE, _INVISIBLE, _TRUE = (np.frombuffer(word, np.uint8) for word in (b"display:none", b"visibility:hidden", b"true"))

_OL_START, _OL_REVERSED, _LI_VALUE, _IS_HIDDEN, _ALT_FIRST, _ALT_LAST, _SELF_CLOSING, _OPEN = range(8)


@kernel
def _number(page: Bytes, first: int, last: int) -> int:
    """Return a whole number of up to eight digits, 0 if it is none."""
    while first < last and page[first] <= 0x20:
        first += 1
    sign, value = 1, 0
    if first < last and page[first] == 0x2D:
        sign = -1
        first += 1
    digits = 0
    while first < last and 0x30 <= page[first] <= 0x39 and digits < 8:
        value = 10 * value + I64(page[first] - 0x30)
        digits += 1
        first += 1
    return sign * value


@kernel
def _says(page: Bytes, first: int, last: int, words: Bytes) -> bool:
    """Whether a style has a declaration, white space left out; capitals count as small letters."""
    while first < last:
        i, at = 0, first
        while at < last and i < len(words):
            byte = page[at]
            if byte > 0x20:
                if 0x41 <= byte <= 0x5A:
                    byte |= 0x20
                if byte != words[i]:
                    break
                i += 1
            at += 1
        if i == len(words):
            return True
        while first < last and page[first] != 0x3B:
            first += 1
        first += 1
    return False


@kernel
def _keywords(page: Bytes, first: int, last: int, keywords: Keywords) -> np.uint64:
    found, state = U64(0), I64(0)
    for at in range(first, last):
        byte = page[at] | 0x20
        letter = I64(byte) - 0x61 if 0x61 <= byte <= 0x7A else (26 if page[at] == 0x2D else 27)
        state = I64(keywords.step[state * 28 + letter])
        found |= keywords.found[state]
    state = I64(keywords.step[state * 28 + 27])
    return found


@kernel
def _attributes(page: Bytes, at: int, end: int, keywords: Keywords, read: Ints) -> tuple[np.uint64, int]:
    """Read what matters of the attributes of a tag into `read`; return the keywords, and the byte behind the tag."""
    mask = U64(0)
    for i in range(8):
        read[i] = 0
    read[_OL_START] = read[_LI_VALUE] = 1 << 40
    while at < end:
        byte = page[at]
        if byte == 0x3E:
            break
        if byte <= 0x20 or byte == 0x2F:
            read[_SELF_CLOSING] = I64(byte == 0x2F) if byte != 0x20 else read[_SELF_CLOSING]
            at += 1
            continue
        read[_SELF_CLOSING] = 0
        key = U64(SEED)
        first = at
        while at < end:
            byte = page[at]
            if byte <= 0x20 or byte == 0x3E or byte == 0x2F or (byte == 0x3D and at > first):
                break
            if 0x41 <= byte <= 0x5A:
                byte |= 0x20
            key = (key ^ U64(byte)) * U64(FACTOR)
            at += 1
        while at < end and page[at] <= 0x20:
            at += 1
        first = last = at
        if at < end and page[at] == 0x3D:
            at += 1
            while at < end and page[at] <= 0x20:
                at += 1
            if at < end and (page[at] == 0x22 or page[at] == 0x27):
                quote = page[at]
                at += 1
                first = at
                while at < end and page[at] != quote:
                    at += 1
                last = at
                at = min(at + 1, end)
            else:
                first = at
                while at < end and page[at] > 0x20 and page[at] != 0x3E:
                    at += 1
                last = at
        if key == _CLASS or key == _ID or key == _ROLE or key == _ITEMPROP:
            mask |= _keywords(page, first, min(last, first + 1024), keywords)
        elif key == _HIDDEN_NAME:
            read[_IS_HIDDEN] = 1
        elif key == _STYLE:
            last = min(last, first + 1024)
            if _says(page, first, last, _NONE) or _says(page, first, last, _INVISIBLE):
                read[_IS_HIDDEN] = 1
        elif key == _ARIA_HIDDEN:
            if _says(page, first, min(last, first + 8), _TRUE):
                read[_IS_HIDDEN] = 1
        elif key == _START_NAME:
            read[_OL_START] = _number(page, first, last)
        elif key == _OPEN_NAME:
            read[_OPEN] = 1
        elif key == _REVERSED:
            read[_OL_REVERSED] = 1
        elif key == _VALUE:
            read[_LI_VALUE] = _number(page, first, last)
        elif key == _ALTTEXT:
            read[_ALT_FIRST], read[_ALT_LAST] = first, last
    return mask, min(at + 1, end)


@kernel
def _past_raw(page: Bytes, at: int, end: int, first: int, size: int) -> int:
    """Return the place of the end tag whose name is `page[first:first + size]`, the end of the page without one."""
    while at < end:
        if page[at] == 0x3C and at + 1 < end and page[at + 1] == 0x2F and at + 2 + size <= end:
            i = 0
            while i < size and page[at + 2 + i] | 0x20 == page[first + i] | 0x20:
                i += 1
            if i == size and (
                at + 2 + size == end
                or page[at + 2 + size] <= 0x3E
                and (page[at + 2 + size] <= 0x20 or page[at + 2 + size] == 0x2F or page[at + 2 + size] == 0x3E)
            ):
                return at
        at += 1
    return end


@kernel
def _start_tag(page: Bytes, at: int, end: int, tags: Tags, keywords: Keywords, work: _Work) -> int:
    state, stack = work.state, work.stack
    name = at
    tag, at = _name(page, at, end, tags)
    size = at - name
    read = work.opened[len(tags.flags) :]
    mask, at = _attributes(page, at, end, keywords, read)
    flags = tags.flags[tag]
    if flags & RAW and tag != _PLAINTEXT:
        close = _past_raw(page, at, end, name, size)
        if not flags & SKIPPED and not stack[state[_TOP], _S_SKIP]:  # xmp
            _flush(work)
            before = stack[state[_TOP], _S_PRE]
            stack[state[_TOP], _S_PRE] = 1
            for i in range(at, close):
                _put_raw(work, page[i])
            _flush(work)
            stack[state[_TOP], _S_PRE] = before
        return close
    if tag == _PLAINTEXT and not stack[state[_TOP], _S_SKIP]:  # nothing ends it
        _flush(work)
        stack[state[_TOP], _S_PRE] = 1
        for i in range(at, end):
            _put_raw(work, page[i])
        _flush(work)
        return end
    if state[_BEYOND]:
        if not flags & VOID and tag:
            state[_BEYOND] += 1
        return at
    if tag == _HTML or tag == _BODY:
        if work.opened[_HEAD_TAG]:
            _close(work, tags, _HEAD_TAG, _HTML)
        if state[_NODES] == 1:
            work.masks[0, 0] |= mask
            work.masks[0, 1] |= mask
        return at
    if work.opened[_HEAD_TAG] and not flags & IN_HEAD:
        _close(work, tags, _HEAD_TAG, _HTML)
    if stack[state[_TOP], _S_SKIP]:
        if not flags & VOID and not read[_SELF_CLOSING]:
            _push(work, tags, tag, mask, read)
        return at
    if tag == _BR:
        _break(work)
        return at
    if tag == _HR:
        if work.opened[_P]:
            _close(work, tags, _P, 0)
        _flush(work)
        return at
    if flags & VOID:
        return at
    _imply(work, tags, tag, flags)
    if flags & BLOCK:
        _flush(work)
    elif mask:
        work.mask[0] |= mask
    if tag == _RUBY:
        state[_RUBY] = 0
    elif tag == _RP:
        state[_RUBY] = 1
    if read[_SELF_CLOSING] and (tag == _MATH or tag == _SVG):
        return at
    if tag == _MATH and read[_ALT_LAST] > read[_ALT_FIRST]:
        i = read[_ALT_FIRST]
        while i < read[_ALT_LAST]:
            if page[i] == 0x26:
                i = _entity(page, i, read[_ALT_LAST], tags, work)
            elif page[i] <= 0x20:
                state[_SPACE] = 1
                i += 1
            else:
                _put(work, page[i])
                i += 1
    _push(work, tags, tag, mask, read)
    if not flags & BLOCK and not stack[state[_TOP], _S_SKIP]:
        _marked(work, tag, True)
    if (tag == _PRE_TAG or tag == _LISTING) and at < end:  # the line break right behind the tag is not shown
        if page[at] == 0x0A:
            at += 1
        elif page[at] == 0x0D:
            at += 2 if at + 1 < end and page[at + 1] == 0x0A else 1
    return min(at, end)


@kernel
def _imply(work: _Work, tags: Tags, tag: int, flags: int) -> None:
    """Close what a start tag ends."""
    state, stack = work.state, work.stack
    if flags & CLOSES_P and work.opened[_P]:
        _close(work, tags, _P, 0)
    if flags & HEADING:
        here = stack[state[_TOP], _S_TAG]
        if here > 0 and tags.flags[here] & HEADING:
            _pop(work, tags, state[_TOP] - 1)
    elif tag == _LI:
        if work.opened[_LI]:
            place = state[_TOP]
            while place > 0:
                here = stack[place, _S_TAG]
                if here == _LI:
                    _pop(work, tags, place - 1)
                    break
                if here == _UL or here == _OL or here == _MENU or here == _DIR:
                    break
                if here > 0 and tags.flags[here] & BLOCK and here != _ADDRESS and here != _DIV and here != _P:
                    break
                place -= 1
    elif tag == _DD or tag == _DT:
        if work.opened[_DD] or work.opened[_DT]:
            place = state[_TOP]
            while place > 0:
                here = stack[place, _S_TAG]
                if here == _DD or here == _DT:
                    _pop(work, tags, place - 1)
                    break
                if here == _DL:
                    break
                if here > 0 and tags.flags[here] & BLOCK and here != _ADDRESS and here != _DIV and here != _P:
                    break
                place -= 1
    elif tag == _A:
        if work.opened[_A]:
            _close_inline(work, tags, _A)
    elif tag == _OPTION or tag == _OPTGROUP:
        if work.opened[_OPTION]:
            _close(work, tags, _OPTION, 0)
    elif tag == _TD or tag == _TH:
        if work.opened[_TD]:
            _close(work, tags, _TD, _TABLE)
        if work.opened[_TH]:
            _close(work, tags, _TH, _TABLE)
    elif tag == _TR:
        if work.opened[_TR]:
            _close(work, tags, _TR, _TABLE)
        if work.opened[_CAPTION]:
            _close(work, tags, _CAPTION, _TABLE)
    elif tag == _TBODY or tag == _THEAD or tag == _TFOOT:
        for part in (_TBODY, _THEAD, _TFOOT, _TR, _CAPTION):
            if work.opened[part]:
                _close(work, tags, part, _TABLE)


@kernel
def _close_inline(work: _Work, tags: Tags, tag: int) -> None:
    """End the meaning of an element in a line, wherever it was begun."""
    state, stack = work.state, work.stack
    place = state[_TOP]
    while place > 0 and stack[place, _S_TAG] != tag:
        place -= 1
    if place == state[_TOP]:
        _pop(work, tags, place - 1)
    elif place > 0:
        if stack[state[_TOP], _S_LINK]:
            _marked(work, tag, False)
        stack[place, _S_TAG] = -1
        work.opened[tag] -= 1
        for above in range(place, state[_TOP] + 1):
            stack[above, _S_LINK] = 0


@kernel
def _push(work: _Work, tags: Tags, tag: int, mask: np.uint64, read: Ints) -> None:
    state, stack = work.state, work.stack
    top = state[_TOP]
    if top + 1 >= DEPTH:
        state[_BEYOND] += 1
        return
    flags = tags.flags[tag]
    above, entry = stack[top], stack[top + 1]
    for column in range(_STACK_COLUMNS):
        entry[column] = above[column]
    entry[_S_TAG] = tag
    work.inherited[top + 1] = work.inherited[top] | mask
    work.opened[tag] += 1
    state[_TOP] = top + 1
    if flags & SKIPPED or (tag == _RT and not state[_RUBY]) or (tag == _MATH and read[_ALT_LAST] > read[_ALT_FIRST]):
        entry[_S_SKIP] = 1
    if entry[_S_SKIP]:
        return
    if read[_IS_HIDDEN] and not flags & BLOCK:
        entry[_S_SKIP] = 1
        return
    if read[_IS_HIDDEN] or (tag == _DIALOG and not read[_OPEN]):
        entry[_S_FLAGS] |= HIDDEN
    if tag == _A:
        entry[_S_LINK] = 1
    if not flags & BLOCK:
        return
    node = state[_NODES]
    state[_NODES] += 1
    parent = above[_S_NODE]
    work.nodes[node, PARENT], work.nodes[node, TAG] = parent, tag
    work.nodes[node, CHILD] = work.children[parent, 0]
    work.children[parent, 0] += 1
    work.masks[node, 0], work.masks[node, 1] = mask, work.inherited[top + 1]
    entry[_S_NODE] = node
    if flags & HEADING:
        entry[_S_HEAD] = tag - _H1 + 1
    elif tag == _PRE_TAG or tag == _LISTING or tag == _PLAINTEXT:
        entry[_S_PRE] = 1
    elif tag == _UL or tag == _OL or tag == _MENU or tag == _DIR:
        entry[_S_LIST] += 1
        entry[_S_STEP] = 0
        if tag == _OL:
            entry[_S_STEP] = -1 if read[_OL_REVERSED] else 1
            entry[_S_NEXT] = read[_OL_START] if read[_OL_START] != 1 << 40 else 1
    elif tag == _LI:
        state[_MARKER] = -1
        if above[_S_STEP] and above[_S_LIST]:
            number = I64(read[_LI_VALUE] if read[_LI_VALUE] != 1 << 40 else above[_S_NEXT])
            state[_MARKER] = number if number > 0 else -1
            above[_S_NEXT] = number + above[_S_STEP]
    elif tag == _BLOCKQUOTE:
        entry[_S_QUOTE] += 1
    elif tag == _TABLE:
        entry[_S_ROW] = entry[_S_CELL] = 0
        entry[_S_HEAD] = 0
    elif tag == _TR:
        state[_ROWS] += 1
        entry[_S_ROW] = state[_ROWS]
        entry[_S_CELL] = 0
    elif tag == _TD or tag == _TH:
        above[_S_CELL] += 1
        entry[_S_CELL] = above[_S_CELL]
        if not entry[_S_ROW]:
            state[_ROWS] += 1
            entry[_S_ROW] = above[_S_ROW] = state[_ROWS]
        if tag == _TH:
            entry[_S_FLAGS] |= HEADER_CELL
        else:
            entry[_S_FLAGS] &= ~HEADER_CELL
    elif tag == _DT:
        entry[_S_FLAGS] |= TERM
    elif tag == _DD:
        entry[_S_FLAGS] = entry[_S_FLAGS] & ~TERM | DESCRIPTION
    elif tag == _CAPTION or tag == _FIGCAPTION:
        entry[_S_FLAGS] |= CAPTION
