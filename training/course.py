"""The course of a run: its mixture, rates and lengths at some of its steps, as arithmetic on the config alone.

Nothing is counted: the mixture says what each source should have given before a step. So the course is known of a run
that `train` would refuse, too, and takes no longer for a long one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np

from training.config import ScheduleSettings, TrainConfig
from training.config.schedule import FallSettings
from training.schedule import learning_rate
from training.steps import Steps

if TYPE_CHECKING:
    from training.mixture import Mixture

POINTS = 240
"""Steps that are looked at, evenly over the run; those at which something changes come on top."""
MOMENTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Shares of the steps that are looked at exactly."""


@dataclass(frozen=True)
class Course:
    """Series over some steps, counted from 1. Sources are in the order in which they were given."""

    steps: list[int]
    tokens: list[int]
    """Read when the step is over."""
    lr: list[float]
    rows: list[int]
    """Sequences of the step."""
    context: list[int]
    """Tokens of each of them."""
    shares: dict[str, list[float]]
    """Of the step's tokens, by source; of no source where the mixture is impossible."""
    read: dict[str, list[float]]
    """Tokens of each source when the step is over."""

    @classmethod
    def of(
        cls, config: TrainConfig, steps: Steps, sources: Sequence[str] = (), mixture: "Mixture | None" = None
    ) -> Self:
        """`mixture` is that of `sources`; None if there can be none."""
        chosen = _chosen(config, steps, () if mixture is None else mixture.jumps)
        shares: dict[str, list[float]] = {}
        read: dict[str, list[float]] = {}
        if mixture is not None:
            before, after = (np.array([mixture.due(step + more) for step in chosen]) for more in (0, 1))
            mine = after - before
            shares = dict(zip(sources, (mine / mine.sum(axis=1, keepdims=True)).T.tolist(), strict=True))
            read = dict(zip(sources, after.T.tolist(), strict=True))
        return cls(
            [step + 1 for step in chosen],
            [steps.tokens_before(step + 1) for step in chosen],
            [learning_rate(config.schedule, config.optimizer, steps, step) for step in chosen],
            [steps.rows(step) for step in chosen],
            [steps.stage(step).context for step in chosen],
            shares,
            read,
        )


def _chosen(config: TrainConfig, steps: Steps, jumps: Sequence[float]) -> list[int]:
    """Steps (from 0) that tell the course: evenly, and on both sides of whatever changes."""
    count = steps.count
    if count <= POINTS:
        return list(range(count))
    found = {round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)}
    found |= {moment(share, count) for share in MOMENTS}
    for progress in (*jumps, *_turns(config.schedule)):
        at = steps.nearest(progress)
        found |= {at - 2, at - 1, at, at + 1}  # one of the middle two may have some of both sides
    found |= {step for stage in steps.stages for step in (stage.begin - 1, stage.begin)}
    found = {step for step in found if 0 <= step < count}
    for one, other in pairwise(sorted(found)):
        if (size := steps.size(one)) != steps.size(other):
            after = bisect_right(range(one, other), size, key=steps.size) + one
            found |= {after - 1, after}
    return sorted(found)


def moment(share: float, count: int) -> int:
    """The step (from 0) at a share of them."""
    return min(int(share * count), count - 1)


def _turns(schedule: ScheduleSettings) -> list[float]:
    """Progress at which the learning rate goes another way."""
    found = []
    for begin, end in pairwise((0.0, *schedule.restarts, 1.0)):
        decay = schedule.decay if isinstance(schedule, FallSettings) else 0.0
        found += [begin, begin + (end - begin) * schedule.warmup, begin + (end - begin) * (1 - decay)]
    return found
