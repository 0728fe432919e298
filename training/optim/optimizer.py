"""The optimizer: AdamW, or Muon for the matrices of the layers; its state as named tensors for checkpoints."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from training.config import OptimizerSettings


class Optimizer:
    """Torch's own optimizers for the weights that each of them takes, used as one."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def owner(self, weight: Tensor) -> torch.optim.Optimizer:
        """The part that changes a weight."""
        return next(
            part for part in self.parts for group in part.param_groups if any(weight is p for p in group["params"])
        )

    def step(self) -> None:
        """Change all weights by their gradients."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()


def optimizer_of(model: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The optimizer that the settings name.

    Norms are not decayed, nor is the embedding, tied or not: its rows are seen at very different rates, and rare ones
    would only shrink.
    """
    matrices: list[Tensor] = []
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, weight in model.named_parameters():
        if weight.ndim != 2 or name == "embedding.weight":
            plain.append(weight)
        elif settings.use == "muon" and name.startswith("blocks."):
            matrices.append(weight)
        else:
            decayed.append(weight)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    parts: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True)
    ]
    if matrices:
        parts.append(
            torch.optim.Muon(
                matrices,
                lr=settings.lr,
                weight_decay=settings.weight_decay,
                momentum=settings.betas[1],
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return Optimizer(parts)


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's whole state as `<parameter>.<what>`: moments, and where there are any, counts of steps."""
    return {
        f"{name}.{what}": value
        for name, weight in model.named_parameters()
        for what, value in optimizer.owner(weight).state[weight].items()
    }


def restore_optimizer(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; raises KeyError if a parameter's state is not there."""
    saved: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, what = key.rpartition(".")
        saved.setdefault(name, {})[what] = value
    for name, weight in model.named_parameters():
        # the step count stays where AdamW made it: on the device for the fused kernel
        state = {what: value.to(weight.device, copy=True) for what, value in saved[name].items()}
        optimizer.owner(weight).state[weight] = state
