"""The token store: a run's documents as memory-mapped tokens, one folder a source, held-out documents apart.

OUT/tokens/manifest.json names the sources; OUT/tokens/<source>/ has `manifest.json` and, for `train` and `held`,
`tokens.bin` (uint16 or uint32, each document followed by the end token), `offsets.bin` (int64, one more than
documents), `keys.bin` (uint64 hash of each id) and `documents.arrow` (id, shard, row, bytes). Sources that are made of
others by their signals have no tokens of their own (see `training.store.views`). Nothing of it is read into
memory: a process that trains maps 16 bytes a document and its ids, and touches the pages that it needs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from pipeline.configfile import ConfigError, Place, Problem
from training.config import TrainConfig
from training.store import selection, shards, views
from training.store.documents import Documents, Writer, sync, write_json
from training.store.shards import Shard, key
from training.store.tokenizer import Tokenizer

__all__ = ["VERSION", "Documents", "TokenStore", "given_tokenizer", "missing", "prepare"]

VERSION = 2
"""Raised when the same shards give another store, so that those made earlier are made again."""


class TokenStore:
    """Tokens of all sources. `sources` is sorted by name; item i of `train` and of `held` belongs to `sources[i]`."""

    def __init__(self, folder: Path, sources: Sequence[str], tokenizer: Tokenizer) -> None:
        self.folder = folder
        self.sources = tuple(sorted(sources))
        self.tokenizer = tokenizer
        made = [json.loads((folder / name / "manifest.json").read_text(encoding="utf-8")) for name in self.sources]
        opened: dict[str, tuple[Documents, Documents]] = {}
        for name, facts in zip(self.sources, made, strict=True):
            if "definition" not in facts:
                train, held = (
                    Documents(folder / name / part, facts[part], facts["dtype"], facts["shards"])
                    for part in ("train", "held")
                )
                opened[name] = train, held
        for name, facts in zip(self.sources, made, strict=True):
            if "definition" in facts:
                opened[name] = views.opened(folder / name, facts, opened[facts["definition"]["of"]])
        self.train, self.held = (tuple(opened[name][part] for name in self.sources) for part in (0, 1))

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
    if not problems:
        problems += selection.problems(config, shards.listed(config))
    given = given_tokenizer(config)
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
    made = {name: settings for name, settings in config.sources.items() if settings.of is not None}
    if made:
        store = TokenStore(folder, tuple(found), tokenizer)
        for name, settings in made.items():
            number = store.sources.index(str(settings.of))
            manifest = json.loads((folder / str(settings.of) / "manifest.json").read_text(encoding="utf-8"))
            views.build(name, settings, folder, (store.train[number], store.held[number]), manifest, tokenizer)
    sources = sorted([*found, *made])
    for old in folder.iterdir():
        if old.is_dir() and old.name not in sources and (old / "manifest.json").is_file():
            shutil.rmtree(old)
    write_json(folder / "manifest.json", {"sources": sources, "tokenizer": tokenizer.identity})
    return tokenizer, TokenStore.open(folder, tokenizer)


def given_tokenizer(config: TrainConfig) -> Path | None:
    """Where the config says that the tokenizer is; None if it is to be trained."""
    given = config.tokenizer.path or config.model.init_from
    return None if given is None else Path(given)


def _tokenizer(config: TrainConfig, found: dict[str, list[Shard]], out: Path) -> Tokenizer:
    """The tokenizer that the config asks for, from `out` if it was made from the same before."""
    given = given_tokenizer(config)
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
    if _joins_files(config):
        asked |= {"files": True}
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
    if _joins_files(config):
        tokenizer, _ = tokenizer.with_files()
    tokenizer.save(out)
    write_json(note, {"made_from": fingerprint, "sha256": shards.sha256(saved)})
    return Tokenizer.load(saved, config.tokenizer)


def _wants_fim(config: TrainConfig) -> bool:
    return any(settings.rate > 0 for settings in config.fim.values())


def _joins_files(config: TrainConfig) -> bool:
    return any(settings.group is not None for settings in config.sources.values())


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
                write_json(final / "manifest.json", old | asked)
            return
    shutil.rmtree(part, ignore_errors=True)
    dtype = np.dtype("uint16" if tokenizer.vocab_size <= 2**16 else "uint32")
    below = shards.held_below(files, holdout)
    task = progress.add_task(f"tokens of {source}", total=shards.rows(files))
    end = tokenizer.end
    with Writer(part / "train", dtype, end) as train, Writer(part / "held", dtype, end) as held:
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
                    [shard] * len(mine),
                    [row + i for i in mine],
                    [len(texts[i].encode()) for i in mine],
                )
            progress.update(task, advance=len(texts))
    facts = {"train": train.facts, "held": held.facts}
    write_json(part / "manifest.json", asked | {"dtype": dtype.name} | facts)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    sync(folder)


def _essence(facts: dict[str, Any]) -> Any:
    shards = [[shard["name"], shard["size"], shard["sha256"]] for shard in facts["shards"]]
    return [facts["version"], facts["tokenizer"], facts["holdout"], shards]
