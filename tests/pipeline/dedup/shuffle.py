"""Deduplication of parts of documents from texts to texts through files, in any number of tasks, groups and ranges."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.dedup.spans.copies import of_documents, write_copies, write_repeated
from pipeline.dedup.spans.rows import COPY, SPAN, RowWriter, key_ranges, runs_in, write_runs
from pipeline.dedup.spans.step import SpanStep
from pipeline.dedup.spans.strike import cut_copies
from pipeline.dedup.spans.substrings import Substrings

NOBODY = np.empty(0, np.uint64)


def documents(texts: Sequence[str | None], tasks: int) -> list[pl.DataFrame]:
    """Texts as batches of documents, as many as there are tasks, with the ordinals that a plan gives them."""
    size = -(-len(texts) // tasks)
    return [
        pl.DataFrame(
            {
                "id": pl.Series([f"{task}-{row}" for row in range(len(part))], dtype=pl.String),
                "ordinal": pl.Series([task << 32 | row for row in range(len(part))], dtype=pl.UInt64),
                "source": pl.Series(["s"] * len(part), dtype=pl.String),
                "text": pl.Series(part, dtype=pl.String),
                "reason": pl.Series([None] * len(part), dtype=pl.String),
                "error": pl.Series([None] * len(part), dtype=pl.String),
            }
        )
        for task, part in enumerate(texts[k : k + size] for k in range(0, max(len(texts), 1), max(size, 1)))
    ]


def find(
    folder: Path,
    step: SpanStep,
    batches: Sequence[pl.DataFrame],
    group: int = 1,
    ranges: int = 1,
    without: np.ndarray = NOBODY,
) -> list[Path]:
    """The files of copies in batches of documents."""
    paths = [folder / f"{k}.npy" for k in range(len(batches))]
    for path, docs in zip(paths, batches, strict=True):
        with RowWriter(path, SPAN) as writer:
            writer.write(step.spans(docs["text"], docs["ordinal"].to_numpy()))
    runs = _sorted(folder, "run", paths, group, without)
    if isinstance(step, Substrings):
        repeated = []
        for lo, hi in key_ranges(ranges, 1, 1):
            repeated.append(folder / f"repeated-{lo}.npy")
            write_repeated(runs, lo, hi, repeated[-1])
        for path, docs in zip(paths, batches, strict=True):
            ordinals = docs["ordinal"].to_numpy()
            known = of_documents(repeated, SPAN, int(ordinals[0]), int(ordinals[-1])) if len(ordinals) else None
            with RowWriter(path, SPAN) as writer:
                if known is not None:
                    writer.write(step.windows(docs["text"], ordinals, known))
        runs = _sorted(folder, "windows", paths, group, NOBODY)
    found = []
    for lo, hi in key_ranges(ranges, 1, 1):
        found.append(folder / f"copies-{lo}.npy")
        write_copies(runs, lo, hi, step.copies_kept, found[-1])
    return found


def _sorted(folder: Path, name: str, paths: list[Path], group: int, without: np.ndarray) -> list[Path]:
    runs = []
    for first in range(0, len(paths), group):
        mine = folder / f"{name}-{first}"
        mine.mkdir(exist_ok=True)
        write_runs(paths[first : first + group], without, mine)
        runs += runs_in(mine)
    return runs


def copies_in(docs: pl.DataFrame, files: Sequence[Path]) -> np.ndarray:
    if not docs.height:
        return np.empty((0, COPY), np.uint64)
    return of_documents(files, COPY, docs["ordinal"][0], docs["ordinal"][-1])


def deduplicate(
    folder: Path, step: SpanStep, texts: Sequence[str | None], tasks: int = 1, group: int = 1, ranges: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Texts with what a step makes of them, and the pieces that it cut."""
    batches = documents(texts, tasks)
    files = find(folder, step, batches, group, ranges)
    done = [cut_copies(docs, {"step": step}, {"step": copies_in(docs, files)}) for docs in batches]
    return pl.concat([docs for docs, _ in done]), pl.concat([cut for _, cut in done])
