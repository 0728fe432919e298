"""What ends a run before its time: errors, signals that ask it to stop, and a second run in the same folder."""

import fcntl
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self


class TrainingError(Exception):
    """A run cannot start or go on; the message says why and what to do."""


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process however it ends; raises TrainingError if another has it."""
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(f"another process is training into {out}") from error
        yield


class Signals:
    """Notes the first SIGINT or SIGTERM, so that the step in hand is finished and saved; a second one acts at once."""

    def __init__(self) -> None:
        self.caught = False
        self._before: dict[int, Any] = {}

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        self.caught = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python cannot catch signals
            self._before = {number: signal.signal(number, self._catch) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()
