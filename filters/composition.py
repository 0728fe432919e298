"""What the characters of a text are: letters, digits, punctuation, symbols, white space; and runs of one character."""

import unicodedata
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.base import Filter
from filters.memory import Memory, Numbers
from filters.words import buffers, ratio

LETTERS = ("capitals", "small_letters", "uncased_letters")
NUMBERS = ("digits", "numerals")


class Composition:
    """Documents of one column as a UTF-8 buffer, with their characters counted by kind; a null is empty."""

    def __init__(self, text: pl.Series) -> None:
        self.data, self.offsets = buffers(text)

    @cached_property
    def counts(self) -> Mapping[str, NDArray[np.int64]]:
        """Characters of each document by kind, and what else `filters.composition_kernels.COUNTS` names."""
        from filters.composition_kernels import COUNTS, count, kinds

        return dict(zip(COUNTS, count(self.data, self.offsets, kinds()).T, strict=True))

    def of(self, *kinds: str) -> NDArray[np.int64]:
        """Number of characters of these kinds in each document; of all without any."""
        from filters.composition_kernels import KINDS

        total: NDArray[np.int64] = np.sum([self.counts[kind] for kind in kinds or KINDS], axis=0, dtype=np.int64)
        return total

    def share(self, *kinds: str) -> NDArray[np.float64]:
        """Their share of all characters; 0 in an empty document."""
        return ratio(self.of(*kinds), self.of())


class Characters(Filter):
    """Shares of kinds of characters, by Unicode's general categories. Nothing is judged by default: which share is too
    large depends on language and source. Peers' limits, over their own characters, are in brackets.

    Signals:
        chars: their number; all shares are of it, and are 0 in an empty text.
        letters: categories L and M, so that vowel signs count [NeMo Curator: at most .25 neither letters nor digits].
        capitals: Lu and Lt, as a share of all letters; 0 without letters [DCLM: at most .5 of a line].
        digits: all numbers, category N [NeMo Curator: at most .15].
        punctuation, symbols: categories P and S.
        white_space: as `str.isspace` has it, line ends with it [NeMo Curator: at most .25].
        other: controls, invisible characters, and code points without a meaning.
        non_ascii: everything beyond ASCII.
        longest_run: most times that one character stands in a row.
    """

    source: ClassVar[str] = (
        "Unicode Standard Annex 44, general categories; limits of peers: NeMo Curator, heuristic filters for English; "
        "Li et al. 2024, DataComp-LM, RefinedWeb reproduction"
    )
    units: ClassVar[Mapping[str, str]] = {
        "chars": "characters",
        "letters": "share",
        "capitals": "share of letters",
        "digits": "share",
        "punctuation": "share",
        "symbols": "share",
        "white_space": "share",
        "other": "share",
        "non_ascii": "share",
        "longest_run": "characters",
    }

    def identity(self) -> Mapping[str, str]:
        return {"unicode": unicodedata.unidata_version}  # it comes with Python

    def signals(self) -> Mapping[str, pl.Expr]:
        return {
            "chars": _signal(lambda text: text.of(), pl.Int64),
            "letters": _share(*LETTERS, "marks"),
            "capitals": _signal(lambda text: ratio(text.counts["capitals"], text.of(*LETTERS)), pl.Float64),
            "digits": _share(*NUMBERS),
            "punctuation": _share("punctuation"),
            "symbols": _share("symbols"),
            "white_space": _share("white_space"),
            "other": _share("other"),
            "non_ascii": _share("non_ascii"),
            "longest_run": _signal(lambda text: text.counts["longest_run"], pl.Int64),
        }


_memory: Memory[Composition] = Memory()


def _signal(compute: Callable[[Composition], Numbers], dtype: type[pl.DataType]) -> pl.Expr:
    return _memory.signal(Composition, compute, dtype)


def _share(*kinds: str) -> pl.Expr:
    return _signal(lambda text: text.share(*kinds), pl.Float64)
