"""Readers of sources: one module a kind of file, all of them streams in bounded memory."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.readers.base import Reader, Record, Split

if TYPE_CHECKING:
    from pipeline.readers.books import BooksReader
    from pipeline.readers.code import CodeReader
    from pipeline.readers.html import HtmlReader
    from pipeline.readers.jsonl import JsonlReader
    from pipeline.readers.latex import LatexReader
    from pipeline.readers.parallel import ParallelReader
    from pipeline.readers.parquet import ParquetReader
    from pipeline.readers.pdf import PdfReader
    from pipeline.readers.stackexchange import StackExchangeReader
    from pipeline.readers.threads import ThreadsReader
    from pipeline.readers.warc import WarcReader
    from pipeline.readers.wikipedia import WikipediaReader

_CLASSES = {
    "warc": "WarcReader",
    "jsonl": "JsonlReader",
    "parquet": "ParquetReader",
    "code": "CodeReader",
    "latex": "LatexReader",
    "books": "BooksReader",
    "parallel": "ParallelReader",
    "pdf": "PdfReader",
    "html": "HtmlReader",
    "wikipedia": "WikipediaReader",
    "stackexchange": "StackExchangeReader",
    "threads": "ThreadsReader",
}
"""The class of each kind, in the module of that name: imported when it is asked for, since a run has few of them."""


class _Readers(Mapping[str, type[Reader]]):
    def __getitem__(self, use: str) -> type[Reader]:
        name = _CLASSES[use]
        kind: type[Reader] = getattr(import_module(f"{__name__}.{use}"), name)
        return kind

    def __contains__(self, use: object) -> bool:
        return use in _CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


READERS: Mapping[str, type[Reader]] = _Readers()
"""Every reader by the name that `use:` gives in a config."""


def __getattr__(name: str) -> Any:
    for use, kind in _CLASSES.items():
        if kind == name:
            return READERS[use]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


_PACKED = (".gz", ".zst", ".lz4")
_SUFFIXES = {
    ".warc": "warc",
    ".arc": "warc",
    ".wet": "warc",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.bz2": "jsonl",
    ".json.bz2": "jsonl",
    ".ndjson.bz2": "jsonl",
    ".parquet": "parquet",
    ".whl": "code",
    ".crate": "code",
    ".tex": "latex",
    ".epub": "books",
    ".tmx": "parallel",
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}

_NAMES = (
    (re.compile(r"-pages-(?:articles|meta-current|meta-history)(?!.*-index)"), "wikipedia"),
    (re.compile(r"(?:^|[/-])posts\.xml(?:\.(?:gz|bz2|zst))?$"), "stackexchange"),
)
"""Files that are known by how they are called, since .xml alone tells nothing."""


def reader_for(path: str) -> str | None:
    """The name of the reader for a path or pattern, by its name or suffix; None if they tell nothing."""
    name = path.lower()
    for pattern, use in _NAMES:
        if pattern.search(name):
            return use
    for packed in _PACKED:
        name = name.removesuffix(packed)
    if name != path.lower() and name.endswith(".parquet"):
        return None  # Parquet packs its own pages; a packed Parquet file cannot be read in parts
    return next((use for suffix, use in _SUFFIXES.items() if name.endswith(suffix)), None)


__all__ = [
    "READERS",
    "BooksReader",
    "CodeReader",
    "HtmlReader",
    "JsonlReader",
    "LatexReader",
    "ParallelReader",
    "ParquetReader",
    "PdfReader",
    "Reader",
    "Record",
    "Split",
    "StackExchangeReader",
    "ThreadsReader",
    "WarcReader",
    "WikipediaReader",
    "reader_for",
]
