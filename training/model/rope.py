"""Rotary position embedding (Su et al. 2021), in the half-split layout of Llama checkpoints, with its scalings."""

import math

import torch
from torch import Tensor

from training.config.rope import RopeScaling

__all__ = ["RopeScaling", "frequencies", "magnitude", "rotate", "rotations"]


def frequencies(head_dim: int, theta: float, scaling: RopeScaling | None = None) -> Tensor:
    """Radians per position of each pair of dimensions: float32, (head_dim / 2,).

    `linear` divides all of them (Chen et al. 2023). `llama3` divides only wavelengths longer than the original
    context, keeps short ones, and goes smoothly from one to the other between them (Llama 3 model card, 2024). `yarn`
    does so by how often a pair turns in the original context, along the pairs (Peng et al. 2023, section 3.2).
    `dynamic` changes them only for sequences longer than the context, which this decoder does not read.
    """
    plain = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
    if scaling is None or scaling.rope_type == "dynamic":
        return plain
    if scaling.rope_type == "linear":
        return plain / scaling.factor
    if scaling.rope_type == "llama3":
        waves = scaling.original_max_position_embeddings * plain / (2 * math.pi)
        kept = (waves - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        kept = kept.clamp(0, 1)
    else:

        def pair(turns: float) -> float:
            waves = scaling.original_max_position_embeddings / (turns * 2 * math.pi)
            return head_dim * math.log(waves) / (2 * math.log(theta))

        first, last = pair(scaling.beta_fast), pair(scaling.beta_slow)
        if scaling.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, head_dim - 1)
        if first == last:
            last += 0.001
        kept = 1 - ((torch.arange(head_dim // 2).float() - first) / (last - first)).clamp(0, 1)
    return plain * (kept + (1 - kept) / scaling.factor)


def magnitude(scaling: RopeScaling | None) -> float:
    """What cosine and sine are multiplied with, and so the logits of attention with its square: 1 but for `yarn`.

    Peng et al. 2023, section 3.4: 0.1 ln(factor) + 1; DeepSeek's two `mscale`s make it a quotient of two such.
    """
    if scaling is None or scaling.rope_type != "yarn":
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor

    def sharpened(scale: float) -> float:
        return 0.1 * scale * math.log(scaling.factor) + 1.0

    if scaling.mscale and scaling.mscale_all_dim:
        return sharpened(scaling.mscale) / sharpened(scaling.mscale_all_dim)
    return sharpened(1.0)


def rotations(positions: Tensor, radians: Tensor, magnitude: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine for each position: float32, each (S, T, 1, head_dim / 2), from positions (S, T)."""
    angles = positions[:, :, None, None].float() * radians
    return angles.cos() * magnitude, angles.sin() * magnitude


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + head_dim / 2) of the heads (S, T, heads, head_dim) by its angle, in float32."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
