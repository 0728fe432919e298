"""One pass over the bytes of a page: blocks of text, and the elements that they stand in.

No tree is built. A stack of open elements is kept as the HTML standard wants it (WHATWG, section 13.2), text goes to
one buffer, and a block ends wherever a line would. Time and memory are linear in the page, whatever its bytes. The
price is that formatting is not opened again in the next paragraph, and that elements which the standard moves stay,
but for text of tables outside of their cells.
"""

from typing import Any

import numpy as np
from numba import njit

from filters.hashing import I64, U8, U64, Bytes, Hashes, Ints, kernel
from pipeline.extract import blocks, state, tags
from pipeline.extract.blocks import Blocks, Masks, Table
from pipeline.extract.characters import put, put_box, put_white, reference, text
from pipeline.extract.elements import flush, pop, push, push_foreign, set_off
from pipeline.extract.formulas import remember
from pipeline.extract.implied import begin, break_line, end, leave_foreign
from pipeline.extract.keywords import Keywords
from pipeline.extract.markup import attributes, character_data_end, find, past_comment, raw_end, tag_name
from pipeline.extract.powers import begin_small, end_small
from pipeline.extract.state import MEMORY, STACK, TOP, WORK_COLUMNS, Work, groups_of, opened
from pipeline.extract.tags import NUMBER

_HTML, _HEAD, _BODY, _FRAMESET = (NUMBER[name] for name in ("html", "head", "body", "frameset"))
_P, _BR, _HR, _RUBY, _RP = (NUMBER[name] for name in ("p", "br", "hr", "ruby", "rp"))
_PRE, _LISTING, _CODE, _PLAINTEXT, _XMP = (NUMBER[name] for name in ("pre", "listing", "code", "plaintext", "xmp"))
_SVG, _MATH, _DIALOG, _SCRIPT = (NUMBER[name] for name in ("svg", "math", "dialog", "script"))
_NOSCRIPT, _OTHER, _SUB, _SUP = NUMBER["noscript"], NUMBER[""], NUMBER["sub"], NUMBER["sup"]
I32: Any = np.int32
_CDATA = np.frombuffer(b"<![CDATA[", np.uint8)
_MOST_IN_STEP = 8
"""Blocks, elements or tables that one tag may make, and more."""


@njit(cache=True, nogil=True)
def scan(page: Bytes, named: Hashes, keywords: Keywords, scripting: bool, most: int) -> Blocks:
    """Scan a page in valid UTF-8.

    Args:
        scripting: read it as browsers do that run scripts, to which `noscript` is nothing.
        most: blocks, elements or tables about which reading stops.
    """
    room = min(len(page) // 256 + 64, most + 2 * _MOST_IN_STEP)
    # The most that is made of bytes: of the four of `<p>x` in code, emphasised and strong, seven; of the three of a
    # quotation that is never closed, with a mark at either end, six.
    content = np.empty(3 * len(page) + 64, U8)
    memory = np.zeros(MEMORY, I64)
    rows = np.empty((room, WORK_COLUMNS[0]), I32)
    nodes = np.empty((room, WORK_COLUMNS[1]), I32)
    tables = np.empty((room, WORK_COLUMNS[2]), I32)
    nodes[0], tables[0] = 0, 0
    nodes[0, blocks.PARENT] = -1
    memory[TOP] = STACK
    memory[state.SCRIPTING] = scripting
    memory[state.NODES] = memory[state.TABLES] = memory[state.FRESH] = memory[state.BEFORE] = 1
    at = I64(0)
    while at < len(page) and max(memory[state.BLOCKS], memory[state.NODES], memory[state.TABLES]) < most:
        work = Work(content, memory, rows, nodes, tables)
        at = _run(page, at, named, keywords, work)
        if memory[state.BLOCKS] + _MOST_IN_STEP > len(rows):
            rows = _grown(rows, at / len(page), most)
        if memory[state.NODES] + _MOST_IN_STEP > len(nodes):
            nodes = _grown(nodes, at / len(page), most)
        if memory[state.TABLES] + _MOST_IN_STEP > len(tables):
            tables = _grown(tables, at / len(page), most)
    work = Work(content, memory, rows, nodes, tables)
    pop(work, STACK)
    flush(work)
    _name_languages(page, work)
    rows, nodes = rows[: memory[state.BLOCKS]], nodes[: memory[state.NODES]]
    if memory[state.MOVED]:
        rows = rows[_order(rows)]
    masks = np.empty((len(nodes), 2), U64)
    masks[:, 0], masks[:, 1] = _joined(nodes, state.N_OWN), _joined(nodes, state.N_ALL)
    masks[0] = U64(memory[state.PAGE])
    return Blocks(
        content[: memory[state.USED]].copy(),
        rows,
        _joined(rows, state.B_INLINE),
        nodes,
        masks,
        tables[: memory[state.TABLES]],
        memory[state.NOSCRIPT],
        at >= len(page),
    )


@njit(cache=True, nogil=True)
def _joined(table: Table, column: int) -> Masks:
    """Return the masks that stand in two columns of a table."""
    masks = np.empty(len(table), U64)
    for number in range(len(table)):
        masks[number] = U64(table[number, column]) & U64(0xFFFFFFFF) | U64(table[number, column + 1]) << U64(32)
    return masks


@njit(cache=True, nogil=True)
def _grown(table: Table, share: float, most: int) -> Table:
    """Return a larger table, for a page as dense as the share of it that was read; what stays empty costs nothing."""
    rows = min(I64(len(table) * max(1.5, 1.1 / share)), most + 2 * _MOST_IN_STEP)
    larger = np.empty((rows, table.shape[1]), I32)
    larger[: len(table)] = table
    return larger


@njit(cache=True, nogil=True)
def _order(rows: Table) -> Ints:
    """Return the order of blocks in which text of tables outside of their cells stands before the table."""
    count = len(rows)
    moved = np.zeros(count + 1, I64)  # how many belong before each block, then where the next of them goes
    for number in range(count):
        if rows[number, state.B_FOSTER]:
            moved[rows[number, state.B_FOSTER] - 1] += 1
    order, place = np.empty(count, I64), 0
    for number in range(count):
        moved[number], place = place, place + moved[number]
        if not rows[number, state.B_FOSTER]:
            order[place] = number
            place += 1
    for number in range(count):
        target = rows[number, state.B_FOSTER] - 1
        if target >= 0:
            order[moved[target]] = number
            moved[target] += 1
    return order


@kernel
def _name_languages(page: Bytes, work: Work) -> None:
    """Put the languages of preformatted text behind the text of the page, each ended by a zero."""
    used = work.memory[state.USED]
    for number in range(work.memory[state.NODES]):
        node = work.nodes[number]
        if node[state.N_LANGUAGE_END]:
            node[blocks.VALUE] = used
            for at in range(node[state.N_LANGUAGE], node[state.N_LANGUAGE_END]):
                work.text[used] = page[at]
                used += 1
            work.text[used] = 0
            used += 1
    work.memory[state.USED] = used


@kernel
def _run(page: Bytes, at: int, named: Hashes, keywords: Keywords, work: Work) -> int:
    """Scan until the end, or until a table is nearly full; return where to go on."""
    memory = work.memory
    end_of_page = len(page)
    while at < end_of_page:
        top = memory[TOP]
        if not memory[top + state.S_SKIP]:
            at = text(page, at, end_of_page, False, named, work)
        elif memory[top + state.S_TAG] == _HEAD:
            while at < end_of_page and page[at] <= 0x20:
                at += 1
            if at < end_of_page and page[at] != 0x3C:  # text ends the head
                end(work, _HEAD)
                continue
        else:
            at = find(page, at, end_of_page, 0x3C)
        if at >= end_of_page:
            break
        # A less-than sign.
        if (
            memory[state.BLOCKS] + _MOST_IN_STEP > len(work.blocks)
            or memory[state.NODES] + _MOST_IN_STEP > len(work.nodes)
            or memory[state.TABLES] + _MOST_IN_STEP > len(work.tables)
        ):
            return at
        after = page[at + 1] if at + 1 < end_of_page else U8(0)
        if 0x61 <= after | 0x20 <= 0x7A:
            at = _start_tag(page, at + 1, named, keywords, work)
        elif after == 0x2F and at + 2 < end_of_page and 0x61 <= page[at + 2] | 0x20 <= 0x7A:
            at = _end_tag(page, at + 2, keywords, work)
        elif after == 0x21 or after == 0x3F or (after == 0x2F and at + 2 < end_of_page):
            at = _comment(page, at, named, work)
        else:
            if not memory[top + state.S_SKIP]:
                put(work, U8(0x3C))
            at += 1
    return at


@kernel
def _comment(page: Bytes, at: int, named: Hashes, work: Work) -> int:
    """Pass over a comment; in drawings and formulas, sections of character data are text."""
    place = work.memory[TOP]
    if not work.memory[place + state.S_FOREIGN] or at + len(_CDATA) > len(page):
        return past_comment(page, at + 1)
    for i in range(len(_CDATA)):
        if page[at + i] != _CDATA[i]:
            return past_comment(page, at + 1)
    at += len(_CDATA)
    close = character_data_end(page, at)
    if not work.memory[place + state.S_SKIP]:
        text(page, at, close, True, named, work)
    return min(close + 3, len(page))


@kernel
def _end_tag(page: Bytes, at: int, keywords: Keywords, work: Work) -> int:
    memory = work.memory
    tag, at = tag_name(page, at)
    if tag == _NOSCRIPT and not memory[state.SCRIPTING]:
        tag = _OTHER
    if at < len(page) and page[at] == 0x3E:
        at += 1
    else:
        at = attributes(page, at, tag, keywords, memory)[1]
    top = memory[TOP]
    if memory[top + state.S_FOREIGN] == state.FOREIGN and (tag == _P or tag == _BR):
        leave_foreign(work)
    if tag == _BR:
        _break(work)
        return at
    if (tag == _SUP or tag == _SUB) and memory[top + state.S_TAG] == tag and not memory[top + state.S_SKIP]:
        end_small(work, tag, page[at] if at < len(page) else U8(0))
    end(work, tag)
    return at


@kernel
def _break(work: Work) -> None:
    if not work.memory[work.memory[TOP] + state.S_SKIP]:
        if work.memory[work.memory[TOP] + state.S_PRE]:
            put_white(work, U8(0x0A))
        else:
            break_line(work)


@kernel
def _start_tag(page: Bytes, at: int, named: Hashes, keywords: Keywords, work: Work) -> int:
    memory = work.memory
    name = at
    tag, at = tag_name(page, at)
    size = at - name
    if tag == _NOSCRIPT and not memory[state.SCRIPTING]:
        tag = _OTHER
    mask, at = attributes(page, at, tag, keywords, memory)
    groups = groups_of(tag)
    if memory[memory[TOP] + state.S_FOREIGN] == state.FOREIGN:
        if not groups & tags.BREAKS_OUT:
            if not memory[state.R_SELF_CLOSING]:
                push_foreign(work, tag)
            return at
        leave_foreign(work)
    if memory[opened(_HEAD)] and not groups & tags.IN_HEAD:
        end(work, _HEAD)
    if tag == _HTML or tag == _BODY:
        if memory[state.NODES] == 1:
            memory[state.PAGE] |= mask
        if tag == _BODY:
            memory[state.BODY] = 1
        return at
    if tag == _FRAMESET:
        empty = memory[state.NODES] == 1 and not memory[state.BODY] and memory[state.FRESH]
        return len(page) if empty else at
    if not begin(work, tag, groups):
        return at
    if groups & tags.RAW and groups & tags.SKIPPED:
        close = raw_end(page, at, name, size, tag == _SCRIPT)
        if groups & tags.BOX and not (memory[state.R_HIDDEN] or memory[memory[TOP] + state.S_SKIP]):
            put_box(memory)
        if tag == _NOSCRIPT:
            memory[state.NOSCRIPT] += close - at
        return close
    hidden = memory[state.R_HIDDEN] or (tag == _DIALOG and not memory[state.R_OPEN])
    if not memory[memory[TOP] + state.S_SKIP]:
        _begins(work, tag, groups, mask, hidden)
    if groups & tags.VOID or ((tag == _SVG or tag == _MATH) and memory[state.R_SELF_CLOSING]):
        return at
    shown = not memory[memory[TOP] + state.S_SKIP]
    if shown and tag == _MATH:
        _formula(page, named, work)
    push(work, tag, mask, hidden)
    top = memory[TOP]
    if memory[top + state.S_TAG] != tag:  # too deep
        return at
    if tag == _SVG or tag == _MATH:
        memory[top + state.S_FOREIGN] = state.FOREIGN
    elif tag == _SUP or tag == _SUB:
        begin_small(work)
    elif tag == _CODE or groups & tags.PREFORMATTED:
        pre = memory[top + state.S_PRE]
        if pre and memory[state.R_LANGUAGE]:
            work.nodes[pre, state.N_LANGUAGE] = memory[state.R_LANGUAGE]
            work.nodes[pre, state.N_LANGUAGE_END] = memory[state.R_LANGUAGE_END]
        if tag == _XMP or tag == _PLAINTEXT:  # nothing in it is a tag, and nothing ends the latter
            close = raw_end(page, at, name, size, False) if tag == _XMP else len(page)
            return text(page, at, close, True, named, work) if shown else close
        if tag != _CODE:  # the line break right behind the tag is not shown
            if at < len(page) and page[at] == 0x0D:
                at += 1
            if at < len(page) and page[at] == 0x0A:
                at += 1
    return at


@kernel
def _begins(work: Work, tag: int, groups: int, mask: int, hidden: int) -> None:
    """End the line where an element begins one."""
    memory = work.memory
    if tag == _BR:
        if not hidden:
            _break(work)
    elif tag == _HR:
        if not hidden:
            flush(work)
            set_off(work, tag)
            memory[state.RULED] = 1
    elif groups & tags.BLOCK:
        flush(work)
        if not hidden:
            set_off(work, tag)
    else:
        memory[state.INLINE] |= mask
        if groups & tags.BOX:
            if not hidden:
                put_box(memory)
        elif tag == _RUBY:
            memory[state.BRACKETS] = 0
        elif tag == _RP:
            memory[state.BRACKETS] = 1


@kernel
def _formula(page: Bytes, named: Hashes, work: Work) -> None:
    """Write the text that a formula has as an attribute, or remember where it begins."""
    memory = work.memory
    at, last = memory[state.R_ALT], memory[state.R_ALT_END]
    if at == last:
        remember(memory)
    while at < last:
        if page[at] == 0x26:
            at = reference(page, at, last, named, work)
        else:
            close = find(page, at, last, 0x26)
            text(page, at, close, True, named, work)
            at = close
