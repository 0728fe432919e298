"""Parquet: rows come out as they went in, in any splits, and what cannot be read is said before or beside the rows."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.readers import ParquetReader, parquet
from pipeline.readers.pages import dictionary_bytes, largest_page


@pytest.fixture
def table(tmp_path):
    def write(columns, **options):
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write


def test_rows_in_any_splits(table, read_all):
    texts = [f"row {i} " * (i % 40 + 1) for i in range(1000)]
    path = table({"text": texts, "url": [f"u{i}" for i in range(1000)], "id": range(1000)}, row_group_size=70)
    whole, _ = read_all(ParquetReader(), path)
    assert [record.text for record in whole] == texts
    assert [(record.offset, record.url, record.doc_id) for record in whole] == [
        (i, f"u{i}", str(i)) for i in range(1000)
    ]
    for split_bytes in (1, 1000, 5000):
        assert read_all(ParquetReader(), path, split_bytes)[0] == whole
    reader = ParquetReader()
    assert len(reader.splits(path.stat().st_size, str(path), 1)) == 15
    assert (
        sum(split.end - split.start for split in reader.splits(path.stat().st_size, str(path), 3000))
        == path.stat().st_size
    )


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_types_of_text(table, read_all, kind):
    text = pa.array(["a", None, "ü", " "], pa.string())
    text = text.dictionary_encode() if pa.types.is_dictionary(kind) else text.cast(kind)
    a, missing, u, empty = read_all(ParquetReader(), table({"text": text}))[0]
    assert (a.text, u.text) == ("a", "ü")
    assert missing.error == "read.missing_text" and empty.drop == "read.empty"


def test_bytes_that_are_no_text(table, read_all):
    good, bad, last = read_all(ParquetReader(), table({"text": pa.array([b"a", b"\xff", b"b"])}))[0]
    assert (good.text, bad.error, last.text) == ("a", "read.utf8", "b")
    assert bad.html == b"\xff"


def test_dates_and_numbers_become_strings(table, read_all):
    (record,) = read_all(
        ParquetReader(columns={"id": "n"}),
        table({"text": ["a"], "date": [datetime.datetime(2020, 1, 2, 3, 4, 5)], "n": [1.5], "language": ["de"]}),
    )[0]
    assert (record.date, record.doc_id, record.language) == ("2020-01-02T03:04:05", "1.5", "de")


def test_a_missing_text_column_is_named_with_its_neighbour(table):
    path = table({"txet": ["a"], "x": [1]})
    with pytest.raises(ValueError, match="no column 'text'.*did you mean 'txet'"):
        ParquetReader().splits(1, str(path), 1)
    with pytest.raises(ValueError, match="column 'x' for the text has the type int64"):
        ParquetReader(columns={"text": "x"}).splits(1, str(path), 1)


def test_no_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(ValueError, match="no readable Parquet file"):
        ParquetReader().splits(11, str(path), 1)


def test_no_rows(table, read_all):
    assert read_all(ParquetReader(), table({"text": pa.array([], pa.string())}))[0] == []


def test_a_damaged_row_group_costs_itself(table, read_all):
    path = table({"text": [f"{i} " + "x" * 200 for i in range(300)]}, row_group_size=100, use_dictionary=False)
    data = bytearray(path.read_bytes())
    middle = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data[middle.data_page_offset + 4 : middle.data_page_offset + 90] = bytes(86)
    path.write_bytes(data)
    records, _ = read_all(ParquetReader(), path)
    kept = [record.text.split()[0] for record in records if record.text]
    assert {str(i) for i in [*range(100), *range(200, 300)]} <= set(kept)
    assert [record.error for record in records if record.error] == ["read.corrupt"]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_sizes_of_pages(tmp_path, version, compression):
    """All values of a column without a dictionary are in its pages, each four bytes longer."""
    path = tmp_path / "x.parquet"
    texts = [str(number) * 50 for number in range(4000)] + ["x" * 300_000]
    settings = {
        "data_page_version": version,
        "compression": compression,
        "data_page_size": 20_000,
        "write_batch_size": 10,
    }
    pq.write_table(pa.table({"text": texts}), path, use_dictionary=False, **settings)
    (chunk,) = [pq.ParquetFile(path).metadata.row_group(0).column(0)]
    with path.open("rb") as file:
        assert 300_004 <= largest_page(file, chunk) < 330_000
        assert dictionary_bytes(file, chunk) == 0
    pq.write_table(pa.table({"text": ["abc" * 100, "de" * 100] * 50}), path, **settings)
    (chunk,) = [pq.ParquetFile(path).metadata.row_group(0).column(0)]
    with path.open("rb") as file:
        assert dictionary_bytes(file, chunk) == 300 + 200 + 2 * 4
        assert largest_page(file, chunk) == 508


def test_a_page_that_is_too_large_costs_its_row_group(table, tmp_path, read_all, monkeypatch):
    monkeypatch.setattr(parquet, "_MAX_PAGE", 1 << 20)
    path = tmp_path / "x.parquet"
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()}), compression="zstd", use_dictionary=False) as writer:
        for texts in (["a", "b"], ["c", "x" * (2 << 20)], ["d"]):
            writer.write_table(pa.table({"text": texts}))
    records, _ = read_all(ParquetReader(), path)
    assert [(record.offset, record.text, record.error) for record in records] == [
        (0, "a", None),
        (1, "b", None),
        (2, None, "read.too_large"),
        (4, "d", None),
    ]
