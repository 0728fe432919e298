"""Where tasks run: processes of this machine, or Ray. The only module that knows Ray.

An engine takes tasks and gives back outcomes as they finish. Only tasks (paths and settings) and receipts cross; all
documents stay in files. Order of completion means nothing to the output.
"""

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.plan import Receipt, Task

_ONE_THREAD = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Outcome:
    """A task that ended: with its receipt, or with what went wrong."""

    task: Task
    receipt: Receipt | None
    summary: str = ""
    """What went wrong, in a line."""
    error: str = ""
    """The same with the traceback."""


class Engine(Protocol):
    """What the driver needs of an engine."""

    workers: int

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Do tasks; yields one outcome each, in the order in which they end. Closed early, it begins no more."""

    def close(self) -> None:
        """Let go of the workers."""


def perform(run: str, task: Task) -> Outcome:
    """Do one task in a worker; an exception becomes an outcome, so that the others go on."""
    from pipeline.task import run_task

    try:
        return Outcome(task, run_task(run, task))
    except Exception as error:  # the boundary of a worker: whatever went wrong is reported, not lost
        lines = str(error).strip().splitlines() or [""]
        return Outcome(task, None, f"{type(error).__name__}: {lines[0]}", traceback.format_exc())


def _start_worker() -> None:
    """In a fresh worker: leave Ctrl-C to the parent, and end when the parent does, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)


class LocalEngine:
    """Processes of this machine, one thread each."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def _start(self, workers: int) -> ProcessPoolExecutor:
        # forking a process whose libraries have threads can deadlock, so workers start from scratch
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
        # Libraries read these when they are imported, so workers must be born with them. What comes after in this
        # process, such as training, must not: the first submission starts all workers, then they are taken back.
        absent = [name for name in _ONE_THREAD if name not in os.environ]
        os.environ.update(dict.fromkeys(absent, "1"))
        try:
            pool.submit(os.getpid)
        finally:
            for name in absent:
                del os.environ[name]
        return pool

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Do tasks; a worker that dies (out of memory, a crash in C) costs no task but the one that killed it."""
        queue = deque(tasks)
        running: dict[Future[Outcome], Task] = {}
        while queue or running:
            if self._pool is None:
                self._pool = self._start(self.workers)
            try:
                while queue and len(running) < 2 * self.workers:  # a short queue: nothing waits for its next task
                    future = self._pool.submit(perform, run, queue[0])
                    running[future] = queue.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                outcomes = [future.result() for future in done]
            except BrokenProcessPool:
                # which task it was cannot be told, so each that was under way runs again, alone
                suspects = sorted(running.values(), key=lambda task: task.id)
                self.close()
                running.clear()
                for task in suspects:
                    yield self._alone(run, task)
                continue
            for future in done:
                del running[future]
            yield from outcomes

    def _alone(self, run: str, task: Task) -> Outcome:
        with self._start(1) as pool:
            try:
                return pool.submit(perform, run, task).result()
            except BrokenProcessPool:
                why = "the worker died: killed from outside, out of memory, or a crash in a library"
                return Outcome(task, None, why, why)

    def close(self) -> None:
        """End the workers; tasks that are under way commit nothing."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            self._pool = None


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
        self._remote: Any = ray.remote(num_cpus=1, max_retries=2)(perform)

    def run(self, run: str, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Do tasks; Ray itself tries a task again whose worker or node died."""
        import ray

        queue = deque(tasks)
        running: dict[Any, Task] = {}
        try:
            while queue or running:
                while queue and len(running) < 2 * self.workers:
                    task = queue.popleft()
                    running[self._remote.remote(run, task)] = task
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    task = running.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayError as error:
                        yield Outcome(task, None, f"{type(error).__name__}: {str(error).splitlines()[0]}", str(error))
        finally:
            for reference in running:  # whoever stops early wants no more files to appear
                ray.cancel(reference, force=True)

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
