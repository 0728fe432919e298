"""Every architecture against transformers: loss, all gradients, and logits both ways.

Packed documents under our mask must give what transformers gives for each document alone. The weights are transformers'
own, random in every place; options have values that are no default.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from training import hf
from training.hf.architecture import BY_TYPE
from training.hf.weights import tensors
from training.loss import linear_nll
from training.model import Decoder, attention_mask, document_mask, tiles
from training.speed import Operations

Made = Callable[..., tuple[Any, Path]]

LINEAR = {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.5,
    "high_freq_factor": 5.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 700.0, "factor": 4.0, "original_max_position_embeddings": 16}
DEEPSEEK = {**YARN, "beta_fast": 20.0, "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 0.4, "truncate": False}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tie_word_embeddings": True,
                             "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}}),
    "llama-linear": ("llama", {"rope_parameters": LINEAR, "num_key_value_heads": 4}),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3, "num_key_value_heads": 1, "rms_norm_eps": 1e-2}),
    "llama-yarn": ("llama", {"rope_parameters": YARN}),
    "llama-yarn-as-deepseek": ("llama", {"rope_parameters": DEEPSEEK, "head_dim": 16}),
    "llama-yarn-attention": ("llama", {"rope_parameters": {**YARN, "attention_factor": 1.3}}),
    "llama-dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 90.0, "factor": 2.0}}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-attention-biases": ("llama", {"attention_bias": True, "head_dim": 6}),
    "mistral": ("mistral", {"head_dim": 12, "sliding_window": None}),
    "mistral-window": ("mistral", {"sliding_window": 5, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    "qwen2-tied-window": ("qwen2", {"tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 4,
                                    "max_window_layers": 0}),
    "qwen3": ("qwen3", {"head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    "qwen3-tied-biases": ("qwen3", {"head_dim": 10, "tie_word_embeddings": True, "attention_bias": True,
                                    "num_key_value_heads": 4, "rms_norm_eps": 1e-3}),
    "gpt2": ("gpt2", {"layer_norm_epsilon": 1e-3}),
    "gpt2-untied": ("gpt2", {"tie_word_embeddings": False, "n_inner": None}),
}  # fmt: skip
ROWS = [[7, 12, 5], [20], [1, 2, 9], [24]]


@pytest.mark.parametrize("case", CASES)
def test_loss_and_all_gradients_are_those_of_each_document_alone(
    foreign: Made, packed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    kind, changes = CASES[case]
    theirs, folder = foreign(kind, **changes)
    ours = hf.load(folder)
    batch = packed(ROWS, 128, tokens=24)
    tokens, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
    count = int((targets >= 0).sum())

    monkeypatch.setattr(tiles, "QUERIES", 8)  # so that rows have several
    mask = attention_mask(torch.from_numpy(batch.segments), ours.shape.window, compiled=False)
    total, _ = linear_nll(ours(tokens, torch.from_numpy(batch.positions), mask), ours.output, targets)
    (total / count).backward()

    expected = torch.zeros(())
    for r, documents in enumerate(ROWS):
        at = 0
        for size in documents:
            alone = tokens[r : r + 1, at : at + size]
            if size > 1:
                answer = theirs(alone, use_cache=False).logits
                expected = expected + F.cross_entropy(answer[0, :-1], alone[0, 1:], reduction="sum")
            at += size
    (expected / count).backward()  # type: ignore[no-untyped-call]

    assert abs(total.item() - expected.item()) <= 1e-6 * expected.item()
    gradients = Decoder.holding(ours.shape, {name: weight.grad for name, weight in ours.named_parameters()})
    named = dict(tensors(gradients, BY_TYPE[kind]))
    assert named.keys() == {name for name, _ in theirs.named_parameters()}
    for name, weight in theirs.named_parameters():
        assert (named[name] - weight.grad).norm() <= 1e-5 * weight.grad.norm(), name


@pytest.mark.parametrize("case", CASES)
def test_logits_are_the_same_after_import_and_again_after_export(foreign: Made, tmp_path: Path, case: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge")
    kind, changes = CASES[case]
    theirs, folder = foreign(kind, **changes)
    ours = hf.load(folder)
    tokens = torch.randint(0, 128, (3, 60), generator=torch.Generator().manual_seed(1))
    mask = document_mask(torch.zeros_like(tokens), window=ours.shape.window)
    with torch.no_grad():
        logits = ours.logits(tokens, torch.arange(60).expand_as(tokens), mask)
        expected = theirs(tokens, use_cache=False).logits
        assert (torch.log_softmax(logits, -1) - torch.log_softmax(expected, -1)).abs().max() < 2e-5

        hf.export(ours, Ends(), tmp_path / "out", folder)  # type: ignore[arg-type]
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager").eval()
        assert type(again) is type(theirs)
        assert torch.equal(again(tokens, use_cache=False).logits, expected)
    assert hf.read_shape(tmp_path / "out") == ours.shape
    assert again.config.eos_token_id == 5 or 5 in again.config.eos_token_id


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "gpt2"])
def test_operations_of_a_step_are_those_that_torch_counts(foreign: Made, kind: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    theirs, folder = foreign(kind)
    ours = hf.load(folder)
    tokens = torch.zeros(1, 64, dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter:
        theirs(tokens, labels=tokens, use_cache=False).loss.backward()
    assert counter.get_total_flops() == Operations.of(ours, 64).palm * 64


class Ends:
    """As much of a tokenizer as an export asks for."""

    end = 5

    def save(self, folder: str | Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")
