"""Forgetting: how the held-out loss of each source changed since the run began, and a limit that ends the run."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.config import TrainConfig


class ForgettingError(Exception):
    """A source's loss rose by more than its limit; the message says which, by how much, and what can be done."""

    exit_code = 3
    """Of the command: a guard tripped."""


class Forgetting:
    """Compares evaluations with that of step 0, where the model is what it was before this run."""

    def __init__(self, config: TrainConfig, first: Mapping[str, Any]) -> None:
        self._first: Mapping[str, float] = first["loss"]
        self._limits = {} if config.continuing is None else config.continuing.limits()

    def row(self, row: Mapping[str, Any]) -> dict[str, float]:
        """By source, the change of its loss as a share of what it was: 0.02 is a rise of 2 %."""
        losses: Mapping[str, float] = row["loss"]
        return {source: loss / self._first[source] - 1 for source, loss in losses.items() if self._first.get(source)}

    def check(self, row: Mapping[str, Any]) -> None:
        """Raise ForgettingError if a source with a limit rose by more."""
        changes = self.row(row)
        over = [source for source, limit in self._limits.items() if changes.get(source, 0.0) > limit]
        if over:
            said = "; ".join(
                f"{source} {self._first[source]:.4f} -> {row['loss'][source]:.4f} ({changes[source]:+.2%}, its limit "
                f"is {self._limits[source]:+.2%})"
                for source in over
            )
            raise ForgettingError(
                f"step {row['step']}: the model forgets: held-out loss since step 0: {said}. The checkpoint of this "
                "step is kept. Replay more of it (continuing.replay.share) or lower optimizer.lr in another folder, or "
                "raise continuing.limit and give the same command again"
            )


def table(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first and the last of a run's evaluations, by source; nothing if there is only one."""
    first, last = evaluations[0], evaluations[-1]
    if last["step"] == first["step"]:
        return []
    lines = [f"{'held-out loss':<20}{'step ' + str(first['step']):>12}{'step ' + str(last['step']):>12}{'change':>10}"]
    for source, loss in last["loss"].items():
        before = first["loss"][source]
        lines.append(f"{source:<20}{before:>12.4f}{loss:>12.4f}{loss / before - 1:>+10.2%}")
    return lines
