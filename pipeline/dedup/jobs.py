"""The work of one step of deduplication cut into jobs: sort -> edges -> clusters -> proof. Pure: what each needs.

A job of `sort` takes the keys of a group of tasks that fits the memory for it. Where one group is all there is, it
finds the edges too; else a job of `edges` takes a range of a band from all groups. `clusters` is one job, and `proof`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.dedup.bands import BYTES_PER_DOCUMENT, partitions

KINDS = ("sort", "edges", "clusters", "proof")

DEDUP_BYTES = 256 * 2**20
"""Memory that sorting one group or range may take; more documents make more of them, not larger ones."""


class Part(NamedTuple):
    """A task whose documents take part."""

    task: str
    documents: int


class Job(NamedTuple):
    """What becomes a task: its name, the tasks whose results it takes, and what else it has to know."""

    id: str
    after: tuple[str, ...]
    payload: dict[str, Any]


def sort_job(step: str, number: int) -> str:
    return f"dedup-{step}-sort-{number:05d}"


def edges_job(step: str, band: int, number: int) -> str:
    return f"dedup-{step}-edges-{band:03d}-{number:05d}"


def proof_job(step: str) -> str:
    return f"dedup-{step}-proof"


def clusters_job(step: str) -> str:
    return f"dedup-{step}-clusters"


@dataclass(frozen=True)
class Jobs:
    """The jobs of a step over documents that gives so many keys each."""

    step: str
    bands: int
    parts: Sequence[Part]
    """All tasks in the order of the plan: place k has the ordinals from k << 32."""
    sources: Sequence[str]
    earlier: str | None
    """The step before, whose dropped documents take no part."""
    proof: int = 0
    """How many pairs are compared at the end."""
    known: Sequence[tuple[int, str, str]] = ()
    """Of each index of earlier runs: how many of its runs count, what tells these from others, and the step there."""

    def of(self, kind: str) -> list[Job]:
        """The jobs of one of KINDS."""
        kinds: Mapping[str, Callable[[], list[Job]]] = {
            "sort": self._sort,
            "edges": self._edges,
            "clusters": self._clusters,
            "proof": self._proof,
        }
        return kinds[kind]()

    @property
    def _known(self) -> list[list[Any]]:
        return [list(known) for known in self.known]

    def _groups(self) -> list[tuple[int, int]]:
        """Ranges of places in `parts` that are sorted together."""
        most = max(1, DEDUP_BYTES // BYTES_PER_DOCUMENT)
        groups, first, documents = [], 0, 0
        for place, part in enumerate(self.parts):
            if place > first and documents + part.documents > most:
                groups.append((first, place))
                first, documents = place, 0
            documents += part.documents
        return [*groups, (first, len(self.parts))]

    def _ranges(self) -> list[tuple[int, int]]:
        return partitions(sum(part.documents for part in self.parts), DEDUP_BYTES)

    def _sort(self) -> list[Job]:
        groups = self._groups()
        before = () if self.earlier is None else (clusters_job(self.earlier),)
        return [
            Job(
                sort_job(self.step, number),
                (*(part.task for part in self.parts[first:last]), *before),
                {
                    "step": self.step,
                    "parts": [part.task for part in self.parts[first:last]],
                    "first": first,
                    "alone": len(groups) == 1,
                    "earlier": self.earlier,
                    "known": self._known,
                    "turn": [number, len(groups)],
                    "bytes": 8 * (1 + self.bands) * sum(part.documents for part in self.parts[first:last]),
                },
            )
            for number, (first, last) in enumerate(groups)
        ]

    def _edges(self) -> list[Job]:
        groups = len(self._groups())
        if groups == 1:
            return []
        after = tuple(sort_job(self.step, number) for number in range(groups))
        ranges = self._ranges()
        size = 16 * sum(part.documents for part in self.parts) // len(ranges)
        return [
            Job(
                edges_job(self.step, band, number),
                after,
                {
                    "step": self.step,
                    "runs": groups,
                    "known": self._known,
                    "band": band,
                    "low": low,
                    "high": high,
                    "bytes": size,
                },
            )
            for band in range(self.bands)
            for number, (low, high) in enumerate(ranges)
        ]

    def _clusters(self) -> list[Job]:
        edges = [job.id for job in self._edges()] or [sort_job(self.step, 0)]
        before = () if self.earlier is None else (clusters_job(self.earlier),)
        payload = {
            "step": self.step,
            "edges": edges,
            "earlier": self.earlier,
            "parts": [part.task for part in self.parts],
            "sources": list(self.sources),
            "known": self._known,
            "bytes": 0,
        }
        return [Job(clusters_job(self.step), (*edges, *before), payload)]

    def _proof(self) -> list[Job]:
        if not self.proof:
            return []
        clusters = self._clusters()[0]
        payload = {name: clusters.payload[name] for name in ("step", "edges", "earlier", "parts", "known", "bytes")}
        return [Job(proof_job(self.step), (clusters.id,), {**payload, "proof": self.proof})]
