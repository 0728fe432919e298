"""Signals and ranges in, verdict out: the first broken range, and all of them. Pure."""

from collections.abc import Mapping

import polars as pl

from filters.base import Filter, Range


def measure(docs: pl.DataFrame, name: str, step: Filter) -> pl.DataFrame:
    """Add the columns `<name>.<signal>` of one filter."""
    return docs.with_columns(expr.alias(f"{name}.{signal}") for signal, expr in step.signals().items())


def ranges(filters: Mapping[str, Filter]) -> dict[str, Range]:
    """Signal columns and their ranges, in the order in which they are tried."""
    return {
        f"{name}.{signal}": step.keep[signal]
        for name, step in filters.items()
        for signal in step.signals()
        if signal in step.keep
    }


def outside(column: pl.Expr, bounds: Range) -> pl.Expr:
    """Whether a value lies outside a range: both ends belong to it, NaN lies outside, null was not measured."""
    low, high = bounds
    value = column.cast(pl.Float64)
    broken = value.is_nan()
    if low is not None:
        broken = broken | (value < low)
    if high is not None:
        broken = broken | (value > high)
    return broken.fill_null(False)


def decide(docs: pl.DataFrame, filters: Mapping[str, Filter]) -> pl.DataFrame:
    """Add `broken`, the signals outside their ranges in the order of trial: the first of them is the reason."""
    tried = [
        pl.when(outside(pl.col(column), bounds)).then(pl.lit(column)) for column, bounds in ranges(filters).items()
    ]
    if not tried:
        return docs.with_columns(broken=pl.lit([], dtype=pl.List(pl.String)))
    return docs.with_columns(broken=pl.concat_list(tried).list.drop_nulls())


def judge(docs: pl.DataFrame, filters: Mapping[str, Filter]) -> pl.DataFrame:
    """Measure with every filter and decide: adds the signal columns, `broken`, and `reason` (null: keep)."""
    for name, step in filters.items():
        docs = measure(docs, name, step)
    return decide(docs, filters).with_columns(reason=pl.col("broken").list.first())
