"""Runs with every optimizer and batches that grow: stopped and gone on, they are the run that was never stopped."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.configfile import ConfigFile
from training import checkpoint
from training.config import BatchSettings
from training.loop import train
from training.metrics import read_journal
from training.steps import Steps

BATCH = {"sequences": 6, "micro": 2, "ramp": {"start": 2, "share": 0.6}}
SETTINGS: dict[str, Any] = {
    "steps": 6,
    "context": 32,
    "batch": BATCH,
    "tokenizer": {"vocab_size": 512},
    "model": {"layers": 1, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 64},
    "schedule": {"use": "cosine", "warmup": 0.2, "restarts": [0.6]},
    "evaluation": {"holdout": 0.1, "tokens": 256},
    "device": "cpu",
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "scale": {"rule": "linear", "sequences": 4}},
    "momentum": {"lr": 0.05, "dampening": 0.5},
    "nesterov": {"lr": 0.05},
    "adagrad": {"lr": 0.01, "decay": ["norm"], "weight_decay": 0.1},
    "rmsprop": {"lr": 0.003, "momentum": 0.5},
    "adam": {"lr": 0.003},
    "adamw": {"lr": 0.003, "scale": {"rule": "sqrt", "sequences": 4}},
    "muon": {"lr": 0.003},
}


@pytest.mark.parametrize(
    ("use", "dtype"), [*((use, "float32") for use in OPTIMIZERS), ("adamw", "bfloat16"), ("muon", "bfloat16")]
)
def test_stopped_in_the_ramp_and_gone_on(curated: Path, tmp_path: Path, use: str, dtype: str) -> None:
    optimizer = {"use": use, **OPTIMIZERS[use]}
    text = yaml.safe_dump({"data": str(curated), **SETTINGS, "optimizer": optimizer, "dtype": dtype})
    (tmp_path / "train.yaml").write_text(text)
    file = ConfigFile.read(tmp_path / "train.yaml")
    ends, rows = [], []
    for name, stops in (("whole", [None]), ("parts", [2, None])):
        for stop in stops:
            train(file, tmp_path / name, stop_after=stop)
        saved = checkpoint.latest(tmp_path / name / "checkpoints")
        assert saved is not None
        ends.append({part: (saved / f"{part}.safetensors").read_bytes() for part in ("model", "optimizer")})
        journal = read_journal(tmp_path / name / "metrics.jsonl")
        rows.append([[row[key] for key in ("step", "tokens", "loss", "lr", "order")] for row in journal])
    assert ends[0] == ends[1] and rows[0] == rows[1]
    sizes = Steps(BatchSettings.model_validate(BATCH), 6, 512)
    assert {sizes.rows(step) for step in range(6)} == {2, 4, 6}
    assert [tokens for _, tokens, *_ in rows[0]] == [32 * sizes.slot(step) for step in range(1, 7)]
