"""The feed: what each step is made of, ready when the step begins.

Threads make the batches of coming steps, their hashes, and the counts of their sources, while the device is busy with
this one; each step is worked out alone, so they share nothing but the store. Processes would need copies, and gain
nothing: one thread makes many times what a device takes (training/README.md). How long the loop waited for a batch all
the same is in the journal (`waited`). When one does not come, the loop says what is being read for it
(training.reading), again and again, and goes on as soon as it is there.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from training.compute import Compute, Staged
from training.interruption import TrainingError
from training.order import Order, Table
from training.packing import NO_LOSS, filled
from training.reading import Reading, described

_BYTES = 28
"""Of a token in a batch."""
_POLL = 0.2
"""Seconds between two looks at whether the run was told to stop."""
_LEAVE = 5.0
"""Seconds that the end of a feed waits for a batch that nobody needs any more."""

Late = Callable[[str, Mapping[str, Any]], None]
"""Told a line for the terminal and an event for the journal."""


@dataclass(frozen=True)
class Portion:
    """What one step is made of, or a rank's part of it; lists are by source."""

    step: int
    """From 0."""
    staged: Staged
    sources: npt.NDArray[np.int64]
    """(S,) source of each row."""
    targets: npt.NDArray[np.int64]
    """(S,) targets of each row."""
    passes: list[float]
    """How often each source's documents were gone through when the step is done, by all ranks."""
    digest: str
    """Of the whole step, so that ranks can compare it."""
    padding: float
    """Share of positions that are padding."""

    @property
    def count(self) -> int:
        """All targets, and 1 if there is none, to divide by."""
        return max(int(self.targets.sum()), 1)


def rows_of(rows: int, rank: int, world: int) -> slice:
    """Which of a step's rows a rank has: consecutive ones, so that the ranks' rows one behind the other are the step.

    No rank has more than one row more than another; with fewer rows than ranks some have none.
    """
    return slice(rows * rank // world, rows * (rank + 1) // world)


class Feed:
    """The portions of steps `start` to `stop`, in order; use it as a context manager, and go through it once."""

    def __init__(
        self,
        order: Order,
        compute: Compute,
        start: int,
        stop: int,
        late: Late,
        ended: Callable[[], bool] = lambda: False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`late` is told of a batch that does not come; `ended` says whether to wait no longer: then no more come."""
        self._order, self._compute, self._start, self._stop = order, compute, start, stop
        self._settings = order.config.feeding
        self._late, self._ended = late, ended
        self._rank, self._world = rank, world
        self._changed = threading.Condition()
        # Under its lock: the step that the loop has or waits for, the next to be made, and what is made or being made.
        self._asked, self._next = start - 1, start
        self._made_of: dict[int, Reading | Portion | BaseException] = {}
        self._over = self._stuck = False
        count = min(max(self._settings.workers, 1), max(stop - start, 0))
        self._threads = [threading.Thread(target=self._work, name=f"feed {i}", daemon=True) for i in range(count)]

    def __iter__(self) -> Iterator[tuple[Portion, float]]:
        """Each portion, and the seconds that were waited for it.

        Raises TrainingError where a file cannot be read or the feed gives up, and as it is whatever else is raised by
        the making of a batch, with a note of the step and of what was being read.
        """
        for step in range(self._start, self._stop):
            asked = time.perf_counter()
            portion = self._awaited(step)
            if portion is None:
                return
            yield portion, time.perf_counter() - asked

    def _awaited(self, step: int) -> Portion | None:
        """The portion of a step when it is there; None if the run is to end before."""
        began, told, due = time.monotonic(), False, self._settings.patience
        give_up = self._settings.give_up or float("inf")
        with self._changed:
            self._asked = step
            self._changed.notify_all()
        while True:
            with self._changed:
                left = min(due, give_up) - (time.monotonic() - began)
                self._changed.wait_for(lambda: self._there(step), min(max(left, 0.0), _POLL))
                there = self._there(step)
                made = self._made_of.pop(step) if there else self._made_of.get(step)
            waited = time.monotonic() - began
            if isinstance(made, Portion):
                if told:
                    self._stuck = False
                    event = {"step": step + 1, "event": "arrived", "seconds": waited}
                    self._late(f"the batch of step {step + 1} is there, after {waited:,.0f} s", event)
                return made
            if isinstance(made, BaseException):
                raise made
            if self._ended():
                return None
            if waited < min(due, give_up):
                continue
            place = made.place(self._order.store) if made is not None else {}
            said = f"the batch of step {step + 1} is not there after {waited:,.0f} s: {described(place)}"
            self._late(said, {"step": step + 1, "event": "waiting", "seconds": waited, **place})
            told, due, self._stuck = True, 2 * due, True
            if waited >= give_up:
                raise TrainingError(f"{said}; the run ends (feeding.give_up), and the same command goes on")

    def _there(self, step: int) -> bool:
        return isinstance(self._made_of.get(step), Portion | BaseException)

    def _work(self) -> None:
        """Make one batch after the other, as they become due."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._due(self._next))
                if self._over:
                    return
                reading = Reading(self._next)
                self._made_of[reading.step] = reading
                self._next += 1
            made: Portion | BaseException
            try:
                with reading.here():
                    made = self._made(reading)
            except BaseException as error:
                made = _explained(error, reading, self._order)
            with self._changed:
                self._made_of[reading.step] = made
                self._changed.notify_all()

    def _due(self, step: int) -> bool:
        """Whether a step's batch may be made now: it is asked for, or comes soon and there is room for it."""
        if step >= self._stop:
            return False
        if step <= self._asked or not self._settings.workers:
            return step <= self._asked
        if step == self._asked + 1:
            return True
        before = self._order.steps.tokens_before
        waiting = (before(step + 1) - before(self._asked + 1)) * _BYTES / self._world
        return step <= self._asked + self._settings.ahead and waiting <= self._settings.memory * 2**30

    def _made(self, reading: Reading) -> Portion:
        step, order = reading.step, self._order
        sources, _, table = order.table(step)
        rows = rows_of(len(sources), self._rank, self._world)
        first, last = table[:, Table.ROW].searchsorted([rows.start, rows.stop])
        mine = table[first:last].copy()
        mine[:, Table.ROW] -= rows.start
        self._read(mine, reading)
        made = filled(order, step, sources[rows], mine)
        return Portion(
            step,
            self._compute.staged(made),
            made.sources,
            (made.targets != NO_LOSS).sum(axis=1),
            order.passes_before(step + 1),
            order.digest(step, table),
            made.padding,
        )

    def _read(self, table: npt.NDArray[np.int64], reading: Reading) -> None:
        """Wait for the disk to have the tokens of the pieces in a table."""
        for source, documents in enumerate(self._order.store.train):
            mine = table[table[:, Table.SOURCE] == source]
            if len(mine):
                reading.note(documents)
                begins, ends = documents.places(mine[:, Table.DOCUMENT])
                # Of a document that is rearranged all tokens are read, of others the piece and what it predicts last.
                plain = mine[:, Table.MODE] == 0
                starts = np.where(plain, begins + mine[:, Table.TEXT], begins)
                stops = np.where(plain, np.minimum(starts + mine[:, Table.LENGTH] + 1, ends), ends)
                reading.touch(documents, mine[:, Table.DOCUMENT], starts, stops)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        until = time.monotonic() + (0.0 if self._stuck else _LEAVE)
        for thread in self._threads:  # one that a disk holds ends with the process
            thread.join(max(until - time.monotonic(), 0.0))


def _explained(error: BaseException, reading: Reading, order: Order) -> BaseException:
    """The error, with the step and what was being read."""
    said = f"the batch of step {reading.step + 1} cannot be made: {described(reading.place(order.store))}"
    if isinstance(error, OSError):
        explained = TrainingError(f"{said}: {error}")
        explained.__cause__ = error
        return explained
    error.add_note(said)
    return error
