"""A small curation run worked out in plain Python and written as a run folder: the oracle of what reads runs.

The simulation knows every signal of every document, also those that a real run would not have measured, so it can say
what a run under other ranges would truly have given.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.schema import DROPPED, LEDGER, QUARANTINE, SHARD

HOSTILE = (
    "[red]a|b[/red] \x1b[31mC\u202e <script>alert(1)</script> `x` **y** [z](http://evil.example) {{ 7*7 }} \n# head"
)

Ranges = Mapping[str, tuple[float | None, float | None]]

RANGES: Ranges = {
    "url.blocked": (None, 0),
    "gopher.words": (50, 1000),
    "gopher.mean_word": (3, 10),
    "lines.short": (None, 0.67),
    "language.score": (0.65, None),
    "language.score@de": (0.2, None),
    "late.value": (0.1, None),
    "late.value@de": (0.05, 0.9),
    "late.value@fr": (0.5, None),
}
SIGNALS = {
    "url.blocked": pa.bool_(),
    "gopher.words": pa.int64(),
    "gopher.mean_word": pa.float64(),
    "gopher.extra": pa.float64(),
    "lines.short": pa.float64(),
    "language.score": pa.float64(),
    "language.label": pa.string(),
    "pii.emails": pa.int64(),
    "late.value": pa.float64(),
}
STEPS = [
    ("url", "filter", True),
    ("extract", "transform", False),
    ("gopher", "filter", False),
    ("lines", "filter", False),
    ("language", "filter", True),
    ("exact", "dedup", False),
    ("minhash", "dedup", False),
    ("pii", "transform", False),
    ("late", "filter", False),
]


@dataclass
class Doc:
    """One record: what reading says of it, its text, every signal, and its clique of duplicates for each such step."""

    ordinal: int
    source: str
    text: str
    values: dict[str, Any]
    cliques: dict[str, int]
    read: tuple[str, str] | None = None
    failed: bool = False
    verdict: str = ""
    reason: str | None = None
    broken: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    has_text: bool = False
    cluster: int | None = None
    size: int | None = None

    @property
    def id(self) -> str:
        return f"doc-{self.ordinal:06d}"


def outside(value: Any, ends: tuple[float | None, float | None]) -> bool:
    """Whether a value breaks a range."""
    if value is None:
        return False
    low, high = ends
    number = float(value)
    return math.isnan(number) or (low is not None and number < low) or (high is not None and number > high)


def applies(ranges: Ranges, column: str, label: str | None) -> tuple[float | None, float | None] | None:
    """The range that holds for a document; from the step `language` on, its label has a say."""
    if column.split(".")[0] in ("language", "late") and f"{column}@{label}" in ranges:
        return ranges[f"{column}@{label}"]
    return ranges.get(column)


def documents(seed: int, count: int, sources: tuple[str, ...]) -> list[Doc]:
    """Random records of every kind."""
    rng = random.Random(seed)
    docs = []
    for ordinal in range(count):
        text = f"{HOSTILE if ordinal % 7 == 0 else 'plain'} text é{ordinal} " * rng.randint(1, 4)
        values = {
            "url.blocked": rng.random() < 0.1,
            "gopher.words": rng.choice([10, 49, 50, 51, 200, 1000, 1001, rng.randint(0, 2000)]),
            "gopher.mean_word": rng.choice([2.9, 3.0, 5.0, 5.5, 10.0, 10.5, math.nan, None]),
            "gopher.extra": rng.choice([0.0, 1.0, None]),
            "lines.short": rng.choice([0.1, 0.2, 0.5, 0.67, 0.68]),
            "language.score": rng.choice([0.3, 0.65, 0.9, 0.95, None]),
            "language.label": rng.choice(["en", "de", HOSTILE]),
            "pii.emails": rng.randint(0, 3),
            "late.value": rng.choice([0.0, 0.1, 0.5, 0.9]),
        }
        copy = rng.randint(0, count)
        cliques = {"exact": copy, "minhash": copy % (count // 3)}  # copies are also alike
        doc = Doc(ordinal << 3, rng.choice(sources), text, values, cliques)
        kind = rng.random()
        if kind < 0.05:
            doc.read = ("dropped", "read.content_type")
        elif kind < 0.1:
            doc.read = ("quarantined", "read.truncated")
        doc.failed = rng.random() < 0.05
        docs.append(doc)
    return docs


def curate(docs: list[Doc], ranges: Ranges, measure: str, steps: list[tuple[str, str, bool]]) -> None:
    """Give every document its verdict, one document and one step at a time."""
    alive = []
    barrier = [name for name, kind, _ in steps if kind == "dedup"]
    early = steps[: [name for name, _, _ in steps].index(barrier[0])] if barrier else steps
    for doc in docs:
        doc.verdict, doc.reason, doc.broken, doc.seen, doc.cluster, doc.size = "", None, [], set(), None, None
        doc.has_text = doc.source == "texts"
        if doc.read:
            doc.verdict, doc.reason = doc.read
        else:
            _walk(doc, early, ranges, measure)
        if not doc.verdict:
            alive.append(doc)
    if barrier:
        compared, stands_for = list(alive), {doc.ordinal: doc.ordinal for doc in alive}
        for name in barrier:
            cliques: dict[int, list[Doc]] = {}
            for doc in alive:
                cliques.setdefault(doc.cliques[name], []).append(doc)
            for first, *others in cliques.values():
                for doc in others:
                    doc.verdict, doc.reason = "dropped", f"dedup.{name}"
                    gone = doc.ordinal
                    stands_for = {o: first.ordinal if s == gone else s for o, s in stands_for.items()}
            alive = [doc for doc in alive if not doc.verdict]
        sizes = Counter(stands_for.values())
        for doc in compared:
            if sizes[stands_for[doc.ordinal]] > 1:
                doc.cluster, doc.size = stands_for[doc.ordinal], sizes[stands_for[doc.ordinal]]
        for doc in alive:
            _walk(doc, steps[len(early) + len(barrier) :], ranges, measure)
    for doc in docs:
        doc.verdict = doc.verdict or "kept"


def _walk(doc: Doc, steps: list[tuple[str, str, bool]], ranges: Ranges, measure: str) -> None:
    group: list[str] = []

    def judge() -> None:
        nonlocal group
        for column in SIGNALS:
            ends = applies(ranges, column, doc.values["language.label"])
            if column.split(".")[0] in group and ends is not None and outside(doc.values[column], ends):
                doc.broken.append(column)
                if not doc.verdict:
                    doc.verdict, doc.reason = "dropped", column
        group = []

    for name, kind, gate in steps:
        if kind == "transform":
            judge()
            if doc.verdict and measure != "all":
                return
            if name == "extract":
                if doc.failed and not doc.has_text:  # what is text already is not extracted
                    if not doc.verdict:
                        doc.verdict, doc.reason = "quarantined", "extract.failed"
                    return
                doc.has_text = True
            doc.seen.add(name)
        else:
            doc.seen.add(name)
            group.append(name)
            if gate:
                judge()
                if doc.verdict and measure != "all":
                    return
    judge()


def write(
    path: Path, docs: list[Doc], ranges: Ranges, measure: str, steps: list[tuple[str, str, bool]], **meta: Any
) -> Path:
    """Write the run folder of curated documents."""
    sources = list(dict.fromkeys(doc.source for doc in docs))
    entries = [
        {
            "name": name,
            "kind": kind,
            "use": name,
            "gate": gate,
            "identifies_language": name == "language",
            "keep": {c.split(".")[1]: list(ends) for c, ends in ranges.items() if c.split(".")[0] == name},
        }
        for name, kind, gate in steps
    ]
    config = {"steps": {}, "measure": measure, "limit": None}
    meta = {"complete": True, "config": config, "sources": sources, "licenses": {}, "steps": entries, **meta}
    (path / "receipts").mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(meta))
    names = {name for name, _, _ in steps}
    schema = pa.schema([*LEDGER, *(pa.field(c, t) for c, t in SIGNALS.items() if c.split(".")[0] in names)])
    for number, source in enumerate(sources):
        mine = [doc for doc in docs if doc.source == source]
        rows: dict[str, list[dict[str, Any]]] = {"ledger": [], "shards": [], "dropped": [], "quarantine": []}
        for doc in mine:
            text = doc.text if doc.has_text else ""
            shared = {"id": doc.id, "source": source, "url": f"http://x/{doc.ordinal}?{HOSTILE}", "reason": doc.reason}
            shared["origin"] = f"file#{doc.ordinal}"
            shard = {}
            if doc.verdict == "kept":
                shard = {"shard": f"shards/{source}/part-00000.parquet", "shard_row": len(rows["shards"])}
                rows["shards"].append({**shared, "text": doc.text, "language": "en"})
            elif doc.verdict == "dropped":
                rows["dropped"].append({**shared, "text": text or None})
            else:
                rows["quarantine"].append({**shared, "payload": b"\xff" + doc.text.encode()})
            signals = {c: v for c, v in doc.values.items() if c.split(".")[0] in doc.seen}
            row = {**shared, **shard, **signals, "ordinal": doc.ordinal, "verdict": doc.verdict, "broken": doc.broken}
            row |= {"chars": len(text), "bytes": len(text.encode()), "cluster": doc.cluster, "cluster_size": doc.size}
            rows["ledger"].append(row)
        for kind, kind_schema in (
            ("ledger", schema),
            ("shards", SHARD),
            ("dropped", DROPPED),
            ("quarantine", QUARANTINE),
        ):
            if rows[kind]:
                folder = path / kind / source
                folder.mkdir(parents=True)
                half = len(rows[kind]) // 2 + 1 if kind in ("ledger", "dropped") else len(rows[kind])
                for part, first in enumerate(range(0, len(rows[kind]), half)):
                    table = pa.Table.from_pylist(
                        [
                            {name: row.get(name) for name in kind_schema.names}
                            for row in rows[kind][first : first + half]
                        ],
                        schema=kind_schema,
                    )
                    pq.write_table(table, folder / f"part-{part:05d}.parquet", row_group_size=7)
        left, heads = mine, {"read": ("read", "url", "extract"), "judge": ("gopher", "lines", "language")}
        if measure == "all":  # what an early filter dropped goes on to be measured, and is settled by the second stage
            heads = {"read": ("read", "extract"), "judge": ("url", *heads["judge"])}
        for stage, own in {**heads, "shard": ("dedup", "pii", "late")}.items():
            left = receipt(path, f"{stage}-{source}-{number}", stage, source, left, own)
    for kind in ("sort", "clusters"):
        entry = {"task": kind, "stage": f"minhash.{kind}", "source": None, "seconds": 1.25, "steps": [], "counts": {}}
        (path / "receipts" / f"{kind}.json").write_text(json.dumps(entry))
    return path


def receipt(path: Path, task: str, stage: str, source: str, docs: list[Doc], own: tuple[str, ...]) -> list[Doc]:
    """Write the receipt of one task over these documents, and give those that it keeps."""
    ended = [doc for doc in docs if doc.reason and doc.reason.split(".")[0] in own]
    counts = {
        "read": len(docs),
        "kept": len(docs) - len(ended),
        "dropped": Counter(doc.reason for doc in ended if doc.verdict == "dropped"),
        "quarantined": Counter(doc.reason for doc in ended if doc.verdict == "quarantined"),
        "ignored": {"warcinfo": 1} if stage == "read" else {},
    }
    steps = [{"name": name, "seconds": 0.5} for name in own if name not in ("read", "dedup")]
    body = {"task": task, "stage": stage, "source": source, "seconds": 0.5 * len(steps) + 0.25, "steps": steps}
    name = f"{task.encode().hex()}.json"
    (path / "receipts" / name).write_text(json.dumps({**body, "counts": counts}))
    return [doc for doc in docs if doc not in ended]


@pytest.fixture(scope="session")
def simulation() -> SimpleNamespace:
    """The parts of the simulation, for tests that put runs together themselves."""
    return SimpleNamespace(
        documents=documents,
        curate=curate,
        write=write,
        outside=outside,
        applies=applies,
        RANGES=RANGES,
        STEPS=STEPS,
        SIGNALS=SIGNALS,
        HOSTILE=HOSTILE,
    )


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, list[Doc]]]:
    """Write a simulated run and give its folder and its documents with their verdicts."""

    def make(
        seed: int = 1,
        count: int = 200,
        sources: tuple[str, ...] = ("web", "texts", "code"),
        ranges: Ranges = RANGES,
        measure: str = "needed",
        without: tuple[str, ...] = (),
        **meta: Any,
    ) -> tuple[Path, list[Doc]]:
        steps = [step for step in STEPS if step[0] not in without]
        ranges = {column: ends for column, ends in ranges.items() if column.split(".")[0] not in without}
        docs = documents(seed, count, sources)
        curate(docs, ranges, measure, steps)
        return write(tmp_path_factory.mktemp("run") / "run", docs, ranges, measure, steps, **meta), docs

    return make
