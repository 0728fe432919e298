"""MinHash signatures of documents and the band keys under which near-duplicates meet.

Two documents whose sets of shingles (word n-grams) have the Jaccard similarity s agree in each place of their
signatures with probability s, and in at least one whole band with probability 1 - (1 - s^rows)^bands
(Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4). The defaults are FineWeb's.
"""

from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from filters.words import Segmenter, buffers, segmenter_version, word_starts
from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.base import Documents, Evidence, Signed, Verify
from pipeline.dedup.kernels import How, band_hashes, shingle_sets, signatures, split_words
from pipeline.dedup.proof.sample import PLACES, hashes_of

Count = Annotated[int, Field(ge=1)]


class Preset(NamedTuple):
    """Settings that somebody published, or that are made for a purpose."""

    shingle: int
    bands: int
    rows: int
    of: Literal["words", "characters"] = "words"
    verify: Mapping[str, Any] | None = None


PRESETS: Mapping[str, Preset] = {
    "fineweb": Preset(5, 14, 8),
    "refinedweb": Preset(5, 450, 20),
    "nemo": Preset(24, 20, 13, "characters"),
    "bigcode": Preset(5, 25, 10),
    "thorough": Preset(3, 32, 4, verify={"by": "shingles", "jaccard": 0.5}),
}


class MinHash(Documents):
    """Find documents that share most of their shingles, whatever the source they came from.

    Words are normalised as `pipeline.dedup.alphabet` says. A document that is shorter than a shingle is one shingle as
    a whole, so copies of short documents are found too. A document without a single letter or digit, or without text,
    has no signature and is nobody's duplicate.

    Presets: `fineweb` is what stands here by default; `refinedweb` takes 80 times its work for a sharper threshold;
    `nemo` has shingles of 24 characters; `bigcode` is for code, 25 bands of 10 out of its 256 permutations; `thorough`
    finds documents even if a tenth of their words was changed, and looks at each pair again.
    """

    source: ClassVar[str] = (
        "Broder 1997, On the Resemblance and Containment of Documents; Penedo et al. 2024, The FineWeb Datasets, "
        "section 3.4, for the settings; presets: Penedo et al. 2023, The RefinedWeb Dataset, appendix G.3; NVIDIA NeMo "
        "Curator, fuzzy deduplication; Kocetkov et al. 2022, The Stack, section 3.2"
    )
    version: ClassVar[int] = 2

    preset: Literal["fineweb", "refinedweb", "nemo", "bigcode", "thorough"] | None = None
    """Where `of`, `shingle`, `bands`, `rows` and `verify` come from that are not given."""
    of: Literal["words", "characters"] = "words"
    """What a shingle is made of. Characters are those of the normalised words with a space between them."""
    shingle: Count = 5
    """Words or characters in a shingle. Longer ones see fewer documents as similar."""
    bands: Annotated[int, Field(ge=1, le=1000)] = 14
    rows: Count = 8
    verify: Verify | None = None
    """Take two documents that share a key for duplicates only if their Jaccard similarity is at least `jaccard`: as
    whole signatures let it estimate (`by: estimate`), or that of all their shingles (`by: shingles`)."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 1
    """Chooses the permutations. Keys of different seeds never match."""
    hash: Literal["fast", "datasketch"] = "fast"
    """How a shingle is hashed. `datasketch` gives the signatures of `datasketch.MinHash(num_perm=bands * rows,
    seed=seed)` (version 2, scheme affine32) over the same shingles, at an eighth of the speed."""

    segmenter: Segmenter = "characters"
    """What a word is in scripts without spaces: each letter, or what ICU's dictionaries say. Five of those words are
    more than five letters, so `icu` sees fewer documents as similar."""

    @model_validator(mode="before")
    @classmethod
    def _lay_over_preset(cls, data: Any) -> Any:
        preset = PRESETS.get(str(data.get("preset"))) if isinstance(data, Mapping) else None
        return data if preset is None else {**preset._asdict(), **data}

    def identity(self) -> Mapping[str, str]:
        return segmenter_version(self.segmenter)

    def band_count(self) -> int:
        return self.bands

    def verification(self) -> Verify | None:
        return self.verify

    def sign(self, column: pl.Series) -> Signed:
        full, found = self._sign(column, PLACES if self.proof else 0)
        signature = full[:, : self.bands * self.rows]
        evidence = None
        if self.verify is not None and self.verify.by == "shingles":
            data, offsets = utf8(column)
            evidence = Evidence(*shingle_sets(data, offsets, self._how(data, offsets)))
        elif self.verify is not None:
            places = (signature * np.uint32(_SPREAD) >> np.uint32(16)).astype(np.uint16)
            evidence = Evidence(places.ravel(), (1 + np.arange(len(places))) * places.shape[1])
        sample = hashes_of(full[:, -PLACES:]) if self.proof else None
        return Signed(band_hashes(full, self.bands, self.rows), found, evidence, sample)

    def signature(self, text: pl.Series) -> NDArray[np.uint32]:
        """Signatures of documents, shape (n, bands * rows); 2^32 - 1 in every place where a document has no word."""
        return self._sign(text)[0]

    def _sign(self, text: pl.Series, more: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Signatures with so many places more, of permutations that are not among the others."""
        data, offsets = utf8(text)
        out = np.empty((len(text), self.bands * self.rows + more), np.uint32)
        drawn = _permutations(self.seed, self.bands * self.rows), _permutations(self.seed ^ _APART, more)
        factors, terms = (np.concatenate(both) for both in zip(*drawn, strict=True))
        return out, signatures(data, offsets, self._how(data, offsets), factors, terms, out)

    def _how(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> How:
        heads = word_starts(data, offsets, self.segmenter)
        return How(alphabet(), heads, self.shingle, self.of == "characters", self.hash == "datasketch")

    def warm_up(self) -> None:
        for way in (None, Verify(by="shingles", jaccard=1), Verify(by="estimate", jaccard=1)):
            self.model_copy(update={"verify": way}).sign(pl.Series([], dtype=pl.String))

    def features(self, value: str) -> Set[str]:
        return frozenset(self.shingles(value))

    def threshold(self) -> float:
        """That of `verify`, or where the curve of `probability` is about steepest."""
        return self.verify.jaccard if self.verify else float((1 / self.bands) ** (1 / self.rows))

    def found(self, similarity: float) -> float:
        chance = self.probability(similarity)
        if self.verify is None or similarity in (0, 1):
            return chance
        if self.verify.by == "shingles":
            return chance * (similarity >= self.verify.jaccard)
        spread = (similarity * (1 - similarity) / (self.bands * self.rows)) ** 0.5
        return chance * NormalDist(self.verify.jaccard, spread).cdf(similarity)

    def probability(self, similarity: float) -> float:
        """The chance that two documents of this Jaccard similarity, 0 to 1, share a band key."""
        if not 0 <= similarity <= 1:
            raise ValueError(f"a Jaccard similarity is between 0 and 1, not {similarity}")
        return float(1 - (1 - similarity**self.rows) ** self.bands)

    def curve(self) -> dict[str, float]:
        """That chance at the similarities 0.3, 0.4 and so on."""
        return {f"{tenth / 10:.1f}": round(self.probability(tenth / 10), 4) for tenth in range(3, 11)}

    @classmethod
    def curves(cls) -> dict[str, dict[str, float]]:
        """The curve of each preset."""
        return {name: cls.model_validate({"preset": name}).curve() for name in PRESETS}

    def shingles(self, text: str) -> list[str]:
        """The shingles of one document in their order: what `datasketch` has to hash, what a Jaccard index is of."""
        found: Sequence[str] = words(text, self.segmenter)
        between = " "
        if self.of == "characters":
            found, between = " ".join(found), ""
        size = min(self.shingle, len(found))
        return [between.join(found[k : k + size]) for k in range(len(found) - size + 1)] if found else []


_APART = 0xA5C39B17
"""What makes another seed of a seed."""

_SPREAD = 0x9E3779B1
"""Odd, so that what differs still differs; the upper half depends on all of the lower bits."""


def words(text: str, segmenter: Segmenter = "characters") -> list[str]:
    """The normalised words of one document."""
    data = np.frombuffer(text.encode(), np.uint8)
    size = len(data)
    heads = word_starts(data, np.array([0, size]), segmenter)
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
