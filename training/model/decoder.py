"""The decoder: a Llama-shaped transformer that reads packed documents without looking from one into another.

Pre-normalisation with RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), SwiGLU (Shazeer 2020) and
grouped-query attention (Ainslie et al. 2023), without biases or dropout. Query, key and value are one matrix, and so
are the two of SwiGLU's input: fewer and larger products. Shapes: S sequences, T tokens, W width, H heads, K key-value
heads, D dimensions of a head, V vocabulary.
"""

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from training.config import ModelSettings
from training.model.rope import RopeScaling, frequencies, rotate, rotations

Mask = Tensor | BlockMask
VOCABULARY_MULTIPLE = 64
"""Rows of the embedding come in multiples of this: tensor cores and vector units work on whole tiles."""


class Shape(BaseModel):
    """Everything that determines a decoder's parameters and its function."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int
    context: int
    """Tokens of the sequences that it was trained on; rotary positions have no hard end."""
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    rope_theta: float
    rope_scaling: RopeScaling | None = None
    norm_eps: float
    tied: bool

    @classmethod
    def of(cls, settings: ModelSettings, vocabulary: int, context: int) -> Self:
        """The shape that the settings ask for, with the vocabulary rounded up to whole tiles."""
        return cls(
            vocabulary=rounded(vocabulary),
            context=context,
            layers=settings.layers,
            width=settings.width,
            heads=settings.heads,
            kv_heads=settings.kv_heads,
            head_dim=settings.width // settings.heads,
            hidden=settings.hidden,
            rope_theta=settings.rope_theta,
            norm_eps=settings.norm_eps,
            tied=settings.tied,
        )


def rounded(vocabulary: int) -> int:
    """The next multiple of VOCABULARY_MULTIPLE."""
    return -(-vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def document_mask(segments: Tensor, blocks: bool = False) -> Mask:
    """Who may look at whom: each token at itself and at what came before it in its own document.

    `segments` (S, T) numbers the documents of each row. The answer is a bool tensor (S, 1, T, T), or with `blocks` a
    BlockMask for flex attention, which skips tiles that are wholly masked. Made once a batch, all layers share it.
    """
    if blocks:

        def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query >= key) & (segments[row, query] == segments[row, key])

        rows, tokens = segments.shape
        return create_block_mask(visible, rows, None, tokens, tokens, device=str(segments.device))
    return ((segments[:, :, None] == segments[:, None, :]).tril())[:, None]


class Cache:
    """Keys and values of the tokens read so far, so that the next ones are read alone."""

    def __init__(self, shape: Shape, sequences: int, tokens: int, device: torch.device) -> None:
        size = (shape.layers, sequences, shape.kv_heads, tokens, shape.head_dim)
        self.keys = torch.empty(size, device=device)
        self.values = torch.empty(size, device=device)
        self.length = 0

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new tokens of a layer (S, K, new, D) behind the others, and give all of them back."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class Attention(nn.Module):
    """Grouped-query attention: each of K key-value heads serves H / K query heads."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self.qkv = nn.Linear(shape.width, (shape.heads + 2 * shape.kv_heads) * shape.head_dim, bias=False)
        self.out = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask | None, cache: Cache | None) -> Tensor:
        """Mix tokens (S, T, W); without a mask every token sees all keys."""
        rows, tokens, _ = x.shape
        turned = self.heads + self.kv_heads
        qkv = self.qkv(x).view(rows, tokens, turned + self.kv_heads, self.head_dim)
        rotated = rotate(qkv[:, :, :turned], cos, sin).transpose(1, 2)
        queries, keys = rotated[:, : self.heads], rotated[:, self.heads :]
        values = qkv[:, :, turned:].transpose(1, 2)
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
    if grouped and queries.is_cuda:  # the CUDA kernels that take a mask do not take grouped heads
        keys, values = (part.repeat_interleave(queries.shape[1] // part.shape[1], dim=1) for part in (keys, values))
        grouped = False
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=grouped)


class SwiGLU(nn.Module):
    """The feed-forward layer: silu(gate) * up, then down."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token (S, T, W) alone."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention and feed-forward, each normalised before and added after."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.attention = Attention(shape, layer)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.feed_forward = SwiGLU(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask | None, cache: Cache | None) -> Tensor:
        """Read (S, T, W) and give the same shape."""
        x = x + self.attention(self.attention_norm(x), cos, sin, mask, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Tokens in, normalised hidden states out; `output` is the matrix that turns those into logits."""

    radians: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.register_buffer("radians", torch.empty(shape.head_dim // 2), persistent=False)

    @classmethod
    def empty(cls, shape: Shape) -> Self:
        """A decoder on the CPU whose parameters are still to be filled; rotary frequencies are right."""
        with torch.device("meta"):
            model = cls(shape)
        model.to_empty(device="cpu")
        model.radians.copy_(frequencies(shape.head_dim, shape.rope_theta, shape.rope_scaling))
        return model

    @classmethod
    def fresh(cls, shape: Shape, seed: int) -> Self:
        """A decoder with random parameters, the same for a seed on every device.

        Matrices are normal with deviation 1 / sqrt(inputs), and the two that write into the residual stream smaller by
        sqrt(2 x layers) so that depth does not add variance (Radford et al. 2019). The first prediction is even: a tied
        embedding, which is also the output matrix, gets deviation 0.02; an untied one 1, and its output matrix zero.
        """
        model = cls.empty(shape)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim == 1:
                    weight.fill_(1.0)
                elif name == "head.weight":
                    weight.zero_()
                elif name == "embedding.weight":
                    weight.normal_(0.0, 0.02 if shape.tied else 1.0, generator=generator)
                else:
                    residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
                    scale = (2 * shape.layers) ** -0.5 if residual else 1.0
                    weight.normal_(0.0, scale * weight.shape[1] ** -0.5, generator=generator)
        return model

    @property
    def output(self) -> Tensor:
        """The output matrix (V, W); with tied embeddings it is the embedding."""
        return self.embedding.weight if self.head is None else self.head.weight

    def forward(self, tokens: Tensor, positions: Tensor, mask: Mask | None, cache: Cache | None = None) -> Tensor:
        """Hidden states (S, T, W) of tokens (S, T) at positions (S, T) within their documents.

        With a cache, `tokens` go on where it ends, and their keys and values are added to it.
        """
        x = self.embedding(tokens)
        cos, sin = rotations(positions, self.radians)
        for block in self.blocks:
            x = block(x, cos, sin, mask, cache)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x)  # type: ignore[no-any-return]

    def logits(self, tokens: Tensor, positions: Tensor, mask: Mask | None, cache: Cache | None = None) -> Tensor:
        """Logits (S, T, V), all at once: for generation and tests; training never holds them (training.loss)."""
        return F.linear(self(tokens, positions, mask, cache), self.output)

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(weight.numel() for weight in self.parameters())

    def flops_per_token(self) -> int:
        """Of a training step, forward and backward: 6 x matrix parameters (with the output) + 12 x layers x H x D x T.

        Chowdhery et al. 2022, appendix B; without a discount for causal or document masks, as they count.
        """
        matrices = sum(
            weight.numel()
            for name, weight in self.named_parameters()
            if weight.ndim == 2 and name != "embedding.weight"
        )
        if self.shape.tied:
            matrices += self.embedding.weight.numel()
        attention = self.shape.layers * self.shape.heads * self.shape.head_dim * self.shape.context
        return 6 * matrices + 12 * attention
