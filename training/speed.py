"""How fast the device could be: floating-point operations of a token, peaks by datasheet, and a peak that is measured.

Utilisation (MFU) is operations that the model asks for, by the seconds and the peak. It has two usual definitions,
which differ by what they count of attention; both are stated. Recomputed activations count in neither.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.compute import Compute
from training.config import MeterSettings
from training.linear import product
from training.model import Decoder

DATASHEETS = (
    ("GH200", 989.5),  # NVIDIA GH200 datasheet: as the H100 SXM
    ("H200 NVL", 835.5),  # NVIDIA H200 datasheet, which gives these with sparsity: twice as much
    ("H200", 989.5),
    ("H100 PCIE", 756.5),  # NVIDIA H100 datasheet, also by half
    ("H100 NVL", 835.5),
    ("H100", 989.5),
    ("H800", 989.5),
    ("H20", 148.0),  # NVIDIA H20 datasheet
    ("B200", 2250.0),  # NVIDIA HGX B200 datasheet: 4.5 PFLOP/s with sparsity
    ("A100", 312.0),  # NVIDIA A100 datasheet
    ("A800", 312.0),
    ("L40S", 362.05),  # NVIDIA L40S datasheet
    ("L40", 181.05),  # NVIDIA L40 datasheet
    ("L4", 121.0),  # NVIDIA L4 datasheet, by half
    ("A10G", 70.0),  # NVIDIA A10G datasheet
    ("A10", 125.0),  # NVIDIA A10 datasheet
    ("A40", 149.7),  # NVIDIA A40 datasheet
    ("RTX A6000", 154.8),  # NVIDIA RTX A6000 datasheet, by half
    ("RTX 6000 ADA", 364.2),  # NVIDIA Ada architecture white paper, appendix
    ("RTX 5090", 209.5),  # NVIDIA Blackwell architecture white paper: sums in float32
    ("RTX 4090", 165.2),  # NVIDIA Ada architecture white paper: sums in float32
    ("RTX 3090", 71.0),  # NVIDIA Ampere GA102 white paper: sums in float32
    ("MI300X", 1307.4),  # AMD Instinct MI300X datasheet
)
"""Dense bfloat16 TFLOP/s by a part of the device's name; the first that fits counts."""


def datasheet_peak(name: str) -> float | None:
    """Dense bfloat16 operations per second of a device by its name, or None if it is not in the table."""
    return next((tera * 1e12 for part, tera in DATASHEETS if part in name.upper().split("(")[0]), None)


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one token in a training step, forward and backward."""

    palm: int
    """6 x weights in products + 12 x layers x width of attention x context (Chowdhery et al. 2022, appendix B)."""
    causal: int
    """The same with half of attention: a token looks, on average, at half of the context."""

    @classmethod
    def of(cls, model: Decoder, context: int) -> "Operations":
        """Count those of a model for sequences of `context` tokens; documents in them make both an upper bound."""
        roles = model.roles()
        products = sum(weight.numel() for name, weight in model.named_parameters() if roles[name] == "matrix")
        products += model.output.numel()
        attention = model.shape.layers * model.shape.heads * model.shape.head_dim * context
        return cls(6 * products + 12 * attention, 6 * products + 6 * attention)


@dataclass(frozen=True)
class Speed:
    """What a run's speed is held against."""

    operations: Mapping[int, Operations]
    """By the context of a stage."""
    device: str
    peak: float | None
    """Operations per second by datasheet or setting; None where nobody says."""
    measured_peak: float | None
    """Operations per second that a large matrix product reached here, in the run's own precision."""

    @classmethod
    def of(cls, settings: MeterSettings, model: Decoder, contexts: Iterable[int], compute: Compute) -> "Speed":
        """Look up and, if asked for, measure; `contexts` are those of the run's stages."""
        name = "CPU"
        peak = None
        if compute.device.type == "cuda":
            name = torch.cuda.get_device_name(compute.device)
            peak = datasheet_peak(name) if compute.dtype == torch.bfloat16 else None
        if settings.peak is not None:
            peak = settings.peak * 1e12
        measure = compute.device.type == "cuda" if settings.measure == "auto" else settings.measure
        operations = {context: Operations.of(model, context) for context in contexts}
        return cls(operations, name, peak, measured_peak(compute) if measure else None)

    def utilisation(self, tokens_per_second: float, context: int) -> dict[str, float | None]:
        """`mfu` and `mfu_causal` for the journal, in a stage of this context: shares of the peak, None without one."""
        operations = self.operations[context]
        shares = {"mfu": operations.palm, "mfu_causal": operations.causal}
        if self.peak is None:
            return dict.fromkeys(shares)
        return {name: tokens_per_second * asked / self.peak for name, asked in shares.items()}

    def record(self) -> dict[str, Any]:
        """For run.json."""
        palm, causal = (
            {str(context): getattr(counted, name) for context, counted in self.operations.items()}
            for name in ("palm", "causal")
        )
        return {
            "flops_per_token": {  # by context
                "palm: 6 x matmul parameters + 12 x layers x width x context": palm,
                "causal: 6 x matmul parameters + 6 x layers x width x context": causal,
            },
            **{name: getattr(self, name) for name in ("device", "peak", "measured_peak")},
        }


def measured_peak(compute: Compute, seconds: float = 0.5) -> float:
    """Operations per second of square matrix products, the largest of several tries."""
    size = 8192 if compute.device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=compute.device, dtype=compute.dtype) for _ in range(2))
    until, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < until:
        best = min(best, _timed(lambda: product(a, b), compute.device))
    return 2 * size**3 / best


def _timed(work: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of one run, with the device's own clock where it has one."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    first.record()
    for _ in range(5):
        work()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000 / 5
