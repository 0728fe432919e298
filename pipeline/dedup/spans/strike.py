"""What is left of a batch of documents when the copies in them are cut, and an account of what was cut.

Steps take their turns: what one has cut is not counted again for the next, and a document that it left too little of
goes through no further one.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters import characters
from filters.words import buffers, strings
from pipeline.dedup.alphabet import alphabet
from pipeline.dedup.spans.cuts import characters_before, slices, strike, unite, without
from pipeline.dedup.spans.rows import KEEPER, KEY, OCCURRENCE, ORDINAL, Rows, bytes_of
from pipeline.dedup.spans.step import SpanStep

SIGNALS: Mapping[str, pl.DataType] = {
    "cut": pl.Int64(),
    "pieces": pl.Int64(),
    "keeper": pl.UInt64(),
    "dropped": pl.String(),
}
"""What is known of each document after a step, as `SpanStep.units` describes it."""


def span_signals(steps: Iterable[str]) -> dict[str, pl.DataType]:
    """The signal columns of steps."""
    return {f"{name}.{signal}": dtype for name in steps for signal, dtype in SIGNALS.items()}


CUT = pl.Schema(
    {
        "id": pl.String,
        "source": pl.String,
        "step": pl.String,
        "start": pl.UInt64,
        "end": pl.UInt64,
        "text": pl.String,
        "keeper": pl.UInt64,
        "occurrence": pl.UInt64,
        "key": pl.UInt64,
    }
)
"""One piece that was cut, as `pipeline.schema.CUT` describes it."""


def cut_copies(
    docs: pl.DataFrame, steps: Mapping[str, SpanStep], copies: Mapping[str, Rows]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut copies out of documents; returns these, with signals and reasons, and the pieces that were cut.

    Args:
        docs: in the order of their ordinals; those that have a reason or an error are left alone.
        copies: by step, of these documents, sorted by document and place.
    """
    ordinals, text, reasons = docs["ordinal"].to_numpy(), docs["text"], docs["reason"]
    data, offsets = buffers(text)
    missing = text.is_null()
    none = np.empty(0, np.int64)
    taken = none, none, none
    pieces = [pl.DataFrame(schema=CUT)]
    signals: list[pl.Series] = []
    fine = docs["error"].is_null()
    for name, step in steps.items():
        here = fine & reasons.is_null()
        rows = copies[name]
        places = np.searchsorted(ordinals, rows[:, ORDINAL])
        if not np.array_equal(ordinals[np.minimum(places, len(ordinals) - 1)], rows[:, ORDINAL]):
            raise ValueError(f"{name}: copies in documents that are not there")
        open_rows = here.to_numpy()[places]
        rows, places = rows[open_rows], places[open_rows]
        starts, ends = bytes_of(rows)
        account = _account(docs, name, step, data, offsets, rows, places, without(places, starts, ends, taken))
        pieces.append(account)
        taken = _together(taken, step.stretches(data, offsets, places, starts, ends))
        before, text = text, strings(*strike(data, offsets, alphabet().kind, characters.table(), taken), missing)
        struck = np.zeros(len(docs), np.bool_)
        struck[places] = True
        short = _short(step, text, struck)
        reasons = reasons.set(short, f"{name}.short") if short.any() else reasons
        lost = before.str.len_chars().cast(pl.Int64) - text.str.len_chars().cast(pl.Int64)
        signals += _signals(docs, name, account, lost, short, here)
    docs = docs.with_columns(text.alias("text"), reasons.alias("reason"), *signals)
    return docs, pl.concat(pieces)


def _together(
    taken: tuple[NDArray[np.int64], ...], more: tuple[NDArray[np.int64], ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    docs, starts, ends = (np.concatenate(columns) for columns in zip(taken, more, strict=True))
    order = np.lexsort((starts, docs))
    united: tuple[NDArray[np.int64], ...] = unite(docs[order], starts[order], ends[order])
    return united[0], united[1], united[2]


def _short(step: SpanStep, text: pl.Series, struck: NDArray[np.bool_]) -> pl.Series:
    """Of which documents the step has cut so much that too little is left."""
    short = struck.copy()
    short[struck] = ~step.enough(text.filter(pl.Series(struck)))
    return pl.Series(short)


def _account(
    docs: pl.DataFrame,
    name: str,
    step: SpanStep,
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    rows: Rows,
    places: NDArray[np.int64],
    left: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> pl.DataFrame:
    """The pieces that a step cuts: the parts of its spans that nothing before has cut, each with who keeps the copy.

    Neighbours with the same keeper are one piece, unless the spans are lines, which are counted by their keys.
    """
    which, starts, ends = left
    where, keepers = places[which], rows[which, KEEPER]
    new = np.ones(len(which), np.bool_)
    if not step.apart:
        new[1:] = (where[1:] != where[:-1]) | (starts[1:] != ends[:-1]) | (keepers[1:] != keepers[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(which))[: len(first)] - 1
    where, starts, ends = where[first], starts[first], ends[last]
    occurrence = rows[which, OCCURRENCE]
    texts = strings(*slices(data, offsets, where, starts, ends), pl.Series([False]))
    pieces = pl.DataFrame(
        {
            "id": docs["id"].gather(where),
            "source": docs["source"].gather(where),
            "step": pl.repeat(name, len(first), dtype=pl.String, eager=True),
            "start": characters_before(data, offsets, where, starts),
            "end": characters_before(data, offsets, where, ends),
            "text": texts,
            "keeper": keepers[first],
            "occurrence": np.maximum.reduceat(occurrence, first) if len(first) else occurrence,
            "key": rows[which, KEY][first],
        },
        schema=CUT,
    )
    # what is left between the cuts of a step before may be nothing to look at
    return pieces.filter(pl.col("text").str.strip_chars() != "")


def _signals(
    docs: pl.DataFrame, name: str, account: pl.DataFrame, lost: pl.Series, short: pl.Series, here: pl.Series
) -> list[pl.Series]:
    """The signals of a step, given the characters that each document has lost; null for those that were not here."""
    size = (pl.col("end") - pl.col("start")).cast(pl.Int64)
    longest = pl.col("keeper").sort_by(size, descending=True, maintain_order=True).first()
    counted = account.group_by("id").agg(pieces=pl.len(), keeper=longest)
    found = docs.select("id").join(counted, on="id", how="left", maintain_order="left").select(
        pl.lit(lost).alias("cut"),
        pl.col("pieces").fill_null(0),
        "keeper",
        pl.when(pl.lit(short)).then(pl.lit(f"{name}.short")).alias("dropped"),
    )  # fmt: skip
    found = found.select(pl.when(pl.lit(here)).then(pl.col(key).cast(dtype)) for key, dtype in SIGNALS.items())
    return [found[signal].alias(f"{name}.{signal}") for signal in SIGNALS]
