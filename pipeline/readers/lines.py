"""Lines of a file, plain or packed in any way; one that is damaged or too large costs only itself."""

from collections.abc import Iterator

import zstandard

from pipeline.readers.base import Split, byte_splits, open_binary
from pipeline.readers.bzip2 import codec_with_bzip2
from pipeline.readers.elements import Element
from pipeline.readers.members import ZSTD, Codec, ZstdMember
from pipeline.readers.pieces import Places, is_plain, pieces
from pipeline.readers.records import PAYLOAD
from pipeline.readers.windows import Window, window


class _LongZstdMember(ZstdMember):
    """A frame written with `zstd --long=31`, as dumps of Reddit are; to read it takes up to 2 GiB of memory."""

    def __init__(self, raw: Window, start: int) -> None:
        super().__init__(raw, start)
        self._decoder = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def line_splits(path: str, size: int, split_bytes: int) -> list[Split]:
    """Cut a file at any byte if it is plain, else leave it whole."""
    if size > split_bytes and is_plain(path):
        return byte_splits(path, size, split_bytes)
    return [Split(path, 0, size)] if size else []


def lines(split: Split, limit: int, *, long_windows: bool = False) -> Iterator[Element]:
    """Yield the lines that begin in a split, without blank ones, and damage.

    The offset of a line is where it begins in a plain file; in a packed one it is where the member begins in which the
    line begins, times 2**20, and its number among those that begin there.

    Args:
        limit: bytes; a longer line becomes the error `too_large`, and is not held in memory.
        long_windows: read also what zstd packed with `--long=31`.
    """
    with open_binary(split.path) as file:
        raw = window(file)
        codec = codec_with_bzip2(raw, split.path)
        if long_windows and codec is not None and codec.magic == ZSTD:
            codec = Codec(ZSTD, _LongZstdMember)
        begin = max(split.start - 1, 0)  # a line begins here if the byte before ends one
        places = Places(codec is not None)
        held = bytearray()
        dropped = 0  # bytes of the line that are not held, since it is too large
        place = begin
        skipping = split.start > 0  # until the next line begins
        for piece in pieces(file, raw, codec, begin, split.end):
            if piece.damage is not None:
                yield Element(places.next(place if held else piece.place), bytes(held[:PAYLOAD]), piece.damage)
                held.clear()
                dropped, skipping = 0, True
                continue
            at = 0
            while (end := piece.data.find(b"\n", at)) >= 0:
                if not held:
                    place = piece.place if codec else piece.place + at
                held += piece.data[at:end]
                at = end + 1
                if not skipping and held.strip():
                    if codec is None and place >= split.end:
                        return
                    large = dropped + len(held) > limit
                    data = bytes(held[:PAYLOAD] if large else held)
                    yield Element(places.next(place), data, "too_large" if large else None)
                held.clear()
                dropped, skipping = 0, False
            if not held:
                place = piece.place if codec else piece.place + at
            held += piece.data[at:]
            if dropped + len(held) > limit and len(held) > PAYLOAD:
                dropped += len(held) - PAYLOAD
                del held[PAYLOAD:]
            if codec is None and place >= split.end:
                return
        if held.strip() and not skipping:
            large = dropped + len(held) > limit
            yield Element(places.next(place), bytes(held[:PAYLOAD] if large else held), "too_large" if large else None)
