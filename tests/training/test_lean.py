"""Blocks that keep less: the same numbers as the plain ones, and less kept."""

from typing import Any

import pytest
import torch
from torch import Tensor

from training.lean import LeanBlock, use_lean
from training.linear import use_onednn
from training.loss import linear_nll
from training.model import Decoder, Shape, attention_mask, tiles

if not (tiles.AVAILABLE and use_onednn(torch.nn.Sequential(torch.nn.Linear(8, 8)))):
    pytest.skip("this build of torch has not the kernels for it", allow_module_level=True)

SHAPE: dict[str, Any] = {
    "vocabulary": 128,
    "context": 96,
    "layers": 2,
    "width": 48,
    "heads": 4,
    "kv_heads": 4,
    "head_dim": 12,
    "hidden": 80,
    "norm_eps": 1e-5,
    "tied": True,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}


def model_of(**shape: Any) -> Decoder:
    model = Decoder.fresh(Shape.model_validate({**SHAPE, **shape}), 3)
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            with torch.no_grad():
                weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
    use_onednn(model)
    return model


def learned(model: Decoder, window: int | None = None) -> tuple[Tensor, dict[str, Tensor], int]:
    """The loss, every gradient, and the bytes that were kept for them."""
    generator = torch.Generator().manual_seed(5)
    tokens, targets = torch.randint(0, 128, (2, 3, 96), generator=generator)
    places = torch.arange(96)
    segments = torch.stack([places // size for size in (96, 40, 13)]).to(torch.int32)
    positions = torch.stack([places % size for size in (96, 40, 13)])
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model(tokens, positions, attention_mask(segments, window, False))
    total, _ = linear_nll(hidden, model.output, targets)
    total.backward()  # type: ignore[no-untyped-call]
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return total.detach(), gradients, sum(kept.values())


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize(
    "shape", [{}, {"kv_heads": 2}, {"kv_heads": 1, "tied": False}, {"rope_scaling": YARN}, {"window": 20}], ids=str
)
def test_loss_and_gradients_are_those_of_plain_blocks(shape: dict[str, Any], recompute: bool) -> None:
    model, window = model_of(**shape), shape.get("window")
    model.recompute = recompute
    plain, expected, _ = learned(model, window)
    assert use_lean(model) == 2 and all(isinstance(block, LeanBlock) for block in model.blocks)
    loss, gradients, _ = learned(model, window)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    assert gradients.keys() == expected.keys() and len(gradients) == len(list(model.parameters()))
    for name, gradient in gradients.items():
        scale = expected[name].abs().max().item()
        assert torch.allclose(gradient, expected[name], rtol=1e-5, atol=1e-5 * scale), name


def test_little_more_than_half_is_kept() -> None:
    model = model_of(width=96, head_dim=24, hidden=256)
    _, _, plain = learned(model)
    use_lean(model)
    _, _, lean = learned(model)
    assert lean < 0.55 * plain


@pytest.mark.parametrize("shape", [{"biases": "qkv"}, {"qk_norm": True}, {"norm": "layer"}, {"feed_forward": "gelu"}])
def test_other_blocks_stay_as_they_are(shape: dict[str, Any]) -> None:
    assert use_lean(model_of(**shape)) == 0


def test_without_onednn_blocks_stay_as_they_are() -> None:
    assert use_lean(Decoder.fresh(Shape.model_validate(SHAPE), 3)) == 0


def test_other_precisions_and_masks_go_the_plain_way() -> None:
    model = model_of()
    tokens, positions = torch.arange(96)[None], torch.arange(96)[None]
    plain = model(tokens, positions, None)
    wide = Decoder.fresh(Shape.model_validate(SHAPE), 3).double()(tokens, positions, None)
    use_lean(model)
    assert torch.equal(model(tokens, positions, None), plain)
    assert torch.equal(model.double()(tokens, positions, None).isfinite(), wide.isfinite())
