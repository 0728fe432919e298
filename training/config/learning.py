"""Settings of how the model learns: optimizer, learning rate, batch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.config.base import Settings, Share


class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019), decay on matrices only; or Muon."""

    use: Literal["adamw", "muon"] = "adamw"
    """`muon` (Jordan et al. 2024) makes the steps of the layers' matrices orthogonal, at the scale of AdamW's (Liu et
    al. 2025), so that `lr` means the same; `betas[1]` is its momentum. AdamW changes the other weights."""
    lr: Annotated[float, Field(gt=0)] = 6e-4
    betas: tuple[Share, Share] = (0.9, 0.95)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global gradient norm; None does not clip."""


class ScheduleSettings(Settings):
    """Learning rate over progress: linear warm-up, a plateau, then decay (WSD); `decay: 1` decays all the way."""

    warmup: Share = 0.02
    decay: Share = 0.2
    """Share of the run, at its end, in which the rate falls."""
    shape: Literal["linear", "cosine", "sqrt"] = "sqrt"
    """`sqrt` is 1 - sqrt(p) (Haegele et al. 2024)."""
    final: Share = 0.0
    """The last rate as a share of the peak."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup + self.decay > 1 and self.decay < 1:
            raise ValueError(f"warmup ({self.warmup}) and decay ({self.decay}) are together longer than the run")
        return self


class BatchSettings(Settings):
    """The global batch of a step, and how much of it is on the device at once."""

    sequences: Annotated[int, Field(ge=1)] = 32
    micro: Annotated[int, Field(ge=1)] | None = None
    """Sequences in one forward pass; None takes all. Smaller accumulates gradients and changes no order."""
