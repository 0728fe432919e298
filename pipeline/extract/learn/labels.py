"""Which blocks of a page are main text, given that text: labels for learning, found by aligning words in order.

The alignment is a chain of pairs of equal words that goes forward in the page and in the truth alike. A new run costs
several words, so that a few common words in a menu are no match; words that follow each other in the truth with foreign
blocks between them in the page cost little, so that a heading counts though an advertisement was cut out behind it.
Every word of the truth counts once: of two copies of a text one is chosen. Text that the truth has in another order is
found by further rounds. The work grows with the number of pairs, which is held linear in the length of both texts.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filters.hashing import kernel
from pipeline.extract.learn.metrics import words

Ints = NDArray[np.int64]

_GRAM = 3
"""Words that must agree in a row, unless they are a whole block."""
_OCCURRENCES = 16
"""Of a word sequence in the truth that are tried for each of the page; of more, those about as far in the row."""
_ROUNDS = 8
_LEAST_MOVED = 5.0
"""What a chain of a later round must be worth: words less the costs of runs."""
_RUN, _NEAR, _SKIP = 3.0, 1.0, 0.5
"""Costs of a new run anywhere, of going on within a few words, and of going on where the truth goes on at once."""
_WITHIN = 4

_SPACES = re.compile(r"\s+")


class Labels(NamedTuple):
    label: NDArray[np.float32]
    """Of each block, the share of its words that is main text."""
    weight: NDArray[np.float32]
    """Of each block, its words; 0 if nothing is known of it."""
    coverage: float
    """Share of the truth's words that were found in the page; 1 if it has none. Little means that it is no truth."""


def text_labels(blocks: Sequence[str], truth: str) -> Labels:
    """Return labels from the whole main text.

    Args:
        blocks: the texts of a page's blocks, in the order of the page.
    """
    of_blocks = [words(block) for block in blocks]
    sizes = np.array([len(found) for found in of_blocks], np.int64)
    expected = words(truth)
    numbers: dict[str, int] = {}
    page = np.array([numbers.setdefault(word, len(numbers)) for found in of_blocks for word in found], np.int64)
    text = np.array([numbers.setdefault(word, len(numbers)) for word in expected], np.int64)
    matched = _aligned(page, text, sizes, len(numbers))
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    sums = np.concatenate([[0], np.cumsum(matched)])
    hits = sums[bounds[1:]] - sums[bounds[:-1]]
    label = np.divide(hits, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    coverage = float(matched.sum() / len(text)) if len(text) else 1.0
    return Labels(label.astype(np.float32), sizes.astype(np.float32), coverage)


def segment_labels(blocks: Sequence[str], wanted: Sequence[str], unwanted: Sequence[str]) -> Labels:
    """Return labels from segments: of blocks that hold a part of one, and weight 0 for all others.

    A wanted segment that stands in several places says nothing, since one of them is enough; an unwanted one must not
    be anywhere. White space is not compared. Of blocks that hold both kinds nothing is known.
    """
    squeezed = [_SPACES.sub("", block) for block in blocks]
    page = "".join(squeezed)
    ends = np.cumsum([len(block) for block in squeezed], dtype=np.int64)
    held = np.zeros((2, len(blocks)), np.bool_)
    found = 0
    for kind, segments in enumerate((unwanted, wanted)):
        for segment in segments:
            squeezed_segment = _SPACES.sub("", segment)
            places = [place.start() for place in re.finditer(re.escape(squeezed_segment), page)]
            found += kind and bool(places)
            if squeezed_segment and (kind == 0 or len(places) == 1):
                for place in places:
                    first, last = np.searchsorted(ends, [place, place + len(squeezed_segment) - 1], side="right")
                    held[kind, first : last + 1] = True
    known = held[0] != held[1]
    sizes = np.array([len(words(block)) for block in blocks], np.float32)
    known &= np.array([bool(block) for block in squeezed], np.bool_)
    coverage = found / len(wanted) if wanted else 1.0
    return Labels(held[1].astype(np.float32), np.where(known, sizes, 0).astype(np.float32), coverage)


def _aligned(page: Ints, text: Ints, sizes: Ints, different: int) -> NDArray[np.bool_]:
    """Return for each word of the page whether it stands for one of the text."""
    used, spent = np.zeros(len(page), np.bool_), np.zeros(len(text), np.bool_)
    rows, columns = _pairs(page, text, sizes, different)
    for number in range(_ROUNDS):
        free = ~(used[rows] | spent[columns])
        rows, columns = rows[free], columns[free]
        if not len(rows):
            break
        worth = _chain(
            rows,
            columns,
            np.zeros(len(rows), np.float64),
            np.zeros(len(rows), np.int64),
            np.full(len(text) + 1, -1, np.int64),
            np.full(len(text), -1, np.int64),
            np.full(len(text), -1, np.int64),
            used,
            spent,
            _LEAST_MOVED if number else 0.0,
        )
        if not worth:
            break
    return used


def _pairs(page: Ints, text: Ints, sizes: Ints, different: int) -> tuple[Ints, Ints]:
    """Return places of equal words in page and text that agree in a row, sorted by both; few for each word."""
    keys: list[Ints] = []
    starts = np.cumsum(sizes) - sizes
    for length in range(1, _GRAM + 1):
        if length < _GRAM:
            places = starts[sizes == length]
        else:
            places = np.arange(max(0, len(page) - length + 1), dtype=np.int64)
        grams, wanted = _grams(page, length, different)[places], _grams(text, length, different)
        rows, columns = _equal(grams, wanted)
        for step in range(length):
            keys.append((places[rows] + step) * max(1, len(text)) + columns + step)
    both = np.unique(np.concatenate(keys))
    return np.divmod(both, max(1, len(text)))


def _grams(numbers: Ints, length: int, different: int) -> Ints:
    """Return a number for each sequence of words; equal ones have equal numbers as long as these fit into 64 bits."""
    grams = np.zeros(max(0, len(numbers) - length + 1), np.int64)
    for step in range(length):
        grams = grams * max(1, different) + numbers[step : step + len(grams)]
    return grams


def _equal(grams: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """Return index pairs of equal sequences."""
    order = np.argsort(wanted, kind="stable")
    ordered = wanted[order]
    first, last = np.searchsorted(ordered, grams, "left"), np.searchsorted(ordered, grams, "right")
    # How many times each sequence occurred in the page before, to find those of the text that are as far in the row.
    sorted_page = np.argsort(grams, kind="stable")
    ranks = np.empty(len(grams), np.int64)
    ranks[sorted_page] = np.arange(len(grams)) - np.searchsorted(grams[sorted_page], grams[sorted_page], "left")
    count = last - first
    shift = np.clip(ranks - _OCCURRENCES // 2, 0, np.maximum(0, count - _OCCURRENCES))
    count = np.minimum(count, _OCCURRENCES)
    rows = np.repeat(np.arange(len(grams), dtype=np.int64), count)
    within = np.arange(len(rows), dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first + shift, count) + within]


@kernel
def _chain(
    rows: Ints,
    columns: Ints,
    values: NDArray[np.float64],
    back: Ints,
    tree: Ints,
    latest: Ints,
    best: Ints,
    used: NDArray[np.bool_],
    spent: NDArray[np.bool_],
    least: float,
) -> bool:
    """Mark the words of the most valuable chain in `used` and `spent`; return whether it is worth more than `least`.

    Args:
        rows, columns: places of equal words in page and text, sorted by both.
        values, back: room for the value of the best chain that ends with a pair, and for the pair before it.
        tree: room for a Fenwick tree of the best pairs up to a column; -1 everywhere.
        latest, best: room for the last and the best pair of a column; -1 everywhere.
    """
    winner = -1
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and rows[end] == rows[start]:
            end += 1
        for pair in range(start, end):
            row, column = rows[pair], columns[pair]
            value, before = 0.0 if column == 0 else -_RUN, -1
            for step in range(1, min(_WITHIN, column) + 1):
                other = latest[column - step]
                if other < 0 or rows[other] < row - _WITHIN:
                    continue
                cost = 0.0 if step == 1 and rows[other] == row - 1 else _NEAR
                if values[other] - cost > value:
                    value, before = values[other] - cost, other
            if column > 0:
                other = best[column - 1]
                if other >= 0 and values[other] - _SKIP > value:
                    value, before = values[other] - _SKIP, other
            at = column
            while at > 0:
                other = tree[at]
                if other >= 0 and values[other] - _RUN > value:
                    value, before = values[other] - _RUN, other
                at -= at & -at
            values[pair] = value + 1.0
            back[pair] = before
        for pair in range(start, end):
            column = columns[pair]
            latest[column] = pair
            if best[column] < 0 or values[pair] > values[best[column]]:
                best[column] = pair
            at = column + 1
            while at < len(tree):
                if tree[at] < 0 or values[pair] > values[tree[at]]:
                    tree[at] = pair
                at += at & -at
            if winner < 0 or values[pair] > values[winner]:
                winner = pair
        start = end
    if values[winner] <= least:
        return False
    while winner >= 0:
        used[rows[winner]] = True
        spent[columns[winner]] = True
        winner = back[winner]
    return True
