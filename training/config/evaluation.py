"""Settings of what is measured while the model learns."""

from typing import Annotated

from pydantic import Field

from training.config.base import Settings


class EvaluationSettings(Settings):
    """Loss by source on held-out documents, the same ones every time."""

    every: Annotated[int, Field(ge=1)] | None = None
    """Steps between evaluations; None evaluates at step 0 and at the end."""
    holdout: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of each source's documents that is never trained on, chosen by a hash of the id."""
    tokens: Annotated[int, Field(ge=1)] = 65_536
    """Most tokens of each source that are looked at."""
