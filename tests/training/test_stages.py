"""A run in stages of longer and longer sequences: resumed bit for bit, with positions and masks as they should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pipeline.configfile import ConfigError, ConfigFile
from training import checkpoint, generate, hf
from training.config import TrainConfig
from training.guard import SpikeGuard
from training.loop import train
from training.metrics import read_journal
from training.model import attention_mask, document_mask
from training.model.attention import attend
from training.order import Order
from training.packing import batch
from training.speed import Operations

Write = Callable[..., ConfigFile]

SETTINGS: dict[str, Any] = {
    "steps": 9,
    "context": 64,
    "batch": {"sequences": 8},
    "tokenizer": {"vocab_size": 512},
    "phases": [
        {"weights": {"code": 1, "prose": 1}},
        {"weights": {"code": 1, "prose": 1}, "context": 128, "rope": "yarn"},
        {"weights": {"code": 3, "prose": 1}, "context": 256, "rope": "yarn"},
    ],
    "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "hidden": 64},
    "optimizer": {"lr": 1e-2},
    "evaluation": {"every": 4, "holdout": 0.1, "tokens": 1024},
    "checkpoint": {"every": 1, "keep": 20},
    "meter": {"peak": 1e-3},
    "device": "cpu",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, curated: Path) -> Write:
    def write(*overrides: str, **changes: Any) -> ConfigFile:
        path = tmp_path_factory.mktemp("config") / "train.yaml"
        path.write_text(yaml.safe_dump({"data": str(curated), **SETTINGS, **changes}, sort_keys=False))
        return ConfigFile.read(path, overrides)

    return write


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, config: Write) -> Path:
    """The run that nothing stopped."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    assert train(config(), out).step == 9
    return out


def steady(out: Path, name: str = "metrics") -> list[dict[str, Any]]:
    """A journal without what the clock says."""
    clock = ("tokens_per_second", "seconds", "waited", "mfu", "mfu_causal")
    return [{k: v for k, v in row.items() if k not in clock} for row in read_journal(out / f"{name}.jsonl")]


def saved(out: Path, step: int) -> Path:
    return out / "checkpoints" / f"step-{step:08d}"


def test_a_run_that_stops_after_every_step_comes_to_the_same_bits(config: Write, whole: Path, tmp_path: Path) -> None:
    for step in range(1, 10):
        assert train(config(), tmp_path, stop_after=step).step == step
        for name in ("model", "optimizer", "guard"):
            file = f"{name}.safetensors"
            assert (saved(tmp_path, step) / file).read_bytes() == (saved(whole, step) / file).read_bytes(), step
        state = checkpoint.read_state(saved(tmp_path, step))
        assert state["shape"] == checkpoint.read_state(saved(whole, step))["shape"]
    assert steady(tmp_path) == steady(whole)
    assert steady(tmp_path, "evaluations") == steady(whole, "evaluations")
    assert [row["tokens"] for row in steady(whole)] == [512 * step for step in range(1, 10)]


def test_a_checkpoint_says_what_its_weights_have_learned(whole: Path) -> None:
    shapes = [generate.load(saved(whole, step))[0].shape for step in range(1, 10)]
    assert [shape.context for shape in shapes] == [64] * 3 + [128] * 3 + [256] * 3
    factors = [None if shape.rope_scaling is None else shape.rope_scaling.factor for shape in shapes]
    assert factors == [None] * 3 + [2.0] * 3 + [4.0] * 3
    described = json.loads((whole / "run.json").read_text())
    assert [(stage["steps"], stage["context"], stage["sequences"]) for stage in described["stages"]] == [
        ([1, 3], 64, 24),
        ([4, 6], 128, 12),
        ([7, 9], 256, 6),
    ]
    assert [stage["rope_scaling"] and stage["rope_scaling"]["factor"] for stage in described["stages"]] == [None, 2, 4]


def test_utilisation_follows_the_length_of_sequences(whole: Path) -> None:
    model, _ = generate.load(whole)
    for row, context in zip(read_journal(whole / "metrics.jsonl"), [64] * 3 + [128] * 3 + [256] * 3, strict=True):
        assert row["mfu"] == pytest.approx(row["tokens_per_second"] * Operations.of(model, context).palm / 1e9)


def test_positions_and_masks_of_each_stage_are_those_of_its_documents(config: Write, whole: Path) -> None:
    from training.store.tokenizer import Tokenizer
    from training.store.tokens import TokenStore

    settings = config().load(TrainConfig)
    store = TokenStore.open(whole / "tokens", Tokenizer.load(whole / "tokenizer.json", settings.tokenizer))
    order = Order(settings, store)
    generator = torch.Generator().manual_seed(1)
    for step, (rows, context) in {1: (8, 64), 4: (4, 128), 8: (2, 256)}.items():
        made = batch(order, step)
        assert made.inputs.shape == (rows, context)
        seen = np.zeros((rows, context, context), bool)
        for row, plan in enumerate(order.step(step)):
            at = 0
            for piece in plan.pieces:
                end = at + piece.length
                assert made.positions[row, at:end].tolist() == list(range(piece.length))
                tokens = store.train[piece.source].ids(piece.document)[piece.start : piece.start + piece.length]
                assert made.inputs[row, at:end].tolist() == tokens.tolist()
                for query in range(at, end):
                    seen[row, query, at : query + 1] = True
                at = end
            assert at == context
        segments = torch.from_numpy(made.segments)
        assert torch.equal(document_mask(segments)[:, 0], torch.from_numpy(seen))
        queries, keys, values = (torch.randn(rows, 2, context, 8, generator=generator) for _ in range(3))
        scores = (queries @ keys.mT / 8**0.5).masked_fill(~torch.from_numpy(seen)[:, None], -torch.inf)
        mixed = attend(queries, keys, values, attention_mask(segments, None, False))
        assert torch.allclose(mixed, scores.softmax(-1) @ values, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "ntk", "llama3", "yarn"])
def test_what_is_exported_reads_long_texts_as_transformers_does(
    config: Write, whole: Path, tmp_path: Path, kind: str
) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge of exports")
    out = whole
    if kind != "yarn":
        phases = [dict(SETTINGS["phases"][0]), {**SETTINGS["phases"][2], "rope": kind}]
        out = tmp_path / "run"
        train(config("steps=2", "checkpoint.every=null", phases=phases), out)
    model, tokenizer = generate.load(out)
    assert "logits agree" in str(hf.export(model, tokenizer, tmp_path / "exported"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    rope = theirs.config.rope_parameters
    assert theirs.config.max_position_embeddings == 256
    if kind == "ntk":
        assert (rope["rope_type"], rope["rope_theta"]) == ("default", pytest.approx(1e4 * 4 ** (16 / 14)))
    else:
        assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == (kind, 4.0, 1e4)
        assert kind == "linear" or rope["original_max_position_embeddings"] == 64
    tokens = torch.randint(0, 512, (1, 256), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model.logits(tokens, torch.arange(256)[None], document_mask(torch.zeros_like(tokens)))
        assert (theirs(tokens).logits - ours).abs().max() < 1e-4
    assert hf.load(tmp_path / "exported").shape == model.shape


def test_a_model_that_was_stretched_goes_on_from_its_own_original_context(
    config: Write, whole: Path, tmp_path: Path
) -> None:
    hf.export(*generate.load(whole), tmp_path / "exported")
    settings = {
        "model": {"init_from": str(tmp_path / "exported")},
        "tokenizer": {},
        "phases": [{}, {"context": 512, "rope": "yarn"}],
        "batch": {"sequences": 2},
        "evaluation": {"tokens": 1024, "context": 256},
    }
    train(config("context=256", "steps=2", **settings), tmp_path / "run")
    before, after = (generate.load(saved(tmp_path / "run", step))[0].shape for step in (1, 2))
    assert before == generate.load(whole)[0].shape
    assert before.rope_scaling is not None and after.context == 512
    assert after.rope_scaling == before.rope_scaling.model_copy(update={"factor": 8.0})
    settings["phases"] = [{}, {"context": 512, "rope": "linear"}]
    with pytest.raises(ConfigError, match="stretched by 'yarn' already"):
        train(config("context=256", "steps=2", **settings), tmp_path / "other")


def test_losses_are_measured_at_one_length_in_all_stages(config: Write, whole: Path, tmp_path: Path) -> None:
    one_length = {"steps": 1, "checkpoint": {}, "phases": SETTINGS["phases"][:1]}
    train(config("evaluation.context=256", **one_length), tmp_path / "asked")
    train(config("context=256", "batch.sequences=2", **one_length), tmp_path / "whole")
    asked, longer = (next(read_journal(tmp_path / name / "evaluations.jsonl")) for name in ("asked", "whole"))
    shorter = list(read_journal(whole / "evaluations.jsonl"))
    for source in ("code", "prose"):  # of the same model, for nothing was learned yet
        assert asked["loss"][source] == pytest.approx(longer["loss"][source], rel=1e-6)
        assert {row["tokens"][source] for row in shorter} == {shorter[0]["tokens"][source]}
    assert asked["loss"] != shorter[0]["loss"]


def test_the_guard_begins_anew_with_each_stage(config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    monkeypatch.setattr(SpikeGuard, "restart", lambda self: judged.append(int(self.tensors()["count"])))
    train(config("evaluation.every=null", "checkpoint.every=null"), tmp_path)
    assert judged == [0, 3, 6]  # steps that were taken before


def test_learned_positions_reach_as_far_as_the_run(config: Write, tmp_path: Path) -> None:
    model = {**SETTINGS["model"], "positions": "learned"}
    phases = [{"context": phase.get("context")} for phase in SETTINGS["phases"]]
    with pytest.raises(ConfigError, match="there are no frequencies to change"):
        train(config(model=model), tmp_path)
    train(config("steps=3", model=model, phases=phases), tmp_path)
    assert [generate.load(saved(tmp_path, step))[0].shape.context for step in (1, 3)] == [256, 256]
