"""What training did with documents that are taken down, and their tokens out of a token store.

Weights that have seen a document cannot forget it, so a takedown names the checkpoints that have. In the store the
document's tokens are overwritten where they lie, by end tokens: ids and places stay, and with them the answer to which
step saw what. The next training does not use such a store but makes a new one of what the shards have then.
"""

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.interruption import alone
from training.provenance.trace import Trace
from training.store.documents import Documents
from training.store.views import View

JOURNAL = "takedowns.jsonl"


@dataclass(frozen=True)
class Consumed:
    """A document that a training run has, or had before a takedown."""

    id: str
    source: str
    held_out: bool
    """It was only used to measure."""
    first_step: int | None
    """The first step that put it into the weights; None if none did so far."""
    visits: int
    tokens: int
    """That went into the weights, all visits together."""
    first_checkpoint: int | None
    """The step of the first checkpoint that has seen it; all later ones have."""
    kept_checkpoints: tuple[int, ...]
    """The steps of those that lie in the run now."""


def consumed(run: Path, ids: Collection[str]) -> list[Consumed]:
    """What a training run has done with documents; what it never had is left out.

    Of documents whose store is no longer there the run's own journal of takedowns tells. Raises ConfigError if the
    folder is no training run.
    """
    trace = Trace(run)
    found = [
        Consumed(
            document.id,
            document.source,
            document.held_out,
            document.first_step,
            sum(visit.state == "seen" for visit in document.visits),
            document.seen_tokens,
            document.first_checkpoint,
            document.kept_checkpoints,
        )
        for document in trace.documents(ids)
    ]
    known = {document.id for document in found}
    for entry in _journal(run):
        if entry["id"] in ids and entry["id"] not in known:
            first = entry["first_step"]
            kept = tuple(step for step in trace.kept_checkpoints if first is not None and step >= first)
            found.append(Consumed(**{**entry, "kept_checkpoints": kept}))
    return found


def erase(run: Path, documents: Iterable[Consumed]) -> int:
    """Write down what a run has consumed and take the tokens out of its store; returns the number of documents erased.

    The same call again changes nothing. Raises TrainingError while the run is going on.
    """
    consumed = list(documents)
    if not consumed:
        return 0
    with alone(run):
        _write_down(run, consumed)
        store, ids = Trace(run).store, {document.id for document in consumed}
        erased = 0
        for source, parts in zip(store.sources, zip(store.train, store.held, strict=True), strict=True):
            if isinstance(parts[0], View):  # its tokens are those of another source
                continue
            folder = store.folder / source
            wanted = [
                (part, those, found)
                for part, those in zip(("train", "held"), parts, strict=True)
                if (found := those.spans(ids))
            ]
            if not wanted:
                continue
            _outdate(folder / "manifest.json")
            for part, those, spans in wanted:
                erased += _overwrite(folder / part / "tokens.bin", those, spans, store.tokenizer.end)
    return erased


def _journal(run: Path) -> list[dict[str, Any]]:
    path = run / JOURNAL
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _write_down(run: Path, consumed: list[Consumed]) -> None:
    """Add to the run's journal what it does not have yet."""
    known = _journal(run)
    have = {(entry["id"], entry["source"]) for entry in known}
    new = [asdict(document) for document in consumed if (document.id, document.source) not in have]
    _replace(run / JOURNAL, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in [*known, *new]))


def _outdate(manifest: Path) -> None:
    """Have the next training make the store of a source again, whether or not its shards have changed by then."""
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    _replace(manifest, json.dumps({**facts, "version": "documents were erased"}, indent=1) + "\n")


def _overwrite(path: Path, documents: Documents, spans: Iterable[tuple[int, int]], end: int) -> int:
    """Write end tokens over stretches of tokens; returns how many had others."""
    tokens = np.memmap(path, documents.tokens.dtype, "r+")
    count = 0
    for begin, stop in spans:
        text = tokens[begin:stop]
        count += bool((text != end).any())
        text[:] = end
    tokens.flush()
    return count


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
