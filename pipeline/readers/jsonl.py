"""JSON Lines, plain or packed: one object a line, and a bad line costs only itself."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pipeline.readers.base import Reader, Record, Split
from pipeline.readers.columns import ABSENT, Columns, Shapes, described, is_unicode, names_in, reach
from pipeline.readers.elements import Element
from pipeline.readers.lines import line_splits, lines
from pipeline.readers.pieces import head_of
from pipeline.readers.records import PAYLOAD

_HEAD = 256 << 10
_MANY = 10
"""So many rows without text are no accident but another kind of table."""


class JsonlReader(Reader):
    """JSON Lines: .jsonl, .ndjson and .json with one object a line, plain or packed with gzip, bzip2, zstd or LZ4.

    The offset of a record is that of its line in a plain file; in a packed one it is where the member begins in which
    the line begins, times 2**20, and the number of the line among those that begin there. A line belongs to the split
    in which it starts; a packed file is one split. Blank lines are no records.
    """

    use: Literal["jsonl"] = "jsonl"
    version: ClassVar[int] = 2
    columns: Columns = Columns()

    @property
    def told(self) -> Mapping[str, type]:
        return self.columns.told()

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        if size:
            self._check_text(path)
        return line_splits(path, size, split_bytes)

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        shapes = Shapes(self.columns.fields())
        for line in lines(split, self.max_record_bytes):
            if record := self._record(line, shapes):
                yield record

    def _record(self, line: Element, shapes: Shapes) -> Record | None:
        offset, data = line.offset, line.data
        if line.error is not None:
            return Record(offset, html=data, error=f"read.{line.error}")
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

        def find(name: str) -> Any:
            value = reach(row, name)
            return None if value is ABSENT else value

        record = described(offset, shapes.fields(row), self.columns.signals, find)
        text = next((found for name in self.columns.text if (found := reach(row, name)) is not ABSENT), None)
        error = record.error
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

    def _check_text(self, path: str) -> None:
        """Raise ValueError for a file of rows that have no text: that is a wrong setting, not damage."""
        known: dict[str, None] = {}
        rows = 0
        for line in head_of(path, _HEAD).split(b"\n")[:-1]:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(row, dict):
                continue
            if any(reach(row, name) is not ABSENT for name in self.columns.text):
                return
            rows += 1
            known |= dict.fromkeys(names_in(row))
        if rows >= _MANY:
            raise ValueError(self.columns.no_text(list(known)))
