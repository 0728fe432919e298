"""Settings of what is measured while the model learns."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from training.config.base import Settings


class SampleSettings(Settings):
    """Texts that the model writes while it learns, to be read by people: the same draws every time."""

    prompts: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """What it goes on from; `<FILL>` in one marks a hole to fill."""
    tokens: Annotated[int, Field(ge=1)] = 64
    """Most tokens of each text."""
    every: Annotated[int, Field(ge=1)] | None = None
    """Steps between samples; None writes them with every evaluation."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0


class EvaluationSettings(Settings):
    """Loss by source on held-out documents, the same ones every time."""

    every: Annotated[int, Field(ge=1)] | None = None
    """Steps between evaluations; None evaluates at step 0 and at the end."""
    holdout: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of each source's documents that is never trained on, chosen by a hash of the id."""
    tokens: Annotated[int, Field(ge=1)] = 65_536
    """Most tokens of each source that are looked at."""
    context: Annotated[int, Field(ge=8)] | None = None
    """Tokens of a sequence, the same in all phases, so that losses can be compared; None is the run's `context`."""
    lengths: tuple[Annotated[int, Field(ge=1)], ...] = (256, 1024, 4096)
    """Where the classes of document lengths begin, in tokens, behind the one that begins at 0; `[]` has one class."""
    samples: SampleSettings | None = None

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths ({', '.join(map(str, self.lengths))}) must rise")
        return self
