"""Files made to break readers, in the size of a test (tests/benchmarks/hostile_inputs.py has the large ones)."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hostile_files import FILES, GOOD, MiB, flipped, parquet_cells, parquet_rows, record, write

from pipeline.readers import JsonlReader, ParquetReader, WarcReader, warc
from pipeline.readers.base import open_binary

SIZES = {"bomb.warc.gz": 70, "bomb.warc.zst": 70, "large.warc": 70, "many.warc.gz": 195, "line.jsonl": 70}


def outcomes(records):
    return Counter(record.error or record.drop or "document" for record in records)


@pytest.mark.parametrize("name", FILES)
def test_what_is_good_is_read_and_the_rest_accounted_for(name, tmp_path, read_all):
    size = SIZES.get(name, 70 if name.startswith("bomb") else 1) * MiB
    write(name, size, tmp_path / name)
    records, _ = read_all(JsonlReader() if "jsonl" in name else WarcReader(), tmp_path / name)
    found = outcomes(records)
    assert found.pop("document") == FILES[name].documents(size)
    assert found == FILES[name].errors(size)
    assert all(len(record.html) <= MiB for record in records if record.error)


@pytest.mark.parametrize("length", [300_000, 9, 10**12])
def test_a_packed_file_is_not_unpacked_again_for_every_record(length, tmp_path, read_all, monkeypatch):
    """Of 100 records in one member, each over the limit or with a wrong length: bytes read of the file."""
    body = random.Random(1).randbytes(150_000).hex().encode()
    bad = record(body).replace(b"Content-Length: 300000", b"Content-Length: %d" % length)
    path = tmp_path / "x.warc.gz"
    path.write_bytes(gzip.compress(GOOD + bad * 100 + GOOD, 1))
    taken = [0]

    def counting(name):
        file = open_binary(name)
        read = file.read

        class Counting:
            def read(self, size=-1):
                data = read(size)
                taken[0] += len(data)
                return data

            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

        return Counting()

    monkeypatch.setattr(warc, "open_binary", counting)
    records, _ = read_all(WarcReader(max_record_bytes=100_000), path)
    error = "read.too_large" if length == 300_000 else "read.length"
    assert outcomes(records) == {"document": 2, error: 100}
    assert taken[0] < 12 * path.stat().st_size


def test_zstd_dictionaries_that_are_none(tmp_path, read_all):
    """Damaged, a bomb, or longer than the file: frames that need no dictionary are read."""
    frame = zstandard.ZstdCompressor().compress(GOOD)
    bomb = zstandard.ZstdCompressor().compress(bytes(200 * MiB))
    true = zstandard.train_dictionary(1024, [b"%d and %d" % (i, i * i) * 9 for i in range(500)]).as_bytes()
    for content in (b"", b"no dictionary", frame[:-5], bomb, true[:10], true[:4] + b"\xff" * 500, frame):
        data = b"\x5d\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content + frame * 2
        (tmp_path / "x.warc.zst").write_bytes(data)
        records, _ = read_all(WarcReader(), tmp_path / "x.warc.zst")
        assert outcomes(records) == {"document": 2}, content[:20]
    (tmp_path / "x.warc.zst").write_bytes(b"\x5d\x2a\x4d\x18\xff\xff\xff\xff" + frame * 2)
    assert outcomes(read_all(WarcReader(), tmp_path / "x.warc.zst")[0]) == {"read.garbage": 1, "document": 2}


@pytest.mark.parametrize("name", ["A-dolma-warc/sample-0000.warc.gz", "A-whirlwind/whirlwind.warc.gz"])
def test_a_flipped_byte_of_a_real_archive_costs_one_record(name, tmp_path, test_data, read_all):
    path = test_data(name)
    data = path.read_bytes()
    whole, ignored = read_all(WarcReader(), path)
    for seed in range(60):
        (tmp_path / path.name).write_bytes(flipped(data, seed))
        records, others = read_all(WarcReader(), tmp_path / path.name)
        lost = len(set(whole_of(whole)) - set(whole_of(records))) + sum((ignored - others).values())
        errors = sum(record.error is not None for record in records)
        assert lost <= 1 and lost <= errors <= 2, seed
        assert len(records) + sum(others.values()) >= len(whole) + sum(ignored.values()), seed


def whole_of(records):
    return [record.offset for record in records if not record.error]


@pytest.mark.parametrize("name", ["A-dolma-warc/sample-0000.warc.gz", "A-whirlwind/whirlwind.warc"])
def test_a_real_archive_cut_off_anywhere(name, tmp_path, test_data, read_all):
    path = test_data(name)
    data = path.read_bytes()
    whole, _ = read_all(WarcReader(), path)
    for cut in range(1, len(data), len(data) // 60):
        (tmp_path / path.name).write_bytes(data[:cut])
        records, _ = read_all(WarcReader(), tmp_path / path.name)
        errors = [record for record in records if record.error]
        good = [record for record in records if not record.error]
        assert good == whole[: len(good)] and len(errors) <= 1
        assert len(good) == len(whole) or errors or good[-1].offset < whole[len(good)].offset


@pytest.mark.parametrize("name", ["x.warc", "x.warc.gz", "x.warc.zst", "x.warc.lz4", "x.arc", "x.jsonl", "x.jsonl.gz"])
def test_empty_files(name, tmp_path, read_all):
    reader = JsonlReader() if "jsonl" in name else WarcReader()
    (tmp_path / name).write_bytes(b"")
    assert read_all(reader, tmp_path / name) == ([], Counter())
    packed = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}.get(name.rsplit(".", 1)[1])
    if packed:
        (tmp_path / name).write_bytes(packed(b"") * 3)
        assert read_all(reader, tmp_path / name)[0] == []


def test_parquet_of_many_rows(tmp_path, read_all):
    parquet_rows(tmp_path / "x.parquet", 100_000)
    records, _ = read_all(ParquetReader(), tmp_path / "x.parquet", 1000)
    assert outcomes(records) == {"document": 100_000}
    assert [record.offset for record in records] == list(range(100_000))


def test_parquet_cells_over_the_limit(tmp_path, read_all):
    parquet_cells(tmp_path / "x.parquet", 3, 2 * MiB)
    records, _ = read_all(ParquetReader(max_record_bytes=MiB), tmp_path / "x.parquet")
    assert outcomes(records) == {"document": 2, "read.too_large": 3}
    assert all(len(record.html) == MiB for record in records if record.error)


def test_a_flipped_byte_of_a_parquet_file(tmp_path: Path, read_all):
    """It costs its row group; where the footer is hit the file cannot serve, which is a ValueError as for any such."""
    parquet_rows(tmp_path / "good.parquet", 400)
    data = (tmp_path / "good.parquet").read_bytes()
    outcome = Counter()
    for seed in range(400):
        (tmp_path / "x.parquet").write_bytes(flipped(data, seed))
        try:
            records, _ = read_all(ParquetReader(), tmp_path / "x.parquet")
        except ValueError:
            outcome["unreadable"] += 1
            continue
        outcome["read"] += 1
        good = {record.offset // 100 for record in records if not record.error}
        assert len(good) >= 3 or not records[0].error, seed
    assert outcome["unreadable"] and outcome["read"]
