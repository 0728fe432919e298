"""The compiled writing of a batch: pieces of documents from the mapped tokens into its arrays, each element once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from training.kernels import Ints, compiled


@compiled
def fill(
    table: Ints,
    source: int,
    begins: Ints,
    ends: Ints,
    tokens: Any,
    no_loss: int,
    inputs: Ints,
    targets: Ints,
    segments: npt.NDArray[np.int32],
    positions: Ints,
) -> None:
    """Write what is not rearranged of a source's documents into the arrays of a batch (see `packing.Batch`).

    `table` is that of `Order.table`; piece i is of a document that has tokens [begins[i], ends[i]).
    """
    row, segment = -1, 0
    for i in range(len(table)):
        segment = segment + 1 if table[i, 0] == row else 0
        row = table[i, 0]
        if table[i, 1] != source or table[i, 6] != 0:
            continue
        length, column, begin = table[i, 5], table[i, 7], begins[i] + table[i, 8]
        to_inputs, to_targets = inputs[row, column : column + length], targets[row, column : column + length]
        to_segments, to_positions = segments[row, column : column + length], positions[row, column : column + length]
        goes_on = min(length, ends[i] - begin - 1)
        here, behind = tokens[begin : begin + length], tokens[begin + 1 : begin + 1 + goes_on]
        to_segments[:] = segment
        for k in range(len(here)):
            to_inputs[k] = here[k]
        for k in range(len(to_positions)):
            to_positions[k] = k
        for k in range(len(behind)):
            to_targets[k] = behind[k]
        to_targets[goes_on:] = no_loss


@compiled
def pad(
    table: Ints,
    end: int,
    no_loss: int,
    padding: int,
    inputs: Ints,
    targets: Ints,
    segments: npt.NDArray[np.int32],
    positions: Ints,
) -> None:
    """Make padding of what the pieces leave free at the ends of rows, and of all that rearranged ones lie on."""
    for i in range(len(table)):
        row, begin = table[i, 0], table[i, 7]
        stop = begin + table[i, 5]
        if table[i, 6] == 0:
            begin = stop
        if i + 1 == len(table) or table[i + 1, 0] != row:
            stop = inputs.shape[1]
        if begin < stop:
            inputs[row, begin:stop] = end
            targets[row, begin:stop] = no_loss
            segments[row, begin:stop] = padding
            positions[row, begin:stop] = 0
