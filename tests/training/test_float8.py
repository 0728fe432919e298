"""Products in 8-bit floats against rounding by hand, inside a decoder, and where they are refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from training import float8
from training.config import ModelSettings
from training.float8 import Float8Linear, refused, rounded, use_float8
from training.loss import linear_nll
from training.model import Decoder, Shape, document_mask

E4M3 = (4, 3, 448.0)
E5M2 = (5, 2, 57344.0)
CPU = torch.device("cpu")


def by_hand(x: torch.Tensor, exponent_bits: int, fraction_bits: int, largest: float) -> np.ndarray:
    """What is left of a tensor: scaled to the format's range, each value rounded to the nearest that the format has."""
    values = x.double().numpy()
    scale = np.abs(values).max() / largest
    scaled = np.clip(values / scale, -largest, largest)
    least = 2 - 2 ** (exponent_bits - 1)  # the exponent of the smallest normal number
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(scaled), 1e-300))), least)
    step = 2.0 ** (exponent - fraction_bits)
    return np.round(scaled / step) * step * scale  # type: ignore[no-any-return]


@pytest.fixture
def layer() -> tuple[nn.Linear, Float8Linear]:
    """A layer in bfloat16, and one with the same weights that computes in 8 bits."""
    torch.manual_seed(0)
    plain = nn.Linear(64, 96, bias=True).bfloat16()
    fast = nn.Linear(64, 96, bias=True).bfloat16()
    fast.load_state_dict(plain.state_dict())
    fast.__class__ = Float8Linear
    return plain, fast  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("dtype", "kind", "scale"), [(float8.VALUES, E4M3, 1.0), (float8.VALUES, E4M3, 1e-6), (float8.GRADIENTS, E5M2, 1e4)]
)
def test_rounding_is_that_of_the_format(dtype: torch.dtype, kind: tuple[int, int, float], scale: float) -> None:
    torch.manual_seed(1)
    x = torch.randn(200, 30) * scale
    eight, factor = rounded(x, dtype)
    assert eight.dtype == dtype and factor.shape == () and factor.dtype == torch.float32
    same = np.isclose((eight.float() * factor).numpy(), by_hand(x, *kind), rtol=1e-5, atol=0)
    assert same.mean() > 0.999  # the scale is a float32, so what is in the middle of two may go the other way


def test_zeros_stay_zeros_and_the_largest_value_stays_whole() -> None:
    eight, scale = rounded(torch.zeros(4, 4), float8.VALUES)
    assert not (eight.float() * scale).any() and math.isfinite(float(scale))
    x = torch.tensor([[3.0, -1e-3], [1e30, -1e30]])
    eight, scale = rounded(x, float8.GRADIENTS)
    assert torch.allclose((eight.float() * scale)[1], x[1])


def test_the_three_products_are_those_of_tensors_rounded_by_hand(layer: tuple[nn.Linear, Float8Linear]) -> None:
    plain, fast = layer
    x = torch.randn(4, 8, 64).bfloat16().requires_grad_()
    out = fast(x)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    flat, error = x.detach().flatten(0, 1), upstream.flatten(0, 1)
    x8, weight8 = by_hand(flat, *E4M3), by_hand(plain.weight.detach(), *E4M3)
    error8 = by_hand(error, *E5M2)
    assert x.grad is not None and fast.weight.grad is not None and fast.bias.grad is not None
    expected = (
        (out.detach().flatten(0, 1) - plain.bias.detach(), x8 @ weight8.T),
        (x.grad.flatten(0, 1), error8 @ weight8),
        (fast.weight.grad, error8.T @ x8),
    )
    for found, hand in expected:
        assert found.dtype == torch.bfloat16
        assert np.linalg.norm(found.double().numpy() - hand) < 0.01 * np.linalg.norm(hand)  # results are bfloat16
    assert torch.allclose(fast.bias.grad, error.sum(0), rtol=0.02, atol=0.02)


def test_results_are_near_those_of_bfloat16(layer: tuple[nn.Linear, Float8Linear]) -> None:
    plain, fast = layer
    x = torch.randn(256, 64).bfloat16()
    exact = plain(x).float()
    assert 1e-4 < (fast(x).float() - exact).norm() / exact.norm() < 0.05


@pytest.mark.parametrize("rows", [0, 15, 17])
def test_numbers_of_inputs_that_cannot_be_are_computed_as_before(
    layer: tuple[nn.Linear, Float8Linear], rows: int
) -> None:
    plain, fast = layer
    x = torch.randn(rows, 64).bfloat16()
    assert torch.equal(fast(x), plain(x))


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch.compile itself
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.usefixtures("compiler")
def test_compiled_it_gives_the_same(layer: tuple[nn.Linear, Float8Linear]) -> None:
    _, fast = layer
    x = torch.randn(32, 64).bfloat16().requires_grad_()
    fast(x).float().square().sum().backward()
    assert x.grad is not None and fast.weight.grad is not None
    before = x.grad.float(), fast.weight.grad.float()
    x.grad, fast.weight.grad = None, None
    out = torch.compile(fast, dynamic=False)(x)
    assert torch.allclose(out.float(), fast(x).float(), rtol=0.05, atol=0.05)
    out.float().square().sum().backward()
    for a, b in zip((x.grad.float(), fast.weight.grad.float()), before, strict=True):
        assert (a - b).norm() < 0.05 * b.norm()


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine pass for one that has 8-bit floats."""
    monkeypatch.setattr(float8, "_why_not", lambda device, dtype: None)


def decoder(width: int = 32) -> Decoder:
    settings = ModelSettings(layers=2, width=width, heads=2, kv_heads=2, hidden=48)
    return Decoder.fresh(Shape.of(settings, 320, 32), seed=1).bfloat16()


@pytest.mark.usefixtures("there")
def test_the_layers_of_a_decoder_change_and_its_state_does_not() -> None:
    model = decoder()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    learned = [id(weight) for weight in model.parameters()]
    assert use_float8(model, True, CPU, torch.bfloat16) == 8
    assert [id(weight) for weight in model.parameters()] == learned
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.usefixtures("there")
def test_a_decoder_learns_in_8_bits() -> None:
    model = decoder()
    use_float8(model, True, CPU, torch.bfloat16)
    tokens = torch.randint(0, 320, (2, 33), generator=torch.Generator().manual_seed(0))
    mask = document_mask(torch.zeros(2, 32, dtype=torch.int32))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(30):
        hidden = model(tokens[:, :-1], torch.arange(32).expand(2, -1), mask)
        total, _ = linear_nll(hidden, model.output, tokens[:, 1:])
        (total / 64).backward()
        losses.append(float(total.detach()) / 64)
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.usefixtures("there")
def test_auto_leaves_small_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert use_float8(decoder(), "auto", CPU, torch.bfloat16) == 0
    assert use_float8(decoder(), False, CPU, torch.bfloat16) == 0
    monkeypatch.setattr(float8, "PARAMETERS", 1000)
    assert use_float8(decoder(), "auto", CPU, torch.bfloat16) == 0
    monkeypatch.setattr(float8, "WIDTH", 32)
    assert use_float8(decoder(), "auto", CPU, torch.bfloat16) == 8


@pytest.mark.usefixtures("there")
def test_matrices_with_other_sizes_are_left_alone() -> None:
    assert use_float8(decoder(width=24), True, CPU, torch.bfloat16) == 0


def test_devices_without_it_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = refused(True, CPU, torch.bfloat16)
    assert problem.place == ("float8",) and "'cpu'" in problem.message
    assert refused("auto", CPU, torch.bfloat16) == refused(False, CPU, torch.bfloat16) == []
    assert use_float8(decoder(), "auto", CPU, torch.bfloat16) == 0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-80GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    (problem,) = refused(True, torch.device("cuda"), torch.bfloat16)
    assert "NVIDIA A100-SXM4-80GB" in problem.message and "8.0" in problem.message
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert refused(True, torch.device("cuda"), torch.bfloat16) == []
    (problem,) = refused(True, torch.device("cuda"), torch.float32)
    assert "float32" in problem.message
