"""Runs of 50 words and more that occur before, anywhere in the corpus: exact substrings without a suffix array.

Of each window of hashes of n-grams the least is selected (winnowing), so that two equal runs of `tokens` words have
the same n-gram selected at the same place. A first round sends these n-grams around, about one in thirteen words. A
second one takes only the runs whose n-gram occurs twice, names each by a hash of all its words, and cuts those that
occur before: what a suffix array would find, in memory that goes with the budget and not with the corpus. The price is
that texts which share n-grams are read once more.
"""

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from filters.compiled import compiled
from filters.hashing import I64, STEP, U64, Bytes, Hashes, Ints, finish, kernel
from filters.words import buffers
from pipeline.dedup.alphabet import Alphabet, alphabet
from pipeline.dedup.spans.cuts import unite, unite_near, with_marks
from pipeline.dedup.spans.rows import ORDINAL, SPAN, Rows, bytes_of, rows_of
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.words import most_words, words_of

_FACTOR = U64(0x9E3779B97F4A7C15)


class Substrings(SpanStep):
    """Cut out runs of 50 words, or longer ones, that occur before in any document of any source.

    Words are small letters without accents and punctuation, every number a 0, and each letter of a script without
    spaces; marks that hang on the first and the last word of a cut go with it. One copy stays, the first one in the
    order of the sources and their files. Of what repeats itself without a pause, such as one word a million times, the
    first period stays.
    """

    source: ClassVar[str] = (
        "Lee et al. 2022, Deduplicating Training Data Makes Language Models Better, section 4.1; "
        "Schleimer, Wilkerson and Aiken 2003, Winnowing, for the selection"
    )

    rounds: ClassVar[int] = 2

    tokens: Annotated[int, Field(ge=2, le=500)] = 50
    """Words of the shortest run that is cut. Lee et al. count tokens of a language model, which are shorter."""
    merge: Annotated[int, Field(ge=0)] = 0
    """Up to so many words between two cuts are cut too; 0 cuts nothing that is no copy."""

    @property
    def gram(self) -> int:
        """Words of the n-grams of the first round."""
        return max(1, self.tokens // 2)

    def spans(self, text: pl.Series, ordinals: Rows) -> Rows:
        """The selected n-grams."""
        data, offsets = buffers(text)
        return rows_of(ordinals, *selected(data, offsets, alphabet(), self.tokens, self.gram))

    def windows(self, text: pl.Series, ordinals: Rows, repeated: Rows) -> Rows:
        """The runs of `tokens` words of which a selected n-gram is among the repeated ones, sorted by document."""
        data, offsets = buffers(text)
        known = np.ascontiguousarray(repeated[:, ORDINAL])
        bounds = np.searchsorted(known, ordinals), np.searchsorted(known, ordinals, "right")
        starts, _ = bytes_of(repeated)
        return rows_of(ordinals, *windows(data, offsets, alphabet(), self.tokens, self.gram, *bounds, starts))

    def warm_up(self) -> None:
        super().warm_up()
        none = pl.Series([], dtype=pl.String)
        self.windows(none, np.empty(0, np.uint64), np.empty((0, SPAN), np.uint64))

    def stretches(self, data: Bytes, offsets: Ints, docs: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
        from filters import characters

        docs, starts, ends = unite(docs, starts, ends)
        if self.merge:
            docs, starts, ends = unite_near(data, offsets, alphabet(), docs, starts, ends, self.merge)
        return with_marks(data, offsets, alphabet(), characters.table(), docs, starts, ends)


@kernel
def roll(hashes: Hashes, count: int, size: int, out: Hashes) -> int:
    """Hash each run of `size` words by a rolling polynomial modulo 2^64; return the number of runs."""
    leading = U64(1)
    for _ in range(size):
        leading *= _FACTOR
    state = U64(0)
    for k in range(count):
        state = state * _FACTOR + hashes[k]
        if k >= size:
            state -= leading * hashes[k - size]
        if k >= size - 1:
            out[k - size + 1] = finish(finish(state))
    return max(0, count - size + 1)


@kernel
def _least(grams: Hashes, first: int, width: int, before: int) -> int:
    """Where the least of `grams[first:first + width]` is, the last of equals; `before` is that of the window before."""
    if before >= first:
        last = first + width - 1
        return last if grams[last] <= grams[before] else before
    best = first
    for k in range(first + 1, first + width):
        if grams[k] <= grams[best]:
            best = k
    return best


@compiled
def selected(data: Bytes, offsets: Ints, letters: Alphabet, tokens: int, gram: int) -> tuple[Ints, Ints, Ints, Hashes]:
    """Find the n-grams of `gram` words that are selected of some run of `tokens` words: document, start, end, key.

    The choice depends on nothing but the run itself: the least hash, and the last of equal ones.
    """
    most = most_words(offsets)
    hashes, begins, ends, grams = np.empty(most, U64), np.empty(most, I64), np.empty(most, I64), np.empty(most, U64)
    room = max(1024, (offsets[-1] - offsets[0]) // 16)
    docs, firsts, lasts, keys = np.empty(room, I64), np.empty(room, I64), np.empty(room, I64), np.empty(room, U64)
    width = tokens - gram + 1
    found = 0
    for document in range(len(offsets) - 1):
        base = offsets[document]
        count = words_of(data, base, offsets[document + 1], letters, hashes, begins, ends)
        total = roll(hashes, count, gram, grams)
        best = -1
        for first in range(total - width + 1):
            place = _least(grams, first, width, best)
            if place != best:
                if found == room:
                    room *= 2
                    docs, firsts, lasts = _longer(docs, room), _longer(firsts, room), _longer(lasts, room)
                    grown = np.empty(room, U64)
                    grown[:found] = keys
                    keys = grown
                # the least of many hashes is small; keys have to be anywhere, since ranges and tables are cut by size
                docs[found], keys[found] = document, finish(grams[place] * STEP)
                firsts[found], lasts[found] = begins[place] - base, ends[place + gram - 1] - base
                found += 1
            best = place
    return docs[:found], firsts[:found], lasts[:found], keys[:found]


@compiled
def _longer(values: Ints, size: int) -> Ints:
    grown = np.empty(size, I64)
    grown[: len(values)] = values
    return grown


@compiled
def windows(
    data: Bytes, offsets: Ints, letters: Alphabet, tokens: int, gram: int, firsts: Ints, stops: Ints, places: Ints
) -> tuple[Ints, Ints, Ints, Hashes]:
    """Find the runs of `tokens` words whose selected n-gram is given: document, start, end, key.

    Args:
        firsts, stops, places: document d has n-grams at its bytes `places[firsts[d]:stops[d]]`, in order.
    """
    width = tokens - gram + 1
    most = most_words(offsets)
    hashes, begins, ends, grams = np.empty(most, U64), np.empty(most, I64), np.empty(most, I64), np.empty(most, U64)
    room = 0
    for document in range(len(offsets) - 1):
        room += min((stops[document] - firsts[document]) * width, (offsets[document + 1] - offsets[document]) // 2 + 1)
    docs, lefts, rights, keys = np.empty(room, I64), np.empty(room, I64), np.empty(room, I64), np.empty(room, U64)
    found = 0
    for document in range(len(offsets) - 1):
        known, stop = firsts[document], stops[document]
        if known == stop:
            continue
        base = offsets[document]
        count = words_of(data, base, offsets[document + 1], letters, hashes, begins, ends)
        total = roll(hashes, count, gram, grams)
        best, before = -1, found
        for first in range(total - width + 1):
            best = _least(grams, first, width, best)
            while known < stop and places[known] < begins[best] - base:
                known += 1
            if known < stop and places[known] == begins[best] - base:
                lefts[found], rights[found] = begins[first] - base, ends[first + tokens - 1] - base
                docs[found] = document
                keys[found] = U64(first)
                found += 1
        if found > before:
            roll(hashes, count, tokens, grams)
            for k in range(before, found):
                keys[k] = grams[I64(keys[k])]
    return docs[:found], lefts[:found], rights[:found], keys[:found]
