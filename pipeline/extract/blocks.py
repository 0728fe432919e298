"""A page as blocks of text: what the scanner finds, and what the features, the trees and the rendering work on.

Everything is a column of a few arrays, so that compiled code passes over pages without an object per block. The price
is that columns have numbers instead of types.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filters.hashing import Bytes

Masks = NDArray[np.uint64]
Table = NDArray[np.int32]

MARKS = (CODE, CODE_END, EMPHASIS, EMPHASIS_END, STRONG, STRONG_END) = (1, 2, 3, 4, 5, 6)
"""Bytes in the text of a block that are no characters: where code and emphasis begin and end, white space outside. What
is open at the end of a block ends in it, and begins anew in the next."""

# Columns of a block.
(
    START,
    END,
    NODE,
    LINKED,
    HEAD,
    LIST,
    ITEM,
    QUOTES,
    ROW,
    CELL,
    FLAGS,
    GAP,
    TABLE,
    PRE,
) = range(14)
BLOCK_COLUMNS = 14
"""Of the text: first byte, byte after the last. The element that it stands in. Bytes in links. Level of the heading, 0
for none. Depth of lists. Whether it is the first block of an item of a list. Depth of quotes. Number of the table's row
in the page, 0 for none; of the column, from 1 on. Flags. Whether a line (1) or a paragraph (2) ends before it. Number
of the table, 0 for none. The preformatted element around it, 0 for none."""
HEADER_CELL, TERM, DESCRIPTION, HIDDEN, CAPTION, RULE = (1 << bit for bit in range(6))
"""Flags of a block; the last one: a line is drawn before it."""

# Columns of an element that begins a line: its parent, its tag, its number among the children of the parent; and the
# number of an item, `BULLET` for none, the items of a list that counts backwards, or where the text has the name of the
# language of preformatted text, 0 for none.
PARENT, TAG, CHILD, VALUE = range(4)
NODE_COLUMNS = 4
BULLET = 1 << 30
BACKWARDS = -(1 << 30)
"""Added to the number of an item that is counted from the end of its list, for which this stands."""

# Columns of a table: element, column that is the last with text, the first row with text, whether that is a header,
# whether it lays out the page, and whether a cell has several paragraphs or preformatted text.
T_NODE, T_COLUMNS, T_FIRST, T_HEADER, T_LAYOUT, T_SEVERAL = range(6)
TABLE_COLUMNS = 6


class Blocks(NamedTuple):
    """A page as blocks of text, in its order."""

    text: Bytes
    """UTF-8 of all blocks, with the `MARKS` in it."""
    blocks: Table
    """Shape [blocks, BLOCK_COLUMNS or more]."""
    inline: Masks
    """Shape [blocks]: keywords of elements inside of each block's line."""
    nodes: Table
    """Shape [elements, NODE_COLUMNS or more]: those that begin a line, in the order of their tags; element 0 is the
    page."""
    masks: Masks
    """Shape [elements, 2]: keywords of the element itself; of everything that it stands in, itself too."""
    tables: Table
    """Shape [tables, TABLE_COLUMNS or more]; table 0 is none."""
    noscript: int
    """Bytes of the page in elements for readers without scripts, which were passed over."""
    complete: bool
    """Whether the page was read to its end."""
