"""How weights change by their gradients."""

from training.optim.optimizer import Optimizer, optimizer_tensors, restore_optimizer, set_rate
from training.optim.rules import optimizer_of

__all__ = ["Optimizer", "optimizer_of", "optimizer_tensors", "restore_optimizer", "set_rate"]
