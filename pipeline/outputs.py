"""The files that a task writes beside its receipt: documents that go on, ledger rows, dropped texts, quarantine."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.bands import write_signatures
from pipeline.passage import FRAME, Meter, with_score
from pipeline.plan import Task
from pipeline.schema import DROPPED, LEDGER, QUARANTINE, QUARANTINE_BYTES
from pipeline.steps import Dedup, Steps
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
        self.part = self._open(workspace, f"{folder}/documents.parquet", part_schema(signals))
        self.ledger = self._open(workspace, f"{folder}/ledger.parquet", ledger_schema(signals))
        self.dropped = self._open(workspace, f"dropped/{task.source}/{task.id}.parquet", DROPPED)
        self.quarantine = self._open(workspace, f"quarantine/{task.source}/{task.id}.parquet", QUARANTINE)

    def _open(self, workspace: Workspace, path: str, schema: pa.Schema) -> TableWriter:
        return self._stack.enter_context(TableWriter(workspace.path(path), schema))

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


class Signatures:
    """The signatures of one task's documents, gathered and written at its end: 8 bytes a band and document."""

    def __init__(self, workspace: Workspace, task: Task, dedup: Mapping[str, Dedup]) -> None:
        self._path = workspace.path(f"parts/{task.id}/signatures.parquet")
        self._step = next(iter(dedup.values()), None)
        self._ordinals: list[pl.Series] = []
        self._keys: list[NDArray[np.uint64]] = []

    def add(self, docs: pl.DataFrame) -> None:
        """Compute the band keys of a batch; documents without any words have none."""
        docs = docs.filter(pl.col("reason").is_null())
        if self._step is None:
            return
        keys, has_signature = self._step.band_keys(docs["text"])
        self._ordinals.append(docs["ordinal"].filter(pl.Series(has_signature)))
        self._keys.append(keys[has_signature])

    def close(self) -> None:
        """Write the file, with no rows if there are none, so that a lost one is never taken for an empty one."""
        if self._step is not None:
            none = np.empty((0, self._step.bands), np.uint64)
            ordinals = pl.concat([pl.Series([], dtype=pl.UInt64), *self._ordinals]).to_numpy()
            write_signatures(self._path, ordinals, np.concatenate([none, *self._keys]))


def read_rows(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """A Parquet file as frames of at most `rows` rows; a file that is not there has none."""
    if path.is_file():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame
