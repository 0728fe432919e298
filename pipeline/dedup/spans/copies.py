"""Which spans occur before: one range of keys, streamed in the order of the plan through a table of the keys in it.

The table takes memory for each different key, never for each span, so that one line a thousand million times is no
trouble. What comes out depends neither on how many ranges there are nor on how tasks were put together in files.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filters.compiled import compiled
from filters.hashing import I64, U64, Hashes, Ints, kernel
from pipeline.dedup.spans.rows import COPY, KEY, ORDINAL, PLACE, SPAN, Rows, RowWriter, between, mapped


class KeyTable:
    """How often each key of a range has occurred, and the document with the first of it.

    A key's place follows from its size, so that sorted keys go through the table from one end to the other, ten times
    as fast as at random. That needs a table made for all keys: what sorted keys fill of a smaller one is its beginning.
    """

    def __init__(self, lo: int, hi: int, keys: int) -> None:
        """For up to `keys` different keys in [lo, hi)."""
        width = hi - lo
        if width < 1 or width & (width - 1) or lo % width:
            raise ValueError(f"[{lo}, {hi}) is no range whose width is a power of two, in its place")
        bits = min((2 * keys).bit_length(), width.bit_length() - 1)
        self._where = np.uint64(lo), np.uint64(min(width.bit_length() - 1 - bits, 63))
        self._keys, self._firsts = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint64)
        self._counts = np.zeros(1 << bits, np.int64)

    def count(self, rows: Rows) -> tuple[Ints, Hashes]:
        """Enter rows, whose keys are all in the range: the occurrence of its key that each is, the first's document."""
        keys, ordinals = np.ascontiguousarray(rows[:, KEY]), np.ascontiguousarray(rows[:, ORDINAL])
        found: tuple[Ints, Hashes] = _count(self._keys, self._counts, self._firsts, *self._where, keys, ordinals)
        return found

    def often(self, rows: Rows, least: int) -> NDArray[np.bool_]:
        """Whether the keys of rows, which are all in the table, have occurred at least so often."""
        keys = np.ascontiguousarray(rows[:, KEY])
        answer: NDArray[np.bool_] = _counts(self._keys, self._counts, *self._where, keys) >= least
        return answer


@kernel
def _slot(slots: Hashes, counts: Ints, lo: np.uint64, shift: np.uint64, key: np.uint64) -> int:
    """Where a key is, or the free place that it would get."""
    mask = len(slots) - 1
    at: int = I64((key - lo) >> shift) & mask
    while counts[at] != 0 and slots[at] != key:
        at = (at + 1) & mask
    return at


@compiled
def _count(
    slots: Hashes, counts: Ints, firsts: Hashes, lo: np.uint64, shift: np.uint64, keys: Hashes, ordinals: Hashes
) -> tuple[Ints, Hashes]:
    ranks, keepers = np.empty(len(keys), I64), np.empty(len(keys), U64)
    for i in range(len(keys)):
        at = _slot(slots, counts, lo, shift, keys[i])
        if counts[at] == 0:
            slots[at], firsts[at] = keys[i], ordinals[i]
        counts[at] += 1
        ranks[i], keepers[i] = counts[at], firsts[at]
    return ranks, keepers


@compiled
def _counts(slots: Hashes, counts: Ints, lo: np.uint64, shift: np.uint64, keys: Hashes) -> Ints:
    out = np.empty(len(keys), I64)
    for i in range(len(keys)):
        out[i] = counts[_slot(slots, counts, lo, shift, keys[i])]
    return out


def _table(runs: Sequence[Path], lo: int, hi: int) -> KeyTable:
    """A table for the keys of sorted files in [lo, hi): for as many as their different ones together."""
    different = 0
    for path in runs:
        for rows in between(mapped(path, SPAN), KEY, lo, hi):
            different += 1 + int(np.count_nonzero(rows[1:, KEY] != rows[:-1, KEY]))
    return KeyTable(lo, hi, different)


def write_copies(runs: Sequence[Path], lo: int, hi: int, keep: int, out: Path) -> int:
    """Write the spans of keys in [lo, hi) but the first `keep` of each, sorted by document; return their number.

    Args:
        runs: files sorted by key, each of documents behind those of the one before.

    Raises ValueError naming a file that is none.
    """
    table = _table(runs, lo, hi)
    with RowWriter(out, COPY) as writer:
        for path in runs:
            copies = [np.empty((0, COPY), np.uint64)]
            for rows in between(mapped(path, SPAN), KEY, lo, hi):
                occurrence, keeper = table.count(rows)
                which = np.flatnonzero(occurrence > keep)
                extra = np.stack([keeper[which], occurrence[which].astype(np.uint64)], axis=1)
                copies.append(np.concatenate([rows[which], extra], axis=1))
            writer.write(by_document(np.concatenate(copies)))
        return writer.rows


def write_repeated(runs: Sequence[Path], lo: int, hi: int, out: Path) -> int:
    """Write the spans of keys in [lo, hi) that occur twice and more, the first too, sorted by document."""
    table = _table(runs, lo, hi)
    for path in runs:
        for rows in between(mapped(path, SPAN), KEY, lo, hi):
            table.count(rows)
    with RowWriter(out, SPAN) as writer:
        for path in runs:
            parts = between(mapped(path, SPAN), KEY, lo, hi)
            repeated = [np.empty((0, SPAN), np.uint64), *(rows[table.often(rows, 2)] for rows in parts)]
            writer.write(by_document(np.concatenate(repeated)))
        return writer.rows


def by_document(rows: Rows) -> Rows:
    """Rows, no two of which have the same document and place, sorted by these."""
    if not len(rows):
        return rows
    # task, record and first byte as one number, where they fit: sorting by one is five times as fast as by two
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    tasks, records, starts = rows[:, ORDINAL] >> half, rows[:, ORDINAL] & low, rows[:, PLACE] >> half
    tasks -= tasks.min()
    bits = [int(values.max()).bit_length() for values in (tasks, records, starts)]
    if sum(bits) > 64:
        return rows[np.lexsort((rows[:, PLACE], rows[:, ORDINAL]))]
    whole = (tasks << np.uint64(bits[1]) | records) << np.uint64(bits[2]) | starts
    return rows[np.argsort(whole)]


def of_documents(paths: Sequence[Path], columns: int, first: int, last: int) -> Rows:
    """The rows of the documents from `first` to `last`, sorted by document and place, of files sorted by document."""
    parts = [rows for path in paths for rows in between(mapped(path, columns), ORDINAL, first, last + 1)]
    return by_document(np.concatenate([np.empty((0, columns), np.uint64), *parts]))
