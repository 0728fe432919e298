"""Muon: the momentum of a matrix, made orthogonal, is its step (Jordan et al. 2024).

torch.optim.Muon computes one matrix after the other, always in bfloat16, and can leave a step out only if the host
waits for the device. Here the matrices of one shape are one batch of products, in bfloat16 where the device is made for
it, and in full precision elsewhere and for float64; a test holds the two against each other.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose iteration Jordan et al. chose to be steep at 0: singular values end between 0.7 and 1.2."""
_SMALLEST = 1e-7
_MOST = 2**26
"""Numbers in one batch, so that its copies stay small beside the model."""


class Muon(torch.optim.Optimizer):
    """Muon for matrices, with steps as long as AdamW's: 0.2 sqrt(max(rows, columns)) (Liu et al. 2025).

    `found_inf`, where it is set, is a 0-dim tensor as for torch's fused kernels: 1 leaves weights and state unchanged.
    """

    found_inf: Tensor | None = None
    _step_supports_amp_scaling = True

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        momentum: float,
        nesterov: bool,
        iterations: int,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": 0.0, "momentum": momentum, "nesterov": nesterov}
        super().__init__(groups, {**defaults, "iterations": iterations})
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for batch in _batches(weights):
                self._change(batch, group)

    def _change(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Change weights of one shape."""
        rate, momentum = group["lr"], group["momentum"]
        gradients: list[Any] = [weight.grad for weight in weights]
        means = [self.state[weight]["momentum_buffer"] for weight in weights]
        fresh: float | Tensor = 1.0 - momentum
        if self.found_inf is not None:
            # Rates of 0 change nothing; the gradients are no part of it, for 0 x NaN is NaN.
            keep = (1.0 - self.found_inf).to(weights[0].dtype)
            gradients = [torch.where(keep > 0, gradient, 0.0) for gradient in gradients]
            rate, fresh = rate * keep, fresh * keep
        for mean, gradient in zip(means, gradients, strict=True):
            mean.lerp_(gradient, fresh)
        steps = torch._foreach_lerp(gradients, means, momentum) if group["nesterov"] else means
        rows, columns = weights[0].shape
        length = 0.2 * math.sqrt(max(rows, columns))
        changes = orthogonal(torch.stack(list(steps)), group["iterations"]).to(weights[0].dtype)
        torch._foreach_mul_(weights, 1.0 - rate * group["weight_decay"])
        torch._foreach_sub_(weights, list((changes * (rate * length)).unbind()))


def _batches(weights: list[Tensor]) -> Iterator[list[Tensor]]:
    """The weights by shape, in batches that are not too large."""
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        by_shape.setdefault(weight.shape, []).append(weight)
    for shape, alike in by_shape.items():
        size = max(_MOST // shape.numel(), 1)
        for first in range(0, len(alike), size):
            yield alike[first : first + size]


def orthogonal(matrices: Tensor, iterations: int) -> Tensor:
    """Matrices (N, rows, columns) with the same singular vectors, and singular values near 1.

    Newton and Schulz's iteration with the quintic a x + b x^3 + c x^5, from singular values of at most 1.
    """
    a, b, c = COEFFICIENTS
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x: Tensor = wide / torch.linalg.matrix_norm(wide, keepdim=True).clamp(min=_SMALLEST)
    if x.dtype == torch.float32 and fast_bfloat16(x.device.type):
        x = x.bfloat16()
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if wide is not matrices else x


@cache
def fast_bfloat16(device: str) -> bool:
    """Whether products in bfloat16, which is enough for this iteration (Jordan et al. 2024), are faster on a device."""
    if device == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
