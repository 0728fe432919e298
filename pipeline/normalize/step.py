"""The step that gives text one form. What a text needs is found in one look, and only that is done to it."""

from collections.abc import Mapping
from importlib import metadata
from operator import ne
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.base import Transform
from filters.hashing import U8
from filters.words import buffers, strings
from pipeline.normalize import characters, kernels, mojibake

Needs = NDArray[np.uint8]
_CHANGES = kernels.CLEAN | kernels.COMPOSE | kernels.REPAIR
_WRITTEN = kernels.CLEAN | kernels.COMPOSE
_NEIGHBOURS = kernels.COMPOSE | kernels.RECHECK
_ROUNDS = 4
"""So often may what one repair leaves make another one possible."""


class Normalize(Transform):
    """Wrong encodings repaired, Unicode NFC, one kind of line end; nothing invisible, no superfluous blank space.

    Wrong encodings (UTF-8 read as Windows-1252 and the like, once or several times, and controls that stand for
    characters of Windows-1252) are repaired line by line as ftfy does; nothing else that ftfy can change is. Blanks go
    at the ends of lines, and empty lines where two others stand before them, at the beginning and at the end;
    indentation stays. So do Markdown's breaks of lines, as line feeds, without the two blanks that mark them.

    Signals:
        changed: whether the text did.
        removed: by how many characters it became shorter.
        repaired: lines in which something was in a wrong encoding.
        composed: lines that were not in normalization form C.
        line_ends: those replaced by line feeds.
        invisible: characters removed, such as controls, soft hyphens and zero-width spaces.
        blanks: characters of blank space removed, line feeds among them.
        ligatures: those replaced by their letters, such as `ﬁ`.
    """

    source: ClassVar[str] = "Speer 2019, ftfy (fixes text for you); Unicode Standard Annex 15, normalization form C"
    units: ClassVar[Mapping[str, str]] = {
        "changed": "0 or 1",
        "removed": "characters",
        "repaired": "lines",
        "composed": "lines",
        "line_ends": "count",
        "invisible": "characters",
        "blanks": "characters",
        "ligatures": "characters",
    }
    version: ClassVar[int] = 2

    mojibake: bool = True
    """Repair text that was read in a wrong encoding. What cannot be repaired stays, and so does what is right; only a
    text that quotes wrong encodings on purpose loses them."""
    ligatures: bool = False
    """Take `ﬀ`, `ﬁ`, `ﬂ`, `ﬃ`, `ﬄ`, `ﬅ` and `ﬆ` apart, which text layers of PDF are full of."""

    def identity(self) -> Mapping[str, str]:
        return {"ftfy": metadata.version("ftfy")} if self.mojibake else {}

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        text = docs["text"]
        counts = {signal: np.zeros(len(text), np.int64) for signal in self.units}
        needs = self._look(text)
        places = np.flatnonzero(needs & _CHANGES)
        if places.size or text.is_empty():  # without texts, what they would call is compiled
            before = text[places]
            after, found = self._normalized(before, needs[places])
            found["changed"] = before.ne(after).to_numpy()
            found["removed"] = _characters(before) - _characters(after)
            for signal, values in found.items():
                counts[signal][places] = values
            text = _put(text, places, after)
        signals = pl.DataFrame({f"{name}.{signal}": values for signal, values in counts.items()})
        signals = signals.with_columns(pl.col(f"{name}.changed").cast(pl.Boolean))
        if text.null_count():
            signals = signals.with_columns(pl.when(text.is_not_null()).then(pl.all()))
        return docs.with_columns(text.alias("text"), *signals.get_columns())

    def _look(self, text: pl.Series) -> Needs:
        """What each text needs, as `kernels.look` says it; a null needs nothing."""
        data, offsets = buffers(text)
        needs: Needs = kernels.look(
            data, offsets, characters.table(), characters.compositions(), *mojibake.pairs(), self.ligatures
        )
        return needs if self.mojibake else needs & U8(_WRITTEN)

    def _normalized(self, text: pl.Series, needs: Needs) -> tuple[pl.Series, dict[str, NDArray[Any]]]:
        """Texts without nulls in their one form, and counts by signal."""
        counts = {signal: np.zeros(len(text), np.int64) for signal in ("repaired", "composed", *kernels.COUNTS)}
        places, done = np.arange(len(text)), text
        for _ in range(_ROUNDS):
            now, lines = _repaired(text, needs)
            if (other := np.flatnonzero(lines)).size:
                counts["repaired"][places] += lines
                needs[other] = self._look(now[other])
            dirty = np.flatnonzero(needs & kernels.CLEAN)
            if dirty.size or text.is_empty():
                unclean = now[dirty]
                data, bounds, found = kernels.clean(*buffers(unclean), characters.table(), self.ligatures)
                now = _put(now, dirty, strings(data, bounds, unclean.is_null()))
                for signal, values in zip(kernels.COUNTS, found.T, strict=True):
                    counts[signal][places[dirty]] += values
            if (loose := np.flatnonzero(needs & kernels.COMPOSE)).size:
                parts = now[loose]
                composed = parts.str.normalize("NFC")
                now = _put(now, loose, composed)
                counts["composed"][places[loose]] += [_lines_apart(*pair) for pair in zip(parts, composed, strict=True)]
            done = _put(done, places, now)
            # What is written anew or composed can have neighbours that it did not have before.
            other = np.flatnonzero((needs & _WRITTEN > 0) & (needs & _NEIGHBOURS > 0))
            if other.size:
                needs = self._look(now[other])
                other, needs = other[needs & kernels.REPAIR > 0], needs[needs & kernels.REPAIR > 0]
            if not other.size:
                break
            text, places = now[other], places[other]
        return done, counts


def _repaired(text: pl.Series, needs: Needs) -> tuple[pl.Series, NDArray[np.int64]]:
    """Texts with what was read in a wrong encoding repaired, and how many lines of each that were."""
    lines = np.zeros(len(text), np.int64)
    wrong = np.flatnonzero(needs & kernels.REPAIR)
    if wrong.size:
        wrong = wrong[text[wrong].str.contains(mojibake.pattern()).to_numpy()]
    if wrong.size:
        answers, lines[wrong] = mojibake.repair(text[wrong].to_list())
        text = _put(text, wrong, pl.Series(answers, dtype=pl.String))
    return text, lines


def _put(column: pl.Series, places: NDArray[np.int64], values: pl.Series) -> pl.Series:
    """A column with other values at some places, in order."""
    if len(places) == len(column):
        return values.alias(column.name)
    rows = np.arange(len(column))
    rows[places] = len(column) + np.arange(len(places))
    return pl.concat([column, values.alias(column.name)])[rows]


def _characters(text: pl.Series) -> NDArray[np.int64]:
    return text.str.len_chars().cast(pl.Int64).to_numpy()


def _lines_apart(one: str, other: str) -> int:
    """How many lines differ, of texts with equally many."""
    return sum(map(ne, one.split("\n"), other.split("\n")))
