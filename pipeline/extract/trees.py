"""A small ensemble of decision trees, read from a file of plain arrays and evaluated by compiled code.

The file has no code in it and needs none: three arrays, one place a node of all trees, and where each tree begins. The
sum over the first trees is a coarser answer: boosting made each of them to correct those before it.

Trees are evaluated for some rows at once, all of which go down a level together: the processor then waits for none of
them. For that a node is one word, and features are integers in the order of the numbers.
"""

import hashlib
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.hashing import I64, Ints, inlined, kernel

FILE = "model.npz"
ROWS = 16
"""Of features that are evaluated at once."""
MOST_NODES = MOST_FEATURES = 1 << 16

Floats = NDArray[np.float32]
Places = NDArray[np.int32]


class Trees(NamedTuple):
    """Nodes of all trees, as the file has them."""

    roots: Places
    feature: NDArray[np.int16]
    """Of a leaf -1."""
    threshold: Floats
    """Of a leaf its value."""
    child: Places
    """Where to go on if the feature is at most the threshold, or else to the next place; 0 for a leaf."""


class Words(NamedTuple):
    """The same for evaluation."""

    roots: Ints
    levels: Ints
    """Of each tree, the most decisions on the way to a leaf."""
    node: Ints
    """The threshold as an ordered integer (32 bits), the child (16) and the feature (16); a leaf leads to itself."""
    value: Floats
    """Of leaves."""


class Model(NamedTuple):
    """What the model file has."""

    trees: Trees
    words: Words
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
    return Model(trees, words(trees), *about, hashlib.sha256(packed).hexdigest())


def words(trees: Trees) -> Words:
    """Return trees in the form in which they are evaluated; raises ValueError if they are too many."""
    if len(trees.feature) > MOST_NODES:
        raise ValueError(f"{len(trees.feature)} nodes of trees, {MOST_NODES} at most")
    leaf, places = trees.feature < 0, np.arange(len(trees.feature))
    depth = np.zeros(len(places), np.int64)
    for node in places[::-1]:  # children come behind their parents
        if not leaf[node]:
            depth[node] = 1 + depth[trees.child[node] : trees.child[node] + 2].max()
    threshold = np.where(leaf, np.float32(np.inf), trees.threshold)
    bits = threshold.view(np.int32).astype(np.int64)
    ordered = np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))  # as `order` has it
    child, feature = np.where(leaf, places, trees.child), np.where(leaf, 0, trees.feature)
    return Words(
        trees.roots.astype(np.int64),
        depth[trees.roots],
        ordered << 32 | child.astype(np.int64) << 16 | feature.astype(np.int64),
        np.where(leaf, trees.threshold, np.float32(0)),
    )


@inlined
def order(bits: int) -> int:
    """Return an integer for the bits of a float32, in the order of the numbers."""
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


@inlined
def put_row(row: Floats, features: Places) -> None:
    """Write a row of features as ordered integers."""
    bits = row.view(np.int32)
    for column in range(len(bits)):
        features[column] = order(bits[column])


@kernel
def add_values(words: Words, first: int, last: int, features: Places, places: Ints, sums: Floats) -> None:
    """Add to sums of `ROWS` rows what the trees from `first` up to `last` say of them.

    Args:
        features: shape [ROWS, columns].
        places: room for one each.
    """
    for tree in range(first, last):
        for row in range(ROWS):
            places[row] = words.roots[tree]
        for _ in range(words.levels[tree]):
            for row in range(ROWS):
                word = words.node[places[row]]
                places[row] = (word >> 16 & 0xFFFF) + (features[row, word & 0xFFFF] > word >> 32)
        for row in range(ROWS):
            sums[row] += words.value[places[row]]


@njit(cache=True, nogil=True)
def probabilities(words: Words, matrix: Floats) -> Floats:
    """Return for each row of features [blocks, features] the probability that the block is main text."""
    out = np.empty(len(matrix), np.float32)
    features, places = np.zeros((ROWS, matrix.shape[1]), np.int32), np.empty(ROWS, I64)
    sums = np.empty(ROWS, np.float32)
    for begin in range(0, len(matrix), ROWS):
        count = min(ROWS, len(matrix) - begin)
        for row in range(count):
            put_row(matrix[begin + row], features[row])
        sums[:] = 0
        add_values(words, 0, len(words.roots), features, places, sums)
        for row in range(count):
            out[begin + row] = likelihood(sums[row])
    return out


@inlined
def likelihood(odds: float) -> float:
    """Return the probability of which this is the logarithm of the odds."""
    likely: float = 1.0 / (1.0 + np.exp(-odds))
    return likely
