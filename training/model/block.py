"""A layer of the decoder: attention and feed-forward, each normalised before and added after."""

from torch import Tensor, nn

from training.model.attention import Attention, Turn
from training.model.cache import Cache
from training.model.feed_forward import feed_forward
from training.model.mask import Mask
from training.model.norm import norm
from training.model.shape import Shape


class Block(nn.Module):
    """One layer of a pre-normalised transformer."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.attention_norm = norm(shape)
        self.attention = Attention(shape, layer)
        self.feed_forward_norm = norm(shape)
        self.feed_forward = feed_forward(shape)

    def forward(self, x: Tensor, turn: Turn | None, mask: Mask | None, cache: Cache | None) -> Tensor:
        """Read (S, T, W) and give the same shape."""
        x = x + self.attention(self.attention_norm(x), turn, mask, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))  # type: ignore[no-any-return]
