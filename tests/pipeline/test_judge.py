"""Judging: ranges over signals against a plain-Python oracle."""

import math
from collections.abc import Mapping

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from filters.base import Filter, Range
from pipeline.judge import judge


class Columns(Filter):
    """Signals that are columns of the frame, so that the test chooses their values."""

    prefix: str

    def signals(self) -> Mapping[str, pl.Expr]:
        return {name: pl.col(f"{self.prefix}_{name}") for name in ("a", "b")}


ends = st.none() | st.integers(-3, 3).map(float)
ranges = st.tuples(ends, ends).filter(lambda r: r[0] is None or r[1] is None or r[0] <= r[1])
values = st.none() | st.integers(-4, 4).map(float) | st.just(math.nan)


def broken(value: float | None, bounds: Range) -> bool:
    low, high = bounds
    if value is None or bounds == (None, None):
        return False
    return math.isnan(value) or (low is not None and value < low) or (high is not None and value > high)


@given(
    keep=st.fixed_dictionaries({}, optional={f"{f}.{s}": ranges for f in "xy" for s in "ab"}),
    rows=st.lists(st.tuples(values, values, values, values), min_size=1, max_size=20),
)
def test_first_and_all_broken_ranges(keep: dict[str, Range], rows: list[tuple[float | None, ...]]) -> None:
    columns = ["x_a", "x_b", "y_a", "y_b"]
    docs = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Float64), orient="row")
    filters = {f: Columns(prefix=f, keep={s: keep[f"{f}.{s}"] for s in "ab" if f"{f}.{s}" in keep}) for f in "xy"}
    judged = judge(docs, filters)
    for row, found in zip(rows, judged.iter_rows(named=True), strict=True):
        measured = dict(zip(["x.a", "x.b", "y.a", "y.b"], row, strict=True))
        expected = [name for name in measured if name in keep and broken(measured[name], keep[name])]
        assert found["broken"] == expected
        assert found["reason"] == (expected[0] if expected else None)


def test_integers_and_flags_are_judged_like_numbers() -> None:
    docs = pl.DataFrame({"z_a": [49, 50, 51], "z_b": [True, False, None]}, schema={"z_a": pl.UInt32, "z_b": pl.Boolean})
    judged = judge(docs, {"z": Columns(prefix="z", keep={"a": (50, None), "b": (None, 0)})})
    assert judged["broken"].to_list() == [["z.a", "z.b"], [], []]


@given(
    keep=st.fixed_dictionaries({}, optional={key: ranges for key in ("a", "a@de", "a@fr", "b", "b@de")}),
    rows=st.lists(st.tuples(values, values, st.sampled_from(["de", "fr", "en", None])), min_size=1, max_size=20),
)
def test_a_language_can_have_its_own_range(
    keep: dict[str, Range], rows: list[tuple[float | None, float | None, str | None]]
) -> None:
    schema = {"x_a": pl.Float64, "x_b": pl.Float64, "language": pl.String}
    docs = pl.DataFrame(rows, schema=schema, orient="row")
    judged = judge(docs, {"x": Columns(prefix="x", keep=keep)})
    for (a, b, language), found in zip(rows, judged["broken"], strict=True):
        expected = [
            f"x.{signal}"
            for signal, value in (("a", a), ("b", b))
            if broken(value, keep.get(f"{signal}@{language}", keep.get(signal, (None, None))))
        ]
        assert found.to_list() == expected
