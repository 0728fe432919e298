"""Counts of a run that add up: by verdict and reason, from the ledger and, apart from it, from the receipts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from pipeline.accounting.escape import line
from pipeline.accounting.folder import RunFolder

Key = tuple[str, str]
"""A verdict and its reason; the reason of what is kept is empty."""


@dataclass
class Tally:
    """Records by verdict and reason, with the characters and UTF-8 bytes of their texts."""

    rows: Counter[Key] = field(default_factory=Counter)
    chars: Counter[Key] = field(default_factory=Counter)
    bytes: Counter[Key] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    """By step: the characters that it has cut out of texts."""

    def of(self, verdict: str) -> dict[str, int]:
        """Records of a verdict by reason, the most frequent first."""
        counts = [(reason, number) for (found, reason), number in self.rows.items() if found == verdict and number]
        return dict(sorted(counts, key=lambda entry: (-entry[1], entry[0])))

    def add(self, other: "Tally") -> None:
        """Take the counts of another tally in."""
        for mine, theirs in ((self.rows, other.rows), (self.chars, other.chars), (self.bytes, other.bytes)):
            mine.update(theirs)
        self.cut.update(other.cut)


@dataclass
class Work:
    """The receipts of one source summed up: what readers counted, what judging found, seconds by name of step."""

    read: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    judged: Tally = field(default_factory=Tally)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: "Work") -> None:
        """Take the sums of another source in."""
        self.read += other.read
        self.ignored.update(other.ignored)
        self.judged.add(other.judged)
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def ledger_tallies(run: RunFolder) -> dict[str, Tally]:
    """The ledger counted by source: one streaming pass whose result has as many rows as there are reasons."""
    ledger = run.scan("ledger")
    counted: dict[str, Tally] = {}
    if ledger is None:
        return counted
    cuts = [step.name for step in run.steps if step.cuts and f"{step.name}.cut" in run.signals]
    frame = (
        ledger.group_by("source", "verdict", pl.col("reason").fill_null(""))
        .agg(
            pl.len().alias("rows"),
            pl.col("chars").sum(),
            pl.col("bytes").sum(),
            *(pl.col(f"{name}.cut").sum() for name in cuts),
        )
        .sort("source", "verdict", "reason")
        .collect(engine="streaming")
    )
    for source, verdict, reason, rows, chars, num_bytes, *cut in frame.iter_rows():
        tally = counted.setdefault(source, Tally())
        tally.rows[verdict, reason] += rows
        tally.chars[verdict, reason] += chars
        tally.bytes[verdict, reason] += num_bytes
        tally.cut.update(dict(zip(cuts, cut, strict=True)))
    return counted


def file_counts(run: RunFolder, kind: str) -> dict[str, Counter[str]]:
    """Rows of `dropped` or `quarantine` files by source and reason."""
    frame = run.scan(kind)
    counted: dict[str, Counter[str]] = {}
    if frame is not None:
        grouped = frame.group_by("source", "reason").len().sort("source", "reason").collect(engine="streaming")
        for source, reason, rows in grouped.iter_rows():
            counted.setdefault(source, Counter())[reason] += rows
    return counted


COUNTING = ("read", "judge", "shard")
"""The stages that records go through, each with what the one before it kept; `judge` is not in every run."""


def receipt_work(run: RunFolder) -> dict[str | None, Work]:
    """Sums of the receipts by source; None has the tasks that serve all sources at once, such as clustering.

    Time that a task did not spend in steps is that of reading in the first stage, of deduplication in the tasks that
    find clusters, and else of writing.
    """
    summed: dict[str | None, Work] = {}
    for receipt in run.receipts():
        work, stage = summed.setdefault(receipt["source"], Work()), receipt["stage"]
        spent = {step["name"]: step["seconds"] for step in receipt["steps"]} | receipt.get("keys", {})
        name = "read" if stage == "read" else run.owner(stage) or "write"
        spent[name] = spent.get(name, 0.0) + max(receipt["seconds"] - sum(spent.values()), 0.0)
        for name, seconds in spent.items():
            work.seconds[name] = work.seconds.get(name, 0.0) + seconds
        if stage not in COUNTING:
            continue
        counts = receipt["counts"]
        if stage == COUNTING[0]:
            work.read += counts["read"]
            work.judged.rows["kept", ""] += counts["read"]
        work.ignored.update(counts["ignored"])
        for verdict in ("dropped", "quarantined"):
            for reason, number in counts[verdict].items():
                work.judged.rows[verdict, reason] += number
                work.judged.rows["kept", ""] -= number
    return summed


def uneven(run: RunFolder) -> Iterator[str]:
    """The tasks that did not keep, drop or quarantine as many records as they took in, with both numbers."""
    for receipt in run.receipts():
        if receipt["stage"] in COUNTING:
            counts = receipt["counts"]
            out = counts["kept"] + sum(counts["dropped"].values()) + sum(counts["quarantined"].values())
            if counts["read"] != out:
                source, task = line(str(receipt["source"])), line(str(receipt["task"]))
                yield f"source '{source}': records in and out of task '{task}': {counts['read']} and {out}"


def merged(tallies: Iterable[Tally]) -> Tally:
    """One tally of all."""
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
