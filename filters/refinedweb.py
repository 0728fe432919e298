"""The line rules of RefinedWeb: lines that are buttons, counters or shouting, taken out or held against the page.

The filter and the transform are one piece of code: the filter tells which share of a page's words the transform would
take, and belongs before it.
"""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from filters.base import Filter, Range, Step, Transform
from filters.words import buffers, ratio, strings

Phrase = Annotated[str, StringConstraints(min_length=1)]

_REASONS = ("uppercase", "numeric", "counter", "few_words", "phrase")


class LineRules(Step):
    """What both steps ask of a line, with DCLM's values. Capitals of ASCII count as small letters in phrases."""

    source: ClassVar[str] = (
        "Penedo et al. 2023, The RefinedWeb Dataset for Falcon LLM, appendix G.2; values of Li et al. 2024,"
        " DataComp-LM, dclm_baseline_refinedweb.yaml of its code"
    )

    max_uppercase: float = Field(0.5, ge=0, le=1)
    """Share of a line's characters, white space among them, that may be capitals."""
    max_numeric: float = Field(0.999999, ge=0, le=1)
    """Share of them that may be digits."""
    min_words: int = Field(2, ge=0)
    counters: tuple[Phrase, ...] = (
        *("likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes"),
        *("downloads", "views", "followers"),
    )
    """What a line may be a number of, and nothing else."""
    short_line: int = Field(10, ge=0)
    """Words up to which a line loses the phrases that follow."""
    phrases: tuple[Phrase, ...] = ("items in cart",)
    """Taken out wherever they stand in a short line."""
    endings: tuple[Phrase, ...] = ("Read more...",)
    """Taken off its end. The dots are dots: in DCLM's pattern any three characters do."""
    beginnings: tuple[Phrase, ...] = ("Sign-in",)
    """Taken off its beginning."""

    def identity(self) -> Mapping[str, str]:
        # Which characters are capitals and digits comes with Python.
        return {"unicode": unicodedata.unidata_version}

    def _clean(self, text: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Return the texts without those lines, as data and offsets, and what `refinedweb_kernels.COUNTS` names."""
        from filters import characters, refinedweb_kernels
        from filters.character_classes import classes

        data, offsets = buffers(text)
        placed = (self.phrases, self.endings, self.beginnings)
        places = np.array([place for place, phrases in enumerate(placed) for _ in phrases], np.int64)
        cleaned: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]] = refinedweb_kernels.clean(
            data,
            offsets,
            classes(),
            characters.table(),
            self.max_uppercase,
            self.max_numeric,
            self.min_words,
            self.short_line,
            *_small(self.counters),
            *_small(sum(placed, ())),
            places,
        )
        return cleaned


def _small(phrases: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    small = [phrase.encode().lower() for phrase in phrases]  # of bytes: only ASCII has its capitals folded
    return np.frombuffer(b"".join(small), np.uint8), np.cumsum([0, *map(len, small)], dtype=np.int64)


class RefinedWeb(LineRules, Filter):
    """RefinedWeb's verdict on pages of which `refinedweb_lines` would take too much (Penedo et al. 2023, appendix G.2).

    It stands before that step: afterwards there is nothing left to measure.

    Signals:
        removed_words: share of the words of the page in lines and phrases that it would take, as in DCLM's code. The
            paper speaks of all words of flagged lines, and leaves open whether those that only lose a phrase are
            among them. A word is what white space parts and begins with a letter or a number.
    """

    units: ClassVar[Mapping[str, str]] = {"removed_words": "share"}
    defaults: ClassVar[Mapping[str, Range]] = {"removed_words": (None, 0.05)}

    def signals(self) -> Mapping[str, pl.Expr]:
        return {"removed_words": pl.col("text").map_batches(self._removed_words, return_dtype=pl.Float64)}

    def _removed_words(self, text: pl.Series) -> pl.Series:
        from filters.refinedweb_kernels import COUNTS

        counts = self._clean(text)[2]
        words = counts[:, COUNTS.index("words")]
        column = pl.Series(text.name, ratio(words - counts[:, COUNTS.index("words_left")], words))
        return column.set(text.is_null(), None) if text.null_count() else column


class RefinedWebLines(LineRules, Transform):
    """Removal of lines that are no text (Penedo et al. 2023, appendix G.2, with the values and lists of DCLM's code).

    Lines are those between newlines, and words what white space parts. A line is removed for the first of these: more
    than half of it in capitals; nothing but digits; a number and what it counts, such as `3 likes`; one word. A short
    line loses "items in cart" anywhere, "Read more..." at its end and "Sign-in" at its beginning, and is removed if
    nothing else was on it. Blank lines stay. A document that lost something is stripped at both ends.

    Signals: lines_removed, and of these uppercase, numeric, counter, few_words and phrase; lines_edited, which lost a
    phrase and stayed.
    """

    units: ClassVar[Mapping[str, str]] = dict.fromkeys(("lines_removed", *_REASONS, "lines_edited"), "lines")

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        kept, bounds, counts = self._clean(docs["text"])
        removed = counts[:, : len(_REASONS)]
        values = (removed.sum(axis=1), *removed.T, counts[:, len(_REASONS)])
        signals = pl.DataFrame({f"{name}.{signal}": column for signal, column in zip(self.units, values, strict=True)})
        missing = docs["text"].is_null()
        if missing.any():
            signals = signals.with_columns(pl.when(~missing).then(pl.all()))
        return docs.with_columns(strings(kept, bounds, missing), *signals.get_columns())
