"""The funnel of a source: its records from reading to the shards, step by step, as numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.accounting.folder import READ, TAKEDOWN, RunFolder, tokens
from pipeline.accounting.tally import Tally, Work
from pipeline.schema import VERDICTS


@dataclass(frozen=True)
class Stage:
    """What one step did to the records that reached it. `chars` and `bytes` are of the texts that it dropped, `cut` is
    the characters that it took out of texts, None of a step that takes none."""

    name: str
    kind: str
    entered: int
    dropped: int
    quarantined: int
    reasons: Mapping[str, int]
    chars: int | None
    bytes: int | None
    seconds: float | None
    cut: int | None = None

    def to_dict(self, read: int) -> dict[str, Any]:
        """`of_remaining` and `of_all` are shares (0 to 1) dropped of what reached the step and of all that was read."""
        return {
            "name": self.name,
            "kind": self.kind,
            "in": self.entered,
            "dropped": self.dropped,
            "quarantined": self.quarantined,
            "out": self.entered - self.dropped - self.quarantined,
            "of_remaining": self.dropped / self.entered if self.entered else 0.0,
            "of_all": self.dropped / read if read else 0.0,
            "chars": self.chars,
            "bytes": self.bytes,
            "tokens": None if self.bytes is None else tokens(self.bytes),
            "cut": self.cut,
            "seconds": self.seconds,
            "reasons": dict(self.reasons),
        }


@dataclass(frozen=True)
class Funnel:
    """The records of one source, or of all, from reading to the shards.

    `chars` and `bytes` are of the kept texts; they and those of the stages are None where only receipts are there,
    which do not count them.
    """

    read: int
    kept: int
    quarantine: Mapping[str, int]
    dropped: Mapping[str, int]
    ignored: Mapping[str, int]
    chars: int | None
    bytes: int | None
    stages: tuple[Stage, ...]

    @property
    def quarantined(self) -> int:
        """Records in quarantine, whatever the reason."""
        return sum(self.quarantine.values())

    @property
    def tokens(self) -> int | None:
        """Tokens of the kept texts, about: UTF-8 bytes / 4."""
        return None if self.bytes is None else tokens(self.bytes)

    def entered_by(self, funnels: Mapping[str, "Funnel"]) -> "Funnel":
        """The funnel of all sources, in whose steps only those of sources that go through them come in."""
        entered: Counter[str] = Counter()
        for funnel in funnels.values():
            for stage in funnel.stages:
                entered[stage.name] += stage.entered
        return replace(self, stages=tuple(replace(stage, entered=entered[stage.name]) for stage in self.stages))

    def to_dict(self) -> dict[str, Any]:
        """The funnel as `gristmill stats --json` prints it."""
        return {
            "read": self.read,
            "kept": self.kept,
            "quarantined": self.quarantined,
            "quarantine": dict(self.quarantine),
            "dropped": dict(self.dropped),
            "ignored": dict(self.ignored),
            "chars": self.chars,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "stages": [stage.to_dict(self.read) for stage in self.stages],
        }


def build(folder: RunFolder, tally: Tally, work: Work, measured: bool, source: str | None = None) -> Funnel:
    """Lay the counts out along the steps that a source goes through (all of them without a source).

    `measured` says that the tally has characters and bytes.
    """
    struck: dict[int | None, list[tuple[str, str]]] = {}
    for verdict, reason in sorted(tally.rows, key=lambda key: (key[1], key[0])):
        if verdict != "kept" and tally.rows[verdict, reason]:
            struck.setdefault(folder.place(reason), []).append((verdict, reason))
    remaining, cutting = tally.rows.total(), {step.name for step in folder.steps if step.cuts}
    stages: list[Stage] = []

    def stage(name: str, kind: str, keys: list[tuple[str, str]]) -> None:
        nonlocal remaining
        dropped = [key for key in keys if key[0] == "dropped"]
        reasons: Counter[str] = Counter()
        for verdict, reason in keys:
            reasons[reason] += tally.rows[verdict, reason]
        lost, quarantined = (sum(tally.rows[key] for key in keys if key[0] == verdict) for verdict in VERDICTS[1:])
        chars: int | None = sum(tally.chars[key] for key in dropped)
        num_bytes: int | None = sum(tally.bytes[key] for key in dropped)
        seconds = work.seconds.get(name)
        if not measured:
            chars = num_bytes = None
        cut = tally.cut[name] if measured and name in cutting else None
        stages.append(Stage(name, kind, remaining, lost, quarantined, dict(reasons), chars, num_bytes, seconds, cut))
        remaining -= lost + quarantined

    stage("read", "reader", struck.pop(READ, []))
    for place, step in enumerate(folder.steps):
        if source is None or step.sources is None or source in step.sources or place in struck:
            stage(step.name, step.kind, struck.pop(place, []))
    unknown = struck.get(None, [])
    other = [key for key in unknown if key[1] != TAKEDOWN]
    if other:
        stage("other", "other", other)
    if len(other) < len(unknown):
        stage(TAKEDOWN, "takedown", [key for key in unknown if key[1] == TAKEDOWN])
    known = {entry.name for entry in stages}
    for name in sorted(work.seconds):
        if name not in known:  # such as writing: it takes time and drops nothing
            stage(name, "task", [])
    kept = [key for key in tally.rows if key[0] == "kept"]
    return Funnel(
        read=tally.rows.total(),
        kept=sum(tally.rows[key] for key in kept),
        quarantine=tally.of("quarantined"),
        dropped=tally.of("dropped"),
        ignored=dict(sorted(work.ignored.items())),
        chars=sum(tally.chars[key] for key in kept) if measured else None,
        bytes=sum(tally.bytes[key] for key in kept) if measured else None,
        stages=tuple(stages),
    )
