"""Lists and the numbers of their items."""

from filters.hashing import kernel
from pipeline.extract import blocks, state
from pipeline.extract.state import Work
from pipeline.extract.tags import NUMBER

_OL = NUMBER["ol"]


@kernel
def begin_list(work: Work, entry: int, tag: int) -> None:
    memory = work.memory
    memory[entry + state.S_LIST] += 1
    memory[entry + state.S_ITEMS] = entry
    memory[entry + state.S_STEP] = 0
    if tag == _OL:
        memory[entry + state.S_STEP] = -1 if memory[state.R_REVERSED] else 1
        start = memory[state.R_START]
        if start == state.NO_NUMBER:
            start = blocks.BACKWARDS if memory[state.R_REVERSED] else 1
        memory[entry + state.S_NEXT] = start


@kernel
def begin_item(work: Work, entry: int, node: int) -> None:
    memory = work.memory
    memory[state.MARKER] = 1
    number, items = blocks.BULLET, memory[entry + state.S_ITEMS]
    if items and memory[items + state.S_STEP]:
        number = memory[items + state.S_NEXT]
        if memory[state.R_VALUE] != state.NO_NUMBER:
            number = memory[state.R_VALUE]
        memory[items + state.S_NEXT] = number + memory[items + state.S_STEP]
        work.nodes[memory[items + state.S_NODE], blocks.VALUE] += 1
    work.nodes[node, blocks.VALUE] = number
