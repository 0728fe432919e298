"""Compiled inference of supervised fastText models, the second half: from the mean of a text's rows to the
probabilities of labels.

Exponentials are made of sums and products, because those of the system's library differ between machines in the last
bit.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from filters.fasttext_kernels import F32, GATHER, Floats, Memo, Parts, Places, mean
from filters.hashing import I64, U8, U64, Bytes, Ints, inlined, kernel

Doubles = NDArray[np.float64]

HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
"""The losses as model files number them. What was trained with negative samples is asked like one-vs-all."""

_FLOOR = 1e-5  # fastText adds it to every probability before it takes the logarithm
_POWERS = np.ldexp(1.0, np.arange(-1011, 1012))
_ROUND = 1.5 * 2.0**52  # added and taken away again, it leaves a whole number
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10


@inlined
def _exp(x: float) -> float:
    """Return e to the power x, to 15 digits; below -700 it is almost 0, and above 700 no more than a large number."""
    x = x if x > -700.0 else -700.0
    x = x if x < 700.0 else 700.0
    n = (x * _LOG2_E + _ROUND) - _ROUND
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    small = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600)))))
    power = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * small))))))
    return power * float(_POWERS[U64(I64(n) + 1011)])


@njit(cache=True, nogil=True)
def sigmoids() -> Floats:
    """Return the sigmoid at 513 places from -8 to 8."""
    out = np.empty(513, np.float32)
    for i in range(513):
        out[i] = 1.0 / (1.0 + _exp(8.0 - i / 32))
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _chances(parts: Parts, hidden: Floats, sums: Floats, turns: Doubles, chances: Doubles) -> bool:
    """Work out the probabilities of all labels; those of inner nodes of the tree of labels come after them.

    Returns:
        whether all that they come from are finite numbers.
    """
    outputs = len(sums)
    sums[:] = F32(0)
    for d in range(parts.dim):
        factor = hidden[d]
        for i in range(outputs):
            sums[i] += factor * parts.output[d, i]
    sound = True
    for i in range(outputs):
        sound &= sums[i] - sums[i] == F32(0)
    if not sound:
        return False
    if parts.loss == HIERARCHICAL:
        for i in range(outputs):
            turns[i] = 1.0 / (1.0 + _exp(-float(sums[i])))
        chances[2 * outputs - 2] = 1.0
        for i in range(outputs - 2, -1, -1):  # inner node outputs + i, whose children come before it
            reached, right = chances[outputs + i], turns[i]
            chances[parts.left[i]] = reached * (1.0 - right + _FLOOR)
            chances[parts.right[i]] = reached * (right + _FLOOR)
    elif parts.loss == SOFTMAX:
        highest = float(sums[0])
        for i in range(outputs):
            highest = max(highest, float(sums[i]))
        whole = 0.0
        for i in range(outputs):
            chances[i] = _exp(float(sums[i]) - highest)
            whole += chances[i]
        for i in range(outputs):
            chances[i] = chances[i] / whole + _FLOOR
    else:
        for i in range(outputs):
            chances[i] = _FLOOR
            if sums[i] > F32(8):
                chances[i] += 1.0
            elif sums[i] >= F32(-8):
                chances[i] += float(parts.sigmoids[I64((sums[i] + F32(8)) * F32(32))])
    return True


@kernel
def _rank(chances: Doubles, wanted: Bytes, best: Places, scores: Doubles) -> None:
    """Find the likeliest labels, of equals the first, and the likeliest wanted one."""
    k = len(best)
    scores[:k] = -1.0
    least, interest = -1.0, 0.0
    for label in range(len(wanted)):
        chance = chances[label]
        if wanted[label] and chance > interest:
            interest = chance
        if chance > least:
            place = k - 1
            while place > 0 and chance > scores[place - 1]:
                best[place], scores[place] = best[place - 1], scores[place - 1]
                place -= 1
            best[place], scores[place] = label, chance
            least = scores[k - 1]
    for place in range(len(wanted), k):
        scores[place] = 0.0
    scores[k] = interest


@njit(cache=True, nogil=True)
def predict(
    parts: Parts, memo: Memo, data: Bytes, spans: Ints, bounds: Ints, wanted: Bytes, k: int
) -> tuple[Places, Doubles, bool]:
    """Find the likeliest labels of each text.

    Args:
        spans: `[spans, 2]`, first byte and byte after the last of pieces of text; no token goes over the end of one.
        bounds: text t is `spans[bounds[t]:bounds[t + 1]]`.
        wanted: 1 for each label that is of interest.
        k: how many labels to return, at least 1; if there are fewer, the rest is -1 with a probability of 0.

    Returns:
        labels `[texts, k]`, the likeliest first, -1 for a text without a word;
        their probabilities `[texts, k + 1]`, and in the last column that of the likeliest wanted label;
        whether all that these come from are finite numbers.
    """
    texts = len(bounds) - 1
    best = np.full((texts, k), -1, np.int32)
    scores = np.zeros((texts, k + 1))
    longest = 0
    for i in range(len(spans)):
        longest = max(longest, spans[i, 1] - spans[i, 0])
    marked = np.empty(longest + 2, U8)
    rows = np.empty(max(GATHER, parts.word_ngrams, min(parts.maxn, longest + 2)), I64)
    recent = np.empty(max(parts.word_ngrams, 1), U64)
    total = np.empty(parts.dim, np.float32)
    sums = np.empty(parts.output.shape[1], np.float32)
    turns = np.empty(len(sums))
    chances = np.empty(2 * len(wanted))
    for text in range(texts):
        if mean(parts, memo, data, spans, bounds[text], bounds[text + 1], marked, rows, recent, total):
            if not _chances(parts, total, sums, turns, chances):
                return best, scores, False
            _rank(chances, wanted, best[text], scores[text])
    return best, scores, True
