"""Config -> tasks, each with a fingerprint; what is done, stale or missing. Looks at files, changes nothing.

A task's fingerprint covers its settings, its input and the fingerprints of the tasks before it, never the number of
workers or the time. A receipt with the same fingerprint and its outputs in place means that the task is done.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.config import CurateConfig
from pipeline.configfile import Problem
from pipeline.inputs import InputFile, find_files
from pipeline.readers.base import Split
from pipeline.steps import Stages, Steps, concerning, depends_on, use_of

FORMAT = 2
"""Raised when the layout of a run changes, so that older runs are redone."""

DEDUP_BYTES = 256 * 2**20
"""Memory that comparing one range of signatures may take; more documents make more ranges, not larger ones."""

STAGES = ("read", "judge", "bands", "clusters", "shard")

Receipt = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A piece of work that one worker does alone: small and plain, since it crosses process borders."""

    id: str
    stage: str
    source: str | None
    fingerprint: str
    payload: dict[str, Any] = field(repr=False, compare=False)


class Piece(NamedTuple):
    """A split of a file, and about how many bytes it has (splits count in units of their format)."""

    file: InputFile
    split: Split
    size: int


def fingerprint(*parts: Any) -> str:
    """A hash of JSON-able values."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Plan:
    """The tasks of a run. Later stages follow from the receipts of earlier ones."""

    config: CurateConfig
    stages: Stages
    inputs: Mapping[str, tuple[InputFile, ...]]
    splits: Mapping[str, tuple[tuple["Piece", ...], ...]]
    """By source: the pieces of files of each read task."""

    @property
    def input_bytes(self) -> int:
        """Bytes of all input files."""
        return sum(file.size for files in self.inputs.values() for file in files)

    def tasks(self, stage: str, receipts: Mapping[str, Receipt]) -> list[Task]:
        """The tasks of a stage, given the receipts of the stages before it."""
        match stage:
            case "read":
                return list(self._read_tasks())
            case "judge":
                return list(self._judge_tasks(receipts))
            case "bands":
                return list(self._band_tasks(receipts))
            case "clusters":
                return list(self._cluster_tasks(receipts))
            case _:
                return list(self._shard_tasks(receipts))

    def _read_tasks(self) -> Iterator[Task]:
        index = 0
        everything = identity(self.stages.read)  # parts have a column for each signal of the stage
        dedup = None if self.stages.judge else identity(self.stages.dedup)
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
                        "bytes": sum(piece.size for piece in pieces),
                    },
                )
                index += 1

    def _concerning(self, source: str | None, steps: Steps) -> Steps:
        return concerning(source, steps, self.config.only)

    def judged(self) -> str:
        """The stage whose parts go into deduplication and shards."""
        return "judge" if self.stages.judge else "read"

    def _judge_tasks(self, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        if not self.stages.judge:
            return
        steps = [identity(self.stages.judge), identity(self.stages.dedup), self.config.batch_records]
        steps.append({name: list(self._concerning(name, self.stages.judge)) for name in self.config.sources})
        for task in self._read_tasks():
            receipt = receipts[task.id]
            yield Task(
                id=task.id.replace("read-", "judge-", 1),
                stage="judge",
                source=task.source,
                fingerprint=fingerprint("judge", receipt["fingerprint"], steps),
                payload={"part": task.id, "bytes": receipt["counts"]["kept_bytes"]},
            )

    def _judged_receipts(self, receipts: Mapping[str, Receipt]) -> list[Receipt]:
        stage = self.judged()
        return [receipts[task.id.replace("read-", f"{stage}-", 1)] for task in self._read_tasks()]

    def _band_tasks(self, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        from pipeline.dedup.bands import partitions

        judged = self._judged_receipts(receipts)
        for step in self.stages.dedup.values():
            total = sum(receipt["counts"]["kept"] for receipt in judged)
            base = fingerprint([receipt["fingerprint"] for receipt in judged])
            parts = [receipt["task"] for receipt in judged]
            for band in range(step.bands):
                for number, (low, high) in enumerate(partitions(total, DEDUP_BYTES)):
                    yield Task(
                        id=f"bands-{band:02d}-{number:03d}",
                        stage="bands",
                        source=None,
                        fingerprint=fingerprint("bands", base, band, low, high),
                        payload={"parts": parts, "band": band, "low": low, "high": high, "bytes": 8 * total},
                    )

    def _cluster_tasks(self, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        bands = list(self._band_tasks(receipts))
        if bands:
            yield Task(
                id="clusters",
                stage="clusters",
                source=None,
                fingerprint=fingerprint("clusters", [receipts[task.id]["fingerprint"] for task in bands]),
                payload={"parts": [task.id for task in bands], "bytes": 0},
            )

    def _shard_tasks(self, receipts: Mapping[str, Receipt]) -> Iterator[Task]:
        clusters = receipts["clusters"]["fingerprint"] if self.stages.dedup else None
        everything = identity(self.config.steps)  # the ledger has a column for each signal of the run
        for name in self.config.sources:
            steps = list(self._concerning(name, self.stages.finish))
            judged = [receipt for receipt in self._judged_receipts(receipts) if receipt["source"] == name]
            shards = _grouped(judged, lambda receipt: int(receipt["counts"]["kept_bytes"]), self.config.shard_bytes)
            for number, members in enumerate(shards):
                bases = [receipt["fingerprint"] for receipt in members]
                yield Task(
                    id=f"shard-{name}-{number:05d}",
                    stage="shard",
                    source=name,
                    fingerprint=fingerprint("shard", name, bases, clusters, steps, everything),
                    payload={
                        "number": number,
                        "parts": [receipt["task"] for receipt in members],
                        "bytes": sum(receipt["counts"]["kept_bytes"] for receipt in members),
                    },
                )


def identity(steps: Steps | Mapping[str, Any]) -> list[Any]:
    """What decides the results of steps: their settings, the version of their code, the models and lists they use."""
    return [
        [use_of(step), name, step.model_dump(mode="json"), step.version, depends_on(step)]
        for name, step in steps.items()
    ]


def make_plan(config: CurateConfig) -> Plan:
    """Find the input files and split them; raises ConfigError naming every source whose files are not there."""
    inputs: dict[str, tuple[InputFile, ...]] = {}
    splits: dict[str, tuple[tuple[Piece, ...], ...]] = {}
    problems: list[Problem] = []
    for name, source in config.sources.items():
        files, wrong = find_files(name, source)
        problems += wrong
        pieces: list[Piece] = []
        for file in files:
            try:
                found = source.reader.splits(file.size, file.path, config.split_bytes)
            except (ValueError, OSError) as error:
                problems.append(Problem(("sources", name, "paths"), f"{file.path}: {error}"))
                continue
            pieces += [Piece(file, split, file.size // len(found)) for split in found]
        inputs[name] = tuple(files)
        if config.limit is not None:
            splits[name] = (tuple(pieces),) if pieces else ()
        else:
            splits[name] = tuple(_grouped(pieces, lambda piece: piece.size, config.split_bytes))
    if problems:
        raise config.file.error(problems)
    return Plan(config, Stages.of(config.steps), inputs, splits)


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
