"""A finished run put into an index: its keys sorted once more, in the order of its documents, and who they are.

All documents that a step of deduplication looked at go in, those too that were dropped: a new one may be like them.
Nothing but keys, evidence and the ledger is read. Memory goes with one group of key files, and 8 bytes a document.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.accounting.folder import RunFolder
from pipeline.dedup import jobs
from pipeline.dedup.bands import BYTES_PER_DOCUMENT, is_among, mapped, write_array
from pipeline.dedup.base import Documents
from pipeline.dedup.clusters import dropped_between
from pipeline.dedup.index.identity import described, differences
from pipeline.dedup.index.manifest import (
    FORMAT,
    Addition,
    DedupIndexError,
    Index,
    Manifest,
    Segment,
    Table,
    input_hash,
    put_in_place,
    replace_manifest,
    sample_hash_of,
    writing,
)
from pipeline.dedup.index.merge import merge
from pipeline.dedup.work import clusters_file, known_file
from pipeline.steps import use_of
from pipeline.task import Settings
from pipeline.write import conform

U64 = NDArray[np.uint64]

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("doc_id", pa.string()),
        pa.field("url", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("date", pa.string()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("stands", pa.uint64(), nullable=False),
    ]
)
"""A document of an index; `stands` is the ordinal there of the one that stands for it: itself, if it was kept."""

_ROWS = 1 << 13
_MOST = 1 << 32


class _Part(NamedTuple):
    """The documents of one task that have a key: their ordinals in the run, and the row of the first in the index."""

    stem: Path
    ordinals: U64
    row: int


def add(path: Path, run: Path, name: str | None = None) -> Addition | None:
    """Put a run into an index, which is made if there is none; returns None where the run is in it already.

    Raises DedupIndexError for a run that is not finished, has other steps of deduplication than the index, or a name
    that is taken; and RunFolderError for a folder that is no run.
    """
    folder = RunFolder(run)
    if not folder.meta.get("complete"):
        raise DedupIndexError(f"{run} is not finished; run the same command again")
    settings = Settings.read(run)
    steps, stage = settings.stages.dedup, "judge" if settings.stages.judge else "read"
    if not steps:
        raise DedupIndexError(f"{run} has no step that deduplicates documents")
    with writing(path) as aside:
        index = Index(path) if (path / "index.json").exists() else None
        tables = tuple(_table(word, step) for word, step in steps.items())
        before = index.manifest if index else Manifest(format=FORMAT, tables=tables, additions=(), segments=())
        _compare(path, run, before.tables, tables)
        inputs, samples = _inputs(folder)
        name = name or run.resolve().name
        for addition in before.additions:
            if addition.inputs == inputs and addition.samples == samples:
                return None
            if addition.name == name:
                raise DedupIndexError(f"{path} has a run '{name}' already; call this one otherwise by --name")
        number = len(before.additions)
        parts = _parts(run, stage, list(steps))
        count = sum(len(part.ordinals) for part in parts)
        if count > _MOST:
            raise DedupIndexError(f"{run} has {count:,} documents; an index takes {_MOST:,} of one run")
        (aside / "documents").mkdir()
        _write_documents(run, folder, parts, before, list(steps)[-1], aside / "documents" / "documents.parquet")
        (aside / "keys").mkdir()
        for table, step in zip(before.tables, steps.items(), strict=True):
            own, kind = step
            if table.evidence:
                _write_evidence(parts, own, number, aside / "documents" / table.name)
            earlier = list(steps)[list(steps).index(own) - 1] if own != next(iter(steps)) else None
            _write_keys(run, parts, own, kind.band_count(), earlier, number, aside / "keys" / f"{table.name}.npy")
        where, files = put_in_place(path, aside / "keys", "keys")
        segment = Segment(first=number, last=number + 1, folder=where, files=files)
        keys = PurePosixPath(where).name
        where, files = put_in_place(path, aside / "documents", "additions")
        added = Addition(
            name=name, documents=count, inputs=inputs, samples=samples, keys=keys, folder=where, files=files
        )
        replace_manifest(
            path,
            Manifest(
                format=FORMAT,
                tables=before.tables,
                additions=(*before.additions, added),
                segments=(*before.segments, segment),
            ),
        )
    return added


def _table(name: str, step: Documents) -> Table:
    how = step.verification()
    return Table(
        name=name,
        use=use_of(step),
        settings=step.model_dump(mode="json", exclude={"against"}),
        keys=described(step),
        bands=step.band_count(),
        evidence=how.by if how else None,
    )


def _compare(path: Path, run: Path, known: Sequence[Table], new: Sequence[Table]) -> None:
    """Raise DedupIndexError unless a run has the steps of an index, in the same order."""
    if [table.use for table in known] != [table.use for table in new]:
        names = [", ".join(table.use for table in tables) for tables in (new, known)]
        raise DedupIndexError(f"{run} deduplicates by {names[0]}; {path} is of runs that do so by {names[1]}")
    for a, b in zip(known, new, strict=True):
        words = list(differences(a.keys, b.keys, "index", "run"))
        if a.evidence != b.evidence:
            words.append(f"verify.by is {a.evidence!r} in the index and {b.evidence!r} in the run")
        if words:
            raise DedupIndexError(f"{path} has other keys than step '{b.name}' of {run}: {'; '.join(words)}")


def _inputs(folder: RunFolder) -> tuple[str, str]:
    entries = folder.meta["inputs"]
    samples = {(str(entry["source"]), str(entry["name"])): str(entry["sha256_sample"]) for entry in entries}
    return (
        input_hash((str(entry["source"]), str(entry["name"]), int(entry["size"])) for entry in entries),
        sample_hash_of(samples),
    )


def _parts(run: Path, stage: str, steps: Sequence[str]) -> list[_Part]:
    """The tasks of a run in the order of their documents; raises DedupIndexError where files are gone."""
    found: list[tuple[Path, U64]] = []
    for file in sorted((run / "receipts").glob(f"{stage}-*.json")):
        receipt = json.loads(file.read_text(encoding="utf-8"))
        stem = run / "parts" / str(receipt["task"])
        ordinals = []
        for step in steps:
            path = stem / f"{step}.keys.npy"
            try:
                ordinals.append(np.array(mapped(path, 1)[0]))
            except ValueError as error:
                raise DedupIndexError(f"{error}: the keys of {run} are not there; run the same command again") from None
        found.append((stem, np.unique(np.concatenate(ordinals))))
    found = sorted(((stem, some) for stem, some in found if len(some)), key=lambda part: int(part[1][0]))
    parts, row = [], 0
    for stem, some in found:
        parts.append(_Part(stem, some, row))
        row += len(some)
    return parts


def _row_of(parts: Sequence[_Part], ordinals: U64) -> U64:
    """The rows in the index of documents of a run; they must be there."""
    firsts = np.array([part.ordinals[0] for part in parts], np.uint64)
    places = np.searchsorted(firsts, ordinals, "right") - 1
    rows = np.empty(len(ordinals), np.uint64)
    for place in np.unique(places).tolist():
        mine = places == place
        rows[mine] = parts[place].row + np.searchsorted(parts[place].ordinals, ordinals[mine]).astype(np.uint64)
    return rows


def _write_documents(
    run: Path, folder: RunFolder, parts: Sequence[_Part], before: Manifest, last: str, out: Path
) -> None:
    """Write who the documents are, from the ledger, whose files are in the order of the documents."""
    every = np.concatenate([np.empty(0, np.uint64), *(part.ordinals for part in parts)])
    states = {before.state(count) for count in range(len(before.additions) + 1)}
    known = pl.scan_parquet(known_file(run, last)).filter(pl.col("state").is_in(states)).select("ordinal", "own")
    columns = ["ordinal", "id", "doc_id", "url", "source", "date", "verdict", "reason", "cluster"]
    raised = np.uint64(len(before.additions) << 32)
    written = 0
    with pq.ParquetWriter(out, DOCUMENTS, compression="zstd", store_schema=False) as writer:
        for file in folder.files("ledger"):
            docs = pl.read_parquet(file, columns=columns, glob=False, hive_partitioning=False).sort("ordinal")
            docs = docs.filter(pl.Series(is_among(docs["ordinal"].to_numpy(), every), dtype=pl.Boolean))
            if not docs.height:
                continue
            low, high = docs["ordinal"][0], docs["ordinal"][-1]
            if low != every[written]:
                raise DedupIndexError(f"{file}: document {low} is not the next one; run the same command again")
            theirs = known.filter(pl.col("ordinal").is_between(pl.lit(low), pl.lit(high))).collect()
            docs = docs.join(theirs, on="ordinal", how="left", maintain_order="left")
            ours = docs["cluster"].fill_null(docs["ordinal"]).to_numpy()
            stands = pl.Series("ours", raised + _row_of(parts, ours), dtype=pl.UInt64)
            docs = docs.with_columns(stands=pl.coalesce("own", stands))
            writer.write_table(conform(docs, DOCUMENTS), row_group_size=_ROWS)
            written += docs.height
    if written != len(every):
        raise DedupIndexError(f"{run}: the ledger has {written:,} of {len(every):,} documents that have keys")


def _write_evidence(parts: Sequence[_Part], step: str, number: int, stem: Path) -> None:
    """Write what pairs are looked at again by, of all tasks one after another, as `verify.Evidences` reads it."""
    ordinals, values, ends = [], [], [np.empty(0, np.int64)]
    size = 0
    for part in parts:
        own = np.array(mapped(part.stem / f"{step}.keys.npy", 1)[0])
        ordinals.append((number << 32) + part.row + np.searchsorted(part.ordinals, own).astype(np.uint64))
        values.append(part.stem / f"{step}.values.npy")
        stops = np.array(mapped(part.stem / f"{step}.ends.npy"))
        ends.append(stops + size)
        size += int(stops[-1]) if len(stops) else 0
    count = sum(map(len, ordinals))
    write_array(stem.with_name(f"{stem.name}.keys.npy"), (1, count), iter(ordinals))
    np.save(stem.with_name(f"{stem.name}.ends.npy"), np.concatenate(ends))
    kind = mapped(values[0]).dtype if values else np.dtype(np.uint32)
    with stem.with_name(f"{stem.name}.values.npy").open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)
        for path in values:
            np.array(mapped(path)).tofile(file)


def _write_keys(
    run: Path, parts: Sequence[_Part], step: str, bands: int, earlier: str | None, number: int, out: Path
) -> None:
    """Write the sorted keys of all documents that took part in a step."""
    groups = list(_groups(parts))
    pieces = [out.with_name(f"{out.stem}-{k}.npy") for k in range(len(groups))]
    for group, piece in zip(groups, pieces, strict=True):
        _sort_group(run, group, step, bands, earlier, number, piece)
    if len(pieces) == 1:
        pieces[0].rename(out)
        return
    merge(pieces, bands, out)
    for piece in pieces:
        piece.unlink()


def _groups(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    group: list[_Part] = []
    size = 0
    for part in parts:
        if group and size + len(part.ordinals) > max(1, jobs.DEDUP_BYTES // BYTES_PER_DOCUMENT):
            yield group
            group, size = [], 0
        group.append(part)
        size += len(part.ordinals)
    yield group


def _sort_group(
    run: Path, group: Sequence[_Part], step: str, bands: int, earlier: str | None, number: int, out: Path
) -> None:
    rows, chosen = [np.empty(0, np.uint64)], []
    for part in group:
        own = np.array(mapped(part.stem / f"{step}.keys.npy", 1 + bands)[0])
        mine = np.ones(len(own), np.bool_)
        if earlier is not None and len(own):
            mine = ~is_among(own, dropped_between(clusters_file(run, earlier), int(own[0]), int(own[-1]) + 1))
        chosen.append(mine)
        rows.append((number << 32) + part.row + np.searchsorted(part.ordinals, own[mine]).astype(np.uint64))
    ordinals = np.concatenate(rows)

    def in_order() -> Iterator[U64]:
        for band in range(bands):
            files = [part.stem / f"{step}.keys.npy" for part in group]  # each open for as long as it is copied
            columns = [mapped(f, 1 + bands)[1 + band][m] for f, m in zip(files, chosen, strict=True)]
            keys = np.concatenate([np.empty(0, np.uint64), *columns])
            order = np.argsort(keys, kind="stable")  # equal keys stay in the order of documents
            yield keys[order]
            yield ordinals[order]

    write_array(out, (bands, 2, len(ordinals)), in_order())
