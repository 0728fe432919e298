"""Attention: tokens mixed within their documents, by the fastest kernel that knows the mask."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from training.model import tiles
from training.model.cache import Cache
from training.model.mask import Mask
from training.model.norm import head_norm
from training.model.rope import rotate
from training.model.shape import Shape
from training.model.tiles import Tiles

Turn = tuple[Tensor, Tensor]
"""Cosine and sine of rotary positions."""


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023): each of K key-value heads serves H / K query heads.

    Query, key and value are one matrix: fewer and larger products.
    """

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        rows = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        self.qkv = nn.Linear(shape.width, rows, bias=shape.biases != "none")
        self.out = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=shape.biases in ("attention", "all"))
        self.query_norm, self.key_norm = head_norm(shape), head_norm(shape)

    def forward(self, x: Tensor, turn: Turn | None, mask: Mask | None, cache: Cache | None) -> Tensor:
        """Mix tokens (S, T, W); without a mask every token sees all keys."""
        rows, tokens, _ = x.shape
        turned = self.heads + self.kv_heads
        qkv = self.qkv(x).view(rows, tokens, turned + self.kv_heads, self.head_dim)
        directed, values = qkv[:, :, :turned], qkv[:, :, turned:].transpose(1, 2)
        if self.query_norm is not None and self.key_norm is not None:
            queries, keys = directed[:, :, : self.heads], directed[:, :, self.heads :]
            directed = torch.cat((self.query_norm(queries), self.key_norm(keys)), dim=2)
        if turn is not None:
            directed = rotate(directed, *turn)
        directed = directed.transpose(1, 2)
        queries, keys = directed[:, : self.heads], directed[:, self.heads :]
        if cache is not None:
            keys, values = cache.extended(self.layer, keys, values)
        mixed = attend(queries, keys, values, mask)
        return self.out(mixed.transpose(1, 2).reshape(rows, tokens, self.heads * self.head_dim))  # type: ignore[no-any-return]


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Mask | None) -> Tensor:
    """Softmax attention of (S, H, T, D) over (S, K, T', D) by the fastest kernel that knows such a mask."""
    grouped = queries.shape[1] != keys.shape[1]
    if isinstance(mask, BlockMask):
        mixed = flex_attention(queries, keys, values, block_mask=mask, enable_gqa=grouped)
        assert isinstance(mixed, Tensor)
        return mixed
    if isinstance(mask, Tiles):
        return tiles.attend(queries, keys, values, mask)
    if grouped and queries.is_cuda:  # the CUDA kernels that take a mask do not take grouped heads
        keys, values = (part.repeat_interleave(queries.shape[1] // part.shape[1], dim=1) for part in (keys, values))
        grouped = False
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=grouped)
