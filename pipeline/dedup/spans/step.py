"""What steps that deduplicate parts of documents have in common."""

import unicodedata
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from pipeline.dedup.bands import KEY_SPACE
from pipeline.dedup.base import Dedup
from pipeline.dedup.spans.rows import COPY, Rows, stable_order

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


class SpanStep(Dedup):
    """Cut out spans of text that occur before, in any document of any source; what is left must be enough."""

    units: ClassVar[Mapping[str, str]] = {
        "cut": "characters",
        "pieces": "pieces",
        "keeper": "ordinal of the document that keeps the copy of the longest piece",
        "dropped": "reason",
    }

    apart: ClassVar[bool] = False
    """Whether each span that is cut is told for itself, not with its neighbours."""

    rounds: ClassVar[int] = 1
    """How often rows are sorted."""

    min_words_left: Annotated[int, Field(ge=1)] = 1
    """A document that a cut leaves with fewer words is dropped; what nothing is cut from stays, however short."""

    @property
    def copies_kept(self) -> int:
        """So many spans of a key stay."""
        return 1

    def identity(self) -> Mapping[str, str]:
        # Which characters are white space, and which end sentences, comes with Python.
        return {"unicode": unicodedata.unidata_version}

    @abstractmethod
    def spans(self, text: pl.Series, ordinals: Rows) -> Rows:
        """The spans that take part, in the order of the documents and their places."""

    @abstractmethod
    def stretches(self, data: Bytes, offsets: Ints, docs: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
        """What is cut for these spans, which are sorted: documents, starts and ends, disjoint and sorted."""

    def warm_up(self) -> None:
        """Have everything compiled that a step calls, from its spans to the texts without them."""
        from pipeline.dedup.spans.copies import KeyTable
        from pipeline.dedup.spans.strike import cut_copies

        columns = dict.fromkeys(("id", "source", "text", "reason", "error"), pl.String)
        docs = pl.DataFrame(schema={"ordinal": pl.UInt64, **columns})
        rows = self.spans(docs["text"], docs["ordinal"].to_numpy())
        table = KeyTable(0, KEY_SPACE, 0)
        table.count(rows), table.often(rows, 1)
        stable_order(np.empty(0, np.uint64))
        cut_copies(docs, {"step": self}, {"step": np.empty((0, COPY), np.uint64)})

    def enough(self, text: pl.Series) -> NDArray[np.bool_]:
        """Whether what cuts have left of each document is enough."""
        from filters.words import buffers
        from pipeline.dedup.alphabet import alphabet
        from pipeline.dedup.spans.words import count_words

        counts: NDArray[np.int64] = count_words(*buffers(text), alphabet())
        return counts >= self.min_words_left
