"""Documents one behind the other, cut into sequences wherever one is full.

A source is an endless stream of tokens, epoch after epoch. A stage begins in it where the one before ended, so that
sequences of another length repeat nothing and skip nothing. In an epoch, the position of every 256th document is
remembered (of fewer in sources of more than 268 million, so that it is 8 MiB at most), up to the one that was asked
for: 0.1 microseconds a document and core, once. From the nearest of them a walk finds any other.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from threading import Lock, RLock

import numpy as np

from training import kernels
from training.order.epochs import Epochs
from training.order.threads import spread

BLOCK = 256
"""Documents between two positions that are remembered, in an epoch with at most BLOCKS of them."""
BLOCKS = 1 << 20
AT_ONCE = 1 << 12
"""Blocks that one thread measures at a time."""


class _Positions:
    """Where the documents of an epoch lie in it, those up to a block that was asked for."""

    def __init__(self, epochs: Epochs, epoch: int) -> None:
        self._epochs, self._epoch = epochs, epoch
        self.block = BLOCK
        """Documents between two positions."""
        while epochs.count > self.block * BLOCKS:
            self.block *= 2
        self._count = -(-epochs.count // self.block)
        self._mean = epochs.tokens / epochs.count * self.block
        self._starts = np.zeros(self._count + 1, np.int64)
        """Of each block, and of what is behind the last: those up to `_known`."""
        self._known = 0
        self._growing = RLock()

    @property
    def length(self) -> int:
        """Tokens that the whole epoch is laid out on."""
        return int(self._starts[self._reach(self._count)])

    def start(self, block: int) -> int:
        """Position of the first document of a block."""
        return int(self._starts[self._reach(block)])

    def find(self, position: int) -> int:
        """The block that has a position of the epoch."""
        while self._starts[self._known] <= position and self._known < self._count:
            self._reach(self._known + int((position - self._starts[self._known]) / self._mean) + 1)
        return int(np.searchsorted(self._starts[: self._known], position, side="right")) - 1

    def share(self, position: int) -> float:
        """Share of the epoch's documents that lie before a position, to within those of a block."""
        block = self.find(position)
        begin, end, count = self.start(block), self.start(block + 1), self._epochs.count
        first, stop = block * self.block, min((block + 1) * self.block, count)
        return (first + (stop - first) * (position - begin) / (end - begin)) / count

    def _reach(self, block: int) -> int:
        """Have positions known up to that of a block, which is given back."""
        block = min(block, self._count)
        if block <= self._known:
            return block
        with self._growing:
            while self._known < block:
                first, stop = self._known, min(block, self._known + 64 * AT_ONCE)
                bounds = [(at, min(at + AT_ONCE, stop)) for at in range(first, stop, AT_ONCE)]
                lengths = np.concatenate(list(spread(self._lengths, bounds)))
                self._starts[first + 1 : stop + 1] = self._starts[first] + np.cumsum(lengths)
                self._known = stop
        return block

    def _lengths(self, blocks: tuple[int, int]) -> kernels.Ints:
        first, stop = blocks
        return kernels.block_lengths(first, stop, self.block, *self._epochs.arrays(self._epoch))


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
        self._positions = lru_cache(maxsize=4)(lambda epoch: _Positions(epochs, epoch))

    def _length(self, epoch: int) -> int:
        return self._epochs.tokens if self._epochs.plain else self._positions(epoch).length

    def _begin(self, epoch: int) -> int:
        """Position in the stream at which an epoch begins."""
        if self._epochs.plain:
            return epoch * self._epochs.tokens
        with self._growing:
            while len(self._begins) <= epoch:
                self._begins.append(self._begins[-1] + self._length(len(self._begins) - 1))
        return self._begins[epoch]

    def _epoch_at(self, position: int) -> int:
        """The epoch that has a position of the stream."""
        if self._epochs.plain:
            return position // self._epochs.tokens
        # As long as an epoch is known to be longer, how long it is need not be worked out.
        while position - self._begins[-1] >= self._epochs.tokens and position >= self._begin(len(self._begins)):
            pass
        return bisect_right(self._begins, position) - 1

    def _stage(self, stage: int) -> int:
        """Position in the stream at which a stage begins."""
        if stage < len(self._stages):
            return self._stages[stage]
        with self._growing:
            while len(self._stages) <= stage:
                before = len(self._stages) - 1
                self._stages.append(self._stages[-1] + self._sequences(before) * self._contexts[before])
        return self._stages[stage]

    def write(self, stage: int, first: int, rows: kernels.Ints, source: int, out: kernels.Ints, written: int) -> int:
        """See `Stream`."""
        context, origin = self._contexts[stage], self._stage(stage)
        begin, end = origin + first * context, origin + (first + len(rows)) * context
        while begin < end:
            epoch = self._epoch_at(begin)
            base, positions = self._begin(epoch), self._positions(epoch)
            start, stop = begin - base, end - base
            if stop > self._epochs.tokens:
                stop = min(stop, self._length(epoch))
            block = positions.find(start)
            written = kernels.walk(
                start,
                stop,
                base - origin,
                context,
                block * positions.block,
                positions.start(block),
                *self._epochs.arrays(epoch),
                source,
                epoch,
                first,
                rows,
                out,
                written,
            )
            begin = base + stop
        return written

    def passes(self, stage: int, count: int, most: float = math.inf) -> float:
        """See `Stream`; the share of an epoch is one of its tokens, or of its documents if some are rearranged."""
        end = self._stage(stage) + count * self._contexts[stage]
        if not end or self._epochs.plain:
            return end / max(self._epochs.tokens, 1)
        rough = end / self._epochs.tokens
        if rough > 2 * (most + 1):
            return rough
        epoch = self._epoch_at(end - 1)
        return epoch + self._positions(epoch).share(end - self._begin(epoch))

    def holding(self, document: int, counts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """See `Stream`."""
        bounds = [(self._stage(p), self._stage(p) + counts[p] * context) for p, context in enumerate(self._contexts)]
        epoch = 0
        while self._begin(epoch) < bounds[-1][1]:
            positions = self._positions(epoch)
            block, position, length = kernels.place(document, positions.block, *self._epochs.arrays(epoch))
            begin = self._begin(epoch) + positions.start(block) + position
            for stage, (origin, end) in enumerate(bounds):
                low, high, context = max(begin, origin), min(begin + length, end), self._contexts[stage]
                for number in range((low - origin) // context, -((origin - high) // context) if low < high else 0):
                    yield stage, number
            epoch += 1

    def padding(self, stage: int) -> float:
        """None: every sequence is full."""
        return 0.0
