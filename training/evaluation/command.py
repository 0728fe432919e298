"""What `gristmill evaluate` does: a model from a folder, files of tasks, a table or JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from pipeline.configfile import ConfigError
from training import generate
from training.evaluation.likelihood import Scorer
from training.evaluation.questions import read_task
from training.evaluation.tasks import Result, measure
from training.store.tokenizer import Tokenizer


def results(
    folder: Path, tasks: Sequence[str], device: str, dtype: Literal["auto", "float32", "bfloat16"], limit: int | None
) -> Iterator[Result]:
    """The result of each task, as soon as it is there; all files are read before the model is."""
    asked = [read_task(task, limit) for task in tasks]
    model, tokenizer = generate.load(folder)
    place = _device(device)
    exact = dtype == "float32" or (dtype == "auto" and place.type != "cuda")
    scorer = Scorer(model, tokenizer, place, torch.float32 if exact else torch.bfloat16, _prefix(folder, tokenizer))
    for task in asked:
        yield measure(task, scorer)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without that kind
        raise ConfigError([f"--device {name}: {str(error).splitlines()[0]}"]) from error


def _prefix(folder: Path, tokenizer: Tokenizer) -> int:
    """What a text begins after: the beginning token of a Hugging Face folder that has one, otherwise the end token."""
    path = folder / "tokenizer_config.json"
    named = json.loads(path.read_bytes()).get("bos_token") if path.is_file() else None
    text = named.get("content") if isinstance(named, dict) else named
    found = tokenizer.inner.token_to_id(text) if isinstance(text, str) else None
    return tokenizer.end if found is None else int(found)


def as_json(result: Result) -> dict[str, Any]:
    """A result as JSON has it: what is infinite is null."""
    numbers = {
        name: {"value": value if math.isfinite(value) else None, "error": result.errors.get(name)}
        for name, value in result.metrics.items()
    }
    return {"task": result.task, "kind": result.kind, "questions": result.questions, **numbers}


HEAD = f"{'task':<24}{'kind':<12}{'items':>8}  metric"


def render(result: Result) -> list[str]:
    """Lines of the table: one a metric."""
    lines = []
    for number, (name, value) in enumerate(result.metrics.items()):
        first = f"{result.task:<24}{result.kind:<12}{result.questions:>8,}" if not number else " " * 44
        error = f" +- {result.errors[name]:.4f}" if name in result.errors else ""
        lines.append(f"{first}  {name:<18}{value:>12.4f}{error}")
    return lines
