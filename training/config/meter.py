"""Settings of the speed meter: what the speed of a run is held against."""

from typing import Annotated, Literal

from pydantic import Field

from training.config.base import Settings


class MeterSettings(Settings):
    """How utilisation (MFU) is found."""

    peak: Annotated[float, Field(gt=0)] | None = None
    """Peak of the device in TFLOP/s; None looks its name up in the table of datasheets."""
    measure: bool | Literal["auto"] = "auto"
    """Measure what large matrix products reach, at the start; `auto` does so on a GPU, where it takes a moment."""
