"""Shares integrated: the run cut into pieces in which every share is a short polynomial of the tokens before.

Constant and linear shares are that by themselves. Others (half cosines, weights whose sum changes) are interpolated at
Chebyshev nodes, and a piece is halved until the polynomial is within TOLERANCE of the share: over a run of 10^11
sequences the integral is off by less than a tenth of one.

The stages of a run have sequences of different lengths: each sees the same pieces, from its own start and in its unit.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import comb
from typing import NamedTuple, Self

import numpy as np
from numpy.polynomial.chebyshev import cheb2poly, chebvander

from training.kernels import Floats
from training.mixture.kernels import reached
from training.mixture.shares import Stretch

TOLERANCE = 1e-12
_DEGREE = 9
_NODES = -np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_PROBES = np.linspace(-1.0, 1.0, 2 * _DEGREE + 1)
_SMALLEST = 2.0**-40
_SLACK, _ROUNDING = 1e-9, 2.0**-48
_EVEN = 1e-6
_POWERS = np.stack([np.pad(cheb2poly(one), (0, _DEGREE + 1 - len(cheb2poly(one)))) for one in np.eye(_DEGREE + 1)], 1)
"""Coefficients of Chebyshev polynomials to coefficients of powers."""
_INTERPOLATED = _POWERS @ np.linalg.inv(chebvander(_NODES, _DEGREE))
"""Values at the nodes to coefficients of powers."""


class Pieces(NamedTuple):
    """What the kernels read. Positions and integrals have one unit: tokens, or sequences of a stage."""

    bounds: Floats
    """(pieces + 1,) positions at which pieces meet."""
    totals: Floats
    """(pieces + 1, sources) integrals there."""
    series: Floats
    """(pieces, sources, powers) the integral within a piece: its size times the sum of series[k] * y^k, with y from -1
    at its start to 1 at its end (about its middle, where powers are told apart best)."""
    slack: float
    """What integrals may be off by rounding."""

    def integral(self, position: float) -> Floats:
        """That of each source at a position."""
        piece = int(np.clip(np.searchsorted(self.bounds, position) - 1, 0, len(self.bounds) - 2))
        size = self.bounds[piece + 1] - self.bounds[piece]
        y = 2.0 * (position - self.bounds[piece]) / size - 1.0
        return np.asarray(self.totals[piece] + size * (self.series[piece] @ y ** np.arange(self.series.shape[2])))

    def since(self, position: float, unit: float) -> Self:
        """The pieces from a position on, in a longer unit; positions and integrals are 0 there."""
        first = int(np.clip(np.searchsorted(self.bounds, position, side="right") - 1, 0, len(self.bounds) - 2))
        return self._replace(
            bounds=(self.bounds[first:] - position) / unit,
            totals=(self.totals[first:] - self.integral(position)) / unit,
            series=self.series[first:],
            slack=_SLACK + self.slack / unit,
        ).divided([0.0])

    def divided(self, marks: Iterable[float]) -> Self:
        """The same from the first of `marks` on, with bounds at all of them."""
        begin, end = min(marks), self.bounds[-1]
        bounds = np.unique([begin, *(at for at in (*marks, *self.bounds) if begin <= at <= end)])
        series = np.empty((len(bounds) - 1, *self.series.shape[1:]))
        for i, (lo, hi) in enumerate(pairwise(bounds.tolist())):
            piece = int(np.searchsorted(self.bounds, (lo + hi) / 2)) - 1
            start, size = self.bounds[piece], self.bounds[piece + 1] - self.bounds[piece]
            series[i] = _magnified(self.series[piece], (lo + hi - 2 * start) / size - 1.0, (hi - lo) / size)
        return self._replace(bounds=bounds, totals=np.array([self.integral(at) for at in bounds]), series=series)

    def even(self, owed: Floats) -> Self:
        """The pieces of sources that are owed some, and of others that had too much, in the end: `owed` sums up to 0.

        A source that is ahead waits until its integral is there, and its share goes to those that are owed some, as
        much as each is owed. So shares stay shares, and what is owed only falls.
        """
        ahead = np.flatnonzero(owed < -_EVEN)
        behind = owed.clip(min=0) / max(owed.clip(min=0).sum(), _EVEN)
        until = np.zeros(len(owed))
        for source in ahead.tolist():
            until[source] = reached(-owed[source], 0, source, *self)[1]
        made = self.divided([0.0, *until[np.isfinite(until)]])
        waiting = until[None, :] > made.bounds[:-1, None]
        series = np.where(waiting[:, :, None], 0.0, made.series)
        series += behind[None, :, None] * (made.series * waiting[:, :, None]).sum(axis=1, keepdims=True)
        return made._replace(series=series, totals=_summed(made.bounds, series))


def integrated(parts: Sequence[Stretch], length: float) -> Pieces:
    """The pieces of a run of `length`, in any unit."""
    whole = sum(part.length for part in parts)
    bounds, series, before = [0.0], [], 0.0
    for part in parts:
        for end, powers in _cut(part.shares, 0.0, 1.0):
            bounds.append((before + part.length * end) / whole * length)
            series.append(powers)
        before += part.length
    bounds[-1] = float(length)
    shares = np.stack(series)
    shares = shares[:, :, : 1 + int(np.flatnonzero(shares.any(axis=(0, 1))).max(initial=0))]
    made = np.zeros((*shares.shape[:2], shares.shape[2] + 1))
    made[:, :, 1:] = 0.5 * shares / np.arange(1, shares.shape[2] + 1)  # dx is half of dy
    made[:, :, 0] = -(made[:, :, 1:] * (-1.0) ** np.arange(1, shares.shape[2] + 1)).sum(axis=2)
    return Pieces(np.array(bounds), _summed(np.array(bounds), made), made, _ROUNDING * length)


def _summed(bounds: Floats, series: Floats) -> Floats:
    """The integrals at the bounds of pieces."""
    areas = series.sum(axis=2) * np.diff(bounds)[:, None]
    return np.concatenate([np.zeros((1, areas.shape[1])), np.cumsum(areas, axis=0)])


def _magnified(series: Floats, middle: float, half: float) -> Floats:
    """The series of a part of a piece, from its middle and half its size as parts of the whole's half."""
    powers = range(series.shape[1])
    made = series @ np.array(
        [[comb(k, j) * middle ** (k - j) * half ** (j - 1) if 0 < j <= k else 0.0 for j in powers] for k in powers]
    )
    made[:, 0] = -(made * (-1.0) ** np.arange(series.shape[1])).sum(axis=1)
    return np.asarray(made)


def _cut(shares: Callable[[float], Sequence[float]], begin: float, end: float) -> list[tuple[float, Floats]]:
    """The end and the powers (sources, degree + 1) of each piece of a stretch."""

    def at(places: Floats) -> Floats:
        return np.array([shares(begin + (end - begin) * float(y + 1) / 2) for y in places]).T

    probes = at(_PROBES)
    middle, half = (probes[:, :1] + probes[:, -1:]) / 2, (probes[:, -1:] - probes[:, :1]) / 2
    if np.abs(middle + half * _PROBES - probes).max() < 1e-15:
        powers = np.zeros((len(probes), _DEGREE + 1))
        powers[:, :2] = np.concatenate([middle, half], axis=1)
        return [(end, powers)]
    powers = at(_NODES) @ _INTERPOLATED.T
    off = np.abs(powers @ np.vander(_PROBES, _DEGREE + 1, increasing=True).T - probes).max()
    if off < TOLERANCE or end - begin < _SMALLEST:
        return [(end, powers)]
    between = (begin + end) / 2
    return [*_cut(shares, begin, between), *_cut(shares, between, end)]
