"""A batch of documents against the index: the values of each document under the rules, and what was found where."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from pipeline.decontaminate.grams import GRAM, Index, find
from pipeline.decontaminate.runs import AT, ITEM, LENGTH, find_runs, with_room
from pipeline.decontaminate.scores import by, idf, longest, share
from pipeline.decontaminate.words import END_OF_TEXT, Hashes, Letters, read_words

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

IDF, RUN, SHARE = range(3)
"""Columns of values."""


class Rules(NamedTuple):
    """Settings as the compiled loops take them."""

    limits: Reals
    """For each column of values, that above which an item is found; infinite where the rule is off."""
    stride: int
    misses: int
    common: int
    gram: int
    shortest: int
    low: int
    high: int


class Found(NamedTuple):
    """What a batch holds."""

    values: Reals
    """Shape [documents, 3]: the largest value of any item."""
    matches: Ints
    """Shape [matches, 4]: document, item, and at which bytes of the document its best passage begins and ends."""
    spans: Ints
    """Shape [spans, 3]: document, and bytes of it that are of an item that was found."""


@compiled
def scan(data: Bytes, offsets: Ints, letters: Letters, index: Index, rules: Rules) -> Found:
    """Look for all items in all documents `data[offsets[d]:offsets[d + 1]]`."""
    room = 0
    for doc in range(len(offsets) - 1):
        room = max(room, offsets[doc + 1] - offsets[doc])
    scratch = np.empty(room * letters.growth + 8, np.uint8)
    room = room // 2 + 2
    words, grams = np.empty(room, np.uint32), np.empty(room, np.int64)
    begins, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    runs = np.empty((64, 4), np.int64)
    values = np.zeros((len(offsets) - 1, 3))
    matches, spans = np.empty((16, 4), np.int64), np.empty((16, 3), np.int64)
    value = np.zeros(3)
    matched, spanned = 0, 0
    for doc in range(len(offsets) - 1):
        start, end = offsets[doc], offsets[doc + 1]
        count = read_words(data, start, end, letters.kind, letters.starts, letters.folded, scratch, words, begins, ends)
        words[count] = END_OF_TEXT
        runs, used = find_runs(words, count, index, rules.stride, rules.misses, rules.common, grams, runs)
        if used == 0:
            continue
        order = by((runs[:used, ITEM] << 32) + runs[:used, AT], np.arange(used))
        first = 0
        while first < used:
            item, stop = runs[order[first], ITEM], first
            while stop < used and runs[order[stop], ITEM] == item:
                stop += 1
            here = order[first:stop]
            first = stop
            places = _judge(words, count, runs, here, index, item, rules, value)
            found = False
            for rule in range(len(value)):
                values[doc, rule] = max(values[doc, rule], value[rule])
                found |= value[rule] > rules.limits[rule]
            if not found:
                continue
            best = longest(runs, here)
            passage = (runs[best, AT], runs[best, AT] + runs[best, LENGTH])
            if value[IDF] > rules.limits[IDF]:
                passage = (places[0], max(places[1], places[3]))
                spans, spanned = _add_span(spans, spanned, doc, start, begins, ends, places[0], places[1])
                spans, spanned = _add_span(spans, spanned, doc, start, begins, ends, places[2], places[3])
            if value[RUN] > rules.limits[RUN] or value[SHARE] > rules.limits[SHARE]:
                shortest = min(float(rules.gram), rules.limits[RUN] + 1)
                for k in here:
                    if runs[k, LENGTH] >= shortest:
                        at = runs[k, AT]
                        spans, spanned = _add_span(spans, spanned, doc, start, begins, ends, at, at + runs[k, LENGTH])
            matches = with_room(matches, matched)
            matches[matched, 0], matches[matched, 1] = doc, item
            matches[matched, 2], matches[matched, 3] = begins[passage[0]] - start, ends[passage[1] - 1] - start
            matched += 1
    return Found(values, matches[:matched], spans[:spanned])


@compiled
def count_documents(data: Bytes, offsets: Ints, letters: Letters, index: Index, counts: Ints) -> None:
    """Add to the count of each 5-gram of the items the documents that have it."""
    room = 0
    for doc in range(len(offsets) - 1):
        room = max(room, offsets[doc + 1] - offsets[doc])
    scratch, words = np.empty(room * letters.growth + 8, np.uint8), np.empty(room // 2 + 2, np.uint32)
    begins, ends = np.empty(len(words), np.int64), np.empty(len(words), np.int64)
    last = np.full(len(counts), -1, np.int64)
    for doc in range(len(offsets) - 1):
        count = read_words(
            data,
            offsets[doc],
            offsets[doc + 1],
            letters.kind,
            letters.starts,
            letters.folded,
            scratch,
            words,
            begins,
            ends,
        )
        for at in range(count - GRAM + 1):
            gram = find(words, at, index.words, index.tags, index.numbers, index.first, index.places)
            if gram >= 0 and last[gram] != doc:
                last[gram] = doc
                counts[gram] += 1


@compiled
def _judge(
    words: Hashes, count: int, runs: Ints, here: Ints, index: Index, item: int, rules: Rules, value: Reals
) -> tuple[int, int, int, int]:
    """Write the values of one item; return the words of its question and its answer in the document."""
    value[:] = 0.0
    begin, middle, end = index.questions[item], index.answers[item], index.ends[item]
    places = (0, 0, 0, 0)
    if index.distinct[item] and end - begin >= rules.shortest:
        found = idf(words, count, runs, here, index, item, rules.misses, rules.low, rules.high)
        value[IDF] = found[0]
        places = (found[1], found[2], found[3], found[4])
    value[RUN] = runs[longest(runs, here), LENGTH]
    value[SHARE] = max(share(runs, here, begin, middle, rules.gram), share(runs, here, middle, end, rules.gram))
    return places


@compiled
def _add_span(
    spans: Ints, used: int, doc: int, start: int, begins: Ints, ends: Ints, first: int, stop: int
) -> tuple[Ints, int]:
    """Add the bytes of the words `first` to `stop`, if there are any."""
    if first == stop:
        return spans, used
    spans = with_room(spans, used)
    spans[used, 0], spans[used, 1], spans[used, 2] = doc, begins[first] - start, ends[stop - 1] - start
    return spans, used + 1
