"""A takedown as the command line takes it in and shows it: ids from files, what would be done, where it was learned."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.accounting.escape import line
from pipeline.accounting.folder import RunFolderError, nearest
from pipeline.takedown import Document, Takedown

_SHOWN = 20


def read_ids(path: Path, column: str) -> Iterator[str]:
    """The ids in a file: a column of Parquet or of JSON Lines (also gzipped), otherwise one a line.

    Raises RunFolderError for a file that cannot be read so, with the line.
    """
    try:
        if path.suffix == ".parquet":
            yield from _column(path, column)
            return
        json_lines = path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson"))
        with _opened(path) as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield _value(path, number, text, column) if json_lines else text.strip()
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise RunFolderError(f"{path}: cannot be read ({line(str(error))})") from error


def _opened(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _column(path: Path, column: str) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        if column not in file.schema_arrow.names:
            raise RunFolderError(f"{path}: no column '{line(column)}'{nearest(column, file.schema_arrow.names)}")
        for batch in file.iter_batches(columns=[column]):
            yield from (str(value) for value in batch.column(0).to_pylist() if value is not None)


def _value(path: Path, number: int, text: str, column: str) -> str:
    try:
        return str(json.loads(text)[column])
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path}:{number}: not a JSON object with '{line(column)}'") from error


def as_json(
    run: Path, takedown: Takedown, consumed: Mapping[Path, Sequence[Mapping[str, Any]]], done: bool
) -> dict[str, Any]:
    """What `gristmill takedown --json` prints."""
    return {
        "run": str(run),
        "done": done,
        "documents": [document.to_dict() for document in takedown.documents],
        "missing": list(takedown.missing),
        "training": [{"run": str(folder), "documents": list(found)} for folder, found in consumed.items()],
    }


def render(
    run: Path, takedown: Takedown, consumed: Mapping[Path, Sequence[Mapping[str, Any]]], done: bool
) -> Iterator[str]:
    """The same as lines to read."""
    kept, all_of_them = takedown.kept, len(takedown.documents)
    copies = sum(document.because is not None for document in takedown.documents)
    verb = "taken out" if done else "to take out"
    yield f"{line(str(run))}: {kept:,} documents {verb} of shards, {all_of_them - kept:,} that are in none emptied" + (
        f"; {copies:,} of all are duplicates of those asked for" if copies else ""
    )
    yield from _some(map(_document, takedown.documents), all_of_them)
    for document in takedown.documents:
        if document.survivor is not None:
            yield (
                f"  {line(document.id)} was dropped as a duplicate of {line(document.survivor)}, which is still kept: "
                "take that down too if it must go"
            )
    for folder, found in consumed.items():
        learned = [entry for entry in found if entry["first_step"] is not None]
        tokens = sum(entry["tokens"] for entry in learned)
        yield f"{line(str(folder))}: {len(learned):,} of them were learned from, {tokens:,} tokens in all"
        yield from _some(map(_consumed, found), len(found))
    if not done:
        yield "nothing was changed: give --yes to do it"


def _document(document: Document) -> str:
    why = "" if document.reason is None else f" ({line(document.reason)})"
    copy = "" if document.because is None else f", a duplicate of {line(document.because)}"
    return f"  {line(document.id)}  {line(document.source)}  {document.verdict}{why}  {line(document.origin)}{copy}"


def _consumed(entry: Mapping[str, Any]) -> str:
    if entry["first_step"] is None:
        return f"  {line(entry['id'])}: " + ("held out, only measured on" if entry["held_out"] else "not seen so far")
    since = entry["first_checkpoint"]
    kept = ", ".join(map(str, entry["kept_checkpoints"])) or "none"
    return f"  {line(entry['id'])}: {entry['tokens']:,} tokens, first in step {entry['first_step']:,}; " + (
        "no checkpoint since" if since is None else f"in every checkpoint from step {since:,} on, kept: {kept}"
    )


def _some(lines: Iterable[str], count: int) -> Iterator[str]:
    for number, text in enumerate(lines):
        if number == _SHOWN:
            yield f"  and {count - number:,} more (--json has all)"
            return
        yield text
