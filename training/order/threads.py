"""Work on all cores in threads: what is compiled runs without Python's lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 4


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results in the order of the items; a few are worked out in this thread."""
    if len(items) < FEW:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(cores()) as threads:
        yield from threads.map(work, items)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
