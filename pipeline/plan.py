"""Config -> tasks, each with a fingerprint; what is done, stale or missing. Looks at files, changes nothing.

A task's fingerprint covers its settings, its input and the fingerprints of the tasks before it, never the number of
workers or the time. A receipt with the same fingerprint and its outputs in place means that the task is done.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.config import CurateConfig
from pipeline.configfile import Problem
from pipeline.dedup.index.planned import Counted, find_known
from pipeline.dedup.jobs import Job, Jobs, Part, clusters_job
from pipeline.dedup.spans.jobs import SpanJobs, SpanPart
from pipeline.inputs import AT_A_TIME, InputFile, find_files
from pipeline.readers.base import Reader, Split
from pipeline.readers.remote import expecting, is_remote
from pipeline.readers.stores import Facts, RemoteError
from pipeline.steps import Stages, Steps, concerning, dedup_stages, depends_on, span_stages, use_of

FORMAT = 3
"""Raised when the layout of a run changes, so that older runs are redone."""

Receipt = dict[str, Any]


class Probe(NamedTuple):
    """The part of a task that shows whether a worker survives it; nothing of it is committed."""

    first: int
    last: int
    """Only records between these ordinals go through the steps, both included."""
    rows: int
    """How many of them at once."""
    seconds: float
    """Of processor time that those may take."""


@dataclass(frozen=True)
class Trial:
    """What is different when a task is done again because a worker died of it."""

    number: int = 0
    """How often it was begun before. From the second time on it gets a process that has done nothing else."""
    isolated: Mapping[int, str] = field(default_factory=dict)
    """The ordinals of records that go into quarantine before they meet a step, with their errors."""
    probe: Probe | None = None


@dataclass(frozen=True)
class Task:
    """A piece of work that one worker does alone: small and plain, since it crosses process borders."""

    id: str
    stage: str
    source: str | None
    fingerprint: str
    payload: dict[str, Any] = field(repr=False, compare=False)
    trial: Trial = field(default=Trial(), repr=False, compare=False)

    @property
    def mark(self) -> str:
        """The file in the run folder in which a worker says how far it is; with a number, since one may be given up
        on that is only slow."""
        return f"parts/.{self.id}-{self.trial.number}.mark"


class Piece(NamedTuple):
    """A split of a file, and about how many bytes it has (splits count in units of their format)."""

    file: InputFile
    split: Split
    size: int


def fingerprint(*parts: Any) -> str:
    """A hash of JSON-able values."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def outcome_of(receipt: Receipt) -> str:
    """What decides the files of a task: its fingerprint, and the records that were isolated, which follow from nothing
    that is known before."""
    isolated = [(record["ordinal"], record["error"]) for record in receipt.get("isolated", ())]
    return fingerprint(receipt["fingerprint"], isolated) if isolated else str(receipt["fingerprint"])


@dataclass(frozen=True)
class Plan:
    """The tasks of a run. Later stages follow from the receipts of earlier ones."""

    config: CurateConfig
    stages: Stages
    inputs: Mapping[str, tuple[InputFile, ...]]
    splits: Mapping[str, tuple[tuple["Piece", ...], ...]]
    """By source: the pieces of files of each read task."""
    left_out: Mapping[str, int]
    """By source: the files in its folders that its reader does not take."""
    known: Mapping[str, Sequence[Counted]]
    """By step of deduplication: what counts of the indexes of earlier runs that it names."""

    @property
    def input_bytes(self) -> int:
        """Bytes of all input files."""
        return sum(file.size for files in self.inputs.values() for file in files)

    @property
    def order(self) -> list[str]:
        """The names of the stages, each of which needs the ones before."""
        return ["read", "judge", *dedup_stages(self.stages.dedup), *span_stages(self.stages.spans), "shard"]

    def tasks(self, stage: str, receipts: Mapping[str, Receipt]) -> list[Task]:
        """The tasks of a stage, given the receipts of the stages before it."""
        match stage:
            case "read":
                return list(self._read_tasks())
            case "judge":
                return list(self._judge_tasks(receipts))
            case "shard":
                return list(self._shard_tasks(receipts))
            case _ if stage.partition(".")[0] in self.stages.spans:
                return list(self._span_tasks(stage, receipts))
            case _:
                return list(self._dedup_tasks(stage, receipts))

    def _read_tasks(self) -> Iterator[Task]:
        index = 0
        everything = identity(self.stages.read)  # parts have a column for each signal of the stage
        dedup = None if self.stages.judge else self._global_identity()
        for name, source in self.config.sources.items():
            steps = [everything, list(self._concerning(name, self.stages.read))]
            reader = {"version": source.reader.version, **source.reader.model_dump(mode="json")}
            for number, pieces in enumerate(self.splits[name]):
                where = [(file.name, file.size, file.stamp, split.start, split.end) for file, split, _ in pieces]
                limits = [self.config.measure, self.config.limit, self.config.batch_bytes, self.config.batch_records]
                yield Task(
                    id=f"read-{name}-{number:05d}",
                    stage="read",
                    source=name,
                    fingerprint=fingerprint("read", name, index, where, reader, steps, dedup, limits),
                    payload={
                        "index": index,
                        "splits": [[file.name, split.path, split.start, split.end] for file, split, _ in pieces],
                        "expected": {  # a file elsewhere that is another one by the time it is read is an error
                            file.path: [file.size, file.stamp] for file, _, _ in pieces if is_remote(file.path)
                        },
                        "bytes": sum(piece.size for piece in pieces),
                    },
                )
                index += 1

    def _concerning(self, source: str | None, steps: Steps) -> Steps:
        return concerning(source, steps, self.config.only)

    def _global_identity(self) -> list[Any]:
        return identity({**self.stages.dedup, **self.stages.spans})

    def judged(self) -> str:
        """The stage whose parts go into deduplication and shards."""
        return "judge" if self.stages.judge else "read"

    def _judge_tasks(self, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        if not self.stages.judge:
            return
        steps = [identity(self.stages.judge), self._global_identity(), self.config.batch_records]
        steps.append({name: list(self._concerning(name, self.stages.judge)) for name in self.config.sources})
        for task in self._read_tasks():
            receipt = receipts[task.id]
            yield Task(
                id=task.id.replace("read-", "judge-", 1),
                stage="judge",
                source=task.source,
                fingerprint=fingerprint("judge", outcome_of(receipt), steps),
                payload={"part": task.id, "bytes": receipt["counts"]["kept_bytes"]},
            )

    def _judged_receipts(self, receipts: Mapping[str, Receipt]) -> list[Receipt]:
        stage = self.judged()
        return [receipts[task.id.replace("read-", f"{stage}-", 1)] for task in self._read_tasks()]

    def _dedup_tasks(self, stage: str, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        name, _, kind = stage.partition(".")
        steps = list(self.stages.dedup)
        parts = [Part(receipt["task"], receipt["counts"]["kept"]) for receipt in self._judged_receipts(receipts)]
        earlier = steps[steps.index(name) - 1] if name != steps[0] else None
        step = self.stages.dedup[name]
        jobs = Jobs(name, step.band_count(), parts, list(self.config.sources), earlier, step.proof, self.known[name])
        yield from _job_tasks(stage, jobs.of(kind), receipts)

    def _span_jobs(self, name: str, receipts: Mapping[str, Receipt]) -> SpanJobs:
        last = self.stages.last_dedup
        parts = [
            SpanPart(receipt["task"], receipt["rows"][name], receipt["counts"]["kept_bytes"])
            for receipt in self._judged_receipts(receipts)
        ]
        rounds = self.stages.spans[name].rounds
        dropped = None if last is None else clusters_job(last)
        return SpanJobs(name, rounds, parts, dropped, lambda job: int(receipts[job]["rows"][name]))

    def _span_tasks(self, stage: str, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        name, _, kind = stage.partition(".")
        yield from _job_tasks(stage, self._span_jobs(name, receipts).of(kind), receipts)

    def _shard_tasks(self, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        last = self.stages.last_dedup
        clusters = None if last is None else receipts[clusters_job(last)]["fingerprint"]
        copies = {name: self._span_jobs(name, receipts).copies() for name in self.stages.spans}
        cuts = [receipts[job]["fingerprint"] for jobs in copies.values() for job in jobs]
        everything = identity(self.config.steps)  # the ledger has a column for each signal of the run
        for name in self.config.sources:
            steps = list(self._concerning(name, self.stages.finish))
            judged = [receipt for receipt in self._judged_receipts(receipts) if receipt["source"] == name]
            shards = _grouped(judged, lambda receipt: int(receipt["counts"]["kept_bytes"]), self.config.shard_bytes)
            for number, members in enumerate(shards):
                bases = [outcome_of(receipt) for receipt in members]
                yield Task(
                    id=f"shard-{name}-{number:05d}",
                    stage="shard",
                    source=name,
                    fingerprint=fingerprint("shard", name, bases, clusters, cuts, steps, everything),
                    payload={
                        "number": number,
                        "parts": [receipt["task"] for receipt in members],
                        "copies": copies,
                        "bytes": sum(receipt["counts"]["kept_bytes"] for receipt in members),
                    },
                )


def _job_tasks(stage: str, jobs: Iterable[Job], receipts: Mapping[str, Receipt]) -> Iterator[Task]:
    """Jobs of deduplication as tasks."""
    known: dict[tuple[str, ...], str] = {}  # thousands of ranges follow from the same thousands of runs
    for job in jobs:
        if job.after not in known:
            known[job.after] = fingerprint([outcome_of(receipts[task]) for task in job.after])
        yield Task(
            id=job.id,
            stage=stage,
            source=None,
            fingerprint=fingerprint(stage, known[job.after], job.payload),
            payload=job.payload,
        )


def identity(steps: Steps | Mapping[str, Any]) -> list[Any]:
    """What decides the results of steps: their settings, the version of their code, the models and lists they use;
    but of indexes what counts is what is in them, and only to those tasks that look into them."""
    return [
        [use_of(step), name, step.model_dump(mode="json", exclude={"against"}), step.version, depends_on(step)]
        for name, step in steps.items()
    ]


def make_plan(config: CurateConfig) -> Plan:
    """Find the input files and split them; raises ConfigError naming every source whose files are not there."""
    inputs: dict[str, tuple[InputFile, ...]] = {}
    splits: dict[str, tuple[tuple[Piece, ...], ...]] = {}
    problems: list[Problem] = []
    left_out: dict[str, int] = {}
    for name, source in config.sources.items():
        found_files, wrong, left_out[name] = find_files(name, source)
        files = sorted(found_files, key=lambda file: (file.name, file.path))  # in whatever order they are named
        problems += wrong
        pieces: list[Piece] = []
        for file, found in zip(files, _cut(files, source.reader, config.split_bytes), strict=True):
            if isinstance(found, Exception):
                problems.append(Problem(("sources", name, "paths"), f"{file.path}: {found}"))
            else:
                pieces += [Piece(file, split, file.size // len(found)) for split in found]
        inputs[name] = tuple(files)
        if config.limit is not None:
            splits[name] = (tuple(pieces),) if pieces else ()
        else:
            splits[name] = tuple(_grouped(pieces, lambda piece: piece.size, config.split_bytes))
    known, wrong = find_known(config.steps, inputs)
    problems += wrong
    if problems:
        raise config.file.error(problems)
    return Plan(config, Stages.of(config.steps), inputs, splits, left_out, known)


def _cut(files: Sequence[InputFile], reader: Reader, split_bytes: int) -> Iterator[list[Split] | Exception]:
    """The splits of each file, or why it has none. Files elsewhere are looked into at the same time."""

    def cut(file: InputFile) -> list[Split] | Exception:
        try:
            return reader.splits(file.size, file.path, split_bytes)
        except (ValueError, OSError, RemoteError) as error:
            return error

    elsewhere = {file.path: Facts(file.size, file.stamp) for file in files if is_remote(file.path)}
    if not elsewhere:
        return map(cut, files)
    with expecting(elsewhere), ThreadPoolExecutor(AT_A_TIME) as pool:
        return iter(list(pool.map(cut, files)))


T = TypeVar("T")


def _grouped(items: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[tuple[T, ...]]:
    """Consecutive items together, up to `limit` in all: a thousand small files are not a thousand tasks."""
    group: list[T] = []
    total = 0
    for item in items:
        if group and total + size(item) > limit:
            yield tuple(group)
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield tuple(group)


class Receipts:
    """The receipts of a run folder: a task is done if its receipt has its fingerprint and every output is in place."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def read(self, task: str) -> Receipt | None:
        """A receipt as it lies there, whatever its fingerprint."""
        try:
            receipt: Receipt = json.loads((self.run / "receipts" / f"{task}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return receipt

    def state(self, task: Task) -> tuple[str, Receipt | None]:
        """`done` with the receipt, `stale` (settings or input changed, or outputs are gone), or `missing`."""
        receipt = self.read(task.id)
        if receipt is None:
            return "missing", None
        if receipt["fingerprint"] != task.fingerprint:
            return "stale", None
        for relative, size in receipt["sizes"].items():
            path = self.run / relative
            if not path.is_file() or path.stat().st_size != size:
                return "stale", None
        return "done", receipt
