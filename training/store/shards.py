"""The curated shards that a training run reads: found, hashed, divided into training and held-out, and read."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.configfile import ConfigError
from training.config import TrainConfig

_READ_AT_ONCE = 2 << 20
_SAMPLED = 4096

Shard = dict[str, Any]
"""A file with documents of one source: name (in its run), path, size, mtime_ns, sha256."""


def key(name: str) -> int:
    """The 64-bit hash by which a document's id (or a source's name) enters every random choice."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def runs(config: TrainConfig) -> list[Path]:
    """The curated runs that the config names."""
    return [Path(run) for run in ([config.data] if isinstance(config.data, str) else config.data)]


def unfinished(run: Path) -> bool:
    """Whether a run's own record says that shards are still missing; a folder without a record is taken as it is."""
    record = run / "run.json"
    return record.is_file() and not json.loads(record.read_text(encoding="utf-8")).get("complete", True)


def listed(config: TrainConfig) -> dict[str, list[Shard]]:
    """The shards of each source, in the order of runs and names; nothing is read, so their hashes are empty."""
    found: dict[str, list[Shard]] = {}
    for run in runs(config):
        for path in sorted(run.resolve().glob("shards/*/*.parquet")):
            facts = path.stat()
            found.setdefault(path.parent.name, []).append(
                {
                    "name": f"{path.parent.name}/{path.name}",
                    "path": str(path),
                    "size": facts.st_size,
                    "mtime_ns": facts.st_mtime_ns,
                    "sha256": "",
                }
            )
    return dict(sorted(found.items()))


def find(config: TrainConfig, store: Path) -> dict[str, list[Shard]]:
    """The shards of each source, in the order of runs and names.

    The hash of a file whose size and modification time are as in the manifests of `store` is taken from there.
    """
    known: dict[tuple[str, int, int], str] = {}
    for manifest in store.glob("*/manifest.json"):
        for old in json.loads(manifest.read_text(encoding="utf-8"))["shards"]:
            known[old["path"], old["size"], old["mtime_ns"]] = old["sha256"]
    return {
        source: [
            shard
            | {"sha256": known.get((shard["path"], shard["size"], shard["mtime_ns"])) or sha256(Path(shard["path"]))}
            for shard in files
        ]
        for source, files in listed(config).items()
    }


@contextmanager
def opened(shard: Shard) -> Iterator[pq.ParquetFile]:
    """The Parquet file of a shard. Raises ConfigError if it is none, or is damaged where it is read."""
    try:
        with pq.ParquetFile(shard["path"]) as file:
            if not {"id", "text"} <= set(file.schema_arrow.names):
                raise ConfigError([f"data: {shard['path']} has no columns id and text: it is no curated shard"])
            yield file
    except (pa.ArrowException, OSError) as error:
        raise ConfigError([f"data: {shard['path']} cannot be read: {error}"]) from error


def read(files: Sequence[Shard]) -> Iterator[tuple[int, int, list[str], list[str]]]:
    """Give the number of the shard, first row, ids and texts of a few megabytes of documents at a time."""
    for number, shard in enumerate(files):
        with opened(shard) as file:
            row = 0
            for batch in file.iter_batches(batch_size=1024, columns=["id", "text"]):
                names, texts = batch["id"].to_pylist(), batch["text"].to_pylist()
                if None in names or None in texts:
                    raise ConfigError([f"data: {shard['path']}: a document without id or text behind row {row}"])
                start = size = 0
                for i, text in enumerate(texts):
                    size += len(text)
                    if size >= _READ_AT_ONCE or i == len(texts) - 1:
                        yield number, row + start, names[start : i + 1], texts[start : i + 1]
                        start, size = i + 1, 0
                row += len(texts)


def rows(files: Sequence[Shard]) -> int:
    """Documents in the shards."""
    count = 0
    for shard in files:
        with opened(shard) as file:
            count += file.metadata.num_rows
    return count


def held_below(files: Sequence[Shard], holdout: float) -> int:
    """Documents whose key is smaller are held out: a share of `holdout`, at least one, and never all of a source."""
    least, most = 2**64, 0
    for shard in files:
        with opened(shard) as file:
            for batch in file.iter_batches(columns=["id"]):
                keys = [key(name) for name in batch["id"].to_pylist()]
                least, most = min(least, *keys), max(most, *keys)
    return min(max(int(holdout * 2**64), least + 1), most)


def sample(shards: dict[str, list[Shard]], size: int, holdout: float) -> Iterator[list[str]]:
    """Stretches of the training documents' texts, even over all of them by hash, of about `size` bytes together."""
    total = sum(text_bytes(shard) for files in shards.values() for shard in files)
    chance = int(min(1.0, size / max(total, 1)) * 2**64)
    for files in shards.values():
        below = held_below(files, holdout)
        for _, _, names, texts in read(files):
            yield [
                text[at : at + _SAMPLED]
                for name, text in zip(names, texts, strict=True)
                if (hashed := key(name)) >= below
                for at in range(0, len(text), _SAMPLED)
                if key(f"{hashed}:{at}") < chance
            ]


def text_bytes(shard: Shard) -> int:
    """Bytes of the texts in a shard, before compression."""
    with opened(shard) as file:
        meta = file.metadata
        columns = (meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(meta.num_columns))
        return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == "text")
