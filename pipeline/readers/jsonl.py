"""JSON Lines, plain or packed: one object a line, and a bad line costs only itself."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

from pipeline.readers.base import Reader, Record, Split, byte_splits, open_binary
from pipeline.readers.columns import Columns, as_string, described, is_unicode
from pipeline.readers.records import PAYLOAD
from pipeline.readers.runs import Run, codec_of, runs
from pipeline.readers.windows import CHUNK, Source, Window, window


class JsonlReader(Reader):
    """JSON Lines: .jsonl, .ndjson and .json with one object a line, plain or packed with gzip or zstd.

    The offset of a record is that of its line in a plain file, and the number of its line (from 0) in a packed one. A
    line belongs to the split in which it starts; a packed file is one split. Blank lines are no records.
    """

    use: Literal["jsonl"] = "jsonl"
    version: ClassVar[int] = 1
    columns: Columns = Columns()

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if size > split_bytes:
            with open_binary(path) as file:
                if codec_of(window(file), path) is None:
                    return byte_splits(path, size, split_bytes)
        return [Split(path, 0, size)] if size else []

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with open_binary(split.path) as file:
            raw = window(file)
            codec = codec_of(raw, split.path)
            if codec is None:
                yield from self._plain(file, split)
                return
            number = 0
            for run in runs(raw, codec, 0, split.end, _never):
                for line in _lines(run, self.max_record_bytes):
                    if line.start == 0 and run.lost:
                        continue  # the end of a line that began in the damage
                    if not line.whole and run.damage is not None:
                        break
                    if record := self._record(number, line):
                        yield record
                    number += 1
                if run.damage is not None and not run.lost:
                    hit = _tail(run) or raw.peek(run.damage.at, PAYLOAD)
                    yield Record(number, html=hit, error=f"read.{run.damage.what}")
                    number += 1

    def _plain(self, file: Any, split: Split) -> Iterator[Record]:
        begin = max(split.start - 1, 0)  # a line starts here if the byte before ends one
        file.seek(begin)
        for line in _lines(file, self.max_record_bytes):
            if begin + line.start >= split.end:
                return
            if begin + line.start < split.start:
                continue
            if record := self._record(begin + line.start, line):
                yield record

    def _record(self, offset: int, line: "_Line") -> Record | None:
        data = line.data
        if line.too_large:
            return Record(offset, html=data[:PAYLOAD], error="read.too_large")
        if offset == 0:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if not data.strip():
            return None
        try:
            row = json.loads(data.decode("utf-8"))
        except UnicodeDecodeError:
            return Record(offset, html=data[:PAYLOAD], error="read.utf8")
        except (ValueError, RecursionError):
            return Record(offset, html=data[:PAYLOAD], error="read.json")
        if not isinstance(row, dict):
            return Record(offset, html=data[:PAYLOAD], error="read.json")
        others = {field: as_string(row.get(column)) for field, column in self.columns.optional.items()}
        record = described(offset, others)
        text = row.get(self.columns.text)
        error = None
        if text is None:
            error = "read.missing_text"
        elif not isinstance(text, str):
            error = "read.text_type"
        elif not is_unicode(text):
            error = "read.utf8"
        if error is not None:
            return record._replace(html=data[:PAYLOAD], error=error)
        if not str(text).strip():
            return record._replace(drop="read.empty")
        return record._replace(text=text)


class _Line(NamedTuple):
    start: int
    data: bytes
    whole: bool
    """It ends with a line end, or with the stream."""
    too_large: bool


def _never(head: bytes) -> bool:
    return False


def _tail(run: Run) -> bytes:
    """The bytes of the line at which a run ended."""
    text = Window(run)
    last = start = 0
    for line in _lines(run, PAYLOAD):
        last, start = line.start, line.start + len(line.data)
    return text.peek(last, min(PAYLOAD, start - last))


def _lines(source: Source, limit: int) -> Iterator[_Line]:
    """Lines with their positions, counted from where the source stands; one over `limit` bytes comes cut to a MiB."""
    start = 0
    pending = bytearray()
    dropped = 0
    while chunk := source.read(CHUNK):
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            pending += chunk[at:end]
            length = dropped + len(pending) + 1
            yield _Line(start, bytes(pending), True, length - 1 > limit)
            start += length
            pending.clear()
            dropped = 0
            at = end + 1
        pending += chunk[at:]
        if dropped + len(pending) > limit and len(pending) > PAYLOAD:
            dropped += len(pending) - PAYLOAD
            del pending[PAYLOAD:]
    if pending:
        yield _Line(start, bytes(pending), False, dropped + len(pending) > limit)
