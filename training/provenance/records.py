"""What curation says of documents of a token store: where it read them, and what filters measured.

Documents are taken together by the files that they lie in, so that each shard and each file of the ledger is opened
once, and only the groups of rows that are needed are read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.store.documents import Documents

_TOLD = ("origin", "url")


@dataclass(frozen=True)
class Record:
    """A document's row in its shard, and in the ledger of the run that curated it."""

    shard: str
    shard_row: int
    """When the store was made."""
    origin: str | None
    """`path#offset` where curation read it; None if it is no longer in its shard, as after a takedown."""
    url: str | None
    signals: Mapping[str, Any] | None
    """What each step measured, by `step.signal`; None if not asked for, or if the run has no ledger."""


def records(documents: Documents, numbers: Iterable[int], signals: bool = False) -> dict[int, Record]:
    """The records of documents, by number."""
    by_shard: dict[Path, dict[int, int]] = {}
    for number in dict.fromkeys(numbers):
        shard, row = documents.shard(number)
        by_shard.setdefault(shard, {})[number] = row
    found: dict[int, Record] = {}
    for shard, rows in by_shard.items():
        names = {number: documents.name(number) for number in rows}
        told = _rows(shard, dict(zip(names.values(), rows.values(), strict=True)), _TOLD)
        measured = _signals(shard, list(names.values())) if signals else None
        for number, row in rows.items():
            name = names[number]
            known = told.get(name, {})
            mine = None if measured is None else measured.get(name)
            found[number] = Record(str(shard), row, known.get("origin"), known.get("url"), mine)
    return found


def _rows(shard: Path, wanted: Mapping[str, int], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Columns of rows of a shard by id. A row that has moved is searched for; what is not there is left out."""
    found: dict[str, dict[str, Any]] = {}
    if not shard.is_file():
        return found
    with pq.ParquetFile(shard) as file:
        columns = [name for name in columns if name in file.schema_arrow.names]
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        groups = np.searchsorted(ends, list(wanted.values()), side="right").tolist()
        likely = sorted({group for group in groups if group < len(sizes)})
        others = [group for group in range(len(sizes)) if group not in likely]
        for group in [*likely, *others]:
            missing = wanted.keys() - found.keys()
            if not missing:
                break
            found |= _of_group(file, group, missing, columns)
    return found


def _of_group(
    file: pq.ParquetFile, group: int, ids: Iterable[str], columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Columns of the rows with these ids in one group of rows; the columns are only read where there is such a row."""
    names = file.read_row_group(group, columns=["id"])["id"]
    here = pc.is_in(names, value_set=pa.array(list(ids), pa.string()))
    if not pc.any(here).as_py():
        return {}
    told = file.read_row_group(group, columns=list(columns)).filter(here).to_pylist()
    return dict(zip(names.filter(here).to_pylist(), told, strict=True))


def _signals(shard: Path, ids: Sequence[str]) -> dict[str, dict[str, Any]] | None:
    """The columns `step.signal` of the ledger of a shard, by id; what was not measured is left out."""
    ledger = shard.parents[2] / "ledger" / shard.parent.name / shard.name
    if not ledger.is_file():
        return None
    with pq.ParquetFile(ledger) as file:
        measured = [name for name in file.schema_arrow.names if "." in name]
        found: dict[str, dict[str, Any]] = {}
        for group in range(file.num_row_groups):
            if len(found) == len(ids):
                break
            found |= _of_group(file, group, ids, measured)
    return {name: {key: value for key, value in row.items() if value is not None} for name, row in found.items()}
