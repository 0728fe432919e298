"""Hugging Face folders both ways, judged by transformers itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training import hf
from training.model import Decoder, Shape, document_mask
from training.model.rope import RopeScaling

Made = Callable[..., tuple[Any, Path]]
SHAPE = Shape(
    vocabulary=128,
    context=64,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_dim=8,
    hidden=48,
    rope_theta=10_000.0,
    norm_eps=1e-5,
    tied=True,
)


class Words:
    """As much of a tokenizer as an export asks for."""

    end = 5

    def save(self, folder: str | Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


def logits(model: Decoder, tokens: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    with torch.no_grad():
        return model.logits(tokens, positions, document_mask(torch.zeros_like(tokens)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": False},
        {"kv_heads": 4},
        {"kv_heads": 1, "head_dim": 12},
        {"rope_scaling": RopeScaling(rope_type="llama3", factor=4.0, original_max_position_embeddings=16)},
        {"rope_scaling": RopeScaling(rope_type="linear", factor=4.0), "rope_theta": 500.0},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_an_exported_model_has_the_same_logits_in_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge of exports")
    model = Decoder.fresh(SHAPE.model_copy(update=changes), seed=4)
    if model.head is not None:
        torch.nn.init.normal_(model.head.weight)  # it begins as zero
    hf.export(model, Words(), tmp_path / "out")  # type: ignore[arg-type]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokens = torch.randint(0, 128, (3, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (theirs(tokens).logits - logits(model, tokens)).abs().max() < 1e-4
    assert theirs.config.eos_token_id == 5 and theirs.config.max_position_embeddings == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    # and back
    again = hf.load(tmp_path / "out")
    assert again.shape == model.shape
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shards", ["1GB", "10KB"], ids=["one-file", "sharded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_model_of_transformers_has_the_same_logits_here(
    llama: Made, tied: bool, shards: str, dtype: torch.dtype
) -> None:
    theirs, folder = llama(tie_word_embeddings=tied, max_shard_size=shards)
    if dtype == torch.bfloat16:
        shutil.rmtree(folder)
        theirs.to(dtype).save_pretrained(folder, max_shard_size=shards)
        theirs = type(theirs).from_pretrained(folder, dtype=torch.float32)
    assert (folder / "model.safetensors.index.json").exists() == (shards == "10KB")
    tokens = torch.randint(0, 128, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (theirs(tokens).logits - logits(hf.load(folder), tokens)).abs().max() < 1e-4


def test_configs_written_by_older_versions_are_read_the_same(llama: Made) -> None:
    theirs, folder = llama()
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    (folder / "config.json").write_text(json.dumps(config))
    shape = hf.read_shape(folder)
    assert shape.rope_theta == 500.0
    assert shape.rope_scaling == RopeScaling(rope_type="linear", factor=2.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "qwen3"}, 'model_type: "qwen3"'),
        ({"attention_bias": True}, "attention_bias: true"),
        ({"hidden_act": "gelu"}, 'hidden_act: "gelu"'),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}, 'rope_type: "yarn"'),
    ],
)
def test_what_is_unsupported_is_refused_by_name(llama: Made, change: dict[str, Any], said: str) -> None:
    _, folder = llama()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(hf.HuggingFaceError, match=said):
        hf.load(folder)


def test_missing_unknown_and_misshapen_tensors_are_named(llama: Made) -> None:
    from safetensors.torch import load_file, save_file

    _, folder = llama()
    whole = load_file(folder / "model.safetensors")
    norm = "model.layers.1.input_layernorm.weight"
    for change, said in (
        ({norm: None}, norm),
        ({"model.layers.0.self_attn.q_norm.weight": torch.ones(8)}, "q_norm"),
        ({norm: torch.ones(31)}, r"input_layernorm.weight is \(31,\)"),
    ):
        tensors = {key: value for key, value in {**whole, **change}.items() if value is not None}
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(hf.HuggingFaceError, match=said):
            hf.load(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(hf.HuggingFaceError, match="neither"):
        hf.load(folder)


def test_new_tokens_begin_at_the_mean_and_disturb_no_old_logit(llama: Made) -> None:
    for tied in (True, False):
        _, folder = llama(tie_word_embeddings=tied)
        model = hf.load(folder)
        assert hf.resized(model, 128, 64) is model
        larger = hf.resized(model, 131, 32)
        assert (larger.shape.vocabulary, larger.shape.context) == (192, 64)
        longer = hf.resized(model, 100, 256)
        assert (longer.shape.vocabulary, longer.shape.context) == (128, 256)
        assert torch.allclose(larger.embedding.weight[150], model.embedding.weight.mean(0))
        assert torch.allclose(larger.output[130], model.output.mean(0))
        tokens = torch.randint(0, 128, (1, 20), generator=torch.Generator().manual_seed(1))
        assert torch.allclose(logits(larger, tokens)[..., :128], logits(model, tokens), atol=1e-6)


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(hf.HuggingFaceError, match="not empty"):
        hf.export(Decoder.fresh(SHAPE, 1), Words(), tmp_path / "out")  # type: ignore[arg-type]
    assert (tmp_path / "out" / "mine.txt").read_text() == "precious"
