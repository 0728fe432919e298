"""Tables of a Stack Exchange dump: XML files with a `row` element for each post or comment.

A plain file stays where it is: an index tells where in it the answers of a question lie. A packed file, in which
nothing can be looked up, is unpacked into a temporary file first.
"""

import os
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from pipeline.readers.base import Split, open_binary
from pipeline.readers.elements import Element, elements
from pipeline.readers.joins import Found, Index, Spool, SpoolError

_ROW = b"<row "
_CHUNK = 4 << 20
_LARGEST = 64 << 20
_FRAME = struct.Struct("<qii")
_ID = re.compile(rb" Id=\"(\d{1,18})\"")


class Key(NamedTuple):
    """An attribute by whose number rows are looked up, or that says that a row is to be found under its own number."""

    text: bytes
    own: bool = False


PARENT = Key(b' ParentId="')
QUESTION = Key(b' PostTypeId="1"', own=True)
COMMENTED = Key(b' PostId="')


def attributes(row: bytes) -> Mapping[str, str] | None:
    """The attributes of a row by name; None if it is no XML."""
    found: dict[str, str] = {}
    parser = expat.ParserCreate("utf-8")  # without a DTD, which a row has none of, there are no entities to expand
    parser.StartElementHandler = lambda name, given: found.update(given)
    try:
        parser.Parse(row, True)
    except expat.ExpatError:
        return None
    return found


class Table(ABC):
    """Rows of a table, in the order of the file, and by numbers in them."""

    def __init__(self, indexes: Mapping[Key, Index]) -> None:
        self._indexes = indexes

    @abstractmethod
    def rows(self) -> Iterator[Element]:
        """Yield the rows, and the damage among them."""

    @abstractmethod
    def read(self, position: int, length: int) -> bytes:
        """One row that has been found."""

    def find(self, key: Key, numbers: npt.NDArray[np.int64]) -> Found:
        """The rows that have one of these numbers."""
        return self._indexes[key].find(numbers)

    def has(self, key: Key, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether there are rows of each of these numbers."""
        return self._indexes[key].has(numbers)


class PlainTable(Table):
    """A table in a plain file, of which the rows of one split are read and those of all can be looked up."""

    def __init__(self, split: Split, keys: tuple[Key, ...], limit: int, file: BinaryIO) -> None:
        self._split, self._limit, self._file = split, limit, file
        size = file.seek(0, os.SEEK_END)
        stamp = 0 if "://" in split.path else os.stat(split.path).st_mtime_ns
        super().__init__(dict(zip(keys, _indexes(split.path, keys, size, stamp), strict=True)))

    def rows(self) -> Iterator[Element]:
        return elements(self._split, _ROW, None, self._limit)

    def read(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(length)


class PackedTable(Table):
    """A table in a packed file, as a whole, unpacked into a temporary file."""

    def __init__(self, split: Split, keys: tuple[Key, ...], limit: int, spool: Spool) -> None:
        indexes = {key: Index() for key in keys}
        super().__init__(indexes)
        self._spool, self._limit = spool, limit
        self._full: Element | None = None
        for element in elements(split, _ROW, None, limit):
            try:
                self._keep(element, indexes)
            except SpoolError:
                self._full = Element(element.offset, b"", "too_large")
                break
        for index in indexes.values():
            index.close()

    def _keep(self, element: Element, indexes: Mapping[Key, Index]) -> None:
        error = (element.error or "").encode()
        head = _FRAME.pack(element.offset, len(error), len(element.data)) + error
        begin = self._spool.append(head + element.data) + len(head)
        if element.error in (None, "too_large"):  # of what is too large, all that matters is that it is there
            end = len(element.data)
            for key, index in indexes.items():
                if (found := element.data.find(key.text)) >= 0:
                    _add(index, key, element.data, 0, found, end, begin, self._limit + 1 if element.error else end)

    def rows(self) -> Iterator[Element]:
        position = 0
        while position < self._spool.size:
            offset, error, size = _FRAME.unpack(self._spool.read(position, _FRAME.size))
            position += _FRAME.size
            data = self._spool.read(position, error + size)
            position += error + size
            yield Element(offset, data[error:], data[:error].decode() or None)
        if self._full is not None:
            yield self._full

    def read(self, position: int, length: int) -> bytes:
        return self._spool.read(position, length)


@lru_cache(maxsize=4)
def _indexes(path: str, keys: tuple[Key, ...], size: int, stamp: int) -> tuple[Index, ...]:
    """Indexes of a plain file, made once in a process.

    Args:
        size, stamp: of the file; when they change, so may the indexes.
    """
    indexes = tuple(Index() for _ in keys)
    with open_binary(path) as file:
        begin = 0  # of what is held
        held = b""
        while chunk := file.read(_CHUNK):
            held += chunk
            last = held.rfind(_ROW)
            if last > 0:
                _scan(held, last, begin, keys, indexes)
            elif last < 0 or len(held) > _LARGEST:
                last = len(held) - len(_ROW)  # no row, or one too large to be a post
            begin += last
            held = held[last:]
        _scan(held, len(held), begin, keys, indexes)
    return tuple(index.close() for index in indexes)


def _scan(data: bytes, size: int, begin: int, keys: tuple[Key, ...], indexes: tuple[Index, ...]) -> None:
    """Add what the rows in the first `size` bytes tell; a row goes up to the next `<`."""
    for key, index in zip(keys, indexes, strict=True):
        at = data.find(key.text, 0, size)
        while at >= 0:
            end = data.find(b"<", at, size)
            end = size if end < 0 else end
            start = data.rfind(_ROW, 0, at)
            if start >= 0:
                _add(index, key, data, start, at, end, begin, end - start)
            at = data.find(key.text, end, size)


def _add(index: Index, key: Key, data: bytes, start: int, at: int, end: int, begin: int, length: int) -> None:
    """Add the row at `start` to `end`, in which the key stands at `at`."""
    if key.own:
        found = _ID.search(data, start, end)
        number = found[1] if found else b""
    else:
        first = at + len(key.text)
        number = data[first : data.find(b'"', first, end)]
    if number.isdigit() and len(number) < 19:
        index.add(int(number), begin + start, length)
