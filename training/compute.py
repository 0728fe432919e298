"""Where and how the numbers are computed: device, precision, compilation; and one pass from a batch to its losses."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.config import TrainConfig
from training.loss import linear_nll
from training.model import Decoder, document_mask
from training.packing import Batch


@dataclass(frozen=True)
class Compute:
    """The choices that a config's `auto`s come to on this machine."""

    device: torch.device
    dtype: torch.dtype
    """Of products; weights, norms, softmax and loss stay float32."""
    compiled: bool

    @classmethod
    def of(cls, config: TrainConfig) -> "Compute":
        """Resolve the settings; raises ValueError if the device is not there or cannot compute in that precision."""
        name = config.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(name)
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
            raise ValueError(f"device: '{config.device}' is not there; this machine has {_devices()}")
        gpu = device.type == "cuda"
        dtype = {"auto": torch.bfloat16 if gpu else torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}
        return cls(device, dtype[config.dtype], gpu if config.compile == "auto" else config.compile)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that forward passes run in."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def move(self, array: npt.NDArray[Any]) -> Tensor:
        """An array on the device; to a GPU it goes from pinned memory, without waiting."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def trunk(self, model: Decoder) -> Callable[..., Tensor]:
        """The model's forward pass, compiled if that was chosen; its shapes are the same at every step."""
        return torch.compile(model, dynamic=False) if self.compiled else model

    def nll(self, model: Decoder, trunk: Callable[..., Tensor], batch: Batch, rows: slice) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood over these rows of a batch: the sum, to go back from, and each target's (S, T)."""
        tokens, targets = self.move(batch.inputs[rows]), self.move(batch.targets[rows])
        positions, segments = self.move(batch.positions[rows]), self.move(batch.segments[rows])
        # flex attention skips what is masked, but is fast only when compiled, and only GPUs can train with it
        mask = document_mask(segments, blocks=self.compiled and self.device.type == "cuda")
        with self.autocast():
            return linear_nll(trunk(tokens, positions, mask), model.output, targets)


def _devices() -> str:
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)
