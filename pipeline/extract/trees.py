"""A small ensemble of decision trees, read from a file of plain arrays and evaluated by compiled code.

The file has no code in it and needs none: five arrays, one place a node of all trees, and where each tree begins.
"""

from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64

FILE = "model.npz"

Floats = NDArray[np.float32]
Places = NDArray[np.int32]


class Trees(NamedTuple):
    """Nodes of all trees; a leaf has no feature (-1) and its value as threshold."""

    roots: Places
    feature: Places
    threshold: Floats
    left: Places
    """Where to go on if the feature is at most the threshold."""
    right: Places


@cache
def trees() -> tuple[Trees, dict[str, NDArray[np.generic]]]:
    """Return the ensemble of this version, and what else its file says: `version`, `features`, `data`."""
    stored = np.load(BytesIO((files("pipeline.extract") / FILE).read_bytes()), allow_pickle=False)
    parts = {name: stored[name] for name in stored.files}
    return Trees(*(np.ascontiguousarray(parts.pop(name)) for name in Trees._fields)), parts


@njit(cache=True, nogil=True)
def probabilities(model: Trees, matrix: Floats) -> Floats:
    """Return for each row of features [blocks, features] the probability that the block is main text."""
    out = np.empty(len(matrix), np.float32)
    for row in range(len(matrix)):
        total = 0.0
        for root in model.roots:
            node = I64(root)
            while model.feature[node] >= 0:
                if matrix[row, model.feature[node]] <= model.threshold[node]:
                    node = I64(model.left[node])
                else:
                    node = I64(model.right[node])
            total += model.threshold[node]
        out[row] = 1.0 / (1.0 + np.exp(-total))
    return out
