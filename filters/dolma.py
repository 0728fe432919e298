"""The rules of Gopher as Dolma reads them: the same thresholds over other statistics."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from filters.base import Range
from filters.gopher import ENGLISH_STOP_WORDS
from filters.memory import Numbers
from filters.spaced import Spaced, SpacedFilter
from filters.words import ratio

_BULLETS = ("*", "-")
_ELLIPSES = ("…",)
_TOP = (2, 3, 4)
_DUPLICATES = range(5, 11)


class DolmaGopher(SpacedFilter):
    """Gopher's quality rules as Dolma tags and mixes them (Soldaini et al. 2024, the tagger `gopher_v1`).

    It differs from `gopher` in that words are what white space parts, with their punctuation; in the median in place
    of the mean; in that symbols count by the word they are in, `#` and `…` together and `...` not at all; in that stop
    words count every time; and in that lines are those between newlines, as they stand, with other marks.

    Signals:
        words: their number.
        median_word_length: in characters; the mean of the middle two where their number is even.
        symbol_words: share of words that have `#` or `…` in them.
        alpha_words: share of words with a letter.
        stop_words: how often the stop words occur, capitals and small letters apart.
        bullet_lines, ellipsis_lines: share of lines that begin with `*` or `-`; that end with `…`.
    """

    source: ClassVar[str] = (
        "Soldaini et al. 2024, Dolma: an Open Corpus of Three Trillion Tokens for Language Model Pretraining Research,"
        " taggers/gopher.py and configs/dolma-v1_5/mixing of its code"
    )
    units: ClassVar[Mapping[str, str]] = {
        "words": "words",
        "median_word_length": "characters",
        "symbol_words": "share",
        "alpha_words": "share",
        "stop_words": "words",
        "bullet_lines": "share",
        "ellipsis_lines": "share",
    }
    defaults: ClassVar[Mapping[str, Range]] = {
        "words": (50, 100_000),
        "median_word_length": (3, 10),
        "symbol_words": (None, 0.1),
        "alpha_words": (0.8, None),
        "stop_words": (2, None),
        "bullet_lines": (None, 0.9),
        "ellipsis_lines": (None, 0.3),
    }

    stop_words: tuple[str, ...] = Field(ENGLISH_STOP_WORDS, min_length=1)

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "words": self.count(lambda batch: batch.counts["words"]),
            "median_word_length": self.number(lambda batch: batch.counts["twice_median"] / 2),
            "symbol_words": self.number(partial(_share_of_words, count="symbol_words")),
            "alpha_words": self.number(partial(_share_of_words, count="alpha_words")),
            "stop_words": self.count(lambda batch: batch.listed(self.stop_words)),
            "bullet_lines": self.number(partial(_share_of_lines, group=0)),
            "ellipsis_lines": self.number(partial(_share_of_lines, group=1)),
        }


class DolmaRepetition(SpacedFilter):
    """Gopher's repetition rules as Dolma tags and mixes them (Soldaini et al. 2024, the tagger `gopher_v1`).

    It differs from `repetition` in that words are what white space parts; in that characters are those of words,
    without the space between; in that of what occurs more than once every copy counts, the first too, and n-grams may
    overlap; and in that there is no rule about paragraphs. The published mixing files allow duplicate lines three
    tenths of the characters where Gopher allows two, and name the top n-grams in a way that the tagger does not, so
    that in Dolma 1.5 those three rules never dropped anything. Here they do: a name that is none is an error.

    Signals:
        duplicate_lines: share of lines, empty ones too, that occur more than once.
        duplicate_line_chars: their characters, white space too, divided by those of all words: it can exceed 1.
        top_2_gram, ..., top_4_gram: characters of the most frequent n-gram times its count, divided by those of all
            words. One occurrence counts too.
        duplicate_5_gram, ..., duplicate_10_gram: characters of all n-grams that occur more than once, divided by those
            of all n-grams.

    A document of fewer than n words has no n-gram, and 0 for it.
    """

    source: ClassVar[str] = DolmaGopher.source
    defaults: ClassVar[Mapping[str, Range]] = {
        "duplicate_lines": (None, 0.3),
        "duplicate_line_chars": (None, 0.3),
        "top_2_gram": (None, 0.2),
        "top_3_gram": (None, 0.18),
        "top_4_gram": (None, 0.16),
        "duplicate_5_gram": (None, 0.15),
        "duplicate_6_gram": (None, 0.14),
        "duplicate_7_gram": (None, 0.13),
        "duplicate_8_gram": (None, 0.12),
        "duplicate_9_gram": (None, 0.11),
        "duplicate_10_gram": (None, 0.1),
    }
    units: ClassVar[Mapping[str, str]] = dict.fromkeys(defaults, "share")

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "duplicate_lines": self.number(_duplicate_lines),
            "duplicate_line_chars": self.number(_duplicate_line_chars),
            **{f"top_{n}_gram": self.number(partial(_top_ngram, n=n)) for n in _TOP},
            **{f"duplicate_{n}_gram": self.number(partial(_duplicate_ngrams, n=n)) for n in _DUPLICATES},
        }


def _share_of_words(batch: Spaced, count: str) -> Numbers:
    return ratio(batch.counts[count], batch.counts["words"])


def _share_of_lines(batch: Spaced, group: int) -> Numbers:
    lines = batch.lines(False, _BULLETS, _ELLIPSES)
    return ratio(lines[:, 1 + group], lines[:, 0])


def _duplicate_lines(batch: Spaced) -> Numbers:
    lines = batch.pieces(1, blank=True)
    return ratio(lines["copies"], lines["pieces"])


def _duplicate_line_chars(batch: Spaced) -> Numbers:
    return batch.pieces(1, blank=True)["copies_chars"] / np.maximum(batch.counts["word_chars"], 1)


def _top_ngram(batch: Spaced, n: int) -> Numbers:
    return ratio(batch.ngrams[f"top_{n}_gram_chars"], batch.counts["word_chars"])


def _duplicate_ngrams(batch: Spaced, n: int) -> Numbers:
    return ratio(batch.ngrams[f"copies_{n}_gram_chars"], batch.ngrams[f"all_{n}_gram_chars"])
