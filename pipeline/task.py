"""One task, done by one worker: read -> transform -> judge -> write -> receipt.

A worker gets a run folder and a task, reads the settings from `run.json`, and gives back the receipt. Everything that
it decides about a record goes into the ledger rows of the stage that decided it.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from polars._typing import PolarsDataType

from filters.base import Step
from pipeline.batches import Passage
from pipeline.config import WorkerLimits
from pipeline.dedup.clusters import clusters_between
from pipeline.dedup.index.known import known_between
from pipeline.dedup.spans.strike import cut_copies, span_signals
from pipeline.dedup.spans.work import copies_of
from pipeline.dedup.spans.work import do_job as do_span_job
from pipeline.dedup.work import clusters_file, do_job, known_file
from pipeline.limits import Limiter
from pipeline.outputs import Keys, Outputs, ledger_rows, ledger_schema, read_rows
from pipeline.passage import FRAME, Meter, process, read_signals, signal_schema, with_score
from pipeline.plan import Receipt, Task
from pipeline.plugins import load_again
from pipeline.readers import READERS
from pipeline.readers.base import Reader, Record, Split
from pipeline.readers.remote import expecting
from pipeline.readers.stores import Facts
from pipeline.schema import CUT, SHARD
from pipeline.steps import COMMON, Registry, Stages, Steps, concerning, dropped_for
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
    worker: WorkerLimits
    _columns: dict[tuple[str, ...], dict[str, pl.DataType]] = field(default_factory=dict, init=False, repr=False)

    def judged_steps(self) -> Steps:
        """All steps but deduplication, in order."""
        return {**self.stages.read, **self.stages.judge, **self.stages.finish}

    def signals(self, steps: Steps) -> dict[str, pl.DataType]:
        """The signal columns of documents that went through steps: those of the readers, then those of the steps."""
        known = self._columns.get(tuple(steps))
        if known is None:  # to send no documents through all steps takes as long as some documents
            told = read_signals(self.readers.values())
            known = self._columns[tuple(steps)] = {**told, **signal_schema(steps, told)}
        return known

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
        WorkerLimits.model_validate(config["worker"]),
    )


def run_task(run: str, task: Task, limiter: Limiter | None = None) -> Receipt:
    """Do a task and commit its outputs, unless it is a probe; returns the receipt.

    Any exception means that nothing was committed.
    """
    started = time.perf_counter()
    kinds: dict[str, Callable[[Path, Task, Settings, Workspace, Limiter], dict[str, Any]]] = {
        "read": _read,
        "judge": _judge,
        "shard": _shard,
    }
    settings = Settings.read(Path(run))
    warm_up(settings.stages, settings.readers.values())
    with Workspace(Path(run), task.id) as workspace:
        result = kinds.get(task.stage, _dedup)(Path(run), task, settings, workspace, limiter or Limiter())
        receipt = {
            "task": task.id,
            "stage": task.stage,
            "source": task.source,
            "fingerprint": task.fingerprint,
            "seconds": round(time.perf_counter() - started, 4),
            **result,
        }
        return receipt if task.trial.probe else workspace.commit(receipt)


def _read(run: Path, task: Task, settings: Settings, workspace: Workspace, limiter: Limiter) -> dict[str, Any]:
    assert task.source is not None
    reader = settings.readers[task.source]
    steps = concerning(task.source, settings.stages.read, settings.only)
    meter = Meter()
    outputs = Outputs(workspace, task, settings.signals(settings.stages.read), settings.steps)
    keys = Keys(workspace, task, Stages.of({}) if settings.stages.judge else settings.stages)
    hold = settings.measure_all and bool(settings.stages.judge)
    passage = Passage(task.trial, settings.worker, steps, limiter)
    try:
        records = _records(reader, task, settings.limit, meter.ignored, limiter)
        for batch in passage.of(_batches(records, task, settings)):
            meter.read += batch.height
            docs = outputs.settle(batch, meter)  # what the reader itself refused goes through no step
            docs = outputs.settle(process(docs, steps, settings.measure_all, meter), meter, hold)
            _keep(docs, outputs, meter)
            keys.add(docs)
    finally:
        outputs.close()
    return {**meter.receipt(), **keys.close(), **passage.receipt()}


def _judge(run: Path, task: Task, settings: Settings, workspace: Workspace, limiter: Limiter) -> dict[str, Any]:
    steps = concerning(task.source, settings.stages.judge, settings.only)
    meter = Meter()
    signals = settings.signals({**settings.stages.read, **settings.stages.judge})
    outputs = Outputs(workspace, task, signals, settings.steps)
    keys = Keys(workspace, task, settings.stages)
    passage = Passage(task.trial, settings.worker, steps, limiter)
    try:
        for batch in passage.of(_part(run, task.payload["part"], settings.batch_records)):
            meter.read += batch.height
            docs = outputs.settle(process(batch, steps, settings.measure_all, meter), meter)
            _keep(docs, outputs, meter)
            keys.add(docs)
    finally:
        outputs.close()
    return {**meter.receipt(), **keys.close(), **passage.receipt()}


def _dedup(run: Path, task: Task, settings: Settings, workspace: Workspace, limiter: Limiter) -> dict[str, Any]:
    name, _, kind = task.stage.partition(".")
    out = workspace.path(f"parts/{task.id}/edges.npy").parent
    if name in settings.stages.spans:
        rows = do_span_job(kind, run, task.payload, settings.stages.spans[name], out)
        return {"counts": {}, "steps": [], "rows": {name: rows}}
    number = list(settings.stages.dedup).index(name)
    told = do_job(kind, run, task.payload, settings.stages.dedup[name], number, out)
    return {"counts": {}, "steps": [], **told}


def _shard(run: Path, task: Task, settings: Settings, workspace: Workspace, limiter: Limiter) -> dict[str, Any]:
    """Drop duplicates, cut copies, run the last steps, and write the shard with the ledger rows of what led to it."""
    signals = {**settings.signals(settings.judged_steps()), **span_signals(settings.stages.spans)}
    schema = ledger_schema(signals)
    finish = concerning(task.source, settings.stages.finish, settings.only)
    meter = Meter()
    passage = Passage(task.trial, settings.worker, finish, limiter)
    name = f"part-{task.payload['number']:05d}.parquet"
    shard_path = f"shards/{task.source}/{name}"
    outputs = Outputs(workspace, task, signals, settings.steps)
    shard = TableWriter(workspace.path(shard_path), SHARD)
    cut = TableWriter(workspace.path(f"cut/{task.source}/{name}"), CUT)
    ledger = TableWriter(workspace.path(f"ledger/{task.source}/{name}"), schema)
    with shard, ledger, cut:
        for part in task.payload["parts"]:
            for earlier in dict.fromkeys((part.replace("judge-", "read-", 1), part)):
                for rows in read_rows(run / "parts" / earlier / "ledger.parquet", ROW_GROUP):
                    ledger.write(rows)
            for batch in passage.of(_part(run, part, settings.batch_records)):
                meter.read += batch.height
                docs = _without_duplicates(run, batch, settings, meter)
                docs = _without_copies(run, docs, task.payload["copies"], settings, meter, cut)
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
    return {**meter.receipt(), **passage.receipt()}


def _without_duplicates(run: Path, docs: pl.DataFrame, settings: Settings, meter: Meter) -> pl.DataFrame:
    """Mark each document that another one stands for; add `cluster`, `cluster_size` and `earlier`."""
    steps, last = settings.stages.dedup, settings.stages.last_dedup
    if last is None or not docs.height:
        none = {"cluster": pl.UInt64, "cluster_size": pl.UInt32, "earlier": pl.String}
        return docs.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in none.items())
    started = time.perf_counter()
    low, high = docs["ordinal"][0], docs["ordinal"][-1]
    clusters = clusters_between(clusters_file(run, last), low, high + 1)
    docs = docs.join(clusters, on="ordinal", how="left", maintain_order="left")
    if any(step.against for step in steps.values()):
        known = known_between(known_file(run, last), low, high + 1)
        docs = docs.join(known, on="ordinal", how="left", maintain_order="left")
        ours = pl.col("earlier").is_null()
        docs = docs.with_columns(pl.when(ours).then("cluster"), pl.when(ours).then("cluster_size"))
    seconds = (time.perf_counter() - started) / len(steps)
    left = docs.height
    for number, (name, step) in enumerate(steps.items()):
        here = pl.col("dropped_by") == number
        lost = int(docs.select(here.sum()).item())
        meter.step(name, step, left, left - lost, seconds)
        meter.steps[name]["kind"] = "dedup"
        docs = docs.with_columns(reason=pl.when(here).then(pl.lit(dropped_for(name))).otherwise("reason"))
        left -= lost
    return docs.drop("dropped_by")


def _without_copies(
    run: Path,
    docs: pl.DataFrame,
    jobs: Mapping[str, Sequence[str]],
    settings: Settings,
    meter: Meter,
    cut: TableWriter,
) -> pl.DataFrame:
    """Cut the parts of documents that others have before; write what was cut."""
    steps = settings.stages.spans
    if not steps or not docs.height:
        return docs
    started = time.perf_counter()
    docs, pieces = cut_copies(docs, steps, {name: copies_of(run, jobs[name], docs) for name in steps})
    cut.write(pieces)
    seconds = (time.perf_counter() - started) / len(steps)
    left = int(docs[f"{next(iter(steps))}.cut"].count())
    for name, step in steps.items():
        lost = int(docs[f"{name}.dropped"].count())
        meter.step(name, step, left, left - lost, seconds)
        meter.steps[name]["kind"] = "transform"
        left -= lost
    return docs


def _keep(docs: pl.DataFrame, outputs: Outputs, meter: Meter) -> None:
    outputs.part.write(docs)
    meter.kept += docs.height
    meter.kept_bytes += int(docs["text"].str.len_bytes().sum() or 0)


def _records(
    reader: Reader, task: Task, limit: int | None, ignored: Counter[str], limiter: Limiter
) -> Iterator[tuple[str, Record]]:
    """The records of a task's splits, each with the name of its file."""
    count = 0
    with expecting({path: Facts(*told) for path, told in task.payload["expected"].items()}):
        for number, (name, path, start, end) in enumerate(task.payload["splits"]):
            limiter.reading(number)
            for record in reader.read(Split(path, start, end), ignored):
                limiter.reading(number, record.offset)
                if limit is not None and count >= limit:
                    return
                count += 1
                yield name, record


def _batches(records: Iterator[tuple[str, Record]], task: Task, settings: Settings) -> Iterator[pl.DataFrame]:
    """Records as frames of bounded size."""
    schema = {**FRAME, **read_signals(settings.readers.values())}
    declared = settings.readers[task.source].told.keys() if task.source else frozenset()
    rows: list[tuple[str, Record]] = []
    size = first = 0
    for name, record in records:
        if not record.signals.keys() <= declared:
            raise TypeError(f"{name}: the reader does not declare all of {', '.join(record.signals)}")
        rows.append((name, record))
        size += len(record.html or b"") + len(record.text or "")
        if size >= settings.batch_bytes or len(rows) >= settings.batch_records:
            yield _frame(rows, task, first, schema)
            rows, size, first = [], 0, first + len(rows)
    if rows:
        yield _frame(rows, task, first, schema)


def _frame(
    rows: Sequence[tuple[str, Record]], task: Task, first: int, schema: Mapping[str, PolarsDataType]
) -> pl.DataFrame:
    """Records, with the names of their files, as a frame. By columns: a mapping for each record is much dearer."""
    records = [record for _, record in rows]
    columns: dict[str, Any] = dict(zip(Record._fields, zip(*records, strict=True), strict=True))
    ordinal = task.payload["index"] << 32 | first
    columns |= {
        "id": [document_id(task.source or "", name, record.offset) for name, record in rows],
        "ordinal": range(ordinal, ordinal + len(rows)),
        "origin": [f"{name}#{record.offset}" for name, record in rows],
        "source": [task.source] * len(rows),
        "reason": [_refused(record) for record in records],
        "broken": pl.Series([[]], dtype=FRAME["broken"]).new_from_index(0, len(rows)),
    }
    for name in schema:
        if name.startswith("read."):
            signal = name.removeprefix("read.")
            columns[name] = [record.signals.get(signal) for record in records]
        elif name not in columns:  # what readers do not tell
            columns[name] = [None] * len(rows)
    return pl.DataFrame([pl.Series(name, columns[name], dtype) for name, dtype in schema.items()])


def _refused(record: Record) -> str | None:
    """Why the reader itself drops a record."""
    if record.error is not None:
        return None
    if record.drop is None and not record.text and record.html is None:
        return "read.empty"
    return record.drop


def document_id(source: str, file: str, offset: int) -> str:
    """A document's id: the same wherever and whenever the same file is read, 96 bits in hexadecimal."""
    return hashlib.blake2b(f"{source}\0{file}\0{offset}".encode(), digest_size=12).hexdigest()


def _part(run: Path, part: str, batch_records: int) -> Iterator[pl.DataFrame]:
    """Documents that an earlier stage let through, as frames."""
    for frame in read_rows(run / "parts" / part / "documents.parquet", batch_records):
        missing = [name for name in FRAME if name not in frame.columns]
        yield frame.with_columns(pl.lit(None, dtype=FRAME[name]).alias(name) for name in missing)
