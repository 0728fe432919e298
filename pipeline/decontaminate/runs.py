"""Where a document and the items have five words and more in a row: compiled, linear in the document.

Every so manieth 5-gram of the document is looked up. From one that an item has the search goes on word by word to both
sides, until more than `misses` 5-grams in a row are in no item; there the equal words are compared as far as they
reach. So a run of GRAM + stride - 1 equal words is always found, a shorter one where another one is near.
"""

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import I64
from pipeline.decontaminate.grams import GRAM, Index, find
from pipeline.decontaminate.words import Hashes

Ints = NDArray[np.int64]

ITEM, PLACE, AT, LENGTH = range(4)
"""Columns of a run: the item, the place among the words of all items, that in the document, and how many words."""


@compiled
def with_room(rows: Ints, used: int) -> Ints:
    """The same rows, with room for one more."""
    if used < len(rows):
        return rows
    more = np.empty((2 * len(rows), rows.shape[1]), np.int64)
    more[:used] = rows
    return more


@compiled
def _owner(begins: Ints, place: int) -> int:
    """The item that a word belongs to."""
    low, high = 0, len(begins)
    while high - low > 1:
        middle = (low + high) >> 1
        if begins[middle] <= place:
            low = middle
        else:
            high = middle
    return low


@compiled
def _begins(index: Index, gram: int, common: int) -> bool:
    """Whether a 5-gram of an item is rare enough to begin a match."""
    return not index.ordinary[gram] and I64(index.first[gram + 1]) - I64(index.first[gram]) <= common


@compiled
def _add_runs(
    words: Hashes, at: int, grams: Ints, index: Index, common: int, runs: Ints, used: int
) -> tuple[Ints, int]:
    """Add the runs that a 5-gram of the document begins, in all items that have it."""
    gram = grams[at]
    if not _begins(index, gram, common):
        return runs, used
    known = at > 0 and grams[at - 1] >= 0 and _begins(index, grams[at - 1], common)
    for k in range(I64(index.first[gram]), I64(index.first[gram + 1])):
        place, start = I64(index.places[k]), at
        if at > 0 and index.words[place - 1] == words[at - 1]:
            if known:
                continue  # the 5-gram before has begun this run
            while start > 0 and index.words[place - 1] == words[start - 1]:
                place, start = place - 1, start - 1
        length = 0
        while index.words[place + length] == words[start + length]:
            length += 1
        if length >= GRAM:  # two 5-grams could have one hash
            runs = with_room(runs, used)
            runs[used, ITEM], runs[used, PLACE] = _owner(index.questions, place), place
            runs[used, AT], runs[used, LENGTH] = start, length
            used += 1
    return runs, used


@compiled
def find_runs(
    words: Hashes, count: int, index: Index, stride: int, misses: int, common: int, grams: Ints, runs: Ints
) -> tuple[Ints, int]:
    """All runs of a document of `count` words and END_OF_TEXT; returns the rows, moved if need be, and their number.

    Args:
        common: a 5-gram that stands at more places of the items begins no run.
        grams: scratch of `count` numbers.
    """
    used, done, at, end = 0, 0, 0, count - GRAM + 1
    arrays = (index.words, index.tags, index.numbers, index.first, index.places)
    while at < end:
        gram = find(words, at, arrays[0], arrays[1], arrays[2], arrays[3], arrays[4])
        if gram < 0:
            at += stride
            continue
        grams[at] = gram
        low, place, missed = at, at - 1, 0
        while place >= done and missed <= misses:
            grams[place] = find(words, place, arrays[0], arrays[1], arrays[2], arrays[3], arrays[4])
            if grams[place] >= 0:
                low, missed = place, 0
            else:
                missed += 1
            place -= 1
        high, done, missed = at, at + 1, 0
        while done < end and missed <= misses:
            grams[done] = find(words, done, arrays[0], arrays[1], arrays[2], arrays[3], arrays[4])
            if grams[done] >= 0:
                high, missed = done, 0
            else:
                missed += 1
            done += 1
        if low > 0:
            grams[low - 1] = -1
        for place in range(low, high + 1):
            if grams[place] >= 0:
                runs, used = _add_runs(words, place, grams, index, common, runs, used)
        at = done
    return runs, used
