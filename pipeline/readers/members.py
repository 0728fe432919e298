"""Compressed files as chains of members, read so that damage costs only the members it hit.

gzip, zstd and LZ4 files alike are sequences of members (zstd and LZ4 call them frames), and a WARC writes one record a
member. Libraries decode such a file as one stream and stop at the first bad byte; here every member is opened by
itself, so that reading can begin in the middle of a file and go on after damage.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard
from fastwarc.stream_io import Lz4Reader

from pipeline.readers.windows import CHUNK, Window

GZIP, ZSTD, LZ4 = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
"""The first bytes of a member, by format."""

FEED = 32 << 10  # most members of a crawl are smaller: one call of zlib each, and little left over to copy
_MAX_WINDOW = 1 << 27  # `zstd --long=27`; a frame that needs more memory than that is damage
_MAX_DICTIONARY = 32 << 20  # of common ones a hundredth; a first frame that holds more holds something else
_MAX_SILENT = 256 << 10  # packed bytes in a row that unpack to nothing: no packer writes them
_MAX_SILENT_HEAD = 4 << 10  # as many at the start, where it is only guessed that there is one


class Damage(Exception):
    """Bytes that cannot be decoded; `what` is the end of the reason, `at` the offset in the file of the member."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


class Member(Protocol):
    """One member being decoded. `end` is known, as an offset in the file, once `read` has returned nothing."""

    start: int
    end: int | None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, nothing at the end; raises Damage when everything before the damage has been returned."""


class GzipMember:
    def __init__(self, raw: Window, start: int) -> None:
        self.start = start
        self.end: int | None = None
        self._raw = raw
        self._at = self._silent_from = start
        self._inflate = zlib.decompressobj(31)
        self._damage: Damage | None = None

    def read(self, size: int) -> bytes:
        if self._damage is not None:
            raise self._damage
        while self.end is None:
            feed = self._raw.peek(self._at, FEED)
            if not feed:
                raise Damage("truncated", self.start)
            self._raw.release(self._at)
            try:
                out = self._inflate.decompress(feed, size)
            except zlib.error as error:
                checked = "incorrect data check" in str(error) or "incorrect length check" in str(error)
                self._damage = Damage("crc" if checked else "corrupt", self.start)
                if rest := self._salvage(feed):
                    return rest
                raise self._damage from None
            inflate = self._inflate
            self._at += len(feed) - len(inflate.unused_data if inflate.eof else inflate.unconsumed_tail)
            if inflate.eof:
                self.end = self._at
            if out:
                self._silent_from = self._at
                return out
            if self._at - self._silent_from > _MAX_SILENT:
                self._damage = Damage("corrupt", self.start)
                raise self._damage
        return b""

    def _salvage(self, feed: bytes) -> bytes:
        """What zlib had decoded of `feed` when it failed, which it does not hand out: again, one byte at a time."""
        again = zlib.decompressobj(31)
        at = self.start
        while at < self._at:
            part = self._raw.peek(at, min(FEED, self._at - at))
            again.decompress(part, CHUNK)
            at += len(part) - len(again.unconsumed_tail)
        out = bytearray()
        try:
            out += again.decompress(again.unconsumed_tail)
            for index in range(len(feed)):
                out += again.decompress(feed[index : index + 1])
        except zlib.error:
            pass  # the same failure as before, now with all that precedes it
        return bytes(out)


class _Slice:
    """A part of the file as a file, for libraries that read from one."""

    def __init__(self, raw: Window, start: int, end: int | None) -> None:
        self._raw, self._start, self._at = raw, start, start
        self._end = raw.size if end is None else end

    def read(self, size: int = -1) -> bytes:
        size = self._end - self._at if size < 0 else min(size, self._end - self._at)
        self._raw.release(self._at)
        data = self._raw.peek(self._at, size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = min(max(base + offset, self._start), self._end)
        return self.tell()

    def tell(self) -> int:
        return self._at - self._start

    def close(self) -> None:
        pass


class ZstdMember:
    """A zstd frame (RFC 8878, section 3.1.1), fed to the decoder block by block: no block unpacks to over 128 KiB."""

    def __init__(self, raw: Window, start: int, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self.start = start
        self.end: int | None = None
        self._raw = raw
        # One context a frame: what a decompressor has made so far ends when it makes the next.
        self._decoder = zstandard.ZstdDecompressor(dictionary, max_window_size=_MAX_WINDOW).decompressobj()
        self._pieces = self._frame()
        self._out = b""

    def _frame(self) -> Iterator[bytes]:
        descriptor = _exactly(self._raw, self.start, 5)[4]
        single = descriptor >> 5 & 1
        size = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6]
        yield _exactly(self._raw, self.start, size)
        at = self.start + size
        last = False
        while not last:
            self._raw.release(at)
            header = int.from_bytes(_exactly(self._raw, at, 3), "little")
            last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
            if kind == 3:
                raise ValueError("reserved block type")
            size = 3 + (1 if kind == 1 else size)
            yield _exactly(self._raw, at, size)
            at += size
        if descriptor >> 2 & 1:
            yield _exactly(self._raw, at, 4)
            at += 4
        self.end = at

    def read(self, size: int) -> bytes:
        try:
            while not self._out:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._out = self._decoder.decompress(piece)
        except EOFError:
            raise Damage("truncated", self.start) from None
        except zstandard.ZstdError as error:
            raise Damage("crc" if "checksum" in str(error) else "corrupt", self.start) from None
        except ValueError:
            raise Damage("corrupt", self.start) from None
        out, self._out = self._out[:size], self._out[size:]
        return out


class Lz4Member:
    """An LZ4 frame (frame format 1.6.1). Its end is found by walking its blocks, since the decoder does not tell it."""

    def __init__(self, raw: Window, start: int) -> None:
        self.start = start
        self.end: int | None = None
        self._raw = raw
        self._decoder: Lz4Reader | None = None
        self._ends: int | None = None

    def _frame(self) -> int | None:
        """The end of the frame; None if the file ends before it."""
        try:
            flags = _exactly(self._raw, self.start, 5)[4]
            at = self.start + 7 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
            while size := int.from_bytes(_exactly(self._raw, at, 4), "little") & 0x7FFFFFFF:
                at += 4 + size + 4 * (flags >> 4 & 1)
            at += 4 + 4 * (flags >> 2 & 1)
            _exactly(self._raw, at - 1, 1)
        except EOFError:
            return None
        return at

    def read(self, size: int) -> bytes:
        if self.end is not None:
            return b""
        if self._decoder is None:
            self._ends = self._frame()
            self._decoder = Lz4Reader(_Slice(self._raw, self.start, self._ends))
        try:
            out: bytes = self._decoder.read(size)
        except (OSError, ValueError):
            raise Damage("corrupt" if self._ends else "truncated", self.start) from None
        if not out:
            if self._ends is None:
                raise Damage("truncated", self.start)
            self.end = self._ends
        return out


def _exactly(raw: Window, position: int, size: int) -> bytes:
    data = raw.peek(position, size)
    if len(data) < size:
        raise EOFError
    return data


class Codec:
    """How the members of a file are recognised and opened."""

    def __init__(self, magic: bytes, open_member: Callable[[Window, int], Member]) -> None:
        self.magic = magic
        self.open = open_member

    def unpacks(self, raw: Window, at: int) -> bool:
        """Whether what looks like the start of a member soon unpacks to something; to be tried at any number of places.

        Of a gzip header with a name, zlib would read up to the end of the file in search of the end of that name.
        """
        if self.magic != GZIP:
            return True
        head = raw.peek(at, _MAX_SILENT_HEAD)
        try:
            return bool(zlib.decompressobj(31).decompress(head, 1)) or len(head) < _MAX_SILENT_HEAD
        except zlib.error:
            return False


def codec_for(raw: Window, magic: bytes) -> Codec:
    """The codec of a file whose members begin with `magic`."""
    if magic == GZIP:
        return Codec(GZIP, GzipMember)
    if magic == LZ4:
        return Codec(LZ4, Lz4Member)
    dictionary = _dictionary(raw)
    return Codec(ZSTD, lambda raw, at: ZstdMember(raw, at, dictionary))


def _skippable(raw: Window, at: int) -> int | None:
    """The end of the skippable frame at `at`, if there is one."""
    head = raw.peek(at, 8)
    if len(head) < 8 or head[1:4] != b"\x2a\x4d\x18" or head[0] >> 4 != 5:
        return None
    end = at + 8 + int(struct.unpack("<I", head[4:])[0])
    return end if end <= raw.size else None  # one that the file does not hold is damage, and no way past the rest


def skip_frames(raw: Window, at: int) -> int:
    """The first position from `at` on that is not in a skippable frame (zstd and LZ4 have those)."""
    while (end := _skippable(raw, at)) is not None:
        at = end
    return at


def _dictionary(raw: Window) -> zstandard.ZstdCompressionDict | None:
    """The dictionary in the first frame of a .warc.zst (IIPC, "WARC compression with Zstandard", 2021).

    None too where it is damaged: every frame that needs it is then damaged as well.
    """
    end = _skippable(raw, 0)
    if end is None or end > _MAX_DICTIONARY or raw.peek(0, 1) != b"\x5d":
        return None
    data = raw.peek(8, end - 8)
    try:
        if data.startswith(ZSTD):
            data = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(data).read(_MAX_DICTIONARY + 1)
        if not 0 < len(data) <= _MAX_DICTIONARY:
            return None
        dictionary = zstandard.ZstdCompressionDict(data)
        zstandard.ZstdDecompressor(dictionary)  # it is looked at here, not before
    except zstandard.ZstdError:
        return None
    return dictionary
