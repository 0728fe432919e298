"""Histograms of the signals in a ledger: two small streaming queries a signal, never its values."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from filters.base import Range
from pipeline.accounting.folder import RunFolder
from pipeline.judge import by_column

BINS = 40

_LONG = 100
"""Upper end from which a signal that is never negative is shown on a logarithmic axis: counts have long tails."""

_LABELS = 12
"""How many values of a text signal are shown, and about how many distinct ones it may have to be shown at all."""

_LONGEST_LABEL = 200
"""Characters of the longest value of a text signal that is shown: longer ones are pieces of documents."""


@dataclass(frozen=True)
class Histogram:
    """Records by value of one signal. `edges` has one value more than there are bars.

    `kept` and `other` are counts by bar, of records that were kept and of all others that were measured. `range` is
    that of documents whose language has none of its own; `outside` are those that break their range, `unmeasured`
    those without a value, `endless` those with NaN or infinity.
    """

    signal: str
    edges: tuple[float, ...]
    logarithmic: bool
    kept: tuple[int, ...]
    other: tuple[int, ...]
    range: Range | None
    outside: int
    unmeasured: int
    endless: int

    def position(self, value: float) -> float:
        """Where a value lies between the first edge (0) and the last (1)."""
        low, high = (_scale(edge, self.logarithmic) for edge in (self.edges[0], self.edges[-1]))
        return (_scale(value, self.logarithmic) - low) / (high - low)


@dataclass(frozen=True)
class Labels:
    """Records by value of a text signal, the most frequent first: (value, kept, others)."""

    signal: str
    counts: tuple[tuple[str, int, int], ...]


def histograms(folder: RunFolder) -> Iterator[Histogram | Labels]:
    """One for each signal that any record has a value of, in the order of the steps."""
    ledger = folder.ledger()
    ranges = by_column(folder.ranges())
    for column, kind in folder.signals.items():
        if kind == pl.String:
            found: Histogram | Labels | None = _labels(ledger, column)
        elif (kind.is_numeric() or kind == pl.Boolean) and kind != pl.UInt64:  # ordinals measure nothing
            bounds = ranges.get(column, {})
            broken = folder.broken(column, bounds)
            found = _numbers(ledger, column, bounds.get(None), broken, whole=not kind.is_float())
        else:
            found = None
        if found is not None:
            yield found


def _scale(value: float, logarithmic: bool) -> float:
    return math.log1p(max(value, 0.0)) if logarithmic else value


def _numbers(ledger: pl.LazyFrame, column: str, ends: Range | None, broken: pl.Expr, whole: bool) -> Histogram | None:
    value = pl.col(column).cast(pl.Float64)
    finite = value.filter(value.is_finite())
    facts = ledger.select(
        low=finite.min(),
        high=finite.max(),
        unmeasured=value.is_null().sum(),
        endless=(~value.is_finite()).sum(),
        outside=broken.sum(),
    ).collect(engine="streaming")
    low, high, unmeasured, endless, num_outside = facts.row(0)
    if low is None:
        return None
    drawn = [end for end in ends or () if end is not None]  # the ends of the range are always in the picture
    low, high = min(low, *drawn, low), max(high, *drawn, high)
    logarithmic = low >= 0 and high > _LONG
    edges = _edges(low, high, logarithmic, whole)
    first, last, bars = _scale(edges[0], logarithmic), _scale(edges[-1], logarithmic), len(edges) - 1
    scaled = value.log1p() if logarithmic else value
    place = ((scaled - first) * (bars / (last - first))).floor().clip(0, bars - 1).cast(pl.Int32)
    grouped = (
        ledger.filter(value.is_finite())
        .group_by(bar=place, kept=pl.col("verdict") == "kept")
        .len()
        .collect(engine="streaming")
    )
    counts = {True: [0] * bars, False: [0] * bars}
    for bar, kept, number in grouped.iter_rows():
        counts[kept][bar] += number
    return Histogram(
        column, edges, logarithmic, tuple(counts[True]), tuple(counts[False]), ends, num_outside, unmeasured, endless
    )


def _edges(low: float, high: float, logarithmic: bool, whole: bool) -> tuple[float, ...]:
    """Ends of the bars: one bar for each whole number where there are few, else equal widths on the axis."""
    if whole and not logarithmic and high - low < BINS:
        return tuple(edge - 0.5 for edge in range(math.floor(low), math.ceil(high) + 2))
    if low == high:
        return (low - 0.5, high + 0.5)
    first, last = _scale(low, logarithmic), _scale(high, logarithmic)
    places = [first + (last - first) * bar / BINS for bar in range(1, BINS)]
    inner: Sequence[float] = [math.expm1(place) for place in places] if logarithmic else places
    return (low, *inner, high)


def _labels(ledger: pl.LazyFrame, column: str) -> Labels | None:
    facts = ledger.select(distinct=pl.col(column).approx_n_unique(), longest=pl.col(column).str.len_chars().max())
    distinct, longest = facts.collect(engine="streaming").row(0)
    if not distinct or distinct > _LABELS * 20 or (longest or 0) > _LONGEST_LABEL:
        return None
    kept = pl.col("verdict") == "kept"
    grouped = (
        ledger.filter(pl.col(column).is_not_null())
        .group_by(value=pl.col(column))
        .agg(kept=kept.sum(), other=(~kept).sum())
        .sort(pl.col("kept") + pl.col("other"), "value", descending=[True, False])
        .head(_LABELS)
        .collect(engine="streaming")
    )
    return Labels(column, tuple(grouped.iter_rows())) if grouped.height else None
