"""The cache of generation: keys and values of the tokens read so far, so that the next ones are read alone."""

import torch
from torch import Tensor

from training.model.shape import Shape


class Cache:
    """Keys and values of up to `tokens` tokens of some sequences, in the precision that the model computes in."""

    def __init__(self, shape: Shape, sequences: int, tokens: int, device: torch.device) -> None:
        self._size = (shape.layers, sequences, shape.kv_heads, tokens, shape.head_dim)
        self._device = device
        self._window = shape.window
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self.length = 0

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new tokens of a layer (S, K, new, D) behind the others, and give back all that one can look at.

        A single new token looks back as far as the model's window goes; where there are several, a mask says that.
        """
        if self._keys is None or self._values is None:
            self._keys = torch.empty(self._size, device=self._device, dtype=keys.dtype)
            self._values = torch.empty_like(self._keys)
        new = keys.shape[2]
        end = self.length + new
        self._keys[layer, :, :, self.length : end] = keys
        self._values[layer, :, :, self.length : end] = values
        start = max(end - self._window, 0) if self._window is not None and new == 1 else 0
        return self._keys[layer, :, :, start:end], self._values[layer, :, :, start:end]
