"""Settings of continued pretraining: what is read again of what the model knows, and how much it may forget."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from training.config.base import Settings

Rise = Annotated[float, Field(gt=0)]


class ReplaySettings(Settings):
    """Text of the sort that the model was trained on before, so that it does not forget it."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Among themselves they share as their sizes."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Of all tokens, at every moment; the weights of the phases divide the rest among the other sources. 0.05 where the
    new text is like the old, 0.25 to 0.5 for another language (Ibrahim et al. 2024)."""


class ContinuingSettings(Settings):
    """Continued pretraining of the model of `model.init_from`."""

    replay: ReplaySettings | None = None
    limit: Rise | Annotated[Mapping[str, Rise], PlainSerializer(dict)] = {}
    """By source: how far its held-out loss may rise above that of step 0 (0.02 is 2 %) before the run ends, with exit
    code 3 and its checkpoint; a single number is for every replay source."""
    old_peak: Annotated[float, Field(gt=0)] | None = None
    """The highest learning rate that the model was trained at, if it is known. It changes nothing but the advice."""

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if isinstance(self.limit, float) and self.replay is None:
            raise ValueError("limit: a single number is for the replay sources, and there are none; name sources")
        return self

    def limits(self) -> dict[str, float]:
        """By source."""
        if isinstance(self.limit, float):
            return dict.fromkeys(() if self.replay is None else self.replay.sources, self.limit)
        return dict(self.limit)
