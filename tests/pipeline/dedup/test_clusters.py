"""From signature files to clusters, against connected components found by brute force and real planted duplicates."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.bands import EDGES, KEY_SPACE, partition_edges, partitions, write_signatures, write_table
from pipeline.dedup.clusters import clusters_between, write_clusters
from pipeline.dedup.exact import Exact
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


def files(folder: Path, documents: Documents, count: int) -> list[Path]:
    paths = [folder / f"signatures-{k}.parquet" for k in range(count)]
    for k, path in enumerate(paths):
        mine = {ordinal: keys for ordinal, keys in documents.items() if ordinal % count == k}
        keys = np.array(list(mine.values()), np.uint64).reshape(len(mine), 2)
        write_signatures(path, np.array(list(mine), np.uint64), keys)
    return paths


def cluster(folder: Path, signatures: Sequence[Path], bands: int, ranges: Sequence[tuple[int, int]]) -> Path:
    edges = [folder / f"edges-{band}-{lo}.parquet" for band in range(bands) for lo, _ in ranges]
    for path, (band, (lo, hi)) in zip(edges, itertools.product(range(bands), ranges), strict=True):
        partition_edges(signatures, band, lo, hi, path)
    write_clusters(edges, folder / "clusters.parquet")
    return folder / "clusters.parquet"


@given(_DOCUMENTS, st.integers(1, 3), st.lists(_KEYS, max_size=3), st.booleans())
def test_clusters_are_connected_components(
    tmp_path_factory: pytest.TempPathFactory, documents: Documents, count: int, cuts: list[int], reverse: bool
) -> None:
    folder = tmp_path_factory.mktemp("clusters")
    edges = [
        sorted((a, b))
        for a, b in itertools.combinations(documents, 2)
        if any(x == y for x, y in zip(documents[a], documents[b], strict=True))
    ]
    bounds = sorted({0, *cuts, KEY_SPACE})
    signatures = files(folder, documents, count)
    path = cluster(folder, signatures[::-1] if reverse else signatures, 2, list(itertools.pairwise(bounds)))
    assert clusters_between(path, 0, KEY_SPACE).rows() == components(edges)
    one_range = cluster(folder, files(folder, documents, 1), 2, [(0, KEY_SPACE)])
    whole = one_range.read_bytes()
    assert cluster(folder, signatures, 2, list(itertools.pairwise(bounds))).read_bytes() == whole


@given(st.lists(_EDGES, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_edges_does_not_matter(tmp_path_factory: pytest.TempPathFactory, groups: list, random) -> None:
    folder = tmp_path_factory.mktemp("edges")
    paths = []
    for k, group in enumerate(groups):
        paths.append(folder / f"{k}.parquet")
        columns = np.array(group, np.uint64).reshape(len(group), 2).T
        write_table(paths[-1], pa.table([pa.array(column) for column in columns], schema=EDGES))
    write_clusters(paths, folder / "a")
    assert clusters_between(folder / "a", 0, KEY_SPACE).rows() == components(edge for group in groups for edge in group)
    random.shuffle(paths)
    write_clusters(paths, folder / "b")
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_a_long_chain_and_a_large_star_are_one_cluster_each(tmp_path: Path) -> None:
    size = 200_000
    chain = np.arange(size, dtype=np.uint64)
    star = np.arange(size, 2 * size, dtype=np.uint64)
    edges = {"chain": (chain[:-1], chain[1:]), "star": (np.full(size - 1, size, np.uint64), star[1:])}
    for name, columns in edges.items():
        write_table(tmp_path / name, pa.table([pa.array(column) for column in columns], schema=EDGES))
    write_clusters([tmp_path / "star", tmp_path / "chain"], tmp_path / "clusters")
    found = clusters_between(tmp_path / "clusters", 0, KEY_SPACE)
    assert found["ordinal"].to_list() == list(range(2 * size))
    assert found["cluster"].unique(maintain_order=True).to_list() == [0, size]
    assert found["cluster_size"].unique().to_list() == [size]


def test_edges_of_a_partition_are_sorted_and_unique(tmp_path: Path) -> None:
    keys = np.array([[7], [7], [9], [7], [9], [2**64 - 1], [2**64 - 1]], np.uint64)
    write_signatures(tmp_path / "a", np.array([50, 3, 8, 40, 1, 6, 5], np.uint64), keys)
    write_signatures(tmp_path / "again", np.array([40, 1], np.uint64), keys[3:5])
    both = [tmp_path / "a", tmp_path / "again"]
    for lo, hi, edges in [
        (0, KEY_SPACE, [(1, 8), (3, 40), (3, 50), (5, 6)]),
        (7, 9, [(3, 40), (3, 50)]),
        (8, 2**64 - 1, [(1, 8)]),
        (2**64 - 1, KEY_SPACE, [(5, 6)]),
        (9, 9, []),
    ]:
        partition_edges(both, 0, lo, hi, tmp_path / "edges")
        assert pl.read_parquet(tmp_path / "edges").rows() == edges


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
    paths = [tmp_path / f"{k}.parquet" for k in range(300)]
    for k, path in enumerate(paths):
        write_signatures(path, np.array([k], np.uint64), np.array([[k // 2]], np.uint64))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    try:
        partition_edges(paths, 0, 0, KEY_SPACE, tmp_path / "edges")
        write_clusters([tmp_path / "edges"] * 300, tmp_path / "clusters")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert clusters_between(tmp_path / "clusters", 10, 12).rows() == [(10, 10, 2), (11, 10, 2)]


@pytest.fixture(scope="module")
def three_row_groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "clusters.parquet"
    ordinals = np.arange(0, 3 * 2**16, dtype=np.uint64) << np.uint64(20)
    edges = path.with_name("edges")
    write_table(edges, pa.table([pa.array(ordinals[::2]), pa.array(ordinals[1::2])], schema=EDGES))
    write_clusters([edges], path)
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
    write_signatures(tmp_path / "good", np.array([1], np.uint64), np.array([[2]], np.uint64))
    (tmp_path / "bad").write_bytes(b"PAR1 this is no Parquet file PAR1")
    with pytest.raises(ValueError, match=r"good: no column band_01"):
        partition_edges([tmp_path / "good"], 1, 0, KEY_SPACE, tmp_path / "out")
    with pytest.raises(ValueError, match="bad: "):
        partition_edges([tmp_path / "good", tmp_path / "bad"], 0, 0, KEY_SPACE, tmp_path / "out")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-20])
    with pytest.raises(ValueError, match="cut: "):
        partition_edges([tmp_path / "cut"], 0, 0, KEY_SPACE, tmp_path / "out")
    with pytest.raises(ValueError, match="absent: "):
        write_clusters([tmp_path / "absent"], tmp_path / "out")
    with pytest.raises(ValueError, match="bad: "):
        write_clusters([tmp_path / "bad"], tmp_path / "out")
    with pytest.raises(ValueError, match="good: no column smallest, other"):
        write_clusters([tmp_path / "good"], tmp_path / "out")
    for lo, hi in [(5, 4), (-1, 4), (0, KEY_SPACE + 1)]:
        with pytest.raises(ValueError, match="no range"):
            partition_edges([], 0, lo, hi, tmp_path / "out")
        with pytest.raises(ValueError, match="no range"):
            clusters_between(tmp_path / "out", lo, hi)
    with pytest.raises(ValueError, match="no partition"):
        partitions(10, 0)
    with pytest.raises(ValueError, match="do not fit"):
        write_signatures(tmp_path / "out", np.array([1, 2], np.uint64), np.array([[2]], np.uint64))


def test_nothing_gives_empty_files_that_can_be_read(tmp_path: Path) -> None:
    step = MinHash()
    keys, found = step.band_keys(pl.Series(["", None], dtype=pl.String))
    write_signatures(tmp_path / "empty", np.arange(2, dtype=np.uint64)[found], keys[found])
    path = cluster(tmp_path, [tmp_path / "empty"], step.bands, [(0, KEY_SPACE)])
    assert clusters_between(path, 0, KEY_SPACE).schema == {
        "ordinal": pl.UInt64,
        "cluster": pl.UInt64,
        "cluster_size": pl.UInt32,
    }


@pytest.fixture(scope="module")
def passages(test_data: Callable[[str], Path]) -> tuple[pl.DataFrame, int]:
    """Passages with their gold cluster and kind, and how many of them are copies of another."""
    folder = test_data("I-planted-neardup")
    gold = [line.split("\t") for line in (folder / "gold_10k.tsv").read_text().splitlines()]
    docs = pl.read_parquet(folder / "docs_10k.parquet")
    assert docs["id"].to_list() == [line[0] for line in gold]
    docs = docs.with_columns(
        gold=pl.Series([int(line[1]) for line in gold]), kind=pl.Series([line[2] for line in gold])
    )
    return docs, len(docs) - docs["gold"].n_unique()


@pytest.mark.parametrize(("step", "least"), [(MinHash(), 0.53), (MinHash(hash="datasketch"), 0.53), (Exact(), 0.2)])
def test_planted_duplicates_are_found_and_nothing_else(
    passages: tuple[pl.DataFrame, int], step: MinHash | Exact, least: float, tmp_path: Path
) -> None:
    docs, copies = passages
    paths = []
    for k, split in enumerate(docs.iter_slices(3000)):
        keys, found = step.band_keys(split["text"])
        ordinals = (np.uint64(k) << np.uint64(32)) + np.arange(len(split), dtype=np.uint64)
        paths.append(tmp_path / f"{k}")
        write_signatures(paths[-1], ordinals[found], keys[found])
    path = cluster(tmp_path, paths, step.bands, partitions(len(docs), 300_000))
    found = clusters_between(path, 0, KEY_SPACE).filter(pl.col("ordinal") != pl.col("cluster"))
    removed, survivors = (
        (ordinals >> np.uint64(32)) * np.uint64(3000) + (ordinals & np.uint64(0xFFFFFFFF))
        for ordinals in (found["ordinal"].to_numpy(), found["cluster"].to_numpy())
    )
    gold = docs["gold"].to_numpy()
    right = gold[removed] == gold[survivors]
    print(f"{step!r}: precision {right.mean():.4f}, recall {right.sum() / copies:.4f} of {copies}")
    assert right.all()
    assert right.sum() / copies >= least
    if isinstance(step, MinHash):
        # Of the clusters of two, as many as their true Jaccard similarities let expect: four sigma of the binomials.
        rows = docs.with_row_index("row").group_by("gold").agg("row", "text").filter(pl.col("row").list.len() == 2)
        sets = [[set(step.shingles(text)) for text in pair] for pair in rows["text"]]
        chances = np.array([step.probability(len(a & b) / len(a | b)) for a, b in sets])
        met = np.isin([max(pair) for pair in rows["row"]], removed).sum()
        assert met == pytest.approx(chances.sum(), abs=4 * (chances * (1 - chances)).sum() ** 0.5)
    exact = np.flatnonzero((docs["kind"] == "exact").to_numpy())
    assert len(exact) == 500 and np.isin(exact, np.concatenate([removed, survivors])).all()
