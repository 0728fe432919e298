"""Feed-forward layers: what each token goes through alone."""

import torch.nn.functional as F
from torch import Tensor, nn

from training.model.shape import Shape


class SwiGLU(nn.Module):
    """silu(gate) * up, then down (Shazeer 2020); gate and up are one matrix, for one larger product."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        biased = shape.biases == "all"
        self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=biased)
        self.down = nn.Linear(shape.hidden, shape.width, bias=biased)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token (S, T, W) alone."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)  # type: ignore[no-any-return]


class Gelu(nn.Module):
    """Up, GELU in its tanh form (Hendrycks and Gimpel 2016), down, as GPT-2 has it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        biased = shape.biases == "all"
        self.up = nn.Linear(shape.width, shape.hidden, bias=biased)
        self.down = nn.Linear(shape.hidden, shape.width, bias=biased)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token (S, T, W) alone."""
        return self.down(F.gelu(self.up(x), approximate="tanh"))  # type: ignore[no-any-return]


def feed_forward(shape: Shape) -> nn.Module:
    """The layer that the shape asks for."""
    return SwiGLU(shape) if shape.feed_forward == "swiglu" else Gelu(shape)
