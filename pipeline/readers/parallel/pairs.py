"""Pairs of a sentence and its translation out of Moses files, TMX and tables, with the place of each."""

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from pipeline.readers.members import Damage
from pipeline.readers.records import PAYLOAD
from pipeline.readers.runs import Run, codec_of
from pipeline.readers.windows import CHUNK, window

_UNIT = re.compile(rb"<tu[\s>]")
_UNIT_END = b"</tu>"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_INLINE = frozenset(("bpt", "ept", "ph", "it", "ut"))
"""Elements of TMX that hold the codes of a layout, not text (TMX 1.4b, section "Inline elements")."""


class Pair(NamedTuple):
    offset: int
    source: str
    target: str
    error: str | None = None
    data: bytes = b""
    """Of what could not be read."""


class Stream:
    """The unpacked bytes of a file; `damage` says why they end, where that is not the end."""

    def __init__(self, file: BinaryIO, path: str, start: int = 0) -> None:
        raw = window(file)
        codec = codec_of(raw, path)
        self.packed = codec is not None
        self._file = file
        self._run = Run(raw, codec, 0, lambda head: False) if codec is not None else None
        if self._run is None:
            file.seek(start)

    def read(self, size: int) -> bytes:
        return self._file.read(size) if self._run is None else self._run.read(size)

    @property
    def damage(self) -> Damage | None:
        return None if self._run is None else self._run.damage


class _Line(NamedTuple):
    start: int
    data: bytes
    too_large: bool


def lines(stream: Stream, start: int, limit: int) -> Iterator[_Line]:
    """Lines with their places; of one over `limit` bytes only the beginning."""
    pending = bytearray()
    dropped = 0
    while chunk := stream.read(CHUNK):
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            pending += chunk[at:end]
            length = len(pending) + dropped + 1
            yield _Line(start, bytes(pending), length > limit + 1)
            start += length
            pending.clear()
            dropped, at = 0, end + 1
        pending += chunk[at:]
        if len(pending) + dropped > limit and len(pending) > PAYLOAD:
            dropped += len(pending) - PAYLOAD
            del pending[PAYLOAD:]
    if pending:
        yield _Line(start, bytes(pending), len(pending) + dropped > limit)


def moses(source: Stream, target: Stream, limit: int) -> Iterator[Pair]:
    """Line by line out of two files; the place is that of the line in the first."""
    others = lines(target, 0, limit)
    last = 0
    for line in lines(source, 0, limit):
        last = line.start
        other = next(others, None)
        if other is None:
            what = target.damage.what if target.damage is not None else "line_count"
            yield Pair(line.start, "", "", what, line.data[:PAYLOAD])
            return
        yield _pair(line.start, [line, other], 0, 1)
    if source.damage is not None:
        yield Pair(last + 1, "", "", source.damage.what)
    elif (left := next(others, None)) is not None:
        yield Pair(last + 1, "", "", "line_count", left.data[:PAYLOAD])
    elif target.damage is not None:
        yield Pair(last + 1, "", "", target.damage.what)


def _pair(offset: int, found: list[_Line], first: int, second: int) -> Pair:
    if any(line.too_large for line in found):
        return Pair(offset, "", "", "too_large", found[0].data[:PAYLOAD])
    try:
        texts = [line.data.removeprefix(b"\xef\xbb\xbf" if line.start == 0 else b"").decode() for line in found]
    except UnicodeDecodeError:
        return Pair(offset, "", "", "utf8", b"\n".join(line.data for line in found)[:PAYLOAD])
    return Pair(offset, texts[first].strip(), texts[second].strip())


def table(stream: Stream, start: int, end: int, columns: tuple[int, int], limit: int) -> Iterator[Pair]:
    """Rows of a table with tabs between its columns, which begin from `start` to `end` of a plain file."""
    begin = max(start - 1, 0)  # a row starts here if the byte before ends one
    last = begin
    for line in lines(stream, begin, limit):
        if not stream.packed and line.start >= end:
            return
        if line.start < start:
            continue
        last = line.start
        yield _row(line, columns)
    if stream.damage is not None:
        yield Pair(last + 1, "", "", stream.damage.what)


def _row(line: _Line, columns: tuple[int, int]) -> Pair:
    whole = _pair(line.start, [line], 0, 0)
    if whole.error is not None or not whole.source:
        return whole
    cells = line.data.decode().removeprefix("\ufeff").rstrip("\r").split("\t")
    if len(cells) <= max(columns):
        return Pair(line.start, "", "", "columns", line.data[:PAYLOAD])
    return Pair(line.start, cells[columns[0]].strip(), cells[columns[1]].strip())


def memory(stream: Stream, languages: tuple[str, str], limit: int) -> Iterator[Pair]:
    """Units of a translation memory (TMX); those that lack one of the languages have empty texts.

    A parser that takes the file as a whole would end at the first error, so each unit is parsed alone.
    """
    utf8 = _utf8(stream)
    buffer = bytearray()
    base = last = 0
    while True:
        begin = _UNIT.search(buffer)
        end = buffer.find(_UNIT_END, begin.start()) if begin else -1
        if begin and end >= 0:
            end += len(_UNIT_END)
            following = _UNIT.search(buffer, begin.end(), end)
            stop = following.start() if following else end
            last = base + begin.start()
            yield _unit(last, bytes(buffer[begin.start() : stop]), languages, cut=following is not None)
            base += stop
            del buffer[:stop]
            continue
        if begin and len(buffer) - begin.start() > limit:
            last = base + begin.start()
            yield Pair(last, "", "", "too_large", bytes(buffer[begin.start() : begin.start() + PAYLOAD]))
            base += begin.end()
            del buffer[: begin.end()]
            continue
        keep = begin.start() if begin else max(0, len(buffer) - 4)
        base += keep
        del buffer[:keep]
        data = next(utf8, None)
        if data is None:
            break
        buffer += data
    what = stream.damage.what if stream.damage is not None else "truncated" if begin else None
    if what is not None:
        yield Pair(max(base, last + 1), "", "", what, bytes(buffer[:PAYLOAD]))


def _utf8(stream: Stream) -> Iterator[bytes]:
    """The text of an XML file in UTF-8: translation memories are often in UTF-16."""
    data = stream.read(CHUNK)
    decoder = None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
    while data:
        yield data if decoder is None else decoder.decode(data).encode("utf-8", "replace")
        data = stream.read(CHUNK)


def _unit(offset: int, data: bytes, languages: tuple[str, str], cut: bool) -> Pair:
    if cut:
        return Pair(offset, "", "", "truncated", data[:PAYLOAD])
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        unit = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return Pair(offset, "", "", "xml", data[:PAYLOAD])
    texts = ["", ""]
    for variant in unit.iter("{*}tuv"):
        language = (variant.get(_LANGUAGE) or variant.get("lang") or "").lower().replace("_", "-")
        for index, wanted in enumerate(languages):
            same = language == wanted.lower() or language.split("-")[0] == wanted.lower()
            if same and not texts[index]:
                texts[index] = " ".join(_segment(variant).split())
    return Pair(offset, texts[0], texts[1])


def _segment(variant: Any) -> str:
    """The text of a variant, without the codes of a layout."""
    segment = variant.find("{*}seg")
    if segment is None:
        return ""
    parts = [segment.text or ""]
    for element in segment.iterdescendants():
        inside_code = next(element.iterancestors(*_INLINE), None) is not None
        if isinstance(element.tag, str) and element.tag not in _INLINE and not inside_code:
            parts.append(element.text or "")
        if not inside_code:
            parts.append(element.tail or "")
    return "".join(parts)
