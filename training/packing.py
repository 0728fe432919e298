"""Batches: what a step's plan looks like as arrays for the model, with the masks that keep documents apart.

Documents of one source are written one behind the other and cut every `context` tokens. A document that does not end in
a sequence goes on in the next sequence of its source; there its positions start at 0 again, and it attends to what
stands in that row only. The last token of a row predicts the first one of the next, so every token of a document but
its first is predicted exactly once an epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.config import TrainConfig
from training.order import Order
from training.tokens import TokenStore

NO_LOSS = -100
PADDING = -1


@dataclass(frozen=True)
class Batch:
    """S sequences of T tokens; every array is C-contiguous and owned by the batch."""

    inputs: npt.NDArray[np.int64]
    """(S, T) token ids; padding has the end token."""
    targets: npt.NDArray[np.int64]
    """(S, T) the id that each position predicts; -100 at padding and at the last token of a document."""
    segments: npt.NDArray[np.int32]
    """(S, T) number of the document piece within its row: attention stays inside one; -1 is padding."""
    positions: npt.NDArray[np.int64]
    """(S, T) place within the piece, from 0; 0 at padding."""
    sources: npt.NDArray[np.int64]
    """(S,) index of the row's source in `store.sources`."""


def _blank(sources: list[int], context: int, end: int) -> Batch:
    """Rows of nothing but padding."""
    shape = len(sources), context
    return Batch(
        np.full(shape, end, np.int64),
        np.full(shape, NO_LOSS, np.int64),
        np.full(shape, PADDING, np.int32),
        np.zeros(shape, np.int64),
        np.array(sources, np.int64),
    )


def _write(made: Batch, row: int, at: int, segment: int, tokens: npt.NDArray[np.int64], length: int) -> None:
    """Write a piece of `length` tokens at column `at`; `tokens` has one more where the text goes on behind it."""
    filled = min(length, len(tokens))
    if not filled:  # a row that begins in the padding of a rearranged part
        return
    here = slice(at, at + filled)
    made.inputs[row, here] = tokens[:filled]
    made.targets[row, at : at + len(tokens) - 1] = tokens[1:]
    made.segments[row, here] = segment
    made.positions[row, here] = np.arange(filled)


def batch(order: Order, step: int, rows: slice | None = None) -> Batch:
    """Sequences `rows` (all of them by default) of a step, counted from 0: the same rows, whichever are asked for."""
    plans = order.step(step, rows)
    made = _blank([plan.source for plan in plans], order.config.context, order.store.tokenizer.end)
    for row, plan in enumerate(plans):
        at = 0
        for segment, piece in enumerate(plan.pieces):
            _write(made, row, at, segment, order.tokens(piece), piece.length)
            at += piece.length
    return made


def validation(store: TokenStore, source: str, config: TrainConfig) -> Iterator[Batch]:
    """The held-out documents of a source, the same every time, in batches of at most `config.batch.sequences` rows.

    They come in the order of their keys, a fair sample, as they are, up to `config.evaluation.tokens` tokens and at
    least one row; what stays free in the last row is padding. Nothing comes if the source has no held-out document.
    """
    number = store.sources.index(source)
    held, context = store.held[number], config.context
    limit = held.count_tokens
    if limit > config.evaluation.tokens:
        limit = min(limit, max(config.evaluation.tokens // context, 1) * context)
    count = -(-limit // context)
    made = _blank([number] * min(count, config.batch.sequences), context, store.tokenizer.end)
    first = position = segment = 0
    for document in np.argsort(held.keys, kind="stable").tolist():
        ids = held.ids(document)
        start = 0
        while start < len(ids) and position < limit:
            row, at = divmod(position, context)
            if row - first == len(made.inputs):
                yield made
                first = row
                made = _blank([number] * min(count - first, config.batch.sequences), context, store.tokenizer.end)
            segment = 0 if at == 0 else segment + 1
            length = min(len(ids) - start, context - at)
            _write(made, row - first, at, segment, ids[start : start + length + 1].astype(np.int64), length)
            start += length
            position += length
    if position:
        yield made
