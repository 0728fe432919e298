"""Parquet tables: row groups are the parts, and only the columns that a document needs are read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.readers.base import Reader, Record, Split, open_binary
from pipeline.readers.columns import Columns, described
from pipeline.readers.leaves import Place, check, column, places_of, value
from pipeline.readers.pages import dictionary_bytes, largest_page
from pipeline.readers.records import PAYLOAD

_ROWS = 256
_BATCH_BYTES = 32 << 20
_MAX_PAGE = 640 << 20  # unpacked as a whole. Most are of a MiB; Arrow puts 1,024 values into one, such as whole books


class ParquetReader(Reader):
    """Parquet files. A row group belongs to the split that holds its first byte; the offset of a record is its row."""

    use: Literal["parquet"] = "parquet"
    version: ClassVar[int] = 2
    columns: Columns = Columns()

    @property
    def told(self) -> Mapping[str, type]:
        return self.columns.told()

    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        with open_binary(path) as source:
            file = _open(source)
            check(file.schema_arrow, self.columns)
            starts = _group_starts(file)
        splits: list[Split] = []
        begin = 0
        for following in [*starts[1:], size] if starts else []:
            if following - begin >= split_bytes or following == size:
                splits.append(Split(path, begin, following))
                begin = following
        return splits

    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        with open_binary(split.path) as source:
            file = _open(source)
            text = check(file.schema_arrow, self.columns)
            row = 0
            for group, start in enumerate(_group_starts(file)):
                if split.start <= start < split.end:
                    yield from self._group(file, source, group, row, text)
                row += file.metadata.row_group(group).num_rows

    def _group(self, file: pq.ParquetFile, source: BinaryIO, group: int, row: int, text: Place) -> Iterator[Record]:
        places = places_of(file.schema_arrow, self.columns)
        fields = {field: [name for name in names if name in places] for field, names in self.columns.fields().items()}
        columns = list(dict.fromkeys([text.selected, *(place.selected for place in places.values())]))
        try:
            rows = _batch_rows(source, file.metadata.row_group(group), columns)
            if rows == 0:
                yield Record(row, html=b"", error="read.too_large")
                return
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                texts = column(batch, text).cast(pa.large_binary())
                sizes = pc.binary_length(texts)
                found = {name: column(batch, place) for name, place in places.items()}
                for index, data in enumerate(texts):

                    def find(name: str, index: int = index, found: dict[str, pa.Array] = found) -> Any:
                        return value(found[name], index, places[name]) if name in found else None

                    record = described(row, fields, self.columns.signals, find)
                    if (sizes[index].as_py() or 0) > self.max_record_bytes:
                        hit = bytes(memoryview(data.as_buffer())[:PAYLOAD])
                        yield record._replace(html=hit, error="read.too_large")
                    else:
                        yield _with_text(record, data.as_py())
                    row += 1
        except (OSError, pa.ArrowException) as error:
            # A page of a row group cannot be decoded without those before it; other row groups can.
            yield Record(row, html=str(error).encode()[:PAYLOAD], error="read.corrupt")


def _with_text(record: Record, data: bytes | None) -> Record:
    if data is None:
        return record._replace(html=b"", error="read.missing_text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return record._replace(html=data[:PAYLOAD], error="read.utf8")
    if record.error is not None:
        return record._replace(html=data[:PAYLOAD])
    if not text.strip():
        return record._replace(drop="read.empty")
    return record._replace(text=text)


def _open(source: BinaryIO) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, memory_map=False, pre_buffer=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file system; of a damaged footer it has no number
        raise ValueError(f"no readable Parquet file: {error}") from None


def _batch_rows(source: BinaryIO, group: pq.RowGroupMetaData, columns: list[str]) -> int:
    """As many rows as take about `_BATCH_BYTES` on average, fewer with a large dictionary; 0 with too large a page."""
    chunks = [group.column(index) for index in range(group.num_columns)]
    whole = tuple(f"{column}." for column in columns)
    read = [chunk for chunk in chunks if f"{chunk.path_in_schema}.".startswith(whole)]
    size = max(1, group.total_byte_size // max(1, group.num_rows))
    rows = min(_ROWS, max(1, _BATCH_BYTES // size))
    for chunk in read:
        if chunk.total_uncompressed_size > _MAX_PAGE and largest_page(source, chunk) > _MAX_PAGE:
            return 0
        if dictionary := dictionary_bytes(source, chunk):  # each row can be all of it
            rows = min(rows, max(1, _MAX_PAGE // dictionary))
    return int(rows)


def _group_starts(file: pq.ParquetFile) -> list[int]:
    """The offset in the file of the first byte of each row group."""
    starts = []
    for group in range(file.metadata.num_row_groups):
        chunks = file.metadata.row_group(group)
        first = chunks.column(0)
        starts.append(min(first.data_page_offset, first.dictionary_page_offset or first.data_page_offset))
    return starts
