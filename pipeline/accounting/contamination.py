"""Which items of evaluation sets a run found, in how many documents, and the passages of both side by side.

Counts are queries on the ledger. Passages are not kept in a run: the step is asked again about the text of one or two
documents of each item that is shown. Where the text or the sets are no longer what they were, counts are all there is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import polars as pl

from pipeline.accounting.folder import RunFolder, RunStep
from pipeline.accounting.inspect import FOLDERS

CUT, DROP = "cut_contamination", "decontaminate"

_SHOWN = 50
_AROUND = 100
"""Characters of a document that are shown before and after a passage."""


@dataclass(frozen=True)
class Passage:
    """A piece of a document: `marked` tells the parts that are of the item."""

    source: str
    id: str
    parts: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class FoundItem:
    """An item, the documents that hold it, and passages of some of them."""

    name: str
    documents: int
    kept: int
    question: str | None
    answer: str | None
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class FoundSet:
    """What was found of one set."""

    name: str
    found: int
    documents: int


@dataclass(frozen=True)
class Contamination:
    """What one step found: all sets, and the items that most documents hold."""

    step: str
    documents: int
    sets: tuple[FoundSet, ...]
    items: tuple[FoundItem, ...]
    more: int
    """Items that are not shown."""
    problem: str | None
    """Why there are no passages."""


def contamination(folder: RunFolder) -> Iterator[Contamination]:
    """What each step of decontamination of a run found, in the order of the steps."""
    for step in folder.steps:
        if step.use in (CUT, DROP) and f"{step.name}.items" in folder.signals:
            yield _found(folder, step)


def _found(folder: RunFolder, step: RunStep) -> Contamination:
    holding = folder.ledger().filter(pl.col(f"{step.name}.items").is_not_null())
    named = holding.select("ordinal", "verdict", item=pl.col(f"{step.name}.items").str.split(" ")).explode("item")
    label = pl.col("item").str.replace(r":\d+$", "")
    sets = (
        named.group_by(label=label)
        .agg(found=pl.col("item").n_unique(), documents=pl.col("ordinal").n_unique())
        .sort("label")
        .collect(engine="streaming")
    )
    items = named.group_by("item").agg(
        documents=pl.len(),
        kept=(pl.col("verdict") == "kept").sum(),
        first=pl.col("ordinal").min(),
        last=pl.col("ordinal").max(),
    )
    top = items.sort("documents", "item", descending=[True, False]).head(_SHOWN).collect(engine="streaming")
    texts = _texts(folder, step, holding, {*top["first"], *top["last"]})
    problem = None
    try:
        passages = _Passages(folder, step, list(top["item"]), texts)
    except ValueError as error:  # what is wrong with the sets; pydantic's errors are of this kind
        problem, passages = str(error), None
    shown = tuple(
        FoundItem(
            row["item"],
            row["documents"],
            row["kept"],
            *(passages.item(row["item"]) if passages else (None, None)),
            tuple(passages.of(row["item"], (row["first"], row["last"]))) if passages else (),
        )
        for row in top.iter_rows(named=True)
    )
    return Contamination(
        step.name,
        holding.select(pl.len()).collect(engine="streaming").item(),
        tuple(FoundSet(*row) for row in sets.iter_rows()),
        shown,
        int(sets["found"].sum()) - top.height,
        problem,
    )


def _texts(
    folder: RunFolder, step: RunStep, holding: pl.LazyFrame, ordinals: set[int]
) -> dict[int, tuple[str, str, str]]:
    """Source, id and text by ordinal: as it was dropped or is in the shards, or what was cut out of it."""
    cut = [f"{step.name}.cut"] if step.use == CUT else []
    rows = holding.filter(pl.col("ordinal").is_in(sorted(ordinals))).select("ordinal", "source", "id", "verdict", *cut)
    found: dict[int, tuple[str, str, str]] = {}
    todo: dict[tuple[str, str], dict[str, int]] = {}
    for ordinal, source, name, verdict, *texts in rows.collect(engine="streaming").iter_rows():
        if texts:
            found[ordinal] = source, name, texts[0]
        else:
            todo.setdefault((verdict, source), {})[name] = ordinal
    for (verdict, source), names in sorted(todo.items()):
        frame = folder.scan(FOLDERS[verdict], source) if verdict in ("dropped", "kept") else None
        if frame is not None:
            wanted = frame.filter(pl.col("id").is_in(list(names))).select("id", "text").collect(engine="streaming")
            found |= {names[name]: (source, name, text) for name, text in wanted.iter_rows() if text is not None}
    return found


class _Passages:
    """The step of a run asked again about some of its documents."""

    def __init__(
        self, folder: RunFolder, step: RunStep, names: list[str], texts: Mapping[int, tuple[str, str, str]]
    ) -> None:
        from pipeline.decontaminate.step import CutContamination, Decontaminate

        entry: dict[str, Any] = next(entry for entry in folder.meta["steps"] if entry["name"] == step.name)
        again = (CutContamination if step.use == CUT else Decontaminate).model_validate(entry["settings"])
        self._texts = texts
        self._places = {ordinal: place for place, ordinal in enumerate(texts)}
        self._found = again.search(pl.Series([text for _, _, text in texts.values()], dtype=pl.String))
        items = again.items
        self._rows = {
            (int(doc), items.name(int(item))): (int(first), int(last)) for doc, item, first, last in self._found.matches
        }
        self._items: dict[str, tuple[str, str]] = {}
        for label, found in again.sets.items():
            rows = {int(name.rpartition(":")[2]) for name in names if name.rpartition(":")[0] == label}
            for row, item in enumerate(islice(found.items(), max(rows, default=-1) + 1)):
                if row in rows:
                    self._items[f"{label}:{row}"] = item

    def item(self, name: str) -> tuple[str | None, str | None]:
        """Question and answer of an item."""
        return self._items.get(name, (None, None))

    def of(self, name: str, ordinals: tuple[int, int]) -> Iterator[Passage]:
        """The passages of an item in documents whose text still has it."""
        for ordinal in dict.fromkeys(ordinals):
            place = self._places.get(ordinal, -1)
            if (place, name) in self._rows:
                source, label, text = self._texts[ordinal]
                yield Passage(source, label, tuple(self._parts(text.encode(), place, *self._rows[place, name])))

    def _parts(self, data: bytes, place: int, first: int, last: int) -> Iterator[tuple[str, bool]]:
        """A passage with the text around it, in parts that are of an item and others."""
        begin, end = max(0, first - _AROUND), min(len(data), last + _AROUND)
        done = begin
        spans = sorted((int(a), int(b)) for doc, a, b in self._found.spans if doc == place)
        for a, b in spans:
            a, b = max(a, done), min(b, end)
            if a < b:
                yield data[done:a].decode(errors="ignore"), False
                yield data[a:b].decode(errors="ignore"), True
                done = b
        yield data[done:end].decode(errors="ignore"), False
