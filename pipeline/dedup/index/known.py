"""What a run says of documents that are like one of an earlier run: a table beside the clusters of each step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.dedup.base import Documents
from pipeline.dedup.clusters import Joined
from pipeline.dedup.index.lookup import KnownDocuments, Place

KNOWN: dict[str, type[pl.DataType]] = {
    "ordinal": pl.UInt64,
    "earlier": pl.String,
    "state": pl.String,
    "own": pl.UInt64,
}
"""A document of this run, the one of an earlier run that stands for it (`name of the run/id`), the state of the index
that has that one, and its ordinal there."""


def known_documents(known: Sequence[Sequence[Any]], step: Documents) -> KnownDocuments | None:
    """What a step is deduplicated against; `known` says of each index how many runs count, its state and the table."""
    places = [Place(Path(path), *which) for path, which in zip(step.against, known, strict=True)]
    return KnownDocuments(places) if places else None


def write_known(joined: Joined, known: KnownDocuments | None, before: Path | None, out: Path) -> dict[str, Any]:
    """Write the table after a step, given that of the step before; returns what the receipt says of it."""
    rows = pl.DataFrame(schema=KNOWN) if before is None else pl.read_parquet(before)
    told = {}
    if known is not None:
        met = known.named(np.unique(joined.first)).select(pl.col("ordinal").alias("met"), "stands")
        kept = known.named(met["stands"].unique().sort().to_numpy()).drop("stands").rename({"ordinal": "stands"})
        mine = pl.DataFrame({"ordinal": joined.ordinals, "met": joined.first})
        mine = mine.join(met, on="met", how="left").join(kept, on="stands", how="left").select(*KNOWN)
        rows = pl.concat([rows, mine]).unique("ordinal", keep="last").sort("ordinal")
        told = {"known": {"duplicates": mine.height, "joined": known.bridged(joined.known, joined.groups)}}
    rows.write_parquet(out, compression="zstd")
    return told


def known_ordinals(path: Path) -> NDArray[np.uint64]:
    """All ordinals of such a table, sorted."""
    return pl.read_parquet(path, columns=["ordinal"])["ordinal"].to_numpy()


def known_between(path: Path, low: int, high: int) -> pl.DataFrame:
    """Columns `ordinal` and `earlier` of such a table, of ordinals in [low, high)."""
    inside = pl.col("ordinal").is_between(pl.lit(low, pl.UInt64), pl.lit(high - 1, pl.UInt64))
    return pl.scan_parquet(path).filter(inside).select("ordinal", "earlier").collect()
