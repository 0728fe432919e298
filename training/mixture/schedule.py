"""The sources of a stage's slots: any of them is reached in bounded work, whatever was asked for before.

The state at a slot is its counts alone. Those at the ends of blocks follow from one another in some microseconds each
(see `kernels`); within a block the slots are walked through, once, and counts are remembered every 1024 slots in the
blocks that were asked for last. The longer a stage, the longer its blocks: so there are never more than 65,536.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt

from training.kernels import Floats, Ints
from training.mixture import kernels
from training.mixture.pieces import Pieces

EVERY = 1024
BLOCK = 65_536
_BLOCKS = 65_536
_NO_COUNTS = np.empty((0, 0), np.int64)
_NO_CHOICES = np.empty(0, np.int32)


class Schedule:
    """The source of each of `slots` slots; sources are numbered as in the pieces."""

    def __init__(self, pieces: Callable[[], Pieces], slots: int) -> None:
        """`pieces` gives the integrals in sequences; it is asked once, when they are needed."""
        self.slots = slots
        self._made = pieces
        self._block = max(BLOCK, 1 << (-(-slots // _BLOCKS) - 1).bit_length())
        self._last = -(-slots // self._block)
        """The row of counts at the end."""
        self._reached = 0
        self._lock = Lock()  # the next batch is often made in another thread
        self._within = lru_cache(maxsize=8)(self._walked)

    @cached_property
    def _pieces(self) -> Pieces:
        return self._made()

    @cached_property
    def _states(self) -> Ints:
        """Counts before every block, and at the end: those up to row `_reached`."""
        return np.zeros((self._last + 1, self._pieces.totals.shape[1]), np.int64)

    def counts(self, slot: int) -> Ints:
        """Sequences of each source before `slot` (0 to slots, both included)."""
        return self.stretch(slot, slot)[0]

    def sources(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """The source of each slot in [start, stop)."""
        return self.stretch(start, stop)[1]

    def stretch(self, start: int, stop: int) -> tuple[Ints, npt.NDArray[np.int32]]:
        """`counts` before `start` and the `sources` of [start, stop), both at once."""
        if start == self.slots:
            return self._state(self._last).copy(), _NO_CHOICES
        block = start // self._block
        row, first = divmod(start - block * self._block, EVERY)
        counts = self._within(block)[row]
        chosen = [self._replayed(block, row, stop)]
        for later in range(block + 1, -(-stop // self._block)):
            chosen.append(self._replayed(later, 0, stop))
        return counts + np.bincount(chosen[0][:first], minlength=len(counts)), np.concatenate(chosen)[first:]

    def slot(self, source: int, sequence: int) -> int:
        """The slot that has sequence number `sequence` of a source; raises IndexError if the stage has no such one."""
        while self._state(self._reached)[source] <= sequence and self._reached < self._last:
            self._state(min(2 * self._reached + 1, self._last))
        if not 0 <= sequence < self._states[self._reached, source]:
            count = self.counts(self.slots)[source]
            raise IndexError(f"there are {count} sequences of source {source}, no number {sequence}")
        block = int(np.searchsorted(self._states[: self._reached + 1, source], sequence, side="right")) - 1
        within = self._within(block)[:, source]
        row = int(np.searchsorted(within, sequence, side="right")) - 1
        begin = block * self._block + row * EVERY
        chosen = self._replayed(block, row, begin + EVERY)
        return begin + int(np.flatnonzero(chosen == source)[sequence - within[row]])

    def integral(self, slot: float) -> Floats:
        """Sequences that each source should have before `slot`, where earlier stages owe it some or gave too much."""
        return self._pieces.integral(slot)

    def _state(self, row: int) -> Ints:
        """A row of the table."""
        with self._lock:
            if row > self._reached:
                kernels.carry(self._reached, row, self._block, self.slots, self._states, *self._pieces)
                self._reached = row
            return np.asarray(self._states[row])

    def _walked(self, block: int) -> Ints:
        """Counts before every 1024th slot of a block."""
        limits = self._state(block + 1)
        begin, end = block * self._block, min((block + 1) * self._block, self.slots)
        saved = np.empty((-(-(end - begin) // EVERY), len(limits)), np.int64)
        counts = self._state(block).copy()
        kernels.schedule(begin, end, counts, limits, *self._pieces, EVERY, saved, _NO_CHOICES)
        return saved

    def _replayed(self, block: int, row: int, stop: int) -> npt.NDArray[np.int32]:
        """The sources from a remembered slot of a block to `stop`, or to the end of the block."""
        begin, end = block * self._block + row * EVERY, min(stop, (block + 1) * self._block, self.slots)
        counts = self._within(block)[row].copy()
        out = np.empty(max(end - begin, 0), np.int32)
        kernels.schedule(begin, end, counts, self._state(block + 1), *self._pieces, EVERY, _NO_COUNTS, out)
        return out
