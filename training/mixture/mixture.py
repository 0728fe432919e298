"""The mixture: which source each sequence of the run comes from, so that shares are true in tokens at every moment.

A slot is one sequence, and every sequence has the same number of tokens, so counting slots is counting tokens. The
shares are integrated; the sources take their slots such that none is ever a whole sequence away from its integral (see
`kernels.schedule`). Nothing is drawn, and the state at any slot is its counts alone. The price: they follow from those
before, at some tenth of a microsecond a slot. So they are worked out as far as is asked for, remembered every 1024
slots, and kept in a file from where a run that goes on has them at once.
"""

import hashlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from training import kernels
from training.config import TrainConfig
from training.mixture.pieces import integrated
from training.mixture.shares import Stretch, stretches
from training.steps import Steps

_EVERY = 1024
_NONE = np.empty((0, 0), np.int64)
_JUMP = 1e-9
_VERSION = b"1"
"""Raised when the same pieces give other choices, so that files made earlier are not read."""
KEPT = 1024
"""Rows of the table that are written at a time: a million slots."""


class Mixture:
    """The source of each of `slots` slots; sources are numbered as in the shares of the stretches."""

    def __init__(self, parts: Sequence[Stretch], slots: int, folder: Path | None = None) -> None:
        """`folder` is where counts are kept, for whoever asks next; only long runs have such a file."""
        self.slots = slots
        ends = [end / sum(part.length for part in parts) * slots for end in accumulate(part.length for part in parts)]
        self.jumps = tuple(
            end
            for (before, after), end in zip(pairwise(parts), ends, strict=False)
            if max(abs(a - b) for a, b in zip(before.last, after.first, strict=True)) > _JUMP
        )
        """Slots at which shares jump."""
        self._pieces = integrated(parts, slots)
        self._saved = np.zeros((slots // _EVERY + 1, self._pieces.totals.shape[1]), np.int64)
        """Counts before every 1024th slot: those up to row `_reached`."""
        self._reached = self._written = 0
        self._reaching = Lock()  # the next batch is often made in another thread
        digest = hashlib.blake2b(
            b"".join([_VERSION, *(part.tobytes() for part in self._pieces)]), digest_size=8
        ).hexdigest()
        self._file = None if folder is None else folder / f"mixture-{digest}.bin"
        self._read()

    @classmethod
    def of(cls, config: TrainConfig, sources: Sequence[str], sizes: Sequence[int], folder: Path | None = None) -> Self:
        """The mixture of a run with sources of these tokens. Raises ValueError where a phase cannot be."""
        return cls(stretches(config, sources, sizes), Steps.of(config).slots(0), folder)

    @property
    def sequences(self) -> kernels.Ints:
        """Sequences of each source in the whole run, to within one: nothing needs to be counted for it."""
        return np.asarray(np.rint(self._pieces.totals[-1]), np.int64)

    def counts(self, slot: int) -> kernels.Ints:
        """Sequences of each source before `slot` (0 to slots, both included)."""
        before, out = self._replayed(slot, slot)
        return before + np.bincount(out, minlength=len(before))

    def sources(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """The source of each slot in [start, stop)."""
        return self._replayed(start, stop)[1][start % _EVERY :]

    def stretch(self, start: int, stop: int) -> tuple[kernels.Ints, npt.NDArray[np.int32]]:
        """`counts` before `start` and the `sources` of [start, stop), both at once."""
        before, out = self._replayed(start, stop)
        first = start % _EVERY
        return before + np.bincount(out[:first], minlength=len(before)), out[first:]

    def slot(self, source: int, sequence: int) -> int:
        """The slot that has sequence number `sequence` of a source; raises IndexError if the run has no such one."""
        last = len(self._saved) - 1
        while self._saved[self._reached, source] <= sequence and self._reached < last:
            self._reach(min(2 * self._reached + 1, last))
        row = int(np.searchsorted(self._saved[: self._reached + 1, source], sequence, side="right")) - 1
        out = self._replayed(row * _EVERY, min((row + 1) * _EVERY, self.slots))[1]
        found = np.flatnonzero(out == source)[max(sequence, 0) - self._saved[row, source] :]
        if sequence < 0 or not len(found):
            count = self.counts(self.slots)[source]
            raise IndexError(f"the run has {count} sequences of source {source}, no number {sequence}")
        return row * _EVERY + int(found[0])

    def integral(self, slot: float) -> npt.NDArray[np.float64]:
        """Sequences that each source should have had before `slot`."""
        bounds = self._pieces.bounds
        piece = int(np.clip(np.searchsorted(bounds, slot) - 1, 0, len(bounds) - 2))
        sources = range(self._saved.shape[1])
        return np.array([kernels.integral(float(slot), piece, s, *self._pieces) for s in sources])

    def _replayed(self, start: int, stop: int) -> tuple[kernels.Ints, npt.NDArray[np.int32]]:
        """Counts before the last remembered slot up to `start`, and the sources from there to `stop`."""
        row = start // _EVERY
        self._reach(row)
        out = np.empty(stop - row * _EVERY, np.int32)
        before = self._saved[row].copy()
        kernels.schedule(row * _EVERY, stop, before.copy(), *self._pieces, _EVERY, _NONE, out)
        return before, out

    def _reach(self, row: int) -> None:
        """Work counts out up to a row of the table."""
        with self._reaching:
            while self._reached < row:
                end = min(row, self._reached + KEPT)
                counts = self._saved[self._reached].copy()
                begin, nothing = self._reached * _EVERY, np.empty(0, np.int32)
                kernels.schedule(begin, end * _EVERY, counts, *self._pieces, _EVERY, self._saved, nothing)
                self._saved[end] = counts
                self._reached = end
                if self._reached - self._written >= KEPT:
                    self._write()

    def _read(self) -> None:
        """Take over what a file has, up to where its rows add up."""
        if self._file is None or not self._file.is_file():
            return
        size = self._saved.shape[1]
        rows = np.fromfile(self._file, "<i8")
        rows = rows[: len(rows) // size * size].reshape(-1, size)[: len(self._saved)]
        whole = rows.sum(axis=1) == np.arange(len(rows)) * _EVERY
        count = len(rows) if whole.all() else int(np.argmin(whole))
        self._saved[:count] = rows[:count]
        self._reached = self._written = max(count - 1, 0)

    def _write(self) -> None:
        """Add new rows to the file. Processes that do so at once write the same bytes to the same places."""
        if self._file is None:
            return
        try:
            with self._file.open("r+b" if self._file.is_file() else "w+b") as file:
                first = self._written
                file.seek(first * self._saved[0].nbytes)
                file.write(self._saved[first : self._reached + 1].astype("<i8").tobytes())
        except OSError:  # a folder that may only be read, or is full: the next one counts anew
            self._file = None
        self._written = self._reached
