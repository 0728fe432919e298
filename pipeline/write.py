"""Files that are whole or not there: outputs are written aside, renamed when all are complete, and receipted last.

A crash at any moment leaves either no receipt, and the task runs again over whatever it had put in place, or a receipt
that names every output with its size and SHA-256.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 1000
"""Rows that are written, and later read, at once: what bounds the memory of whoever streams a file."""


class TableWriter:
    """A Parquet file of one schema that appears with its first row: no rows, no file."""

    def __init__(self, path: Path, schema: pa.Schema, level: int = 3) -> None:
        """Args: level: of compression; 1 takes half the time of 3, and a quarter more room."""
        self.path, self.schema, self.rows, self._level = path, schema, 0, level
        self._writer: pq.ParquetWriter | None = None

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows; columns are put in the schema's order, and missing ones are null."""
        if not frame.height:
            return
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.path, self.schema, compression="zstd", compression_level=self._level)
        self._writer.write_table(conform(frame, self.schema), row_group_size=ROW_GROUP)
        self.rows += frame.height

    def close(self) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """A frame as an Arrow table of exactly this schema; columns that it does not have are null."""
    columns = []
    for wanted in schema:
        if wanted.name in frame.columns:
            # plain layouts: views would be written as they lie in memory, and bytes must not depend on that
            columns.append(frame[wanted.name].to_arrow(compat_level=pl.CompatLevel.oldest()).cast(wanted.type))
        else:
            columns.append(pa.nulls(frame.height, wanted.type))
    return pa.Table.from_arrays(columns, schema=schema)


class Workspace:
    """Where one task writes: `path()` gives places aside, `commit()` moves them under their names in the run."""

    def __init__(self, run: Path, task: str) -> None:
        self.run, self.task = run, task
        # a name of its own: where a cluster gives up on a worker that is only slow, two write the same task
        self._aside = run / "parts" / f".{task}-{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        self._aside.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)

    def path(self, relative: str) -> Path:
        """Where to write what will be `RUN/<relative>`."""
        path = self._aside / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """Put every file under its name, then the receipt; returns the receipt with `outputs` and `sizes`.

        Files that the receipt has already and that were not written again stay in it.
        """
        outputs: dict[str, str] = {}
        sizes: dict[str, int] = {}
        for file in sorted(path for path in self._aside.rglob("*") if path.is_file()):
            relative = file.relative_to(self._aside).as_posix()
            outputs[relative], sizes[relative] = sync_and_hash(file), file.stat().st_size
        for relative in outputs:
            final = self.run / relative
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._aside / relative, final)
        outputs, sizes = ({**receipt.get(key, {}), **new} for key, new in (("outputs", outputs), ("sizes", sizes)))
        whole = {**receipt, "outputs": dict(sorted(outputs.items())), "sizes": dict(sorted(sizes.items()))}
        write_json(self.run / "receipts" / f"{self.task}.json", whole)
        return whole


def sync_and_hash(path: Path) -> str:
    """Force a file to disk and return the SHA-256 of its bytes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: the file under its final name is whole."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
