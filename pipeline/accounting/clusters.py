"""A cluster of duplicates laid open: its members, how alike each is to the one that stays, and where they differ.

Texts come from the run itself, of what was dropped as it was judged, of what stays as the last steps left it. Nothing
is read again from the sources.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from pipeline.accounting.escape import line, visible
from pipeline.accounting.folder import RunFolder, RunFolderError
from pipeline.accounting.inspect import hash_ids, row_of
from pipeline.accounting.tables import number
from pipeline.dedup.minhash import MinHash

_AROUND = 8
"""Words that are shown on each side of a difference; longer equal stretches are left out."""

_WORDS = 20_000
"""Words of a text that are compared."""

_CHARS = 3000
_WORD = re.compile(r"\S+\s*")

_MARKS = {
    "same": ("", "", ""),
    "left out": ("", "", "dim"),
    "less": ("[-", "-]", "red strike"),
    "more": ("{+", "+}", "bold green"),
}
"""What stands around words and how they look; the signs are for whoever sees no colours."""


@dataclass(frozen=True)
class Member:
    """A document of a cluster. `similarity` is the Jaccard index of its shingles and those of the one that stays; None
    where the run has no text of one of them."""

    id: str
    ordinal: int
    source: str
    origin: str
    url: str | None
    doc_id: str | None
    verdict: str
    reason: str | None
    similarity: float | None
    text: str | None


@dataclass(frozen=True)
class Cluster:
    """A cluster, named by the ordinal of the member that stays, which is the first one; `size` counts all members,
    `measure` says what similarities are of."""

    cluster: int
    size: int
    measure: str
    members: Sequence[Member]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, nothing shortened, nothing escaped."""
        return asdict(self)


def find_cluster(run: Path | RunFolder, wanted: str, n: int = 5, seed: int = 0) -> Cluster:
    """The cluster of a document, given by its id or the one that its source gave it, or that has this number.

    Beside the member that stays, and the wanted one, it has up to `n` others, those with the smallest hashes. Raises
    RunFolderError where there is none.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    meant, document = _meant(folder, wanted)
    found = folder.ledger().filter(pl.col("cluster") == pl.lit(meant, pl.UInt64))
    names = found.select("ordinal", "id").collect(engine="streaming")
    hashes = pl.Series("hash", hash_ids(pa.array(names["id"].to_list(), pa.string()), seed))
    others = names.filter(~pl.col("ordinal").is_in([meant, document])).height
    first = pl.when(pl.col("ordinal") == meant).then(0).when(pl.col("ordinal") == document).then(1).otherwise(2)
    chosen = names.with_columns(hashes, first=first).sort("first", "hash").head(names.height - others + n)
    rows = found.filter(pl.col("ordinal").is_in(chosen["ordinal"].to_list())).collect(engine="streaming")
    texts = _texts(folder, rows.rows(named=True))
    step = _measure(folder)
    stays = texts.get(meant)
    members = []
    for row in chosen.select("ordinal").join(rows, on="ordinal", maintain_order="left").iter_rows(named=True):
        text = texts.get(row["ordinal"])
        known = {
            name: row[name] for name in ("id", "ordinal", "source", "origin", "url", "doc_id", "verdict", "reason")
        }
        alike = None if text is None or stays is None else _jaccard(step, text, stays)
        members.append(Member(**known, similarity=alike, text=text))
    return Cluster(meant, names.height, f"shingles of {step.shingle} {step.of}", members)


def _meant(folder: RunFolder, wanted: str) -> tuple[int, int]:
    """The cluster that a word means, and the document, which is the one that stays if it means a cluster."""
    ledger = folder.ledger().select("ordinal", "id", "doc_id", "cluster", "earlier")
    found = ledger.filter((pl.col("id") == wanted) | (pl.col("doc_id") == wanted)).head(10).collect(engine="streaming")
    if found["cluster"].n_unique() > 1:
        ids = ", ".join(line(name) for name in found["id"])
        raise RunFolderError(f"several documents are called '{line(wanted)}'; choose one by its id: {ids}")
    if found.height:
        if found["cluster"][0] is None:
            earlier = found["earlier"][0]
            of = "has no duplicates" if earlier is None else f"is a duplicate of {line(earlier)}, of an earlier run"
            raise RunFolderError(f"document '{line(wanted)}' {of}")
        return int(found["cluster"][0]), int(found["ordinal"][0])
    if wanted.isascii() and wanted.isdigit() and int(wanted) < 1 << 64:
        number = pl.lit(int(wanted), pl.UInt64)
        if ledger.filter(pl.col("cluster") == number).head(1).collect(engine="streaming").height:
            return int(wanted), int(wanted)
    raise RunFolderError(f"{folder.path} has no document or cluster '{line(wanted)}'")


def _texts(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """What the run has of these rows of the ledger, by ordinal."""
    texts: dict[int, str] = {}
    for row in rows:
        if row["shard"] is not None:
            texts[row["ordinal"]] = row_of(folder.path / row["shard"], row["shard_row"])["text"]
    gone = {(row["source"], row["id"]): row["ordinal"] for row in rows if row["verdict"] == "dropped"}
    for source in dict.fromkeys(source for source, _ in gone):
        frame = folder.scan("dropped", source)
        if frame is not None:
            ids = [name for where, name in gone if where == source]
            found = frame.filter(pl.col("id").is_in(ids), pl.col("text").is_not_null()).select("id", "text")
            texts |= {gone[source, name]: text for name, text in found.collect(engine="streaming").iter_rows()}
    return texts


def _measure(folder: RunFolder) -> MinHash:
    """The last step of the run that compares shingles, else one as it is by default."""
    steps = [entry["settings"] for entry in folder.meta["steps"] if entry["use"] == "minhash"]
    return MinHash.model_validate(steps[-1]) if steps else MinHash()


def _jaccard(step: MinHash, text: str, other: str) -> float:
    a, b = step.features(text), step.features(other)
    return round(len(a & b) / len(a | b), 4) if a or b else 1.0


def render(found: Cluster) -> RenderableType:
    """The member that stays, and each other one by where it differs: [-words that it lacks-] {+those it has more+}."""
    stays, *others = found.members
    head = f"cluster {found.cluster}: {number(found.size)} documents; similarity is that of {found.measure}"
    parts: list[RenderableType] = [Text(head), *_head(stays, compared=False)]
    text = stays.text or "(no text)"
    more = f" … {len(text) - _CHARS:,} more characters" if len(text) > _CHARS else ""
    parts.append(Text(visible(text[:_CHARS]) + more))
    for member in others:
        parts += _head(member)
        if member.text is None or stays.text is None:
            parts.append(Text("(no text)"))
        else:
            parts.append(differences(stays.text, member.text))
    if found.size > len(found.members):
        parts.append(Text(f"{number(found.size - len(found.members))} more; -n shows more of them, --seed others"))
    return Group(*parts)


def _head(member: Member, compared: bool = True) -> list[RenderableType]:
    words = member.verdict if member.reason is None else f"{member.verdict} for {member.reason}"
    alike = "" if member.similarity is None or not compared else f", {member.similarity:.2f} alike"
    where = " ".join(line(part) for part in (member.doc_id, member.url, member.origin) if part)
    return [
        Rule(Text(line(f"{member.source} {member.id}"), style="bold"), align="left"),
        Text(where, style="dim"),
        Text(line(words) + alike, style="yellow"),
    ]


def differences(old: str, new: str) -> Text:
    """Where a text differs from another one, word by word; layout is no difference."""
    a, b = (list(islice(_WORD.findall(text), _WORDS + 1)) for text in (old, new))
    shown, pieces = Text(), list(_pieces(a[:_WORDS], b[:_WORDS]))
    if all(kind in ("same", "left out") for kind, _ in pieces):
        shown, pieces = Text("the same words"), []
    for kind, words in pieces:
        if len(shown) > _CHARS:
            shown.append("… and more differences")
            break
        opening, closing, style = _MARKS[kind]
        content = words.rstrip()
        shown.append(f"{opening}{visible(content[:_CHARS])}{closing}", style=style)
        shown.append(visible(words[len(content) :]))
    if max(len(a), len(b)) > _WORDS:
        shown.append(f" … compared up to word {_WORDS:,}")
    return shown


def _pieces(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Words that two texts share, with the long stretches left out, and words that only one has."""
    matcher = SequenceMatcher(None, [word.rstrip() for word in a], [word.rstrip() for word in b])
    for kind, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if kind == "equal":
            left = _AROUND if b_from or a_from else 0
            right = _AROUND if a_to < len(a) or b_to < len(b) else 0
            between = b_to - b_from - left - right
            if between <= 2:
                yield "same", "".join(b[b_from:b_to])
                continue
            if left:
                yield "same", "".join(b[b_from : b_from + left])
            yield "left out", f"… {between:,} words … "
            if right:
                yield "same", "".join(b[b_to - right : b_to])
        else:
            if a_to > a_from:
                yield "less", "".join(a[a_from:a_to])
            if b_to > b_from:
                yield "more", "".join(b[b_from:b_to])
