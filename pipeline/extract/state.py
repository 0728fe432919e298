"""What the scanner keeps in mind while it reads a page: its state, the stack of open elements, and what it writes.

State and stack are sections of one array of integers: a compiled function is given every array as seven words, which
for ten arrays costs more than most of these functions do.
"""

from typing import Any, NamedTuple

from filters.hashing import Bytes, Ints, inlined
from pipeline.extract.blocks import BLOCK_COLUMNS, NODE_COLUMNS, TABLE_COLUMNS, Table
from pipeline.extract.tags import GROUPS_OF, NAMES


class Work(NamedTuple):
    """Arrays that the scanner writes: those of `Blocks`, with some columns more, and its memory."""

    text: Bytes
    memory: Ints
    blocks: Table
    nodes: Table
    tables: Table


# Further columns: in front of which block the text belongs, plus one, 0 for where it is; both halves of the keywords
# inside of the line.
B_FOSTER, B_INLINE = BLOCK_COLUMNS, BLOCK_COLUMNS + 1
# How many children it has so far; place in the page of the name of a programming language, and the byte behind it; both
# halves of the keywords of the element, and of all that it stands in.
N_CHILDREN, N_LANGUAGE, N_LANGUAGE_END, N_OWN, N_OWN_UPPER, N_ALL, N_ALL_UPPER = (
    NODE_COLUMNS + extra for extra in range(7)
)
# First block; whether a cell goes over several rows; row and cell of the last block.
T_BEGIN, T_SPANNED, T_ROW, T_CELL = (TABLE_COLUMNS + extra for extra in range(4))
WORK_COLUMNS = (BLOCK_COLUMNS + 3, NODE_COLUMNS + 7, TABLE_COLUMNS + 4)

# State: bytes of text; where the block in work begins; how many blocks, elements, tables and rows there are; the top of
# the stack; whether white space (1) or a box (2) and how many line breaks come before the next character; whether the
# line has no text yet; bytes in links; whether an item begins; whether the ruby text has brackets; what ended before
# the block; whether a line is drawn before it; keywords inside of the line; whether text was moved; whether the body
# was begun; the keywords of `html` and `body`.
(
    USED,
    BEGIN,
    BLOCKS,
    NODES,
    TABLES,
    ROWS,
    TOP,
    SPACE,
    BREAKS,
    FRESH,
    LINKS,
    MARKER,
    BRACKETS,
    BEFORE,
    RULED,
    INLINE,
    MOVED,
    ACTIVE,
    PENDING,
    BODY,
    PAGE,
    SCRIPTING,
    NOSCRIPT,
    LINKED_FROM,
    MARKED,
) = range(25)
# ACTIVE: marks that began in this line, one bit a kind; PENDING: those that will before the next character; MARKED:
# how many elements of each of three kinds are open; SCRIPTING: whether scripts run, so that `noscript` is not shown;
# NOSCRIPT: bytes of the page in that; LINKED_FROM: bytes of text before the last link.
MATH = MARKED + 3
"""Whether it is known where a formula began, to go back to, and then `REMEMBERED` of the state there."""
REMEMBERED = (USED, SPACE, BREAKS, FRESH, LINKS, ACTIVE, PENDING, BEGIN, BLOCKS)
READ = MATH + 1 + len(REMEMBERED)
(
    R_HIDDEN,
    R_OPEN,
    R_START,
    R_REVERSED,
    R_VALUE,
    R_ALT,
    R_ALT_END,
    R_SELF_CLOSING,
    R_COLSPAN,
    R_ROWSPAN,
    R_LANGUAGE,
    R_LANGUAGE_END,
    R_TEX,
    R_LAYOUT,
) = (READ + place for place in range(14))
"""What was read of the attributes of the tag in work."""
NO_NUMBER = 1 << 40
OPENED = R_LAYOUT + 1
"""How many elements of each tag are open."""
SPANS = OPENED + len(NAMES)
SPAN_COLUMNS, SPAN_LEVELS = 64, 8
"""For how many rows more each column of a table is taken by a cell from above; of eight tables in one another, which
more share."""
STACK = SPANS + SPAN_COLUMNS * SPAN_LEVELS
(
    S_TAG,
    S_NODE,
    S_SKIP,
    S_PRE,
    S_LINK,
    S_HEAD,
    S_LIST,
    S_ITEMS,
    S_NEXT,
    S_STEP,
    S_QUOTE,
    S_TABLE,
    S_ROW,
    S_CELL,
    S_HEADER,
    S_FLAGS,
    S_FOREIGN,
    S_FOSTER,
    S_MASK,
    S_SMALL,
) = range(20)
WIDTH = 20
"""Of an open element: tag, -1 if only its meaning ended; element; how many reasons there are not to show its text; the
preformatted element; whether in a link; level of heading; depth of lists; the place of the list in the stack, and there
the next number and the step; depth of quotes; table, row, and columns so far (of a row) or column (of a cell); whether
in the head of a table; flags; whether the tags inside are those of a drawing or formula; where text that is moved
belongs; keywords; and bytes of text before the innermost raised or lowered one, 0 if it has no base."""
DEPTH = 512
"""Elements deeper than this are open one at a time, as in browsers."""
DEEPEST = STACK + DEPTH * WIDTH
MEMORY = DEEPEST + 2 * WIDTH
"""One more may be open, if it is not shown."""
HTML, FOREIGN, INTEGRATED = 0, 1, 2

KNOWN = len(NAMES)


@inlined
def groups_of(tag: int) -> int:
    """Return the groups of a tag, none if it is not known."""
    return GROUPS_OF[tag] if 0 <= tag < KNOWN else 0


@inlined
def opened(tag: int) -> int:
    """Return the place that counts how many elements of a tag are open, one for all that are not known."""
    return OPENED + (tag if 0 <= tag < KNOWN else 0)


@inlined
def split(row: Any, column: int, mask: int) -> None:
    """Write a mask into two columns of a row."""
    row[column], row[column + 1] = mask, mask >> 32
