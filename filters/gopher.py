"""The quality rules of Gopher: length, symbols, bullet points, stop words."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from filters.base import Range
from filters.words import Batch, Numbers, WordFilter, ratio

_Words = Annotated[tuple[Annotated[str, Field(pattern=r"\S")], ...], Field(min_length=1)]
StopWords = _Words | Annotated[Mapping[str, _Words], Field(min_length=1)]

ENGLISH_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


class Gopher(WordFilter):
    """Quality rules of MassiveText (Rae et al. 2021, "Scaling Language Models", appendix A.1.1).

    Signals:
        words: tokens that are not only punctuation.
        mean_word_length: their mean length, in characters.
        hash_ratio, ellipsis_ratio: `#` and `...` or `…`, each divided by the number of tokens.
        bullet_lines, ellipsis_lines: share of lines that begin with `•` or `-`; that end with an ellipsis.
        alpha_words: share of tokens with a letter. Punctuation marks are tokens, as in datatrove's form of the rule.
        stop_words: how many of the stop words occur, capitals and small letters apart.
    """

    source: ClassVar[str] = (
        "Rae et al. 2021, Scaling Language Models: Methods, Analysis and Insights from Training Gopher, appendix A.1.1"
    )
    units: ClassVar[Mapping[str, str]] = {
        "words": "words",
        "mean_word_length": "characters",
        "hash_ratio": "per token",
        "ellipsis_ratio": "per token",
        "bullet_lines": "share of lines",
        "ellipsis_lines": "share of lines",
        "alpha_words": "share of tokens",
        "stop_words": "different words",
    }

    stop_words: StopWords = ENGLISH_STOP_WORDS
    """A list of words, or a list for each language; documents of other languages then have no such signal. A word of
    several tokens, such as `don't` or a word of a script without spaces, stands where they do in a row."""

    defaults: ClassVar[Mapping[str, Range]] = {
        "words": (50, 100_000),
        "mean_word_length": (3, 10),
        "hash_ratio": (None, 0.1),
        "ellipsis_ratio": (None, 0.1),
        "bullet_lines": (None, 0.9),
        "ellipsis_lines": (None, 0.3),
        "alpha_words": (0.8, None),
        "stop_words": (2, None),
    }

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "words": self.count(_words),
            "mean_word_length": self.number(_mean_word_length),
            "hash_ratio": self.number(_hash_ratio),
            "ellipsis_ratio": self.number(_ellipsis_ratio),
            "bullet_lines": self.number(_bullet_lines),
            "ellipsis_lines": self.number(_ellipsis_lines),
            "alpha_words": self.number(_alpha_words),
            "stop_words": self.listed(self.stop_words),
        }


def _words(batch: Batch) -> Numbers:
    return batch.counts["words"]


def _mean_word_length(batch: Batch) -> Numbers:
    return ratio(batch.counts["word_chars"], batch.counts["words"])


def _hash_ratio(batch: Batch) -> Numbers:
    return ratio(batch.lines()["hashes"], batch.counts["tokens"])


def _ellipsis_ratio(batch: Batch) -> Numbers:
    return ratio(batch.lines()["ellipses"], batch.counts["tokens"])


def _bullet_lines(batch: Batch) -> Numbers:
    return ratio(batch.lines()["bullet_lines"], batch.lines()["lines"])


def _ellipsis_lines(batch: Batch) -> Numbers:
    return ratio(batch.lines()["ellipsis_lines"], batch.lines()["lines"])


def _alpha_words(batch: Batch) -> Numbers:
    return ratio(batch.counts["alpha_words"], batch.counts["tokens"])
