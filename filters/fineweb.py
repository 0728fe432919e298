"""The quality rules that FineWeb added: ends of lines, short lines, repeated lines, lists."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from filters.base import Range
from filters.words import Batch, Numbers, WordFilter, ratio


class FineWeb(WordFilter):
    """Quality rules of FineWeb (Penedo et al. 2024, "The FineWeb Datasets", section 3.6).

    Signals, all of lines that are not blank:
        line_punct: share of lines that end with a mark that ends sentences; 0 if there is no line.
        short_lines: share of lines of up to `short_line_length` characters.
        char_duplicates: characters in lines that occurred before, divided by all characters but newlines.
        new_line_ratio: newlines divided by tokens, which are words and punctuation marks.
    """

    source: ClassVar[str] = (
        "Penedo et al. 2024, The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale, section 3.6"
    )
    units: ClassVar[Mapping[str, str]] = {
        "line_punct": "share of lines",
        "short_lines": "share of lines",
        "char_duplicates": "share of characters",
        "new_line_ratio": "per token",
    }

    short_line_length: int = Field(30, ge=0)
    exclude_zero: bool = False
    """Leave `line_punct` null where no line at all ends so: in some languages the marks are not in use."""

    defaults: ClassVar[Mapping[str, Range]] = {
        "line_punct": (0.12, None),
        "short_lines": (None, 0.67),
        "char_duplicates": (None, 0.01),
        "new_line_ratio": (None, 0.3),
    }

    def signals(self) -> Mapping[str, pl.Expr]:
        line_punct = self.number(self._line_punct)
        return {
            "line_punct": line_punct.replace(0.0, None) if self.exclude_zero else line_punct,
            "short_lines": self.number(self._short_lines),
            "char_duplicates": self.number(self._char_duplicates),
            "new_line_ratio": self.number(self._new_line_ratio),
        }

    def _lines(self, batch: Batch) -> Mapping[str, Numbers]:
        return batch.lines(self.short_line_length)

    def _line_punct(self, batch: Batch) -> Numbers:
        lines = self._lines(batch)
        return ratio(lines["terminal_lines"], lines["full_lines"])

    def _short_lines(self, batch: Batch) -> Numbers:
        lines = self._lines(batch)
        return ratio(lines["short_lines"], lines["full_lines"])

    def _char_duplicates(self, batch: Batch) -> Numbers:
        lines = self._lines(batch)
        repeated = lines["duplicate_chars"] - lines["blank_duplicate_chars"]
        return ratio(np.asarray(repeated, np.int64), batch.counts["chars"] - lines["newlines"])

    def _new_line_ratio(self, batch: Batch) -> Numbers:
        return ratio(self._lines(batch)["newlines"], batch.counts["tokens"])
