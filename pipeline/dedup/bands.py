"""The shuffle of deduplication: from signature files, one per task, to edges between documents with an equal key.

A signature file has the column `ordinal` and one column of 64-bit keys per band, `band_00` and on. Parquet is stored
by column, so a reader of one band reads that band alone. A band is cut into partitions of the key space; each is read,
sorted and grouped by itself, in bounded memory, with one open file at a time, and without regard to what else runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

KEY_SPACE = 1 << 64
BYTES_PER_DOCUMENT = 64
"""Peak memory of a document in `partition_edges`: its key and ordinal as read, joined and sorted."""

EDGES = pa.schema([pa.field("smallest", pa.uint64(), nullable=False), pa.field("other", pa.uint64(), nullable=False)])
_ROWS = 1 << 16


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


def band_name(band: int) -> str:
    return f"band_{band:02}"


def write_signatures(path: Path, ordinals: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    """Write the keys, shape (n, bands), of the documents that have any; `ordinals` has shape (n,)."""
    if keys.ndim != 2 or len(ordinals) != len(keys):
        raise ValueError(
            f"{ordinals.shape} ordinals do not fit keys of shape {keys.shape}; expected (n,) and (n, bands)"
        )
    columns = {"ordinal": ordinals} | {band_name(band): keys[:, band] for band in range(keys.shape[1])}
    table = pa.table({name: pa.array(column, pa.uint64()) for name, column in columns.items()})
    # Keys are random, nothing compresses them; ordinals rise, and their differences take next to nothing.
    write_table(path, table, compression="none", encoding={"ordinal": "DELTA_BINARY_PACKED"})


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


def partition_edges(paths: Sequence[Path], band: int, lo: int, hi: int, out: Path) -> None:
    """Write the edges of one band between documents with an equal key in [lo, hi).

    An edge is (smallest ordinal with this key, other ordinal with it); they are sorted and unique.
    Raises ValueError naming the file that is no signature file with this band.
    """
    if not 0 <= lo <= hi <= KEY_SPACE:
        raise ValueError(f"[{lo}, {hi}) is no range of 64-bit keys")
    ordinals, keys = _select(paths, band, lo, hi)
    order = np.argsort(keys)
    keys, ordinals = keys[order], ordinals[order]
    del order
    new = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    sizes = np.diff(np.flatnonzero(new), append=len(keys))
    # Groups of one are nearly all of them, and take no part.
    shared = np.repeat(sizes > 1, sizes)
    ordinals, sizes = ordinals[shared], sizes[sizes > 1]
    del keys, new, shared
    first = np.cumsum(sizes) - sizes
    smallest = np.repeat(np.minimum.reduceat(ordinals, first) if len(first) else ordinals, sizes)
    write_table(out, _unique_edges(smallest, ordinals))


def _select(paths: Iterable[Path], band: int, lo: int, hi: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The ordinals and keys of a band in [lo, hi), in the order of the files."""
    ordinals, keys = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for path in paths:
        for ordinal, key in read_columns(path, ["ordinal", band_name(band)]):
            inside = (key >= lo) & (key < hi) if hi < KEY_SPACE else key >= lo
            ordinals.append(ordinal[inside])
            keys.append(key[inside])
    return np.concatenate(ordinals), np.concatenate(keys)


def read_columns(path: Path, names: Sequence[str]) -> Iterator[list[NDArray[np.uint64]]]:
    """Stream whole-number columns of a Parquet file; raises ValueError naming the file if that is impossible."""
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in names if name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"no column {', '.join(missing)}")
            for batch in file.iter_batches(_ROWS, columns=list(names), use_threads=False):
                yield [batch[name].to_numpy() for name in names]
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error


def _unique_edges(smallest: NDArray[np.uint64], other: NDArray[np.uint64]) -> pa.Table:
    order = np.lexsort((other, smallest))
    smallest, other = smallest[order], other[order]
    # A group's own smallest ordinal is no edge, and an ordinal that came in twice is one document.
    new = smallest != other
    new[1:] &= (smallest[1:] != smallest[:-1]) | (other[1:] != other[:-1])
    return pa.table([pa.array(smallest[new]), pa.array(other[new])], schema=EDGES)
