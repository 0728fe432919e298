"""Clusters of duplicates: the connected components of all edges, each named by its smallest ordinal.

The smallest ordinal is the survivor: ordinals count splits in the order of the plan, which puts preferred sources
first.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from filters.compiled import compiled
from pipeline.dedup.bands import EDGES, KEY_SPACE, read_columns, write_table

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

CLUSTERS = pa.schema(
    [
        pa.field("ordinal", pa.uint64(), nullable=False),
        pa.field("cluster", pa.uint64(), nullable=False),
        pa.field("cluster_size", pa.uint32(), nullable=False),
    ]
)
"""A document that has duplicates, its survivor (itself, for the survivor), and how many documents they are together."""

_ROWS = 1 << 20


def write_clusters(edge_paths: Sequence[Path], out: Path) -> None:
    """Write the clusters of two documents and more, sorted by ordinal; the order of the edge files does not matter.

    Edges are streamed twice; memory goes with the number of documents that have a duplicate, not of their edges.
    Raises ValueError naming the file that is no edge file.
    """
    ordinals = _distinct(edge_paths)
    parents = np.arange(len(ordinals))
    for smallest, other in _edges(edge_paths):
        unite(parents, _places(ordinals, smallest), _places(ordinals, other))
    roots = resolve(parents)
    sizes = np.bincount(roots, minlength=len(roots))[roots].astype(np.uint32)
    write_table(out, pa.table([pa.array(ordinals), pa.array(ordinals[roots]), pa.array(sizes)], schema=CLUSTERS))


def clusters_between(path: Path, lo: int, hi: int) -> pl.DataFrame:
    """The rows of a cluster file with an ordinal in [lo, hi); row groups outside of it are not read."""
    if not 0 <= lo <= hi <= KEY_SPACE:
        raise ValueError(f"[{lo}, {hi}) is no range of ordinals")
    if lo == hi:
        return pl.read_parquet(path, n_rows=0)
    inside = pl.col("ordinal").is_between(pl.lit(lo, pl.UInt64), pl.lit(hi - 1, pl.UInt64))
    return pl.scan_parquet(path).filter(inside).collect()


def _edges(paths: Sequence[Path]) -> Iterator[list[U64]]:
    for path in paths:
        yield from read_columns(path, EDGES.names)


def _distinct(paths: Sequence[Path]) -> U64:
    """All ordinals that occur, sorted. New ones are merged when they are as many as the old: each is sorted rarely."""
    known, fresh, waiting = np.empty(0, np.uint64), [np.empty(0, np.uint64)], 0
    for smallest, other in _edges(paths):
        fresh.append(_unique(np.concatenate([smallest, other])))
        waiting += len(fresh[-1])
        if waiting > len(known) + _ROWS:
            known, fresh, waiting = _unique(np.concatenate([known, *fresh])), [], 0
    return _unique(np.concatenate([known, *fresh]))


def _unique(values: U64) -> U64:
    """Like np.unique, which hashes and takes a hundred times as long; sorts `values` in place."""
    values.sort()
    new = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def _places(values: U64, wanted: U64) -> I64:
    """Where each wanted value is among the sorted ones; searched for in order, ten times as fast as at random."""
    order = np.argsort(wanted)
    places = np.empty(len(wanted), np.int64)
    places[order] = np.searchsorted(values, wanted[order])
    return places


@compiled
def _root(parents: I64, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def unite(parents: I64, a: I64, b: I64) -> None:
    """Join the sets of a[k] and b[k] for each k under the smaller root (Tarjan 1975, with path halving)."""
    for k in range(len(a)):
        x, y = _root(parents, a[k]), _root(parents, b[k])
        parents[max(x, y)] = min(x, y)


@compiled
def resolve(parents: I64) -> I64:
    """The root of each node. A parent is never above its child, so one pass in order finds them all."""
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]
    return parents
