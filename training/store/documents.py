"""The documents of a source as files, mapped into memory, and who writes them."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from pipeline.configfile import ConfigError
from training.store.shards import Shard, key

_INDEX = pa.schema([("id", pa.string()), ("shard", pa.uint32()), ("row", pa.uint32()), ("bytes", pa.uint32())])


class Documents:
    """The documents of a source, those for training or the held-out ones; `len()` of them, numbered from 0."""

    ordered = False
    """Whether every epoch has the documents in the order of their numbers."""

    def __init__(self, folder: Path, facts: dict[str, Any], dtype: str, shards: Sequence[Shard]) -> None:
        count, self.count_tokens, self.count_bytes = facts["documents"], facts["tokens"], facts["bytes"]
        self.folder = folder
        self.tokens = mapped(folder / "tokens.bin", np.dtype(dtype), self.count_tokens)
        """(count_tokens,) all documents, each with its end token."""
        self.offsets: npt.NDArray[np.int64] = mapped(folder / "offsets.bin", np.dtype(np.int64), count + 1)
        self.keys: npt.NDArray[np.uint64] = mapped(folder / "keys.bin", np.dtype(np.uint64), count)
        self._index = pa.ipc.open_file(pa.memory_map(str(folder / "documents.arrow"))).read_all()
        self._shards = shards

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def unique_tokens(self) -> int:
        """Tokens, those of documents that come several times counted once."""
        return int(self.count_tokens)

    @property
    def tokens_file(self) -> Path:
        """Where the tokens lie."""
        return self.folder / "tokens.bin"

    def ids(self, document: int) -> npt.NDArray[Any]:
        """Tokens of a document, the end token last; a view of the mapped file."""
        return self.tokens[self.offsets[document] : self.offsets[document + 1]]

    def places(self, documents: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where in `tokens` documents begin and end, for many of them at once."""
        return self.offsets.take(documents), self.offsets.take(documents + 1)  # other threads go on meanwhile

    def index(self) -> Iterator[tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Runs of documents that lie in one shard, in order: the first one, the shard, rows there, bytes of texts."""
        first = 0
        for batch in self._index.to_batches():
            rows, sizes = (batch[name].to_numpy().astype(np.int64) for name in ("row", "bytes"))
            yield first, int(batch["shard"][0].as_py()), rows, sizes
            first += len(rows)

    def name(self, document: int) -> str:
        """The id that curation gave the document."""
        return str(self._index["id"][document].as_py())

    def names(self, documents: npt.NDArray[np.int64]) -> pa.Array:
        """The ids of many documents at once."""
        return self._index["id"].take(pa.array(documents)).combine_chunks()

    def told(self, document: int) -> tuple[str, Path]:
        """The id of a document and the Parquet file that it came from, read such that other threads go on even where
        the disk does not answer."""
        one = (pc.take(self._index[name].slice(document, 1).chunk(0), pa.array([0])) for name in ("id", "shard"))
        name, shard = (column[0].as_py() for column in one)
        return str(name), Path(self._shards[shard]["path"])

    @property
    def recorded(self) -> "Documents":
        """The documents that curation knows: these."""
        return self

    def record_of(self, document: int) -> int:
        """Which of those that curation knows a document is, or the first one if several are joined in it."""
        return document

    def having(self, names: Collection[str]) -> list[tuple[int, int]]:
        """The documents with these ids, or in which they are joined; and which of `recorded` they are."""
        keys = np.array([key(name) for name in names], np.uint64)
        numbers = np.flatnonzero(np.isin(self.keys, keys)).tolist()
        return [(number, number) for number in numbers if self.name(number) in names]

    def spans(self, names: Collection[str]) -> list[tuple[int, int]]:
        """Where in `tokens` the documents with these ids begin and end."""
        begins, ends = self.places(np.array([number for number, _ in self.having(names)], np.int64))
        return list(zip(begins.tolist(), ends.tolist(), strict=True))

    def find(self, name: str) -> list[int]:
        """The documents with this id: one, none, or several if runs overlap."""
        return [int(d) for d in np.flatnonzero(self.keys == np.uint64(key(name))) if self.name(int(d)) == name]

    def shard(self, document: int) -> tuple[Path, int]:
        """The Parquet file that the document came from, and its row there."""
        return (
            Path(self._shards[self._index["shard"][document].as_py()]["path"]),
            int(self._index["row"][document].as_py()),
        )

    def origin(self, document: int) -> str | None:
        """Where curation read the document (`path#offset`); None if its shard is no longer there."""
        path, row = self.shard(document)
        if not path.is_file():
            return None
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row < rows:
                    if "origin" not in file.schema_arrow.names:
                        return None
                    return str(file.read_row_group(group, columns=["origin"])["origin"][row].as_py())
                row -= rows
        return None


class Writer:
    """The four files of `Documents`, appended to; behind the `with` they are on the disk and `facts` is final."""

    def __init__(self, folder: Path, dtype: npt.DTypeLike, end: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._dtype, self._end = folder, dtype, end
        self._tokens, self._offsets, self._keys = (
            (folder / name).open("wb") for name in ("tokens.bin", "offsets.bin", "keys.bin")
        )
        self._index = pa.ipc.new_file(str(folder / "documents.arrow"), _INDEX)
        self.facts = {"documents": 0, "tokens": 0, "bytes": 0}
        self._offsets.write(np.zeros(1, np.int64).tobytes())

    def add(
        self,
        ids: list[list[int]],
        keys: list[int],
        names: list[str],
        shards: list[int],
        rows: list[int],
        sizes: list[int],
    ) -> None:
        """Append documents: tokens, hashes and ids, shards and rows that they lie in, bytes of the texts."""
        if not ids:
            return
        for document in ids:
            document.append(self._end)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        offsets = np.cumsum(lengths) + self.facts["tokens"]
        self._tokens.write(np.fromiter(chain.from_iterable(ids), self._dtype, int(lengths.sum())).tobytes())
        self._offsets.write(offsets.astype("<i8").tobytes())
        self._keys.write(np.array(keys, "<u8").tobytes())
        self._index.write_batch(pa.record_batch([names, shards, rows, sizes], schema=_INDEX))
        self.facts = {
            "documents": self.facts["documents"] + len(ids),
            "tokens": int(offsets[-1]),
            "bytes": self.facts["bytes"] + sum(sizes),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        for file in (self._tokens, self._offsets, self._keys):
            file.close()
        for name in ("tokens.bin", "offsets.bin", "keys.bin", "documents.arrow"):
            sync(self._folder / name)
        sync(self._folder)


def mapped(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    """A file as a read-only array; raises ConfigError if it has not the size that the manifest says."""
    if path.stat().st_size != count * dtype.itemsize:
        raise ConfigError(
            [f"{path}: {path.stat().st_size} bytes, should have {count * dtype.itemsize}; tokenize again"]
        )
    if not count:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r", shape=(count,)).view(np.ndarray)


def write_json(path: Path, values: Any) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    sync(part)
    part.replace(path)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
