"""The mixture: which source each sequence of the run comes from, so that shares are true in tokens at every moment.

The shares are integrated over the tokens of the run. In a stage all sequences have the same number of tokens, so
counting slots is counting tokens: there the sources take their slots such that none is far from its integral (see
`kernels`). What a source is owed when a stage ends, or got too much, is made good in the next one. Nothing is drawn.
The price: for that, the counts of earlier stages are needed; they are worked out when a later one is asked for.

How far tokens are from the shares of the run: a source that is ahead only waits, so in each stage it is as far ahead
as it was before, or as sequences of this stage allow. One that is behind is so by what it is owed and less than a
sequence of this stage; after one change of lengths, and after any number that double them or more, that is below two
sequences of the longest so far. Else it could be more in theory; in 6,000 random runs of up to six stages nothing was
further away than 1.3.
"""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Self

import numpy as np

from training.config import TrainConfig
from training.kernels import Floats, Ints
from training.mixture.pieces import Pieces, integrated
from training.mixture.schedule import Schedule
from training.mixture.shares import Stretch, stretches
from training.steps import Steps

_JUMP = 1e-9


class Mixture:
    """The sources of a whole run, numbered as in the shares of the stretches."""

    def __init__(self, parts: Sequence[Stretch], steps: Steps) -> None:
        self._steps = steps
        ends = accumulate(part.length for part in parts)
        whole = sum(part.length for part in parts)
        self.jumps = tuple(
            end / whole
            for (before, after), end in zip(pairwise(parts), ends, strict=False)
            if max(abs(a - b) for a, b in zip(before.last, after.first, strict=True)) > _JUMP
        )
        """Progress at which shares jump."""
        self._pieces = integrated(parts, steps.tokens)
        self.stages = tuple(
            Schedule(partial(self._since, stage.number), steps.slots(stage.number)) for stage in steps.stages
        )
        """The sources of each stage's slots."""

    @classmethod
    def of(cls, config: TrainConfig, steps: Steps, sources: Sequence[str], sizes: Sequence[int]) -> Self:
        """The mixture of a run with sources of these tokens. Raises ValueError where a phase cannot be."""
        return cls(stretches(config, sources, sizes), steps)

    @property
    def tokens(self) -> Floats:
        """Tokens of each source in the whole run, as the shares have it."""
        return self.due(self._steps.count)

    @property
    def sequences(self) -> Ints:
        """(stages, sources) sequences, to within one or two: nothing needs to be counted for it."""
        stages = self._steps.stages
        due = [(self.due(stage.end) - self.due(stage.begin)) / stage.context for stage in stages]
        return np.asarray(np.rint(due), np.int64)

    def due(self, step: int) -> Floats:
        """Tokens that each source should have given before a step."""
        return self._pieces.integral(self._steps.tokens_before(step))

    def _since(self, number: int) -> Pieces:
        """The integrals of a stage in its sequences. They go on behind its end: what is due soon then, goes first."""
        stage = self._steps.stages[number]
        given = np.zeros(self._pieces.totals.shape[1])
        for earlier, schedule in zip(self._steps.stages[:number], self.stages[:number], strict=True):
            given += schedule.counts(schedule.slots) * earlier.context
        owed = (self.due(stage.begin) - given) / stage.context
        return self._pieces.since(self._steps.tokens_before(stage.begin), stage.context).even(owed)
