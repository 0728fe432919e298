"""Documents of indexes as jobs of deduplication see them: those with a wanted key, and who they are.

The ordinals of the runs in all indexes follow one another, so those of the run itself are raised by as much. What is
looked for is sorted, so a search goes through the files in order; what is not near a wanted key is not read.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.bands import mapped
from pipeline.dedup.index.manifest import DedupIndexError, Index

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
T = TypeVar("T")

_LOW = np.uint64(0xFFFFFFFF)
_WHO: dict[str, type[pl.DataType]] = {
    "ordinal": pl.UInt64,
    "state": pl.String,
    "own": pl.UInt64,
    "earlier": pl.String,
    "stands": pl.UInt64,
}
"""A document: the state of its index and its ordinal there, the name of its run and its id as `run/id`, and which one
stands for it: itself, if it was kept."""


class Place(NamedTuple):
    """The runs of an index that count for a step: the first so many, which must be the ones that are meant."""

    path: Path
    runs: int
    state: str
    table: str


class KnownDocuments:
    """The documents of some indexes. An ordinal is (place of the run among all that count << 32 | row)."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._starts = [0, *accumulate(place.runs for place in places)]
        self.first = self._starts[-1] << 32

    @cached_property
    def _indexes(self) -> list[Index]:
        return [Index.at(place.path, place.runs, place.state) for place in self._places]

    def rows(self, band: int, keys: U64) -> tuple[U64, U64]:
        """Keys and ordinals of documents that have one of these sorted keys; of each file the first and the last."""
        new = np.ones(len(keys), np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=new[1:])
        wanted = keys[new]
        found = [(np.empty(0, np.uint64), np.empty(0, np.uint64))]
        for number, place in enumerate(self._places):
            raised = np.uint64(self._starts[number] << 32)
            for some, ordinals in self._again(number, partial(_look, at=place, band=band, wanted=wanted)):
                found.append((some, ordinals + raised))
        return np.concatenate([some for some, _ in found]), np.concatenate([ordinals for _, ordinals in found])

    def _again(self, number: int, look: Callable[[Index], T]) -> T:
        """Look into an index; where files are gone because it was compacted meanwhile, into what it is now."""
        while True:
            index = self._indexes[number]
            try:
                return look(index)
            except (DedupIndexError, ValueError) as error:
                place = self._places[number]
                self._indexes[number] = Index.at(place.path, place.runs, place.state)
                if self._indexes[number].manifest == index.manifest:
                    if isinstance(error, DedupIndexError):
                        raise
                    raise DedupIndexError(f"{error}: the index is damaged; make it again of its runs") from error

    def evidence(self) -> list[Path]:
        """The stems of the files with evidence, one a run."""
        stems = []
        for index, place in zip(self._indexes, self._places, strict=True):
            for addition in index.manifest.additions[: place.runs]:
                for kind in ("keys", "values", "ends"):
                    index.file(f"{addition.folder}/{place.table}.{kind}.npy")
                stems.append(place.path / addition.folder / place.table)
        return stems

    def check(self, turn: int, turns: int) -> None:
        """Read each file that counts, or one of so many, whole; raises DedupIndexError naming a damaged one."""
        for number, place in enumerate(self._places):
            self._again(number, partial(_check, at=place, turn=turn, turns=turns))

    def named(self, ordinals: U64) -> pl.DataFrame:
        """Who documents are, given sorted ordinals: columns of _WHO."""
        found = [pl.DataFrame(schema=_WHO)]
        starts = np.array(self._starts, np.uint64) << np.uint64(32)
        edges = np.searchsorted(ordinals, starts)
        for number, index in enumerate(self._indexes):
            raised = starts[number]
            for name, docs in documents(index, ordinals[edges[number] : edges[number + 1]] - raised, ("id", "stands")):
                found.append(
                    docs.select(
                        pl.lit(int(raised), pl.UInt64).add(pl.col("own")).alias("ordinal"),
                        pl.lit(self._places[number].state).alias("state"),
                        "own",
                        pl.lit(f"{name}/").add(pl.col("id")).alias("earlier"),
                        pl.lit(int(raised), pl.UInt64).add(pl.col("stands")).alias("stands"),
                    )
                )
        return pl.concat(found)

    def bridged(self, ordinals: U64, groups: I64) -> int:
        """How many documents that stay are shown to be like another one that stays, by documents that are like both.

        Args:
            ordinals: sorted.
            groups: which of them are in one cluster now.
        """
        several = np.bincount(groups)[groups] > 1 if len(groups) else np.empty(0, np.bool_)
        stands = self.named(ordinals[several])["stands"].to_numpy()
        both = pl.DataFrame({"group": groups[several], "stands": stands}).unique()
        return both.height - both["group"].n_unique()


def _files(index: Index, place: Place) -> list[str]:
    """All files that a step has to do with."""
    names = [f"{part.folder}/{place.table}.npy" for part in index.manifest.segments if part.first < place.runs]
    for part in index.manifest.additions[: place.runs]:
        names += [f"{part.folder}/{name}" for name in part.files if name.split(".")[0] in (place.table, "documents")]
    return names


def _check(index: Index, at: Place, turn: int, turns: int) -> None:
    index.check(_files(index, at)[turn::turns])


def _look(index: Index, at: Place, band: int, wanted: U64) -> list[tuple[U64, U64]]:
    return list(_ends(index, at, band, wanted))


def _ends(index: Index, place: Place, band: int, wanted: U64) -> Iterator[tuple[U64, U64]]:
    """Of each segment the wanted keys that are in it, and the ordinals of the first and the last with each of them."""
    for segment in index.manifest.segments:
        if segment.first >= place.runs:
            continue
        keys, ordinals = mapped(index.file(f"{segment.folder}/{place.table}.npy"), band + 1)[band]
        lo, hi = bounds(keys, wanted)
        some = np.flatnonzero(hi > lo)
        lo, hi = lo[some], hi[some]
        if segment.last > place.runs:
            limit, ranges = np.uint64(place.runs << 32), zip(lo.tolist(), hi.tolist(), strict=True)
            hi = lo + np.array([np.searchsorted(ordinals[a:b], limit) for a, b in ranges], np.int64)
            some, lo, hi = some[hi > lo], lo[hi > lo], hi[hi > lo]
        yield wanted[some], ordinals[lo]
        more = hi - lo > 1
        yield wanted[some[more]], ordinals[hi[more] - 1]


def bounds(keys: U64, wanted: U64) -> tuple[I64, I64]:
    """Where each of the wanted keys begins and ends among sorted ones."""
    lo = np.searchsorted(keys, wanted)
    hi = lo.copy()
    inside = np.flatnonzero(lo < len(keys))
    hit = inside[keys[lo[inside]] == wanted[inside]]
    hi[hit] = np.searchsorted(keys, wanted[hit], "right")
    return lo, hi


def documents(index: Index, ordinals: U64, columns: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Rows of the documents with sorted ordinals, column `own`, with the name of their run; a row group at a time."""
    runs = (ordinals >> np.uint64(32)).astype(np.int64)
    for number in np.unique(runs).tolist():
        addition = index.manifest.additions[number]
        lo, hi = np.searchsorted(runs, [number, number + 1])
        rows = (ordinals[lo:hi] & _LOW).astype(np.int64)
        with pq.ParquetFile(index.file(f"{addition.folder}/documents.parquet")) as file:
            sizes = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
            ends = np.cumsum(sizes)
            groups = np.searchsorted(ends, rows, "right")
            for group in np.unique(groups).tolist():
                mine = rows[groups == group]
                frame = pl.from_arrow(file.read_row_group(group, list(columns)))
                assert isinstance(frame, pl.DataFrame)
                own = pl.Series("own", (mine.astype(np.uint64) | np.uint64(number << 32)), dtype=pl.UInt64)
                yield addition.name, frame[mine - (ends[group] - sizes[group])].with_columns(own)
