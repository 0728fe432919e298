"""The items of all evaluation sets of a step, as an index that is made once on a machine.

It lies in the cache as plain arrays, and workers map them into memory: however many work, it is there once.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters import assets, compiled
from filters.words import buffers
from pipeline.decontaminate.grams import GRAM, Index, make
from pipeline.decontaminate.scan import count_documents
from pipeline.decontaminate.sets import EvaluationSet, OrdinaryTexts
from pipeline.decontaminate.words import letters, word_hashes

_BATCH = 1000
_KEPT = 8
"""Indexes in the cache, those that were used last."""


@dataclass(frozen=True)
class Items:
    """The index, and where in it each set begins, in the order of the config."""

    key: str
    """Of the files and of the code: equal keys are equal items."""
    index: Index
    begins: Mapping[str, int]

    def name(self, item: int) -> str:
        """`set:row`, rows counted from 0 through the files of the set."""
        label, begin = next(entry for entry in reversed(list(self.begins.items())) if entry[1] <= item)
        return f"{label}:{item - begin}"


def folder() -> Path:
    """Where indexes are kept; it need not exist."""
    return assets.folder() / "decontamination"


def load(sets: Mapping[str, EvaluationSet], ordinary: OrdinaryTexts | None = None) -> Items:
    """The items of these sets, made if they are not in the cache; raises ValueError for what cannot be read."""
    parts = [(name, found.question, found.answer, found.sha256()) for name, found in sets.items()]
    known = (ordinary.text, ordinary.documents, ordinary.sha256()) if ordinary else None
    code = compiled.digest(make.__module__, count_documents.__module__)
    key = sha256(json.dumps([code, parts, known]).encode()).hexdigest()[:32]
    made = folder() / key
    if not (made / "sets.json").is_file():
        with assets.alone("decontamination"):
            if not (made / "sets.json").is_file():
                _write(sets, ordinary, made)
    with contextlib.suppress(OSError):  # it was used; that it can be marked so does not matter
        os.utime(made)
    return _open(made)


@lru_cache(maxsize=4)
def _open(made: Path) -> Items:
    arrays = (np.asarray(np.load(made / f"{name}.npy", mmap_mode="r")) for name in Index._fields)
    return Items(made.name, Index(*arrays), json.loads((made / "sets.json").read_text(encoding="utf-8")))


def _counts(index: Index, ordinary: OrdinaryTexts) -> NDArray[np.int64]:
    """In how many ordinary documents each 5-gram of the items stands."""
    counts = np.zeros(len(index.ordinary), np.int64)
    try:
        texts = ordinary.texts()
        while batch := list(islice(texts, _BATCH)):
            count_documents(*buffers(pl.Series(batch, dtype=pl.String)), letters(), index, counts)
    except ValueError as error:
        raise ValueError(f"ordinary: {error}") from error
    return counts


def _write(sets: Mapping[str, EvaluationSet], ordinary: OrdinaryTexts | None, made: Path) -> None:
    begins: dict[str, int] = {}
    questions: list[str] = []
    answers: list[str] = []
    for name, found in sets.items():
        begins[name] = len(questions)
        try:
            for item in found.items():
                questions.append(item.question)
                answers.append(item.answer)
        except ValueError as error:
            raise ValueError(f"set '{name}': {error}") from error
    columns = (pl.Series(texts, dtype=pl.String) for texts in (questions, answers))
    asked, told = map(word_hashes, columns)
    del questions, answers
    index = make(asked, told)
    if not len(index.places):
        raise ValueError(f"sets: no item has the {GRAM} words in a row by which it could be found")
    if ordinary is not None:
        index = index._replace(ordinary=_counts(index, ordinary) > ordinary.documents)
    made.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=made.parent, prefix="."))
    try:
        for label, array in index._asdict().items():
            np.save(scratch / f"{label}.npy", array)
        (scratch / "sets.json").write_text(json.dumps(begins), encoding="utf-8")
        shutil.rmtree(made, ignore_errors=True)
        scratch.rename(made)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    others = sorted(made.parent.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
