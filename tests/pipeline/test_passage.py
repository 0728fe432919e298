"""A batch on its way through steps: what is counted, and what a transform may not do."""

from collections.abc import Callable
from typing import ClassVar

import polars as pl
import pytest

from filters import Filter, Range, Transform
from pipeline.passage import FRAME, Meter, process


class Length(Filter):
    """Characters."""

    defaults: ClassVar[dict[str, Range]] = {"chars": (3, None)}

    def signals(self) -> dict[str, pl.Expr]:
        return {"chars": pl.col("text").str.len_chars()}


class Digits(Filter):
    """Digits."""

    defaults: ClassVar[dict[str, Range]] = {"count": (None, 0)}

    def signals(self) -> dict[str, pl.Expr]:
        return {"count": pl.col("text").str.count_matches(r"\d")}


class Strip(Transform):
    """Takes `x` out, and cannot handle `!`."""

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        return docs.with_columns(
            text=pl.col("text").str.replace_all("x", ""),
            error=pl.when(pl.col("text").str.contains("!", literal=True)).then(pl.lit(f"{name}.mark")),
        )


def frame(texts: list[str]) -> pl.DataFrame:
    rows = [{"id": text, "ordinal": i, "source": "s", "text": text, "broken": []} for i, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=FRAME)


@pytest.mark.parametrize("measure_all", [False, True])
def test_only_what_was_not_lost_before_counts_as_into_a_step(measure_all: bool) -> None:
    docs = frame(["abc", "ab", "12", "abc1", "xxx", "abc!", "a!"])
    meter = Meter()
    steps = {"length": Length(), "digits": Digits(), "strip": Strip(), "again": Length()}
    out = process(docs, steps, measure_all, meter)
    counts = {name: (entry["in"], entry["out"]) for name, entry in meter.steps.items()}
    # filters of a group judge the same documents, each by itself
    assert counts == {"length": (7, 4), "digits": (7, 5), "strip": (3, 1), "again": (1, 1)}
    assert dict(out.select("id", "reason").iter_rows()) == {
        "abc": None,
        "ab": "length.chars",
        "12": "length.chars",
        "abc1": "digits.count",
        "xxx": "strip.empty",
        "abc!": None,
        "a!": "length.chars",
    }
    assert out.filter(pl.col("error").is_not_null()).select("id", "error").rows() == [("abc!", "strip.mark")]


def breaking(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Transform:
    class Breaking(Transform):
        """Does what it must not."""

        def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
            return change(docs)

    return Breaking()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda docs: docs.head(1), "it must give back the same rows in the same order"),
        (lambda docs: docs.reverse(), "it must give back the same rows in the same order"),
        (lambda docs: docs.drop("url"), "the column 'url' is gone"),
        (lambda docs: docs.with_columns(size=1), "the signal column 'size' must be called 'step.size'"),
        (lambda docs: docs.with_columns(text=1), "the column 'text' became Int32"),
        (lambda docs: docs.with_columns(reason=pl.lit("no")), "it sets reasons"),
    ],
)
def test_what_a_transform_may_not_do(change: Callable[[pl.DataFrame], pl.DataFrame], message: str) -> None:
    with pytest.raises(TypeError, match=f"transform 'step': {message}"):
        process(frame(["one", "two"]), {"step": breaking(change)}, False, Meter())
