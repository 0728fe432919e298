"""What every Unicode character counts as: letter, mark, number, space, punctuation, end of a sentence, own word.

The kernels look characters up in one table of 16-bit flags, so that no loop over text asks Unicode anything.
"""

import unicodedata

import numpy as np
from numpy.typing import NDArray

from filters.tables import kept

ALPHA = 1
"""A letter in the sense of `str.isalpha`."""
LOWER = 2
"""A small letter, or a letter or mark of a script without case."""
UPPER = 4
"""A capital, or a letter of a script without case."""
NUMBER = 8
MARK = 16
SPACE = 32
"""White space in the sense of `str.isspace`."""
BREAK = 64
"""Ends a line in the sense of `str.splitlines`."""
PUNCT = 128
"""Unicode category P."""
PEEL = 256
"""Punctuation or a symbol that is a token of its own at the beginning of a word."""
TERMINAL = 512
"""Ends a sentence."""
SINGLE = 1024
"""A letter of a script written without spaces, which stands as a token of its own."""
PICTURE = 2048
"""Unicode category So: a pictogram, a token of its own wherever it stands."""
WORD = 4096
"""A token with one such character is a word, not only punctuation."""

TAIL = 8192
"""Punctuation or a symbol that is a token of its own at the end of a word too, as `$`, `%` and `=` are not."""

QUOTE = 16384
"""A quotation mark, next to which a full stop inside a word is a token of its own."""

SIZE = 0x32000
"""Code points from here on are private use, variation selectors or unassigned, and have no flags."""

_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"

_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # CJK and Kangxi radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x3035),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3100, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # CJK ideographs
    (0x4E00, 0x9FFF),
    (0xA000, 0xA48F),  # Yi
    (0xAA60, 0xAADF),  # Myanmar extended, Tai Viet
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),
    (0x16FE0, 0x18DFF),  # Tangut
    (0x1AFF0, 0x1B2FF),  # Kana and Nushu
    (0x20000, 0x323AF),  # CJK ideographs, extensions B to H
)

# Sentence_Terminal=Yes of the Unicode character database, version 15 (PropList.txt), with the Khmer signs: the same
# characters that FineWeb takes as the end of a line (Penedo et al. 2024, section 3.6). The ellipsis is none of them.
_TERMINALS = (
    (0x21, 0x21), (0x2E, 0x2E), (0x3F, 0x3F), (0x589, 0x589), (0x61D, 0x61F),
    (0x6D4, 0x6D4), (0x700, 0x702), (0x7F9, 0x7F9), (0x837, 0x837), (0x839, 0x839),
    (0x83D, 0x83E), (0x964, 0x965), (0x104A, 0x104B), (0x1362, 0x1362), (0x1367, 0x1368),
    (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D6), (0x17D9, 0x17DA), (0x1803, 0x1803),
    (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F),
    (0x1B7D, 0x1B7E), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x203C, 0x203D), (0x2047, 0x2049),
    (0x2E2E, 0x2E2E), (0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF),
    (0xA60E, 0xA60F), (0xA6F3, 0xA6F3), (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF),
    (0xA92F, 0xA92F), (0xA9C8, 0xA9C9), (0xAA5D, 0xAA5F), (0xAAF0, 0xAAF1), (0xABEB, 0xABEB),
    (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E), (0xFF1F, 0xFF1F),
    (0xFF61, 0xFF61), (0x10A56, 0x10A57), (0x10F55, 0x10F59), (0x10F86, 0x10F89), (0x11047, 0x11048),
    (0x110BE, 0x110C1), (0x11141, 0x11143), (0x111C5, 0x111C6), (0x111CD, 0x111CD), (0x111DE, 0x111DF),
    (0x11238, 0x11239), (0x1123B, 0x1123C), (0x112A9, 0x112A9), (0x1144B, 0x1144C), (0x115C2, 0x115C3),
    (0x115C9, 0x115D7), (0x11641, 0x11642), (0x1173C, 0x1173E), (0x11944, 0x11944), (0x11946, 0x11946),
    (0x11A42, 0x11A43), (0x11A9B, 0x11A9C), (0x11C41, 0x11C42), (0x11EF7, 0x11EF8), (0x11F43, 0x11F44),
    (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B38), (0x16B44, 0x16B44), (0x16E98, 0x16E98),
    (0x1BC9F, 0x1BC9F), (0x1DA88, 0x1DA88),
)  # fmt: skip


@kept
def table() -> NDArray[np.uint16]:
    """Return the flags of every code point below `SIZE`."""
    flags = np.zeros(SIZE, np.uint16)
    of_category = {
        "Ll": ALPHA | LOWER | WORD,
        "Lu": ALPHA | UPPER | WORD,
        "Lt": ALPHA | UPPER | WORD,
        "Lo": ALPHA | LOWER | UPPER | WORD,
        "Lm": ALPHA | LOWER | UPPER | WORD,
        "Mn": MARK | LOWER | WORD,
        "Mc": MARK | LOWER | WORD,
        "Me": MARK | LOWER | WORD,
        "Nd": NUMBER | WORD,
        "Nl": NUMBER | WORD,
        "No": NUMBER | WORD,
        "So": PEEL | TAIL | PICTURE,
        "Sc": PEEL,
        "Sk": PEEL | TAIL,
        "Sm": PEEL | TAIL,
    }
    category = unicodedata.category
    flags[:] = [of_category.get(category(chr(point)), 0) for point in range(SIZE)]
    punctuation = [point for point in range(SIZE) if category(chr(point))[0] == "P"]
    flags[punctuation] = PUNCT | PEEL | TAIL
    flags[[ord(char) for char in "-.@/\\^+|~"]] &= ~np.uint16(PEEL | TAIL)
    flags[[ord(char) for char in "%=§"]] &= ~np.uint16(TAIL)
    flags[[ord(char) for char in _QUOTES]] |= QUOTE
    flags[[point for point in range(SIZE) if chr(point).isspace()]] = SPACE
    flags[[ord(char) for char in _BREAKS]] |= BREAK
    for first, last in _WITHOUT_SPACES:
        block = flags[first : last + 1]
        block[(block & (ALPHA | NUMBER)) != 0] |= SINGLE
    for first, last in _TERMINALS:
        flags[first : last + 1] |= TERMINAL
    return flags


@kept
def zeros() -> NDArray[np.int64]:
    """Return the code points of the digit 0 of every script, in order."""
    return np.array([point for point in range(SIZE) if unicodedata.decimal(chr(point), None) == 0], np.int64)
