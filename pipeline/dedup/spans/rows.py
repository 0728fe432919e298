"""Rows of spans and their files: which document, which place in it, which key; sorted by key, or by document.

A row is three or five whole numbers of 64 bits, a file a plain array of them in rows (.npy) that is mapped, not read:
what belongs to a range of a sorted column is found by bisection, and rows can be appended without counting them first.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from pipeline.dedup.bands import KEY_SPACE

ORDINAL, PLACE, KEY, KEEPER, OCCURRENCE = range(5)
"""Columns. A place is (first byte << 32) | bytes, in UTF-8. Copies have the last two too: the document with the first
span of the same key, and which one of them this is, from 1."""
SPAN, COPY = 3, 5
"""Columns of a span, and of one that is a copy."""

ROWS = 1 << 21
"""Rows that are sorted, or read, at once."""

LONGEST_DOCUMENT = (1 << 32) - 1
"""Bytes of a document that places can tell."""

Rows = NDArray[np.uint64]
"""Shape [n, SPAN] or [n, COPY]."""


def rows_of(
    ordinals: Rows, docs: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], keys: Rows
) -> Rows:
    """Spans as rows, given the numbers of their documents among `ordinals`, their first bytes, ends and keys."""
    if len(ends) and int(ends.max()) > LONGEST_DOCUMENT:
        raise OverflowError(f"a document of over {LONGEST_DOCUMENT} bytes cannot be deduplicated in parts")
    rows = np.empty((len(docs), SPAN), np.uint64)
    rows[:, ORDINAL], rows[:, KEY] = ordinals[docs], keys
    rows[:, PLACE] = starts << 32 | (ends - starts)
    return rows


def bytes_of(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first byte of each span in its document, and its end."""
    places = rows[:, PLACE]
    starts = (places >> np.uint64(32)).astype(np.int64)
    return starts, starts + (places & np.uint64(LONGEST_DOCUMENT)).astype(np.int64)


class RowWriter:
    """A file to which rows are appended; the number of rows is put into its head at the end."""

    def __init__(self, path: Path, columns: int) -> None:
        self._file = path.open("wb")
        self._columns, self.rows = columns, 0
        self._write_head()

    def _write_head(self) -> None:
        # numpy leaves room in the head for the first number of the shape to grow
        head = {"descr": "<u8", "fortran_order": False, "shape": (self.rows, self._columns)}
        np.lib.format.write_array_header_1_0(self._file, head)

    def write(self, rows: Rows) -> None:
        """Append rows."""
        np.ascontiguousarray(rows, "<u8").tofile(self._file)
        self.rows += len(rows)

    def close(self) -> None:
        """Write the head."""
        self._file.seek(0)
        self._write_head()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def mapped(path: Path, columns: int) -> Rows:
    """The rows of a file, mapped; raises ValueError naming the file that is not whole or has other columns."""
    try:
        # an empty file cannot be mapped, one without rows can
        rows: Rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != np.uint64 or rows.ndim != 2 or rows.shape[1] != columns:
            raise ValueError(f"an array of {rows.dtype} of shape {rows.shape}, not of uint64 with {columns} columns")
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    return rows


def between(rows: Rows, column: int, lo: int, hi: int) -> Iterator[Rows]:
    """The rows with a value in [lo, hi) in the column by which they are sorted, at most `ROWS` at once."""
    if not 0 <= lo <= hi <= KEY_SPACE:
        raise ValueError(f"[{lo}, {hi}) is no range of 64-bit numbers")
    values = rows[:, column]
    first, end = (len(values) if bound == KEY_SPACE else bisect_left(values, np.uint64(bound)) for bound in (lo, hi))
    for start in range(first, end, ROWS):
        yield np.array(rows[start : min(start + ROWS, end)])


def stable_order(keys: Rows) -> NDArray[np.int64]:
    """The order that sorts keys and leaves equal ones in theirs; most are different, which makes it three times as fast
    as numpy's."""
    order: NDArray[np.int64] = np.argsort(keys)
    _settle_equals(keys, order)
    return order


@compiled
def _settle_equals(keys: Rows, order: NDArray[np.int64]) -> None:
    first = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or keys[order[i]] != keys[order[first]]:
            if i - first > 1:
                order[first:i] = np.sort(order[first:i])
            first = i


class RunWriter:
    """Sorted runs of rows that come in the order of the plan, as many files in a folder as memory asks for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[Rows] = []
        self.rows = self._files = 0

    def add(self, rows: Rows) -> None:
        """Take rows, at most `ROWS` at once."""
        if sum(map(len, self._waiting)) + len(rows) > ROWS:
            self._write()
        self._waiting.append(rows)
        self.rows += len(rows)

    def _write(self) -> None:
        rows = np.concatenate([np.empty((0, SPAN), np.uint64), *self._waiting])
        self._waiting = []
        with RowWriter(self._folder / f"run-{self._files:05d}.npy", SPAN) as writer:
            writer.write(rows[stable_order(np.ascontiguousarray(rows[:, KEY]))])
        self._files += 1

    def close(self) -> int:
        """Write what is left; returns how many rows there are in all. One file is there even without any."""
        if self._waiting or not self._files:
            self._write()
        return self.rows


def write_runs(paths: Sequence[Path], without: Rows, folder: Path) -> int:
    """Write the rows of files, given in the order of the plan, as sorted runs; return how many there are.

    Args:
        without: ordinals, sorted, of documents that take no part.
    """
    runs = RunWriter(folder)
    for path in paths:
        rows = mapped(path, SPAN)
        for first in range(0, len(rows), ROWS):
            some = np.array(rows[first : first + ROWS])
            if len(without):
                places = np.minimum(np.searchsorted(without, some[:, ORDINAL]), len(without) - 1)
                some = some[without[places] != some[:, ORDINAL]]
            runs.add(some)
    return runs.close()


def runs_in(folder: Path) -> list[Path]:
    """The files of a `RunWriter`, in their order."""
    return sorted(folder.glob("run-*.npy"))


def key_ranges(rows: int, budget_bytes: int, bytes_per_row: int) -> list[tuple[int, int]]:
    """Ranges [lo, hi) that cover the key space: a power of two of them, so many that each keeps the budget.

    Keys are uniform, but for spans with the same key: these stay together, and are streamed.
    """
    if rows < 0 or budget_bytes < 1:
        raise ValueError(f"no ranges for {rows} rows in {budget_bytes} bytes each")
    count = 1
    while count < (1 << 32) and rows * bytes_per_row > count * budget_bytes:
        count *= 2
    width = KEY_SPACE // count
    return [(number * width, (number + 1) * width) for number in range(count)]
