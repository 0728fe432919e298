"""Searches in indexes of any keys, runs and pieces, against a walk over all rows in plain Python."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup import jobs
from pipeline.dedup.bands import group_edges, write_array
from pipeline.dedup.index.add import DOCUMENTS
from pipeline.dedup.index.identity import described, differences
from pipeline.dedup.index.lookup import KnownDocuments, Place
from pipeline.dedup.index.manifest import (
    FORMAT,
    Addition,
    DedupIndexError,
    Index,
    Manifest,
    Segment,
    Table,
    put_in_place,
    replace_manifest,
    writing,
)
from pipeline.dedup.index.merge import compact, merge
from pipeline.dedup.minhash import MinHash
from pipeline.write import conform

Runs = list[list[tuple[int, int]]]
"""Of each run the keys of its documents, one in each of two bands."""

BANDS = 2
STEP = MinHash(bands=BANDS, rows=1)
_KEYS = st.sampled_from([0, 1, 2, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1])
_RUNS = st.lists(st.lists(st.tuples(_KEYS, _KEYS), max_size=8), min_size=1, max_size=4)


def make(path: Path, runs: Runs) -> Index:
    """An index of runs, each in a piece of its own; every other document stands for the one after it."""
    table = Table(name="near", use="minhash", settings={}, keys=described(STEP), bands=BANDS, evidence=None)
    additions, segments = [], []
    with writing(path) as aside:
        for number, keys in enumerate(runs):
            (aside / "documents").mkdir()
            (aside / "keys").mkdir()
            ids = [f"{number}-{row}" for row in range(len(keys))]
            stands = [(number << 32) + row - row % 2 for row in range(len(keys))]
            docs = pl.DataFrame({"id": ids, "source": "s", "verdict": "kept", "stands": stands})
            pq.write_table(conform(docs, DOCUMENTS), aside / "documents" / "documents.parquet", row_group_size=3)
            parts = []
            for band in range(BANDS):
                rows = sorted((key[band], (number << 32) + row) for row, key in enumerate(keys))
                parts += [np.array([row[part] for row in rows], np.uint64) for part in (0, 1)]
            write_array(aside / "keys" / "near.npy", (BANDS, 2, len(keys)), iter(parts))
            folder, files = put_in_place(path, aside / "keys", "keys")
            segments.append(Segment(first=number, last=number + 1, folder=folder, files=files))
            name = f"run-{number}"
            told = {"name": name, "documents": len(keys), "inputs": name, "samples": name, "keys": folder}
            folder, files = put_in_place(path, aside / "documents", "additions")
            additions.append(Addition(**told, folder=folder, files=files))
        manifest = Manifest(format=FORMAT, tables=(table,), additions=tuple(additions), segments=tuple(segments))
        replace_manifest(path, manifest)
    return Index(path)


def known(path: Path, count: int) -> KnownDocuments:
    return KnownDocuments([Place(path, count, Index(path).manifest.state(count), "near")])


def edges(found: tuple[np.ndarray, np.ndarray], new: Sequence[int], first: int) -> set[tuple[int, int]]:
    """The edges to documents of this run, whose keys are given."""
    keys = np.concatenate([found[0], np.array(new, np.uint64)])
    ordinals = np.concatenate([found[1], np.arange(len(new), dtype=np.uint64) + np.uint64(first)])
    order = np.argsort(keys)
    pairs = group_edges(keys[order], ordinals[order], True).T.tolist()
    return {(a, b) for a, b in pairs if a != b and b >= first}


@settings(max_examples=60)
@given(_RUNS, st.lists(_KEYS, max_size=6), st.data(), st.booleans())
def test_what_is_found_gives_the_edges_that_all_rows_give(
    tmp_path_factory: pytest.TempPathFactory, runs: Runs, new: list[int], data: st.DataObject, compacted: bool
) -> None:
    """In the first so many runs, whatever pieces they are in."""
    path = tmp_path_factory.mktemp("index") / "index"
    make(path, runs)
    count, band = data.draw(st.integers(0, len(runs))), data.draw(st.integers(0, BANDS - 1))
    if compacted:
        compact(path)
    documents = known(path, count)
    documents.check(0, 1)
    keys, ordinals = documents.rows(band, np.sort(np.array(new, np.uint64)))
    rows = [
        (key[band], number << 32 | row)
        for number, run in enumerate(runs[:count])
        for row, key in enumerate(run)
        if key[band] in new
    ]
    assert set(zip(keys.tolist(), ordinals.tolist(), strict=True)) <= set(rows)
    whole = np.array([key for key, _ in rows], np.uint64), np.array([ordinal for _, ordinal in rows], np.uint64)
    assert documents.first == count << 32
    assert edges((keys, ordinals), sorted(new), documents.first) == edges(whole, sorted(new), documents.first)


@given(_RUNS)
@settings(max_examples=40)
def test_documents_have_the_names_of_their_runs(tmp_path_factory: pytest.TempPathFactory, runs: Runs) -> None:
    path = tmp_path_factory.mktemp("index") / "index"
    make(path, runs)
    every = [(number, row) for number, run in enumerate(runs) for row in range(len(run))]
    ordinals = np.array([number << 32 | row for number, row in every], np.uint64)
    who = known(path, len(runs)).named(ordinals)
    assert who["ordinal"].to_list() == who["own"].to_list() == ordinals.tolist()
    assert who["earlier"].to_list() == [f"run-{number}/{number}-{row}" for number, row in every]
    assert who["stands"].to_list() == [number << 32 | row - row % 2 for number, row in every]


def test_documents_that_are_joined_are_counted(tmp_path: Path) -> None:
    make(tmp_path / "index", [[(0, 0)] * 6, [(1, 1)] * 4])
    documents = known(tmp_path / "index", 2)
    own = np.array([0, 1, 3, 4, 5, 1 << 32], np.uint64)
    # 0 and 1 were in one cluster; 3 stands with 2, and 4 and 5 with 4; the last is with nobody
    assert documents.bridged(own, np.array([0, 0, 0, 1, 1, 5])) == 1
    assert documents.bridged(own, np.array([0, 0, 0, 0, 0, 0])) == 3
    assert documents.bridged(own[:0], np.empty(0, np.int64)) == 0


@given(_RUNS, st.integers(1, 4))
@settings(max_examples=40)
def test_merged_keys_are_sorted_by_key_and_document(
    tmp_path_factory: pytest.TempPathFactory, runs: Runs, at_once: int
) -> None:
    path = tmp_path_factory.mktemp("index") / "index"
    pieces = [path / f"{part.folder}/near.npy" for part in make(path, runs).manifest.segments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "DEDUP_BYTES", 64 * at_once)
        merge(pieces, BANDS, path / "merged.npy")
    for band, (keys, ordinals) in enumerate(np.load(path / "merged.npy")):
        rows = sorted((key[band], number << 32 | row) for number, run in enumerate(runs) for row, key in enumerate(run))
        assert list(zip(keys.tolist(), ordinals.tolist(), strict=True)) == rows


def test_who_reads_while_it_is_compacted_looks_again(tmp_path: Path) -> None:
    make(tmp_path / "index", [[(5, 0)], [(5, 0)]])
    documents = known(tmp_path / "index", 2)
    wanted = np.array([5], np.uint64)
    before = documents.rows(0, wanted)
    compact(tmp_path / "index")
    assert len(list((tmp_path / "index" / "keys").iterdir())) == 1
    assert documents.rows(0, wanted)[1].tolist() == before[1].tolist() == [0, 1 << 32]


def test_another_index_in_its_place_is_no_answer(tmp_path: Path) -> None:
    make(tmp_path / "a", [[(5, 0)], [(6, 0)]])
    make(tmp_path / "b", [[(5, 0)], [(7, 0)]])
    state = Index(tmp_path / "a").manifest.state
    assert state(1) == Index(tmp_path / "b").manifest.state(1)
    for count, path in ((2, tmp_path / "b"), (3, tmp_path / "a")):
        with pytest.raises(DedupIndexError, match="is another index than before"):
            KnownDocuments([Place(path, count, state(count), "near")]).rows(0, np.array([5], np.uint64))


def test_what_keys_depend_on_is_told_apart() -> None:
    same = [MinHash(), MinHash(preset="fineweb"), MinHash(prefer=["latest"], proof=False, against=["somewhere"])]
    assert all(described(step) == described(same[0]) for step in same)
    assert described(MinHash(verify={"by": "shingles", "jaccard": 0.5})) == described(same[0])
    others = [MinHash(shingle=4), MinHash(seed=2), MinHash(hash="datasketch"), MinHash(preset="bigcode")]
    assert all(list(differences(described(step), described(same[0]), "one", "other")) for step in others)
    (words,) = differences(described(MinHash(seed=2)), described(MinHash()), "index", "step")
    assert words == "seed is 2 in the index and 1 in the step"
