"""Settings of the model: a shape by its size or in every detail, or the folder that it comes from."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from pipeline.configfile import nearest
from training.config.base import Settings
from training.config.presets import PRESETS
from training.config.rope import RopeScaling, Theta

_THETA = 10_000.0


class ModelSettings(Settings):
    """A decoder. With `preset` the shape is that one's where nothing else is set; with `init_from` it is the folder's.

    The defaults are Llama's way: RMSNorm, SwiGLU, rotary positions, no biases. GPT-2's is `norm: layer`,
    `feed_forward: gelu`, `positions: learned`, `biases: all`; Qwen2 has `biases: qkv`, Qwen3 `qk_norm: true`.
    """

    preset: Annotated[str, AfterValidator(lambda name: _known(name))] | None = None
    """A size: 1M, 5M, 15M, 30M, 60M, 124M, 135M, 350M, 360M, 0.5B, 0.6B, 1B, 1.7B, 3B, 7B or 8B (presets.py)."""
    init_from: str | None = None
    """A Hugging Face folder (config.json, *.safetensors, tokenizer.json) of a Llama, SmolLM, Mistral, Qwen2, Qwen3 or
    GPT-2 model: continued pretraining."""
    layers: Annotated[int, Field(ge=1)] = 6
    width: Annotated[int, Field(ge=8)] = 256
    heads: Annotated[int, Field(ge=1)] = 4
    kv_heads: Annotated[int, Field(ge=1)] = 2
    """Heads of keys and values, each for heads / kv_heads of the queries' (Ainslie et al. 2023)."""
    head_dim: Annotated[int, Field(ge=2)] | None = None
    """Dimensions of a head; None is width / heads."""
    hidden: Annotated[int, Field(ge=8)] = 704
    """Width inside the feed-forward layer."""
    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm (Zhang and Sennrich 2019), or LayerNorm with bias (Ba et al. 2016)."""
    norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    """SwiGLU (Shazeer 2020), or one layer with the tanh form of GELU (Hendrycks and Gimpel 2016)."""
    positions: Literal["rotary", "learned"] = "rotary"
    """Rotary (Su et al. 2021), or an embedding of each place up to the longest context of the run. Both count from 0 in
    every document."""
    rope_theta: Theta = _THETA
    rope_scaling: RopeScaling | None = None
    biases: Literal["none", "qkv", "attention", "all"] = "none"
    """Which linear layers have one: none; query, key and value; also attention's output; also feed-forward."""
    qk_norm: bool = False
    """RMSNorm of each head's query and key, before they are turned (Henry et al. 2020; as Qwen3)."""
    window: Annotated[int, Field(ge=1)] | None = None
    """Tokens that one can look back at, itself among them (sliding-window attention, as Mistral's); None is all."""
    tied: bool = True
    """Input embedding and output matrix are one."""

    @model_validator(mode="before")
    @classmethod
    def _preset_first(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("preset"), str) and given["preset"] in PRESETS:
            if given.get("init_from") is not None:
                raise ValueError("init_from sets the shape, so preset cannot be set beside it")
            return {**PRESETS[given["preset"]], **given}
        return given

    @model_serializer(mode="wrap")
    def _shape_or_folder(self, all_fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return all_fields(self) if self.init_from is None else {"init_from": self.init_from}

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        given = self.model_fields_set - {"init_from"}
        if self.init_from is not None and given:
            raise ValueError(f"init_from sets the shape, so {', '.join(sorted(given))} cannot be set beside it")
        if self.head_dim is None and (self.width % self.heads or self.width // self.heads % 2):
            raise ValueError(
                f"width {self.width} must be a multiple of 2 x heads ({self.heads}), or head_dim be set beside it"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        if self.positions == "rotary" and self.head_dim is not None and self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even: rotary positions turn pairs")
        if self.positions == "learned" and (self.rope_theta != _THETA or self.rope_scaling is not None):
            raise ValueError("positions: learned has no frequencies, so rope_theta and rope_scaling say nothing")
        return self


def _known(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"there is no preset '{name}'; {nearest(name, list(PRESETS))}")
    return name
