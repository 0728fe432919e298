"""The SPDX licence list as it ships with the package: names, what is permissive, and the words of the texts."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from pipeline.licenses.words import Shingles, Words, shingles_of

LIST, TEXTS = Path(__file__).with_name("spdx.json"), Path(__file__).with_name("spdx_texts.zst")

_GNU = [
    f"{family}-{version}"
    for family, versions in (
        ("GPL", ("1.0", "2.0", "3.0")),
        ("LGPL", ("2.0", "2.1", "3.0")),
        ("AGPL", ("1.0", "3.0")),
        ("GFDL", ("1.1", "1.2", "1.3")),
    )
    for version in versions
]

SUCCESSORS: Mapping[str, str] = {
    **{f"{name}": f"{name}-only" for name in _GNU},
    **{f"{name}+": f"{name}-or-later" for name in _GNU},
    "BSD-2-Clause-FreeBSD": "BSD-2-Clause-Views",
    "BSD-2-Clause-NetBSD": "BSD-2-Clause",
    "bzip2-1.0.5": "bzip2-1.0.6",
    "Nunit": "zlib-acknowledgement",
    "StandardML-NJ": "SMLNJ",
}
"""Identifiers that SPDX has replaced, and by which; their texts are texts of the new ones."""

_RATED, _OPEN, _DEPRECATED, _EXCEPTION = 1, 2, 4, 8


@dataclass(frozen=True)
class License:
    """An entry of the SPDX licence list, or of its list of exceptions."""

    id: str
    name: str
    blue_oak: bool
    """The Blue Oak Council lists it as permissive, with any of its ratings."""
    permissive: bool
    """That, or ScanCode has it among the permissive ones or those of the public domain."""
    deprecated: bool
    exception: bool
    texts: tuple[int, ...]
    """The numbers of its texts, which differ in what may be left out; licences can have the same text."""


class Postings:
    """In which texts each four words stand. A `place` is the number of a shingle among all that the texts have."""

    def __init__(self, texts: Sequence[Words]) -> None:
        rows = [shingles_of(words) for words in texts]
        self.shingles = np.unique(np.concatenate(rows))
        self.sequences = [np.searchsorted(self.shingles, row) for row in rows]
        """Of each text the places of its shingles, in order."""
        self._unique = [np.unique(row) for row in self.sequences]
        self.sizes = np.array([len(row) for row in self._unique])
        """How many different shingles each text has, at least one."""
        everything = np.concatenate(self._unique)
        order = np.argsort(everything, kind="stable")
        self._starts = np.searchsorted(everything[order], np.arange(len(self.shingles) + 1))
        self._texts = np.repeat(np.arange(len(texts)), self.sizes)[order]
        self._mark = np.zeros(len(self.shingles) + 1, bool)

    def find(self, shingles: Shingles) -> NDArray[np.int64]:
        """The place of each shingle, -1 for one that no text has."""
        place = np.minimum(np.searchsorted(self.shingles, shingles), len(self.shingles) - 1)
        return np.where(self.shingles[place] == shingles, place, -1)

    def counts(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of these places, all different, each text has."""
        starts, ends = self._starts[places], self._starts[places + 1]
        steps = ends - starts
        first = np.cumsum(steps) - steps
        index = np.arange(int(steps.sum())) + np.repeat(starts - first, steps)
        return np.bincount(self._texts[index], minlength=len(self.sizes))

    def holds(self, text: int, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these places, -1 among them, a text has."""
        mark = self._mark
        mark[self._unique[text]] = True
        held = mark[places]
        mark[self._unique[text]] = False
        return held


class Table:
    """All licences and exceptions of the list."""

    def __init__(self) -> None:
        raw = json.loads(LIST.read_text(encoding="utf-8"))
        self.version: str = raw["version"]
        self._sizes: list[int] = raw["sizes"]
        self.licenses: Mapping[str, License] = {
            name: License(
                name,
                title,
                bool(flags & _RATED),
                bool(flags & (_RATED | _OPEN)),
                bool(flags & _DEPRECATED),
                bool(flags & _EXCEPTION),
                tuple(texts),
            )
            for name, title, flags, texts in raw["licenses"]
        }
        self._by_lower = {name.lower(): entry for name, entry in self.licenses.items()}

    def get(self, name: str) -> License | None:
        """The entry with an identifier, which SPDX writes in any mixture of capitals and small letters."""
        return self._by_lower.get(name.lower())

    @cached_property
    def texts(self) -> list[Words]:
        """The words of each text."""
        packed = TEXTS.read_bytes()
        words = np.frombuffer(zstandard.ZstdDecompressor().decompress(packed), "<u2").astype(np.uint16)
        ends = np.cumsum(self._sizes)
        return [words[end - size : end] for size, end in zip(self._sizes, ends.tolist(), strict=True)]

    @cached_property
    def names(self) -> Mapping[int, tuple[str, ...]]:
        """The identifiers that stand for each text; deprecated ones only where there is no other."""
        found: dict[int, list[License]] = defaultdict(list)
        for entry in self.licenses.values():
            for text in entry.texts:
                found[text].append(entry)
        current = {text: [entry for entry in entries if not entry.deprecated] for text, entries in found.items()}
        return {text: tuple(entry.id for entry in current[text] or found[text]) for text in found}

    @cached_property
    def postings(self) -> Postings:
        """The index of the texts; takes a quarter of a second to make."""
        return Postings(self.texts)


@lru_cache(maxsize=1)
def table() -> Table:
    """The table, read once."""
    return Table()
