"""A file, plain or packed in any way, as a stream of bytes that says where they come from, also beyond damage."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pipeline.readers.base import open_binary
from pipeline.readers.bzip2 import codec_with_bzip2
from pipeline.readers.members import Codec, Damage, skip_frames
from pipeline.readers.runs import find_member
from pipeline.readers.windows import CHUNK, Window, window

_NUMBER_BITS = 20
"""Of the number of a record in its member; no byte of a packed file unpacks to 2**20 records."""


class Piece(NamedTuple):
    """Unpacked bytes of a file, or damage."""

    place: int
    """In a plain file where the bytes lie, in a packed one where their member begins; of damage, the member before."""
    data: bytes
    damage: str | None = None


class Places:
    """Offsets of records by the places of the pieces in which they begin.

    In a plain file the offset is the place itself; in a packed one it is where the member begins, times 2**20, and the
    number of the record among those that begin there.
    """

    def __init__(self, packed: bool) -> None:
        self._packed = packed
        self._member = self._number = -1

    def next(self, place: int) -> int:
        """The offset of the next record."""
        if not self._packed:
            return place
        self._number = self._number + 1 if place == self._member else 0
        self._member = place
        return (place << _NUMBER_BITS) + self._number


def head_of(path: str, size: int = 4096) -> bytes:
    """The first unpacked bytes of a file, up to where they are damaged."""
    head = b""
    with open_binary(path) as file:
        raw = window(file)
        for piece in pieces(file, raw, codec_with_bzip2(raw, path), 0, raw.size):
            head += piece.data
            if piece.damage is not None or len(head) >= size:
                break
    return head[:size]


def is_plain(path: str) -> bool:
    """Whether a file is not packed, so that it can be read in parts."""
    with open_binary(path) as file:
        return codec_with_bzip2(window(file), path) is None


def pieces(file: BinaryIO, raw: Window, codec: Codec | None, start: int, end: int) -> Iterator[Piece]:
    """Yield the bytes from `start` on (of a packed file: from the first member that begins there) to the file's end."""
    if codec is None:
        file.seek(start)
        while data := file.read(CHUNK):
            yield Piece(start, data)
            start += len(data)
        return
    found = (skip_frames(raw, 0), True) if start == 0 else find_member(raw, codec, start, end, _never, sure=False)
    at = None if found is None else found[0]
    place = at or 0
    while at is not None:
        member = codec.open(raw, at)
        try:
            if raw.peek(at, len(codec.magic)) != codec.magic:
                raise Damage("garbage", at)
            while data := member.read(CHUNK):
                place = at
                yield Piece(place, data)
            place = at
            at = skip_frames(raw, member.end or raw.size)
            if not raw.peek(at, 1):
                return
        except Damage as damage:
            yield Piece(place, b"", damage.what)
            following = damage.at + (damage.what != "garbage")
            found = find_member(raw, codec, following, None, _never, sure=False)
            at = None if found is None else found[0]


def _never(head: bytes) -> bool:
    return False
