"""The training loop on a small corpus: learning, resuming bit for bit, refusing, stopping on signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.configfile import ConfigError, ConfigFile
from training import checkpoint, generate, hf
from training.compute import Compute
from training.config import ModelSettings
from training.interruption import TrainingError, alone
from training.loop import train
from training.metrics import read_journal
from training.model import Decoder, Shape, document_mask
from training.provenance.trace import trace_step

Write = Callable[..., ConfigFile]

SETTINGS: dict[str, Any] = {
    "steps": 10,
    "context": 64,
    "batch": {"sequences": 8, "micro": 4},
    "tokenizer": {"vocab_size": 512},
    "phases": [
        {"share": 1, "weights": {"code": 1, "prose": 1}},
        {"share": 1, "weights": {"code": [1, 3], "prose": [1, 0]}},
    ],
    "fim": {"code": {"rate": 0.7, "spm": 0.5}},
    "model": {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 64},
    "optimizer": {"lr": 1e-2},
    "evaluation": {"holdout": 0.1, "tokens": 1024},
    "device": "cpu",
}


@pytest.fixture
def config(tmp_path: Path, curated: Path) -> Write:
    def write(*overrides: str, **changes: Any) -> ConfigFile:
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump({"data": str(curated), **SETTINGS, **changes}, sort_keys=False))
        return ConfigFile.read(path, overrides)

    return write


def journal(out: Path, name: str = "metrics") -> list[dict[str, Any]]:
    return list(read_journal(out / f"{name}.jsonl"))


def steady(out: Path) -> list[dict[str, Any]]:
    """The metrics without what the clock says."""
    clock = ("tokens_per_second", "seconds", "waited")
    return [{key: value for key, value in row.items() if key not in clock} for row in journal(out)]


def weights(out: Path) -> dict[str, bytes]:
    saved = checkpoint.latest(out / "checkpoints")
    assert saved is not None
    return {name: (saved / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")}


def test_ten_steps_equal_five_and_five_bit_for_bit(config: Write, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train(config(), whole).step == 10
    outcome = train(config(), halves, stop_after=5)
    assert (outcome.step, outcome.steps, outcome.interrupted) == (5, 10, False)
    assert [row["step"] for row in journal(halves)] == [1, 2, 3, 4, 5]
    assert train(config(), halves).step == 10
    assert weights(whole) == weights(halves)
    assert steady(whole) == steady(halves)
    assert journal(whole, "evaluations") == journal(halves, "evaluations")
    assert {mode for row in journal(whole) for mode in row["loss_by_source"]} == {"code", "prose"}


def test_other_micro_batches_alter_neither_order_nor_result(config: Write, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(config(), whole)
    train(config(), halves, stop_after=5)
    train(config("batch.micro=1", "threads=1", "checkpoint.keep=5", "evaluation.every=2"), halves)
    for one, other in zip(steady(whole), steady(halves), strict=True):
        assert one["order"] == other["order"]
        assert one["targets_by_source"] == other["targets_by_source"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_the_journal_adds_up(config: Write, tmp_path: Path) -> None:
    train(config(), tmp_path / "run")
    rows = journal(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, 11))
    for row in rows:
        assert row["tokens"] == row["step"] * 8 * 64
        counts = row["targets_by_source"]
        assert counts.keys() == row["loss_by_source"].keys()
        assert 0 < sum(counts.values()) <= 8 * 64
        mean = sum(row["loss_by_source"][s] * n for s, n in counts.items()) / sum(counts.values())
        assert row["loss"] == pytest.approx(mean, rel=1e-6)
        assert 0 < row["lr"] <= 1e-2
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert set(described["sources"]) == {"code", "prose"}
    assert described["sources"]["code"]["tokens"] > 0


def test_how_far_into_its_documents_each_source_is(config: Write, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(steps=50, max_epochs=100, fim={}, phases=[{"weights": {"code": 1, "prose": 9}}]), run)
    tokens = {source: part["tokens"] for source, part in json.loads((run / "run.json").read_text())["sources"].items()}
    seen = dict.fromkeys(tokens, 0)
    for row in journal(run):
        for piece in trace_step(run, row["step"]):
            seen[piece.source] += piece.length
        # documents are laid out as they are, so a pass takes as many tokens as the source has
        assert row["epoch_by_source"] == pytest.approx({source: seen[source] / tokens[source] for source in seen})
    assert max(row["epoch_by_source"].values()) > 1


def test_numbers_that_are_read_a_step_late_are_the_same(
    config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"checkpoint": {"every": 3}, "evaluation": {"every": 4, "holdout": 0.1, "tokens": 256}}
    train(config(**changes), tmp_path / "at once")
    monkeypatch.setattr(Compute, "lag", 1)
    train(config(**changes), tmp_path / "late")
    assert steady(tmp_path / "late") == steady(tmp_path / "at once")
    assert weights(tmp_path / "late") == weights(tmp_path / "at once")
    for step in (6, 9):
        whole = [row for row in journal(tmp_path / "late") if row["step"] <= step]
        assert len(whole) == step


@pytest.mark.filterwarnings("ignore")  # of what torch's compiler does
@pytest.mark.parametrize("change", ["recompute=true", "compile=block"])
def test_recomputed_and_compiled_steps_come_to_the_same(
    config: Write, tmp_path: Path, change: str, request: pytest.FixtureRequest
) -> None:
    if change == "compile=block":
        request.getfixturevalue("compiler")
    train(config("steps=4", "fim={}"), tmp_path / "plain")
    train(config("steps=4", "fim={}", change), tmp_path / "changed")
    for one, other in zip(steady(tmp_path / "plain"), steady(tmp_path / "changed"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_less_is_kept_of_a_recomputed_step(packed: Callable[..., Any]) -> None:
    shape = Shape.of(ModelSettings(layers=4, width=32, heads=4, kv_heads=2, hidden=64), 128, 64)
    batch = packed([[40, 24], [64]], 128)
    kept = {}
    for recompute in (False, True):
        model = Decoder.fresh(shape, 1)
        compute = Compute(torch.device("cpu"), torch.float32, False, recompute)
        trunk = compute.trunk(model)
        size = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal size
            size += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            compute.nll(model, trunk, batch, slice(None))
        kept[recompute] = size
    assert kept[True] < 0.5 * kept[False]


def test_it_learns_and_evaluates_every_source(config: Write, tmp_path: Path) -> None:
    train(config(steps=60, fim={}, phases=[{"weights": {"code": 1, "prose": 1}}], max_epochs=20), tmp_path / "run")
    first, last = journal(tmp_path / "run", "evaluations")
    assert (first["step"], last["step"]) == (0, 60)
    for source in ("code", "prose"):
        assert last["loss"][source] < 0.95 * first["loss"][source]
        assert last["bits_per_byte"][source] < first["bits_per_byte"][source]


def test_evaluations_and_checkpoints_come_when_asked(config: Write, tmp_path: Path) -> None:
    train(config("evaluation.every=4", "checkpoint.every=3", "checkpoint.keep=2"), tmp_path / "run")
    assert [row["step"] for row in journal(tmp_path / "run", "evaluations")] == [0, 4, 8, 10]
    assert [path.name for path in checkpoint.all_of(tmp_path / "run" / "checkpoints")] == [
        "step-00000009",
        "step-00000010",
    ]


def test_a_damaged_checkpoint_costs_only_the_steps_after_the_one_before(
    config: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(config(), whole)
    train(config("checkpoint.every=4"), run)
    newest = run / "checkpoints" / "step-00000010" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert train(config("checkpoint.every=4"), run).step == 10
    assert "step-00000010" in caplog.text and "taking the checkpoint before it" in caplog.text
    assert weights(run) == weights(whole)
    assert steady(run) == steady(whole)
    assert len(journal(run, "evaluations")) == 2


def test_changed_settings_are_refused_with_their_places(config: Write, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(), run, stop_after=5)
    before = weights(run)
    with pytest.raises(ConfigError) as refused:
        train(config("steps=20", "phases.1.weights.code=2", optimizer={"lr": 0.5, "clip": None}), run)
    lines = refused.value.lines
    assert any("--set steps: steps is 20, but the run in" in line and "started with 10" in line for line in lines)
    assert any("train.yaml:" in line and "optimizer.lr is 0.5" in line and "0.01" in line for line in lines)
    assert any("optimizer.clip is null" in line for line in lines)
    assert any("phases.1.weights.code" in line for line in lines)
    assert weights(run) == before
    assert train(config("steps=12"), run, resume_anyway=True).step == 12


def test_changed_data_is_refused(config: Write, tmp_path: Path, curated: Path) -> None:
    import pyarrow.parquet as pq

    run, other = tmp_path / "run", tmp_path / "other"
    train(config(), run, stop_after=5)
    for shard in sorted(curated.rglob("*.parquet")):
        copy = other / shard.relative_to(curated)
        copy.parent.mkdir(parents=True)
        pq.write_table(pq.read_table(shard), copy)
    moved = train(config(f"data={other}"), run, stop_after=6)  # the same documents at another place
    assert moved.step == 6
    shard = other / "shards" / "code" / "part-00000.parquet"
    pq.write_table(pq.read_table(shard).slice(20), shard)
    with pytest.raises(TrainingError, match="--resume-anyway"):
        train(config(f"data={other}"), run)


def test_everything_wrong_with_a_config_is_said_before_any_work(config: Write, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for overrides, said in (
        (["phases.0.weights.prosa=1"], "did you mean 'prose'?"),
        (["fim.cod={rate: 0.5}"], "did you mean 'code'?"),
        (["max_epochs=0.01"], "epochs"),
        (["data=/nowhere"], "/nowhere"),
        (["device=cuda:7"], "this machine has cpu"),
        (["model={init_from: /nowhere}"], "config.json"),
        (["optimiser.lr=1"], "did you mean 'optimizer'?"),
    ):
        with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
            train(config(*overrides), run)
        assert not (run / "metrics.jsonl").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_nothing(config: Write, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match="not finite.*trace"):
        train(config("optimizer.lr=1e30", "schedule.warmup=0"), run)
    assert checkpoint.latest(run / "checkpoints") is None


def test_bfloat16_trains_and_weights_stay_float32(config: Write, tmp_path: Path) -> None:
    train(config("dtype=bfloat16"), tmp_path / "half")
    train(config(), tmp_path / "full")
    saved = checkpoint.latest(tmp_path / "half" / "checkpoints")
    assert saved is not None
    assert {tensor.dtype for tensor in checkpoint.read_tensors(saved, "model").values()} == {torch.float32}
    half, full = journal(tmp_path / "half")[-1], journal(tmp_path / "full")[-1]
    assert half["loss"] == pytest.approx(full["loss"], rel=0.05)


def test_one_run_at_a_time_in_a_folder(config: Write, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with alone(tmp_path / "run"), pytest.raises(TrainingError, match="another process"):
        train(config(), tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_saves_and_the_same_command_goes_on(config: Write, tmp_path: Path, number: signal.Signals) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    file = config(steps=300, max_epochs=100, fim={})
    command = [
        sys.executable,
        "-c",
        "from pipeline.cli import main; main()",
        "train",
        file.name,
        "--out",
        str(run),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or len(journal(run)) < 3:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    stopped = journal(run)[-1]["step"]
    assert 3 <= stopped < 300
    saved = checkpoint.latest(run / "checkpoints")
    assert saved is not None and saved.name == f"step-{stopped:08d}"
    assert train(file, run, stop_after=stopped + 2).step == stopped + 2
    train(file, whole, stop_after=stopped + 2)
    assert steady(run) == steady(whole)
    assert weights(run) == weights(whole)


def test_continued_pretraining_begins_where_the_model_was(
    config: Write, tmp_path: Path, llama: Callable[..., tuple[Any, Path]]
) -> None:
    first, exported, second = tmp_path / "first", tmp_path / "exported", tmp_path / "second"
    train(config(steps=40, max_epochs=20, phases=[{"weights": {"code": 1, "prose": 1}}], fim={}), first)
    hf.export(*generate.load(first), exported)
    continued = config("optimizer.lr=1e-3", model={"init_from": str(exported)}, tokenizer={})
    train(continued, second, stop_after=6)
    before, begun = journal(first, "evaluations")[-1], journal(second, "evaluations")[0]
    for source, loss in before["loss"].items():
        assert begun["loss"][source] == pytest.approx(loss, rel=1e-4)
    exported.rename(tmp_path / "gone")  # what was saved is enough to go on
    (tmp_path / "gone").rename(exported)
    assert train(continued, second).step == 10


def test_a_trained_model_is_the_same_in_transformers_tokenizer_included(config: Write, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge of exports")
    train(config(), tmp_path / "run")
    model, tokenizer = generate.load(tmp_path / "run")
    hf.export(model, tokenizer, tmp_path / "exported")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    text = "def größer(one, two):\n    return one > two  # always\n"
    ids = their_tokenizer(text)["input_ids"]
    assert ids == tokenizer.encode(text) and their_tokenizer.eos_token_id == tokenizer.end
    tokens = torch.tensor([ids])
    with torch.no_grad():
        ours = model.logits(tokens, torch.arange(len(ids))[None], document_mask(torch.zeros_like(tokens)))
        assert (theirs(tokens).logits - ours).abs().max() < 1e-4
    theirs.generation_config.max_length = None
    greedy = theirs.generate(tokens, max_new_tokens=8, do_sample=False)[0, len(ids) :].tolist()
    answer = generate.complete(model, tokenizer, text, 8, generate.Sampling())
    if tokenizer.end not in greedy:
        assert answer.text == tokenizer.decode(greedy)
    by_checkpoint, _ = generate.load(tmp_path / "run" / "checkpoints" / "step-00000010")
    assert torch.equal(by_checkpoint.output, model.output)
