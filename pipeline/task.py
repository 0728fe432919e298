"""One task, done by one worker: read -> transform -> judge -> write -> receipt.

A worker gets a run folder and a task, reads the settings from `run.json`, and gives back the receipt. Everything that
it decides about a record goes into the ledger rows of the stage that decided it.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from polars._typing import PolarsDataType

from filters.base import Filter, Step, Transform
from filters.language import Language
from pipeline.dedup.bands import partition_edges, write_signatures
from pipeline.dedup.clusters import clusters_between, write_clusters
from pipeline.judge import decide, measure
from pipeline.plan import Receipt, Task
from pipeline.readers import READERS
from pipeline.readers.base import Reader, Record, Split
from pipeline.schema import DROPPED, LEDGER, QUARANTINE, QUARANTINE_BYTES, SHARD
from pipeline.steps import STEPS, Stages, Steps, concerning, groups
from pipeline.write import ROW_GROUP, TableWriter, Workspace

_COLUMNS: dict[str, PolarsDataType] = {
    "id": pl.String,
    "ordinal": pl.UInt64,
    "origin": pl.String,
    "source": pl.String,
    "url": pl.String,
    "date": pl.String,
    "doc_id": pl.String,
    "content_type": pl.String,
    "charset": pl.String,
    "html": pl.Binary,
    "text": pl.String,
    "language": pl.String,
    "error": pl.String,
    "reason": pl.String,
    "broken": pl.List(pl.String),
}
FRAME = pl.Schema(_COLUMNS)
"""A batch of documents between steps; signal columns come after these."""


@dataclass(frozen=True)
class Settings:
    """What a worker needs of the config, read back from `run.json`."""

    readers: Mapping[str, Reader]
    steps: Steps
    only: Mapping[str, tuple[str, ...]]
    stages: Stages
    measure_all: bool
    limit: int | None
    batch_bytes: int
    batch_records: int

    def judged_steps(self) -> Steps:
        """All steps but deduplication, in order."""
        return {**self.stages.read, **self.stages.judge, **self.stages.finish}

    @classmethod
    def read(cls, run: Path) -> "Settings":
        """Read the settings of a run; cached, since a worker does many tasks of one run."""
        file = run / "run.json"
        return _settings(str(file), file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _settings(file: str, stamp: int) -> Settings:
    config = json.loads(Path(file).read_text(encoding="utf-8"))["config"]
    readers = {
        name: READERS[entry["use"]].model_validate({k: v for k, v in entry.items() if k not in ("paths", "license")})
        for name, entry in config["sources"].items()
    }
    steps: dict[str, Step] = {
        name: STEPS[entry["use"]].model_validate({k: v for k, v in entry.items() if k not in ("use", "sources")})
        for name, entry in config["steps"].items()
    }
    return Settings(
        readers,
        steps,
        {name: tuple(entry["sources"]) for name, entry in config["steps"].items() if "sources" in entry},
        Stages.of(steps),
        config["measure"] == "all",
        config["limit"],
        config["batch_bytes"],
        config["batch_records"],
    )


def run_task(run: str, task: Task) -> Receipt:
    """Do a task and commit its outputs; returns the receipt. Any exception means that nothing was committed."""
    started = time.perf_counter()
    kinds: dict[str, Callable[[Path, Task, Settings, Workspace], dict[str, Any]]] = {
        "read": _read,
        "judge": _judge,
        "bands": _bands,
        "clusters": _clusters,
        "shard": _shard,
    }
    settings = Settings.read(Path(run))
    with Workspace(Path(run), task.id) as workspace:
        result = kinds[task.stage](Path(run), task, settings, workspace)
        return workspace.commit(
            {
                "task": task.id,
                "stage": task.stage,
                "source": task.source,
                "fingerprint": task.fingerprint,
                "seconds": round(time.perf_counter() - started, 4),
                **result,
            }
        )


@dataclass
class Meter:
    """Counts and seconds of one task: every record that comes in goes out through one of these numbers."""

    read: int = 0
    kept: int = 0
    kept_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def step(self, name: str, step: Step, into: int, out: int, seconds: float) -> None:
        """Add one batch's passage through a step."""
        kind = "transform" if isinstance(step, Transform) else "filter"
        entry = self.steps.setdefault(name, {"name": name, "kind": kind, "in": 0, "out": 0, "seconds": 0.0})
        entry["in"] += into
        entry["out"] += out
        entry["seconds"] = round(entry["seconds"] + seconds, 6)

    def receipt(self) -> dict[str, Any]:
        """The numbers as they go into the receipt; sums that differ are a bug and fail the task."""
        if self.read != self.kept + self.dropped.total() + self.quarantined.total():
            raise AssertionError(f"records read {self.read} != kept + dropped + quarantined: {self}")
        counts = {
            "read": self.read,
            "kept": self.kept,
            "kept_bytes": self.kept_bytes,
            "dropped": dict(sorted(self.dropped.items())),
            "quarantined": dict(sorted(self.quarantined.items())),
            "ignored": dict(sorted(self.ignored.items())),
        }
        return {"counts": counts, "steps": list(self.steps.values())}


def process(docs: pl.DataFrame, steps: Steps, measure_all: bool, meter: Meter) -> pl.DataFrame:
    """Send a batch through steps; the rows come back with `error`, `reason` and `broken` saying what became of them.

    A row with an error goes through no further step, nor does a dropped one unless everything is to be measured.
    """
    settled: list[pl.DataFrame] = []
    for group in groups(steps):
        goes_on = pl.col("error").is_null() & (pl.lit(measure_all) | pl.col("reason").is_null())
        settled.append(docs.filter(~goes_on))
        docs = docs.filter(goes_on)
        filters: dict[str, Filter] = {}
        for name, step in group.items():
            started = time.perf_counter()
            before = docs.height
            if isinstance(step, Transform):
                docs = step.apply(docs, name)
                # a document that was dropped before is only measured: its verdict stands
                docs = docs.with_columns(error=pl.when(pl.col("reason").is_null()).then(pl.col("error")))
                docs = docs.with_columns(
                    reason=pl.when(pl.col("error").is_null() & (pl.col("text").fill_null("") == ""))
                    .then(pl.coalesce("reason", pl.lit(f"{name}.empty")))
                    .otherwise(pl.col("reason"))
                )
                out = docs.select((pl.col("error").is_null() & pl.col("reason").is_null()).sum()).item()
            elif isinstance(step, Filter):
                docs = measure(docs, name, step)
                filters[name] = step
                out = before - decide(docs, {name: step}).select((pl.col("broken").list.len() > 0).sum()).item()
            else:
                raise TypeError(f"{name} is neither a transform nor a filter")
            meter.step(name, step, before, out, time.perf_counter() - started)
        if filters:
            earlier = docs["broken"]
            docs = decide(docs, filters).with_columns(broken=pl.concat_list(earlier, "broken"))
            docs = docs.with_columns(reason=pl.coalesce("reason", pl.col("broken").list.first()))
    return pl.concat([*settled, docs], how="diagonal").sort("ordinal")


def signal_schema(steps: Steps) -> dict[str, pl.DataType]:
    """The columns `<step>.<signal>` that steps add, in order, with their types: what they give for no documents."""
    empty = process(pl.DataFrame(schema=FRAME), steps, True, Meter())
    return {name: dtype for name, dtype in empty.schema.items() if name not in FRAME}


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
    return with_language(docs, steps).with_columns(
        verdict=pl.lit(verdict),
        chars=pl.col("text").str.len_chars().fill_null(0).cast(pl.UInt64),
        bytes=pl.col("text").str.len_bytes().fill_null(0).cast(pl.UInt64),
    )


def with_language(docs: pl.DataFrame, steps: Steps) -> pl.DataFrame:
    """Add `language` and `language_score` of the last identification that a document reached, else the source's own."""
    names = [name for name, step in reversed(list(steps.items())) if isinstance(step, Language)]
    names = [name for name in names if f"{name}.label" in docs.columns]
    score: pl.Expr = pl.coalesce([f"{name}.score" for name in names]) if names else pl.lit(None, dtype=pl.Float64)
    return docs.with_columns(
        language=pl.coalesce([*[f"{name}.label" for name in names], "language"]), language_score=score
    )


def _read(run: Path, task: Task, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    assert task.source is not None
    reader = settings.readers[task.source]
    steps = concerning(task.source, settings.stages.read, settings.only)
    meter = Meter()
    outputs = Outputs(workspace, task, signal_schema(settings.stages.read), settings.steps)
    signatures = Signatures(workspace, task, settings)
    hold = settings.measure_all and bool(settings.stages.judge)
    try:
        records = _records(reader, task, settings.limit, meter.ignored)
        for batch in _batches(records, task, settings):
            meter.read += batch.height
            docs = outputs.settle(batch, meter)  # what the reader itself refused goes through no step
            docs = outputs.settle(process(docs, steps, settings.measure_all, meter), meter, hold)
            _keep(docs, outputs, meter)
            if not settings.stages.judge:
                signatures.add(docs)
    finally:
        outputs.close()
    signatures.close()
    return meter.receipt()


def _judge(run: Path, task: Task, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    steps = concerning(task.source, settings.stages.judge, settings.only)
    meter = Meter()
    signals = signal_schema({**settings.stages.read, **settings.stages.judge})
    outputs = Outputs(workspace, task, signals, settings.steps)
    signatures = Signatures(workspace, task, settings)
    try:
        for batch in _part(run, task.payload["part"], settings.batch_records):
            meter.read += batch.height
            docs = outputs.settle(process(batch, steps, settings.measure_all, meter), meter)
            _keep(docs, outputs, meter)
            signatures.add(docs)
    finally:
        outputs.close()
    signatures.close()
    return meter.receipt()


def _bands(run: Path, task: Task, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    partition_edges(
        [run / "parts" / part / "signatures.parquet" for part in task.payload["parts"]],
        task.payload["band"],
        task.payload["low"],
        task.payload["high"],
        workspace.path(f"parts/{task.id}/edges.parquet"),
    )
    return {"counts": {}, "steps": []}


def _clusters(run: Path, task: Task, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    edges = [run / "parts" / part / "edges.parquet" for part in task.payload["parts"]]
    write_clusters(edges, workspace.path("parts/clusters/clusters.parquet"))
    return {"counts": {}, "steps": []}


def _shard(run: Path, task: Task, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Drop duplicates, run the last steps, and write the shard and the ledger rows of everything that led to it."""
    signals = signal_schema(settings.judged_steps())
    schema = ledger_schema(signals)
    finish = concerning(task.source, settings.stages.finish, settings.only)
    meter = Meter()
    name = f"part-{task.payload['number']:05d}.parquet"
    shard_path = f"shards/{task.source}/{name}"
    outputs = Outputs(workspace, task, signals, settings.steps)
    shard = TableWriter(workspace.path(shard_path), SHARD)
    ledger = TableWriter(workspace.path(f"ledger/{task.source}/{name}"), schema)
    with shard, ledger:
        for part in task.payload["parts"]:
            for earlier in dict.fromkeys((part.replace("judge-", "read-", 1), part)):
                for rows in _rows(run / "parts" / earlier / "ledger.parquet", ROW_GROUP):
                    ledger.write(rows)
            for batch in _part(run, part, settings.batch_records):
                meter.read += batch.height
                started = time.perf_counter()
                docs = _without_duplicates(run, batch, settings)
                dropped = docs["reason"].is_not_null().sum()
                for dedup, step in settings.stages.dedup.items():
                    meter.step(dedup, step, docs.height, docs.height - int(dropped), time.perf_counter() - started)
                    meter.steps[dedup]["kind"] = "dedup"
                docs = process(docs, finish, False, meter)
                docs = with_language(outputs.settle(docs, meter), settings.steps)
                first = shard.rows
                shard.write(docs)
                meter.kept += docs.height
                meter.kept_bytes += int(docs["text"].str.len_bytes().sum() or 0)
                rows = ledger_rows(docs, "kept", settings.steps)
                place = pl.int_range(first, first + docs.height, dtype=pl.UInt32, eager=True)
                ledger.write(rows.with_columns(shard=pl.lit(shard_path), shard_row=place))
        outputs.close()
        for rows in _rows(workspace.path(f"parts/{task.id}/ledger.parquet"), ROW_GROUP):
            ledger.write(rows)
    workspace.path(f"parts/{task.id}/ledger.parquet").unlink(missing_ok=True)
    return meter.receipt()


def _without_duplicates(run: Path, docs: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Mark each document that another one stands for; add `cluster` and `cluster_size`."""
    if not settings.stages.dedup or not docs.height:
        return docs.with_columns(cluster=pl.lit(None, dtype=pl.UInt64), cluster_size=pl.lit(None, dtype=pl.UInt32))
    low, high = docs["ordinal"][0], docs["ordinal"][-1]
    clusters = clusters_between(run / "parts/clusters/clusters.parquet", low, high + 1)
    step = next(iter(settings.stages.dedup.values()))
    use = next(word for word, known in STEPS.items() if known is type(step))
    docs = docs.join(clusters, on="ordinal", how="left", maintain_order="left")
    duplicate = pl.col("cluster").is_not_null() & (pl.col("cluster") != pl.col("ordinal"))
    return docs.with_columns(reason=pl.when(duplicate).then(pl.lit(f"dedup.{use}")).otherwise(pl.col("reason")))


def _keep(docs: pl.DataFrame, outputs: Outputs, meter: Meter) -> None:
    outputs.part.write(docs)
    meter.kept += docs.height
    meter.kept_bytes += int(docs["text"].str.len_bytes().sum() or 0)


class Signatures:
    """The signatures of one task's documents, gathered and written at its end: 8 bytes a band and document."""

    def __init__(self, workspace: Workspace, task: Task, settings: Settings) -> None:
        self._path = workspace.path(f"parts/{task.id}/signatures.parquet")
        self._step = next(iter(settings.stages.dedup.values()), None)
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


def _records(reader: Reader, task: Task, limit: int | None, ignored: Counter[str]) -> Iterator[tuple[str, Record]]:
    """The records of a task's splits, each with the name of its file."""
    count = 0
    for name, path, start, end in task.payload["splits"]:
        for record in reader.read(Split(path, start, end), ignored):
            if limit is not None and count >= limit:
                return
            count += 1
            yield name, record


def _batches(records: Iterator[tuple[str, Record]], task: Task, settings: Settings) -> Iterator[pl.DataFrame]:
    """Records as frames of bounded size."""
    rows: list[dict[str, Any]] = []
    size = 0
    for number, (name, record) in enumerate(records):
        text = record.text
        reason = record.drop
        if record.error is None and reason is None and not text and record.html is None:
            reason = "read.empty"
        rows.append(
            {
                "id": document_id(task.source or "", name, record.offset),
                "ordinal": task.payload["index"] << 32 | number,
                "origin": f"{name}#{record.offset}",
                "source": task.source,
                "url": record.url,
                "date": record.date,
                "doc_id": record.doc_id,
                "content_type": record.content_type,
                "charset": record.charset,
                "html": record.html,
                "text": text,
                "language": record.language,
                "error": record.error,
                "reason": None if record.error else reason,
                "broken": [],
            }
        )
        size += len(record.html or b"") + len(text or "")
        if size >= settings.batch_bytes or len(rows) >= settings.batch_records:
            yield pl.DataFrame(rows, schema=FRAME)
            rows, size = [], 0
    if rows:
        yield pl.DataFrame(rows, schema=FRAME)


def document_id(source: str, file: str, offset: int) -> str:
    """A document's id: the same wherever and whenever the same file is read, 96 bits in hexadecimal."""
    return hashlib.blake2b(f"{source}\0{file}\0{offset}".encode(), digest_size=12).hexdigest()


def _part(run: Path, part: str, batch_records: int) -> Iterator[pl.DataFrame]:
    """Documents that an earlier stage let through, as frames."""
    for frame in _rows(run / "parts" / part / "documents.parquet", batch_records):
        missing = [name for name in FRAME if name not in frame.columns]
        yield frame.with_columns(pl.lit(None, dtype=FRAME[name]).alias(name) for name in missing)


def _rows(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """A Parquet file as frames of at most `rows` rows; a file that is not there has none."""
    if path.is_file():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame
