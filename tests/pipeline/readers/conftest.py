"""What the tests of the readers share: reading a whole file, and archives made by warcio, record by record."""

import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from warcio.recordbuilder import RecordBuilder
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.readers import Reader, Record

# Buffers in memory: warcio leaves its temporary files open, which is a warning, and warnings are errors here.
RecordBuilder._create_temp_file = staticmethod(io.BytesIO)


@pytest.fixture(scope="session")
def read_all() -> Callable[..., tuple[list[Record], Counter[str]]]:
    """Read a file through all its splits: the records, in order, and the counts of what was ignored."""

    def read(reader: Reader, path: Path, split_bytes: int = 1 << 30) -> tuple[list[Record], Counter[str]]:
        ignored: Counter[str] = Counter()
        records: list[Record] = []
        for split in reader.splits(os.path.getsize(path), str(path), split_bytes):
            records += reader.read(split, ignored)
        assert len({record.offset for record in records}) == len(records), "offsets are unique in a file"
        assert all(record.drop is None or record.error is None for record in records)
        return records, ignored

    return read


@pytest.fixture(scope="session")
def members() -> Callable[..., list[bytes]]:
    """`n` response records with pages of growing size, each as warcio writes it: a gzip member or plain text."""

    def make(n: int, *, gzip: bool = True, body: Callable[[int], bytes] | None = None) -> list[bytes]:
        made = []
        for i in range(n):
            page = body(i) if body else f"<html><body><p>page {i}</p>{'é' * i * 7}</body></html>".encode()
            out = io.BytesIO()
            writer = WARCWriter(out, gzip=gzip)
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
            writer.write_record(
                writer.create_warc_record(f"http://x.test/{i}", "response", io.BytesIO(page), http_headers=headers)
            )
            made.append(out.getvalue())
        return made

    return make
