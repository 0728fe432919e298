"""What Python's own string methods say about every character, in one table of bytes for compiled loops.

`filters.characters` has what the tokeniser asks of Unicode; recipes that were written as Python over strings ask
`str.isupper` and its like, which draw their lines elsewhere: `Ⅷ` is a capital to them, `ǅ` is none.
"""

import numpy as np
from numpy.typing import NDArray

from filters.tables import kept

ALPHA = 1
"""`str.isalpha`"""
ALPHANUMERIC = 2
"""`str.isalnum`"""
UPPER = 4
"""`str.isupper`"""
DIGIT = 8
"""`str.isdigit`"""
DECIMAL = 16
"""`str.isdecimal`, and `\\d` in a pattern"""
SPACE = 32
"""`str.isspace`, and what `str.split` splits at"""
SYMBOL = 64
"""`#` and `…`, the symbols of Gopher's rules"""

SIZE = 0x34000
"""Code points from here on are in no class."""


@kept
def classes() -> NDArray[np.uint8]:
    """Return the classes of every code point below `SIZE`."""
    chars = [chr(point) for point in range(SIZE)]
    table = np.zeros(SIZE, np.uint8)
    for flag, holds in (
        (ALPHA, str.isalpha),
        (ALPHANUMERIC, str.isalnum),
        (UPPER, str.isupper),
        (DIGIT, str.isdigit),
        (DECIMAL, str.isdecimal),
        (SPACE, str.isspace),
    ):
        table[np.fromiter(map(holds, chars), np.bool_, SIZE)] |= flag
    table[[ord(char) for char in "#…"]] |= SYMBOL
    return table
