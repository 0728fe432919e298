"""Runs of sentences that occur before, anywhere in the corpus, as C4 removes them."""

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from filters.characters import BREAK, PUNCT, SIZE, TERMINAL
from filters.compiled import compiled
from filters.hashing import I64, SEED, U64, Bytes, Hashes, Ints
from filters.tokens import Kinds, Points, decode
from pipeline.dedup.alphabet import Alphabet, alphabet
from pipeline.dedup.spans.cuts import unite
from pipeline.dedup.spans.rows import Rows, rows_of
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.words import join, span_hash


class Sentences(SpanStep):
    """Cut out runs of three sentences that occur before in any document of any source.

    Sentences are those that the filter `c4` counts: they end with a mark such as `.`, `?`, `!` or `。` that is a token
    of its own, or with their line. They are compared by their words: small letters without accents and punctuation,
    every number a 0. A document of fewer sentences has no such run, and `exact` finds its copies.
    """

    source: ClassVar[str] = (
        "Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, "
        "section 2.2; bounds on what is left from datatrove's sentence deduplication"
    )

    sentences: Annotated[int, Field(ge=1, le=1000)] = 3
    """In a run."""
    min_words: Annotated[int, Field(ge=1)] = 1
    """Runs of fewer words are left alone."""
    min_words_left: Annotated[int, Field(ge=1)] = 50
    """A document that a cut leaves with fewer words is dropped; what nothing is cut from stays, however short."""
    min_sentences_left: Annotated[int, Field(ge=0)] = 3
    """The same for sentences."""

    def spans(self, text: pl.Series, ordinals: Rows) -> Rows:
        data, offsets, docs, starts, ends = sentences(text)
        return rows_of(ordinals, *runs(data, offsets, alphabet(), docs, starts, ends, self.sentences, self.min_words))

    def stretches(self, data: Bytes, offsets: Ints, docs: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
        return unite(docs, starts, ends)

    def enough(self, text: pl.Series) -> NDArray[np.bool_]:
        from filters.words import Batch

        return super().enough(text) & (Batch(text).counts["sentences"] >= self.min_sentences_left)


def sentences(text: pl.Series) -> tuple[Bytes, Ints, Ints, Ints, Ints]:
    """The bytes of documents, their offsets, and document, start and end of each sentence, in bytes of its document."""
    from filters import characters
    from filters.words import Batch

    batch = Batch(text)
    total = int(batch.counts["sentences"].sum())
    found = bounds(batch.data, batch.offsets, characters.table(), batch.starts, batch.lengths, batch.bounds, total)
    return batch.data, batch.offsets, *found


@compiled
def bounds(
    data: Bytes, offsets: Ints, table: Kinds, starts: Points, lengths: Points, tokens: Ints, total: int
) -> tuple[Ints, Ints, Ints]:
    """Find the sentences that the tokeniser counts: document, first byte and end of each.

    A sentence begins with the first token after a line break, and with one that is not all punctuation after a mark
    that ends sentences and is a token of its own.

    Args:
        starts, lengths, tokens: of the tokens of each document, in characters, as `filters.tokens.tokenise` gives them.
        total: the number of sentences.
    """
    docs, begins, ends = np.empty(total, I64), np.empty(total, I64), np.empty(total, I64)
    found = 0
    for document in range(len(offsets) - 1):
        base = offsets[document]
        at, character, last = base, 0, base
        fresh, stopped = True, False
        for token in range(tokens[document], tokens[document + 1]):
            while character < I64(starts[token]):
                point, width = decode(data, at)
                fresh |= point < SIZE and table[point] & BREAK != 0
                at += width
                character += 1
            first, size = at, I64(lengths[token])
            terminal, mark = False, True
            while character < I64(starts[token]) + size:
                point, width = decode(data, at)
                kind = I64(table[point]) if point < SIZE else 0
                terminal = size == 1 and kind & TERMINAL != 0
                mark = mark and kind & PUNCT != 0
                at += width
                character += 1
            if fresh or (stopped and not terminal and not mark):
                if found and docs[found - 1] == document:
                    ends[found - 1] = last - base
                docs[found], begins[found] = document, first - base
                found += 1
                fresh = stopped = False
            stopped |= terminal
            last = at
        if found and docs[found - 1] == document:
            ends[found - 1] = last - base
    return docs, begins, ends


@compiled
def runs(
    data: Bytes, offsets: Ints, letters: Alphabet, docs: Ints, starts: Ints, ends: Ints, size: int, min_words: int
) -> tuple[Ints, Ints, Ints, Hashes]:
    """Find runs of `size` sentences: document, start, end, and a key of the words of each sentence."""
    values, words = np.empty(len(docs), U64), np.zeros(len(docs) + 1, I64)
    for i in range(len(docs)):
        base = offsets[docs[i]]
        values[i], count = span_hash(data, base + starts[i], base + ends[i], letters)
        words[i + 1] = words[i] + count
    first, keys = np.empty(len(docs), I64), np.empty(len(docs), U64)
    found = 0
    for i in range(len(docs) - size + 1):
        if docs[i] != docs[i + size - 1] or words[i + size] - words[i] < min_words:
            continue
        key = SEED
        for k in range(i, i + size):
            key = join(key, values[k])
        first[found], keys[found] = i, key
        found += 1
    first = first[:found]
    return docs[first], starts[first], ends[first + size - 1], keys[:found]
