"""What if a threshold were another: the funnel under changed ranges beside the old one, from the ledger alone."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.text import Text

from filters.base import LANGUAGE, OFF, Range
from pipeline.accounting.escape import line
from pipeline.accounting.folder import RunFolder, RunFolderError, nearest, tokens
from pipeline.accounting.replay import UNMEASURED, Fate, Replay
from pipeline.accounting.tables import SIZES, beside, interval, table
from pipeline.accounting.tally import Tally, ledger_tallies

_INTERVAL = re.compile(r"(?P<low>[^:]*):(?P<high>[^:]*)")


@dataclass(frozen=True)
class Change:
    """One range that is tried out; None is a range that is switched off. A deduplication step has no range."""

    name: str
    before: Range | None
    after: Range | None


@dataclass
class Side:
    """The records of a source under one set of ranges; texts measured as they were at their verdict."""

    kept: int = 0
    chars: int = 0
    bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantine: Counter[str] = field(default_factory=Counter)
    unmeasured: Counter[str] = field(default_factory=Counter)
    """Records that would pass what was measured of them, by the first step that never saw them."""

    def add(self, outcome: str, reason: str, rows: int, chars: int, num_bytes: int) -> None:
        """Count rows of one outcome."""
        if outcome == "kept":
            self.kept += rows
            self.chars += chars
            self.bytes += num_bytes
        else:
            {"dropped": self.dropped, "quarantined": self.quarantine, UNMEASURED: self.unmeasured}[outcome][reason] += (
                rows
            )

    def to_dict(self) -> dict[str, Any]:
        """`tokens` is an estimate: UTF-8 bytes / 4."""
        return {
            "kept": self.kept,
            "quarantined": self.quarantine.total(),
            "quarantine": _ranked(self.quarantine),
            "dropped": _ranked(self.dropped),
            "unmeasured": self.unmeasured.total(),
            "unmeasured_by": _ranked(self.unmeasured),
            "chars": self.chars,
            "bytes": self.bytes,
            "tokens": tokens(self.bytes),
        }


@dataclass
class Outcome:
    """One source, or all, before and after. `gained` records are kept only after, `lost` ones only before."""

    read: int = 0
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    gained: int = 0
    lost: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Both sides, and what moved."""
        sides = {"before": self.before.to_dict(), "after": self.after.to_dict()}
        return {"read": self.read, "gained": self.gained, "lost": self.lost, **sides}


@dataclass(frozen=True)
class WhatIf:
    """The funnels of a run as it is and as it would be."""

    run: str
    changes: tuple[Change, ...]
    sources: Mapping[str, Outcome]
    total: Outcome

    def to_dict(self) -> dict[str, Any]:
        """What `gristmill whatif --json` prints."""
        changes = [
            {
                "name": change.name,
                "before": None if change.before is None else list(change.before),
                "after": None if change.after is None else list(change.after),
            }
            for change in self.changes
        ]
        sources = {name: outcome.to_dict() for name, outcome in self.sources.items()}
        return {"run": self.run, "changes": changes, "sources": sources, "total": self.total.to_dict()}


def whatif(run: Path, changes: Sequence[str]) -> WhatIf:
    """Work the verdicts of a run out again under changes such as `gopher.words=200:`, `=:1000`, `=50:1000` or `=off`.

    `gopher.words=200:` is for all documents, also those of a language that had a range of its own, and
    `gopher.words@de=200:` for those of one language. `minhash=off` leaves a deduplication step out and `gopher=off` all
    ranges of a filter. Raises RunFolderError with every change that cannot be made, or where the ledger does not follow
    from the run's own ranges.
    """
    folder = RunFolder(run)
    ledger = ledger_tallies(folder)
    folder.ledger()
    ranges, off, made = _changed(folder, changes)
    _check(ledger, Replay(folder, folder.ranges()).fates())
    sources = {name: Outcome() for name in dict.fromkeys((*folder.sources, *sorted(ledger)))}
    total = Outcome()
    for name, tally in ledger.items():
        for outcome in (sources[name], total):
            outcome.read += tally.rows.total()
            for (verdict, reason), rows in tally.rows.items():
                outcome.before.add(verdict, reason, rows, tally.chars[verdict, reason], tally.bytes[verdict, reason])
    for fate in Replay(folder, ranges, off).fates():
        for outcome in (sources[fate.source], total):
            outcome.after.add(fate.outcome, fate.reason, fate.rows, fate.chars, fate.bytes)
            outcome.gained += fate.rows if fate.outcome == "kept" and not fate.was_kept else 0
            outcome.lost += fate.rows if fate.outcome != "kept" and fate.was_kept else 0
    return WhatIf(str(folder.path), made, sources, total)


def _check(ledger: Mapping[str, Tally], fates: Sequence[Fate]) -> None:
    """Under the run's own ranges every record must meet the fate that it met; answers would else be worthless."""
    again: Counter[tuple[str, str, str]] = Counter()
    for fate in fates:
        again[fate.source, fate.outcome, fate.reason] += fate.rows
    found = Counter({(name, *key): rows for name, tally in ledger.items() for key, rows in tally.rows.items()})
    wrong = [
        f"source '{line(source)}': {outcome} {line(reason)}: {found[source, outcome, reason]} in the ledger, "
        f"{again[source, outcome, reason]} by the ranges in run.json"
        for source, outcome, reason in sorted(set(found) | set(again))
        if found[source, outcome, reason] != again[source, outcome, reason]
    ]
    if wrong:
        raise RunFolderError("\n".join(("the ledger does not follow from the ranges of the run:", *wrong)))


def _changed(folder: RunFolder, changes: Sequence[str]) -> tuple[dict[str, Range], frozenset[str], tuple[Change, ...]]:
    """The ranges in the order in which they are tried, the deduplication steps left out, and what was changed."""
    old = folder.ranges()
    new: dict[str, Range | None] = {}
    off: set[str] = set()
    problems: list[str] = []
    made: list[Change] = []
    for change in changes:
        name, equals, value = change.partition("=")
        name = name.strip()
        try:
            if not equals:
                raise RunFolderError("write it as step.signal=low:high or step.signal=off")
            ends = _interval(value.strip())
            names = _targets(folder, name, ends)
            if any(target in new or target in off for target in names):
                raise RunFolderError(f"'{line(name)}' is changed twice")
        except RunFolderError as error:
            problems.append(f"{line(change)}: {error}")
            continue
        for target in names:
            if target in {step.name for step in folder.steps}:
                off.add(target)
            else:
                new[target] = OFF if ends is None and LANGUAGE in target else ends
            made.append(Change(target, old.get(target), ends))
    if problems:
        raise RunFolderError("\n".join(problems))
    merged = {**{key: ends for key, ends in old.items() if key.partition(LANGUAGE)[0] not in new}, **new}
    columns = list(folder.signals)
    order = sorted(merged, key=lambda key: (_place(folder, key), _index(columns, key.partition(LANGUAGE)[0])))
    return {key: ends for key in order if (ends := merged[key]) is not None}, frozenset(off), tuple(made)


def _index(columns: Sequence[str], column: str) -> int:
    return columns.index(column) if column in columns else len(columns)


def _place(folder: RunFolder, column: str) -> int:
    owner = folder.owner(column)
    return next((place for place, step in enumerate(folder.steps) if step.name == owner), len(folder.steps))


def _targets(folder: RunFolder, name: str, ends: Range | None) -> list[str]:
    """The columns, or the deduplication step, that the left side of a change means."""
    steps = {step.name: step for step in folder.steps}
    ranges = folder.ranges()
    if name in steps:
        step = steps[name]
        if ends is not None:
            raise RunFolderError(f"'{line(name)}' is a step: it can only be off; a range is of one of its signals")
        if step.kind == "dedup":
            return [name]
        if step.kind == "filter":
            if mine := [key for key in ranges if folder.owner(key) == name]:
                return list(dict.fromkeys(key.partition(LANGUAGE)[0] for key in mine))
            raise RunFolderError(f"'{line(name)}' has no ranges that could be off")
        drops = "what else would be left is known after a new run" if step.drops else "drops nothing"
        raise RunFolderError(f"'{line(name)}' changes text and {drops}")
    measured = [column for column, kind in folder.signals.items() if kind.is_numeric() or kind == pl.Boolean]
    ranged = (key.partition(LANGUAGE)[0] for key in ranges)
    known = [c for c in dict.fromkeys((*measured, *ranged)) if (s := folder.owner(c)) and steps[s].kind == "filter"]
    column, at, language = name.partition(LANGUAGE)
    if at and not language:
        raise RunFolderError(f"name a language after '{LANGUAGE}', such as {line(column)}{LANGUAGE}de")
    if column in known:
        return [name]
    name = column
    owner = folder.owner(name)
    if owner is not None and steps[owner].kind != "filter":
        raise RunFolderError(f"'{line(owner)}' is no filter: it has no ranges{nearest(name, known)}")
    if name in folder.signals and owner is None:
        raise RunFolderError(f"'{line(name)}' is what the source told: a range of it is that of a step, `use: told`")
    if name in folder.signals:
        raise RunFolderError(f"'{line(name)}' is text: it has no range{nearest(name, known)}")
    near = [column for column in known if owner is None or folder.owner(column) == owner]
    kind = "signal" if owner is not None else "step or signal"
    raise RunFolderError(f"unknown {kind} '{line(name)}'{nearest(name, near)}")


def _interval(value: str) -> Range | None:
    if value == "off":
        return None
    match = _INTERVAL.fullmatch(value)
    if match is None or value == ":":
        raise RunFolderError(f"'{line(value)}' is no range: write 200: or :1000 or 50:1000, or off")
    low, high = (_end(match[side].strip()) for side in ("low", "high"))
    if low is not None and high is not None and low > high:
        raise RunFolderError(f"the lower end {low:.12g} is above the upper end {high:.12g}: nothing would be kept")
    return low, high


def _end(text: str) -> float | None:
    if not text:
        return None
    try:
        end = float(text)
    except ValueError:
        raise RunFolderError(f"'{line(text)}' is no number") from None
    if not math.isfinite(end):
        raise RunFolderError(f"'{line(text)}': leave the end of a range empty to have it open")
    return end


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(((reason, n) for reason, n in counts.items() if n), key=lambda entry: (-entry[1], entry[0])))


def render(answer: WhatIf) -> RenderableType:
    """The changes, and a table of every source before and after."""
    rows = [
        (change.name, interval(change.before) if "." in change.name else "on", interval(change.after))
        for change in answer.changes
    ]
    parts: list[RenderableType] = [table("changes", ("", "before", "after"), rows)]
    funnels = {f"source {name}": outcome for name, outcome in answer.sources.items()}
    if len(answer.sources) != 1:
        funnels["all sources"] = answer.total
    for title, outcome in funnels.items():
        parts.append(
            beside(title, ("before", "after"), _numbers(outcome, outcome.before), _numbers(outcome, outcome.after))
        )
    if waiting := answer.total.after.unmeasured.total():
        parts.append(
            Text(
                f"{waiting:,} records would pass what was measured of them, but the steps named under 'unmeasured' "
                "never saw them: they may be kept or dropped. A run with `measure: all` measures them in filters; "
                "only a new run can deduplicate them."
            )
        )
    return Group(*parts)


def _numbers(outcome: Outcome, side: Side) -> dict[str, int | None]:
    return {
        "read": outcome.read,
        "kept": side.kept,
        **{f"dropped: {reason}": count for reason, count in _ranked(side.dropped).items()},
        **{f"quarantined: {reason}": count for reason, count in _ranked(side.quarantine).items()},
        **{f"unmeasured: {step}": count for step, count in _ranked(side.unmeasured).items()},
        **dict(zip(SIZES, (side.chars, tokens(side.bytes)), strict=True)),
    }
