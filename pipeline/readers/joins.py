"""What belongs together in a large file and lies apart in it, such as answers and their question, in bounded memory.

An index has 24 bytes for each row: a number of what it belongs to, where it lies, how long it is. It is sorted in runs,
of which all but small ones lie in a temporary file, so that it may be larger than memory; looking up goes through all
runs, and asks for many numbers at once. The price is a pass over the file before the first document.
"""

import tempfile
from array import array
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_Longs = npt.NDArray[np.int64]

_RUN = 4_000_000
"""Rows of a run: 96 MB while it is sorted."""
_RATIO, _SMALL = 200, 1 << 30


class Found(NamedTuple):
    """Rows by the number that was looked up, each an array over all of them, in the order in which they lie."""

    keys: _Longs
    positions: _Longs
    lengths: _Longs


class Index:
    """Places of rows by a number."""

    def __init__(self, run: int = _RUN) -> None:
        self._run = run
        self._runs: list[npt.NDArray[Any]] = []
        self._keys, self._positions, self._lengths = array("q"), array("q"), array("q")

    def add(self, key: int, position: int, length: int) -> None:
        self._keys.append(key)
        self._positions.append(position)
        self._lengths.append(length)
        if len(self._keys) >= self._run:
            self._spill()

    def close(self) -> "Index":
        """Say that nothing more is added; returns itself."""
        if self._runs:
            self._spill()
        elif self._keys:
            self._runs.append(self._sorted())
        return self

    def find(self, keys: _Longs) -> Found:
        """All rows that have one of the numbers; each number is to be given once."""
        parts = [self._within(run, keys) for run in self._runs]
        rows = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), np.int64)
        return Found(*rows[:, np.argsort(rows[1], kind="stable")])

    def has(self, keys: _Longs) -> npt.NDArray[np.bool_]:
        """Whether there is any row of each of the numbers."""
        found = np.zeros(len(keys), bool)
        for run in self._runs:
            found |= np.searchsorted(run[0], keys, "right") > np.searchsorted(run[0], keys, "left")
        return found

    def _within(self, run: npt.NDArray[Any], keys: _Longs) -> _Longs:
        first = np.searchsorted(run[0], keys, "left")
        counts = np.searchsorted(run[0], keys, "right") - first
        # The places first[i], first[i] + 1, ... for each i, without a loop.
        starts = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(first - starts, counts)
        rows: _Longs = np.asarray(run[:, places], np.int64)
        return rows

    def _sorted(self) -> _Longs:
        rows = np.array([self._keys, self._positions, self._lengths], np.int64)
        self._keys, self._positions, self._lengths = array("q"), array("q"), array("q")
        return rows[:, np.lexsort((rows[1], rows[0]))]

    def _spill(self) -> None:
        if not self._keys:
            return
        rows = self._sorted()
        with tempfile.TemporaryFile() as file:  # the mapping keeps it alive
            file.write(rows.tobytes())
            file.flush()
            self._runs.append(np.memmap(file, np.int64, "r", shape=rows.shape))


class SpoolError(Exception):
    """A packed file unpacks to more than any honest one does."""


class Spool:
    """A temporary file for what has to be read again from a packed file, and not in its order.

    Raises SpoolError where it would become 200 times as large as the packed file, and larger than 1 GiB.
    """

    def __init__(self, packed_bytes: int) -> None:
        self._file = tempfile.TemporaryFile()
        self._limit = max(_SMALL, _RATIO * packed_bytes)
        self.size = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def append(self, data: bytes) -> int:
        """Write at the end; returns the position."""
        position = self.size
        if position + len(data) > self._limit:
            raise SpoolError
        self._file.seek(position)
        self._file.write(data)
        self.size += len(data)
        return position

    def read(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(length)
