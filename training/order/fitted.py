"""Documents fitted into sequences: only what is longer than a sequence is cut, and little of a sequence stays free.

Ding et al. (2024, "Fewer truncations improve language modeling", arXiv 2404.10830): a document is cut into whole
sequences and a rest, and the rests are packed by best fit decreasing. Pouransari et al. (2024, "Dataset decomposition:
faster LLM training with variable sequence length curriculum", arXiv 2405.13226): the rests too are cut, into halves,
quarters ... of a sequence, so that sequences consist of pieces of one length and attention costs what short ones cost.

An epoch's documents are packed in blocks, each by itself, so that memory and the work of a jump are bounded: a block
makes about 1,024 sequences. Its sequences come in a random order, or for documents that are read in an order, in that
of the first document in each. How many sequences a block has is known only when it is packed; so the blocks before the
one that is asked for are packed once, 0.1 to 0.2 microseconds a document and core, of which 8 bytes a block stay.

A stage that ends within a block leaves texts over. The next one has them as its first block, with what was cut and is
still together put together again; behind it come the documents that follow.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from threading import RLock
from typing import NamedTuple

import numpy as np

from training.kernels import Ints
from training.order import fitting
from training.order.epochs import Epochs
from training.order.threads import spread

SEQUENCES = 1024
"""A block makes about as many, and of the last one half is padding: 0.05 %. So it was on 34,000 Python files and on
5,700 books, articles and programs, for sequences of 2,048 to 131,072 tokens; blocks of 128 sequences had 0.3 to 0.9 %.
"""
MOST = 1 << 16
"""Documents of a block, however short they are."""
_SAMPLE = 1 << 16
"""Documents that padding is measured on."""
_AT_ONCE = 1024


class _Packed(NamedTuple):
    """A block's items in the order of documents, and the sequence of each."""

    items: Ints
    sequences: Ints
    total: int


class _Course:
    """The blocks of a stage: what the stage before it left over, what is left of an epoch, and then whole epochs."""

    def __init__(
        self, epochs: Epochs, context: int, least: int, left: Ints, start: tuple[int, int], begun: float
    ) -> None:
        """`start` is the epoch and the place in it of the first document that is not in `left`; `begun` are the passes
        that were made before."""
        self._epochs, self.context, self._least = epochs, context, least
        self.left, self.start, self.begun = left, start, begun
        self.size = max(min(SEQUENCES * context * epochs.count // max(epochs.tokens, 1), MOST), 1)
        self._first = -((start[1] - epochs.count) // self.size)
        """Blocks of the first epoch."""
        self._each = -(-epochs.count // self.size)
        self._ends = np.zeros(64, np.int64)
        """Sequences up to the end of each block that is known."""
        self._known = 0
        self._growing = RLock()

    def span(self, block: int) -> tuple[int, int, int]:
        """The epoch of a block and the places in it at which it begins and ends; none for what was left over."""
        epoch, place = self.start
        block -= len(self.left) > 0
        if block < 0:
            return epoch, place, place
        first = place + block * self.size
        if block >= self._first:
            later, within = divmod(block - self._first, self._each)
            epoch, first = epoch + 1 + later, within * self.size
        return epoch, first, min(first + self.size, self._epochs.count)

    def block_of(self, epoch: int, place: int) -> int | None:
        """The block that has a place of an epoch's order; None if an earlier stage had it."""
        begun, at = self.start
        before = int(len(self.left) > 0)
        if epoch == begun:
            return None if place < at else before + (place - at) // self.size
        return before + self._first + (epoch - begun - 1) * self._each + place // self.size

    def packed(self, block: int) -> _Packed:
        """Fit the texts of a block into sequences."""
        epoch, first, stop = self.span(block)
        texts = self.left if first == stop else self._epochs.texts(epoch, first, stop)
        items = fitting.divided(texts, self.context, self._least)
        return _Packed(items, *fitting.fitted(items, self.context))

    def places(self, block: int, count: int) -> Ints:
        """Where each of a block's sequences comes."""
        epoch, first, stop = self.span(block)
        return self._epochs.mixed(count, epoch, first, int(first == stop))

    def end(self, block: int) -> int:
        """Sequences of the stage up to the end of a block; up to its beginning for the one before it, -1 included."""
        self._reach(blocks=block + 1)
        return 0 if block < 0 else int(self._ends[block])

    def find(self, number: int) -> int:
        """The block that has a sequence."""
        self._reach(sequences=number + 1)
        return int(np.searchsorted(self._ends[: self._known], number, side="right"))

    def passes(self, count: int) -> float:
        """Epochs gone through after `count` sequences; the share of an epoch is one of its documents."""
        if not count:
            return self.begun
        block = self.find(count - 1)
        epoch, first, stop = self.span(block)
        low, high = epoch + first / self._epochs.count, epoch + stop / self._epochs.count
        if first == stop:
            low = self.begun
        before = self.end(block - 1)
        return low + (high - low) * (count - before) / (self.end(block) - before)

    def _sequences(self, block: int) -> int:
        return self.packed(block).total

    def _reach(self, blocks: int = 0, sequences: int = 0) -> None:
        """Count the sequences of blocks until as many blocks and as many sequences are known."""
        with self._growing:
            total = int(self._ends[self._known - 1]) if self._known else 0
            while self._known < blocks or total < sequences:
                about = (sequences - total) * self._known // max(total, 1)
                more = max(min(about, _AT_ONCE), blocks - self._known, 1)
                for count in spread(self._sequences, range(self._known, self._known + more)):
                    if self._known == len(self._ends):
                        self._ends = np.concatenate([self._ends, np.zeros_like(self._ends)])
                    total += count
                    self._ends[self._known] = total
                    self._known += 1


class Fitted:
    """A `Stream` of documents that are fitted into sequences; in `buckets`, cut into pieces of like lengths."""

    def __init__(
        self, epochs: Epochs, contexts: tuple[int, ...], sequences: Callable[[int], int], buckets: bool
    ) -> None:
        """`contexts` are the tokens of a sequence in each stage; `sequences` gives how many the source has there."""
        self._epochs = epochs
        self._contexts = contexts
        self._sequences = sequences
        self._buckets = buckets
        self._courses: list[_Course] = []
        self._growing = RLock()  # batches are often made in other threads
        self._block = lru_cache(maxsize=4)(self._arranged)
        self._sampled = cache(self._sample)

    def write(self, stage: int, first: int, rows: Ints, source: int, out: Ints, written: int) -> int:
        """See `Stream`."""
        course, stop = self._course(stage), first + len(rows)
        at = first
        while at < stop:
            block = course.find(at)
            begin, end = course.end(block - 1), min(course.end(block), stop)
            some = rows[at - first : end - first]
            written = fitting.write(*self._block(stage, block), at - begin, some, source, out, written)
            at = end
        return written

    def passes(self, stage: int, count: int, most: float = math.inf) -> float:
        """See `Stream`; the share of an epoch is one of its documents."""
        tokens = count * self._contexts[stage] + sum(self._sequences(p) * self._contexts[p] for p in range(stage))
        rough = tokens / max(self._epochs.tokens, 1)
        if rough > 2 * (most + 1):
            return rough * (1 - self.padding(stage))
        return self._course(stage).passes(count) if tokens else 0.0

    def holding(self, document: int, counts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """See `Stream`."""
        for stage, count in enumerate(counts):
            if not count:
                continue
            course = self._course(stage)
            for block in self._blocks_with(course, document, count):
                items, begins = self._block(stage, block)
                mine = np.flatnonzero(items[:, fitting.DOCUMENT] == document)
                numbers = course.end(block - 1) - 1 + np.unique(np.searchsorted(begins, mine, side="right"))
                yield from ((stage, number) for number in numbers.tolist() if number < count)

    def _blocks_with(self, course: _Course, document: int, count: int) -> Iterator[int]:
        """Blocks of a stage that may have a document, as far as they have one of its first `count` sequences."""
        if (course.left[:, fitting.DOCUMENT] == document).any():
            yield 0
        last, epoch = course.find(count - 1), course.start[0]
        while True:
            block = course.block_of(epoch, self._epochs.place(document, epoch))
            if block is not None and block > last:
                break
            if block is not None:
                yield block
            epoch += 1

    def padding(self, stage: int) -> float:
        """See `Stream`: that of the first epoch's first documents, all of them if they are few."""
        return self._sampled(stage)

    def _sample(self, stage: int) -> float:
        course = self._new(stage, np.empty((0, 6), np.int64), (0, 0), 0.0)
        tokens = sequences = 0
        for block in range(-(-min(self._epochs.count, _SAMPLE) // course.size)):
            packed = course.packed(block)
            tokens += int(packed.items[:, fitting.LENGTH].sum())
            sequences += packed.total
        return 1.0 - tokens / (sequences * course.context) if sequences else 0.0

    def _arranged(self, stage: int, block: int) -> tuple[Ints, Ints]:
        """The items of a block in the order of its sequences, and where each sequence begins in them."""
        course = self._course(stage)
        packed = course.packed(block)
        return fitting.arranged(*packed, course.places(block, packed.total))

    def _course(self, stage: int) -> _Course:
        with self._growing:
            while len(self._courses) <= stage:
                self._courses.append(self._after(len(self._courses)))
        return self._courses[stage]

    def _after(self, stage: int) -> _Course:
        """The blocks of a stage, once those before it are known."""
        if not stage:
            return self._new(stage, np.empty((0, 6), np.int64), (0, 0), 0.0)
        before, count = self._courses[stage - 1], self._sequences(stage - 1)
        if not count:
            return self._new(stage, before.left, before.start, before.begun)
        block = before.find(count - 1)
        epoch, _, stop = before.span(block)
        start = (epoch, stop) if stop < self._epochs.count else (epoch + 1, 0)
        packed = before.packed(block)
        used = count - before.end(block - 1)
        left = fitting.left_over(packed.items, packed.sequences, before.places(block, packed.total), used)
        return self._new(stage, left, start, before.passes(count))

    def _new(self, stage: int, left: Ints, start: tuple[int, int], begun: float) -> _Course:
        context = self._contexts[stage]
        least = max(context // 64, min(64, context // 4)) if self._buckets else context
        return _Course(self._epochs, context, least, left, start, begun)
