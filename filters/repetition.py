"""The repetition rules of Gopher: lines, paragraphs and n-grams that occur more than once."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import polars as pl

from filters.base import Range
from filters.words import Batch, Numbers, WordFilter, ratio

_NGRAMS = ("top_2_gram", "top_3_gram", "top_4_gram", *(f"duplicate_{n}_gram" for n in range(5, 11)))


class Repetition(WordFilter):
    """Repetition rules of MassiveText (Rae et al. 2021, "Scaling Language Models", appendix A.1.1, table A1).

    Signals:
        duplicate_paragraphs, duplicate_paragraph_chars: share of paragraphs that occurred before in the document, and
            of the document's characters in them. Blank lines part paragraphs.
        duplicate_lines, duplicate_line_chars: the same of lines.
        top_2_gram, ..., top_4_gram: share of the document's characters in its most frequent n-gram, with the spaces
            inside it. One occurrence counts too, so very short documents have high values.
        duplicate_5_gram, ..., duplicate_10_gram: share of characters in n-grams that occurred before, none counted over
            another that was counted.

    A document of fewer than n tokens has no n-gram, and 0 for it.
    """

    source: ClassVar[str] = (
        "Rae et al. 2021, Scaling Language Models: Methods, Analysis and Insights from Training Gopher, "
        "appendix A.1.1, table A1"
    )
    units: ClassVar[Mapping[str, str]] = {
        "duplicate_paragraphs": "share of paragraphs",
        "duplicate_paragraph_chars": "share of characters",
        "duplicate_lines": "share of lines",
        "duplicate_line_chars": "share of characters",
        **dict.fromkeys(_NGRAMS, "share of characters"),
    }
    defaults: ClassVar[Mapping[str, Range]] = {
        "duplicate_paragraphs": (None, 0.3),
        "duplicate_paragraph_chars": (None, 0.2),
        "duplicate_lines": (None, 0.3),
        "duplicate_line_chars": (None, 0.2),
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

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "duplicate_paragraphs": self.number(partial(_share, part="duplicate_paragraphs", whole="paragraphs")),
            "duplicate_paragraph_chars": self.number(partial(_char_share, part="duplicate_paragraph_chars")),
            "duplicate_lines": self.number(partial(_share, part="duplicate_runs", whole="runs")),
            "duplicate_line_chars": self.number(partial(_char_share, part="duplicate_chars")),
            **{name: self.number(partial(_ngram_share, column=column)) for column, name in enumerate(_NGRAMS)},
        }


def _share(batch: Batch, part: str, whole: str) -> Numbers:
    return ratio(batch.lines()[part], batch.lines()[whole])


def _char_share(batch: Batch, part: str) -> Numbers:
    return ratio(batch.lines()[part], batch.counts["chars"])


def _ngram_share(batch: Batch, column: int) -> Numbers:
    return ratio(batch.repeated[:, column], batch.counts["chars"])
