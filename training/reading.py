"""What a thread that makes a batch is about to read, noted before it touches it, for whoever waits for the batch.

A store is mapped into memory: where a disk does not answer, no call fails, but the thread stands still in the middle of
an instruction. If it held Python's lock there, everything would stand still with it, and nobody could say why. So what
a batch needs is touched first by compiled code that runs without the lock, page by page, and that writes down where it
is. The price is a pass over the places of a step's documents, a hundredth of the time that its batch takes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.kernels import Ints, compiled
from training.store.documents import Documents
from training.store.tokens import TokenStore

_PAGE = 2048
"""Tokens of two bytes in a page of memory: of larger ones a page is touched twice."""
_LOOK_UP = 1.0
"""Seconds that are spent on finding a document's id, which lies on the same disk."""
_thread = threading.local()


@compiled
def _touch(begins: Ints, ends: Ints, tokens: Any, page: int, at: Ints) -> int:
    """Read from every page of the stretches [begins[i], ends[i]) of `tokens`; `at[0]` is the stretch in hand."""
    seen = 0
    for i in range(len(begins)):
        at[0] = i
        for k in range(begins[i], ends[i], page):
            seen += tokens[k]
        seen += tokens[ends[i] - 1]
    return seen


class _Tokens(NamedTuple):
    """Stretches of tokens that are touched one after the other."""

    documents: Documents
    numbers: Ints
    begins: Ints
    ends: Ints
    at: Ints
    """(1,) the stretch in hand."""


class _Text(NamedTuple):
    """A document that is rearranged."""

    documents: Documents
    number: int


class Reading:
    """What is being read for the batch of a step, from 0."""

    def __init__(self, step: int) -> None:
        self.step = step
        self._at: Documents | _Tokens | _Text | None = None  # set in one go, so that another thread sees it whole

    @contextmanager
    def here(self) -> Iterator[None]:
        """Have `order_of` and `text_of` in this thread note here what they are told."""
        _thread.reading = self
        try:
            yield
        finally:
            _thread.reading = None

    def touch(self, documents: Documents, numbers: Ints, begins: Ints, ends: Ints) -> None:
        """Wait for the disk to have these stretches of tokens, of documents with these numbers, none of them empty."""
        at = np.zeros(1, np.int64)
        self._at = _Tokens(documents, numbers, begins, ends, at)
        _touch(begins, ends, documents.tokens, _PAGE, at)
        self._at = None

    def note(self, now: Documents | _Text | None) -> None:
        """What is read next says which documents come where, or is a text; None if nothing is."""
        self._at = now

    def place(self, store: TokenStore) -> dict[str, Any]:
        """Where the thread is, for a journal: source, file, and what is known of the document. Empty between reads."""
        now = self._at
        if now is None:
            return {}
        documents = now if isinstance(now, Documents) else now.documents
        source = next(name for name, mine in zip(store.sources, store.train, strict=True) if mine is documents)
        if isinstance(now, Documents):
            return {"source": source, "file": str(documents.folder)}
        if isinstance(now, _Text):
            return {"source": source, "document": now.number, **_named(documents, now.number)}
        i, size = int(now.at[0]), documents.tokens.itemsize
        number = int(now.numbers[i])
        return {
            "source": source,
            "file": str(documents.tokens_file),
            "bytes": [int(now.begins[i]) * size, int(now.ends[i]) * size],
            "document": number,
            **_named(documents, number),
        }


def order_of(documents: Documents) -> None:
    """Note that this thread is about to work out the order of documents, if it is one whose reading is noted."""
    reading: Reading | None = getattr(_thread, "reading", None)
    if reading is not None:
        reading.note(documents)


def text_of(documents: Documents, number: int) -> None:
    """Note that this thread is about to rearrange a document, if it is one whose reading is noted."""
    reading: Reading | None = getattr(_thread, "reading", None)
    if reading is not None:
        reading.note(_Text(documents, number))


def described(place: dict[str, Any]) -> str:
    """What `Reading.place` gives, in words."""
    if not place:
        return "it is being made of what was read"
    if "document" not in place:
        return f"the order of source '{place['source']}' is being read, in {place['file']}"
    known = f" ('{place['id']}' of {place['shard']})" if "id" in place else ""
    document = f"document {place['document']}{known} of source '{place['source']}'"
    if "bytes" not in place:
        return f"{document} is being rearranged"
    begin, end = place["bytes"]
    return f"{document} is being read, bytes {begin} to {end} of {place['file']}"


def _named(documents: Documents, number: int) -> dict[str, str]:
    """Id and shard of a document, unless the disk does not say them either."""
    found: list[tuple[str, Path]] = []
    thread = threading.Thread(target=lambda: found.append(documents.told(number)), daemon=True)
    thread.start()
    thread.join(_LOOK_UP)
    return {"id": found[0][0], "shard": str(found[0][1])} if found else {}
