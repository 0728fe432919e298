"""The decoder against transformers' Llama: packed documents give what each document gives alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training import hf
from training.loss import linear_nll
from training.model import Decoder, Shape, document_mask

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0}
SHAPE = Shape(
    vocabulary=128,
    context=16,
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
Made = Callable[..., tuple[Any, Path]]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rope", [None, LLAMA3, LINEAR], ids=["plain", "llama3", "linear"])
def test_packed_documents_equal_transformers_on_each_alone(
    llama: Made, packed: Callable[..., Any], tied: bool, rope: dict[str, Any] | None
) -> None:
    theirs, folder = llama(tie_word_embeddings=tied, **({"rope_parameters": rope} if rope else {}))
    ours = hf.load(folder)
    rows = [[7, 12, 5], [20], [1, 2, 9]]
    batch = packed(rows, 128, tokens=24)

    tokens, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
    mask = document_mask(torch.from_numpy(batch.segments))
    logits = ours.logits(tokens, torch.from_numpy(batch.positions), mask)
    total, _ = linear_nll(ours(tokens, torch.from_numpy(batch.positions), mask), ours.output, targets)
    total.backward()

    expected_total = torch.zeros(())
    for r, documents in enumerate(rows):
        at = 0
        for size in documents:
            alone = tokens[r : r + 1, at : at + size]
            answer = theirs(alone).logits
            assert torch.allclose(logits[r, at : at + size], answer[0], atol=1e-5)
            if size > 1:
                expected_total = expected_total + torch.nn.functional.cross_entropy(
                    answer[0, :-1], alone[0, 1:], reduction="sum"
                )
            at += size
    expected_total.backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(total, expected_total, rtol=1e-6)

    gradients = Decoder.empty(ours.shape)
    for gradient, weight in zip(gradients.parameters(), ours.parameters(), strict=True):
        gradient.data = weight.grad
    names = dict(hf._theirs(gradients))
    for name, weight in theirs.named_parameters():
        assert torch.allclose(names[name], weight.grad, atol=1e-4, rtol=1e-4), name


def test_block_mask_for_flex_attention_equals_the_plain_mask(packed: Callable[..., Any]) -> None:
    batch = packed([[60, 30, 38], [128], [1, 100]], 128, tokens=128)
    segments = torch.from_numpy(batch.segments)
    plain = document_mask(segments)
    blocks = document_mask(segments, blocks=True)
    rows, tokens = segments.shape
    for row in range(rows):
        query, key = torch.meshgrid(torch.arange(tokens), torch.arange(tokens), indexing="ij")
        visible = blocks.mask_mod(torch.tensor(row), torch.tensor(0), query, key)
        assert torch.equal(visible, plain[row, 0])


def test_nothing_leaks_from_one_document_into_another(packed: Callable[..., Any]) -> None:
    model = Decoder.fresh(SHAPE, seed=3)
    first, second = packed([[6, 10]], 128, seed=1), packed([[6, 10]], 128, seed=1)
    second.inputs[0, :6] = (second.inputs[0, :6] + 1) % 128
    answers = [
        model(torch.from_numpy(b.inputs), torch.from_numpy(b.positions), document_mask(torch.from_numpy(b.segments)))
        for b in (first, second)
    ]
    assert torch.equal(answers[0][0, 6:], answers[1][0, 6:])
    assert not torch.equal(answers[0][0, :6], answers[1][0, :6])


def test_a_row_of_padding_alone_is_finite(packed: Callable[..., Any]) -> None:
    model = Decoder.fresh(SHAPE, seed=3)
    batch = packed([[], [4]], 128, tokens=8)
    hidden = model(
        torch.from_numpy(batch.inputs),
        torch.from_numpy(batch.positions),
        document_mask(torch.from_numpy(batch.segments)),
    )
    total, each = linear_nll(hidden, model.output, torch.from_numpy(batch.targets))
    total.backward()
    assert torch.isfinite(hidden).all() and float(each[0].sum()) == 0
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


def test_fresh_weights_are_a_function_of_the_seed_and_predict_evenly(packed: Callable[..., Any]) -> None:
    for tied in (True, False):
        shape = SHAPE.model_copy(update={"tied": tied, "vocabulary": 512, "width": 64, "heads": 8})
        model, same, other = Decoder.fresh(shape, 1), Decoder.fresh(shape, 1), Decoder.fresh(shape, 2)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
        assert not torch.equal(model.embedding.weight, other.embedding.weight)
        tokens = torch.from_numpy(packed([[64]], 512).inputs)
        logits = model.logits(tokens, torch.arange(64)[None], document_mask(torch.zeros_like(tokens)))
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])
        assert abs(loss.item() - np.log(512)) < 0.05


def test_sizes_are_counted_from_the_parameters() -> None:
    for tied in (True, False):
        shape = SHAPE.model_copy(update={"tied": tied})
        model = Decoder.fresh(shape, 1)
        layer = 32 * (4 + 2 * 2) * 8 + 4 * 8 * 32 + 3 * 32 * 48
        assert model.parameter_count() == 128 * 32 * (1 if tied else 2) + 2 * (layer + 2 * 32) + 32
        assert model.flops_per_token() == 6 * (2 * layer + 128 * 32) + 12 * 2 * 4 * 8 * 16
