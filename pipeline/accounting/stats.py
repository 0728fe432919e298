"""What became of every record: the funnel of a run by source and step, its check sums, and two runs side by side.

Counts come from the ledger once it is whole, else from the receipts of the tasks done so far; `conservation` holds
the two, and the rows of the files, against one another.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from filters.base import Range
from pipeline.accounting.escape import line
from pipeline.accounting.folder import RunFolder, footer, tokens
from pipeline.accounting.funnel import Funnel, build
from pipeline.accounting.proof import Proof, proof_table, proofs, warnings
from pipeline.accounting.tables import SIZES, beside, interval, number, seconds, share, short, table
from pipeline.accounting.tally import Tally, Work, file_counts, ledger_tallies, merged, receipt_work, uneven
from pipeline.schema import VERDICTS


class ConservationError(Exception):
    """Records were lost or counted twice; the message has one line a difference: the source and both numbers."""


@dataclass(frozen=True)
class Stats:
    """The funnels of a run, its ranges by signal, the proofs of its deduplication, and what is wrong with that;
    `complete` once every record has its row in the ledger."""

    run: str
    complete: bool
    sources: Mapping[str, Funnel]
    total: Funnel
    ranges: Mapping[str, Range]
    proofs: Sequence[Proof]
    warnings: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """What `gristmill stats --json` prints."""
        return {
            "run": self.run,
            "complete": self.complete,
            "sources": {name: funnel.to_dict() for name, funnel in self.sources.items()},
            "total": self.total.to_dict(),
            "proofs": {proof.step: dict(proof.found) for proof in self.proofs},
            "warnings": list(self.warnings),
        }


def stats(run: Path | RunFolder) -> Stats:
    """Count a finished or partly finished run; raises RunFolderError where there is none."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    ledger, receipts = ledger_tallies(folder), receipt_work(folder)
    counted: dict[str, tuple[Tally, Work, bool]] = {}
    for name in dict.fromkeys((*folder.sources, *sorted(ledger), *sorted(filter(None, receipts)))):
        work, tally = receipts.get(name, Work()), ledger.get(name, Tally())
        whole = tally.rows.total() >= work.read
        counted[name] = (tally if whole else work.judged, work, whole)
    everything = Work()
    for work in receipts.values():
        everything.add(work)
    whole = all(whole for _, _, whole in counted.values())
    funnels = {name: build(folder, *parts, source=name) for name, parts in counted.items()}
    total = build(folder, merged(tally for tally, _, _ in counted.values()), everything, whole).entered_by(funnels)
    complete, proved = whole and bool(folder.meta.get("complete")), proofs(folder)
    wrong = warnings(folder, proved, total)
    return Stats(str(folder.path), complete, funnels, total, folder.ranges(), proved, wrong)


def conservation(run: Path | RunFolder) -> None:
    """Hold receipts, ledger, shards and quarantine of a finished run against one another.

    Raises ConservationError with every difference: records read = kept + dropped + quarantined for each source, in
    each of the places where they are counted.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    ledger, receipts, quarantine = ledger_tallies(folder), receipt_work(folder), file_counts(folder, "quarantine")
    dropped = file_counts(folder, "dropped")
    wrong = list(uneven(folder))
    for name in dict.fromkeys((*folder.sources, *sorted(ledger), *sorted(filter(None, receipts)))):
        work, tally = receipts.get(name, Work()), ledger.get(name, Tally())

        def same(what: str, left: int, right: int, name: str = name) -> None:
            if left != right:
                wrong.append(f"source '{line(name)}': {what}: {left} and {right} ({left - right:+d})")

        same("records read by the receipts and rows of the ledger", work.read, tally.rows.total())
        for verdict, reason in sorted(set(tally.rows) | set(work.judged.rows)):
            number = tally.rows[verdict, reason]
            if verdict not in VERDICTS or (verdict == "kept") != (reason == ""):
                wrong.append(
                    f"source '{line(name)}': {number} rows of the ledger have verdict {verdict!r} for {reason!r}"
                )
            else:
                what = f"{verdict} {line(reason)}".strip()
                same(f"{what}, by the receipts and in the ledger", work.judged.rows[verdict, reason], number)
        for verdict, files in (("dropped", dropped), ("quarantined", quarantine)):
            rows, stored = Counter(tally.of(verdict)), files.get(name, Counter())
            for reason in sorted(rows | stored):
                same(f"{verdict} {line(reason)}, in the ledger and in files", rows[reason], stored[reason])
    wrong += _shards(folder)
    if wrong:
        raise ConservationError("\n".join(wrong))


def _shards(folder: RunFolder) -> list[str]:
    """Where the rows of a shard are not those that the ledger sends there."""
    expected: Counter[tuple[str, str]] = Counter()
    ledger = folder.scan("ledger")
    if ledger is not None:
        kept = ledger.filter(pl.col("verdict") == "kept").group_by("source", pl.col("shard").fill_null("")).len()
        for source, shard, rows in kept.sort("source", "shard").collect(engine="streaming").iter_rows():
            expected[source, shard] += rows
    found = Counter(
        {
            (name, path.relative_to(folder.path).as_posix()): footer(path)[0]
            for name in folder.sources
            for path in folder.files("shards", name)
        }
    )
    return [
        f"source '{line(source)}': kept in the ledger and rows of {line(shard) or 'no shard'}: "
        f"{expected[source, shard]} and {found[source, shard]} ({expected[source, shard] - found[source, shard]:+d})"
        for source, shard in sorted(set(expected) | set(found))
        if expected[source, shard] != found[source, shard]
    ]


def funnel_table(title: str, funnel: Funnel) -> Table:
    """One source from reading to the shards: a row a step."""
    columns = ("step", "in", "dropped", "of rest", "of all", "quarantined", "chars", "≈ tokens", "s")
    rows: list[Sequence[str | Text]] = [
        (
            stage.name,
            number(stage.entered),
            number(stage.dropped),
            share(stage.dropped, stage.entered),
            share(stage.dropped, funnel.read),
            number(stage.quarantined),
            short(stage.chars),
            short(None if stage.bytes is None else tokens(stage.bytes)),
            seconds(stage.seconds),
        )
        for stage in funnel.stages
    ]
    built = table(title, columns, rows)
    built.add_section()
    kept = ("kept", number(funnel.kept), "", "", share(funnel.kept, funnel.read), "", short(funnel.chars))
    built.add_row(*(Text(value, style="bold") for value in (*kept, short(funnel.tokens), "")))
    return built


def reason_table(title: str, funnel: Funnel) -> Table:
    """Why records of a source are not in its shards, the most frequent reason first."""
    rows = [
        (reason, verdict, number(count), share(count, funnel.read))
        for verdict, reasons in (
            ("dropped", funnel.dropped),
            ("quarantined", funnel.quarantine),
            ("ignored", funnel.ignored),
        )
        for reason, count in reasons.items()
    ]
    return table(title, ("reason", "verdict", "records", "of all"), rows)


def cut_table(title: str, funnel: Funnel) -> Table:
    """What steps have taken out of texts, in characters, and of all that came to the first of them."""
    cutting = [stage for stage in funnel.stages if stage.cut is not None]
    cut, dropped = sum(stage.cut or 0 for stage in cutting), sum(stage.chars or 0 for stage in cutting)
    whole = (funnel.chars or 0) + dropped + cut
    rows = [(stage.name, number(stage.cut), share(stage.cut or 0, whole)) for stage in cutting]
    return table(title, ("step", "chars cut", "of all chars"), rows)


def render(counted: "Stats | Comparison") -> RenderableType:
    """The funnel of every source, and of all where there are several; of two runs the differences."""
    if isinstance(counted, Comparison):
        return _render_comparison(counted)
    parts: list[RenderableType] = []
    if not counted.complete:
        parts.append(Text("This run is not finished: the counts are of the tasks done so far.", style="yellow"))
    for name, funnel in counted.sources.items():
        parts.append(funnel_table(f"source {name}", funnel))
        if funnel.dropped or funnel.quarantine or funnel.ignored:
            parts.append(reason_table(f"reasons in {name}", funnel))
        if any(stage.cut is not None for stage in funnel.stages):
            parts.append(cut_table(f"cut in {name}", funnel))
    if len(counted.sources) != 1:
        parts.append(funnel_table("all sources", counted.total))
    parts += [proof_table(proof) for proof in counted.proofs]
    parts += [Text(f"warning: {line(words)}", style="bold red") for words in counted.warnings]
    return Group(*parts)


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side, and the ranges in which they differ: by signal, None where a run has no such range."""

    before: Stats
    after: Stats
    ranges: Mapping[str, tuple[Range | None, Range | None]]

    def to_dict(self) -> dict[str, Any]:
        """What `gristmill stats A B --json` prints."""
        ranges = {
            name: {"before": list(old) if old else None, "after": list(new) if new else None}
            for name, (old, new) in self.ranges.items()
        }
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "ranges": ranges}


def compare(before: Stats, after: Stats) -> Comparison:
    """Lay two runs beside one another."""
    old, new = before.ranges, after.ranges
    changed = {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}
    return Comparison(before, after, changed)


def _render_comparison(comparison: Comparison) -> RenderableType:
    before, after = comparison.before, comparison.after
    names = (f"A {before.run}", f"B {after.run}")
    parts: list[RenderableType] = [Text("\n".join(map(line, names)))]
    if comparison.ranges:
        rows = [(name, interval(old), interval(new)) for name, (old, new) in comparison.ranges.items()]
        parts.append(table("ranges that differ", ("signal", "A", "B"), rows))
    for name in dict.fromkeys((*before.sources, *after.sources)):
        sides = [_numbers(counted.sources.get(name)) for counted in (before, after)]
        parts.append(beside(f"source {name}", ("A", "B"), *sides))
    parts.append(beside("all sources", ("A", "B"), _numbers(before.total), _numbers(after.total)))
    return Group(*parts)


def _numbers(funnel: Funnel | None) -> dict[str, int | None]:
    if funnel is None:
        return {}
    return {
        "read": funnel.read,
        "kept": funnel.kept,
        **{f"dropped: {reason}": count for reason, count in funnel.dropped.items()},
        **{f"quarantined: {reason}": count for reason, count in funnel.quarantine.items()},
        **dict(zip(SIZES, (funnel.chars, funnel.tokens), strict=True)),
    }
