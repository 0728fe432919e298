"""The check of logits: what a folder computes must be what the model in memory computes.

The judge is transformers where it is installed; it is imported for this only, and nothing else needs it. Without it an
export is read back and compared, which finds what was written wrongly but not what both ways misunderstand; an import
then has no judge, and that is said.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.hf.architecture import Architecture
from training.hf.config import described
from training.hf.error import HuggingFaceError
from training.hf.weights import load
from training.model import Decoder, document_mask

TYPICAL, LARGEST = 1e-4, 2e-3
"""Allowed differences of log-probabilities, in nats: their root mean square, and any single one.

Two float32 computations of SmolLM2-135M differ by 7e-6 and 1.2e-4; a rotary base that is wrong by a thousandth makes it
1e-3 and 4e-2.
"""
_ROWS, _TOKENS = 2, 96


@dataclass(frozen=True)
class Check:
    """Who judged, and what was found."""

    judge: str | None
    """None: nobody could."""
    typical: float | None = None
    """Root mean square of the differences of log-probabilities over the probe, in nats."""
    largest: float | None = None
    """The largest of them."""
    remark: str = ""

    def __str__(self) -> str:
        if self.judge is None:
            return f"logits were not checked: {self.remark}"
        said = (
            f"logits agree with {self.judge}: log-probabilities differ by {self.typical:.1e} nats (root mean square), "
            f"at most {self.largest:.1e}"
        )
        return f"{said}; {self.remark}" if self.remark else said


def imported(model: Decoder, folder: Path) -> Check:
    """Compare a model with the folder that it was read from; raises HuggingFaceError where they disagree."""
    try:
        judge, theirs = _transformers(folder, described(folder)[1])
    except _NoJudge as error:
        return Check(None, remark=str(error))
    return _compared(model, folder, judge, theirs)


def exported(model: Decoder, folder: Path) -> Check:
    """Compare a model with the folder that it was written into; raises HuggingFaceError where they disagree."""
    try:
        judge, theirs = _transformers(folder, described(folder)[1])
        remark = ""
    except _CannotOpen as error:
        raise HuggingFaceError(f"{folder}: {error}") from error
    except _NoJudge as error:
        judge, theirs, remark = "the folder read back", _logits(load(folder)), str(error)
    return _compared(model, folder, judge, theirs, remark)


class _NoJudge(Exception):
    """There is no transformers that could judge; the message says why."""


class _CannotOpen(_NoJudge):
    """Transformers is there and does not open the folder."""


def _compared(model: Decoder, folder: Path, judge: str, theirs: Callable[[Tensor], Tensor], remark: str = "") -> Check:
    """Log-probabilities of the probe on both sides."""
    tokens = probe(model)
    with torch.inference_mode():
        ours, other = (torch.log_softmax(logits(tokens).cpu().double(), -1) for logits in (_logits(model), theirs))
        differences = ours - other
        typical, largest = differences.square().mean().sqrt().item(), differences.abs().max().item()
    if not (typical <= TYPICAL and largest <= LARGEST):
        raise HuggingFaceError(
            f"{folder}: logits are not those of {judge}: log-probabilities differ by {typical:.2g} nats (root mean "
            f"square; allowed: {TYPICAL:g}), at most {largest:.2g} (allowed: {LARGEST:g}); this is a defect of the "
            "import or export, please report it with the config.json"
        )
    return Check(judge, typical, largest, remark)


def probe(model: Decoder) -> Tensor:
    """The tokens of the check (S, T): the same for the same shape, over the whole vocabulary."""
    size = _ROWS, min(_TOKENS, model.shape.context)
    return torch.randint(0, model.shape.vocabulary, size, generator=torch.Generator().manual_seed(1))


def _logits(model: Decoder) -> Callable[[Tensor], Tensor]:
    def logits(tokens: Tensor) -> Tensor:
        moved = tokens.to(model.output.device)
        mask = document_mask(torch.zeros_like(moved), window=model.shape.window)
        return model.logits(moved, torch.arange(moved.shape[1], device=moved.device).expand_as(moved), mask)

    return logits


def _transformers(folder: Path, architecture: Architecture) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The name of the judge, and its logits (S, T, V) of tokens (S, T), in float32 on the CPU."""
    try:
        import transformers

        judge = f"transformers {transformers.__version__}"
        kind = getattr(transformers, architecture.class_name)
    except (ImportError, RuntimeError, AttributeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "transformers"
        raise _NoJudge("transformers is not installed" if missing else f"transformers is of no use: {error}") from error
    precision = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
    bars: Any = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        settings: dict[str, Any] = {precision: torch.float32, "attn_implementation": "eager"}
        model = kind.from_pretrained(folder, local_files_only=True, **settings).eval()
    except Exception as error:  # of any kind: it is another library's reading of a folder
        raise _CannotOpen(f"{judge} cannot open it: {type(error).__name__}: {error}") from error
    finally:
        if shown:
            bars.enable_progress_bar()
    return judge, lambda tokens: model(tokens, use_cache=False).logits
