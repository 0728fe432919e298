"""Formulas in MathML, of which the source in TeX is shown if they have it, else the text of their elements."""

from filters.hashing import Ints, kernel
from pipeline.extract import state
from pipeline.extract.state import MATH, REMEMBERED, TOP, WIDTH, Work
from pipeline.extract.tags import NUMBER

_MATH = NUMBER["math"]


@kernel
def remember(memory: Ints) -> None:
    """Remember where a formula begins."""
    for i in range(len(REMEMBERED)):
        memory[MATH + 1 + i] = memory[REMEMBERED[i]]
    memory[MATH] = 1


@kernel
def go_back(memory: Ints) -> bool:
    """Go back to the beginning of the formula, if that is in this line; say whether."""
    last = len(REMEMBERED)
    if (
        not memory[MATH]
        or memory[MATH + last] != memory[state.BLOCKS]
        or memory[MATH + last - 1] != memory[state.BEGIN]
    ):
        return False
    for i in range(len(REMEMBERED)):
        memory[REMEMBERED[i]] = memory[MATH + 1 + i]
    memory[MATH] = 0
    return True


@kernel
def skip_formula(work: Work) -> None:
    memory = work.memory
    place = memory[TOP]
    while place > state.STACK:
        memory[place + state.S_SKIP] += 1
        if memory[place + state.S_TAG] == _MATH:
            break
        place -= WIDTH
