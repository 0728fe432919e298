"""What the runs of equal words mean under each rule: compiled, one item of one document at a time."""

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import I64
from pipeline.decontaminate.grams import ANSWER_GRAM, GRAM, Index
from pipeline.decontaminate.runs import AT, LENGTH, PLACE
from pipeline.decontaminate.words import Hashes

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

TARGET = 0.8
"""The score from which decon takes a document for contaminated; shorter items are measured so that it holds for all."""

_QUESTION, _ANSWER = 0.75, 0.25
_TOLD = 20
"""Different 5-grams from which a question speaks for itself; of shorter ones the answer has to say more."""
_SHORT_ANSWER, _SHORT_WINDOW, _LONG_WINDOW = 3, 50, 100
_FEW = 24
_HALF = 0.5
"""An answer is looked for where at least so much of its question was found."""


@compiled
def longest(runs: Ints, order: Ints) -> int:
    """The number of the longest of these runs, the first of them."""
    best: int = order[0]
    for k in order:
        if runs[k, LENGTH] > runs[best, LENGTH]:
            best = k
    return best


@compiled
def by(keys: Ints, order: Ints) -> Ints:
    """The numbers in `order` by their keys; those with equal keys stay as they are. A few are sorted in place."""
    if len(order) > _FEW:
        return order[np.argsort(keys[order], kind="mergesort")]
    out = order.copy()
    for k in range(1, len(out)):
        moved, place = out[k], k
        while place > 0 and keys[out[place - 1]] > keys[moved]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = moved
    return out


@compiled
def _by_place(runs: Ints, order: Ints) -> Ints:
    return order if len(order) == 1 else by(runs[:, PLACE], order)


@compiled
def share(runs: Ints, order: Ints, begin: int, end: int, gram: int) -> float:
    """The share of the n-grams between two words of an item that these runs hold."""
    total = end - begin - gram + 1
    if total < 1 or runs[longest(runs, order), LENGTH] < gram:
        return 0.0
    found, done = 0, begin
    for k in _by_place(runs, order):
        first = max(runs[k, PLACE], done)
        stop = min(runs[k, PLACE] + runs[k, LENGTH], end) - gram + 1
        if stop > first:
            found += stop - first
            done = stop
    return found / total


@compiled
def _overlap(runs: Ints, order: Ints, index: Index, item: int) -> float:
    """The weight of the question's 5-grams that these runs hold, divided by that of all."""
    found, done = 0.0, index.questions[item]
    for k in _by_place(runs, order):
        first = max(runs[k, PLACE], done)
        stop = min(runs[k, PLACE] + runs[k, LENGTH], index.answers[item]) - GRAM + 1
        for place in range(first, stop):
            found += index.weights[place]
        done = max(done, stop)
    overlap: float = found / index.totals[item, 0]
    return overlap


@compiled
def _same(words: Hashes, at: int, others: Hashes, place: int, size: int) -> bool:
    for k in range(size):
        if words[at + k] != others[place + k]:
            return False
    return True


@compiled
def _piece(words: Hashes, at: int) -> int:
    """The words of a piece of an answer, as a number by which pieces are sorted."""
    value = np.uint64(words[at])
    for k in range(1, ANSWER_GRAM):
        value = value * np.uint64(0x9E3779B97F4A7C15) + np.uint64(words[at + k])
    number: int = I64(value)
    return number


@compiled
def _answer(words: Hashes, at: int, count: int, index: Index, item: int, misses: int) -> tuple[float, int, int]:
    """How much of an answer stands in the words after its question, from 0 to 1, and from which word to which."""
    begin, end = index.answers[item], index.ends[item]
    size = end - begin
    if size <= _SHORT_ANSWER:
        for place in range(at, min(count, at + _SHORT_WINDOW) - size + 1):
            if _same(words, place, index.words, begin, size):
                return 1.0, place, place + size
        return 0.0, at, at
    pieces = np.empty(size - ANSWER_GRAM + 1, np.int64)
    for k in range(len(pieces)):
        pieces[k] = _piece(index.words, begin + k)
    order = np.argsort(pieces, kind="mergesort")
    sorted_pieces, seen = pieces[order], np.zeros(len(pieces), np.bool_)
    chain, most, first, last, low, high = 0, 0, at, at, at, at
    for place in range(at, min(count, at + max(2 * size, _LONG_WINDOW)) - ANSWER_GRAM + 1):
        piece = _piece(words, place)
        k = I64(np.searchsorted(sorted_pieces, piece))
        if k == len(pieces) or sorted_pieces[k] != piece:
            continue
        while k < len(pieces) and sorted_pieces[k] == piece:
            seen[order[k]] = True
            k += 1
        if chain == 0 or place - last > misses + 1:
            chain, first = 0, place
        chain, last = chain + 1, place
        if chain > most:
            most, low, high = chain, first, last + ANSWER_GRAM
    found = 0.0
    for k in range(len(pieces)):
        if seen[k]:
            found += index.weights[begin + k]
    return found / index.totals[item, 1], low, high


@compiled
def _required(words: int, low: int, high: int, target: float) -> float:
    """What a score must reach: 1 up to `low` words, the target from `high` words on, and between them in proportion."""
    if words >= high:
        return target
    return 1.0 - (1.0 - target) * max(0, words - low) / (high - low)


@compiled
def _combined(index: Index, item: int, question: float, answer: float, low: int, high: int) -> float:
    """The score of question and answer."""
    begin, middle, end = index.questions[item], index.answers[item], index.ends[item]
    if question == 1.0 and (answer == 1.0 or middle == end):
        return 1.0
    score = question
    if middle < end:
        weight = _QUESTION * (0.5 + 0.5 * min(1.0, index.distinct[item] / _TOLD))
        score = weight * question + (1.0 - weight) * answer
    score *= TARGET / _required(end - begin, low, high, TARGET)
    floor = _required(middle - begin, low, high, (TARGET - _ANSWER) / _QUESTION)
    return min(score, TARGET * question / floor) if question < floor else score


@compiled
def _cluster(
    words: Hashes, count: int, runs: Ints, order: Ints, index: Index, item: int, misses: int, low: int, high: int
) -> tuple[float, int, int, int, int]:
    """The score of the runs of one place of the document, and the words of the question and of the answer in it."""
    overlap = _overlap(runs, order, index, item)
    middle = index.answers[item]
    begin, end = runs[order[0], AT], 0
    for k in order:
        end = max(end, runs[k, AT] + min(runs[k, LENGTH], middle - runs[k, PLACE]))
    answer, first, stop = 0.0, end, end
    if overlap >= _HALF and middle < index.ends[item]:
        # An answer that repeats words of its question belongs to the runs, too; it begins where the question is over.
        at = min(end, begin + middle - index.questions[item])
        answer, first, stop = _answer(words, at, count, index, item, misses)
    return _combined(index, item, overlap, answer, low, high), begin, end, first, stop


@compiled
def idf(
    words: Hashes, count: int, runs: Ints, order: Ints, index: Index, item: int, misses: int, low: int, high: int
) -> tuple[float, int, int, int, int]:
    """The best score of a place of the document, and the words of the question and of the answer there.

    `order` has the runs of the item as they stand in the document. Where more than `misses` 5-grams that are not the
    question's follow each other, another place begins.
    """
    best = (0.0, 0, 0, 0, 0)
    middle = index.answers[item]
    if len(order) == 1:
        if min(runs[order[0], LENGTH], middle - runs[order[0], PLACE]) < GRAM:
            return best
        return _cluster(words, count, runs, order, index, item, misses, low, high)
    inside = np.empty(len(order), np.int64)
    size, last = 0, 0
    for k in order:
        length = min(runs[k, LENGTH], middle - runs[k, PLACE])
        if length < GRAM:
            continue
        if size and runs[k, AT] - last > misses + 1:
            found = _cluster(words, count, runs, inside[:size], index, item, misses, low, high)
            if found[0] > best[0]:
                best = found
            size = 0
        last = max(last, runs[k, AT] + length - GRAM) if size else runs[k, AT] + length - GRAM
        inside[size] = k
        size += 1
    if size:
        found = _cluster(words, count, runs, inside[:size], index, item, misses, low, high)
        if found[0] > best[0]:
            best = found
    return best
