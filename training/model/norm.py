"""Norms: of each token's vector, or of each head's."""

from torch import nn

from training.model.shape import Shape


def norm(shape: Shape) -> nn.Module:
    """The norm of a hidden state (..., W): RMSNorm, or LayerNorm with bias."""
    return (nn.RMSNorm if shape.norm == "rms" else nn.LayerNorm)(shape.width, eps=shape.norm_eps)


def head_norm(shape: Shape) -> nn.Module | None:
    """The norm of each head's queries or keys (..., D), if the shape has it."""
    return nn.RMSNorm(shape.head_dim, eps=shape.norm_eps) if shape.qk_norm else None
