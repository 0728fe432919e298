"""Members of a tar archive, walked header by header, so that damage costs only the members it hit.

Format: POSIX.1-2001, pax interchange format, and GNU's long names. The standard library's reader stops at the first bad
header and holds whatever an extended header claims to be; here both are bounded. Nothing is ever written to disk.
"""

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.readers.windows import CHUNK, Window

BLOCK = 512
_MAX_NAMES = 1 << 20
_ZERO = bytes(BLOCK)
_PAX = re.compile(rb"\d+ (path|size)=([^\n]*)\n")


class Entry(NamedTuple):
    """A member, or a stretch of damage, at `offset` of the unpacked archive."""

    offset: int
    name: str
    """As it stands there; `inside` says whether it may be trusted."""
    start: int
    """Where its bytes begin."""
    size: int
    file: bool
    """A regular file; not a folder, a link or a device."""
    error: str | None = None
    """`garbage`, `truncated` or `too_large`."""


def is_header(block: bytes) -> bool:
    """Whether 512 bytes are the header of a member, by their check sum."""
    if len(block) < BLOCK or block[0] == 0:
        return False
    declared = _octal(block[148:156])
    return declared is not None and declared == sum(block[:148]) + 32 * 8 + sum(block[156:BLOCK])


def inside(name: str) -> str | None:
    """The name as a path relative to the archive's top; None if it is absolute or leads out of it."""
    path = posixpath.normpath(name)
    return None if path.startswith(("/", "..")) or path == "." or "\0" in path else path


def entries(raw: Window, start: int = 0, end: int | None = None, limit: int | None = None) -> Iterator[Entry]:
    """Yield the members whose headers begin from `start`, itself the begin of a header, to `end`, in order.

    Args:
        limit: where it ends, by an entry with the error `too_large`, since so much is a bomb.

    Archives joined one behind another are read as one. The bytes of an entry must be taken before the next is asked
    for; in a packed archive they may turn out to be fewer than `size`.
    """
    position = start
    while end is None or position < end:
        raw.release(position)
        block = raw.peek(position, BLOCK)
        if not block:
            return
        if limit is not None and position > limit:
            yield Entry(position, "", position, 0, False, "too_large")
            return
        if block == _ZERO:
            ahead = raw.peek(position, CHUNK)
            position += max(1, (len(ahead) - len(ahead.lstrip(b"\0"))) // BLOCK) * BLOCK
            continue
        if not is_header(block):
            resume = _resume(raw, position + BLOCK)
            yield Entry(position, "", position, 0, False, "garbage" if len(block) == BLOCK else "truncated")
            if resume < 0:
                return
            position = resume
            continue
        found = _member(raw, position, block)
        if limit is not None and found.start + found.size > limit:
            found = found._replace(error="too_large")
        yield found
        if found.error is not None:
            return
        position = found.start + _padded(found.size)


def _member(raw: Window, offset: int, block: bytes) -> Entry:
    """The member whose headers, extended ones first, begin at `offset`."""
    position, name, size = offset, None, None
    while block[156:157] in (b"x", b"g", b"L", b"K"):
        length = _number(block[124:136])
        body = raw.peek(position + BLOCK, length) if length <= _MAX_NAMES else b""
        if len(body) < length:
            return Entry(offset, "", position, 0, False, "truncated" if length <= _MAX_NAMES else "garbage")
        if block[156:157] == b"L":
            name = body.rstrip(b"\0")
        elif block[156:157] == b"x":
            values = dict(_PAX.findall(body))
            name = values.get(b"path", name)
            if (declared := values.get(b"size", b"")).isdigit() and len(declared) < 18:
                size = int(declared)
        position += BLOCK + _padded(length)
        block = raw.peek(position, BLOCK)
        if not is_header(block):
            return Entry(offset, "", position, 0, False, "garbage" if len(block) == BLOCK else "truncated")
    if name is None:
        name = block[:100].split(b"\0")[0]
        if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0")[0]):
            name = prefix + b"/" + name
    size = _number(block[124:136]) if size is None else size
    kind = block[156:157]
    if kind in (b"1", b"2", b"3", b"4", b"5", b"6"):
        size = 0  # links, devices and folders have no bytes, whatever their size says
    start = position + BLOCK
    error = "truncated" if start + size > raw.size else None  # of a packed archive the size is not known
    file = kind in (b"0", b"\0", b"7") and not name.endswith(b"/")
    return Entry(offset, name.decode("utf-8", "replace"), start, size, file, error)


def _resume(raw: Window, position: int) -> int:
    """The first header from `position` on, at whole blocks; -1 if there is none."""
    while data := raw.peek(position, CHUNK):
        for at in range(0, len(data) - BLOCK + 1, BLOCK):
            if data[at + 257 : at + 262] == b"ustar" and is_header(data[at : at + BLOCK]):
                return position + at
        position += CHUNK
        raw.release(position)
    return -1


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _number(field: bytes) -> int:
    """A size: octal digits, or GNU's base 256; nonsense is taken for a size that no file has."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") & (1 << 62) - 1
    value = _octal(field)
    return (1 << 62) - 1 if value is None else value


def _octal(field: bytes) -> int | None:
    digits = field.split(b"\0")[0].strip()
    try:
        return int(digits or b"0", 8) if not digits.startswith((b"-", b"+")) else None
    except ValueError:
        return None
