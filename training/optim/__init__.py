"""How weights change by their gradients."""

from training.optim.optimizer import Optimizer, optimizer_of, optimizer_tensors, restore_optimizer

__all__ = ["Optimizer", "optimizer_of", "optimizer_tensors", "restore_optimizer"]
