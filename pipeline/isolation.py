"""What happens to a task whose worker died: the record to blame is found and set aside, and everything else is kept.

The dead worker's mark says which batch it had. Probes send that batch through the steps again, in pieces of the square
root of its size, then the piece at which a worker died record by record: a process says of all that came before the
end that it is harmless, so two deaths find one record of a thousand. Only a record of which a fresh process dies that
had nothing else to do is blamed. What that costs is paid by such tasks alone, after all others of their stage.
"""

import contextlib
import logging
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path

from pipeline.config import WorkerLimits
from pipeline.engines import Engine, Outcome
from pipeline.limits import BATCH, Mark
from pipeline.plan import Probe, Task, Trial

log = logging.getLogger("gristmill")

FEW = 32
"""So many records are tried one by one at once."""


@dataclass(frozen=True)
class _Death:
    """The end of a worker: what the engine says of it, and what it left itself."""

    outcome: Outcome
    mark: Mark

    def __str__(self) -> str:
        if self.mark.cause == "killed":
            first = self.mark.trace.partition("\n")[0]
            return first.removeprefix("Fatal Python error: ") or self.outcome.summary
        return "it took too long" if self.mark.cause == "time" else "it took too much memory"


class _Over(Exception):
    """A search has ended without a result; the message says why."""


_Search = Generator[Task, Outcome, Outcome]


def run_isolating(engine: Engine, run: str, tasks: Sequence[Task], limits: WorkerLimits) -> Generator[Outcome]:
    """Do tasks; each has one outcome, and those that cost a worker have theirs when no other is left to do.

    Where no task at all ends well, the first searches that find nothing end the others too.
    """
    searches: dict[str, _Search] = {}
    trials: deque[Task] = deque()
    ended: list[Outcome] = []

    def begin(outcome: Outcome) -> None:
        searches[outcome.task.id] = _Isolation(Path(run), outcome.task, limits).search(outcome)
        try:
            trials.append(next(searches[outcome.task.id]))
        except StopIteration as end:
            ended.append(end.value)

    def advance(outcome: Outcome) -> None:
        try:
            trials.appendleft(searches[outcome.task.id].send(outcome))  # what has begun goes first
        except StopIteration as end:
            ended.append(end.value)

    sound = False
    with contextlib.closing(engine.run(run, tasks)) as outcomes:
        for outcome in outcomes:
            if outcome.died:
                begin(outcome)
            else:
                sound = sound or outcome.receipt is not None
                yield outcome
    while trials:
        some = [trials.popleft() for _ in range(min(engine.workers, len(trials)))]
        with contextlib.closing(engine.run(run, some)) as outcomes:
            for outcome in outcomes:
                advance(outcome)
        sound = sound or any(outcome.receipt is not None for outcome in ended)
        if ended and not sound:
            words = "its worker died, and nothing was found out of other tasks whose workers died, which were all"
            ended += [Outcome(replace(task, trial=Trial()), None, words, words) for task in trials]
            trials.clear()
        yield from ended
        ended.clear()
    yield from ended


class _Isolation:
    """The search for what kills the workers of one task: gives a task to do, takes its outcome, and so on."""

    def __init__(self, run: Path, task: Task, limits: WorkerLimits) -> None:
        self._run, self._task, self._limits = run, task, limits
        self._trial = 0
        self._isolated: dict[int, str] = {}
        self._deaths: list[_Death] = []
        """The last one of each isolated record."""

    def search(self, first: Outcome) -> _Search:
        """The trials of a task; returns its outcome."""
        death = self._death(first)
        log.warning("%s: its worker died: %s; it is looked into when the other tasks are done", self._task.id, death)
        again = death.mark.cause == "killed"  # if from outside, it costs nothing
        try:
            while True:
                if not again:
                    yield from self._blame(death)
                outcome = yield self._next()
                if not outcome.died:
                    return self._told(outcome)
                again, death = False, self._death(outcome)
        except _Over as over:
            words = (str(over), death.outcome.error, death.mark.trace)
            return Outcome(self._task, None, str(over), "\n\n".join(filter(None, words)))

    def _next(self, probe: Probe | None = None) -> Task:
        self._trial += 1
        return replace(self._task, trial=Trial(self._trial, dict(self._isolated), probe))

    def _death(self, outcome: Outcome) -> _Death:
        return _Death(outcome, Mark.take(self._run / outcome.task.mark))

    def _blame(self, death: _Death) -> Generator[Task, Outcome, None]:
        """Find the records of which a worker died in a batch; raises _Over if it was none, or too many."""
        mark, known = death.mark, len(self._isolated)
        if mark.state != "processing":
            raise _Over(f"its worker died {self._where(mark)}: {death}; no single record is to blame")
        log.warning("%s: its worker died: %s; looking for the record among %d", self._task.id, death, mark.rows)
        yield from self._look(mark.first, mark.last, mark.rows, death)
        if len(self._isolated) == known:
            raise _Over(
                f"its worker died of a batch of {mark.rows} records: {death}; each of them alone passes. "
                + (
                    "See batch_records, batch_bytes and worker."
                    if mark.cause != "killed"
                    else "Give the command again."
                )
            )

    def _look(self, first: int, last: int, rows: int, whole: _Death) -> Generator[Task, Outcome, None]:
        """Isolate each record from one ordinal to another of which a worker dies, if it does so alone."""
        piece = 1 if rows <= FEW else isqrt(rows)
        while first <= last:
            death = yield from self._probe(first, last, piece, whole)
            if death is None:
                return
            mark = death.mark
            if mark.rows > 1:
                yield from self._look(mark.first, mark.last, mark.rows, whole)
            else:
                alone = death if mark.first == first else (yield from self._probe(mark.first, mark.last, 1, whole))
                if alone is not None:
                    self._isolate(mark.first, alone)
            if len(self._isolated) == 1:
                return  # mostly it is the only one, which the task itself shows
            first = mark.last + 1

    def _probe(self, first: int, last: int, rows: int, whole: _Death) -> Generator[Task, Outcome, _Death | None]:
        """Send records through the steps in a fresh process; returns its death if it dies of them."""
        seconds = BATCH * self._limits.seconds
        if whole.mark.cause == "time":  # what a record may take, and its part of what the batch may
            seconds = self._limits.seconds * (1 if rows == 1 else 1 + BATCH * rows / whole.mark.rows)
        outcome = yield self._next(Probe(first, last, rows, seconds))
        if not outcome.died:
            if outcome.receipt is None:
                raise _Over(f"what killed its worker cannot be looked for: {outcome.summary}")
            return None
        death = self._death(outcome)
        if death.mark.state != "processing":
            raise _Over(f"its worker died {self._where(death.mark)}: {death}; no single record is to blame")
        return death

    def _isolate(self, ordinal: int, death: _Death) -> None:
        if ordinal in self._isolated:
            raise _Over(f"its worker dies of a record that no step meets any more: {death}")
        if len(self._isolated) >= self._limits.isolate:
            raise _Over(
                f"more than {self._limits.isolate} records (worker.isolate) end a worker, each alone: {death}; "
                "this looks like a step or a machine that does not work"
            )
        self._isolated[ordinal] = f"crash.{death.mark.cause}"
        self._deaths.append(death)

    def _where(self, mark: Mark) -> str:
        """Where in the task a worker was."""
        if mark.state == "starting":
            return "before the first record" if self._task.source else f"in stage '{self._task.stage}'"
        if mark.state == "reading" and mark.first >= 0:
            path = self._task.payload["splits"][mark.first][1]
            return f"reading {path}, " + (f"after the record at {mark.last}" if mark.last >= 0 else "at its start")
        return f"{mark.state}, after all records" if mark.state == "writing" else "between two batches"

    def _told(self, outcome: Outcome) -> Outcome:
        """The outcome of the last trial, with what was isolated for the log."""
        if outcome.receipt is None or not self._isolated:
            return replace(outcome, task=self._task)
        parts = []
        deaths = dict(zip(self._isolated, self._deaths, strict=True))
        quarantine = next((path for path in outcome.receipt["outputs"] if path.startswith("quarantine/")), "")
        for record in outcome.receipt["isolated"]:
            words = "  ".join(str(record[key]) for key in ("error", "id", "origin", "url") if record[key])
            log.warning("%s: quarantined %s; its bytes are in %s", self._task.id, words, quarantine)
            death = deaths[record["ordinal"]]
            parts.append(f"{words}\n{death}\n{death.mark.trace}\n")
        return replace(outcome, task=self._task, error="\n".join(parts))
