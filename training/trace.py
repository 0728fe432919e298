"""Which documents made a step, and which steps saw a document: arithmetic on a training run's folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TracedPiece:
    """A stretch of a document in a row of a step (`dataclasses.asdict` gives JSON)."""

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
    shard: str
    shard_row: int
    origin: str | None
    visits: tuple[Visit, ...]


def trace_step(folder: str | Path, step: int) -> list[TracedPiece]:
    """Every piece of step `step`."""
    raise NotImplementedError


def trace_document(folder: str | Path, document: str) -> list[DocumentTrace]:
    """The document in each source that has it. Raises LookupError if none has."""
    raise NotImplementedError
