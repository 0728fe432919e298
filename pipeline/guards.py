"""`max_drop`: how much of a source a step may lose before the run stops, and what shows why.

Whether a run stops must not depend on who is quick, so receipts are added up in the order of the plan, each as soon as
all before it are there. A sum counts from 1,000 documents on, and at the end of a source whatever it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from filters.base import LANGUAGE, Filter, Range, Step
from pipeline.accounting.escape import line, visible
from pipeline.accounting.tables import interval
from pipeline.config import CurateConfig
from pipeline.dedup.base import Documents
from pipeline.judge import ranges
from pipeline.plan import Receipt, Task
from pipeline.steps import dropped_for

ENOUGH = 1000
"""Documents into a step from which on its share is judged before the end."""

SAMPLES, CHARS = 3, 300


@dataclass(frozen=True)
class Excess:
    """A step that lost more of a source than it may, after the tasks that are named."""

    step: str
    source: str
    into: int
    lost: int
    limit: float
    tasks: tuple[str, ...]


class Watch:
    """Adds up the receipts of one stage."""

    def __init__(self, config: CurateConfig, tasks: Sequence[Task]) -> None:
        self._limits = config.max_drop
        self._tasks = tasks
        self._next = 0
        self._ends = {task.source: task.id for task in tasks}
        self._sums: dict[tuple[str, str], tuple[int, int]] = {}

    def look(self, receipts: Mapping[str, Receipt]) -> list[Excess]:
        """Add what follows on what was added before, up to the first task after which a step has lost too much."""
        while self._next < len(self._tasks) and (task := self._tasks[self._next]).id in receipts:
            self._next += 1
            if found := list(self._excesses(task, receipts[task.id])):
                return found
        return []

    def _excesses(self, task: Task, receipt: Receipt) -> Iterator[Excess]:
        source = task.source or ""
        for entry in receipt["steps"]:
            step = entry["name"]
            into, lost = self._sums.get((step, source), (0, 0))
            into, lost = into + entry["in"], lost + entry["in"] - entry["out"]
            self._sums[step, source] = into, lost
            limit = self._limits.get(step, {}).get(source)
            judged = into >= ENOUGH or self._ends[task.source] == task.id
            if limit is not None and judged and into and lost / into > limit:
                before = tuple(other.id for other in self._tasks[: self._next] if other.source == task.source)
                yield Excess(step, source, into, lost, limit, before)


def explain(config: CurateConfig, run: Path, receipts: Mapping[str, Receipt], excesses: Sequence[Excess]) -> str:
    """What was lost where, with documents that show it, ready to print."""
    parts, looks = [], []
    for excess in excesses:
        where = config.file.where(("steps", excess.step, "max_drop", excess.source))
        parts.append(
            f"{where}: step '{excess.step}' lost {excess.lost / excess.into:.1%} of source '{excess.source}' "
            f"({excess.lost:,} of {excess.into:,} documents), max_drop allows {excess.limit:.1%}; such as"
        )
        lost = _Lost(run, excess.step, config.steps[excess.step])
        samples = lost.samples([receipts[task]["outputs"] for task in excess.tasks])
        parts += [lost.show(sample) for sample in samples]
        if any(not sample.row["also"] and not sample.waits for sample in samples):
            looks.append(f"see gristmill inspect {run} --source {excess.source} --reason {lost.reason}; ")
    look = "".join(dict.fromkeys(looks))
    return "\n".join([*parts, f"what is done stays; {look}with a higher max_drop the same command goes on"])


@dataclass(frozen=True)
class _Sample:
    """A row of the ledger, or of documents that wait for the next stage, and the files that may have its text."""

    row: dict[str, Any]
    texts: tuple[Path, ...]
    waits: bool = False
    """With `measure: all` what was dropped waits to be measured further, and is not among the dropped texts yet."""


class _Lost:
    """The documents that were lost in one step."""

    def __init__(self, run: Path, name: str, step: Step) -> None:
        self._run, self._name = run, name
        self.reason = dropped_for(name) if isinstance(step, Documents) else name
        self._ranges = ranges({name: step}) if isinstance(step, Filter) else {}

    def samples(self, tasks: Iterable[Iterable[str]]) -> list[_Sample]:
        """Some of those in the files of tasks: those with the smallest ids, which are hashes.

        Where an earlier filter of the same group lost a document too, that filter has its reason; they come last.
        """
        best: list[_Sample] = []
        for files in tasks:
            texts = tuple(self._run / path for path in files if path.startswith(("dropped/", "quarantine/")))
            for path in files:
                if path.startswith("ledger/") or path.endswith("/ledger.parquet"):
                    best += [_Sample(row, texts) for row in self._rows(self._run / path)]
                elif path.endswith("/documents.parquet"):
                    best += [_Sample(row, (self._run / path,), waits=True) for row in self._rows(self._run / path)]
            best = sorted(best, key=lambda sample: (sample.row["also"], sample.row["id"]))[:SAMPLES]
        return best

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        own = (pl.col("reason") == self.reason) | pl.col("reason").str.starts_with(f"{self.reason}.")
        broken = pl.col("broken").list.eval(pl.element().str.starts_with(f"{self._name}.")).list.any()
        rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        rows = rows.filter(pl.col("reason").is_not_null() & (own | broken)).with_columns(also=~own)
        return rows.sort("also", "id").head(SAMPLES).collect(engine="streaming").to_dicts()

    def show(self, sample: _Sample) -> str:
        """One document: its id, why it was lost, where it is from, and how it begins."""
        row = sample.row
        signals = [
            name for name in (row["reason"], *row["broken"]) if name.startswith(f"{self._name}.") and name in row
        ]
        words = row["reason"]
        if signals:
            value, ends = row[signals[0]], self._range(signals[0], row["language"])
            words = f"{signals[0]} = {f'{value:.6g}' if isinstance(value, float) else value}"
            words += f", kept are {interval(ends)}" if ends else ""
        text = self._text(sample)
        start = visible(text[:CHARS]) + ("…" if len(text) > CHARS else "")
        head = "  ".join(line(str(part)) for part in (row["id"], words, row["url"]) if part)
        return f"  {head}\n" + "\n".join(f"    {words}" for words in start.split("\n"))

    def _range(self, signal: str, language: str | None) -> Range | None:
        return self._ranges.get(f"{signal}{LANGUAGE}{language}", self._ranges.get(signal))

    def _text(self, sample: _Sample) -> str:
        for path in sample.texts:
            rows = pl.scan_parquet(path, glob=False, hive_partitioning=False).filter(pl.col("id") == sample.row["id"])
            for row in rows.collect(engine="streaming").iter_rows(named=True):
                payload = row.get("payload")
                return row.get("text") or (payload.decode("utf-8", errors="replace") if payload else "")
        return ""
