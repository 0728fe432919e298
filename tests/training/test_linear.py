"""Products through oneDNN against torch's own, and layers that keep their weights when they begin to use them."""

import pytest
import torch
from torch import nn

from training import linear
from training.linear import CpuLinear, product, product_added, use_onednn


@pytest.mark.parametrize("available", [True, False])
def test_products_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    if not available:
        monkeypatch.setattr(linear, "_ONEDNN", None)
    x, weight, start = torch.randn(70, 40), torch.randn(90, 40), torch.randn(70, 90)
    expected = (x.double() @ weight.double().T).float()
    assert torch.allclose(product(x, weight), expected, atol=1e-4)
    assert torch.allclose(product(x.T.contiguous().T, weight.T.contiguous().T), expected, atol=1e-4)
    assert torch.allclose(product_added(x, weight, start.clone()), expected + start, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch.compile itself
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(24, 56), (56, 24)])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_layer_gives_what_it_gave_and_so_do_its_gradients(
    bias: bool, sizes: tuple[int, int], compiled: bool, request: pytest.FixtureRequest
) -> None:
    if compiled:
        request.getfixturevalue("compiler")
    if linear._ONEDNN is None:
        pytest.skip("this build of torch has no oneDNN")
    plain, fast = nn.Linear(*sizes, bias=bias), nn.Linear(*sizes, bias=bias)
    fast.load_state_dict(plain.state_dict())
    before = {name: id(weight) for name, weight in fast.named_parameters()}
    assert use_onednn(nn.Sequential(fast)) == 1 and type(fast) is CpuLinear
    assert {name: id(weight) for name, weight in fast.named_parameters()} == before
    assert fast.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(3, 11, sizes[0])
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    function = torch.compile(fast, dynamic=False) if compiled else fast
    ours, expected = function(mine), plain(theirs)
    assert torch.allclose(ours, expected, atol=1e-5)
    weights = torch.randn_like(expected)
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    assert mine.grad is not None and theirs.grad is not None
    assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)
    for a, b in zip(fast.parameters(), plain.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and torch.allclose(a.grad, b.grad, atol=1e-4)


def test_other_precisions_and_other_layers_are_left_alone() -> None:
    class Other(nn.Linear):
        pass

    model = nn.Sequential(Other(4, 4), nn.Embedding(3, 4))
    assert use_onednn(model) == 0 and type(model[0]) is Other
    layer = nn.Linear(8, 8)
    x = torch.randn(5, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = layer(x)
        use_onednn(layer)
        assert torch.equal(layer(x), expected)
