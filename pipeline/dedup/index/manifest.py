"""What an index holds: a manifest that names every file with its size and hash, and is replaced as a whole.

Files are never changed: adding a run brings new ones, compaction replaces some, and what the manifest does not name is
not there. A document's ordinal is (number of the run in the index << 32 | row), which compaction leaves as it is; so
the first so many runs of an index can be referred to, whatever happens to it later.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.dedup.base import Documents
from pipeline.dedup.index.identity import described, differences
from pipeline.write import sync_and_hash, write_text

FORMAT = 1

Input = tuple[str, str, int]
"""A file that a run read: its source, name and size."""


class DedupIndexError(Exception):
    """An index that is not there, not whole, in use, or not for this; the message says what to do."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Model):
    """A file of the index; its name is below the folder of the index."""

    size: int
    sha256: str


class Table(_Model):
    """A step of deduplication whose keys are kept."""

    name: str
    use: str
    settings: dict[str, Any]
    keys: dict[str, Any]
    """All that decides the keys; equal for steps whose keys can be compared."""
    bands: int
    evidence: Literal["estimate", "shingles"] | None
    """What is kept for a second look at pairs."""


class Addition(_Model):
    """A run whose documents are in the index."""

    name: str
    documents: int
    inputs: str
    """A hash of its input files' sources, names and sizes, and"""
    samples: str
    """one of samples of their bytes."""
    keys: str
    """A hash of its keys as they were put in, whatever files they are in now."""
    folder: str
    files: dict[str, File]


class Segment(_Model):
    """The sorted keys of some runs that follow one another, from number `first` on and before `last`."""

    first: int
    last: int
    folder: str
    files: dict[str, File]


class Manifest(_Model):
    """Everything that an index holds."""

    format: int
    tables: tuple[Table, ...]
    additions: tuple[Addition, ...]
    segments: tuple[Segment, ...]

    def state(self, count: int) -> str:
        """What tells the first so many runs from others, however their keys are laid out."""
        known = [self.format, [table.keys for table in self.tables]]
        known += [addition.model_dump(mode="json") for addition in self.additions[:count]]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]

    def files(self) -> dict[str, File]:
        """All files by their names."""
        parts: Iterable[Addition | Segment] = (*self.additions, *self.segments)
        return {f"{part.folder}/{name}": file for part in parts for name, file in part.files.items()}


class Index:
    """An index as its manifest was when it was read."""

    def __init__(self, path: Path) -> None:
        """Read the manifest; raises DedupIndexError where there is none, or one that cannot be used."""
        self.path = path
        file = path / "index.json"
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DedupIndexError(f"{path} is no index: it has no index.json; see gristmill dedup index") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DedupIndexError(f"{file}: {error}") from None
        try:
            values = json.loads(text)
            if isinstance(values, dict) and values.get("format") != FORMAT:
                raise DedupIndexError(f"{file}: its format is {values.get('format')!r}, this version reads {FORMAT}")
            self.manifest = Manifest.model_validate(values)
        except (ValueError, RecursionError) as error:
            words = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DedupIndexError(f"{file} is damaged: {words}") from None

    @classmethod
    def at(cls, path: Path, count: int, state: str) -> Self:
        """An index whose first `count` runs must be the ones that are meant."""
        index = cls(path)
        if count > len(index.manifest.additions) or index.manifest.state(count) != state:
            raise DedupIndexError(f"{path} is another index than before; give the same command again")
        return index

    @cached_property
    def documents(self) -> int:
        """How many documents there are."""
        return sum(addition.documents for addition in self.manifest.additions)

    def table(self, step: Documents) -> Table:
        """The table with a step's keys; raises DedupIndexError naming what differs in those that there are."""
        wanted = described(step)
        same = [table for table in self.manifest.tables if table.keys == wanted]
        if not same:
            near = [table for table in self.manifest.tables if table.use == wanted["use"]]
            for table in near:
                words = "; ".join(differences(table.keys, wanted, "index", "step"))
                raise DedupIndexError(f"{self.path} has other keys than this step ('{table.name}' there): {words}")
            names = ", ".join(table.use for table in self.manifest.tables)
            raise DedupIndexError(f"{self.path} has no keys of the kind {wanted['use']}; it has {names}")
        how = step.verification()
        if how is not None and same[0].evidence != how.by:
            kept = f"only what is for `by: {same[0].evidence}`" if same[0].evidence else "nothing for it"
            raise DedupIndexError(f"{self.path} cannot have pairs looked at again with `by: {how.by}`: it has {kept}")
        return same[0]

    def file(self, name: str) -> Path:
        """Where a file lies; raises DedupIndexError where it is not as long as it was written."""
        path, known = self.path / name, self.manifest.files()[name]
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise DedupIndexError(f"{path} is gone, the index is damaged; make it again of its runs") from None
        if size != known.size:
            raise DedupIndexError(
                f"{path} is damaged: it has {size:,} bytes, not {known.size:,}; make the index again of its runs"
            )
        return path

    def check(self, names: Iterable[str]) -> None:
        """Read whole files; raises DedupIndexError naming the first that is not as it was written."""
        for name in names:
            path = self.file(name)
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != self.manifest.files()[name].sha256:
                raise DedupIndexError(f"{path} is damaged: its SHA-256 is another; make the index again of its runs")


def input_hash(files: Iterable[Input]) -> str:
    """What tells input files from others without reading them."""
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def sample_hash_of(samples: Mapping[tuple[str, str], str]) -> str:
    """What tells input files from others by their samples, given by source and name."""
    return hashlib.sha256(json.dumps(sorted([*key, value] for key, value in samples.items())).encode()).hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Be the one writer of an index, in a new folder below it that is gone afterwards; before and after, what its
    manifest does not name is removed. Raises DedupIndexError while another process writes."""
    lock_file = path / ".index-lock"
    if path.exists() and not lock_file.exists() and not (path / "index.json").exists():
        if not path.is_dir() or any(path.iterdir()):
            raise DedupIndexError(f"{path} is no index, and not empty; name another folder")
    path.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DedupIndexError(f"{path} is being written by another process") from None
        _clean(path)
        aside = path / ".new"
        aside.mkdir()
        try:
            yield aside
        finally:
            _clean(path)


def _clean(path: Path) -> None:
    """Remove what a writer left that was killed, and what no manifest names any more."""
    shutil.rmtree(path / ".new", ignore_errors=True)
    named: set[str] = set()
    if (path / "index.json").exists():
        manifest = Index(path).manifest
        named = {addition.folder for addition in manifest.additions} | {part.folder for part in manifest.segments}
    for folder in sorted([*path.glob("additions/*"), *path.glob("keys/*")]):
        if folder.relative_to(path).as_posix() not in named:
            shutil.rmtree(folder)


def put_in_place(path: Path, aside: Path, kind: str) -> tuple[str, dict[str, File]]:
    """Move a finished folder below the index, named by what is in it: its name there, and its files."""
    files = {
        file.relative_to(aside).as_posix(): File(size=file.stat().st_size, sha256=sync_and_hash(file))
        for file in sorted(aside.rglob("*"))
        if file.is_file()
    }
    content = json.dumps({name: file.sha256 for name, file in files.items()}, sort_keys=True)
    folder = f"{kind}/{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    (path / kind).mkdir(exist_ok=True)
    if (path / folder).exists():
        shutil.rmtree(aside)
    else:
        os.replace(aside, path / folder)
    return folder, files


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Make a new manifest the one that counts."""
    write_text(path / "index.json", json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
