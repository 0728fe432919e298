"""The index of all 5-grams of evaluation items: compiled look-ups, and how its arrays are made.

A 5-gram of a document that is in no item costs one look at one byte in most cases. The table finds the number of a
5-gram, its postings say where it stands among the words of all items, and these decide whether it is the same one: a
match is never taken from a hash. That takes about 25 bytes for each word of the items.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import I64, U8, U32, U64, finish, inlined, kernel
from pipeline.decontaminate.words import END_OF_ITEM, Hashes

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Weights = NDArray[np.float32]

GRAM = 5
"""Words that begin a match; decon (Ai2 2025) has 5-grams of tokens, which are a little shorter."""

ANSWER_GRAM = 3
"""Words of the pieces by which an answer is looked for after its question, as in decon."""

_ROLL = U64(0x9E3779B97F4A7C15)


class Index(NamedTuple):
    """All items. Item k is the words `[questions[k]:ends[k]]`; its answer begins at `answers[k]`."""

    words: Hashes
    """Of all items, with END_OF_ITEM before, between and behind them."""
    questions: Ints
    answers: Ints
    ends: Ints
    weights: Weights
    """For the word at which a 5-gram of a question begins, ln((items + 1) / items with it), divided by how often the
    item has it; for a 3-gram of an answer likewise. 0 elsewhere."""
    totals: Reals
    """Shape [items, 2]: the weights of the whole question and of the whole answer."""
    distinct: Ints
    """How many different 5-grams the question of an item has."""
    tags: Bytes
    """The table: 0 where nothing is, else some bits of the 5-gram's hash."""
    numbers: Hashes
    """Beside it, the number of the 5-gram."""
    first: Hashes
    """The places of 5-gram g are `places[first[g]:first[g + 1]]`, in order."""
    places: Hashes
    ordinary: NDArray[np.bool_]
    """For 5-gram g, whether it stands in many ordinary documents, so that it begins no match."""


@inlined
def _hash(words: Hashes, at: int) -> np.uint64:
    state = U64(words[at])
    for k in range(1, GRAM):
        state = state * _ROLL + U64(words[at + k])
    return finish(state)


@kernel
def find(
    words: Hashes, at: int, index_words: Hashes, tags: Bytes, numbers: Hashes, first: Hashes, places: Hashes
) -> int:
    """The number of the 5-gram that begins at a word of a document; -1 if no item has it."""
    value = _hash(words, at)
    size = len(tags)
    slot = I64(((value >> U64(32)) * U64(size)) >> U64(32))
    tag = U8(value) | U8(1)
    while tags[slot]:
        if tags[slot] == tag:
            place = places[first[numbers[slot]]]
            k = 0
            while k < GRAM and index_words[place + k] == words[at + k]:
                k += 1
            if k == GRAM:
                number: int = I64(numbers[slot])
                return number
        slot += 1
        if slot == size:
            slot = 0
    return -1


@compiled
def _hashes(words: Hashes, places: Ints, size: int) -> NDArray[np.uint64]:
    """The hash of the gram of `size` words at each place."""
    out = np.empty(len(places), np.uint64)
    for k in range(len(places)):
        state = np.uint64(words[places[k]])
        for j in range(1, size):
            state = state * _ROLL + np.uint64(words[places[k] + j])
        state = (state ^ (state >> np.uint64(32))) * np.uint64(0xFF51AFD7ED558CCD)
        out[k] = state ^ (state >> np.uint64(32))
    return out


@compiled
def _fill(hashes: NDArray[np.uint64], tags: Bytes, numbers: Hashes) -> None:
    """Enter the hash of each 5-gram, by number, into the empty table."""
    size = np.uint64(len(tags))
    for number in range(len(hashes)):
        slot = I64(((hashes[number] >> np.uint64(32)) * size) >> np.uint64(32))
        while tags[slot]:
            slot += 1
            if slot == len(tags):
                slot = 0
        tags[slot] = np.uint8(hashes[number]) | np.uint8(1)
        numbers[slot] = number


@compiled
def _weigh(first: Ints, places: Ints, owners: Ints, items: int, weights: Weights, distinct: Ints) -> None:
    """Write the weight of each place of each gram, and count the different ones of each item."""
    for gram in range(len(first) - 1):
        having = 0
        for k in range(first[gram], first[gram + 1]):
            having += k == first[gram] or owners[places[k]] != owners[places[k - 1]]
        weight = np.log((items + 1) / having)
        k = first[gram]
        while k < first[gram + 1]:
            stop = k
            while stop < first[gram + 1] and owners[places[stop]] == owners[places[k]]:
                stop += 1
            distinct[owners[places[k]]] += 1
            for j in range(k, stop):
                weights[places[j]] = weight / (stop - k)
            k = stop


@compiled
def _sums(weights: Weights, questions: Ints, answers: Ints, ends: Ints) -> Reals:
    """The weights of questions and of answers, added up in the order of their words."""
    out = np.zeros((len(questions), 2))
    for k in range(len(questions)):
        for place in range(questions[k], answers[k]):
            out[k, 0] += weights[place]
        for place in range(answers[k], ends[k]):
            out[k, 1] += weights[place]
    return out


def make(questions: tuple[Hashes, Ints], answers: tuple[Hashes, Ints]) -> Index:
    """The index of items whose words are given as `word_hashes` gives them; raises ValueError if they are too many."""
    asked, told = np.diff(questions[1]), np.diff(answers[1])
    if (total := int((asked + told + 1).sum()) + 1) >= 1 << 32:
        raise ValueError(f"evaluation sets of {total:,} words; there is room for 4,294,967,295")
    ends = np.cumsum(asked + told + 1)
    begins, middles = ends - asked - told, ends - told
    words = np.full(total, END_OF_ITEM, np.uint32)
    words[_spread(begins, asked)] = questions[0]
    words[_spread(middles, told)] = answers[0]
    owners = np.repeat(np.arange(len(ends)), asked + told + 1)
    owners = np.concatenate([np.zeros(1, np.int64), owners])
    weights, distinct = np.zeros(total, np.float32), np.zeros(len(ends), np.int64)
    _weigh_grams(words, begins, asked, GRAM, owners, weights, distinct)
    _weigh_grams(words, middles, told, ANSWER_GRAM, owners, weights, np.zeros(len(ends), np.int64))
    places = _spread(begins, np.maximum(asked + told - GRAM + 1, 0))
    hashes, places, first = _grouped(words, places, GRAM)
    tags = np.zeros(max(16, 2 * len(hashes)), np.uint8)
    numbers = np.zeros(len(tags), np.uint32)
    _fill(hashes, tags, numbers)
    return Index(
        words,
        begins,
        middles,
        ends,
        weights,
        _sums(weights, begins, middles, ends),
        distinct,
        tags,
        numbers,
        first.astype(U32),
        places.astype(U32),
        np.zeros(len(hashes), np.bool_),
    )


def _spread(begins: Ints, sizes: Ints) -> Ints:
    """The numbers `begins[k] ... begins[k] + sizes[k] - 1` of all k, in order."""
    offsets = np.cumsum(sizes) - sizes
    numbers: Ints = np.arange(int(sizes.sum())) + np.repeat(begins - offsets, sizes)
    return numbers


def _grouped(words: Hashes, places: Ints, size: int) -> tuple[NDArray[np.uint64], Ints, Ints]:
    """The different grams by hash, their places, and where those of each begin."""
    hashes = _hashes(words, places, size)
    order = np.argsort(hashes, kind="stable")
    hashes, places = hashes[order], places[order]
    new = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])) if len(hashes) else np.zeros(0, np.int64)
    return hashes[new], places, np.append(new, len(places))


def _weigh_grams(
    words: Hashes, begins: Ints, sizes: Ints, gram: int, owners: Ints, weights: Weights, distinct: Ints
) -> None:
    _, places, first = _grouped(words, _spread(begins, np.maximum(sizes - gram + 1, 0)), gram)
    _weigh(first, places, owners, len(begins), weights, distinct)
