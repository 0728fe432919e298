"""The proof of a step of deduplication: real documents compared text by text, and what that says of its verdicts.

Recall: pairs are drawn that may be alike (`sample.py`), and of those that are, some share is in one cluster.
Precision: of the documents that the step dropped some are compared with the one that stays for them. Similarity is that
of sets in plain Python, from texts as the step saw them; with the compiled code of the step it shares how words are
told apart, and nothing else. Keys of all these documents are computed once more and held against those of the run. The
price is less than a millisecond a pair, whatever the number of documents.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.bands import edges_of, is_among, write_table
from pipeline.dedup.base import Documents
from pipeline.dedup.proof.documents import Compared
from pipeline.dedup.proof.estimate import Share, levels, tenth, weighted, wilson
from pipeline.dedup.proof.sample import Pairs, draw, mixed, read_samples

U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]

PAIRS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("a", pa.uint64(), nullable=False),
        pa.field("b", pa.uint64(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("together", pa.bool_(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)
"""What was compared, by ordinals: pairs that were `drawn`, each with the number of pairs that it stands for, or a
`dropped` document (a) and the one that stays (b) or, where these are not alike, one that it shares a key with (`met`).
"""

_NOBODY = np.empty(0, np.uint64)
_EXAMPLES = 5
_MET = 8
"""Documents with a key in common that are looked at for one that is not like the one that stays."""


class Files(NamedTuple):
    """What a step left: its clusters and edges, and the clusters of the step before."""

    clusters: Path
    before: Path | None
    edges: Sequence[Path]
    earlier: U64 = _NOBODY
    """The documents of this run, sorted, for which one of an earlier run stays, whose text is not here."""
    first: int = 0
    """What edges raise the ordinals of this run by; those below are of documents of earlier runs."""


def prove(
    run: Path, payload: Mapping[str, Any], step: Documents, number: int, files: Files, out: Path
) -> dict[str, Any]:
    """Compare documents, write the table of pairs into a folder, and return what it says, for the receipt.

    Args:
        number: of the step among those that deduplicate.
    """
    with Compared(run, payload["parts"], payload["step"], step, out) as texts:
        return _proved(run, payload, step, number, files, texts, out / "pairs.parquet")


def _proved(
    run: Path,
    payload: Mapping[str, Any],
    step: Documents,
    number: int,
    files: Files,
    texts: Compared,
    out: Path,
) -> dict[str, Any]:
    stems = [run / "parts" / part / payload["step"] for part in payload["parts"]]
    pairs = _drawn([stem.with_name(f"{stem.name}.sample.npy") for stem in stems], step, files)
    a, b, totals = _dropped(files, number, step.proof)
    texts.fetch(np.unique(np.concatenate([pairs.a, pairs.b, a, b])))
    drawn, similar = texts.similarities(pairs.a, pairs.b), texts.similarities(a, b)
    pairs, drawn = pairs.only(drawn > 0), drawn[drawn > 0]
    weights = pairs.counts / (pairs.share * drawn**2)
    together = _together(files.clusters, pairs)
    unlike = similar < step.threshold()
    met_a, met_b = _partners(files, np.sort(a[unlike]))
    texts.fetch(np.unique(met_b))
    met = texts.similarities(met_a, met_b)
    nearest = np.maximum(similar, _best(a, met_a, met))
    table = [
        _table("drawn", pairs.a, pairs.b, drawn, together, weights),
        _table("dropped", a, b, similar, np.ones(len(a), np.bool_), np.ones(len(a))),
        _table("met", met_a, met_b, met, np.ones(len(met), np.bool_), np.ones(len(met))),
    ]
    write_table(out, pa.concat_tables(table))
    missed = np.flatnonzero((drawn >= step.threshold()) & ~together)[:_EXAMPLES]
    wrong = np.flatnonzero(nearest < step.threshold())[:_EXAMPLES]
    return {
        "threshold": round(step.threshold(), 6),
        "keys": texts.keys(),
        "drawn": _recall(step, drawn, weights, together, pairs),
        "dropped": _precision(step, similar, nearest, totals),
        "missed": texts.names(pairs.a[missed], pairs.b[missed], drawn[missed]),
        "unlike": texts.names(a[wrong], b[wrong], similar[wrong]),
    }


def _table(kind: str, *columns: NDArray[Any]) -> pa.Table:
    return pa.table([pa.array([kind] * len(columns[0])), *map(pa.array, columns)], schema=PAIRS)


def _recall(step: Documents, similar: F64, weights: F64, together: NDArray[np.bool_], pairs: Pairs) -> dict[str, Any]:
    """What drawn pairs say: how many there are as alike as the threshold, and which share of them is in one cluster."""
    least, expected = step.threshold(), np.array([step.found(s) for s in similar.tolist()], np.float64)
    alike = similar >= least
    whole, found = weights * alike, weights * (alike & together)
    recall = weighted(found, whole, pairs.units)
    matched, all_matched = float((whole * expected).sum()), float((weights * expected).sum())
    return {
        "share": round(pairs.share, 9),
        "compared": len(similar),
        "alike": int(alike.sum()),
        "pairs": round(float(whole.sum()), 1),
        "missed": round(float((whole - found).sum()), 1),
        "recall": recall and recall.to_dict(),
        "expected": round(matched / float(whole.sum()), 6) if recall else None,
        "expected_precision": round(matched / all_matched, 6) if all_matched else None,
        "levels": levels(similar, weights, together, expected, pairs.units, min(5, tenth(least)) if least < 1 else 11),
    }


def _precision(step: Documents, similar: F64, nearest: F64, totals: tuple[int, int]) -> dict[str, Any]:
    """What dropped documents say: which share is as alike as the threshold to what stays, or to that or one it met."""

    def above(values: F64) -> Share | None:
        return wilson(float((values >= step.threshold()).mean()), len(values)) if len(values) else None

    stays, any_met = above(similar), above(nearest)
    return {
        "documents": totals[0],
        "earlier": totals[1],
        "compared": len(similar),
        "precision": stays and stays.to_dict(),
        "met": any_met and any_met.to_dict(),
        "tenths": np.bincount([tenth(s) for s in similar.tolist()], minlength=11).tolist(),
    }


def _drawn(samples: Sequence[Path], step: Documents, files: Files) -> Pairs:
    """Pairs among the documents that took part."""
    hashes, ordinals, limit = read_samples(samples)
    if files.before is not None:
        before = _rows_of(files.before, np.sort(ordinals))
        stay = ~is_among(ordinals, before.filter(pl.col("dropped_by").is_not_null())["ordinal"].to_numpy())
        hashes, ordinals = hashes[stay], ordinals[stay]
    return draw(hashes, ordinals, limit, step.proof)


def _dropped(files: Files, number: int, most: int) -> tuple[U64, U64, tuple[int, int]]:
    """Up to `most` documents that the step dropped, with what stays for each; which ones follows from their place among
    all of them. And how many there are, and how many that documents of earlier runs stand for: these are left out.
    """
    total, earlier, order, pairs = 0, 0, np.empty(0, np.uint64), np.empty((2, 0), np.uint64)
    for rows in _batches(files.clusters):
        mine = rows.filter(pl.col("dropped_by") == number)
        rows = mine.filter(pl.Series(~is_among(mine["ordinal"].to_numpy(), files.earlier), dtype=pl.Boolean))
        earlier += mine.height - rows.height
        order = np.concatenate([order, mixed(np.arange(total, total + rows.height, dtype=np.uint64))])
        both = np.stack([rows["ordinal"].to_numpy(), rows["cluster"].to_numpy()])
        pairs = np.concatenate([pairs, both], axis=1)
        total += rows.height
        best = np.argsort(order)[:most]
        order, pairs = order[best], pairs[:, best]
    return pairs[0], pairs[1], (total, earlier)


def _batches(clusters: Path) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(clusters) as file:
        for batch in file.iter_batches():
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame


def _rows_of(clusters: Path, wanted: U64) -> pl.DataFrame:
    """The rows of a cluster file that are of some documents, given sorted."""
    empty = pl.read_parquet(clusters, n_rows=0)
    found = [rows.filter(pl.Series(is_among(rows["ordinal"].to_numpy(), wanted))) for rows in _batches(clusters)]
    return pl.concat([empty, *found])


def _together(clusters: Path, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs are in one cluster."""
    rows = _rows_of(clusters, np.unique(np.concatenate([pairs.a, pairs.b])))
    cluster = dict(rows.select("ordinal", "cluster").iter_rows())
    both = zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)
    return np.array([a in cluster and cluster[a] == cluster.get(b) for a, b in both], np.bool_)


def _best(wanted: U64, a: U64, similar: F64) -> F64:
    """The highest similarity of each document among those of rows, 0 where there is none."""
    best: dict[int, float] = {}
    for ordinal, value in zip(a.tolist(), similar.tolist(), strict=True):
        best[ordinal] = max(value, best.get(ordinal, 0.0))
    return np.array([best.get(ordinal, 0.0) for ordinal in wanted.tolist()], np.float64)


def _partners(files: Files, wanted: U64) -> tuple[U64, U64]:
    """For each of some documents, given sorted, the first few of this run that it has an edge with: two columns."""
    best, first = pl.DataFrame(schema={"a": pl.UInt64, "b": pl.UInt64}), np.uint64(files.first)
    for piece in edges_of(files.edges) if len(wanted) else ():
        ours = piece[:, (piece >= first).all(axis=0)] - first
        for a, b in (ours, ours[::-1]):
            here = is_among(a, wanted)
            if here.any():
                best = pl.concat([best, pl.DataFrame({"a": a[here], "b": b[here]})]).unique().sort("a", "b")
                best = best.group_by("a", maintain_order=True).head(_MET)
    return best["a"].to_numpy(), best["b"].to_numpy()
