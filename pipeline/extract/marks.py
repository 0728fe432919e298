"""Marks of code and emphasis in the text of a block, and the quotation marks of `q`."""

from filters.hashing import U8, inlined, kernel
from pipeline.extract import state
from pipeline.extract.characters import end_mark, put
from pipeline.extract.state import Work, opened
from pipeline.extract.tags import NUMBER

_Q = NUMBER["q"]
_CODE, _EM, _I, _STRONG, _B = (NUMBER[name] for name in ("code", "em", "i", "strong", "b"))


@inlined
def _kind_of_mark(tag: int) -> int:
    if tag == _CODE:
        return 0
    if tag == _EM or tag == _I:
        return 1
    return 2 if tag == _STRONG or tag == _B else -1


@kernel
def mark(work: Work, tag: int) -> None:
    """Begin what an element in a line is marked with."""
    memory = work.memory
    kind = _kind_of_mark(tag)
    if kind >= 0:
        memory[state.MARKED + kind] += 1
        if not memory[state.ACTIVE] >> kind & 1:
            memory[state.PENDING] |= 1 << kind
    elif tag == _Q:
        _quote(work, 0x9C if memory[opened(_Q)] & 1 else 0x98)


@kernel
def unmark(work: Work, tag: int) -> None:
    """End it; the element is no longer counted."""
    memory = work.memory
    kind = _kind_of_mark(tag)
    if kind >= 0:
        # It may have begun where nothing is shown, and was not counted then.
        memory[state.MARKED + kind] = max(memory[state.MARKED + kind] - 1, 0)
        if not memory[state.MARKED + kind]:
            end_mark(work, kind)
    elif tag == _Q and not memory[state.FRESH]:
        _quote(work, 0x99 if memory[opened(_Q)] & 1 else 0x9D)


@kernel
def _quote(work: Work, last: int) -> None:
    put(work, U8(0xE2))
    put(work, U8(0x80))
    put(work, U8(last))
