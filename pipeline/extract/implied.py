"""What a start tag closes before its element begins, and what an end tag closes (WHATWG, section 13.2.6.4)."""

from filters.hashing import I64, kernel
from pipeline.extract import blocks, state, tags
from pipeline.extract.elements import close, flush, forget, pop, push, set_off
from pipeline.extract.state import BEFORE, TOP, WIDTH, Work, groups_of, opened
from pipeline.extract.tags import NUMBER

_P, _BR, _A, _FORM, _ADDRESS, _DIV = (NUMBER[name] for name in ("p", "br", "a", "form", "address", "div"))
_LI, _DD, _DT, _DL = (NUMBER[name] for name in ("li", "dd", "dt", "dl"))
_TABLE, _TR, _TD, _TH, _COL = (NUMBER[name] for name in ("table", "tr", "td", "th", "col"))
_OPTION, _OPTGROUP, _SELECT, _INPUT, _TEXTAREA, _BUTTON = (
    NUMBER[name] for name in ("option", "optgroup", "select", "input", "textarea", "button")
)
_RB, _RTC, _FONT = NUMBER["rb"], NUMBER["rtc"], NUMBER["font"]
_HTML, _BODY = NUMBER["html"], NUMBER["body"]


@kernel
def begin(work: Work, tag: int, groups: int) -> bool:
    """Close what a start tag ends; say whether its element begins, and does not mean nothing where it is."""
    memory = work.memory
    if groups & tags.TABLE_PART:
        return _begin_in_table(work, tag)
    if memory[opened(_SELECT)] and (tag == _SELECT or tag == _INPUT or tag == _TEXTAREA):
        close(work, _SELECT)
        if tag == _SELECT:
            return False
    if tag == _FORM:
        here = memory[memory[TOP] + state.S_TAG]
        if memory[opened(_FORM)] or groups_of(here) & tags.IN_TABLE:
            return False
    if tag == _TABLE and groups_of(memory[memory[TOP] + state.S_TAG]) & tags.IN_TABLE:
        close(work, _TABLE)
    if groups & tags.CLOSES_P and memory[opened(_P)]:
        close(work, _P)
    top = memory[TOP]
    here = memory[top + state.S_TAG]
    if groups & tags.HEADING:
        if groups_of(here) & tags.HEADING:
            pop(work, top - WIDTH)
    elif tag == _LI:
        if memory[opened(_LI)]:
            _close_item(work, _LI, _LI)
    elif tag == _DD or tag == _DT:
        if memory[opened(_DD)] or memory[opened(_DT)]:
            _close_item(work, _DD, _DT)
    elif tag == _A or tag == _BUTTON:
        if memory[opened(tag)]:
            if tag == _A:
                forget(work, _A)
            else:
                close(work, _BUTTON)
    elif tag == _OPTION or tag == _OPTGROUP:
        if here == _OPTION:
            pop(work, top - WIDTH)
    elif groups & tags.RUBY_PART:
        while groups_of(memory[memory[TOP] + state.S_TAG]) & tags.RUBY_PART:
            if memory[memory[TOP] + state.S_TAG] == _RTC and tag != _RB and tag != _RTC:
                break
            pop(work, memory[TOP] - WIDTH)
    return True


@kernel
def _close_item(work: Work, one: int, other: int) -> None:
    """Close an open item of a list, unless there is something between that may have items."""
    place = work.memory[TOP]
    while place > state.STACK:
        here = work.memory[place + state.S_TAG]
        if here == one or here == other:
            pop(work, place - WIDTH)
            return
        special = groups_of(here) & (tags.BLOCK | tags.BARRIER) or here == _BUTTON or here == _SELECT
        if special and here != _ADDRESS and here != _DIV and here != _P:
            return
        place -= WIDTH


@kernel
def _begin_in_table(work: Work, tag: int) -> bool:
    """The same for parts of tables."""
    memory = work.memory
    if not memory[memory[TOP] + state.S_TABLE] or tag == _COL:
        return False
    cell = tag == _TD or tag == _TH
    while memory[TOP] > state.STACK:
        here = memory[memory[TOP] + state.S_TAG]
        if here == _TABLE or (here == _TR and cell):
            break
        if groups_of(here) & tags.IN_TABLE and here != _TR and (cell or tag == _TR):
            break
        pop(work, memory[TOP] - WIDTH)
    if cell and memory[memory[TOP] + state.S_TAG] != _TR:
        push(work, _TR, I64(0), I64(0))
    return True


@kernel
def end(work: Work, tag: int) -> None:
    """Close what an end tag closes."""
    memory = work.memory
    top = memory[TOP]
    groups = groups_of(tag)
    if tag == _HTML or tag == _BODY or groups & tags.VOID:
        return
    if tag == _P and not close(work, _P):
        if not memory[top + state.S_SKIP]:
            flush(work)
            set_off(work, _P)
    if not memory[opened(tag)] and not groups & tags.HEADING:
        return
    if groups & (tags.TABLE_PART | tags.IN_TABLE):
        _end_in_table(work, tag)
    elif groups & tags.HEADING:
        place = memory[TOP]
        while place > state.STACK and not groups_of(memory[place + state.S_TAG]) & tags.HEADING:
            if groups_of(memory[place + state.S_TAG]) & tags.BARRIER:
                return
            place -= WIDTH
        if place > state.STACK:
            pop(work, place - WIDTH)
    elif groups & tags.FORMATTING:
        forget(work, tag)
    elif groups & (tags.BLOCK | tags.SKIPPED | tags.BARRIER):
        close(work, tag)
    else:
        _end_in_line(work, tag)


@kernel
def _end_in_table(work: Work, tag: int) -> None:
    memory = work.memory
    place = memory[TOP]
    while place > state.STACK:
        here = memory[place + state.S_TAG]
        if here == tag:
            pop(work, place - WIDTH)
            return
        if here == _TABLE:
            return
        place -= WIDTH


@kernel
def _end_in_line(work: Work, tag: int) -> None:
    """Close an element in a line; blocks that were begun in it keep it open."""
    memory = work.memory
    place = memory[TOP]
    while place > state.STACK:
        here = memory[place + state.S_TAG]
        if here == tag:
            pop(work, place - WIDTH)
            return
        if groups_of(here) & (tags.BLOCK | tags.BARRIER):
            return
        place -= WIDTH


@kernel
def leave_foreign(work: Work) -> None:
    """Close the drawing or formula that HTML breaks out of."""
    memory = work.memory
    while memory[memory[TOP] + state.S_FOREIGN] == state.FOREIGN:
        pop(work, memory[TOP] - WIDTH)


@kernel
def break_line(work: Work) -> None:
    """End a line; where it is empty, a paragraph ends."""
    memory = work.memory
    if memory[state.FRESH]:
        if not memory[memory[TOP] + state.S_FLAGS] & blocks.HIDDEN:
            memory[BEFORE] = 2
        return
    memory[state.BREAKS] += 1
    if memory[state.BREAKS] > 1:
        flush(work)
        memory[BEFORE] = 2
