"""bzip2 as a codec of members: a file is a sequence of streams, each of which can be opened by itself.

Dumps of Wikimedia ("multistream") have a hundred pages a stream; packers with threads make a stream of each 900 kB.
"""

import bz2
import re

from pipeline.readers.members import FEED, Codec, Damage
from pipeline.readers.runs import codec_of
from pipeline.readers.windows import Window

_HEAD = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
"""The first bytes of a stream: its level, and the mark of its first block or of its end."""


class Bzip2Member:
    """One bzip2 stream being unpacked; a `Member`."""

    def __init__(self, raw: Window, start: int) -> None:
        self.start = start
        self.end: int | None = None
        self._raw = raw
        self._at = start
        self._decoder = bz2.BZ2Decompressor()

    def read(self, size: int) -> bytes:
        if self._at == self.start and (head := self._raw.peek(self.start, 10)) and not _HEAD.match(head):
            raise Damage("truncated" if len(head) < 10 else "corrupt", self.start)
        while self.end is None:
            feed = b""
            if self._decoder.needs_input:
                feed = self._raw.peek(self._at, FEED)
                if not feed:
                    raise Damage("truncated", self.start)
                self._raw.release(self._at)
                self._at += len(feed)
            try:
                out = self._decoder.decompress(feed, size)
            except (OSError, ValueError):
                raise Damage("corrupt", self.start) from None
            if self._decoder.eof:
                self.end = self._at - len(self._decoder.unused_data)
            if out:
                return out
        return b""


BZIP2 = Codec(b"BZh", Bzip2Member)


def codec_with_bzip2(raw: Window, path: str) -> Codec | None:
    """The codec of a file, bzip2 among them; None if it is plain."""
    if _HEAD.match(raw.peek(0, 10)):
        return BZIP2
    return codec_of(raw, path) or (BZIP2 if path.lower().endswith(".bz2") else None)
