"""Which runs of which indexes count for a run: those before itself, should it be in one of them already.

So a finished run stays finished when it is put into the index that it was deduplicated against, or when that is
compacted, and given again it goes the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from filters.base import Step
from pipeline.configfile import Problem
from pipeline.dedup.base import Documents
from pipeline.dedup.index.manifest import DedupIndexError, Index, input_hash, sample_hash_of
from pipeline.inputs import InputFile, sample_hash

Counted = tuple[int, str, str]
"""How many runs of an index count, what tells these from others, and the name of the step there."""


def find_known(
    steps: Mapping[str, Step], inputs: Mapping[str, Iterable[InputFile]]
) -> tuple[dict[str, tuple[Counted, ...]], list[Problem]]:
    """What counts for each step of deduplication, and what is wrong with the indexes that it names."""
    files = [(source, file) for source, some in inputs.items() for file in some]
    found: dict[str, tuple[Counted, ...]] = {}
    problems: list[Problem] = []
    for name, step in steps.items():
        if not isinstance(step, Documents):
            continue
        counted = []
        for place, path in enumerate(step.against):
            try:
                index = Index(Path(path))
                table = index.table(step)
                count = _before(index, files)
                counted.append((count, index.manifest.state(count), table.name))
            except DedupIndexError as error:
                problems.append(Problem(("steps", name, "against", place), f"step '{name}': {error}"))
        found[name] = tuple(counted)
    return found, problems


def _before(index: Index, files: Sequence[tuple[str, InputFile]]) -> int:
    """How many runs there are before the one that read the same files, or in all."""
    inputs = input_hash((source, file.name, file.size) for source, file in files)
    alike = [number for number, addition in enumerate(index.manifest.additions) if addition.inputs == inputs]
    if alike:
        samples = sample_hash_of({(source, file.name): sample_hash(file) for source, file in files})
        alike = [number for number in alike if index.manifest.additions[number].samples == samples]
    return alike[0] if alike else len(index.manifest.additions)
