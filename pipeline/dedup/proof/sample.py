"""Pairs of documents that may be alike, drawn so that it is known how likely each was: what a proof is made of.

Two documents drawn at random are almost never alike. So each document gets one more key, of two places of a signature
that nothing else uses: two documents with the Jaccard similarity s share it with the probability s^2, whatever their
length, and a key takes part if its hash is below a limit, which has the probability p. So a pair counts for
1 / (p s^2) pairs, with s found by comparing texts (Horvitz and Thompson 1952). Near duplicates are frequent in such a
sample, others rare, and it costs two places more of a signature.

The limit follows from the data: that under which there are as many keys of several documents as wanted (bottom-k
sampling: Cohen and Kaplan 2007). A task keeps the smallest hashes, as many as its place in the plan allows, so tasks
need not know of one another and the whole has about the same size, of 65,000 documents or of 10 million.

Where duplicates are equal, as those of `exact`, the key of the step itself is that key: then s is 1, or 0 where hashes
are the same by chance. Such a sample cannot show that equal values got different keys; computing keys again can.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.dedup.bands import KEY_SPACE, mapped, write_array

U64 = NDArray[np.uint64]

PLACES = 2
"""Places of a signature that make the key."""

_KEPT = 1 << 16
_LEAST = 1 << 8
_HELD = 1 << 20
"""Rows of all tasks that are held in memory."""

_STEP = 0x9E3779B97F4A7C15


def hashes_of(places: NDArray[np.uint32]) -> U64:
    """The hash of each document's key, given its places, shape (n, PLACES)."""
    return mixed((places[:, 0].astype(np.uint64) << np.uint64(32)) | places[:, 1])


def mixed(values: U64) -> U64:
    """A bijection of 64-bit numbers that lets every bit decide on every other: splitmix64 (Steele et al. 2014)."""
    values = values + np.uint64(_STEP)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: U64 = values ^ (values >> np.uint64(31))
    return found


def write_sample(path: Path, hashes: U64, ordinals: U64) -> None:
    """Write those of the documents of a task that have the smallest hashes: shape (2, n + 1).

    Sorted by hash, then ordinal. The last column is the hash below which none is missing.
    """
    place = int(ordinals[0] >> np.uint64(32)) if len(ordinals) else 0
    order = np.lexsort((ordinals, hashes))
    hashes, ordinals = hashes[order], ordinals[order]
    firsts, limit, kept = _firsts(hashes), KEY_SPACE - 1, max(_LEAST, _KEPT // (1 + place))
    if len(firsts) > kept:
        limit = int(hashes[firsts[kept]])
        hashes, ordinals = hashes[: firsts[kept]], ordinals[: firsts[kept]]
    end = np.array([[limit], [0]], np.uint64)
    write_array(path, (2, len(hashes) + 1), iter(np.concatenate([np.stack([hashes, ordinals]), end], axis=1)))


def _firsts(values: U64) -> NDArray[np.int64]:
    """Where each different one of sorted values begins."""
    new = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def read_samples(paths: Sequence[Path]) -> tuple[U64, U64, int]:
    """Hashes and ordinals, sorted by both, of all documents with a hash below a limit, and that limit."""
    limit = min((int(mapped(path, 2)[0, -1]) for path in paths), default=KEY_SPACE - 1)
    hashes, ordinals, held = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], 0
    for path in paths:
        rows = mapped(path, 2)
        count = int(np.searchsorted(rows[0, :-1], np.uint64(limit)))
        hashes.append(np.array(rows[0, :count]))
        ordinals.append(np.array(rows[1, :count]))
        held += count
        if held > _HELD:
            both = np.concatenate(hashes), np.concatenate(ordinals)
            limit = int(np.partition(both[0], held // 2)[held // 2])
            below = both[0] < np.uint64(limit)
            hashes, ordinals, held = [both[0][below]], [both[1][below]], int(below.sum())
    both = np.concatenate(hashes), np.concatenate(ordinals)
    order = np.lexsort((both[1], both[0]))
    return both[0][order], both[1][order], limit


@dataclass(frozen=True)
class Pairs:
    """Pairs of documents. Those of a unit came together, by one key; `counts[k]` is how many pairs of its unit each
    stands for, and `share` the probability that a key takes part."""

    a: U64
    b: U64
    units: NDArray[np.int64]
    counts: NDArray[np.float64]
    share: float

    def only(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """Those pairs."""
        return Pairs(self.a[chosen], self.b[chosen], self.units[chosen], self.counts[chosen], self.share)


def draw(hashes: U64, ordinals: U64, limit: int, most: int) -> Pairs:
    """Up to `most` pairs of documents with an equal hash, given as `read_samples` does, evenly from all hashes."""
    first = _firsts(hashes)
    sizes = np.diff(first, append=len(hashes))
    first, sizes = first[sizes > 1], sizes[sizes > 1]
    if len(first) > most:
        limit = int(hashes[first[most]])
        first, sizes = first[:most], sizes[:most]
    each = _each([size * (size - 1) // 2 for size in sizes.tolist()], most)
    found = [
        (ordinals[start + i], ordinals[start + j], unit, count)
        for unit, (start, size) in enumerate(zip(first.tolist(), sizes.tolist(), strict=True))
        for i, j, count in _some(int(hashes[start]), size, each)
    ]
    a, b, units, counts = zip(*found, strict=True) if found else ((), (), (), ())
    return Pairs(
        np.array(a, np.uint64),
        np.array(b, np.uint64),
        np.array(units, np.int64),
        np.array(counts, np.float64),
        limit / (KEY_SPACE - 1),
    )


def _each(pairs: Sequence[int], most: int) -> int:
    """How many pairs a unit may give, so that there are up to `most` in all."""
    low, high = 1, max(1, most)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(count, middle) for count in pairs) <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _some(seed: int, size: int, most: int) -> Iterator[tuple[int, int, float]]:
    """Pairs i < j of `size` things, and how many each stands for: all of them, or `most` drawn with replacement."""
    pairs = size * (size - 1) // 2
    if pairs <= most:
        yield from ((i, j, 1.0) for j in range(size) for i in range(j))
        return
    draws = mixed(np.uint64(seed) + np.arange(1, most + 1, dtype=np.uint64) * np.uint64(_STEP))
    for number in (draws % np.uint64(pairs)).tolist():
        j = (1 + isqrt(1 + 8 * number)) // 2
        yield number - j * (j - 1) // 2, j, pairs / most
