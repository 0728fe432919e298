"""Blocks on a CPU that keep less for the way back: what is cheap to compute again is not kept.

Autograd keeps what goes into every operation. Between the products of a block lie a norm, a turn, a gate, which cost
one pass over memory each, and together they keep more than the products do. Here each half of a block is one operation:
it keeps its input, its widest product, and what attention gave, and makes the rest again in its backward pass. That is
half of what was kept, for the same numbers up to rounding; and gradients of query, key and value are written where they
belong instead of being added up from three arrays of zeros.

It is for blocks in Llama's way (RMSNorm, SwiGLU, rotary positions, no biases) in float32; others stay as they are.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from training.linear import CpuLinear, product, weight_gradient
from training.model import Decoder, tiles
from training.model.attention import Turn
from training.model.block import Block
from training.model.cache import Cache
from training.model.feed_forward import SwiGLU
from training.model.mask import Mask
from training.model.tiles import Tiles


class LeanBlock(Block):
    """A block of float32 on a CPU; its parameters and their names are those of `Block`."""

    def forward(self, x: Tensor, turn: Turn | None, mask: Mask | None, cache: Cache | None) -> Tensor:
        """Read (S, T, W) and give the same shape."""
        if turn is None or cache is not None or not isinstance(mask, Tiles) or x.dtype != torch.float32:
            return super().forward(x, turn, mask, cache)
        attention, layer = self.attention, cast(SwiGLU, self.feed_forward)
        norm, after = cast(nn.RMSNorm, self.attention_norm), cast(nn.RMSNorm, self.feed_forward_norm)
        heads = attention.heads, attention.kv_heads
        mixed = _apply(_Attended, x, norm.weight, norm.eps, attention.qkv.weight, *turn, *mask, heads)
        x = x + attention.out(mixed)
        return x + _apply(_FedForward, x, after.weight, after.eps, layer.gate_up.weight, layer.down.weight)


def use_lean(model: Decoder) -> int:
    """Let the blocks of a model whose linear layers ask oneDNN keep less, and say how many do."""
    found = [block for block in model.blocks if _leaves(block)] if tiles.AVAILABLE else []
    for block in found:
        block.__class__ = LeanBlock
    return len(found)


def _leaves(block: nn.Module) -> bool:
    linear = [module for module in block.modules() if isinstance(module, nn.Linear)]
    return (
        isinstance(block, Block)
        and isinstance(block.attention_norm, nn.RMSNorm)
        and isinstance(block.feed_forward, SwiGLU)
        and block.attention.query_norm is None
        and all(isinstance(module, CpuLinear) and module.bias is None for module in linear)
    )


def _apply(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    return cast(Tensor, cast(Any, function).apply(*inputs))


class _Attended(torch.autograd.Function):
    """norm, query-key-value, turn and attention: (S, T, W) to (S, T, H D), heads side by side."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        eps: float,
        weight: Tensor,
        cos: Tensor,
        sin: Tensor,
        bias: Tensor,
        first: Tensor,
        heads: tuple[int, int],
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        normed, inverse = _normed(flat, scale, eps)
        qkv = product(normed, weight).view(*x.shape[:2], heads[0] + 2 * heads[1], -1)
        _turn(qkv[:, :, : sum(heads)], cos, sin)
        out, logsumexp = tiles.mixed(*_parted(qkv, heads), bias, first)
        ctx.save_for_backward(flat, inverse, scale, weight, cos, sin, bias, first, qkv, out, logsumexp)
        ctx.heads = heads
        return out.transpose(1, 2).reshape(*x.shape[:2], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, inverse, scale, weight, cos, sin, bias, first, qkv, out, logsumexp = ctx.saved_tensors
        gradient = gradient.reshape(*qkv.shape[:2], ctx.heads[0], -1).transpose(1, 2)
        into = torch.empty_like(qkv)
        told = gradient, *_parted(qkv, ctx.heads), bias, first, out, logsumexp
        tiles.write_gradients(*told, _parted(into, ctx.heads))
        _turn(into[:, :, : sum(ctx.heads)], cos, -sin)
        of_x, of_scale, of_weight = _through_norm(into.view(len(flat), -1), flat, inverse, scale, weight)
        return of_x.view(*qkv.shape[:2], -1), of_scale, None, of_weight, None, None, None, None, None


class _FedForward(torch.autograd.Function):
    """norm, gate and up, their product, down: (S, T, W) to the same shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, eps: float, gate_up: Tensor, down: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        normed, inverse = _normed(flat, scale, eps)
        inner = product(normed, gate_up)
        gate, up = inner.chunk(2, dim=-1)
        ctx.save_for_backward(flat, inverse, scale, gate_up, down, inner)
        return product(F.silu(gate).mul_(up), down).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, inverse, scale, gate_up, down, inner = ctx.saved_tensors
        shape, gradient = gradient.shape, gradient.reshape(flat.shape[0], -1)
        gate, up = inner.chunk(2, dim=-1)
        silu = F.silu(gate)
        of_down = weight_gradient(gradient, silu * up)
        of_gated = product(gradient, down.T)
        into = torch.empty_like(inner)
        of_gate, of_up = into.chunk(2, dim=-1)
        torch.mul(of_gated, silu, out=of_up)
        torch.ops.aten.silu_backward.grad_input(of_gated.mul_(up), gate, grad_input=of_gate)
        of_x, of_scale, of_gate_up = _through_norm(into, flat, inverse, scale, gate_up)
        return of_x.view(shape), of_scale, None, of_gate_up, of_down


def _normed(x: Tensor, scale: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """RMSNorm of x (N, W), and one over each row's root mean square (N, 1)."""
    inverse = torch.linalg.vector_norm(x, dim=1, keepdim=True).square_().div_(x.shape[1]).add_(eps).rsqrt_()
    return (x * inverse).mul_(scale), inverse


def _through_norm(
    gradient: Tensor, x: Tensor, inverse: Tensor, scale: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of norm(x) @ weight.T: gradients of x, of the norm's scale and of the weight."""
    unit = x * inverse
    of_weight = weight_gradient(gradient, unit * scale)
    of_normed = product(gradient, weight.T)
    of_scale = torch.linalg.vecdot(of_normed, unit, dim=0)
    of_unit = of_normed.mul_(scale)
    along = torch.linalg.vecdot(of_unit, unit, dim=1)[:, None].div_(x.shape[1])
    return of_unit.addcmul_(unit, along, value=-1).mul_(inverse), of_scale, of_weight


def _parted(qkv: Tensor, heads: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (S, H, T, D), keys and values (S, K, T, D) of (S, T, H + 2 K, D), without a copy."""
    parts = torch.split(qkv, [heads[0], heads[1], heads[1]], dim=2)
    return parts[0].transpose(1, 2), parts[1].transpose(1, 2), parts[2].transpose(1, 2)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """`rope.rotate` in place."""
    first, second = x.chunk(2, dim=-1)
    turned = (first * cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).addcmul_(first, sin)
    first.copy_(turned)
