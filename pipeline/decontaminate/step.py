"""The steps of decontamination: one drops documents that hold items of evaluation sets, one cuts the items out."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from itertools import groupby
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars._typing import PolarsDataType
from pydantic import Field, model_validator

from filters.base import OFF, Filter, Range, Step, Transform
from filters.memory import Memory
from filters.words import buffers
from pipeline.decontaminate.grams import GRAM
from pipeline.decontaminate.items import Items, load
from pipeline.decontaminate.scan import IDF, RUN, SHARE, Found, Rules, scan
from pipeline.decontaminate.sets import EvaluationSet, OrdinaryTexts
from pipeline.decontaminate.words import letters

Rule = Literal["idf", "run", "share"]
Count = Annotated[int, Field(ge=1)]

COLUMNS: Mapping[Rule, int] = {"idf": IDF, "run": RUN, "share": SHARE}

# Scores and shares of exactly 0.8 and 0.7 are contamination in the rules' papers, and both ends belong to a range.
LIMITS: Mapping[Rule, float] = {"idf": math.nextafter(0.8, 0), "share": math.nextafter(0.7, 0)}
"""The largest value of a document that is clean, under the rules that are on by default. That of `run` would be 12."""

_ROUNDS = 8
_memory: Memory[Found] = Memory()


class _Search(Step):
    """What both steps are told: the sets, and what counts as holding an item."""

    source: ClassVar[str] = (
        "idf: Ai2 2025, decon (github.com/allenai/decon), doc/simple-details.md; run: Brown et al. 2020, Language "
        "Models are Few-Shot Learners, appendix C; share: Chowdhery et al. 2022, PaLM, section 8"
    )

    sets: Annotated[Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], EvaluationSet], Field(min_length=1)]
    """By name: `paths` of JSON Lines or Parquet files, the columns that are the `question`, and those that are the
    `answer`, if there is one."""
    sample: Count | None = None
    """Every so manieth 5-gram of a document is looked up: rows of `sample` + 4 equal words are always found, shorter
    ones only beside others. By default every fourth, or so many that `share` and `run` miss nothing; decon takes every
    tenth."""
    misses: Annotated[int, Field(ge=0)] = 10
    """A stretch of a document may have so many 5-grams in a row that are not the question's."""
    common: Count = 1000
    """5-grams that stand at more places of the items, such as those of a prompt that all have, begin no match."""
    ordinary: OrdinaryTexts | None = None
    """A sample of the documents: `paths`, the column `text`, and `documents`, 10. A 5-gram in more of them than that
    begins no match either, such as those of loops that all programs have: the rule of GPT-3 for its 13-grams."""
    gram: Annotated[int, Field(ge=GRAM)] = 8
    """Words of the n-grams of `share`."""
    shortest: Count = 15
    """Words of question and answer together that an item needs for `idf`."""
    perfect: tuple[Count, Count] = (20, 50)
    """Up to so many words of question and answer `idf` is 0.8 and more only if all is there; from so many on it is the
    score itself, in between something between."""

    def identity(self) -> Mapping[str, str]:
        ordinary = {"ordinary": self.ordinary.sha256()} if self.ordinary else {}
        return {**{f"sets.{name}": found.sha256() for name, found in self.sets.items()}, **ordinary}

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.perfect[0] >= self.perfect[1]:
            raise ValueError(f"perfect: {self.perfect[0]} words are not fewer than {self.perfect[1]}")
        load(self.sets, self.ordinary)
        return self

    @property
    def items(self) -> Items:
        """The items of all sets."""
        return load(self.sets, self.ordinary)

    @abstractmethod
    def limits(self) -> Mapping[Rule, float]:
        """The value under each rule above which an item counts as found; a rule that is off has none."""

    def search(self, text: pl.Series) -> Found:
        """What is in each text; a null holds nothing."""
        limits = np.full(len(COLUMNS), np.inf)
        for rule, limit in self.limits().items():
            limits[COLUMNS[rule]] = limit
        needed = min(self.gram, limits[RUN] + 1)  # words in a row
        sample = self.sample or max(1, math.floor(needed) - GRAM + 1)
        rules = Rules(limits, sample, self.misses, self.common, self.gram, self.shortest, *self.perfect)
        found: Found = scan(*buffers(text), letters(), self.items.index, rules)
        return found

    def names(self, found: Found, docs: int) -> list[str | None]:
        """For each document the items that it holds, `set:row` with spaces between; None where it holds none."""
        items = self.items
        names: list[str | None] = [None] * docs
        for doc, rows in groupby(found.matches, key=lambda row: int(row[0])):
            names[doc] = " ".join(items.name(int(row[1])) for row in rows)
        return names


class Decontaminate(_Search, Filter):
    """Whether a document holds items of evaluation sets, by the words that both have.

    Words are those of deduplication, without case, accents and punctuation; numbers keep their digits. Items of fewer
    than 5 words are never found, and none by a rule that needs more words than it has.

    Signals:
        idf: for the item that is matched best, the weight of its question's 5-grams that stand in one place of the
            document, divided by that of all, and of its answer behind it: a 5-gram weighs more the fewer items have it.
        run: the most words in a row that the document and an item have in common. It is only measured by default, since
            13 words in a row, the rule of GPT-3, can be a loop or a header that programs and tables share.
        share: for the question or the answer that is matched best, the share of its 8-grams (`gram`) that the document
            has anywhere.
        items: the items for which one of these is above its range, or above the default if no range is set, as
            `set:row`.
    """

    units: ClassVar[Mapping[str, str]] = {
        "idf": "score, 0 to 1",
        "run": "words",
        "share": "share of n-grams",
        "items": "labels",
    }

    defaults: ClassVar[Mapping[str, Range]] = {rule: (None, limit) for rule, limit in LIMITS.items()}

    def limits(self) -> Mapping[Rule, float]:
        """The upper ends of the ranges; the defaults if none has one, so that what is only measured is named too."""
        ends = {rule: end for rule in COLUMNS if (end := self.keep.get(rule, OFF)[1]) is not None}
        return ends or LIMITS

    def signals(self) -> Mapping[str, pl.Expr]:
        found: dict[str, pl.Expr] = {}
        for rule, column in COLUMNS.items():
            found[rule] = self._signal(pl.Int64 if rule == "run" else pl.Float64, column)
        return {**found, "items": self._signal(pl.String, None)}

    def _signal(self, dtype: PolarsDataType, column: int | None) -> pl.Expr:
        """The values under a rule, or the names of items."""

        def evaluate(text: pl.Series) -> pl.Series:
            with _memory.lock:
                found = _memory.recall(text, self.search, (self.model_dump_json(), self.items.key))
            values = self.names(found, len(text)) if column is None else found.values[:, column]
            told = pl.Series(text.name, values).cast(dtype)
            return told.set(text.is_null(), None) if text.null_count() else told

        return pl.col("text").map_batches(evaluate, return_dtype=dtype)


class CutContamination(_Search, Transform):
    """Cut the items of evaluation sets out of documents, from word to word, and leave the text around them.

    Under `idf` the question and the answer behind it are cut, under the other rules every row of 8 words (`gram`, or as
    many as `run` asks for) and more that the item has too. What moves together can make an item anew; it is cut again,
    and a text in which there is still one after 8 rounds is left empty, and is dropped.

    Signals:
        spans, chars: how many pieces were cut, and their characters together.
        items: the items that were found, as `set:row`.
        cut: what was cut, with a line of `…` between pieces.
    """

    units: ClassVar[Mapping[str, str]] = {"spans": "pieces", "chars": "characters", "items": "labels", "cut": "text"}

    above: Mapping[Rule, Annotated[float, Field(ge=0)] | None] = {}
    """Values above which an item counts as found: `run: 12` is the rule of GPT-3, null switches a rule off. Those that
    are not named are as in `decontaminate`, 0.8 and more for `idf` and 0.7 and more for `share`."""
    margin: Annotated[int, Field(ge=0)] = 0
    """Characters that are cut on both sides too, and the rest of the words that these end in; Brown et al. 2020 cut
    200."""

    def limits(self) -> Mapping[Rule, float]:
        return {rule: limit for rule, limit in {**LIMITS, **self.above}.items() if limit is not None}

    def apply(self, docs: pl.DataFrame, name: str) -> pl.DataFrame:
        text = docs["text"]
        found = self.search(text)
        rows = np.unique(found.matches[:, 0])
        texts, cut, items = self._cut(text.gather(rows).to_list(), found, rows)
        spans, chars = np.zeros(docs.height, np.int64), np.zeros(docs.height, np.int64)
        spans[rows], chars[rows] = list(map(len, cut)), [sum(map(len, pieces)) for pieces in cut]
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, docs.height)
        return docs.with_columns(
            text.scatter(rows, texts) if len(rows) else text,
            pl.Series(f"{name}.spans", spans),
            pl.Series(f"{name}.chars", chars),
            nothing.scatter(rows, [" ".join(labels) for labels in items]).alias(f"{name}.items"),
            nothing.scatter(rows, [_GAP.join(pieces) for pieces in cut]).alias(f"{name}.cut"),
        )

    def _cut(
        self, texts: list[str], found: Found, rows: NDArray[np.int64]
    ) -> tuple[list[str], list[list[str]], list[dict[str, None]]]:
        """These texts, `rows` of those that were searched, without what was found; what was cut; the items."""
        cut: list[list[str]] = [[] for _ in texts]
        items: list[dict[str, None]] = [{} for _ in texts]
        todo = np.arange(len(texts))
        for _ in range(_ROUNDS):
            if not len(todo):
                return texts, cut, items
            places = {int(row): int(place) for row, place in zip(rows, todo, strict=True)}
            names = self.items.name
            for doc, item in found.matches[:, :2]:
                items[places[int(doc)]][names(int(item))] = None
            for doc, spans in groupby(found.spans, key=lambda span: int(span[0])):
                place = places[doc]
                texts[place], pieces = self._without(texts[place], [(int(span[1]), int(span[2])) for span in spans])
                cut[place] += pieces
            found = self.search(pl.Series([texts[place] for place in todo], dtype=pl.String))
            rows = np.unique(found.matches[:, 0])
            todo = todo[rows]
        for left in map(int, todo):
            cut[left].append(texts[left])
            texts[left] = ""
        return texts, cut, items

    def _without(self, text: str, spans: list[tuple[int, int]]) -> tuple[str, list[str]]:
        """A text without these bytes and the margins around them, and what was cut."""
        data, done, chars = text.encode(), 0, 0
        widened: list[tuple[int, int]] = []
        for first, stop in _joined(spans):
            begin = chars + len(data[done:first].decode())
            chars, done = begin + len(data[first:stop].decode()), stop
            widened.append(self._widened(text, begin, chars))
        kept: list[str] = []
        cut: list[str] = []
        done = 0
        for first, stop in _joined(widened):
            kept.append(text[done:first])
            cut.append(text[first:stop])
            done = stop
        return "".join((*kept, text[done:])), cut

    def _widened(self, text: str, first: int, stop: int) -> tuple[int, int]:
        """Where a span with its margins begins and ends, no word in two."""
        if self.margin:
            first, stop = max(0, first - self.margin), min(len(text), stop + self.margin)
            while first > 0 and text[first - 1].isalnum():
                first -= 1
            while stop < len(text) and text[stop].isalnum():
                stop += 1
        return first, stop


_GAP = "\n…\n"


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans, those that overlap as one."""
    out: list[tuple[int, int]] = []
    for first, stop in sorted(spans):
        if out and first <= out[-1][1]:
            out[-1] = out[-1][0], max(stop, out[-1][1])
        else:
            out.append((first, stop))
    return out
