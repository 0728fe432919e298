"""Documents one behind the other, cut into sequences wherever one is full.

A source is an endless stream of tokens, epoch after epoch. A stage begins in it where the one before ended, so that
sequences of another length repeat nothing and skip nothing. One pass over an epoch remembers a position every 256
documents (1/32 byte a document); from the nearest of them a walk finds any other.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from threading import Lock

import numpy as np

from training import kernels
from training.order.epochs import Epochs


class Concatenated:
    """A `Stream` of tokens."""

    def __init__(self, epochs: Epochs, contexts: tuple[int, ...], sequences: Callable[[int], int]) -> None:
        """`contexts` are the tokens of a sequence in each stage; `sequences` gives how many the source has there."""
        self._epochs = epochs
        self._contexts = contexts
        self._sequences = sequences
        self._stages = [0]
        self._begins = [0]
        self._growing = Lock()  # batches are often made in other threads
        self._starts = lru_cache(maxsize=4)(self._measured)

    def _measured(self, epoch: int) -> kernels.Ints:
        """Positions within an epoch of every BLOCK-th document, and its length."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(kernels.block_lengths(*self._epochs.arrays(epoch)))])

    def _begin(self, epoch: int) -> int:
        """Position in the stream at which an epoch begins."""
        with self._growing:
            while len(self._begins) <= epoch:
                self._begins.append(self._begins[-1] + int(self._starts(len(self._begins) - 1)[-1]))
        return self._begins[epoch]

    def _stage(self, stage: int) -> int:
        """Position in the stream at which a stage begins."""
        with self._growing:
            while len(self._stages) <= stage:
                before = len(self._stages) - 1
                self._stages.append(self._stages[-1] + self._sequences(before) * self._contexts[before])
        return self._stages[stage]

    def write(self, stage: int, first: int, rows: kernels.Ints, source: int, out: kernels.Ints, written: int) -> int:
        """See `Stream`."""
        context, origin = self._contexts[stage], self._stage(stage)
        begin, end = origin + first * context, origin + (first + len(rows)) * context
        while self._begins[-1] <= begin:
            self._begin(len(self._begins))
        epoch = bisect_right(self._begins, begin) - 1
        while begin < end:
            starts, base = self._starts(epoch), self._begin(epoch)
            start, stop = begin - base, min(end - base, int(starts[-1]))
            block = int(starts.searchsorted(start, side="right")) - 1
            written = kernels.walk(
                start,
                stop,
                base - origin,
                context,
                block * kernels.BLOCK,
                int(starts[block]),
                *self._epochs.arrays(epoch),
                source,
                epoch,
                first,
                rows,
                out,
                written,
            )
            begin, epoch = base + stop, epoch + 1
        return written

    def passes(self, stage: int, count: int, most: float = math.inf) -> float:
        """See `Stream`; the share of an epoch is one of its tokens."""
        end = self._stage(stage) + count * self._contexts[stage]
        if not end:
            return 0.0
        epoch = 0
        while self._begin(epoch + 1) < end and epoch <= most:
            epoch += 1
        return epoch + (end - self._begin(epoch)) / (self._begin(epoch + 1) - self._begin(epoch))

    def holding(self, document: int, counts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """See `Stream`."""
        bounds = [(self._stage(p), self._stage(p) + counts[p] * context) for p, context in enumerate(self._contexts)]
        epoch = 0
        while self._begin(epoch) < bounds[-1][1]:
            block, position, length = kernels.place(document, *self._epochs.arrays(epoch))
            begin = self._begin(epoch) + int(self._starts(epoch)[block]) + position
            for stage, (origin, end) in enumerate(bounds):
                low, high, context = max(begin, origin), min(begin + length, end), self._contexts[stage]
                for number in range((low - origin) // context, -((origin - high) // context) if low < high else 0):
                    yield stage, number
            epoch += 1

    def padding(self, stage: int) -> float:
        """None: every sequence is full."""
        return 0.0
