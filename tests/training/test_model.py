"""The decoder by itself: documents apart, initial weights, options, sizes (the rest: test_against_transformers)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from training.config import ModelSettings
from training.config.presets import PRESETS
from training.loss import linear_nll
from training.model import Cache, Decoder, Shape, attention_mask, document_mask, tiles
from training.model.attention import attend
from training.model.mask import block_mask
from training.speed import Operations

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
GPT2 = SHAPE.model_copy(
    update={"kv_heads": 4, "norm": "layer", "feed_forward": "gelu", "positions": "learned", "biases": "all"}
)
QWEN3 = SHAPE.model_copy(update={"head_dim": 12, "qk_norm": True, "tied": False})
QWEN2 = SHAPE.model_copy(update={"biases": "qkv", "window": 5})
SHAPES = pytest.mark.parametrize("shape", [SHAPE, GPT2, QWEN2, QWEN3], ids=["llama", "gpt2", "qwen2", "qwen3"])


@pytest.mark.parametrize("window", [None, 3, 128, 200])
@pytest.mark.parametrize("tokens", [512, 300, 100])
def test_block_masks_for_flex_attention_are_what_torch_finds_from_all_pairs(
    packed: Callable[..., Any], window: int | None, tokens: int
) -> None:
    rows = [[60, 1, 39], [100], [1, 90], [97, 3], []]
    if tokens > 100:
        rows = [[60, 30, 210], [300], [1, 127, 128, 40], [128, 5, 100], [], [tokens]]
    batch = packed(rows, 128, tokens=tokens)
    segments = torch.from_numpy(batch.segments)
    plain = document_mask(segments, window)
    ours = block_mask(segments, window)
    torchs = create_block_mask(
        lambda row, head, query, key: plain[row, 0, query, key], len(rows), None, tokens, tokens, device="cpu"
    )
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(ours, name), getattr(torchs, name)), name
    for name in ("kv", "full_kv", "q", "full_q"):
        counts = getattr(ours, f"{name}_num_blocks")
        indices, expected = getattr(ours, f"{name}_indices"), getattr(torchs, f"{name}_indices")
        counted = torch.arange(indices.shape[-1]) < counts[..., None]
        assert torch.equal(indices[counted], expected[counted]), name
    for row in range(len(rows)):
        query, key = torch.meshgrid(torch.arange(tokens), torch.arange(tokens), indexing="ij")
        assert torch.equal(ours.mask_mod(torch.tensor(row), torch.tensor(0), query, key), plain[row, 0])


@SHAPES
def test_nothing_leaks_from_one_document_into_another(packed: Callable[..., Any], shape: Shape) -> None:
    model = Decoder.fresh(shape, seed=3)
    first, second = packed([[6, 10]], 128, seed=1), packed([[6, 10]], 128, seed=1)
    second.inputs[0, :6] = (second.inputs[0, :6] + 1) % 128
    answers = [
        model(torch.from_numpy(b.inputs), torch.from_numpy(b.positions), document_mask(torch.from_numpy(b.segments)))
        for b in (first, second)
    ]
    assert torch.equal(answers[0][0, 6:], answers[1][0, 6:])
    assert not torch.equal(answers[0][0, :6], answers[1][0, :6])


@SHAPES
def test_a_row_of_padding_alone_is_finite(packed: Callable[..., Any], shape: Shape) -> None:
    model = Decoder.fresh(shape, seed=3)
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
        assert Operations.of(model, 16).palm == 6 * (2 * layer + 128 * 32) + 12 * 2 * 4 * 8 * 16


@SHAPES
def test_every_parameter_has_the_role_of_its_place(shape: Shape) -> None:
    model = Decoder.fresh(shape, 1)
    roles = model.roles()
    assert list(roles) == [name for name, _ in model.named_parameters()]
    kinds = {torch.nn.Linear: "matrix", torch.nn.Embedding: "embedding"}
    for name, module in model.named_modules():
        for kind, weight in module.named_parameters(recurse=False):
            role = roles[f"{name}.{kind}"]
            if module is model.head:
                assert role == "head"
            elif isinstance(module, torch.nn.Linear) and kind == "bias":
                assert role == "bias" and not weight.any()
            else:
                assert role == kinds.get(type(module), "norm")
                if role == "norm":
                    assert (weight == (1 if kind == "weight" else 0)).all()


@SHAPES
def test_layers_computed_again_give_the_same_gradients(packed: Callable[..., Any], shape: Shape) -> None:
    batch = packed([[6, 10], [16]], 128)
    gradients = []
    for recompute in (False, True):
        model = Decoder.fresh(shape, 3)
        model.recompute = recompute
        mask = document_mask(torch.from_numpy(batch.segments), window=shape.window)
        hidden = model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.positions), mask)
        linear_nll(hidden, model.output, torch.from_numpy(batch.targets))[0].backward()
        gradients.append([weight.grad for weight in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@SHAPES
def test_a_cache_gives_what_reading_everything_again_gives(shape: Shape) -> None:
    model = Decoder.fresh(shape, 3)
    if model.head is not None:
        torch.nn.init.normal_(model.head.weight)
    tokens = torch.randint(0, 128, (2, 16), generator=torch.Generator().manual_seed(1))
    positions = torch.arange(16).expand_as(tokens)
    mask = document_mask(torch.zeros_like(tokens), window=shape.window)
    cache = Cache(shape, 2, 16, torch.device("cpu"))
    with torch.no_grad():
        expected = model.logits(tokens, positions, mask)
        first = model.logits(
            tokens[:, :7], positions[:, :7], document_mask(tokens[:, :7] * 0, window=shape.window), cache
        )
        rest = [model.logits(tokens[:, i : i + 1], positions[:, i : i + 1], None, cache) for i in range(7, 16)]
    assert torch.allclose(torch.cat([first, *rest], dim=1), expected, atol=1e-5)


def attended(
    mask: Any, segments: torch.Tensor, heads: int, kv_heads: int, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """What attention gives for random queries, keys and values, and their gradients."""
    generator = torch.Generator().manual_seed(7)
    rows, tokens = segments.shape
    parts = [
        torch.randn(rows, tokens, count, 12, generator=generator).to(dtype).transpose(1, 2).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]
    mixed = attend(parts[0], parts[1], parts[2], mask)
    mixed.backward(torch.randn(mixed.shape, generator=generator).to(dtype))
    return [mixed.detach(), *(part.grad for part in parts if part.grad is not None)]


@pytest.mark.parametrize(("threads", "tokens"), [(1, 1), (9, 1), (1, 400)])
@pytest.mark.parametrize("window", [None, 2, 50])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2)])
def test_tiles_give_what_the_plain_mask_gives(
    packed: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    heads: int,
    kv_heads: int,
    window: int | None,
    threads: int,
    tokens: int,
) -> None:
    """Row by row, and also with so many threads or so short rows that several are computed at once."""
    monkeypatch.setattr(tiles, "TOKENS", tokens)
    batch = packed([[60, 30, 110], [200], [1] * 40 + [70], [], [130, 65]], 128, tokens=200)
    segments = torch.from_numpy(batch.segments)
    torch.set_num_threads(threads)
    mask = attention_mask(segments, window, compiled=False)
    assert isinstance(mask, tiles.Tiles) == tiles.AVAILABLE
    expected = attended(document_mask(segments, window=window), segments, heads, kv_heads)
    for ours, theirs in zip(attended(mask, segments, heads, kv_heads), expected, strict=True):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


def test_tiles_in_bfloat16_are_as_exact_as_the_plain_mask(packed: Callable[..., Any]) -> None:
    segments = torch.from_numpy(packed([[60, 30, 110], [200]], 128).segments)
    mask, plain = attention_mask(segments, None, compiled=False), document_mask(segments)
    exact = attended(plain, segments, 4, 2)
    errors = [
        [(part.float() - right).norm() for part, right in zip(parts, exact, strict=True)]
        for parts in (attended(m, segments, 4, 2, torch.bfloat16) for m in (mask, plain))
    ]
    assert all(ours <= 1.5 * theirs for ours, theirs in zip(*errors, strict=True))


def test_tiles_are_an_operator_that_torch_can_differentiate_and_trace(packed: Callable[..., Any]) -> None:
    segments = torch.from_numpy(packed([[60, 30], [90]], 128).segments)
    mask = attention_mask(segments, None, compiled=True)
    assert isinstance(mask, tiles.Tiles)
    parts = [torch.randn(2, 90, heads, 8).transpose(1, 2).requires_grad_() for heads in (4, 2, 2)]
    torch.library.opcheck(torch.ops.gristmill.attend.default, (*parts, *mask))


@SHAPES
@pytest.mark.parametrize("recompute", [False, True])
def test_a_compiled_trunk_is_one_graph_and_gives_the_same(
    packed: Callable[..., Any], shape: Shape, recompute: bool
) -> None:
    batch = packed([[6, 10], [16]], 128)
    segments = torch.from_numpy(batch.segments)
    gradients = []
    for compiled in (False, True):
        model = Decoder.fresh(shape, 3)
        model.recompute = recompute
        trunk = torch.compile(model, dynamic=False, fullgraph=True, backend="aot_eager") if compiled else model
        mask = attention_mask(segments, shape.window, compiled)
        hidden = trunk(torch.from_numpy(batch.inputs), torch.from_numpy(batch.positions), mask)
        linear_nll(hidden, model.output, torch.from_numpy(batch.targets))[0].backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for ours, expected in zip(*gradients, strict=True):
        assert (ours - expected).norm() <= 1e-5 * expected.norm()


def test_a_window_hides_what_lies_before_it() -> None:
    mask = document_mask(torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]]), window=2)
    for query in range(8):
        for key in range(8):
            assert bool(mask[0, 0, query, key]) == (query // 4 == key // 4 and query - 2 < key <= query)


PUBLISHED = {
    "15M": (32_000, 15_191_712),  # karpathy/llama2.c, stories15M
    "124M": (50_257, 124_439_808),  # openai-community/gpt2
    "135M": (49_152, 134_515_008),  # HuggingFaceTB/SmolLM2-135M
    "350M": (50_257, 354_823_168),  # openai-community/gpt2-medium
    "360M": (49_152, 361_821_120),  # HuggingFaceTB/SmolLM2-360M
    "0.5B": (151_936, 494_032_768),  # Qwen/Qwen2.5-0.5B
    "0.6B": (151_936, 596_049_920),  # Qwen/Qwen3-0.6B
    "1B": (128_256, 1_235_814_400),  # meta-llama/Llama-3.2-1B
    "1.7B": (49_152, 1_711_376_384),  # HuggingFaceTB/SmolLM2-1.7B
    "3B": (128_256, 3_212_749_824),  # meta-llama/Llama-3.2-3B
    "7B": (32_000, 7_241_732_096),  # mistralai/Mistral-7B-v0.1
    "8B": (128_256, 8_030_261_248),  # meta-llama/Llama-3.1-8B
}
"""Vocabulary and parameters of the models whose shapes the presets are, as their pages on the Hub show them."""
OURS = {"1M": 4096, "5M": 8192, "30M": 16_384, "60M": 32_768}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_the_size_of_their_name_and_of_the_model_that_they_are(preset: str) -> None:
    vocabulary, published = PUBLISHED.get(preset, (OURS.get(preset, 0), None))
    shape = Shape.of(ModelSettings(preset=preset), vocabulary, 1024).model_copy(update={"vocabulary": vocabulary})
    with torch.device("meta"):
        size = Decoder(shape).parameter_count()
    assert published in (None, size)
    assert abs(size / (float(preset[:-1]) * (1e9 if preset[-1] == "B" else 1e6)) - 1) < 0.25


def test_what_is_set_beside_a_preset_wins() -> None:
    settings = ModelSettings.model_validate({"preset": "135M", "layers": 3, "tied": False})
    assert (settings.layers, settings.width, settings.kv_heads, settings.tied) == (3, 576, 3, False)
    assert ModelSettings.model_validate(settings.model_dump()) == settings
    assert ModelSettings.model_validate({"preset": "0.6B"}).head_dim == 128
