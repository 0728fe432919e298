"""Sizes of the pages of a Parquet column, from their own headers, before anything is unpacked.

A page is unpacked as a whole, and the footer tells no size but the sum of a column's. Only the first fields of each
header are used (parquet-format, parquet.thrift, `PageHeader`); the rest is stepped over (Thrift compact protocol).
"""

from typing import Any, BinaryIO, NamedTuple

_HEAD = 16 << 10
_MAX_HEAD = 16 << 20  # as Arrow has it; statistics can hold values of the column
_MAX_DEPTH = 8


class _Page(NamedTuple):
    kind: int
    unpacked: int
    end: int


def dictionary_bytes(file: BinaryIO, chunk: Any) -> int:
    """The unpacked size of the dictionary of a column chunk, 0 without one."""
    if not chunk.has_dictionary_page:
        return 0
    page = _page(file, chunk.dictionary_page_offset)
    return page.unpacked if page is not None and page.kind == 2 else 0


def largest_page(file: BinaryIO, chunk: Any) -> int:
    """The unpacked size of the largest page of a column chunk, up to the first header that cannot be read."""
    at = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    end = at + chunk.total_compressed_size
    largest = 0
    while at < end and (page := _page(file, at)) is not None:
        largest = max(largest, page.unpacked)
        at = page.end
    return largest


def _page(file: BinaryIO, at: int) -> _Page | None:
    size = _HEAD
    while size <= _MAX_HEAD:
        file.seek(at)
        data = file.read(size)
        try:
            fields, length = _struct(data, 0, 0)
        except IndexError:
            if len(data) < size:
                return None
            size *= 32
        except ValueError:
            return None
        else:
            kind, unpacked, packed = (fields.get(number, -1) for number in (1, 2, 3))
            return None if min(kind, unpacked, packed) < 0 else _Page(kind, unpacked, at + length + packed)
    return None


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, int], int]:
    """The integers of a struct by field, and where it ends; IndexError where the data ends before."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    fields: dict[int, int] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        kind = head & 15
        if kind in (4, 5, 6):
            fields[number], at = _integer(data, at)
        elif kind > 2:  # the values of booleans are their types
            at = _after(kind, data, at, depth)
    return fields, at + 1


def _after(kind: int, data: bytes, at: int, depth: int) -> int:
    """Where a value ends."""
    if kind == 3:
        return at + 1
    if kind == 7:
        return at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return at + length
    if kind == 12:
        return _struct(data, at, depth + 1)[1]
    raise ValueError("no header of a page has this type")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("too long for an integer")
