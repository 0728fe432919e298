"""Which blocks of a page are its main text: trees say how probable each is, and what is taken makes the best whole.

No fixed probability is asked for. On a page where the trees are sure of little, half of what seems likely belongs to
the text; on one with a clear text, next to nothing beside it does. Of all cut-offs that one is taken with which the
words chosen have the best expected F-measure (van Rijsbergen 1979, chapter 7; Ye et al. 2012, "Optimizing F-measures").
That number is also how sure the choice is.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from filters.hashing import I64, Ints, kernel
from pipeline.extract import summary as known
from pipeline.extract.blocks import Blocks
from pipeline.extract.features import COUNT, of_block, of_page
from pipeline.extract.lines import Choice
from pipeline.extract.summary import F32, Floats, Summary, Sums, summary
from pipeline.extract.trees import ROWS, Places, Words, add_values, likelihood, put_row

_STEPS = 256
_MOST_ASKED, _LEAST_ASKED = 0.5, 0.1
"""A block more probable than the first is always taken, one less probable than the second never."""


class Effort(NamedTuple):
    """How many trees are asked about a block."""

    first: int
    """All blocks are shown to so many."""
    last: int
    """Those about which they are unsure, to so many."""
    margin: float
    """Unsure is a sum of values (the logarithm of the odds) nearer to zero."""


class Room(NamedTuple):
    """Where blocks wait for trees, some at once."""

    row: Floats
    """Shape [COUNT]."""
    shown: Places
    """Shape [ROWS, COUNT]: blocks for the first trees."""
    unsure: Places
    """Shape [ROWS, COUNT]: blocks for the others."""
    numbers: Ints
    """Shape [ROWS]: which these are."""
    places: Ints
    sums: Floats
    unsure_sums: Floats


@njit(cache=True, nogil=True)
def choose(page: Blocks, words: Words, effort: Effort, beta: float) -> tuple[Choice, float]:
    """Return which blocks are main text, and the F-measure expected of that, 0 if nothing is.

    Args:
        beta: how many times more recall counts than precision.
    """
    chosen = np.zeros(len(page.blocks), np.bool_)
    if not len(page.blocks):
        return chosen, 0.0
    found = summary(page)
    likely = np.empty(len(page.blocks), F32)
    room = Room(
        np.empty(COUNT, F32),
        np.zeros((ROWS, COUNT), np.int32),
        np.zeros((ROWS, COUNT), np.int32),
        np.empty(ROWS, I64),
        np.empty(ROWS, I64),
        np.empty(ROWS, F32),
        np.empty(ROWS, F32),
    )
    _judge(page, found, words, effort, room, likely)
    cutoff, expected = _cutoff(found, likely, beta, np.zeros((_STEPS, 2)))
    for k in range(len(chosen)):
        chosen[k] = likely[k] >= cutoff
    return chosen, expected


@kernel
def _judge(page: Blocks, found: Summary, words: Words, effort: Effort, room: Room, likely: Floats) -> None:
    """Write the probability of each block."""
    before, waiting = 0.0, 0
    of_page(page, found, room.row)
    for begin in range(0, len(likely), ROWS):
        count = min(ROWS, len(likely) - begin)
        for number in range(count):
            of_block(page, found, begin + number, before, room.row)
            before += found.read[begin + number, known.CHARS]
            put_row(room.row, room.shown[number])
            room.sums[number] = 0
        add_values(words, 0, effort.first, room.shown, room.places, room.sums)
        for number in range(count):
            odds = room.sums[number]
            if not -effort.margin < odds < effort.margin:
                likely[begin + number] = likelihood(odds)
                continue
            for column in range(COUNT):
                room.unsure[waiting, column] = room.shown[number, column]
            room.unsure_sums[waiting], room.numbers[waiting] = odds, begin + number
            waiting += 1
            if waiting == ROWS:
                _ask_others(words, effort, room, waiting, likely)
                waiting = 0
    _ask_others(words, effort, room, waiting, likely)


@kernel
def _ask_others(words: Words, effort: Effort, room: Room, waiting: int, likely: Floats) -> None:
    if waiting:
        add_values(words, effort.first, effort.last, room.unsure, room.places, room.unsure_sums)
    for number in range(waiting):
        likely[room.numbers[number]] = likelihood(room.unsure_sums[number])


@kernel
def _cutoff(found: Summary, likely: Floats, beta: float, bins: Sums) -> tuple[float, float]:
    """Return the best cut-off and the F-measure expected with it."""
    weight, wanted = beta * beta, 0.0
    for k in range(len(likely)):
        words = max(found.read[k, known.WORDS], F32(1.0))
        step = min(I64(likely[k] * _STEPS), _STEPS - 1)
        bins[step, 0] += words
        bins[step, 1] += words * likely[k]
        wanted += words * likely[k]
    cutoff, best, taken, right = _MOST_ASKED, 0.0, 0.0, 0.0
    for step in range(_STEPS - 1, int(_LEAST_ASKED * _STEPS), -1):
        taken += bins[step, 0]
        right += bins[step, 1]
        measure = (1 + weight) * right / (weight * wanted + taken) if taken else 0.0
        if step <= _MOST_ASKED * _STEPS and measure > best:
            cutoff, best = step / _STEPS, measure
    return cutoff, best
