"""Which licences a text is, or contains: word by word against the texts of the SPDX licence list.

Four words in a row are looked up in the texts of all licences at once; of those that share much, the one is taken that
explains most of a passage, and the rest of the text is searched for more. So a file with three licences gives three,
a clause that was added counts against a licence without it, and names of copyright holders, other titles and text
around the licence count little or nothing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.licenses.table import Postings, table
from pipeline.licenses.words import SHINGLE, shingles_of, words_of

SAME = 0.75
"""How much of passage and licence together must be in both (Jaccard of four words in a row) to give it the name."""

NEAR = 0.05
"""Licences whose similarity is at most this much lower belong to the family of variants that is reported."""

_GAP = 0.35  # what a foreign shingle takes off a passage: a hundred are bridged if 35 known ones stand on either side
_CUT = 0.3  # of a licence that the end of the text cuts off, this much must be there,
_CUT_WORDS = 40  # and as many words,
_CUT_SAME = 0.85  # with hardly a change
_FEW = 0.25
_CANDIDATES = 24
_MOST = 64

Places = NDArray[np.int64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Match:
    """A passage that is the text of a licence."""

    ids: tuple[str, ...]
    """The identifiers that stand for this text; several where SPDX gives one text more than one."""
    family: tuple[str, ...]
    """All whose texts are nearly as similar, `ids` first."""
    similarity: float
    """Share of the passage and of the licence that is in both, from 0 to 1."""
    start: int
    """The first and, excluded, the last of the words of the passage."""
    end: int
    whole: bool
    """False where the text ends before the licence does."""


@dataclass(frozen=True)
class Found:
    """What a text consists of: licences in their order, and the passages of words that are in none of them."""

    matches: tuple[Match, ...]
    words: int
    others: tuple[tuple[int, int], ...]


@lru_cache(maxsize=4096)
def licenses_in(text: str) -> Found:
    """The licences whose texts stand in `text`."""
    words = words_of(text)
    place = table().postings.find(shingles_of(words))
    matches: list[Match] = []
    for _ in range(_MOST):
        match = _best(place)
        if match is None:
            break
        matches.append(match)
        place[max(0, match.start - SHINGLE + 1) : match.end] = -1
    matches.sort(key=lambda match: match.start)
    return Found(tuple(matches), len(words), tuple(_between(matches, len(words))))


@dataclass(frozen=True)
class _Score:
    text: int
    shared: int
    foreign: int
    missing: int
    start: int
    end: int
    whole: bool

    @property
    def similarity(self) -> float:
        return self.shared / (self.shared + self.foreign + self.missing)

    @property
    def explained(self) -> int:
        return self.shared - self.foreign - self.missing

    def overlaps(self, other: "_Score") -> bool:
        return self.start < other.end and other.start < self.end


def _best(place: Places) -> Match | None:
    """The licence that explains most of a passage of the shingles at `place`, where -1 is one that no licence has."""
    postings, names = table().postings, table().names
    counts = postings.counts(np.unique(place[place >= 0]))
    held = counts / postings.sizes
    likely = np.flatnonzero((held >= _FEW) & (counts > 0))
    # Those that are there as a whole, and of those the longest: short ones stand in long ones.
    likely = likely[np.argsort(-(held * counts)[likely], kind="stable")[:_CANDIDATES]]
    scored = [score for text in likely.tolist() if (score := _compared(text, place, postings)) is not None]
    if not scored:
        return None
    best = max(scored, key=lambda score: (score.explained, -score.text))
    equal = [s for s in scored if s.explained == best.explained and s.overlaps(best)]
    near = [s for s in scored if s.similarity >= best.similarity - NEAR and s not in equal and s.overlaps(best)]
    near.sort(key=lambda score: (-score.similarity, score.text))
    ids = tuple(dict.fromkeys(name for score in equal for name in names[score.text]))
    family = dict.fromkeys((*ids, *(name for score in near for name in names[score.text])))
    return Match(ids, tuple(family), best.similarity, best.start, best.end + SHINGLE - 1, best.whole)


def _compared(text: int, place: Places, postings: Postings) -> _Score | None:
    """What a licence has in common with the passage that has most of it; None if too little."""
    mine = postings.holds(text, place)
    span = _densest(mine, len(postings.sequences[text]))
    if span is None:
        return None
    start, end = span
    there = np.unique(place[start:end][mine[start:end]])
    foreign = int(np.count_nonzero(~mine[start:end]))
    size = int(postings.sizes[text])
    score = _Score(text, len(there), foreign, size - len(there), start, end, True)
    if end + SHINGLE >= len(
        place
    ):  # the passage goes on to the end of the text: perhaps the licence does not end there
        _, last = _kadane(np.isin(postings.sequences[text], there))
        part = len(np.unique(postings.sequences[text][:last]))
        if _CUT_WORDS <= part < size and part >= _CUT * size:
            cut = _Score(text, len(there), foreign, max(0, part - len(there)), start, end, False)
            if score.similarity < SAME and cut.similarity >= _CUT_SAME:
                return cut
    return score if score.similarity >= SAME else None


def _densest(mine: Marks, size: int) -> tuple[int, int] | None:
    """The passage with most shingles of a licence of `size`, where each foreign one takes off `_GAP` (Kadane's
    algorithm). Where that is far longer than the licence, a file has it more than once: then its best stretch."""
    if not mine.any():
        return None
    start, end = _kadane(mine)
    reach = size + size // 4 + 24
    if end - start > reach:
        sums = np.concatenate(([0], np.cumsum(mine[start:end])))
        start += int(np.argmax(sums[reach:] - sums[:-reach]))
        first, last = _kadane(mine[start : start + reach])
        return start + first, start + last
    return start, end


def _kadane(mine: Marks) -> tuple[int, int]:
    total = np.concatenate(([0.0], np.cumsum(np.where(mine, 1.0, -_GAP))))
    end = int(np.argmax(total - np.minimum.accumulate(total)))
    return int(np.argmin(total[:end])), end


def _between(matches: list[Match], words: int) -> list[tuple[int, int]]:
    edges = [0, *(edge for match in matches for edge in (match.start, match.end)), words]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]
