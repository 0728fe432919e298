"""The loss: negative log-likelihood of each target in float32, without ever holding all logits.

Logits of a whole batch are the largest tensor of a language model (tokens x vocabulary). Here the output matrix is
applied to a chunk of tokens at a time, and the chunk's gradient is taken at once, while its logits are still in cache:
three matrix products a chunk, the same as the plain way, and no second forward pass.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100
"""A target without loss: padding, and what follows the last token of a document."""

CHUNK = {"cpu": 512}
"""Tokens a chunk by kind of device: on a CPU what stays in cache; elsewhere OTHER_CHUNK, large enough to fill it."""
OTHER_CHUNK = 4096


def linear_nll(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood, in nats, of `targets` (S, T) under softmax(hidden (S, T, W) @ weight (V, W).T).

    Gives the sum over all targets (a float32 scalar that gradients flow from) and, detached, the value of each target
    (S, T), zero where it is IGNORED. Under autocast the products are in its dtype, everything else in float32.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    total, each = cast(Any, _LinearNll).apply(hidden.reshape(-1, hidden.shape[-1]), weight, targets.reshape(-1), dtype)
    return total, each.view(targets.shape)


class _LinearNll(torch.autograd.Function):
    """Forward finds the gradient too, for an upstream gradient of one; backward only scales it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad)
        counted = targets != IGNORED
        columns = targets.clamp(min=0)
        matrix = weight.to(dtype)
        each = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden) if wanted else None
        weight_gradient = torch.zeros_like(weight) if wanted else None
        size = CHUNK.get(hidden.device.type, OTHER_CHUNK)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(targets), size):
                rows = slice(start, start + size)
                inputs, column = hidden[rows].to(dtype), columns[rows, None]
                log_probabilities = torch.log_softmax(inputs @ matrix.T, dim=-1, dtype=torch.float32)
                each[rows] = -log_probabilities.gather(1, column)[:, 0]
                if hidden_gradient is not None and weight_gradient is not None:
                    # softmax - one-hot; rows without loss are struck out of the narrow factors, not of this wide one
                    error = log_probabilities.exp_()
                    error.scatter_add_(1, column, torch.full_like(column, -1, dtype=torch.float32))
                    error, kept = error.to(dtype), counted[rows, None]
                    hidden_gradient[rows] = (error @ matrix) * kept
                    if dtype == weight_gradient.dtype:
                        weight_gradient.addmm_(error.T, inputs * kept)
                    else:
                        weight_gradient += error.T @ (inputs * kept)
        each *= counted
        if wanted:
            ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.mark_non_differentiable(each)
        return each.sum(), each

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total: Tensor, _each: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * total, weight_gradient * total, None, None
