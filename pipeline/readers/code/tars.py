"""Tar archives as trees, packed or not. They can only be read from their begin: each walk unpacks them anew.

The name of the repository and the paths are known only when all is seen, and licences stand anywhere: so the files that
tell them are kept from the first walk.
"""

import io
import lzma
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pipeline.readers import tar
from pipeline.readers.base import open_binary
from pipeline.readers.bzip2 import codec_with_bzip2
from pipeline.readers.code.archives import below, budget, member, only_top, stem, top_of
from pipeline.readers.code.trees import File, Wanted
from pipeline.readers.runs import Run
from pipeline.readers.windows import CHUNK, Window, window

_XZ = b"\xfd7zXZ\x00"
_XZ_MEMORY = 1 << 28
_KEPT = 64 << 20  # bytes of the files that tell licences


class TarTree:
    """The members of a tar archive, in order. Each walk unpacks it anew, since it can only be read from its begin."""

    date: str | None = None

    def __init__(self, path: str, early: Wanted) -> None:
        self._path = path
        self.revision: str | None = None
        with open_binary(path) as file:
            self._size = file.seek(0, io.SEEK_END)
        self._top: str | None = None
        self._kept: list[File] = []
        names: set[str] = set()
        room = _Room(early)
        for found in self.walk(room):
            if found.other != "folder" and found.error is None:
                names.add(top_of(found.path))
            if found.error is None and found.other is None and early(found.path, found.size):
                self._kept.append(found)
        self._top = only_top(names)
        self.name = self._top or stem(path)

    def sizes(self) -> None:
        return None

    def early(self) -> Iterable[File]:
        return (file._replace(path=below(file.path, self._top) or file.path) for file in self._kept)

    def walk(self, wanted: Wanted, start: int = 0, end: int | None = None) -> Iterator[File]:
        with open_binary(self._path) as file:
            inner, packing = _unpacked(file, self._path)
            told = False
            last = -1
            for number, entry in enumerate(tar.entries(inner, limit=budget(self._size))):
                last = number
                if entry.error is not None:
                    told = True
                    what = packing.damage or {"too_large": "bomb"}.get(entry.error, entry.error)
                    yield File(number, below(entry.name, self._top) or "", 0, error=what)
                    continue
                found = member(number, entry.name, entry.size, self._top)
                if not entry.file:
                    found = found._replace(other="folder" if entry.name.endswith("/") else "link")
                elif found.error is None and found.other is None and (limit := wanted(found.path, entry.size)):
                    data = inner.peek(entry.start, min(limit, entry.size))
                    found = found._replace(data=data)
                    if len(data) < min(limit, entry.size):
                        told = True
                        found = found._replace(data=None, error=packing.damage or "truncated")
                yield found
            if packing.damage and not told:
                yield File(last + 1, "", 0, error=packing.damage)

    def close(self) -> None:
        pass


class _Room:
    """As much as is wanted, until that fills the memory."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._left = _KEPT

    def __call__(self, path: str, size: int) -> int:
        limit = self._wanted(path, size) if size <= self._left else 0
        self._left -= min(limit, size)
        return limit


class _Packing:
    """What has gone wrong below an archive: the damage in the bytes that it was packed into."""

    def __init__(self, run: "Run | _Xz | None") -> None:
        self._run = run

    @property
    def damage(self) -> str | None:
        found = self._run.damage if self._run is not None else None
        return found if found is None or isinstance(found, str) else found.what


class _Xz:
    """An xz file as a source of bytes that ends at damage."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.damage: str | None = None
        self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        self._at = 0

    def seek(self, position: int) -> None:
        if position < self._at:
            self._file.seek(0)
            self._decoder, self._at = lzma.LZMADecompressor(memlimit=_XZ_MEMORY), 0
        while self._at < position and self.read(min(CHUNK, position - self._at)):
            pass

    def read(self, size: int) -> bytes:
        out = b""
        while not out and self.damage is None:
            if self._decoder.eof:
                rest = self._decoder.unused_data or self._file.read(CHUNK)
                if not rest.strip(b"\0"):
                    return b""
                self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
                out = self._fed(rest, size)
            elif self._decoder.needs_input:
                data = self._file.read(CHUNK)
                if not data:
                    self.damage = "truncated"
                    return b""
                out = self._fed(data, size)
            else:
                out = self._fed(b"", size)
        self._at += len(out)
        return out

    def _fed(self, data: bytes, size: int) -> bytes:
        try:
            return self._decoder.decompress(data, size)
        except (lzma.LZMAError, MemoryError):
            self.damage = "corrupt"
            return b""


def _unpacked(file: BinaryIO, path: str) -> tuple[Window, _Packing]:
    raw = window(file)
    if raw.peek(0, len(_XZ)) == _XZ:
        file.seek(0)
        xz = _Xz(file)
        return Window(xz), _Packing(xz)
    codec = codec_with_bzip2(raw, path)
    if codec is None:
        return raw, _Packing(None)
    run = Run(raw, codec, 0, lambda head: False)
    return Window(run), _Packing(run)
