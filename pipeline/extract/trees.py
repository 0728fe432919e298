"""A small ensemble of decision trees, read from a file of plain arrays and evaluated by compiled code.

The file has no code in it and needs none: three arrays, one place a node of all trees, and where each tree begins. The
sum over the first trees is a coarser answer: boosting made each of them to correct those before it.
"""

import hashlib
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, inlined

FILE = "model.npz"

Floats = NDArray[np.float32]


class Trees(NamedTuple):
    """Nodes of all trees."""

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    """Of a leaf -1."""
    threshold: Floats
    """Of a leaf its value."""
    child: NDArray[np.int32]
    """Where to go on if the feature is at most the threshold, or else to the next place; 0 for a leaf."""


class Model(NamedTuple):
    """What the model file has."""

    trees: Trees
    features: tuple[str, ...]
    """The columns that the trees know."""
    version: int
    """That of the features."""
    data: str
    """SHA-256 of what was learned from, in hexadecimal."""
    digest: str
    """SHA-256 of the file, in hexadecimal."""


@cache
def model() -> Model:
    """Return the model of this version."""
    return read((files("pipeline.extract") / FILE).read_bytes())


def read(packed: bytes) -> Model:
    """Return what a model file has."""
    stored = np.load(BytesIO(packed), allow_pickle=False)
    trees = Trees(*(np.ascontiguousarray(stored[name]) for name in Trees._fields))
    about = (tuple(stored["features"].tolist()), int(stored["version"]), str(stored["data"]))
    return Model(trees, *about, hashlib.sha256(packed).hexdigest())


@inlined
def value(trees: Trees, root: int, row: Floats) -> float:
    """Return what a tree says of a row of features."""
    node = I64(root)
    feature = trees.feature[node]
    while feature >= 0:
        node = I64(trees.child[node]) + (row[feature] > trees.threshold[node])
        feature = trees.feature[node]
    found: float = trees.threshold[node]
    return found


@njit(cache=True, nogil=True)
def probabilities(trees: Trees, matrix: Floats) -> Floats:
    """Return for each row of features [blocks, features] the probability that the block is main text."""
    out = np.empty(len(matrix), np.float32)
    for row in range(len(matrix)):
        total = 0.0
        for root in trees.roots:
            total += value(trees, root, matrix[row])
        out[row] = 1.0 / (1.0 + np.exp(-total))
    return out
