"""The list rule of C4: pages with a word of a list of bad words."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from filters import assets, lists, urls
from filters.base import Filter, Range
from filters.memory import Memory
from filters.words import buffers

if TYPE_CHECKING:
    from filters.phrases import Phrases

AUTO = "auto"
_CODE = re.compile(r"([a-z]{2,3}(?:[-_][A-Za-z0-9_-]+)?)(?:\.txt)?")
_WITHOUT_SPACES = ("ja", "th", "zh")
_ALLOWED = {"ja": {"sm", "グロ", "女の子"}, "zh": {"性"}}
"""Entries that mC4 leaves out because they are parts of many harmless words: each was in a tenth of all pages."""


class BadWords(Filter):
    """Pages with a word of a list (Raffel et al. 2020, section 2.2; Xue et al. 2021, section 3.1).

    The lists are those of LDNOOBW (CC-BY-4.0, 28 languages), which C4 uses, or your own; none comes with this package.
    An entry stands in a text where no letter, digit or `_` is on either side of it, capitals and small letters being
    the same. In Japanese, Thai and Chinese it may stand anywhere, and four entries that are parts of harmless words
    are left out, as in mC4.

    Signals:
        hits: places at which an entry of the list stands; 0 in a document that `keep_fraction` lets pass. Null if there
            is no list for the language of the document.
        found: the same, whatever `keep_fraction` says.
    """

    source: ClassVar[str] = (
        "Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, "
        "section 2.2; Xue et al. 2021, mT5, section 3.1"
    )
    units: ClassVar[Mapping[str, str]] = {"hits": "places", "found": "places"}

    lists: Path
    """A folder with a list for each language, in files named by its code, such as `en` or `en.txt`; or one list. An
    entry is a line; lines that begin with `#` are comments."""
    language: str = "en"
    """The list in the folder that is for all documents, or `auto`: each has that of its own language, as the last
    identification before this step or else the source says."""
    keep_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of documents with hits that pass nevertheless, chosen by a hash of their text."""
    seed: int = 0

    defaults: ClassVar[Mapping[str, Range]] = {"hits": (None, 0)}

    @model_validator(mode="after")
    def _list_is_there(self) -> Self:
        known = _files(self.lists)
        if self.lists.is_file():
            if self.language == AUTO:
                raise ValueError(f"language: {AUTO} needs a folder of lists, and {self.lists} is one list")
        elif not self.lists.is_dir():
            raise ValueError(f"lists: {self.lists} is neither a file nor a folder")
        elif not known:
            raise ValueError(f"lists: {self.lists} has no file named by a language, such as en or en.txt")
        elif self.language not in (AUTO, *known):
            near = get_close_matches(self.language, known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
            raise ValueError(f"language: {self.lists} has no list '{self.language}'; {hint}")
        return self

    def identity(self) -> Mapping[str, str]:
        return {language: assets.file_sha256(path) for language, path in self._used().items()}

    def _used(self) -> Mapping[str, Path]:
        known = _files(self.lists)
        return known if self.language == AUTO else {self.language: known.get(self.language, self.lists)}

    def signals(self) -> Mapping[str, pl.Expr]:
        columns = ["text", "language"] if self.language == AUTO else ["text"]
        return {
            "hits": pl.map_batches(columns, self._hits, pl.Int64),
            "found": pl.map_batches(columns, self._found, pl.Int64),
        }

    def _hits(self, columns: Sequence[pl.Series]) -> pl.Series:
        found = self._found(columns)
        if not self.keep_fraction:
            return found
        rows = found.fill_null(0).to_numpy() > 0
        draws = np.ones(len(found))
        draws[rows] = urls.hashes(f"{self.seed} " + columns[0].filter(pl.Series(rows))) / 2.0**64
        return found.set(pl.Series(draws < self.keep_fraction), 0)

    def _found(self, columns: Sequence[pl.Series]) -> pl.Series:
        used = {language: lists.stamp(path) for language, path in self._used().items()}
        languages = tuple(columns[1]) if self.language == AUTO else (self.language,) * len(columns[0])
        return _memory.recall(columns[0], lambda text: _count(text, languages, used), (languages, *used.values()))


_memory: Memory[pl.Series] = Memory()


def _files(folder: Path) -> dict[str, Path]:
    """Return the lists in a folder by language; none if it is a file."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {match[1]: path for path in paths if (match := _CODE.fullmatch(path.name)) and path.is_file()}


def _count(text: pl.Series, languages: tuple[str | None, ...], used: Mapping[str, lists.Stamp]) -> pl.Series:
    """Count the places of each text at which an entry of the list of its language stands; null without a list."""
    from filters import phrases

    small = text.str.to_lowercase()
    found = pl.Series(text.name, [None] * len(text), pl.Int64)
    for language, stamp in used.items():
        rows = np.array([row for row, name in enumerate(languages) if name == language], np.int64)
        if len(rows) or not len(text):  # of no texts too, so that lists and kernels are there before the first
            data, offsets = buffers(small if len(rows) == len(small) else small.gather(rows))
            places = phrases.places(_phrases(language, stamp), data, offsets, whole=language not in _WITHOUT_SPACES)
            found = found.scatter(rows, places)
    return found.set(text.is_null(), None)


@cache
def _phrases(language: str, stamp: lists.Stamp) -> "Phrases":
    from filters.phrases import phrases

    listed = set(lists.entries(stamp[0]).values()) - _ALLOWED.get(language, set())
    return phrases(pl.Series(sorted(listed), dtype=pl.String).str.to_lowercase())
