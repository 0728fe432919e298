"""Compressed files as chains of members, read so that damage costs only the members it hit.

gzip, zstd and LZ4 files alike are sequences of members (zstd and LZ4 call them frames), and a WARC writes one record a
member. Libraries decode such a file as one stream and stop at the first bad byte; here every member is opened by
itself, so that reading can begin in the middle of a file and go on after damage.
"""

import io
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import zstandard
from fastwarc.stream_io import Lz4Reader

CHUNK = 256 << 10
FEED = 32 << 10  # most members of a crawl are smaller: one call of zlib each, and little left over to copy
HEAD = 64 << 10
_MAX_WINDOW = 1 << 27  # `zstd --long=27`; a frame that needs more memory than that is damage


class Damage(Exception):
    """Bytes that cannot be decoded; `what` is the end of the reason, `at` the offset in the file of the member."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


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
        if position >= self.size:
            return b""  # a file system may refuse to seek to where a damaged length points
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
        return bytes(memoryview(self._data)[offset : offset + size])

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
        self._at = start
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
                return out
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


GZIP, ZSTD, LZ4 = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_SUFFIXES = {".gz": GZIP, ".zst": ZSTD, ".lz4": LZ4}
_PLAIN = re.compile(
    rb"WARC/\d+\.\d+[ \t]*\r?\n[A-Za-z-]+[ \t]*:|filedesc:|(?:\xef\xbb\xbf)?\s*\{[^\x00-\x08\x0e-\x1f]*\Z"
)


def codec_of(raw: Window, path: str) -> Codec | None:
    """The codec of a file, None if it is plain: what its first bytes tell, and where they tell nothing its suffix."""
    head = raw.peek(0, 256)
    if _PLAIN.match(head):
        return None
    named = next((magic for suffix, magic in _SUFFIXES.items() if path.lower().endswith(suffix)), None)
    first = raw.peek(_skip(raw, 0), 4)
    magic = next((magic for magic in (GZIP, ZSTD, LZ4) if first.startswith(magic)), named)
    if named is not None and magic != named:
        # Damage at the start can look like another format; a member of the right one soon after says that it is.
        codec = _codec(raw, named)
        if find_member(raw, codec, 0, CHUNK, lambda head: False, sure=False) is not None:
            return codec
    return None if magic is None else _codec(raw, magic)


def _codec(raw: Window, magic: bytes) -> Codec:
    if magic == GZIP:
        return Codec(GZIP, GzipMember)
    if magic == LZ4:
        return Codec(LZ4, Lz4Member)
    dictionary = zstandard.ZstdCompressionDict(found) if (found := _dictionary(raw)) else None
    return Codec(ZSTD, lambda raw, at: ZstdMember(raw, at, dictionary))


def _skippable(raw: Window, at: int) -> int | None:
    """The end of the skippable frame at `at`, if there is one."""
    head = raw.peek(at, 8)
    if len(head) < 8 or head[1:4] != b"\x2a\x4d\x18" or head[0] >> 4 != 5:
        return None
    return at + 8 + int(struct.unpack("<I", head[4:])[0])


def _skip(raw: Window, at: int) -> int:
    while (end := _skippable(raw, at)) is not None:
        at = end
    return at


def _dictionary(raw: Window) -> bytes | None:
    """The dictionary in the first frame of a .warc.zst (IIPC, "WARC compression with Zstandard", 2021)."""
    end = _skippable(raw, 0)
    if end is None or raw.peek(0, 1) != b"\x5d":
        return None
    data = raw.peek(8, end - 8)
    return zstandard.ZstdDecompressor().stream_reader(data).read() if data.startswith(ZSTD) else data


class Run:
    """The text of consecutive members, up to the next one that a record begins, to damage or to the end of the file.

    Most runs are one member with one record. A file that was packed without regard to records, as one member or in
    blocks, is one run. Positions are of unpacked bytes from the start of the run.
    """

    def __init__(self, raw: Window, codec: Codec, start: int, begins: Callable[[bytes], bool]) -> None:
        self.start = start
        self.lost = False
        """The run was entered after damage, at a member that need not begin with a record."""
        self.damage: Damage | None = None
        self.damaged_from = 0
        """The position from which on the text stems from the damaged member."""
        self._raw, self._codec, self._begins = raw, codec, begins
        self._following: Run | None = None
        self._followed = False
        self._rewind()

    def _rewind(self, member: Member | None = None, head: bytes = b"") -> None:
        self._member, self._head = member, head
        self._position = self._member_from = 0
        self._ended = False

    def seek(self, position: int) -> None:
        if position < self._position:
            self._rewind()
        while self._position < position and self.read(min(CHUNK, position - self._position)):
            pass

    def read(self, size: int) -> bytes:
        out = self._head or self._next(size)
        self._head = out[size:]
        out = out[:size]
        self._position += len(out)
        return out

    def _next(self, size: int) -> bytes:
        while not self._ended:
            try:
                if self._member is None:
                    if self._raw.peek(self.start, len(self._codec.magic)) != self._codec.magic:
                        raise Damage("garbage", self.start)
                    self._member = self._codec.open(self._raw, self.start)
                out = self._member.read(size) or self._enter(self._member.end or 0)
            except Damage as damage:
                self._ended = True
                self.damage = damage
                self.damaged_from = self._member_from
            else:
                if out:
                    return out
        return b""

    def _enter(self, at: int) -> bytes:
        """Go on to the member at `at`, unless a record begins there, and return its first bytes."""
        self._member_from = self._position
        at = _skip(self._raw, at)
        if not (magic := self._raw.peek(at, len(self._codec.magic))):
            self._ended = self._followed = True
            return b""
        if magic != self._codec.magic:
            raise Damage("garbage", at)
        member = self._codec.open(self._raw, at)
        head = member.read(HEAD)
        if self._begins(head):
            self._ended = True
            if not self._followed:
                self._followed = True
                self._following = Run(self._raw, self._codec, at, self._begins)
                self._following._rewind(member, head)
            return b""
        self._member = member
        return head

    def following(self) -> "Run | None":
        """The run after this one, which must have been read to its end."""
        if not self._followed and self.damage is not None:
            self._followed = True
            begin = self.damage.at + (self.damage.what != "garbage")
            found = find_member(self._raw, self._codec, begin, None, self._begins, sure=False)
            if found is not None:
                self._following = Run(self._raw, self._codec, found[0], self._begins)
                self._following.lost = not found[1]
        return self._following


def runs(raw: Window, codec: Codec, start: int, end: int, begins: Callable[[bytes], bool]) -> Iterator[Run]:
    """Yield the runs that begin from `start` to `end`; one that does not begin with a record belongs to the one before.

    A member that begins with a record always begins a run, so the runs of a file are the same however it is split.
    (The one exception: a boundary inside an archive that was itself stored, not compressed, in a record of this one
    finds the inner records as well; nothing is missing then.)
    """
    at = (_skip(raw, 0), True) if start == 0 else find_member(raw, codec, start, end, begins, sure=True)
    run = None if at is None else Run(raw, codec, at[0], begins)
    while run is not None and (run.lost or run.start < end):
        yield run
        run = run.following()


def find_member(
    raw: Window, codec: Codec, position: int, end: int | None, begins: Callable[[bytes], bool], *, sure: bool
) -> tuple[int, bool] | None:
    """The first member from `position` on and before `end`, and whether a record begins it (`sure`: it must)."""
    while (position := raw.find(codec.magic, position, end)) >= 0:
        try:
            head = codec.open(raw, position).read(HEAD)
        except Damage:
            head = b""
        if head and (begins(head) or not sure):
            return position, begins(head)
        position += 1
    return None
