"""The stack of open elements: what they hand down to what is in them, and the blocks of text that end with them.

What the HTML standard does to misnested formatting makes no difference to blocks, so such an element only loses its
meaning where its end tag is, and is not opened again. Elements that begin no line have a place in the stack and none in
the page's table of elements.
"""

from filters.hashing import kernel
from pipeline.extract import blocks, state, tags
from pipeline.extract.cells import begin_cell, begin_part, begin_row, begin_table
from pipeline.extract.characters import end_mark, is_white
from pipeline.extract.formulas import go_back, skip_formula
from pipeline.extract.items import begin_item, begin_list
from pipeline.extract.marks import mark, unmark
from pipeline.extract.state import BEFORE, TOP, WIDTH, Work, groups_of, opened, split
from pipeline.extract.tags import NUMBER

_LI, _OL, _DL, _DT, _DD = (NUMBER[name] for name in ("li", "ol", "dl", "dt", "dd"))
_TABLE, _TR, _TH, _TD = (NUMBER[name] for name in ("table", "tr", "th", "td"))
_CAPTION, _FIGCAPTION, _BLOCKQUOTE, _H1 = (NUMBER[name] for name in ("caption", "figcaption", "blockquote", "h1"))
_P, _BUTTON, _TEMPLATE = NUMBER["p"], NUMBER["button"], NUMBER["template"]
_A, _Q, _RT, _RTC, _MATH, _ANNOTATION, _ANNOTATION_XML = (
    NUMBER[name] for name in ("a", "q", "rt", "rtc", "math", "annotation", "annotation-xml")
)
_CODE, _EM, _I, _STRONG, _B = (NUMBER[name] for name in ("code", "em", "i", "strong", "b"))
_LISTS = (NUMBER["ul"], NUMBER["ol"], NUMBER["menu"], NUMBER["dir"], NUMBER["dl"])


@kernel
def flush(work: Work) -> None:
    """End the block, if it has any text."""
    memory, text = work.memory, work.text
    top = memory[TOP]
    pre = memory[top + state.S_PRE]
    first, last = memory[state.BEGIN], memory[state.USED]
    if pre:  # lines without text at the edges are not shown
        while last > first and text[last - 1] <= 0x20 and text[last - 1] > blocks.STRONG_END:
            last -= 1
        line = first
        while first < last and text[first] <= 0x20:
            if text[first] == 0x0A:
                line = first + 1
            first += 1
        first = line
    seen = first
    while seen < last:
        size = is_white(text, seen, last)
        if not size:
            break
        seen += size
    if seen < last:
        memory[state.USED] = last
        marks = memory[state.ACTIVE]
        for kind in range(3):
            end_mark(work, kind)
        memory[state.PENDING] |= marks
        _block(work, first, memory[state.USED], pre)
        memory[state.MARKER] = 0
        memory[state.BEGIN] = memory[state.USED]
        memory[BEFORE], memory[state.RULED] = 1, 0
    else:
        memory[state.USED] = memory[state.BEGIN]
        memory[state.PENDING] |= memory[state.ACTIVE]
        memory[state.ACTIVE] = 0
    memory[state.SPACE] = memory[state.BREAKS] = memory[state.LINKS] = memory[state.INLINE] = 0
    memory[state.FRESH] = 1


@kernel
def _block(work: Work, first: int, last: int, pre: int) -> None:
    """Note the block that ends."""
    memory = work.memory
    top, number = memory[TOP], memory[state.BLOCKS]
    block = work.blocks[number]
    memory[state.BLOCKS] += 1
    block[blocks.START], block[blocks.END], block[blocks.NODE] = first, last, memory[top + state.S_NODE]
    block[blocks.LINKED] = min(memory[state.LINKS], last - first)
    block[blocks.HEAD], block[blocks.LIST] = memory[top + state.S_HEAD], memory[top + state.S_LIST]
    block[blocks.ITEM], block[blocks.QUOTES] = memory[state.MARKER], memory[top + state.S_QUOTE]
    flags = memory[top + state.S_FLAGS]
    block[blocks.FLAGS] = flags | (blocks.RULE if memory[state.RULED] else 0)
    block[blocks.GAP], block[blocks.PRE] = memory[BEFORE], pre
    split(block, state.B_INLINE, memory[state.INLINE])
    table, foster = memory[top + state.S_TABLE], memory[top + state.S_FOSTER]
    if table and not foster and groups_of(memory[top + state.S_TAG]) & tags.IN_TABLE:
        foster = work.tables[table, state.T_BEGIN] + 1
    block[blocks.TABLE], block[state.B_FOSTER] = table, foster
    if foster:
        block[blocks.ROW] = block[blocks.CELL] = 0
        memory[state.MOVED] = 1
        return
    row = block[blocks.ROW] = memory[top + state.S_ROW]
    cell = block[blocks.CELL] = memory[top + state.S_CELL]
    if not table or not row or flags & blocks.HIDDEN:
        return
    entry = work.tables[table]
    entry[blocks.T_COLUMNS] = max(entry[blocks.T_COLUMNS], cell)
    if not entry[blocks.T_FIRST]:
        entry[blocks.T_FIRST], entry[blocks.T_HEADER] = row, 1
    if row == entry[blocks.T_FIRST] and not flags & blocks.HEADER_CELL and not memory[top + state.S_HEADER]:
        entry[blocks.T_HEADER] = 0
    if pre or (row == entry[state.T_ROW] and cell == entry[state.T_CELL] and block[blocks.GAP] > 1):
        entry[blocks.T_SEVERAL] = 1
    entry[state.T_ROW], entry[state.T_CELL] = row, cell


@kernel
def set_off(work: Work, tag: int) -> None:
    """Note that an element with an empty line before and after it begins or ends; lists in lists have none."""
    memory = work.memory
    groups = groups_of(tag)
    if not groups & tags.MARGIN or memory[memory[TOP] + state.S_FLAGS] & blocks.HIDDEN:
        return
    if groups & tags.LIST or tag == _DL:
        for kind in _LISTS:
            if memory[opened(kind)]:
                return
    memory[BEFORE] = 2


@kernel
def pop(work: Work, to: int) -> None:
    """Close elements until the one at a place in the stack is the innermost."""
    memory = work.memory
    while memory[TOP] > to:
        top = memory[TOP]
        tag, skipped = memory[top + state.S_TAG], memory[top + state.S_SKIP]
        block = groups_of(tag) & tags.BLOCK != 0
        if tag >= 0:
            memory[opened(tag)] -= 1
            if block and not skipped:
                flush(work)
                if tag == _LI:
                    memory[state.MARKER] = 0
            elif not skipped:
                unmark(work, tag)
        memory[TOP] -= WIDTH
        if block and not skipped and not memory[top + state.S_FLAGS] & blocks.HIDDEN:
            set_off(work, tag)
        if (
            tag == _ANNOTATION and not skipped and memory[top + state.S_FOREIGN]
        ):  # the rest of the formula says the same
            skip_formula(work)


@kernel
def close(work: Work, tag: int) -> bool:
    """Close the innermost element of a tag, if nothing is open in it that no end tag reaches through; say whether."""
    memory = work.memory
    if not memory[opened(tag)]:
        return False
    place = memory[TOP]
    while place > state.STACK:
        here = memory[place + state.S_TAG]
        if here == tag:
            pop(work, place - WIDTH)
            return True
        barrier = groups_of(here) & tags.BARRIER and tag != _TEMPLATE
        if barrier or (tag == _P and here == _BUTTON) or (tag == _LI and groups_of(here) & tags.LIST):
            return False
        place -= WIDTH
    return False


@kernel
def forget(work: Work, tag: int) -> None:
    """End the meaning of an element in a line, and the element too if nothing is open in it."""
    memory = work.memory
    place = memory[TOP]
    while place > state.STACK and memory[place + state.S_TAG] != tag:
        if groups_of(memory[place + state.S_TAG]) & tags.BARRIER:
            return
        place -= WIDTH
    if place == state.STACK:
        return
    if place == memory[TOP]:
        pop(work, place - WIDTH)
    else:
        memory[place + state.S_TAG] = -1
        memory[opened(tag)] -= 1
        skipped = memory[place + state.S_SKIP] - memory[place - WIDTH + state.S_SKIP]
        if not memory[place + state.S_SKIP]:
            unmark(work, tag)
        for above in range(place, memory[TOP] + 1, WIDTH):
            memory[above + state.S_SKIP] -= skipped
            if tag == _A:
                memory[above + state.S_LINK] = 0
    while memory[TOP] > state.STACK and memory[memory[TOP] + state.S_TAG] == -1:
        memory[TOP] -= WIDTH  # neither do those in it that lost their meaning before


@kernel
def push(work: Work, tag: int, mask: int, hidden: int) -> None:
    """Open an element; its attributes were read into memory, but for `hidden`."""
    memory = work.memory
    groups = groups_of(tag)
    above = memory[TOP]
    skipped = groups & tags.SKIPPED or (hidden and not groups & tags.BLOCK)
    skipped = skipped or ((tag == _RT or tag == _RTC) and not memory[state.BRACKETS])
    skipped = skipped or (tag == _MATH and memory[state.R_ALT_END] > memory[state.R_ALT])
    if above >= state.DEEPEST:
        if memory[above + state.S_SKIP] or not (skipped or groups & tags.BLOCK):
            return
        if not skipped:
            pop(work, state.DEEPEST - WIDTH)
            above = memory[TOP]
    entry = _entry(work, tag)
    if skipped:
        memory[entry + state.S_SKIP] += 1
    if memory[entry + state.S_SKIP]:
        return
    memory[entry + state.S_MASK] |= mask
    table = memory[above + state.S_TABLE]
    if table and groups_of(memory[above + state.S_TAG]) & tags.IN_TABLE and not groups & tags.TABLE_PART:
        if not memory[entry + state.S_FOSTER]:
            memory[entry + state.S_FOSTER] = work.tables[table, state.T_BEGIN] + 1
    if tag == _A:
        memory[entry + state.S_LINK] = 1
        memory[state.LINKED_FROM] = memory[state.USED]
    if not groups & tags.BLOCK:
        mark(work, tag)
        return
    if hidden:
        memory[entry + state.S_FLAGS] |= blocks.HIDDEN
    node = _node(work, tag, mask, memory[above + state.S_NODE], memory[entry + state.S_MASK])
    memory[entry + state.S_NODE] = node
    if groups & tags.HEADING:
        memory[entry + state.S_HEAD] = tag - _H1 + 1
    elif groups & tags.PREFORMATTED:
        memory[entry + state.S_PRE] = node
    elif groups & tags.LIST:
        begin_list(work, entry, tag)
    elif tag == _LI:
        begin_item(work, entry, node)
    elif tag == _BLOCKQUOTE:
        memory[entry + state.S_QUOTE] += 1
    elif tag == _DT:
        memory[entry + state.S_FLAGS] |= blocks.TERM
    elif tag == _DD:
        memory[entry + state.S_FLAGS] = memory[entry + state.S_FLAGS] & ~blocks.TERM | blocks.DESCRIPTION
    elif tag == _CAPTION or tag == _FIGCAPTION:
        memory[entry + state.S_FLAGS] |= blocks.CAPTION
    elif tag == _TABLE:
        begin_table(work, entry, node)
    elif tag == _TR:
        begin_row(work, entry)
    elif tag == _TD or tag == _TH:
        begin_cell(work, entry, tag, hidden)
    elif groups & tags.IN_TABLE:
        begin_part(work, entry, tag)


@kernel
def _entry(work: Work, tag: int) -> int:
    """Put an element on the stack that is like the one around it; return its place."""
    memory = work.memory
    above = memory[TOP]
    entry: int = above + WIDTH
    for column in range(WIDTH):
        memory[entry + column] = memory[above + column]
    memory[entry + state.S_TAG] = tag
    memory[opened(tag)] += 1
    memory[TOP] = entry
    if memory[entry + state.S_FOREIGN] == state.INTEGRATED:
        memory[entry + state.S_FOREIGN] = state.HTML
    return entry


@kernel
def push_foreign(work: Work, tag: int) -> None:
    """Open an element of a drawing or a formula; the source of the formula takes the place of what was read of it."""
    memory = work.memory
    above = memory[TOP]
    if above >= state.DEEPEST:
        return
    integrates = groups_of(tag) & tags.INTEGRATION
    entry = _entry(work, tag)
    memory[entry + state.S_FOREIGN] = state.INTEGRATED if integrates else state.FOREIGN
    skipped = groups_of(tag) & tags.SKIPPED != 0 or tag == _ANNOTATION_XML
    if tag == _ANNOTATION:
        skipped = memory[entry + state.S_SKIP] or not memory[state.R_TEX] or not go_back(memory)
    memory[entry + state.S_SKIP] += skipped


@kernel
def _node(work: Work, tag: int, mask: int, parent: int, inherited: int) -> int:
    number: int = work.memory[state.NODES]
    work.memory[state.NODES] += 1
    node = work.nodes[number]
    node[blocks.PARENT], node[blocks.TAG], node[blocks.CHILD] = parent, tag, work.nodes[parent, state.N_CHILDREN]
    split(node, state.N_OWN, mask)
    split(node, state.N_ALL, inherited)
    node[blocks.VALUE] = node[state.N_CHILDREN] = node[state.N_LANGUAGE_END] = 0
    work.nodes[parent, state.N_CHILDREN] += 1
    return number
