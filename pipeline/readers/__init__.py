"""Readers of sources: one module a kind of file, all of them streams in bounded memory."""

from pipeline.readers.base import Reader, Record, Split
from pipeline.readers.jsonl import JsonlReader
from pipeline.readers.parquet import ParquetReader
from pipeline.readers.warc import WarcReader

READERS: dict[str, type[Reader]] = {"warc": WarcReader, "jsonl": JsonlReader, "parquet": ParquetReader}
"""Every reader by the name that `use:` gives in a config."""

_PACKED = (".gz", ".zst", ".lz4")
_SUFFIXES = {
    ".warc": "warc",
    ".arc": "warc",
    ".wet": "warc",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def reader_for(path: str) -> str | None:
    """The name of the reader for a path or pattern, by its suffix; None if the suffix tells nothing."""
    name = path.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    if name != path.lower() and name.endswith(".parquet"):
        return None  # Parquet packs its own pages; a packed Parquet file cannot be read in parts
    return next((use for suffix, use in _SUFFIXES.items() if name.endswith(suffix)), None)


__all__ = ["READERS", "JsonlReader", "ParquetReader", "Reader", "Record", "Split", "WarcReader", "reader_for"]
