"""Where tasks run: processes of this machine, or Ray. The only module that knows Ray.

An engine takes tasks and gives back outcomes as they finish. Only tasks (paths and settings) and receipts cross; all
documents stay in files. Order of completion means nothing to the output.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from pipeline.limits import Limiter, WorkerLimiter
from pipeline.plan import Receipt, Task

_ONE_THREAD = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)

_PATIENCE = 10.0
"""Seconds for a worker that let go of its pipe to end."""


@dataclass(frozen=True)
class Outcome:
    """A task that ended: with its receipt, or with what went wrong."""

    task: Task
    receipt: Receipt | None
    summary: str = ""
    """What went wrong, in a line."""
    error: str = ""
    """The same with the traceback, or what there is to say of a task that ended well."""
    died: bool = False
    """The worker ended without an answer, or had no memory left: what it left is in the task's mark."""


class Engine(Protocol):
    """What the driver needs of an engine."""

    workers: int

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Do tasks; yields one outcome each, in the order in which they end. Closed early, it begins no more."""

    def close(self) -> None:
        """Let go of the workers."""


def perform(run: str, task: Task, limiter: Limiter | None = None) -> Outcome:
    """Do one task; an exception becomes an outcome, so that the others go on."""
    try:
        from pipeline.task import run_task

        return Outcome(task, run_task(run, task, limiter))
    except Exception as error:  # the boundary of a worker: whatever went wrong is reported, not lost
        died = isinstance(error, MemoryError)
        if died and limiter is not None:
            limiter.memory_error()
        lines = str(error).strip().splitlines() or [""]
        return Outcome(task, None, f"{type(error).__name__}: {lines[0]}", traceback.format_exc(), died)


def _work(run: str, task: Task) -> Outcome:
    """Do one task in a process that may die of it."""
    with WorkerLimiter(Path(run) / task.mark) as limiter:
        return perform(run, task, limiter)


def _start_worker() -> None:
    """In a fresh worker: leave Ctrl-C to the parent, and end when the parent does, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)


def _serve(tasks: "Connection[Outcome, tuple[str, Task]]") -> None:
    _start_worker()
    with contextlib.suppress(EOFError):  # the parent wants no more
        while True:
            tasks.send(_work(*tasks.recv()))


class _Worker:
    """A process that does one task after another: its death is that of the task which it had."""

    def __init__(self) -> None:
        # forking a process whose libraries have threads can deadlock, so workers start from scratch
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        # Libraries read these when they are imported, so workers must be born with them. What comes after in this
        # process, such as training, must not.
        absent = [name for name in _ONE_THREAD if name not in os.environ]
        os.environ.update(dict.fromkeys(absent, "1"))
        try:
            self._process.start()
        finally:
            for name in absent:
                del os.environ[name]
        theirs.close()

    def give(self, run: str, task: Task) -> bool:
        """Have a task done; False if there is nobody any more to do it."""
        try:
            self.connection.send((run, task))
        except BrokenPipeError:
            return False
        return True

    def outcome(self, task: Task) -> Outcome:
        """What became of the task that it was given."""
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(_PATIENCE)  # it has let go of the pipe, and how it ends is worth knowing
            self.end()
            return Outcome(task, None, f"the worker {_ended(self._process.exitcode)}", died=True)
        return outcome

    def end(self) -> None:
        """End it, whatever it does; a task that is under way commits nothing."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _ended(code: int | None) -> str:
    """How a process ended."""
    if code is not None and code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"


class LocalEngine:
    """Processes of this machine, one thread each."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._idle: list[_Worker] = []

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Do tasks; a worker that dies (out of memory, a crash in C) costs no task but the one that it had."""
        queue = deque(tasks)
        busy: dict[Any, tuple[_Worker, Task]] = {}
        try:
            while queue or busy:
                while queue and len(busy) < self.workers:
                    worker = self._worker(fresh=queue[0].trial.number > 0)
                    if worker.give(run, queue[0]):
                        busy[worker.connection] = worker, queue.popleft()
                    else:
                        worker.end()
                for ready in wait(list(busy)):
                    worker, task = busy.pop(ready)
                    outcome = worker.outcome(task)
                    if outcome.died:
                        worker.end()
                    else:
                        self._idle.append(worker)
                    yield outcome
        finally:
            for worker, _ in busy.values():
                worker.end()

    def _worker(self, fresh: bool) -> _Worker:
        if self._idle:
            worker = self._idle.pop()
            if not fresh:
                return worker
            worker.end()
        return _Worker()

    def close(self) -> None:
        """End the workers."""
        for worker in self._idle:
            worker.end()
        self._idle.clear()


class RayEngine:
    """Ray tasks, on a cluster (`address`) or on this machine. Workers need the same files under the same paths."""

    def __init__(self, workers: int | None, address: str | None) -> None:
        import ray

        self._own = not ray.is_initialized()
        if self._own:
            # An empty working folder: Ray would put the user's own on sys.path of the workers, where a file such as
            # filters.py hides our package.
            self._folder = tempfile.TemporaryDirectory(prefix="gristmill-")
            ray.init(
                address=address,
                num_cpus=None if address else workers or cores(),
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                runtime_env={"working_dir": self._folder.name, "env_vars": dict.fromkeys(_ONE_THREAD, "1")},
            )
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        # Ray itself tries nothing again: whoever counts the deaths of a task must see them all.
        self._remote: Any = ray.remote(num_cpus=1, max_retries=0)(_work)
        self._alone: Any = ray.remote(num_cpus=1, max_retries=0, max_calls=1)(_work)

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Do tasks; the death of a worker or node is the outcome of each that it had."""
        import ray

        errors = ray.exceptions
        deaths = errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.LocalRayletDiedError
        queue = deque(tasks)
        running: dict[Any, Task] = {}
        try:
            while queue or running:
                while queue and len(running) < 2 * self.workers:
                    task = queue.popleft()
                    running[self._fitting(task).remote(run, task)] = task
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    task = running.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayError as error:
                        summary = f"{type(error).__name__}: {str(error).splitlines()[0]}"
                        yield Outcome(task, None, summary, str(error), isinstance(error, deaths))
        finally:
            for reference in running:  # whoever stops early wants no more files to appear
                ray.cancel(reference, force=True)

    def _fitting(self, task: Task) -> Any:
        """Who does a task: for one that is done again a process of its own, as Ray has one for each environment."""
        if not task.trial.number:
            return self._remote
        return self._alone.options(runtime_env={"env_vars": {"GRISTMILL_TRIAL": task.mark}})

    def close(self) -> None:
        """Leave the cluster, if it was joined here."""
        if self._own:
            import ray

            ray.shutdown()
            self._folder.cleanup()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_engine(name: str, workers: int | None, address: str | None = None) -> Engine:
    """The engine called `local` or `ray`; without `workers`, one for each processor there is."""
    return RayEngine(workers, address) if name == "ray" else LocalEngine(workers or cores())
