"""The record of a run: run.json, which says what it is, and which settings may change when it goes on."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline.configfile import ConfigError, ConfigFile
from training.compute import Compute
from training.config import TrainConfig
from training.model import Decoder, Shape
from training.speed import Speed
from training.steps import Steps
from training.store.tokens import TokenStore

RUN = "run.json"
FREE = (
    *("batch.micro", "evaluation.every", "evaluation.lengths", "evaluation.samples", "continuing.limit"),
    *(
        "continuing.old_peak",
        "checkpoint",
        "data",
        "device",
        "compile",
        "recompute",
        "feeding",
        "meter",
        "threads",
        "tracking",
    ),
)
"""Settings that may change when a run goes on: they alter no result (beyond rounding, where other kernels are used).
Other data is found by the digest of the order, wherever it lies."""


def refuse_changes(file: ConfigFile, config: TrainConfig, saved: Mapping[str, Any], out: Path) -> None:
    """Raise ConfigError if a setting that alters results is not what the saved config of the run in `out` says."""
    started = _flat(saved)
    given = _flat(config.model_dump(mode="json"))
    lines = []
    for key in sorted(started.keys() | given.keys()):
        free = any(key == name or key.startswith(f"{name}.") for name in FREE)
        if not free and started.get(key) != given.get(key):
            was, now = (json.dumps(values[key]) if key in values else "not set" for values in (started, given))
            place = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
            lines.append(f"{file.where(place)}: {key} is {now}, but the run in {out} was started with {was}")
    if lines:
        remedy = (
            "this alters what the run would become: set it back, train into another folder, or pass --resume-anyway"
        )
        raise ConfigError([*lines, f"{file.name}: {remedy}"])


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    """The leaves of nested mappings and lists by dotted key."""
    inner: Iterator[tuple[Any, Any]]
    if isinstance(value, Mapping):
        inner = iter(value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        inner = enumerate(value)
    else:
        return {at: value}
    return {key: leaf for name, part in inner for key, leaf in _flat(part, f"{at}.{name}" if at else str(name)).items()}


def describe(
    out: Path,
    config: TrainConfig,
    store: TokenStore,
    model: Decoder,
    compute: Compute,
    speed: Speed,
    steps: Steps,
    shapes: Sequence[Shape],
) -> dict[str, Any]:
    """Write run.json, which says what this run is, and give what is in it; `shapes` are those of the phases."""
    sources = {
        source: {
            "documents": len(train),
            "tokens": train.count_tokens,
            "bytes": train.count_bytes,
            "held_out": {"documents": len(held), "tokens": held.count_tokens, "bytes": held.count_bytes},
        }
        for source, train, held in zip(store.sources, store.train, store.held, strict=True)
    }
    libraries = ("gristmill", "torch", "tokenizers", "safetensors", "numpy", "pyarrow")
    run = {
        "config": config.model_dump(mode="json"),
        "sources": sources,
        "model": {
            **model.shape.model_dump(),
            "parameters": model.parameter_count(),
        },
        "stages": [
            {
                "steps": [stage.begin + 1, stage.end],
                "context": stage.context,
                "sequences": steps.slots(stage.number),
                **shapes[stage.phase].model_dump(include={"rope_theta", "rope_scaling"}),
            }
            for stage in steps.stages
        ],
        "compute": {
            "device": str(compute.device),
            "dtype": str(compute.dtype).removeprefix("torch."),
            "compile": compute.compile,
            "recompute": compute.recompute,
            "threads": torch.get_num_threads(),
        },
        "speed": speed.record(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in libraries}},
    }
    part = out / f".{RUN}"
    part.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    part.replace(out / RUN)
    return run


def opening(model: Decoder, store: TokenStore, config: TrainConfig, compute: Compute, start: int, steps: Steps) -> str:
    """The line that a run begins with."""
    sources = ", ".join(
        f"{source} {train.count_tokens:,}" for source, train in zip(store.sources, store.train, strict=True)
    )
    begin = f"going on after step {start}" if start else "starting"
    stages = ", ".join(f"{stage.context:,} from step {stage.begin + 1:,}" for stage in steps.stages)
    lengths = f" in sequences of {stages}" if len(steps.stages) > 1 else ""
    return (
        f"{begin}: {model.parameter_count():,} parameters on {compute.device} in "
        f"{str(compute.dtype).removeprefix('torch.')}; {config.steps:,} steps of "
        f"{config.batch.sequences * config.context:,} tokens{lengths}; tokens by source: {sources}"
    )
