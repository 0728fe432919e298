"""The files that a task writes beside its receipt: documents that go on, ledger rows, dropped texts, quarantine."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dedup.spans.work import SpanWriter
from pipeline.dedup.work import KeyWriter
from pipeline.passage import FRAME, Meter, with_score
from pipeline.plan import Task
from pipeline.schema import DROPPED, LEDGER, QUARANTINE, QUARANTINE_BYTES
from pipeline.steps import Stages, Steps
from pipeline.write import TableWriter, Workspace


def ledger_schema(signals: Mapping[str, pl.DataType]) -> pa.Schema:
    """The ledger's columns with those of the signals."""
    arrow = pl.DataFrame(schema=dict(signals)).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    return pa.schema([*LEDGER, *arrow])


def part_schema(signals: Mapping[str, pl.DataType]) -> pa.Schema:
    """The columns of documents that wait between stages."""
    carried = [name for name in FRAME if name not in ("html", "content_type", "charset", "error")]
    arrow = pl.DataFrame(schema={**{name: FRAME[name] for name in carried}, **signals})
    return arrow.to_arrow(compat_level=pl.CompatLevel.oldest()).schema


class Outputs:
    """The files of one task: documents that go on, ledger rows of those that do not, their texts, the quarantine."""

    def __init__(self, workspace: Workspace, task: Task, signals: Mapping[str, pl.DataType], steps: Steps) -> None:
        self._stack = ExitStack()
        self._steps = steps
        folder = f"parts/{task.id}"
        self.part = self._open(
            workspace, f"{folder}/documents.parquet", part_schema(signals), level=1
        )  # read once more
        self.ledger = self._open(workspace, f"{folder}/ledger.parquet", ledger_schema(signals))
        self.dropped = self._open(workspace, f"dropped/{task.source}/{task.id}.parquet", DROPPED)
        self.quarantine = self._open(workspace, f"quarantine/{task.source}/{task.id}.parquet", QUARANTINE)

    def _open(self, workspace: Workspace, path: str, schema: pa.Schema, level: int = 3) -> TableWriter:
        return self._stack.enter_context(TableWriter(workspace.path(path), schema, level))

    def settle(self, docs: pl.DataFrame, meter: Meter, hold_dropped: bool = False) -> pl.DataFrame:
        """Write what was dropped or could not be handled, count it, and return the documents that go on.

        With `hold_dropped`, dropped documents go on too: a later stage measures them and then settles them.
        """
        broken = docs.filter(pl.col("error").is_not_null()).with_columns(reason="error")
        goes_on = pl.col("error").is_null() if hold_dropped else pl.col("error").is_null() & pl.col("reason").is_null()
        dropped = docs.filter(pl.col("error").is_null() & ~goes_on)
        for reason, count in broken.group_by("reason").len().iter_rows():
            meter.quarantined[reason] += count
        for reason, count in dropped.group_by("reason").len().iter_rows():
            meter.dropped[reason] += count
        self.quarantine.write(
            broken.with_columns(
                payload=pl.coalesce("html", pl.col("text").cast(pl.Binary)).bin.slice(0, QUARANTINE_BYTES)
            )
        )
        self.dropped.write(dropped)
        self.ledger.write(ledger_rows(broken, "quarantined", self._steps))
        self.ledger.write(ledger_rows(dropped, "dropped", self._steps))
        return docs.filter(goes_on)

    def close(self) -> None:
        """Finish all files."""
        self._stack.close()


def ledger_rows(docs: pl.DataFrame, verdict: str, steps: Steps) -> pl.DataFrame:
    """Documents as rows of the ledger."""
    return with_score(docs, steps).with_columns(
        verdict=pl.lit(verdict),
        chars=pl.col("text").str.len_chars().fill_null(0).cast(pl.UInt64),
        bytes=pl.col("text").str.len_bytes().fill_null(0).cast(pl.UInt64),
    )


class Keys:
    """The keys of one task's documents for every step of deduplication, gathered and written at its end."""

    def __init__(self, workspace: Workspace, task: Task, stages: Stages) -> None:
        folder = f"parts/{task.id}"
        self._keys = {name: KeyWriter(workspace.path(f"{folder}/{name}"), step) for name, step in stages.dedup.items()}
        self._spans = {
            name: SpanWriter(workspace.path(f"{folder}/{name}"), step) for name, step in stages.spans.items()
        }
        self._seconds = dict.fromkeys((*self._keys, *self._spans), 0.0)

    def add(self, docs: pl.DataFrame) -> None:
        """Look at a batch; what was dropped takes no part."""
        docs = docs.filter(pl.col("reason").is_null())
        writers: dict[str, KeyWriter | SpanWriter] = {**self._keys, **self._spans}
        for name, writer in writers.items():
            started = time.perf_counter()
            writer.add(docs)
            self._seconds[name] += time.perf_counter() - started

    def close(self) -> dict[str, Any]:
        """Write the files; returns what the receipt says of them: seconds of each step, rows of those on parts."""
        for keys in self._keys.values():
            keys.close()
        rows = {name: spans.close() for name, spans in self._spans.items()}
        seconds = {name: round(spent, 6) for name, spent in self._seconds.items()}
        return {"keys": seconds, **({"rows": rows} if rows else {})}


def read_rows(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """A Parquet file as frames of at most `rows` rows; a file that is not there has none."""
    if path.is_file():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame
