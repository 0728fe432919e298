"""The optimizer of a run: one or two of torch's used as one, steps that can be left out, and float32 masters.

All state is there from the start, as named tensors: a checkpoint is whole after any step, also after one that was left
out, and what a run needs of memory shows before its first step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Optimizer:
    """Torch's own optimizers for the weights that each of them takes, used as one."""

    def __init__(
        self,
        parts: Sequence[torch.optim.Optimizer],
        learned: Mapping[str, Tensor],
        rounded: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.learned = dict(learned)
        """What the rules change, by the name of the parameter, and whose `grad` they read: clip these."""
        self._rounded = None if rounded is None else list(rounded.values())
        self._owners = {id(w): part for part in parts for group in part.param_groups for w in group["params"]}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def owner(self, learned: Tensor) -> torch.optim.Optimizer:
        """The part that changes one of `learned`."""
        return self._owners[id(learned)]

    def masters(self) -> dict[str, Tensor] | None:
        """The float32 weights by name, for checkpoints, if those of the model are only their rounding."""
        return None if self._rounded is None else self.learned

    @torch.no_grad()
    def step(self, skip: Tensor | None = None) -> None:
        """Change all weights by their gradients.

        `skip` is a 0-dim float32 tensor on the device of the weights. Where it is 1, weights and state stay bit for bit
        what they were, counts of steps too, whatever the gradients are. Fused kernels read it on the device; for what
        has none (rmsprop, and adagrad outside of a CPU) the host waits for it.
        """
        for part in self.parts:
            if skip is None:
                part.step()
            elif getattr(part, "_step_supports_amp_scaling", False):  # torch's own name for this
                part.found_inf = skip  # type: ignore[attr-defined]
                part.step()
                part.found_inf = None  # type: ignore[attr-defined]
            elif not skip.item():
                part.step()
        if self._rounded is not None:
            torch._foreach_copy_(self._rounded, list(self.learned.values()))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all groups; where it is a tensor, in place, so that nothing is compiled again."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def masters_of(weights: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Float32 masters of weights, which become bfloat16; what backward passes give is added up in the masters' `grad`.

    So gradients of many micro batches are not added in eight bits of mantissa either.
    """
    masters = {name: weight.detach().float() for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.data = masters[name].bfloat16()
        weight.register_post_accumulate_grad_hook(_collector(masters[name]))  # type: ignore[no-untyped-call]
    return masters


def _collector(master: Tensor) -> Callable[[Tensor], None]:
    """The hook that moves a weight's gradient to its master."""

    def collect(weight: Tensor) -> None:
        assert weight.grad is not None
        if master.grad is None:
            master.grad = weight.grad.float()
        else:
            master.grad += weight.grad
        weight.grad = None

    return collect


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's whole state as `<parameter>.<what>`: moments, and where there are any, counts of steps."""
    return {
        f"{name}.{what}": value
        for name, _ in model.named_parameters()
        for what, value in optimizer.owner(optimizer.learned[name]).state[optimizer.learned[name]].items()
    }


def restore_optimizer(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; raises KeyError if that is not the state of such an optimizer."""
    own = optimizer_tensors(model, optimizer)
    if own.keys() != tensors.keys():
        differing = sorted(own.keys() ^ tensors.keys())
        raise KeyError(f"the state is another optimizer's: {', '.join(differing[:3])} is in one of the two only")
    for key, value in own.items():
        value.copy_(tensors[key])
