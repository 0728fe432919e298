"""A batch of documents on its way through steps: what each step did to it, counted and timed."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from polars._typing import PolarsDataType

from filters.base import Filter, Step, Transform
from filters.language import Language
from pipeline.judge import decide, measure
from pipeline.readers.base import Reader
from pipeline.schema import DESCRIPTION
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
    **dict.fromkeys(DESCRIPTION.names, pl.String),
}
FRAME = pl.Schema(_COLUMNS)
"""A batch of documents between steps; signal columns come after these. `language` is what the source says of it, from
the first identification on what the last one found."""


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
        """Add one batch's passage through a step: documents that no step before dropped, and those that it lets on."""
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
    pages = [name for name, step in steps.items() if step.reads == "html"]
    for group in groups(steps):
        goes_on = pl.col("error").is_null() & (pl.lit(measure_all) | pl.col("reason").is_null())
        settled.append(docs.filter(~goes_on))
        docs = docs.filter(goes_on)
        undecided = pl.col("error").is_null() & pl.col("reason").is_null()
        into = docs.select(undecided.sum()).item()
        for name, step in group.items():
            started = time.perf_counter()
            pages = [page for page in pages if page != name]
            if isinstance(step, Transform):
                docs = _transform(docs, name, step, awaits_pages=bool(pages))
                out = docs.select(undecided.sum()).item()
            elif isinstance(step, Filter):
                docs = measure(docs, name, step)
                if isinstance(step, Language):
                    docs = docs.with_columns(language=pl.col(f"{name}.label"))
                broken = docs["broken"]
                docs = decide(docs, {name: step})
                out = docs.select((undecided & (pl.col("broken").list.len() == 0)).sum()).item()
                docs = docs.with_columns(broken=pl.concat_list(broken, "broken"))
            else:
                raise TypeError(f"{name} is neither a transform nor a filter")
            meter.step(name, step, into, out, time.perf_counter() - started)
        docs = docs.with_columns(reason=pl.coalesce("reason", pl.col("broken").list.first()))
    return pl.concat([*settled, docs], how="diagonal").sort("ordinal")


def _transform(docs: pl.DataFrame, name: str, step: Transform, awaits_pages: bool) -> pl.DataFrame:
    """Apply a transform. What was dropped before is only measured: its verdict stands.

    With `awaits_pages` a page whose text a later step will find is not taken for an empty document.
    """
    earlier = docs["reason"]
    changed = step.apply(docs.with_columns(reason=pl.lit(None, dtype=pl.String)), name)
    if wrong := _breach(docs, changed, name, step):
        raise TypeError(f"transform '{name}': {wrong}")
    fine, empty = pl.col("error").is_null(), pl.col("text").fill_null("") == ""
    if awaits_pages:
        empty &= pl.col("text").is_not_null() | pl.col("html").is_null()
    if step.drops:
        changed = changed.with_columns(pl.when(fine).then("reason").alias(f"{name}.dropped"))
    decided = pl.when(fine).then(pl.coalesce("reason", pl.when(empty).then(pl.lit(f"{name}.empty"))))
    return changed.with_columns(
        reason=pl.coalesce(pl.lit(earlier), decided), error=pl.when(pl.lit(earlier).is_null()).then("error")
    )


def _breach(before: pl.DataFrame, after: pl.DataFrame, name: str, step: Transform) -> str | None:
    """What a transform does that it must not do, since accounts would no longer add up."""
    if lost := [column for column in before.columns if column not in after.columns]:
        return f"the column '{lost[0]}' is gone"
    if not after["ordinal"].equals(before["ordinal"]):
        return "it must give back the same rows in the same order"
    if after.schema["text"] != pl.String:
        return f"the column 'text' became {after.schema['text']}"
    if new := [
        column for column in after.columns if column not in before.columns and not column.startswith(f"{name}.")
    ]:
        return f"the signal column '{new[0]}' must be called '{name}.{new[0]}'"
    if not step.drops and after["reason"].null_count() < after.height:
        return "it sets reasons, which only a step with drops = True may"
    return None


_TYPES: dict[type, type[pl.DataType]] = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean, str: pl.String}


def read_signals(readers: Iterable[Reader]) -> dict[str, pl.DataType]:
    """The columns `read.<signal>` that readers fill, with their types; signals of one name have one type."""
    return {f"read.{name}": _TYPES[kind]() for reader in readers for name, kind in reader.told.items()}


def signal_schema(steps: Steps, told: Mapping[str, pl.DataType] | None = None) -> dict[str, pl.DataType]:
    """The columns `<step>.<signal>` that steps add, in order, with their types: what they give for no documents.

    `told` are the columns that readers fill.
    """
    schema = {**FRAME, **(told or {})}
    empty = process(pl.DataFrame(schema=schema), steps, True, Meter())
    return {name: dtype for name, dtype in empty.schema.items() if name not in schema}


def with_score(docs: pl.DataFrame, steps: Steps) -> pl.DataFrame:
    """Add `language_score`, that of the last identification that a document reached."""
    names = [name for name, step in reversed(list(steps.items())) if isinstance(step, Language)]
    scores = [f"{name}.score" for name in names if f"{name}.score" in docs.columns]
    return docs.with_columns(language_score=pl.coalesce(scores) if scores else pl.lit(None, dtype=pl.Float64))
