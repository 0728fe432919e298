"""The steps of a run: how many sequences of how many tokens each has, as arithmetic on a short table.

`batch.sequences` sequences of `context` tokens make a step. Where a phase has longer ones, a step has as many fewer of
them: its tokens stay as they are, and with them the learning rate and the noise of the gradient. Steps whose sequences
have one length are a *stage*; it begins with the step that is nearest to the beginning of its phase.

Progress is the share of the run's tokens that were seen. So a warm-up, a phase of the mixture and a decay of the same
share end together, also where the batch grows.
"""

import math
from bisect import bisect_right
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple, Self

from pipeline.configfile import Place, Problem
from training.config import BatchSettings, TrainConfig


class Stage(NamedTuple):
    """Consecutive steps whose sequences have one length."""

    number: int
    """From 0."""
    begin: int
    """The first step."""
    end: int
    """The step behind the last."""
    context: int
    """Tokens of a sequence."""
    phase: int
    """The first phase that is in it."""


class Steps:
    """Steps count from 0. A slot is the number of a sequence within its stage, from 0."""

    def __init__(
        self, batch: BatchSettings, count: int, context: int, phases: tuple[tuple[float, int], ...] = ()
    ) -> None:
        """`phases` are share of the run and context of each; none is one of `context`.

        Raises ValueError where a step has no whole number of sequences of a stage, or where a stage has no step.
        """
        self.count = count
        self._context = context
        # Sizes of batches in sequences of `context` tokens, the first step of each, and the sequences before that.
        self._sizes, self._begins, self._before = _ramped(batch, count)
        self._whole = self._sequences_before(count)
        self.stages = self._staged(phases or ((1.0, context),))
        self._starts = [stage.begin for stage in self.stages]
        self._at_once = [self._in_one_pass(stage, batch.at_once) for stage in self.stages]

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        """Those of a run. Raises ValueError as `problems` tells with places."""
        return cls(
            config.batch, config.steps, config.context, tuple(zip(lengths(config), config.contexts, strict=True))
        )

    @property
    def tokens(self) -> int:
        """Of the whole run."""
        return self._whole * self._context

    def stage(self, step: int) -> Stage:
        """The stage of a step; the end of the run belongs to the last one."""
        return self.stages[bisect_right(self._starts, step) - 1]

    def size(self, step: int) -> int:
        """Size of a step's batch, in sequences of the run's `context` whatever the stage's is."""
        return self._sizes[bisect_right(self._begins, step) - 1]

    def rows(self, step: int) -> int:
        """Sequences of a step."""
        return self.size(step) * self._context // self.stage(step).context

    def at_once(self, step: int) -> int:
        """Sequences in one forward pass: the same in every step of a stage, so that nothing is compiled twice."""
        return self._at_once[self.stage(step).number]

    def slot(self, step: int) -> int:
        """Sequences of its stage before a step."""
        stage = self.stage(step)
        return (self._sequences_before(step) - self._sequences_before(stage.begin)) * self._context // stage.context

    def slots(self, stage: int) -> int:
        """Sequences of a whole stage."""
        begin, end, context = self.stages[stage][1:4]
        return (self._sequences_before(end) - self._sequences_before(begin)) * self._context // context

    def place(self, stage: int, slot: int) -> tuple[int, int]:
        """The step that has a slot of a stage, and its row there."""
        begin, _, context = self.stages[stage][1:4]
        tokens = self.tokens_before(begin) + slot * context
        at = bisect_right(self._before, tokens // self._context) - 1
        step = self._begins[at] + (tokens - self._before[at] * self._context) // (self._sizes[at] * self._context)
        return step, (tokens - self.tokens_before(step)) // context

    def tokens_before(self, step: int) -> int:
        """Tokens before a step (0 to count, both included)."""
        return self._sequences_before(step) * self._context

    def progress(self, step: float) -> float:
        """Share of the run that was seen before a step; 2.5 is the middle of step 2."""
        at = bisect_right(self._begins, step) - 1
        return (self._before[at] + (step - self._begins[at]) * self._sizes[at]) / self._whole

    def nearest(self, progress: float) -> int:
        """The step that begins nearest to a share of the run."""
        sought = progress * self._whole
        after = bisect_right(range(self.count), sought, key=self._sequences_before)
        early, late = self._sequences_before(after - 1), self._sequences_before(min(after, self.count))
        return after if late - sought < sought - early else after - 1

    def _sequences_before(self, step: int) -> int:
        at = bisect_right(self._begins, step) - 1
        return self._before[at] + (step - self._begins[at]) * self._sizes[at]

    def _staged(self, phases: tuple[tuple[float, int], ...]) -> tuple[Stage, ...]:
        ends = [end / sum(share for share, _ in phases) for end in accumulate(share for share, _ in phases)]
        runs = [list(run) for _, run in groupby(range(len(phases)), key=lambda i: phases[i][1])]
        if len(runs) > self.count:
            raise ValueError(f"{len(runs)} lengths of sequences need a step each, and the run has {self.count}")
        found: list[Stage] = []
        begin = 0
        for number, run in enumerate(runs):
            after = len(runs) - number - 1
            end = self.count if not after else max(begin + 1, min(self.nearest(ends[run[-1]]), self.count - after))
            stage = Stage(number, begin, end, phases[run[0]][1], run[0])
            for size in self._sizes_of(stage):
                if size * self._context % stage.context:
                    raise ValueError(
                        f"a step of {size} x {self._context} tokens has no whole number of sequences of "
                        f"{stage.context} (steps {begin + 1} to {end})"
                    )
            found.append(stage)
            begin = end
        return tuple(found)

    def _sizes_of(self, stage: Stage) -> list[int]:
        """The sizes of batches that a stage has steps of."""
        ends = [*self._begins[1:], self.count]
        spans = zip(self._sizes, self._begins, ends, strict=True)
        return [size for size, begin, end in spans if max(begin, stage.begin) < min(end, stage.end)]

    def _in_one_pass(self, stage: Stage, at_once: int) -> int:
        rows = [size * self._context // stage.context for size in self._sizes_of(stage)]
        return math.gcd(max(at_once * self._context // stage.context, 1), *rows)


def _ramped(batch: BatchSettings, count: int) -> tuple[list[int], list[int], list[int]]:
    """Sizes of batches in order, the first step of each, and the sequences before that."""
    sizes, begins = [batch.sequences], [0]
    if batch.ramp is not None:
        # Every size but the last has as many sequences as the others, as nearly as whole steps allow: then the size is
        # linear in sequences. Their number follows from that of the steps.
        smaller = list(range(batch.ramp.start, batch.sequences, batch.ramp.increment))
        each = batch.ramp.share / len(smaller)
        needed = [each / size for size in smaller]  # steps for each sequence of the run
        scale = count / (sum(needed) + (1.0 - batch.ramp.share) / batch.sequences)
        sizes, begins = [*smaller, batch.sequences], [0, *(min(round(scale * n), count) for n in accumulate(needed))]
    before = [0]
    for size, (begin, end) in zip(sizes, pairwise(begins), strict=False):
        before.append(before[-1] + size * (end - begin))
    return sizes, begins, before


def lengths(config: TrainConfig) -> list[float]:
    """The phases' shares of the run. Raises ValueError with numbers where budgets of tokens do not fit into it."""
    plain = Steps(config.batch, config.steps, config.context)
    step, total = config.batch.sequences * config.context, plain.tokens
    budgets = [0.0 if phase.tokens is None else phase.tokens for phase in config.phases]
    relative = [0.0 if phase.tokens is not None else phase.share or 1.0 for phase in config.phases]
    given, parts = sum(budgets), sum(relative)
    steps = f"about {given / total * config.steps:,.0f} steps, not {config.steps:,}"
    if parts and given >= total:
        raise ValueError(
            f"budgets of {given:,.0f} tokens leave nothing of the run's {total:,} for the other phases; it takes more "
            f"than {steps}"
        )
    if not parts and abs(given - total) > step:
        raise ValueError(
            f"the phases have {given:,.0f} tokens and the run {total:,}: take {steps}, or give a phase a share"
        )
    if not parts:
        return [budget / given for budget in budgets]
    return [
        (budget or (total - given) * share / parts) / total for budget, share in zip(budgets, relative, strict=True)
    ]


def problems(config: TrainConfig) -> list[Problem]:
    """Say what is wrong with the lengths of phases and of their sequences; it takes nothing but the config."""
    try:
        lengths(config)
    except ValueError as error:
        i = next(i for i, phase in enumerate(config.phases) if phase.tokens is not None)
        return [Problem(("phases", i, "tokens"), str(error))]
    try:
        Steps.of(config)
    except ValueError as error:
        place: Place = next(
            (("phases", i, "context") for i, phase in enumerate(config.phases) if phase.context is not None),
            ("context",),
        )
        return [Problem(place, str(error))]
    return []
