"""A batch of documents on its way through steps: what each step did to it, counted and timed."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from polars._typing import PolarsDataType

from filters.base import Filter, Step, Transform
from filters.language import Language
from pipeline.judge import decide, measure
from pipeline.steps import Steps, groups

_COLUMNS: dict[str, PolarsDataType] = {
    "id": pl.String,
    "ordinal": pl.UInt64,
    "origin": pl.String,
    "source": pl.String,
    "url": pl.String,
    "date": pl.String,
    "doc_id": pl.String,
    "content_type": pl.String,
    "charset": pl.String,
    "html": pl.Binary,
    "text": pl.String,
    "language": pl.String,
    "error": pl.String,
    "reason": pl.String,
    "broken": pl.List(pl.String),
}
FRAME = pl.Schema(_COLUMNS)
"""A batch of documents between steps; signal columns come after these."""


@dataclass
class Meter:
    """Counts and seconds of one task: every record that comes in goes out through one of these numbers."""

    read: int = 0
    kept: int = 0
    kept_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def step(self, name: str, step: Step, into: int, out: int, seconds: float) -> None:
        """Add one batch's passage through a step."""
        kind = "transform" if isinstance(step, Transform) else "filter"
        entry = self.steps.setdefault(name, {"name": name, "kind": kind, "in": 0, "out": 0, "seconds": 0.0})
        entry["in"] += into
        entry["out"] += out
        entry["seconds"] = round(entry["seconds"] + seconds, 6)

    def receipt(self) -> dict[str, Any]:
        """The numbers as they go into the receipt; sums that differ are a bug and fail the task."""
        if self.read != self.kept + self.dropped.total() + self.quarantined.total():
            raise AssertionError(f"records read {self.read} != kept + dropped + quarantined: {self}")
        counts = {
            "read": self.read,
            "kept": self.kept,
            "kept_bytes": self.kept_bytes,
            "dropped": dict(sorted(self.dropped.items())),
            "quarantined": dict(sorted(self.quarantined.items())),
            "ignored": dict(sorted(self.ignored.items())),
        }
        return {"counts": counts, "steps": list(self.steps.values())}


def process(docs: pl.DataFrame, steps: Steps, measure_all: bool, meter: Meter) -> pl.DataFrame:
    """Send a batch through steps; the rows come back with `error`, `reason` and `broken` saying what became of them.

    A row with an error goes through no further step, nor does a dropped one unless everything is to be measured.
    """
    settled: list[pl.DataFrame] = []
    for group in groups(steps):
        goes_on = pl.col("error").is_null() & (pl.lit(measure_all) | pl.col("reason").is_null())
        settled.append(docs.filter(~goes_on))
        docs = docs.filter(goes_on)
        filters: dict[str, Filter] = {}
        for name, step in group.items():
            started = time.perf_counter()
            before = docs.height
            if isinstance(step, Transform):
                docs = step.apply(docs, name)
                # a document that was dropped before is only measured: its verdict stands
                docs = docs.with_columns(error=pl.when(pl.col("reason").is_null()).then(pl.col("error")))
                docs = docs.with_columns(
                    reason=pl.when(pl.col("error").is_null() & (pl.col("text").fill_null("") == ""))
                    .then(pl.coalesce("reason", pl.lit(f"{name}.empty")))
                    .otherwise(pl.col("reason"))
                )
                out = docs.select((pl.col("error").is_null() & pl.col("reason").is_null()).sum()).item()
            elif isinstance(step, Filter):
                docs = measure(docs, name, step)
                filters[name] = step
                out = before - decide(docs, {name: step}).select((pl.col("broken").list.len() > 0).sum()).item()
            else:
                raise TypeError(f"{name} is neither a transform nor a filter")
            meter.step(name, step, before, out, time.perf_counter() - started)
        if filters:
            earlier = docs["broken"]
            docs = decide(docs, filters).with_columns(broken=pl.concat_list(earlier, "broken"))
            docs = docs.with_columns(reason=pl.coalesce("reason", pl.col("broken").list.first()))
    return pl.concat([*settled, docs], how="diagonal").sort("ordinal")


def signal_schema(steps: Steps) -> dict[str, pl.DataType]:
    """The columns `<step>.<signal>` that steps add, in order, with their types: what they give for no documents."""
    empty = process(pl.DataFrame(schema=FRAME), steps, True, Meter())
    return {name: dtype for name, dtype in empty.schema.items() if name not in FRAME}


def with_language(docs: pl.DataFrame, steps: Steps) -> pl.DataFrame:
    """Add `language` and `language_score` of the last identification that a document reached, else the source's own."""
    names = [name for name, step in reversed(list(steps.items())) if isinstance(step, Language)]
    names = [name for name in names if f"{name}.label" in docs.columns]
    score: pl.Expr = pl.coalesce([f"{name}.score" for name in names]) if names else pl.lit(None, dtype=pl.Float64)
    return docs.with_columns(
        language=pl.coalesce([*[f"{name}.label" for name in names], "language"]), language_score=score
    )
