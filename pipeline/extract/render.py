"""Chosen blocks of a page as plain text or Markdown.

A block is a paragraph, a heading, a row of a table, or lines of preformatted text. What it stands in is written before
each of its lines: marks of items and quotations, or as many columns. Items and lists of which nothing is chosen are
left out of that, so that text begins at the margin wherever the page is cut. The marks of Markdown in the text itself
are not escaped, but for bars in tables and backticks in code; addresses of links are not written.
"""

import numpy as np
from numba import njit

from filters.hashing import I64, U8, Bytes, Ints, kernel
from pipeline.extract import blocks
from pipeline.extract.blocks import Blocks, Table
from pipeline.extract.lines import (
    AT,
    BACKSLASH,
    BACKTICK,
    BAR,
    BARS,
    BEFORE_TEXT,
    BOX_COLUMNS,
    DEPTH,
    GAP,
    HASH,
    HYPHEN,
    ITEM,
    LAST,
    LAST_TABLE,
    LEVELS,
    LINE_BEGINS,
    MEMORY,
    NEWLINE,
    SPACE,
    STAR,
    USED,
    Choice,
    begin_block,
    contain,
    end_line,
    in_row,
    put,
    put_before,
    put_mark,
    put_times,
)
from pipeline.extract.tags import NUMBER

_LI = NUMBER["li"]
_WIDEST = 64
"""Columns of a table in Markdown, where every row has all; rows of wider ones are lines as in plain text."""
_LINES_BESIDE = 8
"""Lines that may stand before and after a block's text: empty ones, one that is drawn, fences, that below a head."""
_LONGEST_NAME = 64
"""Bytes of the name of a programming language, of the marks of a heading and of a line that is drawn."""


@njit(cache=True, nogil=True)
def render(page: Blocks, chosen: Choice, markdown: bool, emphasis: bool) -> Bytes:
    """Return the text of the blocks that are chosen, in UTF-8, without a line end at its end.

    Args:
        chosen: shape [blocks]. A row of a table is written whole if half of its text is chosen.
        emphasis: mark it, in Markdown.
    """
    boxes = np.zeros((len(page.nodes), BOX_COLUMNS), np.int32)
    contain(page, chosen, markdown, boxes)
    memory = np.zeros(MEMORY, I64)
    memory[LAST] = -1
    out = np.empty(len(page.text) + 1024, U8)
    while memory[AT] < len(page.blocks):
        room = _run(page, chosen, markdown, emphasis, boxes, out, memory)
        if room:
            larger = np.empty(2 * len(out) + room, U8)
            larger[: memory[USED]] = out[: memory[USED]]
            out = larger
    return out[: memory[USED]]


@kernel
def _run(page: Blocks, chosen: Choice, markdown: bool, emphasis: bool, boxes: Table, out: Bytes, memory: Ints) -> int:
    """Write blocks until all are written, and return 0; or how many bytes the next ones need at most."""
    count = len(page.blocks)
    while memory[AT] < count:
        first = memory[AT]
        memory[GAP] = max(memory[GAP], page.blocks[first, blocks.GAP])
        last = first + 1
        wanted = chosen[first]
        row, pre = in_row(page, first), page.blocks[first, blocks.PRE]
        if row:
            while last < count and page.blocks[last, blocks.ROW] == page.blocks[first, blocks.ROW]:
                wanted |= chosen[last]
                last += 1
        elif pre and wanted:
            while last < count and page.blocks[last, blocks.PRE] == pre:
                last += 1
        if wanted:
            room = _room(page, first, last)
            if memory[USED] + room > len(out):
                return room
            if row:
                _write_row(page, chosen, markdown, emphasis, boxes, out, memory, first, last)
            elif pre:
                _write_lines(page, chosen, markdown, boxes, out, memory, first, last)
            else:
                _write_block(page, markdown, emphasis, boxes, out, memory, first)
            memory[GAP] = 0
            memory[LAST] = last - 1
        memory[AT] = last
    return 0


@kernel
def _room(page: Blocks, first: int, last: int) -> int:
    """Return how many bytes some blocks need at most, with the lines before and after them."""
    size = lines = 0
    for number in range(first, last):
        begin, end = page.blocks[number, blocks.START], page.blocks[number, blocks.END]
        size += end - begin
        for at in range(begin, end):
            lines += page.text[at] == NEWLINE
    # Code may have two more backticks on either side for each in it. A block in a row may have the mark of an item,
    # one in preformatted text an empty line before it; a cell has a bar and two spaces.
    lines += _LINES_BESIDE + 2 * (last - first)
    marks = (LEVELS + last - first) * BEFORE_TEXT
    columns = 9 * _WIDEST + 3 * page.blocks[last - 1, blocks.CELL]
    room: int = 5 * size + lines * LINE_BEGINS + marks + columns + _LONGEST_NAME
    return room


@kernel
def _write_block(
    page: Blocks, markdown: bool, emphasis: bool, boxes: Table, out: Bytes, memory: Ints, number: int
) -> None:
    begin_block(page, markdown, boxes, out, memory, number, 0)
    head = page.blocks[number, blocks.HEAD]
    if markdown and head:
        put_times(out, memory, HASH, head)
        put(out, memory, SPACE)
    _put_text(page, markdown, emphasis, boxes, out, memory, number, markdown and head > 0, False)


@kernel
def _put_text(
    page: Blocks,
    markdown: bool,
    emphasis: bool,
    boxes: Table,
    out: Bytes,
    memory: Ints,
    number: int,
    joined: bool,
    bars: bool,
) -> None:
    """Write the text of a block, `joined` in one line; with `bars`, those in it are escaped."""
    text = page.text
    at, last = page.blocks[number, blocks.START], page.blocks[number, blocks.END]
    fence, padded = 0, False
    while at < last:
        byte = text[at]
        at += 1
        if byte > SPACE:
            if byte == BAR and bars:
                put(out, memory, BACKSLASH)
            put(out, memory, byte)
        elif byte == blocks.CODE and markdown:
            close = at
            while text[close] != blocks.CODE_END:
                close += 1
            fence = 1 + _longest_run(text, at, close)
            padded = text[at] == BACKTICK or text[close - 1] == BACKTICK
            put_times(out, memory, BACKTICK, fence)
            put_times(out, memory, SPACE, padded)
        elif byte == blocks.CODE_END and markdown:
            put_times(out, memory, SPACE, padded)
            put_times(out, memory, BACKTICK, fence)
            fence = 0
        elif byte <= blocks.STRONG_END:
            if emphasis and markdown and not fence and byte >= blocks.EMPHASIS:
                put_times(out, memory, STAR, 2 if byte >= blocks.STRONG else 1)
        elif joined:
            if out[memory[USED] - 1] != SPACE:
                put(out, memory, SPACE)
        elif byte == NEWLINE:
            put(out, memory, NEWLINE)
            put_before(page, boxes, out, memory, memory[DEPTH], False)
        else:
            put(out, memory, byte)


@kernel
def _longest_run(text: Bytes, first: int, last: int) -> int:
    """Return how many backticks there are in a row."""
    longest = run = 0
    for at in range(first, last):
        run = run + 1 if text[at] == BACKTICK else 0
        longest = max(longest, run)
    return longest


@kernel
def _write_lines(
    page: Blocks, chosen: Choice, markdown: bool, boxes: Table, out: Bytes, memory: Ints, first: int, last: int
) -> None:
    """Write the lines of a preformatted element."""
    begin_block(page, markdown, boxes, out, memory, first, 0)
    text, fence = page.text, 3
    for number in range(first, last):
        if chosen[number]:
            begin, end = page.blocks[number, blocks.START], page.blocks[number, blocks.END]
            fence = max(fence, 1 + _longest_run(text, begin, end))
    if markdown:
        put_times(out, memory, BACKTICK, fence)
        name = page.nodes[page.blocks[first, blocks.PRE], blocks.VALUE]
        while name and text[name]:
            put(out, memory, text[name])
            name += 1
        end_line(page, boxes, out, memory, False)
    gap = 0
    for number in range(first, last):
        gap = max(gap, page.blocks[number, blocks.GAP])
        if not chosen[number]:
            continue
        if number > first:
            if gap > 1:
                end_line(page, boxes, out, memory, True)
            end_line(page, boxes, out, memory, False)
        gap = 0
        end = page.blocks[number, blocks.END]
        for at in range(page.blocks[number, blocks.START], end):
            if text[at] == NEWLINE:
                end_line(page, boxes, out, memory, at + 1 < end and text[at + 1] == NEWLINE)
            elif text[at] > blocks.STRONG_END:
                put(out, memory, text[at])
    if markdown:
        end_line(page, boxes, out, memory, False)
        put_times(out, memory, BACKTICK, fence)


@kernel
def _write_row(
    page: Blocks,
    chosen: Choice,
    markdown: bool,
    emphasis: bool,
    boxes: Table,
    out: Bytes,
    memory: Ints,
    first: int,
    last: int,
) -> None:
    """Write the cells of a row: all of them if half of the text is chosen, else those that are."""
    number = page.blocks[first, blocks.TABLE]
    table = page.tables[number]
    size = taken = 0
    for block in range(first, last):
        long = page.blocks[block, blocks.END] - page.blocks[block, blocks.START]
        hidden = page.blocks[block, blocks.FLAGS] & blocks.HIDDEN and not chosen[block]
        size += 0 if hidden else long
        taken += long if chosen[block] else 0
    columns = table[blocks.T_COLUMNS]
    is_head = table[blocks.T_HEADER] and page.blocks[first, blocks.ROW] == table[blocks.T_FIRST]
    follows = memory[LAST_TABLE] == number and memory[BARS]
    bars = markdown and columns <= _WIDEST and (is_head or follows)
    begin_block(page, markdown, boxes, out, memory, first, number)
    begin, cell = memory[USED], I64(0)
    for block in range(first, last):
        hidden = page.blocks[block, blocks.FLAGS] & blocks.HIDDEN != 0
        if not (chosen[block] or (2 * taken >= size and not hidden)):
            continue
        here = page.blocks[block, blocks.CELL]
        if here == cell:
            put(out, memory, SPACE)
        elif bars:
            _end_cells(out, memory, begin, cell, here - 1)
            put_times(out, memory, SPACE, 1)
        else:
            for _ in range(max(cell, 1), here):
                put_times(out, memory, SPACE, memory[USED] > begin)
                put(out, memory, BAR)
            put_times(out, memory, SPACE, memory[USED] > begin)
        cell = here
        item = boxes[page.blocks[block, blocks.NODE], ITEM]
        if page.blocks[block, blocks.ITEM] and page.nodes[item, blocks.TAG] == _LI:
            put_mark(page, boxes, out, memory, item)
        _put_text(page, markdown, emphasis, boxes, out, memory, block, True, bars)
    memory[BARS] = bars
    if bars:
        _end_cells(out, memory, begin, cell, columns)
        if is_head:
            end_line(page, boxes, out, memory, False)
            put(out, memory, BAR)
            for _ in range(columns):
                put(out, memory, SPACE)
                put_times(out, memory, HYPHEN, 3)
                put(out, memory, SPACE)
                put(out, memory, BAR)


@kernel
def _end_cells(out: Bytes, memory: Ints, begin: int, cell: int, to: int) -> None:
    """End a cell, and write empty ones after it up to a column."""
    if memory[USED] == begin:
        put(out, memory, BAR)
    else:
        put(out, memory, SPACE)
        put(out, memory, BAR)
    for _ in range(cell, to):
        put_times(out, memory, SPACE, 2)
        put(out, memory, BAR)
