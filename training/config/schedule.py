"""Settings of the schedule: how the learning rate goes over the run, as shares of the peak over shares of the run.

Progress is counted in sequences, so a share means the same with a batch that grows. `training.schedule` has the rules.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from training.config.base import Settings, Share

Inside = Annotated[float, Field(gt=0, lt=1)]
Fall = Literal["linear", "cosine", "mirror_cosine", "square", "sqrt", "exponential", "reciprocal"]


class CurveSettings(Settings):
    """What all schedules have: a linear warm-up, and where it is done again."""

    use: str
    warmup: Share = 0.02
    """Share of the run (of each cycle, if there are restarts) in which the rate rises to the peak."""
    start: Share = 0.0
    """Where the first warm-up begins, as a share of the peak; in continued pretraining, where the earlier run ended
    (re-warming; Ibrahim et al. 2024)."""
    restarts: tuple[Inside, ...] = ()
    """Progress at which a new cycle begins: the rate rises from what it has fallen to, and goes the same way again
    (Loshchilov and Hutter 2017; with WSD, the simplified schedule of Wen et al. 2024)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.restarts)):
            raise ValueError(f"restarts: each must be later than the one before, found {list(self.restarts)}")
        return self


class Constant(CurveSettings):
    """The peak, all the time."""

    use: Literal["constant"] = "constant"


class Linear(CurveSettings):
    """Down to `final` in a straight line (Bergsma et al. 2025: to 0)."""

    use: Literal["linear"] = "linear"
    final: Share = 0.0
    """The last rate as a share of the peak."""


class Cosine(CurveSettings):
    """Down to `final` along half a cosine (Loshchilov and Hutter 2017; down to a tenth by Brown et al. 2020)."""

    use: Literal["cosine"] = "cosine"
    final: Share = 0.1
    """The last rate as a share of the peak."""


class FallSettings(CurveSettings):
    """A fall at the end that does not depend on what comes before it."""

    decay: Share = 0.2
    """Share of the run, at its end, in which the rate falls; 1 begins where the warm-up ends."""
    shape: Fall = "sqrt"
    """With p from 0 to 1 in the fall: `linear` 1 - p, `sqrt` 1 - sqrt(p), `square` 1 - p^2, `cosine`, `mirror_cosine`
    its mirror image at the line (Haegele et al. 2024 compare these); `exponential` final^p (Hu et al. 2024),
    `reciprocal` 1 / (p / final + 1 - p) (Wen et al. 2024)."""
    final: Share = 0.0
    """The last rate as a share of the peak; the rate is never lower after the warm-up."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup + self.decay > 1 and self.decay < 1:
            raise ValueError(f"warmup ({self.warmup}) and decay ({self.decay}) are together longer than the run")
        if self.shape in ("exponential", "reciprocal") and self.decay and not self.final:
            raise ValueError(f"shape: '{self.shape}' never reaches 0; set 'final' above it")
        return self


class Wsd(FallSettings):
    """Warm-up, a stable stretch, decay (Hu et al. 2024)."""

    use: Literal["wsd"] = "wsd"


class InverseSqrt(FallSettings):
    """sqrt(timescale / (timescale + p)) with p from the end of the warm-up (Vaswani et al. 2017; Zhai et al. 2022)."""

    use: Literal["inverse_sqrt"] = "inverse_sqrt"
    timescale: Annotated[float, Field(gt=0)] | None = None
    """As a share of the run; None is the warm-up's length, as in Vaswani et al."""
    decay: Share = 0.0

    @model_validator(mode="after")
    def _has_scale(self) -> Self:
        if self.timescale is None and not self.warmup:
            raise ValueError("timescale: there is no warm-up to take it from; set it")
        return self


ScheduleSettings: TypeAlias = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Linear, Tag("linear")]
    | Annotated[Cosine, Tag("cosine")]
    | Annotated[InverseSqrt, Tag("inverse_sqrt")]
    | Annotated[Wsd, Tag("wsd")],
    Discriminator(lambda given: _use(given)),
]


def _use(given: Any) -> Any:
    """Which schedule is meant: WSD if nothing is said."""
    return given.get("use", "wsd") if isinstance(given, dict) else getattr(given, "use", None)
