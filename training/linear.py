"""Matrix products on a CPU through oneDNN, the same float32 results up to rounding, for the loss and for linear layers.

torch hands float32 products to the BLAS that it was built with. Its builds for x86 have MKL, which holds back on other
makers' processors: on two cores of an AMD EPYC with AVX-512 it comes to 190 GFLOP/s where oneDNN, which torch has too,
comes to 310 to 490. oneDNN is asked by the operator that torch.compile uses for it; where there is none, nothing
changes. The price is an operator that torch calls internal: it is looked up once, and its absence is not an error.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_ONEDNN: Any = None
if torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
    _ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


# torch.compile takes oneDNN's operator where weights are constants only; one of our own it leaves as it is.
_LIBRARY: Any = cast(Any, torch.library.Library)("gristmill", "DEF")
_LIBRARY.define("product(Tensor x, Tensor weight) -> Tensor")
_LIBRARY.impl("product", lambda x, weight: _ONEDNN(x, weight, None, "none", [], ""), "CPU")
_LIBRARY.impl("product", lambda x, weight: x.new_empty(x.shape[0], weight.shape[0]), "Meta")


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x (N, I) @ weight (O, I).T, without gradients. A transposed `weight` costs nothing, a transposed `x` a copy."""
    if _ONEDNN is None or x.dtype != torch.float32 or x.device.type != "cpu":
        return F.linear(x, weight)
    return cast(Tensor, torch.ops.gristmill.product(x, weight))


def product_added(x: Tensor, weight: Tensor, to: Tensor) -> Tensor:
    """`to` (N, O) + x (N, I) @ weight (O, I).T in the dtype of `to`, whose memory the answer may take; no gradients."""
    if _ONEDNN is None or x.dtype != torch.float32 or x.device.type != "cpu":
        return to.add_(F.linear(x, weight))
    return cast(Tensor, _ONEDNN.binary(x, to, weight, None, "add"))


def weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient (O, I) of a weight, from that of the answers (N, O) and what it was applied to (N, I)."""
    if x.shape[1] <= gradient.shape[1]:  # the narrower of the two is the one to copy
        return product(x.T, gradient.T).T
    return product(gradient.T, x.T)


class _Product(torch.autograd.Function):
    """`product` with its gradients, which are products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        into_x, into_weight = ctx.needs_input_grad
        of_weight = weight_gradient(gradient, x) if into_weight else None
        return product(gradient, weight.T) if into_x else None, of_weight


class CpuLinear(nn.Linear):
    """A linear layer that asks oneDNN; its parameters and their names are those of `nn.Linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x (..., I): (..., O)."""
        if x.dtype != torch.float32 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        out = cast(Tensor, cast(Any, _Product).apply(x.reshape(-1, x.shape[-1]), self.weight))
        out = out.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias


def use_onednn(model: nn.Module) -> int:
    """Let the linear layers of a model ask oneDNN where there is one, and say how many do; weights are not touched."""
    found = [module for module in model.modules() if type(module) is nn.Linear] if _ONEDNN is not None else []
    for module in found:
        module.__class__ = CpuLinear
    return len(found)
