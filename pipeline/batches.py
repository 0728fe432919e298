"""The batches of a task between where they come from and the steps: each is told to the limiter, and in a task that is
done again they lack what it was that killed the worker before."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from pipeline.config import WorkerLimits
from pipeline.limits import BATCH, Limiter, outside
from pipeline.plan import Trial
from pipeline.steps import Steps


class Passage:
    """The batches of a task on their way to the steps: told to the limiter, and rid of what was isolated before."""

    def __init__(self, trial: Trial, limits: WorkerLimits, steps: Steps, limiter: Limiter) -> None:
        self._trial, self._limiter = trial, limiter
        self._isolated: list[dict[str, Any]] = []
        seconds = trial.probe.seconds if trial.probe else BATCH * limits.seconds
        limiter.begin(limits, seconds, outside(steps.values()))

    def of(self, batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Batches as they come; in a probe, pieces of the part that it is about, and none after it."""
        probe, ordinal = self._trial.probe, pl.col("ordinal")
        for batch in batches:
            pieces: Iterable[pl.DataFrame] = [self._without_isolated(batch)]
            if probe is not None:
                if batch["ordinal"][0] > probe.last:
                    break
                pieces = self._without_isolated(batch.filter(ordinal.is_between(probe.first, probe.last))).iter_slices(
                    probe.rows
                )
            for piece in pieces:
                if piece.height:
                    self._limiter.processing(piece["ordinal"][0], piece["ordinal"][-1], piece.height)
                yield piece
            self._limiter.reading()
        self._limiter.writing()

    def _without_isolated(self, batch: pl.DataFrame) -> pl.DataFrame:
        """The batch with the errors of isolated records: with an error, none goes through a step."""
        errors = self._trial.isolated
        if not errors:
            return batch
        error = pl.col("ordinal").replace_strict(list(errors), list(errors.values()), default=None)
        batch = batch.with_columns(error=pl.coalesce(error.cast(pl.String), "error"))
        found = batch.filter(pl.col("ordinal").is_in(list(errors)))
        self._isolated += found.select("id", "ordinal", "origin", "url", "error").to_dicts()
        return batch

    def receipt(self) -> dict[str, Any]:
        """Which records were isolated, if any were."""
        return {"isolated": self._isolated} if self._isolated else {}
