"""Exact deduplication: one key per document, for the same shuffle and the same clusters as MinHash."""

from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.base import Step
from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.kernels import text_hashes
from pipeline.dedup.minhash import utf8


class Exact(Step):
    """Find documents with the same words in the same order, whatever the source they came from.

    Two different documents share a key by chance in a run of a thousand million documents with probability 0.03.
    """

    normalize: bool = True
    """Compare words as MinHash sees them: without case, accents, punctuation, values of numbers and layout;
    otherwise bytes."""

    bands: ClassVar[int] = 1

    def band_keys(self, text: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Keys of documents, shape (n, 1), and which documents have any, shape (n,): those with a word, or a byte."""
        data, offsets = utf8(text)
        keys, found = text_hashes(data, offsets, alphabet(), self.normalize)
        return keys.reshape(-1, 1), found
