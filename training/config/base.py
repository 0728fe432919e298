"""What all settings have in common: they are frozen, and every key is known."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A part of the config: frozen, and every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")
