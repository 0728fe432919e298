"""The optimizer: AdamW (Loshchilov and Hutter 2019), and its state as named tensors for checkpoints."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.config import OptimizerSettings


def adamw(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW in one fused kernel, with weight decay on the matrices of the layers and on an untied output matrix.

    Norms are not decayed, nor is the embedding, tied or not: its rows are seen at very different rates, and rare ones
    would only shrink.
    """
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, weight in model.named_parameters():
        (decayed if weight.ndim == 2 and name != "embedding.weight" else plain).append(weight)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's whole state as `<parameter>.<what>`: moments and the count of steps."""
    return {
        f"{name}.{what}": value
        for name, weight in model.named_parameters()
        for what, value in optimizer.state[weight].items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; raises KeyError if a parameter's state is not there."""
    for name, weight in model.named_parameters():
        # the step count stays where AdamW made it: on the device for the fused kernel
        optimizer.state[weight] = {
            what: tensors[f"{name}.{what}"].to(weight.device, copy=True) for what in ("step", "exp_avg", "exp_avg_sq")
        }
