"""Loss by source and by document length on held-out documents: the same every time, so that two can be compared.

One pass: losses are summed on the device, and the sums of all sources are read at once at the end. Every evaluation
makes its batches anew from the mapped store, which costs little and keeps nothing in memory.
"""

import math
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.compute import Compute
from training.config import TrainConfig
from training.loss import IGNORED
from training.model import Decoder
from training.packing import PADDING, Batch, validation
from training.store.tokens import Documents, TokenStore

Row = dict[str, Any]


class _Looked(NamedTuple):
    """What the evaluation looks at of a source; each is (lengths,)."""

    targets: npt.NDArray[np.int64]
    """Tokens that are predicted: all but each document's first."""
    tokens: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.int64]


class HeldOut:
    """The held-out documents of a run."""

    def __init__(self, store: TokenStore, config: TrainConfig) -> None:
        self._store, self._config = store, config
        self._starts = np.array([0, *config.evaluation.lengths])
        ends = [f"-{end - 1}" for end in config.evaluation.lengths]
        self.names = [f"{start}{end}" for start, end in zip(self._starts, [*ends, "+"], strict=True)]
        """Of the classes of lengths: `0-255`, ..., `4096+`."""

    @torch.no_grad()
    def measure(self, model: Decoder, trunk: Callable[..., Tensor], compute: Compute) -> Row:
        """Mean loss of each source (nats a token), bits per byte of its text, and over how many tokens.

        Gives {"loss": {source: ...}, "bits_per_byte": {...}, "tokens": {...}, "by_length": {source: {"0-255":
        {"loss": ..., "bits_per_byte": ..., "tokens": ...}}}}; a source without held-out documents and a class without
        tokens are left out. A document counts where its length belongs, also if only a part of it is looked at. Bits
        per byte do not depend on the tokenizer; the first token of a document, which nothing predicts, is taken to cost
        the mean of the others.
        """
        model.eval()
        sums = torch.stack([self._sums(source, model, trunk, compute) for source in self._store.sources])
        model.train()
        row: Row = {"loss": {}, "bits_per_byte": {}, "tokens": {}, "by_length": {}}
        for source, nll in zip(self._store.sources, np.array(sums.tolist()), strict=True):
            looked = self._looked[source]
            if whole := _numbers(nll.sum(), *(part.sum() for part in looked)):
                for name, value in whole.items():
                    row[name][source] = value
                classes = zip(self.names, nll, *looked, strict=True)
                row["by_length"][source] = {name: made for name, *facts in classes if (made := _numbers(*facts))}
        return row

    def _sums(self, source: str, model: Decoder, trunk: Callable[..., Tensor], compute: Compute) -> Tensor:
        """Summed loss (lengths,) of a source, on the device, in float64 where it has that."""
        precise = torch.float32 if compute.device.type == "mps" else torch.float64
        sums = torch.zeros(len(self.names), dtype=precise, device=compute.device)
        context = self._config.evaluation.context or self._config.context
        size = max(self._config.batch.at_once * self._config.context // context, 1)
        held = self._store.held[self._store.sources.index(source)]
        for batch, shown in validation(self._store, source, self._config):
            classes = self._classes(held, shown)
            for start in range(0, len(batch.inputs), size):
                rows = slice(start, start + size)
                kind = compute.move(classes[rows])
                if compute.compiled and len(kind) < size:
                    each = compute.nll(model, trunk, _filled(batch, rows, size), slice(size))[1][: len(kind)]
                else:
                    each = compute.nll(model, trunk, batch, rows)[1]
                for number in range(len(sums)):
                    sums[number] += torch.where(kind == number, each, 0.0).sum(dtype=precise)
        return sums

    def _classes(self, held: Documents, shown: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The class of lengths that each position's document belongs to; -1 at padding."""
        lengths = np.diff(held.offsets)[shown] - 1  # without the end token
        return np.where(shown == PADDING, PADDING, np.searchsorted(self._starts, lengths, side="right") - 1)

    @cached_property
    def _looked(self) -> dict[str, _Looked]:
        """By source; found once, for bytes have to be decoded."""
        looked = {}
        for source, held in zip(self._store.sources, self._store.held, strict=True):
            made = _Looked(*(np.zeros(len(self.names), np.int64) for _ in _Looked._fields))
            seen: Counter[int] = Counter()
            for batch, shown in validation(self._store, source, self._config):
                classes = self._classes(held, shown)
                np.add.at(made.targets, classes[batch.targets != IGNORED], 1)
                np.add.at(made.tokens, classes[shown != PADDING], 1)
                seen.update(shown[shown != PADDING].tolist())
            for document, count in seen.items():  # what is seen of a document is its beginning
                ids = held.ids(document)
                text = self._store.tokenizer.decode(ids[: min(count, len(ids) - 1)].tolist())
                made.bytes[self._classes(held, np.array(document))] += len(text.encode())
            looked[source] = made
        return looked


def _numbers(nll: float, targets: int, tokens: int, size: int) -> dict[str, float]:
    """Loss, bits per byte and count of what has targets; nothing otherwise."""
    if not targets:
        return {}
    loss = float(nll) / int(targets)
    return {
        "loss": loss,
        "bits_per_byte": loss / math.log(2) * int(tokens) / int(size) if size else math.nan,
        "tokens": int(targets),
    }


def _filled(batch: Batch, rows: slice, size: int) -> Batch:
    """These rows and, behind them, padding up to `size`: a compiled model knows one shape."""
    empty = size - len(batch.inputs[rows])
    shape = empty, batch.inputs.shape[1]
    return Batch(
        np.concatenate([batch.inputs[rows], np.zeros(shape, np.int64)]),
        np.concatenate([batch.targets[rows], np.full(shape, IGNORED, np.int64)]),
        np.concatenate([batch.segments[rows], np.full(shape, PADDING, np.int32)]),
        np.concatenate([batch.positions[rows], np.zeros(shape, np.int64)]),
        np.concatenate([batch.sources[rows], np.zeros(empty, np.int64)]),
    )
