"""Real documents of a run by what became of them: the text, and the number and range that decided.

Samples are those with the smallest hashes of (seed, id): the same for every layout of the files, found in one pass
over the ids that keeps no more than the sample itself.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from filters.base import Range
from pipeline.accounting.escape import line, visible
from pipeline.accounting.folder import RunFolder, RunFolderError, nearest
from pipeline.accounting.tables import interval
from pipeline.accounting.tally import file_counts

FOLDERS = {"dropped": "dropped", "quarantined": "quarantine", "kept": "shards"}
"""Where the records of a verdict lie in a run."""

_BATCH = 8192
"""Rows whose ids are hashed at once."""

Value = float | int | str | bool | None


@dataclass(frozen=True)
class Sample:
    """One document of a run. `value` is what the signal that names the reason measured, `range` what it must be in.

    `signals` has everything that was measured of it and `survivor` is the id of the document that stands for it, if it
    is a duplicate, in an earlier run `name of the run/id`; both are empty where the run has no ledger yet.
    """

    id: str
    source: str
    verdict: str
    reason: str | None
    url: str | None
    origin: str | None
    value: Value
    range: Range | None
    broken: tuple[str, ...]
    signals: Mapping[str, Value]
    survivor: str | None
    text: str | None

    def to_dict(self) -> dict[str, Any]:
        """The sample as `gristmill inspect --json` prints it: nothing shortened, nothing escaped."""
        return {
            "id": self.id,
            "source": self.source,
            "verdict": self.verdict,
            "reason": self.reason,
            "url": self.url,
            "origin": self.origin,
            "value": self.value,
            "range": None if self.range is None else list(self.range),
            "broken": list(self.broken),
            "signals": dict(self.signals),
            "survivor": self.survivor,
            "text": self.text,
        }


@dataclass(frozen=True, order=True)
class _Place:
    """A row of a file, in the order of its hash; the largest go first from a full heap."""

    order: int
    id: str
    file: int
    row: int


def samples(
    run: Path | RunFolder,
    reason: str | None = None,
    source: str | None = None,
    n: int = 5,
    seed: int = 0,
    kept: bool = False,
) -> list[Sample]:
    """Up to `n` documents: dropped ones, those of a reason (dropped or quarantined), or kept ones.

    A step's name stands for all its reasons. Raises RunFolderError, with the nearest and all possible choices, for a
    reason or source that the run does not have.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    if source is not None and source not in folder.sources:
        raise RunFolderError(f"no source '{line(source)}' in {folder.path}{nearest(source, folder.sources)}")
    if kept:
        if reason is not None:
            raise RunFolderError(f"kept documents have no reason such as '{line(reason)}'")
        return _samples(folder, "kept", source, None, n, seed)
    if reason is None:
        return _samples(folder, "dropped", source, None, n, seed)
    verdict, reasons = _reasons(folder, reason, source)
    return _samples(folder, verdict, source, reasons, n, seed)


def _reasons(folder: RunFolder, wanted: str, source: str | None) -> tuple[str, list[str]]:
    """The verdict that a reason or a step belongs to, and the reasons meant."""
    found: dict[str, str] = {}
    for verdict in ("dropped", "quarantined"):
        for name, counts in file_counts(folder, FOLDERS[verdict]).items():
            if source is None or name == source:
                found |= {reason: verdict for reason in counts if reason not in found}
    if wanted in found:
        return found[wanted], [wanted]
    meant = [reason for reason in found if reason.startswith(f"{wanted}.")]
    if not meant:
        of = "" if source is None else f" of source '{line(source)}'"
        raise RunFolderError(f"no record{of} has the reason '{line(wanted)}'{nearest(wanted, sorted(found))}")
    verdict = found[meant[0]]
    return verdict, sorted(reason for reason in meant if found[reason] == verdict)


def samples_by_reason(run: Path | RunFolder, n: int = 3, seed: int = 0) -> dict[str, list[Sample]]:
    """Up to `n` dropped or quarantined documents of every reason, in one pass over each kind of file."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    found: dict[str, list[Sample]] = {}
    for verdict in ("dropped", "quarantined"):
        files = folder.files(FOLDERS[verdict])
        smallest = _smallest(files, None, n, seed, apart=True)
        for reason in sorted(smallest, key=str):
            found[str(reason)] = _read(folder, verdict, files, smallest[reason])
    return found


def _samples(
    folder: RunFolder, verdict: str, source: str | None, reasons: Sequence[str] | None, n: int, seed: int
) -> list[Sample]:
    files = folder.files(FOLDERS[verdict], source)
    return _read(folder, verdict, files, _smallest(files, reasons, n, seed).get(None, []))


def _read(folder: RunFolder, verdict: str, files: Sequence[Path], places: Sequence[_Place]) -> list[Sample]:
    rows = [row_of(files[place.file], place.row) for place in places]
    facts = _facts(folder, rows)
    return [_sample(folder, verdict, row, facts.get((row["source"], row["id"]), {})) for row in rows]


def _smallest(
    files: Sequence[Path], reasons: Sequence[str] | None, n: int, seed: int, apart: bool = False
) -> dict[str | None, list[_Place]]:
    """The rows with the `n` smallest hashes, in their order: of all `reasons` under None, or of each one `apart`."""
    best: dict[str | None, list[_Place]] = {}
    for number, file in enumerate(files):
        first = 0
        for batch in _batches(file, ["id", "reason"] if apart or reasons is not None else ["id"]):
            hashes = hash_ids(batch["id"], seed)
            for key, rows in _rows_by(batch, reasons, apart):
                if len(rows) > n:
                    rows = rows[np.argpartition(hashes[rows], n - 1)[:n]]
                found = (
                    _Place(int(hashes[row]), batch["id"][row].as_py(), number, first + row) for row in rows.tolist()
                )
                best[key] = heapq.nsmallest(n, [*best.get(key, []), *found])
            first += batch.num_rows
    return best


def _rows_by(
    batch: pa.RecordBatch, reasons: Sequence[str] | None, apart: bool
) -> Iterator[tuple[str | None, npt.NDArray[np.int64]]]:
    """The numbers of a batch's rows: those of each reason, or those of some or of all reasons together."""
    if apart:
        for reason in pc.unique(batch["reason"]).to_pylist():
            yield reason, np.flatnonzero(pc.equal(batch["reason"], reason).to_numpy(zero_copy_only=False))
    elif reasons is not None:
        wanted = pa.array(list(reasons), pa.string())
        yield None, np.flatnonzero(pc.is_in(batch["reason"], wanted).to_numpy(zero_copy_only=False))
    else:
        yield None, np.arange(batch.num_rows)


def hash_ids(ids: pa.Array, seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each string, the same on every machine: a polynomial over its bytes, mixed by splitmix64.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014), section 4.
    """
    ids = ids.cast(pa.large_binary())
    _, offsets, data = ids.buffers()
    starts = np.frombuffer(offsets, np.int64, len(ids) + 1, 8 * ids.offset)
    lengths = np.diff(starts)
    content = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]] if data is not None else np.empty(0, np.uint8)
    places = np.arange(len(content)) - np.repeat(starts[:-1] - starts[0], lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, 0x100000001B3, np.uint64), dtype=np.uint64)
    sums = np.zeros(len(content) + 1, np.uint64)
    np.cumsum((content + np.uint64(1)) * powers[places], out=sums[1:])
    value = np.diff(sums[starts - starts[0]]) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed


def _batches(file: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(file) as reader:
            yield from reader.iter_batches(_BATCH, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{file}: cannot be read ({line(str(error))})") from error


def row_of(file: Path, row: int) -> dict[str, Any]:
    """A whole row of a file by its number; reads the row group that has it and no other."""
    frame = pl.scan_parquet(file, glob=False, hive_partitioning=False).slice(row, 1)
    return frame.collect(engine="streaming").row(0, named=True)


def _facts(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The ledger's rows of these documents, by source and id."""
    facts: dict[tuple[str, str], dict[str, Any]] = {}
    for source in dict.fromkeys(row["source"] for row in rows):
        frame = folder.scan("ledger", source)
        if frame is not None:
            ids = [row["id"] for row in rows if row["source"] == source]
            frame = frame.filter(pl.col("id").is_in(ids))
            facts |= {(source, row["id"]): row for row in frame.collect(engine="streaming").iter_rows(named=True)}
    copies = {key: row["cluster"] for key, row in facts.items() if row["cluster"] not in (None, row["ordinal"])}
    if copies:
        frame = folder.ledger().filter(pl.col("ordinal").is_in(sorted(set(copies.values())))).select("ordinal", "id")
        names = dict(frame.collect(engine="streaming").iter_rows())
        for key, ordinal in copies.items():
            facts[key]["survivor"] = names.get(ordinal)
    return facts


def _sample(folder: RunFolder, verdict: str, row: Mapping[str, Any], facts: Mapping[str, Any]) -> Sample:
    reason = row.get("reason")
    text = row.get("text")
    if "payload" in row:
        text = None if row["payload"] is None else row["payload"].decode("utf-8", errors="replace")
    return Sample(
        id=row["id"],
        source=row["source"],
        verdict=verdict,
        reason=reason,
        url=row.get("url"),
        origin=row.get("origin") or facts.get("origin"),
        value=facts.get(reason) if reason in folder.signals else None,
        range=folder.range(reason, facts) if reason is not None else None,
        broken=tuple(facts.get("broken") or ()),
        signals={name: facts[name] for name in folder.signals if facts.get(name) is not None},
        survivor=facts.get("earlier") or facts.get("survivor"),
        text=text,
    )


def explain(sample: Sample) -> str:
    """One line that says why: the reason with value and range, or the document that stands for this one."""
    if sample.reason is None:
        return sample.verdict
    words = f"{sample.verdict} for {sample.reason}"
    if sample.range is not None:
        value = f"{sample.value:.6g}" if isinstance(sample.value, float) else sample.value
        words += f" = {value}, kept are {interval(sample.range)}"
    elif isinstance(sample.value, str) and sample.value != sample.reason:
        words += f": {sample.value}"
    if sample.survivor is not None:
        words += f", duplicate of {sample.survivor}"
    others = [name for name in sample.broken if name != sample.reason]
    return words + (f"; outside their ranges also: {', '.join(others)}" if others else "")


def render(found: Sequence[Sample], chars: int = 1500) -> RenderableType:
    """Samples one below another, texts cut after `chars` characters."""
    if not found:
        return Text("no such documents")
    parts: list[RenderableType] = []
    for sample in found:
        head = Text(line(f"{sample.source} {sample.id}"), style="bold")
        where = " ".join(line(part) for part in (sample.url, sample.origin) if part)
        text = sample.text or ""
        cut = f" … {len(text) - chars:,} more characters" if len(text) > chars else ""
        parts += [Rule(head, align="left"), Text(where, style="dim"), Text(line(explain(sample)), style="yellow")]
        parts.append(Text(visible(text[:chars]) + cut if text else "(no text)"))
    return Group(*parts)
