"""What a run says about itself while it trains: journals with one JSON object a line, and the line on the terminal."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

WAITING = 0.05
"""Share of a step that is worth telling if it was spent waiting for data."""


class Journal:
    """A file of JSON objects, one a line, each with its `step`; use it as a context manager.

    Opening it takes the step that the run goes on from, and drops what was written after that: a step that is done
    again after a crash still has one line.
    """

    def __init__(self, path: Path, after: int) -> None:
        kept = [row for row in read_journal(path) if row["step"] <= after] if path.exists() else []
        part = path.with_name(f".{path.name}")
        with part.open("w", encoding="utf-8") as file:
            file.writelines(_line(row) for row in kept)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """Append an object; readers see it at once. Numbers that JSON does not know (NaN) are written as null."""
        self._file.write(_line(row))
        self._file.flush()

    def sync(self) -> None:
        """Wait until all lines are on disk: done before each checkpoint, so that none before it can be missing."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a journal in order; half a line at the end, which is what a crash leaves, is skipped.

    Raises ValueError for damage anywhere else.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not a line of JSON: {error}") from error
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                raise ValueError(f"{path}:{number}: an object with a whole number `step` is expected")
            yield row


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(_finite(row), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


class Meter:
    """Progress on stderr: a bar with the time left on a terminal, and a line every ten seconds elsewhere."""

    SECONDS = 10.0

    def __init__(self, start: int, stop: int) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._start, self._stop = start, stop
        self._began: float | None = None
        self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=stop, completed=start)

    def update(
        self, step: int, loss: float, tokens_per_second: float, mfu: float | None = None, waiting: float = 0.0
    ) -> None:
        """Show where the run is after `step` steps; `waiting` is the share of the step that was waited for data."""
        now = time.monotonic()
        said = f"loss {loss:.3f}  {tokens_per_second:,.0f} tokens/s"
        if mfu is not None:
            said += f"  MFU {mfu:.1%}"
        if waiting >= WAITING:
            said += f"  {waiting:.0%} waiting for data"
        if self._began is None:  # the first step compiles and warms up, so it says nothing of those to come
            self._began, self._start = now, step
        elif step < self._stop:
            said += f"  {_duration((now - self._began) / (step - self._start) * (self._stop - step))} left"
        self._bar.update(self._task, completed=step, description=said)
        if not self.console.is_terminal and (now - self._said > self.SECONDS or step == self._stop):
            self._said = now
            self.console.print(f"step {step}/{self._stop}  {said}", soft_wrap=True)

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, soft_wrap=True, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
