"""The learning rate as a pure function of progress, the share of the run's tokens that were seen."""

import math
from itertools import pairwise

from training.config import OptimizerSettings, ScheduleSettings
from training.config.schedule import Constant, Fall, InverseSqrt, Wsd
from training.steps import Steps


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


def learning_rate(schedule: ScheduleSettings, optimizer: OptimizerSettings, steps: Steps, step: int) -> float:
    """The rate of a step, counted from 0: that of its middle, so that neither the first nor the last step is wasted."""
    rate = optimizer.lr * share_of_peak(schedule, steps.progress(step + 0.5))
    if optimizer.scale is None:
        return rate
    ratio = steps.size(step) / optimizer.scale.sequences
    return rate * (ratio if optimizer.scale.rule == "linear" else math.sqrt(ratio))
