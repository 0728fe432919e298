"""Which document of a cluster stays: columns to sort by, the first of which that differs decides.

The values are written beside the keys while the documents are at hand, and are read again for those alone that have a
duplicate. What a document lacks comes last, whichever way the others are sorted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator

from filters.base import Filter, Step
from pipeline.configfile import Problem, nearest

_PLAIN: Mapping[str, tuple[pl.Expr, bool]] = {
    "source": (pl.col("source"), False),
    "latest": (pl.col("date"), True),
    "earliest": (pl.col("date"), False),
    "longest": (pl.col("text").str.len_chars(), True),
    "shortest": (pl.col("text").str.len_chars(), False),
    "id": (pl.col("doc_id"), False),
}
_SIGNAL = re.compile(r"(highest|lowest) +([A-Za-z]\w*\.\w+)")


def _known(wanted: str) -> str:
    wanted = " ".join(wanted.split())
    if wanted not in _PLAIN and not _SIGNAL.fullmatch(wanted):
        raise ValueError(
            f"'{wanted}' is no preference; choose from: {', '.join(_PLAIN)}, and highest or lowest with a signal, such "
            "as 'highest gopher.words'"
        )
    return wanted


Preference = Annotated[str, AfterValidator(_known)]
"""One thing that decides: a word such as `latest`, or `highest` or `lowest` and a signal."""


def listed(value: Any) -> Any:
    """One preference is a list of one."""
    return [value] if isinstance(value, str) else value


def signal_of(wanted: str) -> str | None:
    """The column that a preference for a signal means."""
    match = _SIGNAL.fullmatch(wanted)
    return match[2] if match else None


def values(docs: pl.DataFrame, prefer: Sequence[str]) -> pl.DataFrame:
    """The columns `0`, `1`, ... of documents, one a preference."""
    columns = [pl.col(signal) if (signal := signal_of(wanted)) else _PLAIN[wanted][0] for wanted in prefer]
    return docs.select(column.alias(str(place)) for place, column in enumerate(columns))


def in_order(members: pl.DataFrame, prefer: Sequence[str], sources: Sequence[str]) -> pl.DataFrame:
    """Members of clusters, one cluster after another and in each the preferred ones first.

    Args:
        members: columns `root` and `ordinal`, and those of `values`.
        sources: their names, in the order of the config.
    """
    keys, down = ["root"], [False]
    for place, wanted in enumerate(prefer):
        column = pl.col(str(place))
        if wanted == "source":
            ranks = {name: rank for rank, name in enumerate(sources)}
            members = members.with_columns(column.replace_strict(ranks, return_dtype=pl.UInt32))
        elif members.schema[str(place)].is_float():
            members = members.with_columns(column.fill_nan(None))
        keys.append(str(place))
        down.append(wanted.startswith("highest") if signal_of(wanted) else _PLAIN[wanted][1])
    return members.sort([*keys, "ordinal"], descending=[*down, False], nulls_last=True)


def problems(steps: Mapping[str, Step], told: Iterable[str]) -> Iterable[Problem]:
    """The signals that steps prefer documents by and that nothing before them gives; `told` are those of readers."""
    known = [f"read.{name}" for name in told]
    for name, step in steps.items():
        for place, wanted in enumerate(getattr(step, "prefer", ())):
            signal = signal_of(wanted)
            if signal is not None and signal not in known:
                words = f"prefer: nothing before '{name}' measures '{signal}'; {nearest(signal, known)}"
                yield Problem(("steps", name, "prefer", place), words)
        names = step.signals() if isinstance(step, Filter) else step.units if hasattr(step, "units") else ()
        known += [f"{name}.{signal}" for signal in names]
