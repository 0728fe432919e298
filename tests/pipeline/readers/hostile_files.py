"""Files made to break readers, of any size, written as a stream; beside each what must be found in it.

A good record lies before and behind every hostile one, and both must come through.
"""

import gzip
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

MiB = 1 << 20


class Hostile(NamedTuple):
    """A way to make a file of a size in bytes, unpacked; and for that size how many documents and errors are in it."""

    name: str
    chunks: Callable[[int], Iterator[bytes]]
    documents: Callable[[int], int] = lambda size: 2
    errors: Callable[[int], Mapping[str, int]] = lambda size: {}
    over_limit: bool = False
    """The errors come from a record or line of the whole size; up to `LIMIT` it is one more document."""


def head(length: int, kind: str = "text/plain") -> bytes:
    return (
        f"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: http://x.test/\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def record(body: bytes, kind: str = "text/plain") -> bytes:
    return head(len(body), kind) + body + b"\r\n\r\n"


GOOD = record(b"a good record")


def _large(size: int) -> Iterator[bytes]:
    """One record of `size` bytes."""
    yield head(size)
    filler = b"x" * 79 + b"\n"
    chunk = filler * (MiB // len(filler))
    for at in range(0, size, len(chunk)):
        yield chunk[: size - at]
    yield b"\r\n\r\n"


def _packed(chunks: Iterator[bytes], kind: str) -> Iterator[bytes]:
    pack = zlib.compressobj(9, wbits=31) if kind == "gz" else zstandard.ZstdCompressor().compressobj()
    for chunk in chunks:
        if out := pack.compress(chunk):
            yield out
    yield pack.flush()


def _between(kind: str, hostile: Callable[[int], Iterator[bytes]]) -> Callable[[int], Iterator[bytes]]:
    """What is hostile as one member, and good ones around it."""
    good = gzip.compress(GOOD) if kind == "gz" else zstandard.ZstdCompressor().compress(GOOD)

    def chunks(size: int) -> Iterator[bytes]:
        yield good
        yield from _packed(hostile(size), kind)
        yield good

    return chunks


def _plain(size: int) -> Iterator[bytes]:
    yield GOOD
    yield from _large(size)
    yield GOOD


def _many(size: int) -> Iterator[bytes]:
    """Records over the limit, all of them in the same member."""
    yield GOOD
    for _ in range(size // LARGE):
        yield from _large(LARGE)
    yield GOOD


LIMIT = 64 * MiB  # of a record, unless the reader is told another
LARGE = 65 * MiB


def _lies(size: int, length: int) -> Iterator[bytes]:
    """Records of 10 kB that claim another length."""
    yield GOOD
    wrong = head(length) + b"y" * 10_000 + b"\r\n\r\n"
    for _ in range(size // len(wrong)):
        yield wrong
    yield GOOD


def _liars(size: int, length: int) -> dict[str, int]:
    return {"read.length": size // (len(head(length)) + 10_004)}


def _false_starts(size: int) -> Iterator[bytes]:
    """Starts of gzip members that never end, of two kinds: with a name, and cut off."""
    yield gzip.compress(GOOD)
    yield b"no member"
    for _ in range(size // 32 // 1024):
        yield (b"\x1f\x8b\x08\x08" + b"n" * 12 + b"\x1f\x8b\x08\x10" + b"c" * 12) * 1024
    yield b"\0" + gzip.compress(GOOD)


def _page(body: Callable[[int], Iterator[bytes]]) -> Callable[[int], Iterator[bytes]]:
    def chunks(size: int) -> Iterator[bytes]:
        yield GOOD
        yield record(b"".join(body(size)), "text/html")
        yield GOOD

    return chunks


def _deep(size: int) -> Iterator[bytes]:
    yield b"<div>" * (size // 11)
    yield b"x"
    yield b"</div>" * (size // 11)


def _table(size: int) -> Iterator[bytes]:
    yield b"<table>"
    yield b"<tr><td>x" * (size // 9)


def _line(size: int) -> Iterator[bytes]:
    """A line of JSON of this size, between good ones."""
    yield b'{"text":"good"}\n{"text":"'
    for at in range(0, size, MiB):
        yield b"z" * min(MiB, size - at)
    yield b'"}\n{"text":"good"}\n'


def _nested(size: int) -> Iterator[bytes]:
    yield b'{"text":"good"}\n' + b"[" * size + b'\n{"text":"good"}\n'


def _rows(size: int) -> Iterator[bytes]:
    for _ in range(size // 16 // 1024):
        yield b'{"text":"good"}\n' * 1024


TOO_LARGE = {"read.too_large": 1}

FILES = {
    "bomb.warc.gz": Hostile("a gzip bomb", _between("gz", _large), errors=lambda size: TOO_LARGE, over_limit=True),
    "bomb.warc.zst": Hostile("a zstd bomb", _between("zst", _large), errors=lambda size: TOO_LARGE, over_limit=True),
    "large.warc": Hostile("one record", _plain, errors=lambda size: TOO_LARGE, over_limit=True),
    "many.warc.gz": Hostile(
        "large records in one member",
        lambda size: _packed(_many(size), "gz"),
        errors=lambda size: {"read.too_large": size // LARGE},
    ),
    "short.warc": Hostile("lengths too small", lambda size: _lies(size, 9), errors=lambda size: _liars(size, 9)),
    "long.warc": Hostile(
        "lengths too large", lambda size: _lies(size, 60 * MiB), errors=lambda size: _liars(size, 60 * MiB)
    ),
    "huge.warc.gz": Hostile(
        "lengths over the limit, in one member",
        lambda size: _packed(_lies(size, 10**12), "gz"),
        errors=lambda size: _liars(size, 10**12),
    ),
    "starts.warc.gz": Hostile("false starts of members", _false_starts, errors=lambda size: {"read.garbage": 1}),
    "deep.warc": Hostile("nested HTML", _page(_deep), documents=lambda size: 3),
    "table.warc": Hostile("a table of HTML", _page(_table), documents=lambda size: 3),
    "line.jsonl": Hostile("one line of JSON", _line, errors=lambda size: TOO_LARGE, over_limit=True),
    "bomb.jsonl.gz": Hostile(
        "one packed line of JSON",
        lambda size: _packed(_line(size), "gz"),
        errors=lambda size: TOO_LARGE,
        over_limit=True,
    ),
    "nested.jsonl": Hostile("nested JSON", _nested, errors=lambda size: {"read.json": 1}),
    "rows.jsonl": Hostile("rows", _rows, documents=lambda size: size // 16 // 1024 * 1024),
}


def write(name: str, size: int, path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(FILES[name].chunks(size))


def parquet_rows(path: Path, rows: int) -> None:
    table = pa.table({"text": [f"row {row}" for row in range(rows)]})
    pq.write_table(table, path, row_group_size=max(1, rows // 4))


def parquet_cells(path: Path, cells: int, size: int) -> None:
    """Cells of `size` bytes each, and a good one before and behind in row groups of their own."""
    schema = pa.schema({"text": pa.large_string()})
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for texts in (["good"], ["z" * size] * cells, ["good"]):
            writer.write_table(pa.table({"text": texts}, schema), row_group_size=len(texts))


def flipped(data: bytes, seed: int) -> bytes:
    """The same with one byte changed."""
    rng = random.Random(seed)
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)
