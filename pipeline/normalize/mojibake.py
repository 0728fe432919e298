"""Text that was read in a wrong encoding, repaired by ftfy (Speer 2019); what needs no repair never reaches it.

ftfy touches a line only if a pattern of improbable neighbours occurs in it (`ftfy.badness`), at the price of 0.2 s for
a megabyte. Two gates stand before it, both made of that very pattern, so that they hide nothing: pairs of characters
without which it cannot match, which a compiled loop looks for while it reads the text anyway, and the pattern itself as
polars runs it. ftfy goes on repairing a line until nothing changes, which in a line made for it takes a pass for every
character. Here a line that is not in order after some passes is left as it was.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache

import ftfy
import numpy as np
import polars as pl
from ftfy.badness import BADNESS_RE, is_bad
from ftfy.chardata import UTF8_DETECTOR_RE
from ftfy.fixes import fix_c1_controls
from numpy.typing import NDArray

SIZE = 0x10000
"""No character from here on is part of a wrong encoding."""
ALONE = 1 << 63
"""Stands for a character that is improbable by itself."""

_TOKEN = re.compile(r"#[^\n]*|\s+|(\[(?:\\.|[^\]\\])+\]|\\?[^\[\](){}*+])", re.DOTALL)
_MEMBER = re.compile(r"(\\x[0-9a-f]{2}|.)(?:-(\\x[0-9a-f]{2}|.))?", re.DOTALL)
_ASCII = frozenset(range(0x80))

_WHOLE = ftfy.TextFixerConfig(decode_inconsistent_utf8=False, fix_c1_controls=False, explain=False)
"""Repair what a text is as a whole; each pass leaves half of the characters beyond ASCII, so they are few."""
_PASSES = 8
_OFTEN = 16
"""Sequences of at most so many characters are worth remembering."""


def _alternatives() -> list[list[str]]:
    """The pattern as lists of what matches one character, without white space and comments.

    Raises:
        ValueError: it has something that no version of ftfy had so far.
    """
    found: list[list[str]] = [[]]
    at, pattern = 0, BADNESS_RE.pattern
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise ValueError(f"ftfy's pattern is not understood at {pattern[at : at + 20]!r}")
        at = token.end()
        if token[1] == "|":
            found.append([])
        elif token[1]:
            found[-1].append(token[1])
    return found


@cache
def pattern() -> str:
    """The pattern for polars; over lines it matches wherever ftfy finds something to repair, and seldom elsewhere."""
    classes = {r"\w": r"[\w\pN]", r"\s": r"[\s\x1c-\x1f]"}  # as in Python
    return "(?m)" + "|".join("".join(classes.get(item, item) for item in items) for items in _alternatives())


def _points(item: str) -> tuple[frozenset[int], bool]:
    """What an item matches, or if the second is false, what it does not."""
    if item in (r"\w", r"\s", "."):
        return frozenset(), False
    inner = item[1:-1] if item[0] == "[" else item
    negated = len(item) > 1 and inner[0] == "^"

    def point(written: str) -> int:
        return int(written[2:], 16) if len(written) > 1 else ord(written)

    members = [(point(low), point(high or low)) for low, high in _MEMBER.findall(inner[negated:])]
    return frozenset(each for low, high in members for each in range(low, high + 1)), not negated


@cache
def pairs() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Two tables by code point, shape [SIZE] each: where the pattern matches there are neighbours a, b such that
    `first[a] & second[b]`, or one character with `first[a] & ALONE`.

    Of each alternative two neighbours were taken, the first of them beyond ASCII.
    """
    first, second = np.zeros(SIZE, np.uint64), np.zeros(SIZE, np.uint64)
    for number, items in enumerate(_alternatives()):
        bit = np.uint64(1 << number)
        sets = [_points(item) for item in items if item not in ("^", "?")]
        if len(sets) == 1:
            first[list(sets[0][0])] |= np.uint64(ALONE)
            continue
        # An item that may be missing is none of these: two neighbours stay neighbours.
        lasting = [(a, b) for a, b in zip(sets, sets[1:], strict=False) if a[1] and not a[0] & _ASCII]
        if not lasting or number >= 63:
            raise ValueError(f"ftfy's pattern has nothing to look for in {''.join(items)!r}")
        (left, _), (right, listed) = min(lasting, key=lambda pair: len(pair[0][0]) * (len(pair[1][0]) or SIZE))
        first[list(left)] |= bit
        chosen = np.zeros(SIZE, np.bool_)
        chosen[list(right)] = True
        second[chosen == listed] |= bit
    for found in (first, second):
        found.flags.writeable = False
    return first, second


def repair(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return texts with their wrongly read lines put right, and how many lines of each these were.

    Time is linear in the texts, whatever stands in them. The line feed belongs to its line, as for `ftfy.fix_text`.
    """
    answers, repaired = [], []
    for text in texts:
        lines = text.split("\n")
        lines[:-1] = [f"{line}\n" for line in lines[:-1]]
        wrong = pl.Series(lines, dtype=pl.String).str.contains(pattern()).arg_true()
        fixed = {number: line for number in wrong if (line := _repaired(lines[number])) != lines[number]}
        for number, line in fixed.items():
            lines[number] = line
        answers.append("".join(lines))
        repaired.append(len(fixed))
    return answers, repaired


def _repaired(line: str) -> str:
    now = line
    for _ in range(_PASSES):
        fixed = ftfy.fix_encoding(now, _WHOLE)
        if is_bad(fixed):
            fixed = UTF8_DETECTOR_RE.sub(lambda match: _sequence(match[0]), fixed)
        if fixed == now:
            fixed = fix_c1_controls(now)
        if fixed == now:
            return now
        now = fixed
    return line


def _sequence(text: str) -> str:
    """What a sequence within a line should be, that looks like UTF-8 read as something else."""
    return _remembered(text) if len(text) <= _OFTEN else ftfy.fix_encoding(text, _WHOLE)


@lru_cache(maxsize=1 << 14)
def _remembered(text: str) -> str:
    return ftfy.fix_encoding(text, _WHOLE)
