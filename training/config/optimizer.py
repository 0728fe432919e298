"""Settings of the optimizer: which rule changes the weights, and the numbers that this rule has.

Each rule is a model of its own, so a number that a rule does not use is an unknown key in the config, never ignored.
"""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from training.config.base import Settings, Share

Role = Literal["matrix", "embedding", "head", "norm", "bias"]
Below1 = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class ScaleSettings(Settings):
    """How the rate follows the size of a step's batch; `optimizer.lr` is for steps of `sequences`.

    `linear` multiplies it by B / sequences (Goyal et al. 2017), `sqrt` by the root of that (Krizhevsky 2014; Malladi et
    al. 2022 for adaptive rules, who also change the betas, which this does not).
    """

    rule: Literal["linear", "sqrt"]
    sequences: Annotated[int, Field(ge=1)]


class RuleSettings(Settings):
    """What all rules have."""

    adaptive: ClassVar[bool] = True
    """Whether a step's length does not follow the gradient's."""

    use: str
    lr: Positive
    """The highest rate; the schedule takes shares of it."""
    weight_decay: NotNegative = 0.0
    """Added to the gradient as `weight_decay` x weight, but by adamw and muon taken from the weight apart from it."""
    decay: tuple[Role, ...] = ("matrix", "head")
    """Which parameters decay. An embedding, tied or not, has rows that are seen at very different rates, and rare ones
    would only shrink."""
    clip: Positive | None = 1.0
    """Largest global gradient norm; None does not clip."""
    scale: ScaleSettings | None = None
    """None keeps the rate the same whatever the size of the batch."""

    @model_validator(mode="after")
    def _scales(self) -> Self:
        if self.scale is not None and self.scale.rule == "linear" and self.adaptive:
            raise ValueError(
                f"scale: 'linear' follows from steps as long as their gradients, which those of {self.use} are not; "
                "take 'sqrt'"
            )
        return self


class Sgd(RuleSettings):
    """w -= lr g (Robbins and Monro 1951)."""

    adaptive = False
    use: Literal["sgd"] = "sgd"


class Momentum(RuleSettings):
    """v = momentum v + (1 - dampening) g; w -= lr v (Polyak 1964)."""

    adaptive = False
    use: Literal["momentum"] = "momentum"
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    dampening: Share = 0.0
    """`dampening: 0.9` beside `momentum: 0.9` makes v a mean of gradients."""


class Nesterov(RuleSettings):
    """v = momentum v + g; w -= lr (g + momentum v): Nesterov 1983 as Sutskever et al. 2013 have it, at the point that
    they look ahead to."""

    adaptive = False
    use: Literal["nesterov"] = "nesterov"
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9


class Adagrad(RuleSettings):
    """s += g^2; w -= lr g / (sqrt(s) + eps) (Duchi et al. 2011)."""

    use: Literal["adagrad"] = "adagrad"
    eps: Positive = 1e-10
    initial: NotNegative = 0.0
    """s before the first step."""


class RmsProp(RuleSettings):
    """s = alpha s + (1 - alpha) g^2; w -= lr g / (sqrt(s) + eps) (Tieleman and Hinton 2012)."""

    use: Literal["rmsprop"] = "rmsprop"
    alpha: Below1 = 0.9
    eps: Positive = 1e-8
    momentum: Below1 = 0.0
    """Of the scaled gradient."""
    centered: bool = False
    """Divide by the standard deviation instead of the root mean square (Graves 2013)."""


class Adam(RuleSettings):
    """m and v are moving means of g and g^2, corrected for their start at 0; w -= lr m / (sqrt(v) + eps) (Kingma and Ba
    2015)."""

    use: Literal["adam"] = "adam"
    lr: Positive = 6e-4
    betas: tuple[Below1, Below1] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdamW(RuleSettings):
    """Adam whose decay does not pass through the moments: w *= 1 - lr weight_decay (Loshchilov and Hutter 2019)."""

    use: Literal["adamw"] = "adamw"
    lr: Positive = 6e-4
    betas: tuple[Below1, Below1] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.1


class Muon(RuleSettings):
    """The steps of the blocks' matrices are made orthogonal (Jordan et al. 2024), at the scale of AdamW's (Liu et al.
    2025), so that `lr` means the same; AdamW, with these betas and eps, changes the other parameters."""

    use: Literal["muon"] = "muon"
    lr: Positive = 6e-4
    momentum: Below1 = 0.95
    nesterov: bool = True
    iterations: Annotated[int, Field(ge=1, le=20)] = 5
    """Of Newton and Schulz."""
    betas: tuple[Below1, Below1] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.1


OptimizerSettings: TypeAlias = Annotated[
    Annotated[Sgd, Tag("sgd")]
    | Annotated[Momentum, Tag("momentum")]
    | Annotated[Nesterov, Tag("nesterov")]
    | Annotated[Adagrad, Tag("adagrad")]
    | Annotated[RmsProp, Tag("rmsprop")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[Muon, Tag("muon")],
    Discriminator(lambda given: _use(given)),
]


def _use(given: Any) -> Any:
    """Which rule is meant: AdamW if nothing is said."""
    return given.get("use", "adamw") if isinstance(given, dict) else getattr(given, "use", None)
