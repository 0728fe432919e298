"""Sources whose documents are files of a repository, joined: with tokens of their own, and a table of their members.

OUT/tokens/<source>/ has for `train` and `held` the files of `Documents`, `members.bin` (int64: the number of a document
in the source that it is made of, and where in `tokens.bin` its path and text begin and end) and `first.bin` (int64, one
more than documents: the first member of each). So whatever is asked of a file finds the repository that has it. A file
is held out of both sources or of none; those that are held out are joined with their like.

Files stand as StarCoder2 and Qwen2.5-Coder have them: `[repository]name[file]path`, a line's end, the text, `[file]`
and so on, for Qwen with line ends between. Where a vocabulary has no such tokens, each stands behind a line `#path`, as
in DeepSeek-Coder.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.config import GroupSettings, SourceSettings
from training.store import selection
from training.store.documents import Documents, Writer, mapped, sync
from training.store.shards import Shard, key
from training.store.tokenizer import Tokenizer

_AT_ONCE = 1 << 20
_CHOSEN = pa.schema(
    [(name, pa.large_string()) for name in ("name", "path")]
    + [("key", pa.uint64()), ("number", pa.int64()), ("id", pa.large_string())]
    + [(name, pa.int64()) for name in ("shard", "row", "bytes")]
)


class Group(Documents):
    """Documents that are those of another source, joined."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], shards: Sequence[Shard], base: Documents) -> None:
        super().__init__(folder, dict(facts), facts["dtype"], shards)
        self._base = base
        self.members = mapped(folder / "members.bin", np.dtype(np.int64), 3 * facts["members"]).reshape(-1, 3)
        """(members, 3) number in the other source, first token and the one behind the last, of all of this source."""
        self.first = mapped(folder / "first.bin", np.dtype(np.int64), len(self) + 1)

    @property
    def recorded(self) -> Documents:
        """The documents that curation knows."""
        return self._base

    def record_of(self, document: int) -> int:
        """The first file that a document has."""
        return int(self.members[self.first[document], 0])

    def having(self, names: Collection[str]) -> list[tuple[int, int]]:
        """Documents with files of these ids, and which; a document's own name stands for its first file."""
        own = [(number, self.record_of(number)) for number, _ in super().having(names)]
        wanted = np.array(sorted({number for number, _ in self._base.having(names)}), np.int64)
        rows = np.flatnonzero(np.isin(self.members[:, 0], wanted))
        documents = np.searchsorted(self.first, rows, side="right") - 1
        found = zip(documents.tolist(), self.members[rows, 0].tolist(), strict=True)
        return list(dict.fromkeys([*own, *found]))

    def spans(self, names: Collection[str]) -> list[tuple[int, int]]:
        """Where in `tokens` files with these ids lie, with their paths; whole documents by their own names."""
        begins, ends = self.places(np.array([number for number, _ in super().having(names)], np.int64))
        wanted = np.array([number for number, _ in self._base.having(names)], np.int64)
        mine = self.members[np.isin(self.members[:, 0], wanted), 1:]
        return [*zip(begins.tolist(), ends.tolist(), strict=True), *map(tuple, mine.tolist())]


def opened(folder: Path, facts: Mapping[str, Any], base: tuple[Documents, Documents]) -> tuple[Group, Group]:
    """The training and the held-out documents of a source; `facts` is its manifest, `base` those that were joined."""
    train, held = (
        Group(folder / part, facts[part], facts["shards"], documents)
        for part, documents in zip(("train", "held"), base, strict=True)
    )
    return train, held


class _Part(NamedTuple):
    """A document to be: files of one repository, or one file that is in none."""

    name: str
    repository: str | None
    numbers: list[int]
    paths: list[str]
    shard: int
    row: int
    size: int


def write(
    folder: Path,
    settings: SourceSettings,
    group: GroupSettings,
    documents: Documents,
    files: list[Shard],
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    """Write the joined documents, and say what they come to. Names and paths of all files are in memory meanwhile."""
    firsts = [0]
    with Writer(folder, documents.tokens.dtype, tokenizer.end) as writer, (folder / "members.bin").open("wb") as table:
        for parts in _batches(_parts(settings, group, documents, files), documents):
            begin, written = writer.facts["tokens"], []
            for part in parts:
                ids, spans = _joined(part, documents, tokenizer)
                table.write(np.column_stack([part.numbers, np.array(spans) + begin]).astype("<i8").tobytes())
                firsts.append(firsts[-1] + len(spans))
                begin += len(ids) + 1
                written.append(ids)
            names = [part.name for part in parts]
            writer.add(
                written,
                [key(name) for name in names],
                names,
                [part.shard for part in parts],
                [part.row for part in parts],
                [part.size for part in parts],
            )
    np.array(firsts, "<i8").tofile(folder / "first.bin")
    for name in ("members.bin", "first.bin"):
        sync(folder / name)
    sync(folder)
    return {**writer.facts, "members": firsts[-1], "dtype": documents.tokens.dtype.name}


def _parts(settings: SourceSettings, group: GroupSettings, documents: Documents, files: list[Shard]) -> Iterator[_Part]:
    """The documents to be, in the order of their names; files that are in no repository come last."""
    made: _Part | None = None
    number, tokens = 1, 0
    for batch in _chosen(settings, group, documents, files).to_batches(max_chunksize=1 << 16):
        for row in batch.to_pylist():
            length = len(documents.ids(row["number"]))
            joined = row["name"] is not None
            goes_on = made is not None and joined and made.repository == row["name"]
            if made is not None and not (goes_on and tokens + length <= group.most):
                yield made
                made = None
                number = number + 1 if goes_on else 1
            name = _called(row["name"], number) if joined else row["id"]
            if made is None:
                made, tokens = _Part(name, row["name"], [], [], row["shard"], row["row"], 0), 0
            made.numbers.append(row["number"])
            made.paths.append(row["path"])
            made = made._replace(size=made.size + row["bytes"])
            tokens += length
    if made is not None:
        yield made


def _called(name: str, number: int) -> str:
    """The id of a document with files of a repository; a large one has several."""
    return name if number == 1 else f"{name}#{number}"


def _chosen(settings: SourceSettings, group: GroupSettings, documents: Documents, files: list[Shard]) -> pa.Table:
    """The documents that are joined, with name and path, sorted by these; those without a name come last."""
    found = [_CHOSEN.empty_table()]
    loaded, known = -1, {}
    for first, shard, rows, sizes in documents.index():
        if shard != loaded:
            known, loaded = selection.columns(files[shard], list(selection.asked(settings))), shard
        here = {name: column.take(pa.array(rows)) for name, column in known.items()}
        here[selection.TOKENS] = pa.array(np.diff(documents.offsets[first : first + len(rows) + 1]) - 1)
        kept = np.flatnonzero(selection.times(settings, here, len(rows)))
        ids = documents.names(first + kept).cast(pa.large_string())
        paths = ids if group.path is None else here[group.path].take(pa.array(kept)).cast(pa.large_string())
        columns = [
            here[group.by].take(pa.array(kept)).cast(pa.large_string()),
            pc.coalesce(paths, ids),
            documents.keys[first + kept],
            first + kept,
            ids,
            np.full(len(kept), shard),
            rows[kept],
            sizes[kept],
        ]
        found.append(pa.table([pa.array(column) for column in columns], schema=_CHOSEN))
    return pa.concat_tables(found).sort_by([(name, "ascending") for name in ("name", "path", "key", "number")])


def _batches(parts: Iterable[_Part], documents: Documents) -> Iterator[list[_Part]]:
    """Some documents at a time, as many as have about a million tokens."""
    batch: list[_Part] = []
    tokens = 0
    for part in parts:
        batch.append(part)
        begins, ends = documents.places(np.array(part.numbers, np.int64))
        tokens += int((ends - begins).sum())
        if tokens >= _AT_ONCE:
            yield batch
            batch, tokens = [], 0
    if batch:
        yield batch


def _joined(part: _Part, documents: Documents, tokenizer: Tokenizer) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokens of a document without its end token, and where in them the path and the text of each file lie."""
    texts = [documents.ids(number)[:-1].tolist() for number in part.numbers]
    if part.repository is None:
        return texts[0], [(0, len(texts[0]))]
    marked = tokenizer.file is not None
    between = tokenizer.encode("\n") if not marked or tokenizer.settings.fim == "qwen" else []
    headers = tokenizer.encode_batch([f"{'' if marked else '#'}{path}\n" for path in part.paths])
    ids: list[int] = []
    spans = []
    if tokenizer.repository is not None:
        ids += [tokenizer.repository, *tokenizer.encode(part.repository), *between]
    for header, text in zip(headers, texts, strict=True):
        if tokenizer.file is not None:
            ids.append(tokenizer.file)
        spans.append((len(ids), len(ids) + len(header) + len(text)))
        ids += [*header, *text, *between]
    return ids, spans
