"""What the jobs of a step on parts of documents do, and what the tasks before write for it, a file for each step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline.dedup.clusters import dropped_between
from pipeline.dedup.spans.copies import of_documents, write_copies, write_repeated
from pipeline.dedup.spans.rows import COPY, ORDINAL, SPAN, Rows, RowWriter, RunWriter, runs_in, write_runs
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.substrings import Substrings

_BATCH = 200
"""Documents that are looked through at once."""


class SpanWriter:
    """The rows of one task's documents for one step, written as they come."""

    def __init__(self, stem: Path, step: SpanStep) -> None:
        self._step = step
        self._writer = RowWriter(_rows(stem), SPAN)

    def add(self, docs: pl.DataFrame) -> None:
        """Look at a batch."""
        self._writer.write(self._step.spans(docs["text"], docs["ordinal"].to_numpy()))

    def close(self) -> int:
        """Finish the file, which is there even without any rows; returns how many it has."""
        self._writer.close()
        return self._writer.rows


def _rows(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.spans.npy")


def copies_of(run: Path, jobs: Sequence[str], docs: pl.DataFrame) -> Rows:
    """What these jobs of `copies` say of documents, which are in the order of their ordinals."""
    paths = [run / "parts" / job / "copies.npy" for job in jobs]
    return of_documents(paths, COPY, docs["ordinal"][0], docs["ordinal"][-1])


def do_job(kind: str, run: Path, payload: Mapping[str, Any], step: SpanStep, out: Path) -> int:
    """Do a job of one of `jobs.SPAN_KINDS`; returns how many rows it has written.

    Args:
        out: the folder for what it makes.
    """
    if kind == "sort":
        return _sort(run, payload, out)
    if kind == "windows":
        assert isinstance(step, Substrings)
        return _windows(run, payload, step, out)
    runs = [path for job in payload["runs"] for path in runs_in(run / "parts" / job)]
    if kind == "repeated":
        return write_repeated(runs, payload["low"], payload["high"], out / "repeated.npy")
    return write_copies(runs, payload["low"], payload["high"], step.copies_kept, out / "copies.npy")


def _sort(run: Path, payload: Mapping[str, Any], out: Path) -> int:
    paths = [_rows(run / "parts" / part / payload["step"]) for part in payload["parts"]]
    first, without = payload["first"], np.empty(0, np.uint64)
    if payload["dropped"] is not None:
        clusters = run / "parts" / payload["dropped"] / "clusters.parquet"
        without = dropped_between(clusters, first << 32, (first + len(paths)) << 32)
    return write_runs(paths, without, out)


def _windows(run: Path, payload: Mapping[str, Any], step: Substrings, out: Path) -> int:
    """Write the runs of words around repeated n-grams; texts without any are not looked at."""
    repeated = [run / "parts" / job / "repeated.npy" for job in payload["repeated"]]
    runs = RunWriter(out)
    for place, part in enumerate(payload["parts"], payload["first"]):
        known = of_documents(repeated, SPAN, place << 32, place << 32 | 0xFFFFFFFF)
        path = run / "parts" / part / "documents.parquet"
        if not len(known) or not path.is_file():
            continue
        wanted = pl.Series("ordinal", np.unique(known[:, ORDINAL])).to_frame()
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=["ordinal", "text"]):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                docs = frame.join(wanted, on="ordinal", how="semi", maintain_order="left")
                runs.add(step.windows(docs["text"], docs["ordinal"].to_numpy(), known))
    return runs.close()
