"""The quality rules of Gopher as DCLM reads them, in its reproduction of RefinedWeb."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.base import Range
from filters.gopher import ENGLISH_STOP_WORDS
from filters.memory import Numbers
from filters.spaced import Spaced, SpacedFilter
from filters.words import ratio

_BULLETS = ("●", "•", "*", "-")
_ELLIPSES = ("...", ". . .", "…")


class DclmGopher(SpacedFilter):
    """Gopher's quality rules as DCLM-Baseline runs them (Li et al. 2024, `dclm_baseline_refinedweb.yaml` of its code).

    It differs from `gopher` in that words are what white space parts; in that there is one rule about symbols, which
    knows `. . .` too; in that stop words count every time, whatever their capitals; in that lines are those between
    newlines that are not blank; and in what marks them. As there, what begins with no letter or number is no word for
    the length of the document, and is one for all shares; white space of every kind parts words here.

    Signals:
        words: what white space parts and begins with a letter or a number.
        mean_word_length: of everything that white space parts, in characters.
        symbol_ratio: `#`, `...`, `. . .` and `…` together, divided by the number of words.
        bullet_lines, ellipsis_lines: share of lines that begin with `●`, `•`, `*` or `-`; that end with `...`, `. . .`
            or `…`.
        alpha_words: share of words with a letter.
        stop_words: how often the stop words occur; capitals of ASCII count as small letters.
    """

    source: ClassVar[str] = (
        "Li et al. 2024, DataComp-LM: In Search of the Next Generation of Training Sets for Language Models,"
        " dclm_baseline_refinedweb.yaml of its code"
    )
    units: ClassVar[Mapping[str, str]] = {
        "words": "words",
        "mean_word_length": "characters",
        "symbol_ratio": "ratio",
        "bullet_lines": "share",
        "ellipsis_lines": "share",
        "alpha_words": "share",
        "stop_words": "words",
    }
    defaults: ClassVar[Mapping[str, Range]] = {
        "words": (50, 100_000),
        "mean_word_length": (3, 10),
        "symbol_ratio": (None, 0.1),
        "bullet_lines": (None, 0.9),
        "ellipsis_lines": (None, 0.3),
        "alpha_words": (0.8, None),
        "stop_words": (2, None),
    }

    stop_words: tuple[str, ...] = Field(ENGLISH_STOP_WORDS, min_length=1)

    def signals(self) -> Mapping[str, pl.Expr]:
        text = pl.col("text").str
        symbols = text.count_matches(r"#|\.\.\.|…") + text.count_matches(". . .", literal=True)
        words = self.count(lambda batch: batch.counts["words"])
        return {
            "words": self.count(lambda batch: batch.counts["spoken_words"]),
            "mean_word_length": self.number(_mean_word_length),
            "symbol_ratio": symbols.cast(pl.Float64) / words.clip(lower_bound=1),
            "bullet_lines": self.number(_bullet_lines),
            "ellipsis_lines": self.number(_ellipsis_lines),
            "alpha_words": self.number(_alpha_words),
            "stop_words": self.count(lambda batch: batch.listed(self.stop_words, fold=True)),
        }


def _mean_word_length(batch: Spaced) -> Numbers:
    return ratio(batch.counts["word_chars"], batch.counts["words"])


def _bullet_lines(batch: Spaced) -> Numbers:
    lines = batch.lines(True, _BULLETS, _ELLIPSES)
    return ratio(lines[:, 1], lines[:, 0])


def _ellipsis_lines(batch: Spaced) -> Numbers:
    lines = batch.lines(True, _BULLETS, _ELLIPSES)
    return ratio(lines[:, 2], lines[:, 0])


def _alpha_words(batch: Spaced) -> Numbers:
    return ratio(batch.counts["alpha_words"], batch.counts["words"])
