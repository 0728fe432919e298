"""The shuffle of deduplication: from the keys of documents, a file a task, to edges between those with an equal key.

Keys are sorted in groups of tasks, each group into one run; a range of a band is then a slice of every run, found by
bisection, so that nothing is read that is not in it and work grows with n log n, not with the number of ranges. All
files are plain arrays that are mapped, not read: no footers, one open at a time. Ranges are so many that each is sorted
in bounded memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

KEY_SPACE = 1 << 64
BYTES_PER_DOCUMENT = 64
"""Peak memory of a document in `write_run` and `partition_edges`: its key and ordinal as read, joined and sorted."""

_ROWS = 1 << 16


class Known(Protocol):
    """Documents of earlier runs, which have ordinals below those of this one."""

    first: int
    """What the ordinals of this run are raised by: all below it are known documents."""

    def rows(self, band: int, keys: U64) -> tuple[U64, U64]:
        """Keys and ordinals of known documents that have one of these sorted keys; of many with one key the first and
        the last are enough."""


def write_table(
    path: Path, table: pa.Table, compression: str = "lz4", encoding: Mapping[str, str] | None = None
) -> None:
    """Write a table so that equal tables give equal bytes, in row groups small enough to be skipped or streamed."""
    pq.write_table(
        table,
        path,
        version="2.6",
        row_group_size=_ROWS,
        compression=compression,
        column_encoding=dict(encoding or {}),
        use_dictionary=False,
        write_statistics=True,
        store_schema=False,
        data_page_version="1.0",
    )


def write_array(path: Path, shape: tuple[int, ...], parts: Iterator[U64]) -> None:
    """Write an array of uint64 as .npy, given one part of its first axis after another."""
    header = {"descr": "<u8", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            np.ascontiguousarray(part, "<u8").tofile(file)


def mapped(path: Path, rows: int | None = None) -> NDArray[Any]:
    """An array of a file, mapped; raises ValueError naming the file that holds none, or not as many rows."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows is not None and (array.ndim < 2 or array.shape[0] < rows or array.dtype != np.uint64):
            raise ValueError(f"an array of {array.dtype} of shape {array.shape}, not of uint64 with {rows} rows")
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error
    return array


def write_keys(path: Path, ordinals: U64, keys: U64) -> None:
    """Write the keys, shape (n, bands), of the documents that have any: (1 + bands, n), ordinals first, rising."""
    if keys.ndim != 2 or len(ordinals) != len(keys):
        raise ValueError(
            f"{ordinals.shape} ordinals do not fit keys of shape {keys.shape}; expected (n,) and (n, bands)"
        )
    write_array(path, (1 + keys.shape[1], len(ordinals)), iter([ordinals, *keys.T]))


def partitions(total_documents: int, budget_bytes: int) -> list[tuple[int, int]]:
    """Ranges [lo, hi) that cover the key space, few enough and each so small that it is grouped within the budget.

    Keys are uniform, so ranges of equal width hold equal numbers of documents, up to documents with the same key: those
    stay together whatever the ranges.
    """
    if total_documents < 0 or budget_bytes < 1:
        raise ValueError(f"no partition of {total_documents} documents into {budget_bytes} bytes each")
    count = max(1, -(-total_documents * BYTES_PER_DOCUMENT // budget_bytes))
    edges = [KEY_SPACE * k // count for k in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def write_run(paths: Sequence[Path], bands: int, without: U64, out: Path) -> None:
    """Write the sorted run of some key files: shape (bands, 2, n), each band's keys in order and their ordinals.

    `without` are ordinals, sorted, that take no part. Raises ValueError naming the file that has not these bands.
    """
    ordinals, chosen = _taking_part(paths, bands, without)

    def sorted_bands() -> Iterator[U64]:
        for band in range(bands):
            yield from _by_key(_band(paths, band, chosen), ordinals)

    write_array(out, (bands, 2, len(ordinals)), sorted_bands())


def direct_edges(
    paths: Sequence[Path], bands: int, without: U64, chained: bool, out: Path, known: Known | None = None
) -> None:
    """Write the edges of all bands of some key files at once, where they are few enough to be all in one run."""
    ordinals, chosen = _taking_part(paths, bands, without)
    found = [
        _edges_of_band(band, *_by_key(_band(paths, band, chosen), ordinals), chained, known) for band in range(bands)
    ]
    write_edges(out, np.concatenate([np.empty((2, 0), np.uint64), *found], axis=1))


def partition_edges(
    runs: Sequence[Path], band: int, lo: int, hi: int, chained: bool, out: Path, known: Known | None = None
) -> None:
    """Write the edges of one band between documents with an equal key in [lo, hi), given all sorted runs.

    Raises ValueError naming the file that is no run with this band.
    """
    if not 0 <= lo <= hi <= KEY_SPACE:
        raise ValueError(f"[{lo}, {hi}) is no range of 64-bit keys")
    slices = [np.empty((2, 0), np.uint64)]
    for path in runs:
        run = mapped(path, band + 1)[band]
        first, last = (np.searchsorted(run[0], np.uint64(key)) if key < KEY_SPACE else run.shape[1] for key in (lo, hi))
        slices.append(np.array(run[:, first:last]))
    keys, ordinals = np.concatenate(slices, axis=1)
    del slices
    write_edges(out, _edges_of_band(band, *_by_key(keys, ordinals), chained, known))


def _edges_of_band(band: int, keys: U64, ordinals: U64, chained: bool, known: Known | None) -> U64:
    """The edges between sorted keys; with known documents also those to them, and all ordinals raised."""
    if known is None:
        return group_edges(keys, ordinals, chained)
    others, earlier = known.rows(band, keys)
    keys, ordinals = np.concatenate([others, keys]), np.concatenate([earlier, ordinals + np.uint64(known.first)])
    edges = group_edges(*_by_key(keys, ordinals), chained)
    return edges[:, edges[1] >= known.first]  # what is known of one another was decided before


def group_edges(keys: U64, ordinals: U64, chained: bool) -> U64:
    """Edges between documents with an equal key, shape (2, m), given sorted keys: the smaller ordinal and the larger.

    From the smallest ordinal with a key to each other one; if `chained` also from each to the next, so that a group
    stays together where the first of them turns out to be no duplicate of the rest.
    """
    new = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    sizes = np.diff(np.flatnonzero(new), append=len(keys))
    # Groups of one are nearly all of them, and take no part.
    shared = np.repeat(sizes > 1, sizes)
    ordinals, sizes = ordinals[shared], sizes[sizes > 1]
    if not len(sizes):
        return np.empty((2, 0), np.uint64)
    first = np.cumsum(sizes) - sizes
    smallest = np.repeat(np.minimum.reduceat(ordinals, first), sizes)
    if not chained:
        return np.stack([smallest, ordinals])
    group = np.repeat(np.arange(len(sizes)), sizes)
    ordinals = ordinals[np.lexsort((ordinals, group))]
    inner = group[1:] == group[:-1]
    return np.stack([np.concatenate([smallest, ordinals[:-1][inner]]), np.concatenate([ordinals, ordinals[1:][inner]])])


def write_edges(path: Path, edges: U64) -> None:
    """Write edges, shape (2, m), sorted and each once; a document's edge to itself is none."""
    smallest, other = edges[:, np.lexsort((edges[1], edges[0]))]
    new = smallest != other
    new[1:] &= (smallest[1:] != smallest[:-1]) | (other[1:] != other[:-1])
    kept = np.stack([smallest[new], other[new]])
    write_array(path, kept.shape, iter(kept))


def edges_of(paths: Sequence[Path]) -> Iterator[U64]:
    """Stream the edges of files, in pieces of shape (2, m); raises ValueError naming the file that is none."""
    for path in paths:
        edges = mapped(path, 2)
        for start in range(0, edges.shape[1], _ROWS):
            yield np.array(edges[:, start : start + _ROWS])


def _taking_part(paths: Sequence[Path], bands: int, without: U64) -> tuple[U64, list[NDArray[np.bool_]]]:
    """The ordinals in key files that are not left out, and a mask of them for each file."""
    ordinals, chosen = [np.empty(0, np.uint64)], []
    for path in paths:
        mine = np.array(mapped(path, 1 + bands)[0])
        chosen.append(~is_among(mine, without))
        ordinals.append(mine[chosen[-1]])
    return np.concatenate(ordinals), chosen


def _band(paths: Sequence[Path], band: int, chosen: Sequence[NDArray[np.bool_]]) -> U64:
    parts = [mapped(path, band + 2)[1 + band][mask] for path, mask in zip(paths, chosen, strict=True)]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _by_key(keys: U64, ordinals: U64) -> tuple[U64, U64]:
    order = np.argsort(keys)
    return keys[order], ordinals[order]


def is_among(values: U64, known: U64) -> NDArray[np.bool_]:
    """Which values are among the known ones, which are sorted."""
    places = np.searchsorted(known, values)
    places[places == len(known)] = 0
    return known[places] == values if len(known) else np.zeros(len(values), np.bool_)
