"""TensorBoard's event files, written without TensorBoard: numbers and texts by step.

A file is a row of TFRecords (length, checksum, bytes, checksum), each a protocol buffer `Event` (tensorflow/core/util/
event.proto, framework/summary.proto). Of those only a few fields are needed, so they are encoded here, and a run can
write them on a machine that has neither TensorBoard nor its dependencies. Each event is one write: what a killed run
leaves is whole but for its last record, which readers wait for.
"""

import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_START, _STRING = 1, 7
"""SessionLog.START; DT_STRING."""


class EventFile:
    """A new file in a folder of events. Numbers of earlier files from step `start` on are void for TensorBoard."""

    def __init__(self, folder: Path, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # files are read in the order of their names, so these have nanoseconds
        path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._file = path.open("xb", buffering=0)
        self._write(0, _field(3, b"brain.Event:2"))
        if start:
            self._write(start, _field(7, _number(1, _START)))

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers by name."""
        summaries = (
            _field(1, _field(1, name.encode()) + _key(2, _FIXED32) + struct.pack("<f", value))
            for name, value in values.items()
        )
        self._write(step, _field(5, b"".join(summaries)))

    def text(self, step: int, name: str, markdown: str) -> None:
        """Write a text, which TensorBoard shows as Markdown."""
        one = _field(2, _field(2, _number(1, 1)))
        tensor = _field(8, _number(1, _STRING) + one + _field(8, markdown.encode()))
        plugin = _field(9, _field(1, _field(1, b"text")))
        self._write(step, _field(5, _field(1, _field(1, name.encode()) + plugin + tensor)))

    def close(self) -> None:
        """Everything is written already; this gives the file back."""
        self._file.close()

    def _write(self, step: int, what: bytes) -> None:
        event = _key(1, _FIXED64) + struct.pack("<d", time.time()) + _number(2, step) + what
        length = struct.pack("<Q", len(event))
        self._file.write(
            length + struct.pack("<I", _checksum(length)) + event + struct.pack("<I", _checksum(event)),
        )


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _field(field: int, value: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(value)) + value


def _table() -> tuple[int, ...]:
    """CRC-32C of every byte (Castagnoli et al. 1993; RFC 3720, appendix B.4)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC = _table()


def _checksum(data: bytes) -> int:
    """CRC-32C, turned and shifted as TFRecords have it, so that a checksum of checksums is no fixed point."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
