"""How far a worker is and what it may take, told in a file that outlives it: whoever finds it dead knows where to look.

The first line of that file is the mark, overwritten in place; after it comes what the worker could still say: the
traceback of a crash, or of the moment when a limit ended it. Everything here works while C code holds the interpreter's
lock, except the look at memory, behind which stands a limit of the kernel's. The price is two system calls a record.
"""

import faulthandler
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

from filters.base import Step
from pipeline.blocks.step import Datatrove
from pipeline.config import WorkerLimits
from pipeline.extract.step import Extract

BATCH = 10
"""A batch may take as many times the processor time of a record, and so may the way from one record to the next."""

_CLOCK = 4
"""What waits, or shares its processor, may take as many times its processor time on the clock."""

_OUTSIDE = 5
"""The same for a page in a process of its own, which takes a while to start and again after each page that ended it."""

_LOOK = 0.05
"""Seconds between two looks at memory."""

_LINE = b"%-10s %20d %20d %10d\n"

State = Literal["starting", "reading", "processing", "writing"]


@dataclass(frozen=True)
class Mark:
    """What was left of a worker."""

    state: State
    first: int = -1
    last: int = -1
    """Of records that were being processed the first and last ordinal; while reading, the number of the split and the
    offset of the last record, -1 if there was none."""
    rows: int = 0
    trace: str = ""

    @classmethod
    def take(cls, path: Path) -> "Mark":
        """Read and remove a mark; without any, the worker died before its first word."""
        try:
            head, _, trace = path.read_bytes().partition(b"\n")
            path.unlink()
        except FileNotFoundError:
            return cls("starting")
        state, *numbers = head.decode().split() or ["starting"]
        first, last, rows = map(int, numbers or (-1, -1, 0))
        return cls(cast(State, state), first, last, rows, trace.decode(errors="replace"))

    @property
    def cause(self) -> Literal["time", "memory", "killed"]:
        """Why it died, by how its last words begin: faulthandler says nothing before the threads if it is asked for
        them by a signal, which here only the timer sends."""
        if self.trace.startswith("Memory"):
            return "memory"
        return "time" if self.trace.startswith(("Timeout", "Current thread", "Thread")) else "killed"


class Limiter:
    """What a task tells of its progress; this one limits nothing."""

    def begin(self, limits: WorkerLimits, seconds: float, outside: float) -> None:
        """Limit what comes; a batch may take `seconds` of processor time, and each row in it `outside` on the clock."""

    def reading(self, split: int = -1, offset: int = -1) -> None:
        """A record was read, or without offset, what comes before the first one of a split begins."""

    def processing(self, first: int, last: int, rows: int) -> None:
        """Records with ordinals from `first` to `last` go through steps."""

    def writing(self) -> None:
        """All records are through."""

    def memory_error(self) -> None:
        """The exception that is being handled says that there was no memory."""


class WorkerLimiter(Limiter):
    """The limiter of a process that may die of them. It takes the signal SIGPROF, its timer and faulthandler."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record = self._seconds = self._outside = 0.0
        self._keep = self._clock = False
        self._over = threading.Event()
        self._watch: threading.Thread | None = None
        self._data = resource.getrlimit(resource.RLIMIT_DATA)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._mark("starting")
        self._last_words = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._enabled = faulthandler.is_enabled()
        faulthandler.enable(self._last_words)
        faulthandler.register(signal.SIGPROF, self._last_words, chain=True)  # says where, then lets it end the process
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disarm()
        self._over.set()
        if self._watch is not None:
            self._watch.join()
        resource.setrlimit(resource.RLIMIT_DATA, self._data)
        faulthandler.unregister(signal.SIGPROF)
        if self._enabled:
            faulthandler.enable(2)
        else:
            faulthandler.disable()
        os.close(self._file)
        os.close(self._last_words)
        if not self._keep:
            self._path.unlink()

    def begin(self, limits: WorkerLimits, seconds: float, outside: float) -> None:
        self._record, self._seconds, self._outside = BATCH * limits.seconds, seconds, outside
        if sys.platform == "linux":
            self._watch = threading.Thread(target=self._watch_memory, args=(limits.memory,), daemon=True)
            self._watch.start()
            # What C code takes in one go. Address space that was taken counts, used or not, hence the distance.
            most, (_, hard) = _status("VmData:") + 2 * limits.memory, self._data
            if hard == resource.RLIM_INFINITY or most < hard:
                resource.setrlimit(resource.RLIMIT_DATA, (most, hard))

    def reading(self, split: int = -1, offset: int = -1) -> None:
        self._disarm()
        # What comes before a first record may be an index of the whole file; from one to the next it is a record.
        if offset >= 0:
            signal.setitimer(signal.ITIMER_PROF, self._record)
        self._mark("reading", split, offset)

    def processing(self, first: int, last: int, rows: int) -> None:
        self._mark("processing", first, last, rows)
        signal.setitimer(signal.ITIMER_PROF, self._seconds)
        clock = _CLOCK * self._seconds + rows * self._outside
        faulthandler.dump_traceback_later(clock, exit=True, file=self._last_words)
        self._clock = True

    def writing(self) -> None:
        self._disarm()
        self._mark("writing")

    def memory_error(self) -> None:
        os.write(self._last_words, f"Memory: none was left\n{traceback.format_exc()}".encode())
        self._keep = True

    def _disarm(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if self._clock:
            faulthandler.cancel_dump_traceback_later()
            self._clock = False

    def _mark(self, state: State, first: int = -1, last: int = -1, rows: int = 0) -> None:
        os.pwrite(self._file, _LINE % (state.encode(), first, last, rows), 0)

    def _watch_memory(self, limit: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._over.wait(_LOOK):
            with open("/proc/self/statm", "rb") as file:
                _, resident, shared, *_ = map(int, file.read().split())
            if (resident - shared) * page > limit:
                os.write(self._last_words, b"Memory: %d bytes, allowed are %d\n" % ((resident - shared) * page, limit))
                faulthandler.dump_traceback(self._last_words)
                os._exit(1)


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next((int(line.split()[1]) << 10 for line in status if line.startswith(name)), 0)


def outside(steps: Iterable[Step]) -> float:
    """Seconds on the clock that steps may let a document wait for processes that have limits of their own."""
    total = 0.0
    for step in steps:
        if isinstance(step, Extract) and (step.engine != "gristmill" or step.fallback or step.dates == "full"):
            total += _OUTSIDE * step.seconds
        elif isinstance(step, Datatrove) and step.reads == "html":
            timeout = step.arguments.get("timeout")
            total += _OUTSIDE * (timeout if isinstance(timeout, (int, float)) else 1.0)
    return total
