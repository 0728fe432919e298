"""The words that spans are made of, against MinHash's; files of rows, tables of keys, and what can be wrong in them."""

import itertools
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shuffle import NOBODY

from filters.words import buffers
from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.bands import KEY_SPACE
from pipeline.dedup.minhash import words
from pipeline.dedup.spans.copies import KeyTable, by_document, of_documents, write_copies, write_repeated
from pipeline.dedup.spans.rows import (
    COPY,
    KEY,
    LONGEST_DOCUMENT,
    ORDINAL,
    SPAN,
    RowWriter,
    between,
    bytes_of,
    key_ranges,
    mapped,
    rows_of,
    runs_in,
    stable_order,
    write_runs,
)
from pipeline.dedup.spans.words import count_words, most_words, words_of

_CHARACTERS = "aB9.,-'\u0660\u0301\u00e9Ως日本かก\u0e34\u1780\u200b\u00ad\ufb01ß🙂𐐀𝟗½Ⅷ \n\r\t\u00a0\u2028"
_TEXT = st.text(max_size=80) | st.text(st.sampled_from(_CHARACTERS), max_size=60)


def found(text: str) -> tuple[np.ndarray, list[bytes]]:
    data, offsets = buffers(pl.Series([text, "behind"]))
    most = most_words(offsets)
    hashes, begins, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    count = words_of(data, 0, offsets[1], alphabet(), hashes, begins, ends)
    return hashes[:count], [data[a:b].tobytes() for a, b in zip(begins[:count], ends[:count], strict=True)]


@given(_TEXT)
def test_words_are_those_of_minhash_and_stand_where_it_is_said(text: str) -> None:
    hashes, pieces = found(text)
    expected = words(text)
    assert len(pieces) == len(expected)
    assert [words(piece.decode()) for piece in pieces] == [[word] for word in expected]
    assert len({*hashes.tolist()}) == len({*expected}), "equal words have equal hashes, and others have not"
    assert [found(piece.decode())[0].tolist() for piece in pieces] == [[value] for value in hashes.tolist()]
    assert count_words(*buffers(pl.Series([text])), alphabet())[0] == len(expected)


@given(st.lists(st.integers(1, 40), max_size=20))
def test_words_of_any_length_have_hashes_of_their_own(lengths: list[int]) -> None:
    hashes, _ = found(" ".join("a" * length for length in lengths))
    assert len({*hashes.tolist()}) == len({*lengths})


_ORDINALS = st.integers(0, 2**64 - 1) | st.integers(0, 5).map(lambda k: k << 32 | k * 3) | st.integers(7, 20)
_KEYS = st.sampled_from([0, 1, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]) | st.integers(0, 2**64 - 1)


def write(path: Path, rows: list[tuple[int, int]]) -> Path:
    """A file of spans (ordinal, key), each at a place of its own."""
    with RowWriter(path, SPAN) as writer:
        places = np.arange(len(rows), dtype=np.uint64) << np.uint64(32)
        columns = np.array(rows, np.uint64).reshape(len(rows), 2)
        writer.write(np.stack([columns[:, 0], places, columns[:, 1]], axis=1))
    return path


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 2), _KEYS), max_size=30), min_size=1, max_size=4),
    st.integers(1, 3),
    st.sampled_from([1, 2, 16]),
    st.integers(1, 4),
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=3),
)
def test_copies_are_all_but_the_first_of_a_key(
    tmp_path_factory: pytest.TempPathFactory,
    tasks: list[list[tuple[int, int]]],
    keep: int,
    ranges: int,
    group: int,
    absent: set[tuple[int, int]],
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    tasks = [
        [(task << 32 | row, key) for row, key in sorted(rows, key=lambda r: r[0])] for task, rows in enumerate(tasks)
    ]
    without = np.array(sorted(task << 32 | row for task, row in absent), np.uint64)
    paths = [write(folder / f"{task}", rows) for task, rows in enumerate(tasks)]
    runs = []
    for first in range(0, len(paths), group):
        (folder / f"runs-{first}").mkdir()
        write_runs(paths[first : first + group], without, folder / f"runs-{first}")
        runs += runs_in(folder / f"runs-{first}")
    first_of: dict[int, int] = {}
    count: Counter[int] = Counter()
    expected = []
    for rows in tasks:
        for place, (ordinal, key) in enumerate(rows):
            if ordinal not in without:
                count[key] += 1
                first_of.setdefault(key, ordinal)
                if count[key] > keep:
                    expected.append((ordinal, place << 32, key, first_of[key], count[key]))
    files, repeated = [], []
    for lo, hi in key_ranges(ranges, 1, 1):
        files.append(folder / f"copies-{lo}")
        assert write_copies(runs, lo, hi, keep, files[-1]) == len(mapped(files[-1], COPY))
        repeated.append(folder / f"repeated-{lo}")
        write_repeated(runs, lo, hi, repeated[-1])
    assert [tuple(row) for row in of_documents(files, COPY, 0, 2**64 - 1).tolist()] == expected
    twice = [row for row in of_documents(repeated, SPAN, 0, 2**64 - 1).tolist()]
    assert twice == [
        [ordinal, place << 32, key]
        for rows in tasks
        for place, (ordinal, key) in enumerate(rows)
        if count[key] > 1 and ordinal not in without
    ]
    for first, last in [(0, 1), (1, 2), (1 << 32, 2 << 32)]:
        some = of_documents(files, COPY, first, last).tolist()
        assert [tuple(row) for row in some] == [row for row in expected if first <= row[0] <= last]


@given(st.lists(_KEYS | st.integers(0, 3), max_size=60))
def test_equal_keys_stay_in_their_order(keys: list[int]) -> None:
    order = stable_order(np.array(keys, np.uint64)).tolist()
    assert order == sorted(range(len(keys)), key=keys.__getitem__)


@given(st.sets(st.tuples(_ORDINALS, st.integers(0, 2**32 - 1)), max_size=30), st.randoms(use_true_random=False))
def test_rows_are_sorted_by_document_and_place(places: set[tuple[int, int]], random: Random) -> None:
    mixed = sorted(places)
    random.shuffle(mixed)
    rows = np.array([(ordinal, start << 32 | 5, 0) for ordinal, start in mixed], np.uint64).reshape(len(mixed), SPAN)
    found = by_document(rows)
    assert [(row[0], row[1] >> 32) for row in found.tolist()] == sorted(places)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 40)), max_size=300), st.integers(0, 40))
def test_a_table_of_keys_counts_like_a_dictionary(keys: list[tuple[int, int]], bits: int) -> None:
    lo = 5 << bits if bits < 60 else 0
    rows = np.zeros((sum(times for _, times in keys), SPAN), np.uint64)
    rows[:, KEY] = [lo + key % (1 << bits) for key, times in keys for _ in range(times)]
    rows[:, ORDINAL] = np.arange(len(rows))
    table, seen = KeyTable(lo, lo + (1 << bits), len({*rows[:, KEY].tolist()})), Counter[int]()
    for part in np.array_split(rows, 3):
        ranks, firsts = table.count(part)
        for rank, first, key in zip(ranks, firsts, part[:, KEY].tolist(), strict=True):
            seen[key] += 1
            assert rank == seen[key] and rows[int(first), KEY] == key and first == np.argmax(rows[:, KEY] == key)
    assert table.often(rows, 3).tolist() == [seen[key] >= 3 for key in rows[:, KEY].tolist()]


@given(st.lists(st.integers(0, 60), max_size=40).map(sorted), st.integers(0, 62), st.integers(0, 62))
def test_a_range_of_a_file_has_the_rows_of_the_range(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], a: int, b: int
) -> None:
    lo, hi = sorted([a, b])
    path = write(tmp_path_factory.mktemp("rows") / "rows", [(key, 0) for key in keys])
    parts = list(between(mapped(path, SPAN), ORDINAL, lo, hi))
    assert [row[ORDINAL] for part in parts for row in part.tolist()] == [key for key in keys if lo <= key < hi]
    assert sum(map(len, between(mapped(path, SPAN), ORDINAL, 0, KEY_SPACE))) == len(keys)


def test_runs_are_no_longer_than_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.dedup.spans import rows as files

    monkeypatch.setattr(files, "ROWS", 10)
    keys = [k * 7919 % 31 for k in range(95)]
    paths = [write(tmp_path / "a", list(enumerate(keys[:33]))), write(tmp_path / "b", list(enumerate(keys[33:], 33)))]
    assert write_runs(paths, NOBODY, tmp_path) == 95
    runs = [mapped(path, SPAN) for path in runs_in(tmp_path)]
    assert max(map(len, runs)) <= 10
    assert all(run[:, KEY].tolist() == sorted(run[:, KEY].tolist()) for run in runs)
    assert [ordinal for run in runs for ordinal in sorted(run[:, ORDINAL].tolist())] == list(range(95))


@pytest.mark.parametrize(("rows", "budget"), [(0, 1), (1, 1), (10**9, 2**28), (123456, 7890)])
def test_ranges_cover_all_keys_once_and_keep_the_budget(rows: int, budget: int) -> None:
    ranges = key_ranges(rows, budget, 96)
    assert ranges[0][0] == 0 and ranges[-1][1] == KEY_SPACE
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges)) and len({hi - lo for lo, hi in ranges}) == 1
    assert rows * 96 / len(ranges) <= budget and (len(ranges) == 1 or rows * 96 / len(ranges) > budget / 2)


def test_places_go_beyond_two_gigabytes_and_at_four_say_so() -> None:
    """In datatrove 0.10.1 four gigabytes are the end of a whole shard, here of one document."""
    docs, keys = np.array([0, 1]), np.array([7, 7], np.uint64)
    ends = np.array([LONGEST_DOCUMENT, LONGEST_DOCUMENT - 5])
    rows = rows_of(np.array([3, 4], np.uint64), docs, ends - 70_000, ends, keys)
    assert [column.tolist() for column in bytes_of(rows)] == [(ends - 70_000).tolist(), ends.tolist()]
    with pytest.raises(OverflowError, match="4294967295 bytes"):
        rows_of(np.array([3, 4], np.uint64), docs, ends, ends + 1, keys)


def test_hundreds_of_files_need_few_file_handles(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    paths = [write(tmp_path / f"{k}", [(k, k // 2)]) for k in range(300)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    try:
        assert write_runs(paths, NOBODY, tmp_path) == 300
        assert write_copies(paths, 0, KEY_SPACE, 1, tmp_path / "copies") == 150
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [len(mapped(path, SPAN)) for path in runs_in(tmp_path)] == [300]


def test_wrong_files_and_ranges_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good", [(1, 2)])
    (tmp_path / "bad").write_bytes(b"this is no array")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(good.read_bytes()[:-8])
    for name in ("bad", "empty", "short", "absent"):
        with pytest.raises(ValueError, match=f"{name}: "):
            write_runs([good, tmp_path / name], NOBODY, tmp_path)
    with pytest.raises(ValueError, match=r"good: an array of uint64 of shape \(1, 3\)"):
        of_documents([good], COPY, 0, 1)
    for lo, hi in [(5, 4), (-1, 4), (0, KEY_SPACE + 1)]:
        with pytest.raises(ValueError, match="no range"):
            list(between(mapped(good, SPAN), KEY, lo, hi))
    for lo, hi in [(0, 3), (2, 6), (4, 4)]:
        with pytest.raises(ValueError, match="no range whose width"):
            KeyTable(lo, hi, 1)
    with pytest.raises(ValueError, match="no ranges"):
        key_ranges(10, 0, 1)
