"""Lines or paragraphs that occur before, anywhere in the corpus, as CCNet removes them."""

from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from filters.compiled import compiled
from filters.hashing import I64, U64, Bytes, Hashes, Ints, kernel
from filters.words import buffers
from pipeline.dedup.alphabet import Alphabet, alphabet
from pipeline.dedup.spans.rows import Rows, rows_of
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.words import next_word, span_hash

_NEWLINE, _RETURN, _SPACE = ord("\n"), ord("\r"), ord(" ")


class Lines(SpanStep):
    """Cut out lines, or paragraphs, that occur before in any document of any source, but for the first ones.

    Lines are compared by their words: small letters without accents and punctuation, every number a 0. A line without a
    letter or digit is never cut. Lines end with a newline.
    """

    source: ClassVar[str] = (
        "Wenzek et al. 2020, CCNet: Extracting High Quality Monolingual Datasets from Web Crawl Data, section 3"
    )

    apart: ClassVar[bool] = True

    unit: Literal["line", "paragraph"] = "line"
    """What is compared: single lines, or paragraphs, which lines without a word part."""
    keep: Annotated[int, Field(ge=1)] = 1
    """So many of the same stay: the first ones, in the order of the sources and their files."""
    min_words: Annotated[int, Field(ge=1)] = 1
    """Shorter lines are left alone."""
    min_chars: Annotated[int, Field(ge=0)] = 0
    """Lines of fewer characters, spaces at the ends aside, are left alone."""

    @property
    def copies_kept(self) -> int:
        return self.keep

    def spans(self, text: pl.Series, ordinals: Rows) -> Rows:
        data, offsets = buffers(text)
        settings = self.unit == "paragraph", self.min_words, self.min_chars
        return rows_of(ordinals, *lines(data, offsets, alphabet(), *settings))

    def stretches(self, data: Bytes, offsets: Ints, docs: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
        return docs, starts, ends


@compiled
def lines(
    data: Bytes, offsets: Ints, letters: Alphabet, paragraphs: bool, min_words: int, min_chars: int
) -> tuple[Ints, Ints, Ints, Hashes]:
    """Find lines, or paragraphs: document, start and end in bytes of the document, key.

    A line is all up to the newline. A paragraph goes from the first line with a word up to the last one before one
    without any.
    """
    most = len(offsets)
    for i in range(offsets[0], offsets[-1]):
        most += I64(data[i] == _NEWLINE)
    docs, starts, ends = np.empty(most, I64), np.empty(most, I64), np.empty(most, I64)
    keys = np.empty(most, U64)
    found = 0
    for document in range(len(offsets) - 1):
        begin, last = offsets[document], offsets[document + 1]
        at, first, end = begin, -1, begin
        while at <= last:
            stop = at
            while stop < last and data[stop] != _NEWLINE:
                stop += 1
            blank = paragraphs and next_word(data, at, stop, letters)[1] == stop
            if not blank:
                first = at if first < 0 else first
                end = stop - 1 if stop > at and data[stop - 1] == _RETURN else stop
            if first >= 0 and (blank or stop == last or not paragraphs):
                key, words = span_hash(data, first, end, letters)
                if words >= min_words and (min_chars == 0 or _characters(data, first, end) >= min_chars):
                    docs[found], starts[found], ends[found], keys[found] = document, first - begin, end - begin, key
                    found += 1
                first = -1
            at = stop + 1
    return docs[:found], starts[:found], ends[:found], keys[:found]


@kernel
def _characters(data: Bytes, first: int, last: int) -> int:
    """Count characters between the first and the last that is no white space of ASCII."""
    while first < last and data[first] <= _SPACE:
        first += 1
    while first < last and data[last - 1] <= _SPACE:
        last -= 1
    count = 0
    for i in range(first, last):
        count += I64(data[i] & 0xC0 != 0x80)
    return count
