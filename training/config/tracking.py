"""Settings of where a run's numbers go besides its own folder."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from training.config.base import Settings


class TrackingSettings(Settings):
    """Trackers that get every number of metrics.jsonl and evaluations.jsonl, by the same names, at the same steps.

    A list alone, `tracking: [tensorboard]`, is short for `use`. Nothing is sent over a network unless `online` says so,
    or an environment variable of the tracker's own (WANDB_MODE, TRACKIO_SPACE_ID).
    """

    use: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """`tensorboard` writes OUT/tensorboard and needs no package; the other two need the extra `track`."""
    project: Annotated[str, Field(min_length=1)] = "gristmill"
    """What Weights & Biases and trackio group runs by."""
    name: Annotated[str, Field(min_length=1)] | None = None
    """Of the run; None takes the name of its folder."""
    online: bool = False
    """Weights & Biases sends to its server while the run goes on; otherwise `wandb sync OUT/wandb/offline-*` does it
    later. trackio keeps everything on this machine unless its environment variable names a place."""

    @model_validator(mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, list | tuple) else value
