"""Which documents made a step, and which steps and checkpoints saw a document: arithmetic on a training run's folder.

Nothing is kept of the steps but the hash of each (`order` in the metrics), because the order of training is a function
of the step. So a step of a run of a million is worked out alone, and a document is found by its place in each epoch;
what the journals add is how far the run got, which steps were left out, and which checkpoints there were.
"""

import json
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pipeline.configfile import ConfigError
from training.config import TrainConfig
from training.metrics import read_journal
from training.order import Order
from training.provenance.records import records
from training.store.tokenizer import Tokenizer
from training.store.tokens import TokenStore

_PREVIEW = 80
State = Literal["seen", "left out", "to come"]
"""Whether a step was taken, was left out by the guard against spikes, or lies behind what the run has done."""


@dataclass(frozen=True)
class TracedPiece:
    """A stretch of a document in a row of a step, for `dataclasses.asdict`. Steps count from 1, as in the metrics."""

    step: int
    row: int
    source: str
    id: str
    epoch: int
    start: int
    length: int
    mode: str
    """`plain`, `psm` or `spm`."""
    text: str
    """The stretch in the order in which the model reads it, or how it begins."""
    shard: str
    shard_row: int
    origin: str | None
    """Where curation read it, `path#offset`; None if it is no longer in its shard."""
    url: str | None
    signals: Mapping[str, Any] | None


@dataclass(frozen=True)
class Visit:
    """A stretch of the document in a step."""

    step: int
    row: int
    epoch: int
    start: int
    length: int
    mode: str
    state: State


@dataclass(frozen=True)
class DocumentTrace:
    """Everything that training did with a document; `held_out` ones are never trained on."""

    id: str
    source: str
    held_out: bool
    tokens: int
    """Of its text, and the end token."""
    shard: str
    shard_row: int
    origin: str | None
    url: str | None
    signals: Mapping[str, Any] | None
    visits: tuple[Visit, ...]
    seen_tokens: int
    """That went into the weights, all visits together."""
    first_step: int | None
    """The first step that put the document into the weights."""
    first_checkpoint: int | None
    """The step of the first checkpoint that has seen it; all later ones have."""
    kept_checkpoints: tuple[int, ...]
    """The steps of those that still lie in the run."""


class Trace:
    """A training run, opened once for many questions. Raises ConfigError if the folder is none."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            saved = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))["config"]
            config = TrainConfig.model_validate(saved)
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError([f"{self.folder}: no run.json of a training run ({error})"]) from error
        self.store = TokenStore.open(self.folder / "tokens", Tokenizer.load(self.folder, config.tokenizer))
        self.order = Order(config, self.store)

    @cached_property
    def taken(self) -> int:
        """Steps that the run has taken, those that were left out included."""
        return last_step(self.folder / "metrics.jsonl")

    @cached_property
    def left_out(self) -> frozenset[int]:
        """Steps that the guard left out: their documents did not change the weights."""
        return frozenset(row["step"] for row in _journal(self.folder / "events.jsonl") if row.get("event") == "skipped")

    @cached_property
    def kept_checkpoints(self) -> list[int]:
        """Steps of the checkpoints that lie in the run."""
        return sorted(int(path.name[5:]) for path in (self.folder / "checkpoints").glob("step-*[0-9]"))

    @cached_property
    def checkpoints(self) -> list[int]:
        """Steps of all checkpoints that were ever made, as far as the run has a journal of them."""
        made = {row["step"] for row in _journal(self.folder / "checkpoints.jsonl")}
        return sorted(made.union(self.kept_checkpoints))

    def state(self, step: int) -> State:
        """What became of a step, counted from 1."""
        if step > self.taken:
            return "to come"
        return "left out" if step in self.left_out else "seen"

    def step(self, step: int, whole: bool = False, signals: bool = False) -> list[TracedPiece]:
        """Every piece of a step (1 is the first), with its whole text or the beginning of it.

        Raises ConfigError if the run has no such step.
        """
        if not 1 <= step <= self.order.config.steps:
            raise ConfigError([f"the run has steps 1 to {self.order.config.steps}, no step {step}"])
        store, plans = self.store, self.order.step(step - 1)
        used: dict[int, list[int]] = {}
        for piece in (piece for plan in plans for piece in plan.pieces):
            used.setdefault(piece.source, []).append(piece.document)
        parts = store.train
        known = {
            source: records(parts[source].recorded, map(parts[source].record_of, numbers), signals)
            for source, numbers in used.items()
        }
        traced = []
        for row, plan in enumerate(plans):
            for piece in plan.pieces:
                record = known[piece.source][parts[piece.source].record_of(piece.document)]
                shown = self.order.tokens(piece)[: piece.length if whole else min(piece.length, _PREVIEW)]
                text = store.tokenizer.decode(shown.tolist())
                traced.append(
                    TracedPiece(
                        step,
                        row,
                        store.sources[piece.source],
                        store.train[piece.source].name(piece.document),
                        piece.epoch,
                        piece.start,
                        piece.length,
                        piece.mode.name.lower(),
                        text if whole else text[:_PREVIEW],
                        record.shard,
                        record.shard_row,
                        record.origin,
                        record.url,
                        record.signals,
                    )
                )
        return traced

    def documents(self, ids: Iterable[str], signals: bool = False) -> Iterator[DocumentTrace]:
        """The documents with these ids, in each source that has them; what no source has is left out.

        Of one that is joined with others, tokens and visits are those of all of them.
        """
        names = dict.fromkeys(ids)
        for held_out, parts in ((False, self.store.train), (True, self.store.held)):
            for source, documents in enumerate(parts):
                found = documents.having(names)
                known = records(documents.recorded, [recorded for _, recorded in found], signals)
                for number, recorded in found:
                    record = known[recorded]
                    visits = () if held_out else tuple(self._visits(source, number))
                    seen = [visit for visit in visits if visit.state == "seen"]
                    first = min((visit.step for visit in seen), default=None)
                    after = [] if first is None else self.checkpoints[bisect_left(self.checkpoints, first) :]
                    yield DocumentTrace(
                        documents.recorded.name(recorded),
                        self.store.sources[source],
                        held_out,
                        len(documents.ids(number)),
                        record.shard,
                        record.shard_row,
                        record.origin,
                        record.url,
                        record.signals,
                        visits,
                        sum(visit.length for visit in seen),
                        first,
                        after[0] if after else None,
                        tuple(step for step in self.kept_checkpoints if first is not None and step >= first),
                    )

    def _visits(self, source: int, document: int) -> Iterator[Visit]:
        for step, row, p in self.order.visits(source, document):
            yield Visit(step + 1, row, p.epoch, p.start, p.length, p.mode.name.lower(), self.state(step + 1))


def trace_step(folder: str | Path, step: int, whole: bool = False, signals: bool = False) -> list[TracedPiece]:
    """Every piece of a step (1 is the first) of a training run. Raises ConfigError if the run has no such step."""
    return Trace(folder).step(step, whole, signals)


def trace_document(folder: str | Path, document: str, signals: bool = False) -> list[DocumentTrace]:
    """The document in each source that has it, with every step that saw it. Raises LookupError if none has."""
    traced = list(Trace(folder).documents([document], signals))
    if not traced:
        raise LookupError(f"no source has a document '{document}'")
    return traced


def render_step(pieces: Iterable[TracedPiece]) -> str:
    """The pieces of a step, a line each; what filters measured stands below."""
    lines = ["row  source  epoch  tokens  mode  id  origin  text"]
    for piece in pieces:
        span, origin = f"{piece.start}+{piece.length}", piece.origin or "-"
        text = json.dumps(piece.text, ensure_ascii=False)
        lines.append(
            f"{piece.row:>3}  {piece.source}  {piece.epoch}  {span}  {piece.mode}  {piece.id}  {origin}  {text}"
        )
        lines += _measured(piece.signals)
    return "\n".join(lines)


def render_document(document: DocumentTrace) -> str:
    """A document, its visits, and the checkpoints that have seen it."""
    held = "; held out, never trained on" if document.held_out else ""
    lines = [f"{document.id}: {document.source}, {document.tokens} tokens, {document.origin or '-'}{held}"]
    lines += _measured(document.signals)
    for visit in document.visits:
        state = "" if visit.state == "seen" else f" ({visit.state})"
        lines.append(
            f"  step {visit.step}{state}, row {visit.row}, epoch {visit.epoch}, tokens {visit.start}+{visit.length}, "
            f"{visit.mode}"
        )
    if document.first_step is not None:
        first = document.first_checkpoint
        kept = ", ".join(map(str, document.kept_checkpoints)) or "none"
        since = "no checkpoint since" if first is None else f"in every checkpoint from step {first} on"
        lines.append(
            f"  {document.seen_tokens} tokens seen, first in step {document.first_step}: {since}; kept: {kept}"
        )
    return "\n".join(lines)


def _measured(signals: Mapping[str, Any] | None) -> list[str]:
    """What filters measured as one line; none if it was not asked for."""
    if signals is None:
        return []
    return ["     " + (", ".join(f"{name} {value}" for name, value in signals.items()) or "nothing was measured")]


def last_step(journal: Path) -> int:
    """The `step` of a journal's last whole line, read from its end; 0 if there is none."""
    if not journal.is_file():
        return 0
    with journal.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        size = 1 << 16
        while True:
            file.seek(max(end - size, 0))
            lines = file.read(min(size, end)).rpartition(b"\n")[0].split(b"\n")
            if len(lines) > 1 or size >= end:  # the first may be half a line
                return int(json.loads(lines[-1])["step"]) if lines[-1] else 0
            size *= 4


def _journal(path: Path) -> Iterator[dict[str, Any]]:
    return read_journal(path) if path.is_file() else iter(())
