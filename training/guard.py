"""The guard: steps that would do harm are left out, and what they were made of is named.

Loss and gradient norm of a step are held against those of the steps before (Gemma Team 2024; OLMo 2, 2025: 6 standard
deviations over 128 steps), on the device: the optimizer gets the verdict as a tensor, and nobody waits for it. It is
made of nothing but those two numbers, so processes that share them come to the same. The price: a spike is recognised
by its whole batch, and all of that is left out.
"""

from bisect import bisect_right
from collections.abc import Mapping

import torch
from torch import Tensor

from training.config import GuardSettings
from training.order import Order

REASONS = (None, "loss", "gradient norm", "not finite")
"""What a verdict's number means; None is a step that is taken."""


class SpikeGuard:
    """Verdicts on steps; its whole memory is `tensors`."""

    def __init__(self, settings: GuardSettings, device: torch.device) -> None:
        self._settings = settings
        self._values = torch.zeros((2, settings.window or 2), device=device)
        self._count = torch.zeros((), dtype=torch.int64, device=device)

    def judge(self, loss: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """The verdict on a step with this loss and gradient norm, both 0-dim.

        Gives `skip`, a 0-dim float32 tensor that is 1 if the step is to be left out, and what to tell: (3,) float32 of
        the number of the reason and the highest loss and norm that would have passed. What is left out does not enter
        the window.
        """
        window = self._values.shape[1]
        value = torch.stack((loss.detach(), norm.detach())).float()
        deviation, mean = torch.std_mean(self._values, dim=1)
        filled = self._count >= window if self._settings.window is not None else torch.zeros_like(self._count).bool()
        limit = torch.where(filled, mean + self._settings.sigma * deviation, torch.inf)
        over = value > limit
        spike = torch.where(over[0], 1, torch.where(over[1], 2, 0))
        reason = torch.where(value.isfinite().all(), spike, 3)
        taken = reason == 0
        slot = (self._count % window).view(1)
        self._values.index_copy_(1, slot, torch.where(taken, value[:, None], self._values.index_select(1, slot)))
        self._count += taken
        return (~taken).float(), torch.cat((reason.float().view(1), limit))

    def restart(self) -> None:
        """Forget the window: what comes now is not like what was."""
        self._count.zero_()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next verdict depends on."""
        return {"values": self._values, "count": self._count}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


def jumps(order: Order) -> frozenset[int]:
    """The steps in which the mixture jumps, for there the loss does too: the guard starts anew."""
    steps = range(order.config.steps + 1)
    return frozenset(bisect_right(steps, at + 1e-12, key=order.steps.progress) - 1 for at in order.mixture.jumps)
