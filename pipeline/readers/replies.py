"""A file of comments of Reddit, looked up by the post that they are on."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np

from pipeline.readers.base import Split, open_binary
from pipeline.readers.elements import Element
from pipeline.readers.joins import Index, Spool, SpoolError
from pipeline.readers.lines import lines
from pipeline.readers.pieces import is_plain

_LINK = re.compile(rb'"link_id"\s*:\s*"t3_([0-9a-z]{1,12})"')
_SUBMISSIONS, _COMMENTS = ("submissions", "RS_"), ("comments", "RC_")


def comments_path(path: str) -> str | None:
    """The file of comments to a file of posts, the file itself if it is one; None if its name does not tell."""
    name = PurePosixPath(path).name
    if any(word in name for word in _COMMENTS):
        return path
    for word, other in zip(_SUBMISSIONS, _COMMENTS, strict=True):
        if word in name:
            return path[: len(path) - len(name)] + name.replace(word, other)
    return None


class Replies:
    """The comments in a file; a packed file is unpacked into a temporary one while it is indexed."""

    def __init__(self, path: str, limit: int) -> None:
        self._limit = limit
        self._file: BinaryIO = open_binary(path)
        size = self._file.seek(0, os.SEEK_END)
        self._spool = None if is_plain(path) else Spool(size)
        self._split = Split(path, 0, size)
        self._index = Index()
        self.count = 0
        """Comments in the file."""
        self.taken = 0
        """Comments that have been asked for."""

    def __enter__(self) -> "Replies":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._spool is not None:
            self._spool.close()

    def index(self) -> Iterator[Element]:
        """Go through the file, which has to be done first, and yield what is damaged in it."""
        for line in lines(self._split, self._limit, long_windows=True):
            if line.error is not None:
                yield line
                continue
            link = _LINK.search(line.data)
            if link is None:
                yield line._replace(error="json")
                continue
            try:
                position = line.offset if self._spool is None else self._spool.append(line.data)
            except SpoolError:
                yield line._replace(error="too_large")
                break
            self._index.add(int(link[1], 36), position, len(line.data))
            self.count += 1
        self._index.close()

    def places(self, ids: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
        """Position and length of the comments on posts, by the id of the post."""
        numbers = {int(name, 36): name for name in ids if re.fullmatch("[0-9a-z]{1,12}", name)}
        found = self._index.find(np.array(sorted(numbers), np.int64))
        places: dict[str, list[tuple[int, int]]] = {}
        for number, position, length in zip(*(values.tolist() for values in found), strict=True):
            places.setdefault(numbers[number], []).append((position, length))
        self.taken += len(found.keys)
        return places

    def read(self, position: int, length: int) -> bytes:
        """One comment."""
        if self._spool is not None:
            return self._spool.read(position, length)
        self._file.seek(position)
        return self._file.read(length)
