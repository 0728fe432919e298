"""The loss: negative log-likelihood of each target in float32, without ever holding all logits.

Logits of a whole batch are the largest tensor of a language model (tokens x vocabulary). Here the output matrix is
applied to a chunk of tokens at a time, and the chunk's gradient is taken at once: three matrix products a chunk, the
same as the plain way, and no second forward pass. The price is that the gradient is found in the forward pass.

On a CPU a chunk is further cut along the vocabulary into tiles that stay in cache, tokens without a target are left
out before anything is computed, and products are oneDNN's (training.linear). On a GPU the softmax and its gradient are
one compiled kernel over the chunk, and nothing waits for the device.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from training.linear import product, product_added

IGNORED = -100
"""A target without loss: padding, and what follows the last token of a document."""

CHUNK = 256
"""Tokens of a chunk on a CPU: more only take memory (measured from 256 to 2048)."""
TILE = 1024
"""Rows of the output matrix of a tile on a CPU: with CHUNK tokens 1 MB of logits."""
CHUNK_LOGITS = 2**28
"""Logits of a chunk elsewhere, at most: half a gigabyte in bfloat16, enough to fill a GPU."""


def linear_nll(
    hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float = 0.0, compiled: bool | None = None
) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood, in nats, of `targets` (S, T) under softmax(hidden (S, T, W) @ weight (V, W).T).

    Gives the sum over all targets (a float32 scalar that gradients flow from), and, detached, the value of each target
    (S, T), zero where it is IGNORED. The sum, not the values, has `z_loss` x log(Z)^2 of each target added, which keeps
    the normaliser Z near one (Chowdhery et al. 2022, section 5). Under autocast the products are in its dtype; softmax,
    loss and the sums of the weight's gradient over chunks are float32 always (float64 where `hidden` is).
    `compiled` is whether chunks go through torch.compile; None does so on CUDA. On a CPU it makes no difference.
    Raises IndexError, on a CPU, for a target outside the vocabulary.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    if compiled is None:
        compiled = kind == "cuda"
    apply = cast(Any, _LinearNll).apply
    total, each = apply(hidden.reshape(-1, hidden.shape[-1]), weight, targets.reshape(-1), dtype, z_loss, compiled)
    return total, each.view(targets.shape)


class _LinearNll(torch.autograd.Function):
    """Forward finds the gradient too, for an upstream gradient of one; backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype, z_loss: float, compiled: bool
    ) -> tuple[Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad)
        with torch.autocast(hidden.device.type, enabled=False):
            matrix = weight.to(dtype)
            if hidden.device.type == "cpu":
                losses, each, gradients = _on_cpu(hidden, matrix, targets, z_loss, wanted)
            else:
                losses, each, gradients = _by_chunks(hidden, matrix, targets, z_loss, wanted, compiled)
        if gradients is not None:
            ctx.save_for_backward(gradients[0], *gradients[1])
            ctx.dtypes = hidden.dtype, weight.dtype
        ctx.mark_non_differentiable(each)
        return losses.sum(), each

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total: Tensor, _each: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        (hidden_gradient, *parts), (of_hidden, of_weight) = ctx.saved_tensors, ctx.dtypes
        rows = [part.shape[1] for part in parts]
        weight_gradient = parts[0].new_empty(sum(rows), len(parts[0]))
        for part, place in zip(parts, torch.split(weight_gradient, rows), strict=True):
            torch.mul(part.T, total, out=place)
        return (hidden_gradient * total).to(of_hidden), weight_gradient.to(of_weight), None, None, None, None


Found = tuple[Tensor, Tensor, tuple[Tensor, Sequence[Tensor]] | None]
"""Of each token what counts into the sum and its plain value; the gradient of the hidden states and, as the transposed
parts (W, n) that it comes in, that of the matrix, if they are wanted."""


def _by_chunks(hidden: Tensor, matrix: Tensor, targets: Tensor, z_loss: float, wanted: bool, compiled: bool) -> Found:
    """A chunk of tokens against the whole matrix: few large products, and no answer of the device is waited for."""
    most = 1 << max((CHUNK_LOGITS // len(matrix)).bit_length() - 1, 0)
    size = min(most, 1 << max(len(targets) - 1, 0).bit_length())  # powers of two: few shapes to compile
    error_of = _compiled_error() if compiled else _error
    float_dtype = torch.promote_types(matrix.dtype, torch.float32)
    losses, each = torch.empty((2, len(targets)), dtype=float_dtype, device=hidden.device)
    hidden_gradient = torch.empty_like(hidden, dtype=matrix.dtype) if wanted else None
    weight_gradient = torch.zeros_like(matrix, dtype=float_dtype) if wanted else None
    for start in range(0, len(targets), size):
        rows = slice(start, start + size)
        inputs, columns = hidden[rows].to(matrix.dtype), targets[rows]
        filled = len(columns)
        if filled < size and compiled:  # one shape for all chunks, so that one kernel is compiled
            inputs = F.pad(inputs, (0, 0, 0, size - filled))
            columns = F.pad(columns, (0, size - filled), value=IGNORED)
        loss, nll, error = error_of(inputs @ matrix.T, columns, z_loss)
        losses[rows], each[rows] = loss[:filled], nll[:filled]
        if hidden_gradient is not None and weight_gradient is not None:
            hidden_gradient[rows] = (error @ matrix)[:filled]
            if error.dtype == float_dtype:
                weight_gradient.addmm_(error.T, inputs)
            else:
                weight_gradient += error.T @ inputs
    if hidden_gradient is None or weight_gradient is None:
        return losses, each, None
    return losses, each, (hidden_gradient, [weight_gradient.T])


def _error(logits: Tensor, targets: Tensor, z_loss: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row of logits its part of the sum, its plain value, and, in their dtype, the gradient of its part."""
    counted = targets != IGNORED
    column = targets.clamp(min=0)[:, None]
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    normaliser = wide.logsumexp(1, keepdim=True)
    nll = (normaliser - wide.gather(1, column))[:, 0]
    probability = (wide - normaliser).exp()
    if z_loss:
        probability = probability * (1 + 2 * z_loss * normaliser)
    hit = torch.arange(logits.shape[1], device=logits.device) == column
    error = torch.where(counted[:, None], probability - hit.to(wide.dtype), 0)
    loss = nll + z_loss * normaliser[:, 0] ** 2 if z_loss else nll
    return torch.where(counted, loss, 0), torch.where(counted, nll, 0), error.to(logits.dtype)


@cache
def _compiled_error() -> Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor]]:
    return torch.compile(_error, dynamic=False)


def _on_cpu(hidden: Tensor, matrix: Tensor, targets: Tensor, z_loss: float, wanted: bool) -> Found:
    """Tiles of a chunk of tokens and a part of the vocabulary: what is done to logits is done in cache."""
    counted = torch.nonzero(targets != IGNORED)[:, 0]
    some = len(counted) < len(targets)
    inputs, columns = (hidden[counted], targets[counted]) if some else (hidden, targets)
    float_dtype = torch.promote_types(matrix.dtype, torch.float32)
    if not len(columns):
        losses, each = torch.zeros((2, len(targets)), dtype=float_dtype)
        return losses, each, (torch.zeros_like(hidden), [torch.zeros_like(matrix).T]) if wanted else None
    if columns.min() < 0 or columns.max() >= len(matrix):
        raise IndexError(f"a target is not within the vocabulary of {len(matrix)}")
    tiles = _Tiles(matrix, float_dtype, z_loss, wanted)
    found = [tiles.chunk(*rows) for rows in zip(torch.split(inputs, CHUNK), torch.split(columns, CHUNK), strict=True)]
    losses, each, gradients = (torch.cat(parts) for parts in zip(*found, strict=True))
    if some:
        losses, each, gradients = (
            part.new_zeros(len(targets), *part.shape[1:]).index_copy_(0, counted, part)
            for part in (losses, each, gradients)
        )
    return losses, each, (gradients, tiles.gradients) if wanted else None


class _Tiles:
    """The output matrix as tiles, and its gradient as it grows."""

    def __init__(self, matrix: Tensor, float_dtype: torch.dtype, z_loss: float, wanted: bool) -> None:
        self.matrix, self.float_dtype, self.z_loss, self.wanted = matrix, float_dtype, z_loss, wanted
        self.parts = torch.split(matrix, TILE)
        self.gradients: list[Tensor] = []
        """That of each tile, transposed, in float32, over the chunks so far."""

    def chunk(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each token (N, W) its part of the sum, its plain value, and its gradient (none if it is not wanted)."""
        inputs, column = inputs.to(self.matrix.dtype), targets[:, None]
        places = [_place(column - i * TILE, len(part)) for i, part in enumerate(self.parts)]
        logits = [product(inputs, part).to(self.float_dtype) for part in self.parts]
        hit = torch.zeros_like(column, dtype=self.float_dtype)
        for tile, (inside, place) in zip(logits, places, strict=True):
            hit += torch.where(inside, tile.gather(1, place), 0)
        highest = torch.stack([tile.amax(1) for tile in logits]).amax(0)[:, None]
        total = torch.zeros_like(hit)
        for tile in logits:  # from here on a tile holds exp(logit - highest)
            total += tile.sub_(highest).exp_().sum(1, keepdim=True)
        normaliser = total.log() + highest
        nll = normaliser - hit
        loss = nll + self.z_loss * normaliser**2 if self.z_loss else nll
        if not self.wanted:
            return loss[:, 0], nll[:, 0], inputs[:, :0]
        # The gradient of logits is tile / total - one-hot; the division is done to the narrow factors, not to tiles.
        gradient = torch.zeros_like(inputs, dtype=self.float_dtype)
        turned = (inputs / total).T.to(self.matrix.dtype).contiguous()
        for i, (part, (inside, place)) in enumerate(zip(self.parts, places, strict=True)):
            tile = logits.pop(0)  # its memory is free for what comes
            if self.z_loss:
                tile *= 1 + 2 * self.z_loss * normaliser
            error = tile.scatter_add_(1, place, torch.where(inside, -total, 0)).to(self.matrix.dtype)
            gradient += product(error, part.T)
            if i == len(self.gradients):
                self.gradients.append(product(turned, error.T).to(self.float_dtype))
            else:
                self.gradients[i] = product_added(turned, error.T, self.gradients[i])
        return loss[:, 0], nll[:, 0], gradient / total


def _place(column: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Whether each column lies within a tile of `size`, and the column in it (some column, where it does not)."""
    return (column >= 0) & (column < size), column.clamp(0, size - 1)
