"""Compiled kernels made once on a machine: the first worker compiles, the others wait and read what it left.

Compiling takes some twenty seconds, reading the result less than half a second. numba keeps results by itself, but
lets processes that start together all compile the same.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numba
import polars as pl

import filters
from filters import assets
from pipeline import dedup
from pipeline.passage import signal_schema
from pipeline.steps import Stages

_MARK = "kernels"


def warm_up(stages: Stages) -> None:
    """Have everything compiled that these steps call, by going through them without documents."""
    steps = {**stages.read, **stages.judge, **stages.finish}

    def go_through() -> None:
        signal_schema(steps)
        for step in stages.dedup.values():
            step.band_keys(pl.Series([], dtype=pl.String))

    once(go_through, _key([type(step).__name__ for step in (*steps.values(), *stages.dedup.values())]))


def once(compile_all: Callable[[], None], key: str) -> None:
    """Run what compiles in one process of this machine; the others return when it is done. `key` names the result.

    The mark that it is done is only a hint: without it, or with one of another version, a process compiles or finds
    the results that are there.
    """
    mark = assets.folder() / _MARK
    if _done(mark, key):
        return
    with assets.alone(_MARK):
        if not _done(mark, key):
            compile_all()
            with assets.replacing(mark) as file:
                file.write_text(key)


def _done(mark: Path, key: str) -> bool:
    try:
        return mark.read_text() == key
    except FileNotFoundError:
        return False


def _key(names: list[str]) -> str:
    """What numba's results depend on: its version, the sources, where it keeps them, and what is called."""
    sources = [path for package in (filters, dedup) for path in sorted(Path(package.__path__[0]).glob("*.py"))]
    stamps = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sources]
    parts = (numba.__version__, filters.__path__[0], os.environ.get("NUMBA_CACHE_DIR"), stamps, sorted(names))
    return hashlib.sha256(repr(parts).encode()).hexdigest()
