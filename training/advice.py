"""Advice for a continued run: which learning rate to go up to, and what else helps. It is printed and sets nothing."""

import math

from training.config import TrainConfig
from training.schedule import learning_rate
from training.steps import Steps

PEAKS = (
    (125e6, 6e-4),
    (350e6, 3e-4),
    (760e6, 2.5e-4),
    (1.3e9, 2e-4),
    (2.7e9, 1.6e-4),
    (6.7e9, 1.2e-4),
    (13e9, 1e-4),
    (175e9, 6e-5),
)
"""Parameters and the peak rates of GPT-3 (Brown et al. 2020, table 2.1), for a model whose own is not known."""

LEAST = 0.1
"""Of the old peak: the smallest share that is advised, however short the run."""


def usual_peak(parameters: int) -> float:
    """The peak rate of a model of this size: straight lines between those of PEAKS in logarithms, level at the ends."""
    for (smaller, high), (larger, low) in zip(PEAKS, PEAKS[1:], strict=False):
        if parameters < larger:
            way = max(math.log(parameters / smaller) / math.log(larger / smaller), 0.0)
            return float(high * (low / high) ** way)
    return float(PEAKS[-1][1])


def share_of_old_peak(tokens: int, parameters: int) -> float:
    """How much of the old peak a continued run should go up to.

    All of it where the run has a token a parameter or more, and less by the fourth root below: a rule of thumb. While
    the rate rises again the loss does too, and falls below what it was only later (Gupta et al. 2023): a short run ends
    before that.
    """
    return min(1.0, max(LEAST, math.sqrt(math.sqrt(tokens / parameters))))


def advice(config: TrainConfig, parameters: int) -> list[str]:
    """Lines for a run that continues a model; none for another run."""
    if config.model.init_from is None:
        return []
    steps = Steps.of(config)
    tokens = steps.tokens
    lines = []
    if config.optimizer.use in ("adam", "adamw", "muon"):
        given = None if config.continuing is None else config.continuing.old_peak
        old = usual_peak(parameters) if given is None else given
        share = share_of_old_peak(tokens, parameters)
        lines.append(
            f"advice: a peak rate of {old * share:.1e} (optimizer.lr is {config.optimizer.lr:.1e}). Going up to about "
            "the old peak and down again learns new text as well as training anew (Ibrahim et al. 2024)"
        )
        lines.append(
            f"  old peak {old:.1e}: "
            + (
                f"usual for {parameters:,} parameters (Brown et al. 2020); set continuing.old_peak if it is known"
                if given is None
                else "continuing.old_peak"
            )
        )
        if share < 1:
            lines.append(
                f"  of it {share:.0%}, because the run has {tokens / parameters:.2g} tokens a parameter: a short run "
                "ends before it has made good what a high rate undoes (the fourth root, a rule of thumb)"
            )
    else:
        lines.append(f"advice: there is none for the rate of {config.optimizer.use}; it is for adam, adamw and muon")
    peak = max(learning_rate(config.schedule, config.optimizer, steps, step) for step in _spread(config.steps))
    first = learning_rate(config.schedule, config.optimizer, steps, 0)
    last = learning_rate(config.schedule, config.optimizer, steps, config.steps - 1)
    if first > 0.5 * peak:
        lines.append(
            "advice: schedule.warmup of about 0.01 to 0.05, for the moments of the optimizer are empty at the start"
        )
    if last > 0.2 * peak:
        lines.append(
            "advice: a schedule that falls to nothing (linear, or cosine with final: 0), for a model to be used"
        )
    if config.replay is None:
        lines.append(
            "advice: continuing.replay: 5 % of text like that of before where the new text is much like it, 25 to 50 % "
            "for another language (Ibrahim et al. 2024); without it, the model forgets more"
        )
    return lines


def _spread(steps: int) -> range:
    """Some hundred steps over the whole run."""
    return range(0, steps, max(steps // 200, 1))
