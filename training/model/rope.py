"""Rotary position embedding (Su et al. 2021), in the half-split layout of Llama checkpoints, with its scalings."""

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor


class RopeScaling(BaseModel):
    """How the frequencies of a model were stretched for a longer context; the fields are Hugging Face's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rope_type: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


def frequencies(head_dim: int, theta: float, scaling: RopeScaling | None = None) -> Tensor:
    """Radians per position of each pair of dimensions: float32, (head_dim / 2,).

    `linear` divides all of them (Chen et al. 2023). `llama3` divides only wavelengths longer than the original
    context, keeps short ones, and goes smoothly from one to the other between them (Llama 3 model card, 2024).
    """
    plain = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
    if scaling is None:
        return plain
    if scaling.rope_type == "linear":
        return plain / scaling.factor
    waves = scaling.original_max_position_embeddings * plain / (2 * math.pi)
    kept = ((waves - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)).clamp(0, 1)
    return plain * (kept + (1 - kept) / scaling.factor)


def rotations(positions: Tensor, radians: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine for each position: float32, each (S, T, 1, head_dim / 2), from positions (S, T)."""
    angles = positions[:, :, None, None].float() * radians
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + head_dim / 2) of the heads (S, T, heads, head_dim) by its angle, in float32."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
