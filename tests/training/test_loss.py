"""The chunked loss against the plain one: values and gradients, in float32 and under autocast."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import loss
from training.loss import IGNORED, linear_nll


def inputs(
    rows: int, tokens: int, width: int, vocabulary: int, ignored: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, tokens, width, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, requires_grad=True)
    targets = torch.randint(0, vocabulary, (rows, tokens), generator=generator)
    targets[torch.rand(rows, tokens, generator=generator) < ignored] = IGNORED
    return hidden, weight, targets


@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(1, 40), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 10_000)
)
@settings(max_examples=40)
def test_equal_to_plain_cross_entropy_whatever_the_chunk(
    rows: int, tokens: int, chunk: int, ignored: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loss.CHUNK, "cpu", chunk)
        hidden, weight, targets = inputs(rows, tokens, 8, 17, ignored, seed)
        total, each = linear_nll(hidden, weight, targets)
        (total * 0.25).backward()
    plain_hidden, plain_weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    logits = (plain_hidden @ plain_weight.T).view(-1, 17)
    expected = torch.nn.functional.cross_entropy(logits, targets.view(-1), ignore_index=IGNORED, reduction="none")
    (expected.sum() * 0.25).backward()
    assert torch.allclose(each.view(-1), expected, atol=1e-5)
    assert torch.allclose(total, expected.sum(), atol=1e-4, rtol=1e-6)
    assert hidden.grad is not None and weight.grad is not None
    assert plain_hidden.grad is not None and plain_weight.grad is not None
    assert torch.allclose(hidden.grad, plain_hidden.grad, atol=1e-6)
    assert torch.allclose(weight.grad, plain_weight.grad, atol=1e-5)


def test_no_tensor_as_large_as_all_logits_is_made() -> None:
    hidden, weight, targets = inputs(2, 1024, 4, 333, 0.0, 1)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with Watch():
        linear_nll(hidden, weight, targets)[0].backward()
    assert largest == loss.CHUNK["cpu"] * 333


def test_without_gradients_none_is_computed() -> None:
    hidden, weight, targets = inputs(1, 5, 4, 7, 0.0, 1)
    with torch.no_grad():
        total, each = linear_nll(hidden, weight, targets)
    assert not total.requires_grad and torch.isfinite(each).all()


def test_bfloat16_products_keep_a_float32_loss() -> None:
    hidden, weight, targets = inputs(2, 50, 16, 64, 0.1, 1)
    exact, _ = linear_nll(hidden, weight, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, each = linear_nll(hidden, weight, targets)
    total.backward()
    assert total.dtype == each.dtype == torch.float32
    assert hidden.grad is not None and hidden.grad.dtype == torch.float32
    assert torch.allclose(total, exact, rtol=0.02)
