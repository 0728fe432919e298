"""Hugging Face folders both ways, judged by transformers itself."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch

from training import hf
from training.config import TokenizerSettings
from training.model import Decoder, Shape, document_mask
from training.model.rope import RopeScaling
from training.store.tokenizer import Tokenizer

Made = Callable[..., tuple[Any, Path]]
KINDS = ("llama", "mistral", "qwen2", "qwen3", "gpt2")
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

    def __init__(self, end: int = 5) -> None:
        self.end = end

    def save(self, folder: str | Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


def logits(model: Decoder, tokens: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    with torch.no_grad():
        return model.logits(tokens, positions, document_mask(torch.zeros_like(tokens), window=model.shape.window))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": False},
        {"kv_heads": 4},
        {"kv_heads": 1, "head_dim": 12},
        {"rope_scaling": RopeScaling(rope_type="llama3", factor=4.0, original_max_position_embeddings=16)},
        {"rope_scaling": RopeScaling(rope_type="linear", factor=4.0), "rope_theta": 500.0},
        {"rope_scaling": RopeScaling(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)},
        {"width": 30, "head_dim": 8},
        {"biases": "qkv", "window": 7},
        {"qk_norm": True, "biases": "attention", "head_dim": 10},
        {"norm": "layer", "feed_forward": "gelu", "positions": "learned", "biases": "all", "kv_heads": 4},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_an_exported_model_has_the_same_logits_in_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge of exports")
    model = Decoder.fresh(SHAPE.model_copy(update=changes), seed=4)
    if model.head is not None:
        torch.nn.init.normal_(model.head.weight)  # it begins as zero
    checked = hf.export(model, Words(), tmp_path / "out")  # type: ignore[arg-type]
    assert checked.judge == f"transformers {transformers.__version__}" and "logits agree" in str(checked)
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


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("shards", ["1GB", "10KB"], ids=["one-file", "sharded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_weights_are_read_from_several_files_and_in_half_precision(
    foreign: Made, kind: str, shards: str, dtype: torch.dtype
) -> None:
    theirs, folder = foreign(kind, max_shard_size=shards)
    if dtype != torch.float32:
        shutil.rmtree(folder)
        theirs.to(dtype).save_pretrained(folder, max_shard_size=shards)
        theirs = type(theirs).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    assert (folder / "model.safetensors.index.json").exists() == (shards == "10KB")
    tokens = torch.randint(0, 128, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (theirs(tokens).logits - logits(hf.load(folder), tokens)).abs().max() < 1e-4


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_files_without_the_output_matrix_and_with_buffers_are_read(foreign: Made, kind: str) -> None:
    """As openai-community/gpt2 is: names without `transformer.`, and each layer's causal mask as a tensor."""
    from safetensors.torch import load_file, save_file

    _, folder = foreign(kind, tie_word_embeddings=True)
    expected = hf.load(folder)
    bare = {name.split(".", 1)[1]: tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    buffer = {"llama": "layers.0.self_attn.rotary_emb.inv_freq", "gpt2": "h.0.attn.bias"}[kind]
    save_file({**bare, buffer: torch.ones(4)}, folder / "model.safetensors")
    again = hf.load(folder)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), expected.parameters(), strict=True))


def test_configs_written_by_older_versions_are_read_the_same(llama: Made) -> None:
    theirs, folder = llama()
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    (folder / "config.json").write_text(json.dumps(config))
    shape = hf.read_shape(folder)
    assert shape.rope_theta == 500.0
    assert shape.rope_scaling == RopeScaling(rope_type="linear", factor=2.0)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"model_type": "qwen3_moe"}, r'model_type: "qwen3_moe"; did you mean \'qwen3\''),
    ("llama", {"hidden_act": "gelu", "quantization_config": {"bits": 4}}, 'hidden_act: "gelu"; .*quantization_config'),
    ("llama", {"mlp_bias": True}, "mlp_bias: true without attention_bias"),
    ("llama", {"auto_map": {"AutoModel": "mine.Model"}}, "auto_map"),
    ("llama", {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0}}, 'type: "longrope"'),
    ("llama", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor: 0.5"),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "factor"),
    ("llama", {"num_key_value_heads": 3}, "4 heads of queries for 3 of keys"),
    ("llama", {"vocab_size": None, "hidden_size": None}, "vocab_size is missing; hidden_size is missing"),
    ("llama", {"vocab_size": "many"}, "vocab_size: Input should be a valid integer"),
    ("mistral", {"attention_bias": True}, "attention_bias: true"),
    (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "layer_types": None},
        "sliding_window: 8 in 1 of 2 layers",
    ),
    ("gpt2", {"activation_function": "relu"}, 'activation_function: "relu"'),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx: true"),
]


@pytest.mark.parametrize(("kind", "change", "said"), REFUSED, ids=lambda part: str(part) if part in KINDS else "")
def test_what_is_unsupported_is_refused_by_name(foreign: Made, kind: str, change: dict[str, Any], said: str) -> None:
    _, folder = foreign(kind)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(hf.HuggingFaceError, match=said):
        hf.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_a_config_leaves_out_are_what_transformers_takes(tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers", reason="knows the defaults")
    few = {"model_type": kind, "vocab_size": 128, "hidden_size": 96, "num_attention_heads": 32, "num_hidden_layers": 2}
    if kind == "gpt2":
        few = {"model_type": kind, "vocab_size": 128, "n_embd": 96, "n_head": 4, "n_layer": 2}
    else:
        few["intermediate_size"] = 48
    (tmp_path / "config.json").write_text(json.dumps(few))
    shape = hf.read_shape(tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        theirs = transformers.AutoModelForCausalLM.from_config(config)
        assert Decoder(shape).parameter_count() == sum(weight.numel() for weight in theirs.parameters())
    assert shape.context == config.max_position_embeddings
    assert shape.norm_eps == (config.layer_norm_epsilon if kind == "gpt2" else config.rms_norm_eps)
    assert shape.window == getattr(config, "sliding_window", None)
    assert kind == "gpt2" or shape.rope_theta == config.rope_parameters["rope_theta"]


def test_windows_of_layers_that_reach_over_the_whole_context_do_not_matter(foreign: Made) -> None:
    settings = {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1}
    theirs, folder = foreign("qwen3", **settings)
    assert hf.read_shape(folder).window is None
    hf.imported(hf.load(folder), folder)


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
        assert hf.resized(model, 128) is model and hf.resized(model, 100) is model
        larger = hf.resized(model, 131)
        assert (larger.shape.vocabulary, larger.shape.context) == (192, 64)
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


def test_shapes_that_no_architecture_has_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = Decoder.fresh(SHAPE.model_copy(update={"norm": "layer", "qk_norm": True}), 1)
    with pytest.raises(hf.HuggingFaceError, match="qwen3 comes nearest, but not with norm: layer"):
        hf.export(model, Words(), tmp_path / "out")  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_with_other_logits_fails_loudly(foreign: Made, kind: str) -> None:
    _, folder = foreign(kind)
    model = hf.load(folder)
    checked = hf.imported(model, folder)
    assert checked.judge is not None and checked.largest is not None and checked.largest < 1e-4
    with torch.no_grad():
        model.blocks[1].feed_forward.down.weight[3, 5] += 0.05
    with pytest.raises(hf.HuggingFaceError, match="logits are not those of transformers"):
        hf.imported(model, folder)


def test_without_transformers_the_check_says_what_it_did(
    foreign: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = foreign("qwen3")
    model = hf.load(folder)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert str(hf.imported(model, folder)) == "logits were not checked: transformers is not installed"
    checked = hf.export(model, Words(), tmp_path / "out")  # type: ignore[arg-type]
    assert checked.judge == "the folder read back" and checked.largest == 0.0
    assert str(checked).endswith("transformers is not installed")
    with torch.no_grad():
        model.norm.weight[0] += 0.5
    with pytest.raises(hf.HuggingFaceError, match="logits are not those of the folder read back"):
        hf.exported(model, tmp_path / "out")


@pytest.mark.parametrize("tied", [False, True])
def test_new_tokens_begin_where_their_text_was(foreign: Made, byte_pairs: Path, tmp_path: Path, tied: bool) -> None:
    settings = TokenizerSettings()
    old = Tokenizer.load(byte_pairs, settings)
    _, folder = foreign("llama", vocab_size=old.vocab_size, tie_word_embeddings=tied)
    old.save(folder)
    # One that knows three more words, of which one is bytes that are no character, and has two others' ids exchanged.
    values = json.loads(old.inner.to_str())
    ids = values["model"]["vocab"]
    a, b = (max(ids, key=lambda token: (len(token) == size, ids[token])) for size in (3, 4))
    ids[a], ids[b] = ids[b], ids[a]
    words = ["gristmill", "\u00fc\u00dfig", "\u00e2\u0124"]  # the last: the symbols of bytes E2 82
    values["model"]["vocab"] |= {words[2]: old.vocab_size}
    inner = tokenizers.Tokenizer.from_str(json.dumps(values))
    inner.add_tokens([tokenizers.AddedToken(word, normalized=False) for word in words[:2]])
    new = Tokenizer(inner, settings)

    parts = hf.sub_tokens(folder, new)
    assert set(parts) == {ids[a], ids[b], *range(old.vocab_size, old.vocab_size + 3)}
    assert (parts[ids[a]], parts[ids[b]]) == ((ids[b],), (ids[a],))
    model, _ = hf.begun(folder, new, tmp_path)
    before = hf.load(folder)
    for after, was in ((model.embedding.weight, before.embedding.weight), (model.output, before.output)):
        for word in words[:2]:
            row = after[new.inner.token_to_id(word)]
            assert torch.allclose(row, was[old.encode(word)].mean(0), atol=1e-6)
        assert torch.allclose(after[old.vocab_size], was[[ids["\u00e2"], ids["\u0124"]]].mean(0), atol=1e-6)
        assert torch.equal(after[ids[a]], was[ids[b]]) and torch.equal(after[ids[b]], was[ids[a]])
        assert torch.equal(after[7], was[7])
        assert torch.allclose(after[-1], was.mean(0), atol=1e-6)
    assert model.shape.tied == tied and model.shape.vocabulary % 64 == 0


def test_an_export_has_again_what_the_folder_had(foreign: Made, byte_pairs: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge of exports")
    tokenizer = Tokenizer.load(byte_pairs, TokenizerSettings())
    rope = {"rope_type": "yarn", "rope_theta": 700.0, "factor": 4.0, "original_max_position_embeddings": 16}
    _, folder = foreign(
        "mistral", vocab_size=704, rope_parameters=rope, bos_token_id=7, eos_token_id=9, pad_token_id=11
    )
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "do_sample": true, "eos_token_id": [9, 12]}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    tokenizer.save(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 4321}))

    tokenizer = Tokenizer.load(folder, TokenizerSettings())
    model, _ = hf.begun(folder, tokenizer, tmp_path / "run")
    model.become(model.shape.model_copy(update={"context": 128}))
    shutil.rmtree(folder)
    hf.export(model, tokenizer, tmp_path / "out", hf.origin_of(tmp_path / "run" / "checkpoints" / "step-00000003"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert theirs.config.model_type == "mistral" and theirs.config.rope_parameters["rope_type"] == "yarn"
    assert theirs.config.max_position_embeddings == 128 and theirs.config.bos_token_id == 7
    assert theirs.config.eos_token_id == [tokenizer.end, 9] and theirs.config.pad_token_id == 11
    assert theirs.generation_config.temperature == 0.6
    assert theirs.generation_config.eos_token_id == [tokenizer.end, 9, 12]
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert reader.model_max_length == 4321 and reader.chat_template == "{{ messages }}"
    text = "Wie schön: 12 mills\n"
    assert reader(text, add_special_tokens=False).input_ids == tokenizer.encode(text)
