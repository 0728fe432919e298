"""How many languages a document is written in: the language of each of some of its lines.

A model is much less sure of a line than of a document, so short lines and doubtful answers do not count, and the others
count by their length. The price of looking at a fixed number of lines is that a language in few of them can be missed.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from filters import assets
from filters.base import Filter
from filters.language import PIECE, SOURCE, LanguageModel, label_names, opened
from filters.memory import Memory
from filters.words import buffers


class Mix(NamedTuple):
    """What the lines of each document of a column are written in."""

    lines: NDArray[np.int64]
    languages: NDArray[np.int64]
    main: NDArray[np.int64]
    """The language of most characters, -1 if there is none."""
    share: NDArray[np.float64]
    """Its share of the characters, NaN if there is none."""


class LanguageMix(Filter):
    """Mixed languages: what the lines of a document are written in, by a fastText model. It measures and drops nothing.

    Looked at are up to `max_lines` lines of at least `min_chars` characters, evenly spread over all lines of that
    length. White space at the ends of a line does not count. A line of more than 3,000 characters is judged by a third
    each from its start, middle and end.

    Signals:
        lines: how many lines were looked at.
        label: the language that most of their characters are in; null if there is none.
        main_share: characters of the lines in that language, divided by those of the lines in any; null if there is
            none.
        languages: how many languages there are.
    """

    source: ClassVar[str] = SOURCE
    units: ClassVar[Mapping[str, str]] = {
        "lines": "lines",
        "label": "label",
        "main_share": "share",
        "languages": "count",
    }

    model: LanguageModel = assets.LID176
    """As of `language`."""
    max_lines: int = Field(20, ge=1)
    """How many lines are looked at."""
    min_chars: int = Field(20, ge=1)
    """Shorter lines are not looked at."""
    min_score: float = Field(0.5, ge=0, le=1)
    """A line whose likeliest language is less probable is in none. CCNet (Wenzek et al. 2020) and Dolma (Soldaini et
    al. 2024) ask as much of the language of a document."""

    def identity(self) -> Mapping[str, str]:
        return {"model": assets.sha256(self.model)}

    def signals(self) -> Mapping[str, pl.Expr]:
        key = (self.model, self.max_lines, self.min_chars, self.min_score)

        def label(text: pl.Series) -> pl.Series:
            mix = _memory.recall(text, self._measure, key)
            return label_names(self.model, mix.main).alias(text.name)

        share = _memory.signal(self._measure, lambda mix: mix.share, pl.Float64, key)
        return {
            "lines": _memory.signal(self._measure, lambda mix: mix.lines, pl.Int64, key),
            "label": pl.col("text").map_batches(label, return_dtype=pl.String),
            "main_share": share.fill_nan(None),
            "languages": _memory.signal(self._measure, lambda mix: mix.languages, pl.Int64, key),
        }

    def _measure(self, text: pl.Series) -> Mix:
        from filters.excerpts import excerpts, lines

        model = opened(self.model)
        data, offsets = buffers(text)
        places, chars, bounds = lines(data, offsets, self.min_chars, self.max_lines)
        found, scores = model.predict(data, *excerpts(data, places, PIECE), 1)
        documents, count = len(text), np.diff(bounds)
        sure = (found[:, 0] >= 0) & (scores[:, 0] >= self.min_score)
        document = np.repeat(np.arange(documents), count)[sure]
        # One entry for each language of each document, in the order of documents, then of labels.
        entries, places_in = np.unique(document * len(model.labels) + found[sure, 0], return_inverse=True)
        sizes = np.bincount(places_in, chars[sure], len(entries))
        owner, language = np.divmod(entries, len(model.labels))
        order = np.lexsort((-sizes, owner))  # stable: of equal sizes the label that comes first in the model
        owners, first = np.unique(owner[order], return_index=True)
        main, share = np.full(documents, -1), np.full(documents, np.nan)
        main[owners] = language[order][first]
        share[owners] = sizes[order][first] / np.bincount(owner, sizes, documents)[owners]
        return Mix(count, np.bincount(owner, minlength=documents), main, share)


_memory: Memory[Mix] = Memory()
