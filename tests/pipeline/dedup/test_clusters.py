"""From keys to clusters, against connected components found by brute force and real planted duplicates."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.bands import (
    KEY_SPACE,
    direct_edges,
    edges_of,
    partition_edges,
    partitions,
    write_array,
    write_keys,
    write_run,
)
from pipeline.dedup.clusters import CLUSTERS, clusters_between, dropped_between, write_clusters
from pipeline.dedup.minhash import MinHash

Documents = dict[int, tuple[int, ...]]
"""The band keys of each ordinal."""

_KEYS = st.sampled_from([0, 1, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1])
_ORDINALS = st.integers(0, 2**64 - 1) | st.integers(0, 20).map(lambda k: k << 32 | 5)
_DOCUMENTS = st.dictionaries(_ORDINALS, st.tuples(_KEYS, _KEYS), max_size=12)
_EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda e: e[0] != e[1]).map(sorted))


def components(edges: Iterable[Sequence[int]]) -> list[tuple[int, int, int]]:
    """(ordinal, smallest of its component, size) by walking from each smallest ordinal."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    found: dict[int, tuple[int, int]] = {}
    for start in sorted(near):
        if start not in found:
            seen, waiting = {start}, [start]
            while waiting:
                fresh = near[waiting.pop()] - seen
                seen |= fresh
                waiting += fresh
            found |= {node: (start, len(seen)) for node in seen}
    return [(node, *found[node]) for node in sorted(found)]


NONE = np.empty(0, np.uint64)


def files(folder: Path, documents: Documents, count: int, name: str = "keys") -> list[Path]:
    paths = [folder / f"{name}-{k}.npy" for k in range(count)]
    for k, path in enumerate(paths):
        mine = {ordinal: documents[ordinal] for ordinal in sorted(documents) if ordinal % count == k}
        keys = np.array(list(mine.values()), np.uint64).reshape(len(mine), 2)
        write_keys(path, np.array(list(mine), np.uint64), keys)
    return paths


def cluster(
    folder: Path,
    keys: Sequence[Path],
    bands: int,
    ranges: Sequence[tuple[int, int]],
    chained: bool = False,
    without: np.ndarray = NONE,
    **how: Any,
) -> Path:
    """Through one run a file, and one file of edges a band and range."""
    runs = [folder / f"run-{k}.npy" for k in range(len(keys))]
    for path, run in zip(keys, runs, strict=True):
        write_run([path], bands, without, run)
    edges = [folder / f"edges-{band}-{lo}.npy" for band in range(bands) for lo, _ in ranges]
    for path, (band, (lo, hi)) in zip(edges, itertools.product(range(bands), ranges), strict=True):
        partition_edges(runs, band, lo, hi, chained, path)
    write_clusters(edges, folder / "clusters.parquet", **how)
    return folder / "clusters.parquet"


def rows(path: Path) -> list[tuple[int, int, int]]:
    """(ordinal, cluster, size)."""
    return clusters_between(path, 0, KEY_SPACE).drop("dropped_by").rows()


def write_pairs(path: Path, pairs: Sequence[Sequence[int]]) -> Path:
    columns = np.array(pairs, np.uint64).reshape(len(pairs), 2).T
    write_array(path, columns.shape, iter(columns))
    return path


def equal_keys(documents: Documents) -> list[list[int]]:
    return [
        sorted((a, b))
        for a, b in itertools.combinations(documents, 2)
        if any(x == y for x, y in zip(documents[a], documents[b], strict=True))
    ]


@given(_DOCUMENTS, st.integers(1, 3), st.lists(_KEYS, max_size=3), st.booleans(), st.booleans())
def test_clusters_are_connected_components(
    tmp_path_factory: pytest.TempPathFactory,
    documents: Documents,
    count: int,
    cuts: list[int],
    reverse: bool,
    chained: bool,
) -> None:
    folder = tmp_path_factory.mktemp("clusters")
    ranges = list(itertools.pairwise(sorted({0, *cuts, KEY_SPACE})))
    keys = files(folder, documents, count)
    path = cluster(folder, keys[::-1] if reverse else keys, 2, ranges, chained)
    assert rows(path) == components(equal_keys(documents))
    whole = path.read_bytes()
    direct_edges(keys, 2, NONE, chained, folder / "edges.npy")
    write_clusters([folder / "edges.npy"], folder / "direct.parquet")
    assert (folder / "direct.parquet").read_bytes() == whole


@given(_DOCUMENTS, st.lists(_KEYS, min_size=12, max_size=12), st.integers(1, 3), st.data())
def test_a_later_step_goes_on_with_those_who_stay(
    tmp_path_factory: pytest.TempPathFactory, documents: Documents, others: list[int], count: int, data: st.DataObject
) -> None:
    """Two steps against one document after another in plain Python, each with an order of its own for who stays."""
    folder = tmp_path_factory.mktemp("steps")
    second = {ordinal: (key, ordinal) for ordinal, key in zip(documents, others, strict=False)}
    orders = [
        dict(zip(sorted(documents), data.draw(st.permutations(range(len(documents)))), strict=True)) for _ in "12"
    ]

    def rank(order: dict[int, int]) -> Callable[[pl.DataFrame], pl.DataFrame]:
        return lambda members: members.sort(
            "root", pl.col("ordinal").map_elements(order.__getitem__, return_dtype=pl.Int64)
        )

    half = [(0, 2**63), (2**63, KEY_SPACE)]
    first = cluster(folder, files(folder, documents, count), 2, half, rank=rank(orders[0]))
    first = first.rename(folder / "first.parquet")
    gone = dropped_between(first, 0, KEY_SPACE)
    keys = files(folder, second, count, "second")
    path = cluster(folder, keys, 2, half, without=gone, number=1, earlier=first, rank=rank(orders[1]))

    stands_for = {ordinal: ordinal for ordinal in documents}
    dropped_by: dict[int, int] = {}
    for number, (now, order) in enumerate(zip((documents, second), orders, strict=True)):
        alive = {ordinal: keys for ordinal, keys in now.items() if ordinal not in dropped_by}
        found = components(equal_keys(alive))
        for root in {root for _, root, _ in found}:
            members = [ordinal for ordinal, mine, _ in found if mine == root]
            best = min(members, key=order.__getitem__)
            for ordinal in members:
                if ordinal != best:
                    dropped_by[ordinal] = number
                    stands_for = {o: best if s == ordinal else s for o, s in stands_for.items()}
    sizes = Counter(stands_for.values())
    assert clusters_between(path, 0, KEY_SPACE).rows() == [
        (ordinal, stands_for[ordinal], sizes[stands_for[ordinal]], dropped_by.get(ordinal))
        for ordinal in sorted(documents)
        if sizes[stands_for[ordinal]] > 1
    ]


@given(_DOCUMENTS, st.sets(_ORDINALS, max_size=4))
def test_what_takes_no_part_joins_nothing(
    tmp_path_factory: pytest.TempPathFactory, documents: Documents, more: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("without")
    without = sorted({*list(documents)[::3], *more})
    left = {ordinal: keys for ordinal, keys in documents.items() if ordinal not in without}
    path = cluster(folder, files(folder, documents, 2), 2, [(0, KEY_SPACE)], without=np.array(without, np.uint64))
    assert rows(path) == components(equal_keys(left))


@given(st.lists(_EDGES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_edges_does_not_matter(tmp_path_factory: pytest.TempPathFactory, groups: list, random) -> None:
    folder = tmp_path_factory.mktemp("edges")
    paths = [write_pairs(folder / f"{k}.npy", group) for k, group in enumerate(groups)]
    write_clusters(paths, folder / "a")
    assert rows(folder / "a") == components(edge for group in groups for edge in group)
    random.shuffle(paths)
    write_clusters(paths, folder / "b")
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


@given(_EDGES, st.sets(st.integers(0, 30)))
def test_what_is_refused_at_a_second_look_joins_nothing(
    tmp_path_factory: pytest.TempPathFactory, edges: list[list[int]], unlike: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("accept")

    def accept(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ~(np.isin(a, list(unlike)) | np.isin(b, list(unlike)))

    write_clusters([write_pairs(folder / "edges.npy", edges)], folder / "clusters", accept=accept)
    assert rows(folder / "clusters") == components(edge for edge in edges if not unlike & {*edge})


def test_one_stranger_in_a_group_does_not_part_the_others(tmp_path: Path) -> None:
    """The first of five with one key is like none of the others."""
    write_keys(tmp_path / "keys.npy", np.arange(5, dtype=np.uint64), np.full((5, 1), 7, np.uint64))
    direct_edges([tmp_path / "keys.npy"], 1, NONE, True, tmp_path / "edges.npy")
    write_clusters([tmp_path / "edges.npy"], tmp_path / "clusters", accept=lambda a, b: a > 0)
    assert rows(tmp_path / "clusters") == [(k, 1, 4) for k in range(1, 5)]


def test_a_long_chain_and_a_large_star_are_one_cluster_each(tmp_path: Path) -> None:
    size = 200_000
    chain = np.arange(size, dtype=np.uint64)
    star = np.arange(size, 2 * size, dtype=np.uint64)
    edges = {"chain": [chain[:-1], chain[1:]], "star": [np.full(size - 1, size, np.uint64), star[1:]]}
    for name, columns in edges.items():
        write_array(tmp_path / name, (2, size - 1), iter(columns))
    write_clusters([tmp_path / "star", tmp_path / "chain"], tmp_path / "clusters")
    found = clusters_between(tmp_path / "clusters", 0, KEY_SPACE)
    assert found["ordinal"].to_list() == list(range(2 * size))
    assert found["cluster"].unique(maintain_order=True).to_list() == [0, size]
    assert found["cluster_size"].unique().to_list() == [size]


def test_edges_of_a_range_are_sorted_and_unique(tmp_path: Path) -> None:
    keys = np.array([[7], [7], [9], [7], [9], [2**64 - 1], [2**64 - 1]], np.uint64)
    ordinals = np.array([50, 3, 8, 40, 1, 6, 5], np.uint64)
    write_keys(tmp_path / "a.npy", ordinals, keys)
    write_keys(tmp_path / "again.npy", ordinals[3:5], keys[3:5])
    for name in ("a", "again"):
        write_run([tmp_path / f"{name}.npy"], 1, NONE, tmp_path / f"{name}-run.npy")
    both = [tmp_path / "a-run.npy", tmp_path / "again-run.npy"]
    for lo, hi, edges in [
        (0, KEY_SPACE, [(1, 8), (3, 40), (3, 50), (5, 6)]),
        (7, 9, [(3, 40), (3, 50)]),
        (8, 2**64 - 1, [(1, 8)]),
        (2**64 - 1, KEY_SPACE, [(5, 6)]),
        (9, 9, []),
    ]:
        for chained, more in [(False, []), (True, [(40, 50)] if (3, 50) in edges else [])]:
            partition_edges(both, 0, lo, hi, chained, tmp_path / "edges")
            found = [tuple(map(int, edge)) for piece in edges_of([tmp_path / "edges"]) for edge in piece.T]
            assert found == sorted([*edges, *more])


@pytest.mark.parametrize(("documents", "budget"), [(0, 1), (1, 1), (10**9, 2**30), (10**6, 2**40), (12345, 6789)])
def test_partitions_cover_all_keys_once_and_keep_the_budget(documents: int, budget: int) -> None:
    ranges = partitions(documents, budget)
    assert ranges[0][0] == 0 and ranges[-1][1] == KEY_SPACE
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges)) and all(lo < hi for lo, hi in ranges)
    share = max(hi - lo for lo, hi in ranges) / KEY_SPACE
    assert share * documents * 64 <= budget * 1.000001


def test_hundreds_of_files_need_few_file_handles(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    paths = [tmp_path / f"{k}.npy" for k in range(300)]
    for k, path in enumerate(paths):
        write_keys(path, np.array([k], np.uint64), np.array([[k // 2]], np.uint64))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    try:
        path = cluster(tmp_path, paths, 1, partitions(300, 300))
        write_run(paths, 1, NONE, tmp_path / "run.npy")
        write_clusters(sorted(tmp_path.glob("edges*")) * 300, tmp_path / "again.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert rows(path)[10:12] == [(10, 10, 2), (11, 10, 2)] and len(rows(path)) == 300
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_a_range_is_all_that_is_read_of_a_run(tmp_path: Path) -> None:
    """Work must not grow with the number of ranges: what lies outside of one may be damaged, and nobody looks at it."""
    size = 200_000
    keys = (np.arange(size, dtype=np.uint64) // np.uint64(2)) << np.uint64(40)
    write_keys(tmp_path / "keys.npy", np.arange(size, dtype=np.uint64), keys[:, None])
    write_run([tmp_path / "keys.npy"], 1, NONE, tmp_path / "run.npy")
    run = np.load(tmp_path / "run.npy", mmap_mode="r+")
    run[0, 1, : size // 2] = 2**64 - 1
    run.flush()
    low, high = int(keys[size // 2]), int(keys[size // 2 + 1000])
    partition_edges([tmp_path / "run.npy"], 0, low, high, False, tmp_path / "edges.npy")
    (edges,) = edges_of([tmp_path / "edges.npy"])
    assert edges.T.tolist() == [[k, k + 1] for k in range(size // 2, size // 2 + 1000, 2)]


@pytest.fixture(scope="module")
def three_row_groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "clusters.parquet"
    ordinals = np.arange(0, 3 * 2**16, dtype=np.uint64) << np.uint64(20)
    write_array(path.with_name("edges"), (2, len(ordinals) // 2), iter([ordinals[::2], ordinals[1::2]]))
    write_clusters([path.with_name("edges")], path)
    return path


@given(st.integers(0, 2**38), st.integers(0, 2**38))
@settings(max_examples=25)
def test_clusters_of_a_range_are_those_of_its_ordinals(three_row_groups: Path, a: int, b: int) -> None:
    lo, hi = sorted([a, b])
    every = pl.read_parquet(three_row_groups)
    expected = every.filter((pl.col("ordinal") >= lo) & (pl.col("ordinal") < hi))
    assert clusters_between(three_row_groups, lo, hi).equals(expected)


def test_clusters_outside_of_the_range_are_not_read(three_row_groups: Path, tmp_path: Path) -> None:
    metadata = pq.read_metadata(three_row_groups)
    assert metadata.num_row_groups == 3
    damaged = bytearray(three_row_groups.read_bytes())
    begin = metadata.row_group(0).column(0).data_page_offset
    damaged[begin : metadata.row_group(2).column(0).data_page_offset] = b"\xff" * (
        metadata.row_group(2).column(0).data_page_offset - begin
    )
    (tmp_path / "damaged").write_bytes(damaged)
    assert len(clusters_between(tmp_path / "damaged", 2**17 << 20, KEY_SPACE)) == 2**16
    assert len(clusters_between(tmp_path / "damaged", 5, 5)) == 0


def test_wrong_files_and_ranges_are_named(tmp_path: Path) -> None:
    write_keys(tmp_path / "good", np.array([1], np.uint64), np.array([[2]], np.uint64))
    write_run([tmp_path / "good"], 1, NONE, tmp_path / "run")
    (tmp_path / "bad").write_bytes(b"\x93NUMPY this is no array")
    (tmp_path / "cut").write_bytes((tmp_path / "run").read_bytes()[:-8])
    np.save(tmp_path / "floats", np.zeros((2, 2)))
    np.save(tmp_path / "pickle", np.array([{}], object), allow_pickle=True)
    for name in ("bad", "cut", "floats.npy", "pickle.npy", "absent"):
        for attempt in (
            lambda path: write_run([path], 1, NONE, tmp_path / "out"),
            lambda path: partition_edges([tmp_path / "run", path], 0, 0, KEY_SPACE, False, tmp_path / "out"),
            lambda path: write_clusters([path], tmp_path / "out"),
        ):
            with pytest.raises(ValueError, match=f"{name}: "):
                attempt(tmp_path / name)
    with pytest.raises(ValueError, match=r"good: .*with 3 rows"):
        write_run([tmp_path / "good"], 2, NONE, tmp_path / "out")
    for lo, hi in [(5, 4), (-1, 4), (0, KEY_SPACE + 1)]:
        with pytest.raises(ValueError, match="no range"):
            partition_edges([], 0, lo, hi, False, tmp_path / "out")
        with pytest.raises(ValueError, match="no range"):
            clusters_between(tmp_path / "out", lo, hi)
    with pytest.raises(ValueError, match="no partition"):
        partitions(10, 0)
    with pytest.raises(ValueError, match="do not fit"):
        write_keys(tmp_path / "out", np.array([1, 2], np.uint64), np.array([[2]], np.uint64))


def test_nothing_gives_empty_files_that_can_be_read(tmp_path: Path) -> None:
    step = MinHash()
    keys, found = step.band_keys(pl.Series(["", None], dtype=pl.String))
    write_keys(tmp_path / "empty", np.arange(2, dtype=np.uint64)[found], keys[found])
    path = cluster(tmp_path, [tmp_path / "empty"], step.bands, [(0, KEY_SPACE)])
    assert clusters_between(path, 0, KEY_SPACE).rows() == []
    assert pq.read_schema(path).remove_metadata() == CLUSTERS
