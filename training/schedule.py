"""The learning rate as a pure function of progress: warm-up, plateau, decay (WSD; Hu et al. 2024)."""

import math

from training.config import ScheduleSettings


def share_of_peak(settings: ScheduleSettings, progress: float) -> float:
    """The rate at `progress` (0 to 1) of the run, as a share of the peak.

    It rises linearly over `warmup`, stays, and falls over the last `decay` of the run to `final`; where the two would
    overlap (`decay: 1`), the fall begins when the rise ends.
    """
    if progress < settings.warmup:
        return progress / settings.warmup
    start = max(1.0 - settings.decay, settings.warmup)
    if progress <= start:
        return 1.0
    fallen = (progress - start) / (1.0 - start)
    match settings.shape:
        case "linear":
            left = 1.0 - fallen
        case "cosine":
            left = 0.5 * (1.0 + math.cos(math.pi * fallen))
        case "sqrt":
            left = 1.0 - math.sqrt(fallen)
    return settings.final + (1.0 - settings.final) * left


def learning_rate(settings: ScheduleSettings, peak: float, step: int, steps: int) -> float:
    """The rate of a step, counted from 0: that of its middle, so that neither the first nor the last step is wasted."""
    return peak * share_of_peak(settings, (step + 0.5) / steps)
