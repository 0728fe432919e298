"""Settings of the model: its shape, or the folder that it comes from."""

from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from training.config.base import Settings


class ModelSettings(Settings):
    """A Llama-shaped decoder. With `init_from`, the shape comes from that folder and is not set here."""

    init_from: str | None = None
    """A Hugging Face folder of a Llama model (config.json, *.safetensors, tokenizer.json): continued pretraining."""
    layers: Annotated[int, Field(ge=1)] = 6
    width: Annotated[int, Field(ge=8)] = 256
    heads: Annotated[int, Field(ge=1)] = 4
    kv_heads: Annotated[int, Field(ge=1)] = 2
    hidden: Annotated[int, Field(ge=8)] = 704
    """Width of the SwiGLU layer."""
    rope_theta: Annotated[float, Field(gt=1)] = 10_000.0
    norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    tied: bool = True
    """Input embedding and output matrix are one."""

    @model_serializer(mode="wrap")
    def _shape_or_folder(self, all_fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return all_fields(self) if self.init_from is None else {"init_from": self.init_from}

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        given = self.model_fields_set - {"init_from"}
        if self.init_from is not None and given:
            raise ValueError(f"init_from sets the shape, so {', '.join(sorted(given))} cannot be set beside it")
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(f"width {self.width} must be a multiple of 2 x heads ({self.heads})")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        return self
