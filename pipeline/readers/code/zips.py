"""Zip archives and wheels as trees: by their directory, and where that is damaged by the headers of their members."""

import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pipeline.readers.base import open_binary
from pipeline.readers.code.archives import budget, member, only_top, stem, top_of
from pipeline.readers.code.trees import File, Wanted
from pipeline.readers.windows import CHUNK, Window, window

_LOCAL = b"PK\x03\x04"
_HELD = 16 << 20  # bytes of one member of a damaged archive
_RELEASE = re.compile(r"(.+?)-\d[\w.+!-]*")


class ZipTree:
    """The members of a zip archive, in the order in which its directory names them."""

    revision: str | None = None
    date: str | None = None

    def __init__(self, path: str, early: Wanted) -> None:
        self._early = early
        self._file = open_binary(path)
        self._budget = budget(self._file.seek(0, io.SEEK_END))
        try:
            self._archive: zipfile.ZipFile | None = zipfile.ZipFile(self._file)
            self._members = self._archive.infolist()
        except (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError):
            self._archive, self._members = None, []
        self._top = only_top({top_of(_slashes(info.filename)) for info in self._members if not info.is_dir()})
        self.name = self._top or _wheel_name(path)

    def sizes(self) -> list[int]:
        return [info.file_size for info in self._members]

    def early(self) -> Iterable[File]:
        return (file for file in self.walk(self._early) if file.data is not None)

    def walk(self, wanted: Wanted, start: int = 0, end: int | None = None) -> Iterator[File]:
        if self._archive is None:
            yield from _salvaged(self._file, wanted, self._budget)
            return
        left = self._budget
        for number, info in enumerate(self._members[start:end], start):
            if left <= 0:
                yield File(number, "", 0, error="bomb")
                return
            file = member(number, _slashes(info.filename), info.file_size, self._top)
            if info.is_dir():
                file = file._replace(other="folder")
            elif stat.S_ISLNK(info.external_attr >> 16):
                file = file._replace(other="link")
            elif file.error is None and file.other is None and (limit := wanted(file.path, file.size)):
                file = self._read(file, info, min(limit, left))
                left -= len(file.data or b"")
            yield file

    def _read(self, file: File, info: zipfile.ZipInfo, limit: int) -> File:
        if info.flag_bits & 1:
            return file._replace(error="encrypted")
        assert self._archive is not None
        try:
            with self._archive.open(info) as opened:
                return file._replace(data=opened.read(limit))
        except NotImplementedError:
            return file._replace(error="compression")
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, struct.error):
            return file._replace(error="corrupt")

    def close(self) -> None:
        self._file.close()


def _slashes(name: str) -> str:
    return name.replace("\\", "/")


def _wheel_name(path: str) -> str:
    match = _RELEASE.match(stem(path))
    return match[1] if match and path.lower().endswith((".whl", ".egg")) else stem(path)


def _salvaged(file: BinaryIO, wanted: Wanted, left: int) -> Iterator[File]:
    """The members of a zip whose directory is damaged or cut off, by their own headers."""
    raw = window(file)
    number = at = 0
    while (at := raw.find(_LOCAL, at)) >= 0 and left > 0:
        header = raw.peek(at, 30)
        if len(header) < 30:
            break
        flags, method, packed, size, names, extra = struct.unpack("<6xHH8xII2H", header)
        name = raw.peek(at + 30, names)
        start = at + 30 + names + extra
        path = _slashes(name.decode("utf-8", "replace"))
        found = member(number, path, size, None)
        number += 1
        if path.endswith("/"):
            yield found._replace(other="folder")
            at = start
            continue
        data, size, at = _inflated(raw, start, method, packed, bool(flags & 8), left)
        left -= size
        raw.release(at)
        if data is None:
            yield found._replace(error=found.error or "corrupt")
            continue
        limit = wanted(found.path, size) if found.error is None and found.other is None else 0
        yield found._replace(size=size, data=data[:limit] if limit else None)
    yield File(number, "", 0, error="directory" if left > 0 else "bomb")


def _inflated(
    raw: Window, start: int, method: int, packed: int, streamed: bool, budget: int
) -> tuple[bytes | None, int, int]:
    """The first bytes of a member, how many it has, and where it ends; None if they are damaged or too many."""
    if method != 8 or packed > budget:
        data = raw.peek(start, packed) if method == 0 and not streamed and packed <= budget else b""
        whole = method == 0 and not streamed and len(data) == packed
        return data if whole else None, len(data), start + (len(data) if whole else 0)
    inflate = zlib.decompressobj(-15)
    kept = bytearray()
    size, at = 0, start
    try:
        while not inflate.eof and size < budget:
            feed = raw.peek(at, CHUNK)
            raw.release(at)
            out = inflate.decompress(feed, CHUNK)
            size += len(out)
            kept += out[: max(0, _HELD - len(kept))]
            at += len(feed) - len(inflate.unused_data if inflate.eof else inflate.unconsumed_tail)
            if not feed and not out:
                return None, size, at
    except zlib.error:
        return None, size, start
    return (bytes(kept) if inflate.eof else None), size, at
