"""Batches: what a step's plan looks like as arrays for the model, with the masks that keep documents apart.

A row has pieces of documents of one source, and padding behind them where they leave something free. A document that is
cut goes on in another row; there its positions start at 0 again, and it attends to what stands in that piece only. The
last token of a piece predicts the first one of the next, so every token of a document but its first is predicted
exactly once an epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training import filling, reading
from training.config import TrainConfig
from training.fim import Mode
from training.order import Order, Piece, Table
from training.store.tokens import TokenStore

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

    @property
    def padding(self) -> float:
        """Share of the positions that are padding."""
        return 1.0 - np.count_nonzero(self.segments != PADDING) / max(self.segments.size, 1)


def _blank(sources: npt.NDArray[np.int64], context: int, end: int) -> Batch:
    """Rows of nothing but padding."""
    shape = len(sources), context
    return Batch(
        np.full(shape, end, np.int64),
        np.full(shape, NO_LOSS, np.int64),
        np.full(shape, PADDING, np.int32),
        np.zeros(shape, np.int64),
        sources,
    )


def _write(made: Batch, row: int, at: int, segment: int, tokens: npt.NDArray[np.int64], length: int) -> None:
    """Write a piece of `length` tokens at column `at`; `tokens` has one more where the text goes on behind it."""
    shown = min(length, len(tokens))
    if not shown:  # a row that begins in the padding of a rearranged part
        return
    here = slice(at, at + shown)
    made.inputs[row, here] = tokens[:shown]
    made.targets[row, at : at + len(tokens) - 1] = tokens[1:]
    made.segments[row, here] = segment
    made.positions[row, here] = np.arange(shown)


def batch(order: Order, step: int, rows: slice | None = None) -> Batch:
    """Sequences `rows` (all of them by default) of a step, counted from 0: the same rows, whichever are asked for."""
    sources, _, table = order.table(step, rows)
    return filled(order, step, sources, table)


def filled(order: Order, step: int, sources: npt.NDArray[np.int64], table: npt.NDArray[np.int64]) -> Batch:
    """Rows of a step as `Order.table` has them: the source of each, and the pieces.

    Pieces of documents as they are go from the mapped tokens into all arrays in one compiled pass; only those that are
    rearranged are tokenised, and written one by one.
    """
    rearranged = table[:, Table.MODE].nonzero()[0].tolist()
    shape = len(sources), order.steps.stage(step).context
    inputs, targets, positions = (np.empty(shape, np.int64) for _ in range(3))
    made = Batch(inputs, targets, np.empty(shape, np.int32), positions, sources)
    arrays = inputs, targets, made.segments, positions
    for source, documents in enumerate(order.store.train):
        mine = table[:, Table.SOURCE] == source
        if mine.any():
            reading.order_of(documents)
            begins, ends = documents.places(np.where(mine, table[:, Table.DOCUMENT], 0))
            filling.fill(table, source, begins, ends, documents.tokens, NO_LOSS, *arrays)
    if rearranged or order.config.packing != "concatenate":
        filling.pad(table, order.store.tokenizer.end, NO_LOSS, PADDING, *arrays)
    first = table[:, Table.ROW].searchsorted(np.arange(len(sources)))
    for i in rearranged:
        row, source, document, epoch, start, length, mode, column, _ = table[i].tolist()
        piece = Piece(source, document, epoch, start, length, Mode(mode))
        _write(made, row, column, i - int(first[row]), order.tokens(piece), length)
    return made


def validation(store: TokenStore, source: str, config: TrainConfig) -> Iterator[tuple[Batch, npt.NDArray[np.int64]]]:
    """The held-out documents of a source, the same every time, in batches that have at most the tokens of a step.

    They come in the order of their keys, a fair sample, as they are, up to `config.evaluation.tokens` tokens and at
    least one row; what stays free in the last row is padding. Beside each batch: the held-out document (S, T) that each
    position shows, -1 at padding. Nothing comes if the source has no held-out document.
    """
    number = store.sources.index(source)
    held, context = store.held[number], config.evaluation.context or config.context
    most = max(config.batch.sequences * config.context // context, 1)
    limit = held.count_tokens
    if limit > config.evaluation.tokens:
        limit = min(limit, max(config.evaluation.tokens // context, 1) * context)
    count = -(-limit // context)
    size = min(count, most)
    made, shown = (
        _blank(np.full(size, number, np.int64), context, store.tokenizer.end),
        np.full((size, context), PADDING, np.int64),
    )
    first = position = segment = 0
    for document in np.argsort(held.keys, kind="stable").tolist():
        ids = held.ids(document)
        start = 0
        while start < len(ids) and position < limit:
            row, at = divmod(position, context)
            if row - first == len(made.inputs):
                yield made, shown
                first, size = row, min(count - row, most)
                made = _blank(np.full(size, number, np.int64), context, store.tokenizer.end)
                shown = np.full((size, context), PADDING, np.int64)
            segment = 0 if at == 0 else segment + 1
            length = min(len(ids) - start, context - at)
            _write(made, row - first, at, segment, ids[start : start + length + 1].astype(np.int64), length)
            shown[row - first, at : at + length] = document
            start += length
            position += length
    if position:
        yield made, shown
