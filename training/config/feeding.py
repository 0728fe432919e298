"""Settings of the feed: who makes the batches, how far ahead, and when to say that one does not come."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from training.config.base import Settings


class FeedingSettings(Settings):
    """Nothing here alters what is in a batch."""

    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Threads that make batches of coming steps. With 0 a batch is made when its step begins, and waited for."""
    ahead: Annotated[int, Field(ge=1)] = 2
    """Most steps whose batches are there, or being made, before their step begins."""
    memory: Annotated[float, Field(gt=0)] = 2.0
    """Most GiB of such batches, at 28 bytes a token; the next step's is made however large it is."""
    patience: Annotated[float, Field(gt=0)] = 60.0
    """Seconds after which a batch that is not there is told, with what is being read for it; again after twice as
    long, and so on."""
    give_up: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which the run ends with an error that says so; None waits for ever, as for a disk that comes
    back."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.give_up is not None and self.give_up < self.patience:
            raise ValueError(f"give_up ({self.give_up:g} s) comes before patience ({self.patience:g} s)")
        return self
