"""Files that lie elsewhere, read as if they lay here: what fails is tried again, and never looks like a file's end.

A reader takes what a file gives for the truth: bytes that are missing are damage, and damage goes into quarantine. So
here a read gives all its bytes or raises RemoteError, which no reader catches: the task fails, nothing of it is
written, and the same command goes on from there. A file that changes on the way is an error too.
"""

import io
import logging
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, TypeVar, cast

from pipeline.readers.stores import Facts, Refused, RemoteError, store_for

log = logging.getLogger("gristmill")

TRIES = 10
"""Of a request while a task reads: about three minutes in all before it is given up, if nothing hangs."""
TRIES_AT_FIRST = 4
"""While a run is planned, where a wrong address is likelier than a busy server: about five seconds."""
SECONDS = 1.0
"""Before the second try; doubled with each."""
MOST_SECONDS = 60.0
IN_ALL = 300.0
"""Seconds after which nothing is tried again: well below what a worker may take before it counts as stuck."""
_BUFFER = 256 << 10
_GROWTH = 16
_FOR_GOOD = (
    RemoteError,
    FileNotFoundError,
    IsADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    MemoryError,
)

_expected: Mapping[str, Facts] = {}

Result = TypeVar("Result")


def is_remote(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


@contextmanager
def expecting(files: Mapping[str, Facts]) -> Iterator[None]:
    """Within this, the files named must be what they were when the facts about them were gathered."""
    global _expected
    before, _expected = _expected, files
    try:
        yield
    finally:
        _expected = before


def facts(path: str, tries: int = TRIES) -> Facts:
    """Size and version of a file; raises FileNotFoundError or RemoteError."""
    return persist(path, lambda: store_for(path).facts(), tries)


def open_remote(path: str) -> BinaryIO:
    """Open a URL for reading with seek; raises FileNotFoundError if nothing is there, else RemoteError."""
    return cast(BinaryIO, io.BufferedReader(_RemoteFile(path), _BUFFER))


class _RemoteFile(io.RawIOBase):
    """A stream over a store. What is read in order comes with few requests: each may bring 16 times what the one before
    brought, since the first ones often only look at the head of a file or skip."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._store = store_for(path)
        self._facts = _expected.get(path) or persist(path, self._store.facts)
        self._position = 0
        self._pieces: Generator[bytes] | None = None
        self._piece = memoryview(b"")
        """What has come and is not read yet; it begins at the position."""
        self._size = _BUFFER

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._facts.size}[whence]
        if position < 0:
            raise ValueError(f"negative position {position}")
        ahead = position - self._position
        if 0 <= ahead <= len(self._piece):
            self._piece = self._piece[ahead:]
        else:
            self._stop()
            self._size = _BUFFER
        self._position = position
        return position

    def readinto(self, buffer: object) -> int:
        into = memoryview(cast(bytearray, buffer)).cast("B")
        if self._position >= self._facts.size or not into:
            return 0
        if not self._piece:
            self._piece = memoryview(persist(self._path, self._next))
        size = min(len(into), len(self._piece))
        into[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        self._position += size
        return size

    def close(self) -> None:
        self._stop()
        super().close()

    def _next(self) -> bytes:
        try:
            while True:
                if self._pieces is None:
                    end = min(self._position + self._size, self._facts.size)
                    self._pieces = self._store.pieces(self._position, end, self._facts)
                if piece := next(self._pieces, b""):
                    return piece
                self._pieces = None
                self._size = min(self._size * _GROWTH, self._store.most)
        except FileNotFoundError as error:
            raise RemoteError(f"{self._path} is no longer there") from error
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        """Give up the request that is under way, if any."""
        if self._pieces is not None:
            self._pieces.close()
        self._pieces = None
        self._piece = memoryview(b"")


def persist(path: str, action: Callable[[], Result], tries: int | None = None) -> Result:
    """Do something with a file elsewhere; if it fails, again and again, waiting longer each time.

    Raises FileNotFoundError at once, and RemoteError if it cannot help to try again or all tries are used up.
    """
    tries = tries or TRIES
    begun = time.monotonic()
    for attempt in range(1, tries + 1):
        try:
            return action()
        except _FOR_GOOD:
            raise
        except Exception as error:  # whatever the client of a store raises: its kinds cannot be listed
            if type(error).__name__ == "NoCredentialsError":
                raise RemoteError(
                    f"{path}: no credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or for a "
                    "public bucket FSSPEC_S3_ANON=true, in the environment of every worker"
                ) from error
            why = f"{type(error).__name__}: {error}" if not isinstance(error, Refused) else str(error)
            seconds = time.monotonic() - begun
            if attempt == tries or seconds > IN_ALL:
                raise RemoteError(
                    f"{path}: {why} ({attempt} tries in {seconds:.0f} s); nothing of it is lost: give the same command "
                    "again later, with fewer workers if the server says that they are too many"
                ) from error
            asked = error.retry_after if isinstance(error, Refused) else None
            wait = min(SECONDS * 2 ** (attempt - 1), MOST_SECONDS) * random.uniform(0.5, 1.0)
            if asked is not None:
                wait = min(asked, MOST_SECONDS)
            if attempt == tries // 2 and tries == TRIES:
                log.warning("%s: %s; trying again, %d of %d", path, why, attempt + 1, tries)
            time.sleep(wait)
    raise AssertionError("unreachable")
