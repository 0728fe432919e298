"""A second look at pairs of documents: their Jaccard similarity from what was kept of them, in bounded memory.

Evidence lies in plain arrays, a few files a task, and is fetched by ordinal for as many pairs at once as fit. A whole
signature of n places estimates a similarity s with the standard deviation sqrt(s (1 - s) / n), and for pairs that met
by a band of it a little too high; the sets of shingles tell it, up to different shingles with equal 32-bit hashes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from pipeline.dedup.bands import mapped
from pipeline.dedup.base import Evidence

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

_ROW = np.uint64(0xFFFFFFFF)
_PAIRS = 1 << 16
_VALUES = 1 << 25
"""Values that are fetched at once, of 2 or 4 bytes; a single pair may have more."""


def write_evidence(stem: Path, pieces: Sequence[Evidence]) -> None:
    """Write the evidence of the documents of a task, gathered in pieces, beside their keys."""
    lengths = [np.diff(piece.ends, prepend=0) for piece in pieces]
    np.save(stem.with_name(f"{stem.name}.values.npy"), np.concatenate([piece.values for piece in pieces]))
    np.save(stem.with_name(f"{stem.name}.ends.npy"), np.cumsum(np.concatenate(lengths)))


class Evidences:
    """The evidence of all documents of a step, found by their ordinals."""

    def __init__(self, stems: Sequence[Path], sets: bool, known: Sequence[Path] = ()) -> None:
        """Make one of files: those at place k are of the ordinals from k << 32 on.

        Args:
            sets: of shingles, or else signatures.
            known: files that come before those.
        """
        self._stems, self._sets = (*known, *stems), sets

    def similarities(self, a: U64, b: U64) -> F64:
        """The Jaccard similarity of each pair a[k], b[k]."""
        found = [np.empty(0)]
        for start in range(0, len(a), _PAIRS):
            found += self._some(a[start : start + _PAIRS], b[start : start + _PAIRS])
        return np.concatenate(found)

    def _some(self, a: U64, b: U64) -> Iterator[F64]:
        ordinals = np.unique(np.concatenate([a, b]))
        starts, ends = self._where(ordinals)
        left, right = np.searchsorted(ordinals, a), np.searchsorted(ordinals, b)
        sizes = np.cumsum((ends - starts)[left] + (ends - starts)[right])
        first = 0
        while first < len(a):
            before = sizes[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(sizes, before + _VALUES, "right")))
            mine = np.unique(np.concatenate([left[first:last], right[first:last]]))
            values = self._values(ordinals[mine], starts[mine], ends[mine])
            stops = np.cumsum(ends[mine] - starts[mine])
            begins = stops - (ends[mine] - starts[mine])
            x, y = np.searchsorted(mine, left[first:last]), np.searchsorted(mine, right[first:last])
            compare = _of_sets if self._sets else _of_signatures
            yield compare(values, begins[x], stops[x], begins[y], stops[y])
            first = last

    def _by_task(self, ordinals: U64) -> Iterator[tuple[Path, slice]]:
        tasks = (ordinals >> np.uint64(32)).astype(np.int64)
        edges = np.flatnonzero(np.diff(tasks, prepend=-1, append=-1))
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            yield self._stems[tasks[first]], slice(first, last)

    def _where(self, ordinals: U64) -> tuple[I64, I64]:
        """Where the evidence of each document begins and ends in the file of its task."""
        starts, ends = np.empty(len(ordinals), np.int64), np.empty(len(ordinals), np.int64)
        for stem, some in self._by_task(ordinals):
            mine = mapped(stem.with_name(f"{stem.name}.keys.npy"), 1)[0]
            # of the ordinal the lower half: known documents raise the number of the task
            rows = np.searchsorted(mine, ordinals[some] & _ROW | mine[0] & ~_ROW)
            stops = mapped(stem.with_name(f"{stem.name}.ends.npy"))
            ends[some], starts[some] = stops[rows], np.where(rows > 0, stops[rows - 1], 0)
        return starts, ends

    def _values(self, ordinals: U64, starts: I64, ends: I64) -> NDArray[Any]:
        pieces = []
        for stem, some in self._by_task(ordinals):
            values = mapped(stem.with_name(f"{stem.name}.values.npy"))
            slices = zip(starts[some].tolist(), ends[some].tolist(), strict=True)
            # copied here, because a mapped file stays open as long as anything refers to it
            pieces.append(np.concatenate([values[begin:end] for begin, end in slices]))
        return np.concatenate(pieces)


@compiled
def _of_signatures(values: NDArray[Any], starts_a: I64, ends_a: I64, starts_b: I64, ends_b: I64) -> F64:
    """The share of places in which two signatures agree."""
    out = np.empty(len(starts_a))
    for k in range(len(starts_a)):
        size, equal = ends_a[k] - starts_a[k], 0
        for i in range(size):
            equal += values[starts_a[k] + i] == values[starts_b[k] + i]
        out[k] = equal / size
    return out


@compiled
def _of_sets(values: NDArray[Any], starts_a: I64, ends_a: I64, starts_b: I64, ends_b: I64) -> F64:
    """What two sorted sets have in common, as a share of what they are together."""
    out = np.empty(len(starts_a))
    for k in range(len(starts_a)):
        i, j, common = starts_a[k], starts_b[k], 0
        while i < ends_a[k] and j < ends_b[k]:
            x, y = values[i], values[j]
            common += x == y
            i += x <= y
            j += y <= x
        out[k] = common / (ends_a[k] - starts_a[k] + ends_b[k] - starts_b[k] - common)
    return out
