"""Settings of rotary positions for contexts that are longer than those a model was trained on."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from training.config.base import Settings

Theta = Annotated[float, Field(gt=1)]
Kind = Literal["linear", "ntk", "yarn", "llama3"]


class RopeScaling(Settings):
    """How rotary frequencies are stretched for a longer context; the fields are Hugging Face's."""

    rope_type: Literal["linear", "dynamic", "llama3", "yarn"]
    """`linear` (Chen et al. 2023) divides all frequencies by `factor`; `llama3` (Llama 3 model card, 2024) only slow
    ones; `yarn` (Peng et al. 2023) slow ones, and sharpens attention; `dynamic` none within the trained context."""
    factor: Annotated[float, Field(ge=1)]
    low_freq_factor: Annotated[float, Field(gt=0)] = 1.0
    """llama3: wavelengths longer than the original context over this are divided in full."""
    high_freq_factor: Annotated[float, Field(gt=0)] = 4.0
    """llama3: wavelengths shorter than the original context over this are kept."""
    original_max_position_embeddings: Annotated[int, Field(ge=1)] = 8192
    """llama3 and yarn: the context before it was stretched."""
    beta_fast: Annotated[float, Field(gt=0)] = 32.0
    """yarn: dimensions that turn more often in the original context are kept."""
    beta_slow: Annotated[float, Field(gt=0)] = 1.0
    """yarn: dimensions that turn less often are divided in full."""
    truncate: bool = True
    """yarn: the ramp between the two begins and ends at whole dimensions."""
    attention_factor: Annotated[float, Field(gt=0)] | None = None
    """yarn: what cosine and sine are multiplied with; None computes it from `factor` and the two below."""
    mscale: float | None = None
    mscale_all_dim: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rope_type == "llama3" and self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(
                f"high_freq_factor ({self.high_freq_factor}) must be above low_freq_factor ({self.low_freq_factor})"
            )
        return self


class RopeSettings(Settings):
    """Rotary frequencies of a phase in every detail; what is not given stays as it was in the phase before."""

    theta: Theta | None = None
    """Alone, it is the adjusted base frequency of Xiong et al. (2023), who went from 10,000 to 500,000."""
    scaling: RopeScaling | None = None
    """Instead of the one before; `{rope_type: linear, factor: 1}` takes that away."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.theta is None and self.scaling is None:
            raise ValueError("give theta, scaling, or both")
        named = self.scaling is None or "original_max_position_embeddings" in self.scaling.model_fields_set
        if self.scaling is not None and self.scaling.rope_type in ("llama3", "yarn") and not named:
            raise ValueError("scaling.original_max_position_embeddings: say from which context it stretches")
        return self


Rope = Annotated[
    Annotated[Kind, Tag("kind")] | Annotated[RopeSettings, Tag("settings")],
    Discriminator(lambda given: "kind" if isinstance(given, str) else "settings"),
]
"""A way to stretch by a word, or in numbers."""
