"""Whether documents, or others like them, are in an index: a search by their keys, which reads little of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.dedup.bands import mapped
from pipeline.dedup.base import Documents, Evidence, Signed
from pipeline.dedup.index.identity import described, differences
from pipeline.dedup.index.lookup import bounds, documents
from pipeline.dedup.index.manifest import DedupIndexError, Index, Table
from pipeline.steps import Registry

U64 = NDArray[np.uint64]

MOST = 1000
"""Documents with one key that are looked at; of a page that is in every crawl there are thousands."""


@runtime_checkable
class Banded(Protocol):
    """A step with several keys, of which documents that are alike share some."""

    bands: int
    rows: int

    def probability(self, similarity: float) -> float:
        """The chance that two documents of a similarity share a key."""


@dataclass(frozen=True)
class Match:
    """A document of the index that is like another one."""

    step: str
    run: str
    id: str
    doc_id: str | None
    url: str | None
    source: str
    date: str | None
    verdict: str
    """What became of it in its run."""
    keys: int
    """How many keys both have, and"""
    of: int
    """how many there are."""
    similarity: float
    """The Jaccard similarity of both: as the index has it for a second look, or else the one at which so many keys are
    what is to be expected; 1 where keys are of the whole."""
    probability: float
    """The chance that two documents of that similarity meet."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def steps_of(index: Index) -> list[tuple[Table, Documents]]:
    """The steps whose keys an index has; raises DedupIndexError where they would not be the same here."""
    found = []
    for table in index.manifest.tables:
        step = Registry.built_in().make(table.use, table.settings)
        assert isinstance(step, Documents)
        words = "; ".join(differences(table.keys, described(step), "index", "version that is installed"))
        if words:
            raise DedupIndexError(f"{index.path} has other keys than are made here: {words}")
        found.append((table, step))
    return found


def matches(index: Index, docs: pl.DataFrame, most: int = 10) -> list[list[Match]]:
    """For each document, columns `text` and `url`, up to `most` that are like it for each step, the likest first."""
    found: list[list[Match]] = [[] for _ in range(docs.height)]
    for table, step in steps_of(index):
        signed = step.sign(docs[step.reads])
        for row in np.flatnonzero(signed.found).tolist():
            alone = Signed(signed.keys[row : row + 1], signed.found[row : row + 1], _evidence(signed, row))
            found[row] += _of_one(index, table, step, alone, most)
    return found


def _evidence(signed: Signed, row: int) -> Evidence | None:
    if signed.evidence is None:
        return None
    only = np.zeros(len(signed.found), np.bool_)
    only[row] = True
    return signed.evidence.only(only)


def _of_one(index: Index, table: Table, step: Documents, signed: Signed, most: int) -> Iterator[Match]:
    met = _met(index, table, signed.keys[0])
    if not met:
        return
    ordinals = np.array(sorted(met), np.uint64)
    shared = np.array([met[ordinal] for ordinal in ordinals.tolist()])
    similar = _similarities(index, table, step, signed.evidence, ordinals, shared)
    how = step.verification()
    enough = np.flatnonzero(similar >= (how.jaccard if how else 0))
    best = enough[np.lexsort((ordinals[enough], -shared[enough], -similar[enough]))][:most]
    rows = {
        int(row["own"]): {**row, "run": run}
        for run, some in documents(index, np.sort(ordinals[best]), ("id", "doc_id", "url", "source", "date", "verdict"))
        for row in some.iter_rows(named=True)
    }
    for place in best.tolist():
        row = rows[int(ordinals[place])]
        likeness = float(similar[place])
        yield Match(
            step=table.name,
            **{name: row[name] for name in ("run", "id", "doc_id", "url", "source", "date", "verdict")},
            keys=int(shared[place]),
            of=table.bands,
            similarity=round(likeness, 4),
            probability=round(step.probability(likeness), 4) if isinstance(step, Banded) else 1.0,
        )


def _met(index: Index, table: Table, keys: U64) -> Counter[int]:
    """How many keys each document has in common with these, one a band."""
    met: Counter[int] = Counter()
    for segment in index.manifest.segments:
        path = index.file(f"{segment.folder}/{table.name}.npy")
        try:
            run = mapped(path, table.bands)
        except ValueError as error:
            raise DedupIndexError(f"{error}: the index is damaged; make it again of its runs") from error
        for band in range(table.bands):
            lo, hi = bounds(run[band, 0], keys[band : band + 1])
            met.update(run[band, 1, lo[0] : min(hi[0], lo[0] + MOST)].tolist())
    return met


def _similarities(
    index: Index, table: Table, step: Documents, evidence: Evidence | None, ordinals: U64, shared: NDArray[Any]
) -> NDArray[np.float64]:
    if evidence is None:
        rows = step.rows if isinstance(step, Banded) else 1
        return np.asarray((shared / table.bands) ** (1 / rows), np.float64)
    found = []
    mine = evidence.values
    for ordinal in ordinals.tolist():
        folder = index.manifest.additions[ordinal >> 32].folder
        stem = f"{folder}/{table.name}"
        row = int(np.searchsorted(mapped(index.file(f"{stem}.keys.npy"), 1)[0], np.uint64(ordinal)))
        ends = mapped(index.file(f"{stem}.ends.npy"))
        values = mapped(index.file(f"{stem}.values.npy"))[int(ends[row - 1]) if row else 0 : int(ends[row])]
        if table.evidence == "shingles":
            common = len(np.intersect1d(mine, values, assume_unique=True))
            found.append(common / (len(mine) + len(values) - common))
        else:
            found.append(float((mine == values).mean()))
    return np.array(found, np.float64)


def read(files: Sequence[str], stdin: bytes | None = None) -> Iterator[tuple[str, str | None, str]]:
    """Documents of files: origin, URL and text. Where a name tells no kind of file, it is one text, or JSON Lines.

    Raises DedupIndexError for a file that cannot be read, and for records of it that cannot.
    """
    from pipeline.readers import READERS, reader_for

    for file in files:
        if file == "-":
            yield from _plain("-", stdin or b"")
            continue
        if not Path(file).is_file():
            raise DedupIndexError(f"{file}: no such file")
        use = reader_for(file)
        if use is None:
            yield from _plain(file, Path(file).read_bytes())
            continue
        reader = READERS[use].model_validate({"use": use})
        try:
            splits = reader.splits(Path(file).stat().st_size, file, 1 << 62)
        except (ValueError, OSError) as error:
            raise DedupIndexError(f"{file}: {error}") from None
        for split in splits:
            for record in reader.read(split, Counter()):
                if record.error is not None:
                    raise DedupIndexError(f"{file}#{record.offset}: {record.error}")
                if record.html is not None and record.text is None:
                    raise DedupIndexError(f"{file} has pages; give their text, such as gristmill extract makes of them")
                if record.drop is None and record.text is not None:
                    yield f"{file}#{record.offset}", record.url, record.text


def _plain(name: str, data: bytes) -> Iterator[tuple[str, str | None, str]]:
    import json

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DedupIndexError(f"{name}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    if text.lstrip()[:1] == "{":
        try:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            rows = []
        if rows and all(isinstance(row, dict) and isinstance(row.get("text"), str) for row in rows):
            for number, row in enumerate(rows, 1):
                url = row.get("url")
                yield f"{name}#{number}", url if isinstance(url, str) else None, row["text"]
            return
    yield name, None, text
