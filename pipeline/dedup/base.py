"""What a step of deduplication is: it gives documents keys, and those that share one are duplicates.

A step looks at one document at a time; who meets whom is found by sorting keys (`bands.py`), joined to clusters by
union-find (`clusters.py`). So all of them are global, whatever they compare, and cost one pass over the text.
"""

import os
from abc import abstractmethod
from collections.abc import Set
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from filters.base import Step
from pipeline.dedup.preference import Preference, listed


class Dedup(Step):
    """A step that must have seen every document of every source before it decides on one."""


class Evidence(NamedTuple):
    """What two documents are compared by once more: row k is `values[ends[k - 1]:ends[k]]`.

    Of a signature the upper halves of its places, as uint16; of a set of shingles their hashes, sorted, as uint32.
    """

    values: NDArray[Any]
    ends: NDArray[np.int64]

    def only(self, found: NDArray[np.bool_]) -> "Evidence":
        """Those rows."""
        lengths = np.diff(self.ends, prepend=0)
        return Evidence(self.values[np.repeat(found, lengths)], np.cumsum(lengths[found]))


class Signed(NamedTuple):
    """What a step knows of n documents: keys of shape (n, bands), which have any, and where they are wanted evidence
    and the hashes by which `proof/sample.py` draws pairs."""

    keys: NDArray[np.uint64]
    found: NDArray[np.bool_]
    evidence: Evidence | None = None
    sample: NDArray[np.uint64] | None = None

    def only(self, found: NDArray[np.bool_]) -> "Signed":
        """Those documents."""
        evidence, sample = self.evidence and self.evidence.only(found), self.sample
        return Signed(self.keys[found], found[found], evidence, None if sample is None else sample[found])


class Verify(BaseModel):
    """A second look at two documents that share a key, before they are taken for duplicates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["estimate", "shingles"] = "estimate"
    jaccard: Annotated[float, Field(gt=0, le=1)]


Folder = Annotated[str, Field(min_length=1), AfterValidator(os.path.abspath)]
"""A folder, from now on wherever one is."""

_PROOF = 1000


def _pairs(value: Any) -> Any:
    return {False: 0, True: _PROOF}[value] if isinstance(value, bool) else value


class Documents(Dedup):
    """A step whose duplicates are whole documents: all but one of those that share a key are dropped."""

    prefer: Annotated[tuple[Preference, ...], BeforeValidator(listed)] = ()
    """Which one of a cluster stays, by what decides first: `source` (the order in the config), `latest` or `earliest`
    date, `longest` or `shortest` text, `highest SIGNAL` or `lowest SIGNAL` of a step before or a reader, `id` (of the
    source, the smallest). What ties is decided by the order of sources, files and records."""

    against: Annotated[tuple[Folder, ...], BeforeValidator(listed)] = ()
    """Indexes of earlier runs (`gristmill dedup index`), whose documents come before all others: what is like one of
    them is dropped, and the ledger says which it is (`earlier`)."""

    proof: Annotated[int, BeforeValidator(_pairs), Field(ge=0)] = _PROOF
    """Pairs of documents, and dropped documents, that are compared text by text after the step: `stats` and the report
    say which share of duplicates was found, and which share of what was dropped is one. `false` compares none."""

    @abstractmethod
    def band_count(self) -> int:
        """How many keys a document has."""

    @abstractmethod
    def sign(self, column: pl.Series) -> Signed:
        """Look at documents, given the column that `reads` names."""

    def band_keys(self, column: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Keys of documents, shape (n, bands), and which documents have any, shape (n,)."""
        return self.sign(column)[:2]

    def verification(self) -> Verify | None:
        """How pairs that share a key are looked at again, if they are."""
        return None

    @abstractmethod
    def features(self, value: str) -> Set[str]:
        """What the step compares of a document, in plain Python; duplicates have most of it in common, or all."""

    def threshold(self) -> float:
        """The Jaccard similarity of features, above 0 and up to 1, from which on documents are meant to be found."""
        return 1.0

    def found(self, similarity: float) -> float:
        """The chance that two documents of this similarity, 0 to 1, are taken for duplicates."""
        return float(similarity >= 1)

    def warm_up(self) -> None:
        """Have everything compiled that `sign` calls."""
        self.sign(pl.Series([], dtype=pl.String))
