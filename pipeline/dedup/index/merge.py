"""Sorted keys of several runs made one file, a range of keys at a time, so that memory is bounded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.dedup import jobs
from pipeline.dedup.bands import KEY_SPACE, mapped, partitions
from pipeline.dedup.index.manifest import (
    Index,
    Manifest,
    Segment,
    put_in_place,
    replace_manifest,
    writing,
)


def merge(paths: Sequence[Path], bands: int, out: Path) -> None:
    """Write one array (bands, 2, n) of several whose ordinals follow one another; one file is open at a time."""
    sizes = [mapped(path, bands).shape[2] for path in paths]
    total = sum(sizes)
    if not total:
        np.save(out, np.empty((bands, 2, 0), np.uint64))
        return
    merged = np.lib.format.open_memmap(out, mode="w+", dtype="<u8", shape=(bands, 2, total))
    for band in range(bands):
        place = 0
        for low, high in partitions(total, jobs.DEDUP_BYTES):
            slices = []
            for path in paths:
                run = mapped(path, bands)[band]
                first = np.searchsorted(run[0], np.uint64(low))
                last = np.searchsorted(run[0], np.uint64(high)) if high < KEY_SPACE else run.shape[1]
                slices.append(np.array(run[:, first:last]))
            keys, ordinals = np.concatenate(slices, axis=1)
            order = np.argsort(keys, kind="stable")  # equal keys stay in the order of the files
            merged[band, 0, place : place + len(keys)] = keys[order]
            merged[band, 1, place : place + len(keys)] = ordinals[order]
            place += len(keys)
    merged.flush()


def compact(path: Path) -> int:
    """Make all segments of an index one; returns how many there were.

    The old ones are removed when the new manifest is in place; who reads them at that moment looks again. Raises
    DedupIndexError if one of them is damaged.
    """
    Index(path)  # what is none is not made one
    with writing(path) as aside:
        index = Index(path)
        segments = index.manifest.segments
        if len(segments) > 1:
            (aside / "keys").mkdir()
            for table in index.manifest.tables:
                names = [f"{segment.folder}/{table.name}.npy" for segment in segments]
                index.check(names)
                merge([path / name for name in names], table.bands, aside / "keys" / f"{table.name}.npy")
            folder, files = put_in_place(path, aside / "keys", "keys")
            whole = Segment(first=segments[0].first, last=segments[-1].last, folder=folder, files=files)
            manifest: Manifest = index.manifest.model_copy(update={"segments": (whole,)})
            replace_manifest(path, manifest)
    return len(segments)
