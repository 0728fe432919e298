"""The verdicts of a run worked out again from its ledger under other ranges: expressions over ledger rows, no text.

A row's fate is where it is struck first: by a fixed event (it could not be read or handled), by a range, by a step
that never measured it, or by deduplication. Where an earlier verdict kept a step from measuring, the outcome is
`unmeasured`, never a guess. Two things make deduplication an estimate where verdicts change: a document that newly
passes the filters was never compared with others, and a dropped one may have been the only link between two halves of
a cluster. The heir of a cluster whose survivor goes is its smallest ordinal that still passes, whatever is preferred;
which of several steps drops the others stays as it was. Where one of several is left out, the ledger does not tell
which members of a cluster the others would still join: what it had dropped is `unmeasured` by those that follow, and so
are heirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from filters.base import Range
from pipeline.accounting.folder import READ, RunFolder
from pipeline.judge import Exceptions, by_column

_NEVER = 1 << 14
"""A place after all steps: where what reaches the shards is struck."""

UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Fate:
    """Where the rows of one (outcome, reason) went: `was_kept` tells those that the run itself had kept."""

    source: str
    outcome: str
    reason: str
    was_kept: bool
    rows: int
    chars: int
    bytes: int


@dataclass(frozen=True)
class Replay:
    """The same steps under other ranges; `off` names deduplication steps that are left out."""

    run: RunFolder
    ranges: Mapping[str, Range]
    off: frozenset[str] = frozenset()

    @property
    def _columns(self) -> dict[str, Exceptions]:
        return by_column(self.ranges)

    def fates(self) -> list[Fate]:
        """All rows of the ledger, counted by source, outcome, reason and whether they had been kept."""
        rows = self._struck()
        heirs = self._heirs(rows)
        if heirs.height:
            rows = rows.join(heirs.lazy(), on="ordinal", how="left")
        outcome, why = self._fate(pl.col("heir").is_not_null() if heirs.height else pl.lit(False))
        frame = (
            rows.group_by("source", outcome.alias("outcome"), why.alias("why"), was_kept=pl.col("verdict") == "kept")
            .agg(pl.len().alias("rows"), pl.col("chars").sum(), pl.col("bytes").sum())
            .sort("source", "outcome", "why", "was_kept")
            .collect(engine="streaming")
        )
        return [Fate(*row) for row in frame.iter_rows()]

    def _struck(self) -> pl.LazyFrame:
        """Ledger rows with the places (numbers of steps) at which each kind of thing strikes them first.

        `old`: where the run itself struck; `fixed`: the same if no range can change it; `by`: the number of the first
        broken range, and `broken`: its step; `unmeasured`: the first step that still has to see the row; `_NEVER`
        where nothing does.
        """
        reasons = self._reasons()
        decided = [reason for reason, place in reasons.items() if self._kind(place) in ("filter", "dedup")]
        old = _choose(pl.col("reason"), reasons, _NEVER, pl.Int16())
        fixed = (pl.col("verdict") == "quarantined") | ~pl.col("reason").is_in(decided)
        tried = [
            pl.when(self.run.broken(column, bounds)).then(pl.lit(number, dtype=pl.Int16))
            for number, (column, bounds) in enumerate(self._columns.items())
            if column in self.run.signals
        ]
        places = {number: self._place(column) for number, column in enumerate(self._columns)}
        return (
            self.run.ledger()
            .with_columns(
                old=pl.when(pl.col("verdict") == "kept").then(pl.lit(_NEVER, dtype=pl.Int16)).otherwise(old),
                by=pl.coalesce([*tried, pl.lit(None, dtype=pl.Int16)]),
            )
            .with_columns(
                fixed=pl.min_horizontal(
                    pl.when((pl.col("old") < _NEVER) & fixed).then("old").otherwise(_NEVER), *self._drops().values()
                ),
                broken=_choose(pl.col("by"), places, _NEVER, pl.Int16()),
                unmeasured=self._unmeasured(),
            )
            .with_columns(first=pl.min_horizontal("fixed", "broken", "unmeasured"))
        )

    def _heirs(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Ordinals of the documents that stand for a cluster whose survivor no longer gets to deduplication.

        What is held in memory is a number for each such cluster, not for each document.
        """
        barriers, none = self._barriers(), pl.DataFrame(schema={"ordinal": pl.UInt64, "heir": pl.Boolean})
        if not barriers or self.ranges == self.run.ranges():
            return none
        here = pl.col("first") > barriers[0]
        lost = rows.filter(pl.col("cluster") == pl.col("ordinal"), ~here).select("cluster")
        gone = lost.collect(engine="streaming")
        if not gone.height:
            return none
        losers = rows.filter(pl.col("old").is_in(barriers), here, pl.col("cluster").is_not_null())
        heirs = losers.join(gone.lazy(), on="cluster", how="semi").group_by("cluster").agg(pl.col("ordinal").min())
        return heirs.select("ordinal", heir=pl.lit(True)).collect(engine="streaming")

    def _fate(self, heir: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
        """Outcome and reason of a row: what strikes first, and deduplication where that comes earlier."""
        first, barriers = pl.col("first"), self._barriers()
        loses = pl.col("old").is_in(barriers) & (first > pl.col("old"))
        doubtful = loses & heir & pl.lit(len(barriers) < len(self._dedup()))
        loses &= ~heir
        names = dict(enumerate(step.name for step in self.run.steps))
        columns = dict(enumerate(self._columns))
        outcome = (
            pl.when(loses | ((first == pl.col("fixed")) & (first < _NEVER)))
            .then("verdict")
            .when(doubtful)
            .then(pl.lit(UNMEASURED))
            .when(first == _NEVER)
            .then(pl.lit("kept"))
            .when(first == pl.col("broken"))
            .then(pl.lit("dropped"))
            .otherwise(pl.lit(UNMEASURED))
        )
        why = (
            pl.when(loses | ((first == pl.col("fixed")) & (first < _NEVER)))
            .then(
                pl.coalesce(
                    [*(pl.when(first == place).then(column) for column, place in self._drops().items()), "reason"]
                )
            )
            .when(doubtful)
            .then(_choose(pl.col("old"), names, None, pl.String()))
            .when(first == _NEVER)
            .then(pl.lit(""))
            .when(first == pl.col("broken"))
            .then(_choose(pl.col("by"), columns, None, pl.String()))
            .otherwise(_choose(first, names, None, pl.String()))
        )
        return outcome, why

    def _drops(self) -> dict[str, pl.Expr]:
        """By its column of reasons, the place of each transform that drops, for the rows that it drops."""
        places = {f"{step.name}.dropped": place for place, step in enumerate(self.run.steps) if step.drops}
        return {
            column: pl.when(pl.col(column).is_not_null()).then(pl.lit(place, dtype=pl.Int16))
            for column, place in places.items()
            if column in self.run.signals
        }

    def _dedup(self) -> list[int]:
        """The places of all steps of deduplication."""
        return [place for place, step in enumerate(self.run.steps) if step.kind == "dedup"]

    def _barriers(self) -> list[int]:
        """The places of those that are not left out."""
        return [place for place in self._dedup() if self.run.steps[place].name not in self.off]

    def _kind(self, place: int) -> str:
        return "reader" if place == READ else self.run.steps[place].kind

    def _place(self, column: str) -> int:
        owner = self.run.owner(column)
        return next(place for place, step in enumerate(self.run.steps) if step.name == owner)

    def _reasons(self) -> dict[str, int]:
        """The place of every reason in the ledger; reasons of no known step strike with the readers, for good."""
        frame = self.run.ledger().select(pl.col("reason").drop_nulls().unique()).collect(engine="streaming")
        found = {reason: self.run.place(reason) for reason in sorted(frame["reason"])}
        return {reason: READ if place is None else place for reason, place in found.items()}

    def _groups(self) -> list[int]:
        """For each step the number of its group: filters measured together; all else stands alone."""
        numbers: list[int] = []
        for place, step in enumerate(self.run.steps):
            before = self.run.steps[place - 1]
            alone = {step.kind, before.kind} != {"filter"} or before.gate or step.group != before.group
            numbers.append(numbers[-1] + alone if numbers else 0)
        return numbers

    def _unmeasured(self) -> pl.Expr:
        """The first step that has not seen a row and could have ended it.

        A row saw the groups up to the one that ended it; later ones too where they, or a group after them, left a
        signal (`measure: all`). Filters without a range end nothing. A transform matters only to a row that has no
        text yet; others it may change but hardly lose.
        """
        groups, ranged = self._groups(), {self.run.owner(column) for column in self._columns}
        barrier = self._dedup()[:1]
        old = _choose(pl.col("old"), {READ: -1, **dict(enumerate(groups))}, len(groups), pl.Int16())
        found: list[pl.Expr] = []
        for group in dict.fromkeys(groups):
            places = [place for place, number in enumerate(groups) if number == group]
            kind = self.run.steps[places[0]].kind
            seen = old >= group
            if kind == "dedup":
                needed = [place for place in places if self.run.steps[place].name not in self.off]
                seen |= pl.col("old").is_in(self._barriers())  # through the document that stands for it
            else:
                later = {self.run.steps[place].name for place, number in enumerate(groups) if number >= group}
                signals = [pl.col(c).is_not_null() for c in self.run.signals if self.run.owner(c) in later]
                everything = self.run.setting("measure") == "all" and not (barrier and places[0] > barrier[0])
                # not even `measure: all` measures what has no text: a page that was dropped first, then not extracted
                seen |= pl.any_horizontal(*signals, pl.lit(everything) & (pl.col("chars") > 0))
                seen |= pl.lit(kind == "transform" and not self.run.steps[places[0]].drops) & (pl.col("chars") > 0)
                needed = [place for place in places if kind == "transform" or self.run.steps[place].name in ranged]
            for place in needed:
                found.append(pl.when(~seen & self.run.steps[place].concerns()).then(pl.lit(place, dtype=pl.Int16)))
        return pl.coalesce([*found, pl.lit(_NEVER, dtype=pl.Int16)])


def _choose(key: pl.Expr, values: Mapping[Any, Any], default: Any, dtype: pl.DataType) -> pl.Expr:
    """The value for a key. `replace_strict` would do, but polars 2.1 collects the whole column for it."""
    found = [pl.when(key == known).then(pl.lit(value, dtype=dtype)) for known, value in values.items()]
    return pl.coalesce([*found, pl.lit(default, dtype=dtype)])
