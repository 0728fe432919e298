"""Signals and ranges in, verdict out: the first broken range, and all of them. Pure."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from filters.base import LANGUAGE, OFF, Filter, Range


def measure(docs: pl.DataFrame, name: str, step: Filter) -> pl.DataFrame:
    """Add the columns `<name>.<signal>` of one filter."""
    return docs.with_columns(expr.alias(f"{name}.{signal}") for signal, expr in step.signals().items())


Exceptions = Mapping[str | None, Range]
"""The range of a signal for each language that has one of its own; that under None is for all others."""


def ranges(filters: Mapping[str, Filter]) -> dict[str, Range]:
    """Ranges by signal column, `@language` after it where they are for one language, in the order of trial.

    A range that is off is left out, unless it is the exception of a language.
    """
    found = {}
    for name, step in filters.items():
        for signal in step.signals():
            for key, ends in step.keep.items():
                if key.partition(LANGUAGE)[0] == signal and (ends != OFF or LANGUAGE in key):
                    found[f"{name}.{key}"] = ends
    return found


def by_column(ranges: Mapping[str, Range]) -> dict[str, Exceptions]:
    """The ranges of each signal column by language."""
    columns: dict[str, dict[str | None, Range]] = {}
    for key, ends in ranges.items():
        column, _, language = key.partition(LANGUAGE)
        columns.setdefault(column, {})[language or None] = ends
    return dict(columns)


def outside(column: pl.Expr, bounds: Range) -> pl.Expr:
    """Whether a value lies outside a range: both ends belong to it, NaN lies outside, null was not measured."""
    if bounds == OFF:
        return pl.lit(False)
    low, high = bounds
    value = column.cast(pl.Float64)
    broken = value.is_nan()
    if low is not None:
        broken = broken | (value < low)
    if high is not None:
        broken = broken | (value > high)
    return broken.fill_null(False)


def breaks(column: str, bounds: Exceptions, language: pl.Expr) -> pl.Expr:
    """Whether a signal lies outside the range that holds for the document's language."""
    others = outside(pl.col(column), bounds[None]) if None in bounds else pl.lit(False)
    alike: dict[Range, list[str]] = {}
    for name, ends in bounds.items():
        if name is not None:
            alike.setdefault(ends, []).append(name)
    for ends, names in alike.items():
        others = pl.when(language.is_in(names)).then(outside(pl.col(column), ends)).otherwise(others)
    return others


def decide(docs: pl.DataFrame, filters: Mapping[str, Filter]) -> pl.DataFrame:
    """Add `broken`, the signals outside their ranges in the order of trial: the first of them is the reason.

    Ranges for single languages go by the column `language`.
    """
    wanted = ranges(filters)
    if any(LANGUAGE in key for key in wanted):
        here = set(docs["language"].unique())
        wanted = {key: ends for key, ends in wanted.items() if (key.partition(LANGUAGE)[2] or None) in {None, *here}}
    columns = by_column(wanted)
    flags = docs.select(
        breaks(column, bounds, pl.col("language")).alias(column) for column, bounds in columns.items()
    ).to_numpy(order="c")
    return docs.with_columns(_named(flags.reshape(docs.height, len(columns)), list(columns)).alias("broken"))


def _named(flags: NDArray[np.bool_], names: list[str]) -> pl.Series:
    """The names of the columns that are true in each row of [rows, columns], as lists."""
    ends = np.cumsum(flags.sum(axis=1), dtype=np.int64)
    values = pl.Series(names, dtype=pl.String).gather(np.nonzero(flags)[1]).to_arrow()
    return pl.Series(pa.LargeListArray.from_arrays(np.concatenate([np.zeros(1, np.int64), ends]), values))


def judge(docs: pl.DataFrame, filters: Mapping[str, Filter]) -> pl.DataFrame:
    """Measure with every filter and decide: adds the signal columns, `broken`, and `reason` (null: keep)."""
    for name, step in filters.items():
        docs = measure(docs, name, step)
    return decide(docs, filters).with_columns(reason=pl.col("broken").list.first())
