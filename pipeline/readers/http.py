"""HTTP messages as crawlers stored them: status, headers, and the body with its transfer and content encodings undone.

Crawlers differ in what they store: some decode the body and leave the headers that say it is encoded. A body that is
plainly not what its header claims is therefore taken as it is; one that begins as claimed and then breaks is damaged.
"""

import io
import re
import zlib
from typing import NamedTuple

from fastwarc.stream_io import BrotliReader

from pipeline.readers.encoding import is_text
from pipeline.readers.members import ZSTD, Damage, ZstdMember
from pipeline.readers.records import fields
from pipeline.readers.windows import window

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})[^\r\n]*\r?\n", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s;\"',]+)", re.IGNORECASE)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|link|div|table|p|h1|a|br|b)\b", re.IGNORECASE
)
_STEP = 1 << 20


class BodyError(Exception):
    """A body that cannot be decoded; `what` is the end of the reason."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Message(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def parse(block: bytes) -> Message | None:
    """The parts of a response; None if the block does not begin with a status line."""
    status = _STATUS.match(block)
    if status is None:
        return None
    start = status.end()
    if block.startswith((b"\r\n", b"\n"), start):
        return Message(int(status[1]), {}, block[start:].removeprefix(b"\r").removeprefix(b"\n"))
    end = _END.search(block, start)
    head, body = (block[start : end.start()], block[end.end() :]) if end else (block[start:], b"")
    return Message(int(status[1]), fields(head), body)


def media_type(value: str | None, body: bytes) -> tuple[str, str | None]:
    """Lower-case type and charset of a Content-Type header; the type is told from the body if the header has none."""
    kind = (value or "").partition(";")[0].partition(",")[0].strip().lower()
    charset = _CHARSET.search(value or "")
    if "/" not in kind:
        head = body[:1024]
        kind = "text/html" if _HTML.search(head) else "text/plain" if is_text(head) else "application/octet-stream"
    return kind, charset[1] if charset else None


def decode_body(message: Message, limit: int, *, truncated: bool) -> bytes:
    """Undo the encodings of a body. `truncated`: the crawler says that it cut the body off; a missing end is no error.

    Raises BodyError with `chunked`, `content_encoding` or (over `limit` bytes) `too_large`.
    """
    body = message.body
    if "chunked" in message.headers.get("transfer-encoding", "").lower():
        body = _dechunk(body, truncated)
    codings = [coding.strip().lower() for coding in message.headers.get("content-encoding", "").split(",")]
    for coding in reversed([coding for coding in codings if coding and body]):
        body = _decompress(body, coding, limit, truncated)
    return body


def _dechunk(body: bytes, truncated: bool) -> bytes:
    """RFC 9112, section 7.1; trailers are left out, and so is a missing last chunk."""
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        chunk = _CHUNK.match(body, at)
        if chunk is None:
            if not parts:
                return body
            if truncated:
                break
            raise BodyError("chunked")
        size = int(chunk[1], 16)
        if size == 0:
            break
        part = body[chunk.end() : chunk.end() + size]
        if len(part) < size and not truncated:
            raise BodyError("chunked")
        parts.append(part)
        at = chunk.end() + size
        at += 2 if body.startswith(b"\r\n", at) else body.startswith(b"\n", at)
    return b"".join(parts)


def _decompress(body: bytes, coding: str, limit: int, truncated: bool) -> bytes:
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, 31, limit, truncated) if body.startswith(b"\x1f\x8b") else body
    if coding == "deflate":
        claimed = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        if claimed or not is_text(body[:1024]):
            return _inflate(body, 15 if claimed else -15, limit, truncated)
        return body
    if coding == "zstd":
        if not body.startswith(ZSTD):
            return body
        return _drain(_ZstdFrames(body), body, limit, truncated)
    if coding == "br":
        return _drain(BrotliReader(io.BytesIO(body)), body, limit, truncated)
    if coding in ("identity", "none", "utf-8", "utf8", "binary", "8bit"):
        return body
    if is_text(body[:1024]):
        return body
    raise BodyError("content_encoding")


def _inflate(body: bytes, window: int, limit: int, truncated: bool) -> bytes:
    parts: list[bytes] = []
    total = 0
    rest = body
    while rest:
        inflate = zlib.decompressobj(window)
        while not inflate.eof:
            try:
                part = inflate.decompress(rest, _STEP)
            except zlib.error:
                raise BodyError("content_encoding") from None
            rest = inflate.unconsumed_tail or inflate.unused_data
            parts.append(part)
            total += len(part)
            if total > limit:
                raise BodyError("too_large")
            if not part and not rest and not inflate.eof:
                if truncated:
                    return b"".join(parts)
                raise BodyError("content_encoding")
        if window != 31 or not rest.startswith(b"\x1f\x8b"):
            break  # bytes after the end are padding
    return b"".join(parts)


class _ZstdFrames:
    """One frame after another; zstandard's own reader does not tell a cut-off frame from a whole one."""

    def __init__(self, body: bytes) -> None:
        self._window = window(io.BytesIO(body))
        self._frame = ZstdMember(self._window, 0)

    def read(self, size: int) -> bytes:
        while not (out := self._frame.read(size)):
            end = self._frame.end or 0
            if not self._window.peek(end, 4).startswith(ZSTD):
                return b""
            self._frame = ZstdMember(self._window, end)
        return out


def _drain(reader: _ZstdFrames | BrotliReader, body: bytes, limit: int, truncated: bool) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        try:
            part = reader.read(_STEP)
        except (OSError, EOFError, ValueError, Damage):
            if parts and truncated:
                break
            if not parts and is_text(body[:1024]):
                return body
            raise BodyError("content_encoding") from None
        if not part:
            break
        parts.append(part)
        total += len(part)
        if total > limit:
            raise BodyError("too_large")
    return b"".join(parts)
