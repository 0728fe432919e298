"""Where texts are cut: two places by hash, at characters, at the beginnings of lines, or around a piece of syntax.

All functions here take the UTF-8 bytes of a text and give two places in them, in order, that lie between characters.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from training.fim.blocks import block
from training.kernels import compiled

Bytes = npt.NDArray[np.uint8]
Cuts = Literal["characters", "lines", "syntax"]


def drawn(text: Bytes, cuts: Cuts, one: int, other: int) -> tuple[int, int]:
    """Two places in a text, by two draws (uint64). Where there is no line or no piece of syntax to cut out, characters
    decide: in texts of fewer than three lines, and in syntax where the place that was drawn lies in none."""
    if cuts == "characters":
        low, high = characters(text, np.uint64(one), np.uint64(other))
        return int(low), int(high)
    low, high = (lines if cuts == "lines" else block)(text, np.uint64(one), np.uint64(other))
    return (int(low), int(high)) if high > low else drawn(text, "characters", one, other)


@compiled
def characters(text: Bytes, one: Any, other: Any) -> tuple[int, int]:
    """Any two of the places between characters, the ends included; the same place twice leaves nothing to fill in."""
    count = 0
    for byte in text:
        count += (byte & 0xC0) != 0x80
    a, b = np.int64(one % np.uint64(count + 1)), np.int64(other % np.uint64(count + 1))
    low, high = min(a, b), max(a, b)
    first, last = len(text), len(text)
    seen = 0
    for i in range(len(text)):
        if (text[i] & 0xC0) != 0x80:
            if seen == low:
                first = i
            if seen == high:
                last = i
                break
            seen += 1
    return first, last


@compiled
def lines(text: Bytes, one: Any, other: Any) -> tuple[int, int]:
    """Any two of the beginnings of lines and the end of the text; none (0, 0) in fewer than three lines."""
    count = 0
    for i in range(len(text)):
        count += i == 0 or text[i - 1] == 10
    if count < 3:
        return 0, 0
    a, b = np.int64(one % np.uint64(count + 1)), np.int64(other % np.uint64(count))
    b += b >= a
    low, high = min(a, b), max(a, b)
    first, last = len(text), len(text)
    seen = 0
    for i in range(len(text)):
        if i == 0 or text[i - 1] == 10:
            if seen == low:
                first = i
            if seen == high:
                last = i
                break
            seen += 1
    return first, last
