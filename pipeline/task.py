"""One task, done by one worker: read -> transform -> judge -> write -> receipt.

A worker gets a run folder and a task, reads the settings from `run.json`, and gives back the receipt. Everything that
it decides about a record goes into the ledger rows of the stage that decided it.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from filters.base import Step
from pipeline.dedup.bands import partition_edges
from pipeline.dedup.clusters import clusters_between, write_clusters
from pipeline.outputs import Outputs, Signatures, ledger_rows, ledger_schema, read_rows
from pipeline.passage import FRAME, Meter, process, read_signals, signal_schema, with_score
from pipeline.plan import Receipt, Task
from pipeline.plugins import load_again
from pipeline.readers import READERS
from pipeline.readers.base import Reader, Record, Split
from pipeline.schema import SHARD
from pipeline.steps import COMMON, Registry, Stages, Steps, concerning, use_of
from pipeline.warmup import warm_up
from pipeline.write import ROW_GROUP, TableWriter, Workspace


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

    def signals(self, steps: Steps) -> dict[str, pl.DataType]:
        """The signal columns of documents that went through steps: those of the readers, then those of the steps."""
        told = read_signals(self.readers.values())
        return {**told, **signal_schema(steps, told)}

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
    registry = Registry.built_in()
    for record in config["plugins"]:
        registry = registry.including(load_again(record))
    steps: dict[str, Step] = {
        name: registry.make(entry["use"], {k: v for k, v in entry.items() if k not in COMMON})
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
    warm_up(settings.stages, settings.readers.values())
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


def _read(run: Path, task: Task, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    assert task.source is not None
    reader = settings.readers[task.source]
    steps = concerning(task.source, settings.stages.read, settings.only)
    meter = Meter()
    outputs = Outputs(workspace, task, settings.signals(settings.stages.read), settings.steps)
    signatures = Signatures(workspace, task, settings.stages.dedup)
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
    signals = settings.signals({**settings.stages.read, **settings.stages.judge})
    outputs = Outputs(workspace, task, signals, settings.steps)
    signatures = Signatures(workspace, task, settings.stages.dedup)
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
    signals = settings.signals(settings.judged_steps())
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
                for rows in read_rows(run / "parts" / earlier / "ledger.parquet", ROW_GROUP):
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
                docs = with_score(outputs.settle(docs, meter), settings.steps)
                first = shard.rows
                shard.write(docs)
                meter.kept += docs.height
                meter.kept_bytes += int(docs["text"].str.len_bytes().sum() or 0)
                rows = ledger_rows(docs, "kept", settings.steps)
                place = pl.int_range(first, first + docs.height, dtype=pl.UInt32, eager=True)
                ledger.write(rows.with_columns(shard=pl.lit(shard_path), shard_row=place))
        outputs.close()
        for rows in read_rows(workspace.path(f"parts/{task.id}/ledger.parquet"), ROW_GROUP):
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
    docs = docs.join(clusters, on="ordinal", how="left", maintain_order="left")
    duplicate = pl.col("cluster").is_not_null() & (pl.col("cluster") != pl.col("ordinal"))
    return docs.with_columns(
        reason=pl.when(duplicate).then(pl.lit(f"dedup.{use_of(step)}")).otherwise(pl.col("reason"))
    )


def _keep(docs: pl.DataFrame, outputs: Outputs, meter: Meter) -> None:
    outputs.part.write(docs)
    meter.kept += docs.height
    meter.kept_bytes += int(docs["text"].str.len_bytes().sum() or 0)


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
    schema = {**FRAME, **read_signals(settings.readers.values())}
    declared = settings.readers[task.source].signals.keys() if task.source else frozenset()
    rows: list[dict[str, Any]] = []
    size = 0
    for number, (name, record) in enumerate(records):
        if not record.signals.keys() <= declared:
            raise TypeError(f"{name}: the reader does not declare all of {', '.join(record.signals)}")
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
                "title": record.title,
                "author": record.author,
                "license": record.license,
                "content_type": record.content_type,
                "charset": record.charset,
                "html": record.html,
                "text": text,
                "language": record.language,
                "error": record.error,
                "reason": None if record.error else reason,
                "broken": [],
                **{f"read.{signal}": value for signal, value in record.signals.items()},
            }
        )
        size += len(record.html or b"") + len(text or "")
        if size >= settings.batch_bytes or len(rows) >= settings.batch_records:
            yield pl.DataFrame(rows, schema=schema)
            rows, size = [], 0
    if rows:
        yield pl.DataFrame(rows, schema=schema)


def document_id(source: str, file: str, offset: int) -> str:
    """A document's id: the same wherever and whenever the same file is read, 96 bits in hexadecimal."""
    return hashlib.blake2b(f"{source}\0{file}\0{offset}".encode(), digest_size=12).hexdigest()


def _part(run: Path, part: str, batch_records: int) -> Iterator[pl.DataFrame]:
    """Documents that an earlier stage let through, as frames."""
    for frame in read_rows(run / "parts" / part / "documents.parquet", batch_records):
        missing = [name for name in FRAME if name not in frame.columns]
        yield frame.with_columns(pl.lit(None, dtype=FRAME[name]).alias(name) for name in missing)
