"""Taking documents out of a finished run, so that no file of it has their texts and its accounts still add up.

A document that was kept becomes one that was dropped for the reason `takedown`: its row leaves the shard, its row in
the ledger stays with the new verdict, and `dropped/` gets a row without text. Wherever else a text lies (what was
dropped or cut before, documents between stages, quarantine) it is emptied, and the row stays. Only files that have one
of the documents are written anew, group of rows by group of rows; all other rows keep their content and order.

`takedown.jsonl` in the run lists what was taken down. It is written first and everything else follows from it and from
each file by itself, so a command that was killed is finished by giving it again. `curate` applies the list at the end:
when the raw input is read again, its documents come in, are judged and deduplicated as before, and leave again. A list
of what must not be read would let a copy of the document take its place instead; for the same reason the duplicates of
a document are listed with it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.accounting.folder import TAKEDOWN, RunFolder, RunFolderError
from pipeline.schema import DESCRIPTION, DROPPED
from pipeline.write import ROW_GROUP, Workspace, sync_and_hash, write_text

LIST = "takedown.jsonl"
_COLUMNS = ("id", "source", "ordinal", "origin", "url", "verdict", "reason", "bytes", "cluster", "earlier", "shard")


@dataclass(frozen=True)
class Document:
    """A document that is to be taken down, or was, as the ledger has it."""

    id: str
    source: str
    verdict: str
    reason: str | None
    origin: str
    shard: str | None
    bytes: int
    because: str | None
    """The id that was asked for, if this is a duplicate of that."""
    survivor: str | None
    """The document that is kept in its place: asked for by nobody, and like it."""

    def to_dict(self) -> dict[str, Any]:
        """What `gristmill takedown --json` prints of it."""
        return asdict(self)


@dataclass(frozen=True)
class Takedown:
    """What a takedown is about: the documents with their duplicates, and ids that the run does not have."""

    documents: tuple[Document, ...]
    missing: tuple[str, ...]

    @property
    def kept(self) -> int:
        """Documents that are in shards."""
        return sum(document.verdict == "kept" for document in self.documents)


def find(run: Path, ids: Iterable[str]) -> Takedown:
    """Look documents up in the ledger of a run, and their duplicates; raises RunFolderError where there is none."""
    folder = RunFolder(run)
    if not folder.meta.get("complete") and not folder.meta.get("taking_down"):
        raise RunFolderError(f"{run}: the run is not finished; give its command again first")
    folder.ledger()
    asked = dict.fromkeys(ids)
    found = {row["id"]: row for row in _ledger_rows(folder, "id", pa.array(asked, pa.string()))}
    # What stands for others is found with them; what was dropped for another one, with that.
    led = {row["ordinal"]: row["id"] for row in found.values() if row["cluster"] == row["ordinal"]}
    others = {row["cluster"] for row in found.values() if row["cluster"] is not None}
    alike = list(_ledger_rows(folder, "cluster", pa.array(sorted(others), pa.uint64()))) if others else []
    names = {row["ordinal"]: row for row in alike}
    documents = []
    for row in [*found.values(), *(row for row in alike if row["cluster"] in led and row["id"] not in found)]:
        leader = names.get(row["cluster"], {})
        survivor = leader["id"] if leader.get("verdict") == "kept" and leader["id"] not in found else row["earlier"]
        documents.append(
            Document(
                row["id"],
                row["source"],
                row["verdict"],
                row["reason"],
                row["origin"],
                row["shard"],
                row["bytes"],
                None if row["id"] in found else led[row["cluster"]],
                survivor if row["id"] in found else None,
            )
        )
    return Takedown(tuple(documents), tuple(name for name in asked if name not in found))


def enlist(run: Path, takedown: Takedown) -> None:
    """Add documents to the list of the run."""
    listed = _listed(run)
    for document in takedown.documents:
        entry = {"id": document.id, "source": document.source, "origin": document.origin, "because": document.because}
        listed.setdefault(document.id, entry)
    write_text(run / LIST, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in listed.values()))


def apply(run: Path) -> bool:
    """Take out of a run all that its list has; whether a file was changed. Nobody else may be writing in the run."""
    listed = _listed(run)
    if not listed:
        return False
    folder, ids = RunFolder(run), pa.array(listed, pa.string())
    first = _first_ordinals(folder)
    tasks: dict[str, None] = {}
    for path in folder.files("ledger"):
        ordinals = [row["ordinal"] for row in _matching(path, "id", ids, ("ordinal",))]
        if ordinals:
            source, number = path.parent.name, path.stem.removeprefix("part-")
            pieces = {f"{source}-{(ordinal >> 32) - first[source]:05d}" for ordinal in ordinals}
            tasks |= dict.fromkeys(f"{stage}-{piece}" for stage in ("read", "judge") for piece in sorted(pieces))
            tasks[f"shard-{source}-{number}"] = None
    gone: set[str] = set()
    changed = False
    for task in sorted(tasks, key=lambda name: name.startswith("shard-")):
        receipt = run / "receipts" / f"{task}.json"
        if receipt.is_file():
            changed |= _take_out(run, task, json.loads(receipt.read_text(encoding="utf-8")), ids, gone)
    return changed


def _listed(run: Path) -> dict[str, dict[str, Any]]:
    """The entries of the list by id."""
    path = run / LIST
    if not path.is_file():
        return {}
    return {entry["id"]: entry for entry in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def _first_ordinals(folder: RunFolder) -> dict[str, int]:
    """The number of the first split of each source: those of all sources are counted on, in the order of the config."""
    tasks = [path.stem.rpartition("-")[0] for path in (folder.path / "receipts").glob("read-*.json")]
    sources, counts = list(folder.setting("sources") or ()), Counter(tasks)
    return dict(zip(sources, accumulate((counts[f"read-{name}"] for name in sources), initial=0), strict=False))


def _ledger_rows(folder: RunFolder, column: str, values: pa.Array) -> Iterator[dict[str, Any]]:
    for path in folder.files("ledger"):
        yield from _matching(path, column, values, _COLUMNS)


def _matching(path: Path, column: str, values: pa.Array, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Columns of the rows of a file where one column has one of the values; read where there is such a row."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            here = _is_in(file.read_row_group(group, columns=[column])[column], values)
            if pc.any(here).as_py():
                yield from file.read_row_group(group, columns=list(columns)).filter(here).to_pylist()


def _take_out(run: Path, task: str, receipt: dict[str, Any], ids: pa.Array, gone: set[str]) -> bool:
    """Write the files of a task anew that have one of the documents; whether there was one.

    `gone` has the documents that a file in `dropped/` already has for this reason, of the tasks so far.
    """
    left = {kind: str(relative) for relative in receipt["outputs"] if (kind := _kind(relative))}
    outputs, sizes = dict(receipt["outputs"]), dict(receipt["sizes"])
    with Workspace(run, task) as workspace:
        changed = False
        for kind, relative in left.items():
            if kind in _EMPTIED and (run / relative).is_file():
                changed |= _empty(run / relative, workspace.path(relative), ids, *_EMPTIED[kind])
        dropped = left.get("dropped", f"dropped/{receipt['source']}/{task}.parquet")
        mine = _dropped_for_it(run / dropped)
        gone |= mine
        if task.startswith("shard-"):
            changed |= _shard(run, receipt, left, dropped, workspace, ids, gone, mine)
        for relative in dict.fromkeys((*outputs, dropped)):  # of which a killed one wrote some, and no receipt
            path = run / relative
            if not path.is_file():
                outputs.pop(relative, None), sizes.pop(relative, None)
            elif sizes.get(relative) != path.stat().st_size:
                outputs[relative], sizes[relative] = sync_and_hash(path), path.stat().st_size
        if changed or outputs != receipt["outputs"]:
            workspace.commit({**receipt, "outputs": outputs, "sizes": sizes})
            return True
    return False


def _kind(relative: str) -> str | None:
    """The folder of results that a file is of; `parts` only where it has documents."""
    kind = relative.partition("/")[0]
    return None if kind == "parts" and not relative.endswith("/documents.parquet") else kind


_TEXTS = ("text", *DESCRIPTION.names)
_EMPTIED: Mapping[str, tuple[tuple[str, ...], Any]] = {
    "parts": (_TEXTS, None),
    "dropped": (("text",), None),
    "quarantine": (("payload",), None),
    "cut": (("text",), ""),
}
"""What is emptied where the row stays, and by what."""


def _empty(path: Path, aside: Path, ids: pa.Array, columns: Sequence[str], value: Any) -> bool:
    """Empty columns of the rows with these ids; documents between stages get the reason too. Whether there were any."""
    if not any(row[columns[0]] for row in _matching(path, "id", ids, ("id", columns[0]))):
        return False

    def emptied(table: pa.Table) -> pa.Table:
        here = _is_in(table["id"], ids)
        for name in (name for name in columns if name in table.column_names):
            column = table[name]
            table = _with(table, name, pc.if_else(here, pa.scalar(value, column.type), column))
        if "ordinal" in table.column_names:
            reason = pc.if_else(
                here, pc.coalesce(table["reason"], pa.scalar(TAKEDOWN, table["reason"].type)), table["reason"]
            )
            table = _with(table, "reason", reason)
        return table

    _rewrite(path, aside, emptied, level=1 if path.parts[-3] == "parts" else 3)
    return True


def _shard(
    run: Path,
    receipt: dict[str, Any],
    files: Mapping[str, str],
    dropped: str,
    workspace: Workspace,
    ids: pa.Array,
    gone: set[str],
    mine: set[str],
) -> bool:
    """Take documents out of a shard, change their verdicts, and add them to what was dropped."""
    ledger, shard = files["ledger"], files.get("shards")
    rows = list(_matching(run / ledger, "id", ids, (*_COLUMNS, "shard_row")))
    taken = [row for row in rows if row["verdict"] == "kept"]
    new = [row for row in rows if row["verdict"] == "kept" or row["reason"] == TAKEDOWN]
    new = [row for row in new if row["id"] not in gone]
    changed = False
    if shard is not None and (run / shard).is_file() and any(True for _ in _matching(run / shard, "id", ids, ("id",))):
        left = _rewrite(run / shard, workspace.path(shard), lambda table: table.filter(_others(table, ids)))
        if not left:
            workspace.path(shard).unlink()
            (run / shard).unlink()
        changed = True
    if new:
        before = workspace.path(dropped) if workspace.path(dropped).is_file() else run / dropped
        _append(before, workspace.path(dropped), new)
        changed = True
    if taken:
        places = np.sort(np.array([row["shard_row"] for row in taken], np.int64))
        _rewrite(run / ledger, workspace.path(ledger), lambda table: _judged_again(table, ids, places))
        changed = True
    counts = receipt["counts"]
    number = len(mine) + len(new)
    if changed or counts["dropped"].get(TAKEDOWN, 0) != number:
        now = workspace.path(ledger) if workspace.path(ledger).is_file() else run / ledger
        counts["dropped"] = dict(sorted({**counts["dropped"], TAKEDOWN: number}.items()))
        counts["kept"] = counts["read"] - sum(counts["dropped"].values()) - sum(counts["quarantined"].values())
        counts["kept_bytes"] = _kept_bytes(now)
        changed = True
    return changed


def _judged_again(table: pa.Table, ids: pa.Array, places: Any) -> pa.Table:
    """Rows of the ledger with the verdict that takes documents down, and the new places of those behind them."""
    here = pc.and_(_is_in(table["id"], ids), pc.equal(table["verdict"], "kept"))
    rows = table["shard_row"]
    before = np.searchsorted(places, rows.fill_null(0).to_numpy())
    moved = pc.subtract(rows, pa.chunked_array([pa.array(before, rows.type)]))
    for name, value, column in (
        ("verdict", "dropped", table["verdict"]),
        ("reason", TAKEDOWN, table["reason"]),
        ("shard", None, table["shard"]),
        ("shard_row", None, moved),
    ):
        table = _with(table, name, pc.if_else(here, pa.scalar(value, column.type), column))
    return table


def _is_in(column: pa.ChunkedArray, values: pa.Array) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=values.cast(column.type))


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), column.cast(table.schema.field(place).type))


def _others(table: pa.Table, ids: pa.Array) -> pa.ChunkedArray:
    return pc.invert(_is_in(table["id"], ids))


def _rewrite(path: Path, aside: Path, change: Any, level: int = 3) -> int:
    """Write a file anew, a group of rows at a time, each as `change` gives it back; returns the number of rows."""
    rows = 0
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        with pq.ParquetWriter(aside, schema, compression="zstd", compression_level=level) as writer:
            for group in range(file.num_row_groups):
                table = change(file.read_row_group(group))
                rows += table.num_rows
                if table.num_rows:
                    writer.write_table(table, row_group_size=ROW_GROUP)
    return rows


def _append(path: Path, aside: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what was dropped with rows of documents that were taken down behind it."""
    added = [{"id": row["id"], "source": row["source"], "url": row["url"], "reason": TAKEDOWN} for row in rows]
    part = aside.with_name(f"{aside.name}.part")
    with pq.ParquetWriter(part, DROPPED, compression="zstd", compression_level=3) as writer:
        if path.is_file():
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group), row_group_size=ROW_GROUP)
        writer.write_table(pa.Table.from_pylist(added, schema=DROPPED), row_group_size=ROW_GROUP)
    part.replace(aside)


def _dropped_for_it(path: Path) -> set[str]:
    """The ids in a file of dropped documents that were taken down."""
    if not path.is_file():
        return set()
    return {row["id"] for row in _matching(path, "reason", pa.array([TAKEDOWN]), ("id",))}


def _kept_bytes(ledger: Path) -> int:
    """Bytes of the texts that a file of the ledger says are kept."""
    return sum(row["bytes"] for row in _matching(ledger, "verdict", pa.array(["kept"]), ("bytes",)))
