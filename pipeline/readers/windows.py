"""Positions in a stream, looked at through a buffer of bounded size."""

import io
import sys
from typing import BinaryIO, Protocol

CHUNK = 256 << 10


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def seek(self, position: int, /) -> object: ...


class Window:
    """Bytes of a stream by absolute position. Holds what was asked for since the last `release`, and a chunk beyond."""

    def __init__(self, source: Source, size: int = sys.maxsize) -> None:
        self._source = source
        self.size = size
        self._base = 0
        self._data = bytearray()

    def peek(self, position: int, size: int) -> bytes:
        """The `size` bytes at `position`; fewer only where the stream ends."""
        self.hold(position, size)
        if position >= self.size:
            return b""
        offset = position - self._base
        return bytes(memoryview(self._data)[offset : offset + size])

    def hold(self, position: int, size: int) -> bool:
        """Have the `size` bytes at `position` here, without a copy of them; False where the stream ends before."""
        if position >= self.size:
            return size == 0  # a file system may refuse to seek to where a damaged length points
        offset = position - self._base
        if offset < 0 or offset > len(self._data):
            self._source.seek(position)
            self._base, offset = position, 0
            self._data.clear()
        while offset + size > len(self._data):
            chunk = self._source.read(CHUNK)
            if not chunk:
                break
            self._data += chunk
        return offset + size <= len(self._data)

    def release(self, position: int) -> None:
        """Forget what lies before `position`."""
        if 0 < position - self._base <= len(self._data):
            del self._data[: position - self._base]
            self._base = position

    def find(self, needle: bytes, position: int, end: int | None = None) -> int:
        """The first place of `needle` from `position` on that begins before `end`, or -1."""
        while end is None or position < end:
            data = self.peek(position, CHUNK)
            found = data.find(needle)
            if found >= 0:
                return position + found if end is None or position + found < end else -1
            if len(data) < CHUNK:
                return -1
            position += CHUNK - len(needle) + 1
            self.release(position)
        return -1


def window(file: BinaryIO) -> Window:
    """A window on a whole file."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return Window(file, size)
