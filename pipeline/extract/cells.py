"""Rows and columns of tables, with cells over several of them, and which tables only lay out the page."""

from filters.hashing import I64, Ints, inlined, kernel
from pipeline.extract import blocks, state
from pipeline.extract.state import WIDTH, Work, opened
from pipeline.extract.tags import NUMBER

_TABLE, _TH, _THEAD = NUMBER["table"], NUMBER["th"], NUMBER["thead"]
_MOST_COLUMNS = I64(1 << 30)  # so that the number of one has 32 bits


@kernel
def begin_table(work: Work, entry: int, node: int) -> None:
    memory = work.memory
    outer, number = memory[entry + state.S_TABLE], memory[state.TABLES]
    if outer and memory[entry + state.S_ROW] and not memory[entry + state.S_FOSTER]:
        work.tables[outer, blocks.T_LAYOUT] = 1
    memory[state.TABLES] += 1
    table = work.tables[number]
    table[:] = 0
    table[blocks.T_NODE], table[blocks.T_LAYOUT] = node, memory[state.R_LAYOUT]
    table[state.T_BEGIN] = memory[state.BLOCKS]
    memory[entry + state.S_TABLE] = number
    for column in (state.S_ROW, state.S_CELL, state.S_HEAD, state.S_HEADER, state.S_ITEMS, state.S_PRE):
        memory[entry + column] = 0
    _free_columns(memory)


@inlined
def _spans(memory: Ints) -> int:
    """Return the place of the columns of the innermost table that are taken."""
    level: int = memory[opened(_TABLE)] % state.SPAN_LEVELS
    return state.SPANS + level * state.SPAN_COLUMNS


@kernel
def _free_columns(memory: Ints) -> None:
    spans = _spans(memory)
    for column in range(state.SPAN_COLUMNS):
        memory[spans + column] = 0


@kernel
def begin_part(work: Work, entry: int, tag: int) -> None:
    """Begin a head, body or foot of a table."""
    work.memory[entry + state.S_HEADER] = tag == _THEAD
    if work.tables[work.memory[entry + state.S_TABLE], state.T_SPANNED]:
        _free_columns(work.memory)


@kernel
def begin_row(work: Work, entry: int) -> None:
    memory = work.memory
    memory[state.ROWS] += 1
    memory[entry + state.S_ROW], memory[entry + state.S_CELL] = memory[state.ROWS], 0
    if work.tables[memory[entry + state.S_TABLE], state.T_SPANNED]:
        spans = _spans(memory)
        for column in range(state.SPAN_COLUMNS):
            memory[spans + column] = max(memory[spans + column] - 1, 0)


@kernel
def begin_cell(work: Work, entry: int, tag: int, hidden: int) -> None:
    """Give a cell the next column that is free, and take those that it spans."""
    memory = work.memory
    row, spans = entry - WIDTH, _spans(memory)
    table = memory[entry + state.S_TABLE]
    column = memory[row + state.S_CELL]
    if work.tables[table, state.T_SPANNED]:
        while column < state.SPAN_COLUMNS and memory[spans + column]:
            column += 1
    memory[entry + state.S_CELL] = column + 1
    flags = memory[entry + state.S_FLAGS] & ~blocks.HEADER_CELL
    memory[entry + state.S_FLAGS] = flags | (blocks.HEADER_CELL if tag == _TH else 0)
    if hidden:
        return
    across, down = memory[state.R_COLSPAN], memory[state.R_ROWSPAN]
    across = across if 1 <= across <= state.SPAN_COLUMNS else (1 if across < 1 else state.SPAN_COLUMNS)
    across = 1 if memory[state.R_COLSPAN] == state.NO_NUMBER else across
    memory[row + state.S_CELL] = min(column + across, _MOST_COLUMNS)
    if down != 1 and down != state.NO_NUMBER:
        work.tables[table, state.T_SPANNED] = 1
        for taken in range(column, min(column + across, state.SPAN_COLUMNS)):
            memory[spans + taken] = down if down > 0 else state.NO_NUMBER  # 0 means to the end of the table's part
