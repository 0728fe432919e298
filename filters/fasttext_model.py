"""Supervised fastText models, read from their files and asked by compiled code.

The file is mapped into memory and stays as it is, so that the workers of a machine share one copy of a matrix of a
gigabyte. The price is that everything an index could come from is checked when a model is opened: a damaged file is an
error that says what is wrong with it.
"""

import mmap
import struct
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from filters import assets
from filters import fasttext_kernels as kernels
from filters import fasttext_labels as outputs
from filters.assets import AssetError
from filters.hashing import Bytes, Ints

_MAGIC, _NEWEST, _SUPERVISED = 793712314, 12, 3
_PREFIX = "__label__"
_ROOM = 1 << 25  # bytes at most for what tokens add
_MOST = 10**15  # what the library counts as more than any label can have


class _Matrix(NamedTuple):
    """A matrix in the file: its floats, or codes with the centroids that they mean."""

    rows: int
    at: int
    centroids: NDArray[np.float32]
    width: int
    norms: int
    norm_centroids: NDArray[np.float32]


class _Reader:
    """The bytes of a file, read in order; what is missing or impossible is an error with the file's name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise AssetError(f"{path}: {error.strerror}") from None
        except ValueError:  # an empty file cannot be mapped
            self.fail("the file is empty")
        self.data = np.frombuffer(self._map, np.uint8)

    def fail(self, reason: str) -> NoReturn:
        raise AssetError(f"{self.path} is not a sound supervised fastText model: {reason}")

    def check(self, sound: Any, reason: str) -> None:
        if not sound:
            self.fail(reason)

    def skip(self, size: int, what: str) -> int:
        """Return where so many bytes start, and go on after them."""
        self.check(0 <= size <= len(self.data) - self.at, f"it ends within its {what}")
        self.at += size
        return self.at - size

    def numbers(self, form: str, what: str) -> tuple[Any, ...]:
        at = self.skip(struct.calcsize(form), what)
        return struct.unpack_from(form, self._map, at)

    def floats(self, count: int, what: str) -> NDArray[np.float32]:
        at = self.skip(4 * count, what)
        values = np.frombuffer(self.data, "<f4", count, at).astype(np.float32)
        self.check(np.isfinite(values).all(), f"its {what} has weights that are no finite numbers")
        return values

    def dense(self, dim: int, what: str) -> _Matrix:
        rows, columns = self.numbers("<2q", what)
        self.check(columns == dim and rows >= 0, f"its {what} has {rows} rows of {columns} numbers instead of {dim}")
        none = np.zeros(0, np.float32)
        return _Matrix(rows, self.skip(4 * rows * dim, what), none, 0, 0, none)

    def quantised(self, dim: int, what: str) -> _Matrix:
        normed, rows, columns, size = self.numbers("<Bqqi", what)
        self.check(columns == dim and rows >= 0, f"its {what} has {rows} rows of {columns} numbers instead of {dim}")
        at = self.skip(size, what)
        width, centroids = self._quantiser(dim, what)
        self.check(size == rows * -(-dim // width), f"its {what} has {size} codes for {rows} rows")
        norms, norm_centroids = 0, np.zeros(0, np.float32)
        if normed:
            norms = self.skip(rows, what)
            norm_centroids = self._quantiser(1, what)[1]
        return _Matrix(rows, at, centroids, width, norms, norm_centroids)

    def _quantiser(self, dim: int, what: str) -> tuple[int, NDArray[np.float32]]:
        found, parts, width, last = self.numbers("<4i", what)
        sound = found == dim and width > 0 and parts == -(-dim // width) and last == dim - (parts - 1) * width
        self.check(sound, f"its {what} is quantised in {parts} parts of {width} and {last} for {dim} dimensions")
        return width, self.floats(256 * dim, what)


class Model:
    """A supervised fastText model of any loss, dense (`.bin`) or quantised (`.ftz`).

    Raises:
        AssetError: the file cannot be read, is damaged, or holds no supervised model.
    """

    labels: tuple[str, ...]
    """Names of the labels in the order of the file, without `__label__`."""

    def __init__(self, path: Path) -> None:
        self._reader = _Reader(path)
        self.labels, self._parts = _read(self._reader)
        room = _ROOM // (4 * self._parts.dim + 16)
        slots = min(1 << 16, 1 << room.bit_length() >> 1) or 1
        self._memo = kernels.Memo(np.zeros((slots, 2), np.uint64), np.empty((slots, self._parts.dim), np.float32))
        self._lock = Lock()

    def predict(
        self, data: Bytes, spans: Ints, bounds: Ints, k: int, wanted: Bytes | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Find the likeliest labels of each text. See `fasttext_labels.predict` for arguments and results.

        Probabilities are the library's, which can pass 1 by 0.00001. Of equally likely labels the first in the file
        comes first. A newline parts tokens and ends nothing. A text without a word has no labels, where the library
        judges by the end of the text alone.
        """
        if wanted is None:
            wanted = np.ones(len(self.labels), np.uint8)
        with self._lock:  # calls share the memo
            best, scores, sound = outputs.predict(self._parts, self._memo, data, spans, bounds, wanted, k)
        self._reader.check(sound, "it has weights that are no finite numbers")
        return best, scores


@cache
def open_model(name: str) -> Model:
    """Return the model that is an asset or a file of that name, opened once per process."""
    return Model(assets.path(name))


def _read(reader: _Reader) -> tuple[tuple[str, ...], kernels.Parts]:
    magic, version = reader.numbers("<2i", "header")
    reader.check(magic == _MAGIC, "it does not begin like one")
    reader.check(version in (_NEWEST - 1, _NEWEST), f"format {version} is not known, only {_NEWEST - 1} and {_NEWEST}")
    dim, *_, word_ngrams, loss, kind, bucket, minn, maxn, _, _ = reader.numbers("<12id", "header")
    reader.check(kind == _SUPERVISED, "it was trained without labels, for vectors of words")
    reader.check(outputs.HIERARCHICAL <= loss <= outputs.ONE_VS_ALL, f"it has the unknown loss {loss}")
    reader.check(dim > 0 and 0 <= word_ngrams < 1000 and bucket >= 0, "its settings are out of range")
    if version < _NEWEST:
        maxn = 0  # such models have no n-grams of characters, whatever they say
    reader.check(bucket or (maxn <= 0 and word_ngrams <= 1), "it uses n-grams and has no room for them")

    size, words, labels, _, pruned = reader.numbers("<3i2q", "dictionary")
    reader.check(words >= 0 and labels > 0 and size == words + labels, f"it has {words} words and {labels} labels")
    reader.check(size <= len(reader.data) // 10, "it ends within its dictionary")
    slots = np.empty(2 << size.bit_length(), np.uint64)
    names, counts, kinds, end, after = kernels.index(reader.data, reader.at, size, slots)
    reader.check(after != kernels.CUT_OFF, "it ends within its dictionary")
    reader.check(after != kernels.REPEATED, "its dictionary has a word twice")
    reader.check(not kinds[:words].any() and (kinds[words:] == 1).all(), "its words and labels are in disorder")
    reader.at = after
    reader.check(-1 <= pruned <= len(reader.data) // 8, f"it keeps {pruned} n-grams")
    at = reader.skip(8 * max(pruned, 0), "list of n-grams")
    pairs = np.frombuffer(reader.data, "<i4", 2 * max(pruned, 0), at).reshape(-1, 2).astype(np.int32)
    kept = np.empty(2 << len(pairs).bit_length(), np.uint64)
    reader.check((pairs >= 0).all(), "its list of n-grams is out of range")
    perhaps = np.zeros(1 << (len(pairs) // 2).bit_length(), np.uint64)
    kernels.index_ngrams(pairs, kept, perhaps)

    (quantised,) = reader.numbers("<B", "input matrix")
    reader.check(quantised or pruned < 0, "it keeps only some n-grams and is not quantised")
    rows = reader.quantised(dim, "input matrix") if quantised else reader.dense(dim, "input matrix")
    needed = words + (bucket if pruned < 0 else int(pairs[:, 1].max(initial=-1)) + 1)
    reader.check(rows.rows >= needed, f"its input matrix has {rows.rows} rows and needs {needed}")
    (quantised_output,) = reader.numbers("<B", "output matrix")
    output = _output(reader, dim, labels, bool(quantised and quantised_output))
    left, right = _tree(reader, counts[words:]) if loss == outputs.HIERARCHICAL else (np.zeros(0, np.int32),) * 2

    bucket_bits = max(bucket - 1, 0).bit_length()
    return _labels(reader.data, names[words:], after), kernels.Parts(
        file=reader.data,
        dim=dim,
        word_ngrams=word_ngrams,
        bucket=bucket,
        reciprocal=(1 << (31 + bucket_bits)) // max(bucket, 1),
        bucket_bits=bucket_bits,
        minn=minn,
        maxn=maxn,
        loss=loss,
        words=words,
        end=end,
        names=names,
        slots=slots,
        pruned=pruned,
        kept=kept,
        perhaps=perhaps,
        rows=rows.at,
        centroids=rows.centroids,
        width=rows.width,
        norms=rows.norms,
        norm_centroids=rows.norm_centroids,
        output=output,
        left=left,
        right=right,
        sigmoids=outputs.sigmoids(),
    )


def _labels(data: Bytes, names: Ints, after: int) -> tuple[str, ...]:
    ends = [*names[1:].tolist(), after]  # a zero, eight bytes of count and one of type come after each name
    found = [bytes(data[name : end - 10]) for name, end in zip(names.tolist(), ends, strict=True)]
    return tuple(name.decode(errors="backslashreplace").removeprefix(_PREFIX) for name in found)


def _output(reader: _Reader, dim: int, labels: int, quantised: bool) -> NDArray[np.float32]:
    """Return the output matrix, transposed."""
    what = "output matrix"
    matrix = reader.quantised(dim, what) if quantised else reader.dense(dim, what)
    reader.check(matrix.rows == labels, f"its {what} has {matrix.rows} rows for {labels} labels")
    if not quantised:
        reader.at = matrix.at
        return np.ascontiguousarray(reader.floats(labels * dim, what).reshape(labels, dim).T)
    width = matrix.width
    codes = reader.data[matrix.at : matrix.at + labels * -(-dim // width)].reshape(labels, -1)
    decoded = np.empty((dim, labels), np.float32)
    for part, first in enumerate(range(0, dim, width)):
        last = min(first + width, dim)
        meanings = matrix.centroids[256 * first : 256 * last].reshape(256, last - first)
        decoded[first:last] = meanings[codes[:, part]].T
    if matrix.norms:
        decoded *= matrix.norm_centroids[reader.data[matrix.norms : matrix.norms + labels]]
    return decoded


def _tree(reader: _Reader, counts: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the children of the inner nodes of Huffman's tree of the labels, as fastText builds it.

    The two nodes of the smallest counts become children of a new one, again and again; of equal counts a node that was
    built comes before a label.
    """
    total: list[int] = counts.tolist()
    reader.check(all(0 <= count < _MOST for count in total), "its labels have impossible counts")
    labels = len(total)
    label, node = labels - 1, labels
    left, right = np.zeros(labels - 1, np.int32), np.zeros(labels - 1, np.int32)
    for built in range(labels - 1):
        pair = []
        for _ in range(2):
            if label >= 0 and (node == len(total) or total[label] < total[node]):
                pair.append(label)
                label -= 1
            else:
                pair.append(node)
                node += 1
        left[built], right[built] = pair
        total.append(total[pair[0]] + total[pair[1]])
    return left, right
