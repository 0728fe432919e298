"""What repeated text is worth: the tokens of fresh text that would teach a model as much."""

import math

HALF_LIFE = 15.387756
"""R*, fitted by Muennighoff et al. (2023, "Scaling Data-Constrained Language Models", appendix A) on 182 runs of 7M to
9B parameters and 1 to 500 epochs: after as many repetitions, they were worth 1 - 1/e of fresh text on average."""


def fresh_equivalent(unique: float, passes: float) -> float:
    """Tokens of fresh text that `passes` over `unique` tokens are worth (Muennighoff et al. 2023, equation 5).

    U + U R* (1 - exp(-R / R*)) with R = passes - 1 repetitions; up to one pass, all of what was read.
    """
    if passes <= 1:
        return unique * passes
    return unique * (1.0 + HALF_LIFE * -math.expm1((1.0 - passes) / HALF_LIFE))
