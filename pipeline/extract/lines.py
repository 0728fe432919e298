"""What stands before the lines of the text that is written: marks and indentation of items and quotations, empty lines.

An item, a definition or a quotation is a container; so is a list in a list, without an item around it. In plain text
each takes two columns; in Markdown, items take as many as their marks, as CommonMark wants it (0.31, section 5.2).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from filters.hashing import I64, U8, Bytes, Ints, inlined, kernel
from pipeline.extract import blocks, tags
from pipeline.extract.blocks import BACKWARDS, BULLET, Blocks, Table
from pipeline.extract.state import groups_of
from pipeline.extract.tags import NUMBER

Choice = NDArray[np.bool_]

NEWLINE, SPACE, HASH, STAR, HYPHEN, _FULL_STOP, _COLON, _GREATER, BACKSLASH, BACKTICK, BAR = (
    U8(byte) for byte in b"\n #*-.:>\\`|"
)
_LI, _DD, _BLOCKQUOTE = NUMBER["li"], NUMBER["dd"], NUMBER["blockquote"]
COLUMNS = 32
"""Of containers in one another at most; deeper ones stand beside the innermost that leave them room."""
LEVELS = COLUMNS // 2
"""Containers in one another at most: none takes less than two columns."""
BEFORE_TEXT = 16
"""Bytes of a number or a mark at most."""
LINE_BEGINS = COLUMNS + 1
"""Bytes of the end of a line and of what stands before the next, if that has no marks of items, at most."""

# Of an element: the container in which its text stands, 0 for none; and of a container, the one around it, how deep it
# is, the column behind it, whether its mark has been written. The item or definition around; the list around. Whether
# any text that is chosen stands directly in the item, or in any item of the list. Of a list, the columns that its last
# item takes.
_INSIDE, _OUTER, _LEVEL, _COLUMN, _BEGUN, ITEM, _LIST, _OWN, _LAST_WIDTH = range(9)
BOX_COLUMNS = 9

# Bytes written; the next block; what ended before it; the table whose row was written last, and whether in Markdown's
# form; the last block written; whether it was a term; what the line in work and the one before stand in.
USED, AT, GAP, LAST_TABLE, BARS, LAST, _TERM, DEPTH, _LAST_DEPTH, _STACK = range(10)
_LAST_STACK = _STACK + LEVELS
MEMORY = _LAST_STACK + LEVELS


@inlined
def in_row(page: Blocks, number: int) -> bool:
    """Whether a block is in a row of a table that does not only lay out the page."""
    if not page.blocks[number, blocks.ROW]:
        return False
    table = page.tables[page.blocks[number, blocks.TABLE]]
    return not (table[blocks.T_LAYOUT] or (table[blocks.T_SEVERAL] and not table[blocks.T_HEADER]))


@inlined
def home(page: Blocks, number: int) -> int:
    """Return the element that decides in what a block stands: of a row, the table."""
    element: int = I64(page.blocks[number, blocks.NODE])
    if in_row(page, number):
        element = I64(page.tables[page.blocks[number, blocks.TABLE], blocks.T_NODE])
    return element


@kernel
def contain(page: Blocks, chosen: Choice, markdown: bool, boxes: Table) -> None:
    """Find out for all elements what their text stands in."""
    nodes = page.nodes
    for node in range(1, len(nodes)):
        parent, tag = nodes[node, blocks.PARENT], nodes[node, blocks.TAG]
        boxes[node, ITEM] = node if tag == _LI or tag == _DD else boxes[parent, ITEM]
        boxes[node, _LIST] = node if groups_of(tag) & tags.LIST else boxes[parent, _LIST]
    for number in range(len(page.blocks)):
        if chosen[number]:
            boxes[boxes[home(page, number), ITEM], _OWN] = 1
    for node in range(1, len(nodes)):
        if nodes[node, blocks.TAG] == _LI and boxes[node, _OWN]:
            boxes[boxes[node, _LIST], _OWN] = 1
    for node in range(1, len(nodes)):
        parent, tag = nodes[node, blocks.PARENT], nodes[node, blocks.TAG]
        around, item, outer = boxes[parent, _INSIDE], boxes[parent, ITEM], boxes[parent, _LIST]
        if tag == _LI:
            contains = boxes[node, _OWN] != 0
        elif tag == _DD:
            contains = markdown and boxes[node, _OWN] != 0
        elif tag == _BLOCKQUOTE:
            contains = markdown
        else:  # a list in a list, without an item around it
            contains = outer > item and boxes[outer, _OWN] != 0 and groups_of(tag) & tags.LIST != 0
        boxes[node, _INSIDE] = around
        if contains:
            boxes[node, _INSIDE] = node
            width = 2
            if markdown and tag == _LI:
                width = boxes[boxes[node, _LIST], _LAST_WIDTH] = _width(_number(page, boxes, node))
            elif groups_of(tag) & tags.LIST:
                width = max(width, boxes[outer, _LAST_WIDTH])
            while boxes[around, _COLUMN] + width > COLUMNS:
                around = boxes[around, _OUTER]
            boxes[node, _OUTER] = around
            boxes[node, _LEVEL] = boxes[around, _LEVEL] + 1
            boxes[node, _COLUMN] = boxes[around, _COLUMN] + width


@inlined
def put(out: Bytes, memory: Ints, byte: Any) -> None:
    out[memory[USED]] = byte
    memory[USED] += 1


@inlined
def put_times(out: Bytes, memory: Ints, byte: Any, times: Any) -> None:
    for _ in range(times):
        put(out, memory, byte)


@inlined
def _number(page: Blocks, boxes: Table, item: int) -> int:
    """Return the number of an item, `BULLET` if it has none."""
    number: int = I64(page.nodes[item, blocks.VALUE])
    if number < BACKWARDS // 2:
        number += I64(page.nodes[boxes[item, _LIST], blocks.VALUE]) - BACKWARDS
    return number


@kernel
def _width(number: int) -> int:
    """Return how many columns the mark of an item takes, with the space behind it."""
    if number == BULLET:
        return 2
    width = 3 + (number < 0)
    number = abs(number) // 10
    while number:
        width += 1
        number //= 10
    return width


@kernel
def _put_number(out: Bytes, memory: Ints, number: int) -> None:
    if number < 0:
        put(out, memory, HYPHEN)
        number = -number
    scale = 1
    while scale <= number // 10:
        scale *= 10
    while scale:
        put(out, memory, 0x30 + number // scale % 10)
        scale //= 10


@kernel
def put_mark(page: Blocks, boxes: Table, out: Bytes, memory: Ints, item: int) -> None:
    """Write what stands before the first line of an item."""
    number = _number(page, boxes, item)
    if page.nodes[item, blocks.TAG] == _DD:
        put(out, memory, _COLON)
    elif number == BULLET:
        put(out, memory, HYPHEN)
    else:
        _put_number(out, memory, number)
        put(out, memory, _FULL_STOP)
    put(out, memory, SPACE)


@kernel
def put_before(page: Blocks, boxes: Table, out: Bytes, memory: Ints, depth: int, begins: bool) -> None:
    """Write what stands before a line in the outermost containers of those on the stack."""
    for level in range(depth):
        box = memory[_STACK + level]
        tag = page.nodes[box, blocks.TAG]
        if begins and not boxes[box, _BEGUN] and (tag == _LI or tag == _DD):
            put_mark(page, boxes, out, memory, box)
        else:
            put(out, memory, _GREATER if tag == _BLOCKQUOTE else SPACE)
            put_times(out, memory, SPACE, boxes[box, _COLUMN] - boxes[boxes[box, _OUTER], _COLUMN] - 1)
        boxes[box, _BEGUN] |= begins


@kernel
def put_empty(page: Blocks, boxes: Table, out: Bytes, memory: Ints, depth: int) -> None:
    """Write what stands on an empty line, but for spaces at its end."""
    begin = memory[USED]
    put_before(page, boxes, out, memory, depth, False)
    while memory[USED] > begin and out[memory[USED] - 1] == SPACE:
        memory[USED] -= 1


@kernel
def begin_block(page: Blocks, markdown: bool, boxes: Table, out: Bytes, memory: Ints, number: int, row: int) -> None:
    """End the lines before a block and write what stands before its first line."""
    container = boxes[home(page, number), _INSIDE]
    depth, begins = I64(boxes[container, _LEVEL]), False
    for level in range(depth - 1, -1, -1):
        memory[_STACK + level] = container
        tag = page.nodes[container, blocks.TAG]
        begins |= not boxes[container, _BEGUN] and (tag == _LI or tag == _DD)
        container = boxes[container, _OUTER]
    memory[DEPTH], common = depth, 0
    while common < min(depth, memory[_LAST_DEPTH]):
        if memory[_STACK + common] != memory[_LAST_STACK + common]:
            break
        common += 1
    flags = page.blocks[number, blocks.FLAGS]
    term = flags & blocks.TERM != 0
    gap = memory[GAP]
    if row and memory[LAST_TABLE] == row:
        gap = 1
    elif markdown and gap == 1 and not begins and not (term and memory[_TERM]):
        gap = 2
    if memory[USED]:
        if markdown and flags & blocks.RULE and memory[LAST] == number - 1:
            put(out, memory, NEWLINE)
            put_empty(page, boxes, out, memory, common)
            put(out, memory, NEWLINE)
            put_before(page, boxes, out, memory, common, False)
            put_times(out, memory, HYPHEN, 3)
            gap = 2
        put(out, memory, NEWLINE)
        if gap > 1:
            put_empty(page, boxes, out, memory, common)
            put(out, memory, NEWLINE)
    put_before(page, boxes, out, memory, depth, True)
    for level in range(depth):
        memory[_LAST_STACK + level] = memory[_STACK + level]
    memory[_LAST_DEPTH], memory[_TERM], memory[LAST_TABLE] = depth, term, row


@kernel
def end_line(page: Blocks, boxes: Table, out: Bytes, memory: Ints, empty: bool) -> None:
    """End a line and write what stands before the next."""
    put(out, memory, NEWLINE)
    if empty:
        put_empty(page, boxes, out, memory, memory[DEPTH])
    else:
        put_before(page, boxes, out, memory, memory[DEPTH], False)
