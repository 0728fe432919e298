"""The feed: what each step is made of, ready when the step begins.

A thread makes the batch of the next step, its hash, and the counts of its sources, while the device is busy with this
one. How long the loop waited for it all the same is in the journal (`waited`).
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from training.compute import Compute, Staged
from training.order import Order
from training.packing import NO_LOSS, batch


@dataclass(frozen=True)
class Portion:
    """What one step is made of; lists are by source."""

    step: int
    """From 0."""
    staged: Staged
    sources: npt.NDArray[np.int64]
    """(S,) source of each row."""
    targets: npt.NDArray[np.int64]
    """(S,) targets of each row."""
    passes: list[float]
    """How often each source's documents were gone through when the step is done."""
    digest: str

    @property
    def count(self) -> int:
        """All targets, and 1 if there is none, to divide by."""
        return max(int(self.targets.sum()), 1)


class Feed:
    """The portions of steps `start` to `stop`, in order; use it as a context manager."""

    def __init__(self, order: Order, compute: Compute, start: int, stop: int) -> None:
        self._order, self._compute, self._stop = order, compute, stop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._start = start

    def __iter__(self) -> Iterator[tuple[Portion, float]]:
        """Each portion, and the seconds that were waited for it."""
        coming = self._thread.submit(self._made, self._start) if self._start < self._stop else None
        while coming is not None:
            asked = time.perf_counter()
            portion = coming.result()
            waited = time.perf_counter() - asked
            following = portion.step + 1
            coming = self._thread.submit(self._made, following) if following < self._stop else None
            yield portion, waited

    def _made(self, step: int) -> Portion:
        made = batch(self._order, step)
        return Portion(
            step,
            self._compute.staged(made),
            made.sources,
            (made.targets != NO_LOSS).sum(axis=1),
            self._order.passes_before(step + 1),
            self._order.digest(step),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)
