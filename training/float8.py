"""Products of large matrices in 8-bit floats, twice as fast on GPUs that have them, with weights and results as before.

Tensorwise dynamic scaling (Micikevicius et al. 2022, "FP8 formats for deep learning", with the scale of the moment
instead of a history): a tensor is divided by its largest value over the largest that the format has, rounded to e4m3
(values) or e5m2 (gradients, which need range more than precision), and products are multiplied by the scales again,
summed in float32. Weights stay what they are, so checkpoints and optimizers do not know of it; inputs and weights are
kept for the backward pass in 8 bits. The price is one pass over each operand for its largest value, which only large
products earn back.
"""

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.configfile import Problem

VALUES, GRADIENTS = torch.float8_e4m3fn, torch.float8_e5m2
MULTIPLE = 16
"""Every dimension of a product has to be a multiple of it."""
CAPABILITY = (8, 9)
"""Of NVIDIA GPUs that have 8-bit floats: Ada, Hopper and what came after."""
PARAMETERS, WIDTH = 900_000_000, 2048
"""From where on it pays. Published for H100s: 16 % more tokens a second at 1 billion parameters and 30 % at 7 billion
(OLMo-core, README), 28 % at 8 billion (torchtitan), 17 % at 26 layers and fewer tokens at 12 layers of 768 (nanochat,
which also found scales by row slower than bfloat16 where scales by tensor were faster)."""


def refused(setting: bool | Literal["auto"], device: torch.device, dtype: torch.dtype) -> list[Problem]:
    """Say why `float8: true` is not possible here; `auto` is always possible, and off where nothing else is."""
    why = _why_not(device, dtype)
    return [Problem(("float8",), f"{why}; leave it out, or say auto")] if setting is True and why is not None else []


def _why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    if device.type != "cuda":
        return f"device '{device}' has no fast products of 8-bit floats"
    if torch.cuda.get_device_capability(device) < CAPABILITY:
        major, minor = torch.cuda.get_device_capability(device)
        return (
            f"{torch.cuda.get_device_name(device)} has no 8-bit floats: its compute capability is {major}.{minor}, and "
            f"they came with {CAPABILITY[0]}.{CAPABILITY[1]}"
        )
    if dtype != torch.bfloat16:
        return f"results are bfloat16, and dtype is {str(dtype).removeprefix('torch.')}"
    return None


def use_float8(model: nn.Module, setting: bool | Literal["auto"], device: torch.device, dtype: torch.dtype) -> int:
    """Let linear layers inside the model's blocks compute in 8-bit floats, and say how many do.

    With `auto` all or none: those of a model and on a device where it pays. Embeddings and output stay as they are.
    """
    if setting is False or _why_not(device, dtype) is not None:
        return 0
    linears = [
        module
        for name, module in model.named_modules()
        if name.startswith("blocks.")
        and type(module) is nn.Linear
        and not any(n % MULTIPLE for n in module.weight.shape)
    ]
    width = max((module.in_features for module in linears), default=0)
    size = sum(weight.numel() for weight in model.parameters())
    if setting == "auto" and (size < PARAMETERS or width < WIDTH):
        return 0
    for module in linears:
        module.__class__ = Float8Linear
    return len(linears)


def rounded(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A tensor in 8 bits, and the scale (a float32 scalar) that gives it back: x is about 8 bits x scale."""
    largest = torch.finfo(dtype).max
    scale = (x.abs().amax().float() / largest).clamp(min=torch.finfo(torch.float32).tiny)
    return (x.float() / scale).clamp(-largest, largest).to(dtype), scale


def _product(a: Tensor, b: Tensor, scales: tuple[Tensor, Tensor], dtype: torch.dtype, fast: bool) -> Tensor:
    """a (N, K) @ b (M, K).T, both in rows: what the tensor cores want is a transposed second factor."""
    return torch._scaled_mm(
        a, b.t(), scale_a=scales[0], scale_b=scales[1], out_dtype=dtype, use_fast_accum=fast and a.is_cuda
    )


class _Float8Product(torch.autograd.Function):
    """x (N, I) @ weight (O, I).T with each of its three products in 8 bits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        (x8, x_scale), (weight8, weight_scale) = rounded(x, VALUES), rounded(weight, VALUES)
        ctx.save_for_backward(x8, x_scale, weight8, weight_scale)
        ctx.dtype = weight.dtype
        return _product(x8, weight8, (x_scale, weight_scale), x.dtype, fast=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x8, x_scale, weight8, weight_scale = ctx.saved_tensors
        error8, scale = rounded(gradient, GRADIENTS)
        # exact sums in the backward pass: errors of gradients add up over steps
        into_x = _product(error8, weight8.t().contiguous(), (scale, weight_scale), gradient.dtype, fast=False)
        turned = error8.t().contiguous(), x8.t().contiguous()
        return into_x, _product(*turned, (scale, x_scale), ctx.dtype, fast=False)


class Float8Linear(nn.Linear):
    """A linear layer whose products are in 8 bits; its parameters and their names are those of `nn.Linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x (..., I): (..., O). As before where there is not a multiple of 16 of inputs."""
        rows = x.numel() // x.shape[-1]
        if rows % MULTIPLE or not rows:
            return super().forward(x)
        out = cast(Tensor, cast(Any, _Float8Product).apply(x.reshape(rows, -1), self.weight))
        out = out.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias
