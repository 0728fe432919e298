"""The token store: a run's documents as memory-mapped tokens, one folder a source, held-out documents apart.

OUT/tokens/manifest.json names the sources; OUT/tokens/<source>/ has `manifest.json` and, for `train` and `held`,
`tokens.bin` (uint16 or uint32, each document followed by the end token), `offsets.bin` (int64, one more than
documents), `keys.bin` (uint64 hash of each id) and `documents.arrow` (id, shard, row). Nothing of it is read into
memory: a process that trains maps 16 bytes a document and its ids, and touches the pages that it needs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from pipeline.configfile import ConfigError, Place, Problem
from training import shards
from training.config import TrainConfig
from training.shards import Shard, key
from training.tokenizer import Tokenizer

VERSION = 1
"""Raised when the same shards give another store, so that those made earlier are made again."""

_INDEX = pa.schema([("id", pa.string()), ("shard", pa.uint32()), ("row", pa.uint32())])


class Documents:
    """The documents of a source, those for training or the held-out ones; `len()` of them, numbered from 0."""

    def __init__(self, folder: Path, facts: dict[str, Any], dtype: str, shards: Sequence[Shard]) -> None:
        count, self.count_tokens, self.count_bytes = facts["documents"], facts["tokens"], facts["bytes"]
        self.tokens = _mapped(folder / "tokens.bin", np.dtype(dtype), self.count_tokens)
        """(count_tokens,) all documents, each with its end token."""
        self.offsets: npt.NDArray[np.int64] = _mapped(folder / "offsets.bin", np.dtype(np.int64), count + 1)
        self.keys: npt.NDArray[np.uint64] = _mapped(folder / "keys.bin", np.dtype(np.uint64), count)
        self._index = pa.ipc.open_file(pa.memory_map(str(folder / "documents.arrow"))).read_all()
        self._shards = shards

    def __len__(self) -> int:
        return len(self.keys)

    def ids(self, document: int) -> npt.NDArray[Any]:
        """Tokens of a document, the end token last; a view of the mapped file."""
        return self.tokens[self.offsets[document] : self.offsets[document + 1]]

    def name(self, document: int) -> str:
        """The id that curation gave the document."""
        return str(self._index["id"][document].as_py())

    def find(self, name: str) -> list[int]:
        """The documents with this id: one, none, or several if runs overlap."""
        return [int(d) for d in np.flatnonzero(self.keys == np.uint64(key(name))) if self.name(int(d)) == name]

    def shard(self, document: int) -> tuple[Path, int]:
        """The Parquet file that the document came from, and its row there."""
        return (
            Path(self._shards[self._index["shard"][document].as_py()]["path"]),
            int(self._index["row"][document].as_py()),
        )

    def origin(self, document: int) -> str | None:
        """Where curation read the document (`path#offset`); None if its shard is no longer there."""
        path, row = self.shard(document)
        if not path.is_file():
            return None
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row < rows:
                    if "origin" not in file.schema_arrow.names:
                        return None
                    return str(file.read_row_group(group, columns=["origin"])["origin"][row].as_py())
                row -= rows
        return None


class TokenStore:
    """Tokens of all sources. `sources` is sorted by name; item i of `train` and of `held` belongs to `sources[i]`."""

    def __init__(self, folder: Path, sources: Sequence[str], tokenizer: Tokenizer) -> None:
        self.folder = folder
        self.sources = tuple(sorted(sources))
        self.tokenizer = tokenizer
        made = [json.loads((folder / name / "manifest.json").read_text(encoding="utf-8")) for name in self.sources]
        self.train, self.held = (
            tuple(
                Documents(folder / name / part, facts[part], facts["dtype"], facts["shards"])
                for name, facts in zip(self.sources, made, strict=True)
            )
            for part in ("train", "held")
        )

    @classmethod
    def open(cls, folder: str | Path, tokenizer: Tokenizer) -> "TokenStore":
        """Open the store that `prepare` built in `out/tokens`. Raises ConfigError if it is not there or not whole."""
        folder = Path(folder)
        try:
            facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if facts["tokenizer"] != tokenizer.identity:
                raise ConfigError([f"{folder}: made with another tokenizer; tokenize again"])
            return cls(folder, facts["sources"], tokenizer)
        except OSError as error:
            raise ConfigError([f"{error.filename or folder}: {error.strerror or error}; tokenize again"]) from error

    def text(self, documents: Documents, document: int) -> str:
        """The text of a document."""
        return self.tokenizer.decode(documents.ids(document)[:-1].tolist())


def missing(config: TrainConfig) -> list[Problem]:
    """Say what is not there of what the config names: runs, shards, the tokenizer. Cheap, so call it first."""
    problems = []
    runs = shards.runs(config)
    for i, run in enumerate(runs):
        at: Place = ("data",) if isinstance(config.data, str) else ("data", i)
        if not run.is_dir():
            problems.append(Problem(at, f"there is no folder {run}"))
        elif not any(run.glob("shards/*/*.parquet")):
            problems.append(Problem(at, f"{run} has no shards/<source>/*.parquet; is it a run that was curated?"))
        elif shards.unfinished(run):
            problems.append(Problem(at, f"the curation of {run} is not finished; give its command again first"))
        elif run.resolve() in [other.resolve() for other in runs[:i]]:
            problems.append(Problem(at, f"{run} is named twice"))
    if not runs:
        problems.append(Problem(("data",), "name at least one curated run"))
    given = _given_tokenizer(config)
    if given is not None and not (given / "tokenizer.json" if given.is_dir() else given).is_file():
        place: Place = ("tokenizer", "path") if config.tokenizer.path is not None else ("model", "init_from")
        problems.append(Problem(place, f"there is no tokenizer at {given}"))
    return problems


def prepare(config: TrainConfig, out: Path) -> tuple[Tokenizer, TokenStore]:
    """Make the tokenizer (saved as out/tokenizer.json) and the store (out/tokens), or reuse what is there.

    They are made again when the tokenizer, the holdout or a shard changed (name, size or SHA-256; a shard whose size
    and modification time are as before is taken as unchanged). Raises ConfigError for what is missing or unreadable.
    """
    problems = missing(config)
    if problems:
        raise ConfigError([f"{'.'.join(map(str, problem.place))}: {problem.message}" for problem in problems])
    folder = Path(out) / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    found = shards.find(config, folder)
    tokenizer = _tokenizer(config, found, Path(out))
    with Progress(console=Console(stderr=True), transient=True, disable=not os.isatty(2)) as progress:
        for source, files in found.items():
            _store(source, files, folder, tokenizer, config.evaluation.holdout, progress)
    for old in folder.iterdir():
        if old.is_dir() and old.name not in found and (old / "manifest.json").is_file():
            shutil.rmtree(old)
    _write_json(folder / "manifest.json", {"sources": sorted(found), "tokenizer": tokenizer.identity})
    return tokenizer, TokenStore.open(folder, tokenizer)


def _given_tokenizer(config: TrainConfig) -> Path | None:
    given = config.tokenizer.path or config.model.init_from
    return None if given is None else Path(given)


def _tokenizer(config: TrainConfig, found: dict[str, list[Shard]], out: Path) -> Tokenizer:
    """The tokenizer that the config asks for, from `out` if it was made from the same before."""
    given = _given_tokenizer(config)
    asked: dict[str, Any] = {"version": VERSION, "settings": config.tokenizer.model_dump(mode="json", exclude={"path"})}
    if given is None:
        asked |= {
            "shards": [s["sha256"] for files in found.values() for s in files],
            "holdout": config.evaluation.holdout,
        }
    else:
        asked |= {
            "given": shards.sha256(given / "tokenizer.json" if given.is_dir() else given),
            "fim": _wants_fim(config),
        }
    fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    note = out / "tokens" / "tokenizer.json"
    saved = out / "tokenizer.json"
    if note.is_file() and saved.is_file():
        facts = json.loads(note.read_text(encoding="utf-8"))
        if facts == {"made_from": fingerprint, "sha256": shards.sha256(saved)}:
            return Tokenizer.load(saved, config.tokenizer)
    if given is None:
        tokenizer = Tokenizer.train(
            shards.sample(found, config.tokenizer.sample_bytes, config.evaluation.holdout), config.tokenizer
        )
    else:
        tokenizer = Tokenizer.load(given, config.tokenizer)
        if _wants_fim(config):
            tokenizer, _ = tokenizer.with_fim()
    tokenizer.save(out)
    _write_json(note, {"made_from": fingerprint, "sha256": shards.sha256(saved)})
    return Tokenizer.load(saved, config.tokenizer)


def _wants_fim(config: TrainConfig) -> bool:
    return any(settings.rate > 0 for settings in config.fim.values())


def _store(
    source: str, files: list[Shard], folder: Path, tokenizer: Tokenizer, holdout: float, progress: Progress
) -> None:
    """Build the folder of one source, unless it is there and was made from the same."""
    final, part = folder / source, folder / f".{source}.part"
    asked = {"version": VERSION, "tokenizer": tokenizer.identity, "holdout": holdout, "shards": files}
    if (final / "manifest.json").is_file():
        old = json.loads((final / "manifest.json").read_text(encoding="utf-8"))
        if _essence(old) == _essence(asked):
            if old["shards"] != files:  # the run moved, and tracing wants to find it
                _write_json(final / "manifest.json", old | asked)
            return
    shutil.rmtree(part, ignore_errors=True)
    dtype = np.dtype("uint16" if tokenizer.vocab_size <= 2**16 else "uint32")
    below = shards.held_below(files, holdout)
    task = progress.add_task(f"tokens of {source}", total=shards.rows(files))
    end = tokenizer.end
    with _Writer(part / "train", dtype, end) as train, _Writer(part / "held", dtype, end) as held:
        for shard, row, names, texts in shards.read(files):
            keys = [key(name) for name in names]
            ids = tokenizer.encode_batch(texts)
            for writer, mine in (
                (train, [i for i, hashed in enumerate(keys) if hashed >= below]),
                (held, [i for i, hashed in enumerate(keys) if hashed < below]),
            ):
                writer.add(
                    [ids[i] for i in mine],
                    [keys[i] for i in mine],
                    [names[i] for i in mine],
                    shard,
                    [row + i for i in mine],
                    sum(len(texts[i].encode()) for i in mine),
                )
            progress.update(task, advance=len(texts))
    facts = {"train": train.facts, "held": held.facts}
    _write_json(part / "manifest.json", asked | {"dtype": dtype.name} | facts)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    _sync(folder)


def _essence(facts: dict[str, Any]) -> Any:
    shards = [[shard["name"], shard["size"], shard["sha256"]] for shard in facts["shards"]]
    return [facts["version"], facts["tokenizer"], facts["holdout"], shards]


class _Writer:
    """The four files of `Documents`, appended to; behind the `with` they are on the disk and `facts` is final."""

    def __init__(self, folder: Path, dtype: npt.DTypeLike, end: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._dtype, self._end = folder, dtype, end
        self._tokens, self._offsets, self._keys = (
            (folder / name).open("wb") for name in ("tokens.bin", "offsets.bin", "keys.bin")
        )
        self._index = pa.ipc.new_file(str(folder / "documents.arrow"), _INDEX)
        self.facts = {"documents": 0, "tokens": 0, "bytes": 0}
        self._offsets.write(np.zeros(1, np.int64).tobytes())

    def add(
        self, ids: list[list[int]], keys: list[int], names: list[str], shard: int, rows: list[int], size: int
    ) -> None:
        if not ids:
            return
        for document in ids:
            document.append(self._end)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        offsets = np.cumsum(lengths) + self.facts["tokens"]
        self._tokens.write(np.fromiter(chain.from_iterable(ids), self._dtype, int(lengths.sum())).tobytes())
        self._offsets.write(offsets.astype("<i8").tobytes())
        self._keys.write(np.array(keys, "<u8").tobytes())
        self._index.write_batch(
            pa.record_batch(
                [pa.array(names), pa.array([shard] * len(ids), pa.uint32()), pa.array(rows, pa.uint32())], schema=_INDEX
            )
        )
        self.facts = {
            "documents": self.facts["documents"] + len(ids),
            "tokens": int(offsets[-1]),
            "bytes": self.facts["bytes"] + size,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        for file in (self._tokens, self._offsets, self._keys):
            file.close()
        for name in ("tokens.bin", "offsets.bin", "keys.bin", "documents.arrow"):
            _sync(self._folder / name)
        _sync(self._folder)


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    """A file as a read-only array; raises ConfigError if it has not the size that the manifest says."""
    if path.stat().st_size != count * dtype.itemsize:
        raise ConfigError(
            [f"{path}: {path.stat().st_size} bytes, should have {count * dtype.itemsize}; tokenize again"]
        )
    if not count:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r", shape=(count,)).view(np.ndarray)


def _write_json(path: Path, values: Any) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    _sync(part)
    part.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
