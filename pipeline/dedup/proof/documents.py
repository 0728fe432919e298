"""Documents of a run by their ordinals, and how alike two of them are: sets in plain Python, in bounded memory."""

import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Set
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.bands import is_among, mapped
from pipeline.dedup.base import Documents

U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]

_SETS = 1 << 24
"""Bytes of text whose sets are kept for the next pair."""


class Compared:
    """Documents as a step saw them. What it read of them lies in a file that is gone with the process."""

    def __init__(self, run: Path, parts: list[str], name: str, step: Documents, scratch: Path) -> None:
        """Make one of the tasks that have all documents, in the order of the plan, and the name of the step."""
        self._run, self._parts, self._name, self._step = run, parts, name, step
        self._file = tempfile.TemporaryFile(dir=scratch)
        self._places: dict[int, tuple[int, int]] = {}
        self._sets: OrderedDict[int, Set[str]] = OrderedDict()
        self._held = self._end = 0
        self._different = 0
        self._names: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def fetch(self, wanted: U64) -> None:
        """Get what is not there yet of some documents, and hold their keys against those of the run."""
        new = np.setdiff1d(wanted, np.array(list(self._places), np.uint64))
        for part, found in self._rows(new):
            self._different += _different_keys(self._run / "parts" / part / f"{self._name}.keys.npy", self._step, found)
            for ordinal, name, value in found.select("ordinal", "id", self._step.reads).iter_rows():
                data = (value or "").encode()
                self._file.write(data)
                self._places[ordinal], self._names[ordinal] = (self._end, len(data)), name
                self._end += len(data)

    def _rows(self, wanted: U64) -> Iterator[tuple[str, pl.DataFrame]]:
        """The documents of each row group that has some of the wanted ones, which are sorted."""
        tasks = (wanted >> np.uint64(32)).astype(np.int64)
        for place in np.unique(tasks).tolist():
            mine, part = wanted[tasks == place], self._parts[place]
            with pq.ParquetFile(self._run / "parts" / part / "documents.parquet") as file:
                for group in range(file.num_row_groups):
                    ordinals = file.read_row_group(group, ["ordinal"])["ordinal"].to_numpy()
                    rows = np.flatnonzero(is_among(ordinals, mine))
                    if len(rows):
                        columns = ["ordinal", "id", self._step.reads]
                        found = pl.from_arrow(file.read_row_group(group, columns).take(rows))
                        assert isinstance(found, pl.DataFrame)
                        yield part, found

    def similarities(self, a: U64, b: U64) -> F64:
        """The Jaccard similarity of each pair a[k], b[k] of documents that were fetched."""
        found = [self._similarity(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        return np.array(found, np.float64)

    def _similarity(self, a: int, b: int) -> float:
        left, right = self._set(a), self._set(b)
        common = len(left & right)
        return common / (len(left) + len(right) - common) if left or right else 0.0

    def _set(self, ordinal: int) -> Set[str]:
        found, (start, size) = self._sets.pop(ordinal, None), self._places[ordinal]
        if found is None:
            self._file.seek(start)
            found = self._step.features(self._file.read(size).decode())
            self._file.seek(self._end)
            self._held += size
        self._sets[ordinal] = found
        while self._held > _SETS and len(self._sets) > 2:
            self._held -= self._places[self._sets.popitem(last=False)[0]][1]
        return found

    def names(self, a: U64, b: U64, similar: F64) -> list[dict[str, Any]]:
        """Pairs by the ids of their documents, with their similarities."""
        return [
            {"document": self._names[x], "other": self._names[y], "similarity": round(s, 4)}
            for x, y, s in zip(a.tolist(), b.tolist(), similar.tolist(), strict=True)
        ]

    def keys(self) -> dict[str, int]:
        """Of how many documents the keys were computed again, and for how many they were others."""
        return {"checked": len(self._places), "different": self._different}


def _different_keys(keys: Path, step: Documents, found: pl.DataFrame) -> int:
    stored = mapped(keys, 1 + step.band_count())
    ordinals = found["ordinal"].to_numpy()
    places = np.searchsorted(stored[0], ordinals)
    again = step.sign(found[step.reads])
    same = again.found & (places < stored.shape[1])
    places[~same] = 0
    same &= (stored[0][places] == ordinals) & (stored[1:, places].T == again.keys).all(axis=1)
    return int((~same).sum())
