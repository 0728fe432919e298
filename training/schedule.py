"""How a run goes over its length: the learning rate, and the size of the batch, as pure functions of progress.

Progress is the share of the run's sequences that were seen. So a warm-up, a phase of the mixture and a decay of the
same share end together, also where the batch grows.
"""

import math
from bisect import bisect_right
from itertools import pairwise

from training.config import BatchSettings, OptimizerSettings, ScheduleSettings
from training.config.schedule import Constant, Fall, InverseSqrt, Wsd


def share_of_peak(settings: ScheduleSettings, progress: float) -> float:
    """The rate at `progress` (0 to 1) of the run, as a share of the peak."""
    level = settings.start
    for begin, end in pairwise((0.0, *settings.restarts, 1.0)):
        if progress < end:
            return _in_cycle(settings, level, (progress - begin) / (end - begin))
        level = _in_cycle(settings, level, 1.0)
    return level


def _in_cycle(settings: ScheduleSettings, start: float, progress: float) -> float:
    """The share of the peak within one cycle, which begins at `start`."""
    if progress < settings.warmup:
        return start + (1.0 - start) * progress / settings.warmup
    if isinstance(settings, Constant):
        return 1.0
    shape: Fall
    if isinstance(settings, Wsd | InverseSqrt):
        shape, begin = settings.shape, max(1.0 - settings.decay, settings.warmup)
    else:
        shape, begin = settings.use, settings.warmup
    top = 1.0
    if isinstance(settings, InverseSqrt):
        scale = settings.warmup if settings.timescale is None else settings.timescale
        top = max(settings.final, math.sqrt(scale / (scale + min(progress, begin) - settings.warmup)))
    return top if progress <= begin else _fallen(shape, top, settings.final, (progress - begin) / (1.0 - begin))


def _fallen(shape: Fall, top: float, bottom: float, p: float) -> float:
    """The rate when a share `p` of a fall from `top` to `bottom` is over; `Fall` has the sources."""
    match shape:
        case "linear":
            left = 1.0 - p
        case "cosine":
            left = 0.5 * (1.0 + math.cos(math.pi * p))
        case "mirror_cosine":
            left = 2.0 * (1.0 - p) - 0.5 * (1.0 + math.cos(math.pi * p))
        case "square":
            left = 1.0 - p * p
        case "sqrt":
            left = 1.0 - math.sqrt(p)
        case "exponential":
            return top * math.pow(bottom / top, p)
        case "reciprocal":
            return 1.0 / (p / bottom + (1.0 - p) / top)
    return bottom + (top - bottom) * left


class BatchSizes:
    """How many sequences each of `steps` steps has; steps count from 0. All of it is arithmetic on a short table."""

    def __init__(self, batch: BatchSettings, steps: int) -> None:
        self.steps = steps
        self._sizes = [batch.sequences]
        self._begins = [0]
        """The first step of each size."""
        if batch.ramp is not None:
            # Every size but the last has as many sequences as the others, as nearly as whole steps allow: then the
            # size is linear in sequences. Their number follows from that of the steps.
            smaller = list(range(batch.ramp.start, batch.sequences, batch.ramp.increment))
            each = batch.ramp.share / len(smaller)
            lengths = [each / size for size in smaller]  # steps for each sequence of the run
            scale = steps / (sum(lengths) + (1.0 - batch.ramp.share) / batch.sequences)
            ends = [min(round(scale * sum(lengths[: i + 1])), steps) for i in range(len(smaller))]
            self._sizes = [*smaller, batch.sequences]
            self._begins = [0, *ends]
        spans = zip(self._sizes, pairwise(self._begins), strict=False)
        self._before = [0]
        """Sequences before the first step of each size."""
        for size, (begin, end) in spans:
            self._before.append(self._before[-1] + size * (end - begin))
        self.total = self.before(steps)

    def of(self, step: int) -> int:
        """Sequences of a step."""
        return self._sizes[bisect_right(self._begins, step) - 1]

    def before(self, step: int) -> int:
        """Sequences before a step (0 to steps, both included)."""
        at = bisect_right(self._begins, step) - 1
        return self._before[at] + (step - self._begins[at]) * self._sizes[at]

    def place(self, sequence: int) -> tuple[int, int]:
        """The step that has a sequence of the run (from 0), and its row there."""
        at = bisect_right(self._before, sequence) - 1
        steps, row = divmod(sequence - self._before[at], self._sizes[at])
        return self._begins[at] + steps, row

    def progress(self, step: int) -> float:
        """Where the middle of a step lies in the run, in sequences: so neither the first nor the last is at an end."""
        return (self.before(step) + 0.5 * self.of(step)) / self.total


def learning_rate(schedule: ScheduleSettings, optimizer: OptimizerSettings, sizes: BatchSizes, step: int) -> float:
    """The rate of a step, counted from 0: that of its middle, so that neither the first nor the last step is wasted."""
    rate = optimizer.lr * share_of_peak(schedule, sizes.progress(step))
    if optimizer.scale is None:
        return rate
    ratio = sizes.of(step) / optimizer.scale.sequences
    return rate * (ratio if optimizer.scale.rule == "linear" else math.sqrt(ratio))
