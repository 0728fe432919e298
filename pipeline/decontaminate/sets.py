"""Evaluation sets as files: JSON Lines or Parquet, with the columns that hold question and answer.

Files are of this machine, and are read as a whole before any document is: an item that cannot be read is an error, not
an item less.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from functools import lru_cache
from glob import glob
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from filters import assets
from pipeline.readers.columns import ABSENT, Names, among, as_string, names_in, reach

_LINES, _TABLES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz"), (".parquet",)
_ROWS = 4096


class Item(NamedTuple):
    """One item of a set: the texts that its columns hold, with a line end between those of several columns."""

    question: str
    answer: str


def _there(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns, if each of them names files that can be read."""
    for pattern in patterns:
        files = _matching(pattern)
        if not files:
            raise ValueError(f"no file matches {pattern}")
        for file in files:
            if not file.endswith((*_LINES, *_TABLES)):
                raise ValueError(f"{file}: an evaluation set ends with {', '.join((*_LINES, *_TABLES))}")
    return patterns


def _matching(pattern: str) -> list[str]:
    if Path(pattern).is_file():
        return [pattern]
    return sorted(file for file in glob(pattern, recursive=True) if Path(file).is_file())


class _Files(BaseModel):
    """Files whose rows have texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: Annotated[Names, Field(min_length=1), AfterValidator(_there)]

    @property
    def files(self) -> list[str]:
        """All files, in the order of the paths and by name within a pattern."""
        return list(dict.fromkeys(file for pattern in self.paths for file in _matching(pattern)))

    def sha256(self) -> str:
        """A hash of what the files hold."""
        return hashlib.sha256("".join(map(_sha256, self.files)).encode()).hexdigest()


def _has(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """The names, if the first row of each file has columns of these names."""
    for file in (file for pattern in info.data.get("paths", ()) for file in _matching(pattern)):
        row = next(_rows(file, names), None)
        for name in names if row is not None else ():
            if reach(row, name) is ABSENT:
                raise ValueError(f"no column '{name}' in {file}; {among(name, names_in(next(_rows(file, ()))))}")
    return names


Columns = Annotated[Names, AfterValidator(_has)]


class EvaluationSet(_Files):
    """The files of one set, and which of their columns say what is asked and what is told."""

    question: Annotated[Columns, Field(min_length=1)]
    """One column or several; `a.b` is the key `b` of the object under `a`. The texts of a list, such as choices, count
    one after the other."""
    answer: Columns = ()

    def items(self) -> Iterator[Item]:
        """All items in order; raises ValueError naming the file, and the line if there is one, that cannot be read."""
        for file in self.files:
            for row in _rows(file, (*self.question, *self.answer)):
                yield Item(_text(row, self.question), _text(row, self.answer))


class OrdinaryTexts(_Files):
    """A sample of the documents, by which phrases that many of them have are known."""

    text: Annotated[Columns, Field(min_length=1, validate_default=True)] = ("text",)
    documents: Annotated[int, Field(ge=1)] = 10
    """A 5-gram in more of them is ordinary; Brown et al. 2020 have this number for 13-grams."""

    def texts(self) -> Iterator[str]:
        """All texts; raises ValueError as `items` does."""
        for file in self.files:
            for row in _rows(file, self.text):
                yield _text(row, self.text)


def _sha256(file: str) -> str:
    stat = Path(file).stat()
    return _hashed(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(file: str, size: int, stamp: int) -> str:
    return assets.file_sha256(Path(file))


def _rows(file: str, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The rows of a file with the columns that names need, all for no names."""
    try:
        yield from _table(file, names) if file.endswith(_TABLES) else _lines(file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException) as error:
        raise ValueError(f"{file}: cannot be read ({error})") from error


def _lines(file: str) -> Iterator[dict[str, Any]]:
    with gzip.open(file) if file.endswith(".gz") else open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file}:{number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"{file}:{number}: a line is an object, found {type(row).__name__}")
            yield row


def _table(file: str, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(file) as table:
        roots = [root for root in table.schema_arrow.names if any(f"{name}.".startswith(f"{root}.") for name in names)]
        for batch in table.iter_batches(_ROWS, columns=roots if names else None, use_threads=False):
            yield from batch.to_pylist()


def _text(row: dict[str, Any], names: tuple[str, ...]) -> str:
    return "\n".join(filter(None, (_flat(reach(row, name)) for name in names)))


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return "\n".join(filter(None, map(_flat, value)))
    return "" if value is ABSENT else as_string(value) or ""
