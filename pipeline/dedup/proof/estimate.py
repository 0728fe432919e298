"""What a sample says of all that it was drawn from, with intervals that hold 95 times out of 100. Pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_Z = 1.959964


@dataclass(frozen=True)
class Share:
    """A share, 0 to 1, estimated from a sample, with its interval."""

    share: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Rounded, so that it can be compared."""
        return {"share": round(self.share, 6), "low": round(self.low, 6), "high": round(self.high, 6)}


def wilson(share: float, size: float) -> Share:
    """The interval of a share of so many things drawn (Wilson 1927); it is never empty, also at 0 and 1."""
    weight = _Z * _Z / size
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * sqrt(share * (1 - share) / size + weight / (4 * size)) / (1 + weight)
    return Share(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def weighted(part: F64, whole: F64, units: NDArray[np.int64]) -> Share | None:
    """The sum of `part` as a share of that of `whole`, which is never less; None of nothing.

    Things of one unit were drawn together. As many units as they are worth stand in Wilson's formula: of unequal
    weights by Kish (1965, section 11.7), fewer where the ratio differs between units more than that tells, by its
    variance (Taylor's series; Korn and Graubard 1998).
    """
    total = float(whole.sum())
    if total <= 0:
        return None
    share = min(1.0, float(part.sum()) / total)
    wholes, parts = np.bincount(units, whole), np.bincount(units, part)
    size = total * total / float((wholes * wholes).sum())
    here = int((wholes > 0).sum())
    spread = float(((parts - share * wholes) ** 2).sum()) / (total * total) * here / max(1, here - 1)
    if spread > 0 and 0 < share < 1:
        size = min(size, share * (1 - share) / spread)
    return wilson(share, max(1.0, size))


def tenth(similarity: float) -> int:
    """In which tenth from 0 to 10 a similarity lies; 10 is the same."""
    return int(similarity * 10 + 1e-9)


def levels(
    similarities: F64, weights: F64, together: NDArray[np.bool_], expected: F64, units: NDArray[np.int64], least: int
) -> Sequence[Mapping[str, object]]:
    """Pairs by tenths of their similarity, from `least` tenths on: how many there are, and which share was found."""
    tenths = np.array([tenth(similarity) for similarity in similarities.tolist()], np.int64)
    found = []
    for place in range(least, 11):
        here = tenths == place
        recall = weighted((weights * together)[here], weights[here], units[here])
        if recall is not None:
            found.append(
                {
                    "from": place / 10,
                    "compared": int(here.sum()),
                    "pairs": round(float(weights[here].sum()), 1),
                    "recall": recall.to_dict(),
                    "expected": round(float((weights * expected)[here].sum() / weights[here].sum()), 6),
                }
            )
    return found
