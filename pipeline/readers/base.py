"""What a reader is: it cuts a file into splits, and turns a split into records, the good and the damaged ones alike."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO, ClassVar, NamedTuple

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from pipeline.readers.remote import is_remote, open_remote

MiB = 1 << 20


class Split(NamedTuple):
    """A part of one file: bytes `start` to `end`, the end excluded."""

    path: str
    start: int
    end: int


class Record(NamedTuple):
    """One record of a source. At most one of `drop` and `error` is set; where neither is, `text` or `html` is there."""

    offset: int
    """Where the record begins, unique in its file; see the reader for the unit."""
    text: str | None = None
    html: bytes | None = None
    """The page as it was sent; of a damaged record up to 1 MiB of its bytes, for inspection."""
    url: str | None = None
    date: str | None = None
    content_type: str | None = None
    charset: str | None = None
    language: str | None = None
    doc_id: str | None = None
    title: str | None = None
    author: str | None = None
    """Names with `; ` between them."""
    license: str | None = None
    """As the source gives it: an SPDX expression where it has one, else a name or an address."""
    signals: Mapping[str, int | float | bool | str | None] = {}
    """What else the source tells, by the names in the reader's `told`."""
    drop: str | None = None
    """Why a well-formed record is no document, such as `read.content_type`."""
    error: str | None = None
    """Why the record goes into quarantine, such as `read.truncated`."""


class Reader(BaseModel, ABC):
    """A kind of file. Every record of a file belongs to exactly one of its splits, however large they are.

    Damage is a record with `error`; what lies before and after it is read all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    use: str
    """The name under which READERS knows this kind; each reader narrows it to its own."""

    version: ClassVar[int] = 1
    """Raised when the same file gives other records than before, so that runs made earlier become stale."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Of files that it takes from a folder, in lower case, besides those that `use: auto` gives to it."""

    renders_html: ClassVar[bool] = False
    """Its records have HTML in them, which compiled code turns into text."""

    signals: ClassVar[Mapping[str, type]] = {}
    """What it tells of records besides their text, by name: int, float, bool or str. `read.<name>` is the column."""
    units: ClassVar[Mapping[str, str]] = {}
    """Of each signal."""

    @property
    def told(self) -> Mapping[str, type]:
        """The signals of this one source: those of its kind, or what its settings make of them."""
        return self.signals

    max_record_bytes: ByteSize = Field(default=ByteSize(64 * MiB), ge=1 << 10)
    """A record that is larger, packed or unpacked, becomes the error `read.too_large` and is never held in memory."""

    def takes(self, name: str) -> bool:
        """Whether a file in a folder is of this kind, by its name in lower case."""
        return name.endswith(self.suffixes)

    @abstractmethod
    def splits(self, size: int, path: str, split_bytes: int) -> list[Split]:
        """Cut the file at `path` of `size` bytes into parts of about `split_bytes`; none if it is empty.

        Raises ValueError where the file as a whole cannot serve, such as a Parquet file without the text column.
        """

    @abstractmethod
    def read(self, split: Split, ignored: Counter[str]) -> Iterator[Record]:
        """Yield the records that begin in `split`, in order; those that are no documents at all are only counted."""


def open_binary(path: str) -> BinaryIO:
    """Open a local path, or any URL that fsspec knows, for reading with seek.

    Raises OSError if it is not there or is no file, and RemoteError, which is none, if it cannot be had just now.
    """
    return open_remote(path) if is_remote(path) else open(path, "rb")


def byte_splits(path: str, size: int, split_bytes: int) -> list[Split]:
    """Cut `size` bytes into nearly equal parts of at most `split_bytes`."""
    count = max(1, -(-size // split_bytes)) if size else 0
    return [Split(path, size * i // count, size * (i + 1) // count) for i in range(count)]
