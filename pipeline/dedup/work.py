"""What the jobs of a step of deduplication do, and what the tasks before them write for it, a step's files a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.dedup import preference
from pipeline.dedup.bands import direct_edges, partition_edges, write_keys, write_run
from pipeline.dedup.base import Documents, Signed
from pipeline.dedup.clusters import Rank, dropped_between, write_clusters
from pipeline.dedup.index.known import known_documents, known_ordinals, write_known
from pipeline.dedup.index.lookup import KnownDocuments
from pipeline.dedup.jobs import clusters_job, sort_job
from pipeline.dedup.proof.comparison import Files, prove
from pipeline.dedup.proof.sample import write_sample
from pipeline.dedup.verify import Evidences, write_evidence


class KeyWriter:
    """The keys of one task's documents for one step, gathered and written at its end: 8 bytes a key and document."""

    def __init__(self, stem: Path, step: Documents) -> None:
        self._stem, self._step = stem, step
        self._ordinals = [np.empty(0, np.uint64)]
        self._signed: list[Signed] = []
        self._preferred: list[pl.DataFrame] = []

    def add(self, docs: pl.DataFrame) -> None:
        """Look at a batch; documents that give no key leave nothing here."""
        signed = self._step.sign(docs[self._step.reads])
        found = signed.found
        self._ordinals.append(docs["ordinal"].to_numpy()[found])
        self._signed.append(signed.only(found))
        if self._step.prefer:
            mine = docs.filter(pl.Series(found))
            self._preferred.append(mine.select("ordinal").hstack(preference.values(mine, self._step.prefer)))

    def close(self) -> None:
        """Write the files, with no rows if there are none, so that a lost one is never taken for an empty one."""
        none = np.empty((0, self._step.band_count()), np.uint64)
        keys = np.concatenate([none, *(signed.keys for signed in self._signed)])
        write_keys(_keys(self._stem), np.concatenate(self._ordinals), keys)
        if self._step.proof:
            found = [signed.sample for signed in self._signed if signed.sample is not None]
            hashes = np.concatenate([np.empty(0, np.uint64), *found])
            write_sample(_sample(self._stem), hashes, np.concatenate(self._ordinals))
        if self._step.verification() is not None:
            empty = self._step.sign(pl.Series([], dtype=pl.String))
            write_evidence(self._stem, [signed.evidence for signed in (empty, *self._signed) if signed.evidence])
        if self._preferred:
            pl.concat(self._preferred).write_parquet(_preferred(self._stem), compression="zstd", statistics=False)


def _keys(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.keys.npy")


def _sample(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.sample.npy")


def _preferred(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.preferred.parquet")


def clusters_file(run: Path, step: str) -> Path:
    """Where the clusters are after a step."""
    return run / "parts" / clusters_job(step) / "clusters.parquet"


def known_file(run: Path, step: str) -> Path:
    """Where it stands after a step which documents are like one of an earlier run."""
    return run / "parts" / clusters_job(step) / "known.parquet"


def _edges(folder: Path) -> Path:
    return folder / "edges.npy"


def do_job(kind: str, run: Path, payload: Mapping[str, Any], step: Documents, number: int, out: Path) -> dict[str, Any]:
    """Do a job of one of `jobs.KINDS`; returns what the receipt says of it beside.

    Args:
        number: of the step among those that deduplicate.
        out: the folder for what it makes.
    """
    known = known_documents(payload["known"], step)
    if kind == "sort":
        if known is not None:
            known.check(*payload["turn"])
        _sort(run, payload, step, known, out)
    elif kind == "edges":
        runs = [run / "parts" / sort_job(payload["step"], k) / "run.npy" for k in range(payload["runs"])]
        chained = step.verification() is not None
        partition_edges(runs, payload["band"], payload["low"], payload["high"], chained, _edges(out), known)
    elif kind == "clusters":
        return _clusters(run, payload, step, number, known, out)
    else:
        before = None if payload["earlier"] is None else clusters_file(run, payload["earlier"])
        edges = [_edges(run / "parts" / job) for job in payload["edges"]]
        files = Files(clusters_file(run, payload["step"]), before, edges)
        if known is not None:
            files = files._replace(earlier=known_ordinals(known_file(run, payload["step"])), first=known.first)
        return {"proof": prove(run, payload, step, number, files, out)}
    return {}


def _stems(run: Path, payload: Mapping[str, Any]) -> list[Path]:
    return [run / "parts" / part / payload["step"] for part in payload["parts"]]


def _sort(run: Path, payload: Mapping[str, Any], step: Documents, known: KnownDocuments | None, out: Path) -> None:
    stems, first = _stems(run, payload), payload["first"]
    without = np.empty(0, np.uint64)
    if payload["earlier"] is not None:
        before = clusters_file(run, payload["earlier"])
        without = dropped_between(before, first << 32, (first + len(stems)) << 32)
    paths = [_keys(stem) for stem in stems]
    if payload["alone"]:
        direct_edges(paths, step.band_count(), without, step.verification() is not None, _edges(out), known)
    else:
        write_run(paths, step.band_count(), without, out / "run.npy")


def _clusters(
    run: Path, payload: Mapping[str, Any], step: Documents, number: int, known: KnownDocuments | None, out: Path
) -> dict[str, Any]:
    stems, how, earlier = _stems(run, payload), step.verification(), payload["earlier"]
    accept = None
    if how is not None:
        evidences = Evidences(stems, how.by == "shingles", known.evidence() if known else ())
        least = how.jaccard
        accept = lambda a, b: evidences.similarities(a, b) >= least  # noqa: E731
    joined = write_clusters(
        [_edges(run / "parts" / job) for job in payload["edges"]],
        out / "clusters.parquet",
        number,
        None if earlier is None else clusters_file(run, earlier),
        accept,
        _rank(stems, step.prefer, payload["sources"]) if step.prefer else None,
        known.first if known else 0,
    )
    before = None if earlier is None else known_file(run, earlier)
    return write_known(joined, known, before, out / "known.parquet")


def _rank(stems: Sequence[Path], prefer: Sequence[str], sources: Sequence[str]) -> Rank:
    def rank(members: pl.DataFrame) -> pl.DataFrame:
        members = members.sort("ordinal")
        tasks = (members["ordinal"] // 2**32).to_numpy()
        found = []
        for place in np.unique(tasks).tolist():
            first, last = np.searchsorted(tasks, [place, place + 1])
            mine = members[int(first) : int(last)]
            known = pl.read_parquet(_preferred(stems[place]))
            found.append(mine.join(known, on="ordinal", how="left", maintain_order="left"))
        return preference.in_order(pl.concat(found), prefer, sources) if found else members

    return rank
