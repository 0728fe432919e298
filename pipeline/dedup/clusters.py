"""Clusters of duplicates: the connected components of all edges, each named by its survivor.

Steps of deduplication follow one another: what one drops takes no part in the next, so a later step joins survivors of
clusters, and their clusters with them. The file of a step therefore holds everything up to it, and that of the last
step is what the ledger says. Memory goes with the number of documents that have a duplicate: about 100 bytes each.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from filters.compiled import compiled
from pipeline.dedup.bands import KEY_SPACE, edges_of, write_table

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

CLUSTERS = pa.schema(
    [
        pa.field("ordinal", pa.uint64(), nullable=False),
        pa.field("cluster", pa.uint64(), nullable=False),
        pa.field("cluster_size", pa.uint32(), nullable=False),
        pa.field("dropped_by", pa.uint8()),
    ]
)
"""A document that has duplicates, its survivor (itself, for the survivor), how many documents they are together, and
the number of the step that dropped it; null for the survivor."""

Accept = Callable[[U64, U64], NDArray[np.bool_]]
"""Which pairs of ordinals, given in two columns, are duplicates at a second look."""

Rank = Callable[[pl.DataFrame], pl.DataFrame]
"""Puts documents, columns `root` and `ordinal`, in order: by root, and what should stay first."""


class Joined(NamedTuple):
    """What clusters have to do with known documents of earlier runs, which stay."""

    ordinals: U64
    """Of this run, sorted: the documents that are in a cluster with known ones."""
    first: U64
    """The ordinal of the first of these."""
    known: U64
    """All known documents that have duplicates in this run, sorted, and"""
    groups: I64
    """which of them are in one cluster."""


_ROWS = 1 << 20
_SURVIVES = np.uint8(255)


def write_clusters(
    edge_paths: Sequence[Path],
    out: Path,
    number: int = 0,
    earlier: Path | None = None,
    accept: Accept | None = None,
    rank: Rank | None = None,
    first: int = 0,
) -> Joined:
    """Write the clusters of two documents and more, sorted by ordinal; the order of the edge files does not matter.

    Edges are streamed twice. Those that `accept` refuses join nothing; it is asked only for pairs that are not in one
    cluster already. Raises ValueError naming the file that is no edge file.

    Args:
        number: of the step, below 255.
        earlier: the file of the step before.
        rank: which documents should stay; without it those with the smallest ordinals.
        first: what edges raise the ordinals of this run by. Those below are of earlier runs and stay: a cluster with
            one of them loses all others. The file says `cluster` of these too: the one that would have stayed.
    """
    before = pl.from_arrow(CLUSTERS.empty_table()) if earlier is None else pl.read_parquet(earlier)
    assert isinstance(before, pl.DataFrame)
    raised = np.uint64(first)
    ordinals = _distinct(edge_paths, before["ordinal"].to_numpy() + raised)
    parents = np.arange(len(ordinals))
    dropped = np.full(len(ordinals), _SURVIVES)
    known = _places(ordinals, before["ordinal"].to_numpy() + raised)
    kept_before = _places(ordinals, before["cluster"].to_numpy() + raised)
    unite(parents, known, kept_before)
    dropped[known] = before["dropped_by"].fill_null(int(_SURVIVES)).to_numpy()
    for smallest, other in edges_of(edge_paths):
        a, b = _places(ordinals, smallest), _places(ordinals, other)
        if accept is not None:
            apart = roots_of(parents, a) != roots_of(parents, b)
            a, b, smallest, other = a[apart], b[apart], smallest[apart], other[apart]
            joined = accept(smallest, other)
            a, b = a[joined], b[joined]
        unite(parents, a, b)
    roots = resolve(parents)
    ours = int(np.searchsorted(ordinals, raised))  # the place from which on documents are of this run
    sizes = np.bincount(roots[ours:], minlength=len(roots))[roots].astype(np.uint32)
    survivors = np.arange(len(ordinals))
    survivors[roots[known]] = kept_before  # of clusters that were lost as a whole; the others are overwritten
    alive = (dropped == _SURVIVES) & ((sizes > 1) | (roots < ours))
    _choose(survivors, ordinals, roots, ours + np.flatnonzero(alive[ours:]), rank, raised)
    places = survivors[roots]
    lost = (dropped == _SURVIVES) & ((places != np.arange(len(ordinals))) | (roots < ours))
    dropped[lost] = number
    kept = (sizes > 1) | (dropped != _SURVIVES)
    kept[:ours] = False
    columns = [ordinals[kept] - raised, ordinals[places[kept]] - raised, sizes[kept]]
    step = pa.array(dropped[kept], mask=dropped[kept] == _SURVIVES)
    write_table(out, pa.table([*map(pa.array, columns), step], schema=CLUSTERS))
    theirs = ours + np.flatnonzero(roots[ours:] < ours)
    return Joined(ordinals[theirs] - raised, ordinals[roots[theirs]], ordinals[:ours], roots[:ours])


def _choose(survivors: I64, ordinals: U64, roots: I64, alive: I64, rank: Rank | None, raised: np.uint64) -> None:
    """Set, by root, the place of the document that stays, among those that no step before dropped."""
    if rank is None:
        survivors[roots[alive[::-1]]] = alive[::-1]  # the last to be written is the smallest
        return
    members = rank(pl.DataFrame({"root": roots[alive], "ordinal": ordinals[alive] - raised}))
    first = members.unique("root", keep="first", maintain_order=True)
    survivors[first["root"].to_numpy()] = _places(ordinals, first["ordinal"].to_numpy() + raised)


def clusters_between(path: Path, lo: int, hi: int) -> pl.DataFrame:
    """The rows of a cluster file with an ordinal in [lo, hi); row groups outside of it are not read."""
    if not 0 <= lo <= hi <= KEY_SPACE:
        raise ValueError(f"[{lo}, {hi}) is no range of ordinals")
    if lo == hi:
        return pl.read_parquet(path, n_rows=0)
    inside = pl.col("ordinal").is_between(pl.lit(lo, pl.UInt64), pl.lit(hi - 1, pl.UInt64))
    return pl.scan_parquet(path).filter(inside).collect()


def dropped_between(path: Path, lo: int, hi: int) -> U64:
    """The ordinals in [lo, hi), sorted, of documents that stay no more after the step of a cluster file."""
    found = clusters_between(path, lo, hi).filter(pl.col("dropped_by").is_not_null())
    return found["ordinal"].to_numpy()


def _distinct(paths: Sequence[Path], known: U64) -> U64:
    """All ordinals that occur, sorted. New ones are merged when they are as many as the old: each is sorted rarely."""
    fresh, waiting = [np.empty(0, np.uint64)], 0
    for edges in edges_of(paths):
        fresh.append(_unique(edges.ravel()))
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
def roots_of(parents: I64, nodes: I64) -> I64:
    """The root of each of some nodes."""
    out = np.empty_like(nodes)
    for k in range(len(nodes)):
        out[k] = _root(parents, nodes[k])
    return out


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
