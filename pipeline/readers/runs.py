"""Members joined to runs of text that begin with a record, from any byte of a file on and across damage."""

import re
from collections.abc import Callable, Iterator

from pipeline.readers.members import GZIP, LZ4, ZSTD, Codec, Damage, Member, codec_for, skip_frames
from pipeline.readers.windows import CHUNK, Window

HEAD = 64 << 10
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
    first = raw.peek(skip_frames(raw, 0), 4)
    magic = next((magic for magic in (GZIP, ZSTD, LZ4) if first.startswith(magic)), named)
    if named is not None and magic != named:
        # Damage at the start can look like another format; a member of the right one soon after says that it is.
        codec = codec_for(raw, named)
        if find_member(raw, codec, 0, CHUNK, lambda head: False, sure=False) is not None:
            return codec
    return None if magic is None else codec_for(raw, magic)


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
        at = skip_frames(self._raw, at)
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
    at = (skip_frames(raw, 0), True) if start == 0 else find_member(raw, codec, start, end, begins, sure=True)
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
            head = codec.open(raw, position).read(HEAD) if codec.unpacks(raw, position) else b""
        except Damage:
            head = b""
        if head and (begins(head) or not sure):
            return position, begins(head)
        position += 1
    return None
