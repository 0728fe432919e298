"""Batches: what a step's plan looks like as arrays for the model, with the masks that keep documents apart."""

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
    """(S, T) token ids."""
    targets: npt.NDArray[np.int64]
    """(S, T) the id that each position predicts; -100 at padding and at the last token of a document."""
    segments: npt.NDArray[np.int32]
    """(S, T) number of the document piece within its row: attention stays inside one; -1 is padding."""
    positions: npt.NDArray[np.int64]
    """(S, T) place within the piece, from 0."""
    sources: npt.NDArray[np.int64]
    """(S,) index of the row's source in `store.sources`."""


def batch(order: Order, step: int, rows: slice | None = None) -> Batch:
    """Sequences `rows` (all of them by default) of step `step`, counted from 0."""
    raise NotImplementedError


def validation(store: TokenStore, source: str, config: TrainConfig) -> Iterator[Batch]:
    """The held-out documents of a source in a fixed order, at most `config.evaluation.tokens` tokens; none if there are none."""
    raise NotImplementedError
