"""Exact deduplication: one key per document, for the same shuffle and the same clusters as MinHash."""

from collections.abc import Set

import polars as pl

from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.base import Documents, Signed
from pipeline.dedup.kernels import text_hashes
from pipeline.dedup.minhash import utf8, words
from pipeline.dedup.proof.sample import mixed


class Exact(Documents):
    """Find documents with the same words in the same order, whatever the source they came from.

    Two different documents share a key by chance in a run of a thousand million documents with probability 0.03.
    """

    normalize: bool = True
    """Compare words as MinHash sees them: without case, accents, punctuation, values of numbers and layout;
    otherwise bytes."""

    def band_count(self) -> int:
        return 1

    def sign(self, column: pl.Series) -> Signed:
        data, offsets = utf8(column)
        keys, found = text_hashes(data, offsets, alphabet(), self.normalize)
        return Signed(keys.reshape(-1, 1), found, sample=mixed(keys) if self.proof else None)

    def features(self, value: str) -> Set[str]:
        return {" ".join(words(value)) if self.normalize else value}
