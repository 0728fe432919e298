"""The mixture: which source each sequence of the run comes from, so that shares are true in tokens at every moment.

A slot is one sequence, and every sequence has the same number of tokens, so counting slots is counting tokens. The
shares of the phases are integrated in closed form; the sources take their slots such that none is ever a whole sequence
away from its integral (see `kernels.schedule`). Nothing is drawn, and the state at any slot is its counts alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training import kernels
from training.config import Phase

_EVERY = 1024
_NONE = np.empty((0, 0), np.int64)


@dataclass(frozen=True)
class Stretch:
    """A phase with its shares resolved: relative length, and each source's share at its start and end (sums are 1)."""

    length: float
    first: tuple[float, ...]
    last: tuple[float, ...]


def stretches(phases: Sequence[Phase], sources: Sequence[str], sizes: Sequence[int]) -> tuple[Stretch, ...]:
    """Resolve weights to shares. `sizes` are the sources' tokens, for `auto`; names that are no source are left out.

    A weight `[start, end]` is normalised at both ends and the share goes linearly from one to the other, which keeps
    the sum of all shares at 1 on the way. Raises ValueError where that leaves nothing to read.
    """
    resolved = []
    for phase in phases:
        if phase.weights == "auto":
            weights = [(float(size), float(size)) for size in sizes]
        else:
            given = phase.weights
            weights = [w if isinstance(w, tuple) else (w, w) for w in (given.get(name, 0.0) for name in sources)]
        first, last = sum(w for w, _ in weights), sum(w for _, w in weights)
        if first <= 0 or last <= 0:
            raise ValueError("a phase has no source with a weight above 0")
        resolved.append(Stretch(phase.share, tuple(w / first for w, _ in weights), tuple(w / last for _, w in weights)))
    return tuple(resolved)


class Mixture:
    """The source of each of `slots` slots; sources are numbered as in the shares of the stretches."""

    def __init__(self, parts: Sequence[Stretch], slots: int) -> None:
        self.slots = slots
        lengths = np.array([part.length for part in parts])
        self._bounds = np.concatenate([[0.0], np.cumsum(lengths / lengths.sum() * slots)])
        self._bounds[-1] = slots
        self._first = np.array([part.first for part in parts])
        self._last = np.array([part.last for part in parts])
        areas = 0.5 * (self._first + self._last) * np.diff(self._bounds)[:, None]
        self._totals = np.concatenate([np.zeros((1, areas.shape[1])), np.cumsum(areas, axis=0)])
        self._counts = np.zeros(areas.shape[1], np.int64)
        self._saved = np.zeros((-(-slots // _EVERY), areas.shape[1]), np.int64)
        self._run(0, slots, self._counts, self._saved, np.empty(0, np.int32))

    def _run(self, begin: int, end: int, counts: kernels.Ints, saved: kernels.Ints, out: npt.NDArray[np.int32]) -> None:
        kernels.schedule(begin, end, counts, self._bounds, self._totals, self._first, self._last, _EVERY, saved, out)

    def _replayed(self, start: int, stop: int) -> tuple[kernels.Ints, npt.NDArray[np.int32]]:
        """Counts before the last remembered slot up to `start`, and the sources from there to `stop`."""
        begin = start // _EVERY * _EVERY
        out = np.empty(stop - begin, np.int32)
        if start >= stop and begin >= self.slots:
            return self._counts.copy(), out
        before = self._saved[begin // _EVERY].copy()
        self._run(begin, stop, before.copy(), _NONE, out)
        return before, out

    def counts(self, slot: int) -> kernels.Ints:
        """Sequences of each source before `slot` (0 to slots, both included)."""
        if slot == self.slots:
            return self._counts.copy()
        before, out = self._replayed(slot, slot)
        return before + np.bincount(out, minlength=len(before))

    def sources(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """The source of each slot in [start, stop)."""
        return self._replayed(start, stop)[1][start % _EVERY :]

    def slot(self, source: int, sequence: int) -> int:
        """The slot that has sequence number `sequence` of a source; raises IndexError if the run has no such one."""
        if not 0 <= sequence < self._counts[source]:
            raise IndexError(f"the run has {self._counts[source]} sequences of source {source}, no number {sequence}")
        row = int(np.searchsorted(self._saved[:, source], sequence, side="right")) - 1
        out = self._replayed(row * _EVERY, min((row + 1) * _EVERY, self.slots))[1]
        found = np.flatnonzero(out == source)[sequence - self._saved[row, source]]
        return row * _EVERY + int(found)

    def integral(self, slot: float) -> npt.NDArray[np.float64]:
        """Sequences that each source should have had before `slot`."""
        phase = int(np.clip(np.searchsorted(self._bounds, slot) - 1, 0, len(self._bounds) - 2))
        sources = range(len(self._counts))
        return np.array(
            [
                kernels.integral(float(slot), phase, s, self._bounds, self._totals, self._first, self._last)
                for s in sources
            ]
        )
