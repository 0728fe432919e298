"""Compiled kernels made once on a machine: the first worker compiles, the others wait and read what it left.

Compiling takes some twenty seconds, and a minute more for the extractor of main text; reading the result takes less
than half a second. numba keeps results by itself, but lets processes that start together all compile the same.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from llvmlite.binding import get_host_cpu_name

from filters import assets, compiled
from pipeline.extract.page import whole_text
from pipeline.extract.step import Extract
from pipeline.passage import read_signals, signal_schema
from pipeline.readers.base import Reader
from pipeline.steps import Stages

_MODULES = ("pipeline.steps", "pipeline.extract.content", "pipeline.extract.metadata")


def warm_up(stages: Stages, readers: Collection[Reader] = ()) -> None:
    """Have everything compiled that these steps and readers call, by going through them without documents."""
    renders = any(reader.renders_html for reader in readers)
    steps = {**stages.read, **stages.judge, **stages.finish}
    extractions = [step for step in steps.values() if isinstance(step, Extract)]

    def go_through() -> None:
        signal_schema(steps, read_signals(readers))
        for step in extractions:
            step.warm_up()
        if renders:
            whole_text("<p>A page.", "markdown")
        for dedup in stages.dedup.values():
            dedup.warm_up()
        for spans in stages.spans.values():
            spans.warm_up()

    names = [type(step).__name__ for step in (*steps.values(), *stages.dedup.values(), *stages.spans.values())]
    called = [f"{step.engine} {step.main_content} {step.metadata}" for step in extractions]
    once(go_through, key(_MODULES, [*names, *called, *(["readers"] if renders else [])]))


def once(compile_all: Callable[[], None], key: str, name: str = "kernels") -> None:
    """Run what compiles in one process of this machine; the others return when it is done.

    The mark that it is done is only a hint: without it, or with one of another version, a process compiles or finds
    the results that are there.

    Args:
        key: of the result.
        name: of the mark.
    """
    mark = assets.folder() / name
    if _done(mark, key):
        return
    with assets.alone(name):
        if not _done(mark, key):
            compile_all()
            with assets.replacing(mark) as file:
                file.write_text(key)


def _done(mark: Path, key: str) -> bool:
    try:
        return mark.read_text() == key
    except FileNotFoundError:
        return False


def key(modules: Sequence[str], called: Iterable[str]) -> str:
    """Return what results of compiling depend on: sources, compiler, processor, where they are kept, what is called."""
    parts = (compiled.digest(*modules), get_host_cpu_name(), str(compiled.folder()), sorted(called))
    return hashlib.sha256(repr(parts).encode()).hexdigest()
