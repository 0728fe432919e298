"""Where and how the numbers are computed: device, precision, compilation; and one pass from a batch to its losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.config import TrainConfig
from training.float8 import use_float8
from training.lean import use_lean
from training.linear import use_onednn
from training.loss import linear_nll
from training.model import Decoder, attention_mask
from training.packing import Batch


class Staged(NamedTuple):
    """A batch as tensors on the host, from where a GPU can fetch it by itself; each (S, T)."""

    inputs: Tensor
    targets: Tensor
    segments: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Compute:
    """The choices that a config's `auto`s come to on this machine."""

    device: torch.device
    dtype: torch.dtype
    """Of weights and products; norms, softmax and loss are computed in float32."""
    compile: bool | str
    """`model`, `block` or False."""
    recompute: bool
    float8: bool | Literal["auto"] = False
    z_loss: float = 0.0

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
        compile_: bool | str = "model" if config.compile is True else config.compile
        if compile_ == "auto":
            compile_ = "model" if gpu else False
        return cls(device, dtype[config.dtype], compile_, config.recompute, config.float8, config.z_loss)

    @property
    def compiled(self) -> bool:
        """Whether shapes should stay the same, for each new one is compiled anew."""
        return self.compile is not False

    @property
    def lag(self) -> int:
        """Steps that may be under way while the host goes on: it never waits for the one that it just began."""
        return 1 if self.device.type == "cuda" else 0

    def move(self, array: npt.NDArray[Any]) -> Tensor:
        """An array on the device; to a GPU it goes from pinned memory, without waiting."""
        return self._pinned(array).to(self.device, non_blocking=True)

    def staged(self, batch: Batch) -> Staged:
        """A batch ready to be fetched: pinning takes time, so the thread that makes the batch does it."""
        return Staged(
            *(self._pinned(array) for array in (batch.inputs, batch.targets, batch.segments, batch.positions))
        )

    def _pinned(self, array: npt.NDArray[Any]) -> Tensor:
        """On the host of a GPU in pinned memory, of which torch gives out again what is free."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def trunk(self, model: Decoder) -> Callable[..., Tensor]:
        """The model's forward pass as it was chosen; its shapes are the same at every step of a stage."""
        if self.device.type == "cpu":
            use_onednn(model)
            if not self.compiled:
                use_lean(model)
        use_float8(model, self.float8, self.device, self.dtype)
        model.recompute = self.recompute
        if self.compile == "block":
            for block in model.blocks:
                block.compile(dynamic=False)
        return torch.compile(model, dynamic=False) if self.compile == "model" else model

    def forget(self) -> None:
        """Drop what was compiled, for sequences will have another length; what comes again is compiled again."""
        if self.compiled:
            torch.compiler.reset()

    def nll(
        self, model: Decoder, trunk: Callable[..., Tensor], batch: Batch | Staged, rows: slice
    ) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood over these rows of a batch: the sum, to go back from, and each target's (S, T)."""
        staged = batch if isinstance(batch, Staged) else self.staged(batch)
        tokens, targets, segments, positions = (part[rows].to(self.device, non_blocking=True) for part in staged)
        mask = attention_mask(segments, model.shape.window, self.compiled)
        return linear_nll(trunk(tokens, positions, mask), model.output, targets, self.z_loss, self.compiled)


def _devices() -> str:
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)
