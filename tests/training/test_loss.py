"""The chunked loss against the plain one: values and gradients, on each of its ways, in every precision."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training import loss
from training.compute import Compute
from training.config import ModelSettings, TrainConfig
from training.loss import IGNORED, linear_nll
from training.model import Decoder, Shape

Way = Callable[[pytest.MonkeyPatch, int], None]


def on_cpu(patch: pytest.MonkeyPatch, chunk: int) -> None:
    patch.setattr(loss, "CHUNK", chunk)
    patch.setattr(loss, "TILE", chunk)


def by_chunks(patch: pytest.MonkeyPatch, chunk: int, compiled: bool = False) -> None:
    """Let the CPU go the way of a GPU."""
    patch.setattr(loss, "_on_cpu", lambda *args: loss._by_chunks(*args, compiled))
    patch.setattr(loss, "CHUNK_LOGITS", chunk * 17)


def compiled(patch: pytest.MonkeyPatch, chunk: int) -> None:
    by_chunks(patch, chunk, True)


def inputs(
    rows: int, tokens: int, width: int, vocabulary: int, ignored: float, seed: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, tokens, width, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, vocabulary, (rows, tokens), generator=generator)
    targets[torch.rand(rows, tokens, generator=generator) < ignored] = IGNORED
    return hidden, weight, targets


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float = 0.0) -> tuple[Tensor, Tensor]:
    """The sum and each value, as the formula is written."""
    logits = F.linear(hidden, weight).flatten(0, 1)
    each = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="none")
    z = z_loss * logits.logsumexp(1) ** 2
    return (each + torch.where(targets.flatten() == IGNORED, 0, z)).sum(), each.detach().view(targets.shape)


def gradients(
    function: Callable[..., tuple[Tensor, Tensor]], hidden: Tensor, weight: Tensor, *args: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sum, each value, and the gradients of hidden states and matrix for an upstream gradient of 0.25."""
    hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    total, each = function(hidden, weight, *args)
    (total * 0.25).backward()
    assert hidden.grad is not None and weight.grad is not None
    return total.detach(), each, hidden.grad, weight.grad


@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([on_cpu, by_chunks]),
    st.integers(0, 10_000),
)
@settings(max_examples=80)
def test_equal_to_plain_cross_entropy_whatever_the_chunk(
    rows: int, tokens: int, chunk: int, ignored: float, z_loss: float, way: Way, seed: int
) -> None:
    hidden, weight, targets = inputs(rows, tokens, 8, 17, ignored, seed)
    with pytest.MonkeyPatch.context() as patch:
        way(patch, chunk)
        found = gradients(linear_nll, hidden, weight, targets, z_loss)
    expected = gradients(plain, hidden, weight, targets, z_loss)
    assert torch.allclose(found[0], expected[0], atol=1e-4, rtol=1e-6)
    assert torch.allclose(found[1], expected[1], atol=1e-5)
    assert torch.allclose(found[2], expected[2], atol=2e-6)
    assert torch.allclose(found[3], expected[3], atol=1e-5)


def test_equal_to_plain_cross_entropy_at_the_size_of_its_chunks_and_tiles() -> None:
    hidden, weight, targets = inputs(3, 400, 24, 2 * loss.TILE + 77, 0.1, 1)
    assert targets.numel() > 2 * loss.CHUNK
    weight = weight.detach() * 0.2
    for found, expected in zip(
        gradients(linear_nll, hidden, weight, targets), gradients(plain, hidden, weight, targets), strict=True
    ):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch.compile itself
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("tokens", [16, 41])
@pytest.mark.usefixtures("compiler")
def test_compiled_chunks_equal_plain_cross_entropy_also_where_the_last_is_ragged(
    monkeypatch: pytest.MonkeyPatch, tokens: int, z_loss: float
) -> None:
    compiled(monkeypatch, 16)
    hidden, weight, targets = inputs(2, tokens, 8, 17, 0.2, 3)
    found = gradients(linear_nll, hidden, weight, targets, z_loss)
    expected = gradients(plain, hidden, weight, targets, z_loss)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", [on_cpu, by_chunks])
@pytest.mark.parametrize("z_loss", [0.0, 0.05])
def test_gradients_are_those_of_finite_differences(monkeypatch: pytest.MonkeyPatch, way: Way, z_loss: float) -> None:
    way(monkeypatch, 5)
    hidden, weight, targets = inputs(2, 7, 4, 17, 0.3, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w: linear_nll(h, w, targets, z_loss)[0], (hidden, weight))


@pytest.mark.parametrize("way", [on_cpu, by_chunks])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_large_logits_neither_overflow_nor_lose_the_loss(
    monkeypatch: pytest.MonkeyPatch, way: Way, shift: float
) -> None:
    way(monkeypatch, 4)
    hidden = torch.tensor([[[1.0, shift], [1.0, shift], [1.0, shift]]])
    weight = torch.tensor([[0.0, 1.0], [100.0, 1.0], [-100.0, 1.0]] + [[0.0, 1.0]] * 14)
    targets = torch.tensor([[0, 1, 2]])
    _, each = linear_nll(hidden, weight, targets)
    assert torch.allclose(each, torch.tensor([[100.0, 0.0, 200.0]]), atol=2e-3)


def test_a_tied_matrix_gets_the_gradients_of_both_its_uses() -> None:
    _, embedding, tokens = inputs(2, 6, 8, 17, 0.0, 4)
    targets = tokens.roll(-1, 1)
    linear_nll(F.embedding(tokens, embedding), embedding, targets)[0].backward()
    other = embedding.detach().requires_grad_()
    plain(F.embedding(tokens, other), other, targets)[0].backward()
    assert embedding.grad is not None and other.grad is not None
    assert torch.allclose(embedding.grad, other.grad, atol=1e-5)


@pytest.mark.parametrize("way", [on_cpu, by_chunks])
@pytest.mark.parametrize("shape", [(2, 9), (0, 9)])
def test_without_any_target_loss_and_gradients_are_zero(
    monkeypatch: pytest.MonkeyPatch, way: Way, shape: tuple[int, int]
) -> None:
    way(monkeypatch, 4)
    hidden, weight, targets = inputs(*shape, 8, 17, 1.0, 1)
    assert (targets == IGNORED).all()
    total, each, of_hidden, of_weight = gradients(linear_nll, hidden, weight, targets, 0.1)
    assert total == 0 and each.shape == shape and not each.any() and not of_hidden.any() and not of_weight.any()
    assert of_hidden.shape == hidden.shape and of_weight.shape == weight.shape


def test_what_ignored_tokens_hold_does_not_matter_on_a_cpu() -> None:
    hidden, weight, targets = inputs(2, 9, 8, 17, 0.4, 1)
    poisoned = hidden.detach().clone()
    poisoned[targets == IGNORED] = float("nan")
    for a, b in zip(
        gradients(linear_nll, poisoned, weight, targets), gradients(linear_nll, hidden, weight, targets), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("wrong", [17, -1])
def test_a_target_outside_the_vocabulary_is_an_error(wrong: int) -> None:
    hidden, weight, targets = inputs(1, 5, 8, 17, 0.0, 1)
    targets[0, 2] = wrong
    with pytest.raises(IndexError, match="vocabulary of 17"):
        linear_nll(hidden, weight, targets)


class Alive(torch.utils._python_dispatch.TorchDispatchMode):
    """The largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result


@pytest.fixture
def saved() -> Iterator[list[Tensor]]:
    """Every tensor that is kept from the forward pass for the backward pass."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def test_no_tensor_as_large_as_all_logits_is_made_or_kept(saved: list[Tensor]) -> None:
    hidden, weight, targets = inputs(2, 1024, 4, 3000, 0.0, 1)
    with Alive() as alive:
        linear_nll(hidden, weight, targets)[0].backward()
    assert alive.largest <= loss.CHUNK * loss.TILE
    assert sum(tensor.numel() for tensor in saved) <= hidden.numel() + weight.numel()


def test_chunks_on_a_gpu_hold_no_more_logits_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    by_chunks(monkeypatch, 64)
    hidden, weight, targets = inputs(2, 1024, 4, 17, 0.0, 1)
    with Alive() as alive:
        linear_nll(hidden, weight, targets)[0].backward()
    assert alive.largest == max(64 * 17, hidden.numel())


def test_without_gradients_none_is_computed() -> None:
    hidden, weight, targets = inputs(1, 5, 4, 7, 0.0, 1)
    with torch.no_grad():
        total, each = linear_nll(hidden, weight, targets)
    assert not total.requires_grad and torch.allclose(each, plain(hidden, weight, targets)[1], atol=1e-6)


@pytest.mark.parametrize("way", [on_cpu, by_chunks])
def test_bfloat16_weights_get_a_gradient_that_was_summed_in_float32(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    way(monkeypatch, 8)  # 256 chunks: a sum in bfloat16 would stop growing
    hidden = torch.ones(1, 2048, 4, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.zeros(17, 4, dtype=torch.bfloat16, requires_grad=True)
    total, each = linear_nll(hidden, weight, torch.zeros(1, 2048, dtype=torch.long))
    total.backward()
    assert total.dtype == each.dtype == torch.float32
    assert hidden.grad is not None and hidden.grad.dtype == torch.bfloat16
    assert weight.grad is not None and weight.grad.dtype == torch.bfloat16
    assert torch.allclose(weight.grad[1].float(), torch.full((4,), 2048 / 17), rtol=1e-2)
    assert torch.allclose(weight.grad[0].float(), torch.full((4,), 2048 / 17 - 2048), rtol=1e-2)


def test_autocast_products_keep_a_float32_loss() -> None:
    hidden, weight, targets = inputs(2, 50, 16, 64, 0.1, 1)
    exact, _ = linear_nll(hidden, weight, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, each = linear_nll(hidden, weight, targets)
    total.backward()
    assert total.dtype == each.dtype == torch.float32
    assert hidden.grad is not None and hidden.grad.dtype == torch.float32
    assert total != exact and torch.allclose(total, exact, rtol=0.02)


def test_the_settings_z_loss_is_trained_on_and_not_journalled(packed: Callable[..., Any]) -> None:
    model = Decoder.fresh(Shape.of(ModelSettings(layers=1, width=16, heads=2, kv_heads=1, hidden=24), 320, 16), seed=1)
    batch = packed([[7, 5], [9]], 320)
    plain, weighted = (
        Compute.of(TrainConfig.model_validate({"data": "x", "steps": 1, "device": "cpu", "z_loss": z}))
        for z in (0.0, 0.1)
    )
    results = [compute.nll(model, compute.trunk(model), batch, slice(0, 2)) for compute in (plain, weighted)]
    (total, each), (more, same) = results
    assert torch.equal(each, same) and torch.allclose(total, each.sum())
    assert more > total
