"""Source trees in whatever they are kept: files with their paths, in one order, read only where they are wanted."""

import hashlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeline.readers.code.vendored import is_hidden

Wanted = Callable[[str, int], int]
"""By the path and the size of a file, how many of its bytes are to be read at most."""


class File(NamedTuple):
    """One entry of a tree."""

    number: int
    """Its place in the order of the tree."""
    path: str
    """From the top of the tree, with `/`."""
    size: int
    data: bytes | None = None
    """None if it was not wanted."""
    other: str | None = None
    """What it is if it is no file: `link`, `folder`, `device`, `submodule`, `hidden`, `unreadable`."""
    error: str | None = None
    """Why it cannot be read, such as `corrupt`."""


class Unreadable(Exception):
    """A tree that cannot be read at all; the text is the reason, such as `revision`."""


class Tree(Protocol):
    """A repository, or what else somebody keeps together. `walk` gives the same files each time it is asked."""

    name: str
    revision: str | None
    date: str | None

    def sizes(self) -> list[int] | None:
        """How large each file is, by number; None of a tree that can only be walked as a whole."""

    def walk(self, wanted: Wanted, start: int = 0, end: int | None = None) -> Iterator[File]:
        """Yield the files from number `start` to `end`, the end excluded, in order."""

    def early(self) -> Iterable[File]:
        """The files that were asked for when the tree was opened, with their bytes as far as they fit into memory."""

    def close(self) -> None:
        """Let go of what is open."""


def cuts(sizes: list[int], about: int) -> list[tuple[int, int]]:
    """Divide files into consecutive groups of `about` so many bytes, as first number and, excluded, last."""
    groups = []
    start = total = 0
    for number, size in enumerate(sizes):
        if number > start and total + size > about:
            groups.append((start, number))
            start, total = number, 0
        total += size
    return [*groups, (start, len(sizes))] if sizes else []


class FolderTree:
    """The files of a folder, by path. Links are not followed, so nothing outside of it is read."""

    revision: str | None = None
    date: str | None = None

    def __init__(self, path: str, early: Wanted) -> None:
        self._early = early
        self._top = Path(path)
        self.name = self._top.absolute().name
        self._files = sorted(_listed(self._top))

    def sizes(self) -> list[int]:
        return [size for _, size, _, _ in self._files]

    def stamp(self) -> str:
        """Changes when a file does."""
        told = "\n".join(f"{path}\0{size}\0{time}" for path, size, time, _ in self._files)
        return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    def early(self) -> Iterable[File]:
        return (file for file in self.walk(self._early) if file.data is not None)

    def walk(self, wanted: Wanted, start: int = 0, end: int | None = None) -> Iterator[File]:
        for number, (path, size, _, other) in enumerate(self._files[start:end], start):
            file = File(number, printable(path), size, other=other)
            if other is None and (limit := wanted(file.path, size)):
                yield self._read(file, self._top / path, limit)
            else:
                yield file

    def _read(self, file: File, path: Path, limit: int) -> File:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb") as opened:
                return file._replace(data=opened.read(limit))
        except OSError:
            return file._replace(error="unreadable")

    def close(self) -> None:
        pass


def _listed(top: Path) -> Iterator[tuple[str, int, int, str | None]]:
    """Path, size, time of modification and, if it is no file, kind of everything below a folder."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(top / folder) as entries:
                found = list(entries)
        except OSError:
            yield folder, 0, 0, "unreadable"
            continue
        for entry in found:
            path = posixpath.join(folder, entry.name)
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                yield path, 0, 0, "unreadable"  # it has gone meanwhile
                continue
            if is_hidden(path):
                yield path, 0, 0, "hidden"
            elif stat.S_ISDIR(about.st_mode):
                folders.append(path)
            else:
                kind = "link" if stat.S_ISLNK(about.st_mode) else "device"
                file = stat.S_ISREG(about.st_mode)
                yield path, about.st_size if file else 0, about.st_mtime_ns, None if file else kind


def printable(path: str) -> str:
    """A path as text, whatever bytes it has."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
