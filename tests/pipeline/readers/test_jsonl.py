"""JSON Lines: a bad line costs only itself, and splits cut nothing."""

import bz2
import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers import JsonlReader

BAD = {
    b'{"text": "\xff"}': "read.utf8",
    b'{"text": "\\ud800"}': "read.utf8",
    b"{bad": "read.json",
    b"[1]": "read.json",
    b"3": "read.json",
    b"[" * 100_000: "read.json",
    b'{"text": ' + b"9" * 5000 + b"}": "read.json",
    b'{"id": 1}': "read.missing_text",
    b'{"text": null}': "read.missing_text",
    b'{"text": 3}': "read.text_type",
    b'{"text": ["a"]}': "read.text_type",
}


def row(i, text=None):
    return json.dumps({"id": i, "text": text or f"Text number {i}, naïve", "url": f"http://x.test/{i}"}).encode()


def write(tmp_path, data, name="x.jsonl"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_bad_lines_cost_only_themselves(tmp_path, read_all):
    lines = [line for i, bad in enumerate(BAD) for line in (row(i), bad)]
    for ending in (b"\n", b"\r\n", b"\n\n \n"):
        records, _ = read_all(JsonlReader(), write(tmp_path, ending.join(lines)))
        assert [record.doc_id for record in records if record.text] == [str(i) for i in range(len(BAD))]
        assert [record.error for record in records if not record.text] == list(BAD.values())
        assert all(record.html for record in records if record.error)


def test_fields(tmp_path, read_all):
    rows = [
        {"text": "a", "id": 7, "url": "u", "date": "2020", "language": "en", "other": {}},
        {"text": "b", "id": None, "url": ["x"], "language": True},
        {"text": " "},
    ]
    path = write(tmp_path, b"\xef\xbb\xbf" + "\n".join(map(json.dumps, rows)).encode())
    first, second, third = read_all(JsonlReader(), path)[0]
    assert (first.text, first.doc_id, first.url, first.date, first.language) == ("a", "7", "u", "2020", "en")
    assert (second.text, second.doc_id, second.url, second.language) == ("b", None, None, "true")
    assert third.drop == "read.empty"


def test_other_columns(tmp_path, read_all):
    reader = JsonlReader(columns={"text": "content", "url": "link"})
    path = write(tmp_path, b'{"content": "a", "link": "u", "text": "no"}\n{"text": "b"}')
    first, second = read_all(reader, path)[0]
    assert (first.text, first.url) == ("a", "u")
    assert second.error == "read.missing_text"


@given(
    texts=st.lists(st.text(max_size=40), max_size=30),
    split_bytes=st.integers(1, 400),
    ending=st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    last=st.booleans(),
)
def test_splits_cut_nothing(tmp_path_factory, read_all, texts, split_bytes, ending, last):
    lines = [json.dumps({"text": text}, ensure_ascii=i % 2 == 0).encode() for i, text in enumerate(texts)]
    data = ending.join(lines) + (ending if last else b"")
    path = tmp_path_factory.getbasetemp() / "splits.jsonl"
    path.write_bytes(data)
    whole = read_all(JsonlReader(), path)
    assert [record.text or "" for record in whole[0]] == [text if text.strip() else "" for text in texts]
    assert read_all(JsonlReader(), path, split_bytes) == whole


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst"])
def test_packed_files_hold_the_same(tmp_path, read_all, name):
    data = b"\n".join([row(i) for i in range(500)] + list(BAD) + [row(500)])
    pack = gzip.compress if name.endswith("gz") else zstandard.ZstdCompressor().compress
    plain, _ = read_all(JsonlReader(), write(tmp_path, data))
    half = data.index(b"\n", len(data) // 2) - 7  # a member may end inside a line
    packed, _ = read_all(JsonlReader(), write(tmp_path, pack(data[:half]) + pack(data[half:]), name), 10)
    assert [record._replace(offset=0) for record in packed] == [record._replace(offset=0) for record in plain]


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst"])
def test_rows_before_a_truncation_are_kept(tmp_path, read_all, name):
    import random

    rng = random.Random(3)
    rows = [row(i, rng.randbytes(200).hex()) for i in range(2000)]
    data = b"\n".join(rows)
    packed = gzip.compress(data) if name.endswith("gz") else zstandard.ZstdCompressor().compress(data)
    for share in (0.1, 0.5, 0.99):
        records, _ = read_all(JsonlReader(), write(tmp_path, packed[: int(len(packed) * share)], name))
        *good, last = records
        assert last.error == "read.truncated"
        assert [record.doc_id for record in good] == [str(i) for i in range(len(good))]
        assert share * 2000 - 700 < len(good) < 2000  # zstd loses up to a block of 128 KiB
    assert len(good) > 1000


def test_behind_a_damaged_member_reading_goes_on(tmp_path, read_all):
    members = [bytearray(gzip.compress(b"".join(row(10 * k + i) + b"\n" for i in range(10)))) for k in range(5)]
    members[2][20:30] = b"0123456789"
    records, _ = read_all(JsonlReader(), write(tmp_path, b"".join(members), "x.jsonl.gz"))
    ids = {record.doc_id for record in records if record.text}
    assert ids >= {str(i) for i in range(50)} - {
        str(i) for i in range(20, 31)
    }  # the first line behind it may be a rest
    assert sum(record.error in {"read.corrupt", "read.crc"} for record in records) == 1


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst", "x.jsonl.bz2"])
def test_the_line_that_damage_hit_is_kept_for_inspection(tmp_path, read_all, name):
    pack = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress, "bz2": bz2.compress}[name.split(".")[2]]
    first, second = row(0) + b"\n" + row(1)[:30], row(1)[30:] + b"\n" + row(2)
    records, _ = read_all(JsonlReader(), write(tmp_path, pack(first) + pack(second)[:-12], name))
    assert [record.doc_id for record in records if record.text] == ["0"] + ["1"] * (name == "x.jsonl.gz")
    (hit,) = [record for record in records if record.error]
    assert hit.error == "read.truncated"
    expected = row(2) if name == "x.jsonl.gz" else row(1)
    assert len(hit.html) >= 20 and expected.startswith(hit.html)


def test_long_lines(tmp_path, read_all):
    data = b"\n".join([row(0), row(1, "x" * 5_000_000), row(2), row(3, "y" * 3000)])
    for split_bytes in (1 << 30, 1 << 20):
        records, _ = read_all(JsonlReader(max_record_bytes=2000), write(tmp_path, data), split_bytes)
        assert [record.error for record in records] == [None, "read.too_large", None, "read.too_large"]
        assert len(records[1].html) <= 1 << 20
