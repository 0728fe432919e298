"""Files elsewhere read as if they lay here, in spite of all that servers do."""

import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from file_server import Server
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.readers import JsonlReader, ParquetReader, Split, WarcReader, remote
from pipeline.readers.base import open_binary
from pipeline.readers.stores import Facts, RemoteError


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.sampled_from(["seek", "read"]), st.integers(0, 700_000)), max_size=12))
@pytest.mark.parametrize("scheme", ["http", "memory"])
def test_a_file_elsewhere_reads_as_one_here(server: Server, scheme: str, moves: list[tuple[str, int]]) -> None:
    data = noise(600_000)
    server.files["/x"] = data
    MemoryFileSystem().pipe_file("/inputs/x", data)
    here = io.BytesIO(data)
    with open_binary(f"{server.url}/x" if scheme == "http" else "memory://inputs/x") as there:
        for move, number in moves:
            if move == "seek":
                assert there.seek(number) == here.seek(number)
            else:
                assert there.read(number) == here.read(number)
            assert there.tell() == here.tell()
        there.seek(-1000, io.SEEK_END)
        assert there.read() == data[-1000:]


def test_a_large_file_takes_few_requests(server: Server) -> None:
    data = server.files["/x"] = noise(30_000_000)
    with open_binary(f"{server.url}/x") as file:
        assert b"".join(iter(lambda: file.read(100_000), b"")) == data
    assert server.asked["/x"] <= 5


def test_refusals_and_cut_connections_are_tried_again(server: Server, at_once: None) -> None:
    data = server.files["/x"] = noise(3_000_000)
    server.faults["/x"] = [503, 503, None, 429, ("cut", 1000), 403, ("cut", 0), 500, ("cut", 200_000), None, 503]
    with open_binary(f"{server.url}/x") as file:
        assert file.read() == data
    assert server.faults["/x"] == []


def test_waits_grow_and_differ_and_what_the_server_asks_for_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(remote.time, "sleep", waits.append)

    def fail() -> None:
        raise ConnectionError("down")

    for _ in range(2):
        with pytest.raises(RemoteError, match=r"^there: ConnectionError: down \(10 tries in 0 s\)"):
            remote.persist("there", fail)
    first, second = waits[:9], waits[9:]
    assert first != second, "workers that fail together must not come back together"
    assert all(2**i / 2 <= wait <= 2**i for i, wait in enumerate(first[:6]))
    assert all(30 <= wait <= 60 for wait in first[6:])


def test_a_server_that_stays_away_is_no_damage_to_any_reader(
    server: Server, at_once: None, tmp_path: Path, small_warc: bytes
) -> None:
    rows = [{"text": f"Text number {i}. " * 50} for i in range(3000)]
    pl.DataFrame(rows).write_parquet(tmp_path / "x.parquet", row_group_size=500)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    files = {
        "/x.warc.gz": (WarcReader(), small_warc),
        "/x.parquet": (ParquetReader(), (tmp_path / "x.parquet").read_bytes()),
        "/x.jsonl": (JsonlReader(), lines),
        "/x.jsonl.gz": (JsonlReader(), gzip.compress(lines)),
    }
    for path, (reader, data) in files.items():
        assert len(data) > 1000
        server.files[path] = data
        split = Split(f"{server.url}{path}", 0, len(data))
        whole = list(reader.read(split, Counter()))
        assert len(whole) > 10 and not any(record.error for record in whole)
        for good in range(1, server.asked[path]):  # the first request opens the file
            server.faults[path] = [None] * good + [("cut", 100)] + [503] * 9
            with pytest.raises(RemoteError, match=r"HTTP 503 Service Unavailable \(10 tries"):
                list(reader.read(split, Counter()))
            assert server.faults[path] == []


@pytest.mark.parametrize("scheme", ["http", "memory"])
def test_splits_of_a_remote_archive_have_each_record_once(server: Server, small_warc: bytes, scheme: str) -> None:
    server.files["/x.warc.gz"] = small_warc
    MemoryFileSystem().pipe_file("/inputs/x.warc.gz", small_warc)
    path = f"{server.url}/x.warc.gz" if scheme == "http" else "memory://inputs/x.warc.gz"
    reader = WarcReader()
    whole = list(reader.read(Split(path, 0, len(small_warc)), Counter()))
    splits = reader.splits(len(small_warc), path, len(small_warc) // 8)
    assert len(splits) > 7
    assert [record for split in splits for record in reader.read(split, Counter())] == whole


def test_a_server_without_ranges_serves_whole_files_only(server: Server, small_warc: bytes) -> None:
    server.files["/x.warc.gz"] = small_warc
    server.ranges = False
    path = f"{server.url}/x.warc.gz"
    whole = list(WarcReader().read(Split(path, 0, len(small_warc)), Counter()))
    assert len(whole) == 40
    server.files["/long"] = noise(5_000_000)
    with open_binary(f"{server.url}/long") as file:
        assert file.read() == server.files["/long"]
        file.seek(4_000_000)
        with pytest.raises(RemoteError, match="gives no parts of a file.*split_bytes"):
            file.read(1)


@pytest.mark.parametrize("length", [900_000, 1_100_000])
def test_a_file_that_changes_on_the_way_is_an_error(server: Server, at_once: None, length: int) -> None:
    server.files["/x"] = noise(1_000_000)
    with open_binary(f"{server.url}/x") as file:
        file.read(100_000)
        server.files["/x"] = noise(length)
        with pytest.raises(RemoteError, match=f"has changed: it was 1000000 bytes .* now {length}"):
            file.read()


def test_a_file_that_changes_before_it_is_read_is_an_error(server: Server, at_once: None) -> None:
    server.files["/x"] = noise(1000)
    MemoryFileSystem().pipe_file("/inputs/y", noise(1000))
    for path in (f"{server.url}/x", "memory://inputs/y"):
        with remote.expecting({path: remote.facts(path)}), open_binary(path) as file:
            assert len(file.read()) == 1000
        with remote.expecting({path: Facts(1000, "another")}), open_binary(path) as file:
            with pytest.raises(RemoteError, match="has changed"):
                file.read()
    with open_binary(f"{server.url}/x") as file:
        del server.files["/x"]
        with pytest.raises(RemoteError, match="no longer there"):
            file.read()


def test_stores_that_give_too_little(monkeypatch: pytest.MonkeyPatch, at_once: None) -> None:
    data = noise(100_000)
    MemoryFileSystem().pipe_file("/inputs/short", data)
    whole = MemoryFileSystem.cat_file
    left = [3]

    def short(self: Any, path: str, start: int, end: int) -> bytes:
        left[0] -= 1
        return whole(self, path, start=start, end=end - (left[0] >= 0))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", short)
    with open_binary("memory://inputs/short") as file:
        assert file.read() == data
    left[0] = 1000
    with open_binary("memory://inputs/short") as file, pytest.raises(RemoteError, match="99999 bytes came instead of"):
        file.read()


def test_what_is_not_there_is_said_at_once(server: Server) -> None:
    with pytest.raises(FileNotFoundError):
        open_binary(f"{server.url}/nothing")
    assert server.asked["/nothing"] == 1
    server.files["/x"], server.always["/x"] = b"x", 401
    with pytest.raises(RemoteError, match="HTTP 401"):
        open_binary(f"{server.url}/x")
    assert server.asked["/x"] == 1
    server.files["/empty"] = b""
    with open_binary(f"{server.url}/empty") as file:
        assert file.read() == b""


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(RemoteError, match=r"pip install 'gristmill\[s3\]'"):
        open_binary("s3://bucket/x")
