"""Which documents made a step, and which steps saw a document: arithmetic on a training run's folder."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.configfile import ConfigError
from training.config import TrainConfig
from training.order import Order
from training.tokenizer import Tokenizer
from training.tokens import TokenStore

_PREVIEW = 80


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
    preview: str
    """How the stretch begins, in the order in which the model reads it."""
    shard: str
    shard_row: int
    origin: str | None
    """Where curation read it, `path#offset`; None if the shard is no longer there."""


@dataclass(frozen=True)
class Visit:
    """A stretch of the document in a step."""

    step: int
    row: int
    epoch: int
    start: int
    length: int
    mode: str


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
    visits: tuple[Visit, ...]


def _open(folder: str | Path) -> Order:
    """The order of a training run. Raises ConfigError if the folder is none."""
    run = Path(folder)
    try:
        config = TrainConfig.model_validate(json.loads((run / "run.json").read_text(encoding="utf-8"))["config"])
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError([f"{run}: no run.json of a training run ({error})"]) from error
    return Order(config, TokenStore.open(run / "tokens", Tokenizer.load(run, config.tokenizer)))


def trace_step(folder: str | Path, step: int) -> list[TracedPiece]:
    """Every piece of a step (1 is the first) of a training run. Raises ConfigError if the run has no such step."""
    order = _open(folder)
    if not 1 <= step <= order.config.steps:
        raise ConfigError([f"the run has steps 1 to {order.config.steps}, no step {step}"])
    store = order.store
    origins: dict[tuple[int, int], str | None] = {}
    traced = []
    for row, plan in enumerate(order.step(step - 1)):
        for piece in plan.pieces:
            documents = store.train[piece.source]
            shard, shard_row = documents.shard(piece.document)
            document = piece.source, piece.document
            if document not in origins:
                origins[document] = documents.origin(piece.document)
            text = store.tokenizer.decode(order.tokens(piece)[: min(piece.length, _PREVIEW)].tolist())
            traced.append(
                TracedPiece(
                    step,
                    row,
                    store.sources[piece.source],
                    documents.name(piece.document),
                    piece.epoch,
                    piece.start,
                    piece.length,
                    piece.mode.name.lower(),
                    text[:_PREVIEW],
                    str(shard),
                    shard_row,
                    origins[document],
                )
            )
    return traced


def trace_document(folder: str | Path, document: str) -> list[DocumentTrace]:
    """The document in each source that has it, with every step that saw it. Raises LookupError if none has."""
    order = _open(folder)
    store = order.store
    traced = []
    for held_out, parts in ((False, store.train), (True, store.held)):
        for source, documents in enumerate(parts):
            for number in documents.find(document):
                visits = [] if held_out else order.visits(source, number)
                shard, shard_row = documents.shard(number)
                traced.append(
                    DocumentTrace(
                        document,
                        store.sources[source],
                        held_out,
                        len(documents.ids(number)),
                        str(shard),
                        shard_row,
                        documents.origin(number),
                        tuple(
                            Visit(step + 1, row, p.epoch, p.start, p.length, p.mode.name.lower())
                            for step, row, p in visits
                        ),
                    )
                )
    if not traced:
        raise LookupError(f"no source has a document '{document}'")
    return traced
