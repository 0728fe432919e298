"""Settings of the batch: how many sequences make a step, from the first step to the last."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from training.config.base import Settings


class RampSettings(Settings):
    """Small batches first: while gradients are large they say enough, and more steps are made of as many tokens.

    The batch grows from `start` by `by` sequences at a time, as a straight line over the tokens (Brown et al. 2020).
    """

    start: Annotated[int, Field(ge=1)]
    by: Annotated[int, Field(ge=1)] | None = None
    """None is `start`."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Of the run's sequences, those that come before the batch is full."""

    @property
    def increment(self) -> int:
        """Sequences that are added at a time."""
        return self.start if self.by is None else self.by


class BatchSettings(Settings):
    """The global batch of a step, and how much of it is on the device at once."""

    sequences: Annotated[int, Field(ge=1)] = 32
    micro: Annotated[int, Field(ge=1)] | None = None
    """Sequences in one forward pass; None takes all, and with a ramp as many as divide every batch. Smaller accumulates
    gradients and changes no order."""
    ramp: RampSettings | None = None

    @property
    def at_once(self) -> int:
        """Sequences in one forward pass: the same in every step, so that nothing is compiled twice."""
        if self.micro is not None:
            return self.micro
        return self.sequences if self.ramp is None else math.gcd(self.ramp.start, self.ramp.increment)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        sizes = {"sequences": self.sequences}
        if self.ramp is not None:
            start, by = self.ramp.start, self.ramp.increment
            if start >= self.sequences or (self.sequences - start) % by:
                raise ValueError(
                    f"ramp: from {start} sequences, in steps of {by}, the batch never becomes {self.sequences}"
                )
            sizes |= {"ramp.start": start, "ramp.by": by}
        for name, size in sizes.items():
            if self.micro is not None and size % self.micro:
                raise ValueError(f"batch.{name} ({size}) must be a multiple of batch.micro ({self.micro})")
        return self
