"""MinHash signatures of documents and the band keys under which near-duplicates meet.

Two documents whose sets of shingles (word n-grams) have the Jaccard similarity s agree in each place of their
signatures with probability s, and in at least one whole band with probability 1 - (1 - s^rows)^bands
(Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4). The defaults are FineWeb's.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from filters.base import Step
from filters.words import Segmenter, buffers, segmenter_version, word_starts
from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.kernels import band_hashes, signatures, split_words

Count = Annotated[int, Field(ge=1)]


class MinHash(Step):
    """Find documents that share most of their shingles, whatever the source they came from.

    Words are normalised as `pipeline.dedup.alphabet` says. A document of fewer than `shingle` words is one shingle of
    all its words, so copies of short documents are found too. A document without a single letter or digit, or without
    text, has no signature and is nobody's duplicate.
    """

    source: ClassVar[str] = (
        "Broder 1997, On the Resemblance and Containment of Documents; Penedo et al. 2024, The FineWeb Datasets, "
        "section 3.4, for the settings"
    )

    shingle: Count = 5
    """Words in a shingle. Longer ones see fewer documents as similar."""
    bands: Annotated[int, Field(ge=1, le=1000)] = 14
    rows: Count = 8
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 1
    """Chooses the permutations. Keys of different seeds never match."""
    hash: Literal["fast", "datasketch"] = "fast"
    """How a shingle is hashed. `datasketch` gives the signatures of `datasketch.MinHash(num_perm=bands * rows,
    seed=seed)` (version 2, scheme affine32) over the same shingles, at an eighth of the speed."""

    segmenter: Segmenter = "characters"
    """What a word is in scripts without spaces: each letter, or what ICU's dictionaries say. Five of those words are
    more than five letters, so `icu` sees fewer documents as similar."""

    def identity(self) -> Mapping[str, str]:
        return segmenter_version(self.segmenter)

    def signature(self, text: pl.Series) -> NDArray[np.uint32]:
        """Signatures of documents, shape (n, bands * rows); 2^32 - 1 in every place where a document has no word."""
        return self._sign(text)[0]

    def band_keys(self, text: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Keys of documents, shape (n, bands), and which documents have any, shape (n,)."""
        signature, found = self._sign(text)
        return band_hashes(signature, self.bands, self.rows), found

    def _sign(self, text: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        data, offsets = utf8(text)
        out = np.empty((len(text), self.bands * self.rows), np.uint32)
        factors, terms = _permutations(self.seed, self.bands * self.rows)
        heads, sha1 = word_starts(data, offsets, self.segmenter), self.hash == "datasketch"
        found = signatures(data, offsets, alphabet(), heads, self.shingle, sha1, factors, terms, out)
        return out, found

    def probability(self, similarity: float) -> float:
        """The chance that two documents of this Jaccard similarity, 0 to 1, share a band key."""
        if not 0 <= similarity <= 1:
            raise ValueError(f"a Jaccard similarity is between 0 and 1, not {similarity}")
        return float(1 - (1 - similarity**self.rows) ** self.bands)

    def shingles(self, text: str) -> list[str]:
        """The shingles of one document in their order: what `datasketch` has to hash, what a Jaccard index is of."""
        found = words(text, self.segmenter)
        size = min(self.shingle, len(found))
        return [" ".join(found[k : k + size]) for k in range(len(found) - size + 1)] if found else []


def words(text: str, segmenter: Segmenter = "characters") -> list[str]:
    """The normalised words of one document."""
    data, offsets = utf8(pl.Series([text]))
    size, heads = int(offsets[-1]), word_starts(data, offsets, segmenter)
    out, ends = np.empty(size * alphabet().growth + 1, np.uint8), np.empty(size // 2 + 2, np.int64)
    count = split_words(data, 0, size, alphabet(), heads, out, ends)
    return out[: ends[count - 1]].tobytes().decode().split(" ") if count else []


def utf8(text: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all documents and where each begins, n + 1 offsets. A null is as long as an empty text."""
    if text.dtype != pl.String:
        raise TypeError(f"text has to be a column of strings, not of {text.dtype}")
    return buffers(text)


@lru_cache(maxsize=8)
def _permutations(seed: int, count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Factors and terms of `count` permutations modulo 2^32, drawn as datasketch 2 draws them for the same seed."""
    draws = np.random.RandomState(seed)
    factors = draws.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, draws.randint(0, 1 << 32, count, dtype=np.uint32)
