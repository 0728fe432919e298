"""The guard against a plain reading of its rule, and runs whose data or numbers go wrong."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.configfile import ConfigFile
from pipeline.schema import SHARD
from training import checkpoint
from training.compute import Compute
from training.config import GuardSettings, TrainConfig
from training.guard import REASONS, SpikeGuard, jumps
from training.interruption import TrainingError
from training.loop import train
from training.metrics import read_journal
from training.order import Order
from training.provenance.trace import trace_step


def plainly(values: Sequence[tuple[float, float]], window: int | None, sigma: float) -> list[str | None]:
    """The rule as it is written, in float64 lists."""
    kept: list[tuple[float, float]] = []
    verdicts: list[str | None] = []
    for value in values:
        last = kept[-window:] if window is not None else []
        reason = None
        if not all(map(math.isfinite, value)):
            reason = "not finite"
        elif window is not None and len(last) == window:
            for name, number, before in zip(("loss", "gradient norm"), value, zip(*last, strict=True), strict=True):
                if reason is None and number > np.mean(before) + sigma * np.std(before, ddof=1):
                    reason = name
        if reason is None:
            kept.append(value)
        verdicts.append(reason)
    return verdicts


def asked(guard: SpikeGuard, values: Sequence[tuple[float, float]]) -> list[str | None]:
    verdicts = []
    for loss, norm in values:
        skip, told = guard.judge(torch.tensor(loss), torch.tensor(norm))
        verdicts.append(REASONS[int(told[0])])
        assert float(skip) == (verdicts[-1] is not None)
    return verdicts


Number = st.one_of(st.integers(1, 20).map(float), st.sampled_from([100.0, math.inf, -math.inf, math.nan]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(Number, Number), max_size=60), st.sampled_from([None, 8, 9]), st.sampled_from([2.03, 3.07]))
def test_verdicts_are_those_of_the_plain_rule(
    values: list[tuple[float, float]], window: int | None, sigma: float
) -> None:
    device = torch.device("cpu")
    # sums of small whole numbers are exact, and no such sigma puts a whole number on the limit but where all are equal
    guard = SpikeGuard(GuardSettings(window=window, sigma=sigma), device)
    assert asked(guard, values) == plainly(values, window, sigma)
    halved = SpikeGuard(GuardSettings(window=window, sigma=sigma), device)
    first = asked(halved, values[: len(values) // 2])
    going_on = SpikeGuard(GuardSettings(window=window, sigma=sigma), device)
    going_on.restore(halved.tensors())
    assert first + asked(going_on, values[len(values) // 2 :]) == plainly(values, window, sigma)


def test_after_a_restart_nothing_is_too_large_until_the_window_is_full_again() -> None:
    guard = SpikeGuard(GuardSettings(window=8), torch.device("cpu"))
    steady = [(1.0 + 0.01 * (n % 3), 1.0) for n in range(8)]
    assert asked(guard, [*steady, (9.0, 1.0)])[-1] == "loss"
    guard.restart()
    assert asked(guard, [(9.0 + 0.01 * (n % 3), 1.0) for n in range(8)]) == [None] * 8
    assert asked(guard, [(9.5, 1.0), (9.0, 5.0), (1.0, 1.0)]) == ["loss", "gradient norm", None]


def test_the_guard_starts_anew_where_the_mixture_jumps(stored: Callable[..., Any]) -> None:
    phases = [
        {"share": 1, "weights": {"a": 1}},
        {"share": 1, "weights": {"a": [1, 0], "b": [0, 1]}},  # from where the phase before ended: no jump
        {"share": 2, "weights": {"a": 1}},
    ]
    config, store = stored({"a": ["one two three"] * 20, "b": ["four five"] * 20}, steps=40, phases=phases)
    assert jumps(Order(config, store)) == {20}
    ramped = TrainConfig.model_validate(
        {**config.model_dump(), "batch": {"sequences": 4, "ramp": {"start": 2, "share": 0.5}}}
    )
    order = Order(ramped, store)
    (step,) = jumps(order)
    sources = [[plan.source for plan in order.step(n)] for n in (step - 1, step, step + 1)]
    assert sources[0].count(1) > 0 and sources[1][-1] == 0 and set(sources[2]) == {0}


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., ConfigFile]:
    """A config over a corpus of easy text in which a few documents, all of one source, are garbage."""

    def make(**changes: Any) -> ConfigFile:
        random = np.random.default_rng(5)
        texts = {
            "good": [" ".join(random.choice(["a", "b", "c"], 60)) for _ in range(300)],
            "garbage": ["".join(chr(c) for c in random.integers(0x4E00, 0x9FFF, 60)) for _ in range(8)],
        }
        for source, documents in texts.items():
            rows = [
                {**dict.fromkeys(SHARD.names), "id": f"{source}-{i}", "text": text, "source": source, "origin": "x#0"}
                for i, text in enumerate(documents)
            ]
            (tmp_path / "data" / "shards" / source).mkdir(parents=True, exist_ok=True)
            pq.write_table(
                pa.Table.from_pylist(rows, schema=SHARD), tmp_path / "data" / "shards" / source / "part-00000.parquet"
            )
        settings = {
            "data": str(tmp_path / "data"),
            "steps": 60,
            "context": 32,
            "batch": {"sequences": 4},
            "tokenizer": {"vocab_size": 400},
            "max_epochs": 100,
            # a sequence of garbage every 30 steps
            "phases": [{"weights": {"good": 119, "garbage": 1}}],
            "model": {"layers": 1, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 64},
            "optimizer": {"lr": 1e-2},
            "evaluation": {"holdout": 0.1, "tokens": 64},
            "guard": {"window": 16},
            "device": "cpu",
            **changes,
        }
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(settings))
        return ConfigFile.read(path, [])

    return make


def test_planted_garbage_trips_the_guard_and_its_documents_are_named(
    planted: Callable[..., ConfigFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train(planted(), run)
    metrics = list(read_journal(run / "metrics.jsonl"))
    with_garbage = {row["step"] for row in metrics if "garbage" in row["targets_by_source"]}
    assert len(with_garbage) == 2 and min(with_garbage) > 10
    events = {event["step"]: event for event in read_journal(run / "events.jsonl")}
    assert {row["step"] for row in metrics if "skipped" in row} == set(events)
    late = {step for step in with_garbage if step > 16}
    assert late and late <= set(events) and len(events) <= len(late) + 1
    said = capsys.readouterr().err
    for step in late:
        event = events[step]
        assert event["reason"] in ("loss", "gradient norm")
        assert event["loss"] == metrics[step - 1]["loss"]
        pieces = trace_step(run, step)
        named = {(row["row"], row["source"], name) for row in event["rows"] for name in row["documents"]}
        assert named == {(piece.row, piece.source, piece.id) for piece in pieces}
        assert event["rows"][0]["source"] == "garbage"
        assert f"step {step} is left out" in said
        assert all(name in said for name in event["rows"][0]["documents"][:5])


def test_without_a_window_nothing_is_too_large(planted: Callable[..., ConfigFile], tmp_path: Path) -> None:
    train(planted(guard={"window": None}), tmp_path / "run")
    assert not list(read_journal(tmp_path / "run" / "events.jsonl"))


def poisoned(monkeypatch: pytest.MonkeyPatch, calls: set[int], value: float) -> None:
    """Multiply the loss of these forward passes of training, counted from 1, by a value."""
    plain, count = Compute.nll, iter(range(1, 10_000))

    def nll(*arguments: Any) -> tuple[Tensor, Tensor]:
        total, each = plain(*arguments)
        factor = value if torch.is_grad_enabled() and next(count) in calls else 1.0
        return total * factor, each * factor

    monkeypatch.setattr(Compute, "nll", nll)


@pytest.mark.parametrize("use", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_reaches_neither_weights_nor_moments(
    planted: Callable[..., ConfigFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str, value: float
) -> None:
    settings = {"steps": 8, "optimizer": {"use": use, "lr": 1e-2}, "checkpoint": {"every": 1, "keep": 99}}
    poisoned(monkeypatch, {9}, value)  # the first micro batch of step 5
    train(planted(**settings, batch={"sequences": 4, "micro": 2}), tmp_path / "run")
    saved = [tmp_path / "run" / "checkpoints" / f"step-{step:08}" for step in range(1, 9)]
    for file in ("model", "optimizer", "guard"):
        before, after = ((path / f"{file}.safetensors").read_bytes() for path in saved[3:5])
        assert before == after
    finally_ = checkpoint.read_tensors(saved[-1], "model")
    assert all(tensor.isfinite().all() for tensor in finally_.values())
    assert (saved[3] / "model.safetensors").read_bytes() != (saved[5] / "model.safetensors").read_bytes()
    metrics = list(read_journal(tmp_path / "run" / "metrics.jsonl"))
    assert [row.get("skipped") for row in metrics] == [None] * 4 + ["not finite"] + [None] * 3
    (event,) = read_journal(tmp_path / "run" / "events.jsonl")
    assert (event["step"], event["reason"], event["loss"]) == (5, "not finite", None)
    assert {row["row"] for row in event["rows"][:2]} == {0, 1}  # the micro batch that it came from


def test_too_many_in_a_row_are_an_error_and_what_is_saved_is_from_before(
    planted: Callable[..., ConfigFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = planted(steps=20, guard={"window": None, "most_in_a_row": 3}, checkpoint={"every": 2, "keep": 99})
    with monkeypatch.context() as patch:
        poisoned(patch, set(range(6, 20)), math.nan)
        with pytest.raises(TrainingError, match="step 9: .*4 steps in a row were left out"):
            train(file, tmp_path / "run")
    newest = checkpoint.latest(tmp_path / "run" / "checkpoints")
    assert newest is not None and checkpoint.read_state(newest)["step"] == 8
    assert checkpoint.read_state(newest)["left_out_in_a_row"] == 3
    assert train(file, tmp_path / "run").step == 20  # whatever it was, it is gone
    skipped = [row["step"] for row in read_journal(tmp_path / "run" / "metrics.jsonl") if "skipped" in row]
    assert skipped == [6, 7, 8]
    assert [json.loads(line)["step"] for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()] == [
        6,
        7,
        8,
    ]
