"""Elements of a large XML file found by their bytes, so that one that is damaged costs only itself.

A parser that reads the file as a whole cannot begin in its middle, and ends at the first error. The elements of dumps
lie side by side, and a `<` in their text is always escaped: their first and last tags are found as bytes, and each is
then parsed alone. The price is that the file has to be in UTF-8, and that a tag in a comment would be taken for one.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.readers.base import Split, byte_splits, open_binary
from pipeline.readers.bzip2 import codec_with_bzip2
from pipeline.readers.pieces import Piece, Places, pieces
from pipeline.readers.records import PAYLOAD
from pipeline.readers.windows import window


class Element(NamedTuple):
    """One element, from its first tag to its last, or damage."""

    offset: int
    """In a plain file where it begins; in a packed one the start of the member in which it begins, times 2**20, and its
    number among those that begin there."""
    data: bytes
    """Of a damaged element up to the first MiB; nothing where damage hit no element that had begun."""
    error: str | None = None


def element_splits(path: str, size: int, split_bytes: int) -> list[Split]:
    """Cut a file at any byte if it is plain or packed with bzip2, else leave it whole."""
    if size > split_bytes:
        with open_binary(path) as file:
            codec = codec_with_bzip2(window(file), path)
        if codec is None or codec.magic == b"BZh":
            return byte_splits(path, size, split_bytes)
    return [Split(path, 0, size)] if size else []


def elements(split: Split, first: bytes, last: bytes | None, limit: int) -> Iterator[Element]:
    """Yield the elements that begin in a split, and the damage from there to where the next element begins.

    Args:
        first: the tag that begins an element, or the beginning of it, such as `<page>` or `<row `.
        last: the tag that ends it; None for elements without content, which end before the next `<`.
        limit: bytes; a larger element becomes the error `too_large`, and is not held in memory.
    """
    with open_binary(split.path) as file:
        raw = window(file)
        codec = codec_with_bzip2(raw, split.path)
        cutter = _Cutter(first, last, limit, split, codec is not None)
        for piece in pieces(file, raw, codec, split.start, split.end):
            yield from cutter.cut(piece)
            if cutter.beyond:
                return
        yield from cutter.close()


class _Cutter:
    """Elements of pieces that come one after another."""

    def __init__(self, first: bytes, last: bytes | None, limit: int, split: Split, packed: bool) -> None:
        self._first, self._last, self._limit, self._split, self._packed = first, last, limit, split, packed
        self.beyond = False
        """An element begins in the next split; damage up to there belongs to this one."""
        self._inside = split.start == 0
        """Damage before the first element belongs to this split."""
        self._buffer = bytearray()
        self._sources: list[tuple[int, int]] = []
        """From which byte of the buffer on it stems from which place."""
        self._start = -1
        """Where in the buffer the element begins that has not ended yet; -1 if none has begun."""
        self._place = 0
        """The place of that element."""
        self._searched = 0
        self._removed = 0
        """Bytes of that element that have been left out because it is too large."""
        self._offsets = Places(packed)

    def cut(self, piece: Piece) -> Iterator[Element]:
        """Yield what ends in the piece."""
        if piece.damage is not None:
            if self._start >= 0:
                yield self._element(len(self._buffer), piece.damage)
            elif self._inside:
                yield Element(self._offsets.next(piece.place), b"", piece.damage)
            self._forget(len(self._buffer))
            self._start = -1
            return
        self._sources.append((len(self._buffer), piece.place))
        self._buffer += piece.data
        while self._start >= 0 or self._begins():
            end, error = self._end()
            if end < 0:
                self._shorten()
                break
            if error is None and end - self._start + self._removed > self._limit:
                error = "too_large"
            yield self._element(end, error)
            self._start, self._searched = -1, end
        if not self.beyond:
            self._forget(self._start if self._start >= 0 else max(0, len(self._buffer) - len(self._first) + 1))

    def close(self) -> Iterator[Element]:
        """What had begun when the file ended."""
        if self._start >= 0:
            whole = self._last is None and self._buffer.rstrip().endswith(b">")
            yield self._element(len(self._buffer), None if whole else "truncated")

    def _begins(self) -> bool:
        """Find the next element of this split."""
        found = self._buffer.find(self._first, self._searched)
        if found < 0:
            return False
        at, place = next(source for source in reversed(self._sources) if source[0] <= found)
        self._place = place if self._packed else place + found - at
        if self._place >= self._split.end:
            self.beyond = True
            return False
        self._inside = True
        self._start, self._searched, self._removed = found, found + len(self._first), 0
        return True

    def _end(self) -> tuple[int, str | None]:
        """Where the element ends (-1: not yet), and what is wrong if it ends only because the next one begins."""
        if self._last is None:
            end = self._buffer.find(b"<", self._searched)
            self._searched = len(self._buffer) if end < 0 else end
            return end, None
        end = self._buffer.find(self._last, self._searched)
        following = self._buffer.find(self._first, self._searched, end if end >= 0 else len(self._buffer))
        if following >= 0:
            return following, "truncated"
        if end < 0:
            longest = max(len(self._last), len(self._first))
            self._searched = max(self._searched, len(self._buffer) - longest + 1)
            return -1, None
        return end + len(self._last), None

    def _element(self, end: int, error: str | None) -> Element:
        data = bytes(self._buffer[self._start : end if error is None else min(end, self._start + PAYLOAD)])
        return Element(self._offsets.next(self._place), data, error)

    def _shorten(self) -> None:
        """Leave out the middle of an element that is larger than allowed."""
        keep = self._start + PAYLOAD
        if self._searched - self._start + self._removed > self._limit and self._searched > keep:
            removed = self._searched - keep
            del self._buffer[keep : self._searched]
            self._sources = [(at if at <= keep else max(keep, at - removed), place) for at, place in self._sources]
            self._removed += removed
            self._searched = keep

    def _forget(self, size: int) -> None:
        """Forget the first bytes of the buffer."""
        if size:
            del self._buffer[:size]
            self._sources = [(at - size, place) for at, place in self._sources]
            while len(self._sources) > 1 and self._sources[1][0] <= 0:
                del self._sources[0]
            if self._start >= 0:
                self._start = 0
            self._searched = max(0, self._searched - size)
