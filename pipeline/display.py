"""What a person sees while a run is under way: a bar with an ETA on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.plan import Receipt, Task
from pipeline.run import Progress as Listener

EVERY = 20.0
"""Seconds between plain lines."""

_VERBS = {
    "read": "read and judge",
    "judge": "judge",
    "sort": "sort keys",
    "edges": "compare keys",
    "clusters": "find clusters",
    "proof": "compare texts",
    "repeated": "find what repeats",
    "windows": "look around it",
    "copies": "find copies",
    "shard": "write shards",
}
"""By stage, or by what follows the name of a step in it."""


def _words(stage: str) -> str:
    step, _, kind = stage.rpartition(".")
    return f"{step}: {_VERBS[kind]}" if step else _VERBS[kind]


class Display(Listener):
    """Progress of a curation run on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<20}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            self._bar.start()
        self._row: TaskID | None = None
        self._name, self._total, self._done, self._todo, self._ended = "", 0, 0, 0, 0
        self._records = self._kept = 0
        self._began = self._said = time.monotonic()

    def stage(self, name: str, tasks: Sequence[Task], done: Sequence[Task]) -> None:
        """A stage begins."""
        self._name, self._total, self._done, self._todo = name, len(tasks), len(done), len(tasks) - len(done)
        self._ended = 0
        self._records = self._kept = 0
        self._began = self._said = time.monotonic()
        if self._bar is not None and tasks:
            self._row = self._bar.add_task(_words(name), total=len(tasks), completed=len(done), note="")

    def task(self, task: Task, receipt: Receipt) -> None:
        """A task ended."""
        self._done += 1
        self._ended += 1
        self._todo -= 1
        self._records += receipt["counts"].get("read", 0)
        self._kept += receipt["counts"].get("kept", 0)
        seconds = time.monotonic() - self._began
        note = f"{self._records / max(seconds, 1e-9):,.0f} docs/s" if self._records else ""
        if self._records:
            note += f", {self._kept / self._records:.0%} kept"
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, advance=1, note=note)
        elif time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            left = seconds / self._ended * self._todo
            self._console.print(
                f"{_words(self._name)}: {self._done}/{self._total} tasks, {note or 'working'}, {left:,.0f} s left",
                highlight=False,
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
