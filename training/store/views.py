"""Sources made of the documents of another one: no tokens of their own, but which documents, how often, in what order.

OUT/tokens/<source>/ has `manifest.json` and, for `train` and `held`, `picks.bin` (int64: numbers of documents of the
source that it is made of), `offsets.bin` and `keys.bin` as the source itself. A document that comes three times in an
epoch stands there three times: 24 bytes each, whatever its length.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.config import SourceSettings
from training.store import groups, selection, shards
from training.store.documents import Documents, mapped, sync, write_json
from training.store.shards import Shard
from training.store.tokenizer import Tokenizer

VERSION = 2
"""Raised when the same settings give another view, so that those made earlier are made again."""


class View(Documents):
    """Documents of another source, numbered anew; one that comes several times has several numbers."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], base: Documents, ordered: bool) -> None:
        count, self.count_tokens, self.count_bytes = facts["documents"], facts["tokens"], facts["bytes"]
        self.folder, self.base = folder, base
        self.ordered = ordered
        self.tokens = base.tokens
        self.picks: npt.NDArray[np.int64] = mapped(folder / "picks.bin", np.dtype(np.int64), count)
        self.offsets = mapped(folder / "offsets.bin", np.dtype(np.int64), count + 1)
        self.keys = mapped(folder / "keys.bin", np.dtype(np.uint64), count)
        self._unique: int = facts["unique_tokens"]

    @property
    def unique_tokens(self) -> int:
        """Tokens, those of documents that come several times counted once."""
        return self._unique

    @property
    def tokens_file(self) -> Path:
        """Where the tokens lie."""
        return self.base.tokens_file

    def ids(self, document: int) -> npt.NDArray[Any]:
        """Tokens of a document, the end token last; a view of the mapped file."""
        return self.base.ids(int(self.picks[document]))

    def places(self, documents: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where in `tokens` documents begin and end, for many of them at once."""
        return self.base.places(self.picks.take(documents))

    def name(self, document: int) -> str:
        """The id that curation gave the document."""
        return self.base.name(int(self.picks[document]))

    def names(self, documents: npt.NDArray[np.int64]) -> pa.Array:
        """The ids of many documents at once."""
        return self.base.names(self.picks[documents])

    def told(self, document: int) -> tuple[str, Path]:
        """The id of a document and the Parquet file that it came from, read such that other threads go on."""
        return self.base.told(int(self.picks[document]))

    def shard(self, document: int) -> tuple[Path, int]:
        """The Parquet file that the document came from, and its row there."""
        return self.base.shard(int(self.picks[document]))


def opened(folder: Path, facts: Mapping[str, Any], base: tuple[Documents, Documents]) -> tuple[Documents, Documents]:
    """The training and the held-out documents of a view; `facts` is its manifest, `base` those of its source."""
    if facts["definition"].get("group") is not None:  # stores that were made earlier do not know it
        return groups.opened(folder, facts, base)
    train, held = (
        View(folder / part, facts[part], documents, facts["definition"]["order"] is not None and part == "train")
        for part, documents in zip(("train", "held"), base, strict=True)
    )
    return train, held


def definition(settings: SourceSettings) -> dict[str, Any]:
    """What decides which documents a view has, as its manifest says it."""
    return settings.model_dump(mode="json", exclude={"max_epochs"})


def build(
    name: str,
    settings: SourceSettings,
    folder: Path,
    base: tuple[Documents, Documents],
    made_from: Mapping[str, Any],
    tokenizer: Tokenizer,
) -> None:
    """Make the folder of a view in `folder`, unless it is there and was made from the same.

    `base` are the documents of the source that it is made of, and `made_from` that one's manifest.
    """
    final, part = folder / name, folder / f".{name}.part"
    manifest = final / "manifest.json"
    files: list[Shard] = made_from["shards"]
    old = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    asked = {
        "version": VERSION,
        "definition": definition(settings),
        "base": {key: made_from[key] for key in ("version", "tokenizer", "holdout", "train", "held")}
        | {"shards": [[shard["name"], shard["size"], shard["sha256"]] for shard in files]},
        "ledgers": _ledgers(settings, files, old.get("ledgers", ())),
        "shards": files,
    }
    if all(old.get(key) == asked[key] for key in ("version", "definition", "base")) and _hashes(old) == _hashes(asked):
        if old["ledgers"] != asked["ledgers"] or old["shards"] != files:  # the run moved
            write_json(manifest, old | asked)
        return
    shutil.rmtree(part, ignore_errors=True)
    facts = {
        kind: _write(part / kind, settings, documents, files, kind == "train")
        if settings.group is None
        else groups.write(part / kind, settings, settings.group, documents, files, tokenizer)
        for kind, documents in zip(("train", "held"), base, strict=True)
    }
    write_json(part / "manifest.json", asked | facts)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    sync(folder)


def _hashes(facts: Mapping[str, Any]) -> list[str]:
    return [known["sha256"] for known in facts["ledgers"]]


def _ledgers(settings: SourceSettings, files: list[Shard], known: Any) -> list[dict[str, Any]]:
    """The files of the ledger that a view depends on; hashes of unchanged ones are taken from `known`."""
    hashes = {(old["path"], old["size"], old["mtime_ns"]): old["sha256"] for old in known}
    found = []
    for path in map(selection.ledger, files) if set(selection.asked(settings)) - {selection.TOKENS} else ():
        if path.is_file():
            facts = path.stat()
            told = (str(path), facts.st_size, facts.st_mtime_ns)
            digest = hashes.get(told) or shards.sha256(path)
            found.append(dict(zip(("path", "size", "mtime_ns"), told, strict=True)) | {"sha256": digest})
    return found


def _write(
    folder: Path, settings: SourceSettings, documents: Documents, files: list[Shard], training: bool
) -> dict[str, int]:
    """Write the documents that are chosen, as often as they come; held-out ones come once."""
    folder.mkdir(parents=True)
    wanted = list(selection.asked(settings))
    facts = {"documents": 0, "tokens": 0, "unique_tokens": 0, "bytes": 0}
    ordering = settings.order if training else None
    values: list[npt.NDArray[np.float64]] = []
    loaded, known = -1, {}
    with (folder / "picks.bin").open("wb") as picks:
        for first, shard, rows, sizes in documents.index():
            if shard != loaded:
                known, loaded = selection.columns(files[shard], wanted), shard
            lengths = np.diff(documents.offsets[first : first + len(rows) + 1])
            here = {name: column.take(pa.array(rows)) for name, column in known.items()}
            here[selection.TOKENS] = pa.array(lengths - 1)  # without the end token
            often = selection.times(settings, here, len(rows))
            count = often if training else np.minimum(often, 1)
            chosen = np.repeat(np.arange(len(rows)), count)
            numbers = first + chosen
            picks.write(numbers.astype("<i8").tobytes())
            facts["documents"] += len(chosen)
            facts["tokens"] += int(lengths[chosen].sum())
            facts["unique_tokens"] += int(lengths[count > 0].sum())
            facts["bytes"] += int(sizes[chosen].sum())
            if ordering is not None:
                values.append(selection.numbers(here[ordering.by])[chosen])
    if ordering is not None and facts["documents"]:
        _sort(folder, documents, np.concatenate(values), ordering.descending)
    _lay_out(folder, documents, facts["documents"])
    return facts


def _sort(folder: Path, documents: Documents, values: npt.NDArray[np.float64], descending: bool) -> None:
    """Put the picks into the order of their values, equal ones in that of their keys; what has no value comes last."""
    picks = np.fromfile(folder / "picks.bin", "<i8")
    signed = -values if descending else values
    picks[np.lexsort((documents.keys[picks], signed))].tofile(folder / "picks.bin")


_AT_ONCE = 1 << 20


def _lay_out(folder: Path, documents: Documents, count: int) -> None:
    """Write keys and offsets of the picks, a million at a time."""
    picks = mapped(folder / "picks.bin", np.dtype(np.int64), count)
    end = 0
    with (folder / "offsets.bin").open("wb") as offsets, (folder / "keys.bin").open("wb") as keys:
        offsets.write(np.zeros(1, "<i8").tobytes())
        for at in range(0, count, _AT_ONCE):
            some = picks[at : at + _AT_ONCE]
            ends = end + np.cumsum(documents.offsets[some + 1] - documents.offsets[some])
            offsets.write(ends.astype("<i8").tobytes())
            keys.write(documents.keys[some].astype("<u8").tobytes())
            end = int(ends[-1])
    for name in ("picks.bin", "offsets.bin", "keys.bin"):
        sync(folder / name)
    sync(folder)
