"""What steps of deduplication cut out of documents most often: the lines, sentences and runs of words of a corpus."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.text import Text

from pipeline.accounting.escape import line
from pipeline.accounting.folder import RunFolder, RunFolderError, nearest
from pipeline.accounting.tables import number, table

_SHOWN = 100


@dataclass(frozen=True)
class Frequent:
    """A piece that occurs often; pieces count as one where a step gives them the same key."""

    step: str
    text: str
    """The longest with this key: steps before may have cut some of the others."""
    occurrences: int
    """In all documents that came to the step, those included that keep it."""
    cut: int
    """How often it was cut, as a piece of its own or at the beginning of a longer one."""
    keeper: int
    """The ordinal of the document with the first one."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, nothing shortened."""
        return asdict(self)


def frequent(run: Path | RunFolder, source: str | None = None, n: int = 10) -> list[Frequent]:
    """The `n` pieces that occurred most often; raises RunFolderError for a source that the run does not have.

    One streaming pass; memory goes with the number of different pieces.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    if source is not None and source not in folder.sources:
        raise RunFolderError(f"no source '{line(source)}' in {folder.path}{nearest(source, folder.sources)}")
    frame = folder.scan("cut", source)
    if frame is None:
        return []
    size = pl.col("end") - pl.col("start")
    counted = frame.group_by("step", "key").agg(
        pl.col("occurrence").max(), pl.len().alias("cut"), pl.col("keeper").min(), size.max().alias("size")
    )
    order = ["occurrence", "cut", "step", "key"]
    found = counted.sort(order, descending=[True, True, False, False]).head(n).collect(engine="streaming")
    longest = frame.with_columns(size=size).join(found.lazy(), on=["step", "key", "size"], how="semi")
    texts = longest.sort("id", "start").select("step", "key", "text").collect(engine="streaming")
    text_of = {(step, key): text for step, key, text in reversed(texts.rows())}
    return [
        Frequent(step, text_of[step, key], occurrences, cut, keeper)
        for step, key, occurrences, cut, keeper, _ in found.rows()
    ]


def render(found: Sequence[Frequent]) -> RenderableType:
    """A table, texts cut after a hundred characters."""
    if not found:
        return Text("nothing was cut")
    rows = [
        (
            entry.step,
            number(entry.occurrences),
            number(entry.cut),
            entry.text[:_SHOWN] + "…" * (len(entry.text) > _SHOWN),
        )
        for entry in found
    ]
    return table("cut most often", ("step", "occurrences", "cut", "text"), rows, words=("text",))
