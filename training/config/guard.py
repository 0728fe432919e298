"""Settings of the guard: which steps are left out because something is wrong with them."""

from typing import Annotated

from pydantic import Field

from training.config.base import Settings


class GuardSettings(Settings):
    """A step whose loss or gradient is not finite changes nothing; nor does one that is far above those before it."""

    window: Annotated[int, Field(ge=8)] | None = 128
    """Steps that a loss and a gradient norm are compared with (OLMo 2, 2025); none is too large before there are as
    many. None leaves out only what is not finite."""
    sigma: Annotated[float, Field(gt=0)] = 6.0
    """Standard deviations above the mean of the window from which on a step is left out."""
    most_in_a_row: Annotated[int, Field(ge=1)] = 5
    """More are an error: then it is not the data of a step that is wrong."""
