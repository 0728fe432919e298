"""The training ledger: every piece of every step as a row of a table, for more questions than `trace` answers.

It is worked out, not kept, because the order of training is a function of the step: any range of steps of any run, also
of steps that are still to come, a few hundred thousand rows at a time. What the journals add is which steps were left
out, and how far the run got.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from pipeline.configfile import ConfigError
from training.fim import Mode
from training.order import Table
from training.provenance.trace import Trace

_ROWS = 1 << 18
"""Rows of a group: few enough to be held, enough for pages to compress."""
_NAME = pa.dictionary(pa.int32(), pa.string())


def _column(name: str, type_: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable, {"description": description})


LEDGER = pa.schema(
    [
        _column("step", pa.int64(), "The step, from 1 as in metrics.jsonl."),
        _column("row", pa.int32(), "The sequence within the step's batch, from 0."),
        _column("slot", pa.int64(), "The number of that sequence in its stage: steps with one length of sequences."),
        _column("column", pa.int32(), "Where in its sequence the piece begins, in tokens."),
        _column("source", _NAME, "The source that the sequence is of."),
        _column("id", pa.string(), "The document's id, as in its shard."),
        _column("epoch", pa.int32(), "Passes over the source's documents before this one."),
        _column("start", pa.int64(), "Where in the document the piece begins, in tokens as it is laid out."),
        _column("length", pa.int64(), "Tokens of the piece, the document's end token and padding in it included."),
        _column("mode", _NAME, "plain, or how the document is rearranged to fill in the middle."),
        _column("skipped", pa.bool_(), "Whether the guard left the step out; null if it is to come.", nullable=True),
    ]
)
"""A piece of a document in a sequence, in the order in which steps have them. Descriptions are in the file's schema."""


def stretch(trace: Trace, asked: str) -> range:
    """The steps that `A:B` means, both included and counted from 1; without A from the first, without B to the last
    that the run has taken. Raises ConfigError for others than the run has."""
    found = re.fullmatch(r"(\d*):(\d*)", asked)
    if found is None:
        raise ConfigError([f"--steps {asked}: write A:B, as in 1:200"])
    first, last = (int(text) if text else known for text, known in zip(found.groups(), (1, trace.taken), strict=True))
    steps = trace.order.config.steps
    if not 1 <= first <= last <= steps:
        raise ConfigError([f"--steps {asked}: the run has steps 1 to {steps}, and has taken {trace.taken}"])
    return range(first, last + 1)


def tables(trace: Trace, steps: range) -> Iterator[tuple[int, pa.Table]]:
    """The ledger of steps (from 1), in tables that are small enough to be held, each with how many steps it has."""
    waiting: list[pa.Table] = []
    for step in steps:
        waiting.append(_of_step(trace, step))
        if sum(map(len, waiting)) >= _ROWS or step == steps[-1]:
            yield len(waiting), pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
            waiting = []


def write(trace: Trace, steps: range, path: Path) -> int:
    """Write the ledger of steps (from 1) as Parquet, and give the number of its rows; shows progress on a terminal."""
    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with (
            Progress(console=Console(stderr=True), transient=True, disable=not os.isatty(2)) as progress,
            pq.ParquetWriter(part, LEDGER, compression="zstd") as file,
        ):
            task = progress.add_task("steps", total=len(steps))
            for done, table in tables(trace, steps):
                file.write_table(table)
                count += len(table)
                progress.update(task, advance=done)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _of_step(trace: Trace, step: int) -> pa.Table:
    order, store = trace.order, trace.store
    _, _, table = order.table(step - 1)
    names = _names(trace, table)
    state = {"seen": False, "left out": True, "to come": None}[trace.state(step)]
    columns: dict[str, Any] = {
        "step": np.full(len(table), step),
        "row": table[:, Table.ROW],
        "slot": order.steps.slot(step - 1) + table[:, Table.ROW],
        "column": table[:, Table.COLUMN],
        "source": _dictionary(table[:, Table.SOURCE], store.sources),
        "id": names,
        "epoch": table[:, Table.EPOCH],
        "start": table[:, Table.START],
        "length": table[:, Table.LENGTH],
        "mode": _dictionary(table[:, Table.MODE], [mode.name.lower() for mode in Mode]),
        "skipped": pa.array([state] * len(table), pa.bool_()),
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in LEDGER]
    return pa.Table.from_arrays(arrays, schema=LEDGER)


def _names(trace: Trace, table: npt.NDArray[np.int64]) -> pa.Array:
    """The id of each piece's document."""
    parts, places = [], []
    for source, documents in enumerate(trace.store.train):
        mine = np.flatnonzero(table[:, Table.SOURCE] == source)
        if len(mine):
            parts.append(documents.names(table[mine, Table.DOCUMENT]))
            places.append(mine)
    back = np.argsort(np.concatenate(places), kind="stable")
    return pa.concat_arrays(parts).take(pa.array(back))


def _dictionary(numbers: npt.NDArray[np.int64], names: Any) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(names, pa.string()))
