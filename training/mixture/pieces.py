"""Shares integrated: the run cut into pieces in which every share is a short polynomial of the slot.

Constant and linear shares are that by themselves. Others (half cosines, weights whose sum changes) are interpolated at
Chebyshev nodes, and a piece is halved until the polynomial is within TOLERANCE of the share: over a run of 10^11
sequences the integral is off by less than a tenth of one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import cheb2poly, chebvander

from training.kernels import Floats
from training.mixture.shares import Stretch

TOLERANCE = 1e-12
_DEGREE = 9
_NODES = -np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_PROBES = np.linspace(-1.0, 1.0, 2 * _DEGREE + 1)
_SMALLEST = 2.0**-40
_POWERS = np.stack([np.pad(cheb2poly(one), (0, _DEGREE + 1 - len(cheb2poly(one)))) for one in np.eye(_DEGREE + 1)], 1)
"""Coefficients of Chebyshev polynomials to coefficients of powers."""
_INTERPOLATED = _POWERS @ np.linalg.inv(chebvander(_NODES, _DEGREE))
"""Values at the nodes to coefficients of powers."""


class Pieces(NamedTuple):
    """What `kernels.schedule` reads."""

    bounds: Floats
    """(pieces + 1,) slots at which pieces meet."""
    totals: Floats
    """(pieces + 1, sources) integrals there."""
    series: Floats
    """(pieces, sources, powers) the integral within a piece: its size times the sum of series[k] * y^k, with y from -1
    at its start to 1 at its end (about its middle, where powers are told apart best)."""


def integrated(parts: Sequence[Stretch], slots: int) -> Pieces:
    """The pieces of a run of `slots` sequences."""
    whole = sum(part.length for part in parts)
    bounds, series, before = [0.0], [], 0.0
    for part in parts:
        for end, powers in _cut(part.shares, 0.0, 1.0):
            bounds.append((before + part.length * end) / whole * slots)
            series.append(powers)
        before += part.length
    bounds[-1] = float(slots)
    shares = np.stack(series)
    shares = shares[:, :, : 1 + int(np.flatnonzero(shares.any(axis=(0, 1))).max(initial=0))]
    made = np.zeros((*shares.shape[:2], shares.shape[2] + 1))
    made[:, :, 1:] = 0.5 * shares / np.arange(1, shares.shape[2] + 1)  # dx is half of dy
    made[:, :, 0] = -(made[:, :, 1:] * (-1.0) ** np.arange(1, shares.shape[2] + 1)).sum(axis=2)
    areas = made.sum(axis=2) * np.diff(bounds)[:, None]
    totals = np.concatenate([np.zeros((1, areas.shape[1])), np.cumsum(areas, axis=0)])
    return Pieces(np.array(bounds), totals, np.ascontiguousarray(made))


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
