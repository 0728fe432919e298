"""The shape of a decoder: everything that determines its parameters and its function."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from training.config import ModelSettings
from training.config.rope import RopeScaling

VOCABULARY_MULTIPLE = 64
"""Rows of the embedding come in multiples of this: tensor cores and vector units work on whole tiles."""
_POSITIONS = ("context", "rope_theta", "rope_scaling")


class Shape(BaseModel):
    """Everything that determines a decoder's parameters and its function; `ModelSettings` says what each field means.

    What was added later has the default that decoders had before, so that checkpoints stay readable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int
    context: int
    """Tokens of the longest sequences that it was trained on so far. Rotary positions have no hard end; learned ones
    end here, so they have what the run will need from the beginning."""
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    positions: Literal["rotary", "learned"] = "rotary"
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    biases: Literal["none", "qkv", "attention", "all"] = "none"
    qk_norm: bool = False
    window: int | None = None
    tied: bool

    @classmethod
    def of(cls, settings: ModelSettings, vocabulary: int, context: int) -> Self:
        """The shape that the settings ask for, with the vocabulary rounded up to whole tiles."""
        same = settings.model_dump(exclude={"preset", "init_from", "head_dim"})
        head_dim = settings.head_dim or settings.width // settings.heads
        return cls(vocabulary=rounded(vocabulary), context=context, head_dim=head_dim, **same)

    def at(self, other: "Shape") -> "Shape":
        """This shape with the context and the rotary frequencies of another one."""
        return self.model_copy(update={name: getattr(other, name) for name in _POSITIONS})


def rounded(vocabulary: int) -> int:
    """The next multiple of VOCABULARY_MULTIPLE."""
    return -(-vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
