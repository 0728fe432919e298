"""The registry of steps: every name that may stand in `use:` under `steps:`, and how a list of steps runs in stages.

A run has at most three stages, because only two things force text to wait on disk: the costly reading of pages, which
a change of thresholds should not repeat, and deduplication, which must have seen every document.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from filters import FILTERS
from filters.base import Filter, Step, Transform
from pipeline.dedup.exact import Exact
from pipeline.dedup.minhash import MinHash
from pipeline.extract import Extract
from pipeline.normalize import Normalize
from pipeline.pii import Pii

STEPS: dict[str, type[Step]] = {
    **FILTERS,
    "extract": Extract,
    "normalize": Normalize,
    "exact": Exact,
    "minhash": MinHash,
    "pii": Pii,
}

Steps = Mapping[str, Step]

Dedup = MinHash | Exact
"""Both give keys in bands; documents that share a key are duplicates."""


@dataclass(frozen=True)
class Stages:
    """Steps split at the points where documents wait on disk. The order inside and across is that of the config."""

    read: Steps
    """Up to the last step that needs the page itself."""
    judge: Steps
    """From there to deduplication; empty where no step reads pages, everything then belongs to `read`."""
    dedup: Mapping[str, Dedup]
    """The one deduplication step, or nothing."""
    finish: Steps
    """What runs on the survivors."""

    @classmethod
    def of(cls, steps: Steps) -> "Stages":
        """Split steps; raises ValueError if there is more than one deduplication."""
        names = list(steps)
        barriers = [name for name in names if isinstance(steps[name], Dedup)]
        if len(barriers) > 1:
            raise ValueError(f"one deduplication step is possible, found {', '.join(barriers)}")
        end = names.index(barriers[0]) if barriers else len(names)
        late = [name for name in names[end:] if steps[name].reads == "html"]
        if late:
            raise ValueError(f"'{late[0]}' reads pages and must come before '{barriers[0]}'")
        pages = max((i for i in range(end) if steps[names[i]].reads == "html"), default=-1)
        cut = pages + 1 if 0 <= pages < end - 1 else end

        def part(first: int, last: int) -> dict[str, Step]:
            return {name: steps[name] for name in names[first:last]}

        dedup = {name: step for name in barriers if isinstance(step := steps[name], Dedup)}
        return cls(part(0, cut), part(cut, end), dedup, part(end + len(barriers), len(names)))


def concerning(source: str | None, steps: Steps, only: Mapping[str, tuple[str, ...]]) -> Steps:
    """The steps that a source's documents go through; `only` names the sources of those that are not for all."""
    return {name: step for name, step in steps.items() if source in only.get(name, (source,))}


def groups(steps: Steps) -> list[dict[str, Step]]:
    """Steps in groups: a transform alone, or the filters that are measured before the next drop.

    A group of filters ends at a transform and after a gate.
    """
    result: list[dict[str, Step]] = []
    open_group = False
    for name, step in steps.items():
        if isinstance(step, Filter) and open_group:
            result[-1][name] = step
        else:
            result.append({name: step})
        open_group = isinstance(step, Filter) and not step.gate
    return result


def describe(name: str, step: Step) -> dict[str, object]:
    """A step as it stands in `run.json`: enough to read the ledger without this version of the code."""
    kind = "transform" if isinstance(step, Transform) else "filter" if isinstance(step, Filter) else "dedup"
    use = next(word for word, known in STEPS.items() if known is type(step))
    entry: dict[str, object] = {"name": name, "kind": kind, "use": use, "settings": step.model_dump(mode="json")}
    if isinstance(step, Filter):
        entry["gate"] = step.gate
        entry["keep"] = {signal: list(step.keep[signal]) for signal in step.signals() if signal in step.keep}
    return entry
