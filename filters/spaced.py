"""The measurement of words between white space, and of lines and paragraphs, that the recipes of Dolma, DCLM and NeMo
Curator share: each batch is split once.

    measure(pl.Series(["Two words."])).counts["words"]  # array([2])

It stands beside `filters.words`, whose tokens part punctuation from words and letters of scripts without spaces from
each other. Where two recipes give one name to two statistics, here are both.
"""

import unicodedata
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.base import Filter
from filters.memory import Memory, Numbers
from filters.words import buffers, hashes

Compute = Callable[["Spaced"], Numbers]
Counts = Mapping[str, NDArray[np.int64]]


class Spaced:
    """Documents of one column as a UTF-8 buffer, with what has been measured of them so far; a null is empty."""

    def __init__(self, text: pl.Series) -> None:
        self.data, self.offsets = buffers(text)
        self._lines: dict[tuple[bool, tuple[tuple[str, ...], ...]], NDArray[np.int64]] = {}
        self._pieces: dict[tuple[int, bool], NDArray[np.int64]] = {}
        self._bytes: dict[tuple[bytes, ...], NDArray[np.int64]] = {}

    @cached_property
    def _split(self) -> tuple[NDArray[np.uint64], tuple[NDArray[np.uint32], ...], NDArray[np.int64], NDArray[np.int64]]:
        from filters import spaced_kernels
        from filters.character_classes import classes

        room = (len(self.data) + len(self.offsets)) // 2
        names = np.empty(room, np.uint64)
        lengths, starts, ends = (np.empty(room, np.uint32) for _ in range(3))
        bounds, counts = spaced_kernels.words(self.data, self.offsets, classes(), names, lengths, starts, ends)
        used = bounds[-1]
        return names[:used], (lengths[:used], starts[:used], ends[:used]), bounds, counts

    @property
    def counts(self) -> Counts:
        """Counts about the words of each document, as named in `filters.spaced_kernels.WORD_COUNTS`."""
        from filters.spaced_kernels import WORD_COUNTS

        return dict(zip(WORD_COUNTS, self._split[3].T, strict=True))

    def listed(self, wanted: tuple[str, ...], fold: bool = False) -> NDArray[np.int64]:
        """Number of words of each document that are in a list, every occurrence.

        Args:
            fold: whether capitals of ASCII count as small letters.
        """
        from filters import spaced_kernels

        names, (_, starts, ends), bounds, _ = self._split
        longest = max(len(word.encode()) for word in wanted)
        answer: NDArray[np.int64] = spaced_kernels.listed(
            self.data, self.offsets, names, starts, ends, bounds, hashes(wanted), longest, fold
        )
        return answer

    def lines(self, stripped: bool, *marks: tuple[str, ...]) -> NDArray[np.int64]:
        """Shape [documents, 1 + len(marks)]: the lines between newlines, and how many of them have a mark of each
        group: those of the first group at their beginning, those of the others at their end.

        Args:
            stripped: whether white space at both ends is left away, and lines with nothing else.
            marks: in small letters; capitals of ASCII in the text count as such.
        """
        from filters import characters, piece_kernels

        if (stripped, marks) not in self._lines:
            data, bounds = buffers(pl.Series([mark for group in marks for mark in group]))
            groups = np.array([number for number, group in enumerate(marks) for _ in group], np.int64)
            self._lines[stripped, marks] = piece_kernels.marked_lines(
                self.data, self.offsets, characters.table(), stripped, data, bounds, groups, len(marks)
            )
        return self._lines[stripped, marks]

    def pieces(self, newlines: int, blank: bool) -> Counts:
        """Counts about repeated lines or paragraphs, as named in `filters.piece_kernels.PIECE_COUNTS`.

        Args:
            newlines: how many part two pieces: one for lines, two for paragraphs.
            blank: whether pieces of white space alone count.
        """
        from filters import characters, piece_kernels

        if (newlines, blank) not in self._pieces:
            self._pieces[newlines, blank] = piece_kernels.repeated_pieces(
                self.data, self.offsets, characters.table(), newlines, blank
            )
        return dict(zip(piece_kernels.PIECE_COUNTS, self._pieces[newlines, blank].T, strict=True))

    @cached_property
    def ngrams(self) -> Counts:
        """Counts about repeated n-grams of words, as named in `filters.spaced_kernels.NGRAM_COUNTS`."""
        from filters import spaced_kernels

        names, (lengths, _, _), bounds, _ = self._split
        return dict(zip(spaced_kernels.NGRAM_COUNTS, spaced_kernels.ngrams(names, lengths, bounds).T, strict=True))

    @cached_property
    def struck(self) -> NDArray[np.int64]:
        """Shape [documents, 3]: the characters that go when the most frequent 2-, 3- and 4-gram, its words joined by
        one space, is struck out wherever the text reads so, inside of words too."""
        _, (_, starts, ends), bounds, _ = self._split
        out = np.zeros((len(bounds) - 1, 3), np.int64)
        view = self.data.data
        for n in (2, 3, 4):
            rows = np.flatnonzero(np.diff(bounds) >= n)
            first = bounds[rows] + self.ngrams[f"top_{n}_gram_place"][rows]
            begin, end = self.offsets[rows], self.offsets[rows + 1]
            places = np.stack([begin, end, begin + starts[first], begin + ends[first + n - 1]], axis=1)
            found = []
            for text_begin, text_end, top_begin, top_end in places.tolist():
                top = " ".join(str(view[top_begin:top_end], "utf-8").split())
                found.append(len(top) * bytes(view[text_begin:text_end]).count(top.encode()))
            out[rows, n - 2] = found
        return out

    def bytes_of(self, groups: tuple[bytes, ...]) -> NDArray[np.int64]:
        """Shape [documents, len(groups)]: how many bytes of each group there are; up to eight groups."""
        from filters import spaced_kernels

        if groups not in self._bytes:
            bits = np.zeros(256, np.uint8)
            for number, group in enumerate(groups):
                bits[list(group)] |= np.uint8(1 << number)
            self._bytes[groups] = spaced_kernels.bytes_of(self.data, self.offsets, bits)[:, : len(groups)]
        return self._bytes[groups]


_memory: Memory[Spaced] = Memory()


def measure(text: pl.Series) -> Spaced:
    """Return the measurement of a column of text; that of the last column is remembered."""
    return _memory.recall(text, Spaced)


class SpacedFilter(Filter):
    """A filter whose signals are worked out of words between white space, lines and paragraphs."""

    def identity(self) -> Mapping[str, str]:
        # Which characters are letters comes with Python.
        return {"unicode": unicodedata.unidata_version}

    def number(self, compute: Compute) -> pl.Expr:
        """Return a signal that is a number with a fraction."""
        return _memory.signal(Spaced, compute, pl.Float64)

    def count(self, compute: Compute) -> pl.Expr:
        """Return a signal that is a whole number."""
        return _memory.signal(Spaced, compute, pl.Int64)
